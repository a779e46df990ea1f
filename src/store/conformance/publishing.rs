//! Promises about publish lists, names and notes.

use jiff::SignedDuration;

use super::*;
use crate::job::JobState;
use crate::store::{OutputState, PublishRefused};

const GRACE: SignedDuration = SignedDuration::from_secs(100);

async fn names(store: &dyn Store, job: &Job) -> Vec<(String, OutputState)> {
    let outputs = store.outputs(&job.id).await.unwrap();
    let several = store.outputs_of(&[fresh_id(), job.id.clone()]).await.unwrap();
    assert_eq!(several, outputs, "those of several jobs at once");
    outputs
        .iter()
        .map(|output| (output.key.to_string(), output.state))
        .collect()
}

async fn publish(store: &dyn Store, job: &Job, lease: LeaseNumber, names: &[&str], now: i64) {
    let list = publish_list(job, names);
    store.begin_publish(&list, Some(lease), at(now)).await.unwrap();
    let ended = store
        .finish_publish(&list, Some(lease), &[succeeded()], GRACE, at(now))
        .await
        .unwrap();
    assert_eq!(ended.state, JobState::Succeeded);
}

async fn to_remove(store: &dyn Store, now: i64) -> Vec<String> {
    let outputs = store.outputs_to_remove(at(now)).await.unwrap();
    outputs.iter().map(|output| output.key.to_string()).collect()
}

pub async fn a_list_survives_a_reopen_and_is_rolled_forward(place: &dyn Place) {
    let store = place.open(HOURLY).await;
    let (job, lease) = running(&*store, "a", 1, 0).await;
    let list = publish_list(&job, &["2.ts", "1.ts", "list.m3u8"]);
    store.begin_publish(&list, Some(lease), at(2)).await.unwrap();
    drop(store);
    let store = place.open(HOURLY).await;
    let pending = store.pending_publishes().await.unwrap();
    assert_eq!(pending, std::slice::from_ref(&list));
    let states = names(&*store, &job).await;
    assert!(states.iter().all(|(_, state)| *state == OutputState::Publishing));
    let out = "out".parse().unwrap();
    let own = store.own_outputs(&out, &["1.ts".parse().unwrap()]).await;
    assert_eq!(own.unwrap().len(), 1, "recorded before it has its name");
    let ended = store
        .finish_publish(&list, None, &[succeeded()], GRACE, at(3))
        .await
        .unwrap();
    assert_eq!(ended.state, JobState::Succeeded);
    assert!(store.pending_publishes().await.unwrap().is_empty());
    let outputs = store.outputs(&job.id).await.unwrap();
    assert_eq!(outputs.len(), 3);
    for output in outputs {
        assert_eq!(output.state, OutputState::Published);
        assert_eq!(output.source_key, job.object.key);
        assert_eq!(output.generation, job.generation);
    }
}

pub async fn a_list_is_rolled_forward_after_the_job_was_given_back(place: &dyn Place) {
    let store = place.open(HOURLY).await;
    let (job, lease) = running(&*store, "a", 1, 0).await;
    let list = publish_list(&job, &["a.mp4"]);
    store.begin_publish(&list, Some(lease), at(2)).await.unwrap();
    store.take_back(Some("here"), at(3)).await.unwrap();
    let ended = store
        .finish_publish(&list, None, &[succeeded()], GRACE, at(4))
        .await
        .unwrap();
    assert_eq!(ended.state, JobState::Succeeded);
    assert_eq!(maybe_claim(&*store, at(5)).await, None, "it is not run again");
}

pub async fn a_list_of_a_cancelled_job_is_rolled_forward_without_its_events(place: &dyn Place) {
    let store = place.open(HOURLY).await;
    let (job, lease) = running(&*store, "a", 1, 0).await;
    let list = publish_list(&job, &["a.mp4"]);
    store.begin_publish(&list, Some(lease), at(2)).await.unwrap();
    store.apply(&job.id, None, &[cancelled()], at(3)).await.unwrap();
    let after = store
        .finish_publish(&list, None, &[succeeded()], GRACE, at(4))
        .await
        .unwrap();
    assert_eq!(after.state, JobState::Cancelled);
    assert_eq!(
        names(&*store, &job).await,
        [("a.mp4".to_owned(), OutputState::Published)]
    );
}

