//! What each kind of task is to do: its settings as a rule gives them, and what fits together.

mod adaptive;
mod clips;
mod extract;
mod listening;
pub mod overlay;
mod pictures;
mod tracks;
mod transcode;
mod video;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Grants;
use super::asset::AssetUse;
pub use adaptive::{Adaptive, Encryption, Forms, PACKAGED, Rendition, Renditions, Rung, SegmentForm};
pub use clips::Clips;
pub use extract::{Extract, TextForm};
pub use listening::{Inspect, Waveform};
pub use pictures::{Animation, AnimationFormat, ImageFormat, Moments, Snapshot, Sprite};
pub use tracks::{Choice, Pick, Tracks};
pub use transcode::{AudioCodec, AudioSpec, Container, Fit, Loudness, Part, Sides, SizeSpec, Track, Transcode};
pub use video::{Deinterlace, Gop, Hdr, RateMode, Treatment, VideoCodec, VideoRate, VideoSpec};

/// What a task does, with its settings.
#[derive(Debug, Clone)]
pub enum TaskKind {
    /// Describe the medium as JSON.
    Probe,
    /// Publish the source itself.
    Copy,
    /// Decode, scale, encode, package into one file.
    Transcode(Box<Transcode>),
    /// Decode once, encode several times, cut into segments, package.
    Adaptive(Box<Adaptive>),
    /// Still images at points of the medium.
    Snapshot(Snapshot),
    /// Small pictures on sheets, with a map.
    Sprite(Sprite),
    /// A short silent loop.
    Animation(Animation),
    /// A picture of the sound.
    Waveform(Waveform),
    /// Streams as they are.
    Extract(Extract),
    /// What is wrong with the medium.
    Inspect(Inspect),
    /// A GStreamer pipeline in the rule's own words.
    Pipeline(Pipeline),
}

impl TaskKind {
    /// The word in `kind = "..."`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Probe => "probe",
            Self::Copy => "copy",
            Self::Transcode(_) => "transcode",
            Self::Adaptive(_) => "adaptive",
            Self::Snapshot(_) => "snapshot",
            Self::Sprite(_) => "sprite",
            Self::Animation(_) => "animation",
            Self::Waveform(_) => "waveform",
            Self::Extract(_) => "extract",
            Self::Inspect(_) => "inspect",
            Self::Pipeline(_) => "pipeline",
        }
    }

    /// The files that it needs besides its medium.
    #[must_use]
    pub fn assets(&self) -> Vec<AssetUse> {
        match self {
            Self::Transcode(settings) => {
                let mut assets = settings.cover.assets();
                assets.extend(settings.clips.assets());
                assets
            }
            Self::Adaptive(settings) => settings.cover.assets(),
            _ => Vec::new(),
        }
    }
}

/// A point in a medium.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Point {
    /// From the beginning.
    Start(Duration),
    /// Back from the end.
    End(Duration),
    /// 0.0 ..= 100.0 of the duration.
    Percent(f64),
}

/// Settings of a `pipeline` task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pipeline {
    /// In the notation of `gst-launch-1.0`, with `{input}` where the source element stands, or `{file}` where the path of the
    /// source does, and `{output}` where the sink does.
    pub launch: String,
    /// Of the file that it writes, without its dot.
    pub extension: String,
    /// What it may use besides its medium.
    #[serde(default)]
    pub allow: Grants,
}

impl Pipeline {
    /// Whether it opens the source by its path.
    #[must_use]
    pub fn wants_file(&self) -> bool {
        self.launch.contains("{file}")
    }
}
