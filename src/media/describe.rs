//! From caps and tags to the words and figures of [`MediaInfo`](crate::plan::MediaInfo).

use std::time::Duration;

use gst::tags::Tag;

use super::colour;
use super::demux::{Demuxer, Stream};
use super::failure::plain;
use crate::plan::{AudioStream, Chapter, Coded, HdrForm, StreamInfo, StreamKind, VideoStream};

/// The codec or container in words.
pub fn codec_name(caps: &gst::CapsRef) -> String {
    let plain_name = || {
        caps.structure(0)
            .map_or_else(|| "unknown".to_owned(), |s| s.name().to_string())
    };
    if !caps.is_fixed() {
        return plain_name();
    }
    plain(&gst_pbutils::pb_utils_get_codec_description(caps))
}

/// Everything that caps and tags say about one stream.
pub fn stream(index: usize, stream: &Stream, medium: &Demuxer) -> StreamInfo {
    let tags = &stream.tags;
    StreamInfo {
        index: u32::try_from(index).unwrap_or(u32::MAX),
        codec: codec_name(&stream.caps),
        format: format(&stream.caps),
        duration: medium.declared_end(stream),
        bitrate: tags
            .get::<gst::tags::Bitrate>()
            .map(|tag| u64::from(tag.get()))
            .filter(|rate| *rate > 0),
        language: first_text(tags, gst::tags::LanguageCode::TAG_NAME)
            .map(|code| plain(&code).chars().take(16).collect()),
        kind: match kind(stream) {
            StreamKind::Video(mut film) => {
                if medium.is_dolby() && !film.is_image {
                    film.colour.hdr = Some(HdrForm::DolbyVision);
                }
                StreamKind::Video(film)
            }
            other => other,
        },
    }
}

/// What packets are, in one word.
fn format(caps: &gst::CapsRef) -> String {
    let Some(fields) = caps.structure(0) else {
        return String::new();
    };
    let version = fields.get::<i32>("mpegversion").ok();
    let layer = fields.get::<i32>("layer").ok();
    let word = match (fields.name().as_str(), version) {
        ("audio/mpeg", Some(2 | 4)) => "aac",
        ("audio/mpeg", _) if layer.is_none_or(|layer| layer == 3) => "mp3",
        ("audio/mpeg", _) => "mp2",
        ("video/mpeg", Some(1)) => "mpeg1",
        ("video/mpeg", Some(4)) => "mpeg4",
        ("video/mpeg", _) => "mpeg2",
        ("audio/x-raw", _) => "pcm",
        ("text/x-raw", _) => "text",
        ("video/x-raw", _) => "raw",
        ("application/x-subtitle-vtt", _) => "vtt",
        (name, _) => {
            let word = name.split_once('/').map_or(name, |(_, word)| word);
            word.strip_prefix("x-").unwrap_or(word)
        }
    };
    plain(&word.to_lowercase())
}

/// What sort of stream it is, and what its caps say of it.
pub fn kind(stream: &Stream) -> StreamKind {
    let name = stream.media_type();
    let Some(fields) = stream.caps.structure(0) else {
        return StreamKind::Other;
    };
    if name.starts_with("video/") || name.starts_with("image/") {
        StreamKind::Video(video(fields, rotation(&stream.tags)))
    } else if name.starts_with("audio/") {
        StreamKind::Audio(audio(fields))
    } else if name.starts_with("text/")
        || name.starts_with("subpicture/")
        || name.starts_with("closedcaption/")
        || name.starts_with("application/x-subtitle")
        || name == "application/x-ass"
        || name == "application/x-ssa"
    {
        StreamKind::Subtitle
    } else {
        StreamKind::Other
    }
}

fn number(fields: &gst::StructureRef, name: &str) -> u32 {
    fields
        .get::<i32>(name)
        .ok()
        .and_then(|n| u32::try_from(n).ok())
        .unwrap_or(0)
}

fn fraction(fields: &gst::StructureRef, name: &str) -> Option<(u32, u32)> {
    let value = fields.get::<gst::Fraction>(name).ok()?;
    Some((u32::try_from(value.numer()).ok()?, u32::try_from(value.denom()).ok()?))
}

/// How the packets of a film are coded, as far as caps say so.
pub fn coded(fields: &gst::StructureRef) -> Coded {
    let text = |name| fields.get::<&str>(name).ok().map(str::to_owned);
    Coded {
        profile: text("profile"),
        level: text("level"),
        depth: fields.get::<u32>("bit-depth-luma").ok().filter(|depth| *depth > 0),
    }
}

/// What caps say about a video stream.
pub fn video(fields: &gst::StructureRef, rotation: u32) -> VideoStream {
    let name = fields.name().as_str();
    let fps = fraction(fields, "framerate").filter(|(num, _)| *num > 0);
    let format = fields
        .get::<&str>("format")
        .ok()
        .filter(|_| name == "video/x-raw")
        .and_then(|text| text.parse::<gst_video::VideoFormat>().ok());
    let depth = ["bit-depth-luma", "bit-depth"]
        .into_iter()
        .find_map(|field| fields.get::<u32>(field).ok())
        .or_else(|| {
            format.map(|format| {
                gst_video::VideoFormatInfo::from_format(format)
                    .depth()
                    .first()
                    .copied()
                    .unwrap_or(8)
            })
        });
    VideoStream {
        width: number(fields, "width"),
        height: number(fields, "height"),
        fps: fps.unwrap_or((0, 1)),
        pixel_aspect: fraction(fields, "pixel-aspect-ratio")
            .filter(|(n, d)| *n > 0 && *d > 0)
            .unwrap_or((1, 1)),
        depth: depth.filter(|bits| *bits > 0).unwrap_or(8),
        interlaced: fields
            .get::<&str>("interlace-mode")
            .is_ok_and(|mode| mode != "progressive"),
        rotation,
        is_image: name.starts_with("image/") && fps.is_none(),
        colour: colour::of(fields),
    }
}

