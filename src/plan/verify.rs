//! Whether a finished file is what was planned.
//!
//! The worker's word is compared with the plan and with the source: streams, sizes, and for every track the length
//! that was decoded. A source that ended before its declared end is a finding; whether that is a failure,
//! the rule's `strict` decides elsewhere.

use std::time::Duration;

use super::stills::{frame, seconds};
use super::truncation::{Ends, truncated};
use super::{Coded, Expect, Form, MediaInfo, OutputReport, PlannedOutput, Span, TrackReport};
use crate::job::{ErrorKind, Failure, Finding};

/// The unit of time of an animation.
const HUNDREDTH: Duration = Duration::from_millis(10);

/// Checks one file: its size in bytes and what its reading back found, against the plan and the source.
///
/// # Errors
/// `bad_output`, saying what differs.
pub fn verify(
    output: &PlannedOutput,
    size: u64,
    report: &OutputReport,
    media: Option<&MediaInfo>,
) -> Result<Vec<Finding>, Failure> {
    let bad = |what: String| Err(Failure::new(ErrorKind::BadOutput, format!("{} {what}", output.file)));
    match (&output.expect, report) {
        (Expect::SourceBytes(wanted), OutputReport::Bytes) => {
            if size != *wanted {
                return bad(format!("has {size} bytes, and the source {wanted}"));
            }
            Ok(Vec::new())
        }
        _ if size == 0 => bad("is empty".to_owned()),
        (Expect::Json, OutputReport::Bytes) | (Expect::Something, _) => Ok(Vec::new()),
        (Expect::Image(wide, high), OutputReport::Image { width, height }) => {
            if (width, height) != (wide, high) {
                return bad(format!("is {width}x{height}, not {wide}x{high}"));
            }
            Ok(Vec::new())
        }
        (Expect::Sheet { width: wide, row, rows }, OutputReport::Image { width, height }) => {
            let whole = height.is_multiple_of((*row).max(1)) && (1..=*rows).contains(&(height / row));
            if width != wide || !whole {
                return bad(format!(
                    "is {width}x{height}, not {wide} wide with 1 to {rows} rows of {row}"
                ));
            }
            Ok(Vec::new())
        }
        (
            Expect::Animation {
                width: wide,
                height: high,
                frames: most,
                length: whole,
            },
            OutputReport::Animation {
                width,
                height,
                frames,
                drawn,
                length,
                endless,
            },
        ) => {
            if (width, height) != (wide, high) {
                return bad(format!("is {width}x{height}, not {wide}x{high}"));
            }
            if *frames == 0 || frames > drawn || drawn > most {
                return bad(format!("has {frames} pictures of {drawn}, and {most} were planned"));
            }
            if !endless {
                return bad("ends after some rounds".to_owned());
            }
            let due = whole.mul_f64(f64::from(*drawn) / f64::from((*most).max(1)));
            if length.abs_diff(due) > HUNDREDTH {
                return bad(format!("lasts {}, not {}", seconds(*length), seconds(due)));
            }
            Ok(Vec::new())
        }
        (
            Expect::Media {
                container,
                video,
                coded,
                sounds,
                span,
                joined,
            },
            OutputReport::Media {
                tracks, index_in_front, ..
            },
        ) => {
            if container.has_index_in_front() && *index_in_front != Some(true) {
                return bad("has its index at the end".to_owned());
            }
            if let Err(what) = check_tracks(tracks, (*video, coded), sounds, *span, media) {
                return bad(what);
            }
            // A part of the source says nothing about its end, and what comes after it neither.
            let whole = media.filter(|_| span.is_whole() && !joined);
            Ok(whole.map_or_else(Vec::new, |media| truncated(Ends::of(tracks), media)))
        }
        (
            Expect::Package {
                pictures,
                coded,
                sounds,
                span,
            },
            OutputReport::Package { tracks },
        ) => {
            if let Err(what) = check_package(tracks, (pictures, coded), sounds, media) {
                return bad(what);
            }
            let whole = media.filter(|_| span.is_whole());
            Ok(whole.map_or_else(Vec::new, |media| truncated(Ends::of(tracks), media)))
        }
        (_, report) => {
            let is = match report {
                OutputReport::Bytes => "no medium",
                OutputReport::Image { .. } => "an image",
                OutputReport::Animation { .. } => "an animation",
                OutputReport::Media { .. } => "a medium",
                OutputReport::Package { .. } => "a manifest",
            };
            bad(format!("is {is}, which was not planned"))
        }
    }
}

/// Whether nothing was there of a sound.
fn is_nothing(track: &TrackReport) -> bool {
    !track.video && track.packets == 0 && track.source_end.is_zero()
}

