//! Whether a frame shows nothing.

use gst_video::prelude::*;

/// Brightness out of 255 up to which a pixel counts as black; in film, black itself is 16.
const BLACK: u32 = 32;
/// Of a hundred pixels so many must be black: a logo or a time may stand in a corner.
const MOST: usize = 98;
/// Pixels are looked at this far apart.
const STEP: usize = 4;

/// Whether all but a few pixels are black. What cannot be read is not.
pub fn is_black(sample: &gst::Sample) -> bool {
    let info = sample
        .caps()
        .and_then(|caps| gst_video::VideoInfo::from_caps(caps).ok());
    let (Some(info), Some(buffer)) = (info, sample.buffer()) else {
        return false;
    };
    let Ok(frame) = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, &info) else {
        return false;
    };
    let format = frame.format_info();
    if format.is_complex() || format.has_palette() || format.is_tiled() {
        return false;
    }
    // Of colours all three must be dark, else the brightness alone.
    let components = if format.is_rgb() { 0..3 } else { 0..1 };
    let parts: Option<Vec<_>> = components.map(|component| black_pixels(&frame, component)).collect();
    parts.is_some_and(|parts| parts.iter().all(|(black, all)| *all > 0 && black * 100 >= all * MOST))
}

/// How many pixels of a component are black, and of how many.
fn black_pixels(frame: &gst_video::VideoFrameRef<&gst::BufferRef>, component: u8) -> Option<(usize, usize)> {
    let format = frame.format_info();
    let at = usize::from(component);
    let plane = *format.plane().get(at)?;
    let data = frame.plane_data(plane).ok()?;
    let stride = usize::try_from(*frame.plane_stride().get(usize::try_from(plane).ok()?)?).ok()?;
    let pixel = usize::try_from(*format.pixel_stride().get(at)?).ok()?;
    let offset = usize::try_from(*format.poffset().get(at)?).ok()?;
    let (depth, shift) = (*format.depth().get(at)?, *format.shift().get(at)?);
    let width = usize::try_from(frame.comp_width(component.into())).ok()?;
    let height = usize::try_from(frame.comp_height(component.into())).ok()?;
    let limit = BLACK << depth.saturating_sub(8);
    let wide = depth > 8;
    let (mut black, mut all) = (0, 0);
    for row in (0..height).step_by(STEP) {
        let line = data.get(row * stride..)?;
        for column in (0..width).step_by(STEP) {
            let place = column * pixel + offset;
            let value = if wide {
                let bytes = [*line.get(place)?, *line.get(place + 1)?];
                let bytes = if format.flags().contains(gst_video::VideoFormatFlags::LE) {
                    u16::from_le_bytes(bytes)
                } else {
                    u16::from_be_bytes(bytes)
                };
                u32::from(bytes) >> shift
            } else {
                u32::from(*line.get(place)?) >> shift
            };
            all += 1;
            black += usize::from(value <= limit);
        }
    }
    Some((black, all))
}
