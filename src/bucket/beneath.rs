//! Opening files beneath a directory without ever leaving it and without following a symbolic link.
//!
//! The kernel does it in one step where it can (`openat2`); elsewhere each segment is opened on its own.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;

/// Whether the kernel was found to lack `openat2` (or a sandbox forbids it).
static SEGMENT_WISE: AtomicBool = AtomicBool::new(false);

/// How often a path that is renamed while it is walked is tried again.
const TRIES: u32 = 16;

/// Opens the root of a bucket; the one place where a symbolic link is followed, because the operator wrote it.
pub fn open_root(path: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::open(
        path,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
}

/// Opens `path` (relative, segments parted by `/`; empty: the root itself) beneath `root`.
pub fn open_beneath(root: impl AsFd, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    let path: &[u8] = if path.is_empty() { b"." } else { path };
    let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    if !SEGMENT_WISE.load(Ordering::Relaxed) {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        for _ in 0..TRIES {
            match openat2(&root, OsStr::from_bytes(path), flags, Mode::empty(), resolve) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(Errno::NOSYS) => {
                    SEGMENT_WISE.store(true, Ordering::Relaxed);
                    return segment_wise(root.as_fd(), path, flags);
                }
                other => return other,
            }
        }
        return Err(Errno::AGAIN);
    }
    segment_wise(root.as_fd(), path, flags)
}

/// The same without `openat2`: a symbolic link on the way is `NOTDIR`, at the end `LOOP`.
fn segment_wise(root: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    let through = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let (directories, last) = match path.iter().rposition(|b| *b == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (&path[..0], path),
    };
    let mut held: Option<OwnedFd> = None;
    for segment in directories.split(|b| *b == b'/').filter(|s| !s.is_empty()) {
        if segment == b".." {
            return Err(Errno::XDEV);
        }
        let at = held.as_ref().map_or(root, |fd| fd.as_fd());
        held = Some(openat(at, OsStr::from_bytes(segment), through, Mode::empty())?);
    }
    if last == b".." {
        return Err(Errno::XDEV);
    }
    let at = held.as_ref().map_or(root, |fd| fd.as_fd());
    openat(at, OsStr::from_bytes(last), flags, Mode::empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    type Way = fn(BorrowedFd<'_>, &[u8], OFlags) -> Result<OwnedFd, Errno>;

    #[test]
    fn both_ways_open_files_and_refuse_links_and_parents() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("root");
        fs::create_dir_all(inside.join("a/b")).unwrap();
        fs::write(inside.join("a/b/file"), "x").unwrap();
        fs::write(folder.path().join("secret"), "x").unwrap();
        std::os::unix::fs::symlink("../secret", inside.join("link")).unwrap();
        std::os::unix::fs::symlink("a", inside.join("dir")).unwrap();
        let root = open_root(&inside).unwrap();
        let ways: [Way; 2] = [
            |root, path, flags| open_beneath(root, path, flags),
            |root, path, flags| segment_wise(root, path, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC),
        ];
        for way in ways {
            assert!(way(root.as_fd(), b"a/b/file", OFlags::RDONLY).is_ok());
            assert!(way(root.as_fd(), b".", OFlags::RDONLY).is_ok());
            for refused in [&b"link"[..], b"dir/b/file", b"../secret", b"a/../../secret", b".."] {
                assert!(
                    way(root.as_fd(), refused, OFlags::RDONLY).is_err(),
                    "{}",
                    String::from_utf8_lossy(refused)
                );
            }
        }
    }
}
