//! Room on the disks that results go to: what is free, and what the runs under way will still write.
//!
//! What is free is asked of the system through a function, so that tests can say what they like.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::publishing::blocking;
use crate::plan::{Shortage, admit};

/// A file system and what is free on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Volume {
    /// Tells it from others.
    pub id: u64,
    /// Bytes that this program may still write.
    pub free: u64,
}

type Measure = dyn Fn(&Path) -> io::Result<Volume> + Send + Sync;

/// Admits runs while there is room for them.
#[derive(Clone)]
pub struct Room {
    measure: Option<Arc<Measure>>,
    reserve: u64,
    promises: Arc<Mutex<Promises>>,
    /// Held while one run is admitted, so that two cannot have the same room.
    admitting: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug, Default)]
struct Promises {
    next: u64,
    given: HashMap<u64, Promise>,
}

#[derive(Debug, Clone)]
struct Promise {
    volume: u64,
    scratch: PathBuf,
    need: u64,
    published: u64,
}

/// Room that a run has; it goes back when this is dropped.
#[derive(Debug)]
pub struct Ticket {
    promises: Arc<Mutex<Promises>>,
    number: u64,
}

impl Room {
    /// Room as the system tells it, of which so many bytes stay free.
    #[must_use]
    pub fn new(reserve: u64) -> Self {
        Self::measured_by(reserve, system)
    }

    /// Room as this function tells it.
    pub fn measured_by(reserve: u64, measure: impl Fn(&Path) -> io::Result<Volume> + Send + Sync + 'static) -> Self {
        Self {
            measure: Some(Arc::new(measure)),
            ..Self::boundless()
        }
        .keeping(reserve)
    }

    /// Admits everything.
    #[must_use]
    pub fn boundless() -> Self {
        Self {
            measure: None,
            reserve: 0,
            promises: Arc::default(),
            admitting: Arc::default(),
        }
    }

    fn keeping(self, reserve: u64) -> Self {
        Self { reserve, ..self }
    }

    /// Whether a run that needs so much may begin, as things are now. Promises nothing.
    ///
    /// # Errors
    /// Where there is no room. What cannot be measured counts as boundless: writing will tell.
    pub async fn look(&self, place: &Path, need: u64) -> Result<(), Shortage> {
        self.measure_and_admit(place, need).await.map(|_| ())
    }

    /// Keeps room for a run that will write so much into this scratch directory.
    ///
    /// # Errors
    /// As for [`Self::look`].
    pub async fn take(&self, scratch: &Path, need: u64) -> Result<Ticket, Shortage> {
        let _one_by_one = self.admitting.lock().await;
        let volume = self.measure_and_admit(scratch, need).await?;
        let mut promises = self.promises.lock().unwrap_or_else(PoisonError::into_inner);
        promises.next += 1;
        let number = promises.next;
        if let Some(volume) = volume {
            let promise = Promise {
                volume: volume.id,
                scratch: scratch.to_owned(),
                need,
                published: 0,
            };
            promises.given.insert(number, promise);
        }
        Ok(Ticket {
            promises: self.promises.clone(),
            number,
        })
    }

    /// Bytes that may be written here before what is to stay free is touched.
    pub async fn left(&self, place: &Path) -> u64 {
        let Some(measure) = self.measure.clone() else {
            return u64::MAX;
        };
        let place = place.to_owned();
        let reserve = self.reserve;
        blocking(move || measure(&place).map_or(u64::MAX, |volume| volume.free.saturating_sub(reserve))).await
    }

    async fn measure_and_admit(&self, place: &Path, need: u64) -> Result<Option<Volume>, Shortage> {
        let Some(measure) = self.measure.clone() else {
            return Ok(None);
        };
        let given: Vec<Promise> = {
            let promises = self.promises.lock().unwrap_or_else(PoisonError::into_inner);
            promises.given.values().cloned().collect()
        };
        let place = place.to_owned();
        let reserve = self.reserve;
        blocking(move || {
            let Ok(volume) = measure(&place) else {
                return Ok(None);
            };
            let promised = given
                .iter()
                .filter(|promise| promise.volume == volume.id)
                .map(|promise| {
                    let written = written(&promise.scratch).saturating_add(promise.published);
                    promise.need.saturating_sub(written)
                })
                .fold(0, u64::saturating_add);
            admit(need, volume.free, reserve, promised).map(|()| Some(volume))
        })
        .await
    }
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room")
            .field("reserve", &self.reserve)
            .finish_non_exhaustive()
    }
}

