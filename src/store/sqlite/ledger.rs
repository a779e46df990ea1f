//! The ledger, and the jobs that moving it makes.

use jiff::Timestamp;
use sqlx::{Row, SqliteConnection};

use super::{holding, job, rows, rules};
use crate::job::order::{Ageing, order_key};
use crate::job::state::{Event, SUPERSEDED};
use crate::job::{JobId, JobState, TaskState};
use crate::object::{BucketName, ObjectKey};
use crate::rule::RuleName;
use crate::store::{Acceptance, Accepted, LedgerEntry, NewJob, StoreError};

/// Lines of these rules for these keys.
pub async fn lines(
    db: &mut SqliteConnection,
    rule_names: &[RuleName],
    bucket: &BucketName,
    keys: &[ObjectKey],
) -> Result<Vec<LedgerEntry>, StoreError> {
    sqlx::query(
        "SELECT * FROM ledger WHERE rule IN (SELECT value FROM json_each(?)) AND bucket = ? \
         AND key IN (SELECT unhex(value) FROM json_each(?)) ORDER BY rule, key",
    )
    .bind(rows::list(rule_names)?)
    .bind(bucket.as_str())
    .bind(rows::key_list(keys))
    .fetch_all(db)
    .await?
    .iter()
    .map(rows::ledger)
    .collect()
}

/// Lines of a rule with `after < key <= through`.
pub async fn range(
    db: &mut SqliteConnection,
    rule: &RuleName,
    bucket: &BucketName,
    after: Option<&ObjectKey>,
    through: Option<&ObjectKey>,
    limit: u32,
) -> Result<Vec<LedgerEntry>, StoreError> {
    // Every key is greater than no bytes at all.
    let after = after.map_or(&b""[..], ObjectKey::as_bytes);
    // Each column of a line costs something, and a listing reads all lines.
    let query = match through {
        None => sqlx::query(
            "SELECT key, identity, generation, baseline, gone_at, listed FROM ledger \
             WHERE rule = ? AND bucket = ? AND key > ? ORDER BY key LIMIT ?",
        )
        .bind(rule.as_str())
        .bind(bucket.as_str())
        .bind(after),
        Some(through) => sqlx::query(
            "SELECT key, identity, generation, baseline, gone_at, listed FROM ledger \
             WHERE rule = ? AND bucket = ? AND key > ? AND key <= ? ORDER BY key LIMIT ?",
        )
        .bind(rule.as_str())
        .bind(bucket.as_str())
        .bind(after)
        .bind(through.as_bytes()),
    };
    query
        .bind(i64::from(limit))
        .fetch_all(db)
        .await?
        .iter()
        .map(|row| rows::ledger_of(rule.clone(), row))
        .collect()
}

/// Writes down that keys are missing, or there again.
pub async fn mark_gone(
    db: &mut SqliteConnection,
    rule: &RuleName,
    bucket: &BucketName,
    keys: &[ObjectKey],
    gone_at: Option<Timestamp>,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE ledger SET gone_at = ? WHERE rule = ? AND bucket = ? \
         AND key IN (SELECT unhex(value) FROM json_each(?))",
    )
    .bind(gone_at.map(Timestamp::as_millisecond))
    .bind(rule.as_str())
    .bind(bucket.as_str())
    .bind(rows::key_list(keys))
    .execute(db)
    .await?;
    Ok(())
}

/// Carries out one acceptance.
pub async fn accept(
    db: &mut SqliteConnection,
    acceptance: &Acceptance,
    ageing: Ageing,
    now: Timestamp,
) -> Result<Accepted, StoreError> {
    let object = &acceptance.object;
    let wish = acceptance.job.as_ref().and_then(|job| job.dedupe.as_deref());
    if let Some(wish) = wish
        && let Some(first) = holding::done_before(db, wish, now).await?
    {
        return Ok(Accepted::Doubled(first));
    }
    let found = generation(db, &acceptance.rule, &object.bucket, &object.key).await?;
    if found != acceptance.seen.0 {
        return Ok(Accepted::Stale);
    }
    let next = rows::integer(found + 1);
    sqlx::query(
        "INSERT INTO ledger (rule, bucket, key, identity, generation, baseline, gone_at, listed) \
         VALUES (?, ?, ?, ?, ?, ?, NULL, ?) ON CONFLICT DO UPDATE SET identity = excluded.identity, \
         generation = excluded.generation, baseline = excluded.baseline, gone_at = NULL, listed = excluded.listed",
    )
    .bind(acceptance.rule.as_str())
    .bind(object.bucket.as_str())
    .bind(object.key.as_bytes())
    .bind(object.identity.to_string())
    .bind(next)
    .bind(acceptance.job.is_none())
    .bind(acceptance.listed.as_ref().map(ToString::to_string))
    .execute(&mut *db)
    .await?;
    let Some(new) = &acceptance.job else {
        return Ok(Accepted::Yes { superseded: Vec::new() });
    };
    let superseded = supersede(db, acceptance, now).await?;
    insert(db, acceptance, new, next, ageing, now).await?;
    if let Some(wish) = wish {
        holding::remember(db, wish, &new.id, now).await?;
    }
    Ok(Accepted::Yes { superseded })
}

