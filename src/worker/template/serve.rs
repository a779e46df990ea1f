//! The template's own part: forks when it is asked to, and says how its workers ended.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, pidfd_open};

use super::passing;
use crate::worker::launch::check;
use crate::worker::protocol::{CONTROL_FD, INPUT_FD};

/// Who has no workers and makes none for so long gives its memory back.
const IDLE: Timespec = Timespec { tv_sec: 60, tv_nsec: 0 };

/// Who comes back from [`serve`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::worker) enum Role {
    /// A new process, with its descriptors in their places and its scratch directory as the current one.
    Worker,
    /// The template itself, when nobody needs it any more.
    Over,
}

struct Made {
    pid: Pid,
    handle: OwnedFd,
    status: File,
}

/// Makes workers until the daemon lets go, and ends with all of them; or until nobody wants any for long.
///
/// # Errors
/// Where the template cannot go on, or a new worker cannot begin; the process must end then.
pub(in crate::worker) fn serve(socket: OwnedFd) -> Result<Role, String> {
    nothing_is_shared()?;
    // The socket says when the daemon is gone; the thread that started this process may go before.
    rustix::process::set_parent_process_death_signal(None).map_err(|error| error.to_string())?;
    let mut made: Vec<Made> = Vec::new();
    let mut crashed = false;
    loop {
        let Some((asked, over)) = wait(&socket, &made)? else {
            return Ok(Role::Over);
        };
        crashed |= bury(&mut made, &over);
        if !asked {
            continue;
        }
        let Some((scratch, descriptors)) = passing::receive(&socket).map_err(|error| error.to_string())? else {
            end(made);
            return Ok(Role::Over);
        };
        if crashed {
            answer(&socket, 0, None)?;
            continue;
        }
        let Ok([control, input, errors, status]) = <[OwnedFd; 4]>::try_from(descriptors) else {
            return Err("the daemon asks for a worker without its descriptors".to_owned());
        };
        let template = rustix::process::getpid();
        // SAFETY: this process has one thread, so that the new one finds everything as it is here.
        let forked = unsafe { libc::fork() };
        if forked == 0 {
            drop(made);
            drop(status);
            begin(template, &scratch, socket, [control, input, errors]).map_err(|error| error.to_string())?;
            return Ok(Role::Worker);
        }
        match hold(forked) {
            Ok((pid, handle)) => {
                answer(&socket, pid.as_raw_nonzero().get(), Some(&handle))?;
                made.push(Made {
                    pid,
                    handle,
                    status: File::from(status),
                });
            }
            // The others go on.
            Err(error) => answer(&socket, error.raw_os_error().unwrap_or(libc::EAGAIN), None)?,
        }
    }
}

/// What `fork` answered: a new process, which is held; or why there is none.
fn hold(forked: i32) -> std::io::Result<(Pid, OwnedFd)> {
    let pid = Pid::from_raw(check(forked)?).ok_or(std::io::ErrorKind::InvalidData)?;
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(handle) => Ok((pid, handle)),
        Err(error) => {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
            let _ = rustix::process::waitpid(Some(pid), WaitOptions::empty());
            Err(error.into())
        }
    }
}

/// Tells the daemon of a worker by its number and a hold on it; or why there is none, by the number of an error; or, by 0, that this
/// process makes no more.
fn answer(socket: &OwnedFd, number: i32, handle: Option<&OwnedFd>) -> Result<(), String> {
    let handles: Vec<_> = handle.into_iter().map(AsFd::as_fd).collect();
    passing::send(socket, &number.to_ne_bytes(), &handles).map_err(|error| error.to_string())
}

/// Takes the workers along. Who is nobody's child any more may be waited for by nobody.
fn end(made: Vec<Made>) {
    for worker in &made {
        let _ = rustix::process::pidfd_send_signal(&worker.handle, Signal::KILL);
    }
    for worker in made {
        let _ = rustix::process::waitpid(Some(worker.pid), WaitOptions::empty());
    }
}

