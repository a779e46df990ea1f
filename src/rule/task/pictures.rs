//! Settings of tasks that make pictures: stills, sprites, animations.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Part, Point, SizeSpec};

/// Settings of a `snapshot` task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Where in the medium.
    pub moments: Moments,
    /// Form of the images.
    pub format: ImageFormat,
    /// Wanted picture size.
    pub size: SizeSpec,
    /// 1 ..= 100 for JPEG and WebP; ignored for PNG.
    pub quality: u8,
    /// A frame that is all but black gives way to the next one that is not.
    pub skip_black: bool,
}

/// Where stills are taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moments {
    /// At these points, in the order of the rule: 1 ..= 1000.
    At(Vec<Point>),
    /// From the beginning, this far apart: 100 ms ..= 24 h.
    Every(Duration),
    /// So many, each in the middle of its share of the medium: 1 ..= 1000.
    Count(u32),
}

/// Forms of still images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageFormat {
    /// JPEG.
    Jpg,
    /// PNG.
    Png,
    /// WebP.
    Webp,
}

impl ImageFormat {
    /// The usual file extension, without its dot.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Jpg => "jpg",
            Self::Png => "png",
            Self::Webp => "webp",
        }
    }
}

/// Settings of a `sprite` task: small pictures side by side on sheets, and a WebVTT map of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sprite {
    /// Rows of a sheet; rows times columns are at most 100.
    pub rows: u32,
    /// Columns of a sheet.
    pub columns: u32,
    /// Wanted size of one small picture.
    pub cell: SizeSpec,
    /// Distance of pictures: 100 ms ..= 1 h; none fills one sheet evenly.
    pub every: Option<Duration>,
    /// Form of the sheets.
    pub format: ImageFormat,
    /// 1 ..= 100 for JPEG and WebP; ignored for PNG.
    pub quality: u8,
}

/// Settings of an `animation` task: a short silent loop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Animation {
    /// Form of the file.
    pub format: AnimationFormat,
    /// Of the medium.
    pub part: Part,
    /// How long it is, where `part` has no end: 100 ms ..= 1 min; none: five seconds.
    pub length: Option<Duration>,
    /// Frames a second: 1 ..= 30.
    pub fps: f64,
    /// Wanted picture size.
    pub size: SizeSpec,
    /// 1 ..= 100.
    pub quality: u8,
}

impl Animation {
    /// The longest that there are.
    pub const LONGEST: Duration = Duration::from_mins(1);
    /// How long it is where nothing says so.
    pub const USUAL: Duration = Duration::from_secs(5);
}

/// Forms of animations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnimationFormat {
    /// GIF.
    Gif,
    /// Animated WebP.
    Webp,
}

impl AnimationFormat {
    /// The usual file extension, without its dot.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Gif => "gif",
            Self::Webp => "webp",
        }
    }
}
