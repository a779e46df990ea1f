//! From decoded frames or sound to packets of a codec: chains of elements for every encoder.

mod aom;
mod h26x;
mod mpeg2;
mod studio;

use std::time::Duration;

use gst::prelude::*;

use super::branch::{guard, only, queue};
use super::failure::{element, internal};
use super::scale::draw;
use super::{av1, vpx};
use crate::job::Failure;
use crate::plan::{Picture, TranscodePlan};
use crate::rule::{Container, Gop, VideoCodec, VideoSpec};

/// Key frames come this often where the rule says nothing.
const DEFAULT_GOP: Duration = Duration::from_secs(2);

/// Which of the passes over a film this is, with the file in scratch that the first leaves to the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass<'a> {
    /// The only one.
    Only,
    /// Looks at all frames.
    First(&'a str),
    /// Encodes them.
    Second(&'a str),
}

/// Looks for libraries while files may still be opened.
pub fn warm_up() {
    mpeg2::warm_up();
}

/// From decoded frames to packets.
///
/// # Errors
/// Where elements are missing or refuse a setting.
pub fn video(
    plan: &TranscodePlan,
    spec: &VideoSpec,
    picture: Picture,
    threads: u32,
    pass: Pass<'_>,
) -> Result<Vec<gst::Element>, Failure> {
    let mut chain = vec![guard()?, queue(4)?];
    if let Some(fps) = spec.fps {
        chain.push(element("videorate")?);
        chain.push(only(
            &gst::Caps::builder("video/x-raw").field("framerate", rate(fps)).build(),
        )?);
    }
    chain.extend(framed(picture, format(spec))?);
    let encoder = match spec.codec {
        VideoCodec::H264 => h26x::x264(spec, threads, pass)?,
        VideoCodec::H265 => h26x::x265(spec, threads, pass)?,
        VideoCodec::Vp8 | VideoCodec::Vp9 => vpx::encoder(spec, picture, threads, pass)?,
        VideoCodec::Av1 => aom::encoder(spec, picture, threads)?,
        VideoCodec::Mpeg2 => mpeg2::encoder(spec, picture, threads)?,
        VideoCodec::Prores => studio::prores(spec)?,
        VideoCodec::Dnxhd => studio::dnxhd(spec)?,
    };
    key_frames(&encoder, plan.gop_frames, spec);
    let exit = encoder
        .static_pad("src")
        .ok_or_else(|| internal("an encoder without an exit"))?;
    if let (VideoCodec::Vp8 | VideoCodec::Vp9, Some(entry)) = (spec.codec, encoder.static_pad("sink")) {
        vpx::flush(&entry, &exit);
    }
    chain.push(encoder);
    if pass == Pass::Only || matches!(pass, Pass::Second(_)) {
        chain.extend(pack(spec, plan.settings.container, &exit)?);
    }
    Ok(chain)
}

/// Brings frames into this picture, with samples of this form.
///
/// # Errors
/// Where elements are missing.
pub fn framed(picture: Picture, format: &str) -> Result<Vec<gst::Element>, Failure> {
    let (width, height) = picture.size;
    let wanted = gst::Caps::builder("video/x-raw")
        .field("format", format)
        .field("width", i32::try_from(width).map_err(internal)?)
        .field("height", i32::try_from(height).map_err(internal)?)
        .field("pixel-aspect-ratio", gst::Fraction::new(1, 1));
    let mut chain = draw(picture)?;
    chain.push(only(&wanted.build())?);
    Ok(chain)
}

/// How samples lie in the frames that the encoder gets.
pub fn format(spec: &VideoSpec) -> &'static str {
    match (spec.codec, spec.profile.as_deref(), spec.depth) {
        (VideoCodec::Prores, Some("4444"), _) => "Y444_10LE",
        (VideoCodec::Prores, ..) | (VideoCodec::Dnxhd, _, 10) => "I422_10LE",
        (VideoCodec::Dnxhd, ..) => "Y42B",
        (_, _, 10) => "I420_10LE",
        _ => "I420",
    }
}

