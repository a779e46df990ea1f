//! Brings finished files into a bucket over a network: whole or not at all, and never over somebody else's object.
//!
//! What is under a name is asked first, and again after: an answer that was lost on the way is told from a real conflict by
//! what the object says of itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use tokio::task::JoinSet;

use super::super::mill::Mill;
use super::far::{Far, source_marks};
use super::{Gate, Undone, scratch_path};
use crate::bucket::BucketError;
use crate::bucket::mark;
use crate::bucket::remote::{Condition, Head, NewObject, PartTag, Stretch, UploadId};
use crate::job::{Job, JobId};
use crate::object::Identity;
use crate::publish::{PublishError, step};
use crate::store::{PublishItem, UploadRecord};

/// The longest file that is sent in one request, and the least length of a part.
pub const PART: u64 = 16 << 20;
/// Parts of an upload, at most: a bound of the protocol.
const MOST_PARTS: u64 = 10_000;
/// Parts of one file that are under way at once.
const AT_ONCE: usize = 4;

/// Whether the name may be used: free, ours, or to be overwritten.
pub async fn prepare(far: &Far, job: &Job, item: &PublishItem) -> Result<(), PublishError> {
    condition(far, job, item).await.map(|_| ())
}

/// Gives a file its final name, and says what it looks like there. Does nothing where it has it already.
pub async fn place(
    mill: &Arc<Mill>,
    far: &Far,
    job: &Job,
    item: &PublishItem,
    object: NewObject,
    gate: Option<&Gate<'_>>,
) -> Result<Identity, Undone> {
    let scratch = scratch_path(&item.scratch);
    let condition = match condition(far, job, item).await? {
        Found::Done(identity) => {
            tokio::fs::remove_file(&scratch).await.ok();
            return Ok(identity);
        }
        Found::May(condition) => condition,
    };
    let length = match tokio::fs::symlink_metadata(&scratch).await {
        Ok(metadata) if metadata.is_file() => metadata.len(),
        _ => return Err(PublishError::Lost(item.key.clone()).into()),
    };
    let upload = Upload {
        mill,
        far,
        job,
        item,
        object,
        condition,
        gate,
    };
    let sent = if length <= PART {
        upload.whole(&scratch, length).await
    } else {
        upload.in_parts(&scratch, length).await
    };
    // What is there now decides, whatever was heard of it.
    match sent {
        Ok(()) => {}
        Err(Undone::Publish(PublishError::NameTaken(_) | PublishError::Bucket { .. }) | Undone::Conflict)
            if has(far, &job.id, item).await?.is_some() => {}
        Err(Undone::Conflict) => return Err(PublishError::NameTaken(item.key.clone()).into()),
        Err(error) => return Err(error),
    }
    let Some(identity) = has(far, &job.id, item).await? else {
        return Err(PublishError::NameTaken(item.key.clone()).into());
    };
    tokio::fs::remove_file(&scratch).await.ok();
    Ok(identity)
}

/// The identity under the final name, where this very file of this very job has it.
pub async fn has(far: &Far, job: &JobId, item: &PublishItem) -> Result<Option<Identity>, PublishError> {
    let head = look(far, item).await?;
    Ok(head
        .filter(|head| is_item(far, job, item, head))
        .map(|head| head.identity))
}

/// Aborts uploads of a final name that are open and of which nothing is on record: the answer of the server, which told
/// what it calls them, was lost, or the daemon died before it was written down. The name is on a publish list of ours.
pub async fn forget_lost(mill: &Arc<Mill>, far: &Far, item: &PublishItem) {
    let (Ok(prefix), Ok(recorded)) = (std::str::from_utf8(item.key.as_bytes()), mill.store.uploads().await) else {
        return;
    };
    let open = far.remote.open_uploads(prefix).await.unwrap_or_default();
    for upload in open {
        let is_known = mill.uploads.has(&upload.id) || recorded.iter().any(|record| record.id == upload.id.0);
        if upload.key == item.key && !is_known && far.remote.abort_upload(&upload.key, &upload.id).await.is_ok() {
            tracing::info!(bucket = %item.bucket, key = %upload.key, "an upload that was lost is removed");
        }
    }
}

