//! From decoded frames or sound to packets of a codec: chains of elements for every encoder.

use std::time::Duration;

use gst::prelude::*;

use super::branch::{guard, queue};
use super::failure::{element, internal};
use super::scale::draw;
use super::vpx;
use crate::job::Failure;
use crate::plan::{Picture, TranscodePlan};
use crate::rule::{AudioCodec, AudioSpec, Container, Gop, VideoCodec, VideoRate, VideoSpec};

/// Key frames come this often where the rule says nothing.
const DEFAULT_GOP: Duration = Duration::from_secs(2);

/// From decoded frames to packets.
///
/// # Errors
/// Where elements are missing or refuse a setting.
pub fn video(
    plan: &TranscodePlan,
    spec: &VideoSpec,
    picture: Picture,
    threads: u32,
) -> Result<Vec<gst::Element>, Failure> {
    let mut chain = vec![guard()?, queue(4)?];
    let (width, height) = picture.size;
    let wanted = gst::Caps::builder("video/x-raw")
        .field("format", "I420")
        .field("width", i32::try_from(width).map_err(internal)?)
        .field("height", i32::try_from(height).map_err(internal)?)
        .field("pixel-aspect-ratio", gst::Fraction::new(1, 1));
    if let Some(fps) = spec.fps {
        chain.push(element("videorate")?);
        chain.push(filter(
            &gst::Caps::builder("video/x-raw").field("framerate", rate(fps)).build(),
        )?);
    }
    chain.extend(draw(picture)?);
    let last = filter(&wanted.build())?;
    let encoder = match spec.codec {
        VideoCodec::H264 => x264(spec, threads)?,
        VideoCodec::Vp8 | VideoCodec::Vp9 => vpx::encoder(spec, picture, threads)?,
    };
    let distance = match spec.codec {
        VideoCodec::H264 => "key-int-max",
        VideoCodec::Vp8 | VideoCodec::Vp9 => "keyframe-max-dist",
    };
    let set_distance = |frames: u32| {
        if spec.codec == VideoCodec::H264 {
            encoder.set_property(distance, frames);
        } else {
            encoder.set_property(distance, i32::try_from(frames).unwrap_or(i32::MAX));
        }
    };
    match (plan.gop_frames, spec.gop) {
        (Some(frames), _) | (None, Some(Gop::Frames(frames))) => set_distance(frames.max(1)),
        (None, gop) => {
            let every = match gop {
                Some(Gop::Time(time)) => time,
                _ => DEFAULT_GOP,
            };
            set_distance(600);
            if let Some(pad) = encoder.static_pad("sink") {
                force_key_frames(&pad, every);
            }
        }
    }
    if spec.codec != VideoCodec::H264
        && let (Some(entry), Some(exit)) = (encoder.static_pad("sink"), encoder.static_pad("src"))
    {
        vpx::flush(&entry, &exit);
    }
    chain.extend([last, encoder]);
    match spec.codec {
        VideoCodec::H264 => chain.push(h264_parser(plan.settings.container)?),
        VideoCodec::Vp9 => chain.push(element("vp9parse")?),
        VideoCodec::Vp8 => {}
    }
    Ok(chain)
}

