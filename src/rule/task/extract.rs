//! Settings of an `extract` task.

use serde::{Deserialize, Serialize};

/// Streams of the medium that become files as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extract {
    /// All sound.
    pub audio: bool,
    /// All subtitles.
    pub subtitles: bool,
    /// All other streams.
    pub data: bool,
}
