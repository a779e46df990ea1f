use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use tokio::task::JoinSet;

use super::super::ears::Ears;
use super::*;

const SECRET: &str = "open sesame";
const BODY: &str = r#"{"Records":[{"eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"b"},"object":{"key":"in/a"}}},
    {"eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"b"},"object":{"key":"in/b"}}}]}"#;

struct Served {
    at: SocketAddr,
    ears: Ears,
    _loops: JoinSet<()>,
}

impl Served {
    async fn new() -> Self {
        let ears = Ears::default();
        let name: BucketName = "inbox".parse().unwrap();
        let hooks = Hooks::new([(&name, SECRET, Arc::new(ears.clone()) as Arc<dyn Sink>)]);
        assert!(!hooks.is_empty());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let mut loops = JoinSet::new();
        loops.spawn(async move { axum::serve(listener, router(hooks)).await.unwrap() });
        Self {
            at,
            ears,
            _loops: loops,
        }
    }

    /// Sends bytes as they are; the answer's status, if there is one.
    async fn raw(&self, bytes: Vec<u8>) -> Option<u16> {
        let at = self.at;
        let ask = move || {
            let mut stream = TcpStream::connect(at).unwrap();
            // A server that refuses a long body may close before it has all.
            let _ = stream.write_all(&bytes);
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer);
            String::from_utf8_lossy(&answer).split(' ').nth(1)?.parse().ok()
        };
        tokio::task::spawn_blocking(ask).await.unwrap()
    }

    async fn ask(&self, method: &str, path: &str, authorization: Option<&str>, body: &str) -> u16 {
        let header = authorization.map_or(String::new(), |value| format!("Authorization: {value}\r\n"));
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{header}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.raw(request.into_bytes()).await.expect("an answer")
    }

    fn kept(&self) -> usize {
        self.ears.with(|heard| heard.kept.len())
    }
}

fn bearer(secret: &str) -> String {
    format!("Bearer {secret}")
}

#[tokio::test]
async fn whoever_knows_the_secret_may_tell_of_objects() {
    let served = Served::new().await;
    let basic = format!("Basic {}", STANDARD.encode(format!("anybody:{SECRET}")));
    for (path, authorization) in [
        ("/hooks/inbox", Some(bearer(SECRET))),
        ("/hooks/inbox", Some(format!("bearer  {SECRET}"))),
        ("/hooks/inbox", Some(basic)),
        ("/hooks/inbox/open%20sesame", None),
    ] {
        let before = served.kept();
        let status = served.ask("POST", path, authorization.as_deref(), BODY).await;
        assert_eq!((status, served.kept()), (200, before + 1), "{path} {authorization:?}");
    }
    let keys = served.ears.with(|heard| heard.kept[0].clone());
    assert_eq!(keys, ["in/a", "in/b"]);
}

#[tokio::test]
async fn whoever_does_not_is_sent_away_and_nothing_starts() {
    let served = Served::new().await;
    let empty = format!("Basic {}", STANDARD.encode("anybody"));
    for (path, authorization, status) in [
        ("/hooks/inbox", None, 401),
        ("/hooks/inbox", Some("Bearer open"), 403),
        ("/hooks/inbox", Some("Bearer open sesame and more"), 403),
        ("/hooks/inbox", Some("Bearer"), 403),
        ("/hooks/inbox", Some("Basic ???"), 403),
        ("/hooks/inbox", Some(empty.as_str()), 403),
        ("/hooks/inbox/wrong", None, 403),
        ("/hooks/inbox/wrong", Some("Bearer open sesame"), 403),
        ("/hooks/another", Some("Bearer open sesame"), 404),
        ("/hooks/another/open%20sesame", None, 404),
        ("/hooks/another", None, 404),
        ("/hooks", Some("Bearer open sesame"), 404),
        ("/", None, 404),
    ] {
        assert_eq!(
            served.ask("POST", path, authorization, BODY).await,
            status,
            "{path} {authorization:?}"
        );
    }
    assert_eq!(
        served.ask("DELETE", "/hooks/inbox", Some(&bearer(SECRET)), "").await,
        405
    );
    assert_eq!(served.kept(), 0);
    assert!(served.ears.with(|heard| heard.quarantined.is_empty()));
}

