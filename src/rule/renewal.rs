//! From the files that were read and the records that are kept to a new [`RuleBook`] and the records to keep.
//!
//! Promises: only a valid file changes whether a rule is enabled; a broken file leaves the last good version in
//! force; a rule without a file is not in force, and its record stays as it was. Pure: time comes in.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;

use super::book::{Arming, ArmingMode, BrokenFile, LiveRule, RuleBook, RuleRecord};
use super::check::{check, check_with, clashes, name_of};
use super::preset::{Presets, self_contained};
use super::{Existing, Rule, RuleName, Trigger};
use crate::diagnostic::{Diagnostic, SourceFile, any_error};
use crate::object::BucketName;

/// What a round of reading came to.
#[derive(Debug, Clone)]
pub struct Renewal {
    /// To be put in force.
    pub book: RuleBook,
    /// Records that are new or changed, to be saved before that.
    pub save: Vec<RuleRecord>,
}

/// A file of the rules folder on its way into the book.
struct Candidate {
    file: SourceFile,
    /// The rule that its text describes, where that is valid.
    new: Option<Rule>,
    /// The rule that it stands for while it is broken: the record's last good version.
    kept: Option<(Rule, SourceFile)>,
    diagnostics: Vec<Diagnostic>,
}

impl Candidate {
    fn in_force(&self) -> Option<(&Rule, &SourceFile)> {
        match &self.new {
            Some(rule) => Some((rule, &self.file)),
            None => self.kept.as_ref().map(|(rule, file)| (rule, file)),
        }
    }
}

/// Makes the new book. `unreadable` are files that could not be read as text.
#[must_use]
pub fn renew(
    records: &[RuleRecord],
    files: &[SourceFile],
    unreadable: &[BrokenFile],
    presets: &Presets,
    buckets: &[BucketName],
    now: Timestamp,
) -> Renewal {
    let mut candidates: Vec<Candidate> = files
        .iter()
        .map(|file| {
            let (new, diagnostics) = check_with(file, &stem(&file.path), buckets, presets);
            Candidate {
                file: file.clone(),
                new,
                kept: None,
                diagnostics,
            }
        })
        .collect();
    candidates.extend(unreadable.iter().map(|broken| Candidate {
        file: SourceFile {
            path: broken.file.clone().into(),
            text: "".into(),
        },
        new: None,
        kept: None,
        diagnostics: broken.diagnostics.clone(),
    }));
    refuse_clashes(&mut candidates, records, buckets);

    let mut renewal = Renewal {
        book: RuleBook::default(),
        save: Vec::new(),
    };
    for candidate in candidates {
        let file = file_name(&candidate.file.path);
        let (rule, text, record) = match (candidate.new, candidate.kept) {
            (Some(rule), _) => {
                let old = records.iter().find(|record| record.name == rule.name);
                let text = self_contained(&candidate.file.text, presets);
                let record = next_record(old, &rule, &text, &file, buckets, now);
                if old != Some(&record) {
                    renewal.save.push(record.clone());
                }
                (rule, text.into(), record)
            }
            (None, kept) => {
                renewal.book.broken.push(BrokenFile {
                    file: file.clone(),
                    rule: kept.as_ref().map(|(rule, _)| rule.name.clone()),
                    diagnostics: candidate.diagnostics,
                });
                let Some((rule, last_good)) = kept else {
                    continue;
                };
                let Some(record) = records.iter().find(|record| record.name == rule.name) else {
                    continue;
                };
                (rule, last_good.text, record.clone())
            }
        };
        renewal.book.rules.push(LiveRule {
            rule: Arc::new(rule),
            file,
            text,
            enabled: record.enabled,
            since: record.since,
            arming: arming_mode(&record, buckets),
        });
    }
    renewal.book.rules.sort_by(|a, b| a.rule.name.cmp(&b.rule.name));
    renewal.book.broken.sort_by(|a, b| a.file.cmp(&b.file));
    renewal
}

/// Gives broken files their last good versions, and breaks those whose new versions cannot be in force together with
/// the rest, until the rest fits.
fn refuse_clashes(candidates: &mut [Candidate], records: &[RuleRecord], buckets: &[BucketName]) {
    loop {
        keep_last_good(candidates, records, buckets);
        let in_force: Vec<_> = candidates
            .iter()
            .enumerate()
            .filter_map(|(at, candidate)| Some((at, candidate.in_force()?)))
            .collect();
        let rules: Vec<_> = in_force.iter().map(|(_, rule)| *rule).collect();
        let found: Vec<_> = clashes(&rules)
            .into_iter()
            .map(|clash| {
                let concerned: Vec<_> = clash.rules.iter().map(|at| in_force[*at].0).collect();
                (concerned, clash.diagnostics)
            })
            .collect();
        if found.is_empty() {
            return;
        }
        for (concerned, diagnostics) in found {
            let fresh = concerned.iter().any(|at| candidates[*at].new.is_some());
            for at in concerned {
                let candidate = &mut candidates[at];
                if !fresh {
                    // Old versions that fit in their time, but not with each other: none of them is safe.
                    candidate.kept = None;
                    candidate.diagnostics.extend(diagnostics.clone());
                } else if candidate.new.take().is_some() {
                    candidate.diagnostics.extend(diagnostics.clone());
                }
            }
            if !fresh {
                return;
            }
        }
    }
}

