//! The daemon's side of a worker: starts it with nothing but what it needs, speaks with it, watches it, ends it.
//!
//! The child is taken for an enemy: what it says is bounded and checked, and it lives only as long as it moves.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::pipe::{PipeFlags, pipe_with};
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::net::unix::pipe::Receiver;
use tokio::time::Instant;

use super::cgroup::{Group, Groups};
use super::distrust::{Asked, protocol};
use super::ending::{Words, ended};
use super::frame::{self, Frames};
use super::jail::Terms;
use super::launch::starting;
use super::manners::Manners;
use super::measure;
use super::protocol::{FromWorker, Progress, ToWorker, VERSION};
use super::ranges::{Owed, Source};
pub use super::settings::{Limits, WorkerSettings};
use super::template::{Birth, Process};
use crate::config::Jail;
use crate::diagnostic::quantity::show_size;
use crate::job::{ErrorKind, Failure};
use crate::plan::{MediaInfo, RunPlan};
use crate::rule::Grants;

/// How long a child may take to greet, and to end once it said goodbye.
const GREETING: Duration = Duration::from_secs(10);
const PARTING: Duration = Duration::from_secs(5);

/// How often it is measured what a child takes.
const MEASURE: Duration = Duration::from_millis(200);

/// A running child.
pub struct Worker {
    process: Process,
    control: UnixStream,
    frames: Frames,
    stderr: Option<Receiver>,
    words: Words,
    asked: Asked,
    manners: Manners,
    scratch: PathBuf,
    limits: Limits,
    memory: u64,
    group: Option<Group>,
    owed: Option<Arc<Owed>>,
    watch: Watch,
}

/// What moved last, and when.
#[derive(Debug)]
struct Watch {
    born: Instant,
    began: Instant,
    moved: Instant,
    progress: Progress,
    scratch_bytes: u64,
    measured: Instant,
    /// How long until it is measured again.
    pause: Duration,
}

impl Watch {
    fn from(now: Instant) -> Self {
        Self {
            born: now,
            began: now,
            moved: now,
            progress: Progress::default(),
            scratch_bytes: 0,
            measured: now,
            pause: MEASURE,
        }
    }
}

impl Worker {
    /// Starts a child over this input and waits until it is ready.
    ///
    /// # Errors
    /// Where it cannot be started, does not greet in time, or is of another version.
    pub async fn spawn(
        settings: &WorkerSettings,
        input: impl Into<Source>,
        scratch: &Path,
        limits: Limits,
        grants: &Grants,
    ) -> Result<Self, Failure> {
        let (here, there) = std::os::unix::net::UnixStream::pair().map_err(|error| starting(&error))?;
        here.set_nonblocking(true).map_err(|error| starting(&error))?;
        let control = UnixStream::from_std(here).map_err(|error| starting(&error))?;
        let (errors, words) = pipe_with(PipeFlags::CLOEXEC).map_err(|error| starting(&error.into()))?;
        let stderr = Receiver::from_owned_fd(errors).map_err(|error| starting(&error))?;
        let (input, remote, owed) = match input.into() {
            Source::File(file) => (file, None, None),
            Source::Remote(remote) => (remote.socket, Some(remote.size), Some(remote.owed)),
        };
        let birth = Birth {
            scratch,
            control: there.into(),
            input,
            errors: words,
        };
        let process = settings.templates.make(settings, birth).await?;
        // Before it hears its terms it does nothing that takes memory.
        let group = settings
            .groups
            .as_ref()
            .and_then(|groups| enclose(groups, settings.memory, process.pid()));
        let now = Instant::now();
        let mut worker = Self {
            stderr: Some(stderr),
            process,
            control,
            frames: Frames::default(),
            words: Words::default(),
            asked: Asked::default(),
            manners: Manners::default(),
            scratch: scratch.to_owned(),
            // Until it greets, it loads plugins and says nothing.
            limits: Limits {
                stall: limits.stall.max(GREETING),
                ..limits
            },
            memory: settings.memory,
            group,
            owed,
            watch: Watch::from(now),
        };
        let begin = ToWorker::Begin {
            terms: Terms {
                jail: settings.jail,
                grants: grants.clone(),
                longest_file: limits.room,
                landlock: settings.landlock,
            },
            remote,
        };
        worker.say(&begin).await?;
        let greeting = tokio::time::timeout(GREETING, worker.receive())
            .await
            .map_err(|_| protocol(format!("the worker was not ready within {} s", GREETING.as_secs())))??;
        match greeting {
            FromWorker::Hello {
                protocol: VERSION,
                version,
                landlock,
                ..
            } if version == env!("CARGO_PKG_VERSION") => {
                if settings.jail != Jail::Off && landlock.is_none() {
                    return Err(protocol("the worker is not in its jail"));
                }
                worker.limits = limits;
                worker.reset_clocks();
                Ok(worker)
            }
            FromWorker::Hello { version, .. } => Err(protocol(format!(
                "the worker is of version {}, the daemon of {}: the program was replaced while it ran",
                version.chars().filter(|c| !c.is_control()).take(40).collect::<String>(),
                env!("CARGO_PKG_VERSION"),
            ))),
            _ => Err(protocol("the worker did not greet")),
        }
    }

