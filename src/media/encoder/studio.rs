//! Codecs of studios and broadcasters: MPEG-2 by mjpegtools, `ProRes` and DNxHR by libav.

use gst::prelude::*;

use crate::job::Failure;
use crate::media::colour;
use crate::media::failure::{element, internal};
use crate::rule::{VideoRate, VideoSpec};

/// The most frames from one key frame of MPEG-2 to the next: the standard wants every block renewed within 132.
pub const LONGEST_GOP: u32 = 132;

/// What may pass at most where quality decides, in thousands of bits a second: as main profile at high level has it,
/// by half.
const MPEG2_CEILING: i32 = 40_000;

/// The encoder of MPEG-2. That of libav takes no time base that GStreamer 1.22 gives it.
///
/// # Errors
/// Where it is missing or refuses a setting.
pub fn mpeg2(spec: &VideoSpec) -> Result<gst::Element, Failure> {
    let encoder = element("mpeg2enc")?;
    encoder.set_property_from_str("format", "3");
    encoder.set_property_from_str("interlace-mode", "0");
    encoder.set_property("sequence-header-every-gop", true);
    // Whoever asks for more than was usual for discs means it.
    encoder.set_property("constraints", false);
    let bframes = i32::try_from(spec.bframes.unwrap_or(2)).map_err(internal)?;
    encoder.set_property("b-per-refframe", bframes.clamp(0, 2));
    match spec.rate {
        VideoRate::Bitrate(bits) => {
            let bitrate = i32::try_from(bits.div_ceil(1000)).map_err(internal)?;
            encoder.set_property("bitrate", bitrate.clamp(1, MPEG2_CEILING));
            encoder.set_property("quantisation", -1_i32);
        }
        VideoRate::Crf(crf) => {
            encoder.set_property("bitrate", MPEG2_CEILING);
            #[allow(clippy::cast_possible_truncation)]
            encoder.set_property("quantisation", crf.round().clamp(1.0, 31.0) as i32);
        }
        VideoRate::Profile => {}
    }
    Ok(encoder)
}

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
