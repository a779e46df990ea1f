//! Watches one bucket for as long as the daemon runs: ties a source to the rule book, the hints and the health.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::hints::BucketHints;
use super::mill::Mill;
use crate::object::{BucketName, Directory, ObjectKey};
use crate::watch::local::LocalSource;
use crate::watch::{NotKept, Notice, Sink, Wanted};

/// Watches a bucket until it is stopped.
pub async fn run(mill: Arc<Mill>, bucket: BucketName, stop: CancellationToken) {
    let (Some(config), Some(place)) = (mill.config.buckets.get(&bucket), mill.buckets.get(&bucket).cloned()) else {
        return;
    };
    let Some(local) = config.local() else { return };
    let source = LocalSource::new(place, &local.path, local.poll);
    let mut book = mill.book.watch();
    let (tell, wanted) = watch::channel(wanted_of(&mill, &bucket, *book.borrow_and_update()));
    let sink = Arc::new(MillSink {
        hints: mill.hints.of(&bucket),
        mill: mill.clone(),
        part: format!("watch:{bucket}"),
    });
    let follow = async {
        while book.changed().await.is_ok() {
            let number = *book.borrow_and_update();
            tell.send_replace(wanted_of(&mill, &bucket, number));
        }
    };
    tokio::select! {
        () = source.run(sink, wanted, stop.clone()) => {}
        () = follow => {}
    }
}

/// What the enabled rules want of a bucket.
fn wanted_of(mill: &Mill, bucket: &BucketName, number: u64) -> Wanted {
    let book = mill.book.get();
    let directories: Vec<_> = book
        .enabled_for(bucket)
        .map(|live| live.rule.trigger.directory.clone())
        .collect();
    Wanted::new(number, directories)
}

struct MillSink {
    mill: Arc<Mill>,
    hints: Arc<BucketHints>,
    part: String,
}

#[async_trait]
impl Sink for MillSink {
    fn hint(&self, key: ObjectKey, event: Option<Timestamp>, source: &'static str) {
        self.hints.put(key, event, source);
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
        self.hints.set_watched(book);
    }

    async fn keep(&self, notices: Vec<Notice>, source: &'static str) -> Result<(), NotKept> {
        for notice in notices {
            self.hints.put(notice.key, notice.event, source);
        }
        Ok(())
    }

    async fn quarantine(&self, _body: &[u8], reason: &str, source: &'static str) -> Result<(), NotKept> {
        tracing::warn!(part = %self.part, source, "{reason}");
        Ok(())
    }

    fn connected(&self, _connected: bool) {}
}

#[cfg(test)]
mod tests;
