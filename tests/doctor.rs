//! `reelmill doctor` as people meet it: the real binary on the machine that runs the tests.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod harness;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::Output;

use harness::House;
use serde_json::Value;
use unicode_width::UnicodeWidthStr as _;

const WEB: &str = r#"
enabled = true
after_success = "delete"
[trigger]
bucket = "inbox"
[output]
bucket = "published"
group = "press"
[task.web]
kind = "transcode"
"#;

/// What `doctor --json` answers, whatever it ends with.
fn examined(house: &House) -> (Option<i32>, Value) {
    let output = house.reelmill(&["doctor", "--json"]);
    let answer = serde_json::from_slice(&output.stdout).unwrap();
    (output.status.code(), answer)
}

fn finding<'a>(answer: &'a Value, what: &str) -> &'a Value {
    let findings = answer["findings"].as_array().unwrap();
    findings
        .iter()
        .find(|one| one["what"] == what)
        .unwrap_or_else(|| panic!("nothing is said of {what}: {answer:#}"))
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn a_machine_on_which_the_tests_run_is_fit_and_is_left_as_it_was() {
    let house = House::new(&[("web", WEB)]);
    let (code, answer) = examined(&house);
    assert_eq!(code, Some(0), "{answer:#}");
    assert_eq!(answer["ok"], true);
    for what in ["config", "daemon", "kernel", "gstreamer", "bucket inbox", "state"] {
        assert_ne!(finding(&answer, what)["level"], "bad");
    }
    assert_eq!(finding(&answer, "daemon")["says"], "does not run");
    let writes = finding(&answer, "writes")["says"].as_str().unwrap();
    assert!(writes.contains("mp4") && writes.contains("h264"), "{writes}");
    for folder in ["state", "inbox", "published"] {
        let left: Vec<_> = fs::read_dir(house.path(folder)).unwrap().collect();
        assert!(left.is_empty(), "{folder}: {left:?}");
    }
}

#[test]
fn a_running_daemon_is_seen_and_not_disturbed() {
    let mut house = House::new(&[]);
    house.start();
    let (code, answer) = examined(&house);
    assert_eq!(code, Some(0), "{answer:#}");
    let says = finding(&answer, "daemon")["says"].as_str().unwrap();
    assert!(says.contains(&house.daemon_id().to_string()), "{says}");
    let says = finding(&answer, "bucket inbox")["says"].as_str().unwrap();
    assert!(!says.contains("new"), "{says}");
    // Another directory in the place of a bucket.
    fs::remove_dir_all(house.path("inbox")).unwrap();
    fs::create_dir(house.path("inbox")).unwrap();
    let (code, answer) = examined(&house);
    assert_eq!(code, Some(66), "{answer:#}");
    let help = finding(&answer, "bucket inbox")["help"].as_str().unwrap();
    assert!(help.contains("reelmill bucket accept inbox"), "{help}");
}

#[test]
fn what_is_missing_is_bad_and_decides_the_exit_code() {
    let house = House::new(&[("web", WEB)]);
    fs::remove_dir(house.path("inbox")).unwrap();
    fs::remove_dir(house.path("published")).unwrap();
    fs::write(house.path("published"), "a file").unwrap();
    let (code, answer) = examined(&house);
    assert_eq!(code, Some(66), "{answer:#}");
    assert_eq!(answer["ok"], false);
    assert_eq!(finding(&answer, "bucket inbox")["level"], "bad");
    assert_eq!(finding(&answer, "bucket published")["level"], "bad");

    fs::write(house.path("reelmill.toml"), "[bucket.inbox]\npaht = \"x\"\n").unwrap();
    let (code, answer) = examined(&house);
    assert_eq!(code, Some(78), "{answer:#}");
    // The machine is looked at all the same.
    finding(&answer, "gstreamer");

    fs::remove_file(house.path("reelmill.toml")).unwrap();
    assert_eq!(examined(&house).0, Some(78));
}

