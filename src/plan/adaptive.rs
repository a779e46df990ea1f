//! An adaptive package, resolved against the medium: which forms of the film, which sounds, how long its segments are.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::names::{FileOf, in_url};
use super::run::{PlannedTask, Wanted, film, known};
use super::transcode::{channels, rate};
use super::{Expect, MediaInfo, Picture, PlannedOutput, StreamKind, VideoStream, Work, picture};
use crate::job::{ErrorKind, Failure, Finding, FindingKind};
use crate::object::ObjectKey;
use crate::rule::{Adaptive, AudioSpec, Container, Gop, Rendition, Renditions, Rung, SegmentForm, TaskId, VideoSpec};

/// What HLS players open.
pub const MASTER: &str = "master.m3u8";
/// What DASH players open.
pub const MANIFEST: &str = "manifest.mpd";
/// What the key is called in scratch.
pub const KEY: &str = "key";

/// Two seconds, as near as segments of whole groups allow.
const USUAL_GOP: f64 = 2.0;

/// Pictures that come this little too early are in time: containers round when they are shown.
const ROUNDING: Duration = Duration::from_millis(2);

/// What the segments of a package are encrypted with. It shows itself to nobody who only looks.
#[derive(Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PackageKey(pub [u8; 16]);

impl fmt::Debug for PackageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PackageKey(..)")
    }
}

/// An adaptive package, resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AdaptivePlan {
    /// How the names of all its files begin in scratch: `TASK.`
    pub prefix: String,
    /// The folder of its members, as its manifests name it: the job's own.
    pub folder: String,
    /// An HLS master playlist is written.
    pub hls: bool,
    /// An MPD is written.
    pub dash: bool,
    /// What segments are.
    pub segments: SegmentForm,
    /// How long a segment is at least, where pictures are cut, less what rounding takes.
    pub at_least: Duration,
    /// How long segments of pictures are that come evenly; sound is cut at multiples of it.
    pub even: Duration,
    /// Forms of the film; none where the medium has no film.
    pub renditions: Vec<PlannedRendition>,
    /// How sound is encoded.
    pub audio: Option<AudioSpec>,
    /// Which sounds.
    pub sounds: Vec<PlannedSound>,
    /// Streams of subtitles, of which those are taken that are text.
    pub subtitles: Vec<u32>,
    /// A playlist of key frames alone.
    pub iframes: bool,
    /// How segments are encrypted.
    pub lock: Option<Lock>,
}

/// One form of the film.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedRendition {
    /// For the names of files.
    pub name: String,
    /// The frame after rotation.
    pub picture: Picture,
    /// How it is encoded.
    pub video: VideoSpec,
    /// Distance of key frames in frames, where it can be known beforehand.
    pub gop_frames: Option<u32>,
    /// Frames a second as a fraction, where they come evenly.
    pub fps: Option<(u32, u32)>,
}

/// One sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedSound {
    /// Which stream of the medium.
    pub stream: u32,
    /// How many channels it gets.
    pub channels: u32,
    /// Samples a second that it gets.
    pub rate: u32,
}

/// How segments are encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// With this.
    pub key: PackageKey,
    /// Where players ask for it.
    pub uri: String,
}

/// Where the files of a package go.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedPackage {
    /// By which task.
    pub task: TaskId,
    /// How the names of all its files begin in scratch.
    pub prefix: String,
    /// Names, without the prefix, of what players open first: they keep their names from job to job, and come last.
    pub fronts: Vec<String>,
    /// Names, without the prefix, that lie in a folder elsewhere, with their final keys.
    pub apart: Vec<(String, ObjectKey)>,
    /// Where the fronts go; ends with `/`.
    pub directory: Vec<u8>,
    /// Where the members go, below that.
    pub folder: String,
}

