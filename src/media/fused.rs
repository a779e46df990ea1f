//! One decode for many tasks: source, one video and one audio decoder, a tee each, one branch a task.

use std::fs::OpenOptions;
use std::sync::{Arc, PoisonError};

use gst::prelude::*;

use super::assembly::{BRANCH, Mill, Tasks};
use super::boxes;
use super::branch::Branch;
use super::decoder;
use super::encoder;
use super::failure::{from_message, internal, writing};
use super::muxer;
use super::readback::{self, Fed};
use super::report::{report_damage, report_stills, report_truncation};
use super::run::Pulse;
use super::source::Input;
use crate::job::Failure;
use crate::plan::{Ends, MediaInfo, TranscodePlan};
use crate::rule::{AudioCodec, TaskId, Track};

/// What the encoder puts before sound in Opus. Other forms have a place of their own for it.
const OPUS_SILENCE: u32 = 312;

/// Carries out these tasks over one decode.
///
/// # Errors
/// What ends the whole run.
pub fn run(
    input: &Arc<Input>,
    media: &MediaInfo,
    tasks: Tasks<'_>,
    threads: u32,
    pulse: &mut Pulse<'_>,
) -> Result<(), Failure> {
    decoder::listen();
    decoder::take_complaints();
    let mut mill = Mill::build(input, media, tasks, threads, pulse)?;
    if let Some(length) = tasks.common_length(media.duration) {
        pulse.set_length(length);
    }
    let outcome = mill.turn(pulse);
    // The files are whole only once their writers are gone.
    let _ = mill.medium.pipeline.set_state(gst::State::Null);
    pulse.next_part();
    for (_, plan) in tasks.transcodes {
        let _ = std::fs::remove_file(muxer::spool(&plan.file));
    }
    outcome?;
    let damaged = mill.video.iter().chain(&mill.audio).map(|meter| meter.damaged()).sum();
    // Before the results: a task may be published as soon as all of it is there. A part of a medium says nothing about
    // its end.
    let went_on = |task: &TaskId| !mill.failed.contains_key(task);
    let to_the_end = tasks.snapshots.iter().any(|(task, _)| went_on(task))
        || tasks
            .transcodes
            .iter()
            .any(|(task, plan)| went_on(task) && plan.span.is_whole());
    if to_the_end {
        let ends = Ends {
            video: mill.video.as_ref().and_then(|meter| meter.span().end),
            audio: mill.audio.as_ref().and_then(|meter| meter.span().end),
        };
        report_truncation(media, ends, pulse);
    }
    report_damage(damaged, pulse);
    for (task, plan) in tasks.transcodes {
        let fed = mill.branches.get(*task).map_or_else(Fed::default, Branch::fed);
        let done = match mill.failed.remove(*task) {
            Some(failure) => Err(failure),
            None => complete_index(plan, media)
                .and_then(|()| readback::media(&plan.file, &fed, &mut |buffers| pulse.beat(None, buffers))),
        };
        pulse.next_part();
        match done {
            Ok((size, report)) => pulse.listener().output(task, &plan.file, size, report),
            Err(failure) => {
                let _ = std::fs::remove_file(&plan.file);
                pulse.listener().task_failed(task, failure);
            }
        }
    }
    for (task, plan) in tasks.snapshots {
        if let Some(failure) = mill.failed.remove(*task) {
            pulse.listener().task_failed(task, failure);
            continue;
        }
        let Some(stills) = mill.stills.remove(*task) else {
            continue;
        };
        let mut stills = stills.lock().unwrap_or_else(PoisonError::into_inner);
        match stills.as_mut().map(|stills| stills.finish(media.duration)) {
            Ok(Ok(findings)) => {
                let written = stills.as_ref().map(|stills| stills.written.clone()).unwrap_or_default();
                report_stills(task, plan, &written, findings, pulse);
            }
            Ok(Err(failure)) => pulse.listener().task_failed(task, failure),
            Err(failure) => pulse.listener().task_failed(task, failure.clone()),
        }
    }
    Ok(())
}

/// Muxers do not write which way a film that was copied is turned, nor where sound begins.
fn complete_index(plan: &TranscodePlan, media: &MediaInfo) -> Result<(), Failure> {
    let settings = &plan.settings;
    if !settings.container.has_index_in_front() {
        return Ok(());
    }
    let turned = media.video().map_or(0, |video| video.rotation);
    let turns = turned != 0 && matches!(settings.video, Track::Copy) && settings.container.keeps_rotation();
    let silent = settings.audio.encoded().map_or(0, |spec| match spec.codec {
        AudioCodec::Opus => OPUS_SILENCE,
        codec => encoder::silence(codec),
    });
    let complete = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().read(true).write(true).open(&plan.file)?;
        if turns {
            boxes::turn(&mut file, turned)?;
        }
        if settings.audio.is_some() {
            boxes::prime(&mut file, silent)?;
        }
        Ok(())
    };
    match complete() {
        // A track that a damaged source did not fill is missed when the file is read back, in better words.
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => Ok(()),
        done => done.map_err(|error| writing(&plan.file, &error)),
    }
}

impl Mill {
    /// Works until every branch has ended or failed.
    fn turn(&mut self, pulse: &mut Pulse<'_>) -> Result<(), Failure> {
        let bus = self
            .medium
            .pipeline
            .bus()
            .ok_or_else(|| internal("a pipeline without a bus"))?;
        self.medium.release();
        self.medium.pipeline.set_state(gst::State::Playing).map_err(internal)?;
        while !self.open.is_empty() {
            if let Some(message) = bus.timed_pop(gst::ClockTime::from_mseconds(100)) {
                match message.view() {
                    gst::MessageView::Error(error) => self.take_error(error)?,
                    gst::MessageView::Element(element) => {
                        if let Some(ended) = forwarded_end(element) {
                            self.open.remove(&ended);
                        }
                    }
                    gst::MessageView::Warning(warning) => decoder::hear(warning),
                    gst::MessageView::Eos(_) => self.open.clear(),
                    _ => {}
                }
            }
            let meters = || self.video.iter().chain(&self.audio);
            let buffers = meters().map(|meter| meter.buffers()).sum();
            // Pictures are what takes the time; sound runs far ahead of them.
            let at = meters().next().and_then(|meter| meter.span().end);
            pulse.beat(at, buffers);
        }
        Ok(())
    }

    fn take_error(&mut self, error: &gst::message::Error) -> Result<(), Failure> {
        let failure = from_message(error);
        let mut at = error.src().cloned();
        while let Some(object) = at {
            if let Some(task) = self.open.remove(object.name().as_str()) {
                self.failed.insert(task, failure);
                return Ok(());
            }
            // A branch that failed or ended already may say more.
            if object.name().starts_with(BRANCH) {
                return Ok(());
            }
            at = object.parent();
        }
        Err(failure)
    }
}

fn forwarded_end(message: &gst::message::Element) -> Option<String> {
    let fields = message
        .structure()
        .filter(|fields| fields.name() == "GstBinForwarded")?;
    let inner = fields.get::<gst::Message>("message").ok()?;
    matches!(inner.view(), gst::MessageView::Eos(_))
        .then(|| inner.src().map(|source| source.name().to_string()))
        .flatten()
}
