//! The loops together, on a real directory: watching, intake, sweep and arming.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::*;
use crate::bucket::local::LocalBucket;
use crate::rule::book::{ArmingMode, LiveRule, RuleBook};
use crate::service::tests_support::{FakeStore, armed, bucket, mill, rule};
use crate::service::{arming, intake, sweep};
use crate::store::Arming;

struct Daemon {
    folder: tempfile::TempDir,
    root: PathBuf,
    mill: Arc<Mill>,
    store: Arc<FakeStore>,
    stop: CancellationToken,
    loops: JoinSet<()>,
}

impl Daemon {
    fn new(live: LiveRule, prepare: impl FnOnce(&std::path::Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("inbox");
        fs::create_dir(&root).unwrap();
        prepare(&root);
        let place = LocalBucket::new(bucket(), &root, &folder.path().join("state"));
        let record = armed(&live, None);
        let (mill, store) = mill(Arc::new(place), root.clone(), vec![live]);
        store.save_rule_now(record);
        let stop = CancellationToken::new();
        let mut loops = JoinSet::new();
        loops.spawn(run(mill.clone(), bucket(), stop.clone()));
        loops.spawn(intake::run(mill.clone(), bucket(), stop.clone()));
        loops.spawn(sweep::run(mill.clone(), bucket(), stop.clone()));
        loops.spawn(arming::run(mill.clone(), stop.clone()));
        Self {
            folder,
            root,
            mill,
            store,
            stop,
            loops,
        }
    }

    async fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_mins(1);
        while !holds() {
            assert!(
                Instant::now() < deadline,
                "not within 20 s: {what}; jobs {:?}; health {:?}",
                self.store.jobs().len(),
                self.mill.health.all()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn watches(&self) {
        self.until("watching", || *self.mill.hints.of(&bucket()).watched().borrow() > 0)
            .await;
    }

    async fn has_jobs(&self, count: usize) {
        self.until(&format!("{count} jobs"), || self.store.jobs().len() >= count)
            .await;
        assert_eq!(self.store.jobs().len(), count);
    }

    async fn end(mut self) {
        self.stop.cancel();
        let all = async { while self.loops.join_next().await.is_some() {} };
        tokio::time::timeout(Duration::from_mins(1), all).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_file_that_is_dropped_is_queued_once() {
    let daemon = Daemon::new(rule("all", ""), |_| {});
    daemon.watches().await;
    for n in 0..60 {
        fs::write(daemon.root.join(format!("{n}.mp4")), "x").unwrap();
    }
    let dropped = Instant::now();
    daemon.has_jobs(60).await;
    println!("60 files queued {:?} after the last was closed", dropped.elapsed());
    for n in 0..200 {
        let directory = daemon.root.join(format!("{n}/a/b"));
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("clip.mp4"), "x").unwrap();
    }
    daemon.has_jobs(260).await;
    daemon.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_files_are_queued_once() {
    let daemon = Daemon::new(rule("all", ""), |_| {});
    daemon.watches().await;
    let began = Instant::now();
    for n in 0..10_000 {
        fs::write(daemon.root.join(format!("{n}.mp4")), "x").unwrap();
    }
    let dropped = began.elapsed();
    daemon.has_jobs(10_000).await;
    println!(
        "10,000 files written in {dropped:?}, queued after {:?}",
        began.elapsed()
    );
    daemon.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_there_is_found_and_what_came_while_nobody_watched_too() {
    let daemon = Daemon::new(rule("all", ""), |root| {
        for n in 0..5 {
            fs::write(root.join(format!("{n}.mp4")), "x").unwrap();
        }
    });
    daemon.has_jobs(5).await;
    // The disk goes away and comes back with one file more.
    let aside = daemon.folder.path().join("aside");
    fs::rename(&daemon.root, &aside).unwrap();
    daemon
        .until("offline", || !daemon.mill.health.all()["watch:inbox"].ok)
        .await;
    fs::write(aside.join("late.mp4"), "x").unwrap();
    fs::rename(&aside, &daemon.root).unwrap();
    daemon.has_jobs(6).await;
    assert_eq!(daemon.store.line("all", "0.mp4").unwrap().gone_at, None);
    daemon.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_come_while_a_rule_is_armed_are_new_and_the_others_old() {
    let live = LiveRule {
        arming: Some(ArmingMode::Enabled),
        ..rule("all", "")
    };
    let daemon = Daemon::new(live, |root| {
        for n in 0..3000 {
            fs::write(root.join(format!("{n}.mp4")), "x").unwrap();
        }
    });
    daemon.watches().await;
    for n in 0..200 {
        fs::write(daemon.root.join(format!("new-{n}.mp4")), "x").unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    daemon
        .until("armed", || daemon.store.arming("all") == Arming::Done)
        .await;
    // As the service of rules does.
    daemon.mill.book.set(RuleBook {
        rules: vec![rule("all", "")],
        broken: Vec::new(),
    });
    daemon.has_jobs(200).await;
    daemon.until("a line for each", || daemon.store.lines() == 3200).await;
    assert!(daemon.store.jobs().iter().all(|job| job.contains("new-")));
    daemon.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_held_by_a_writer_waits_and_a_renamed_one_counts_under_its_last_name() {
    use std::io::Write;
    let daemon = Daemon::new(rule("all", ""), |_| {});
    daemon.watches().await;
    let mut held = fs::File::create(daemon.root.join("held.mp4")).unwrap();
    held.write_all(b"half").unwrap();
    fs::write(daemon.root.join("done.mp4.part"), "x").unwrap();
    fs::rename(daemon.root.join("done.mp4.part"), daemon.root.join("done.mp4")).unwrap();
    fs::write(daemon.root.join(".hidden.mp4"), "x").unwrap();
    daemon.has_jobs(1).await;
    assert_eq!(daemon.store.jobs(), ["all done.mp4"]);
    held.write_all(b" and half").unwrap();
    drop(held);
    daemon.has_jobs(2).await;
    assert_eq!(daemon.store.line("all", "held.mp4").unwrap().identity.size, 13);
    daemon.end().await;
}
