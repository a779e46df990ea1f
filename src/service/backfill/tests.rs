//! What a backfill takes and what it leaves.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;

use super::*;
use crate::bucket::memory::MemoryBucket;
use crate::service::tests_support::{bucket, key, mill, rule};
use crate::store::OutputState;

const WHOLE: Wish = Wish {
    since: None,
    priority: None,
    dry_run: false,
};

struct House {
    place: Arc<MemoryBucket>,
    mill: Arc<Mill>,
    store: Arc<crate::service::tests_support::FakeStore>,
    live: LiveRule,
}

impl House {
    fn new(objects: &[&str]) -> Self {
        let place = Arc::new(MemoryBucket::new("inbox"));
        for name in objects {
            place.put(&key(name), b"twelve bytes");
        }
        let live = rule("web", "in/");
        let (mill, store) = mill(place.clone(), PathBuf::from("/"), vec![live.clone()]);
        Self {
            place,
            mill,
            store,
            live,
        }
    }

    async fn run(&self, wish: &Wish) -> (Counts, Vec<String>) {
        let mut keys = Vec::new();
        let counts = backfill(&self.mill, &self.live, wish, |object| keys.push(object.key.to_string()))
            .await
            .unwrap();
        (counts, keys)
    }
}

#[tokio::test]
async fn what_matches_is_queued_once_however_often_it_is_asked_for() {
    let house = House::new(&["in/a.mp4", "in/b.mp4", "out/c.mp4"]);
    let dry = Wish { dry_run: true, ..WHOLE };
    let (told, keys) = house.run(&dry).await;
    assert_eq!((told.queued, told.size), (2, 24));
    assert_eq!(keys, ["in/a.mp4", "in/b.mp4"]);
    assert_eq!(house.store.lines(), 0, "a dry run changes nothing");
    let (first, second) = tokio::join!(house.run(&WHOLE), house.run(&WHOLE));
    assert_eq!(first.0.queued + second.0.queued, 2);
    assert_eq!(house.store.jobs(), ["web in/a.mp4", "web in/b.mp4"]);
    let (again, _) = house.run(&WHOLE).await;
    assert_eq!((again.queued, again.known, again.matching), (0, 2, 2));
}

#[tokio::test]
async fn only_what_changed_since_is_taken() {
    let house = House::new(&[]);
    let time = |text: &str| text.parse::<Timestamp>().unwrap();
    for (name, modified) in [("in/old", "2026-10-31T23:59:59Z"), ("in/new", "2026-11-01T00:00:00Z")] {
        let identity = Identity::local(5, i64::try_from(time(modified).as_nanosecond()).unwrap());
        house.place.put_as(&key(name), b"bytes", identity);
    }
    let wish = Wish {
        since: Some(time("2026-11-01T00:00:00Z")),
        ..WHOLE
    };
    assert_eq!(house.run(&wish).await.1, ["in/new"]);
}

#[tokio::test]
async fn own_outputs_and_files_being_written_are_left_out() {
    let house = House::new(&["in/busy", "in/made"]);
    let identity = house.place.put(&key("in/made"), b"ours");
    house.place.answer(&key("in/busy"), Some(Resolved::Busy));
    house.store.add_output(crate::store::OutputRecord {
        bucket: bucket(),
        key: key("in/made"),
        identity,
        checksum: String::new(),
        rule: "other".parse().unwrap(),
        source_bucket: bucket(),
        source_key: key("x"),
        job: JobId::new(Timestamp::UNIX_EPOCH, 1),
        task: None,
        generation: Generation(1),
        state: OutputState::Published,
    });
    let (counts, _) = house.run(&WHOLE).await;
    assert_eq!((counts.queued, counts.own, counts.busy), (0, 1, 1));
}

#[tokio::test]
async fn a_bucket_that_goes_away_breaks_it_off_and_the_next_goes_on() {
    let house = House::new(&["in/a", "in/b"]);
    house.place.set_offline(true);
    let broken = backfill(&house.mill, &house.live, &WHOLE, |_| {}).await;
    assert!(matches!(
        broken,
        Err(BackfillError::Bucket(BucketError::Transient { .. }))
    ));
    house.place.set_offline(false);
    assert_eq!(house.run(&WHOLE).await.0.queued, 2);
}

#[tokio::test]
async fn a_daemon_that_stops_does_not_wait_for_it() {
    let house = House::new(&["in/a"]);
    house.mill.stopping.cancel();
    let broken = backfill(&house.mill, &house.live, &WHOLE, |_| {}).await;
    assert!(matches!(broken, Err(BackfillError::Stopping)));
}

#[test]
fn old_changed_and_failed_objects_are_open_and_done_ones_are_not() {
    let identity = Identity::local(1, 1);
    let line = |baseline| LedgerEntry {
        rule: "web".parse().unwrap(),
        key: key("a"),
        identity: identity.clone(),
        generation: Generation(1),
        baseline,
        gone_at: None,
        listed: None,
    };
    assert!(is_open(None, &identity, false));
    assert!(is_open(Some(&line(true)), &identity, false));
    assert!(is_open(Some(&line(false)), &Identity::local(1, 2), false));
    assert!(is_open(Some(&line(false)), &identity, true));
    assert!(!is_open(Some(&line(false)), &identity, false));
}
