//! Codecs of studios and broadcasters: MPEG-2 by mjpegtools, `ProRes` and DNxHR by libav.

use gst::prelude::*;

use crate::job::Failure;
use crate::media::colour::{self, Numbers};
use crate::media::failure::{element, internal};
use crate::rule::{VideoRate, VideoSpec};

/// The most frames from one key frame of MPEG-2 to the next: the standard wants every block renewed within 132.
pub const LONGEST_GOP: u32 = 132;

/// What may pass at most where quality decides, in thousands of bits a second: as main profile at high level has it,
/// by half.
const MPEG2_CEILING: i32 = 40_000;

/// What every player of main profile holds, in thousands of bytes.
const MPEG2_BUFFER: i32 = 224;

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
    // Frames that look ahead come out of it with the times of others.
    encoder.set_property("b-per-refframe", 0_i32);
    let (bitrate, quantisation) = match spec.rate {
        VideoRate::Bitrate(bits) => (i32::try_from(bits.div_ceil(1000)).map_err(internal)?, -1),
        #[allow(clippy::cast_possible_truncation)]
        VideoRate::Crf(crf) => (MPEG2_CEILING, crf.round().clamp(1.0, 31.0) as i32),
        VideoRate::Profile => (MPEG2_CEILING, 0),
    };
    let bitrate = bitrate.clamp(1, MPEG2_CEILING);
    encoder.set_property("bitrate", bitrate);
    encoder.set_property("quantisation", quantisation);
    // In thousands of bytes. It must hold four frames, of which there are at least 23 a second.
    encoder.set_property("bufsize", (bitrate / 8 / 4).max(MPEG2_BUFFER));
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

/// Has key frames of MPEG-2 that leave here say their colours, which the encoder is not told.
pub fn tell_colours_of_mpeg2(exit: &gst::Pad) {
    exit.add_probe(gst::PadProbeType::BUFFER, |pad, info| {
        let caps = pad.current_caps();
        let numbers = caps.as_ref().and_then(|caps| colour::numbers(caps));
        if let (Some(numbers), Some(gst::PadProbeData::Buffer(packet))) = (numbers, &mut info.data)
            && let Some(bytes) = packet.map_readable().ok().and_then(|bytes| displayed(&bytes, numbers))
        {
            let mut whole = gst::Buffer::from_mut_slice(bytes);
            if let Some(fields) = whole.get_mut() {
                let _ = packet.copy_into(fields, gst::BUFFER_COPY_METADATA, ..);
            }
            *packet = whole;
        }
        gst::PadProbeReturn::Ok
    });
}

/// What begins an extension, and how the first and the second sort of it go on.
const EXTENSION: [u8; 4] = [0, 0, 1, 0xb5];
const SEQUENCE: u8 = 1;
const DISPLAY: u8 = 2;

/// The packet with these colours in an extension of its own behind the sequence's (ISO/IEC 13818-2, 6.2.2.4), in place
/// of one that may be there; none where no sequence begins in it.
fn displayed(packet: &[u8], numbers: Numbers) -> Option<Vec<u8>> {
    let extension = |from: usize, sort: u8| {
        let mut places = packet.get(from..)?.windows(5);
        let place = places.position(|five| five[..4] == EXTENSION && five[4] >> 4 == sort)?;
        Some(from + place)
    };
    let next = |from: usize| {
        let mut places = packet.get(from..)?.windows(3);
        places.position(|three| three == [0, 0, 1]).map(|place| from + place)
    };
    let size = packet.windows(8).position(|eight| eight[..4] == [0, 0, 1, 0xb3])?;
    let (first, second) = (packet[size + 4], packet[size + 5]);
    let third = packet[size + 6];
    let width = u32::from(first) << 4 | u32::from(second >> 4);
    let height = u32::from(second & 15) << 8 | u32::from(third);
    let begin = next(extension(size, SEQUENCE)? + 4)?;
    let end = if extension(begin, DISPLAY) == Some(begin) {
        next(begin + 4)?
    } else {
        begin
    };
    // No format of a tape; colours follow.
    let mut told = [&EXTENSION[..], &[DISPLAY << 4 | 5 << 1 | 1]].concat();
    told.extend([numbers.primaries, numbers.transfer, numbers.matrix]);
    let sizes = width << 18 | 1 << 17 | height << 3;
    told.extend(sizes.to_be_bytes());
    Some([packet.get(..begin)?, &told, packet.get(end..)?].concat())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_of_mpeg2_says_its_colours_once() {
        let numbers = Numbers {
            primaries: 1,
            transfer: 1,
            matrix: 1,
            full_range: false,
        };
        // 320x180: the head of the sequence, its extension, and a group of pictures.
        let head = [0, 0, 1, 0xb3, 0x14, 0x00, 0xb4, 0x13, 0xff, 0xff, 0xe0, 0x18];
        let extension = [0, 0, 1, 0xb5, 0x14, 0x8a, 0, 1, 0, 0];
        let group = [0, 0, 1, 0xb8, 0, 8, 0, 0x40];
        let plain = [&head[..], &extension, &group].concat();
        let told = displayed(&plain, numbers).expect("a sequence");
        assert_eq!(told[22..34], [0, 0, 1, 0xb5, 0x2b, 1, 1, 1, 0x05, 0x02, 0x05, 0xa0]);
        assert_eq!(told[34..], group);
        assert_eq!(displayed(&told, numbers).as_ref(), Some(&told));
        assert_eq!(displayed(&group, numbers), None);
    }
}
