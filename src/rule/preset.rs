//! Presets: keys of a task under a name, to be taken by many tasks.
//!
//! A preset is built in, a file of the presets folder, or a table of the rule itself; where names meet, the rule's own
//! wins over the file, and the file over what is built in. Pure: texts come in.
//!
//! Promises: a preset never refers to another; the text that a job keeps ([`self_contained`]) means the same whatever
//! becomes of the presets that its rule used.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::LazyLock;

use toml::{Table, Value};

use super::asset::Beside;
use super::book::BrokenFile;
use super::check::check_preset;
use super::renewal::stem;
use crate::diagnostic::{Diagnostic, SourceFile, any_error};

/// Where a preset that no rule holds comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PresetSource {
    /// Part of the program.
    BuiltIn,
    /// A file of the presets folder.
    File,
}

/// A preset that every rule may use.
#[derive(Debug, Clone)]
pub struct Preset {
    /// As tasks name it.
    pub name: String,
    /// Where it comes from.
    pub source: PresetSource,
    /// Its text: keys of a task.
    pub file: SourceFile,
    /// What is wrong with it by itself.
    pub diagnostics: Vec<Diagnostic>,
}

impl Preset {
    fn new(name: &str, source: PresetSource, file: SourceFile) -> Self {
        Self {
            name: name.to_owned(),
            source,
            diagnostics: check_preset(&file, name),
            file,
        }
    }

    /// Whether something must be mended before a rule can use it.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        any_error(&self.diagnostics)
    }
}

/// The presets that every rule may use, by name.
#[derive(Debug, Clone)]
pub struct Presets {
    by_name: BTreeMap<String, Preset>,
    /// What lies beside the rules that use them, where somebody looked.
    beside: Option<Beside>,
}

static BUILT_IN: LazyLock<Presets> = LazyLock::new(|| {
    let presets = texts(include_str!("presets.toml")).into_iter().map(|(name, text)| {
        let file = SourceFile {
            path: format!("built-in preset {name}").into(),
            text: text.into(),
        };
        (name.to_owned(), Preset::new(name, PresetSource::BuiltIn, file))
    });
    Presets {
        by_name: presets.collect(),
        beside: None,
    }
});

/// Cuts a text at its headers.
fn texts(all: &str) -> Vec<(&str, String)> {
    let mut found: Vec<(&str, String)> = Vec::new();
    for line in all.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            found.push((name, String::new()));
        } else if let (Some((_, text)), false) = (found.last_mut(), line.trim().is_empty()) {
            text.push_str(line);
            text.push('\n');
        }
    }
    found
}

impl Presets {
    /// Those that are part of the program.
    #[must_use]
    pub fn built_in() -> &'static Self {
        &BUILT_IN
    }

    /// Those, and the files of the presets folder.
    #[must_use]
    pub fn with_files(files: &[SourceFile], unreadable: &[BrokenFile]) -> Self {
        let mut all = Self::built_in().clone();
        for file in files {
            let name = stem(&file.path);
            let preset = Preset::new(&name, PresetSource::File, file.clone());
            all.by_name.insert(name, preset);
        }
        for broken in unreadable {
            for found in &broken.diagnostics {
                let Some(file) = found.file.clone() else { continue };
                let preset = Preset {
                    name: stem(&file.path),
                    source: PresetSource::File,
                    file,
                    diagnostics: broken.diagnostics.clone(),
                };
                all.by_name.insert(preset.name.clone(), preset);
            }
        }
        all
    }

    /// The same, with what lies beside the rules that use them.
    #[must_use]
    pub fn with_beside(mut self, beside: Beside) -> Self {
        self.beside = Some(beside);
        self
    }

    /// What lies beside the rules; none where nobody looked, so that nothing can be said of it.
    #[must_use]
    pub fn beside(&self) -> Option<&Beside> {
        self.beside.as_ref()
    }

    /// The preset of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Preset> {
        self.by_name.get(name)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Preset> {
        self.by_name.values()
    }

    /// Those that the tasks of a rule name and the rule does not hold itself.
    #[must_use]
    pub fn used_by(&self, text: &str) -> Vec<&Preset> {
        let (document, _) = toml::de::DeTable::parse_recoverable(text);
        let inner = |key: &str| document.get_ref().get(key).and_then(|value| value.get_ref().as_table());
        let own = inner("preset");
        let named: BTreeSet<&str> = inner("task")
            .into_iter()
            .flat_map(|tasks| tasks.values())
            .filter_map(|task| task.get_ref().as_table()?.get("preset")?.get_ref().as_str())
            .filter(|name| own.is_none_or(|own| !own.contains_key(*name)))
            .collect();
        named.into_iter().filter_map(|name| self.get(name)).collect()
    }
}

/// Whether this can name a preset.
#[must_use]
pub fn is_good_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
}

