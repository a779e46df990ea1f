//! Uploads that are under way in this life of the daemon, and what is known of the servers that they go to.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use crate::bucket::remote::{Abilities, UploadId};
use crate::object::BucketName;

/// What is known of one server; asked by one at a time.
pub type Known = Arc<tokio::sync::Mutex<Option<Abilities>>>;

/// See above.
#[derive(Debug, Default)]
pub struct Uploads {
    active: Mutex<HashSet<UploadId>>,
    abilities: Mutex<HashMap<BucketName, Known>>,
}

/// An upload that is under way for as long as this lives.
#[derive(Debug)]
pub struct Active<'a> {
    uploads: &'a Uploads,
    id: UploadId,
}

impl Uploads {
    /// An upload begins.
    pub fn begin(&self, id: &UploadId) -> Active<'_> {
        let mut active = self.active.lock().unwrap_or_else(PoisonError::into_inner);
        active.insert(id.clone());
        Active {
            uploads: self,
            id: id.clone(),
        }
    }

    /// Whether an upload is under way.
    pub fn has(&self, id: &UploadId) -> bool {
        self.active.lock().unwrap_or_else(PoisonError::into_inner).contains(id)
    }

    /// What is known of a bucket's server.
    pub fn abilities(&self, bucket: &BucketName) -> Known {
        let mut abilities = self.abilities.lock().unwrap_or_else(PoisonError::into_inner);
        abilities.entry(bucket.clone()).or_default().clone()
    }
}

impl Drop for Active<'_> {
    fn drop(&mut self) {
        let mut active = self.uploads.active.lock().unwrap_or_else(PoisonError::into_inner);
        active.remove(&self.id);
    }
}
