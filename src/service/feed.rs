//! Feeds a worker with an object far away: answers what it asks for through its socket, out of blocks that are fetched
//! when they are needed and, where it reads on and on, a little before.
//!
//! Nothing is stored on disk. What a worker asks is bounded and checked; how the object fails is told to whoever runs the
//! worker ([`Feed::broken`]) before the worker hears of it, so that a medium is never blamed for its bucket.

mod blocks;
mod readahead;
#[cfg(test)]
mod tests;

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

use super::with_causes;
use crate::bucket::{BucketError, Ranges};
use crate::job::{ErrorKind, Failure, JobId};
use crate::worker::ranges::{HEAD, Owed, QUESTION, Question, Remote, Status};
use blocks::{Blocks, Run};

/// How often the bytes of an object may be fetched in one run, and how many besides.
const MOST_TIMES: u64 = 32;
const MOST_BESIDES: u64 = 1 << 30;

/// Why an object cannot be read on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Broken {
    /// It is another one now, or gone; in words.
    SourceChanged(String),
    /// Its bucket fails, or the worker asks for what it may not.
    Failed(Failure),
}

/// What was done for a worker so far.
#[derive(Debug, Default)]
pub struct Figures {
    fetched: AtomicU64,
    requests: AtomicU64,
    questions: AtomicU64,
    hits: AtomicU64,
}

impl Figures {
    /// Bytes that came from the bucket.
    pub fn bytes_fetched(&self) -> u64 {
        self.fetched.load(Ordering::Relaxed)
    }

    /// What the bucket was asked.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// What the worker asked.
    pub fn questions(&self) -> u64 {
        self.questions.load(Ordering::Relaxed)
    }

    /// Its questions that were answered without waiting for the bucket.
    pub fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }
}

/// An object that is read for a worker; it is let go of with this value.
#[derive(Debug)]
pub struct Feed {
    /// The one loop; ends with this value.
    _serving: JoinSet<()>,
    broken: watch::Receiver<Option<Broken>>,
    figures: Arc<Figures>,
    size: u64,
    job: JobId,
}

impl Feed {
    /// Begins to serve an object; answers what the worker is given besides.
    ///
    /// # Errors
    /// Where there is no socket to be had.
    pub fn over(ranges: Arc<dyn Ranges>, job: &JobId) -> io::Result<(Remote, Self)> {
        let (here, there) = std::os::unix::net::UnixStream::pair()?;
        here.set_nonblocking(true)?;
        let size = ranges.size();
        let (tell, broken) = watch::channel(None);
        let figures = Arc::new(Figures::default());
        let owed = Arc::new(Owed::default());
        let server = Server {
            socket: UnixStream::from_std(here)?,
            ranges,
            blocks: Blocks::of(size),
            fetches: JoinSet::new(),
            heard: Heard::default(),
            answer: Vec::new(),
            figures: figures.clone(),
            owed: owed.clone(),
            tell,
        };
        let mut serving = JoinSet::new();
        serving.spawn(server.run());
        let remote = Remote {
            socket: there.into(),
            size,
            owed,
        };
        let feed = Self {
            _serving: serving,
            broken,
            figures,
            size,
            job: job.clone(),
        };
        Ok((remote, feed))
    }

    /// Why the object cannot be read on, once that is so; nothing that the worker says of it counts then.
    pub async fn broken(&self) -> Broken {
        let mut broken = self.broken.clone();
        let told = broken.wait_for(Option::is_some).await;
        match told.ok().and_then(|told| told.clone()) {
            Some(broken) => broken,
            // The worker asks no more.
            None => pending().await,
        }
    }

    /// The same, as it is now.
    #[must_use]
    pub fn is_broken(&self) -> Option<Broken> {
        self.broken.borrow().clone()
    }

    /// What was done so far.
    #[must_use]
    pub fn figures(&self) -> &Figures {
        &self.figures
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        let figures = &self.figures;
        tracing::debug!(
            job = %self.job, bytes_fetched = figures.bytes_fetched(), size = self.size, requests = figures.requests(),
            questions = figures.questions(), hits = figures.hits(), "the object is read no more"
        );
    }
}

/// As much of a question as has come.
#[derive(Debug, Default)]
struct Heard {
    bytes: [u8; QUESTION],
    count: usize,
}

type Fetched = (Run, Result<Bytes, BucketError>);

struct Server {
    socket: UnixStream,
    ranges: Arc<dyn Ranges>,
    blocks: Blocks,
    fetches: JoinSet<Fetched>,
    heard: Heard,
    answer: Vec<u8>,
    figures: Arc<Figures>,
    owed: Arc<Owed>,
    tell: watch::Sender<Option<Broken>>,
}

impl Server {
    async fn run(mut self) {
        let Err(broken) = self.serve().await else {
            return;
        };
        let status = match &broken {
            Broken::SourceChanged(_) => Status::Changed,
            Broken::Failed(_) => Status::Unreadable,
        };
        // First whoever judges, then the worker: its words on this come after.
        self.tell.send_replace(Some(broken));
        self.owed.set(false);
        let _ = self.socket.write_all(&status.head(0)).await;
    }

