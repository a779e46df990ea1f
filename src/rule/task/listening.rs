//! Settings of tasks that look and listen: waveforms, and what is wrong with a medium.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Settings of a `waveform` task: a picture of the sound, and its peaks as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waveform {
    /// Of the picture, in pixels: 16 ..= 16384.
    pub width: u32,
    /// Of the picture, in pixels: 16 ..= 4096.
    pub height: u32,
    /// Of the wave: red, green, blue, opacity.
    pub colour: [u8; 4],
    /// Behind it.
    pub background: [u8; 4],
    /// Each channel has a wave of its own, one below the other; else there is one of the mean of all.
    pub split: bool,
    /// The most pairs of a lowest and a highest sample that the JSON has for each wave: 100 ..= 65536.
    pub points: u32,
}

/// Settings of an `inspect` task: what to look for, each with its threshold; none is not looked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Inspect {
    /// A black picture for at least this long: 40 ms ..= 1 h.
    pub black: Option<Duration>,
    /// A picture that does not move for at least this long: 200 ms ..= 1 h.
    pub frozen: Option<Duration>,
    /// No sound for at least this long: 10 ms ..= 1 h.
    pub silent: Option<Duration>,
    /// Below this the sound is silence, in dB below full scale: -120.0 ..= -20.0.
    pub silence_level: f64,
    /// Quieter as a whole is too quiet, in LUFS: -70.0 ..= 0.0.
    pub quiet: Option<f64>,
    /// Louder as a whole is too loud, in LUFS: -70.0 ..= 0.0.
    pub loud: Option<f64>,
    /// Black borders around the picture.
    pub borders: bool,
    /// A picture at least this blurred; the more the higher, 0.1 ..= 1.0.
    pub blur: Option<f64>,
    /// A medium without sound.
    pub no_audio: bool,
    /// A medium without a film.
    pub no_video: bool,
}

impl Inspect {
    /// Looks for everything, with the usual thresholds.
    #[must_use]
    pub fn usual() -> Self {
        Self {
            black: Some(Duration::from_secs(2)),
            frozen: Some(Duration::from_secs(5)),
            silent: Some(Duration::from_secs(3)),
            silence_level: -60.0,
            quiet: Some(-30.0),
            loud: Some(-8.0),
            borders: true,
            blur: Some(0.6),
            no_audio: true,
            no_video: true,
        }
    }

    /// Whether it looks at pictures.
    #[must_use]
    pub fn looks(&self) -> bool {
        self.black.is_some() || self.frozen.is_some() || self.blur.is_some() || self.borders
    }
}
