//! From the text of a rule file to a checked [`Rule`], with everything that is wrong with it.
//!
//! [`check`] looks at one file, [`check_together`] at all of them. Pure: no I/O, no clock.

mod access;
mod adaptive;
mod allow;
mod canonical;
mod clips;
mod extract;
mod kinds;
mod listening;
mod overlay;
mod pictures;
mod presets;
mod queue;
mod renditions;
mod source;
mod stored;
mod tasks;
mod together;
mod tracks;
mod transcode;
mod video;

use std::time::Duration;

use toml::de::DeTable;

use super::access::AccessSpec;
use super::names::Template;
use super::preset::Presets;
use super::stored::StoredSpec;
use super::{Existing, Formats, Globs, Input, OnFailure, OutputSpec, RetryPolicy, Rule, RuleName, Trigger};
use crate::diagnostic::reader::{Page, Parsed, Table, Value};
use crate::diagnostic::{Diagnostic, SourceFile, any_error, did_you_mean};
use crate::job::Priority;
use crate::object::{BucketName, Directory};
use presets::Shelf;
pub use presets::check_preset;
pub use together::{Clash, check_together, clashes};

/// Keys of a rule that later versions have.
const LATER: [&str; 4] = ["notify", "audio_tracks", "subtitles", "if"];

/// Checks one rule file. `stem` is the rule's name where the file says none; `buckets` are those of the config.
/// There is a rule exactly where no diagnostic is an error. Of presets there are those of the rule and the built-in ones.
#[must_use]
pub fn check(file: &SourceFile, stem: &str, buckets: &[BucketName]) -> (Option<Rule>, Vec<Diagnostic>) {
    check_with(file, stem, buckets, Presets::built_in())
}

/// The same, with these presets.
#[must_use]
pub fn check_with(
    file: &SourceFile,
    stem: &str,
    buckets: &[BucketName],
    presets: &Presets,
) -> (Option<Rule>, Vec<Diagnostic>) {
    let used = presets.used_by(&file.text);
    let texts: Vec<_> = used.iter().map(|preset| Parsed::new(&preset.file)).collect();
    let (rule, mut diagnostics) = Page::read_with(&Parsed::new(file), "a rule", &texts, |page, mut table, texts| {
        page.lend(buckets, presets.beside());
        let outer = used.iter().copied().zip(texts).collect();
        let shelf = Shelf::read(page, table.get("preset").as_ref(), outer, presets);
        let rule = read(table, file, stem, buckets, &shelf);
        shelf.warn_of_unused();
        rule
    });
    let rule = rule.filter(|_| !any_error(&diagnostics));
    if let Some(rule) = &rule {
        diagnostics.extend(together::same_names(rule, file));
        diagnostics.extend(together::same_keys(rule, file));
    }
    (rule.filter(|_| !any_error(&diagnostics)), diagnostics)
}

/// The name that a file gives its rule, as far as it can be read, however broken the rest is.
#[must_use]
pub fn name_of(file: &SourceFile, stem: &str) -> Option<RuleName> {
    let (document, _) = DeTable::parse_recoverable(&file.text);
    let written = document.get_ref().get("name");
    written
        .map_or(Some(stem), |value| value.get_ref().as_str())?
        .parse()
        .ok()
}