/// What caps say about an audio stream.
pub fn audio(fields: &gst::StructureRef) -> AudioStream {
    AudioStream {
        channels: number(fields, "channels"),
        rate: number(fields, "rate"),
    }
}

/// When a stream ends, where its tags say so: writers of Matroska do, as `DURATION=00:00:05.021000000`.
pub fn declared_end(tags: &gst::TagListRef) -> Option<Duration> {
    let comments = tags.iter_tag_generic(gst::tags::ExtendedComment::TAG_NAME);
    comments
        .filter_map(|comment| clock_time(text(comment)?.strip_prefix("DURATION=")?))
        .max()
}

/// Text of a tag. Media bring bytes that are no UTF-8, and the bindings panic over them.
fn text(value: &gst::glib::Value) -> Option<String> {
    if value.type_() != gst::glib::Type::STRING {
        return None;
    }
    // SAFETY: the value holds a string or null, as was just asked, and lives longer than the copy takes.
    let bytes = unsafe {
        let text = gst::glib::gobject_ffi::g_value_get_string(value.as_ptr());
        (!text.is_null()).then(|| std::ffi::CStr::from_ptr(text))
    };
    bytes.map(|bytes| bytes.to_string_lossy().into_owned())
}

fn first_text(tags: &gst::TagListRef, name: &gst::glib::GStr) -> Option<String> {
    tags.iter_tag_generic(name).find_map(|value| text(value))
}

fn clock_time(text: &str) -> Option<Duration> {
    let mut parts = text.trim().split(':');
    let (hours, minutes) = (parts.next()?.parse::<u32>().ok()?, parts.next()?.parse::<u32>().ok()?);
    let seconds = Duration::try_from_secs_f64(parts.next()?.parse().ok()?).ok()?;
    let whole = u64::from(hours) * 3600 + u64::from(minutes) * 60;
    let whole = Duration::from_secs(whole).checked_add(seconds)?;
    (parts.next().is_none() && !whole.is_zero()).then_some(whole)
}

fn rotation(tags: &gst::TagListRef) -> u32 {
    let orientation = tags.get::<gst::tags::ImageOrientation>();
    match orientation.as_ref().map(gst::tags::TagValue::get) {
        Some("rotate-90" | "flip-rotate-90") => 90,
        Some("rotate-180" | "flip-rotate-180") => 180,
        Some("rotate-270" | "flip-rotate-270") => 270,
        _ => 0,
    }
}

/// Tags that are text, numbers or dates, in the container's order.
pub fn tags(list: &gst::TagListRef) -> Vec<(String, String)> {
    const TECHNICAL: [&str; 9] = [
        "container-format",
        "video-codec",
        "audio-codec",
        "bitrate",
        "minimum-bitrate",
        "maximum-bitrate",
        "nominal-bitrate",
        "has-crc",
        "image-orientation",
    ];
    list.iter_generic()
        .filter(|(name, _)| !TECHNICAL.contains(&name.as_str()))
        .flat_map(|(name, values)| {
            values.filter_map(move |value| {
                let text = text(value)
                    .or_else(|| {
                        value
                            .get::<gst::DateTime>()
                            .ok()
                            .and_then(|at| at.to_iso8601_string().ok())
                            .map(|at| at.to_string())
                    })
                    .or_else(|| value.get::<u32>().ok().map(|n| n.to_string()))
                    .or_else(|| value.get::<f64>().ok().map(|n| n.to_string()))?;
                Some((name.to_string(), plain(&text)))
            })
        })
        .take(100)
        .collect()
}

/// Chapters of a table of contents.
pub fn chapters(toc: &gst::TocRef) -> Vec<Chapter> {
    let mut found = Vec::new();
    for entry in toc.entries() {
        collect(&entry, &mut found);
    }
    found
}

fn collect(entry: &gst::TocEntryRef, into: &mut Vec<Chapter>) {
    if into.len() >= 1000 {
        return;
    }
    if entry.entry_type() == gst::TocEntryType::Chapter
        && let Some((start, stop)) = entry.start_stop_times()
    {
        let time = |at: i64| u64::try_from(at).ok().map(std::time::Duration::from_nanos);
        into.push(Chapter {
            start: time(start).unwrap_or_default(),
            end: time(stop),
            title: entry
                .tags()
                .and_then(|tags| first_text(&tags, gst::tags::Title::TAG_NAME))
                .map(|title| plain(&title))
                .unwrap_or_default(),
        });
    }
    for inner in entry.sub_entries() {
        collect(&inner, into);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_in_tags_are_read_and_nonsense_is_none() {
        assert_eq!(clock_time("01:02:05.021000000"), Some(Duration::from_millis(3_725_021)));
        for text in [
            "",
            "5",
            "00:05",
            "00:00:00.0",
            "-1:00:00",
            "0:0:1:1",
            "0:0:nan",
            "0:0:1e99",
        ] {
            assert_eq!(clock_time(text), None, "{text}");
        }
    }
}