/// What was found under a final name.
enum Found {
    /// This very file.
    Done(Identity),
    /// Nothing in the way; what must still be so when the file gets the name.
    May(Condition),
}

async fn condition(far: &Far, job: &Job, item: &PublishItem) -> Result<Found, PublishError> {
    let Some(head) = look(far, item).await? else {
        return Ok(Found::May(Condition::Absent));
    };
    if is_item(far, &job.id, item, &head) {
        return Ok(Found::Done(head.identity));
    }
    // What is on record of an upload that was cut off is not what the server has: the object says whose it is.
    let is_ours = item.replaces.as_ref() == Some(&head.identity) || says_source(far, job, item, &head);
    if !is_ours && !item.overwrite {
        return Err(PublishError::NameTaken(item.key.clone()));
    }
    Ok(Found::May(head.identity.etag.map_or(Condition::Always, Condition::Is)))
}

async fn look(far: &Far, item: &PublishItem) -> Result<Option<Head>, PublishError> {
    match far.remote.head(&item.key).await {
        Ok(head) => Ok(Some(head)),
        Err(BucketError::NotFound(_)) => Ok(None),
        Err(error) => Err(refused(&error)),
    }
}

fn says<'a>(head: &'a Head, name: &str) -> Option<&'a str> {
    head.metadata.get(name).map(String::as_str)
}

fn says_place(far: &Far, item: &PublishItem, head: &Head) -> bool {
    says(head, mark::OUTPUT) == Some(mark::ours(&far.s3, &item.key).as_str())
}

/// Whether it says that this rule made it from this source, under this very name.
fn says_source(far: &Far, job: &Job, item: &PublishItem, head: &Head) -> bool {
    let (rule, source) = source_marks(job);
    says_place(far, item, head)
        && says(head, mark::RULE) == Some(rule.as_str())
        && says(head, mark::SOURCE) == Some(source.as_str())
}

fn is_item(far: &Far, job: &JobId, item: &PublishItem, head: &Head) -> bool {
    says(head, mark::JOB) == Some(job.as_str())
        && says(head, mark::CHECKSUM) == Some(item.checksum.as_str())
        && head.identity.size == item.identity.size
        && says_place(far, item, head)
}

/// A bucket's refusal, as publishing knows it.
pub fn refused(error: &BucketError) -> PublishError {
    PublishError::Bucket {
        waits: matches!(error, BucketError::Transient { .. }),
        message: super::super::with_causes(error),
    }
}

/// One file on its way.
struct Upload<'a> {
    mill: &'a Arc<Mill>,
    far: &'a Far,
    job: &'a Job,
    item: &'a PublishItem,
    object: NewObject,
    condition: Condition,
    gate: Option<&'a Gate<'a>>,
}

