//! Which part of a picture comes to which part of its frame.

use crate::plan::Draw;

/// A rectangle of pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rect {
    /// From the left.
    pub x: u32,
    /// From above.
    pub y: u32,
    /// Width.
    pub wide: u32,
    /// Height.
    pub high: u32,
}

impl Rect {
    /// All of a picture of this size.
    pub fn whole((wide, high): (u32, u32)) -> Self {
        Self { x: 0, y: 0, wide, high }
    }

    /// Its width and height.
    pub fn size(&self) -> (u32, u32) {
        (self.wide, self.high)
    }
}

/// The part of a picture of this size that is seen, and the part of the frame where it is. Pixels of the picture may be
/// wider than high; those of the frame are square. Places are multiples of `step`, which is at least what colour needs.
pub fn place(draw: Draw, picture: (u32, u32), aspect: (u32, u32), frame: (u32, u32), step: u32) -> (Rect, Rect) {
    match draw {
        Draw::Whole => (Rect::whole(picture), Rect::whole(frame)),
        Draw::Crop => (covering(picture, aspect, frame, step), Rect::whole(frame)),
        Draw::Borders | Draw::Blurred => (Rect::whole(picture), contained(picture, aspect, frame, step)),
    }
}

/// The largest part in the middle of a picture that has the ratio of the frame.
pub fn covering(picture: (u32, u32), aspect: (u32, u32), frame: (u32, u32), step: u32) -> Rect {
    let (across, down) = ratio(picture, aspect);
    let (wide, high) = (u128::from(frame.0), u128::from(frame.1));
    let mut size = picture;
    if across * high > down * wide {
        size.0 = rounded(u128::from(picture.0) * down * wide, across * high);
    } else {
        size.1 = rounded(u128::from(picture.1) * across * high, down * wide);
    }
    in_the_middle(size, picture, step)
}

/// The largest part in the middle of the frame that has the ratio of the picture.
fn contained(picture: (u32, u32), aspect: (u32, u32), frame: (u32, u32), step: u32) -> Rect {
    let (across, down) = ratio(picture, aspect);
    let (wide, high) = (u128::from(frame.0), u128::from(frame.1));
    let mut size = frame;
    if across * high > down * wide {
        size.1 = rounded(wide * down, across);
    } else {
        size.0 = rounded(high * across, down);
    }
    in_the_middle(size, frame, step)
}

/// Width and height of a picture as displayed, in units of any size.
fn ratio(picture: (u32, u32), aspect: (u32, u32)) -> (u128, u128) {
    (
        u128::from(picture.0.max(1)) * u128::from(aspect.0.max(1)),
        u128::from(picture.1.max(1)) * u128::from(aspect.1.max(1)),
    )
}

/// The nearest whole number, at least 1.
fn rounded(part: u128, whole: u128) -> u32 {
    u32::try_from((part + whole / 2) / whole).unwrap_or(u32::MAX).max(1)
}

fn in_the_middle(size: (u32, u32), all: (u32, u32), step: u32) -> Rect {
    let side = |length: u32, all: u32| {
        // A side that is not cut keeps its length, odd as it may be.
        let length = if length >= all {
            all
        } else {
            ((length + step / 2) / step * step).clamp(step.min(all), all)
        };
        ((all - length) / 2 / step * step, length)
    };
    let ((x, wide), (y, high)) = (side(size.0, all.0), side(size.1, all.1));
    Rect { x, y, wide, high }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(draw: Draw, picture: (u32, u32), aspect: (u32, u32), frame: (u32, u32)) -> String {
        let (seen, filled) = place(draw, picture, aspect, frame, 2);
        let words = |rect: Rect| format!("{}x{}+{}+{}", rect.wide, rect.high, rect.x, rect.y);
        format!("{} -> {}", words(seen), words(filled))
    }

    #[test]
    fn pictures_come_where_they_belong() {
        let table = [
            told(Draw::Whole, (1920, 1080), (1, 1), (640, 640)),
            told(Draw::Crop, (1920, 1080), (1, 1), (640, 640)),
            told(Draw::Crop, (1080, 1920), (1, 1), (640, 360)),
            told(Draw::Crop, (853, 481), (1, 1), (480, 480)),
            told(Draw::Crop, (720, 576), (64, 45), (576, 576)),
            told(Draw::Borders, (1920, 1080), (1, 1), (640, 640)),
            told(Draw::Borders, (1080, 1920), (1, 1), (1280, 720)),
            told(Draw::Borders, (720, 576), (64, 45), (1280, 960)),
            told(Draw::Blurred, (853, 481), (1, 1), (480, 852)),
            told(Draw::Borders, (4000, 2), (1, 1), (640, 360)),
            told(Draw::Crop, (1, 1), (1, 1), (640, 360)),
        ];
        insta::assert_snapshot!(table.join("\n"), @r"
        1920x1080+0+0 -> 640x640+0+0
        1080x1080+420+0 -> 640x640+0+0
        1080x608+0+656 -> 640x360+0+0
        482x481+184+0 -> 480x480+0+0
        406x576+156+0 -> 576x576+0+0
        1920x1080+0+0 -> 640x360+0+140
        1080x1920+0+0 -> 406x720+436+0
        720x576+0+0 -> 1280x720+0+120
        853x481+0+0 -> 480x272+0+290
        4000x2+0+0 -> 640x2+0+178
        1x1+0+0 -> 640x360+0+0
        ");
    }
}
