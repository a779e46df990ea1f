//! `reelmill check --online` and what the doctor says of buckets over a network: the real binary against moto, and against
//! a server that refuses.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod harness;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Output;

use harness::House;
use harness::SECRET;
use harness::moto::Moto;
use serde_json::Value;

fn rule(from: &str, to: &str, more: &str) -> String {
    format!(
        "enabled = true\n{more}\n[trigger]\nbucket = \"{from}\"\ndirectory = \"in\"\n[output]\nbucket = \"{to}\"\n\
         [task.web]\nkind = \"transcode\"\n"
    )
}

/// A house whose config is this, and with one rule.
fn house(config: &str, rule: &str) -> House {
    let house = House::new(&[("web", rule)]);
    fs::write(house.path("reelmill.toml"), format!("state = \"state\"\n{config}")).unwrap();
    house
}

fn run(house: &House, arguments: &[&str]) -> Output {
    let mut command = house.command(arguments);
    command
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env_remove("AWS_PROFILE")
        .env("AWS_REGION", "us-east-1");
    command.output().unwrap()
}

fn asked(house: &House) -> (Option<i32>, Value) {
    let output = run(house, &["check", "--online", "--json"]);
    let answer = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    (output.status.code(), answer)
}

fn of<'a>(answer: &'a Value, bucket: &str, what: &str) -> &'a Value {
    let reports = answer["online"].as_array().unwrap();
    let report = reports.iter().find(|report| report["bucket"] == bucket).unwrap();
    let tried = report["tried"].as_array().unwrap();
    tried
        .iter()
        .find(|one| one["what"] == what)
        .unwrap_or_else(|| panic!("{bucket}: nothing is said of {what}: {answer:#}"))
}

fn state<'a>(answer: &'a Value, bucket: &str, what: &str) -> &'a str {
    of(answer, bucket, what)["state"].as_str().unwrap()
}

/// Keys, and whether uploads are open.
fn left(moto: &Moto, bucket: &str) -> String {
    let (_, keys) = moto.request("GET", &format!("/{bucket}?list-type=2"), &[], b"");
    let (_, uploads) = moto.request("GET", &format!("/{bucket}?uploads"), &[], b"");
    let both = [keys, uploads].concat();
    let text = String::from_utf8_lossy(&both).into_owned();
    let keys = text.split("<Key>").skip(1).map(|rest| rest.split('<').next().unwrap());
    keys.collect::<Vec<_>>().join(" ")
}

#[test]
fn what_is_permitted_is_tried_and_nothing_is_left() {
    let moto = Moto::start();
    let (up, out) = (moto.bucket("up"), moto.bucket("out"));
    moto.put(&up, b"in/a b+c.mp4", b"film");
    let endpoint = moto.endpoint();
    let config = format!(
        "[bucket.uploads]\ns3 = \"{up}\"\nendpoint = \"{endpoint}\"\n\
         [bucket.results]\ns3 = \"{out}\"\nendpoint = \"{endpoint}\"\n\
         [bucket.spare]\npath = \"inbox\"\n"
    );
    let house = house(&config, &rule("uploads", "results", ""));
    let (code, answer) = asked(&house);
    assert_eq!(code, Some(0), "{answer:#}");
    assert_eq!(answer["ok"], true);
    for what in ["reachable", "list", "get"] {
        assert_eq!(state(&answer, "uploads", what), "ok", "{answer:#}");
    }
    for what in ["put", "multipart", "abort", "conditional", "delete"] {
        assert_eq!(state(&answer, "uploads", what), "not_needed", "{answer:#}");
        assert_eq!(state(&answer, "results", what), "ok", "{answer:#}");
    }
    assert_eq!(state(&answer, "spare", "readable"), "ok");
    assert_eq!(state(&answer, "spare", "writable"), "not_needed");
    assert_eq!(left(&moto, &up), "in/a b+c.mp4");
    assert_eq!(left(&moto, &out), "");

    let shown = String::from_utf8(run(&house, &["check", "--online"]).stdout).unwrap();
    assert!(shown.contains("All that rules need of these buckets works."), "{shown}");
    assert!(shown.contains("not needed by any rule: put"), "{shown}");

    // Whose sources are moved, there is more to try.
    house.write_rule("web", &rule("uploads", "results", "after_success = \"move:done\""));
    let (code, answer) = asked(&house);
    assert_eq!(code, Some(0), "{answer:#}");
    for what in ["copy", "delete"] {
        assert_eq!(state(&answer, "uploads", what), "ok", "{answer:#}");
    }
    assert_eq!(left(&moto, &up), "in/a b+c.mp4");

    let before = house.reelmill(&["check"]);
    assert!(before.status.success(), "without --online nothing is asked");
}

