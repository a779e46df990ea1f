//! What only shows when names, tasks or rules are held against each other: outputs that would get the same name,
//! rules with the same name, and rules that would start each other for ever.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ops::Range;

use toml::de::DeTable;

use super::source;
use crate::diagnostic::{Diagnostic, SourceFile};
use crate::job::JobId;
use crate::object::ObjectKey;
use crate::rule::matching::{MEDIA_EXTENSIONS, takes_extension};
use crate::rule::names::{Wanted, output_key};
use crate::rule::source::AfterSuccess;
use crate::rule::{Formats, Moments, Rule, Task, TaskKind};

/// Rules that cannot be in force together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clash {
    /// Their places in the list that was checked.
    pub rules: Vec<usize>,
    /// What is wrong, once for each file that should change.
    pub diagnostics: Vec<Diagnostic>,
}

/// Checks rules against each other: their names are unique, and none starts itself through what it publishes.
#[must_use]
pub fn check_together(rules: &[(&Rule, &SourceFile)]) -> Vec<Diagnostic> {
    clashes(rules).into_iter().flat_map(|clash| clash.diagnostics).collect()
}

/// The same, with the rules that each fault is about.
#[must_use]
pub fn clashes(rules: &[(&Rule, &SourceFile)]) -> Vec<Clash> {
    let mut found = Vec::new();
    let mut named: HashMap<_, Vec<usize>> = HashMap::new();
    for (at, (rule, _)) in rules.iter().enumerate() {
        named.entry(&rule.name).or_default().push(at);
    }
    let mut same: Vec<_> = named.into_values().filter(|all| all.len() > 1).collect();
    same.sort();
    for all in same {
        let (rule, first) = rules[all[0]];
        let diagnostics = all[1..].iter().map(|at| {
            let file = rules[*at].1;
            let message = format!("a rule named \"{}\" is also in {}", rule.name, first.path.display());
            Diagnostic::error(file, Some(place(file, &["name"])), message)
                .with_help("give each rule a name of its own, or take one of the files away")
        });
        found.push(Clash {
            diagnostics: diagnostics.collect(),
            rules: all,
        });
    }
    found.extend(loops(rules));
    found
}

/// Where a key stands in a file; its beginning where it is absent.
fn place(file: &SourceFile, keys: &[&str]) -> Range<usize> {
    let (document, _) = DeTable::parse_recoverable(&file.text);
    let (mut table, mut found) = (Some(document.get_ref()), 0..0);
    for key in keys {
        let Some((written, value)) = table.and_then(|table| table.get_key_value(*key)) else {
            break;
        };
        found = written.span().start..value.span().end.max(written.span().end);
        if value.get_ref().is_table() {
            found = written.span();
        }
        table = value.get_ref().as_table();
    }
    found
}

/// Only a rule with `trigger.outputs` can be started by a rule; a chain of such starts that closes is a loop.
fn loops(rules: &[(&Rule, &SourceFile)]) -> Vec<Clash> {
    let moves = |from: usize, to: usize| may_start_by_moving(rules[from].0, rules[to].0);
    let starts = |from: usize, to: usize| may_start(rules[from].0, rules[to].0) || moves(from, to);
    let mut found: Vec<Clash> = Vec::new();
    for first in 0..rules.len() {
        // The shortest way back, so that the chain named is the one to mend.
        let mut came_from: HashMap<usize, usize> = HashMap::new();
        let mut reached = VecDeque::from([first]);
        while let (Some(here), false) = (reached.pop_front(), came_from.contains_key(&first)) {
            for next in (0..rules.len()).filter(|next| starts(here, *next)) {
                came_from.entry(next).or_insert_with(|| {
                    reached.push_back(next);
                    here
                });
            }
        }
        let Some(mut here) = came_from.get(&first).copied() else {
            continue;
        };
        let mut chain = vec![first];
        while here != first {
            chain.insert(1, here);
            here = came_from[&here];
        }
        if found.iter().any(|known| known.rules.contains(&first)) {
            continue;
        }
        let names: Vec<_> = chain
            .iter()
            .chain([&first])
            .map(|at| format!("\"{}\"", rules[*at].0.name))
            .collect();
        let file = rules[first].1;
        let message = if chain.len() == 1 {
            format!("rule {} would start itself with what it publishes", names[0])
        } else {
            format!("rules would start each other for ever: {}", names.join(" -> "))
        };
        let links = chain.iter().zip(chain.iter().skip(1).chain([&first]));
        let diagnostic = if links.into_iter().any(|(from, to)| moves(*from, *to)) {
            Diagnostic::error(file, Some(place(file, &["after_success"])), message)
                .with_help("move sources to a directory that none of these rules watches")
        } else {
            Diagnostic::error(file, Some(place(file, &["trigger", "outputs"])), message)
                .with_help("publish elsewhere, or take `outputs = true` out of [trigger]")
        };
        found.push(Clash {
            rules: chain,
            diagnostics: vec![diagnostic],
        });
    }
    found
}

