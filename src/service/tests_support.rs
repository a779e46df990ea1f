//! A mill for tests of the loops: a bucket in memory, and a store that keeps rules, the ledger and outputs.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};

use super::mill::Mill;
use crate::bucket::Bucket;
use crate::config::{self, BucketConfig, Config, LocalConfig, Place, Workers};
use crate::job::order::Ageing;
use crate::job::source::{SourceStep, StepState};
use crate::job::state::Event;
use crate::job::{Generation, Job, JobId, LeaseNumber, Priority};
use crate::object::{BucketName, Directory, Identity, ObjectKey};
use crate::rule::book::{ArmingMode, LiveRule, RuleBook};
use crate::rule::{
    Existing, Formats, Globs, OnFailure, OutputSpec, RetryPolicy, Rule, RuleName, RuleVersion, TaskId, Trigger,
};
use crate::store::sqlite::SqliteStore;
use crate::store::{
    Acceptance, Accepted, Arming, BackupError, Holds, JobCount, JobFilter, KeptHint, LedgerEntry, OutputRecord, Pause,
    PublishItem, PublishList, PublishRefused, Quarantined, RuleRecord, Store, StoreError, UploadRecord,
};

#[derive(Default)]
pub struct FakeStore {
    rules: Mutex<Vec<RuleRecord>>,
    lines: Mutex<BTreeMap<(RuleName, ObjectKey), LedgerEntry>>,
    outputs: Mutex<HashMap<ObjectKey, OutputRecord>>,
    /// Jobs in the order of their acceptance.
    jobs: Mutex<Vec<(JobId, RuleName, ObjectKey)>>,
    kept: Mutex<BTreeMap<i64, KeptHint>>,
    pub accepts: AtomicU32,
    pub fails: AtomicBool,
    /// How often a job was asked for; while `hangs`, that never ends.
    pub claims: AtomicU32,
    pub hangs: AtomicBool,
}

fn held<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

fn not_here<T>() -> Result<T, StoreError> {
    Err(StoreError::Permanent("not part of this store".into()))
}

impl FakeStore {
    pub fn jobs(&self) -> Vec<String> {
        held(&self.jobs)
            .iter()
            .map(|(_, rule, key)| format!("{rule} {key}"))
            .collect()
    }

    pub fn line(&self, rule: &str, key: &str) -> Option<LedgerEntry> {
        let at = (rule.parse().unwrap(), key.parse().unwrap());
        held(&self.lines).get(&at).cloned()
    }

    pub fn lines(&self) -> usize {
        held(&self.lines).len()
    }

    pub fn add_output(&self, output: OutputRecord) {
        held(&self.outputs).insert(output.key.clone(), output);
    }

    pub fn save_rule_now(&self, record: RuleRecord) {
        let mut rules = held(&self.rules);
        rules.retain(|other| other.name != record.name);
        rules.push(record);
    }

    pub fn arming(&self, rule: &str) -> Arming {
        let rules = held(&self.rules);
        let found = rules.iter().find(|record| record.name.as_str() == rule);
        found.unwrap().arming.clone()
    }

    fn answer(&self) -> Result<(), StoreError> {
        if self.fails.load(Ordering::SeqCst) {
            return Err(StoreError::Transient("broken".into()));
        }
        Ok(())
    }
}

