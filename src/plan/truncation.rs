//! Whether the streams of a source ended where they were declared to end.

use std::time::Duration;

use super::stills::seconds;
use super::{MediaInfo, TrackReport};
use crate::job::{Finding, FindingKind};

/// Containers whose length is written in them, and not guessed from their bitrate or their last packets.
const DECLARING: [&str; 9] = [
    "quicktime",
    "iso mp4",
    "iso fragmented mp4",
    "matroska",
    "webm",
    "avi",
    "flash",
    "wav",
    "flac",
];

/// Where the streams that were decoded ended; none: not decoded, or not to its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ends {
    /// The film.
    pub video: Option<Duration>,
    /// The sound.
    pub audio: Option<Duration>,
}

impl Ends {
    /// As the tracks of a result tell of their source.
    pub(super) fn of(tracks: &[TrackReport]) -> Self {
        let end = |video: bool| {
            let track = tracks.iter().find(|track| track.video == video);
            track.map(|track| track.source_end)
        };
        Self {
            video: end(true),
            audio: end(false),
        }
    }
}

/// A finding for each stream that ended before the end that the container declares for it or, where it declares
/// only one for all, before that.
#[must_use]
pub fn truncated(ends: Ends, media: &MediaInfo) -> Vec<Finding> {
    let container = media.container.to_lowercase();
    let of_all = media
        .duration
        .filter(|_| DECLARING.iter().any(|name| container.contains(name)));
    [
        ("video", ends.video, media.video_stream()),
        ("sound", ends.audio, media.audio_stream()),
    ]
    .into_iter()
    .filter_map(|(what, end, stream)| {
        let (end, declared) = (end?, stream?.duration.or(of_all)?);
        let lacks = declared.saturating_sub(end);
        (lacks > tolerance(declared)).then(|| Finding {
            kind: FindingKind::Truncated,
            message: format!(
                "the source's {what} ends after {} of {}",
                seconds(end),
                seconds(declared)
            ),
        })
    })
    .collect()
}

fn tolerance(declared: Duration) -> Duration {
    Duration::from_secs(1).max(declared.mul_f64(0.02))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing::{audio, film, media, video};

    /// Video and sound with these declared lengths, in a container that declares 100 s, decoded so far.
    fn found(container: &str, declared: [Option<u64>; 2], ends: [f64; 2]) -> String {
        let mut streams = vec![video(film(640, 360)), audio(2, 48_000)];
        for (stream, length) in streams.iter_mut().zip(declared) {
            stream.duration = length.map(Duration::from_secs);
        }
        let mut medium = media(streams);
        medium.container = container.to_owned();
        medium.duration = Some(Duration::from_secs(100));
        let ends = ends.map(|end| Some(Duration::from_secs_f64(end)));
        let ends = Ends {
            video: ends[0],
            audio: ends[1],
        };
        let messages: Vec<_> = truncated(ends, &medium)
            .into_iter()
            .map(|finding| finding.message)
            .collect();
        if messages.is_empty() {
            return "good".to_owned();
        }
        messages.join("; ")
    }

    #[test]
    fn every_stream_is_held_to_its_own_end_or_else_to_that_of_the_medium() {
        let own = [Some(100), Some(60)];
        let table = [
            found("Quicktime", own, [98.0, 59.0]),
            found("Quicktime", own, [97.9, 60.0]),
            found("Quicktime", own, [100.0, 30.0]),
            found("Quicktime", own, [50.0, 50.0]),
            found("Matroska", [None; 2], [100.0, 99.0]),
            found("Matroska", [None; 2], [100.0, 60.0]),
            found("MPEG-2 Transport Stream", [None; 2], [100.0, 60.0]),
        ];
        insta::assert_snapshot!(table.join("\n"), @r"
        good
        the source's video ends after 97.9 s of 100 s
        the source's sound ends after 30 s of 60 s
        the source's video ends after 50 s of 100 s; the source's sound ends after 50 s of 60 s
        good
        the source's sound ends after 60 s of 100 s
        good
        ");
    }
}
