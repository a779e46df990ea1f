//! What packets of FLV are, in words of GStreamer.

use super::script::Script;
use super::tags::{AAC, AVC, HEVC, Piece, Tag};
use crate::media::source::Input;

/// Packets of a film.
pub fn film(codec: u8, setup: Option<&gst::Buffer>, script: &Script) -> gst::Caps {
    let fields = match codec {
        2 => gst::Caps::builder("video/x-flash-video").field("flvversion", 1),
        3 => gst::Caps::builder("video/x-flash-screen"),
        4 => gst::Caps::builder("video/x-vp6-flash"),
        5 => gst::Caps::builder("video/x-vp6-alpha"),
        6 => gst::Caps::builder("video/x-flash-screen2"),
        AVC => gst::Caps::builder("video/x-h264")
            .field("stream-format", "avc")
            .field("alignment", "au"),
        HEVC => gst::Caps::builder("video/x-h265")
            .field("stream-format", "hvc1")
            .field("alignment", "au"),
        other => gst::Caps::builder(format!("video/x-flv-{other}")),
    };
    let whole = |name| {
        let number = script.number(name)?;
        #[allow(clippy::cast_possible_truncation, reason = "it is small")]
        (number <= 16_384.0).then_some(number as i32)
    };
    let rate = script.number("framerate").filter(|rate| *rate <= 1000.0);
    fields
        .field_if_some("width", whole("width"))
        .field_if_some("height", whole("height"))
        .field_if_some("framerate", rate.and_then(fraction))
        .field_if_some("codec_data", setup.cloned())
        .build()
}

/// A rate of pictures as the usual ones are written.
fn fraction(rate: f64) -> Option<gst::Fraction> {
    #[allow(clippy::cast_possible_truncation, reason = "it is small")]
    let near = |scale: f64| (rate * scale).round() as i32;
    let is_near = |pictures: i32, seconds: i32| (f64::from(pictures) / f64::from(seconds) - rate).abs() < 0.002;
    let usual = [(near(1.0), 1), (near(1.001) * 1000, 1001)];
    let found = usual
        .into_iter()
        .find(|(pictures, seconds)| is_near(*pictures, *seconds));
    let (pictures, seconds) = found.unwrap_or((near(1000.0), 1000));
    (pictures > 0).then(|| gst::Fraction::new(pictures, seconds))
}

/// Packets of a sound, by the first of them.
pub fn sound(input: &Input, first: &Tag, piece: Piece, setup: Option<&gst::Buffer>) -> gst::Caps {
    let manner = first.manner();
    let rate = match (piece.codec, manner >> 2 & 3) {
        (5 | 14, _) => 8_000,
        (4, _) => 16_000,
        (_, 0) => 5_512,
        (_, 1) => 11_025,
        (_, 2) => 22_050,
        _ => 44_100,
    };
    let (is_wide, channels) = (manner & 2 != 0, i32::from(manner & 1) + 1);
    let plain = |name: &str| {
        gst::Caps::builder(name)
            .field("rate", rate)
            .field("channels", channels)
            .build()
    };
    match piece.codec {
        0 | 3 => gst::Caps::builder("audio/x-raw")
            .field("format", if is_wide { "S16LE" } else { "U8" })
            .field("layout", "interleaved")
            .field("rate", rate)
            .field("channels", channels)
            .build(),
        1 => gst::Caps::builder("audio/x-adpcm")
            .field("layout", "swf")
            .field("rate", rate)
            .field("channels", channels)
            .build(),
        2 | 14 => {
            let (rate, channels) = mpeg(input, first, piece).unwrap_or((rate, channels));
            gst::Caps::builder("audio/mpeg")
                .field("mpegversion", 1)
                .field("layer", 3)
                .field("rate", rate)
                .field("channels", channels)
                .build()
        }
        4..=6 => plain("audio/x-nellymoser"),
        7 => plain("audio/x-alaw"),
        8 => plain("audio/x-mulaw"),
        AAC => {
            let mut caps = gst::Caps::builder("audio/mpeg")
                .field("mpegversion", 4)
                .field("framed", true)
                .field("stream-format", "raw")
                .field_if_some("codec_data", setup.cloned())
                .build();
            if let Some(bytes) = setup.and_then(|setup| setup.map_readable().ok()) {
                let fields = caps.make_mut();
                let told = |number: u32| i32::try_from(number).ok().filter(|number| *number > 0);
                // Flags say 44.1 kHz and two channels of every AAC.
                if let Some(rate) = told(gst_pbutils::codec_utils_aac_get_sample_rate(&bytes)) {
                    fields.set("rate", rate);
                }
                if let Some(channels) = told(gst_pbutils::codec_utils_aac_get_channels(&bytes)) {
                    fields.set("channels", channels);
                }
            }
            caps
        }
        11 => plain("audio/x-speex"),
        other => plain(&format!("audio/x-flv-{other}")),
    }
}

/// Rate and channels of a packet of MP3, which knows better than what stands around it.
fn mpeg(input: &Input, tag: &Tag, piece: Piece) -> Option<(i32, i32)> {
    let mut head = [0; 4];
    input
        .fill(tag.body() + piece.skip, &mut head)
        .ok()
        .filter(|count| *count == 4)?;
    let rate = [44_100, 48_000, 32_000].get(usize::from(head[2] >> 2 & 3))?;
    let divided = match head[1] >> 3 & 3 {
        3 => *rate,
        2 => rate / 2,
        0 => rate / 4,
        _ => return None,
    };
    let is_head = head[0] == 0xff && head[1] & 0xe0 == 0xe0;
    is_head.then_some((divided, if head[3] >> 6 == 3 { 1 } else { 2 }))
}
