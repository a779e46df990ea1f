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
}

/// Settings of an `inspect` task: what to look for, each with its threshold; none is not looked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Inspect {
    /// A black picture for at least this long.
    pub black: Option<Duration>,
    /// A picture that does not move for at least this long.
    pub frozen: Option<Duration>,
    /// No sound for at least this long.
    pub silent: Option<Duration>,
    /// Below this the sound is silence, in dB below full scale: -120.0 ..= -20.0.
    pub silence_level: f64,
    /// Quieter as a whole is too quiet, in LUFS.
    pub quiet: Option<f64>,
    /// Louder as a whole is too loud, in LUFS.
    pub loud: Option<f64>,
    /// Black borders around the picture.
    pub borders: bool,
    /// A blurred picture; the more the higher, 0.0 ..= 1.0.
    pub blur: Option<f64>,
    /// A medium without sound.
    pub no_audio: bool,
    /// A medium without a film.
    pub no_video: bool,
}
