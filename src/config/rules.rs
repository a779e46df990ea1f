//! Reads the folders of rule files and of presets.

use std::io;
use std::path::Path;

use super::Config;
use super::beside::read_beside;
use crate::diagnostic::{Diagnostic, SourceFile};
use crate::object::BucketName;
use crate::rule::Rule;
use crate::rule::book::BrokenFile;
use crate::rule::check::{check_together, check_with};
use crate::rule::preset::Presets;
use crate::rule::renewal::stem;

/// What lies in the rules folder, by name.
#[derive(Debug, Clone, Default)]
pub struct RuleFiles {
    /// Files with text.
    pub files: Vec<SourceFile>,
    /// Files that could not be read, or hold no text.
    pub unreadable: Vec<BrokenFile>,
}

/// Reads `*.toml` in this folder; hidden names and what editors leave behind do not count.
///
/// # Errors
/// Where the folder itself cannot be read. A file that cannot is among the answer.
pub fn read_rules(folder: &Path) -> io::Result<RuleFiles> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name();
        let text = name.to_string_lossy();
        if text.ends_with(".toml") && !text.starts_with(['.', '#', '~']) {
            names.push(name);
        }
    }
    names.sort();
    let mut found = RuleFiles::default();
    for name in names {
        let path = folder.join(&name);
        let problem = match std::fs::read(&path) {
            Ok(bytes) => match String::from_utf8(bytes) {
                Ok(text) => {
                    found.files.push(SourceFile {
                        path,
                        text: text.into(),
                    });
                    continue;
                }
                Err(error) => format!(
                    "the file is not UTF-8 from byte {} on",
                    error.utf8_error().valid_up_to()
                ),
            },
            // Gone between listing and reading: as if it had never been there.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !path.is_symlink() => continue,
            Err(error) => format!("the file cannot be read: {error}"),
        };
        let file = SourceFile { path, text: "".into() };
        found.unreadable.push(BrokenFile {
            file: name.to_string_lossy().into_owned(),
            rule: None,
            diagnostics: vec![Diagnostic::error(&file, None, problem)],
        });
    }
    Ok(found)
}

/// Reads the presets folder; one that is not there is empty.
///
/// # Errors
/// Where the folder is there and cannot be read.
pub fn read_presets(folder: &Path) -> io::Result<Presets> {
    let found = match read_rules(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => RuleFiles::default(),
        read => read?,
    };
    Ok(Presets::with_files(&found.files, &found.unreadable))
}

/// Everything that can be said of rule files without a daemon.
#[derive(Debug, Clone)]
pub struct Checked {
    /// Rules of valid files.
    pub rules: Vec<(Rule, SourceFile)>,
    /// All that is wrong, file by file, then among files.
    pub diagnostics: Vec<Diagnostic>,
}

/// Checks every rule file and preset, and the rules against each other.
#[must_use]
pub fn check_all(config: &Config, files: &RuleFiles, presets: &Presets) -> Checked {
    let presets = &presets
        .clone()
        .with_beside(read_beside(&config.rules, &files.files, presets));
    let buckets: Vec<BucketName> = config.buckets.keys().cloned().collect();
    let mut checked = Checked {
        rules: Vec::new(),
        diagnostics: Vec::new(),
    };
    for file in &files.files {
        let (rule, found) = check_with(file, &stem(&file.path), &buckets, presets);
        checked.diagnostics.extend(found);
        checked.rules.extend(rule.map(|rule| (rule, file.clone())));
    }
    for broken in &files.unreadable {
        checked.diagnostics.extend(broken.diagnostics.clone());
    }
    // What a rule met in a preset is told there, with the name of the task.
    let told: Vec<_> = checked
        .diagnostics
        .iter()
        .map(|one| (one.file.clone(), one.span.clone()))
        .collect();
    let by_themselves = presets.iter().flat_map(|preset| preset.diagnostics.iter());
    let untold = by_themselves.filter(|one| !told.contains(&(one.file.clone(), one.span.clone())));
    checked.diagnostics.extend(untold.cloned());
    let pairs: Vec<_> = checked.rules.iter().map(|(rule, file)| (rule, file)).collect();
    let together = check_together(&pairs);
    checked.diagnostics.extend(together);
    checked
}
