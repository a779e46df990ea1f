use proptest::prelude::*;

use super::*;
use crate::job::testing::{at, job, lease, task};
use crate::job::{ErrorKind, Failure};
use crate::rule::When;

fn id(text: &str) -> TaskId {
    text.parse().unwrap()
}

fn failure() -> Failure {
    Failure::new(ErrorKind::Crashed, "the worker ended by signal 11")
}

fn play(mut job: Job, events: &[Event]) -> Job {
    for (second, event) in events.iter().enumerate() {
        job = step(&job, event, at(i64::try_from(second).unwrap())).unwrap();
    }
    job
}

fn claimed() -> Event {
    Event::Claimed { lease: lease(1) }
}

fn started(tasks: &[&str]) -> Event {
    Event::RunStarted {
        tasks: tasks.iter().map(|text| id(text)).collect(),
    }
}

fn succeeded(task: &str) -> Event {
    Event::TaskSucceeded {
        task: id(task),
        findings: Vec::new(),
    }
}

fn failed(task: &str) -> Event {
    Event::TaskFailed {
        task: id(task),
        failure: failure(),
        findings: Vec::new(),
    }
}

fn given_back() -> Event {
    Event::GivenBack {
        reason: "shutdown".to_owned(),
        not_before: Some(at(90)),
    }
}

#[test]
fn a_job_succeeds_when_its_last_task_does() {
    let job = play(
        job(vec![task("a", &[]), task("b", &["a"])]),
        &[
            claimed(),
            started(&["a"]),
            succeeded("a"),
            started(&["b"]),
            succeeded("b"),
        ],
    );
    assert_eq!(job.state, JobState::Succeeded);
    assert_eq!((job.attempt, job.started, job.ended), (2, Some(at(0)), Some(at(4))));
    assert_eq!(job.lease, None);
}

#[test]
fn a_job_fails_with_the_first_failure_that_nobody_met() {
    let mut tasks = vec![task("a", &[]), task("b", &["a"]), task("c", &["a"])];
    tasks[1].when = When::Failed;
    let events = [claimed(), started(&["a"]), failed("a"), started(&["b"]), failed("b")];
    let job = play(job(tasks), &events);
    assert_eq!(job.state, JobState::Failed);
    assert_eq!(job.reason.as_deref(), Some("a: the worker ended by signal 11"));
    assert_eq!(job.tasks[2].state, TaskState::Skipped);
}

#[test]
fn a_failed_attempt_counts_and_splits() {
    let job = play(
        job(vec![task("a", &[]), task("b", &[])]),
        &[
            claimed(),
            started(&["a", "b"]),
            succeeded("a"),
            Event::AttemptFailed {
                tasks: vec![id("b")],
                failure: failure(),
                split: true,
            },
            given_back(),
        ],
    );
    assert_eq!(job.state, JobState::Queued);
    assert_eq!((job.attempt, job.not_before), (1, Some(at(90))));
    let b = &job.tasks[1];
    assert_eq!((b.state, b.attempts, b.alone), (TaskState::Queued, 1, true));
    assert_eq!(b.error, Some(failure()));
    assert!(!job.tasks[0].alone);
}

#[test]
fn giving_back_returns_the_attempt_of_what_ran() {
    let job = play(
        job(vec![task("a", &[]), task("b", &[])]),
        &[claimed(), started(&["a"]), given_back()],
    );
    assert_eq!((job.attempt, job.tasks[0].attempts), (0, 0));
    assert_eq!(job.tasks[0].state, TaskState::Queued);
    assert_eq!(job.lease, None);
}

#[test]
fn giving_back_a_superseded_job_ends_it() {
    let mut running = play(job(vec![task("a", &[])]), &[claimed(), started(&["a"])]);
    running.superseded = true;
    let job = step(&running, &given_back(), at(5)).unwrap();
    assert_eq!(job.state, JobState::Cancelled);
    assert_eq!(job.reason.as_deref(), Some(SUPERSEDED));
    assert_eq!(job.tasks[0].state, TaskState::Cancelled);
}

#[test]
fn what_was_published_before_a_crash_counts_once_the_job_was_given_back() {
    let job = play(
        job(vec![task("a", &[]), task("b", &["a"])]),
        &[claimed(), started(&["a"]), given_back(), succeeded("a")],
    );
    assert_eq!(job.state, JobState::Queued);
    assert_eq!(job.tasks[1].state, TaskState::Queued);
}