/// What this task will do.
pub(super) fn adaptive(wanted: &Wanted<'_>, task: &TaskId, settings: &Adaptive) -> Result<PlannedTask, Failure> {
    let media = known(wanted)?;
    let film = film(media)?;
    let mut findings = Vec::new();
    let mut even = settings.segment;
    let mut renditions = Vec::new();
    if let Some(film) = film {
        let chosen = match &settings.renditions {
            Renditions::Auto => {
                let (width, height) = film.display_size();
                Rung::ladder(width.min(height))
            }
            Renditions::Named(named) => named.clone(),
        };
        let (kept, left_out) = distinct(chosen, film);
        findings.extend(left_out);
        for (rendition, picture) in kept {
            let (planned, length) = planned(rendition, picture, film, settings.segment);
            even = length;
            renditions.push(planned);
        }
    }
    let sounds = sounds(media, settings);
    if renditions.is_empty() && sounds.is_empty() {
        let lacks = match settings.audio {
            Some(_) => "the medium has neither video nor sound",
            None => "the medium has no video",
        };
        return Err(Failure::new(ErrorKind::NoSuchStream, lacks));
    }
    let texts = |stream: &&super::StreamInfo| matches!(stream.kind, StreamKind::Subtitle);
    let subtitles: Vec<u32> = media.streams.iter().filter(texts).map(|stream| stream.index).collect();
    findings.extend(left_out(media, settings, sounds.len(), subtitles.len()));

    let tracks = renditions.len() + sounds.len() + if settings.subtitles { subtitles.len() } else { 0 };
    let segments = media
        .duration
        .map_or(0.0, |length| length.as_secs_f64() / even.as_secs_f64().max(0.1));
    if tracks as f64 * (segments + 3.0) > super::MOST_FILES as f64 {
        return Err(Failure::new(
            ErrorKind::Plan,
            format!(
                "the package would have more than {} files: take a longer `segment`",
                super::MOST_FILES
            ),
        ));
    }

    let filled = |text: &str| {
        let job = text.replace("{job}", wanted.job.as_str());
        job.replace("{rule}", &in_url(wanted.rule.name.as_str().as_bytes()))
    };
    let no_name = |error: &dyn fmt::Display| Failure::new(ErrorKind::Plan, format!("no name for the key: {error}"));
    let mut apart = Vec::new();
    let mut lock = None;
    if let Some(encryption) = &settings.encryption {
        let key = format!("{}{}.key", encryption.key_directory, wanted.job.as_str());
        apart.push((KEY.to_owned(), ObjectKey::new(key).map_err(|error| no_name(&error))?));
        lock = Some(Lock {
            key: wanted.key,
            uri: filled(&encryption.key_uri),
        });
    }
    let prefix = format!("{task}.");
    let fronts = [(settings.hls, MASTER), (settings.dash, MANIFEST)];
    let fronts: Vec<String> = fronts
        .into_iter()
        .filter(|(is, _)| *is)
        .map(|(_, name)| name.to_owned())
        .collect();
    let package = PlannedPackage {
        task: task.clone(),
        prefix: prefix.clone(),
        fronts,
        apart,
        directory: directory(wanted, task)?,
        folder: wanted.job.as_str().to_owned(),
    };
    let expect = Expect::Package {
        pictures: renditions.iter().map(|rendition| rendition.picture.size).collect(),
        sounds: sounds.iter().map(|sound| (sound.channels, sound.rate)).collect(),
    };
    let outputs = package.fronts.iter().map(|front| {
        let file = format!("{prefix}{front}");
        let key = package.key(&file);
        let key = key.ok_or_else(|| Failure::new(ErrorKind::Plan, "the names of a package would be too long"))?;
        Ok(PlannedOutput {
            task: task.clone(),
            file,
            key,
            expect: expect.clone(),
        })
    });
    let outputs = outputs.collect::<Result<_, Failure>>()?;
    let plan = AdaptivePlan {
        folder: package.folder.clone(),
        prefix,
        hls: settings.hls,
        dash: settings.dash,
        segments: settings.segments,
        // What rounding takes must not make a segment a group longer.
        at_least: settings.segment.saturating_sub(ROUNDING + Duration::from_micros(500)),
        even,
        renditions,
        audio: settings.audio.clone(),
        sounds,
        subtitles: if settings.subtitles { subtitles } else { Vec::new() },
        iframes: settings.iframes,
        lock,
    };
    Ok(PlannedTask {
        work: Work::Adaptive(Box::new(plan)),
        outputs,
        package: Some(package),
        findings,
    })
}

/// The folder of the package: named as its only file would be, without an ending.
fn directory(wanted: &Wanted<'_>, task: &TaskId) -> Result<Vec<u8>, Failure> {
    let file = FileOf {
        task,
        number: None,
        extension: b"",
    };
    let mut directory = file.key(wanted, None)?.as_bytes().to_vec();
    while directory.last() == Some(&b'.') {
        directory.pop();
    }
    if directory.last().is_none_or(|last| *last == b'/') {
        directory.push(b'_');
    }
    directory.push(b'/');
    Ok(directory)
}

