//! Taking a source away: first aside under a hidden name of ours in its own directory, then a look whether it is still
//! the very file that was worked on, and only then away for good.
//!
//! Whoever replaces the source at any instant keeps what he put there: a name is never written over, and what turns out
//! to be another file goes back to where it was. Every call blocks, and may be repeated after a crash.

use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustix::fs::{AtFlags, FileType, RenameFlags, Stat, fsync, linkat, renameat_with, statat, unlinkat};
use rustix::io::Errno;

use super::beneath::directory;
use super::scratch::identity_of_stat;
use super::{Access, PublishError, io, step};
use crate::object::{Identity, ObjectKey};

/// The local directory that a source lies in.
#[derive(Debug, Clone)]
pub struct Source {
    root: PathBuf,
    key: ObjectKey,
    aside: ObjectKey,
}

/// What became of putting a source aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Aside {
    /// It is under the hidden name, and it is the file that was worked on.
    Ours,
    /// Another file has its name.
    Replaced,
    /// Neither of the two names is there.
    Absent,
}

impl Source {
    /// A source below this bucket's root, and the hidden name beside it. Both lie in the same directory.
    #[must_use]
    pub fn new(root: PathBuf, key: ObjectKey, aside: ObjectKey) -> Self {
        Self { root, key, aside }
    }

    /// Puts the source aside, where it is still the file with this identity. Does nothing where that has been done.
    ///
    /// # Errors
    /// Where the system refuses, or a file can neither stay aside nor go back.
    pub fn set_aside(&self, identity: &Identity) -> Result<Aside, PublishError> {
        let Some(place) = self.place()? else {
            return Ok(Aside::Absent);
        };
        let mut inode = None;
        if self.look(&place, &self.aside)?.is_none() {
            let Some(before) = self.look(&place, &self.key)? else {
                return Ok(Aside::Absent);
            };
            if !is(&before, identity) {
                return Ok(Aside::Replaced);
            }
            inode = Some(before.st_ino);
            match rename(&place, self.key.file_name(), &place, self.aside.file_name()) {
                Err(Errno::NOENT) => return Ok(Aside::Absent),
                other => other.map_err(io("put aside", self.path(&self.key)))?,
            }
            step::pass("source_aside");
        }
        let found = self.look(&place, &self.aside)?;
        let same = found
            .as_ref()
            .is_some_and(|stat| is(stat, identity) && inode.is_none_or(|inode| inode == stat.st_ino));
        if same {
            return Ok(Aside::Ours);
        }
        self.put_back()?;
        Ok(Aside::Replaced)
    }

    /// Gives the file that is aside its own name again, where that is free.
    ///
    /// # Errors
    /// Where the name is taken: the file then stays under the hidden name, which the error says.
    pub fn put_back(&self) -> Result<(), PublishError> {
        let Some(place) = self.place()? else {
            return Ok(());
        };
        match rename(&place, self.aside.file_name(), &place, self.key.file_name()) {
            Ok(()) => fsync(&place).map_err(io("make durable the directory of", self.path(&self.key))),
            Err(Errno::EXIST) => Err(PublishError::LeftAside(self.aside.clone())),
            Err(errno) => Err(io("put back", self.path(&self.key))(errno)),
        }
    }

