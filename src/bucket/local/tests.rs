use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;
use crate::bucket::conformance::{self, Subject, key, listed};

struct Folder {
    root: tempfile::TempDir,
    state: tempfile::TempDir,
    bucket: LocalBucket,
}

impl Folder {
    fn new() -> Self {
        let (root, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let bucket = LocalBucket::new("inbox".parse().unwrap(), root.path(), state.path());
        Self { root, state, bucket }
    }

    fn path(&self, key: &ObjectKey) -> PathBuf {
        self.root.path().join(std::ffi::OsStr::from_bytes(key.as_bytes()))
    }

    fn again(&self) -> LocalBucket {
        LocalBucket::new("inbox".parse().unwrap(), self.root.path(), self.state.path())
    }
}

impl Subject for Folder {
    fn bucket(&self) -> &dyn Bucket {
        &self.bucket
    }
    fn put(&self, key: &ObjectKey, bytes: &[u8]) {
        let path = self.path(key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    fn remove(&self, key: &ObjectKey) {
        fs::remove_file(self.path(key)).unwrap();
    }
}

#[tokio::test]
async fn a_local_bucket_does_what_every_bucket_does() {
    conformance::run(&Folder::new()).await;
}

#[tokio::test]
async fn a_file_is_busy_until_its_writer_lets_go() {
    let folder = Folder::new();
    let name = key(b"clip.mp4");
    folder.put(&name, b"x");
    let mut writer = OpenOptions::new().append(true).open(folder.path(&name)).unwrap();
    assert_eq!(folder.bucket.resolve(&name).await.unwrap(), Resolved::Busy);
    writer.write_all(b"y").unwrap();
    drop(writer);
    assert!(matches!(
        folder.bucket.resolve(&name).await.unwrap(),
        Resolved::Complete(identity) if identity.size == 2
    ));
}

#[tokio::test]
async fn a_long_name_is_a_name_like_others() {
    let folder = Folder::new();
    let name = key(&[b'n'; 255]);
    folder.put(&name, b"x");
    assert!(matches!(
        folder.bucket.resolve(&name).await.unwrap(),
        Resolved::Complete(_)
    ));
    assert_eq!(listed(&folder.bucket, "", None).await.unwrap().len(), 1);
    assert_eq!(folder.bucket.resolve(&key(&[b'n'; 256])).await.unwrap(), Resolved::Gone);
}

#[tokio::test]
async fn links_and_pipes_are_not_files_and_are_not_listed() {
    let folder = Folder::new();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret.mp4"), "x").unwrap();
    folder.put(&key(b"real/clip.mp4"), b"x");
    symlink(outside.path(), folder.path(&key(b"linked"))).unwrap();
    symlink("real/clip.mp4", folder.path(&key(b"link.mp4"))).unwrap();
    let pipe = std::ffi::CString::new(folder.path(&key(b"pipe.mp4")).as_os_str().as_bytes()).unwrap();
    // SAFETY: the path is a valid string that ends in NUL.
    assert_eq!(unsafe { libc::mkfifo(pipe.as_ptr(), 0o644) }, 0);
    for name in [&b"linked/secret.mp4"[..], b"link.mp4", b"pipe.mp4", b"linked"] {
        let name = key(name);
        let resolved = folder.bucket.resolve(&name).await.unwrap();
        assert_eq!(resolved, Resolved::NotAFile, "{name}");
        assert!(folder.bucket.open(&name).await.is_err(), "{name}");
    }
    let all = listed(&folder.bucket, "", None).await.unwrap();
    assert_eq!(all.len(), 1);
    assert!(listed(&folder.bucket, "linked", None).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_root_without_its_marker_is_offline_until_it_is_accepted() {
    let folder = Folder::new();
    folder.put(&key(b"clip.mp4"), b"x");
    folder.bucket.check().await.unwrap();
    let marker = folder.root.path().join(".reelmill/bucket");
    let kept = fs::read(&marker).unwrap();
    fs::remove_file(&marker).unwrap();
    for bucket in [folder.bucket.clone(), folder.again()] {
        let error = bucket.check().await.unwrap_err();
        assert!(matches!(error, BucketError::Transient { .. }));
        assert!(error.to_string().contains("reelmill bucket accept inbox"));
        assert!(bucket.resolve(&key(b"clip.mp4")).await.is_err());
        assert!(bucket.open(&key(b"clip.mp4")).await.is_err());
        assert!(listed(&bucket, "", None).await.is_err());
        assert!(!marker.exists(), "nothing is written to a strange root");
    }
    fs::write(&marker, kept).unwrap();
    folder.bucket.check().await.unwrap();
    fs::write(&marker, "bucket inbox\nid 0123\n").unwrap();
    let error = folder.bucket.check().await.unwrap_err().to_string();
    assert!(error.contains("another directory"), "{error}");
    // Accepted by another process: this one sees it.
    folder.again().accept().unwrap();
    folder.bucket.check().await.unwrap();
}

#[tokio::test]
async fn a_root_that_is_not_there_is_offline_and_comes_back() {
    let folder = Folder::new();
    folder.bucket.check().await.unwrap();
    let (root, aside) = (folder.root.path().to_owned(), folder.state.path().join("aside"));
    fs::rename(&root, &aside).unwrap();
    let error = folder.bucket.check().await.unwrap_err();
    assert!(error.to_string().contains("create it or mount"), "{error}");
    fs::create_dir(&root).unwrap();
    assert!(folder.bucket.check().await.is_err(), "an empty mount point");
    fs::remove_dir(&root).unwrap();
    fs::rename(&aside, &root).unwrap();
    folder.bucket.check().await.unwrap();
}

#[test]
fn what_is_known_of_a_root_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("buckets/in.box");
    assert_eq!(Known::load(&path).unwrap(), None);
    for known in [
        Known {
            id: Some("12ab".into()),
            file_system: "00ff".into(),
        },
        Known {
            id: None,
            file_system: "00ff".into(),
        },
    ] {
        known.save(&path).unwrap();
        assert_eq!(Known::load(&path).unwrap(), Some(known));
    }
}

#[tokio::test]
async fn a_directory_that_vanishes_while_it_is_listed_ends_the_listing_well() {
    let folder = Folder::new();
    for n in 0..1500 {
        folder.put(&key(format!("a/{n:04}.mp4").as_bytes()), b"x");
    }
    folder.put(&key(b"b/clip.mp4"), b"x");
    let mut lister = folder.bucket.list(&Directory::default(), None).await.unwrap();
    assert_eq!(lister.next_page().await.unwrap().len(), 1000);
    fs::remove_dir_all(folder.root.path().join("b")).unwrap();
    assert_eq!(lister.next_page().await.unwrap().len(), 500);
    assert!(lister.next_page().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_listing_does_not_end_well_once_the_marker_is_gone() {
    let folder = Folder::new();
    folder.put(&key(b"clip.mp4"), b"x");
    let mut lister = folder.bucket.list(&Directory::default(), None).await.unwrap();
    assert_eq!(lister.next_page().await.unwrap().len(), 1);
    fs::remove_file(folder.root.path().join(".reelmill/bucket")).unwrap();
    assert!(lister.next_page().await.is_err());
}

#[test]
fn an_unreadable_directory_hides_nothing_else_and_the_listing_does_not_end_well() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let folder = Folder::new();
    for name in [&b"a/one.mp4"[..], b"b/two.mp4", b"c/three.mp4"] {
        folder.put(&key(name), b"x");
    }
    folder.bucket.0.root().unwrap();
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    mode(folder.root.path(), 0o755);
    mode(&folder.root.path().join("b"), 0o700);
    let mut walk = Listing::walk(folder.bucket.0.clone(), &Directory::default(), None);
    let (page, end) = as_nobody(move || (walk.page(), walk.page()));
    let keys: Vec<_> = page.unwrap().into_iter().map(|object| object.key).collect();
    assert_eq!(keys, [key(b"a/one.mp4"), key(b"c/three.mp4")]);
    let error = end.unwrap_err().to_string();
    assert!(error.contains("directory b cannot be read"), "{error}");
}

/// Works as a user without any right of its own, on a thread that ends with it.
fn as_nobody<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let thread = std::thread::spawn(move || {
        // Version 3 of the header, for this thread; then effective, permitted and inheritable, twice 32 bits.
        let (header, none) = ([0x2008_0522_u32, 0], [0_u32; 6]);
        // SAFETY: changes this thread alone; both arrays are as large as the call reads.
        unsafe {
            libc::syscall(libc::SYS_setfsuid, 65534);
            libc::syscall(libc::SYS_capset, header.as_ptr(), none.as_ptr());
        }
        work()
    });
    thread.join().unwrap()
}

#[test]
fn a_file_of_another_user_must_settle_and_one_that_may_not_be_read_is_refused() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let folder = Folder::new();
    let (open, closed) = (key(b"open.mp4"), key(b"closed.mp4"));
    for name in [&open, &closed] {
        folder.put(name, b"x");
    }
    folder.bucket.0.root().unwrap();
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(folder.root.path(), 0o755);
    mode(&folder.path(&open), 0o644);
    mode(&folder.path(&closed), 0o600);
    let place = folder.bucket.0.clone();
    let (open, closed) = as_nobody(move || (place.resolve(&open), place.resolve(&closed)));
    assert!(matches!(open.unwrap(), Resolved::Settling { .. }));
    let error = closed.unwrap_err();
    assert!(matches!(error, BucketError::Permanent { .. }), "{error}");
    assert!(error.to_string().contains("permission"), "{error}");
}

#[test]
fn a_root_that_cannot_be_written_to_is_known_by_its_file_system() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let folder = Folder::new();
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(folder.root.path(), 0o755);
    mode(folder.state.path(), 0o777);
    let place = folder.bucket.0.clone();
    as_nobody(move || place.root().map(|_| ())).unwrap();
    let memory = folder.state.path().join("inbox");
    let known = Known::load(&memory).unwrap().unwrap();
    assert_eq!(known.id, None);
    folder.again().0.root().unwrap();
    let other = Known {
        file_system: "0123".into(),
        ..known
    };
    other.save(&memory).unwrap();
    let error = folder.again().0.root().unwrap_err().to_string();
    assert!(error.contains("another file system"), "{error}");
    folder.again().accept().unwrap();
    folder.again().0.root().unwrap();
}
