//! Stills, sprites and animations, resolved against the medium.

mod relative;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::run::{PlannedTask, Wanted, film, known, of_one, output};
use super::stills::{self, frame, seconds};
use super::transcode::span;
use super::{Expect, MediaInfo, Picture, SnapshotPlan, Span, Still, VideoStream, Work, picture};
use crate::job::{ErrorKind, Failure};
use crate::rule::{Animation, AnimationFormat, ImageFormat, Moments, Part, Snapshot, Sprite, TaskId};
use relative::relative;

/// The most pictures that a task makes of one medium.
const MOST: u32 = 10_000;
/// The most stills of a medium that does not say how long it is.
const MOST_OF_UNKNOWN: u32 = 1_000;
/// The longest side of a sheet: WebP has no more.
const LONGEST_SIDE: u32 = 16_383;
/// The most pixels of a sheet, which is in memory while it is filled.
const LARGEST_SHEET: u64 = 64 << 20;

/// Sheets of small pictures, resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SpritePlan {
    /// Names of the sheets in scratch, the last of which may not be needed.
    pub sheets: Vec<String>,
    /// Name of the map in scratch.
    pub map: String,
    /// What the map calls the sheets, as many as `sheets`.
    pub names: Vec<String>,
    /// When each picture is shown, rising.
    pub at: Vec<Duration>,
    /// How much of the medium each picture stands for, from its beginning; the last for all that is left.
    pub step: Duration,
    /// Where the medium ends, as far as it says; the last picture stands for all up to there.
    pub end: Option<Duration>,
    /// The frame of one picture.
    pub cell: Picture,
    /// As the rule says.
    pub settings: Sprite,
}

impl SpritePlan {
    /// The most pictures of a sheet.
    #[must_use]
    pub fn cells(&self) -> usize {
        (self.settings.rows * self.settings.columns) as usize
    }
}

/// A short loop, resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AnimationPlan {
    /// Name in scratch.
    pub file: String,
    /// Only this part of the medium; it has an end.
    pub span: Span,
    /// How many pictures, where the medium has them.
    pub frames: u32,
    /// The frame after rotation.
    pub picture: Picture,
    /// As the rule says.
    pub settings: Animation,
}

impl AnimationPlan {
    /// When the picture with this number, from 0, comes, counted from the first.
    #[must_use]
    pub fn time(&self, number: u32) -> Duration {
        Duration::from_secs_f64(f64::from(number) / self.settings.fps.max(0.001))
    }
}

/// The medium and its film, which every task here needs.
fn pictures<'a>(wanted: &Wanted<'a>) -> Result<(&'a MediaInfo, &'a VideoStream), Failure> {
    let media = known(wanted)?;
    let video = film(media)?;
    video
        .map(|video| (media, video))
        .ok_or_else(|| Failure::new(ErrorKind::NoSuchStream, "the medium has no video"))
}

fn plan_failure(message: impl Into<String>) -> Failure {
    Failure::new(ErrorKind::Plan, message)
}

/// Where the film ends, as far as the medium says.
fn film_end(media: &MediaInfo) -> Option<Duration> {
    let of_film = media.video_stream().and_then(|stream| stream.duration);
    of_film.or(media.duration).filter(|end| !end.is_zero())
}

/// The beginnings of stretches of this length, and how many there are; too many are a failure.
fn beginnings(every: Duration, end: Option<Duration>, most_of_unknown: u32) -> Result<Vec<Duration>, Failure> {
    let count = match end {
        None => most_of_unknown,
        Some(end) => {
            let count = end.as_nanos().div_ceil(every.as_nanos().max(1)).max(1);
            u32::try_from(count).ok().filter(|count| *count <= MOST).ok_or_else(|| {
                plan_failure(format!(
                    "a picture every {} of {} would be {count} pictures, and {MOST} are the most: take a longer `every`",
                    seconds(every),
                    seconds(end),
                ))
            })?
        }
    };
    Ok((0..count).map(|number| every * number).collect())
}

