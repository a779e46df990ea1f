//! Frames on their way down: what several outputs want is made smaller once, and what is much smaller still is made of that
//! and not of the film's own large frames.

use super::branch::{guard, queue};
use super::encoder;
use super::transcode::treated;
use crate::job::Failure;
use crate::plan::{AdaptivePlan, Draw, Picture, PlannedRendition, Span, TranscodePlan, VideoStream, Work};
use crate::rule::{Track, Treatment, VideoSpec};

/// Width and height in pixels.
pub type Size = (u32, u32);

/// Sizes in which frames are handed out besides the film's own, smallest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Steps(Vec<Size>);

/// An output that may be made of frames that were made smaller before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Taker {
    size: Size,
    /// It encodes every frame, so that others may have them in its size at no cost.
    gives: bool,
}

impl Steps {
    /// The steps between this film and what these tasks make of it.
    pub fn of<'a>(film: Option<&VideoStream>, works: impl Iterator<Item = &'a Work>) -> Self {
        let Some(film) = film else {
            return Self::default();
        };
        let mut takers = Vec::new();
        for work in works {
            match work {
                Work::Transcode(plan) => takers.extend(Taker::of(film, plan)),
                Work::Adaptive(plan) => {
                    let renditions = plan.renditions.iter();
                    takers.extend(renditions.filter_map(|one| Taker::in_package(film, plan, one)));
                }
                _ => {}
            }
        }
        Self::between(film.display_size(), takers)
    }

    /// From the smallest up: a size becomes a step where that spares somebody a larger one.
    fn between(film: Size, mut takers: Vec<Taker>) -> Self {
        let mut sizes: Vec<Size> = takers
            .iter()
            .filter(|taker| taker.gives)
            .map(|taker| taker.size)
            .collect();
        sizes.sort_by_key(|size| (area(*size), *size));
        sizes.dedup();
        // Frames of nearly the film's own size are not worth a step.
        sizes.retain(|size| is_below(*size, film));
        let mut steps = Vec::new();
        for size in sizes {
            let (served, others): (Vec<_>, Vec<_>) = takers.iter().partition(|taker| serves(size, taker.size));
            if served.len() > 1 {
                takers = others;
                takers.push(Taker { size, gives: true });
                steps.push(size);
            }
        }
        Self(steps)
    }

    /// The frames that pictures of this size are made of; none: the film's own.
    pub fn above(&self, size: Size) -> Option<Size> {
        self.0.iter().copied().find(|step| serves(*step, size))
    }

    /// For every step, largest first, the step that it is made of; none: the film's own frames.
    pub fn down(&self) -> impl Iterator<Item = (Size, Option<Size>)> {
        let larger = |size: Size| self.0.iter().copied().find(|step| is_below(size, *step));
        self.0.iter().rev().map(move |size| (*size, larger(*size)))
    }

    /// The frames that this transcode of the film is made of, where there is a step for it.
    pub fn for_transcode(&self, film: &VideoStream, plan: &TranscodePlan) -> Option<Size> {
        self.above(Taker::of(film, plan)?.size)
    }

    /// As [`Self::for_transcode`], for a rendition of a package.
    pub fn for_rendition(&self, film: &VideoStream, plan: &AdaptivePlan, rendition: &PlannedRendition) -> Option<Size> {
        self.above(Taker::in_package(film, plan, rendition)?.size)
    }
}

impl Taker {
    fn of(film: &VideoStream, plan: &TranscodePlan) -> Option<Self> {
        let (Track::Encode(spec), Some(picture)) = (&plan.settings.video, plan.picture) else {
            return None;
        };
        let usual = plan.clips.is_empty() && !plan.settings.copies() && !plan.is_two_pass();
        let taker = Self::new(film, plan.settings.treatment, plan.span, picture, spec);
        taker.filter(|_| usual)
    }

    fn in_package(film: &VideoStream, plan: &AdaptivePlan, rendition: &PlannedRendition) -> Option<Self> {
        Self::new(film, plan.treatment, plan.span, rendition.picture, &rendition.video)
    }

