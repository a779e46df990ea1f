//! Rectangles of a frame in which nothing can be made out.

use gst_video::prelude::*;

use super::{Component, components};
use crate::job::Failure;
use crate::media::failure::internal;
use crate::plan::Area;

/// A box is blurred so often; then nothing of a box is seen.
const PASSES: usize = 3;

/// A rectangle, and how it is hidden.
#[derive(Debug, Clone)]
pub struct Hidden {
    area: Area,
    way: Way,
}

#[derive(Debug, Clone, Copy)]
enum Way {
    /// Squares as wide as this, an even number.
    Squares(u32),
    /// Blurred over so far.
    Blur(u32),
}

/// The rectangle in samples of one component.
struct Part {
    x: u32,
    y: u32,
    width: u32,
    height: u32,
}

impl Hidden {
    /// Squares of one color.
    pub fn squares(area: Area, size: u32) -> Self {
        let way = Way::Squares(size.next_multiple_of(2));
        Self { area, way }
    }

    /// A blur.
    pub fn blur(area: Area, size: u32) -> Self {
        let way = Way::Blur(size);
        Self { area, way }
    }

    /// Hides what is there on a frame.
    ///
    /// # Errors
    /// Where the frame is not as it was said to be.
    pub fn hide(&self, frame: &mut gst_video::VideoFrameRef<&mut gst::BufferRef>) -> Result<(), Failure> {
        for component in components(frame.info(), frame.plane_stride())? {
            let part = self.part(&component);
            let data = frame.plane_data_mut(component.plane).map_err(internal)?;
            let last = component.at(part.x + part.width - 1, part.y + part.height - 1);
            if last + usize::from(component.wide) >= data.len() {
                return Err(internal("a frame that ends too early"));
            }
            match self.way {
                Way::Squares(size) => {
                    let size = ((size >> component.across).max(1), (size >> component.down).max(1));
                    squares(&component, data, &part, size);
                }
                Way::Blur(size) => {
                    let reach = ((size >> component.across).max(1), (size >> component.down).max(1));
                    blur(&component, data, &part, reach);
                }
            }
        }
        Ok(())
    }

    /// What the rectangle touches.
    fn part(&self, component: &Component) -> Part {
        let Area { x, y, width, height } = self.area;
        let span = |from: u32, length: u32, shared: u32| {
            let first = from >> shared;
            (first, ((from + length - 1) >> shared) - first + 1)
        };
        let ((x, width), (y, height)) = (span(x, width, component.across), span(y, height, component.down));
        Part { x, y, width, height }
    }
}

fn squares(component: &Component, data: &mut [u8], part: &Part, (wide, high): (u32, u32)) {
    for top in (0..part.height).step_by(high as usize) {
        for left in (0..part.width).step_by(wide as usize) {
            let (width, height) = (wide.min(part.width - left), high.min(part.height - top));
            let places = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
            let places = places.map(|(x, y)| component.at(part.x + left + x, part.y + top + y));
            let sum: u64 = places.clone().map(|at| u64::from(component.read(data, at))).sum();
            let count = u64::from(width * height);
            let mean = u32::try_from((sum + count / 2) / count).unwrap_or(0);
            places.for_each(|at| component.write(data, at, mean));
        }
    }
}

fn blur(component: &Component, data: &mut [u8], part: &Part, reach: (u32, u32)) {
    let (width, height) = (part.width as usize, part.height as usize);
    let place = |x: usize, y: usize| component.at(part.x, part.y) + y * component.line + x * component.step;
    let mut samples = Vec::with_capacity(width * height);
    for y in 0..height {
        samples.extend((0..width).map(|x| component.read(data, place(x, y))));
    }
    let mut line = vec![0; width.max(height)];
    for _ in 0..PASSES {
        for row in samples.chunks_exact_mut(width) {
            smooth(row.len(), 1, reach.0 as usize, row, &mut line);
        }
        for x in 0..width {
            smooth(height, width, reach.1 as usize, &mut samples[x..], &mut line);
        }
    }
    for (y, row) in samples.chunks_exact(width).enumerate() {
        for (x, sample) in row.iter().enumerate() {
            component.write(data, place(x, y), *sample);
        }
    }
}

/// The mean of the samples around each, as far as `reach` and as there are any: of `count` samples, `step` apart.
fn smooth(count: usize, step: usize, reach: usize, samples: &mut [u32], line: &mut [u32]) {
    for (index, sample) in line[..count].iter_mut().enumerate() {
        *sample = samples[index * step];
    }
    let (mut sum, mut from, mut to) = (0_u32, 0, 0);
    for index in 0..count {
        while to < count && to <= index + reach {
            sum += line[to];
            to += 1;
        }
        while from + reach < index {
            sum -= line[from];
            from += 1;
        }
        let around = u32::try_from(to - from).unwrap_or(1);
        samples[index * step] = (sum + around / 2) / around;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_is_taken_of_what_is_there() {
        let mut samples = [0, 0, 90, 0, 0, 0];
        smooth(6, 1, 1, &mut samples, &mut [0; 6]);
        assert_eq!(samples, [0, 30, 30, 30, 0, 0]);
        let mut samples = [90, 7, 0, 7, 0, 7];
        smooth(3, 2, 5, &mut samples, &mut [0; 3]);
        assert_eq!(samples, [30, 7, 30, 7, 30, 7]);
    }

    #[test]
    fn outside_of_the_rectangle_nothing_changes() {
        gst::init().unwrap();
        let info = gst_video::VideoInfo::builder(gst_video::VideoFormat::I420, 32, 32)
            .build()
            .unwrap();
        let area = Area {
            x: 8,
            y: 8,
            width: 16,
            height: 8,
        };
        for hidden in [Hidden::squares(area, 8), Hidden::blur(area, 4)] {
            let mut buffer = gst::Buffer::with_size(info.size()).unwrap();
            {
                let mut frame =
                    gst_video::VideoFrameRef::from_buffer_ref_writable(buffer.get_mut().unwrap(), &info).unwrap();
                let data = frame.plane_data_mut(0).unwrap();
                for (index, sample) in data.iter_mut().enumerate() {
                    *sample = u8::try_from(index * 37 % 251).unwrap();
                }
                hidden.hide(&mut frame).unwrap();
            }
            let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(&buffer, &info).unwrap();
            let data = frame.plane_data(0).unwrap();
            let kept = |x: usize, y: usize| usize::from(data[y * 32 + x]) == (y * 32 + x) * 37 % 251;
            for y in 0..32 {
                for x in 0..32 {
                    let inside = (8..24).contains(&x) && (8..16).contains(&y);
                    assert!(inside || kept(x, y), "{x} {y}");
                }
            }
            let changed = (8..16)
                .flat_map(|y| (8..24).map(move |x| (x, y)))
                .filter(|(x, y)| !kept(*x, *y));
            assert!(changed.count() > 100);
        }
    }
}
