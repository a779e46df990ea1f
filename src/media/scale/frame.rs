//! Pictures in memory: the forms of pixels that are known here, where their planes lie, and a sheet of our own for what
//! does not fit where it belongs.

use gst_video::{VideoFormat, VideoFormatInfo};

use super::place::Rect;
use super::sws::{MARGIN, Planes, PlanesMut, pixels};

/// Forms of pixels by the names that libswscale has for them. The first are preferred.
const FORMS: [(VideoFormat, &str); 33] = [
    (VideoFormat::I420, "yuv420p"),
    (VideoFormat::I42010le, "yuv420p10le"),
    (VideoFormat::I42012le, "yuv420p12le"),
    (VideoFormat::Y42b, "yuv422p"),
    (VideoFormat::I42210le, "yuv422p10le"),
    (VideoFormat::I42212le, "yuv422p12le"),
    (VideoFormat::Y444, "yuv444p"),
    (VideoFormat::Y44410le, "yuv444p10le"),
    (VideoFormat::Y44412le, "yuv444p12le"),
    (VideoFormat::Nv12, "nv12"),
    (VideoFormat::Gray8, "gray"),
    (VideoFormat::Gray16Le, "gray16le"),
    (VideoFormat::Rgb, "rgb24"),
    (VideoFormat::Bgr, "bgr24"),
    (VideoFormat::Rgba, "rgba"),
    (VideoFormat::Bgra, "bgra"),
    (VideoFormat::Argb, "argb"),
    (VideoFormat::Abgr, "abgr"),
    (VideoFormat::Rgbx, "rgb0"),
    (VideoFormat::Bgrx, "bgr0"),
    (VideoFormat::Xrgb, "0rgb"),
    (VideoFormat::Xbgr, "0bgr"),
    (VideoFormat::Gbr, "gbrp"),
    (VideoFormat::Gbr10le, "gbrp10le"),
    (VideoFormat::Gbr12le, "gbrp12le"),
    (VideoFormat::P01010le, "p010le"),
    (VideoFormat::Y41b, "yuv411p"),
    (VideoFormat::Nv21, "nv21"),
    (VideoFormat::Nv16, "nv16"),
    (VideoFormat::Nv24, "nv24"),
    (VideoFormat::Yuy2, "yuyv422"),
    (VideoFormat::Uyvy, "uyvy422"),
    (VideoFormat::A420, "yuva420p"),
];

/// Those that frames may have when they leave: every sample of them can be painted.
const LEAVING: usize = 22;

/// What frames may be when they come, as far as the library that was found can read them.
pub fn entering() -> impl Iterator<Item = VideoFormat> {
    let reads = |(format, name): (VideoFormat, &str)| pixels(name, true).map(|_| format);
    FORMS.into_iter().filter_map(reads)
}

/// What frames may be when they leave.
pub fn leaving() -> impl Iterator<Item = VideoFormat> {
    let writes = |(format, name): (VideoFormat, &str)| pixels(name, false).map(|_| format);
    FORMS.into_iter().take(LEAVING).filter_map(writes)
}

/// The name that libswscale has for this form.
pub fn name(format: VideoFormat) -> Option<&'static str> {
    FORMS
        .into_iter()
        .find_map(|(one, name)| (one == format).then_some(name))
}

/// How the samples of one component lie in a picture.
#[derive(Clone, Copy)]
pub struct Component {
    /// Which plane.
    plane: usize,
    /// Bytes from sample to sample.
    step: usize,
    /// Bytes before the first.
    first: usize,
    /// By how much it is coarser, as powers of two.
    coarser: (u32, u32),
    /// Bits of a sample, and those below them.
    depth: u32,
    shift: u32,
}

impl Component {
    fn is_wide(self) -> bool {
        self.depth + self.shift > 8
    }

    fn get(self, row: &[u8], at: usize) -> u32 {
        let at = self.first + at * self.step;
        let raw = if self.is_wide() {
            u32::from(u16::from_le_bytes([row[at], row[at + 1]]))
        } else {
            u32::from(row[at])
        };
        raw >> self.shift
    }

    fn set(self, row: &mut [u8], at: usize, value: u32) {
        let at = self.first + at * self.step;
        let raw = value << self.shift;
        let [low, high, ..] = raw.to_le_bytes();
        row[at] = low;
        if self.is_wide() {
            row[at + 1] = high;
        }
    }
}

