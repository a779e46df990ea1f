//! Compares what a bucket holds with what the ledger says, so that a missed hint is found all the same.
//!
//! Pages of the listing and of the ledger are read side by side, in the memory of a page. What is new or differs becomes
//! a hint; intake decides. What the ledger has and the bucket has not is remembered as gone, but only once the listing
//! came to its end without an error and the bucket, asked for that very key, says so.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::hints::{BucketHints, Told};
use super::intake::resolve_all;
use super::mill::Mill;
use super::with_causes;
use crate::bucket::{Bucket, BucketError, Lister, Resolved};
use crate::diagnostic::quantity::counted;
use crate::object::{BucketName, Directory, Object, ObjectKey};
use crate::rule::RuleName;
use crate::rule::book::LiveRule;
use crate::rule::matching::Candidate;
use crate::store::{LedgerEntry, StoreError};
use crate::watch::Wanted;

/// Lines of the ledger read at once.
const LINES: u32 = 1000;
/// Missing keys remembered in one sweep; the rest is found by the next.
const MOST_MISSING: usize = 100_000;
/// How long after the start the first full sweep begins, where no source asked for one before.
const FIRST: Duration = Duration::from_secs(5);
/// The wait after a sweep that failed.
const AGAIN: Duration = Duration::from_secs(10);
/// Where no source has a connection for twice as long, the bucket is listed.
const SILENCE: Duration = Duration::from_secs(30);
/// The first and the longest wait for a server in the middle of a listing.
const RESUME: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// What a sweep found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Objects listed.
    pub objects: u64,
    /// Objects that are new or differ: handed to intake.
    pub hinted: u64,
    /// Keys now known to be gone.
    pub gone: u64,
    /// Keys that were gone and are there again.
    pub back: u64,
}

/// Why a sweep did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The bucket.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Sweeps a bucket at start, when asked, and every `sweep`, until it is stopped.
pub async fn run(mill: Arc<Mill>, bucket: BucketName, stop: CancellationToken) {
    let hints = mill.hints.of(&bucket);
    let every = mill
        .config
        .buckets
        .get(&bucket)
        .map_or(Duration::from_hours(1), |config| config.sweep);
    let is_far = mill.buckets.get(&bucket).is_some_and(|place| place.remote().is_some());
    let mut next = Instant::now() + FIRST;
    loop {
        let asked = tokio::select! {
            () = stop.cancelled() => return,
            () = hints.listing_asked() => hints.take_listings(),
            () = tokio::time::sleep_until(next) => vec![Directory::default()],
            () = nobody_tells(&mill, &bucket), if is_far => vec![Directory::default()],
        };
        if asked.is_empty() {
            continue;
        }
        let is_full = covers(&mill, &bucket, &asked);
        let began = Instant::now();
        let Some(done) = stop.run_until_cancelled(tick(&mill, &bucket, &asked)).await else {
            return;
        };
        let took = began.elapsed();
        match done {
            Ok(_) if is_full => next = Instant::now() + every.max(took * 10),
            Ok(_) => {}
            Err(_) => next = next.min(Instant::now() + AGAIN.max(took * 10)),
        }
        // Whoever asks all the time gets half of it.
        if stop.run_until_cancelled(tokio::time::sleep(took)).await.is_none() {
            return;
        }
    }
}

/// Returns once nobody who should tell of new objects has had a connection for a while: the next listing by the clock may be
/// an hour away.
async fn nobody_tells(mill: &Mill, bucket: &BucketName) {
    let mut silent = false;
    loop {
        tokio::time::sleep(SILENCE).await;
        let sources = mill.standing.of(bucket);
        let nobody = !sources.is_empty() && sources.iter().all(|(_, source)| source.connected.is_none());
        if nobody && silent {
            return;
        }
        silent = nobody;
    }
}

/// One sweep over these directories, as far as rules want them; says how it went in log and health.
pub async fn tick(mill: &Mill, bucket: &BucketName, directories: &[Directory]) -> Result<Counts, SweepError> {
    let (began, now) = (Instant::now(), Timestamp::now());
    mill.pulse.listing(bucket);
    mill.standing
        .listing(bucket, |listing| listing.under_way = Some((now, 0)));
    let is_full = covers(mill, bucket, directories);
    let done = sweep(mill, bucket, directories).await;
    mill.standing.listing(bucket, |listing| {
        listing.under_way = None;
        if let (Ok(counts), true) = (&done, is_full) {
            listing.last_full = Some(now);
            listing.objects = counts.objects;
        }
    });
    let took = began.elapsed().as_secs_f64();
    let part = format!("list:{bucket}");
    match &done {
        Ok(counts) => {
            let Counts {
                objects,
                hinted,
                gone,
                back,
            } = counts;
            if hinted + gone + back > 0 {
                tracing::info!(%bucket, objects, hinted, gone, back, seconds = took, "listed");
            } else {
                tracing::debug!(%bucket, objects, seconds = took, "listed");
            }
            let seen = counted(*objects, "object");
            let words =
                format!("listed {seen} at {now:.0} in {took:.1} s: {hinted} new or changed, {gone} gone, {back} back");
            mill.health.set(&part, true, words, now);
        }
        Err(error) => {
            let words = format!("the listing broke off: {error}");
            if mill.health.set(&part, false, words, now) {
                tracing::warn!(%bucket, error = error as &dyn std::error::Error, "the listing broke off");
            }
        }
    }
    done
}

