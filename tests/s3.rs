//! Objects come into a bucket over a network, and results go into one: the real binary against a real server.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod harness;

use std::fs;
use std::time::Duration;

use harness::far::{Far, config, house, noise};
use harness::moto::Moto;
use harness::proxy::{Fault, Proxy};
use harness::{House, assert_plays, film};

const RULE: &str = r#"
enabled = true
[trigger]
bucket = "uploads"
directory = "in"
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
directory = "in"
formats = "*"
[output]
bucket = "results"
directory = "out"
[task.keep]
kind = "copy"
"#;

/// The server, a look into it, and two new buckets.
fn server() -> (&'static Moto, Far, String, String) {
    let moto = Moto::shared();
    let far = Far::at(&moto.endpoint());
    (moto, far, moto.bucket("uploads"), moto.bucket("results"))
}

fn address(moto: &Moto) -> String {
    moto.endpoint().trim_start_matches("http://").to_owned()
}

/// Nothing lies in the folder for files on their way to a bucket.
fn assert_no_scratch(house: &House) {
    let scratch = house.path("state/remote/results/.reelmill/scratch");
    house.wait_until("scratch is empty", || {
        let left = fs::read_dir(&scratch).map_or(0, Iterator::count);
        (left == 0).then_some(())
    });
}

#[test]
fn objects_with_any_name_are_worked_on_from_bucket_to_bucket() {
    let (moto, far, uploads, results) = server();
    let mut house = house(
        &config(&moto.endpoint(), &uploads, &results, "sweep = \"1s\""),
        &[("web", RULE)],
    );
    house.start();
    let long = format!("in/{}/{}.mp4", "d".repeat(500), "n".repeat(480));
    let names = [
        "in/a b+c&d%2F.mp4",
        "in/100%.mp4",
        "in/ü.mp4",
        "in/日本/日本.mp4",
        &long,
    ];
    for name in names {
        far.put_file(&uploads, name, &film());
    }
    // These are for nobody: a folder as consoles make it, an unfinished one, one that lies elsewhere.
    for other in ["in/folder/", "in/a.mp4.part", "elsewhere/a.mp4", "in/.hidden/a.mp4"] {
        far.put(&uploads, other, b"x".to_vec());
    }
    for job in house.wait_for_jobs(names.len()) {
        assert_eq!(job["state"], "succeeded", "{job:#}\n{}", house.log());
    }
    let (long_ones, short_ones): (Vec<String>, Vec<String>) =
        far.keys(&results).into_iter().partition(|key| key.contains("dddd"));
    // The names of its results are cut where a file system would refuse them.
    assert_eq!(long_ones.len(), 3);
    assert!(long_ones.iter().all(|key| key.contains("nnnn")), "{long_ones:?}");
    let mut wanted: Vec<String> = names
        .iter()
        .filter(|name| **name != long)
        .flat_map(|name| {
            let stem = name.replacen("in/", "out/", 1).trim_end_matches(".mp4").to_owned();
            ["small.mp4", "stills_1.jpg", "stills_2.jpg"].map(|end| format!("{stem}_{end}"))
        })
        .collect();
    wanted.sort();
    assert_eq!(short_ones, wanted);
    for key in wanted.iter().filter(|key| key.ends_with("_small.mp4")) {
        let copy = house.path("copy.mp4");
        fs::write(&copy, far.get(&results, key)).unwrap();
        assert_plays(&copy);
    }
    let head = far
        .wait(
            far.client()
                .head_object()
                .bucket(&results)
                .key("out/ü_small.mp4")
                .send(),
        )
        .unwrap();
    assert_eq!(head.content_type(), Some("video/mp4"));
    assert_eq!(head.cache_control(), Some("max-age=60"));
    let tags = far
        .wait(
            far.client()
                .get_object_tagging()
                .bucket(&results)
                .key("out/ü_small.mp4")
                .send(),
        )
        .unwrap();
    assert_eq!(tags.tag_set()[0].key(), "made");
    let metadata = far.metadata(&results, "out/100%_small.mp4");
    for name in ["job", "rule", "output", "source", "source-identity", "sha256"] {
        assert!(metadata.contains_key(&format!("reelmill-{name}")), "{metadata:?}");
    }
    assert_no_scratch(&house);
    // Nothing of it is taken for new, however often it is listed.
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(house.jobs().len(), names.len());
}

