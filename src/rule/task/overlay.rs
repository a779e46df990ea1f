//! What is laid over the pictures of a film.

use super::Point;
use crate::rule::asset::{Asset, AssetUse};

/// What is laid over a film: rectangles that hide something, then pictures and words.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Cover {
    /// In the order of the rule, first of all.
    pub mosaics: Vec<Mosaic>,
    /// In the order of the rule, each over those before: at most 10.
    pub overlays: Vec<Overlay>,
}

impl Cover {
    /// The files that it needs.
    #[must_use]
    pub fn assets(&self) -> Vec<AssetUse> {
        let mut found = Vec::new();
        for overlay in &self.overlays {
            let (font, needed) = match &overlay.content {
                OverlayContent::Image { image, font } => {
                    found.push(AssetUse::needed(image.clone()));
                    if font.is_none() && !image.is_drawing() {
                        continue;
                    }
                    (font, font.is_some())
                }
                OverlayContent::Text(text) => (&text.font, true),
            };
            let asset = font.clone().unwrap_or(Asset::SystemFont);
            found.push(AssetUse::of(asset, needed));
        }
        found
    }
}

/// A length on a frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Measure {
    /// Pixels of the result.
    Pixels(u32),
    /// 0.0 ..= 100.0 of the frame's width or height, whichever way it is measured.
    Percent(f64),
}

/// When something is shown, in the time of the result.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shown {
    /// From here.
    pub from: Point,
    /// To here; none: to the end.
    pub to: Option<Point>,
    /// Within that, once in each of the first, for as long as the second.
    pub repeat: Option<(std::time::Duration, std::time::Duration)>,
}

/// A picture or words over a film.
#[derive(Debug, Clone, PartialEq)]
pub struct Overlay {
    /// What is shown.
    pub content: OverlayContent,
    /// Where on the frame ...
    pub corner: Corner,
    /// ... and how far from there, across and down: inwards, or right and down where it is centred.
    pub offset: (Measure, Measure),
    /// Width of a picture; none follows from the height, or is its own.
    pub width: Option<Measure>,
    /// Height of a picture; with a width the picture is as large as fits into both.
    pub height: Option<Measure>,
    /// 0.0 ..= 1.0.
    pub opacity: f64,
    /// When.
    pub shown: Shown,
}

/// What an overlay shows.
#[derive(Debug, Clone, PartialEq)]
pub enum OverlayContent {
    /// A PNG, JPEG or SVG file.
    Image {
        /// The file.
        image: Asset,
        /// For words in an SVG; none: one of the system, where there is one.
        font: Option<Asset>,
    },
    /// Words.
    Text(TextSpec),
}

/// Words over a film.
#[derive(Debug, Clone, PartialEq)]
pub struct TextSpec {
    /// With fields such as `{stem}`; see [`fill`].
    pub text: String,
    /// TrueType or OpenType; none: one of the system.
    pub font: Option<Asset>,
    /// Of the letters; in percent of the frame's height.
    pub size: Measure,
    /// Of the letters.
    pub color: Color,
    /// Around the letters.
    pub outline: Option<Color>,
}

/// Red, green, blue, and how opaque.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Color(pub [u8; 4]);

impl Color {
    /// Colors that have a name.
    pub const NAMED: [(&'static str, Self); 8] = [
        ("white", Self([255, 255, 255, 255])),
        ("black", Self([0, 0, 0, 255])),
        ("gray", Self([128, 128, 128, 255])),
        ("red", Self([255, 0, 0, 255])),
        ("green", Self([0, 128, 0, 255])),
        ("blue", Self([0, 0, 255, 255])),
        ("yellow", Self([255, 255, 0, 255])),
        ("orange", Self([255, 165, 0, 255])),
    ];

    /// The color of a name, of `#rrggbb`, or of `#rrggbbaa`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Some((_, color)) = Self::NAMED.iter().find(|(name, _)| *name == text) {
            return Some(*color);
        }
        let digits = text.strip_prefix('#')?;
        let plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = plain.then(|| u32::from_str_radix(digits, 16).ok())??;
        match digits.len() {
            6 => Some(Self((number << 8 | 0xff).to_be_bytes())),
            8 => Some(Self(number.to_be_bytes())),
            _ => None,
        }
    }
}

