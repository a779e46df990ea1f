//! What the chains of a package have that those of other tasks have not.

use std::time::Duration;

use gst::prelude::*;

use super::words::Cue;
use crate::media::av1;
use crate::media::clip::position;
use crate::media::tracks::text::{Source, line};
use crate::plan::{Lines, PlannedRendition, Span};
use crate::rule::{VideoCodec, VideoRate, VideoSpec};

/// A cue that does not say how long it is seen.
const USUAL_CUE: Duration = Duration::from_secs(3);

/// Subtitles whose lines have styles of their own.
pub const STYLED: [&str; 2] = ["application/x-ssa", "application/x-ass"];

/// Key frames where all forms of the film have them, and no others.
pub fn hold_to_groups(chain: &[gst::Element], rendition: &PlannedRendition) {
    let made_by = |one: &gst::Element| one.factory().map(|factory| factory.name().to_string());
    for encoder in chain {
        let by_time = rendition.gop_frames.is_none();
        match made_by(encoder).as_deref() {
            Some("x264enc") => {
                add_options(encoder, "scenecut=0:open-gop=0");
                if by_time {
                    encoder.set_property("key-int-max", 100_000_u32);
                }
                // Segments say themselves where pictures end.
                encoder.set_property("aud", false);
            }
            Some("x265enc") => {
                add_options(encoder, "scenecut=0");
                if by_time {
                    encoder.set_property("key-int-max", 100_000_i32);
                }
            }
            Some("vp9enc") => {
                encoder.set_property_from_str("keyframe-mode", "disabled");
                if by_time {
                    encoder.set_property("keyframe-max-dist", 100_000_i32);
                }
                bound(encoder, &rendition.video);
            }
            Some("av1enc") => {
                if by_time {
                    av1::obey(encoder);
                }
                bound(encoder, &rendition.video);
            }
            _ => {}
        }
    }
}

/// Keeps a film of a wanted quality below so many bits a second, where there is such a bound: bits are then spent evenly, and no frame
/// may be better than was asked for.
fn bound(encoder: &gst::Element, spec: &VideoSpec) {
    let (VideoRate::Crf(crf), Some(most)) = (spec.rate, spec.max_bitrate) else {
        return;
    };
    // One of the two counts in thousands. What is spent ahead of time is that of a second, and of two at most.
    let (most, buffers) = if spec.codec == VideoCodec::Av1 {
        ((most / 1000).max(1), ["buf-initial-sz", "buf-optimal-sz", "buf-sz"])
    } else {
        (most, ["buffer-initial-size", "buffer-optimal-size", "buffer-size"])
    };
    for (buffer, millis) in buffers.into_iter().zip(["500", "1000", "2000"]) {
        encoder.set_property_from_str(buffer, millis);
    }
    encoder.set_property_from_str("end-usage", "cbr");
    encoder.set_property_from_str("target-bitrate", &most.to_string());
    encoder.set_property_from_str("min-quantizer", &format!("{:.0}", crf.clamp(0.0, 63.0)));
    encoder.set_property_from_str("max-quantizer", "63");
}

fn add_options(encoder: &gst::Element, more: &str) {
    let told = encoder.property::<Option<String>>("option-string");
    let mut options: Vec<String> = told.filter(|told| !told.is_empty()).into_iter().collect();
    options.push(more.to_owned());
    encoder.set_property("option-string", options.join(":"));
}

/// A packet of text, as far as it is seen within this part of the medium.
pub fn cue(sample: &gst::Sample, span: Span) -> Option<Cue> {
    let buffer = sample.buffer()?;
    let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?;
    let at = buffer.pts()?;
    let place = if span.is_whole() {
        Duration::from(segment.to_running_time(at)?)
    } else {
        position(segment, at)?
    };
    let map = buffer.map_readable().ok()?;
    let source = String::from_utf8_lossy(map.as_slice());
    let fields = sample.caps()?.structure(0)?;
    let how = match fields.get::<&str>("format") {
        _ if STYLED.contains(&fields.name().as_str()) => Source::Styled,
        Ok("pango-markup") => Source::Markup,
        _ => Source::Plain,
    };
    let text = line(&source, how, Lines::Vtt)?;
    let told = buffer.duration().filter(|length| !length.is_zero());
    let end = place + told.map_or(USUAL_CUE, Duration::from);
    let end = span.end.map_or(end, |last| last.min(end));
    let start = place.max(span.start);
    (start < end).then(|| Cue {
        start: start.saturating_sub(span.start),
        end: end.saturating_sub(span.start),
        text,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_which_nobody_says_how_long_it_is_seen_is_seen_for_a_usual_time() {
        gst::init().unwrap();
        let caps = gst::Caps::builder("text/x-raw").field("format", "utf8").build();
        let segment = gst::FormattedSegment::<gst::ClockTime>::new();
        let seen = |length: Option<u64>| {
            let mut buffer = gst::Buffer::from_slice(b"One");
            let told = buffer.get_mut().unwrap();
            told.set_pts(gst::ClockTime::from_seconds(1));
            told.set_duration(length.map(gst::ClockTime::from_mseconds));
            let sample = gst::Sample::builder()
                .buffer(&buffer)
                .caps(&caps)
                .segment(&segment)
                .build();
            let cue = cue(&sample, Span::default()).unwrap();
            (cue.start.as_millis(), cue.end.as_millis())
        };
        assert_eq!(seen(Some(500)), (1000, 1500));
        assert_eq!(seen(Some(0)), (1000, 4000));
        assert_eq!(seen(None), (1000, 4000));
    }
}
