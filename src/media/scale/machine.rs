//! What is done to every picture between one form and another: scaled straight into its frame where it fits there, else
//! by way of a sheet.

use gst_video::prelude::*;
use gst_video::{VideoChromaSite, VideoColorMatrix, VideoColorRange, VideoFormatInfo, VideoFrameRef, VideoInfo};

use super::frame::{self, Layout, Sheet, part};
use super::place::{Rect, covering, place};
use super::sws::{MARGIN, Matrix, Planes, PlanesMut, Scaler, Side, pixels};
use crate::plan::Draw;

/// Between YUV and YUV; where the frame is less than half as high, for which so many rows are added up that what is lost of
/// each would be seen; and where one of them is RGB: there, every pixel gets a colour of its own.
const FLAGS: [&str; 3] = [
    "bicubic",
    "bicubic+accurate_rnd",
    "bicubic+accurate_rnd+full_chroma_int+full_chroma_inp",
];

/// How a background is blurred: down to this part of the frame, and softly up again.
const BLUR: u32 = 24;

/// What stays of light and colour in a blurred background, of 256.
const DIMMED: (u32, u32) = (150, 180);

/// Scales pictures of one form into frames of another.
pub struct Machine {
    main: Scaler,
    from: Layout,
    to: Layout,
    picture: (u32, u32),
    frame: (u32, u32),
    seen: Rect,
    filled: Rect,
    /// For what does not fit into its frame.
    aside: Option<Sheet>,
    /// For planes whose memory ends too near their last row.
    copies: Option<Sheet>,
    background: Option<Background>,
}

struct Background {
    seen: Rect,
    down: Scaler,
    small: Sheet,
    up: Scaler,
    aside: Option<Sheet>,
}

impl Machine {
    /// For pictures and frames of these forms. None where the library refuses.
    pub fn new(draw: Draw, from: &VideoInfo, to: &VideoInfo) -> Option<Self> {
        let aspect = (
            u32::try_from(from.par().numer()).unwrap_or(1),
            u32::try_from(from.par().denom()).unwrap_or(1),
        );
        let (picture, frame) = ((from.width(), from.height()), (to.width(), to.height()));
        let layouts = (layout(from), layout(to));
        let step = layouts.0.grain().max(layouts.1.grain()).max(2);
        let (seen, filled) = place(draw, picture, aspect, frame, step);
        let flags = match (from.is_rgb() == to.is_rgb(), seen.high > 2 * filled.high) {
            (true, false) => FLAGS[0],
            (true, true) => FLAGS[1],
            (false, _) => FLAGS[2],
        };
        let [entry, exit] = [(from, true), (to, false)].map(|(info, reads)| side(info, reads));
        let (entry, exit) = (entry?, exit?);
        let sized = |side: Side, size: (u32, u32)| Side { size, ..side };
        let main = Scaler::new(&sized(entry, seen.size()), &sized(exit, filled.size()), flags)?;
        let background = if draw == Draw::Blurred && filled.size() != frame {
            let small = (frame.0.div_ceil(BLUR).max(2), frame.1.div_ceil(BLUR).max(2));
            let seen = covering(picture, aspect, frame, step);
            // What comes out of the first is what goes into the second.
            let reread = Side {
                pixels: side(to, true)?.pixels,
                ..exit
            };
            Some(Background {
                seen,
                down: Scaler::new(&sized(entry, seen.size()), &sized(exit, small), "area+accurate_rnd")?,
                small: Sheet::new(&layouts.1, small),
                up: Scaler::soft(&sized(reread, small), &exit)?,
                aside: None,
            })
        } else {
            None
        };
        Some(Self {
            main,
            from: layouts.0,
            to: layouts.1,
            picture,
            frame,
            seen,
            filled,
            aside: None,
            copies: None,
            background,
        })
    }

