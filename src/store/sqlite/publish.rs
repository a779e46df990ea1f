//! Publish lists and who owns which name.

use jiff::{SignedDuration, Timestamp};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::rows::Field;
use super::{job, ledger, queue, rows};
use crate::job::state::{Event, step};
use crate::job::{Job, JobId, JobState, LeaseNumber};
use crate::object::{BucketName, ObjectKey};
use crate::rule::TaskId;
use crate::store::{PublishItem, PublishList, PublishRefused, StoreError};

/// The grace of outputs that are superseded by a job whose last task published nothing.
pub const USUAL_GRACE: SignedDuration = SignedDuration::from_mins(1);

/// Writes a list down and takes its names.
pub async fn begin(
    db: &mut SqliteConnection,
    list: &PublishList,
    lease: Option<LeaseNumber>,
    now: Timestamp,
) -> Result<(), PublishRefused> {
    let job = job::load(db, &list.job).await?.job;
    let source = &job.object;
    let newest = ledger::generation(db, &job.rule, &source.bucket, &source.key).await?;
    if job.superseded || job.state == JobState::Cancelled || newest > job.generation.0 {
        return Err(PublishRefused::Superseded);
    }
    queue::require_lease(&job, lease)?;
    for item in &list.items {
        require_name(db, &job, item).await?;
    }
    drop_list(db, &list.job, list.task.as_ref()).await?;
    for item in &list.items {
        take_name(db, &job, list, item).await?;
    }
    insert(db, list, now).await?;
    keep_rest(db, list).await?;
    Ok(())
}

/// Every item has its name.
pub async fn finish(
    db: &mut SqliteConnection,
    list: &PublishList,
    lease: Option<LeaseNumber>,
    events: &[Event],
    grace: SignedDuration,
    now: Timestamp,
) -> Result<Job, StoreError> {
    let loaded = job::load(db, &list.job).await?;
    queue::require_lease(&loaded.job, lease)?;
    for item in &list.items {
        describe(db, list, item).await?;
    }
    drop_list(db, &list.job, list.task.as_ref()).await?;
    keep_rest(db, list).await?;
    let mut after = loaded.job.clone();
    for event in events {
        match step(&after, event, now) {
            Ok(next) => after = next,
            Err(_) if lease.is_none() => {}
            Err(error) => return Err(error.into()),
        }
    }
    job::save(db, &loaded, &after).await?;
    let ended_well = after.state == JobState::Succeeded && !loaded.job.state.is_final();
    if ended_well || lease.is_none() {
        supersede_older(db, &after, grace, now).await?;
    }
    Ok(after)
}

/// Outputs that are older than the newest generation that succeeded will be removed.
pub async fn supersede_older(
    db: &mut SqliteConnection,
    job: &Job,
    grace: SignedDuration,
    now: Timestamp,
) -> Result<(), StoreError> {
    let source = &job.object;
    let end_of_grace = now.checked_add(grace).unwrap_or(Timestamp::MAX);
    sqlx::query(
        "UPDATE outputs SET state = 'superseded', remove_after = iif(task IS NULL, ?1, ?2) \
         WHERE rule = ?3 AND source_bucket = ?4 AND source_key = ?5 AND state = 'published' AND generation < \
         (SELECT max(generation) FROM jobs WHERE rule = ?3 AND bucket = ?4 AND key = ?5 AND state = 'succeeded')",
    )
    .bind(now.as_millisecond())
    .bind(end_of_grace.as_millisecond())
    .bind(job.rule.as_str())
    .bind(source.bucket.as_str())
    .bind(source.key.as_bytes())
    .execute(db)
    .await?;
    Ok(())
}

/// Drops a list; the names that its items did not get are what they were before.
pub async fn abandon(db: &mut SqliteConnection, list: &PublishList, kept: &[PublishItem]) -> Result<(), StoreError> {
    for item in kept {
        describe(db, list, item).await?;
    }
    for item in &list.items {
        let restored = sqlx::query(
            "UPDATE outputs SET identity = before ->> 'identity', checksum = before ->> 'checksum', \
             rule = before ->> 'rule', source_bucket = before ->> 'source_bucket', \
             source_key = unhex(before ->> 'source_key'), job = before ->> 'job', task = before ->> 'task', \
             generation = before ->> 'generation', state = before ->> 'state', \
             remove_after = before ->> 'remove_after', before = NULL \
             WHERE bucket = ? AND key = ? AND job = ? AND task IS ? AND state = 'publishing' AND before IS NOT NULL",
        );
        let forgotten = sqlx::query(
            "DELETE FROM outputs WHERE bucket = ? AND key = ? AND job = ? AND task IS ? \
             AND state = 'publishing' AND before IS NULL",
        );
        // Forgetting comes first: what is restored has nothing before it and is not publishing any more.
        for query in [forgotten, restored] {
            query
                .bind(item.bucket.as_str())
                .bind(item.key.as_bytes())
                .bind(list.job.as_str())
                .bind(list.task.as_ref().map(TaskId::as_str))
                .execute(&mut *db)
                .await?;
        }
    }
    drop_list(db, &list.job, list.task.as_ref()).await?;
    keep_rest(db, list).await
}

