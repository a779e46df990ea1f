//! A double of a server with MinIO's stream of notifications: no server, only what of one a listener can see.
//!
//! It follows the protocol to the letter: the signature of a request is computed anew and compared, the answer begins
//! with the first line or sign of life, lines come in chunks, keys are raw, an ampersand is an escape as Go writes it. It
//! can also be silent, cut connections, lose events, drop a reader that is too slow, and answer as servers do that have
//! no such stream. One thread a connection.

#![allow(clippy::unwrap_used, reason = "it stands in for a server in tests")]
#![allow(dead_code, reason = "each test program uses its own part of this")]

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};

/// Events that wait for one reader; more than that, and it is told of none.
const QUEUE: usize = 1000;
/// How long a reader may leave the connection full.
const SLOW: Duration = Duration::from_secs(2);
/// The SHA-256 of nothing.
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// How requests are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// With a stream, where the signature is right.
    Stream,
    /// With a stream whose kind is not said.
    Nameless,
    /// As servers do that do not know the request: 200, and a listing of the bucket.
    Listing,
    /// With a listing that does not say that it is XML.
    NamelessListing,
    /// With an error: status and code.
    Error(u16, &'static str),
    /// Not at all: the connection is closed.
    Closed,
}

/// What shows that the server is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ping {
    /// A line without records, as where `ping` is asked for.
    Line,
    /// A space, as where it is not.
    Space,
    /// Nothing: silence.
    Never,
}

/// A request that came.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The path.
    pub path: String,
    /// The parameters, unescaped.
    pub query: HashMap<String, String>,
    /// What is wrong with how it is signed; empty: nothing.
    pub wrong: String,
}

/// What goes to one reader.
enum Order {
    Bytes(Vec<u8>),
    Cut,
}

struct Reader {
    bucket: String,
    prefix: String,
    orders: SyncSender<Order>,
}

struct State {
    manner: Manner,
    ping: (Ping, Duration),
    /// Bytes of a chunk.
    crumbs: usize,
    asked: Vec<Asked>,
    readers: Vec<Reader>,
    /// So many events are lost from now on, as if the readers were slow.
    lose: u32,
    stopped: bool,
}

struct Shared {
    access: String,
    secret: String,
    state: Mutex<State>,
    events: AtomicU32,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The double. It ends when it is dropped.
pub struct Double {
    at: SocketAddr,
    shared: Arc<Shared>,
}

impl Double {
    /// One at a free port of this machine that knows these credentials.
    pub fn new(access: &str, secret: &str) -> Self {
        Self::at("127.0.0.1:0".parse().unwrap(), access, secret)
    }

