//! What a surface can ask for. API and command line call this and hold no logic of their own.
//!
//! Answers are plain data ([`view`]) that serialize as they are. Nothing here keeps state: everything comes
//! from the shared [`Mill`], and every change goes through the store.

pub mod explain;
pub mod queue;
mod requests;
pub mod status;
pub mod submit;
pub mod view;
pub mod waiting;

use std::sync::Arc;

use jiff::Timestamp;

use crate::job::{Job, JobId};
use crate::service::mill::Mill;
use crate::store::{JobFilter, StoreError};
use view::JobView;

/// How many of the newest jobs are searched for a shortened id.
const SEARCHED: u32 = 5000;

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
    /// Where the store does not answer.
    pub async fn jobs(&self, filter: &JobFilter) -> Result<Vec<JobView>, AppError> {
        let mut filter = filter.clone();
        filter.limit = filter.limit.clamp(1, MOST_JOBS);
        let jobs = self.mill.store.jobs(&filter).await?;
        let mut views = Vec::with_capacity(jobs.len());
        for job in &jobs {
            views.push(self.view(job).await?);
        }
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

    /// Has the rule files read again.
    pub fn reload(&self) {
        self.mill.rules_changed.notify_one();
    }

    async fn view(&self, job: &Job) -> Result<JobView, AppError> {
        let outputs = self.mill.store.outputs(&job.id).await?;
        let running = self.mill.running.get(&job.id);
        Ok(JobView::new(
            job,
            &outputs,
            running.as_ref(),
            &self.mill.config,
            Timestamp::now(),
        ))
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
        let mut found: Vec<Job> = Vec::new();
        let mut filter = JobFilter {
            limit: MOST_JOBS,
            ..JobFilter::default()
        };
        for _ in 0..SEARCHED / MOST_JOBS {
            let page = self.mill.store.jobs(&filter).await?;
            let Some(last) = page.last() else { break };
            filter.before = Some(last.id.clone());
            found.extend(page.into_iter().filter(|job| {
                let id = job.id.as_str();
                id.starts_with(&part) || id.ends_with(&part)
            }));
        }
        match found.as_slice() {
            [] => Err(AppError::NotFound(format!(
                "no job among the newest {SEARCHED} has an id that begins or ends with {part}"
            ))),
            [_] => Ok(found.remove(0)),
            [first, second, ..] => Err(AppError::Conflict(format!(
                "{part} fits {} jobs, {} and {} among them: give more of the id",
                found.len(),
                first.id,
                second.id
            ))),
        }
    }
}
