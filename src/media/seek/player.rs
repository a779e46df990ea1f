//! Decodes the film of a medium, from wherever one likes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use gst::prelude::*;

use super::gate::{Choice, Gate, Pass, position};
use crate::job::Failure;
use crate::media::assembly::video_index;
use crate::media::branch::takes_any_layout;
use crate::media::decoder::{self, decode, straighten};
use crate::media::demux::{Demuxer, link};
use crate::media::failure::{from_message, internal};
use crate::media::picker::Frame;
use crate::media::provenance;
use crate::media::run::Pulse;
use crate::media::source::Input;
use crate::plan::{MediaInfo, Provenance};

/// So long before a point every frame is decoded.
const CLOSE: Duration = Duration::from_secs(1);

/// The film of a medium.
pub struct Player {
    // Opened for good before the medium is closed.
    gate: Gate,
    medium: Demuxer,
    sink: gst_app::AppSink,
    frames: u64,
    /// Packets have been let go.
    runs: bool,
    /// Has landed between key frames, where decoders complain of what they were not given.
    landed_rough: bool,
    skip: Option<Arc<Skip>>,
}

impl Player {
    /// What it is made of.
    pub fn provenance(&self) -> Provenance {
        provenance::of(self.medium.pipeline.upcast_ref())
    }
}

/// What comes next.
pub enum Next {
    /// A frame.
    Frame(gst::Sample),
    /// There was no more up to the point that a jump was made for; what comes then needs another jump.
    Enough,
    /// The end of the film.
    End,
}

/// Leaves out frames that no other frame needs, far from where one is wanted.
struct Skip {
    /// Before this time, in nanoseconds of the medium.
    before: AtomicU64,
    allowed: AtomicBool,
}

impl Skip {
    /// On packets into this decoder, where it can leave frames out.
    fn on(decoder: &gst::Element) -> Option<Arc<Self>> {
        let entry = decoder.static_pad("sink")?;
        if !decoder.has_property("skip-frame") {
            return None;
        }
        let skip = Arc::new(Self {
            before: AtomicU64::new(0),
            allowed: AtomicBool::new(true),
        });
        let (knows, decoder) = (skip.clone(), decoder.downgrade());
        let skipping = AtomicBool::new(false);
        entry.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
            let at = position(pad, info.buffer().and_then(|buffer| buffer.pts()));
            let skips = at.is_some_and(|at| at.nseconds() < knows.before.load(Ordering::Relaxed));
            if skipping.swap(skips, Ordering::Relaxed) != skips
                && let Some(decoder) = decoder.upgrade()
            {
                decoder.set_property_from_str("skip-frame", if skips { "1" } else { "0" });
            }
            gst::PadProbeReturn::Ok
        });
        Some(skip)
    }
}

impl Player {
    /// Opens the film.
    ///
    /// # Errors
    /// Where it cannot be read or decoded.
    pub fn open(input: &Arc<Input>, media: &MediaInfo, pulse: &mut Pulse<'_>) -> Result<Self, Failure> {
        decoder::listen();
        let medium = Demuxer::open(input, &mut || pulse.beat(None, 0))?;
        let index = video_index(media, &medium)?;
        let video = media.video().ok_or_else(|| internal("pictures without video"))?;
        let stream = &medium.streams[index];
        let gate = Gate::at(&stream.pad);
        let decoded = decode(&medium, stream, &stream.pad, false)?;
        let skip = decoded.parent_element().and_then(|decoder| Skip::on(&decoder));
        let upright = straighten(&medium, decoded, video)?;
        let sink = gst_app::AppSink::builder().sync(false).max_buffers(2).build();
        if let Some(pad) = sink.static_pad("sink") {
            takes_any_layout(&pad);
        }
        medium.pipeline.add(&sink).map_err(internal)?;
        sink.sync_state_with_parent().map_err(internal)?;
        link(&upright, sink.upcast_ref())?;
        for (other, stream) in medium.streams.iter().enumerate() {
            if other != index {
                medium.ignore(&stream.pad)?;
            }
        }
        Ok(Self {
            gate,
            medium,
            sink,
            frames: 0,
            runs: false,
            landed_rough: false,
            skip,
        })
    }

    /// Lets packets go, from the beginning or where a jump led.
    fn run(&mut self) -> Result<(), Failure> {
        if !std::mem::replace(&mut self.runs, true) {
            self.medium.release();
            self.medium.pipeline.set_state(gst::State::Playing).map_err(internal)?;
        }
        Ok(())
    }

