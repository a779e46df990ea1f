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
mod names;
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

use crate::object::ObjectKey;
use crate::rule::asset::AssetUse;
use crate::rule::{Container, Grants, ImageFormat, TaskId, Transcode};
pub use adaptive::{
    AdaptivePlan, KEY, Lock, MANIFEST, MASTER, PackageKey, PlannedPackage, PlannedRendition, PlannedSound,
};
pub use clips::{ClipPlan, ClipsPlan, joined};
pub use coded::Coded;
pub use estimate::{Shortage, admit, estimate};
pub use extract::{ExtractPlan, ExtractedStream, TakenAs};
pub use listening::{InspectPlan, WaveformPlan};
pub use overlay::{Area, ContentPlan, CoverPlan, EffectPlan, MosaicPlan, OverlayPlan, Window};
pub use package::MOST_FILES;
pub use pictures::{AnimationPlan, SpritePlan};
pub use provenance::{KeptProvenance, Provenance, without_secrets};
pub use run::{Planned, Wanted, needs_media, plan};
pub use size::{picture, same_ratio};
pub use tracks::{Lines, SoundPlan, SubtitlePlan, TracksPlan};
pub use truncation::{Ends, truncated};
pub use verify::verify;

/// What the probe says of a medium.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MediaInfo {
    /// In words: `Quicktime`, `Matroska`, ...
    pub container: String,
    /// Size in bytes.
    pub size: u64,
    /// Declared length; none where the container does not say.
    pub duration: Option<Duration>,
    /// Average bits a second, from size and duration.
    pub bitrate: Option<u64>,
    /// Can be read from any point.
    pub seekable: bool,
    /// In the order of the container.
    pub streams: Vec<StreamInfo>,
    /// Title, artist, date ...: as the container has them, control characters removed.
    pub tags: Vec<(String, String)>,
    /// Chapters, where there are any.
    pub chapters: Vec<Chapter>,
}

impl MediaInfo {
    /// The video stream that is used: the first that is not a cover picture.
    #[must_use]
    pub fn video(&self) -> Option<&VideoStream> {
        match &self.video_stream()?.kind {
            StreamKind::Video(video) => Some(video),
            _ => None,
        }
    }

    /// As [`Self::video`], with what every stream has.
    #[must_use]
    pub fn video_stream(&self) -> Option<&StreamInfo> {
        self.streams.iter().find(|stream| stream.is_film())
    }

    /// The audio stream that is used: the first.
    #[must_use]
    pub fn audio(&self) -> Option<&AudioStream> {
        match &self.audio_stream()?.kind {
            StreamKind::Audio(audio) => Some(audio),
            _ => None,
        }
    }

    /// As [`Self::audio`], with what every stream has.
    #[must_use]
    pub fn audio_stream(&self) -> Option<&StreamInfo> {
        let is_audio = |stream: &&StreamInfo| matches!(stream.kind, StreamKind::Audio(_));
        self.streams.iter().find(is_audio)
    }
}

/// One stream of a medium.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StreamInfo {
    /// From 0, in the order of the container.
    pub index: u32,
    /// In words: `H.264 (High Profile)`.
    pub codec: String,
    /// In one word: `h264`, `aac`, `srt`; its media type where there is none.
    #[serde(default)]
    pub format: String,
    /// Declared length of this stream, where the container has one for each.
    pub duration: Option<Duration>,
    /// Bits a second, where declared.
    pub bitrate: Option<u64>,
    /// ISO 639 code.
    pub language: Option<String>,
    /// What sort of stream.
    #[serde(flatten)]
    pub kind: StreamKind,
}

impl StreamInfo {
    /// Moving pictures, not a cover.
    #[must_use]
    pub fn is_film(&self) -> bool {
        matches!(&self.kind, StreamKind::Video(video) if !video.is_image)
    }
}

/// Sorts of streams.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum StreamKind {
    /// Moving pictures.
    Video(VideoStream),
    /// Sound.
    Audio(AudioStream),
    /// Text or bitmaps to be laid over.
    Subtitle,
    /// Anything else.
    Other,
}

/// A video stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VideoStream {
    /// Stored size in pixels, before rotation.
    pub width: u32,
    /// As `width`.
    pub height: u32,
    /// Frames a second as a fraction; 0/1 where it varies or is unknown.
    pub fps: (u32, u32),
    /// Width of a pixel over its height.
    pub pixel_aspect: (u32, u32),
    /// Bits a sample.
    pub depth: u32,
    /// Stored as fields.
    pub interlaced: bool,
    /// Clockwise degrees to turn for display: 0, 90, 180, 270.
    pub rotation: u32,
    /// A cover picture, not a film.
    pub is_image: bool,
    /// What its samples mean.
    #[serde(default)]
    pub colour: Colour,
}

/// What the samples of a film mean, as far as the medium says so.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Colour {
    /// How samples become light: `bt709`, `smpte2084`, `arib-std-b67` ...
    pub transfer: Option<String>,
    /// The three colours that all others are mixed of: `bt709`, `bt2020` ...
    pub primaries: Option<String>,
    /// How red, green and blue become samples: `bt709`, `bt2020` ...
    pub matrix: Option<String>,
    /// Samples reach from 0 to the largest number.
    pub full_range: bool,
    /// A high dynamic range.
    pub hdr: Option<HdrForm>,
    /// The brightest light that it was made for, in candela a square metre, where it says so.
    pub peak: Option<u32>,
}

