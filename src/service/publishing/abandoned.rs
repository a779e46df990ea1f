//! Aborts uploads in parts that nobody works on any more: their parts take room at the server, and cost, for ever.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::super::mill::Mill;
use crate::bucket::remote::UploadId;
use crate::object::BucketName;
use crate::store::StoreError;

/// An upload that is not on record is left alone for so long: it may be of another daemon.
const FOREIGN: SignedDuration = SignedDuration::from_hours(24);

/// One round over what is on record, and over what servers say; answers how many uploads went.
pub async fn tick(mill: &Arc<Mill>, now: Timestamp) -> Result<u32, StoreError> {
    let mut gone = 0;
    for upload in mill.store.uploads().await? {
        let id = UploadId(upload.id.clone());
        let remote = mill.buckets.get(&upload.bucket).and_then(|bucket| bucket.remote());
        let Some(remote) = remote.filter(|_| !mill.uploads.has(&id)) else {
            continue;
        };
        match remote.abort_upload(&upload.key, &id).await {
            Ok(()) => {
                mill.store.upload_ended(&upload.bucket, &upload.key, &upload.id).await?;
                tracing::info!(bucket = %upload.bucket, key = %upload.key, job = %upload.job, "abandoned upload removed");
                gone += 1;
            }
            Err(error) => {
                tracing::warn!(bucket = %upload.bucket, key = %upload.key, %error, "an abandoned upload cannot be removed yet");
            }
        }
    }
    for (bucket, directory) in written_to(mill) {
        gone += unrecorded(mill, &bucket, &directory, now).await?;
    }
    Ok(gone)
}

/// Where enabled rules write to.
fn written_to(mill: &Mill) -> BTreeSet<(BucketName, String)> {
    let book = mill.book.get();
    let enabled = book.rules.iter().filter(|live| live.enabled);
    enabled
        .map(|live| {
            let output = &live.rule.output;
            let directory = output.directory.as_ref().unwrap_or(&live.rule.trigger.directory);
            (output.bucket.clone(), directory.as_str().to_owned())
        })
        .collect()
}

/// Uploads of names that are ours, begun long ago, of which nothing is on record: the daemon died between the server's word
/// and its own.
async fn unrecorded(mill: &Arc<Mill>, bucket: &BucketName, prefix: &str, now: Timestamp) -> Result<u32, StoreError> {
    let Some(remote) = mill.buckets.get(bucket).and_then(|bucket| bucket.remote()) else {
        return Ok(0);
    };
    let open = match remote.open_uploads(prefix).await {
        Ok(open) => open,
        Err(error) => {
            tracing::debug!(%bucket, %error, "open uploads cannot be listed");
            return Ok(0);
        }
    };
    let old = |begun: Option<Timestamp>| begun.is_some_and(|begun| now.duration_since(begun) > FOREIGN);
    let mut gone = 0;
    for upload in open {
        if !old(upload.begun) || mill.uploads.has(&upload.id) {
            continue;
        }
        let own = mill
            .store
            .own_outputs(bucket, std::slice::from_ref(&upload.key))
            .await?;
        if !own.is_empty() && remote.abort_upload(&upload.key, &upload.id).await.is_ok() {
            tracing::info!(%bucket, key = %upload.key, "abandoned upload removed");
            gone += 1;
        }
    }
    Ok(gone)
}
