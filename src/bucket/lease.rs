//! Asking the kernel whether anybody has a file open for writing, by a read lease that is given back at once.
//!
//! While the lease is held, a microsecond or so, a process that opens the file for writing waits, or is told
//! `EWOULDBLOCK` where it asked not to wait. The signal that tells of this is set to one that nobody sees.

use std::os::fd::{AsFd, AsRawFd};

use rustix::io::Errno;

/// What the test said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writers {
    /// Nobody has it open for writing.
    None,
    /// Somebody has.
    Some,
    /// The kernel cannot say for this file.
    Unknown,
}

/// Tests a file that was opened read-only.
pub fn writers(file: impl AsFd) -> Writers {
    match take(&file) {
        Ok(()) => {
            give_back(&file);
            Writers::None
        }
        Err(Errno::AGAIN) => Writers::Some,
        Err(_) => Writers::Unknown,
    }
}

/// Which signal tells that a lease is being broken; `fcntl` of Linux.
const F_SETSIG: libc::c_int = 10;

fn take(file: impl AsFd) -> Result<(), Errno> {
    // SIGURG is ignored by default; the usual SIGIO would end the process.
    control(&file, F_SETSIG, libc::SIGURG)?;
    control(&file, libc::F_SETLEASE, libc::F_RDLCK)
}

fn give_back(file: impl AsFd) {
    let _ = control(file, libc::F_SETLEASE, libc::F_UNLCK);
}

fn control(file: impl AsFd, command: libc::c_int, argument: libc::c_int) -> Result<(), Errno> {
    // SAFETY: the descriptor is open for the length of the call, and these commands take an integer.
    let answer = unsafe { libc::fcntl(file.as_fd().as_raw_fd(), command, argument) };
    if answer == -1 {
        let error = std::io::Error::last_os_error();
        return Err(Errno::from_io_error(&error).unwrap_or(Errno::INVAL));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{File, OpenOptions};
    use std::time::{Duration, Instant};

    #[test]
    fn a_writer_is_seen_while_it_holds_the_file_and_not_after() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let writer = File::create(&path).unwrap();
        let reader = File::open(&path).unwrap();
        assert_eq!(writers(&reader), Writers::Some);
        drop(writer);
        assert_eq!(writers(&reader), Writers::None);
    }

    #[test]
    fn breaking_a_lease_does_not_end_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "x").unwrap();
        let reader = File::open(&path).unwrap();
        take(&reader).unwrap();
        let opened = std::thread::spawn(move || OpenOptions::new().append(true).open(path));
        // The opener waits for the lease: F_GETLEASE says so once it is being broken.
        let deadline = Instant::now() + Duration::from_secs(5);
        while control_value(&reader) == libc::F_RDLCK {
            assert!(Instant::now() < deadline, "nobody broke the lease");
            std::thread::yield_now();
        }
        give_back(&reader);
        opened.join().unwrap().unwrap();
    }

    fn control_value(file: &File) -> libc::c_int {
        // SAFETY: the descriptor is open, and the command takes no argument.
        unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETLEASE) }
    }
}
