//! What is laid over the pictures of a result, resolved against its frame and its length.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::run::Wanted;
use super::stills::place;
use crate::job::{ErrorKind, Failure};
use crate::rule::TaskId;
use crate::rule::asset::Asset;
use crate::rule::overlay::{Color, Corner, Cover, Effect, Measure, Overlay, OverlayContent, Shown, fill};

/// What is laid over each frame of a result.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct CoverPlan {
    /// First of all, in this order.
    pub mosaics: Vec<MosaicPlan>,
    /// Then these, each over those before.
    pub overlays: Vec<OverlayPlan>,
}

impl CoverPlan {
    /// Whether frames stay as they are.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.mosaics.is_empty() && self.overlays.is_empty()
    }
}

/// When something is shown, in the time of the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Window {
    /// From here.
    pub from: Duration,
    /// To here; none: to the end.
    pub to: Option<Duration>,
    /// From its beginning on, once in each of the first, for as long as the second.
    pub repeat: Option<(Duration, Duration)>,
}

/// A frame that comes this little before a window belongs to it: times are rounded on their way.
const ROUNDING: Duration = Duration::from_millis(1);

impl Window {
    /// Whether it is shown on the frame of this time.
    #[must_use]
    pub fn shows(&self, at: Duration) -> bool {
        let at = at + ROUNDING;
        let Some(since) = at.checked_sub(self.from) else {
            return false;
        };
        self.to.is_none_or(|to| at < to)
            && self
                .repeat
                .is_none_or(|(every, lasting)| since.as_nanos() % every.as_nanos().max(1) < lasting.as_nanos())
    }
}

/// A rectangle of a frame, in pixels; it lies within the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Area {
    /// Its left edge.
    pub x: u32,
    /// Its upper edge.
    pub y: u32,
    /// At least 1.
    pub width: u32,
    /// At least 1.
    pub height: u32,
}

/// A rectangle in which nothing can be made out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MosaicPlan {
    /// Where.
    pub area: Area,
    /// How.
    pub effect: EffectPlan,
    /// When.
    pub window: Window,
}

/// What becomes of a rectangle.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EffectPlan {
    /// Squares of one color, as wide as this.
    Squares(u32),
    /// Blurred over so far.
    Blur(u32),
    /// Filled.
    Fill(Color),
}

/// A picture or words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OverlayPlan {
    /// What.
    pub content: ContentPlan,
    /// Where on the frame ...
    pub corner: Corner,
    /// ... and how far from there in pixels, across and down.
    pub offset: (u32, u32),
    /// 0.0 ..= 1.0.
    pub opacity: f64,
    /// When.
    pub window: Window,
}

/// What an overlay shows. Files are names in scratch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContentPlan {
    /// A picture.
    Image {
        /// PNG, JPEG or SVG.
        file: String,
        /// What people call it.
        shown: String,
        /// For words in an SVG; it may be missing.
        font: Option<String>,
        /// Width in pixels; none follows from the height, or is the picture's own.
        width: Option<u32>,
        /// Height in pixels; with a width the picture is as large as fits into both.
        height: Option<u32>,
        /// Of its own size, where it has neither.
        scale: f64,
    },
    /// Words.
    Text {
        /// In lines.
        text: String,
        /// TrueType or OpenType.
        font: String,
        /// What people call that.
        shown: String,
        /// Of the letters in pixels.
        size: u32,
        /// Of the letters.
        color: Color,
        /// Around them.
        outline: Option<Color>,
    },
}

/// What floating numbers add to a whole one.
const FLOATING: f64 = 1e-6;

/// What something is laid over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    /// In pixels.
    pub size: (u32, u32),
    /// How many of its pixels show what one pixel of a rule does: less than 1 where this is a smaller form of a film.
    pub scale: f64,
}

