//! A source that is fetched whole into a file, as `input = "download"` says.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::super::feed::Broken;
use super::super::publishing::{blocking, root};
use super::super::room::Ticket;
use super::attempt::{Attempt, Break, Outcome};
use crate::bucket::{Content, Ranges};
use crate::job::{ErrorKind, Failure, Job};
use crate::plan::SOURCE_FILE;
use crate::publish::{PublishError, Scratch};
use crate::rule::Input;

/// Bytes that are fetched by one request.
const PIECE: u64 = 8 << 20;

/// Requests at once.
const AT_ONCE: usize = 4;

/// Stands in the name of the scratch directory where those of runs have their number.
const NO_RUN: u32 = u32::MAX;

/// A file with all that a source has, for every run of an attempt; it goes away with this value.
pub struct Download {
    scratch: Scratch,
    size: u64,
    /// Room for it, until all of it is there.
    ticket: Option<Ticket>,
}

impl Drop for Download {
    fn drop(&mut self) {
        self.scratch.remove();
    }
}

impl Attempt<'_> {
    /// Bytes of the source that will be stored before the first run.
    pub(super) fn to_fetch(&self, job: &Job) -> u64 {
        let remote = || {
            let bucket = self.mill.buckets.get(&job.object.bucket);
            bucket.is_some_and(|bucket| bucket.remote().is_some())
        };
        match self.rule.input {
            Input::Download if self.rule.wants_file() || remote() => job.object.identity.size,
            _ => 0,
        }
    }

    /// Fetches the source where the rule says so, and it is not a file that can be read as it is.
    pub(super) async fn download(&self, job: &Job) -> Result<Option<Download>, Break> {
        if self.rule.input == Input::Stream {
            return Ok(None);
        }
        let content = self.open_source(job).await?;
        if matches!(content, Content::File(_)) && !self.rule.wants_file() {
            return Ok(None);
        }
        self.phase(job, "fetching");
        let (base, id, lease) = (root(self.mill, &self.rule.output.bucket), job.id.clone(), self.lease);
        let scratch = blocking(move || Scratch::create(&base, &id, lease, NO_RUN))
            .await
            .map_err(|error: PublishError| error.failure())?;
        let size = job.object.identity.size;
        let mut download = Download {
            scratch,
            size,
            ticket: None,
        };
        let path = download.scratch.path.join(SOURCE_FILE);
        let ticket = self.mill.room.take(&download.scratch.path, size).await;
        download.ticket = Some(ticket.map_err(|shortage| self.no_room(&shortage))?);
        let made = blocking(move || {
            // Whoever works in a scratch directory that has it may not write to it.
            let mut options = File::options();
            options.write(true).create_new(true).mode(0o400).open(path)
        });
        let file = made.await.map_err(|error| writing(&error))?;
        let fetching = async {
            match content {
                Content::File(source) => copy(source, file).await,
                Content::Ranges(ranges) => fetch(ranges, file).await,
            }
        };
        tokio::select! {
            () = self.stop.cancelled() => return Err(Break::Leave(Outcome::Stopped)),
            fetched = fetching => fetched?,
        }
        download.ticket = None;
        Ok(Some(download))
    }
}

impl Download {
    /// Opens the file.
    pub async fn open(&self) -> Result<OwnedFd, Failure> {
        let path = self.scratch.path.join(SOURCE_FILE);
        let opened = blocking(move || File::open(path)).await;
        let file =
            opened.map_err(|error| Failure::new(ErrorKind::Io, format!("the source cannot be read: {error}")))?;
        Ok(file.into())
    }

    /// Puts the file into a scratch directory too; answers its size.
    pub async fn lie_in(&self, scratch: &Path) -> Result<u64, Failure> {
        let (from, to) = (self.scratch.path.join(SOURCE_FILE), scratch.join(SOURCE_FILE));
        // Not every file system has second names.
        let put = blocking(move || std::fs::hard_link(&from, &to).or_else(|_| std::fs::copy(&from, &to).map(drop)));
        put.await.map_err(|error| writing(&error))?;
        Ok(self.size)
    }
}

/// Copies a local file; where the file system can, without copying its blocks.
async fn copy(source: OwnedFd, mut file: File) -> Result<(), Break> {
    let mut source = File::from(source);
    let copied = blocking(move || std::io::copy(&mut source, &mut file)).await;
    copied.map_err(|error| writing(&error))?;
    Ok(())
}

async fn fetch(ranges: Arc<dyn Ranges>, file: File) -> Result<(), Break> {
    let file = Arc::new(file);
    let mut fetches: JoinSet<Result<(), Break>> = JoinSet::new();
    let size = ranges.size();
    let mut at = 0;
    loop {
        while at < size && fetches.len() < AT_ONCE {
            let (offset, length) = (at, PIECE.min(size - at));
            let (ranges, file) = (ranges.clone(), file.clone());
            fetches.spawn(async move {
                let read = ranges.read(offset, length).await;
                let bytes = read.map_err(|error| Break::from(Broken::by(&error)))?;
                let written = blocking(move || file.write_all_at(&bytes, offset)).await;
                written.map_err(|error| writing(&error).into())
            });
            at += length;
        }
        match fetches.join_next().await {
            None => return Ok(()),
            Some(Ok(fetched)) => fetched?,
            Some(Err(error)) => {
                let broken = format!("fetching broke off: {error}");
                return Err(Failure::new(ErrorKind::Internal, broken).into());
            }
        }
    }
}

fn writing(error: &std::io::Error) -> Failure {
    let kind = match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => ErrorKind::NoSpace,
        _ => ErrorKind::Io,
    };
    Failure::new(kind, format!("the source cannot be stored in scratch: {error}"))
}
