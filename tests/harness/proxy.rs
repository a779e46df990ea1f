//! Stands between the daemon and a server, and does to requests what networks and servers do.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(dead_code, reason = "each test program uses its own part of this")]

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What happens to a request.
#[derive(Debug, Clone)]
pub enum Fault {
    /// The connection ends before the server hears of it.
    Cut,
    /// The server carries it out, and nobody hears the answer.
    LoseAnswer,
    /// So many bytes of the answer's body come, and then nothing more.
    CutBody(u64),
    /// An answer of the server's own: status line and body.
    Answer(&'static str, &'static str),
}

/// Which requests suffer, and how many of them.
struct Plan {
    method: &'static str,
    part: String,
    left: u32,
    fault: Fault,
}

struct Inside {
    server: String,
    routes: Mutex<Vec<(String, String)>>,
    plans: Mutex<Vec<Plan>>,
    /// The first lines of all requests.
    heard: Mutex<Vec<String>>,
    away: AtomicBool,
    stop: AtomicBool,
    /// Bytes a second of answers; 0: as fast as they come.
    pace: AtomicU64,
    bytes: AtomicU64,
}

/// A proxy on a port of its own.
pub struct Proxy {
    inside: Arc<Inside>,
    port: u16,
}

impl Proxy {
    /// In front of a server, given as `address:port`.
    pub fn before(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let inside = Arc::new(Inside {
            server: server.to_owned(),
            routes: Mutex::default(),
            plans: Mutex::default(),
            heard: Mutex::default(),
            away: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            pace: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        });
        let shared = inside.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if shared.stop.load(Ordering::SeqCst) {
                    return;
                }
                let shared = shared.clone();
                std::thread::spawn(move || {
                    let _ = serve(&shared, &client);
                });
            }
        });
        Self { inside, port }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The next `count` requests of this method whose first line holds `part` suffer this.
    pub fn plan(&self, method: &'static str, part: &str, count: u32, fault: Fault) {
        self.inside.plans.lock().unwrap().push(Plan {
            method,
            part: part.to_owned(),
            left: count,
            fault,
        });
    }

    /// Requests whose first line holds `part` go to another server.
    pub fn route(&self, part: &str, server: &str) {
        self.inside
            .routes
            .lock()
            .unwrap()
            .push((part.to_owned(), server.to_owned()));
    }

    /// How many requests that were planned have not come.
    pub fn planned(&self) -> u32 {
        self.inside.plans.lock().unwrap().iter().map(|plan| plan.left).sum()
    }

    /// Every connection ends at once, or not.
    pub fn set_away(&self, away: bool) {
        self.inside.away.store(away, Ordering::SeqCst);
    }

    /// Answers come so fast, in bytes a second, all of them together.
    pub fn set_pace(&self, bytes: u64) {
        self.inside.pace.store(bytes, Ordering::SeqCst);
    }

    /// First lines of requests so far that hold `part`.
    pub fn heard(&self, part: &str) -> usize {
        let heard = self.inside.heard.lock().unwrap();
        heard.iter().filter(|line| line.contains(part)).count()
    }

    /// Bytes of answers so far.
    pub fn bytes(&self) -> u64 {
        self.inside.bytes.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.inside.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// One request, one answer, and the end of the connection.
fn serve(inside: &Inside, client: &TcpStream) -> io::Result<()> {
    client.set_nodelay(true)?;
    if inside.away.load(Ordering::SeqCst) {
        return client.shutdown(Shutdown::Both);
    }
    let mut reader = BufReader::new(client.try_clone()?);
    let (first, head) = head(&mut reader)?;
    if first.is_empty() {
        return Ok(());
    }
    let fault = fault(inside, &first);
    inside.heard.lock().unwrap().push(first.clone());
    if matches!(fault, Some(Fault::Cut)) {
        return client.shutdown(Shutdown::Both);
    }
    let mut writer = client.try_clone()?;
    if head
        .iter()
        .any(|line| line.eq_ignore_ascii_case("expect: 100-continue"))
    {
        writer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let body = body(&mut reader, &head)?;
    if let Some(Fault::Answer(status, text)) = &fault {
        let length = text.len();
        write!(
            writer,
            "HTTP/1.1 {status}\r\nContent-Type: application/xml\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}"
        )?;
        return client.shutdown(Shutdown::Both);
    }
    let route = inside
        .routes
        .lock()
        .unwrap()
        .iter()
        .find(|(part, _)| first.contains(part))
        .cloned();
    let mut server = TcpStream::connect(route.map_or_else(|| inside.server.clone(), |(_, server)| server))?;
    server.set_nodelay(true)?;
    let mut request = format!("{first}\r\n").into_bytes();
    for line in &head {
        let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        if !matches!(name.as_str(), "connection" | "expect") {
            request.extend_from_slice(line.as_bytes());
            request.extend_from_slice(b"\r\n");
        }
    }
    request.extend_from_slice(b"Connection: close\r\n\r\n");
    server.write_all(&request)?;
    server.write_all(&body)?;
    let mut answer = BufReader::new(server);
    if matches!(fault, Some(Fault::LoseAnswer)) {
        io::copy(&mut answer, &mut io::sink())?;
        return client.shutdown(Shutdown::Both);
    }
    pass(inside, &mut answer, &mut writer, fault.as_ref())?;
    client.shutdown(Shutdown::Both)
}

/// Passes an answer on: its head as it is, its body as fast as is said.
fn pass(inside: &Inside, answer: &mut impl BufRead, writer: &mut TcpStream, fault: Option<&Fault>) -> io::Result<()> {
    let mut line = Vec::new();
    loop {
        line.clear();
        if answer.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let is_end = line == b"\r\n";
        if is_end {
            writer.write_all(b"Connection: close\r\n")?;
        }
        if !line.to_ascii_lowercase().starts_with(b"connection:") {
            writer.write_all(&line)?;
        }
        if is_end {
            break;
        }
    }
    let mut left = match fault {
        Some(Fault::CutBody(bytes)) => *bytes,
        _ => u64::MAX,
    };
    let mut piece = vec![0; 64 << 10];
    let began = Instant::now();
    let mut sent = 0_u64;
    while left > 0 {
        let most = usize::try_from(left.min(piece.len() as u64)).unwrap();
        let count = answer.read(&mut piece[..most])?;
        if count == 0 {
            break;
        }
        writer.write_all(&piece[..count])?;
        left -= count as u64;
        sent += count as u64;
        inside.bytes.fetch_add(count as u64, Ordering::SeqCst);
        let pace = inside.pace.load(Ordering::SeqCst);
        if pace > 0 {
            let due = Duration::from_secs_f64(sent as f64 / pace as f64);
            std::thread::sleep(due.saturating_sub(began.elapsed()));
        }
    }
    Ok(())
}

fn fault(inside: &Inside, first: &str) -> Option<Fault> {
    let mut plans = inside.plans.lock().unwrap();
    let hit = plans
        .iter_mut()
        .find(|plan| plan.left > 0 && first.starts_with(plan.method) && first.contains(&plan.part))?;
    hit.left -= 1;
    Some(hit.fault.clone())
}

fn head(reader: &mut impl BufRead) -> io::Result<(String, Vec<String>)> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line == "\r\n" {
            break;
        }
        lines.push(line.trim_end().to_owned());
    }
    if lines.is_empty() {
        return Ok((String::new(), lines));
    }
    Ok((lines.remove(0), lines))
}

/// The body as it came, chunks and all.
fn body(reader: &mut impl BufRead, head: &[String]) -> io::Result<Vec<u8>> {
    let value = |name: &str| {
        head.iter().find_map(|line| {
            let (known, value) = line.split_once(':')?;
            known
                .eq_ignore_ascii_case(name)
                .then(|| value.trim().to_ascii_lowercase())
        })
    };
    let mut body = Vec::new();
    if value("transfer-encoding").is_some_and(|encoding| encoding.contains("chunked")) {
        loop {
            let start = body.len();
            reader.read_until(b'\n', &mut body)?;
            let size = String::from_utf8_lossy(&body[start..]);
            let size = u64::from_str_radix(size.trim().split(';').next().unwrap_or("0"), 16).unwrap_or(0);
            reader.take(size + 2).read_to_end(&mut body)?;
            if size == 0 {
                return Ok(body);
            }
        }
    }
    if let Some(length) = value("content-length").and_then(|length| length.parse().ok()) {
        reader.take(length).read_to_end(&mut body)?;
    }
    Ok(body)
}
