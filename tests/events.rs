//! New objects are noticed by what servers tell: the real binary, a real server, and a double of `MinIO`'s stream.
//!
//! Every bucket here is listed once after the start and then not for an hour, so what is found later was told.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod harness;

use std::time::Duration;

use harness::aws::Queue;
use harness::far::{Far, KEYS, config, hard_names, house};
use harness::listen::{Double, Manner, Ping};
use harness::moto::Moto;
use harness::post::{by_aws, by_ceph, by_minio, free_port, send};
use harness::proxy::{Fault, Proxy};
use harness::{House, SECRET, assert_plays, film};
use serde_json::Value;

const RULE: &str = r#"
enabled = true
[trigger]
bucket = "uploads"
directory = "incoming/from/cameras"
[output]
bucket = "results"
directory = "out"
[task.small]
kind = "transcode"
container = "mp4"
height = 96
"#;

const COPY: &str = r#"
enabled = true
[trigger]
bucket = "uploads"
directory = "in"
formats = "*"
[output]
bucket = "results"
directory = "out"
[task.keep]
kind = "copy"
"#;

type Headers<'a> = &'a [(&'a str, &'a str)];

/// What a server says that is too busy to list.
const BUSY: Fault = Fault::Answer(
    "503 Slow Down",
    "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>",
);

/// What becomes of names under the rule with this task.
fn results_of(names: &[String], directory: &str, task: &str) -> Vec<String> {
    let mut results: Vec<String> = names
        .iter()
        .map(|name| {
            let stem = name.replacen(directory, "out", 1);
            let (stem, ending) = stem.rsplit_once('.').unwrap();
            format!("{stem}_{task}.{ending}")
        })
        .collect();
    results.sort();
    results
}

fn address(moto: &Moto) -> String {
    moto.endpoint().trim_start_matches("http://").to_owned()
}

/// A bucket to watch and one for results, and how to look into them.
struct Place {
    moto: &'static Moto,
    far: Far,
    uploads: String,
    results: String,
}

impl Place {
    fn new() -> Self {
        let moto = Moto::shared();
        Self {
            moto,
            far: Far::at(&moto.endpoint()),
            uploads: moto.bucket("uploads"),
            results: moto.bucket("results"),
        }
    }

    /// A house, not yet started, whose buckets are at `endpoint` and that is told in these ways.
    fn house(&self, endpoint: &str, rule: &str, how: &str, more: &str) -> House {
        let config = config(
            endpoint,
            &self.uploads,
            &self.results,
            &format!("sweep = \"1h\"\n{how}"),
        );
        house(&format!("{config}\n{more}"), &[("told", rule)])
    }

    fn put(&self, key: &str, bytes: &str) {
        self.far.put(&self.uploads, key, bytes.as_bytes().to_vec());
    }
}

/// As `status` shows the watched bucket.
fn uploads(house: &House) -> Value {
    let status = house.json(&["status"]);
    let mut buckets = status["buckets"].as_array().unwrap().iter();
    buckets.find(|bucket| bucket["name"] == "uploads").unwrap().clone()
}

/// As `status` shows one of its sources.
fn source(house: &House, name: &str) -> Value {
    let bucket = uploads(house);
    let mut sources = bucket["sources"].as_array().unwrap().iter();
    sources.find(|source| source["source"] == name).unwrap().clone()
}

/// Waits until the bucket was listed once; when that was.
fn listed(house: &House) -> Value {
    house.wait_until("the bucket was listed", || {
        let bucket = uploads(house);
        let idle = bucket["listing"]["since"].is_null();
        let when = bucket["listing"]["last_full"].clone();
        (idle && !when.is_null()).then_some(when)
    })
}

/// Waits until every hint was looked at.
fn idle(house: &House) {
    house.wait_until("no hint waits", || {
        (house.json(&["status"])["hints"] == 0).then_some(())
    });
}

/// Each of these has one job, which succeeded, and nothing else has one.
fn assert_one_job_each(house: &House, names: &[String]) {
    idle(house);
    let jobs = house.jobs();
    let mut keys: Vec<&str> = jobs.iter().map(|job| job["key"].as_str().unwrap()).collect();
    keys.sort_unstable();
    let mut wanted: Vec<&str> = names.iter().map(String::as_str).collect();
    wanted.sort_unstable();
    assert_eq!(keys, wanted, "{}", house.log());
    for job in jobs {
        assert_eq!(job["state"], "succeeded", "{job:#}\n{}", house.log());
    }
}

