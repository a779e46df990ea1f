//! What a surface can ask for. API and command line call this and hold no logic of their own.
//!
//! Answers are plain data ([`view`]) that serialize as they are. Nothing here keeps state: everything comes
//! from the shared [`Mill`], and every change goes through the store.

pub mod backup;
pub mod buckets;
pub mod explain;
pub mod holding;
pub mod quarantine;
pub mod queue;
mod requests;
pub mod status;
pub mod submit;
pub mod view;
mod waiting;
pub mod watch;

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;

use crate::bucket::Bucket;
use crate::diagnostic::did_you_mean;
use crate::job::{Job, JobId, JobState};
use crate::object::BucketName;
use crate::plan::KeptProvenance;
use crate::rule::RuleName;
use crate::service::mill::Mill;
use crate::store::{JobFilter, OutputRecord, StoreError};
use view::{JobView, SourceView};

/// How many of the newest jobs are searched for the end of an id.
const SEARCHED: u32 = 5000;

/// How many ids that fit are counted before it is just "several".
const NAMED: u32 = 3;

/// The most jobs that one answer lists.
pub const MOST_JOBS: u32 = 1000;

/// The door for surfaces.
#[derive(Clone)]
pub struct App {
    /// What the services share.
    pub mill: Arc<Mill>,
}

/// Why something that was asked for cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppError {
    /// Nothing of that name.
    #[error("{0}")]
    NotFound(String),
    /// What was asked for does not go with how things stand.
    #[error("{0}")]
    Conflict(String),
    /// The question itself is wrong.
    #[error("{0}")]
    BadRequest(String),
    /// The daemon may not do what was asked for.
    #[error("{0}")]
    Forbidden(String),
    /// Cannot be answered just now.
    #[error("{0}")]
    Unavailable(String),
    /// A fault of the program or of its database.
    #[error("{0}")]
    Internal(String),
}

impl AppError {
    /// The one spelling of the kind.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "not_found",
            Self::Conflict(_) => "conflict",
            Self::BadRequest(_) => "bad_request",
            Self::Forbidden(_) => "forbidden",
            Self::Unavailable(_) => "unavailable",
            Self::Internal(_) => "internal",
        }
    }
}

impl From<StoreError> for AppError {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::NotFound(_) => Self::NotFound(error.to_string()),
            StoreError::LeaseLost(_) | StoreError::Illegal(_) => Self::Conflict(error.to_string()),
            StoreError::Permanent(_) => Self::Internal(error.to_string()),
            StoreError::Transient(source) => Self::Unavailable(format!("{error}: {source}")),
        }
    }
}

impl App {
    /// Jobs, newest first.
    ///
    /// # Errors
    /// Where a rule or bucket is asked for that nobody knows, or the store does not answer.
    pub async fn list(&self, filter: &JobFilter) -> Result<Vec<JobView>, AppError> {
        if let Some(rule) = &filter.rule {
            self.known_rule(rule).await?;
        }
        if let Some(bucket) = &filter.bucket {
            self.known_bucket(bucket.as_str())?;
        }
        self.jobs(filter).await
    }

    async fn jobs(&self, filter: &JobFilter) -> Result<Vec<JobView>, AppError> {
        let mut filter = filter.clone();
        filter.limit = filter.limit.clamp(1, MOST_JOBS);
        let jobs = self.mill.store.jobs(&filter).await?;
        let mut views = self.views(&jobs).await?;
        self.tell_waits(&mut views).await?;
        Ok(views)
    }

    /// One job, with what its probe said, by its id or by a beginning or ending that only it has.
    ///
    /// # Errors
    /// Where there is none or more than one, or the store does not answer.
    pub async fn job(&self, id: &str) -> Result<JobView, AppError> {
        let job = self.find(id).await?;
        let mut view = self.view(&job).await?;
        self.tell_waits(std::slice::from_mut(&mut view)).await?;
        view.media = job.media.as_deref().and_then(|text| serde_json::from_str(text).ok());
        Ok(view)
    }

    /// How the outputs of a job came to be, by task.
    ///
    /// # Errors
    /// Where there is no such job.
    pub async fn provenance(&self, id: &str) -> Result<Vec<KeptProvenance>, AppError> {
        let job = self.find(id).await?;
        let kept = self.mill.store.provenance(&job.id).await?;
        let read = |text: &String| serde_json::from_str(text).map_err(|error| AppError::Internal(error.to_string()));
        kept.iter().map(read).collect()
    }

    /// Has the rule files read again.
    pub fn reload(&self) {
        self.mill.rules_changed.notify_one();
    }

