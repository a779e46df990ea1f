//! Whether a codec can have the pictures that this medium would give it, and the rate of frames that it needs.

use super::VideoStream;
use crate::job::{ErrorKind, Failure};
use crate::plan::HdrForm;
use crate::rule::{Container, VideoCodec, VideoSpec};

/// The largest picture of MPEG-2 that players take: main profile at high level.
const MPEG2_SIZE: (u32, u32) = (1920, 1152);

/// Frames a second of the result, where they must be even; none keeps the timing of the source.
pub(super) fn fps(container: Container, spec: &VideoSpec, film: &VideoStream) -> Option<f64> {
    let own = match film.fps {
        (0, _) | (_, 0) => None,
        (num, den) => Some(f64::from(num) / f64::from(den)),
    };
    let wanted = spec.fps.or(own);
    let can = spec.codec.frame_rates();
    if !can.is_empty() {
        let wanted = wanted.unwrap_or(25.0);
        let distance = |rate: &f64| (rate / wanted).ln().abs();
        return can.iter().copied().min_by(|a, b| distance(a).total_cmp(&distance(b)));
    }
    // Its frames have numbers, no times.
    if container == Container::Mxf {
        return Some(wanted.unwrap_or(25.0));
    }
    spec.fps
}

/// Bits a sample of the result. What is kept of a high dynamic range needs more than other films have.
pub(super) fn depth(spec: &VideoSpec, film: &VideoStream) -> u32 {
    if spec.deepened && film.colour.hdr.is_none() && film.depth <= 8 {
        8
    } else {
        spec.depth
    }
}

/// What every encoder and every container takes, in pixels.
const LEAST_SIDE: u32 = 16;

