//! Why an object did or did not start a job: the same questions as intake asks, in the same order, answered
//! in words. Changes nothing.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::view::{JobView, key_texts};
use super::waiting::{Queue, waits_for};
use super::{App, AppError};
use crate::bucket::Resolved;
use crate::diagnostic::quantity::counted;
use crate::job::JobState;
use crate::object::{BucketName, Identity, ObjectKey};
use crate::rule::book::{ArmingMode, LiveRule};
use crate::rule::matching::is_ignored;
use crate::rule::{Rule, matching};
use crate::service::with_causes;
use crate::store::{JobFilter, LedgerEntry, OutputRecord};

/// How many of the newest jobs of a key are looked at.
const JOBS_READ: u32 = 200;

/// How many of them are told of each rule.
const JOBS_SHOWN: usize = 10;

/// Everything about one key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExplainView {
    /// Where.
    pub bucket: String,
    /// The key, readable.
    pub key: String,
    /// The true key in base64, only where it is not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_bytes: Option<String>,
    /// What the bucket says now.
    pub object: ObjectView,
    /// Why names like this are left alone, where they are.
    pub ignored: Option<String>,
    /// The job that made it, where Reelmill did.
    pub made_by: Option<MadeBy>,
    /// What each rule says, by name.
    pub rules: Vec<Verdict>,
    /// Rule files that are broken.
    pub broken: Vec<String>,
}

/// What the bucket says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectView {
    /// `complete`, `busy`, `settling`, `not_a_file`, `gone`, `offline`.
    pub state: String,
    /// In words.
    pub message: String,
    /// Which version of it, where it is there.
    pub identity: Option<String>,
    /// In bytes, where it is there.
    pub size: Option<u64>,
}

/// The origin of an output of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeBy {
    /// The job.
    pub job: String,
    /// Its rule.
    pub rule: String,
    /// Its source, as `bucket/key`.
    pub source: String,
}

/// What one rule says of the object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The rule.
    pub rule: String,
    /// `disabled`, `other_bucket`, `no_match`, `ignored_name`, `own_output`, `gone`, `not_a_file`, `busy`, `settling`,
    /// `offline`, `baseline`, `arming`, `would_start`, `changed`, `accepted`, `no_rule` (it is no more), or the
    /// state of its job.
    pub verdict: String,
    /// In words.
    pub message: String,
    /// The ledger's line, where there is one.
    pub ledger: Option<LedgerView>,
    /// Its newest jobs on this key.
    pub jobs: Vec<JobView>,
}

/// What the ledger knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerView {
    /// The identity last accepted.
    pub identity: String,
    /// Rises with every accepted identity.
    pub generation: u64,
    /// Accepted as old, without a job.
    pub baseline: bool,
    /// Since when the key is missing.
    pub gone_at: Option<Timestamp>,
}

/// The facts on which a verdict rests.
struct Facts<'a> {
    bucket: &'a BucketName,
    key: &'a ObjectKey,
    object: &'a ObjectView,
    identity: Option<&'a Identity>,
    ignored: Option<&'static str>,
    made: Option<&'a OutputRecord>,
    ledger: Option<&'a LedgerEntry>,
    jobs: &'a [JobView],
    queue: Queue,
}

