//! Generated histories of a bucket over a network: objects come, change and go, and what is told of them is lost, doubled,
//! late and out of order, while listings fail and the daemon is killed. In the end every object that is there has been
//! given to exactly one job.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;
use proptest::sample::Index;

use super::sink::MillSink;
use super::*;
use crate::bucket::far::FarBucket;
use crate::bucket::memory_remote::{Call, Fault, MemoryRemote};
use crate::job::{Job, JobState};
use crate::object::{Directory, Identity, ObjectKey};
use crate::rule::book::{ArmingMode, LiveRule, RuleBook};
use crate::service::tests_support::{armed, bucket, key, mill_in, rule};
use crate::service::watching::kept;
use crate::service::{arming, intake, sweep};
use crate::store::{Arming, JobFilter};
use crate::watch::{Notice, Sink};

const NAMES: [&str; 5] = ["a.mp4", "a/b c+%.mp4", "a0.mp4", "z/1.mp4", "ü.mp4"];

#[derive(Debug, Clone)]
enum Step {
    /// An object comes, or a new version of it.
    Put(usize),
    Delete(usize),
    /// Somebody tells of anything that ever came: so events are lost, doubled, late and out of order. A sender that waits
    /// for an answer or not.
    Tell(Index, bool),
    /// Somebody tells of what never was, or does not say when.
    TellWithoutTime(usize),
    /// Intake works on what it has.
    Intake,
    /// An object comes while it does.
    PutMeanwhile(usize, u64),
    /// The daemon is killed while it does, and started again.
    Kill(u64),
    Sweep,
    /// The rule is armed, as far as that goes.
    Arm,
    /// The next calls of this sort fail.
    Fail(Call, u8),
}

fn step() -> impl Strategy<Value = Step> {
    let name = || 0..NAMES.len();
    prop_oneof![
        6 => name().prop_map(Step::Put),
        2 => name().prop_map(Step::Delete),
        8 => (any::<Index>(), any::<bool>()).prop_map(|(which, waits)| Step::Tell(which, waits)),
        1 => name().prop_map(Step::TellWithoutTime),
        4 => Just(Step::Intake),
        3 => (name(), 0..3000_u64).prop_map(|(name, micros)| Step::PutMeanwhile(name, micros)),
        2 => (0..6000_u64).prop_map(Step::Kill),
        3 => Just(Step::Sweep),
        1 => Just(Step::Arm),
        1 => (prop_oneof![Just(Call::Page), Just(Call::Head)], 1..3_u8).prop_map(|(call, count)| Step::Fail(call, count)),
    ]
}

/// Everything outside of the daemon, and the daemon.
struct World {
    remote: MemoryRemote,
    live: LiveRule,
    mill: Arc<Mill>,
    /// Every key with the time of an object that came to be there.
    events: Vec<(ObjectKey, Timestamp)>,
    number: u64,
    _folder: tempfile::TempDir,
}

fn arrived(identity: &Identity) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(identity.modified_ns)).unwrap()
}

impl World {
    /// With a rule that was enabled after the first `old` objects came and is not armed yet.
    async fn new(old: usize, has_versions: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let remote = MemoryRemote::new("inbox");
        remote.set_page(2);
        remote.set_versions(has_versions);
        let place = FarBucket::new(bucket(), "uploads", Arc::new(remote.clone()));
        let mill = mill_in(folder.path(), Arc::new(place)).await;
        let mut world = Self {
            remote,
            live: rule("all", ""),
            mill,
            events: Vec::new(),
            number: 0,
            _folder: folder,
        };
        world.put("first.mp4");
        for name in &NAMES[..old] {
            world.put(name);
        }
        // At the end of the second in which the last of them came: that is all that a bucket says of it.
        world.live.since = world.events.last().unwrap().1 + jiff::SignedDuration::from_nanos(999_999_999);
        world.live.arming = Some(ArmingMode::Enabled);
        world.mill.store.save_rule(&armed(&world.live, None)).await.unwrap();
        world.start().await;
        world
    }

    fn put(&mut self, name: &str) {
        self.number += 1;
        // Some versions differ in nothing but their time.
        let bytes = format!("bytes {}", self.number / 2);
        let identity = self.remote.put_bytes(&key(name), bytes.as_bytes(), &[]);
        self.events.push((key(name), arrived(&identity)));
    }

    /// A daemon that knows nothing but what its store does.
    async fn start(&mut self) {
        let before = &self.mill;
        let (config, buckets) = (before.config.clone(), before.buckets.clone());
        self.mill = Arc::new(Mill::new(config, before.store.clone(), buckets, Timestamp::now()));
        let record = self.mill.store.rules().await.unwrap().remove(0);
        let mut live = self.live.clone();
        live.arming = live.arming.filter(|_| record.arming != Arming::Done);
        self.mill.book.set(RuleBook {
            rules: vec![live],
            broken: Vec::new(),
        });
        self.mill.hints.of(&bucket()).set_watched(u64::MAX);
        let mut after = 0;
        while let Some(last) = kept::tick(&self.mill, after).await.unwrap() {
            after = last;
        }
    }

