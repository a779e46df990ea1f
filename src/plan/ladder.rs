//! The forms of a film in a package: which of those that a rule wants, how large, and where their key frames lie, so that segments of
//! all of them begin at the same pictures.

use std::time::Duration;

use super::video::{depth, possible};
use super::{CoverPlan, Picture, PlannedRendition, VideoStream, picture};
use crate::job::{Failure, Finding, FindingKind};
use crate::rule::{Gop, Rendition, Renditions, Rung};

/// Two seconds, as near as segments of whole groups allow.
const USUAL_GOP: f64 = 2.0;

/// Pictures that come this little too early are in time: containers round when they are shown.
pub(super) const ROUNDING: Duration = Duration::from_millis(2);

/// All forms of a film.
pub(super) struct Ladder {
    /// At least one, with nothing laid over.
    pub renditions: Vec<PlannedRendition>,
    /// How long segments are where pictures come evenly.
    pub even: Duration,
    /// What there is to be said of others.
    pub left_out: Option<Finding>,
}

/// The forms that this film gets.
///
/// # Errors
/// Where one of them cannot be encoded.
pub(super) fn climb(wanted: &Renditions, film: &VideoStream, segment: Duration) -> Result<Ladder, Failure> {
    let chosen = match wanted {
        Renditions::Auto(forms) => {
            let (width, height) = film.display_size();
            forms.of(|codec| Rung::ladder(width.min(height), codec))
        }
        Renditions::Named(named) => named.clone(),
    };
    let (kept, left_out) = distinct(chosen, film);
    let mut ladder = Ladder {
        renditions: Vec::new(),
        even: segment,
        left_out,
    };
    for (rendition, picture) in kept {
        possible(&rendition.video, film, picture.size)?;
        let (planned, length) = planned(rendition, picture, film, segment);
        ladder.even = length;
        ladder.renditions.push(planned);
    }
    Ok(ladder)
}

/// Renditions with their pictures. Those that would be larger than the source, were they not held to it, give way to another
/// of the same size.
fn distinct(chosen: Vec<Rendition>, film: &VideoStream) -> (Vec<(Rendition, Picture)>, Option<Finding>) {
    let free = |rendition: &Rendition| {
        let mut size = rendition.size;
        size.upscale = true;
        picture(&size, film).size
    };
    let all: Vec<_> = chosen
        .into_iter()
        .map(|rendition| {
            let picture = picture(&rendition.size, film);
            let above = free(&rendition) != picture.size;
            (rendition, picture, above)
        })
        .collect();
    let gives_way = |at: usize| {
        let above = &all[at].2;
        let form = |at: usize| (all[at].1.size, all[at].0.video.codec);
        let same = |other: usize| other != at && form(other) == form(at);
        *above && (0..all.len()).any(|other| same(other) && (!all[other].2 || other > at))
    };
    let (mut kept, mut names) = (Vec::new(), Vec::new());
    for (at, (rendition, picture, _)) in all.iter().enumerate() {
        if gives_way(at) {
            names.push(rendition.name.clone());
        } else {
            kept.push((rendition.clone(), *picture));
        }
    }
    let (width, height) = film.display_size();
    let finding = (!names.is_empty()).then(|| Finding {
        kind: FindingKind::RenditionLeftOut,
        message: format!(
            "{} would be no larger than others: the source shows {width}x{height}",
            names.join(", ")
        ),
    });
    (kept, finding)
}

/// A rendition with the distance of its key frames, and how long segments of such groups are.
fn planned(
    rendition: Rendition,
    picture: Picture,
    film: &VideoStream,
    segment: Duration,
) -> (PlannedRendition, Duration) {
    let mut video = rendition.video;
    video.depth = depth(&video, film);
    let fps = match video.fps {
        Some(fps) => Some(fraction(fps)),
        None => Some(film.fps).filter(|(num, den)| *num > 0 && *den > 0),
    };
    let seconds = segment.as_secs_f64();
    let per_frame = fps.map(|(num, den)| f64::from(den) / f64::from(num));
    let asked = matches!(video.gop, Some(Gop::Frames(_)));
    let gop = video.gop.unwrap_or_else(|| share(seconds, per_frame));
    video.gop = Some(gop);
    let frames = match (gop, per_frame) {
        (Gop::Frames(frames), _) => Some(frames.max(1)),
        // Rounded up: so many groups must not be shorter than the segment that they fill.
        (Gop::Time(length), Some(per_frame)) => Some(whole(length.as_secs_f64() / per_frame)),
        (Gop::Time(_), None) => None,
    };
    // By time, unless somebody asks for a number: what is declared as even may not be.
    let gop_frames = asked.then_some(frames).flatten();
    if let (None, Some((frames, per_frame))) = (gop_frames, frames.zip(per_frame)) {
        let length = Duration::from_secs_f64(f64::from(frames) * per_frame);
        video.gop = Some(Gop::Time(length.saturating_sub(ROUNDING).max(ROUNDING)));
    }
    let even = frames.zip(fps).map_or(segment, |(frames, (num, den))| {
        let nanos = u128::from(frames) * u128::from(den) * 1_000_000_000 / u128::from(num);
        let gop = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)).max(Duration::from_nanos(1));
        gop * whole(seconds / gop.as_secs_f64())
    });
    let planned = PlannedRendition {
        name: rendition.name,
        picture,
        video,
        gop_frames,
        fps,
        cover: CoverPlan::default(),
    };
    (planned, even)
}