pub async fn a_name_belongs_to_one_source(place: &dyn Place) {
    let store = place.open(HOURLY).await;
    let (first, lease) = running(&*store, "clip.mp4", 1, 0).await;
    publish(&*store, &first, lease, &["clip.mp3"], 2).await;
    let (second, lease) = running(&*store, "clip.mov", 1, 0).await;
    let mut list = publish_list(&second, &["clip.mp3"]);
    let refused = store.begin_publish(&list, Some(lease), at(3)).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "out/clip.mp3 belongs to the rule \"web\" for inbox/clip.mp4"
    );
    assert!(store.outputs(&second.id).await.unwrap().is_empty());
    assert!(store.pending_publishes().await.unwrap().is_empty());
    list.items[0].overwrite = true;
    store.begin_publish(&list, Some(lease), at(4)).await.unwrap();
    store
        .finish_publish(&list, Some(lease), &[succeeded()], GRACE, at(4))
        .await
        .unwrap();
    assert_eq!(
        names(&*store, &second).await,
        [("clip.mp3".to_owned(), OutputState::Published)]
    );
}

pub async fn a_superseded_job_publishes_nothing(place: &dyn Place) {
    let store = place.open(HOURLY).await;
    let (job, lease) = running(&*store, "a", 1, 0).await;
    accept(&*store, wish("a", 2, 1), at(2)).await;
    let list = publish_list(&job, &["a.mp4"]);
    let refused = store.begin_publish(&list, Some(lease), at(3)).await;
    assert!(matches!(refused, Err(PublishRefused::Superseded)));
    // Nor does one whose key went on without a job.
    let (baselined, lease) = running(&*store, "c", 1, 0).await;
    let mut old = wish("c", 2, 1);
    old.job = None;
    store.accept(vec![old], at(3)).await.unwrap();
    let list = publish_list(&baselined, &["c.mp4"]);
    let refused = store.begin_publish(&list, Some(lease), at(3)).await;
    assert!(matches!(refused, Err(PublishRefused::Superseded)));
    let (other, lease) = running(&*store, "b", 1, 0).await;
    store.apply(&other.id, None, &[cancelled()], at(4)).await.unwrap();
    let list = publish_list(&other, &["b.mp4"]);
    let refused = store.begin_publish(&list, Some(lease), at(5)).await;
    assert!(matches!(refused, Err(PublishRefused::Superseded)));
    assert!(store.pending_publishes().await.unwrap().is_empty());
}

pub async fn what_a_newer_generation_lacks_is_removed_after_a_grace(place: &dyn Place) {
    let store = place.open(HOURLY).await;
    let (first, lease) = running(&*store, "a", 1, 0).await;
    publish(&*store, &first, lease, &["1.jpg", "2.jpg", "3.jpg"], 2).await;
    let (other, lease) = running(&*store, "b", 1, 0).await;
    publish(&*store, &other, lease, &["b.jpg"], 3).await;
    let (second, lease) = running(&*store, "a", 10, 1).await;
    publish(&*store, &second, lease, &["1.jpg"], 12).await;
    assert_eq!(to_remove(&*store, 111).await, Vec::<String>::new());
    assert_eq!(to_remove(&*store, 112).await, ["2.jpg", "3.jpg"]);
    let out = "out".parse().unwrap();
    store.output_removed(&out, &"2.jpg".parse().unwrap()).await.unwrap();
    assert_eq!(to_remove(&*store, 112).await, ["3.jpg"]);
    let asked = ["2.jpg".parse().unwrap(), "3.jpg".parse().unwrap()];
    let own = store.own_outputs(&out, &asked).await.unwrap();
    assert_eq!(own.len(), 1);
    assert_eq!(own[0].state, OutputState::Superseded);
    // A name that is published again before its grace is over stays.
    let (third, lease) = running(&*store, "a", 20, 2).await;
    publish(&*store, &third, lease, &["1.jpg", "3.jpg"], 22).await;
    store.output_removed(&out, &"3.jpg".parse().unwrap()).await.unwrap();
    assert_eq!(to_remove(&*store, 1000).await, Vec::<String>::new());
    assert_eq!(names(&*store, &third).await.len(), 2);
    // Another source may have a name that was removed.
    let (free, lease) = running(&*store, "c", 1, 0).await;
    publish(&*store, &free, lease, &["2.jpg"], 30).await;
}

pub async fn an_abandoned_list_leaves_names_as_they_were(place: &dyn Place) {
    let store = place.open(HOURLY).await;
    let (first, lease) = running(&*store, "a", 1, 0).await;
    publish(&*store, &first, lease, &["old.jpg"], 2).await;
    let before = store.outputs(&first.id).await.unwrap();
    let (second, lease) = running(&*store, "a", 10, 1).await;
    let mut list = publish_list(&second, &["done.jpg", "new.jpg", "old.jpg"]);
    store.begin_publish(&list, Some(lease), at(11)).await.unwrap();
    assert!(store.outputs(&first.id).await.unwrap().is_empty());
    list.items.remove(0);
    store.abandon_publish(&list, &[]).await.unwrap();
    assert!(store.pending_publishes().await.unwrap().is_empty());
    assert_eq!(store.outputs(&first.id).await.unwrap(), before);
    assert_eq!(
        names(&*store, &second).await,
        [("done.jpg".to_owned(), OutputState::Published)]
    );
}

