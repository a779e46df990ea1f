//! Promises about the queue and its leases.

use super::*;
use crate::job::{JobState, TaskState};

fn with_priority(key: &str, priority: i64) -> Acceptance {
    let mut wish = wish(key, 1, 0);
    wish.job.as_mut().unwrap().priority = Priority::new(priority).unwrap();
    wish
}

async fn order(store: &dyn Store) -> Vec<String> {
    let mut keys = Vec::new();
    while let Some(job) = maybe_claim(store, at(100_000)).await {
        keys.push(job.object.key.to_string());
    }
    keys
}

async fn three_jobs(store: &dyn Store) {
    accept(store, with_priority("old", 0), at(0)).await;
    accept(store, with_priority("low", -1), at(10)).await;
    accept(store, with_priority("soon", 1), at(3_000)).await;
    accept(store, with_priority("late", 1), at(4_000)).await;
}

pub async fn priority_is_a_head_start(place: &dyn Place) {
    let store = place.open(HOURLY).await;
    three_jobs(&*store).await;
    assert_eq!(order(&*store).await, ["soon", "old", "late", "low"]);
}

pub async fn strict_ageing_puts_priority_first(place: &dyn Place) {
    // The order follows the config that the store is opened with, also for jobs that were made before.
    three_jobs(&*place.open(HOURLY).await).await;
    let store = place.open(Ageing::Strict).await;
    assert_eq!(order(&*store).await, ["soon", "late", "old", "low"]);
}

pub async fn jobs_made_together_go_in_order(place: &dyn Place) {
    let store = place.open(HOURLY).await;
    let keys: Vec<String> = (0..20).map(|at| format!("k{at:02}")).collect();
    let wishes = keys.iter().map(|key| wish(key, 1, 0)).collect();
    store.accept(wishes, at(0)).await.unwrap();
    assert_eq!(order(&*store).await, keys);
}

pub async fn a_job_waits_for_its_time(place: &dyn Place) {
    let store = place.open(HOURLY).await;
    let (job, lease) = running(&*store, "a", 1, 0).await;
    assert_eq!(store.next_due(at(1)).await.unwrap(), None);
    let given = store
        .apply(&job.id, Some(lease), &[given_back(Some(at(50)))], at(2))
        .await
        .unwrap();
    assert_eq!(
        (given.state, given.not_before, given.attempt),
        (JobState::Queued, Some(at(50)), 0)
    );
    assert_eq!(store.next_due(at(3)).await.unwrap(), Some(at(50)));
    assert_eq!(store.next_due(at(60)).await.unwrap(), Some(at(60)));
    assert_eq!(maybe_claim(&*store, at(49)).await, None);
    assert_eq!(claim(&*store, at(50)).await.0.id, job.id);
    assert_eq!(store.next_due(at(51)).await.unwrap(), None);
}

pub async fn only_one_job_of_a_key_runs(place: &dyn Place) {
    let store = place.open(HOURLY).await;
    let (first, lease) = running(&*store, "a", 1, 0).await;
    let (second, _) = accept(&*store, wish("a", 2, 1), at(2)).await;
    let mut other_rule = wish("a", 1, 0);
    other_rule.rule = "other".parse().unwrap();
    let (other, _) = accept(&*store, other_rule, at(3)).await;
    assert_eq!(claim(&*store, at(4)).await.0.id, other);
    assert_eq!(maybe_claim(&*store, at(4)).await, None);
    let end = [succeeded()];
    store.apply(&first.id, Some(lease), &end, at(5)).await.unwrap();
    assert_eq!(claim(&*store, at(6)).await.0.id, second);
}

pub async fn lease_numbers_never_repeat(place: &dyn Place) {
    let mut last = LeaseNumber(0);
    for round in 0..3 {
        let store = place.open(HOURLY).await;
        if round == 0 {
            accept(&*store, wish("a", 1, 0), at(0)).await;
        }
        for _ in 0..3 {
            let (job, lease) = claim(&*store, at(1)).await;
            assert!(lease > last);
            last = lease;
            store
                .apply(&job.id, Some(lease), &[given_back(None)], at(2))
                .await
                .unwrap();
        }
    }
}

