use std::path::PathBuf;
use std::sync::atomic::Ordering;

use super::*;
use crate::bucket::memory::MemoryBucket;
use crate::job::LeaseNumber;
use crate::rule::book::ArmingMode;
use crate::service::tests_support::{FakeStore, bucket, key, mill, rule};
use crate::store::OutputState;

fn new(rules: Vec<LiveRule>) -> (Arc<Mill>, Arc<FakeStore>, MemoryBucket) {
    let place = MemoryBucket::new("inbox");
    let (mill, store) = mill(Arc::new(place.clone()), PathBuf::new(), rules);
    (mill, store, place)
}

fn event(second: i64) -> Option<Timestamp> {
    Timestamp::from_second(second).ok()
}

async fn hint(mill: &Mill, name: &str, event: Option<Timestamp>) {
    mill.hints.of(&bucket()).put(key(name), event, "test");
    tick(mill, &bucket()).await;
}

/// Ticks until nothing waits.
async fn drain(mill: &Mill) {
    let hints = mill.hints.of(&bucket());
    let deadline = Instant::now() + Duration::from_mins(1);
    while !hints.is_empty() {
        assert!(Instant::now() < deadline, "hints remain");
        tokio::time::timeout_at(deadline, hints.ready()).await.unwrap();
        tick(mill, &bucket()).await;
    }
}

#[tokio::test]
async fn a_new_identity_becomes_one_job_for_each_rule_that_wants_it() {
    let (mill, store, place) = new(vec![rule("all", ""), rule("in", "in"), rule("other", "x")]);
    place.put(&key("in/clip.mp4"), b"x");
    for _ in 0..3 {
        hint(&mill, "in/clip.mp4", event(2_000)).await;
    }
    assert_eq!(store.jobs(), ["all in/clip.mp4", "in in/clip.mp4"]);
    place.put(&key("in/clip.mp4"), b"y");
    hint(&mill, "in/clip.mp4", None).await;
    assert_eq!(store.jobs().len(), 4);
    assert_eq!(store.line("in", "in/clip.mp4").unwrap().generation, Generation(2));
    assert!(mill.hints.is_empty());
}

#[tokio::test]
async fn what_is_gone_or_no_file_or_unwanted_is_given_up() {
    let (mill, store, place) = new(vec![rule("in", "in")]);
    place.put(&key("in/dir/clip.mp4"), b"x");
    place.put(&key("elsewhere.mp4"), b"x");
    for name in ["in/missing.mp4", "in/dir", "elsewhere.mp4", "in/clip.mp4.part"] {
        hint(&mill, name, event(2_000)).await;
    }
    assert!(store.jobs().is_empty());
    assert!(mill.hints.is_empty());
}

#[tokio::test]
async fn a_busy_file_is_looked_at_until_its_writer_is_done() {
    let (mill, store, place) = new(vec![rule("all", "")]);
    place.put(&key("clip.mp4"), b"x");
    place.answer(&key("clip.mp4"), Some(Resolved::Busy));
    hint(&mill, "clip.mp4", event(2_000)).await;
    hint(&mill, "clip.mp4", event(2_001)).await;
    assert!(store.jobs().is_empty());
    assert_eq!(mill.hints.len(), 1);
    place.answer(&key("clip.mp4"), None);
    drain(&mill).await;
    assert_eq!(store.jobs(), ["all clip.mp4"]);
}

#[tokio::test]
async fn where_writers_cannot_be_seen_a_file_must_stay_as_it_is() {
    let (mill, store, place) = new(vec![rule("all", "")]);
    let settling = |size, fingerprint| {
        Some(Resolved::Settling {
            identity: Identity::local(size, 7),
            fingerprint,
        })
    };
    let name = key("clip.mp4");
    place.answer(&name, settling(1, 1));
    hint(&mill, "clip.mp4", None).await;
    // Too soon, though it is the same.
    hint(&mill, "clip.mp4", None).await;
    assert!(store.jobs().is_empty());
    for answer in [settling(2, 1), settling(2, 2)] {
        place.answer(&name, answer);
        mill.hints.of(&bucket()).ready().await;
        tick(&mill, &bucket()).await;
        assert!(store.jobs().is_empty());
    }
    drain(&mill).await;
    assert_eq!(store.jobs(), ["all clip.mp4"]);
    assert_eq!(store.line("all", "clip.mp4").unwrap().identity.size, 2);
}

