//! From a rule and a medium to work: what each task will produce, and which tasks share one decode.
//!
//! Pure data: no GStreamer, no I/O. A [`RunPlan`] is what a worker is told; it names files in the scratch
//! directory only. Final names stay with the daemon, in [`PlannedRun`].

mod adaptive;
mod clips;
mod coded;
mod estimate;
mod extract;
mod ladder;
mod listening;
mod media;
mod names;
mod outputs;
mod overlay;
mod package;
mod pictures;
mod places;
mod provenance;
mod run;
mod size;
mod stills;
#[cfg(test)]
mod testing;
mod tracks;
mod transcode;
mod truncation;
mod verify;
mod video;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::rule::asset::AssetUse;
use crate::rule::{Grants, ImageFormat, TaskId, Transcode};
pub use adaptive::{
    AdaptivePlan, KEY, Lock, MANIFEST, MASTER, PackageKey, PlannedPackage, PlannedRendition, PlannedSound,
};
pub use clips::{ClipPlan, ClipsPlan, joined};
pub use coded::Coded;
pub use estimate::{Shortage, admit, estimate};
pub use extract::{ExtractPlan, ExtractedStream, TakenAs};
pub use listening::{InspectPlan, WaveformPlan};
pub use media::{AudioStream, Chapter, Colour, HdrForm, MediaInfo, StreamInfo, StreamKind, VideoStream};
pub use outputs::{Expect, Form, OutputReport, PlannedOutput, TrackReport};
pub use overlay::{Area, ContentPlan, CoverPlan, EffectPlan, MosaicPlan, OverlayPlan, Window};
pub use package::MOST_FILES;
pub use pictures::{AnimationPlan, SpritePlan};
pub use provenance::{KeptProvenance, Provenance, without_secrets};
pub use run::{Planned, Wanted, needs_media, plan};
pub use size::{picture, same_ratio};
pub use tracks::{Lines, SoundPlan, SubtitlePlan, TracksPlan};
pub use truncation::{Ends, truncated};
pub use verify::verify;

/// What a worker is told to do: everything it may know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunPlan {
    /// What its own probe said, or a former one of the same identity.
    pub media: Option<MediaInfo>,
    /// Tasks of this run; they share one decode.
    pub tasks: Vec<TaskPlan>,
    /// Threads that an encoder may use.
    pub threads: u32,
}

/// One task of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskPlan {
    /// Which.
    pub task: TaskId,
    /// What to do.
    pub work: Work,
}

/// What to do, resolved against the medium.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "work", rename_all = "snake_case")]
pub enum Work {
    /// Write the probe's answer as JSON to `file`.
    Probe {
        /// Name in scratch.
        file: String,
    },
    /// Write the input's bytes to `file`.
    Copy {
        /// Name in scratch.
        file: String,
    },
    /// Write one file with these streams.
    Transcode(Box<TranscodePlan>),
    /// Write one image for each point that the medium reaches.
    Snapshot(SnapshotPlan),
    /// Run a pipeline in the rule's words.
    Pipeline(PipelinePlan),
    /// Write a package of segments and its manifests.
    Adaptive(Box<AdaptivePlan>),
    /// Write sheets of small pictures, and their map.
    Sprite(SpritePlan),
    /// Write a short loop.
    Animation(AnimationPlan),
    /// Write a picture of the sound, and its peaks.
    Waveform(WaveformPlan),
    /// Write streams as they are.
    Extract(ExtractPlan),
    /// Write what is wrong with the medium.
    Inspect(InspectPlan),
}

impl Work {
    /// Whether it reads the medium's streams, and so meets what is wrong with them.
    #[must_use]
    pub fn reads_streams(&self) -> bool {
        !matches!(self, Self::Probe { .. } | Self::Copy { .. })
    }

    /// The part of the medium that it wants.
    #[must_use]
    pub fn span(&self) -> Span {
        match self {
            Self::Transcode(plan) => plan.span,
            Self::Animation(plan) => plan.span,
            Self::Adaptive(plan) => plan.span,
            _ => Span::default(),
        }
    }

    /// Wants more of the film than single pictures: all frames of its part are decoded.
    #[must_use]
    pub fn decodes_film(&self) -> bool {
        match self {
            Self::Transcode(plan) => plan.picture.is_some(),
            Self::Adaptive(plan) => !plan.renditions.is_empty(),
            Self::Inspect(_) => true,
            _ => false,
        }
    }