    fn check(&self) -> Result<(), Failure> {
        let bus = self
            .medium
            .pipeline
            .bus()
            .ok_or_else(|| internal("a pipeline without a bus"))?;
        while let Some(message) = bus.pop() {
            match message.view() {
                gst::MessageView::Error(error) => return Err(from_message(error)),
                gst::MessageView::Warning(warning) => decoder::hear(warning),
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether times can be trusted after a jump.
    pub fn can_jump(&self) -> bool {
        self.medium.has_index()
    }

    /// Whether a jump to a key frame leads to the one before it: where streams are interleaved, the reader begins with the packet of
    /// sound that lasts until then, and so with the key frame before that packet.
    pub fn lands_early(&self) -> bool {
        self.medium.is_indexed_by_track() && self.medium.streams.len() > 1
    }

    /// Whether decoders complained of what they were not given, so that what they said means nothing.
    pub fn heard_too_much(&self) -> bool {
        self.landed_rough
    }

    /// Frames are wanted from close to this point.
    pub fn aim(&self, at: Duration) {
        if let Some(skip) = &self.skip
            && skip.allowed.load(Ordering::Relaxed)
        {
            let before = at.saturating_sub(CLOSE).as_nanos();
            skip.before
                .store(u64::try_from(before).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }

    /// Whether a frame that is shown at this point may be missing, where `last` was the last one before it.
    pub fn may_have_missed(&self, last: Option<Duration>, at: Duration) -> bool {
        let skips = self
            .skip
            .as_ref()
            .is_some_and(|skip| skip.allowed.load(Ordering::Relaxed));
        skips && last.is_some_and(|last| last + CLOSE < at)
    }

    /// From now on every frame is decoded.
    pub fn leave_nothing_out(&self) {
        if let Some(skip) = &self.skip {
            skip.allowed.store(false, Ordering::Relaxed);
            skip.before.store(0, Ordering::Relaxed);
        }
    }

    /// The next frame; `at` is told as the position.
    ///
    /// # Errors
    /// Where the medium cannot be read or decoded further.
    pub fn next(&mut self, at: Option<Duration>, pulse: &mut Pulse<'_>) -> Result<Next, Failure> {
        self.run()?;
        loop {
            if let Some(sample) = self.sink.try_pull_sample(gst::ClockTime::from_mseconds(100)) {
                self.frames += 1;
                pulse.beat(at, self.frames);
                return Ok(Next::Frame(sample));
            }
            self.check()?;
            if self.sink.is_eos() {
                return Ok(if self.gate.is_closed() { Next::Enough } else { Next::End });
            }
            pulse.beat(at, self.frames);
        }
    }

    /// Goes to this place and decodes, up to another one, only packets that are chosen; answers whether that is possible.
    pub fn jump_among(&self, from: Duration, to: Duration, choice: Choice) -> bool {
        let flags = gst::SeekFlags::KEY_UNIT
            | gst::SeekFlags::SNAP_BEFORE
            | gst::SeekFlags::TRICKMODE
            | gst::SeekFlags::TRICKMODE_KEY_UNITS
            | gst::SeekFlags::TRICKMODE_NO_AUDIO;
        self.seek(Pass::Chosen(choice), from, Some(to), flags)
    }

    /// Goes to the last key frame that is not after this place; answers whether that is possible. Where a point is named, nothing
    /// is decoded that is not needed for frames up to it: see [`Next::Enough`].
    pub fn jump(&self, to: Duration, until: Option<Duration>) -> bool {
        let flags = gst::SeekFlags::KEY_UNIT | gst::SeekFlags::SNAP_BEFORE;
        let slack = self.medium.slack();
        let pass = until.map_or(Pass::All, |until| Pass::Until(until.saturating_add(slack)));
        self.seek(pass, to.saturating_sub(slack), None, flags)
    }

    fn seek(&self, pass: Pass, from: Duration, to: Option<Duration>, flags: gst::SeekFlags) -> bool {
        self.gate.set(Some(pass));
        let can = self.medium.jump(from, to, flags);
        if !can {
            self.gate.set(None);
        }
        can
    }

    /// The first frame that is whole: in media without an index a jump can land between key frames.
    ///
    /// # Errors
    /// Where the medium cannot be read or decoded further.
    pub fn skip_broken(
        &mut self,
        mut sample: gst::Sample,
        at: Duration,
        pulse: &mut Pulse<'_>,
    ) -> Result<gst::Sample, Failure> {
        let broken = |sample: &gst::Sample| {
            sample
                .buffer()
                .is_some_and(|buffer| buffer.flags().contains(gst::BufferFlags::CORRUPTED))
        };
        while broken(&sample) && Frame::new(sample.clone(), None).is_some_and(|frame| frame.at <= at) {
            self.landed_rough = true;
            match self.next(None, pulse)? {
                Next::Frame(next) => sample = next,
                Next::Enough | Next::End => break,
            }
        }
        Ok(sample)
    }
}
