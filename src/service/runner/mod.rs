//! Drives one claimed job: stage by stage until it ends, or until the daemon lets go of it.
//!
//! A stage is the tasks that are ready together. `attempt` works them in a worker and publishes what it makes;
//! this module turns how that went into events of the job's state machine.

mod assets;
mod attempt;
mod desk;
mod download;
mod results;
mod room;
mod station;

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

use super::hints::Hint;
use super::mill::Mill;
use super::publishing::{self, Resumed};
use super::with_causes;
use crate::diagnostic::SourceFile;
use crate::job::retry::{Retry, after_failure};
use crate::job::state::Event;
use crate::job::{ErrorKind, Failure, Job, JobId, JobState, LeaseNumber, TaskRecord, TaskState};
use crate::rule::Rule;
use crate::rule::check::check;
use crate::store::StoreError;
use crate::worker::spawn::WorkerSettings;
use attempt::{Attempt, Outcome};
use desk::Unfinished;

/// How soon a job is looked at again whose bucket is offline.
const OFFLINE_PAUSE: SignedDuration = SignedDuration::from_secs(10);

/// How soon a job is looked at again for which there was no room, at least and at most.
const NO_ROOM_PAUSE: SignedDuration = SignedDuration::from_secs(15);
const LONGEST_NO_ROOM_PAUSE: SignedDuration = SignedDuration::from_mins(5);

/// The more of its rule wait, the later a job is looked at again: about twenty are in a second.
fn no_room_pause(waiting: u64) -> SignedDuration {
    let pause = SignedDuration::from_millis(i64::try_from(waiting).unwrap_or(i64::MAX).saturating_mul(50));
    pause.clamp(NO_ROOM_PAUSE, LONGEST_NO_ROOM_PAUSE)
}

/// What every run needs.
#[derive(Debug, Clone)]
pub struct Workshop {
    /// How workers are started.
    pub worker: WorkerSettings,
    /// Threads that an encoder may use.
    pub threads: u32,
}

/// Processors of this machine, at least one.
#[must_use]
pub fn cores() -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    u32::try_from(cores).unwrap_or(1)
}

/// How the daemon parts with a job.
#[derive(Debug)]
enum Parting {
    /// The job has ended.
    Ended,
    /// Another time.
    GiveBack {
        reason: String,
        not_before: Option<Timestamp>,
    },
    /// For good.
    Cancel { reason: String },
    /// Somebody else holds it now.
    Lost,
}

/// Works on a claimed job until it ends or is let go.
pub async fn drive(mill: Arc<Mill>, shop: Arc<Workshop>, job: Job, stop: CancellationToken) {
    let id = job.id.clone();
    let Some(lease) = job.lease.as_ref().map(|lease| lease.number) else {
        return;
    };
    let _entry = Entry {
        mill: &mill,
        id: &id,
        lease,
    };
    let parting = match Box::pin(stages(&mill, &shop, job, lease, &stop)).await {
        Ok(parting) => parting,
        Err(StoreError::LeaseLost(_)) => Parting::Lost,
        Err(error) => {
            tracing::error!(job = %id, error = %with_causes(&error), "the database failed this job; it will be taken up again");
            Parting::GiveBack {
                reason: "the database did not answer".to_owned(),
                not_before: Some(Timestamp::now() + OFFLINE_PAUSE),
            }
        }
    };
    let event = match parting {
        Parting::Ended => None,
        Parting::Lost => {
            tracing::warn!(job = %id, "lease lost; work on this job is dropped");
            None
        }
        Parting::GiveBack { reason, not_before } => {
            tracing::info!(job = %id, %reason, "job given back");
            Some(Event::GivenBack { reason, not_before })
        }
        Parting::Cancel { reason } => {
            tracing::info!(job = %id, %reason, "job cancelled");
            Some(Event::Cancelled { reason })
        }
    };
    let Some(event) = event else { return };
    match mill.store.apply(&id, Some(lease), &[event], Timestamp::now()).await {
        Ok(_) => {}
        // What was being published when it was let go may have been its end.
        Err(StoreError::Illegal(_) | StoreError::LeaseLost(_)) => tracing::info!(job = %id, "job had ended by then"),
        Err(error) => tracing::error!(job = %id, error = %with_causes(&error), "the job's lease will run out instead"),
    }
}