fn read<'p>(
    mut table: Table<'p>,
    file: &SourceFile,
    stem: &str,
    buckets: &[BucketName],
    shelf: &Shelf<'p>,
) -> Option<Rule> {
    let name = match table.get("name") {
        Some(value) => value.name::<RuleName>(),
        None => stem
            .parse()
            .map_err(|error| {
                table.missing(
                    format!("the file's name is no good name for a rule: {error}"),
                    "add `name = \"...\"`",
                );
            })
            .ok(),
    };
    let enabled = table.get("enabled").map_or(Some(false), |value| value.boolean());
    let priority = table.get("priority").map_or(Some(0), |value| value.integer(-10..=10));
    let queue = queue::read(&mut table);
    let strict = table.get("strict").map_or(Some(false), |value| value.boolean());
    let input = or_default(table.get("input"), Input::Stream, |value| {
        value.one_of(&[("stream", Input::Stream), ("download", Input::Download)], &[])
    });
    let on_failure = table.get("on_failure").map_or(Some(OnFailure::Usual), |value| {
        value.one_of(&[("note", OnFailure::Note), ("none", OnFailure::None)], &[])
    });
    let trigger = table
        .require("trigger", "add [trigger] with `bucket = \"...\"`")
        .and_then(|value| read_trigger(value.table()?, buckets));
    let output = match table.get("output") {
        Some(value) => value
            .table()
            .and_then(|inner| read_output(inner, buckets, trigger.as_ref())),
        None => trigger.as_ref().map(|trigger| OutputSpec {
            bucket: trigger.bucket.clone(),
            directory: None,
            overwrite: false,
            path: None,
            access: AccessSpec::default(),
            stored: StoredSpec::default(),
        }),
    };
    let after_success = or_default(table.get("after_success"), None, |value| {
        source::read(value, trigger.as_ref()).map(Some)
    });
    let retry = table
        .get("retry")
        .map_or(Some(RetryPolicy::default()), |value| read_retry(value.table()?));
    let tasks = table
        .require("task", "add at least one task: [task.NAME] with `kind = \"...\"`")
        .and_then(|value| Some(tasks::read(value.table()?, shelf, input)));
    table.finish(&LATER);
    let tasks = tasks?;
    Some(Rule {
        version: canonical::version(file, name.as_ref()?, &tasks.merged, &shelf.named()),
        name: name?,
        enabled: enabled?,
        priority: Priority::new(priority?).ok()?,
        trigger: trigger?,
        output: output?,
        tasks: tasks.tasks?,
        retry: retry?,
        on_failure: on_failure?,
        strict: strict?,
        input: input?,
        queue: queue?,
        after_success: after_success?,
    })
}

fn read_bucket(value: &Value<'_>, buckets: &[BucketName]) -> Option<BucketName> {
    let name: BucketName = value.name()?;
    if buckets.contains(&name) {
        return Some(name);
    }
    let known = buckets.iter().map(BucketName::as_str);
    let help = match did_you_mean(name.as_str(), known.clone()) {
        Some(meant) => format!("did you mean \"{meant}\"?"),
        None if buckets.is_empty() => "declare it in reelmill.toml: [bucket.NAME]".to_owned(),
        None => format!("buckets are {}", known.collect::<Vec<_>>().join(", ")),
    };
    value.error(format!("there is no bucket \"{name}\""), help);
    None
}

/// A list of strings, each of which `take` understands.
fn texts<T>(value: &Value<'_>, take: impl Fn(&Value<'_>, &str) -> Option<T>) -> Option<Vec<T>> {
    let values = value.list()?;
    let taken: Vec<_> = values.iter().map(|one| take(one, one.text()?)).collect();
    taken.into_iter().collect()
}

/// An absent key is `Some(default)`, a wrong one `None`.
pub(crate) fn or_default<'p, T>(
    value: Option<Value<'p>>,
    default: T,
    take: impl FnOnce(&Value<'p>) -> Option<T>,
) -> Option<T> {
    value.map_or(Some(default), |value| take(&value))
}

fn read_trigger(mut table: Table<'_>, buckets: &[BucketName]) -> Option<Trigger> {
    let bucket = table
        .require("bucket", "name a bucket of reelmill.toml")
        .and_then(|value| read_bucket(&value, buckets));
    let directory = or_default(table.get("directory"), Directory::default(), read_directory);
    let formats = or_default(table.get("formats"), Formats::Known, read_formats);
    let none = || Globs {
        patterns: Vec::new(),
        set: globset::GlobSet::empty(),
    };
    let include = or_default(table.get("include"), none(), read_globs);
    let exclude = or_default(table.get("exclude"), none(), read_globs);
    let min_size = or_default(table.get("min_size"), None, |value| value.size().map(Some));
    let max = table.get("max_size");
    let max_size = or_default(max.clone(), None, |value| value.size().map(Some));
    if let (Some(Some(min)), Some(Some(most)), Some(value)) = (min_size, max_size, max)
        && most < min
    {
        value.error(
            "`trigger.max_size` is less than `trigger.min_size`",
            "no object could match",
        );
    }
    let existing = or_default(table.get("existing"), Existing::Ignore, |value| {
        value.one_of(&[("ignore", Existing::Ignore), ("process", Existing::Process)], &[])
    });
    let outputs = or_default(table.get("outputs"), false, Value::boolean);
    table.finish(&[]);
    Some(Trigger {
        bucket: bucket?,
        directory: directory?,
        formats: formats?,
        include: include?,
        exclude: exclude?,
        min_size: min_size?,
        max_size: max_size?,
        existing: existing?,
        outputs: outputs?,
    })
}

