//! Loading jobs with their tasks, and writing what a step changed.

use sqlx::{Row, SqliteConnection};

use super::{rows, source};
use crate::job::state::{Event, step};
use crate::job::{Job, JobId, JobState, TaskRecord};
use crate::store::StoreError;

/// A job and its row.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// Primary key of its row.
    pub seq: i64,
    /// As the database has it.
    pub job: Job,
}

/// The job of this id.
pub async fn load(db: &mut SqliteConnection, id: &JobId) -> Result<Loaded, StoreError> {
    let row = sqlx::query("SELECT * FROM jobs WHERE id = ?")
        .bind(id.as_str())
        .fetch_optional(&mut *db)
        .await?
        .ok_or_else(|| StoreError::NotFound(format!("job {id}")))?;
    let mut found = with_tasks(db, &[row]).await?;
    found.pop().ok_or_else(|| StoreError::NotFound(format!("job {id}")))
}

/// Makes jobs of rows; the tasks of all of them are read at once.
pub async fn with_tasks(
    db: &mut SqliteConnection,
    job_rows: &[sqlx::sqlite::SqliteRow],
) -> Result<Vec<Loaded>, StoreError> {
    let mut found = Vec::with_capacity(job_rows.len());
    for row in job_rows {
        found.push(Loaded {
            seq: row.try_get("seq")?,
            job: rows::job(row)?,
        });
    }
    if found.is_empty() {
        return Ok(found);
    }
    let seqs: Vec<i64> = found.iter().map(|loaded| loaded.seq).collect();
    let task_rows =
        sqlx::query("SELECT * FROM tasks WHERE job IN (SELECT value FROM json_each(?)) ORDER BY job, place")
            .bind(rows::list(&seqs)?)
            .fetch_all(db)
            .await?;
    let mut by_seq: std::collections::HashMap<i64, Vec<TaskRecord>> =
        std::collections::HashMap::with_capacity(seqs.len());
    for row in &task_rows {
        by_seq.entry(row.try_get("job")?).or_default().push(rows::task(row)?);
    }
    for loaded in &mut found {
        loaded.job.tasks = by_seq.remove(&loaded.seq).unwrap_or_default();
    }
    Ok(found)
}

/// Steps a job through events and writes what changed.
pub async fn advance(
    db: &mut SqliteConnection,
    loaded: &Loaded,
    events: &[Event],
    now: jiff::Timestamp,
) -> Result<Job, StoreError> {
    let mut job = loaded.job.clone();
    for event in events {
        job = step(&job, event, now)?;
    }
    save(db, loaded, &job).await?;
    Ok(job)
}

/// Writes what differs, where the database still holds what was loaded.
pub async fn save(db: &mut SqliteConnection, loaded: &Loaded, after: &Job) -> Result<(), StoreError> {
    let before = &loaded.job;
    let lost = || StoreError::LeaseLost(before.id.clone());
    let number = |job: &Job| job.lease.as_ref().map(|lease| rows::integer(lease.number.0));
    if before != after {
        let millis = |time: Option<jiff::Timestamp>| time.map(jiff::Timestamp::as_millisecond);
        // Whether a source works is told by its newest identity only.
        let note_becomes_due = after.state == JobState::Failed && !before.superseded;
        let written = sqlx::query(
            "UPDATE jobs SET state = ?, reason = ?, attempt = ?, started = ?, ended = ?, not_before = ?, \
             lease = ?, holder = ?, expires = ?, media = ?, note = iif(?, 'due', note) \
             WHERE seq = ? AND state = ? AND lease IS ?",
        )
        .bind(after.state.as_str())
        .bind(after.reason.as_deref())
        .bind(i64::from(after.attempt))
        .bind(millis(after.started))
        .bind(millis(after.ended))
        .bind(millis(after.not_before))
        .bind(number(after))
        .bind(after.lease.as_ref().map(|lease| lease.holder.as_str()))
        .bind(millis(after.lease.as_ref().map(|lease| lease.expires)))
        .bind(after.media.as_deref())
        .bind(note_becomes_due)
        .bind(loaded.seq)
        .bind(before.state.as_str())
        .bind(number(before))
        .execute(&mut *db)
        .await?
        .rows_affected();
        if written != 1 {
            return Err(lost());
        }
        if after.state == JobState::Succeeded && before.state != JobState::Succeeded {
            source::after_success(db, after, after.ended.unwrap_or(after.created)).await?;
        }
    }
    for (place, (old, new)) in before.tasks.iter().zip(&after.tasks).enumerate() {
        if old == new {
            continue;
        }
        let written = sqlx::query(
            "UPDATE tasks SET state = ?, attempts = ?, alone = ?, error_kind = ?, error_message = ?, findings = ?, \
             started = ?, ended = ? WHERE job = ? AND place = ? AND state = ?",
        )
        .bind(new.state.as_str())
        .bind(i64::from(new.attempts))
        .bind(new.alone)
        .bind(new.error.as_ref().map(|failure| failure.kind.as_str()))
        .bind(new.error.as_ref().map(|failure| failure.message.as_str()))
        .bind(rows::list(&new.findings)?)
        .bind(new.started.map(jiff::Timestamp::as_millisecond))
        .bind(new.ended.map(jiff::Timestamp::as_millisecond))
        .bind(loaded.seq)
        .bind(i64::try_from(place).unwrap_or(i64::MAX))
        .bind(old.state.as_str())
        .execute(&mut *db)
        .await?
        .rows_affected();
        if written != 1 {
            return Err(lost());
        }
    }
    Ok(())
}
