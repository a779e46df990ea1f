//! Rules as the database remembers them.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::rows::{self, Field, spoilt};
use crate::object::ObjectKey;
use crate::rule::RuleVersion;
use crate::store::{Arming, RuleRecord, StoreError};

pub async fn all(db: &mut SqliteConnection) -> Result<Vec<RuleRecord>, StoreError> {
    sqlx::query("SELECT * FROM rules ORDER BY name")
        .fetch_all(db)
        .await?
        .iter()
        .map(record)
        .collect()
}

pub async fn save(db: &mut SqliteConnection, record: &RuleRecord) -> Result<(), StoreError> {
    let (arming, cursor, before) = match &record.arming {
        Arming::Done => ("done", None, None),
        Arming::Enabled { cursor } => ("enabled", cursor.as_ref(), None),
        Arming::Widened { cursor, before } => ("widened", cursor.as_ref(), Some(before)),
    };
    sqlx::query(
        "INSERT OR REPLACE INTO rules (name, version, text, file, enabled, since, created, arming, cursor, before) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(record.name.as_str())
    .bind(&record.version.0)
    .bind(&record.text)
    .bind(&record.file)
    .bind(record.enabled)
    .bind(record.since.as_millisecond())
    .bind(record.created.as_millisecond())
    .bind(arming)
    .bind(cursor.map(ObjectKey::as_bytes))
    .bind(before)
    .execute(db)
    .await?;
    Ok(())
}

pub async fn text(db: &mut SqliteConnection, version: &RuleVersion) -> Result<String, StoreError> {
    sqlx::query_scalar("SELECT text FROM rule_versions WHERE version = ?")
        .bind(&version.0)
        .fetch_optional(db)
        .await?
        .ok_or_else(|| StoreError::NotFound(format!("version {version} of any rule")))
}

pub async fn keep_text(db: &mut SqliteConnection, version: &RuleVersion, text: &str) -> Result<(), StoreError> {
    sqlx::query("INSERT OR IGNORE INTO rule_versions (version, text) VALUES (?, ?)")
        .bind(&version.0)
        .bind(text)
        .execute(db)
        .await?;
    Ok(())
}

fn record(row: &SqliteRow) -> Result<RuleRecord, StoreError> {
    let cursor = row
        .try_get::<Option<Vec<u8>>, _>("cursor")?
        .map(rows::key)
        .transpose()?;
    let before: Option<String> = row.try_get("before")?;
    let arming = match (row.try_get::<&str, _>("arming")?, before) {
        ("done", _) => Arming::Done,
        ("enabled", _) => Arming::Enabled { cursor },
        ("widened", Some(before)) => Arming::Widened { cursor, before },
        (other, _) => return Err(spoilt("arming", other)),
    };
    Ok(RuleRecord {
        name: row.parsed("name")?,
        version: RuleVersion(row.try_get("version")?),
        text: row.try_get("text")?,
        file: row.try_get("file")?,
        enabled: row.try_get("enabled")?,
        since: row.time("since")?,
        created: row.time("created")?,
        arming,
    })
}
