//! Settings of an `extract` task.

use serde::{Deserialize, Serialize};

/// Streams of the medium that become files as they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extract {
    /// All sound.
    pub audio: bool,
    /// All subtitles.
    pub subtitles: bool,
    /// All other streams but films and covers.
    pub data: bool,
    /// Only streams of these languages, in lower case; nothing: of all.
    pub languages: Vec<String>,
    /// What plain text becomes.
    pub text: TextForm,
}

/// Forms of plain subtitles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextForm {
    /// SubRip.
    Srt,
    /// WebVTT.
    Vtt,
}
