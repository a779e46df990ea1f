//! Objects far away, worked on by the real worker: the built program as the child, the library as the daemon, and a bucket
//! that gives nothing but ranges.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod harness;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use harness::{assert_plays, film};
use jiff::{SignedDuration, Timestamp};
use reelmill::bucket::single::SingleFile;
use reelmill::bucket::{Bucket, BucketError, Content, Lister, Opened, Ranges, Resolved};
use reelmill::config::load;
use reelmill::diagnostic::SourceFile;
use reelmill::job::{Generation, Job, JobId, JobState, order};
use reelmill::object::{BucketName, Directory, Identity, Object, ObjectKey};
use reelmill::rule::check::check;
use reelmill::service::mill::Mill;
use reelmill::service::runner::{Workshop, drive};
use reelmill::store::sqlite::SqliteStore;
use reelmill::store::{Acceptance, Holds, NewJob, Store};
use reelmill::worker::registry;
use reelmill::worker::spawn::WorkerSettings;
use tokio_util::sync::CancellationToken;

/// What happens to a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Replaced,
    Away,
}

/// A bucket with one object, far away.
#[derive(Debug, Clone)]
struct Far {
    name: BucketName,
    key: ObjectKey,
    content: Bytes,
    fetched: Arc<AtomicU64>,
    /// How long a read takes.
    takes: Duration,
    /// Reads beyond this many bytes end so.
    fault: Arc<Mutex<Option<(u64, Fault)>>>,
}

impl Far {
    fn new(file: &Path) -> Self {
        Self {
            name: "inbox".parse().unwrap(),
            key: "clip.mp4".parse().unwrap(),
            content: fs::read(file).unwrap().into(),
            fetched: Arc::default(),
            takes: Duration::ZERO,
            fault: Arc::default(),
        }
    }

    fn failing(file: &Path, after: u64, fault: Fault) -> Self {
        let far = Self::new(file);
        *far.fault.lock().unwrap() = Some((after, fault));
        far
    }

    fn identity(&self) -> Identity {
        Identity::local(self.content.len() as u64, 1)
    }

    fn share(&self) -> f64 {
        self.fetched.load(Ordering::SeqCst) as f64 / self.content.len() as f64
    }
}

#[async_trait]
impl Ranges for Far {
    fn size(&self) -> u64 {
        self.content.len() as u64
    }

    async fn read(&self, offset: u64, length: u64) -> Result<Bytes, BucketError> {
        tokio::time::sleep(self.takes).await;
        let fetched = self.fetched.fetch_add(length, Ordering::SeqCst) + length;
        match *self.fault.lock().unwrap() {
            Some((after, Fault::Replaced)) if fetched > after => return Err(BucketError::Changed(self.key.clone())),
            Some((after, Fault::Away)) if fetched > after => return Err(BucketError::offline("nobody answers")),
            _ => {}
        }
        let at = |at: u64| usize::try_from(at).unwrap();
        Ok(self.content.slice(at(offset)..at(offset + length)))
    }
}

#[async_trait]
impl Bucket for Far {
    fn name(&self) -> &BucketName {
        &self.name
    }

    async fn check(&self) -> Result<(), BucketError> {
        Ok(())
    }

    async fn resolve(&self, _: &ObjectKey) -> Result<Resolved, BucketError> {
        Ok(Resolved::Complete(self.identity()))
    }

    async fn open(&self, _: &ObjectKey) -> Result<Opened, BucketError> {
        Ok(Opened {
            identity: self.identity(),
            content: Content::Ranges(Arc::new(self.clone())),
        })
    }

    async fn list(&self, _: &Directory, _: Option<&ObjectKey>) -> Result<Box<dyn Lister>, BucketError> {
        Err(BucketError::offline("nobody lists this"))
    }
}

static ONCE: tokio::sync::OnceCell<()> = tokio::sync::OnceCell::const_new();

/// A place where one job is worked on, and what became of it.
struct Bench {
    folder: tempfile::TempDir,
    mill: Arc<Mill>,
    job: Job,
}

