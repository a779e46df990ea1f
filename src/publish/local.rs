//! Publishing into a local directory: fsync, rename, fsync of the directory.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, RenameFlags, Timespec, Timestamps, fsync, futimens, openat, renameat,
    renameat_with, statat, unlinkat,
};
use rustix::io::Errno;

use super::beneath::{directory, may_fill, may_write};
use super::scratch::{Scratch, identity_of_stat};
use super::{Access, PublishError, io};
use crate::object::{Identity, ObjectKey};

/// A local directory that results go to. Every call blocks.
#[derive(Debug, Clone)]
pub struct Destination {
    root: PathBuf,
    access: Access,
}

/// What lies under a final name.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
    Nothing,
    File(Identity),
    SomethingElse,
}

impl Destination {
    /// Results go below this bucket's root.
    #[must_use]
    pub fn new(root: PathBuf) -> Self {
        Self {
            root,
            access: Access::default(),
        }
    }

    /// Directories that are made belong to whom the rule says.
    #[must_use]
    pub fn with_access(self, access: Access) -> Self {
        Self { access, ..self }
    }

    /// Whether results may be put where this key lies. Asked before work is put into them; makes nothing there.
    pub fn may_fill(&self, key: &ObjectKey, scratch: &Scratch) -> Result<(), PublishError> {
        may_fill(&self.root, key.directory(), || scratch.try_directory(&self.access))
    }

    /// Makes the directory of a key and looks whether the name may be used: free, ours (`replaces`), or to be
    /// overwritten.
    pub fn prepare(&self, key: &ObjectKey, replaces: Option<&Identity>, overwrite: bool) -> Result<(), PublishError> {
        let place = self.open(key, true)?;
        if let Some(place) = &place {
            let path = self.path(key);
            may_write(place, path.parent().unwrap_or(&self.root))?;
        }
        match place.as_ref().map(|place| self.found(place, key)).transpose()? {
            None | Some(Found::Nothing) => Ok(()),
            Some(Found::File(identity)) if overwrite || replaces == Some(&identity) => Ok(()),
            Some(_) => Err(PublishError::NameTaken(key.clone())),
        }
    }

    /// Gives a sealed file its final name. Does nothing where it has it already. The directory is not yet durable:
    /// see [`Destination::sync`].
    pub fn place(
        &self,
        scratch: &Path,
        key: &ObjectKey,
        identity: &Identity,
        replaces: Option<&Identity>,
        overwrite: bool,
    ) -> Result<(), PublishError> {
        let place = self.open(key, true)?.ok_or_else(|| PublishError::Lost(key.clone()))?;
        let there = match std::fs::symlink_metadata(scratch) {
            Ok(metadata) => metadata.is_file(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
            Err(source) => {
                return Err(PublishError::Io {
                    doing: "look at the finished file",
                    path: scratch.display().to_string(),
                    source,
                });
            }
        };
        let found = self.found(&place, key)?;
        if found == Found::File(identity.clone()) {
            if there {
                std::fs::remove_file(scratch).ok();
            }
            return Ok(());
        }
        if !there {
            return Err(PublishError::Lost(key.clone()));
        }
        let replace = match &found {
            Found::Nothing => false,
            Found::File(old) if overwrite || replaces == Some(old) => true,
            _ => return Err(PublishError::NameTaken(key.clone())),
        };
        match rename(scratch, &place, key.file_name(), replace) {
            Err(Errno::EXIST) => Err(PublishError::NameTaken(key.clone())),
            Err(Errno::XDEV) => self.copy_over(scratch, &place, key, identity, replace),
            other => other.map_err(io("give the final name to", self.path(key))),
        }
    }

    /// Whether this very file is under its final name.
    pub fn has(&self, key: &ObjectKey, identity: &Identity) -> Result<bool, PublishError> {
        match self.open(key, false)? {
            Some(place) => Ok(self.found(&place, key)? == Found::File(identity.clone())),
            None => Ok(false),
        }
    }

    /// Makes the final names in these keys' directories durable.
    pub fn sync<'a>(&self, keys: impl Iterator<Item = &'a ObjectKey>) -> Result<(), PublishError> {
        let mut directories: Vec<&[u8]> = keys.map(ObjectKey::directory).collect();
        directories.sort_unstable();
        directories.dedup();
        for below in directories {
            if let Some(place) = directory(&self.root, below, false, &self.access)? {
                fsync(&place).map_err(io("make durable the directory", &self.root))?;
            }
        }
        Ok(())
    }

    /// Removes a file that we published, if it is still the one that we published. Answers whether it was. Directories
    /// that become empty by it go too, but never the bucket's root.
    pub fn remove(&self, key: &ObjectKey, identity: &Identity) -> Result<bool, PublishError> {
        if !self.has(key, identity)? {
            return Ok(false);
        }
        let Some(place) = self.open(key, false)? else {
            return Ok(false);
        };
        unlinkat(&place, key.file_name(), AtFlags::empty()).map_err(io("remove", self.path(key)))?;
        fsync(&place).map_err(io("make durable the directory of", self.path(key)))?;
        Ok(true)
    }

