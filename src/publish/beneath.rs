//! Directories beneath a bucket's root, opened segment by segment without following a symbolic link, so that
//! nobody who can write into the bucket can lead a result out of it.

use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{Access as Asked, AtFlags, Mode, OFlags, accessat, fstat, fsync, mkdirat, open, openat, unlinkat};
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
                    let ours = access
                        .apply_to_directory(next, &path)
                        .and_then(|()| may_write(next, &path));
                    if let Err(error) = ours {
                        unlinkat(&here, segment, AtFlags::REMOVEDIR).ok();
                        return Err(error);
                    }
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

/// Whether files may be put into the directory `below`, without making anything. Where it, or one above it, is missing,
/// `made` tells whether we may write into a directory that is made as it would be.
pub fn may_fill(
    root: &Path,
    below: &[u8],
    made: impl FnOnce() -> Result<(), PublishError>,
) -> Result<(), PublishError> {
    let open_flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut here = open(root, open_flags, Mode::empty()).map_err(io("open the bucket's directory", root))?;
    let mut path = root.to_path_buf();
    for segment in below.split(|b| *b == b'/').filter(|s| !s.is_empty()) {
        match openat(&here, segment, DIRECTORY, Mode::empty()) {
            Err(Errno::NOENT) => {
                may_write(&here, &path)?;
                return made();
            }
            next => {
                path.push(std::ffi::OsStr::from_bytes(segment));
                here = next.map_err(io("open the directory", &path))?;
            }
        }
    }
    may_write(&here, &path)
}

/// Whether names may be made in this directory by us.
pub fn may_write(directory: &OwnedFd, path: &Path) -> Result<(), PublishError> {
    match accessat(directory, ".", Asked::WRITE_OK | Asked::EXEC_OK, AtFlags::EACCESS) {
        Err(Errno::ACCESS) => {
            let stat = fstat(directory).map_err(io("look at the directory", path))?;
            Err(PublishError::NotPermitted(format!(
                "results cannot be written into the directory {}: it belongs to user {} and group {} with mode {:04o}, \
                 and Reelmill runs as user {}; give it to a group that Reelmill is in, with a mode that lets the group \
                 write (\"0660\" for results), or the service CAP_DAC_OVERRIDE",
                path.display(),
                stat.st_uid,
                stat.st_gid,
                stat.st_mode & 0o7777,
                rustix::process::geteuid().as_raw()
            )))
        }
        Err(Errno::ROFS) => Err(io("write into the directory", path)(Errno::ROFS)),
        _ => Ok(()),
    }
}
