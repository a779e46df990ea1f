//! What is left to do with sources after success, and what may be forgotten of jobs that ended.

use jiff::{SignedDuration, Timestamp};

use super::{HOURLY, Place, accept, cancelled, claim, failed, publish_list, running, started, succeeded, wish};
use crate::job::source::StepState;
use crate::job::testing::at;
use crate::job::{Job, JobId, JobState, LeaseNumber};
use crate::object::Directory;
use crate::rule::source::AfterSuccess;
use crate::store::{Acceptance, JobFilter, OutputState, Store, StoreError};

fn deleting(key: &str, version: i64, seen: u64) -> Acceptance {
    let mut wish = wish(key, version, seen);
    wish.job.as_mut().unwrap().after_success = Some(AfterSuccess::Delete);
    wish
}

async fn worked(store: &dyn Store, wish: Acceptance, now: Timestamp) -> (Job, LeaseNumber) {
    accept(store, wish, now).await;
    let (job, lease) = claim(store, now).await;
    let job = store.apply(&job.id, Some(lease), &[started()], now).await.unwrap();
    (job, lease)
}

async fn due(store: &dyn Store) -> Vec<JobId> {
    let steps = store.source_steps_due(0, 10).await.unwrap();
    steps.into_iter().map(|step| step.job).collect()
}

pub async fn a_success_writes_the_step_of_its_source_with_the_same_stroke(place: &dyn Place) {
    let store = place.open(HOURLY).await;
    let (job, lease) = worked(store.as_ref(), deleting("a", 1, 0), at(1)).await;
    assert!(due(store.as_ref()).await.is_empty());
    let list = publish_list(&job, &["a_copy"]);
    store.begin_publish(&list, Some(lease), at(1)).await.unwrap();
    let grace = SignedDuration::from_secs(1);
    store
        .finish_publish(&list, Some(lease), &[succeeded()], grace, at(2))
        .await
        .unwrap();
    store.close().await;
    let store = place.open(HOURLY).await;
    let step = store.source_step(&job.id).await.unwrap().unwrap();
    assert_eq!(step.object, job.object);
    assert_eq!(
        (step.wish, step.state, step.created),
        (AfterSuccess::Delete, StepState::Due, at(2))
    );
    assert_eq!(due(store.as_ref()).await, [job.id]);
}

pub async fn other_ends_and_other_rules_write_no_step(place: &dyn Place) {
    let store = place.open(HOURLY).await;
    for (key, events) in [("a", vec![failed()]), ("b", vec![cancelled()])] {
        let (job, lease) = worked(store.as_ref(), deleting(key, 1, 0), at(1)).await;
        store.apply(&job.id, Some(lease), &events, at(2)).await.unwrap();
        assert_eq!(store.source_step(&job.id).await.unwrap(), None);
    }
    let (job, lease) = running(store.as_ref(), "c", 1, 0).await;
    store.apply(&job.id, Some(lease), &[succeeded()], at(2)).await.unwrap();
    assert_eq!(store.source_step(&job.id).await.unwrap(), None);
    assert!(due(store.as_ref()).await.is_empty());
}

pub async fn a_step_begins_only_while_nobody_works_on_its_source(place: &dyn Place) {
    let store = place.open(HOURLY).await;
    let (job, lease) = worked(store.as_ref(), deleting("a", 1, 0), at(1)).await;
    store.apply(&job.id, Some(lease), &[succeeded()], at(2)).await.unwrap();
    let mut other = wish("a", 1, 0);
    other.rule = "other".parse().unwrap();
    let (other, _) = accept(store.as_ref(), other, at(2)).await;
    let step = store.source_step(&job.id).await.unwrap().unwrap();
    let (aside, target) = (".aside".parse().unwrap(), "done/a".parse().unwrap());
    assert!(!store.begin_source_step(&step, &aside, Some(&target)).await.unwrap());
    assert_eq!(store.source_step(&job.id).await.unwrap().unwrap().aside, None);
    store.apply(&other, None, &[cancelled()], at(3)).await.unwrap();
    assert!(store.begin_source_step(&step, &aside, Some(&target)).await.unwrap());
    store.note_source_step(&step, "the disk is away").await.unwrap();
    let begun = store.source_step(&job.id).await.unwrap().unwrap();
    assert_eq!(begun.reason.as_deref(), Some("the disk is away"));
    assert_eq!((&begun.aside, &begun.target), (&Some(aside), &Some(target)));
    store
        .settle_source_step(&begun, StepState::Done, None, at(4))
        .await
        .unwrap();
    let done = store.source_step(&job.id).await.unwrap().unwrap();
    assert_eq!((done.state, done.ended), (StepState::Done, Some(at(4))));
    assert!(due(store.as_ref()).await.is_empty());
    // What has ended stays so.
    store
        .settle_source_step(&begun, StepState::Due, Some("no"), at(5))
        .await
        .unwrap();
    assert_eq!(store.source_step(&job.id).await.unwrap().unwrap(), done);
}

