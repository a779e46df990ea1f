//! The settings of tasks that look and listen: waveforms and inspections.

use std::time::Duration;

use super::kinds::LATER_OF_TASKS;
use super::or_default;
use crate::diagnostic::reader::{Table, Value};
use crate::rule::{Inspect, TaskKind, Waveform};

const HOUR: Duration = Duration::from_hours(1);

/// A `waveform` task.
pub(super) fn waveform(mut table: Table<'_>) -> Option<TaskKind> {
    let width = or_default(table.get("width"), 1800, |value| value.count(16..=16384));
    let height = or_default(table.get("height"), 280, |value| value.count(16..=4096));
    let colour = or_default(table.get("color"), [0x2d, 0x7f, 0xf9, 0xff], colour);
    let background = or_default(table.get("background"), [0, 0, 0, 0], colour_or_none);
    let split = or_default(table.get("channels"), false, |value| {
        value.one_of(&[("mix", false), ("split", true)], &[])
    });
    let points = or_default(table.get("points"), 4000, |value| value.count(100..=65536));
    table.finish(&LATER_OF_TASKS);
    Some(TaskKind::Waveform(Waveform {
        width: width?,
        height: height?,
        colour: colour?,
        background: background?,
        split: split?,
        points: points?,
    }))
}

/// `#rrggbb` or `#rrggbbaa`.
fn colour(value: &Value<'_>) -> Option<[u8; 4]> {
    let text = value.text()?;
    let parsed = parse_colour(text);
    if parsed.is_none() {
        let message = format!("\"{}\" is no colour", text.escape_debug());
        value.error(message, "a colour reads \"#2d7ff9\", or \"#2d7ff980\" with its opacity");
    }
    parsed
}

fn colour_or_none(value: &Value<'_>) -> Option<[u8; 4]> {
    if value.is_word("none") {
        return Some([0, 0, 0, 0]);
    }
    colour(value)
}

fn parse_colour(text: &str) -> Option<[u8; 4]> {
    let digits = text.strip_prefix('#')?;
    if !matches!(digits.len(), 6 | 8) || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut colour = [0xff; 4];
    for (at, part) in colour.iter_mut().enumerate().take(digits.len() / 2) {
        *part = u8::from_str_radix(&digits[at * 2..at * 2 + 2], 16).ok()?;
    }
    Some(colour)
}

/// An `inspect` task.
pub(super) fn inspect(mut table: Table<'_>) -> Option<TaskKind> {
    let usual = Inspect::usual();
    let mut span = |key, usual, low| {
        or_default(table.get(key), usual, |value| {
            unless_none(value, |value| value.duration(Duration::from_millis(low)..=HOUR))
        })
    };
    let black = span("black", usual.black, 40);
    let frozen = span("frozen", usual.frozen, 200);
    let silent = span("silent", usual.silent, 10);
    let silence_level = or_default(table.get("silence_level"), usual.silence_level, |value| {
        value.level("dB", -120.0..=-20.0)
    });
    let (quiet_value, loud_value) = (table.get("quiet"), table.get("loud"));
    let level = |value: Option<Value<'_>>, usual| {
        or_default(value, usual, |value| {
            unless_none(value, |value| value.level("LUFS", -70.0..=0.0))
        })
    };
    let (quiet, loud) = (
        level(quiet_value.clone(), usual.quiet),
        level(loud_value.clone(), usual.loud),
    );
    if let (Some(Some(low)), Some(Some(high)), Some(value)) = (quiet, loud, quiet_value.or(loud_value))
        && low >= high
    {
        value.error(
            format!("everything would be too quiet or too loud: below {low} LUFS, above {high} LUFS"),
            "`quiet` must be below `loud`",
        );
    }
    let borders = or_default(table.get("borders"), usual.borders, Value::boolean);
    let blur = or_default(table.get("blur"), usual.blur, |value| {
        unless_none(value, |value| value.float(0.1..=1.0))
    });
    let no_audio = or_default(table.get("no_audio"), usual.no_audio, Value::boolean);
    let no_video = or_default(table.get("no_video"), usual.no_video, Value::boolean);
    table.finish(&LATER_OF_TASKS);
    Some(TaskKind::Inspect(Inspect {
        black: black?,
        frozen: frozen?,
        silent: silent?,
        silence_level: silence_level?,
        quiet: quiet?,
        loud: loud?,
        borders: borders?,
        blur: blur?,
        no_audio: no_audio?,
        no_video: no_video?,
    }))
}

/// A threshold, or `"none"` for what is not looked for.
#[expect(clippy::option_option, reason = "a fault is not an absence")]
fn unless_none<T>(value: &Value<'_>, read: impl FnOnce(&Value<'_>) -> Option<T>) -> Option<Option<T>> {
    if value.is_word("none") {
        return Some(None);
    }
    read(value).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_six_or_eight_digits() {
        assert_eq!(parse_colour("#2d7fF9"), Some([0x2d, 0x7f, 0xf9, 0xff]));
        assert_eq!(parse_colour("#00000080"), Some([0, 0, 0, 0x80]));
        for text in [
            "",
            "#",
            "#fff",
            "2d7ff9",
            "#2d7ff",
            "#2d7ff9f",
            "#gg0000",
            "#+10000",
            "#\u{e9}\u{e9}\u{e9}",
        ] {
            assert_eq!(parse_colour(text), None, "{text}");
        }
    }
}
