//! A sink for tests, which remembers what it is told and can be made to fail.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use super::{NotKept, Notice, Sink};
use crate::object::{Directory, ObjectKey};

/// What was heard.
#[derive(Default)]
pub struct Heard {
    /// Keys of hints, in order.
    pub hints: Vec<String>,
    /// Every call of `keep` that went well: the keys.
    pub kept: Vec<Vec<String>>,
    /// Bodies and why they were not understood.
    pub quarantined: Vec<(Vec<u8>, String)>,
    /// Directories to be listed.
    pub missed: Vec<Directory>,
    /// Health, in order.
    pub health: Vec<(bool, String)>,
    /// The book that is watched.
    pub book: u64,
    /// Every change of the connection.
    pub connected: Vec<bool>,
    /// So many calls of `keep` and `quarantine` fail from now on.
    pub failures: u32,
    /// How long `keep` takes.
    pub slow: Duration,
}

impl Heard {
    /// Every key that was kept.
    pub fn keys(&self) -> BTreeSet<String> {
        self.kept.iter().flatten().cloned().collect()
    }
}

/// The sink.
#[derive(Clone, Default)]
pub struct Ears(Arc<Mutex<Heard>>);

impl Ears {
    /// Looks at what was heard.
    pub fn with<T>(&self, look: impl FnOnce(&mut Heard) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until something holds.
    pub async fn until(&self, what: &str, holds: impl Fn(&mut Heard) -> bool) {
        let deadline = std::time::Instant::now() + Duration::from_mins(1);
        while !self.with(&holds) {
            let health = self.with(|heard| heard.health.clone());
            assert!(std::time::Instant::now() < deadline, "never: {what}; {health:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn fails(&self) -> Result<(), NotKept> {
        self.with(|heard| {
            if heard.failures == 0 {
                return Ok(());
            }
            heard.failures -= 1;
            Err(NotKept("the disk is full".to_owned()))
        })
    }
}

fn text(key: &ObjectKey) -> String {
    String::from_utf8_lossy(key.as_bytes()).into_owned()
}

#[async_trait]
impl Sink for Ears {
    fn hint(&self, key: ObjectKey, _: Option<Timestamp>, _: &'static str) {
        self.with(|heard| heard.hints.push(text(&key)));
    }
    async fn keep(&self, notices: Vec<Notice>, _: &'static str) -> Result<(), NotKept> {
        let slow = self.with(|heard| heard.slow);
        if !slow.is_zero() {
            tokio::time::sleep(slow).await;
        }
        self.fails()?;
        let keys = notices.iter().map(|notice| text(&notice.key)).collect();
        self.with(|heard| heard.kept.push(keys));
        Ok(())
    }
    async fn quarantine(&self, body: &[u8], reason: &str, _: &'static str) -> Result<(), NotKept> {
        self.fails()?;
        self.with(|heard| heard.quarantined.push((body.to_vec(), reason.to_owned())));
        Ok(())
    }
    fn missed(&self, directory: Directory) {
        self.with(|heard| heard.missed.push(directory));
    }
    fn health(&self, ok: bool, message: String) {
        self.with(|heard| heard.health.push((ok, message)));
    }
    fn watching(&self, book: u64) {
        self.with(|heard| heard.book = book);
    }
    fn connected(&self, connected: bool) {
        self.with(|heard| heard.connected.push(connected));
    }
}
