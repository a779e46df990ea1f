//! What every element of our own says of itself.

use gst::PadDirection::{Sink, Src};
use gst::subclass::ElementMetadata;

/// Its name in words, what sort of element it is, and what it does.
pub fn about(name: &str, sort: &str, what: &str) -> ElementMetadata {
    ElementMetadata::new(name, sort, what, "Reelmill")
}

/// Its pads: one that takes these, and one that gives those.
pub fn pads(takes: &gst::Caps, gives: &gst::Caps) -> Vec<gst::PadTemplate> {
    [pad("sink", Sink, takes), pad("src", Src, gives)]
        .into_iter()
        .flatten()
        .collect()
}

/// Its only pad: it gives these.
pub fn exit(gives: &gst::Caps) -> Vec<gst::PadTemplate> {
    pad("src", Src, gives).into_iter().collect()
}

fn pad(name: &str, direction: gst::PadDirection, caps: &gst::Caps) -> Option<gst::PadTemplate> {
    gst::PadTemplate::new(name, direction, gst::PadPresence::Always, caps).ok()
}
