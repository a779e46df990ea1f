//! The promises of every store, and what only a file can do wrong.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;

use super::SqliteStore;
use crate::job::order::Ageing;
use crate::job::testing::at;
use crate::store::conformance::{self, HOURLY, Place, accept, claim, wish};
use crate::store::{JobFilter, Store, StoreError};

struct File(tempfile::TempDir);

impl File {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    async fn store(&self) -> SqliteStore {
        SqliteStore::open(&self.0.path().join("reelmill.db"), HOURLY)
            .await
            .unwrap()
    }
}

#[async_trait]
impl Place for File {
    async fn open(&self, ageing: Ageing) -> Arc<dyn Store> {
        let path = self.0.path().join("reelmill.db");
        Arc::new(SqliteStore::open(&path, ageing).await.unwrap())
    }
}

conformance::conformance!(File::new());

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("reelmill.db");
    std::fs::write(&path, "this is a letter, not a database".repeat(200)).unwrap();
    let error = SqliteStore::open(&path, HOURLY).await.unwrap_err();
    assert!(matches!(error, StoreError::Permanent(_)), "{error:?}");
    assert!(error.to_string().contains("reelmill.db"), "{error}");
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_refused_by_name() {
    let path = std::path::Path::new("/nonexistent/reelmill.db");
    let error = SqliteStore::open(path, HOURLY).await.unwrap_err();
    assert!(matches!(error, StoreError::Permanent(_)), "{error:?}");
    assert!(error.to_string().contains("/nonexistent"), "{error}");
}

#[tokio::test]
async fn a_database_of_a_newer_program_is_refused() {
    let file = File::new();
    let store = file.store().await;
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (9999, 'later', true, x'00', 0)",
    )
    .execute(&store.writer)
    .await
    .unwrap();
    store.close().await;
    let path = file.0.path().join("reelmill.db");
    let error = SqliteStore::open(&path, HOURLY).await.unwrap_err();
    assert!(error.to_string().contains("newer Reelmill"), "{error}");
}

#[tokio::test]
async fn writes_are_durable_and_references_are_checked() {
    let store = File::new().store().await;
    let ask = async |pragma: &'static str| -> String {
        let number: Result<i64, _> = sqlx::query_scalar(pragma).fetch_one(&store.writer).await;
        match number {
            Ok(number) => number.to_string(),
            Err(_) => sqlx::query_scalar(pragma).fetch_one(&store.writer).await.unwrap(),
        }
    };
    assert_eq!(ask("PRAGMA journal_mode").await, "wal");
    assert_eq!(ask("PRAGMA synchronous").await, "2");
    assert_eq!(ask("PRAGMA foreign_keys").await, "1");
}

#[tokio::test]
async fn the_database_itself_refuses_states_that_cannot_be() {
    let store = File::new().store().await;
    accept(&store, wish("a", 1, 0), at(0)).await;
    for spoil in [
        "UPDATE jobs SET state = 'paused'",
        "UPDATE jobs SET state = 'running'",
        "UPDATE jobs SET state = 'succeeded'",
        "UPDATE jobs SET lease = 1, holder = 'x', expires = 1",
        "UPDATE jobs SET attempt = -1",
        "UPDATE tasks SET state = 'succeeded'",
        "UPDATE tasks SET attempts = -1",
        "UPDATE jobs SET rule_version = 'unknown'",
    ] {
        let answer = sqlx::query(spoil).execute(&store.writer).await;
        assert!(answer.is_err(), "{spoil}");
    }
}