/// Whether a source that `from` moves away may start `to`.
fn may_start_by_moving(from: &Rule, to: &Rule) -> bool {
    let Some(AfterSuccess::Move { to: target, .. }) = &from.after_success else {
        return false;
    };
    let takes = |extension: &str| takes_extension(&to.trigger.formats, extension);
    let formats_meet = match &from.trigger.formats {
        Formats::Any => true,
        Formats::Known => to.trigger.formats == Formats::Any || MEDIA_EXTENSIONS.iter().any(|one| takes(one)),
        Formats::List(list) => list.iter().any(|one| takes(one)),
    };
    from.trigger.bucket == to.trigger.bucket && formats_meet && source::meets(target, &to.trigger)
}

/// Whether an output of `from` may start `to`, as far as rules alone can tell; globs count only where they surely exclude.
fn may_start(from: &Rule, to: &Rule) -> bool {
    let trigger = &to.trigger;
    if !trigger.outputs || from.output.bucket != trigger.bucket {
        return false;
    }
    let target = from
        .output
        .directory
        .as_ref()
        .unwrap_or(&from.trigger.directory)
        .as_str();
    let wanted = trigger.directory.as_str();
    let excluded = source::surely_excludes(trigger, target);
    let meet = target.starts_with(wanted) || wanted.starts_with(target);
    meet && !excluded
        && from.tasks.iter().any(|task| {
            extensions(from, task)
                .iter()
                .any(|extension| takes_extension(&trigger.formats, extension))
        })
}

/// Stands for a number of files that depends on the medium.
const MANY: u32 = 3;

/// Extensions of streams that are taken out as they are.
const EXTRACTED: [&str; 16] = [
    "m4a", "mp3", "ogg", "flac", "wav", "mka", "ac3", "eac3", "dts", "mp2", "srt", "vtt", "ass", "ssa", "klv", "bin",
];

/// Extensions that a task's outputs may have. A copy has any that its rule takes.
fn extensions<'r>(rule: &'r Rule, task: &'r Task) -> Vec<&'r str> {
    match &task.kind {
        TaskKind::Probe | TaskKind::Inspect(_) => vec!["json"],
        TaskKind::Transcode(transcode) => vec![transcode.container.extension()],
        TaskKind::Snapshot(snapshot) => vec![snapshot.format.extension()],
        TaskKind::Pipeline(pipeline) => vec![&pipeline.extension],
        TaskKind::Adaptive(_) => vec!["m3u8", "mpd"],
        TaskKind::Sprite(sprite) => vec![sprite.format.extension(), "vtt"],
        TaskKind::Animation(animation) => vec![animation.format.extension()],
        TaskKind::Waveform(_) => vec!["png", "json"],
        TaskKind::Extract(_) => EXTRACTED.to_vec(),
        TaskKind::Copy => match &rule.trigger.formats {
            Formats::List(list) => list.iter().map(String::as_str).collect(),
            Formats::Known => MEDIA_EXTENSIONS.to_vec(),
            Formats::Any => [&MEDIA_EXTENSIONS[..], &["json", "jpg", "png", "txt"]].concat(),
        },
    }
}

