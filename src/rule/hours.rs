//! The hours in which a rule's jobs start: spans of the week in local time.
//!
//! Pure: the moment and the time zone come in. A span belongs to the day on which it begins, and one that ends at or
//! before its beginning goes over midnight. Where clocks change, each edge is one moment: a time of day that is skipped
//! is the moment of the change, one that comes twice counts the first time. So spans that touch leave no hole.

use std::fmt;

use jiff::civil::{Date, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, ToSpan as _};

/// What a span looks like.
pub const FORM: &str = "a span reads \"22:00-06:00\" or \"mon-fri 22:00-06:00\"; days are mon, tue, wed, thu, fri, sat, \
                        sun, as in \"sat,sun\" or \"mon-fri\", and the last time may be 24:00";

/// Days looked ahead for the next beginning: a week, and one more, should a change of clocks swallow a span.
const AHEAD: i32 = 15;

const DAY: u16 = 24 * 60;

/// Whether jobs start at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// They do.
    Open,
    /// They do not.
    Closed {
        /// They will from then on.
        until: Timestamp,
    },
}

/// One span of the week.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// As written.
    text: String,
    /// On which days it begins, Monday first.
    days: [bool; 7],
    /// Minutes after midnight, less than a day.
    from: u16,
    /// Minutes after the midnight before `from`; more than a day where it goes over midnight.
    to: u16,
}

/// All spans of a rule; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hours(Vec<Span>);

impl Span {
    /// Reads a span.
    ///
    /// # Errors
    /// Where the text is none: what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (days, times) = match text.trim().rsplit_once(char::is_whitespace) {
            Some((days, times)) => (self::days(days.trim())?, times),
            None => ([true; 7], text.trim()),
        };
        let (from, to) = times
            .split_once('-')
            .ok_or_else(|| "two times with a hyphen between them are missing".to_owned())?;
        let (from, to) = (minutes(from)?, minutes(to)?);
        if from == DAY {
            return Err("it begins at 24:00, which is 00:00 of the next day".to_owned());
        }
        if from == to {
            return Err("it ends when it begins; the whole day is 00:00-24:00".to_owned());
        }
        Ok(Self {
            text: text.to_owned(),
            days,
            from,
            to: if to < from { to + DAY } else { to },
        })
    }

    /// The moments between which it is open, as it begins on this day; none where it does not.
    fn on(&self, day: Date, zone: &TimeZone) -> Option<(Timestamp, Timestamp)> {
        let wanted = self.days[usize::try_from(day.weekday().to_monday_zero_offset()).ok()?];
        if !wanted {
            return None;
        }
        let (from, to) = (moment(day, self.from, zone)?, moment(day, self.to, zone)?);
        (from < to).then_some((from, to))
    }
}

impl Hours {
    /// These spans together.
    #[must_use]
    pub fn new(spans: Vec<Span>) -> Self {
        Self(spans)
    }

    /// As written.
    #[must_use]
    pub fn texts(&self) -> Vec<String> {
        self.0.iter().map(|span| span.text.clone()).collect()
    }

    /// Whether jobs start at this moment, else when they will.
    #[must_use]
    pub fn open(&self, at: Timestamp, zone: &TimeZone) -> Opening {
        let today = at.to_zoned(zone.clone()).date();
        let mut next: Option<Timestamp> = None;
        // A span of yesterday may still be open.
        for ahead in -1..=AHEAD {
            let Ok(day) = today.checked_add(ahead.days()) else {
                continue;
            };
            for (from, to) in self.0.iter().filter_map(|span| span.on(day, zone)) {
                if (from..to).contains(&at) {
                    return Opening::Open;
                }
                if from > at && next.is_none_or(|next| from < next) {
                    next = Some(from);
                }
            }
        }
        let until = next.unwrap_or_else(|| at.saturating_add(jiff::SignedDuration::from_hours(24)).unwrap_or(at));
        Opening::Closed { until }
    }
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.texts().join(", "))
    }
}

/// The moment so many minutes after the midnight that begins a day, by the clock on the wall.
fn moment(day: Date, minutes: u16, zone: &TimeZone) -> Option<Timestamp> {
    let day = day.checked_add(i32::from(minutes / DAY).days()).ok()?;
    let (hour, minute) = (minutes % DAY / 60, minutes % 60);
    let time = Time::new(i8::try_from(hour).ok()?, i8::try_from(minute).ok()?, 0, 0).ok()?;
    let wall = zone.to_ambiguous_timestamp(day.to_datetime(time));
    match wall.offset() {
        AmbiguousOffset::Gap { .. } => {
            let after = wall.later().ok()?;
            let change = zone.preceding(after.checked_add(1.second()).ok()?).next();
            Some(change.map_or(after, |change| change.timestamp()))
        }
        _ => wall.earlier().ok(),
    }
}

fn minutes(text: &str) -> Result<u16, String> {
    let wrong = || format!("\"{}\" is no time of day", text.trim().escape_debug());
    let (hours, minutes) = text.trim().split_once(':').ok_or_else(wrong)?;
    let number = |text: &str, digits: std::ops::RangeInclusive<usize>| {
        let plain = digits.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| text.parse::<u16>().ok()).flatten().ok_or_else(wrong)
    };
    let (hours, minutes) = (number(hours, 1..=2)?, number(minutes, 2..=2)?);
    let total = hours * 60 + minutes;
    if minutes < 60 && total <= DAY {
        Ok(total)
    } else {
        Err(wrong())
    }
}

fn days(text: &str) -> Result<[bool; 7], String> {
    const NAMES: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let place = |name: &str| {
        let name = name.trim();
        NAMES
            .iter()
            .position(|known| known.eq_ignore_ascii_case(name))
            .ok_or_else(|| format!("\"{}\" is no day", name.escape_debug()))
    };
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (place(first)?, place(last)?);
        // "fri-mon" goes over the end of the week.
        for step in 0..=(last + 7 - first) % 7 {
            days[(first + step) % 7] = true;
        }
    }
    Ok(days)
}

#[cfg(test)]
#[path = "hours_tests.rs"]
mod tests;
