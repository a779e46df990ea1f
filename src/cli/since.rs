//! Points in the past as people say them on a command line.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::exit::{Code, Trouble};
use crate::diagnostic::quantity::duration;

/// What `--since` takes.
const FORM: &str = "write how long ago (\"2d\", \"90m\"), a day (\"2026-05-17\") or a time (\"2026-05-17T08:00:00Z\")";

/// The time that a text names: so long ago, or a day or time; one without a zone is of this machine's.
pub fn since(text: &str, now: Timestamp) -> Result<Timestamp, Trouble> {
    let text = text.trim();
    let ago = duration(text).and_then(|ago| now.checked_sub(ago).ok());
    ago.or_else(|| text.parse().ok())
        .or_else(|| local(text))
        .ok_or_else(|| Trouble::new(Code::Usage, format!("\"{text}\" is no time: {FORM}")))
}

fn local(text: &str) -> Option<Timestamp> {
    let time: jiff::civil::DateTime = text.parse().ok()?;
    Some(time.to_zoned(TimeZone::system()).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_time_a_day_and_a_time_are_understood() {
        let now: Timestamp = "2026-05-17T12:00:00Z".parse().expect("a time");
        let told = |text: &str| since(text, now).expect(text).to_string();
        assert_eq!(told("2d"), "2026-05-15T12:00:00Z");
        assert_eq!(told("1h30m"), "2026-05-17T10:30:00Z");
        assert_eq!(told("2026-05-01T08:00:00+02:00"), "2026-05-01T06:00:00Z");
        assert!(since("2026-05-01", now).is_ok() && since("2026-05-01 08:00", now).is_ok());
        let refused = since("yesterday", now).expect_err("no time");
        assert!(refused.message.contains("\"2d\""), "{}", refused.message);
    }
}