fn read_directory(value: &Value<'_>) -> Option<Directory> {
    let text = value.text()?;
    Directory::new(text)
        .map_err(|error| {
            value.error(
                format!("`{}` is no directory of a bucket", value.path),
                error.to_string(),
            );
        })
        .ok()
}

fn read_formats(value: &Value<'_>) -> Option<Formats> {
    const HELP: &str = "extensions such as [\"mp4\", \"mov\"], or \"*\" for any name";
    if value.is_text() {
        if value.text() == Some("*") {
            return Some(Formats::Any);
        }
        value.error("`trigger.formats` must be a list of extensions or \"*\"", HELP);
        return None;
    }
    let list = texts(value, |one, text| {
        let extension = text.strip_prefix('.').unwrap_or(text).to_lowercase();
        if extension.is_empty() || extension.contains(['/', '.']) || (extension.contains('*') && extension != "*") {
            one.error(format!("\"{}\" is no extension", text.escape_debug()), HELP);
            return None;
        }
        Some(extension)
    })?;
    if list.is_empty() {
        value.error("`trigger.formats` is empty, so nothing could match", HELP);
        return None;
    }
    if list.iter().any(|one| one == "*") {
        return Some(Formats::Any);
    }
    Some(Formats::List(list))
}

/// A pattern without `/` is held against the file name, any other against the whole key.
fn read_globs(value: &Value<'_>) -> Option<Globs> {
    let globs = texts(value, |one, text| {
        let whole = if text.contains('/') {
            text.to_owned()
        } else {
            format!("**/{text}")
        };
        globset::GlobBuilder::new(&whole)
            .literal_separator(true)
            .build()
            .map(|glob| (text.to_owned(), glob))
            .map_err(|error| {
                one.error(
                    format!("\"{}\" is no pattern", text.escape_debug()),
                    error.kind().to_string(),
                );
            })
            .ok()
    })?;
    let mut set = globset::GlobSetBuilder::new();
    let mut patterns = Vec::new();
    for (pattern, glob) in globs {
        patterns.push(pattern);
        set.add(glob);
    }
    let set = set
        .build()
        .map_err(|error| value.error("these patterns are too much together", error.to_string()))
        .ok()?;
    Some(Globs { patterns, set })
}

fn read_output(mut table: Table<'_>, buckets: &[BucketName], trigger: Option<&Trigger>) -> Option<OutputSpec> {
    let bucket = match table.get("bucket") {
        Some(value) => read_bucket(&value, buckets),
        None => trigger.map(|trigger| trigger.bucket.clone()),
    };
    let directory = or_default(table.get("directory"), None, |value| read_directory(value).map(Some));
    let overwrite = or_default(table.get("overwrite"), false, Value::boolean);
    let path = or_default(table.get("path"), None, |value| {
        Template::parse(value.text()?)
            .map_err(|error| {
                value.error_within(error.at, format!("`output.path`: {}", error.message), error.help);
            })
            .ok()
            .map(Some)
    });
    let access = access::read(&mut table);
    let stored = stored::read(&mut table);
    table.finish(&[]);
    Some(OutputSpec {
        bucket: bucket?,
        directory: directory?,
        overwrite: overwrite?,
        path: path?,
        access: access?,
        stored: stored?,
    })
}

fn read_retry(mut table: Table<'_>) -> Option<RetryPolicy> {
    let default = RetryPolicy::default();
    let clock = Duration::from_secs(1)..=Duration::from_hours(30 * 24);
    let attempts = or_default(table.get("attempts"), default.attempts, |value| value.count(1..=20));
    let timeout = or_default(table.get("timeout"), None, |value| {
        value.duration(clock.clone()).map(Some)
    });
    let stall = or_default(table.get("stall"), default.stall, |value| value.duration(clock.clone()));
    table.finish(&[]);
    Some(RetryPolicy {
        attempts: attempts?,
        timeout: timeout?,
        stall: stall?,
    })
}
