//! The worker's main: plugins, a fork, one thread, the jail, and only then media.
//!
//! Called before any runtime or thread exists. It reads its input and its control socket, and writes into its
//! current directory; it ends when the daemon closes the socket.

use std::fs::File;
use std::io::Write;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::Arc;

use super::frame::{self, FrameError};
use super::protocol::{CONTROL_FD, FromWorker, INPUT_FD, Progress, ToWorker, VERSION};
use super::ranges::RangedReader;
use super::template::{self, Role};
use super::{inventory, jail, registry};
use crate::job::{ErrorKind, Failure, Finding};
use crate::media::source::{FileReader, Input, Reader};
use crate::media::{self, Listener, Position};
use crate::plan::{OutputReport, Provenance};
use crate::rule::TaskId;

/// What a child is started for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Errand {
    /// To read media, until the daemon lets it go.
    Work,
    /// To write the plugin registry.
    BuildRegistry,
    /// To say which elements there are.
    ListElements,
}

/// Does what the child was started for.
#[must_use]
pub fn main(errand: Errand) -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        // In one line: see below.
        let said = panic.to_string().replace('\n', " ");
        let _ = writeln!(std::io::stderr(), "{said}");
    }));
    let ended = match errand {
        Errand::Work => work(),
        Errand::BuildRegistry => registry::build(),
        Errand::ListElements => inventory::list(),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            // The daemon keeps the last line for its report.
            let _ = writeln!(std::io::stderr(), "{reason}");
            ExitCode::FAILURE
        }
    }
}

fn work() -> Result<(), String> {
    match prepare()? {
        Some(mut ready) => ready.serve(),
        None => Ok(()),
    }
}

/// A worker that is shut in, and has read nothing of its medium.
pub struct Ready {
    control: UnixStream,
    input: Option<Arc<Input>>,
}

/// Loads plugins, and makes workers of copies of this process; comes back in each of them when it heard its terms, has shut itself
/// in and greeted. None in the process that made them, at its end, and where the daemon changed its mind.
///
/// # Errors
/// What is missing; the process must end then.
pub fn prepare() -> Result<Option<Ready>, String> {
    let socket = own(CONTROL_FD).ok_or("the worker is started by the daemon, not by hand")?;
    gst::init().map_err(|error| format!("GStreamer does not start: {error}"))?;
    media::allowed::load(&inventory::changes()).map_err(|failure| failure.message)?;
    media::allowed::warm_up();
    media::scale::warm_up();
    media::encoder::warm_up();
    media::provenance::look_at_libraries();
    has_one_thread()?;
    match template::serve(socket)? {
        Role::Worker => begin(),
        Role::Over => Ok(None),
    }
}

/// A worker of its own from here on.
fn begin() -> Result<Option<Ready>, String> {
    let control = own(CONTROL_FD).ok_or("a worker without a control socket")?;
    let input = own(INPUT_FD);
    let mut control = UnixStream::from(control);
    let (terms, remote) = match hear(&mut control)? {
        Some(ToWorker::Begin { terms, remote }) => (terms, remote),
        Some(_) => return Err("the daemon asks before it told the terms".to_owned()),
        None => return Ok(None),
    };
    has_one_thread()?;
    let landlock = jail::enter(&terms).map_err(|error| format!("the jail does not close: {error}"))?;
    let hello = FromWorker::Hello {
        protocol: VERSION,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        gstreamer: gst::version_string().to_string(),
        landlock,
    };
    say(&mut control, &hello)?;
    let input = input.map(|fd| open_input(fd, remote)).transpose()?;
    Ok(Some(Ready { control, input }))
}

impl Ready {
    /// Does what the daemon asks for, until it closes the socket.
    ///
    /// # Errors
    /// Where the daemon does not listen, or cannot be understood.
    pub fn serve(&mut self) -> Result<(), String> {
        serve(&mut self.control, self.input.as_ref())
    }

    /// The input, where there is one.
    #[must_use]
    pub fn input(&self) -> Option<&Arc<Input>> {
        self.input.as_ref()
    }
}

