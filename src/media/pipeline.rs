//! A pipeline in a rule's own words: `{input}` becomes the run's source, `{output}` its file, and `{file}` the path of a copy
//! of the source.

use std::sync::Arc;
use std::time::Duration;

use gst::prelude::*;

use super::failure::{from_message, internal, plain};
use super::provenance;
use super::run::Pulse;
use super::source::{Input, MediaSource};
use crate::job::{ErrorKind, Failure};
use crate::plan::{PipelinePlan, SOURCE_FILE};
use crate::rule::TaskId;

/// What the elements in place of `{input}` and `{output}` are called.
const INPUT: &str = "reelmill-input";
const OUTPUT: &str = "reelmill-output";

/// Runs it to its end, and tells what ran.
///
/// # Errors
/// Where the line cannot be understood, or an element fails.
pub fn run(input: &Arc<Input>, task: &TaskId, plan: &PipelinePlan, pulse: &mut Pulse<'_>) -> Result<(), Failure> {
    let pipeline = build(input, plan)?;
    let ended = turn(&pipeline, pulse);
    let ran = provenance::of(pipeline.upcast_ref());
    pulse.listener().provenance(task, ran);
    let _ = pipeline.set_state(gst::State::Null);
    pulse.next_part();
    ended
}

fn build(input: &Arc<Input>, plan: &PipelinePlan) -> Result<gst::Pipeline, Failure> {
    // The source is our own, so it stands for an element of which only the place counts.
    let file = if plan.launch.contains("{file}") {
        source_file()?
    } else {
        String::new()
    };
    let line = plan
        .launch
        .replace("{input}", &format!("identity name={INPUT}"))
        .replace("{output}", &format!("filesink name={OUTPUT}"))
        .replace("{file}", &file);
    let parsed = gst::parse::launch(&line).map_err(|error| {
        let kind = if error.matches(gst::ParseError::NoSuchElement) {
            ErrorKind::Unsupported
        } else {
            ErrorKind::Plan
        };
        let said = plain(error.message());
        Failure::new(kind, format!("the launch line cannot be carried out: {said}"))
    })?;
    let pipeline = parsed.downcast::<gst::Pipeline>().or_else(|lone| {
        let pipeline = gst::Pipeline::new();
        pipeline.add(&lone).map_err(internal)?;
        Ok::<_, Failure>(pipeline)
    })?;
    let place = |name: &str| {
        let missing = || Failure::new(ErrorKind::Plan, "{input} and {output} must be elements of one pipeline");
        pipeline.by_name(name).ok_or_else(missing)
    };
    let sink = place(OUTPUT)?;
    sink.set_property("location", &plan.file);
    sink.set_property("sync", false);
    if !plan.launch.contains("{input}") {
        return Ok(pipeline);
    }
    let entry = place(INPUT)?;
    let home = entry
        .parent()
        .and_then(|parent| parent.downcast::<gst::Bin>().ok())
        .ok_or_else(|| internal("an element outside of every bin"))?;
    let source = MediaSource::over(input.clone(), Vec::new());
    let next = entry
        .static_pad("src")
        .and_then(|pad| pad.peer())
        .ok_or_else(|| Failure::new(ErrorKind::Plan, "nothing follows {input} in the launch line"))?;
    home.remove(&entry).map_err(internal)?;
    home.add(&source).map_err(internal)?;
    source
        .static_pad("src")
        .ok_or_else(|| internal("a source without a pad"))?
        .link(&next)
        .map_err(internal)?;
    Ok(pipeline)
}

/// The path of the copy of the source, as it can stand in a launch line.
fn source_file() -> Result<String, Failure> {
    let path = std::env::current_dir().map_err(internal)?.join(SOURCE_FILE);
    let path = path.to_str().ok_or_else(|| {
        Failure::new(
            ErrorKind::Plan,
            "the path of scratch is not UTF-8, so {file} cannot be written",
        )
    })?;
    let mut text = String::with_capacity(path.len());
    for one in path.chars() {
        if one.is_ascii() && !one.is_ascii_alphanumeric() && !"/._-".contains(one) {
            text.push('\\');
        }
        text.push(one);
    }
    Ok(text)
}

/// A medium is not to blame where the line leads packets to an element that cannot take them.
fn failure(error: &gst::message::Error) -> Failure {
    let debug = error.debug().map(|text| text.to_string()).unwrap_or_default();
    let why = if debug.contains("not-negotiated") {
        "gives what the next element cannot take: put a decoder, an encoder or a converter between them"
    } else if debug.contains("not-linked") {
        "gives what no element of the launch line takes"
    } else {
        return from_message(error);
    };
    let source = error.src().and_then(|source| source.downcast_ref::<gst::Element>());
    let name = source
        .and_then(gst::Element::factory)
        .map(|factory| factory.name().to_string());
    let name = name.unwrap_or_else(|| "an element".to_owned());
    Failure::new(ErrorKind::Plan, format!("{name} {why}"))
}

fn turn(pipeline: &gst::Pipeline, pulse: &mut Pulse<'_>) -> Result<(), Failure> {
    let bus = pipeline.bus().ok_or_else(|| internal("a pipeline without a bus"))?;
    let told = |bus: &gst::Bus| {
        let message = bus.pop_filtered(&[gst::MessageType::Error])?;
        match message.view() {
            gst::MessageView::Error(error) => Some(failure(error)),
            _ => None,
        }
    };
    if pipeline.set_state(gst::State::Playing).is_err() {
        return Err(told(&bus).unwrap_or_else(|| internal("the pipeline could not be started")));
    }
    loop {
        if let Some(message) = bus.timed_pop(gst::ClockTime::from_mseconds(100)) {
            match message.view() {
                gst::MessageView::Error(error) => return Err(failure(error)),
                gst::MessageView::Eos(_) => return Ok(()),
                gst::MessageView::Latency(_) => {
                    let _ = pipeline.recalculate_latency();
                }
                _ => {}
            }
        }
        let at = pipeline.query_position::<gst::ClockTime>().map(Duration::from);
        pulse.beat(at, 0);
    }
}