    /// Makes a frame. Answers whether all of it was made.
    pub fn turn(&mut self, from: &VideoFrameRef<&gst::BufferRef>, to: &mut VideoFrameRef<&mut gst::BufferRef>) -> bool {
        let Some(source) = self.source(from) else {
            return false;
        };
        let frame = roomy(&self.to, self.frame, to);
        let whole = Rect::whole(self.frame);
        if let Some(background) = &mut self.background {
            let seen = part(&self.from, &source, background.seen);
            let small = background.small.planes_mut();
            // SAFETY: the source has room at the end of its planes, see `source`, and sheets have it in every row.
            let mut done = unsafe { background.down.scale(&seen, &small) };
            background.small.darken(DIMMED.0, DIMMED.1);
            let small = background.small.planes_mut().readable();
            let aside = landing(frame, &mut background.aside, &self.to, self.frame);
            // SAFETY: as above; where it goes is a roomy frame or a sheet.
            done &= unsafe { background.up.scale(&small, &aside) };
            if !done || !put(&self.to, background.aside.as_ref(), to, whole) {
                return false;
            }
        }
        let seen = part(&self.from, &source, self.seen);
        let straight = frame.filter(|_| self.filled == whole);
        let target = landing(straight, &mut self.aside, &self.to, self.filled.size());
        // SAFETY: as above.
        let done = unsafe { self.main.scale(&seen, &target) };
        if !done
            || !put(
                &self.to,
                self.aside.as_ref().filter(|_| straight.is_none()),
                to,
                self.filled,
            )
        {
            return false;
        }
        if self.filled != whole && self.background.is_none() {
            return self.blacken(to);
        }
        true
    }

    /// The planes of a picture, each with room to read a little beyond its end.
    fn source(&mut self, picture: &VideoFrameRef<&gst::BufferRef>) -> Option<Planes> {
        let mut planes = Planes {
            data: [std::ptr::null(); 4],
            strides: [0; 4],
        };
        for plane in 0..self.from.planes() {
            let number = u32::try_from(plane).ok()?;
            let data = picture.plane_data(number).ok()?;
            let stride = *picture.plane_stride().get(plane)?;
            let (rows, row) = (
                self.from.rows(plane, self.picture.1),
                self.from.row(plane, self.picture.0),
            );
            let step = usize::try_from(stride).ok()?;
            let used = step * rows.checked_sub(1)? + row;
            let room = room(picture, data.as_ptr());
            if step < row || data.len() < used || room < used {
                return None;
            }
            if room >= used + MARGIN {
                planes.data[plane] = data.as_ptr();
                planes.strides[plane] = stride;
                continue;
            }
            let copies = self.copies.get_or_insert_with(|| Sheet::new(&self.from, self.picture));
            let (into, own) = copies.rows_mut(plane);
            for (from, to) in data.chunks(step).take(rows).zip(into.chunks_mut(own)) {
                to[..row].copy_from_slice(from.get(..row)?);
            }
            let copied = copies.planes_mut().readable();
            planes.data[plane] = copied.data[plane];
            planes.strides[plane] = copied.strides[plane];
        }
        Some(planes)
    }

    /// Paints what the picture does not fill.
    fn blacken(&self, frame: &mut VideoFrameRef<&mut gst::BufferRef>) -> bool {
        (0..self.to.planes()).all(|plane| {
            let (number, stride) = at(frame, plane);
            frame
                .plane_data_mut(number)
                .map(|rows| self.to.blacken(plane, rows, stride, self.frame, self.filled))
                .is_ok()
        })
    }
}

/// Where a picture of this size is made: in its frame where there is room for it, else on a sheet.
fn landing(frame: Option<PlanesMut>, aside: &mut Option<Sheet>, layout: &Layout, size: (u32, u32)) -> PlanesMut {
    frame.unwrap_or_else(|| aside.get_or_insert_with(|| Sheet::new(layout, size)).planes_mut())
}

