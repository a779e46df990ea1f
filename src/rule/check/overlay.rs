//! `overlay` and `mosaic` of a task that makes a film.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::or_default;
use crate::diagnostic::reader::{Table, Value};
use crate::rule::overlay::{
    Color, Corner, Cover, Effect, Measure, Mosaic, Overlay, OverlayContent, Shown, TEXT_FIELDS, TextSpec, fill,
};
use crate::rule::{Point, Track};

/// The most overlays, and the most rectangles, of a task.
const MOST: usize = 10;

const PIXELS: RangeInclusive<u32> = 0..=16384;

const COLOR: &str = "a color reads \"white\", \"#102030\" or, with how opaque it is, \"#10203080\"";

const WINDOW: &str = "[\"5s\"] from there on, or [\"5s\", \"30s\"]";

/// `overlay` and `mosaic`.
pub(super) fn cover(table: &mut Table<'_>) -> Option<Cover> {
    let mosaics = or_default(table.get("mosaic"), Vec::new(), |value| several(value, mosaic));
    let overlays = or_default(table.get("overlay"), Vec::new(), |value| several(value, overlay));
    Some(Cover {
        mosaics: mosaics?,
        overlays: overlays?,
    })
}

/// Only pictures that are encoded can be laid over.
pub(super) fn need_encoding<T>(table: &mut Table<'_>, video: Option<&Track<T>>) {
    if let Some(Track::Copy | Track::None) = video {
        for value in ["overlay", "mosaic"].into_iter().filter_map(|key| table.get(key)) {
            value.key_error(
                format!("`{}` has no effect: no video is encoded", value.path),
                "take it out, or let `video` be encoded",
            );
        }
    }
}

/// A list of tables.
fn several<T>(value: &Value<'_>, read: fn(Table<'_>) -> Option<T>) -> Option<Vec<T>> {
    if value.is_table() {
        let key = value.path.rsplit('.').next().unwrap_or_default();
        value.key_error(
            format!("`{}` is a list", value.path),
            format!("write [[{}]], or {key} = [{{ ... }}]", value.path),
        );
        return None;
    }
    let values = value.list()?;
    if values.len() > MOST {
        value.key_error(
            format!("`{}` has {} entries", value.path, values.len()),
            format!("at most {MOST}"),
        );
        return None;
    }
    let read: Vec<_> = values.iter().map(|one| read(one.table()?)).collect();
    read.into_iter().collect()
}

fn overlay(mut table: Table<'_>) -> Option<Overlay> {
    let (image, text) = (table.get("image"), table.get("text"));
    let font = or_default(table.get("font"), None, |value| value.asset().map(Some));
    let of_text = ["size", "color", "outline"];
    let of_image = ["width", "height"];
    let foreign: &[&str] = match (&image, &text) {
        (Some(_), Some(value)) => {
            value.key_error(
                "`image` and `text` exclude each other",
                "write an overlay for each of them",
            );
            &[]
        }
        (None, None) => {
            table.missing(
                "an overlay shows nothing",
                "add `image = \"logo.png\"` or `text = \"...\"`",
            );
            &[]
        }
        (Some(_), None) => &of_text,
        (None, Some(_)) => &of_image,
    };
    for key in foreign {
        if let Some(value) = table.get(key) {
            let (of, other) = if text.is_some() {
                ("text", "`size`")
            } else {
                ("an image", "`width`")
            };
            value.key_error(
                format!("`{}` has no effect on {of}", value.path),
                format!("take it out; {other} may be meant"),
            );
        }
    }
    let corner = or_default(table.get("corner"), Corner::TopRight, |value| {
        value.one_of(&Corner::ALL, &[])
    });
    let offset = table.get("offset");
    let usual = match corner.map(Corner::sides) {
        Some((0, 0)) => Measure::Pixels(0),
        _ => Measure::Percent(2.0),
    };
    let offset = or_default(offset, (usual, usual), |value| pair(value, 0..=16384));
    let opacity = or_default(table.get("opacity"), 1.0, |value| value.float(0.0..=1.0));
    let width = or_default(table.get("width"), None, |value| measure(value, 1..=16384).map(Some));
    let height = or_default(table.get("height"), None, |value| measure(value, 1..=16384).map(Some));
    let shown = shown(&mut table);
    let asset = image.as_ref().map(Value::asset);
    let spec = text.as_ref().map(|value| text_spec(value, &mut table));
    table.finish(&[]);
    let content = match (asset, spec) {
        (Some(image), None) => OverlayContent::Image {
            image: image?,
            font: font?,
        },
        (None, Some(spec)) => OverlayContent::Text(TextSpec { font: font?, ..spec? }),
        _ => return None,
    };
    Some(Overlay {
        content,
        corner: corner?,
        offset: offset?,
        width: width?,
        height: height?,
        opacity: opacity?,
        shown: shown?,
    })
}

fn text_spec(value: &Value<'_>, table: &mut Table<'_>) -> Option<TextSpec> {
    let text = value.text().and_then(|text| {
        let known = |field: &str| TEXT_FIELDS.contains(&field).then(String::new);
        if let Err((at, wrong)) = fill(text, known) {
            let fields: Vec<_> = TEXT_FIELDS.iter().map(|field| format!("{{{field}}}")).collect();
            let help = format!("fields are {}; {{{{ and }}}} stand for braces", fields.join(", "));
            value.error_within(at, format!("`{}`: {wrong}", value.path), help);
            return None;
        }
        if text.trim().is_empty() || text.chars().count() > 1000 {
            value.error(
                format!("`{}` shows nothing, or too much", value.path),
                "1 to 1000 characters",
            );
            return None;
        }
        Some(text.to_owned())
    });
    let size = or_default(table.get("size"), Measure::Percent(5.0), |value| {
        measure(value, 4..=4096)
    });
    let color = or_default(table.get("color"), Color([255; 4]), read_color);
    let outline = or_default(table.get("outline"), None, |value| {
        if value.is_word("none") {
            return Some(None);
        }
        read_color(value).map(Some)
    });
    Some(TextSpec {
        text: text?,
        font: None,
        size: size?,
        color: color?,
        outline: outline?,
    })
}

