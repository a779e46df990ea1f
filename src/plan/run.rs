//! From ready tasks to runs: which share one decode, and what each will write.
//!
//! Pure. A task that cannot be carried out on this medium is a failure of that task alone.

use jiff::civil::Date;

use super::names::FileOf;
use super::{
    Expect, MediaInfo, PlannedOutput, PlannedRun, RunPlan, SnapshotPlan, Still, StreamKind, TaskPlan, TranscodePlan,
    VideoStream, Work, picture_size, stills,
};
use crate::job::{ErrorKind, Failure, Finding, FindingKind, JobId, TaskRecord};
use crate::object::Object;
use crate::rule::{AudioSpec, Gop, Rule, Snapshot, TaskId, TaskKind, Transcode, VideoSpec};

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

struct PlannedTask {
    work: Work,
    outputs: Vec<PlannedOutput>,
    findings: Vec<Finding>,
}

/// Whether a task must know the medium.
#[must_use]
pub fn needs_media(kind: &TaskKind) -> bool {
    !matches!(kind, TaskKind::Copy)
}

/// Plans the tasks that may run now. Those that are not to run alone share one run.
#[must_use]
pub fn plan(wanted: &Wanted<'_>) -> Planned {
    let mut planned = Planned::default();
    let mut shared: Option<PlannedRun> = None;
    let mut alone = Vec::new();
    for record in wanted.tasks {
        match plan_task(wanted, record) {
            Err(failure) => planned.failures.push((record.id.clone(), failure)),
            Ok(task) => {
                let noticed = task.findings.into_iter();
                planned
                    .findings
                    .extend(noticed.map(|finding| (record.id.clone(), finding)));
                let run = if record.alone {
                    alone.push(empty_run(wanted));
                    alone.last_mut()
                } else {
                    Some(shared.get_or_insert_with(|| empty_run(wanted)))
                };
                if let Some(run) = run {
                    run.outputs.extend(task.outputs);
                    run.plan.tasks.push(TaskPlan {
                        task: record.id.clone(),
                        work: task.work,
                    });
                }
            }
        }
    }
    planned.runs = shared.into_iter().chain(alone).collect();
    planned
}

fn empty_run(wanted: &Wanted<'_>) -> PlannedRun {
    PlannedRun {
        plan: RunPlan {
            media: wanted.media.ok().cloned(),
            tasks: Vec::new(),
            threads: wanted.threads,
        },
        outputs: Vec::new(),
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
        TaskKind::Snapshot(settings) => snapshot(wanted, &task.id, settings),
    }
}

fn known<'a>(wanted: &Wanted<'a>) -> Result<&'a MediaInfo, Failure> {
    wanted.media.map_err(Clone::clone)
}

/// The film of the medium, where its pictures have a size.
fn film(media: &MediaInfo) -> Result<Option<&VideoStream>, Failure> {
    match media.video() {
        Some(video) if video.width == 0 || video.height == 0 => Err(Failure::new(
            ErrorKind::Corrupt,
            "no picture of the video could be decoded, so nobody knows its size",
        )),
        video => Ok(video),
    }
}

fn of_one(output: PlannedOutput, work: impl FnOnce(String) -> Work) -> PlannedTask {
    PlannedTask {
        work: work(output.file.clone()),
        outputs: vec![output],
        findings: Vec::new(),
    }
}

fn output(
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
        Expect::Image(width, height) => Some((width, height)),
        Expect::Media { video, .. } => video,
        Expect::SourceBytes(_) | Expect::Json => None,
    };
    Ok(PlannedOutput {
        task: task.clone(),
        file: file.scratch(),
        key: file.key(wanted, size)?,
        expect,
    })
}

fn transcode(wanted: &Wanted<'_>, task: &TaskId, settings: &Transcode) -> Result<PlannedTask, Failure> {
    let media = known(wanted)?;
    let mut settings = settings.clone();
    let findings = left_out(media, &settings);
    let lacks = match (settings.video.is_some(), settings.audio.is_some()) {
        (true, true) => "the medium has neither video nor sound",
        (true, false) => "the medium has no video",
        (false, _) => "the medium has no sound",
    };
    let picture = settings
        .video
        .as_ref()
        .and(film(media)?)
        .map(|video| picture_size(&settings.size, video));
    let gop_frames = match (&settings.video, media.video()) {
        (Some(spec), Some(video)) => gop_frames(spec, video),
        _ => None,
    };
    let sound = match (&settings.audio, media.audio()) {
        (Some(spec), Some(audio)) => Some((channels(spec, audio.channels), rate(spec, audio.rate))),
        _ => None,
    };
    if picture.is_none() {
        settings.video = None;
    }
    if sound.is_none() {
        settings.audio = None;
    }
    if picture.is_none() && sound.is_none() {
        return Err(Failure::new(ErrorKind::NoSuchStream, lacks));
    }
    let expect = Expect::Media {
        video: picture,
        audio: sound,
    };
    let extension = settings.container.extension().as_bytes();
    let output = output(wanted, task, None, extension, expect)?;
    let work = |file| {
        Work::Transcode(TranscodePlan {
            file,
            settings,
            picture,
            gop_frames,
            channels: sound.map(|(channels, _)| channels),
            rate: sound.map(|(_, rate)| rate),
        })
    };
    Ok(PlannedTask {
        findings,
        ..of_one(output, work)
    })
}