/// What this task will do.
pub(super) fn snapshot(wanted: &Wanted<'_>, task: &TaskId, settings: &Snapshot) -> Result<PlannedTask, Failure> {
    let (media, video) = pictures(wanted)?;
    let picture = picture(&settings.size, video);
    check_webp(settings.format == ImageFormat::Webp, picture.size)?;
    let mut findings = Vec::new();
    let (points, count) = match &settings.moments {
        Moments::At(at) => {
            let (points, outside) = stills::resolve(at, media, video)?;
            findings = outside;
            (points, u32::try_from(at.len()).unwrap_or(u32::MAX))
        }
        Moments::Every(every) => {
            let at = beginnings(*every, film_end(media), MOST_OF_UNKNOWN)?;
            // Numbered even where there is only one: another medium of the rule has more.
            let count = u32::try_from(at.len()).unwrap_or(u32::MAX).max(2);
            (stills::numbered(at), count)
        }
        Moments::Count(count) => {
            let end = film_end(media).ok_or_else(|| {
                plan_failure(
                    "the medium does not say how long it is, so `count` cannot be spread over it: take `every`",
                )
            })?;
            let last = end.saturating_sub(frame(video));
            let share = end.as_secs_f64() / f64::from(*count);
            let middle = |number: u32| Duration::from_secs_f64((f64::from(number) + 0.5) * share).min(last);
            (stills::numbered((0..*count).map(middle)), *count)
        }
    };
    let extension = settings.format.extension().as_bytes();
    let mut outputs = Vec::with_capacity(points.len());
    let mut stills = Vec::with_capacity(points.len());
    for point in points {
        let number = Some((point.number, count));
        let expect = Expect::Image(picture.size.0, picture.size.1);
        let output = output(wanted, task, number, extension, expect)?;
        stills.push(Still {
            file: output.file.clone(),
            at: point.at,
        });
        outputs.push(output);
    }
    Ok(PlannedTask {
        work: Work::Snapshot(SnapshotPlan {
            stills,
            format: settings.format,
            quality: settings.quality,
            picture,
            skip_black: settings.skip_black,
            points: matches!(settings.moments, Moments::At(_)),
        }),
        outputs,
        package: None,
        findings,
    })
}

/// What this task will do.
pub(super) fn sprite(wanted: &Wanted<'_>, task: &TaskId, settings: &Sprite) -> Result<PlannedTask, Failure> {
    let (media, video) = pictures(wanted)?;
    let cell = picture(&settings.cell, video);
    let cells = settings.rows * settings.columns;
    let (at, step) = match settings.every {
        Some(every) => (beginnings(every, film_end(media), MOST)?, every),
        None => evenly(cells, media, video)?,
    };
    let columns = settings.columns;
    check_sheet(settings, cell.size)?;
    let per_sheet = usize::try_from(cells.max(1)).unwrap_or(usize::MAX);
    let sheets = u32::try_from(at.len().div_ceil(per_sheet)).unwrap_or(u32::MAX);
    let numbers = if settings.every.is_some() {
        sheets.max(2)
    } else {
        sheets
    };
    let mut outputs = Vec::new();
    let expect = Expect::Sheet {
        width: cell.size.0 * columns,
        row: cell.size.1,
        rows: settings.rows,
    };
    for number in 1..=sheets {
        let extension = settings.format.extension().as_bytes();
        outputs.push(output(
            wanted,
            task,
            Some((number, numbers)),
            extension,
            expect.clone(),
        )?);
    }
    let map = output(wanted, task, None, b"vtt", Expect::Something)?;
    let work = SpritePlan {
        sheets: outputs.iter().map(|sheet| sheet.file.clone()).collect(),
        names: outputs.iter().map(|sheet| relative(&map.key, &sheet.key)).collect(),
        map: map.file.clone(),
        at,
        step,
        end: media.duration,
        cell,
        settings: settings.clone(),
    };
    outputs.push(map);
    Ok(PlannedTask {
        work: Work::Sprite(work),
        outputs,
        package: None,
        findings: Vec::new(),
    })
}

/// One sheet of so many pictures: each from the middle of its share; fewer where the film has fewer frames.
fn evenly(cells: u32, media: &MediaInfo, video: &VideoStream) -> Result<(Vec<Duration>, Duration), Failure> {
    let end = film_end(media).ok_or_else(|| {
        plan_failure("the medium does not say how long it is, so a sheet cannot be filled evenly: say `every`")
    })?;
    let shown = frame(video);
    let frames = u32::try_from(end.as_nanos() / shown.as_nanos().max(1)).unwrap_or(u32::MAX);
    let count = cells.min(frames).max(1);
    let step = end / count;
    let last = end.saturating_sub(shown);
    let at = (0..count).map(|number| (step * number + step / 2).min(last)).collect();
    Ok((at, step))
}

