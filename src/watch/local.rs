//! Noticing files in a local directory.
//!
//! A session watches one state of the world: this root, these mounts, one kernel queue. Whatever may have made it miss
//! something (a full queue, an error, a mount that came or went, a root that vanished) ends the session, and the next
//! one watches anew and asks for a listing of everything. Mounts whose file system tells of nothing are listed every
//! `poll`.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{RecommendedWatcher, Watcher};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use super::notices::{Notices, Order, Shared};
use super::walker::{Standing, Walker};
use super::{PlaceOf, Sink, Wanted};
use crate::bucket::Bucket;
use crate::bucket::mounts::{Mount, mounts_of, sends_events};
use crate::object::Directory;

/// How often the root and its mounts are looked at.
const LOOK: Duration = Duration::from_secs(2);
/// The shortest and longest wait between sessions.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));
/// How long looking at the root may take.
const ANSWER: Duration = Duration::from_secs(20);
/// A session that lasted so long was a good one.
const GOOD: Duration = Duration::from_mins(1);
/// How often watches are tried again after the kernel's limit was reached.
const LIMIT_AGAIN: Duration = Duration::from_mins(5);

/// The source of a local bucket.
pub struct LocalSource {
    bucket: Arc<dyn Bucket>,
    path: PathBuf,
    poll: Duration,
}

/// Why a session ended.
enum Ended {
    Stopped,
    /// The bucket is not there, or not the right one.
    Offline(String),
    /// Something may have been missed.
    Lost(String),
    /// No events are to be had.
    NoEvents(String),
}

/// What must not change during a session.
#[derive(PartialEq, Eq)]
struct World {
    root: (u64, u64),
    mounts: Vec<Mount>,
}

/// Ends the walker's thread however the session ends.
struct EndOnDrop(Arc<Shared>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.order(Order::Stop);
    }
}

impl LocalSource {
    /// Watches `path`, the directory of `bucket`.
    pub fn new(bucket: Arc<dyn Bucket>, path: impl Into<PathBuf>, poll: Duration) -> Self {
        Self {
            bucket,
            path: path.into(),
            poll: poll.max(Duration::from_millis(100)),
        }
    }

