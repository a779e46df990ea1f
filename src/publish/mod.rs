//! From scratch to the output bucket: whole or not at all, and never over somebody else's file.
//!
//! A finished file is made durable and described ([`seal`]), the store writes the publish list, then each
//! file gets its final name ([`Destination::place`]). Placing is idempotent: after a crash the list is walked again,
//! and what has its name already is left alone. Knows no store and no bucket; the service
//! `publishing` puts the parts in order.

mod access;
mod beneath;
mod local;
mod scratch;
mod source;
pub mod step;

pub use access::Access;
pub use local::Destination;
pub use scratch::{Scratch, Sealed, seal};
pub use source::{Aside, Source};

use crate::job::{ErrorKind, Failure};
use crate::object::ObjectKey;

/// Why a file could not be sealed, placed or removed.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The final name is taken by a file that is not ours.
    #[error("the name {0} is taken by a file that Reelmill did not write there")]
    NameTaken(ObjectKey),
    /// The finished file is neither in scratch nor under its name.
    #[error("the finished file for {0} is lost from scratch")]
    Lost(ObjectKey),
    /// A file that was put aside cannot go back.
    #[error("another file has taken the name of one that was put aside, which stays at {0}")]
    LeftAside(ObjectKey),
    /// The wanted owner or mode cannot be had.
    #[error("{0}")]
    NotPermitted(String),
    /// The worker left something else than the file it reported.
    #[error("{0}")]
    NotAsReported(String),
    /// A bucket over a network refused, or does not answer.
    #[error("{message}")]
    Bucket {
        /// What it said.
        message: String,
        /// It may take it later.
        waits: bool,
    },
    /// The system refused.
    #[error("cannot {doing} {path}: {source}")]
    Io {
        /// The verb.
        doing: &'static str,
        /// On what.
        path: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

impl PublishError {
    /// The failure of a task that this means.
    #[must_use]
    pub fn failure(&self) -> Failure {
        use std::io::ErrorKind as Io;
        let kind = match self {
            Self::NameTaken(_) => ErrorKind::NameTaken,
            Self::Lost(_) | Self::LeftAside(_) => ErrorKind::Io,
            Self::NotPermitted(_) | Self::Bucket { waits: false, .. } => ErrorKind::Permission,
            Self::NotAsReported(_) => ErrorKind::BadOutput,
            Self::Bucket { waits: true, .. } => ErrorKind::Offline,
            Self::Io { source, .. } => match source.kind() {
                Io::StorageFull | Io::QuotaExceeded => ErrorKind::NoSpace,
                // What a kernel does to a disk that ails: it waits for its repair, as one that is away does.
                Io::ReadOnlyFilesystem => ErrorKind::Offline,
                Io::PermissionDenied => ErrorKind::Permission,
                _ => ErrorKind::Io,
            },
        };
        Failure::new(kind, self.to_string())
    }
}

/// Names what was done to which path in an error.
fn io(doing: &'static str, path: impl AsRef<std::path::Path>) -> impl FnOnce(rustix::io::Errno) -> PublishError {
    let path = path.as_ref().display().to_string();
    move |errno| PublishError::Io {
        doing,
        path,
        source: errno.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_is_full_or_read_only_is_waited_for_and_one_that_refuses_is_not() {
        use rustix::io::Errno;
        for (errno, kind) in [
            (Errno::NOSPC, ErrorKind::NoSpace),
            (Errno::DQUOT, ErrorKind::NoSpace),
            (Errno::ROFS, ErrorKind::Offline),
            (Errno::ACCESS, ErrorKind::Permission),
            (Errno::IO, ErrorKind::Io),
        ] {
            let failure = io("write", "/published/a.mp4")(errno).failure();
            assert_eq!(failure.kind, kind, "{errno:?}");
        }
    }
}
