//! Finds the rules that may want a key without asking each: by the directories in which the key lies.

use std::collections::HashMap;
use std::sync::Arc;

use super::Rule;
use super::book::RuleBook;
use super::matching::Candidate;
use crate::object::{BucketName, ObjectKey};

/// Enabled rules by bucket and directory.
#[derive(Debug, Default)]
pub struct TriggerIndex {
    buckets: HashMap<BucketName, HashMap<String, Vec<Arc<Rule>>>>,
}

impl TriggerIndex {
    /// Of the rules of a book.
    #[must_use]
    pub fn of(book: &RuleBook) -> Self {
        let mut buckets: HashMap<BucketName, HashMap<String, Vec<Arc<Rule>>>> = HashMap::new();
        for live in book.rules.iter().filter(|live| live.enabled) {
            let trigger = &live.rule.trigger;
            let directories = buckets.entry(trigger.bucket.clone()).or_default();
            let rules = directories.entry(trigger.directory.as_str().to_owned()).or_default();
            rules.push(live.rule.clone());
        }
        Self { buckets }
    }

    /// Whether some rule may want this key, whatever its size.
    #[must_use]
    pub fn wants(&self, bucket: &BucketName, key: &ObjectKey) -> bool {
        let Some(directories) = self.buckets.get(bucket) else {
            return false;
        };
        let bytes = key.as_bytes();
        let candidate = Candidate::of(key);
        let slashes = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        std::iter::once(0)
            .chain(slashes.map(|(at, _)| at + 1))
            .filter_map(|end| directories.get(std::str::from_utf8(&bytes[..end]).ok()?))
            .flatten()
            .any(|rule| candidate.is_wanted_by(rule, None))
    }
}
