//! Rules whose jobs rest for a moment, because the last one found that none can be worked on: a disk is full, or away.
//!
//! Without it a long queue would be gone through over and over while the disk is mended, a job after the other. After
//! the rest the next job tries; whether things are better is asked by nothing else.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

use crate::rule::RuleName;

/// How long a rule rests.
pub const REST: SignedDuration = SignedDuration::from_secs(5);

/// Who rests, until when, and why.
#[derive(Debug, Default)]
pub struct Resting(Mutex<BTreeMap<RuleName, (Timestamp, String)>>);

impl Resting {
    /// The jobs of a rule rest from now on.
    pub fn rest(&self, rule: &RuleName, reason: &str, now: Timestamp) {
        let mut resting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        resting.retain(|_, (until, _)| is_ahead(*until, now));
        resting.insert(rule.clone(), (now + REST, reason.to_owned()));
    }

    /// Until when a rule rests, and why; none where it does not.
    #[must_use]
    pub fn of(&self, rule: &RuleName, now: Timestamp) -> Option<(Timestamp, String)> {
        let resting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        resting.get(rule).filter(|(until, _)| is_ahead(*until, now)).cloned()
    }

    /// Every rule that rests, and until when.
    #[must_use]
    pub fn all(&self, now: Timestamp) -> Vec<(RuleName, Timestamp)> {
        let resting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ahead = resting.iter().filter(|(_, (until, _))| is_ahead(*until, now));
        ahead.map(|(rule, (until, _))| (rule.clone(), *until)).collect()
    }
}

/// A clock that was set back must not make a rest longer.
fn is_ahead(until: Timestamp, now: Timestamp) -> bool {
    until > now && until.duration_since(now) <= REST
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_rests_for_a_moment_whatever_the_clock_does() {
        let resting = Resting::default();
        let (web, other): (RuleName, RuleName) = ("web".parse().unwrap(), "other".parse().unwrap());
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        resting.rest(&web, "the disk is full", now);
        assert_eq!(resting.of(&web, now), Some((now + REST, "the disk is full".to_owned())));
        assert_eq!(resting.all(now), [(web.clone(), now + REST)]);
        assert_eq!(resting.of(&other, now), None);
        assert_eq!(resting.of(&web, now + REST), None);
        assert_eq!(resting.of(&web, now - SignedDuration::from_hours(1)), None);
    }
}
