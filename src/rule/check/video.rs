//! How a film is encoded, which of that a codec can have, and what is done to its pictures first.

use std::time::Duration;

use super::or_default;
use super::transcode::{codec, word};
use crate::diagnostic::quantity::show_rate;
use crate::diagnostic::reader::{Table, Value};
use crate::rule::{Container, Deinterlace, Gop, Hdr, RateMode, Track, Treatment, VideoCodec, VideoRate, VideoSpec};

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

/// `video` of a task that puts it into this container; `hdr` where a high dynamic range is to be kept.
pub(super) fn video(value: Option<&Value<'_>>, container: Option<Container>, hdr: bool) -> Option<Track<VideoSpec>> {
    read(value, container, hdr, 2)
}

/// `video` of a rendition of a package.
pub(super) fn packaged(value: Option<&Value<'_>>, hdr: bool) -> Option<Track<VideoSpec>> {
    read(value, Some(Container::Mp4), hdr, 1)
}

fn read(value: Option<&Value<'_>>, container: Option<Container>, hdr: bool, passes: u8) -> Option<Track<VideoSpec>> {
    let Some(value) = value else {
        let codec = container?.video_codecs().first();
        return Some(codec.map_or(Track::None, |codec| Track::Encode(usual(*codec, hdr))));
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
    table(value.table()?, container, hdr, passes)
}

fn usual(codec: VideoCodec, hdr: bool) -> VideoSpec {
    let mut spec = VideoSpec::usual(codec);
    if hdr {
        spec.deepen();
    }
    spec
}

/// `deinterlace`, `rotate` and `hdr`: what is done to pictures that are encoded.
pub(super) fn treatment(table: &mut Table<'_>, video: Option<&Track<VideoSpec>>) -> Option<Treatment> {
    let values = ["deinterlace", "rotate", "hdr"].map(|key| table.get(key));
    let [deinterlace, rotate, hdr] = values.clone();
    let deinterlace = or_default(deinterlace, Deinterlace::Auto, |value| {
        value.one_of(&Deinterlace::ALL, &[])
    });
    let rotate = or_default(rotate, 0, |value| {
        let degrees = value.count(0..=270)?;
        if degrees % 90 != 0 {
            let message = format!("`{}` cannot be {degrees}", value.path);
            value.error(message, "0, 90, 180 or 270: degrees, clockwise");
            return None;
        }
        Some(degrees)
    });
    let kept = hdr.clone();
    let hdr = or_default(hdr, Hdr::Sdr, |value| value.one_of(&Hdr::ALL, &[]));
    if let (Some(Track::Copy | Track::None), Some(value)) = (video, values.iter().flatten().next()) {
        value.key_error(
            format!("`{}` has no effect: no video is encoded", value.path),
            "take it out, or let `video` be encoded",
        );
    }
    if let (Some(Track::Encode(spec)), Some(Hdr::Keep), Some(value)) = (video, hdr, kept)
        && !spec.codec.holds_hdr()
    {
        value.error(
            format!("\"{}\" is not used for a high dynamic range here", spec.codec.word()),
            "encode as \"h265\" or \"vp9\", or take `hdr` out: it is then mapped to what every screen shows",
        );
    }
    Some(Treatment {
        deinterlace: deinterlace?,
        rotate: rotate?,
        hdr: hdr?,
    })
}

/// `video = { ... }` of something that lies in this container.
fn table(mut table: Table<'_>, container: Option<Container>, hdr: bool, passes: u8) -> Option<Track<VideoSpec>> {
    let held = container.map(|container| (container, container.video_codecs()));
    let named = codec(table.get("codec").as_ref(), &VideoCodec::ALL, &[], held);
    if named == Some(None) {
        table.finish(&[]);
        return Some(Track::Copy);
    }
    let codec = named.flatten();
    let of = codec.unwrap_or(VideoCodec::H264);
    // Where the codec is not understood, what depends on it is not judged.
    let known = codec.is_some();
    let rate = rate(&mut table, of, known, passes);
    let gop = or_default(
        usable(&mut table, "gop", known && of.is_for_editing(), of),
        None,
        |value| {
            let gop = if value.is_text() {
                Gop::Time(value.duration(Duration::from_millis(100)..=Duration::from_mins(1))?)
            } else {
                Gop::Frames(value.count(1..=9999)?)
            };
            Some(Some(gop))
        },
    );
    let preset = usable(&mut table, "preset", known && !of.has_presets(), of);
    let preset = or_default(preset, "veryfast", |value| {
        value.one_of(&PRESETS.map(|preset| (preset, preset)), &[])
    });
    let fps = or_default(table.get("fps"), None, |value| {
        if value.is_zero() {
            return Some(None);
        }
        let fps = value.float(1.0..=240.0)?;
        let can = of.frame_rates();
        if !can.is_empty() && !can.iter().any(|one| (one - fps).abs() < 0.005) {
            let list: Vec<_> = can.iter().map(ToString::to_string).collect();
            value.error(
                format!("\"{}\" has no rate of {fps} frames a second", of.word()),
                format!("it has {}", list.join(", ")),
            );
            return None;
        }
        Some(Some(fps))
    });
    let shape = shape(&mut table, of, known, hdr);
    let tune = usable(&mut table, "tune", known && of.tunes().is_empty(), of);
    let tune = or_default(tune, None, |value| {
        let words: Vec<_> = of.tunes().iter().map(|tune| (*tune, Some(*tune))).collect();
        value.one_of(&words, &[])
    });
    table.finish(&[]);
    let (rate, shape) = (rate?, shape?);
    Some(Track::Encode(VideoSpec {
        codec: codec?,
        rate: rate.bits,
        mode: rate.mode,
        max_bitrate: rate.bound,
        two_pass: rate.two_pass,
        preset: preset?.to_owned(),
        gop: gop?,
        fps: fps?,
        bframes: shape.bframes,
        profile: shape.profile.map(str::to_owned),
        level: shape.level.map(str::to_owned),
        depth: shape.depth,
        deepened: shape.deepened,
        tune: tune?.map(str::to_owned),
    }))
}

/// A value that this codec heeds; one that it does not is a fault.
fn usable<'p>(table: &mut Table<'p>, key: &str, vain: bool, codec: VideoCodec) -> Option<Value<'p>> {
    let value = table.get(key);
    if let (Some(value), true) = (&value, vain) {
        value.key_error(
            format!("`{}` has no effect on \"{}\"", value.path, codec.word()),
            if codec.is_for_editing() {
                "take it out: the `profile` decides"
            } else {
                "take it out, or choose another codec"
            },
        );
        return None;
    }
    value
}

