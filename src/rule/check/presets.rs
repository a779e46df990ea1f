//! The presets of a rule: those of its own, those it takes from elsewhere, and the tasks that lie over them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use toml::de::DeTable;

use super::tasks;
use crate::diagnostic::reader::{Page, Parsed, Table, Value};
use crate::diagnostic::{Diagnostic, SourceFile, did_you_mean};
use crate::rule::preset::{Preset, Presets, is_good_name};

/// Keys of a task that say where it stands in its rule, so that no preset has them.
const OF_THE_TASK: [&str; 3] = ["after", "when", "if"];

/// Whether what a task says rules out this key of its preset: a bitrate a quality, and the other way round, one pair of sides the
/// other, pictures that are not encoded their size, one way to choose moments the others, and a length an end.
fn rules_out(above: &DeTable<'_>, key: &str) -> bool {
    let says = |one: &str| above.contains_key(one);
    let text = |one: &str| above.get(one).and_then(|value| value.get_ref().as_str());
    match key {
        "crf" => says("bitrate"),
        "bitrate" => says("crf"),
        "width" | "height" => says("long_side") || says("short_side") || text("video").is_some(),
        "long_side" | "short_side" => says("width") || says("height") || text("video").is_some(),
        "fit" | "upscale" | "overlay" | "mosaic" => text("video").is_some(),
        "at" => says("every") || says("count"),
        "every" => says("at") || says("count"),
        "count" => says("at") || says("every"),
        "end" => says("length"),
        "length" => says("end"),
        _ => false,
    }
}

/// What is wrong with the text of a preset by itself.
#[must_use]
pub fn check_preset(file: &SourceFile, name: &str) -> Vec<Diagnostic> {
    let ((), mut found) = Page::read(file, &called(name), |_, table| alone(table));
    if !is_good_name(name) {
        let message = format!("\"{}\" is no name of a preset", name.escape_debug());
        let help = "rename the file: 1 to 64 letters, digits, '-' or '_'";
        found.insert(0, Diagnostic::error(file, None, message).with_help(help));
    }
    found
}

fn called(name: &str) -> String {
    format!("the preset \"{}\"", name.escape_debug())
}

fn alone(mut table: Table<'_>) {
    if let Some(value) = table.get("preset") {
        value.key_error(
            "a preset cannot take another preset",
            "write the keys of the other preset here, too",
        );
    }
    for key in OF_THE_TASK {
        if let Some(value) = table.get(key) {
            value.key_error(
                format!("a preset cannot say `{key}`"),
                "it belongs to the task that uses the preset",
            );
        }
    }
    if let Some(kind) = tasks::kind(&mut table) {
        tasks::settings(kind, table.partial());
    }
}

/// The presets within reach of a rule's tasks.
pub(super) struct Shelf<'p> {
    page: &'p Page,
    /// `[preset.NAME]` of the rule.
    own: BTreeMap<&'p str, Value<'p>>,
    /// Those from elsewhere that the rule names, and their texts.
    outer: Vec<(&'p Preset, &'p Parsed<'p>)>,
    /// Everything that could be named.
    names: BTreeSet<String>,
    used: RefCell<BTreeSet<String>>,
}

impl<'p> Shelf<'p> {
    /// Reads what the rule has under `preset`, each preset by itself.
    pub fn read(
        page: &'p Page,
        own: Option<&Value<'p>>,
        outer: Vec<(&'p Preset, &'p Parsed<'p>)>,
        presets: &Presets,
    ) -> Self {
        let entries = own.and_then(Value::table).map(|mut table| table.entries());
        let own: BTreeMap<_, _> = entries.into_iter().flatten().collect();
        for (name, value) in &own {
            if !is_good_name(name) {
                value.key_error(
                    format!("\"{}\" is no name of a preset", name.escape_debug()),
                    "1 to 64 letters, digits, '-' or '_'",
                );
            }
            if let Some(table) = value.table() {
                alone(table);
            }
        }
        let mut names: BTreeSet<String> = presets.iter().map(|preset| preset.name.clone()).collect();
        names.extend(own.keys().map(|name| (*name).to_owned()));
        Self {
            page,
            own,
            outer,
            names,
            used: RefCell::default(),
        }
    }

    /// Lays a task over the preset that it names; none where there is no such preset or none that could be read.
    pub fn under(&self, id: &str, mut task: Table<'p>) -> Option<Table<'p>> {
        let Some(value) = task.get("preset") else {
            return Some(task);
        };
        // Asked before: what a preset says of these must not count.
        for key in OF_THE_TASK {
            if !task.has(key) {
                task.get(key);
            }
        }
        let name = value.text()?;
        let user: Rc<str> = format!("task \"{}\"", id.escape_debug()).into();
        let below = if let Some(own) = self.own.get(name) {
            self.used.borrow_mut().insert(name.to_owned());
            own.table()?
        } else if let Some((preset, parsed)) = self.outer.iter().find(|(preset, _)| preset.name == name) {
            for found in &preset.diagnostics {
                self.page.add(found.clone(), Some(user.clone()));
            }
            if preset.is_broken() && !parsed.is_sound() || preset.file.text.is_empty() {
                return None;
            }
            Table::of(self.page, parsed, &called(name))
        } else {
            let names = self.names.iter().map(String::as_str);
            let help = match did_you_mean(name, names.clone()) {
                Some(meant) => format!("did you mean \"{meant}\"?"),
                None => format!("presets are {}", names.collect::<Vec<_>>().join(", ")),
            };
            value.error(format!("there is no preset \"{}\"", name.escape_debug()), help);
            return None;
        };
        let kinds = [&task, &below].map(|table| table.merged().remove("kind"));
        if let [Some(own), Some(lower)] = kinds
            && let (Some(mine), Some(its)) = (own.raw().as_str(), lower.raw().as_str())
            && mine != its
        {
            own.error(
                format!("the preset \"{name}\" is of kind \"{}\"", its.escape_debug()),
                "take `kind` out, or use a preset of the kind that you want",
            );
            return None;
        }
        Some(task.over(below, &user, rules_out))
    }

    /// Files beside the rule that it named so far, with hashes of what they hold.
    pub fn named(&self) -> BTreeMap<String, String> {
        self.page.named()
    }

    /// Warns of presets of the rule that none of its tasks uses.
    pub fn warn_of_unused(&self) {
        let used = self.used.borrow();
        for (name, value) in self.own.iter().filter(|(name, _)| !used.contains(**name)) {
            self.page.warning(
                value.key_span.clone(),
                format!("no task of this rule uses the preset \"{}\"", name.escape_debug()),
                format!("write `preset = \"{name}\"` in a task, or take it out"),
            );
        }
    }
}
