//! Forgetting jobs that ended long ago: a few at a time, so that nobody waits for it.
//!
//! The ledger and the owners of outputs are never touched: they outlive their jobs.

use jiff::Timestamp;
use sqlx::SqliteConnection;

use crate::store::StoreError;

/// Jobs that nothing is left to be done for. A key whose source still waits to be deleted or moved, or will once a job
/// succeeds, keeps all its jobs, because they decide about that. Only jobs that have ended have an end, and they are
/// read in its order.
const SPENT: &str = "FROM jobs INDEXED BY jobs_ended WHERE ended IS NOT NULL AND note <> 'due' \
     AND NOT EXISTS (SELECT 1 FROM publishes WHERE publishes.job = jobs.id) \
     AND NOT EXISTS (SELECT 1 FROM source_steps WHERE source_steps.key = jobs.key \
         AND source_steps.bucket = jobs.bucket AND source_steps.state IN ('due', 'held')) \
     AND NOT EXISTS (SELECT 1 FROM jobs AS other INDEXED BY jobs_by_key WHERE other.key = jobs.key \
         AND other.bucket = jobs.bucket AND other.state IN ('queued', 'running') AND other.after_success IS NOT NULL)";

/// Forgets at most `limit` jobs: those that ended before a time, or are more than so many, oldest first. Answers how
/// many.
pub async fn forget(
    db: &mut SqliteConnection,
    before: Option<Timestamp>,
    keep: Option<u64>,
    limit: u32,
    now: Timestamp,
) -> Result<u64, StoreError> {
    if let Some(before) = before {
        // A source that was kept because of a failure is kept for good when the failure is forgotten.
        sqlx::query(
            "UPDATE source_steps SET state = 'given_up', ended = ?, \
             reason = 'the job that failed on it was not repeated in time' WHERE state = 'held' AND created <= ?",
        )
        .bind(now.as_millisecond())
        .bind(before.as_millisecond())
        .execute(&mut *db)
        .await?;
    }
    let mut forgotten = 0;
    if let Some(before) = before {
        let query = format!("SELECT seq {SPENT} AND ended <= ? ORDER BY ended, seq LIMIT ?");
        let seqs: Vec<i64> = sqlx::query_scalar(sqlx::AssertSqlSafe(query))
            .bind(before.as_millisecond())
            .bind(i64::from(limit))
            .fetch_all(&mut *db)
            .await?;
        forgotten += remove(db, &seqs).await?;
    }
    if let Some(keep) = keep {
        let ended: i64 = sqlx::query_scalar(
            "SELECT coalesce(sum(count), 0) FROM job_counts WHERE state IN ('succeeded', 'failed', 'cancelled')",
        )
        .fetch_one(&mut *db)
        .await?;
        let over = ended.saturating_sub(super::rows::integer(keep));
        let room = i64::from(limit).saturating_sub(super::rows::integer(forgotten));
        if over.min(room) > 0 {
            let query = format!("SELECT seq {SPENT} ORDER BY ended, seq LIMIT ?");
            let seqs: Vec<i64> = sqlx::query_scalar(sqlx::AssertSqlSafe(query))
                .bind(over.min(room))
                .fetch_all(&mut *db)
                .await?;
            forgotten += remove(db, &seqs).await?;
        }
    }
    if forgotten > 0 {
        sqlx::query(
            "DELETE FROM rule_versions WHERE NOT EXISTS \
             (SELECT 1 FROM jobs WHERE jobs.rule_version = rule_versions.version)",
        )
        .execute(db)
        .await?;
    }
    Ok(forgotten)
}

async fn remove(db: &mut SqliteConnection, seqs: &[i64]) -> Result<u64, StoreError> {
    if seqs.is_empty() {
        return Ok(0);
    }
    let list = super::rows::list(seqs)?;
    sqlx::query(
        "DELETE FROM source_steps WHERE job IN \
         (SELECT id FROM jobs WHERE seq IN (SELECT value FROM json_each(?)))",
    )
    .bind(&list)
    .execute(&mut *db)
    .await?;
    let removed = sqlx::query("DELETE FROM jobs WHERE seq IN (SELECT value FROM json_each(?))")
        .bind(&list)
        .execute(db)
        .await?;
    Ok(removed.rows_affected())
}
