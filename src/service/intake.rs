//! Takes hints, asks the bucket what is there, and lets the ledger decide whether that is a job.
//!
//! The ledger's generation is read before the bucket is asked, and an answer counts only if it is still that one. A hint
//! is given up only once it is decided: a busy file, a bucket that is offline and a database that fails are asked again,
//! for ever. One loop a bucket, so that a slow one keeps nobody else waiting.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::hints::{BucketHints, Patience, TakenHint};
use super::mill::Mill;
use super::with_causes;
use crate::bucket::{Bucket, BucketError, Resolved};
use crate::config::BucketConfig;
use crate::job::ledger::{ArmingView, Decision, RuleView, decide};
use crate::job::{Generation, JobId};
use crate::object::{BucketName, Identity, Object, ObjectKey};
use crate::rule::RuleName;
use crate::rule::book::{ArmingMode, LiveRule, RuleBook};
use crate::rule::matching::judge;
use crate::store::{Acceptance, Accepted, LedgerEntry, NewJob, OutputRecord, StoreError};

/// Hints taken at once.
const BATCH: usize = 256;
/// Keys that a bucket is asked about at once.
const AT_ONCE: usize = 16;
/// How long a bucket may take to answer for one key.
const ANSWER: Duration = Duration::from_secs(30);
/// The first and the longest wait before a key is looked at again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));

/// Works on the hints of a bucket until it is stopped.
pub async fn run(mill: Arc<Mill>, bucket: BucketName, stop: CancellationToken) {
    let hints = mill.hints.of(&bucket);
    while stop.run_until_cancelled(hints.ready()).await.is_some() {
        // Each of its steps is whole or not at all, and hints that are lost are found by a listing.
        if stop.run_until_cancelled(tick(&mill, &bucket)).await.is_none() {
            return;
        }
    }
}

/// Works on one batch; answers how many hints it took.
pub async fn tick(mill: &Mill, bucket: &BucketName) -> usize {
    let hints = mill.hints.of(bucket);
    let taken = hints.take(BATCH, Instant::now());
    let (Some(place), false) = (mill.buckets.get(bucket), taken.is_empty()) else {
        hints.done(taken.iter().map(|hint| &hint.key));
        return taken.len();
    };
    let book = mill.book.get();
    let index = mill.book.index();
    let (wanted, unwanted): (Vec<_>, Vec<_>) = taken.iter().partition(|hint| index.wants(bucket, &hint.key));
    let part = format!("intake:{bucket}");
    let unwanted_forgotten = forget(mill, &unwanted).await;
    if unwanted_forgotten.is_ok() {
        hints.done(unwanted.iter().map(|hint| &hint.key));
    } else {
        for hint in &unwanted {
            again(&hints, hint);
        }
    }
    let worked = match unwanted_forgotten {
        Ok(()) => work(mill, bucket, place, &hints, &book, &wanted).await,
        failed => failed,
    };
    if let Err(error) = worked {
        let words = format!("{}; hints are kept and tried again", with_causes(&error));
        if mill.health.set(&part, false, words.clone(), Timestamp::now()) {
            tracing::error!(%bucket, "intake: {words}");
        }
        for hint in &wanted {
            again(&hints, hint);
        }
    } else {
        mill.health.set(&part, true, "taking hints", Timestamp::now());
    }
    taken.len()
}

/// What is known of the keys of a batch before the bucket is asked.
struct Before {
    ledger: HashMap<(RuleName, ObjectKey), LedgerEntry>,
    outputs: HashMap<ObjectKey, OutputRecord>,
}

impl Before {
    async fn read(mill: &Mill, bucket: &BucketName, book: &RuleBook, keys: &[ObjectKey]) -> Result<Self, StoreError> {
        let names: Vec<RuleName> = book.enabled_for(bucket).map(|live| live.rule.name.clone()).collect();
        let ledger = mill.store.ledger(&names, bucket, keys).await?;
        let outputs = mill.store.own_outputs(bucket, keys).await?;
        Ok(Self {
            ledger: ledger
                .into_iter()
                .map(|entry| ((entry.rule.clone(), entry.key.clone()), entry))
                .collect(),
            outputs: outputs.into_iter().map(|output| (output.key.clone(), output)).collect(),
        })
    }

    /// Under its name lies what this program wrote, not what somebody put in its place.
    fn is_own(&self, key: &ObjectKey, identity: &Identity) -> bool {
        self.outputs.get(key).is_some_and(|output| output.identity == *identity)
    }
}

