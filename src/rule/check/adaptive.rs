//! The settings of an `adaptive` task, and which of them go together.

use std::time::Duration;

use super::kinds::LATER_OF_TASKS;
use super::renditions::{Packaging, renditions};
use super::transcode::{audio, part};
use super::video::treatment;
use super::{or_default, overlay, tracks};
use crate::diagnostic::reader::{Table, Value};
use crate::object::Directory;
use crate::rule::{Adaptive, AudioCodec, AudioSpec, Container, Encryption, SegmentForm, TaskKind, Track, VideoCodec};

/// An `adaptive` task.
pub(super) fn adaptive(mut table: Table<'_>) -> Option<TaskKind> {
    let segments = or_default(table.get("segments"), SegmentForm::Cmaf, |value| {
        value.one_of(&[("cmaf", SegmentForm::Cmaf), ("ts", SegmentForm::Ts)], &[])
    });
    let usual = if segments == Some(SegmentForm::Ts) {
        (true, false)
    } else {
        (true, true)
    };
    let packages_value = table.get("packages");
    let packages = or_default(packages_value.clone(), usual, packages);
    let segment = or_default(table.get("segment"), Duration::from_secs(4), |value| {
        value.duration(Duration::from_secs(1)..=Duration::from_secs(30))
    });
    let hdr = table.get("hdr").filter(|value| value.is_word("keep"));
    let packaging = Packaging {
        streams: segments == Some(SegmentForm::Ts),
        hdr: hdr.is_some(),
    };
    let renditions = renditions(&mut table, packaging);
    if let (Some(value), Some(renditions)) = (&hdr, &renditions)
        && !renditions.codecs().into_iter().any(VideoCodec::holds_hdr)
    {
        value.error(
            "no rendition can hold a high dynamic range",
            "encode some as \"h265\" or \"vp9\", or take `hdr` out: it is then mapped to what every screen shows",
        );
    }
    let part = part(&mut table);
    let treatment = treatment(&mut table, None);
    let cover = overlay::cover(&mut table);
    let audio_value = table.get("audio");
    let mut languages = Some(Vec::new());
    let audio = sound(audio_value.as_ref(), &mut |table| languages = tracks::languages(table));
    let heard = audio.as_ref().map(|spec| match spec {
        Some(spec) => Track::Encode(spec.clone()),
        None => Track::None,
    });
    let tracks = tracks::tracks(&mut table, Some(Container::Mp4), heard.as_ref(), languages);
    let encryption_value = table.get("encryption");
    let encryption = or_default(encryption_value.clone(), None, |value| encryption(value).map(Some));
    let iframes_value = table.get("iframes");
    let iframes = or_default(iframes_value.clone(), encryption_value.is_none(), Value::boolean);

    if let (Some((_, true)), Some(value)) = (packages, &encryption_value) {
        value.key_error(
            "whole segments are encrypted, which DASH does not know",
            "write `packages = [\"hls\"]`, or take `encryption` out",
        );
    }
    if let (Some((_, true)), Some(SegmentForm::Ts)) = (packages, segments)
        && let Some(value) = &packages_value
    {
        value.error(
            "transport streams are for HLS alone",
            "write `packages = [\"hls\"]`, or take `segments` out",
        );
    }
    if let (Some(true), Some(value), Some(_)) = (iframes, &iframes_value, &encryption_value) {
        value.error(
            "key frames cannot be read out of segments that are encrypted as a whole",
            "take `iframes` or `encryption` out",
        );
    }
    table.finish(&LATER_OF_TASKS);
    let (hls, dash) = packages?;
    let iframes = iframes?;
    Some(TaskKind::Adaptive(Box::new(Adaptive {
        hls,
        dash,
        segments: segments?,
        segment: segment?,
        renditions: renditions?,
        audio: audio?,
        tracks: tracks?,
        iframes,
        encryption: encryption?,
        part: part?,
        treatment: treatment?,
        cover: cover?,
    })))
}

/// Whether HLS and DASH are wanted.
fn packages(value: &Value<'_>) -> Option<(bool, bool)> {
    let list = value.list()?;
    if list.is_empty() {
        value.error("no package is left", "packages = [\"hls\", \"dash\"]");
        return None;
    }
    let words: Option<Vec<_>> = list
        .iter()
        .map(|one| one.one_of(&[("hls", 'h'), ("dash", 'd')], &[]))
        .collect();
    let words = words?;
    let mut seen = Vec::new();
    for (one, word) in list.iter().zip(&words) {
        if seen.contains(word) {
            one.error(format!("`{}` names a package twice", one.path), "take one of them out");
            return None;
        }
        seen.push(*word);
    }
    Some((words.contains(&'h'), words.contains(&'d')))
}

/// The outer none is a fault, the inner one `"none"`.
#[expect(clippy::option_option, reason = "a fault is not silence")]
fn sound(value: Option<&Value<'_>>, more: &mut dyn FnMut(&mut Table<'_>)) -> Option<Option<AudioSpec>> {
    if let Some(value) = value.filter(|value| value.is_text()) {
        return value.one_of(&[("none", ())], &[]).map(|()| None);
    }
    match (audio(value, Some(Container::Mp4), more)?, value) {
        (Track::Encode(spec), _) if spec.codec == AudioCodec::Aac => Some(Some(spec)),
        (Track::Encode(spec), Some(value)) => {
            let message = format!("a package holds no \"{}\"", spec.codec.word());
            value.error(message, "write `codec = \"aac\"`, or take `codec` out");
            None
        }
        (_, Some(value)) => {
            value.error(
                "the sound of a package is encoded",
                "write audio = { bitrate = \"128k\" }, or \"none\"",
            );
            None
        }
        (_, None) => None,
    }
}

fn encryption(value: &Value<'_>) -> Option<Encryption> {
    let mut table = value.table()?;
    let key_uri = table
        .require(
            "key_uri",
            "where players ask for the key: key_uri = \"https://keys.example.org/{job}.key\"",
        )
        .and_then(|value| uri(&value));
    let key_directory = table
        .require(
            "key_directory",
            "where the key is put, in the output bucket: key_directory = \"keys/\"",
        )
        .and_then(|value| {
            let text = value.text()?;
            let read = Directory::new(text);
            read.map_err(|error| {
                value.error(
                    format!("\"{}\" is no directory", text.escape_debug()),
                    error.to_string(),
                );
            })
            .ok()
        });
    table.finish(&[]);
    Some(Encryption {
        key_uri: key_uri?,
        key_directory: key_directory?.as_str().to_owned(),
    })
}

fn uri(value: &Value<'_>) -> Option<String> {
    let text = value.text()?;
    let bare = text.replace("{job}", "").replace("{rule}", "");
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte);
    if bare.is_empty() || text.len() > 1000 || !bare.bytes().all(plain) {
        let message = format!("\"{}\" is no URI", text.escape_debug());
        value.error(
            message,
            "for example https://keys.example.org/{job}.key, with {job} and {rule}",
        );
        return None;
    }
    Some(text.to_owned())
}