#[async_trait]
impl Store for FakeStore {
    async fn close(&self) {}
    async fn rules(&self) -> Result<Vec<RuleRecord>, StoreError> {
        self.answer()?;
        Ok(held(&self.rules).clone())
    }
    async fn save_rule(&self, record: &RuleRecord) -> Result<(), StoreError> {
        self.answer()?;
        self.save_rule_now(record.clone());
        Ok(())
    }
    async fn rule_text(&self, _: &RuleVersion) -> Result<String, StoreError> {
        not_here()
    }
    async fn ledger(
        &self,
        rules: &[RuleName],
        _: &BucketName,
        keys: &[ObjectKey],
    ) -> Result<Vec<LedgerEntry>, StoreError> {
        self.answer()?;
        let lines = held(&self.lines);
        let found = rules.iter().flat_map(|rule| {
            let lines = &lines;
            keys.iter()
                .filter_map(move |key| lines.get(&(rule.clone(), key.clone())).cloned())
        });
        Ok(found.collect())
    }
    async fn ledger_range(
        &self,
        rule: &RuleName,
        _: &BucketName,
        after: Option<&ObjectKey>,
        through: Option<&ObjectKey>,
        limit: u32,
    ) -> Result<Vec<LedgerEntry>, StoreError> {
        self.answer()?;
        Ok(held(&self.lines)
            .iter()
            .filter(|((name, key), _)| {
                name == rule && after.is_none_or(|after| key > after) && through.is_none_or(|through| key <= through)
            })
            .take(limit as usize)
            .map(|(_, line)| line.clone())
            .collect())
    }
    async fn accept(&self, batch: Vec<Acceptance>, _: Timestamp) -> Result<Vec<Accepted>, StoreError> {
        self.answer()?;
        self.accepts.fetch_add(1, Ordering::SeqCst);
        let mut lines = held(&self.lines);
        let mut jobs = held(&self.jobs);
        let mut answers = Vec::new();
        for wish in batch {
            let at = (wish.rule.clone(), wish.object.key.clone());
            let found = lines.get(&at).map_or(Generation(0), |line| line.generation);
            if found != wish.seen {
                answers.push(Accepted::Stale);
                continue;
            }
            let mut superseded = Vec::new();
            if let Some(job) = &wish.job {
                superseded = jobs
                    .iter()
                    .filter(|(_, rule, key)| *rule == at.0 && *key == at.1)
                    .map(|(id, _, _)| id.clone())
                    .collect();
                jobs.push((job.id.clone(), at.0.clone(), at.1.clone()));
            }
            let line = LedgerEntry {
                rule: at.0.clone(),
                key: at.1.clone(),
                identity: wish.object.identity,
                generation: Generation(found.0 + 1),
                baseline: wish.job.is_none(),
                gone_at: None,
                listed: wish.listed,
            };
            lines.insert(at, line);
            answers.push(Accepted::Yes { superseded });
        }
        Ok(answers)
    }
    async fn mark_gone(
        &self,
        rule: &RuleName,
        _: &BucketName,
        keys: &[ObjectKey],
        gone_at: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        self.answer()?;
        for key in keys {
            if let Some(line) = held(&self.lines).get_mut(&(rule.clone(), key.clone())) {
                line.gone_at = gone_at;
            }
        }
        Ok(())
    }
    async fn own_outputs(&self, _: &BucketName, keys: &[ObjectKey]) -> Result<Vec<OutputRecord>, StoreError> {
        self.answer()?;
        let outputs = held(&self.outputs);
        Ok(keys.iter().filter_map(|key| outputs.get(key).cloned()).collect())
    }
    async fn claim(&self, _: &str, _: &Holds, _: Timestamp, _: Timestamp) -> Result<Option<Job>, StoreError> {
        self.claims.fetch_add(1, Ordering::SeqCst);
        while self.hangs.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        not_here()
    }
    async fn note_listed(
        &self,
        rule: &RuleName,
        _: &BucketName,
        listed: &[(ObjectKey, Identity)],
    ) -> Result<(), StoreError> {
        for (key, identity) in listed {
            if let Some(line) = held(&self.lines).get_mut(&(rule.clone(), key.clone())) {
                line.listed = Some(identity.clone());
            }
        }
        Ok(())
    }
    async fn keep_hints(&self, hints: &[KeptHint]) -> Result<Vec<i64>, StoreError> {
        self.answer()?;
        let mut kept = held(&self.kept);
        let first = kept.keys().next_back().map_or(1, |last| last + 1);
        let numbers: Vec<i64> = (first..).take(hints.len()).collect();
        kept.extend(numbers.iter().copied().zip(hints.iter().cloned()));
        Ok(numbers)
    }
    async fn kept_hints(&self, after: i64, limit: u32) -> Result<Vec<(i64, KeptHint)>, StoreError> {
        let kept = held(&self.kept);
        let rest = kept.range(after + 1..).take(limit as usize);
        Ok(rest.map(|(number, hint)| (*number, hint.clone())).collect())
    }
    async fn forget_hints(&self, numbers: &[i64]) -> Result<(), StoreError> {
        self.answer()?;
        held(&self.kept).retain(|number, _| !numbers.contains(number));
        Ok(())
    }
    async fn keep_provenance(&self, _: &JobId, _: &TaskId, _: &str) -> Result<(), StoreError> {
        unreachable!()
    }
    async fn provenance(&self, _: &JobId) -> Result<Vec<String>, StoreError> {
        unreachable!()
    }
    async fn quarantine(&self, _: &Quarantined) -> Result<(), StoreError> {
        not_here()
    }
    async fn quarantined(&self, _: u32) -> Result<Vec<Quarantined>, StoreError> {
        not_here()
    }
    async fn quarantine_counts(&self) -> Result<Vec<(BucketName, u64)>, StoreError> {
        not_here()
    }
    async fn upload_begun(&self, _: &UploadRecord, _: Timestamp) -> Result<(), StoreError> {
        not_here()
    }
    async fn upload_ended(&self, _: &BucketName, _: &ObjectKey, _: &str) -> Result<(), StoreError> {
        not_here()
    }
    async fn uploads(&self) -> Result<Vec<UploadRecord>, StoreError> {
        not_here()
    }
    async fn unfinished(&self, _: &RuleName, _: &BucketName, _: &[ObjectKey]) -> Result<Vec<ObjectKey>, StoreError> {
        self.answer()?;
        Ok(Vec::new())
    }
    async fn pause(&self, _: Option<&RuleName>, _: Option<&str>, _: Timestamp) -> Result<Pause, StoreError> {
        not_here()
    }
    async fn resume(&self, _: Option<&RuleName>) -> Result<bool, StoreError> {
        not_here()
    }
    async fn pauses(&self) -> Result<Vec<Pause>, StoreError> {
        not_here()
    }
    async fn prioritize(&self, _: &JobId, _: Priority) -> Result<Job, StoreError> {
        not_here()
    }
    async fn next_due(&self, _: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        not_here()
    }
    async fn renew(&self, _: &[(JobId, LeaseNumber)], _: Timestamp) -> Result<Vec<JobId>, StoreError> {
        not_here()
    }
    async fn take_back(&self, _: Option<&str>, _: Timestamp) -> Result<u64, StoreError> {
        not_here()
    }
    async fn apply(&self, _: &JobId, _: Option<LeaseNumber>, _: &[Event], _: Timestamp) -> Result<Job, StoreError> {
        not_here()
    }
    async fn begin_publish(&self, _: &PublishList, _: Option<LeaseNumber>, _: Timestamp) -> Result<(), PublishRefused> {
        not_here().map_err(PublishRefused::Store)
    }
    async fn finish_publish(
        &self,
        _: &PublishList,
        _: Option<LeaseNumber>,
        _: &[Event],
        _: SignedDuration,
        _: Timestamp,
    ) -> Result<Job, StoreError> {
        not_here()
    }
    async fn abandon_publish(&self, _: &PublishList, _: &[PublishItem]) -> Result<(), StoreError> {
        not_here()
    }
    async fn pending_publishes(&self) -> Result<Vec<PublishList>, StoreError> {
        not_here()
    }
    async fn outputs(&self, _: &JobId) -> Result<Vec<OutputRecord>, StoreError> {
        not_here()
    }
    async fn outputs_of(&self, _: &[JobId]) -> Result<Vec<OutputRecord>, StoreError> {
        not_here()
    }
    async fn ids(&self, _: &str, _: u32, _: u32) -> Result<Vec<JobId>, StoreError> {
        not_here()
    }
    async fn outputs_to_remove(&self, _: Timestamp) -> Result<Vec<OutputRecord>, StoreError> {
        not_here()
    }
    async fn output_removed(&self, _: &BucketName, _: &ObjectKey) -> Result<(), StoreError> {
        not_here()
    }
    async fn notes_due(&self) -> Result<Vec<Job>, StoreError> {
        not_here()
    }
    async fn note_settled(&self, _: &JobId) -> Result<(), StoreError> {
        not_here()
    }
    async fn source_steps_due(&self, _: i64, _: u32) -> Result<Vec<SourceStep>, StoreError> {
        not_here()
    }
    async fn source_steps_on(&self, _: &BucketName, _: &ObjectKey) -> Result<Vec<SourceStep>, StoreError> {
        not_here()
    }
    async fn source_steps_of(&self, _: &[JobId]) -> Result<Vec<SourceStep>, StoreError> {
        not_here()
    }
    async fn begin_source_step(
        &self,
        _: &SourceStep,
        _: &ObjectKey,
        _: Option<&ObjectKey>,
    ) -> Result<bool, StoreError> {
        not_here()
    }
    async fn settle_source_step(
        &self,
        _: &SourceStep,
        _: StepState,
        _: Option<&str>,
        _: Timestamp,
    ) -> Result<(), StoreError> {
        not_here()
    }
    async fn note_source_step(&self, _: &SourceStep, _: &str) -> Result<(), StoreError> {
        not_here()
    }
    async fn forget_jobs(&self, _: Option<Timestamp>, _: Option<u64>, _: u32, _: Timestamp) -> Result<u64, StoreError> {
        not_here()
    }
    async fn backup(&self, _: &Path) -> Result<u64, BackupError> {
        not_here().map_err(|error| BackupError::Read {
            path: PathBuf::new(),
            source: Box::new(error),
        })
    }
    async fn job(&self, _: &JobId) -> Result<Job, StoreError> {
        not_here()
    }
    async fn jobs(&self, _: &JobFilter) -> Result<Vec<Job>, StoreError> {
        not_here()
    }
    async fn counts(&self) -> Result<Vec<JobCount>, StoreError> {
        not_here()
    }
}

