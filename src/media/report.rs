//! What a run tells at its end: images read back, streams that ended early, damage that was met.

use super::decoder;
use super::failure::plain;
use super::readback;
use super::run::Pulse;
use crate::job::{ErrorKind, Failure, Finding, FindingKind};
use crate::plan::{Ends, MediaInfo, SnapshotPlan, truncated};
use crate::rule::TaskId;

/// Tells of images that are there, read back, and of points that have none.
///
/// # Errors
/// What ends the task: there is no image at all, or one that cannot be read.
pub fn report_stills(
    task: &TaskId,
    plan: &SnapshotPlan,
    written: &[String],
    findings: Vec<Finding>,
    pulse: &mut Pulse<'_>,
) -> Result<(), Failure> {
    for finding in findings {
        pulse.listener().finding(Some(task), finding);
    }
    if written.is_empty() && !plan.stills.is_empty() {
        return Err(Failure::new(
            ErrorKind::Corrupt,
            "no frame of the medium could be decoded for any still",
        ));
    }
    for file in written {
        let (size, report) = readback::image(file)?;
        pulse.listener().output(task, file, size, report);
    }
    Ok(())
}

/// Tells which of the streams that were decoded ended before they should have.
pub fn report_truncation(media: &MediaInfo, ends: Ends, pulse: &mut Pulse<'_>) {
    for finding in truncated(ends, media) {
        pulse.listener().finding(None, finding);
    }
}

/// Tells of damage that decoders met.
pub fn report_damage(damaged: u64, pulse: &mut Pulse<'_>) {
    let heard = decoder::take_complaints();
    if heard.count == 0 && damaged == 0 {
        return;
    }
    let mut message = match heard.count.max(damaged) {
        1 => "damaged data was met once".to_owned(),
        count => format!("damaged data was met {count} times"),
    };
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
