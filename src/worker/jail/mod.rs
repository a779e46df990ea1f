//! The point after which a worker may do nothing but its work.
//!
//! Landlock shuts the file system but for the scratch directory and what the run was granted (`files`); a filter of
//! system calls shuts the rest of the kernel (`calls`). Both are kept by the kernel from then on, whoever has taken
//! the process over.

mod calls;
mod files;
mod violation;

use serde::{Deserialize, Serialize};

use crate::config::Jail;
use crate::rule::Grants;
pub use files::{OLDEST_LANDLOCK, landlock_version};
pub use violation::refused;

/// What a child is shut in with. Told by the daemon before the child reads anything else.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Terms {
    /// How tight.
    pub jail: Jail,
    /// What is open besides.
    pub grants: Grants,
    /// No file may become longer, in bytes.
    pub longest_file: u64,
    /// Act as a kernel of this Landlock version would; none: as this one. For tests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub landlock: Option<u32>,
}

/// Shuts the process in. Called once, when everything that it needs is open and loaded, and while it has exactly one
/// thread: what is decided here binds the calling thread and those that it starts later, and no others.
///
/// Answers the version of Landlock that holds; none without a jail.
///
/// # Errors
/// Where the kernel refuses any of it; the caller must end the process then.
pub fn enter(terms: &Terms) -> Result<Option<u32>, String> {
    rustix::thread::set_no_new_privs(true).map_err(|error| format!("privileges could still be gained: {error}"))?;
    limit(libc::RLIMIT_FSIZE, terms.longest_file)?;
    // Who writes too much is told so, and need not die of it.
    // SAFETY: sets how a signal is handled; no function of ours is called.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    // Where memory ends, the kernel looks for whom to end: a worker first. Not everywhere may that be said.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    limit(libc::RLIMIT_MEMLOCK, 0)?;
    limit(libc::RLIMIT_MSGQUEUE, 0)?;
    if terms.jail == Jail::Off {
        return Ok(None);
    }
    give_up_capabilities()?;
    violation::listen()?;
    let version = files::shut(&terms.grants, terms.landlock)?;
    calls::shut(terms)?;
    Ok(Some(version))
}

/// Whether workers can be shut in like this: what will hold, or what is lacking and what to do about it.
///
/// # Errors
/// Where it cannot be.
pub fn possible(jail: Jail, landlock: Option<u32>, seccomp: bool) -> Result<String, String> {
    if jail == Jail::Off {
        return Ok("off: whoever made a medium may do on this machine what this user may".to_owned());
    }
    let help = "the kernel needs Landlock of version 2 or later (Linux 5.19; `landlock` in its lsm= list) and filters of \
                system calls to shut workers in; without them only `jail = \"off\"` under [workers] works";
    match landlock {
        Some(version) if version >= OLDEST_LANDLOCK && seccomp => {
            let kind = if jail == Jail::Strict { ", strict" } else { "" };
            Ok(format!("Landlock {version} and a filter of system calls{kind}"))
        }
        _ => Err(help.to_owned()),
    }
}

/// Whether this kernel filters system calls.
#[must_use]
pub fn has_seccomp() -> bool {
    // SAFETY: asks for a number, touches no memory of ours.
    unsafe { libc::prctl(libc::PR_GET_SECCOMP, 0, 0, 0, 0) >= 0 }
}

/// A worker of a daemon that runs as root would be root, too. Where there is nothing to give up, nothing is asked of
/// the kernel: a service may not be allowed to.
fn give_up_capabilities() -> Result<(), String> {
    let held = rustix::thread::capabilities(None).map_err(|error| format!("capabilities cannot be seen: {error}"))?;
    if held.effective.is_empty() && held.permitted.is_empty() && held.inheritable.is_empty() {
        return Ok(());
    }
    let none = rustix::thread::CapabilitySets {
        effective: rustix::thread::CapabilitySet::empty(),
        permitted: rustix::thread::CapabilitySet::empty(),
        inheritable: rustix::thread::CapabilitySet::empty(),
    };
    rustix::thread::set_capabilities(None, none).map_err(|error| format!("capabilities stay: {error}"))
}

fn limit(resource: libc::__rlimit_resource_t, most: u64) -> Result<(), String> {
    let limit = libc::rlimit {
        rlim_cur: most,
        rlim_max: most,
    };
    // SAFETY: reads one structure that lives here.
    if unsafe { libc::setrlimit(resource, &raw const limit) } == -1 {
        let error = std::io::Error::last_os_error();
        return Err(format!("a limit of the process cannot be set: {error}"));
    }
    Ok(())
}
