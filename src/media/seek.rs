//! Stills where nothing else is decoded: jumps to the key frame before each point and decodes from there.

use std::sync::Arc;
use std::time::Duration;

use gst::prelude::*;

use super::assembly::video_index;
use super::decoder::{self, decode, straighten};
use super::demux::{Demuxer, link};
use super::failure::{from_message, internal};
use super::provenance;
use super::report::{report_damage, report_stills, report_truncation};
use super::run::Pulse;
use super::snapshot::{Frame, Stills};
use super::source::Input;
use crate::job::{ErrorKind, Failure};
use crate::plan::{Ends, MediaInfo, SnapshotPlan};
use crate::rule::TaskId;

/// A point that is nearer than this is reached by decoding on.
const NEAR: Duration = Duration::from_secs(2);

/// Makes the stills of these tasks.
///
/// # Errors
/// What ends the run: the medium cannot be read or decoded.
pub fn run(
    input: &Arc<Input>,
    media: &MediaInfo,
    tasks: &[(&TaskId, &SnapshotPlan)],
    pulse: &mut Pulse<'_>,
) -> Result<(), Failure> {
    for (task, plan) in tasks {
        // A medium that cannot be opened again fails the run; an image that cannot be written its task.
        let mut player = Player::open(input, media, pulse)?;
        let made = Stills::new((*plan).clone()).and_then(|mut stills| {
            let findings = player.take(&mut stills, media, pulse)?;
            Ok((stills, findings))
        });
        // Before the images: a task may be published as soon as all of it is there.
        let ends = Ends {
            video: player.end,
            audio: None,
        };
        report_truncation(media, ends, pulse);
        if player.landed_rough {
            decoder::take_complaints();
        }
        report_damage(0, pulse);
        let ran = provenance::of(player.medium.pipeline.upcast_ref(), &[]);
        pulse.listener().provenance(task, ran);
        let told = match made {
            Ok((stills, findings)) => report_stills(task, plan, &stills.written, findings, pulse),
            Err(failure) if matches!(failure.kind, ErrorKind::Corrupt | ErrorKind::Unsupported) => {
                return Err(failure);
            }
            Err(failure) => Err(failure),
        };
        if let Err(failure) = told {
            pulse.listener().task_failed(task, failure);
        }
        pulse.next_part();
    }
    Ok(())
}

struct Player {
    medium: Demuxer,
    sink: gst_app::AppSink,
    frames: u64,
    /// Where the last frame ended, once the end was reached.
    end: Option<Duration>,
    /// Has landed between key frames, where decoders complain of what they were not given.
    landed_rough: bool,
}

enum Next {
    Frame(gst::Sample),
    End,
}

impl Player {
    fn open(input: &Arc<Input>, media: &MediaInfo, pulse: &mut Pulse<'_>) -> Result<Self, Failure> {
        decoder::listen();
        let mut medium = Demuxer::open(input, &mut || pulse.beat(None, 0))?;
        let index = video_index(media, &medium)?;
        let video = media.video().ok_or_else(|| internal("stills without video"))?;
        let stream = &medium.streams[index];
        let decoded = decode(&medium, stream, &stream.pad, false)?;
        let upright = straighten(&medium, decoded, video)?;
        let sink = gst_app::AppSink::builder().sync(false).max_buffers(2).build();
        medium.pipeline.add(&sink).map_err(internal)?;
        sink.sync_state_with_parent().map_err(internal)?;
        link(&upright, sink.upcast_ref())?;
        for (other, stream) in medium.streams.iter().enumerate() {
            if other != index {
                medium.ignore(&stream.pad)?;
            }
        }
        medium.release();
        let mut player = Self {
            medium,
            sink,
            frames: 0,
            end: None,
            landed_rough: false,
        };
        player.settle()?;
        Ok(player)
    }

