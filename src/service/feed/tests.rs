use std::sync::Mutex;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use proptest::prelude::*;

use super::*;
use crate::bucket::memory::MemoryBucket;
use crate::bucket::{Bucket, Content};
use crate::object::ObjectKey;
use crate::worker::ranges::RangedReader;

const MIB: u64 = 1 << 20;

fn byte(at: u64) -> u8 {
    u8::try_from((at ^ at >> 20) % 251).unwrap()
}

fn job() -> JobId {
    JobId::parse("000000000000001").unwrap()
}

fn key() -> ObjectKey {
    "in/film.mp4".parse().unwrap()
}

/// An object whose bytes follow from their places.
#[derive(Debug, Default)]
struct Far {
    size: u64,
    /// How long a read takes.
    takes: Duration,
    /// How reads fail, the first first.
    faults: Mutex<Vec<Fault>>,
}

#[derive(Debug, Clone, Copy)]
enum Fault {
    None,
    Replaced,
    Gone,
    Away,
    Forbidden,
    Short,
    Hangs,
}

#[async_trait]
impl Ranges for Far {
    fn size(&self) -> u64 {
        self.size
    }

    async fn read(&self, offset: u64, length: u64) -> Result<Bytes, BucketError> {
        tokio::time::sleep(self.takes).await;
        let fault = {
            let mut faults = self.faults.lock().unwrap();
            if faults.is_empty() {
                Fault::None
            } else {
                faults.remove(0)
            }
        };
        let length = match fault {
            Fault::None => length,
            Fault::Replaced => return Err(BucketError::Changed(key())),
            Fault::Gone => return Err(BucketError::NotFound(key())),
            Fault::Away => return Err(BucketError::offline("the server is busy")),
            Fault::Forbidden => return Err(BucketError::permanent("no", io::Error::other("forbidden"))),
            Fault::Short => length / 2,
            Fault::Hangs => pending().await,
        };
        Ok((offset..offset + length).map(byte).collect())
    }
}

/// What a worker has of it.
fn reader(remote: Remote) -> (Arc<RangedReader>, Arc<Owed>) {
    let reader = RangedReader::new(std::os::unix::net::UnixStream::from(remote.socket), remote.size);
    (Arc::new(reader), remote.owed)
}

/// Reads in a thread, as a worker would.
async fn read(reader: &Arc<RangedReader>, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let reader = reader.clone();
    let read = tokio::task::spawn_blocking(move || {
        let mut into = vec![0; length];
        let mut done = 0;
        while done < length {
            match reader.read_at(offset + done as u64, &mut into[done..])? {
                0 => break,
                count => done += count,
            }
        }
        into.truncate(done);
        Ok(into)
    });
    read.await.unwrap()
}

fn expected(offset: u64, length: usize) -> Vec<u8> {
    (offset..offset + length as u64).map(byte).collect()
}

async fn fails_with(faults: Vec<Fault>) -> (Broken, String) {
    let far = Far {
        size: 3 * MIB,
        faults: Mutex::new(faults),
        ..Far::default()
    };
    let (remote, feed) = Feed::over(Arc::new(far), &job()).unwrap();
    let (reader, _) = reader(remote);
    let mut error = None;
    for at in 0..3 {
        if let Err(found) = read(&reader, at * MIB, 1 << 20).await {
            error = Some(found);
            break;
        }
    }
    let known = feed.is_broken();
    let broken = feed.broken().await;
    assert_eq!(
        known.as_ref(),
        Some(&broken),
        "it is known before the worker hears of it"
    );
    (broken, error.expect("the worker hears of it").to_string())
}

#[tokio::test]
async fn every_byte_is_right_and_each_block_comes_once() {
    let size = 40 * MIB + 999;
    let far = Far {
        size,
        takes: Duration::from_millis(1),
        ..Far::default()
    };
    let (remote, feed) = Feed::over(Arc::new(far), &job()).unwrap();
    let (reader, owed) = reader(remote);
    assert_eq!(read(&reader, size - 100, 200).await.unwrap(), expected(size - 100, 100));
    let step = 700_000;
    let mut at = 0;
    while at < size {
        let found = read(&reader, at, step).await.unwrap();
        let length = (size - at).min(step as u64);
        assert_eq!(found, expected(at, usize::try_from(length).unwrap()));
        at += step as u64;
    }
    let figures = feed.figures();
    assert_eq!(figures.bytes_fetched(), size);
    assert!(figures.requests() < 20, "{}", figures.requests());
    assert!(figures.hits() > 0 && figures.hits() < figures.questions());
    assert!(!owed.is_set());
    assert_eq!(feed.is_broken(), None);
}

