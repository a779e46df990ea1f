//! Puts the pipeline of a fused run together: one source, at most one decoder for film and one for sound, and a branch
//! for each task.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gst::prelude::*;

use super::album::AlbumBranch;
use super::branch::{Branch, Feed, Opened, SoundGains};
use super::clips::Reels;
use super::demux::Demuxer;
use super::extract::ExtractBranch;
use super::failure::{from_message, internal};
use super::inspect::InspectBranch;
use super::meter::{Meter, running_time};
use super::package::package;
use super::run::Pulse;
use super::shared::SharedSound;
use super::source::Input;
use super::steps::Steps;
use super::transcode::transcode;
use super::twice::analysis;
use super::waveform::WaveformBranch;
use crate::job::{ErrorKind, Failure};
use crate::plan::{MediaInfo, StreamKind, Work};
use crate::rule::TaskId;

/// How the names of branches begin.
pub const BRANCH: &str = "branch-";

/// Lines of subtitles are not seen for longer.
const READING: Duration = Duration::from_secs(15);

/// The tasks of a fused run.
#[derive(Clone, Copy)]
pub struct Tasks<'a> {
    /// What each is to do; all of them read streams.
    pub works: &'a [(&'a TaskId, &'a Work)],
    /// Where the medium is entered, where that is not its beginning: see [`Tasks::common_start`]. Both pipelines of a run enter
    /// it at the same place, for a jump yields other frames than a cut.
    pub jump: Option<Duration>,
    /// Which of the two pipelines of a run this is, where some tasks have two passes.
    pub turn: Turn,
    /// What was measured before.
    pub gains: &'a Gains,
    /// What was found of clips.
    pub reels: &'a Reels,
}

/// A run is one pipeline, or two where tasks look at all frames before they encode the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// All is done, but for tasks of two passes, which only look.
    First,
    /// Tasks of two passes encode.
    Second,
}

/// What brings the sounds of tasks to their loudness.
pub type Gains = BTreeMap<TaskId, SoundGains>;

/// Makes the branch of a task by this name.
pub type Make<'a> = dyn Fn(&str, &TaskId, &Work, Opened<'_>) -> Result<Box<dyn Branch>, Failure> + 'a;

impl Tasks<'_> {
    /// Where all of them start, where that is not the beginning.
    pub fn common_start(works: &[(&TaskId, &Work)]) -> Option<Duration> {
        let mut starts = works.iter().map(|(_, work)| work.span().start);
        let first = starts.next().filter(|start| !start.is_zero())?;
        let first = starts.all(|start| start == first).then_some(first)?;
        let reads = |work: &Work| match work {
            Work::Transcode(plan) => !plan.tracks.subtitles.is_empty(),
            Work::Adaptive(plan) => !plan.subtitles.is_empty(),
            _ => false,
        };
        // A line that is still seen began before. Packets begin where it was jumped to, and must not begin earlier.
        let ahead = if works.iter().any(|(_, work)| reads(work)) && works.iter().all(|(_, work)| !work.copies()) {
            READING
        } else {
            Duration::ZERO
        };
        first.checked_sub(ahead).filter(|start| !start.is_zero())
    }

    /// How long the part is that all of them want, where they share a start that is jumped to.
    pub fn common_length(&self, of_medium: Option<Duration>) -> Option<Duration> {
        let start = self.jump?;
        let ends = self.works.iter().map(|(_, work)| work.span().end.or(of_medium));
        Some(ends.max()??.saturating_sub(start))
    }

    fn copies(&self) -> bool {
        self.works.iter().any(|(_, work)| work.copies())
    }
}

/// A pipeline for a run.
pub struct Mill {
    /// The medium, and everything that hangs on it.
    pub medium: Demuxer,
    /// The film as it comes: frames where any task decodes it, else packets.
    pub video: Option<Arc<Meter>>,
    /// The first sound, likewise.
    pub audio: Option<Arc<Meter>>,
    /// Branches that have not ended, by the name of their bin.
    pub open: BTreeMap<String, TaskId>,
    /// Tasks that will not end well.
    pub failed: BTreeMap<TaskId, Failure>,
    /// By task.
    pub branches: BTreeMap<TaskId, Box<dyn Branch>>,
}

