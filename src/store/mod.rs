//! Where rules, the ledger, jobs and publish lists are kept.
//!
//! [`Store`] is the whole of what the program asks of a database. Each method is one transaction: it
//! happens or it does not. Every implementation runs the same conformance suite.

#[cfg(test)]
pub mod conformance;
pub mod sqlite;

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use jiff::Timestamp;

pub use crate::job::hold::{Holds, Pause};
pub use crate::job::ledger::LedgerEntry;
use crate::job::source::{SourceStep, StepState};
use crate::job::state::{Event, IllegalTransition};
use crate::job::{Finding, Generation, Job, JobId, JobState, LeaseNumber, Priority};
use crate::object::{BucketName, Identity, Object, ObjectKey};
pub use crate::rule::book::{Arming, RuleRecord};
use crate::rule::source::AfterSuccess;
use crate::rule::{Rule, RuleName, RuleVersion, TaskId, When};

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Nothing of that name.
    #[error("there is no {0}")]
    NotFound(String),
    /// The lease was lost to another holder, or the job ended; whoever gets this stops working on the job.
    #[error("job {0} is no longer held under this lease")]
    LeaseLost(JobId),
    /// The event does not fit.
    #[error(transparent)]
    Illegal(#[from] IllegalTransition),
    /// The database cannot be used: wrong version, damaged, unreadable.
    #[error("{0}")]
    Permanent(String),
    /// Busy, full or failing just now.
    #[error("the database did not answer")]
    Transient(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A file of that name is there already.
    #[error("{} is there already; a backup never replaces a file", .0.display())]
    Exists(PathBuf),
    /// The copy cannot be written.
    #[error("{} cannot be written", .path.display())]
    Write {
        /// The wanted file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The database cannot be copied.
    #[error("{} cannot be copied", .path.display())]
    Read {
        /// The database.
        path: PathBuf,
        /// What it said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A wish to change the ledger, decided on what it said before.
#[derive(Debug, Clone, PartialEq)]
pub struct Acceptance {
    /// Under which rule.
    pub rule: RuleName,
    /// What its bucket said.
    pub object: Object,
    /// The generation that the ledger had before the bucket was asked; 0 where it had no line.
    pub seen: Generation,
    /// None: baseline. Some: a job.
    pub job: Option<NewJob>,
    /// What a listing said of the key, where one gave the hint.
    pub listed: Option<Identity>,
}

/// A hint that is kept until it is decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptHint {
    /// Where.
    pub bucket: BucketName,
    /// Which key.
    pub key: ObjectKey,
    /// When it happened, where its sender said.
    pub event: Option<Timestamp>,
    /// Which source said so.
    pub source: String,
}

/// A message about objects that nobody understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// About which bucket, as far as one can tell.
    pub bucket: BucketName,
    /// Through which source it came.
    pub source: String,
    /// What is wrong with it.
    pub reason: String,
    /// As it came.
    pub body: Vec<u8>,
    /// When it came.
    pub came: Timestamp,
}

/// An upload in parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadRecord {
    /// Where.
    pub bucket: BucketName,
    /// The name that the object will get.
    pub key: ObjectKey,
    /// The server's name for it.
    pub id: String,
    /// By which job.
    pub job: JobId,
}

/// A job to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct NewJob {
    /// Its name.
    pub id: JobId,
    /// The version of the rule.
    pub rule_version: RuleVersion,
    /// The text of that version, kept as long as a job needs it.
    pub rule_text: String,
    /// Its rank.
    pub priority: Priority,
    /// Its tasks, in the order of the rule; those with an empty `after` start queued, others waiting.
    pub tasks: Vec<NewTask>,
    /// The job of which it is a repetition.
    pub retry_of: Option<JobId>,
    /// What whoever asked for it gave along with it.
    pub context: Option<String>,
    /// The wish that it carries out, to be carried out once within seven days.
    pub dedupe: Option<String>,
    /// What becomes of the source after success.
    pub after_success: Option<AfterSuccess>,
}

impl NewJob {
    /// A job for a rule, of which this is the text.
    #[must_use]
    pub fn of(rule: &Rule, text: &str, id: JobId, retry_of: Option<JobId>) -> Self {
        let tasks = rule.tasks.iter().map(|task| NewTask {
            id: task.id.clone(),
            kind: task.kind.name().to_owned(),
            after: task.after.clone(),
            when: task.when,
        });
        Self {
            id,
            rule_version: rule.version.clone(),
            rule_text: text.to_owned(),
            priority: rule.priority,
            tasks: tasks.collect(),
            retry_of,
            context: None,
            dedupe: None,
            after_success: rule.after_success.clone(),
        }
    }
}

