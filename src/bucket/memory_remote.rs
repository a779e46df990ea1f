//! A bucket over a network, in memory, for tests: how careful its server is and which calls fail can be set.

#![allow(missing_docs, reason = "names of calls and fields say all")]
#![allow(clippy::format_collect, reason = "short texts")]

use std::collections::{BTreeMap, VecDeque};
use std::io::{Read, Seek, SeekFrom};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::BucketError;
use super::remote::{
    Abilities, Condition, From, Head, NewObject, OpenUpload, Page, PartTag, Remote, Stretch, UploadId,
};
use crate::object::{BucketName, Identity, Object, ObjectKey};

/// A sort of call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    Reachable,
    Head,
    Read,
    Page,
    Put,
    BeginUpload,
    UploadPart,
    CompleteUpload,
    AbortUpload,
    OpenUploads,
    Delete,
    Copy,
}

/// What happens to a call instead of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is refused, and may be asked again: 503.
    Busy,
    /// It is carried out, and the connection is cut before the answer.
    LostReply,
    /// It never answers.
    Hangs,
    /// It is not permitted.
    Denied,
    /// It says that a condition does not hold.
    Changed,
}

/// An object as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    pub bytes: Vec<u8>,
    pub identity: Identity,
    /// What was given along; none where a test put it there.
    pub written: Option<NewObject>,
    pub metadata: BTreeMap<String, String>,
}

/// A bucket over a network, in memory; clones share it.
#[derive(Debug, Clone)]
pub struct MemoryRemote {
    name: BucketName,
    inside: Arc<Mutex<Inside>>,
}

#[derive(Debug)]
struct Inside {
    objects: BTreeMap<ObjectKey, Stored>,
    uploads: BTreeMap<UploadId, Upload>,
    /// Which conditions it heeds; it ignores the others.
    abilities: Abilities,
    faults: BTreeMap<Call, VecDeque<Fault>>,
    calls: Vec<Call>,
    offline: bool,
    clock: i64,
    numbers: u64,
    has_versions: bool,
    /// The most objects of a page, whatever is asked for.
    page: usize,
}

#[derive(Debug)]
struct Upload {
    object: NewObject,
    parts: BTreeMap<u16, (String, Vec<u8>)>,
    begun: i64,
}

const EVERY: Abilities = Abilities {
    put_absent: true,
    put_is: true,
    complete_absent: true,
    complete_is: true,
};

impl MemoryRemote {
    /// An empty bucket whose server heeds every condition.
    ///
    /// # Panics
    /// Where a bucket cannot have this name.
    pub fn new(name: &str) -> Self {
        let inside = Inside {
            objects: BTreeMap::new(),
            uploads: BTreeMap::new(),
            abilities: EVERY,
            faults: BTreeMap::new(),
            calls: Vec::new(),
            offline: false,
            clock: 1_700_000_000,
            numbers: 0,
            has_versions: false,
            page: 1000,
        };
        Self {
            name: name.parse().expect("a bucket's name"),
            inside: Arc::new(Mutex::new(inside)),
        }
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which conditions the server heeds from now on; it ignores the others.
    pub fn heeds(&self, abilities: Abilities) {
        self.inside().abilities = abilities;
    }

    /// Makes the next calls of this sort fail, each in one of these ways.
    pub fn fail(&self, call: Call, faults: impl IntoIterator<Item = Fault>) {
        self.inside().faults.entry(call).or_default().extend(faults);
    }

    /// Makes every call fail as if nobody were there, or not.
    pub fn set_offline(&self, offline: bool) {
        self.inside().offline = offline;
    }

    /// Gives objects versions from now on.
    pub fn set_versions(&self, has_versions: bool) {
        self.inside().has_versions = has_versions;
    }

    /// Makes pages of listings this small.
    pub fn set_page(&self, objects: usize) {
        self.inside().page = objects;
    }

    /// The calls that came, in order, and forgets them.
    pub fn take_calls(&self) -> Vec<Call> {
        std::mem::take(&mut self.inside().calls)
    }

    /// Puts an object there; every call makes a new identity.
    pub fn put_bytes(&self, key: &ObjectKey, bytes: &[u8], metadata: &[(&str, &str)]) -> Identity {
        let metadata = metadata
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let metadata = metadata.collect();
        self.inside().store(key, bytes.to_vec(), None, metadata)
    }

    /// Takes an object away.
    pub fn remove(&self, key: &ObjectKey) {
        self.inside().objects.remove(key);
    }

    /// An object as it is now.
    pub fn stored(&self, key: &ObjectKey) -> Option<Stored> {
        self.inside().objects.get(key).cloned()
    }

    /// The keys that are there.
    pub fn keys(&self) -> Vec<ObjectKey> {
        self.inside().objects.keys().cloned().collect()
    }

    /// How many uploads in parts are open.
    pub fn open(&self) -> usize {
        self.inside().uploads.len()
    }

    /// Does a call, unless it is to fail. A lock is never held while it waits.
    async fn call<T>(
        &self,
        call: Call,
        key: Option<&ObjectKey>,
        work: impl FnOnce(&mut Inside) -> Result<T, BucketError>,
    ) -> Result<T, BucketError> {
        let offline = || BucketError::offline("the server cannot be reached");
        let fault = {
            let mut inside = self.inside();
            inside.calls.push(call);
            if inside.offline {
                return Err(offline());
            }
            inside.faults.get_mut(&call).and_then(VecDeque::pop_front)
        };
        match fault {
            None => work(&mut self.inside()),
            Some(Fault::Busy) => Err(BucketError::offline("SlowDown (503)")),
            Some(Fault::LostReply) => {
                work(&mut self.inside())?;
                Err(BucketError::offline("the connection was cut"))
            }
            Some(Fault::Hangs) => std::future::pending().await,
            Some(Fault::Denied) => Err(BucketError::Permanent {
                message: "AccessDenied (403)".to_owned(),
                source: None,
            }),
            Some(Fault::Changed) => Err(key.map_or_else(offline, |key| BucketError::Changed(key.clone()))),
        }
    }
}

impl Inside {
    fn store(
        &mut self,
        key: &ObjectKey,
        bytes: Vec<u8>,
        written: Option<NewObject>,
        metadata: BTreeMap<String, String>,
    ) -> Identity {
        self.clock += 1;
        self.numbers += 1;
        let hash = Sha256::digest(&bytes);
        let identity = Identity {
            size: bytes.len() as u64,
            modified_ns: self.clock * 1_000_000_000,
            etag: Some(hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect()),
            version: self.has_versions.then(|| format!("v{}", self.numbers)),
        };
        let stored = Stored {
            bytes,
            identity: identity.clone(),
            written,
            metadata,
        };
        self.objects.insert(key.clone(), stored);
        identity
    }

