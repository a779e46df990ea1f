//! What the chains of a package have that those of other tasks have not.

use std::time::Duration;

use gst::prelude::*;

use super::words::Cue;
use crate::media::clip::position;
use crate::media::tracks::text::{Source, line};
use crate::plan::{Lines, PlannedRendition, Span};

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
            _ => {}
        }
    }
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
