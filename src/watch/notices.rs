//! What the notify crate tells, turned into hints at once or handed to the walker.
//!
//! Runs on the thread that empties the kernel's queue, so it never waits: no system call, no full channel. What only
//! says that a file is being written or read is dropped here.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;

use notify::event::{AccessKind, AccessMode, CreateKind, EventKind, ModifyKind, RenameMode};

use super::{PlaceOf, Sink, Wanted};
use crate::object::{ObjectKey, is_hidden};

/// Directories that may wait for the walker; more than that, and everything is walked.
const MOST_WAITING: usize = 50_000;

/// What the walker is to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Follow these from now on.
    Follow(Wanted),
    /// Something may be a new directory: a prefix with its closing `/`.
    Arrived(Vec<u8>),
    /// What had this prefix is elsewhere now.
    Left(Vec<u8>),
    /// End.
    Stop,
}

/// What a session, its walker and the thread of the kernel's queue share.
pub(super) struct Shared {
    /// Without symbolic links.
    pub(super) root: PathBuf,
    pub(super) sink: Arc<dyn Sink>,
    wanted: RwLock<Arc<Wanted>>,
    orders: Mutex<VecDeque<Order>>,
    ordered: Condvar,
    lost: tokio::sync::watch::Sender<Option<String>>,
}

impl Shared {
    pub(super) fn new(root: PathBuf, sink: Arc<dyn Sink>) -> Self {
        Self {
            root,
            sink,
            wanted: RwLock::default(),
            orders: Mutex::default(),
            ordered: Condvar::new(),
            lost: tokio::sync::watch::Sender::new(None),
        }
    }

    pub(super) fn wanted(&self) -> Arc<Wanted> {
        self.wanted.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn follow(&self, wanted: Wanted) {
        *self.wanted.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(wanted);
    }

    fn orders(&self) -> MutexGuard<'_, VecDeque<Order>> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn order(&self, order: Order) {
        let mut orders = self.orders();
        match order {
            Order::Stop => orders.push_front(Order::Stop),
            order if orders.len() < MOST_WAITING => orders.push_back(order),
            _ => {
                drop(orders);
                self.lose("more directories came at once than can be followed");
                return;
            }
        }
        self.ordered.notify_one();
    }

    /// The next order, or none at `until`.
    pub(super) fn next(&self, until: Option<Instant>) -> Option<Order> {
        let mut orders = self.orders();
        loop {
            if let Some(order) = orders.pop_front() {
                return Some(order);
            }
            orders = match until {
                None => self.ordered.wait(orders).unwrap_or_else(PoisonError::into_inner),
                Some(until) => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return None;
                    }
                    self.ordered
                        .wait_timeout(orders, left)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.orders().front() == Some(&Order::Stop)
    }

    /// Something may have been missed: the session begins anew.
    pub(super) fn lose(&self, why: impl Into<String>) {
        let why = why.into();
        self.lost.send_if_modified(|known| {
            let first = known.is_none();
            known.get_or_insert(why);
            first
        });
    }

    pub(super) fn lost(&self) -> tokio::sync::watch::Receiver<Option<String>> {
        self.lost.subscribe()
    }

    /// The prefix of a directory beneath the root; none outside of it.
    pub(super) fn prefix(&self, path: &Path) -> Option<Vec<u8>> {
        let mut prefix = self.below(path)?.to_vec();
        if !prefix.is_empty() {
            prefix.push(b'/');
        }
        Some(prefix)
    }

    /// The absolute path of a prefix.
    pub(super) fn path(&self, prefix: &[u8]) -> PathBuf {
        match prefix.strip_suffix(b"/").unwrap_or(prefix) {
            b"" => self.root.clone(),
            below => self.root.join(OsStr::from_bytes(below)),
        }
    }

    fn below<'a>(&self, path: &'a Path) -> Option<&'a [u8]> {
        Some(path.strip_prefix(&self.root).ok()?.as_os_str().as_bytes())
    }

    fn candidate(&self, path: &Path) {
        let Some(key) = self.below(path).and_then(|b| ObjectKey::new(b).ok()) else {
            return;
        };
        if self.wanted().contains(&key) {
            self.sink.hint(key, Some(jiff::Timestamp::now()), "inotify");
        }
    }

    fn directory(&self, path: &Path) {
        let Some(prefix) = self.prefix(path) else {
            return;
        };
        let hidden = prefix.split(|b| *b == b'/').any(is_hidden);
        if !hidden && self.wanted().place_of(&prefix) != PlaceOf::Elsewhere {
            self.order(Order::Arrived(prefix));
        }
    }

    fn left(&self, path: &Path) {
        match self.prefix(path) {
            Some(prefix) if prefix.is_empty() => {
                self.lose(format!("{} was moved or removed", path.display()));
            }
            Some(prefix) => self.order(Order::Left(prefix)),
            None => {}
        }
    }

    /// What one event means.
    pub(super) fn take(&self, event: &notify::Event) {
        if event.need_rescan() {
            self.lose("more changes came at once than the kernel's queue holds");
            return;
        }
        let Some(path) = event.paths.first() else {
            return;
        };
        match event.kind {
            EventKind::Create(CreateKind::Folder) => self.directory(path),
            // A hard link is made whole; any other new file is busy until it is closed.
            EventKind::Create(_) | EventKind::Access(AccessKind::Close(AccessMode::Write)) => {
                self.candidate(path);
            }
            // Whether a file or a directory was moved in is not said.
            EventKind::Modify(ModifyKind::Name(RenameMode::To)) => {
                self.candidate(path);
                self.directory(path);
            }
            EventKind::Modify(ModifyKind::Name(RenameMode::From)) | EventKind::Remove(_) => {
                self.left(path);
            }
            _ => {}
        }
    }
}

/// Takes events from the notify crate.
pub(super) struct Notices(pub(super) Arc<Shared>);

impl notify::EventHandler for Notices {
    fn handle_event(&mut self, event: notify::Result<notify::Event>) {
        match event {
            Ok(event) => self.0.take(&event),
            Err(error) => self.0.lose(format!("watching failed: {error}")),
        }
    }
}