    /// One at this address.
    pub fn at(at: SocketAddr, access: &str, secret: &str) -> Self {
        let listener = TcpListener::bind(at).unwrap();
        let at = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            access: access.to_owned(),
            secret: secret.to_owned(),
            state: Mutex::new(State {
                manner: Manner::Stream,
                ping: (Ping::Line, Duration::from_millis(50)),
                crumbs: usize::MAX,
                asked: Vec::new(),
                readers: Vec::new(),
                lose: 0,
                stopped: false,
            }),
            events: AtomicU32::new(0),
        });
        let for_all = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if for_all.state().stopped {
                    return;
                }
                let (Ok(stream), shared) = (stream, for_all.clone()) else {
                    continue;
                };
                std::thread::spawn(move || {
                    let _ = serve(&stream, &shared);
                    let _ = stream.shutdown(Shutdown::Both);
                });
            }
        });
        Self { at, shared }
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.at
    }

    /// Its URL.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.at)
    }

    /// How requests are answered from now on.
    pub fn manner(&self, manner: Manner) {
        self.shared.state().manner = manner;
    }

    /// How it shows from now on, in new streams, that it is there, and how often.
    pub fn ping(&self, ping: Ping, every: Duration) {
        self.shared.state().ping = (ping, every);
    }

    /// Lines come in chunks of so many bytes from now on, in new streams.
    pub fn crumbs(&self, bytes: usize) {
        self.shared.state().crumbs = bytes;
    }

    /// So many events are lost from now on, as readers lose them that are too slow.
    pub fn lose(&self, events: u32) {
        self.shared.state().lose = events;
    }

    /// Every request so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.state().asked.clone()
    }

    /// How many streams there are.
    pub fn readers(&self) -> usize {
        self.shared.state().readers.len()
    }

    /// Tells that an object was put.
    pub fn put(&self, bucket: &str, key: &str) {
        self.tell(bucket, key, "s3:ObjectCreated:Put");
    }

    /// Tells of an event.
    pub fn tell(&self, bucket: &str, key: &str, name: &str) {
        let number = self.shared.events.fetch_add(1, Ordering::Relaxed);
        let event = serde_json::json!({"Records": [{
            "eventVersion": "2.0", "eventSource": "minio:s3", "awsRegion": "",
            "eventTime": format!("2026-11-20T10:13:30.{:03}Z", number % 1000), "eventName": name,
            "userIdentity": {"principalId": self.shared.access},
            "requestParameters": {"principalId": self.shared.access, "region": "", "sourceIPAddress": "127.0.0.1"},
            "responseElements": {"x-amz-id-2": "d0", "x-amz-request-id": format!("{number:X}")},
            "s3": {"s3SchemaVersion": "1.0", "configurationId": "Config",
                "bucket": {"name": bucket, "ownerIdentity": {"principalId": self.shared.access},
                    "arn": format!("arn:aws:s3:::{bucket}")},
                "object": {"key": key, "size": 5, "eTag": "5d41402abc4b2a76b9719d911017c592",
                    "contentType": "video/mp4", "userMetadata": {"content-type": "video/mp4"},
                    "sequencer": format!("{number:016X}")}},
            "source": {"host": "127.0.0.1", "port": "", "userAgent": "double"}}]});
        let line = event
            .to_string()
            .replace('&', "\\u0026")
            .replace('<', "\\u003c")
            .replace('>', "\\u003e");
        let mut state = self.shared.state();
        if state.lose > 0 {
            state.lose -= 1;
            return;
        }
        state.readers.retain(|reader| {
            let fits = reader.bucket == bucket && key.starts_with(&reader.prefix);
            let order = Order::Bytes(format!("{line}\n").into_bytes());
            !fits || !matches!(reader.orders.try_send(order), Err(TrySendError::Disconnected(_)))
        });
    }

    /// Sends bytes as they are to every reader.
    pub fn raw(&self, bytes: &[u8]) {
        for reader in &self.shared.state().readers {
            let _ = reader.orders.try_send(Order::Bytes(bytes.to_vec()));
        }
    }

    /// Cuts every connection in the middle of a chunk.
    pub fn cut(&self) {
        for reader in self.shared.state().readers.drain(..) {
            let _ = reader.orders.try_send(Order::Cut);
        }
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        self.shared.state().stopped = true;
        self.cut();
        // So that the thread which waits for connections looks up.
        let _ = TcpStream::connect(self.at);
    }
}

fn serve(mut stream: &TcpStream, shared: &Shared) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.set_write_timeout(Some(SLOW))?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < 64 << 10 {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let (path, query) = target.split_once('?').unwrap_or((target.as_str(), ""));
    let wrong = wrong(&head, path, query, shared);
    let query: HashMap<String, String> = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (unescape(name), unescape(value)))
        .collect();
    let asked = Asked {
        path: path.to_owned(),
        query,
        wrong,
    };
    let (manner, ping, crumbs) = {
        let mut state = shared.state();
        state.asked.push(asked.clone());
        (state.manner, state.ping, state.crumbs)
    };
    let listing = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><ListBucketResult><Name>b</Name></ListBucketResult>";
    match manner {
        Manner::Closed => Ok(()),
        Manner::Listing => answer(stream, 200, "Content-Type: application/xml\r\n", listing),
        Manner::NamelessListing => answer(stream, 200, "", listing),
        Manner::Error(status, code) => answer(stream, status, "Content-Type: application/xml\r\n", &error(code)),
        Manner::Stream | Manner::Nameless if !asked.wrong.is_empty() => {
            let body = error("SignatureDoesNotMatch");
            answer(stream, 403, "Content-Type: application/xml\r\n", &body)
        }
        Manner::Stream => tell(
            stream,
            shared,
            &asked,
            "Content-Type: text/event-stream\r\n",
            ping,
            crumbs,
        ),
        Manner::Nameless => tell(stream, shared, &asked, "", ping, crumbs),
    }
}

fn error(code: &str) -> String {
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code><Message>No.</Message></Error>")
}

fn answer(mut stream: &TcpStream, status: u16, header: &str, body: &str) -> std::io::Result<()> {
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status} X\r\n{header}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

