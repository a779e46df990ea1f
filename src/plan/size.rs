//! The size of a picture: even numbers, and never larger than the source as displayed unless a rule says so.

use super::{Draw, Picture, VideoStream};
use crate::rule::{Fit, Sides, SizeSpec};

/// The frame of a result of this stream, and how the picture comes into it.
#[must_use]
pub fn picture(wanted: &SizeSpec, video: &VideoStream) -> Picture {
    let source = video.display_size();
    let source = (source.0.max(1), source.1.max(1));
    let side = |side: Option<u32>| side.filter(|length| *length > 0);
    let (across, down) = (side(wanted.across), side(wanted.down));
    let (wide, high) = match wanted.sides {
        Sides::LongShort if source.0 < source.1 => (down, across),
        _ => (across, down),
    };
    let (Some(wide), Some(high), true) = (wide, high, wanted.fit != Fit::Contain) else {
        let size = contained(source, wide, high, wanted.upscale);
        return Picture {
            size,
            draw: Draw::Whole,
        };
    };
    let (size, draw) = match wanted.fit {
        Fit::Pad | Fit::BlurFill => {
            let draw = if wanted.fit == Fit::Pad {
                Draw::Borders
            } else {
                Draw::Blurred
            };
            let frame = (wide, high);
            (if wanted.upscale { frame } else { around(source, frame) }, draw)
        }
        Fit::Cover if wanted.upscale => ((wide, high), Draw::Crop),
        // The largest frame of the wanted ratio that the source fills.
        Fit::Cover => (
            contained((wide, high), Some(source.0), Some(source.1), false),
            Draw::Crop,
        ),
        Fit::Contain | Fit::Stretch if wanted.upscale => ((wide, high), Draw::Whole),
        Fit::Contain | Fit::Stretch => ((wide.min(source.0), high.min(source.1)), Draw::Whole),
    };
    let even = |length: u32| (length / 2 * 2).max(2);
    Picture {
        size: (even(size.0), even(size.1)),
        draw,
    }
}

/// Whether these show the same ratio, but for what even sides take or add.
#[must_use]
pub fn same_ratio((wide, high): (u32, u32), (width, height): (u32, u32)) -> bool {
    let (one, other) = (u64::from(wide) * u64::from(height), u64::from(high) * u64::from(width));
    // Two pixels of a side of the first or of the other.
    let most = [wide, high, width, height].into_iter().max().unwrap_or(0);
    one.abs_diff(other) <= 2 * u64::from(most)
}

/// The frame with bars around a picture: a smaller one of the same ratio where the picture is too small for it.
fn around((width, height): (u32, u32), (wide, high): (u32, u32)) -> (u32, u32) {
    if width >= wide || height >= high {
        return (wide, high);
    }
    let other = |side: u32, part: u32, whole: u32| {
        let exact = (u64::from(side) * u64::from(part)).div_ceil(u64::from(whole));
        u32::try_from(exact.next_multiple_of(2)).unwrap_or(u32::MAX)
    };
    let wide_decides = u64::from(wide) * u64::from(height) <= u64::from(high) * u64::from(width);
    if wide_decides {
        (width, other(high, width, wide).min(high))
    } else {
        (other(wide, height, high).min(wide), height)
    }
}

/// The size that a picture has within these bounds, its ratio kept: never larger than it is, unless told.
fn contained((width, height): (u32, u32), wide: Option<u32>, high: Option<u32>, upscale: bool) -> (u32, u32) {
    let bound = |bound: Option<u32>, side: u32| match (bound, upscale) {
        (Some(bound), false) => bound.min(side),
        (Some(bound), true) => bound,
        // The other side decides.
        (None, true) if wide.is_some() || high.is_some() => u32::MAX,
        (None, _) => side,
    };
    let (most_wide, most_high) = (bound(wide, width), bound(high, height));
    // The side that has to shrink more decides.
    let wide_decides = u64::from(most_wide) * u64::from(height) <= u64::from(most_high) * u64::from(width);
    let (part, whole) = if wide_decides {
        (most_wide, width)
    } else {
        (most_high, height)
    };
    // An odd size is rounded down before the other side follows it.
    let part = if part > 2 { part / 2 * 2 } else { part };
    (
        even(width, part, whole, most_wide),
        even(height, part, whole, most_high),
    )
}

