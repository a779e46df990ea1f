//! One attempt at tasks that are ready together: a worker, its run, and the publishing of what it makes.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio_util::sync::CancellationToken;

use super::super::mill::Mill;
use super::super::publishing::{Target, blocking, root};
use super::Workshop;
use super::desk::{Desk, Unfinished};
use super::results::{Reported, look_at};
use super::station::{Station, broken};
use crate::job::state::Event;
use crate::job::{ErrorKind, Failure, Job, LeaseNumber, TaskRecord};
use crate::object::ObjectKey;
use crate::plan::{MediaInfo, PackageKey, Planned, PlannedPackage, PlannedRun, Wanted, estimate, needs_media, plan};
use crate::publish::{Destination, PublishError, Scratch};
use crate::rule::{Grants, Rule, TaskId};
use crate::store::StoreError;
use crate::worker::protocol::FromWorker;
use crate::worker::spawn::tell_refused;

/// What an attempt needs beside the job.
pub struct Attempt<'a> {
    pub mill: &'a Arc<Mill>,
    pub shop: &'a Arc<Workshop>,
    pub rule: &'a Rule,
    pub lease: LeaseNumber,
    pub stop: &'a CancellationToken,
}

/// How an attempt went.
#[derive(Debug)]
pub enum Outcome {
    /// These tasks did not get done; all others of the group did, or have failed for good.
    Worked(Vec<Unfinished>),
    /// The source is another one now, or gone.
    SourceChanged(String),
    /// A newer version of the source was accepted.
    Superseded,
    /// Somebody asked the work to stop.
    Stopped,
    /// There is no room for what it would write; `total`: nor for anything else.
    NoRoom { reason: String, total: bool },
}

/// Why an attempt ends before its time.
#[derive(Debug)]
pub enum Break {
    Failed(Failure),
    Leave(Outcome),
    Store(StoreError),
}

impl From<StoreError> for Break {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Failure> for Break {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Attempt<'_> {
    /// Works the tasks of `group`, all of them queued.
    pub async fn work(&self, job: &Job, group: &[TaskRecord]) -> Result<Outcome, StoreError> {
        let ids: Vec<TaskId> = group.iter().map(|task| task.id.clone()).collect();
        let mut desk = Desk::new(self.rule.strict);
        let started = Event::RunStarted { tasks: ids.clone() };
        let now = Timestamp::now();
        let job = self
            .mill
            .store
            .apply(&job.id, Some(self.lease), &[started], now)
            .await?;
        let ended = Box::pin(self.stage(&job, group, &mut desk)).await;
        // A publishing that has begun is brought to its end, whatever became of the run.
        let published = desk.finish_publishing().await;
        let failure = match (ended, published) {
            (Err(Break::Store(error)), _) | (_, Err(Break::Store(error))) => return Err(error),
            (Err(Break::Leave(outcome)), _) | (_, Err(Break::Leave(outcome))) => {
                return Ok(outcome);
            }
            (Err(Break::Failed(failure)), _) | (_, Err(Break::Failed(failure))) => Some(failure),
            (Ok(()), Ok(())) => None,
        };
        let left_out = Failure::new(ErrorKind::Internal, "the run ended without a word on this task");
        let of_run = failure.unwrap_or(left_out);
        let unfinished = ids.into_iter().filter_map(|id| desk.unfinished(id, &of_run));
        Ok(Outcome::Worked(unfinished.collect()))
    }