/// A task to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct NewTask {
    /// Unique within the job.
    pub id: TaskId,
    /// The word in `kind = "..."`.
    pub kind: String,
    /// Tasks that must have ended before.
    pub after: Vec<TaskId>,
    /// How they must have ended.
    pub when: When,
}

/// What became of an [`Acceptance`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepted {
    /// The ledger moved on, and the job was made where one was wanted. Older jobs of the key that waited are
    /// cancelled; those named here run and are marked superseded.
    Yes {
        /// Running jobs that should stop.
        superseded: Vec<JobId>,
    },
    /// The ledger has moved since `seen`: resolve again.
    Stale,
    /// The same wish (`dedupe`) made this job within the last seven days; nothing was changed.
    Doubled(JobId),
}

/// Something that a task published, or is about to: recorded before it gets its name, and for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputRecord {
    /// Where.
    pub bucket: BucketName,
    /// Its final name.
    pub key: ObjectKey,
    /// What it looks like under that name.
    pub identity: Identity,
    /// SHA-256 in hexadecimal.
    pub checksum: String,
    /// Owner, with `source_key`: the rule ...
    pub rule: RuleName,
    /// ... and the source's bucket ...
    pub source_bucket: BucketName,
    /// ... and key.
    pub source_key: ObjectKey,
    /// Made by this job ...
    pub job: JobId,
    /// ... and this task; none for the note about a failure.
    pub task: Option<TaskId>,
    /// ... from this generation of the source.
    pub generation: Generation,
    /// How far it is.
    pub state: OutputState,
}

/// The life of an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputState {
    /// On a publish list, perhaps under its name already.
    Publishing,
    /// Under its name.
    Published,
    /// To be removed after a grace: a later generation does not have it.
    Superseded,
    /// Removed, or found to be replaced by somebody else.
    Removed,
}

/// What one task (or the note about a failure) is about to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishList {
    /// Of this job.
    pub job: JobId,
    /// Of this task; none for the note.
    pub task: Option<TaskId>,
    /// In the order of publishing: members first, playlist or manifest last.
    pub items: Vec<PublishItem>,
    /// What was noticed about the medium, for the task's end.
    pub findings: Vec<Finding>,
}

/// One line of a publish list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishItem {
    /// The finished file, an absolute path in scratch; bytes, as paths are.
    pub scratch: Vec<u8>,
    /// Where it goes.
    pub bucket: BucketName,
    /// Its final name.
    pub key: ObjectKey,
    /// Its identity, which renaming keeps.
    pub identity: Identity,
    /// SHA-256 in hexadecimal.
    pub checksum: String,
    /// What we published under this name before, which this may replace.
    pub replaces: Option<Identity>,
    /// May replace a file that is not ours.
    pub overwrite: bool,
}

/// Why a publish list was not taken.
#[derive(Debug, thiserror::Error)]
pub enum PublishRefused {
    /// A name belongs to another (rule, source key).
    #[error("{bucket}/{key} belongs to {owner}")]
    NameTaken {
        /// Where.
        bucket: BucketName,
        /// Which name.
        key: ObjectKey,
        /// To whom: rule and source, in words.
        owner: String,
    },
    /// The source has a newer generation, or the job was cancelled.
    #[error("a newer version of the source was accepted")]
    Superseded,
    /// As for every call.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Which jobs to list, newest first.
#[derive(Debug, Clone, Default)]
pub struct JobFilter {
    /// Only in these states; empty: all.
    pub states: Vec<JobState>,
    /// Only of this rule.
    pub rule: Option<RuleName>,
    /// Only of this bucket.
    pub bucket: Option<BucketName>,
    /// Only of this key.
    pub key: Option<ObjectKey>,
    /// Only jobs made then or later.
    pub since: Option<Timestamp>,
    /// Only jobs older than this one (keyset paging over (created, id)).
    pub before: Option<JobId>,
    /// At most so many, 1 ..= 1000.
    pub limit: u32,
}

/// How many jobs of a rule are in each state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobCount {
    /// Of this rule.
    pub rule: RuleName,
    /// In this state.
    pub state: JobState,
    /// So many.
    pub count: u64,
    /// The newest of them was created then.
    pub latest: Option<Timestamp>,
}