    /// Arms the rule while intake works, as in the daemon.
    async fn arm(&self) -> bool {
        let is_over = Cell::new(false);
        let arm = async {
            let finished = arming::tick(&self.mill).await;
            is_over.set(true);
            finished
        };
        // To the end of each batch: what is dropped in the midst of one is a daemon that was killed.
        let work = async {
            while !is_over.get() {
                intake::tick(&self.mill, &bucket()).await;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::join!(arm, work).0
    }

    async fn sweep(&self) -> bool {
        let all = [Directory::default()];
        sweep::tick(&self.mill, &bucket(), &all).await.is_ok()
    }

    async fn intake(&self) {
        while intake::tick(&self.mill, &bucket()).await > 0 {}
    }

    async fn tell(&self, key: ObjectKey, event: Option<Timestamp>, waits: bool) {
        let sink = MillSink::far(&self.mill, &bucket(), "sqs");
        if waits {
            let notice = Notice {
                bucket: None,
                key,
                event,
            };
            sink.keep(vec![notice], "sqs").await.unwrap();
        } else {
            sink.hint(key, event, "listen");
        }
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Put(name) => self.put(NAMES[name]),
            Step::Delete(name) => self.remote.remove(&key(NAMES[name])),
            Step::Tell(which, waits) => {
                let (key, event) = which.get(&self.events).clone();
                self.tell(key, Some(event), waits).await;
            }
            Step::TellWithoutTime(name) => self.tell(key(NAMES[name]), None, true).await,
            Step::Intake => {
                intake::tick(&self.mill, &bucket()).await;
            }
            Step::PutMeanwhile(name, micros) => {
                let (mill, inbox) = (self.mill.clone(), bucket());
                let put = async {
                    tokio::time::sleep(Duration::from_micros(micros)).await;
                    self.put(NAMES[name]);
                };
                tokio::join!(intake::tick(&mill, &inbox), put);
            }
            Step::Kill(micros) => {
                let (mill, inbox) = (self.mill.clone(), bucket());
                let _ = tokio::time::timeout(Duration::from_micros(micros), intake::tick(&mill, &inbox)).await;
                self.start().await;
            }
            Step::Sweep => {
                self.sweep().await;
            }
            Step::Arm => {
                self.arm().await;
            }
            Step::Fail(call, count) => self.remote.fail(call, (0..count).map(|_| Fault::Denied)),
        }
    }

    /// All is well again, and nobody tells of anything any more.
    async fn calm(&mut self) {
        self.start().await;
        for _ in 0..20 {
            if self.arm().await && self.sweep().await {
                break;
            }
        }
        // What a fault has put off is looked at now, not in its time.
        self.intake().await;
        for round in 0.. {
            let names: Vec<_> = NAMES.iter().copied().chain(["first.mp4"]).collect();
            for name in names {
                self.tell(key(name), None, false).await;
            }
            self.intake().await;
            if self.mill.hints.is_empty() {
                return;
            }
            assert!(round < 20, "hints stay for ever");
        }
    }

    async fn jobs(&self) -> Vec<Job> {
        let filter = JobFilter {
            limit: 1000,
            ..JobFilter::default()
        };
        let mut jobs = self.mill.store.jobs(&filter).await.unwrap();
        jobs.reverse();
        jobs
    }
}

async fn history(old: usize, has_versions: bool, steps: Vec<Step>) {
    let mut world = World::new(old, has_versions).await;
    for step in steps {
        world.take(step).await;
    }
    world.calm().await;
    let jobs = world.jobs().await;
    let mut by_key: BTreeMap<&ObjectKey, Vec<&Job>> = BTreeMap::new();
    for job in &jobs {
        by_key.entry(&job.object.key).or_default().push(job);
    }
    for (key, jobs) in &by_key {
        let mut seen: HashMap<&Identity, u32> = HashMap::new();
        for job in jobs {
            *seen.entry(&job.object.identity).or_default() += 1;
            assert!(
                arrived(&job.object.identity) > world.live.since,
                "{key}: what is old has a job"
            );
        }
        assert!(
            seen.values().all(|count| *count == 1),
            "{key}: two jobs on one identity"
        );
        assert!(jobs.is_sorted_by_key(|job| job.generation), "{key}: generations rise");
        assert!(
            jobs.is_sorted_by_key(|job| job.object.identity.modified_ns),
            "{key}: an older identity came after a newer one"
        );
        let (last, before) = jobs.split_last().unwrap();
        assert!(
            before.iter().all(|job| job.state == JobState::Cancelled),
            "{key}: {before:#?}"
        );
        assert_eq!(last.state, JobState::Queued, "{key}");
    }
    for there in world.remote.keys() {
        let identity = world.remote.stored(&there).unwrap().identity;
        let last = by_key.get(&there).and_then(|jobs| jobs.last());
        let wanted = (arrived(&identity) > world.live.since).then_some(&identity);
        if wanted.is_some() || last.is_none() {
            assert_eq!(last.map(|job| &job.object.identity), wanted, "{there}");
        }
    }
    assert_eq!(
        world.mill.store.kept_hints(0, 100).await.unwrap(),
        [],
        "all that was kept is decided"
    );
    // It stays as it is.
    assert!(world.sweep().await);
    world.intake().await;
    assert_eq!(
        world.jobs().await.len(),
        jobs.len(),
        "a second listing finds nothing new"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_object_is_given_to_one_job_whatever_is_told(
        old in 0..NAMES.len(),
        has_versions in any::<bool>(),
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(history(old, has_versions, steps));
    }
}
