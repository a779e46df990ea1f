//! What a run tells at its end: images read back, streams that ended early, damage that was met.

use std::time::Duration;

use super::decoder;
use super::failure::plain;
use super::readback;
use super::run::Pulse;
use super::snapshot::slack;
use crate::job::{ErrorKind, Failure, Finding, FindingKind};
use crate::plan::{MediaInfo, SnapshotPlan};
use crate::rule::TaskId;

/// Tells of images that are there, read back, and of points that have none.
pub fn report_stills(
    task: &TaskId,
    plan: &SnapshotPlan,
    written: &[String],
    findings: Vec<Finding>,
    pulse: &mut Pulse<'_>,
) {
    for finding in findings {
        pulse.listener().finding(Some(task), finding);
    }
    if written.is_empty() && !plan.stills.is_empty() {
        let failure = Failure::new(
            ErrorKind::Corrupt,
            "no frame of the medium could be decoded for any still",
        );
        pulse.listener().task_failed(task, failure);
        return;
    }
    for file in written {
        match readback::image(file) {
            Ok((size, report)) => pulse.listener().output(task, file, size, report),
            Err(failure) => {
                pulse.listener().task_failed(task, failure);
                return;
            }
        }
    }
}

/// Tells where the streams that were decoded end far before the end that the container declares.
pub fn report_truncation(media: &MediaInfo, video: Option<Duration>, audio: Option<Duration>, pulse: &mut Pulse<'_>) {
    const DECLARING: [&str; 8] = [
        "Quicktime",
        "ISO MP4",
        "Matroska",
        "WebM",
        "AVI",
        "Flash",
        "WAV",
        "FLAC",
    ];
    let lower = media.container.to_lowercase();
    let declares = DECLARING.iter().any(|name| lower.contains(&name.to_lowercase()));
    let Some(length) = media.duration.filter(|_| declares) else {
        return;
    };
    let Some(end) = video.max(audio) else { return };
    if end + slack(length) >= length {
        return;
    }
    let parts: Vec<_> = [("video", video), ("sound", audio)]
        .into_iter()
        .filter_map(|(what, end)| {
            end.map(|end| {
                format!(
                    "{what} ends at {:.1} s of {:.1} s",
                    end.as_secs_f64(),
                    length.as_secs_f64()
                )
            })
        })
        .collect();
    let finding = Finding {
        kind: FindingKind::Truncated,
        message: parts.join("; "),
    };
    pulse.listener().finding(None, finding);
}

/// Tells of damage that decoders met.
pub fn report_damage(damaged: u64, pulse: &mut Pulse<'_>) {
    let heard = decoder::take_complaints();
    if heard.count == 0 && damaged == 0 {
        return;
    }
    let mut message = format!("damaged data was met {} times", heard.count.max(damaged));
    if !heard.first.is_empty() {
        message.push_str(": ");
        message.push_str(heard.first.trim());
    }
    let finding = Finding {
        kind: FindingKind::Corrupt,
        message: plain(&message),
    };
    pulse.listener().finding(None, finding);
}
