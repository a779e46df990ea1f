//! Maps a high dynamic range to what every screen shows: BT.2100 (PQ or HLG) with 10 bits a sample to BT.709 with 8.
//!
//! Light above that of a white sheet of paper is rolled off as report ITU-R BT.2390 does it, on the strongest of the
//! three colours, so that hues stay; what BT.709 has no colour for loses saturation, not brightness. All of that is
//! worked out once for a lattice of colours, and frames are read off it.

use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use gst::glib;
use gst::subclass::prelude::*;

use crate::plan::HdrForm;

/// White of a sheet of paper in candela a square metre (report ITU-R BT.2408): the brightest that is left.
const WHITE: f64 = 203.0;

/// The brightest light of a film that does not say.
const USUAL_PEAK: u32 = 1000;

/// Nodes of the lattice: of brightness, and of each difference of colour.
const LUMA_NODES: usize = 65;
const CHROMA_NODES: usize = 33;

/// Steps of a result of 8 bits.
const FINE: f64 = 128.0;

/// Thresholds that hide the steps of 8 bits.
const DITHER: [[u32; 4]; 4] = [
    [4, 68, 20, 84],
    [100, 36, 116, 52],
    [28, 92, 12, 76],
    [124, 60, 108, 44],
];

/// From light in candela a square metre to a signal of PQ, both from 0 up; a signal of 1 are 10,000.
fn to_pq(light: f64) -> f64 {
    let part = (light / 10_000.0).max(0.0).powf(2610.0 / 16_384.0);
    ((0.835_937_5 + 18.851_562_5 * part) / (1.0 + 18.687_5 * part)).powf(78.843_75)
}

/// The other way.
fn from_pq(signal: f64) -> f64 {
    let part = signal.clamp(0.0, 1.0).powf(1.0 / 78.843_75);
    let light = (part - 0.835_937_5).max(0.0) / (18.851_562_5 - 18.687_5 * part);
    light.powf(16_384.0 / 2610.0) * 10_000.0
}

/// From a signal of HLG to light of the scene, 1 the brightest.
fn from_hlg(signal: f64) -> f64 {
    const A: f64 = 0.178_832_77;
    let signal = signal.clamp(0.0, 1.0);
    if signal <= 0.5 {
        signal * signal / 3.0
    } else {
        let b = 1.0 - 4.0 * A;
        let c = 0.5 - A * (4.0 * A).ln();
        (((signal - c) / A).exp() + b) / 12.0
    }
}

/// How bright light of a film with this peak is to be.
fn roll_off(light: f64, peak: f64) -> f64 {
    let brightest = to_pq(peak);
    let most = to_pq(WHITE) / brightest;
    if most >= 1.0 {
        return light.min(WHITE);
    }
    let knee = 1.5 * most - 0.5;
    let from = (to_pq(light) / brightest).min(1.0);
    if from <= knee {
        return light;
    }
    let t = (from - knee) / (1.0 - knee);
    let (square, cube) = (t * t, t * t * t);
    let to = (2.0 * cube - 3.0 * square + 1.0) * knee
        + (cube - 2.0 * square + t) * (1.0 - knee)
        + (3.0 * square - 2.0 * cube) * most;
    from_pq(to * brightest)
}