    async fn stage(&self, job: &Job, group: &[TaskRecord], desk: &mut Desk) -> Result<(), Break> {
        for bucket in [&job.object.bucket, &self.rule.output.bucket] {
            let known = self
                .mill
                .buckets
                .get(bucket)
                .ok_or_else(|| Failure::new(ErrorKind::Offline, format!("bucket {bucket} is not in the config")))?;
            known
                .check()
                .await
                .map_err(|error| Failure::new(ErrorKind::Offline, error.to_string()))?;
        }
        self.look_for_room(job, group).await?;
        let download = self.download(job).await?;
        let whole = download.as_ref();
        // Whoever looks at the medium has no more than the usual leave.
        let mut station = Box::pin(self.start(job, whole, 0, &Grants::default())).await?;
        let medium = match self.medium(job, group, &mut station).await {
            Ok(medium) => medium,
            Err(error) => {
                station.leave().await;
                return Err(error);
            }
        };
        let records: Vec<&TaskRecord> = group.iter().collect();
        let planned = self.plan(job, &records, medium.as_ref());
        desk.failures.extend(planned.failures);
        for (task, finding) in planned.findings {
            desk.findings.entry(task).or_default().push(finding);
        }
        let media = medium.as_ref().ok();
        let mut first = Some(station);
        let mut runs = (0..).zip(planned.runs).peekable();
        while let Some((number, run)) = runs.next() {
            let station = match first.take() {
                Some(ready) if run.grants.is_empty() => ready,
                other => {
                    if let Some(idle) = other {
                        idle.leave().await;
                    }
                    Box::pin(self.start(job, whole, number, &run.grants)).await?
                }
            };
            let scratch = station.scratch.clone();
            let run = match Box::pin(self.bring_assets(run, &scratch, desk)).await {
                Ok(run) if run.plan.tasks.is_empty() => {
                    station.leave().await;
                    continue;
                }
                Ok(run) => run,
                Err(error) => {
                    station.leave().await;
                    return Err(error);
                }
            };
            let ended = self.run(job, run, media, station, desk).await;
            if runs.peek().is_none() && is_last(job, group) {
                self.leave_slot(job);
            }
            let published = desk.finish_publishing().await;
            if !std::mem::take(&mut desk.keeps_scratch) {
                scratch.remove();
            }
            ended?;
            published?;
        }
        if let Some(idle) = first {
            idle.leave().await;
        }
        Ok(())
    }

    pub(super) fn plan(&self, job: &Job, tasks: &[&TaskRecord], media: Result<&MediaInfo, &Failure>) -> Planned {
        plan(&Wanted {
            rule: self.rule,
            object: &job.object,
            media,
            tasks,
            job: &job.id,
            date: Timestamp::now().to_zoned(TimeZone::system()).date(),
            threads: self.shop.threads,
            key: PackageKey(rand::random()),
        })
    }

    /// What the source is: as an earlier run found, or as this worker's probe does; or why that cannot be said.
    async fn medium(
        &self,
        job: &Job,
        group: &[TaskRecord],
        station: &mut Station,
    ) -> Result<Result<MediaInfo, Failure>, Break> {
        if let Some(known) = job.media.as_deref().and_then(|text| serde_json::from_str(text).ok()) {
            return Ok(Ok(known));
        }
        let asks = |record: &TaskRecord| {
            let task = self.rule.task(&record.id);
            task.is_none_or(|task| needs_media(&task.kind))
        };
        if !group.iter().any(asks) {
            return Ok(Err(Failure::new(ErrorKind::Internal, "nobody asked for the medium")));
        }
        self.phase(job, "probing");
        let probed = tokio::select! {
            () = self.stop.cancelled() => return Err(Break::Leave(Outcome::Stopped)),
            broken = broken(station.feed.as_ref()) => return Err(broken),
            probed = station.worker.probe() => probed,
        };
        station.whole()?;
        match probed {
            Ok(media) => {
                let media_text = serde_json::to_string(&media)
                    .map_err(|error| Failure::new(ErrorKind::Internal, error.to_string()))?;
                let event = Event::Probed { media: media_text };
                self.mill
                    .store
                    .apply(&job.id, Some(self.lease), &[event], Timestamp::now())
                    .await?;
                Ok(Ok(media))
            }
            // The medium is at fault: whoever does not need it can still be served by this worker.
            Err(failure) if matches!(failure.kind, ErrorKind::Corrupt | ErrorKind::Unsupported) => Ok(Err(failure)),
            Err(failure) => Err(failure.into()),
        }
    }

    /// Lets the worker carry out one run, and publishes each task when its files are complete.
    async fn run(
        &self,
        job: &Job,
        run: PlannedRun,
        media: Option<&MediaInfo>,
        mut station: Station,
        desk: &mut Desk,
    ) -> Result<(), Break> {
        let scratch = &station.scratch.clone();
        let need = estimate(&run, job.object.identity.size);
        tracing::debug!(job = %job.id, bytes = need, "estimated need of room");
        desk.ticket = None;
        desk.ticket = match self.mill.room.take(&scratch.path, need).await {
            Ok(ticket) => Some(Arc::new(ticket)),
            Err(shortage) => {
                station.worker.stop().await;
                return Err(self.no_room(&shortage));
            }
        };
        if let Err(failure) = self.may_fill(&run, scratch).await {
            station.worker.stop().await;
            return Err(failure.into());
        }
        let tasks: Vec<TaskId> = run.plan.tasks.iter().map(|planned| planned.task.clone()).collect();
        self.mill.running.update(&job.id, |known| known.begin_run(tasks));
        let ended = match station.worker.start(run.plan.clone()).await {
            Ok(()) => self.follow(job, &run, media, &mut station, desk).await,
            Err(failure) => Err(failure.into()),
        };
        station.worker.stop().await;
        drop(station.feed);
        ended?;
        // All that was to be made is made: what is whole is published, what is missing has failed.
        for planned in &run.plan.tasks {
            let task = &planned.task;
            if desk.handed.contains(task) || desk.failures.contains_key(task) {
                continue;
            }
            if let Some(name) = desk.missing(task, &run).filter(|_| desk.made.contains_key(task)) {
                let nothing = Failure::new(ErrorKind::BadOutput, format!("the package has no {name}"));
                desk.failures.insert(task.clone(), nothing);
            } else if desk.made.contains_key(task) {
                self.hand_over(job, task, &run, scratch, desk);
            } else {
                let nothing = Failure::new(ErrorKind::BadOutput, "the run ended without a result of this task");
                desk.failures.insert(task.clone(), nothing);
            }
        }
        self.phase(job, "publishing");
        Ok(())
    }

