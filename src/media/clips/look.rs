//! Looks through the clips of a run before anything else is done, so that one that is no good does not end a task after hours.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use super::reader::{hold_few, open};
use super::{Clip, Reel, blame};
use crate::job::{ErrorKind, Failure};
use crate::media::assembly::{Gains, Mill, Tasks, Turn};
use crate::media::branch::{Branch, Ending, Opened, guard, hang, queue};
use crate::media::decoder;
use crate::media::demux::drain;
use crate::media::failure::internal;
use crate::media::probe::probe;
use crate::media::run::Pulse;
use crate::media::sound::measure::measure;
use crate::plan::{
    ClipPlan, ClipsPlan, Ends, HdrForm, MediaInfo, SoundPlan, Span, StreamKind, TracksPlan, TranscodePlan, Work,
    truncated,
};
use crate::rule::TaskId;

/// The clips of tasks.
pub type Reels = BTreeMap<TaskId, Arc<Reel>>;

/// What was found in a file.
#[derive(Clone)]
struct Found {
    media: MediaInfo,
    pictures: Duration,
    sound: Duration,
}

/// Looks through the clips of all of these tasks; answers what they are, and which tasks come to no good end for theirs.
pub fn look(works: &[(&TaskId, &Work)], pulse: &mut Pulse<'_>) -> (Reels, Vec<TaskId>) {
    let (mut reels, mut lost) = (Reels::new(), Vec::new());
    let mut known = BTreeMap::new();
    for (task, work) in works {
        let Work::Transcode(plan) = work else { continue };
        if plan.clips.is_empty() {
            continue;
        }
        match reel(task, plan, &mut known, pulse) {
            Ok(reel) => {
                reels.insert((*task).clone(), Arc::new(reel));
            }
            Err(failure) => {
                pulse.listener().task_failed(task, failure);
                lost.push((*task).clone());
            }
        }
        pulse.set_share(1.0);
    }
    (reels, lost)
}

fn reel<'a>(
    task: &TaskId,
    plan: &'a TranscodePlan,
    known: &mut BTreeMap<&'a str, Found>,
    pulse: &mut Pulse<'_>,
) -> Result<Reel, Failure> {
    let mut several = |clips: &'a [ClipPlan]| -> Result<Vec<Clip>, Failure> {
        let mut made = Vec::new();
        for clip in clips {
            let blamed = |failure: Failure| blame(&clip.shown, &failure);
            let found = match known.entry(&clip.file) {
                Entry::Occupied(found) => found.into_mut(),
                Entry::Vacant(place) => place.insert(through(task, &clip.file, pulse).map_err(blamed)?),
            };
            made.push(usable(task, plan, clip, found, pulse).map_err(blamed)?);
        }
        Ok(made)
    };
    Ok(Reel {
        head: several(&plan.clips.head)?,
        tail: several(&plan.clips.tail)?,
    })
}

/// A clip for this task, where it has what that needs.
fn usable(
    task: &TaskId,
    plan: &TranscodePlan,
    clip: &ClipPlan,
    found: &Found,
    pulse: &mut Pulse<'_>,
) -> Result<Clip, Failure> {
    let lacks = |what: &str| Failure::new(ErrorKind::Plan, what.to_owned());
    let is_image = |kind: &StreamKind| matches!(kind, StreamKind::Video(video) if video.is_image);
    if plan.picture.is_some() {
        match found.media.video() {
            None if found.media.streams.iter().any(|stream| is_image(&stream.kind)) => {
                return Err(lacks(
                    "it is a picture, which does not say how long it is shown: make a film of it",
                ));
            }
            None => return Err(lacks("it has no pictures, and the result shows some")),
            Some(film) if film.colour.hdr == Some(HdrForm::DolbyVision) => {
                return Err(lacks("nothing but Dolby Vision shows its colours"));
            }
            Some(_) if found.pictures.is_zero() => return Err(lacks("no picture of it could be decoded")),
            Some(_) => {}
        }
    } else if found.sound.is_zero() && found.pictures.is_zero() {
        return Err(lacks("nothing of it could be decoded"));
    }
    let mut gain = None;
    if plan.settings.audio.encoded().is_some() && !found.sound.is_zero() {
        let own = |kind: &StreamKind| matches!(kind, StreamKind::Audio(_));
        let stream = found.media.streams.iter().position(|stream| own(&stream.kind));
        let form = plan
            .tracks
            .sounds
            .first()
            .and_then(|sound| sound.form)
            .or(plan.clips.alone);
        let sound = stream
            .and_then(|stream| u32::try_from(stream).ok())
            .map(|stream| SoundPlan {
                stream,
                form,
                language: None,
            });
        let whole = Work::Transcode(Box::new(TranscodePlan {
            span: Span::default(),
            clips: ClipsPlan::default(),
            tracks: TracksPlan {
                sounds: sound.into_iter().collect(),
                ..TracksPlan::default()
            },
            ..plan.clone()
        }));
        let mut measured = measure(&open(&clip.file)?, &found.media, &[(task, &whole)], pulse)?;
        for (_, mut finding) in measured.findings {
            finding.message = format!("of the clip {}, {}", clip.shown, finding.message);
            pulse.listener().finding(Some(task), finding);
        }
        if let Some((_, failure)) = measured.lost.pop() {
            return Err(failure);
        }
        gain = measured
            .gains
            .get(task)
            .and_then(|gains| gains.values().next().copied());
    }
    Ok(Clip {
        file: clip.file.clone(),
        shown: clip.shown.clone(),
        media: found.media.clone(),
        pictures: found.pictures,
        sound: found.sound,
        gain,
    })
}

