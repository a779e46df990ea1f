//! Streams that become files as they are.

use serde::{Deserialize, Serialize};

use super::run::{PlannedTask, Wanted};
use crate::job::{ErrorKind, Failure};
use crate::rule::{Extract, TaskId};

/// Streams to write as they are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExtractPlan {
    /// One file each.
    pub streams: Vec<ExtractedStream>,
}

/// A stream that becomes a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExtractedStream {
    /// Name in scratch.
    pub file: String,
    /// From 0, in the order of the container.
    pub index: u32,
}

/// What this task will do.
pub(super) fn extract(wanted: &Wanted<'_>, task: &TaskId, settings: &Extract) -> Result<PlannedTask, Failure> {
    let _ = (wanted, settings);
    Err(Failure::new(ErrorKind::Plan, format!("task {task} cannot be planned")))
}