/// A colour of a film in 10 bits, as a colour of BT.709 in 8, both of the narrow range.
fn map(form: HdrForm, peak: f64, [y, cb, cr]: [f64; 3]) -> [f64; 3] {
    let luma = (y - 64.0) / 876.0;
    let (blue, red) = ((cb - 512.0) / 896.0, (cr - 512.0) / 896.0);
    let r = luma + 1.4746 * red;
    let b = luma + 1.8814 * blue;
    let g = (luma - 0.2627 * r - 0.0593 * b) / 0.6780;
    let light = if form == HdrForm::Hlg {
        let scene = [r, g, b].map(from_hlg);
        let bright = 0.2627 * scene[0] + 0.6780 * scene[1] + 0.0593 * scene[2];
        let gain = f64::from(USUAL_PEAK) * bright.max(1e-9).powf(0.2);
        scene.map(|light| light * gain)
    } else {
        [r, g, b].map(from_pq)
    };
    let [r, g, b] = light;
    let narrow = [
        1.660_491 * r - 0.587_641 * g - 0.072_850 * b,
        -0.124_550 * r + 1.132_900 * g - 0.008_349 * b,
        -0.018_151 * r - 0.100_579 * g + 1.118_730 * b,
    ];
    // What BT.709 cannot mix is mixed with grey of its own brightness until it can.
    let grey = 0.2126 * narrow[0] + 0.7152 * narrow[1] + 0.0722 * narrow[2];
    let least = narrow[0].min(narrow[1]).min(narrow[2]);
    let saturation = if least < 0.0 { grey / (grey - least) } else { 1.0 };
    let mixed = narrow.map(|colour| grey + saturation * (colour - grey));
    let strongest = mixed[0].max(mixed[1]).max(mixed[2]);
    let gain = if strongest > 1e-6 {
        roll_off(strongest, peak) / strongest / WHITE
    } else {
        0.0
    };
    let [r, g, b] = mixed.map(|colour| (colour * gain).clamp(0.0, 1.0).powf(1.0 / 2.4));
    let luma = 0.2126 * r + 0.7152 * g + 0.0722 * b;
    [
        16.0 + 219.0 * luma,
        128.0 + 224.0 * (b - luma) / 1.8556,
        128.0 + 224.0 * (r - luma) / 1.5748,
    ]
}

/// What every colour becomes.
struct Lattice {
    /// By differences of colour, then brightness, which lies together.
    luma: Vec<u16>,
    chroma: Vec<[u16; 2]>,
}

/// The four columns of the lattice around two differences of colour, each with its weight; all weights are 1024.
type Columns = [(usize, u32); 4];

impl Lattice {
    fn of(form: HdrForm, peak: Option<u32>) -> Self {
        let peak = f64::from(peak.unwrap_or(USUAL_PEAK).clamp(400, 10_000));
        let nodes = LUMA_NODES * CHROMA_NODES * CHROMA_NODES;
        let (mut luma, mut chroma) = (Vec::with_capacity(nodes), Vec::with_capacity(nodes));
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let fixed = |value: f64| (value.clamp(0.0, 255.0) * FINE).round() as u16;
        for cb in 0..CHROMA_NODES {
            for cr in 0..CHROMA_NODES {
                for y in 0..LUMA_NODES {
                    let colour = [(y << 4) as f64, (cb << 5) as f64, (cr << 5) as f64];
                    let [y, cb, cr] = map(form, peak, colour);
                    luma.push(fixed(y));
                    chroma.push([fixed(cb), fixed(cr)]);
                }
            }
        }
        Self { luma, chroma }
    }

    fn columns(cb: u16, cr: u16) -> Columns {
        let split = |value: u16| (usize::from(value.min(1023) >> 5), u32::from(value & 31));
        let ((cb, b), (cr, r)) = (split(cb), split(cr));
        let at = (cb * CHROMA_NODES + cr) * LUMA_NODES;
        let next = CHROMA_NODES * LUMA_NODES;
        [
            (at, (32 - b) * (32 - r)),
            (at + LUMA_NODES, (32 - b) * r),
            (at + next, b * (32 - r)),
            (at + next + LUMA_NODES, b * r),
        ]
    }

    /// A weighted mean of the lattice: 128 steps for one of the result.
    fn mean(columns: &Columns, y: u16, value: impl Fn(usize) -> u16) -> u32 {
        let (node, far) = (usize::from(y.min(1023) >> 4), u32::from(y & 15));
        let sum: u32 = columns
            .iter()
            .map(|(at, weight)| {
                let (low, high) = (value(at + node), value(at + node + 1));
                weight * (u32::from(low) * (16 - far) + u32::from(high) * far)
            })
            .sum();
        sum >> 14
    }

    fn luma(&self, columns: &Columns, y: u16) -> u32 {
        Self::mean(columns, y, |at| self.luma[at])
    }

