//! The settings of an `extract` task.

use super::kinds::LATER_OF_TASKS;
use crate::diagnostic::reader::Table;
use crate::rule::TaskKind;

/// An `extract` task.
pub(super) fn extract(table: Table<'_>) -> Option<TaskKind> {
    table.finish(&LATER_OF_TASKS);
    None
}
