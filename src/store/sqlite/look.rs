//! Reading for people and for services: jobs page by page, counts, outputs.

use jiff::Timestamp;
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};

use super::job;
use super::rows::{self, Field};
use crate::job::{Job, JobId, JobState};
use crate::object::{BucketName, ObjectKey};
use crate::rule::RuleName;
use crate::store::{JobCount, JobFilter, OutputRecord, StoreError};

/// A page of jobs, newest first.
///
/// Where states are asked for, each is read by itself from an index in the wanted order, and the parts are merged:
/// a few failed jobs are found among many others without looking at these.
pub async fn jobs(db: &mut SqliteConnection, filter: &JobFilter) -> Result<Vec<Job>, StoreError> {
    let before = match &filter.before {
        None => None,
        Some(id) => Some(position(db, id).await?),
    };
    let states: &[JobState] = match (&filter.key, filter.states.as_slice(), &filter.rule) {
        (None, [], Some(_)) => &JobState::ALL,
        (_, states, _) => states,
    };
    let limit = i64::from(filter.limit.clamp(1, 1000));
    let mut query = QueryBuilder::<Sqlite>::new("SELECT * FROM (");
    if states.is_empty() {
        part(&mut query, filter, None, before.as_ref(), limit);
    }
    for (at, state) in states.iter().enumerate() {
        if at > 0 {
            query.push(" UNION ALL ");
        }
        part(&mut query, filter, Some(*state), before.as_ref(), limit);
    }
    query.push(") ORDER BY created DESC, id DESC LIMIT ").push_bind(limit);
    let found = query.build().fetch_all(&mut *db).await?;
    let loaded = job::with_tasks(db, &found).await?;
    Ok(loaded.into_iter().map(|loaded| loaded.job).collect())
}

async fn position(db: &mut SqliteConnection, id: &JobId) -> Result<(i64, String), StoreError> {
    let created: Option<i64> = sqlx::query_scalar("SELECT created FROM jobs WHERE id = ?")
        .bind(id.as_str())
        .fetch_optional(db)
        .await?;
    let created = created.ok_or_else(|| StoreError::NotFound(format!("job {id}")))?;
    Ok((created, id.as_str().to_owned()))
}

fn part(
    query: &mut QueryBuilder<Sqlite>,
    filter: &JobFilter,
    state: Option<JobState>,
    before: Option<&(i64, String)>,
    limit: i64,
) {
    query.push("SELECT * FROM (SELECT * FROM jobs WHERE true");
    if let Some(key) = &filter.key {
        query.push(" AND key = ").push_bind(key.as_bytes().to_vec());
    }
    if let Some(bucket) = &filter.bucket {
        query.push(" AND bucket = ").push_bind(bucket.as_str().to_owned());
    }
    if let Some(rule) = &filter.rule {
        query.push(" AND rule = ").push_bind(rule.as_str().to_owned());
    }
    if let Some(state) = state {
        query.push(" AND state = ").push_bind(state.as_str());
    }
    if let Some(since) = &filter.since {
        query.push(" AND created >= ").push_bind(since.as_millisecond());
    }
    if let Some((created, id)) = before {
        query
            .push(" AND (created, id) < (")
            .push_bind(*created)
            .push(", ")
            .push_bind(id.clone())
            .push(")");
    }
    query
        .push(" ORDER BY created DESC, id DESC LIMIT ")
        .push_bind(limit)
        .push(")");
}

/// How many jobs there are, from kept counters.
pub async fn counts(db: &mut SqliteConnection) -> Result<Vec<JobCount>, StoreError> {
    let found = sqlx::query(
        "SELECT rule, state, count, (SELECT max(created) FROM jobs WHERE jobs.rule = job_counts.rule \
         AND jobs.state = job_counts.state) AS latest FROM job_counts WHERE count > 0 ORDER BY rule, state",
    )
    .fetch_all(db)
    .await?;
    found
        .iter()
        .map(|row| {
            let state: &str = row.try_get("state")?;
            Ok(JobCount {
                rule: row.parsed::<RuleName>("rule")?,
                state: JobState::parse(state).ok_or_else(|| rows::spoilt("state", state))?,
                count: row.count("count")?,
                latest: row.maybe_time("latest")?,
            })
        })
        .collect()
}

/// Outputs of ours under these names.
pub async fn own_outputs(
    db: &mut SqliteConnection,
    bucket: &BucketName,
    keys: &[ObjectKey],
) -> Result<Vec<OutputRecord>, StoreError> {
    sqlx::query(
        "SELECT * FROM outputs WHERE bucket = ? AND key IN (SELECT unhex(value) FROM json_each(?)) \
         AND state <> 'removed' ORDER BY key",
    )
    .bind(bucket.as_str())
    .bind(rows::key_list(keys))
    .fetch_all(db)
    .await?
    .iter()
    .map(rows::output)
    .collect()
}

/// Outputs of a job.
pub async fn outputs(db: &mut SqliteConnection, id: &JobId) -> Result<Vec<OutputRecord>, StoreError> {
    sqlx::query("SELECT * FROM outputs WHERE job = ? ORDER BY bucket, key")
        .bind(id.as_str())
        .fetch_all(db)
        .await?
        .iter()
        .map(rows::output)
        .collect()
}

/// Outputs of all these jobs.
pub async fn outputs_of(db: &mut SqliteConnection, ids: &[JobId]) -> Result<Vec<OutputRecord>, StoreError> {
    let ids: Vec<&str> = ids.iter().map(JobId::as_str).collect();
    sqlx::query("SELECT * FROM outputs WHERE job IN (SELECT value FROM json_each(?)) ORDER BY job, bucket, key")
        .bind(rows::list(&ids)?)
        .fetch_all(db)
        .await?
        .iter()
        .map(rows::output)
        .collect()
}

/// Ids that begin with a part, from the index on ids; and those among the newest jobs that end with it.
pub async fn ids(db: &mut SqliteConnection, part: &str, newest: u32, limit: u32) -> Result<Vec<JobId>, StoreError> {
    // Ids are of letters and digits: nothing that begins with the part comes after the part and a brace.
    let found: Vec<String> = sqlx::query_scalar(
        "SELECT id FROM jobs WHERE id >= ?1 AND id < ?1 || '{' UNION \
         SELECT id FROM (SELECT id FROM jobs ORDER BY created DESC, id DESC LIMIT ?2) \
         WHERE substr(id, -length(?1)) = ?1 ORDER BY id DESC LIMIT ?3",
    )
    .bind(part)
    .bind(i64::from(newest))
    .bind(i64::from(limit))
    .fetch_all(db)
    .await?;
    found
        .iter()
        .map(|id| JobId::parse(id).map_err(|_| rows::spoilt("id", id)))
        .collect()
}

/// Superseded outputs whose grace is over.
pub async fn outputs_to_remove(db: &mut SqliteConnection, now: Timestamp) -> Result<Vec<OutputRecord>, StoreError> {
    sqlx::query("SELECT * FROM outputs WHERE state = 'superseded' AND remove_after <= ? ORDER BY remove_after")
        .bind(now.as_millisecond())
        .fetch_all(db)
        .await?
        .iter()
        .map(rows::output)
        .collect()
}

/// Failed jobs whose note has not been settled.
pub async fn notes_due(db: &mut SqliteConnection) -> Result<Vec<Job>, StoreError> {
    let found = sqlx::query("SELECT * FROM jobs WHERE note = 'due' ORDER BY seq")
        .fetch_all(&mut *db)
        .await?;
    let loaded = job::with_tasks(db, &found).await?;
    Ok(loaded.into_iter().map(|loaded| loaded.job).collect())
}
