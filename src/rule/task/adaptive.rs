//! Settings of an `adaptive` task: one film in several renditions, cut into segments.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{AudioSpec, SizeSpec, VideoSpec};

/// Settings of an `adaptive` task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Adaptive {
    /// An HLS master playlist is written.
    pub hls: bool,
    /// An MPD is written.
    pub dash: bool,
    /// What segments are.
    pub segments: SegmentForm,
    /// Length of a segment: 1 s ..= 30 s.
    pub segment: Duration,
    /// Explicit, or from the source.
    pub renditions: Renditions,
    /// The sound of all of them; none: without sound.
    pub audio: Option<AudioSpec>,
    /// How many sound tracks of the source are taken: 1 ..= 8.
    pub audio_tracks: u32,
    /// Text subtitles of the source are carried as WebVTT.
    pub subtitles: bool,
    /// A playlist of key frames alone, for fast winding.
    pub iframes: bool,
    /// How segments are encrypted.
    pub encryption: Option<Encryption>,
}

/// Forms of segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SegmentForm {
    /// Fragments of MP4, which HLS and DASH share.
    Cmaf,
    /// MPEG transport stream, for HLS alone.
    Ts,
}

/// Which renditions there are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Renditions {
    /// A ladder from the source, never above it.
    Auto,
    /// These, each once: 1 ..= 12.
    Named(Vec<Rendition>),
}

/// One wanted form of the film.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rendition {
    /// For the names of files: letters, digits, `-`, `_`.
    pub name: String,
    /// Wanted picture size.
    pub size: SizeSpec,
    /// How it is encoded.
    pub video: VideoSpec,
}

/// AES-128 over whole segments, as RFC 8216 has it, with a key for each job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encryption {
    /// Where players ask for the key; `{job}` and `{rule}` stand for theirs.
    pub key_uri: String,
    /// Where the key is put: a folder of the output bucket, outside of the package.
    pub key_directory: String,
}
