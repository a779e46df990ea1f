//! The branch of a waveform: the lowest and highest samples of short stretches, as a picture and as JSON.
//!
//! Nobody knows beforehand how long a sound is. Stretches are short at first; when there are too many, each two become one, so
//! that a sound of any length takes the same memory.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gst::prelude::*;
use serde::Serialize;

use super::branch::{Branch, Ending, Opened, hang, taker};
use super::failure::{internal, plain, writing};
use super::meter::running_time;
use super::readback;
use super::sound::{raw, with_samples};
use crate::job::{ErrorKind, Failure};
use crate::plan::{OutputReport, WaveformPlan};
use crate::rule::ImageFormat;

/// Frames of a stretch at first.
const SHORTEST: u64 = 16;
/// What comes so much too late leaves a gap.
const GAP: Duration = Duration::from_millis(50);
/// More channels have no wave of their own.
const MOST_WAVES: usize = 8;

/// The lowest and the highest sample of a stretch.
type Pair = (f32, f32);

/// Stretches of a sound, each with a pair for every wave.
#[derive(Debug)]
struct Peaks {
    waves: usize,
    /// Stretches at most: an even number.
    most: usize,
    /// Frames of a stretch.
    length: u64,
    /// Of finished stretches, those of all waves in turn.
    pairs: Vec<Pair>,
    /// The stretch that is being heard, and how many frames of it were.
    open: Vec<Pair>,
    frames: u64,
}

const NOTHING: Pair = (f32::INFINITY, f32::NEG_INFINITY);

fn merged(one: Pair, other: Pair) -> Pair {
    (one.0.min(other.0), one.1.max(other.1))
}

impl Peaks {
    fn new(waves: usize, most: usize) -> Self {
        Self {
            waves,
            most: most.next_multiple_of(2),
            length: SHORTEST,
            pairs: Vec::new(),
            open: vec![NOTHING; waves],
            frames: 0,
        }
    }

    /// Frames heard so far.
    fn heard(&self) -> u64 {
        (self.pairs.len() / self.waves) as u64 * self.length + self.frames
    }

    /// Takes a frame: a sample for every wave.
    fn take(&mut self, frame: &[f32]) {
        for (open, sample) in self.open.iter_mut().zip(frame) {
            *open = merged(*open, (*sample, *sample));
        }
        self.frames += 1;
        self.close();
    }

    /// Takes so many frames of silence.
    fn skip(&mut self, mut frames: u64) {
        while frames > 0 {
            let now = frames.min(self.length - self.frames);
            for open in &mut self.open {
                *open = merged(*open, (0.0, 0.0));
            }
            self.frames += now;
            frames -= now;
            self.close();
        }
    }

    fn close(&mut self) {
        if self.frames < self.length {
            return;
        }
        self.pairs.append(&mut self.open);
        self.open = vec![NOTHING; self.waves];
        self.frames = 0;
        if self.pairs.len() >= self.most * self.waves {
            self.pairs = halved(&self.pairs, self.waves);
            self.length *= 2;
        }
    }

    /// All stretches, and how many frames each has; at most so many.
    fn stretches(&self, most: usize) -> (Vec<Pair>, u64) {
        let mut pairs = self.pairs.clone();
        if self.frames > 0 {
            pairs.extend(&self.open);
        }
        let mut length = self.length;
        while pairs.len() / self.waves > most.max(1) {
            pairs = halved(&pairs, self.waves);
            length *= 2;
        }
        (pairs, length)
    }
}

/// Each two stretches as one.
fn halved(pairs: &[Pair], waves: usize) -> Vec<Pair> {
    pairs
        .chunks(2 * waves)
        .flat_map(|two| {
            let (one, other) = two.split_at(waves);
            let joined = |at: usize| merged(one[at], other.get(at).copied().unwrap_or(NOTHING));
            (0..waves).map(joined).collect::<Vec<_>>()
        })
        .collect()
}

/// What was heard.
struct Hearing {
    split: bool,
    most: usize,
    heard: Option<(Peaks, u32)>,
}

impl Hearing {
    fn take(&mut self, sample: &gst::Sample, at: Option<Duration>) -> Option<()> {
        let sound = gst_audio::AudioInfo::from_caps(sample.caps()?).ok()?;
        let channels = sound.channels() as usize;
        let waves = if self.split { channels.min(MOST_WAVES) } else { 1 };
        let (peaks, rate) = self
            .heard
            .get_or_insert_with(|| (Peaks::new(waves, self.most), sound.rate()));
        if let Some(late) = at.and_then(|at| at.checked_sub(time(peaks.heard(), *rate)))
            && late > GAP
        {
            peaks.skip(frames(late, *rate));
        }
        with_samples(sample.buffer()?, |samples| {
            let mut frame = vec![0.0; peaks.waves];
            for all in samples.chunks_exact(channels) {
                if peaks.waves == 1 {
                    frame[0] = all.iter().sum::<f32>() / channels as f32;
                } else {
                    // A sound that changes its channels on the way keeps the waves that it began with.
                    for (at, wave) in frame.iter_mut().enumerate() {
                        *wave = all.get(at).copied().unwrap_or(0.0);
                    }
                }
                peaks.take(&frame);
            }
        })
    }
}

