//! Codecs of studios: `ProRes` and DNxHR by libav.

use gst::prelude::*;

use crate::job::Failure;
use crate::media::colour;
use crate::media::failure::element;
use crate::rule::VideoSpec;

/// The encoder of `ProRes`.
///
/// # Errors
/// Where it is missing or refuses a setting.
pub fn prores(spec: &VideoSpec) -> Result<gst::Element, Failure> {
    let encoder = element("avenc_prores_ks")?;
    encoder.set_property_from_str("profile", spec.profile.as_deref().unwrap_or("standard"));
    // Editors look at whose encoder it was.
    encoder.set_property("vendor", "apl0");
    Ok(encoder)
}

/// The encoder of DNxHR.
///
/// # Errors
/// Where it is missing or refuses a setting.
pub fn dnxhd(spec: &VideoSpec) -> Result<gst::Element, Failure> {
    let encoder = element("avenc_dnxhd")?;
    let usual = if spec.depth == 10 { "hqx" } else { "hq" };
    let profile = spec.profile.as_deref().unwrap_or(usual);
    encoder.set_property_from_str("profile", &format!("dnxhr_{profile}"));
    Ok(encoder)
}

/// Where the numbers of its colours stand in a frame of `ProRes`: primaries, transfer, matrix.
const PRORES_COLOURS: std::ops::Range<usize> = 22..25;

/// Has frames of `ProRes` that leave here say their colours, which the encoder is not told.
pub fn tell_colours(exit: &gst::Pad) {
    exit.add_probe(gst::PadProbeType::BUFFER, |pad, info| {
        let numbers = pad.current_caps().and_then(|caps| colour::numbers(&caps));
        if let (Some(numbers), Some(gst::PadProbeData::Buffer(packet))) = (numbers, &mut info.data)
            && let Ok(mut bytes) = packet.make_mut().map_writable()
            && bytes.get(4..8) == Some(b"icpf")
            && let Some(colours) = bytes.get_mut(PRORES_COLOURS)
        {
            colours.copy_from_slice(&[numbers.primaries, numbers.transfer, numbers.matrix]);
        }
        gst::PadProbeReturn::Ok
    });
}
