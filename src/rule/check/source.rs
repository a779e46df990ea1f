//! `after_success`: what becomes of the source, with the refusal of what would make a rule work for ever.

use crate::diagnostic::reader::Value;
use crate::object::{Directory, is_hidden};
use crate::rule::Trigger;
use crate::rule::source::AfterSuccess;

const HELP: &str = "\"delete\" or \"move:DIR\"; without it the source is left alone";

/// Reads the key. `None`: it is wrong.
pub(super) fn read(value: &Value<'_>, trigger: Option<&Trigger>) -> Option<AfterSuccess> {
    let text = value.text()?;
    if text == "delete" {
        value.warning(
            "this rule DELETES every source file once all work on it has succeeded, and nothing brings it back",
            "`after_success = \"move:DIR\"` keeps it in another directory of its bucket",
        );
        return Some(AfterSuccess::Delete);
    }
    let Some(directory) = text.strip_prefix("move:").map(str::trim) else {
        value.error(format!("`after_success` cannot be \"{}\"", text.escape_debug()), HELP);
        return None;
    };
    let to = match Directory::new(directory) {
        Ok(to) if !to.as_str().is_empty() => to,
        Ok(_) => {
            value.error("`after_success` names no directory", "\"move:done/\"");
            return None;
        }
        Err(error) => {
            value.error("`after_success` names no directory of a bucket", error.to_string());
            return None;
        }
    };
    if to.as_str().split('/').next() == Some(".reelmill") {
        value.error(
            "`after_success` moves sources into a directory that is Reelmill's own",
            "name another one",
        );
        return None;
    }
    let trigger = trigger?;
    if meets(&to, trigger) {
        let within = match trigger.directory.as_str() {
            "" => "the whole bucket".to_owned(),
            directory => format!("\"{directory}\""),
        };
        value.error(
            format!("`after_success` moves sources to where this very rule takes them from: it watches {within}"),
            format!(
                "move them elsewhere, or say `exclude = [\"{}**\"]` under [trigger]",
                to.as_str()
            ),
        );
        return None;
    }
    Some(AfterSuccess::Move {
        to,
        below: trigger.directory.clone(),
    })
}

/// Whether something that lies in a directory may start a rule with this trigger, as far as names of directories tell.
/// Only patterns that surely exclude all of it count.
pub(super) fn meets(directory: &Directory, trigger: &Trigger) -> bool {
    let (target, wanted) = (directory.as_str(), trigger.directory.as_str());
    let near = target.starts_with(wanted) || wanted.starts_with(target);
    let hidden = target.split('/').any(|segment| is_hidden(segment.as_bytes()));
    near && !hidden && !surely_excludes(trigger, target)
}

/// Whether a pattern excludes everything below a directory.
pub(super) fn surely_excludes(trigger: &Trigger, directory: &str) -> bool {
    trigger.exclude.patterns.iter().any(|pattern| {
        pattern.strip_suffix("**").is_some_and(|prefix| {
            prefix.ends_with('/') && !prefix.contains(['*', '?', '[', '{']) && directory.starts_with(prefix)
        })
    })
}
