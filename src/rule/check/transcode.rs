//! The settings of a `transcode` task, and which of them go together.

use std::time::Duration;

use super::kinds::{LATER_OF_TASKS, size};
use super::video::{treatment, video};
use super::{clips, or_default, overlay, tracks};
use crate::diagnostic::reader::{Table, Value};
use crate::rule::{AudioCodec, AudioSpec, Container, Loudness, Part, Point, TaskKind, Track, Transcode};

const CHANNELS: [(u32, &str); 3] = [(1, "mono"), (2, "stereo"), (6, "5.1")];

/// A `transcode` task.
pub(super) fn transcode(mut table: Table<'_>) -> Option<TaskKind> {
    let container = or_default(table.get("container"), Container::Mp4, |value| {
        value.one_of(&Container::ALL, &[])
    });
    let sides = ["width", "height", "long_side", "short_side"];
    let sized: Vec<_> = sides
        .into_iter()
        .chain(["fit", "upscale"])
        .filter(|key| table.has(key))
        .collect();
    let size = size(&mut table);
    let part = part(&mut table);
    let (video_value, audio_value) = (table.get("video"), table.get("audio"));
    let hdr = table.get("hdr").is_some_and(|value| value.is_word("keep"));
    let video = video(video_value.as_ref(), container, hdr);
    let treatment = treatment(&mut table, video.as_ref());
    let mut languages = Some(Vec::new());
    let audio = audio(audio_value.as_ref(), container, &mut |table| {
        languages = tracks::languages(table);
    });
    let tracks = tracks::tracks(&mut table, container, audio.as_ref(), languages);
    if let (Some(Track::None), Some(Track::None), Some(value)) = (&video, &audio, &audio_value) {
        value.error(
            "neither video nor audio would be left",
            "take out one of the two \"none\"",
        );
    }
    if let (Some(Track::Copy | Track::None), Some(value)) = (&video, sized.first().and_then(|key| table.get(key))) {
        value.key_error(
            format!("`{}` has no effect: no video is encoded", value.path),
            "take it out, or let `video` be encoded",
        );
    }
    let cover = overlay::cover(&mut table);
    overlay::need_encoding(&mut table, video.as_ref());
    let clips = clips::clips(&mut table);
    clips::need_encoding(&mut table, (video.as_ref(), audio.as_ref()), treatment.as_ref());
    table.finish(&LATER_OF_TASKS);
    Some(TaskKind::Transcode(Box::new(Transcode {
        container: container?,
        size: size?,
        video: video?,
        audio: audio?,
        part: part?,
        treatment: treatment?,
        cover: cover?,
        clips: clips?,
        tracks: tracks?,
    })))
}

/// `start` and `end`.
pub(super) fn part(table: &mut Table<'_>) -> Option<Part> {
    let mut point = |key| {
        let value = table.get(key);
        let point = or_default(value.clone(), None, |value| value.point().map(Some));
        (value, point)
    };
    let ((_, start), (value, end)) = (point("start"), point("end"));
    let backwards = match (start.flatten(), end.flatten()) {
        (Some(Point::Start(start)), Some(Point::Start(end))) => start >= end,
        (Some(Point::End(start)), Some(Point::End(end))) => start <= end,
        (Some(Point::Percent(start)), Some(Point::Percent(end))) => start >= end,
        (_, Some(Point::Start(Duration::ZERO))) => true,
        _ => false,
    };
    if let (true, Some(value)) = (backwards, value) {
        value.error("the part would end before it starts", "`end` must come after `start`");
    }
    Some(Part {
        start: start?,
        end: end?,
    })
}

/// What a text in place of a table of settings says.
pub(super) fn word<T: Copy>(value: &Value<'_>, none: T, copy: T) -> Option<T> {
    value.one_of(&[("none", none), ("copy", copy)], &[])
}