/// Everything the program asks of its database.
#[async_trait]
pub trait Store: Send + Sync {
    // Rules -----------------------------------------------------------------------------------

    /// All rules ever seen, by name.
    async fn rules(&self) -> Result<Vec<RuleRecord>, StoreError>;
    /// Inserts or replaces what is known of a rule.
    async fn save_rule(&self, record: &RuleRecord) -> Result<(), StoreError>;
    /// The text of a version that some job was created with.
    async fn rule_text(&self, version: &RuleVersion) -> Result<String, StoreError>;

    // Ledger ----------------------------------------------------------------------------------

    /// The lines that these rules have for these keys; absent where there is none.
    async fn ledger(
        &self,
        rules: &[RuleName],
        bucket: &BucketName,
        keys: &[ObjectKey],
    ) -> Result<Vec<LedgerEntry>, StoreError>;
    /// The lines of one rule in key order with `after < key <= through`, at most `limit`.
    async fn ledger_range(
        &self,
        rule: &RuleName,
        bucket: &BucketName,
        after: Option<&ObjectKey>,
        through: Option<&ObjectKey>,
        limit: u32,
    ) -> Result<Vec<LedgerEntry>, StoreError>;
    /// Changes the ledger and creates jobs, all in one transaction; an answer for each, in order. An
    /// acceptance whose `seen` is not the generation found is `Stale` and changes nothing. A job makes the
    /// key's older queued jobs of the rule cancelled ("superseded") and marks running ones superseded.
    async fn accept(&self, batch: Vec<Acceptance>, now: Timestamp) -> Result<Vec<Accepted>, StoreError>;
    /// Writes down that these keys are missing (`Some`) or there again (`None`); identities stay.
    async fn mark_gone(
        &self,
        rule: &RuleName,
        bucket: &BucketName,
        keys: &[ObjectKey],
        gone_at: Option<Timestamp>,
    ) -> Result<(), StoreError>;
    /// Outputs of ours under these names, in any state but `Removed`.
    async fn own_outputs(&self, bucket: &BucketName, keys: &[ObjectKey]) -> Result<Vec<OutputRecord>, StoreError>;

    /// Keys of which the identity last accepted was given a job, whether that is kept or not, and no job on it waits,
    /// runs or succeeded.
    async fn unfinished(
        &self,
        rule: &RuleName,
        bucket: &BucketName,
        keys: &[ObjectKey],
    ) -> Result<Vec<ObjectKey>, StoreError>;

    /// Writes down what a listing said of keys whose identity is known all the same.
    async fn note_listed(
        &self,
        rule: &RuleName,
        bucket: &BucketName,
        listed: &[(ObjectKey, Identity)],
    ) -> Result<(), StoreError>;

    // Hints -----------------------------------------------------------------------------------

    /// Keeps hints; answers their numbers, in order.
    async fn keep_hints(&self, hints: &[KeptHint]) -> Result<Vec<i64>, StoreError>;
    /// Kept hints whose number is more than `after`, by number, at most `limit`.
    async fn kept_hints(&self, after: i64, limit: u32) -> Result<Vec<(i64, KeptHint)>, StoreError>;
    /// Forgets hints that are decided.
    async fn forget_hints(&self, numbers: &[i64]) -> Result<(), StoreError>;
    /// Keeps a message that nobody understood; of each bucket the last thousand stay.
    async fn quarantine(&self, message: &Quarantined) -> Result<(), StoreError>;
    /// Messages that nobody understood, newest first.
    async fn quarantined(&self, limit: u32) -> Result<Vec<Quarantined>, StoreError>;
    /// How many of them are kept, by bucket; nothing for buckets without one.
    async fn quarantine_counts(&self) -> Result<Vec<(BucketName, u64)>, StoreError>;

    // Provenance -------------------------------------------------------------------------------

    /// Keeps how the outputs of a task came to be, in place of what was kept of it before. It goes with its job; of a job
    /// that is not there nothing is kept.
    async fn keep_provenance(&self, job: &JobId, task: &TaskId, text: &str) -> Result<(), StoreError>;
    /// What is kept of the tasks of a job.
    async fn provenance(&self, job: &JobId) -> Result<Vec<String>, StoreError>;

