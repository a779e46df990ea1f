//! Lengths of time, points in a medium, sizes and rates as people write them.
//!
//! Exact: nothing passes through a floating-point number except percentages. Every parser takes the whole text or
//! says in a sentence what it should look like.

use std::fmt::Write as _;
use std::time::Duration;

use crate::rule::Point;

/// What a length of time looks like.
pub const DURATION_FORM: &str = "a length of time reads \"90s\", \"1m30s\", \"250ms\" or \"00:01:30.5\"";
/// What a point in a medium looks like.
pub const POINT_FORM: &str = "a point reads \"10%\", \"5s\" or \"00:01:30.5\"; \"-10s\" counts back from the end";
/// What a size looks like.
pub const SIZE_FORM: &str = "a size reads \"8MiB\", \"500KB\" or \"1.5GiB\"";
/// What a rate looks like.
pub const RATE_FORM: &str = "a rate reads \"2500k\" or \"2.5M\" (bits a second)";

const NANOS: u128 = 1_000_000_000;

/// Units of time, longest first, in nanoseconds.
const TIME_UNITS: [(&str, u128); 5] = [
    ("d", 86_400 * NANOS),
    ("h", 3_600 * NANOS),
    ("m", 60 * NANOS),
    ("s", NANOS),
    ("ms", NANOS / 1_000),
];

/// Reads a length of time; none where the text is no such thing.
pub fn duration(text: &str) -> Option<Duration> {
    let nanos = if text.contains(':') { clock(text)? } else { units(text)? };
    let seconds = u64::try_from(nanos / NANOS).ok()?;
    Some(Duration::new(seconds, u32::try_from(nanos % NANOS).ok()?))
}

/// `1h30m`, `1.5s`: each unit at most once, longest first.
fn units(text: &str) -> Option<u128> {
    let mut rest = text;
    let mut total: u128 = 0;
    let mut allowed = &TIME_UNITS[..];
    while !rest.is_empty() {
        let end = rest.find(|c: char| c.is_ascii_alphabetic())?;
        let (number, after) = rest.split_at(end);
        let end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let at = allowed.iter().position(|(name, _)| *name == unit)?;
        total = total.checked_add(decimal(number, allowed[at].1)?)?;
        allowed = &allowed[at + 1..];
        rest = after;
    }
    (!text.is_empty()).then_some(total)
}

/// `HH:MM:SS.fraction` or `MM:SS`.
fn clock(text: &str) -> Option<u128> {
    let mut parts = text.rsplit(':');
    let seconds = decimal(parts.next()?, NANOS)?;
    let minutes = whole(parts.next()?)?;
    let hours = parts.next();
    if parts.next().is_some() || seconds >= 60 * NANOS || (hours.is_some() && minutes >= 60) {
        return None;
    }
    let hours = hours.map_or(Some(0), whole)?;
    let minutes = hours.checked_mul(60)?.checked_add(minutes)?;
    minutes.checked_mul(60 * NANOS)?.checked_add(seconds)
}

fn whole(text: &str) -> Option<u128> {
    let digits = (1..=12).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok())?
}

/// A decimal number of `scale`s, rounded down; at most 12 digits on either side of the point.
fn decimal(text: &str, scale: u128) -> Option<u128> {
    let (before, after) = text.split_once('.').unwrap_or((text, "0"));
    let fraction = whole(after)?.checked_mul(scale)? / 10u128.pow(u32::try_from(after.len()).ok()?);
    whole(before)?.checked_mul(scale)?.checked_add(fraction)
}

/// A decimal number followed by one of these units.
fn with_unit(text: &str, units: &[(&str, u128)]) -> Option<u64> {
    let end = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.trim_start();
    let (_, scale) = units.iter().find(|(name, _)| *name == unit)?;
    if *scale == 1 && number.contains('.') {
        return None;
    }
    u64::try_from(decimal(number, *scale)?).ok()
}

/// Reads a size in bytes.
pub fn size(text: &str) -> Option<u64> {
    with_unit(
        text,
        &[
            ("", 1),
            ("B", 1),
            ("KB", 1_000),
            ("kB", 1_000),
            ("MB", 1_000_000),
            ("GB", NANOS),
            ("TB", 1_000 * NANOS),
            ("KiB", 1 << 10),
            ("MiB", 1 << 20),
            ("GiB", 1 << 30),
            ("TiB", 1 << 40),
        ],
    )
}

