//! Signs of life that services leave for whoever supervises the daemon. They leave them whether or not somebody looks:
//! nothing here waits, sends or decides.

use std::collections::BTreeSet;

use tokio::sync::watch;

use crate::object::BucketName;

/// The signs; each may be watched.
#[derive(Debug, Default)]
pub struct Pulse {
    beats: watch::Sender<u64>,
    listed: watch::Sender<BTreeSet<BucketName>>,
    reloads: watch::Sender<Reloads>,
}

/// How many times somebody asked for the rules to be read again, and up to which of them that was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reloads {
    /// Asked so often.
    pub asked: u64,
    /// What was asked up to here is done, be it in vain.
    pub done: u64,
}

impl Pulse {
    /// The loop that makes progress came round.
    pub fn beat(&self) {
        self.beats.send_modify(|count| *count += 1);
    }

    /// A listing of this bucket has been started.
    pub fn listing(&self, bucket: &BucketName) {
        self.listed.send_if_modified(|all| all.insert(bucket.clone()));
    }

    /// Somebody asks for the rules to be read again.
    pub fn ask_reload(&self) {
        self.reloads.send_modify(|reloads| reloads.asked += 1);
    }

    /// How it stands with reading the rules again. Whoever reads them takes this before, and hands `asked` to
    /// [`Self::reloaded`] after, so that a wish in between is not taken for done.
    pub fn reloads(&self) -> Reloads {
        *self.reloads.borrow()
    }

    /// The rules were read for all who had asked up to then.
    pub fn reloaded(&self, asked: u64) {
        self.reloads
            .send_if_modified(|reloads| std::mem::replace(&mut reloads.done, asked) != asked);
    }

    /// Tells of beats.
    pub fn watch_beats(&self) -> watch::Receiver<u64> {
        self.beats.subscribe()
    }

    /// Tells which buckets are being listed or have been.
    pub fn watch_listed(&self) -> watch::Receiver<BTreeSet<BucketName>> {
        self.listed.subscribe()
    }

    /// Tells of wishes to read the rules again, and of their fulfilment.
    pub fn watch_reloads(&self) -> watch::Receiver<Reloads> {
        self.reloads.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_that_comes_while_rules_are_read_is_not_taken_for_done() {
        let pulse = Pulse::default();
        pulse.ask_reload();
        let before = pulse.reloads();
        pulse.ask_reload();
        pulse.reloaded(before.asked);
        assert_eq!(pulse.reloads(), Reloads { asked: 2, done: 1 });
    }
}
