//! A drawing in the form of the frames that it is laid over, and the laying.

use gst_video::prelude::*;

use super::components;
use super::grade::Grade;
use super::layer::Layer;
use crate::job::Failure;
use crate::media::failure::internal;

/// What a sample is multiplied with to be left alone.
const WHOLE: u32 = 1 << 16;

/// A drawing, ready to be laid over frames of one form.
pub struct Blended {
    planes: Vec<Plane>,
}

/// What happens to a rectangle of one component's samples.
struct Plane {
    x: u32,
    y: u32,
    width: usize,
    /// For each sample what is left of it, in parts of [`WHOLE`] ...
    left: Vec<u32>,
    /// ... and what is added, likewise.
    added: Vec<u32>,
}

impl Blended {
    /// Converts a drawing. What lies outside of the frame is left out.
    ///
    /// # Errors
    /// Where nothing can be laid over such frames.
    pub fn new(layer: &Layer, info: &gst_video::VideoInfo) -> Result<Self, Failure> {
        let strides = info.stride().to_vec();
        let components = components(info, &strides)?;
        let (offsets, scales) = info.format_info().range_offsets(info.colorimetry().range());
        let grade = Grade::of(info);
        let clip = |from: i64, length: u32, side: u32| {
            let (from, to) = (from.max(0), (from + i64::from(length)).min(i64::from(side)));
            (u32::try_from(from).ok().zip(u32::try_from(to).ok())).filter(|(from, to)| from < to)
        };
        let across = clip(layer.x, layer.width, info.width());
        let down = clip(layer.y, layer.height, info.height());
        let (Some((left, right)), Some((top, bottom))) = (across, down) else {
            return Ok(Self { planes: Vec::new() });
        };
        // For each pixel luma, two of chroma, all times how opaque it is, and that.
        let pixels: Vec<[f32; 4]> = layer.rgba.chunks_exact(4).map(|pixel| grade.pixel(pixel)).collect();
        let mut planes = Vec::new();
        for (index, component) in components.iter().enumerate() {
            #[allow(clippy::cast_precision_loss, reason = "12 bits")]
            let (offset, scale) = (offsets[index] as f32, scales[index] as f32);
            let (wide, high) = (1 << component.across, 1 << component.down);
            let x = left >> component.across..((right - 1) >> component.across) + 1;
            let y = top >> component.down..((bottom - 1) >> component.down) + 1;
            let mut plane = Plane {
                x: x.start,
                y: y.start,
                width: x.len(),
                left: Vec::with_capacity(x.len() * y.len()),
                added: Vec::with_capacity(x.len() * y.len()),
            };
            #[allow(clippy::cast_precision_loss, reason = "at most 16")]
            let share = 1.0 / (wide * high) as f32;
            for y in y {
                for x in x.clone() {
                    let (mut value, mut opaque) = (0.0, 0.0);
                    for (x, y) in (0..wide * high).map(|at| (x * wide + at % wide, y * high + at / wide)) {
                        if !(left..right).contains(&x) || !(top..bottom).contains(&y) {
                            continue;
                        }
                        let (x, y) = (i64::from(x) - layer.x, i64::from(y) - layer.y);
                        let at = usize::try_from(y * i64::from(layer.width) + x).map_err(internal)?;
                        let pixel = pixels[at];
                        value += pixel[index].mul_add(scale, pixel[3] * offset) * share;
                        opaque += pixel[3] * share;
                    }
                    plane.left.push(WHOLE - parts(opaque).min(WHOLE));
                    plane.added.push(parts(value));
                }
            }
            planes.push(plane);
        }
        Ok(Self { planes })
    }

    /// Lays it over a frame.
    ///
    /// # Errors
    /// Where the frame is not as it was said to be.
    pub fn lay(&self, frame: &mut gst_video::VideoFrameRef<&mut gst::BufferRef>) -> Result<(), Failure> {
        let components = components(frame.info(), frame.plane_stride())?;
        for (component, plane) in components.iter().zip(&self.planes) {
            let data = frame.plane_data_mut(component.plane).map_err(internal)?;
            let rows = plane
                .left
                .chunks_exact(plane.width)
                .zip(plane.added.chunks_exact(plane.width));
            for ((left, added), y) in rows.zip(plane.y..) {
                if left.iter().all(|left| *left == WHOLE) {
                    continue;
                }
                let start = component.at(plane.x, y);
                if component.step == 1 {
                    let row = data.get_mut(start..start + plane.width);
                    let row = row.ok_or_else(|| internal("a frame that ends too early"))?;
                    for ((sample, left), added) in row.iter_mut().zip(left).zip(added) {
                        *sample = mixed(u32::from(*sample), *left, *added, 255).to_le_bytes()[0];
                    }
                    continue;
                }
                let last = start + component.step * (plane.width - 1);
                if last + usize::from(component.wide) >= data.len() {
                    return Err(internal("a frame that ends too early"));
                }
                for (index, (left, added)) in left.iter().zip(added).enumerate() {
                    let at = start + index * component.step;
                    let sample = component.read(data, at);
                    component.write(data, at, mixed(sample, *left, *added, component.most));
                }
            }
        }
        Ok(())
    }
}