    fn chroma(&self, columns: &Columns, y: u16, which: usize) -> u32 {
        Self::mean(columns, y, |at| self.chroma[at][which])
    }
}

/// A plane of a frame: its bytes, and how many make a line.
#[derive(Clone, Copy)]
struct Plane<'a> {
    bytes: &'a [u8],
    stride: usize,
}

impl Plane<'_> {
    fn sample(&self, x: usize, y: usize) -> u16 {
        let at = y * self.stride + x * 2;
        self.bytes
            .get(at..at + 2)
            .map_or(0, |two| u16::from_le_bytes([two[0], two[1]]))
    }
}

fn step(value: u32, x: usize, y: usize) -> u8 {
    u8::try_from((value + DITHER[y & 3][x & 3]) / 128).unwrap_or(u8::MAX)
}

/// Maps lines of a frame, two of brightness for each of colour, from line `first` of colour on.
fn lines(
    lattice: &Lattice,
    planes: [Plane<'_>; 3],
    first: usize,
    (width, height): (usize, usize),
    out: &mut Lines<'_>,
) {
    let [luma, blue, red] = planes;
    let wide = width.div_ceil(2);
    let count = out.blue.len() / out.strides[1].max(1);
    for line in 0..count {
        let row = first + line;
        for column in 0..wide {
            let columns = Lattice::columns(blue.sample(column, row), red.sample(column, row));
            let mut sum = 0;
            for (down, across) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                let (x, y) = (column * 2 + across, line * 2 + down);
                // The last of an odd number stands alone.
                let sample = luma.sample(x.min(width - 1), (row * 2 + down).min(height - 1));
                sum += sample;
                if let Some(to) = out.luma.get_mut(y * out.strides[0] + x).filter(|_| x < width) {
                    *to = step(lattice.luma(&columns, sample), x, y);
                }
            }
            let mean = sum / 4;
            out.blue[line * out.strides[1] + column] = step(lattice.chroma(&columns, mean, 0), column, row);
            out.red[line * out.strides[2] + column] = step(lattice.chroma(&columns, mean, 1), column, row);
        }
    }
}

/// Some lines of a frame of 8 bits.
struct Lines<'a> {
    luma: &'a mut [u8],
    blue: &'a mut [u8],
    red: &'a mut [u8],
    strides: [usize; 3],
}

