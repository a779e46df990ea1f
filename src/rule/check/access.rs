//! `owner`, `group` and `mode` under `[output]`.

use super::or_default;
use crate::diagnostic::reader::{Table, Value};
use crate::rule::access::{AccessSpec, Principal};

/// Reads the three keys. `None`: one of them is wrong.
pub(super) fn read(table: &mut Table<'_>) -> Option<AccessSpec> {
    let owner = or_default(table.get("owner"), None, |value| principal(value).map(Some));
    let group = or_default(table.get("group"), None, |value| principal(value).map(Some));
    let mode = or_default(table.get("mode"), None, |value| mode(value).map(Some));
    Some(AccessSpec {
        owner: owner?,
        group: group?,
        mode: mode?,
    })
}

fn principal(value: &Value<'_>) -> Option<Principal> {
    if !value.is_text() {
        let id = value.integer(0..=i64::from(u32::MAX - 1))?;
        return u32::try_from(id).ok().map(Principal::Id);
    }
    let text = value.text()?;
    if let Ok(id) = text.parse::<u32>() {
        return Some(Principal::Id(id));
    }
    let good = !text.is_empty()
        && text.len() <= 256
        && !text.starts_with('-')
        && !text
            .chars()
            .any(|c| c.is_control() || c.is_whitespace() || ":,/".contains(c));
    if !good {
        value.error(
            format!("`{}` cannot be \"{}\"", value.path, text.escape_debug()),
            "the name of a user or group, or its number",
        );
        return None;
    }
    Some(Principal::Name(text.to_owned()))
}

fn mode(value: &Value<'_>) -> Option<u32> {
    const HELP: &str = "permissions in octal, as for chmod, in quotes: \"0644\", \"0640\", \"0600\"";
    if !value.is_text() {
        value.error(format!("`{}` must be a string", value.path), HELP);
        return None;
    }
    let text = value.text()?;
    let mode = u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| (3..=4).contains(&text.len()) && *mode <= 0o777 && !text.starts_with('+'));
    match mode {
        Some(mode) if mode & 0o400 != 0 => Some(mode),
        Some(_) => {
            value.error(
                format!(
                    "with `{}` = \"{text}\" even the owner could not read results",
                    value.path
                ),
                HELP,
            );
            None
        }
        None => {
            value.error(format!("`{}` cannot be \"{}\"", value.path, text.escape_debug()), HELP);
            None
        }
    }
}