#[tokio::test]
async fn a_source_that_is_replaced_or_gone_midway_is_no_fault_of_the_medium() {
    let changed = |words: &str| Broken::SourceChanged(words.to_owned());
    let (broken, said) = fails_with(vec![Fault::None, Fault::Replaced]).await;
    assert_eq!(broken, changed("the source was replaced while it was read"));
    assert_eq!(said, "the object was replaced while it was read");
    let (broken, _) = fails_with(vec![Fault::Gone]).await;
    assert_eq!(broken, changed("the source vanished while it was read"));
}

#[tokio::test]
async fn a_bucket_that_fails_for_good_is_told_by_its_kind() {
    for (fault, kind) in [
        (Fault::Away, ErrorKind::Offline),
        (Fault::Short, ErrorKind::Offline),
        (Fault::Forbidden, ErrorKind::Permission),
    ] {
        let (broken, said) = fails_with(vec![fault]).await;
        let Broken::Failed(failure) = broken else {
            panic!("{broken:?}")
        };
        assert_eq!(failure.kind, kind, "{failure:?}");
        assert_eq!(said, "the object cannot be read from its bucket");
    }
}

#[tokio::test]
async fn what_fails_ahead_is_asked_for_again_once_it_is_needed() {
    let far = Far {
        size: 30 * MIB,
        // The third request is the first that reads ahead.
        faults: Mutex::new(vec![Fault::None, Fault::None, Fault::Away]),
        ..Far::default()
    };
    let (remote, feed) = Feed::over(Arc::new(far), &job()).unwrap();
    let (reader, _) = reader(remote);
    for at in 0..30 {
        // What was asked for ahead has failed before somebody waits for it.
        tokio::time::sleep(Duration::from_millis(5)).await;
        let found = read(&reader, at * MIB, 1 << 20).await.unwrap();
        assert_eq!(found, expected(at * MIB, 1 << 20), "{at}");
    }
    assert_eq!(feed.is_broken(), None);
}

#[tokio::test]
async fn who_waits_for_the_bucket_is_owed_an_answer() {
    let far = Far {
        size: MIB,
        faults: Mutex::new(vec![Fault::Hangs]),
        ..Far::default()
    };
    let (remote, feed) = Feed::over(Arc::new(far), &job()).unwrap();
    let (reader, owed) = reader(remote);
    assert!(!owed.is_set());
    let waiting = tokio::task::spawn_blocking(move || reader.read_at(0, &mut [0; 10]));
    let deadline = Instant::now() + Duration::from_secs(10);
    while !owed.is_set() {
        assert!(Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
    drop(feed);
    assert!(waiting.await.unwrap().is_err(), "nobody is there any more");
}

#[tokio::test]
async fn a_worker_that_asks_for_what_it_may_not_is_found_out() {
    for question in [
        Question { offset: MIB, length: 1 },
        Question {
            offset: 0,
            length: u32::MAX,
        },
        Question { offset: 0, length: 0 },
        Question {
            offset: u64::MAX,
            length: 2,
        },
    ] {
        let far = Far {
            size: MIB,
            ..Far::default()
        };
        let (remote, feed) = Feed::over(Arc::new(far), &job()).unwrap();
        let mut socket = std::os::unix::net::UnixStream::from(remote.socket);
        io::Write::write_all(&mut socket, &question.encode()).unwrap();
        let Broken::Failed(failure) = feed.broken().await else {
            panic!("{question:?}")
        };
        assert_eq!(failure.kind, ErrorKind::Protocol);
        assert_eq!(feed.figures().requests(), 0);
    }
}

#[tokio::test]
async fn a_bucket_in_memory_is_read_by_ranges_and_says_when_it_was_written_to() {
    let bucket = MemoryBucket::new("inbox");
    bucket.give_ranges();
    let content: Vec<u8> = (0..3 * MIB).map(byte).collect();
    bucket.put(&key(), &content);
    let Content::Ranges(ranges) = bucket.open(&key()).await.unwrap().content else {
        panic!("a file")
    };
    let (remote, feed) = Feed::over(ranges, &job()).unwrap();
    let (reader, _) = reader(remote);
    assert_eq!(read(&reader, 10, 1000).await.unwrap(), expected(10, 1000));
    assert_eq!(bucket.bytes_read(), MIB);
    bucket.put(&key(), &content);
    assert!(read(&reader, 2 * MIB, 10).await.is_err());
    assert!(matches!(feed.broken().await, Broken::SourceChanged(_)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn whatever_is_read_through_the_socket_is_right(
        size in 1..20 * MIB,
        reads in prop::collection::vec((0..20 * MIB, 1..3_000_000_usize), 1..20),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let far = Far { size, ..Far::default() };
            let (remote, feed) = Feed::over(Arc::new(far), &job()).unwrap();
            let (reader, _) = reader(remote);
            for (offset, length) in reads {
                let offset = offset % size;
                let length = length.min(usize::try_from(size - offset).unwrap());
                assert_eq!(read(&reader, offset, length).await.unwrap(), expected(offset, length));
            }
            assert_eq!(feed.is_broken(), None);
        });
    }
}
