//! An adaptive package, resolved against the medium.

use serde::{Deserialize, Serialize};

use super::run::{PlannedTask, Wanted};
use crate::job::{ErrorKind, Failure};
use crate::object::ObjectKey;
use crate::rule::{Adaptive, TaskId};

/// An adaptive package, resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AdaptivePlan {
    /// How the names of all its files begin in scratch: `TASK.`
    pub prefix: String,
    /// The folder of its members, as its manifests name it: the job's own.
    pub folder: String,
    /// As the rule says.
    pub settings: Adaptive,
}

/// Where the files of a package go.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedPackage {
    /// By which task.
    pub task: TaskId,
    /// How the names of all its files begin in scratch.
    pub prefix: String,
    /// Names, without the prefix, of what players open first: they keep their names from job to job, and come last.
    pub fronts: Vec<String>,
    /// Names, without the prefix, that lie in a folder elsewhere, with their final keys.
    pub apart: Vec<(String, ObjectKey)>,
    /// Where the fronts go; ends with `/`.
    pub directory: Vec<u8>,
    /// Where the members go, below that.
    pub folder: String,
}

/// What this task will do.
pub(super) fn adaptive(wanted: &Wanted<'_>, task: &TaskId, settings: &Adaptive) -> Result<PlannedTask, Failure> {
    let _ = (wanted, settings);
    Err(Failure::new(ErrorKind::Plan, format!("task {task} cannot be planned")))
}