/// How many files with this extension a task may make.
fn count(kind: &TaskKind, extension: &str) -> u32 {
    match kind {
        TaskKind::Snapshot(snapshot) => match &snapshot.moments {
            Moments::At(at) => u32::try_from(at.len()).unwrap_or(u32::MAX),
            Moments::Count(count) => *count,
            Moments::Every(_) => MANY,
        },
        // One map, and one sheet where it is filled evenly.
        TaskKind::Sprite(sprite) if sprite.every.is_some() && extension != "vtt" => MANY,
        TaskKind::Extract(_) => MANY,
        _ => 1,
    }
}

/// Packages of one rule whose keys would be put into one file: each has a key of its own.
pub(super) fn same_keys(rule: &Rule, file: &SourceFile) -> Vec<Diagnostic> {
    let mut taken: HashMap<&str, &Task> = HashMap::new();
    let mut found = Vec::new();
    for task in &rule.tasks {
        let TaskKind::Adaptive(settings) = &task.kind else {
            continue;
        };
        let Some(encryption) = &settings.encryption else {
            continue;
        };
        if let Some(other) = taken.insert(&encryption.key_directory, task) {
            let place = place(file, &["task", task.id.as_str(), "encryption"]);
            let message = format!(
                "tasks \"{}\" and \"{}\" would put their keys into one file",
                other.id, task.id
            );
            let error = Diagnostic::error(file, Some(place), message);
            found.push(error.with_help("give each a `key_directory` of its own"));
        }
    }
    found
}

/// Outputs of one rule that would get the same name, or that of their source. Sizes count as the same: small media are
/// not scaled up, so two sizes may be one.
pub(super) fn same_names(rule: &Rule, file: &SourceFile) -> Vec<Diagnostic> {
    let mut found: Vec<Diagnostic> = Vec::new();
    let mut taken: HashMap<ObjectKey, &Task> = HashMap::new();
    let error = |message: String| Diagnostic::error(file, Some(place(file, &["output", "path"])), message);
    let Ok(job) = JobId::parse("000000000000000") else {
        return found;
    };
    for task in &rule.tasks {
        let made = extensions(rule, task);
        let sources: Vec<&str> = match &rule.trigger.formats {
            Formats::List(list) => list.iter().map(String::as_str).collect(),
            formats => made
                .iter()
                .copied()
                .filter(|one| takes_extension(formats, one))
                .collect(),
        };
        // A source of another sort, whose name cannot be that of an output.
        let sources: Vec<&str> = if sources.is_empty() {
            vec!["other source"]
        } else {
            sources
        };
        for (extension, source) in made
            .iter()
            .flat_map(|one| sources.iter().map(move |source| (*one, *source)))
        {
            if matches!(task.kind, TaskKind::Copy) && extension != source {
                continue;
            }
            let Ok(object) = ObjectKey::new(format!("{}source.{source}", rule.trigger.directory.as_str())) else {
                continue;
            };
            let count = count(&task.kind, extension);
            let mut own = HashSet::new();
            for index in 1..=count {
                let wanted = Wanted {
                    task: &task.id,
                    object: &object,
                    ext: extension.as_bytes(),
                    number: (count > 1).then_some((index, count)),
                    rendition: None,
                    size: Some((1, 1)),
                    date: jiff::civil::Date::constant(2000, 1, 1),
                    job: &job,
                };
                let message = match output_key(rule, &wanted) {
                    Err(_) => format!("task \"{}\" would take the name of its source", task.id),
                    Ok(key) if !own.insert(key.clone()) => {
                        let files = match &task.kind {
                            TaskKind::Extract(_) => "files",
                            _ => "images",
                        };
                        format!("task \"{}\" would give all its {files} the same name", task.id)
                    }
                    Ok(key) => match taken.insert(key, task) {
                        Some(other) if other.id != task.id => {
                            format!(
                                "tasks \"{}\" and \"{}\" would give an output the same name",
                                other.id, task.id
                            )
                        }
                        _ => continue,
                    },
                };
                if found.iter().all(|known| known.message != message) {
                    let help = "tell them apart with {task} and {n}: \"{stem}/{task}/{name}\"";
                    found.push(error(message).with_help(help));
                }
            }
        }
    }
    found
}
