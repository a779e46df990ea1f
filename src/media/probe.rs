//! Describes a medium without decoding it, except for what only a decoder knows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gst::prelude::*;

use super::decoder;
use super::demux::{Demuxer, drain, link};
use super::describe;
use super::failure::internal;
use super::nero;
use super::source::Input;
use crate::job::Failure;
use crate::plan::{MediaInfo, StreamKind};

/// How long a decoder may take to say what a stream is.
const PATIENCE: Duration = Duration::from_secs(3);

/// Describes a medium; `tick` is called now and then while that takes.
///
/// # Errors
/// Where it is no medium that can be read.
pub fn probe(input: &Arc<Input>, tick: &mut dyn FnMut()) -> Result<MediaInfo, Failure> {
    let mut medium = Demuxer::open(input, tick)?;
    let mut media = describe_medium(&medium, input.size());
    if media.chapters.is_empty() {
        media.chapters = nero::chapters(input);
    }
    fill_gaps(&mut medium, &mut media, tick)?;
    Ok(media)
}

/// What an opened medium says of itself.
pub fn describe_medium(medium: &Demuxer, size: u64) -> MediaInfo {
    let duration = medium.duration();
    let streams: Vec<_> = medium
        .streams
        .iter()
        .enumerate()
        .map(|(index, stream)| describe::stream(index, stream, medium))
        .collect();
    let wrapper = medium
        .container
        .structure(0)
        .is_none_or(|s| s.name().starts_with("application/x-"));
    let container = match streams.first() {
        Some(first) if wrapper => first.codec.clone(),
        _ => describe::codec_name(&medium.container),
    };
    MediaInfo {
        container,
        size,
        duration,
        bitrate: duration.and_then(|length| {
            let millis = u64::try_from(length.as_millis()).ok().filter(|millis| *millis > 0)?;
            size.checked_mul(8000).map(|bits| bits / millis)
        }),
        seekable: medium.seekable(),
        streams,
        tags: describe::tags(&medium.tags),
        chapters: medium
            .toc
            .as_ref()
            .map(|toc| describe::chapters(toc))
            .unwrap_or_default(),
    }
}

/// Decodes the first frame of streams whose caps lack a size or a rate.
fn fill_gaps(medium: &mut Demuxer, media: &mut MediaInfo, tick: &mut dyn FnMut()) -> Result<(), Failure> {
    let mut asked = Vec::new();
    for (index, info) in media.streams.iter().enumerate() {
        let lacks = match &info.kind {
            StreamKind::Video(video) => video.width == 0 || video.height == 0,
            StreamKind::Audio(audio) => audio.channels == 0 || audio.rate == 0,
            _ => false,
        };
        let stream = &medium.streams[index];
        if lacks && let Ok(pad) = decoder::decode(medium, stream, &stream.pad, false) {
            let sink = drain()?;
            medium.pipeline.add(&sink).map_err(internal)?;
            sink.sync_state_with_parent().map_err(internal)?;
            link(&pad, &sink)?;
            asked.push((index, pad));
        }
    }
    if asked.is_empty() {
        return Ok(());
    }
    for stream in &medium.streams {
        if !stream.pad.is_linked() {
            medium.ignore(&stream.pad)?;
        }
    }
    medium.release();
    let deadline = Instant::now() + PATIENCE;
    let bus = medium.pipeline.bus();
    while asked.iter().any(|(_, pad)| pad.current_caps().is_none()) && Instant::now() < deadline {
        tick();
        let message = bus.as_ref().and_then(|bus| {
            bus.timed_pop_filtered(
                gst::ClockTime::from_mseconds(5),
                &[gst::MessageType::Error, gst::MessageType::Eos],
            )
        });
        if message.is_some() {
            break;
        }
    }
    for (index, pad) in asked {
        let Some(caps) = pad.current_caps() else {
            continue;
        };
        let Some(fields) = caps.structure(0) else {
            continue;
        };
        match &mut media.streams[index].kind {
            StreamKind::Video(video) => *video = describe::video(fields, video.rotation),
            StreamKind::Audio(audio) => *audio = describe::audio(fields),
            _ => {}
        }
    }
    Ok(())
}
