//! Starts child processes with nothing but what they need: the only place that does.

use std::fs::File;
use std::os::fd::RawFd;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::process::Command;

use super::ending::{Words, ended};
use super::inventory::PLUGINS;
use super::protocol::{CONTROL_FD, INPUT_FD};
use super::spawn::WorkerSettings;
use crate::job::{ErrorKind, Failure};

/// A child could not be started.
pub(super) fn starting(error: &std::io::Error) -> Failure {
    Failure::new(ErrorKind::Internal, format!("a worker cannot be started: {error}"))
}

/// A command with an empty environment and the few variables that a child may have.
#[allow(clippy::disallowed_methods)] // This is the one place that starts processes.
pub(super) fn bare(settings: &WorkerSettings, registry: &Path, directory: &Path) -> Command {
    let mut command = Command::new(&settings.program);
    command
        .env_clear()
        .env("GST_REGISTRY_1_0", registry)
        .env("GST_REGISTRY_FORK", "no")
        .env("TMPDIR", directory)
        // Compiled loops of signal processing lie in a mapped file in the first of these that is there. On a full
        // disk that would be a crash where an error is due.
        .env("XDG_RUNTIME_DIR", "/dev/shm")
        .env("LANG", "C.UTF-8")
        .current_dir(directory)
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    command
}

/// Between fork and exec: puts the descriptors in their places, gives all others up, and bounds the process.
pub(super) fn shed(control: Option<RawFd>, input: Option<RawFd>) -> std::io::Result<()> {
    fn check(result: i32) -> std::io::Result<i32> {
        if result == -1 {
            Err(std::io::Error::last_os_error())
        } else {
            Ok(result)
        }
    }
    // Out of the way first: a source may lie where another belongs.
    let aside = |fd: Option<RawFd>| {
        // SAFETY: duplicates a descriptor that the parent keeps open over the fork.
        fd.map(|fd| check(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 10) }))
            .transpose()
    };
    let (control, input) = (aside(control)?, aside(input)?);
    for (fd, place) in [(control, CONTROL_FD), (input, INPUT_FD)] {
        if let Some(fd) = fd {
            // SAFETY: these numbers belong to nobody in the child; what was there is not needed there.
            check(unsafe { libc::dup2(fd, place) })?;
        } else {
            // SAFETY: sets a flag, so that whatever is there is closed at exec with the rest.
            unsafe { libc::fcntl(place, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
    }
    let limit = |resource, most: u64| {
        let limit = libc::rlimit {
            rlim_cur: most,
            rlim_max: most,
        };
        // SAFETY: reads one structure that lives here.
        check(unsafe { libc::setrlimit(resource, &raw const limit) })
    };
    limit(libc::RLIMIT_CORE, 0)?;
    limit(libc::RLIMIT_NOFILE, 256)?;
    // SAFETY: plain system calls without memory of ours.
    unsafe {
        check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL))?;
        libc::setpriority(libc::PRIO_PROCESS, 0, 5);
        // What a service may do besides (give results away) is not for those who read media. Without such leave
        // there is nothing to take.
        libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
        let first = libc::c_uint::try_from(INPUT_FD + 1).unwrap_or(5);
        let closed = libc::syscall(
            libc::SYS_close_range,
            first,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        );
        if closed == -1 {
            return Err(std::io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Runs the child that writes the plugin registry; answers what it printed.
pub(super) async fn build_registry(
    settings: &WorkerSettings,
    registry: &Path,
    patience: Duration,
) -> Result<String, Failure> {
    let _ = std::fs::remove_file(registry);
    let (ran, words) = look_at_plugins(settings, registry, "--build-registry", patience).await?;
    if !ran.status.success() || File::open(registry).is_err() {
        return Err(ended(ran.status, &words.last()));
    }
    Ok(String::from_utf8_lossy(&ran.stdout).into_owned())
}

/// Runs the child that says which elements there are; answers what it printed.
pub(super) async fn list_elements(
    settings: &WorkerSettings,
    registry: &Path,
    patience: Duration,
) -> Result<Vec<u8>, Failure> {
    let (ran, words) = look_at_plugins(settings, registry, "--list-elements", patience).await?;
    if !ran.status.success() {
        return Err(ended(ran.status, &words.last()));
    }
    Ok(ran.stdout)
}

async fn look_at_plugins(
    settings: &WorkerSettings,
    registry: &Path,
    errand: &str,
    patience: Duration,
) -> Result<(Output, Words), Failure> {
    let folder = registry
        .parent()
        .filter(|folder| folder.is_dir())
        .unwrap_or(Path::new("/"));
    let mut command = bare(settings, registry, folder);
    command
        .args(["worker", errand])
        .env("GST_REGISTRY_UPDATE", "yes")
        .env(PLUGINS, serde_json::to_string(&settings.plugins).unwrap_or_default())
        .stdout(Stdio::piped());
    // SAFETY: as for a worker.
    unsafe { command.pre_exec(|| shed(None, None)) };
    let ran = tokio::time::timeout(patience, command.output())
        .await
        .map_err(|_| Failure::new(ErrorKind::TimedOut, "GStreamer's plugins were not listed in time"))?
        .map_err(|error| starting(&error))?;
    let mut words = Words::default();
    words.hear(&ran.stderr);
    Ok((ran, words))
}