impl Bench {
    /// Works on the object as the tasks say, in one attempt.
    async fn work(source: Arc<dyn Bucket>, key: &ObjectKey, top: &str, tasks: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["out", "state", "inbox"] {
            fs::create_dir(at(name)).unwrap();
        }
        let config = at("reelmill.toml");
        let text =
            "state = \"state\"\n[bucket.inbox]\npath = \"inbox\"\n[bucket.out]\npath = \"out\"\n[workers]\nslots = 1\n";
        fs::write(&config, text).unwrap();
        let config = load(&config).unwrap();
        let (inbox, out): (BucketName, BucketName) = ("inbox".parse().unwrap(), "out".parse().unwrap());
        let text = format!("{top}\n[trigger]\nbucket = \"inbox\"\n[output]\nbucket = \"out\"\n{tasks}");
        let file = SourceFile {
            path: "web.toml".into(),
            text: text.as_str().into(),
        };
        let (rule, found) = check(&file, "web", &[inbox.clone(), out.clone()]);
        let rule = rule.unwrap_or_else(|| panic!("{found:?}"));
        let object = Object {
            bucket: inbox.clone(),
            key: key.clone(),
            identity: source.open(key).await.unwrap().identity,
        };
        let mut buckets: BTreeMap<BucketName, Arc<dyn Bucket>> = BTreeMap::new();
        buckets.insert(inbox, source);
        buckets.insert(out.clone(), Arc::new(SingleFile::new(out, None)));
        let ageing = order::Ageing::Strict;
        let store = Arc::new(SqliteStore::open(&at("state/reelmill.db"), ageing).await.unwrap());
        let now = Timestamp::now();
        let wish = Acceptance {
            rule: rule.name.clone(),
            object,
            seen: Generation(0),
            listed: None,
            job: Some(NewJob::of(&rule, &text, JobId::new(now, 7), None)),
        };
        store.accept(vec![wish], now).await.unwrap();
        let hour = SignedDuration::from_hours(1);
        let job = store
            .claim("test", &Holds::default(), now, now + hour)
            .await
            .unwrap()
            .unwrap();

        let registry = Path::new(env!("CARGO_TARGET_TMPDIR")).join("feed-registry.bin");
        let worker = WorkerSettings::new(env!("CARGO_BIN_EXE_reelmill").into(), registry);
        ONCE.get_or_init(|| async { registry::prepare(&worker).await.unwrap() })
            .await;
        let shop = Arc::new(Workshop { worker, threads: 2 });
        let mill = Arc::new(Mill::new(config, store, buckets, now));
        let stop = CancellationToken::new();
        let lease = job.lease.as_ref().unwrap().number;
        mill.running.insert(job.id.clone(), lease, stop.clone(), now);
        drive(mill.clone(), shop, job.clone(), stop).await;
        let job = mill.store.job(&job.id).await.unwrap();
        Self { folder, mill, job }
    }

    async fn over(far: &Far, tasks: &str) -> Self {
        Self::work(Arc::new(far.clone()), &far.key, "", tasks).await
    }

    fn out(&self, name: &str) -> PathBuf {
        self.folder.path().join("out").join(name)
    }

    fn published(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path().join("out")).unwrap().flatten();
        let names = entries.map(|entry| entry.file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
        names.sort();
        names
    }

    #[track_caller]
    fn succeeded(&self) {
        assert_eq!(self.job.state, JobState::Succeeded, "{:#?}", self.job);
    }
}

/// 100 MiB and more with sound, about 10 Mbit/s, the index at its end.
fn large() -> PathBuf {
    static MAKING: Mutex<()> = Mutex::new(());
    let _one = MAKING.lock().unwrap();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let film = folder.join("large-v2.mp4");
    if !film.exists() {
        let part = folder.join(format!("large-v2.{}.part.mp4", std::process::id()));
        let whole = folder.join(format!("large-v2.{}.mp4", std::process::id()));
        let (part, whole) = (part.to_str().unwrap(), whole.to_str().unwrap());
        let make = |words: &str| {
            let words: Vec<&str> = words.split(' ').collect();
            harness::tool(
                "ffmpeg",
                &[&["-nostdin", "-v", "error", "-y"], words.as_slice()].concat(),
            );
        };
        let noise = "nullsrc=size=640x360:rate=25:duration=10,geq=random(1)*255:128:128";
        let coded = "-c:v mpeg4 -b:v 10M -minrate 10M -maxrate 10M -bufsize 2M -g 25 -c:a aac";
        make(&format!(
            "-f lavfi -i {noise} -f lavfi -i sine=duration=10 {coded} {part}"
        ));
        make(&format!("-stream_loop 9 -i {part} -c copy {whole}"));
        fs::remove_file(part).unwrap();
        fs::rename(whole, &film).unwrap();
    }
    film
}

const ALL: &str = r#"
[task.web]
kind = "transcode"
container = "mp4"
height = 120
[task.poster]
kind = "snapshot"
at = ["50%"]
[task.info]
kind = "probe"
[task.keep]
kind = "copy"
"#;