    fn open(&self, key: &ObjectKey, create: bool) -> Result<Option<OwnedFd>, PublishError> {
        directory(&self.root, key.directory(), create, &self.access)
    }

    fn path(&self, key: &ObjectKey) -> PathBuf {
        self.root.join(std::ffi::OsStr::from_bytes(key.as_bytes()))
    }

    fn found(&self, place: &OwnedFd, key: &ObjectKey) -> Result<Found, PublishError> {
        match statat(place, key.file_name(), AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok(Found::Nothing),
            Err(errno) => Err(io("look at", self.path(key))(errno)),
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile => {
                Ok(Found::File(identity_of_stat(&stat)))
            }
            Ok(_) => Ok(Found::SomethingElse),
        }
    }

    /// The directory lies on another file system than scratch: copies beside the final name under a hidden one,
    /// then renames.
    fn copy_over(
        &self,
        scratch: &Path,
        place: &OwnedFd,
        key: &ObjectKey,
        identity: &Identity,
        replace: bool,
    ) -> Result<(), PublishError> {
        let mut hidden = b".reelmill-".to_vec();
        hidden.extend_from_slice(format!("{:016x}.part", fingerprint(key.file_name())).as_bytes());
        let path = self.path(key);
        let failed = |source| PublishError::Io {
            doing: "copy to another file system",
            path: path.display().to_string(),
            source,
        };
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let descriptor =
            openat(place, hidden.as_slice(), flags, Mode::from_raw_mode(0o666)).map_err(io("write beside", &path))?;
        let mut target = File::from(descriptor);
        let mut source = File::open(scratch).map_err(failed)?;
        std::io::copy(&mut source, &mut target).map_err(failed)?;
        same_access(&source, &target).map_err(failed)?;
        let modified = Timespec {
            tv_sec: identity.modified_ns.div_euclid(1_000_000_000),
            tv_nsec: identity.modified_ns.rem_euclid(1_000_000_000),
        };
        futimens(
            &target,
            &Timestamps {
                last_access: modified,
                last_modification: modified,
            },
        )
        .map_err(io("set the time of", &path))?;
        fsync(&target).map_err(io("make durable", &path))?;
        let name = key.file_name();
        let renamed = if replace {
            renameat(place, hidden.as_slice(), place, name)
        } else {
            renameat_with(place, hidden.as_slice(), place, name, RenameFlags::NOREPLACE)
        };
        match renamed {
            Err(Errno::EXIST) => {
                unlinkat(place, hidden.as_slice(), AtFlags::empty()).ok();
                return Err(PublishError::NameTaken(key.clone()));
            }
            other => other.map_err(io("give the final name to", &path))?,
        }
        std::fs::remove_file(scratch).ok();
        Ok(())
    }
}

/// Gives a copy the mode of its original, and its owner where that is another than ours.
fn same_access(original: &File, copy: &File) -> std::io::Result<()> {
    let (wanted, made) = (original.metadata()?, copy.metadata()?);
    let other = |wanted: u32, made: u32| (wanted != made).then_some(wanted);
    let (owner, group) = (other(wanted.uid(), made.uid()), other(wanted.gid(), made.gid()));
    if owner.is_some() || group.is_some() {
        std::os::unix::fs::fchown(copy, owner, group)?;
    }
    copy.set_permissions(wanted.permissions())
}

/// Renames; without `replace` a file that appeared in the meantime makes it fail with `EXIST`.
fn rename(scratch: &Path, place: &OwnedFd, name: &[u8], replace: bool) -> Result<(), Errno> {
    let here = rustix::fs::CWD;
    if replace {
        return renameat(here, scratch, place, name);
    }
    match renameat_with(here, scratch, place, name, RenameFlags::NOREPLACE) {
        // Some file systems cannot refuse to replace; the look before has to do there.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => renameat(here, scratch, place, name),
        other => other,
    }
}