impl Ticket {
    /// Files of this size have left scratch for their final names: they are on the disk, and will not be written again.
    pub fn published(&self, bytes: u64) {
        let mut promises = self.promises.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(promise) = promises.given.get_mut(&self.number) {
            promise.published = promise.published.saturating_add(bytes);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut promises = self.promises.lock().unwrap_or_else(PoisonError::into_inner);
        promises.given.remove(&self.number);
    }
}

/// What the system says of the file system that a path lies on.
fn system(path: &Path) -> io::Result<Volume> {
    // Scratch may not be made yet: its file system is that of whatever is there above it.
    let there = path.ancestors().find(|path| path.exists()).unwrap_or(path);
    let about = rustix::fs::statvfs(there)?;
    Ok(Volume {
        id: there.metadata()?.dev(),
        free: about.f_bavail.saturating_mul(about.f_frsize),
    })
}

/// What files in a scratch directory take on the disk.
fn written(scratch: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(scratch) else {
        return 0;
    };
    entries
        .flatten()
        .filter_map(|entry| entry.metadata().ok())
        // What has another name was there before, and is nothing that a run writes.
        .filter(|about| about.is_file() && about.nlink() == 1)
        .map(|metadata| metadata.blocks().saturating_mul(512))
        .sum()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    fn room(free: &Arc<AtomicU64>) -> Room {
        let free = free.clone();
        Room::measured_by(100, move |path| {
            Ok(Volume {
                id: u64::from(path.starts_with("/other")),
                free: free.load(Ordering::SeqCst),
            })
        })
    }

    #[tokio::test]
    async fn runs_under_way_keep_their_room_until_they_end() {
        let free = Arc::new(AtomicU64::new(1000));
        let room = room(&free);
        let first = room.take(Path::new("/a/1"), 600).await.unwrap();
        let shortage = room.take(Path::new("/a/2"), 400).await.unwrap_err();
        assert_eq!(
            shortage,
            Shortage {
                need: 400,
                free: 1000,
                reserve: 100,
                promised: 600
            }
        );
        let smaller = room.take(Path::new("/a/2"), 300).await.unwrap();
        let elsewhere = room.take(Path::new("/other/1"), 900).await.unwrap();
        drop(first);
        room.take(Path::new("/a/3"), 600).await.unwrap();
        drop((smaller, elsewhere));
    }

    #[tokio::test]
    async fn what_is_written_already_is_not_promised_twice() {
        let folder = tempfile::tempdir().unwrap();
        let free = Arc::new(AtomicU64::new(2_000_000));
        let room = room(&free);
        let ticket = room.take(folder.path(), 1_500_000).await.unwrap();
        std::fs::write(folder.path().join("half"), vec![1; 800_000]).unwrap();
        free.fetch_sub(800_000, Ordering::SeqCst);
        // Of 1,200,000 that are free, about 700,000 are promised.
        assert!(room.look(folder.path(), 450_000).await.is_ok());
        assert!(room.look(folder.path(), 550_000).await.is_err());
        ticket.published(700_000);
        assert!(room.look(folder.path(), 1_100_000).await.is_ok());
    }

    #[tokio::test]
    async fn room_that_becomes_free_is_seen() {
        let free = Arc::new(AtomicU64::new(150));
        let room = room(&free);
        assert!(room.look(Path::new("/a"), 100).await.is_err());
        free.store(200, Ordering::SeqCst);
        assert!(room.look(Path::new("/a"), 100).await.is_ok());
        free.store(50, Ordering::SeqCst);
        assert!(
            room.look(Path::new("/a"), 0).await.is_err(),
            "less than the reserve is free"
        );
    }

    #[test]
    fn the_system_says_what_is_free_also_for_what_is_not_made_yet() {
        let folder = tempfile::tempdir().unwrap();
        let volume = system(&folder.path().join("not/yet")).unwrap();
        assert!(volume.free > 0);
        assert_eq!(volume.id, system(folder.path()).unwrap().id);
    }
}