impl Frame {
    /// A length as a rule gives it, where all of this side is so long.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a part of a side, which is not larger than it"
    )]
    fn pixels(self, measure: Measure, side: u32) -> u32 {
        match measure {
            Measure::Pixels(pixels) => (f64::from(pixels) * self.scale).round() as u32,
            Measure::Percent(percent) => (f64::from(side) * percent.clamp(0.0, 100.0) / 100.0).round() as u32,
        }
    }

    /// The part of a rectangle that lies on the frame, which shows what a frame of size `of` does. Pixels of which it has a part
    /// belong to it.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between zero and a side"
    )]
    fn area(self, of: (u32, u32), at: (Measure, Measure), size: (Measure, Measure)) -> Option<Area> {
        let edges = |side: u32, of: u32, at: Measure, length: Measure| {
            let exact = |measure: Measure| match measure {
                Measure::Pixels(pixels) => f64::from(pixels) * f64::from(side) / f64::from(of.max(1)),
                Measure::Percent(percent) => f64::from(side) * percent.clamp(0.0, 100.0) / 100.0,
            };
            let from = exact(at);
            let first = (from + FLOATING).floor() as u32;
            let end = (from + exact(length) - FLOATING).ceil() as u32;
            // Something of it is seen, however small.
            (first < side).then(|| (first, end.max(first + 1).min(side) - first))
        };
        let (x, width) = edges(self.size.0, of.0, at.0, size.0)?;
        let (y, height) = edges(self.size.1, of.1, at.1, size.1)?;
        Some(Area { x, y, width, height })
    }
}

/// Resolves what is laid over a film of this frame and length.
pub(super) fn cover(
    wanted: &Wanted<'_>,
    task: &TaskId,
    cover: &Cover,
    frame: Frame,
    length: Option<Duration>,
) -> Result<CoverPlan, Failure> {
    cover_form(wanted, task, cover, (frame, frame.size), length)
}

/// The same for a form of a film of which the largest has this size: pixels are those of that.
pub(super) fn cover_form(
    wanted: &Wanted<'_>,
    task: &TaskId,
    cover: &Cover,
    (frame, largest): (Frame, (u32, u32)),
    length: Option<Duration>,
) -> Result<CoverPlan, Failure> {
    let mosaics = cover.mosaics.iter().map(|mosaic| {
        let Some(area) = frame.area(largest, mosaic.at, mosaic.size) else {
            let (width, height) = frame.size;
            let outside = format!("a mosaic of task {task} lies outside of the frame of {width}x{height}");
            return Err(Failure::new(ErrorKind::Plan, outside));
        };
        let side = area.width.min(area.height);
        let effect = match mosaic.effect {
            Effect::Squares(of) => EffectPlan::Squares(frame.pixels(of, side).max(4)),
            Effect::Blur(of) => EffectPlan::Blur(frame.pixels(of, side).max(2)),
            Effect::Fill(color) => EffectPlan::Fill(color),
        };
        let window = window(mosaic.shown, length)?;
        Ok(MosaicPlan { area, effect, window })
    });
    let mosaics: Result<_, Failure> = mosaics.collect();
    let overlays = cover.overlays.iter();
    let overlays: Result<_, Failure> = overlays.map(|one| overlay(wanted, task, one, frame, length)).collect();
    Ok(CoverPlan {
        mosaics: mosaics?,
        overlays: overlays?,
    })
}

fn overlay(
    wanted: &Wanted<'_>,
    task: &TaskId,
    overlay: &Overlay,
    frame: Frame,
    length: Option<Duration>,
) -> Result<OverlayPlan, Failure> {
    let (wide, high) = frame.size;
    let font = |font: &Option<Asset>| font.as_ref().unwrap_or(&Asset::SystemFont).scratch_name();
    let content = match &overlay.content {
        OverlayContent::Image { image, font: own } => ContentPlan::Image {
            file: image.scratch_name(),
            shown: image.to_string(),
            font: (own.is_some() || image.is_drawing()).then(|| font(own)),
            width: overlay.width.map(|width| frame.pixels(width, wide).max(1)),
            height: overlay.height.map(|height| frame.pixels(height, high).max(1)),
            scale: frame.scale,
        },
        OverlayContent::Text(spec) => ContentPlan::Text {
            text: text(wanted, task, &spec.text)?,
            font: font(&spec.font),
            shown: spec.font.as_ref().unwrap_or(&Asset::SystemFont).to_string(),
            size: frame.pixels(spec.size, high).max(4),
            color: spec.color,
            outline: spec.outline,
        },
    };
    Ok(OverlayPlan {
        content,
        corner: overlay.corner,
        offset: (
            frame.pixels(overlay.offset.0, wide),
            frame.pixels(overlay.offset.1, high),
        ),
        opacity: overlay.opacity,
        window: window(overlay.shown, length)?,
    })
}

