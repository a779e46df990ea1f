//! The controls of a queue that is in use, on the real program.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod harness;

use std::fs;
use std::os::unix::ffi::OsStringExt as _;

use harness::House;
use serde_json::Value;

const COPY: &str = r#"
enabled = true
[trigger]
bucket = "inbox"
formats = "*"
[output]
bucket = "published"
[task.keep]
kind = "copy"
"#;

/// The rule with a line more at its top.
fn with(line: &str) -> String {
    format!("{line}\n{COPY}")
}

fn put(house: &House, key: &str) {
    let hidden = house.path("inbox/.new");
    fs::write(&hidden, key).unwrap();
    let target = house.path("inbox").join(key);
    fs::create_dir_all(target.parent().unwrap()).unwrap();
    fs::rename(hidden, target).unwrap();
}

fn wait_for_queued(house: &House, count: usize) -> Vec<Value> {
    house.wait_until(&format!("{count} jobs wait"), || {
        let jobs = house.jobs_in("queued");
        (jobs.len() == count).then_some(jobs)
    })
}

/// What a refused command says, and its exit code.
fn refused(house: &House, arguments: &[&str]) -> (String, i32) {
    let output = house.reelmill(arguments);
    assert!(!output.status.success(), "{arguments:?} was carried out");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    (text, output.status.code().unwrap())
}

/// Texts of times do not sort as times do: a fraction without its last zeros is shorter.
fn time(value: &Value) -> jiff::Timestamp {
    value.as_str().unwrap().parse().unwrap()
}

fn said(house: &House, arguments: &[&str]) -> String {
    let output = house.reelmill(arguments);
    let (text, error) = (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    );
    assert!(output.status.success(), "{arguments:?}: {error}");
    text
}

#[test]
fn a_paused_rule_waits_over_a_restart_until_it_is_resumed() {
    let mut house = House::new(&[("copy", COPY), ("other", &COPY.replace("keep", "also"))]);
    house.start();
    let text = said(&house, &["pause", "copy", "--reason", "disk is full"]);
    assert!(
        text.contains("disk is full") && text.contains("reelmill resume \"copy\""),
        "{text}"
    );
    said(&house, &["pause", "copy"]);
    put(&house, "a.mp4");
    let waiting = wait_for_queued(&house, 1);
    assert_eq!(waiting[0]["rule"], "copy");
    assert_eq!(waiting[0]["waits"]["kind"], "paused", "{:#}", waiting[0]);
    house.wait_until("the other rule is done", || {
        (house.jobs_in("succeeded").len() == 1).then_some(())
    });
    house.kill();
    house.start();
    let id = waiting[0]["id"].as_str().unwrap();
    for arguments in [
        &["status"][..],
        &["rules", "show", "copy"],
        &["jobs", "show", id],
        &["explain", "inbox", "a.mp4"],
    ] {
        let text = said(&house, arguments);
        assert!(
            text.contains("paused since") && text.contains("(disk is full)"),
            "{arguments:?}: {text}"
        );
    }
    assert!(said(&house, &["rules", "list"]).contains("paused"));
    assert_eq!(house.jobs_in("queued").len(), 1, "it waits still");
    assert_eq!(house.json(&["resume", "copy"])["changed"], true);
    assert_eq!(house.json(&["resume", "copy"])["changed"], false);
    house.wait_for_jobs(2);
    assert_eq!(house.published(), ["a_also.mp4", "a_keep.mp4"]);
    assert_eq!(refused(&house, &["pause", "cpy"]).1, 66);
}

#[test]
fn a_paused_mill_queues_and_starts_nothing() {
    let mut house = House::new(&[("copy", COPY)]);
    house.start();
    said(&house, &["pause"]);
    for key in ["a.mp4", "b.mp4", "c.mp4"] {
        put(&house, key);
        house.wait_until("it is queued", || {
            house
                .jobs_in("queued")
                .iter()
                .any(|job| job["key"] == key)
                .then_some(())
        });
    }
    assert!(said(&house, &["status"]).contains("the mill is paused since"));
    let id_of = |key: &str| {
        let jobs = house.jobs();
        let job = jobs.iter().find(|job| job["key"] == key).unwrap();
        job["id"].as_str().unwrap().to_owned()
    };
    let (first, last) = (id_of("a.mp4"), id_of("c.mp4"));
    assert_eq!(house.json(&["jobs", "priority", &last, "5"])["priority"], 5);
    assert_eq!(house.json(&["jobs", "priority", &first, "-5"])["priority"], -5);
    assert_eq!(refused(&house, &["jobs", "priority", &first, "11"]).1, 64);
    said(&house, &["resume"]);
    let mut jobs = house.wait_for_jobs(3);
    jobs.sort_by_key(|job| time(&job["started"]));
    let order: Vec<_> = jobs.iter().map(|job| job["key"].as_str().unwrap()).collect();
    assert_eq!(order[0], "c.mp4", "{order:?}");
    assert_eq!(order[2], "a.mp4", "{order:?}");
    let (text, code) = refused(&house, &["jobs", "priority", &first, "1"]);
    assert!(code == 1 && text.contains("has ended already"), "{text}");
}

