//! Whether what is laid over a film has one place in all of its forms.

use super::{Draw, PlannedRendition, VideoStream, same_ratio};
use crate::job::{ErrorKind, Failure};
use crate::rule::TaskId;
use crate::rule::overlay::{Cover, Measure, Mosaic, Overlay, OverlayContent};

/// Refuses what would lie elsewhere in some forms, for they show the film in another ratio, or another part of it.
///
/// # Errors
/// `plan`, naming the first such form.
pub(super) fn one_place(
    task: &TaskId,
    cover: &Cover,
    renditions: &[PlannedRendition],
    film: &VideoStream,
) -> Result<(), Failure> {
    let Some(largest) = PlannedRendition::largest(renditions) else {
        return Ok(());
    };
    let shown = |rendition: &PlannedRendition| match rendition.picture.draw {
        _ if same_ratio(rendition.picture.size, film.display_size()) => Draw::Whole,
        // Both have the film where the other has it.
        Draw::Blurred => Draw::Borders,
        draw => draw,
    };
    let differs =
        |one: &&PlannedRendition| shown(one) != shown(largest) || !same_ratio(one.picture.size, largest.picture.size);
    for other in renditions.iter().filter(differs) {
        let whole = shown(other) == Draw::Whole && shown(largest) == Draw::Whole;
        let (what, else_) = if cover.mosaics.iter().any(|mosaic| !whole || hides_pixels(mosaic)) {
            ("a mosaic", "")
        } else if cover.overlays.iter().any(has_pixels) {
            (
                "an overlay in pixels",
                ", measure it in percent (an image by its `width` or `height`)",
            )
        } else {
            continue;
        };
        let told = |one: &PlannedRendition| {
            let (width, height) = one.picture.size;
            format!("\"{}\" ({width}x{height})", one.name)
        };
        return Err(Failure::new(
            ErrorKind::Plan,
            format!(
                "{what} of task {task} has no one place: rendition {} shows the film in another ratio, or another part of it, \
                 than {}: give all renditions one ratio and one `fit`{else_}, or make it in a task of its own",
                told(other),
                told(largest),
            ),
        ));
    }
    Ok(())
}

fn in_pixels(measure: Measure) -> bool {
    matches!(measure, Measure::Pixels(1..))
}

fn hides_pixels(mosaic: &Mosaic) -> bool {
    [mosaic.at.0, mosaic.at.1, mosaic.size.0, mosaic.size.1]
        .into_iter()
        .any(in_pixels)
}

fn has_pixels(overlay: &Overlay) -> bool {
    let size = match &overlay.content {
        OverlayContent::Text(text) => in_pixels(text.size),
        // An image that is told no size has its own.
        OverlayContent::Image { .. } => match (overlay.width, overlay.height) {
            (None, None) => true,
            sides => [sides.0, sides.1].into_iter().flatten().any(in_pixels),
        },
    };
    size || in_pixels(overlay.offset.0) || in_pixels(overlay.offset.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing::film;
    use crate::plan::{CoverPlan, Picture};
    use crate::rule::overlay::{Color, Effect, Shown};
    use crate::rule::{Point, VideoCodec, VideoSpec};

    fn refused(sizes: &[((u32, u32), Draw)], at: Measure) -> Option<String> {
        let renditions: Vec<_> = sizes
            .iter()
            .map(|(size, draw)| PlannedRendition {
                name: format!("r{}", size.0),
                picture: Picture {
                    size: *size,
                    draw: *draw,
                },
                video: VideoSpec::usual(VideoCodec::H264),
                gop_frames: None,
                fps: None,
                cover: CoverPlan::default(),
            })
            .collect();
        let mosaic = Mosaic {
            at: (at, at),
            size: (at, at),
            effect: Effect::Fill(Color([0; 4])),
            shown: Shown {
                from: Point::Start(std::time::Duration::ZERO),
                to: None,
                repeat: None,
            },
        };
        let cover = Cover {
            mosaics: vec![mosaic],
            overlays: Vec::new(),
        };
        let task = "t".parse().unwrap();
        let told = one_place(&task, &cover, &renditions, &film(1920, 1080));
        told.err().map(|failure| failure.message)
    }

    #[test]
    fn a_mosaic_must_hide_the_same_in_every_form() {
        let (pixels, percent) = (Measure::Pixels(10), Measure::Percent(10.0));
        let hd = ((1920, 1080), Draw::Whole);
        for at in [pixels, percent] {
            assert_eq!(
                refused(&[hd, ((426, 240), Draw::Whole), ((854, 480), Draw::Crop)], at),
                None
            );
            let told = refused(&[hd, ((480, 480), Draw::Crop)], at).unwrap();
            assert!(
                told.contains("\"r480\" (480x480)") && told.contains("\"r1920\""),
                "{told}"
            );
            // Of one ratio, but not of one part.
            let both = [((640, 640), Draw::Crop), ((480, 480), Draw::Borders)];
            assert!(refused(&both, at).is_some());
            assert_eq!(refused(&[both[0], ((480, 480), Draw::Crop)], at), None);
        }
        let stretched = [hd, ((480, 480), Draw::Whole)];
        assert!(refused(&stretched, pixels).is_some());
        assert_eq!(refused(&stretched, percent), None);
    }
}
