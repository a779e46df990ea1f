//! From the colors of drawings, which are those of screens, to those of a film.

/// How bright white paper is in films of a wide range: 203 cd/m2 of 10,000.
const PAPER: f32 = 203.0 / 10_000.0;
/// The light of a scene that HLG shows as bright.
const HLG_PAPER: f32 = 0.264_9;

/// How light is written down.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Curve {
    Screen,
    Pq,
    Hlg,
}

/// From drawings to the samples of a film.
pub struct Grade {
    kr: f32,
    kb: f32,
    curve: Curve,
    /// The film has wider primaries than screens.
    wide: bool,
}

impl Grade {
    /// For frames of this form.
    #[allow(clippy::cast_possible_truncation, reason = "weights of colors")]
    pub fn of(info: &gst_video::VideoInfo) -> Self {
        let colors = info.colorimetry();
        let (kr, kb) = colors.matrix().kr_kb().unwrap_or((0.2126, 0.0722));
        Self {
            kr: kr as f32,
            kb: kb as f32,
            curve: match colors.transfer() {
                gst_video::VideoTransferFunction::Smpte2084 => Curve::Pq,
                gst_video::VideoTransferFunction::AribStdB67 => Curve::Hlg,
                _ => Curve::Screen,
            },
            wide: colors.primaries() == gst_video::VideoColorPrimaries::Bt2020,
        }
    }

    /// Luma from 0 to 1 and two of chroma from -0.5 to 0.5, times how opaque the pixel is; and that.
    pub fn pixel(&self, pixel: &[u8]) -> [f32; 4] {
        let [red, green, blue, opaque] = [0, 1, 2, 3].map(|index| f32::from(pixel[index]) / 255.0);
        let [red, green, blue] = self.graded([red, green, blue], opaque);
        let luma = self.kr * red + (1.0 - self.kr - self.kb) * green + self.kb * blue;
        let chroma = |color: f32, weight: f32| (color - luma) / (2.0 * (1.0 - weight));
        [luma, chroma(blue, self.kb), chroma(red, self.kr), opaque]
    }

    /// Colors that are already multiplied with how opaque they are.
    fn graded(&self, colors: [f32; 3], opaque: f32) -> [f32; 3] {
        if (self.curve == Curve::Screen && !self.wide) || opaque <= 0.0 {
            return colors;
        }
        let mut light = colors.map(|color| from_screen((color / opaque).min(1.0)));
        if self.wide {
            let [red, green, blue] = light;
            light = [
                0.6274 * red + 0.3293 * green + 0.0433 * blue,
                0.0691 * red + 0.9195 * green + 0.0114 * blue,
                0.0164 * red + 0.0880 * green + 0.8956 * blue,
            ];
        }
        light.map(|light| {
            opaque
                * match self.curve {
                    Curve::Screen => to_screen(light),
                    Curve::Pq => pq(light * PAPER),
                    Curve::Hlg => hlg(light * HLG_PAPER),
                }
        })
    }
}

fn from_screen(signal: f32) -> f32 {
    if signal <= 0.040_45 {
        signal / 12.92
    } else {
        ((signal + 0.055) / 1.055).powf(2.4)
    }
}

fn to_screen(light: f32) -> f32 {
    if light <= 0.003_130_8 {
        light * 12.92
    } else {
        1.055 * light.powf(1.0 / 2.4) - 0.055
    }
}

/// SMPTE ST 2084.
fn pq(light: f32) -> f32 {
    let power = light.max(0.0).powf(0.159_301_76);
    ((0.835_937_5 + 18.851_563 * power) / (1.0 + 18.6875 * power)).powf(78.84375)
}

/// ARIB STD-B67.
fn hlg(light: f32) -> f32 {
    if light <= 1.0 / 12.0 {
        (3.0 * light.max(0.0)).sqrt()
    } else {
        0.178_832_77 * (12.0 * light - 0.284_668_92).ln() + 0.559_910_7
    }
}
