//! Random histories, checked after every step and driven to their end.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::job::JobState;
use crate::store::{JobFilter, OutputState, PublishRefused};

const KEYS: [&str; 3] = ["a.mp4", "b.mp4", "c.mp4"];

/// What the history did, to compare with what the store says.
struct History {
    random: StdRng,
    store: Arc<dyn Store>,
    clock: i64,
    /// How many identities of each key were accepted.
    accepted: BTreeMap<&'static str, u64>,
    /// Jobs that were claimed, with every lease that they had; the last may be current.
    claimed: Vec<(Job, LeaseNumber)>,
    /// Final jobs, which must not change any more.
    ended: BTreeMap<JobId, Job>,
}

impl History {
    async fn accept(&mut self) {
        let key = KEYS[self.random.random_range(0..KEYS.len())];
        let now = self.accepted.get(key).copied().unwrap_or(0);
        let seen = if self.random.random_bool(0.6) {
            now
        } else {
            self.random.random_range(0..=now + 1)
        };
        let wishes = vec![wish(key, self.clock, seen), wish(key, self.clock, seen)];
        let answers = self.store.accept(wishes, at(self.clock)).await.unwrap();
        assert_eq!(answers[0] != Accepted::Stale, seen == now);
        assert_eq!(answers[1], Accepted::Stale);
        if seen == now {
            self.accepted.insert(key, now + 1);
        }
    }

    async fn claim(&mut self) {
        if let Some(job) = maybe_claim(&*self.store, at(self.clock)).await {
            let lease = job.lease.as_ref().unwrap().number;
            assert!(self.claimed.iter().all(|(_, other)| *other < lease));
            self.claimed.push((job, lease));
        }
    }

    /// Some holder, perhaps one that lost its lease, does the next thing to its job.
    async fn work(&mut self) {
        let Some(oldest) = self.claimed.len().checked_sub(1) else {
            return;
        };
        // Mostly one of the last, which may still hold its lease.
        let back = self.random.random_range(0..=oldest.min(4));
        let (job, lease) = self.claimed[oldest - back].clone();
        let current = self.store.job(&job.id).await.unwrap();
        let holds = current.lease.as_ref().map(|held| held.number) == Some(lease);
        let name = format!("{}.out", job.object.key);
        let list = publish_list(&job, &[&name]);
        let answer = match self.random.random_range(0..7) {
            0 | 1 => self.apply(&job, lease, started()).await,
            2 => self.apply(&job, lease, failed()).await,
            3 => {
                let later = Some(at(self.clock + self.random.random_range(0..5)));
                self.apply(&job, lease, given_back(later)).await
            }
            _ => match self.store.begin_publish(&list, Some(lease), at(self.clock)).await {
                Ok(()) => {
                    assert!(!current.superseded, "a superseded job may not publish");
                    self.finish(&list, lease).await
                }
                Err(PublishRefused::Superseded) => {
                    assert!(
                        current.superseded
                            || current.state == JobState::Cancelled
                            || self.accepted[job.object.key.to_string().as_str()] > job.generation.0
                    );
                    return;
                }
                Err(PublishRefused::Store(error)) => Err(error),
                Err(other) => panic!("{other}"),
            },
        };
        match answer {
            Ok(()) => assert!(holds, "a lost lease wrote"),
            Err(StoreError::LeaseLost(_)) => assert!(!holds),
            Err(StoreError::Illegal(_)) => assert!(holds),
            Err(error) => panic!("{error}"),
        }
    }

    async fn apply(&self, job: &Job, lease: LeaseNumber, event: Event) -> Result<(), StoreError> {
        let now = at(self.clock);
        self.store.apply(&job.id, Some(lease), &[event], now).await.map(|_| ())
    }

    /// Finishes a list, or leaves it as a crash would.
    async fn finish(&mut self, list: &PublishList, lease: LeaseNumber) -> Result<(), StoreError> {
        if self.random.random_bool(0.3) {
            return Ok(());
        }
        let grace = SignedDuration::from_secs(3);
        let now = at(self.clock);
        self.store
            .finish_publish(list, Some(lease), &[succeeded()], grace, now)
            .await
            .map(|_| ())
    }

