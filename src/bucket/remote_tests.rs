//! What every bucket over a network does alike, and what the one in memory and a real server are held to.

use std::collections::BTreeMap;

use super::BucketError;
use super::conformance::key;
use super::memory_remote::MemoryRemote;
use super::moto::Moto;
use super::remote::{Condition, From, NewObject, PartTag, Remote, Stretch};
use super::s3::tests::served;
use crate::object::{Identity, ObjectKey};

/// The least that a part may have that is not the last.
pub const PART: usize = 5 << 20;

/// Files with contents to send.
pub struct Files(tempfile::TempDir);

impl Files {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A stretch of a file in which other bytes lie around it.
    pub fn stretch(&self, bytes: &[u8]) -> Stretch {
        let file = tempfile::NamedTempFile::new_in(self.0.path()).unwrap();
        let (_, path) = file.keep().unwrap();
        std::fs::write(&path, [b"before", bytes, b"after"].concat()).unwrap();
        Stretch {
            path,
            offset: 6,
            length: bytes.len() as u64,
        }
    }
}

pub fn object(key: &ObjectKey) -> NewObject {
    NewObject {
        key: key.clone(),
        content_type: "video/mp4".to_owned(),
        metadata: BTreeMap::new(),
        tags: BTreeMap::new(),
        storage_class: None,
        acl: None,
        cache_control: None,
    }
}

async fn put(remote: &dyn Remote, key: &ObjectKey, bytes: &[u8]) -> Identity {
    let files = Files::new();
    let (new, content) = (object(key), files.stretch(bytes));
    remote.put(&new, &content, &Condition::Always).await.unwrap();
    remote.head(key).await.unwrap().identity
}

async fn bytes_of(remote: &dyn Remote, key: &ObjectKey) -> Vec<u8> {
    let identity = remote.head(key).await.unwrap().identity;
    remote.read(key, &identity, 0, identity.size).await.unwrap().to_vec()
}

fn longest() -> ObjectKey {
    key(["y/", &"\u{65e5}".repeat(340), "zz"].concat().as_bytes())
}

/// Keys that are hard to spell; with line breaks and other controls where the server can be asked for them.
fn keys(controls: bool) -> Vec<ObjectKey> {
    let mut keys: Vec<_> = [
        "a b+c&d%2F.mp4",
        "100%.mp4",
        "\u{fc}.mp4",
        "\u{65e5}\u{672c}.mp4",
        "new\nline.mp4",
        "tab\tand=?#\"'<>;:@!$*(),[]{}|\\^`.mp4",
        "\u{1}\u{7f}.mp4",
        "%2525.mp4",
        " leading/ and trailing .mp4 ",
        "in/sub/x.mp4",
    ]
    .into_iter()
    .filter(|text| controls || !text.contains(['\n', '\u{1}']))
    .map(|text| key(text.as_bytes()))
    .collect();
    keys.push(longest());
    keys.sort();
    keys
}

async fn listed(remote: &dyn Remote, prefix: &str, mut from: From, most: u16) -> Vec<ObjectKey> {
    let mut found = Vec::new();
    loop {
        let page = remote.page(prefix, &from, most).await.unwrap();
        assert!(page.objects.len() <= usize::from(most));
        found.extend(page.objects.into_iter().map(|object| object.key));
        match page.next {
            Some(next) => from = From::Next(next),
            None => return found,
        }
    }
}

async fn run(remote: &dyn Remote, keys: &[ObjectKey]) {
    remote.reachable().await.unwrap();
    every_key_is_written_listed_read_and_deleted(remote, keys).await;
    ranges_are_read_exactly(remote).await;
    what_was_given_along_comes_back(remote).await;
    a_version_that_is_not_there_any_more_is_not_read(remote).await;
    conditions_on_a_put_hold(remote).await;
    uploads_in_parts_become_whole_objects(remote).await;
    uploads_that_are_open_are_found_and_aborted(remote, keys).await;
    copies_go_where_nothing_is(remote, keys).await;
    only_the_version_that_is_meant_is_deleted(remote).await;
}

