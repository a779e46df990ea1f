//! The settings of an `extract` task.

use super::kinds::LATER_OF_TASKS;
use super::or_default;
use crate::diagnostic::reader::{Table, Value};
use crate::rule::{Extract, TaskKind, TextForm};

/// An `extract` task.
pub(super) fn extract(mut table: Table<'_>) -> Option<TaskKind> {
    let streams = or_default(table.get("streams"), vec!['a', 's', 'd'], |value| {
        let sort = |value: &Value<'_>| value.one_of(&[("audio", 'a'), ("subtitles", 's'), ("data", 'd')], &[]);
        if value.is_text() {
            return sort(value).map(|one| vec![one]);
        }
        let all = value.list()?;
        if all.is_empty() {
            value.error(
                format!("`{}` is empty: nothing would be taken out", value.path),
                "name at least one of \"audio\", \"subtitles\", \"data\"",
            );
            return None;
        }
        // Every fault is told, not only the first.
        let sorts: Vec<_> = all.iter().map(sort).collect();
        sorts.into_iter().collect()
    });
    let languages = or_default(table.get("languages"), Vec::new(), |value| {
        let all: Vec<_> = value.list()?.iter().map(language).collect();
        all.into_iter().collect()
    });
    let text = or_default(table.get("text"), TextForm::Srt, |value| {
        value.one_of(&[("srt", TextForm::Srt), ("vtt", TextForm::Vtt)], &[])
    });
    table.finish(&LATER_OF_TASKS);
    let streams = streams?;
    Some(TaskKind::Extract(Extract {
        audio: streams.contains(&'a'),
        subtitles: streams.contains(&'s'),
        data: streams.contains(&'d'),
        languages: languages?,
        text: text?,
    }))
}

/// A code as media have it, in lower case.
pub(super) fn language(value: &Value<'_>) -> Option<String> {
    let text = value.text()?;
    let good = (2..=16).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if !good {
        let message = format!("\"{}\" is no code of a language", text.escape_debug());
        value.error(message, "a code reads \"en\", \"eng\" or \"pt-BR\"");
    }
    good.then(|| text.to_lowercase())
}
