//! What people may do to jobs: repeat one that ended, end one that has not.

use jiff::Timestamp;

use super::view::JobView;
use super::{App, AppError};
use crate::bucket::{BucketError, Resolved};
use crate::config::BucketConfig;
use crate::job::state::Event;
use crate::job::{Generation, Job, JobId, JobState};
use crate::object::{Identity, Object};
use crate::rule::Rule;
use crate::rule::matching::judge;
use crate::store::{Acceptance, Accepted, JobFilter, NewJob, NewTask};

/// How often a retry is decided anew when the ledger moves meanwhile.
pub(super) const ROUNDS: u32 = 5;

impl App {
    /// Makes a new job for the object of one that ended, as the object is now: under the newest version of
    /// the rule, or with `same_version` under the one that the old job had.
    ///
    /// # Errors
    /// Where the job has not ended, another works on the same object, or the object or the rule is gone.
    pub async fn retry(&self, id: &str, same_version: bool) -> Result<JobView, AppError> {
        let old = self.find(id).await?;
        if !old.state.is_final() {
            return Err(AppError::Conflict(format!(
                "job {} is {}: only a job that ended can be repeated",
                old.id,
                old.state.as_str()
            )));
        }
        for _ in 0..ROUNDS {
            self.refuse_where_another_works(&old).await?;
            let seen = self.generation(&old).await?;
            let identity = self.identity_now(&old.object).await?;
            let job = self.repetition(&old, same_version).await?;
            let id = job.id.clone();
            let acceptance = Acceptance {
                rule: old.rule.clone(),
                object: Object {
                    identity,
                    ..old.object.clone()
                },
                seen,
                job: Some(job),
                listed: None,
            };
            let answers = self.mill.store.accept(vec![acceptance], Timestamp::now());
            if let Some(Accepted::Yes { superseded }) = answers.await?.pop() {
                for older in superseded {
                    self.mill.running.stop(&older, "superseded");
                }
                self.mill.queue_changed.notify_one();
                return self.job(id.as_str()).await;
            }
        }
        Err(AppError::Unavailable(
            "the object keeps changing: try again once it stays as it is".to_owned(),
        ))
    }

    /// Ends a job that has not ended. One that is being worked on here ends as soon as its worker is
    /// stopped; the answer may still call it `running`.
    ///
    /// # Errors
    /// Where there is no such job or it has ended.
    pub async fn cancel(&self, id: &str, reason: Option<&str>) -> Result<JobView, AppError> {
        let job = self.find(id).await?;
        if job.state.is_final() {
            return Err(AppError::Conflict(format!(
                "job {} has ended already: {}",
                job.id,
                job.state.as_str()
            )));
        }
        let reason = reason.map(str::trim).filter(|text| !text.is_empty()).map_or_else(
            || "cancelled by hand".to_owned(),
            |text| format!("cancelled by hand: {text}"),
        );
        if !self.mill.running.stop(&job.id, &reason) {
            let event = Event::Cancelled { reason: reason.clone() };
            let now = Timestamp::now();
            self.mill.store.apply(&job.id, None, &[event], now).await?;
            // It may have been taken between the question and the write.
            self.mill.running.stop(&job.id, &reason);
            self.mill.queue_changed.notify_one();
        }
        self.job(job.id.as_str()).await
    }

    async fn refuse_where_another_works(&self, old: &Job) -> Result<(), AppError> {
        let filter = JobFilter {
            states: vec![JobState::Queued, JobState::Running],
            rule: Some(old.rule.clone()),
            bucket: Some(old.object.bucket.clone()),
            key: Some(old.object.key.clone()),
            limit: 1,
            ..JobFilter::default()
        };
        match self.mill.store.jobs(&filter).await?.first() {
            None => Ok(()),
            Some(active) => Err(AppError::Conflict(format!(
                "job {} is {} for the same object and rule already",
                active.id,
                active.state.as_str()
            ))),
        }
    }