#[test]
fn what_is_wrong_is_said_in_words() {
    let moto = Moto::start();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let endpoint = moto.endpoint();
    let config = format!(
        "[bucket.none]\ns3 = \"not-there\"\nendpoint = \"{endpoint}\"\n\
         [bucket.down]\ns3 = \"down\"\nendpoint = \"http://{closed}\"\n"
    );
    let house = house(&config, &rule("none", "down", ""));
    let (code, answer) = asked(&house);
    assert_eq!(code, Some(69), "{answer:#}");
    assert_eq!(answer["ok"], false);
    let says = |bucket| of(&answer, bucket, "reachable")["says"].as_str().unwrap();
    assert!(says("none").contains("there is no such bucket"), "{answer:#}");
    assert!(says("down").contains("cannot be reached"), "{answer:#}");
}

/// Makes a queue; its URL.
fn queue(moto: &Moto, name: &str) -> String {
    let body = format!("Action=CreateQueue&QueueName={name}&Version=2012-11-05");
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let scope = "AWS4-HMAC-SHA256 Credential=moto/20260101/us-east-1/sqs/aws4_request, SignedHeaders=host, Signature=0";
    let headers = [form[0], ("Authorization", scope)];
    let (status, said) = moto.request("POST", "/", &headers, body.as_bytes());
    let said = String::from_utf8(said).unwrap();
    assert_eq!(status, 200, "{said}");
    let url = said.split("<QueueUrl>").nth(1).unwrap().split('<').next().unwrap();
    url.to_owned()
}

#[test]
fn a_missing_notification_is_named_and_the_command_adds_it() {
    let moto = Moto::start();
    let (up, out) = (moto.bucket("up"), moto.bucket("out"));
    let endpoint = moto.endpoint();
    let url = queue(&moto, "uploads");
    let config = format!(
        "[bucket.uploads]\ns3 = \"{up}\"\nendpoint = \"{endpoint}\"\nregion = \"us-east-1\"\nwatch = [\"sqs\"]\n\
         sqs = {{ queue = \"{url}\" }}\n[bucket.results]\ns3 = \"{out}\"\nendpoint = \"{endpoint}\"\n"
    );
    let house = house(&config, &rule("uploads", "results", ""));
    let (code, answer) = asked(&house);
    assert_eq!(code, Some(78), "{answer:#}");
    assert_eq!(
        state(&answer, "uploads", "queue"),
        "warning",
        "no dead letters: {answer:#}"
    );
    let missing = of(&answer, "uploads", "notifications");
    let commands = missing["commands"].as_array().unwrap();
    let bare = commands.last().unwrap().as_str().unwrap();
    assert!(bare.contains("arn:aws:sqs:us-east-1:123456789012:uploads"), "{bare}");
    // What the command would send.
    let set = "<NotificationConfiguration><QueueConfiguration><Id>reelmill-uploads</Id>\
         <Queue>arn:aws:sqs:us-east-1:123456789012:uploads</Queue><Event>s3:ObjectCreated:*</Event>\
         <Filter><S3Key><FilterRule><Name>prefix</Name><Value>in/</Value></FilterRule></S3Key></Filter>\
         </QueueConfiguration></NotificationConfiguration>";
    let (status, said) = moto.request("PUT", &format!("/{up}?notification"), &[], set.as_bytes());
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&said));
    let (code, answer) = asked(&house);
    assert_eq!(code, Some(0), "{answer:#}");
    assert_eq!(state(&answer, "uploads", "notifications"), "ok");
}

