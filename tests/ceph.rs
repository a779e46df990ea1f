//! Everything over a real Ceph: what it tells, what is read there and what is written. Long, so only where all tests are
//! wanted.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod harness;

use std::time::Duration;

use harness::ceph::{Ceph, is_wanted};
use harness::far::{Far, config, hard_names, house, noise};
use harness::post::free_port;
use harness::{House, SECRET, assert_plays, film};

const RULE: &str = r#"
enabled = true
[trigger]
bucket = "uploads"
directory = "in/from/cameras"
[output]
bucket = "results"
directory = "out"
tags = { made = "by reelmill" }
cache_control = "max-age=60"
[task.small]
kind = "transcode"
container = "mp4"
height = 96
[task.stills]
kind = "snapshot"
at = ["0s", "1s"]
"#;

const COPY: &str = r#"
enabled = true
[trigger]
bucket = "uploads"
directory = "copies"
formats = "*"
[output]
bucket = "results"
directory = "copied"
[task.keep]
kind = "copy"
"#;

/// Two new buckets, and a house that watches one of them, not yet started.
fn place(name: &str, more: &str, rules: &[(&str, &str)], end: &str) -> (Far, String, String, House) {
    let ceph = Ceph::shared();
    let far = ceph.far();
    let (uploads, results) = (format!("{name}-uploads"), format!("{name}-results"));
    far.make(&uploads);
    far.make(&results);
    let config = config(ceph.endpoint(), &uploads, &results, more);
    let mut house = house(&format!("{config}\n{end}"), rules);
    house.set("REELMILL_LOG", "info,reelmill::service::publishing=debug");
    (far, uploads, results, house)
}

fn all_succeeded(house: &House, count: usize) {
    let jobs = house.wait_for_jobs(count);
    assert_eq!(jobs.len(), count, "{}", house.log());
    for job in jobs {
        assert_eq!(job["state"], "succeeded", "{job:#}\n{}", house.log());
    }
}

#[test]
fn ceph_tells_of_objects_with_any_name_and_takes_the_results() {
    if !is_wanted() {
        return;
    }
    let port = free_port();
    let how = "sweep = \"1h\"\nwatch = [\"webhook\"]\nwebhook = { secret_file = \"uploads.secret\" }";
    let (far, uploads, results, mut house) = place(
        "told",
        how,
        &[("web", RULE), ("copy", COPY)],
        &format!("[http]\nlisten = \"127.0.0.1:{port}\""),
    );
    Ceph::shared().tells(&uploads, &format!("http://127.0.0.1:{port}/hooks/uploads/{SECRET}"));
    house.start();
    let bucket = |house: &House| {
        let status = house.json(&["status"]);
        let mut buckets = status["buckets"].as_array().unwrap().iter();
        buckets.find(|bucket| bucket["name"] == "uploads").unwrap().clone()
    };
    let listed = house.wait_until("it was listed once", || {
        let when = bucket(&house)["listing"]["last_full"].clone();
        (!when.is_null()).then_some(when)
    });
    let names = hard_names("in/from/cameras");
    for name in &names {
        far.put_file(&uploads, name, &film());
    }
    // It tells of this one when it begins, too, and there is nothing then.
    let big = noise(1, (20 << 20) + 7);
    far.put_in_parts(&uploads, "copies/big.bin", &big);
    far.put(&uploads, "copies/empty.bin", Vec::new());
    all_succeeded(&house, 7);
    let mut wanted: Vec<String> = names
        .iter()
        .flat_map(|name| {
            let stem = name
                .replacen("in/from/cameras", "out", 1)
                .trim_end_matches(".mp4")
                .to_owned();
            ["small.mp4", "stills_1.jpg", "stills_2.jpg"].map(|end| format!("{stem}_{end}"))
        })
        .collect();
    wanted.extend(["copied/big_keep.bin", "copied/empty_keep.bin"].map(str::to_owned));
    wanted.sort();
    assert_eq!(far.keys(&results), wanted);
    assert!(far.get(&results, "copied/big_keep.bin") == big);
    for key in wanted.iter().filter(|key| key.ends_with("_small.mp4")) {
        let copy = house.path("copy.mp4");
        std::fs::write(&copy, far.get(&results, key)).unwrap();
        assert_plays(&copy);
    }
    let head = far.client().head_object().bucket(&results).key("out/ü_small.mp4");
    let head = far.wait(head.send()).unwrap();
    assert_eq!(
        (head.content_type(), head.cache_control()),
        (Some("video/mp4"), Some("max-age=60"))
    );
    let metadata = far.metadata(&results, "out/100%_small.mp4");
    assert!(metadata.contains_key("reelmill-job"), "{metadata:?}");
    assert_eq!(
        bucket(&house)["listing"]["last_full"],
        listed,
        "nothing was found by listing"
    );
    assert_eq!(bucket(&house)["quarantined"], 0);
    println!("{:#}", bucket(&house)["sources"]);
    // Which conditions it heeds was found out by trying.
    let said = "put_absent: true, put_is: false, complete_absent: false, complete_is: false";
    assert!(house.log().contains(said), "{}", house.log());
    let hidden = far.client().list_objects_v2().bucket(&results).prefix(".reelmill/");
    assert_eq!(
        far.wait(hidden.send()).unwrap().key_count(),
        Some(0),
        "nothing is left of that"
    );
    assert!(far.uploads(&results).is_empty());
}