#[tokio::test]
async fn claims_and_pages_read_indexes_only() {
    let store = File::new().store().await;
    for (query, index) in [
        (
            "EXPLAIN QUERY PLAN SELECT * FROM (SELECT * FROM jobs WHERE true AND state = 'failed' \
             AND (created, id) < (5, 'x') ORDER BY created DESC, id DESC LIMIT 5)",
            "jobs_by_state",
        ),
        (
            "EXPLAIN QUERY PLAN SELECT * FROM jobs WHERE true AND (created, id) < (5, 'x') \
             ORDER BY created DESC, id DESC LIMIT 5",
            "jobs_by_age",
        ),
        (
            "EXPLAIN QUERY PLAN SELECT * FROM jobs WHERE rule = 'web' AND state = 'failed' \
             ORDER BY created DESC, id DESC LIMIT 5",
            "jobs_by_rule",
        ),
        (
            "EXPLAIN QUERY PLAN UPDATE jobs INDEXED BY jobs_later SET not_before = NULL WHERE state = 'queued' \
             AND not_before IS NOT NULL AND not_before <= 5",
            "jobs_later",
        ),
        (
            "EXPLAIN QUERY PLAN SELECT seq FROM jobs INDEXED BY jobs_ended WHERE ended IS NOT NULL AND note <> 'due' \
             AND ended <= 5 ORDER BY ended, seq LIMIT 5",
            "jobs_ended",
        ),
        (
            "EXPLAIN QUERY PLAN UPDATE source_steps SET state = 'due', reason = NULL WHERE key = x'00' \
             AND bucket = 'x' AND identity = 'x' AND state = 'held'",
            "source_steps_by_key",
        ),
        (
            "EXPLAIN QUERY PLAN SELECT * FROM source_steps WHERE state = 'due' AND seq > 5 ORDER BY seq LIMIT 5",
            "source_steps_due",
        ),
        (
            "EXPLAIN QUERY PLAN SELECT max(created) FROM jobs WHERE rule = 'web' AND state = 'failed'",
            "jobs_by_rule",
        ),
        (
            "EXPLAIN QUERY PLAN SELECT * FROM ledger WHERE rule IN (SELECT value FROM json_each('[]')) \
             AND bucket = 'x' AND key IN (SELECT unhex(value) FROM json_each('[]'))",
            "PRIMARY KEY (rule=? AND bucket=? AND key=?)",
        ),
        (
            "EXPLAIN QUERY PLAN SELECT * FROM jobs AS first INDEXED BY jobs_ready WHERE first.rule = 'web' \
             AND first.state = 'queued' AND first.not_before IS NULL ORDER BY first.rank, first.seq LIMIT 1",
            "jobs_ready (rule=?)",
        ),
    ] {
        let plan: Vec<(i64, i64, i64, String)> = sqlx::query_as(query).fetch_all(&store.writer).await.unwrap();
        let text: Vec<&str> = plan.iter().map(|step| step.3.as_str()).collect();
        let text = text.join("; ");
        assert!(text.contains(index), "{query}: {text}");
        assert!(!text.contains("TEMP B-TREE"), "{query}: {text}");
    }
}

