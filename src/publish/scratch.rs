//! Scratch directories, on the output's own file system, and the files that a worker leaves there.

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, fstat, fsync, open, openat, statat};
use sha2::{Digest, Sha256};

use super::beneath::may_write;
use super::{Access, PublishError, io};
use crate::job::{JobId, LeaseNumber};
use crate::object::Identity;

/// Where scratch lies within a bucket's root; hidden, so that nothing there is ever taken for an object.
const PLACE: &str = ".reelmill/scratch";

/// The scratch directory of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scratch {
    /// Absolute.
    pub path: PathBuf,
}

impl Scratch {
    /// Makes an empty scratch directory below the output bucket's root.
    pub fn create(root: &Path, job: &JobId, lease: LeaseNumber, run: u32) -> Result<Self, PublishError> {
        let path = root.join(PLACE).join(format!("{job}-{}-{run}", lease.0));
        let failed = |source| PublishError::Io {
            doing: "make the scratch directory",
            path: path.display().to_string(),
            source,
        };
        std::fs::create_dir_all(path.parent().unwrap_or(root)).map_err(failed)?;
        match std::fs::create_dir(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                std::fs::remove_dir_all(&path).map_err(failed)?;
                std::fs::create_dir(&path).map_err(failed)?;
            }
            other => other.map_err(failed)?,
        }
        Ok(Self { path })
    }

    /// Tries whether files here may be given the owner and mode that a rule says, before work is put into them.
    pub fn try_access(&self, access: &Access) -> Result<(), PublishError> {
        if *access == Access::default() {
            return Ok(());
        }
        let path = self.path.join(".access");
        let failed = |source| PublishError::Io {
            doing: "write",
            path: path.display().to_string(),
            source,
        };
        let file = std::fs::File::create(&path).map_err(failed)?;
        let tried = access.apply_to_file(&file, &path);
        std::fs::remove_file(&path).map_err(failed)?;
        tried
    }

    /// Tries whether we may still write into a directory that has the owner and mode that a rule says.
    pub fn try_directory(&self, access: &Access) -> Result<(), PublishError> {
        if *access == Access::default() {
            return Ok(());
        }
        let path = self.path.join(".access.d");
        let failed = |source| PublishError::Io {
            doing: "make the directory",
            path: path.display().to_string(),
            source,
        };
        std::fs::create_dir(&path).map_err(failed)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let tried = open(&path, flags, Mode::empty())
            .map_err(io("open the directory", &path))
            .and_then(|directory| {
                access.apply_to_directory(&directory, &path)?;
                may_write(&directory, &path)
            });
        std::fs::remove_dir(&path).map_err(failed)?;
        tried
    }

    /// Removes the directory and what is left in it.
    pub fn remove(&self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.path.display(), %error, "scratch directory stays behind");
        }
    }

    /// Every scratch directory below a bucket's root, and when something last moved in it.
    #[must_use]
    pub fn all(root: &Path) -> Vec<(Self, Timestamp)> {
        let entries = std::fs::read_dir(root.join(PLACE)).into_iter().flatten().flatten();
        let moved = |entry: &std::fs::DirEntry| {
            let time = entry.metadata().and_then(|metadata| metadata.modified()).ok()?;
            Timestamp::try_from(time).ok()
        };
        entries
            .filter_map(|entry| {
                let path = entry.path();
                let inside = std::fs::read_dir(&path).into_iter().flatten().flatten();
                let times = inside.filter_map(|inner| moved(&inner)).chain(moved(&entry));
                Some((Self { path }, times.max()?))
            })
            .collect()
    }

    /// Removes every scratch directory below a bucket's root that holds none of the files to keep. Answers how many.
    pub fn sweep(root: &Path, keep: &[PathBuf]) -> u32 {
        let Ok(entries) = std::fs::read_dir(root.join(PLACE)) else {
            return 0;
        };
        let mut removed = 0;
        for entry in entries.flatten() {
            let path = entry.path();
            if !keep.iter().any(|file| file.starts_with(&path)) {
                Self { path }.remove();
                removed += 1;
            }
        }
        removed
    }
}

/// A finished file that is durable and described.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Absolute path in scratch.
    pub path: PathBuf,
    /// As it will look under its final name.
    pub identity: Identity,
    /// SHA-256 in hexadecimal.
    pub checksum: String,
}

/// Opens a file that a worker reported (a plain name within `scratch`), makes sure that it is what was reported,
/// gives it its owner and mode, makes it durable and computes its checksum. Blocks.
pub fn seal(scratch: &Path, name: &str, reported_size: u64, access: &Access) -> Result<Sealed, PublishError> {
    let path = scratch.join(name);
    let plain = !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\0']);
    if !plain {
        return Err(PublishError::NotAsReported(format!(
            "the worker named a file outside of its scratch directory: {name:?}"
        )));
    }
    let directory = open(
        scratch,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(io("open the scratch directory", scratch))?;
    let seen = statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW).map_err(io("look at the finished file", &path))?;
    if FileType::from_raw_mode(seen.st_mode) != FileType::RegularFile || seen.st_nlink != 1 {
        return Err(PublishError::NotAsReported(format!(
            "the worker left {name} as something else than a plain file"
        )));
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let descriptor = openat(&directory, name, flags, Mode::empty()).map_err(io("open the finished file", &path))?;
    let stat = fstat(&descriptor).map_err(io("look at the finished file", &path))?;
    if u64::try_from(stat.st_size).ok() != Some(reported_size) {
        return Err(PublishError::NotAsReported(format!(
            "the worker reported {name} with {reported_size} bytes, but it has {}",
            stat.st_size
        )));
    }
    access.apply_to_file(&descriptor, &path)?;
    fsync(&descriptor).map_err(io("make durable", &path))?;
    let failed = |source| PublishError::Io {
        doing: "read the finished file",
        path: path.display().to_string(),
        source,
    };
    let mut file = std::fs::File::from(descriptor);
    let mut hash = Sha256::new();
    let mut block = vec![0; 1 << 20];
    loop {
        let count = file.read(&mut block).map_err(failed)?;
        if count == 0 {
            break;
        }
        hash.update(&block[..count]);
    }
    let identity = identity_of(&file.metadata().map_err(failed)?);
    Ok(Sealed {
        path,
        identity,
        checksum: hexadecimal(&hash.finalize()),
    })
}

fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The identity of a local file.
pub fn identity_of(metadata: &std::fs::Metadata) -> Identity {
    let nanoseconds = metadata.mtime().saturating_mul(1_000_000_000);
    Identity::local(metadata.len(), nanoseconds.saturating_add(metadata.mtime_nsec()))
}

/// The same, from a stat.
pub fn identity_of_stat(stat: &Stat) -> Identity {
    let nanoseconds = stat.st_mtime.saturating_mul(1_000_000_000);
    let modified = nanoseconds.saturating_add(i64::try_from(stat.st_mtime_nsec).unwrap_or(0));
    Identity::local(u64::try_from(stat.st_size).unwrap_or(0), modified)
}