/// Reads a level like `-16 LUFS`: a number of at most three digits on either side of the point, and this unit.
pub fn level(text: &str, unit: &str) -> Option<f64> {
    let number = text.strip_suffix(unit)?.trim_end();
    let digits = number.strip_prefix('-').unwrap_or(number);
    let (before, after) = digits.split_once('.').unwrap_or((digits, "0"));
    let plain = |part: &str| (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    (plain(before) && plain(after)).then(|| number.parse().ok())?
}

/// Reads a rate in bits a second.
pub fn rate(text: &str) -> Option<u64> {
    with_unit(text, &[("", 1), ("k", 1_000), ("K", 1_000), ("M", 1_000_000)])
}

/// Reads a point in a medium.
pub fn point(text: &str) -> Option<Point> {
    if let Some(number) = text.strip_suffix('%') {
        let digits = number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let percent: f64 = digits.then(|| number.parse().ok())??;
        return (0.0..=100.0).contains(&percent).then_some(Point::Percent(percent));
    }
    match text.strip_prefix('-') {
        Some(back) => duration(back).map(Point::End),
        None => duration(text).map(Point::Start),
    }
}

/// A count of things: `1 job`, `2 jobs`.
pub fn counted(count: u64, one: &str) -> String {
    match count {
        1 => format!("1 {one}"),
        _ => format!("{count} {one}s"),
    }
}

/// Writes a length of time in the form that [`duration`] reads, exact to the nanosecond.
pub fn show_duration(length: Duration) -> String {
    let seconds = length.as_secs();
    let mut text = String::new();
    for (unit, of, count) in [
        ("d", u64::MAX, seconds / 86_400),
        ("h", 24, seconds / 3_600),
        ("m", 60, seconds / 60),
    ] {
        let count = count % of;
        if count > 0 {
            let _ = write!(text, "{count}{unit}");
        }
    }
    let rest = seconds % 60;
    let nanos = length.subsec_nanos();
    if nanos > 0 && rest == 0 && nanos.is_multiple_of(1_000_000) {
        let _ = write!(text, "{}ms", nanos / 1_000_000);
    } else if nanos > 0 {
        let fraction = format!("{nanos:09}");
        let _ = write!(text, "{rest}.{}s", fraction.trim_end_matches('0'));
    } else if rest > 0 || text.is_empty() {
        let _ = write!(text, "{rest}s");
    }
    text
}

/// Writes a size in the largest binary unit that holds it exactly, as [`size`] reads it.
pub fn show_size(bytes: u64) -> String {
    let units = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    for (unit, shift) in units {
        if bytes > 0 && bytes.is_multiple_of(1 << shift) {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    format!("{bytes}B")
}

/// Writes a rate as [`rate`] reads it.
pub fn show_rate(bits: u64) -> String {
    match bits {
        0 => "0".to_owned(),
        _ if bits.is_multiple_of(1_000_000) => format!("{}M", bits / 1_000_000),
        _ if bits.is_multiple_of(1_000) => format!("{}k", bits / 1_000),
        _ => bits.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lengths_of_time_are_read_as_people_write_them() {
        for (text, millis) in [
            ("90s", 90_000),
            ("1m30s", 90_000),
            ("00:01:30.5", 90_500),
            ("01:30", 90_000),
            ("1.5s", 1_500),
            ("250ms", 250),
            ("2h", 7_200_000),
            ("1d", 86_400_000),
            ("0s", 0),
            ("90:00", 5_400_000),
        ] {
            assert_eq!(duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in [
            "",
            "90",
            "s",
            "1s1m",
            "1m1m",
            "-1s",
            "1 s",
            "1.s",
            ".5s",
            "1:60",
            "1:2:3:4",
            "00:61:00",
            "1e3s",
            "1w",
            "99999999999999s",
            "+1s",
            "1S",
        ] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_and_rates_are_read_exactly() {
        for (text, bytes) in [
            ("8MiB", Some(8 << 20)),
            ("500KB", Some(500_000)),
            ("1.5GiB", Some(3 << 29)),
            ("12", Some(12)),
            ("0", Some(0)),
            ("1.5", None),
            ("8M", None),
            ("-1KiB", None),
            ("", None),
            ("999999999999TiB", None),
        ] {
            assert_eq!(size(text), bytes, "{text}");
        }
        for (text, bits) in [
            ("2500k", Some(2_500_000)),
            ("2.5M", Some(2_500_000)),
            ("64000", Some(64_000)),
            ("2500kbps", None),
            ("fast", None),
        ] {
            assert_eq!(rate(text), bits, "{text}");
        }
    }

    #[test]
    fn points_count_from_either_end_or_in_percent() {
        assert_eq!(point("10%"), Some(Point::Percent(10.0)));
        assert_eq!(point("99.5%"), Some(Point::Percent(99.5)));
        assert_eq!(point("-10s"), Some(Point::End(Duration::from_secs(10))));
        assert_eq!(point("00:00:05"), Some(Point::Start(Duration::from_secs(5))));
        for text in ["101%", "-5%", "%", "inf%", "--1s", "5"] {
            assert_eq!(point(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back_as_the_same(seconds in 0u64..1 << 33, nanos in 0u32..1_000_000_000, bits in any::<u64>()) {
            for length in [Duration::new(seconds, nanos), Duration::from_millis(seconds)] {
                prop_assert_eq!(duration(&show_duration(length)), Some(length));
            }
            let bits = bits >> 26;
            prop_assert_eq!(rate(&show_rate(bits)), Some(bits));
            prop_assert_eq!(size(&show_size(bits)), Some(bits));
        }

        #[test]
        fn no_text_breaks_a_parser(text in "\\PC{0,20}", near in "[-0-9.:%dhmskKMGiB]{0,30}") {
            for text in [text, near] {
                let _ = (duration(&text), size(&text), rate(&text), point(&text));
            }
        }
    }
}
