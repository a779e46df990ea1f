//! The store in a SQLite file: what one daemon on one machine uses.
//!
//! One connection writes, in transactions that take the write lock at once; a few others only read. A
//! transaction that was answered is on disk. States change only through [`crate::job::state::step`], and every
//! update names the state and the lease that it expects to find.

mod backup;
mod far;
mod history;
mod holding;
mod job;
mod ledger;
mod look;
mod open;
mod provenance;
mod publish;
mod queue;
mod rows;
mod rules;
mod source;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use sqlx::{Sqlite, SqlitePool, Transaction};

use super::{
    Acceptance, Accepted, BackupError, JobCount, JobFilter, KeptHint, LedgerEntry, OutputRecord, PublishItem,
    PublishList, PublishRefused, Quarantined, RuleRecord, Store, StoreError, UploadRecord,
};
use crate::job::hold::{Holds, Pause};
use crate::job::order::Ageing;
use crate::job::source::{SourceStep, StepState};
use crate::job::state::Event;
use crate::job::{Job, JobId, LeaseNumber, Priority};
use crate::object::{BucketName, Identity, ObjectKey};
use crate::rule::{RuleName, RuleVersion, TaskId};

/// A [`Store`] in a SQLite file. Made by [`SqliteStore::open`].
#[derive(Debug)]
pub struct SqliteStore {
    writer: SqlitePool,
    readers: SqlitePool,
    ageing: Ageing,
    path: PathBuf,
}

pub use backup::copy;

type Write = Transaction<'static, Sqlite>;

impl SqliteStore {
    async fn write(&self) -> Result<Write, StoreError> {
        const BEGIN: &str = "BEGIN IMMEDIATE";
        match self.writer.begin_with(BEGIN).await {
            // A full disk ends a transaction by itself, and the connection has lost count of them: a new one is needed.
            Err(sqlx::Error::InvalidSavePointStatement) => {
                self.writer.acquire().await?.close().await?;
                Ok(self.writer.begin_with(BEGIN).await?)
            }
            begun => Ok(begun?),
        }
    }

    /// Several reads that see the same state.
    async fn read(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        Ok(self.readers.begin().await?)
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn rules(&self) -> Result<Vec<RuleRecord>, StoreError> {
        rules::all(&mut *self.read().await?).await
    }

    async fn save_rule(&self, record: &RuleRecord) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        rules::save(&mut tx, record).await?;
        Ok(tx.commit().await?)
    }

    async fn rule_text(&self, version: &RuleVersion) -> Result<String, StoreError> {
        rules::text(&mut *self.read().await?, version).await
    }

    async fn ledger(
        &self,
        rules: &[RuleName],
        bucket: &BucketName,
        keys: &[ObjectKey],
    ) -> Result<Vec<LedgerEntry>, StoreError> {
        ledger::lines(&mut *self.read().await?, rules, bucket, keys).await
    }

    async fn ledger_range(
        &self,
        rule: &RuleName,
        bucket: &BucketName,
        after: Option<&ObjectKey>,
        through: Option<&ObjectKey>,
        limit: u32,
    ) -> Result<Vec<LedgerEntry>, StoreError> {
        ledger::range(&mut *self.read().await?, rule, bucket, after, through, limit).await
    }

    async fn accept(&self, batch: Vec<Acceptance>, now: Timestamp) -> Result<Vec<Accepted>, StoreError> {
        let mut tx = self.write().await?;
        let mut answers = Vec::with_capacity(batch.len());
        for acceptance in &batch {
            answers.push(ledger::accept(&mut tx, acceptance, self.ageing, now).await?);
        }
        tx.commit().await?;
        Ok(answers)
    }

    async fn mark_gone(
        &self,
        rule: &RuleName,
        bucket: &BucketName,
        keys: &[ObjectKey],
        gone_at: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        ledger::mark_gone(&mut tx, rule, bucket, keys, gone_at).await?;
        Ok(tx.commit().await?)
    }

    async fn own_outputs(&self, bucket: &BucketName, keys: &[ObjectKey]) -> Result<Vec<OutputRecord>, StoreError> {
        look::own_outputs(&mut *self.read().await?, bucket, keys).await
    }

