//! What a worker tells of its results, and what becomes of them.

use super::super::publishing::{Made, Target, publish_task};
use super::attempt::{Attempt, Break};
use super::desk::Desk;
use crate::job::{ErrorKind, Failure, Finding, Job};
use crate::plan::{KeptProvenance, MediaInfo, OutputReport, PlannedRun, Provenance, verify, without_secrets};
use crate::publish::Scratch;
use crate::rule::TaskId;
use crate::store::StoreError;

/// A file as the worker tells of it.
pub struct Reported<'a> {
    pub task: &'a TaskId,
    pub file: String,
    pub size: u64,
    pub report: &'a OutputReport,
}

/// Takes in a file that the worker reports, where it is what was planned; answers what is to be noted.
pub(super) fn look_at(
    run: &PlannedRun,
    media: Option<&MediaInfo>,
    desk: &mut Desk,
    reported: Reported<'_>,
) -> Result<Vec<Finding>, Break> {
    let Reported {
        task,
        file,
        size,
        report,
    } = reported;
    let planned = run.outputs.iter().find(|one| &one.task == task && one.file == file);
    let member = || {
        let package = run.packages.iter().find(|package| &package.task == task)?;
        package.key(&file)
    };
    let Some(key) = planned.map(|planned| planned.key.clone()).or_else(member) else {
        let strange = format!("the worker reported a file that nobody asked for: {file:?}");
        return Err(Failure::new(ErrorKind::Protocol, strange).into());
    };
    if !desk.report(&file) {
        let twice = format!("the worker reported a file twice, or too many: {file:?}");
        return Err(Failure::new(ErrorKind::Protocol, twice).into());
    }
    match planned.map_or(Ok(Vec::new()), |planned| verify(planned, size, report, media)) {
        Err(failure) => {
            desk.failures.entry(task.clone()).or_insert(failure);
            Ok(Vec::new())
        }
        Ok(findings) => {
            let made = desk.made.entry(task.clone()).or_default();
            made.push(Made { file, size, key });
            Ok(findings)
        }
    }
}

impl Attempt<'_> {
    /// Keeps with the job what ran for a task.
    pub(super) async fn keep_provenance(
        &self,
        job: &Job,
        run: &PlannedRun,
        task: &TaskId,
        ran: Provenance,
    ) -> Result<(), StoreError> {
        let planned = run.plan.tasks.iter().find(|planned| &planned.task == task);
        let settings = planned.and_then(|planned| serde_json::to_value(&planned.work).ok());
        let kept = KeptProvenance {
            task: task.to_string(),
            program: env!("CARGO_PKG_VERSION").to_owned(),
            settings: without_secrets(settings.unwrap_or_default()),
            ran,
        };
        match serde_json::to_string(&kept) {
            Ok(text) => self.mill.store.keep_provenance(&job.id, task, &text).await,
            Err(_) => Ok(()),
        }
    }

    /// Has the files of a task published.
    pub(super) fn hand_over(&self, job: &Job, task: &TaskId, run: &PlannedRun, scratch: &Scratch, desk: &mut Desk) {
        let mut made = desk.made.remove(task).unwrap_or_default();
        made.sort_by_key(|one| run.packages.iter().any(|package| package.is_front(&one.file)));
        let findings = desk.findings.remove(task).unwrap_or_default();
        desk.handed.insert(task.clone());
        let target = match Target::of(self.rule) {
            Ok(target) => target,
            Err(error) => {
                desk.failures.insert(task.clone(), error.failure());
                return;
            }
        };
        let (ticket, size) = (desk.ticket.clone(), made.iter().map(|one| one.size).sum());
        let (mill, job, scratch, task, lease) = (
            self.mill.clone(),
            job.clone(),
            scratch.clone(),
            task.clone(),
            self.lease,
        );
        desk.publishing.spawn(async move {
            let done = publish_task(&mill, &job, lease, &task, &target, &scratch, made, findings).await;
            if let (Some(ticket), Ok(_)) = (ticket, &done) {
                ticket.published(size);
            }
            (task, done)
        });
    }
}
