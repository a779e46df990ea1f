//! Watches one bucket for as long as the daemon runs: ties its sources to the rule book, the hints and the health.

pub mod hooks;
pub mod kept;
pub mod sink;
pub mod standing;

use std::sync::Arc;

use jiff::Timestamp;
use sink::MillSink;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::mill::Mill;
use super::with_causes;
use crate::bucket::s3::sdk;
use crate::config::{Place, S3Config, WatchSource};
use crate::object::BucketName;
use crate::watch::Wanted;
use crate::watch::listen::ListenSource;
use crate::watch::local::LocalSource;
use crate::watch::sqs::SqsSource;

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
            Place::S3(s3) => far(&mill, &bucket, s3, &wanted, &stop).await,
        }
    };
    tokio::select! {
        () = sources => {}
        () = follow => {}
    }
}

/// Watches a bucket over a network by all sources that the config names. Listing is the sweep's, and requests are taken by
/// [`hooks`].
async fn far(
    mill: &Arc<Mill>,
    bucket: &BucketName,
    config: &S3Config,
    wanted: &watch::Receiver<Wanted>,
    stop: &CancellationToken,
) {
    let sdk = match sdk(bucket, config, None).await {
        Ok(sdk) => sdk,
        Err(error) => {
            let part = format!("watch:{bucket}");
            mill.health.set(&part, false, with_causes(&error), Timestamp::now());
            tracing::error!(%bucket, error = %with_causes(&error), "the bucket is only listed");
            return stop.cancelled().await;
        }
    };
    let mut sources = JoinSet::new();
    for source in &config.watch {
        if matches!(source, WatchSource::List | WatchSource::Webhook) {
            continue;
        }
        let sink = MillSink::far(mill, bucket, source.as_str());
        let (wanted, stop) = (wanted.clone(), stop.clone());
        match (source, &config.sqs) {
            (WatchSource::Listen, _) => {
                sources.spawn(ListenSource::new(config, &sdk).run(sink, wanted, stop));
            }
            (WatchSource::Sqs, Some(queue)) => {
                sources.spawn(SqsSource::new(config, queue, &sdk).run(sink, wanted, stop));
            }
            _ => {}
        }
    }
    while let Some(ended) = sources.join_next().await {
        if let Err(error) = ended
            && error.is_panic()
        {
            std::panic::resume_unwind(error.into_panic());
        }
    }
    stop.cancelled().await;
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
mod history_tests;
#[cfg(test)]
mod tests;
