//! Promises about the ledger and the jobs that it makes.

use std::collections::BTreeMap;

use super::*;
use crate::job::JobState;
use crate::job::state::SUPERSEDED;
use crate::object::ObjectKey;
use crate::store::{JobFilter, LedgerEntry};

async fn line(store: &dyn Store, key: &str) -> Option<LedgerEntry> {
    store
        .ledger(
            &["web".parse().unwrap()],
            &"inbox".parse().unwrap(),
            &[key.parse().unwrap()],
        )
        .await
        .unwrap()
        .pop()
}

async fn all_jobs(store: &dyn Store) -> Vec<Job> {
    let filter = JobFilter {
        limit: 1000,
        ..JobFilter::default()
    };
    store.jobs(&filter).await.unwrap()
}

pub async fn a_new_identity_makes_one_job_however_often_it_is_accepted(place: &dyn Place) {
    let store = place.open(HOURLY).await;
    let twice = vec![wish("a", 1, 0), wish("a", 1, 0)];
    let answers = store.accept(twice, at(0)).await.unwrap();
    assert!(matches!(answers[0], Accepted::Yes { .. }));
    assert_eq!(answers[1], Accepted::Stale);
    let again = store.accept(vec![wish("a", 1, 0)], at(1)).await.unwrap();
    assert_eq!(again, [Accepted::Stale]);
    assert_eq!(all_jobs(&*store).await.len(), 1);
}

pub async fn a_stale_acceptance_changes_nothing(place: &dyn Place) {
    let store = place.open(HOURLY).await;
    accept(&*store, wish("a", 1, 0), at(0)).await;
    accept(&*store, wish("a", 2, 1), at(1)).await;
    for seen in [0, 1, 3] {
        let answer = store.accept(vec![wish("a", 9, seen)], at(2)).await.unwrap();
        assert_eq!(answer, [Accepted::Stale], "seen {seen}");
    }
    let line = line(&*store, "a").await.unwrap();
    assert_eq!(line.identity, object("a", 2).identity);
    assert_eq!((line.generation, line.baseline), (Generation(2), false));
    assert_eq!(all_jobs(&*store).await.len(), 2);
}

pub async fn a_baseline_moves_the_ledger_without_a_job(place: &dyn Place) {
    let store = place.open(HOURLY).await;
    let mut old = wish("a", 1, 0);
    old.job = None;
    store.accept(vec![old], at(0)).await.unwrap();
    let line = line(&*store, "a").await.unwrap();
    assert_eq!((line.generation, line.baseline), (Generation(1), true));
    assert_eq!(maybe_claim(&*store, at(1)).await, None);
    let (id, _) = accept(&*store, wish("a", 2, 1), at(2)).await;
    assert_eq!(store.job(&id).await.unwrap().generation, Generation(2));
}

pub async fn a_newer_identity_cancels_what_waits_and_marks_what_runs(place: &dyn Place) {
    let store = place.open(HOURLY).await;
    let (first, lease) = running(&*store, "a", 1, 0).await;
    let (second, superseded) = accept(&*store, wish("a", 2, 1), at(2)).await;
    assert_eq!(superseded, std::slice::from_ref(&first.id));
    assert!(store.job(&first.id).await.unwrap().superseded);
    let (third, superseded) = accept(&*store, wish("a", 3, 2), at(3)).await;
    assert_eq!(superseded, std::slice::from_ref(&first.id));
    let second = store.job(&second).await.unwrap();
    assert_eq!(second.state, JobState::Cancelled);
    assert_eq!(second.reason.as_deref(), Some(SUPERSEDED));
    assert_eq!(maybe_claim(&*store, at(4)).await, None);
    store
        .apply(&first.id, Some(lease), &[cancelled()], at(5))
        .await
        .unwrap();
    assert_eq!(claim(&*store, at(6)).await.0.id, third);
}

pub async fn a_superseded_job_that_is_given_back_ends(place: &dyn Place) {
    let store = place.open(HOURLY).await;
    let (first, _) = running(&*store, "a", 1, 0).await;
    let (second, _) = accept(&*store, wish("a", 2, 1), at(2)).await;
    assert_eq!(store.take_back(Some("here"), at(3)).await.unwrap(), 1);
    let first = store.job(&first.id).await.unwrap();
    assert_eq!(first.state, JobState::Cancelled);
    assert_eq!(claim(&*store, at(4)).await.0.id, second);
}