impl Mill {
    /// Opens the medium and hangs every task on it; nothing moves yet.
    ///
    /// # Errors
    /// What ends the whole run; a task that cannot be carried out is among `failed`.
    pub fn build(
        input: &Arc<Input>,
        media: &MediaInfo,
        tasks: Tasks<'_>,
        threads: u32,
        make: &Make<'_>,
        pulse: &mut Pulse<'_>,
    ) -> Result<Self, Failure> {
        let medium = Demuxer::open(input, &mut || pulse.beat(None, 0))?;
        medium.pipeline.set_property("message-forward", true);
        if let Some(start) = tasks.jump {
            jump(&medium, start, tasks.copies())?;
        }
        let mut mill = Self {
            medium,
            video: None,
            audio: None,
            open: BTreeMap::new(),
            failed: BTreeMap::new(),
            branches: BTreeMap::new(),
        };
        let film = media.video().and_then(|_| video_index(media, &mill.medium).ok());
        let sound = audio_index(&mill.medium).ok();
        let shared = SharedSound::all(media, tasks.works.iter().copied(), tasks.gains);
        let steps = Steps::of(
            media.video().filter(|_| film.is_some()),
            tasks.works.iter().map(|(_, work)| *work),
        );
        for (number, (task, work)) in tasks.works.iter().enumerate() {
            let name = format!("{BRANCH}{number}");
            let opened = Opened {
                medium: &mill.medium,
                media,
                film,
                sound,
                threads,
                gains: tasks.gains.get(task),
                reel: tasks.reels.get(task),
                steps: &steps,
                shared: &shared,
            };
            let made = make(&name, task, work, opened).and_then(|branch| has_all(branch, opened));
            match made {
                Ok(branch) => {
                    mill.medium.pipeline.add(branch.bin()).map_err(internal)?;
                    mill.open.insert(name, (*task).clone());
                    mill.branches.insert((*task).clone(), branch);
                }
                Err(failure) => {
                    mill.failed.insert((*task).clone(), failure);
                }
            }
        }
        let wired = mill.wire(media, (film, sound), &steps, &shared);
        let bins: Vec<gst::Bin> = mill.branches.values().map(|branch| branch.bin().clone()).collect();
        for bin in bins {
            mill.start_branch(&bin)?;
        }
        let fed = wired?;
        for (index, stream) in mill.medium.streams.iter().enumerate() {
            if !fed.contains(&index) {
                mill.medium.ignore(&stream.pad)?;
            }
        }
        Ok(mill)
    }

    /// A branch that cannot even start is taken out; the others go on.
    fn start_branch(&mut self, bin: &gst::Bin) -> Result<(), Failure> {
        if bin.sync_state_with_parent().is_ok() {
            return Ok(());
        }
        // The first error says why; what follows only says that starting failed.
        let mut reason = None;
        if let Some(bus) = self.medium.pipeline.bus() {
            while let Some(message) = bus.pop_filtered(&[gst::MessageType::Error]) {
                if let gst::MessageView::Error(error) = message.view() {
                    reason.get_or_insert_with(|| from_message(error));
                }
            }
        }
        let failure = reason
            .unwrap_or_else(|| Failure::new(ErrorKind::Pipeline, "the encoder and its file could not be started"));
        for pad in bin.sink_pads() {
            if let Some(peer) = pad.peer() {
                let _ = peer.unlink(&pad);
            }
        }
        let _ = bin.set_state(gst::State::Null);
        self.medium.pipeline.remove(bin).map_err(internal)?;
        if let Some(task) = self.open.remove(bin.name().as_str()) {
            self.branches.remove(&task);
            self.failed.insert(task, failure);
        }
        Ok(())
    }
}