async fn every_key_is_written_listed_read_and_deleted(remote: &dyn Remote, keys: &[ObjectKey]) {
    assert_eq!(longest().as_bytes().len(), 1024);
    let mut identities = Vec::new();
    for key in keys {
        identities.push(put(remote, key, key.as_bytes()).await);
    }
    for most in [1, 3, 1000] {
        assert_eq!(listed(remote, "", From::Start, most).await, keys, "{most}");
    }
    for (at, after) in keys.iter().enumerate() {
        let rest = listed(remote, "", From::After(after.clone()), 2).await;
        assert_eq!(rest, keys[at + 1..], "after {after}");
    }
    assert_eq!(listed(remote, "in/", From::Start, 10).await, [key(b"in/sub/x.mp4")]);
    assert!(listed(remote, "in/y", From::Start, 10).await.is_empty());
    let page = remote.page("", &From::Start, 1000).await.unwrap();
    for ((object, identity), key) in page.objects.iter().zip(&identities).zip(keys) {
        assert_eq!(object.identity, *identity);
        assert_eq!(bytes_of(remote, key).await, key.as_bytes());
        remote.delete(key, identity).await.unwrap();
        assert!(matches!(remote.head(key).await, Err(BucketError::NotFound(gone)) if gone == *key));
        remote.delete(key, identity).await.unwrap();
    }
    assert!(listed(remote, "", From::Start, 10).await.is_empty());
}

async fn ranges_are_read_exactly(remote: &dyn Remote) {
    let name = key(b"ranges.bin");
    let bytes: Vec<u8> = (0..10_000_u32).flat_map(u32::to_le_bytes).collect();
    let identity = put(remote, &name, &bytes).await;
    assert_eq!(identity.size, 40_000);
    for (offset, length) in [(0, 40_000), (0, 1), (39_999, 1), (12_345, 20_000), (40_000, 0)] {
        let read = remote.read(&name, &identity, offset, length).await.unwrap();
        let end = usize::try_from(offset + length).unwrap();
        assert_eq!(read, bytes[usize::try_from(offset).unwrap()..end]);
    }
    let empty = key(b"empty");
    let nothing = put(remote, &empty, b"").await;
    assert_eq!(nothing.size, 0);
    assert!(remote.read(&empty, &nothing, 0, 0).await.unwrap().is_empty());
    remote.delete(&name, &identity).await.unwrap();
    remote.delete(&empty, &nothing).await.unwrap();
}

async fn what_was_given_along_comes_back(remote: &dyn Remote) {
    let files = Files::new();
    let name = key(b"given.mp4");
    let texts = [
        ("reelmill-job", "0123"),
        ("reelmill-source", "in/\u{65e5}\u{672c} 100%41+ \u{fc}.mp4"),
        ("reelmill-rule", " two\nlines "),
    ];
    let wanted: BTreeMap<_, _> = texts.map(|(name, text)| (name.to_owned(), text.to_owned())).into();
    let new = NewObject {
        metadata: wanted.clone(),
        tags: [("team".to_owned(), "a b=+c".to_owned())].into(),
        storage_class: Some("STANDARD".to_owned()),
        cache_control: Some("max-age=60".to_owned()),
        ..object(&name)
    };
    remote
        .put(&new, &files.stretch(b"x"), &Condition::Always)
        .await
        .unwrap();
    let head = remote.head(&name).await.unwrap();
    assert_eq!(head.metadata, wanted);
    let parts = key(b"given in parts.mp4");
    let upload = remote
        .begin_upload(&NewObject {
            key: parts.clone(),
            ..new
        })
        .await
        .unwrap();
    let tag = remote
        .upload_part(&parts, &upload, 1, &files.stretch(b"xy"))
        .await
        .unwrap();
    remote
        .complete_upload(&parts, &upload, &[tag], &Condition::Always)
        .await
        .unwrap();
    let whole = remote.head(&parts).await.unwrap();
    assert_eq!(whole.metadata, wanted);
    let to = key(b"given and copied.mp4");
    remote.copy(&parts, &whole.identity, &to).await.unwrap();
    let copied = remote.head(&to).await.unwrap();
    assert_eq!(copied.metadata, wanted);
    for (key, head) in [(name, head), (parts, whole), (to, copied)] {
        remote.delete(&key, &head.identity).await.unwrap();
    }
}

