//! The socket's place and how it is reached, also where the path is longer than the system takes.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

/// The socket's name in the state directory.
const NAME: &str = "reelmill.sock";

/// The longest path that a socket's address takes on Linux, less room for a descriptor's path.
const LONGEST: usize = 100;

/// Where the socket of a state directory is.
#[must_use]
pub fn path(state: &Path) -> PathBuf {
    state.join(NAME)
}

/// Opens the socket with mode 0660. One that a former daemon left is replaced, so the caller must hold the lock of
/// the state directory.
///
/// # Errors
/// Where the directory cannot be written.
pub fn listen(state: &Path) -> io::Result<UnixListener> {
    let fresh = state.join("reelmill.sock.new");
    match std::fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(Reach::of(&fresh)?.path())?;
    std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o660))?;
    // It gets its name only with its mode, so that nobody else can have come in before.
    std::fs::rename(&fresh, path(state))?;
    Ok(listener)
}

/// Connects to the daemon of a state directory.
///
/// # Errors
/// Where nobody listens or the caller may not.
pub async fn connect(state: &Path) -> io::Result<UnixStream> {
    UnixStream::connect(Reach::of(&path(state))?.path()).await
}

/// A path that fits into a socket's address: the path itself, or one through a descriptor of its directory.
struct Reach {
    path: PathBuf,
    _directory: Option<File>,
}

impl Reach {
    fn of(path: &Path) -> io::Result<Self> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        if path.as_os_str().len() <= LONGEST {
            return Ok(Self {
                path: path.to_path_buf(),
                _directory: None,
            });
        }
        let directory = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_PATH | libc::O_DIRECTORY)
            .open(parent)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name);
        Ok(Self {
            path,
            _directory: Some(directory),
        })
    }

    fn path(&self) -> &Path {
        &self.path
    }
}
