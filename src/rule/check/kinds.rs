//! What a task is to do: the settings of kinds that need few words, and the size of pictures.

use std::ops::RangeInclusive;

use super::allow::allow;
use super::or_default;
use crate::diagnostic::reader::{Table, Value};
use crate::rule::{Fit, Grants, Pipeline, Sides, SizeSpec, TaskKind};

/// Keys of every kind of task that a later version will have.
pub(super) const LATER_OF_TASKS: [&str; 1] = ["if"];
const SIDES: RangeInclusive<u32> = 16..=16384;

/// `width` and `height` or `long_side` and `short_side`, `fit`, `upscale`.
pub(super) fn size(table: &mut Table<'_>) -> Option<SizeSpec> {
    let names = [("width", "height"), ("long_side", "short_side")];
    let mut side = |key| {
        let value = table.get(key);
        let side = or_default(value.clone(), None, |value| {
            if value.is_zero() {
                Some(None)
            } else {
                value.count(SIDES).map(Some)
            }
        });
        (value, side)
    };
    let [flat, standing] = names.map(|(across, down)| (side(across), side(down)));
    let ((across, down), sides) = match (&flat, &standing) {
        (((None, _), (None, _)), ((None, _), (None, _))) => ((flat.0.1, flat.1.1), Sides::WidthHeight),
        (((None, _), (None, _)), _) => ((standing.0.1, standing.1.1), Sides::LongShort),
        (_, ((None, _), (None, _))) => ((flat.0.1, flat.1.1), Sides::WidthHeight),
        (_, ((one, _), (other, _))) => {
            if let Some(value) = one.as_ref().or(other.as_ref()) {
                value.key_error(
                    "`width` and `height` exclude `long_side` and `short_side`",
                    "keep the pair that matters",
                );
            }
            return None;
        }
    };
    let fit_value = table.get("fit");
    let fit = or_default(fit_value.clone(), Fit::Contain, |value| {
        value.one_of(
            &[
                ("contain", Fit::Contain),
                ("pad", Fit::Pad),
                ("blur-fill", Fit::BlurFill),
                ("cover", Fit::Cover),
                ("stretch", Fit::Stretch),
            ],
            &[],
        )
    });
    if let (Some(value), Some(found)) = (&fit_value, fit)
        && found != Fit::Contain
        && (across == Some(None) || down == Some(None))
    {
        let (one, other) = names[usize::from(sides == Sides::LongShort)];
        value.error(
            format!("`{}` needs a frame to fit into", value.path),
            format!("give both `{one}` and `{other}`"),
        );
    }
    let upscale = or_default(table.get("upscale"), false, Value::boolean);
    let size = SizeSpec {
        sides,
        across: across?,
        down: down?,
        fit: fit?,
        upscale: upscale?,
    };
    Some(size)
}

/// A `pipeline` task.
pub(super) fn pipeline(mut table: Table<'_>) -> Option<TaskKind> {
    let launch = table
        .require(
            "launch",
            "a GStreamer launch line: launch = \"{input} ! decodebin ! audioconvert ! wavenc ! {output}\"",
        )
        .and_then(|value| {
            let text = value.text()?;
            let mut sound = true;
            let path = text.contains("{file}");
            for place in ["{input}", "{output}"] {
                let count = text.matches(place).count();
                if count != 1 && !(place == "{input}" && path && count == 0) {
                    sound = false;
                    value.error(
                        format!("`{}` must have {place} once", value.path),
                        "{input} stands for the source element, {output} for the sink",
                    );
                }
            }
            sound.then(|| text.to_owned())
        });
    let extension = table
        .require(
            "extension",
            "the ending of the file that it writes: extension = \"wav\"",
        )
        .and_then(|value| {
            let text = value.text()?;
            let plain = (1..=16).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
            if !plain {
                let message = format!("\"{}\" is no extension", text.escape_debug());
                value.error(message, "1 to 16 letters and digits, without a dot");
            }
            plain.then(|| text.to_lowercase())
        });
    let allow = or_default(table.get("allow"), Grants::default(), allow);
    table.finish(&LATER_OF_TASKS);
    Some(TaskKind::Pipeline(Pipeline {
        launch: launch?,
        extension: extension?,
        allow: allow?,
    }))
}
