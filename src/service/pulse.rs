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
    use std::path::PathBuf;
    use std::sync::Arc;
    use std::sync::atomic::Ordering;
    use std::time::Duration;

    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::bucket::memory::MemoryBucket;
    use crate::service::runner::Workshop;
    use crate::service::{dispatch, tests_support};
    use crate::worker::spawn::WorkerSettings;

    #[tokio::test]
    async fn a_dispatch_that_hangs_gives_no_sign_and_one_that_goes_on_does_again() {
        let (mill, store) = tests_support::mill(Arc::new(MemoryBucket::new("inbox")), PathBuf::from("/"), Vec::new());
        let shop = Workshop {
            worker: WorkerSettings::new(PathBuf::from("/nowhere"), PathBuf::from("/nowhere")),
            threads: 1,
        };
        let stop = CancellationToken::new();
        let mut beats = mill.pulse.watch_beats();
        let looking = async {
            beats.wait_for(|count| *count >= 1).await.expect("a first beat");
            store.hangs.store(true, Ordering::SeqCst);
            let claims = store.claims.load(Ordering::SeqCst);
            let count = *beats.borrow_and_update();
            mill.queue_changed.notify_one();
            while store.claims.load(Ordering::SeqCst) == claims {
                tokio::task::yield_now().await;
            }
            // It hangs now; more wishes change nothing.
            mill.queue_changed.notify_one();
            let beat = tokio::time::timeout(Duration::from_millis(100), beats.changed());
            assert!(beat.await.is_err(), "a beat of a loop that hangs");
            assert_eq!(*beats.borrow(), count);
            store.hangs.store(false, Ordering::SeqCst);
            beats.wait_for(|now| *now > count).await.expect("a beat again");
            stop.cancel();
        };
        let running = dispatch::run(mill.clone(), Arc::new(shop), "here".into(), stop.clone());
        let both = async { tokio::join!(running, looking) };
        tokio::time::timeout(Duration::from_secs(30), both)
            .await
            .expect("in time");
    }

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
