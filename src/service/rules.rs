//! Keeps the rule book equal to the files of the rules folder, and of the presets that they use.
//!
//! A round reads the folders, checks them whole, saves what the store must remember, and swaps the book. Where one of them
//! cannot be read, the book stays as it is.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::mill::Mill;
use super::with_causes;
use crate::config::{RuleFiles, read_beside, read_presets, read_rules};
use crate::object::{BucketName, ObjectKey};
use crate::rule::book::{Arming, LiveRule, RuleRecord};
use crate::rule::renewal::{changes, newly_broken, renew};
use crate::store::StoreError;

/// How often names, times and sizes are compared, whatever the file system says.
const POLL: Duration = Duration::from_secs(2);
/// So long nothing may happen before the folder is read, so that half-written saves are not.
const SETTLE: Duration = Duration::from_millis(200);
/// But no longer than this.
const SETTLE_AT_MOST: Duration = Duration::from_millis(700);

/// Why the rules were not loaded. The book stays as it was.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The folder.
    #[error("the rules folder {} cannot be read; make it, or name another with `rules` in the config", .0.display())]
    Folder(PathBuf, #[source] std::io::Error),
    /// The folder of presets, which need not be there.
    #[error("the presets folder {} cannot be read; make it readable, or name another with `presets` in the config", .0.display())]
    Presets(PathBuf, #[source] std::io::Error),
    /// The store.
    #[error("rules could not be remembered")]
    Store(#[from] StoreError),
}

/// One round. Broken files are no error: they are in the book and in health.
///
/// # Errors
/// Where the folder or the store does not answer.
pub async fn load(mill: &Mill, now: Timestamp) -> Result<(), LoadError> {
    let outcome = load_quietly(mill, now).await;
    if let Err(error) = &outcome
        && mill.health.set("rules", false, with_causes(error), now)
    {
        tracing::error!(error = with_causes(error), "rules are not loaded");
    }
    outcome
}

async fn load_quietly(mill: &Mill, now: Timestamp) -> Result<(), LoadError> {
    // As the store keeps it: by this time, too, a baseline is known again.
    let now = Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now);
    let config = mill.config.clone();
    let read = tokio::task::spawn_blocking(move || {
        let rules = read_rules(&config.rules).map_err(|error| LoadError::Folder(config.rules.clone(), error))?;
        let presets =
            read_presets(&config.presets).map_err(|error| LoadError::Presets(config.presets.clone(), error))?;
        let beside = read_beside(&config.rules, &rules.files, &presets);
        Ok((rules, presets.with_beside(beside)))
    })
    .await;
    let (RuleFiles { files, unreadable }, presets) = read.unwrap_or_else(|error| {
        Err(LoadError::Folder(
            mill.config.rules.clone(),
            std::io::Error::other(error),
        ))
    })?;
    let buckets: Vec<BucketName> = mill.config.buckets.keys().cloned().collect();

    let _changing = mill.book.change().await;
    let records = mill.store.rules().await?;
    let renewal = renew(&records, &files, &unreadable, &presets, &buckets, now);
    for record in &renewal.save {
        mill.store.save_rule(record).await?;
    }
    let before = mill.book.get();
    for (name, what) in changes(&before, &renewal.book) {
        tracing::info!(rule = name, "{what}");
    }
    for broken in newly_broken(&before, &renewal.book) {
        for found in &broken.diagnostics {
            let (line, column) = found.position().unzip();
            let file = found.file.as_ref().map(|file| file.path.display().to_string());
            tracing::warn!(
                rule_file = broken.file,
                file,
                line,
                column,
                help = found.help,
                "{}",
                found.message
            );
        }
    }
    let broken: Vec<_> = renewal.book.broken.iter().map(|one| one.file.as_str()).collect();
    let message = if broken.is_empty() {
        format!("{} loaded", renewal.book.rules.len())
    } else {
        format!("broken: {}; `reelmill check` says why", broken.join(", "))
    };
    mill.health.set("rules", broken.is_empty(), message, now);
    mill.book.set(renewal.book);
    Ok(())
}

/// Loads rules, and again whenever the folder changes or somebody asks, until stopped.
pub async fn run(mill: Arc<Mill>, stop: CancellationToken) {
    let changed = Arc::new(Notify::new());
    let (mut watcher, mut preset_watcher) = (None, None);
    let mut seen = None;
    let mut due = true;
    loop {
        if watcher.is_none() {
            watcher = watch(&mill.config.rules, &changed);
        }
        if preset_watcher.is_none() {
            preset_watcher = watch(&mill.config.presets, &changed);
        }
        let rules_there = fingerprint(&mill.config.rules).await;
        let presets_there = fingerprint(&mill.config.presets).await;
        let now_there = (rules_there, presets_there);
        if due || seen.as_ref() != Some(&now_there) {
            // A folder that came back needs a new watch.
            if now_there.0.is_none() {
                watcher = None;
            }
            if now_there.1.is_none() {
                preset_watcher = None;
            }
            let asked = mill.pulse.reloads().asked;
            seen = load(&mill, Timestamp::now()).await.is_ok().then_some(now_there);
            mill.pulse.reloaded(asked);
        }
        due = tokio::select! {
            () = stop.cancelled() => return,
            () = mill.rules_changed.notified() => true,
            () = changed.notified() => {
                settle(&changed).await;
                true
            }
            () = sleep(POLL) => false,
        };
    }
}

/// Returns once nothing changed for a while.
async fn settle(changed: &Notify) {
    let end = Instant::now() + SETTLE_AT_MOST;
    while Instant::now() < end && timeout(SETTLE, changed.notified()).await.is_ok() {}
}

fn watch(folder: &Path, changed: &Arc<Notify>) -> Option<RecommendedWatcher> {
    let changed = changed.clone();
    let handler = move |event: notify::Result<notify::Event>| {
        // Reading the files is an event too.
        let merely_read = event.as_ref().is_ok_and(
            |event| matches!(event.kind, EventKind::Access(kind) if kind != AccessKind::Close(AccessMode::Write)),
        );
        if !merely_read {
            changed.notify_one();
        }
    };
    let mut watcher = notify::recommended_watcher(handler).ok()?;
    watcher.watch(folder, RecursiveMode::NonRecursive).ok()?;
    Some(watcher)
}

/// Name, time and size of a file.
type Seen = (std::ffi::OsString, Option<std::time::SystemTime>, u64);

/// Names, times and sizes of what lies in the folder; none where it cannot be read.
async fn fingerprint(folder: &Path) -> Option<Vec<Seen>> {
    let folder = folder.to_owned();
    let read = tokio::task::spawn_blocking(move || {
        let mut found = Vec::new();
        look(&folder, DEEPEST, &mut found)?;
        found.sort();
        Some(found)
    });
    read.await.ok().flatten()
}

/// How deep below the folder files may lie that rules name, and be noticed when they change.
const DEEPEST: u32 = 3;

/// More files than this nobody keeps beside rules.
const MOST_FILES: usize = 10_000;

fn look(folder: &Path, depth: u32, found: &mut Vec<Seen>) -> Option<()> {
    for entry in std::fs::read_dir(folder).ok()? {
        let entry = entry.ok()?;
        let Ok(about) = std::fs::metadata(entry.path()) else {
            continue;
        };
        if found.len() >= MOST_FILES {
            break;
        }
        found.push((entry.path().into(), about.modified().ok(), about.len()));
        if about.is_dir() && depth > 0 {
            // One that cannot be read has nothing that a rule could use.
            look(&entry.path(), depth - 1, found);
        }
    }
    Some(())
}

/// Writes down how far the baseline of a rule is; none: it begins again. False: it is another baseline by now (the rule was turned off and on, or
/// changed), so take the new one from the book.
///
/// # Errors
/// Where the store does not answer.
pub async fn save_cursor(mill: &Mill, live: &LiveRule, through: Option<&ObjectKey>) -> Result<bool, StoreError> {
    let _changing = mill.book.change().await;
    let Some(mut record) = same_baseline(mill, live).await? else {
        return Ok(false);
    };
    match &mut record.arming {
        Arming::Done => return Ok(false),
        Arming::Enabled { cursor } | Arming::Widened { cursor, .. } => *cursor = through.cloned(),
    }
    mill.store.save_rule(&record).await?;
    Ok(true)
}

/// The baseline of a rule is written: the record says so, and the book is swapped. False as for [`save_cursor`].
///
/// # Errors
/// Where the store does not answer.
pub async fn arming_done(mill: &Mill, live: &LiveRule) -> Result<bool, StoreError> {
    let _changing = mill.book.change().await;
    let Some(mut record) = same_baseline(mill, live).await? else {
        return Ok(false);
    };
    record.arming = Arming::Done;
    mill.store.save_rule(&record).await?;
    let mut book = (*mill.book.get()).clone();
    for rule in &mut book.rules {
        if rule.rule.name == record.name {
            rule.arming = None;
        }
    }
    mill.book.set(book);
    tracing::info!(rule = %record.name, "what was there before is written down");
    Ok(true)
}

/// The record, where it still describes the baseline that this version of the rule began.
async fn same_baseline(mill: &Mill, live: &LiveRule) -> Result<Option<RuleRecord>, StoreError> {
    let records = mill.store.rules().await?;
    Ok(records.into_iter().find(|record| {
        record.name == live.rule.name
            && record.version == live.rule.version
            && record.enabled
            && record.since == live.since
            && record.arming != Arming::Done
    }))
}

#[cfg(test)]
mod tests;
