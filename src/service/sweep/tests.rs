use std::path::PathBuf;

use super::*;
use crate::bucket::memory::MemoryBucket;
use crate::job::JobId;
use crate::service::intake;
use crate::service::tests_support::{FakeStore, bucket, key, mill, rule};
use crate::store::{OutputRecord, OutputState};

async fn swept(mill: &Mill, directory: &str) -> Counts {
    let directory = Directory::new(directory).unwrap();
    let counts = tick(mill, &bucket(), &[directory]).await.unwrap();
    while intake::tick(mill, &bucket()).await > 0 {}
    counts
}

fn new(directories: &[&str]) -> (Arc<Mill>, Arc<FakeStore>, MemoryBucket) {
    let place = MemoryBucket::new("inbox");
    let rules = directories
        .iter()
        .map(|name| rule(&format!("rule {name}").trim().replace('/', "-"), name));
    let (mill, store) = mill(Arc::new(place.clone()), PathBuf::new(), rules.collect());
    (mill, store, place)
}

#[tokio::test]
async fn only_what_is_new_or_differs_becomes_a_hint() {
    let (mill, store, place) = new(&["", "in"]);
    for name in ["a.mp4", "in/b.mp4", "in/c/d.mp4", "in-/e.mp4", "in0.mp4", "z.mp4"] {
        place.put(&key(name), b"x");
    }
    let counts = swept(&mill, "").await;
    assert_eq!((counts.objects, counts.hinted), (6, 6));
    assert_eq!(store.jobs().len(), 8);
    assert_eq!(
        swept(&mill, "").await,
        Counts {
            objects: 6,
            ..Counts::default()
        }
    );
    place.put(&key("in/b.mp4"), b"y");
    assert_eq!(swept(&mill, "").await.hinted, 1);
    assert_eq!(store.jobs().len(), 10);
    // A part of it.
    place.put(&key("in/c/new.mp4"), b"x");
    place.put(&key("z.mp4"), b"y");
    let counts = swept(&mill, "in/c").await;
    assert_eq!((counts.objects, counts.hinted, counts.gone), (2, 1, 0));
}

#[tokio::test]
async fn missing_keys_are_remembered_as_gone_and_come_back_without_a_job() {
    let (mill, store, place) = new(&["in"]);
    for name in ["in/a.mp4", "in/b.mp4", "in/c.mp4", "in/z.mp4"] {
        place.put(&key(name), b"x");
    }
    swept(&mill, "").await;
    for name in ["in/a.mp4", "in/z.mp4"] {
        place.remove(&key(name));
    }
    assert_eq!(swept(&mill, "").await.gone, 2);
    assert_eq!(swept(&mill, "").await.gone, 0);
    let line = store.line("rule in", "in/z.mp4").unwrap();
    assert!(line.gone_at.is_some());
    // The same identity comes back.
    place.put_as(&key("in/z.mp4"), b"x", line.identity);
    let counts = swept(&mill, "").await;
    assert_eq!((counts.back, counts.hinted), (1, 0));
    assert_eq!(store.line("rule in", "in/z.mp4").unwrap().gone_at, None);
    assert_eq!(store.jobs().len(), 4);
}

#[tokio::test]
async fn a_listing_that_breaks_off_notices_but_marks_nothing_gone() {
    let (mill, store, place) = new(&[""]);
    for n in 0..9 {
        place.put(&key(&format!("{n}.mp4")), b"x");
    }
    swept(&mill, "").await;
    place.remove(&key("0.mp4"));
    place.put(&key("1.mp4"), b"y");
    place.fail_listing_after(Some(3));
    assert!(tick(&mill, &bucket(), &[Directory::default()]).await.is_err());
    assert!(!mill.health.all()["list:inbox"].ok);
    assert_eq!(mill.hints.len(), 1);
    place.fail_listing_after(Some(0));
    assert!(tick(&mill, &bucket(), &[Directory::default()]).await.is_err());
    place.set_offline(true);
    assert!(tick(&mill, &bucket(), &[Directory::default()]).await.is_err());
    for n in 0..9 {
        assert_eq!(store.line("rule", &format!("{n}.mp4")).unwrap().gone_at, None);
    }
}

#[tokio::test]
async fn own_outputs_are_not_hinted_again_and_again() {
    let (mill, store, place) = new(&[""]);
    let name = key("clip_web.mp4");
    let identity = place.put(&name, b"ours");
    store.add_output(OutputRecord {
        bucket: bucket(),
        key: name.clone(),
        identity,
        checksum: String::new(),
        rule: "rule".parse().unwrap(),
        source_bucket: bucket(),
        source_key: key("clip.mp4"),
        job: JobId::new(mill.started, 1),
        task: None,
        generation: crate::job::Generation(1),
        state: OutputState::Published,
    });
    assert_eq!(swept(&mill, "").await.hinted, 0);
    place.put(&name, b"theirs");
    assert_eq!(swept(&mill, "").await.hinted, 1);
}

#[tokio::test]
async fn a_large_gap_in_the_listing_is_read_in_pieces() {
    let (mill, store, place) = new(&[""]);
    for n in 0..2500 {
        place.put(&key(&format!("{n:04}.mp4")), b"x");
    }
    swept(&mill, "").await;
    for n in 1..2499 {
        place.remove(&key(&format!("{n:04}.mp4")));
    }
    assert_eq!(swept(&mill, "").await.gone, 2498);
    assert_eq!(store.lines(), 2500);
}

#[test]
fn ranges_are_what_is_asked_and_wanted() {
    let rules: Vec<_> = ["a", "a/b", "c"].map(|name| rule("r", name)).into();
    let rules: Vec<_> = rules.iter().collect();
    let of = |asked: &[&str]| {
        let asked: Vec<_> = asked.iter().map(|text| Directory::new(text).unwrap()).collect();
        ranges(&rules, &asked)
            .iter()
            .map(|range| range.as_str().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(of(&[""]), ["a/", "c/"]);
    assert_eq!(of(&["a/b/x", "d"]), ["a/b/x/"]);
    assert_eq!(of(&["a/x", "c"]), ["a/x/", "c/"]);
    assert!(of(&["d"]).is_empty());
}
