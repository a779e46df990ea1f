//! `[task.ID]`: which tasks there are, and the order among them. What each is to do, `kinds` reads.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::adaptive::adaptive;
use super::extract::extract;
use super::kinds::{LATER_OF_TASKS, pipeline};
use super::listening::{inspect, waveform};
use super::pictures::{animation, snapshot, sprite};
use super::presets::Shelf;
use super::transcode::transcode;
use super::{canonical, or_default};
use crate::diagnostic::did_you_mean;
use crate::diagnostic::reader::{Table, Value};
use crate::rule::{Input, Task, TaskId, TaskKind, When};

const LATER_KINDS: [&str; 2] = ["recognize", "review"];

/// What the tasks of a rule mean, and in canonical form those that lie over a preset, by id.
pub struct Read {
    pub tasks: Option<Vec<Task>>,
    pub merged: BTreeMap<String, String>,
}

/// A task whose `after` is still as written.
struct Draft<'p> {
    id: Option<TaskId>,
    after: Vec<(String, Value<'p>)>,
    when: Option<When>,
    kind: Option<TaskKind>,
}

/// All tasks, in the order of the file.
pub fn read<'p>(mut table: Table<'p>, shelf: &Shelf<'p>, input: Option<Input>) -> Read {
    let mut merged = BTreeMap::new();
    let tasks = read_all(&mut table, shelf, input, &mut merged);
    Read { tasks, merged }
}

fn read_all<'p>(
    table: &mut Table<'p>,
    shelf: &Shelf<'p>,
    input: Option<Input>,
    merged: &mut BTreeMap<String, String>,
) -> Option<Vec<Task>> {
    let entries = table.entries();
    if entries.is_empty() {
        table.missing(
            "a rule needs at least one task",
            "add [task.NAME] with `kind = \"...\"`",
        );
        return None;
    }
    let ids: Vec<&str> = entries.iter().map(|(id, _)| *id).collect();
    let drafts: Vec<_> = entries
        .iter()
        .map(|(id, value)| {
            let checked = id.parse::<TaskId>();
            if let Err(error) = &checked {
                value.key_error(
                    format!("\"{}\" is no id of a task", id.escape_debug()),
                    error.to_string(),
                );
            }
            Some(draft(checked.ok(), id, value.table()?, shelf, input, merged))
        })
        .collect();
    let mut sound = drafts.iter().all(Option::is_some);
    for (id, draft) in ids.iter().zip(&drafts) {
        for (after, value) in draft.iter().flat_map(|draft| &draft.after) {
            if after == id {
                value.error(format!("task \"{id}\" waits for itself"), "take it out of `after`");
            } else if !ids.contains(&after.as_str()) {
                let help = match did_you_mean(after, ids.iter().copied()) {
                    Some(meant) => format!("did you mean \"{meant}\"?"),
                    None => format!("tasks of this rule are {}", ids.join(", ")),
                };
                value.error(format!("there is no task \"{}\"", after.escape_debug()), help);
            } else {
                continue;
            }
            sound = false;
        }
    }
    sound.then(|| report_cycle(&ids, &drafts));
    drafts
        .into_iter()
        .map(|draft| {
            let draft = draft?;
            let after: Option<_> = draft.after.iter().map(|(id, _)| id.parse().ok()).collect();
            Some(Task {
                id: draft.id?,
                after: after?,
                when: draft.when?,
                kind: draft.kind?,
            })
        })
        .collect()
}