#[test]
fn jobs_wait_for_their_hours_and_start_when_the_file_says_so() {
    // The clock of this rule never shows one of its hours: they begin in some days and last a minute.
    let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let today = jiff::Zoned::now().with_time_zone(jiff::tz::TimeZone::UTC).weekday();
    let far = days[usize::try_from((today.to_monday_zero_offset() + 3) % 7).unwrap()];
    let closed = with(&format!("enabled_hours = [\"{far} 12:00-12:01\"]"));
    let mut house = House::new(&[("copy", &closed)]);
    house.start_with(&[("TZ", "UTC")]);
    house.wait_until("the rule is armed", || {
        let rules = house.try_json(&["rules", "list"])?;
        rules["rules"][0]["arming"].is_null().then_some(())
    });
    put(&house, "a.mp4");
    let waiting = wait_for_queued(&house, 1);
    let wait = &waiting[0]["waits"];
    assert_eq!(wait["kind"], "hours", "{wait:#}");
    assert!(wait["until"].as_str().unwrap().ends_with("T12:00:00Z"), "{wait:#}");
    let text = said(&house, &["explain", "inbox", "a.mp4"]);
    assert!(text.contains("so not before"), "{text}");
    assert_eq!(
        house.json(&["rules", "list"])["rules"][0]["enabled"],
        true,
        "it is no disabling"
    );
    house.write_rule("copy", &with("enabled_hours = [\"00:00-24:00\"]"));
    house.wait_for_jobs(1);
}

#[test]
fn no_more_jobs_of_a_rule_run_than_it_says() {
    let mut house = House::new(&[("copy", &with("max_running = 1"))]);
    house.start();
    for number in 0..20 {
        put(&house, &format!("{number}.mp4"));
    }
    house.wait_for_jobs(20);
    let mut spans: Vec<_> = house
        .jobs()
        .iter()
        .map(|job| (time(&job["started"]), time(&job["ended"])))
        .collect();
    spans.sort();
    for pair in spans.windows(2) {
        assert!(pair[0].1 <= pair[1].0, "two ran at once: {pair:?}");
    }
}

#[test]
fn a_submitted_object_runs_though_nothing_changed_and_the_rule_is_disabled() {
    let off = COPY
        .replace("enabled = true", "enabled = false")
        .replace("\"*\"", "[\"mov\"]");
    let mut house = House::new(&[("copy", &off)]);
    house.start();
    put(&house, "a.mp4");
    let once = [
        "submit",
        "inbox",
        "a.mp4",
        "--rule",
        "copy",
        "--priority",
        "-3",
        "--context",
        "for Jo",
        "--dedupe-id",
        "17",
    ];
    let first = house.json(&once);
    assert_eq!(
        (&first["job"]["priority"], &first["job"]["context"]),
        (&(-3).into(), &"for Jo".into())
    );
    let notes = first["notes"].to_string();
    assert!(
        notes.contains("is disabled") && notes.contains("does not take this object"),
        "{notes}"
    );
    house.wait_for_jobs(1);
    let id = first["job"]["id"].as_str().unwrap();
    assert!(said(&house, &["jobs", "show", id]).contains("for Jo"));
    let (text, code) = refused(&house, &once);
    assert!(code == 1 && text.contains(id), "{text}");
    said(&house, &["submit", "inbox", "a.mp4", "--rule", "copy"]);
    let jobs = house.wait_for_jobs(2);
    assert_eq!(
        (&jobs[0]["generation"], &jobs[0]["state"]),
        (&2.into(), &"succeeded".into())
    );
    assert_eq!(
        refused(&house, &["submit", "inbox", "none.mp4", "--rule", "copy"]).1,
        66
    );
    assert_eq!(refused(&house, &["submit", "outbox", "a.mp4", "--rule", "copy"]).1, 66);
    assert_eq!(refused(&house, &["submit", "inbox", "a.mp4", "--rule", "no"]).1, 66);
    let (text, code) = refused(&house, &["submit", "inbox", ".reelmill/bucket", "--rule", "copy"]);
    assert!(code == 64 && text.contains("Reelmill's own"), "{text}");
    fs::create_dir(house.path("inbox/folder.mp4")).unwrap();
    let (text, code) = refused(&house, &["submit", "inbox", "folder.mp4", "--rule", "copy"]);
    assert!(code == 66 && text.contains("no plain file"), "{text}");
    let long = "x".repeat(1001);
    assert_eq!(
        refused(
            &house,
            &["submit", "inbox", "a.mp4", "--rule", "copy", "--context", &long]
        )
        .1,
        64
    );
    assert_eq!(house.published(), ["a_keep.mp4"]);
}

