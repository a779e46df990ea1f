//! `tags`, `storage_class`, `acl` and `cache_control` under `[output]`.

use std::collections::BTreeMap;

use super::or_default;
use crate::diagnostic::reader::{Table, Value};
use crate::rule::stored::StoredSpec;

/// What the protocol allows of tags: how many, and how long names and values are, in characters.
const TAGS: (usize, usize, usize) = (10, 128, 256);

/// Canned access lists that the protocol knows.
const ACLS: [(&str, &str); 7] = [
    ("private", "private"),
    ("public-read", "public-read"),
    ("public-read-write", "public-read-write"),
    ("authenticated-read", "authenticated-read"),
    ("aws-exec-read", "aws-exec-read"),
    ("bucket-owner-read", "bucket-owner-read"),
    ("bucket-owner-full-control", "bucket-owner-full-control"),
];

/// Reads the four keys. `None`: one of them is wrong.
pub(super) fn read(table: &mut Table<'_>) -> Option<StoredSpec> {
    let tags = or_default(table.get("tags"), BTreeMap::new(), tags);
    let storage_class = or_default(table.get("storage_class"), None, |value| storage_class(value).map(Some));
    let acl = or_default(table.get("acl"), None, |value| {
        value.one_of(&ACLS, &[]).map(|acl| Some(acl.to_owned()))
    });
    let cache_control = or_default(table.get("cache_control"), None, |value| header(value).map(Some));
    Some(StoredSpec {
        tags: tags?,
        storage_class: storage_class?,
        acl: acl?,
        cache_control: cache_control?,
    })
}

fn tags(value: &Value<'_>) -> Option<BTreeMap<String, String>> {
    let (most, longest_name, longest_value) = TAGS;
    let mut table = value.table()?;
    let entries = table.entries();
    let mut tags = BTreeMap::new();
    let mut fine = true;
    if entries.len() > most {
        value.error(
            format!("{} tags are too many", entries.len()),
            format!("{most} at most"),
        );
        fine = false;
    }
    for (name, value) in entries {
        let Some(text) = value.text() else {
            fine = false;
            continue;
        };
        let named = (1..=longest_name).contains(&name.chars().count()) && !name.starts_with("aws:");
        let fits =
            named && text.chars().count() <= longest_value && !(name.to_owned() + text).chars().any(char::is_control);
        if !fits {
            value.error(
                format!("`{}` cannot be a tag", value.path),
                format!("a name of 1 to {longest_name} characters and a value of up to {longest_value}"),
            );
            fine = false;
        }
        tags.insert(name.to_owned(), text.to_owned());
    }
    fine.then_some(tags)
}

fn storage_class(value: &Value<'_>) -> Option<String> {
    let text = value.text()?;
    let fits = (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if !fits {
        value.error(
            format!("`{}` is no storage class", value.path),
            "as the server calls it: \"STANDARD_IA\", \"INTELLIGENT_TIERING\"",
        );
    }
    fits.then(|| text.to_owned())
}

fn header(value: &Value<'_>) -> Option<String> {
    let text = value.text()?;
    let fits = (1..=256).contains(&text.len()) && text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    if !fits {
        value.error(
            format!("`{}` is no value of a header", value.path),
            "as in \"public, max-age=31536000, immutable\"",
        );
    }
    fits.then(|| text.to_owned())
}
