//! What the services share: the store, the buckets, the rule book, what runs, and how things stand.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use jiff::Timestamp;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::hints::HintBox;
use super::pace::Pace;
use super::publishing::active::Uploads;
use super::pulse::Pulse;
use super::resting::Resting;
use super::room::Room;
use super::watching::standing::Standing;
use crate::bucket::Bucket;
use crate::config::Config;
use crate::job::{JobId, LeaseNumber};
use crate::object::BucketName;
use crate::rule::TaskId;
use crate::rule::book::RuleBook;
use crate::rule::index::TriggerIndex;
use crate::store::Store;
use crate::worker::protocol::Progress;

/// Everything that more than one service needs. Each part guards itself; there is no lock over the whole.
pub struct Mill {
    /// The config that the daemon started with.
    pub config: Config,
    /// The database.
    pub store: Arc<dyn Store>,
    /// By name.
    pub buckets: BTreeMap<BucketName, Arc<dyn Bucket>>,
    /// How the sources of buckets over a network stand.
    pub standing: Standing,
    /// Hints that are kept did not fit into the box.
    pub kept_hints_wait: Notify,
    /// Rules in force.
    pub book: LiveBook,
    /// Hints that wait for intake.
    pub hints: HintBox,
    /// Jobs that this daemon works on.
    pub running: Running,
    /// How each part stands.
    pub health: Health,
    /// Room for what runs write.
    pub room: Room,
    /// Uploads that are under way.
    pub uploads: Uploads,
    /// Rules of which no job can be worked on just now.
    pub resting: Resting,
    /// Somebody wants the queue looked at.
    pub queue_changed: Notify,
    /// Somebody wants the rules read again.
    pub rules_changed: Notify,
    /// Signs of life, for whoever supervises.
    pub pulse: Pulse,
    /// Cancelled once the daemon begins to stop: long work that somebody waits for breaks off.
    pub stopping: CancellationToken,
    /// Cancelled where jobs that run are not to be waited for any more.
    pub halt: CancellationToken,
    /// When the daemon started.
    pub started: Timestamp,
}

impl Mill {
    /// A mill at rest.
    #[must_use]
    pub fn new(
        config: Config,
        store: Arc<dyn Store>,
        buckets: BTreeMap<BucketName, Arc<dyn Bucket>>,
        started: Timestamp,
    ) -> Self {
        Self {
            room: Room::new(config.workers.min_free),
            uploads: Uploads::default(),
            resting: Resting::default(),
            config,
            store,
            buckets,
            standing: Standing::default(),
            kept_hints_wait: Notify::new(),
            book: LiveBook::default(),
            hints: HintBox::default(),
            running: Running::default(),
            health: Health::default(),
            queue_changed: Notify::new(),
            rules_changed: Notify::new(),
            pulse: Pulse::default(),
            stopping: CancellationToken::new(),
            halt: CancellationToken::new(),
            started,
        }
    }
}

/// The rule book in force; readers take a snapshot.
#[derive(Debug, Default)]
pub struct LiveBook {
    current: RwLock<Arc<RuleBook>>,
    index: RwLock<Arc<TriggerIndex>>,
    /// Rises with every swap; services that depend on rules watch it.
    swapped: tokio::sync::watch::Sender<u64>,
    /// Held by whoever reads rule records, saves them, and swaps the book.
    changing: tokio::sync::Mutex<()>,
}

impl LiveBook {
    /// The book as it is now.
    pub fn get(&self) -> Arc<RuleBook> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Which keys the rules of that book may want.
    pub fn index(&self) -> Arc<TriggerIndex> {
        self.index.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts a new book in force.
    pub fn set(&self, book: RuleBook) {
        *self.index.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(TriggerIndex::of(&book));
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(book);
        self.swapped.send_modify(|count| *count += 1);
    }

    /// Keeps others from changing rule records and the book until it is dropped.
    pub async fn change(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.changing.lock().await
    }

    /// Tells of swaps.
    pub fn watch(&self) -> tokio::sync::watch::Receiver<u64> {
        self.swapped.subscribe()
    }
}

/// Jobs that this daemon works on.
#[derive(Debug, Default)]
pub struct Running {
    jobs: Mutex<HashMap<JobId, RunningJob>>,
    departures: Mutex<Departures>,
}

/// One of them.
#[derive(Debug, Clone)]
pub struct RunningJob {
    /// Under which lease.
    pub lease: LeaseNumber,
    /// Ends the work on it.
    pub stop: CancellationToken,
    /// Why, once somebody asked for that.
    pub stop_reason: Option<String>,
    /// What it is doing: `starting`, `probing`, `working`, `publishing`.
    pub phase: &'static str,
    /// Takes one of the slots: until nothing of it is left but publishing.
    pub in_slot: bool,
    /// How far its run is.
    pub progress: Progress,
    /// How fast its run goes.
    pub pace: Pace,
    /// The tasks of its run.
    pub tasks: Vec<TaskId>,
    /// When the work on it began here.
    pub since: Timestamp,
}

impl RunningJob {
    /// A run of these tasks begins.
    pub fn begin_run(&mut self, tasks: Vec<TaskId>) {
        self.phase = "working";
        self.progress = Progress::default();
        self.pace = Pace::default();
        self.tasks = tasks;
    }

