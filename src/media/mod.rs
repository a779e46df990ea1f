//! The only user of GStreamer: describes a medium, decodes it once, and feeds every task of a run from that.
//!
//! Runs in the worker process alone. It reads the input that it is given and writes files into the current
//! directory, by names that the plan gives; it opens nothing else. What it finds goes to a [`Listener`].

mod album;
pub mod allowed;
mod animation;
mod assembly;
mod av1;
mod beginning;
mod black;
mod boxes;
mod branch;
mod clip;
mod clips;
mod colour;
mod copied;
mod decoder;
mod demux;
mod describe;
pub mod encoder;
mod extract;
mod failure;
mod flac;
mod flat;
mod flv;
mod fused;
mod guess;
mod inspect;
mod matroska;
mod meter;
mod mp4;
mod muxer;
mod mxf;
mod nero;
mod overlay;
mod own;
mod pace;
mod package;
mod picker;
mod pipeline;
mod place;
mod probe;
pub mod provenance;
mod readback;
mod reference;
mod refusal;
mod report;
mod run;
pub mod scale;
mod seek;
mod shared;
mod snapshot;
mod sound;
pub mod source;
mod sprite;
mod steps;
mod still;
mod tone;
mod tracks;
mod transcode;
mod twice;
mod vops;
mod vpx;
mod waveform;
mod wiring;
mod xing;

use std::time::Duration;

pub use run::{describe, run};

use crate::job::{Failure, Finding};
use crate::plan::{OutputReport, Provenance};
use crate::rule::TaskId;

/// How far a run is, as seen from inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    /// Position in the medium.
    pub at: Duration,
    /// Length of the medium, where known.
    pub of: Option<Duration>,
    /// Buffers that passed.
    pub buffers: u64,
    /// Bytes read from the input.
    pub bytes_read: u64,
}

/// Who is told what happens in a run.
pub trait Listener {
    /// Work goes on.
    fn progress(&mut self, position: Position);
    /// A file is complete and was read back.
    fn output(&mut self, task: &TaskId, file: &str, size: u64, report: OutputReport);
    /// How the outputs of a task come to be.
    fn provenance(&mut self, task: &TaskId, provenance: Provenance);
    /// Something was noticed.
    fn finding(&mut self, task: Option<&TaskId>, finding: Finding);
    /// A task is over without success.
    fn task_failed(&mut self, task: &TaskId, failure: Failure);
}
