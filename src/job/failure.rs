//! How work can fail, and what may be noticed about a medium without failing.

use serde::{Deserialize, Serialize};

/// Kinds of failure, spelled the same in API, SQL and on the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The worker ended by a signal or without a last word.
    Crashed,
    /// The run took longer than `retry.timeout`.
    TimedOut,
    /// Nothing moved for `retry.stall`.
    Stalled,
    /// The worker was killed for its memory.
    OutOfMemory,
    /// The worker tried what the jail forbids.
    JailViolation,
    /// The worker and the daemon did not understand each other.
    Protocol,
    /// No element for this medium.
    Unsupported,
    /// Not a medium, or damaged beyond use.
    Corrupt,
    /// Ends before its declared end (with `strict`).
    Truncated,
    /// The medium lacks the stream that the task needs.
    NoSuchStream,
    /// A result did not pass its check: streams, sizes, duration.
    BadOutput,
    /// An element failed while it worked.
    Pipeline,
    /// No space left where results are written.
    NoSpace,
    /// The final name belongs to something else.
    NameTaken,
    /// A bucket did not answer or is not mounted.
    Offline,
    /// Not permitted to read or write.
    Permission,
    /// Reading or writing failed otherwise.
    Io,
    /// The rule cannot be carried out on this medium.
    Plan,
    /// A fault of the program itself.
    Internal,
}

impl ErrorKind {
    /// Every kind.
    pub const ALL: [Self; 19] = [
        Self::Crashed,
        Self::TimedOut,
        Self::Stalled,
        Self::OutOfMemory,
        Self::JailViolation,
        Self::Protocol,
        Self::Unsupported,
        Self::Corrupt,
        Self::Truncated,
        Self::NoSuchStream,
        Self::BadOutput,
        Self::Pipeline,
        Self::NoSpace,
        Self::NameTaken,
        Self::Offline,
        Self::Permission,
        Self::Io,
        Self::Plan,
        Self::Internal,
    ];

    /// The one spelling.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Crashed => "crashed",
            Self::TimedOut => "timed_out",
            Self::Stalled => "stalled",
            Self::OutOfMemory => "out_of_memory",
            Self::JailViolation => "jail_violation",
            Self::Protocol => "protocol",
            Self::Unsupported => "unsupported",
            Self::Corrupt => "corrupt",
            Self::Truncated => "truncated",
            Self::NoSuchStream => "no_such_stream",
            Self::BadOutput => "bad_output",
            Self::Pipeline => "pipeline",
            Self::NoSpace => "no_space",
            Self::NameTaken => "name_taken",
            Self::Offline => "offline",
            Self::Permission => "permission",
            Self::Io => "io",
            Self::Plan => "plan",
            Self::Internal => "internal",
        }
    }

    /// The kind of this spelling.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// A failure as data: what it was and a sentence that a person understands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Decides about retries.
    pub kind: ErrorKind,
    /// What happened, in plain words, without the kind's name.
    pub message: String,
}

impl Failure {
    /// A failure of this kind with this message.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }
}

/// Something noticed about the medium.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What sort.
    pub kind: FindingKind,
    /// In plain words, with figures.
    pub message: String,
}

/// Sorts of findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// A stream ends before its declared end.
    Truncated,
    /// Damaged data was met.
    Corrupt,
    /// A stream of the source is not in the result, and nobody asked for that.
    StreamLeftOut,
    /// A stream that was asked for is not in the source.
    StreamMissing,
    /// A wanted point lies beyond the end.
    PointBeyondEnd,
    /// A film that was copied stands on its side, and its container cannot say so.
    RotationLost,
    /// The result has fewer channels than the source, and nobody asked for that.
    MixedDown,
    /// The wanted loudness was not reached.
    LoudnessMissed,
    /// An inspection found a black picture.
    Black,
    /// An inspection found a picture that does not move.
    Frozen,
    /// An inspection found no sound.
    Silent,
    /// An inspection found the whole too quiet.
    TooQuiet,
    /// An inspection found the whole too loud.
    TooLoud,
    /// An inspection found black borders around the picture.
    BlackBorders,
    /// An inspection found a blurred picture.
    Blurred,
    /// An inspection found no stream of sound.
    NoAudio,
    /// An inspection found no film.
    NoVideo,
    /// A wanted form of a film would be no larger than another, since the source is not.
    RenditionLeftOut,
}
