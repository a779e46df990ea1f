//! Exit codes, and troubles that end a command.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::{output, report};
use crate::diagnostic::Diagnostic;

/// Exit codes as `sysexits.h` has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    /// The command ran, and what it was about failed.
    Failed = 1,
    /// The command line is wrong.
    Usage = 64,
    /// A rule or other data is wrong.
    Data = 65,
    /// Something named is not there.
    NoInput = 66,
    /// The daemon is not running.
    Unavailable = 69,
    /// A fault of the program.
    Internal = 70,
    /// Something cannot be written.
    CannotCreate = 73,
    /// The answer cannot be written.
    Io = 74,
    /// Try again later.
    Temporary = 75,
    /// Not permitted.
    Permission = 77,
    /// The config is wrong.
    Config = 78,
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code as u8)
    }
}

/// Why a command could not be carried out.
#[derive(Debug)]
pub struct Trouble {
    /// For the shell.
    pub code: Code,
    /// The kind, for programs.
    pub kind: String,
    /// For people: what is wrong and where, on one line. May hold words of strangers.
    pub message: String,
    /// For people: what to do about it, in words of our own.
    pub help: Option<String>,
    /// What is wrong in files, where that is the trouble.
    pub diagnostics: Vec<Diagnostic>,
}

impl Trouble {
    /// A trouble of this sort.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        let kind = match code {
            Code::Failed => "failed",
            Code::Usage => "bad_request",
            Code::Data => "data",
            Code::NoInput => "not_found",
            Code::Unavailable => "not_running",
            Code::Internal => "internal",
            Code::CannotCreate => "cannot_create",
            Code::Io => "io",
            Code::Temporary => "temporary",
            Code::Permission => "permission",
            Code::Config => "config",
        };
        Self {
            code,
            kind: kind.to_owned(),
            message: message.into(),
            help: None,
            diagnostics: Vec::new(),
        }
    }

    /// With what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Files that are wrong.
    pub fn in_files(code: Code, message: impl Into<String>, diagnostics: Vec<Diagnostic>) -> Self {
        Self {
            diagnostics,
            ..Self::new(code, message)
        }
    }

    /// A file that could not be read or written; the kind of error decides the code.
    pub fn io(what: &str, error: &std::io::Error, otherwise: Code) -> Self {
        let code = match error.kind() {
            std::io::ErrorKind::NotFound if otherwise != Code::CannotCreate => Code::NoInput,
            std::io::ErrorKind::PermissionDenied => Code::Permission,
            _ => otherwise,
        };
        match error.kind() {
            std::io::ErrorKind::NotFound => Self::new(code, format!("{what}: it is not there")),
            std::io::ErrorKind::PermissionDenied => Self::new(code, format!("{what}: permission denied"))
                .help("use another user or sudo, or change its mode"),
            _ => Self::new(code, format!("{what}: {error}")),
        }
    }

    /// Says it, and answers the exit code.
    pub fn tell(&self, json: bool) -> ExitCode {
        if json {
            let mut error = json!({ "kind": self.kind, "message": self.message });
            if let Some(help) = &self.help {
                error["help"] = json!(help);
            }
            if !self.diagnostics.is_empty() {
                error["diagnostics"] = report::to_json(&self.diagnostics);
            }
            let value: Value = json!({ "error": error });
            output::print_json(&value);
        } else {
            if !self.diagnostics.is_empty() {
                report::to_stderr(&self.diagnostics);
            }
            output::say(&format!("reelmill: {}", output::tame(&self.message)));
            for line in self.help.iter().flat_map(|help| help.lines()) {
                output::say(&format!("  {line}"));
            }
        }
        self.code.into()
    }
}
