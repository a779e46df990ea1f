//! How loud a sound is as a whole (EBU R 128), and by how much to turn it up or down to reach a target, also where its
//! peaks must be limited on the way.
//!
//! Of every five milliseconds the highest peak and the energy are kept: three megabytes an hour. That is enough to work out
//! what the limiter will do to the sound for any gain, and how loud it is then.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use ebur128::{Channel, EbuR128, Mode};
use gst_audio::AudioChannelPosition as Speaker;

use super::limit::{Curve, decibels, peak, ratio};
use super::mix::Mix;
use super::{Wanted, mix, raw};
use crate::job::Failure;
use crate::media::branch::{Branch, Ending, hang, taker};
use crate::rule::Loudness;

/// Blocks of this many a second.
pub const BLOCKS_A_SECOND: u32 = 200;
/// Blocks of the windows over which loudness is gated, 400 ms, and from one to the next, 100 ms.
const WINDOW: usize = 80;
const STEP: usize = 20;
/// Windows below this, in LUFS, are silence.
const SILENCE: f64 = -70.0;
/// As good as the target.
const CLOSE: f64 = 0.05;
/// What is further from the target is told.
pub const MISSED: f64 = 0.5;
/// Limiting may cost so many LU at most: beyond that it is better to be too quiet.
const MOST_LIMITING: f64 = 12.0;

/// Peaks and energies of a sound, block by block.
#[derive(Debug, Default, Clone)]
pub struct Blocks {
    /// In dB, also of what lies between samples.
    peaks: Vec<f32>,
    /// Mean squares, weighted as loudness is.
    energies: Vec<f32>,
}

/// What is to be done to a sound.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Level {
    /// In dB.
    pub gain: f64,
    /// How loud it is then, in LUFS.
    pub reaches: f64,
}

impl Blocks {
    /// How loud the whole is, in LUFS; none where it is silent or shorter than can be judged.
    pub fn loudness(&self) -> Option<f64> {
        integrated(&self.energies)
    }

    /// Finds the gain that brings the sound to its target; none where there is nothing to hear.
    pub fn level(&self, wanted: Loudness) -> Option<Level> {
        let natural = self.loudness()?;
        let most = wanted.target - natural + MOST_LIMITING;
        let mut gain = wanted.target - natural;
        let mut reaches = self.limited(gain, wanted.true_peak)?;
        for _ in 0..16 {
            let lacks = wanted.target - reaches;
            if lacks.abs() <= CLOSE || (gain >= most && lacks > 0.0) {
                break;
            }
            gain = (gain + lacks).min(most);
            reaches = self.limited(gain, wanted.true_peak)?;
        }
        Some(Level { gain, reaches })
    }

    /// How loud it is after this gain and the limiter.
    fn limited(&self, gain: f64, ceiling: f64) -> Option<f64> {
        #[allow(clippy::cast_possible_truncation)]
        let (gain, ceiling) = (gain as f32, ceiling as f32);
        let mut curve = Curve::default();
        let allowed = self.peaks.windows(2).map(|pair| ceiling - gain - pair[0].max(pair[1]));
        let last = self.peaks.last().map(|last| ceiling - gain - last);
        let mut line = Vec::with_capacity(self.peaks.len());
        line.extend(allowed.chain(last).filter_map(|allowed| curve.push(allowed)));
        line.extend(curve.finish());
        let energies: Vec<f32> = line
            .iter()
            .zip(&self.energies)
            .map(|((from, to), energy)| {
                let (from, to) = (ratio(gain + from), ratio(gain + to));
                energy * (from * from + from * to + to * to) / 3.0
            })
            .collect();
        integrated(&energies)
    }
}

/// Loudness of these blocks, gated twice as ITU-R BS.1770 has it.
fn integrated(energies: &[f32]) -> Option<f64> {
    let windows = || {
        energies
            .windows(WINDOW)
            .step_by(STEP)
            .map(|window| window.iter().map(|energy| f64::from(*energy)).sum::<f64>() / WINDOW as f64)
    };
    let above = |gate: f64| {
        let (mut sum, mut count) = (0.0, 0_u32);
        for energy in windows().filter(|energy| lufs(*energy) > gate) {
            sum += energy;
            count += 1;
        }
        (count > 0).then(|| sum / f64::from(count))
    };
    let relative = lufs(above(SILENCE)?) - 10.0;
    above(relative.max(SILENCE)).map(lufs)
}

fn lufs(energy: f64) -> f64 {
    -0.691 + 10.0 * energy.max(1e-20).log10()
}

/// Measures sound as it comes.
pub struct Ear {
    channels: usize,
    size: usize,
    meter: EbuR128,
    rest: Vec<f32>,
    blocks: Blocks,
}

impl Ear {
    /// For sound from these speakers.
    ///
    /// # Errors
    /// Where nobody can hear such sound.
    pub fn new(speakers: &[Speaker], rate: u32) -> Result<Self, ebur128::Error> {
        let channels = u32::try_from(speakers.len()).map_err(|_| ebur128::Error::InvalidMode)?;
        Ok(Self {
            channels: speakers.len(),
            size: (rate / BLOCKS_A_SECOND).max(1) as usize * speakers.len(),
            meter: meter(speakers, channels, rate, Mode::M | Mode::TRUE_PEAK)?,
            rest: Vec::new(),
            blocks: Blocks::default(),
        })
    }