impl App {
    /// Says for every rule why it would or would not start on this key.
    ///
    /// # Errors
    /// Where there is no such bucket, or the store does not answer.
    pub async fn explain(&self, bucket: &str, key: &ObjectKey) -> Result<ExplainView, AppError> {
        let (name, place) = self.known_bucket(bucket)?;
        let (object, identity) = match place.resolve(key).await {
            Ok(resolved) => describe(&resolved),
            Err(error) => (ObjectView::plain("offline", &with_causes(&error)), None),
        };
        let book = self.mill.book.get();
        let keys = std::slice::from_ref(key);
        let made = self.mill.store.own_outputs(name, keys).await?;
        let names: Vec<_> = book.rules.iter().map(|live| live.rule.name.clone()).collect();
        let ledger = self.mill.store.ledger(&names, name, keys).await?;
        let ignored = is_ignored(key);
        let filter = JobFilter {
            bucket: Some(name.clone()),
            key: Some(key.clone()),
            limit: JOBS_READ,
            ..JobFilter::default()
        };
        let mut of_rule: BTreeMap<String, Vec<JobView>> = BTreeMap::new();
        for job in self.jobs(&filter).await? {
            of_rule.entry(job.rule.clone()).or_default().push(job);
        }
        let queue = Queue {
            is_full: !self.mill.running.has_place(self.mill.config.workers.slots),
            slots: self.mill.config.workers.slots,
            now: Timestamp::now(),
        };
        let mut rules = Vec::new();
        for live in &book.rules {
            let mut jobs = of_rule.remove(live.rule.name.as_str()).unwrap_or_default();
            let facts = Facts {
                bucket: name,
                key,
                object: &object,
                identity: identity.as_ref(),
                ignored,
                made: made.first(),
                ledger: ledger.iter().find(|line| line.rule == live.rule.name),
                jobs: &jobs,
                queue,
            };
            let (verdict, message) = judge(live, &facts);
            let ledger = facts.ledger.map(LedgerView::new);
            jobs.truncate(JOBS_SHOWN);
            rules.push(Verdict {
                rule: live.rule.name.to_string(),
                verdict: verdict.to_owned(),
                message,
                ledger,
                jobs,
            });
        }
        // Rules that are no more.
        for (rule, mut jobs) in of_rule {
            let last = jobs.first().map_or_else(String::new, |job| about(job, &jobs, queue));
            jobs.truncate(JOBS_SHOWN);
            rules.push(Verdict {
                rule,
                verdict: "no_rule".to_owned(),
                message: format!("there is no such rule any more; {last}"),
                ledger: None,
                jobs,
            });
        }
        let (key, key_bytes) = key_texts(key);
        Ok(ExplainView {
            bucket: name.to_string(),
            key,
            key_bytes,
            object,
            ignored: ignored.map(str::to_owned),
            made_by: made.first().map(|output| MadeBy {
                job: output.job.to_string(),
                rule: output.rule.to_string(),
                source: format!("{}/{}", output.source_bucket, output.source_key),
            }),
            rules,
            broken: book.broken.iter().map(|broken| broken.file.clone()).collect(),
        })
    }
}

impl ObjectView {
    fn plain(state: &str, message: &str) -> Self {
        Self {
            state: state.to_owned(),
            message: message.to_owned(),
            identity: None,
            size: None,
        }
    }
}

impl LedgerView {
    fn new(line: &LedgerEntry) -> Self {
        Self {
            identity: line.identity.to_string(),
            generation: line.generation.0,
            baseline: line.baseline,
            gone_at: line.gone_at,
        }
    }
}

fn describe(resolved: &Resolved) -> (ObjectView, Option<Identity>) {
    let there = |state: &str, message: &str, identity: &Identity| {
        let view = ObjectView {
            identity: Some(identity.to_string()),
            size: Some(identity.size),
            ..ObjectView::plain(state, message)
        };
        (view, Some(identity.clone()))
    };
    match resolved {
        Resolved::Complete(identity) | Resolved::Ours(identity) => {
            there("complete", "it is there and complete", identity)
        }
        Resolved::Settling { identity, .. } => there(
            "settling",
            "it is there; whether somebody still writes to it cannot be asked here, so it must stay as it is for a while",
            identity,
        ),
        Resolved::Busy => {
            let words = "it is there, and somebody is still writing to it";
            (ObjectView::plain("busy", words), None)
        }
        Resolved::NotAFile => {
            let words = "it is a directory, a link or something else that is not a file";
            (ObjectView::plain("not_a_file", words), None)
        }
        Resolved::Gone => (ObjectView::plain("gone", "it is not there"), None),
    }
}

/// The verdict's code and sentence.
fn judge(live: &LiveRule, facts: &Facts) -> (&'static str, String) {
    let rule = &live.rule;
    if &rule.trigger.bucket != facts.bucket {
        let words = format!("it watches the bucket {}", rule.trigger.bucket);
        return ("other_bucket", words);
    }
    if let Some(job) = facts.jobs.iter().find(|job| !job.state.is_final()) {
        return (job.state.as_str(), about(job, facts.jobs, facts.queue));
    }
    if !live.enabled {
        let words = format!("it is disabled; `reelmill rules enable \"{}\"` turns it on", rule.name);
        return ("disabled", words);
    }
    if let Some(reason) = facts.ignored {
        return ("ignored_name", format!("names like this are left alone: {reason}"));
    }
    if let Some(words) = mismatch(rule, facts) {
        return ("no_match", words);
    }
    if let Some(output) = facts.made.filter(|_| !rule.trigger.outputs) {
        let words = format!(
            "job {} made this object, and outputs start nothing unless the rule says trigger.outputs = true",
            output.job
        );
        return ("own_output", words);
    }
    match facts.object.state.as_str() {
        "gone" => return ("gone", after_all(facts, "the object is not there")),
        "not_a_file" => return ("not_a_file", facts.object.message.clone()),
        "offline" => {
            return (
                "offline",
                format!("its bucket cannot be asked: {}", facts.object.message),
            );
        }
        "busy" => {
            return ("busy", "it waits: somebody is still writing to the object".to_owned());
        }
        _ => {}
    }
    judge_ledger(live, facts)
}

