//! How new objects are noticed: one file a source.
//!
//! Every source has the same shape: `run(sink, wanted, stop)`. It follows `wanted`, says what it notices to its
//! [`Sink`], mends itself with backoff for as long as it runs, and returns only when it is stopped. A source decides
//! nothing: what it says is a hint, and where it may have missed something it asks for a listing.

#[cfg(test)]
mod ears;
pub mod event;
pub mod listen;
pub mod local;
mod notices;
mod session;
pub mod sqs;
mod walker;
pub mod webhook;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::object::{Directory, ObjectKey};

/// What a source is to watch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The number of the rule book that wants it.
    pub book: u64,
    /// The directories, none of them within another.
    pub directories: Vec<Directory>,
}

impl Wanted {
    /// Of these directories, without those that lie within others.
    pub fn new(book: u64, directories: impl IntoIterator<Item = Directory>) -> Self {
        let mut all: Vec<Directory> = directories.into_iter().collect();
        all.sort_by(|one, other| one.as_str().cmp(other.as_str()));
        let mut outermost: Vec<Directory> = Vec::new();
        for directory in all {
            let within = outermost
                .iter()
                .any(|outer| directory.as_str().starts_with(outer.as_str()));
            if !within {
                outermost.push(directory);
            }
        }
        Self {
            book,
            directories: outermost,
        }
    }

    /// Whether an object under this key may be wanted.
    #[must_use]
    pub fn contains(&self, key: &ObjectKey) -> bool {
        self.directories.iter().any(|directory| directory.contains(key))
    }

    /// How a directory (a prefix with its closing `/`; empty for the root) lies to what is wanted.
    #[must_use]
    pub fn place_of(&self, prefix: &[u8]) -> PlaceOf {
        let wanted = || self.directories.iter().map(|d| d.as_str().as_bytes());
        if wanted().any(|directory| prefix.starts_with(directory)) {
            PlaceOf::Inside
        } else if wanted().any(|directory| directory.starts_with(prefix)) {
            PlaceOf::Above
        } else {
            PlaceOf::Elsewhere
        }
    }
}

/// How a directory lies to the wanted ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlaceOf {
    /// A wanted one, or below one.
    Inside,
    /// On the way to a wanted one.
    Above,
    /// Of no interest.
    Elsewhere,
}

/// Somebody's word about one object in a bucket over a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The bucket as its server calls it; none where the message does not say.
    pub bucket: Option<String>,
    /// Which key.
    pub key: ObjectKey,
    /// When it happened, where the message says.
    pub event: Option<Timestamp>,
}

/// What was told could not be made durable: whoever told it must tell it again.
#[derive(Debug, thiserror::Error)]
#[error("events cannot be written down: {0}")]
pub struct NotKept(pub String);

/// Whom a source tells what it notices. Nothing but [`Sink::keep`] and [`Sink::quarantine`] waits.
#[async_trait]
pub trait Sink: Send + Sync + 'static {
    /// An object may be new, by an event of this time.
    fn hint(&self, key: ObjectKey, event: Option<Timestamp>, source: &'static str);
    /// Makes notices durable and hands them to intake. Once this returns, whoever sent them may forget them. Notices of
    /// other buckets go to those; what no rule could want is dropped.
    ///
    /// # Errors
    /// Where they cannot be written down.
    async fn keep(&self, notices: Vec<Notice>, source: &'static str) -> Result<(), NotKept>;
    /// Keeps a message that cannot be understood, for people to look at, and counts it.
    ///
    /// # Errors
    /// Where it cannot be written down.
    async fn quarantine(&self, body: &[u8], reason: &str, source: &'static str) -> Result<(), NotKept>;
    /// Something may have been missed below this directory.
    fn missed(&self, directory: Directory);
    /// How the source stands, in words.
    fn health(&self, ok: bool, message: String);
    /// What this book wants is watched now, as far as it can be; 0: nothing is.
    fn watching(&self, book: u64);
    /// The source has a connection since now, or lost it.
    fn connected(&self, connected: bool);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_within_others_are_left_out() {
        let of = |texts: &[&str]| {
            Wanted::new(1, texts.iter().map(|text| Directory::new(text).unwrap()))
                .directories
                .iter()
                .map(|directory| directory.as_str().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(of(&["b", "a/b", "a", "ab"]), ["a/", "ab/", "b/"]);
        assert_eq!(of(&["b", "", "a"]), [""]);
        assert!(of(&[]).is_empty());
    }

    #[test]
    fn a_directory_lies_inside_above_or_elsewhere() {
        let wanted = Wanted::new(1, [Directory::new("a/b").unwrap()]);
        assert_eq!(wanted.place_of(b"a/b/"), PlaceOf::Inside);
        assert_eq!(wanted.place_of(b"a/b/c/"), PlaceOf::Inside);
        assert_eq!(wanted.place_of(b""), PlaceOf::Above);
        assert_eq!(wanted.place_of(b"a/"), PlaceOf::Above);
        assert_eq!(wanted.place_of(b"a/bc/"), PlaceOf::Elsewhere);
    }
}
