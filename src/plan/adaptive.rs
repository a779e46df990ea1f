//! An adaptive package, resolved against the medium: which streams of it, which part, and where its files go. What becomes of
//! the film is in [`super::ladder`].

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ladder::{ROUNDING, climb};
use super::names::{FileOf, in_url};
use super::places::one_place;
use super::run::{PlannedTask, Wanted, film, known};
use super::transcode::{span, turned};
use super::{Coded, CoverPlan, Expect, Picture, PlannedOutput, Span, Work, overlay, tracks};
use crate::job::{ErrorKind, Failure};
use crate::object::ObjectKey;
use crate::rule::overlay::Cover;
use crate::rule::{
    Adaptive, AudioSpec, Clips, Container, SegmentForm, SizeSpec, TaskId, Track, Transcode, Treatment, VideoSpec,
};

/// What HLS players open.
pub const MASTER: &str = "master.m3u8";
/// What DASH players open.
pub const MANIFEST: &str = "manifest.mpd";
/// What the key is called in scratch.
pub const KEY: &str = "key";

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
    /// Only this part of the medium.
    pub span: Span,
    /// What is done to its pictures before anything else.
    pub treatment: Treatment,
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
    /// What is laid over it.
    pub cover: CoverPlan,
}

impl PlannedRendition {
    fn short_side(&self) -> u32 {
        self.picture.size.0.min(self.picture.size.1)
    }

    /// That whose pixels are those of the rule.
    pub(super) fn largest(all: &[Self]) -> Option<&Self> {
        all.iter().max_by_key(|one| one.short_side())
    }
}

/// One sound.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedSound {
    /// Which stream of the medium.
    pub stream: u32,
    /// How many channels it gets.
    pub channels: u32,
    /// Samples a second that it gets.
    pub rate: u32,
    /// Its language, where that is not what the source says.
    pub language: Option<String>,
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
    let film = film(media)?.map(|film| turned(film, settings.treatment.rotate));
    let span = span(&settings.part, media)?;
    let length = span.end.or(media.duration).map(|end| end.saturating_sub(span.start));
    let mut findings = Vec::new();
    let mut even = settings.segment;
    let mut renditions = Vec::new();
    if let Some(film) = &film {
        let ladder = climb(&settings.renditions, film, settings.segment)?;
        findings.extend(ladder.left_out);
        (renditions, even) = (ladder.renditions, ladder.even);
        one_place(task, &settings.cover, &renditions, film)?;
        let largest = PlannedRendition::largest(&renditions).cloned();
        for (rendition, largest) in renditions.iter_mut().zip(largest.iter().cycle()) {
            let frame = overlay::Frame {
                size: rendition.picture.size,
                scale: f64::from(rendition.short_side()) / f64::from(largest.short_side().max(1)),
            };
            let form = (frame, largest.picture.size);
            rendition.cover = overlay::cover_form(wanted, task, &settings.cover, form, length)?;
        }
    }
    let transcode = alike(settings);
    let sounds = tracks::sounds(media, &transcode, &mut findings)?;
    let sounds = sounds.into_iter().filter_map(|sound| {
        let (channels, rate) = sound.form?;
        Some(PlannedSound {
            stream: sound.stream,
            channels,
            rate,
            language: sound.language,
        })
    });
    let sounds: Vec<PlannedSound> = sounds.collect();
    if renditions.is_empty() && sounds.is_empty() {
        let lacks = match settings.audio {
            Some(_) => "the medium has neither video nor sound",
            None => "the medium has no video",
        };
        return Err(Failure::new(ErrorKind::NoSuchStream, lacks));
    }
    let subtitles = tracks::subtitles(media, &transcode, &mut findings);
    let subtitles: Vec<u32> = subtitles.into_iter().map(|subtitle| subtitle.stream).collect();

    let tracks = renditions.len() + sounds.len() + subtitles.len();
    let segments = length.map_or(0.0, |length| length.as_secs_f64() / even.as_secs_f64().max(0.1));
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
        coded: renditions
            .iter()
            .map(|rendition| Coded::wanted(&rendition.video))
            .collect(),
        sounds: sounds.iter().map(|sound| (sound.channels, sound.rate)).collect(),
        span,
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
        subtitles,
        iframes: settings.iframes,
        lock,
        span,
        treatment: settings.treatment,
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

/// What of this is asked of a transcode too.
fn alike(settings: &Adaptive) -> Transcode {
    let audio = settings.audio.clone();
    Transcode {
        // What its fragments hold.
        container: Container::Mp4,
        size: SizeSpec::default(),
        video: Track::Copy,
        audio: audio.map_or(Track::None, Track::Encode),
        part: settings.part,
        treatment: settings.treatment,
        cover: Cover::default(),
        clips: Clips::default(),
        tracks: settings.tracks.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_not_shown() {
        assert_eq!(format!("{:?}", PackageKey([7; 16])), "PackageKey(..)");
        assert_eq!(in_url(b"A rule & more"), "A%20rule%20%26%20more");
    }
}
