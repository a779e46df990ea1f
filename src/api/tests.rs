//! The API over a real socket, asked by the program's own client, on a real database.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::task::{JoinSet, spawn_blocking};
use tokio_util::sync::CancellationToken;

use crate::api;
use crate::app::App;
use crate::bucket::Bucket;
use crate::bucket::memory::MemoryBucket;
use crate::cli::client::Client;
use crate::config::{Ageing, BucketConfig, Config, LocalConfig, Place, Workers};
use crate::diagnostic::SourceFile;
use crate::job::state::Event;
use crate::job::{ErrorKind, Failure, Generation, JobId, Lease, order};
use crate::object::{BucketName, Object, ObjectKey};
use crate::rule::book::{BrokenFile, LiveRule, RuleBook};
use crate::service::mill::Mill;
use crate::store::sqlite::SqliteStore;
use crate::store::{Acceptance, Accepted, Holds, NewJob};

const RULE: &str = r#"
enabled = true
[trigger]
bucket = "inbox"
directory = "incoming/"
[output]
bucket = "published"
[task.info]
kind = "probe"
[task.copy]
kind = "copy"
after = "info"
"#;

/// A daemon without its loops: only the API answers.
struct House {
    mill: Arc<Mill>,
    inbox: Arc<MemoryBucket>,
    stop: CancellationToken,
    served: JoinSet<()>,
    _folder: tempfile::TempDir,
}

impl House {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let names: [BucketName; 2] = ["inbox".parse().unwrap(), "published".parse().unwrap()];
        let place = |name: &BucketName| BucketConfig {
            place: Place::Local(LocalConfig {
                path: PathBuf::from("/srv").join(name.as_str()),
                poll: Duration::from_secs(10),
                settle: Duration::from_millis(1),
            }),
            sweep: Duration::from_hours(1),
        };
        let config = Config {
            file: PathBuf::from("/etc/reelmill/reelmill.toml"),
            rules: PathBuf::from("/etc/reelmill/rules"),
            presets: PathBuf::from("/etc/reelmill/rules"),
            state: folder.path().to_owned(),
            buckets: names.iter().map(|name| (name.clone(), place(name))).collect(),
            workers: Workers {
                slots: 2,
                drain: Duration::ZERO,
                min_free: 0,
                ..Workers::default()
            },
            plugins: crate::config::Plugins::default(),
            ageing: Ageing::Strict,
            grace: Duration::ZERO,
            history: crate::config::History::default(),
            http: None,
        };
        let database = folder.path().join("reelmill.db");
        let store = SqliteStore::open(&database, order::Ageing::Strict).await.unwrap();
        let inbox = Arc::new(MemoryBucket::new("inbox"));
        let published = Arc::new(MemoryBucket::new("published"));
        let buckets: BTreeMap<BucketName, Arc<dyn Bucket>> = BTreeMap::from([
            (names[0].clone(), inbox.clone() as Arc<dyn Bucket>),
            (names[1].clone(), published as Arc<dyn Bucket>),
        ]);
        let now = Timestamp::now();
        let mill = Arc::new(Mill::new(config, Arc::new(store), buckets, now));
        mill.book.set(book(&names, now));
        let listener = api::listen(folder.path()).unwrap();
        let stop = CancellationToken::new();
        let mut served = JoinSet::new();
        served.spawn(api::serve(App { mill: mill.clone() }, listener, stop.clone()));
        Self {
            mill,
            inbox,
            stop,
            served,
            _folder: folder,
        }
    }

    /// The answer, or the kind and message of the error.
    async fn ask(&self, path: &str, body: Option<Value>) -> Result<Value, (String, String)> {
        let (config, path) = (self.mill.config.clone(), path.to_owned());
        spawn_blocking(move || {
            let client = Client::new(&config).unwrap();
            match body {
                Some(body) => client.post(&path, &body),
                None => client.get(&path),
            }
            .map_err(|trouble| (trouble.kind, trouble.message))
        })
        .await
        .unwrap()
    }

    async fn get(&self, path: &str) -> Value {
        self.ask(path, None).await.unwrap()
    }

    async fn refused(&self, path: &str, body: Option<Value>) -> String {
        self.ask(path, body).await.unwrap_err().0
    }

    /// A job for this key, as intake would make it.
    async fn accept(&self, name: &str, random: u64) -> JobId {
        let key: ObjectKey = name.parse().unwrap();
        let object = Object {
            bucket: "inbox".parse().unwrap(),
            key: key.clone(),
            identity: self.inbox.put(&key, b"twelve bytes"),
        };
        let book = self.mill.book.get();
        let live = &book.rules[0];
        let id = JobId::new("2026-01-01T00:00:00Z".parse().unwrap(), random);
        let job = NewJob::of(&live.rule, &live.text, id.clone(), None);
        let wish = Acceptance {
            rule: live.rule.name.clone(),
            object,
            seen: Generation::default(),
            job: Some(job),
            listed: None,
        };
        let answers = self.mill.store.accept(vec![wish], Timestamp::now()).await.unwrap();
        assert!(matches!(answers[0], Accepted::Yes { .. }));
        id
    }

    /// Claims the job and lets its first task fail for good.
    async fn fail(&self, id: &JobId) {
        let now = Timestamp::now();
        let later = now + jiff::SignedDuration::from_mins(1);
        let job = self
            .mill
            .store
            .claim("test", &Holds::default(), now, later)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(&job.id, id);
        let lease: Lease = job.lease.unwrap();
        let task = job.tasks[0].id.clone();
        let events = [
            Event::RunStarted {
                tasks: vec![task.clone()],
            },
            Event::TaskFailed {
                task,
                failure: Failure::new(ErrorKind::Corrupt, "no film at all"),
                findings: Vec::new(),
            },
        ];
        let lease = Some(lease.number);
        self.mill.store.apply(id, lease, &events, now).await.unwrap();
    }
}

