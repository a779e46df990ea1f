//! Brings pictures into frames: another size, another form of pixels, cut off or with something beside them.
//!
//! By libswscale where it is installed, which takes two thirds of the time of GStreamer's own scaler for pictures that
//! are nearer to the source. It comes with the decoders, so that it is missing only where somebody built GStreamer's
//! bridge to them in another way.

mod element;
mod frame;
mod machine;
mod place;
mod sws;

use gst::prelude::*;

use super::failure::{element as make, internal};
use crate::job::{ErrorKind, Failure};
use crate::plan::{Draw, Picture};

/// Looks for libswscale while files may still be opened.
pub fn warm_up() {
    let _ = sws::is_there();
}

/// What brings a picture into its frame, to be followed by a filter with the size of the frame.
///
/// # Errors
/// Where elements are missing, or nothing else can do what libswscale does.
pub fn draw(picture: Picture) -> Result<Vec<gst::Element>, Failure> {
    if sws::is_there() {
        // The first only passes on, save pictures of a form that the second does not know.
        return Ok(vec![make("videoconvert")?, element::Scale::into(picture).upcast()]);
    }
    without_libswscale(picture)
}

fn without_libswscale(picture: Picture) -> Result<Vec<gst::Element>, Failure> {
    let mut chain = Vec::new();
    if picture.draw == Draw::Blurred {
        return Err(Failure::new(
            ErrorKind::Unsupported,
            "`fit = \"blur-fill\"` needs libswscale, which is not installed: it comes with gstreamer1.0-libav",
        ));
    }
    if picture.draw == Draw::Crop {
        let crop = make("aspectratiocrop")?;
        let (width, height) = picture.size;
        let ratio = gst::Fraction::new(
            i32::try_from(width).map_err(internal)?,
            i32::try_from(height).map_err(internal)?,
        );
        crop.set_property("aspect-ratio", ratio);
        // It cannot be linked to what does not say yet that its pictures have a size.
        let sized = make("capsfilter")?;
        let side = gst::IntRange::new(1, i32::MAX);
        let caps = gst::Caps::builder("video/x-raw")
            .field("width", side)
            .field("height", side);
        sized.set_property("caps", caps.build());
        chain.extend([sized, crop]);
    }
    // Scales and converts. Without borders it fills the exact size, which was worked out from the ratio already.
    let scaler = make("videoconvertscale")?;
    scaler.set_property("add-borders", picture.draw == Draw::Borders);
    chain.push(scaler);
    Ok(chain)
}
