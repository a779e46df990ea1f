//! Keeps peaks below a ceiling by turning the sound down for a moment before they come and up again after.
//!
//! Sound is taken in blocks of five milliseconds. Each says by how much it must be turned down at least; [`Curve`] makes of
//! that a line without jumps, which no block lies above. [`Limiter`] lets sound follow the line. What the line does to
//! loudness can be worked out from the peaks and energies of blocks alone, without the sound: see
//! [`Blocks`](super::loudness::Blocks).

use std::collections::VecDeque;

use ebur128::{EbuR128, Mode};

use super::loudness::BLOCKS_A_SECOND;

/// So many blocks before a peak the sound begins to be turned down.
const AHEAD: usize = 4;
/// How fast, in dB a block, as far as the peak allows.
const DOWN: f32 = 1.5;
/// How fast it is turned up again, in dB a block.
const UP: f32 = 0.2;

/// A ratio of amplitudes in dB.
pub fn decibels(ratio: f32) -> f32 {
    20.0 * ratio.max(1e-9).log10()
}

/// The other way round.
pub fn ratio(decibels: f32) -> f32 {
    10_f32.powf(decibels / 20.0)
}

/// From what blocks allow at most, in dB, to a line at their borders.
#[derive(Debug, Default)]
pub struct Curve {
    /// What each border allows, from the next on that has no place yet.
    borders: VecDeque<f32>,
    /// What the block before allows.
    before: Option<f32>,
    /// The line at the last border that has a place.
    last: Option<f32>,
}

impl Curve {
    /// Takes what the next block allows; answers where the line begins and ends for an earlier one, as soon as that is
    /// certain: one answer for each block.
    pub fn push(&mut self, allowed: f32) -> Option<(f32, f32)> {
        let allowed = allowed.min(0.0);
        self.borders.push_back(self.before.unwrap_or(allowed).min(allowed));
        self.before = Some(allowed);
        if self.borders.len() <= AHEAD {
            return None;
        }
        let mut level = f32::INFINITY;
        let mut slope = 0.0;
        for border in &self.borders {
            level = level.min(border + slope);
            slope += DOWN;
        }
        self.borders.pop_front();
        if let Some(last) = self.last {
            level = level.min(last + UP);
        }
        let last = self.last.replace(level);
        last.map(|last| (last, level))
    }

    /// The sound is over; answers the rest, one for each block that has none yet.
    pub fn finish(&mut self) -> Vec<(f32, f32)> {
        if self.before.is_none() {
            return Vec::new();
        }
        let rest = (0..=AHEAD).filter_map(|_| self.push(0.0)).collect();
        *self = Self::default();
        rest
    }
}

/// A block of sound that waits for its place on the line.
struct Block {
    samples: Vec<f32>,
}

/// Turns sound up by a fixed gain and keeps its peaks below a ceiling. As many samples come out as went in.
pub struct Limiter {
    channels: usize,
    /// Samples of a whole block, of all channels.
    size: usize,
    /// In dB.
    gain: f32,
    ceiling: f32,
    meter: EbuR128,
    curve: Curve,
    /// What does not fill a block yet.
    rest: Vec<f32>,
    /// The highest peak of the last block, before the gain.
    peak: Option<f32>,
    waiting: VecDeque<Block>,
}

impl Limiter {
    /// For sound of this form; gain and ceiling in dB.
    ///
    /// # Errors
    /// Where nobody can hear such sound.
    pub fn new(channels: u32, rate: u32, gain: f32, ceiling: f32) -> Result<Self, ebur128::Error> {
        Ok(Self {
            channels: channels as usize,
            size: (rate / BLOCKS_A_SECOND).max(1) as usize * channels as usize,
            gain,
            ceiling,
            meter: EbuR128::new(channels, rate, Mode::TRUE_PEAK)?,
            curve: Curve::default(),
            rest: Vec::new(),
            peak: None,
            waiting: VecDeque::new(),
        })
    }

    /// Takes samples; adds to `out` those that are finished.
    pub fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) {
        self.rest.extend_from_slice(samples);
        let mut rest = std::mem::take(&mut self.rest);
        let mut blocks = rest.chunks_exact(self.size);
        for block in &mut blocks {
            self.take(block, out);
        }
        let left = rest.len() - blocks.remainder().len();
        rest.drain(..left);
        self.rest = rest;
    }

    fn take(&mut self, block: &[f32], out: &mut Vec<f32>) {
        let peak = peak(&mut self.meter, self.channels, block);
        self.waiting.push_back(Block {
            samples: block.to_vec(),
        });
        // What lies between the last samples of a block shows only when the next has come.
        if let Some(before) = self.peak.replace(peak) {
            let allowed = self.allowed(before.max(peak));
            if let Some(line) = self.curve.push(allowed) {
                self.release(line, out);
            }
        }
    }

    fn allowed(&self, peak: f32) -> f32 {
        self.ceiling - self.gain - decibels(peak)
    }

    fn release(&mut self, (from, to): (f32, f32), out: &mut Vec<f32>) {
        let Some(block) = self.waiting.pop_front() else {
            return;
        };
        let (from, to) = (ratio(from + self.gain), ratio(to + self.gain));
        let frames = block.samples.chunks_exact(self.channels);
        let step = (to - from) / frames.len() as f32;
        let mut level = from;
        for frame in frames {
            out.extend(frame.iter().map(|sample| sample * level));
            level += step;
        }
    }

    /// The sound is over, or goes on elsewhere; adds the rest to `out`.
    pub fn finish(&mut self, out: &mut Vec<f32>) {
        let rest = std::mem::take(&mut self.rest);
        if !rest.is_empty() {
            self.take(&rest, out);
        }
        // So does what lies after the last.
        let silence = vec![0.0; self.size];
        let after = peak(&mut self.meter, self.channels, &silence);
        if let Some(before) = self.peak.take() {
            let allowed = self.allowed(before.max(after));
            let line = self.curve.push(allowed);
            let lines: Vec<_> = line.into_iter().chain(self.curve.finish()).collect();
            for line in lines {
                self.release(line, out);
            }
        }
        self.meter.reset();
    }
}

