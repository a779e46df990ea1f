//! The settings of tasks that make pictures: stills, sprites, animations.

use std::time::Duration;

use super::kinds::{LATER_OF_TASKS, size};
use super::or_default;
use super::transcode::part;
use crate::diagnostic::reader::{Table, Value};
use crate::rule::{
    Animation, AnimationFormat, ImageFormat, Moments, Point, Sides, SizeSpec, Snapshot, Sprite, TaskKind,
};

/// The nearest that stills and small pictures may be.
const NEAREST: Duration = Duration::from_millis(100);
/// The most small pictures of a sheet.
const MOST_CELLS: u32 = 100;
/// How wide a small picture is where the rule does not say.
const CELL_WIDTH: u32 = 160;
/// How wide an animation is where the rule does not say.
const ANIMATION_WIDTH: u32 = 480;

/// A `snapshot` task.
pub(super) fn snapshot(mut table: Table<'_>) -> Option<TaskKind> {
    let moments = moments(&mut table);
    let format = image_format(&mut table);
    let size = size(&mut table);
    let quality = quality(&mut table, 85);
    let skip_black = or_default(table.get("skip_black"), false, Value::boolean);
    table.finish(&LATER_OF_TASKS);
    Some(TaskKind::Snapshot(Snapshot {
        moments: moments?,
        format: format?,
        size: size?,
        quality: quality?,
        skip_black: skip_black?,
    }))
}

/// `at`, `every` or `count`.
fn moments(table: &mut Table<'_>) -> Option<Moments> {
    const HELP: &str = "at = [\"10%\", \"5s\"], every = \"10s\" or count = 10";
    let at = table.get("at");
    let every = table.get("every");
    let count = table.get("count");
    let further = [&at, &every, &count].into_iter().flatten().nth(1);
    if let Some(value) = further {
        value.key_error(
            "`at`, `every` and `count` exclude each other",
            "keep the one that matters",
        );
    }
    let several = further.is_some();
    let moments = match (at, every, count) {
        (None, None, None) => {
            table.missing("a snapshot needs `at`, `every` or `count`", HELP);
            None
        }
        (Some(value), _, _) => {
            let points = value.list()?;
            if points.is_empty() || points.len() > 1000 {
                value.error(
                    format!("`{}` needs 1 to 1000 points", value.path),
                    "at = [\"10%\", \"5s\"]",
                );
                return None;
            }
            let points: Vec<_> = points.iter().map(Value::point).collect();
            points.into_iter().collect::<Option<_>>().map(Moments::At)
        }
        (None, Some(value), _) => value.duration(NEAREST..=Duration::from_hours(24)).map(Moments::Every),
        (None, None, Some(value)) => value.count(1..=1000).map(Moments::Count),
    };
    moments.filter(|_| !several)
}

fn image_format(table: &mut Table<'_>) -> Option<ImageFormat> {
    or_default(table.get("format"), ImageFormat::Jpg, |value| {
        value.one_of(
            &[
                ("jpg", ImageFormat::Jpg),
                ("png", ImageFormat::Png),
                ("webp", ImageFormat::Webp),
            ],
            &[],
        )
    })
}

fn quality(table: &mut Table<'_>, usual: u32) -> Option<u8> {
    let quality = or_default(table.get("quality"), usual, |value| value.count(1..=100));
    quality.and_then(|quality| u8::try_from(quality).ok())
}

/// The size, so wide where the rule says nothing of it.
fn size_or(table: &mut Table<'_>, width: u32) -> Option<SizeSpec> {
    let size = size(table)?;
    Some(match (size.across, size.down) {
        (None, None) => SizeSpec {
            sides: Sides::WidthHeight,
            across: Some(width),
            ..size
        },
        _ => size,
    })
}

/// A `sprite` task.
pub(super) fn sprite(mut table: Table<'_>) -> Option<TaskKind> {
    let [rows, columns] = ["rows", "columns"].map(|key| {
        let value = table.get(key);
        let count = or_default(value.clone(), 10, |value| value.count(1..=MOST_CELLS));
        (value, count)
    });
    if let (Some(down), Some(across), Some(value)) = (rows.1, columns.1, columns.0.as_ref().or(rows.0.as_ref()))
        && down * across > MOST_CELLS
    {
        value.error(
            format!(
                "a sheet of {down} rows and {across} columns has {} pictures",
                down * across
            ),
            format!("rows times columns are at most {MOST_CELLS}"),
        );
    }
    let every = or_default(table.get("every"), None, |value| {
        value.duration(NEAREST..=Duration::from_hours(1)).map(Some)
    });
    let cell = size_or(&mut table, CELL_WIDTH);
    let format = image_format(&mut table);
    let quality = quality(&mut table, 75);
    table.finish(&LATER_OF_TASKS);
    let (rows, columns) = (rows.1?, columns.1?);
    (rows * columns <= MOST_CELLS).then_some(())?;
    Some(TaskKind::Sprite(Sprite {
        rows,
        columns,
        cell: cell?,
        every: every?,
        format: format?,
        quality: quality?,
    }))
}

/// An `animation` task.
pub(super) fn animation(mut table: Table<'_>) -> Option<TaskKind> {
    let format = or_default(table.get("format"), AnimationFormat::Gif, |value| {
        value.one_of(&[("gif", AnimationFormat::Gif), ("webp", AnimationFormat::Webp)], &[])
    });
    let written_end = table.get("end");
    let part = part(&mut table);
    let written = table.get("length");
    let length = or_default(written.clone(), None, |value| {
        value.duration(NEAREST..=Animation::LONGEST).map(Some)
    });
    let both = match (&written, &written_end) {
        (Some(value), Some(_)) => {
            value.key_error("`length` and `end` exclude each other", "keep the one that matters");
            true
        }
        _ => false,
    };
    let too_long = match part.map(|part| (part.start.unwrap_or(Point::Start(Duration::ZERO)), part.end)) {
        Some((Point::Start(start), Some(Point::Start(end)))) => end > start.saturating_add(Animation::LONGEST),
        _ => false,
    };
    if let (true, Some(value)) = (too_long, &written_end) {
        value.error("the animation would be longer than a minute", "a minute at most");
    }
    let fps = or_default(table.get("fps"), 10.0, |value| value.float(1.0..=30.0));
    let size = size_or(&mut table, ANIMATION_WIDTH);
    let quality = quality(&mut table, 75);
    table.finish(&LATER_OF_TASKS);
    if both || too_long {
        return None;
    }
    Some(TaskKind::Animation(Animation {
        format: format?,
        part: part?,
        length: length?,
        fps: fps?,
        size: size?,
        quality: quality?,
    }))
}