/// Every list that was begun and not finished.
pub async fn pending(db: &mut SqliteConnection) -> Result<Vec<PublishList>, StoreError> {
    let found = sqlx::query(
        "SELECT publishes.seq, publishes.job, publishes.task, publish_items.scratch, publish_items.bucket, \
         publish_items.key, publish_items.identity, publish_items.checksum, publish_items.replaces, \
         publish_items.overwrite, publishes.findings \
         FROM publishes LEFT JOIN publish_items ON publish_items.publish = publishes.seq \
         ORDER BY publishes.seq, publish_items.place",
    )
    .fetch_all(db)
    .await?;
    let mut lists: Vec<(i64, PublishList)> = Vec::new();
    for row in &found {
        let seq: i64 = row.try_get("seq")?;
        if lists.last().is_none_or(|(last, _)| *last != seq) {
            let job: &str = row.try_get("job")?;
            let list = PublishList {
                job: JobId::parse(job).map_err(|_| rows::spoilt("job", job))?,
                task: match row.try_get("task")? {
                    "" => None,
                    _ => Some(row.parsed("task")?),
                },
                items: Vec::new(),
                findings: rows::json(row, "findings")?,
            };
            lists.push((seq, list));
        }
        // A list whose every name went to a later one has no items.
        if row.try_get::<Option<&str>, _>("bucket")?.is_some()
            && let Some((_, list)) = lists.last_mut()
        {
            list.items.push(item(row)?);
        }
    }
    Ok(lists.into_iter().map(|(_, list)| list).collect())
}

/// A superseded output is gone, or not ours any more.
pub async fn removed(db: &mut SqliteConnection, bucket: &BucketName, key: &ObjectKey) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE outputs SET state = 'removed', remove_after = NULL \
         WHERE bucket = ? AND key = ? AND state = 'superseded'",
    )
    .bind(bucket.as_str())
    .bind(key.as_bytes())
    .execute(db)
    .await?;
    Ok(())
}

/// The note about a failed job is written, or was not wanted.
pub async fn note_settled(db: &mut SqliteConnection, id: &JobId) -> Result<(), StoreError> {
    sqlx::query("UPDATE jobs SET note = 'settled' WHERE id = ? AND note = 'due'")
        .bind(id.as_str())
        .execute(db)
        .await?;
    Ok(())
}

fn item(row: &SqliteRow) -> Result<PublishItem, StoreError> {
    Ok(PublishItem {
        scratch: row.try_get("scratch")?,
        bucket: row.parsed("bucket")?,
        key: row.key("key")?,
        identity: row.parsed("identity")?,
        checksum: row.try_get("checksum")?,
        replaces: row.maybe_parsed("replaces")?,
        overwrite: row.try_get("overwrite")?,
    })
}

/// Refuses a name that belongs to another (rule, source key).
async fn require_name(db: &mut SqliteConnection, job: &Job, item: &PublishItem) -> Result<(), PublishRefused> {
    if item.overwrite {
        return Ok(());
    }
    let source = &job.object;
    let other = sqlx::query(
        "SELECT rule, source_bucket, source_key FROM outputs WHERE bucket = ? AND key = ? AND state <> 'removed' \
         AND NOT (rule = ? AND source_bucket = ? AND source_key = ?)",
    )
    .bind(item.bucket.as_str())
    .bind(item.key.as_bytes())
    .bind(job.rule.as_str())
    .bind(source.bucket.as_str())
    .bind(source.key.as_bytes())
    .fetch_optional(db)
    .await
    .map_err(StoreError::from)?;
    let Some(row) = other else {
        return Ok(());
    };
    let text = |field| row.try_get::<&str, _>(field).map_err(StoreError::from);
    Err(PublishRefused::NameTaken {
        bucket: item.bucket.clone(),
        key: item.key.clone(),
        owner: format!(
            "the rule \"{}\" for {}/{}",
            text("rule")?,
            text("source_bucket")?,
            row.key("source_key")?
        ),
    })
}

