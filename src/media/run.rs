//! Carries out a plan: probe and copy by themselves, and one decode for all tasks that need frames or sound.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::album::Shoot;
use super::assembly::{Tasks, Turn};
use super::clips::look;
use super::failure::{internal, writing};
use super::fused;
use super::pipeline;
use super::readback;
use super::seek;
use super::sound::measure::measure;
use super::source::Input;
use super::twice;
use super::{Listener, Position, probe};
use crate::job::{ErrorKind, Failure};
use crate::plan::{MediaInfo, OutputReport, RunPlan, Work};
use crate::rule::TaskId;

/// How often progress is told.
const BEAT: Duration = Duration::from_millis(250);

/// Tells progress at its pace; counters only rise, over every part of a run.
pub struct Pulse<'a> {
    listener: &'a mut dyn Listener,
    input: &'a Input,
    position: Position,
    before: u64,
    share: f64,
    told: Instant,
    /// How often the medium is gone through.
    laps: u32,
    /// What former laps came to.
    behind: Duration,
}

impl<'a> Pulse<'a> {
    fn new(listener: &'a mut dyn Listener, input: &'a Input, of: Option<Duration>) -> Self {
        Self {
            listener,
            input,
            position: Position {
                of,
                ..Position::default()
            },
            before: 0,
            share: 1.0,
            told: Instant::now(),
            laps: 1,
            behind: Duration::ZERO,
        }
    }

    /// This part of the run stands here.
    pub fn beat(&mut self, at: Option<Duration>, buffers: u64) {
        if self.told.elapsed() >= BEAT {
            self.told = Instant::now();
            let here = at.unwrap_or_default().mul_f64(self.share);
            self.position.at = self.position.at.max(self.behind + here);
            self.position.buffers = self.position.buffers.max(self.before + buffers);
            self.position.bytes_read = self.input.bytes_read();
            let mut position = self.position;
            position.of = position.of.map(|of| of * self.laps);
            self.listener.progress(position);
        }
    }

    /// What is worked on is this long, not the whole medium.
    pub fn set_length(&mut self, length: Duration) {
        self.position.of = Some(length);
    }

    /// So much is worked on besides what is read.
    pub fn lengthen(&mut self, by: Duration) {
        self.position.of = self.position.of.map(|of| of + by);
    }

    /// The medium is gone through once more.
    fn next_lap(&mut self) {
        self.behind = self.position.of.unwrap_or(self.position.at);
        self.next_part();
    }

    /// What is worked on now is this share of the whole, 0.0 ..= 1.0.
    pub fn set_share(&mut self, share: f64) {
        self.share = share;
    }

    /// The next part counts its buffers from zero.
    pub fn next_part(&mut self) {
        self.before = self.position.buffers;
    }

    /// The one who is told.
    pub fn listener(&mut self) -> &mut dyn Listener {
        self.listener
    }
}

/// Describes the input.
///
/// # Errors
/// Where it is no medium that can be read.
pub fn describe(input: &Arc<Input>, listener: &mut dyn Listener) -> Result<MediaInfo, Failure> {
    let mut pulse = Pulse::new(listener, input, None);
    probe::probe(input, &mut || pulse.beat(None, 0))
}

/// Carries out a plan in the current directory. Failures of single tasks go to the listener.
///
/// # Errors
/// What ends the whole run.
pub fn run(input: &Arc<Input>, plan: &RunPlan, listener: &mut dyn Listener) -> Result<(), Failure> {
    let only_copies = plan.tasks.iter().all(|task| matches!(task.work, Work::Copy { .. }));
    let media = match &plan.media {
        Some(known) => Some(known.clone()),
        None if only_copies => None,
        None => Some(describe(input, listener)?),
    };
    let of = media.as_ref().and_then(|media| media.duration);
    let mut pulse = Pulse::new(listener, input, of);

    let mut works: Vec<(&TaskId, &Work)> = Vec::new();
    for task in &plan.tasks {
        let done = match &task.work {
            Work::Probe { file } => write_probe(file, media.as_ref()).map(|()| file),
            Work::Copy { file } => copy(input, file, &mut pulse).map(|()| file),
            Work::Pipeline(plan) => pipeline::run(input, &task.task, plan, &mut pulse).map(|()| &plan.file),
            work => {
                works.push((&task.task, work));
                continue;
            }
        };
        match done.and_then(|file| Ok((file, readback::size(file)?))) {
            Ok((file, size)) => pulse.listener().output(&task.task, file, size, OutputReport::Bytes),
            Err(failure) => pulse.listener().task_failed(&task.task, failure),
        }
    }
    let Some(media) = media else { return Ok(()) };
    // Where the film is decoded for nobody else, its pictures are reached by jumps.
    let (pictures, others) = if works.iter().any(|(_, work)| work.decodes_film()) {
        (Vec::new(), works)
    } else {
        works.into_iter().partition(|(_, work)| Shoot::is_of(work))
    };
    if others.is_empty() {
        return match pictures.as_slice() {
            [] => Ok(()),
            all => seek::run(input, &media, all, &mut pulse),
        };
    }
    pictures_first(input, &media, &pictures, &mut pulse);
    fuse(input, &media, &others, plan.threads, &mut pulse)
}

