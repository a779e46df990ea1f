//! The ledger's decision: whether what a bucket says of a key is new for a rule.
//!
//! Pure. Promises that the same identity never starts a second job by itself, and that a doubt is decided
//! for a job, except while the baseline of a rule is written.

use jiff::Timestamp;

use super::Generation;
use crate::object::{Identity, ObjectKey};
use crate::rule::{Existing, RuleName};

/// The ledger's line for a (rule, bucket, key).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerEntry {
    /// Under which rule.
    pub rule: RuleName,
    /// Of which key.
    pub key: ObjectKey,
    /// The identity last accepted.
    pub identity: Identity,
    /// Rises with every accepted identity.
    pub generation: Generation,
    /// Accepted as old, without a job.
    pub baseline: bool,
    /// Since when the key is missing; it is remembered all the same.
    pub gone_at: Option<Timestamp>,
    /// What a listing said of the key the last time that the bucket was asked about it for that; only to decide whether
    /// to ask again.
    pub listed: Option<Identity>,
}

/// As much of a rule as the decision needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleView {
    /// Since when the rule is enabled, or as wide as it is.
    pub since: Timestamp,
    /// What was there before is still being written down.
    pub arming: Option<ArmingView>,
    /// What happens to objects that were there when the rule was enabled.
    pub existing: Existing,
}

/// Why a baseline is being written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArmingView {
    /// The rule was enabled.
    Enabled,
    /// The trigger got wider.
    Widened {
        /// It matched this key before, too.
        matched_before: bool,
    },
}

/// What to do about what a bucket said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It is new: start a job.
    Job,
    /// It is old: write it down.
    Baseline,
    /// It is known: do nothing.
    Same,
}

impl LedgerEntry {
    /// Whether what a listing says of the key is nothing new.
    #[must_use]
    pub fn knows(&self, listed: &Identity) -> bool {
        self.identity.agrees_with(listed) || self.listed.as_ref() == Some(listed)
    }
}

/// Decides about an identity that was observed. `event` is when it came to be, where somebody knows that; a
/// listing does not.
#[must_use]
pub fn decide(entry: Option<&LedgerEntry>, observed: &Identity, event: Option<Timestamp>, rule: &RuleView) -> Decision {
    let announced = event.is_some_and(|event| event > rule.since);
    let counts_as_existing = |arming: ArmingView, known: bool| {
        !announced
            && match arming {
                ArmingView::Enabled => rule.existing == Existing::Ignore,
                ArmingView::Widened { matched_before } => !matched_before && !known,
            }
    };
    match entry {
        // A baseline was written from a listing, which may say less than the bucket does when it is asked.
        Some(entry) if &entry.identity == observed || (entry.baseline && entry.identity.agrees_with(observed)) => {
            if entry.baseline && rule.arming.is_some() && announced {
                Decision::Job
            } else {
                Decision::Same
            }
        }
        _ => match rule.arming {
            Some(arming) if counts_as_existing(arming, entry.is_some()) => Decision::Baseline,
            _ => Decision::Job,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::testing::at;

    const KNOWN: Identity = Identity {
        size: 10,
        modified_ns: 1,
        etag: None,
        version: None,
    };

    fn entry(baseline: bool) -> LedgerEntry {
        LedgerEntry {
            rule: "web".parse().unwrap(),
            key: "clip.mp4".parse().unwrap(),
            identity: KNOWN,
            generation: Generation(1),
            baseline,
            gone_at: None,
            listed: None,
        }
    }

    #[test]
    fn what_is_new_is_a_job_and_what_was_there_is_not() {
        let entries = [
            ("unknown", None),
            ("accepted", Some(entry(false))),
            ("baseline", Some(entry(true))),
        ];
        let armings = [
            ("armed", None),
            ("enabling", Some(ArmingView::Enabled)),
            (
                "widening, new to it",
                Some(ArmingView::Widened { matched_before: false }),
            ),
            (
                "widening, matched before",
                Some(ArmingView::Widened { matched_before: true }),
            ),
        ];
        let mut lines = Vec::new();
        for (arming_name, arming) in armings {
            for (entry_name, entry) in &entries {
                for (same, observed) in [("same", KNOWN), ("other", Identity::local(10, 2))] {
                    if entry.is_none() && same == "same" {
                        continue;
                    }
                    let answers: Vec<String> = [None, Some(at(99)), Some(at(100)), Some(at(101))]
                        .into_iter()
                        .map(|event| {
                            let view = RuleView {
                                since: at(100),
                                arming,
                                existing: Existing::Ignore,
                            };
                            format!("{:?}", decide(entry.as_ref(), &observed, event, &view))
                        })
                        .collect();
                    lines.push(format!("{arming_name}; {entry_name}, {same}: {}", answers.join(" ")));
                }
            }
        }
        // Columns: listing, event before the enabling, in its instant, after it.
        insta::assert_snapshot!(lines.join("\n"), @r"
        armed; unknown, other: Job Job Job Job
        armed; accepted, same: Same Same Same Same
        armed; accepted, other: Job Job Job Job
        armed; baseline, same: Same Same Same Same
        armed; baseline, other: Job Job Job Job
        enabling; unknown, other: Baseline Baseline Baseline Job
        enabling; accepted, same: Same Same Same Same
        enabling; accepted, other: Baseline Baseline Baseline Job
        enabling; baseline, same: Same Same Same Job
        enabling; baseline, other: Baseline Baseline Baseline Job
        widening, new to it; unknown, other: Baseline Baseline Baseline Job
        widening, new to it; accepted, same: Same Same Same Same
        widening, new to it; accepted, other: Job Job Job Job
        widening, new to it; baseline, same: Same Same Same Job
        widening, new to it; baseline, other: Job Job Job Job
        widening, matched before; unknown, other: Job Job Job Job
        widening, matched before; accepted, same: Same Same Same Same
        widening, matched before; accepted, other: Job Job Job Job
        widening, matched before; baseline, same: Same Same Same Job
        widening, matched before; baseline, other: Job Job Job Job
        ");
    }

    #[test]
    fn a_rule_that_processes_what_exists_starts_jobs_while_arming() {
        let view = RuleView {
            since: at(100),
            arming: Some(ArmingView::Enabled),
            existing: Existing::Process,
        };
        assert_eq!(decide(None, &KNOWN, None, &view), Decision::Job);
    }
}