#[test]
fn events_that_do_not_fit_say_why() {
    let queued = job(vec![task("a", &[]), task("b", &["a"])]);
    let running = play(queued.clone(), &[claimed()]);
    let ended = play(queued.clone(), &[Event::Cancelled { reason: "x".into() }]);
    let table: Vec<String> = [
        (&queued, started(&["a"])),
        (&queued, failed("a")),
        (&queued, given_back()),
        (&running, claimed()),
        (&running, started(&[])),
        (&running, started(&["b"])),
        (&running, started(&["a", "a"])),
        (&running, succeeded("z")),
        (&running, succeeded("b")),
        (&ended, succeeded("a")),
        (&ended, Event::Cancelled { reason: "x".into() }),
    ]
    .iter()
    .map(|(job, event)| step(job, event, at(9)).unwrap_err().to_string())
    .collect();
    insta::assert_snapshot!(table.join("\n"), @r"
    the start of a run does not fit a job that is queued
    the failure of a task does not fit a job that is queued
    giving back does not fit a job that is queued
    a claim does not fit a job that is running
    the start of a run does not fit a job that is running and a run without tasks
    the start of a run does not fit a job that is running and whose task b is waiting
    the start of a run does not fit a job that is running and whose task a is running
    the success of a task does not fit a job that is running and has no task z
    the success of a task does not fit a job that is running and whose task b is waiting
    the success of a task does not fit a job that is cancelled
    cancelling does not fit a job that is cancelled
    ");
}

/// Tasks where each comes after some of those before it; then put into another order.
fn graph() -> impl Strategy<Value = Vec<TaskRecord>> {
    let when = prop_oneof![Just(When::Succeeded), Just(When::Failed), Just(When::Any)];
    prop::collection::vec((any::<u8>(), when), 1..7)
        .prop_map(|nodes| {
            nodes
                .into_iter()
                .enumerate()
                .map(|(at, (edges, when))| {
                    let after: Vec<String> = (0..at)
                        .filter(|before| edges & (1 << before) != 0)
                        .map(|before| format!("t{before}"))
                        .collect();
                    let after: Vec<&str> = after.iter().map(String::as_str).collect();
                    let mut made = task(&format!("t{at}"), &after);
                    made.when = when;
                    made
                })
                .collect::<Vec<_>>()
        })
        .prop_shuffle()
}

fn tasks_named() -> impl Strategy<Value = Vec<TaskId>> {
    prop::collection::vec((0..7u8).prop_map(|at| id(&format!("t{at}"))), 0..4)
}

fn any_event() -> impl Strategy<Value = Event> {
    let one = || (0..7u8).prop_map(|at| format!("t{at}"));
    prop_oneof![
        3 => (1..99u64).prop_map(|number| Event::Claimed { lease: lease(number) }),
        4 => tasks_named().prop_map(|tasks| Event::RunStarted { tasks }),
        1 => Just(Event::Probed { media: "{}".to_owned() }),
        5 => one().prop_map(|task| succeeded(&task)),
        3 => one().prop_map(|task| failed(&task)),
        3 => (tasks_named(), any::<bool>()).prop_map(|(tasks, split)| Event::AttemptFailed {
            tasks, failure: failure(), split
        }),
        2 => Just(given_back()),
        1 => Just(Event::Cancelled { reason: "by a test".to_owned() }),
    ]
}

fn check(before: &Job, after: &Job) {
    assert!(!before.state.is_final(), "a final job changed");
    assert_eq!(after.state == JobState::Running, after.lease.is_some());
    assert_eq!(after.state.is_final(), after.ended.is_some());
    assert_eq!(
        after.state.is_final(),
        after.tasks.iter().all(|task| task.state.is_final())
    );
    for (old, new) in before.tasks.iter().zip(&after.tasks) {
        assert_eq!(old.id, new.id);
        if old.state.is_final() {
            assert_eq!(old, new, "a final task changed");
        }
        if after.state != JobState::Running {
            assert_ne!(new.state, TaskState::Running);
        }
        assert_eq!(new.state.is_final(), new.ended.is_some());
        assert!(new.attempts.abs_diff(old.attempts) <= 1);
        if new.state == TaskState::Running {
            assert!(new.attempts >= 1 && new.started.is_some());
        }
    }
}

proptest! {
    #[test]
    fn no_history_breaks_an_invariant(
        tasks in graph(),
        events in prop::collection::vec(any_event(), 0..60),
        superseded_at in 0..120usize,
    ) {
        let mut job = job(tasks);
        for (at_event, event) in events.iter().enumerate() {
            if at_event == superseded_at && !job.state.is_final() {
                job.superseded = true;
            }
            if let Ok(after) = step(&job, event, at(1)) {
                check(&job, &after);
                job = after;
            }
        }
    }

    #[test]
    fn every_job_that_is_worked_on_ends(
        tasks in graph(),
        chances in prop::collection::vec(any::<u8>(), 40),
    ) {
        let mut job = step(&job(tasks), &claimed(), at(0)).unwrap();
        let mut chances = chances.into_iter().cycle();
        for _ in 0..40 {
            if job.state.is_final() {
                break;
            }
            let ready: Vec<TaskId> = job.tasks.iter()
                .filter(|task| task.state == TaskState::Queued)
                .map(|task| task.id.clone())
                .collect();
            prop_assert!(!ready.is_empty(), "nothing can run and the job goes on");
            job = step(&job, &Event::RunStarted { tasks: ready.clone() }, at(1)).unwrap();
            for task in ready {
                let event = match chances.next().unwrap() % 3 {
                    0 => failed(task.as_str()),
                    1 => succeeded(task.as_str()),
                    _ => Event::AttemptFailed { tasks: vec![task], failure: failure(), split: false },
                };
                let after = step(&job, &event, at(2)).unwrap();
                check(&job, &after);
                job = after;
            }
        }
        while !job.state.is_final() {
            let next = job.tasks.iter().find(|task| task.state == TaskState::Queued).unwrap().id.clone();
            job = step(&job, &succeeded(next.as_str()), at(3)).unwrap();
        }
    }
}
