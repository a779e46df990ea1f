//! The thread that puts watches on directories and walks what arrives.
//!
//! A directory that is made or moved in may be filled before its watch is there, so it is watched, walked, and
//! walked again a moment later. A watch is put again each time: the kernel keeps one, and a watch that was lost while a
//! directory was renamed comes back.

use std::collections::{BTreeSet, VecDeque};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use notify::{ErrorKind, RecommendedWatcher, RecursiveMode, Watcher};
use rustix::fs::{AtFlags, Dir, FileType, OFlags, statat};
use rustix::io::Errno;

use super::notices::{Order, Shared};
use super::{PlaceOf, Wanted};
use crate::bucket::beneath::{open_beneath, open_root};
use crate::object::{MAX_KEY_LEN, ObjectKey, is_hidden};

/// How long after the first walk of a new directory it is walked again.
const AGAIN: Duration = Duration::from_millis(250);

/// How far the watches are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// The book whose directories are watched; 0: none yet.
    pub(super) book: u64,
    /// Directories watched.
    pub(super) directories: usize,
    /// Directories that could not be watched, and why for the first.
    pub(super) unwatched: usize,
    /// Why not.
    pub(super) why: Option<String>,
}

/// The thread's own things.
pub(super) struct Walker {
    shared: Arc<Shared>,
    watcher: RecommendedWatcher,
    standing: tokio::sync::watch::Sender<Standing>,
    known: BTreeSet<Vec<u8>>,
    again: VecDeque<(Instant, Vec<u8>)>,
    unwatched: BTreeSet<Vec<u8>>,
    why: Option<String>,
    full: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Walk {
    /// Watches only: a listing follows.
    Watch,
    /// The first of something new.
    First,
    /// A moment later.
    Second,
}

impl Walker {
    pub(super) fn new(
        shared: Arc<Shared>,
        watcher: RecommendedWatcher,
        standing: tokio::sync::watch::Sender<Standing>,
    ) -> Self {
        Self {
            shared,
            watcher,
            standing,
            known: BTreeSet::new(),
            again: VecDeque::new(),
            unwatched: BTreeSet::new(),
            why: None,
            full: false,
        }
    }

    /// Carries out orders until it is stopped.
    pub(super) fn run(mut self) {
        loop {
            let due = self.again.front().map(|(due, _)| *due);
            match self.shared.next(due) {
                Some(Order::Stop) => return,
                Some(Order::Follow(wanted)) => self.follow(wanted),
                Some(Order::Arrived(prefix)) => {
                    self.walk(prefix.clone(), Walk::First);
                    if self.known.contains(&prefix) {
                        self.again.push_back((Instant::now() + AGAIN, prefix));
                    }
                    self.report();
                }
                Some(Order::Left(prefix)) => self.forget(&prefix),
                None => {
                    while self.again.front().is_some_and(|(due, _)| *due <= Instant::now()) {
                        if let Some((_, prefix)) = self.again.pop_front() {
                            self.walk(prefix, Walk::Second);
                        }
                    }
                    self.report();
                }
            }
        }
    }

    fn follow(&mut self, wanted: Wanted) {
        let before = self.shared.wanted();
        let book = wanted.book;
        if before.directories != wanted.directories || before.book == 0 {
            self.shared.follow(wanted.clone());
            let unwanted: Vec<_> = self
                .known
                .iter()
                .filter(|prefix| wanted.place_of(prefix) == PlaceOf::Elsewhere)
                .cloned()
                .collect();
            for prefix in unwanted {
                let _ = self.watcher.unwatch(&self.shared.path(&prefix));
                self.known.remove(&prefix);
            }
            self.full = false;
            self.why = None;
            self.unwatched.clear();
            self.walk(Vec::new(), Walk::Watch);
        } else {
            self.shared.follow(wanted);
        }
        self.standing.send_modify(|standing| standing.book = book);
        self.report();
    }

    fn report(&self) {
        let (directories, unwatched) = (self.known.len(), self.unwatched.len());
        self.standing.send_if_modified(|standing| {
            let now = Standing {
                book: standing.book,
                directories,
                unwatched,
                why: self.why.clone(),
            };
            let worse = now.unwatched != standing.unwatched || now.why != standing.why;
            let first = now.directories != standing.directories;
            *standing = now;
            worse || first
        });
    }

    /// Forgets what lay below a prefix; the notify crate drops the watches.
    fn forget(&mut self, prefix: &[u8]) {
        let below = |prefixes: &BTreeSet<Vec<u8>>| -> Vec<Vec<u8>> {
            prefixes
                .range(prefix.to_vec()..)
                .take_while(|other| other.starts_with(prefix))
                .cloned()
                .collect()
        };
        for gone in below(&self.known) {
            self.known.remove(&gone);
        }
        for gone in below(&self.unwatched) {
            self.unwatched.remove(&gone);
        }
        if self.unwatched.is_empty() {
            self.why = None;
        }
        self.report();
    }