fn time(frames: u64, rate: u32) -> Duration {
    Duration::from_secs_f64(frames as f64 / f64::from(rate.max(1)))
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn frames(time: Duration, rate: u32) -> u64 {
    (time.as_secs_f64() * f64::from(rate)).round() as u64
}

/// What draws one wave.
pub struct WaveformBranch {
    bin: gst::Bin,
    plan: WaveformPlan,
    hearing: Arc<Mutex<Hearing>>,
}

impl WaveformBranch {
    /// A branch for this plan.
    ///
    /// # Errors
    /// Where the medium has no sound, or elements are missing.
    pub fn new(name: &str, plan: &WaveformPlan, opened: Opened<'_>) -> Result<Self, Failure> {
        let index = opened
            .sound
            .ok_or_else(|| Failure::new(ErrorKind::NoSuchStream, "the medium has no sound"))?;
        let settings = &plan.settings;
        let hearing = Arc::new(Mutex::new(Hearing {
            split: settings.split,
            // Fine enough for both, with something in reserve where stretches and columns do not meet.
            most: 4 * settings.points.max(settings.width) as usize,
            heard: None,
        }));
        let heard = hearing.clone();
        let bin = gst::Bin::builder().name(name).build();
        let mut chain = raw(None)?;
        let exit = chain.last().and_then(|last| last.static_pad("src"));
        let sink = taker(move |sample| {
            let pts = sample.buffer().and_then(gst::BufferRef::pts);
            let at = exit.as_ref().zip(pts).and_then(|(pad, pts)| running_time(pad, pts));
            let mut hearing = heard.lock().unwrap_or_else(PoisonError::into_inner);
            hearing.take(&sample, at).ok_or(gst::FlowError::NotNegotiated)
        });
        chain.push(sink.upcast());
        hang(&bin, &format!("sound-{index}"), &chain)?;
        let plan = plan.clone();
        Ok(Self { bin, plan, hearing })
    }

    fn write(&self) -> Result<(), Failure> {
        let hearing = self.hearing.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((peaks, rate)) = &hearing.heard else {
            return Err(Failure::new(
                ErrorKind::Corrupt,
                "no sound of the medium could be decoded",
            ));
        };
        let settings = &self.plan.settings;
        let json = json(peaks, *rate, settings.points as usize);
        let mut text = serde_json::to_vec(&json).map_err(internal)?;
        text.push(b'\n');
        std::fs::write(&self.plan.peaks, text).map_err(|error| writing(&self.plan.peaks, &error))?;
        let picture = draw(
            peaks,
            (settings.width, settings.height),
            settings.colour,
            settings.background,
        );
        png(&self.plan.picture, (settings.width, settings.height), &picture)
    }
}

impl Branch for WaveformBranch {
    fn bin(&self) -> &gst::Bin {
        &self.bin
    }

    fn finish(self: Box<Self>, ending: &mut Ending<'_, '_>) -> Result<(), Failure> {
        if let Err(failure) = self.write() {
            self.abandon();
            return Err(failure);
        }
        let (size, report) = readback::Images::new(ImageFormat::Png)?.read(&self.plan.picture)?;
        let (task, listener) = (ending.task, ending.pulse.listener());
        listener.output(task, &self.plan.picture, size, report);
        let size = readback::size(&self.plan.peaks)?;
        listener.output(task, &self.plan.peaks, size, OutputReport::Bytes);
        Ok(())
    }

    fn abandon(self: Box<Self>) {
        let _ = std::fs::remove_file(&self.plan.picture);
        let _ = std::fs::remove_file(&self.plan.peaks);
    }
}

/// Peaks as players of the web read them: version 2 of the form that audiowaveform writes.
#[derive(Debug, Serialize)]
struct Json {
    version: u32,
    channels: usize,
    sample_rate: u32,
    samples_per_pixel: u64,
    bits: u32,
    length: usize,
    data: Vec<i32>,
}

fn json(peaks: &Peaks, rate: u32, most: usize) -> Json {
    let (pairs, length) = peaks.stretches(most);
    #[allow(clippy::cast_possible_truncation)]
    let number = |sample: f32| (sample * 128.0).round().clamp(-128.0, 127.0) as i32;
    Json {
        version: 2,
        channels: peaks.waves,
        sample_rate: rate,
        samples_per_pixel: length,
        bits: 8,
        length: pairs.len() / peaks.waves,
        data: pairs
            .iter()
            .flat_map(|(low, high)| [number(*low), number(*high)])
            .collect(),
    }
}

/// Red, green, blue, opacity of every pixel.
fn draw(peaks: &Peaks, (width, height): (u32, u32), colour: [u8; 4], background: [u8; 4]) -> Vec<u8> {
    let (pairs, length) = peaks.stretches(usize::MAX);
    let (width, height) = (width as usize, height as usize);
    let mut picture = background.repeat(width * height);
    // The last stretch may be short: columns share the frames, not the stretches.
    let frames = peaks.heard().max(1) as f64;
    let stretches = pairs.len() / peaks.waves;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let stretch = |column: usize| (column as f64 * frames / width as f64 / length as f64) as usize;
    for column in 0..width {
        let first = stretch(column).min(stretches.saturating_sub(1));
        let last = stretch(column + 1).clamp(first + 1, stretches.max(first + 1));
        for wave in 0..peaks.waves {
            let of = |at: usize| pairs.get(at * peaks.waves + wave).copied().unwrap_or(NOTHING);
            let (low, high) = (first..last).map(of).fold(NOTHING, merged);
            if low > high {
                continue;
            }
            let (top, below) = (wave * height / peaks.waves, (wave + 1) * height / peaks.waves);
            let (from, to) = rows(low, high, below - top);
            for row in top + from..top + to {
                let at = (row * width + column) * 4;
                picture[at..at + 4].copy_from_slice(&colour);
            }
        }
    }
    picture
}

/// The rows that a wave covers between these samples, in a band of this height: at least one.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn rows(low: f32, high: f32, height: usize) -> (usize, usize) {
    let row = |sample: f32| (1.0 - sample.clamp(-1.0, 1.0)) / 2.0 * height as f32;
    let from = (row(high).round() as usize).min(height - 1);
    let to = (row(low).round() as usize).clamp(from + 1, height);
    (from, to)
}

