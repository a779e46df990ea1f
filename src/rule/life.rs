//! The life of a rule: what a change of its file means for whether it is in force, since when, and what counts as old.
//!
//! Whether a rule is enabled is remembered under its name, and only a valid file that says otherwise changes it:
//! a broken file, a missing one, a restart or an editor's way of saving are none of them a disabling.

use std::sync::Arc;

use jiff::Timestamp;

use super::book::{ArmingMode, BrokenFile, LiveRule, RuleBook};
use super::{Existing, Rule, RuleName, RuleVersion, Trigger};
use crate::diagnostic::Diagnostic;
use crate::object::ObjectKey;

/// What is remembered of a rule beside its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleRecord {
    /// The rule's name.
    pub name: RuleName,
    /// The version that is in use.
    pub version: RuleVersion,
    /// The text of its last good file.
    pub text: String,
    /// The name of that file within the rules folder.
    pub file: String,
    /// Whether it is enabled.
    pub enabled: bool,
    /// Since when it is as `enabled` says.
    pub since: Timestamp,
    /// When the rule was first seen.
    pub created: Timestamp,
    /// Whether what was there before is still being written down.
    pub arming: Arming,
}

/// How far the baseline of a rule is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arming {
    /// Nothing to write down: disabled, or done.
    Done,
    /// Enabled: what is there and not announced by a newer event is old.
    Enabled {
        /// Everything up to and with this key is written down.
        cursor: Option<ObjectKey>,
    },
    /// The trigger got wider: keys that this older text of the rule did not match are old.
    Widened {
        /// Everything up to and with this key is written down.
        cursor: Option<ObjectKey>,
        /// The text before.
        before: String,
    },
}

/// A file of the rules folder, read and checked.
#[derive(Debug, Clone)]
pub struct CheckedFile {
    /// Its name within the folder.
    pub file: String,
    /// What it holds; empty where it could not be read.
    pub text: Arc<str>,
    /// The rule, or what is wrong.
    pub result: Result<Rule, Vec<Diagnostic>>,
}

/// What a reading of the folder leads to.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// To be put in force.
    pub book: RuleBook,
    /// To be remembered first.
    pub records: Vec<RuleRecord>,
}

/// Takes in a reading of the rules folder. `parse` reads a text that was good before, of the rule of that name.
#[must_use]
pub fn take_in(
    records: &[RuleRecord],
    files: Vec<CheckedFile>,
    parse: &dyn Fn(&str, &RuleName) -> Option<Rule>,
    now: Timestamp,
) -> Change {
    let mut change = Change::default();
    let mut broken = Vec::new();
    for CheckedFile { file, text, result } in files {
        match result {
            Err(diagnostics) => broken.push((file, diagnostics)),
            Ok(rule) => {
                let known = records.iter().find(|record| record.name == rule.name);
                let record = renew(known, &rule, &file, &text, parse, now);
                change.book.rules.push(in_force(rule, &record, parse));
                if known != Some(&record) {
                    change.records.push(record);
                }
            }
        }
    }
    for (file, diagnostics) in broken {
        let last_good = records
            .iter()
            .find(|record| record.file == file && change.book.get(&record.name).is_none())
            .and_then(|record| Some((record, parse(&record.text, &record.name)?)));
        let rule = last_good.as_ref().map(|(record, _)| record.name.clone());
        if let Some((record, rule)) = last_good {
            change.book.rules.push(in_force(rule, record, parse));
        }
        change.book.broken.push(BrokenFile { file, rule, diagnostics });
    }
    change.book.rules.sort_by(|a, b| a.rule.name.cmp(&b.rule.name));
    change.book.broken.sort_by(|a, b| a.file.cmp(&b.file));
    change
}

/// What is to be remembered of a rule whose file is good.
fn renew(
    known: Option<&RuleRecord>,
    rule: &Rule,
    file: &str,
    text: &str,
    parse: &dyn Fn(&str, &RuleName) -> Option<Rule>,
    now: Timestamp,
) -> RuleRecord {
    let was_enabled = known.is_some_and(|record| record.enabled);
    let arming = match known {
        _ if !rule.enabled => Arming::Done,
        Some(record) if was_enabled => rearm(record, rule, parse),
        _ => arm(rule),
    };
    let since = match known {
        Some(record) if was_enabled == rule.enabled => record.since,
        _ => now,
    };
    RuleRecord {
        name: rule.name.clone(),
        version: rule.version.clone(),
        text: text.to_owned(),
        file: file.to_owned(),
        enabled: rule.enabled,
        since,
        created: known.map_or(now, |record| record.created),
        arming,
    }
}

/// A rule has just been enabled.
fn arm(rule: &Rule) -> Arming {
    match rule.trigger.existing {
        Existing::Ignore => Arming::Enabled { cursor: None },
        Existing::Process => Arming::Done,
    }
}

/// A rule stays enabled; where its trigger changed, the keys that match newly are old.
fn rearm(record: &RuleRecord, rule: &Rule, parse: &dyn Fn(&str, &RuleName) -> Option<Rule>) -> Arming {
    if record.version == rule.version {
        return record.arming.clone();
    }
    let before = parse(&record.text, &record.name);
    if before.is_some_and(|before| same_reach(&before.trigger, &rule.trigger)) {
        return record.arming.clone();
    }
    match (&record.arming, rule.trigger.existing) {
        (_, Existing::Process) => Arming::Done,
        (Arming::Done, _) => Arming::Widened {
            cursor: None,
            before: record.text.clone(),
        },
        (Arming::Enabled { .. }, _) => Arming::Enabled { cursor: None },
        (Arming::Widened { before, .. }, _) => Arming::Widened {
            cursor: None,
            before: before.clone(),
        },
    }
}

/// Whether two triggers want the same objects.
fn same_reach(a: &Trigger, b: &Trigger) -> bool {
    a.bucket == b.bucket
        && a.directory == b.directory
        && a.formats == b.formats
        && a.include.patterns == b.include.patterns
        && a.exclude.patterns == b.exclude.patterns
        && a.min_size == b.min_size
        && a.max_size == b.max_size
        && a.outputs == b.outputs
}

fn in_force(
    rule: Rule,
    record: &RuleRecord,
    parse: &dyn Fn(&str, &RuleName) -> Option<Rule>,
) -> LiveRule {
    let arming = match &record.arming {
        Arming::Done => None,
        Arming::Enabled { .. } => Some(ArmingMode::Enabled),
        // A former version that cannot be read any more (its bucket is gone) matched nothing that is there now.
        Arming::Widened { before, .. } => Some(
            parse(before, &record.name)
                .map_or(ArmingMode::Enabled, |rule| ArmingMode::Widened(Arc::new(rule))),
        ),
    };
    LiveRule {
        rule: Arc::new(rule),
        file: record.file.clone(),
        text: record.text.as_str().into(),
        enabled: record.enabled,
        since: record.since,
        arming,
    }
}
