//! What the chains of a package have that those of other tasks have not.

use std::time::Duration;

use gst::prelude::*;

use super::words::{self, Cue};
use crate::plan::PlannedRendition;

/// A cue that does not say how long it is seen.
const USUAL_CUE: Duration = Duration::from_secs(4);

/// The element of a chain that this factory made.
pub fn named<'a>(chain: &'a [gst::Element], factory: &str) -> Option<&'a gst::Element> {
    let is = |one: &&gst::Element| one.factory().is_some_and(|made_by| made_by.name() == factory);
    chain.iter().find(is)
}

/// Key frames where all forms of the film have them, and no more bits than the form may have.
pub fn hold_to_groups(encoder: &gst::Element, rendition: &PlannedRendition) {
    let mut options: Vec<String> = Vec::new();
    let told = encoder.property::<Option<String>>("option-string");
    options.extend(told.filter(|told| !told.is_empty()));
    options.push("scenecut=0:open-gop=0".to_owned());
    encoder.set_property("option-string", options.join(":"));
    if rendition.gop_frames.is_none() {
        // Those that are asked for by time are all.
        encoder.set_property("key-int-max", 100_000_u32);
    }
    // Segments say themselves where pictures end.
    encoder.set_property("aud", false);
}

/// A packet of text.
pub fn cue(sample: &gst::Sample) -> Option<Cue> {
    let buffer = sample.buffer()?;
    let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?;
    let start = Duration::from(segment.to_running_time(buffer.pts()?)?);
    let map = buffer.map_readable().ok()?;
    let source = String::from_utf8_lossy(map.as_slice());
    let format = sample
        .caps()
        .and_then(|caps| caps.structure(0)?.get::<String>("format").ok());
    let text = words::text(source.trim_end_matches('\0'), format.as_deref() == Some("pango-markup"));
    let length = buffer.duration().map_or(USUAL_CUE, Duration::from);
    (!text.is_empty()).then_some(Cue {
        start,
        end: start + length,
        text,
    })
}
