//! Promises about reading.

use super::*;
use crate::job::{Finding, FindingKind, JobState};
use crate::store::{Arming, JobFilter, RuleRecord};

fn page(limit: u32) -> JobFilter {
    JobFilter {
        limit,
        ..JobFilter::default()
    }
}

async fn keys(store: &dyn Store, filter: &JobFilter) -> Vec<String> {
    let jobs = store.jobs(filter).await.unwrap();
    jobs.iter().map(|job| job.object.key.to_string()).collect()
}

pub async fn pages_hold_every_job_once(place: &dyn Place) {
    let store = place.open(HOURLY).await;
    for at_key in 0..23 {
        // Several in the same millisecond.
        accept(&*store, wish(&format!("k{at_key:02}"), 1, 0), at(at_key / 5)).await;
    }
    for states in [vec![], vec![JobState::Failed, JobState::Queued]] {
        let mut seen = Vec::new();
        let mut filter = page(4);
        filter.states = states;
        loop {
            let jobs = store.jobs(&filter).await.unwrap();
            assert!(jobs.len() <= 4);
            let Some(last) = jobs.last() else { break };
            filter.before = Some(last.id.clone());
            seen.extend(jobs);
        }
        assert_eq!(seen.len(), 23);
        assert!(
            seen.windows(2)
                .all(|two| (two[0].created, &two[0].id) > (two[1].created, &two[1].id))
        );
    }
}

pub async fn filters_narrow_what_is_listed(place: &dyn Place) {
    let store = place.open(HOURLY).await;
    accept(&*store, wish("a", 1, 0), at(0)).await;
    let mut other = wish("b", 1, 0);
    other.rule = "other".parse().unwrap();
    accept(&*store, other, at(1)).await;
    let mut elsewhere = wish("a", 1, 0);
    elsewhere.object.bucket = "attic".parse().unwrap();
    accept(&*store, elsewhere, at(2)).await;
    let (id, _) = accept(&*store, wish("c", 1, 0), at(3)).await;
    store.apply(&id, None, &[cancelled()], at(4)).await.unwrap();
    assert_eq!(keys(&*store, &page(9)).await, ["c", "a", "b", "a"]);
    assert_eq!(keys(&*store, &page(2)).await, ["c", "a"]);
    let mut filter = page(9);
    filter.rule = Some("web".parse().unwrap());
    assert_eq!(keys(&*store, &filter).await, ["c", "a", "a"]);
    filter.bucket = Some("inbox".parse().unwrap());
    assert_eq!(keys(&*store, &filter).await, ["c", "a"]);
    filter.states = vec![JobState::Cancelled];
    assert_eq!(keys(&*store, &filter).await, ["c"]);
    let mut filter = page(9);
    filter.key = Some("a".parse().unwrap());
    assert_eq!(keys(&*store, &filter).await, ["a", "a"]);
    filter.bucket = Some("attic".parse().unwrap());
    assert_eq!(keys(&*store, &filter).await, ["a"]);
    filter.states = vec![JobState::Failed, JobState::Succeeded];
    assert_eq!(keys(&*store, &filter).await, Vec::<String>::new());
}

pub async fn a_page_reaches_back_to_a_time(place: &dyn Place) {
    let store = place.open(HOURLY).await;
    for (second, key) in [(1, "a"), (2, "b"), (3, "c")] {
        accept(&*store, wish(key, 1, 0), at(second)).await;
    }
    let mut filter = page(9);
    for (since, found) in [(0, vec!["c", "b", "a"]), (2, vec!["c", "b"]), (4, vec![])] {
        filter.since = Some(at(since));
        filter.states = Vec::new();
        assert_eq!(keys(&*store, &filter).await, found);
        filter.states = vec![JobState::Queued, JobState::Failed];
        assert_eq!(keys(&*store, &filter).await, found);
    }
}

pub async fn jobs_are_found_by_either_end_of_their_ids(place: &dyn Place) {
    let store = place.open(HOURLY).await;
    let mut ids = Vec::new();
    for (second, key) in [(1, "a"), (2, "b"), (3, "c")] {
        let mut one = wish(key, 1, 0);
        let random = 0xab_cdef_0000 + u64::try_from(second).unwrap();
        let id = JobId::new(at(second * 100_000), random);
        one.job.as_mut().unwrap().id = id.clone();
        accept(&*store, one, at(second)).await;
        ids.push(id);
    }
    let found = async |part: &str, newest: u32| store.ids(part, newest, 2).await.unwrap();
    for id in &ids {
        let text = id.as_str();
        assert_eq!(found(&text[..7], 0).await, std::slice::from_ref(id), "by its beginning");
        assert_eq!(found(&text[6..], 3).await, std::slice::from_ref(id), "by its end");
        assert_eq!(found(text, 0).await, std::slice::from_ref(id));
    }
    assert_eq!(
        found(&ids[0].as_str()[6..], 2).await,
        [],
        "by its end among the newest only"
    );
    assert_eq!(found("zzz", 9).await, []);
    let many = found(&ids[0].as_str()[..3], 3).await;
    assert_eq!(
        many,
        [ids[2].clone(), ids[1].clone()],
        "newest first, so many and no more"
    );
    let outputs = store.outputs_of(&ids).await.unwrap();
    assert_eq!(outputs, []);
}

