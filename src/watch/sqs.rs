//! Noticing objects by a queue of Amazon SQS.
//!
//! Messages are received, what they tell is made durable, and then they are deleted; never are they held for as long as
//! a job takes. While the sink cannot keep what they tell, they are kept from others and it is tried again: a message
//! that comes again too often would end among the dead letters. Whatever goes wrong in between, a message comes again.

pub mod attributes;
mod queue;

use std::sync::Arc;
use std::time::Duration;

use aws_types::SdkConfig;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval_at, sleep};
use tokio_util::sync::CancellationToken;

use self::queue::{BATCH, Message, Queue, QueueError, SqsQueue};
use super::event::{NotUnderstood, Parsed, Transport, parse};
use super::session::{Backoff, Connected};
use super::{NotKept, Sink, Wanted};
use crate::config::{S3Config, SqsConfig};

/// What the sink is told that this is.
const SOURCE: &str = "sqs";
/// How long the queue is to wait for a message before it answers that there is none.
const WAIT: Duration = Duration::from_secs(20);
/// The most messages that are made durable together.
const MOST: usize = 100;
/// How often a message that was not deleted is tried again at once. After that it comes again.
const DELETES: u32 = 3;

/// The source of a bucket whose server writes to a queue.
pub struct SqsSource {
    queue: Arc<dyn Queue>,
    url: String,
    patience: Patience,
}

impl std::fmt::Debug for SqsSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqsSource")
            .field("queue", &self.url)
            .finish_non_exhaustive()
    }
}

/// How long things may take.
#[derive(Debug, Clone)]
struct Patience {
    /// Received messages are kept from others for so long; renewed while they are at work.
    hidden: Duration,
    /// The shortest and longest wait before something is tried again.
    backoff: (Duration, Duration),
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            hidden: Duration::from_mins(1),
            backoff: (Duration::from_millis(250), Duration::from_secs(30)),
        }
    }
}

impl SqsSource {
    /// Of the queue of this bucket, with the credentials and the HTTP client that `sdk` has for it.
    pub fn new(bucket: &S3Config, config: &SqsConfig, sdk: &SdkConfig) -> Self {
        Self {
            queue: Arc::new(SqsQueue::new(bucket, config, sdk)),
            url: config.queue.clone(),
            patience: Patience::default(),
        }
    }

    /// Watches until it is stopped.
    pub async fn run(self, sink: Arc<dyn Sink>, mut wanted: watch::Receiver<Wanted>, stop: CancellationToken) {
        sink.watching(wanted.borrow_and_update().book);
        let follow = wanted.clone();
        let receiving = self.receive(&*sink, &follow);
        tokio::pin!(receiving);
        // A queue tells of everything, so nothing changes here when the book does.
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = &mut receiving => return,
                changed = wanted.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    sink.watching(wanted.borrow_and_update().book);
                }
            }
        }
    }

    /// Receives for ever.
    async fn receive(&self, sink: &dyn Sink, wanted: &watch::Receiver<Wanted>) {
        let mut backoff = Backoff::new(self.patience.backoff);
        let mut outage = false;
        loop {
            let mut connected = None;
            // The first answer comes at once, so that it is known early whether there is a queue.
            let mut wait = Duration::ZERO;
            let error = loop {
                let messages = match self.gather(wait).await {
                    Ok(messages) => messages,
                    Err(error) => break error,
                };
                wait = WAIT;
                if connected.is_none() {
                    connected = Some(Connected::new(sink));
                    sink.health(true, format!("receiving from {}", self.url));
                    backoff.reset();
                    if std::mem::take(&mut outage) {
                        // Who knows how long it was, and what the queue has forgotten.
                        let directories = wanted.borrow().directories.clone();
                        for directory in directories {
                            sink.missed(directory);
                        }
                    }
                }
                if !messages.is_empty() {
                    self.take(sink, &messages).await;
                }
            };
            drop(connected);
            outage = true;
            sink.health(false, error.0);
            sleep(backoff.wait()).await;
        }
    }

    /// Messages; more than one batch where more are waiting.
    async fn gather(&self, wait: Duration) -> Result<Vec<Message>, QueueError> {
        let mut messages = self.queue.receive(wait, self.patience.hidden).await?;
        let mut last = messages.len();
        while last == BATCH && messages.len() < MOST {
            // What is here must not be lost because there is no more.
            let Ok(more) = self.queue.receive(Duration::ZERO, self.patience.hidden).await else {
                break;
            };
            last = more.len();
            messages.extend(more);
        }
        Ok(messages)
    }

    /// Makes durable what messages tell, then deletes them.
    async fn take(&self, sink: &dyn Sink, messages: &[Message]) {
        let every = self.patience.hidden / 3;
        let mut renew = interval_at(tokio::time::Instant::now() + every, every);
        renew.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let keeping = self.keep(sink, messages);
        tokio::pin!(keeping);
        loop {
            tokio::select! {
                () = &mut keeping => break,
                _ = renew.tick() => self.hide(messages).await,
            }
        }
        for batch in messages.chunks(BATCH) {
            self.delete(batch).await;
        }
    }

    /// Makes durable what messages tell, however long that takes.
    async fn keep(&self, sink: &dyn Sink, messages: &[Message]) {
        let mut notices = Vec::new();
        for message in messages {
            match parse(message.body.as_bytes(), Transport::Message) {
                Ok(Parsed { notices: told, .. }) => notices.extend(told),
                Err(NotUnderstood(reason)) => {
                    let body = message.body.as_bytes();
                    self.until_kept(sink, || sink.quarantine(body, &reason, SOURCE)).await;
                }
            }
        }
        if !notices.is_empty() {
            self.until_kept(sink, || sink.keep(notices.clone(), SOURCE)).await;
        }
    }

    async fn until_kept<F>(&self, sink: &dyn Sink, keep: impl Fn() -> F)
    where
        F: Future<Output = Result<(), NotKept>>,
    {
        let mut backoff = Backoff::new(self.patience.backoff);
        let mut failed = false;
        while let Err(error) = keep().await {
            failed = true;
            sink.health(false, error.to_string());
            sleep(backoff.wait()).await;
        }
        if failed {
            sink.health(true, format!("receiving from {}", self.url));
        }
    }

    /// Keeps messages from others for some time more. Where that fails they come again, which does no harm.
    async fn hide(&self, messages: &[Message]) {
        for batch in messages.chunks(BATCH) {
            match self.queue.hide(batch, self.patience.hidden).await {
                Ok(failed) => {
                    for (_, why) in failed {
                        tracing::warn!(queue = self.url, %why, "a message could not be kept from others");
                    }
                }
                Err(error) => tracing::warn!(queue = self.url, %error, "messages could not be kept from others"),
            }
        }
    }

    /// Deletes a batch. What cannot be deleted comes again, which does no harm.
    async fn delete(&self, batch: &[Message]) {
        let mut left = batch.to_vec();
        let mut backoff = Backoff::new(self.patience.backoff);
        for attempt in 1..=DELETES {
            let (still, why) = match self.queue.delete(&left).await {
                Ok(failed) => {
                    let why = failed.first().map(|(_, why)| why.clone()).unwrap_or_default();
                    let still = failed.iter().filter_map(|(place, _)| left.get(*place).cloned());
                    (still.collect(), why)
                }
                Err(error) => (left, error.0),
            };
            left = still;
            if left.is_empty() {
                return;
            }
            tracing::warn!(queue = self.url, messages = left.len(), attempt, %why, "messages were not deleted");
            if attempt < DELETES {
                sleep(backoff.wait()).await;
            }
        }
    }
}

#[cfg(test)]
mod tests;
