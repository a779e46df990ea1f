use std::path::Path;

use super::*;
use crate::bucket::local::LocalBucket;
use crate::job::state::Event;
use crate::job::{Generation, JobId};
use crate::object::{Directory, Identity, Object};
use crate::rule::book::{LiveRule, RuleBook};
use crate::service::tests_support::{bucket, key, mill_in, rule};
use crate::store::conformance::{claim, fresh_id, new_task, started, succeeded};
use crate::store::{Acceptance, NewJob};

struct House {
    folder: tempfile::TempDir,
    mill: Arc<Mill>,
}

fn now() -> Timestamp {
    Timestamp::now()
}

impl House {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("inbox/in")).unwrap();
        let place = LocalBucket::new(bucket(), folder.path().join("inbox"), &folder.path().join("buckets"));
        let mill = mill_in(folder.path(), Arc::new(place)).await;
        Self { folder, mill }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join("inbox").join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    async fn object(&self, name: &str) -> Object {
        let opened = self.mill.buckets[&bucket()].open(&key(name)).await.unwrap();
        Object {
            bucket: bucket(),
            key: key(name),
            identity: opened.identity,
        }
    }

    /// A job on the object as it is, that succeeded.
    async fn success(&self, rule: &str, object: &Object, wish: Option<AfterSuccess>) -> JobId {
        let id = self.accepted(rule, object, wish).await;
        let (job, lease) = claim(self.mill.store.as_ref(), now()).await;
        assert_eq!(job.id, id);
        self.mill
            .store
            .apply(&id, Some(lease), &[started(), succeeded()], now())
            .await
            .unwrap();
        id
    }

    async fn accepted(&self, rule: &str, object: &Object, wish: Option<AfterSuccess>) -> JobId {
        let id = fresh_id();
        let acceptance = Acceptance {
            rule: rule.parse().unwrap(),
            object: object.clone(),
            seen: Generation(0),
            job: Some(NewJob {
                id: id.clone(),
                rule_version: crate::rule::RuleVersion("0123456789abcdef".to_owned()),
                rule_text: String::new(),
                priority: crate::job::Priority::default(),
                tasks: vec![new_task("copy")],
                retry_of: None,
                context: None,
                dedupe: None,
                after_success: wish,
            }),
            listed: None,
        };
        self.mill.store.accept(vec![acceptance], now()).await.unwrap();
        id
    }

    async fn tick(&self) {
        tick(&self.mill, 0, now()).await.unwrap();
    }

    async fn step(&self, job: &JobId) -> SourceStep {
        self.mill.store.source_step(job).await.unwrap().unwrap()
    }

    fn rules(&self, rules: Vec<LiveRule>) {
        self.mill.book.set(RuleBook {
            rules,
            broken: Vec::new(),
        });
    }

    fn names(&self, folder: &str) -> Vec<String> {
        names(&self.path(folder))
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

fn moving() -> AfterSuccess {
    AfterSuccess::Move {
        to: Directory::new("done").unwrap(),
        below: Directory::new("in").unwrap(),
    }
}

#[tokio::test]
async fn a_source_waits_for_every_rule_that_wants_it_and_has_not_decided() {
    let house = House::new().await;
    house.write("in/a.mp4", "x");
    let mut web = rule("web", "in");
    Arc::make_mut(&mut web.rule).after_success = Some(AfterSuccess::Delete);
    house.rules(vec![web, rule("late", "in")]);
    let object = house.object("in/a.mp4").await;
    let job = house.success("web", &object, Some(AfterSuccess::Delete)).await;
    house.tick().await;
    let step = house.step(&job).await;
    assert_eq!(step.state, StepState::Due);
    assert!(step.reason.unwrap().contains("\"late\" wants it too"));
    assert!(house.path("in/a.mp4").exists());
    house.success("late", &object, None).await;
    house.tick().await;
    assert_eq!(house.step(&job).await.state, StepState::Done);
    assert!(house.names("in").is_empty());
}

#[tokio::test]
async fn a_source_waits_for_jobs_that_have_not_ended_and_is_kept_by_those_that_did_not_succeed() {
    let house = House::new().await;
    house.write("in/a.mp4", "x");
    let object = house.object("in/a.mp4").await;
    let job = house.success("web", &object, Some(AfterSuccess::Delete)).await;
    let other = house.accepted("other", &object, None).await;
    house.tick().await;
    assert_eq!(house.step(&job).await.state, StepState::Due);
    let cancelled = Event::Cancelled {
        reason: "by hand".to_owned(),
    };
    house.mill.store.apply(&other, None, &[cancelled], now()).await.unwrap();
    house.tick().await;
    let step = house.step(&job).await;
    assert_eq!(step.state, StepState::Held);
    assert!(step.reason.unwrap().contains("was cancelled"));
    assert!(house.path("in/a.mp4").exists());
    // Another success on the very file makes it be looked at again.
    house.success("third", &object, None).await;
    assert_eq!(house.step(&job).await.state, StepState::Due);
    house.tick().await;
    assert_eq!(
        house.step(&job).await.state,
        StepState::Held,
        "the cancelled one still keeps it"
    );
}

#[tokio::test]
async fn a_replaced_source_stays() {
    let house = House::new().await;
    house.write("in/a.mp4", "x");
    let object = house.object("in/a.mp4").await;
    let job = house.success("web", &object, Some(AfterSuccess::Delete)).await;
    house.write("in/a.mp4", "a newer one");
    house.tick().await;
    let step = house.step(&job).await;
    assert_eq!(step.state, StepState::GivenUp);
    assert!(step.reason.unwrap().contains("replaced"));
    assert_eq!(std::fs::read_to_string(house.path("in/a.mp4")).unwrap(), "a newer one");
}

#[tokio::test]
async fn a_source_that_somebody_writes_to_waits() {
    let house = House::new().await;
    house.write("in/a.mp4", "x");
    let object = house.object("in/a.mp4").await;
    let job = house.success("web", &object, Some(AfterSuccess::Delete)).await;
    let writer = std::fs::File::options()
        .append(true)
        .open(house.path("in/a.mp4"))
        .unwrap();
    house.tick().await;
    assert_eq!(house.step(&job).await.state, StepState::Due);
    assert_eq!(house.names("in"), ["a.mp4"]);
    drop(writer);
    house.tick().await;
    assert_eq!(house.step(&job).await.state, StepState::Done);
}

#[tokio::test]
async fn moving_takes_another_name_where_the_first_is_taken_and_comes_before_deleting() {
    let house = House::new().await;
    house.write("in/a.mp4", "x");
    std::fs::create_dir(house.path("done")).unwrap();
    house.write("done/a.mp4", "theirs");
    let object = house.object("in/a.mp4").await;
    let deleting = house.success("web", &object, Some(AfterSuccess::Delete)).await;
    let job = house.success("archive", &object, Some(moving())).await;
    house.tick().await;
    assert_eq!(house.step(&deleting).await.state, StepState::GivenUp);
    let step = house.step(&job).await;
    assert_eq!((step.state, step.target), (StepState::Done, Some(key("done/a_2.mp4"))));
    assert_eq!(house.names("done"), ["a.mp4", "a_2.mp4"]);
    assert_eq!(std::fs::read_to_string(house.path("done/a.mp4")).unwrap(), "theirs");
}

#[tokio::test]
async fn a_bucket_that_is_offline_gives_nothing_up() {
    let house = House::new().await;
    house.write("in/a.mp4", "x");
    let object = house.object("in/a.mp4").await;
    let job = house.success("web", &object, Some(AfterSuccess::Delete)).await;
    let (here, away) = (house.folder.path().join("inbox"), house.folder.path().join("away"));
    std::fs::rename(&here, &away).unwrap();
    std::fs::create_dir(&here).unwrap();
    house.tick().await;
    assert_eq!(house.step(&job).await.state, StepState::Due);
    std::fs::remove_dir(&here).unwrap();
    std::fs::rename(&away, &here).unwrap();
    house.tick().await;
    assert_eq!(house.step(&job).await.state, StepState::Done);
}

#[tokio::test]
async fn more_steps_than_a_round_takes_all_get_their_turn() {
    let house = House::new().await;
    let gone = Object {
        bucket: bucket(),
        key: key("in/gone.mp4"),
        identity: Identity::local(1, 1),
    };
    let mut jobs = Vec::new();
    for number in 0..BATCH + 5 {
        let object = Object {
            key: key(&format!("in/{number}.mp4")),
            ..gone.clone()
        };
        jobs.push(house.success("web", &object, Some(AfterSuccess::Delete)).await);
    }
    let mut after = Some(0);
    for _ in 0..2 {
        after = tick(&house.mill, after.unwrap(), now()).await.unwrap();
        assert!(after > Some(0));
    }
    assert_eq!(tick(&house.mill, after.unwrap(), now()).await.unwrap(), None);
    for job in &jobs {
        assert_eq!(house.step(job).await.state, StepState::GivenUp);
    }
}

#[tokio::test]
async fn nothing_is_taken_away_by_a_rule_that_does_not_say_so_any_more() {
    let house = House::new().await;
    house.write("in/a.mp4", "x");
    house.rules(vec![rule("web", "in")]);
    let object = house.object("in/a.mp4").await;
    let job = house.success("web", &object, Some(AfterSuccess::Delete)).await;
    house.tick().await;
    let step = house.step(&job).await;
    assert_eq!(step.state, StepState::GivenUp);
    assert!(step.reason.unwrap().contains("the rule was changed"));
    assert!(house.path("in/a.mp4").exists());
}

#[tokio::test]
async fn a_place_that_cannot_be_moved_to_leaves_the_source_where_it_was() {
    let house = House::new().await;
    house.write("in/a.mp4", "x");
    house.write("done", "a file where a directory should be");
    let object = house.object("in/a.mp4").await;
    let job = house.success("archive", &object, Some(moving())).await;
    house.tick().await;
    let step = house.step(&job).await;
    assert!(step.state != StepState::Done, "{step:?}");
    assert!(step.reason.is_some());
    assert_eq!(house.names("in"), ["a.mp4"]);
    std::fs::remove_file(house.path("done")).unwrap();
}
