//! What becomes of sources, disks, old jobs and the database: from outside, with the real binary.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod harness;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use harness::{House, film};
use serde_json::Value;

fn copying(top: &str, directory: &str, task: &str) -> String {
    format!(
        "enabled = true\n{top}\n[trigger]\nbucket = \"inbox\"\ndirectory = \"in/\"\n[output]\nbucket = \"published\"\n\
         directory = \"{directory}\"\n[task.{task}]\nkind = \"copy\"\n"
    )
}

fn inbox(house: &House) -> Vec<String> {
    fn walk(folder: &Path, prefix: &str, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.file_type().unwrap().is_dir() {
                if name != ".reelmill" {
                    walk(&entry.path(), &format!("{prefix}{name}/"), found);
                }
            } else {
                found.push(format!("{prefix}{name}"));
            }
        }
    }
    let mut found = Vec::new();
    walk(&house.path("inbox"), "", &mut found);
    found.sort();
    found
}

/// Waits until the step of this job's source has ended or is held, and answers it.
fn settled(house: &House, job: &str) -> Value {
    house.wait_until("the source is seen to", || {
        let shown = house.try_json(&["jobs", "show", job])?;
        let source = shown["source"].clone();
        (source["state"].is_string() && source["state"] != "due").then_some(source)
    })
}

fn id(job: &Value) -> &str {
    job["id"].as_str().unwrap()
}

#[test]
fn a_source_is_deleted_after_success_and_everybody_says_so() {
    let mut house = House::new(&[("web", &copying("after_success = \"delete\"", "out/", "keep"))]);
    house.start();
    house.drop_file(&film(), "in/a/clip.mp4");
    let jobs = house.wait_for_jobs(1);
    let source = settled(&house, id(&jobs[0]));
    assert_eq!(source["state"], "done", "{source:#}\n{}", house.log());
    assert!(inbox(&house).is_empty(), "{:?}", inbox(&house));
    assert_eq!(house.published(), ["out/a/clip_keep.mp4"]);
    let shown = house.reelmill(&["jobs", "show", id(&jobs[0])]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("source    was deleted"), "{shown}");
    let why = house.json(&["explain", "inbox", "in/a/clip.mp4"]);
    let message = why["rules"][0]["message"].as_str().unwrap();
    assert!(message.contains("the source was deleted"), "{message}");
    assert!(house.log().contains("source deleted"), "{}", house.log());
    // The same name again is a new object.
    house.drop_file(&film(), "in/a/clip.mp4");
    let jobs = house.wait_for_jobs(2);
    assert_eq!(settled(&house, id(&jobs[0]))["state"], "done");
}

#[test]
fn an_object_that_is_no_source_of_the_rule_stays_though_it_was_submitted_and_repeated() {
    let mut house = House::new(&[("web", &copying("after_success = \"delete\"", "out/", "keep"))]);
    house.start();
    house.drop_file(&film(), "elsewhere/clip.mp4");
    house.drop_file(&film(), "in/clip.mp4");
    let jobs = house.wait_for_jobs(1);
    assert_eq!(settled(&house, id(&jobs[0]))["state"], "done");
    let view = house.json(&["submit", "inbox", "elsewhere/clip.mp4", "--rule", "web"]);
    assert!(view["notes"].to_string().contains("it stays where it is"), "{view:#}");
    let jobs = house.wait_for_jobs(2);
    assert_eq!(jobs[0]["state"], "succeeded", "{:#}", jobs[0]);
    house.json(&["jobs", "retry", id(&jobs[0])]);
    for job in &house.wait_for_jobs(3)[..2] {
        assert_eq!(house.json(&["jobs", "show", id(job)])["source"], Value::Null);
    }
    house.json(&["submit", "published", "out/clip_keep.mp4", "--rule", "web"]);
    house.wait_for_jobs(4);
    assert_eq!(inbox(&house), ["elsewhere/clip.mp4"]);
    assert!(
        house.published().contains(&"out/clip_keep.mp4".to_owned()),
        "{:?}",
        house.published()
    );
}

