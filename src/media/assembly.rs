//! Puts the pipeline of a fused run together: one source, at most one decoder for film and one for sound, and a branch
//! for each task.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gst::prelude::*;

use super::branch::{self, Branch, Sources};
use super::decoder::{decode, straighten};
use super::demux::{Demuxer, Stream, link};
use super::failure::{element, from_message, internal};
use super::meter::{Meter, running_time};
use super::run::Pulse;
use super::snapshot::Stills;
use super::source::Input;
use crate::job::{ErrorKind, Failure};
use crate::plan::{MediaInfo, SnapshotPlan, StreamKind, TranscodePlan};
use crate::rule::{TaskId, Track};

/// How the names of branches begin.
pub const BRANCH: &str = "branch-";

/// Stills that are being taken, or why they are not.
pub type SharedStills = Arc<Mutex<Result<Stills, Failure>>>;

/// The tasks of a fused run.
#[derive(Clone, Copy)]
pub struct Tasks<'a> {
    /// Files to write.
    pub transcodes: &'a [(&'a TaskId, &'a TranscodePlan)],
    /// Images to write.
    pub snapshots: &'a [(&'a TaskId, &'a SnapshotPlan)],
}

impl Tasks<'_> {
    /// Where all of them start, where that is not the beginning.
    fn common_start(&self) -> Option<Duration> {
        let mut starts = self.transcodes.iter().map(|(_, plan)| plan.span.start);
        let first = starts.next().filter(|start| !start.is_zero())?;
        (self.snapshots.is_empty() && starts.all(|start| start == first)).then_some(first)
    }

    /// How long the part is that all of them want, where they share a start that is jumped to.
    pub fn common_length(&self, of_medium: Option<Duration>) -> Option<Duration> {
        let start = self.common_start()?;
        let ends = self.transcodes.iter().map(|(_, plan)| plan.span.end.or(of_medium));
        Some(ends.max()??.saturating_sub(start))
    }

    fn copies(&self) -> bool {
        self.transcodes.iter().any(|(_, plan)| plan.settings.copies())
    }
}

