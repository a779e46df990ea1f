//! Makes workers by fork, out of a process that has loaded GStreamer and its plugins and has read no medium.
//!
//! Loading takes longer than many a run; like this it is done once for many. What a worker may do is decided after the fork, by
//! itself, before it reads anything: see [`super::jail`].
//!
//! All workers of a template have their code and data at the same addresses. Whoever makes a worker crash in order to learn those
//! must not find them again: a template whose worker crashed makes no more. Who learns them otherwise can use them in the workers
//! that come later, of which there are less than a hundred; he is in the jail all the same.

mod passing;
mod process;
mod serve;

use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, Shutdown, SocketFlags, SocketType, shutdown, socketpair};

pub(super) use self::process::Process;
pub(super) use self::serve::{Role, serve};
use super::ending::{Words, ended};
use super::launch::{self, starting};
use super::settings::WorkerSettings;
use crate::config::{Jail, Plugins};
use crate::job::{self, Failure};

/// How many workers one makes.
const MOST: u32 = 100;

/// How long loading plugins may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long one may take to end.
const PARTING: Duration = Duration::from_millis(500);

/// The template that makes workers at present.
#[derive(Debug, Clone, Default)]
pub struct Templates(Arc<Mutex<Option<Current>>>);

#[derive(Debug)]
struct Current {
    template: Arc<Template>,
    /// So many workers.
    made: u32,
}

/// A process that makes workers. It ends with its value, and every worker of it.
#[derive(Debug)]
pub(super) struct Template {
    socket: OwnedFd,
    child: Arc<Mutex<Child>>,
    words: Arc<Mutex<Words>>,
    listener: Mutex<Option<JoinHandle<()>>>,
    made_for: Purpose,
}

/// Why there is no worker.
enum Refusal {
    /// This template makes no more; another will.
    Retired,
    /// Another would do no better.
    Failed(Failure),
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
                .map_err(|error| Failure::new(job::ErrorKind::Internal, error.to_string()))??;
        Process::new(pid, handle, status, template)
    }

    fn ask(
        &self,
        settings: &WorkerSettings,
        scratch: &Path,
        descriptors: &[OwnedFd; 4],
    ) -> Result<(Arc<Template>, i32, OwnedFd), Failure> {
        let purpose = Purpose::of(settings);
        // Held while one is asked: it answers one after the other.
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let known = current.take().filter(|known| known.template.made_for == purpose);
            let is_new = known.is_none();
            let Current { template, made } = match known {
                Some(known) => known,
                None => Current {
                    template: Arc::new(Template::start(settings, purpose.clone())?),
                    made: 0,
                },
            };
            match template.make(scratch, descriptors) {
                Ok((pid, handle)) => {
                    let known = Current {
                        template: template.clone(),
                        made: made + 1,
                    };
                    *current = Some(known).filter(|known| known.made < MOST);
                    return Ok((template, pid, handle));
                }
                Err(Refusal::Retired) if !is_new => {}
                Err(Refusal::Retired) => return Err(template.ended()),
                Err(Refusal::Failed(failure)) => return Err(failure),
            }
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
        let (heard, ending) = (words.clone(), child.clone());
        let listener = errors.map(|mut errors| {
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
            })
        });
        Ok(Self {
            socket,
            child,
            words,
            listener: Mutex::new(listener),
            made_for,
        })
    }

    /// The number of a new worker, and a hold on it.
    fn make(&self, scratch: &Path, descriptors: &[OwnedFd; 4]) -> Result<(i32, OwnedFd), Refusal> {
        let scratch = scratch.as_os_str().as_bytes();
        let asked = passing::send(&self.socket, scratch, &descriptors.each_ref().map(AsFd::as_fd));
        let (number, mut handles) = match asked.and_then(|()| passing::receive(&self.socket)) {
            Ok(Some(answer)) => answer,
            Ok(None) => return Err(Refusal::Retired),
            Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
                return Err(Refusal::Retired);
            }
            // Asked once more it might make two.
            Err(error) => return Err(Refusal::Failed(starting(&error))),
        };
        let number = number.as_slice().try_into().map_or(0, i32::from_ne_bytes);
        match handles.pop() {
            Some(handle) => Ok((number, handle)),
            None if number == 0 => Err(Refusal::Retired),
            None => {
                let error = std::io::Error::from_raw_os_error(number);
                Err(Refusal::Failed(starting(&error)))
            }
        }
    }

    /// Why there is nobody to be asked, from the beginning.
    fn ended(&self) -> Failure {
        let status = self.end();
        if let Some(listener) = self.listener.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // Its last words may be on their way.
            let _ = listener.join();
        }
        match status {
            Ok(status) => ended(
                status,
                &self.words.lock().unwrap_or_else(PoisonError::into_inner).last(),
            ),
            Err(error) => starting(&error),
        }
    }

    /// Waits for its end, for which it has a moment: it takes its workers along.
    fn end(&self) -> std::io::Result<ExitStatus> {
        let _ = shutdown(&self.socket, Shutdown::Both);
        let until = Instant::now() + PARTING;
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        while Instant::now() < until {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill()?;
        child.wait()
    }
}

impl Drop for Template {
    fn drop(&mut self) {
        let _ = self.end();
        if let Some(listener) = self.listener.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = listener.join();
        }
    }
}