const REMUX: &str = r#"
[task.web]
kind = "transcode"
container = "mkv"
video = "copy"
audio = "copy"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn an_object_far_away_becomes_results_that_play() {
    let far = Far::new(&film());
    let bench = Bench::over(&far, ALL).await;
    bench.succeeded();
    assert_eq!(
        bench.published(),
        ["clip_info.json", "clip_keep.mp4", "clip_poster.jpg", "clip_web.mp4"]
    );
    assert_plays(&bench.out("clip_web.mp4"));
    assert_plays(&bench.out("clip_poster.jpg"));
    assert_eq!(fs::read(bench.out("clip_keep.mp4")).unwrap(), far.content);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_with_its_index_at_the_end_is_fetched_hardly_more_than_once() {
    let far = Far::new(&large());
    let bench = Bench::over(&far, REMUX).await;
    bench.succeeded();
    let made = fs::metadata(bench.out("clip_web.mkv")).unwrap().len();
    assert!(made > 100 << 20, "{made}");
    println!("remux: {:.4}", far.share());
    assert!(far.share() <= 1.03, "{}", far.share());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_fetches_a_few_blocks_and_a_poster_a_part() {
    let far = Far::new(&large());
    Bench::over(&far, "[task.info]\nkind = \"probe\"\n").await.succeeded();
    println!("probe: {} MiB", far.fetched.load(Ordering::SeqCst) >> 20);
    assert!(far.fetched.load(Ordering::SeqCst) <= 5 << 20);
    let far = Far::new(&large());
    let bench = Bench::over(&far, "[task.poster]\nkind = \"snapshot\"\nat = [\"50%\"]\n").await;
    bench.succeeded();
    println!("poster: {} MiB", far.fetched.load(Ordering::SeqCst) >> 20);
    // How far a demuxer runs on behind the picture depends on how fast that is decoded.
    let size = std::fs::metadata(large()).unwrap().len();
    assert!(far.fetched.load(Ordering::SeqCst) <= size / 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_replaced_midway_ends_the_job_and_is_looked_at_anew() {
    let far = Far::failing(&large(), 40 << 20, Fault::Replaced);
    let bench = Bench::over(&far, REMUX).await;
    assert_eq!(bench.job.state, JobState::Cancelled, "{:#?}", bench.job);
    assert_eq!(
        bench.job.reason.as_deref(),
        Some("the source was replaced while it was read")
    );
    assert_eq!(bench.mill.hints.len(), 1);
    assert_eq!(bench.published(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_goes_away_midway_is_no_failure_of_the_medium() {
    for after in [0, 40 << 20] {
        let far = Far::failing(&large(), after, Fault::Away);
        let bench = Bench::over(&far, REMUX).await;
        assert_eq!(bench.job.state, JobState::Queued, "{:#?}", bench.job);
        let reason = bench.job.reason.clone().unwrap();
        assert_eq!(reason, "waits after offline: nobody answers");
        assert_eq!(bench.published(), [""; 0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_slow_bucket_has_not_stalled() {
    let far = Far {
        takes: Duration::from_secs(3),
        ..Far::new(&film())
    };
    let bench = Bench::over(&far, &format!("[retry]\nstall = \"1s\"\n{ALL}")).await;
    bench.succeeded();
}

const WHOLE: &str = "input = \"download\"\n";

const BY_PATH: &str = r#"
[task.sound]
kind = "pipeline"
launch = "filesrc location={file} ! decodebin ! audioconvert ! vorbisenc ! oggmux ! {output}"
extension = "ogg"
[task.again]
kind = "pipeline"
launch = "{input} ! decodebin ! audioconvert ! vorbisenc ! oggmux ! {output}"
extension = "ogg"
allow = ["/usr/share/doc"]
[task.info]
kind = "probe"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_fetched_whole_can_be_opened_by_its_path_and_is_fetched_once() {
    let far = Far::new(&film());
    let local = SingleFile::new(far.name.clone(), Some((far.key.clone(), film())));
    for source in [Arc::new(far.clone()) as Arc<dyn Bucket>, Arc::new(local)] {
        let bench = Bench::work(source, &far.key, WHOLE, BY_PATH).await;
        bench.succeeded();
        assert_eq!(
            bench.published(),
            ["clip_again.ogg", "clip_info.json", "clip_sound.ogg"]
        );
        assert_plays(&bench.out("clip_sound.ogg"));
        let scratch = fs::read_dir(bench.out(".reelmill/scratch")).unwrap();
        assert_eq!(scratch.count(), 0, "nothing stays behind");
    }
    assert_eq!(far.fetched.load(Ordering::SeqCst), far.content.len() as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_replaced_while_it_is_fetched_ends_the_job() {
    let far = Far::failing(&large(), 40 << 20, Fault::Replaced);
    let bench = Bench::work(Arc::new(far.clone()), &far.key, WHOLE, REMUX).await;
    assert_eq!(bench.job.state, JobState::Cancelled, "{:#?}", bench.job);
    assert_eq!(bench.mill.hints.len(), 1);
}
