//! How a child ended, and its last words.

use std::collections::VecDeque;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use super::distrust::clean;
use crate::job::{ErrorKind, Failure};

const KEPT_STDERR: usize = 16 << 10;

/// What the end of a child means.
pub(super) fn ended(status: ExitStatus, words: &str) -> Failure {
    let said = if words.is_empty() {
        String::new()
    } else {
        format!("; its last words: {words}")
    };
    match status.signal() {
        Some(libc::SIGSYS) => Failure::new(
            ErrorKind::JailViolation,
            format!("the worker tried what its jail forbids{said}"),
        ),
        Some(libc::SIGKILL) => Failure::new(
            ErrorKind::Crashed,
            format!("the worker was killed (perhaps for lack of memory){said}"),
        ),
        Some(signal) => Failure::new(
            ErrorKind::Crashed,
            format!("the worker crashed by {}{said}", signal_name(signal)),
        ),
        None => Failure::new(
            ErrorKind::Crashed,
            format!(
                "the worker ended with code {} before its work was done{said}",
                status.code().unwrap_or(-1)
            ),
        ),
    }
}

fn signal_name(signal: i32) -> String {
    let name = match signal {
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGABRT => "SIGABRT",
        libc::SIGBUS => "SIGBUS",
        libc::SIGILL => "SIGILL",
        libc::SIGFPE => "SIGFPE",
        libc::SIGTERM => "SIGTERM",
        libc::SIGINT => "SIGINT",
        libc::SIGTRAP => "SIGTRAP",
        libc::SIGXCPU => "SIGXCPU",
        libc::SIGXFSZ => "SIGXFSZ",
        libc::SIGHUP => "SIGHUP",
        other => return format!("signal {other}"),
    };
    name.to_owned()
}

/// What a child wrote on standard error: the end of it.
#[derive(Debug, Default)]
pub(super) struct Words {
    kept: VecDeque<u8>,
}

impl Words {
    /// Keeps and logs what came.
    pub(super) fn hear(&mut self, bytes: &[u8]) {
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            tracing::debug!(target: "reelmill::worker", "{}", String::from_utf8_lossy(line).escape_debug());
        }
        self.kept.extend(bytes);
        let excess = self.kept.len().saturating_sub(KEPT_STDERR);
        self.kept.drain(..excess);
    }

    /// The last line, cleaned.
    pub(super) fn last(&self) -> String {
        let bytes: Vec<u8> = self.kept.iter().copied().collect();
        let text = String::from_utf8_lossy(&bytes);
        let mut line = text
            .lines()
            .rev()
            .find(|line| !line.trim().is_empty())
            .unwrap_or("")
            .to_owned();
        clean(&mut line);
        line
    }
}