    async fn generation(&self, old: &Job) -> Result<Generation, AppError> {
        let lines = self
            .mill
            .store
            .ledger(
                std::slice::from_ref(&old.rule),
                &old.object.bucket,
                std::slice::from_ref(&old.object.key),
            )
            .await?;
        Ok(lines.first().map(|line| line.generation).unwrap_or_default())
    }

    /// The identity of a complete object, as its bucket says now. Where completeness cannot be asked of the
    /// system, this waits for `settle` once.
    pub(super) async fn identity_now(&self, object: &Object) -> Result<Identity, AppError> {
        let bucket = self
            .mill
            .buckets
            .get(&object.bucket)
            .ok_or_else(|| AppError::NotFound(format!("the config has no bucket {} any more", object.bucket)))?;
        let first = bucket
            .resolve(&object.key)
            .await
            .map_err(|error| bucket_error(&error))?;
        let last = match &first {
            Resolved::Settling { .. } => {
                let settle = self
                    .mill
                    .config
                    .buckets
                    .get(&object.bucket)
                    .and_then(BucketConfig::local)
                    .map_or(std::time::Duration::from_secs(2), |local| local.settle);
                tokio::time::sleep(settle).await;
                bucket
                    .resolve(&object.key)
                    .await
                    .map_err(|error| bucket_error(&error))?
            }
            _ => first.clone(),
        };
        match last {
            Resolved::Complete(identity) | Resolved::Ours(identity) => Ok(identity),
            Resolved::Settling { ref identity, .. } if last == first => Ok(identity.clone()),
            Resolved::Settling { .. } | Resolved::Busy => Err(AppError::Conflict(format!(
                "somebody is writing to {}/{}: ask again once it is complete",
                object.bucket, object.key
            ))),
            Resolved::NotAFile => Err(AppError::NotFound(format!(
                "{}/{} is no plain file; directories and symbolic links are not worked on",
                object.bucket, object.key
            ))),
            Resolved::Gone => Err(AppError::NotFound(format!(
                "{}/{} is not there",
                object.bucket, object.key
            ))),
        }
    }

    async fn repetition(&self, old: &Job, same_version: bool) -> Result<NewJob, AppError> {
        let id = JobId::new(Timestamp::now(), rand::random());
        if same_version {
            return Ok(NewJob {
                id,
                rule_version: old.rule_version.clone(),
                rule_text: self.mill.store.rule_text(&old.rule_version).await?,
                priority: old.priority,
                tasks: old
                    .tasks
                    .iter()
                    .map(|task| NewTask {
                        id: task.id.clone(),
                        kind: task.kind.clone(),
                        after: task.after.clone(),
                        when: task.when,
                    })
                    .collect(),
                retry_of: Some(old.id.clone()),
                context: old.context.clone(),
                dedupe: None,
                after_success: old.after_success.clone(),
            });
        }
        let book = self.mill.book.get();
        let live = book.get(&old.rule).ok_or_else(|| {
            AppError::Conflict(format!(
                "there is no rule \"{}\" any more; --same-version repeats the job as it was",
                old.rule
            ))
        })?;
        let mut new = NewJob::of(&live.rule, &live.text, id, Some(old.id.clone()));
        new.context.clone_from(&old.context);
        if !is_source_of(&live.rule, &old.object) {
            new.after_success = None;
        }
        Ok(new)
    }
}

/// Whether the rule's trigger takes this object. What is only worked on because somebody asked for it is no source of
/// the rule, and `after_success` does not hold for it.
pub(super) fn is_source_of(rule: &Rule, object: &Object) -> bool {
    rule.trigger.bucket == object.bucket && judge(rule, &object.key, Some(object.identity.size)).is_empty()
}

/// A bucket's refusal in a surface's words.
pub(super) fn bucket_error(error: &BucketError) -> AppError {
    let text = crate::service::with_causes(error);
    match error {
        BucketError::NotFound(_) => AppError::NotFound(text),
        BucketError::Permanent { .. } | BucketError::Changed(_) => AppError::Conflict(text),
        BucketError::Transient { .. } => AppError::Unavailable(text),
    }
}
