//! What a task hangs on the medium that is being read, and what it is fed.

use std::collections::BTreeMap;
use std::sync::Arc;

use gst::prelude::*;

use super::clips::{Beside, Reel};
use super::demux::Demuxer;
use super::failure::{element, internal};
use super::run::Pulse;
use super::shared::SharedSound;
use super::steps::{Size, Steps};
use crate::job::Failure;
use crate::plan::MediaInfo;
use crate::rule::TaskId;

/// A task's part of a fused run: a bin that is fed, and what becomes of it.
///
/// The bin may fail alone: every chain begins with a [`guard`], and its sinks wait for nothing (`async=false`,
/// `sync=false`). It has ended when all its sinks have.
pub trait Branch: Send {
    /// The elements. The names of its sink pads say what they are fed; see [`Feed`].
    fn bin(&self) -> &gst::Bin;

    /// Whether it was to be fed up to the end of the medium, so that one that ends early concerns it.
    fn reads_to_end(&self) -> bool {
        true
    }

    /// How far it is with what is not of the medium.
    fn beside(&self) -> Beside {
        Beside::default()
    }

    /// Takes note that everything has stopped: files are as whole as they will be.
    fn stopped(&mut self) {}

    /// Completes what was written, reads it back, and tells of every file and finding.
    ///
    /// # Errors
    /// What ends the task.
    fn finish(self: Box<Self>, ending: &mut Ending<'_, '_>) -> Result<(), Failure>;

    /// Removes what the task has written, for it has failed.
    fn abandon(self: Box<Self>) {}
}

/// What there is when branches come to their end.
pub struct Ending<'a, 'p> {
    /// Whose branch it is.
    pub task: &'a TaskId,
    /// What the probe said.
    pub media: &'a MediaInfo,
    /// Who is told.
    pub pulse: &'a mut Pulse<'p>,
}

/// The medium that branches are made for.
#[derive(Clone, Copy)]
pub struct Opened<'a> {
    /// The streams, stopped before their first packets.
    pub medium: &'a Demuxer,
    /// What the probe said.
    pub media: &'a MediaInfo,
    /// Which stream is the film.
    pub film: Option<usize>,
    /// Which stream is the first sound.
    pub sound: Option<usize>,
    /// Threads that an encoder may use.
    pub threads: u32,
    /// What brings the sounds of this task to their loudness, where they were measured.
    pub gains: Option<&'a SoundGains>,
    /// What this task joins to the film.
    pub reel: Option<&'a Arc<Reel>>,
    /// Sizes in which frames are to be had besides the film's own.
    pub steps: &'a Steps,
    /// Sounds that are encoded once for several tasks.
    pub shared: &'a [SharedSound],
}

/// What brings sounds to their loudness, in dB, by the number of their stream. What is silent has none.
pub type SoundGains = BTreeMap<usize, f64>;

impl Opened<'_> {
    /// What brings this sound to its loudness, in dB, where it was measured.
    pub fn gain(&self, stream: usize) -> Option<f64> {
        self.gains?.get(&stream).copied()
    }
}

/// What a pad of a branch is fed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Feed {
    /// Decoded frames of the film, upright, progressive and of a usual range: `frames`, or `frames-2` where a branch
    /// takes them twice.
    Frames,
    /// As [`Self::Frames`], in this size already: `step1280x720`, or `step1280x720-2`.
    Step(Size),
    /// Decoded frames of the film as they are stored: `stored`.
    Stored,
    /// Decoded sound of the stream with this number: `sound-1`.
    Sound(usize),
    /// Packets of the stream with this number: `packets-0`.
    Packets(usize),
    /// Packets of the sound with this number of those that are encoded once for several tasks: `shared-0`.
    Shared(usize),
}

impl Feed {
    /// What the pad of this name wants.
    ///
    /// # Errors
    /// Where the name says nothing.
    pub fn of(pad: &gst::Pad) -> Result<Self, Failure> {
        let name = pad.name();
        let (sort, number) = name.split_once('-').unwrap_or((&name, "0"));
        let unknown = || internal(format!("nobody knows what {name} is fed"));
        match (sort, number.parse()) {
            ("frames", Ok(_)) => Ok(Self::Frames),
            ("stored", Ok(_)) => Ok(Self::Stored),
            ("sound", Ok(index)) => Ok(Self::Sound(index)),
            ("packets", Ok(index)) => Ok(Self::Packets(index)),
            ("shared", Ok(number)) => Ok(Self::Shared(number)),
            (step, Ok(_)) if step.starts_with(STEP) => match size(&step[STEP.len()..]) {
                Some(size) => Ok(Self::Step(size)),
                None => Err(unknown()),
            },
            _ => Err(unknown()),
        }
    }
}