/// Tasks that wait for each other: what is left when those that can run are taken away.
fn report_cycle(ids: &[&str], drafts: &[Option<Draft<'_>>]) {
    let mut waiting: HashMap<&str, &Draft<'_>> = ids.iter().copied().zip(drafts.iter().flatten()).collect();
    loop {
        let ready: Vec<&str> = waiting
            .iter()
            .filter(|(_, draft)| draft.after.iter().all(|(id, _)| !waiting.contains_key(id.as_str())))
            .map(|(id, _)| *id)
            .collect();
        if ready.is_empty() {
            break;
        }
        for id in ready {
            waiting.remove(id);
        }
    }
    let Some(start) = ids.iter().copied().find(|id| waiting.contains_key(id)) else {
        return;
    };
    let (mut chain, mut here) = (Vec::new(), start);
    while !chain.contains(&here) {
        chain.push(here);
        let next = waiting[here]
            .after
            .iter()
            .find(|(id, _)| waiting.contains_key(id.as_str()));
        here = next.map_or(start, |(id, _)| id.as_str());
    }
    let from = chain.iter().position(|id| *id == here).unwrap_or(0);
    let mut chain = chain.split_off(from);
    let first = chain[0];
    chain.push(first);
    if let Some((_, value)) = waiting[first].after.first() {
        let message = format!("tasks wait for each other: {}", chain.join(" after "));
        value.error(message, "take one of them out of `after`");
    }
}

fn draft<'p>(
    id: Option<TaskId>,
    written_id: &str,
    mut table: Table<'p>,
    shelf: &Shelf<'p>,
    input: Option<Input>,
    merged: &mut BTreeMap<String, String>,
) -> Draft<'p> {
    let mut after = Vec::new();
    let written = table.get("after");
    if let Some(value) = &written {
        let values = if value.is_list() {
            value.list().unwrap_or_default()
        } else {
            vec![value.clone()]
        };
        let mut seen = HashSet::new();
        for value in values {
            if let Some(id) = value.text() {
                if seen.insert(id) {
                    after.push((id.to_owned(), value));
                } else {
                    value.error(
                        format!("task \"{}\" is named twice", id.escape_debug()),
                        "once is enough",
                    );
                }
            }
        }
    }
    let condition = table.get("when");
    if let (Some(value), true) = (&condition, after.is_empty()) {
        value.key_error(
            "`when` needs `after`",
            "it says how the tasks in `after` must have ended",
        );
    }
    let when = or_default(condition, When::Succeeded, |value| {
        value.one_of(
            &[
                ("succeeded", When::Succeeded),
                ("failed", When::Failed),
                ("any", When::Any),
            ],
            &["passed", "blocked", "review"],
        )
    });
    let uses_preset = table.has("preset");
    let kind = shelf.under(written_id, table).and_then(|mut table| {
        if uses_preset {
            merged.insert(written_id.to_owned(), canonical::merged_task(&table));
        }
        // Which keys a task may have only its kind can say.
        let kind = kind(&mut table)?;
        let launch = (kind == 'l').then(|| table.get("launch")).flatten();
        let settings = settings(kind, table)?;
        if let (TaskKind::Pipeline(pipeline), Some(Input::Stream), Some(launch)) = (&settings, input, launch)
            && pipeline.wants_file()
        {
            launch.error(
                format!(
                    "`{}` has {{file}}, and the source is not fetched as a file",
                    launch.path
                ),
                "add `input = \"download\"` at the top of the rule, or use {input}",
            );
        }
        Some(settings)
    });
    Draft { id, after, when, kind }
}

/// What `kind` says, as a letter.
pub(super) fn kind(table: &mut Table<'_>) -> Option<char> {
    table
        .require(
            "kind",
            "one of \"transcode\", \"adaptive\", \"snapshot\", \"sprite\", \"animation\", \"waveform\", \"extract\", \"inspect\", \
             \"probe\", \"copy\", \"pipeline\"",
        )?
        .one_of(
            &[
                ("transcode", 't'),
                ("adaptive", 'a'),
                ("sprite", 'r'),
                ("animation", 'n'),
                ("waveform", 'w'),
                ("extract", 'e'),
                ("inspect", 'i'),
                ("snapshot", 's'),
                ("probe", 'p'),
                ("copy", 'c'),
                ("pipeline", 'l'),
            ],
            &LATER_KINDS,
        )
}

/// Reads the rest of a task, or of a preset.
pub(super) fn settings(kind: char, table: Table<'_>) -> Option<TaskKind> {
    match kind {
        't' => transcode(table),
        's' => snapshot(table),
        'l' => pipeline(table),
        'a' => adaptive(table),
        'r' => sprite(table),
        'n' => animation(table),
        'w' => waveform(table),
        'e' => extract(table),
        'i' => inspect(table),
        plain => {
            table.finish(&LATER_OF_TASKS);
            Some(if plain == 'p' { TaskKind::Probe } else { TaskKind::Copy })
        }
    }
}