pub async fn a_later_list_takes_names_off_an_earlier_one(place: &dyn Place) {
    let store = place.open(HOURLY).await;
    let (first, lease) = running(&*store, "a", 1, 0).await;
    let list = publish_list(&first, &["1.jpg", "2.jpg"]);
    store.begin_publish(&list, Some(lease), at(2)).await.unwrap();
    accept(&*store, wish("a", 2, 1), at(3)).await;
    store.take_back(Some("here"), at(3)).await.unwrap();
    let (second, lease) = claim(&*store, at(4)).await;
    let events = [started()];
    store.apply(&second.id, Some(lease), &events, at(4)).await.unwrap();
    publish(&*store, &second, lease, &["1.jpg"], 5).await;
    let pending = store.pending_publishes().await.unwrap();
    assert_eq!(pending.len(), 1);
    assert_eq!(pending[0].items, list.items[1..]);
    store
        .finish_publish(&pending[0], None, &[], GRACE, at(6))
        .await
        .unwrap();
    assert_eq!(
        names(&*store, &second).await,
        [("1.jpg".to_owned(), OutputState::Published)]
    );
    // What came too late is older than what succeeded.
    assert_eq!(to_remove(&*store, 1000).await, ["2.jpg"]);
}

pub async fn a_second_list_of_a_task_replaces_the_first(place: &dyn Place) {
    let store = place.open(HOURLY).await;
    let (job, lease) = running(&*store, "a", 1, 0).await;
    let first = publish_list(&job, &["1.jpg", "2.jpg"]);
    let second = publish_list(&job, &["2.jpg", "3.jpg"]);
    for list in [&first, &second] {
        store.begin_publish(list, Some(lease), at(2)).await.unwrap();
    }
    assert_eq!(store.pending_publishes().await.unwrap(), [second]);
    // The first may have been carried out in part: what it named stays ours.
    assert_eq!(
        names(&*store, &job).await,
        [
            ("1.jpg".to_owned(), OutputState::Published),
            ("2.jpg".to_owned(), OutputState::Publishing),
            ("3.jpg".to_owned(), OutputState::Publishing)
        ]
    );
}

pub async fn notes_are_due_until_they_are_settled_and_go_with_the_next_success(place: &dyn Place) {
    let store = place.open(HOURLY).await;
    let (job, lease) = running(&*store, "a", 1, 0).await;
    let failed_job = store.apply(&job.id, Some(lease), &[failed()], at(2)).await.unwrap();
    assert_eq!(store.notes_due().await.unwrap(), [failed_job]);
    let mut note = publish_list(&job, &["a.failed.txt"]);
    note.task = None;
    store.begin_publish(&note, None, at(3)).await.unwrap();
    let pending = store.pending_publishes().await.unwrap();
    assert_eq!(pending, [note.clone()]);
    let after = store.finish_publish(&note, None, &[], GRACE, at(4)).await.unwrap();
    assert_eq!(after.state, JobState::Failed);
    store.note_settled(&job.id).await.unwrap();
    assert!(store.notes_due().await.unwrap().is_empty());
    let (again, lease) = running(&*store, "a", 10, 1).await;
    publish(&*store, &again, lease, &["a.mp4"], 11).await;
    assert_eq!(to_remove(&*store, 11).await, ["a.failed.txt"]);
    // A note that nobody wrote yet is not due once there is a newer identity.
    let (job, lease) = running(&*store, "b", 20, 0).await;
    store.apply(&job.id, Some(lease), &[failed()], at(21)).await.unwrap();
    let (newer, _) = accept(&*store, wish("b", 22, 1), at(22)).await;
    assert!(store.notes_due().await.unwrap().is_empty());
    store.apply(&newer, None, &[cancelled()], at(23)).await.unwrap();
    // Nor that of a job that failed when there was one already.
    let (job, lease) = running(&*store, "c", 30, 0).await;
    accept(&*store, wish("c", 31, 1), at(31)).await;
    store.apply(&job.id, Some(lease), &[failed()], at(32)).await.unwrap();
    assert!(store.notes_due().await.unwrap().is_empty());
    let mut late = publish_list(&job, &["b.failed.txt"]);
    late.task = None;
    let refused = store.begin_publish(&late, None, at(23)).await;
    assert!(matches!(refused, Err(PublishRefused::Superseded)));
}