/// Maps a whole frame, on so many threads.
fn frame(lattice: &Lattice, from: [Plane<'_>; 3], size: (usize, usize), to: &mut Lines<'_>, threads: usize) {
    let rows = size.1.div_ceil(2);
    let part = rows.div_ceil(threads.max(1)).max(1);
    let strides = to.strides;
    let [luma, blue, red] = strides;
    let parts = to
        .luma
        .chunks_mut(part * 2 * luma)
        .zip(to.blue.chunks_mut(part * blue))
        .zip(to.red.chunks_mut(part * red));
    std::thread::scope(|scope| {
        for (number, ((luma, blue), red)) in parts.enumerate() {
            let mut out = Lines {
                luma,
                blue,
                red,
                strides,
            };
            let mut work = move || lines(lattice, from, number * part, size, &mut out);
            // The last part, or the only one, is for this thread.
            if (number + 1) * part >= rows {
                work();
            } else {
                scope.spawn(work);
            }
        }
    });
}

mod imp {
    use gst_base::subclass::BaseTransformMode;
    use gst_base::subclass::prelude::*;
    use gst_video::prelude::*;
    use gst_video::subclass::prelude::*;

    use crate::media::own;

    use super::{Arc, Lattice, LazyLock, Lines, Mutex, Plane, PoisonError, frame, glib};

    /// How frames come in, and how they go out.
    const FORMATS: [&str; 2] = ["I420_10LE", "I420"];

    #[derive(Default)]
    pub struct Tone {
        pub(super) lattice: Mutex<Option<(Arc<Lattice>, usize)>>,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for Tone {
        const NAME: &'static str = "ReelmillTone";
        type Type = super::Tone;
        type ParentType = gst_video::VideoFilter;
    }

    impl ObjectImpl for Tone {}

    impl GstObjectImpl for Tone {}

    impl ElementImpl for Tone {
        fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
            static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
                own::about(
                    "Reelmill tones",
                    "Filter/Converter/Video",
                    "Maps a high dynamic range to a usual one",
                )
            });
            Some(&METADATA)
        }

        fn pad_templates() -> &'static [gst::PadTemplate] {
            static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
                let [takes, gives] =
                    FORMATS.map(|format| gst::Caps::builder("video/x-raw").field("format", format).build());
                own::pads(&takes, &gives)
            });
            TEMPLATES.as_ref()
        }
    }

    impl BaseTransformImpl for Tone {
        const MODE: BaseTransformMode = BaseTransformMode::NeverInPlace;
        const PASSTHROUGH_ON_SAME_CAPS: bool = false;
        const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

        fn transform_caps(
            &self,
            direction: gst::PadDirection,
            caps: &gst::Caps,
            filter: Option<&gst::Caps>,
        ) -> Option<gst::Caps> {
            let mut other = caps.clone();
            let inwards = direction == gst::PadDirection::Src;
            for fields in other.make_mut().iter_mut() {
                for field in [
                    "colorimetry",
                    "chroma-site",
                    "mastering-display-info",
                    "content-light-level",
                ] {
                    fields.remove_field(field);
                }
                fields.set("format", FORMATS[usize::from(!inwards)]);
                if !inwards {
                    fields.set("colorimetry", "bt709");
                }
            }
            Some(match filter {
                Some(filter) => filter.intersect_with_mode(&other, gst::CapsIntersectMode::First),
                None => other,
            })
        }
    }

    impl VideoFilterImpl for Tone {
        fn transform_frame(
            &self,
            from: &gst_video::VideoFrameRef<&gst::BufferRef>,
            to: &mut gst_video::VideoFrameRef<&mut gst::BufferRef>,
        ) -> Result<gst::FlowSuccess, gst::FlowError> {
            let kept = self.lattice.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let (lattice, threads) = kept.ok_or(gst::FlowError::NotNegotiated)?;
            let plane = |number: u32| {
                let bytes = from.plane_data(number).map_err(|_| gst::FlowError::Error)?;
                let stride = from.plane_stride().get(number as usize).copied().unwrap_or(0);
                let stride = usize::try_from(stride).map_err(|_| gst::FlowError::Error)?;
                Ok::<_, gst::FlowError>(Plane { bytes, stride })
            };
            let planes = [plane(0)?, plane(1)?, plane(2)?];
            let size = (from.width() as usize, from.height() as usize);
            let strides = [0, 1, 2].map(|number| to.plane_stride().get(number).copied().unwrap_or(0));
            let strides = strides.map(|stride| usize::try_from(stride).unwrap_or(0));
            let [luma, blue, red, _] = to.planes_data_mut();
            if strides.contains(&0) {
                return Err(gst::FlowError::Error);
            }
            let mut lines = Lines {
                luma,
                blue,
                red,
                strides,
            };
            frame(&lattice, planes, size, &mut lines, threads);
            Ok(gst::FlowSuccess::Ok)
        }
    }
}

glib::wrapper! {
    /// The element.
    pub struct Tone(ObjectSubclass<imp::Tone>)
        @extends gst_video::VideoFilter, gst_base::BaseTransform, gst::Element, gst::Object;
}