/// Copies what was made on a sheet into its frame.
fn put(layout: &Layout, sheet: Option<&Sheet>, frame: &mut VideoFrameRef<&mut gst::BufferRef>, to: Rect) -> bool {
    let Some(sheet) = sheet else { return true };
    (0..layout.planes()).all(|plane| {
        let (number, stride) = at(frame, plane);
        frame
            .plane_data_mut(number)
            .map(|rows| sheet.paste(plane, rows, stride, to))
            .is_ok()
    })
}

fn at(frame: &VideoFrameRef<&mut gst::BufferRef>, plane: usize) -> (u32, usize) {
    let stride = frame.plane_stride().get(plane).copied().unwrap_or_default();
    (
        u32::try_from(plane).unwrap_or_default(),
        usize::try_from(stride).unwrap_or_default().max(1),
    )
}

/// The planes of a frame where every row begins well and has room at its end.
fn roomy(layout: &Layout, size: (u32, u32), frame: &mut VideoFrameRef<&mut gst::BufferRef>) -> Option<PlanesMut> {
    let mut planes = PlanesMut {
        data: [std::ptr::null_mut(); 4],
        strides: [0; 4],
    };
    for plane in 0..layout.planes() {
        let (number, stride) = at(frame, plane);
        let data = frame.plane_data_mut(number).ok()?;
        let fits = stride.is_multiple_of(MARGIN)
            && data.as_ptr().addr().is_multiple_of(32)
            && stride >= layout.row(plane, size.0)
            && data.len() >= stride * layout.rows(plane, size.1);
        if !fits {
            return None;
        }
        planes.data[plane] = data.as_mut_ptr();
        planes.strides[plane] = i32::try_from(stride).ok()?;
    }
    Some(planes)
}

/// How many bytes may be read from here to the end of the memory that was mapped for the picture.
fn room(picture: &VideoFrameRef<&gst::BufferRef>, from: *const u8) -> usize {
    let raw: *const gst_video::ffi::GstVideoFrame = picture.as_ptr();
    // SAFETY: the frame is mapped as long as it lives. Where nothing says how it lies, one piece of memory is mapped for all
    // planes, else one for each; the other entries were never written and are not read.
    let maps = unsafe {
        let mapped = if (*raw).meta.is_null() {
            1
        } else {
            picture.n_planes() as usize
        };
        let first: *const gst::ffi::GstMapInfo = std::ptr::addr_of!((*raw).map).cast();
        std::slice::from_raw_parts(first, mapped.clamp(1, 4))
    };
    let rest = |map: &gst::ffi::GstMapInfo| {
        let before = from.addr().checked_sub(map.data.addr())?;
        map.size.checked_sub(before)
    };
    maps.iter()
        .filter(|map| !map.data.is_null())
        .filter_map(rest)
        .max()
        .unwrap_or_default()
}

fn layout(info: &VideoInfo) -> Layout {
    Layout::new(
        VideoFormatInfo::from_format(info.format()),
        info.colorimetry().range() == VideoColorRange::Range0_255,
    )
}

/// What libswscale must know of one side.
fn side(info: &VideoInfo, reads: bool) -> Option<Side> {
    let form = VideoFormatInfo::from_format(info.format());
    let (across, down) = if form.n_components() > 2 {
        (form.w_sub()[1], form.h_sub()[1])
    } else {
        (0, 0)
    };
    let site = info.chroma_site();
    // Unknown is as most codecs have it.
    let on_the_pixel = |flag: VideoChromaSite, unknown: bool| {
        if site.is_empty() { unknown } else { site.contains(flag) }
    };
    let beside = |coarser: u32, on: bool| (coarser > 0).then_some(if on { 0 } else { (128 << coarser) - 128 });
    let colours = info.colorimetry();
    Some(Side {
        pixels: pixels(frame::name(info.format())?, reads)?,
        size: (info.width(), info.height()),
        full_range: !form.is_rgb() && colours.range() == VideoColorRange::Range0_255,
        matrix: matrix(colours.matrix(), info.height()),
        chroma: (
            beside(across, on_the_pixel(VideoChromaSite::H_COSITED, true)),
            beside(down, on_the_pixel(VideoChromaSite::V_COSITED, false)),
        ),
    })
}

