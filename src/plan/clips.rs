//! What is joined before and after a film. How long that is nobody knows before a worker has looked at it.

use serde::{Deserialize, Serialize};

use super::{Draw, Picture, VideoStream};
use crate::rule::asset::Asset;
use crate::rule::{Clips, Fit};

/// What is joined to a film.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ClipsPlan {
    /// Before it, in this order.
    pub head: Vec<ClipPlan>,
    /// After it, in this order.
    pub tail: Vec<ClipPlan>,
    /// Channels, and samples a second, of their sound where the film has none.
    pub alone: Option<(u32, u32)>,
}

/// A film or a sound that is joined to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClipPlan {
    /// Name in scratch.
    pub file: String,
    /// What people call it.
    pub shown: String,
}

impl ClipsPlan {
    /// Whether the film stands alone.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.head.is_empty() && self.tail.is_empty()
    }

    /// All of them, in the order in which they are shown.
    pub fn all(&self) -> impl Iterator<Item = &ClipPlan> {
        self.head.iter().chain(&self.tail)
    }
}

/// Where the clips of a rule lie.
pub(super) fn clips(clips: &Clips) -> ClipsPlan {
    let one = |asset: &Asset| ClipPlan {
        file: asset.scratch_name(),
        shown: asset.to_string(),
    };
    ClipsPlan {
        head: clips.head.iter().map(one).collect(),
        tail: clips.tail.iter().map(one).collect(),
        alone: None,
    }
}

/// How the pictures of a clip come into the frame of the film that it is joined to. They fill it as the film's own would; where the
/// rule says nothing about that, nothing is cut off or stretched.
#[must_use]
pub fn joined(fit: Fit, frame: (u32, u32), clip: &VideoStream) -> Picture {
    let (width, height) = clip.display_size();
    let (wide, high) = (u64::from(frame.0), u64::from(frame.1));
    // The ratio is the same where the other side would be as long, but for rounding to even numbers.
    let other = |side: u64, part: u32, whole: u32| side * u64::from(part) / u64::from(whole.max(1));
    let is_alike = other(wide, height, width).abs_diff(high) <= 2 || other(high, width, height).abs_diff(wide) <= 2;
    let draw = match fit {
        _ if is_alike => Draw::Whole,
        Fit::Contain | Fit::Pad => Draw::Borders,
        Fit::BlurFill => Draw::Blurred,
        Fit::Cover => Draw::Crop,
        Fit::Stretch => Draw::Whole,
    };
    Picture { size: frame, draw }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing::film;

    #[test]
    fn clips_come_into_the_frame_as_the_film_does() {
        let drawn = |fit, clip: (u32, u32)| joined(fit, (640, 360), &film(clip.0, clip.1)).draw;
        assert_eq!(drawn(Fit::Contain, (1920, 1080)), Draw::Whole);
        assert_eq!(drawn(Fit::Pad, (854, 480)), Draw::Whole);
        assert_eq!(drawn(Fit::Contain, (720, 576)), Draw::Borders);
        assert_eq!(drawn(Fit::BlurFill, (360, 640)), Draw::Blurred);
        assert_eq!(drawn(Fit::Cover, (360, 640)), Draw::Crop);
        assert_eq!(drawn(Fit::Stretch, (360, 640)), Draw::Whole);
        let mut turned = film(360, 640);
        turned.rotation = 90;
        assert_eq!(joined(Fit::Pad, (640, 360), &turned).draw, Draw::Whole);
    }
}
