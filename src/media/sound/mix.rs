//! From the speakers of the source to those of the result.
//!
//! Fewer speakers are reached as ITU-R BS.775 has it: the centre and the surrounds go into the front at -3 dB, and the low
//! frequency effects are left out. Nothing is made quieter to make room for the sum, so that speech stays as loud as it was;
//! what follows must limit peaks.

use gst_audio::AudioChannelPosition as Speaker;

/// -3 dB.
const HALF_POWER: f32 = std::f32::consts::FRAC_1_SQRT_2;

/// How much of each channel of the source goes into each of the result.
#[derive(Debug, Clone, PartialEq)]
pub struct Mix {
    from: usize,
    to: usize,
    /// One row for each channel of the result.
    rows: Vec<f32>,
}

impl Mix {
    /// From these speakers to so many channels.
    pub fn new(from: &[Speaker], channels: usize) -> Self {
        let to = speakers(channels);
        // Mono is the mean of what stereo would be.
        let (heard, share): (&[Speaker], f32) = match channels {
            1 => (&STEREO, 0.5),
            _ => (&to, 1.0),
        };
        let mut rows = vec![0.0; from.len() * channels];
        for (at, speaker) in from.iter().enumerate() {
            if let ([Speaker::FrontCenter | Speaker::Mono], 1) = (from, channels) {
                rows[at] = 1.0;
                continue;
            }
            for (target, gain) in spread(*speaker, heard, from) {
                let row = heard.iter().position(|one| *one == target).unwrap_or(0);
                let row = if channels == 1 { 0 } else { row };
                rows[row * from.len() + at] += gain * share;
            }
        }
        Self {
            from: from.len(),
            to: channels,
            rows,
        }
    }

    /// Mixes interleaved samples; answers how many frames came in.
    pub fn apply(&self, samples: &[f32], into: &mut Vec<f32>) -> usize {
        let frames = samples.chunks_exact(self.from.max(1));
        let count = frames.len();
        into.reserve(count * self.to);
        for frame in frames {
            for row in self.rows.chunks_exact(self.from.max(1)) {
                into.push(row.iter().zip(frame).map(|(gain, sample)| gain * sample).sum());
            }
        }
        count
    }
}

const STEREO: [Speaker; 2] = [Speaker::FrontLeft, Speaker::FrontRight];

/// The speakers of so many channels, in GStreamer's order.
pub fn speakers(channels: usize) -> Vec<Speaker> {
    let front = [
        Speaker::FrontLeft,
        Speaker::FrontRight,
        Speaker::FrontCenter,
        Speaker::Lfe1,
    ];
    let rear = [Speaker::RearLeft, Speaker::RearRight];
    let side = [Speaker::SideLeft, Speaker::SideRight];
    if channels == 1 {
        return vec![Speaker::Mono];
    }
    front.into_iter().chain(rear).chain(side).take(channels).collect()
}

/// The channel mask of so many channels; one and two need none.
pub fn mask(channels: u32) -> Option<u64> {
    match channels {
        6 => Some(0x3f),
        8 => Some(0xc3f),
        _ => None,
    }
}

/// The speakers of decoded sound. Where nobody says, they are the usual ones of so many.
pub fn heard(sound: &gst_audio::AudioInfo) -> Vec<Speaker> {
    let said = sound.positions().unwrap_or_default();
    let channels = sound.channels() as usize;
    let placed = |one: &Speaker| !matches!(one, Speaker::None | Speaker::Invalid);
    if channels == 1 {
        return vec![Speaker::Mono];
    }
    if said.len() == channels && said.iter().all(placed) {
        return said.to_vec();
    }
    let usual = [
        Speaker::FrontLeft,
        Speaker::FrontRight,
        Speaker::FrontCenter,
        Speaker::Lfe1,
        Speaker::RearLeft,
        Speaker::RearRight,
        Speaker::SideLeft,
        Speaker::SideRight,
    ];
    let without = |left_out: &[usize]| -> Vec<Speaker> {
        let kept = usual.iter().enumerate().filter(|(at, _)| !left_out.contains(at));
        kept.map(|(_, one)| *one).collect()
    };
    match channels {
        4 => without(&[2, 3, 6, 7]),
        5 => without(&[3, 6, 7]),
        count => (0..count).map(|at| usual[at % usual.len()]).collect(),
    }
}

