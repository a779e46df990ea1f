//! Jobs as people and programs see them: plain data with the spelling of the API.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::waiting::WaitView;
use crate::config::Config;
use crate::job::{Failure, Finding, Job, JobState, TaskRecord, TaskState};
use crate::object::{BucketName, ObjectKey};
use crate::rule::TaskId;
use crate::service::mill::RunningJob;
use crate::store::{OutputRecord, OutputState};

/// A job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobView {
    /// Its name.
    pub id: String,
    /// The rule that wanted it.
    pub rule: String,
    /// The version of the rule that it keeps.
    pub rule_version: String,
    /// The bucket of its object.
    pub bucket: String,
    /// The object's key, readable.
    pub key: String,
    /// The true key in base64, only where it is not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_bytes: Option<String>,
    /// Which version of the object, in the one text form.
    pub identity: String,
    /// Size of the object in bytes.
    pub size: u64,
    /// Which identity of the key this is, for this rule.
    pub generation: u64,
    /// `queued`, `running`, `succeeded`, `failed`, `cancelled`.
    pub state: JobState,
    /// Why it stands there, where that is not plain.
    pub reason: Option<String>,
    /// -10 ..= 10.
    pub priority: i64,
    /// Runs started that counted.
    pub attempt: u32,
    /// When it was made.
    pub created: Timestamp,
    /// When it was first taken.
    pub started: Option<Timestamp>,
    /// When it reached a final state.
    pub ended: Option<Timestamp>,
    /// Waits for this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// A repetition of this job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<String>,
    /// What whoever asked for it gave along with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// What it waits for while it is queued, where its rule or the mill is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits: Option<WaitView>,
    /// 0 ..= 1; none where it cannot be told.
    pub progress: Option<f64>,
    /// What the daemon does for it just now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work: Option<WorkView>,
    /// Its tasks, in the order of the rule.
    pub tasks: Vec<TaskView>,
    /// The note that says why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<OutputView>,
    /// What the probe said; only where one job is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media: Option<serde_json::Value>,
}

/// A task of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskView {
    /// Unique within the job.
    pub id: String,
    /// `transcode`, `snapshot` ...
    pub kind: String,
    /// `waiting`, `queued`, `running`, `succeeded`, `failed`, `blocked`, `skipped`, `cancelled`.
    pub state: TaskState,
    /// Attempts that counted.
    pub attempts: u32,
    /// Of the last attempt that failed.
    pub error: Option<Failure>,
    /// What was noticed about the medium.
    pub findings: Vec<Finding>,
    /// First start.
    pub started: Option<Timestamp>,
    /// Final state reached.
    pub ended: Option<Timestamp>,
    /// What it published.
    pub outputs: Vec<OutputView>,
}

/// A published object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OutputView {
    /// Where.
    pub bucket: String,
    /// Its key, readable.
    pub key: String,
    /// The true key in base64, only where it is not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_bytes: Option<String>,
    /// In bytes.
    pub size: u64,
    /// SHA-256 in hexadecimal.
    pub checksum: String,
    /// The file, readable, where the bucket is a local directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// How far a running job is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkView {
    /// `starting`, `probing`, `working`, `publishing`.
    pub phase: String,
    /// Seconds of the medium that are done.
    pub position: f64,
    /// Seconds that the medium lasts, where known.
    pub duration: Option<f64>,
    /// Seconds of the medium done in a second.
    pub speed: Option<f64>,
    /// Seconds that the present run will take from here.
    pub eta: Option<f64>,
}

/// A key for JSON: readable text, and the bytes where the text is not the whole truth.
#[must_use]
pub fn key_texts(key: &ObjectKey) -> (String, Option<String>) {
    match std::str::from_utf8(key.as_bytes()) {
        Ok(text) => (text.to_owned(), None),
        Err(_) => (
            String::from_utf8_lossy(key.as_bytes()).into_owned(),
            Some(STANDARD.encode(key.as_bytes())),
        ),
    }
}

impl JobView {
    /// Puts together what store and daemon know of a job.
    #[must_use]
    pub fn new(
        job: &Job,
        outputs: &[OutputRecord],
        running: Option<&RunningJob>,
        config: &Config,
        now: Timestamp,
    ) -> Self {
        let running = running.filter(|_| job.state == JobState::Running);
        let work = running.map(|running| WorkView::new(running, now));
        Self {
            progress: progress(job, work.as_ref()),
            work,
            ..Self::assemble(job, outputs, Some(config))
        }
    }

