use std::collections::BTreeSet;
use std::fs;
use std::sync::{Mutex, PoisonError};

use super::*;
use crate::bucket::local::LocalBucket;
use crate::object::ObjectKey;
use crate::watch::{NotKept, Notice};

#[derive(Default)]
struct Heard {
    hints: BTreeSet<Vec<u8>>,
    missed: Vec<Directory>,
    health: Vec<(bool, String)>,
    book: u64,
}

#[derive(Clone, Default)]
struct Ear(Arc<Mutex<Heard>>);

impl Ear {
    fn with<T>(&self, look: impl FnOnce(&mut Heard) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait::async_trait]
impl Sink for Ear {
    fn hint(&self, key: ObjectKey, event: Option<jiff::Timestamp>, _source: &'static str) {
        assert!(event.is_some(), "what was not there before has a time");
        self.with(|heard| heard.hints.insert(key.as_bytes().to_vec()));
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
    async fn keep(&self, _: Vec<Notice>, _: &'static str) -> Result<(), NotKept> {
        unreachable!("a directory is walked again")
    }
    async fn quarantine(&self, _: &[u8], _: &str, _: &'static str) -> Result<(), NotKept> {
        unreachable!("a directory sends no messages")
    }
    fn connected(&self, _: bool) {}
}

struct Watched {
    folder: tempfile::TempDir,
    root: PathBuf,
    ear: Ear,
    wanted: watch::Sender<Wanted>,
    stop: CancellationToken,
    loops: tokio::task::JoinSet<()>,
}

impl Watched {
    async fn new(directory: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        fs::create_dir(&root).unwrap();
        let bucket = LocalBucket::new("inbox".parse().unwrap(), &root, &folder.path().join("state"));
        let source = LocalSource::new(Arc::new(bucket), &root, Duration::from_hours(1));
        let (wanted, follow) = watch::channel(Wanted::new(1, [Directory::new(directory).unwrap()]));
        let (ear, stop) = (Ear::default(), CancellationToken::new());
        let mut loops = tokio::task::JoinSet::new();
        loops.spawn(source.run(Arc::new(ear.clone()), follow, stop.clone()));
        let watched = Self {
            folder,
            root,
            ear,
            wanted,
            stop,
            loops,
        };
        watched.until("it watches", |heard| heard.book == 1).await;
        watched
    }

