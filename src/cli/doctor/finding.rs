//! One line of the doctor's answer.

use serde::Serialize;

use crate::cli::exit::Code;

/// How it stands with one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Works, and somebody should look at it.
    Warn,
    /// Does not work.
    Bad,
}

impl Level {
    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Bad => "bad",
        }
    }
}

/// What was found of one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How it stands.
    pub level: Level,
    /// What was looked at: `kernel`, `bucket inbox`.
    pub what: String,
    /// What was seen.
    pub says: String,
    /// What to do about it: words, or a command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// The exit code that it asks for, where it is bad.
    #[serde(skip)]
    pub code: Option<Code>,
}

/// As it should be.
pub fn ok(what: impl Into<String>, says: impl Into<String>) -> Finding {
    Finding {
        level: Level::Ok,
        what: what.into(),
        says: says.into(),
        help: None,
        code: None,
    }
}

/// Works, and somebody should look at it.
pub fn warn(what: impl Into<String>, says: impl Into<String>, help: impl Into<String>) -> Finding {
    Finding {
        level: Level::Warn,
        help: Some(help.into()),
        ..ok(what, says)
    }
}

/// Does not work.
pub fn bad(code: Code, what: impl Into<String>, says: impl Into<String>, help: impl Into<String>) -> Finding {
    Finding {
        level: Level::Bad,
        code: Some(code),
        ..warn(what, says, help)
    }
}

/// What the command ends with: the code of the first bad finding.
pub fn exit(findings: &[Finding]) -> Option<Code> {
    findings.iter().find_map(|finding| finding.code)
}