/// An even share of a segment, in whole pictures where there are such, and as near to the usual as can be.
fn share(seconds: f64, per_frame: Option<f64>) -> Gop {
    let near = |shares: &u32| (seconds / f64::from(*shares) - USUAL_GOP).abs();
    let nearest = |one: &u32, other: &u32| near(one).total_cmp(&near(other));
    let shares = 1..=whole(seconds);
    if let Some(frames) = per_frame.map(|per_frame| whole(seconds / per_frame)) {
        let even = shares.filter(|shares| frames.is_multiple_of(*shares)).min_by(nearest);
        Gop::Frames(frames / even.unwrap_or(1))
    } else {
        let shares = shares.min_by(nearest).unwrap_or(1);
        Gop::Time(Duration::from_secs_f64(seconds / f64::from(shares)))
    }
}

/// Rounded up, but for what floating numbers add; at least 1.
fn whole(number: f64) -> u32 {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to the range"
    )]
    let whole = (number - 0.000_1).ceil().clamp(1.0, 100_000.0) as u32;
    whole
}

/// A rate as people write it (29.97) as the fraction that is meant (30000/1001).
fn fraction(fps: f64) -> (u32, u32) {
    let ntsc = (fps * 1.001).round();
    let exact = (fps - fps.round()).abs() > 0.000_5 && (ntsc / 1.001 - fps).abs() < 0.005;
    let (times, per) = if exact {
        (ntsc * 1000.0, 1001)
    } else {
        (fps * 1000.0, 1000)
    };
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to the range"
    )]
    let num = times.round().clamp(1.0, 1_000_000.0) as u32;
    if num.is_multiple_of(1000) && per == 1000 {
        (num / 1000, 1)
    } else {
        (num, per)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing::film as medium;
    use crate::rule::VideoCodec;

    fn even(fps: (u32, u32), segment: u64, gop: Option<Gop>) -> String {
        let mut film = medium(1280, 720);
        film.fps = fps;
        let mut rendition = Rung::ALL[3].rendition(VideoCodec::H264);
        rendition.video.gop = gop;
        let picture = picture(&rendition.size, &film);
        let (planned, even) = planned(rendition, picture, &film, Duration::from_secs(segment));
        format!("{:?} {:?} {even:?}", planned.gop_frames, planned.video.gop)
    }

    #[test]
    fn groups_fill_segments_that_are_never_shorter_than_wanted() {
        let table = [
            even((25, 1), 4, None),
            even((30_000, 1001), 4, None),
            even((24_000, 1001), 6, None),
            even((25, 1), 3, None),
            even((25, 1), 1, None),
            even((25, 1), 4, Some(Gop::Frames(30))),
            even((25, 1), 4, Some(Gop::Time(Duration::from_secs(6)))),
            even((0, 1), 4, None),
        ];
        insta::assert_snapshot!(table.join("\n"), @r"
        None Some(Time(1.998s)) 4s
        None Some(Time(2s)) 4.004s
        None Some(Time(2s)) 6.006s
        None Some(Time(2.998s)) 3s
        None Some(Time(998ms)) 1s
        Some(30) Some(Frames(30)) 4.8s
        None Some(Time(5.998s)) 6s
        None Some(Time(2s)) 4s
        ");
    }

    #[test]
    fn what_is_above_the_source_gives_way_to_what_is_not() {
        let names = |width, height, words: &[usize]| {
            let chosen = words
                .iter()
                .map(|at| Rung::ALL[*at].rendition(VideoCodec::H264))
                .collect();
            let (kept, finding) = distinct(chosen, &medium(width, height));
            let kept: Vec<_> = kept
                .iter()
                .map(|(rendition, picture)| format!("{} {}x{}", rendition.name, picture.size.0, picture.size.1))
                .collect();
            format!(
                "{} | {}",
                kept.join(", "),
                finding.map_or_else(String::new, |finding| finding.message)
            )
        };
        let table = [
            names(1920, 1080, &[2, 3, 4]),
            names(854, 480, &[2, 3, 4]),
            names(640, 360, &[2, 3, 4]),
            names(1080, 1920, &[2, 3]),
        ];
        insta::assert_snapshot!(table.join("\n"), @r"
        1080p 1920x1080, 720p 1280x720, 480p 854x480 | 
        480p 854x480 | 1080p, 720p would be no larger than others: the source shows 854x480
        480p 640x360 | 1080p, 720p would be no larger than others: the source shows 640x360
        1080p 1080x1920, 720p 720x1280 |
        ");
    }
}
