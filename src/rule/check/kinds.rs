//! What a task is to do: the settings of each kind.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::or_default;
use crate::diagnostic::reader::{Table, Value};
use crate::rule::{
    AudioCodec, AudioSpec, Container, Gop, ImageFormat, SizeSpec, Snapshot, TaskKind, Transcode, VideoCodec, VideoRate,
    VideoSpec,
};

const LATER_CONTAINERS: [&str; 11] = [
    "mkv", "webm", "mov", "ts", "flv", "mxf", "mp3", "m4a", "ogg", "flac", "wav",
];
const LATER_VIDEO: [&str; 8] = ["h265", "vp8", "vp9", "av1", "mpeg2", "prores", "dnxhd", "copy"];
/// Keys of every kind of task that a later version will have.
pub(super) const LATER_OF_TASKS: [&str; 1] = ["if"];
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
const SIDES: RangeInclusive<u32> = 16..=16384;

fn size(table: &mut Table<'_>) -> Option<SizeSpec> {
    let mut side = |key| {
        or_default(table.get(key), None, |value| {
            if value.is_zero() {
                Some(None)
            } else {
                value.count(SIDES).map(Some)
            }
        })
    };
    let (width, height) = (side("width"), side("height"));
    Some(SizeSpec {
        width: width?,
        height: height?,
    })
}

/// A `transcode` task.
pub(super) fn transcode(mut table: Table<'_>) -> Option<TaskKind> {
    let container = or_default(table.get("container"), Container::Mp4, |value| {
        value.one_of(&[("mp4", Container::Mp4)], &LATER_CONTAINERS)
    });
    let size = size(&mut table);
    let video_value = table.get("video");
    let video = track(video_value.as_ref(), video, |value| video_table(value.table()?));
    let audio_value = table.get("audio");
    let audio = track(audio_value.as_ref(), audio, |value| audio_table(value.table()?));
    if let (Some(None), Some(None), Some(value)) = (&video, &audio, &audio_value) {
        value.error(
            "neither video nor audio would be left",
            "take out one of the two \"none\"",
        );
    }
    let mut later = LATER_OF_TASKS.to_vec();
    later.extend([
        "fit",
        "start",
        "end",
        "overlay",
        "mosaic",
        "head",
        "tail",
        "deinterlace",
        "upscale",
        "long_side",
        "short_side",
        "audio_tracks",
        "subtitles",
        "rotate",
    ]);
    table.finish(&later);
    Some(TaskKind::Transcode(Transcode {
        container: container?,
        size: size?,
        video: video?,
        audio: audio?,
    }))
}

/// `"none"` (the inner none), a table, or absent; the outer none is a fault.
#[expect(clippy::option_option, reason = "a fault is not the absence of a track")]
fn track<T>(
    value: Option<&Value<'_>>,
    default: fn() -> T,
    read: impl FnOnce(&Value<'_>) -> Option<T>,
) -> Option<Option<T>> {
    match value {
        None => Some(Some(default())),
        Some(value) if value.is_text() => value.one_of(&[("none", ())], &["copy"]).map(|()| None),
        Some(value) => read(value).map(Some),
    }
}

fn video() -> VideoSpec {
    VideoSpec {
        codec: VideoCodec::H264,
        rate: VideoRate::Crf(23.0),
        preset: "veryfast".to_owned(),
        gop: None,
        fps: None,
    }
}

fn audio() -> AudioSpec {
    AudioSpec {
        codec: AudioCodec::Aac,
        bitrate: 128_000,
        channels: None,
        rate: None,
    }
}

fn video_table(mut table: Table<'_>) -> Option<VideoSpec> {
    let codec = or_default(table.get("codec"), VideoCodec::H264, |value| {
        value.one_of(&[("h264", VideoCodec::H264)], &LATER_VIDEO)
    });
    let (crf, bitrate) = (table.get("crf"), table.get("bitrate"));
    if let (Some(_), Some(value)) = (&crf, &bitrate) {
        value.key_error("`crf` and `bitrate` exclude each other", "keep the one that matters");
    }
    let rate = match bitrate {
        Some(value) => value.rate(10_000..=400_000_000).map(VideoRate::Bitrate),
        None => or_default(crf, VideoRate::Crf(23.0), |value| {
            value.float(0.0..=51.0).map(VideoRate::Crf)
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
    Some(VideoSpec {
        codec: codec?,
        rate: rate?,
        preset: preset?.to_owned(),
        gop: gop?,
        fps: fps?,
    })
}

fn audio_table(mut table: Table<'_>) -> Option<AudioSpec> {
    let codec = or_default(table.get("codec"), AudioCodec::Aac, |value| {
        value.one_of(&[("aac", AudioCodec::Aac)], &["opus", "mp3", "flac", "copy"])
    });
    let bitrate = or_default(table.get("bitrate"), 128_000, |value| value.rate(16_000..=512_000));
    let channels = or_default(table.get("channels"), None, |value| match value.integer(1..=6)? {
        1 => Some(Some(1)),
        2 => Some(Some(2)),
        6 => Some(Some(6)),
        _ => {
            value.error(
                format!("`{}` is out of range", value.path),
                "1 (mono), 2 (stereo) or 6 (5.1)",
            );
            None
        }
    });
    let rate = or_default(table.get("rate"), None, |value| value.count(8_000..=96_000).map(Some));
    table.finish(&["loudness", "profile", "language"]);
    Some(AudioSpec {
        codec: codec?,
        bitrate: bitrate?,
        channels: channels?,
        rate: rate?,
    })
}

/// A `snapshot` task.
pub(super) fn snapshot(mut table: Table<'_>) -> Option<TaskKind> {
    let later_way = ["every", "count"];
    let at = if later_way.iter().any(|key| table.has(key)) {
        table.get("at").map(|_| Vec::new())
    } else {
        table
            .require("at", "points of the medium: at = [\"10%\", \"5s\"]")
            .and_then(|value| {
                let points = value.list()?;
                if points.is_empty() || points.len() > 1000 {
                    value.error(
                        format!("`{}` needs 1 to 1000 points", value.path),
                        "at = [\"10%\", \"5s\"]",
                    );
                    return None;
                }
                let points: Vec<_> = points.iter().map(Value::point).collect();
                points.into_iter().collect()
            })
    };
    let format = or_default(table.get("format"), ImageFormat::Jpg, |value| {
        value.one_of(&[("jpg", ImageFormat::Jpg), ("png", ImageFormat::Png)], &["webp"])
    });
    let size = size(&mut table);
    let quality = or_default(table.get("quality"), 85, |value| value.count(1..=100));
    let mut later = LATER_OF_TASKS.to_vec();
    later.extend(["every", "count", "fit", "skip_black"]);
    table.finish(&later);
    Some(TaskKind::Snapshot(Snapshot {
        at: at?,
        format: format?,
        size: size?,
        quality: u8::try_from(quality?).ok()?,
    }))
}