pub fn bucket() -> BucketName {
    "inbox".parse().unwrap()
}

pub fn key(text: &str) -> ObjectKey {
    text.parse().unwrap()
}

/// An enabled rule for `directory` of the bucket `inbox` that takes any format.
pub fn rule(name: &str, directory: &str) -> LiveRule {
    let globs = || Globs {
        patterns: Vec::new(),
        set: globset::GlobSet::empty(),
    };
    LiveRule {
        rule: Arc::new(Rule {
            name: name.parse().unwrap(),
            version: RuleVersion("0123456789abcdef".into()),
            enabled: true,
            priority: Priority::default(),
            trigger: Trigger {
                bucket: bucket(),
                directory: Directory::new(directory).unwrap(),
                formats: Formats::Any,
                include: globs(),
                exclude: globs(),
                min_size: None,
                max_size: None,
                existing: Existing::Ignore,
                outputs: false,
            },
            output: OutputSpec {
                bucket: bucket(),
                directory: None,
                overwrite: false,
                path: None,
                access: crate::rule::access::AccessSpec::default(),
                stored: crate::rule::stored::StoredSpec::default(),
            },
            tasks: Vec::new(),
            retry: RetryPolicy::default(),
            on_failure: OnFailure::None,
            strict: false,
            input: crate::rule::Input::default(),
            queue: crate::rule::QueueSpec::default(),
            after_success: None,
        }),
        file: format!("{name}.toml"),
        text: "".into(),
        enabled: true,
        since: Timestamp::from_second(1_000).unwrap(),
        arming: None,
    }
}

