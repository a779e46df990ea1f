//! Jobs and tasks: their states, the ledger's decision, order in the queue, retry. Pure: time comes in
//! as an argument, and nothing here does I/O.

pub mod failure;
pub mod graph;
pub mod hold;
pub mod ledger;
pub mod order;
pub mod retry;
pub mod source;
pub mod state;
#[cfg(test)]
pub mod testing;

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::object::{InvalidName, Object};
use crate::rule::source::AfterSuccess;
use crate::rule::{RuleName, RuleVersion, TaskId, When};
pub use failure::{ErrorKind, Failure, Finding, FindingKind};

/// The name of a job: 15 characters of Crockford's base 32, rising with time to the second.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct JobId(String);

impl JobId {
    /// Makes an id from the time and 40 random bits.
    #[must_use]
    pub fn new(now: Timestamp, random: u64) -> Self {
        const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
        let seconds = u64::try_from(now.as_second()).unwrap_or(0) & ((1 << 35) - 1);
        let mut text = String::with_capacity(15);
        for (value, digits) in [(seconds, 7), (random & ((1 << 40) - 1), 8)] {
            for digit in (0..digits).rev() {
                let at = usize::try_from((value >> (digit * 5)) & 31).unwrap_or(0);
                text.push(char::from(ALPHABET[at]));
            }
        }
        Self(text)
    }

    /// Takes an id that was written before.
    ///
    /// # Errors
    /// Where the text is not 15 letters and digits.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        if text.len() == 15 && text.bytes().all(|b| b.is_ascii_alphanumeric()) {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(InvalidName("a job id is 15 letters and digits"))
        }
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// -10 ..= 10, higher first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct Priority(i8);

impl Priority {
    /// Takes a priority.
    ///
    /// # Errors
    /// Outside -10 ..= 10.
    pub fn new(value: i64) -> Result<Self, InvalidName> {
        i8::try_from(value)
            .ok()
            .filter(|v| (-10..=10).contains(v))
            .map(Self)
            .ok_or(InvalidName("a priority is a whole number from -10 to 10"))
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> i64 {
        i64::from(self.0)
    }
}

impl TryFrom<i64> for Priority {
    type Error = InvalidName;
    fn try_from(value: i64) -> Result<Self, InvalidName> {
        Self::new(value)
    }
}

impl From<Priority> for i64 {
    fn from(priority: Priority) -> Self {
        priority.get()
    }
}

/// Counts the identities that a (rule, bucket, key) has had; 0 is "none yet".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Generation(pub u64);

/// Rises with every claim of a job; every finishing write names the number that it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LeaseNumber(pub u64);

/// Who works on a job, and until when that is believed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Guards every write of the holder.
    pub number: LeaseNumber,
    /// The daemon that holds it.
    pub holder: String,
    /// After this the job may be taken by another.
    pub expires: Timestamp,
}

/// States of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Waits for room, or for the time of its next attempt.
    Queued,
    /// Leased by a daemon.
    Running,
    /// Every task that could run did, and every failure was met by a task that waited for it.
    Succeeded,
    /// A task failed for good.
    Failed,
    /// Ended by a person, by a newer identity, or because the object vanished.
    Cancelled,
}

/// States of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// Tasks in `after` have not ended.
    Waiting,
    /// May run.
    Queued,
    /// A worker works on it.
    Running,
    /// Verified and published.
    Succeeded,
    /// Failed for good.
    Failed,
    /// A review task said block.
    Blocked,
    /// Its condition cannot become true any more.
    Skipped,
    /// Its job was cancelled.
    Cancelled,
}

impl JobState {
    /// Every state, in the order of a job's life.
    pub const ALL: [Self; 5] = [
        Self::Queued,
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
    ];

    /// The one spelling, in SQL, API and on the screen.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state of this spelling.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// Nothing changes any more.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

impl TaskState {
    /// Every state, in the order of a task's life.
    pub const ALL: [Self; 8] = [
        Self::Waiting,
        Self::Queued,
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::Blocked,
        Self::Skipped,
        Self::Cancelled,
    ];

    /// The one spelling, in SQL, API and on the screen.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Blocked => "blocked",
            Self::Skipped => "skipped",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state of this spelling.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// Nothing changes any more.
    #[must_use]
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Waiting | Self::Queued | Self::Running)
    }
}

/// One object identity under one rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Its name.
    pub id: JobId,
    /// The rule that wanted it.
    pub rule: RuleName,
    /// The version of the rule that it started with and keeps.
    pub rule_version: RuleVersion,
    /// What it works on.
    pub object: Object,
    /// Which identity of the key this is, for this rule.
    pub generation: Generation,
    /// Where it stands.
    pub state: JobState,
    /// Why it stands there, where that is not plain: "superseded", "retry after crash", "cancelled by ..."
    pub reason: Option<String>,
    /// Its rank in the queue.
    pub priority: Priority,
    /// Runs started so far that counted.
    pub attempt: u32,
    /// When the ledger accepted it.
    pub created: Timestamp,
    /// When it was first claimed.
    pub started: Option<Timestamp>,
    /// When it reached a final state.
    pub ended: Option<Timestamp>,
    /// Not to be claimed before.
    pub not_before: Option<Timestamp>,
    /// Who works on it; present exactly while it is `running` in a daemon.
    pub lease: Option<Lease>,
    /// A newer identity of the key was accepted while this job ran.
    pub superseded: bool,
    /// The job of which this is a repetition, asked for by a person.
    pub retry_of: Option<JobId>,
    /// What whoever asked for it gave along with it.
    pub context: Option<String>,
    /// What the probe said of the medium, as JSON, once known.
    pub media: Option<String>,
    /// What becomes of the source when it has succeeded.
    pub after_success: Option<AfterSuccess>,
    /// Its tasks, in the order of the rule.
    pub tasks: Vec<TaskRecord>,
}

/// A task of a job as the store keeps it.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskRecord {
    /// Unique within the job.
    pub id: TaskId,
    /// The word in `kind = "..."`.
    pub kind: String,
    /// Tasks that must have ended before.
    pub after: Vec<TaskId>,
    /// How they must have ended.
    pub when: When,
    /// Where it stands.
    pub state: TaskState,
    /// Attempts that counted.
    pub attempts: u32,
    /// A fused run with it failed in a way that splits: it runs alone from now on.
    pub alone: bool,
    /// Of the last attempt that failed.
    pub error: Option<Failure>,
    /// What was noticed about the medium.
    pub findings: Vec<Finding>,
    /// First start.
    pub started: Option<Timestamp>,
    /// Final state reached.
    pub ended: Option<Timestamp>,
}
