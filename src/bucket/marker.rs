//! Telling a bucket's directory from the hole where its disk should be mounted.
//!
//! The root carries `.reelmill/bucket`, a small text with a random id, and the state directory remembers that id and the
//! id of the file system. A root that cannot be written to is known by its file system alone.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::beneath::open_beneath;
use crate::object::BucketName;

/// Where the marker lies beneath the root.
pub const MARKER: &str = ".reelmill/bucket";

/// What the state directory remembers of a root.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Known {
    /// The id in the marker; none where the root could not be written to.
    pub id: Option<String>,
    /// The file system's id.
    pub file_system: String,
}

impl Known {
    /// Reads what was remembered; none where nothing was.
    pub fn load(path: &Path) -> std::io::Result<Option<Self>> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(Some(Self {
            id: value(&text, "id"),
            file_system: value(&text, "file-system").unwrap_or_default(),
        }))
    }

    /// Remembers, whole or not at all.
    pub fn save(&self, path: &Path) -> std::io::Result<()> {
        let mut text = String::from("# Which directory this bucket is. Written by reelmill.\n");
        if let Some(id) = &self.id {
            text.extend(["id ", id, "\n"]);
        }
        text.extend(["file-system ", &self.file_system, "\n"]);
        let folder = path.parent().unwrap_or(Path::new("/"));
        std::fs::create_dir_all(folder)?;
        let mut name = std::ffi::OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        let new = folder.join(name);
        let mut file = std::fs::File::create(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&new, path)?;
        std::fs::File::open(folder)?.sync_all()
    }
}

fn value(text: &str, name: &str) -> Option<String> {
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value.trim().to_owned())
}

/// The id in the root's marker; none where there is no marker.
pub fn read(root: impl AsFd) -> Result<Option<String>, Errno> {
    let fd = match open_beneath(root, MARKER.as_bytes(), OFlags::RDONLY | OFlags::NONBLOCK) {
        Ok(fd) => fd,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut text = String::new();
    std::fs::File::from(fd)
        .take(4096)
        .read_to_string(&mut text)
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    Ok(value(&text, "id"))
}

/// Writes a marker, whole or not at all.
pub fn write(root: impl AsFd, bucket: &BucketName, id: &str) -> Result<(), Errno> {
    let (folder, name) = (".reelmill", "bucket");
    match rustix::fs::mkdirat(&root, folder, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error),
    }
    let folder = open_beneath(root, folder.as_bytes(), OFlags::RDONLY | OFlags::DIRECTORY)?;
    let new = format!("{name}.{id}");
    let file: OwnedFd = rustix::fs::openat(
        &folder,
        OsStr::from_bytes(new.as_bytes()),
        OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::from_raw_mode(0o644),
    )?;
    let text = format!(
        "# By this file Reelmill knows that this directory is the bucket it should be. Leave it here.\n\
         bucket {bucket}\nid {id}\n"
    );
    let mut file = std::fs::File::from(file);
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
        .and_then(|()| rustix::fs::renameat(&folder, new.as_str(), &folder, name));
    if written.is_err() {
        let _ = rustix::fs::unlinkat(&folder, new.as_str(), AtFlags::empty());
    }
    written?;
    rustix::fs::fsync(&folder)
}

/// What tells this file system from others: its id, which for most survives a restart.
pub fn file_system(root: impl AsFd) -> Result<String, Errno> {
    let about = rustix::fs::fstatvfs(root)?;
    Ok(format!("{:016x}", about.f_fsid))
}

/// A new random id.
pub fn new_id() -> String {
    format!("{:032x}", rand::random::<u128>())
}