    /// Takes over packets as they are.
    #[must_use]
    pub fn copies(&self) -> bool {
        match self {
            Self::Transcode(plan) => plan.settings.copies(),
            Self::Extract(_) => true,
            _ => false,
        }
    }

    /// Names in scratch of all files that it may write, but for those of a package: see [`AdaptivePlan::may_write`].
    #[must_use]
    pub fn files(&self) -> Vec<&str> {
        match self {
            Self::Probe { file } | Self::Copy { file } => vec![file],
            Self::Transcode(plan) => vec![&plan.file],
            Self::Pipeline(plan) => vec![&plan.file],
            Self::Snapshot(plan) => plan.stills.iter().map(|still| still.file.as_str()).collect(),
            Self::Adaptive(_) => Vec::new(),
            Self::Sprite(plan) => plan.sheets.iter().chain([&plan.map]).map(String::as_str).collect(),
            Self::Animation(plan) => vec![&plan.file],
            Self::Waveform(plan) => vec![&plan.picture, &plan.peaks],
            Self::Extract(plan) => plan.streams.iter().map(|stream| stream.file.as_str()).collect(),
            Self::Inspect(plan) => vec![&plan.file],
        }
    }
}

/// A transcode, resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TranscodePlan {
    /// Name in scratch.
    pub file: String,
    /// As the rule says; a part whose stream the source lacks is `None`.
    pub settings: Transcode,
    /// The frame after rotation; none where no video is encoded.
    pub picture: Option<Picture>,
    /// Distance of key frames in frames, where it can be known beforehand.
    pub gop_frames: Option<u32>,
    /// Its sounds and subtitles.
    pub tracks: TracksPlan,
    /// Only this part of the medium.
    pub span: Span,
    /// What is laid over the film.
    pub cover: CoverPlan,
    /// What is joined to it.
    #[serde(default)]
    pub clips: ClipsPlan,
}

impl TranscodePlan {
    /// All frames are looked at before the first is encoded.
    #[must_use]
    pub fn is_two_pass(&self) -> bool {
        self.settings.video.encoded().is_some_and(|spec| spec.two_pass)
    }
}

/// A part of a medium.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Span {
    /// From here.
    pub start: Duration,
    /// To here; none: to the end.
    pub end: Option<Duration>,
}

impl Span {
    /// Whether it is the whole medium.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.start.is_zero() && self.end.is_none()
    }
}

/// The frame of a picture, and how the picture comes into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Picture {
    /// Exact width and height in pixels, even numbers.
    pub size: (u32, u32),
    /// How it is filled.
    pub draw: Draw,
}

/// How a picture fills its frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Draw {
    /// The whole picture on the whole frame.
    Whole,
    /// What stands out is cut off evenly.
    Crop,
    /// Black bars beside it.
    Borders,
    /// Beside it, itself: blurred, darker, as large as fills the frame.
    Blurred,
}

/// What a copy of the source is called in scratch, where a pipeline opens it by its path. Never the name of a result.
pub const SOURCE_FILE: &str = ".source";

/// A pipeline in the rule's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelinePlan {
    /// Name in scratch.
    pub file: String,
    /// With `{input}` or `{file}`, and `{output}`.
    pub launch: String,
}

/// A snapshot, resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SnapshotPlan {
    /// One for each point, rising.
    pub stills: Vec<Still>,
    /// Form of the images.
    pub format: ImageFormat,
    /// 1 ..= 100.
    pub quality: u8,
    /// The frame after rotation.
    pub picture: Picture,
    /// A frame that is all but black gives way to the next one that is not.
    pub skip_black: bool,
    /// The rule names the points, so that one beyond the end is worth a word.
    pub points: bool,
}

/// One image to make.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Still {
    /// Name in scratch.
    pub file: String,
    /// The frame that is shown at this time.
    pub at: Duration,
}

/// A run as the daemon keeps it: the worker's part and where its files will go.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedRun {
    /// For the worker.
    pub plan: RunPlan,
    /// For publishing and checking.
    pub outputs: Vec<PlannedOutput>,
    /// Results of which nobody knows beforehand how many files they have.
    pub packages: Vec<PlannedPackage>,
    /// What the worker may use besides.
    pub grants: Grants,
    /// Files that are to lie in scratch before it begins, by the tasks that use them.
    pub assets: Vec<(TaskId, AssetUse)>,
}
