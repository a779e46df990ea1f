//! What a transcode writes beside its film: sounds and subtitles, each on a pad of the muxer of its own.

mod blank;
mod captions;
mod chapters;
mod flags;
mod foreign;
mod groups;
mod index;
mod labels;
mod language;
mod matroska;
mod places;
mod sweep;
pub mod text;

use std::sync::Arc;

use gst::prelude::*;

pub use self::captions::Told;
use self::captions::{Captions, PGS};
pub use self::chapters::chapters;
pub use self::flags::Flags;
pub use self::places::Places;
use super::branch::{Opened, connect, guard, queue};
use super::clip::Sort;
use super::clips::Joining;
use super::copied::copy;
use super::demux::Stream;
use super::failure::internal;
use super::flat::{filler, flatten};
use super::meter::{Meter, Span};
use super::muxer;
use super::shared;
use super::sound::{self, Source};
use super::transcode::{flat_meter, lift_cover, watch};
use crate::job::{ErrorKind, Failure, Finding, FindingKind};
use crate::plan::{Lines, OutputReport, SoundPlan, TrackReport, TranscodePlan};
use crate::rule::Container;

/// Hangs every sound of the plan into the bin, in the order of the plan; answers what measures each.
///
/// # Errors
/// Where elements are missing or refuse a setting, or the container cannot hold what is to be copied.
pub fn sounds(
    bin: &gst::Bin,
    (head, places): (&gst::Element, &Places),
    plan: &TranscodePlan,
    opened: Opened<'_>,
    joining: Option<&Joining>,
) -> Result<Vec<Arc<Meter>>, Failure> {
    let sort = if plan.settings.copies() {
        Sort::Packets
    } else {
        Sort::Sound
    };
    let container = plan.settings.container;
    let latest = silence(plan, joining);
    let mut meters = Vec::new();
    for sound in &plan.tracks.sounds {
        let index = sound.stream as usize;
        let stream = stream(opened, index)?;
        let (name, chain, meter) = match (plan.settings.audio.encoded(), sound.form) {
            (Some(spec), Some(_)) if let Some((number, shared)) = shared::find(opened, plan, sound) => {
                let mut chain = vec![guard()?, queue(0)?];
                chain.extend(sound::parser(spec.codec)?);
                (format!("shared-{number}"), chain, shared.meter.clone())
            }
            (Some(spec), Some((channels, rate))) => {
                let source = Source::of(opened.media, index, opened.gain(index));
                let (mut chain, joined) = match joining {
                    Some(joining) => {
                        let (chain, exit) = joining.sound(spec, (channels, rate), source)?;
                        (chain, Some(exit))
                    }
                    None => (sound::encode(spec, channels, rate, source)?, None),
                };
                // It has no place for the time of a sample: what is late would be heard at once.
                let is_flat = container == Container::Mxf && joined.is_none();
                if is_flat {
                    chain.insert(2, filler()?);
                    chain
                        .get(1)
                        .and_then(|queue| queue.static_pad("sink"))
                        .iter()
                        .for_each(flatten);
                }
                // A muxer takes no sound before the pictures that belong to it; encoded, what waits is small.
                chain.push(queue(0)?);
                let own = watch(&chain, plan.span, sort)?;
                let meter = match &joined {
                    Some(exit) => Meter::on(exit),
                    None if is_flat => flat_meter(&chain).unwrap_or(own),
                    None => own,
                };
                (format!("sound-{index}"), chain, meter)
            }
            _ => {
                let mut chain = copy(container, head, stream, false)?;
                let is_flat = container == Container::Mxf && stream.media_type() == "audio/x-raw";
                if is_flat {
                    chain.insert(2, filler()?);
                    let entry = chain.get(1).and_then(|queue| queue.static_pad("sink"));
                    entry.iter().for_each(flatten);
                }
                let own = watch(&chain, plan.span, sort)?;
                let flat = is_flat.then(|| flat_meter(&chain)).flatten();
                (format!("packets-{index}"), chain, flat.unwrap_or(own))
            }
        };
        meters.push(meter);
        let last = connect(bin, &name, &chain)?;
        lift_cover(&last);
        if let Some(code) = &sound.language {
            language::say(&last, code);
        }
        last.set_offset(latest - own_silence(plan, sound.form));
        last.link(&muxer::entry(container, head, false)?).map_err(internal)?;
        places.leave_if_empty(&last);
    }
    Ok(meters)
}

/// By how many nanoseconds everything comes later, so that the silence that encoders put before a sound does not make that
/// late; there are forms whose index says where sounds begin.
pub fn silence(plan: &TranscodePlan, joining: Option<&Joining>) -> i64 {
    let sounds = plan.tracks.sounds.iter().map(|sound| sound.form);
    let alone = plan.clips.alone.filter(|_| joining.is_some_and(Joining::has_sound));
    let all = sounds.chain([alone]);
    all.map(|form| own_silence(plan, form)).max().unwrap_or(0)
}

fn own_silence(plan: &TranscodePlan, form: Option<(u32, u32)>) -> i64 {
    let Some((spec, (_, rate))) = plan.settings.audio.encoded().zip(form) else {
        return 0;
    };
    if plan.settings.container.has_index_in_front() || rate == 0 {
        return 0;
    }
    i64::from(sound::silence(spec.codec)) * 1_000_000_000 / i64::from(rate)
}

