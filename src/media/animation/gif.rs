//! Writes GIF: colours chosen out of many pictures together, and of each picture only what differs from the one before.

use std::fs::File;
use std::io::BufWriter;
use std::mem;
use std::time::Duration;

use gif::{DisposalMethod, Encoder, Frame, Repeat};

use super::Writer;
use super::palette::{Histogram, Palette};
use crate::job::Failure;
use crate::media::failure::{internal, writing};
use crate::media::still::Canvas;

/// Bytes of pictures that are kept until their colours are chosen.
const KEPT: usize = 96 << 20;

/// In which order the pixels of a square of eight by eight get lighter.
const ORDER: [[u8; 8]; 8] = [
    [0, 32, 8, 40, 2, 34, 10, 42],
    [48, 16, 56, 24, 50, 18, 58, 26],
    [12, 44, 4, 36, 14, 46, 6, 38],
    [60, 28, 52, 20, 62, 30, 54, 22],
    [3, 35, 11, 43, 1, 33, 9, 41],
    [51, 19, 59, 27, 49, 17, 57, 25],
    [15, 47, 7, 39, 13, 45, 5, 37],
    [63, 31, 55, 23, 61, 29, 53, 21],
];
/// How much of a step between colours is smoothed over: with all of it the pattern is seen more than the step.
const SMOOTHED: f32 = 0.4;
/// The widest that is.
const WIDEST: f32 = 16.0;
/// Where a pixel is as light as this, it may change by all of the tolerance; where it is dark, a change is seen sooner.
const LIGHT: u32 = 56;

/// A picture and how long it is shown, in hundredths of a second.
struct Picture {
    data: Vec<u8>,
    delay: u16,
}

/// Writes one file.
pub struct GifWriter {
    file: String,
    size: (u16, u16),
    /// Pixels that changed by no more than this in any channel count as the same.
    tolerance: u8,
    colours: usize,
    kept: Vec<Picture>,
    encoder: Option<Encoder<BufWriter<File>>>,
    /// Every pixel as it was when it was drawn last.
    drawn: Vec<u8>,
}

impl GifWriter {
    /// A writer of pictures of this size; quality is 1 ..= 100.
    ///
    /// # Errors
    /// Where the size is more than GIF has.
    pub fn new(file: &str, size: (u32, u32), quality: u8) -> Result<Self, Failure> {
        let side = |length: u32| u16::try_from(length).map_err(internal);
        Ok(Self {
            file: file.to_owned(),
            size: (side(size.0)?, side(size.1)?),
            tolerance: (100 - quality.min(100)) / 6,
            // One is for what does not change.
            colours: match quality {
                50.. => 255,
                25.. => 127,
                _ => 63,
            },
            kept: Vec::new(),
            encoder: None,
            drawn: Vec::new(),
        })
    }

    /// Chooses colours for the pictures that are kept, and writes them.
    fn flush(&mut self) -> Result<(), Failure> {
        let kept = mem::take(&mut self.kept);
        if kept.is_empty() {
            return Ok(());
        }
        let mut histogram = Histogram::new();
        for picture in &kept {
            histogram.count(&picture.data);
        }
        let mut palette = histogram.palette(self.colours);
        let is_first = self.encoder.is_none();
        for picture in kept {
            let own = (!is_first).then(|| palette.bytes());
            let frame = self.frame(&picture, &mut palette, own);
            if self.encoder.is_none() {
                self.encoder = Some(self.open(&palette)?);
            }
            if let Some(encoder) = &mut self.encoder {
                encoder.write_frame(&frame).map_err(|error| self.failed(error))?;
            }
        }
        Ok(())
    }

    fn failed(&self, error: gif::EncodingError) -> Failure {
        match error {
            gif::EncodingError::Io(error) => writing(&self.file, &error),
            error => internal(error),
        }
    }

    fn open(&self, palette: &Palette) -> Result<Encoder<BufWriter<File>>, Failure> {
        let writer = File::create(&self.file).map_err(|error| writing(&self.file, &error))?;
        let (width, height) = self.size;
        let mut colours = palette.bytes();
        // The one for what does not change.
        colours.extend([0; 3]);
        let made = Encoder::new(BufWriter::new(writer), width, height, &colours);
        let mut encoder = made.map_err(|error| self.failed(error))?;
        encoder
            .set_repeat(Repeat::Infinite)
            .map_err(|error| self.failed(error))?;
        Ok(encoder)
    }

