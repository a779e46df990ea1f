//! What the probe says of a medium.

use std::time::Duration;

use serde::{Deserialize, Serialize};

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