pub async fn counts_follow_the_states(place: &dyn Place) {
    let store = place.open(HOURLY).await;
    for (second, key) in [(0, "a"), (1, "b"), (2, "c")] {
        accept(&*store, wish(key, 1, 0), at(second)).await;
    }
    let (job, lease) = claim(&*store, at(3)).await;
    let events = [started(), failed()];
    store.apply(&job.id, Some(lease), &events, at(4)).await.unwrap();
    claim(&*store, at(5)).await;
    let counts: Vec<_> = store
        .counts()
        .await
        .unwrap()
        .into_iter()
        .map(|line| (line.state, line.count, line.latest))
        .collect();
    assert_eq!(
        counts,
        [
            (JobState::Failed, 1, Some(at(0))),
            (JobState::Queued, 1, Some(at(2))),
            (JobState::Running, 1, Some(at(1)))
        ]
    );
}

pub async fn a_job_comes_back_as_it_was_made(place: &dyn Place) {
    let store = place.open(HOURLY).await;
    let mut made = wish("dir/a.mp4", 5, 0);
    made.object.identity.etag = Some("9:b-2".to_owned());
    made.object.identity.version = Some("v1".to_owned());
    let new = made.job.as_mut().unwrap();
    new.priority = Priority::new(-3).unwrap();
    new.retry_of = Some(fresh_id());
    let mut low = new_task("low");
    low.after = vec!["copy".parse().unwrap()];
    low.when = When::Failed;
    new.tasks.push(low);
    let object = made.object.clone();
    let retry_of = new.retry_of.clone();
    let (id, _) = accept(&*store, made, at(1)).await;
    let (job, lease) = claim(&*store, at(2)).await;
    assert_eq!((&job.id, &job.object, &job.retry_of), (&id, &object, &retry_of));
    assert_eq!((job.priority.get(), job.created), (-3, at(1)));
    assert_eq!(job.started, Some(at(2)));
    let text = store.rule_text(&job.rule_version).await.unwrap();
    assert_eq!(text, "[trigger]");
    let mut end = failed();
    if let Event::TaskFailed { findings, .. } = &mut end {
        findings.push(Finding {
            kind: FindingKind::Truncated,
            message: "ends \"early\"".to_owned(),
        });
    }
    let events = [started(), end];
    let after = store.apply(&id, Some(lease), &events, at(3)).await.unwrap();
    assert_eq!(store.job(&id).await.unwrap(), after);
    let words: Vec<_> = after
        .tasks
        .iter()
        .map(|task| (task.id.as_str(), task.state.as_str(), task.when))
        .collect();
    assert_eq!(
        words,
        [("copy", "failed", When::Succeeded), ("low", "queued", When::Failed)]
    );
    assert_eq!(after.tasks[0].findings.len(), 1);
}

pub async fn rules_come_back_as_they_were_saved(place: &dyn Place) {
    let store = place.open(HOURLY).await;
    let mut record = RuleRecord {
        name: "web".parse().unwrap(),
        version: RuleVersion("00000000000000aa".to_owned()),
        text: "enabled = true".to_owned(),
        file: "web.toml".to_owned(),
        enabled: true,
        since: at(3),
        created: at(1),
        arming: Arming::Enabled { cursor: None },
    };
    let key: crate::object::ObjectKey = crate::object::ObjectKey::new(b"a\xff".to_vec()).unwrap();
    for arming in [
        Arming::Enabled { cursor: None },
        Arming::Enabled {
            cursor: Some(key.clone()),
        },
        Arming::Widened {
            cursor: Some(key),
            before: "enabled = false".to_owned(),
        },
        Arming::Done,
    ] {
        record.arming = arming;
        store.save_rule(&record).await.unwrap();
        assert_eq!(store.rules().await.unwrap(), [record.clone()]);
    }
    let mut first = record.clone();
    first.name = "archive".parse().unwrap();
    store.save_rule(&first).await.unwrap();
    assert_eq!(store.rules().await.unwrap(), [first, record]);
}

pub async fn what_is_not_there_is_not_found(place: &dyn Place) {
    let store = place.open(HOURLY).await;
    let id = fresh_id();
    let missing = |answer: &StoreError| matches!(answer, StoreError::NotFound(_));
    assert!(missing(&store.job(&id).await.unwrap_err()));
    let applied = store.apply(&id, None, &[cancelled()], at(0)).await;
    assert!(missing(&applied.unwrap_err()));
    let version = RuleVersion("ffffffffffffffff".to_owned());
    assert!(missing(&store.rule_text(&version).await.unwrap_err()));
    let mut filter = page(1);
    filter.before = Some(id);
    assert!(missing(&store.jobs(&filter).await.unwrap_err()));
}