/// The branch that carries a task out.
///
/// # Errors
/// What ends the task.
pub fn branch(name: &str, work: &Work, opened: Opened<'_>, turn: Turn) -> Result<Box<dyn Branch>, Failure> {
    Ok(match work {
        Work::Transcode(plan) if plan.is_two_pass() && turn == Turn::First => Box::new(analysis(name, plan, opened)?),
        Work::Transcode(plan) => Box::new(transcode(name, plan, opened)?),
        Work::Snapshot(_) | Work::Sprite(_) | Work::Animation(_) => Box::new(AlbumBranch::new(name, work)?),
        Work::Waveform(plan) => Box::new(WaveformBranch::new(name, plan, opened)?),
        Work::Inspect(plan) => Box::new(InspectBranch::new(name, plan, opened)?),
        Work::Extract(plan) => Box::new(ExtractBranch::new(name, plan, opened)?),
        Work::Adaptive(plan) => Box::new(package(name, plan, opened)?),
        Work::Probe { .. } | Work::Copy { .. } | Work::Pipeline(_) => {
            return Err(internal("a task that shares no decode"));
        }
    })
}

/// Whether there is what a branch wants to be fed.
fn has_all(branch: Box<dyn Branch>, opened: Opened<'_>) -> Result<Box<dyn Branch>, Failure> {
    for pad in branch.bin().sink_pads() {
        let missing = match Feed::of(&pad)? {
            Feed::Frames | Feed::Step(_) | Feed::Stored if opened.film.is_none() => "the medium has no video",
            Feed::Sound(index) | Feed::Packets(index) if index >= opened.medium.streams.len() => {
                "the medium has fewer streams than its probe said"
            }
            _ => continue,
        };
        return Err(Failure::new(ErrorKind::NoSuchStream, missing));
    }
    Ok(branch)
}

/// Goes to where all tasks start. Frames and sound are cut there by what follows; packets only begin at key frames.
fn jump(medium: &Demuxer, start: Duration, packets: bool) -> Result<(), Failure> {
    if medium.has_index() && medium.seekable() {
        let flags = if packets {
            gst::SeekFlags::KEY_UNIT | gst::SeekFlags::SNAP_BEFORE
        } else {
            gst::SeekFlags::ACCURATE
        };
        if medium.jump(start, None, flags) {
            return Ok(());
        }
    }
    if packets {
        return Err(Failure::new(
            ErrorKind::Unsupported,
            "this medium has no index, so nothing can be copied from its middle: encode it, or take `start` out",
        ));
    }
    Ok(())
}

/// Lets only frames pass that come after the one before. Damaged media show several at once, or some at no time at
/// all, and an encoder loses its count over them.
pub fn only_forward(pad: &gst::Pad) {
    let last = Mutex::new(None);
    pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        let pts = info.buffer().and_then(|buffer| buffer.pts());
        let at = pts.and_then(|pts| running_time(pad, pts));
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        if at.is_some() && at > *last {
            *last = at;
            gst::PadProbeReturn::Ok
        } else {
            gst::PadProbeReturn::Drop
        }
    });
}

/// The stream of the medium that is the video of the probe.
///
/// # Errors
/// Where the medium changed its mind.
pub fn video_index(media: &MediaInfo, medium: &Demuxer) -> Result<usize, Failure> {
    let told = media
        .streams
        .iter()
        .position(|stream| matches!(&stream.kind, StreamKind::Video(video) if !video.is_image));
    told.filter(|index| {
        medium.streams.get(*index).is_some_and(|stream| {
            stream.media_type().starts_with("video/") || stream.media_type().starts_with("image/")
        })
    })
    .or_else(|| {
        medium
            .streams
            .iter()
            .position(|stream| stream.media_type().starts_with("video/"))
    })
    .ok_or_else(|| Failure::new(ErrorKind::NoSuchStream, "the medium has no video"))
}

fn audio_index(medium: &Demuxer) -> Result<usize, Failure> {
    medium
        .streams
        .iter()
        .position(|stream| stream.media_type().starts_with("audio/"))
        .ok_or_else(|| Failure::new(ErrorKind::NoSuchStream, "the medium has no sound"))
}
