//! Killed at any instant and started again: every accepted object ends with exactly one published result.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod harness;

use std::fs;
use std::time::Duration;

use harness::{House, assert_plays, film};

const RULE: &str = r#"
enabled = true
[trigger]
bucket = "inbox"
[output]
bucket = "published"
[task.small]
kind = "transcode"
container = "mp4"
height = 96
[task.stills]
kind = "snapshot"
at = ["0s", "1s"]
[task.keep]
kind = "copy"
"#;

/// Every job but the superseded succeeded, one for each identity; every result is there, whole, and nothing else.
fn assert_all_done(house: &House, names: &[String]) {
    let jobs = house.wait_for_jobs(names.len());
    for job in &jobs {
        assert_eq!(job["state"], "succeeded", "{job:#}\n{}", house.log());
    }
    let mut keys: Vec<&str> = jobs.iter().map(|job| job["key"].as_str().unwrap()).collect();
    keys.sort_unstable();
    let mut wanted: Vec<&str> = names.iter().map(String::as_str).collect();
    wanted.sort_unstable();
    assert_eq!(keys, wanted, "one job for each file");
    let mut results: Vec<String> = names
        .iter()
        .flat_map(|name| {
            let stem = name.trim_end_matches(".mp4");
            ["keep.mp4", "small.mp4", "stills_1.jpg", "stills_2.jpg"].map(|end| format!("{stem}_{end}"))
        })
        .collect();
    results.sort();
    assert_eq!(house.published(), results, "{}", house.log());
    for result in results.iter().filter(|name| name.ends_with("_small.mp4")) {
        assert_plays(&house.path("published").join(result));
    }
    for name in names {
        let stem = name.trim_end_matches(".mp4");
        let copy = fs::read(house.path("published").join(format!("{stem}_keep.mp4"))).unwrap();
        assert!(copy == fs::read(film()).unwrap(), "the copy is the source");
    }
    let scratch = house.path("published/.reelmill/scratch");
    house.wait_until("scratch is empty", || {
        let left = fs::read_dir(&scratch).map_or(0, Iterator::count);
        (left == 0).then_some(())
    });
}

#[test]
fn a_crash_at_each_step_of_publishing_loses_and_doubles_nothing() {
    let mut house = House::new(&[("crash", RULE)]);
    house.start();
    let mut names = Vec::new();
    let mut rolled = 0;
    for step in [
        "sealed",
        "listed",
        "placed",
        "placed:2",
        "placed:4",
        "synced",
        "committed",
        "committed:2",
    ] {
        house.stop();
        house.start_with(&[("REELMILL_CRASH_AT", step)]);
        let name = format!("{}.mp4", step.replace(':', "-"));
        house.drop_file(&film(), &name);
        names.push(name);
        assert_eq!(
            house.wait_for_death(),
            Some(9),
            "the step {step} was reached\n{}",
            house.log()
        );
        house.start();
        house.wait_for_jobs(names.len());
        // Once the list is written and as long as it is not dropped, the work is not done again.
        let forward = house
            .log()
            .matches("publishing finished that a crash had cut off")
            .count();
        rolled += usize::from(
            ["listed", "placed", "synced"]
                .iter()
                .any(|begun| step.starts_with(begun)),
        );
        assert!(
            forward >= rolled,
            "{step}: {forward} of {rolled} rolled forward\n{}",
            house.log()
        );
    }
    assert_all_done(&house, &names);
}

#[test]
fn kills_at_random_instants_lose_and_double_nothing() {
    let rounds = if std::env::var("REELMILL_TESTS").is_ok_and(|which| which == "all") {
        100
    } else {
        36
    };
    let seed: u64 = std::env::var("REELMILL_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(rand::random);
    println!("REELMILL_SEED={seed}");
    let mut random = seed | 1;
    let mut house = House::new(&[("crash", RULE)]);
    house.start();
    let mut names = Vec::new();
    let mut seen = 0;
    for round in 0..rounds {
        // Two a round, so that there is nearly always a job at work.
        for half in ["a", "b"] {
            let name = format!("clip{round}{half}.mp4");
            house.drop_file(&film(), &name);
            names.push(name);
        }
        // Every other kill comes while a job works, however slow the machine is; the others at any instant since the start.
        let started = || house.log().matches("job started").count();
        if round % 2 == 0 {
            house.wait_until("a job is started", || (started() > seen).then_some(()));
        }
        // xorshift
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        std::thread::sleep(Duration::from_millis(random % if round % 2 == 0 { 300 } else { 1000 }));
        seen = started();
        house.kill();
        house.start_with(&[]);
    }
    house.kill();
    house.start();
    assert_all_done(&house, &names);
    // Kills that hit nothing would prove nothing.
    let log = house.log();
    let hits = log.matches("jobs taken up again").count() + log.matches("a crash had cut off").count();
    println!("{hits} of {rounds} kills hit a job at work or a publishing");
    assert!(hits * 8 >= rounds, "only {hits} of {rounds} kills hit something");
}