    /// Whether the results of a run may be put where they go.
    async fn may_fill(&self, run: &PlannedRun, scratch: &Scratch) -> Result<(), Failure> {
        let target = Target::of(self.rule).map_err(|error| error.failure())?;
        let place = Destination::new(root(self.mill, &target.bucket)).with_access(target.access);
        let scratch = scratch.clone();
        let outputs = run.outputs.iter().map(|output| output.key.clone());
        let packages = run.packages.iter().flat_map(PlannedPackage::places);
        let mut keys: Vec<ObjectKey> = outputs.chain(packages).collect();
        keys.sort_by(|a, b| a.directory().cmp(b.directory()));
        keys.dedup_by(|a, b| a.directory() == b.directory());
        blocking(move || keys.iter().try_for_each(|key| place.may_fill(key, &scratch)))
            .await
            .map_err(|error: PublishError| error.failure())
    }

    async fn follow(
        &self,
        job: &Job,
        run: &PlannedRun,
        media: Option<&MediaInfo>,
        station: &mut Station,
        desk: &mut Desk,
    ) -> Result<(), Break> {
        loop {
            let message = tokio::select! {
                () = self.stop.cancelled() => return Err(Break::Leave(Outcome::Stopped)),
                broken = broken(station.feed.as_ref()) => return Err(broken),
                Some(done) = desk.publishing.join_next() => {
                    desk.published(done)?;
                    continue;
                }
                message = station.worker.next() => message,
            };
            station.whole()?;
            match message? {
                FromWorker::Done => return Ok(()),
                FromWorker::Failed { failure } => return Err(failure.into()),
                FromWorker::Progress(progress) => {
                    let at = Timestamp::now();
                    self.mill.running.update(&job.id, |known| known.note(progress, at));
                }
                FromWorker::Provenance { task, provenance } => {
                    self.keep_provenance(job, run, &task, provenance).await?;
                }
                FromWorker::Finding { task, finding } => {
                    desk.note(&run.plan.tasks, task.as_ref(), &finding);
                }
                FromWorker::Refused { calls } => tell_refused(&calls),
                FromWorker::TaskFailed { task, failure } => {
                    desk.failures.entry(task).or_insert(failure);
                }
                FromWorker::Output {
                    task,
                    file,
                    size,
                    report,
                } => {
                    let looked = look_at(
                        run,
                        media,
                        desk,
                        Reported {
                            task: &task,
                            file,
                            size,
                            report: &report,
                        },
                    )?;
                    for finding in looked {
                        desk.note(&run.plan.tasks, Some(&task), &finding);
                    }
                    // A strict rule may still learn that the source was cut off: it waits for the end.
                    if desk.is_whole(&task, run) && !self.rule.strict {
                        self.hand_over(job, &task, run, &station.scratch, desk);
                    }
                }
                FromWorker::Hello { .. } | FromWorker::Media { .. } => {
                    return Err(Failure::new(ErrorKind::Protocol, "the worker spoke out of turn").into());
                }
            }
        }
    }

    /// Lets another job have the slot: publishing moves bytes, and takes hardly a processor.
    fn leave_slot(&self, job: &Job) {
        self.mill.running.update(&job.id, |known| known.in_slot = false);
        self.mill.queue_changed.notify_one();
    }

    pub(super) fn phase(&self, job: &Job, phase: &'static str) {
        self.mill.running.update(&job.id, |known| known.phase = phase);
    }
}

/// Whether nothing of a job is left to be run after these tasks, whatever becomes of them in this attempt.
fn is_last(job: &Job, group: &[TaskRecord]) -> bool {
    let in_group = |id: &TaskId| group.iter().any(|task| &task.id == id);
    job.tasks.iter().all(|task| task.state.is_final() || in_group(&task.id))
}
