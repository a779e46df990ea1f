//! The box in which hints wait for intake: one line a key, however often it is named.
//!
//! A line stays until intake is done with it: it is ready, or taken, or put back for later (a file that is busy). A
//! hint for a key that was put back makes it ready at once; one for a key that is taken makes it ready again
//! afterwards. The box is bounded: what does not fit is dropped, and a listing is asked for, which finds it.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::object::{BucketName, Directory, Identity, ObjectKey};

/// Lines that a bucket may have.
pub const MOST_WAITING: usize = 100_000;

/// Somebody's word that an object may be new; may be late, doubled, wrong or missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// Where.
    pub bucket: BucketName,
    /// Which key.
    pub key: ObjectKey,
    /// When it happened, where the source knows: an event. None: merely seen to be there (a listing).
    pub event: Option<Timestamp>,
    /// Which source said so: `inotify`, `list`, `api` ...
    pub source: &'static str,
}

/// Hints that wait, and listings that are asked for.
#[derive(Debug, Default)]
pub struct HintBox {
    buckets: Mutex<HashMap<BucketName, Arc<BucketHints>>>,
}

impl HintBox {
    /// Puts a hint in. Of two hints for one key the one with the later event time stays.
    pub fn put(&self, hint: Hint) {
        self.of(&hint.bucket).put(hint.key, hint.event, hint.source);
    }

    /// The hints of one bucket.
    pub fn of(&self, bucket: &BucketName) -> Arc<BucketHints> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = buckets.get(bucket) {
            return found.clone();
        }
        buckets.entry(bucket.clone()).or_default().clone()
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        let buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.values().map(|bucket| bucket.len()).sum()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The hints of one bucket.
#[derive(Debug, Default)]
pub struct BucketHints {
    lines: Mutex<Lines>,
    arrived: Notify,
    listings: Mutex<Vec<Directory>>,
    listing_asked: Notify,
    watched: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Lines {
    of: HashMap<ObjectKey, Line>,
    ready: VecDeque<ObjectKey>,
    later: BTreeSet<(Instant, ObjectKey)>,
    /// How many lines were ever made ready ...
    queued: u64,
    /// ... and how many of those intake has looked at since.
    looked_at: u64,
}

#[derive(Debug)]
struct Line {
    event: Option<Timestamp>,
    source: &'static str,
    place: Place,
    patience: Patience,
    listed: Option<Identity>,
    /// Numbers under which the store keeps this hint ...
    kept: Vec<i64>,
    /// ... of which so many were there when it was taken.
    taken: usize,
}

#[derive(Debug)]
enum Place {
    Ready,
    Later(Instant),
    Taken { again: bool },
}

/// What intake remembers of a key from one look to the next.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Patience {
    /// Looks so far.
    pub looks: u32,
    /// What was seen where completeness cannot be asked for: identity, fingerprint, since when.
    pub settling: Option<(Identity, u64, Instant)>,
}

/// A hint that intake works on; it says when it is done, or puts it back.
#[derive(Debug, Clone)]
pub struct TakenHint {
    /// Which key.
    pub key: ObjectKey,
    /// When it happened.
    pub event: Option<Timestamp>,
    /// Which source said so.
    pub source: &'static str,
    /// What was remembered.
    pub patience: Patience,
    /// What a listing said of the key.
    pub listed: Option<Identity>,
    /// Numbers under which the store keeps this hint: to be forgotten once it is decided.
    pub kept: Vec<i64>,
}

/// What is told along with a hint.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// When it happened.
    pub event: Option<Timestamp>,
    /// What a listing says of the key.
    pub listed: Option<Identity>,
    /// The number under which the store keeps the hint.
    pub kept: Option<i64>,
}

impl Lines {
    fn make_ready(&mut self, key: ObjectKey) {
        self.queued += 1;
        self.ready.push_back(key);
    }
}

impl BucketHints {
    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a hint in.
    pub fn put(&self, key: ObjectKey, event: Option<Timestamp>, source: &'static str) {
        let told = Told {
            event,
            ..Told::default()
        };
        self.put_told(key, told, source);
    }

    /// Puts a hint in, with all that is known of it; false where there was no room for it, and a listing is asked for
    /// instead.
    pub fn put_told(&self, key: ObjectKey, told: Told, source: &'static str) -> bool {
        let mut lines = self.lines();
        let lines = &mut *lines;
        if let Some(line) = lines.of.get_mut(&key) {
            if told.event > line.event {
                line.event = told.event;
                line.source = source;
            }
            line.listed = told.listed.or(line.listed.take());
            line.kept.extend(told.kept.filter(|number| !line.kept.contains(number)));
            match &mut line.place {
                Place::Ready => {}
                Place::Taken { again } => *again = true,
                Place::Later(due) => {
                    lines.later.remove(&(*due, key.clone()));
                    line.place = Place::Ready;
                    line.patience.looks = 0;
                    lines.make_ready(key);
                }
            }
        } else if lines.of.len() >= MOST_WAITING {
            self.ask_for_listing(Directory::default());
            return false;
        } else {
            lines.of.insert(
                key.clone(),
                Line {
                    event: told.event,
                    source,
                    place: Place::Ready,
                    patience: Patience::default(),
                    listed: told.listed,
                    kept: told.kept.into_iter().collect(),
                    taken: 0,
                },
            );
            lines.make_ready(key);
        }
        self.arrived.notify_one();
        true
    }