fn wait_until_empty(house: &House, queue: &Queue<'_>) {
    house.wait_until("the queue is empty", || (queue.len() == 0).then_some(()));
}

fn sqs(queue: &Queue<'_>) -> String {
    format!("watch = [\"sqs\"]\nsqs = {{ queue = \"{}\" }}", queue.url)
}

fn webhook() -> String {
    "watch = [\"webhook\"]\nwebhook = { secret_file = \"uploads.secret\" }".to_owned()
}

fn http(port: u16) -> String {
    format!("[http]\nlisten = \"127.0.0.1:{port}\"")
}

#[test]
fn a_queue_tells_of_objects_with_any_name() {
    let place = Place::new();
    let queue = Queue::new(place.moto);
    queue.hears_of(&place.uploads);
    assert_eq!(queue.len(), 1, "the server tries whether it may send");
    let mut house = place.house(&place.moto.endpoint(), RULE, &sqs(&queue), "");
    house.start();
    let before = listed(&house);
    queue.send("this is no JSON");
    let mut names = hard_names("incoming/from/cameras");
    for name in &names {
        place.far.put_file(&place.uploads, name, &film());
    }
    // Told of twice: the server takes the end of an upload in parts for a put besides.
    names.push("incoming/from/cameras/parts.mp4".to_owned());
    place
        .far
        .put_in_parts(&place.uploads, &names[5], &std::fs::read(film()).unwrap());
    place.put("elsewhere/a.mp4", "x");
    house.wait_for_jobs(names.len());
    wait_until_empty(&house, &queue);
    assert_one_job_each(&house, &names);
    let wanted = results_of(&names, "incoming/from/cameras", "small");
    assert_eq!(place.far.keys(&place.results), wanted);
    let copy = house.path("copy.mp4");
    std::fs::write(&copy, place.far.get(&place.results, &wanted[0])).unwrap();
    assert_plays(&copy);
    let told = source(&house, "sqs");
    assert_eq!(told["events"], 8, "{told:#}");
    assert_eq!(told["strange"], 1);
    assert!(
        !told["connected"].is_null() && !told["last_event"].is_null(),
        "{told:#}"
    );
    assert_eq!(uploads(&house)["quarantined"], 1);
    assert_eq!(listed(&house), before, "nothing was found by listing");
}

#[test]
fn a_queue_tells_what_it_heard_from_topics_and_rules() {
    for way in ["topic", "raw topic", "rule"] {
        let place = Place::new();
        let queue = Queue::new(place.moto);
        match way {
            "topic" => queue.hears_by_topic_of(&place.uploads, false),
            "raw topic" => queue.hears_by_topic_of(&place.uploads, true),
            _ => queue.hears_by_rule_of(&place.uploads),
        }
        // Results need a shorter way.
        let rule = COPY.replace("\"in\"", "\"incoming/from/cameras\"");
        let mut house = place.house(&place.moto.endpoint(), &rule, &sqs(&queue), "");
        house.start();
        let before = listed(&house);
        let names = hard_names("incoming/from/cameras");
        for name in &names {
            place.put(name, "hello");
        }
        house.wait_for_jobs(names.len());
        wait_until_empty(&house, &queue);
        assert_one_job_each(&house, &names);
        assert_eq!(
            place.far.keys(&place.results),
            results_of(&names, "incoming/from/cameras", "keep")
        );
        assert_eq!(source(&house, "sqs")["events"], 5, "{way}");
        assert_eq!(uploads(&house)["quarantined"], 0, "{way}");
        assert_eq!(listed(&house), before, "{way}: nothing was found by listing");
    }
}

