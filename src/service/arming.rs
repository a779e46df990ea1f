//! Writes down what was there before a rule was enabled or widened, so that it starts nothing.
//!
//! The order matters: first the bucket is watched, then it is listed, then every hint that came meanwhile is looked at,
//! and only then the rule is done arming. So an object is either in the listing, and old, or announced by an event,
//! and new. The place in the listing is kept with each page, and a restart goes on from there.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::hints::BucketHints;
use super::mill::Mill;
use crate::bucket::BucketError;
use crate::job::Generation;
use crate::object::{Object, ObjectKey};
use crate::rule::Existing;
use crate::rule::book::{ArmingMode, LiveRule};
use crate::rule::matching::judge;
use crate::store::{Acceptance, Arming, RuleRecord, StoreError};

/// The first and the longest wait before a baseline that could not be written is gone on with.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));
/// How long an event may be on its way from the kernel to the hints.
const EVENTS_ON_THE_WAY: Duration = Duration::from_millis(300);

/// Why a baseline is not finished.
#[derive(Debug, thiserror::Error)]
enum Unfinished {
    #[error("the bucket is not watched yet")]
    NotWatched,
    #[error("the rule was changed meanwhile")]
    Changed,
    #[error(transparent)]
    Bucket(#[from] BucketError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Arms rules until it is stopped.
pub async fn run(mill: Arc<Mill>, stop: CancellationToken) {
    let mut book = mill.book.watch();
    let mut wait = BACKOFF.0;
    loop {
        book.mark_unchanged();
        let Some(finished) = stop.run_until_cancelled(tick(&mill)).await else {
            return;
        };
        wait = if finished { BACKOFF.0 } else { (wait * 2).min(BACKOFF.1) };
        tokio::select! {
            () = stop.cancelled() => return,
            changed = book.changed() => {
                wait = BACKOFF.0;
                if changed.is_err() {
                    return;
                }
            }
            () = tokio::time::sleep(wait), if !finished => {}
        }
    }
}

/// Arms every rule that waits for it, as far as it goes; answers whether none is left.
pub async fn tick(mill: &Mill) -> bool {
    let number = *mill.book.watch().borrow();
    let records = match mill.store.rules().await {
        Ok(records) => records,
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "cannot read rules");
            return false;
        }
    };
    let mut finished = true;
    for record in records {
        if !record.enabled || record.arming == Arming::Done {
            continue;
        }
        let part = format!("arming:{}", record.name);
        let now = Timestamp::now;
        match arm(mill, &record, number).await {
            Ok(written) => {
                mill.health.set(&part, true, "armed", now());
                tracing::info!(rule = %record.name, old = written, "rule armed: what was there before counts as old");
                mill.rules_changed.notify_one();
            }
            Err(error @ (Unfinished::NotWatched | Unfinished::Changed)) => {
                finished = false;
                tracing::debug!(rule = %record.name, "not armed yet: {error}");
            }
            Err(error) => {
                finished = false;
                let words = format!("rule {} is not armed yet: {error}", record.name);
                if mill.health.set(&part, false, words.clone(), now()) {
                    tracing::warn!(error = &error as &dyn std::error::Error, "{words}");
                }
            }
        }
    }
    finished
}

/// Writes one rule's baseline to its end; answers how many keys were written in this go.
async fn arm(mill: &Mill, record: &RuleRecord, number: u64) -> Result<u64, Unfinished> {
    let book = mill.book.get();
    let live = book.get(&record.name).ok_or(Unfinished::Changed)?;
    if !live.enabled || live.arming.is_none() || live.rule.version != record.version {
        return Err(Unfinished::Changed);
    }
    let bucket = &live.rule.trigger.bucket;
    let hints = mill.hints.of(bucket);
    if *hints.watched().borrow() < number {
        return Err(Unfinished::NotWatched);
    }
    let nothing_is_old =
        matches!(live.arming, Some(ArmingMode::Enabled)) && live.rule.trigger.existing == Existing::Process;
    let written = if nothing_is_old {
        0
    } else {
        write_down(mill, record, live, &hints).await?
    };
    save(mill, record, Arming::Done).await?;
    hints.ask_for_listing(live.rule.trigger.directory.clone());
    Ok(written)
}

