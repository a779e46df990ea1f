//! A bucket over a network as one of the buckets: what [`Remote`] answers, said as everywhere.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use tokio::time::Instant;

use super::mark::{JOB, OUTPUT, ours};
use super::remote::{From, Head, Remote};
use super::{Bucket, BucketError, Content, Lister, Opened, Ranges, Resolved};
use crate::object::{BucketName, Directory, Identity, Object, ObjectKey, is_hidden};

/// For how long a bucket that answered is taken to be there.
const FRESH: Duration = Duration::from_secs(10);
/// For how long one that did not is not asked again.
const SILENT: Duration = Duration::from_secs(5);
/// Objects in a page of a listing.
const PAGE: u16 = 1000;

/// A bucket over a network.
#[derive(Debug)]
pub struct FarBucket {
    name: BucketName,
    /// As the server knows it.
    s3_bucket: String,
    remote: Arc<dyn Remote>,
    /// When it was last asked whether it is there, and what was wrong.
    asked: Mutex<Option<(Instant, Option<String>)>>,
}

impl FarBucket {
    /// `name` is the config's, `s3_bucket` the server's.
    pub fn new(name: BucketName, s3_bucket: impl Into<String>, remote: Arc<dyn Remote>) -> Self {
        Self {
            name,
            s3_bucket: s3_bucket.into(),
            remote,
            asked: Mutex::default(),
        }
    }

    fn asked(&self) -> std::sync::MutexGuard<'_, Option<(Instant, Option<String>)>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_ours(&self, key: &ObjectKey, head: &Head) -> bool {
        head.metadata.contains_key(JOB)
            && head
                .metadata
                .get(OUTPUT)
                .is_some_and(|output| *output == ours(&self.s3_bucket, key))
    }
}

#[async_trait]
impl Bucket for FarBucket {
    fn name(&self) -> &BucketName {
        &self.name
    }

    async fn check(&self) -> Result<(), BucketError> {
        match &*self.asked() {
            Some((when, None)) if when.elapsed() < FRESH => return Ok(()),
            // Many ask one after the other, and each would wait for as long.
            Some((when, Some(message))) if when.elapsed() < SILENT => {
                return Err(BucketError::offline(message.clone()));
            }
            _ => {}
        }
        let asked = Instant::now();
        let answer = self.remote.reachable().await;
        *self.asked() = match &answer {
            Ok(()) => Some((asked, None)),
            Err(error @ BucketError::Transient { .. }) => Some((Instant::now(), Some(error.to_string()))),
            Err(_) => None,
        };
        answer
    }

    async fn resolve(&self, key: &ObjectKey) -> Result<Resolved, BucketError> {
        match self.remote.head(key).await {
            Ok(head) if self.is_ours(key, &head) => Ok(Resolved::Ours(head.identity)),
            Ok(head) => Ok(Resolved::Complete(head.identity)),
            Err(BucketError::NotFound(_)) => Ok(Resolved::Gone),
            Err(error) => Err(error),
        }
    }

    async fn open(&self, key: &ObjectKey) -> Result<Opened, BucketError> {
        let head = self.remote.head(key).await?;
        let ranges = FarRanges {
            remote: self.remote.clone(),
            key: key.clone(),
            identity: head.identity.clone(),
        };
        Ok(Opened {
            identity: head.identity,
            content: Content::Ranges(Arc::new(ranges)),
        })
    }

    async fn list(&self, directory: &Directory, after: Option<&ObjectKey>) -> Result<Box<dyn Lister>, BucketError> {
        // Keys of a directory that the listing is past are not after, and those before it are all of it.
        let from = match after {
            Some(after) if after.as_bytes() > directory.as_str().as_bytes() => From::After(after.clone()),
            _ => From::Start,
        };
        Ok(Box::new(FarPages {
            remote: self.remote.clone(),
            name: self.name.clone(),
            prefix: directory.as_str().to_owned(),
            from: Some(from),
            last: None,
        }))
    }

    fn remote(&self) -> Option<Arc<dyn Remote>> {
        Some(self.remote.clone())
    }

