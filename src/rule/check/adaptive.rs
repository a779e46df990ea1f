//! The settings of an `adaptive` task, and which of them go together.

use super::kinds::LATER_OF_TASKS;
use crate::diagnostic::reader::Table;
use crate::rule::TaskKind;

/// An `adaptive` task.
pub(super) fn adaptive(table: Table<'_>) -> Option<TaskKind> {
    table.finish(&LATER_OF_TASKS);
    None
}
