//! Jobs as people and programs see them: plain data with the spelling of the API.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::holding::WaitView;
use crate::config::Config;
use crate::job::source::{SourceStep, StepState};
use crate::job::{Failure, Finding, Job, JobState, TaskRecord, TaskState};
use crate::object::{BucketName, ObjectKey};
use crate::rule::TaskId;
use crate::rule::source::AfterSuccess;
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
    /// What became of the source after success, where the rule says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceView>,
    /// What the probe said; only where one job is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media: Option<serde_json::Value>,
}

/// What became of the source after success.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SourceView {
    /// `delete` or `move`.
    pub wish: String,
    /// `due`, `held`, `done`, `given_up`.
    pub state: String,
    /// Why it waits, is held or was given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Where it was moved to, readable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// When it was done or given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
}

impl SourceView {
    /// A step as people see it.
    #[must_use]
    pub fn new(step: &SourceStep) -> Self {
        Self {
            wish: match step.wish {
                AfterSuccess::Delete => "delete",
                AfterSuccess::Move { .. } => "move",
            }
            .to_owned(),
            state: step.state.as_str().to_owned(),
            reason: step.reason.clone(),
            target: step
                .target
                .as_ref()
                .filter(|_| step.state == StepState::Done)
                .map(|key| key_texts(key).0),
            ended: step.ended,
        }
    }

    /// In words, to follow "the source".
    #[must_use]
    pub fn words(&self) -> String {
        let because = self
            .reason
            .as_ref()
            .map_or_else(String::new, |reason| format!(": {reason}"));
        let (goes, went) = match self.wish.as_str() {
            "delete" => ("will be deleted", "was deleted"),
            _ => ("will be moved away", "was moved"),
        };
        match (self.state.as_str(), &self.target) {
            ("done", Some(target)) => format!("{went} to {target}"),
            ("done", None) => went.to_owned(),
            ("due", _) => format!("{goes}{because}"),
            _ => format!("stays{because}"),
        }
    }
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
    /// `starting`, `probing`, `working`, `finishing` (all of the medium is done; files are completed and read back),
    /// `publishing`.
    pub phase: String,
    /// Seconds since the work on it began.
    #[serde(default)]
    pub elapsed: f64,
    /// Seconds of the medium that are done.
    pub position: f64,
    /// Seconds that the medium lasts, where known.
    pub duration: Option<f64>,
    /// Bytes of the object that were read.
    #[serde(default)]
    pub bytes_read: u64,
    /// Seconds of the medium done in a second, over the last seconds.
    pub speed: Option<f64>,
    /// Seconds that the present run will take from here; none where that cannot be told.
    pub eta: Option<f64>,
    /// Tasks of the job that come after the present run; how long they take is not known.
    #[serde(default)]
    pub later: u32,
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
        let work = running.map(|running| WorkView::new(running, &job.tasks, now));
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
            source: None,
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
    pub fn new(running: &RunningJob, tasks: &[TaskRecord], now: Timestamp) -> Self {
        let seconds = |ns: u64| ns as f64 / 1e9;
        let end = running.progress.duration_ns.filter(|end| *end > 0);
        let working = running.phase == "working";
        let through = working && end.is_some_and(|end| running.progress.position_ns >= end - end / 500);
        let later = tasks
            .iter()
            .filter(|task| !task.state.is_final() && !running.tasks.contains(&task.id));
        let later = if running.tasks.is_empty() { 0 } else { later.count() };
        Self {
            phase: if through { "finishing" } else { running.phase }.to_owned(),
            elapsed: now.duration_since(running.since).as_secs_f64().max(0.0),
            position: seconds(running.progress.position_ns),
            duration: end.map(seconds),
            bytes_read: running.progress.bytes_read,
            speed: running.pace.speed(now).filter(|_| working && !through),
            eta: end
                .filter(|_| working && !through)
                .and_then(|end| running.pace.remaining(end, now)),
            later: u32::try_from(later).unwrap_or(u32::MAX),
        }
    }

    /// 0 ..= 1 of the present run; none where the medium's length or the position is not known.
    #[must_use]
    pub fn part(&self) -> Option<f64> {
        let duration = self.duration.filter(|_| self.position > 0.0)?;
        Some((self.position / duration).clamp(0.0, 1.0))
    }
}

/// The position of the present run, where nothing comes after it.
fn progress(job: &Job, work: Option<&WorkView>) -> Option<f64> {
    match job.state {
        JobState::Succeeded => Some(1.0),
        JobState::Running => work.filter(|work| work.later == 0).and_then(WorkView::part),
        _ => None,
    }
}

/// The file of a key in a local bucket, readable.
fn path_of(bucket: &BucketName, key: &ObjectKey, config: &Config) -> Option<String> {
    use std::os::unix::ffi::OsStrExt;
    let root = &config.buckets.get(bucket)?.local()?.path;
    let path = root.join(std::ffi::OsStr::from_bytes(key.as_bytes()));
    Some(path.to_string_lossy().into_owned())
}
