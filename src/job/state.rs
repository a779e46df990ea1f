//! The one place where a job or a task changes its state.

use jiff::Timestamp;

use super::graph::{self, Ending};
use super::{Failure, Finding, Job, JobState, Lease, TaskRecord, TaskState};
use crate::rule::TaskId;

/// The reason of a job that ended because a newer identity of its key was accepted.
pub const SUPERSEDED: &str = "superseded";

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
    /// A task is verified and published. Tasks after it may become queued or skipped, and the job may end. It is
    /// running; or queued, where the publish list of a run that was given back is rolled forward.
    TaskSucceeded {
        /// A running or queued task.
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
    /// A job that is superseded has nothing to wait for: it ends `cancelled`.
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

impl Event {
    /// The event's name, for messages.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Claimed { .. } => "a claim",
            Self::RunStarted { .. } => "the start of a run",
            Self::Probed { .. } => "a probe's answer",
            Self::TaskSucceeded { .. } => "the success of a task",
            Self::TaskFailed { .. } => "the failure of a task",
            Self::AttemptFailed { .. } => "the failure of a run",
            Self::GivenBack { .. } => "giving back",
            Self::Cancelled { .. } => "cancelling",
        }
    }
}

/// The job after the event. The whole state machine: every store applies events through it.
///
/// # Errors
/// Where the event does not fit; the job is then unchanged.
pub fn step(job: &Job, event: &Event, now: Timestamp) -> Result<Job, IllegalTransition> {
    let illegal = |detail: String| IllegalTransition {
        event: event.name(),
        state: job.state.as_str(),
        detail,
    };
    let fits = match event {
        Event::Claimed { .. } => job.state == JobState::Queued,
        Event::TaskSucceeded { .. } | Event::Cancelled { .. } => !job.state.is_final(),
        _ => job.state == JobState::Running,
    };
    if !fits {
        return Err(illegal(String::new()));
    }
    let mut next = job.clone();
    match event {
        Event::Claimed { lease } => {
            next.state = JobState::Running;
            next.lease = Some(lease.clone());
            next.started.get_or_insert(now);
            next.not_before = None;
            next.reason = None;
        }
        Event::RunStarted { tasks } => {
            if tasks.is_empty() {
                return Err(illegal(" and a run without tasks".to_owned()));
            }
            for id in tasks {
                let task = find(&mut next, id, &[TaskState::Queued]).map_err(illegal)?;
                task.state = TaskState::Running;
                task.attempts += 1;
                task.started.get_or_insert(now);
            }
            next.attempt += 1;
        }
        Event::Probed { media } => next.media = Some(media.clone()),
        Event::TaskSucceeded { task, findings } => {
            let task = find(&mut next, task, &[TaskState::Running, TaskState::Queued]).map_err(illegal)?;
            task.state = TaskState::Succeeded;
            task.started.get_or_insert(now);
            task.ended = Some(now);
            task.error = None;
            task.findings.clone_from(findings);
            settle(&mut next, now);
        }
        Event::TaskFailed {
            task,
            failure,
            findings,
        } => {
            let task = find(&mut next, task, &[TaskState::Running, TaskState::Queued]).map_err(illegal)?;
            task.state = TaskState::Failed;
            task.ended = Some(now);
            task.error = Some(failure.clone());
            task.findings.clone_from(findings);
            settle(&mut next, now);
        }
        Event::AttemptFailed { tasks, failure, split } => {
            for id in tasks {
                let task = find(&mut next, id, &[TaskState::Running]).map_err(illegal)?;
                task.state = TaskState::Queued;
                task.error = Some(failure.clone());
                task.alone |= *split;
            }
        }
        Event::GivenBack { reason, not_before } => give_back(&mut next, reason, *not_before, now),
        Event::Cancelled { reason } => cancel(&mut next, reason, now),
    }
    Ok(next)
}

fn give_back(job: &mut Job, reason: &str, not_before: Option<Timestamp>, now: Timestamp) {
    let mut run_under_way = false;
    for task in &mut job.tasks {
        if task.state == TaskState::Running {
            task.state = TaskState::Queued;
            task.attempts = task.attempts.saturating_sub(1);
            run_under_way = true;
        }
    }
    if run_under_way {
        job.attempt = job.attempt.saturating_sub(1);
    }
    if job.superseded {
        cancel(job, SUPERSEDED, now);
        return;
    }
    job.state = JobState::Queued;
    job.lease = None;
    job.reason = Some(reason.to_owned());
    job.not_before = not_before;
}

fn cancel(job: &mut Job, reason: &str, now: Timestamp) {
    for task in &mut job.tasks {
        if !task.state.is_final() {
            task.state = TaskState::Cancelled;
            task.ended = Some(now);
        }
    }
    end(job, JobState::Cancelled, Some(reason.to_owned()), now);
}

fn settle(job: &mut Job, now: Timestamp) {
    graph::settle(&mut job.tasks, now);
    match graph::ending(&job.tasks) {
        None => {}
        Some(Ending::Succeeded) => end(job, JobState::Succeeded, None, now),
        Some(Ending::Failed { reason }) => end(job, JobState::Failed, Some(reason), now),
    }
}

fn end(job: &mut Job, state: JobState, reason: Option<String>, now: Timestamp) {
    job.state = state;
    job.reason = reason;
    job.lease = None;
    job.not_before = None;
    job.ended = Some(now);
}

fn find<'a>(job: &'a mut Job, id: &TaskId, states: &[TaskState]) -> Result<&'a mut TaskRecord, String> {
    match job.tasks.iter_mut().find(|task| &task.id == id) {
        None => Err(format!(" and has no task {id}")),
        Some(task) if states.contains(&task.state) => Ok(task),
        Some(task) => Err(format!(" and whose task {id} is {}", task.state.as_str())),
    }
}

#[cfg(test)]
mod tests;