    async fn note_listed(
        &self,
        rule: &RuleName,
        bucket: &BucketName,
        listed: &[(ObjectKey, Identity)],
    ) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        far::note_listed(&mut tx, rule, bucket, listed).await?;
        Ok(tx.commit().await?)
    }

    async fn keep_hints(&self, hints: &[KeptHint]) -> Result<Vec<i64>, StoreError> {
        let mut tx = self.write().await?;
        let numbers = far::keep(&mut tx, hints).await?;
        tx.commit().await?;
        Ok(numbers)
    }

    async fn kept_hints(&self, after: i64, limit: u32) -> Result<Vec<(i64, KeptHint)>, StoreError> {
        far::kept(&mut *self.read().await?, after, limit).await
    }

    async fn forget_hints(&self, numbers: &[i64]) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        far::forget(&mut tx, numbers).await?;
        Ok(tx.commit().await?)
    }

    async fn quarantine(&self, message: &Quarantined) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        far::quarantine(&mut tx, message).await?;
        Ok(tx.commit().await?)
    }

    async fn keep_provenance(&self, job: &JobId, task: &TaskId, text: &str) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        provenance::keep(&mut tx, job, task, text).await?;
        Ok(tx.commit().await?)
    }

    async fn provenance(&self, job: &JobId) -> Result<Vec<String>, StoreError> {
        provenance::of(&mut *self.read().await?, job).await
    }

    async fn quarantined(&self, limit: u32) -> Result<Vec<Quarantined>, StoreError> {
        far::quarantined(&mut *self.read().await?, limit).await
    }

    async fn quarantine_counts(&self) -> Result<Vec<(BucketName, u64)>, StoreError> {
        far::quarantine_counts(&mut *self.read().await?).await
    }

    async fn upload_begun(&self, upload: &UploadRecord, now: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        far::upload_begun(&mut tx, upload, now).await?;
        Ok(tx.commit().await?)
    }

    async fn upload_ended(&self, bucket: &BucketName, key: &ObjectKey, id: &str) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        far::upload_ended(&mut tx, bucket, key, id).await?;
        Ok(tx.commit().await?)
    }

    async fn uploads(&self) -> Result<Vec<UploadRecord>, StoreError> {
        far::uploads(&mut *self.read().await?).await
    }

    async fn unfinished(
        &self,
        rule: &RuleName,
        bucket: &BucketName,
        keys: &[ObjectKey],
    ) -> Result<Vec<ObjectKey>, StoreError> {
        holding::unfinished(&mut *self.read().await?, rule, bucket, keys).await
    }

    async fn pause(&self, rule: Option<&RuleName>, reason: Option<&str>, now: Timestamp) -> Result<Pause, StoreError> {
        let mut tx = self.write().await?;
        let pause = holding::pause(&mut tx, rule, reason, now).await?;
        tx.commit().await?;
        Ok(pause)
    }

    async fn resume(&self, rule: Option<&RuleName>) -> Result<bool, StoreError> {
        let mut tx = self.write().await?;
        let was_held = holding::resume(&mut tx, rule).await?;
        tx.commit().await?;
        Ok(was_held)
    }

    async fn pauses(&self) -> Result<Vec<Pause>, StoreError> {
        holding::pauses(&mut *self.read().await?).await
    }

    async fn prioritize(&self, job: &JobId, priority: Priority) -> Result<Job, StoreError> {
        let mut tx = self.write().await?;
        let job = holding::prioritize(&mut tx, job, priority, self.ageing).await?;
        tx.commit().await?;
        Ok(job)
    }

    async fn claim(
        &self,
        holder: &str,
        holds: &Holds,
        now: Timestamp,
        expires: Timestamp,
    ) -> Result<Option<Job>, StoreError> {
        let mut tx = self.write().await?;
        let job = queue::claim(&mut tx, holder, holds, now, expires).await?;
        tx.commit().await?;
        Ok(job)
    }

    async fn next_due(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        queue::next_due(&mut *self.read().await?, now).await
    }

    async fn renew(&self, leases: &[(JobId, LeaseNumber)], expires: Timestamp) -> Result<Vec<JobId>, StoreError> {
        let mut tx = self.write().await?;
        let held = queue::renew(&mut tx, leases, expires).await?;
        tx.commit().await?;
        Ok(held)
    }

    async fn take_back(&self, holder: Option<&str>, now: Timestamp) -> Result<u64, StoreError> {
        let mut tx = self.write().await?;
        let count = queue::take_back(&mut tx, holder, now).await?;
        tx.commit().await?;
        Ok(count)
    }

    async fn apply(
        &self,
        job: &JobId,
        lease: Option<LeaseNumber>,
        events: &[Event],
        now: Timestamp,
    ) -> Result<Job, StoreError> {
        let mut tx = self.write().await?;
        let job = queue::apply(&mut tx, job, lease, events, now).await?;
        tx.commit().await?;
        Ok(job)
    }

    async fn begin_publish(
        &self,
        list: &PublishList,
        lease: Option<LeaseNumber>,
        now: Timestamp,
    ) -> Result<(), PublishRefused> {
        let mut tx = self.write().await?;
        publish::begin(&mut tx, list, lease, now).await?;
        Ok(tx.commit().await.map_err(StoreError::from)?)
    }

    async fn finish_publish(
        &self,
        list: &PublishList,
        lease: Option<LeaseNumber>,
        events: &[Event],
        grace: SignedDuration,
        now: Timestamp,
    ) -> Result<Job, StoreError> {
        let mut tx = self.write().await?;
        let job = publish::finish(&mut tx, list, lease, events, grace, now).await?;
        tx.commit().await?;
        Ok(job)
    }

    async fn abandon_publish(&self, list: &PublishList, kept: &[PublishItem]) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        publish::abandon(&mut tx, list, kept).await?;
        Ok(tx.commit().await?)
    }

    async fn pending_publishes(&self) -> Result<Vec<PublishList>, StoreError> {
        publish::pending(&mut *self.read().await?).await
    }

    async fn outputs(&self, job: &JobId) -> Result<Vec<OutputRecord>, StoreError> {
        look::outputs(&mut *self.read().await?, job).await
    }

    async fn outputs_of(&self, jobs: &[JobId]) -> Result<Vec<OutputRecord>, StoreError> {
        look::outputs_of(&mut *self.read().await?, jobs).await
    }

    async fn outputs_to_remove(&self, now: Timestamp) -> Result<Vec<OutputRecord>, StoreError> {
        look::outputs_to_remove(&mut *self.read().await?, now).await
    }

    async fn output_removed(&self, bucket: &BucketName, key: &ObjectKey) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        publish::removed(&mut tx, bucket, key).await?;
        Ok(tx.commit().await?)
    }

    async fn notes_due(&self) -> Result<Vec<Job>, StoreError> {
        look::notes_due(&mut *self.read().await?).await
    }

    async fn note_settled(&self, job: &JobId) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        publish::note_settled(&mut tx, job).await?;
        Ok(tx.commit().await?)
    }

    async fn source_steps_due(&self, after: i64, limit: u32) -> Result<Vec<SourceStep>, StoreError> {
        source::due(&mut *self.read().await?, after, limit).await
    }

    async fn source_steps_on(&self, bucket: &BucketName, key: &ObjectKey) -> Result<Vec<SourceStep>, StoreError> {
        source::due_on(&mut *self.read().await?, bucket, key).await
    }

    async fn source_steps_of(&self, jobs: &[JobId]) -> Result<Vec<SourceStep>, StoreError> {
        source::of_jobs(&mut *self.read().await?, jobs).await
    }

    async fn begin_source_step(
        &self,
        step: &SourceStep,
        aside: &ObjectKey,
        target: Option<&ObjectKey>,
    ) -> Result<bool, StoreError> {
        let mut tx = self.write().await?;
        let begun = source::begin(&mut tx, step.seq, aside, target).await?;
        tx.commit().await?;
        Ok(begun)
    }

    async fn settle_source_step(
        &self,
        step: &SourceStep,
        state: StepState,
        reason: Option<&str>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        source::settle(&mut tx, step.seq, state, reason, now).await?;
        Ok(tx.commit().await?)
    }

    async fn note_source_step(&self, step: &SourceStep, reason: &str) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        source::note(&mut tx, step.seq, reason).await?;
        Ok(tx.commit().await?)
    }

    async fn forget_jobs(
        &self,
        ended_by: Option<Timestamp>,
        keep: Option<u64>,
        limit: u32,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let mut tx = self.write().await?;
        let forgotten = history::forget(&mut tx, ended_by, keep, limit, now).await?;
        tx.commit().await?;
        Ok(forgotten)
    }

    async fn backup(&self, to: &Path) -> Result<u64, BackupError> {
        backup::copy(&self.path, to).await
    }

    async fn job(&self, id: &JobId) -> Result<Job, StoreError> {
        Ok(job::load(&mut *self.read().await?, id).await?.job)
    }

    async fn ids(&self, part: &str, newest: u32, limit: u32) -> Result<Vec<JobId>, StoreError> {
        look::ids(&mut *self.read().await?, part, newest, limit).await
    }

    async fn jobs(&self, filter: &JobFilter) -> Result<Vec<Job>, StoreError> {
        look::jobs(&mut *self.read().await?, filter).await
    }

    async fn counts(&self) -> Result<Vec<JobCount>, StoreError> {
        look::counts(&mut *self.read().await?).await
    }

    async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}