/// The object is there and wanted: what remains is whether it is new.
fn judge_ledger(live: &LiveRule, facts: &Facts) -> (&'static str, String) {
    let Some(known) = facts.ledger else {
        return match live.arming {
            Some(ArmingMode::Enabled) => (
                "arming",
                "the rule was enabled just now and is still writing down what was there before".to_owned(),
            ),
            Some(ArmingMode::Widened(_)) => (
                "arming",
                "the rule takes more than before, and is still writing down what was there already".to_owned(),
            ),
            None if facts.object.state == "settling" => (
                "settling",
                "it starts once the object has stayed as it is for a while".to_owned(),
            ),
            None => (
                "would_start",
                "it wants this object and will start as soon as the object is noticed, at the next listing at the latest".to_owned(),
            ),
        };
    };
    if Some(&known.identity) != facts.identity {
        return (
            "changed",
            "the object is a newer version than the one last accepted; it starts as soon as that is noticed".to_owned(),
        );
    }
    let job = facts.jobs.iter().find(|job| job.generation == known.generation.0);
    match job {
        Some(job) => (job.state.as_str(), about(job, facts.jobs, facts.queue)),
        None if known.baseline => (
            "baseline",
            "the object was there already when the rule was enabled or widened, so it counts as old (trigger.existing = \"ignore\"); \
             copy or touch it to start the rule"
                .to_owned(),
        ),
        None => (
            "accepted",
            "this version was accepted before, and its job is not kept any more".to_owned(),
        ),
    }
}

fn mismatch(rule: &Rule, facts: &Facts) -> Option<String> {
    let reasons: Vec<_> = matching::judge(rule, facts.key, facts.identity.map(|identity| identity.size))
        .iter()
        .map(ToString::to_string)
        .collect();
    (!reasons.is_empty()).then(|| reasons.join("; "))
}

/// What is missing may have been worked on before.
fn after_all(facts: &Facts, words: &str) -> String {
    let since = facts.ledger.and_then(|line| line.gone_at);
    let since = since.map_or_else(String::new, |since| format!(", missing since {since}"));
    match facts.jobs.first() {
        Some(job) => format!("{words} now{since}; {}", about(job, facts.jobs, facts.queue)),
        None if facts.ledger.is_some() => format!("{words} now{since}; it was there before, and started nothing"),
        None => format!("{words}, and never was as far as this rule knows"),
    }
}

/// What became of a job; `same` are the jobs of its rule and object.
fn about(job: &JobView, same: &[JobView], queue: Queue) -> String {
    let because = job
        .reason
        .as_ref()
        .map(|reason| format!(": {reason}"))
        .unwrap_or_default();
    match job.state {
        JobState::Queued => match &job.waits {
            Some(wait) => format!("job {} waits: {}", job.id, wait.message),
            None => format!("job {} waits {}", job.id, waits_for(job, same, queue)),
        },
        JobState::Running => {
            let phase = job.work.as_ref().map_or("starting", |work| work.phase.as_str());
            format!("job {} is at work on it ({phase})", job.id)
        }
        JobState::Succeeded => {
            let count: usize = job.tasks.iter().map(|task| task.outputs.len()).sum();
            let count = counted(count as u64, "output");
            let source = job
                .source
                .as_ref()
                .map_or_else(String::new, |source| format!("; the source {}", source.words()));
            format!("job {} did it and published {count}{source}", job.id)
        }
        JobState::Failed => {
            let error = job.tasks.iter().find_map(|task| task.error.as_ref());
            let why = error.map_or(because, |error| format!(": {}", error.message));
            format!("job {} failed{why}", job.id)
        }
        JobState::Cancelled => format!("job {} was cancelled{because}", job.id),
    }
}