async fn write_down(mill: &Mill, record: &RuleRecord, live: &LiveRule, hints: &BucketHints) -> Result<u64, Unfinished> {
    let trigger = &live.rule.trigger;
    let place = mill.buckets.get(&trigger.bucket).ok_or(Unfinished::Changed)?;
    let cursor = match &record.arming {
        Arming::Done => None,
        Arming::Enabled { cursor } | Arming::Widened { cursor, .. } => cursor.clone(),
    };
    let mut written = 0;
    let mut lister = place.list(&trigger.directory, cursor.as_ref()).await?;
    loop {
        let page = match lister.next_page().await {
            Ok(page) => page,
            Err(error) => {
                // What was not seen is seen next time, from the beginning.
                save(mill, record, at(&record.arming, None)).await?;
                return Err(error.into());
            }
        };
        let Some(last) = page.last().map(|object| object.key.clone()) else {
            break;
        };
        written += write_page(mill, live, hints, page).await?;
        save(mill, record, at(&record.arming, Some(last))).await?;
    }
    tokio::time::sleep(EVENTS_ON_THE_WAY).await;
    hints.all_looked_at().await;
    Ok(written)
}

/// Writes down what is old of a page. A key that already has another line in the ledger goes to intake, which asks the
/// bucket after it read that line; a listing is too old for that.
async fn write_page(mill: &Mill, live: &LiveRule, hints: &BucketHints, page: Vec<Object>) -> Result<u64, Unfinished> {
    let (name, bucket) = (&live.rule.name, &live.rule.trigger.bucket);
    let old: Vec<Object> = page
        .into_iter()
        .filter(|object| is_old(live, object) && !hints.has_event(&object.key, live.since))
        .collect();
    let keys: Vec<ObjectKey> = old.iter().map(|object| object.key.clone()).collect();
    let lines = mill.store.ledger(std::slice::from_ref(name), bucket, &keys).await?;
    let mut batch = Vec::new();
    for object in old {
        match lines.iter().find(|known| known.key == object.key) {
            Some(known) if known.identity == object.identity => {}
            Some(_) => hints.put(object.key, None, "arming"),
            None => batch.push(Acceptance {
                rule: name.clone(),
                object,
                seen: Generation(0),
                job: None,
            }),
        }
    }
    let count = batch.len() as u64;
    if !batch.is_empty() {
        // An answer that the line moved means that intake was here first: it knows better.
        mill.store.accept(batch, Timestamp::now()).await?;
    }
    Ok(count)
}

fn is_old(live: &LiveRule, object: &Object) -> bool {
    let size = Some(object.identity.size);
    let before = match &live.arming {
        Some(ArmingMode::Widened(before)) => judge(before, &object.key, size).is_empty(),
        _ => false,
    };
    !before && judge(&live.rule, &object.key, size).is_empty()
}

fn at(arming: &Arming, cursor: Option<ObjectKey>) -> Arming {
    match arming {
        Arming::Done => Arming::Done,
        Arming::Enabled { .. } => Arming::Enabled { cursor },
        Arming::Widened { before, .. } => Arming::Widened {
            cursor,
            before: before.clone(),
        },
    }
}

/// Saves how far it is, unless the rule was changed meanwhile.
async fn save(mill: &Mill, record: &RuleRecord, arming: Arming) -> Result<(), Unfinished> {
    let now = mill.store.rules().await?;
    let current = now
        .into_iter()
        .find(|current| current.name == record.name)
        .filter(|current| {
            current.enabled
                && current.version == record.version
                && current.since == record.since
                && std::mem::discriminant(&current.arming) == std::mem::discriminant(&record.arming)
        })
        .ok_or(Unfinished::Changed)?;
    mill.store.save_rule(&RuleRecord { arming, ..current }).await?;
    Ok(())
}

#[cfg(test)]
mod tests;
