//! The settings of tasks that make pictures: stills, sprites, animations.

use super::kinds::{LATER_OF_TASKS, size};
use super::or_default;
use crate::diagnostic::reader::{Table, Value};
use crate::rule::{ImageFormat, Moments, Snapshot, TaskKind};

/// A `snapshot` task.
pub(super) fn snapshot(mut table: Table<'_>) -> Option<TaskKind> {
    let later_way = ["every", "count"];
    let at = if later_way.iter().any(|key| table.has(key)) {
        table.get("at").map(|_| Vec::new())
    } else {
        table
            .require("at", "points of the medium: at = [\"10%\", \"5s\"]")
            .and_then(|value| {
                let points = value.list()?;
                if points.is_empty() || points.len() > 1000 {
                    value.error(
                        format!("`{}` needs 1 to 1000 points", value.path),
                        "at = [\"10%\", \"5s\"]",
                    );
                    return None;
                }
                let points: Vec<_> = points.iter().map(Value::point).collect();
                points.into_iter().collect()
            })
    };
    let format = or_default(table.get("format"), ImageFormat::Jpg, |value| {
        value.one_of(&[("jpg", ImageFormat::Jpg), ("png", ImageFormat::Png)], &["webp"])
    });
    let size = size(&mut table);
    let quality = or_default(table.get("quality"), 85, |value| value.count(1..=100));
    let mut later = LATER_OF_TASKS.to_vec();
    later.extend(["every", "count", "skip_black"]);
    table.finish(&later);
    Some(TaskKind::Snapshot(Snapshot {
        moments: Moments::At(at?),
        format: format?,
        size: size?,
        quality: u8::try_from(quality?).ok()?,
        skip_black: false,
    }))
}

/// A `sprite` task.
pub(super) fn sprite(table: Table<'_>) -> Option<TaskKind> {
    table.finish(&LATER_OF_TASKS);
    None
}

/// An `animation` task.
pub(super) fn animation(table: Table<'_>) -> Option<TaskKind> {
    table.finish(&LATER_OF_TASKS);
    None
}