/// The highest peak of any channel in these samples, also between them.
pub fn peak(meter: &mut EbuR128, channels: usize, samples: &[f32]) -> f32 {
    if meter.add_frames_f32(samples).is_err() {
        return 0.0;
    }
    let peaks = (0..channels).filter_map(|channel| {
        let channel = u32::try_from(channel).ok()?;
        let (between, on) = (meter.prev_true_peak(channel), meter.prev_sample_peak(channel));
        Some(between.ok()?.max(on.ok()?))
    });
    #[allow(clippy::cast_possible_truncation)]
    let highest = peaks.fold(0.0, f64::max) as f32;
    highest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limited(samples: &[f32], channels: u32, gain: f32, ceiling: f32, pieces: usize) -> Vec<f32> {
        let mut limiter = Limiter::new(channels, 48_000, gain, ceiling).unwrap();
        let mut out = Vec::new();
        for piece in samples.chunks(pieces * channels as usize) {
            limiter.push(piece, &mut out);
        }
        limiter.finish(&mut out);
        out
    }

    fn true_peak(samples: &[f32], channels: u32) -> f32 {
        let mut meter = EbuR128::new(channels, 48_000, Mode::TRUE_PEAK).unwrap();
        let padded = [samples, &vec![0.0; 480 * channels as usize]].concat();
        peak(&mut meter, channels as usize, &padded)
    }

    #[test]
    fn what_stays_below_the_ceiling_is_only_turned_up() {
        let quiet: Vec<f32> = (0..10_007).map(|n| 0.1 * (n as f32 * 0.05).sin()).collect();
        let out = limited(&quiet, 1, 6.0, -1.0, 333);
        assert_eq!(out.len(), quiet.len());
        let gain = ratio(6.0);
        assert!(
            out.iter()
                .zip(&quiet)
                .all(|(out, quiet)| (out - quiet * gain).abs() < 1e-5)
        );
    }

    #[test]
    fn a_peak_between_samples_is_kept_below_the_ceiling_too() {
        // A quarter of the rate, between its extremes: the samples reach 0.707 of the wave.
        let wave: Vec<f32> = (0..48_000)
            .map(|n| (n as f32 * std::f32::consts::FRAC_PI_2 + std::f32::consts::FRAC_PI_4).sin())
            .collect();
        let out = limited(&wave, 1, 6.0, -1.0, 1024);
        let peak = decibels(true_peak(&out, 1));
        assert!((-1.6..=-0.95).contains(&peak), "{peak}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn no_sample_is_above_the_ceiling_and_none_is_lost(
            bursts in proptest::collection::vec((1_usize..3_000, 0.0_f32..1.0), 1..12),
            gain in 0.0_f32..20.0,
            pieces in 1_usize..2_000,
        ) {
            let mut samples = Vec::new();
            for (length, level) in bursts {
                for n in 0..length {
                    let x = (n as f32 * 0.31).sin() * level;
                    samples.extend([x, -x * 0.5]);
                }
            }
            let out = limited(&samples, 2, gain, -1.0, pieces);
            prop_assert_eq!(out.len(), samples.len());
            let highest = out.iter().fold(0.0_f32, |high, sample| high.max(sample.abs()));
            prop_assert!(decibels(highest) <= -1.0 + 0.01, "{}", decibels(highest));
            prop_assert_eq!(limited(&samples, 2, gain, -1.0, 1_000_000), out);
        }

        #[test]
        fn the_line_lies_on_or_below_what_blocks_allow_and_has_no_jumps(
            allowed in proptest::collection::vec(-30.0_f32..3.0, 0..60),
        ) {
            let mut curve = Curve::default();
            let mut line: Vec<_> = allowed.iter().filter_map(|one| curve.push(*one)).collect();
            line.extend(curve.finish());
            prop_assert_eq!(line.len(), allowed.len());
            for ((from, to), allowed) in line.iter().zip(&allowed) {
                prop_assert!(from.max(*to) <= allowed.min(0.0) + 1e-4);
            }
            for pair in line.windows(2) {
                prop_assert!((pair[0].1 - pair[1].0).abs() < f32::EPSILON);
            }
        }
    }
}
