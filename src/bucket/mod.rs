//! Where objects live: a local directory, an S3 bucket, or memory for tests.
//!
//! A bucket answers what is there now; it remembers nothing.

pub mod abilities;
pub mod beneath;
#[cfg(test)]
mod conformance;
pub mod far;
pub mod guarded;
mod lease;
mod listing;
pub mod local;
pub mod mark;
mod marker;
#[cfg(test)]
pub mod memory;
#[cfg(test)]
pub mod memory_remote;
#[cfg(test)]
#[path = "../../tests/harness/moto.rs"]
pub mod moto;
pub mod mounts;
mod patience;
pub mod remote;
#[cfg(test)]
mod remote_tests;
pub mod s3;
pub mod single;

use std::os::fd::OwnedFd;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use remote::Remote;

use crate::object::{BucketName, Directory, Identity, Object, ObjectKey};

/// Why a bucket did not do what it was asked. Nothing else decides about asking again.
#[derive(Debug, thiserror::Error)]
pub enum BucketError {
    /// No such object.
    #[error("{0} is not there")]
    NotFound(ObjectKey),
    /// What is there now is not what the call was about: the object was replaced, or the name is taken.
    #[error("{0} is another object now")]
    Changed(ObjectKey),
    /// Not permitted, or never possible; asking again will not help.
    #[error("{message}")]
    Permanent {
        /// What, where, and what would help.
        message: String,
        /// The cause.
        #[source]
        source: Option<std::io::Error>,
    },
    /// Failing just now: not mounted, not reachable, busy, full.
    #[error("{message}")]
    Transient {
        /// What, where, and what would help.
        message: String,
        /// The cause.
        #[source]
        source: Option<std::io::Error>,
    },
}

/// What a bucket says of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolved {
    /// There and complete: nobody writes to it.
    Complete(Identity),
    /// There and complete, and it says itself that this program wrote it under this very name.
    Ours(Identity),
    /// There, and held by a writer; ask again.
    Busy,
    /// There, but whether it is complete cannot be asked of the system: it is, once a later answer is equal to
    /// this one (`fingerprint` included) and `settle` has passed between the two.
    Settling {
        /// As far as it is now.
        identity: Identity,
        /// What else must stay the same (inode).
        fingerprint: u64,
    },
    /// There, but nothing to work on: a directory, a symbolic link, a socket.
    NotAFile,
    /// Not there.
    Gone,
}

impl Resolved {
    /// The identity of a complete object, whoever wrote it.
    #[must_use]
    pub fn complete(&self) -> Option<&Identity> {
        match self {
            Self::Complete(identity) | Self::Ours(identity) => Some(identity),
            _ => None,
        }
    }
}

/// An object opened for reading.
#[derive(Debug)]
pub struct Opened {
    /// Of what is read.
    pub identity: Identity,
    /// What gives its bytes.
    pub content: Content,
}

/// What gives the bytes of an opened object.
#[derive(Debug)]
pub enum Content {
    /// A local file, read-only, positioned at the start.
    File(OwnedFd),
    /// Ranges that are fetched from afar.
    Ranges(Arc<dyn Ranges>),
}

/// An object far away that is read by ranges.
#[async_trait]
pub trait Ranges: std::fmt::Debug + Send + Sync {
    /// Its length in bytes.
    fn size(&self) -> u64;
    /// Exactly the bytes `offset .. offset + length`, which must lie within it.
    ///
    /// # Errors
    /// [`BucketError::Changed`] or [`BucketError::NotFound`] where it is not the object that was opened any more.
    async fn read(&self, offset: u64, length: u64) -> Result<Bytes, BucketError>;
}

impl BucketError {
    /// Asking again will not help.
    pub fn permanent(message: impl Into<String>, source: impl Into<std::io::Error>) -> Self {
        Self::Permanent {
            message: message.into(),
            source: Some(source.into()),
        }
    }

    /// Asking again may help.
    pub fn transient(message: impl Into<String>, source: impl Into<std::io::Error>) -> Self {
        Self::Transient {
            message: message.into(),
            source: Some(source.into()),
        }
    }

    /// The bucket is not what it should be just now.
    pub fn offline(message: impl Into<String>) -> Self {
        Self::Transient {
            message: message.into(),
            source: None,
        }
    }
}

/// Reads a bucket's keys in byte order, page by page, in the memory of a page.
#[async_trait]
pub trait Lister: Send {
    /// The next objects in key order; empty: the end was reached, and everything was seen. After an error the
    /// listing is over, and says nothing about keys that it did not name.
    async fn next_page(&mut self) -> Result<Vec<Object>, BucketError>;
}

/// What the program asks of a bucket.
#[async_trait]
pub trait Bucket: Send + Sync {
    /// Its name in the config.
    fn name(&self) -> &BucketName;
    /// Whether it is what it should be: mounted, marked as ours, reachable. Neither read nor written otherwise.
    async fn check(&self) -> Result<(), BucketError>;
    /// What is there under this key now.
    async fn resolve(&self, key: &ObjectKey) -> Result<Resolved, BucketError>;
    /// Opens an object for a worker.
    async fn open(&self, key: &ObjectKey) -> Result<Opened, BucketError>;
    /// Starts a listing of what lies below `directory`, after `after` where given. Hidden
    /// directories are left out; which other names are wanted, rules say.
    async fn list(&self, directory: &Directory, after: Option<&ObjectKey>) -> Result<Box<dyn Lister>, BucketError>;
    /// What can be done to it over a network; none for a local directory.
    fn remote(&self) -> Option<Arc<dyn Remote>> {
        None
    }
    /// When the object came to be in the bucket at the latest, where that can be told from its identity. The time of a local file
    /// goes along when it is copied, and tells nothing.
    fn arrival(&self, _identity: &Identity) -> Option<Timestamp> {
        None
    }
}
