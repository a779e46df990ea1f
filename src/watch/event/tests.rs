use std::fmt::Write as _;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// What the servers really sent, and what it means.
const BODIES: [(&str, &[u8]); 10] = [
    ("ceph-amqp", include_bytes!("bodies/ceph-amqp.json")),
    ("ceph-http", include_bytes!("bodies/ceph-http.json")),
    (
        "localstack-eventbridge-sqs",
        include_bytes!("bodies/localstack-eventbridge-sqs.json"),
    ),
    (
        "localstack-s3-testevent",
        include_bytes!("bodies/localstack-s3-testevent.json"),
    ),
    ("localstack-sns-sqs", include_bytes!("bodies/localstack-sns-sqs.json")),
    ("localstack-sqs", include_bytes!("bodies/localstack-sqs.json")),
    (
        "moto-eventbridge-sqs",
        include_bytes!("bodies/moto-eventbridge-sqs.json"),
    ),
    ("moto-s3-testevent", include_bytes!("bodies/moto-s3-testevent.json")),
    ("moto-sns-sqs", include_bytes!("bodies/moto-sns-sqs.json")),
    ("moto-sqs", include_bytes!("bodies/moto-sqs.json")),
];

/// Keys that are hard to hand on.
fn hard_keys() -> Vec<String> {
    let mut keys: Vec<String> = [
        "a b+c&d%2F.mp4",
        "100%.mp4",
        "ü",
        "日本",
        "in/a\nb.mp4",
        "%",
        "%%4",
        "a\"\\b",
    ]
    .map(str::to_owned)
    .into();
    keys.push(format!("long/{}", "x".repeat(1019)));
    keys
}

fn notices(message: &Value, transport: Transport) -> Vec<(Option<String>, String)> {
    said(&parse(message.to_string().as_bytes(), transport).unwrap())
}

fn said(parsed: &Parsed) -> Vec<(Option<String>, String)> {
    let of = |notice: &Notice| {
        let key = String::from_utf8(notice.key.as_bytes().to_vec()).unwrap();
        (notice.bucket.clone(), key)
    };
    parsed.notices.iter().map(of).collect()
}

/// As Go's `url.QueryEscape` and `urllib.parse.quote_plus` do.
fn escape(key: &str) -> String {
    let mut escaped = String::new();
    for byte in key.bytes() {
        match byte {
            b' ' => escaped.push('+'),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => escaped.push(byte.into()),
            other => write!(escaped, "%{other:02X}").unwrap(),
        }
    }
    escaped
}

fn record(source: &str, name: &str, key: &str) -> Value {
    json!({"eventVersion": "2.1", "eventSource": source, "eventName": name, "eventTime": "2026-11-20T10:13:30.052Z",
        "s3": {"bucket": {"name": "b"}, "object": {"key": key, "size": 5}}})
}

fn records(list: &[Value]) -> Value {
    json!({"Records": list})
}

fn one(bucket: &str, key: &str) -> Vec<(Option<String>, String)> {
    vec![(Some(bucket.to_owned()), key.to_owned())]
}

#[test]
fn what_servers_really_sent_is_understood() {
    let table = [
        ("ceph-amqp", one("nbkt-d", "dir/x y.txt"), 0),
        ("ceph-http", one("nbkt", "in/a b+ü.mp4"), 0),
        ("localstack-eventbridge-sqs", one("nbkt3", "x"), 0),
        ("localstack-s3-testevent", Vec::new(), 0),
        ("localstack-sns-sqs", one("nbkt2", "x"), 0),
        ("localstack-sqs", one("nbkt", "in/a b+ü.mp4"), 0),
        ("moto-eventbridge-sqs", Vec::new(), 1),
        ("moto-s3-testevent", Vec::new(), 0),
        ("moto-sns-sqs", one("nbkt2", "x"), 0),
        ("moto-sqs", one("nbkt", "in/a b+ü.mp4"), 0),
    ];
    for ((name, body), (same, expected, ignored)) in BODIES.iter().zip(table) {
        assert_eq!(*name, same);
        let parsed = parse(body, Transport::Message).unwrap();
        assert_eq!(said(&parsed), expected, "{name}");
        assert_eq!(parsed.ignored, ignored, "{name}");
        for notice in &parsed.notices {
            let time = notice.event.expect("a time").to_string();
            assert!(time.starts_with("2026-11-20T10:"), "{name}: {time}");
        }
    }
}

