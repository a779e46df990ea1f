//! The box in which hints wait for intake: one line a key, however often it is named.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use tokio::sync::Notify;

use crate::object::{BucketName, ObjectKey};

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

/// Hints that wait.
#[derive(Debug, Default)]
pub struct HintBox {
    waiting: Mutex<HashMap<(BucketName, ObjectKey), Waiting>>,
    arrived: Notify,
}

#[derive(Debug)]
struct Waiting {
    event: Option<Timestamp>,
    source: &'static str,
}

impl HintBox {
    /// Puts a hint in. Of two hints for one key the one with the later event time stays.
    pub fn put(&self, hint: Hint) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = waiting.entry((hint.bucket, hint.key)).or_insert(Waiting {
            event: hint.event,
            source: hint.source,
        });
        if hint.event > slot.event {
            slot.event = hint.event;
            slot.source = hint.source;
        }
        drop(waiting);
        self.arrived.notify_one();
    }

    /// Takes out up to `most` hints, in no order.
    pub fn take(&self, most: usize) -> Vec<Hint> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let keys: Vec<_> = waiting.keys().take(most).cloned().collect();
        let taken = keys
            .into_iter()
            .filter_map(|at| {
                let found = waiting.remove(&at)?;
                Some(Hint {
                    bucket: at.0,
                    key: at.1,
                    event: found.event,
                    source: found.source,
                })
            })
            .collect();
        if waiting.is_empty() {
            waiting.shrink_to(1024);
        }
        taken
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns once a hint may have been put in.
    pub async fn arrived(&self) {
        self.arrived.notified().await;
    }
}
