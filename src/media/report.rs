//! What a run tells at its end: streams that ended early, damage that was met.

use super::decoder;
use super::failure::plain;
use super::run::Pulse;
use crate::job::{Finding, FindingKind};
use crate::plan::{Ends, MediaInfo, truncated};

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
