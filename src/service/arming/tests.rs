use std::path::PathBuf;

use super::*;
use crate::bucket::memory::MemoryBucket;
use crate::rule::Formats;
use crate::rule::book::RuleBook;
use crate::service::intake;
use crate::service::tests_support::{FakeStore, armed, bucket, key, mill, rule};

fn new(live: LiveRule, cursor: Option<ObjectKey>) -> (Arc<Mill>, Arc<FakeStore>, MemoryBucket) {
    let place = MemoryBucket::new("inbox");
    let record = armed(&live, cursor);
    let (mill, store) = mill(Arc::new(place.clone()), PathBuf::new(), vec![live]);
    store.save_rule_now(record);
    for name in ["a.mp4", "b.mp4", "c.mov", "d.mp4", "e.mp4"] {
        place.put(&key(name), b"x");
    }
    mill.hints.of(&bucket()).set_watched(1);
    (mill, store, place)
}

fn enabled() -> LiveRule {
    LiveRule {
        arming: Some(ArmingMode::Enabled),
        ..rule("all", "")
    }
}

/// Arms while intake works, as in the daemon.
async fn arm_all(mill: &Arc<Mill>) -> bool {
    let stop = CancellationToken::new();
    let working = intake::run(mill.clone(), bucket(), stop.clone());
    tokio::select! {
        finished = tick(mill) => finished,
        () = working => false,
    }
}

#[tokio::test]
async fn what_was_there_is_old_and_the_rule_is_armed() {
    let (mill, store, _) = new(enabled(), None);
    assert!(arm_all(&mill).await);
    assert_eq!(store.lines(), 5);
    assert!(store.line("all", "a.mp4").unwrap().baseline);
    assert_eq!(store.arming("all"), Arming::Done);
    assert!(store.jobs().is_empty());
}

#[tokio::test]
async fn a_bucket_that_is_not_watched_is_not_listed() {
    let (mill, store, _) = new(enabled(), None);
    mill.hints.of(&bucket()).set_watched(0);
    assert!(!tick(&mill).await);
    assert_eq!(store.lines(), 0);
}

#[tokio::test]
async fn a_restart_goes_on_where_it_was() {
    let (mill, store, _) = new(enabled(), Some(key("b.mp4")));
    assert!(arm_all(&mill).await);
    assert_eq!(store.lines(), 3);
    assert!(store.line("all", "b.mp4").is_none());
}

#[tokio::test]
async fn what_an_event_announces_is_a_job_whether_it_was_listed_before_or_not() {
    let (mill, store, place) = new(enabled(), None);
    let hints = mill.hints.of(&bucket());
    hints.put(key("b.mp4"), Timestamp::from_second(2_000).ok(), "inotify");
    assert!(arm_all(&mill).await);
    assert_eq!(store.jobs(), ["all b.mp4"]);
    assert!(!store.line("all", "b.mp4").unwrap().baseline);
    place.put(&key("b.mp4"), b"new");
    hints.put(key("b.mp4"), None, "list");
    intake::tick(&mill, &bucket()).await;
    assert_eq!(store.jobs().len(), 2, "armed, so that what changes is new");
}

#[tokio::test]
async fn what_came_while_the_rule_was_disabled_is_old() {
    let (mill, store, place) = new(enabled(), None);
    assert!(arm_all(&mill).await);
    place.put(&key("a.mp4"), b"changed");
    let live = enabled();
    store.save_rule_now(armed(&live, None));
    mill.book.set(RuleBook {
        rules: vec![live],
        broken: Vec::new(),
    });
    mill.hints.of(&bucket()).set_watched(3);
    assert!(arm_all(&mill).await);
    assert!(store.jobs().is_empty());
    assert_eq!(store.line("all", "a.mp4").unwrap().generation, Generation(2));
}

#[tokio::test]
async fn a_listing_that_breaks_off_leaves_the_rule_arming_and_says_so() {
    let (mill, store, place) = new(enabled(), None);
    place.fail_listing_after(Some(3));
    assert!(!arm_all(&mill).await);
    assert_eq!(store.arming("all"), Arming::Enabled { cursor: None });
    assert!(!mill.health.all()["arming:all"].ok);
    place.fail_listing_after(None);
    assert!(arm_all(&mill).await);
    assert_eq!(store.lines(), 5);
    assert!(mill.health.all()["arming:all"].ok);
}

#[tokio::test]
async fn a_wider_rule_takes_only_the_newly_matching_for_old() {
    let mut before = rule("all", "");
    Arc::make_mut(&mut before.rule).trigger.formats = Formats::List(vec!["mp4".into()]);
    let wider = LiveRule {
        arming: Some(ArmingMode::Widened(before.rule)),
        ..rule("all", "")
    };
    let (mill, store, _) = new(wider, None);
    assert!(arm_all(&mill).await);
    assert_eq!(store.lines(), 1);
    assert!(store.line("all", "c.mov").unwrap().baseline);
}

#[tokio::test]
async fn where_existing_objects_are_processed_nothing_is_old_and_a_listing_follows() {
    let mut live = enabled();
    Arc::make_mut(&mut live.rule).trigger.existing = Existing::Process;
    let (mill, store, _) = new(live, None);
    assert!(tick(&mill).await);
    assert_eq!(store.lines(), 0);
    assert_eq!(store.arming("all"), Arming::Done);
    assert_eq!(mill.hints.of(&bucket()).take_listings().len(), 1);
}
