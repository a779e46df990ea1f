//! Writing to people and programs: whoever reads may leave early, a terminal may be narrow or colourless, and
//! names may hold anything.

use std::io::{ErrorKind, IsTerminal, Write};
use std::sync::OnceLock;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

pub use super::terminal::tame;

/// The first trouble with standard output.
static UNWRITTEN: OnceLock<std::io::Error> = OnceLock::new();

/// Writes a line to standard output. A reader that has gone is no trouble; others are kept for [`unwritten`].
pub fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    if let Err(error) = writeln!(out, "{text}").and_then(|()| out.flush())
        && error.kind() != ErrorKind::BrokenPipe
    {
        UNWRITTEN.set(error).ok();
    }
}

/// Why some of the answer could not be written: a full disk, for example.
pub fn unwritten() -> Option<&'static std::io::Error> {
    UNWRITTEN.get()
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

/// Writes prose after a lead, broken between words where the terminal ends.
pub fn print_wrapped(lead: &str, text: &str) {
    for line in super::terminal::wrap(lead, text, width()) {
        print(&line);
    }
}

/// Columns of the terminal. Where standard output is none, what `COLUMNS` says; nothing said: no limit.
pub fn width() -> Option<usize> {
    let out = std::io::stdout();
    if out.is_terminal()
        && let Ok(size) = rustix::termios::tcgetwinsize(&out)
        && size.ws_col > 0
    {
        return Some(usize::from(size.ws_col));
    }
    let said = std::env::var("COLUMNS").ok()?;
    said.trim().parse().ok().filter(|columns| *columns > 0)
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

    /// Without any colour.
    pub fn plain() -> Self {
        Self(false)
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

/// A length of time in the two units that say something: `0.4 s`, `12 s`, `1 min 12 s`, `2 h 5 min`, `3 days 4 h`.
pub fn length(seconds: f64) -> String {
    let whole = Duration::try_from_secs_f64(seconds.max(0.0)).map_or(0, |time| time.as_secs());
    let two = |large: u64, one: &str, small: u64, other: &str| match small {
        0 => format!("{large} {one}"),
        _ => format!("{large} {one} {small} {other}"),
    };
    match whole {
        0..10 => format!("{:.1} s", seconds.max(0.0)),
        10..60 => format!("{whole} s"),
        60..3600 => two(whole / 60, "min", whole % 60, "s"),
        3600..172_800 => two(whole / 3600, "h", whole % 3600 / 60, "min"),
        _ => two(whole / 86_400, "days", whole % 86_400 / 3600, "h"),
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
    fn lengths_are_told_in_the_two_units_that_say_something() {
        for (seconds, words) in [
            (-1.0, "0.0 s"),
            (0.42, "0.4 s"),
            (12.9, "12 s"),
            (60.0, "1 min"),
            (72.0, "1 min 12 s"),
            (7500.0, "2 h 5 min"),
            (100_000.0, "27 h 46 min"),
            (273_600.0, "3 days 4 h"),
        ] {
            assert_eq!(length(seconds), words);
        }
    }
}