    /// The run says how far it is.
    pub fn note(&mut self, progress: Progress, at: Timestamp) {
        self.progress = progress;
        self.pace.note(at, progress.position_ns);
    }
}

/// Jobs that this daemon let go of, the last ones: for whoever watches.
#[derive(Debug, Default)]
struct Departures {
    jobs: VecDeque<JobId>,
    /// How many there ever were.
    count: u64,
}

/// How many departures are kept.
const DEPARTURES: usize = 1000;

impl Running {
    fn jobs(&self) -> std::sync::MutexGuard<'_, HashMap<JobId, RunningJob>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A job begins.
    pub fn insert(&self, id: JobId, lease: LeaseNumber, stop: CancellationToken, at: Timestamp) {
        self.jobs().insert(
            id,
            RunningJob {
                lease,
                stop,
                stop_reason: None,
                phase: "starting",
                in_slot: true,
                progress: Progress::default(),
                pace: Pace::default(),
                tasks: Vec::new(),
                since: at,
            },
        );
    }

    /// Work on a job under this lease is over. Whoever has taken it up meanwhile goes on.
    pub fn remove(&self, id: &JobId, lease: LeaseNumber) {
        let mut jobs = self.jobs();
        if jobs.get(id).is_some_and(|job| job.lease == lease) {
            jobs.remove(id);
        }
        drop(jobs);
        let mut departures = self.departures();
        departures.jobs.push_back(id.clone());
        departures.count += 1;
        if departures.jobs.len() > DEPARTURES {
            departures.jobs.pop_front();
        }
    }

    /// How many jobs were let go of so far, and those after the first `known` of them as far as they are kept.
    pub fn departed(&self, known: u64) -> (u64, Vec<JobId>) {
        let departures = self.departures();
        let fresh = usize::try_from(departures.count.saturating_sub(known)).unwrap_or(usize::MAX);
        let skipped = departures.jobs.len().saturating_sub(fresh);
        (
            departures.count,
            departures.jobs.iter().skip(skipped).cloned().collect(),
        )
    }

    fn departures(&self) -> std::sync::MutexGuard<'_, Departures> {
        self.departures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is known of a job.
    pub fn update(&self, id: &JobId, change: impl FnOnce(&mut RunningJob)) {
        if let Some(job) = self.jobs().get_mut(id) {
            change(job);
        }
    }

    /// Asks a job to stop; true where it runs here.
    pub fn stop(&self, id: &JobId, reason: &str) -> bool {
        let mut jobs = self.jobs();
        let Some(job) = jobs.get_mut(id) else {
            return false;
        };
        job.stop_reason.get_or_insert_with(|| reason.to_owned());
        job.stop.cancel();
        true
    }

    /// What is known of a job.
    pub fn get(&self, id: &JobId) -> Option<RunningJob> {
        self.jobs().get(id).cloned()
    }

    /// Jobs and the leases that they run under.
    pub fn leases(&self) -> Vec<(JobId, LeaseNumber)> {
        let jobs = self.jobs();
        jobs.iter().map(|(id, job)| (id.clone(), job.lease)).collect()
    }

    /// Whether another job may be taken up: a slot is free, and not as many jobs as there are slots publish besides.
    pub fn has_place(&self, slots: u32) -> bool {
        let slots = usize::try_from(slots).unwrap_or(usize::MAX);
        let jobs = self.jobs();
        jobs.values().filter(|job| job.in_slot).count() < slots && jobs.len() < slots.saturating_mul(2)
    }

    /// How many run.
    pub fn len(&self) -> usize {
        self.jobs().len()
    }

    /// Whether none runs.
    pub fn is_empty(&self) -> bool {
        self.jobs().is_empty()
    }
}

/// How each part stands, for `status` and later for metrics.
#[derive(Debug, Default)]
pub struct Health {
    parts: Mutex<BTreeMap<String, Part>>,
}

/// One part.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Part {
    /// Works as it should.
    pub ok: bool,
    /// In words; what would help where it does not work.
    pub message: String,
    /// Since when it is so.
    pub since: Timestamp,
}

impl Health {
    /// Notes how a part stands; `since` stays where nothing changed. Answers whether it changed, so that the
    /// caller can log each change once.
    pub fn set(&self, part: &str, ok: bool, message: impl Into<String>, now: Timestamp) -> bool {
        let message = message.into();
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        match parts.get_mut(part) {
            Some(known) if known.ok == ok => {
                known.message = message;
                false
            }
            _ => {
                parts.insert(
                    part.to_owned(),
                    Part {
                        ok,
                        message,
                        since: now,
                    },
                );
                true
            }
        }
    }

    /// All parts, by name.
    pub fn all(&self) -> BTreeMap<String, Part> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_only_publishes_leaves_its_slot_to_as_many_others_as_there_are_slots() {
        let running = Running::default();
        let id = |number| JobId::new(Timestamp::UNIX_EPOCH, number);
        let begin = |number| {
            running.insert(
                id(number),
                LeaseNumber(1),
                CancellationToken::new(),
                Timestamp::UNIX_EPOCH,
            );
        };
        let publishes = |number| running.update(&id(number), |known| known.in_slot = false);
        begin(1);
        assert!(!running.has_place(1) && running.has_place(2));
        publishes(1);
        assert!(running.has_place(1));
        begin(2);
        publishes(2);
        assert!(!running.has_place(1), "two jobs are two slots' worth");
        running.remove(&id(1), LeaseNumber(1));
        assert!(running.has_place(1));
    }
}