/// Has key frames come as often as the rule says.
fn key_frames(encoder: &gst::Element, frames: Option<u32>, spec: &VideoSpec) {
    let distances: &[&str] = match spec.codec {
        VideoCodec::H264 | VideoCodec::H265 => &["key-int-max"],
        VideoCodec::Vp8 | VideoCodec::Vp9 | VideoCodec::Av1 => &["keyframe-max-dist"],
        VideoCodec::Mpeg2 => &["gop"],
        VideoCodec::Prores | VideoCodec::Dnxhd => return,
    };
    let most = if spec.codec == VideoCodec::Mpeg2 {
        mpeg2::LONGEST_GOP
    } else {
        u32::MAX >> 1
    };
    let set_distance = |frames: u32| {
        for distance in distances {
            encoder.set_property_from_str(distance, &frames.clamp(1, most).to_string());
        }
    };
    match (frames, spec.gop) {
        (Some(frames), _) | (None, Some(Gop::Frames(frames))) => set_distance(frames),
        (None, gop) => {
            let every = match gop {
                Some(Gop::Time(time)) => time,
                _ => DEFAULT_GOP,
            };
            // The encoder of AV1 hears no requests: of a film whose pictures come as they like it gets what thirty a second need.
            let hears = spec.codec != VideoCodec::Av1;
            set_distance(if hears { 600 } else { frames_of(every) });
            let shifts = matches!(spec.codec, VideoCodec::H264 | VideoCodec::H265);
            force_key_frames(encoder, every, if shifts { THEIR_ZERO } else { gst::ClockTime::ZERO });
        }
    }
}

/// So many frames of thirty a second take this time.
fn frames_of(time: Duration) -> u32 {
    u32::try_from(time.as_millis() * 30 / 1000).unwrap_or(u32::MAX)
}

/// What comes after the encoder with this exit: packets as the container wants them.
fn pack(spec: &VideoSpec, container: Container, exit: &gst::Pad) -> Result<Vec<gst::Element>, Failure> {
    Ok(match spec.codec {
        VideoCodec::H264 => {
            let mut chain = Vec::new();
            if let Some(profile) = h26x::profile(spec) {
                let caps = gst::Caps::builder("video/x-h264").field("profile", profile);
                chain.push(only(&caps.build())?);
            }
            chain.push(h264_parser(container)?);
            chain
        }
        VideoCodec::H265 => vec![h265_parser(container)?],
        VideoCodec::Vp9 => {
            vpx::tell_colours(exit);
            vec![element("vp9parse")?]
        }
        VideoCodec::Av1 => {
            let parser = element("av1parse")?;
            if let Some(pad) = parser.static_pad("src") {
                av1::complete(exit, &pad, container);
            }
            vec![parser]
        }
        VideoCodec::Mpeg2 => vec![element("mpegvideoparse")?],
        VideoCodec::Prores => {
            studio::tell_colours(exit);
            Vec::new()
        }
        VideoCodec::Vp8 | VideoCodec::Dnxhd => Vec::new(),
    })
}

/// Where frames go in that are encoded one by one, in a chain of [`video`]: after frames were left out or doubled.
pub fn entry(chain: &[gst::Element]) -> Option<gst::Pad> {
    chain.get(place(chain)?.checked_sub(1)?)?.static_pad("sink")
}

/// Where the encoder stands in a chain of [`video`].
pub fn place(chain: &[gst::Element]) -> Option<usize> {
    // Those of our own have no factory.
    let encodes = |one: &gst::Element| one.metadata("klass").is_some_and(|sort| sort.contains("Encoder"));
    chain.iter().position(encodes)
}

/// Repeats the parameters before every key frame where one may start to watch in the middle.
///
/// # Errors
/// Where the element is missing.
pub fn h264_parser(container: Container) -> Result<gst::Element, Failure> {
    let parser = element("h264parse")?;
    if container == Container::Ts {
        parser.set_property("config-interval", -1_i32);
    }
    Ok(parser)
}

/// As [`h264_parser`], of H.265.
///
/// # Errors
/// Where the element is missing.
pub fn h265_parser(container: Container) -> Result<gst::Element, Failure> {
    let parser = element("h265parse")?;
    if container == Container::Ts {
        parser.set_property("config-interval", -1_i32);
    }
    Ok(parser)
}