/// Words with their fields filled. What steers terminals or printers is no letter.
fn text(wanted: &Wanted<'_>, task: &TaskId, text: &str) -> Result<String, Failure> {
    let key = &wanted.object.key;
    let name = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let value = |field: &str| match field {
        "stem" => Some(name(key.stem())),
        "name" => Some(name(key.file_name())),
        "rule" => Some(wanted.rule.name.to_string()),
        "task" => Some(task.to_string()),
        "date" => Some(wanted.date.to_string()),
        "job" => Some(wanted.job.to_string()),
        _ => None,
    };
    let filled = fill(text, value).map_err(|(_, wrong)| Failure::new(ErrorKind::Plan, wrong))?;
    Ok(filled
        .chars()
        .filter(|c| *c == '\n' || !(c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}')))
        .collect())
}

fn window(shown: Shown, length: Option<Duration>) -> Result<Window, Failure> {
    Ok(Window {
        from: place(shown.from, length)?.unwrap_or_default(),
        to: shown
            .to
            .map(|to| place(to, length))
            .transpose()?
            .map(Option::unwrap_or_default),
        repeat: shown.repeat,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn windows_begin_with_their_first_frame_and_end_before_their_last() {
        let window = Window {
            from: at(1000),
            to: Some(at(2000)),
            repeat: None,
        };
        let shown: Vec<_> = (0..75).filter(|frame| window.shows(at(frame * 40))).collect();
        assert_eq!((shown.first(), shown.last(), shown.len()), (Some(&25), Some(&49), 25));
        // As media write it that count in milliseconds.
        assert!(window.shows(at(999)) && !window.shows(at(998)));
        assert!(Window::default().shows(at(0)));
    }

    #[test]
    fn what_repeats_is_counted_from_the_beginning_of_its_window() {
        let window = Window {
            from: at(1000),
            to: None,
            repeat: Some((at(1000), at(200))),
        };
        let shown: Vec<_> = (0..75).filter(|frame| window.shows(at(frame * 40))).collect();
        assert_eq!(shown, [25, 26, 27, 28, 29, 50, 51, 52, 53, 54]);
    }

    #[test]
    fn rectangles_are_cut_at_the_frame() {
        let area = |(wide, high): (u32, u32), of, at: (Measure, Measure), size: (Measure, Measure)| {
            let frame = Frame {
                size: (wide, high),
                scale: f64::from(wide.min(high)) / 360.0,
            };
            let area = frame.area(of, at, size)?;
            Some((area.x, area.y, area.width, area.height))
        };
        let (pixels, percent) = (Measure::Pixels, Measure::Percent);
        let (large, small) = ((640, 360), (320, 180));
        let at = (percent(90.0), pixels(10));
        let size = (percent(50.0), pixels(20));
        assert_eq!(area(large, large, at, size), Some((576, 10, 64, 20)));
        let size = (pixels(5), pixels(5));
        let at = (pixels(640), pixels(0));
        assert_eq!(area(large, large, at, size), None);
        assert_eq!(area(small, large, at, size), None);
        // Pixels of a smaller form that show anything of it.
        let at = (pixels(101), pixels(51));
        assert_eq!(area(large, large, at, size), Some((101, 51, 5, 5)));
        assert_eq!(area(small, large, at, size), Some((50, 25, 3, 3)));
        assert_eq!(
            area(small, large, at, (percent(10.0), percent(10.0))),
            Some((50, 25, 33, 19))
        );
    }

    #[test]
    fn what_is_hidden_at_the_edge_of_a_film_is_hidden_in_every_size() {
        let film = (1080, 1920);
        for size in [film, (360, 640), (240, 426), (136, 240), (16, 28)] {
            let frame = Frame {
                size,
                scale: f64::from(size.0) / 1080.0,
            };
            let two = (Measure::Pixels(2), Measure::Pixels(2));
            let area = frame.area(film, (Measure::Pixels(1078), Measure::Pixels(1918)), two);
            let area = area.unwrap_or_else(|| panic!("outside of {size:?}"));
            assert_eq!((area.x + area.width, area.y + area.height), size);
            assert!(
                area.x * 1080 <= 1078 * size.0 && area.y * 1920 <= 1918 * size.1,
                "{area:?}"
            );
        }
    }
}