fn check_tracks(
    tracks: &[TrackReport],
    (video, coded): (Form, &Coded),
    sounds: &[Form],
    span: Span,
    media: Option<&MediaInfo>,
) -> Result<(), String> {
    let video = if video == Form::Absent { vec![] } else { vec![video] };
    for (is_video, forms) in [(true, &video[..]), (false, sounds)] {
        let found: Vec<_> = tracks.iter().filter(|track| track.video == is_video).collect();
        let may_lack = found.is_empty() && forms.iter().all(|form| matches!(form, Form::Possible(..)));
        if found.len() != forms.len() && !may_lack {
            let sort = sort(is_video);
            return Err(format!("has {} {sort} tracks, not {}", found.len(), forms.len()));
        }
        // A sound may pause for all of a part, or be nothing but damage; its track is left out of the file.
        let others = tracks.iter().any(|track| track.packets > 0);
        for (track, form) in found.into_iter().zip(forms) {
            if others && is_nothing(track) {
                continue;
            }
            check_track(track, *form, span, media)?;
            if let Some(differs) = coded.differs(&track.coded).filter(|_| is_video) {
                return Err(differs);
            }
        }
    }
    Ok(())
}

/// Whether a package has the forms and sounds that were planned, each as long as the source.
fn check_package(
    tracks: &[TrackReport],
    (pictures, coded): (&[(u32, u32)], &[Coded]),
    sounds: &[(u32, u32)],
    media: Option<&MediaInfo>,
) -> Result<(), String> {
    let films = tracks.iter().filter(|track| track.video);
    let film_end = films.map(|film| film.source_end).max().unwrap_or_default();
    for (is_video, planned) in [(true, pictures), (false, sounds)] {
        let found: Vec<_> = tracks.iter().filter(|track| track.video == is_video).collect();
        if found.len() != planned.len() {
            let sort = sort(is_video);
            return Err(format!("has {} {sort} tracks, not {}", found.len(), planned.len()));
        }
        for (track, (one, other)) in found.into_iter().zip(planned) {
            // A sound goes on in silence up to the end of its film.
            let due = TrackReport {
                source_end: track.source_end.max(film_end),
                ..track.clone()
            };
            check_track(&due, Form::Made(*one, *other), Span::default(), media)?;
        }
    }
    let films = tracks.iter().filter(|track| track.video);
    let differs = films.zip(coded).find_map(|(track, coded)| coded.differs(&track.coded));
    differs.map_or(Ok(()), Err)
}

fn check_track(track: &TrackReport, form: Form, span: Span, media: Option<&MediaInfo>) -> Result<(), String> {
    let source_frame = media.and_then(MediaInfo::video).map_or(Duration::ZERO, frame);
    if let Form::Made(one, other) | Form::Possible(one, other) = form {
        check_form(track, (one, other))?;
    }
    let sort = sort(track.video);
    if track.packets == 0 {
        return Err(format!("has an empty {sort} track"));
    }
    if track.packets < track.pictures {
        return Err(format!("has {} pictures of {}", track.packets, track.pictures));
    }
    let length = track.end.saturating_sub(track.start);
    let source = decoded(track);
    // How long the last packet lasts, not every form says.
    let shown = if track.video { source_frame } else { Duration::ZERO };
    let frames = 2 * shown.max(usual_frame(track));
    let tolerance = Duration::from_millis(250).max(frames).max(source.mul_f64(0.01));
    // What is copied is cut where its packets allow.
    let cut = form == Form::Copied && !span.is_whole();
    if !cut && length.abs_diff(source) > tolerance {
        return Err(format!(
            "has {} of {sort}, and the source {}",
            seconds(length),
            seconds(source)
        ));
    }
    Ok(())
}

/// Whether a track that was encoded has the planned size, or the planned channels and rate.
fn check_form(track: &TrackReport, planned: (u32, u32)) -> Result<(), String> {
    let found = if track.video {
        (track.width, track.height)
    } else {
        (track.channels, track.rate)
    };
    if found == planned {
        return Ok(());
    }
    Err(if track.video {
        format!("shows {}x{}, not {}x{}", found.0, found.1, planned.0, planned.1)
    } else {
        format!(
            "has {} channels at {} Hz, not {} at {} Hz",
            found.0, found.1, planned.0, planned.1
        )
    })
}

/// How long a packet of the result lasts on average; no rule asks for less than one a second.
fn usual_frame(track: &TrackReport) -> Duration {
    let packets = u32::try_from(track.packets).unwrap_or(u32::MAX).max(1);
    (track.end.saturating_sub(track.start) / packets).min(Duration::from_secs(1))
}

fn decoded(track: &TrackReport) -> Duration {
    track.source_end.saturating_sub(track.source_start)
}

fn sort(video: bool) -> &'static str {
    if video { "video" } else { "sound" }
}

#[cfg(test)]
mod tests;