#[test]
fn a_crash_at_each_step_of_an_upload_leaves_no_half_and_no_orphan() {
    let (moto, far, uploads, results) = server();
    let mut house = house(
        &config(&moto.endpoint(), &uploads, &results, "sweep = \"1s\""),
        &[("copy", COPY)],
    );
    house.start();
    let mut names: Vec<(String, Vec<u8>)> = Vec::new();
    for (number, step) in [
        "sealed",
        "listed",
        "upload_recorded",
        "parts_sent",
        "uploaded",
        "placed",
        "committed",
    ]
    .iter()
    .enumerate()
    {
        house.stop();
        let name = format!("in/{step}.bin");
        let bytes = noise(number as u64, (20 << 20) + number);
        far.put(&uploads, &name, bytes.clone());
        names.push((name, bytes));
        house.start_with(&[("REELMILL_CRASH_AT", step)]);
        assert_eq!(house.wait_for_death(), Some(9), "at {step}\n{}", house.log());
        let key = format!("out/{step}_keep.bin");
        let is_there = far.keys(&results).contains(&key);
        let was_uploaded = ["uploaded", "placed", "committed"].contains(step);
        assert_eq!(is_there, was_uploaded, "{step}: whole or not at all");
        house.start();
        house.wait_until("the job has ended", || {
            let jobs = house.jobs();
            let done = jobs.iter().all(|job| job["state"] == "succeeded");
            (jobs.len() == names.len() && done).then_some(())
        });
        assert!(
            far.get(&results, &key) == names[number].1,
            "{step}: the copy is the source"
        );
        house.wait_until("no upload is left open", || {
            far.uploads(&results).is_empty().then_some(())
        });
    }
    assert_eq!(far.keys(&results).len(), names.len());
    assert_eq!(house.jobs().len(), names.len());
    assert_no_scratch(&house);
}

#[test]
fn own_outputs_start_nothing_and_copies_of_them_do() {
    let (moto, far, uploads, results) = server();
    let rule = COPY.replace("bucket = \"results\"\ndirectory = \"out\"", "bucket = \"uploads\"");
    let mut house = house(
        &config(&moto.endpoint(), &uploads, &results, "sweep = \"1s\""),
        &[("copy", &rule)],
    );
    house.start();
    far.put(&uploads, "in/a.bin", noise(1, 1000));
    house.wait_for_jobs(1);
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(house.jobs().len(), 1, "{}", house.log());
    assert_eq!(far.keys(&uploads), ["in/a.bin", "in/a_keep.bin"]);
    // The ledger is lost, and what an output says of itself still holds.
    house.stop();
    fs::remove_dir_all(house.path("state")).unwrap();
    fs::create_dir(house.path("state")).unwrap();
    house.write_rule(
        "copy",
        &rule.replacen("[trigger]", "[trigger]\nexisting = \"process\"", 1),
    );
    house.start();
    house.wait_for_jobs(1);
    std::thread::sleep(Duration::from_secs(3));
    let of_output = |job: &serde_json::Value| job["key"] == "in/a_keep.bin";
    assert!(!house.jobs().iter().any(of_output), "{}", house.log());
    // People copy objects with all that was given along: that makes a new object of it.
    let copy = far.client().copy_object().bucket(&uploads).key("in/b.bin");
    far.wait(copy.copy_source(format!("{uploads}/in/a_keep.bin")).send())
        .unwrap();
    assert!(far.metadata(&uploads, "in/b.bin").contains_key("reelmill-job"));
    house.wait_until("the copy is worked on", || {
        let jobs = house.jobs_in("succeeded");
        jobs.iter().any(|job| job["key"] == "in/b.bin").then_some(())
    });
}