async fn a_version_that_is_not_there_any_more_is_not_read(remote: &dyn Remote) {
    let name = key(b"replaced.mp4");
    let first = put(remote, &name, b"first").await;
    let second = put(remote, &name, b"other").await;
    assert_ne!(first, second);
    let read = remote.read(&name, &first, 0, 2).await;
    assert!(matches!(read, Err(BucketError::Changed(_))), "{read:?}");
    remote.delete(&name, &second).await.unwrap();
    let read = remote.read(&name, &second, 0, 2).await;
    assert!(matches!(read, Err(BucketError::NotFound(_))), "{read:?}");
}

fn is_refused(answer: &Result<(), BucketError>) -> bool {
    matches!(answer, Err(BucketError::Changed(_)))
}

fn is_another() -> Condition {
    Condition::Is("00000000000000000000000000000000".to_owned())
}

async fn conditions_on_a_put_hold(remote: &dyn Remote) {
    let files = Files::new();
    let name = key(b"conditions.mp4");
    let new = object(&name);
    let [one, two, three] = [b"1", b"2", b"3"].map(|bytes| files.stretch(bytes));
    assert!(
        is_refused(&remote.put(&new, &one, &is_another()).await),
        "nothing is there"
    );
    remote.put(&new, &one, &Condition::Absent).await.unwrap();
    assert!(is_refused(&remote.put(&new, &two, &Condition::Absent).await));
    assert_eq!(bytes_of(remote, &name).await, b"1");
    let identity = remote.head(&name).await.unwrap().identity;
    assert!(is_refused(&remote.put(&new, &two, &is_another()).await));
    let is = Condition::Is(identity.etag.unwrap());
    remote.put(&new, &three, &is).await.unwrap();
    assert_eq!(bytes_of(remote, &name).await, b"3");
    let identity = remote.head(&name).await.unwrap().identity;
    remote.delete(&name, &identity).await.unwrap();
}

async fn uploads_in_parts_become_whole_objects(remote: &dyn Remote) {
    let files = Files::new();
    let name = key(b"in parts/\xc3\xbc+1.mp4");
    let first: Vec<u8> = (0..PART).map(|at| u8::try_from(at % 251).unwrap()).collect();
    let upload = remote.begin_upload(&object(&name)).await.unwrap();
    // In any order, and one of them twice.
    let last = remote.upload_part(&name, &upload, 2, &files.stretch(b"the end")).await;
    remote
        .upload_part(&name, &upload, 1, &files.stretch(b"wrong"))
        .await
        .unwrap();
    let begin = remote.upload_part(&name, &upload, 1, &files.stretch(&first)).await;
    let parts: [PartTag; 2] = [begin.unwrap(), last.unwrap()];
    assert!(matches!(remote.head(&name).await, Err(BucketError::NotFound(_))));
    remote
        .complete_upload(&name, &upload, &parts, &Condition::Absent)
        .await
        .unwrap();
    let whole = bytes_of(remote, &name).await;
    assert!(whole == [&first[..], b"the end"].concat());
    // Another upload of the same name.
    let upload = remote.begin_upload(&object(&name)).await.unwrap();
    let part = remote.upload_part(&name, &upload, 1, &files.stretch(b"new")).await;
    let parts = [part.unwrap()];
    let refused = remote.complete_upload(&name, &upload, &parts, &Condition::Absent).await;
    assert!(is_refused(&refused), "{refused:?}");
    assert!(bytes_of(remote, &name).await == whole);
    remote
        .complete_upload(&name, &upload, &parts, &Condition::Always)
        .await
        .unwrap();
    assert_eq!(bytes_of(remote, &name).await, b"new");
    let identity = remote.head(&name).await.unwrap().identity;
    remote.delete(&name, &identity).await.unwrap();
}