#[test]
fn a_moved_source_keeps_its_time_takes_no_other_name_and_may_start_the_next_rule() {
    let next = "enabled = true\n[trigger]\nbucket = \"inbox\"\ndirectory = \"done/\"\n[output]\nbucket = \"published\"\n\
                directory = \"next/\"\n[task.next]\nkind = \"copy\"\n";
    let mut house = House::new(&[
        ("web", &copying("after_success = \"move:done\"", "out/", "keep")),
        ("next", next),
    ]);
    house.start();
    house.drop_file(&film(), "in/a/clip.mp4");
    let before = fs::metadata(house.path("inbox/in/a/clip.mp4")).unwrap();
    house.wait_for_jobs(2);
    let moved = fs::metadata(house.path("inbox/done/a/clip.mp4")).unwrap();
    assert_eq!(
        (before.mtime(), before.mtime_nsec()),
        (moved.mtime(), moved.mtime_nsec())
    );
    assert_eq!(before.ino(), moved.ino());
    house.drop_file(&film(), "in/a/clip.mp4");
    house.wait_for_jobs(4);
    assert_eq!(inbox(&house), ["done/a/clip.mp4", "done/a/clip_2.mp4"]);
    assert_eq!(
        house.published(),
        ["next/a/clip_2_next.mp4", "next/a/clip_next.mp4", "out/a/clip_keep.mp4"]
    );
    let jobs = house.jobs();
    let second = jobs.iter().find(|job| job["rule"] == "web").unwrap();
    assert_eq!(settled(&house, id(second))["target"], "done/a/clip_2.mp4");
}

#[test]
fn a_failure_of_another_rule_keeps_the_source_until_a_repetition_succeeds() {
    let failing = "enabled = true\non_failure = \"none\"\n[trigger]\nbucket = \"inbox\"\ndirectory = \"in/\"\n[output]\n\
                   bucket = \"published\"\ndirectory = \"other/\"\n[task.other]\nkind = \"copy\"\n";
    let mut house = House::new(&[
        ("web", &copying("after_success = \"delete\"", "out/", "keep")),
        ("other", failing),
    ]);
    fs::create_dir_all(house.path("published/other")).unwrap();
    fs::write(house.path("published/other/clip_other.mp4"), "in the way").unwrap();
    house.start();
    house.drop_file(&film(), "in/clip.mp4");
    let jobs = house.wait_for_jobs(2);
    let web = jobs.iter().find(|job| job["rule"] == "web").unwrap();
    let other = jobs.iter().find(|job| job["rule"] == "other").unwrap();
    assert_eq!(other["state"], "failed", "{other:#}");
    let source = settled(&house, id(web));
    assert_eq!(source["state"], "held", "{source:#}");
    assert!(
        source["reason"].as_str().unwrap().contains("\"other\" failed"),
        "{source:#}"
    );
    assert_eq!(inbox(&house), ["in/clip.mp4"]);
    fs::remove_file(house.path("published/other/clip_other.mp4")).unwrap();
    house.json(&["jobs", "retry", id(other)]);
    house.wait_until("the source is deleted", || inbox(&house).is_empty().then_some(()));
    assert_eq!(house.published(), ["other/clip_other.mp4", "out/clip_keep.mp4"]);
}

#[test]
fn a_crash_at_any_point_between_success_and_the_end_of_the_source_loses_and_doubles_nothing() {
    for (number, wish) in ["delete", "move:done"].into_iter().enumerate() {
        let rule = copying(&format!("after_success = \"{wish}\""), "out/", "keep");
        let mut house = House::new(&[("web", &rule)]);
        house.start();
        let mut results = Vec::new();
        let mut moved = Vec::new();
        for step in ["committed", "source_recorded", "source_aside", "source_gone"] {
            house.stop();
            house.start_with(&[("REELMILL_CRASH_AT", step)]);
            house.drop_file(&film(), &format!("in/{step}.mp4"));
            assert_eq!(house.wait_for_death(), Some(9), "{step} was reached\n{}", house.log());
            results.push(format!("out/{step}_keep.mp4"));
            moved.push(format!("done/{step}.mp4"));
            results.sort();
            moved.sort();
            house.start();
            let jobs = house.wait_for_jobs(results.len());
            assert_eq!(jobs.len(), results.len(), "{step}: nothing starts twice");
            let expected = if number == 0 { &Vec::new() } else { &moved };
            house.wait_until("the source is seen to", || (inbox(&house) == *expected).then_some(()));
            let source = settled(&house, id(&jobs[0]));
            assert_eq!(source["state"], "done", "{step}: {source:#}\n{}", house.log());
            assert_eq!(house.published(), results);
        }
    }
}