#[test]
fn every_key_comes_through_every_transport() {
    for key in hard_keys() {
        let escaped = escape(&key);
        let listed = |source: &str, written: &str| records(&[record(source, "ObjectCreated:Put", written)]);
        let minio = |written: &str| {
            let mut message = listed("minio:s3", written);
            message["EventName"] = "s3:ObjectCreated:Put".into();
            message["Key"] = format!("b/{key}").into();
            message
        };
        let topic = |inner: Value| json!({"Type": "Notification", "TopicArn": "arn:t", "Message": inner.to_string()});
        let bridge = json!({"detail-type": "Object Created", "source": "aws.s3", "time": "2026-11-20T10:26:17Z",
            "detail": {"bucket": {"name": "b"}, "object": {"key": key, "size": 1}, "reason": "PutObject"}});
        let access = json!([{"Event": [record("minio:s3", "s3:ObjectCreated:Put", &escaped)], "EventTime": "x"}]);
        let pushed = minio(&escaped);
        let mut bare = pushed.clone();
        bare.as_object_mut().unwrap().remove("Records");
        let table = [
            ("AWS", listed("aws:s3", &escaped), Transport::Message),
            ("SNS", topic(listed("aws:s3", &escaped)), Transport::Message),
            ("EventBridge", bridge.clone(), Transport::Message),
            ("EventBridge in SNS", topic(bridge), Transport::Message),
            ("MinIO pushes", pushed, Transport::Message),
            ("MinIO says only the name", bare, Transport::Message),
            ("MinIO in Redis", access, Transport::Message),
            ("MinIO streams", listed("minio:s3", &key), Transport::Listen),
            ("RustFS pushes", listed("rustfs:s3", &escaped), Transport::Message),
            ("RustFS streams", listed("rustfs:s3", &escaped), Transport::Listen),
            ("Ceph", listed("ceph:s3", &key), Transport::Message),
        ];
        for (name, message, transport) in table {
            assert_eq!(notices(&message, transport), one("b", &key), "{name}");
        }
    }
}

#[test]
fn slashes_may_be_escaped_or_not_and_bytes_need_not_be_text() {
    let key = |written: &str| {
        let body = records(&[record("aws:s3", "ObjectCreated:Put", written)]).to_string();
        let parsed = parse(body.as_bytes(), Transport::Message).unwrap();
        parsed.notices[0].key.as_bytes().to_vec()
    };
    assert_eq!(key("in/a%2Fb"), b"in/a/b");
    assert_eq!(key("in%2fa%2Fb"), b"in/a/b");
    assert_eq!(key("in/%ff"), b"in/\xff");
    assert_eq!(key("100%.mp4"), b"100%.mp4");
    assert_eq!(key("a%2"), b"a%2");
}

#[test]
fn go_writes_an_ampersand_as_an_escape() {
    let body = br#"{"EventName":"s3:ObjectCreated:Put","Key":"b/a\u0026b","Records":[{"eventSource":"minio:s3",
        "eventName":"s3:ObjectCreated:Put","s3":{"bucket":{"name":"b"},"object":{"key":"a\u0026b"}}}]}"#;
    let parsed = parse(body, Transport::Listen).unwrap();
    assert_eq!(said(&parsed), one("b", "a&b"));
}

#[test]
fn every_record_counts() {
    let message = records(&[
        record("aws:s3", "ObjectCreated:Put", "one"),
        record("aws:s3", "ObjectRemoved:Delete", "gone"),
        json!({"eventName": "ObjectCreated:Put"}),
        json!(17),
        record("aws:s3", "s3:ObjectCreated:CompleteMultipartUpload", "two"),
        record("aws:s3", "ObjectCreated:Put", "a//b"),
        record("aws:s3", "ObjectCreated:Put", "directory/"),
        record("aws:s3", "ObjectCreated:Put", &"x".repeat(4000)),
        record("aws:s3", "ObjectCreated:Copy", "three"),
    ]);
    let parsed = parse(message.to_string().as_bytes(), Transport::Message).unwrap();
    let keys: Vec<_> = said(&parsed).into_iter().map(|(_, key)| key).collect();
    assert_eq!(keys, ["one", "two", "three"]);
    assert_eq!(parsed.ignored, 6);
}

