//! The whole mill, from outside: the real binary, real folders, real media.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod harness;

use std::fs;

use harness::{House, assert_plays, film};

const WEB: &str = r#"
enabled = true
[trigger]
bucket = "inbox"
directory = "in/"
[output]
bucket = "published"
directory = "out/"
[task.web]
kind = "transcode"
container = "mp4"
height = 120
[task.poster]
kind = "snapshot"
at = ["50%"]
[task.info]
kind = "probe"
"#;

const COPY: &str = r#"
enabled = true
[trigger]
bucket = "inbox"
[output]
bucket = "published"
[task.keep]
kind = "copy"
"#;

#[test]
fn a_dropped_file_becomes_published_results_that_play() {
    let mut house = House::new(&[("web", WEB)]);
    house.start();
    house.drop_file(&film(), "in/a/clip.mp4");
    house.drop_file(&film(), "elsewhere/clip.mp4");
    let jobs = house.wait_for_jobs(1);
    assert_eq!(jobs[0]["state"], "succeeded", "{:#}\n{}", jobs[0], house.log());
    assert_eq!(
        house.published(),
        ["out/a/clip_info.json", "out/a/clip_poster.jpg", "out/a/clip_web.mp4"]
    );
    assert_plays(&house.path("published/out/a/clip_web.mp4"));
    assert_plays(&house.path("published/out/a/clip_poster.jpg"));
    let outputs: usize = jobs[0]["tasks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|task| task["outputs"].as_array().unwrap().len())
        .sum();
    assert_eq!(outputs, 3);
    assert_eq!(house.jobs().len(), 1, "a file elsewhere starts nothing");
    // What ran is kept with the job: the elements of each task, no other task's, and their versions.
    let ran = house.json(&["jobs", "provenance", jobs[0]["id"].as_str().unwrap()]);
    let of = |task: &str| {
        let mut all = ran.as_array().unwrap().iter();
        all.find(|one| one["task"] == task)
            .unwrap_or_else(|| panic!("{task}: {ran:#}"))
            .clone()
    };
    let chains = |task: &str| of(task)["pipeline"].to_string();
    assert!(
        chains("web").contains("x264enc") && chains("web").contains("mp4mux"),
        "{ran:#}"
    );
    assert!(
        !chains("poster").contains("x264enc") && chains("poster").contains("appsink"),
        "{ran:#}"
    );
    assert!(
        of("web")["plugins"]["x264"].is_string() && of("web")["settings"]["work"] == "transcode",
        "{ran:#}"
    );
    assert!(of("web")["libraries"].to_string().contains("libx264"), "{ran:#}");
    assert_eq!(house.stop(), Some(0));
}

#[test]
fn what_was_there_before_is_left_alone_and_what_comes_after_a_restart_is_not() {
    let mut house = House::new(&[("copy", COPY)]);
    house.drop_file(&film(), "old.mp4");
    house.start();
    house.drop_file(&film(), "new.mp4");
    house.wait_for_jobs(1);
    house.stop();
    house.drop_file(&film(), "while-down.mp4");
    house.start();
    let jobs = house.wait_for_jobs(2);
    assert_eq!(jobs.len(), 2);
    assert_eq!(house.published(), ["new_keep.mp4", "while-down_keep.mp4"]);
    let why = house.json(&["explain", "inbox", "old.mp4"]);
    assert_eq!(why["rules"][0]["verdict"], "baseline", "{why:#}");
}

#[test]
fn the_same_file_starts_nothing_again_and_a_new_one_under_its_name_does() {
    let mut house = House::new(&[("copy", COPY)]);
    house.start();
    house.drop_file(&film(), "a.mp4");
    house.wait_for_jobs(1);
    let inbox = house.path("inbox");
    fs::rename(inbox.join("a.mp4"), house.path("aside")).unwrap();
    fs::rename(house.path("aside"), inbox.join("a.mp4")).unwrap();
    house.drop_file(&film(), "b.mp4");
    house.wait_for_jobs(2);
    assert_eq!(house.jobs().len(), 2, "there and back is nothing new");
    house.drop_file(&film(), "a.mp4");
    let jobs = house.wait_for_jobs(3);
    assert_eq!(jobs[0]["generation"], 2);
    assert_eq!(jobs[0]["state"], "succeeded");
}

#[test]
fn a_bad_medium_fails_with_a_note_that_goes_away_with_success() {
    let mut house = House::new(&[("web", WEB)]);
    house.start();
    fs::create_dir(house.path("inbox/in")).unwrap();
    fs::write(house.path("inbox/in/clip.mp4"), "this is only text\n".repeat(50)).unwrap();
    let jobs = house.wait_for_jobs(1);
    assert_eq!(jobs[0]["state"], "failed", "{:#}", jobs[0]);
    let note = house.path("published/out/clip.mp4.failed.txt");
    house.wait_until("there is a note", || note.exists().then_some(()));
    let text = fs::read_to_string(&note).unwrap();
    assert!(text.contains("in/clip.mp4") && text.contains("text"), "{text}");
    house.drop_file(&film(), "in/clip.mp4");
    let jobs = house.wait_for_jobs(2);
    assert_eq!(jobs[0]["state"], "succeeded");
    house.wait_until("the note is gone", || (!note.exists()).then_some(()));
}

#[test]
fn a_file_that_is_not_ours_keeps_its_name() {
    let mut house = House::new(&[("copy", COPY)]);
    fs::write(house.path("published/a_keep.mp4"), "somebody's").unwrap();
    house.start();
    house.drop_file(&film(), "a.mp4");
    let jobs = house.wait_for_jobs(1);
    assert_eq!(jobs[0]["state"], "failed");
    assert_eq!(jobs[0]["tasks"][0]["error"]["kind"], "name_taken");
    assert_eq!(
        fs::read_to_string(house.path("published/a_keep.mp4")).unwrap(),
        "somebody's"
    );
}

#[test]
fn two_sources_with_one_name_for_their_results_are_told_apart() {
    let rule = format!("{COPY}\n[task.poster]\nkind = \"snapshot\"\nat = [\"0s\"]\n");
    let mut house = House::new(&[("copy", &rule)]);
    house.start();
    house.drop_file(&film(), "a.mp4");
    house.wait_for_jobs(1);
    house.drop_file(&film(), "a.mov");
    let jobs = house.wait_for_jobs(2);
    assert_eq!(jobs[0]["state"], "failed", "{:#}", jobs[0]);
    let error = jobs[0]["tasks"]
        .as_array()
        .unwrap()
        .iter()
        .find(|task| task["id"] == "poster")
        .unwrap()["error"]
        .clone();
    assert_eq!(error["kind"], "name_taken");
    let message = error["message"].as_str().unwrap();
    assert!(
        message.contains("a.mp4") && message.contains("a_poster.jpg"),
        "{message}"
    );
    assert_eq!(
        jobs[0]["tasks"]
            .as_array()
            .unwrap()
            .iter()
            .find(|task| task["id"] == "keep")
            .unwrap()["state"],
        "succeeded"
    );
}

#[test]
fn a_second_daemon_on_the_same_state_refuses() {
    let mut house = House::new(&[("copy", COPY)]);
    house.start();
    let second = house.reelmill(&["run"]);
    assert!(!second.status.success());
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains("another daemon"), "{said}");
    house.drop_file(&film(), "a.mp4");
    assert_eq!(house.wait_for_jobs(1)[0]["state"], "succeeded");
}

