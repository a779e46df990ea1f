//! Rows to domain values and lists to parameters. What is read back was checked when it was written; where
//! it does not fit all the same, the database is spoilt, and the error says in which field.

use std::fmt::Display;
use std::str::FromStr;

use jiff::Timestamp;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::job::{ErrorKind, JobState, TaskState};
use crate::job::{Failure, Generation, Job, JobId, Lease, LeaseNumber, Priority, TaskRecord};
use crate::object::{Object, ObjectKey};
use crate::rule::{RuleName, RuleVersion, TaskId, When};
use crate::store::{LedgerEntry, OutputRecord, OutputState, StoreError};

/// The error for a field that does not hold what it should.
pub fn spoilt(field: &str, value: impl Display) -> StoreError {
    StoreError::Permanent(format!("the database is spoilt: {field} is {value:.80}"))
}

/// Typed access to fields.
pub trait Field {
    /// A text that parses.
    fn parsed<T: FromStr>(&self, field: &str) -> Result<T, StoreError>;
    /// A text that parses, or nothing.
    fn maybe_parsed<T: FromStr>(&self, field: &str) -> Result<Option<T>, StoreError>;
    /// A number that is not negative.
    fn count(&self, field: &str) -> Result<u64, StoreError>;
    /// A time.
    fn time(&self, field: &str) -> Result<Timestamp, StoreError>;
    /// A time or nothing.
    fn maybe_time(&self, field: &str) -> Result<Option<Timestamp>, StoreError>;
    /// A key.
    fn key(&self, field: &str) -> Result<ObjectKey, StoreError>;
}

impl Field for SqliteRow {
    fn parsed<T: FromStr>(&self, field: &str) -> Result<T, StoreError> {
        let text: &str = self.try_get(field)?;
        text.parse().map_err(|_| spoilt(field, text))
    }

    fn maybe_parsed<T: FromStr>(&self, field: &str) -> Result<Option<T>, StoreError> {
        let text: Option<&str> = self.try_get(field)?;
        text.map(|text| text.parse().map_err(|_| spoilt(field, text)))
            .transpose()
    }

    fn count(&self, field: &str) -> Result<u64, StoreError> {
        let value: i64 = self.try_get(field)?;
        u64::try_from(value).map_err(|_| spoilt(field, value))
    }

    fn time(&self, field: &str) -> Result<Timestamp, StoreError> {
        timestamp(field, self.try_get(field)?)
    }

    fn maybe_time(&self, field: &str) -> Result<Option<Timestamp>, StoreError> {
        self.try_get::<Option<i64>, _>(field)?
            .map(|value| timestamp(field, value))
            .transpose()
    }

    fn key(&self, field: &str) -> Result<ObjectKey, StoreError> {
        key(self.try_get(field)?)
    }
}

/// A time from its milliseconds.
pub fn timestamp(field: &str, value: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_millisecond(value).map_err(|_| spoilt(field, value))
}

/// A key from its bytes.
pub fn key(bytes: Vec<u8>) -> Result<ObjectKey, StoreError> {
    ObjectKey::new(bytes).map_err(|error| spoilt("key", error))
}

/// A count as SQLite keeps it.
pub fn integer(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Keys as one parameter, for `IN (SELECT unhex(value) FROM json_each(?))`.
pub fn key_list(keys: &[ObjectKey]) -> String {
    let mut text = String::from("[");
    for (at, key) in keys.iter().enumerate() {
        text.push_str(if at == 0 { "\"" } else { ",\"" });
        text.push_str(&hex(key));
        text.push('"');
    }
    text.push(']');
    text
}

/// A key as `unhex` reads it.
pub fn hex(key: &ObjectKey) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = key.as_bytes().iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

/// Values as one parameter, for `IN (SELECT value FROM json_each(?))`.
pub fn list<T: serde::Serialize>(values: &[T]) -> Result<String, StoreError> {
    serde_json::to_string(values).map_err(|error| StoreError::Permanent(error.to_string()))
}

/// A value as JSON.
pub fn text<T: serde::Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Permanent(error.to_string()))
}

/// A value kept as JSON.
pub fn json<T: serde::de::DeserializeOwned>(row: &SqliteRow, field: &str) -> Result<T, StoreError> {
    let text: &str = row.try_get(field)?;
    serde_json::from_str(text).map_err(|_| spoilt(field, text))
}

fn number(row: &SqliteRow, field: &str) -> Result<u32, StoreError> {
    let value = row.count(field)?;
    u32::try_from(value).map_err(|_| spoilt(field, value))
}