async fn uploads_that_are_open_are_found_and_aborted(remote: &dyn Remote, keys: &[ObjectKey]) {
    let files = Files::new();
    assert_eq!(remote.open_uploads("").await.unwrap(), []);
    let mut begun = Vec::new();
    for key in keys {
        let id = remote.begin_upload(&object(key)).await.unwrap();
        begun.push((key.clone(), id));
    }
    let mut open: Vec<_> = remote
        .open_uploads("")
        .await
        .unwrap()
        .into_iter()
        .map(|upload| (upload.key, upload.id))
        .collect();
    open.sort();
    assert_eq!(open, begun);
    let below = remote.open_uploads("in/").await.unwrap();
    assert_eq!(below.len(), 1);
    for (key, id) in &begun {
        remote.abort_upload(key, id).await.unwrap();
        remote.abort_upload(key, id).await.unwrap();
    }
    assert_eq!(remote.open_uploads("").await.unwrap(), []);
    let (key, id) = &begun[0];
    let late = remote.upload_part(key, id, 1, &files.stretch(b"late")).await;
    assert!(late.is_err());
    let late = remote.complete_upload(key, id, &[], &Condition::Always).await;
    assert!(late.is_err());
}

async fn copies_go_where_nothing_is(remote: &dyn Remote, keys: &[ObjectKey]) {
    for key in keys {
        let identity = put(remote, key, b"original").await;
        let to = ObjectKey::new([b"copy of ", &key.as_bytes()[..key.as_bytes().len().min(1000)]].concat());
        let Ok(to) = to else { continue };
        if std::str::from_utf8(to.as_bytes()).is_err() {
            continue;
        }
        remote.copy(key, &identity, &to).await.unwrap();
        assert_eq!(bytes_of(remote, &to).await, b"original");
        assert!(is_refused(&remote.copy(key, &identity, &to).await), "the name is taken");
        let copied = remote.head(&to).await.unwrap().identity;
        remote.delete(&to, &copied).await.unwrap();
        let newer = put(remote, key, b"replaced").await;
        assert!(
            is_refused(&remote.copy(key, &identity, &to).await),
            "it is another object"
        );
        remote.delete(key, &newer).await.unwrap();
        let gone = remote.copy(key, &newer, &to).await;
        assert!(matches!(gone, Err(BucketError::NotFound(_))), "{gone:?}");
    }
}

async fn only_the_version_that_is_meant_is_deleted(remote: &dyn Remote) {
    let name = key(b"deleted.mp4");
    let first = put(remote, &name, b"first").await;
    let second = put(remote, &name, b"other").await;
    assert!(is_refused(&remote.delete(&name, &first).await));
    assert_eq!(bytes_of(remote, &name).await, b"other");
    remote.delete(&name, &second).await.unwrap();
    assert!(matches!(remote.head(&name).await, Err(BucketError::NotFound(_))));
}

#[tokio::test]
async fn the_bucket_in_memory_does_what_buckets_over_a_network_do() {
    run(&MemoryRemote::new("far"), &keys(true)).await;
}

#[tokio::test]
async fn a_real_server_is_asked_for_what_buckets_over_a_network_do() {
    // S3 takes any text; moto's web framework takes no line breaks, and its XML no other controls.
    run(&served(&Moto::shared().bucket("remote")).await, &keys(false)).await;
}
