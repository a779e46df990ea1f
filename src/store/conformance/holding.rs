//! Promises about queues that are held, priorities, and wishes carried out once.

use super::*;
use crate::job::JobState;
use crate::object::ObjectKey;
use crate::rule::RuleName;
use crate::store::JobFilter;

fn of_rule(rule: &str, key: &str) -> Acceptance {
    Acceptance {
        rule: name(rule),
        ..wish(key, 1, 0)
    }
}

fn name(text: &str) -> RuleName {
    text.parse().unwrap()
}

async fn claim_with(store: &dyn Store, holds: &Holds) -> Option<String> {
    let job = store.claim("here", holds, at(100), at(200)).await.unwrap()?;
    Some(format!("{} {}", job.rule, job.object.key))
}

pub async fn a_paused_queue_holds_what_waits_and_survives_a_reopen(place: &dyn Place) {
    let store = place.open(HOURLY).await;
    accept(&*store, of_rule("held", "a"), at(0)).await;
    accept(&*store, of_rule("free", "b"), at(1)).await;
    let pause = store.pause(Some(&name("held")), Some("disk"), at(5)).await.unwrap();
    assert_eq!((pause.since, pause.reason.as_deref()), (at(5), Some("disk")));
    let store = place.open(HOURLY).await;
    let again = store.pause(Some(&name("held")), None, at(9)).await.unwrap();
    assert_eq!(again, pause, "pausing again changes nothing");
    assert_eq!(store.pauses().await.unwrap(), [pause]);
    let none = Holds::default();
    assert_eq!(claim_with(&*store, &none).await.as_deref(), Some("free b"));
    assert_eq!(claim_with(&*store, &none).await, None);
    assert!(store.resume(Some(&name("held"))).await.unwrap());
    assert!(!store.resume(Some(&name("held"))).await.unwrap());
    assert_eq!(claim_with(&*store, &none).await.as_deref(), Some("held a"));
}

pub async fn a_paused_mill_starts_nothing_and_does_not_forget_paused_rules(place: &dyn Place) {
    let store = place.open(HOURLY).await;
    accept(&*store, of_rule("one", "a"), at(0)).await;
    accept(&*store, of_rule("two", "b"), at(1)).await;
    store.pause(Some(&name("one")), None, at(2)).await.unwrap();
    store.pause(None, Some("moving house"), at(3)).await.unwrap();
    let held: Vec<_> = store
        .pauses()
        .await
        .unwrap()
        .into_iter()
        .map(|pause| pause.rule)
        .collect();
    assert_eq!(held, [None, Some(name("one"))]);
    assert_eq!(claim_with(&*store, &Holds::default()).await, None);
    assert!(store.resume(None).await.unwrap());
    assert_eq!(claim_with(&*store, &Holds::default()).await.as_deref(), Some("two b"));
    assert_eq!(claim_with(&*store, &Holds::default()).await, None);
}

pub async fn held_rules_are_passed_over_and_the_order_of_the_rest_stays(place: &dyn Place) {
    let store = place.open(HOURLY).await;
    for (rule, key, created) in [
        ("night", "a", 0),
        ("one", "b", 1),
        ("two", "c", 2),
        ("one", "d", 3),
        ("two", "e", 4),
    ] {
        accept(&*store, of_rule(rule, key), at(created)).await;
    }
    let mut holds = Holds {
        closed: [name("night")].into(),
        most: [(name("one"), 1)].into(),
    };
    let mut order = Vec::new();
    while let Some(job) = claim_with(&*store, &holds).await {
        order.push(job);
    }
    assert_eq!(order, ["one b", "two c", "two e"]);
    holds.closed.clear();
    assert_eq!(claim_with(&*store, &holds).await.as_deref(), Some("night a"));
    assert_eq!(claim_with(&*store, &holds).await, None, "one of its jobs runs still");
    let running = JobFilter {
        states: vec![JobState::Running],
        rule: Some(name("one")),
        limit: 1,
        ..JobFilter::default()
    };
    let job = store.jobs(&running).await.unwrap().remove(0);
    store.apply(&job.id, None, &[cancelled()], at(101)).await.unwrap();
    assert_eq!(claim_with(&*store, &holds).await.as_deref(), Some("one d"));
}

