//! A daemon beside a double that keeps its objects, and how long its jobs take.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::harness::{self, House};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A config that takes requests about objects, and the address for them.
pub fn with_hooks(endpoint: &str, more: &str) -> (String, String) {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    let more = format!("webhook = {{ secret = \"{SECRET}\" }}\n{more}");
    let config = harness::far::config(endpoint, "uploads", "results", &more);
    (format!("{config}\n[http]\nlisten = \"{address}\"\n"), address)
}

/// What a server writes of a new object.
pub fn event(key: &str) -> String {
    format!(
        r#"{{"Records":[{{"eventSource":"aws:s3","eventName":"ObjectCreated:Put","eventTime":"{}","s3":{{"bucket":{{"name":"uploads"}},"object":{{"key":"{key}"}}}}}}]}}"#,
        Timestamp::now()
    )
}

/// Tells the daemon of a new object.
pub fn post(address: &str, key: &str) {
    let body = event(key);
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!(
        "POST /hooks/uploads/{SECRET} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// When things of one job happened, counted from the same moment.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Times {
    /// The job was written down.
    pub queued: f64,
    /// Work on it began.
    pub started: f64,
    /// Bytes of a result lay in scratch.
    pub output: f64,
    /// The job ended.
    pub ended: f64,
}

/// Waits for the next job, from before it is caused, and until it ends.
pub fn follow(house: &House, cause: impl FnOnce()) -> Times {
    let scratch = house.path("published/.reelmill");
    let known = house.jobs().len();
    let (begin, clock) = (Timestamp::now(), Instant::now());
    cause();
    while !has_output(&scratch) {
        assert!(clock.elapsed() < Duration::from_mins(5), "{}", house.log());
        std::thread::sleep(Duration::from_millis(1));
    }
    let output = clock.elapsed().as_secs_f64();
    let job = house.wait_for_jobs(known + 1).swap_remove(0);
    assert_eq!(job["state"], "succeeded", "{job:#}\n{}", house.log());
    let since = |field: &str| {
        let at: Timestamp = job[field].as_str().unwrap().parse().unwrap();
        at.duration_since(begin).as_secs_f64()
    };
    Times {
        queued: since("created"),
        started: since("started"),
        output,
        ended: since("ended"),
    }
}

/// Whether a file in there has bytes that is no source.
fn has_output(folder: &Path) -> bool {
    let entries: Vec<PathBuf> =
        fs::read_dir(folder).map_or(Vec::new(), |all| all.flatten().map(|one| one.path()).collect());
    entries.iter().any(|path| match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => has_output(path),
        Ok(found) => {
            let is_medium = path.extension().is_some_and(|ending| ending != "source");
            is_medium && found.len() > 0
        }
        Err(_) => false,
    })
}

/// The middle one.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
