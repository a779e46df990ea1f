//! VP8 and VP9 by libvpx.

use std::sync::{Arc, Mutex, PoisonError};

use gst::prelude::*;

use super::encoder::Pass;
use super::failure::{element, internal};
use crate::job::Failure;
use crate::plan::Picture;
use crate::rule::{RateMode, VideoCodec, VideoRate, VideoSpec};

/// What libvpx may spend at most where quality decides; no picture needs it.
const NO_CEILING: i32 = 200_000_000;

/// How many frames it looks ahead.
const LAG: i32 = 16;

/// How far apart frames are that only push others out, where nothing tells.
const STEP: gst::ClockTime = gst::ClockTime::from_mseconds(40);

/// The encoder, set as the rule wants it.
///
/// # Errors
/// Where it is missing or refuses a setting.
pub fn encoder(spec: &VideoSpec, picture: Picture, threads: u32, pass: Pass<'_>) -> Result<gst::Element, Failure> {
    let vp9 = spec.codec == VideoCodec::Vp9;
    let encoder = element(if vp9 { "vp9enc" } else { "vp8enc" })?;
    let (deadline, speed) = effort(&spec.preset);
    encoder.set_property("deadline", deadline);
    encoder.set_property("cpu-used", speed);
    encoder.set_property("threads", i32::try_from(threads).map_err(internal)?.min(16));
    encoder.set_property("lag-in-frames", LAG);
    encoder.set_property("auto-alt-ref", deadline != REALTIME);
    if vp9 {
        encoder.set_property("row-mt", true);
        // A column is at least 256 pixels wide; the number is a power of two.
        let columns = (picture.size.0 / 256).max(1).min(threads.max(1).next_power_of_two());
        encoder.set_property("tile-columns", i32::try_from(columns.ilog2()).map_err(internal)?);
    }
    match spec.rate {
        VideoRate::Crf(crf) => {
            encoder.set_property_from_str("end-usage", "cq");
            #[allow(clippy::cast_possible_truncation)]
            encoder.set_property("cq-level", crf.round().clamp(0.0, 63.0) as i32);
            encoder.set_property("target-bitrate", NO_CEILING);
        }
        VideoRate::Bitrate(bits) => {
            let usage = if spec.mode == RateMode::Cbr { "cbr" } else { "vbr" };
            encoder.set_property_from_str("end-usage", usage);
            encoder.set_property("target-bitrate", i32::try_from(bits).map_err(internal)?);
        }
        VideoRate::Profile => {}
    }
    let (mode, file) = match pass {
        Pass::Only => return Ok(encoder),
        Pass::First(file) => ("first-pass", file),
        Pass::Second(file) => ("last-pass", file),
    };
    encoder.set_property_from_str("multipass-mode", mode);
    encoder.set_property("multipass-cache-file", file);
    Ok(encoder)
}

const REALTIME: i64 = 1;
const GOOD: i64 = 1_000_000;
const BEST: i64 = 0;

/// libvpx's time for a frame in microseconds and its speed, for x264's words.
fn effort(preset: &str) -> (i64, i32) {
    match preset {
        "ultrafast" => (REALTIME, 8),
        "superfast" => (REALTIME, 7),
        "veryfast" => (REALTIME, 6),
        "faster" => (GOOD, 5),
        "fast" => (GOOD, 4),
        "slow" => (GOOD, 2),
        "slower" => (GOOD, 1),
        "veryslow" => (GOOD, 0),
        "placebo" => (BEST, 0),
        _ => (GOOD, 3),
    }
}

#[derive(Default)]
struct Last {
    frame: Option<gst::Buffer>,
    over: bool,
}

/// Gets every frame out of the encoder with these pads, in and out.
///
/// At the end libvpx hands over what it held back only until half of its buffer is full, and the element asks it once:
/// of small pictures with many bits the last ones were lost. So the last frame is shown to it a few times more, which
/// pushes all others out, and those repetitions are dropped behind it.
pub fn flush(entry: &gst::Pad, exit: &gst::Pad) {
    let last = Arc::new(Mutex::new(Last::default()));
    let ended = last.clone();
    entry.add_probe(
        gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM,
        move |pad, info| {
            let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
            match &mut info.data {
                Some(gst::PadProbeData::Buffer(buffer)) if !last.over => last.frame = Some(buffer.clone()),
                Some(gst::PadProbeData::Event(event)) => match event.view() {
                    gst::EventView::Segment(told) => {
                        if let Some(open) = without_end(told.segment()) {
                            *event = gst::event::Segment::builder(&open).seqnum(event.seqnum()).build();
                        }
                    }
                    gst::EventView::Eos(_) => {
                        last.over = true;
                        let frame = last.frame.clone();
                        drop(last);
                        if let Some(frame) = frame {
                            repeat(pad, &frame);
                        }
                    }
                    _ => {}
                },
                _ => {}
            }
            gst::PadProbeReturn::Ok
        },
    );
    exit.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let last = ended.lock().unwrap_or_else(PoisonError::into_inner);
        let end = last.frame.as_ref().filter(|_| last.over).and_then(|frame| frame.pts());
        let at = info.buffer().and_then(|packet| packet.pts());
        match at.zip(end) {
            Some((at, end)) if at > end => gst::PadProbeReturn::Drop,
            _ => gst::PadProbeReturn::Ok,
        }
    });
}

/// Frames after the end would not be taken.
fn without_end(told: &gst::Segment) -> Option<gst::FormattedSegment<gst::ClockTime>> {
    let mut open = told.downcast_ref::<gst::ClockTime>()?.clone();
    open.set_stop(gst::ClockTime::NONE);
    Some(open)
}

fn repeat(pad: &gst::Pad, frame: &gst::Buffer) {
    let step = frame.duration().filter(|step| !step.is_zero()).unwrap_or(STEP);
    let mut at = frame.pts();
    for _ in 0..=LAG {
        at = at.map(|at| at + step);
        let mut again = frame.clone();
        let fields = again.make_mut();
        fields.set_pts(at);
        fields.set_dts(None);
        // What the encoder makes of it is told on the bus.
        if pad.chain(again).is_err() {
            break;
        }
    }
}
