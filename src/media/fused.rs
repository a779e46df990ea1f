//! One decode for many tasks: source, one video and one audio decoder, what several tasks want alike, one branch a task.

use std::sync::Arc;

use gst::prelude::*;

use super::assembly::{BRANCH, Mill, Tasks, Turn, branch};
use super::branch::Ending;
use super::clips::Beside;
use super::decoder;
use super::failure::{from_message, internal};
use super::provenance;
use super::report::{report_damage, report_truncation};
use super::run::Pulse;
use super::source::Input;
use super::wiring::COMMON;
use crate::job::{ErrorKind, Failure};
use crate::plan::{Ends, MediaInfo};
use crate::rule::TaskId;

/// Carries out these tasks over one decode; answers which of them came to no good end.
///
/// # Errors
/// What ends the whole run.
pub fn run(
    input: &Arc<Input>,
    media: &MediaInfo,
    tasks: Tasks<'_>,
    threads: u32,
    pulse: &mut Pulse<'_>,
) -> Result<Vec<TaskId>, Failure> {
    decoder::listen();
    decoder::take_complaints();
    let mut mill = Mill::build(
        input,
        media,
        tasks,
        threads,
        &|name, _, work, opened| branch(name, work, opened, tasks.turn),
        pulse,
    )?;
    if let Some(length) = tasks.common_length(media.duration) {
        pulse.set_length(length);
    }
    if tasks.turn == Turn::First {
        pulse.lengthen(mill.beside().of);
    }
    let outcome = mill.turn(pulse);
    mill.tell_what_ran(pulse);
    // The files are whole only once their writers are gone.
    let _ = mill.medium.pipeline.set_state(gst::State::Null);
    pulse.next_part();
    for branch in mill.branches.values_mut() {
        branch.stopped();
    }
    outcome?;
    let damaged = mill.video.iter().chain(&mill.audio).map(|meter| meter.damaged()).sum();
    let again = tasks.turn == Turn::Second;
    // Before the results: a task may be published as soon as all of it is there. A part of a medium says nothing about
    // its end.
    let went_on = |task: &TaskId| !mill.failed.contains_key(task);
    let mut branches = mill.branches.iter();
    if !again && branches.any(|(task, branch)| went_on(task) && branch.reads_to_end()) {
        let ends = Ends {
            video: mill.video.as_ref().and_then(|meter| meter.span().end),
            audio: mill.audio.as_ref().and_then(|meter| meter.span().end),
        };
        report_truncation(media, ends, pulse);
    }
    // What the second look at a medium meets, the first has told of.
    if again {
        decoder::take_complaints();
    } else {
        report_damage(damaged, pulse);
    }
    let mut lost = Vec::new();
    for (task, _) in tasks.works {
        let branch = mill.branches.remove(*task);
        let failed = mill.failed.remove(*task);
        let done = match (branch, failed) {
            (Some(branch), None) => branch.finish(&mut Ending { task, media, pulse }),
            (branch, Some(failure)) => {
                if let Some(branch) = branch {
                    branch.abandon();
                }
                Err(failure)
            }
            (None, None) => Err(internal("a task without a branch")),
        };
        if let Err(failure) = done {
            pulse.listener().task_failed(task, failure);
            lost.push((*task).clone());
        }
    }
    Ok(lost)
}

impl Mill {
    /// Works until every branch has ended or failed.
    ///
    /// # Errors
    /// What ends the whole run.
    pub fn turn(&mut self, pulse: &mut Pulse<'_>) -> Result<(), Failure> {
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
                    gst::MessageView::Error(error) if decoder::forgives(error) => {}
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
            let beside = self.beside();
            let buffers: u64 = meters().map(|meter| meter.buffers()).sum();
            // Pictures are what takes the time; sound runs far ahead of them.
            let at = meters().next().and_then(|meter| meter.span().end);
            pulse.beat(Some(at.unwrap_or_default() + beside.at), buffers + beside.buffers);
        }
        Ok(())
    }

    /// How far its branches are with what is not of the medium: the one that has the most of it.
    fn beside(&self) -> Beside {
        let all = || self.branches.values().map(|branch| branch.beside());
        let longest = all().max_by_key(|beside| beside.of).unwrap_or_default();
        Beside {
            buffers: all().map(|beside| beside.buffers).sum(),
            ..longest
        }
    }

    /// While it still has its settings.
    fn tell_what_ran(&self, pulse: &mut Pulse<'_>) {
        for (task, branch) in &self.branches {
            let ran = provenance::of_branch(self.medium.pipeline.upcast_ref(), branch.bin());
            pulse.listener().provenance(task, ran);
        }
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
            // One of several tasks may be to blame, and alone each has its own.
            if object.name().starts_with(COMMON) {
                return Err(Failure::new(ErrorKind::Pipeline, failure.message));
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
