//! `reelmill presets`
//!
//! Needs no daemon, and for built-in presets no config either.

use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;

use super::arguments::PresetsCommand;
use super::exit::{Code, Trouble};
use super::output::{self, tame};
use super::table::Table;
use super::{files, report};
use crate::config::{Config, read_rules};
use crate::diagnostic::did_you_mean;
use crate::rule::preset::{Preset, PresetSource, Presets, as_rule_table, in_words};

/// A preset as people and programs see it.
#[derive(Debug, Serialize)]
struct Shown {
    name: String,
    kind: Option<String>,
    makes: String,
    /// `built_in`, `file` or `rule`.
    source: &'static str,
    /// Where it is written; none: in the program.
    file: Option<String>,
    broken: bool,
    keys: toml::Table,
    #[serde(skip)]
    diagnostics: Vec<crate::diagnostic::Diagnostic>,
}

impl Shown {
    fn new(name: &str, keys: toml::Table, source: &'static str, file: Option<String>) -> Self {
        Self {
            name: name.to_owned(),
            kind: keys.get("kind").and_then(|kind| kind.as_str()).map(str::to_owned),
            makes: in_words(&keys),
            source,
            file,
            broken: false,
            keys,
            diagnostics: Vec::new(),
        }
    }

    fn of(preset: &Preset) -> Self {
        let keys = preset.file.text.parse().unwrap_or_default();
        let (source, file) = match preset.source {
            PresetSource::BuiltIn => ("built_in", None),
            PresetSource::File => ("file", Some(preset.file.path.to_string_lossy().into_owned())),
        };
        Self {
            broken: preset.is_broken(),
            diagnostics: preset.diagnostics.clone(),
            ..Self::new(&preset.name, keys, source, file)
        }
    }
}

/// Lists presets, or shows one.
pub fn presets(said: Option<&Path>, command: Option<&PresetsCommand>, json: bool) -> Result<ExitCode, Trouble> {
    let found = match (said, crate::config::find(said)) {
        (None, Err(_)) => Presets::built_in().iter().map(Shown::of).collect(),
        _ => all(&files::config(said)?)?,
    };
    match command {
        None | Some(PresetsCommand::List) => {
            if json {
                output::print_json(&found);
            } else {
                list(&found);
            }
            Ok(ExitCode::SUCCESS)
        }
        Some(PresetsCommand::Show { name }) => show(&found, name, json),
    }
}

/// Those that every rule may use, then those of single rules.
fn all(config: &Config) -> Result<Vec<Shown>, Trouble> {
    let mut found: Vec<Shown> = files::presets(&config.presets)?.iter().map(Shown::of).collect();
    let rules = read_rules(&config.rules).map(|rules| rules.files).unwrap_or_default();
    for file in rules {
        let rule: toml::Table = file.text.parse().unwrap_or_default();
        let own = rule.get("preset").and_then(|own| own.as_table()).into_iter().flatten();
        for (name, keys) in own {
            let keys = keys.as_table().cloned().unwrap_or_default();
            let path = file.path.to_string_lossy().into_owned();
            found.push(Shown::new(name, keys, "rule", Some(path)));
        }
    }
    Ok(found)
}

fn list(found: &[Shown]) {
    let mut found: Vec<&Shown> = found.iter().collect();
    found.sort_by_cached_key(|one| (one.source == "rule", by_number(&one.name)));
    let mut table = Table::new(&["PRESET", "KIND", "MAKES", "FROM"], 2);
    for one in found {
        let from = match &one.file {
            None => "built in".to_owned(),
            Some(path) => {
                let path = Path::new(path);
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                format!("{} {name}", if one.source == "rule" { "rule" } else { "file" })
            }
        };
        let makes = if one.broken {
            "broken; `reelmill check` says why".to_owned()
        } else {
            one.makes.clone()
        };
        table.row(&[one.name.clone(), one.kind.clone().unwrap_or_default(), makes, from]);
    }
    table.print();
}

/// So that 360 comes before 1080.
fn by_number(name: &str) -> Vec<(u64, &str)> {
    name.split(['-', '_'])
        .map(|part| (part.trim_end_matches(char::is_alphabetic).parse().unwrap_or(0), part))
        .collect()
}

fn show(found: &[Shown], name: &str, json: bool) -> Result<ExitCode, Trouble> {
    // Those of single rules come last: what every rule may use goes first.
    let Some(one) = found.iter().find(|one| one.name == name) else {
        let names = found.iter().map(|one| one.name.as_str());
        let help = match did_you_mean(name, names) {
            Some(meant) => format!("did you mean \"{}\"?", tame(meant)),
            None => "`reelmill presets` lists them".to_owned(),
        };
        return Err(Trouble::new(Code::NoInput, format!("there is no preset \"{}\"", tame(name))).help(help));
    };
    if one.broken {
        let words = format!("the preset \"{}\" is broken", tame(name));
        return Err(Trouble::in_files(Code::Data, words, one.diagnostics.clone()));
    }
    if !one.diagnostics.is_empty() {
        report::to_stderr(&one.diagnostics);
    }
    if json {
        output::print_json(one);
    } else {
        for line in as_rule_table(&one.name, &one.keys).lines() {
            output::print(&tame(line));
        }
    }
    Ok(ExitCode::SUCCESS)
}