/// What is said, or what is usual for pictures of this height.
fn matrix(said: VideoColorMatrix, high: u32) -> Matrix {
    match said {
        VideoColorMatrix::Bt709 => Matrix::Bt709,
        VideoColorMatrix::Fcc => Matrix::Fcc,
        VideoColorMatrix::Bt601 => Matrix::Bt601,
        VideoColorMatrix::Smpte240m => Matrix::Smpte240m,
        VideoColorMatrix::Bt2020 => Matrix::Bt2020,
        _ if high > 576 => Matrix::Bt709,
        _ => Matrix::Bt601,
    }
}

#[cfg(test)]
mod tests {
    use gst_video::{VideoColorimetry, VideoFormat};

    use super::*;

    /// A picture of one form, each component painted by a rule: of column and row, in its own samples.
    fn painted(info: &VideoInfo, paint: impl Fn(usize, u32, u32) -> u32) -> gst::Buffer {
        // Not one byte more than needed: the machine must not read beyond it.
        let mut buffer = gst::Buffer::with_size(info.size()).unwrap();
        let mut frame = VideoFrameRef::from_buffer_ref_writable(buffer.get_mut().unwrap(), info).unwrap();
        let form = info.format_info();
        for component in 0..form.n_components() as usize {
            let plane = form.plane()[component];
            let stride = usize::try_from(frame.plane_stride()[plane as usize]).unwrap();
            let step = usize::try_from(form.pixel_stride()[component]).unwrap();
            let wide = form.depth()[component] + form.shift()[component] > 8;
            // Of P010 it is told in samples.
            let first = (form.poffset()[component] as usize).next_multiple_of(if wide { 2 } else { 1 });
            let index = u8::try_from(component).unwrap();
            let (across, down) = (info.comp_width(index), info.comp_height(index));
            let rows = frame.plane_data_mut(plane).unwrap();
            for y in 0..down {
                for x in 0..across {
                    let value = paint(component, x, y) << form.shift()[component];
                    let at = y as usize * stride + x as usize * step + first;
                    rows[at] = value.to_le_bytes()[0];
                    if wide {
                        rows[at + 1] = value.to_le_bytes()[1];
                    }
                }
            }
        }
        drop(frame);
        buffer
    }

    /// One sample of a frame.
    fn sample(buffer: &gst::Buffer, info: &VideoInfo, component: usize, x: usize, y: usize) -> u32 {
        let frame = VideoFrameRef::from_buffer_ref_readable(buffer, info).unwrap();
        let form = info.format_info();
        let plane = form.plane()[component];
        let stride = usize::try_from(frame.plane_stride()[plane as usize]).unwrap();
        let step = usize::try_from(form.pixel_stride()[component]).unwrap();
        let at = y * stride + x * step + form.poffset()[component] as usize;
        let data = frame.plane_data(plane).unwrap();
        let wide = form.depth()[component] + form.shift()[component] > 8;
        let high = if wide { u32::from(data[at + 1]) << 8 } else { 0 };
        (high | u32::from(data[at])) >> form.shift()[component]
    }

    fn info(format: VideoFormat, size: (u32, u32), colours: &str, site: &str) -> VideoInfo {
        gst::init().unwrap();
        let mut caps = gst::Caps::builder("video/x-raw")
            .field("format", format.to_str())
            .field("width", i32::try_from(size.0).unwrap())
            .field("height", i32::try_from(size.1).unwrap())
            .field("framerate", gst::Fraction::new(25, 1))
            .field("colorimetry", colours);
        if !site.is_empty() {
            caps = caps.field("chroma-site", site);
        }
        VideoInfo::from_caps(&caps.build()).unwrap()
    }