    /// What has changed, in these colours.
    fn frame(&mut self, picture: &Picture, palette: &mut Palette, own: Option<Vec<u8>>) -> Frame<'static> {
        let unchanged = u8::try_from(palette.len()).unwrap_or(u8::MAX);
        let (width, height) = (usize::from(self.size.0), usize::from(self.size.1));
        let is_first = self.drawn.is_empty();
        if is_first {
            self.drawn.clone_from(&picture.data);
        }
        let step = (palette.step * SMOOTHED).min(WIDEST);
        let lighter = ORDER.map(|row| row.map(|place| ((f32::from(place) + 0.5) / 64.0 - 0.5) * step));
        let tolerances = tolerances(self.tolerance);
        let mut pixels = vec![unchanged; width * height];
        let (mut left, mut top, mut right, mut bottom) = (width, height, 0, 0);
        for row in 0..height {
            for column in 0..width {
                let at = row * width + column;
                let (new, old) = (&picture.data[at * 3..at * 3 + 3], &mut self.drawn[at * 3..at * 3 + 3]);
                let tolerance = tolerances[usize::from(new[0].max(new[1]).max(new[2]))];
                let same = new
                    .iter()
                    .zip(old.iter())
                    .all(|(new, old)| new.abs_diff(*old) <= tolerance);
                if same && !is_first {
                    continue;
                }
                old.copy_from_slice(new);
                let by = lighter[row % 8][column % 8];
                let colour = [0, 1, 2].map(|channel| add(new[channel], by));
                pixels[at] = palette.nearest(colour);
                left = left.min(column);
                right = right.max(column + 1);
                top = top.min(row);
                bottom = bottom.max(row + 1);
            }
        }
        if left >= right {
            // Nothing has changed; a picture has one pixel at least.
            (left, top, right, bottom) = (0, 0, 1, 1);
        }
        let buffer: Vec<u8> = (top..bottom)
            .flat_map(|row| pixels[row * width + left..row * width + right].iter().copied())
            .collect();
        let side = |length: usize| u16::try_from(length).unwrap_or(u16::MAX);
        Frame {
            delay: picture.delay,
            dispose: DisposalMethod::Keep,
            transparent: (!is_first).then_some(unchanged),
            left: side(left),
            top: side(top),
            width: side(right - left),
            height: side(bottom - top),
            palette: own.map(|mut colours| {
                colours.extend([0; 3]);
                colours
            }),
            buffer: buffer.into(),
            ..Frame::default()
        }
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to the range"
)]
fn add(value: u8, by: f32) -> u8 {
    (f32::from(value) + by).round().clamp(0.0, 255.0) as u8
}

/// What counts as the same for pixels of which the lightest channel is this.
fn tolerances(most: u8) -> [u8; 256] {
    std::array::from_fn(|light| {
        let light = u32::try_from(light).unwrap_or(LIGHT).min(LIGHT);
        u8::try_from(u32::from(most) * (light + 8) / (LIGHT + 8)).unwrap_or(most)
    })
}

/// Whole hundredths of a second, to the nearest.
fn hundredths(at: Duration) -> u128 {
    (at.as_micros() + 5_000) / 10_000
}

impl Writer for GifWriter {
    fn add(&mut self, picture: &Canvas, from: Duration, to: Duration) -> Result<(), Failure> {
        let delay = hundredths(to).saturating_sub(hundredths(from));
        self.kept.push(Picture {
            data: picture.data.clone(),
            delay: u16::try_from(delay).unwrap_or(u16::MAX),
        });
        if (self.kept.len() + 1) * picture.data.len() > KEPT {
            self.flush()?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<(), Failure> {
        self.flush()?;
        let Some(encoder) = self.encoder.take() else {
            return Ok(());
        };
        let writer = encoder.into_inner().map_err(|error| self.failed(error))?;
        writer
            .into_inner()
            .map(drop)
            .map_err(|error| writing(&self.file, error.error()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dark_may_change_by_less() {
        let most = tolerances(4);
        assert!(most.is_sorted());
        assert_eq!((most[0], most[24], most[56], most[255]), (0, 2, 4, 4));
        assert_eq!(tolerances(0), [0; 256]);
    }
}