#[test]
fn kills_while_a_queue_is_read_lose_and_double_nothing() {
    let place = Place::new();
    let queue = Queue::new(place.moto);
    let proxy = Proxy::before(&address(place.moto));
    queue.hears_of(&place.uploads);
    let mut house = place.house(&proxy.url(), COPY, &sqs(&queue), "");
    house.start();
    listed(&house);
    // From now on there is nothing but the queue.
    proxy.plan("GET", "prefix=in", u32::MAX, BUSY);
    let mut names = Vec::new();
    let mut pause: u64 = rand::random();
    println!("pause={pause}");
    for number in 0..30 {
        let name = format!("in/{number}.bin");
        place.put(&name, &name);
        names.push(name);
        if number % 3 == 2 {
            pause = pause.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            let told = queue.len();
            // Often in the instant in which messages are at work.
            for _ in 0..pause >> 54 {
                if queue.len() < told {
                    break;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            house.kill();
            house.start_with(&[]);
        }
    }
    house.wait_until("all have been worked on", || {
        let jobs: Vec<Value> = house
            .try_json(&["jobs", "list", "--limit", "1000"])?
            .as_array()?
            .clone();
        let done = jobs.iter().all(|job| job["state"] == "succeeded");
        (jobs.len() >= names.len() && done).then_some(())
    });
    wait_until_empty(&house, &queue);
    assert_one_job_each(&house, &names);
    for name in &names {
        let result = name.replace("in/", "out/").replace(".bin", "_keep.bin");
        assert_eq!(place.far.get(&place.results, &result), name.as_bytes());
    }
}

#[test]
fn requests_tell_of_objects_with_any_name() {
    let place = Place::new();
    let port = free_port();
    let mut house = place.house(&place.moto.endpoint(), RULE, &webhook(), &http(port));
    house.start();
    let before = listed(&house);
    let bearer = format!("Bearer {SECRET}");
    let by_path = format!("/hooks/uploads/{SECRET}");
    let mut names = Vec::new();
    for server in ["aws", "minio", "ceph"] {
        for name in hard_names(&format!("incoming/from/cameras/{server}")) {
            place.far.put_file(&place.uploads, &name, &film());
            let status = match server {
                "minio" => {
                    let body = by_minio(&place.uploads, &name);
                    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
                    send(port, "POST", "/hooks/uploads", &headers, body.as_bytes())
                }
                "ceph" => send(port, "POST", &by_path, &[], by_ceph(&place.uploads, &name).as_bytes()),
                _ => send(port, "POST", &by_path, &[], by_aws(&place.uploads, &name).as_bytes()),
            };
            assert_eq!(status, 200, "{server}: {name}");
            names.push(name);
        }
    }
    house.wait_for_jobs(names.len());
    assert_one_job_each(&house, &names);
    assert_eq!(
        place.far.keys(&place.results),
        results_of(&names, "incoming/from/cameras", "small")
    );
    assert_eq!(source(&house, "webhook")["events"], 15);
    assert_eq!(listed(&house), before, "nothing was found by listing");
}

#[test]
fn requests_need_the_secret_and_a_body_of_a_bearable_length() {
    let place = Place::new();
    let port = free_port();
    let mut house = place.house(&place.moto.endpoint(), COPY, &webhook(), &http(port));
    house.start();
    listed(&house);
    place.put("in/a.bin", "a");
    let body = by_aws(&place.uploads, "in/a.bin");
    let (right, wrong) = (format!("Bearer {SECRET}"), format!("Bearer {SECRET}4"));
    let right = [("Authorization", right.as_str())];
    let long = vec![b' '; (1 << 20) + 1];
    let chunks = [right[0], ("Transfer-Encoding", "chunked")];
    let in_chunks = [format!("{:x}\r\n", long.len()).as_bytes(), &long, b"\r\n0\r\n\r\n"].concat();
    let hook = "/hooks/uploads";
    let wrong_path = format!("{hook}/{SECRET}4");
    let cases: [(&str, &str, Headers, &[u8], u16); 10] = [
        ("POST", hook, &[("Authorization", wrong.as_str())], body.as_bytes(), 403),
        ("POST", &wrong_path, &[], body.as_bytes(), 403),
        ("POST", hook, &[], body.as_bytes(), 401),
        ("POST", "/hooks/inbox", &right, body.as_bytes(), 404),
        ("POST", hook, &right, &long, 413),
        ("POST", hook, &chunks, &in_chunks, 413),
        ("HEAD", hook, &[], b"", 200),
        ("HEAD", hook, &right, b"", 200),
        ("POST", hook, &[], b"", 200),
        ("POST", hook, &right, b"", 200),
    ];
    for (method, path, headers, body, wanted) in cases {
        let sent = format!("{method} {path} {headers:?} {} bytes", body.len());
        assert_eq!(send(port, method, path, headers, body), wanted, "{sent}");
    }
    assert_eq!(source(&house, "webhook")["events"], 0);
    assert!(house.jobs().is_empty(), "none of that told of anything");
    // Else it would be sent for ever.
    assert_eq!(send(port, "POST", hook, &right, b"{\"what\": \"is this\"}"), 200);
    assert_eq!(uploads(&house)["quarantined"], 1);
    assert_eq!(send(port, "POST", hook, &right, body.as_bytes()), 200);
    house.wait_for_jobs(1);
    assert_one_job_each(&house, &["in/a.bin".to_owned()]);
    assert!(!house.log().contains(SECRET), "the log is no place for secrets");
}

#[test]
fn what_was_answered_with_success_survives_a_kill() {
    let place = Place::new();
    let port = free_port();
    let proxy = Proxy::before(&address(place.moto));
    let mut house = place.house(&proxy.url(), COPY, &webhook(), &http(port));
    house.start();
    listed(&house);
    // From now on nothing is found by listing.
    proxy.plan("GET", "prefix=in", u32::MAX, BUSY);
    let path = format!("/hooks/uploads/{SECRET}");
    let mut names = Vec::new();
    for number in 0..4 {
        let name = format!("in/{number}.bin");
        place.put(&name, &name);
        // Nor may it be found before the kill.
        proxy.plan("HEAD", &name, 1, BUSY);
        let body = by_minio(&place.uploads, &name);
        assert_eq!(send(port, "POST", &path, &[], body.as_bytes()), 200);
        house.kill();
        names.push(name);
        house.start();
        let jobs = house.wait_for_jobs(names.len());
        assert_eq!(jobs.len(), names.len());
    }
    assert_one_job_each(&house, &names);
}

#[test]
fn a_stream_tells_of_objects_with_any_name_and_a_listing_of_what_it_missed() {
    let place = Place::new();
    let double = Double::new(KEYS.0, KEYS.1);
    let proxy = Proxy::before(&address(place.moto));
    proxy.route("events=", &double.address().to_string());
    let mut house = place.house(&proxy.url(), RULE, "watch = [\"listen\"]", "");
    house.start();
    house.wait_until("it listens", || (double.readers() == 1).then_some(()));
    listed(&house);
    let mut names = hard_names("incoming/from/cameras");
    for name in &names {
        place.far.put_file(&place.uploads, name, &film());
        double.put(&place.uploads, name);
    }
    house.wait_for_jobs(names.len());
    assert_one_job_each(&house, &names);
    assert_eq!(source(&house, "listen")["events"], 5);
    // Cut, and there again.
    let asked = double.asked().len();
    double.cut();
    house.wait_until("it listens again", || {
        (double.asked().len() > asked && double.readers() == 1).then_some(())
    });
    names.push("incoming/from/cameras/after.mp4".to_owned());
    place.far.put_file(&place.uploads, &names[5], &film());
    double.put(&place.uploads, &names[5]);
    house.wait_for_jobs(names.len());
    // Away, and nobody tells of what came meanwhile.
    double.manner(Manner::Closed);
    double.cut();
    house.wait_until("status says that it does not listen", || {
        let status = house.json(&["status"]);
        let part = &status["parts"]["watch:uploads:listen"];
        (part["ok"] == false && source(&house, "listen")["connected"].is_null()).then_some(())
    });
    names.push("incoming/from/cameras/meanwhile.mp4".to_owned());
    place.far.put_file(&place.uploads, &names[6], &film());
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(house.jobs().len(), 6);
    double.manner(Manner::Stream);
    house.wait_for_jobs(names.len());
    assert_one_job_each(&house, &names);
    assert_eq!(
        place.far.keys(&place.results),
        results_of(&names, "incoming/from/cameras", "small")
    );
    for asked in double.asked() {
        assert_eq!(
            (asked.wrong.as_str(), asked.path.as_str()),
            ("", format!("/{}", place.uploads).as_str())
        );
        assert_eq!(asked.query["prefix"], "incoming/from/cameras/");
    }
}

#[test]
fn a_stream_that_is_silent_is_asked_for_again() {
    let place = Place::new();
    let double = Double::new(KEYS.0, KEYS.1);
    let proxy = Proxy::before(&address(place.moto));
    proxy.route("events=", &double.address().to_string());
    let mut house = place.house(&proxy.url(), COPY, "watch = [\"listen\"]", "");
    house.start();
    house.wait_until("it listens", || {
        (!source(&house, "listen")["connected"].is_null()).then_some(())
    });
    listed(&house);
    let asked = double.asked().len();
    double.ping(Ping::Never, Duration::from_millis(50));
    double.cut();
    // The server is deaf and dumb, and an object comes.
    house.wait_until("it is asked again", || (double.asked().len() > asked).then_some(()));
    place.put("in/a.bin", "a");
    house.wait_until("silence is noticed", || {
        let status = house.json(&["status"]);
        let part = status["parts"]["watch:uploads:listen"].clone();
        (part["ok"] == false && part["message"].as_str()?.contains("said nothing for")).then_some(())
    });
    assert!(house.jobs().is_empty());
    double.ping(Ping::Line, Duration::from_millis(50));
    house.wait_for_jobs(1);
    assert_one_job_each(&house, &["in/a.bin".to_owned()]);
}

#[test]
fn a_server_without_a_stream_is_listed_and_status_says_so() {
    let place = Place::new();
    let config = config(
        &place.moto.endpoint(),
        &place.uploads,
        &place.results,
        "sweep = \"1s\"\nwatch = [\"listen\"]",
    );
    let mut house = house(&config, &[("told", COPY)]);
    house.start();
    place.put("in/a.bin", "a");
    house.wait_until("status says that there is none", || {
        let status = house.json(&["status"]);
        let part = status["parts"]["watch:uploads:listen"].clone();
        (part["ok"] == false && part["message"].as_str()?.contains("sends no stream of events")).then_some(())
    });
    house.wait_for_jobs(1);
    assert_one_job_each(&house, &["in/a.bin".to_owned()]);
    assert!(source(&house, "listen")["connected"].is_null());
}

#[test]
fn whoever_tells_and_however_often_it_is_one_job() {
    let place = Place::new();
    let queue = Queue::new(place.moto);
    let double = Double::new(KEYS.0, KEYS.1);
    let proxy = Proxy::before(&address(place.moto));
    proxy.route("events=", &double.address().to_string());
    queue.hears_of(&place.uploads);
    let port = free_port();
    let how = format!(
        "watch = [\"listen\", \"sqs\", \"webhook\"]\nsqs = {{ queue = \"{}\" }}\nwebhook = {{ secret_file = \"uploads.secret\" }}",
        queue.url
    );
    let mut house = place.house(&proxy.url(), COPY, &how, &http(port));
    house.start();
    listed(&house);
    house.wait_until("it listens", || (double.readers() == 1).then_some(()));
    let path = format!("/hooks/uploads/{SECRET}");
    let post = |name: &str| {
        let body = by_minio(&place.uploads, name);
        assert_eq!(send(port, "POST", &path, &[], body.as_bytes()), 200);
    };
    let names: Vec<String> = (0..12).map(|number| format!("in/{number}.bin")).collect();
    for (number, name) in names.iter().enumerate() {
        // Some are told of before they are there.
        if number % 3 == 0 {
            double.put(&place.uploads, name);
            post(name);
        }
        place.put(name, name);
        double.put(&place.uploads, name);
        post(name);
    }
    house.wait_for_jobs(names.len());
    for name in &names {
        post(name);
        double.put(&place.uploads, name);
        queue.send(&by_aws(&place.uploads, name));
    }
    house.wait_until("each has told of all", || {
        let enough = |name: &str, least: u64| source(&house, name)["events"].as_u64().unwrap() >= least;
        (enough("sqs", 24) && enough("webhook", 28) && enough("listen", 28)).then_some(())
    });
    wait_until_empty(&house, &queue);
    assert_one_job_each(&house, &names);
}

#[test]
fn what_was_there_before_the_rule_starts_nothing_and_what_comes_after_does() {
    let place = Place::new();
    let proxy = Proxy::before(&address(place.moto));
    for number in 0..3 {
        place.put(&format!("in/old-{number}.bin"), "old");
    }
    // Servers tell the time of an object in whole seconds.
    std::thread::sleep(Duration::from_millis(1100));
    let config = config(
        &proxy.url(),
        &place.uploads,
        &place.results,
        "sweep = \"1s\"\nwatch = [\"list\"]",
    );
    let mut house = house(&config, &[("told", COPY)]);
    // What was there cannot be written down for a while ...
    proxy.plan("GET", "list-type=2", 8, BUSY);
    house.start_with(&[]);
    house.wait_until("the rule is to be armed", || {
        let rules = house.try_json(&["rules", "list"])?;
        (rules["rules"][0]["arming"] == "enabled" && proxy.heard("list-type=2") > 0).then_some(())
    });
    // ... and an object comes meanwhile, and a new version of an old one.
    std::thread::sleep(Duration::from_millis(1100));
    place.put("in/during.bin", "new");
    place.put("in/old-1.bin", "new version");
    assert!(proxy.planned() > 0, "the listing has not been seen");
    house.wait_until("the rule is armed", || {
        let rules = house.try_json(&["rules", "list"])?;
        rules["rules"][0]["arming"].is_null().then_some(())
    });
    place.put("in/after.bin", "new");
    house.wait_for_jobs(3);
    let listed_at = listed(&house);
    house.wait_until("it is listed once more", || (listed(&house) != listed_at).then_some(()));
    let names = ["in/after.bin", "in/during.bin", "in/old-1.bin"].map(str::to_owned);
    assert_one_job_each(&house, &names);
}