/// Hangs every stream of subtitles of the plan into the bin, in the order of the plan; answers what each tells of itself.
///
/// # Errors
/// Where elements are missing, or the container does not take a stream.
pub fn subtitles(
    bin: &gst::Bin,
    head: &gst::Element,
    plan: &TranscodePlan,
    opened: Opened<'_>,
    joining: Option<&Joining>,
) -> Result<Vec<Arc<Told>>, Failure> {
    let mut told = Vec::new();
    let later = joining.map(Joining::later).unwrap_or_default();
    for one in &plan.tracks.subtitles {
        let index = one.stream as usize;
        let stream = stream(opened, index)?;
        let is_known = stream.media_type() == PGS || muxer::takes_subtitles(head, &stream.caps);
        if one.lines == Lines::Kept && !is_known {
            return Err(Failure::new(
                ErrorKind::Unsupported,
                format!("stream {index} holds subtitles that the muxer does not take"),
            ));
        }
        let captions = Captions::new(one.lines, plan.span, plan.settings.copies(), later);
        told.push(captions.told());
        let chain = [guard()?, queue(0)?, captions.upcast()];
        let last = connect(bin, &format!("packets-{index}"), &chain)?;
        last.set_offset(silence(plan, joining));
        last.link(&muxer::subtitle_entry(head)?).map_err(internal)?;
    }
    Ok(told)
}

/// Takes sounds out of a finished file of which nothing came, puts right what is said of its tracks, and looks whether it has its
/// chapters.
///
/// # Errors
/// Where the file cannot be read or written, or is not what it should be.
pub fn complete(plan: &TranscodePlan, flags: &Flags, sounds: &[Span]) -> std::io::Result<()> {
    if plan.settings.container.has_index_in_front() {
        if sounds.iter().any(is_unheard) {
            places::void(&plan.file)?;
        }
        if !plan.tracks.chapters.is_empty() {
            index::has_chapters(&plan.file, plan.tracks.chapters.len())?;
        }
    }
    let flags = flags.of_heard(sounds);
    match plan.settings.container {
        Container::Mkv | Container::Webm => match matroska::mend(&plan.file, &flags) {
            // What a damaged source did not fill is missed when the file is read back, in better words.
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData && !flags.matter() => Ok(()),
            done => done,
        },
        Container::Mp4 | Container::Mov if flags.matter() => groups::mend(&plan.file, &flags),
        _ => Ok(()),
    }
}

/// Whether there is anything to put into a file.
///
/// # Errors
/// Where nothing came of the film, or of all there is.
pub fn any(plan: &TranscodePlan, film: Option<Span>, sounds: &[Span]) -> Result<(), Failure> {
    let none = |span: &Span| span.start.is_none();
    let lacks = match film {
        Some(film) if none(&film) => "picture",
        None if sounds.iter().all(none) => "sound",
        _ => return Ok(()),
    };
    Err(if plan.span.is_whole() {
        Failure::new(ErrorKind::Corrupt, format!("no {lacks} of the medium could be decoded"))
    } else {
        Failure::new(
            ErrorKind::NoSuchStream,
            format!("no {lacks} of the medium is in the wanted part"),
        )
    })
}

/// Whether all subtitles that were written are in what was read back.
///
/// # Errors
/// What is missing, in words.
pub fn all_there(told: &[Arc<Told>], report: &OutputReport) -> Result<(), String> {
    let OutputReport::Media { subtitles, .. } = report else {
        return Ok(());
    };
    let written = told.iter().filter(|told| told.lines() > 0).count();
    let found = subtitles.iter().filter(|packets| **packets > 0).count();
    if found < written {
        return Err(format!(
            "the result has {found} subtitle tracks with something in them, not {written}"
        ));
    }
    Ok(())
}

/// What is to be said of subtitles in which nothing was.
pub fn empty(told: &[Arc<Told>]) -> Option<Finding> {
    let empty = told.iter().filter(|told| told.lines() == 0).count();
    let message = match empty {
        0 => return None,
        1 => "1 subtitle track has nothing in it that is shown in this part of the film".to_owned(),
        count => format!("{count} subtitle tracks have nothing in them that is shown in this part of the film"),
    };
    Some(Finding {
        kind: FindingKind::StreamLeftOut,
        message,
    })
}

/// Nothing came of this sound.
pub fn is_unheard(sound: &Span) -> bool {
    sound.start.is_none()
}

/// Gives sounds of which nothing came their places in what was read back of a file, which has no such tracks; answers what is to
/// be said of them.
pub fn unheard(plan: &TranscodePlan, sounds: &[Span], report: &mut OutputReport) -> Vec<Finding> {
    let OutputReport::Media { tracks, .. } = report else {
        return Vec::new();
    };
    if !sounds.iter().any(is_unheard) || !plan.clips.is_empty() {
        return Vec::new();
    }
    let heard: Vec<_> = tracks.extract_if(.., |track| !track.video).collect();
    let is_left_out = heard.len() < sounds.len();
    let mut heard = heard.into_iter();
    for span in sounds {
        let track = if is_left_out && is_unheard(span) {
            Some(TrackReport::default())
        } else {
            heard.next()
        };
        tracks.extend(track.map(|track| TrackReport {
            source_start: span.start.unwrap_or_default(),
            source_end: span.end.unwrap_or_default(),
            ..track
        }));
    }
    tracks.extend(heard);
    let told = plan
        .tracks
        .sounds
        .iter()
        .zip(sounds)
        .filter(|(_, span)| is_unheard(span));
    let finding = |(sound, _): (&SoundPlan, _)| Finding {
        kind: FindingKind::StreamLeftOut,
        message: match (plan.span.is_whole(), sound.stream) {
            (false, stream) => format!("nothing of the sound of stream {stream} is in the wanted part"),
            (true, stream) => format!("stream {stream} is not in the result: there is no sound in it"),
        },
    };
    told.map(finding).collect()
}

fn stream(opened: Opened<'_>, index: usize) -> Result<&Stream, Failure> {
    opened.medium.streams.get(index).ok_or_else(|| {
        Failure::new(
            ErrorKind::NoSuchStream,
            "the medium has fewer streams than its probe said",
        )
    })
}
