//! Who owns results and who may read them, where a rule says so.
//!
//! Names are looked up when results are made, with the machine's own means, so that users of a directory service count
//! too. What is not said stays as the system makes it: the daemon's user and group, and what its umask leaves.

use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{Gid, Mode, Uid, fchmod, fchown};
use rustix::io::Errno;

use super::{PublishError, io};
use crate::rule::access::{AccessSpec, Principal};

/// Resolved to numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Access {
    owner: Option<u32>,
    group: Option<u32>,
    mode: Option<u32>,
}

impl Access {
    /// Looks names up.
    ///
    /// # Errors
    /// Where this machine has no such user or group.
    pub fn resolve(spec: &AccessSpec) -> Result<Self, PublishError> {
        let owner = match &spec.owner {
            None => None,
            Some(Principal::Id(id)) => Some(*id),
            Some(Principal::Name(name)) => Some(user(name)?),
        };
        let group = match &spec.group {
            None => None,
            Some(Principal::Id(id)) => Some(*id),
            Some(Principal::Name(name)) => Some(group(name)?),
        };
        Ok(Self {
            owner,
            group,
            mode: spec.mode,
        })
    }

    /// Gives an open file its owner and mode.
    ///
    /// # Errors
    /// Where the system refuses, which it does unless the daemon is root or the group is one of its own.
    pub fn apply_to_file(&self, file: impl AsFd, path: &Path) -> Result<(), PublishError> {
        self.apply(&file, self.mode, path)
    }

    /// The same for a directory that we made: whoever may read may also enter.
    ///
    /// # Errors
    /// As for files.
    pub fn apply_to_directory(&self, directory: impl AsFd, path: &Path) -> Result<(), PublishError> {
        self.apply(&directory, self.directory_mode(), path)
    }

    /// The mode of directories: execution is added where reading is allowed, 0640 becomes 0750.
    #[must_use]
    pub fn directory_mode(&self) -> Option<u32> {
        self.mode.map(|mode| mode | ((mode & 0o444) >> 2) | 0o300)
    }

    fn apply(self, file: impl AsFd, mode: Option<u32>, path: &Path) -> Result<(), PublishError> {
        if self.owner.is_some() || self.group.is_some() {
            let (owner, group) = (self.owner.map(Uid::from_raw), self.group.map(Gid::from_raw));
            fchown(&file, owner, group).map_err(|errno| match errno {
                Errno::PERM => PublishError::NotPermitted(self.refusal()),
                errno => io("give away", path)(errno),
            })?;
        }
        if let Some(mode) = mode {
            fchmod(&file, Mode::from_raw_mode(mode)).map_err(io("set the mode of", path))?;
        }
        Ok(())
    }

    fn refusal(self) -> String {
        let wanted: Vec<String> = [("user", self.owner), ("group", self.group)]
            .into_iter()
            .filter_map(|(what, id)| Some(format!("{what} {}", id?)))
            .collect();
        format!(
            "results cannot be given to {}: Reelmill runs as user {} and may not; only root, or a service with \
             CAP_CHOWN, may give files away, others only to groups that they are in",
            wanted.join(" and "),
            rustix::process::geteuid().as_raw()
        )
    }
}

fn unknown(what: &str, name: &str) -> PublishError {
    PublishError::NotPermitted(format!(
        "this machine has no {what} \"{}\" that results could be given to",
        name.escape_debug()
    ))
}

fn user(name: &str) -> Result<u32, PublishError> {
    look_up(name, |name, buffer| {
        // SAFETY: a record of plain numbers and pointers, for which all zeros is a value.
        let mut record: libc::passwd = unsafe { std::mem::zeroed() };
        let mut found = std::ptr::null_mut();
        // SAFETY: every pointer is valid for the length of the call, and the buffer has the length that is said.
        let code = unsafe {
            libc::getpwnam_r(
                name.as_ptr(),
                &raw mut record,
                buffer.as_mut_ptr(),
                buffer.len(),
                &raw mut found,
            )
        };
        (code, (!found.is_null()).then_some(record.pw_uid))
    })
    .ok_or_else(|| unknown("user", name))
}

fn group(name: &str) -> Result<u32, PublishError> {
    look_up(name, |name, buffer| {
        // SAFETY: a record of plain numbers and pointers, for which all zeros is a value.
        let mut record: libc::group = unsafe { std::mem::zeroed() };
        let mut found = std::ptr::null_mut();
        // SAFETY: every pointer is valid for the length of the call, and the buffer has the length that is said.
        let code = unsafe {
            libc::getgrnam_r(
                name.as_ptr(),
                &raw mut record,
                buffer.as_mut_ptr(),
                buffer.len(),
                &raw mut found,
            )
        };
        (code, (!found.is_null()).then_some(record.gr_gid))
    })
    .ok_or_else(|| unknown("group", name))
}

/// Asks with a buffer that grows until the answer fits.
fn look_up(name: &str, ask: impl Fn(&std::ffi::CStr, &mut [libc::c_char]) -> (i32, Option<u32>)) -> Option<u32> {
    let name = std::ffi::CString::new(name).ok()?;
    let mut size = 4096;
    loop {
        let mut buffer = vec![0; size];
        match ask(&name, &mut buffer) {
            (libc::ERANGE, _) if size < 1 << 20 => size *= 4,
            (_, found) => return found,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn spec(owner: Option<Principal>, group: Option<Principal>, mode: Option<u32>) -> AccessSpec {
        AccessSpec { owner, group, mode }
    }

    #[test]
    fn names_are_looked_up_and_unknown_ones_are_told() {
        let name = |text: &str| Some(Principal::Name(text.to_owned()));
        let found = Access::resolve(&spec(name("root"), name("root"), None)).unwrap();
        assert_eq!((found.owner, found.group), (Some(0), Some(0)));
        let error = Access::resolve(&spec(name("no-such-user-here"), None, None)).unwrap_err();
        assert!(error.to_string().contains("no-such-user-here"), "{error}");
        assert!(Access::resolve(&spec(None, name("no-such-group-here"), None)).is_err());
    }

    #[test]
    fn directories_may_be_entered_by_whoever_may_read() {
        for (file, directory) in [
            (0o644, 0o755),
            (0o640, 0o750),
            (0o600, 0o700),
            (0o664, 0o775),
            (0o444, 0o755),
        ] {
            let access = Access::resolve(&spec(None, None, Some(file))).unwrap();
            assert_eq!(access.directory_mode(), Some(directory), "{file:o}");
        }
    }

    #[test]
    fn a_file_gets_its_mode_whatever_the_umask() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let file = std::fs::File::create(&path).unwrap();
        let access = Access::resolve(&spec(None, None, Some(0o666))).unwrap();
        access.apply_to_file(&file, &path).unwrap();
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o666);
        access
            .apply_to_directory(std::fs::File::open(folder.path()).unwrap(), folder.path())
            .unwrap();
        assert_eq!(folder.path().metadata().unwrap().mode() & 0o777, 0o777);
    }
}