/// How pads are called that take frames of a step.
const STEP: &str = "step";

/// What a pad is called, but for its number, that takes frames of this step.
pub fn of_step((wide, high): Size) -> String {
    format!("{STEP}{wide}x{high}")
}

fn size(text: &str) -> Option<Size> {
    let (wide, high) = text.split_once('x')?;
    Some((wide.parse().ok()?, high.parse().ok()?))
}

/// Puts a chain into a bin, links it, and shows its beginning as a pad of the bin with this name; answers its last pad.
///
/// # Errors
/// Where elements do not fit together.
pub fn connect(bin: &gst::Bin, name: &str, chain: &[gst::Element]) -> Result<gst::Pad, Failure> {
    let last = hang(bin, name, chain)?;
    last.static_pad("src")
        .ok_or_else(|| internal("a chain without an exit"))
}

/// As [`connect`], for a chain that ends in a sink; answers its last element.
///
/// # Errors
/// Where elements do not fit together.
pub fn hang(bin: &gst::Bin, name: &str, chain: &[gst::Element]) -> Result<gst::Element, Failure> {
    bin.add_many(chain).map_err(internal)?;
    gst::Element::link_many(chain).map_err(internal)?;
    let (Some(first), Some(last)) = (chain.first(), chain.last()) else {
        return Err(internal("an empty chain"));
    };
    let entry = first
        .static_pad("sink")
        .ok_or_else(|| internal("a chain without an entry"))?;
    let ghost = gst::GhostPad::builder_with_target(&entry)
        .map_err(internal)?
        .name(name)
        .build();
    bin.add_pad(&ghost).map_err(internal)?;
    Ok(last.clone())
}

/// Keeps what goes wrong in a branch from the decoder that feeds others too.
///
/// # Errors
/// Where the element is missing.
pub fn guard() -> Result<gst::Element, Failure> {
    let guard = element("errorignore")?;
    guard.set_property("ignore-error", true);
    guard.set_property("ignore-notlinked", true);
    guard.set_property("ignore-notnegotiated", true);
    guard.set_property_from_str("convert-to", "ok");
    Ok(guard)
}

/// Lets only this pass.
///
/// # Errors
/// Where the element is missing.
pub fn only(caps: &gst::Caps) -> Result<gst::Element, Failure> {
    let filter = element("capsfilter")?;
    filter.set_property("caps", caps);
    Ok(filter)
}

/// A queue of this many buffers; 0: without a limit.
///
/// # Errors
/// Where the element is missing.
pub fn queue(buffers: u32) -> Result<gst::Element, Failure> {
    let queue = element("queue")?;
    queue.set_property("max-size-buffers", buffers);
    queue.set_property("max-size-bytes", 0_u32);
    queue.set_property("max-size-time", 0_u64);
    Ok(queue)
}

/// A queue of decoded sound in front of what never waits for anything but itself. Sound is decoded long before the film that
/// was stored beside it: what is slower than the decoder holds it back here, before hours of samples fill the memory.
///
/// # Errors
/// Where the element is missing.
pub fn queue_of_sound() -> Result<gst::Element, Failure> {
    let waiting = queue(0)?;
    waiting.set_property("max-size-time", gst::ClockTime::from_seconds(10).nseconds());
    Ok(waiting)
}

/// An app sink that waits for nothing and keeps nothing; `take` gets every sample, and ends the branch with an error of
/// flow.
pub fn taker(take: impl FnMut(gst::Sample) -> Result<(), gst::FlowError> + Send + 'static) -> gst_app::AppSink {
    let mut take = take;
    let sink = gst_app::AppSink::builder()
        .sync(false)
        .async_(false)
        .max_buffers(2)
        .callbacks(
            gst_app::AppSinkCallbacks::builder()
                .new_sample(move |sink| {
                    let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
                    take(sample).map(|()| gst::FlowSuccess::Ok)
                })
                .build(),
        )
        .build();
    sink.set_property("enable-last-sample", false);
    if let Some(pad) = sink.static_pad("sink") {
        takes_any_layout(&pad);
    }
    sink
}

/// Says of a sink that it reads how a frame lies in memory. Where one of several takers of a frame does not say so, the
/// decoder copies every frame for all of them.
pub fn takes_any_layout(pad: &gst::Pad) {
    pad.add_probe(gst::PadProbeType::QUERY_DOWNSTREAM, |_, info| {
        let Some(query) = info.query_mut() else {
            return gst::PadProbeReturn::Ok;
        };
        if let gst::QueryViewMut::Allocation(allocation) = query.view_mut() {
            allocation.add_allocation_meta::<gst_video::VideoMeta>(None);
            return gst::PadProbeReturn::Handled;
        }
        gst::PadProbeReturn::Ok
    });
}