/// Makes the name this job's, and takes it off any other list, which must not be carried out over it later.
async fn take_name(
    db: &mut SqliteConnection,
    job: &Job,
    list: &PublishList,
    item: &PublishItem,
) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM publish_items WHERE bucket = ? AND key = ?")
        .bind(item.bucket.as_str())
        .bind(item.key.as_bytes())
        .execute(&mut *db)
        .await?;
    let source = &job.object;
    sqlx::query(
        "INSERT INTO outputs (bucket, key, identity, checksum, rule, source_bucket, source_key, job, task, \
         generation, state) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'publishing') ON CONFLICT DO UPDATE SET \
         before = CASE state WHEN 'publishing' THEN before ELSE json_object('identity', identity, \
             'checksum', checksum, 'rule', rule, 'source_bucket', source_bucket, 'source_key', hex(source_key), \
             'job', job, 'task', task, 'generation', generation, 'state', state, 'remove_after', remove_after) END, \
         identity = excluded.identity, checksum = excluded.checksum, rule = excluded.rule, \
         source_bucket = excluded.source_bucket, source_key = excluded.source_key, job = excluded.job, \
         task = excluded.task, generation = excluded.generation, state = 'publishing', remove_after = NULL",
    )
    .bind(item.bucket.as_str())
    .bind(item.key.as_bytes())
    .bind(item.identity.to_string())
    .bind(&item.checksum)
    .bind(job.rule.as_str())
    .bind(source.bucket.as_str())
    .bind(source.key.as_bytes())
    .bind(job.id.as_str())
    .bind(list.task.as_ref().map(TaskId::as_str))
    .bind(rows::integer(job.generation.0))
    .execute(db)
    .await?;
    Ok(())
}

/// Writes down what a published file looks like under its name: over a network that is known only then.
async fn describe(db: &mut SqliteConnection, list: &PublishList, item: &PublishItem) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE outputs SET identity = ? WHERE bucket = ? AND key = ? AND job = ? AND task IS ? \
         AND state = 'publishing'",
    )
    .bind(item.identity.to_string())
    .bind(item.bucket.as_str())
    .bind(item.key.as_bytes())
    .bind(list.job.as_str())
    .bind(list.task.as_ref().map(TaskId::as_str))
    .execute(db)
    .await?;
    Ok(())
}

/// What this (job, task) was publishing and is on no list any more counts as published: its file may be under its
/// name.
async fn keep_rest(db: &mut SqliteConnection, list: &PublishList) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE outputs SET state = 'published', before = NULL \
         WHERE job = ? AND task IS ? AND state = 'publishing' AND NOT EXISTS (SELECT 1 FROM publish_items \
             WHERE publish_items.bucket = outputs.bucket AND publish_items.key = outputs.key)",
    )
    .bind(list.job.as_str())
    .bind(list.task.as_ref().map(TaskId::as_str))
    .execute(db)
    .await?;
    Ok(())
}

async fn insert(db: &mut SqliteConnection, list: &PublishList, now: Timestamp) -> Result<(), StoreError> {
    let publish: i64 =
        sqlx::query_scalar("INSERT INTO publishes (job, task, findings, begun) VALUES (?, ?, ?, ?) RETURNING seq")
            .bind(list.job.as_str())
            .bind(list.task.as_ref().map_or("", TaskId::as_str))
            .bind(rows::list(&list.findings)?)
            .bind(now.as_millisecond())
            .fetch_one(&mut *db)
            .await?;
    for (place, item) in list.items.iter().enumerate() {
        sqlx::query(
            "INSERT INTO publish_items (publish, place, scratch, bucket, key, identity, checksum, replaces, overwrite) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(publish)
        .bind(i64::try_from(place).unwrap_or(i64::MAX))
        .bind(&item.scratch)
        .bind(item.bucket.as_str())
        .bind(item.key.as_bytes())
        .bind(item.identity.to_string())
        .bind(&item.checksum)
        .bind(item.replaces.as_ref().map(ToString::to_string))
        .bind(item.overwrite)
        .execute(&mut *db)
        .await?;
    }
    Ok(())
}

async fn drop_list(db: &mut SqliteConnection, job: &JobId, task: Option<&TaskId>) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM publishes WHERE job = ? AND task = ?")
        .bind(job.as_str())
        .bind(task.map_or("", TaskId::as_str))
        .execute(db)
        .await?;
    Ok(())
}
