//! The few colours that pictures can do with.
//!
//! Colours are counted, boxes of them are split where they differ most, and the means are moved to where they serve
//! best.

/// A colour.
pub type Rgb = [u8; 3];

/// Bits of a channel by which colours are counted.
const COUNTED: u32 = 6;
/// Bits of a channel by which the nearest colour is looked up.
const LOOKED_UP: u32 = 7;
/// The most colours that there are.
const MOST: usize = 256;
/// How often the means are moved.
const ROUNDS: usize = 3;

/// Counts colours.
pub struct Histogram {
    bins: Vec<Bin>,
}

#[derive(Clone, Copy, Default)]
struct Bin {
    count: u64,
    sums: [u64; 3],
}

/// Colours that count as one.
#[derive(Clone, Copy)]
struct Spot {
    colour: [f32; 3],
    weight: f32,
}

impl Histogram {
    /// An empty one.
    pub fn new() -> Self {
        Self {
            bins: vec![Bin::default(); 1 << (3 * COUNTED)],
        }
    }

    /// Counts the pixels of a picture, three bytes each.
    pub fn count(&mut self, picture: &[u8]) {
        for pixel in picture.chunks_exact(3) {
            let bin = &mut self.bins[index([pixel[0], pixel[1], pixel[2]], COUNTED)];
            bin.count += 1;
            for (sum, value) in bin.sums.iter_mut().zip(pixel) {
                *sum += u64::from(*value);
            }
        }
    }

    /// At most so many colours, at least one.
    pub fn palette(&self, most: usize) -> Palette {
        let mut spots: Vec<Spot> = self
            .bins
            .iter()
            .filter(|bin| bin.count > 0)
            .map(|bin| Spot {
                colour: bin.sums.map(|sum| sum as f32 / bin.count as f32),
                weight: bin.count as f32,
            })
            .collect();
        let mut means = split(&mut spots, most.max(1));
        let mut error = 0.0;
        for _ in 0..ROUNDS {
            error = settle(&spots, &mut means);
        }
        Palette::new(&means, error)
    }
}

/// The level of each value of a channel. They are narrow where it is dark: a few steps there are seen as soon as many where
/// it is light.
static LEVELS: [u8; 256] = levels();

const fn levels() -> [u8; 256] {
    let mut levels = [0; 256];
    let mut value = 0;
    while value < 256 {
        #[allow(clippy::cast_possible_truncation, reason = "127 at most")]
        let level = match value {
            ..32 => value,
            32..160 => 32 + (value - 32) / 2,
            _ => 96 + (value - 160) / 3,
        } as u8;
        levels[value] = level;
        value += 1;
    }
    levels
}

fn index(colour: Rgb, bits: u32) -> usize {
    let part = |value: u8| usize::from(LEVELS[usize::from(value)] >> (LOOKED_UP - bits));
    (part(colour[0]) << (2 * bits)) | (part(colour[1]) << bits) | part(colour[2])
}

/// A part of the spots.
struct Part {
    from: usize,
    to: usize,
    mean: [f32; 3],
    /// Along which channel they differ most, and how much, by weight.
    widest: (usize, f32),
}

impl Part {
    fn of(spots: &[Spot], from: usize, to: usize) -> Self {
        let (mut weight, mut sums, mut squares) = (0.0_f64, [0.0_f64; 3], [0.0_f64; 3]);
        for spot in &spots[from..to] {
            let own = f64::from(spot.weight);
            weight += own;
            for channel in 0..3 {
                let value = f64::from(spot.colour[channel]);
                sums[channel] += own * value;
                squares[channel] += own * value * value;
            }
        }
        let weight = weight.max(1.0);
        let mut widest = (0, 0.0_f32);
        for channel in 0..3 {
            #[allow(clippy::cast_possible_truncation, reason = "a measure")]
            let spread = (squares[channel] - sums[channel] * sums[channel] / weight) as f32;
            if spread > widest.1 {
                widest = (channel, spread);
            }
        }
        #[allow(clippy::cast_possible_truncation, reason = "channels are small")]
        let mean = sums.map(|sum| (sum / weight) as f32);
        Self { from, to, mean, widest }
    }
}

/// Splits the spots into so many parts at most; answers their means.
fn split(spots: &mut [Spot], most: usize) -> Vec<[f32; 3]> {
    let mut parts = vec![Part::of(spots, 0, spots.len())];
    while parts.len() < most {
        let wide = parts.iter().enumerate().filter(|(_, part)| part.to - part.from > 1);
        let Some((at, part)) = wide.max_by(|one, other| one.1.widest.1.total_cmp(&other.1.widest.1)) else {
            break;
        };
        if part.widest.1 <= 0.0 {
            break;
        }
        let (from, to, channel, mean) = (part.from, part.to, part.widest.0, part.mean);
        let own = &mut spots[from..to];
        own.sort_unstable_by(|one, other| one.colour[channel].total_cmp(&other.colour[channel]));
        let below = own.partition_point(|spot| spot.colour[channel] <= mean[channel]);
        let middle = from + below.clamp(1, own.len() - 1);
        parts[at] = Part::of(spots, from, middle);
        parts.push(Part::of(spots, middle, to));
    }
    parts.iter().map(|part| part.mean).collect()
}

fn distance(one: [f32; 3], other: [f32; 3]) -> f32 {
    let [red, green, blue] = [0, 1, 2].map(|channel| one[channel] - other[channel]);
    red * red + green * green + blue * blue
}

