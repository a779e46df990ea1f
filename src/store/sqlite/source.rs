//! Steps that delete or move sources after success.

use jiff::Timestamp;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::rows::{self, Field};
use crate::job::source::{SourceStep, StepState};
use crate::job::{Job, JobId, TaskState};
use crate::object::{BucketName, Object, ObjectKey};
use crate::store::StoreError;

/// A job succeeded: its own step becomes due where its rule wants one, and steps that others held because of a failure
/// are looked at again. Part of the transaction that ends the job.
pub async fn after_success(db: &mut SqliteConnection, job: &Job, now: Timestamp) -> Result<(), StoreError> {
    let object = &job.object;
    sqlx::query(
        "UPDATE source_steps SET state = 'due', reason = NULL \
         WHERE key = ? AND bucket = ? AND identity = ? AND state = 'held'",
    )
    .bind(object.key.as_bytes())
    .bind(object.bucket.as_str())
    .bind(object.identity.to_string())
    .execute(&mut *db)
    .await?;
    let Some(wish) = &job.after_success else {
        return Ok(());
    };
    // Where no task did anything, nobody has the source in another form.
    if job.tasks.iter().all(|task| task.state != TaskState::Succeeded) {
        return Ok(());
    }
    sqlx::query(
        "UPDATE source_steps SET state = 'given_up', ended = ?, reason = 'a later job of the rule sees to it' \
         WHERE key = ? AND bucket = ? AND rule = ? AND state IN ('due', 'held') AND aside IS NULL",
    )
    .bind(now.as_millisecond())
    .bind(object.key.as_bytes())
    .bind(object.bucket.as_str())
    .bind(job.rule.as_str())
    .execute(&mut *db)
    .await?;
    sqlx::query(
        "INSERT OR IGNORE INTO source_steps (job, rule, bucket, key, identity, wish, state, created) \
         VALUES (?, ?, ?, ?, ?, ?, 'due', ?)",
    )
    .bind(job.id.as_str())
    .bind(job.rule.as_str())
    .bind(object.bucket.as_str())
    .bind(object.key.as_bytes())
    .bind(object.identity.to_string())
    .bind(rows::text(wish)?)
    .bind(now.as_millisecond())
    .execute(db)
    .await?;
    Ok(())
}

/// Steps that are due, in the order in which they became so.
pub async fn due(db: &mut SqliteConnection, after: i64, limit: u32) -> Result<Vec<SourceStep>, StoreError> {
    sqlx::query("SELECT * FROM source_steps WHERE state = 'due' AND seq > ? ORDER BY seq LIMIT ?")
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(db)
        .await?
        .iter()
        .map(step)
        .collect()
}

/// Steps of a key that are due.
pub async fn due_on(
    db: &mut SqliteConnection,
    bucket: &BucketName,
    key: &ObjectKey,
) -> Result<Vec<SourceStep>, StoreError> {
    sqlx::query("SELECT * FROM source_steps WHERE state = 'due' AND key = ? AND bucket = ? ORDER BY seq")
        .bind(key.as_bytes())
        .bind(bucket.as_str())
        .fetch_all(db)
        .await?
        .iter()
        .map(step)
        .collect()
}

/// The step of a job.
pub async fn of_job(db: &mut SqliteConnection, job: &JobId) -> Result<Option<SourceStep>, StoreError> {
    sqlx::query("SELECT * FROM source_steps WHERE job = ?")
        .bind(job.as_str())
        .fetch_optional(db)
        .await?
        .as_ref()
        .map(step)
        .transpose()
}

/// Writes down the names that the source will have on its way, unless work on the same identity has come meanwhile.
pub async fn begin(
    db: &mut SqliteConnection,
    seq: i64,
    aside: &ObjectKey,
    target: Option<&ObjectKey>,
) -> Result<bool, StoreError> {
    let written = sqlx::query(
        "UPDATE source_steps SET aside = ?, target = ?, reason = NULL WHERE seq = ? AND state = 'due' \
         AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.key = source_steps.key AND jobs.bucket = source_steps.bucket \
             AND jobs.identity = source_steps.identity AND jobs.state IN ('queued', 'running'))",
    )
    .bind(aside.as_bytes())
    .bind(target.map(ObjectKey::as_bytes))
    .bind(seq)
    .execute(db)
    .await?;
    Ok(written.rows_affected() == 1)
}

/// Writes down what became of a step, or why it waits. One that waits has nothing aside.
pub async fn settle(
    db: &mut SqliteConnection,
    seq: i64,
    state: StepState,
    reason: Option<&str>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let ended = matches!(state, StepState::Done | StepState::GivenUp).then(|| now.as_millisecond());
    sqlx::query(
        "UPDATE source_steps SET state = ?1, reason = ?2, ended = ?3, aside = iif(?3 IS NULL, NULL, aside) \
         WHERE seq = ?4 AND state IN ('due', 'held')",
    )
    .bind(state.as_str())
    .bind(reason)
    .bind(ended)
    .bind(seq)
    .execute(db)
    .await?;
    Ok(())
}

/// Writes down why a due step cannot go on.
pub async fn note(db: &mut SqliteConnection, seq: i64, reason: &str) -> Result<(), StoreError> {
    sqlx::query("UPDATE source_steps SET reason = ? WHERE seq = ? AND state = 'due'")
        .bind(reason)
        .bind(seq)
        .execute(db)
        .await?;
    Ok(())
}

fn step(row: &SqliteRow) -> Result<SourceStep, StoreError> {
    let state: &str = row.try_get("state")?;
    let job: &str = row.try_get("job")?;
    let name = |field| -> Result<Option<ObjectKey>, StoreError> {
        row.try_get::<Option<Vec<u8>>, _>(field)?.map(rows::key).transpose()
    };
    Ok(SourceStep {
        seq: row.try_get("seq")?,
        job: JobId::parse(job).map_err(|_| rows::spoilt("job", job))?,
        rule: row.parsed("rule")?,
        object: Object {
            bucket: row.parsed("bucket")?,
            key: row.key("key")?,
            identity: row.parsed("identity")?,
        },
        wish: rows::json(row, "wish")?,
        state: StepState::parse(state).ok_or_else(|| rows::spoilt("state", state))?,
        reason: row.try_get("reason")?,
        aside: name("aside")?,
        target: name("target")?,
        created: row.time("created")?,
        ended: row.maybe_time("ended")?,
    })
}
