//! A double of a server that speaks S3, as far as reading and listing go: objects out of memory and files, and a bucket
//! whose listing is made up while it is asked for. Answers of objects can be slowed. One thread a connection.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::Timestamp;

/// The bucket whose listing is made up.
pub const ENDLESS: &str = "endless";
/// How many keys it has.
pub const KEYS: usize = 1_000_000;
/// Bytes that are sent in one go.
const PIECE: usize = 256 << 10;

struct Object {
    content: File,
    size: u64,
    modified: String,
}

struct Inside {
    /// By `bucket/key`.
    objects: Mutex<BTreeMap<String, Arc<Object>>>,
    /// Bytes of objects a second, all connections together; 0: as fast as they go.
    pace: AtomicU64,
    /// When the next piece may go.
    due: Mutex<Instant>,
    bytes: AtomicU64,
    requests: AtomicU64,
}

/// The double. Its threads end with the process.
pub struct Server {
    inside: Arc<Inside>,
    port: u16,
}

impl Server {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let inside = Arc::new(Inside {
            objects: Mutex::default(),
            pace: AtomicU64::new(0),
            due: Mutex::new(Instant::now()),
            bytes: AtomicU64::new(0),
            requests: AtomicU64::new(0),
        });
        let shared = inside.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = shared.clone();
                std::thread::spawn(move || {
                    let _ = serve(&shared, &client);
                });
            }
        });
        Self { inside, port }
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Puts a file under a name; it is not read before it is asked for.
    pub fn put(&self, bucket: &str, key: &str, file: &Path) {
        let content = File::open(file).unwrap();
        let object = Object {
            size: content.metadata().unwrap().len(),
            content,
            modified: Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string(),
        };
        let name = format!("{bucket}/{key}");
        self.inside.objects.lock().unwrap().insert(name, Arc::new(object));
    }

    pub fn set_pace(&self, bytes: u64) {
        self.inside.pace.store(bytes, Ordering::SeqCst);
    }

    /// Bytes of objects that were sent, and requests that were heard, since this was asked the last time.
    pub fn take_counts(&self) -> (u64, u64) {
        let bytes = self.inside.bytes.swap(0, Ordering::SeqCst);
        (bytes, self.inside.requests.swap(0, Ordering::SeqCst))
    }
}

/// The key of this number, in the order of their bytes.
fn key(number: usize) -> String {
    format!("camera/{:04}/clip{number:07}.mp4", number / 1000)
}

/// The number of the first key that is greater.
fn first_after(key_before: &str) -> usize {
    let (mut low, mut high) = (0, KEYS);
    while low < high {
        let middle = usize::midpoint(low, high);
        if *key(middle) <= *key_before {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

fn serve(inside: &Inside, client: &TcpStream) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut reader = BufReader::new(client);
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let mut words = line.split(' ').map(str::to_owned);
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let (mut range, mut length) = (None, 0);
        loop {
            line.clear();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                break;
            };
            match name.to_ascii_lowercase().as_str() {
                "range" => range = Some(value.to_owned()),
                "content-length" => length = value.parse().unwrap_or(0),
                _ => {}
            }
        }
        io::copy(&mut (&mut reader).take(length), &mut io::sink())?;
        inside.requests.fetch_add(1, Ordering::SeqCst);
        answer(inside, client, &method, &target, range.as_deref())?;
    }
}

fn answer(inside: &Inside, client: &TcpStream, method: &str, target: &str, range: Option<&str>) -> io::Result<()> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let name = unescape(path.trim_start_matches('/'));
    let parameter = |name: &str| {
        let mut all = query.split('&').filter_map(|pair| pair.split_once('='));
        all.find(|(known, _)| *known == name).map(|(_, value)| unescape(value))
    };
    let Some((bucket, _)) = name.split_once('/').filter(|(_, key)| !key.is_empty()) else {
        let bucket = name.trim_end_matches('/');
        return match (method, parameter("list-type")) {
            ("GET", Some(_)) => say(client, "200 OK", &list(inside, bucket, &parameter)),
            ("HEAD", _) => say(client, "200 OK", ""),
            _ => say(client, "501 Not Implemented", ""),
        };
    };
    let object = inside.objects.lock().unwrap().get(&name).cloned();
    match (method, object) {
        ("GET" | "HEAD", Some(object)) => send(inside, client, &object, range, method == "HEAD"),
        // Whatever is asked about keys that are made up, they are there.
        ("HEAD", None) if bucket == ENDLESS => {
            let head = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nETag: \"5d41402abc4b2a76b9719d911017c592\"\r\n\
                        Last-Modified: Fri, 05 Jan 2024 10:00:00 GMT\r\n\r\n";
            (&mut &*client).write_all(head.as_bytes())
        }
        ("GET" | "HEAD", None) => say(client, "404 Not Found", ""),
        _ => say(client, "501 Not Implemented", ""),
    }
}