fn png(file: &str, (width, height): (u32, u32), picture: &[u8]) -> Result<(), Failure> {
    let failed = |error: png::EncodingError| match error {
        png::EncodingError::IoError(error) => writing(file, &error),
        error => Failure::new(ErrorKind::Pipeline, plain(&error.to_string())),
    };
    let output = File::create(file).map_err(|error| writing(file, &error))?;
    let mut output = BufWriter::new(output);
    let mut encoder = png::Encoder::new(&mut output, width, height);
    encoder.set_color(png::ColorType::Rgba);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().map_err(failed)?;
    writer.write_image_data(picture).map_err(failed)?;
    writer.finish().map_err(failed)?;
    output.flush().map_err(|error| writing(file, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sound_of_any_length_takes_the_same_memory_and_loses_no_peak() {
        let mut peaks = Peaks::new(1, 100);
        for n in 0..1_000_003_u32 {
            let sample = if n == 777_777 { 0.9 } else { 0.1 };
            peaks.take(&[sample]);
        }
        assert_eq!(peaks.heard(), 1_000_003);
        assert!(peaks.pairs.len() <= 100 && peaks.pairs.len() >= 50);
        let (pairs, length) = peaks.stretches(30);
        assert!(pairs.len() <= 30 && pairs.len() > 15, "{}", pairs.len());
        let at = usize::try_from(777_777 / length).unwrap();
        for (n, (low, high)) in pairs.iter().enumerate() {
            assert_eq!((*low, *high), (0.1, if n == at { 0.9 } else { 0.1 }));
        }
        // Ten hours of nothing in between.
        peaks.skip(48_000 * 36_000);
        assert_eq!(peaks.heard(), 1_000_003 + 48_000 * 36_000);
        assert!(peaks.pairs.len() <= 100);
    }

    #[test]
    fn waves_of_two_channels_are_kept_apart() {
        let mut peaks = Peaks::new(2, 4);
        for _ in 0..SHORTEST * 5 {
            peaks.take(&[0.5, -0.25]);
        }
        let all = json(&peaks, 8000, 1000);
        assert_eq!((all.channels, all.samples_per_pixel, all.length), (2, SHORTEST * 2, 3));
        assert_eq!(all.data, [64, 64, -32, -32].repeat(3));
    }

    #[test]
    fn rows_are_symmetric_and_never_none() {
        assert_eq!(rows(-1.0, 1.0, 100), (0, 100));
        assert_eq!(rows(-0.5, 0.5, 100), (25, 75));
        assert_eq!(rows(0.0, 0.0, 100), (50, 51));
        assert_eq!(rows(-2.0, -2.0, 100), (99, 100));
    }

    #[test]
    fn a_wave_is_drawn_where_it_is_loud() {
        let mut peaks = Peaks::new(1, 1000);
        for n in 0..8000 {
            let level = if n < 4000 { 1.0 } else { 0.0 };
            peaks.take(&[if n % 2 == 0 { level } else { -level }]);
        }
        let picture = draw(&peaks, (10, 20), [1, 2, 3, 4], [0; 4]);
        let drawn = |column: usize| (0..20).filter(|row| picture[(row * 10 + column) * 4] == 1).count();
        let all: Vec<_> = (0..10).map(drawn).collect();
        assert_eq!(all, [20, 20, 20, 20, 20, 1, 1, 1, 1, 1]);
    }
}