/// What a component says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Light,
    Colour,
    Alpha,
}

/// How pixels of a form lie in memory.
#[derive(Clone)]
pub struct Layout {
    components: Vec<(Component, Meaning)>,
    planes: usize,
    full_range: bool,
    is_rgb: bool,
}

impl Layout {
    /// Of this form, with black at 0 or above it.
    pub fn new(info: VideoFormatInfo, full_range: bool) -> Self {
        let components = (0..info.n_components() as usize).map(|index| {
            let component = Component {
                plane: info.plane()[index] as usize,
                step: usize::try_from(info.pixel_stride()[index]).unwrap_or_default(),
                first: info.poffset()[index] as usize,
                coarser: (info.w_sub()[index], info.h_sub()[index]),
                depth: info.depth()[index],
                shift: info.shift()[index],
            };
            let meaning = match index {
                3 => Meaning::Alpha,
                1 | 2 if info.is_yuv() => Meaning::Colour,
                _ => Meaning::Light,
            };
            (component, meaning)
        });
        Self {
            components: components.collect(),
            planes: info.n_planes() as usize,
            full_range,
            is_rgb: info.is_rgb(),
        }
    }

    /// How many planes.
    pub fn planes(&self) -> usize {
        self.planes
    }

    /// The step of pixels in which colour can be placed.
    pub fn grain(&self) -> u32 {
        let coarser = self.components.iter().map(|(one, _)| one.coarser.0.max(one.coarser.1));
        1 << coarser.max().unwrap_or_default()
    }

    fn of_plane(&self, plane: usize) -> impl Iterator<Item = &Component> {
        self.components
            .iter()
            .map(|(component, _)| component)
            .filter(move |one| one.plane == plane)
    }

    /// Bytes in a row of so many pixels.
    pub fn row(&self, plane: usize, wide: u32) -> usize {
        let bytes = |one: &Component| wide.div_ceil(1 << one.coarser.0) as usize * one.step;
        self.of_plane(plane).map(bytes).max().unwrap_or_default()
    }

    /// Rows for so many rows of pixels.
    pub fn rows(&self, plane: usize, high: u32) -> usize {
        let rows = |one: &Component| high.div_ceil(1 << one.coarser.1) as usize;
        self.of_plane(plane).map(rows).max().unwrap_or_default()
    }

    /// What lies before this point in its plane: bytes of its row, and rows.
    pub fn before(&self, plane: usize, x: u32, y: u32) -> (usize, usize) {
        let bytes = |one: &Component| (x >> one.coarser.0) as usize * one.step;
        let rows = |one: &Component| (y >> one.coarser.1) as usize;
        (
            self.of_plane(plane).map(bytes).max().unwrap_or_default(),
            self.of_plane(plane).map(rows).max().unwrap_or_default(),
        )
    }

    /// Black, and the value without colour.
    fn black(&self, component: Component, meaning: Meaning) -> u32 {
        let unit = component.depth.saturating_sub(8);
        match meaning {
            Meaning::Alpha => (1 << component.depth) - 1,
            Meaning::Colour => 128 << unit,
            Meaning::Light if self.full_range || self.is_rgb => 0,
            Meaning::Light => 16 << unit,
        }
    }

    /// Paints everything black but `inside`, in the rows of a plane.
    pub fn blacken(&self, plane: usize, rows: &mut [u8], stride: usize, size: (u32, u32), inside: Rect) {
        let mut black = vec![0; self.row(plane, size.0)];
        for (component, meaning) in &self.components {
            if component.plane == plane {
                let value = self.black(*component, *meaning);
                for at in 0..size.0.div_ceil(1 << component.coarser.0) as usize {
                    component.set(&mut black, at, value);
                }
            }
        }
        let (left, above) = self.before(plane, inside.x, inside.y);
        let right = left + self.row(plane, inside.wide);
        let below = above + self.rows(plane, inside.high);
        let all = self.rows(plane, size.1);
        for (number, row) in rows.chunks_mut(stride).take(all).enumerate() {
            let Some(row) = row.get_mut(..black.len()) else {
                continue;
            };
            if (above..below).contains(&number) {
                row[..left].copy_from_slice(&black[..left]);
                row[right..].copy_from_slice(&black[right..]);
            } else {
                row.copy_from_slice(&black);
            }
        }
    }
}