#[tokio::test]
async fn those_who_only_look_whether_somebody_is_here_are_answered() {
    let served = Served::new().await;
    let right = bearer(SECRET);
    for (method, authorization, body, status) in [
        ("HEAD", None, "", 200),
        ("POST", None, "", 200),
        ("HEAD", Some(right.as_str()), "", 200),
        ("GET", Some(right.as_str()), "", 200),
        ("POST", Some(right.as_str()), "", 200),
        ("POST", Some(right.as_str()), "{\"Records\":null}", 200),
        ("POST", Some(right.as_str()), "{\"Event\":\"s3:TestEvent\"}", 200),
        ("GET", None, "", 401),
        ("POST", None, "{\"Records\":null}", 401),
        ("HEAD", Some("Bearer wrong"), "", 403),
        ("POST", Some("Bearer wrong"), "", 403),
    ] {
        let answer = served.ask(method, "/hooks/inbox", authorization, body).await;
        assert_eq!(answer, status, "{method} {authorization:?} {body}");
    }
    assert_eq!(served.kept(), 0);
    assert!(served.ears.with(|heard| heard.quarantined.is_empty()));
}

#[tokio::test]
async fn success_means_that_it_is_written_down() {
    let served = Served::new().await;
    let right = bearer(SECRET);
    served.ears.with(|heard| heard.failures = 2);
    assert_eq!(served.ask("POST", "/hooks/inbox", Some(&right), BODY).await, 503);
    assert_eq!(served.ask("POST", "/hooks/inbox", Some(&right), "hello").await, 503);
    assert_eq!(served.kept(), 0);
    assert_eq!(served.ask("POST", "/hooks/inbox", Some(&right), BODY).await, 200);
    assert_eq!(served.kept(), 1);
}

#[tokio::test]
async fn what_cannot_be_understood_is_kept_for_people_and_not_sent_again() {
    let served = Served::new().await;
    let right = bearer(SECRET);
    assert_eq!(served.ask("POST", "/hooks/inbox", Some(&right), "<xml/>").await, 200);
    let quarantined = served.ears.with(|heard| heard.quarantined.clone());
    assert_eq!(quarantined.len(), 1);
    assert_eq!(quarantined[0].0, b"<xml/>");
    assert!(quarantined[0].1.contains("not JSON"), "{}", quarantined[0].1);
}

#[tokio::test]
async fn a_body_has_a_longest_length_whether_it_says_so_or_not() {
    let served = Served::new().await;
    let header = format!(
        "POST /hooks/inbox HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: {}\r\n",
        bearer(SECRET)
    );
    let said = format!("{header}Content-Length: {}\r\n\r\n", LONGEST + 1);
    assert_eq!(served.raw(said.into_bytes()).await, Some(413));
    let mut chunked = format!("{header}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
    for _ in 0..17 {
        chunked.extend_from_slice(b"10000\r\n");
        chunked.extend(std::iter::repeat_n(b' ', 0x10000));
        chunked.extend_from_slice(b"\r\n");
    }
    // One who still sends may find the connection closed instead of an answer.
    let answer = served.raw(chunked).await;
    assert!(matches!(answer, Some(413) | None), "{answer:?}");
    let whole = format!("{BODY}{}", " ".repeat(LONGEST - BODY.len()));
    assert_eq!(
        served.ask("POST", "/hooks/inbox", Some(&bearer(SECRET)), &whole).await,
        200
    );
    assert_eq!(served.kept(), 1);
}

#[test]
fn a_secret_is_the_same_only_where_all_of_it_is() {
    let secret = Secret::of(b"one");
    assert!(secret.is(Secret::of(b"one")));
    for other in ["", "o", "one ", "onf", "One"] {
        assert!(!secret.is(Secret::of(other.as_bytes())), "{other}");
    }
}
