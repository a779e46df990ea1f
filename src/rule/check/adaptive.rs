//! The settings of an `adaptive` task, and which of them go together.

use std::collections::HashSet;
use std::time::Duration;

use super::kinds::{LATER_OF_TASKS, size};
use super::or_default;
use super::transcode::audio;
use super::video::video;
use crate::diagnostic::reader::{Table, Value};
use crate::object::Directory;
use crate::rule::{
    Adaptive, AudioCodec, AudioSpec, Container, Encryption, Rendition, Renditions, Rung, SegmentForm, TaskKind, Track,
    VideoCodec, VideoSpec,
};

/// What other files of a package are called, or begin or end with.
const TAKEN: [&str; 3] = ["master", "manifest", "key"];
const BEGINNINGS: [&str; 2] = ["audio-", "subtitles-"];
const ENDINGS: [&str; 2] = ["-iframes", "-init"];

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
    let renditions = or_default(table.get("renditions"), Renditions::Auto, renditions);
    let audio_value = table.get("audio");
    let audio = sound(audio_value.as_ref());
    let audio_tracks = or_default(table.get("audio_tracks"), 1, |value| {
        if audio == Some(None) {
            value.key_error(
                format!("`{}` has no effect: the package is without sound", value.path),
                "take it out, or let `audio` be encoded",
            );
            return None;
        }
        value.count(1..=8)
    });
    let levelled = matches!(&audio, Some(Some(spec)) if spec.loudness.is_some());
    if let (true, Some(value), Some(2..)) = (levelled, &audio_value, audio_tracks) {
        value.error(
            "only one sound can be brought to a loudness",
            "take `audio_tracks` or `loudness` out",
        );
    }
    let subtitles = or_default(table.get("subtitles"), false, Value::boolean);
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
    Some(TaskKind::Adaptive(Adaptive {
        hls,
        dash,
        segments: segments?,
        segment: segment?,
        renditions: renditions?,
        audio: audio?,
        audio_tracks: audio_tracks?,
        subtitles: subtitles?,
        iframes,
        encryption: encryption?,
    }))
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
    Some((words.contains(&'h'), words.contains(&'d')))
}

/// `"auto"`, or words and tables.
fn renditions(value: &Value<'_>) -> Option<Renditions> {
    if value.is_text() {
        return value.one_of(&[("auto", ())], &[]).map(|()| Renditions::Auto);
    }
    let list = value.list()?;
    if !(1..=12).contains(&list.len()) {
        let message = format!("`{}` needs 1 to 12 renditions", value.path);
        value.error(message, "renditions = [\"1080p\", \"720p\"], or \"auto\"");
        return None;
    }
    let read: Vec<_> = list.iter().map(|one| (one, rendition(one))).collect();
    let mut names = HashSet::new();
    let mut sound = true;
    let mut first: Option<&VideoSpec> = None;
    for (value, rendition) in &read {
        let Some(rendition) = rendition else {
            sound = false;
            continue;
        };
        if !names.insert(rendition.name.to_ascii_lowercase()) {
            value.error(
                format!("there are two renditions \"{}\"", rendition.name),
                "each needs a name of its own",
            );
            sound = false;
        }
        let first = *first.get_or_insert(&rendition.video);
        if first.gop != rendition.video.gop || first.fps != rendition.video.fps {
            value.error(
                "renditions are cut at the same pictures",
                "give all of them the same `gop` and `fps`",
            );
            sound = false;
        }
    }
    let all = read.iter().filter_map(|(_, rendition)| rendition.clone()).collect();
    sound.then_some(Renditions::Named(all))
}

fn rendition(value: &Value<'_>) -> Option<Rendition> {
    if value.is_text() {
        let words = Rung::ALL.map(|rung| (rung.word, rung));
        return value.one_of(&words, &[]).map(Rung::rendition);
    }
    let mut table = value.table()?;
    let named = table.get("name");
    if named.is_none() {
        value.error(
            "a rendition has no name",
            "what its files are called by: name = \"720p\"",
        );
    }
    let name = named.and_then(|value| name(&value));
    let size = size(&mut table);
    let video = video(table.get("video").as_ref(), Some(Container::Mp4), false).and_then(|track| film(track, value));
    table.finish(&[]);
    Some(Rendition {
        name: name?,
        size: size?,
        video: video?,
    })
}

fn name(value: &Value<'_>) -> Option<String> {
    let text = value.text()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let good = (1..=32).contains(&text.len()) && text.bytes().all(plain) && !text.starts_with(['-', '_']);
    if !good {
        let message = format!("\"{}\" is no name of a rendition", text.escape_debug());
        value.error(message, "1 to 32 letters, digits, '-' or '_', not at the beginning");
        return None;
    }
    let lower = text.to_ascii_lowercase();
    let taken = TAKEN.contains(&lower.as_str())
        || BEGINNINGS.iter().any(|word| lower.starts_with(word))
        || ENDINGS.iter().any(|word| lower.ends_with(word));
    if taken {
        let message = format!("\"{text}\" is a name of other files of the package");
        value.error(message, "call it by its size: \"720p\"");
        return None;
    }
    Some(text.to_owned())
}

fn film(track: Track<VideoSpec>, value: &Value<'_>) -> Option<VideoSpec> {
    match track {
        Track::Encode(spec) if spec.two_pass => {
            value.error("renditions are encoded in one pass", "take `passes` out");
            None
        }
        Track::Encode(spec) if spec.codec == VideoCodec::H264 => Some(spec),
        Track::Encode(spec) => {
            let message = format!("a package holds no \"{}\"", spec.codec.word());
            value.error(message, "write `codec = \"h264\"`, or take `codec` out");
            None
        }
        Track::Copy | Track::None => {
            value.error(
                "every rendition is encoded",
                "write video = { crf = 23 }, or take `video` out",
            );
            None
        }
    }
}

/// The outer none is a fault, the inner one `"none"`.
#[expect(clippy::option_option, reason = "a fault is not silence")]
fn sound(value: Option<&Value<'_>>) -> Option<Option<AudioSpec>> {
    if let Some(value) = value.filter(|value| value.is_text()) {
        return value.one_of(&[("none", ())], &[]).map(|()| None);
    }
    match (audio(value, Some(Container::Mp4))?, value) {
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