pub async fn a_queued_job_gets_another_place_and_keeps_its_age(place: &dyn Place) {
    let store = place.open(HOURLY).await;
    let (_, _) = accept(&*store, wish("first", 1, 0), at(0)).await;
    let (second, _) = accept(&*store, wish("second", 1, 0), at(1)).await;
    let high = Priority::new(1).unwrap();
    let job = store.prioritize(&second, high).await.unwrap();
    assert_eq!((job.priority, job.state, job.created), (high, JobState::Queued, at(1)));
    assert_eq!(store.job(&second).await.unwrap(), job);
    let (claimed, _) = claim(&*store, at(2)).await;
    assert_eq!(claimed.id, second);
    let low = Priority::new(-10).unwrap();
    let kept = store.prioritize(&second, low).await.unwrap();
    assert_eq!(
        (kept.priority, kept.state),
        (high, JobState::Running),
        "it runs: nothing changes"
    );
    let unknown = store.prioritize(&fresh_id(), low).await;
    assert!(matches!(unknown, Err(StoreError::NotFound(_))));
}

pub async fn a_wish_is_carried_out_once_in_seven_days(place: &dyn Place) {
    let store = place.open(HOURLY).await;
    let week = 7 * 24 * 3600;
    let asked = |key: &str, seen: u64| {
        let mut wish = wish(key, 1, seen);
        let job = wish.job.as_mut().unwrap();
        job.dedupe = Some("order 17".to_owned());
        job.context = Some("for \u{fc}s".to_owned());
        wish
    };
    let (first, _) = accept(&*store, asked("a", 0), at(0)).await;
    assert_eq!(store.job(&first).await.unwrap().context.as_deref(), Some("for \u{fc}s"));
    let store = place.open(HOURLY).await;
    // Whatever else is wrong with it.
    for again in [asked("b", 0), asked("a", 1), asked("a", 9)] {
        let answer = store.accept(vec![again], at(week - 1)).await.unwrap().remove(0);
        assert_eq!(answer, Accepted::Doubled(first.clone()));
    }
    assert!(
        store
            .ledger(&[name("web")], &"inbox".parse().unwrap(), &["b".parse().unwrap()])
            .await
            .unwrap()
            .is_empty()
    );
    let stale = store.accept(vec![asked("a", 9)], at(week)).await.unwrap().remove(0);
    assert_eq!(stale, Accepted::Stale);
    let (second, _) = accept(&*store, asked("a", 1), at(week)).await;
    let answer = store.accept(vec![asked("a", 2)], at(week + 1)).await.unwrap().remove(0);
    assert_eq!(answer, Accepted::Doubled(second));
}

pub async fn what_never_came_to_a_good_end_is_unfinished(place: &dyn Place) {
    let store = place.open(HOURLY).await;
    let (_, lease) = running(&*store, "done", 1, 0).await;
    let job = store
        .jobs(&JobFilter {
            limit: 1,
            ..JobFilter::default()
        })
        .await
        .unwrap()
        .remove(0);
    store.apply(&job.id, Some(lease), &[succeeded()], at(2)).await.unwrap();
    let (job, lease) = running(&*store, "failed", 1, 0).await;
    store.apply(&job.id, Some(lease), &[failed()], at(2)).await.unwrap();
    let (job, lease) = running(&*store, "mended", 1, 0).await;
    store.apply(&job.id, Some(lease), &[failed()], at(2)).await.unwrap();
    // The same identity again, as a person asks for it.
    let (id, _) = accept(&*store, wish("mended", 1, 1), at(3)).await;
    let (job, lease) = claim(&*store, at(4)).await;
    assert_eq!(job.id, id);
    store
        .apply(&job.id, Some(lease), &[started(), succeeded()], at(5))
        .await
        .unwrap();
    let (id, _) = accept(&*store, wish("cancelled", 1, 0), at(6)).await;
    store.apply(&id, None, &[cancelled()], at(7)).await.unwrap();
    let baseline = Acceptance {
        job: None,
        ..wish("old", 1, 0)
    };
    store.accept(vec![baseline], at(8)).await.unwrap();
    accept(&*store, wish("queued", 1, 0), at(9)).await;
    let keys: Vec<ObjectKey> = ["cancelled", "done", "failed", "mended", "never seen", "old", "queued"]
        .iter()
        .map(|key| key.parse().unwrap())
        .collect();
    let bucket = "inbox".parse().unwrap();
    let mut found = store.unfinished(&name("web"), &bucket, &keys).await.unwrap();
    found.sort();
    assert_eq!(found, ["cancelled".parse().unwrap(), "failed".parse().unwrap()]);
    // Forgetting jobs makes nothing done, and nothing undone.
    assert!(store.forget_jobs(Some(at(100)), None, 100, at(100)).await.unwrap() > 0);
    let mut found = store.unfinished(&name("web"), &bucket, &keys).await.unwrap();
    found.sort();
    assert_eq!(found, ["cancelled".parse().unwrap(), "failed".parse().unwrap()]);
    assert!(
        store
            .unfinished(&name("other"), &bucket, &keys)
            .await
            .unwrap()
            .is_empty()
    );
}