#[test]
fn tasks_wait_for_others_and_for_how_they_end() {
    let rule = r#"
enabled = true
[trigger]
bucket = "inbox"
formats = ["*"]
[output]
bucket = "published"
[task.web]
kind = "transcode"
container = "mp4"
[task.good]
kind = "copy"
after = "web"
[task.bad]
kind = "copy"
after = "web"
when = "failed"
[task.last]
kind = "copy"
after = ["good", "bad"]
when = "any"
"#;
    let mut house = House::new(&[("graph", rule)]);
    house.start();
    house.drop_file(&film(), "film.mp4");
    let jobs = house.wait_for_jobs(1);
    assert_eq!(
        states(&jobs[0]),
        ["web succeeded", "good succeeded", "bad skipped", "last succeeded"]
    );
    fs::write(house.path("inbox/text.mp4"), "no film at all").unwrap();
    let jobs = house.wait_for_jobs(2);
    assert_eq!(
        states(&jobs[0]),
        ["web failed", "good skipped", "bad succeeded", "last succeeded"]
    );
    assert_eq!(jobs[0]["state"], "succeeded", "the failure was met");
}

fn states(job: &serde_json::Value) -> Vec<String> {
    let tasks = job["tasks"].as_array().unwrap();
    tasks
        .iter()
        .map(|task| format!("{} {}", task["id"].as_str().unwrap(), task["state"].as_str().unwrap()))
        .collect()
}

