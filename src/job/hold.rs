//! Which rules may not start a job just now, and why. Pure: whoever claims a job says how things stand.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::rule::RuleName;

/// What a claim must respect beside the pauses that the store itself keeps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holds {
    /// No job of these rules starts: it is outside their hours, or they rest.
    pub closed: BTreeSet<RuleName>,
    /// At most so many jobs of these rules run at once.
    pub most: BTreeMap<RuleName, u32>,
}

impl Holds {
    /// Whether a job of the rule may start while so many of its jobs run.
    #[must_use]
    pub fn allow(&self, rule: &RuleName, running: u64) -> bool {
        let full = self.most.get(rule).is_some_and(|most| running >= u64::from(*most));
        !full && !self.closed.contains(rule)
    }
}

/// Held by a person until a person says otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// The queue of this rule; none: of the whole mill.
    pub rule: Option<RuleName>,
    /// Since then.
    pub since: Timestamp,
    /// Why, in the person's words.
    pub reason: Option<String>,
}

impl Pause {
    /// What it is that is paused, since when and why.
    #[must_use]
    pub fn words(&self) -> String {
        let what = if self.rule.is_some() { "the rule" } else { "the mill" };
        let why = self
            .reason
            .as_ref()
            .map_or_else(String::new, |reason| format!(" ({reason})"));
        format!("{what} is paused since {:.0}{why}", self.since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_held_outside_its_hours_and_while_enough_of_its_jobs_run() {
        let name = |text: &str| text.parse::<RuleName>().unwrap();
        let holds = Holds {
            closed: [name("night")].into(),
            most: [(name("one"), 1)].into(),
        };
        assert!(!holds.allow(&name("night"), 0));
        assert!(holds.allow(&name("one"), 0));
        assert!(!holds.allow(&name("one"), 1));
        assert!(!holds.allow(&name("one"), 2), "the limit was lowered while two ran");
        assert!(holds.allow(&name("free"), 1_000));
    }
}