    /// None where frames are cut, turned, bordered or finer than those of a step, or where only a part of them is wanted: a
    /// step would make those that nobody takes.
    fn new(film: &VideoStream, treatment: Treatment, span: Span, picture: Picture, spec: &VideoSpec) -> Option<Self> {
        let treated = treated(film, treatment);
        let usual = treated.is_usual() && span.is_whole() && picture.draw == Draw::Whole;
        (usual && encoder::format(spec) == FORMAT).then_some(Self {
            size: picture.size,
            gives: spec.fps.is_none(),
        })
    }
}

/// How samples lie in the frames of a step.
const FORMAT: &str = "I420";

fn area((wide, high): Size) -> u64 {
    u64::from(wide) * u64::from(high)
}

/// Whether the first is so much smaller than the second that it may be made of it. At 7:5 and more in each step, camera footage lost
/// at most 0.0008 SSIM by one more step, before encoding.
fn is_below((wide, high): Size, (width, height): Size) -> bool {
    let far = |small: u32, large: u32| u64::from(small) * 7 <= u64::from(large) * 5;
    far(wide, width) && far(high, height)
}

fn serves(step: Size, size: Size) -> bool {
    step == size || is_below(size, step)
}

/// What makes frames of this size, for several to take.
///
/// # Errors
/// Where elements are missing.
pub fn chain(size: Size) -> Result<Vec<gst::Element>, Failure> {
    let picture = Picture {
        size,
        draw: Draw::Whole,
    };
    Ok([vec![guard()?, queue(2)?], encoder::framed(picture, FORMAT)?].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn between(film: Size, wanted: &[(Size, bool)]) -> String {
        let takers = wanted.iter().map(|(size, gives)| Taker {
            size: *size,
            gives: *gives,
        });
        let steps = Steps::between(film, takers.collect());
        let down: Vec<_> = steps.down().collect();
        let made: Vec<_> = wanted
            .iter()
            .map(|(size, _)| (size.1, steps.above(*size).map(|size| size.1)))
            .collect();
        format!("{down:?}; {made:?}")
    }

    #[test]
    fn what_is_much_smaller_is_made_of_what_is_small_already() {
        let all = |sizes: &[Size]| sizes.iter().map(|size| (*size, true)).collect::<Vec<_>>();
        let ladder = all(&[(1280, 720), (854, 480), (640, 360)]);
        let full = all(&[(1920, 1080), (1280, 720), (854, 480), (640, 360), (426, 240)]);
        let table = [
            between((1920, 1080), &ladder),
            // Of a film of the size of the first nothing is spared.
            between((1280, 720), &ladder),
            between((3840, 2160), &full),
            // One alone, and two that are too near to each other.
            between((1920, 1080), &ladder[..1]),
            between((1920, 1080), &ladder[1..]),
            // Twice the same.
            between((1920, 1080), &all(&[(1280, 720), (1280, 720)])),
            // Of what drops frames nobody takes any.
            between((1920, 1080), &[((1280, 720), false), ((640, 360), true)]),
            // Only one side is smaller.
            between((1920, 1080), &all(&[(1280, 400), (640, 360)])),
        ];
        insta::assert_snapshot!(table.join("\n"), @r"
        [((1280, 720), None)]; [(720, Some(720)), (480, Some(720)), (360, Some(720))]
        []; [(720, None), (480, None), (360, None)]
        [((1920, 1080), None), ((1280, 720), Some((1920, 1080))), ((640, 360), Some((1280, 720)))]; [(1080, Some(1080)), (720, Some(720)), (480, Some(720)), (360, Some(360)), (240, Some(360))]
        []; [(720, None)]
        []; [(480, None), (360, None)]
        [((1280, 720), None)]; [(720, Some(720)), (720, Some(720))]
        []; [(720, None), (360, None)]
        []; [(400, None), (360, None)]
        ");
    }

    #[test]
    fn pads_say_which_step_they_take() {
        use crate::media::branch::{Feed, of_step};
        gst::init().unwrap();
        let named = |name: &str| gst::Pad::builder(gst::PadDirection::Sink).name(name).build();
        let name = of_step((1280, 720));
        assert_eq!(Feed::of(&named(&name)).unwrap(), Feed::Step((1280, 720)));
        assert_eq!(Feed::of(&named(&format!("{name}-7"))).unwrap(), Feed::Step((1280, 720)));
        assert!(Feed::of(&named("step1280")).is_err());
    }
}
