//! Writes animated WebP.

use std::time::Duration;

use webp_animation::{AnimParams, ColorMode, Encoder, EncoderOptions, EncodingConfig};

use super::Writer;
use crate::job::{ErrorKind, Failure};
use crate::media::failure::writing;
use crate::media::still::Canvas;

/// Writes one file, at its end.
pub struct WebpWriter {
    file: String,
    encoder: Encoder,
    end: Duration,
}

// SAFETY: it owns memory of a library that keeps nothing for a thread; one thread at a time uses it.
unsafe impl Send for WebpWriter {}

impl WebpWriter {
    /// A writer of pictures of this size; quality is 1 ..= 100.
    ///
    /// # Errors
    /// Where there is no room for a picture.
    pub fn new(file: &str, size: (u32, u32), quality: u8) -> Result<Self, Failure> {
        let options = EncoderOptions {
            anim_params: AnimParams { loop_count: 0 },
            color_mode: ColorMode::Rgb,
            encoding_config: Some(EncodingConfig::new_lossy(f32::from(quality))),
            ..EncoderOptions::default()
        };
        Ok(Self {
            file: file.to_owned(),
            encoder: Encoder::new_with_options(size, options).map_err(|error| failed(&error))?,
            end: Duration::ZERO,
        })
    }
}

fn failed(error: &webp_animation::Error) -> Failure {
    Failure::new(ErrorKind::Pipeline, format!("the encoder of WebP failed: {error:?}"))
}

/// Whole milliseconds, to the nearest.
fn millis(at: Duration) -> i32 {
    i32::try_from((at.as_micros() + 500) / 1000).unwrap_or(i32::MAX)
}

impl Writer for WebpWriter {
    fn add(&mut self, picture: &Canvas, from: Duration, to: Duration) -> Result<(), Failure> {
        self.end = to;
        self.encoder
            .add_frame(&picture.data, millis(from))
            .map_err(|error| failed(&error))
    }

    fn finish(self: Box<Self>) -> Result<(), Failure> {
        let Self { file, encoder, end } = *self;
        let data = encoder.finalize(millis(end)).map_err(|error| failed(&error))?;
        std::fs::write(&file, &*data).map_err(|error| writing(&file, &error))
    }
}