    /// Takes samples of all channels in turn.
    pub fn push(&mut self, samples: &[f32]) {
        self.rest.extend_from_slice(samples);
        let mut rest = std::mem::take(&mut self.rest);
        let mut blocks = rest.chunks_exact(self.size);
        for block in &mut blocks {
            let peak = peak(&mut self.meter, self.channels, block);
            let loud = self.meter.loudness_window(1000 / BLOCKS_A_SECOND);
            let energy = 10_f64.powf((loud.unwrap_or(f64::NEG_INFINITY) + 0.691) / 10.0);
            self.blocks.peaks.push(decibels(peak));
            #[allow(clippy::cast_possible_truncation)]
            self.blocks.energies.push(energy as f32);
        }
        let left = rest.len() - blocks.remainder().len();
        rest.drain(..left);
        self.rest = rest;
    }

    /// What was heard.
    pub fn blocks(&self) -> &Blocks {
        &self.blocks
    }
}

/// A meter that knows where sound comes from: surrounds count more, low frequency effects not at all.
///
/// # Errors
/// Where nobody can hear such sound.
pub fn meter(speakers: &[Speaker], channels: u32, rate: u32, mode: Mode) -> Result<EbuR128, ebur128::Error> {
    let mut meter = EbuR128::new(channels, rate, mode)?;
    for (at, speaker) in (0..).zip(speakers) {
        let channel = match speaker {
            Speaker::Lfe1 | Speaker::Lfe2 => Channel::Unused,
            Speaker::RearLeft | Speaker::SideLeft | Speaker::SurroundLeft | Speaker::TopRearLeft => {
                Channel::LeftSurround
            }
            Speaker::RearRight
            | Speaker::SideRight
            | Speaker::SurroundRight
            | Speaker::TopRearRight
            | Speaker::RearCenter => Channel::RightSurround,
            Speaker::FrontRight => Channel::Right,
            Speaker::FrontCenter => Channel::Center,
            _ => Channel::Left,
        };
        meter.set_channel(at, channel)?;
    }
    Ok(meter)
}

/// What was found of the sounds of a task, by the number of their stream; none of what is silent.
pub type Levels = BTreeMap<usize, Option<Level>>;

/// Listens to what a task will encode, to each of its sounds by itself.
pub struct ListenBranch {
    bin: gst::Bin,
    heard: Vec<(usize, Loudness, Arc<Mutex<Hearing>>)>,
    found: Arc<Mutex<Levels>>,
}

/// Set up when the first sound says what it is.
struct Hearing {
    channels: u32,
    mix: Option<Mix>,
    /// Whom it mixes.
    speakers: Vec<Speaker>,
    ear: Option<Ear>,
    mixed: Vec<f32>,
}

impl ListenBranch {
    /// A branch that finds the levels of these sounds, and puts them there when it is done.
    ///
    /// # Errors
    /// Where elements are missing.
    pub fn new(name: &str, wanted: &[Wanted<'_>], found: Arc<Mutex<Levels>>) -> Result<Self, Failure> {
        let mut branch = Self {
            bin: gst::Bin::builder().name(name).build(),
            heard: Vec::new(),
            found,
        };
        for one in wanted {
            branch.listen(one)?;
        }
        Ok(branch)
    }

    fn listen(&mut self, wanted: &Wanted<'_>) -> Result<(), Failure> {
        let Some(loudness) = wanted.spec.loudness else {
            return Ok(());
        };
        let heard = Arc::new(Mutex::new(Hearing {
            channels: wanted.channels,
            mix: None,
            speakers: Vec::new(),
            ear: None,
            mixed: Vec::new(),
        }));
        let hearing = heard.clone();
        let sink = taker(move |sample| {
            hearing
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(&sample)
                .ok_or(gst::FlowError::NotNegotiated)
        });
        let mut chain = raw(Some(wanted.rate))?;
        if let Some(guard) = chain.first() {
            wanted.cut(guard)?;
        }
        chain.push(gst::prelude::Cast::upcast(sink));
        hang(&self.bin, &format!("sound-{}", wanted.stream), &chain)?;
        self.heard.push((wanted.stream, loudness, heard));
        Ok(())
    }
}

impl Hearing {
    fn take(&mut self, sample: &gst::Sample) -> Option<()> {
        let channels = self.channels as usize;
        let sound = gst_audio::AudioInfo::from_caps(sample.caps()?).ok()?;
        // The speakers may be others in the middle.
        let heard = mix::heard(&sound);
        if self.mix.is_none() || self.speakers != heard {
            self.mix = Some(Mix::new(&heard, channels));
            self.speakers = heard;
        }
        if self.ear.is_none() {
            self.ear = Some(Ear::new(&mix::speakers(channels), sound.rate()).ok()?);
        }
        self.mixed.clear();
        super::with_samples(sample.buffer()?, |samples| {
            if let (Some(mix), Some(ear)) = (&self.mix, &mut self.ear) {
                mix.apply(samples, &mut self.mixed);
                ear.push(&self.mixed);
            }
        })
    }
}

impl Branch for ListenBranch {
    fn bin(&self) -> &gst::Bin {
        &self.bin
    }

