//! What is kept of hints until they are decided.

use super::{HOURLY, Place, failed, running};
use crate::job::JobId;
use crate::job::testing::at;
use crate::object::ObjectKey;
use crate::store::KeptHint;

pub async fn hints_are_kept_as_they_were_told_until_they_are_forgotten(place: &dyn Place) {
    let store = place.open(HOURLY).await;
    let hint = |number: u16| {
        let mut key = b"in/a b+c&d%2F\"\\'\n\xff\xc3\xbc ".to_vec();
        key.extend(number.to_string().bytes());
        KeptHint {
            bucket: ["uploads", "far-away"][usize::from(number % 2)].parse().unwrap(),
            key: ObjectKey::new(key).unwrap(),
            event: (!number.is_multiple_of(3)).then(|| at(i64::from(number))),
            source: "sqs".to_owned(),
        }
    };
    assert!(store.keep_hints(&[]).await.unwrap().is_empty());
    let hints: Vec<KeptHint> = (0..700).map(hint).collect();
    let mut numbers = Vec::new();
    for some in hints.chunks(300) {
        numbers.extend(store.keep_hints(some).await.unwrap());
    }
    // Each number is that of its own hint.
    let expected: Vec<_> = numbers.iter().copied().zip(hints).collect();
    store.close().await;
    let store = place.open(HOURLY).await;
    assert_eq!(store.kept_hints(0, 1000).await.unwrap(), expected);
    assert_eq!(store.kept_hints(numbers[9], 2).await.unwrap(), expected[10..12]);
    store.forget_hints(&numbers[1..]).await.unwrap();
    assert_eq!(store.kept_hints(0, 1000).await.unwrap(), expected[..1]);
    // A number is not used again.
    let later = store.keep_hints(&[hint(0)]).await.unwrap();
    assert!(later[0] > numbers[699], "{later:?}");
}

pub async fn what_ran_is_kept_with_its_job_and_goes_with_it(place: &dyn Place) {
    let store = place.open(HOURLY).await;
    let (job, lease) = running(&*store, "a.mp4", 1, 0).await;
    let (copy, other) = ("copy".parse().unwrap(), "other".parse().unwrap());
    store.keep_provenance(&job.id, &other, "two").await.unwrap();
    store.keep_provenance(&job.id, &copy, "one").await.unwrap();
    store.keep_provenance(&job.id, &copy, "one again").await.unwrap();
    assert_eq!(store.provenance(&job.id).await.unwrap(), ["one again", "two"]);
    let unknown = JobId::parse("000000000000000").unwrap();
    store.keep_provenance(&unknown, &copy, "nobody's").await.unwrap();
    assert!(store.provenance(&unknown).await.unwrap().is_empty());
    store.apply(&job.id, Some(lease), &[failed()], at(2)).await.unwrap();
    store.note_settled(&job.id).await.unwrap();
    assert_eq!(store.forget_jobs(Some(at(1000)), None, 10, at(1000)).await.unwrap(), 1);
    assert!(store.provenance(&job.id).await.unwrap().is_empty());
}
