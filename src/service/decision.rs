//! Whether a rule wants a key, and whether an identity is new to it. Pure.

use jiff::Timestamp;

use crate::object::{Identity, ObjectKey, is_ignored};
use crate::rule::book::{ArmingMode, LiveRule};
use crate::rule::{Existing, Formats, Rule};
use crate::store::LedgerEntry;

/// A reason for which a rule does not want a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WhyNot {
    Ignored,
    Directory,
    Format,
    Globs,
    Size,
}

pub(super) fn judge(rule: &Rule, key: &ObjectKey, size: Option<u64>) -> Vec<WhyNot> {
    const KNOWN: [&str; 8] = ["mp4", "mov", "mkv", "webm", "ts", "avi", "mp3", "wav"];
    let trigger = &rule.trigger;
    let extension = String::from_utf8_lossy(key.extension()).to_lowercase();
    let format = match &trigger.formats {
        Formats::Any => true,
        Formats::Known => KNOWN.contains(&extension.as_str()),
        Formats::List(list) => list.contains(&extension),
    };
    let text = String::from_utf8_lossy(key.as_bytes());
    let included = trigger.include.patterns.is_empty() || trigger.include.set.is_match(&*text);
    let size = size.is_none_or(|size| {
        trigger.min_size.is_none_or(|least| size >= least)
            && trigger.max_size.is_none_or(|most| size <= most)
    });
    [
        (is_ignored(key).is_none(), WhyNot::Ignored),
        (trigger.directory.contains(key), WhyNot::Directory),
        (format, WhyNot::Format),
        (
            included && !trigger.exclude.set.is_match(&*text),
            WhyNot::Globs,
        ),
        (size, WhyNot::Size),
    ]
    .into_iter()
    .filter_map(|(holds, reason)| (!holds).then_some(reason))
    .collect()
}

/// What the decision needs to know of a rule.
#[derive(Debug, Clone, Copy)]
pub(super) struct RuleView {
    pub(super) since: Timestamp,
    pub(super) arming: bool,
    /// The rule is being widened, and matched the key before.
    pub(super) matched_before: bool,
    pub(super) existing: Existing,
}

impl RuleView {
    pub(super) fn of(live: &LiveRule, key: &ObjectKey, size: u64) -> Self {
        Self {
            since: live.since,
            arming: live.arming.is_some(),
            matched_before: match &live.arming {
                Some(ArmingMode::Widened(before)) => judge(before, key, Some(size)).is_empty(),
                _ => false,
            },
            existing: match &live.arming {
                Some(ArmingMode::Widened(_)) => Existing::Ignore,
                _ => live.rule.trigger.existing,
            },
        }
    }
}

/// What becomes of an identity under a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    Job,
    Baseline,
    Same,
}

pub(super) fn decide(
    entry: Option<&LedgerEntry>,
    observed: &Identity,
    event: Option<Timestamp>,
    view: &RuleView,
) -> Decision {
    let is_old = view.arming
        && !view.matched_before
        && view.existing == Existing::Ignore
        && event.is_none_or(|event| event <= view.since);
    match entry {
        Some(entry) if entry.identity == *observed => {
            if entry.baseline && view.arming && !view.matched_before && !is_old {
                Decision::Job
            } else {
                Decision::Same
            }
        }
        _ if is_old => Decision::Baseline,
        _ => Decision::Job,
    }
}