fn book(names: &[BucketName], now: Timestamp) -> RuleBook {
    let file = SourceFile {
        path: PathBuf::from("first.toml"),
        text: RULE.into(),
    };
    let (rule, diagnostics) = crate::rule::check::check(&file, "first", names);
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    let broken = SourceFile {
        path: PathBuf::from("second.toml"),
        text: "enabled = maybe".into(),
    };
    let (none, diagnostics) = crate::rule::check::check(&broken, "second", names);
    assert!(none.is_none());
    RuleBook {
        rules: vec![LiveRule {
            rule: Arc::new(rule.unwrap()),
            file: "first.toml".to_owned(),
            text: RULE.into(),
            enabled: true,
            since: now,
            arming: None,
        }],
        broken: vec![BrokenFile {
            file: "second.toml".to_owned(),
            rule: None,
            diagnostics,
        }],
    }
}

#[tokio::test]
async fn a_job_has_the_fields_that_programs_rely_on() {
    let house = House::new().await;
    let id = house.accept("incoming/a b.mp4", 1).await;
    house.fail(&id).await;
    let jobs = house.get("/v1/jobs").await;
    let text = serde_json::to_string_pretty(&jobs).unwrap();
    insta::with_settings!({filters => vec![
        (r"20\d\d-\d\d-\d\dT[0-9:.]+Z", "[time]"),
        (r#""rule_version": "[0-9a-f]+""#, r#""rule_version": "[version]""#),
    ]}, { insta::assert_snapshot!(text, @r#"
    [
      {
        "attempt": 1,
        "bucket": "inbox",
        "created": "[time]",
        "ended": "[time]",
        "generation": 1,
        "id": "1mnbe8000000001",
        "identity": "12:1",
        "key": "incoming/a b.mp4",
        "priority": 0,
        "progress": null,
        "reason": "info: no film at all",
        "rule": "first",
        "rule_version": "[version]",
        "size": 12,
        "started": "[time]",
        "state": "failed",
        "tasks": [
          {
            "attempts": 1,
            "ended": "[time]",
            "error": {
              "kind": "corrupt",
              "message": "no film at all"
            },
            "findings": [],
            "id": "info",
            "kind": "probe",
            "outputs": [],
            "started": "[time]",
            "state": "failed"
          },
          {
            "attempts": 0,
            "ended": "[time]",
            "error": null,
            "findings": [],
            "id": "copy",
            "kind": "copy",
            "outputs": [],
            "started": null,
            "state": "skipped"
          }
        ]
      }
    ]
    "#); });
    let shown = house.get(&format!("/v1/jobs/{id}")).await;
    assert_eq!(shown["id"], jobs[0]["id"]);
}

#[tokio::test]
async fn a_shortened_id_finds_the_only_job_that_has_it() {
    let house = House::new().await;
    let first = house.accept("incoming/a.mp4", 1).await;
    house.accept("incoming/b.mp4", 2).await;
    let end = &first.as_str()[8..];
    let shown = house.get(&format!("/v1/jobs/{end}")).await;
    assert_eq!(shown["id"], first.as_str());
    let start = &first.as_str()[..7];
    assert_eq!(house.refused(&format!("/v1/jobs/{start}"), None).await, "conflict");
    assert_eq!(house.refused("/v1/jobs/zzz", None).await, "not_found");
    assert_eq!(house.refused("/v1/jobs/a", None).await, "bad_request");
}

#[tokio::test]
async fn jobs_are_filtered_and_wrong_filters_are_refused() {
    let house = House::new().await;
    let failed = house.accept("incoming/a.mp4", 1).await;
    house.fail(&failed).await;
    house.accept("incoming/b.mp4", 2).await;
    let count = async |path: &str| house.get(path).await.as_array().unwrap().len();
    assert_eq!(count("/v1/jobs").await, 2);
    assert_eq!(count("/v1/jobs?state=failed").await, 1);
    assert_eq!(count("/v1/jobs?state=failed,queued").await, 2);
    assert_eq!(house.refused("/v1/jobs?rule=other", None).await, "not_found");
    assert_eq!(house.refused("/v1/jobs?bucket=other", None).await, "not_found");
    assert_eq!(count("/v1/jobs?since=2999-01-01T00:00:00Z").await, 0);
    assert_eq!(count("/v1/jobs?bucket=inbox&key=incoming%2Fb.mp4").await, 1);
    assert_eq!(count("/v1/jobs?bucket=inbox&key_bytes=aW5jb21pbmcvYi5tcDQ").await, 1);
    for wrong in ["state=done", "limit=many", "key_bytes=%21", "stat=failed", "before=x"] {
        let kind = house.refused(&format!("/v1/jobs?{wrong}"), None).await;
        assert_eq!(kind, "bad_request", "{wrong}");
    }
    assert_eq!(house.refused("/v1/nothing", None).await, "not_found");
    assert_eq!(house.refused("/v1/status", Some(json!({}))).await, "method_not_allowed");
}

#[tokio::test]
async fn a_queued_job_is_cancelled_once() {
    let house = House::new().await;
    let id = house.accept("incoming/a.mp4", 1).await;
    let path = format!("/v1/jobs/{id}/cancel");
    let wish = json!({ "reason": "not wanted" });
    let job = house.ask(&path, Some(wish)).await.unwrap();
    assert_eq!(job["state"], "cancelled");
    assert_eq!(job["reason"], "cancelled by hand: not wanted");
    assert_eq!(house.refused(&path, Some(json!({}))).await, "conflict");
}

#[tokio::test]
async fn a_running_job_is_told_to_stop_and_its_runner_ends_it() {
    let house = House::new().await;
    let id = house.accept("incoming/a.mp4", 1).await;
    let now = Timestamp::now();
    let later = now + jiff::SignedDuration::from_mins(1);
    let job = house
        .mill
        .store
        .claim("test", &Holds::default(), now, later)
        .await
        .unwrap()
        .unwrap();
    let stop = CancellationToken::new();
    let number = job.lease.unwrap().number;
    house.mill.running.insert(id.clone(), number, stop.clone(), now);
    let job = house
        .ask(&format!("/v1/jobs/{id}/cancel"), Some(json!({})))
        .await
        .unwrap();
    assert!(stop.is_cancelled());
    assert_eq!(job["state"], "running");
    assert_eq!(job["work"]["phase"], "starting");
}

#[tokio::test]
async fn only_a_job_that_ended_is_repeated_and_only_once_at_a_time() {
    let house = House::new().await;
    let id = house.accept("incoming/a.mp4", 1).await;
    let path = format!("/v1/jobs/{id}/retry");
    assert_eq!(house.refused(&path, Some(json!({}))).await, "conflict");
    house.fail(&id).await;
    let again = house.ask(&path, Some(json!({}))).await.unwrap();
    assert_eq!(again["state"], "queued");
    assert_eq!(again["retry_of"], id.as_str());
    assert_eq!(again["generation"], 2);
    assert_eq!(house.refused(&path, Some(json!({}))).await, "conflict");
    let wrong = json!({ "same": true });
    assert_eq!(house.refused(&path, Some(wrong)).await, "bad_request");
}

#[tokio::test]
async fn a_job_is_repeated_as_it_was_also_where_its_rule_is_gone() {
    let house = House::new().await;
    let id = house.accept("incoming/a.mp4", 1).await;
    house.fail(&id).await;
    house.mill.book.set(RuleBook::default());
    let path = format!("/v1/jobs/{id}/retry");
    assert_eq!(house.refused(&path, Some(json!({}))).await, "conflict");
    let wish = json!({ "same_version": true });
    let again = house.ask(&path, Some(wish)).await.unwrap();
    assert_eq!(again["tasks"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn what_is_not_there_any_more_is_not_repeated() {
    let house = House::new().await;
    let id = house.accept("incoming/a.mp4", 1).await;
    house.fail(&id).await;
    house.inbox.remove(&"incoming/a.mp4".parse().unwrap());
    let path = format!("/v1/jobs/{id}/retry");
    assert_eq!(house.refused(&path, Some(json!({}))).await, "not_found");
}

#[tokio::test]
async fn explain_says_what_stands_in_the_way() {
    let house = House::new().await;
    let failed = house.accept("incoming/failed.mp4", 1).await;
    house.fail(&failed).await;
    house.accept("incoming/queued.mp4", 2).await;
    for name in [
        "elsewhere/a.mp4",
        "incoming/text.txt",
        "incoming/.a.mp4",
        "incoming/new.mp4",
    ] {
        house.inbox.put(&name.parse().unwrap(), b"x");
    }
    let mut said = Vec::new();
    for (bucket, key) in [
        ("published", "a.mp4"),
        ("inbox", "elsewhere/a.mp4"),
        ("inbox", "incoming/text.txt"),
        ("inbox", "incoming/.a.mp4"),
        ("inbox", "incoming/gone.mp4"),
        ("inbox", "incoming/new.mp4"),
        ("inbox", "incoming/queued.mp4"),
        ("inbox", "incoming/failed.mp4"),
    ] {
        let view = house.get(&format!("/v1/explain?bucket={bucket}&key={key}")).await;
        let verdict = &view["rules"][0];
        let (code, words) = (&verdict["verdict"], &verdict["message"]);
        said.push(format!(
            "{bucket}/{key}: {} {}",
            code.as_str().unwrap(),
            words.as_str().unwrap()
        ));
    }
    insta::assert_snapshot!(said.join("\n"), @r#"
    published/a.mp4: other_bucket it watches the bucket inbox
    inbox/elsewhere/a.mp4: no_match it does not lie below "incoming/"
    inbox/incoming/text.txt: no_match its extension is "txt", and the rule takes the usual extensions of films and sound
    inbox/incoming/.a.mp4: ignored_name names like this are left alone: a part of its path begins with a dot
    inbox/incoming/gone.mp4: gone the object is not there, and never was as far as this rule knows
    inbox/incoming/new.mp4: would_start it wants this object and will start as soon as the object is noticed, at the next listing at the latest
    inbox/incoming/queued.mp4: queued job 1mnbe8000000002 waits for its turn
    inbox/incoming/failed.mp4: failed job 1mnbe8000000001 failed: no film at all
    "#);
    let kind = house.refused("/v1/explain?bucket=none&key=a", None).await;
    assert_eq!(kind, "not_found");
    assert_eq!(house.refused("/v1/explain?bucket=inbox", None).await, "bad_request");
}

#[tokio::test]
async fn a_version_that_was_there_before_is_called_old() {
    let house = House::new().await;
    let key: ObjectKey = "incoming/old.mp4".parse().unwrap();
    let wish = Acceptance {
        rule: "first".parse().unwrap(),
        object: Object {
            bucket: "inbox".parse().unwrap(),
            identity: house.inbox.put(&key, b"x"),
            key: key.clone(),
        },
        seen: Generation::default(),
        job: None,
        listed: None,
    };
    house.mill.store.accept(vec![wish], Timestamp::now()).await.unwrap();
    let path = "/v1/explain?bucket=inbox&key=incoming/old.mp4";
    let view = house.get(path).await;
    assert_eq!(view["rules"][0]["verdict"], "baseline");
    assert_eq!(view["rules"][0]["ledger"]["baseline"], true);
    house.inbox.put(&key, b"another");
    assert_eq!(house.get(path).await["rules"][0]["verdict"], "changed");
    house.inbox.set_offline(true);
    assert_eq!(house.get(path).await["rules"][0]["verdict"], "offline");
}

#[tokio::test]
async fn status_and_rules_show_what_is_broken() {
    let house = House::new().await;
    house.accept("incoming/a.mp4", 1).await;
    let status = house.get("/v1/status").await;
    assert_eq!(status["ok"], false, "a rule file is broken");
    assert_eq!(status["queue"]["queued"], 1);
    assert_eq!(status["rules"]["enabled"], 1);
    let broken = &status["rules"]["broken"][0];
    assert_eq!(broken["file"], "second.toml");
    assert_eq!(broken["diagnostics"][0]["line"], 1);
    let rules = house.get("/v1/rules").await;
    assert_eq!(rules["rules"][0]["name"], "first");
    assert_eq!(rules["rules"][0]["jobs"]["queued"], 1);
    assert_eq!(rules["rules"][0]["tasks"][1]["after"][0], "info");
}

#[tokio::test]
async fn reloading_wakes_whoever_reads_the_rules() {
    let house = House::new().await;
    house.ask("/v1/reload", Some(json!({}))).await.unwrap();
    let woken = house.mill.rules_changed.notified();
    tokio::time::timeout(Duration::from_mins(1), woken).await.unwrap();
}

#[tokio::test]
async fn the_socket_is_for_owner_and_group_and_replaces_one_that_was_left() {
    use std::os::unix::fs::PermissionsExt;
    let mut house = House::new().await;
    let path = api::socket::path(&house.mill.config.state);
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    house.stop.cancel();
    house.served.join_next().await.unwrap().unwrap();
    assert_eq!(house.refused("/v1/status", None).await, "not_running");
    let listener = api::listen(&house.mill.config.state).unwrap();
    let app = App {
        mill: house.mill.clone(),
    };
    house.served.spawn(api::serve(app, listener, CancellationToken::new()));
    assert_eq!(house.get("/v1/status").await["queue"]["queued"], 0);
}

#[tokio::test]
async fn a_state_directory_with_a_long_path_can_be_asked_too() {
    let folder = tempfile::tempdir().unwrap();
    let deep = folder.path().join("d".repeat(120));
    std::fs::create_dir(&deep).unwrap();
    let _listener = api::listen(&deep).unwrap();
    api::socket::connect(&deep).await.unwrap();
}

/// Puts an object without any job.
fn put(house: &House, name: &str) {
    house.inbox.put(&name.parse().unwrap(), b"twelve bytes");
}

#[tokio::test]
async fn a_submitted_job_starts_once_the_one_that_runs_has_ended() {
    let house = House::new().await;
    let first = house.accept("incoming/a.mp4", 1).await;
    let now = Timestamp::now();
    let later = now + jiff::SignedDuration::from_mins(1);
    let running = house
        .mill
        .store
        .claim("test", &Holds::default(), now, later)
        .await
        .unwrap()
        .unwrap();
    let stop = CancellationToken::new();
    let lease = running.lease.as_ref().unwrap().number;
    house.mill.running.insert(first.clone(), lease, stop.clone(), now);
    let refused = house
        .ask(&format!("/v1/jobs/{first}/priority"), Some(json!({ "priority": 3 })))
        .await;
    let (kind, message) = refused.unwrap_err();
    assert!(kind == "conflict" && message.contains("runs already"), "{message}");
    let wish = json!({ "bucket": "inbox", "key": "incoming/a.mp4", "rule": "first", "priority": 4 });
    let view = house.ask("/v1/submit", Some(wish)).await.unwrap();
    assert_eq!(
        (&view["job"]["generation"], &view["job"]["priority"]),
        (&json!(2), &json!(4))
    );
    assert!(view["notes"][0].as_str().unwrap().contains(first.as_str()), "{view}");
    assert!(stop.is_cancelled(), "the older one gives way");
    let claimed = house
        .mill
        .store
        .claim("test", &Holds::default(), now, later)
        .await
        .unwrap();
    assert_eq!(claimed, None, "only one at a time");
    let end = Event::Cancelled {
        reason: "stopped".to_owned(),
    };
    house.mill.store.apply(&first, Some(lease), &[end], now).await.unwrap();
    let next = house
        .mill
        .store
        .claim("test", &Holds::default(), now, later)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(view["job"]["id"], next.id.as_str());
}

#[tokio::test]
async fn pausing_and_resuming_twice_is_the_same_as_once() {
    let house = House::new().await;
    let wish = json!({ "rule": "first", "reason": "  maintenance " });
    let one = house.ask("/v1/pause", Some(wish.clone())).await.unwrap();
    assert_eq!((&one["rule"], &one["reason"]), (&json!("first"), &json!("maintenance")));
    assert_eq!(house.ask("/v1/pause", Some(wish)).await.unwrap()["since"], one["since"]);
    assert_eq!(
        house.ask("/v1/pause", Some(json!({}))).await.unwrap()["rule"],
        Value::Null
    );
    assert_eq!(house.get("/v1/status").await["paused"].as_array().unwrap().len(), 2);
    let rule = &house.get("/v1/rules").await["rules"][0];
    assert_eq!(
        (&rule["paused"]["since"], &rule["waits"]["kind"]),
        (&one["since"], &json!("paused"))
    );
    let resumed = house.ask("/v1/resume", Some(json!({}))).await.unwrap();
    assert_eq!(
        (&resumed["changed"], &resumed["paused"][0]["rule"]),
        (&json!(true), &json!("first"))
    );
    let resumed = house.ask("/v1/resume", Some(json!({}))).await.unwrap();
    assert_eq!(resumed["changed"], false);
    for (path, wish, kind) in [
        ("/v1/pause", json!({ "rule": "none" }), "not_found"),
        ("/v1/resume", json!({ "rule": "none" }), "not_found"),
        ("/v1/pause", json!({ "reason": "x".repeat(1001) }), "bad_request"),
        ("/v1/pause", json!({ "rules": "first" }), "bad_request"),
        ("/v1/submit", json!({}), "bad_request"),
        (
            "/v1/submit",
            json!({ "bucket": "inbox", "key": "incoming/no.mp4", "rule": "first" }),
            "not_found",
        ),
        ("/v1/backfill", json!({ "rule": "none" }), "not_found"),
        (
            "/v1/backfill",
            json!({ "rule": "first", "priority": 11 }),
            "bad_request",
        ),
        (
            "/v1/backfill",
            json!({ "rule": "first", "since": "soon" }),
            "bad_request",
        ),
    ] {
        assert_eq!(house.refused(path, Some(wish.clone())).await, kind, "{path} {wish}");
    }
}

#[tokio::test]
async fn a_dedupe_id_names_the_first_job() {
    let house = House::new().await;
    put(&house, "incoming/a.mp4");
    put(&house, "elsewhere/b.mp4");
    let wish = |key: &str| json!({ "bucket": "inbox", "key": key, "rule": "first", "dedupe_id": "17", "context": "x" });
    let first = house.ask("/v1/submit", Some(wish("incoming/a.mp4"))).await.unwrap();
    assert_eq!((&first["notes"], &first["job"]["context"]), (&json!([]), &json!("x")));
    let (kind, message) = house
        .ask("/v1/submit", Some(wish("elsewhere/b.mp4")))
        .await
        .unwrap_err();
    assert_eq!(kind, "conflict");
    assert!(message.contains(first["job"]["id"].as_str().unwrap()), "{message}");
}

#[tokio::test]
async fn a_backfill_takes_cancelled_jobs_again_and_nothing_twice() {
    let house = House::new().await;
    let cancelled = house.accept("incoming/a.mp4", 1).await;
    house
        .ask(&format!("/v1/jobs/{cancelled}/cancel"), Some(json!({})))
        .await
        .unwrap();
    house.accept("incoming/b.mp4", 2).await;
    put(&house, "incoming/c.mp4");
    put(&house, "elsewhere/d.mp4");
    let dry = house
        .ask("/v1/backfill", Some(json!({ "rule": "first", "dry_run": true })))
        .await
        .unwrap();
    let keys: Vec<_> = dry["objects"]
        .as_array()
        .unwrap()
        .iter()
        .map(|object| &object["key"])
        .collect();
    assert_eq!(keys, ["incoming/a.mp4", "incoming/c.mp4"]);
    assert_eq!(
        (&dry["queued"], &dry["size"], &dry["known"]),
        (&json!(2), &json!(24), &json!(1))
    );
    let wish = json!({ "rule": "first", "priority": -4 });
    assert_eq!(
        house.ask("/v1/backfill", Some(wish.clone())).await.unwrap()["queued"],
        2
    );
    assert_eq!(house.ask("/v1/backfill", Some(wish)).await.unwrap()["queued"], 0);
    let queued = house.get("/v1/jobs?state=queued").await;
    let mut priorities: Vec<_> = queued
        .as_array()
        .unwrap()
        .iter()
        .map(|job| job["priority"].as_i64().unwrap())
        .collect();
    priorities.sort_unstable();
    assert_eq!(priorities, [-4, -4, 0]);
}
