//! A transcode, resolved against the medium: which streams, how large, how fine, which part.

use std::time::Duration;

use super::clips::clips;
use super::overlay;
use super::run::{PlannedTask, Wanted, film, known, of_one, output};
use super::stills::{place, seconds};
use super::{
    AudioStream, Coded, CoverPlan, Expect, Form, MediaInfo, SoundPlan, Span, StreamKind, TranscodePlan, VideoStream,
    Work,
};
use super::{picture, tracks, video};
use crate::job::{ErrorKind, Failure, Finding, FindingKind};
use crate::rule::{AudioSpec, Container, Gop, Part, TaskId, Track, Transcode, VideoSpec};

/// What this task will do.
pub(super) fn transcode(wanted: &Wanted<'_>, task: &TaskId, settings: &Transcode) -> Result<PlannedTask, Failure> {
    let media = known(wanted)?;
    let mut settings = settings.clone();
    let mut findings: Vec<_> = further_films(media, &settings).into_iter().collect();
    findings.extend(rotation_lost(media, &settings));
    let lacks = match (settings.video.is_some(), settings.audio.is_some()) {
        (true, true) => "the medium has neither video nor sound",
        (true, false) => "the medium has no video",
        (false, _) => "the medium has no sound",
    };
    let film = if settings.video.is_some() { film(media)? } else { None };
    let film = film.map(|film| turned(film, settings.treatment.rotate));
    let film = film.as_ref();
    if film.is_none() {
        settings.video = Track::None;
    }
    let span = span(&settings.part, media)?;
    let chosen = tracks::chosen(media, &settings, span)?;
    findings.extend(chosen.findings);
    let tracks = chosen.plan;
    let mut clips = clips(&settings.clips);
    // Clips may have a sound where the film has none.
    let silent = tracks.sounds.is_empty() && film.is_some() && !clips.is_empty();
    if tracks.sounds.is_empty() && !silent {
        settings.audio = Track::None;
    }
    if let (Track::Encode(spec), Some(film)) = (&mut settings.video, film) {
        spec.fps = video::fps(settings.container, spec, film);
        spec.depth = video::depth(spec, film);
    }
    let encoded = settings.video.encoded().zip(film);
    let picture = encoded.map(|(_, film)| picture(&settings.size, film));
    if let Some(((spec, film), picture)) = encoded.zip(picture) {
        video::possible(spec, film, picture.size)?;
    }
    let gop_frames = encoded.and_then(|(spec, film)| gop_frames(spec, film));
    let usual = AudioStream {
        channels: 2,
        rate: 48_000,
    };
    let spec = settings.audio.encoded().filter(|_| silent);
    clips.alone = spec.map(|spec| {
        (
            channels(spec, usual.channels),
            rate(spec, settings.container, usual.rate),
        )
    });
    if !settings.video.is_some() && !settings.audio.is_some() {
        return Err(Failure::new(ErrorKind::NoSuchStream, lacks));
    }
    if let Some(spec) = settings.audio.encoded() {
        let lost = tracks.sounds.iter().find_map(|sound| mixed_down(spec, media, sound));
        findings.extend(lost);
    }
    let copied = |is: bool| if is { Form::Copied } else { Form::Absent };
    let expect = Expect::Media {
        container: settings.container,
        video: picture.map_or(copied(settings.video.is_some()), |picture| {
            Form::Made(picture.size.0, picture.size.1)
        }),
        coded: settings.video.encoded().map(Coded::wanted).unwrap_or_default(),
        sounds: match clips.alone {
            Some((channels, rate)) => vec![Form::Possible(channels, rate)],
            None => tracks.forms(),
        },
        span,
        joined: !clips.is_empty(),
    };
    let cover = match picture {
        Some(picture) => {
            let length = span.end.or(media.duration);
            let length = length.map(|end| end.saturating_sub(span.start));
            let frame = overlay::Frame {
                size: picture.size,
                scale: 1.0,
            };
            overlay::cover(wanted, task, &settings.cover, frame, length)?
        }
        None => CoverPlan::default(),
    };
    let extension = settings.container.extension().as_bytes();
    let output = output(wanted, task, None, extension, expect)?;
    let work = |file| {
        Work::Transcode(Box::new(TranscodePlan {
            file,
            settings,
            picture,
            gop_frames,
            tracks,
            span,
            cover,
            clips,
        }))
    };
    Ok(PlannedTask {
        findings,
        ..of_one(output, work)
    })
}

/// The film as it stands once it is turned by so many degrees, clockwise.
pub(super) fn turned(film: &VideoStream, degrees: u32) -> VideoStream {
    VideoStream {
        rotation: (film.rotation % 360 + degrees) % 360,
        ..film.clone()
    }
}