/// A job's line among those that run here. It goes away however the work ends, a panic included: a line that stayed
/// would keep the lease alive for ever.
struct Entry<'a> {
    mill: &'a Mill,
    id: &'a JobId,
    lease: LeaseNumber,
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.mill.running.remove(self.id, self.lease);
        self.mill.queue_changed.notify_one();
    }
}

async fn stages(
    mill: &Arc<Mill>,
    shop: &Arc<Workshop>,
    mut job: Job,
    lease: LeaseNumber,
    stop: &CancellationToken,
) -> Result<Parting, StoreError> {
    let rule = match rule_of(mill, &job).await {
        Ok(rule) => rule,
        Err(failure) => return fail_all(mill, &job, lease, &failure).await,
    };
    let name = job.rule.clone();
    match publishing::resume(mill, job, lease).await? {
        Resumed::Done(now) => job = *now,
        Resumed::Waits(reason) => {
            mill.resting.rest(&name, &reason, Timestamp::now());
            return Ok(Parting::GiveBack {
                reason: format!("waits for the output bucket: {reason}"),
                not_before: Some(Timestamp::now() + OFFLINE_PAUSE),
            });
        }
    }
    loop {
        if job.state.is_final() {
            log_end(&job);
            return Ok(Parting::Ended);
        }
        if stop.is_cancelled() {
            return Ok(stopped(mill, &job));
        }
        let group = ready_together(&job.tasks);
        if group.is_empty() {
            return Ok(Parting::GiveBack {
                reason: "none of its tasks can run".to_owned(),
                not_before: Some(Timestamp::now() + OFFLINE_PAUSE),
            });
        }
        let attempt = Attempt {
            mill,
            shop,
            rule: &rule,
            lease,
            stop,
        };
        let outcome = Box::pin(attempt.work(&job, &group)).await?;
        let fused = group.len() > 1;
        job = mill.store.job(&job.id).await?;
        match outcome {
            Outcome::Worked(failures) if failures.is_empty() => {}
            Outcome::Worked(failures) => {
                if let Some(parting) = settle(mill, &job, lease, &rule, failures, fused).await? {
                    return Ok(parting);
                }
                job = mill.store.job(&job.id).await?;
            }
            Outcome::Stopped => return Ok(stopped(mill, &job)),
            Outcome::NoRoom { reason, total } => {
                let now = Timestamp::now();
                if total {
                    mill.resting.rest(&job.rule, &reason, now);
                }
                let counts = mill.store.counts().await?;
                let mut waiting = counts
                    .iter()
                    .filter(|count| count.rule == job.rule && count.state == JobState::Queued);
                let pause = no_room_pause(waiting.next().map_or(0, |count| count.count));
                return Ok(Parting::GiveBack {
                    reason,
                    not_before: Some(now + pause),
                });
            }
            Outcome::Superseded => {
                return Ok(Parting::Cancel {
                    reason: "superseded by a newer version of the source".to_owned(),
                });
            }
            Outcome::SourceChanged(reason) => {
                mill.hints.put(Hint {
                    bucket: job.object.bucket.clone(),
                    key: job.object.key.clone(),
                    event: Some(Timestamp::now()),
                    source: "runner",
                });
                return Ok(Parting::Cancel { reason });
            }
        }
    }
}

/// Why work stops, where somebody asked for that; otherwise the daemon itself is stopping.
fn stopped(mill: &Mill, job: &Job) -> Parting {
    match mill.running.get(&job.id).and_then(|known| known.stop_reason) {
        Some(reason) => Parting::Cancel { reason },
        None => Parting::GiveBack {
            reason: "the daemon was stopped".to_owned(),
            not_before: None,
        },
    }
}

/// The tasks of the next run: all that are ready and may share it, else the first that must run alone.
fn ready_together(tasks: &[TaskRecord]) -> Vec<TaskRecord> {
    let ready = || tasks.iter().filter(|task| task.state == TaskState::Queued);
    let group: Vec<TaskRecord> = ready().filter(|task| !task.alone).cloned().collect();
    if group.is_empty() {
        ready().take(1).cloned().collect()
    } else {
        group
    }
}

