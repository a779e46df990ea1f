//! The version of a rule: a hash of its meaning.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use sha2::{Digest, Sha256};
use toml::de::{DeTable, DeValue};

use crate::diagnostic::SourceFile;
use crate::diagnostic::reader::Table;
use crate::rule::{RuleName, RuleVersion};

/// A hash of what the file means: neither comments, layout, the order of keys, nor `enabled` change it.
/// A task over a preset counts as if it had said everything itself: `merged` has its canonical form. What the files
/// beside it hold counts, too: `beside` has their hashes.
pub(super) fn version(
    file: &SourceFile,
    name: &RuleName,
    merged: &BTreeMap<String, String>,
    beside: &BTreeMap<String, String>,
) -> RuleVersion {
    let (document, _) = DeTable::parse_recoverable(&file.text);
    let mut canonical = format!("{:?}", name.as_str());
    for (key, value) in document.get_ref() {
        let word = key.get_ref().as_ref();
        if matches!(word, "name" | "enabled" | "preset") {
            continue;
        }
        let _ = write!(canonical, ",{word:?}=");
        match value.get_ref() {
            DeValue::Table(tasks) if word == "task" => write_tasks(tasks, merged, &mut canonical),
            value => write_canonical(value, &mut canonical),
        }
    }
    for (path, hash) in beside {
        let _ = write!(canonical, ",{path:?}:{hash}");
    }
    let digest = Sha256::digest(canonical.as_bytes());
    let mut digits = String::with_capacity(16);
    for byte in &digest[..8] {
        let _ = write!(digits, "{byte:02x}");
    }
    RuleVersion(digits)
}

fn write_tasks(tasks: &DeTable<'_>, merged: &BTreeMap<String, String>, to: &mut String) {
    to.push('{');
    for (id, task) in tasks {
        let _ = write!(to, "{:?}=", id.get_ref());
        match merged.get(id.get_ref().as_ref()) {
            Some(merged) => to.push_str(merged),
            None => write_canonical(task.get_ref(), to),
        }
        to.push(',');
    }
    to.push('}');
}

/// A task with what its preset says, without the preset's name.
pub(super) fn merged_task(task: &Table<'_>) -> String {
    let mut to = String::new();
    write_merged(task, "preset", &mut to);
    to
}

fn write_merged(table: &Table<'_>, without: &str, to: &mut String) {
    to.push('{');
    for (key, value) in table.merged().into_iter().filter(|(key, _)| *key != without) {
        let _ = write!(to, "{key:?}=");
        if value.is_table() {
            if let Some(inner) = value.table() {
                write_merged(&inner, "", to);
            }
        } else {
            write_canonical(value.raw(), to);
        }
        to.push(',');
    }
    to.push('}');
}

fn write_canonical(value: &DeValue<'_>, to: &mut String) {
    let _ = match value {
        DeValue::String(text) => write!(to, "{text:?}"),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => write!(to, "{number}"),
            Err(_) => write!(to, "{number}"),
        },
        DeValue::Float(number) => match number.as_str().parse::<f64>() {
            Ok(number) => write!(to, "{number:?}"),
            Err(_) => write!(to, "{number}"),
        },
        DeValue::Boolean(value) => write!(to, "{value}"),
        DeValue::Datetime(value) => write!(to, "{value}"),
        DeValue::Array(values) => {
            to.push('[');
            for value in values {
                write_canonical(value.get_ref(), to);
                to.push(',');
            }
            write!(to, "]")
        }
        DeValue::Table(entries) => {
            to.push('{');
            for (key, value) in entries {
                let _ = write!(to, "{:?}=", key.get_ref());
                write_canonical(value.get_ref(), to);
                to.push(',');
            }
            write!(to, "}}")
        }
    };
}
