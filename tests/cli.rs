//! What people see: the real binary's words, tables and exit codes.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod harness;

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::time::Instant;

use harness::{House, PATIENCE, film, tool};
use unicode_width::UnicodeWidthStr as _;

const COPY: &str = r#"
enabled = true
[trigger]
bucket = "inbox"
[output]
bucket = "published"
[task.keep]
kind = "copy"
[task.info]
kind = "probe"
"#;

/// A film whose title and key try to steer a terminal.
const HOSTILE_KEY: &str = "evil\u{1b}[2J\u{1b}]0;taken\u{7}\u{202e}gpm.\u{200b}日本\n.mp4";
const HOSTILE_TITLE: &str = "Holiday\u{1b}[31m\u{9b}2J\u{202e}\u{2066}yad";

fn hostile_film(house: &House) -> PathBuf {
    let path = house.path("hostile.mp4");
    let title = format!("title={HOSTILE_TITLE}");
    let (source, target) = (film(), path.to_str().unwrap().to_owned());
    let source = source.to_str().unwrap();
    tool(
        "ffmpeg",
        &[
            "-nostdin",
            "-v",
            "error",
            "-i",
            source,
            "-c",
            "copy",
            "-metadata",
            &title,
            &target,
        ],
    );
    path
}

fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Fails where a text holds anything that steers a terminal or cannot be seen.
#[track_caller]
fn assert_harmless(what: &str, text: &str) {
    let bad = |c: &char| {
        (c.is_control() && *c != '\n')
            || matches!(*c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    assert!(!text.chars().any(|c| bad(&c)), "{what}: {text:?}");
}

/// Starts a command and leaves it running, its words in a file.
fn start(house: &House, arguments: &[&str], words: &Path) -> Child {
    let file = fs::File::create(words).unwrap();
    let mut command = house.command(arguments);
    command
        .stdout(file.try_clone().unwrap())
        .stderr(file)
        .stdin(Stdio::null());
    command.spawn().unwrap()
}

fn interrupt(child: &mut Child) -> Option<i32> {
    let id = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
    ended(child)
}

fn ended(child: &mut Child) -> Option<i32> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("it did not end");
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

fn text(path: &Path) -> String {
    let mut text = String::new();
    fs::File::open(path).unwrap().read_to_string(&mut text).unwrap();
    text
}

/// What a terminal of 80 columns gets to see of a command.
fn on_terminal(house: &House, words: &str) -> String {
    let line = format!(
        "stty cols 80 rows 24; '{}' --config '{}' {words}",
        env!("CARGO_BIN_EXE_reelmill"),
        house.path("reelmill.toml").display()
    );
    tool(
        "env",
        &["-u", "NO_COLOR", "TERM=xterm", "script", "-qec", &line, "/dev/null"],
    )
    .replace("\r\n", "\n")
}

/// A text without the colours and moves that the program itself writes.
fn without_own_codes(text: &str) -> String {
    let mut bare = String::new();
    let mut rest = text.replace('\r', "");
    while let Some(at) = rest.find("\u{1b}[") {
        bare.push_str(&rest[..at]);
        let code = &rest[at + 2..];
        let end = code.find(|c: char| !c.is_ascii_digit()).unwrap();
        assert!(
            matches!(&code[..=end], "J") || code[end..].starts_with(['m', 'A']),
            "an unknown code: {code:?}"
        );
        rest = code[end + 1..].to_owned();
    }
    bare + &rest
}

#[test]
fn words_of_strangers_reach_no_terminal_as_they_are() {
    let mut house = House::new(&[("copy", COPY)]);
    house.start();
    let hostile = hostile_film(&house);
    let watched = house.path("watched.txt");
    let mut watch = start(&house, &["jobs", "watch"], &watched);
    house.drop_file(&hostile, HOSTILE_KEY);
    let job = house.wait_for_jobs(1).remove(0);
    assert_eq!(job["key"], HOSTILE_KEY, "JSON has the key as it is");
    let id = job["id"].as_str().unwrap();
    house.wait_until("the end is told", || text(&watched).contains("done").then_some(()));
    assert_eq!(interrupt(&mut watch), Some(130));
    let told = text(&watched);
    assert_harmless("jobs watch", &told);
    assert!(told.contains("evil\\u{1b}[2J"), "{told}");
    for words in [
        &["jobs", "list"][..],
        &["jobs", "show", id],
        &["explain", "inbox", HOSTILE_KEY],
        &["explain", house.path("inbox").join(HOSTILE_KEY).to_str().unwrap()],
        &["explain", "published\u{1b}[2J", "x"],
        &["jobs", "list", "--rule", "\u{1b}[2J"],
        &["rules", "show", "\u{202e}copy"],
        &["status"],
    ] {
        let output = house.reelmill(words);
        assert_harmless(&words.join(" "), &said(&output));
    }
    let shown = said(&house.reelmill(&["jobs", "show", id]));
    assert!(shown.contains("Holiday") && shown.contains("\\u{202e}"), "{shown}");
    assert!(shown.contains("gpm.\\u{200b}日本\\n.mp4"), "{shown}");
    for words in [
        "jobs list",
        "status",
        &format!("jobs show {id}"),
        &format!("jobs watch {id}"),
    ] {
        let seen = on_terminal(&house, words);
        assert!(seen.contains("\u{1b}["), "{words} is coloured on a terminal: {seen:?}");
        assert_harmless(words, &without_own_codes(&seen));
    }
    // Without a daemon, too; and a rule file is shown as harmlessly as it is refused.
    let named = house.path(HOSTILE_KEY);
    fs::copy(&hostile, &named).unwrap();
    let rule = house.path("rules/copy.toml");
    let mut tried = house.command(&["try", rule.to_str().unwrap(), named.to_str().unwrap()]);
    let tried = tried.current_dir(house.root.path()).output().unwrap();
    assert!(tried.status.success(), "{}", said(&tried));
    assert_harmless("try", &said(&tried));
    house.write_rule(
        "bad",
        "enabled = true # \u{202e}\n[trigger]\nbucket = \"in\u{202e}box\"\n",
    );
    for words in [&["check"][..], &["status"], &["rules"]] {
        assert_harmless(&words.join(" "), &said(&house.reelmill(words)));
    }
}

#[test]
fn a_watch_ends_with_the_jobs_that_it_was_asked_for() {
    let mut house = House::new(&[("copy", COPY)]);
    house.start();
    house.drop_file(&film(), "good.mp4");
    fs::write(house.path("bad.txt"), "no medium at all\n".repeat(90)).unwrap();
    house.drop_file(&house.path("bad.txt"), "bad.mp4");
    let jobs = house.wait_for_jobs(2);
    let of = |key: &str| {
        let job = jobs.iter().find(|job| job["key"] == key).unwrap();
        job["id"].as_str().unwrap().to_owned()
    };
    let (good, bad) = (of("good.mp4"), of("bad.mp4"));
    let watched = house.reelmill(&["jobs", "watch", &good]);
    assert_eq!(watched.status.code(), Some(0), "{}", said(&watched));
    assert!(said(&watched).contains("done"), "{}", said(&watched));
    let watched = house.reelmill(&["jobs", "watch", &good, &bad]);
    assert_eq!(watched.status.code(), Some(1), "{}", said(&watched));
    assert!(said(&watched).contains("failed"), "{}", said(&watched));
    let watched = house.reelmill(&["jobs", "watch", &good, "--json"]);
    let lines: Vec<serde_json::Value> = String::from_utf8(watched.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let job = lines.iter().find(|line| line["event"] == "job").unwrap();
    assert_eq!(
        (&job["job"]["id"], &job["job"]["state"]),
        (&good.into(), &"succeeded".into())
    );
    assert!(lines.iter().any(|line| line["event"] == "queue"));
    let unknown = house.reelmill(&["jobs", "watch", "zzzzzz"]);
    assert_eq!(unknown.status.code(), Some(66), "{}", said(&unknown));
}

#[test]
fn a_watch_survives_the_daemon() {
    let mut house = House::new(&[("copy", COPY)]);
    let refused = house.reelmill(&["jobs", "watch"]);
    assert_eq!(refused.status.code(), Some(69), "{}", said(&refused));
    house.start();
    let watched = house.path("watched.txt");
    let mut watch = start(&house, &["jobs", "watch"], &watched);
    let json = house.path("watched.json");
    let mut as_json = start(&house, &["jobs", "watch", "--json"], &json);
    house.drop_file(&film(), "a.mp4");
    house.wait_until("the first is told", || text(&watched).contains("done").then_some(()));
    house.wait_until("it is told in JSON", || text(&json).contains("succeeded").then_some(()));
    house.kill();
    house.wait_until("the loss is told", || {
        text(&watched).contains("not running").then_some(())
    });
    house.wait_until("the loss is told in JSON", || {
        text(&json).contains("\"away\"").then_some(())
    });
    house.start();
    house.drop_file(&film(), "b.mp4");
    house.wait_until("the second is told", || {
        text(&watched).contains("b.mp4  in").then_some(())
    });
    assert!(text(&watched).contains("started again"), "{}", text(&watched));
    house.wait_until("the return is told in JSON", || {
        text(&json).contains("\"restarted\"").then_some(())
    });
    assert_eq!(interrupt(&mut watch), Some(130));
    assert_eq!(interrupt(&mut as_json), Some(130));
}

#[test]
fn nothing_is_wider_than_the_terminal() {
    let long = COPY.replace(
        "[trigger]",
        "name = \"a rule with a long name that says much\"\n[trigger]",
    );
    let mut house = House::new(&[("long", &long)]);
    house.start();
    for key in [
        "camera/2026/05/a film with a very long name indeed, take 12.mov",
        "日本の映画/とても長い名前の映画がここにあります.mp4",
        "e\u{301}e\u{301}e\u{301}e\u{301}/🎬🎬🎬 clip.mp4",
    ] {
        house.drop_file(&film(), key);
    }
    fs::write(house.path("bad.txt"), "no medium at all\n".repeat(90)).unwrap();
    house.drop_file(&house.path("bad.txt"), "bad.mp4");
    house.wait_for_jobs(4);
    for width in [100, 80, 60, 40] {
        for words in [&["jobs", "list"][..], &["rules", "list"]] {
            let mut command = house.command(words);
            let output = command.env("COLUMNS", width.to_string()).output().unwrap();
            let shown = String::from_utf8(output.stdout).unwrap();
            assert_eq!(shown.lines().count(), if words[0] == "jobs" { 5 } else { 2 }, "{shown}");
            for line in shown.lines() {
                assert!(line.width() <= width, "{words:?} at {width}:\n{shown}");
            }
        }
    }
    let piped = said(&house.reelmill(&["jobs", "list"]));
    assert!(
        piped.contains("a film with a very long name indeed, take 12.mov"),
        "{piped}"
    );
}

#[test]
fn an_object_is_explained_however_it_is_named() {
    let mut house = House::new(&[("copy", COPY)]);
    let config = text(&house.path("reelmill.toml")).replace("[workers]", "[bucket.usb]\npath = \"usb\"\n[workers]");
    fs::write(house.path("reelmill.toml"), config).unwrap();
    let usb = COPY.replace("\"inbox\"", "\"usb\"");
    house.write_rule("usb", &usb);
    fs::create_dir(house.path("usb")).unwrap();
    house.drop_file(&film(), "old.mp4");
    house.start();
    fs::rename(house.path("usb"), house.path("unplugged")).unwrap();
    house.drop_file(&film(), "-x.mp4");
    let job = house.wait_for_jobs(1).remove(0);
    let explained = |words: &[&str]| {
        let output = house.reelmill(words);
        assert!(output.status.success(), "{words:?}: {}", said(&output));
        said(&output)
    };
    let path = house.path("inbox/-x.mp4");
    for words in [
        &["explain", "inbox", "-x.mp4"][..],
        &["explain", path.to_str().unwrap()],
        &["explain", "inbox/-x.mp4"],
    ] {
        let told = explained(words);
        assert!(told.contains("published 2 outputs"), "{told}");
        assert!(told.contains(job["id"].as_str().unwrap()), "{told}");
        assert!(told.contains("published/-x_keep.mp4"), "{told}");
        assert!(told.contains("Rules of other buckets: usb."), "{told}");
    }
    let verdict = |bucket: &str, key: &str, rule: &str| {
        let told = house.json(&["explain", bucket, key]);
        let rules = told["rules"].as_array().unwrap().clone();
        let one = rules.into_iter().find(|one| one["rule"] == rule).unwrap();
        (
            one["verdict"].as_str().unwrap().to_owned(),
            one["message"].as_str().unwrap().to_owned(),
        )
    };
    assert_eq!(verdict("inbox", "old.mp4", "copy").0, "baseline");
    assert_eq!(verdict("usb", "x.mp4", "usb").0, "offline");
    let (gone, words) = verdict("inbox", "never.mp4", "copy");
    assert!(gone == "gone" && words.contains("never was"), "{words}");
    fs::remove_file(&path).unwrap();
    let (gone, words) = verdict("inbox", "-x.mp4", "copy");
    assert!(gone == "gone" && words.contains("published 2 outputs"), "{words}");
    assert!(explained(&["explain", "published", "-x_keep.mp4"]).contains("made it from inbox/-x.mp4"));
    fs::remove_file(house.path("rules/copy.toml")).unwrap();
    house.wait_until("the rule is no more", || {
        let rules = house.json(&["rules", "list"]);
        let names: Vec<_> = rules["rules"]
            .as_array()?
            .iter()
            .map(|rule| rule["name"].clone())
            .collect();
        (!names.contains(&"copy".into())).then_some(())
    });
    let (verdict, words) = verdict("inbox", "-x.mp4", "copy");
    assert!(verdict == "no_rule" && words.contains("published 2 outputs"), "{words}");
}

#[test]
fn jobs_are_listed_by_rule_bucket_key_and_time() {
    let mut house = House::new(&[("copy", COPY)]);
    house.start();
    house.drop_file(&film(), "-a.mp4");
    house.drop_file(&film(), "b.mp4");
    let jobs = house.wait_for_jobs(2);
    let count = |more: &[&str]| {
        let mut words = vec!["jobs", "list"];
        words.extend(more);
        house.json(&words).as_array().unwrap().len()
    };
    assert_eq!(count(&["--rule", "copy", "--bucket", "inbox"]), 2);
    assert_eq!(count(&["--bucket", "published"]), 0);
    assert_eq!(count(&["--key", "-a.mp4"]), 1);
    assert_eq!(count(&["--since", "2d"]), 2);
    assert_eq!(count(&["--since", "2999-01-01"]), 0);
    let id = jobs[0]["id"].as_str().unwrap();
    for part in [&id[..14], &id[5..]] {
        assert_eq!(house.json(&["jobs", "show", part])["id"], id, "{part}");
    }
}

#[test]
fn errors_say_what_is_wrong_and_what_would_be_right() {
    let mut house = House::new(&[("copy", COPY)]);
    let refused = |words: &[&str], code: i32, parts: &[&str]| {
        let output = house.reelmill(words);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {}", said(&output));
        for part in parts {
            assert!(
                said(&output).contains(part),
                "{words:?} lacks {part}: {}",
                said(&output)
            );
        }
    };
    refused(
        &["status"],
        69,
        &["the daemon is not running", "start it: reelmill run --config"],
    );
    refused(
        &["explain", "inbx", "x"],
        66,
        &["declares no bucket \"inbx\"", "did you mean \"inbox\"?"],
    );
    refused(
        &["explain", "/etc/passwd"],
        66,
        &["lies in the directory of no bucket", "inbox: "],
    );
    refused(
        &["rules", "enable", "coppy"],
        66,
        &["no rule \"coppy\"", "did you mean \"copy\"?"],
    );
    refused(
        &["jobs", "list", "--since", "soon"],
        64,
        &["\"soon\" is no time", "\"2d\""],
    );
    house.start();
    let refused = |words: &[&str], code: i32, parts: &[&str]| {
        let output = house.reelmill(words);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {}", said(&output));
        for part in parts {
            assert!(
                said(&output).contains(part),
                "{words:?} lacks {part}: {}",
                said(&output)
            );
        }
    };
    refused(
        &["jobs", "list", "--rule", "coppy"],
        66,
        &["no rule \"coppy\"", "did you mean \"copy\"?"],
    );
    refused(
        &["jobs", "list", "--bucket", "x"],
        66,
        &["no bucket \"x\"", "inbox, published"],
    );
    refused(
        &["jobs", "show", "zzzz"],
        66,
        &["no job has an id that begins with zzzz"],
    );
    refused(&["jobs", "show", "x"], 64, &["at least 3"]);
    refused(&["rules", "show", "nothing like it"], 66, &["there is \"copy\""]);
    let mut lost = house.command(&["status"]);
    let lost = lost.arg("--config").arg("/nowhere/reelmill.toml").output().unwrap();
    assert_eq!(lost.status.code(), Some(78), "{}", said(&lost));
    assert!(
        said(&lost).contains("there is no config file /nowhere/reelmill.toml"),
        "{}",
        said(&lost)
    );
    refused(
        &["try", "nothing.toml", film().to_str().unwrap()],
        66,
        &["nothing.toml: it is not there"],
    );
}

#[test]
fn an_answer_that_cannot_be_written_is_no_success() {
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let house = House::new(&[]);
    let output = house.command(&["presets", "--json"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(74));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("the answer cannot be written"), "{said}");
}