#[test]
fn directories_and_buckets_mix() {
    let (moto, far, uploads, results) = server();
    let to_directory = RULE.replace("bucket = \"results\"", "bucket = \"published\"").replace(
        "tags = { made = \"by reelmill\" }\ncache_control = \"max-age=60\"\n",
        "",
    );
    let to_bucket = RULE.replace("bucket = \"uploads\"", "bucket = \"inbox\"");
    let rules = [("down", to_directory.as_str()), ("up", to_bucket.as_str())];
    let mut house = house(&config(&moto.endpoint(), &uploads, &results, "sweep = \"1s\""), &rules);
    house.start();
    far.put_file(&uploads, "in/from-afar.mp4", &film());
    house.drop_file(&film(), "in/from-here.mp4");
    for job in house.wait_for_jobs(2) {
        assert_eq!(job["state"], "succeeded", "{job:#}\n{}", house.log());
    }
    let of = |stem: &str| ["small.mp4", "stills_1.jpg", "stills_2.jpg"].map(|end| format!("out/{stem}_{end}"));
    assert_eq!(house.published(), of("from-afar"));
    assert_plays(&house.path("published/out/from-afar_small.mp4"));
    assert_eq!(far.keys(&results), of("from-here"));
}

#[test]
fn a_second_version_replaces_the_results_of_the_first_and_old_ones_go() {
    let (moto, far, uploads, results) = server();
    let mut house = house(
        &config(&moto.endpoint(), &uploads, &results, "sweep = \"1s\""),
        &[("web", RULE)],
    );
    house.start();
    far.put_file(&uploads, "in/a.mp4", &film());
    house.wait_for_jobs(1);
    let first = far.get(&results, "out/a_stills_1.jpg");
    // Somebody else's object has a name that a result wants.
    far.put(&results, "out/b_stills_2.jpg", b"mine".to_vec());
    house.write_rule("web", &RULE.replace("at = [\"0s\", \"1s\"]", "at = [\"2s\"]"));
    std::thread::sleep(Duration::from_secs(2));
    far.put_file(&uploads, "in/a.mp4", &film());
    house.wait_for_jobs(2);
    house.wait_until("the still that is no more is removed", || {
        (!far.keys(&results).contains(&"out/a_stills_1.jpg".to_owned())).then_some(())
    });
    assert!(
        far.keys(&results).contains(&"out/a_stills.jpg".to_owned()),
        "{:?}",
        far.keys(&results)
    );
    assert!(far.get(&results, "out/a_stills.jpg") != first);
    house.write_rule("web", RULE);
    std::thread::sleep(Duration::from_secs(2));
    far.put_file(&uploads, "in/b.mp4", &film());
    let jobs = house.wait_for_jobs(3);
    assert_eq!(jobs[0]["state"], "failed", "{:#}", jobs[0]);
    assert!(jobs[0].to_string().contains("name_taken"), "{:#}", jobs[0]);
    assert_eq!(far.get(&results, "out/b_stills_2.jpg"), b"mine");
}