    /// Waits until the pipeline is ready for a jump.
    fn settle(&mut self) -> Result<(), Failure> {
        loop {
            let (change, state, _) = self.medium.pipeline.state(gst::ClockTime::from_mseconds(100));
            self.check()?;
            if state == gst::State::Paused && change.is_ok_and(|change| change != gst::StateChangeSuccess::Async) {
                break;
            }
        }
        self.medium.pipeline.set_state(gst::State::Playing).map_err(internal)?;
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

    fn next(&mut self, stills: &Stills, pulse: &mut Pulse<'_>) -> Result<Next, Failure> {
        loop {
            if let Some(sample) = self.sink.try_pull_sample(gst::ClockTime::from_mseconds(100)) {
                self.frames += 1;
                pulse.beat(stills.last().map(|frame| frame.at), self.frames);
                return Ok(Next::Frame(sample));
            }
            self.check()?;
            if self.sink.is_eos() {
                return Ok(Next::End);
            }
            pulse.beat(stills.last().map(|frame| frame.at), self.frames);
        }
    }

    fn jump(&self, to: Duration) -> bool {
        let Ok(to) = gst::ClockTime::try_from(to) else {
            return false;
        };
        let flags = gst::SeekFlags::FLUSH | gst::SeekFlags::KEY_UNIT | gst::SeekFlags::SNAP_BEFORE;
        self.medium.pipeline.seek_simple(flags, to).is_ok()
    }

    fn take(
        &mut self,
        stills: &mut Stills,
        media: &MediaInfo,
        pulse: &mut Pulse<'_>,
    ) -> Result<Vec<crate::job::Finding>, Failure> {
        let mut can_jump = media.seekable && self.medium.has_index();
        let mut first = true;
        while let Some(at) = stills.wanted() {
            let here = stills.last().map_or(Duration::ZERO, |frame| frame.at);
            if can_jump && (at > here + NEAR || (first && here > at)) {
                can_jump = self.approach(at, stills, pulse)?;
            }
            first = false;
            // Decodes on until this point is passed.
            while stills.wanted() == Some(at) {
                match self.next(stills, pulse)? {
                    Next::Frame(sample) => stills.take(sample)?,
                    Next::End => {
                        if stills.last().is_none() && can_jump {
                            // Nothing lay behind the key frame: from the beginning, once.
                            can_jump = false;
                            if self.jump(Duration::ZERO) {
                                continue;
                            }
                        }
                        self.end = stills.last().map(|frame| frame.until);
                        return stills.finish(media.duration);
                    }
                }
            }
        }
        Ok(Vec::new())
    }

    /// The first frame that is whole: in media without an index a jump can land between key frames.
    fn skip_broken(
        &mut self,
        mut sample: gst::Sample,
        at: Duration,
        stills: &Stills,
        pulse: &mut Pulse<'_>,
    ) -> Result<gst::Sample, Failure> {
        let broken = |sample: &gst::Sample| {
            sample
                .buffer()
                .is_some_and(|buffer| buffer.flags().contains(gst::BufferFlags::CORRUPTED))
        };
        while broken(&sample) && Frame::new(sample.clone(), None).is_some_and(|frame| frame.at <= at) {
            self.landed_rough = true;
            match self.next(stills, pulse)? {
                Next::Frame(next) => sample = next,
                Next::End => break,
            }
        }
        Ok(sample)
    }

    /// Jumps to a frame that is not after the point. Answers whether jumping works in this medium.
    fn approach(&mut self, at: Duration, stills: &mut Stills, pulse: &mut Pulse<'_>) -> Result<bool, Failure> {
        for back in [0, 5, 30] {
            let target = at.saturating_sub(Duration::from_secs(back));
            if !self.jump(target) {
                return Ok(false);
            }
            stills.jump();
            match self.next(stills, pulse)? {
                Next::Frame(sample) => {
                    let sample = self.skip_broken(sample, at, stills, pulse)?;
                    let early = Frame::new(sample.clone(), None).is_some_and(|frame| frame.at <= at);
                    if early || target.is_zero() {
                        stills.take(sample)?;
                        return Ok(true);
                    }
                }
                Next::End => {}
            }
        }
        // Jumping lands wherever it likes: decode from the beginning.
        self.jump(Duration::ZERO);
        stills.jump();
        Ok(false)
    }
}