    fn found(&self, key: &ObjectKey) -> Result<&Stored, BucketError> {
        self.objects.get(key).ok_or_else(|| BucketError::NotFound(key.clone()))
    }

    fn still(&self, key: &ObjectKey, identity: &Identity) -> Result<&Stored, BucketError> {
        let stored = self.found(key)?;
        if stored.identity != *identity {
            return Err(BucketError::Changed(key.clone()));
        }
        Ok(stored)
    }

    fn holds(&self, key: &ObjectKey, condition: &Condition, absent: bool, is: bool) -> Result<(), BucketError> {
        let there = self.objects.get(key).and_then(|stored| stored.identity.etag.as_deref());
        let holds = match condition {
            Condition::Absent if absent => there.is_none(),
            Condition::Is(etag) if is => there == Some(etag),
            _ => true,
        };
        if holds {
            Ok(())
        } else {
            Err(BucketError::Changed(key.clone()))
        }
    }

    fn page(&self, name: &BucketName, prefix: &str, from: &From, most: usize) -> Page {
        let token = match from {
            From::Next(token) => Some(ObjectKey::new(unhex(token)).expect("a token of ours")),
            From::Start | From::After(_) => None,
        };
        let start = match from {
            From::Start => Bound::Unbounded,
            From::After(key) => Bound::Excluded(key),
            From::Next(_) => token.as_ref().map_or(Bound::Unbounded, Bound::Excluded),
        };
        let mut rest = self
            .objects
            .range::<ObjectKey, _>((start, Bound::Unbounded))
            .filter(|(key, _)| key.as_bytes().starts_with(prefix.as_bytes()))
            .map(|(key, stored)| Object {
                bucket: name.clone(),
                key: key.clone(),
                // Listings say no versions.
                identity: Identity {
                    version: None,
                    ..stored.identity.clone()
                },
            });
        let objects: Vec<_> = rest.by_ref().take(most).collect();
        let next = rest.next().is_some().then(|| objects.last()).flatten();
        let next = next.map(|last| hex(last.key.as_bytes()));
        Page { objects, next }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap_or_default(), 16).unwrap_or(0))
        .collect()
}

fn bytes_of(content: &Stretch) -> Result<Vec<u8>, BucketError> {
    let mut bytes = Vec::new();
    let read = std::fs::File::open(&content.path).and_then(|mut file| {
        file.seek(SeekFrom::Start(content.offset))?;
        file.take(content.length).read_to_end(&mut bytes)
    });
    read.map_err(|error| BucketError::permanent(format!("{} cannot be read", content.path.display()), error))?;
    assert_eq!(bytes.len() as u64, content.length, "the stretch lies within the file");
    Ok(bytes)
}

#[async_trait]
impl Remote for MemoryRemote {
    async fn reachable(&self) -> Result<(), BucketError> {
        self.call(Call::Reachable, None, |_| Ok(())).await
    }

    async fn head(&self, key: &ObjectKey) -> Result<Head, BucketError> {
        self.call(Call::Head, Some(key), |inside| {
            let stored = inside.found(key)?;
            Ok(Head {
                identity: stored.identity.clone(),
                metadata: stored.metadata.clone(),
            })
        })
        .await
    }