/// Places on a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Corner {
    /// At the top on the left.
    TopLeft,
    /// In the middle of the upper edge.
    Top,
    /// At the top on the right.
    TopRight,
    /// In the middle of the left edge.
    Left,
    /// In the middle.
    Center,
    /// In the middle of the right edge.
    Right,
    /// At the bottom on the left.
    BottomLeft,
    /// In the middle of the lower edge.
    Bottom,
    /// At the bottom on the right.
    BottomRight,
}

impl Corner {
    /// Every place, as rules write it.
    pub const ALL: [(&'static str, Self); 9] = [
        ("top-left", Self::TopLeft),
        ("top", Self::Top),
        ("top-right", Self::TopRight),
        ("left", Self::Left),
        ("center", Self::Center),
        ("right", Self::Right),
        ("bottom-left", Self::BottomLeft),
        ("bottom", Self::Bottom),
        ("bottom-right", Self::BottomRight),
    ];

    /// Where it lies across and down: -1 left or above, 0 in the middle, 1 right or below.
    #[must_use]
    pub fn sides(self) -> (i8, i8) {
        match self {
            Self::TopLeft => (-1, -1),
            Self::Top => (0, -1),
            Self::TopRight => (1, -1),
            Self::Left => (-1, 0),
            Self::Center => (0, 0),
            Self::Right => (1, 0),
            Self::BottomLeft => (-1, 1),
            Self::Bottom => (0, 1),
            Self::BottomRight => (1, 1),
        }
    }
}

/// A rectangle in which nothing can be made out.
#[derive(Debug, Clone, PartialEq)]
pub struct Mosaic {
    /// Where its left upper corner is, across and down.
    pub at: (Measure, Measure),
    /// Its width and height.
    pub size: (Measure, Measure),
    /// What becomes of it.
    pub effect: Effect,
    /// When.
    pub shown: Shown,
}

/// What becomes of a rectangle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Effect {
    /// Squares of one color, as wide as this; in percent of the rectangle's shorter side.
    Squares(Measure),
    /// Blurred over so far; likewise.
    Blur(Measure),
    /// Filled.
    Fill(Color),
}

/// Fields that words over a film may have.
pub const TEXT_FIELDS: [&str; 6] = ["stem", "name", "rule", "task", "date", "job"];

/// Puts values in place of `{stem}` and the like; `{{` and `}}` stand for braces.
///
/// # Errors
/// The byte at which something is wrong, and what.
pub fn fill(text: &str, value: impl Fn(&str) -> Option<String>) -> Result<String, (usize, String)> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let here = text.len() - rest.len() + at;
        filled.push_str(&rest[..at]);
        let (brace, after) = rest[at..].split_at(1);
        if let Some(after) = after.strip_prefix(brace) {
            filled.push_str(brace);
            rest = after;
            continue;
        }
        let field = after.split_once('}').filter(|_| brace == "{");
        let Some((field, after)) = field else {
            return Err((here, format!("`{brace}` has no partner")));
        };
        let Some(found) = value(field) else {
            return Err((here, format!("there is no field {{{}}}", field.escape_debug())));
        };
        filled.push_str(&found);
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colors_are_names_or_numbers() {
        assert_eq!(Color::parse("white"), Some(Color([255; 4])));
        assert_eq!(Color::parse("#102030"), Some(Color([16, 32, 48, 255])));
        assert_eq!(Color::parse("#10203040"), Some(Color([16, 32, 48, 64])));
        for wrong in ["", "#", "#fff", "#12345g", "#+12345", "White", "#1234567"] {
            assert_eq!(Color::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn fields_are_filled_and_braces_are_doubled() {
        let value = |field: &str| (field == "stem").then(|| "film".to_owned());
        assert_eq!(fill("a {stem}{{b}} {stem}", value).unwrap(), "a film{b} film");
        for (wrong, at) in [("{stem", 0), ("ab{no}", 2), ("a}b", 1), ("{{{", 2)] {
            assert_eq!(fill(wrong, value).unwrap_err().0, at, "{wrong}");
        }
    }
}
