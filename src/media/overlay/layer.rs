//! Draws what is laid over frames: a picture of its own, as large as on the frame.

use std::fmt::Write as _;
use std::io::Cursor;
use std::sync::Arc;

use image::{DynamicImage, ImageDecoder, ImageReader, RgbaImage, imageops};
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg;

use crate::job::{ErrorKind, Failure};
use crate::media::failure::internal;
use crate::plan::{Area, ContentPlan, OverlayPlan};
use crate::rule::overlay::{Color, Corner};

/// No picture has more pixels, neither as it comes nor as it is shown: all of them are in memory at once, with up to twelve bytes each.
const MOST_PIXELS: u64 = 25_000_000;

/// What is said where it has.
const TOO_MANY: &str = "which is more than 25 million: make it smaller";

/// Lines of text are so far apart, in sizes of its letters.
const LINE: f32 = 1.25;

/// How wide an outline is, in sizes of letters.
const OUTLINE: f32 = 0.12;

/// A drawing and its place on the frame; it may stand out.
pub struct Layer {
    /// Of its left edge.
    pub x: i64,
    /// Of its upper edge.
    pub y: i64,
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// Red, green and blue times how opaque, and that: a byte each.
    pub rgba: Vec<u8>,
}

impl Layer {
    /// A rectangle of one color.
    pub fn filled(area: Area, Color([red, green, blue, opaque]): Color) -> Self {
        let part = |color: u8| part(color, opaque);
        let pixel = [part(red), part(green), part(blue), opaque];
        let count = area.width as usize * area.height as usize;
        Self {
            x: i64::from(area.x),
            y: i64::from(area.y),
            width: area.width,
            height: area.height,
            rgba: pixel.repeat(count),
        }
    }

    /// A picture or words.
    ///
    /// # Errors
    /// Where the file is no picture or no font.
    pub fn draw(plan: &OverlayPlan, frame: (u32, u32)) -> Result<Self, Failure> {
        let (width, height, mut rgba) = match &plan.content {
            ContentPlan::Image {
                file,
                shown,
                font,
                width,
                height,
                scale,
            } => {
                let size = Size {
                    wanted: (*width, *height),
                    scale: *scale,
                };
                picture(file, shown, font.as_deref(), size)?
            }
            ContentPlan::Text { .. } => {
                let most = frame.0.saturating_sub(2 * plan.offset.0).max(frame.0 / 4).max(1);
                words(&plan.content, plan.corner, most)?
            }
        };
        if plan.opacity < 1.0 {
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "no byte gets larger"
            )]
            for byte in &mut rgba {
                *byte = (f64::from(*byte) * plan.opacity.max(0.0)).round() as u8;
            }
        }
        let place = |side: i8, frame: u32, length: u32, offset: u32| {
            let (free, offset) = (i64::from(frame) - i64::from(length), i64::from(offset));
            match side {
                -1 => offset,
                0 => free / 2 + offset,
                _ => free - offset,
            }
        };
        let (across, down) = plan.corner.sides();
        Ok(Self {
            x: place(across, frame.0, width, plan.offset.0),
            y: place(down, frame.1, height, plan.offset.1),
            width,
            height,
            rgba,
        })
    }
}

type Drawn = (u32, u32, Vec<u8>);

/// A color times how opaque it is.
fn part(color: u8, opaque: u8) -> u8 {
    let whole = u16::from(color) * u16::from(opaque);
    u8::try_from((whole + 127) / 255).unwrap_or(u8::MAX)
}

fn unusable(what: &str, why: &str) -> Failure {
    Failure::new(ErrorKind::Plan, format!("{what} cannot be laid over the film: {why}"))
}

fn read(file: &str) -> Result<Vec<u8>, Failure> {
    std::fs::read(file).map_err(|error| Failure::new(ErrorKind::Io, format!("{file} cannot be read: {error}")))
}

fn picture(file: &str, shown: &str, font: Option<&str>, size: Size) -> Result<Drawn, Failure> {
    let bytes = read(file)?;
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    if text.trim_ascii_start().starts_with(b"<") {
        return drawing(&bytes, shown, font, size);
    }
    let image = decoded(&bytes).map_err(|error| unusable(shown, &error))?;
    let (width, height) = size.of((f64::from(image.width()), f64::from(image.height())));
    bounded(width, height).ok_or_else(|| unusable(shown, &too_large(width, height)))?;
    let mut image = image.into_rgba8();
    for pixel in image.pixels_mut() {
        let [red, green, blue, opaque] = pixel.0;
        pixel.0 = [part(red, opaque), part(green, opaque), part(blue, opaque), opaque];
    }
    if (image.width(), image.height()) != (width, height) {
        image = imageops::resize(&image, width, height, imageops::FilterType::Triangle);
    }
    Ok((width, height, RgbaImage::into_raw(image)))
}

