//! Waveforms and inspections, resolved against the medium.

use serde::{Deserialize, Serialize};

use super::run::{PlannedTask, Wanted};
use crate::job::{ErrorKind, Failure};
use crate::rule::{Inspect, TaskId, Waveform};

/// A waveform, resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WaveformPlan {
    /// Name of the PNG in scratch.
    pub picture: String,
    /// Name of the JSON in scratch.
    pub peaks: String,
    /// As the rule says.
    pub settings: Waveform,
}

/// An inspection, resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InspectPlan {
    /// Name of the JSON in scratch.
    pub file: String,
    /// As the rule says.
    pub settings: Inspect,
}

/// What this task will do.
pub(super) fn waveform(wanted: &Wanted<'_>, task: &TaskId, settings: &Waveform) -> Result<PlannedTask, Failure> {
    let _ = (wanted, settings);
    Err(Failure::new(ErrorKind::Plan, format!("task {task} cannot be planned")))
}

/// What this task will do.
pub(super) fn inspect(wanted: &Wanted<'_>, task: &TaskId, settings: &Inspect) -> Result<PlannedTask, Failure> {
    let _ = (wanted, settings);
    Err(Failure::new(ErrorKind::Plan, format!("task {task} cannot be planned")))
}