    async fn read(&self, key: &ObjectKey, identity: &Identity, offset: u64, length: u64) -> Result<Bytes, BucketError> {
        self.call(Call::Read, Some(key), |inside| {
            let bytes = &inside.still(key, identity)?.bytes;
            let ends = [offset, offset + length].map(|at| usize::try_from(at).expect("it fits"));
            let range = bytes.get(ends[0]..ends[1]).expect("a range within the object");
            Ok(Bytes::copy_from_slice(range))
        })
        .await
    }

    async fn page(&self, prefix: &str, from: &From, most: u16) -> Result<Page, BucketError> {
        self.call(Call::Page, None, |inside| {
            let most = inside.page.min(usize::from(most));
            Ok(inside.page(&self.name, prefix, from, most))
        })
        .await
    }

    async fn put(&self, object: &NewObject, content: &Stretch, condition: &Condition) -> Result<(), BucketError> {
        self.call(Call::Put, Some(&object.key), |inside| {
            let Abilities { put_absent, put_is, .. } = inside.abilities;
            inside.holds(&object.key, condition, put_absent, put_is)?;
            let bytes = bytes_of(content)?;
            inside.store(&object.key, bytes, Some(object.clone()), object.metadata.clone());
            Ok(())
        })
        .await
    }

    async fn begin_upload(&self, object: &NewObject) -> Result<UploadId, BucketError> {
        self.call(Call::BeginUpload, Some(&object.key), |inside| {
            inside.numbers += 1;
            let id = UploadId(format!("upload-{}", inside.numbers));
            let upload = Upload {
                object: object.clone(),
                parts: BTreeMap::new(),
                begun: inside.clock,
            };
            inside.uploads.insert(id.clone(), upload);
            Ok(id)
        })
        .await
    }

    async fn upload_part(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        number: u16,
        content: &Stretch,
    ) -> Result<PartTag, BucketError> {
        self.call(Call::UploadPart, Some(key), |inside| {
            inside.numbers += 1;
            let etag = format!("part-{}", inside.numbers);
            let gone = || BucketError::NotFound(key.clone());
            let upload = inside.uploads.get_mut(upload).ok_or_else(gone)?;
            upload.parts.insert(number, (etag.clone(), bytes_of(content)?));
            Ok(PartTag {
                number,
                etag,
                crc32: None,
            })
        })
        .await
    }

    async fn complete_upload(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        parts: &[PartTag],
        condition: &Condition,
    ) -> Result<(), BucketError> {
        self.call(Call::CompleteUpload, Some(key), |inside| {
            let Abilities {
                complete_absent,
                complete_is,
                ..
            } = inside.abilities;
            let gone = || BucketError::NotFound(key.clone());
            let begun = inside.uploads.get(upload).ok_or_else(gone)?;
            assert_eq!(begun.object.key, *key, "the upload is of this key");
            let mut bytes = Vec::new();
            for part in parts {
                match begun.parts.get(&part.number) {
                    Some((etag, content)) if *etag == part.etag => bytes.extend_from_slice(content),
                    _ => {
                        return Err(BucketError::Permanent {
                            message: "InvalidPart (400)".to_owned(),
                            source: None,
                        });
                    }
                }
            }
            inside.holds(key, condition, complete_absent, complete_is)?;
            let begun = inside.uploads.remove(upload).ok_or_else(gone)?;
            let metadata = begun.object.metadata.clone();
            inside.store(key, bytes, Some(begun.object), metadata);
            Ok(())
        })
        .await
    }

    async fn abort_upload(&self, key: &ObjectKey, upload: &UploadId) -> Result<(), BucketError> {
        self.call(Call::AbortUpload, Some(key), |inside| {
            inside.uploads.remove(upload);
            Ok(())
        })
        .await
    }

    async fn open_uploads(&self, prefix: &str) -> Result<Vec<OpenUpload>, BucketError> {
        self.call(Call::OpenUploads, None, |inside| {
            let open = inside.uploads.iter().map(|(id, upload)| OpenUpload {
                key: upload.object.key.clone(),
                id: id.clone(),
                begun: jiff::Timestamp::from_second(upload.begun).ok(),
            });
            Ok(open
                .filter(|upload| upload.key.as_bytes().starts_with(prefix.as_bytes()))
                .collect())
        })
        .await
    }

    async fn delete(&self, key: &ObjectKey, identity: &Identity) -> Result<(), BucketError> {
        self.call(Call::Delete, Some(key), |inside| {
            if inside.objects.contains_key(key) {
                inside.still(key, identity)?;
                inside.objects.remove(key);
            }
            Ok(())
        })
        .await
    }

    async fn copy(&self, key: &ObjectKey, identity: &Identity, to: &ObjectKey) -> Result<(), BucketError> {
        self.call(Call::Copy, Some(key), |inside| {
            if inside.objects.contains_key(to) {
                return Err(BucketError::Changed(to.clone()));
            }
            let Stored {
                bytes,
                written,
                metadata,
                ..
            } = inside.still(key, identity)?.clone();
            inside.store(to, bytes, written, metadata);
            Ok(())
        })
        .await
    }
}
