//! The one place where a job or a task changes its state.

use jiff::Timestamp;

use super::{Failure, Finding, Job, Lease};
use crate::rule::TaskId;

/// What happens to a job.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A daemon takes a queued job.
    Claimed {
        /// Under this lease; its number is one more than any before.
        lease: Lease,
    },
    /// A run begins: these queued tasks become running, and each counts one attempt.
    RunStarted {
        /// All of them queued.
        tasks: Vec<TaskId>,
    },
    /// What the probe said; changes no state.
    Probed {
        /// As JSON.
        media: String,
    },
    /// A running task is verified and published. Tasks after it may become queued or skipped, and the job
    /// may end.
    TaskSucceeded {
        /// A running task.
        task: TaskId,
        /// Noticed on the way.
        findings: Vec<Finding>,
    },
    /// A running or queued task fails for good. Tasks after it may become queued or skipped, and the job
    /// may end.
    TaskFailed {
        /// A running or queued task.
        task: TaskId,
        /// Why.
        failure: Failure,
        /// Noticed on the way.
        findings: Vec<Finding>,
    },
    /// A run ended without finishing these running tasks, and they will be tried again: they become queued.
    AttemptFailed {
        /// All of them running.
        tasks: Vec<TaskId>,
        /// Why.
        failure: Failure,
        /// They run alone from now on.
        split: bool,
    },
    /// The daemon lets go of a running job that has not ended (backoff, shutdown, crash of the daemon, no
    /// room): it becomes queued without a lease. Tasks still running become queued and get their attempt back.
    GivenBack {
        /// Why, for whoever looks.
        reason: String,
        /// Not to be claimed before.
        not_before: Option<Timestamp>,
    },
    /// A person, a newer identity or a vanished object ends a job that has not ended.
    Cancelled {
        /// Why.
        reason: String,
    },
}

/// An event that does not fit the state it met.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{event} does not fit a job that is {state}{detail}")]
pub struct IllegalTransition {
    /// What happened.
    pub event: &'static str,
    /// Where the job stood.
    pub state: &'static str,
    /// Which task did not fit, where it was one.
    pub detail: String,
}

/// The job after the event. The whole state machine: every store applies events through it.
///
/// # Errors
/// Where the event does not fit; the job is then unchanged.
pub fn step(_job: &Job, _event: &Event, _now: Timestamp) -> Result<Job, IllegalTransition> {
    unimplemented!()
}