/// Everything of a batch; a store that fails leaves all its hints to be put back.
async fn work(
    mill: &Mill,
    bucket: &BucketName,
    place: &Arc<dyn Bucket>,
    hints: &BucketHints,
    book: &RuleBook,
    wanted: &[&TakenHint],
) -> Result<(), StoreError> {
    if wanted.is_empty() {
        return Ok(());
    }
    let keys: Vec<ObjectKey> = wanted.iter().map(|hint| hint.key.clone()).collect();
    let before = Before::read(mill, bucket, book, &keys).await?;
    let mut answers = resolve_all(place, &keys).await;
    let settle = mill
        .config
        .buckets
        .get(bucket)
        .and_then(BucketConfig::local)
        .map_or(Duration::from_secs(2), |local| local.settle);

    let mut batch: Vec<Acceptance> = Vec::new();
    let mut listed: HashMap<RuleName, Vec<(ObjectKey, Identity)>> = HashMap::new();
    let mut back: HashMap<RuleName, Vec<ObjectKey>> = HashMap::new();
    let mut decided: Vec<&TakenHint> = Vec::new();
    let mut waiting: Vec<(&TakenHint, Patience, Instant)> = Vec::new();
    for hint in wanted {
        let mut says_ours = false;
        let identity = match answers.remove(&hint.key) {
            Some(Ok(Resolved::Complete(identity))) => identity,
            Some(Ok(Resolved::Ours(identity))) => {
                says_ours = true;
                identity
            }
            Some(Ok(Resolved::Settling { identity, fingerprint })) => {
                match settled(hint, &identity, fingerprint, settle) {
                    Ok(()) => identity,
                    Err((patience, due)) => {
                        waiting.push((hint, patience, due));
                        continue;
                    }
                }
            }
            Some(Ok(answer @ (Resolved::Gone | Resolved::NotAFile))) => {
                tracing::debug!(%bucket, key = %hint.key, source = hint.source, ?answer, "nothing to work on");
                decided.push(hint);
                continue;
            }
            Some(Err(error)) => {
                let (patience, due) = refused(bucket, hint, &error);
                waiting.push((hint, patience, due));
                continue;
            }
            Some(Ok(Resolved::Busy)) | None => {
                let (patience, due) = patience_of(hint, BACKOFF.1);
                waiting.push((hint, patience, due));
                continue;
            }
        };
        decided.push(hint);
        let own = says_ours || before.is_own(&hint.key, &identity);
        for live in book.enabled_for(bucket) {
            let wants =
                judge(&live.rule, &hint.key, Some(identity.size)).is_empty() && (!own || live.rule.trigger.outputs);
            if !wants {
                continue;
            }
            let entry = before.ledger.get(&(live.rule.name.clone(), hint.key.clone()));
            let view = view(live, &hint.key, identity.size);
            // While a rule is being enabled, an object that came later than that is new, whoever noticed it.
            let arrival = matches!(live.arming, Some(ArmingMode::Enabled)).then(|| place.arrival(&identity));
            let event = hint.event.max(arrival.flatten());
            let job = match decide(entry, &identity, event, &view) {
                Decision::Same => {
                    if let (Some(said), Some(entry)) = (&hint.listed, entry)
                        && !entry.knows(said)
                    {
                        let of_rule = listed.entry(live.rule.name.clone()).or_default();
                        of_rule.push((hint.key.clone(), said.clone()));
                    }
                    if entry.is_some_and(|entry| entry.gone_at.is_some()) {
                        back.entry(live.rule.name.clone()).or_default().push(hint.key.clone());
                    }
                    continue;
                }
                Decision::Baseline => None,
                Decision::Job => Some(new_job(live, Timestamp::now())),
            };
            batch.push(Acceptance {
                rule: live.rule.name.clone(),
                object: Object {
                    bucket: bucket.clone(),
                    key: hint.key.clone(),
                    identity: identity.clone(),
                },
                seen: entry.map_or(Generation(0), |entry| entry.generation),
                job,
                listed: hint.listed.clone(),
            });
        }
    }
    for (rule, keys) in back {
        mill.store.mark_gone(&rule, bucket, &keys, None).await?;
    }
    for (rule, lines) in listed {
        mill.store.note_listed(&rule, bucket, &lines).await?;
    }
    let stale = accept(mill, batch).await?;
    let settled: Vec<&TakenHint> = decided
        .iter()
        .copied()
        .filter(|hint| !stale.contains(&hint.key))
        .collect();
    forget(mill, &settled).await?;
    for hint in decided {
        if stale.contains(&hint.key) {
            // Somebody else moved the ledger: look again, at once the first time.
            let due = match hint.patience.looks {
                0 => Instant::now(),
                _ => patience_of(hint, BACKOFF.1).1,
            };
            hints.put_back(&hint.key, patience_of(hint, BACKOFF.1).0, due);
        } else {
            hints.done([&hint.key]);
        }
    }
    for (hint, patience, due) in waiting {
        hints.put_back(&hint.key, patience, due);
    }
    Ok(())
}

/// The store need not keep these hints any longer.
async fn forget(mill: &Mill, hints: &[&TakenHint]) -> Result<(), StoreError> {
    let numbers: Vec<i64> = hints.iter().flat_map(|hint| &hint.kept).copied().collect();
    if numbers.is_empty() {
        return Ok(());
    }
    mill.store.forget_hints(&numbers).await
}