    async fn roll_forward(&mut self) {
        for list in self.store.pending_publishes().await.unwrap() {
            let grace = SignedDuration::from_secs(3);
            self.store
                .finish_publish(&list, None, &[succeeded()], grace, at(self.clock))
                .await
                .unwrap();
        }
    }

    async fn check(&mut self) {
        let filter = JobFilter {
            limit: 1000,
            ..JobFilter::default()
        };
        let mut busy = BTreeSet::new();
        let mut waiting = BTreeSet::new();
        for job in self.store.jobs(&filter).await.unwrap() {
            let key = job.object.key.clone();
            match job.state {
                JobState::Running => assert!(busy.insert(key), "two jobs of a key run"),
                JobState::Queued => assert!(waiting.insert(key), "two jobs of a key wait"),
                _ => {
                    let known = self.ended.entry(job.id.clone()).or_insert(job.clone());
                    assert_eq!(*known, job, "a final job changed");
                }
            }
        }
    }

    /// Everything that is left is worked well.
    async fn drain(&mut self) {
        self.clock += 1000;
        self.roll_forward().await;
        self.store.take_back(Some("here"), at(self.clock)).await.unwrap();
        while let Some(job) = maybe_claim(&*self.store, at(self.clock)).await {
            let lease = job.lease.as_ref().unwrap().number;
            self.apply(&job, lease, started()).await.unwrap();
            let list = publish_list(&job, &[&format!("{}.out", job.object.key)]);
            self.store
                .begin_publish(&list, Some(lease), at(self.clock))
                .await
                .unwrap();
            let grace = SignedDuration::ZERO;
            self.store
                .finish_publish(&list, Some(lease), &[succeeded()], grace, at(self.clock))
                .await
                .unwrap();
        }
    }

    /// Every key's newest identity ended in one job, and what is under its name comes from the newest that
    /// succeeded.
    async fn check_end(&self) {
        let filter = JobFilter {
            limit: 1000,
            ..JobFilter::default()
        };
        let jobs = self.store.jobs(&filter).await.unwrap();
        assert!(jobs.iter().all(|job| job.state.is_final()));
        for (key, newest) in &self.accepted {
            let of_key = || jobs.iter().filter(|job| job.object.key.to_string() == *key);
            assert_eq!(of_key().count() as u64, *newest, "one job an identity");
            let last: Vec<_> = of_key().filter(|job| job.generation.0 == *newest).collect();
            assert_eq!(last.len(), 1);
            assert_ne!(last[0].state, JobState::Cancelled);
            let published = of_key()
                .filter(|job| job.state == JobState::Succeeded)
                .max_by_key(|job| job.generation);
            let name = format!("{key}.out").parse().unwrap();
            let own = self.store.own_outputs(&"out".parse().unwrap(), &[name]).await.unwrap();
            if let (Some(job), [output]) = (published, own.as_slice()) {
                assert_eq!(output.job, job.id);
                assert_eq!(output.state, OutputState::Published);
            } else {
                assert!(published.is_none(), "{key} has no output");
            }
        }
        let counted: u64 = self.store.counts().await.unwrap().iter().map(|line| line.count).sum();
        assert_eq!(counted, jobs.len() as u64);
    }
}

pub async fn no_history_runs_a_key_twice_or_loses_its_newest_identity(place: &dyn Place) {
    // One database, so that each history begins with what the one before left.
    let mut accepted = BTreeMap::new();
    let mut ended = BTreeMap::new();
    for seed in 0..8 {
        let mut history = History {
            random: StdRng::seed_from_u64(seed),
            store: place.open(HOURLY).await,
            clock: i64::try_from(seed).unwrap() * 10_000,
            accepted,
            claimed: Vec::new(),
            ended,
        };
        for _ in 0..60 {
            history.clock += 1;
            match history.random.random_range(0..12) {
                0..=1 => history.accept().await,
                2..=4 => history.claim().await,
                5..=9 => history.work().await,
                10 => history.roll_forward().await,
                _ => {
                    let now = at(history.clock);
                    history.store.take_back(Some("here"), now).await.unwrap();
                }
            }
            history.check().await;
        }
        history.drain().await;
        history.check_end().await;
        accepted = history.accepted;
        ended = history.ended;
    }
}