struct Rate {
    bits: VideoRate,
    mode: RateMode,
    bound: Option<u64>,
    two_pass: bool,
}

/// `crf`, `bitrate`, `mode`, `max_bitrate` and `passes`, of which there can be so many.
fn rate(table: &mut Table<'_>, of: VideoCodec, known: bool, most_passes: u8) -> Option<Rate> {
    let by_profile = known && of.crf().is_none();
    let mut get = |key| usable(table, key, by_profile, of);
    let (crf, bitrate) = (get("crf"), get("bitrate"));
    let (mode, bound, passes) = (get("mode"), get("max_bitrate"), get("passes"));
    if let (Some(_), Some(value)) = (&crf, &bitrate) {
        value.key_error("`crf` and `bitrate` exclude each other", "keep the one that matters");
    }
    let has_bitrate = bitrate.is_some();
    let rate = match bitrate {
        Some(value) => value.rate(10_000..=of.largest_bitrate()).map(VideoRate::Bitrate),
        None => or_default(crf, of.usual_rate(), |value| {
            let (most, _) = of.crf()?;
            value.float(0.0..=most).map(VideoRate::Crf)
        }),
    };
    let without_bitrate = |value: &Value<'_>| {
        if !has_bitrate {
            value.key_error(
                format!("`{}` has no effect without a bitrate", value.path),
                "write `bitrate`, or take it out",
            );
        }
        has_bitrate
    };
    let usual = of.modes().first().copied().unwrap_or(RateMode::Vbr);
    let mode = or_default(mode, usual, |value| {
        let mode = value.one_of(&RateMode::ALL, &[])?;
        if known && !of.modes().contains(&mode) {
            value.error(
                format!("\"{}\" spends the same all the time", of.word()),
                "take it out, or choose another codec",
            );
            return None;
        }
        without_bitrate(value).then_some(mode)
    });
    let bound = or_default(bound, None, |value| {
        let most = value.rate(10_000..=of.largest_bitrate())?;
        if known && !of.has_bound() {
            value.key_error(
                format!("\"{}\" keeps no bound beside its average", of.word()),
                "take it out, or choose \"h264\" or \"h265\"",
            );
            return None;
        }
        match rate {
            Some(VideoRate::Bitrate(average)) if average > most => {
                value.error(
                    format!("`{}` lies below the average of {}", value.path, show_rate(average)),
                    "it is the most, so at least as much",
                );
                None
            }
            Some(VideoRate::Bitrate(average)) if mode == Some(RateMode::Cbr) && average < most => {
                value.error(
                    format!(
                        "`{}` has no effect: \"cbr\" never spends more than its bitrate",
                        value.path
                    ),
                    "take it out, or set `mode = \"vbr\"`",
                );
                None
            }
            _ => Some(Some(most)),
        }
    });
    let two_pass = or_default(passes, false, |value| {
        let two = value.integer(1..=2)? == 2;
        if two && most_passes < 2 {
            value.key_error("renditions are encoded in one pass", "take `passes` out");
            return None;
        }
        if two && known && !of.has_two_passes() {
            value.error(
                format!("\"{}\" has one pass here", of.word()),
                "1, or choose \"h264\", \"h265\", \"vp8\" or \"vp9\"",
            );
            return None;
        }
        if two && !without_bitrate(value) {
            return None;
        }
        if two && mode == Some(RateMode::Cbr) {
            value.error(
                "\"cbr\" has nothing to gain from a second pass",
                "1, or set `mode = \"vbr\"`",
            );
            return None;
        }
        Some(two)
    });
    Some(Rate {
        bits: rate?,
        mode: mode?,
        bound: bound?,
        two_pass: two_pass?,
    })
}