/// Finds for each broken file the record that it stands for: by the name in its text, then by its file name. A rule that
/// a valid file describes is nobody else's.
fn keep_last_good(candidates: &mut [Candidate], records: &[RuleRecord], buckets: &[BucketName]) {
    let mut claimed: HashSet<RuleName> = candidates
        .iter()
        .filter_map(|candidate| candidate.new.as_ref().map(|rule| rule.name.clone()))
        .collect();
    for candidate in candidates.iter_mut().filter(|candidate| candidate.new.is_none()) {
        let file = file_name(&candidate.file.path);
        let name = name_of(&candidate.file, &stem(&candidate.file.path));
        let free = records.iter().filter(|record| !claimed.contains(&record.name));
        let record = free
            .clone()
            .find(|record| Some(&record.name) == name.as_ref())
            .or_else(|| {
                free.filter(|record| record.file == file)
                    .max_by_key(|record| record.created)
            });
        candidate.kept = record.and_then(|record| {
            claimed.insert(record.name.clone());
            let file = SourceFile {
                path: candidate.file.path.clone(),
                text: record.text.as_str().into(),
            };
            let mut rule = parse(record, &record.text, buckets)?;
            // What lay beside it then is in its version, and not looked at again.
            rule.version = record.version.clone();
            Some((rule, file))
        });
    }
}

/// The rule that a remembered text describes.
fn parse(record: &RuleRecord, text: &str, buckets: &[BucketName]) -> Option<Rule> {
    let file = SourceFile {
        path: record.file.clone().into(),
        text: text.into(),
    };
    let (rule, _) = check(&file, record.name.as_str(), buckets);
    rule.filter(|rule| rule.name == record.name)
}

fn arming_mode(record: &RuleRecord, buckets: &[BucketName]) -> Option<ArmingMode> {
    match &record.arming {
        Arming::Done => None,
        Arming::Enabled { .. } => Some(ArmingMode::Enabled),
        // A text that cannot be understood any more told nothing that is old from what is new: all is old.
        Arming::Widened { before, .. } => {
            Some(parse(record, before, buckets).map_or(ArmingMode::Enabled, |rule| ArmingMode::Widened(Arc::new(rule))))
        }
    }
}

fn next_record(
    old: Option<&RuleRecord>,
    rule: &Rule,
    text: &str,
    file: &str,
    buckets: &[BucketName],
    now: Timestamp,
) -> RuleRecord {
    let mut record = RuleRecord {
        name: rule.name.clone(),
        version: rule.version.clone(),
        text: text.to_owned(),
        file: file.to_owned(),
        enabled: rule.enabled,
        since: now,
        created: now,
        arming: Arming::Done,
    };
    let turned_on = rule.enabled && old.is_none_or(|old| !old.enabled);
    if turned_on && rule.trigger.existing == Existing::Ignore {
        record.arming = Arming::Enabled { cursor: None };
    }
    let Some(old) = old else { return record };
    record.created = old.created;
    if old.enabled == rule.enabled {
        record.since = old.since;
        record.arming = old.arming.clone();
    }
    if rule.enabled && old.enabled && old.version != rule.version {
        let before = parse(old, &old.text, buckets);
        let same = before.is_some_and(|before| takes_the_same(&before.trigger, &rule.trigger));
        if !same {
            record.arming = match &old.arming {
                Arming::Done => Arming::Widened {
                    cursor: None,
                    before: old.text.clone(),
                },
                // What the walk has passed must be looked at again with the new trigger.
                Arming::Widened { before, .. } => Arming::Widened {
                    cursor: None,
                    before: before.clone(),
                },
                Arming::Enabled { .. } => Arming::Enabled { cursor: None },
            };
        }
    }
    record
}

/// Whether two triggers take the same objects.
fn takes_the_same(a: &Trigger, b: &Trigger) -> bool {
    a.bucket == b.bucket
        && a.directory == b.directory
        && a.formats == b.formats
        && a.include.patterns == b.include.patterns
        && a.exclude.patterns == b.exclude.patterns
        && (a.min_size, a.max_size, a.outputs) == (b.min_size, b.max_size, b.outputs)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The name of the rule in a file that says none.
#[must_use]
pub fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// What a new book changes, in words for the log: (file or rule, what happened).
#[must_use]
pub fn changes(before: &RuleBook, after: &RuleBook) -> Vec<(String, &'static str)> {
    let mut found = Vec::new();
    for live in &after.rules {
        let name = live.rule.name.to_string();
        match before.get(&live.rule.name) {
            None => found.push((
                name,
                if live.enabled {
                    "loaded, enabled"
                } else {
                    "loaded, disabled"
                },
            )),
            Some(old) if old.enabled != live.enabled => {
                found.push((name, if live.enabled { "enabled" } else { "disabled" }));
            }
            Some(old) if old.rule.version != live.rule.version => found.push((name, "changed")),
            Some(_) => {}
        }
    }
    for old in &before.rules {
        if after.get(&old.rule.name).is_none() {
            found.push((
                old.rule.name.to_string(),
                "not in force any more: it has no usable file",
            ));
        }
    }
    let broken = |book: &RuleBook, file: &str| book.broken.iter().any(|one| one.file == file);
    for old in before.broken.iter().filter(|old| !broken(after, &old.file)) {
        found.push((old.file.clone(), "not broken any more"));
    }
    found
}

/// Whether a file is broken in a way that the older book did not know.
#[must_use]
pub fn newly_broken<'b>(before: &RuleBook, after: &'b RuleBook) -> Vec<&'b BrokenFile> {
    let known = |one: &BrokenFile| {
        before
            .broken
            .iter()
            .any(|old| old.file == one.file && old.diagnostics == one.diagnostics)
    };
    after
        .broken
        .iter()
        .filter(|one| !known(one) && any_error(&one.diagnostics))
        .collect()
}

#[cfg(test)]
#[path = "renewal_tests.rs"]
mod tests;