    /// Watches until it is stopped.
    pub async fn run(self, sink: Arc<dyn Sink>, mut wanted: watch::Receiver<Wanted>, stop: CancellationToken) {
        let mut wait = BACKOFF.0;
        loop {
            let began = Instant::now();
            let session = stop.run_until_cancelled(self.session(&sink, &mut wanted, &stop));
            match session.await.unwrap_or(Ended::Stopped) {
                Ended::Stopped => return,
                Ended::Offline(why) => {
                    sink.health(false, why);
                    wait = BACKOFF.0;
                    sink.watching(0);
                }
                Ended::NoEvents(why) => {
                    sink.health(false, why);
                    wait = self.poll;
                }
                Ended::Lost(why) => {
                    sink.watching(0);
                    wait = match began.elapsed() {
                        lasted if lasted > GOOD => BACKOFF.0,
                        _ => (wait * 2).min(BACKOFF.1),
                    };
                    sink.health(false, format!("{why}; watching again and listing everything"));
                }
            }
            if stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                return;
            }
        }
    }

    async fn session(
        &self,
        sink: &Arc<dyn Sink>,
        wanted: &mut watch::Receiver<Wanted>,
        stop: &CancellationToken,
    ) -> Ended {
        if let Err(error) = self.bucket.check().await {
            return Ended::Offline(error.to_string());
        }
        let Some((root, world)) = self.world().await else {
            return Ended::Offline(format!("{} cannot be looked at", self.path.display()));
        };
        let shared = Arc::new(Shared::new(root.clone(), sink.clone()));
        let watcher = match RecommendedWatcher::new(
            Notices(shared.clone()),
            notify::Config::default().with_follow_symlinks(false),
        ) {
            Ok(watcher) => watcher,
            Err(error) => return Self::without_events(sink, &wanted.borrow_and_update(), &error),
        };
        let (told, standing) = watch::channel(Standing::default());
        let walker = Walker::new(shared.clone(), watcher, told);
        // A thread of its own: it lives as long as the session, and those that may wait are few.
        let thread = std::thread::Builder::new().name(format!("watch {}", self.bucket.name()));
        if let Err(error) = thread.spawn(move || walker.run()) {
            return Ended::Lost(format!("no thread for watching: {error}"));
        }
        let _end = EndOnDrop(shared.clone());
        self.follow(&shared, &world, standing, wanted, stop).await
    }

    /// The kernel gives no queue: all that can be done is to list, and to try again.
    fn without_events(sink: &Arc<dyn Sink>, wanted: &Wanted, error: &notify::Error) -> Ended {
        sink.watching(wanted.book);
        for directory in &wanted.directories {
            sink.missed(directory.clone());
        }
        Ended::NoEvents(format!(
            "inotify cannot be used: {error}; if too many programs use it, raise the limit with `sysctl -w \
             fs.inotify.max_user_instances=1024`. Until then everything is polled"
        ))
    }

    async fn follow(
        &self,
        shared: &Shared,
        world: &World,
        mut standing: watch::Receiver<Standing>,
        wanted: &mut watch::Receiver<Wanted>,
        stop: &CancellationToken,
    ) -> Ended {
        let sink = &shared.sink;
        let mut lost = shared.lost();
        let mut look = interval_at(Instant::now() + LOOK, LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut poll = interval_at(Instant::now() + self.poll, self.poll);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut current = wanted.borrow_and_update().clone();
        let mut watched = 0;
        let mut limit_again: Option<Instant> = None;
        shared.order(Order::Follow(current.clone()));
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ended::Stopped,
                changed = wanted.changed() => {
                    if changed.is_err() {
                        return Ended::Stopped;
                    }
                    current = wanted.borrow_and_update().clone();
                    shared.order(Order::Follow(current.clone()));
                }
                why = async { lost.wait_for(Option::is_some).await.ok().and_then(|why| why.clone()) } => {
                    return Ended::Lost(why.unwrap_or_default());
                }
                told = standing.changed() => {
                    if told.is_err() {
                        return Ended::Lost("the thread that watches broke off".to_owned());
                    }
                    let now = standing.borrow_and_update().clone();
                    let polled = polled(&shared.root, world, &current);
                    if now.book != watched {
                        watched = now.book;
                        sink.watching(watched);
                        for directory in &current.directories {
                            sink.missed(directory.clone());
                        }
                    }
                    if now.unwatched == 0 {
                        limit_again = None;
                    } else {
                        limit_again.get_or_insert_with(|| {
                            for directory in &current.directories {
                                sink.missed(directory.clone());
                            }
                            Instant::now() + LIMIT_AGAIN
                        });
                    }
                    sink.health(now.unwatched == 0, self.words(&now, &polled));
                }
                _ = poll.tick() => {
                    let polled = if limit_again.is_some() {
                        current.directories.clone()
                    } else {
                        polled(&shared.root, world, &current)
                    };
                    for directory in polled {
                        sink.missed(directory);
                    }
                }
                _ = look.tick() => {
                    if let Err(error) = self.bucket.check().await {
                        return Ended::Offline(error.to_string());
                    }
                    match self.world().await {
                        Some((root, now)) if root == shared.root && now == *world => {}
                        _ => return Ended::Lost("a file system was mounted or unmounted".to_owned()),
                    }
                    if limit_again.is_some_and(|due| due <= Instant::now()) {
                        return Ended::Lost("some directories are not watched".to_owned());
                    }
                }
            }
        }
    }

    /// The root without symbolic links, and what is mounted there.
    async fn world(&self) -> Option<(PathBuf, World)> {
        let path = self.path.clone();
        let look = tokio::task::spawn_blocking(move || {
            let root = path.canonicalize()?;
            let about = root.metadata()?;
            let mounts = mounts_of(&root)?;
            std::io::Result::Ok((
                root,
                World {
                    root: (about.dev(), about.ino()),
                    mounts,
                },
            ))
        });
        // One that hangs stays alone: the bucket is asked before, and says that it does not answer.
        tokio::time::timeout(ANSWER, look).await.ok()?.ok()?.ok()
    }

    fn words(&self, standing: &Standing, polled: &[Directory]) -> String {
        let watching = match standing.directories {
            0 => "no rule watches it".to_owned(),
            1 => "watching 1 directory".to_owned(),
            count => format!("watching {count} directories"),
        };
        let names: Vec<_> = polled
            .iter()
            .map(|directory| match directory.as_str() {
                "" => "everything",
                name => name,
            })
            .collect();
        let polling = (!names.is_empty()).then(|| {
            format!(
                "polling {} every {} s, because the file system sends no events",
                names.join(", "),
                self.poll.as_secs()
            )
        });
        let trouble = standing
            .why
            .as_ref()
            .map(|why| format!("{} not watched: {why}", standing.unwatched));
        let words = [Some(watching), polling, trouble];
        words.into_iter().flatten().collect::<Vec<_>>().join("; ")
    }
}

/// The wanted directories that lie on mounts whose changes are not told of.
fn polled(root: &Path, world: &World, wanted: &Wanted) -> Vec<Directory> {
    use std::os::unix::ffi::OsStrExt;
    let mut polled = Vec::new();
    for mount in world.mounts.iter().filter(|m| !sends_events(&m.file_system)) {
        let below = mount
            .path
            .strip_prefix(root)
            .map_or(&b""[..], |below| below.as_os_str().as_bytes());
        let mut prefix = below.to_vec();
        if !prefix.is_empty() {
            prefix.push(b'/');
        }
        match wanted.place_of(&prefix) {
            // A name that is not UTF-8: everything is listed instead.
            PlaceOf::Inside => polled.push(
                std::str::from_utf8(below)
                    .ok()
                    .and_then(|text| Directory::new(text).ok())
                    .unwrap_or_default(),
            ),
            PlaceOf::Above => polled.extend(
                wanted
                    .directories
                    .iter()
                    .filter(|directory| directory.as_str().as_bytes().starts_with(&prefix))
                    .cloned(),
            ),
            PlaceOf::Elsewhere => {}
        }
    }
    Wanted::new(0, polled).directories
}

#[cfg(test)]
mod tests;
