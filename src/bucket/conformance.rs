//! What every bucket does alike. Each implementation runs all of it.

use std::io::Read;
use std::sync::Arc;

use super::far::FarBucket;
use super::memory_remote::MemoryRemote;
use super::moto::Moto;
use super::s3::tests::served;
use super::{Bucket, BucketError, Content, Resolved};
use crate::object::{Directory, Object, ObjectKey};

/// A bucket, and a way to put an object into it and to take one away.
pub trait Subject {
    fn bucket(&self) -> &dyn Bucket;
    fn put(&self, key: &ObjectKey, bytes: &[u8]);
    fn remove(&self, key: &ObjectKey);
    /// Whether a key may be any bytes, and not text only.
    fn takes_any_bytes(&self) -> bool {
        true
    }
    /// Whether a key may hold a line break.
    fn takes_line_breaks(&self) -> bool {
        true
    }
    /// Whether directories are things of their own.
    fn has_directories(&self) -> bool {
        true
    }
}

pub fn key(bytes: &[u8]) -> ObjectKey {
    ObjectKey::new(bytes).unwrap()
}

pub async fn listed(
    bucket: &dyn Bucket,
    directory: &str,
    after: Option<&ObjectKey>,
) -> Result<Vec<Object>, BucketError> {
    let mut lister = bucket.list(&Directory::new(directory).unwrap(), after).await?;
    let mut all = Vec::new();
    loop {
        let page = lister.next_page().await?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

/// The whole suite.
pub async fn run(subject: &impl Subject) {
    whole_objects_resolve_and_open(subject).await;
    listings_are_in_byte_order_of_whole_keys(subject).await;
}

/// All bytes of an opened object.
pub async fn read(content: &Content) -> Vec<u8> {
    match content {
        Content::File(fd) => {
            let mut bytes = Vec::new();
            std::fs::File::from(fd.try_clone().unwrap())
                .read_to_end(&mut bytes)
                .unwrap();
            bytes
        }
        Content::Ranges(ranges) => ranges.read(0, ranges.size()).await.unwrap().to_vec(),
    }
}

async fn whole_objects_resolve_and_open(subject: &impl Subject) {
    let bucket = subject.bucket();
    let name = key(b"first/one.mp4");
    bucket.check().await.unwrap();
    assert_eq!(bucket.resolve(&name).await.unwrap(), Resolved::Gone);
    assert!(matches!(bucket.open(&name).await, Err(BucketError::NotFound(_))));
    subject.put(&name, b"hello");
    let Resolved::Complete(identity) = bucket.resolve(&name).await.unwrap() else {
        panic!("not complete");
    };
    assert_eq!(identity.size, 5);
    let opened = bucket.open(&name).await.unwrap();
    assert_eq!(opened.identity, identity);
    assert_eq!(read(&opened.content).await, b"hello");
    let above = if subject.has_directories() {
        Resolved::NotAFile
    } else {
        Resolved::Gone
    };
    assert_eq!(bucket.resolve(&key(b"first")).await.unwrap(), above);
    subject.put(&name, b"hello again");
    assert!(matches!(bucket.resolve(&name).await.unwrap(), Resolved::Complete(next) if next != identity));
    subject.remove(&name);
    assert_eq!(bucket.resolve(&name).await.unwrap(), Resolved::Gone);
}

async fn listings_are_in_byte_order_of_whole_keys(subject: &impl Subject) {
    let bucket = subject.bucket();
    let mut wanted: Vec<ObjectKey> = [
        &b"a/z.mp4"[..],
        b"a-b.mp4",
        b"a.mp4",
        b"a0.mp4",
        b"a/b/c.mp4",
        b"a/b.mp4",
        b"a/b-/d.mp4",
        b"a b+c&d%2F.mp4",
        b"100%.mp4",
        "\u{fc}.mp4".as_bytes(),
        "\u{65e5}\u{672c}.mp4".as_bytes(),
        b"deep/1/2/3/4/5.mp4",
        b"a/.hidden.mp4",
        b"a/c.mp4.part",
    ]
    .into_iter()
    .map(key)
    .collect();
    if subject.takes_line_breaks() {
        wanted.push(key(b"new\nline.mp4"));
    }
    if subject.takes_any_bytes() {
        wanted.push(key(b"\xff\xfe.mp4"));
    }
    for one in &wanted {
        subject.put(one, b"x");
    }
    for ignored in [&b".dir/a.mp4"[..], b"a/.dir/b/c.mp4"] {
        subject.put(&key(ignored), b"x");
    }
    wanted.sort();
    let all = listed(bucket, "", None).await.unwrap();
    let keys: Vec<_> = all.iter().map(|object| object.key.clone()).collect();
    assert_eq!(keys, wanted);
    for object in &all {
        let resolved = bucket.resolve(&object.key).await.unwrap();
        assert_eq!(resolved, Resolved::Complete(object.identity.clone()));
    }
    for (at, after) in wanted.iter().enumerate() {
        let rest = listed(bucket, "", Some(after)).await.unwrap();
        let rest: Vec<_> = rest.into_iter().map(|object| object.key).collect();
        assert_eq!(rest, wanted[at + 1..], "after {after}");
    }
    let below = listed(bucket, "a/b", None).await.unwrap();
    let below: Vec<_> = below.into_iter().map(|object| object.key).collect();
    assert_eq!(below, [key(b"a/b/c.mp4")]);
    assert!(listed(bucket, "nowhere", None).await.unwrap().is_empty());
}

/// A bucket over a network, in memory.
struct Far {
    remote: MemoryRemote,
    bucket: FarBucket,
}

impl Far {
    fn new() -> Self {
        let remote = MemoryRemote::new("far");
        let name = "far".parse().unwrap();
        Self {
            bucket: FarBucket::new(name, "far-away", Arc::new(remote.clone())),
            remote,
        }
    }
}

impl Subject for Far {
    fn bucket(&self) -> &dyn Bucket {
        &self.bucket
    }
    fn put(&self, key: &ObjectKey, bytes: &[u8]) {
        self.remote.put_bytes(key, bytes, &[]);
    }
    fn remove(&self, key: &ObjectKey) {
        self.remote.remove(key);
    }
    fn has_directories(&self) -> bool {
        false
    }
}

/// A bucket of a real server.
struct Served {
    s3_bucket: String,
    bucket: FarBucket,
}

impl Served {
    async fn new() -> Self {
        let s3_bucket = Moto::shared().bucket("conformance");
        let remote = served(&s3_bucket).await;
        Self {
            bucket: FarBucket::new("served".parse().unwrap(), s3_bucket.clone(), Arc::new(remote)),
            s3_bucket,
        }
    }
}

impl Subject for Served {
    fn bucket(&self) -> &dyn Bucket {
        &self.bucket
    }
    fn put(&self, key: &ObjectKey, bytes: &[u8]) {
        Moto::shared().put(&self.s3_bucket, key.as_bytes(), bytes);
    }
    fn remove(&self, key: &ObjectKey) {
        Moto::shared().remove(&self.s3_bucket, key.as_bytes());
    }
    fn takes_any_bytes(&self) -> bool {
        false
    }
    fn takes_line_breaks(&self) -> bool {
        // S3 takes them; moto's web framework does not.
        false
    }
    fn has_directories(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn a_bucket_over_a_network_does_what_every_bucket_does() {
    run(&Far::new()).await;
}

#[tokio::test]
async fn a_bucket_whose_pages_are_small_does_what_every_bucket_does() {
    let far = Far::new();
    far.remote.set_page(1);
    run(&far).await;
}

#[tokio::test]
async fn a_bucket_of_a_real_server_does_what_every_bucket_does() {
    run(&Served::new().await).await;
}

struct Memory(super::memory::MemoryBucket);

impl Subject for Memory {
    fn bucket(&self) -> &dyn Bucket {
        &self.0
    }
    fn put(&self, key: &ObjectKey, bytes: &[u8]) {
        self.0.put(key, bytes);
    }
    fn remove(&self, key: &ObjectKey) {
        self.0.remove(key);
    }
}

#[tokio::test]
async fn a_bucket_in_memory_does_what_every_bucket_does() {
    run(&Memory(super::memory::MemoryBucket::new("inbox"))).await;
}