fn say(mut client: &TcpStream, status: &str, body: &str) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/xml\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    client.write_all(head.as_bytes())?;
    client.write_all(body.as_bytes())
}

fn list(inside: &Inside, bucket: &str, parameter: &impl Fn(&str) -> Option<String>) -> String {
    let mut text =
        String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult><EncodingType>url</EncodingType>");
    let mut entry = |key: &str, size: u64, modified: &str| {
        let _ = write!(
            text,
            "<Contents><Key>{key}</Key><LastModified>{modified}</LastModified>\
             <ETag>&quot;5d41402abc4b2a76b9719d911017c592&quot;</ETag><Size>{size}</Size>\
             <StorageClass>STANDARD</StorageClass></Contents>"
        );
    };
    let mut next = None;
    if bucket == ENDLESS {
        let most: usize = parameter("max-keys").and_then(|most| most.parse().ok()).unwrap_or(1000);
        let begin = match (parameter("continuation-token"), parameter("start-after")) {
            (Some(token), _) => token.parse().unwrap_or(0),
            (None, Some(after)) => first_after(&after),
            (None, None) => 0,
        };
        let end = (begin + most).min(KEYS);
        (begin..end).for_each(|number| entry(&key(number), 1000, "2024-01-05T10:00:00.000Z"));
        next = (end < KEYS).then_some(end);
    } else {
        let prefix = format!("{bucket}/");
        let objects = inside.objects.lock().unwrap();
        for (name, object) in objects.iter().filter(|(name, _)| name.starts_with(&prefix)) {
            let modified = Timestamp::strptime("%a, %d %b %Y %H:%M:%S %z", object.modified.replace("GMT", "+0000"));
            entry(&name[prefix.len()..], object.size, &modified.unwrap().to_string());
        }
    }
    match next {
        Some(next) => {
            let _ = write!(
                text,
                "<IsTruncated>true</IsTruncated><NextContinuationToken>{next}</NextContinuationToken>"
            );
        }
        None => text.push_str("<IsTruncated>false</IsTruncated>"),
    }
    text.push_str("</ListBucketResult>");
    text
}

fn send(
    inside: &Inside,
    mut client: &TcpStream,
    object: &Object,
    range: Option<&str>,
    only_head: bool,
) -> io::Result<()> {
    let size = object.size;
    let bounds = range.and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
    let (from, to) = bounds.map_or((0, size), |(from, last)| {
        let last: u64 = last.parse().unwrap_or(size - 1);
        (from.parse().unwrap_or(0), last.min(size - 1) + 1)
    });
    let (status, part) = if bounds.is_some() {
        let part = format!("Content-Range: bytes {from}-{}/{size}\r\n", to - 1);
        ("206 Partial Content", part)
    } else {
        ("200 OK", String::new())
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: video/mp4\r\nContent-Length: {}\r\nAccept-Ranges: bytes\r\n\
         ETag: \"5d41402abc4b2a76b9719d911017c592\"\r\nLast-Modified: {}\r\n{part}\r\n",
        to - from,
        object.modified
    );
    client.write_all(head.as_bytes())?;
    if only_head {
        return Ok(());
    }
    let mut piece = vec![0; PIECE];
    let mut at = from;
    while at < to {
        let length = usize::try_from((to - at).min(PIECE as u64)).unwrap();
        object.content.read_exact_at(&mut piece[..length], at)?;
        wait_for_turn(inside, length);
        client.write_all(&piece[..length])?;
        inside.bytes.fetch_add(length as u64, Ordering::SeqCst);
        at += length as u64;
    }
    Ok(())
}

/// All connections share one line of so many bytes a second.
fn wait_for_turn(inside: &Inside, length: usize) {
    let pace = inside.pace.load(Ordering::SeqCst);
    if pace == 0 {
        return;
    }
    let over = {
        let mut due = inside.due.lock().unwrap();
        *due = (*due).max(Instant::now()) + Duration::from_secs_f64(length as f64 / pace as f64);
        *due
    };
    std::thread::sleep(over.saturating_duration_since(Instant::now()));
}

fn unescape(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut plain = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let hex = text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        if let Some(byte) = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            plain.push(byte);
            at += 3;
        } else {
            plain.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}
