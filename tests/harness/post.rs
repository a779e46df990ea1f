//! Requests as servers send them that tell of objects.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(dead_code, reason = "each test program uses its own part of this")]

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use serde_json::json;

/// A port of this machine that nobody has.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Sends a request and answers the status; none where nobody answers.
pub fn try_send(port: u16, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Option<u16> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_mins(1))).ok()?;
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n");
    for (name, value) in headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    if !headers.iter().any(|(name, _)| *name == "Transfer-Encoding") {
        let _ = write!(head, "Content-Length: {}\r\n", body.len());
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).ok()?;
    // Whoever refuses a body need not read it.
    let _ = stream.write_all(body);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).split(' ').nth(1)?.parse().ok()
}

/// The same where somebody answers.
pub fn send(port: u16, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> u16 {
    try_send(port, method, path, headers, body).unwrap_or_else(|| panic!("no answer to {method} {path}"))
}

/// Escaped as in a form: what servers do to keys that follow AWS.
pub fn form(key: &str) -> String {
    let mut text = String::new();
    for byte in key.bytes() {
        match byte {
            b' ' => text.push('+'),
            b'.' | b'-' | b'_' | b'*' => text.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => text.push(char::from(byte)),
            byte => {
                let _ = write!(text, "%{byte:02X}");
            }
        }
    }
    text
}

/// As AWS says it.
pub fn by_aws(bucket: &str, key: &str) -> String {
    json!({"Records": [{"eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "us-east-1",
        "eventTime": "2026-11-20T10:13:30.052Z", "eventName": "ObjectCreated:Put",
        "s3": {"s3SchemaVersion": "1.0", "configurationId": "n",
            "bucket": {"name": bucket, "arn": format!("arn:aws:s3:::{bucket}")},
            "object": {"key": form(key), "size": 5, "eTag": "5d41402abc4b2a76b9719d911017c592"}}}]})
    .to_string()
}

/// As `MinIO` says it, in the spelling of its language.
pub fn by_minio(bucket: &str, key: &str) -> String {
    json!({"EventName": "s3:ObjectCreated:Put", "Key": format!("{bucket}/{key}"),
        "Records": [{"eventVersion": "2.0", "eventSource": "minio:s3", "awsRegion": "",
            "eventTime": "2026-11-20T10:13:30.052Z", "eventName": "s3:ObjectCreated:Put",
            "s3": {"s3SchemaVersion": "1.0", "configurationId": "Config",
                "bucket": {"name": bucket, "ownerIdentity": {"principalId": "minio"}},
                "object": {"key": form(key), "eTag": "5d41402abc4b2a76b9719d911017c592",
                    "userMetadata": {"content-type": "video/mp4"}, "sequencer": "17F0"}}}]})
    .to_string()
    .replace('&', "\\u0026")
}

/// As Ceph says it.
pub fn by_ceph(bucket: &str, key: &str) -> String {
    json!({"Records": [{"eventVersion": "2.2", "eventSource": "ceph:s3", "awsRegion": "",
        "eventTime": "2026-11-20T10:12:47.634423Z", "eventName": "ObjectCreated:Put",
        "s3": {"s3SchemaVersion": "1.0", "configurationId": "n",
            "bucket": {"name": bucket, "arn": format!("arn:aws:s3:::{bucket}"), "id": "a.1"},
            "object": {"key": key, "size": "5", "eTag": "5d41402abc4b2a76b9719d911017c592", "versionId": "",
                "sequencer": "1F1D", "metadata": [{"key": "x-amz-meta-k", "val": "v"}], "tags": []}},
        "eventId": "1.2.5d", "opaqueData": ""}]})
    .to_string()
}
