//! What daemon and worker say to each other over the control socket.
//!
//! A frame is a length (four bytes, big endian, at most [`MAX_FRAME`]) and that many bytes of JSON. The
//! daemon tells the terms ([`ToWorker::Begin`]), the worker is ready ([`FromWorker::Hello`]); then the daemon asks and the worker answers, one request at
//! a time, until the daemon closes the socket and the worker exits. The daemon believes nothing of it that it
//! has not checked.

use serde::{Deserialize, Serialize};

use super::jail::Terms;
use crate::job::{Failure, Finding};
use crate::plan::{MediaInfo, OutputReport, Provenance, RunPlan};
use crate::rule::TaskId;

/// Raised with every change of the messages; both sides must have the same.
pub const VERSION: u32 = 5;

/// The longest frame in bytes.
pub const MAX_FRAME: usize = 4 << 20;

/// The control socket's descriptor in the worker.
pub const CONTROL_FD: i32 = 3;

/// The input's descriptor in the worker: a file, or a socket to ask for ranges of it.
pub const INPUT_FD: i32 = 4;

/// From the daemon.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "message", rename_all = "snake_case")]
pub enum ToWorker {
    /// The first frame: shut yourself in. Answered by `Hello`.
    Begin {
        /// What to be shut in with.
        terms: Terms,
        /// The length of an input far away, which is read through a socket as [`super::ranges`] says.
        remote: Option<u64>,
    },
    /// Describe the input. Answered by `Progress` as it comes, and by one `Media` or `Failed`.
    Probe,
    /// Carry out a plan. Answered by `Progress`, `Output`, `Finding` and `TaskFailed` as they come, and by one `Done` or
    /// `Failed`.
    Run {
        /// What to do.
        plan: RunPlan,
    },
}

/// From the worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "message", rename_all = "snake_case")]
pub enum FromWorker {
    /// Ready, jailed, plugins loaded.
    Hello {
        /// [`VERSION`].
        protocol: u32,
        /// Of the program.
        version: String,
        /// Of GStreamer.
        gstreamer: String,
        /// The version of Landlock that holds; none without a jail.
        landlock: Option<u32>,
    },
    /// System calls that the jail does not know were answered as if the kernel had none of that name.
    Refused {
        /// Which, and how often.
        calls: Vec<(String, u32)>,
    },
    /// The answer to `Probe`.
    Media {
        /// What was found.
        media: Box<MediaInfo>,
    },
    /// At least every second while a run works.
    Progress(Progress),
    /// A file is complete in scratch and was read back.
    Output {
        /// By which task.
        task: TaskId,
        /// Name in scratch, as the plan says.
        file: String,
        /// Size in bytes.
        size: u64,
        /// What was found when it was read back.
        report: OutputReport,
    },
    /// How the outputs of a task come to be; before them.
    Provenance {
        /// Which task.
        task: TaskId,
        /// What runs.
        provenance: Provenance,
    },
    /// Something noticed; of one task, or of the whole run.
    Finding {
        /// Which task; none: all.
        task: Option<TaskId>,
        /// What.
        finding: Finding,
    },
    /// A task is over without success; the others go on.
    TaskFailed {
        /// Which.
        task: TaskId,
        /// Why.
        failure: Failure,
    },
    /// Every task of the run was reported by `Output`s that are complete, or by `TaskFailed`.
    Done,
    /// The request as a whole failed.
    Failed {
        /// Why.
        failure: Failure,
    },
}

/// How far a run is. Every counter only rises; stall detection watches that one of them moves.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// Position in the medium in nanoseconds.
    pub position_ns: u64,
    /// Length of the medium in nanoseconds, where known.
    pub duration_ns: Option<u64>,
    /// Buffers that passed the decoders or, where nothing is decoded, the parsers.
    pub buffers: u64,
    /// Bytes read from the input.
    pub bytes_read: u64,
}
