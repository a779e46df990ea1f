//! VP8 and VP9 by libvpx.

use std::sync::{Arc, Mutex, PoisonError};

use gst::prelude::*;

use super::colour;
use super::encoder::Pass;
use super::failure::{element, internal};
use crate::job::Failure;
use crate::plan::Picture;
use crate::rule::{RateMode, VideoCodec, VideoRate, VideoSpec};

/// What VP8 may spend at most where quality decides; no picture needs it.
const NO_CEILING: i32 = 200_000_000;

/// About how many bits a pixel has in VP9 at this quality, of a film in which much moves; half as many where it is so
/// much worse.
const USUAL_BITS: f64 = 0.1;
const USUAL_QUALITY: f64 = 31.0;
const HALF: f64 = 8.0;
/// Frames a second.
const USUAL_RATE: f64 = 30.0;

/// What marks frames that the encoder is shown again: they have their time already.
pub const AGAIN: gst::BufferFlags = gst::BufferFlags::DECODE_ONLY;

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
    let (deadline, speed) = match effort(&spec.preset) {
        // Who is in such a hurry takes no notes.
        (REALTIME, _) if pass != Pass::Only => (GOOD, 5),
        effort => effort,
    };
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
            let quantizer = crf.round().clamp(0.0, 63.0) as i32;
            encoder.set_property("cq-level", quantizer);
            if vp9 {
                // The bitrate bounds nothing, since no frame may be worse than was asked for. It only says how much better
                // those are that others are made of: with a tenth of it or less, all of them would be.
                encoder.set_property("max-quantizer", quantizer);
                encoder.set_property("target-bitrate", usual_bitrate(picture, crf));
            } else {
                encoder.set_property("target-bitrate", NO_CEILING);
            }
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

/// Bits a second that a film of this size has at this quality, about.
fn usual_bitrate(picture: Picture, crf: f64) -> i32 {
    let pixels = f64::from(picture.size.0) * f64::from(picture.size.1) * USUAL_RATE;
    let bits = pixels * USUAL_BITS * ((USUAL_QUALITY - crf) / HALF).exp2();
    #[allow(clippy::cast_possible_truncation, reason = "clamped to the range")]
    let bits = bits.clamp(1000.0, f64::from(NO_CEILING)) as i32;
    bits
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

/// Has key frames of VP9 that leave here say which matrix their colours have: decoders believe them and no container.
pub fn tell_colours(exit: &gst::Pad) {
    exit.add_probe(gst::PadProbeType::BUFFER, |pad, info| {
        let numbers = pad.current_caps().and_then(|caps| colour::numbers(&caps));
        if let (Some(numbers), Some(gst::PadProbeData::Buffer(packet))) = (numbers, &mut info.data)
            && !packet.flags().contains(gst::BufferFlags::DELTA_UNIT)
            && let Ok(mut bytes) = packet.make_mut().map_writable()
        {
            tell_matrix(&mut bytes, numbers.matrix, numbers.full_range);
        }
        gst::PadProbeReturn::Ok
    });
}

/// Writes into the head of a key frame which matrix (a number of ISO/IEC 23091-2) and range it has.
fn tell_matrix(frame: &mut [u8], matrix: u8, full_range: bool) {
    let code: u8 = match matrix {
        1 => 2,
        5 => 1,
        6 => 3,
        7 => 4,
        9 => 5,
        _ => return,
    };
    // A frame marker, a profile of two bits, not shown before, a key frame; then what marks one.
    let Some([head, 0x49, 0x83, 0x42, first, second]) = frame.first_chunk_mut::<6>() else {
        return;
    };
    let deep = match (*head >> 4 & 3, *head & 0b1100_1100) {
        (0, 0b1000_0000) => 0,
        // The second bit of the profile comes first; more than 8 bits have one more in front of the colours.
        (1, 0b1000_0000) => 1,
        _ => return,
    };
    // Four bits: matrix and range.
    let bits = u16::from(code << 1 | u8::from(full_range)) << (12 - deep);
    let mask = 0b1111_u16 << (12 - deep);
    let both = u16::from_be_bytes([*first, *second]) & !mask | bits;
    [*first, *second] = both.to_be_bytes();
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
        fields.set_flags(AGAIN);
        // What the encoder makes of it is told on the bus.
        if pad.chain(again).is_err() {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_frame_says_its_matrix_and_nothing_else_changes() {
        // Profile 0: four bits after the mark.
        let mut frame = [0x82, 0x49, 0x83, 0x42, 0x00, 0x27, 0xf0];
        tell_matrix(&mut frame, 1, false);
        assert_eq!(frame, [0x82, 0x49, 0x83, 0x42, 0x40, 0x27, 0xf0]);
        // Profile 2: the first bit says that it has 10 bits a sample.
        let mut frame = [0x92, 0x49, 0x83, 0x42, 0x07, 0xff, 0xf0];
        tell_matrix(&mut frame, 9, false);
        assert_eq!(frame, [0x92, 0x49, 0x83, 0x42, 0x57, 0xff, 0xf0]);
        // Not a key frame.
        let mut other = [0x86, 0x49, 0x83, 0x42, 0x00, 0x27];
        tell_matrix(&mut other, 1, false);
        assert_eq!(other[4], 0);
    }
}
