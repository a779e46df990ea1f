//! A bucket in memory, for tests: what it says can be set.

use std::collections::BTreeMap;
use std::io::{Seek, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use rustix::fs::MemfdFlags;

use super::{Bucket, BucketError, Content, Lister, Opened, Ranges, Resolved};
use crate::object::{BucketName, Directory, Identity, Object, ObjectKey};

/// A bucket in memory; clones share it.
#[derive(Debug, Clone)]
pub struct MemoryBucket {
    name: BucketName,
    inside: Arc<Mutex<Inside>>,
}

#[derive(Debug, Default)]
struct Inside {
    objects: BTreeMap<ObjectKey, (Vec<u8>, Identity)>,
    answers: BTreeMap<ObjectKey, Resolved>,
    offline: bool,
    gives_ranges: bool,
    bytes_read: u64,
    listing_fails_after: Option<usize>,
    clock: i64,
}

impl MemoryBucket {
    /// An empty bucket.
    ///
    /// # Panics
    /// Where a bucket cannot have this name.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.parse().expect("a bucket's name"),
            inside: Arc::default(),
        }
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an object there; every call makes a new identity.
    pub fn put(&self, key: &ObjectKey, bytes: &[u8]) -> Identity {
        let mut inside = self.inside();
        inside.clock += 1;
        let identity = Identity::local(bytes.len() as u64, inside.clock);
        inside.objects.insert(key.clone(), (bytes.to_vec(), identity.clone()));
        identity
    }

    /// Puts an object there with an identity that it had before.
    pub fn put_as(&self, key: &ObjectKey, bytes: &[u8], identity: Identity) {
        self.inside().objects.insert(key.clone(), (bytes.to_vec(), identity));
    }

    /// Takes an object away.
    pub fn remove(&self, key: &ObjectKey) {
        self.inside().objects.remove(key);
    }

    /// What `resolve` says of a key, until `None` makes it the truth again.
    pub fn answer(&self, key: &ObjectKey, answer: Option<Resolved>) {
        let mut inside = self.inside();
        match answer {
            Some(answer) => inside.answers.insert(key.clone(), answer),
            None => inside.answers.remove(key),
        };
    }

    /// Makes every call fail, or not.
    pub fn set_offline(&self, offline: bool) {
        self.inside().offline = offline;
    }

    /// Makes it give objects by ranges, as one over a network does.
    pub fn give_ranges(&self) {
        self.inside().gives_ranges = true;
    }

    /// Bytes that were read by ranges.
    pub fn bytes_read(&self) -> u64 {
        self.inside().bytes_read
    }

    /// Makes listings fail after so many objects.
    pub fn fail_listing_after(&self, objects: Option<usize>) {
        self.inside().listing_fails_after = objects;
    }
}

fn offline() -> BucketError {
    BucketError::offline("the bucket is offline")
}

#[async_trait]
impl Bucket for MemoryBucket {
    fn name(&self) -> &BucketName {
        &self.name
    }

    async fn check(&self) -> Result<(), BucketError> {
        if self.inside().offline {
            return Err(offline());
        }
        Ok(())
    }

    async fn resolve(&self, key: &ObjectKey) -> Result<Resolved, BucketError> {
        let inside = self.inside();
        if inside.offline {
            return Err(offline());
        }
        if let Some(answer) = inside.answers.get(key) {
            return Ok(answer.clone());
        }
        let mut below = key.as_bytes().to_vec();
        below.push(b'/');
        let is_directory = inside.objects.keys().any(|other| other.as_bytes().starts_with(&below));
        Ok(match inside.objects.get(key) {
            Some((_, identity)) => Resolved::Complete(identity.clone()),
            None if is_directory => Resolved::NotAFile,
            None => Resolved::Gone,
        })
    }

    async fn open(&self, key: &ObjectKey) -> Result<Opened, BucketError> {
        let inside = self.inside();
        if inside.offline {
            return Err(offline());
        }
        let (bytes, identity) = inside
            .objects
            .get(key)
            .ok_or_else(|| BucketError::NotFound(key.clone()))?;
        if inside.gives_ranges {
            let content = Content::Ranges(Arc::new(MemoryRanges {
                bucket: self.clone(),
                key: key.clone(),
                identity: identity.clone(),
            }));
            let identity = identity.clone();
            return Ok(Opened { identity, content });
        }
        let broken = |error: std::io::Error| BucketError::transient("no memory file", error);
        let fd = rustix::fs::memfd_create("object", MemfdFlags::CLOEXEC).map_err(|error| broken(error.into()))?;
        let mut file = std::fs::File::from(fd);
        file.write_all(bytes).and_then(|()| file.rewind()).map_err(broken)?;
        Ok(Opened {
            identity: identity.clone(),
            content: Content::File(file.into()),
        })
    }

    async fn list(&self, directory: &Directory, after: Option<&ObjectKey>) -> Result<Box<dyn Lister>, BucketError> {
        let inside = self.inside();
        if inside.offline {
            return Err(offline());
        }
        let objects = inside
            .objects
            .iter()
            .filter(|(key, _)| directory.contains(key) && after.is_none_or(|after| *key > after))
            .filter(|(key, _)| {
                let mut directories = key.directory().split(|b| *b == b'/');
                !directories.any(crate::object::is_hidden)
            })
            .map(|(key, (_, identity))| Object {
                bucket: self.name.clone(),
                key: key.clone(),
                identity: identity.clone(),
            })
            .collect();
        Ok(Box::new(Pages {
            objects,
            left: inside.listing_fails_after,
        }))
    }
}

#[derive(Debug)]
struct MemoryRanges {
    bucket: MemoryBucket,
    key: ObjectKey,
    identity: Identity,
}

#[async_trait]
impl Ranges for MemoryRanges {
    fn size(&self) -> u64 {
        self.identity.size
    }

    async fn read(&self, offset: u64, length: u64) -> Result<Bytes, BucketError> {
        let mut inside = self.bucket.inside();
        if inside.offline {
            return Err(offline());
        }
        let found = inside.objects.get(&self.key);
        let (bytes, identity) = found.ok_or_else(|| BucketError::NotFound(self.key.clone()))?;
        if *identity != self.identity {
            return Err(BucketError::Changed(self.key.clone()));
        }
        let at = |at: u64| usize::try_from(at).expect("memory");
        let bytes = Bytes::copy_from_slice(&bytes[at(offset)..at(offset + length)]);
        inside.bytes_read += length;
        Ok(bytes)
    }
}

struct Pages {
    objects: Vec<Object>,
    left: Option<usize>,
}

#[async_trait]
impl Lister for Pages {
    async fn next_page(&mut self) -> Result<Vec<Object>, BucketError> {
        let most = self.left.unwrap_or(3).min(3).min(self.objects.len());
        if self.left == Some(0) {
            return Err(BucketError::offline("the listing broke off"));
        }
        self.left = self.left.map(|left| left - most);
        Ok(self.objects.drain(..most).collect())
    }
}
