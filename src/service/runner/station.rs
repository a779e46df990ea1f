//! A worker at its place: over its source, in its scratch directory.

use std::future::pending;

use super::super::feed::{Broken, Feed};
use super::super::publishing::{Target, blocking, root};
use super::attempt::{Attempt, Break, Outcome};
use super::download::Download;
use crate::bucket::{BucketError, Content};
use crate::job::{ErrorKind, Failure, Job};
use crate::publish::{PublishError, Scratch};
use crate::rule::Grants;
use crate::worker::ranges::Source;
use crate::worker::spawn::{Limits, Worker};

/// A worker that is ready.
pub struct Station {
    pub worker: Worker,
    pub scratch: Scratch,
    /// What reads a source for it that is far away.
    pub feed: Option<Feed>,
}

impl Station {
    /// Nothing is left of it.
    pub async fn leave(self) {
        self.worker.stop().await;
        self.scratch.remove();
    }

    /// Fails where the source cannot be read on: what the worker says does not count then.
    pub fn whole(&self) -> Result<(), Break> {
        let broken = self.feed.as_ref().and_then(Feed::is_broken);
        broken.map_or(Ok(()), |broken| Err(broken.into()))
    }
}

/// Why a source far away cannot be read on, once that is so.
pub async fn broken(feed: Option<&Feed>) -> Break {
    match feed {
        Some(feed) => feed.broken().await.into(),
        None => pending().await,
    }
}

impl From<Broken> for Break {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::SourceChanged(reason) => Self::Leave(Outcome::SourceChanged(reason)),
            Broken::Failed(failure) => Self::Failed(failure),
        }
    }
}

impl Attempt<'_> {
    /// Opens the source, or what was fetched of it, and starts a worker on it.
    pub(super) async fn start(
        &self,
        job: &Job,
        whole: Option<&Download>,
        run: u32,
        grants: &Grants,
    ) -> Result<Station, Break> {
        self.mill.running.update(&job.id, |known| {
            known.phase = "starting";
            known.in_slot = true;
        });
        let content = match whole {
            Some(download) => Content::File(download.open().await?),
            None => self.open_source(job).await?,
        };
        let base = root(self.mill, &self.rule.output.bucket);
        let (id, lease) = (job.id.clone(), self.lease);
        let access = Target::of(self.rule).map_err(|error| error.failure())?.access;
        let scratch = blocking(move || {
            let scratch = Scratch::create(&base, &id, lease, run)?;
            scratch.try_access(&access).inspect_err(|_| scratch.remove())?;
            Ok(scratch)
        })
        .await
        .map_err(|error: PublishError| error.failure())?;
        match self.place(job, content, whole, &scratch, grants).await {
            Ok((worker, feed)) => Ok(Station { worker, scratch, feed }),
            Err(broken) => {
                scratch.remove();
                Err(broken)
            }
        }
    }

    async fn place(
        &self,
        job: &Job,
        content: Content,
        whole: Option<&Download>,
        scratch: &Scratch,
        grants: &Grants,
    ) -> Result<(Worker, Option<Feed>), Break> {
        let left = self.mill.room.left(&scratch.path).await;
        let lies_there = match whole.filter(|_| self.rule.wants_file()) {
            Some(download) => download.lie_in(&scratch.path).await?,
            None => 0,
        };
        let limits = Limits {
            stall: self.rule.retry.stall,
            timeout: self.rule.retry.timeout,
            room: left.saturating_add(lies_there),
        };
        let (source, feed) = match content {
            Content::File(file) => (Source::File(file), None),
            Content::Ranges(ranges) => {
                let fed = Feed::over(ranges, &job.id);
                let socket = |error: std::io::Error| {
                    Failure::new(ErrorKind::Internal, format!("there is no socket for a source: {error}"))
                };
                let (remote, feed) = fed.map_err(socket)?;
                (Source::Remote(remote), Some(feed))
            }
        };
        let worker = Worker::spawn(&self.shop.worker, source, &scratch.path, limits, grants).await?;
        Ok((worker, feed))
    }

    pub(super) async fn open_source(&self, job: &Job) -> Result<Content, Break> {
        let bucket = &self.mill.buckets[&job.object.bucket];
        match bucket.open(&job.object.key).await {
            Ok(opened) if opened.identity == job.object.identity => Ok(opened.content),
            Ok(_) => Err(Break::Leave(Outcome::SourceChanged(
                "the source was changed before it was worked on".to_owned(),
            ))),
            Err(BucketError::NotFound(_)) => Err(Break::Leave(Outcome::SourceChanged(
                "the source vanished before it was worked on".to_owned(),
            ))),
            Err(error @ BucketError::Transient { .. }) => {
                Err(Failure::new(ErrorKind::Offline, error.to_string()).into())
            }
            Err(error) => Err(Failure::new(ErrorKind::Permission, error.to_string()).into()),
        }
    }
}
