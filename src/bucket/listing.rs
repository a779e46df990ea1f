//! Listing a local directory in the byte order of whole keys, in the memory of a page and of the directories on the
//! path.
//!
//! A directory that cannot be read does not hide what lies elsewhere: the walk goes on, and the listing ends with
//! the error instead of the empty page, so that nobody takes it for complete.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use async_trait::async_trait;
use rustix::fs::{AtFlags, Dir, FileType, OFlags, statat};
use rustix::io::Errno;

use super::beneath::open_beneath;
use super::local::{Place, file_type, identity};
use super::{BucketError, Lister, patience};
use crate::object::{Directory, Object, ObjectKey, is_hidden};

/// Objects in a page.
const PAGE: usize = 1000;

/// A listing on its way.
pub(super) struct Listing {
    place: Arc<Place>,
    /// None while a page is being read, and after the end.
    walk: Option<Walk>,
}

pub(super) struct Walk {
    place: Arc<Place>,
    root: Option<OwnedFd>,
    start: Vec<u8>,
    after: Option<ObjectKey>,
    /// Directories on the path, outermost first.
    path: Vec<Level>,
    /// Directories that could not be read, and what was wrong with the first.
    unread: usize,
    first: Option<(Vec<u8>, Errno)>,
}

/// One directory on the path.
struct Level {
    /// Its key with the closing `/`; empty for the root.
    prefix: Vec<u8>,
    directory: OwnedFd,
    /// What is left of it, the next one last.
    names: Vec<Name>,
}

/// A name in a directory; that of a directory ends in `/`, which gives it its place in the order.
struct Name {
    bytes: Vec<u8>,
}

impl Listing {
    pub(super) fn new(place: Arc<Place>, directory: &Directory, after: Option<ObjectKey>) -> Self {
        Self {
            walk: Some(Self::walk(place.clone(), directory, after)),
            place,
        }
    }

    pub(super) fn walk(place: Arc<Place>, directory: &Directory, after: Option<ObjectKey>) -> Walk {
        Walk {
            place,
            root: None,
            start: directory.as_str().as_bytes().to_vec(),
            after,
            path: Vec::new(),
            unread: 0,
            first: None,
        }
    }
}

#[async_trait]
impl Lister for Listing {
    async fn next_page(&mut self) -> Result<Vec<Object>, BucketError> {
        let Some(mut walk) = self.walk.take() else {
            return Ok(Vec::new());
        };
        let read = move || walk.page().map(|page| (page, walk));
        let (page, walk) = self.place.patience.wait(&self.place.name, patience::PAGE, read).await?;
        if !page.is_empty() {
            self.walk = Some(walk);
        }
        Ok(page)
    }
}

impl Walk {
    pub(super) fn page(&mut self) -> Result<Vec<Object>, BucketError> {
        if self.root.is_none() {
            let root = self.place.root()?;
            let start = self.start.clone();
            self.enter(&root, start);
            self.root = Some(root);
        }
        let mut page = Vec::new();
        while page.len() < PAGE {
            let Some(level) = self.path.last_mut() else {
                break;
            };
            let Some(name) = level.names.pop() else {
                self.path.pop();
                continue;
            };
            let mut full = level.prefix.clone();
            full.extend_from_slice(&name.bytes);
            if full.last() == Some(&b'/') {
                if let Some(root) = self.root.as_ref().and_then(|fd| fd.try_clone().ok()) {
                    self.enter(&root, full);
                } else {
                    self.note(full, Errno::MFILE);
                }
                continue;
            }
            let found = statat(
                &level.directory,
                OsStr::from_bytes(&name.bytes),
                AtFlags::SYMLINK_NOFOLLOW,
            );
            match found {
                Ok(stat) if file_type(&stat) == FileType::RegularFile => {
                    if let Ok(key) = ObjectKey::new(full) {
                        page.push(Object {
                            bucket: self.place.name.clone(),
                            key,
                            identity: identity(&stat),
                        });
                    }
                }
                Ok(_) | Err(Errno::NOENT) => {}
                Err(error) => {
                    let prefix = level.prefix.clone();
                    self.note(prefix, error);
                }
            }
        }
        if page.is_empty() {
            self.end()?;
        }
        Ok(page)
    }

    /// Goes into a directory, where there is one.
    fn enter(&mut self, root: impl AsFd, prefix: Vec<u8>) {
        if self.is_behind(&prefix) || prefix.len() > crate::object::MAX_KEY_LEN {
            return;
        }
        let path = prefix.strip_suffix(b"/").unwrap_or(&prefix);
        let opened = open_beneath(root, path, OFlags::RDONLY | OFlags::DIRECTORY)
            .and_then(|directory| Ok((self.names(&directory, &prefix)?, directory)));
        match opened {
            Ok((names, directory)) => self.path.push(Level {
                prefix,
                directory,
                names,
            }),
            // Gone, or replaced by something else, since its name was read.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
            Err(error) => self.note(prefix, error),
        }
    }

    fn names(&self, directory: &OwnedFd, prefix: &[u8]) -> Result<Vec<Name>, Errno> {
        let mut names = Vec::new();
        for entry in Dir::read_from(directory)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            let kind = match entry.file_type() {
                FileType::Unknown => match statat(directory, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(stat) => file_type(&stat),
                    Err(Errno::NOENT) => continue,
                    Err(error) => return Err(error),
                },
                known => known,
            };
            let mut bytes = name.to_vec();
            match kind {
                FileType::Directory if is_hidden(name) => continue,
                FileType::Directory => bytes.push(b'/'),
                FileType::RegularFile => {
                    if self
                        .after
                        .as_ref()
                        .is_some_and(|after| prefix.iter().chain(&bytes).le(after.as_bytes().iter()))
                    {
                        continue;
                    }
                }
                _ => continue,
            }
            names.push(Name { bytes });
        }
        names.sort_unstable_by(|one, other| other.bytes.cmp(&one.bytes));
        Ok(names)
    }

    /// Whether every key below this prefix lies before the place where the listing starts.
    fn is_behind(&self, prefix: &[u8]) -> bool {
        self.after.as_ref().is_some_and(|after| {
            let after = after.as_bytes();
            prefix < after && !after.starts_with(prefix)
        })
    }

    fn note(&mut self, prefix: Vec<u8>, error: Errno) {
        // A file system's own folder for what its repair finds; only root may read it.
        if prefix.ends_with(b"lost+found/") {
            return;
        }
        self.unread += 1;
        self.first.get_or_insert((prefix, error));
    }

    /// The end is only said where everything was seen, and in the right directory.
    fn end(&mut self) -> Result<(), BucketError> {
        self.place.root()?;
        let Some((prefix, error)) = self.first.take() else {
            return Ok(());
        };
        let shown = ObjectKey::new(prefix.strip_suffix(b"/").unwrap_or(&prefix))
            .map_or_else(|_| String::from("its root"), |key| key.to_string());
        let others = match self.unread {
            1 => String::new(),
            count => format!(" and {} more", count - 1),
        };
        Err(BucketError::transient(
            format!(
                "bucket {}: the directory {shown}{others} cannot be read; give the user that runs reelmill \
                 permission to read it",
                self.place.name
            ),
            error,
        ))
    }
}
