//! A listing of a million keys: the bare requests, and the sweep that compares it with the ledger. Each measurement runs
//! in a process of its own, so that its memory is its own.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use reelmill::bucket::Bucket;
use reelmill::bucket::remote::From;
use reelmill::job::order::Ageing;
use reelmill::object::{BucketName, Directory};
use reelmill::service::mill::Mill;
use reelmill::service::{arming, rules, sweep};
use reelmill::store::sqlite::SqliteStore;

use super::harness::{self, House};
use super::server::{ENDLESS, KEYS, Server};
use super::{child, peak_memory};

/// A rule that wants every key, or, of films with that ending, none.
fn rule(formats: &str) -> String {
    format!(
        "enabled = true\n[trigger]\nbucket = \"uploads\"\nformats = [\"{formats}\"]\n\
         [output]\nbucket = \"published\"\n[task.keep]\nkind = \"copy\"\n"
    )
}

fn world(endpoint: &str, formats: &str) -> House {
    let config = harness::far::config(endpoint, ENDLESS, "results", "sweep = \"1h\"");
    harness::far::house(&config, &[("all", &rule(formats))])
}

pub fn measure() {
    let server = Server::start();
    let none = world(&server.endpoint(), "mov");
    let all = world(&server.endpoint(), "mp4");
    let run = |what: &str, house: &House| {
        let (seconds, memory) = child(&["listing", what, house.root.path().to_str().unwrap()]);
        println!("  {what}: {seconds:.2} s, peak memory {memory:.1} MiB");
        seconds
    };
    println!("{KEYS} keys, pages of 1,000, listed from a double:");
    run("bare", &all);
    run("baseline", &all);
    let (mut to_none, mut to_all) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        let before = run("bare", &all);
        let unwanted = run("unwanted", &none);
        let known = run("known", &all);
        let bare = f64::midpoint(before, run("bare", &all));
        to_none.push(unwanted / bare);
        to_all.push(known / bare);
    }
    for ratios in [&mut to_none, &mut to_all] {
        ratios.sort_by(f64::total_cmp);
    }
    println!(
        "sweep over bare LIST: nothing wanted, empty ledger {:.2}; every key known to the ledger {:.2} (medians of 5)",
        to_none[2], to_all[2]
    );
    whole_daemon(&server);
}

/// The daemon as it is started: it writes the baseline of a new rule, then sweeps.
fn whole_daemon(server: &Server) {
    let mut house = world(&server.endpoint(), "mp4");
    let began = Instant::now();
    house.start_with(&[]);
    let listing = loop {
        std::thread::sleep(Duration::from_millis(500));
        let status = house.try_json(&["status"]).unwrap_or_default();
        let buckets = status["buckets"].as_array().cloned().unwrap_or_default();
        let ours = buckets.into_iter().find(|bucket| bucket["name"] == "uploads");
        let arming = house.try_json(&["rules", "list"]).is_none_or(|rules| {
            rules["rules"]
                .as_array()
                .is_none_or(|all| all.iter().any(|rule| !rule["arming"].is_null()))
        });
        let words = status["parts"]["list:uploads"]["message"].as_str().map(str::to_owned);
        let (Some(bucket), Some(words), false) = (ours, words, arming) else {
            continue;
        };
        if bucket["listing"]["objects"] == KEYS && bucket["listing"]["since"].is_null() {
            break words;
        }
        assert!(began.elapsed() < Duration::from_mins(10), "{status:#}\n{}", house.log());
    };
    println!(
        "the whole daemon, first start: baseline and first listing after {:.1?}, peak memory {:.1} MiB; {listing}",
        began.elapsed(),
        peak_memory(house.daemon_id())
    );
}

/// What runs in a process of its own: answers the time that it took.
pub fn alone(what: &str, root: &Path) -> Duration {
    let config = reelmill::config::load(&root.join("reelmill.toml")).unwrap_or_else(|found| panic!("{found:?}"));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let work = async move {
        let name: BucketName = "uploads".parse().unwrap();
        let store = SqliteStore::open(&config.state.join("reelmill.db"), Ageing::Strict)
            .await
            .unwrap();
        let far = reelmill::daemon::far_buckets(&config).await.unwrap();
        let buckets = far.into_iter().map(|bucket| (bucket.name().clone(), bucket)).collect();
        let mill = Mill::new(config, Arc::new(store), buckets, Timestamp::now());
        rules::load(&mill, Timestamp::now()).await.unwrap();
        mill.hints.of(&name).set_watched(u64::MAX);
        let began = Instant::now();
        match what {
            "bare" => assert_eq!(list(&mill.buckets[&name]).await, KEYS),
            "baseline" => assert!(arming::tick(&mill).await),
            _ => {
                let counts = sweep::tick(&mill, &name, &[Directory::default()]).await.unwrap();
                assert_eq!((counts.objects, counts.hinted), (KEYS as u64, 0));
            }
        }
        began.elapsed()
    };
    runtime.block_on(work)
}

/// The bare requests, one after the other.
async fn list(bucket: &Arc<dyn Bucket>) -> usize {
    let remote = bucket.remote().unwrap();
    let (mut from, mut count) = (From::Start, 0);
    loop {
        let page = remote.page("", &from, 1000).await.unwrap();
        count += page.objects.len();
        match page.next {
            Some(next) => from = From::Next(next),
            None => return count,
        }
    }
}