pub async fn a_step_that_is_held_is_due_again_with_the_next_success(place: &dyn Place) {
    let store = place.open(HOURLY).await;
    let (job, lease) = worked(store.as_ref(), deleting("a", 1, 0), at(1)).await;
    store.apply(&job.id, Some(lease), &[succeeded()], at(2)).await.unwrap();
    let step = store.source_step(&job.id).await.unwrap().unwrap();
    store
        .settle_source_step(&step, StepState::Held, Some("another failed"), at(2))
        .await
        .unwrap();
    assert!(due(store.as_ref()).await.is_empty());
    for (version, expected) in [(2, StepState::Held), (1, StepState::Due)] {
        let mut other = wish("a", version, 0);
        other.rule = format!("other{version}").parse().unwrap();
        let (other, lease) = worked(store.as_ref(), other, at(3)).await;
        store
            .apply(&other.id, Some(lease), &[succeeded()], at(4))
            .await
            .unwrap();
        let step = store.source_step(&job.id).await.unwrap().unwrap();
        assert_eq!(step.state, expected, "a success on version {version}");
    }
    // A later job of the same rule takes the step over.
    let mut again = deleting("a", 1, 1);
    again.job.as_mut().unwrap().after_success = Some(AfterSuccess::Move {
        to: Directory::new("done").unwrap(),
        below: Directory::default(),
    });
    let (again, lease) = worked(store.as_ref(), again, at(5)).await;
    store
        .apply(&again.id, Some(lease), &[succeeded()], at(6))
        .await
        .unwrap();
    assert_eq!(due(store.as_ref()).await, std::slice::from_ref(&again.id));
    let on = store
        .source_steps_on(&again.object.bucket, &again.object.key)
        .await
        .unwrap();
    assert_eq!(on.len(), 1);
    assert_eq!(
        store.source_step(&job.id).await.unwrap().unwrap().state,
        StepState::GivenUp
    );
}

async fn ended(store: &dyn Store, key: &str, at_second: i64) -> JobId {
    let (job, lease) = running(store, key, at_second, 0).await;
    let now = at(at_second);
    store.apply(&job.id, Some(lease), &[succeeded()], now).await.unwrap();
    job.id
}

async fn ids(store: &dyn Store) -> Vec<JobId> {
    let filter = JobFilter {
        limit: 100,
        ..JobFilter::default()
    };
    store
        .jobs(&filter)
        .await
        .unwrap()
        .into_iter()
        .map(|job| job.id)
        .collect()
}

pub async fn old_jobs_are_forgotten_a_few_at_a_time_and_the_ledger_never(place: &dyn Place) {
    let store = place.open(HOURLY).await;
    let store = store.as_ref();
    let mut jobs = Vec::new();
    for (number, key) in ["a", "b", "c", "d", "e"].into_iter().enumerate() {
        jobs.push(ended(store, key, i64::try_from(number).unwrap() + 1).await);
    }
    assert_eq!(store.forget_jobs(None, None, 10, at(9)).await.unwrap(), 0);
    assert_eq!(store.forget_jobs(Some(at(0)), Some(5), 10, at(9)).await.unwrap(), 0);
    assert_eq!(store.forget_jobs(Some(at(3)), None, 2, at(9)).await.unwrap(), 2);
    assert_eq!(ids(store).await, [&jobs[4], &jobs[3], &jobs[2]].map(Clone::clone));
    assert_eq!(store.forget_jobs(Some(at(3)), Some(1), 10, at(9)).await.unwrap(), 2);
    assert_eq!(ids(store).await, std::slice::from_ref(&jobs[4]));
    assert!(matches!(store.job(&jobs[0]).await, Err(StoreError::NotFound(_))));
    let counts = store.counts().await.unwrap();
    assert_eq!(counts.iter().map(|count| count.count).sum::<u64>(), 1);
    let keys: Vec<_> = ["a", "b", "c", "d", "e"].map(|key| key.parse().unwrap()).into();
    let rule = "web".parse().unwrap();
    let lines = store.ledger(&[rule], &"inbox".parse().unwrap(), &keys).await.unwrap();
    assert_eq!(lines.len(), 5, "the ledger is kept for ever");
    // A version goes with the last job that has it.
    let version = crate::rule::RuleVersion("0123456789abcdef".to_owned());
    assert!(store.rule_text(&version).await.is_ok());
    assert_eq!(store.forget_jobs(Some(at(9)), None, 10, at(9)).await.unwrap(), 1);
    assert!(matches!(store.rule_text(&version).await, Err(StoreError::NotFound(_))));
}