/// A job without its tasks.
pub fn job(row: &SqliteRow) -> Result<Job, StoreError> {
    let state: &str = row.try_get("state")?;
    let lease = match row.try_get::<Option<i64>, _>("lease")? {
        None => None,
        Some(_) => Some(Lease {
            number: LeaseNumber(row.count("lease")?),
            holder: row.try_get("holder")?,
            expires: row.time("expires")?,
        }),
    };
    Ok(Job {
        id: job_id(row, "id")?,
        rule: row.parsed("rule")?,
        rule_version: RuleVersion(row.try_get("rule_version")?),
        object: Object {
            bucket: row.parsed("bucket")?,
            key: row.key("key")?,
            identity: row.parsed("identity")?,
        },
        generation: Generation(row.count("generation")?),
        state: JobState::parse(state).ok_or_else(|| spoilt("state", state))?,
        reason: row.try_get("reason")?,
        priority: Priority::new(row.try_get("priority")?).map_err(|error| spoilt("priority", error))?,
        attempt: number(row, "attempt")?,
        created: row.time("created")?,
        started: row.maybe_time("started")?,
        ended: row.maybe_time("ended")?,
        not_before: row.maybe_time("not_before")?,
        lease,
        superseded: row.try_get("superseded")?,
        retry_of: match row.try_get::<Option<&str>, _>("retry_of")? {
            None => None,
            Some(_) => Some(job_id(row, "retry_of")?),
        },
        context: row.try_get("context")?,
        media: row.try_get("media")?,
        after_success: match row.try_get::<Option<&str>, _>("after_success")? {
            None => None,
            Some(_) => Some(json(row, "after_success")?),
        },
        tasks: Vec::new(),
    })
}

fn job_id(row: &SqliteRow, field: &str) -> Result<JobId, StoreError> {
    let text: &str = row.try_get(field)?;
    JobId::parse(text).map_err(|_| spoilt(field, text))
}

/// A task.
pub fn task(row: &SqliteRow) -> Result<TaskRecord, StoreError> {
    let state: &str = row.try_get("state")?;
    let error = match row.try_get::<Option<&str>, _>("error_kind")? {
        None => None,
        Some(kind) => Some(Failure::new(
            ErrorKind::parse(kind).ok_or_else(|| spoilt("error_kind", kind))?,
            row.try_get::<String, _>("error_message")?,
        )),
    };
    Ok(TaskRecord {
        id: row.parsed("id")?,
        kind: row.try_get("kind")?,
        after: json(row, "after")?,
        when: match row.try_get("condition")? {
            "succeeded" => When::Succeeded,
            "failed" => When::Failed,
            "any" => When::Any,
            other => return Err(spoilt("condition", other)),
        },
        state: TaskState::parse(state).ok_or_else(|| spoilt("state", state))?,
        attempts: number(row, "attempts")?,
        alone: row.try_get("alone")?,
        error,
        findings: json(row, "findings")?,
        started: row.maybe_time("started")?,
        ended: row.maybe_time("ended")?,
    })
}

/// The spelling of a condition.
pub fn condition(when: When) -> &'static str {
    match when {
        When::Succeeded => "succeeded",
        When::Failed => "failed",
        When::Any => "any",
    }
}

/// A line of the ledger.
pub fn ledger(row: &SqliteRow) -> Result<LedgerEntry, StoreError> {
    ledger_of(row.parsed("rule")?, row)
}

/// A line of the ledger whose rule is known.
pub fn ledger_of(rule: RuleName, row: &SqliteRow) -> Result<LedgerEntry, StoreError> {
    Ok(LedgerEntry {
        rule,
        listed: row.maybe_parsed("listed")?,
        key: row.key("key")?,
        identity: row.parsed("identity")?,
        generation: Generation(row.count("generation")?),
        baseline: row.try_get("baseline")?,
        gone_at: row.maybe_time("gone_at")?,
    })
}

/// An output.
pub fn output(row: &SqliteRow) -> Result<OutputRecord, StoreError> {
    let state: &str = row.try_get("state")?;
    Ok(OutputRecord {
        bucket: row.parsed("bucket")?,
        key: row.key("key")?,
        identity: row.parsed("identity")?,
        checksum: row.try_get("checksum")?,
        rule: row.parsed("rule")?,
        source_bucket: row.parsed("source_bucket")?,
        source_key: row.key("source_key")?,
        job: job_id(row, "job")?,
        task: match row.try_get::<Option<&str>, _>("task")? {
            None => None,
            Some(_) => Some(row.parsed::<TaskId>("task")?),
        },
        generation: Generation(row.count("generation")?),
        state: match state {
            "publishing" => OutputState::Publishing,
            "published" => OutputState::Published,
            "superseded" => OutputState::Superseded,
            "removed" => OutputState::Removed,
            other => return Err(spoilt("state", other)),
        },
    })
}