/// Where the encoders of H.264 and H.265 let their time begin, so that no packet is decoded before zero.
const THEIR_ZERO: gst::ClockTime = gst::ClockTime::from_seconds(3600 * 1000);

/// What is known between two key frames that are asked for.
#[derive(Default)]
struct Asking {
    segment: Option<gst::FormattedSegment<gst::ClockTime>>,
    next: Option<Duration>,
}

/// Asks the encoder for a key frame at least this often, whatever the distance of frames.
///
/// A request needs a time, or it gives way to another whose frame has not left the encoder. The encoder compares that with times in
/// the segment of what it has put out, which is an empty one until then, and of frames that it has shifted to its own zero. So frames come
/// in by their running time and shifted already, in a segment that begins at zero; behind the encoder the segment begins at the zero that
/// they have.
fn force_key_frames(encoder: &gst::Element, every: Duration, zero: gst::ClockTime) {
    let (Some(entry), Some(exit)) = (encoder.static_pad("sink"), encoder.static_pad("src")) else {
        return;
    };
    let plain = gst::FormattedSegment::<gst::ClockTime>::new;
    exit.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
        if let Some(gst::PadProbeData::Event(event)) = &mut info.data
            && event.type_() == gst::EventType::Segment
        {
            let mut segment = plain();
            segment.set_start(zero);
            *event = gst::event::Segment::builder(&segment).seqnum(event.seqnum()).build();
        }
        gst::PadProbeReturn::Ok
    });
    let state = std::sync::Mutex::new(Asking::default());
    let kinds = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
    entry.add_probe(kinds, move |pad, info| {
        let mut asking = state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match &mut info.data {
            Some(gst::PadProbeData::Event(event)) => {
                if let gst::EventView::Segment(segment) = event.view() {
                    asking.segment = segment.segment().downcast_ref::<gst::ClockTime>().cloned();
                    *event = gst::event::Segment::builder(&plain()).seqnum(event.seqnum()).build();
                }
            }
            Some(gst::PadProbeData::Buffer(buffer)) if !buffer.flags().contains(vpx::AGAIN) => {
                let segment = asking.segment.as_ref();
                let Some(here) = buffer.pts().and_then(|pts| segment?.to_running_time(pts)) else {
                    return gst::PadProbeReturn::Drop;
                };
                let now = Duration::from(here);
                // The first frame is a key frame by itself.
                let due = asking.next.is_some_and(|next| now >= next);
                if due || asking.next.is_none() {
                    asking.next = Some(now + every);
                }
                drop(asking);
                let own = buffer.make_mut();
                own.set_pts(here + zero);
                own.set_dts(gst::ClockTime::NONE);
                if due {
                    let event = gst_video::DownstreamForceKeyUnitEvent::builder().all_headers(true);
                    pad.send_event(event.running_time(here + zero).build());
                }
            }
            _ => {}
        }
        gst::PadProbeReturn::Ok
    });
}

/// A rate as people write it (29.97) as the fraction that is meant (30000/1001).
pub fn rate(fps: f64) -> gst::Fraction {
    let ntsc = (fps * 1.001).round();
    #[allow(clippy::cast_possible_truncation)]
    if (fps - fps.round()).abs() > 0.000_5 && (ntsc / 1.001 - fps).abs() < 0.005 {
        gst::Fraction::new(ntsc as i32 * 1000, 1001)
    } else {
        gst::Fraction::new((fps * 1000.0).round() as i32, 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_the_fractions_that_people_mean() {
        let table: Vec<_> = [25.0, 29.97, 23.976, 59.94, 12.5, 30.0, 1.0]
            .into_iter()
            .map(|fps| {
                (fps, {
                    let f = rate(fps);
                    format!("{}/{}", f.numer(), f.denom())
                })
            })
            .collect();
        insta::assert_snapshot!(format!("{table:?}"), @r#"[(25.0, "25/1"), (29.97, "30000/1001"), (23.976, "24000/1001"), (59.94, "60000/1001"), (12.5, "25/2"), (30.0, "30/1"), (1.0, "1/1")]"#);
    }
}