    /// What the store alone knows of a job: no progress, no files of outputs.
    #[must_use]
    pub fn bare(job: &Job, outputs: &[OutputRecord]) -> Self {
        Self::assemble(job, outputs, None)
    }

    fn assemble(job: &Job, outputs: &[OutputRecord], config: Option<&Config>) -> Self {
        let (key, key_bytes) = key_texts(&job.object.key);
        let of = |task: Option<&TaskId>| -> Vec<OutputView> {
            outputs
                .iter()
                .filter(|output| output.task.as_ref() == task)
                .filter(|output| matches!(output.state, OutputState::Published | OutputState::Superseded))
                .map(|output| OutputView::new(output, config))
                .collect()
        };
        Self {
            id: job.id.to_string(),
            rule: job.rule.to_string(),
            rule_version: job.rule_version.to_string(),
            bucket: job.object.bucket.to_string(),
            key,
            key_bytes,
            identity: job.object.identity.to_string(),
            size: job.object.identity.size,
            generation: job.generation.0,
            state: job.state,
            reason: job.reason.clone(),
            priority: job.priority.get(),
            attempt: job.attempt,
            created: job.created,
            started: job.started,
            ended: job.ended,
            not_before: job.not_before.filter(|_| job.state == JobState::Queued),
            retry_of: job.retry_of.as_ref().map(ToString::to_string),
            context: job.context.clone(),
            waits: None,
            progress: progress(job, None),
            work: None,
            tasks: job
                .tasks
                .iter()
                .map(|task| TaskView::new(task, of(Some(&task.id))))
                .collect(),
            note: of(None).into_iter().next(),
            media: None,
        }
    }
}

impl TaskView {
    fn new(task: &TaskRecord, outputs: Vec<OutputView>) -> Self {
        Self {
            id: task.id.to_string(),
            kind: task.kind.clone(),
            state: task.state,
            attempts: task.attempts,
            error: task.error.clone(),
            findings: task.findings.clone(),
            started: task.started,
            ended: task.ended,
            outputs,
        }
    }
}

impl OutputView {
    fn new(output: &OutputRecord, config: Option<&Config>) -> Self {
        let (key, key_bytes) = key_texts(&output.key);
        Self {
            path: config.and_then(|config| path_of(&output.bucket, &output.key, config)),
            bucket: output.bucket.to_string(),
            key,
            key_bytes,
            size: output.identity.size,
            checksum: output.checksum.clone(),
        }
    }
}

impl WorkView {
    /// How far a job is that runs here.
    #[must_use]
    pub fn new(running: &RunningJob, now: Timestamp) -> Self {
        let seconds = |ns: u64| ns as f64 / 1e9;
        let position = seconds(running.progress.position_ns);
        let duration = running.progress.duration_ns.map(seconds);
        let wall = running.at.min(now).duration_since(running.since).as_secs_f64();
        let speed = (wall > 0.5 && position > 0.0).then(|| position / wall);
        let eta = speed
            .zip(duration)
            .map(|(speed, duration)| ((duration - position) / speed).max(0.0));
        Self {
            phase: running.phase.to_owned(),
            position,
            duration,
            speed,
            eta,
        }
    }
}

/// Tasks that ended count whole, those at work by the position of their run.
fn progress(job: &Job, work: Option<&WorkView>) -> Option<f64> {
    match job.state {
        JobState::Succeeded => Some(1.0),
        JobState::Running if !job.tasks.is_empty() => {
            let ended = job.tasks.iter().filter(|task| task.state.is_final());
            let at_work = job.tasks.iter().filter(|task| task.state == TaskState::Running);
            let part = work.and_then(|work| {
                let duration = work.duration.filter(|duration| *duration > 0.0)?;
                Some((work.position / duration).clamp(0.0, 1.0))
            });
            let (ended, at_work) = (ended.count() as f64, at_work.count() as f64);
            if at_work > 0.0 && part.is_none() && ended == 0.0 {
                return None;
            }
            let whole = job.tasks.len() as f64;
            Some(((ended + at_work * part.unwrap_or(0.0)) / whole).clamp(0.0, 1.0))
        }
        _ => None,
    }
}

/// The file of a key in a local bucket, readable.
fn path_of(bucket: &BucketName, key: &ObjectKey, config: &Config) -> Option<String> {
    use std::os::unix::ffi::OsStrExt;
    let root = &config.buckets.get(bucket)?.path;
    let path = root.join(std::ffi::OsStr::from_bytes(key.as_bytes()));
    Some(path.to_string_lossy().into_owned())
}
