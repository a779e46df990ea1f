//! Patience with a bucket over a network: what may pass is asked again, what does not answer is given up, and only so much
//! is asked at once.
//!
//! A write on a condition is asked again as well. Where the first reply was lost the second one is `Changed`, or
//! `NotFound` for an upload in parts, and is reported so: whether the name is taken by others or by this very write, the
//! object's metadata says to whoever wrote it.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::BucketError;
use super::remote::{Condition, From, Head, NewObject, OpenUpload, Page, PartTag, Remote, Stretch, UploadId};
use crate::object::{BucketName, Identity, ObjectKey};

/// Requests of one bucket that are under way at once.
const AT_ONCE: usize = 32;
/// Requests of one bucket that send the bytes of a file and are under way at once.
const SENDING_AT_ONCE: usize = 4;
/// How often something is asked at most.
const ATTEMPTS: u32 = 5;
/// How often something is asked at most that did not answer in time.
const SILENT_ATTEMPTS: u32 = 2;
/// The wait before the second attempt; each further one is twice as long. All together are about 8 s.
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// How long a question without much to send may take.
const ANSWER: Duration = Duration::from_secs(20);
/// How long a page of a listing may take.
const PAGE: Duration = Duration::from_mins(1);
/// How long a server may take to put parts together or to copy, besides what the size adds.
const WORK: Duration = Duration::from_mins(5);
/// Bytes that are sent or fetched in a second at least.
const SLOWEST: u64 = 128 << 10;
/// Bytes that a server copies in a second at least.
const SLOWEST_COPY: u64 = 4 << 20;

/// A bucket over a network, asked with patience.
#[derive(Debug)]
pub struct Guarded<R> {
    name: BucketName,
    remote: R,
    under_way: Semaphore,
    /// Of those, what sends much: on a slow line a few get on, and many would all come too late.
    sending: Semaphore,
}

/// How a call is asked.
#[derive(Debug, Clone, Copy)]
struct Manner {
    /// For people.
    what: &'static str,
    /// How long an attempt may take.
    longest: Duration,
    attempts: u32,
    /// Sends bytes that take their time.
    sends: bool,
}

fn manner(what: &'static str, longest: Duration) -> Manner {
    Manner {
        what,
        longest,
        attempts: ATTEMPTS,
        sends: false,
    }
}

fn transfer(what: &'static str, bytes: u64) -> Manner {
    manner(what, ANSWER + Duration::from_secs(bytes / SLOWEST))
}

fn sending(what: &'static str, bytes: u64) -> Manner {
    Manner {
        sends: true,
        ..transfer(what, bytes)
    }
}

/// The wait before the next attempt, after so many: between half and one and a half of what it should be, so that not all
/// who were refused come back together.
fn wait(after: u32) -> Duration {
    let usual = FIRST_WAIT * 2_u32.pow(after.saturating_sub(1).min(16));
    usual.mul_f64(0.5 + rand::random::<f64>())
}

impl<R: Remote> Guarded<R> {
    /// Guards the bucket `name`.
    pub fn new(name: BucketName, remote: R) -> Self {
        Self {
            name,
            remote,
            under_way: Semaphore::new(AT_ONCE),
            sending: Semaphore::new(SENDING_AT_ONCE),
        }
    }

    async fn ask<T, F>(&self, manner: Manner, ask: impl Fn() -> F + Send + Sync) -> Result<T, BucketError>
    where
        F: Future<Output = Result<T, BucketError>> + Send,
        T: Send,
    {
        let (mut attempts, mut silent) = (0, 0);
        loop {
            let answer = {
                let _sending = if manner.sends {
                    Some(self.sending.acquire().await)
                } else {
                    None
                };
                let _permit = self.under_way.acquire().await;
                timeout(manner.longest, ask()).await
            };
            attempts += 1;
            let error = match answer {
                Ok(Ok(done)) => return Ok(done),
                Ok(Err(error @ BucketError::Transient { .. })) => error,
                Ok(Err(error)) => return Err(error),
                Err(_) => {
                    silent += 1;
                    BucketError::offline(format!(
                        "bucket {}: {}: no answer within {} s; look at the server and the network",
                        self.name,
                        manner.what,
                        manner.longest.as_secs()
                    ))
                }
            };
            if attempts >= manner.attempts || silent >= SILENT_ATTEMPTS {
                return Err(error);
            }
            let pause = wait(attempts);
            tracing::debug!(bucket = %self.name, %error, attempts, ?pause, "asking again");
            sleep(pause).await;
        }
    }
}