/// A pipeline for a run.
pub struct Mill {
    /// The medium, and everything that hangs on it.
    pub medium: Demuxer,
    /// The film as it comes: frames where any task decodes it, else packets.
    pub video: Option<Arc<Meter>>,
    /// The sound, likewise.
    pub audio: Option<Arc<Meter>>,
    /// Branches that have not ended, by the name of their bin or sink.
    pub open: BTreeMap<String, TaskId>,
    /// Tasks that will not end well.
    pub failed: BTreeMap<TaskId, Failure>,
    /// What passes into each file.
    pub branches: BTreeMap<TaskId, Branch>,
    /// By task.
    pub stills: BTreeMap<TaskId, SharedStills>,
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
        pulse: &mut Pulse<'_>,
    ) -> Result<Self, Failure> {
        let medium = Demuxer::open(input, &mut || pulse.beat(None, 0))?;
        medium.pipeline.set_property("message-forward", true);
        if let Some(start) = tasks.common_start() {
            jump(&medium, start, tasks.copies())?;
        }
        let mut mill = Self {
            medium,
            video: None,
            audio: None,
            open: BTreeMap::new(),
            failed: BTreeMap::new(),
            branches: BTreeMap::new(),
            stills: BTreeMap::new(),
        };
        let wants_film = |plan: &TranscodePlan| plan.settings.video.is_some();
        let films = tasks.transcodes.iter().any(|(_, plan)| wants_film(plan)) || !tasks.snapshots.is_empty();
        let film = films.then(|| video_index(media, &mill.medium)).transpose()?;
        let sounds = tasks.transcodes.iter().any(|(_, plan)| plan.settings.audio.is_some());
        let sound = sounds.then(|| audio_index(&mill.medium)).transpose()?;
        for (number, (task, plan)) in tasks.transcodes.iter().enumerate() {
            let name = format!("{BRANCH}transcode-{number}");
            let stream = |index: Option<usize>| index.map(|index| &mill.medium.streams[index]);
            let sources = Sources {
                video: stream(film).zip(media.video()),
                audio: stream(sound),
            };
            match branch::transcode(&name, plan, sources, threads) {
                Ok(branch) => {
                    mill.medium.pipeline.add(&branch.bin).map_err(internal)?;
                    mill.open.insert(name, (*task).clone());
                    mill.branches.insert((*task).clone(), branch);
                }
                Err(failure) => {
                    mill.failed.insert((*task).clone(), failure);
                }
            }
        }
        let wired = mill.wire(media, tasks, film, sound);
        for branch in mill
            .branches
            .values()
            .map(|branch| branch.bin.clone())
            .collect::<Vec<_>>()
        {
            mill.start_branch(&branch)?;
        }
        wired?;
        for (index, stream) in mill.medium.streams.iter().enumerate() {
            if Some(index) != film && Some(index) != sound {
                mill.medium.ignore(&stream.pad)?;
            }
        }
        Ok(mill)
    }

    /// Leads film and sound to the branches that want them.
    fn wire(
        &mut self,
        media: &MediaInfo,
        tasks: Tasks<'_>,
        film: Option<usize>,
        sound: Option<usize>,
    ) -> Result<(), Failure> {
        let entries = |video: bool, copied: bool| -> Vec<gst::Pad> {
            let wanting = tasks.transcodes.iter().filter(|(_, plan)| {
                let settings = &plan.settings;
                copied
                    == if video {
                        matches!(settings.video, Track::Copy)
                    } else {
                        matches!(settings.audio, Track::Copy)
                    }
            });
            let name = if video { "video" } else { "audio" };
            wanting
                .filter_map(|(task, _)| self.branches.get(*task)?.bin.static_pad(name))
                .collect()
        };
        let (frames, packets) = (entries(true, false), entries(true, true));
        let (sounds, sound_packets) = (entries(false, false), entries(false, true));
        if let Some(index) = film {
            let video = media
                .video()
                .ok_or_else(|| internal("frames wanted of a medium without video"))?;
            let decodes = !frames.is_empty() || !tasks.snapshots.is_empty();
            let from = self.tap(index, &packets, decodes)?;
            if let Some(from) = from {
                let stream = &self.medium.streams[index];
                let decoded = decode(&self.medium, stream, &from, frames.len() > 1)?;
                only_forward(&decoded);
                self.video = Some(Meter::on(&decoded));
                let upright = straighten(&self.medium, decoded, video)?;
                let tee = self.split(&upright)?;
                for pad in &frames {
                    feed(&tee, pad)?;
                }
                for (number, (task, plan)) in tasks.snapshots.iter().enumerate() {
                    self.add_stills(&tee, &format!("{BRANCH}stills-{number}"), task, plan)?;
                }
            } else {
                self.video = Some(Meter::on(&self.medium.streams[index].pad));
            }
        }
        if let Some(index) = sound {
            let from = self.tap(index, &sound_packets, !sounds.is_empty())?;
            if let Some(from) = from {
                let stream = &self.medium.streams[index];
                let decoded = decode(&self.medium, stream, &from, false)?;
                self.audio = Some(Meter::on(&decoded));
                let tee = self.split(&decoded)?;
                for pad in &sounds {
                    feed(&tee, pad)?;
                }
            } else {
                self.audio = Some(Meter::on(&self.medium.streams[index].pad));
            }
        }
        Ok(())
    }

    /// Leads the packets of a stream to these pads; answers where a decoder gets them, where one is wanted.
    fn tap(&self, index: usize, packets: &[gst::Pad], decodes: bool) -> Result<Option<gst::Pad>, Failure> {
        let stream: &Stream = &self.medium.streams[index];
        if packets.is_empty() && decodes {
            return Ok(Some(stream.pad.clone()));
        }
        let tee = self.split(&stream.pad)?;
        for pad in packets {
            feed(&tee, pad)?;
        }
        let decoder = decodes.then(|| tee.request_pad_simple("src_%u"));
        decoder
            .map(|pad| pad.ok_or_else(|| internal("a tee without pads")))
            .transpose()
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

    fn split(&self, pad: &gst::Pad) -> Result<gst::Element, Failure> {
        let tee = element("tee")?;
        tee.set_property("allow-not-linked", true);
        self.medium.pipeline.add(&tee).map_err(internal)?;
        tee.sync_state_with_parent().map_err(internal)?;
        link(pad, &tee)?;
        Ok(tee)
    }

    fn add_stills(
        &mut self,
        tee: &gst::Element,
        name: &str,
        task: &TaskId,
        plan: &SnapshotPlan,
    ) -> Result<(), Failure> {
        let stills = match Stills::new(plan.clone()) {
            Ok(stills) => stills,
            Err(failure) => {
                self.failed.insert(task.clone(), failure);
                return Ok(());
            }
        };
        let shared: SharedStills = Arc::new(Mutex::new(Ok(stills)));
        let queue = branch::queue(2)?;
        let taking = shared.clone();
        let sink = gst_app::AppSink::builder()
            .name(name)
            .sync(false)
            .async_(false)
            .max_buffers(2)
            .callbacks(
                gst_app::AppSinkCallbacks::builder()
                    .new_sample(move |sink| {
                        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
                        let mut stills = taking.lock().unwrap_or_else(PoisonError::into_inner);
                        // A failed task takes its frames and drops them: the others go on.
                        if let Ok(working) = stills.as_mut()
                            && let Err(failure) = working.take(sample)
                        {
                            *stills = Err(failure);
                        }
                        Ok(gst::FlowSuccess::Ok)
                    })
                    .build(),
            )
            .build();
        sink.set_property("enable-last-sample", false);
        self.medium
            .pipeline
            .add_many([&queue, sink.upcast_ref()])
            .map_err(internal)?;
        queue.link(&sink).map_err(internal)?;
        let entry = queue
            .static_pad("sink")
            .ok_or_else(|| internal("a queue without a sink pad"))?;
        feed(tee, &entry)?;
        queue.sync_state_with_parent().map_err(internal)?;
        sink.sync_state_with_parent().map_err(internal)?;
        self.open.insert(name.to_owned(), task.clone());
        self.stills.insert(task.clone(), shared);
        Ok(())
    }
}

/// Goes to where all tasks start. Frames and sound are cut there by what follows; packets only begin at key frames.
fn jump(medium: &Demuxer, start: Duration, packets: bool) -> Result<(), Failure> {
    if medium.has_index() && medium.seekable() {
        let flags = if packets {
            gst::SeekFlags::KEY_UNIT | gst::SeekFlags::SNAP_BEFORE
        } else {
            gst::SeekFlags::ACCURATE
        };
        if medium.jump(start, flags) {
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

fn feed(tee: &gst::Element, pad: &gst::Pad) -> Result<(), Failure> {
    let out = tee
        .request_pad_simple("src_%u")
        .ok_or_else(|| internal("a tee without pads"))?;
    out.link(pad).map(drop).map_err(internal)
}

/// Lets only frames pass that come after the one before. Damaged media show several at once, or some at no time at
/// all, and an encoder loses its count over them.
fn only_forward(pad: &gst::Pad) {
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