/// The next request; none where the daemon is gone.
fn hear(control: &mut UnixStream) -> Result<Option<ToWorker>, String> {
    match frame::read::<ToWorker>(control) {
        Ok(request) => Ok(request),
        Err(FrameError::Io(error)) if error.kind() == std::io::ErrorKind::ConnectionReset => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

/// A descriptor that was left open for this process.
fn own(fd: i32) -> Option<OwnedFd> {
    // SAFETY: asking for the flags of a descriptor changes nothing, and is allowed for closed ones.
    let open = unsafe { libc::fcntl(fd, libc::F_GETFD) != -1 };
    // SAFETY: the descriptor is open, and nobody else in this process knows of it.
    open.then(|| unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The input, which is a file or, where it is far away, a socket to ask for it.
fn open_input(fd: OwnedFd, remote: Option<u64>) -> Result<Arc<Input>, String> {
    if let Some(size) = remote {
        return Ok(Input::new(RangedReader::new(UnixStream::from(fd), size)));
    }
    let file = FileReader::new(File::from(fd)).map_err(|error| format!("the input says no size: {error}"))?;
    Ok(Input::new(file))
}

impl Reader for RangedReader {
    fn size(&self) -> u64 {
        RangedReader::size(self)
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> std::io::Result<usize> {
        RangedReader::read_at(self, offset, into)
    }
}

/// What is decided for a process binds the thread that does it, and a copy of a process has no other.
fn has_one_thread() -> Result<(), String> {
    let threads = std::fs::read_dir("/proc/self/task").map(Iterator::count);
    match threads.map_err(|error| format!("the threads cannot be counted: {error}"))? {
        1 => Ok(()),
        count => Err(format!("{count} threads exist before the jail; there must be one")),
    }
}

fn say(control: &mut UnixStream, message: &FromWorker) -> Result<(), String> {
    frame::write(control, message).map_err(|error| format!("the daemon does not listen: {error}"))
}

fn serve(control: &mut UnixStream, input: Option<&Arc<Input>>) -> Result<(), String> {
    loop {
        let Some(request) = hear(control)? else {
            return Ok(());
        };
        let Some(input) = input else {
            let failure = Failure::new(ErrorKind::Internal, "the worker has no input");
            say(control, &FromWorker::Failed { failure })?;
            continue;
        };
        let mut teller = Teller { control, lost: None };
        let answer = match request {
            ToWorker::Probe => match media::describe(input, &mut teller) {
                Ok(media) => FromWorker::Media { media: Box::new(media) },
                Err(failure) => FromWorker::Failed { failure },
            },
            ToWorker::Run { plan } => match media::run(input, &plan, &mut teller) {
                Ok(()) => FromWorker::Done,
                Err(failure) => FromWorker::Failed { failure },
            },
            ToWorker::Begin { .. } => return Err("the daemon told the terms twice".to_owned()),
        };
        if let Some(reason) = teller.lost {
            return Err(reason);
        }
        let calls = jail::refused();
        if !calls.is_empty() {
            say(control, &FromWorker::Refused { calls })?;
        }
        say(control, &answer)?;
    }
}

/// Tells the daemon what happens in a run.
struct Teller<'a> {
    control: &'a mut UnixStream,
    lost: Option<String>,
}

impl Teller<'_> {
    fn tell(&mut self, message: &FromWorker) {
        if self.lost.is_none()
            && let Err(reason) = say(self.control, message)
        {
            self.lost = Some(reason);
        }
    }
}

impl Listener for Teller<'_> {
    fn progress(&mut self, position: Position) {
        let nanos = |time: std::time::Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.tell(&FromWorker::Progress(Progress {
            position_ns: nanos(position.at),
            duration_ns: position.of.map(nanos),
            buffers: position.buffers,
            bytes_read: position.bytes_read,
        }));
    }

    fn output(&mut self, task: &TaskId, file: &str, size: u64, report: OutputReport) {
        self.tell(&FromWorker::Output {
            task: task.clone(),
            file: file.to_owned(),
            size,
            report,
        });
    }

    fn provenance(&mut self, task: &TaskId, provenance: Provenance) {
        self.tell(&FromWorker::Provenance {
            task: task.clone(),
            provenance,
        });
    }

    fn finding(&mut self, task: Option<&TaskId>, finding: Finding) {
        self.tell(&FromWorker::Finding {
            task: task.cloned(),
            finding,
        });
    }

    fn task_failed(&mut self, task: &TaskId, failure: Failure) {
        self.tell(&FromWorker::TaskFailed {
            task: task.clone(),
            failure,
        });
    }
}