fn read_color(value: &Value<'_>) -> Option<Color> {
    let text = value.text()?;
    Color::parse(text).or_else(|| {
        value.error(format!("`{}` cannot be \"{}\"", value.path, text.escape_debug()), COLOR);
        None
    })
}

fn mosaic(mut table: Table<'_>) -> Option<Mosaic> {
    let mut side = |key: &str, least: u32| {
        let help = format!("`{key} = 100` in pixels, or `{key} = \"10%\"` of the frame");
        table
            .require(key, &help)
            .and_then(|value| measure(&value, least..=16384))
    };
    let (x, y) = (side("x", 0), side("y", 0));
    let (width, height) = (side("width", 1), side("height", 1));
    let effect = or_default(table.get("effect"), 'm', |value| {
        value.one_of(&[("mosaic", 'm'), ("blur", 'b'), ("fill", 'f')], &[])
    });
    let (strength, filled) = (table.get("strength"), table.get("color"));
    let foreign = if effect == Some('f') { &strength } else { &filled };
    if let (Some(_), Some(value)) = (effect, foreign) {
        value.key_error(
            format!("`{}` has no effect here", value.path),
            "`strength` is for \"mosaic\" and \"blur\", `color` for \"fill\"",
        );
    }
    let strength = or_default(strength, Measure::Percent(12.5), |value| measure(value, 2..=1024));
    let filled = or_default(filled, Color([0, 0, 0, 255]), read_color);
    let shown = shown(&mut table);
    table.finish(&[]);
    Some(Mosaic {
        at: (x?, y?),
        size: (width?, height?),
        effect: match effect? {
            'm' => Effect::Squares(strength?),
            'b' => Effect::Blur(strength?),
            _ => Effect::Fill(filled?),
        },
        shown: shown?,
    })
}

/// `during`, `every` and `for`.
fn shown(table: &mut Table<'_>) -> Option<Shown> {
    let whole = (Point::Start(Duration::ZERO), None);
    let during = or_default(table.get("during"), whole, |value| {
        let points: Option<Vec<Point>> = value.list()?.iter().map(Value::point).collect();
        match points?.as_slice() {
            [from] => Some((*from, None)),
            [Point::Start(from), Point::Start(to)] if from >= to => {
                value.error(format!("`{}` ends before it starts", value.path), WINDOW);
                None
            }
            [from, to] => Some((*from, Some(*to))),
            _ => {
                value.error(format!("`{}` needs one or two points", value.path), WINDOW);
                None
            }
        }
    });
    let span = Duration::from_millis(40)..=Duration::from_hours(24);
    let (every, lasting) = (table.get("every"), table.get("for"));
    if let (Some(value), None) | (None, Some(value)) = (&every, &lasting) {
        value.key_error(
            "`every` and `for` belong together",
            "`every = \"1m\"` and `for = \"5s\"`: the first 5 s of every minute",
        );
        return None;
    }
    let repeat = match (every, lasting) {
        (Some(every), Some(lasting)) => {
            let (period, shown) = (every.duration(span.clone()), lasting.duration(span));
            if let (Some(period), Some(shown)) = (period, shown)
                && shown >= period
            {
                lasting.error(
                    format!("`{}` is as long as `every`, so nothing repeats", lasting.path),
                    "a shorter time",
                );
            }
            Some((period?, shown?))
        }
        _ => None,
    };
    let (from, to) = during?;
    Some(Shown { from, to, repeat })
}

/// Two lengths: across and down.
fn pair(value: &Value<'_>, pixels: RangeInclusive<u32>) -> Option<(Measure, Measure)> {
    let sides: Vec<_> = value.list()?.iter().map(|one| measure(one, pixels.clone())).collect();
    let [across, down] = sides.as_slice() else {
        value.error(
            format!("`{}` needs two lengths", value.path),
            "across and down: [\"2%\", 10]",
        );
        return None;
    };
    Some(((*across)?, (*down)?))
}

/// A length on a frame: `24`, `"24px"` or `"10%"`.
fn measure(value: &Value<'_>, pixels: RangeInclusive<u32>) -> Option<Measure> {
    let (least, most) = (*pixels.start(), (*pixels.end()).min(*PIXELS.end()));
    let form = format!("a length reads 24 or \"24px\", from {least} to {most}, or \"10%\" of the frame");
    if !value.is_text() {
        return value.count(pixels).map(Measure::Pixels);
    }
    let text = value.text()?;
    let number = |text: &str| {
        let plain =
            !text.is_empty() && text.len() <= 12 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        plain.then(|| text.parse::<f64>().ok())?
    };
    let found = if let Some(percent) = text.strip_suffix('%') {
        number(percent)
            .filter(|percent| (0.0..=100.0).contains(percent) && (*percent > 0.0 || least == 0))
            .map(Measure::Percent)
    } else {
        let count = text.strip_suffix("px").unwrap_or(text).trim_end();
        let count = count.parse::<u32>().ok().filter(|count| pixels.contains(count));
        count.map(Measure::Pixels)
    };
    found.or_else(|| {
        value.error(format!("`{}` cannot be \"{}\"", value.path, text.escape_debug()), form);
        None
    })
}