/// No sum is larger than the largest sample: the most colorful colors of a full range lie half a step above it.
fn mixed(sample: u32, left: u32, added: u32, most: u32) -> u32 {
    ((sample * left + added + WHOLE / 2) >> 16).min(most)
}

/// A value of at most 12 bits in parts of [`WHOLE`].
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "such a cast keeps within the range"
)]
fn parts(value: f32) -> u32 {
    (value * WHOLE as f32).round().clamp(0.0, 4095.0 * WHOLE as f32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Area;
    use crate::rule::overlay::Color;

    fn info(format: gst_video::VideoFormat, colorimetry: &str) -> gst_video::VideoInfo {
        gst::init().unwrap();
        gst_video::VideoInfo::builder(format, 32, 16)
            .colorimetry(&colorimetry.parse().unwrap())
            .build()
            .unwrap()
    }

    /// Luma and chroma of a frame whose samples all were this, at this pixel.
    fn laid(format: gst_video::VideoFormat, colorimetry: &str, color: [u8; 4], was: u16, at: (u32, u32)) -> [u32; 3] {
        let info = info(format, colorimetry);
        let area = Area {
            x: 5,
            y: 3,
            width: 20,
            height: 10,
        };
        let blended = Blended::new(&Layer::filled(area, Color(color)), &info).unwrap();
        let mut buffer = gst::Buffer::with_size(info.size()).unwrap();
        {
            let buffer = buffer.get_mut().unwrap();
            let mut frame = gst_video::VideoFrameRef::from_buffer_ref_writable(buffer, &info).unwrap();
            for component in components(&info, info.stride()).unwrap() {
                let data = frame.plane_data_mut(component.plane).unwrap();
                for index in (0..data.len()).step_by(if component.wide { 2 } else { 1 }) {
                    component.write(data, index, u32::from(was));
                }
            }
            blended.lay(&mut frame).unwrap();
        }
        let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(&buffer, &info).unwrap();
        components(&info, info.stride()).unwrap().map(|component| {
            let at = component.at(at.0 >> component.across, at.1 >> component.down);
            component.read(frame.plane_data(component.plane).unwrap(), at)
        })
    }

    #[test]
    fn colors_arrive_in_the_matrix_and_range_of_the_frame() {
        use gst_video::VideoFormat::{I420, I42010le, Nv12};
        let inside = (12, 8);
        let red = [255, 0, 0, 255];
        assert_eq!(laid(I420, "bt601", red, 100, inside), [81, 90, 240]);
        assert_eq!(laid(I420, "bt709", red, 100, inside), [63, 102, 240]);
        assert_eq!(laid(Nv12, "bt709", red, 100, inside), [63, 102, 240]);
        assert_eq!(laid(I420, "1:3:5:1", red, 100, inside), [54, 99, 255]);
        assert_eq!(laid(I42010le, "bt709", red, 400, inside), [250, 409, 960]);
        assert_eq!(laid(I420, "bt709", [255; 4], 100, inside), [235, 128, 128]);
    }

    #[test]
    fn what_is_half_opaque_lets_half_through_and_edges_are_exact() {
        use gst_video::VideoFormat::I420;
        assert_eq!(laid(I420, "bt709", [255, 255, 255, 128], 101, (12, 8))[0], 168);
        let luma = |at| laid(I420, "bt709", [255; 4], 100, at)[0];
        assert_eq!(
            [luma((4, 8)), luma((5, 8)), luma((24, 8)), luma((25, 8))],
            [100, 235, 235, 100]
        );
        assert_eq!(
            [luma((8, 2)), luma((8, 3)), luma((8, 12)), luma((8, 13))],
            [100, 235, 235, 100]
        );
        // A sample of chroma that is half covered is half changed.
        assert_eq!(laid(I420, "bt709", [255; 4], 100, (4, 8))[1], 114);
    }

    #[test]
    fn white_is_not_blinding_where_the_film_has_a_wide_range() {
        use gst_video::VideoFormat::I42010le;
        // 203 cd/m2 is 58 % of the signal in PQ, 75 % in HLG.
        let pq = laid(I42010le, "bt2100-pq", [255; 4], 100, (12, 8));
        let hlg = laid(I42010le, "bt2100-hlg", [255; 4], 100, (12, 8));
        assert!(pq[0].abs_diff(64 + 509) < 4, "{pq:?}");
        assert!(hlg[0].abs_diff(64 + 657) < 4, "{hlg:?}");
        assert_eq!((pq[1], hlg[2]), (512, 512));
    }
}
