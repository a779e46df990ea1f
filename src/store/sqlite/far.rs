//! What buckets over a network need to have kept: hints, messages that nobody understood, uploads in parts.

use jiff::Timestamp;
use sqlx::{Row, SqliteConnection};

use super::rows::{self, Field};
use crate::object::{BucketName, Identity, ObjectKey};
use crate::rule::RuleName;
use crate::store::{KeptHint, Quarantined, StoreError, UploadRecord};

/// Messages that are kept of each bucket.
const MOST_QUARANTINED: i64 = 1000;

/// Keeps hints; answers their numbers, in order.
pub async fn keep(db: &mut SqliteConnection, hints: &[KeptHint]) -> Result<Vec<i64>, StoreError> {
    let line = |hint: &KeptHint| {
        let event = hint.event.map(Timestamp::as_millisecond);
        (
            hint.bucket.to_string(),
            rows::hex(&hint.key),
            event,
            hint.source.clone(),
        )
    };
    let lines: Vec<_> = hints.iter().map(line).collect();
    // One statement for all: each costs more than what it writes.
    let mut numbers: Vec<i64> = sqlx::query_scalar(
        "INSERT INTO hints (bucket, key, event, source) \
         SELECT value ->> 0, unhex(value ->> 1), value ->> 2, value ->> 3 FROM json_each(?) ORDER BY json_each.key \
         RETURNING seq",
    )
    .bind(rows::list(&lines)?)
    .fetch_all(db)
    .await?;
    // They rise in the order in which they were written, but may be told in any.
    numbers.sort_unstable();
    Ok(numbers)
}

/// Kept hints after this number.
pub async fn kept(db: &mut SqliteConnection, after: i64, limit: u32) -> Result<Vec<(i64, KeptHint)>, StoreError> {
    let found = sqlx::query("SELECT * FROM hints WHERE seq > ? ORDER BY seq LIMIT ?")
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(db)
        .await?;
    let hint = |row: &sqlx::sqlite::SqliteRow| {
        let hint = KeptHint {
            bucket: row.parsed("bucket")?,
            key: row.key("key")?,
            event: row.maybe_time("event")?,
            source: row.try_get("source")?,
        };
        Ok((row.try_get("seq")?, hint))
    };
    found.iter().map(hint).collect()
}

/// Forgets hints.
pub async fn forget(db: &mut SqliteConnection, numbers: &[i64]) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM hints WHERE seq IN (SELECT value FROM json_each(?))")
        .bind(rows::list(numbers)?)
        .execute(db)
        .await?;
    Ok(())
}

/// Writes down what a listing said of keys.
pub async fn note_listed(
    db: &mut SqliteConnection,
    rule: &RuleName,
    bucket: &BucketName,
    listed: &[(ObjectKey, Identity)],
) -> Result<(), StoreError> {
    for (key, identity) in listed {
        sqlx::query("UPDATE ledger SET listed = ? WHERE rule = ? AND bucket = ? AND key = ?")
            .bind(identity.to_string())
            .bind(rule.as_str())
            .bind(bucket.as_str())
            .bind(key.as_bytes())
            .execute(&mut *db)
            .await?;
    }
    Ok(())
}

/// Keeps a message, and of its bucket only the last ones.
pub async fn quarantine(db: &mut SqliteConnection, message: &Quarantined) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO quarantine (bucket, source, reason, body, came) VALUES (?, ?, ?, ?, ?)")
        .bind(message.bucket.as_str())
        .bind(&message.source)
        .bind(&message.reason)
        .bind(&message.body)
        .bind(message.came.as_millisecond())
        .execute(&mut *db)
        .await?;
    sqlx::query(
        "DELETE FROM quarantine WHERE bucket = ?1 AND seq <= \
         (SELECT seq FROM quarantine WHERE bucket = ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2)",
    )
    .bind(message.bucket.as_str())
    .bind(MOST_QUARANTINED)
    .execute(db)
    .await?;
    Ok(())
}

/// The last messages that nobody understood, newest first.
pub async fn quarantined(db: &mut SqliteConnection, limit: u32) -> Result<Vec<Quarantined>, StoreError> {
    let found = sqlx::query("SELECT * FROM quarantine ORDER BY seq DESC LIMIT ?")
        .bind(i64::from(limit))
        .fetch_all(db)
        .await?;
    let message = |row: &sqlx::sqlite::SqliteRow| {
        Ok(Quarantined {
            bucket: row.parsed("bucket")?,
            source: row.try_get("source")?,
            reason: row.try_get("reason")?,
            body: row.try_get("body")?,
            came: row.time("came")?,
        })
    };
    found.iter().map(message).collect()
}

/// How many messages of each bucket are kept.
pub async fn quarantine_counts(db: &mut SqliteConnection) -> Result<Vec<(BucketName, u64)>, StoreError> {
    let found = sqlx::query("SELECT bucket, count(*) AS count FROM quarantine GROUP BY bucket ORDER BY bucket")
        .fetch_all(db)
        .await?;
    found
        .iter()
        .map(|row| Ok((row.parsed("bucket")?, row.count("count")?)))
        .collect()
}

/// Writes an upload down before its first part.
pub async fn upload_begun(db: &mut SqliteConnection, upload: &UploadRecord, now: Timestamp) -> Result<(), StoreError> {
    sqlx::query("INSERT OR REPLACE INTO uploads (bucket, key, id, job, begun) VALUES (?, ?, ?, ?, ?)")
        .bind(upload.bucket.as_str())
        .bind(upload.key.as_bytes())
        .bind(&upload.id)
        .bind(upload.job.as_str())
        .bind(now.as_millisecond())
        .execute(db)
        .await?;
    Ok(())
}

/// An upload is completed, or aborted.
pub async fn upload_ended(
    db: &mut SqliteConnection,
    bucket: &BucketName,
    key: &ObjectKey,
    id: &str,
) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM uploads WHERE bucket = ? AND key = ? AND id = ?")
        .bind(bucket.as_str())
        .bind(key.as_bytes())
        .bind(id)
        .execute(db)
        .await?;
    Ok(())
}

/// Uploads that were begun and have not ended, as far as is known.
pub async fn uploads(db: &mut SqliteConnection) -> Result<Vec<UploadRecord>, StoreError> {
    let found = sqlx::query("SELECT * FROM uploads ORDER BY begun, bucket, key")
        .fetch_all(db)
        .await?;
    let upload = |row: &sqlx::sqlite::SqliteRow| {
        let job: &str = row.try_get("job")?;
        Ok(UploadRecord {
            bucket: row.parsed("bucket")?,
            key: row.key("key")?,
            id: row.try_get("id")?,
            job: crate::job::JobId::parse(job).map_err(|_| rows::spoilt("job", job))?,
        })
    };
    found.iter().map(upload).collect()
}