impl Tone {
    /// An element that maps frames of this form, made for light up to this peak, on so many threads.
    pub fn new(form: HdrForm, peak: Option<u32>, threads: usize) -> Self {
        let element: Self = glib::Object::new();
        let lattice = Arc::new(Lattice::of(form, peak));
        *element.imp().lattice.lock().unwrap_or_else(PoisonError::into_inner) = Some((lattice, threads));
        element
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey(form: HdrForm, peak: f64, signal: f64) -> f64 {
        let mapped = map(form, peak, [64.0 + 876.0 * signal, 512.0, 512.0]);
        assert!(
            (mapped[1] - 128.0).abs() < 0.1 && (mapped[2] - 128.0).abs() < 0.1,
            "{mapped:?}"
        );
        (mapped[0] - 16.0) / 219.0
    }

    #[test]
    fn black_stays_black_and_the_brightest_is_white() {
        for form in [HdrForm::Pq, HdrForm::Hlg] {
            let brightest = if form == HdrForm::Pq { to_pq(1000.0) } else { 1.0 };
            assert!(grey(form, 1000.0, 0.0).abs() < 0.002);
            assert!((grey(form, 1000.0, brightest) - 1.0).abs() < 0.005);
            let rises: Vec<f64> = (0..50).map(|step| grey(form, 1000.0, f64::from(step) / 50.0)).collect();
            assert!(rises.windows(2).all(|pair| pair[0] <= pair[1] + 1e-9), "{rises:?}");
        }
    }

    #[test]
    fn faces_and_paper_are_as_bright_as_people_expect() {
        // BT.2408: a face reflects about a quarter to a half of what paper does.
        let face = grey(HdrForm::Pq, 1000.0, to_pq(60.0));
        assert!((0.5..0.7).contains(&face), "{face}");
        let paper = grey(HdrForm::Pq, 1000.0, to_pq(WHITE));
        assert!((0.8..0.97).contains(&paper), "{paper}");
        // Three quarters of the signal are paper in HLG.
        let same = grey(HdrForm::Hlg, 1000.0, 0.75);
        assert!((same - paper).abs() < 0.02, "{same} {paper}");
    }

    #[test]
    fn a_pure_colour_stays_pure_however_bright_it_is() {
        // The red of BT.709 in BT.2020, up to a thousand candela.
        for light in [50.0, 203.0, 1000.0] {
            let [r, g, b] = [0.627_404, 0.069_097, 0.016_391].map(|part| to_pq(part * light));
            let luma = 0.2627 * r + 0.6780 * g + 0.0593 * b;
            let film = [
                luma * 876.0 + 64.0,
                (b - luma) / 1.8814 * 896.0 + 512.0,
                (r - luma) / 1.4746 * 896.0 + 512.0,
            ];
            let [y, cb, cr] = map(HdrForm::Pq, 1000.0, film);
            let (y, cb, cr) = ((y - 16.0) / 219.0, (cb - 128.0) / 224.0, (cr - 128.0) / 224.0);
            let red = y + 1.5748 * cr;
            let green = y - 0.1873 * cb - 0.4681 * cr;
            assert!(red > 0.4 && green < red / 10.0, "{light}: {red} {green}");
        }
    }

    #[test]
    fn light_goes_there_and_back() {
        for light in [0.0, 0.1, 1.0, 100.0, 203.0, 1000.0, 10_000.0] {
            assert!((from_pq(to_pq(light)) - light).abs() < light * 1e-6 + 1e-5, "{light}");
        }
    }

    #[test]
    fn the_lattice_is_near_what_it_stands_for() {
        let lattice = Lattice::of(HdrForm::Pq, None);
        // What is darker has colours here that no film has.
        let worst = |colours: &[(u16, u16)]| {
            let mut worst = 0.0_f64;
            for y in (250..800_u16).step_by(7) {
                for (cb, cr) in colours {
                    let exact = map(HdrForm::Pq, 1000.0, [y, *cb, *cr].map(f64::from));
                    let columns = Lattice::columns(*cb, *cr);
                    let near = f64::from(lattice.luma(&columns, y)) / FINE;
                    worst = worst.max((near - exact[0]).abs());
                }
            }
            worst
        };
        assert!(worst(&[(512, 512)]) < 0.5, "grey: {}", worst(&[(512, 512)]));
        // At the edge of what the screen can show the curve has a kink, and the lattice cuts the corner: by less than 2 %.
        let colours = [(530, 500), (480, 540), (505, 560)];
        assert!(worst(&colours) < 5.0, "colours: {}", worst(&colours));
    }
}