#[test]
fn a_crash_at_each_step_of_an_upload_leaves_no_half_and_no_orphan() {
    if !is_wanted() {
        return;
    }
    let (far, _, results, mut house) = place("crash", "sweep = \"1s\"", &[("copy", COPY)], "");
    let uploads = "crash-uploads";
    house.start();
    let steps = [
        "sealed",
        "listed",
        "upload_recorded",
        "parts_sent",
        "uploaded",
        "placed",
        "committed",
    ];
    for (number, step) in (1_u8..).zip(steps) {
        house.stop();
        let bytes = noise(number.into(), (20 << 20) + usize::from(number));
        far.put(uploads, &format!("copies/{step}.bin"), bytes.clone());
        house.start_with(&[("REELMILL_CRASH_AT", step)]);
        assert_eq!(house.wait_for_death(), Some(9), "at {step}\n{}", house.log());
        let key = format!("copied/{step}_keep.bin");
        let was_uploaded = ["uploaded", "placed", "committed"].contains(&step);
        assert_eq!(
            far.keys(&results).contains(&key),
            was_uploaded,
            "{step}: whole or not at all"
        );
        house.start();
        house.wait_until("the job has ended", || {
            let jobs = house.jobs();
            let done = jobs.iter().all(|job| job["state"] == "succeeded");
            (jobs.len() == usize::from(number) && done).then_some(())
        });
        assert!(far.get(&results, &key) == bytes, "{step}: the copy is the source");
        house.wait_until("no upload is left open", || {
            far.uploads(&results).is_empty().then_some(())
        });
    }
    // Listings and heads differ in small things, and that makes nothing new.
    std::thread::sleep(Duration::from_secs(3));
    all_succeeded(&house, steps.len());
}

#[test]
fn versions_foreign_names_and_sources_that_go_are_as_everywhere() {
    if !is_wanted() {
        return;
    }
    let delete = COPY.replace("enabled = true", "enabled = true\nafter_success = \"delete\"");
    let moved = COPY
        .replace("enabled = true", "enabled = true\nafter_success = \"move:done\"")
        .replace("\"copies\"", "\"moves\"")
        .replace("\"copied\"", "\"moved\"");
    let rules = [("web", RULE), ("delete", delete.as_str()), ("move", moved.as_str())];
    let (far, uploads, results, mut house) = place("versions", "sweep = \"1s\"", &rules, "");
    house.start();
    far.put_file(&uploads, "in/from/cameras/a.mp4", &film());
    all_succeeded(&house, 1);
    let first = far.metadata(&results, "out/a_small.mp4");
    // Time is told in whole seconds.
    std::thread::sleep(Duration::from_secs(2));
    far.put_file(&uploads, "in/from/cameras/a.mp4", &film());
    all_succeeded(&house, 2);
    let second = far.metadata(&results, "out/a_small.mp4");
    assert!(first["reelmill-job"] != second["reelmill-job"], "{second:?}");
    far.put(&results, "out/b_small.mp4", b"mine".to_vec());
    far.put_file(&uploads, "in/from/cameras/b.mp4", &film());
    let jobs = house.wait_for_jobs(3);
    assert_eq!(jobs[0]["state"], "failed", "{:#}", jobs[0]);
    assert!(jobs[0].to_string().contains("name_taken"), "{:#}", jobs[0]);
    assert_eq!(far.get(&results, "out/b_small.mp4"), b"mine");
    for size in [1000, (20 << 20) + 1] {
        let bytes = noise(3, size);
        let (copies, moves) = (format!("copies/{size}.bin"), format!("moves/{size} +%.bin"));
        far.put(&uploads, &copies, bytes.clone());
        far.put(&uploads, &moves, bytes.clone());
        house.wait_until("the sources are gone", || {
            let keys = far.keys(&uploads);
            (!keys.contains(&copies) && !keys.contains(&moves)).then_some(())
        });
        assert!(far.get(&results, &format!("copied/{size}_keep.bin")) == bytes);
        assert!(far.get(&uploads, &format!("done/{size} +%.bin")) == bytes);
    }
}
