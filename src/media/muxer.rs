//! From packets to a file: what writes each form of container, and what it can hold.

use gst::prelude::*;

use super::encoder::rate;
use super::failure::{element, internal};
use super::flv::order;
use super::xing;
use crate::job::Failure;
use crate::plan::VideoStream;
use crate::rule::{Container, VideoCodec, VideoSpec};

/// What writes a file; linked in this order, the first takes packets.
pub fn writer(container: Container, file: &str) -> Result<Vec<gst::Element>, Failure> {
    let sink = element("filesink")?;
    sink.set_property("location", file);
    sink.set_property("sync", false);
    sink.set_property("async", false);
    let mut chain = match container {
        Container::Mp4 | Container::M4a | Container::Mov => {
            let muxer = element(if container == Container::Mov { "qtmux" } else { "mp4mux" })?;
            muxer.set_property("faststart", true);
            muxer.set_property("faststart-file", spool(file));
            vec![muxer]
        }
        Container::Mkv => vec![element("matroskamux")?],
        Container::Webm => vec![element("webmmux")?],
        Container::Ts => vec![element("mpegtsmux")?],
        Container::Flv => vec![element("flvmux")?],
        Container::Mxf => vec![element("mxfmux")?],
        Container::Ogg => vec![element("oggmux")?],
        Container::Mp3 => vec![xing::element(), element("id3v2mux")?],
        Container::Wav => vec![element("wavenc")?],
        // Its packets are the file.
        Container::Flac => Vec::new(),
    };
    chain.push(sink);
    Ok(chain)
}

/// Where the muxer keeps media data until the index is written; it removes the file itself.
pub fn spool(file: &str) -> String {
    format!("{file}.spool")
}

/// Where a writer takes video or sound.
pub fn entry(container: Container, writer: &gst::Element, video: bool) -> Result<gst::Pad, Failure> {
    let sort = if video { "video" } else { "sound" };
    let pad = match request_name(container, video) {
        Some(name) => writer.request_pad_simple(name),
        None => writer.static_pad("sink"),
    }
    .ok_or_else(|| internal(format!("the muxer takes no {sort}")))?;
    if container == Container::Flv {
        order::keep(&pad);
    }
    Ok(pad)
}

/// As [`entry`], for a film of this codec where it is encoded.
pub fn film_entry(container: Container, writer: &gst::Element, codec: Option<VideoCodec>) -> Result<gst::Pad, Failure> {
    match (container, codec) {
        (Container::Mxf, Some(VideoCodec::Dnxhd)) => writer.request_pad_simple("vc3_video_sink_%u"),
        _ => return entry(container, writer, true),
    }
    .ok_or_else(|| internal("the muxer takes no such video"))
}

/// Where a writer takes subtitles.
pub fn subtitle_entry(writer: &gst::Element) -> Result<gst::Pad, Failure> {
    writer
        .request_pad_simple("subtitle_%u")
        .ok_or_else(|| internal("the muxer takes no subtitles"))
}

/// Whether a writer takes subtitles just as they are.
pub fn takes_subtitles(writer: &gst::Element, packets: &gst::Caps) -> bool {
    templates(writer, "subtitle_%u").any(|held| packets.is_subset(&held))
}

fn request_name(container: Container, video: bool) -> Option<&'static str> {
    match container {
        Container::Ts => Some("sink_%d"),
        Container::Mp3 | Container::Wav | Container::Flac => None,
        Container::Flv if video => Some("video"),
        Container::Flv => Some("audio"),
        Container::Mxf if video => Some("mpeg_video_sink_%u"),
        Container::Mxf => Some("bwf_audio_sink_%u"),
        _ if video => Some("video_%u"),
        _ => Some("audio_%u"),
    }
}

/// Whether this form can hold packets like these.
pub fn holds(container: Container, writer: &gst::Element, packets: &gst::CapsRef, video: bool) -> bool {
    let Some(fields) = packets.structure(0) else {
        return false;
    };
    if video && container.is_audio_only() {
        return false;
    }
    // Its description is not in every form of packets, and without one players refuse the file.
    if fields.name() == "video/x-av1" {
        return false;
    }
    if container == Container::Flac {
        return fields.name() == "audio/x-flac";
    }
    let mut sort = gst::Structure::new_empty(fields.name());
    // What tells codecs of one name apart; how they are wrapped, a parser changes.
    for field in ["mpegversion", "layer"] {
        if let Ok(value) = fields.value(field) {
            sort.set_value(field, value.clone());
        }
    }
    let mut wanted = gst::Caps::new_empty();
    wanted.make_mut().append_structure(sort);
    accepted(container, writer, video).any(|held| held.can_intersect(&wanted))
}

/// Whether this form takes packets just as they are.
pub fn takes(container: Container, writer: &gst::Element, packets: &gst::Caps, video: bool) -> bool {
    accepted(container, writer, video).any(|held| packets.is_subset(&held))
}

fn accepted(container: Container, writer: &gst::Element, video: bool) -> impl Iterator<Item = gst::Caps> {
    templates(writer, request_name(container, video).unwrap_or("sink"))
}

fn templates<'a>(writer: &gst::Element, name: &'a str) -> impl Iterator<Item = gst::Caps> + use<'a> {
    let templates: Vec<gst::PadTemplate> = writer.pad_template_list().into_iter().collect();
    templates
        .into_iter()
        .filter(move |template| template.name_template() == name)
        .map(|template| template.caps().clone())
}

/// Ticks a second of the video track in which every frame has a whole number, where that can be known.
pub fn timescale(spec: Option<&VideoSpec>, source: &VideoStream) -> u32 {
    let (num, den) = match spec.and_then(|spec| spec.fps) {
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
