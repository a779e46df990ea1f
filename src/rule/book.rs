//! The live rule book: the last good version of every rule, and which files are broken.
//!
//! [`renew`](super::renewal::renew) makes a new one out of what was read and what is remembered.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Rule, RuleName, RuleVersion};
use crate::diagnostic::Diagnostic;
use crate::object::{BucketName, ObjectKey};

/// Everything that is known of the rules at one moment. Swapped whole.
#[derive(Debug, Clone, Default)]
pub struct RuleBook {
    /// By name.
    pub rules: Vec<LiveRule>,
    /// Files that are broken, with or without a last good version in `rules`; by file name.
    pub broken: Vec<BrokenFile>,
}

/// A rule as it is in force.
#[derive(Debug, Clone)]
pub struct LiveRule {
    /// Its last good version.
    pub rule: Arc<Rule>,
    /// The file within the rules folder.
    pub file: String,
    /// The text of the last good version.
    pub text: Arc<str>,
    /// Whether it is in force: enabled by a valid file.
    pub enabled: bool,
    /// Since when it is as `enabled` says.
    pub since: Timestamp,
    /// What was there before is still being written down.
    pub arming: Option<ArmingMode>,
}

/// Why a baseline is being written.
#[derive(Debug, Clone)]
pub enum ArmingMode {
    /// The rule was enabled.
    Enabled,
    /// Its trigger got wider than that of this version.
    Widened(Arc<Rule>),
}

/// A rule file that cannot be used as it is.
#[derive(Debug, Clone)]
pub struct BrokenFile {
    /// Within the rules folder.
    pub file: String,
    /// The rule whose last good version stays in force.
    pub rule: Option<RuleName>,
    /// What is wrong.
    pub diagnostics: Vec<Diagnostic>,
}

impl RuleBook {
    /// The rule of this name.
    #[must_use]
    pub fn get(&self, name: &RuleName) -> Option<&LiveRule> {
        self.rules.iter().find(|live| &live.rule.name == name)
    }

    /// Enabled rules that are triggered by objects of this bucket.
    pub fn enabled_for<'a>(&'a self, bucket: &'a BucketName) -> impl Iterator<Item = &'a LiveRule> {
        self.rules
            .iter()
            .filter(move |live| live.enabled && &live.rule.trigger.bucket == bucket)
    }
}

/// What the store remembers of a rule beside its file.
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
