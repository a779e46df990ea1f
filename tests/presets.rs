//! Presets through the real binary: what is listed and shown, and that old jobs keep theirs.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod harness;

use std::fs;

use harness::{House, film};
use serde_json::Value;

const RULE: &str = r#"
enabled = true
[trigger]
bucket = "inbox"
[output]
bucket = "published"
[task.look]
preset = "look"
"#;

fn presets(house: &House, look: &str) {
    fs::create_dir_all(house.path("presets")).unwrap();
    fs::write(house.path("presets/look.toml"), look).unwrap();
}

#[allow(clippy::disallowed_methods, reason = "a test starts the program under test")]
fn without_config(arguments: &[&str]) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_reelmill"))
        .args(arguments)
        .current_dir(folder.path())
        .env_remove("REELMILL_CONFIG")
        .output()
        .unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn presets_are_listed_and_shown_without_a_config_and_with_one() {
    let (code, text) = without_config(&["presets", "show", "h264-720p"]);
    assert_eq!(code, Some(0));
    assert!(text.starts_with("[preset.h264-720p]\nkind = \"transcode\"\n"), "{text}");
    let (code, list) = without_config(&["presets", "list", "--json"]);
    let list: Vec<Value> = serde_json::from_str(&list).unwrap();
    assert_eq!(code, Some(0));
    assert!(list.iter().all(|one| one["source"] == "built_in"));
    assert_eq!(without_config(&["presets", "show", "h264-721p"]).0, Some(66));

    // What was shown goes into a rule as it is.
    let rule = format!("{}{text}", RULE.replace("preset = \"look\"", "preset = \"h264-720p\""));
    let house = House::new(&[("web", &rule)]);
    presets(&house, "kind = \"snapshot\"\nat = [\"1s\"]\n");
    assert!(house.reelmill(&["check"]).status.success());
    let list = house.json(&["presets"]);
    let source = |name: &str| -> Vec<&Value> {
        let list = list.as_array().unwrap().iter();
        list.filter(|one| one["name"] == name)
            .map(|one| &one["source"])
            .collect()
    };
    assert_eq!(source("look"), ["file"]);
    assert_eq!(source("h264-720p"), ["built_in", "rule"]);

    presets(&house, "kind = \"snapshot\"\nat = [\"1s\"\n");
    let check = house.reelmill(&["check"]);
    assert_eq!(check.status.code(), Some(65));
    let told = String::from_utf8_lossy(&check.stderr).into_owned();
    assert!(told.contains("presets/look.toml:"), "{told}");
    assert_eq!(house.reelmill(&["presets", "show", "look"]).status.code(), Some(65));
}

#[test]
fn a_changed_preset_changes_new_jobs_and_no_old_one() {
    let mut house = House::new(&[("look", RULE)]);
    presets(&house, "kind = \"snapshot\"\nat = [\"1s\"]\n");
    house.start();
    house.drop_file(&film(), "a.mp4");
    let first = house.wait_for_jobs(1)[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(house.published(), ["a_look.jpg"]);

    presets(&house, "kind = \"snapshot\"\nat = [\"1s\"]\nformat = \"png\"\n");
    house.wait_until("the rule has taken the change", || {
        let rules = house.try_json(&["rules"])?;
        rules["rules"][0]["text"]
            .as_str()?
            .contains("format = \"png\"")
            .then_some(())
    });
    house.json(&["jobs", "retry", &first]);
    house.wait_for_jobs(2);
    house.wait_until("the newest version's output is alone there", || {
        (house.published() == ["a_look.png"]).then_some(())
    });

    fs::remove_file(house.path("presets/look.toml")).unwrap();
    house.wait_until("the rule is broken without its preset", || {
        let status = house.try_json(&["rules"])?;
        (!status["broken"].as_array()?.is_empty()).then_some(())
    });
    house.json(&["jobs", "retry", &first, "--same-version"]);
    let jobs = house.wait_for_jobs(3);
    assert!(jobs.iter().all(|job| job["state"] == "succeeded"), "{jobs:#?}");
    house.wait_until("the old version made its own output again", || {
        house.published().contains(&"a_look.jpg".to_owned()).then_some(())
    });
}
