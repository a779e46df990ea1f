//! The branch of one transcode: from decoded frames and sound to a file, in a bin that can fail alone.

use std::time::Duration;

use gst::prelude::*;

use super::failure::{element, internal};
use super::still::scaler;
use crate::job::{ErrorKind, Failure};
use crate::plan::{TranscodePlan, VideoStream};
use crate::rule::{AudioSpec, Gop, VideoRate, VideoSpec};

/// Key frames come this often where the rule says nothing.
const DEFAULT_GOP: Duration = Duration::from_secs(2);

/// A bin with the ghost pads `video` and `audio`, as far as the plan has them.
///
/// # Errors
/// Where elements are missing or refuse a setting.
pub fn transcode(
    name: &str,
    plan: &TranscodePlan,
    source: Option<&VideoStream>,
    threads: u32,
) -> Result<gst::Bin, Failure> {
    let bin = gst::Bin::builder().name(name).build();
    let muxer = element("mp4mux")?;
    muxer.set_property("faststart", true);
    muxer.set_property("faststart-file", spool(&plan.file));
    let sink = element("filesink")?;
    sink.set_property("location", &plan.file);
    sink.set_property("sync", false);
    sink.set_property("async", false);
    bin.add_many([&muxer, &sink]).map_err(internal)?;
    muxer.link(&sink).map_err(internal)?;

    if let (Some(spec), Some(picture), Some(source)) = (&plan.settings.video, plan.picture, source) {
        let chain = video(plan, spec, picture, threads)?;
        let last = connect(&bin, "video", &chain)?;
        let pad = muxer
            .request_pad_simple("video_%u")
            .ok_or_else(|| internal("the muxer takes no video"))?;
        pad.set_property("trak-timescale", timescale(spec, source));
        last.link(&pad).map_err(internal)?;
    }
    if let (Some(spec), Some(channels), Some(rate)) = (&plan.settings.audio, plan.channels, plan.rate) {
        let chain = audio(spec, channels, rate)?;
        let last = connect(&bin, "audio", &chain)?;
        let pad = muxer
            .request_pad_simple("audio_%u")
            .ok_or_else(|| internal("the muxer takes no sound"))?;
        lift_cover(&last);
        last.link(&pad).map_err(internal)?;
    }
    if bin.iterate_sink_pads().next().ok().flatten().is_none() {
        return Err(Failure::new(
            ErrorKind::NoSuchStream,
            "the medium has neither video nor sound that the task wants",
        ));
    }
    Ok(bin)
}

/// A cover that came with the only stream is one of the whole result: players look for it there, and some stumble
/// over a track that has one.
fn lift_cover(pad: &gst::Pad) {
    pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, |_, info| {
        if let Some(gst::PadProbeData::Event(event)) = &mut info.data
            && let gst::EventView::Tag(tag) = event.view()
            && (tag.tag().get::<gst::tags::Image>().is_some() || tag.tag().get::<gst::tags::PreviewImage>().is_some())
        {
            let mut tags = tag.tag().to_owned();
            tags.make_mut().set_scope(gst::TagScope::Global);
            *event = gst::event::Tag::new(tags);
        }
        gst::PadProbeReturn::Ok
    });
}

/// Where the muxer keeps media data until the index is written; it removes the file itself.
pub fn spool(file: &str) -> String {
    format!("{file}.spool")
}

/// Links a chain within the bin; answers its last pad.
fn connect(bin: &gst::Bin, name: &str, chain: &[gst::Element]) -> Result<gst::Pad, Failure> {
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
    last.static_pad("src")
        .ok_or_else(|| internal("a chain without an exit"))
}

/// Keeps what goes wrong in a branch from the decoder that feeds others too.
fn guard() -> Result<gst::Element, Failure> {
    let guard = element("errorignore")?;
    guard.set_property("ignore-error", true);
    guard.set_property("ignore-notlinked", true);
    guard.set_property("ignore-notnegotiated", true);
    guard.set_property_from_str("convert-to", "ok");
    Ok(guard)
}

/// A queue of this many buffers; 0: without a limit.
pub fn queue(buffers: u32) -> Result<gst::Element, Failure> {
    let queue = element("queue")?;
    queue.set_property("max-size-buffers", buffers);
    queue.set_property("max-size-bytes", 0_u32);
    queue.set_property("max-size-time", 0_u64);
    Ok(queue)
}

fn video(
    plan: &TranscodePlan,
    spec: &VideoSpec,
    (width, height): (u32, u32),
    threads: u32,
) -> Result<Vec<gst::Element>, Failure> {
    let mut chain = vec![guard()?, queue(4)?];
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
    chain.push(scaler()?);
    chain.push(filter(&wanted.build())?);

    let encoder = element("x264enc")?;
    let parser = element("h264parse")?;
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
    match (plan.gop_frames, spec.gop) {
        (Some(frames), _) | (None, Some(Gop::Frames(frames))) => {
            encoder.set_property("key-int-max", frames.max(1));
        }
        (None, gop) => {
            let every = match gop {
                Some(Gop::Time(time)) => time,
                _ => DEFAULT_GOP,
            };
            encoder.set_property("key-int-max", 600_u32);
            if let Some(pad) = encoder.static_pad("sink") {
                force_key_frames(&pad, every);
            }
        }
    }
    chain.push(encoder);
    chain.push(parser);
    Ok(chain)
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

fn audio(spec: &AudioSpec, channels: u32, rate: u32) -> Result<Vec<gst::Element>, Failure> {
    let wanted = gst::Caps::builder("audio/x-raw")
        .field("rate", i32::try_from(rate).map_err(internal)?)
        .field("channels", i32::try_from(channels).map_err(internal)?);
    let wanted = match layout(channels) {
        Some(mask) => wanted.field("channel-mask", gst::Bitmask::new(mask)),
        None => wanted,
    };
    let encoder = element("avenc_aac")?;
    encoder.set_property("bitrate", i32::try_from(spec.bitrate).map_err(internal)?);
    Ok(vec![
        guard()?,
        queue(0)?,
        element("audioconvert")?,
        element("audioresample")?,
        filter(&wanted.build())?,
        encoder,
        element("aacparse")?,
    ])
}

/// The speakers of so many channels, as AAC has them; one and two need no words.
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

/// Ticks a second of the video track in which every frame has a whole number, where that can be known.
fn timescale(spec: &VideoSpec, source: &VideoStream) -> u32 {
    let (num, den) = match spec.fps {
        Some(fps) => {
            let fps = rate(fps);
            (fps.numer().unsigned_abs(), fps.denom().unsigned_abs())
        }
        None => source.fps,
    };
    if num == 0 || den == 0 || u64::from(90_000_u32) * u64::from(den) % u64::from(num) == 0 {
        return 90_000;
    }
    let times = 10_000_u32.div_ceil(num).max(1);
    num.checked_mul(times)
        .filter(|scale| *scale <= 10_000_000)
        .unwrap_or(90_000)
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