#[test]
fn kills_at_random_instants_move_every_source_once_and_lose_none() {
    let rule = copying("after_success = \"move:done\"", "out/", "keep");
    let mut house = House::new(&[("web", &rule)]);
    house.start();
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = seed | 1;
    let (mut moved, mut results) = (Vec::new(), Vec::new());
    for round in 0..10 {
        for number in 0..6 {
            house.drop_file(&film(), &format!("in/{round}-{number}.mp4"));
            moved.push(format!("done/{round}-{number}.mp4"));
            results.push(format!("out/{round}-{number}_keep.mp4"));
        }
        // xorshift
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        std::thread::sleep(std::time::Duration::from_millis(200 + random % 2500));
        house.kill();
        house.start();
    }
    let jobs = house.wait_for_jobs(moved.len());
    assert_eq!(jobs.len(), moved.len(), "one job for each file");
    moved.sort();
    results.sort();
    house.wait_until("every source is moved", || (inbox(&house) == moved).then_some(()));
    assert_eq!(house.published(), results);
    let bytes = fs::read(film()).unwrap();
    for name in &moved {
        assert!(fs::read(house.path("inbox").join(name)).unwrap() == bytes, "{name}");
    }
}

#[test]
fn a_source_that_is_replaced_at_that_moment_survives() {
    let rule = copying("on_failure = \"none\"\nafter_success = \"delete\"", "out/", "keep");
    // What replaces the source fails under a second task, so that nothing takes it away with right.
    let rule = format!("{rule}[task.web]\nkind = \"snapshot\"\nat = [\"0s\"]\n");
    let mut house = House::new(&[("web", &rule)]);
    house.start();
    for step in ["committed:2", "source_recorded", "source_aside"] {
        let key = format!("in/{}.mp4", step.replace(':', "-"));
        house.stop();
        house.start_with(&[("REELMILL_CRASH_AT", step)]);
        house.drop_file(&film(), &key);
        assert_eq!(house.wait_for_death(), Some(9), "{step} was reached\n{}", house.log());
        fs::write(house.path("inbox").join(&key), "a newer file that is no film").unwrap();
        house.start();
        house.wait_until("both versions were worked on", || {
            let jobs = house.jobs();
            let mut ended = jobs.iter().filter(|job| job["key"] == key.as_str());
            let states: Vec<_> = ended.by_ref().map(|job| job["state"].clone()).collect();
            (states == ["failed", "succeeded"]).then_some(())
        });
        let jobs = house.jobs();
        let first = jobs.iter().rfind(|job| job["key"] == key.as_str()).unwrap();
        let source = settled(&house, id(first));
        let expected = if step == "source_aside" { "done" } else { "given_up" };
        assert_eq!(source["state"], expected, "{step}: {source:#}\n{}", house.log());
        assert_eq!(
            fs::read_to_string(house.path("inbox").join(&key)).unwrap(),
            "a newer file that is no film",
            "{step}"
        );
        let left: Vec<_> = inbox(&house)
            .into_iter()
            .filter(|name| name.contains(".reelmill-"))
            .collect();
        assert!(left.is_empty(), "{step}: {left:?}");
    }
}

/// What SQLite says of a database.
fn integrity(database: &Path) -> String {
    use sqlx::{ConnectOptions, Connection};
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let options = sqlx::sqlite::SqliteConnectOptions::new()
            .filename(database)
            .read_only(true);
        let mut connection = options.connect().await.unwrap();
        let verdict = sqlx::query_scalar("PRAGMA integrity_check")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        connection.close().await.unwrap();
        verdict
    })
}

fn config(house: &House, from: &str, to: &str) {
    let path = house.path("reelmill.toml");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replace(from, to)).unwrap();
}

#[test]
fn results_and_their_directories_belong_to_whom_the_rule_says() {
    let root = rustix::process::geteuid().is_root();
    let access = if root {
        "mode = \"0640\"\nowner = \"nobody\"\ngroup = 65533\n"
    } else {
        "mode = \"0640\"\n"
    };
    let rule = copying("", "out/", "keep").replace("[task.", &format!("{access}[task."));
    let mut house = House::new(&[("web", &rule)]);
    house.start();
    house.drop_file(&film(), "in/a/clip.mp4");
    let jobs = house.wait_for_jobs(1);
    assert_eq!(jobs[0]["state"], "succeeded", "{:#}\n{}", jobs[0], house.log());
    for (name, mode) in [("out/a/clip_keep.mp4", 0o640), ("out/a", 0o750), ("out", 0o750)] {
        let found = fs::metadata(house.path("published").join(name)).unwrap();
        assert_eq!(found.mode() & 0o7777, mode, "{name}");
        if root {
            assert_eq!((found.uid(), found.gid()), (65534, 65533), "{name}");
        }
    }
    let bucket = fs::metadata(house.path("published")).unwrap();
    assert_ne!(
        (bucket.gid(), bucket.mode() & 0o777),
        (65533, 0o750),
        "the bucket's own directory is left alone"
    );
}

