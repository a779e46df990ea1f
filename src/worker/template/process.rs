//! A worker's process, held by the daemon.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;

use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;

use super::Template;
use crate::job::Failure;
use crate::worker::launch::starting;

/// A process that a template made. It is killed when its value goes.
#[derive(Debug)]
pub(in crate::worker) struct Process {
    pid: i32,
    handle: OwnedFd,
    /// Where the template says how it ended.
    status: UnixStream,
    said: Vec<u8>,
    /// Which lives as long as those that it made.
    _template: Arc<Template>,
}

impl Process {
    pub(super) fn new(
        pid: i32,
        handle: OwnedFd,
        status: StdUnixStream,
        template: Arc<Template>,
    ) -> Result<Self, Failure> {
        let status = status
            .set_nonblocking(true)
            .and_then(|()| UnixStream::from_std(status))
            .map_err(|error| starting(&error))?;
        Ok(Self {
            pid,
            handle,
            status,
            said: Vec::new(),
            _template: template,
        })
    }

    /// Its number. Another process may have it once this one is gone.
    pub(in crate::worker) fn pid(&self) -> i32 {
        self.pid
    }

    /// Ends it, whatever it does.
    pub(in crate::worker) fn kill(&self) {
        // One that is gone needs no killing.
        let _ = rustix::process::pidfd_send_signal(&self.handle, rustix::process::Signal::KILL);
    }

    /// Waits for its end. May be dropped and called again.
    pub(in crate::worker) async fn wait(&mut self) -> ExitStatus {
        while self.said.len() < size_of::<i32>() {
            if self.status.read_buf(&mut self.said).await.unwrap_or(0) == 0 {
                break;
            }
        }
        let raw = self.said.first_chunk().map(|raw| i32::from_ne_bytes(*raw));
        // Where nobody is left to say it, its template is gone, and the kernel has ended it as well.
        ExitStatus::from_raw(raw.unwrap_or(libc::SIGKILL))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