    /// Watches and walks a directory and everything of interest below it.
    fn walk(&mut self, top: Vec<u8>, walk: Walk) {
        let root = match open_root(&self.shared.root) {
            Ok(root) => root,
            Err(error) => {
                let root = self.shared.root.display();
                self.shared.lose(format!("{root} cannot be opened: {error}"));
                return;
            }
        };
        let wanted = self.shared.wanted();
        let mut open = vec![top];
        while let Some(prefix) = open.pop() {
            if self.shared.is_stopping() {
                return;
            }
            let place = wanted.place_of(&prefix);
            if place == PlaceOf::Elsewhere || prefix.len() > MAX_KEY_LEN {
                continue;
            }
            let path = prefix.strip_suffix(b"/").unwrap_or(&prefix);
            // A file or a symbolic link is not watched, and what vanished is of no interest.
            let directory = match open_beneath(&root, path, OFlags::RDONLY | OFlags::DIRECTORY) {
                Ok(directory) => directory,
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
                Err(error) => {
                    self.cannot_watch(prefix, &error.to_string());
                    continue;
                }
            };
            let is_new = self.watch(&prefix);
            if is_new && walk == Walk::Second {
                self.again.push_back((Instant::now() + AGAIN, prefix.clone()));
            }
            if let Err(error) = self.read(&directory, &prefix, place, walk, &mut open) {
                self.cannot_watch(prefix, &error.to_string());
            }
        }
    }

    /// Puts a watch on a directory; answers whether it was not known before.
    fn watch(&mut self, prefix: &[u8]) -> bool {
        let path = self.shared.path(prefix);
        if self.full && !self.known.contains(prefix) {
            self.unwatched.insert(prefix.to_vec());
            return false;
        }
        match self.watcher.watch(&path, RecursiveMode::NonRecursive) {
            Ok(()) => {
                self.unwatched.remove(prefix);
                self.known.insert(prefix.to_vec())
            }
            Err(error) => {
                self.known.remove(prefix);
                match error.kind {
                    ErrorKind::PathNotFound => {}
                    ErrorKind::MaxFilesWatch => {
                        self.full = true;
                        self.unwatched.insert(prefix.to_vec());
                        self.why = Some(limit_reached());
                    }
                    kind => {
                        let text = notify::Error::new(kind).to_string();
                        self.cannot_watch(prefix.to_vec(), &text);
                    }
                }
                false
            }
        }
    }

    fn cannot_watch(&mut self, prefix: Vec<u8>, error: &str) {
        if prefix.ends_with(b"lost+found/") {
            return;
        }
        let path = self.shared.path(&prefix);
        self.why
            .get_or_insert_with(|| format!("{} cannot be watched: {error}", path.display()));
        self.unwatched.insert(prefix);
    }

    fn read(
        &mut self,
        directory: &OwnedFd,
        prefix: &[u8],
        place: PlaceOf,
        walk: Walk,
        open: &mut Vec<Vec<u8>>,
    ) -> Result<(), Errno> {
        for entry in Dir::read_from(directory.as_fd())? {
            let entry = entry?;
            let name = entry.file_name();
            let kind = match entry.file_type() {
                FileType::Unknown => statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)
                    .map_or(FileType::Unknown, |stat| FileType::from_raw_mode(stat.st_mode)),
                known => known,
            };
            let mut full = [prefix, name.to_bytes()].concat();
            match kind {
                FileType::Directory if is_hidden(name.to_bytes()) => {}
                FileType::Directory => {
                    full.push(b'/');
                    open.push(full);
                }
                FileType::RegularFile if walk != Walk::Watch && place == PlaceOf::Inside => {
                    if let Ok(key) = ObjectKey::new(full) {
                        self.shared.sink.hint(key, Some(jiff::Timestamp::now()), "walk");
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// What to say when the kernel gives no more watches.
fn limit_reached() -> String {
    let limit = std::fs::read_to_string("/proc/sys/fs/inotify/max_user_watches")
        .ok()
        .and_then(|text| text.trim().parse::<u64>().ok());
    let (limit, more) = match limit {
        Some(limit) => (limit.to_string(), limit.saturating_mul(4).max(524_288)),
        None => ("unknown".to_owned(), 524_288),
    };
    format!(
        "the limit of inotify watches is reached (fs.inotify.max_user_watches is {limit}); raise it with \
         `sysctl -w fs.inotify.max_user_watches={more}`. Until then everything is polled"
    )
}
