//! What the program asks of a bucket over a network: one call, one request.
//!
//! Nothing here tries again, waits in a queue, or looks at a clock: [`guarded`](super::guarded) does that around it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use async_trait::async_trait;
use bytes::Bytes;

use super::BucketError;
use crate::object::{Identity, Object, ObjectKey};

/// What is said of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Which version of it is there.
    pub identity: Identity,
    /// What was given along when it was written, names in lower case.
    pub metadata: BTreeMap<String, String>,
}

/// A page of a listing, in the order of the keys' bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// Objects, with what the listing says of each for an identity. Keys that no [`ObjectKey`] can be are left out.
    pub objects: Vec<Object>,
    /// Where the next page begins; none: this was the last.
    pub next: Option<String>,
}

/// Where a listing begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum From {
    /// With the first key.
    Start,
    /// With the first key after this one.
    After(ObjectKey),
    /// As the page before said.
    Next(String),
}

/// On what a write depends. A server that knows no conditions writes all the same: see [`Abilities`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// On nothing.
    Always,
    /// Nothing has the name.
    Absent,
    /// What has the name has this entity tag.
    Is(String),
}

/// An object that is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewObject {
    /// Its name.
    pub key: ObjectKey,
    /// Its media type.
    pub content_type: String,
    /// What is given along, names in lower case; values may hold any text.
    pub metadata: BTreeMap<String, String>,
    /// Tags, as `[output] tags` says.
    pub tags: BTreeMap<String, String>,
    /// As `[output] storage_class` says.
    pub storage_class: Option<String>,
    /// A canned access list, as `[output] acl` says.
    pub acl: Option<String>,
    /// How caches should treat it, as `[output] cache_control` says.
    pub cache_control: Option<String>,
}

/// A stretch of a local file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    /// The file.
    pub path: PathBuf,
    /// Where it begins.
    pub offset: u64,
    /// Its length in bytes.
    pub length: u64,
}

/// The server's name for an upload in parts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UploadId(pub String);

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An upload in parts that was begun and neither completed nor aborted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenUpload {
    /// The name that the object would get.
    pub key: ObjectKey,
    /// The server's name for it.
    pub id: UploadId,
    /// When it was begun, by the server's clock; none where it does not say.
    pub begun: Option<jiff::Timestamp>,
}

/// A part that was taken: what must be said of it at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartTag {
    /// 1 to 10,000.
    pub number: u16,
    /// The entity tag that the server gave it.
    pub etag: String,
    /// The checksum that the server gave it, where one was asked for.
    pub crc32: Option<String>,
}

/// Which conditions a server really heeds; found by trying ([`probe`](super::abilities::probe)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is found and used alone")]
pub struct Abilities {
    /// `If-None-Match: *` on a put.
    pub put_absent: bool,
    /// `If-Match` on a put: takes what fits, refuses what does not.
    pub put_is: bool,
    /// `If-None-Match: *` on the completion of an upload in parts.
    pub complete_absent: bool,
    /// `If-Match` on the completion of an upload in parts.
    pub complete_is: bool,
}

/// A bucket over a network. Errors name the bucket and what was asked, and decide by their kind whether asking again
/// may help.
#[async_trait]
pub trait Remote: fmt::Debug + Send + Sync {
    /// Whether the bucket is there and answers.
    async fn reachable(&self) -> Result<(), BucketError>;
    /// What is there under this key; [`BucketError::NotFound`] where nothing is.
    async fn head(&self, key: &ObjectKey) -> Result<Head, BucketError>;
    /// Exactly these bytes of this version of an object; `Changed` or `NotFound` where it is not there any more.
    async fn read(&self, key: &ObjectKey, identity: &Identity, offset: u64, length: u64) -> Result<Bytes, BucketError>;
    /// A page of the keys that begin with `prefix`, at most `most` (1 to 1000).
    async fn page(&self, prefix: &str, from: &From, most: u16) -> Result<Page, BucketError>;
    /// Writes an object in one request (at most 5 GiB); `Changed` where the condition does not hold.
    async fn put(&self, object: &NewObject, content: &Stretch, condition: &Condition) -> Result<(), BucketError>;
    /// Begins an upload in parts.
    async fn begin_upload(&self, object: &NewObject) -> Result<UploadId, BucketError>;
    /// Sends a part; all but the last have 5 MiB or more.
    async fn upload_part(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        number: u16,
        content: &Stretch,
    ) -> Result<PartTag, BucketError>;
    /// Makes an object of the parts, in order; `Changed` where the condition does not hold, `NotFound` where there is no
    /// such upload (any more).
    async fn complete_upload(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        parts: &[PartTag],
        condition: &Condition,
    ) -> Result<(), BucketError>;
    /// Forgets an upload and its parts; fine where it is not there.
    async fn abort_upload(&self, key: &ObjectKey, upload: &UploadId) -> Result<(), BucketError>;
    /// Uploads in parts that are open, of keys that begin with `prefix`.
    async fn open_uploads(&self, prefix: &str) -> Result<Vec<OpenUpload>, BucketError>;
    /// Deletes what has the name, where it is this version (as far as the server can tell); fine where nothing is there.
    /// In a bucket with versions it gets a delete marker, and stays in the history.
    async fn delete(&self, key: &ObjectKey, identity: &Identity) -> Result<(), BucketError>;
    /// Copies this version of an object, with all that was given along, to another name of the same bucket that must be
    /// free; `Changed` where it is not, or the object is another one.
    async fn copy(&self, key: &ObjectKey, identity: &Identity, to: &ObjectKey) -> Result<(), BucketError>;
}