    /// Has the input described.
    ///
    /// # Errors
    /// What the worker says, or how it ended.
    pub async fn probe(&mut self) -> Result<MediaInfo, Failure> {
        self.say(&ToWorker::Probe).await?;
        loop {
            match self.next().await? {
                FromWorker::Progress(_) => {}
                FromWorker::Refused { calls } => tell_refused(&calls),
                FromWorker::Media { media } => return Ok(*media),
                FromWorker::Failed { failure } => return Err(failure),
                _ => {
                    return Err(protocol("the worker answered something else than it was asked"));
                }
            }
        }
    }

    /// How many files it may have in scratch at once.
    fn most_files(&self) -> usize {
        self.asked.most_files().saturating_add(measure::MORE_FILES)
    }

    /// Starts a run; what happens comes from [`Self::next`].
    ///
    /// # Errors
    /// Where the worker does not listen any more.
    pub async fn start(&mut self, plan: RunPlan) -> Result<(), Failure> {
        self.asked = Asked::of(&plan);
        self.say(&ToWorker::Run { plan }).await
    }

    /// The next message. May be dropped and called again: nothing is lost.
    ///
    /// # Errors
    /// How the worker ended, that it broke the protocol, that nothing moved, or that its time is over; it is dead then.
    pub async fn next(&mut self) -> Result<FromWorker, Failure> {
        let outcome = match self.receive().await {
            Ok(message) => {
                let lived = Instant::now().duration_since(self.watch.born);
                let heard = self.manners.hear(&message, lived);
                heard.and_then(|()| self.asked.admit(message))
            }
            Err(failure) => Err(failure),
        };
        match outcome {
            Ok(FromWorker::Progress(progress)) => {
                self.note(progress);
                Ok(FromWorker::Progress(progress))
            }
            Ok(other) => {
                self.watch.moved = Instant::now();
                Ok(other)
            }
            Err(failure) => {
                self.kill();
                Err(failure)
            }
        }
    }

    /// Ends the child, whatever it does, and waits for it.
    pub async fn stop(mut self) {
        self.kill();
        // A killed process ends; should the kernel hold it, the drop leaves it to the runtime.
        let _ = tokio::time::timeout(PARTING, self.process.wait()).await;
    }

    /// The child's process id.
    pub fn pid(&self) -> i32 {
        self.process.pid()
    }

    /// The last words on standard error, cleaned.
    pub fn last_words(&self) -> String {
        self.words.last()
    }

    fn kill(&self) {
        self.process.kill();
    }

    fn reset_clocks(&mut self) {
        let born = self.watch.born;
        self.watch = Watch {
            born,
            ..Watch::from(Instant::now())
        };
    }

