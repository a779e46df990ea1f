//! The settings of a `transcode` task, and which of them go together.

use std::time::Duration;

use super::kinds::{LATER_OF_TASKS, size};
use super::{or_default, overlay};
use crate::diagnostic::reader::{Table, Value};
use crate::rule::{
    AudioCodec, AudioSpec, Container, Gop, Part, Point, TaskKind, Track, Transcode, VideoCodec, VideoRate, VideoSpec,
};

const LATER_CONTAINERS: [&str; 2] = ["flv", "mxf"];
const LATER_VIDEO: [&str; 5] = ["h265", "av1", "mpeg2", "prores", "dnxhd"];
const LATER_KEYS: [&str; 6] = ["head", "tail", "deinterlace", "audio_tracks", "subtitles", "rotate"];
const PRESETS: [&str; 10] = [
    "ultrafast",
    "superfast",
    "veryfast",
    "faster",
    "fast",
    "medium",
    "slow",
    "slower",
    "veryslow",
    "placebo",
];

/// A `transcode` task.
pub(super) fn transcode(mut table: Table<'_>) -> Option<TaskKind> {
    let container = or_default(table.get("container"), Container::Mp4, |value| {
        value.one_of(&Container::ALL, &LATER_CONTAINERS)
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
    let video = video(video_value.as_ref(), container);
    let audio = audio(audio_value.as_ref(), container);
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
    let mut later = LATER_OF_TASKS.to_vec();
    later.extend(LATER_KEYS);
    table.finish(&later);
    Some(TaskKind::Transcode(Transcode {
        container: container?,
        size: size?,
        video: video?,
        audio: audio?,
        part: part?,
        cover: cover?,
    }))
}

/// `start` and `end`.
fn part(table: &mut Table<'_>) -> Option<Part> {
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
fn word<T: Copy>(value: &Value<'_>, none: T, copy: T) -> Option<T> {
    value.one_of(&[("none", none), ("copy", copy)], &[])
}

fn video(value: Option<&Value<'_>>, container: Option<Container>) -> Option<Track<VideoSpec>> {
    let default = |container: Container| match container.video_codecs().first() {
        Some(codec) => Track::Encode(usual_video(*codec)),
        None => Track::None,
    };
    let Some(value) = value else {
        return container.map(default);
    };
    let none = value.is_word("none");
    if let Some(container) = container.filter(|one| one.is_audio_only() && !none) {
        value.key_error(
            format!("\"{}\" holds no video", container.extension()),
            "take `video` out, or choose another container",
        );
        return None;
    }
    if value.is_text() {
        return match word(value, 'n', 'c')? {
            'n' => Some(Track::None),
            _ => Some(Track::Copy),
        };
    }
    video_table(value.table()?, container)
}

fn usual_video(codec: VideoCodec) -> VideoSpec {
    VideoSpec {
        codec,
        rate: VideoRate::Crf(codec.crf().1),
        preset: "veryfast".to_owned(),
        gop: None,
        fps: None,
    }
}

fn audio(value: Option<&Value<'_>>, container: Option<Container>) -> Option<Track<AudioSpec>> {
    let default = |container: Container| {
        let codec = container.audio_codecs().first().copied().unwrap_or(AudioCodec::Aac);
        Track::Encode(AudioSpec {
            codec,
            bitrate: codec.usual_bitrate().unwrap_or(0),
            channels: None,
            rate: None,
        })
    };
    match value {
        None => container.map(default),
        Some(value) if value.is_text() => match word(value, 'n', 'c')? {
            'n' => Some(Track::None),
            _ => Some(Track::Copy),
        },
        Some(value) => audio_table(value.table()?, container),
    }
}

/// The codec that a table names, or the container's usual one; the outer none is a fault, the inner one `"copy"`.
#[expect(clippy::option_option, reason = "a fault is not a copy")]
fn codec<T: Copy + PartialEq>(
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

fn video_table(mut table: Table<'_>, container: Option<Container>) -> Option<Track<VideoSpec>> {
    let held = container.map(|container| (container, container.video_codecs()));
    let named = codec(table.get("codec").as_ref(), &VideoCodec::ALL, &LATER_VIDEO, held);
    if named == Some(None) {
        table.finish(&[]);
        return Some(Track::Copy);
    }
    let codec = named.flatten();
    let (most, usual) = codec.unwrap_or(VideoCodec::H264).crf();
    let (crf, bitrate) = (table.get("crf"), table.get("bitrate"));
    if let (Some(_), Some(value)) = (&crf, &bitrate) {
        value.key_error("`crf` and `bitrate` exclude each other", "keep the one that matters");
    }
    let rate = match bitrate {
        Some(value) => value.rate(10_000..=400_000_000).map(VideoRate::Bitrate),
        None => or_default(crf, VideoRate::Crf(usual), |value| {
            value.float(0.0..=most).map(VideoRate::Crf)
        }),
    };
    let preset = or_default(table.get("preset"), "veryfast", |value| {
        value.one_of(&PRESETS.map(|preset| (preset, preset)), &[])
    });
    let gop = or_default(table.get("gop"), None, |value| {
        let gop = if value.is_text() {
            Gop::Time(value.duration(Duration::from_millis(100)..=Duration::from_mins(1))?)
        } else {
            Gop::Frames(value.count(1..=9999)?)
        };
        Some(Some(gop))
    });
    let fps = or_default(table.get("fps"), None, |value| {
        if value.is_zero() {
            Some(None)
        } else {
            value.float(1.0..=240.0).map(Some)
        }
    });
    table.finish(&[
        "profile",
        "level",
        "bframes",
        "b_frames",
        "depth",
        "mode",
        "passes",
        "tune",
        "max_bitrate",
    ]);
    Some(Track::Encode(VideoSpec {
        codec: codec?,
        rate: rate?,
        preset: preset?.to_owned(),
        gop: gop?,
        fps: fps?,
    }))
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
    let channels = or_default(table.get("channels"), None, |value| match value.integer(1..=6)? {
        1 => Some(Some(1)),
        2 => Some(Some(2)),
        6 if of.most_channels() < 6 => {
            let message = format!("\"{}\" has at most {} channels", of.word(), of.most_channels());
            value.error(message, "1 (mono) or 2 (stereo)");
            None
        }
        6 => Some(Some(6)),
        _ => {
            value.error(
                format!("`{}` is out of range", value.path),
                "1 (mono), 2 (stereo) or 6 (5.1)",
            );
            None
        }
    });
    let rate = or_default(table.get("rate"), None, |value| {
        let rate = value.count(8_000..=192_000)?;
        let known = of.rates();
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
    table.finish(&["loudness", "profile", "language"]);
    Some(Track::Encode(AudioSpec {
        codec: codec?,
        bitrate: bitrate?,
        channels: channels?,
        rate: rate?,
    }))
}