/// The part of this medium that is wanted.
pub(super) fn span(part: &Part, media: &MediaInfo) -> Result<Span, Failure> {
    let plan = |message: String| Failure::new(ErrorKind::Plan, message);
    let start = match part.start {
        None => Duration::ZERO,
        // What would begin before the medium does begins with it.
        Some(point) => place(point, media.duration)?.unwrap_or_default(),
    };
    let end = match part.end {
        None => None,
        Some(point) => Some(place(point, media.duration)?.ok_or_else(|| {
            let length = seconds(media.duration.unwrap_or_default());
            plan(format!(
                "the wanted part ends before the beginning: the medium is {length} long"
            ))
        })?),
    };
    // An end beyond that of the medium is the medium's.
    let end = end.filter(|end| media.duration.is_none_or(|length| *end < length));
    if let Some(length) = media.duration
        && start >= length
    {
        let (start, length) = (seconds(start), seconds(length));
        return Err(plan(format!(
            "the wanted part starts at {start}, and the medium is {length} long"
        )));
    }
    if let Some(end) = end
        && end <= start
    {
        let (start, end) = (seconds(start), seconds(end));
        return Err(plan(format!(
            "the wanted part starts at {start} and ends at {end}: nothing is left"
        )));
    }
    Ok(Span { start, end })
}

/// What is copied is not turned, and not every container can say that it should be.
fn rotation_lost(media: &MediaInfo, settings: &Transcode) -> Option<Finding> {
    let turned = media.video().map_or(0, |video| video.rotation);
    let lost = matches!(settings.video, Track::Copy) && turned != 0 && !settings.container.keeps_rotation();
    lost.then(|| Finding {
        kind: FindingKind::RotationLost,
        message: format!(
            "the film is to be turned by {turned} degrees, and {} cannot say so: encode it, or take mp4",
            settings.container.extension()
        ),
    })
}

/// Films of the source that a transcode leaves out though nobody asked for that.
fn further_films(media: &MediaInfo, settings: &Transcode) -> Option<Finding> {
    let films = media.streams.iter().filter(|stream| stream.is_film()).count();
    let further = if settings.video.is_some() {
        films.saturating_sub(1)
    } else {
        0
    };
    tracks::left_out(further, "further video track")
}

/// Channels of the result. Those of the source are kept as far as the codec can: three to five become 5.1, in which
/// nothing is lost.
pub(super) fn channels(spec: &AudioSpec, source: u32) -> u32 {
    let kept = match source {
        1 => 1,
        0 | 2 => 2,
        _ => 6,
    };
    spec.channels.unwrap_or(kept).min(spec.codec.most_channels())
}

/// What the codec cannot hold is mixed into fewer channels.
fn mixed_down(spec: &AudioSpec, media: &MediaInfo, sound: &SoundPlan) -> Option<Finding> {
    let StreamKind::Audio(source) = &media.streams.get(sound.stream as usize)?.kind else {
        return None;
    };
    let (source, (channels, _)) = (source.channels, sound.form?);
    let lost = spec.channels.is_none() && channels < source;
    lost.then(|| Finding {
        kind: FindingKind::MixedDown,
        message: format!(
            "the sound of the source has {source} channels, and {} at most {channels}: they were mixed",
            spec.codec.word()
        ),
    })
}

pub(super) fn rate(spec: &AudioSpec, container: Container, source: u32) -> u32 {
    let rates = container.rates(spec.codec);
    let can = rates.contains(&source) || (rates.is_empty() && (8_000..=192_000).contains(&source));
    let usual = if rates.is_empty() || rates.contains(&48_000) {
        48_000
    } else {
        44_100
    };
    spec.rate.unwrap_or(if can { source } else { usual })
}

/// Two seconds, unless the rule says otherwise.
const USUAL_GOP: Gop = Gop::Time(std::time::Duration::from_secs(2));

pub(super) fn gop_frames(spec: &VideoSpec, video: &VideoStream) -> Option<u32> {
    let length = match spec.gop.unwrap_or(USUAL_GOP) {
        Gop::Frames(frames) => return Some(frames.max(1)),
        Gop::Time(length) => length,
    };
    let fps = spec.fps.or(match video.fps {
        (0, _) | (_, 0) => None,
        (num, den) => Some(f64::from(num) / f64::from(den)),
    })?;
    let frames = (length.as_secs_f64() * fps).round().clamp(1.0, 100_000.0);
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to the range"
    )]
    Some(frames as u32)
}