/// The ledger's generation of a key; 0 where it has no line.
pub async fn generation(
    db: &mut SqliteConnection,
    rule: &RuleName,
    bucket: &BucketName,
    key: &ObjectKey,
) -> Result<u64, StoreError> {
    let found: Option<i64> =
        sqlx::query_scalar("SELECT generation FROM ledger WHERE rule = ? AND bucket = ? AND key = ?")
            .bind(rule.as_str())
            .bind(bucket.as_str())
            .bind(key.as_bytes())
            .fetch_optional(db)
            .await?;
    Ok(found.map_or(0, |found| u64::try_from(found).unwrap_or(0)))
}

/// Ends queued jobs of the key, marks running ones, and settles notes about failed ones. Answers the running.
async fn supersede(
    db: &mut SqliteConnection,
    acceptance: &Acceptance,
    now: Timestamp,
) -> Result<Vec<JobId>, StoreError> {
    let object = &acceptance.object;
    let older = sqlx::query(
        "SELECT * FROM jobs WHERE key = ? AND bucket = ? AND rule = ? \
         AND (state IN ('queued', 'running') OR note = 'due') ORDER BY seq",
    )
    .bind(object.key.as_bytes())
    .bind(object.bucket.as_str())
    .bind(acceptance.rule.as_str())
    .fetch_all(&mut *db)
    .await?;
    let mut running = Vec::new();
    for loaded in job::with_tasks(db, &older).await? {
        match loaded.job.state {
            JobState::Queued => {
                let event = Event::Cancelled {
                    reason: SUPERSEDED.to_owned(),
                };
                job::advance(db, &loaded, &[event], now).await?;
            }
            JobState::Running => {
                sqlx::query("UPDATE jobs SET superseded = 1 WHERE seq = ? AND state = 'running'")
                    .bind(loaded.seq)
                    .execute(&mut *db)
                    .await?;
                running.push(loaded.job.id);
            }
            _ => {
                sqlx::query("UPDATE jobs SET note = 'settled' WHERE seq = ? AND note = 'due'")
                    .bind(loaded.seq)
                    .execute(&mut *db)
                    .await?;
            }
        }
    }
    Ok(running)
}

async fn insert(
    db: &mut SqliteConnection,
    acceptance: &Acceptance,
    new: &NewJob,
    generation: i64,
    ageing: Ageing,
    now: Timestamp,
) -> Result<(), StoreError> {
    rules::keep_text(db, &new.rule_version, &new.rule_text).await?;
    let object = &acceptance.object;
    let seq: i64 = sqlx::query(
        "INSERT INTO jobs (id, rule, rule_version, bucket, key, identity, generation, state, priority, rank, \
         attempt, created, superseded, retry_of, context, after_success) \
         VALUES (?, ?, ?, ?, ?, ?, ?, 'queued', ?, ?, 0, ?, 0, ?, ?, ?) \
         RETURNING seq",
    )
    .bind(new.id.as_str())
    .bind(acceptance.rule.as_str())
    .bind(&new.rule_version.0)
    .bind(object.bucket.as_str())
    .bind(object.key.as_bytes())
    .bind(object.identity.to_string())
    .bind(generation)
    .bind(new.priority.get())
    .bind(order_key(now, new.priority, ageing))
    .bind(now.as_millisecond())
    .bind(new.retry_of.as_ref().map(JobId::as_str))
    .bind(new.context.as_deref())
    .bind(new.after_success.as_ref().map(rows::text).transpose()?)
    .fetch_one(&mut *db)
    .await?
    .try_get("seq")?;
    for (place, task) in new.tasks.iter().enumerate() {
        let state = if task.after.is_empty() {
            TaskState::Queued
        } else {
            TaskState::Waiting
        };
        sqlx::query(
            "INSERT INTO tasks (job, place, id, kind, after, condition, state, attempts, alone, findings) \
             VALUES (?, ?, ?, ?, ?, ?, ?, 0, 0, '[]')",
        )
        .bind(seq)
        .bind(i64::try_from(place).unwrap_or(i64::MAX))
        .bind(task.id.as_str())
        .bind(&task.kind)
        .bind(rows::list(&task.after)?)
        .bind(rows::condition(task.when))
        .bind(state.as_str())
        .execute(&mut *db)
        .await?;
    }
    Ok(())
}