#[test]
fn a_rule_that_breaks_while_it_is_in_force_keeps_its_last_good_version() {
    let mut house = House::new(&[("copy", COPY)]);
    house.start();
    house.write_rule("copy", &COPY.replace("kind = \"copy\"", "kind = \"cpoy\""));
    house.wait_until("the file is seen to be broken", || {
        house.json(&["status"]).to_string().contains("broken").then_some(())
    });
    let check = house.reelmill(&["check"]);
    assert_eq!(check.status.code(), Some(65));
    let said = String::from_utf8_lossy(&check.stderr);
    assert!(said.contains("copy.toml") && said.contains("did you mean"), "{said}");
    house.drop_file(&film(), "a.mp4");
    assert_eq!(house.wait_for_jobs(1)[0]["state"], "succeeded");
    house.stop();
    house.start();
    house.drop_file(&film(), "b.mp4");
    assert_eq!(house.wait_for_jobs(2)[0]["state"], "succeeded", "over a restart too");
    house.write_rule("copy", &COPY.replace("task.keep", "task.other"));
    house.wait_until("the mended rule is in force", || {
        house.drop_file(&film(), "c.mp4");
        let jobs = house.wait_for_jobs(3);
        (jobs[0]["tasks"][0]["id"] == "other").then_some(())
    });
}

#[test]
fn rules_are_enabled_and_disabled_in_their_files() {
    let off = COPY.replace("enabled = true", "# asleep\nenabled = false # for now");
    let mut house = House::new(&[("copy", &off)]);
    house.start();
    house.drop_file(&film(), "a.mp4");
    assert!(house.reelmill(&["rules", "enable", "copy"]).status.success());
    house.wait_until("the rule is in force", || {
        let rules = house.json(&["rules", "list"]);
        let rule = &rules["rules"][0];
        (rule["enabled"] == true && rule["arming"].is_null()).then_some(())
    });
    house.drop_file(&film(), "b.mp4");
    let jobs = house.wait_for_jobs(1);
    assert_eq!(jobs.len(), 1, "what came while it was disabled is old");
    assert_eq!(jobs[0]["key"], "b.mp4");
    let text = fs::read_to_string(house.path("rules/copy.toml")).unwrap();
    assert!(text.contains("# asleep\nenabled = true # for now"), "{text}");
}

#[test]
fn a_job_is_cancelled_and_repeated_on_demand() {
    let mut house = House::new(&[("copy", COPY)]);
    house.start();
    house.drop_file(&film(), "a.mp4");
    let first = house.wait_for_jobs(1)[0]["id"].as_str().unwrap().to_owned();
    assert!(house.reelmill(&["jobs", "retry", &first]).status.success());
    let jobs = house.wait_for_jobs(2);
    assert_eq!(jobs[0]["state"], "succeeded");
    assert_eq!(jobs[0]["generation"], 2);
    assert_eq!(house.published(), ["a_keep.mp4"]);
}

