//! Hints on one core: events are parsed, matched against rules, and made durable.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use reelmill::job::order::Ageing;
use reelmill::object::{BucketName, ObjectKey};
use reelmill::service::mill::Mill;
use reelmill::service::rules;
use reelmill::service::watching::sink::MillSink;
use reelmill::store::sqlite::SqliteStore;
use reelmill::watch::Sink;
use reelmill::watch::event::{Transport, parse};

use super::child;
use super::harness::{self, House};

/// Rules in force.
const RULES: usize = 1000;
/// Messages of a measurement, each with one event.
const EVENTS: usize = 40_000;

/// Rules with directories of their own, or all of them on one, of which only the last wants the key.
fn world(one_directory: bool) -> House {
    let config = harness::far::config("http://127.0.0.1:9", "uploads", "results", "");
    let house = harness::far::house(&config, &[]);
    for number in 0..RULES {
        let mut rule = String::from("enabled = true\n[trigger]\nbucket = \"uploads\"\n");
        let _ = if one_directory {
            write!(rule, "directory = \"in\"\ninclude = [\"**/cam{number:03}-*\"]\n")
        } else {
            writeln!(rule, "directory = \"in/{number:03}\"")
        };
        let _ = write!(
            rule,
            "[output]\nbucket = \"published\"\ndirectory = \"out/{number:03}\"\n[task.keep]\nkind = \"copy\"\n"
        );
        house.write_rule(&format!("rule{number:03}"), &rule);
    }
    house
}

pub fn measure() {
    println!("{RULES} rules, {EVENTS} messages with an event each, all on one core:");
    for (what, one_directory) in [
        ("rules with directories of their own", false),
        ("all rules on one directory", true),
    ] {
        println!("  {what}:");
        let house = world(one_directory);
        let root = house.root.path().to_str().unwrap();
        let run = |step: &str| {
            let (seconds, _) = child(&["hints", step, root]);
            EVENTS as f64 / seconds
        };
        for step in ["parse", "match", "10", "100", "1000"] {
            let mut rates: Vec<f64> = (0..3).map(|_| run(step)).collect();
            rates.sort_by(f64::total_cmp);
            let words = match step {
                "parse" => "parsed only".to_owned(),
                "match" => "parsed and matched".to_owned(),
                batch => format!("parsed, matched and made durable, {batch} at once"),
            };
            println!("    {words}: {:.0} a second", rates[1]);
        }
    }
}

/// What runs in a process of its own, held to one core.
pub fn alone(step: &str, root: &Path) -> Duration {
    let mut core = rustix::thread::CpuSet::new();
    core.set(0);
    rustix::thread::sched_setaffinity(None, &core).unwrap();
    let config = reelmill::config::load(&root.join("reelmill.toml")).unwrap_or_else(|found| panic!("{found:?}"));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let messages: Vec<String> = (0..EVENTS).map(message).collect();
    let read = |text: &String| parse(text.as_bytes(), Transport::Message).unwrap().notices;
    let work = async {
        let name: BucketName = "uploads".parse().unwrap();
        let store = SqliteStore::open(&config.state.join("reelmill.db"), Ageing::Strict)
            .await
            .unwrap();
        let mill = Arc::new(Mill::new(config, Arc::new(store), [].into(), Timestamp::now()));
        rules::load(&mill, Timestamp::now()).await.unwrap();
        assert_eq!(mill.book.get().rules.len(), RULES);
        let (index, hints) = (mill.book.index(), mill.hints.of(&name));
        let sink = MillSink::far(&mill, &name, "webhook");
        let began = Instant::now();
        match step {
            "parse" => assert_eq!(messages.iter().flat_map(read).count(), EVENTS),
            "match" => {
                let wanted = |key: &ObjectKey| index.wants(&name, key);
                let matched = messages.iter().flat_map(read).filter(|notice| wanted(&notice.key));
                assert_eq!(matched.count(), EVENTS);
            }
            batch => {
                for messages in messages.chunks(batch.parse().unwrap()) {
                    sink.keep(messages.iter().flat_map(read).collect(), "webhook")
                        .await
                        .unwrap();
                    // Intake's part is another's.
                    let taken = hints.take(usize::MAX, tokio::time::Instant::now());
                    assert_eq!(taken.len(), messages.len());
                    hints.done(taken.iter().map(|hint| &hint.key));
                }
            }
        }
        began.elapsed()
    };
    runtime.block_on(work)
}

/// An event as AWS writes it.
fn message(number: usize) -> String {
    let rule = number % RULES;
    format!(
        r#"{{"Records":[{{"eventVersion":"2.1","eventSource":"aws:s3","awsRegion":"eu-central-1","eventTime":"2026-11-20T10:13:30.{:03}Z","eventName":"ObjectCreated:Put","userIdentity":{{"principalId":"AWS:AIDAJDPLRKLG7UEXAMPLE"}},"requestParameters":{{"sourceIPAddress":"127.0.0.1"}},"responseElements":{{"x-amz-request-id":"C3D13FE58DE4C810","x-amz-id-2":"FMyUVURIY8/IgAtTv8xRjskZQpcIZ9KG4V5Wp6S7S/JRWeUWerMUE5JgHvANOjpD"}},"s3":{{"s3SchemaVersion":"1.0","configurationId":"uploads","bucket":{{"name":"uploads","ownerIdentity":{{"principalId":"A3NL1KOZZKExample"}},"arn":"arn:aws:s3:::uploads"}},"object":{{"key":"in/{rule:03}/cam{rule:03}-clip+{number:07}.mp4","size":1024,"eTag":"d41d8cd98f00b204e9800998ecf8427e","sequencer":"0055AED6DCD90281E5"}}}}}}]}}"#,
        number % 1000
    )
}