    fn turned(draw: Draw, from: &VideoInfo, picture: &gst::Buffer, to: &VideoInfo) -> gst::Buffer {
        let mut machine =
            Machine::new(draw, from, to).unwrap_or_else(|| panic!("{:?} to {:?}", from.format(), to.format()));
        let mut out = gst::Buffer::with_size(to.size()).unwrap();
        let picture = VideoFrameRef::from_buffer_ref_readable(picture, from).unwrap();
        let mut frame = VideoFrameRef::from_buffer_ref_writable(out.get_mut().unwrap(), to).unwrap();
        assert!(machine.turn(&picture, &mut frame));
        drop(frame);
        out
    }

    #[test]
    fn every_form_keeps_its_colour() {
        for format in frame::entering() {
            for colours in ["bt709", "bt601", "1:3:0:0"] {
                let form = VideoFormatInfo::from_format(format);
                let colours = if form.is_rgb() { "sRGB" } else { colours };
                let from = info(format, (62, 38), colours, "");
                let flat = |component: usize, _, _| {
                    let value = [90, 170, 60, 255][component];
                    let depth = form.depth()[component];
                    if depth > 8 {
                        value << (depth - 8)
                    } else {
                        value >> (8 - depth)
                    }
                };
                let picture = painted(&from, flat);
                let like = if form.is_rgb() {
                    "bt709".to_owned()
                } else {
                    from.colorimetry().to_string()
                };
                for to in [VideoFormat::I420, VideoFormat::I42010le] {
                    let to = info(to, (30, 18), &like, "");
                    let frame = turned(Draw::Whole, &from, &picture, &to);
                    let unit = if to.format() == VideoFormat::I420 { 1 } else { 4 };
                    let wanted = if form.is_gray() { [90, 128, 128] } else { [90, 170, 60] };
                    // What RGB becomes is tried below.
                    for component in (0..3).filter(|_| !form.is_rgb()) {
                        let found = sample(&frame, &to, component, 7, 4);
                        assert!(
                            found.abs_diff(wanted[component] * unit) <= 2 * unit,
                            "{format:?} {colours} component {component}: {found}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn red_is_red_by_either_matrix_and_range() {
        // (matrix and range, brightness and both colours of red)
        for (colours, red) in [
            ("bt709", [63, 102, 240]),
            ("bt601", [81, 90, 240]),
            ("1:3:0:0", [54, 99, 255]),
            ("1:4:0:0", [76, 85, 255]),
        ] {
            let rgb = info(VideoFormat::Rgb, (64, 64), "sRGB", "");
            let yuv = info(VideoFormat::Y444, (32, 32), colours, "");
            let flat = painted(&rgb, |component, _, _| [255, 0, 0][component]);
            let made = turned(Draw::Whole, &rgb, &flat, &yuv);
            for (component, value) in red.into_iter().enumerate() {
                let found = sample(&made, &yuv, component, 9, 9);
                assert!(found.abs_diff(value) <= 2, "{colours} {component}: {found}");
            }
            let yuv = info(VideoFormat::I420, (64, 64), colours, "");
            let small = info(VideoFormat::Rgb, (32, 32), "sRGB", "");
            let flat = painted(&yuv, |component, _, _| red[component]);
            let made = turned(Draw::Whole, &yuv, &flat, &small);
            for (component, value) in [255, 0, 0].into_iter().enumerate() {
                let found = sample(&made, &small, component, 9, 9);
                assert!(found.abs_diff(value) <= 3, "{colours} back {component}: {found}");
            }
        }
    }

    #[test]
    fn colour_stays_where_it_was_sampled() {
        // A ramp over the samples of colour; a frame of an eighth. Sampled on the left pixel of two, the first sample of
        // the frame lies 3.5 pixels into the picture; sampled between them, 7.5 less the half of one.
        for (site, first) in [("mpeg2", 1.75), ("jpeg", 3.5)] {
            let from = info(VideoFormat::I420, (128, 128), "bt709", site);
            let to = info(VideoFormat::I420, (16, 16), "bt709", site);
            let ramp = painted(&from, |component, x, _| if component == 1 { 40 + 2 * x } else { 128 });
            let frame = turned(Draw::Whole, &from, &ramp, &to);
            for at in 2..6 {
                let wanted = 40.0 + 2.0 * (8.0 * at as f64 + first);
                let found = f64::from(sample(&frame, &to, 1, at, 3));
                assert!((found - wanted).abs() <= 1.0, "{site} {at}: {found}, not {wanted}");
            }
        }
    }

    #[test]
    fn borders_are_black_and_backgrounds_are_dim_copies() {
        for format in [
            VideoFormat::I420,
            VideoFormat::I42010le,
            VideoFormat::Nv12,
            VideoFormat::Rgb,
        ] {
            let is_rgb = format == VideoFormat::Rgb;
            let colours = if is_rgb { "sRGB" } else { "bt709" };
            let unit = if format == VideoFormat::I42010le { 4 } else { 1 };
            let from = info(format, (98, 50), colours, "");
            let to = info(format, (60, 94), colours, "");
            let flat = painted(&from, |component, _, _| [200, 90, 140][component] * unit);
            let black = if is_rgb { [0, 0, 0] } else { [16, 128, 128] };
            let colour = |frame: &gst::Buffer, part: usize| {
                // Above, in the middle, below.
                [2, 23, 45].map(|row| {
                    let lines = if part == 0 || is_rgb { row * 2 } else { row };
                    sample(frame, &to, part, 12, lines)
                })
            };
            let bordered = turned(Draw::Borders, &from, &flat, &to);
            let blurred = turned(Draw::Blurred, &from, &flat, &to);
            for part in 0..3 {
                let own = [200, 90, 140][part] * unit;
                let [above, middle, below] = colour(&bordered, part);
                assert_eq!(
                    (above, below),
                    (black[part] * unit, black[part] * unit),
                    "{format:?} {part}"
                );
                assert!(middle.abs_diff(own) <= 2 * unit, "{format:?} {part}: {middle}");
                let [above, middle, below] = colour(&blurred, part);
                assert!(middle.abs_diff(own) <= 2 * unit, "{format:?} {part}: {middle}");
                for dim in [above, below] {
                    let between = if own > black[part] * unit {
                        black[part] * unit < dim && dim < own
                    } else {
                        own < dim && dim < black[part] * unit
                    };
                    assert!(between, "{format:?} {part}: {dim}");
                }
            }
        }
    }

    #[test]
    fn odd_pictures_are_read_to_their_last_row_and_no_further() {
        for format in [
            VideoFormat::I420,
            VideoFormat::Y42b,
            VideoFormat::Rgb,
            VideoFormat::Gray8,
        ] {
            let colours = if format == VideoFormat::Rgb { "sRGB" } else { "bt709" };
            for size in [(853, 481), (17, 3), (1, 1), (2, 65)] {
                let from = info(format, size, colours, "");
                let to = info(VideoFormat::I420, (34, 22), "bt709", "");
                let flat = painted(&from, |_, _, _| 128);
                for draw in [Draw::Whole, Draw::Crop, Draw::Borders, Draw::Blurred] {
                    let frame = turned(draw, &from, &flat, &to);
                    let found = sample(&frame, &to, 1, 8, 5);
                    assert!(found.abs_diff(128) <= 2, "{format:?} {size:?} {draw:?}: {found}");
                }
            }
        }
    }

    #[test]
    fn what_is_not_said_is_as_usual() {
        assert_eq!(matrix(VideoColorMatrix::Unknown, 1080), Matrix::Bt709);
        assert_eq!(matrix(VideoColorMatrix::Unknown, 576), Matrix::Bt601);
        let hdr: VideoColorimetry = "bt2020".parse().unwrap();
        assert_eq!(matrix(hdr.matrix(), 480), Matrix::Bt2020);
    }
}
