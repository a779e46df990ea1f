//! Which sounds and subtitles a `transcode` task takes, and what they are called.

use super::extract::language;
use super::or_default;
use crate::diagnostic::reader::{Table, Value};
use crate::rule::{AudioSpec, Choice, Container, Pick, Track, Tracks};

/// A list names so many streams at most, and none beyond this number.
const MOST_PICKS: usize = 32;

/// `audio_tracks` and `subtitles`; the languages are those of [`languages`].
pub(super) fn tracks(
    table: &mut Table<'_>,
    container: Option<Container>,
    audio: Option<&Track<AudioSpec>>,
    languages: Option<Vec<String>>,
) -> Option<Tracks> {
    let usual = Tracks::default();
    let (sounds_value, subtitles_value) = (table.get("audio_tracks"), table.get("subtitles"));
    let sounds = or_default(sounds_value.clone(), usual.sounds, sounds);
    let subtitles = or_default(subtitles_value.clone(), usual.subtitles, subtitles);
    let mut good = true;
    let mut fault = |value: &Value<'_>, message: String, help: &str| {
        value.error(message, help);
        good = false;
    };
    let several = sounds.as_ref().is_some_and(Choice::wants_several);
    let single = container.filter(|one| !one.holds_sounds());
    match (&sounds_value, single) {
        (Some(value), _) if matches!(audio, Some(Track::None)) => {
            let message = format!("`{}` has no effect: no sound is in the result", value.path);
            fault(value, message, "take it out, or take `audio = \"none\"` out");
        }
        (Some(value), Some(container)) if several => fault(
            value,
            format!("\"{}\" holds one sound", container.extension()),
            "choose one: audio_tracks = [2]; or a container that holds several: mp4, mov, mkv, webm, ts, mxf",
        ),
        _ => {}
    }
    let most = sounds.as_ref().and_then(most);
    if let (Some(count), Some(languages), Some(value)) = (most, &languages, table.get("audio"))
        && languages.len() > count
    {
        fault(
            &value,
            format!(
                "there are {} languages, and sounds to be taken: {count}",
                languages.len()
            ),
            "give one language for each sound, or let `audio_tracks` take more",
        );
    }
    let wanted = subtitles.as_ref().is_some_and(|choice| !choice.is_none());
    let none = container.filter(|one| !one.holds_subtitles());
    if let (true, Some(container), Some(value)) = (wanted, none, &subtitles_value) {
        fault(
            value,
            format!("\"{}\" holds no subtitles", container.extension()),
            "take it out, or choose mp4, mov, mkv or webm; `kind = \"extract\"` writes them beside",
        );
    }
    let (sounds, subtitles, languages) = (sounds?, subtitles?, languages?);
    good.then_some(Tracks {
        sounds,
        subtitles,
        languages,
    })
}

/// How many sounds there may be; none where only the medium says that.
fn most(choice: &Choice) -> Option<usize> {
    match choice {
        Choice::All => None,
        Choice::First(count) => Some(*count as usize),
        Choice::These(picks) => {
            let numbers = picks.iter().all(|pick| matches!(pick, Pick::Number(_)));
            numbers.then_some(picks.len())
        }
    }
}

/// `language` of a table of sound: one code, or one for each sound.
pub(super) fn languages(table: &mut Table<'_>) -> Option<Vec<String>> {
    or_default(table.get("language"), Vec::new(), |value| {
        if value.is_text() {
            return Some(vec![label(value)?]);
        }
        let all: Vec<_> = value.list()?.iter().map(label).collect();
        all.into_iter().collect()
    })
}

/// A code as every container holds it.
fn label(value: &Value<'_>) -> Option<String> {
    let text = value.text()?;
    let good = (2..=3).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphabetic());
    if !good {
        let message = format!("\"{}\" is no code of a language", text.escape_debug());
        value.error(message, "two or three letters: \"en\" or \"eng\"");
    }
    good.then(|| text.to_lowercase())
}

fn sounds(value: &Value<'_>) -> Option<Choice> {
    if value.is_list() {
        return picks(value);
    }
    if let Some(code) = value.raw().as_str().filter(|text| *text != "all") {
        let message = format!("`{}` cannot be \"{}\"", value.path, code.escape_debug());
        value.error(
            message,
            "\"all\", a number, or a list of numbers and languages: [1, \"de\"]",
        );
        return None;
    }
    if value.is_text() {
        return value.one_of(&[("all", ())], &[]).map(|()| Choice::All);
    }
    value.count(1..=8).map(Choice::First)
}

fn subtitles(value: &Value<'_>) -> Option<Choice> {
    if value.is_list() {
        return picks(value);
    }
    let all = if value.is_text() {
        value.one_of(&[("all", true), ("none", false)], &[])?
    } else if let Some(all) = value.raw().as_bool() {
        all
    } else {
        let message = format!("`{}` says which subtitles are taken", value.path);
        value.error(
            message,
            "\"all\", \"none\", or a list of numbers and languages: [1, \"de\"]",
        );
        return None;
    };
    Some(if all { Choice::All } else { Choice::First(0) })
}

/// `[1, "de"]`.
fn picks(value: &Value<'_>) -> Option<Choice> {
    let list = value.list()?;
    if !(1..=MOST_PICKS).contains(&list.len()) {
        value.error(
            format!("`{}` names 1 to {MOST_PICKS} streams", value.path),
            "numbers, from 1, and languages: [1, \"de\"]",
        );
        return None;
    }
    let pick = |value: &Value<'_>| {
        if value.is_text() {
            return language(value).map(Pick::Language);
        }
        value.count(1..=32).map(Pick::Number)
    };
    let all: Vec<_> = list.iter().map(pick).collect();
    let all: Vec<Pick> = all.into_iter().collect::<Option<_>>()?;
    for (at, one) in all.iter().enumerate() {
        if all[..at].contains(one) {
            list[at].error("this is there twice", "take one of them out");
            return None;
        }
    }
    Some(Choice::These(all))
}