/// A PNG or JPEG, upright.
fn decoded(bytes: &[u8]) -> Result<DynamicImage, String> {
    let mut reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|error| error.to_string())?;
    if reader.format().is_none() {
        return Err("it is neither PNG, JPEG nor SVG".to_owned());
    }
    let mut limits = image::Limits::default();
    limits.max_alloc = Some(MOST_PIXELS * 8);
    reader.limits(limits);
    let wrong = |error: image::ImageError| match error {
        image::ImageError::Unsupported(_) => "it is neither PNG, JPEG nor SVG".to_owned(),
        other => other.to_string(),
    };
    let mut decoder = reader.into_decoder().map_err(wrong)?;
    let (width, height) = decoder.dimensions();
    bounded(width, height).ok_or_else(|| format!("it has {width}x{height} pixels, {TOO_MANY}"))?;
    let turned = decoder.orientation().map_err(wrong)?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(wrong)?;
    image.apply_orientation(turned);
    Ok(image)
}

fn too_large(width: u32, height: u32) -> String {
    format!("it would be shown with {width}x{height} pixels, {TOO_MANY}")
}

fn bounded(width: u32, height: u32) -> Option<()> {
    (u64::from(width) * u64::from(height) <= MOST_PIXELS).then_some(())
}

/// How large a picture is to be shown.
#[derive(Debug, Clone, Copy)]
struct Size {
    /// So wide, or so high, or as large as fits into both.
    wanted: (Option<u32>, Option<u32>),
    /// Or so many times its own size.
    scale: f64,
}

impl Size {
    /// That of a picture which has this one.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "such a cast keeps within the range"
    )]
    fn of(self, (width, height): (f64, f64)) -> (u32, u32) {
        let by = |wanted: Option<u32>, side: f64| wanted.map(|wanted| f64::from(wanted) / side.max(0.001));
        let scale = match (by(self.wanted.0, width), by(self.wanted.1, height)) {
            (Some(one), Some(other)) => one.min(other),
            (one, other) => one.or(other).unwrap_or(self.scale),
        };
        let side = |length: f64| (length * scale).round().clamp(1.0, 65_535.0) as u32;
        (side(width), side(height))
    }
}

/// Drawings see no files, and of fonts only this one.
fn options(font: Option<Vec<u8>>) -> usvg::Options<'static> {
    let mut options = usvg::Options {
        image_href_resolver: usvg::ImageHrefResolver {
            resolve_data: Box::new(|_, _, _| None),
            resolve_string: Box::new(|_, _| None),
        },
        ..usvg::Options::default()
    };
    let mut fonts = usvg::fontdb::Database::new();
    if let Some(font) = font {
        fonts.load_font_data(font);
    }
    let family = fonts
        .faces()
        .find_map(|face| face.families.first())
        .map(|(name, _)| name.clone());
    if let Some(family) = family {
        // Whatever a drawing asks for, it gets this one.
        fonts.set_sans_serif_family(&family);
        fonts.set_serif_family(&family);
        fonts.set_monospace_family(&family);
        options.font_family = family;
    }
    options.fontdb = Arc::new(fonts);
    options
}

fn drawing(bytes: &[u8], shown: &str, font: Option<&str>, size: Size) -> Result<Drawn, Failure> {
    // It may have no words.
    let font = font.and_then(|font| std::fs::read(font).ok());
    let tree = usvg::Tree::from_data(bytes, &options(font)).map_err(|error| unusable(shown, &error.to_string()))?;
    let own = tree.size();
    let (width, height) = size.of((f64::from(own.width()), f64::from(own.height())));
    bounded(width, height).ok_or_else(|| unusable(shown, &too_large(width, height)))?;
    let scale = Transform::from_scale(width as f32 / own.width(), height as f32 / own.height());
    render(&tree, scale, width, height)
}

fn render(tree: &usvg::Tree, by: Transform, width: u32, height: u32) -> Result<Drawn, Failure> {
    let mut map = Pixmap::new(width, height).ok_or_else(|| internal("a drawing without a size"))?;
    resvg::render(tree, by, &mut map.as_mut());
    Ok((width, height, map.take()))
}