/// Forms of a high dynamic range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HdrForm {
    /// Perceptual quantizer (SMPTE ST 2084), as HDR10 has it.
    Pq,
    /// Hybrid log-gamma (ARIB STD-B67).
    Hlg,
    /// Dolby Vision in colours that nothing else can show (profile 5).
    DolbyVision,
}

impl VideoStream {
    /// Size in square pixels as displayed: pixel aspect and rotation applied.
    #[must_use]
    pub fn display_size(&self) -> (u32, u32) {
        let (num, den) = self.pixel_aspect;
        let width = if num == 0 || den == 0 {
            self.width
        } else {
            let wide = (u64::from(self.width) * u64::from(num) + u64::from(den) / 2) / u64::from(den);
            u32::try_from(wide).unwrap_or(self.width)
        };
        if self.rotation % 180 == 90 {
            (self.height, width)
        } else {
            (width, self.height)
        }
    }
}

/// An audio stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AudioStream {
    /// Number of channels.
    pub channels: u32,
    /// Samples a second.
    pub rate: u32,
}

/// A chapter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Chapter {
    /// Where it starts.
    pub start: Duration,
    /// Where it ends.
    pub end: Option<Duration>,
    /// Its title, control characters removed.
    pub title: String,
}

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

/// One file that a run will write.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedOutput {
    /// By which task.
    pub task: TaskId,
    /// Name in scratch.
    pub file: String,
    /// Final key in the output bucket.
    pub key: ObjectKey,
    /// What its check must find.
    pub expect: Expect,
}

/// What the check of an output must find.
#[derive(Debug, Clone, PartialEq)]
pub enum Expect {
    /// Byte for byte the source: this size.
    SourceBytes(u64),
    /// JSON of the probe.
    Json,
    /// Whatever it is, it is not empty.
    Something,
    /// One image of this size in pixels.
    Image(u32, u32),
    /// One image of rows of small pictures.
    Sheet {
        /// In pixels.
        width: u32,
        /// Height of a row.
        row: u32,
        /// The most rows.
        rows: u32,
    },
    /// Pictures that move.
    Animation {
        /// In pixels.
        width: u32,
        /// In pixels.
        height: u32,
        /// The most pictures.
        frames: u32,
        /// All of them together.
        length: Duration,
    },
    /// A medium.
    Media {
        /// Its form.
        container: Container,
        /// What its video must be.
        video: Form,
        /// How its video must be coded.
        coded: Coded,
        /// What each of its sounds must be.
        sounds: Vec<Form>,
        /// Of this part of the source.
        span: Span,
        /// Clips come before or after that.
        joined: bool,
    },
    /// What players of a package open first.
    Package {
        /// Width and height of every form of the film.
        pictures: Vec<(u32, u32)>,
        /// What players must understand of each.
        coded: Vec<Coded>,
        /// Channels, and samples a second, of every sound.
        sounds: Vec<(u32, u32)>,
        /// Of this part of the source.
        span: Span,
    },
}

/// What a track of a result must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Not there.
    Absent,
    /// There, as the source has it.
    Copied,
    /// Video of this width and height, or sound of so many channels and samples a second.
    Made(u32, u32),
    /// Likewise, or not there: whether there is any sound in a clip nobody knows beforehand.
    Possible(u32, u32),
}

/// What a worker found when it read a finished file back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum OutputReport {
    /// Not media: copied or JSON.
    Bytes,
    /// An image.
    Image {
        /// In pixels.
        width: u32,
        /// In pixels.
        height: u32,
    },
    /// Pictures that move, every one of which was decoded.
    Animation {
        /// In pixels.
        width: u32,
        /// In pixels.
        height: u32,
        /// Those in the file, where the same one may stand for several.
        frames: u32,
        /// Those that there were to be drawn.
        drawn: u32,
        /// All of them together.
        length: Duration,
        /// They begin again for ever.
        endless: bool,
    },
    /// A medium, every packet of which was read.
    Media {
        /// Of each track.
        tracks: Vec<TrackReport>,
        /// Packets of each of its subtitles.
        #[serde(default)]
        subtitles: Vec<u64>,
        /// The index lies before the media data; none where the form has none.
        index_in_front: Option<bool>,
    },
    /// A manifest, every segment of which was read.
    Package {
        /// Of each form of the film, then of each sound. All begin at zero.
        tracks: Vec<TrackReport>,
    },
}

/// One track of a finished file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct TrackReport {
    /// Video, else audio.
    pub video: bool,
    /// In pixels; 0 for audio.
    pub width: u32,
    /// In pixels; 0 for audio.
    pub height: u32,
    /// 0 for video.
    pub channels: u32,
    /// Samples a second; 0 for video.
    pub rate: u32,
    /// Packets.
    pub packets: u64,
    /// First presentation time.
    pub start: Duration,
    /// End of the last packet.
    pub end: Duration,
    /// Where the source's stream that fed this track started ...
    pub source_start: Duration,
    /// ... and ended, as decoded.
    pub source_end: Duration,
    /// Pictures that were handed to what writes the file; 0 for sound, which is cut anew.
    pub pictures: u64,
    /// How its packets are coded, as far as they say so.
    #[serde(default)]
    pub coded: Coded,
}