/// Makes pictures before the work that shares nothing with them: what fails is theirs, and they are no part of the way.
fn pictures_first(input: &Arc<Input>, media: &MediaInfo, tasks: &[(&TaskId, &Work)], pulse: &mut Pulse<'_>) {
    if tasks.is_empty() {
        return;
    }
    pulse.set_share(0.0);
    if let Err(failure) = seek::run(input, media, tasks, pulse) {
        for (task, _) in tasks {
            pulse.listener().task_failed(task, failure.clone());
        }
    }
    pulse.set_share(1.0);
    pulse.next_part();
}

/// One decode for all tasks, and a second for those that look at all frames first.
fn fuse(
    input: &Arc<Input>,
    media: &MediaInfo,
    works: &[(&TaskId, &Work)],
    threads: u32,
    pulse: &mut Pulse<'_>,
) -> Result<(), Failure> {
    let (reels, lost) = look(works, pulse);
    let works: Vec<_> = works.iter().copied().filter(|(task, _)| !lost.contains(task)).collect();
    let works = works.as_slice();
    if works.is_empty() {
        return Ok(());
    }
    let is_twice = |work: &Work| matches!(work, Work::Transcode(plan) if plan.is_two_pass());
    let measured = measure(input, media, works, pulse)?;
    for (task, finding) in measured.findings {
        pulse.listener().finding(Some(&task), finding);
    }
    let works: Vec<_> = works
        .iter()
        .copied()
        .filter(|(task, _)| measured.lost.iter().all(|(lost, _)| lost != *task))
        .collect();
    for (task, failure) in measured.lost {
        pulse.listener().task_failed(&task, failure);
    }
    if works.is_empty() {
        return Ok(());
    }
    let mut twice: Vec<_> = works.iter().copied().filter(|(_, work)| is_twice(work)).collect();
    let first = Tasks {
        works: &works,
        jump: Tasks::common_start(&works),
        turn: Turn::First,
        gains: &measured.gains,
        reels: &reels,
    };
    pulse.laps = if twice.is_empty() { 1 } else { 2 };
    let done = fused::run(input, media, first, threads, pulse).and_then(|lost| {
        twice.retain(|(task, _)| !lost.contains(task));
        if twice.is_empty() {
            return Ok(());
        }
        pulse.next_lap();
        let second = Tasks {
            works: &twice,
            jump: first.jump,
            turn: Turn::Second,
            gains: &measured.gains,
            reels: &reels,
        };
        fused::run(input, media, second, threads, pulse).map(drop)
    });
    for (_, work) in works.iter().filter(|(_, work)| is_twice(work)) {
        work.files().into_iter().for_each(twice::forget);
    }
    done
}

fn write_probe(file: &str, media: Option<&MediaInfo>) -> Result<(), Failure> {
    let media = media.ok_or_else(|| internal("a probe task without a probe"))?;
    let mut text = serde_json::to_vec_pretty(media).map_err(internal)?;
    text.push(b'\n');
    std::fs::write(file, text).map_err(|error| writing(file, &error))
}

fn copy(input: &Input, file: &str, pulse: &mut Pulse<'_>) -> Result<(), Failure> {
    let mut output = File::create(file).map_err(|error| writing(file, &error))?;
    let mut buffer = vec![0_u8; 1 << 20];
    let mut at = 0_u64;
    while at < input.size() {
        let count = input
            .fill(at, &mut buffer)
            .map_err(|error| Failure::new(ErrorKind::Io, format!("the input cannot be read: {error}")))?;
        output
            .write_all(&buffer[..count])
            .map_err(|error| writing(file, &error))?;
        at += count as u64;
        pulse.beat(None, 0);
    }
    Ok(())
}
