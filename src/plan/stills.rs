//! The points of a snapshot, resolved against the medium.

use std::time::Duration;

use super::{MediaInfo, VideoStream};
use crate::job::{ErrorKind, Failure, Finding, FindingKind};
use crate::rule::Point;

/// What a frame lasts where nobody knows.
const USUAL_FRAME: Duration = Duration::from_millis(40);

/// A point that the medium has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resolved {
    /// From 1, by the order in the rule.
    pub number: u32,
    /// Never after the last frame.
    pub at: Duration,
}

/// The points in rising order, and a finding for each that lies outside of the medium. The very end stands for the
/// last frame.
pub fn resolve(
    points: &[Point],
    media: &MediaInfo,
    video: &VideoStream,
) -> Result<(Vec<Resolved>, Vec<Finding>), Failure> {
    let end = media.duration;
    let film_end = media.video_stream().and_then(|stream| stream.duration).or(end);
    let last = film_end.map(|film_end| film_end.saturating_sub(frame(video)));
    let mut resolved = Vec::with_capacity(points.len());
    let mut findings = Vec::new();
    for (number, point) in (1..).zip(points) {
        let at = match (place(*point, end)?, end) {
            (None, _) => Err(format!(
                "point {} lies before the beginning: the medium is {} long",
                number,
                seconds(end.unwrap_or_default())
            )),
            (Some(at), Some(end)) if at > end => Err(format!(
                "point {} at {} lies beyond the end at {}",
                number,
                seconds(at),
                seconds(end)
            )),
            (Some(at), _) => Ok(last.map_or(at, |last| at.min(last))),
        };
        match at {
            Ok(at) => resolved.push(Resolved { number, at }),
            Err(message) => findings.push(Finding {
                kind: FindingKind::PointBeyondEnd,
                message,
            }),
        }
    }
    if resolved.is_empty() {
        let message = findings
            .first()
            .map_or("there is no point to show", |finding| &finding.message);
        return Err(Failure::new(ErrorKind::Plan, message));
    }
    resolved.sort_by_key(|still| still.at);
    Ok((resolved, findings))
}

/// Points that the medium has, numbered in their order.
pub fn numbered(at: impl IntoIterator<Item = Duration>) -> Vec<Resolved> {
    (1..).zip(at).map(|(number, at)| Resolved { number, at }).collect()
}

/// Where a point lies; none: before the beginning.
pub fn place(point: Point, end: Option<Duration>) -> Result<Option<Duration>, Failure> {
    let known = end.ok_or_else(|| {
        Failure::new(
            ErrorKind::Plan,
            "the medium does not say how long it is, so points in percent or from its end cannot be found",
        )
    });
    Ok(match point {
        Point::Start(at) => Some(at),
        Point::End(back) => known?.checked_sub(back),
        Point::Percent(percent) => Some(known?.mul_f64(percent.clamp(0.0, 100.0) / 100.0)),
    })
}

/// How long a frame of this stream lasts.
pub fn frame(video: &VideoStream) -> Duration {
    match video.fps {
        (0, _) | (_, 0) => USUAL_FRAME,
        (num, den) => Duration::from_secs_f64(f64::from(den) / f64::from(num)),
    }
}

/// A length for people: `12.5 s`.
pub fn seconds(length: Duration) -> String {
    let text = format!("{:.3}", length.as_secs_f64());
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text} s")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing::{film, media, video};

    fn ask(points: &[Point], end: Option<f64>, film_end: Option<f64>) -> String {
        let mut film = video(film(640, 360));
        film.duration = film_end.map(Duration::from_secs_f64);
        let mut medium = media(vec![film]);
        medium.duration = end.map(Duration::from_secs_f64);
        match resolve(points, &medium, medium.video().unwrap()) {
            Err(failure) => format!("{}: {}", failure.kind.as_str(), failure.message),
            Ok((stills, findings)) => {
                let mut words: Vec<String> = stills
                    .iter()
                    .map(|still| format!("{} at {}", still.number, seconds(still.at)))
                    .collect();
                words.extend(findings.into_iter().map(|finding| finding.message));
                words.join("; ")
            }
        }
    }

    #[test]
    fn points_are_found_or_reported() {
        let start = |at: f64| Point::Start(Duration::from_secs_f64(at));
        let back = |at: f64| Point::End(Duration::from_secs_f64(at));
        let table = [
            ask(&[start(5.0)], Some(10.0), None),
            ask(&[Point::Percent(50.0), start(1.0), back(1.0)], Some(10.0), None),
            ask(&[Point::Percent(100.0), start(10.0), back(0.0)], Some(10.0), None),
            ask(&[Point::Percent(100.0), start(9.7)], Some(10.0), Some(9.5)),
            ask(&[start(5.0), start(10.5), back(11.0)], Some(10.0), None),
            ask(&[start(10.5), start(99.0)], Some(10.0), None),
            ask(&[back(11.0)], Some(10.0), None),
            ask(&[start(5.0)], None, None),
            ask(&[start(5.0), Point::Percent(10.0)], None, None),
            ask(&[back(1.0)], None, None),
            ask(&[Point::Percent(100.0)], Some(0.02), None),
        ];
        insta::assert_snapshot!(table.join("\n"), @r"
        1 at 5 s
        2 at 1 s; 1 at 5 s; 3 at 9 s
        1 at 9.96 s; 2 at 9.96 s; 3 at 9.96 s
        1 at 9.46 s; 2 at 9.46 s
        1 at 5 s; point 2 at 10.5 s lies beyond the end at 10 s; point 3 lies before the beginning: the medium is 10 s long
        plan: point 1 at 10.5 s lies beyond the end at 10 s
        plan: point 1 lies before the beginning: the medium is 10 s long
        1 at 5 s
        plan: the medium does not say how long it is, so points in percent or from its end cannot be found
        plan: the medium does not say how long it is, so points in percent or from its end cannot be found
        1 at 0 s
        ");
    }
}