    fn finish(self: Box<Self>, _: &mut Ending<'_, '_>) -> Result<(), Failure> {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        for (stream, wanted, heard) in &self.heard {
            let heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
            let level = heard.ear.as_ref().and_then(|ear| ear.blocks().level(*wanted));
            found.insert(*stream, level);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::limit::Limiter;
    use super::*;

    const RATE: u32 = 48_000;

    fn heard(samples: &[f32]) -> Blocks {
        let mut ear = Ear::new(&[Speaker::FrontLeft, Speaker::FrontRight], RATE).unwrap();
        for piece in samples.chunks(2_002) {
            ear.push(piece);
        }
        ear.blocks().clone()
    }

    fn judged(samples: &[f32]) -> f64 {
        let mut meter = EbuR128::new(2, RATE, Mode::I).unwrap();
        meter.add_frames_f32(samples).unwrap();
        meter.loudness_global().unwrap()
    }

    /// Speech-like: bursts of noise with hard peaks and pauses.
    fn bursts(seconds: u32) -> Vec<f32> {
        let mut state = 1_u32;
        let mut noise = move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / 8_388_608.0 - 1.0
        };
        (0..seconds * RATE)
            .flat_map(|n| {
                let t = n as f32 / RATE as f32;
                let swell = (t * 3.0).sin().max(0.0).powi(2) * 0.08;
                let click = if n % 24_000 < 60 { 0.7 } else { 0.0 };
                let x = noise() * (swell + click);
                [x, x * 0.8]
            })
            .collect()
    }

    #[test]
    fn loudness_is_what_the_standard_says() {
        let samples = bursts(12);
        let blocks = heard(&samples);
        let (found, real) = (blocks.loudness().unwrap(), judged(&samples));
        assert!((found - real).abs() < 0.1, "{found} {real}");
        // A sine of 1 kHz at -20 dBFS on both sides is at -20 LUFS.
        let sine: Vec<f32> = (0..RATE * 5)
            .flat_map(|n| {
                let x = 0.1 * (n as f32 * 1000.0 * std::f32::consts::TAU / RATE as f32).sin();
                [x, x]
            })
            .collect();
        let sine = heard(&sine).loudness().unwrap();
        assert!((sine + 20.0).abs() < 0.1, "{sine}");
    }

    #[test]
    fn surrounds_count_more_and_low_frequency_effects_not_at_all() {
        let of = |channels: usize, loud: usize| {
            let samples: Vec<f32> = (0..RATE * 3)
                .flat_map(|n| {
                    let x = 0.1 * (n as f32 * 1000.0 * std::f32::consts::TAU / RATE as f32).sin();
                    (0..channels).map(move |channel| if channel == loud { x } else { 0.0 })
                })
                .collect();
            let mut ear = Ear::new(&mix::speakers(channels), RATE).unwrap();
            ear.push(&samples);
            ear.blocks().loudness()
        };
        for channels in [6, 8] {
            let front = of(channels, 0).unwrap();
            assert!((front + 23.0).abs() < 0.1, "{front}");
            assert_eq!(of(channels, 3), None);
            for surround in 4..channels {
                let loud = of(channels, surround).unwrap();
                assert!((loud - front - 1.5).abs() < 0.1, "{channels} {surround}: {loud}");
            }
        }
    }

    #[test]
    fn a_target_is_reached_through_the_limiter() {
        let samples = bursts(8);
        let blocks = heard(&samples);
        for (target, true_peak) in [(-30.0, -1.0), (-23.0, -3.0), (-18.0, -1.0), (-17.0, -2.0)] {
            let level = blocks.level(Loudness { target, true_peak }).unwrap();
            #[allow(clippy::cast_possible_truncation)]
            let mut limiter = Limiter::new(2, RATE, level.gain as f32, true_peak as f32).unwrap();
            let mut out = Vec::new();
            limiter.push(&samples, &mut out);
            limiter.finish(&mut out);
            let real = judged(&out);
            assert!((real - target).abs() < 0.2, "{target}: {level:?}, really {real}");
        }
    }

    #[test]
    fn silence_has_no_level_and_a_click_is_not_made_into_noise() {
        let wanted = Loudness {
            target: -16.0,
            true_peak: -1.0,
        };
        assert_eq!(heard(&vec![0.0; 96_000 * 2]).level(wanted), None);
        assert_eq!(heard(&[0.5; 2_000]).level(wanted), None, "too short to be judged");
        let mut clicks = vec![0.0; 96_000 * 5];
        for at in (0..clicks.len()).step_by(40_000) {
            clicks[at] = 0.9;
        }
        let level = heard(&clicks).level(wanted).unwrap();
        assert!(level.reaches < -16.5, "{level:?}");
    }
}
