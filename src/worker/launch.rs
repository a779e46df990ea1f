//! Starts child processes with nothing but what they need: the only place that does.

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::process::{Child, Output, Stdio};
use std::time::Duration;

use tokio::process::Command;

use super::ending::{Words, ended};
use super::inventory::PLUGINS;
use super::protocol::{CONTROL_FD, INPUT_FD};
use super::spawn::WorkerSettings;
use crate::config::Jail;
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

/// What a system call answered, or why it failed.
pub(super) fn check(result: i32) -> std::io::Result<i32> {
    if result == -1 {
        Err(std::io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// Between fork and exec: puts the control socket in its place, gives all other descriptors up, and bounds the process.
pub(super) fn shed(control: Option<RawFd>) -> std::io::Result<()> {
    if let Some(control) = control {
        // SAFETY: this number belongs to nobody in the child; what was there is not needed there.
        check(unsafe { libc::dup2(control, CONTROL_FD) })?;
        // SAFETY: clears the flag, which stays where both are one.
        check(unsafe { libc::fcntl(CONTROL_FD, libc::F_SETFD, 0) })?;
        // Kept free for the workers: no plugin gets this number for a descriptor of its own.
        // SAFETY: the path ends with a zero.
        let nothing = check(unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) })?;
        // SAFETY: as above; where both are one, the flag is cleared.
        check(unsafe { libc::dup2(nothing, INPUT_FD) })?;
        // SAFETY: clears the flag.
        check(unsafe { libc::fcntl(INPUT_FD, libc::F_SETFD, 0) })?;
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
        // Who started the daemon may have had no interest in the ends of processes.
        libc::signal(libc::SIGCHLD, libc::SIG_DFL);
        // What a service may do besides (give results away) is not for those who read media. Without such leave
        // there is nothing to take.
        libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
        let kept = if control.is_some() { INPUT_FD } else { CONTROL_FD - 1 };
        let first = libc::c_uint::try_from(kept + 1).unwrap_or(3);
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

/// Starts a process that loads plugins and makes workers; see [`super::template`]. It is asked over this socket.
pub(super) fn template(settings: &WorkerSettings, socket: &OwnedFd) -> std::io::Result<Child> {
    let mut command = bare(settings, &settings.registry, Path::new("/"));
    if settings.jail == Jail::Strict {
        // Loops are not compiled where nothing new may be executed.
        command.env("ORC_CODE", "backup");
    }
    command
        .arg("worker")
        .env("GST_REGISTRY_UPDATE", "no")
        .env(PLUGINS, serde_json::to_string(&settings.plugins).unwrap_or_default())
        .stdout(Stdio::null());
    let socket = socket.as_raw_fd();
    // SAFETY: only system calls that are safe between fork and exec are made, and nothing is allocated.
    unsafe { command.pre_exec(move || shed(Some(socket))) };
    command.into_std().spawn()
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
    // SAFETY: as for a template.
    unsafe { command.pre_exec(|| shed(None)) };
    let ran = tokio::time::timeout(patience, command.output())
        .await
        .map_err(|_| Failure::new(ErrorKind::TimedOut, "GStreamer's plugins were not listed in time"))?
        .map_err(|error| starting(&error))?;
    let mut words = Words::default();
    words.hear(&ran.stderr);
    Ok((ran, words))
}