#[async_trait]
impl<R: Remote> Remote for Guarded<R> {
    async fn reachable(&self) -> Result<(), BucketError> {
        // Who asks this wants to know how it is, and asks again by himself.
        let manner = Manner {
            attempts: 2,
            ..manner("asking whether it is there", ANSWER / 2)
        };
        self.ask(manner, || self.remote.reachable()).await
    }

    async fn head(&self, key: &ObjectKey) -> Result<Head, BucketError> {
        self.ask(manner("asking about an object", ANSWER), || self.remote.head(key))
            .await
    }

    async fn read(&self, key: &ObjectKey, identity: &Identity, offset: u64, length: u64) -> Result<Bytes, BucketError> {
        let manner = transfer("reading", length);
        self.ask(manner, || self.remote.read(key, identity, offset, length))
            .await
    }

    async fn page(&self, prefix: &str, from: &From, most: u16) -> Result<Page, BucketError> {
        self.ask(manner("listing", PAGE), || self.remote.page(prefix, from, most))
            .await
    }

    async fn put(&self, object: &NewObject, content: &Stretch, condition: &Condition) -> Result<(), BucketError> {
        let manner = sending("writing", content.length);
        self.ask(manner, || self.remote.put(object, content, condition)).await
    }

    async fn begin_upload(&self, object: &NewObject) -> Result<UploadId, BucketError> {
        // An answer that is lost leaves an upload of which nobody knows the name: whoever asks sees to that.
        let manner = Manner {
            attempts: 1,
            ..manner("beginning an upload", ANSWER)
        };
        self.ask(manner, || self.remote.begin_upload(object)).await
    }

    async fn upload_part(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        number: u16,
        content: &Stretch,
    ) -> Result<PartTag, BucketError> {
        let manner = sending("writing a part", content.length);
        self.ask(manner, || self.remote.upload_part(key, upload, number, content))
            .await
    }

    async fn complete_upload(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        parts: &[PartTag],
        condition: &Condition,
    ) -> Result<(), BucketError> {
        self.ask(manner("completing an upload", WORK), || {
            self.remote.complete_upload(key, upload, parts, condition)
        })
        .await
    }

    async fn abort_upload(&self, key: &ObjectKey, upload: &UploadId) -> Result<(), BucketError> {
        self.ask(manner("aborting an upload", ANSWER), || {
            self.remote.abort_upload(key, upload)
        })
        .await
    }

    async fn open_uploads(&self, prefix: &str) -> Result<Vec<OpenUpload>, BucketError> {
        self.ask(manner("listing open uploads", PAGE), || {
            self.remote.open_uploads(prefix)
        })
        .await
    }

    async fn delete(&self, key: &ObjectKey, identity: &Identity) -> Result<(), BucketError> {
        self.ask(manner("deleting", PAGE), || self.remote.delete(key, identity))
            .await
    }