/// What WebP can be, in pixels; its encoder takes nothing smaller.
const WEBP_SIDES: std::ops::RangeInclusive<u32> = 16..=16_383;

fn check_webp(is_webp: bool, (width, height): (u32, u32)) -> Result<(), Failure> {
    if !is_webp || (WEBP_SIDES.contains(&width) && WEBP_SIDES.contains(&height)) {
        return Ok(());
    }
    Err(plan_failure(format!(
        "a WebP of {width}x{height} cannot be made: a side has {} to {} pixels; take another format or size",
        WEBP_SIDES.start(),
        WEBP_SIDES.end()
    )))
}

fn check_sheet(settings: &Sprite, cell: (u32, u32)) -> Result<(), Failure> {
    let (width, height) = (
        u64::from(cell.0) * u64::from(settings.columns),
        u64::from(cell.1) * u64::from(settings.rows),
    );
    let side = u64::from(LONGEST_SIDE);
    if width <= side && height <= side && width * height <= LARGEST_SHEET {
        return Ok(());
    }
    Err(plan_failure(format!(
        "a sheet of {} x {} pictures of {}x{} would be {width}x{height} pixels: take smaller pictures or fewer on a sheet; a side has \
         {LONGEST_SIDE} pixels at most, and a sheet {LARGEST_SHEET}",
        settings.columns, settings.rows, cell.0, cell.1,
    )))
}

/// What this task will do.
pub(super) fn animation(wanted: &Wanted<'_>, task: &TaskId, settings: &Animation) -> Result<PlannedTask, Failure> {
    let (media, video) = pictures(wanted)?;
    let span = animation_span(settings, media)?;
    let length = span.end.unwrap_or_default().saturating_sub(span.start);
    if settings.length.is_none() && length > Animation::LONGEST {
        return Err(plan_failure(format!(
            "the animation would be {} long, and {} is the most: take another `end`, or `length`",
            seconds(length),
            seconds(Animation::LONGEST),
        )));
    }
    let picture = picture(&settings.size, video);
    check_webp(settings.format == AnimationFormat::Webp, picture.size)?;
    let frames = (length.as_secs_f64() * settings.fps)
        .round()
        .clamp(1.0, f64::from(MOST));
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to the range"
    )]
    let frames = frames as u32;
    let expect = Expect::Animation {
        width: picture.size.0,
        height: picture.size.1,
        frames,
        length: Duration::from_secs_f64(f64::from(frames) / settings.fps),
    };
    let output = output(wanted, task, None, settings.format.extension().as_bytes(), expect)?;
    Ok(of_one(output, |file| {
        Work::Animation(AnimationPlan {
            file,
            span,
            frames,
            picture,
            settings: settings.clone(),
        })
    }))
}

/// The part of the medium that is shown; it has an end.
fn animation_span(settings: &Animation, media: &MediaInfo) -> Result<Span, Failure> {
    let found = span(&settings.part, media)?;
    let last = film_end(media);
    if let Some(last) = last
        && found.start >= last
    {
        return Err(plan_failure(format!(
            "the animation starts at {}, and the film ends at {}",
            seconds(found.start),
            seconds(last)
        )));
    }
    let wanted = match settings.part {
        // To the end of the medium, or of what it was said to be.
        Part { end: Some(_), .. } => found.end.or(media.duration),
        _ => Some(found.start + settings.length.unwrap_or(Animation::USUAL)),
    };
    let end = match (wanted, last) {
        (Some(wanted), Some(last)) => wanted.min(last),
        (Some(wanted), None) => wanted,
        (None, _) => found.start + Animation::LONGEST,
    };
    Ok(Span {
        start: found.start,
        end: Some(end),
    })
}

/// Bytes that a picture of this form takes for each pixel, at the worst.
pub(super) fn bytes_a_pixel(format: ImageFormat) -> u64 {
    match format {
        ImageFormat::Png => 3,
        ImageFormat::Jpg | ImageFormat::Webp => 1,
    }
}

#[cfg(test)]
mod tests;
