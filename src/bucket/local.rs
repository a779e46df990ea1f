//! A local directory as a bucket.
//!
//! Nothing is opened through a symbolic link, names are bytes, and nothing is read from a root that is not the one it
//! should be (see `marker`). Every call works on a thread that may wait, because a disk may (see `patience`).

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use rustix::fs::{FileType, OFlags, Stat, fstat};
use rustix::io::Errno;

use super::beneath::{open_beneath, open_root};
use super::lease::{Writers, writers};
use super::listing::Listing;
use super::marker::{self, Known};
use super::patience::{ANSWER, Patience};
use super::{Bucket, BucketError, Content, Lister, Opened, Resolved, mounts};
use crate::object::{BucketName, Directory, Identity, ObjectKey};

/// A local directory.
#[derive(Debug, Clone)]
pub struct LocalBucket(Arc<Place>);

/// Which directory, and how it is known again.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) name: BucketName,
    path: PathBuf,
    memory: PathBuf,
    known: Mutex<Option<Known>>,
    pub(super) patience: Patience,
}

impl LocalBucket {
    /// A bucket whose root is `path`, remembered in the file `NAME` of the folder `memory` (`buckets` in the state
    /// directory). Touches neither.
    pub fn new(name: BucketName, path: impl Into<PathBuf>, memory: &Path) -> Self {
        let memory = memory.join(name.as_str());
        Self(Arc::new(Place {
            name,
            path: path.into(),
            memory,
            known: Mutex::new(None),
            patience: Patience::default(),
        }))
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Takes the directory that is there now for the right one, whatever was known before. Waits for the disk.
    pub fn accept(&self) -> Result<(), BucketError> {
        let root = self.0.open_unchecked()?;
        self.0.adopt(&root).map(|_| ())
    }

    /// Whether the directory is there and the right one, without taking it for anything: true where it is known, false
    /// where nothing has been remembered of it yet. Waits for the disk.
    pub fn recognise(&self) -> Result<bool, BucketError> {
        let root = self.0.open_unchecked()?;
        let remembered = Known::load(&self.0.memory)
            .map_err(|error| BucketError::transient(format!("cannot read {}", self.0.memory.display()), error))?;
        match remembered {
            None => Ok(false),
            Some(remembered) if self.0.is_known(&root, &remembered)? => Ok(true),
            Some(remembered) => Err(self.0.stranger(&root, &remembered)),
        }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Place) -> Result<T, BucketError> + Send + 'static,
    ) -> Result<T, BucketError> {
        let place = self.0.clone();
        self.0.patience.wait(&self.0.name, ANSWER, move || work(&place)).await
    }
}

impl Place {
    /// The root, opened and found to be the right one.
    pub(super) fn root(&self) -> Result<OwnedFd, BucketError> {
        let root = self.open_unchecked()?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.as_ref()
            && self.is_known(&root, known)?
        {
            return Ok(root);
        }
        // Not known, or not the one: another process may have accepted it meanwhile.
        let remembered = Known::load(&self.memory)
            .map_err(|error| BucketError::transient(format!("cannot read {}", self.memory.display()), error))?;
        match remembered {
            None => *known = Some(self.adopt(&root)?),
            Some(remembered) if self.is_known(&root, &remembered)? => *known = Some(remembered),
            Some(remembered) => return Err(self.stranger(&root, &remembered)),
        }
        Ok(root)
    }

    fn open_unchecked(&self) -> Result<OwnedFd, BucketError> {
        open_root(&self.path).map_err(|error| {
            let message = match error {
                Errno::NOENT => format!(
                    "bucket {} is offline: there is no directory {}; create it or mount its disk",
                    self.name,
                    self.path.display()
                ),
                _ => format!(
                    "bucket {} is offline: {} cannot be opened",
                    self.name,
                    self.path.display()
                ),
            };
            BucketError::transient(message, error)
        })
    }

    fn is_known(&self, root: impl AsFd, known: &Known) -> Result<bool, BucketError> {
        let unreadable = |error: Errno| {
            BucketError::transient(
                format!(
                    "bucket {} is offline: {}/{} cannot be read",
                    self.name,
                    self.path.display(),
                    marker::MARKER
                ),
                error,
            )
        };
        match &known.id {
            Some(id) => Ok(marker::read(root).map_err(unreadable)?.as_ref() == Some(id)),
            None => Ok(marker::file_system(root).map_err(unreadable)? == known.file_system),
        }
    }

    fn stranger(&self, root: impl AsFd, known: &Known) -> BucketError {
        let (name, path) = (&self.name, self.path.display());
        let what = match (&known.id, marker::read(root)) {
            (Some(_), Ok(None)) => format!("{path} does not carry its marker {}", marker::MARKER),
            (Some(_), _) => format!("{path} carries the marker of another directory"),
            (None, _) => format!("{path} lies on another file system than before"),
        };
        BucketError::offline(format!(
            "bucket {name} is offline: {what}. Mount its disk; if this is the right directory, run \
             `reelmill bucket accept {name}`"
        ))
    }