/// FNV-1a: the same hidden name for the same final name, so that a copy begun before a crash is written over.
fn fingerprint(name: &[u8]) -> u64 {
    name.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::scratch::{Scratch, identity_of, seal};
    use super::*;
    use crate::job::{JobId, LeaseNumber};

    struct Fixture {
        root: tempfile::TempDir,
        scratch: Scratch,
    }

    impl Fixture {
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            let job = JobId::parse("000000000000001").unwrap();
            let scratch = Scratch::create(root.path(), &job, LeaseNumber(1), 1).unwrap();
            Self { root, scratch }
        }

        fn destination(&self) -> Destination {
            Destination::new(self.root.path().to_path_buf())
        }

        fn finished(&self, name: &str, text: &str) -> (PathBuf, Identity) {
            fs::write(self.scratch.path.join(name), text).unwrap();
            let sealed = seal(&self.scratch.path, name, text.len() as u64, &Access::default()).unwrap();
            (sealed.path, sealed.identity)
        }

        fn read(&self, key: &str) -> String {
            fs::read_to_string(self.root.path().join(key)).unwrap()
        }
    }

    fn key(text: &str) -> ObjectKey {
        text.parse().unwrap()
    }

    #[test]
    fn a_sealed_file_gets_its_name_in_directories_that_are_made_for_it() {
        let fixture = Fixture::new();
        let (path, identity) = fixture.finished("a", "one");
        let target = key("x/y/a.mp4");
        fixture
            .destination()
            .place(&path, &target, &identity, None, false)
            .unwrap();
        assert_eq!(fixture.read("x/y/a.mp4"), "one");
        assert!(!path.exists());
    }

    #[test]
    fn placing_twice_is_placing_once() {
        let fixture = Fixture::new();
        let (path, identity) = fixture.finished("a", "one");
        for _ in 0..2 {
            fixture
                .destination()
                .place(&path, &key("a.mp4"), &identity, None, false)
                .unwrap();
        }
        assert_eq!(fixture.read("a.mp4"), "one");
    }

    #[test]
    fn a_file_that_is_not_ours_keeps_its_name() {
        let fixture = Fixture::new();
        fs::write(fixture.root.path().join("a.mp4"), "theirs").unwrap();
        let (path, identity) = fixture.finished("a", "one");
        let destination = fixture.destination();
        assert!(matches!(
            destination.prepare(&key("a.mp4"), None, false),
            Err(PublishError::NameTaken(_))
        ));
        assert!(matches!(
            destination.place(&path, &key("a.mp4"), &identity, None, false),
            Err(PublishError::NameTaken(_))
        ));
        assert_eq!(fixture.read("a.mp4"), "theirs");
        destination.place(&path, &key("a.mp4"), &identity, None, true).unwrap();
        assert_eq!(fixture.read("a.mp4"), "one");
    }

    #[test]
    fn our_former_output_is_replaced_and_a_changed_one_is_not() {
        let fixture = Fixture::new();
        let destination = fixture.destination();
        let (path, first) = fixture.finished("a", "one");
        destination.place(&path, &key("a.mp4"), &first, None, false).unwrap();
        let (path, second) = fixture.finished("a", "second");
        destination
            .place(&path, &key("a.mp4"), &second, Some(&first), false)
            .unwrap();
        fs::write(fixture.root.path().join("a.mp4"), "edited by hand").unwrap();
        let (path, third) = fixture.finished("a", "third!!");
        assert!(
            destination
                .place(&path, &key("a.mp4"), &third, Some(&second), false)
                .is_err()
        );
        assert_eq!(fixture.read("a.mp4"), "edited by hand");
    }

    #[test]
    fn a_symbolic_link_in_the_way_leads_nowhere() {
        let fixture = Fixture::new();
        let outside = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(outside.path(), fixture.root.path().join("out")).unwrap();
        let (path, identity) = fixture.finished("a", "one");
        assert!(
            fixture
                .destination()
                .place(&path, &key("out/a"), &identity, None, false)
                .is_err()
        );
        assert!(fs::read_dir(outside.path()).unwrap().next().is_none());
    }

    #[test]
    fn a_name_on_another_file_system_is_reached_by_copying() {
        let fixture = Fixture::new();
        let other = tempfile::tempdir_in("/dev/shm").unwrap();
        let (path, identity) = fixture.finished("a", "one");
        let destination = Destination::new(other.path().to_path_buf());
        destination
            .place(&path, &key("d/a.mp4"), &identity, None, false)
            .unwrap();
        let placed = other.path().join("d/a.mp4");
        assert_eq!(fs::read_to_string(&placed).unwrap(), "one");
        assert_eq!(identity_of(&fs::metadata(&placed).unwrap()), identity);
        assert_eq!(fs::read_dir(other.path().join("d")).unwrap().count(), 1);
    }

    #[test]
    fn only_what_we_published_is_removed() {
        let fixture = Fixture::new();
        let destination = fixture.destination();
        let (path, identity) = fixture.finished("a", "one");
        destination.place(&path, &key("a.mp4"), &identity, None, false).unwrap();
        assert!(!destination.remove(&key("a.mp4"), &Identity::local(9, 9)).unwrap());
        assert!(destination.remove(&key("a.mp4"), &identity).unwrap());
        assert!(!destination.remove(&key("a.mp4"), &identity).unwrap());
    }

    #[test]
    fn a_worker_cannot_pass_off_anything_but_its_own_plain_file() {
        let fixture = Fixture::new();
        let scratch = &fixture.scratch.path;
        std::os::unix::fs::symlink("/etc/passwd", scratch.join("link")).unwrap();
        fs::write(scratch.join("twice"), "x").unwrap();
        fs::hard_link(scratch.join("twice"), scratch.join("again")).unwrap();
        fs::create_dir(scratch.join("folder")).unwrap();
        fs::write(scratch.join("short"), "x").unwrap();
        for (name, size) in [
            ("link", 10),
            ("twice", 1),
            ("folder", 0),
            ("short", 2),
            ("../x", 1),
            ("/etc/passwd", 1),
            ("", 0),
            ("..", 0),
            ("missing", 0),
        ] {
            assert!(seal(scratch, name, size, &Access::default()).is_err(), "{name:?}");
        }
    }
}