pub async fn keys_of_any_bytes_are_kept_apart(place: &dyn Place) {
    let store = place.open(HOURLY).await;
    let keys: Vec<ObjectKey> = [&b"a\xff"[..], b"a\xfe", b"a\n'\"", "ü%_".as_bytes(), b"A", b"a"]
        .into_iter()
        .map(|bytes| ObjectKey::new(bytes).unwrap())
        .collect();
    let wishes = keys
        .iter()
        .map(|key| {
            let mut wish = wish("x", 1, 0);
            wish.object.key = key.clone();
            wish
        })
        .collect();
    store.accept(wishes, at(0)).await.unwrap();
    let rules = ["web".parse().unwrap(), "other".parse().unwrap()];
    let inbox = "inbox".parse().unwrap();
    let lines = store.ledger(&rules, &inbox, &keys).await.unwrap();
    assert_eq!(lines.len(), keys.len());
    for key in &keys {
        assert!(lines.iter().any(|line| &line.key == key), "{key}");
        let filter = JobFilter {
            key: Some(key.clone()),
            limit: 10,
            ..JobFilter::default()
        };
        let jobs = store.jobs(&filter).await.unwrap();
        assert_eq!(jobs.len(), 1);
        assert_eq!(&jobs[0].object.key, key);
    }
}

pub async fn gone_keys_are_remembered(place: &dyn Place) {
    let store = place.open(HOURLY).await;
    accept(&*store, wish("a", 1, 0), at(0)).await;
    accept(&*store, wish("b", 1, 0), at(0)).await;
    let (web, inbox) = ("web".parse().unwrap(), "inbox".parse().unwrap());
    let keys = ["a".parse().unwrap(), "never".parse().unwrap()];
    store.mark_gone(&web, &inbox, &keys, Some(at(5))).await.unwrap();
    let gone = line(&*store, "a").await.unwrap();
    assert_eq!(gone.gone_at, Some(at(5)));
    assert_eq!(gone.identity, object("a", 1).identity);
    assert_eq!(line(&*store, "b").await.unwrap().gone_at, None);
    assert_eq!(line(&*store, "never").await, None);
    store.mark_gone(&web, &inbox, &keys, None).await.unwrap();
    assert_eq!(line(&*store, "a").await.unwrap().gone_at, None);
}

pub async fn the_ledger_is_read_in_key_order(place: &dyn Place) {
    let store = place.open(HOURLY).await;
    for key in ["b", "a/z", "a", "c", "a.b"] {
        accept(&*store, wish(key, 1, 0), at(0)).await;
    }
    let (web, inbox) = ("web".parse().unwrap(), "inbox".parse().unwrap());
    let key = |text: &str| -> ObjectKey { text.parse().unwrap() };
    let read = async |after: Option<&str>, through: Option<&str>, limit| {
        let (after, through) = (after.map(key), through.map(key));
        store
            .ledger_range(&web, &inbox, after.as_ref(), through.as_ref(), limit)
            .await
            .unwrap()
            .iter()
            .map(|line| line.key.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(read(None, None, 9).await, ["a", "a.b", "a/z", "b", "c"]);
    assert_eq!(read(Some("a"), Some("b"), 9).await, ["a.b", "a/z", "b"]);
    assert_eq!(read(Some("a"), None, 2).await, ["a.b", "a/z"]);
}

pub async fn many_tasks_at_once_accept_and_claim_each_object_once(place: &dyn Place) {
    const KEYS: usize = 40;
    let store = place.open(HOURLY).await;
    let mut work = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let store = Arc::clone(&store);
        work.spawn(async move {
            for at_key in 0..KEYS {
                let wish = wish(&format!("k{at_key}"), 1, 0);
                store.accept(vec![wish], at(0)).await.unwrap();
            }
            Vec::new()
        });
    }
    for _ in 0..4 {
        let store = Arc::clone(&store);
        work.spawn(async move {
            let mut claimed = Vec::new();
            for _ in 0..KEYS {
                if let Some(job) = maybe_claim(&*store, at(1)).await {
                    let lease = job.lease.as_ref().unwrap().number;
                    claimed.push((job.object.key.clone(), lease));
                    store
                        .apply(&job.id, Some(lease), &[started(), succeeded()], at(2))
                        .await
                        .unwrap();
                }
            }
            claimed
        });
    }
    let mut times: BTreeMap<ObjectKey, usize> = BTreeMap::new();
    let mut leases = Vec::new();
    while let Some(claimed) = work.join_next().await {
        for (key, lease) in claimed.unwrap() {
            *times.entry(key).or_default() += 1;
            leases.push(lease);
        }
    }
    while let Some(job) = maybe_claim(&*store, at(3)).await {
        *times.entry(job.object.key.clone()).or_default() += 1;
        leases.push(job.lease.unwrap().number);
    }
    assert_eq!(times.len(), KEYS);
    assert!(times.values().all(|count| *count == 1), "{times:?}");
    leases.sort_unstable();
    leases.dedup();
    assert_eq!(leases.len(), KEYS);
    assert_eq!(all_jobs(&*store).await.len(), KEYS);
}