    // Uploads ---------------------------------------------------------------------------------

    /// Writes an upload in parts down, before its first part.
    async fn upload_begun(&self, upload: &UploadRecord, now: Timestamp) -> Result<(), StoreError>;
    /// An upload in parts is completed, or aborted.
    async fn upload_ended(&self, bucket: &BucketName, key: &ObjectKey, id: &str) -> Result<(), StoreError>;
    /// Uploads in parts that were begun and have not ended, as far as is known.
    async fn uploads(&self) -> Result<Vec<UploadRecord>, StoreError>;

    // Queue -----------------------------------------------------------------------------------

    /// Claims the first job of the queue: queued, its time has come, no other job of its (rule, bucket, key)
    /// is leased; in the order of `created - priority x ageing`, or by priority, then age, where the store was
    /// opened with strict ageing. Jobs of rules that are held or paused are passed over, and none starts while the whole
    /// mill is paused. A lease number is new for each claim.
    async fn claim(
        &self,
        holder: &str,
        holds: &Holds,
        now: Timestamp,
        expires: Timestamp,
    ) -> Result<Option<Job>, StoreError>;
    /// Holds the queue of a rule, or of the whole mill, from the next claim on. Where it is held already, it stays so since
    /// then; a reason given now replaces the old one.
    async fn pause(&self, rule: Option<&RuleName>, reason: Option<&str>, now: Timestamp) -> Result<Pause, StoreError>;
    /// Lets the queue of a rule, or of the whole mill, go; answers whether it was held. The one does not touch the other.
    async fn resume(&self, rule: Option<&RuleName>) -> Result<bool, StoreError>;
    /// What is held by people, the whole mill first, then rules by name.
    async fn pauses(&self) -> Result<Vec<Pause>, StoreError>;
    /// Gives a queued job another place in the queue, as if it had been made with this priority; a job in any other
    /// state stays as it is. Answers the job as it is then.
    async fn prioritize(&self, job: &JobId, priority: Priority) -> Result<Job, StoreError>;
    /// When the next queued job that waits for its time may be claimed; `now` where that time has come and no claim has
    /// looked since.
    async fn next_due(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError>;
    /// Prolongs leases; answers those that are still held.
    async fn renew(&self, leases: &[(JobId, LeaseNumber)], expires: Timestamp) -> Result<Vec<JobId>, StoreError>;
    /// Gives back the running jobs of a holder (its own, at start), or, where `holder` is none, those whose lease ran
    /// out. Answers how many.
    async fn take_back(&self, holder: Option<&str>, now: Timestamp) -> Result<u64, StoreError>;
    /// Applies events to a job through [`crate::job::state::step`], in order. `lease` must be the job's
    /// current one; none is for events from outside (cancelling by a person).
    async fn apply(
        &self,
        job: &JobId,
        lease: Option<LeaseNumber>,
        events: &[Event],
        now: Timestamp,
    ) -> Result<Job, StoreError>;

    // Publishing ------------------------------------------------------------------------------

    /// Writes a publish list and its outputs (state `Publishing`) before any final name is touched. With a
    /// lease: it must be current, the job not superseded. Replaces an earlier list of the same (job, task).
    async fn begin_publish(
        &self,
        list: &PublishList,
        lease: Option<LeaseNumber>,
        now: Timestamp,
    ) -> Result<(), PublishRefused>;
    /// Every item has its name: the list is dropped, its outputs are `Published` and look as the items now say, and the events are applied
    /// (usually `TaskSucceeded`), all at once. Where the job ends `succeeded` by it, outputs of older generations of the same
    /// (rule, source) that this generation does not have become `Superseded`, to be removed at
    /// `now + grace`; notes at once. What is published of a generation older than one that succeeded is superseded,
    /// too. `lease: None` is for rolling forward after a crash and for notes: the
    /// job's lease is not asked for, and events that no longer fit (the job was cancelled) are left out.
    async fn finish_publish(
        &self,
        list: &PublishList,
        lease: Option<LeaseNumber>,
        events: &[Event],
        grace: jiff::SignedDuration,
        now: Timestamp,
    ) -> Result<Job, StoreError>;
    /// A list that cannot be carried out (name taken on disk) is dropped. `list` holds the items that did not get
    /// their name: their outputs are forgotten, or what they were before the list. Items of the list that are not named
    /// here are under their name and stay ours, `Published`; those of `kept` look there as they say.
    async fn abandon_publish(&self, list: &PublishList, kept: &[PublishItem]) -> Result<(), StoreError>;
    /// Lists begun and not finished, for rolling forward at start.
    async fn pending_publishes(&self) -> Result<Vec<PublishList>, StoreError>;
    /// Outputs of a job, in any state.
    async fn outputs(&self, job: &JobId) -> Result<Vec<OutputRecord>, StoreError>;
    /// Outputs of all these jobs, in any state, by job.
    async fn outputs_of(&self, jobs: &[JobId]) -> Result<Vec<OutputRecord>, StoreError>;
    /// Superseded outputs whose grace is over.
    async fn outputs_to_remove(&self, now: Timestamp) -> Result<Vec<OutputRecord>, StoreError>;
    /// The file is gone, or is not ours any more.
    async fn output_removed(&self, bucket: &BucketName, key: &ObjectKey) -> Result<(), StoreError>;
    /// Jobs that ended `failed` and whose note has not been settled; a newer identity settles it.
    async fn notes_due(&self) -> Result<Vec<Job>, StoreError>;
    /// The note of this job is written, or was not wanted.
    async fn note_settled(&self, job: &JobId) -> Result<(), StoreError>;

    // Sources after success -------------------------------------------------------------------

    // Where a job with a wish ends `succeeded`, the same transaction writes its step, state `Due`; and every success makes
    // steps on the same identity due again that were held.

    /// Steps that are due, by `seq`, which is more than `after`.
    async fn source_steps_due(&self, after: i64, limit: u32) -> Result<Vec<SourceStep>, StoreError>;
    /// Steps of this key that are due.
    async fn source_steps_on(&self, bucket: &BucketName, key: &ObjectKey) -> Result<Vec<SourceStep>, StoreError>;
    /// The step of a job, in any state.
    async fn source_step(&self, job: &JobId) -> Result<Option<SourceStep>, StoreError> {
        Ok(self.source_steps_of(std::slice::from_ref(job)).await?.pop())
    }
    /// The steps of these jobs, in any state; nothing for jobs without one.
    async fn source_steps_of(&self, jobs: &[JobId]) -> Result<Vec<SourceStep>, StoreError>;
    /// Writes down the names that a source will have on its way, before it gets the first. False, and nothing written,
    /// where the step is not due or a job on the same identity has not ended.
    async fn begin_source_step(
        &self,
        step: &SourceStep,
        aside: &ObjectKey,
        target: Option<&ObjectKey>,
    ) -> Result<bool, StoreError>;
    /// Writes down what became of a step that has not ended, or why it waits; whatever waits has nothing aside.
    async fn settle_source_step(
        &self,
        step: &SourceStep,
        state: StepState,
        reason: Option<&str>,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// Writes down why a due step cannot go on just now; what is aside stays on record.
    async fn note_source_step(&self, step: &SourceStep, reason: &str) -> Result<(), StoreError>;

    // History ---------------------------------------------------------------------------------

    /// Forgets at most `limit` jobs, oldest end first: those that ended at or before a time, and those that are more than
    /// `keep`. Never one that has not ended or for which something is left to be done (publish list, note, step of its
    /// source), never a line of the ledger, never an output. Answers how many.
    async fn forget_jobs(
        &self,
        ended_by: Option<Timestamp>,
        keep: Option<u64>,
        limit: u32,
        now: Timestamp,
    ) -> Result<u64, StoreError>;
    /// Writes a copy of the whole database as it is at one moment into a new file, while others go on. Answers its size.
    async fn backup(&self, to: &Path) -> Result<u64, BackupError>;

    // Looking ---------------------------------------------------------------------------------

    /// One job.
    async fn job(&self, id: &JobId) -> Result<Job, StoreError>;
    /// Ids of jobs that begin with `part`, and of those among the `newest` jobs that end with it, newest first; at most
    /// `limit` of them.
    async fn ids(&self, part: &str, newest: u32, limit: u32) -> Result<Vec<JobId>, StoreError>;
    /// Jobs, newest first.
    async fn jobs(&self, filter: &JobFilter) -> Result<Vec<Job>, StoreError>;
    /// How many jobs there are, by rule and state.
    async fn counts(&self) -> Result<Vec<JobCount>, StoreError>;
    /// Writes out what is pending and closes the database.
    async fn close(&self);
}
