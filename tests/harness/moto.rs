//! moto, a server that speaks S3 and SQS, for tests. `tests/run.sh` installs it; whoever is let in is not asked.

#![allow(clippy::missing_panics_doc, reason = "a test may panic")]
#![allow(dead_code, reason = "each test program uses its own part of this")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long it may take to start. Generous: machines are shared.
const PATIENCE: Duration = Duration::from_mins(1);

/// Starts the server, and ends it when the standard input ends: so it goes away with whoever started it, however that
/// ends.
const KEEPER: &str =
    r#""$1" -H 127.0.0.1 -p "$2" >"$3" 2>&1 </dev/null & server=$!; cat >/dev/null; kill $server; wait; rm -f "$3""#;

/// What any client may say that it is.
pub const ACCESS_KEY: &str = "moto";
/// The secret that goes with it.
pub const SECRET_KEY: &str = "motomoto";

const AUTHORIZATION: &str = "AWS4-HMAC-SHA256 Credential=moto/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, \
                             Signature=0";

/// A server on a port of its own. It ends with this.
#[derive(Debug)]
pub struct Moto {
    port: u16,
    keeper: Child,
    log: PathBuf,
}

impl Moto {
    /// A server that has nothing in it yet.
    #[must_use]
    pub fn start() -> Self {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-servers/moto/bin/moto_server");
        assert!(
            program.exists(),
            "{} is missing: tests/run.sh installs it",
            program.display()
        );
        for _ in 0..5 {
            if let Some(moto) = Self::attempt(&program) {
                return moto;
            }
        }
        panic!("moto does not start; remove target/test-servers and run tests/run.sh, which installs it anew");
    }

    fn attempt(program: &Path) -> Option<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        drop(listener);
        let log = std::env::temp_dir().join(format!("reelmill-moto-{port}.log"));
        #[allow(clippy::disallowed_methods, reason = "a server for tests")]
        let keeper = Command::new("sh")
            .args(["-c", KEEPER, "sh"])
            .arg(program)
            .arg(port.to_string())
            .arg(&log)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh");
        let moto = Self { port, keeper, log };
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            match moto.try_request("GET", "/moto-api/seed?a=1", &[], b"") {
                Ok(_) => return Some(moto),
                Err(_) if moto.has_given_up() => break,
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
        eprintln!("moto: {}", std::fs::read_to_string(&moto.log).unwrap_or_default());
        None
    }

    /// Whether somebody else has the port.
    fn has_given_up(&self) -> bool {
        std::fs::read_to_string(&self.log).is_ok_and(|log| log.contains("in use") || log.contains("Traceback"))
    }

    /// One for all tests of a process.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Moto> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// Where it is: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Makes a new bucket whose name begins so, and tells its name.
    pub fn bucket(&self, prefix: &str) -> String {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("{prefix}-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let (status, said) = self.request("PUT", &format!("/{name}"), &[], b"");
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&said));
        name
    }

    /// Puts an object into a bucket.
    pub fn put(&self, bucket: &str, key: &[u8], bytes: &[u8]) {
        let (status, said) = self.request("PUT", &path(bucket, key), &[], bytes);
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&said));
    }

    /// The bytes of an object; none where there is none.
    pub fn get(&self, bucket: &str, key: &[u8]) -> Option<Vec<u8>> {
        let (status, bytes) = self.request("GET", &path(bucket, key), &[], b"");
        (status == 200).then_some(bytes)
    }

    /// Takes an object out of a bucket.
    pub fn remove(&self, bucket: &str, key: &[u8]) {
        let (status, said) = self.request("DELETE", &path(bucket, key), &[], b"");
        assert_eq!(status, 204, "{}", String::from_utf8_lossy(&said));
    }

    /// Asks anything, as somebody who may: the status of the answer, and its body.
    pub fn request(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> (u16, Vec<u8>) {
        self.try_request(method, target, headers, body)
            .unwrap_or_else(|error| panic!("moto does not answer {method} {target}: {error}"))
    }

    fn try_request(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> std::io::Result<(u16, Vec<u8>)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut head = format!(
            "{method} {target} HTTP/1.0\r\nHost: 127.0.0.1:{}\r\nContent-Length: {}\r\n",
            self.port,
            body.len()
        );
        // Whoever says nothing about himself may not write over objects.
        if !headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("authorization"))
        {
            head.extend(["Authorization: ", AUTHORIZATION, "\r\n"]);
        }
        for (name, value) in headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes())?;
        stream.write_all(body)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let strange = || std::io::Error::other("no HTTP");
        let end = answer
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .ok_or_else(strange)?;
        let status = std::str::from_utf8(&answer[..end])
            .ok()
            .and_then(|head| head.split(' ').nth(1)?.parse().ok())
            .ok_or_else(strange)?;
        Ok((status, answer.split_off(end + 4)))
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// `/bucket/key`, so that it can stand in a request.
fn path(bucket: &str, key: &[u8]) -> String {
    let mut path = format!("/{bucket}/");
    for &byte in key {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            path.push(char::from(byte));
        } else {
            path.extend([format!("%{byte:02X}")]);
        }
    }
    path
}
