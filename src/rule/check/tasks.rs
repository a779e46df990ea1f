//! `[task.ID]`: kinds, their settings, and the order among tasks.

use std::collections::{HashMap, HashSet};
use std::ops::RangeInclusive;
use std::time::Duration;

use super::or_default;
use crate::diagnostic::did_you_mean;
use crate::diagnostic::reader::{Table, Value};
use crate::rule::{
    AudioCodec, AudioSpec, Container, Gop, ImageFormat, SizeSpec, Snapshot, Task, TaskId, TaskKind,
    Transcode, VideoCodec, VideoRate, VideoSpec, When,
};

const LATER_KINDS: [&str; 9] = [
    "adaptive",
    "sprite",
    "animation",
    "waveform",
    "extract",
    "inspect",
    "recognize",
    "review",
    "pipeline",
];
const LATER_CONTAINERS: [&str; 11] = [
    "mkv", "webm", "mov", "ts", "flv", "mxf", "mp3", "m4a", "ogg", "flac", "wav",
];
const LATER_VIDEO: [&str; 8] = [
    "h265", "vp8", "vp9", "av1", "mpeg2", "prores", "dnxhd", "copy",
];
const LATER_OF_TASKS: [&str; 2] = ["if", "preset"];
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

/// A task whose `after` is still as written.
struct Draft<'p> {
    id: Option<TaskId>,
    after: Vec<(String, Value<'p>)>,
    when: Option<When>,
    kind: Option<TaskKind>,
}

/// All tasks, in the order of the file.
pub fn read(mut table: Table<'_>) -> Option<Vec<Task>> {
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
            Some((checked.ok(), value.table()?))
        })
        .map(|read| read.map(|(id, table)| draft(id, table)))
        .collect();
    let mut sound = drafts.iter().all(Option::is_some);
    for (id, draft) in ids.iter().zip(&drafts) {
        for (after, value) in draft.iter().flat_map(|draft| &draft.after) {
            if after == id {
                value.error(
                    format!("task \"{id}\" waits for itself"),
                    "take it out of `after`",
                );
            } else if !ids.contains(&after.as_str()) {
                let help = match did_you_mean(after, ids.iter().copied()) {
                    Some(meant) => format!("did you mean \"{meant}\"?"),
                    None => format!("tasks of this rule are {}", ids.join(", ")),
                };
                value.error(
                    format!("there is no task \"{}\"", after.escape_debug()),
                    help,
                );
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
    let mut waiting: HashMap<&str, &Draft<'_>> =
        ids.iter().copied().zip(drafts.iter().flatten()).collect();
    loop {
        let ready: Vec<&str> = waiting
            .iter()
            .filter(|(_, draft)| {
                draft
                    .after
                    .iter()
                    .all(|(id, _)| !waiting.contains_key(id.as_str()))
            })
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

fn draft(id: Option<TaskId>, mut table: Table<'_>) -> Draft<'_> {
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
    let kind = table
        .require(
            "kind",
            "one of \"transcode\", \"snapshot\", \"probe\", \"copy\"",
        )
        .and_then(|value| {
            value.one_of(
                &[
                    ("transcode", 't'),
                    ("snapshot", 's'),
                    ("probe", 'p'),
                    ("copy", 'c'),
                ],
                &LATER_KINDS,
            )
        });
    let kind = match kind {
        Some('t') => transcode(table),
        Some('s') => snapshot(table),
        Some(plain) => {
            table.finish(&LATER_OF_TASKS);
            Some(if plain == 'p' {
                TaskKind::Probe
            } else {
                TaskKind::Copy
            })
        }
        // Which keys a task may have only its kind can say.
        None => None,
    };
    Draft {
        id,
        after,
        when,
        kind,
    }
}

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

fn transcode(mut table: Table<'_>) -> Option<TaskKind> {
    let container = or_default(table.get("container"), Container::Mp4, |value| {
        value.one_of(&[("mp4", Container::Mp4)], &LATER_CONTAINERS)
    });
    let size = size(&mut table);
    let video_value = table.get("video");
    let video = track(video_value.as_ref(), video, |value| {
        video_table(value.table()?)
    });
    let audio_value = table.get("audio");
    let audio = track(audio_value.as_ref(), audio, |value| {
        audio_table(value.table()?)
    });
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
#[expect(
    clippy::option_option,
    reason = "a fault is not the absence of a track"
)]
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
        value.key_error(
            "`crf` and `bitrate` exclude each other",
            "keep the one that matters",
        );
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
        value.one_of(
            &[("aac", AudioCodec::Aac)],
            &["opus", "mp3", "flac", "copy"],
        )
    });
    let bitrate = or_default(table.get("bitrate"), 128_000, |value| {
        value.rate(16_000..=512_000)
    });
    let channels = or_default(table.get("channels"), None, |value| {
        match value.integer(1..=6)? {
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
        }
    });
    let rate = or_default(table.get("rate"), None, |value| {
        value.count(8_000..=96_000).map(Some)
    });
    table.finish(&["loudness", "profile", "language"]);
    Some(AudioSpec {
        codec: codec?,
        bitrate: bitrate?,
        channels: channels?,
        rate: rate?,
    })
}

fn snapshot(mut table: Table<'_>) -> Option<TaskKind> {
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
        value.one_of(
            &[("jpg", ImageFormat::Jpg), ("png", ImageFormat::Png)],
            &["webp"],
        )
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
