//! How the buckets stand, and who tells of their objects.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::config::BucketConfig;
use crate::object::BucketName;
use crate::service::mill::Mill;

/// A bucket of the config.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketView {
    /// Its name.
    pub name: String,
    /// Where it is: a directory, or a URL.
    pub location: String,
    /// Who tells of new objects in it; empty for a directory.
    #[serde(default)]
    pub sources: Vec<SourceView>,
    /// How it is listed.
    #[serde(default)]
    pub listing: ListingView,
    /// Messages about its objects that nobody understood and that are kept.
    #[serde(default)]
    pub quarantined: u64,
}

/// Who tells of new objects in a bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceView {
    /// `listen`, `sqs`, `webhook`.
    pub source: String,
    /// Since when it has a connection.
    pub connected: Option<Timestamp>,
    /// When it last told of an object.
    pub last_event: Option<Timestamp>,
    /// Of how many objects it told since the daemon started.
    pub events: u64,
    /// How long after an object came it told so, the last time that could be told, in milliseconds.
    pub lag_ms: Option<i64>,
    /// Messages that could not be understood since the daemon started.
    pub strange: u64,
}

/// How a bucket is listed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ListingView {
    /// When everything that rules want was last listed to its end.
    pub last_full: Option<Timestamp>,
    /// How many objects were seen then.
    pub objects: u64,
    /// Since when a listing is under way.
    pub since: Option<Timestamp>,
    /// How many objects that has seen so far.
    pub seen: Option<u64>,
}

/// What is known of a bucket of the config.
pub(super) fn view(
    mill: &Mill,
    name: &BucketName,
    config: &BucketConfig,
    quarantined: &[(BucketName, u64)],
) -> BucketView {
    let listing = mill.standing.listing_of(name);
    let sources = mill.standing.of(name).into_iter().map(|(source, standing)| SourceView {
        source: source.to_owned(),
        connected: standing.connected,
        last_event: standing.last_event,
        events: standing.events,
        lag_ms: standing
            .lag
            .map(|lag| i64::try_from(lag.as_millis()).unwrap_or(i64::MAX)),
        strange: standing.strange,
    });
    BucketView {
        name: name.to_string(),
        location: config.location(),
        sources: sources.collect(),
        listing: ListingView {
            last_full: listing.last_full,
            objects: listing.objects,
            since: listing.under_way.map(|(since, _)| since),
            seen: listing.under_way.map(|(_, seen)| seen),
        },
        quarantined: quarantined
            .iter()
            .find(|(bucket, _)| bucket == name)
            .map_or(0, |(_, count)| *count),
    }
}