    /// Whoever reads an object again and again makes its owner pay for it.
    fn within_reason(&self) -> Result<(), Broken> {
        let most = self
            .ranges
            .size()
            .saturating_mul(MOST_TIMES)
            .saturating_add(MOST_BESIDES);
        if self.figures.bytes_fetched() <= most {
            return Ok(());
        }
        let told = format!("the worker had more than {MOST_TIMES} times the size of its source fetched");
        Err(Broken::Failed(Failure::new(ErrorKind::Protocol, told)))
    }

    /// Answers until the worker is gone.
    async fn serve(&mut self) -> Result<(), Broken> {
        while let Some(question) = self.next_question().await? {
            self.figures.questions.fetch_add(1, Ordering::Relaxed);
            self.prepare(question).await?;
            self.within_reason()?;
            if self.socket.write_all(&self.answer).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    /// What the worker asks next; none where it is gone.
    async fn next_question(&mut self) -> Result<Option<Question>, Broken> {
        loop {
            let heard = &mut self.heard;
            tokio::select! {
                read = self.socket.read(&mut heard.bytes[heard.count..]) => match read {
                    Ok(0) | Err(_) => return Ok(None),
                    Ok(count) => heard.count += count,
                },
                Some(done) = self.fetches.join_next() => {
                    self.take_in(done, None)?;
                    continue;
                }
            }
            if self.heard.count < QUESTION {
                continue;
            }
            let bytes = std::mem::take(&mut self.heard).bytes;
            return match Question::decode(bytes, self.blocks.size()) {
                Some(question) => Ok(Some(question)),
                None => Err(Broken::Failed(Failure::new(
                    ErrorKind::Protocol,
                    "the worker asked for bytes that its input does not have, or for too many",
                ))),
            };
        }
    }

    /// Puts the answer together, and waits for what it takes.
    async fn prepare(&mut self, question: Question) -> Result<(), Broken> {
        let (offset, length) = (question.offset, u64::from(question.length));
        for run in self.blocks.want(offset, length) {
            self.fetch(run);
        }
        self.answer.clear();
        self.answer.reserve_exact(HEAD + question.length as usize);
        self.answer.extend(Status::Bytes.head(question.length));
        if self.blocks.read(offset, length, &mut self.answer) {
            self.figures.hits.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        self.owed.set(true);
        while !self.blocks.read(offset, length, &mut self.answer) {
            let Some(done) = self.fetches.join_next().await else {
                return Err(failed(ErrorKind::Internal, "a block was neither there nor on its way"));
            };
            self.take_in(done, Some(question))?;
        }
        self.owed.set(false);
        Ok(())
    }

    fn fetch(&mut self, run: Run) {
        let (offset, length) = self.blocks.place(&run);
        let ranges = self.ranges.clone();
        self.figures.requests.fetch_add(1, Ordering::Relaxed);
        self.fetches
            .spawn(async move { (run, ranges.read(offset, length).await) });
    }

    /// What was fetched has come, or not. What nobody waits for yet may fail: it is asked for again when it is needed.
    fn take_in(&mut self, done: Result<Fetched, JoinError>, waits: Option<Question>) -> Result<(), Broken> {
        let (run, read) = done.map_err(|error| failed(ErrorKind::Internal, &format!("reading broke off: {error}")))?;
        let (_, length) = self.blocks.place(&run);
        let error = match read {
            Ok(bytes) if bytes.len() as u64 == length => {
                self.figures.fetched.fetch_add(length, Ordering::Relaxed);
                self.blocks.came(run, &bytes);
                return Ok(());
            }
            Ok(bytes) => BucketError::offline(format!("{} bytes came where {length} were asked for", bytes.len())),
            Err(error) => error,
        };
        let needed = waits.is_some_and(|on| Blocks::serves(&run, on.offset, u64::from(on.length)));
        self.blocks.failed(run);
        match Broken::by(&error) {
            Broken::Failed(_) if !needed => {
                tracing::debug!(error = %with_causes(&error), "reading ahead failed");
                Ok(())
            }
            broken => Err(broken),
        }
    }
}

fn failed(kind: ErrorKind, words: &str) -> Broken {
    Broken::Failed(Failure::new(kind, words))
}

impl Broken {
    /// What an error of a bucket means for who reads from it.
    #[must_use]
    pub fn by(error: &BucketError) -> Self {
        match error {
            BucketError::Changed(_) => Self::SourceChanged("the source was replaced while it was read".to_owned()),
            BucketError::NotFound(_) => Self::SourceChanged("the source vanished while it was read".to_owned()),
            BucketError::Transient { .. } => failed(ErrorKind::Offline, &with_causes(error)),
            BucketError::Permanent { .. } => failed(ErrorKind::Permission, &with_causes(error)),
        }
    }
}
