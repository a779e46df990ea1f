//! Jobs, tasks and times for tests.

#![allow(clippy::missing_panics_doc, reason = "tests may panic")]

use jiff::Timestamp;

use super::{Generation, Job, JobId, JobState, Lease, LeaseNumber, Priority, TaskRecord, TaskState};
use crate::object::{Identity, Object};
use crate::rule::{RuleVersion, When};

/// So many seconds after a fixed moment.
pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

/// A task that is queued, or waiting where it comes after others.
pub fn task(id: &str, after: &[&str]) -> TaskRecord {
    TaskRecord {
        id: id.parse().unwrap(),
        kind: "copy".to_owned(),
        after: after.iter().map(|id| id.parse().unwrap()).collect(),
        when: When::Succeeded,
        state: if after.is_empty() {
            TaskState::Queued
        } else {
            TaskState::Waiting
        },
        attempts: 0,
        alone: false,
        error: None,
        findings: Vec::new(),
        started: None,
        ended: None,
    }
}

/// A queued job with these tasks.
pub fn job(tasks: Vec<TaskRecord>) -> Job {
    Job {
        id: JobId::new(at(0), 1),
        rule: "web".parse().unwrap(),
        rule_version: RuleVersion("0123456789abcdef".to_owned()),
        object: Object {
            bucket: "inbox".parse().unwrap(),
            key: "a/clip.mp4".parse().unwrap(),
            identity: Identity::local(1000, 1),
        },
        generation: Generation(1),
        state: JobState::Queued,
        reason: None,
        priority: Priority::default(),
        attempt: 0,
        created: at(0),
        started: None,
        ended: None,
        not_before: None,
        lease: None,
        superseded: false,
        retry_of: None,
        context: None,
        media: None,
        after_success: None,
        tasks,
    }
}

/// A lease with this number.
pub fn lease(number: u64) -> Lease {
    Lease {
        number: LeaseNumber(number),
        holder: "here".to_owned(),
        expires: at(60),
    }
}