/// Decides for each task that did not get done whether it is tried again.
async fn settle(
    mill: &Arc<Mill>,
    job: &Job,
    lease: LeaseNumber,
    rule: &Rule,
    unfinished: Vec<Unfinished>,
    fused: bool,
) -> Result<Option<Parting>, StoreError> {
    let mut events = Vec::new();
    let mut again: Option<(Duration, Failure)> = None;
    let mut uncounted = false;
    for Unfinished {
        task: id,
        failure,
        findings,
    } in unfinished
    {
        let Some(task) = job
            .tasks
            .iter()
            .find(|task| task.id == id && task.state == TaskState::Running)
        else {
            continue;
        };
        let verdict = after_failure(failure.kind, task.attempts, &rule.retry, fused, rand::random());
        tracing::warn!(
            job = %job.id, task = %id, rule = %job.rule, bucket = %job.object.bucket, key = %job.object.key,
            kind = failure.kind.as_str(), error = %failure.message, attempt = task.attempts,
            again = matches!(verdict, Retry::Again { .. }), "task failed"
        );
        match verdict {
            Retry::Fail => events.push(Event::TaskFailed {
                task: id,
                failure,
                findings,
            }),
            Retry::Again { wait, split, counted } => {
                if counted {
                    events.push(Event::AttemptFailed {
                        tasks: vec![id],
                        failure: failure.clone(),
                        split,
                    });
                } else {
                    uncounted = true;
                    // What ails the rule's own buckets ails all of its jobs.
                    if failure.kind == ErrorKind::Offline && job.object.bucket == rule.trigger.bucket {
                        mill.resting.rest(&job.rule, &failure.message, Timestamp::now());
                    }
                }
                if again.as_ref().is_none_or(|(longest, _)| *longest < wait) {
                    again = Some((wait, failure));
                }
            }
        }
    }
    if !events.is_empty() {
        mill.store
            .apply(&job.id, Some(lease), &events, Timestamp::now())
            .await?;
    }
    Ok(again.map(|(wait, failure)| {
        let wait = SignedDuration::try_from(wait).unwrap_or(SignedDuration::from_mins(5));
        let waits = if uncounted { "waits" } else { "tried again" };
        Parting::GiveBack {
            reason: format!("{waits} after {}: {}", failure.kind.as_str(), failure.message),
            not_before: Some(Timestamp::now() + wait),
        }
    }))
}

/// The rule as it was when the job was created.
pub(super) async fn rule_of(mill: &Arc<Mill>, job: &Job) -> Result<Rule, Failure> {
    let text = mill
        .store
        .rule_text(&job.rule_version)
        .await
        .map_err(|error| Failure::new(ErrorKind::Internal, format!("the rule's text is lost: {error}")))?;
    let buckets: Vec<_> = mill.buckets.keys().cloned().collect();
    let file = SourceFile {
        path: format!("{} {}", job.rule, job.rule_version).into(),
        text: text.into(),
    };
    let (rule, diagnostics) = check(&file, job.rule.as_str(), &buckets);
    rule.ok_or_else(|| {
        let wrong: Vec<_> = diagnostics.into_iter().map(|one| one.message).collect();
        let version = &job.rule_version;
        Failure::new(
            ErrorKind::Plan,
            format!(
                "the rule's version {version} does not fit this config any more: {}",
                wrong.join("; ")
            ),
        )
    })
}

async fn fail_all(mill: &Arc<Mill>, job: &Job, lease: LeaseNumber, failure: &Failure) -> Result<Parting, StoreError> {
    let mut job = job.clone();
    while let Some(task) = job.tasks.iter().find(|task| task.state == TaskState::Queued) {
        let event = Event::TaskFailed {
            task: task.id.clone(),
            failure: failure.clone(),
            findings: Vec::new(),
        };
        job = mill
            .store
            .apply(&job.id, Some(lease), &[event], Timestamp::now())
            .await?;
    }
    log_end(&job);
    Ok(Parting::Ended)
}

fn log_end(job: &Job) {
    let took = match (job.started, job.ended) {
        (Some(started), Some(ended)) => ended.duration_since(started).as_secs_f64(),
        _ => 0.0,
    };
    tracing::info!(
        job = %job.id, rule = %job.rule, bucket = %job.object.bucket, key = %job.object.key,
        state = job.state.as_str(), reason = job.reason.as_deref(), seconds = took, "job ended"
    );
}