/// The record of a rule that is being armed.
pub fn armed(live: &LiveRule, cursor: Option<ObjectKey>) -> RuleRecord {
    RuleRecord {
        name: live.rule.name.clone(),
        version: live.rule.version.clone(),
        text: String::new(),
        file: live.file.clone(),
        enabled: true,
        since: live.since,
        created: live.since,
        arming: match &live.arming {
            None => Arming::Done,
            Some(ArmingMode::Enabled) => Arming::Enabled { cursor },
            Some(ArmingMode::Widened(_)) => Arming::Widened {
                cursor,
                before: String::new(),
            },
        },
    }
}

pub fn mill(place: Arc<dyn Bucket>, path: PathBuf, rules: Vec<LiveRule>) -> (Arc<Mill>, Arc<FakeStore>) {
    let store = Arc::new(FakeStore::default());
    let buckets = BTreeMap::from([(bucket(), place)]);
    let mill = Mill::new(
        config(Path::new("/"), path),
        store.clone(),
        buckets,
        Timestamp::from_second(1_000).unwrap(),
    );
    mill.book.set(RuleBook {
        rules,
        broken: Vec::new(),
    });
    (Arc::new(mill), store)
}

/// A mill with the real store, and a rules folder `rules`, in this folder.
pub async fn mill_on_disk(folder: &Path) -> Arc<Mill> {
    let store = SqliteStore::open(&folder.join("reelmill.db"), Ageing::Strict)
        .await
        .unwrap();
    let config = config(folder, folder.join("inbox"));
    Arc::new(Mill::new(config, Arc::new(store), BTreeMap::new(), Timestamp::now()))
}

/// The same, with a bucket at `inbox` in this folder.
pub async fn mill_in(folder: &Path, place: Arc<dyn Bucket>) -> Arc<Mill> {
    let store = SqliteStore::open(&folder.join("reelmill.db"), Ageing::Strict)
        .await
        .unwrap();
    let config = config(folder, folder.join("inbox"));
    let buckets = BTreeMap::from([(bucket(), place)]);
    Arc::new(Mill::new(config, Arc::new(store), buckets, Timestamp::now()))
}

fn config(folder: &Path, inbox: PathBuf) -> Config {
    let inbox = BucketConfig {
        place: Place::Local(LocalConfig {
            path: inbox,
            poll: Duration::from_hours(1),
            settle: Duration::from_millis(50),
        }),
        sweep: Duration::from_hours(1),
    };
    Config {
        file: folder.join("reelmill.toml"),
        rules: folder.join("rules"),
        presets: folder.join("presets"),
        state: folder.to_owned(),
        buckets: BTreeMap::from([(bucket(), inbox)]),
        workers: Workers {
            slots: 1,
            drain: Duration::from_secs(1),
            min_free: 0,
            ..Workers::default()
        },
        plugins: crate::config::Plugins::default(),
        ageing: config::Ageing::Strict,
        grace: Duration::from_mins(1),
        history: crate::config::History::default(),
        http: None,
    }
}