    async fn copy(&self, key: &ObjectKey, identity: &Identity, to: &ObjectKey) -> Result<(), BucketError> {
        let longest = WORK + Duration::from_secs(identity.size / SLOWEST_COPY);
        self.ask(manner("copying", longest), || self.remote.copy(key, identity, to))
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bucket::conformance::key;
    use crate::bucket::memory_remote::Fault::{Busy, Changed, Denied, Hangs, LostReply};
    use crate::bucket::memory_remote::{Call, MemoryRemote};
    use crate::bucket::remote_tests::{Files, object};
    use tokio::time::Instant;

    fn guarded() -> (MemoryRemote, Guarded<MemoryRemote>) {
        let remote = MemoryRemote::new("far");
        remote.put_bytes(&key(b"a.mp4"), b"hello", &[]);
        (remote.clone(), Guarded::new("far".parse().unwrap(), remote))
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_pass_is_asked_again_until_it_does() {
        let (remote, guarded) = guarded();
        remote.fail(Call::Head, [Busy; 4]);
        guarded.head(&key(b"a.mp4")).await.unwrap();
        assert_eq!(remote.take_calls(), [Call::Head; 5]);
    }

    #[tokio::test(start_paused = true)]
    async fn after_about_ten_seconds_the_failure_is_told() {
        let (remote, guarded) = guarded();
        remote.set_offline(true);
        let begun = Instant::now();
        let error = guarded.head(&key(b"a.mp4")).await.unwrap_err();
        assert!(matches!(error, BucketError::Transient { .. }));
        assert_eq!(remote.take_calls(), [Call::Head; 5]);
        let taken = begun.elapsed();
        assert!(
            (Duration::from_secs(3)..Duration::from_secs(12)).contains(&taken),
            "{taken:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_will_not_pass_is_not_asked_again() {
        let (remote, guarded) = guarded();
        remote.fail(Call::Head, [Denied, Changed]);
        let name = key(b"a.mp4");
        assert!(matches!(guarded.head(&name).await, Err(BucketError::Permanent { .. })));
        assert!(matches!(guarded.head(&name).await, Err(BucketError::Changed(_))));
        let gone = guarded.head(&key(b"b.mp4")).await;
        assert!(matches!(gone, Err(BucketError::NotFound(_))));
        assert_eq!(remote.take_calls(), [Call::Head; 3]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_answer_is_asked_once_more() {
        let (remote, guarded) = guarded();
        remote.fail(Call::Head, [Hangs]);
        guarded.head(&key(b"a.mp4")).await.unwrap();
        remote.fail(Call::Head, [Hangs; 2]);
        remote.take_calls();
        let error = guarded.head(&key(b"a.mp4")).await.unwrap_err();
        assert_eq!(remote.take_calls(), [Call::Head; 2]);
        assert!(error.to_string().contains("no answer within 20 s"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn much_may_take_longer_than_little() {
        let (remote, guarded) = guarded();
        let identity = guarded.head(&key(b"a.mp4")).await.unwrap().identity;
        remote.fail(Call::Copy, [Hangs; 2]);
        let begun = Instant::now();
        let large = Identity {
            size: 40 << 30,
            ..identity
        };
        assert!(guarded.copy(&key(b"a.mp4"), &large, &key(b"b.mp4")).await.is_err());
        assert!(begun.elapsed() > Duration::from_hours(5));
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_whose_reply_was_lost_is_told_as_the_server_tells_it() {
        let (remote, guarded) = guarded();
        let files = Files::new();
        let new = object(&key(b"new.mp4"));
        let content = files.stretch(b"new");
        remote.fail(Call::Put, [LostReply]);
        let told = guarded.put(&new, &content, &Condition::Absent).await;
        assert!(matches!(told, Err(BucketError::Changed(_))), "{told:?}");
        assert_eq!(remote.stored(&new.key).unwrap().bytes, b"new");
        remote.fail(Call::Put, [LostReply]);
        guarded.put(&new, &content, &Condition::Always).await.unwrap();
        let upload = guarded.begin_upload(&new).await.unwrap();
        remote.fail(Call::UploadPart, [LostReply]);
        let part = guarded.upload_part(&new.key, &upload, 1, &content).await.unwrap();
        remote.fail(Call::CompleteUpload, [LostReply]);
        let told = guarded
            .complete_upload(&new.key, &upload, &[part], &Condition::Always)
            .await;
        assert!(matches!(told, Err(BucketError::NotFound(_))), "{told:?}");
        remote.fail(Call::Delete, [LostReply]);
        let identity = guarded.head(&new.key).await.unwrap().identity;
        guarded.delete(&new.key, &identity).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn only_so_much_is_asked_at_once() {
        let (remote, guarded) = guarded();
        let guarded = std::sync::Arc::new(guarded);
        remote.fail(Call::Head, [Hangs; 2 * AT_ONCE]);
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..AT_ONCE + 5 {
            let guarded = guarded.clone();
            calls.spawn(async move { guarded.head(&key(b"a.mp4")).await });
        }
        sleep(Duration::from_secs(1)).await;
        assert_eq!(remote.take_calls().len(), AT_ONCE);
        sleep(ANSWER).await;
        assert!(remote.take_calls().len() >= 5);
    }

    #[tokio::test(start_paused = true)]
    async fn whether_it_is_there_is_soon_known() {
        let (remote, guarded) = guarded();
        remote.set_offline(true);
        let begun = Instant::now();
        assert!(guarded.reachable().await.is_err());
        assert!(begun.elapsed() < Duration::from_secs(1));
    }
}
