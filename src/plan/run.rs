//! From ready tasks to runs: which share one decode, and what each will write.
//!
//! Pure. A task that cannot be carried out on this medium is a failure of that task alone.

use std::time::Duration;

use jiff::civil::Date;

use super::adaptive::adaptive;
use super::extract::extract;
use super::listening::{inspect, waveform};
use super::names::FileOf;
use super::pictures::{animation, snapshot, sprite};
use super::transcode::transcode;
use super::{
    Expect, Form, MediaInfo, PackageKey, PipelinePlan, PlannedOutput, PlannedPackage, PlannedRun, RunPlan, Span,
    TaskPlan, VideoStream, Work,
};
use crate::job::{ErrorKind, Failure, Finding, JobId, TaskRecord};
use crate::object::Object;
use crate::rule::{Grants, Rule, TaskId, TaskKind};

/// What is to be planned.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The version that the job keeps.
    pub rule: &'a Rule,
    /// The source.
    pub object: &'a Object,
    /// What the probe said, or why it said nothing. Tasks for which [`needs_media`] is false do not look at it.
    pub media: Result<&'a MediaInfo, &'a Failure>,
    /// The tasks that may run now.
    pub tasks: &'a [&'a TaskRecord],
    /// For names.
    pub job: &'a JobId,
    /// For names.
    pub date: Date,
    /// Threads that an encoder may use.
    pub threads: u32,
    /// New for every attempt.
    pub key: PackageKey,
}

/// What came of it: every wanted task is in one run or failed.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Planned {
    /// The first is shared by all tasks that may share; each of the others has one task.
    pub runs: Vec<PlannedRun>,
    /// Tasks that cannot be carried out.
    pub failures: Vec<(TaskId, Failure)>,
    /// What was noticed while planning.
    pub findings: Vec<(TaskId, Finding)>,
}

/// A task, resolved against the medium.
pub(super) struct PlannedTask {
    pub work: Work,
    pub outputs: Vec<PlannedOutput>,
    pub package: Option<PlannedPackage>,
    pub findings: Vec<Finding>,
}

/// Whether a task must know the medium.
#[must_use]
pub fn needs_media(kind: &TaskKind) -> bool {
    !matches!(kind, TaskKind::Copy)
}

/// Plans the tasks that may run now. Those that are not to run alone share runs, as far as they need the same part of
/// the medium.
#[must_use]
pub fn plan(wanted: &Wanted<'_>) -> Planned {
    let mut planned = Planned::default();
    let mut shared: Vec<(Company, PlannedRun)> = Vec::new();
    let mut alone = Vec::new();
    for record in wanted.tasks {
        let task = match plan_task(wanted, record) {
            Ok(task) => task,
            Err(failure) => {
                planned.failures.push((record.id.clone(), failure));
                continue;
            }
        };
        let noticed = task.findings.into_iter();
        planned
            .findings
            .extend(noticed.map(|finding| (record.id.clone(), finding)));
        let length = wanted.media.ok().and_then(|media| media.duration);
        let company = if record.alone {
            Company::None
        } else {
            company(&task.work, length)
        };
        let found = shared.iter().position(|(other, _)| *other == company);
        let run = match (found, company) {
            (_, Company::None) => {
                alone.push(empty_run(wanted));
                alone.last_mut()
            }
            (Some(at), _) => Some(&mut shared[at].1),
            (None, company) => {
                shared.push((company, empty_run(wanted)));
                shared.last_mut().map(|(_, run)| run)
            }
        };
        if let Some(run) = run {
            run.outputs.extend(task.outputs);
            run.packages.extend(task.package);
            let kind = wanted.rule.task(&record.id).map(|task| &task.kind);
            if let Some(TaskKind::Pipeline(pipeline)) = kind {
                run.grants = pipeline.allow.clone();
            }
            let assets = kind.map(TaskKind::assets).unwrap_or_default();
            run.assets
                .extend(assets.into_iter().map(|asset| (record.id.clone(), asset)));
            run.plan.tasks.push(TaskPlan {
                task: record.id.clone(),
                work: task.work,
            });
        }
    }
    planned.runs = shared.into_iter().map(|(_, run)| run).chain(alone).collect();
    for run in &mut planned.runs {
        run.plan.threads = share(&run.plan, wanted.threads);
    }
    planned
}

/// What is left for each of several films that are encoded at once: more threads than cores cost time, and one thread for
/// each makes the same film every time.
fn share(plan: &RunPlan, threads: u32) -> u32 {
    let encodes = |task: &TaskPlan| match &task.work {
        Work::Transcode(plan) => usize::from(plan.settings.video.encoded().is_some()),
        Work::Adaptive(plan) => plan.renditions.len(),
        _ => 0,
    };
    let films: usize = plan.tasks.iter().map(encodes).sum();
    threads.div_ceil(u32::try_from(films).unwrap_or(u32::MAX).max(1)).max(1)
}