/// Whether pictures of this size can be encoded as the rule wants them.
///
/// # Errors
/// `plan`, saying what would be possible; `unsupported` where nobody can show the film's colours.
pub(super) fn possible(spec: &VideoSpec, film: &VideoStream, size: (u32, u32)) -> Result<(), Failure> {
    let plan = |message: String| Err(Failure::new(ErrorKind::Plan, message));
    let (width, height) = size;
    if film.colour.hdr == Some(HdrForm::DolbyVision) {
        return Err(Failure::new(
            ErrorKind::Unsupported,
            "the film is Dolby Vision of profile 5, whose colours nothing but Dolby's own decoders can show: \
             it can be copied, but not encoded",
        ));
    }
    if width.min(height) < LEAST_SIDE {
        return plan(format!(
            "a picture of {width}x{height} is too small to be encoded: a side has {LEAST_SIDE} pixels at least"
        ));
    }
    let sizes = spec.codec.sizes();
    if !sizes.is_empty() && !sizes.contains(&size) {
        let list: Vec<_> = sizes
            .iter()
            .map(|(width, height)| format!("{width}x{height}"))
            .collect();
        return plan(format!(
            "{} can only be {} here, and the picture would be {width}x{height}: set `width` and `height`, with `fit = \"pad\"` \
             or \"cover\" and `upscale = true` where the ratio or the size of sources differs",
            spec.codec.word(),
            list.join(" or ")
        ));
    }
    if spec.codec == VideoCodec::Mpeg2 && (width > MPEG2_SIZE.0 || height > MPEG2_SIZE.1) {
        return plan(format!(
            "mpeg2 has at most {}x{}, and the picture would be {width}x{height}: set `width` or `height`",
            MPEG2_SIZE.0, MPEG2_SIZE.1
        ));
    }
    if let Some(level) = &spec.level {
        let pixels = |side: u32| u64::from(side).next_multiple_of(16);
        let frame = pixels(width).saturating_mul(pixels(height));
        let fps = spec.fps.or(match film.fps {
            (0, _) | (_, 0) => None,
            (num, den) => Some(f64::from(num) / f64::from(den)),
        });
        // What comes without a rate is judged by its size alone.
        let second = frame as f64 * fps.unwrap_or(1.0);
        // A side is at most as long as that of a frame eight times as large would be, were it a square.
        let side = pixels(width.max(height));
        let fits = |level: &&(&str, u64, u64)| {
            level.1 >= frame && level.2 as f64 >= second && level.1.saturating_mul(8) >= side.saturating_mul(side)
        };
        let levels = spec.codec.levels();
        let wanted = levels.iter().find(|one| one.0 == level);
        if wanted.is_some_and(|one| !fits(&one)) {
            let needed = levels.iter().find(fits).map_or_else(
                || "no level is enough".to_owned(),
                |level| format!("level {} is enough", level.0),
            );
            let rate = fps.map_or_else(String::new, |fps| format!(" at {fps:.3} frames a second"));
            return plan(format!(
                "level {level} of {} is too small for {width}x{height}{rate}: {needed}, or take `level` out",
                spec.codec.word()
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing::film;

    #[test]
    fn frames_are_even_where_the_form_needs_it() {
        let mut source = film(1280, 720);
        let rate = |container, codec, fps, source: &VideoStream| {
            let spec = VideoSpec {
                fps,
                ..VideoSpec::usual(codec)
            };
            super::fps(container, &spec, source)
        };
        assert_eq!(rate(Container::Mp4, VideoCodec::H264, None, &source), None);
        assert_eq!(rate(Container::Mxf, VideoCodec::Dnxhd, None, &source), Some(25.0));
        assert_eq!(rate(Container::Ts, VideoCodec::Mpeg2, None, &source), Some(25.0));
        source.fps = (30_000, 1001);
        assert_eq!(rate(Container::Ts, VideoCodec::Mpeg2, None, &source), Some(29.97));
        source.fps = (15, 1);
        assert_eq!(rate(Container::Ts, VideoCodec::Mpeg2, None, &source), Some(23.976));
        source.fps = (0, 1);
        assert_eq!(rate(Container::Ts, VideoCodec::Mpeg2, None, &source), Some(25.0));
    }

    #[test]
    fn a_film_is_deep_where_it_was_or_its_range_is_high_or_somebody_asked_for_it() {
        let mut spec = VideoSpec::usual(VideoCodec::H265);
        let (plain, mut deep, mut high) = (film(64, 64), film(64, 64), film(64, 64));
        (deep.depth, high.colour.hdr) = (10, Some(HdrForm::Hlg));
        let depths = |spec: &VideoSpec| [&plain, &deep, &high].map(|film| depth(spec, film));
        assert_eq!(depths(&spec), [8, 8, 8]);
        spec.deepen();
        assert_eq!(depths(&spec), [8, 10, 10]);
        spec.deepened = false;
        assert_eq!(depths(&spec), [10, 10, 10]);
        let mut other = VideoSpec::usual(VideoCodec::H264);
        other.deepen();
        assert_eq!(depths(&other), [8, 8, 8]);
    }

    #[test]
    fn what_does_not_fit_is_told_with_what_would() {
        let told = |codec, level: Option<&str>, size: (u32, u32)| {
            let spec = VideoSpec {
                level: level.map(str::to_owned),
                ..VideoSpec::usual(codec)
            };
            possible(&spec, &film(size.0, size.1), size).map_err(|failure| failure.message)
        };
        assert_eq!(told(VideoCodec::H264, Some("3.1"), (1280, 720)), Ok(()));
        let small = told(VideoCodec::H264, Some("3.1"), (1920, 1080)).unwrap_err();
        assert!(small.contains("level 4.0 is enough"), "{small}");
        let small = told(VideoCodec::H265, Some("3.1"), (3840, 2160)).unwrap_err();
        assert!(small.contains("level 5.0 is enough"), "{small}");
        // Few pixels, but in one long line.
        assert_eq!(told(VideoCodec::H264, Some("3.0"), (1760, 64)), Ok(()));
        let long = told(VideoCodec::H264, Some("3.0"), (2048, 64)).unwrap_err();
        assert!(long.contains("level 3.1 is enough"), "{long}");
        let long = told(VideoCodec::H265, Some("2.0"), (64, 1280)).unwrap_err();
        assert!(long.contains("level 2.1 is enough"), "{long}");
        assert_eq!(told(VideoCodec::Dnxhd, None, (1920, 1080)), Ok(()));
        assert!(
            told(VideoCodec::Dnxhd, None, (640, 360))
                .unwrap_err()
                .contains("1280x720")
        );
        assert!(
            told(VideoCodec::Mpeg2, None, (3840, 2160))
                .unwrap_err()
                .contains("1920x1152")
        );
        let mut other = film(1920, 1080);
        other.colour.hdr = Some(HdrForm::DolbyVision);
        let spec = VideoSpec::usual(VideoCodec::H265);
        assert_eq!(
            possible(&spec, &other, (1920, 1080)).unwrap_err().kind,
            ErrorKind::Unsupported
        );
    }
}