pub async fn names_of_outputs_outlive_the_jobs_that_made_them(place: &dyn Place) {
    let store = place.open(HOURLY).await;
    let store = store.as_ref();
    let (job, lease) = running(store, "a", 1, 0).await;
    let list = publish_list(&job, &["result"]);
    store.begin_publish(&list, Some(lease), at(1)).await.unwrap();
    let grace = SignedDuration::from_secs(1);
    store
        .finish_publish(&list, Some(lease), &[succeeded()], grace, at(2))
        .await
        .unwrap();
    assert_eq!(store.forget_jobs(Some(at(5)), None, 10, at(5)).await.unwrap(), 1);
    let out = "out".parse().unwrap();
    let own = store.own_outputs(&out, &["result".parse().unwrap()]).await.unwrap();
    assert_eq!((own.len(), &own[0].job), (1, &job.id));
    // Another source still may not have the name, and the same source may.
    let (other, lease) = running(store, "b", 6, 0).await;
    let refused = store
        .begin_publish(&publish_list(&other, &["result"]), Some(lease), at(6))
        .await;
    assert!(refused.is_err());
    let (again, lease) = running(store, "a", 7, 1).await;
    let list = publish_list(&again, &["other"]);
    store.begin_publish(&list, Some(lease), at(7)).await.unwrap();
    store
        .finish_publish(&list, Some(lease), &[succeeded()], grace, at(8))
        .await
        .unwrap();
    let old = store.outputs_to_remove(at(20)).await.unwrap();
    assert_eq!(old.len(), 1, "what the forgotten job published is superseded");
    assert_eq!(old[0].state, OutputState::Superseded);
}

pub async fn nothing_is_forgotten_that_is_still_needed(place: &dyn Place) {
    let store = place.open(HOURLY).await;
    let store = store.as_ref();
    // A note that is due, a list that was begun, a source that waits, a job that runs, one that is queued.
    let (noted, lease) = running(store, "noted", 1, 0).await;
    store.apply(&noted.id, Some(lease), &[failed()], at(2)).await.unwrap();
    let (listed, lease) = running(store, "listed", 1, 0).await;
    store
        .begin_publish(&publish_list(&listed, &["x"]), Some(lease), at(2))
        .await
        .unwrap();
    store.apply(&listed.id, None, &[cancelled()], at(2)).await.unwrap();
    let (stepped, lease) = worked(store, deleting("stepped", 1, 0), at(1)).await;
    store
        .apply(&stepped.id, Some(lease), &[succeeded()], at(2))
        .await
        .unwrap();
    let mut same = wish("stepped", 1, 0);
    same.rule = "other".parse().unwrap();
    let (same, lease) = worked(store, same, at(2)).await;
    store.apply(&same.id, Some(lease), &[failed()], at(2)).await.unwrap();
    store.note_settled(&same.id).await.unwrap();
    // A failure that will decide about a source which is still worked on under another rule.
    let mut early = wish("shared", 1, 0);
    early.rule = "other".parse().unwrap();
    let (early, lease) = worked(store, early, at(1)).await;
    store.apply(&early.id, Some(lease), &[failed()], at(2)).await.unwrap();
    store.note_settled(&early.id).await.unwrap();
    let (runs, _) = running(store, "runs", 1, 0).await;
    let (queued, _) = accept(store, wish("queued", 1, 0), at(1)).await;
    let (late, _) = accept(store, deleting("shared", 1, 0), at(2)).await;
    for keep in [None, Some(0)] {
        assert_eq!(store.forget_jobs(Some(at(99)), keep, 10, at(99)).await.unwrap(), 0);
    }
    for id in [
        &noted.id,
        &listed.id,
        &stepped.id,
        &same.id,
        &runs.id,
        &queued,
        &early.id,
    ] {
        assert!(store.job(id).await.is_ok());
    }
    assert_eq!(store.job(&runs.id).await.unwrap().state, JobState::Running);
    store.apply(&late, None, &[cancelled()], at(3)).await.unwrap();
    assert_eq!(store.forget_jobs(Some(at(99)), None, 10, at(99)).await.unwrap(), 2);
    // Done with, they go; a source that a failure held is kept for good with it.
    store.note_settled(&noted.id).await.unwrap();
    let step = store.source_step(&stepped.id).await.unwrap().unwrap();
    store
        .settle_source_step(&step, StepState::Held, Some("another failed"), at(3))
        .await
        .unwrap();
    assert_eq!(store.forget_jobs(Some(at(99)), None, 10, at(99)).await.unwrap(), 3);
    assert!(store.job(&stepped.id).await.is_err());
    assert_eq!(store.source_step(&stepped.id).await.unwrap(), None);
}

pub async fn a_backup_is_a_whole_database_and_never_replaces_a_file(place: &dyn Place) {
    let store = place.open(HOURLY).await;
    let id = ended(store.as_ref(), "a", 1).await;
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("copy.db");
    let size = store.backup(&to).await.unwrap();
    assert_eq!(size, to.metadata().unwrap().len());
    assert!(store.backup(&to).await.is_err(), "it is there");
    assert!(store.backup(&folder.path().join("no/copy.db")).await.is_err());
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "nothing half done is left: {left:?}");
    assert!(store.job(&id).await.is_ok());
}