/// Moves each mean into the middle of the spots that are nearest to it; answers how far off colours are on average
/// before, in each channel.
fn settle(spots: &[Spot], means: &mut [[f32; 3]]) -> f32 {
    let mut sums = vec![([0.0_f32; 3], 0.0_f32); means.len()];
    let (mut error, mut weight) = (0.0_f64, 0.0_f64);
    for spot in spots {
        let mut best = (0, f32::MAX);
        for (at, mean) in means.iter().enumerate() {
            let far = distance(spot.colour, *mean);
            if far < best.1 {
                best = (at, far);
            }
        }
        error += f64::from(best.1 * spot.weight);
        weight += f64::from(spot.weight);
        let (sum, own) = &mut sums[best.0];
        for (sum, value) in sum.iter_mut().zip(spot.colour) {
            *sum += value * spot.weight;
        }
        *own += spot.weight;
    }
    for (mean, (sum, weight)) in means.iter_mut().zip(sums) {
        if weight > 0.0 {
            *mean = sum.map(|sum| sum / weight);
        }
    }
    #[allow(clippy::cast_possible_truncation, reason = "a measure")]
    let error = (error / weight.max(1.0) / 3.0).sqrt() as f32;
    error
}

/// Colours, and the way to the nearest of them.
pub struct Palette {
    colours: Vec<Rgb>,
    /// The channels of them, each by itself.
    channels: [[i32; MOST]; 3],
    /// How far apart they are, about.
    pub step: f32,
    /// The nearest colour by the upper bits of a colour, once it was asked for.
    nearest: Vec<Option<u8>>,
}

impl Palette {
    fn new(means: &[[f32; 3]], error: f32) -> Self {
        // Steps of this width are so far off on average.
        let step = error * 12_f32.sqrt();
        let colours: Vec<Rgb> = means.iter().map(|mean| mean.map(whole)).collect();
        let mut channels = [[0; MOST]; 3];
        for (channel, values) in channels.iter_mut().enumerate() {
            for (value, colour) in values.iter_mut().zip(&colours) {
                *value = i32::from(colour[channel]);
            }
        }
        Self {
            colours,
            channels,
            step,
            nearest: vec![None; 1 << (3 * LOOKED_UP)],
        }
    }

    /// Three bytes each.
    pub fn bytes(&self) -> Vec<u8> {
        self.colours.concat()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.colours.len()
    }

    /// Which colour is the nearest.
    pub fn nearest(&mut self, colour: Rgb) -> u8 {
        let at = index(colour, LOOKED_UP);
        if let Some(known) = self.nearest[at] {
            return known;
        }
        let [red, green, blue] = colour.map(i32::from);
        let [reds, greens, blues] = &self.channels;
        // All at once, which is faster than one by one.
        let mut far = [0; MOST];
        for (place, far) in far.iter_mut().enumerate() {
            let own = [reds[place] - red, greens[place] - green, blues[place] - blue];
            *far = own[0] * own[0] + own[1] * own[1] + own[2] * own[2];
        }
        let least = far
            .iter()
            .take(self.colours.len())
            .enumerate()
            .min_by_key(|(_, far)| **far);
        let found = least.and_then(|(at, _)| u8::try_from(at).ok()).unwrap_or(0);
        self.nearest[at] = Some(found);
        found
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to the range"
)]
fn whole(value: f32) -> u8 {
    value.round().clamp(0.0, 255.0) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_colours_are_kept_as_they_are() {
        let mut histogram = Histogram::new();
        let colours = [[0, 0, 0], [255, 255, 255], [200, 10, 20], [20, 200, 10], [12, 80, 160]];
        for (count, colour) in colours.iter().enumerate() {
            histogram.count(&colour.repeat(1 + 1000 * count));
        }
        let mut palette = histogram.palette(255);
        assert_eq!(palette.len(), colours.len());
        let bytes = palette.bytes();
        for colour in colours {
            let at = usize::from(palette.nearest(colour)) * 3;
            assert_eq!(bytes[at..at + 3], colour);
        }
        assert!(palette.step < 0.01);
    }

    #[test]
    fn levels_are_narrow_where_it_is_dark_and_all_are_used() {
        assert!(LEVELS.is_sorted());
        assert_eq!((LEVELS[0], LEVELS[31], LEVELS[255]), (0, 31, 127));
        let wide: Vec<usize> = LEVELS.chunk_by(|one, other| one == other).map(<[u8]>::len).collect();
        assert_eq!(wide.len(), 128);
        assert!(wide.iter().all(|values| (1..=3).contains(values)));
    }

    #[test]
    fn many_colours_become_as_many_as_there_may_be_none_of_them_far_off() {
        let mut histogram = Histogram::new();
        let ramp: Vec<u8> = (0..=255)
            .flat_map(|value: u8| [value, value / 2, 255 - value])
            .collect();
        histogram.count(&ramp);
        let mut palette = histogram.palette(32);
        assert_eq!(palette.len(), 32);
        let bytes = palette.bytes();
        for colour in ramp.chunks_exact(3) {
            let at = usize::from(palette.nearest([colour[0], colour[1], colour[2]])) * 3;
            for (own, wanted) in bytes[at..at + 3].iter().zip(colour) {
                assert!(own.abs_diff(*wanted) <= 10, "{own} for {wanted}");
            }
        }
    }
}
