//! The settings of tasks that look and listen: waveforms and inspections.

use super::kinds::LATER_OF_TASKS;
use crate::diagnostic::reader::Table;
use crate::rule::TaskKind;

/// A `waveform` task.
pub(super) fn waveform(table: Table<'_>) -> Option<TaskKind> {
    table.finish(&LATER_OF_TASKS);
    None
}

/// An `inspect` task.
pub(super) fn inspect(table: Table<'_>) -> Option<TaskKind> {
    table.finish(&LATER_OF_TASKS);
    None
}