/// Renditions with their pictures. Those that would be larger than the source, were they not held to it, give way to another
/// of the same size.
fn distinct(chosen: Vec<Rendition>, film: &VideoStream) -> (Vec<(Rendition, Picture)>, Option<Finding>) {
    let free = |rendition: &Rendition| {
        let mut size = rendition.size;
        size.upscale = true;
        picture(&size, film).size
    };
    let all: Vec<_> = chosen
        .into_iter()
        .map(|rendition| {
            let picture = picture(&rendition.size, film);
            let above = free(&rendition) != picture.size;
            (rendition, picture, above)
        })
        .collect();
    let gives_way = |at: usize| {
        let (_, picture, above) = &all[at];
        let same = |other: usize| other != at && all[other].1.size == picture.size;
        *above && (0..all.len()).any(|other| same(other) && (!all[other].2 || other > at))
    };
    let (mut kept, mut names) = (Vec::new(), Vec::new());
    for (at, (rendition, picture, _)) in all.iter().enumerate() {
        if gives_way(at) {
            names.push(rendition.name.clone());
        } else {
            kept.push((rendition.clone(), *picture));
        }
    }
    let (width, height) = film.display_size();
    let finding = (!names.is_empty()).then(|| Finding {
        kind: FindingKind::RenditionLeftOut,
        message: format!(
            "{} would be no larger than others: the source shows {width}x{height}",
            names.join(", ")
        ),
    });
    (kept, finding)
}

/// A rendition with the distance of its key frames, and how long segments of such groups are.
fn planned(
    rendition: Rendition,
    picture: Picture,
    film: &VideoStream,
    segment: Duration,
) -> (PlannedRendition, Duration) {
    let mut video = rendition.video;
    let fps = match video.fps {
        Some(fps) => Some(fraction(fps)),
        None => Some(film.fps).filter(|(num, den)| *num > 0 && *den > 0),
    };
    let seconds = segment.as_secs_f64();
    let per_frame = fps.map(|(num, den)| f64::from(den) / f64::from(num));
    let asked = matches!(video.gop, Some(Gop::Frames(_)));
    let gop = video.gop.unwrap_or_else(|| share(seconds, per_frame));
    video.gop = Some(gop);
    let frames = match (gop, per_frame) {
        (Gop::Frames(frames), _) => Some(frames.max(1)),
        // Rounded up: so many groups must not be shorter than the segment that they fill.
        (Gop::Time(length), Some(per_frame)) => Some(whole(length.as_secs_f64() / per_frame)),
        (Gop::Time(_), None) => None,
    };
    // By time, unless somebody asks for a number: what is declared as even may not be.
    let gop_frames = asked.then_some(frames).flatten();
    if let (None, Some((frames, per_frame))) = (gop_frames, frames.zip(per_frame)) {
        let length = Duration::from_secs_f64(f64::from(frames) * per_frame);
        video.gop = Some(Gop::Time(length.saturating_sub(ROUNDING).max(ROUNDING)));
    }
    let even = frames.zip(fps).map_or(segment, |(frames, (num, den))| {
        let nanos = u128::from(frames) * u128::from(den) * 1_000_000_000 / u128::from(num);
        let gop = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)).max(Duration::from_nanos(1));
        gop * whole(seconds / gop.as_secs_f64())
    });
    let planned = PlannedRendition {
        name: rendition.name,
        picture,
        video,
        gop_frames,
        fps,
    };
    (planned, even)
}

/// An even share of a segment, in whole pictures where there are such, and as near to the usual as can be.
fn share(seconds: f64, per_frame: Option<f64>) -> Gop {
    let near = |shares: &u32| (seconds / f64::from(*shares) - USUAL_GOP).abs();
    let nearest = |one: &u32, other: &u32| near(one).total_cmp(&near(other));
    let shares = 1..=whole(seconds);
    if let Some(frames) = per_frame.map(|per_frame| whole(seconds / per_frame)) {
        let even = shares.filter(|shares| frames.is_multiple_of(*shares)).min_by(nearest);
        Gop::Frames(frames / even.unwrap_or(1))
    } else {
        let shares = shares.min_by(nearest).unwrap_or(1);
        Gop::Time(Duration::from_secs_f64(seconds / f64::from(shares)))
    }
}

/// Rounded up, but for what floating numbers add; at least 1.
fn whole(number: f64) -> u32 {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to the range"
    )]
    let whole = (number - 0.000_1).ceil().clamp(1.0, 100_000.0) as u32;
    whole
}

/// A rate as people write it (29.97) as the fraction that is meant (30000/1001).
fn fraction(fps: f64) -> (u32, u32) {
    let ntsc = (fps * 1.001).round();
    let exact = (fps - fps.round()).abs() > 0.000_5 && (ntsc / 1.001 - fps).abs() < 0.005;
    let (times, per) = if exact {
        (ntsc * 1000.0, 1001)
    } else {
        (fps * 1000.0, 1000)
    };
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to the range"
    )]
    let num = times.round().clamp(1.0, 1_000_000.0) as u32;
    if num.is_multiple_of(1000) && per == 1000 {
        (num / 1000, 1)
    } else {
        (num, per)
    }
}

