//! How fast a run goes through its medium: measured over the last seconds, so that an easy beginning or a hard
//! passage long past does not count, and falling while nothing moves. Pure: time comes in as an argument.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};

/// The time over which speed is measured.
const WINDOW: SignedDuration = SignedDuration::from_secs(15);

/// Less than this says nothing yet.
const LEAST: SignedDuration = SignedDuration::from_millis(1500);

/// Positions are told several times a second; older than this means that nothing moves.
const SILENCE: SignedDuration = SignedDuration::from_secs(2);

/// Positions of a run and when they were told.
#[derive(Debug, Clone, Default)]
pub struct Pace {
    told: VecDeque<(Timestamp, u64)>,
}

impl Pace {
    /// The run stands here now. What comes before its first movement is preparation and does not count; a position
    /// before the last is another run.
    pub fn note(&mut self, at: Timestamp, position_ns: u64) {
        if self
            .told
            .back()
            .is_some_and(|(then, there)| position_ns < *there || at < *then)
        {
            self.told.clear();
        }
        if position_ns == 0 {
            return;
        }
        self.told.push_back((at, position_ns));
        while self
            .told
            .get(1)
            .is_some_and(|(then, _)| at.duration_since(*then) >= WINDOW)
        {
            self.told.pop_front();
        }
    }

    /// Seconds of the medium that are done in a second; none where that cannot be told yet.
    #[must_use]
    pub fn speed(&self, now: Timestamp) -> Option<f64> {
        let ((first, from), (last, to)) = (self.told.front()?, self.told.back()?);
        let silent = now.duration_since(*last) > SILENCE;
        let span = if silent { now } else { *last }.duration_since(*first);
        (span >= LEAST).then(|| (to - from) as f64 / 1e9 / span.as_secs_f64())
    }

    /// Seconds from now until `end_ns` is reached at this speed; none where that cannot be told.
    #[must_use]
    pub fn remaining(&self, end_ns: u64, now: Timestamp) -> Option<f64> {
        let speed = self.speed(now).filter(|speed| *speed > 0.001)?;
        let (last, at) = self.told.back()?;
        let left = end_ns.saturating_sub(*at) as f64 / 1e9 / speed;
        let since = now.duration_since(*last).min(SILENCE).as_secs_f64();
        Some((left - since.max(0.0)).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(1_000_000 + millis).expect("a time")
    }

    const SECOND: u64 = 1_000_000_000;

    /// Told four times a second from `from` to `to` seconds, at this speed.
    fn go(pace: &mut Pace, from: i64, to: i64, start: u64, speed: f64) -> u64 {
        let mut position = start;
        for step in (from * 4)..=(to * 4) {
            let passed = (step - from * 4) as f64 / 4.0;
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "small and positive"
            )]
            let there = start + (passed * speed * 1e9) as u64;
            position = there;
            pace.note(at(step * 250), there);
        }
        position
    }

    #[track_caller]
    fn near(found: Option<f64>, wanted: f64) {
        let found = found.expect("a figure");
        assert!((found - wanted).abs() < wanted * 0.02 + 0.01, "{found} is not {wanted}");
    }

    #[test]
    fn a_steady_run_has_its_speed_and_its_remaining_time() {
        let mut pace = Pace::default();
        let there = go(&mut pace, 0, 10, SECOND, 3.2);
        near(pace.speed(at(10_000)), 3.2);
        near(pace.remaining(there + 32 * SECOND, at(10_000)), 10.0);
        near(pace.remaining(there + 32 * SECOND, at(11_000)), 9.0);
    }

    #[test]
    fn what_is_long_past_does_not_count() {
        let mut pace = Pace::default();
        let easy = go(&mut pace, 0, 60, SECOND, 10.0);
        go(&mut pace, 60, 80, easy, 1.0);
        near(pace.speed(at(80_000)), 1.0);
    }

    #[test]
    fn preparation_does_not_count_as_slowness() {
        let mut pace = Pace::default();
        for second in 0..30 {
            pace.note(at(second * 1000), 0);
        }
        go(&mut pace, 30, 34, SECOND, 2.0);
        near(pace.speed(at(34_000)), 2.0);
    }

    #[test]
    fn nothing_is_said_too_early() {
        let mut pace = Pace::default();
        assert_eq!(pace.speed(at(0)), None);
        go(&mut pace, 0, 1, SECOND, 2.0);
        assert_eq!(
            (pace.speed(at(1000)), pace.remaining(SECOND * 9, at(1000))),
            (None, None)
        );
    }

    #[test]
    fn a_run_that_stands_still_gets_slower_and_has_no_remaining_time_in_the_end() {
        let mut pace = Pace::default();
        let there = go(&mut pace, 0, 4, SECOND, 2.0);
        near(pace.speed(at(8_000)), 1.0);
        for second in 5..60 {
            pace.note(at(second * 1000), there);
        }
        near(pace.speed(at(60_000)), 0.0);
        assert_eq!(pace.remaining(there + SECOND, at(60_000)), None);
    }

    #[test]
    fn the_next_run_begins_anew() {
        let mut pace = Pace::default();
        go(&mut pace, 0, 10, SECOND, 5.0);
        go(&mut pace, 11, 14, SECOND, 1.0);
        near(pace.speed(at(14_000)), 1.0);
    }
}