#[test]
fn a_submitted_key_need_not_be_utf_8_and_takes_the_place_of_what_waits() {
    let mut house = House::new(&[("copy", COPY)]);
    house.start();
    said(&house, &["pause"]);
    let key = std::ffi::OsString::from_vec(b"a\xffb.mp4".to_vec());
    fs::write(house.path("inbox").join(&key), "x").unwrap();
    let old = wait_for_queued(&house, 1).remove(0);
    let output = house
        .command(&["submit", "inbox", "--rule", "copy", "--json"])
        .arg(&key)
        .output()
        .unwrap();
    let view: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(
        view["notes"].to_string().contains(old["id"].as_str().unwrap()),
        "{view:#}"
    );
    assert_eq!(view["job"]["key_bytes"], "Yf9iLm1wNA==");
    assert_eq!(view["job"]["waits"]["kind"], "paused");
    assert_eq!(house.jobs_in("cancelled").len(), 1);
    said(&house, &["resume"]);
    house.wait_for_jobs(2);
    assert_eq!(house.jobs_in("succeeded").len(), 1);
}

#[test]
fn a_backfill_queues_what_exists_once_whoever_asks_and_however_it_ends() {
    let mut house = House::new(&[("copy", COPY)]);
    for number in 0..1500 {
        fs::write(house.path("inbox").join(format!("{number:04}.mp4")), "x").unwrap();
    }
    house.start();
    said(&house, &["pause"]);
    put(&house, "fresh.mp4");
    wait_for_queued(&house, 1);
    let dry = house.json(&["backfill", "copy", "--dry-run"]);
    assert_eq!(
        (&dry["queued"], &dry["known"]),
        (&1500.into(), &1.into()),
        "{}",
        dry["listed"]
    );
    assert_eq!(dry["objects"].as_array().unwrap().len(), 1500);
    let text = said(&house, &["backfill", "copy", "--dry-run"]);
    assert!(
        text.contains("would queue 1500 jobs") && text.contains("and 1480 more"),
        "{text}"
    );
    assert_eq!(
        house.json(&["status"])["queue"]["queued"],
        1,
        "a dry run changes nothing"
    );
    let old = house.json(&["backfill", "copy", "--since", "2099-01-01"]);
    assert_eq!(old["queued"], 0);
    assert_eq!(refused(&house, &["backfill", "copy", "--since", "soon"]).1, 64);
    // Killed in the middle, then twice at once.
    let mut first = house
        .command(&["backfill", "copy", "--priority", "-2"])
        .spawn()
        .unwrap();
    house.wait_until("some are queued", || {
        (house.try_json(&["status"])?["queue"]["queued"].as_u64()? > 1).then_some(())
    });
    house.kill();
    first.wait().unwrap();
    house.start();
    let mut two: Vec<_> = (0..2)
        .map(|_| house.command(&["backfill", "copy"]).spawn().unwrap())
        .collect();
    for one in &mut two {
        assert!(one.wait().unwrap().success());
    }
    assert_eq!(house.json(&["status"])["queue"]["queued"], 1501);
    let again = house.json(&["backfill", "copy"]);
    assert_eq!((&again["queued"], &again["known"]), (&0.into(), &1501.into()));
    assert_eq!(house.json(&["status"])["queue"]["cancelled"], 0);
}

#[test]
fn a_backfill_takes_failed_jobs_again_and_leaves_good_ones_and_own_outputs() {
    let both = COPY.replace("bucket = \"published\"", "bucket = \"inbox\"");
    let mut house = House::new(&[("copy", &both)]);
    house.start();
    put(&house, "good.mp4");
    house.wait_for_jobs(1);
    said(&house, &["pause"]);
    put(&house, "bad.mp4");
    let waiting = wait_for_queued(&house, 1);
    said(&house, &["jobs", "cancel", waiting[0]["id"].as_str().unwrap()]);
    said(&house, &["resume"]);
    let view = house.json(&["backfill", "copy"]);
    assert_eq!(
        (&view["queued"], &view["known"], &view["own"]),
        (&1.into(), &1.into(), &1.into()),
        "{view:#}"
    );
    assert_eq!(view["objects"][0]["key"], "bad.mp4");
    let jobs = house.wait_for_jobs(3);
    assert_eq!(
        (&jobs[0]["key"], &jobs[0]["state"]),
        (&"bad.mp4".into(), &"succeeded".into())
    );
}
