//! Whom the sources tell: hints for intake, rows in the store where a sender waits for them, and how they stand.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;

use super::super::hints::{BucketHints, Told};
use super::super::mill::Mill;
use super::super::with_causes;
use crate::object::{BucketName, Directory, ObjectKey};
use crate::store::{KeptHint, Quarantined};
use crate::watch::{NotKept, Notice, Sink};

/// Takes what one source of one bucket tells.
pub struct MillSink {
    mill: Arc<Mill>,
    bucket: BucketName,
    hints: Arc<BucketHints>,
    /// As `status` names the source.
    part: String,
    source: &'static str,
    /// Whether the bucket counts as watched once this source watches it.
    counts: bool,
}

impl MillSink {
    /// For the only source of a directory.
    pub fn local(mill: &Arc<Mill>, bucket: &BucketName) -> Arc<Self> {
        Arc::new(Self {
            mill: mill.clone(),
            bucket: bucket.clone(),
            hints: mill.hints.of(bucket),
            part: format!("watch:{bucket}"),
            source: "inotify",
            counts: true,
        })
    }

    /// For one of the sources of a bucket over a network. What they miss a listing finds.
    pub fn far(mill: &Arc<Mill>, bucket: &BucketName, source: &'static str) -> Arc<Self> {
        mill.standing.source(bucket, source, |_| {});
        Arc::new(Self {
            mill: mill.clone(),
            bucket: bucket.clone(),
            hints: mill.hints.of(bucket),
            part: format!("watch:{bucket}:{source}"),
            source,
            counts: false,
        })
    }

    /// The buckets of the config that a notice is about: servers know them by other names.
    fn meant(&self, notice: &Notice) -> Vec<BucketName> {
        let buckets = &self.mill.config.buckets;
        let named = |name: &BucketName| {
            let s3 = buckets.get(name).and_then(|bucket| bucket.s3());
            s3.is_some_and(|s3| notice.bucket.as_ref().is_none_or(|said| *said == s3.s3))
        };
        if notice.bucket.is_none() || named(&self.bucket) {
            return vec![self.bucket.clone()];
        }
        buckets.keys().filter(|name| named(name)).cloned().collect()
    }
}

#[async_trait]
impl Sink for MillSink {
    fn hint(&self, key: ObjectKey, event: Option<Timestamp>, source: &'static str) {
        if !self.counts {
            self.mill
                .standing
                .told(&self.bucket, self.source, 1, event, Timestamp::now());
        }
        self.hints.put(key, event, source);
    }

    async fn keep(&self, notices: Vec<Notice>, source: &'static str) -> Result<(), NotKept> {
        let index = self.mill.book.index();
        let mut wanted = Vec::new();
        let mut latest = None;
        let mut count = 0;
        for notice in notices {
            count += 1;
            latest = latest.max(notice.event);
            let buckets = self.meant(&notice);
            if buckets.is_empty() {
                tracing::debug!(bucket = %self.bucket, named = notice.bucket, key = %notice.key, source, "a notice about a bucket that the config does not have");
            }
            for bucket in buckets.into_iter().filter(|bucket| index.wants(bucket, &notice.key)) {
                wanted.push(KeptHint {
                    bucket,
                    key: notice.key.clone(),
                    event: notice.event,
                    source: source.to_owned(),
                });
            }
        }
        if count > 0 {
            self.mill
                .standing
                .told(&self.bucket, self.source, count, latest, Timestamp::now());
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let numbers = self
            .mill
            .store
            .keep_hints(&wanted)
            .await
            .map_err(|error| NotKept(with_causes(&error)))?;
        let mut boxes: BTreeMap<BucketName, Arc<BucketHints>> = BTreeMap::new();
        for (hint, number) in wanted.into_iter().zip(numbers) {
            let told = Told {
                event: hint.event,
                listed: None,
                kept: Some(number),
            };
            let hints = boxes
                .entry(hint.bucket.clone())
                .or_insert_with(|| self.mill.hints.of(&hint.bucket));
            if !hints.put_told(hint.key, told, source) {
                self.mill.kept_hints_wait.notify_one();
            }
        }
        Ok(())
    }

    async fn quarantine(&self, body: &[u8], reason: &str, source: &'static str) -> Result<(), NotKept> {
        tracing::warn!(bucket = %self.bucket, source, bytes = body.len(), reason, "a message is not understood, and kept");
        self.mill
            .standing
            .source(&self.bucket, self.source, |standing| standing.strange += 1);
        let message = Quarantined {
            bucket: self.bucket.clone(),
            source: source.to_owned(),
            reason: reason.to_owned(),
            body: body.to_vec(),
            came: Timestamp::now(),
        };
        let kept = self.mill.store.quarantine(&message).await;
        kept.map_err(|error| NotKept(with_causes(&error)))
    }

    fn missed(&self, directory: Directory) {
        self.hints.ask_for_listing(directory);
    }

    fn health(&self, ok: bool, message: String) {
        let changed = self.mill.health.set(&self.part, ok, message.clone(), Timestamp::now());
        match (changed, ok) {
            (true, true) => tracing::info!(part = %self.part, "{message}"),
            (true, false) => tracing::warn!(part = %self.part, "{message}"),
            (false, _) => tracing::debug!(part = %self.part, "{message}"),
        }
    }

    fn watching(&self, book: u64) {
        if self.counts {
            self.hints.set_watched(book);
        }
    }

    fn connected(&self, connected: bool) {
        self.mill.standing.source(&self.bucket, self.source, |standing| {
            standing.connected = connected.then(|| standing.connected.unwrap_or_else(Timestamp::now));
        });
    }
}