    async fn say(&mut self, message: &ToWorker) -> Result<(), Failure> {
        self.reset_clocks();
        let bytes = frame::encode(message).map_err(|error| Failure::new(ErrorKind::Internal, error.to_string()))?;
        let mut rest = bytes.as_slice();
        let deadline = Instant::now() + self.limits.stall;
        while !rest.is_empty() {
            match tokio::time::timeout_at(deadline, self.control.writable()).await {
                Err(_) => {
                    return Err(Failure::new(ErrorKind::Stalled, "the worker does not take its orders"));
                }
                Ok(Err(_)) => return Err(self.end().await),
                Ok(Ok(())) => {}
            }
            match self.control.try_write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return Err(self.end().await),
            }
        }
        Ok(())
    }

    /// One frame, with the clocks watched. Cancel-safe: all that was read stays in `self`.
    async fn receive(&mut self) -> Result<FromWorker, Failure> {
        let tick = (self.limits.stall / 4).clamp(Duration::from_millis(20), MEASURE);
        loop {
            match self.frames.take::<FromWorker>() {
                Ok(Some(message)) => return Ok(message),
                Ok(None) => {}
                Err(error) => {
                    return Err(protocol(format!("the worker speaks strangely: {error}")));
                }
            }
            // Also after each message: a child that chatters must not outlive its time.
            self.check_clocks()?;
            self.measure()?;
            let mut piece = [0_u8; 4096];
            tokio::select! {
                read = self.control.read_buf(&mut self.frames.buffer) => {
                    if read.unwrap_or(0) == 0 {
                        return Err(self.end().await);
                    }
                }
                read = listen(self.stderr.as_mut(), &mut piece) => match read {
                    0 => self.stderr = None,
                    count => self.words.hear(&piece[..count]),
                },
                () = tokio::time::sleep(tick) => {}
            }
        }
    }

    fn note(&mut self, progress: Progress) {
        let former = self.watch.progress;
        let moved = progress.position_ns > former.position_ns
            || progress.buffers > former.buffers
            || progress.bytes_read > former.bytes_read;
        if moved {
            self.watch.moved = Instant::now();
        }
        self.watch.progress = progress;
    }

    fn check_clocks(&mut self) -> Result<(), Failure> {
        let now = Instant::now();
        if let Some(timeout) = self.limits.timeout
            && now.duration_since(self.watch.began) > timeout
        {
            return Err(Failure::new(
                ErrorKind::TimedOut,
                format!("the run took longer than {} s", timeout.as_secs_f64()),
            ));
        }
        if self.owed.as_ref().is_some_and(|owed| owed.is_set()) {
            self.watch.moved = now;
        }
        if now.duration_since(self.watch.moved) <= self.limits.stall / 2 {
            return Ok(());
        }
        // Only a silent run is worth the look into its directory.
        let bytes = measure::written(&self.scratch, self.most_files()).bytes;
        if bytes != self.watch.scratch_bytes {
            self.watch.scratch_bytes = bytes;
            self.watch.moved = now;
        } else if now.duration_since(self.watch.moved) > self.limits.stall {
            return Err(Failure::new(
                ErrorKind::Stalled,
                format!("nothing moved for {} s", self.limits.stall.as_secs_f64()),
            ));
        }
        Ok(())
    }

    /// Whether it takes more than it may.
    fn measure(&mut self) -> Result<(), Failure> {
        let now = Instant::now();
        if now.duration_since(self.watch.measured) < self.watch.pause {
            return Ok(());
        }
        self.watch.measured = now;
        let taken = measure::memory(self.pid());
        if taken > self.memory {
            return Err(Failure::new(
                ErrorKind::OutOfMemory,
                format!(
                    "the worker took {}; `workers.memory` allows {}",
                    show_size(taken),
                    show_size(self.memory)
                ),
            ));
        }
        let threads = measure::threads(self.pid());
        if threads > measure::MOST_THREADS {
            let told = format!("the worker started more than {} threads", measure::MOST_THREADS);
            return Err(Failure::new(ErrorKind::JailViolation, told));
        }
        let most = self.most_files();
        let mut written = measure::written(&self.scratch, most);
        // Many files take their time to be counted; others must have theirs.
        self.watch.pause = MEASURE.max(now.elapsed() * 20);
        written.bytes = written
            .bytes
            .saturating_add(measure::nameless(self.pid(), &self.scratch));
        if written.files > most {
            let told = format!("the worker wrote more than {most} files");
            return Err(Failure::new(ErrorKind::JailViolation, told));
        }
        if written.bytes > self.limits.room {
            let told = format!(
                "results grew to {}, and there was room for {}",
                show_size(written.bytes),
                show_size(self.limits.room)
            );
            return Err(Failure::new(ErrorKind::NoSpace, told));
        }
        Ok(())
    }

    fn ran_out(&self) -> bool {
        self.group.as_ref().is_some_and(Group::ran_out)
    }

    /// How the child ended, once it said nothing more.
    async fn end(&mut self) -> Failure {
        let drained = async {
            let mut piece = [0_u8; 4096];
            loop {
                match listen(self.stderr.as_mut(), &mut piece).await {
                    0 => break,
                    count => self.words.hear(&piece[..count]),
                }
                // Whoever writes without end is cut off by the deadline outside.
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs(1), drained).await;
        match tokio::time::timeout(PARTING, self.process.wait()).await {
            Ok(status) if status.signal() == Some(libc::SIGKILL) && self.ran_out() => Failure::new(
                ErrorKind::OutOfMemory,
                format!(
                    "the worker took more than the {} that `workers.memory` allows",
                    show_size(self.memory)
                ),
            ),
            Ok(status) => ended(status, &self.words.last()),
            Err(_) => protocol("the worker closed its socket and did not end"),
        }
    }
}

/// A group for this child; none where the kernel refuses, since it is watched besides.
fn enclose(groups: &Groups, memory: u64, pid: i32) -> Option<Group> {
    let made = groups.group(memory).and_then(|group| group.add(pid).map(|()| group));
    made.inspect_err(|error| tracing::warn!(%error, "a worker has no control group of its own"))
        .ok()
}

/// A line for each system call that the jail does not know.
pub fn tell_refused(calls: &[(String, u32)]) {
    for (call, count) in calls {
        tracing::warn!(%call, count, "the jail knows no such system call; the worker was told that there is none");
    }
}

/// Reads standard error, for ever silent once it is closed while the socket lives.
async fn listen(stderr: Option<&mut Receiver>, into: &mut [u8]) -> usize {
    match stderr {
        Some(pipe) => pipe.read(into).await.unwrap_or(0),
        None => std::future::pending().await,
    }
}
