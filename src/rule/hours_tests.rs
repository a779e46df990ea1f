//! Hours over midnight, over the end of the week, and where clocks change.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{Hours, Opening, Span};

/// Central European time: in 2026 clocks go from 02:00 to 03:00 on 29 March, and from 03:00 to 02:00 on 25 October.
fn berlin() -> TimeZone {
    TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
}

fn hours(spans: &[&str]) -> Hours {
    Hours::new(spans.iter().map(|text| Span::parse(text).unwrap()).collect())
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The times at which it opens and closes between two moments, found minute by minute.
fn edges(spans: &[&str], zone: &TimeZone, from: &str, to: &str) -> Vec<String> {
    let hours = hours(spans);
    let mut now = at(from);
    let mut was = hours.open(now, zone) == Opening::Open;
    let mut found = Vec::new();
    while now < at(to) {
        let is = hours.open(now, zone);
        if (is == Opening::Open) != was {
            was = !was;
            found.push(format!("{} {now}", if was { "opens" } else { "closes" }));
        }
        if let Opening::Closed { until } = is {
            assert!(until > now, "{until} is not after {now}");
            assert_eq!(hours.open(until, zone), Opening::Open, "at {until}");
        }
        now += jiff::SignedDuration::from_mins(1);
    }
    found
}

#[test]
fn a_night_goes_over_midnight() {
    let found = edges(
        &["22:00-06:00"],
        &TimeZone::UTC,
        "2026-06-01T12:00:00Z",
        "2026-06-02T12:00:00Z",
    );
    assert_eq!(found, ["opens 2026-06-01T22:00:00Z", "closes 2026-06-02T06:00:00Z"]);
}

#[test]
fn a_night_belongs_to_the_day_on_which_it_begins() {
    // 5 June 2026 is a Friday.
    let found = edges(
        &["fri 22:00-06:00"],
        &TimeZone::UTC,
        "2026-06-01T00:00:00Z",
        "2026-06-08T00:00:00Z",
    );
    assert_eq!(found, ["opens 2026-06-05T22:00:00Z", "closes 2026-06-06T06:00:00Z"]);
    let closed = hours(&["fri 22:00-06:00"]).open(at("2026-06-06T06:00:00Z"), &TimeZone::UTC);
    let until = at("2026-06-12T22:00:00Z");
    assert_eq!(closed, Opening::Closed { until });
}

#[test]
fn days_are_listed_and_go_over_the_end_of_the_week() {
    let found = edges(
        &["Fri-Mon,wed 08:00-09:00"],
        &TimeZone::UTC,
        "2026-06-01T00:00:00Z",
        "2026-06-08T00:00:00Z",
    );
    let opens: Vec<_> = found.iter().filter(|edge| edge.starts_with("opens")).collect();
    let days: Vec<_> = opens.iter().map(|edge| &edge[14..16]).collect();
    assert_eq!(days, ["01", "03", "05", "06", "07"]);
}

#[test]
fn spans_that_touch_leave_no_hole_even_where_clocks_change() {
    for spans in [
        &["00:00-24:00"][..],
        &["00:00-02:30", "02:30-24:00"],
        &["12:00-02:30", "02:30-12:00"],
    ] {
        for (from, to) in [
            ("2026-03-28T00:00:00Z", "2026-03-30T12:00:00Z"),
            ("2026-10-24T00:00:00Z", "2026-10-26T12:00:00Z"),
        ] {
            assert_eq!(edges(spans, &berlin(), from, to), [""; 0], "{spans:?}");
        }
    }
}

#[test]
fn a_night_is_an_hour_shorter_in_spring_and_longer_in_autumn() {
    let spring = edges(
        &["22:00-06:00"],
        &berlin(),
        "2026-03-28T12:00:00Z",
        "2026-03-29T12:00:00Z",
    );
    assert_eq!(spring, ["opens 2026-03-28T21:00:00Z", "closes 2026-03-29T04:00:00Z"]);
    let autumn = edges(
        &["22:00-06:00"],
        &berlin(),
        "2026-10-24T12:00:00Z",
        "2026-10-25T12:00:00Z",
    );
    assert_eq!(autumn, ["opens 2026-10-24T20:00:00Z", "closes 2026-10-25T05:00:00Z"]);
}

#[test]
fn an_edge_that_is_skipped_is_the_moment_of_the_change() {
    let day = ("2026-03-28T12:00:00Z", "2026-03-29T12:00:00Z");
    let found = edges(&["02:30-03:30"], &berlin(), day.0, day.1);
    assert_eq!(found, ["opens 2026-03-29T01:00:00Z", "closes 2026-03-29T01:30:00Z"]);
    let found = edges(&["01:30-02:30"], &berlin(), day.0, day.1);
    assert_eq!(found, ["opens 2026-03-29T00:30:00Z", "closes 2026-03-29T01:00:00Z"]);
    assert_eq!(
        edges(&["02:10-02:50"], &berlin(), day.0, day.1),
        [""; 0],
        "that day has no such time"
    );
}

#[test]
fn an_edge_that_comes_twice_counts_the_first_time() {
    let day = ("2026-10-24T12:00:00Z", "2026-10-25T12:00:00Z");
    let found = edges(&["02:15-02:45"], &berlin(), day.0, day.1);
    assert_eq!(found, ["opens 2026-10-25T00:15:00Z", "closes 2026-10-25T00:45:00Z"]);
    let found = edges(&["02:00-03:00"], &berlin(), day.0, day.1);
    assert_eq!(found, ["opens 2026-10-25T00:00:00Z", "closes 2026-10-25T02:00:00Z"]);
}

#[test]
fn a_midnight_that_does_not_exist_is_the_moment_of_the_change() {
    // Clocks go from 00:00 to 01:00 on the first Sunday of November.
    let zone = TimeZone::posix("<-03>3<-02>,M11.1.0/0,M2.3.0/0").unwrap();
    let found = edges(
        &["sat 20:00-24:00", "sun 00:00-02:00"],
        &zone,
        "2026-10-31T12:00:00Z",
        "2026-11-01T12:00:00Z",
    );
    assert_eq!(found, ["opens 2026-10-31T23:00:00Z", "closes 2026-11-01T04:00:00Z"]);
}

#[test]
fn what_is_no_span_is_refused_in_words() {
    let wrong: Vec<String> = [
        "22:00",
        "22:00-22:00",
        "24:00-06:00",
        "22:60-06:00",
        "25:00-06:00",
        "22-6",
        "tor 1:00-2:00",
        "mon-fri",
        "",
        "mon- 1:00-2:00",
        "+1:00-2:00",
    ]
    .iter()
    .map(|text| Span::parse(text).unwrap_err())
    .collect();
    insta::assert_snapshot!(wrong.join("\n"), @r#"
    two times with a hyphen between them are missing
    it ends when it begins; the whole day is 00:00-24:00
    it begins at 24:00, which is 00:00 of the next day
    "22:60" is no time of day
    "25:00" is no time of day
    "22" is no time of day
    "tor" is no day
    "mon" is no time of day
    two times with a hyphen between them are missing
    "" is no day
    "+1:00" is no time of day
    "#);
    assert!(Span::parse("6:00-24:00").is_ok());
}
