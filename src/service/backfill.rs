//! Queues what lies in a rule's bucket already, where the rule has not dealt with it.
//!
//! The listing is read page by page, and each page is queued before the next is read: memory stays that of a page, and
//! whoever breaks it off keeps what was queued so far. The ledger decides as always, so it may be repeated, and run twice
//! at once, without queueing anything twice.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use jiff::Timestamp;

use super::intake::resolve_all;
use super::mill::Mill;
use crate::bucket::{BucketError, Resolved};
use crate::config::BucketConfig;
use crate::job::ledger::LedgerEntry;
use crate::job::{Generation, JobId, Priority};
use crate::object::{Identity, Object, ObjectKey};
use crate::rule::book::LiveRule;
use crate::rule::matching::judge;
use crate::store::{Acceptance, Accepted, NewJob, StoreError};

/// Objects decided on and queued together.
const TOGETHER: usize = 256;

/// What to queue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wish {
    /// Only objects changed at or after this time.
    pub since: Option<Timestamp>,
    /// Instead of the rule's own.
    pub priority: Option<Priority>,
    /// Only say what would be queued.
    pub dry_run: bool,
}

/// What came of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Objects listed.
    pub listed: u64,
    /// Objects that the trigger takes and that are new enough.
    pub matching: u64,
    /// Jobs made, or that would be.
    pub queued: u64,
    /// Bytes of their objects.
    pub size: u64,
    /// Left out: the rule did them, has a job for them, or was given one at the same moment.
    pub known: u64,
    /// Left out: Reelmill wrote them.
    pub own: u64,
    /// Left out: being written to, or gone meanwhile.
    pub busy: u64,
}

/// Why it broke off; what was queued stays queued.
#[derive(Debug, thiserror::Error)]
pub enum BackfillError {
    /// The bucket.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The daemon.
    #[error("the daemon stops; what was queued so far stays queued, so ask again once it runs")]
    Stopping,
}

/// Whether the rule still has something to do about an object. `unfinished`: the identity last accepted had jobs, and
/// none of them waits, runs or succeeded.
#[must_use]
pub fn is_open(line: Option<&LedgerEntry>, identity: &Identity, unfinished: bool) -> bool {
    line.is_none_or(|line| line.baseline || &line.identity != identity || unfinished)
}

/// Goes through the rule's directory; `found` hears of each object that was, or would be, queued.
///
/// # Errors
/// Where the bucket or the store does not answer.
pub async fn backfill(
    mill: &Mill,
    live: &LiveRule,
    wish: &Wish,
    mut found: impl FnMut(&Object) + Send,
) -> Result<Counts, BackfillError> {
    let trigger = &live.rule.trigger;
    let place = mill
        .buckets
        .get(&trigger.bucket)
        .ok_or_else(|| BucketError::offline(format!("the config has no bucket {}", trigger.bucket)))?;
    let mut counts = Counts::default();
    let mut lister = place.list(&trigger.directory, None).await?;
    loop {
        let page = lister.next_page().await?;
        if page.is_empty() {
            return Ok(counts);
        }
        counts.listed += page.len() as u64;
        let mut wanted = page;
        wanted.retain(|object| {
            let is_new_enough = wish
                .since
                .is_none_or(|since| i128::from(object.identity.modified_ns) >= since.as_nanosecond());
            is_new_enough && judge(&live.rule, &object.key, Some(object.identity.size)).is_empty()
        });
        counts.matching += wanted.len() as u64;
        for part in wanted.chunks(TOGETHER) {
            if mill.stopping.is_cancelled() {
                return Err(BackfillError::Stopping);
            }
            let queued = some(mill, live, wish, part.to_vec(), &mut counts).await?;
            for object in &queued {
                counts.queued += 1;
                counts.size += object.identity.size;
                found(object);
            }
        }
    }
}

