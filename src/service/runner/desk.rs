//! What is known of the tasks of a run while it works.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::task::{JoinError, JoinSet};

use super::super::publishing::{Made, Trouble};
use super::super::room::Ticket;
use super::attempt::{Break, Outcome};
use crate::job::{ErrorKind, Failure, Finding, FindingKind, Job};
use crate::plan::{MOST_FILES, PlannedRun, TaskPlan};
use crate::rule::TaskId;
use crate::store::StoreError;

/// A task that did not get done.
#[derive(Debug)]
pub struct Unfinished {
    pub task: TaskId,
    pub failure: Failure,
    pub findings: Vec<Finding>,
}

/// The tasks of a run.
pub struct Desk {
    /// Verified files by task, until they are published.
    pub made: BTreeMap<TaskId, Vec<Made>>,
    pub findings: BTreeMap<TaskId, Vec<Finding>>,
    pub failures: BTreeMap<TaskId, Failure>,
    /// Handed to publishing, or done.
    pub handed: BTreeSet<TaskId>,
    pub publishing: JoinSet<(TaskId, Result<Job, Trouble>)>,
    /// Room for what the run writes.
    pub ticket: Option<Arc<Ticket>>,
    /// Finished files lie in scratch that will get their names later.
    pub keeps_scratch: bool,
    /// Names in scratch.
    reported: BTreeSet<String>,
    strict: bool,
}

impl Desk {
    pub fn new(strict: bool) -> Self {
        Self {
            made: BTreeMap::new(),
            findings: BTreeMap::new(),
            failures: BTreeMap::new(),
            handed: BTreeSet::new(),
            publishing: JoinSet::new(),
            ticket: None,
            keeps_scratch: false,
            reported: BTreeSet::new(),
            strict,
        }
    }

    /// Notes that a file was reported; false where it was already, or there are too many.
    pub fn report(&mut self, file: &str) -> bool {
        self.reported.len() < MOST_FILES && self.reported.insert(file.to_owned())
    }

    /// Whether every file of a task is there. Of a package nobody knows before the end of the run.
    pub fn is_whole(&self, task: &TaskId, run: &PlannedRun) -> bool {
        let wanted = run.outputs.iter().filter(|one| &one.task == task).count();
        let has = self.made.get(task).map_or(0, Vec::len);
        let package = run.packages.iter().any(|package| &package.task == task);
        has == wanted && !package && !self.failures.contains_key(task)
    }

    /// What a package must have and was not made: nobody could open the rest without it.
    pub fn missing<'r>(&self, task: &TaskId, run: &'r PlannedRun) -> Option<&'r str> {
        let package = run.packages.iter().find(|package| &package.task == task)?;
        let made = self.made.get(task).map_or(&[][..], Vec::as_slice);
        let has = |name: &str| {
            made.iter()
                .any(|one| one.file.strip_prefix(&package.prefix) == Some(name))
        };
        let apart = package.apart.iter().map(|(name, _)| name);
        package
            .fronts
            .iter()
            .chain(apart)
            .map(String::as_str)
            .find(|name| !has(name))
    }

    /// Keeps a finding with its task, or with every task of the run that reads the medium; a strict rule makes
    /// damage a failure.
    pub fn note(&mut self, tasks: &[TaskPlan], task: Option<&TaskId>, finding: &Finding) {
        let concerned = tasks.iter().filter(|planned| match task {
            Some(one) => &planned.task == one,
            None => planned.work.reads_streams(),
        });
        for planned in concerned {
            let known = self.findings.entry(planned.task.clone()).or_default();
            if !known.contains(finding) {
                known.push(finding.clone());
            }
            let kind = match finding.kind {
                FindingKind::Truncated => ErrorKind::Truncated,
                FindingKind::Corrupt => ErrorKind::Corrupt,
                _ => continue,
            };
            if self.strict {
                let failure = Failure::new(kind, finding.message.clone());
                self.failures.entry(planned.task.clone()).or_insert(failure);
            }
        }
    }

    /// Takes in how the publishing of a task went.
    pub fn published(&mut self, done: Result<(TaskId, Result<Job, Trouble>), JoinError>) -> Result<(), Break> {
        let (task, result) = match done {
            Ok(done) => done,
            Err(error) => {
                let broken = format!("publishing broke off: {error}");
                return Err(Failure::new(ErrorKind::Internal, broken).into());
            }
        };
        match result {
            Ok(job) => {
                tracing::info!(%task, job = %job.id, "task published");
                Ok(())
            }
            Err(Trouble::Failed(failure)) => {
                self.failures.insert(task, failure);
                Ok(())
            }
            Err(Trouble::Waits(failure)) => {
                self.keeps_scratch = true;
                self.failures.insert(task, failure);
                Ok(())
            }
            Err(Trouble::SourceChanged(reason)) => Err(Break::Leave(Outcome::SourceChanged(reason))),
            Err(Trouble::Superseded) => Err(Break::Leave(Outcome::Superseded)),
            Err(Trouble::LeaseLost(job)) => Err(StoreError::LeaseLost(job).into()),
            Err(Trouble::Store(error)) => Err(error.into()),
        }
    }

    /// Waits for every publishing that has begun.
    pub async fn finish_publishing(&mut self) -> Result<(), Break> {
        let mut result = Ok(());
        while let Some(done) = self.publishing.join_next().await {
            result = result.and(self.published(done));
        }
        result
    }

    /// What is left of a task that did not get done: its own failure, or that of the whole run.
    pub fn unfinished(&mut self, task: TaskId, of_run: &Failure) -> Option<Unfinished> {
        let own = self.failures.remove(&task);
        let failure = own.or_else(|| (!self.handed.contains(&task)).then(|| of_run.clone()))?;
        let findings = self.findings.remove(&task).unwrap_or_default();
        Some(Unfinished {
            task,
            failure,
            findings,
        })
    }
}