#[test]
fn a_webhook_is_told_where_to_and_never_the_secret() {
    let moto = Moto::start();
    let (up, out) = (moto.bucket("up"), moto.bucket("out"));
    let endpoint = moto.endpoint();
    let config = format!(
        "[http]\nlisten = \"0.0.0.0:8480\"\n\
         [bucket.uploads]\ns3 = \"{up}\"\nendpoint = \"{endpoint}\"\nwatch = [\"webhook\"]\n\
         webhook = {{ secret_file = \"uploads.secret\" }}\n[bucket.results]\ns3 = \"{out}\"\nendpoint = \"{endpoint}\"\n"
    );
    let house = house(&config, &rule("uploads", "results", ""));
    let output = run(&house, &["check", "--online"]);
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(
        shown.contains("endpoint=http://127.0.0.1:8480/hooks/uploads "),
        "{shown}"
    );
    assert!(shown.contains("mc event add"), "{shown}");
    assert!(shown.contains("sns create-topic"), "{shown}");
    assert!(!shown.contains(SECRET), "{shown}");
}

/// A double of a server that refuses whatever changes something, and lets read.
fn refusing() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || while answer(&stream).is_some() {});
        }
    });
    endpoint
}

/// Answers one request of a connection.
fn answer(mut stream: &TcpStream) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut parts = line.split(' ');
    let (method, target) = (parts.next()?.to_owned(), parts.next()?.to_owned());
    let mut length = 0;
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header).ok()? <= 2 {
            break;
        }
        let lower = header.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let error = |status: &str, code: &str| {
        (
            status.to_owned(),
            format!("<Error><Code>{code}</Code><Message>Access Denied.</Message></Error>"),
        )
    };
    let (status, body) = if method == "GET" && target.contains("list-type=2") {
        ("200 OK".to_owned(), "<ListBucketResult></ListBucketResult>".to_owned())
    } else if method == "GET" && !target.contains("?notification") && !target.contains("?uploads") {
        error("404 Not Found", "NoSuchKey")
    } else if method == "HEAD" {
        ("404 Not Found".to_owned(), String::new())
    } else {
        error("403 Forbidden", "AccessDenied")
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nServer: double\r\nDate: Sat, 21 Nov 2026 13:40:32 GMT\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body.as_bytes()).ok()
}

#[test]
fn a_missing_permission_is_named_where_a_rule_needs_it_and_nowhere_else() {
    let endpoint = refusing();
    let config = format!("[bucket.uploads]\nendpoint = \"{endpoint}\"\n[bucket.results]\nendpoint = \"{endpoint}\"\n");
    let house = house(&config, &rule("uploads", "results", ""));
    let (code, answer) = asked(&house);
    assert_eq!(code, Some(77), "{answer:#}");
    assert_eq!(state(&answer, "uploads", "get"), "ok", "{answer:#}");
    assert_eq!(state(&answer, "uploads", "put"), "not_needed");
    for what in ["put", "multipart"] {
        let found = of(&answer, "results", what);
        assert_eq!(found["state"], "failed", "{found}");
        assert!(
            found["says"]
                .as_str()
                .unwrap()
                .contains("the credentials need s3:PutObject"),
            "{found}"
        );
    }
    for what in ["abort", "conditional", "delete"] {
        assert_eq!(state(&answer, "results", what), "warning", "{answer:#}");
    }
    let shown = String::from_utf8(run(&house, &["check", "--online"]).stdout).unwrap();
    assert!(shown.contains("deploy/iam/"), "{shown}");
    assert!(!shown.contains("could not be removed"), "{shown}");
}

#[test]
fn the_doctor_says_of_a_bucket_over_a_network_whether_it_answers_and_as_whom() {
    let moto = Moto::start();
    let up = moto.bucket("up");
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = format!(
        "[bucket.uploads]\ns3 = \"{up}\"\nendpoint = \"{}\"\n[bucket.down]\nendpoint = \"http://{closed}\"\n",
        moto.endpoint()
    );
    let house = house(&config, &rule("uploads", "uploads", ""));
    let output = run(&house, &["doctor", "--json"]);
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let finding = |what: &str| {
        let mut findings = answer["findings"].as_array().unwrap().iter();
        findings.find(|one| one["what"] == what).unwrap().clone()
    };
    let uploads = finding("bucket uploads");
    assert_eq!(uploads["level"], "ok", "{uploads}");
    let says = uploads["says"].as_str().unwrap();
    assert!(
        says.contains("answers") && says.contains("credentials from the environment"),
        "{says}"
    );
    assert!(!says.contains("test"), "{says}");
    let down = finding("bucket down");
    assert_eq!(down["level"], "bad");
    assert!(down["says"].as_str().unwrap().contains("cannot be reached"), "{down}");
}