#[test]
fn results_for_somebody_who_is_not_there_fail_before_work_is_put_into_them() {
    let rule =
        copying("[retry]\nattempts = 1\n", "out/", "keep").replace("[task.", "owner = \"nobody-of-that-name\"\n[task.");
    let mut house = House::new(&[("web", &rule)]);
    house.start();
    house.drop_file(&film(), "in/clip.mp4");
    let jobs = house.wait_for_jobs(1);
    let error = &jobs[0]["tasks"][0]["error"];
    assert_eq!(error["kind"], "permission", "{:#}", jobs[0]);
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("no user \"nobody-of-that-name\""),
        "{error:#}"
    );
    assert!(house.published().iter().all(|name| !name.contains("keep")));
}

/// Only root can give files away, and then it must be one that may not write wherever it likes.
#[test]
fn results_that_would_lie_in_directories_closed_to_the_daemon_fail_before_work_is_put_into_them() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let access = "owner = \"nobody\"\nmode = \"0640\"\n";
    let given = copying("[retry]\nattempts = 1\n", "out/", "keep").replace("[task.", &format!("{access}[task."));
    let mut house = House::new(&[("web", &given)]);
    house.start_under(&["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]);
    house.wait_until("the daemon answers", || house.try_json(&["status"]));
    house.drop_file(&film(), "in/a/clip.mp4");
    let jobs = house.wait_for_jobs(1);
    let error = &jobs[0]["tasks"][0]["error"];
    assert_eq!(error["kind"], "permission", "{:#}", jobs[0]);
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("it belongs to user 65534"), "{message}");
    assert!(message.contains("CAP_DAC_OVERRIDE"), "{message}");
    assert!(!house.log().contains("publishing is tried again"), "{}", house.log());
    assert!(
        !house.path("published/out").exists(),
        "nothing is left that nobody can use"
    );
    // Where the directory is there and open to the daemon, giving files away is enough.
    fs::create_dir_all(house.path("published/out/b")).unwrap();
    house.drop_file(&film(), "in/b/clip.mp4");
    house.wait_for_jobs(2);
    let made = fs::metadata(house.path("published/out/b/clip_keep.mp4")).unwrap();
    assert_eq!(made.uid(), 65534);
}

#[test]
fn a_job_waits_for_room_without_counting_while_others_go_on() {
    let free = |path: &Path| {
        let about = rustix::fs::statvfs(path).unwrap();
        about.f_bavail * about.f_frsize
    };
    let other = tempfile::Builder::new()
        .prefix("reelmill-test-")
        .tempdir_in("/dev/shm")
        .unwrap();
    let mut house = House::new(&[("web", &copying("", "out/", "keep"))]);
    let (here, there) = (free(house.root.path()), free(other.path()));
    // What stays free is more than one of the two disks has, and less than the other.
    let reserve = here.midpoint(there);
    let (full, roomy) = if here < reserve {
        ("published", "other")
    } else {
        ("other", "published")
    };
    config(&house, "slots = 2", &format!("slots = 2\nmin_free = {reserve}"));
    let buckets = format!("[bucket.other]\npath = \"{}\"\n\n[workers]", other.path().display());
    config(&house, "[workers]", &buckets);
    for (name, bucket) in [("full", full), ("roomy", roomy)] {
        let rule = copying("", "out/", name).replace("bucket = \"published\"", &format!("bucket = \"{bucket}\""));
        house.write_rule(name, &rule);
    }
    fs::remove_file(house.path("rules/web.toml")).unwrap();
    house.start();
    house.drop_file(&film(), "in/clip.mp4");
    let of = |house: &House, rule: &str| house.jobs().into_iter().find(|job| job["rule"] == rule);
    house.wait_until("the one with room is done", || {
        of(&house, "roomy").filter(|job| job["state"] == "succeeded")
    });
    let waiting = house.wait_until("the other one waits", || {
        of(&house, "full").filter(|job| job["state"] == "queued" && job["reason"].is_string())
    });
    let reason = waiting["reason"].as_str().unwrap();
    assert!(reason.starts_with("waits for room: needs about"), "{reason}");
    assert!(reason.contains(&format!("on bucket {full}")), "{reason}");
    assert!(reason.contains("are to stay free"), "{reason}");
    assert_eq!(waiting["attempt"], 0, "{waiting:#}");
    assert_eq!(waiting["tasks"][0]["attempts"], 0, "{waiting:#}");
    house.stop();
    config(&house, &format!("min_free = {reserve}"), "min_free = 0");
    house.start();
    house.wait_until("there is room", || {
        of(&house, "full").filter(|job| job["state"] == "succeeded")
    });
}

