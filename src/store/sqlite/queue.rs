//! The queue: claiming, leases, and events.

use jiff::Timestamp;
use sqlx::{Row, SqliteConnection};

use super::{holding, job, publish, rows};
pub use crate::job::hold::Holds;
use crate::job::state::Event;
use crate::job::{Job, JobId, JobState, Lease, LeaseNumber};
use crate::store::StoreError;

/// The first job of each of these rules, and the first of those.
pub const FIRST: &str = "SELECT jobs.* FROM json_each(?) AS free JOIN jobs ON jobs.seq = \
     (SELECT first.seq FROM jobs AS first INDEXED BY jobs_ready WHERE first.rule = free.value \
         AND first.state = 'queued' AND first.not_before IS NULL \
         AND NOT EXISTS (SELECT 1 FROM jobs AS other INDEXED BY jobs_running WHERE other.state = 'running' \
             AND other.rule = first.rule AND other.bucket = first.bucket AND other.key = first.key) \
         ORDER BY first.rank, first.seq LIMIT 1) \
     ORDER BY jobs.rank, jobs.seq LIMIT 1";

/// Claims the first job that may run: the best of the first jobs of all rules that are not held.
pub async fn claim(
    db: &mut SqliteConnection,
    holder: &str,
    holds: &Holds,
    now: Timestamp,
    expires: Timestamp,
) -> Result<Option<Job>, StoreError> {
    sqlx::query("UPDATE jobs INDEXED BY jobs_later SET not_before = NULL WHERE state = 'queued' AND not_before IS NOT NULL AND not_before <= ?")
        .bind(now.as_millisecond())
        .execute(&mut *db)
        .await?;
    let free = holding::free_rules(db, holds).await?;
    let Some(row) = sqlx::query(FIRST)
        .bind(rows::list(&free)?)
        .fetch_optional(&mut *db)
        .await?
    else {
        return Ok(None);
    };
    let Some(loaded) = job::with_tasks(db, &[row]).await?.pop() else {
        return Ok(None);
    };
    let number: i64 = sqlx::query("UPDATE counters SET value = value + 1 WHERE name = 'lease' RETURNING value")
        .fetch_one(&mut *db)
        .await?
        .try_get("value")?;
    let lease = Lease {
        number: LeaseNumber(u64::try_from(number).map_err(|_| rows::spoilt("lease", number))?),
        holder: holder.to_owned(),
        expires,
    };
    Ok(Some(job::advance(db, &loaded, &[Event::Claimed { lease }], now).await?))
}

/// When the next job that waits for its time may be claimed; not before `now`.
pub async fn next_due(db: &mut SqliteConnection, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
    let due: Option<i64> = sqlx::query_scalar(
        "SELECT min(not_before) FROM jobs INDEXED BY jobs_later WHERE state = 'queued' AND not_before IS NOT NULL",
    )
    .fetch_one(db)
    .await?;
    Ok(due
        .map(|due| rows::timestamp("not_before", due))
        .transpose()?
        .map(|due| due.max(now)))
}

/// Prolongs leases that are still held.
pub async fn renew(
    db: &mut SqliteConnection,
    leases: &[(JobId, LeaseNumber)],
    expires: Timestamp,
) -> Result<Vec<JobId>, StoreError> {
    let mut held = Vec::with_capacity(leases.len());
    for (id, number) in leases {
        let written = sqlx::query("UPDATE jobs SET expires = ? WHERE id = ? AND state = 'running' AND lease = ?")
            .bind(expires.as_millisecond())
            .bind(id.as_str())
            .bind(rows::integer(number.0))
            .execute(&mut *db)
            .await?
            .rows_affected();
        if written == 1 {
            held.push(id.clone());
        }
    }
    Ok(held)
}

/// Gives back running jobs of a holder, or those whose lease ran out.
pub async fn take_back(db: &mut SqliteConnection, holder: Option<&str>, now: Timestamp) -> Result<u64, StoreError> {
    let (query, reason) = match holder {
        Some(holder) => (
            sqlx::query("SELECT * FROM jobs WHERE state = 'running' AND holder = ? ORDER BY seq")
                .bind(holder.to_owned()),
            "the daemon was stopped while it worked on this",
        ),
        None => (
            sqlx::query("SELECT * FROM jobs WHERE state = 'running' AND expires <= ? ORDER BY seq")
                .bind(now.as_millisecond()),
            "whoever worked on this was not heard of any more",
        ),
    };
    let found = query.fetch_all(&mut *db).await?;
    let taken = job::with_tasks(db, &found).await?;
    for loaded in &taken {
        let event = Event::GivenBack {
            reason: reason.to_owned(),
            not_before: None,
        };
        job::advance(db, loaded, &[event], now).await?;
    }
    Ok(taken.len() as u64)
}

/// Applies events under a lease, or from outside.
pub async fn apply(
    db: &mut SqliteConnection,
    id: &JobId,
    lease: Option<LeaseNumber>,
    events: &[Event],
    now: Timestamp,
) -> Result<Job, StoreError> {
    let loaded = job::load(db, id).await?;
    require_lease(&loaded.job, lease)?;
    let after = job::advance(db, &loaded, events, now).await?;
    if after.state == JobState::Succeeded && !loaded.job.state.is_final() {
        publish::supersede_older(db, &after, publish::USUAL_GRACE, now).await?;
    }
    Ok(after)
}

/// Whether the job is held under this lease; without one nothing is asked.
pub fn require_lease(job: &Job, lease: Option<LeaseNumber>) -> Result<(), StoreError> {
    match (lease, &job.lease) {
        (None, _) => Ok(()),
        (Some(wanted), Some(found)) if found.number == wanted => Ok(()),
        (Some(_), _) => Err(StoreError::LeaseLost(job.id.clone())),
    }
}