/// Decodes all of a clip.
fn through(task: &TaskId, file: &str, pulse: &mut Pulse<'_>) -> Result<Found, Failure> {
    // What is looked at is not what the run is about.
    pulse.set_share(0.0);
    let input = open(file)?;
    let media = probe(&input, &mut || pulse.beat(None, 0))?;
    decoder::listen();
    decoder::take_complaints();
    // Whatever it is, it is only looked at.
    let work = Work::Copy { file: String::new() };
    let works = [(task, &work)];
    let tasks = Tasks {
        works: &works,
        jump: None,
        turn: Turn::First,
        gains: &Gains::new(),
        reels: &Reels::new(),
    };
    let make = |name: &str, _: &TaskId, _: &Work, opened: Opened<'_>| -> Result<Box<dyn Branch>, Failure> {
        Ok(Box::new(Watch::new(name, opened)?))
    };
    let mut mill = Mill::build(&input, &media, tasks, 1, &make, pulse)?;
    if let Some(failure) = mill.failed.remove(task) {
        return Err(failure);
    }
    hold_few(&mill.medium);
    let done = mill.turn(pulse);
    let failed = mill.failed.remove(task);
    pulse.next_part();
    done?;
    failed.map_or(Ok(()), Err)?;
    let end = |meter: &Option<Arc<crate::media::meter::Meter>>| meter.as_ref().and_then(|meter| meter.span().end);
    let ends = Ends {
        video: end(&mill.video),
        audio: end(&mill.audio),
    };
    // It belongs to whoever wrote the rule, and would be the same in every result.
    if let Some(finding) = truncated(ends, &media).first() {
        let what = finding.message.replace("the source's", "its");
        return Err(Failure::new(ErrorKind::Truncated, format!("it was cut off: {what}")));
    }
    let heard = decoder::take_complaints();
    if heard.count > 0 {
        let what = format!("it is damaged: {}; encode it anew", heard.first.trim());
        return Err(Failure::new(ErrorKind::Corrupt, what));
    }
    Ok(Found {
        media,
        pictures: ends.video.unwrap_or_default(),
        sound: ends.audio.unwrap_or_default(),
    })
}

/// Takes everything, and does nothing with it.
struct Watch {
    bin: gst::Bin,
}

impl Watch {
    fn new(name: &str, opened: Opened<'_>) -> Result<Self, Failure> {
        let bin = gst::Bin::builder().name(name).build();
        if opened.film.is_some() {
            hang(&bin, "stored", &[guard()?, queue(4)?, drain()?])?;
        }
        if let Some(index) = opened.sound {
            hang(&bin, &format!("sound-{index}"), &[guard()?, queue(4)?, drain()?])?;
        }
        if opened.film.is_none() && opened.sound.is_none() {
            let still = opened
                .media
                .streams
                .iter()
                .any(|stream| matches!(stream.kind, StreamKind::Video(_)));
            let what = if still {
                "it is a picture, which does not say how long it is shown: make a film of it"
            } else {
                "it has neither pictures nor sound"
            };
            return Err(Failure::new(ErrorKind::Plan, what));
        }
        Ok(Self { bin })
    }
}

impl Branch for Watch {
    fn bin(&self) -> &gst::Bin {
        &self.bin
    }

    fn finish(self: Box<Self>, _: &mut Ending<'_, '_>) -> Result<(), Failure> {
        Err(internal("what is only looked at has no end"))
    }
}