impl Upload<'_> {
    /// In one request.
    async fn whole(&self, scratch: &Path, length: u64) -> Result<(), Undone> {
        let condition = self.heeded(self.far.abilities.put_absent, self.far.abilities.put_is);
        let content = stretch(scratch, 0, length);
        self.may().await?;
        let put = self.far.remote.put(&self.object, &content, &condition).await;
        put.map_err(|error| undone(&error))?;
        step::pass("uploaded");
        Ok(())
    }

    /// In parts, of which several are under way at once. Whatever goes wrong, the server is told to forget them.
    async fn in_parts(&self, scratch: &Path, length: u64) -> Result<(), Undone> {
        let remote = &self.far.remote;
        let id = match remote.begin_upload(&self.object).await {
            Ok(id) => id,
            Err(error) => {
                // The server may have heard of it all the same.
                forget_lost(self.mill, self.far, self.item).await;
                return Err(refused(&error).into());
            }
        };
        let _active = self.mill.uploads.begin(&id);
        let record = UploadRecord {
            bucket: self.item.bucket.clone(),
            key: self.item.key.clone(),
            id: id.0.clone(),
            job: self.job.id.clone(),
        };
        let noted = self.mill.store.upload_begun(&record, Timestamp::now()).await;
        let sent = match noted {
            Ok(()) => {
                step::pass("upload_recorded");
                self.send(scratch, length, &id).await
            }
            Err(error) => Err(Undone::Trouble(error.into())),
        };
        let over = match &sent {
            Ok(()) => true,
            Err(_) => remote.abort_upload(&self.item.key, &id).await.is_ok(),
        };
        // What could not be aborted stays on record, and is tried again later.
        if over {
            let ended = self
                .mill
                .store
                .upload_ended(&record.bucket, &record.key, &record.id)
                .await;
            if let Err(error) = ended {
                tracing::warn!(bucket = %record.bucket, key = %record.key, %error, "an upload stays on record");
            }
        }
        sent
    }

    async fn send(&self, scratch: &Path, length: u64, id: &UploadId) -> Result<(), Undone> {
        let parts = self.parts(scratch, length, id).await?;
        step::pass("parts_sent");
        self.may().await?;
        let condition = self.heeded(self.far.abilities.complete_absent, self.far.abilities.complete_is);
        let remote = &self.far.remote;
        let done = remote.complete_upload(&self.item.key, id, &parts, &condition).await;
        done.map_err(|error| undone(&error))?;
        step::pass("uploaded");
        Ok(())
    }

    async fn parts(&self, scratch: &Path, length: u64, id: &UploadId) -> Result<Vec<PartTag>, Undone> {
        let size = part_size(length);
        let mut sending = JoinSet::new();
        let mut parts = Vec::new();
        for (number, offset) in (1_u16..).zip((0..length).step_by(usize::try_from(size).unwrap_or(usize::MAX))) {
            if sending.len() >= AT_ONCE {
                parts.push(self.next_part(&mut sending).await?);
            }
            let content = stretch(scratch, offset, size.min(length - offset));
            let (remote, key, id) = (self.far.remote.clone(), self.item.key.clone(), id.clone());
            sending.spawn(async move { remote.upload_part(&key, &id, number, &content).await });
        }
        while !sending.is_empty() {
            parts.push(self.next_part(&mut sending).await?);
        }
        parts.sort_by_key(|part| part.number);
        Ok(parts)
    }

    /// The next part that was sent, unless nobody waits for that any more.
    async fn next_part(&self, sending: &mut JoinSet<Result<PartTag, BucketError>>) -> Result<PartTag, Undone> {
        tokio::select! {
            joined = sending.join_next() => sent_part(joined),
            () = self.mill.halt.cancelled() => Err(Undone::stopped()),
        }
    }

    /// The condition, as far as the server heeds it.
    fn heeded(&self, absent: bool, is: bool) -> Condition {
        match &self.condition {
            Condition::Absent if !absent => Condition::Always,
            Condition::Is(_) if !is => Condition::Always,
            other => other.clone(),
        }
    }

    /// Whether the file may still get its name.
    async fn may(&self) -> Result<(), Undone> {
        match self.gate {
            Some(gate) => gate.check().await.map_err(Undone::Trouble),
            None => Ok(()),
        }
    }
}

fn sent_part(joined: Option<Result<Result<PartTag, BucketError>, tokio::task::JoinError>>) -> Result<PartTag, Undone> {
    match joined {
        Some(Ok(Ok(part))) => Ok(part),
        Some(Ok(Err(error))) => Err(refused(&error).into()),
        Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        _ => Err(refused(&BucketError::offline("a part broke off")).into()),
    }
}

/// Why a write was refused: by its condition, perhaps because its own first attempt had been heard, or otherwise.
fn undone(error: &BucketError) -> Undone {
    match error {
        BucketError::Changed(_) | BucketError::NotFound(_) => Undone::Conflict,
        other => refused(other).into(),
    }
}

fn stretch(path: &Path, offset: u64, length: u64) -> Stretch {
    Stretch {
        path: PathBuf::from(path),
        offset,
        length,
    }
}

/// Parts of equal size, in whole MiB, so many as the protocol allows.
fn part_size(length: u64) -> u64 {
    const MIB: u64 = 1 << 20;
    length.div_ceil(MOST_PARTS).div_ceil(MIB).saturating_mul(MIB).max(PART)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_few_enough_and_long_enough() {
        for length in [PART + 1, 1 << 30, 160 << 30, 5 << 40] {
            let size = part_size(length);
            assert!(length.div_ceil(size) <= MOST_PARTS, "{length}");
            assert!((5 << 20..=5 << 30).contains(&size), "{length}");
            assert_eq!(size % (1 << 20), 0);
        }
    }
}
