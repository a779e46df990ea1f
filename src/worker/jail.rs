//! The point after which a worker may do nothing but its work.

use std::io;

/// Shuts the process in. Called once, when everything that it needs is open and loaded, and while it has exactly one
/// thread: what is decided here binds the calling thread and those that it starts later, and no others.
///
/// Today this gives up the gaining of privileges for good. File system rules (scratch only), a filter of system calls
/// and resource limits belong to the same place, and nothing else in the child has to change for them.
///
/// # Errors
/// Where the kernel refuses; the caller must end the process then.
pub fn enter() -> io::Result<()> {
    rustix::thread::set_no_new_privs(true).map_err(io::Error::from)
}