#[test]
fn only_what_may_be_new_is_told_of() {
    for (name, new) in [
        ("ObjectCreated:Put", true),
        ("s3:ObjectCreated:Post", true),
        ("ObjectCreated:Copy", true),
        ("ObjectCreated:CompleteMultipartUpload", true),
        ("ObjectCreated:SomethingLater", true),
        ("ObjectSynced:Create", true),
        ("ObjectCreated:PutTagging", false),
        ("ObjectCreated:DeleteTagging", false),
        ("s3:ObjectCreated:PutRetention", false),
        ("s3:ObjectCreated:PutLegalHold", false),
        ("ObjectRemoved:Delete", false),
        ("ObjectRestore:Completed", false),
        ("ObjectSynced:Delete", false),
        ("ObjectAccessed:Get", false),
    ] {
        let parsed = parse(
            records(&[record("aws:s3", name, "k")]).to_string().as_bytes(),
            Transport::Message,
        )
        .unwrap();
        assert_eq!(
            (parsed.notices.len(), parsed.ignored),
            (usize::from(new), u32::from(!new)),
            "{name}"
        );
    }
    let mut nameless = record("aws:s3", "", "k");
    nameless.as_object_mut().unwrap().remove("eventName");
    assert_eq!(
        notices(&records(&[nameless]), Transport::Message).len(),
        1,
        "the bucket will say"
    );
}

#[test]
fn pings_and_tests_tell_of_nothing() {
    for body in [
        "",
        " \n ",
        "{\"Records\":null}",
        "{\"Records\":[]}",
        "[]",
        r#"{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"b"}"#,
        r#"{"Type":"Notification","Message":"{\"Service\":\"Amazon S3\",\"Event\":\"s3:TestEvent\"}"}"#,
    ] {
        assert_eq!(
            parse(body.as_bytes(), Transport::Message).unwrap(),
            Parsed::default(),
            "{body}"
        );
    }
}

#[test]
fn whatever_else_is_not_understood_and_the_reason_is_said() {
    for (body, reason) in [
        ("hello", "it is not JSON"),
        ("{\"Records\":[{]}", "it is not JSON"),
        ("{\"Records\":[]} and more", "it is not JSON"),
        ("<ListBucketResult/>", "it is not JSON"),
        ("17", "tells of objects in no way"),
        ("{}", "tells of objects in no way"),
        ("{\"Records\":\"none\"}", "tells of objects in no way"),
        ("[{\"hello\":1}]", "tells of objects in no way"),
        ("{\"Type\":\"Notification\",\"Message\":\"hello\"}", "it is not JSON"),
        (
            "{\"Type\":\"SubscriptionConfirmation\",\"Message\":\"You have chosen to subscribe\"}",
            "open the SubscribeURL",
        ),
    ] {
        let error = parse(body.as_bytes(), Transport::Message).unwrap_err().to_string();
        assert!(error.contains(reason), "{body}: {error}");
    }
    assert!(parse(b"\xff\xfe{", Transport::Message).is_err());
    let mut nested = json!({"Records": null});
    for _ in 0..10 {
        nested = json!({"Message": nested.to_string()});
    }
    assert!(parse(nested.to_string().as_bytes(), Transport::Message).is_err());
}

#[test]
fn values_of_unexpected_kinds_count_as_absent() {
    let message = json!({"Records": [{
        "eventVersion": 2.1, "eventSource": null, "eventTime": 17, "eventName": ["x"], "userIdentity": "me",
        "s3": {"bucket": {"name": 12, "arn": {}}, "object": {"key": 2026, "size": "5", "eTag": null, "versionId": ""}}}],
        "EventName": {}, "Key": null, "Type": 1});
    let parsed = parse(message.to_string().as_bytes(), Transport::Message).unwrap();
    assert_eq!(said(&parsed), one("12", "2026"));
    assert_eq!(parsed.notices[0].event, None);
    let none = parse(br#"{"Records":[{"s3":[1]},{"s3":{"object":7}}]}"#, Transport::Message).unwrap();
    assert_eq!((none.notices.len(), none.ignored), (0, 2));
}

proptest! {
    #[test]
    fn no_message_breaks_it(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse(&body, Transport::Message);
        let _ = parse(&body, Transport::Listen);
    }

    #[test]
    fn no_damage_to_a_real_message_breaks_it(
        which in 0..BODIES.len(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..8),
    ) {
        let mut body = BODIES[which].1.to_vec();
        for (at, byte, how) in changes {
            let at = at.index(body.len());
            match how {
                0 => body[at] = byte,
                1 => body.insert(at, byte),
                _ => body.truncate(at.max(1)),
            }
        }
        let _ = parse(&body, Transport::Message);
        let _ = parse(&body, Transport::Listen);
    }

    #[test]
    fn escaping_comes_undone(key in "\\PC{1,40}") {
        let escaped = escape(&key);
        let plain = unescape(&escaped);
        prop_assert_eq!(plain.as_ref(), key.as_bytes());
    }
}
