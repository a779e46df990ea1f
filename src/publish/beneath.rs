//! Directories beneath a bucket's root, opened segment by segment without following a symbolic link, so that
//! nobody who can write into the bucket can lead a result out of it.

use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags, fsync, mkdirat, open, openat};
use rustix::io::Errno;

use super::{Access, PublishError, io};

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Opens the directory `below` (a key prefix: empty, or ending in `/`) of `root`. Missing directories are made
/// for `access` and made durable where `create` is set; without it a missing one is `None`.
pub fn directory(root: &Path, below: &[u8], create: bool, access: &Access) -> Result<Option<OwnedFd>, PublishError> {
    // The root itself may be reached through a symbolic link: that is the operator's choice.
    let mut here = open(
        root,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(io("open the bucket's directory", root))?;
    let mut path = root.to_path_buf();
    for segment in below.split(|b| *b == b'/').filter(|s| !s.is_empty()) {
        path.push(std::ffi::OsStr::from_bytes(segment));
        let next = match openat(&here, segment, DIRECTORY, Mode::empty()) {
            Err(Errno::NOENT) if create => {
                let mode = Mode::from_raw_mode(access.directory_mode().unwrap_or(0o777));
                let made = match mkdirat(&here, segment, mode) {
                    Ok(()) => true,
                    Err(Errno::EXIST) => false,
                    Err(errno) => return Err(io("make the directory", &path)(errno)),
                };
                let next = openat(&here, segment, DIRECTORY, Mode::empty());
                if let (true, Ok(next)) = (made, &next) {
                    access.apply_to_directory(next, &path)?;
                    fsync(&here).map_err(io("make durable the directory above", &path))?;
                }
                next
            }
            Err(Errno::NOENT) => return Ok(None),
            other => other,
        };
        here = next.map_err(io("open the directory", &path))?;
    }
    Ok(Some(here))
}
