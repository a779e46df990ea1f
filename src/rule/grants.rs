//! What a task may use besides its medium and its scratch directory.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What the jail of a worker leaves open on top of the usual.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Grants {
    /// Files and folders to read. Absolute.
    pub reads: Vec<PathBuf>,
    /// Devices to read, write and steer. Absolute.
    pub devices: Vec<PathBuf>,
    /// Sockets of the Internet.
    pub network: bool,
}

impl Grants {
    /// Nothing besides.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
