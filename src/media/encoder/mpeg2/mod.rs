//! MPEG-2 by libavcodec. GStreamer has an element for that encoder, which tells it of a thousand million frames a second:
//! the standard has eight rates, and bits could not be shared out among frames.

mod avcodec;
mod element;

use gst::prelude::*;

use crate::job::{ErrorKind, Failure};
use crate::media::failure::internal;
use crate::plan::Picture;
use crate::rule::{VideoRate, VideoSpec};

/// The most frames from one key frame to the next: the standard wants every block renewed within 132.
pub const LONGEST_GOP: u32 = 132;

/// What may pass at most where quality decides, in bits a second: as main profile at high level has it, by half.
const CEILING: u64 = 40_000_000;

/// The sizes of pictures up to which main level and the two above it go, and the bits that their players hold.
const BUFFERS: [(u32, u32, u64); 3] = [
    (720, 576, 1_835_008),
    (1440, 1152, 7_340_032),
    (u32::MAX, u32::MAX, 9_781_248),
];

/// What they hold at least, however little comes in a second.
const SMALLEST_BUFFER: u64 = 131_072;

/// Looks for libavcodec while files may still be opened.
pub fn warm_up() {
    let _ = avcodec::is_there();
}

/// The encoder.
///
/// # Errors
/// Where libavcodec is missing.
pub fn encoder(spec: &VideoSpec, picture: Picture, threads: u32) -> Result<gst::Element, Failure> {
    if !avcodec::is_there() {
        return Err(Failure::new(
            ErrorKind::Unsupported,
            "mpeg2 needs libavcodec of FFmpeg 5 to 8, which is not installed: it comes with gstreamer1.0-libav",
        ));
    }
    let (width, height) = picture.size;
    let held = BUFFERS
        .into_iter()
        .find_map(|(most_wide, most_high, held)| (width <= most_wide && height <= most_high).then_some(held))
        .ok_or_else(|| internal("a picture larger than any"))?;
    let bitrate = match spec.rate {
        VideoRate::Bitrate(bits) => bits.clamp(1000, CEILING),
        VideoRate::Crf(_) | VideoRate::Profile => CEILING,
    };
    // Frames of a constant bitrate say when they are due in a buffer, of at most 0.7 seconds. One key frame must fit.
    let buffer = (bitrate * 7 / 10).clamp(SMALLEST_BUFFER, held);
    let mut options = vec![
        ("threads", threads.max(1).to_string()),
        ("maxrate", bitrate.to_string()),
        ("bufsize", buffer.to_string()),
    ];
    let quality = match spec.rate {
        VideoRate::Crf(crf) => crf.clamp(1.0, 31.0),
        VideoRate::Bitrate(_) | VideoRate::Profile => {
            options.extend([("b", bitrate.to_string()), ("minrate", bitrate.to_string())]);
            0.0
        }
    };
    let element = element::Mpeg2::with(&options);
    element.set_quality(quality);
    Ok(element.upcast())
}