struct Shape {
    bframes: Option<u32>,
    profile: Option<&'static str>,
    level: Option<&'static str>,
    depth: u32,
    deepened: bool,
}

/// `bframes`, `profile`, `level` and `depth`.
fn shape(table: &mut Table<'_>, of: VideoCodec, known: bool, hdr: bool) -> Option<Shape> {
    let profile = table.get("profile");
    if let (Some(value), true) = (&profile, known && of.profiles().is_empty()) {
        value.key_error(
            format!("`{}` has no effect on \"{}\"", value.path, of.word()),
            if of.depths().len() > 1 {
                "take it out: `depth` decides"
            } else {
                "take it out: it has only one"
            },
        );
    }
    let profile = or_default(profile.filter(|_| !of.profiles().is_empty()), None, |value| {
        let words: Vec<_> = of.profiles().iter().map(|one| (one.0, Some(*one))).collect();
        value.one_of(&words, &[])
    });
    let wanted = profile.flatten();
    let usual = of.depths().first().copied().unwrap_or(8);
    let implied = wanted.map_or(if hdr && of.holds_hdr() { 10 } else { usual }, |(_, depth)| depth);
    let depth = or_default(table.get("depth"), implied, |value| {
        let depth = value.count(8..=10)?;
        let list: Vec<_> = of.depths().iter().map(ToString::to_string).collect();
        if !of.depths().contains(&depth) {
            value.error(
                format!("\"{}\" has no {depth} bits a sample here", of.word()),
                format!("it has {}", list.join(" or ")),
            );
            return None;
        }
        if let Some((word, bits)) = wanted.filter(|(_, bits)| *bits != depth) {
            value.error(
                format!("the profile \"{word}\" has {bits} bits a sample"),
                "take one of the two out",
            );
            return None;
        }
        Some(depth)
    });
    if let (Some(8), true, true, Some(value)) = (
        depth,
        hdr,
        of.holds_hdr(),
        table.get("depth").or_else(|| table.get("profile")),
    ) {
        value.error(
            "8 bits a sample are too few for a high dynamic range",
            "10, or take `hdr` out",
        );
    }
    let deepened = hdr && of.holds_hdr() && wanted.is_none() && table.get("depth").is_none();
    let bframes = usable(table, "bframes", known && of.most_bframes().is_none(), of);
    let bframes = or_default(bframes, None, |value| {
        let count = value.count(0..=of.most_bframes().unwrap_or(16))?;
        if count > 0 && wanted.is_some_and(|(word, _)| word == "baseline") {
            value.error("the profile \"baseline\" has none", "0, or another profile");
            return None;
        }
        Some(Some(count))
    });
    let level = usable(table, "level", known && of.levels().is_empty(), of);
    let level = or_default(level, None, |value| {
        let words: Vec<_> = of.levels().iter().map(|one| (one.0, Some(one.0))).collect();
        value.one_of(&words, &[])
    });
    Some(Shape {
        bframes: bframes?,
        profile: profile?.map(|(word, _)| word),
        level: level?,
        depth: depth?,
        deepened,
    })
}