    /// Takes out up to `most` hints that are ready at `now`, oldest first. Each must be ended by [`Self::done`] or
    /// [`Self::put_back`].
    pub fn take(&self, most: usize, now: Instant) -> Vec<TakenHint> {
        let mut lines = self.lines();
        let lines = &mut *lines;
        while lines.later.first().is_some_and(|(due, _)| *due <= now) {
            if let Some((_, key)) = lines.later.pop_first() {
                if let Some(line) = lines.of.get_mut(&key) {
                    line.place = Place::Ready;
                }
                lines.make_ready(key);
            }
        }
        let mut taken = Vec::new();
        while taken.len() < most {
            let Some(key) = lines.ready.pop_front() else {
                break;
            };
            if let Some(line) = lines.of.get_mut(&key) {
                line.place = Place::Taken { again: false };
                line.taken = line.kept.len();
                taken.push(TakenHint {
                    key,
                    event: line.event,
                    source: line.source,
                    patience: line.patience.clone(),
                    listed: line.listed.clone(),
                    kept: line.kept.clone(),
                });
            }
        }
        taken
    }

    /// Nothing more is to be done for these keys, unless they were named again meanwhile.
    pub fn done<'a>(&self, keys: impl IntoIterator<Item = &'a ObjectKey>) {
        let mut lines = self.lines();
        for key in keys {
            lines.looked_at += 1;
            if let Some(line) = lines.of.get_mut(key) {
                if matches!(line.place, Place::Taken { again: true }) {
                    line.place = Place::Ready;
                    line.patience = Patience::default();
                    line.kept.drain(..line.taken);
                    lines.make_ready(key.clone());
                } else {
                    lines.of.remove(key);
                }
            }
        }
        if lines.of.is_empty() {
            lines.of.shrink_to(1024);
            lines.ready.shrink_to(1024);
        }
        drop(lines);
        self.arrived.notify_one();
    }

    /// Looks at this key again at `due`, or at once where it was named again meanwhile.
    pub fn put_back(&self, key: &ObjectKey, patience: Patience, due: Instant) {
        let mut lines = self.lines();
        lines.looked_at += 1;
        let Some(line) = lines.of.get_mut(key) else {
            return;
        };
        line.patience = patience;
        if matches!(line.place, Place::Taken { again: true }) {
            line.patience.looks = 0;
            line.place = Place::Ready;
            lines.make_ready(key.clone());
        } else {
            line.place = Place::Later(due);
            lines.later.insert((due, key.clone()));
        }
        drop(lines);
        self.arrived.notify_one();
    }

    /// Returns once [`Self::take`] would give something.
    pub async fn ready(&self) {
        loop {
            let due = {
                let lines = self.lines();
                if !lines.ready.is_empty() {
                    return;
                }
                lines.later.first().map(|(due, _)| *due)
            };
            match due {
                Some(due) => {
                    if tokio::time::timeout_at(due, self.arrived.notified()).await.is_err() {
                        return;
                    }
                }
                None => self.arrived.notified().await,
            }
        }
    }

    /// How many wait, in whatever place.
    pub fn len(&self) -> usize {
        self.lines().of.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether an event later than `since` waits for this key.
    pub fn has_event(&self, key: &ObjectKey, since: Timestamp) -> bool {
        let lines = self.lines();
        lines
            .of
            .get(key)
            .is_some_and(|line| line.event.is_some_and(|event| event > since))
    }

    /// Returns once everything that was ready when this was called has been looked at.
    pub async fn all_looked_at(&self) {
        let queued = self.lines().queued;
        while self.lines().looked_at < queued {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Returns once there is room for a page of hints.
    pub async fn room(&self) {
        while self.lines().ready.len() > MOST_WAITING / 4 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Somebody wants this directory listed and compared with the ledger.
    pub fn ask_for_listing(&self, directory: Directory) {
        let mut listings = self.listings.lock().unwrap_or_else(PoisonError::into_inner);
        if !listings.contains(&directory) {
            listings.push(directory);
        }
        drop(listings);
        self.listing_asked.notify_one();
    }

    /// The directories that are to be listed; they are asked for no more.
    pub fn take_listings(&self) -> Vec<Directory> {
        std::mem::take(&mut *self.listings.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns once a listing may have been asked for.
    pub async fn listing_asked(&self) {
        self.listing_asked.notified().await;
    }

    /// The sources of this bucket watch what the rule book of this number wants.
    pub fn set_watched(&self, book: u64) {
        self.watched
            .send_if_modified(|known| std::mem::replace(known, book) != book);
    }

    /// Tells which rule book the sources follow; 0: none yet.
    pub fn watched(&self) -> watch::Receiver<u64> {
        self.watched.subscribe()
    }
}

#[cfg(test)]
mod tests;