/// Queues some of the listing; answers the objects that it made jobs for.
async fn some(
    mill: &Mill,
    live: &LiveRule,
    wish: &Wish,
    mut objects: Vec<Object>,
    counts: &mut Counts,
) -> Result<Vec<Object>, BackfillError> {
    let trigger = &live.rule.trigger;
    let keys: Vec<ObjectKey> = objects.iter().map(|object| object.key.clone()).collect();
    if !trigger.outputs {
        let own = mill.store.own_outputs(&trigger.bucket, &keys).await?;
        let own: HashSet<_> = own.iter().map(|output| (&output.key, &output.identity)).collect();
        let before = objects.len();
        objects.retain(|object| !own.contains(&(&object.key, &object.identity)));
        counts.own += (before - objects.len()) as u64;
    }
    // The generation is read before the bucket is asked, as in intake.
    let rule = std::slice::from_ref(&live.rule.name);
    let lines = mill.store.ledger(rule, &trigger.bucket, &keys).await?;
    let lines: HashMap<&ObjectKey, &LedgerEntry> = lines.iter().map(|line| (&line.key, line)).collect();
    let unfinished = mill.store.unfinished(&live.rule.name, &trigger.bucket, &keys).await?;
    let unfinished: HashSet<&ObjectKey> = unfinished.iter().collect();
    let open =
        |key: &ObjectKey, identity: &Identity| is_open(lines.get(key).copied(), identity, unfinished.contains(key));
    let before = objects.len();
    objects.retain(|object| open(&object.key, &object.identity));
    counts.known += (before - objects.len()) as u64;
    if wish.dry_run || objects.is_empty() {
        return Ok(objects);
    }
    let mut complete = complete(mill, live, objects, counts).await?;
    complete.retain(|object| open(&object.key, &object.identity));
    let now = Timestamp::now();
    let batch: Vec<Acceptance> = complete
        .iter()
        .map(|object| {
            let job = NewJob::of(&live.rule, &live.text, JobId::new(now, rand::random()), None);
            Acceptance {
                rule: live.rule.name.clone(),
                object: object.clone(),
                seen: lines.get(&object.key).map_or(Generation(0), |line| line.generation),
                job: Some(NewJob {
                    priority: wish.priority.unwrap_or(live.rule.priority),
                    ..job
                }),
                listed: None,
            }
        })
        .collect();
    let mut queued = Vec::with_capacity(complete.len());
    for (object, answer) in complete.into_iter().zip(mill.store.accept(batch, now).await?) {
        if let Accepted::Yes { superseded } = answer {
            for older in superseded {
                mill.running.stop(&older, "superseded by a newer version of the object");
            }
            queued.push(object);
        } else {
            counts.known += 1;
        }
    }
    if !queued.is_empty() {
        mill.queue_changed.notify_one();
    }
    Ok(queued)
}

/// The objects that are there and complete, as they are now. Where completeness cannot be asked of the system, those
/// count that stay as they are for `settle`.
async fn complete(
    mill: &Mill,
    live: &LiveRule,
    objects: Vec<Object>,
    counts: &mut Counts,
) -> Result<Vec<Object>, BackfillError> {
    let bucket = &live.rule.trigger.bucket;
    let Some(place) = mill.buckets.get(bucket) else {
        return Ok(Vec::new());
    };
    let keys: Vec<ObjectKey> = objects.into_iter().map(|object| object.key).collect();
    let first = resolve_all(place, &keys).await;
    let settling: Vec<ObjectKey> = keys
        .iter()
        .filter(|key| matches!(first.get(key), Some(Ok(Resolved::Settling { .. }))))
        .cloned()
        .collect();
    let mut later = HashMap::new();
    if !settling.is_empty() {
        let settle = mill.config.buckets.get(bucket);
        tokio::time::sleep(
            settle
                .and_then(BucketConfig::local)
                .map_or(Duration::from_secs(2), |local| local.settle),
        )
        .await;
        later = resolve_all(place, &settling).await;
    }
    let mut found = Vec::with_capacity(keys.len());
    for (key, answer) in first {
        let identity = match answer {
            Ok(Resolved::Complete(identity) | Resolved::Ours(identity)) => Some(identity),
            Ok(answer @ Resolved::Settling { .. }) => match later.remove(&key) {
                Some(Ok(Resolved::Complete(identity) | Resolved::Ours(identity))) => Some(identity),
                Some(Ok(Resolved::Settling { identity, fingerprint }))
                    if answer
                        == Resolved::Settling {
                            identity: identity.clone(),
                            fingerprint,
                        } =>
                {
                    Some(identity)
                }
                Some(Err(error @ BucketError::Transient { .. })) => return Err(error.into()),
                _ => None,
            },
            Err(error @ BucketError::Transient { .. }) => return Err(error.into()),
            _ => None,
        };
        match identity {
            Some(identity) => found.push(Object {
                bucket: bucket.clone(),
                key,
                identity,
            }),
            None => counts.busy += 1,
        }
    }
    found.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(found)
}

#[cfg(test)]
mod tests;