async fn sweep(mill: &Mill, bucket: &BucketName, directories: &[Directory]) -> Result<Counts, SweepError> {
    let Some(place) = mill.buckets.get(bucket) else {
        return Ok(Counts::default());
    };
    let book = mill.book.get();
    let rules: Vec<&LiveRule> = book.enabled_for(bucket).collect();
    let mut side = SideBySide {
        mill,
        bucket,
        place,
        hints: mill.hints.of(bucket),
        rules: &rules,
        missing: Vec::new(),
        counts: Counts::default(),
    };
    for range in ranges(&rules, directories) {
        side.range(&range).await?;
    }
    Ok(side.counts)
}

/// Whether everything that rules want lies within these directories.
fn covers(mill: &Mill, bucket: &BucketName, asked: &[Directory]) -> bool {
    mill.book.get().enabled_for(bucket).all(|live| {
        let wanted = live.rule.trigger.directory.as_str();
        asked.iter().any(|directory| wanted.starts_with(directory.as_str()))
    })
}

/// What is both asked for and wanted, none of it twice.
fn ranges(rules: &[&LiveRule], asked: &[Directory]) -> Vec<Directory> {
    let within = |inner: &Directory, outer: &Directory| inner.as_str().starts_with(outer.as_str());
    let mut common = Vec::new();
    for wanted in rules.iter().map(|live| &live.rule.trigger.directory) {
        for asked in asked {
            if within(wanted, asked) {
                common.push(wanted.clone());
            } else if within(asked, wanted) {
                common.push(asked.clone());
            }
        }
    }
    Wanted::new(0, common).directories
}

struct SideBySide<'a> {
    mill: &'a Mill,
    bucket: &'a BucketName,
    place: &'a Arc<dyn Bucket>,
    hints: Arc<BucketHints>,
    rules: &'a [&'a LiveRule],
    missing: Vec<(RuleName, ObjectKey)>,
    counts: Counts,
}

