//! One decode for many tasks: source, one video and one audio decoder, a tee each, one branch a task.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use gst::prelude::*;

use super::branch;
use super::decoder::{self, decode, straighten};
use super::demux::{Demuxer, link};
use super::failure::{element, from_message, internal};
use super::meter::{Meter, running_time};
use super::readback::{self, Fed};
use super::report::{report_damage, report_stills, report_truncation};
use super::run::Pulse;
use super::snapshot::Stills;
use super::source::Input;
use crate::job::{ErrorKind, Failure};
use crate::plan::{Ends, MediaInfo, SnapshotPlan, StreamKind, TranscodePlan};
use crate::rule::TaskId;

/// How the names of branches begin.
const BRANCH: &str = "branch-";

/// Carries out these tasks over one decode.
///
/// # Errors
/// What ends the whole run.
pub fn run(
    input: &Arc<Input>,
    media: &MediaInfo,
    transcodes: &[(&TaskId, &TranscodePlan)],
    snapshots: &[(&TaskId, &SnapshotPlan)],
    threads: u32,
    pulse: &mut Pulse<'_>,
) -> Result<(), Failure> {
    decoder::listen();
    decoder::take_complaints();
    let mut mill = Mill::build(input, media, transcodes, snapshots, threads, pulse)?;
    let outcome = mill.turn(pulse);
    // The files are whole only once their writers are gone.
    let _ = mill.medium.pipeline.set_state(gst::State::Null);
    pulse.next_part();
    for (_, plan) in transcodes {
        let _ = std::fs::remove_file(branch::spool(&plan.file));
    }
    outcome?;
    let fed = Fed {
        video: mill.video.as_ref().map(|meter| meter.span()).unwrap_or_default(),
        audio: mill.audio.as_ref().map(|meter| meter.span()).unwrap_or_default(),
    };
    let damaged = mill.video.iter().chain(&mill.audio).map(|meter| meter.damaged()).sum();
    // Before the results: a task may be published as soon as all of it is there.
    let ends = Ends {
        video: fed.video.end,
        audio: fed.audio.end,
    };
    report_truncation(media, ends, pulse);
    report_damage(damaged, pulse);
    for (task, plan) in transcodes {
        let done = match mill.failed.remove(*task) {
            Some(failure) => Err(failure),
            None => readback::media(&plan.file, &fed, &mut |buffers| pulse.beat(None, buffers)),
        };
        pulse.next_part();
        match done {
            Ok((size, report)) => pulse.listener().output(task, &plan.file, size, report),
            Err(failure) => {
                let _ = std::fs::remove_file(&plan.file);
                pulse.listener().task_failed(task, failure);
            }
        }
    }
    for (task, plan) in snapshots {
        if let Some(failure) = mill.failed.remove(*task) {
            pulse.listener().task_failed(task, failure);
            continue;
        }
        let Some(stills) = mill.stills.remove(*task) else {
            continue;
        };
        let mut stills = stills.lock().unwrap_or_else(PoisonError::into_inner);
        match stills.as_mut().map(|stills| stills.finish(media.duration)) {
            Ok(Ok(findings)) => {
                let written = stills.as_ref().map(|stills| stills.written.clone()).unwrap_or_default();
                report_stills(task, plan, &written, findings, pulse);
            }
            Ok(Err(failure)) => pulse.listener().task_failed(task, failure),
            Err(failure) => pulse.listener().task_failed(task, failure.clone()),
        }
    }
    Ok(())
}

type SharedStills = Arc<Mutex<Result<Stills, Failure>>>;

struct Mill {
    medium: Demuxer,
    video: Option<Arc<Meter>>,
    audio: Option<Arc<Meter>>,
    /// Branches that have not ended, by the name of their bin or sink.
    open: BTreeMap<String, TaskId>,
    failed: BTreeMap<TaskId, Failure>,
    stills: BTreeMap<TaskId, SharedStills>,
}