#[test]
fn a_broken_rule_is_a_warning() {
    let house = House::new(&[("web", WEB), ("bad", "nonsense")]);
    let (code, answer) = examined(&house);
    assert_eq!(code, Some(0), "{answer:#}");
    assert_eq!(finding(&answer, "rules")["level"], "warn");
}

#[test]
fn the_screen_is_eighty_columns_wide_and_has_no_colours_in_a_file() {
    let house = House::new(&[("web", WEB)]);
    let output = house.command(&["doctor"]).env("COLUMNS", "80").output().unwrap();
    let shown = text(&output);
    assert!(!shown.contains('\u{1b}'), "{shown}");
    assert!(shown.lines().count() <= 45, "{shown}");
    let path = house.path("").display().to_string();
    for line in shown.lines() {
        // A path that is longer than a line stays whole.
        assert!(line.width() <= 80 || line.contains(&path), "{line}");
    }
    assert!(shown.contains("This machine is fit"), "{shown}");
}

#[test]
fn somebody_else_is_told_who_may() {
    if !rustix::process::geteuid().is_root() {
        // Only root can become somebody else.
        return;
    }
    let house = House::new(&[("web", WEB)]);
    fs::set_permissions(house.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    // The program may lie where only root may go.
    let program = house.path("reelmill");
    fs::copy(env!("CARGO_BIN_EXE_reelmill"), &program).unwrap();
    #[allow(clippy::disallowed_methods, reason = "a test starts the program under test")]
    let output = std::process::Command::new(&program)
        .arg("--config")
        .arg(house.path("reelmill.toml"))
        .args(["doctor", "--json"])
        .current_dir("/")
        .uid(65_534)
        .gid(65_534)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(77), "{output:?}");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    for what in ["state", "bucket inbox", "bucket published"] {
        let found = finding(&answer, what);
        assert_eq!(found["level"], "bad", "{found}");
        assert!(found["help"].as_str().unwrap().contains("belongs to root"), "{found}");
    }
    assert_eq!(finding(&answer, "gstreamer")["level"], "ok");
}

#[test]
fn the_drop_in_opens_what_the_rules_write_to() {
    let house = House::new(&[("web", WEB)]);
    let shown = text(&house.reelmill(&["doctor", "--unit"]));
    let line = |key: &str, below: &str| format!("{key}=-{}", house.path(below).display());
    // The house lies in /tmp, which the unit hides. Sources are deleted, so the inbox is written to.
    assert!(shown.contains(&line("BindPaths", "inbox")), "{shown}");
    assert!(shown.contains(&line("BindPaths", "published")), "{shown}");
    assert!(shown.contains("SupplementaryGroups=press\n"), "{shown}");
    assert!(!shown.contains("CAP_"), "{shown}");
    house.write_rule("web", &WEB.replace("after_success", "# after_success"));
    let shown = text(&house.reelmill(&["doctor", "--unit"]));
    assert!(shown.contains(&line("BindReadOnlyPaths", "inbox")), "{shown}");
}

#[test]
fn the_drop_in_opens_the_network_only_for_what_is_reached_over_it() {
    let house = House::new(&[]);
    let unit = |more: &str| {
        let config = format!("state = \"state\"\n[bucket.inbox]\npath = \"inbox\"\n{more}");
        fs::write(house.path("reelmill.toml"), config).unwrap();
        text(&house.reelmill(&["doctor", "--unit"]))
    };
    assert!(!unit("").contains("PrivateNetwork"));
    let here = unit("[bucket.far]\nendpoint = \"http://127.0.0.1:9000\"\n");
    assert!(here.contains("PrivateNetwork=no\n"), "{here}");
    assert!(here.contains("IPAddressAllow=localhost\n"), "{here}");
    let any = unit("[bucket.far]\ns3 = \"uploads\"\n");
    for line in [
        "After=network-online.target",
        "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6",
        "IPAddressDeny=",
    ] {
        assert!(any.lines().any(|one| one == line), "{line}: {any}");
    }
    let hooks = unit("[http]\nlisten = \"0.0.0.0:8480\"\n");
    assert!(hooks.contains("PrivateNetwork=no\n"), "{hooks}");
}