pub async fn a_lost_lease_cannot_write(place: &dyn Place) {
    let store = place.open(HOURLY).await;
    let (job, old) = running(&*store, "a", 1, 0).await;
    store.take_back(Some("here"), at(2)).await.unwrap();
    assert!(is_lost(&store.apply(&job.id, Some(old), &[succeeded()], at(3)).await));
    let (again, new) = claim(&*store, at(4)).await;
    assert_eq!(again.id, job.id);
    let list = publish_list(&job, &["a.mp4"]);
    assert!(is_lost(&store.apply(&job.id, Some(old), &[started()], at(5)).await));
    let refused = store.begin_publish(&list, Some(old), at(5)).await;
    assert!(matches!(
        refused,
        Err(crate::store::PublishRefused::Store(StoreError::LeaseLost(_)))
    ));
    let grace = jiff::SignedDuration::ZERO;
    assert!(is_lost(
        &store
            .finish_publish(&list, Some(old), &[succeeded()], grace, at(5))
            .await
    ));
    assert!(store.outputs(&job.id).await.unwrap().is_empty());
    assert_eq!(store.job(&job.id).await.unwrap(), again);
    let events = [started(), succeeded()];
    let ended = store.apply(&job.id, Some(new), &events, at(6)).await;
    assert_eq!(ended.unwrap().state, JobState::Succeeded);
    assert!(is_lost(&store.apply(&job.id, Some(new), &[cancelled()], at(7)).await));
}

pub async fn renewing_answers_what_is_still_held(place: &dyn Place) {
    let store = place.open(HOURLY).await;
    let (kept, kept_lease) = running(&*store, "a", 1, 0).await;
    let (lost, lost_lease) = running(&*store, "b", 1, 0).await;
    store.apply(&lost.id, None, &[cancelled()], at(2)).await.unwrap();
    let asked = [
        (kept.id.clone(), kept_lease),
        (lost.id, lost_lease),
        (kept.id.clone(), LeaseNumber(999)),
    ];
    let held = store.renew(&asked, at(500)).await.unwrap();
    assert_eq!(held, std::slice::from_ref(&kept.id));
    let lease = store.job(&kept.id).await.unwrap().lease.unwrap();
    assert_eq!((lease.expires, lease.number), (at(500), kept_lease));
}

pub async fn leases_that_ran_out_are_taken_back(place: &dyn Place) {
    let store = place.open(HOURLY).await;
    let (job, lease) = running(&*store, "a", 1, 0).await;
    assert_eq!(store.take_back(None, at(60)).await.unwrap(), 0);
    store.renew(&[(job.id.clone(), lease)], at(100)).await.unwrap();
    assert_eq!(store.take_back(None, at(99)).await.unwrap(), 0);
    assert_eq!(store.take_back(None, at(100)).await.unwrap(), 1);
    let back = store.job(&job.id).await.unwrap();
    assert_eq!((back.state, back.attempt), (JobState::Queued, 0));
    assert_eq!((back.tasks[0].state, back.tasks[0].attempts), (TaskState::Queued, 0));
}

pub async fn a_daemon_takes_its_own_jobs_back_at_start(place: &dyn Place) {
    let (job, _) = running(&*place.open(HOURLY).await, "a", 1, 0).await;
    let store = place.open(HOURLY).await;
    assert_eq!(maybe_claim(&*store, at(2)).await, None);
    assert_eq!(store.take_back(Some("elsewhere"), at(3)).await.unwrap(), 0);
    assert_eq!(store.take_back(Some("here"), at(3)).await.unwrap(), 1);
    assert_eq!(claim(&*store, at(4)).await.0.id, job.id);
}

pub async fn events_are_applied_all_or_none(place: &dyn Place) {
    let store = place.open(HOURLY).await;
    let (job, lease) = running(&*store, "a", 1, 0).await;
    let media = Event::Probed { media: "{}".to_owned() };
    let answer = store
        .apply(&job.id, Some(lease), &[media.clone(), started()], at(3))
        .await;
    assert!(matches!(answer, Err(StoreError::Illegal(_))));
    assert_eq!(store.job(&job.id).await.unwrap(), job);
    let after = store
        .apply(&job.id, Some(lease), &[media, succeeded()], at(4))
        .await
        .unwrap();
    assert_eq!(store.job(&job.id).await.unwrap(), after);
    assert_eq!(after.media.as_deref(), Some("{}"));
    assert_eq!(after.ended, Some(at(4)));
}
