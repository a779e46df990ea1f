//! What was tried at a bucket, and what came of it.

use serde::Serialize;

use crate::bucket::BucketError;
use crate::cli::exit::Code;
use crate::object::BucketName;

/// How it stands with one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It works.
    Ok,
    /// No rule needs it, so it was not tried.
    NotNeeded,
    /// It could not be tried, or works less well than it might.
    Warning,
    /// It is needed, and does not work.
    Failed,
}

impl State {
    /// For people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::NotNeeded => "not needed",
            Self::Warning => "warning",
            Self::Failed => "failed",
        }
    }
}

/// One thing that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tried {
    /// What: `list`, `put`, `queue`.
    pub what: &'static str,
    /// How it stands.
    pub state: State,
    /// What was seen, or why it failed and what would help.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub says: Option<String>,
    /// Commands that add what is missing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<String>,
    /// The exit code that it asks for, where it failed.
    #[serde(skip)]
    pub code: Option<Code>,
}

impl Tried {
    fn new(what: &'static str, state: State, says: Option<String>) -> Self {
        Self {
            what,
            state,
            says,
            commands: Vec::new(),
            code: None,
        }
    }

    /// It works.
    pub fn ok(what: &'static str) -> Self {
        Self::new(what, State::Ok, None)
    }

    /// It works, and there is more to say.
    pub fn good(what: &'static str, says: impl Into<String>) -> Self {
        Self::new(what, State::Ok, Some(says.into()))
    }

    /// No rule needs it.
    pub fn not_needed(what: &'static str) -> Self {
        Self::new(what, State::NotNeeded, None)
    }

    /// It could not be tried, or works less well than it might.
    pub fn warning(what: &'static str, says: impl Into<String>) -> Self {
        Self::new(what, State::Warning, Some(says.into()))
    }

    /// It is needed, and does not work.
    pub fn failed(code: Code, what: &'static str, says: impl Into<String>) -> Self {
        Self {
            code: Some(code),
            ..Self::new(what, State::Failed, Some(says.into()))
        }
    }

    /// It is needed, and the bucket refuses.
    pub fn refused(what: &'static str, bucket: &BucketName, error: &BucketError) -> Self {
        Self::failed(code(error), what, words(bucket, error))
    }

    /// With commands that add what is missing.
    #[must_use]
    pub fn with_commands(mut self, commands: Vec<String>) -> Self {
        self.commands = commands;
        self
    }
}

/// An error without the bucket's name, which stands above it.
pub fn words(bucket: &BucketName, error: &BucketError) -> String {
    let words = error.to_string();
    let lead = format!("bucket {bucket}: ");
    words.strip_prefix(&lead).map(str::to_owned).unwrap_or(words)
}

fn code(error: &BucketError) -> Code {
    match error {
        BucketError::Transient { .. } => Code::Unavailable,
        // What the server answers is told with its number.
        BucketError::Permanent { message, .. } if message.contains("(403)") || message.contains("answers 403") => {
            Code::Permission
        }
        BucketError::Permanent { .. } => Code::Config,
        // Somebody was at what is nobody else's.
        BucketError::NotFound(_) | BucketError::Changed(_) => Code::Temporary,
    }
}

/// All that was tried at one bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Its name in the config.
    pub bucket: BucketName,
    /// Where it is.
    pub location: String,
    /// What rules do with it.
    pub role: String,
    /// One after the other.
    pub tried: Vec<Tried>,
}