impl Mill {
    fn build(
        input: &Arc<Input>,
        media: &MediaInfo,
        transcodes: &[(&TaskId, &TranscodePlan)],
        snapshots: &[(&TaskId, &SnapshotPlan)],
        threads: u32,
        pulse: &mut Pulse<'_>,
    ) -> Result<Self, Failure> {
        let medium = Demuxer::open(input, &mut || pulse.beat(None, 0))?;
        medium.pipeline.set_property("message-forward", true);
        let mut mill = Self {
            medium,
            video: None,
            audio: None,
            open: BTreeMap::new(),
            failed: BTreeMap::new(),
            stills: BTreeMap::new(),
        };
        let mut bins = Vec::new();
        for (number, (task, plan)) in transcodes.iter().enumerate() {
            let name = format!("{BRANCH}transcode-{number}");
            match branch::transcode(&name, plan, media.video(), threads) {
                Ok(bin) => {
                    mill.medium.pipeline.add(&bin).map_err(internal)?;
                    mill.open.insert(name, (*task).clone());
                    bins.push(bin);
                }
                Err(failure) => {
                    mill.failed.insert((*task).clone(), failure);
                }
            }
        }
        let pads = |name: &str| -> Vec<gst::Pad> { bins.iter().filter_map(|bin| bin.static_pad(name)).collect() };
        let (pictures, sounds) = (pads("video"), pads("audio"));

        let mut used = Vec::new();
        if !pictures.is_empty() || !snapshots.is_empty() {
            let index = video_index(media, &mill.medium)?;
            let video = media
                .video()
                .ok_or_else(|| internal("frames wanted of a medium without video"))?;
            let several = pictures.len() > 1;
            let decoded = decode(&mill.medium, &mill.medium.streams[index], several)?;
            only_forward(&decoded);
            mill.video = Some(Meter::on(&decoded));
            let upright = straighten(&mill.medium, decoded, video)?;
            let tee = mill.split(&upright)?;
            for pad in &pictures {
                feed(&tee, pad)?;
            }
            for (number, (task, plan)) in snapshots.iter().enumerate() {
                mill.add_stills(&tee, &format!("{BRANCH}stills-{number}"), task, plan)?;
            }
            used.push(index);
        }
        if !sounds.is_empty() {
            let index = audio_index(&mill.medium)?;
            let decoded = decode(&mill.medium, &mill.medium.streams[index], false)?;
            mill.audio = Some(Meter::on(&decoded));
            let tee = mill.split(&decoded)?;
            for pad in &sounds {
                feed(&tee, pad)?;
            }
            used.push(index);
        }
        for bin in &bins {
            mill.start_branch(bin)?;
        }
        for (index, stream) in mill.medium.streams.iter().enumerate() {
            if !used.contains(&index) {
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

    /// Works until every branch has ended or failed.
    fn turn(&mut self, pulse: &mut Pulse<'_>) -> Result<(), Failure> {
        let bus = self
            .medium
            .pipeline
            .bus()
            .ok_or_else(|| internal("a pipeline without a bus"))?;
        self.medium.release();
        self.medium.pipeline.set_state(gst::State::Playing).map_err(internal)?;
        while !self.open.is_empty() {
            if let Some(message) = bus.timed_pop(gst::ClockTime::from_mseconds(100)) {
                match message.view() {
                    gst::MessageView::Error(error) => self.take_error(error)?,
                    gst::MessageView::Element(element) => {
                        if let Some(ended) = forwarded_end(element) {
                            self.open.remove(&ended);
                        }
                    }
                    gst::MessageView::Warning(warning) => decoder::hear(warning),
                    gst::MessageView::Eos(_) => self.open.clear(),
                    _ => {}
                }
            }
            let meters = || self.video.iter().chain(&self.audio);
            let buffers = meters().map(|meter| meter.buffers()).sum();
            // Pictures are what takes the time; sound runs far ahead of them.
            let at = meters().next().and_then(|meter| meter.span().end);
            pulse.beat(at, buffers);
        }
        Ok(())
    }

    fn take_error(&mut self, error: &gst::message::Error) -> Result<(), Failure> {
        let failure = from_message(error);
        let mut at = error.src().cloned();
        while let Some(object) = at {
            if let Some(task) = self.open.remove(object.name().as_str()) {
                self.failed.insert(task, failure);
                return Ok(());
            }
            // A branch that failed or ended already may say more.
            if object.name().starts_with(BRANCH) {
                return Ok(());
            }
            at = object.parent();
        }
        Err(failure)
    }
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

fn forwarded_end(message: &gst::message::Element) -> Option<String> {
    let fields = message
        .structure()
        .filter(|fields| fields.name() == "GstBinForwarded")?;
    let inner = fields.get::<gst::Message>("message").ok()?;
    matches!(inner.view(), gst::MessageView::Eos(_))
        .then(|| inner.src().map(|source| source.name().to_string()))
        .flatten()
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
