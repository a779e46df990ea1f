//! One job on demand: a person or another program asks for it, and no trigger.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::queue::short;
use super::requests::{ROUNDS, is_source_of};
use super::view::JobView;
use super::{App, AppError};
use crate::job::{Generation, Job, JobId, JobState, Priority};
use crate::object::{BucketName, Identity, Object, ObjectKey};
use crate::rule::book::LiveRule;
use crate::rule::matching::{is_own, judge};
use crate::store::{Acceptance, Accepted, JobFilter, NewJob};

/// The longest id of a wish, in characters.
const LONGEST_ID: usize = 200;

/// A wish for one job.
#[derive(Debug, Clone, Default)]
pub struct SubmitWish {
    /// The object's bucket.
    pub bucket: String,
    /// Under this rule.
    pub rule: String,
    /// Instead of the rule's own.
    pub priority: Option<i64>,
    /// Kept with the job.
    pub context: Option<String>,
    /// Carried out once within seven days.
    pub dedupe_id: Option<String>,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SubmitView {
    /// The job.
    pub job: JobView,
    /// What whoever asked should know: that the rule is disabled, what gave way, what the job waits for.
    pub notes: Vec<String>,
}

impl App {
    /// Makes a job for an object as it is now, whatever the ledger says of it, whether the rule is enabled or not,
    /// and whether its trigger matches or not. A job of the same rule and object that waits is cancelled; one that
    /// runs is stopped, and the new one starts once it has ended.
    ///
    /// # Errors
    /// Where there is no such rule or bucket, the object is not there or not complete, or the same wish was
    /// carried out before.
    pub async fn submit(&self, wish: &SubmitWish, key: &ObjectKey) -> Result<SubmitView, AppError> {
        let live = self.live(&wish.rule)?;
        let bucket: BucketName = wish
            .bucket
            .parse()
            .ok()
            .filter(|name| self.mill.buckets.contains_key(name))
            .ok_or_else(|| {
                let names: Vec<_> = self.mill.buckets.keys().map(BucketName::as_str).collect();
                let (wanted, there) = (wish.bucket.escape_debug(), names.join(", "));
                AppError::NotFound(format!("the config has no bucket \"{wanted}\"; it has {there}"))
            })?;
        if is_own(key) {
            return Err(AppError::BadRequest(format!(
                "{bucket}/{key} is Reelmill's own: it keeps its house there"
            )));
        }
        let priority = wish.priority.map(Priority::new).transpose();
        let priority = priority.map_err(|error| AppError::BadRequest(error.to_string()))?;
        let context = short(wish.context.as_deref(), "a context")?.map(str::to_owned);
        let dedupe = short(wish.dedupe_id.as_deref(), "a dedupe id")?.map(str::to_owned);
        if dedupe.as_ref().is_some_and(|id| id.chars().count() > LONGEST_ID) {
            return Err(AppError::BadRequest(format!(
                "a dedupe id has at most {LONGEST_ID} characters"
            )));
        }
        for _ in 0..ROUNDS {
            let rules = std::slice::from_ref(&live.rule.name);
            let lines = self
                .mill
                .store
                .ledger(rules, &bucket, std::slice::from_ref(key))
                .await?;
            let active = self.active(&live, &bucket, key).await?;
            let identity = self.identity_of(&bucket, key).await?;
            let id = JobId::new(Timestamp::now(), rand::random());
            let job = NewJob::of(&live.rule, &live.text, id.clone(), None);
            let object = Object {
                bucket: bucket.clone(),
                key: key.clone(),
                identity: identity.clone(),
            };
            let after_success = job.after_success.clone();
            let acceptance = Acceptance {
                rule: live.rule.name.clone(),
                seen: lines.first().map_or(Generation(0), |line| line.generation),
                job: Some(NewJob {
                    priority: priority.unwrap_or(job.priority),
                    context: context.clone(),
                    dedupe: dedupe.clone(),
                    after_success: after_success.filter(|_| is_source_of(&live.rule, &object)),
                    ..job
                }),
                object,
                listed: None,
            };
            match self.mill.store.accept(vec![acceptance], Timestamp::now()).await?.pop() {
                Some(Accepted::Yes { superseded }) => {
                    for older in &superseded {
                        self.mill
                            .running
                            .stop(older, "superseded: the object was submitted again");
                    }
                    tracing::info!(job = %id, rule = %live.rule.name, %bucket, %key, "job submitted");
                    self.mill.queue_changed.notify_one();
                    let notes = notes(&live, &bucket, key, &identity, &active);
                    let job = self.job(id.as_str()).await?;
                    return Ok(SubmitView { job, notes });
                }
                Some(Accepted::Doubled(first)) => {
                    return Err(AppError::Conflict(format!(
                        "this was asked for within the last 7 days: job {first} was made for the dedupe id \"{}\"",
                        dedupe.unwrap_or_default().escape_debug()
                    )));
                }
                Some(Accepted::Stale) | None => {}
            }
        }
        Err(AppError::Unavailable(
            "the object keeps changing: try again once it stays as it is".to_owned(),
        ))
    }

    async fn active(&self, live: &LiveRule, bucket: &BucketName, key: &ObjectKey) -> Result<Vec<Job>, AppError> {
        let filter = JobFilter {
            states: vec![JobState::Queued, JobState::Running],
            rule: Some(live.rule.name.clone()),
            bucket: Some(bucket.clone()),
            key: Some(key.clone()),
            limit: 10,
            ..JobFilter::default()
        };
        Ok(self.mill.store.jobs(&filter).await?)
    }

    async fn identity_of(&self, bucket: &BucketName, key: &ObjectKey) -> Result<Identity, AppError> {
        let object = Object {
            bucket: bucket.clone(),
            key: key.clone(),
            identity: Identity::local(0, 0),
        };
        self.identity_now(&object).await
    }
}

fn notes(live: &LiveRule, bucket: &BucketName, key: &ObjectKey, identity: &Identity, active: &[Job]) -> Vec<String> {
    let rule = &live.rule;
    let mut notes = Vec::new();
    if !live.enabled {
        notes.push(format!(
            "the rule \"{}\" is disabled; this job runs all the same",
            rule.name
        ));
    }
    if &rule.trigger.bucket == bucket {
        let reasons: Vec<_> = judge(rule, key, Some(identity.size))
            .iter()
            .map(ToString::to_string)
            .collect();
        if !reasons.is_empty() {
            let reasons = reasons.join("; ");
            notes.push(format!(
                "the rule's trigger does not take this object ({reasons}); this job runs all the same"
            ));
        }
    } else {
        let watched = &rule.trigger.bucket;
        notes.push(format!(
            "the rule watches the bucket {watched}, not {bucket}; this job runs all the same"
        ));
    }
    let object = Object {
        bucket: bucket.clone(),
        key: key.clone(),
        identity: identity.clone(),
    };
    if rule.after_success.is_some() && !is_source_of(rule, &object) {
        notes.push("it stays where it is: `after_success` is for what the trigger takes".to_owned());
    }
    for older in active {
        notes.push(match older.state {
            JobState::Running => format!(
                "job {} ran for this object: it is stopped, and this one starts once it has ended",
                older.id
            ),
            _ => format!(
                "job {} waited for this object: it is cancelled, and this one takes its place",
                older.id
            ),
        });
    }
    notes
}