impl SideBySide<'_> {
    async fn range(&mut self, range: &Directory) -> Result<(), SweepError> {
        self.missing.clear();
        let (mut after, end) = edges(range);
        let mut lister = None;
        let mut pause = RESUME.0;
        loop {
            let page = match self.next_page(&mut lister, range, after.as_ref()).await {
                Ok(page) => page,
                // What was seen stays seen: a server that does not answer is waited for, and the listing goes on.
                Err(error @ BucketError::Transient { .. }) if self.place.remote().is_some() => {
                    self.wait_for_server(&error, pause).await;
                    pause = (pause * 2).min(RESUME.1);
                    lister = None;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            pause = RESUME.0;
            let Some(last) = page.last().map(|object| object.key.clone()) else {
                break;
            };
            self.hints.room().await;
            self.page(range, after.as_ref(), Some(&last), &page).await?;
            after = Some(last);
        }
        self.page(range, after.as_ref(), end.as_ref(), &[]).await?;
        self.mark_missing().await
    }

    async fn next_page(
        &self,
        lister: &mut Option<Box<dyn Lister>>,
        range: &Directory,
        after: Option<&ObjectKey>,
    ) -> Result<Vec<Object>, BucketError> {
        let lister = match lister {
            Some(lister) => lister,
            None => lister.insert(self.place.list(range, after).await?),
        };
        lister.next_page().await
    }

    async fn wait_for_server(&self, error: &BucketError, pause: Duration) {
        let (bucket, seen) = (self.bucket, counted(self.counts.objects, "object"));
        let words = format!("the listing waits after {seen}: {}", with_causes(error));
        if self
            .mill
            .health
            .set(&format!("list:{bucket}"), false, words, Timestamp::now())
        {
            tracing::warn!(%bucket, error = error as &dyn std::error::Error, "the listing waits, and will go on from there");
        }
        tokio::time::sleep(pause).await;
    }

    /// Compares a page with the ledger's lines in `after < key <= through`.
    async fn page(
        &mut self,
        range: &Directory,
        after: Option<&ObjectKey>,
        through: Option<&ObjectKey>,
        page: &[Object],
    ) -> Result<(), SweepError> {
        self.counts.objects += page.len() as u64;
        let seen = self.counts.objects;
        self.mill.standing.listing(self.bucket, |listing| {
            if let Some((_, objects)) = &mut listing.under_way {
                *objects = seen;
            }
        });
        let listed: HashMap<&ObjectKey, &Object> = page.iter().map(|object| (&object.key, object)).collect();
        let mut differing: HashMap<&ObjectKey, bool> = HashMap::new();
        for live in self.rules {
            let directory = &live.rule.trigger.directory;
            let overlaps =
                range.as_str().starts_with(directory.as_str()) || directory.as_str().starts_with(range.as_str());
            if !overlaps {
                continue;
            }
            let mut known: HashSet<&ObjectKey> = HashSet::new();
            let mut from = after.cloned();
            loop {
                let lines = self
                    .mill
                    .store
                    .ledger_range(&live.rule.name, self.bucket, from.as_ref(), through, LINES)
                    .await?;
                let is_last = lines.len() < LINES as usize;
                from = lines.last().map(|line| line.key.clone());
                let back = self.compare(range, &live.rule.name, lines, &listed, &mut known);
                if !back.is_empty() {
                    self.counts.back += back.len() as u64;
                    self.mill
                        .store
                        .mark_gone(&live.rule.name, self.bucket, &back, None)
                        .await?;
                }
                if is_last {
                    break;
                }
            }
            for object in page {
                let wants = !known.contains(&object.key)
                    && Candidate::of(&object.key).is_wanted_by(&live.rule, Some(object.identity.size));
                if wants {
                    *differing.entry(&object.key).or_default() |= live.rule.trigger.outputs;
                }
            }
        }
        self.hint(&listed, differing).await
    }

    /// Hands to intake what differs, without what this program wrote itself.
    async fn hint(
        &mut self,
        listed: &HashMap<&ObjectKey, &Object>,
        mut differing: HashMap<&ObjectKey, bool>,
    ) -> Result<(), SweepError> {
        if differing.is_empty() {
            return Ok(());
        }
        let keys: Vec<ObjectKey> = differing.keys().map(|key| (*key).clone()).collect();
        for output in self.mill.store.own_outputs(self.bucket, &keys).await? {
            let is_ours = listed
                .get(&output.key)
                .is_some_and(|object| output.identity.agrees_with(&object.identity));
            if is_ours && differing.get(&output.key) == Some(&false) {
                differing.remove(&output.key);
            }
        }
        self.counts.hinted += differing.len() as u64;
        for key in differing.into_keys() {
            let told = Told {
                listed: listed.get(key).map(|object| object.identity.clone()),
                ..Told::default()
            };
            self.hints.put_told(key.clone(), told, "list");
        }
        Ok(())
    }

    /// Notes which listed objects the ledger knows as they are, and which keys are missing; answers those that are
    /// there again.
    fn compare<'page>(
        &mut self,
        range: &Directory,
        rule: &RuleName,
        lines: Vec<LedgerEntry>,
        listed: &HashMap<&'page ObjectKey, &'page Object>,
        known: &mut HashSet<&'page ObjectKey>,
    ) -> Vec<ObjectKey> {
        let mut back = Vec::new();
        for line in lines.into_iter().filter(|line| range.contains(&line.key)) {
            let Some(object) = listed.get(&line.key) else {
                self.note_missing(rule, line);
                continue;
            };
            if line.knows(&object.identity) {
                known.insert(&object.key);
            }
            if line.gone_at.is_some() {
                back.push(line.key);
            }
        }
        back
    }

    fn note_missing(&mut self, rule: &RuleName, line: LedgerEntry) {
        if line.gone_at.is_none() && self.missing.len() < MOST_MISSING {
            self.missing.push((rule.clone(), line.key));
        }
    }

    /// The listing came to its end: what is missing is gone where the bucket says so itself. A key about which it
    /// cannot tell keeps nobody else waiting.
    async fn mark_missing(&mut self) -> Result<(), SweepError> {
        let now = Timestamp::now();
        let missing = std::mem::take(&mut self.missing);
        for some in missing.chunks(LINES as usize) {
            let keys: Vec<ObjectKey> = some.iter().map(|(_, key)| key.clone()).collect();
            let answers = resolve_all(self.place, &keys).await;
            let mut gone: HashMap<&RuleName, Vec<ObjectKey>> = HashMap::new();
            for (rule, key) in some {
                if matches!(answers.get(key), Some(Ok(Resolved::Gone | Resolved::NotAFile))) {
                    gone.entry(rule).or_default().push(key.clone());
                }
            }
            for (rule, keys) in gone {
                self.counts.gone += keys.len() as u64;
                self.mill.store.mark_gone(rule, self.bucket, &keys, Some(now)).await?;
            }
            let unheard = answers.into_values().find_map(|answer| {
                answer
                    .err()
                    .filter(|error| matches!(error, BucketError::Transient { .. }))
            });
            if let Some(error) = unheard {
                return Err(error.into());
            }
        }
        Ok(())
    }
}

/// Keys between which everything below a directory lies: just before its first, just after its last.
fn edges(range: &Directory) -> (Option<ObjectKey>, Option<ObjectKey>) {
    let Some(name) = range.as_str().strip_suffix('/') else {
        return (None, None);
    };
    // '0' follows '/'.
    (
        ObjectKey::new(name.as_bytes()).ok(),
        ObjectKey::new(format!("{name}0").into_bytes()).ok(),
    )
}

#[cfg(test)]
mod tests;