/// `side * part / whole`, as the nearest even number that is not above `most`, and at least 2.
fn even(side: u32, part: u32, whole: u32, most: u32) -> u32 {
    let exact = u64::from(side) * u64::from(part);
    let whole = u64::from(whole);
    let nearest = (exact + whole) / (2 * whole) * 2;
    let most = u64::from(most / 2 * 2);
    u32::try_from(nearest.min(most)).unwrap_or(u32::MAX).max(2)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::plan::testing::film;

    fn size(video: &VideoStream, width: u32, height: u32) -> (u32, u32) {
        let wanted = SizeSpec {
            across: (width > 0).then_some(width),
            down: (height > 0).then_some(height),
            ..SizeSpec::default()
        };
        picture(&wanted, video).size
    }

    #[test]
    fn a_ratio_is_the_same_within_what_even_sides_take() {
        for (one, other) in [
            ((1920, 1080), (426, 240)),
            ((426, 240), (854, 480)),
            ((1080, 1920), (136, 240)),
        ] {
            assert!(same_ratio(one, other) && same_ratio(other, one), "{one:?} {other:?}");
        }
        for (one, other) in [
            ((1920, 1080), (480, 480)),
            ((640, 360), (640, 480)),
            ((320, 180), (320, 200)),
        ] {
            assert!(!same_ratio(one, other) && !same_ratio(other, one), "{one:?} {other:?}");
        }
    }

    #[test]
    fn pictures_shrink_and_never_grow() {
        let hd = film(1920, 1080);
        for (wanted, found) in [
            ((0, 0), (1920, 1080)),
            ((0, 720), (1280, 720)),
            ((640, 0), (640, 360)),
            ((640, 640), (640, 360)),
            ((1280, 480), (854, 480)),
            ((3840, 2160), (1920, 1080)),
            ((0, 4000), (1920, 1080)),
            ((853, 0), (852, 480)),
            ((0, 17), (28, 16)),
        ] {
            assert_eq!(size(&hd, wanted.0, wanted.1), found, "{wanted:?}");
        }
    }

    #[test]
    fn a_blurred_background_fills_the_frame_that_bars_would() {
        for (source, upscale, found) in [
            ((1920, 1080), false, (720, 720)),
            ((1080, 1920), false, (720, 720)),
            ((320, 180), false, (320, 320)),
            ((320, 180), true, (720, 720)),
        ] {
            let fitted = |fit| {
                let wanted = SizeSpec {
                    across: Some(720),
                    down: Some(720),
                    fit,
                    upscale,
                    ..SizeSpec::default()
                };
                picture(&wanted, &film(source.0, source.1))
            };
            let (blurred, barred) = (fitted(Fit::BlurFill), fitted(Fit::Pad));
            assert_eq!((blurred.size, blurred.draw), (found, Draw::Blurred), "{source:?}");
            assert_eq!((barred.size, barred.draw), (found, Draw::Borders), "{source:?}");
        }
    }

    #[test]
    fn odd_and_tiny_sources_become_even() {
        assert_eq!(size(&film(853, 481), 0, 0), (852, 480));
        assert_eq!(size(&film(1, 1), 0, 0), (2, 2));
        assert_eq!(size(&film(3000, 2), 100, 0), (100, 2));
    }

    #[test]
    fn rotation_and_pixel_aspect_come_first() {
        let mut portrait = film(1920, 1080);
        portrait.rotation = 90;
        assert_eq!(size(&portrait, 0, 1280), (720, 1280));
        portrait.rotation = 180;
        assert_eq!(size(&portrait, 0, 0), (1920, 1080));
        let mut pal = film(720, 576);
        pal.pixel_aspect = (64, 45);
        assert_eq!(size(&pal, 0, 0), (1024, 576));
        pal.rotation = 270;
        assert_eq!(size(&pal, 0, 0), (576, 1024));
    }

    proptest! {
        #[test]
        fn sizes_are_even_within_bounds_and_keep_the_ratio(
            width in 16..8000u32, height in 16..8000u32, wide in 0..9000u32, high in 0..9000u32,
        ) {
            let (wide, high) = (if wide < 16 { 0 } else { wide }, if high < 16 { 0 } else { high });
            let found = size(&film(width, height), wide, high);
            prop_assert!(found.0.is_multiple_of(2) && found.1.is_multiple_of(2));
            prop_assert!(found.0 >= 2 && found.1 >= 2);
            prop_assert!(found.0 <= width && found.1 <= height);
            prop_assert!(wide == 0 || found.0 <= wide);
            prop_assert!(high == 0 || found.1 <= high);
            // One scale fits both sides to within two pixels.
            let range = |found: u32, side: u32| {
                let (found, side) = (f64::from(found), f64::from(side));
                ((found - 2.0) / side, (found + 2.0) / side)
            };
            let (across, down) = (range(found.0, width), range(found.1, height));
            prop_assert!(across.0 <= down.1 && down.0 <= across.1 || found.0 == 2 || found.1 == 2);
        }
    }
}
