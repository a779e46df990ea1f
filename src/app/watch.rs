//! What somebody sees who watches the mill at work: one answer holds everything that may have changed since the last.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::status::by_state;
use super::view::JobView;
use super::{App, AppError, MOST_JOBS};
use crate::job::{Job, JobId, JobState};
use crate::store::{JobFilter, StoreError};

/// The mill at this moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WatchView {
    /// When the daemon started: another time is another daemon.
    pub started: Timestamp,
    /// To be handed in with the next question as it is.
    pub cursor: String,
    /// Runs at once.
    pub slots: u32,
    /// Jobs by state.
    pub queue: BTreeMap<String, u64>,
    /// Jobs that run, the first to have begun first.
    pub running: Vec<JobView>,
    /// Jobs that were let go of since `cursor`: most have ended, some wait for another attempt.
    pub left: Vec<JobView>,
    /// The jobs that were asked about, as far as they are kept.
    pub named: Vec<JobView>,
}

impl App {
    /// The mill at this moment, with what happened since `cursor` and how these jobs stand.
    ///
    /// # Errors
    /// Where the store does not answer.
    pub async fn watch(&self, cursor: Option<&str>, named: &[JobId]) -> Result<WatchView, AppError> {
        let epoch = self.mill.started.as_millisecond();
        let known = match cursor {
            None => u64::MAX,
            // What another daemon said is no news of this one: all that it did is.
            Some(text) => text
                .split_once('-')
                .filter(|(of, _)| of.parse() == Ok(epoch))
                .and_then(|(_, count)| count.parse().ok())
                .unwrap_or(0),
        };
        let (now, departed) = self.mill.running.departed(known);
        let filter = JobFilter {
            states: vec![JobState::Running],
            limit: MOST_JOBS,
            ..JobFilter::default()
        };
        let mut running = self.jobs(&filter).await?;
        running.sort_by(|a, b| (a.started, &a.id).cmp(&(b.started, &b.id)));
        let counts = self.mill.store.counts().await?;
        Ok(WatchView {
            started: self.mill.started,
            cursor: format!("{epoch}-{now}"),
            slots: self.mill.config.workers.slots,
            queue: by_state(&counts, None),
            running,
            left: self.views(&self.kept(&departed).await?).await?,
            named: self.views(&self.kept(named).await?).await?,
        })
    }

    async fn kept(&self, ids: &[JobId]) -> Result<Vec<Job>, AppError> {
        let mut jobs = Vec::with_capacity(ids.len());
        for id in ids {
            match self.mill.store.job(id).await {
                Ok(job) => jobs.push(job),
                Err(StoreError::NotFound(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(jobs)
    }
}
