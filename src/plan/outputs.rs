//! What is expected of the files of a run, and what was found of them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Coded, Span};
use crate::object::ObjectKey;
use crate::rule::{Container, TaskId};

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