/// Words, no wider than `most`.
fn words(content: &ContentPlan, corner: Corner, most: u32) -> Result<Drawn, Failure> {
    let ContentPlan::Text {
        text,
        font,
        shown,
        size,
        color,
        outline,
    } = content
    else {
        return Err(internal("words that are none"));
    };
    if text.chars().all(is_blank) {
        return Ok((1, 1, vec![0; 4]));
    }
    let options = options(Some(read(font)?));
    if options.fontdb.is_empty() {
        return Err(unusable(shown, "it is no TrueType or OpenType font"));
    }
    let svg = svg(text, *size, *color, *outline, corner);
    let tree = usvg::Tree::from_str(&svg, &options).map_err(|error| internal(error.to_string()))?;
    let ink = tree.root().abs_stroke_bounding_box();
    // However thin it is, a letter is somewhere.
    if ink.width() <= 0.0 && ink.height() <= 0.0 {
        return Err(unusable(shown, "it has none of the letters of the text"));
    }
    let scale = (most as f32 / (ink.width() + 2.0)).min(1.0);
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "letters are bounded by the frame"
    )]
    let side = |length: f32| ((length * scale).ceil() + 2.0).clamp(1.0, 65_535.0) as u32;
    let (width, height) = (side(ink.width()), side(ink.height()));
    bounded(width, height).ok_or_else(|| unusable(shown, "the text would be too large"))?;
    let moved = Transform::from_row(scale, 0.0, 0.0, scale, 1.0 - ink.x() * scale, 1.0 - ink.y() * scale);
    render(&tree, moved, width, height)
}

/// Leaves nothing to be seen, whatever the font.
fn is_blank(letter: char) -> bool {
    letter.is_whitespace() || matches!(letter, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')
}

/// The words as a drawing, line by line.
fn svg(text: &str, size: u32, color: Color, outline: Option<Color>, corner: Corner) -> String {
    let anchor = match corner.sides().0 {
        -1 => "start",
        0 => "middle",
        _ => "end",
    };
    let paint = |name: &str, Color([red, green, blue, opaque]): Color| {
        let opaque = f32::from(opaque) / 255.0;
        format!("{name}=\"rgb({red},{green},{blue})\" {name}-opacity=\"{opaque}\"")
    };
    let mut svg = String::from("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"100\" height=\"100\">");
    let fill = paint("fill", color);
    let stroke = outline.map_or_else(String::new, |color| {
        let width = 2.0 * OUTLINE * size as f32;
        format!(
            "{} stroke-width=\"{width}\" stroke-linejoin=\"round\" paint-order=\"stroke\"",
            paint("stroke", color)
        )
    });
    for (number, line) in text.lines().enumerate() {
        let y = number as f32 * LINE * size as f32;
        let _ = write!(
            svg,
            "<text xml:space=\"preserve\" x=\"0\" y=\"{y}\" font-size=\"{size}\" text-anchor=\"{anchor}\" {fill} {stroke}>"
        );
        for letter in line.chars() {
            match letter {
                '<' => svg.push_str("&lt;"),
                '>' => svg.push_str("&gt;"),
                '&' => svg.push_str("&amp;"),
                '"' => svg.push_str("&quot;"),
                letter => svg.push(letter),
            }
        }
        svg.push_str("</text>");
    }
    svg.push_str("</svg>");
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_keep_their_ratio() {
        let fitted = |wanted, scale| Size { wanted, scale }.of((200.0, 100.0));
        assert_eq!(fitted((None, None), 1.0), (200, 100));
        assert_eq!(fitted((None, None), 0.5), (100, 50));
        assert_eq!(fitted((Some(50), None), 0.5), (50, 25));
        assert_eq!(fitted((None, Some(50)), 1.0), (100, 50));
        assert_eq!(fitted((Some(50), Some(50)), 1.0), (50, 25));
        assert_eq!(fitted((Some(1), Some(1)), 1.0), (1, 1));
    }

    #[test]
    fn words_of_strangers_stay_words() {
        let svg = svg("<b>&\"\nzwei", 10, Color([255; 4]), None, Corner::Left);
        assert!(
            svg.contains(">&lt;b&gt;&amp;&quot;</text>") && svg.contains("y=\"12.5\""),
            "{svg}"
        );
        assert!(usvg::Tree::from_str(&svg, &options(None)).is_ok());
    }
}
