//! One file as a bucket of its own, for trying a rule without a daemon: no marker, no neighbours.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;

use super::{Bucket, BucketError, Content, Lister, Opened, Resolved};
use crate::object::{BucketName, Directory, Identity, Object, ObjectKey};

/// A bucket that holds one file, or none.
pub struct SingleFile {
    name: BucketName,
    file: Option<(ObjectKey, PathBuf)>,
    /// What is asked for all other objects.
    below: Option<Arc<dyn Bucket>>,
}

impl SingleFile {
    /// A bucket with this file under this key, or an empty one.
    #[must_use]
    pub fn new(name: BucketName, file: Option<(ObjectKey, PathBuf)>) -> Self {
        Self {
            name,
            file,
            below: None,
        }
    }

    /// The same; all other objects can be read of that bucket, where there is one.
    #[must_use]
    pub fn over(mut self, below: Option<Arc<dyn Bucket>>) -> Self {
        self.below = below;
        self
    }

    fn identity(&self, key: &ObjectKey) -> Result<(Identity, OwnedFd), BucketError> {
        use std::os::unix::fs::MetadataExt;
        let path = match &self.file {
            Some((known, path)) if known == key => path,
            _ => return Err(BucketError::NotFound(key.clone())),
        };
        let opened = std::fs::File::open(path).and_then(|file| Ok((file.metadata()?, file)));
        let (metadata, file) = opened.map_err(|error| BucketError::Permanent {
            message: format!("cannot read {}: {error}", path.display()),
            source: Some(error),
        })?;
        let modified = metadata.mtime().saturating_mul(1_000_000_000) + metadata.mtime_nsec();
        Ok((Identity::local(metadata.len(), modified), file.into()))
    }
}

#[async_trait]
impl Bucket for SingleFile {
    fn name(&self) -> &BucketName {
        &self.name
    }

    async fn check(&self) -> Result<(), BucketError> {
        Ok(())
    }

    async fn resolve(&self, key: &ObjectKey) -> Result<Resolved, BucketError> {
        self.identity(key).map(|(identity, _)| Resolved::Complete(identity))
    }

    async fn open(&self, key: &ObjectKey) -> Result<Opened, BucketError> {
        let own = self.file.as_ref().is_some_and(|(known, _)| known == key);
        if let Some(below) = self.below.as_ref().filter(|_| !own) {
            return below.open(key).await;
        }
        let (identity, fd) = self.identity(key)?;
        Ok(Opened {
            identity,
            content: Content::File(fd),
        })
    }

    async fn list(&self, _directory: &Directory, _after: Option<&ObjectKey>) -> Result<Box<dyn Lister>, BucketError> {
        let object = match &self.file {
            Some((key, _)) => Some(Object {
                bucket: self.name.clone(),
                key: key.clone(),
                identity: self.identity(key)?.0,
            }),
            None => None,
        };
        Ok(Box::new(Once(object)))
    }
}

/// A listing of at most one object.
struct Once(Option<Object>);

#[async_trait]
impl Lister for Once {
    async fn next_page(&mut self) -> Result<Vec<Object>, BucketError> {
        Ok(self.0.take().into_iter().collect())
    }
}