fn tell(
    mut stream: &TcpStream,
    shared: &Shared,
    asked: &Asked,
    header: &str,
    ping: (Ping, Duration),
    crumbs: usize,
) -> std::io::Result<()> {
    let (orders, waiting) = sync_channel(QUEUE);
    shared.state().readers.push(Reader {
        bucket: asked.path.trim_matches('/').to_owned(),
        prefix: asked.query.get("prefix").cloned().unwrap_or_default(),
        orders,
    });
    let head = format!("HTTP/1.1 200 OK\r\n{header}Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n");
    let mut begun = false;
    while let Some(bytes) = next(&waiting, ping, stream)? {
        if !std::mem::replace(&mut begun, true) {
            stream.write_all(head.as_bytes())?;
        }
        for piece in bytes.chunks(crumbs) {
            let mut chunk = format!("{:x}\r\n", piece.len()).into_bytes();
            chunk.extend_from_slice(piece);
            chunk.extend_from_slice(b"\r\n");
            stream.write_all(&chunk)?;
        }
    }
    Ok(())
}

/// What is to be sent next; none: the connection ends.
fn next(
    waiting: &Receiver<Order>,
    (ping, every): (Ping, Duration),
    mut stream: &TcpStream,
) -> std::io::Result<Option<Vec<u8>>> {
    loop {
        match waiting.recv_timeout(every) {
            Ok(Order::Bytes(bytes)) => return Ok(Some(bytes)),
            Ok(Order::Cut) => {
                stream.write_all(b"ff\r\n{\"Rec")?;
                return Ok(None);
            }
            Err(RecvTimeoutError::Disconnected) => return Ok(None),
            Err(RecvTimeoutError::Timeout) => match ping {
                Ping::Line => return Ok(Some(b"{\"Records\":null}\n".to_vec())),
                Ping::Space => return Ok(Some(b" ".to_vec())),
                Ping::Never => {}
            },
        }
    }
}

/// What is wrong with the signature of a request; empty: nothing.
fn wrong(head: &str, path: &str, query: &str, shared: &Shared) -> String {
    let header = |name: &str| {
        let value = head.lines().skip(1).find_map(|line| {
            let (known, value) = line.split_once(':')?;
            known.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        });
        value.unwrap_or_default()
    };
    let authorization = header("authorization");
    let Some(parts) = authorization.strip_prefix("AWS4-HMAC-SHA256 ") else {
        return format!("the Authorization header is {authorization:?}");
    };
    let part = |name: &str| {
        let found = parts.split(',').find_map(|part| part.trim().strip_prefix(name));
        found.unwrap_or_default().to_owned()
    };
    let (credential, signed) = (part("Credential="), part("SignedHeaders="));
    let scope: Vec<&str> = credential.split('/').collect();
    let [access, day, region, service, last] = scope[..] else {
        return format!("the credential is {credential:?}");
    };
    if access != shared.access || service != "s3" || last != "aws4_request" {
        return format!("the credential is {credential:?}");
    }
    for needed in ["host", "x-amz-date", "x-amz-content-sha256"] {
        if !signed.split(';').any(|name| name == needed) {
            return format!("{needed} is not signed, only {signed}");
        }
    }
    if header("x-amz-content-sha256") != EMPTY {
        return "the hash is not that of an empty body".to_owned();
    }
    let mut sorted: Vec<&str> = query.split('&').collect();
    sorted.sort_unstable();
    let headers: Vec<String> = signed
        .split(';')
        .map(|name| format!("{name}:{}", header(name)))
        .collect();
    let canonical = format!(
        "GET\n{path}\n{}\n{}\n\n{signed}\n{EMPTY}",
        sorted.join("&"),
        headers.join("\n")
    );
    let to_sign = format!(
        "AWS4-HMAC-SHA256\n{}\n{day}/{region}/s3/aws4_request\n{}",
        header("x-amz-date"),
        hex(&Sha256::digest(canonical.as_bytes()))
    );
    let mut key = format!("AWS4{}", shared.secret).into_bytes();
    for step in [day, region, "s3", "aws4_request"] {
        key = hmac(&key, step.as_bytes());
    }
    if hex(&hmac(&key, to_sign.as_bytes())) == part("Signature=") {
        String::new()
    } else {
        format!("the signature does not fit {canonical:?}")
    }
}

fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut block = [0; 64];
    if key.len() > block.len() {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let padded = |pad: u8| block.map(|byte| byte ^ pad);
    let inner = Sha256::new().chain_update(padded(0x36)).chain_update(text).finalize();
    Sha256::new()
        .chain_update(padded(0x5c))
        .chain_update(inner)
        .finalize()
        .to_vec()
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits
        .map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)]))
        .collect()
}

fn unescape(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut plain = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let code = text
            .get(at + 1..at + 3)
            .and_then(|code| u8::from_str_radix(code, 16).ok());
        match (bytes[at], code) {
            (b'%', Some(code)) => {
                plain.push(code);
                at += 3;
            }
            (byte, _) => {
                plain.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}
