//! Writing to people and programs: whoever reads may leave early, a terminal may be narrow or colourless, and
//! names may hold anything.

use std::io::{IsTerminal, Write};

use jiff::Timestamp;
use serde::Serialize;

/// Writes a line to standard output. A reader that has gone is no trouble.
pub fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").ok();
}

/// Writes a line to standard error.
pub fn say(text: &str) {
    let mut err = std::io::stderr().lock();
    writeln!(err, "{text}").ok();
}

/// Writes a value as JSON to standard output.
pub fn print_json(value: &impl Serialize) {
    if let Ok(text) = serde_json::to_string_pretty(value) {
        print(&text);
    }
}

/// Columns of the terminal; none where standard output is none.
pub fn width() -> Option<usize> {
    let out = std::io::stdout();
    if !out.is_terminal() {
        return None;
    }
    rustix::termios::tcgetwinsize(&out)
        .ok()
        .map(|size| usize::from(size.ws_col))
        .filter(|columns| *columns > 0)
}

/// Colours a text, on a terminal and without `NO_COLOR` only.
pub struct Paint(bool);

impl Paint {
    /// As standard output takes it.
    pub fn new() -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        Self(std::io::stdout().is_terminal() && !refused && !dumb)
    }

    /// The text in the colour that goes with a state or verdict.
    pub fn state(&self, word: &str, text: &str) -> String {
        let code = match word {
            "succeeded" | "ok" | "enabled" | "complete" => "32",
            "failed" | "broken" | "gone" | "offline" => "31",
            "running" | "would_start" | "changed" => "36",
            "queued" | "busy" | "settling" | "arming" | "warning" => "33",
            "cancelled" | "skipped" | "waiting" | "disabled" | "other_bucket" => "2",
            _ => return text.to_owned(),
        };
        self.wrap(code, text)
    }

    /// A heading.
    pub fn bold(&self, text: &str) -> String {
        self.wrap("1", text)
    }

    fn wrap(&self, code: &str, text: &str) -> String {
        if self.0 {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// A text from elsewhere, so that it cannot steer the terminal.
pub fn tame(text: &str) -> String {
    text.chars()
        .map(|c| {
            let steers = c.is_control()
                || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            if steers { '\u{fffd}' } else { c }
        })
        .collect()
}

/// How long ago, in the largest unit that says something.
pub fn ago(then: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(then).as_secs();
    match seconds {
        ..0 => format!("in {}", span(seconds.unsigned_abs())),
        0..5 => "just now".to_owned(),
        _ => format!("{} ago", span(seconds.unsigned_abs())),
    }
}

/// A length of time in one unit: `40 s`, `3 min`, `5 h`, `12 days`.
pub fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// A size for people: `4.2 MiB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64;
    let mut unit = "";
    for next in UNITS {
        value /= 1024.0;
        unit = next;
        if value < 1023.95 {
            break;
        }
    }
    format!("{value:.1} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_the_unit_that_says_something() {
        let now: Timestamp = "2026-01-10T12:00:00Z".parse().expect("a time");
        let at = |seconds: i64| ago(now - jiff::SignedDuration::from_secs(seconds), now);
        assert_eq!(at(2), "just now");
        assert_eq!(at(59), "59 s ago");
        assert_eq!(at(200), "3 min ago");
        assert_eq!(at(7200), "2 h ago");
        assert_eq!(at(260_000), "3 days ago");
        assert_eq!(at(-90), "in 1 min");
    }

    #[test]
    fn sizes_are_told_in_binary_units() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(1024), "1.0 KiB");
        assert_eq!(size(4_404_019), "4.2 MiB");
        assert_eq!(size(1_048_575), "1.0 MiB");
        assert_eq!(size(u64::MAX), "16384.0 PiB");
    }

    #[test]
    fn a_name_cannot_steer_the_terminal() {
        assert_eq!(tame("a\x1b[31mb\nc\u{202e}d"), "a\u{fffd}[31mb\u{fffd}c\u{fffd}d");
        assert_eq!(tame("grüße 你好"), "grüße 你好");
    }
}
