//! Makes workers by fork, out of a process that has loaded GStreamer and its plugins and has read no medium.
//!
//! Loading takes longer than many a run; like this it is done once for many. What a worker may do is decided after the fork, by
//! itself, before it reads anything: see [`super::jail`].
//!
//! All workers of a template have their code and data at the same addresses. Whoever makes a worker crash in order to learn those
//! must not find them again: a template whose worker crashed makes no more, and none makes more than [`MOST`].

mod passing;
mod process;
mod serve;

use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

pub(super) use self::process::Process;
pub(super) use self::serve::{Role, serve};
use super::ending::{Words, ended};
use super::launch::{self, starting};
use super::settings::WorkerSettings;
use crate::config::{Jail, Plugins};
use crate::job::{ErrorKind, Failure};

/// How many workers one makes.
const MOST: u32 = 100;

/// How long loading plugins may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The template that makes workers at present.
#[derive(Debug, Clone, Default)]
pub struct Templates(Arc<Mutex<Option<Arc<Template>>>>);

/// A process that makes workers. It ends with its value, and every worker of it.
#[derive(Debug)]
pub(super) struct Template {
    socket: OwnedFd,
    child: Arc<Mutex<Child>>,
    words: Arc<Mutex<Words>>,
    made: AtomicU32,
    made_for: Purpose,
}

/// What a template is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Purpose {
    program: PathBuf,
    registry: PathBuf,
    plugins: Plugins,
    /// What is loaded compiles nothing.
    strict: bool,
}

/// What a worker is born with.
pub(super) struct Birth<'a> {
    pub scratch: &'a Path,
    pub control: OwnedFd,
    pub input: OwnedFd,
    pub errors: OwnedFd,
}

impl Templates {
    /// A new worker, which waits to be told its terms.
    ///
    /// # Errors
    /// Where none can be started.
    pub(super) async fn make(&self, settings: &WorkerSettings, birth: Birth<'_>) -> Result<Process, Failure> {
        let (status, told) = std::os::unix::net::UnixStream::pair().map_err(|error| starting(&error))?;
        let templates = self.clone();
        let settings = settings.clone();
        let scratch = birth.scratch.to_owned();
        let descriptors = [birth.control, birth.input, birth.errors, told.into()];
        let (template, pid, handle) =
            tokio::task::spawn_blocking(move || templates.ask(&settings, &scratch, &descriptors))
                .await
                .map_err(|error| Failure::new(ErrorKind::Internal, error.to_string()))??;
        Process::new(pid, handle, status, template, self.clone())
    }

    fn current(&self) -> MutexGuard<'_, Option<Arc<Template>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(
        &self,
        settings: &WorkerSettings,
        scratch: &Path,
        descriptors: &[OwnedFd; 4],
    ) -> Result<(Arc<Template>, i32, OwnedFd), Failure> {
        let purpose = Purpose::of(settings);
        // Held while one is asked: it answers one after the other.
        let mut current = self.current();
        loop {
            let known = current.take().filter(|template| template.made_for == purpose);
            let is_new = known.is_none();
            let template = match known {
                Some(template) => template,
                None => Arc::new(Template::start(settings, purpose.clone())?),
            };
            match template.make(scratch, descriptors) {
                Ok((pid, handle)) => {
                    if template.made.fetch_add(1, Ordering::Relaxed) + 1 < MOST {
                        *current = Some(template.clone());
                    }
                    return Ok((template, pid, handle));
                }
                Err(failure) if is_new => return Err(failure),
                // It had nothing to do for long, or somebody ended it.
                Err(failure) => tracing::debug!(error = failure.message, "workers are made by a new process"),
            }
        }
    }

    /// This template makes no more workers. It lives as long as those that it made.
    pub(super) fn retire(&self, template: &Arc<Template>) {
        let mut current = self.current();
        if current.as_ref().is_some_and(|known| Arc::ptr_eq(known, template)) {
            *current = None;
        }
    }
}

impl Purpose {
    fn of(settings: &WorkerSettings) -> Self {
        Self {
            program: settings.program.clone(),
            registry: settings.registry.clone(),
            plugins: settings.plugins.clone(),
            strict: settings.jail == Jail::Strict,
        }
    }
}

impl Template {
    fn start(settings: &WorkerSettings, made_for: Purpose) -> Result<Self, Failure> {
        let pair = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None);
        let (socket, there) = pair.map_err(|error| starting(&error.into()))?;
        set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE)).map_err(|error| starting(&error.into()))?;
        let mut child = launch::template(settings, &there).map_err(|error| starting(&error))?;
        let words = Arc::new(Mutex::new(Words::default()));
        let errors = child.stderr.take();
        let child = Arc::new(Mutex::new(child));
        if let Some(mut errors) = errors {
            let (heard, ending) = (words.clone(), child.clone());
            std::thread::spawn(move || {
                let mut piece = [0; 4096];
                while let Ok(count) = errors.read(&mut piece)
                    && count > 0
                {
                    let mut words = heard.lock().unwrap_or_else(PoisonError::into_inner);
                    words.hear(&piece[..count]);
                }
                // One that ends by itself is gone for the kernel, too.
                let _ = ending.lock().unwrap_or_else(PoisonError::into_inner).wait();
            });
        }
        Ok(Self {
            socket,
            child,
            words,
            made: AtomicU32::new(0),
            made_for,
        })
    }

    /// The number of a new worker, and a hold on it.
    fn make(&self, scratch: &Path, descriptors: &[OwnedFd; 4]) -> Result<(i32, OwnedFd), Failure> {
        let scratch = scratch.as_os_str().as_bytes();
        let answer = passing::send(&self.socket, scratch, &descriptors.each_ref().map(AsFd::as_fd))
            .and_then(|()| passing::receive(&self.socket));
        let told = match answer {
            Ok(Some((number, mut handles))) => number
                .as_slice()
                .try_into()
                .ok()
                .map(i32::from_ne_bytes)
                .zip(handles.pop()),
            Ok(None) => None,
            Err(error) => return Err(starting(&error)),
        };
        told.ok_or_else(|| match self.end() {
            Ok(status) => ended(
                status,
                &self.words.lock().unwrap_or_else(PoisonError::into_inner).last(),
            ),
            Err(error) => starting(&error),
        })
    }

    fn end(&self) -> std::io::Result<ExitStatus> {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        // Its last words may be on their way.
        for _ in 0..50 {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        child.kill()?;
        child.wait()
    }
}

impl Drop for Template {
    fn drop(&mut self) {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = child.kill();
        let _ = child.wait();
    }
}