fn sounds(media: &MediaInfo, settings: &Adaptive) -> Vec<PlannedSound> {
    let Some(spec) = &settings.audio else {
        return Vec::new();
    };
    let sounds = media.streams.iter().filter_map(|stream| match &stream.kind {
        StreamKind::Audio(audio) => Some(PlannedSound {
            stream: stream.index,
            channels: channels(spec, audio.channels),
            rate: rate(spec, Container::Mp4, audio.rate),
        }),
        _ => None,
    });
    sounds.take(settings.audio_tracks as usize).collect()
}

/// Streams of the source that the package leaves out though nobody asked for that.
fn left_out(media: &MediaInfo, settings: &Adaptive, sounds: usize, subtitles: usize) -> Vec<Finding> {
    let audio = |stream: &&super::StreamInfo| matches!(stream.kind, StreamKind::Audio(_));
    let all = media.streams.iter().filter(audio).count();
    let sounds = if settings.audio.is_some() {
        all.saturating_sub(sounds)
    } else {
        0
    };
    let subtitles = if settings.subtitles { 0 } else { subtitles };
    [(sounds, "audio track"), (subtitles, "subtitle track")]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| Finding {
            kind: FindingKind::StreamLeftOut,
            message: if count == 1 {
                format!("1 further {what} of the source is not in the package")
            } else {
                format!("{count} further {what}s of the source are not in the package")
            },
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing::film as medium;

    fn even(fps: (u32, u32), segment: u64, gop: Option<Gop>) -> String {
        let mut film = medium(1280, 720);
        film.fps = fps;
        let mut rendition = Rung::ALL[3].rendition();
        rendition.video.gop = gop;
        let picture = picture(&rendition.size, &film);
        let (planned, even) = planned(rendition, picture, &film, Duration::from_secs(segment));
        format!("{:?} {:?} {even:?}", planned.gop_frames, planned.video.gop)
    }

    #[test]
    fn groups_fill_segments_that_are_never_shorter_than_wanted() {
        let table = [
            even((25, 1), 4, None),
            even((30_000, 1001), 4, None),
            even((24_000, 1001), 6, None),
            even((25, 1), 3, None),
            even((25, 1), 1, None),
            even((25, 1), 4, Some(Gop::Frames(30))),
            even((25, 1), 4, Some(Gop::Time(Duration::from_secs(6)))),
            even((0, 1), 4, None),
        ];
        insta::assert_snapshot!(table.join("\n"), @r"
        None Some(Time(1.998s)) 4s
        None Some(Time(2s)) 4.004s
        None Some(Time(2s)) 6.006s
        None Some(Time(2.998s)) 3s
        None Some(Time(998ms)) 1s
        Some(30) Some(Frames(30)) 4.8s
        None Some(Time(5.998s)) 6s
        None Some(Time(2s)) 4s
        ");
    }

    #[test]
    fn what_is_above_the_source_gives_way_to_what_is_not() {
        let names = |width, height, words: &[usize]| {
            let chosen = words.iter().map(|at| Rung::ALL[*at].rendition()).collect();
            let (kept, finding) = distinct(chosen, &medium(width, height));
            let kept: Vec<_> = kept
                .iter()
                .map(|(rendition, picture)| format!("{} {}x{}", rendition.name, picture.size.0, picture.size.1))
                .collect();
            format!(
                "{} | {}",
                kept.join(", "),
                finding.map_or_else(String::new, |finding| finding.message)
            )
        };
        let table = [
            names(1920, 1080, &[2, 3, 4]),
            names(854, 480, &[2, 3, 4]),
            names(640, 360, &[2, 3, 4]),
            names(1080, 1920, &[2, 3]),
        ];
        insta::assert_snapshot!(table.join("\n"), @r"
        1080p 1920x1080, 720p 1280x720, 480p 854x480 | 
        480p 854x480 | 1080p, 720p would be no larger than others: the source shows 854x480
        480p 640x360 | 1080p, 720p would be no larger than others: the source shows 640x360
        1080p 1080x1920, 720p 720x1280 |
        ");
    }

    #[test]
    fn a_key_is_not_shown() {
        assert_eq!(format!("{:?}", PackageKey([7; 16])), "PackageKey(..)");
        assert_eq!(in_url(b"A rule & more"), "A%20rule%20%26%20more");
    }
}