#[tokio::test]
async fn own_outputs_start_nothing_unless_they_are_wanted_or_were_replaced() {
    let mut loud = rule("outputs", "");
    Arc::make_mut(&mut loud.rule).trigger.outputs = true;
    let (mill, store, place) = new(vec![rule("all", ""), loud]);
    let name = key("clip_web.mp4");
    let identity = place.put(&name, b"ours");
    store.add_output(OutputRecord {
        bucket: bucket(),
        key: name.clone(),
        identity,
        checksum: String::new(),
        rule: "all".parse().unwrap(),
        source_bucket: bucket(),
        source_key: key("clip.mp4"),
        job: JobId::new(mill.started, 1),
        task: None,
        generation: Generation(1),
        state: OutputState::Publishing,
    });
    hint(&mill, "clip_web.mp4", event(2_000)).await;
    assert_eq!(store.jobs(), ["outputs clip_web.mp4"]);
    place.put(&name, b"theirs");
    hint(&mill, "clip_web.mp4", event(2_001)).await;
    assert_eq!(store.jobs()[1..], ["all clip_web.mp4", "outputs clip_web.mp4"]);
}

#[tokio::test]
async fn hints_outlive_a_bucket_and_a_store_that_fail() {
    let (mill, store, place) = new(vec![rule("all", "")]);
    place.put(&key("clip.mp4"), b"x");
    place.set_offline(true);
    hint(&mill, "clip.mp4", event(2_000)).await;
    place.set_offline(false);
    store.fails.store(true, Ordering::SeqCst);
    mill.hints.of(&bucket()).ready().await;
    tick(&mill, &bucket()).await;
    assert!(!mill.health.all()["intake:inbox"].ok);
    assert_eq!(mill.hints.len(), 1);
    store.fails.store(false, Ordering::SeqCst);
    drain(&mill).await;
    assert_eq!(store.jobs(), ["all clip.mp4"]);
    assert!(mill.health.all()["intake:inbox"].ok);
}

#[tokio::test]
async fn a_running_job_is_stopped_by_a_newer_identity() {
    let (mill, store, place) = new(vec![rule("all", "")]);
    place.put(&key("clip.mp4"), b"x");
    hint(&mill, "clip.mp4", event(2_000)).await;
    let seen = Acceptance {
        rule: "all".parse().unwrap(),
        object: Object {
            bucket: bucket(),
            key: key("other.mp4"),
            identity: Identity::local(1, 1),
        },
        seen: Generation(0),
        job: Some(new_job(&rule("all", ""), mill.started)),
        listed: None,
    };
    let id = seen.job.as_ref().unwrap().id.clone();
    accept(&mill, vec![seen]).await.unwrap();
    let stop = CancellationToken::new();
    mill.running
        .insert(id.clone(), LeaseNumber(1), stop.clone(), mill.started);
    place.put(&key("other.mp4"), b"new");
    hint(&mill, "other.mp4", event(2_000)).await;
    assert!(stop.is_cancelled());
    let reason = mill.running.get(&id).unwrap().stop_reason.unwrap();
    assert!(reason.starts_with("superseded"), "{reason}");
    assert_eq!(store.jobs().len(), 3);
}

#[tokio::test]
async fn while_a_rule_is_arming_only_what_has_a_later_event_is_new() {
    let mut arming = rule("all", "");
    arming.arming = Some(ArmingMode::Enabled);
    let (mill, store, place) = new(vec![arming]);
    for name in ["old.mp4", "early.mp4", "new.mp4"] {
        place.put(&key(name), b"x");
    }
    hint(&mill, "old.mp4", None).await;
    hint(&mill, "early.mp4", event(900)).await;
    hint(&mill, "new.mp4", event(1_001)).await;
    assert_eq!(store.jobs(), ["all new.mp4"]);
    assert!(store.line("all", "old.mp4").unwrap().baseline);
    // An event beats the baseline.
    hint(&mill, "old.mp4", event(1_002)).await;
    assert_eq!(store.jobs(), ["all new.mp4", "all old.mp4"]);
}

#[tokio::test]
async fn ten_thousand_files_take_few_transactions() {
    let (mill, store, place) = new(vec![rule("all", "")]);
    let hints = mill.hints.of(&bucket());
    for n in 0..10_000 {
        let name = key(&format!("{n}.mp4"));
        place.put(&name, b"x");
        hints.put(name, event(2_000), "inotify");
    }
    drain(&mill).await;
    assert_eq!(store.jobs().len(), 10_000);
    assert_eq!(store.accepts.load(Ordering::SeqCst), 10_000_u32.div_ceil(256));
}