/// Waits until something happens: whether the daemon said something, and which workers are over. None where there is nothing to
/// wait for, for long.
fn wait(socket: &OwnedFd, made: &[Made]) -> Result<Option<(bool, Vec<bool>)>, String> {
    let mut watched = vec![PollFd::new(socket, PollFlags::IN)];
    watched.extend(made.iter().map(|made| PollFd::new(&made.handle, PollFlags::IN)));
    let patience = made.is_empty().then_some(&IDLE);
    let count = rustix::io::retry_on_intr(|| poll(&mut watched, patience)).map_err(|error| error.to_string())?;
    let mut happened = watched.iter().map(|watched| !watched.revents().is_empty());
    Ok((count > 0).then(|| (happened.next().unwrap_or(false), happened.collect())))
}

/// Tells of those that are over, and forgets them; answers whether any has crashed.
fn bury(made: &mut Vec<Made>, over: &[bool]) -> bool {
    let (mut over, mut crashed) = (over.iter(), false);
    made.retain_mut(|made| {
        if !over.next().is_some_and(|over| *over) {
            return true;
        }
        match rustix::process::waitpid(Some(made.pid), WaitOptions::NOHANG) {
            Ok(None) => return true,
            Ok(Some((_, status))) => {
                let signal = status.terminating_signal();
                crashed |= signal.is_some_and(|signal| signal != libc::SIGKILL);
                // Perhaps nobody wants to know.
                let _ = made.status.write_all(&status.as_raw().to_ne_bytes());
            }
            // Somebody else has waited for it. The daemon hears nothing any more.
            Err(_) => {}
        }
        false
    });
    crashed
}

/// Makes a worker of this process, which is a copy of the template.
fn begin(template: Pid, scratch: &[u8], socket: OwnedFd, birth: [OwnedFd; 3]) -> std::io::Result<()> {
    // The places of some may be taken by others so far.
    let aside = |fd: &OwnedFd| rustix::io::fcntl_dupfd_cloexec(fd, 10);
    let aside = [aside(&birth[0])?, aside(&birth[1])?, aside(&birth[2])?];
    drop((socket, birth));
    for (fd, place) in aside.iter().zip([CONTROL_FD, INPUT_FD, libc::STDERR_FILENO]) {
        // SAFETY: the first was the template's socket, the second was kept free, and the third is nobody's value.
        check(unsafe { libc::dup2(fd.as_raw_fd(), place) })?;
    }
    drop(aside);
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    if rustix::process::getppid() != Some(template) {
        return Err(std::io::Error::other("the template ended"));
    }
    rustix::process::setpgid(None, None)?;
    let scratch = std::path::Path::new(std::ffi::OsStr::from_bytes(scratch));
    std::env::set_current_dir(scratch)?;
    // SAFETY: this process has one thread.
    unsafe { std::env::set_var("TMPDIR", scratch) };
    // Numbers by chance would be the same in every worker.
    gst::glib::random_set_seed(rand::random());
    Ok(())
}

/// Memory that a template shares with its workers would be shared among these.
fn nothing_is_shared() -> Result<(), String> {
    let maps = std::fs::read_to_string("/proc/self/maps").map_err(|error| error.to_string())?;
    match maps.lines().find(|line| is_shared(line)) {
        Some(line) => Err(format!("plugins left memory that all workers would share: {line}")),
        None => Ok(()),
    }
}

/// Whether a line of `/proc/PID/maps` is of memory that others see change.
fn is_shared(line: &str) -> bool {
    let rights = line.split(' ').nth(1).unwrap_or("");
    rights.contains('w') && rights.ends_with('s')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_shared_that_is_written_and_not_copied() {
        assert!(is_shared("7f00-7f01 rw-s 00000000 00:01 12 /dev/shm/orcexec (deleted)"));
        assert!(!is_shared("7f00-7f01 r--s 00000000 08:01 12 /usr/lib/x.cache"));
        assert!(!is_shared("7f00-7f01 rw-p 00000000 00:00 0 [heap]"));
    }
}