#[test]
fn a_long_queue_is_not_gone_through_over_and_over_while_its_disk_is_full() {
    let mut house = House::new(&[("web", &copying("", "out/", "keep"))]);
    config(&house, "slots = 2", "slots = 2\nmin_free = \"1000TiB\"");
    house.start();
    for number in 0..40 {
        house.drop_file(&film(), &format!("in/{number}.mp4"));
    }
    let given_back = |count: usize| (house.log().matches("job given back").count() >= count).then_some(());
    house.wait_until("the first is given back", || given_back(1));
    let first = std::time::Instant::now();
    let held = house.wait_until("the others rest", || {
        house.jobs().into_iter().find(|job| job["waits"]["kind"] == "resting")
    });
    assert!(
        held["waits"]["message"].as_str().unwrap().contains("are to stay free"),
        "{held:#}"
    );
    house.wait_until("some more are given back", || given_back(5));
    assert!(first.elapsed() > std::time::Duration::from_secs(5), "{}", house.log());
    house.stop();
    config(&house, "min_free = \"1000TiB\"", "min_free = 0");
    house.start();
    let jobs = house.wait_for_jobs(40);
    assert!(jobs.iter().all(|job| job["state"] == "succeeded"), "{}", house.log());
}

#[test]
fn old_jobs_are_forgotten_and_what_they_made_and_knew_stays() {
    let mut house = House::new(&[("web", &copying("", "out/", "keep"))]);
    house.start();
    for number in 0..3 {
        house.drop_file(&film(), &format!("in/{number}.mp4"));
    }
    house.wait_for_jobs(3);
    house.stop();
    let text = fs::read_to_string(house.path("reelmill.toml")).unwrap();
    fs::write(
        house.path("reelmill.toml"),
        format!("{text}\n[history]\nkeep_jobs = 1\n"),
    )
    .unwrap();
    house.start();
    house.wait_until("old jobs are forgotten", || {
        let jobs = house.try_json(&["jobs", "list"])?;
        (jobs.as_array()?.len() == 1).then_some(())
    });
    let why = house.json(&["explain", "inbox", "in/0.mp4"]);
    assert_eq!(why["rules"][0]["verdict"], "accepted", "{why:#}");
    let made = house.json(&["explain", "published", "out/0_keep.mp4"]);
    assert_eq!(made["made_by"]["source"], "inbox/in/0.mp4", "{made:#}");
    assert_eq!(house.published().len(), 3);
}

#[test]
fn a_backup_made_while_jobs_are_made_is_whole_and_one_without_a_daemon_too() {
    let mut house = House::new(&[("web", &copying("", "out/", "keep"))]);
    house.start();
    let copies = house.path("copies");
    fs::create_dir(&copies).unwrap();
    for number in 0..12 {
        house.drop_file(&film(), &format!("in/{number}.mp4"));
        if number % 4 == 3 {
            let file = copies.join(format!("{number}.db"));
            let made = house.json(&["backup", file.to_str().unwrap()]);
            assert_eq!(made["bytes"], fs::metadata(&file).unwrap().len());
        }
    }
    house.wait_for_jobs(12);
    let refused = house.reelmill(&["backup", copies.join("3.db").to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(73));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("is there already"), "{said}");
    let nowhere = house.reelmill(&["backup", copies.join("no/x.db").to_str().unwrap()]);
    assert_eq!(nowhere.status.code(), Some(66));
    house.stop();
    let alone = copies.join("alone.db");
    house.json(&["backup", alone.to_str().unwrap()]);
    assert_eq!(
        house.reelmill(&["backup", alone.to_str().unwrap()]).status.code(),
        Some(73)
    );
    let mut names: Vec<_> = fs::read_dir(&copies)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    names.sort();
    assert_eq!(names.len(), 4, "{names:?}");
    for copy in &names {
        assert_eq!(fs::metadata(copy).unwrap().mode() & 0o777, 0o600, "{}", copy.display());
        assert_eq!(integrity(copy), "ok", "{}", copy.display());
    }
    // The copy as the database: everything that was known is known.
    for name in ["reelmill.db", "reelmill.db-wal", "reelmill.db-shm"] {
        fs::remove_file(house.path("state").join(name)).ok();
    }
    fs::copy(&alone, house.path("state/reelmill.db")).unwrap();
    house.start();
    assert_eq!(house.wait_for_jobs(12).len(), 12);
    assert_eq!(house.jobs().len(), 12, "nothing starts again");
}