fn snapshot(wanted: &Wanted<'_>, task: &TaskId, settings: &Snapshot) -> Result<PlannedTask, Failure> {
    let media = known(wanted)?;
    let Some(video) = film(media)? else {
        return Err(Failure::new(ErrorKind::NoSuchStream, "the medium has no video"));
    };
    let picture = picture_size(&settings.size, video);
    let (points, findings) = stills::resolve(&settings.at, media, video)?;
    let count = u32::try_from(settings.at.len()).unwrap_or(u32::MAX);
    let extension = settings.format.extension().as_bytes();
    let mut outputs = Vec::with_capacity(points.len());
    let mut stills = Vec::with_capacity(points.len());
    for point in points {
        let number = Some((point.number, count));
        let expect = Expect::Image(picture.0, picture.1);
        let output = output(wanted, task, number, extension, expect)?;
        stills.push(Still {
            file: output.file.clone(),
            at: point.at,
        });
        outputs.push(output);
    }
    Ok(PlannedTask {
        work: Work::Snapshot(SnapshotPlan {
            stills,
            format: settings.format,
            quality: settings.quality,
            picture,
        }),
        outputs,
        findings,
    })
}

/// Streams of the source that a transcode leaves out though nobody asked for that.
fn left_out(media: &MediaInfo, settings: &Transcode) -> Vec<Finding> {
    let count = |is: fn(&StreamKind) -> bool| {
        let matching = media.streams.iter().filter(|stream| is(&stream.kind));
        matching.count()
    };
    let films = media.streams.iter().filter(|stream| stream.is_film());
    let further = [
        (
            films.count().saturating_sub(1),
            settings.video.is_some(),
            "further video track",
        ),
        (
            count(|kind| matches!(kind, StreamKind::Audio(_))).saturating_sub(1),
            settings.audio.is_some(),
            "further audio track",
        ),
        (
            count(|kind| matches!(kind, StreamKind::Subtitle)),
            settings.video.is_some(),
            "subtitle track",
        ),
    ];
    further
        .into_iter()
        .filter(|(count, wanted, _)| *count > 0 && *wanted)
        .map(|(count, _, what)| Finding {
            kind: FindingKind::StreamLeftOut,
            message: if count == 1 {
                format!("1 {what} of the source is not in the result")
            } else {
                format!("{count} {what}s of the source are not in the result")
            },
        })
        .collect()
}

fn channels(spec: &AudioSpec, source: u32) -> u32 {
    spec.channels.unwrap_or(match source {
        1 => 1,
        0 | 2..=5 => 2,
        _ => 6,
    })
}

fn rate(spec: &AudioSpec, source: u32) -> u32 {
    /// What AAC can have.
    const RATES: [u32; 12] = [
        8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 64_000, 88_200, 96_000,
    ];
    let kept = if RATES.contains(&source) { source } else { 48_000 };
    spec.rate.unwrap_or(kept)
}

/// Two seconds, unless the rule says otherwise.
const USUAL_GOP: Gop = Gop::Time(std::time::Duration::from_secs(2));

fn gop_frames(spec: &VideoSpec, video: &VideoStream) -> Option<u32> {
    let length = match spec.gop.unwrap_or(USUAL_GOP) {
        Gop::Frames(frames) => return Some(frames.max(1)),
        Gop::Time(length) => length,
    };
    let fps = spec.fps.or(match video.fps {
        (0, _) | (_, 0) => None,
        (num, den) => Some(f64::from(num) / f64::from(den)),
    })?;
    let frames = (length.as_secs_f64() * fps).round().clamp(1.0, 100_000.0);
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to the range"
    )]
    Some(frames as u32)
}

#[cfg(test)]
mod tests;