/// The text of a rule with the presets that it uses: what a job keeps. The same text where it uses none.
#[must_use]
pub fn self_contained(text: &str, presets: &Presets) -> String {
    let used = presets.used_by(text);
    if used.is_empty() {
        return text.to_owned();
    }
    let mut whole = text.trim_end().to_owned();
    let mut tables = Table::new();
    for preset in used {
        let table: Table = preset.file.text.parse().unwrap_or_default();
        let _ = write!(
            whole,
            "\n\n# The {} as it was then.\n{}",
            described(preset),
            as_rule_table(&preset.name, &table).trim_end()
        );
        tables.insert(preset.name.clone(), Value::Table(table));
    }
    whole.push('\n');
    if whole.parse::<Table>().is_ok() {
        return whole;
    }
    // The rule writes its own presets in braces, to which no table can be added.
    let mut rule: Table = text.parse().unwrap_or_default();
    if let Some(Value::Table(own)) = rule.get_mut("preset") {
        own.extend(tables);
    }
    rule.to_string()
}

fn described(preset: &Preset) -> String {
    match preset.source {
        PresetSource::BuiltIn => format!("built-in preset {}", preset.name),
        PresetSource::File => format!("preset {}", preset.name),
    }
}

/// A preset as a table of a rule: `[preset.NAME]` and its keys.
#[must_use]
pub fn as_rule_table(name: &str, keys: &Table) -> String {
    let mut text = format!("[preset.{name}]\n");
    let (kind, rest): (Vec<_>, Vec<_>) = keys.iter().partition(|(key, _)| *key == "kind");
    let (tables, plain): (Vec<_>, Vec<_>) = rest.into_iter().partition(|(_, value)| value.is_table());
    for (key, value) in kind.into_iter().chain(plain).chain(tables) {
        let _ = writeln!(text, "{key} = {value}");
    }
    text
}

/// What a task with these keys makes, as far as they say it.
#[must_use]
pub fn in_words(keys: &Table) -> String {
    let text = |key: &str| keys.get(key).map(bare);
    let form = text("container").or_else(|| text("format"));
    let mut words: Vec<String> = form.into_iter().collect();
    if let Some(packages) = keys.get("packages").and_then(Value::as_array) {
        words.push(packages.iter().map(bare).collect::<Vec<_>>().join(" and "));
    }
    if let (Some(form), Some(length)) = (text("segments"), text("segment")) {
        words.push(format!("{form} segments of {length}"));
    }
    match keys.get("renditions") {
        Some(Value::Array(all)) => words.push(format!("{} renditions", all.len())),
        Some(all) => words.push(format!("renditions {}", bare(all))),
        None => {}
    }
    words.extend(text("codec"));
    if let Some(at) = keys.get("at").and_then(Value::as_array) {
        match at.as_slice() {
            [one] => words.push(format!("at {}", bare(one))),
            many => words.push(format!("at {} points", many.len())),
        }
    }
    match (text("width"), text("height")) {
        (Some(width), Some(height)) => words.push(format!("{width} x {height}")),
        (Some(width), None) => words.push(format!("{width} wide")),
        (None, Some(height)) => words.push(format!("{height} high")),
        (None, None) => {}
    }
    if let (Some(rows), Some(columns)) = (text("rows"), text("columns")) {
        words.push(format!("{rows} rows of {columns}"));
    }
    words.extend(text("length"));
    words.extend(text("fps").map(|fps| format!("{fps} fps")));
    for side in ["long_side", "short_side"] {
        words.extend(text(side).map(|length| format!("{} {length}", side.replace('_', " "))));
    }
    for track in ["video", "audio"] {
        match keys.get(track) {
            Some(Value::Table(track)) => words.push(track_in_words(track)),
            Some(Value::String(word)) if word == "copy" => words.push(format!("{track} copied")),
            Some(Value::String(word)) => words.push(match word.as_str() {
                "none" => format!("no {track}"),
                word => format!("{track} {word}"),
            }),
            _ => {}
        }
    }
    words.retain(|word| !word.is_empty());
    words.join(", ")
}

fn track_in_words(track: &Table) -> String {
    let text = |key: &str| track.get(key).map(bare);
    let channels = track
        .get("channels")
        .and_then(Value::as_integer)
        .map(|count| match count {
            1 => "mono".to_owned(),
            2 => "stereo".to_owned(),
            6 => "5.1".to_owned(),
            other => format!("{other} channels"),
        });
    let parts = [
        text("codec"),
        text("crf").map(|crf| format!("crf {crf}")),
        text("bitrate"),
        channels,
        text("rate").map(|rate| format!("{rate} Hz")),
        text("loudness"),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// A value without its quotes.
fn bare(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
#[path = "preset_tests.rs"]
mod tests;
