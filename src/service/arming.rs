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
use super::rules;
use crate::bucket::{Bucket, BucketError};
use crate::job::Generation;
use crate::object::{Object, ObjectKey};
use crate::rule::Existing;
use crate::rule::book::{ArmingMode, LiveRule};
use crate::rule::matching::judge;
use crate::store::{Acceptance, Arming, StoreError};

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
    let book = mill.book.get();
    let records = match mill.store.rules().await {
        Ok(records) => records,
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "cannot read rules");
            return false;
        }
    };
    let mut finished = true;
    for live in book.rules.iter().filter(|live| live.enabled && live.arming.is_some()) {
        let name = &live.rule.name;
        let Some(record) = records.iter().find(|record| record.name == *name) else {
            continue;
        };
        let part = format!("arming:{name}");
        match arm(mill, live, cursor(&record.arming), number).await {
            Ok(written) => {
                mill.health.set(&part, true, "armed", Timestamp::now());
                tracing::info!(rule = %name, old = written, "rule armed: what was there before counts as old");
            }
            Err(error @ (Unfinished::NotWatched | Unfinished::Changed)) => {
                finished = false;
                tracing::debug!(rule = %name, "not armed yet: {error}");
            }
            Err(error) => {
                finished = false;
                let words = format!("rule {name} is not armed yet: {error}");
                if mill.health.set(&part, false, words.clone(), Timestamp::now()) {
                    tracing::warn!(error = &error as &dyn std::error::Error, "{words}");
                }
            }
        }
    }
    finished
}

/// Writes one rule's baseline to its end; answers how many keys were written in this go.
async fn arm(mill: &Mill, live: &LiveRule, cursor: Option<ObjectKey>, number: u64) -> Result<u64, Unfinished> {
    let hints = mill.hints.of(&live.rule.trigger.bucket);
    if *hints.watched().borrow() < number {
        return Err(Unfinished::NotWatched);
    }
    let nothing_is_old =
        matches!(live.arming, Some(ArmingMode::Enabled)) && live.rule.trigger.existing == Existing::Process;
    let written = if nothing_is_old {
        0
    } else {
        write_down(mill, live, cursor, &hints).await?
    };
    unless_changed(rules::arming_done(mill, live).await?)?;
    hints.ask_for_listing(live.rule.trigger.directory.clone());
    Ok(written)
}

async fn write_down(
    mill: &Mill,
    live: &LiveRule,
    cursor: Option<ObjectKey>,
    hints: &BucketHints,
) -> Result<u64, Unfinished> {
    let trigger = &live.rule.trigger;
    let place = mill.buckets.get(&trigger.bucket).ok_or(Unfinished::Changed)?;
    let mut written = 0;
    let mut lister = place.list(&trigger.directory, cursor.as_ref()).await?;
    loop {
        let page = match lister.next_page().await {
            Ok(page) => page,
            Err(error) => {
                // What was not seen is seen next time, from the beginning.
                unless_changed(rules::save_cursor(mill, live, None).await?)?;
                return Err(error.into());
            }
        };
        let Some(last) = page.last().map(|object| object.key.clone()) else {
            break;
        };
        written += write_page(mill, live, place, hints, page).await?;
        unless_changed(rules::save_cursor(mill, live, Some(&last)).await?)?;
    }
    tokio::time::sleep(EVENTS_ON_THE_WAY).await;
    hints.all_looked_at().await;
    Ok(written)
}

fn unless_changed(same: bool) -> Result<(), Unfinished> {
    if same { Ok(()) } else { Err(Unfinished::Changed) }
}

fn cursor(arming: &Arming) -> Option<ObjectKey> {
    match arming {
        Arming::Done => None,
        Arming::Enabled { cursor } | Arming::Widened { cursor, .. } => cursor.clone(),
    }
}

/// Writes down what is old of a page. A key that already has another line in the ledger goes to intake, which asks the
/// bucket after it read that line; a listing is too old for that.
async fn write_page(
    mill: &Mill,
    live: &LiveRule,
    place: &Arc<dyn Bucket>,
    hints: &BucketHints,
    page: Vec<Object>,
) -> Result<u64, Unfinished> {
    let (name, bucket) = (&live.rule.name, &live.rule.trigger.bucket);
    let old: Vec<Object> = page
        .into_iter()
        .filter(|object| is_old(live, object) && !hints.has_event(&object.key, live.since))
        .filter(|object| !came_since(live, place, object))
        .collect();
    let keys: Vec<ObjectKey> = old.iter().map(|object| object.key.clone()).collect();
    let lines = mill.store.ledger(std::slice::from_ref(name), bucket, &keys).await?;
    let mut batch = Vec::new();
    for object in old {
        match lines.iter().find(|known| known.key == object.key) {
            Some(known) if known.knows(&object.identity) => {}
            Some(_) => hints.put(object.key, None, "arming"),
            None => batch.push(Acceptance {
                rule: name.clone(),
                object,
                seen: Generation(0),
                job: None,
                listed: None,
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

/// Whether an object came to the bucket after the rule was enabled. A rule that was made wider has been enabled for long, and
/// nobody knows since when it is as wide.
fn came_since(live: &LiveRule, place: &Arc<dyn Bucket>, object: &Object) -> bool {
    matches!(live.arming, Some(ArmingMode::Enabled))
        && place
            .arrival(&object.identity)
            .is_some_and(|arrived| arrived > live.since)
}

fn is_old(live: &LiveRule, object: &Object) -> bool {
    let size = Some(object.identity.size);
    let before = match &live.arming {
        Some(ArmingMode::Widened(before)) => judge(before, &object.key, size).is_empty(),
        _ => false,
    };
    !before && judge(&live.rule, &object.key, size).is_empty()
}

#[cfg(test)]
mod tests;