/// Where the sound of one speaker goes, and how loud.
fn spread(speaker: Speaker, to: &[Speaker], from: &[Speaker]) -> Vec<(Speaker, f32)> {
    use Speaker::{
        BottomFrontLeft, BottomFrontRight, FrontCenter, FrontLeft, FrontLeftOfCenter, FrontRight, FrontRightOfCenter,
        Lfe1, Lfe2, Mono, RearCenter, RearLeft, RearRight, SideLeft, SideRight, SurroundLeft, SurroundRight,
        TopFrontLeft, TopFrontRight, TopRearLeft, TopRearRight, TopSideLeft, TopSideRight, WideLeft, WideRight,
    };
    if to.contains(&speaker) {
        return vec![(speaker, 1.0)];
    }
    // What the source has there already is not drowned.
    let beside = |pair: Speaker| if from.contains(&pair) { HALF_POWER } else { 1.0 };
    let onto: Vec<(Speaker, f32)> = match speaker {
        Lfe1 | Lfe2 => Vec::new(),
        Mono if to.contains(&FrontCenter) => vec![(FrontCenter, 1.0)],
        Mono => vec![(FrontLeft, 1.0), (FrontRight, 1.0)],
        SideLeft | SurroundLeft if to.contains(&RearLeft) => vec![(RearLeft, beside(RearLeft))],
        SideRight | SurroundRight if to.contains(&RearRight) => vec![(RearRight, beside(RearRight))],
        RearLeft if to.contains(&SideLeft) => vec![(SideLeft, beside(SideLeft))],
        RearRight if to.contains(&SideRight) => vec![(SideRight, beside(SideRight))],
        RearCenter => vec![(RearLeft, HALF_POWER), (RearRight, HALF_POWER)],
        FrontLeftOfCenter | WideLeft | TopFrontLeft | BottomFrontLeft | SideLeft | SurroundLeft | RearLeft
        | TopSideLeft => vec![(FrontLeft, HALF_POWER)],
        FrontRightOfCenter | WideRight | TopFrontRight | BottomFrontRight | SideRight | SurroundRight | RearRight
        | TopSideRight => vec![(FrontRight, HALF_POWER)],
        TopRearLeft => vec![(RearLeft, HALF_POWER)],
        TopRearRight => vec![(RearRight, HALF_POWER)],
        _ => vec![(FrontLeft, HALF_POWER), (FrontRight, HALF_POWER)],
    };
    let further = onto.into_iter().flat_map(|(target, gain)| {
        let reached = spread(target, to, from).into_iter();
        reached.map(move |(speaker, more)| (speaker, gain * more))
    });
    further.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gains(from: &[Speaker], channels: usize) -> Vec<Vec<f32>> {
        let mix = Mix::new(from, channels);
        let rounded = |gain: &f32| (gain * 1000.0).round() / 1000.0;
        let rows = mix.rows.chunks_exact(from.len());
        rows.map(|row| row.iter().map(rounded).collect()).collect()
    }

    #[test]
    fn surround_goes_into_the_front_as_the_standard_has_it() {
        let surround = speakers(6);
        assert_eq!(
            gains(&surround, 2),
            [[1.0, 0.0, 0.707, 0.0, 0.707, 0.0], [0.0, 1.0, 0.707, 0.0, 0.0, 0.707]]
        );
        assert_eq!(gains(&surround, 1), [[0.5, 0.5, 0.707, 0.0, 0.354, 0.354]]);
    }

    #[test]
    fn what_has_a_place_of_its_own_keeps_it() {
        let quad = [
            Speaker::FrontLeft,
            Speaker::FrontRight,
            Speaker::SideLeft,
            Speaker::SideRight,
        ];
        let rows = gains(&quad, 6);
        assert_eq!(rows[0], [1.0, 0.0, 0.0, 0.0]);
        assert_eq!(rows[2], [0.0; 4], "no centre");
        assert_eq!(
            rows[4],
            [0.0, 0.0, 1.0, 0.0],
            "the sides are the rear where there is no other"
        );
        for channels in [2, 6, 8] {
            let same = gains(&speakers(channels), channels);
            for (at, row) in same.iter().enumerate() {
                let expected: Vec<f32> = (0..channels).map(|of| if of == at { 1.0 } else { 0.0 }).collect();
                assert_eq!(*row, expected);
            }
        }
        assert_eq!(gains(&[Speaker::Mono], 2), [[1.0], [1.0]]);
        assert_eq!(gains(&[Speaker::Mono], 1), [[1.0]]);
        assert_eq!(gains(&STEREO, 1), [[0.5, 0.5]]);
        let seven = gains(&speakers(8), 6);
        assert_eq!(seven[4], [0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.707, 0.0]);
    }

    #[test]
    fn frames_are_mixed_one_by_one() {
        let mix = Mix::new(&STEREO, 1);
        let mut out = Vec::new();
        assert_eq!(mix.apply(&[1.0, 0.0, 0.5, 0.5, 9.0], &mut out), 2);
        assert_eq!(out, [0.5, 0.5]);
    }
}
