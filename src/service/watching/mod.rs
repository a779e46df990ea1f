//! Watches one bucket for as long as the daemon runs: ties its sources to the rule book, the hints and the health.

pub mod hooks;
pub mod kept;
mod sink;
pub mod standing;

use std::sync::Arc;

use sink::MillSink;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::mill::Mill;
use crate::config::Place;
use crate::object::BucketName;
use crate::watch::Wanted;
use crate::watch::local::LocalSource;

/// Watches a bucket until it is stopped.
pub async fn run(mill: Arc<Mill>, bucket: BucketName, stop: CancellationToken) {
    let (Some(config), Some(place)) = (mill.config.buckets.get(&bucket), mill.buckets.get(&bucket).cloned()) else {
        return;
    };
    let mut book = mill.book.watch();
    let (tell, wanted) = watch::channel(wanted_of(&mill, &bucket, *book.borrow_and_update()));
    let is_far = config.s3().is_some();
    let hints = mill.hints.of(&bucket);
    let follow = async {
        loop {
            let number = *book.borrow_and_update();
            tell.send_replace(wanted_of(&mill, &bucket, number));
            if is_far {
                // What the sources of such a bucket miss a listing finds, and its objects say when they came.
                hints.set_watched(number);
            }
            if book.changed().await.is_err() {
                return;
            }
        }
    };
    let sources = async {
        match &config.place {
            Place::Local(local) => {
                let source = LocalSource::new(place, &local.path, local.poll);
                source.run(MillSink::local(&mill, &bucket), wanted, stop.clone()).await;
            }
            Place::S3(_) => stop.cancelled().await,
        }
    };
    tokio::select! {
        () = sources => {}
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

#[cfg(test)]
mod tests;
