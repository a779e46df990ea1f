//! The order of streams: that of their numbers, by which demuxers call their pads.

use gst::prelude::*;

/// What sort of stream it is, and its number, in a form that sorts.
pub type Place = (u8, usize, String);

/// A film.
pub const VIDEO: u8 = 0;
/// A sound.
pub const AUDIO: u8 = 1;
const OTHER: u8 = 2;

/// Kind and number of a stream as its demuxer's pad has them: `audio_1` comes after `audio_0`.
pub fn of(pad: &gst::Pad) -> Place {
    let mut name = pad.name().to_string();
    let ghost = pad.downcast_ref::<gst::GhostPad>();
    let mut at = ghost.map_or_else(|| Some(pad.clone()), GhostPadExt::target);
    while let Some(pad) = at {
        name = pad.name().to_string();
        at = pad
            .parent_element()
            .and_then(|element| element.static_pad("sink"))
            .filter(|_| name == "src")
            .and_then(|sink| sink.peer());
    }
    let kind = match name.split('_').next() {
        Some("video") => VIDEO,
        Some("audio") => AUDIO,
        _ => OTHER,
    };
    (kind, name.len(), name)
}