    /// Deletes what is aside.
    ///
    /// # Errors
    /// Where the system refuses.
    pub fn delete(&self) -> Result<(), PublishError> {
        let Some(place) = self.place()? else {
            return Ok(());
        };
        match unlinkat(&place, self.aside.file_name(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(io("delete", self.path(&self.key))(errno)),
        }
        step::pass("source_gone");
        fsync(&place).map_err(io("make durable the directory of", self.path(&self.key)))
    }

    /// Gives what is aside another name in the bucket.
    ///
    /// # Errors
    /// [`PublishError::NameTaken`] where something has that name; where the system refuses.
    pub fn move_to(&self, target: &ObjectKey) -> Result<(), PublishError> {
        let from = self.place()?.ok_or_else(|| PublishError::Lost(self.key.clone()))?;
        let to = directory(&self.root, target.directory(), true, &Access::default())?
            .ok_or_else(|| PublishError::Lost(self.key.clone()))?;
        match rename(&from, self.aside.file_name(), &to, target.file_name()) {
            Ok(()) => {}
            Err(Errno::EXIST) => return Err(PublishError::NameTaken(target.clone())),
            Err(errno) => return Err(io("move", self.path(&self.key))(errno)),
        }
        step::pass("source_gone");
        for place in [&to, &from] {
            fsync(place).map_err(io("make durable the directory of", self.path(target)))?;
        }
        Ok(())
    }

    /// Whether a name of the bucket is free.
    ///
    /// # Errors
    /// Where the system refuses.
    pub fn is_free(&self, target: &ObjectKey) -> Result<bool, PublishError> {
        match directory(&self.root, target.directory(), false, &Access::default())? {
            Some(place) => Ok(self.look(&place, target)?.is_none()),
            None => Ok(true),
        }
    }

    /// Whether the source has been moved to this name.
    ///
    /// # Errors
    /// Where the system refuses.
    pub fn was_moved(&self, target: &ObjectKey, identity: &Identity) -> Result<bool, PublishError> {
        match directory(&self.root, target.directory(), false, &Access::default())? {
            Some(place) => Ok(self.look(&place, target)?.is_some_and(|stat| is(&stat, identity))),
            None => Ok(false),
        }
    }

    fn place(&self) -> Result<Option<OwnedFd>, PublishError> {
        directory(&self.root, self.key.directory(), false, &Access::default())
    }

    fn look(&self, place: &OwnedFd, key: &ObjectKey) -> Result<Option<Stat>, PublishError> {
        match statat(place, key.file_name(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(io("look at", self.path(key))(errno)),
        }
    }

    fn path(&self, key: &ObjectKey) -> PathBuf {
        self.root.join(std::ffi::OsStr::from_bytes(key.as_bytes()))
    }
}

fn is(stat: &Stat, identity: &Identity) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && identity_of_stat(stat) == *identity
}

/// Renames, and never over another file. Where the file system cannot refuse that, a second name for the file can be
/// refused, and the first is taken away after it.
fn rename(from: &OwnedFd, old: &[u8], to: &OwnedFd, new: &[u8]) -> Result<(), Errno> {
    match renameat_with(from, old, to, new, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            linkat(from, old, to, new, AtFlags::empty())?;
            unlinkat(from, old, AtFlags::empty())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    struct Fixture {
        root: tempfile::TempDir,
        source: Source,
        identity: Identity,
    }

    impl Fixture {
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            fs::create_dir(root.path().join("in")).unwrap();
            let path = root.path().join("in/clip.mov");
            fs::write(&path, "worked on").unwrap();
            let identity = super::super::scratch::identity_of(&path.metadata().unwrap());
            let source = Source::new(
                root.path().to_owned(),
                "in/clip.mov".parse().unwrap(),
                "in/.reelmill-x.source".parse().unwrap(),
            );
            Self { root, source, identity }
        }

        fn read(&self, name: &str) -> Option<String> {
            fs::read_to_string(self.root.path().join(name)).ok()
        }

        fn write(&self, name: &str, text: &str) {
            fs::write(self.root.path().join(name), text).unwrap();
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(self.root.path().join("in")).unwrap();
            let mut names: Vec<_> = entries
                .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
                .collect();
            names.sort();
            names
        }
    }

    #[test]
    fn a_source_is_put_aside_once_and_deleted_once_however_often_asked() {
        let fixture = Fixture::new();
        for _ in 0..2 {
            assert_eq!(fixture.source.set_aside(&fixture.identity).unwrap(), Aside::Ours);
            assert_eq!(fixture.names(), [".reelmill-x.source"]);
        }
        for _ in 0..2 {
            fixture.source.delete().unwrap();
            assert!(fixture.names().is_empty());
        }
        assert_eq!(fixture.source.set_aside(&fixture.identity).unwrap(), Aside::Absent);
    }

    #[test]
    fn a_source_that_was_replaced_is_not_touched() {
        let fixture = Fixture::new();
        fixture.write("in/clip.mov", "a newer one");
        assert_eq!(fixture.source.set_aside(&fixture.identity).unwrap(), Aside::Replaced);
        assert_eq!(fixture.read("in/clip.mov").as_deref(), Some("a newer one"));
        assert_eq!(fixture.names(), ["clip.mov"]);
    }

    #[test]
    fn what_turns_out_to_be_another_file_once_aside_goes_back() {
        let fixture = Fixture::new();
        // As if it had been replaced between the look and the renaming.
        fixture.write("in/.reelmill-x.source", "a newer one");
        fs::remove_file(fixture.root.path().join("in/clip.mov")).unwrap();
        assert_eq!(fixture.source.set_aside(&fixture.identity).unwrap(), Aside::Replaced);
        assert_eq!(fixture.read("in/clip.mov").as_deref(), Some("a newer one"));
        assert_eq!(fixture.names(), ["clip.mov"]);
    }

    #[test]
    fn what_cannot_go_back_stays_aside_and_the_error_says_where() {
        let fixture = Fixture::new();
        fixture.write("in/.reelmill-x.source", "a newer one");
        fixture.write("in/clip.mov", "the newest");
        let error = fixture.source.set_aside(&fixture.identity).unwrap_err();
        assert!(error.to_string().contains("in/.reelmill-x.source"), "{error}");
        assert_eq!(fixture.read("in/clip.mov").as_deref(), Some("the newest"));
        assert_eq!(fixture.read("in/.reelmill-x.source").as_deref(), Some("a newer one"));
    }

    #[test]
    fn a_new_file_under_the_old_name_survives_the_deletion_of_what_is_aside() {
        let fixture = Fixture::new();
        assert_eq!(fixture.source.set_aside(&fixture.identity).unwrap(), Aside::Ours);
        fixture.write("in/clip.mov", "dropped meanwhile");
        assert_eq!(fixture.source.set_aside(&fixture.identity).unwrap(), Aside::Ours);
        fixture.source.delete().unwrap();
        assert_eq!(fixture.read("in/clip.mov").as_deref(), Some("dropped meanwhile"));
    }

    #[test]
    fn moving_makes_directories_keeps_the_time_and_writes_over_nothing() {
        let fixture = Fixture::new();
        assert_eq!(fixture.source.set_aside(&fixture.identity).unwrap(), Aside::Ours);
        fixture.write("taken.mov", "theirs");
        let taken: ObjectKey = "taken.mov".parse().unwrap();
        assert!(matches!(
            fixture.source.move_to(&taken),
            Err(PublishError::NameTaken(_))
        ));
        assert!(!fixture.source.is_free(&taken).unwrap());
        let target: ObjectKey = "done/a/clip.mov".parse().unwrap();
        assert!(fixture.source.is_free(&target).unwrap());
        fixture.source.move_to(&target).unwrap();
        assert!(fixture.source.was_moved(&target, &fixture.identity).unwrap());
        assert_eq!(fixture.read("done/a/clip.mov").as_deref(), Some("worked on"));
        assert_eq!(fixture.read("taken.mov").as_deref(), Some("theirs"));
        assert!(fixture.names().is_empty());
    }

    #[test]
    fn a_symbolic_link_under_the_name_is_another_file() {
        let fixture = Fixture::new();
        let path = fixture.root.path().join("in/clip.mov");
        fs::rename(&path, fixture.root.path().join("real.mov")).unwrap();
        std::os::unix::fs::symlink("../real.mov", &path).unwrap();
        assert_eq!(fixture.source.set_aside(&fixture.identity).unwrap(), Aside::Replaced);
        assert!(path.is_symlink());
    }
}
