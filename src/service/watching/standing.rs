//! How each source of each bucket over a network stands, for `status` and later for metrics.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};

use crate::object::BucketName;

/// How the sources stand.
#[derive(Debug, Default)]
pub struct Standing {
    sources: Mutex<BTreeMap<(BucketName, &'static str), SourceStanding>>,
    listings: Mutex<BTreeMap<BucketName, Listing>>,
}

/// One source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SourceStanding {
    /// Since when it has a connection; none: it has none.
    pub connected: Option<Timestamp>,
    /// When it last told of an object.
    pub last_event: Option<Timestamp>,
    /// Of how many objects it told since the daemon started.
    pub events: u64,
    /// How long after the object came it told so, the last time that a message said when it came.
    pub lag: Option<SignedDuration>,
    /// Messages that could not be understood since the daemon started.
    pub strange: u64,
}

/// The listings of one bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Listing {
    /// When everything that rules want was last listed to its end.
    pub last_full: Option<Timestamp>,
    /// How many objects were seen then.
    pub objects: u64,
    /// The one that is under way: since when, and how many objects it has seen.
    pub under_way: Option<(Timestamp, u64)>,
}

impl Standing {
    fn sources(&self) -> MutexGuard<'_, BTreeMap<(BucketName, &'static str), SourceStanding>> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is known of a source.
    pub fn source(&self, bucket: &BucketName, source: &'static str, change: impl FnOnce(&mut SourceStanding)) {
        change(self.sources().entry((bucket.clone(), source)).or_default());
    }

    /// A source told of so many objects, of which the last came at this time.
    pub fn told(
        &self,
        bucket: &BucketName,
        source: &'static str,
        count: u64,
        event: Option<Timestamp>,
        now: Timestamp,
    ) {
        self.source(bucket, source, |standing| {
            standing.events += count;
            standing.last_event = Some(now);
            standing.lag = event.map(|event| now.duration_since(event)).or(standing.lag);
        });
    }

    /// Changes what is known of a bucket's listings.
    pub fn listing(&self, bucket: &BucketName, change: impl FnOnce(&mut Listing)) {
        let mut listings = self.listings.lock().unwrap_or_else(PoisonError::into_inner);
        change(listings.entry(bucket.clone()).or_default());
    }

    /// All sources of a bucket, by name.
    pub fn of(&self, bucket: &BucketName) -> Vec<(&'static str, SourceStanding)> {
        let sources = self.sources();
        let own = sources.iter().filter(|((of, _), _)| of == bucket);
        own.map(|((_, name), standing)| (*name, *standing)).collect()
    }

    /// The listings of a bucket.
    pub fn listing_of(&self, bucket: &BucketName) -> Listing {
        let listings = self.listings.lock().unwrap_or_else(PoisonError::into_inner);
        listings.get(bucket).copied().unwrap_or_default()
    }
}