#[test]
fn what_networks_and_servers_do_loses_and_doubles_nothing() {
    let (moto, far, uploads, results) = server();
    let proxy = Proxy::before(&address(moto));
    let mut house = house(
        &config(&proxy.url(), &uploads, &results, "sweep = \"1s\""),
        &[("copy", COPY)],
    );
    house.start();
    let slow_down = "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>";
    let expired = "<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>";
    let part = "partNumber=2";
    let faults: [(&str, &'static str, &str, u32, Fault); 11] = [
        ("cut-get", "GET", "/in/", 2, Fault::CutBody(100_000)),
        ("lost-get", "GET", "/in/", 2, Fault::Cut),
        ("slow-down", "GET", "/in/", 3, Fault::Answer("503 Slow Down", slow_down)),
        ("slow-part", "PUT", part, 2, Fault::Answer("503 Slow Down", slow_down)),
        ("cut-part", "PUT", part, 2, Fault::Cut),
        ("lost-part", "PUT", part, 2, Fault::LoseAnswer),
        ("lost-begin", "POST", "?uploads", 1, Fault::LoseAnswer),
        ("lost-end", "POST", "uploadId=", 1, Fault::LoseAnswer),
        ("cut-end", "POST", "uploadId=", 1, Fault::Cut),
        ("expired", "HEAD", "/in/", 2, Fault::Answer("403 Forbidden", expired)),
        (
            "late-head",
            "HEAD",
            "/out/",
            2,
            Fault::Answer("500 Internal Server Error", ""),
        ),
    ];
    for (number, (name, method, part, count, fault)) in faults.into_iter().enumerate() {
        proxy.plan(method, part, count, fault);
        let bytes = noise(number as u64, (20 << 20) + 7);
        far.put(&uploads, &format!("in/{name}.bin"), bytes.clone());
        let jobs = house.wait_for_jobs(number + 1);
        assert_eq!(jobs[0]["state"], "succeeded", "{name}: {:#}\n{}", jobs[0], house.log());
        assert_eq!(proxy.planned(), 0, "{name} has not come to pass");
        assert!(far.get(&results, &format!("out/{name}_keep.bin")) == bytes, "{name}");
    }
    assert_eq!(house.jobs().len(), 11);
    house.wait_until("no upload is left open", || {
        far.uploads(&results).is_empty().then_some(())
    });
}

#[test]
fn a_server_that_is_gone_for_a_while_is_offline_and_then_found() {
    let (moto, far, uploads, results) = server();
    let proxy = Proxy::before(&address(moto));
    let mut house = house(
        &config(&proxy.url(), &uploads, &results, "sweep = \"1s\""),
        &[("copy", COPY)],
    );
    house.start();
    far.put(&uploads, "in/before.bin", noise(1, 1000));
    house.wait_for_jobs(1);
    proxy.set_away(true);
    far.put(&uploads, "in/meanwhile.bin", noise(2, 1000));
    house.wait_until("status says that it does not answer", || {
        let status = house.try_json(&["status"])?;
        let part = &status["parts"]["list:uploads"];
        (part["ok"] == false).then_some(())
    });
    assert_eq!(house.jobs().len(), 1);
    proxy.set_away(false);
    let jobs = house.wait_for_jobs(2);
    assert!(jobs.iter().all(|job| job["state"] == "succeeded"), "{jobs:#?}");
    assert!(far.get(&results, "out/meanwhile_keep.bin") == noise(2, 1000));
    // What had been there is not taken for gone, nor for new.
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(house.jobs().len(), 2);
}

#[test]
fn an_object_that_is_replaced_while_it_is_read_is_worked_on_anew() {
    let (moto, far, uploads, results) = server();
    let proxy = Proxy::before(&address(moto));
    let mut house = house(
        &config(&proxy.url(), &uploads, &results, "sweep = \"1s\""),
        &[("copy", COPY)],
    );
    house.start();
    proxy.set_pace(2 << 20);
    far.put(&uploads, "in/a.bin", noise(1, 24 << 20));
    house.wait_until("it is being read", || (proxy.bytes() > 3 << 20).then_some(()));
    far.put(&uploads, "in/a.bin", noise(2, 1 << 20));
    house.wait_until("the second version is published", || {
        let jobs = house.jobs();
        let done = jobs.iter().filter(|job| job["state"] == "succeeded").count();
        (jobs.len() == 2 && done == 1).then_some(())
    });
    assert!(proxy.bytes() < 20 << 20, "the first version was not read to its end");
    assert!(far.get(&results, "out/a_keep.bin") == noise(2, 1 << 20));
}

#[test]
fn results_wait_for_their_server_and_are_not_made_twice() {
    let (moto, far, uploads, results) = server();
    let proxy = Proxy::before(&address(moto));
    let mut house = house(
        &config(&proxy.url(), &uploads, &results, "sweep = \"1s\""),
        &[("web", RULE)],
    );
    house.start();
    // What the server heeds is asked before the first result.
    far.put_file(&uploads, "in/first.mp4", &film());
    house.wait_for_jobs(1);
    proxy.plan("PUT", &results, 100_000, Fault::Cut);
    far.put_file(&uploads, "in/a.mp4", &film());
    let waiting = |house: &House| {
        let jobs = house.jobs();
        let job = jobs.iter().find(|job| job["key"] == "in/a.mp4")?;
        let reason = job["reason"].as_str().unwrap_or_default().to_owned();
        (job["state"] == "queued" && reason.contains("waits")).then_some(())
    };
    house.wait_until("the job waits for the server of its results", || waiting(&house));
    assert!(!far.keys(&results).iter().any(|key| key.contains("out/a_")));
    // Nor does a daemon that is started again make them anew.
    house.stop();
    house.start();
    let runs = |house: &House| house.log().matches("job started").count();
    proxy.mend();
    house.wait_until("the job is done", || {
        let jobs = house.jobs_in("succeeded");
        (jobs.len() == 2).then_some(())
    });
    assert_eq!(
        house.log().matches("publishing finished that had been cut off").count(),
        2,
        "{}",
        house.log()
    );
    assert!(runs(&house) >= 3, "{}", house.log());
    assert_eq!(
        far.keys(&results).iter().filter(|key| key.contains("out/a_")).count(),
        3
    );
    assert_no_scratch(&house);
}

#[test]
fn sources_are_deleted_or_moved_after_success_and_newer_ones_stay() {
    let (moto, far, uploads, results) = server();
    let moving = format!("after_success = \"move:done/\"\n{COPY}");
    let mut house = house(
        &config(&moto.endpoint(), &uploads, &results, "sweep = \"1s\""),
        &[("copy", &moving)],
    );
    house.start();
    let put = |key: &str, bytes: Vec<u8>| {
        let put = far
            .client()
            .put_object()
            .bucket(&uploads)
            .key(key)
            .metadata("from", "camera 1");
        far.wait(put.body(bytes.into()).send()).unwrap();
    };
    put("in/a/x.bin", noise(1, 1000));
    far.put(&uploads, "done/taken.bin", b"mine".to_vec());
    put("in/taken.bin", noise(2, 1000));
    house.wait_until("the sources are moved", || {
        (far.keys(&uploads) == ["done/a/x.bin", "done/taken.bin", "done/taken_2.bin"]).then_some(())
    });
    assert!(far.get(&uploads, "done/a/x.bin") == noise(1, 1000));
    assert_eq!(far.metadata(&uploads, "done/a/x.bin")["from"], "camera 1");
    assert_eq!(far.get(&uploads, "done/taken.bin"), b"mine");
    house.write_rule("copy", &moving.replace("move:done/", "delete"));
    std::thread::sleep(Duration::from_secs(2));
    put("in/b.bin", noise(3, 1000));
    house.wait_until("the source is deleted", || {
        (!far.keys(&uploads).contains(&"in/b.bin".to_owned())).then_some(())
    });
    assert!(far.get(&results, "out/b_keep.bin") == noise(3, 1000));
    assert_eq!(house.jobs_in("succeeded").len(), 3);
}

#[test]
fn a_source_is_fetched_whole_where_a_rule_says_so_and_a_bad_one_leaves_a_note_where_it_is_asked_for() {
    let (moto, far, uploads, results) = server();
    let whole = RULE.replace(
        "enabled = true",
        "enabled = true\ninput = \"download\"\non_failure = \"note\"",
    );
    let mut house = house(
        &config(&moto.endpoint(), &uploads, &results, "sweep = \"1s\""),
        &[("web", &whole)],
    );
    house.start();
    far.put_file(&uploads, "in/a.mp4", &film());
    far.put(&uploads, "in/bad.mp4", noise(1, 100_000));
    house.wait_for_jobs(2);
    house.wait_until("the note is there", || {
        far.keys(&results)
            .contains(&"out/bad.mp4.failed.txt".to_owned())
            .then_some(())
    });
    let note = String::from_utf8(far.get(&results, "out/bad.mp4.failed.txt")).unwrap();
    assert!(note.contains("uploads/in/bad.mp4"), "{note}");
    let copy = house.path("copy.mp4");
    fs::write(&copy, far.get(&results, "out/a_small.mp4")).unwrap();
    assert_plays(&copy);
    // The next success takes the note away.
    far.put_file(&uploads, "in/bad.mp4", &film());
    house.wait_until("the note is gone", || {
        (!far.keys(&results).contains(&"out/bad.mp4.failed.txt".to_owned())).then_some(())
    });
    assert_no_scratch(&house);
}

#[test]
fn a_newer_version_publishes_over_what_a_killed_run_had_uploaded() {
    let (moto, far, uploads, results) = server();
    let mut house = house(
        &config(&moto.endpoint(), &uploads, &results, "sweep = \"1s\""),
        &[("web", RULE)],
    );
    house.start();
    house.stop();
    far.put_file(&uploads, "in/a.mp4", &film());
    far.put_file(&uploads, "in/b.mp4", &film());
    // One name of several is given, and nobody wrote down what it looks like.
    house.start_with(&[("REELMILL_CRASH_AT", "uploaded:2")]);
    assert_eq!(house.wait_for_death(), Some(9), "{}", house.log());
    assert!(!far.keys(&results).is_empty());
    std::thread::sleep(Duration::from_secs(1));
    far.put_file(&uploads, "in/a.mp4", &film());
    far.put_file(&uploads, "in/b.mp4", &film());
    house.start();
    house.wait_until("both newer versions are published", || {
        let jobs = house.jobs();
        let last = |key: &str| {
            jobs.iter()
                .find(|job| job["key"] == key)
                .map(|job| job["state"] == "succeeded")
        };
        let ended = jobs
            .iter()
            .all(|job| job["state"] != "queued" && job["state"] != "running");
        (ended && last("in/a.mp4") == Some(true) && last("in/b.mp4") == Some(true)).then_some(())
    });
    assert!(house.jobs_in("failed").is_empty(), "{:#?}", house.jobs_in("failed"));
    assert_eq!(far.keys(&results).len(), 6);
}

#[test]
fn a_rule_that_is_made_wider_leaves_what_was_there() {
    let (moto, far, uploads, results) = server();
    let narrow = COPY.replace("formats = \"*\"", "formats = [\"mov\"]");
    let mut house = house(
        &config(&moto.endpoint(), &uploads, &results, "sweep = \"1s\""),
        &[("copy", &narrow)],
    );
    house.start();
    std::thread::sleep(Duration::from_secs(2));
    far.put(&uploads, "in/old.bin", noise(1, 1000));
    std::thread::sleep(Duration::from_secs(2));
    house.write_rule("copy", COPY);
    house.wait_until("the wider rule is armed", || {
        let rules = house.json(&["rules", "list"]);
        let rule = &rules["rules"][0];
        (rule["arming"].is_null() && rule["formats"][0] == "*").then_some(())
    });
    far.put(&uploads, "in/new.bin", noise(2, 1000));
    house.wait_for_jobs(1);
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(far.keys(&results), ["out/new_keep.bin"], "{}", house.log());
}