/// `audio`, likewise; `more` asks for what else its table may have.
pub(super) fn audio(
    value: Option<&Value<'_>>,
    container: Option<Container>,
    more: &mut dyn FnMut(&mut Table<'_>),
) -> Option<Track<AudioSpec>> {
    let default = |container: Container| {
        let codec = container.audio_codecs().first().copied().unwrap_or(AudioCodec::Aac);
        Track::Encode(AudioSpec {
            codec,
            bitrate: codec.usual_bitrate().unwrap_or(0),
            channels: None,
            rate: None,
            depth: codec.usual_depth(),
            loudness: None,
        })
    };
    match value {
        None => container.map(default),
        Some(value) if value.is_text() => match word(value, 'n', 'c')? {
            'n' => Some(Track::None),
            _ => Some(Track::Copy),
        },
        Some(value) => {
            let mut table = value.table()?;
            more(&mut table);
            audio_table(table, container)
        }
    }
}

/// The codec that a table names, or the container's usual one; the outer none is a fault, the inner one `"copy"`.
#[expect(clippy::option_option, reason = "a fault is not a copy")]
pub(super) fn codec<T: Copy + PartialEq>(
    value: Option<&Value<'_>>,
    all: &[(&'static str, T)],
    later: &[&str],
    held: Option<(Container, &[T])>,
) -> Option<Option<T>> {
    let Some(value) = value else {
        return held.and_then(|(_, held)| held.first().copied()).map(Some);
    };
    let mut words: Vec<_> = all.iter().map(|(word, codec)| (*word, Some(*codec))).collect();
    words.push(("copy", None));
    let codec = value.one_of(&words, later)?;
    if let (Some(codec), Some((container, held))) = (codec, held)
        && !held.is_empty()
        && !held.contains(&codec)
    {
        let word = |codec: &T| all.iter().find_map(|(word, one)| (one == codec).then_some(*word));
        let can: Vec<_> = held.iter().filter_map(word).map(|word| format!("\"{word}\"")).collect();
        value.error(
            format!(
                "\"{}\" cannot be put into \"{}\"",
                word(&codec).unwrap_or_default(),
                container.extension()
            ),
            format!("it takes {}; or choose another container", can.join(", ")),
        );
        return None;
    }
    Some(codec)
}

fn audio_table(mut table: Table<'_>, container: Option<Container>) -> Option<Track<AudioSpec>> {
    let held = container.map(|container| (container, container.audio_codecs()));
    let named = codec(table.get("codec").as_ref(), &AudioCodec::ALL, &[], held);
    if named == Some(None) {
        table.finish(&[]);
        return Some(Track::Copy);
    }
    let codec = named.flatten();
    let of = codec.unwrap_or(AudioCodec::Aac);
    let bitrate = or_default(table.get("bitrate"), of.usual_bitrate().unwrap_or(0), |value| {
        if codec.is_some() && of.usual_bitrate().is_none() {
            let message = format!("`{}` has no effect: \"{}\" keeps every bit", value.path, of.word());
            value.error(message, "take it out, or choose another codec");
            return None;
        }
        let most = if of == AudioCodec::Mp3 { 320_000 } else { 512_000 };
        value.rate(16_000..=most)
    });
    let channels = or_default(table.get("channels"), None, |value| {
        let can: Vec<_> = CHANNELS
            .into_iter()
            .filter(|(count, _)| *count <= of.most_channels())
            .map(|(count, word)| format!("{count} ({word})"))
            .collect();
        let count = value.count(1..=6)?;
        if CHANNELS.iter().all(|(known, _)| *known != count) {
            value.error(format!("`{}` is out of range", value.path), can.join(", "));
            return None;
        }
        if count > of.most_channels() {
            let message = format!("\"{}\" has at most {} channels", of.word(), of.most_channels());
            value.error(message, can.join(", "));
            return None;
        }
        Some(Some(count))
    });
    let rate = or_default(table.get("rate"), None, |value| {
        let rate = value.count(8_000..=192_000)?;
        let known = container.map_or(of.rates(), |container| container.rates(of));
        if !known.is_empty() && !known.contains(&rate) {
            let list: Vec<_> = known.iter().map(ToString::to_string).collect();
            value.error(
                format!("\"{}\" has no rate of {rate} samples a second", of.word()),
                format!("it has {}", list.join(", ")),
            );
            return None;
        }
        Some(Some(rate))
    });
    let depth = or_default(table.get("depth"), of.usual_depth(), |value| {
        if codec.is_some() && !of.is_lossless() {
            let message = format!(
                "`{}` has no effect: \"{}\" has no samples of so many bits",
                value.path,
                of.word()
            );
            value.error(message, "take it out, or choose \"flac\" or \"pcm\"");
            return None;
        }
        let depth = value.count(16..=24)?;
        if depth != 16 && depth != 24 {
            value.error(format!("`{}` is out of range", value.path), "16 or 24");
            return None;
        }
        Some(depth)
    });
    let loudness = loudness(&mut table);
    table.finish(&["profile", "language"]);
    Some(Track::Encode(AudioSpec {
        codec: codec?,
        bitrate: bitrate?,
        channels: channels?,
        rate: rate?,
        depth: depth?,
        loudness: loudness?,
    }))
}

/// `loudness` and `true_peak`.
#[expect(clippy::option_option, reason = "a fault is not an absence")]
fn loudness(table: &mut Table<'_>) -> Option<Option<Loudness>> {
    let (target_value, peak_value) = (table.get("loudness"), table.get("true_peak"));
    let target = or_default(target_value.clone(), None, |value| {
        value.level("LUFS", -70.0..=-5.0).map(Some)
    });
    let true_peak = or_default(peak_value.clone(), -1.0, |value| value.level("dBTP", -9.0..=0.0));
    if let (None, Some(value)) = (target_value, peak_value) {
        value.key_error(
            format!("`{}` has no effect without `loudness`", value.path),
            "give a target: loudness = \"-16 LUFS\"",
        );
        return None;
    }
    let (target, true_peak) = (target?, true_peak?);
    Some(target.map(|target| Loudness { target, true_peak }))
}
