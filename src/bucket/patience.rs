//! Waiting for a disk, but not for ever: a network mount whose server is gone never answers.
//!
//! Calls work on threads that may wait. Of one bucket only a few wait at once, and while one has waited for too long,
//! further ones are refused: a mount that hangs must not take all the threads of the daemon.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::BucketError;
use crate::object::BucketName;

/// Threads of one bucket.
const AT_ONCE: usize = 4;
/// How long a call about one file may take.
pub(super) const ANSWER: Duration = Duration::from_secs(20);
/// How long a page of a listing may take: a directory of millions on a slow server is read whole.
pub(super) const PAGE: Duration = Duration::from_mins(5);

/// How the calls of one bucket stand.
#[derive(Debug)]
pub(super) struct Patience {
    threads: Arc<Semaphore>,
    working: Arc<Mutex<Working>>,
}

/// Calls that a thread works on, and when each should have answered.
#[derive(Debug, Default)]
struct Working {
    due: BTreeMap<u64, Instant>,
    number: u64,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            threads: Arc::new(Semaphore::new(AT_ONCE)),
            working: Arc::default(),
        }
    }
}

impl Patience {
    /// Does work that may wait, but not for longer than this.
    pub(super) async fn wait<T: Send + 'static>(
        &self,
        bucket: &BucketName,
        longest: Duration,
        work: impl FnOnce() -> Result<T, BucketError> + Send + 'static,
    ) -> Result<T, BucketError> {
        let permit = loop {
            if self.hangs() {
                return Err(silent(bucket));
            }
            // A long queue that moves is no reason to give up.
            if let Ok(Ok(permit)) = timeout(ANSWER, self.threads.clone().acquire_owned()).await {
                break permit;
            }
        };
        let number = self.next_number();
        let working = self.working.clone();
        let thread = tokio::task::spawn_blocking(move || {
            held(&working).due.insert(number, Instant::now() + longest);
            let done = work();
            held(&working).due.remove(&number);
            drop(permit);
            done
        });
        match timeout(longest, thread).await {
            Ok(Ok(done)) => done,
            Ok(Err(error)) => Err(BucketError::transient(
                format!("bucket {bucket}: a call was broken off"),
                std::io::Error::other(error),
            )),
            Err(_) => {
                // The thread began a little later than this clock did: its time is over all the same.
                if let Some(due) = held(&self.working).due.get_mut(&number) {
                    *due = Instant::now();
                }
                Err(silent(bucket))
            }
        }
    }

    fn next_number(&self) -> u64 {
        let mut working = held(&self.working);
        working.number += 1;
        working.number
    }

    fn hangs(&self) -> bool {
        let now = Instant::now();
        held(&self.working).due.values().any(|due| *due <= now)
    }
}

fn held(working: &Mutex<Working>) -> MutexGuard<'_, Working> {
    working.lock().unwrap_or_else(PoisonError::into_inner)
}

fn silent(bucket: &BucketName) -> BucketError {
    BucketError::offline(format!(
        "bucket {bucket} is offline: its file system does not answer; look at the server or the disk that it is on"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[tokio::test]
    async fn a_call_that_hangs_has_others_refused_until_it_is_back() {
        let bucket: BucketName = "nas".parse().unwrap();
        let patience = Patience::default();
        let short = Duration::from_millis(50);
        let (answer, hanging) = mpsc::channel::<()>();
        let hung = patience.wait(&bucket, short, move || Ok(hanging.recv().is_ok())).await;
        assert!(hung.unwrap_err().to_string().contains("does not answer"));
        let refused = patience.wait(&bucket, ANSWER, || -> Result<(), BucketError> {
            panic!("no thread is spent")
        });
        assert!(refused.await.unwrap_err().to_string().contains("does not answer"));
        answer.send(()).unwrap();
        let deadline = Instant::now() + Duration::from_mins(1);
        while patience.wait(&bucket, ANSWER, || Ok(())).await.is_err() {
            assert!(Instant::now() < deadline, "it never came back");
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn more_calls_than_threads_take_turns() {
        let bucket: BucketName = "nas".parse().unwrap();
        let patience = Patience::default();
        let calls = (0..50).map(|number| patience.wait(&bucket, ANSWER, move || Ok(number)));
        let mut sum = 0;
        for call in calls {
            sum += call.await.unwrap();
        }
        assert_eq!(sum, 49 * 25);
    }
}
