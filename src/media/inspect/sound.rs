//! What can be heard of a sound: where it is silent, and how loud it is.

use std::time::Duration;

use ebur128::{EbuR128, Mode};

use super::spans::Spans;
use crate::media::sound::loudness::meter;
use crate::media::sound::mix::Mix;
use crate::media::sound::{mix, with_samples};
use crate::rule::Inspect;

/// What comes so much too late leaves silence before it.
const GAP: Duration = Duration::from_millis(50);

/// How loud a sound is.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Loudness {
    /// Of the whole, in LUFS.
    pub integrated: f64,
    /// Between its quiet and its loud parts, in LU.
    pub range: f64,
    /// The highest peak, also between samples, in dBTP.
    pub true_peak: f64,
}

/// Listens to sound as it comes.
pub struct Ear {
    /// Where it is silent.
    pub silent: Option<Spans>,
    /// Samples beyond this are heard.
    level: f32,
    meter: Option<EbuR128>,
    form: Option<(u32, u32)>,
    /// Up to where it was heard.
    end: Duration,
}

impl Ear {
    /// Listens for what these settings want.
    pub fn new(settings: &Inspect) -> Self {
        #[allow(clippy::cast_possible_truncation)]
        let level = 10_f64.powf(settings.silence_level / 20.0) as f32;
        Self {
            silent: settings.silent.map(Spans::new),
            level,
            meter: None,
            form: None,
            end: Duration::ZERO,
        }
    }

    /// Takes what begins now.
    pub fn take(&mut self, sample: &gst::Sample, at: Option<Duration>) -> Option<()> {
        let sound = gst_audio::AudioInfo::from_caps(sample.caps()?).ok()?;
        let (channels, rate) = (sound.channels(), sound.rate());
        if self.form.replace((channels, rate)) != Some((channels, rate)) && self.meter.is_none() {
            let mode = Mode::I | Mode::LRA | Mode::TRUE_PEAK | Mode::HISTOGRAM;
            self.meter = meter(&mix::heard(&sound), channels, rate, mode).ok();
        }
        let at = at.unwrap_or(self.end);
        if let (true, Some(silent)) = (at > self.end + GAP, &mut self.silent) {
            silent.see(self.end, Some(1.0));
        }
        let length = with_samples(sample.buffer()?, |samples| {
            self.listen(samples, channels as usize, rate, at);
            samples.len() / channels.max(1) as usize
        })?;
        self.end = at + time(length, rate);
        Some(())
    }

    fn listen(&mut self, samples: &[f32], channels: usize, rate: u32, at: Duration) {
        if let Some(meter) = &mut self.meter {
            let first = meter.channels() as usize;
            if first == channels {
                let _ = meter.add_frames_f32(samples);
            } else {
                // The sound has other speakers than it began with.
                let mut mixed = Vec::new();
                Mix::new(&mix::speakers(channels), first).apply(samples, &mut mixed);
                let _ = meter.add_frames_f32(&mixed);
            }
        }
        let Some(silent) = &mut self.silent else { return };
        let mut was_loud = None;
        for (number, frame) in samples.chunks_exact(channels.max(1)).enumerate() {
            let is_loud = frame.iter().any(|sample| sample.abs() > self.level);
            if was_loud.replace(is_loud) != Some(is_loud) {
                silent.see(at + time(number, rate), (!is_loud).then_some(1.0));
            }
        }
    }

    /// The medium is over at `end`: what is missing until there is silent.
    pub fn finish(&mut self, end: Option<Duration>) {
        let end = end.unwrap_or_default().max(self.end);
        if let Some(silent) = &mut self.silent {
            if end > self.end + GAP {
                silent.see(self.end, Some(1.0));
            }
            silent.finish(end);
        }
    }

    /// Up to where it was heard.
    pub fn end(&self) -> Duration {
        self.end
    }

    /// How loud it was; none where there was nothing to hear.
    pub fn loudness(&self) -> Option<Loudness> {
        let meter = self.meter.as_ref()?;
        let integrated = meter.loudness_global().ok().filter(|loudness| loudness.is_finite())?;
        let peaks = (0..meter.channels()).filter_map(|channel| meter.true_peak(channel).ok());
        let peak = peaks.fold(0.0, f64::max);
        Some(Loudness {
            integrated: rounded(integrated),
            range: rounded(meter.loudness_range().ok()?),
            true_peak: rounded(20.0 * peak.max(1e-9).log10()),
        })
    }
}

fn rounded(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn time(frames: usize, rate: u32) -> Duration {
    Duration::from_secs_f64(frames as f64 / f64::from(rate.max(1)))
}
