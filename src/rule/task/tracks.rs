//! Which sounds and subtitles of a medium a transcode takes, and what they are called.

use serde::{Deserialize, Serialize};

use super::Container;

/// The tracks of a transcode besides its film.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tracks {
    /// Which sounds.
    pub sounds: Choice,
    /// Which subtitles.
    pub subtitles: Choice,
    /// The languages of the sounds of the result, in their order, whatever the source says: codes in lower case.
    pub languages: Vec<String>,
}

impl Default for Tracks {
    fn default() -> Self {
        Self {
            sounds: Choice::First(1),
            subtitles: Choice::First(0),
            languages: Vec::new(),
        }
    }
}

/// Which streams of a sort.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    /// So many, from the first.
    First(u32),
    /// All of them.
    All,
    /// These, in this order, each once.
    These(Vec<Pick>),
}

impl Choice {
    /// No stream at all.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::First(0)
    }

    /// May be more than one stream, whatever the medium is.
    #[must_use]
    pub fn wants_several(&self) -> bool {
        match self {
            Self::First(count) => *count > 1,
            Self::All => true,
            Self::These(picks) => picks.len() > 1,
        }
    }
}

/// One stream, or those of a language.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pick {
    /// From 1, among those of its sort.
    Number(u32),
    /// A code in lower case, `und` where the source says none.
    Language(String),
}

impl Container {
    /// Holds several sounds that players let one choose from.
    #[must_use]
    pub fn holds_sounds(self) -> bool {
        matches!(
            self,
            Self::Mp4 | Self::Mov | Self::Mkv | Self::Webm | Self::Ts | Self::Mxf
        )
    }

    /// Holds text that is shown over the film.
    #[must_use]
    pub fn holds_subtitles(self) -> bool {
        matches!(self, Self::Mp4 | Self::Mov | Self::Mkv | Self::Webm)
    }

    /// Keeps the chapters of the source.
    #[must_use]
    pub fn holds_chapters(self) -> bool {
        matches!(self, Self::Mkv | Self::Webm | Self::Mp4 | Self::M4a | Self::Mov)
    }
}