    fn arrival(&self, identity: &Identity) -> Option<Timestamp> {
        // Servers say it in whole seconds: what came in the second in which something else happened may have come after.
        const REST: i128 = 999_999_999;
        Timestamp::from_nanosecond(i128::from(identity.modified_ns) + REST).ok()
    }
}

#[derive(Debug)]
struct FarRanges {
    remote: Arc<dyn Remote>,
    key: ObjectKey,
    identity: Identity,
}

#[async_trait]
impl Ranges for FarRanges {
    fn size(&self) -> u64 {
        self.identity.size
    }

    async fn read(&self, offset: u64, length: u64) -> Result<Bytes, BucketError> {
        self.remote.read(&self.key, &self.identity, offset, length).await
    }
}

struct FarPages {
    remote: Arc<dyn Remote>,
    name: BucketName,
    prefix: String,
    /// None: the last page was read.
    from: Option<From>,
    last: Option<ObjectKey>,
}

#[async_trait]
impl Lister for FarPages {
    async fn next_page(&mut self) -> Result<Vec<Object>, BucketError> {
        // A page may hold nothing that is wanted and still not be the last one.
        while let Some(from) = self.from.take() {
            let page = self.remote.page(&self.prefix, &from, PAGE).await?;
            if let (Some(last), Some(first)) = (&self.last, page.objects.first())
                && first.key <= *last
            {
                return Err(BucketError::offline(format!(
                    "bucket {}: the listing begins again at {}",
                    self.name, first.key
                )));
            }
            if let Some(object) = page.objects.last() {
                self.last = Some(object.key.clone());
            }
            let next = page.next.map(From::Next);
            if next.is_some() && next.as_ref() == Some(&from) {
                return Err(BucketError::offline(format!(
                    "bucket {}: the listing does not go on",
                    self.name
                )));
            }
            self.from = next;
            let mut objects = page.objects;
            objects.retain(|object| is_seen(&object.key));
            if !objects.is_empty() {
                return Ok(objects);
            }
        }
        Ok(Vec::new())
    }
}

