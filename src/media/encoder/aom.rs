//! AV1 by libaom.

use gst::prelude::*;

use crate::job::Failure;
use crate::media::failure::{element, internal};
use crate::plan::Picture;
use crate::rule::{RateMode, VideoRate, VideoSpec};

/// How many frames it looks ahead: none. Where it does, the element of GStreamer 1.22 gives a film a sixth of the bitrate
/// that it should have, and where quality decides, nothing but more work comes of it.
const LAG: u32 = 0;

/// Bits a second, in thousands, that no film can do with: every frame is as bad as it may be, but for those that others are
/// made of.
const NEVER_ENOUGH: u32 = 10;

/// The encoder, set as the rule wants it.
///
/// # Errors
/// Where it is missing or refuses a setting.
pub fn encoder(spec: &VideoSpec, picture: Picture, threads: u32) -> Result<gst::Element, Failure> {
    let encoder = element("av1enc")?;
    let (realtime, speed) = effort(&spec.preset);
    if realtime {
        encoder.set_property_from_str("usage-profile", "realtime");
    } else {
        encoder.set_property("lag-in-frames", LAG);
    }
    encoder.set_property("cpu-used", speed);
    encoder.set_property("threads", threads.clamp(1, 64));
    // A column is at least 256 pixels wide; the number is a power of two.
    let columns = (picture.size.0 / 256).max(1).min(threads.max(1).next_power_of_two());
    encoder.set_property("tile-columns", columns.ilog2().min(6));
    match spec.rate {
        VideoRate::Crf(crf) => {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let quantizer = crf.round().clamp(0.0, 63.0) as u32;
            // The element cannot be told the quality itself, only that it may not be worse. One quality for all frames is
            // not what is wanted: a few good ones, of which the others are made, save more than they cost.
            encoder.set_property_from_str("end-usage", "vbr");
            encoder.set_property("target-bitrate", NEVER_ENOUGH);
            encoder.set_property("max-quantizer", quantizer);
        }
        VideoRate::Bitrate(bits) => {
            let usage = if spec.mode == RateMode::Cbr { "cbr" } else { "vbr" };
            encoder.set_property_from_str("end-usage", usage);
            encoder.set_property(
                "target-bitrate",
                u32::try_from(bits.div_ceil(1000)).map_err(internal)?.max(1),
            );
            encoder.set_property("max-quantizer", 63_u32);
        }
        VideoRate::Profile => {}
    }
    Ok(encoder)
}

/// Whether libaom is to hurry at all costs, and its speed, for x264's words.
fn effort(preset: &str) -> (bool, i32) {
    match preset {
        "ultrafast" => (true, 10),
        "superfast" => (true, 9),
        "veryfast" => (true, 7),
        "faster" => (false, 6),
        "fast" => (false, 5),
        "slow" => (false, 3),
        "slower" => (false, 2),
        "veryslow" => (false, 1),
        "placebo" => (false, 0),
        _ => (false, 4),
    }
}
