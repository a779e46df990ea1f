//! The brightness of a picture, read where it lies: nothing is scaled or converted for the few points that are looked at.

use gst_video::prelude::*;

/// Formats whose brightness can be read: one or two bytes for each point, whatever lies between.
pub const FORMATS: [&str; 18] = [
    "I420",
    "YV12",
    "NV12",
    "NV21",
    "Y42B",
    "Y41B",
    "Y444",
    "YUY2",
    "UYVY",
    "GRAY8",
    "I420_10LE",
    "I422_10LE",
    "Y444_10LE",
    "P010_10LE",
    "I420_12LE",
    "I422_12LE",
    "Y444_12LE",
    "GRAY16_LE",
];

/// A picture to be looked at.
pub struct Luma<'a> {
    data: &'a [u8],
    stride: usize,
    step: usize,
    /// Bits to be dropped, where points have two bytes.
    wide: Option<u32>,
    full_range: bool,
    /// In pixels.
    pub width: usize,
    /// In pixels.
    pub height: usize,
}

impl<'a> Luma<'a> {
    /// The brightness of this frame; none where its format has none.
    pub fn of(frame: &'a gst_video::VideoFrameRef<&'a gst::BufferRef>) -> Option<Self> {
        let depth = frame.comp_depth(0);
        let shift = frame.format_info().shift().first().copied().unwrap_or(0);
        Some(Self {
            data: frame.comp_data(0).ok()?,
            stride: usize::try_from(frame.comp_stride(0)).ok()?,
            step: usize::try_from(frame.comp_pstride(0)).ok()?,
            wide: (depth > 8).then(|| shift + depth - 8),
            full_range: frame.info().colorimetry().range() == gst_video::VideoColorRange::Range0_255,
            width: frame.width() as usize,
            height: frame.height() as usize,
        })
    }

    /// From 0, black, to 255, white.
    #[allow(clippy::cast_possible_truncation, reason = "eight bits are left")]
    pub fn at(&self, x: usize, y: usize) -> u8 {
        let at = y * self.stride + x * self.step;
        let value = match self.wide {
            None => self.data.get(at).copied().unwrap_or(0),
            Some(drop) => {
                let byte = |at: usize| u16::from(self.data.get(at).copied().unwrap_or(0));
                ((byte(at) | byte(at + 1) << 8) >> drop) as u8
            }
        };
        if self.full_range {
            return value;
        }
        (u32::from(value.saturating_sub(16)) * 255 / 219).min(255) as u8
    }

    /// A picture of these points, for tests.
    #[cfg(test)]
    pub fn test(data: &'a [u8], width: usize) -> Self {
        Self {
            data,
            stride: width,
            step: 1,
            wide: None,
            full_range: true,
            width,
            height: data.len() / width,
        }
    }
}