    /// Takes a root for the right one: reads or writes its marker, and remembers it.
    fn adopt(&self, root: impl AsFd) -> Result<Known, BucketError> {
        let failed = |what: &str, error: Errno| {
            BucketError::transient(
                format!("bucket {}: cannot {what} in {}", self.name, self.path.display()),
                error,
            )
        };
        let found = marker::read(&root).map_err(|error| failed("read the marker .reelmill/bucket", error))?;
        let id = if found.is_some() {
            found
        } else {
            let id = marker::new_id();
            match marker::write(&root, &self.name, &id) {
                Ok(()) => Some(id),
                Err(Errno::ROFS | Errno::ACCESS | Errno::PERM) => None,
                Err(error) => return Err(failed("write the marker .reelmill/bucket", error)),
            }
        };
        let file_system = marker::file_system(&root).map_err(|error| failed("ask for the file system", error))?;
        let known = Known { id, file_system };
        known
            .save(&self.memory)
            .map_err(|error| BucketError::transient(format!("cannot write {}", self.memory.display()), error))?;
        tracing::info!(bucket = %self.name, path = %self.path.display(), "bucket accepted");
        Ok(known)
    }

    fn resolve(&self, key: &ObjectKey) -> Result<Resolved, BucketError> {
        let root = self.root()?;
        let before = match look(&root, key) {
            Ok(stat) => stat,
            Err(error) => return self.absent(key, error),
        };
        if file_type(&before) != FileType::RegularFile {
            return Ok(Resolved::NotAFile);
        }
        let file = match open_beneath(&root, key.as_bytes(), OFlags::RDONLY | OFlags::NONBLOCK) {
            Ok(file) => file,
            Err(error) => return self.absent(key, error),
        };
        let asked = if mounts::leases_are_true(&file) {
            writers(&file)
        } else {
            Writers::Unknown
        };
        let after = match look(&root, key) {
            Ok(stat) => stat,
            Err(error) => return self.absent(key, error),
        };
        let opened = fstat(&file).map_err(|error| self.unreadable(key, error))?;
        let still = same(&before, &opened) && same(&opened, &after);
        Ok(match asked {
            Writers::None if still => Resolved::Complete(identity(&after)),
            Writers::Unknown => Resolved::Settling {
                identity: identity(&after),
                fingerprint: after.st_ino,
            },
            Writers::None | Writers::Some => Resolved::Busy,
        })
    }

    /// What an error on the way to a key says of it.
    fn absent(&self, key: &ObjectKey, error: Errno) -> Result<Resolved, BucketError> {
        match error {
            Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG => Ok(Resolved::Gone),
            Errno::LOOP | Errno::XDEV | Errno::ISDIR => Ok(Resolved::NotAFile),
            error => Err(self.unreadable(key, error)),
        }
    }

    fn unreadable(&self, key: &ObjectKey, error: Errno) -> BucketError {
        match error {
            Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG => BucketError::NotFound(key.clone()),
            Errno::ACCESS | Errno::PERM => BucketError::permanent(
                format!(
                    "{}/{key} cannot be read: give the user that runs reelmill permission to read it",
                    self.name
                ),
                error,
            ),
            Errno::LOOP | Errno::XDEV | Errno::ISDIR => {
                BucketError::permanent(format!("{}/{key} is not a plain file", self.name), error)
            }
            error => BucketError::transient(format!("{}/{key} cannot be read", self.name), error),
        }
    }

    fn open(&self, key: &ObjectKey) -> Result<Opened, BucketError> {
        let root = self.root()?;
        let stat = look(&root, key).map_err(|error| self.unreadable(key, error))?;
        if file_type(&stat) != FileType::RegularFile {
            return Err(self.unreadable(key, Errno::ISDIR));
        }
        let fd = open_beneath(&root, key.as_bytes(), OFlags::RDONLY | OFlags::NONBLOCK)
            .map_err(|error| self.unreadable(key, error))?;
        let stat = fstat(&fd).map_err(|error| self.unreadable(key, error))?;
        if file_type(&stat) != FileType::RegularFile {
            return Err(self.unreadable(key, Errno::ISDIR));
        }
        rustix::fs::fcntl_setfl(&fd, OFlags::empty()).map_err(|error| self.unreadable(key, error))?;
        Ok(Opened {
            identity: identity(&stat),
            content: Content::File(fd),
        })
    }
}

/// Looks at a file without opening it: a device or a pipe must not notice.
fn look(root: impl AsFd, key: &ObjectKey) -> Result<Stat, Errno> {
    fstat(open_beneath(root, key.as_bytes(), OFlags::PATH)?)
}

fn same(one: &Stat, other: &Stat) -> bool {
    identity(one) == identity(other) && one.st_ino == other.st_ino && one.st_dev == other.st_dev
}

pub(super) fn file_type(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// The identity that a stat gives.
pub(super) fn identity(stat: &Stat) -> Identity {
    let nanoseconds = i64::try_from(stat.st_mtime_nsec).unwrap_or(0);
    Identity::local(
        u64::try_from(stat.st_size).unwrap_or(0),
        stat.st_mtime.saturating_mul(1_000_000_000).saturating_add(nanoseconds),
    )
}

#[async_trait]
impl Bucket for LocalBucket {
    fn name(&self) -> &BucketName {
        &self.0.name
    }

    async fn check(&self) -> Result<(), BucketError> {
        self.blocking(|place| place.root().map(|_| ())).await
    }

    async fn resolve(&self, key: &ObjectKey) -> Result<Resolved, BucketError> {
        let key = key.clone();
        self.blocking(move |place| place.resolve(&key)).await
    }

    async fn open(&self, key: &ObjectKey) -> Result<Opened, BucketError> {
        let key = key.clone();
        self.blocking(move |place| place.open(&key)).await
    }

    async fn list(&self, directory: &Directory, after: Option<&ObjectKey>) -> Result<Box<dyn Lister>, BucketError> {
        let listing = Listing::new(self.0.clone(), directory, after.cloned());
        Ok(Box::new(listing))
    }
}

#[cfg(test)]
mod tests;