#[test]
fn outputs_that_a_later_version_does_not_have_are_removed() {
    let rule = COPY.replace(
        "kind = \"copy\"",
        "kind = \"snapshot\"\nat = [\"0s\", \"1.5s\", \"1.8s\"]",
    );
    let mut house = House::new(&[("stills", &rule)]);
    house.start();
    house.drop_file(&film(), "a.mp4");
    house.wait_for_jobs(1);
    assert_eq!(house.published(), ["a_keep_1.jpg", "a_keep_2.jpg", "a_keep_3.jpg"]);
    let short = house.path("short.mp4");
    harness::tool(
        "ffmpeg",
        &[
            "-nostdin",
            "-v",
            "error",
            "-i",
            film().to_str().unwrap(),
            "-t",
            "0.8",
            "-c",
            "copy",
            short.to_str().unwrap(),
        ],
    );
    house.drop_file(&short, "a.mp4");
    let jobs = house.wait_for_jobs(2);
    assert_eq!(jobs[0]["state"], "succeeded", "{:#}", jobs[0]);
    house.wait_until("the others are gone", || {
        (house.published() == ["a_keep_1.jpg"]).then_some(())
    });
}

#[test]
fn a_rule_is_tried_on_a_file_without_a_daemon() {
    let house = House::new(&[("web", WEB)]);
    let (rule, film) = (house.path("rules/web.toml"), film());
    let tried = |file: &std::path::Path, out: &[&str]| {
        let mut words = vec!["try", rule.to_str().unwrap(), file.to_str().unwrap(), "--json"];
        words.extend(out);
        house.command(&words).current_dir(house.root.path()).output().unwrap()
    };
    let out = house.path("look");
    let first = tried(&film, &["--out", out.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&first.stderr);
    assert!(first.status.success(), "{said}");
    let job: serde_json::Value = serde_json::from_slice(&first.stdout).unwrap();
    assert_eq!(job["state"], "succeeded");
    assert_plays(&out.join("out/film-v1_web.mp4"));
    assert!(out.join("out/film-v1_poster.jpg").exists() && !out.join(".reelmill").exists());
    // A folder of the user's own is not written over; the one for trials is.
    let again = tried(&film, &["--out", out.to_str().unwrap()]);
    assert!(String::from_utf8_lossy(&again.stdout).contains("name_taken"));
    assert!(tried(&film, &[]).status.success() && tried(&film, &[]).status.success());
    let text = house.path("text.mp4");
    fs::write(&text, "only words").unwrap();
    assert_eq!(tried(&text, &[]).status.code(), Some(1));
    assert!(house.published().is_empty() && !house.path("state/reelmill.db").exists());
}

#[test]
fn a_daemon_that_is_stopped_gives_its_job_back_and_takes_it_up_again() {
    let mut house = House::new(&[("web", &WEB.replace("height = 120", "video = { preset = \"veryslow\" }"))]);
    house.start();
    let long = house.path("long.mp4");
    let source = film();
    let words = [
        "-nostdin",
        "-v",
        "error",
        "-stream_loop",
        "12",
        "-i",
        source.to_str().unwrap(),
    ];
    harness::tool(
        "ffmpeg",
        &[&words[..], &["-c", "copy", long.to_str().unwrap()]].concat(),
    );
    house.drop_file(&long, "in/long.mp4");
    house.wait_until("the worker works", || {
        let jobs = house.jobs();
        (jobs.first()?["progress"].as_f64()? > 0.0).then_some(())
    });
    assert_eq!(house.stop(), Some(0));
    assert!(house.log().contains("job given back"), "{}", house.log());
    house.start();
    let jobs = house.wait_for_jobs(1);
    assert_eq!(jobs[0]["state"], "succeeded", "{:#}", jobs[0]);
    assert_eq!(jobs[0]["attempt"], 1, "the attempt that was broken off does not count");
}