    async fn until(&self, what: &str, holds: impl Fn(&mut Heard) -> bool) {
        let deadline = Instant::now() + Duration::from_mins(1);
        while !self.ear.with(&holds) {
            assert!(
                Instant::now() < deadline,
                "not within 10 s: {what}; {:?}",
                self.ear.with(|heard| heard.health.clone())
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn hears(&self, key: &[u8]) {
        let what = String::from_utf8_lossy(key).into_owned();
        self.until(&what, |heard| heard.hints.contains(key)).await;
    }

    async fn end(mut self) {
        self.stop.cancel();
        tokio::time::timeout(Duration::from_mins(1), self.loops.join_next())
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_file_written_at_once_into_new_directories_is_always_noticed() {
    let watched = Watched::new("in").await;
    let mut wanted = Vec::new();
    for n in 0..200 {
        let directory = format!("in/{n}/a/b/c");
        fs::create_dir_all(watched.root.join(&directory)).unwrap();
        for (below, name) in [("", "deep.mp4"), ("../..", "upper.mp4")] {
            fs::write(watched.root.join(&directory).join(below).join(name), "x").unwrap();
        }
        wanted.push(format!("in/{n}/a/b/c/deep.mp4").into_bytes());
        wanted.push(format!("in/{n}/a/upper.mp4").into_bytes());
    }
    watched
        .until("400 files", |heard| wanted.iter().all(|key| heard.hints.contains(key)))
        .await;
    watched.end().await;
}

#[tokio::test]
async fn a_tree_that_is_moved_in_is_walked_and_then_watched() {
    let watched = Watched::new("").await;
    let outside = watched.folder.path().join("outside");
    for n in 0..300 {
        let directory = outside.join(format!("{}/x", n % 30));
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join(format!("{n}.mp4")), "x").unwrap();
    }
    fs::rename(&outside, watched.root.join("tree")).unwrap();
    watched
        .until("300 files", |heard| {
            heard.hints.iter().filter(|key| key.ends_with(b".mp4")).count() == 300
        })
        .await;
    fs::rename(watched.root.join("tree"), watched.root.join("other")).unwrap();
    watched.hears(b"other/7/x/67.mp4").await;
    fs::write(watched.root.join("other/7/x/late.mp4"), "x").unwrap();
    watched.hears(b"other/7/x/late.mp4").await;
    watched.end().await;
}

#[tokio::test]
async fn links_renames_and_odd_names_are_noticed_and_hidden_directories_are_not() {
    use std::os::unix::ffi::OsStrExt;
    let watched = Watched::new("").await;
    let root = &watched.root;
    let outside = watched.folder.path().join("file");
    fs::write(&outside, "x").unwrap();
    fs::hard_link(&outside, root.join("linked.mp4")).unwrap();
    watched.hears(b"linked.mp4").await;
    fs::write(root.join("clip.mp4.part"), "x").unwrap();
    fs::write(root.join(".hidden.mp4"), "x").unwrap();
    fs::create_dir(root.join(".folder")).unwrap();
    fs::write(root.join(".folder/clip.mp4"), "x").unwrap();
    fs::rename(root.join("clip.mp4.part"), root.join("clip.mp4")).unwrap();
    watched.hears(b"clip.mp4").await;
    let long = [b'n'; 255];
    for name in [&b"new\nline.mp4"[..], b"\xff\xfe.mp4", &long] {
        fs::write(root.join(std::ffi::OsStr::from_bytes(name)), "x").unwrap();
        watched.hears(name).await;
    }
    watched.ear.with(|heard| {
        assert!(!heard.hints.iter().any(|key| key.starts_with(b".folder/")));
    });
    watched.end().await;
}

#[tokio::test]
async fn what_lies_behind_a_link_or_elsewhere_is_not_noticed() {
    let watched = Watched::new("in").await;
    let outside = watched.folder.path().join("outside");
    fs::create_dir_all(&outside).unwrap();
    fs::write(outside.join("secret.mp4"), "x").unwrap();
    fs::create_dir_all(watched.root.join("elsewhere")).unwrap();
    fs::write(watched.root.join("elsewhere/clip.mp4"), "x").unwrap();
    fs::create_dir_all(watched.root.join("in")).unwrap();
    std::os::unix::fs::symlink(&outside, watched.root.join("in/link")).unwrap();
    fs::create_dir(watched.root.join("in/last")).unwrap();
    fs::write(watched.root.join("in/last/clip.mp4"), "x").unwrap();
    watched.hears(b"in/last/clip.mp4").await;
    fs::write(outside.join("more.mp4"), "x").unwrap();
    fs::write(watched.root.join("in/end.mp4"), "x").unwrap();
    watched.hears(b"in/end.mp4").await;
    // The link itself may be named; the bucket then says that it is not a file.
    watched.ear.with(|heard| {
        heard.hints.remove(&b"in/link"[..]);
        let all: Vec<_> = heard.hints.iter().map(|k| String::from_utf8_lossy(k)).collect();
        assert_eq!(all, ["in/end.mp4", "in/last/clip.mp4"]);
    });
    watched.end().await;
}

#[tokio::test]
async fn other_rules_mean_other_directories() {
    let watched = Watched::new("one").await;
    for name in ["one", "two"] {
        fs::create_dir(watched.root.join(name)).unwrap();
    }
    watched.ear.with(|heard| heard.missed.clear());
    let two = Directory::new("two").unwrap();
    watched.wanted.send_replace(Wanted::new(2, [two.clone()]));
    watched.until("it follows", |heard| heard.book == 2).await;
    watched.until("a listing", |heard| heard.missed.contains(&two)).await;
    fs::write(watched.root.join("one/clip.mp4"), "x").unwrap();
    fs::write(watched.root.join("two/clip.mp4"), "x").unwrap();
    watched.hears(b"two/clip.mp4").await;
    watched.ear.with(|heard| assert_eq!(heard.hints.len(), 1));
    watched.end().await;
}

#[tokio::test]
async fn a_root_that_vanishes_is_offline_and_is_watched_again_when_it_returns() {
    let watched = Watched::new("").await;
    let aside = watched.folder.path().join("aside");
    fs::rename(&watched.root, &aside).unwrap();
    watched
        .until("offline", |heard| {
            heard
                .health
                .last()
                .is_some_and(|(ok, words)| !ok && words.contains("offline"))
        })
        .await;
    // An empty mount point is not the bucket.
    fs::create_dir(&watched.root).unwrap();
    watched
        .until("no marker", |heard| {
            heard.health.last().is_some_and(|(_, words)| words.contains("marker"))
        })
        .await;
    watched.ear.with(|heard| heard.missed.clear());
    fs::remove_dir(&watched.root).unwrap();
    fs::write(aside.join("meanwhile.mp4"), "x").unwrap();
    fs::rename(&aside, &watched.root).unwrap();
    watched
        .until("a listing", |heard| heard.missed == [Directory::default()])
        .await;
    fs::write(watched.root.join("clip.mp4"), "x").unwrap();
    watched.hears(b"clip.mp4").await;
    watched.end().await;
}

#[test]
fn a_full_queue_or_an_error_begins_a_new_session() {
    use notify::EventHandler;
    let shared = Arc::new(Shared::new("/srv".into(), Arc::new(Ear::default())));
    let lost = || shared.lost().borrow().clone();
    let mut notices = Notices(shared.clone());
    let modified = notify::EventKind::Modify(notify::event::ModifyKind::Any);
    notices.handle_event(Ok(notify::Event::new(modified).add_path("/srv/a".into())));
    assert_eq!(lost(), None);
    let rescan = notify::Event::new(notify::EventKind::Other).set_flag(notify::event::Flag::Rescan);
    notices.handle_event(Ok(rescan));
    assert!(lost().unwrap().contains("kernel's queue"));
}

#[tokio::test]
async fn after_a_lost_event_everything_is_watched_and_listed_again() {
    let folder = tempfile::tempdir().unwrap();
    let bucket = Arc::new(LocalBucket::new(
        "inbox".parse().unwrap(),
        folder.path(),
        &folder.path().join(".state"),
    ));
    let source = LocalSource::new(bucket, folder.path(), Duration::from_hours(1));
    let ear = Ear::default();
    let sink: Arc<dyn Sink> = Arc::new(ear.clone());
    let (_keep, mut wanted) = watch::channel(Wanted::new(1, [Directory::default()]));
    let (root, world) = source.world().await.unwrap();
    let shared = Shared::new(root, sink);
    shared.lose("more changes came at once than the kernel's queue holds");
    let (_told, standing) = watch::channel(Standing::default());
    let stop = CancellationToken::new();
    let ended = source.follow(&shared, &world, standing, &mut wanted, &stop).await;
    assert!(matches!(ended, Ended::Lost(why) if why.contains("queue")));
}

#[test]
fn only_what_lies_on_mounts_without_events_is_polled() {
    let mount = |path: &str, kind: &str| Mount {
        path: path.into(),
        file_system: kind.into(),
        device: "0".into(),
    };
    let world = |mounts| World { root: (0, 0), mounts };
    let names = |world: &World, wanted: &[&str]| {
        let wanted = Wanted::new(1, wanted.iter().map(|text| Directory::new(text).unwrap()));
        polled(Path::new("/srv"), world, &wanted)
            .iter()
            .map(|directory| directory.as_str().to_owned())
            .collect::<Vec<_>>()
    };
    let partly = world(vec![mount("/", "ext4"), mount("/srv/a/nas", "nfs4")]);
    assert_eq!(names(&partly, &["a"]), ["a/nas/"]);
    assert_eq!(names(&partly, &["a/nas/in", "b"]), ["a/nas/in/"]);
    assert!(names(&partly, &["b"]).is_empty());
    let all = world(vec![mount("/srv", "fuse.sshfs")]);
    assert_eq!(names(&all, &["", "b"]), [""]);
    assert_eq!(names(&all, &["a", "b"]), ["a/", "b/"]);
}

/// A file system mounted for a test; needs to be root.
struct Mounted(std::ffi::CString);

impl Mounted {
    fn tmpfs(path: &Path) -> Option<Self> {
        use std::os::unix::ffi::OsStrExt;
        let path = std::ffi::CString::new(path.as_os_str().as_bytes()).unwrap();
        let kind = c"tmpfs".as_ptr();
        // SAFETY: all texts end in NUL and outlive the call; no options are given.
        let done = unsafe { libc::mount(kind, path.as_ptr(), kind, 0, std::ptr::null()) };
        (done == 0).then_some(Self(path))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // SAFETY: the path ends in NUL and outlives the call.
        unsafe { libc::umount2(self.0.as_ptr(), libc::MNT_DETACH) };
    }
}

#[tokio::test]
async fn a_mount_that_comes_or_goes_beneath_the_root_is_followed() {
    let watched = Watched::new("").await;
    let disk = watched.root.join("disk");
    fs::create_dir(&disk).unwrap();
    let lists = || watched.ear.with(|heard| std::mem::take(&mut heard.missed));
    lists();
    let Some(mounted) = Mounted::tmpfs(&disk) else {
        return;
    };
    watched.until("a listing", |heard| !heard.missed.is_empty()).await;
    fs::write(disk.join("clip.mp4"), "x").unwrap();
    watched.hears(b"disk/clip.mp4").await;
    lists();
    drop(mounted);
    watched.until("a listing", |heard| !heard.missed.is_empty()).await;
    fs::write(disk.join("beneath.mp4"), "x").unwrap();
    watched.hears(b"disk/beneath.mp4").await;
    watched.end().await;
}