/// A database as the first version left it, with a job that waits and one that ran as the daemon ended.
#[tokio::test]
async fn a_database_of_the_first_version_is_brought_on_with_its_jobs() {
    let file = File::new();
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(file.0.path().join("reelmill.db"))
        .create_if_missing(true);
    let first = sqlx::sqlite::SqlitePool::connect_with(options).await.unwrap();
    let mut migrator = sqlx::migrate!("src/store/migrations");
    migrator.migrations.to_mut().truncate(1);
    migrator.run(&first).await.unwrap();
    for line in [
        "INSERT INTO rule_versions (version, text) VALUES ('0123456789abcdef', '[trigger]')",
        "INSERT INTO ledger (rule, bucket, key, identity, generation, baseline) VALUES \
             ('web', 'inbox', x'61', '1000:1', 1, 0), ('web', 'inbox', x'62', '1000:1', 1, 0), \
             ('web', 'inbox', x'66', '1000:1', 1, 0), ('web', 'inbox', x'67', '1000:1', 1, 0)",
        "INSERT INTO jobs (seq, id, rule, rule_version, bucket, key, identity, generation, state, priority, rank, \
             attempt, created, superseded, lease, holder, expires) VALUES \
             (1, '000000000000001', 'web', '0123456789abcdef', 'inbox', x'61', '1000:1', 1, 'queued', 0, 5, 0, 5, 0, \
                 NULL, NULL, NULL), \
             (2, '000000000000002', 'web', '0123456789abcdef', 'inbox', x'62', '1000:1', 1, 'running', 0, 1, 0, 1, 0, \
                 1, 'here', 9)",
        "INSERT INTO jobs (seq, id, rule, rule_version, bucket, key, identity, generation, state, priority, rank, \
             attempt, created, ended, superseded) VALUES \
             (3, '000000000000003', 'web', '0123456789abcdef', 'inbox', x'66', '1000:1', 1, 'failed', 0, 1, 1, 1, 2, 0)",
        "INSERT INTO tasks (job, place, id, kind, after, condition, state, attempts, alone, findings) VALUES \
             (1, 0, 'copy', 'copy', '[]', 'succeeded', 'queued', 0, 0, '[]'), \
             (2, 0, 'copy', 'copy', '[]', 'succeeded', 'running', 1, 0, '[]')",
        "UPDATE counters SET value = 1 WHERE name = 'lease'",
        "UPDATE counters SET value = 3600000 WHERE name = 'level'",
    ] {
        sqlx::query(line).execute(&first).await.unwrap();
    }
    first.close().await;
    let store = file.store().await;
    let keys = async || {
        let (job, lease) = claim(&store, at(20)).await;
        assert_eq!(job.context, None);
        (job.object.key.to_string(), lease.0)
    };
    assert_eq!(keys().await, ("a".to_owned(), 2));
    // Of the key "g" no job is kept: it counts as done.
    let keys_there: Vec<_> = ["a", "f", "g"].iter().map(|key| key.parse().unwrap()).collect();
    let (rule, bucket) = ("web".parse().unwrap(), "inbox".parse().unwrap());
    let unfinished = store.unfinished(&rule, &bucket, &keys_there).await.unwrap();
    assert_eq!(unfinished, ["f".parse().unwrap()]);
    assert_eq!(store.take_back(Some("here"), at(21)).await.unwrap(), 2);
    assert_eq!(keys().await, ("b".to_owned(), 3), "it was made first");
    accept(&store, wish("c", 1, 0), at(22)).await;
    store.pause(None, None, at(23)).await.unwrap();
    assert_eq!(conformance::maybe_claim(&store, at(24)).await, None);
}

/// `REELMILL_MEASURE=100000 cargo test --lib measure_the_queue -- --nocapture` prints times with so many jobs.
#[tokio::test]
async fn measure_the_queue() {
    let Some(jobs) = std::env::var("REELMILL_MEASURE")
        .ok()
        .and_then(|text| text.parse::<usize>().ok())
    else {
        return;
    };
    let file = File::new();
    let store = file.store().await;
    let begun = Instant::now();
    for batch in 0..jobs.div_ceil(500) {
        let wishes = (0..500).map(|at_key| wish(&format!("old/{batch}/{at_key}"), 1, 0));
        store
            .accept(wishes.collect(), at(i64::try_from(batch).unwrap()))
            .await
            .unwrap();
    }
    eprintln!("accepted {jobs} in {:?}", begun.elapsed());
    for end in [
        "UPDATE tasks SET state = 'succeeded', ended = 1",
        "UPDATE jobs SET state = 'succeeded', ended = 1",
    ] {
        sqlx::query(end).execute(&store.writer).await.unwrap();
    }
    // As many again wait before all others, in the queue of a rule that is held.
    for batch in 0..jobs.div_ceil(500) {
        let wishes = (0..500).map(|at_key| crate::store::Acceptance {
            rule: "held".parse().unwrap(),
            ..wish(&format!("held/{batch}/{at_key}"), 1, 0)
        });
        store.accept(wishes.collect(), at(0)).await.unwrap();
    }
    store.pause(Some(&"held".parse().unwrap()), None, at(0)).await.unwrap();
    let mut times = std::collections::BTreeMap::<&str, Vec<Duration>>::new();
    let mut clock = |name: &'static str, begun: Instant| {
        times.entry(name).or_default().push(begun.elapsed());
    };
    for round in 0..1000 {
        let now = at(1_000_000 + round);
        let begun = Instant::now();
        let wishes = vec![wish(&format!("new/{round}"), 1, 0)];
        store.accept(wishes, now).await.unwrap();
        clock("accept one", begun);
        let begun = Instant::now();
        claim(&store, now).await;
        clock("claim", begun);
        let mut filter = JobFilter {
            limit: 100,
            ..JobFilter::default()
        };
        let begun = Instant::now();
        let page = store.jobs(&filter).await.unwrap();
        clock("first page of 100", begun);
        filter.before = page.last().map(|job| job.id.clone());
        let begun = Instant::now();
        store.jobs(&filter).await.unwrap();
        clock("second page", begun);
        filter.states = vec![crate::job::JobState::Failed];
        let begun = Instant::now();
        store.jobs(&filter).await.unwrap();
        clock("page of failed", begun);
        let begun = Instant::now();
        store.counts().await.unwrap();
        clock("counts", begun);
    }
    for (name, mut times) in times {
        times.sort_unstable();
        eprintln!(
            "{name}: median {:?}, p99 {:?}, worst {:?}",
            times[500], times[990], times[999]
        );
    }
}