/// Changes the ledger; answers the keys whose line had moved meanwhile.
async fn accept(mill: &Mill, batch: Vec<Acceptance>) -> Result<Vec<ObjectKey>, StoreError> {
    if batch.is_empty() {
        return Ok(Vec::new());
    }
    let answers = mill.store.accept(batch.clone(), Timestamp::now()).await?;
    let mut stale = Vec::new();
    let mut queued = false;
    for (wish, answer) in batch.into_iter().zip(answers) {
        let Object { bucket, key, .. } = wish.object;
        match (answer, wish.job) {
            (Accepted::Stale, _) => stale.push(key),
            // Only wishes of people have an id.
            (Accepted::Doubled(_), _) => {}
            (Accepted::Yes { superseded }, job) => {
                for old in superseded {
                    mill.running.stop(&old, "superseded by a newer version of the object");
                }
                if let Some(job) = job {
                    queued = true;
                    tracing::info!(job = %job.id, rule = %wish.rule, %bucket, %key, "job accepted");
                }
            }
        }
    }
    if queued {
        mill.queue_changed.notify_one();
    }
    Ok(stale)
}

fn new_job(live: &LiveRule, now: Timestamp) -> NewJob {
    NewJob::of(&live.rule, &live.text, JobId::new(now, rand::random()), None)
}

type Answers = HashMap<ObjectKey, Result<Resolved, BucketError>>;

/// Asks the bucket about every key, a few at a time. A key whose answer broke off is missing.
pub(super) async fn resolve_all(place: &Arc<dyn Bucket>, keys: &[ObjectKey]) -> Answers {
    let mut answers = HashMap::with_capacity(keys.len());
    let mut asking = JoinSet::new();
    for key in keys {
        if asking.len() >= AT_ONCE
            && let Some(Ok((key, answer))) = asking.join_next().await
        {
            answers.insert(key, answer);
        }
        let (place, key) = (place.clone(), key.clone());
        asking.spawn(async move {
            let answer = tokio::time::timeout(ANSWER, place.resolve(&key)).await;
            let answer = answer
                .unwrap_or_else(|_| Err(BucketError::offline(format!("bucket {} does not answer", place.name()))));
            (key, answer)
        });
    }
    while let Some(joined) = asking.join_next().await {
        if let Ok((key, answer)) = joined {
            answers.insert(key, answer);
        }
    }
    answers
}

/// Whether a file that cannot be asked about has stayed as it is for long enough; else when to look again.
fn settled(
    hint: &TakenHint,
    identity: &Identity,
    fingerprint: u64,
    settle: Duration,
) -> Result<(), (Patience, Instant)> {
    let now = Instant::now();
    let since = match &hint.patience.settling {
        Some((before, print, since)) if before == identity && *print == fingerprint => *since,
        _ => now,
    };
    if since != now && now >= since + settle {
        return Ok(());
    }
    let patience = Patience {
        looks: 0,
        settling: Some((identity.clone(), fingerprint, since)),
    };
    Err((patience, since + settle))
}

fn refused(bucket: &BucketName, hint: &TakenHint, error: &BucketError) -> (Patience, Instant) {
    let longest = match error {
        BucketError::Permanent { .. } => BACKOFF.1 * 10,
        _ => BACKOFF.1,
    };
    let cause = error as &dyn std::error::Error;
    if hint.patience.looks == 0 {
        tracing::warn!(%bucket, key = %hint.key, error = cause, "cannot be looked at; tried again");
    } else {
        tracing::debug!(%bucket, key = %hint.key, error = cause, "cannot be looked at; tried again");
    }
    patience_of(hint, longest)
}

/// One look more, and when the next is due.
fn patience_of(hint: &TakenHint, longest: Duration) -> (Patience, Instant) {
    let looks = hint.patience.looks;
    let wait = BACKOFF.0.saturating_mul(1 << looks.min(16)).min(longest);
    let patience = Patience {
        looks: looks.saturating_add(1),
        settling: None,
    };
    (patience, Instant::now() + wait)
}

fn again(hints: &BucketHints, hint: &TakenHint) {
    let (patience, due) = patience_of(hint, BACKOFF.1);
    hints.put_back(&hint.key, patience, due);
}

/// What the ledger's decision needs to know of a rule.
fn view(live: &LiveRule, key: &ObjectKey, size: u64) -> RuleView {
    let arming = live.arming.as_ref().map(|mode| match mode {
        ArmingMode::Enabled => ArmingView::Enabled,
        ArmingMode::Widened(before) => ArmingView::Widened {
            matched_before: judge(before, key, Some(size)).is_empty(),
        },
    });
    RuleView {
        since: live.since,
        arming,
        existing: live.rule.trigger.existing,
    }
}

#[cfg(test)]
mod tests;