/// Where frames go in that are encoded one by one, in a chain of [`video`]: after frames were left out or doubled.
pub fn entry(chain: &[gst::Element]) -> Option<gst::Pad> {
    let encodes = |one: &gst::Element| {
        one.factory()
            .is_some_and(|factory| factory.has_type(gst::ElementFactoryType::ENCODER))
    };
    let place = chain.iter().position(encodes)?;
    chain.get(place.checked_sub(1)?)?.static_pad("sink")
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

fn x264(spec: &VideoSpec, threads: u32) -> Result<gst::Element, Failure> {
    let encoder = element("x264enc")?;
    encoder.set_property_from_str("speed-preset", &spec.preset);
    encoder.set_property("threads", threads);
    match spec.rate {
        VideoRate::Crf(crf) => {
            encoder.set_property_from_str("pass", "qual");
            set_quality(&encoder, crf);
            // Else the default bitrate would bound the quality.
            encoder.set_property("vbv-buf-capacity", 0_u32);
        }
        VideoRate::Bitrate(bits) => {
            encoder.set_property_from_str("pass", "cbr");
            encoder.set_property(
                "bitrate",
                u32::try_from(bits.div_ceil(1000))
                    .map_err(internal)?
                    .clamp(1, 2_048_000),
            );
            encoder.set_property("vbv-buf-capacity", 2_000_u32);
        }
    }
    encoder.set_property("qp-min", 0_u32);
    Ok(encoder)
}

/// The element takes whole numbers. What lies between two is reached by a zone over the whole film in which frames
/// may have that many more bits: six steps are twice as many.
fn set_quality(encoder: &gst::Element, crf: f64) {
    let whole = crf.clamp(0.0, 50.0).ceil();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    encoder.set_property("quantizer", whole as u32);
    let between = whole - crf;
    if between > 0.01 && between < 1.0 {
        let more = (between / 6.0).exp2();
        encoder.set_property("option-string", format!("zones=0,{},b={more:.4}", i32::MAX));
    }
}

/// Asks the encoder for a key frame at least this often, whatever the distance of frames.
fn force_key_frames(pad: &gst::Pad, every: Duration) {
    let next = std::sync::Mutex::new(None::<Duration>);
    pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        let Some(pts) = info.buffer().and_then(|buffer| buffer.pts()).map(Duration::from) else {
            return gst::PadProbeReturn::Ok;
        };
        let due = {
            let mut next = next.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            // The first frame is a key frame by itself.
            let due = next.is_some_and(|next| pts >= next);
            if due || next.is_none() {
                *next = Some(pts + every);
            }
            due
        };
        if due {
            pad.send_event(
                gst_video::DownstreamForceKeyUnitEvent::builder()
                    .all_headers(true)
                    .build(),
            );
        }
        gst::PadProbeReturn::Ok
    });
}

/// From decoded sound to packets.
///
/// # Errors
/// Where elements are missing or refuse a setting.
pub fn audio(spec: &AudioSpec, channels: u32, rate: u32) -> Result<Vec<gst::Element>, Failure> {
    let mut wanted = gst::Caps::builder("audio/x-raw")
        .field("rate", i32::try_from(rate).map_err(internal)?)
        .field("channels", i32::try_from(channels).map_err(internal)?);
    if let Some(mask) = layout(channels) {
        wanted = wanted.field("channel-mask", gst::Bitmask::new(mask));
    }
    if spec.codec == AudioCodec::Pcm {
        wanted = wanted.field("format", "S16LE");
    }
    let mut chain = vec![
        guard()?,
        queue(0)?,
        element("audioconvert")?,
        element("audioresample")?,
        filter(&wanted.build())?,
    ];
    let bits = i32::try_from(spec.bitrate).map_err(internal)?;
    match spec.codec {
        AudioCodec::Aac => {
            let encoder = element("avenc_aac")?;
            encoder.set_property("bitrate", bits);
            chain.extend([encoder, element("aacparse")?]);
        }
        AudioCodec::Opus => {
            let encoder = element("opusenc")?;
            encoder.set_property("bitrate", bits);
            chain.push(encoder);
        }
        AudioCodec::Mp3 => {
            let encoder = element("lamemp3enc")?;
            encoder.set_property_from_str("target", "bitrate");
            encoder.set_property("cbr", true);
            encoder.set_property("bitrate", bits / 1000);
            chain.extend([encoder, element("mpegaudioparse")?]);
        }
        AudioCodec::Flac => chain.push(element("flacenc")?),
        AudioCodec::Pcm => {}
    }
    Ok(chain)
}

/// How many samples of silence this codec's encoder and decoder put before the sound, where nothing says so.
pub fn silence(codec: AudioCodec) -> u32 {
    match codec {
        AudioCodec::Aac => 1024,
        // 576 of LAME, and 529 of every decoder.
        AudioCodec::Mp3 => 1105,
        AudioCodec::Opus | AudioCodec::Flac | AudioCodec::Pcm => 0,
    }
}

/// The speakers of so many channels, as AAC and WAVE have them; one and two need no words.
fn layout(channels: u32) -> Option<u64> {
    match channels {
        3 => Some(0x7),
        4 => Some(0x107),
        5 => Some(0x37),
        6 => Some(0x3f),
        _ => None,
    }
}

fn filter(caps: &gst::Caps) -> Result<gst::Element, Failure> {
    let filter = element("capsfilter")?;
    filter.set_property("caps", caps);
    Ok(filter)
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
