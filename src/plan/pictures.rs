//! Sprites and animations, resolved against the medium.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::run::{PlannedTask, Wanted};
use super::{Picture, Span};
use crate::job::{ErrorKind, Failure};
use crate::rule::{Animation, Sprite, TaskId};

/// Sheets of small pictures, resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SpritePlan {
    /// Names of the sheets in scratch, the last of which may not be needed.
    pub sheets: Vec<String>,
    /// Name of the map in scratch.
    pub map: String,
    /// What the map calls the sheets, as many as `sheets`.
    pub names: Vec<String>,
    /// When each picture is shown, rising.
    pub at: Vec<Duration>,
    /// The frame of one picture.
    pub cell: Picture,
    /// As the rule says.
    pub settings: Sprite,
}

/// A short loop, resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AnimationPlan {
    /// Name in scratch.
    pub file: String,
    /// Only this part of the medium; it has an end.
    pub span: Span,
    /// The frame after rotation.
    pub picture: Picture,
    /// As the rule says.
    pub settings: Animation,
}

/// What this task will do.
pub(super) fn sprite(wanted: &Wanted<'_>, task: &TaskId, settings: &Sprite) -> Result<PlannedTask, Failure> {
    let _ = (wanted, settings);
    Err(Failure::new(ErrorKind::Plan, format!("task {task} cannot be planned")))
}

/// What this task will do.
pub(super) fn animation(wanted: &Wanted<'_>, task: &TaskId, settings: &Animation) -> Result<PlannedTask, Failure> {
    let _ = (wanted, settings);
    Err(Failure::new(ErrorKind::Plan, format!("task {task} cannot be planned")))
}