/// Where the planes of a frame begin, as far as a rectangle of it goes.
pub fn part(layout: &Layout, planes: &Planes, rect: Rect) -> Planes {
    let mut found = *planes;
    for plane in 0..layout.planes() {
        let (bytes, rows) = layout.before(plane, rect.x, rect.y);
        let stride = usize::try_from(planes.strides[plane]).unwrap_or_default();
        found.data[plane] = planes.data[plane].wrapping_add(rows * stride + bytes);
    }
    found
}

/// A picture in memory of our own, with room at the end of every row.
pub struct Sheet {
    layout: Layout,
    size: (u32, u32),
    memory: Vec<u8>,
    offsets: [usize; 4],
    strides: [usize; 4],
}

impl Sheet {
    /// For a picture of this size.
    pub fn new(layout: &Layout, size: (u32, u32)) -> Self {
        let (mut offsets, mut strides, mut end) = ([0; 4], [0; 4], 0);
        for plane in 0..layout.planes() {
            offsets[plane] = end;
            strides[plane] = layout.row(plane, size.0).next_multiple_of(MARGIN) + MARGIN;
            end += strides[plane] * layout.rows(plane, size.1);
        }
        let memory = vec![0_u8; end + 2 * MARGIN];
        // Rows begin where the fastest instructions want them.
        let shift = memory.as_ptr().align_offset(MARGIN).min(MARGIN);
        for offset in &mut offsets {
            *offset += shift;
        }
        Self {
            layout: layout.clone(),
            size,
            memory,
            offsets,
            strides,
        }
    }

    /// Its planes, to be written.
    pub fn planes_mut(&mut self) -> PlanesMut {
        let mut planes = PlanesMut {
            data: [std::ptr::null_mut(); 4],
            strides: [0; 4],
        };
        let base = self.memory.as_mut_ptr();
        for plane in 0..self.layout.planes() {
            planes.data[plane] = base.wrapping_add(self.offsets[plane]);
            planes.strides[plane] = i32::try_from(self.strides[plane]).unwrap_or_default();
        }
        planes
    }

    /// The rows of a plane.
    pub fn rows(&self, plane: usize) -> (&[u8], usize) {
        let length = self.strides[plane] * self.layout.rows(plane, self.size.1);
        (&self.memory[self.offsets[plane]..][..length], self.strides[plane])
    }

    /// As [`Self::rows`].
    pub fn rows_mut(&mut self, plane: usize) -> (&mut [u8], usize) {
        let length = self.strides[plane] * self.layout.rows(plane, self.size.1);
        (&mut self.memory[self.offsets[plane]..][..length], self.strides[plane])
    }

    /// Copies all of a plane to where it belongs in a plane of a frame.
    pub fn paste(&self, plane: usize, into: &mut [u8], stride: usize, at: Rect) {
        let (bytes, rows) = self.layout.before(plane, at.x, at.y);
        let wide = self.layout.row(plane, self.size.0);
        let (own, own_stride) = self.rows(plane);
        for (from, to) in own.chunks(own_stride).zip(into.chunks_mut(stride).skip(rows)) {
            if let Some(to) = to.get_mut(bytes..bytes + wide) {
                to.copy_from_slice(&from[..wide]);
            }
        }
    }

    /// Takes light and some colour out of the picture: `light` and `colour` of 256 stay.
    pub fn darken(&mut self, light: u32, colour: u32) {
        let layout = self.layout.clone();
        for (component, meaning) in &layout.components {
            let keep = match meaning {
                Meaning::Light => light,
                Meaning::Colour => colour,
                Meaning::Alpha => continue,
            };
            let middle = layout.black(*component, *meaning);
            let samples = self.size.0.div_ceil(1 << component.coarser.0) as usize;
            let (rows, stride) = self.rows_mut(component.plane);
            for row in rows.chunks_mut(stride) {
                for at in 0..samples {
                    let value = component.get(row, at);
                    let darker = if value >= middle {
                        middle + (value - middle) * keep / 256
                    } else {
                        middle - (middle - value) * keep / 256
                    };
                    component.set(row, at, darker);
                }
            }
        }
    }
}