/// `REELMILL_MEASURE=100000 cargo test --lib measure_forgetting -- --nocapture` prints how long others wait meanwhile.
#[tokio::test]
async fn measure_forgetting() {
    let Some(jobs) = std::env::var("REELMILL_MEASURE")
        .ok()
        .and_then(|text| text.parse::<usize>().ok())
    else {
        return;
    };
    let file = File::new();
    let store = Arc::new(file.store().await);
    for batch in 0..jobs.div_ceil(500) {
        let wishes = (0..500).map(|at_key| wish(&format!("old/{batch}/{at_key}"), 1, 0));
        store.accept(wishes.collect(), at(1)).await.unwrap();
    }
    for end in [
        "UPDATE tasks SET state = 'succeeded', ended = 1",
        "UPDATE jobs SET state = 'succeeded', ended = seq",
    ] {
        sqlx::query(end).execute(&store.writer).await.unwrap();
    }
    let mut worst_claim = Vec::new();
    let mut batches = Vec::new();
    let begun = Instant::now();
    for round in 0_i64.. {
        accept(&*store, wish(&format!("new/{round}"), 1, 0), at(round)).await;
        let (one, other) = (store.clone(), store.clone());
        let (forgotten, took) = tokio::join!(
            async move {
                let begun = Instant::now();
                (
                    one.forget_jobs(Some(at(0)), Some(1000), 50, at(0)).await.unwrap(),
                    begun.elapsed(),
                )
            },
            async move {
                let begun = Instant::now();
                claim(&*other, at(round)).await;
                begun.elapsed()
            }
        );
        batches.push(forgotten.1);
        worst_claim.push(took);
        if forgotten.0 == 0 {
            break;
        }
    }
    batches.sort_unstable();
    worst_claim.sort_unstable();
    let p99 = |times: &[Duration]| times[times.len() * 99 / 100];
    eprintln!(
        "forgot {jobs} in {:?}, batches of 50: median {:?}, p99 {:?}; claims beside them: median {:?}, p99 {:?}, worst {:?}",
        begun.elapsed(),
        batches[batches.len() / 2],
        p99(&batches),
        worst_claim[worst_claim.len() / 2],
        p99(&worst_claim),
        worst_claim[worst_claim.len() - 1]
    );
}

#[tokio::test]
async fn a_full_file_is_a_passing_failure() {
    let file = File::new();
    let store = file.store().await;
    let limit = |pages: u32| {
        sqlx::query(sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {pages}"))).execute(&store.writer)
    };
    limit(1).await.unwrap();
    let mut refused = 0;
    for number in 0..2000 {
        let answer = store
            .accept(vec![wish(&format!("clip{number}.mp4"), 1, 0)], at(1))
            .await;
        if let Err(error) = answer {
            assert!(matches!(error, StoreError::Transient(_)), "{error:?}");
            refused += 1;
            if refused == 3 {
                break;
            }
        }
    }
    assert_eq!(refused, 3, "the file was never full");
    store.writer.acquire().await.unwrap().close().await.unwrap();
    accept(&store, wish("after.mp4", 1, 0), at(2)).await;
}