/// With which tasks one may share a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Company {
    /// With all that read most of the medium.
    Medium,
    /// With those that want the same part.
    Part(Span),
    /// With none.
    None,
}

/// A small part is reached by a jump; nobody decodes a film for it.
fn company(work: &Work, length: Option<Duration>) -> Company {
    // Whatever it does, it does to itself.
    if matches!(work, Work::Pipeline(_)) {
        return Company::None;
    }
    let span = work.span();
    let Span { start, end } = span;
    if span.is_whole() {
        return Company::Medium;
    }
    if work.copies() {
        // Packets are cut where they begin, frames where the rule says: they cannot share a jump.
        return if start.is_zero() {
            Company::Medium
        } else {
            Company::None
        };
    }
    match (end.or(length), length) {
        (Some(end), Some(length)) if end.saturating_sub(start) * 2 >= length => Company::Medium,
        _ => Company::Part(span),
    }
}

fn empty_run(wanted: &Wanted<'_>) -> PlannedRun {
    PlannedRun {
        plan: RunPlan {
            media: wanted.media.ok().cloned(),
            tasks: Vec::new(),
            threads: wanted.threads,
        },
        outputs: Vec::new(),
        packages: Vec::new(),
        grants: Grants::default(),
        assets: Vec::new(),
    }
}

fn plan_task(wanted: &Wanted<'_>, record: &TaskRecord) -> Result<PlannedTask, Failure> {
    let Some(task) = wanted.rule.task(&record.id) else {
        return Err(Failure::new(
            ErrorKind::Plan,
            format!("the rule has no task {}", record.id),
        ));
    };
    match &task.kind {
        TaskKind::Copy => {
            let size = wanted.object.identity.size;
            let extension = wanted.object.key.extension();
            let output = output(wanted, &task.id, None, extension, Expect::SourceBytes(size))?;
            Ok(of_one(output, |file| Work::Copy { file }))
        }
        TaskKind::Probe => {
            known(wanted)?;
            let output = output(wanted, &task.id, None, b"json", Expect::Json)?;
            Ok(of_one(output, |file| Work::Probe { file }))
        }
        TaskKind::Transcode(settings) => transcode(wanted, &task.id, settings),
        TaskKind::Pipeline(settings) => {
            known(wanted)?;
            let extension = settings.extension.as_bytes();
            let output = output(wanted, &task.id, None, extension, Expect::Something)?;
            let launch = settings.launch.clone();
            Ok(of_one(output, |file| Work::Pipeline(PipelinePlan { file, launch })))
        }
        TaskKind::Snapshot(settings) => snapshot(wanted, &task.id, settings),
        TaskKind::Adaptive(settings) => adaptive(wanted, &task.id, settings),
        TaskKind::Sprite(settings) => sprite(wanted, &task.id, settings),
        TaskKind::Animation(settings) => animation(wanted, &task.id, settings),
        TaskKind::Waveform(settings) => waveform(wanted, &task.id, settings),
        TaskKind::Extract(settings) => extract(wanted, &task.id, settings),
        TaskKind::Inspect(settings) => inspect(wanted, &task.id, settings),
    }
}

pub(super) fn known<'a>(wanted: &Wanted<'a>) -> Result<&'a MediaInfo, Failure> {
    wanted.media.map_err(Clone::clone)
}

/// The film of the medium, where its pictures have a size.
pub(super) fn film(media: &MediaInfo) -> Result<Option<&VideoStream>, Failure> {
    match media.video() {
        Some(video) if video.width == 0 || video.height == 0 => Err(Failure::new(
            ErrorKind::Corrupt,
            "no picture of the video could be decoded, so nobody knows its size",
        )),
        video => Ok(video),
    }
}

pub(super) fn of_one(output: PlannedOutput, work: impl FnOnce(String) -> Work) -> PlannedTask {
    PlannedTask {
        work: work(output.file.clone()),
        outputs: vec![output],
        package: None,
        findings: Vec::new(),
    }
}

pub(super) fn output(
    wanted: &Wanted<'_>,
    task: &TaskId,
    number: Option<(u32, u32)>,
    extension: &[u8],
    expect: Expect,
) -> Result<PlannedOutput, Failure> {
    let file = FileOf {
        task,
        number,
        extension,
    };
    let size = match expect {
        Expect::Image(width, height)
        | Expect::Animation { width, height, .. }
        | Expect::Media {
            video: Form::Made(width, height),
            ..
        } => Some((width, height)),
        Expect::Media {
            video: Form::Copied, ..
        } => wanted
            .media
            .ok()
            .and_then(MediaInfo::video)
            .map(VideoStream::display_size),
        Expect::Sheet { width, row, rows } => Some((width, row * rows)),
        Expect::Media { .. } | Expect::Package { .. } | Expect::SourceBytes(_) | Expect::Json | Expect::Something => {
            None
        }
    };
    Ok(PlannedOutput {
        task: task.clone(),
        file: file.scratch(),
        key: file.key(wanted, size)?,
        expect,
    })
}

#[cfg(test)]
mod tests;
