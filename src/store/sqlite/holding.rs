//! Pauses, priorities of queued jobs, and wishes that are carried out once.

use jiff::{SignedDuration, Timestamp};
use sqlx::{Row, SqliteConnection};

use super::rows::{self, Field};
use super::{job, queue};
use crate::job::hold::Pause;
use crate::job::order::{Ageing, order_key};
use crate::job::{Job, JobId, JobState, Priority};
use crate::object::{BucketName, ObjectKey};
use crate::rule::RuleName;
use crate::store::StoreError;

/// A wish is known as carried out for so long.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(7 * 24);

/// The name in the table; that of the whole mill is empty, as no rule's can be.
fn name(rule: Option<&RuleName>) -> &str {
    rule.map_or("", RuleName::as_str)
}

/// Holds a queue. One that is held stays held since then; a reason given now replaces the old one.
pub async fn pause(
    db: &mut SqliteConnection,
    rule: Option<&RuleName>,
    reason: Option<&str>,
    now: Timestamp,
) -> Result<Pause, StoreError> {
    let row = sqlx::query(
        "INSERT INTO pauses (rule, since, reason) VALUES (?, ?, ?) \
         ON CONFLICT DO UPDATE SET reason = coalesce(excluded.reason, reason) RETURNING *",
    )
    .bind(name(rule))
    .bind(now.as_millisecond())
    .bind(reason)
    .fetch_one(db)
    .await?;
    read(&row)
}

/// Lets a queue go; answers whether it was held.
pub async fn resume(db: &mut SqliteConnection, rule: Option<&RuleName>) -> Result<bool, StoreError> {
    let gone = sqlx::query("DELETE FROM pauses WHERE rule = ?")
        .bind(name(rule))
        .execute(db)
        .await?;
    Ok(gone.rows_affected() > 0)
}

/// What is held, the whole mill first.
pub async fn pauses(db: &mut SqliteConnection) -> Result<Vec<Pause>, StoreError> {
    sqlx::query("SELECT * FROM pauses ORDER BY rule")
        .fetch_all(db)
        .await?
        .iter()
        .map(read)
        .collect()
}

fn read(row: &sqlx::sqlite::SqliteRow) -> Result<Pause, StoreError> {
    let rule: &str = row.try_get("rule")?;
    Ok(Pause {
        rule: if rule.is_empty() {
            None
        } else {
            Some(row.parsed("rule")?)
        },
        since: row.time("since")?,
        reason: row.try_get("reason")?,
    })
}

/// Gives a queued job another rank; one in another state stays as it is.
pub async fn prioritize(
    db: &mut SqliteConnection,
    id: &JobId,
    priority: Priority,
    ageing: Ageing,
) -> Result<Job, StoreError> {
    let loaded = job::load(db, id).await?;
    if loaded.job.state != JobState::Queued {
        return Ok(loaded.job);
    }
    sqlx::query("UPDATE jobs SET priority = ?, rank = ? WHERE seq = ? AND state = 'queued'")
        .bind(priority.get())
        .bind(order_key(loaded.job.created, priority, ageing))
        .bind(loaded.seq)
        .execute(db)
        .await?;
    Ok(Job { priority, ..loaded.job })
}

/// The job that a wish of this id made within the time that such wishes are remembered.
pub async fn done_before(db: &mut SqliteConnection, id: &str, now: Timestamp) -> Result<Option<JobId>, StoreError> {
    let oldest = now - REMEMBERED;
    let found: Option<String> = sqlx::query_scalar("SELECT job FROM dedupes WHERE id = ? AND seen > ?")
        .bind(id)
        .bind(oldest.as_millisecond())
        .fetch_optional(db)
        .await?;
    found
        .map(|job| JobId::parse(&job).map_err(|_| rows::spoilt("job", &job)))
        .transpose()
}

/// Remembers that this wish made this job, and forgets old ones.
pub async fn remember(db: &mut SqliteConnection, id: &str, job: &JobId, now: Timestamp) -> Result<(), StoreError> {
    let oldest = now - REMEMBERED;
    sqlx::query("DELETE FROM dedupes WHERE seen <= ?")
        .bind(oldest.as_millisecond())
        .execute(&mut *db)
        .await?;
    sqlx::query("INSERT INTO dedupes (id, job, seen) VALUES (?, ?, ?)")
        .bind(id)
        .bind(job.as_str())
        .bind(now.as_millisecond())
        .execute(db)
        .await?;
    Ok(())
}

/// Keys whose newest identity was worked on without success, and has no job that waits or runs.
pub async fn unfinished(
    db: &mut SqliteConnection,
    rule: &RuleName,
    bucket: &BucketName,
    keys: &[ObjectKey],
) -> Result<Vec<ObjectKey>, StoreError> {
    let found: Vec<Vec<u8>> = sqlx::query_scalar(
        "SELECT key FROM ledger WHERE rule = ? AND bucket = ? AND key IN (SELECT unhex(value) FROM json_each(?)) \
         AND baseline = 0 AND done IS NOT identity \
         AND NOT EXISTS (SELECT 1 FROM jobs INDEXED BY jobs_by_key WHERE jobs.key = ledger.key \
             AND jobs.bucket = ledger.bucket AND jobs.rule = ledger.rule AND jobs.identity = ledger.identity \
             AND jobs.state IN ('queued', 'running'))",
    )
    .bind(rule.as_str())
    .bind(bucket.as_str())
    .bind(rows::key_list(keys))
    .fetch_all(db)
    .await?;
    found.into_iter().map(rows::key).collect()
}

/// Rules with jobs in the queue of which one may start.
pub async fn free_rules(db: &mut SqliteConnection, holds: &queue::Holds) -> Result<Vec<String>, StoreError> {
    let pauses = pauses(db).await?;
    if pauses.iter().any(|pause| pause.rule.is_none()) {
        return Ok(Vec::new());
    }
    let waiting = sqlx::query(
        "SELECT rule, (SELECT count FROM job_counts AS running WHERE running.rule = job_counts.rule \
         AND running.state = 'running') AS running FROM job_counts WHERE state = 'queued' AND count > 0",
    )
    .fetch_all(db)
    .await?;
    let mut free = Vec::with_capacity(waiting.len());
    for row in waiting {
        let rule: RuleName = row.parsed("rule")?;
        let running = row.try_get::<Option<i64>, _>("running")?.unwrap_or(0);
        let paused = pauses.iter().any(|pause| pause.rule.as_ref() == Some(&rule));
        if !paused && holds.allow(&rule, u64::try_from(running).unwrap_or(0)) {
            free.push(rule.into());
        }
    }
    Ok(free)
}
