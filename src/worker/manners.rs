//! How much a worker may say: who talks without end keeps the daemon, its log and its database busy.

use std::time::Duration;

use super::distrust::protocol;
use super::protocol::FromWorker;
use crate::job::Failure;

/// Far above what an honest run says.
const MESSAGES: u64 = 10_000;
const MESSAGES_A_SECOND: u64 = 200;
const FINDINGS: u64 = 1_000;
const REFUSALS: u64 = 10;
/// One for each task of a rule, and another where it has two passes; each is written to the database.
const PROVENANCES: u64 = 400;

/// What was heard of one worker.
#[derive(Debug, Default)]
pub(super) struct Manners {
    messages: u64,
    findings: u64,
    refusals: u64,
    provenances: u64,
}

impl Manners {
    /// Counts a message.
    ///
    /// # Errors
    /// `Protocol`, where it is one too many for the time that the worker has lived.
    pub fn hear(&mut self, message: &FromWorker, lived: Duration) -> Result<(), Failure> {
        match message {
            // Of files each is told once, and no more than a run may have.
            FromWorker::Output { .. } => return Ok(()),
            FromWorker::Provenance { .. } => self.provenances += 1,
            FromWorker::Finding { .. } => self.findings += 1,
            FromWorker::Refused { .. } => self.refusals += 1,
            _ => {}
        }
        self.messages += 1;
        let most = MESSAGES.saturating_add(lived.as_secs().saturating_mul(MESSAGES_A_SECOND));
        if self.messages > most
            || self.findings > FINDINGS
            || self.refusals > REFUSALS
            || self.provenances > PROVENANCES
        {
            return Err(protocol("the worker says too much"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::protocol::Progress;

    fn heard(message: &FromWorker, lived: Duration, most: u64) -> u64 {
        let mut manners = Manners::default();
        (0..most)
            .take_while(|_| manners.hear(message, lived).is_ok())
            .count()
            .try_into()
            .unwrap()
    }

    #[test]
    fn an_honest_run_of_hours_is_heard_to_its_end_and_chatter_is_not() {
        let progress = FromWorker::Progress(Progress::default());
        let hour = Duration::from_hours(1);
        assert_eq!(heard(&progress, hour, 36_000), 36_000);
        assert_eq!(heard(&progress, Duration::ZERO, 1 << 20), MESSAGES);
        let refused = FromWorker::Refused { calls: Vec::new() };
        assert_eq!(heard(&refused, hour, 1 << 20), REFUSALS);
    }
}