    async fn view(&self, job: &Job) -> Result<JobView, AppError> {
        let views = self.views(std::slice::from_ref(job)).await?;
        views
            .into_iter()
            .next()
            .ok_or_else(|| AppError::Internal(format!("job {} cannot be shown", job.id)))
    }

    /// Several at once: their outputs, and what became of their sources, are read in one go.
    async fn views(&self, jobs: &[Job]) -> Result<Vec<JobView>, AppError> {
        let ids: Vec<JobId> = jobs.iter().map(|job| job.id.clone()).collect();
        let mut of_job: HashMap<JobId, Vec<OutputRecord>> = HashMap::with_capacity(jobs.len());
        for output in self.mill.store.outputs_of(&ids).await? {
            of_job.entry(output.job.clone()).or_default().push(output);
        }
        let wishing = |job: &&Job| job.after_success.is_some() && job.state == JobState::Succeeded;
        let wishing: Vec<JobId> = jobs.iter().filter(wishing).map(|job| job.id.clone()).collect();
        let mut steps = HashMap::new();
        if !wishing.is_empty() {
            let found = self.mill.store.source_steps_of(&wishing).await?;
            steps.extend(found.into_iter().map(|step| (step.job.clone(), SourceView::new(&step))));
        }
        Ok(jobs
            .iter()
            .map(|job| JobView {
                source: steps.remove(&job.id),
                ..self.with_outputs(job, of_job.get(&job.id).map_or(&[][..], Vec::as_slice))
            })
            .collect())
    }

    fn with_outputs(&self, job: &Job, outputs: &[OutputRecord]) -> JobView {
        let running = self.mill.running.get(&job.id);
        JobView::new(job, outputs, running.as_ref(), &self.mill.config, Timestamp::now())
    }

    /// Refuses a rule that neither the rule book nor any job knows.
    async fn known_rule(&self, name: &RuleName) -> Result<(), AppError> {
        let book = self.mill.book.get();
        if book.get(name).is_some() {
            return Ok(());
        }
        let counts = self.mill.store.counts().await?;
        if counts.iter().any(|count| &count.rule == name) {
            return Ok(());
        }
        let names = book.rules.iter().map(|live| live.rule.name.as_str());
        Err(AppError::NotFound(no_such("rule", name.as_str(), names)))
    }

    fn known_bucket(&self, name: &str) -> Result<(&BucketName, &Arc<dyn Bucket>), AppError> {
        let parsed = name.parse::<BucketName>().ok();
        parsed
            .and_then(|parsed| self.mill.buckets.get_key_value(&parsed))
            .ok_or_else(|| {
                let names = self.mill.buckets.keys().map(BucketName::as_str);
                AppError::NotFound(no_such("bucket", name, names))
            })
    }

    /// The job with this id, or the only one whose id begins or ends so.
    async fn find(&self, id: &str) -> Result<Job, AppError> {
        if let Ok(id) = JobId::parse(id) {
            return Ok(self.mill.store.job(&id).await?);
        }
        let part = id.to_ascii_lowercase();
        if part.len() < 3 || !part.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(AppError::BadRequest(format!(
                "\"{}\" is no job id: 15 letters and digits, or at least 3 from its beginning or end",
                id.escape_debug()
            )));
        }
        let found = self.mill.store.ids(&part, SEARCHED, NAMED).await?;
        match found.as_slice() {
            [] => Err(AppError::NotFound(format!(
                "no job has an id that begins with {part}, nor do any of the newest {SEARCHED} end so; `reelmill jobs list` shows them"
            ))),
            [only] => Ok(self.mill.store.job(only).await?),
            [first, second, more @ ..] => Err(AppError::Conflict(format!(
                "{part} fits {} jobs, {first} and {second} among them: give more of the id",
                if more.is_empty() { "2" } else { "several" },
            ))),
        }
    }
}

/// Nothing of this name, and what was probably meant.
fn no_such<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.collect();
    let hint = match (did_you_mean(name, known.iter().copied()), known.as_slice()) {
        (Some(meant), _) => format!("did you mean \"{meant}\"?"),
        (None, []) => "there is none at all".to_owned(),
        (None, [only]) => format!("there is only \"{only}\""),
        (None, some) if some.len() <= 12 => format!("there are {}", some.join(", ")),
        (None, many) => format!(
            "there are {} others; `reelmill status` and `reelmill rules` list them",
            many.len()
        ),
    };
    format!("there is no {what} \"{}\"; {hint}", name.escape_debug())
}