/// Whether no directory of a key is hidden.
fn is_seen(key: &ObjectKey) -> bool {
    !key.directory().split(|byte| *byte == b'/').any(is_hidden)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bucket::conformance::{key, listed, read};
    use crate::bucket::memory_remote::Fault::{Busy, Denied};
    use crate::bucket::memory_remote::{Call, MemoryRemote};

    fn far() -> (MemoryRemote, FarBucket) {
        let remote = MemoryRemote::new("far");
        let bucket = FarBucket::new("far".parse().unwrap(), "far-away", Arc::new(remote.clone()));
        (remote, bucket)
    }

    #[tokio::test]
    async fn what_says_that_it_was_written_here_under_this_name_is_ours() {
        let (remote, bucket) = far();
        let name = key("out/\u{fc} 100%.mp4".as_bytes());
        let own = ours("far-away", &name);
        let elsewhere = ours("far-away", &key(b"out/other.mp4"));
        let other_bucket = ours("near", &name);
        for (metadata, is_ours) in [
            (vec![(JOB, "1"), (OUTPUT, own.as_str())], true),
            (vec![(OUTPUT, own.as_str())], false),
            (vec![(JOB, "1")], false),
            (vec![(JOB, "1"), (OUTPUT, elsewhere.as_str())], false),
            (vec![(JOB, "1"), (OUTPUT, other_bucket.as_str())], false),
            (vec![], false),
        ] {
            let identity = remote.put_bytes(&name, b"x", &metadata);
            let wanted = if is_ours {
                Resolved::Ours(identity)
            } else {
                Resolved::Complete(identity)
            };
            assert_eq!(bucket.resolve(&name).await.unwrap(), wanted, "{metadata:?}");
        }
    }

    #[test]
    fn long_keys_are_short_in_metadata_and_still_told_apart() {
        assert_eq!(ours("b", &key(b"a/b.mp4")), "b/a/b.mp4");
        let long = |last: &str| key(["\u{65e5}".repeat(300), last.to_owned()].concat().as_bytes());
        let [one, other] = ["1", "2"].map(|last| ours("b", &long(last)));
        assert!(one.len() < 100 && one.starts_with("sha256:"), "{one}");
        assert_ne!(one, other);
        assert_ne!(ours("b", &key(b"\xff")), ours("b", &key(b"\xfe")));
    }

    #[tokio::test]
    async fn a_failure_is_no_word_that_nothing_is_there() {
        let (remote, bucket) = far();
        remote.fail(Call::Head, [Busy, Denied]);
        let name = key(b"a.mp4");
        assert!(matches!(
            bucket.resolve(&name).await,
            Err(BucketError::Transient { .. })
        ));
        assert!(matches!(
            bucket.resolve(&name).await,
            Err(BucketError::Permanent { .. })
        ));
        assert_eq!(bucket.resolve(&name).await.unwrap(), Resolved::Gone);
    }

    #[tokio::test]
    async fn what_was_opened_is_read_and_nothing_else() {
        let (remote, bucket) = far();
        let name = key(b"a.mp4");
        let identity = remote.put_bytes(&name, b"hello", &[]);
        let opened = bucket.open(&name).await.unwrap();
        assert_eq!(opened.identity, identity);
        assert_eq!(read(&opened.content).await, b"hello");
        let Content::Ranges(ranges) = opened.content else {
            panic!("no ranges");
        };
        assert_eq!(&ranges.read(1, 3).await.unwrap()[..], b"ell");
        remote.put_bytes(&name, b"other", &[]);
        assert!(matches!(ranges.read(1, 3).await, Err(BucketError::Changed(_))));
        remote.remove(&name);
        assert!(matches!(ranges.read(1, 3).await, Err(BucketError::NotFound(_))));
        assert!(matches!(bucket.open(&name).await, Err(BucketError::NotFound(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn that_it_answered_or_not_is_believed_for_a_while() {
        let (remote, bucket) = far();
        bucket.check().await.unwrap();
        remote.set_offline(true);
        bucket.check().await.unwrap();
        assert_eq!(remote.take_calls(), [Call::Reachable]);
        tokio::time::sleep(FRESH).await;
        assert!(bucket.check().await.is_err());
        remote.set_offline(false);
        remote.take_calls();
        assert!(bucket.check().await.is_err());
        assert_eq!(remote.take_calls(), [], "many ask one after the other");
        tokio::time::sleep(SILENT).await;
        bucket.check().await.unwrap();
    }

    #[tokio::test]
    async fn pages_without_anything_wanted_do_not_end_a_listing() {
        let (remote, bucket) = far();
        remote.set_page(2);
        for number in 0..9 {
            remote.put_bytes(&key(format!(".reelmill/{number}").as_bytes()), b"x", &[]);
            remote.put_bytes(&key(format!("in/.hidden/{number}").as_bytes()), b"x", &[]);
        }
        remote.put_bytes(&key(b"in/.hidden-file"), b"x", &[]);
        remote.put_bytes(&key(b"z.mp4"), b"x", &[]);
        let all = listed(&bucket, "", None).await.unwrap();
        let keys: Vec<_> = all.into_iter().map(|object| object.key).collect();
        assert_eq!(keys, [key(b"in/.hidden-file"), key(b"z.mp4")]);
        let after = listed(&bucket, "in", Some(&key(b"a"))).await.unwrap();
        assert_eq!(after.len(), 1, "a key before the directory is before all of it");
        let after = listed(&bucket, "in", Some(&key(b"y"))).await.unwrap();
        assert!(after.is_empty());
    }

    #[tokio::test]
    async fn a_listing_that_breaks_off_says_so() {
        let (remote, bucket) = far();
        remote.set_page(1);
        remote.put_bytes(&key(b"a.mp4"), b"x", &[]);
        remote.put_bytes(&key(b"b.mp4"), b"x", &[]);
        let mut lister = bucket.list(&Directory::default(), None).await.unwrap();
        assert_eq!(lister.next_page().await.unwrap().len(), 1);
        remote.fail(Call::Page, [Busy]);
        assert!(lister.next_page().await.is_err());
    }

    #[test]
    fn an_object_came_when_it_was_last_modified() {
        let (remote, bucket) = far();
        let identity = remote.put_bytes(&key(b"a.mp4"), b"x", &[]);
        let came = bucket.arrival(&identity).unwrap();
        assert_eq!(came.as_second(), identity.modified_ns / 1_000_000_000);
    }
}
