//! Noticing files and living with rules, from outside: the real binary, real folders, rules that only copy.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod harness;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, symlink};
use std::path::Path;
use std::time::{Duration, Instant};

use harness::{House, tool};
use serde_json::Value;

const COPY: &str = r#"
enabled = true
[trigger]
bucket = "inbox"
formats = ["mp4"]
[output]
bucket = "published"
[task.keep]
kind = "copy"
"#;

fn started() -> House {
    let mut house = House::new(&[("copy", COPY)]);
    house.start();
    house
}

/// Jobs in any state.
fn accepted(house: &House) -> u64 {
    let status = house.json(&["status"]);
    ["queued", "running", "succeeded", "failed", "cancelled"]
        .iter()
        .filter_map(|state| status["queue"][state].as_u64())
        .sum()
}

fn until_accepted(house: &House, count: u64) {
    house.wait_until(&format!("{count} jobs are accepted"), || {
        (accepted(house) >= count).then_some(())
    });
    assert_eq!(accepted(house), count, "no job too many\n{}", house.log());
}

fn verdict(house: &House, key: &OsStr) -> String {
    let output = house
        .command(&["explain", "--json", "inbox"])
        .arg(key)
        .output()
        .unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    answer["rules"][0]["verdict"].as_str().unwrap_or_default().to_owned()
}

/// Drops a file and waits for its job: what was noticed before it has been decided by then.
fn drop_and_wait(house: &House, name: &str, jobs_then: u64) {
    fs::write(house.path("inbox").join(name), name).unwrap();
    until_accepted(house, jobs_then);
}

fn is_broken(house: &House) -> bool {
    let rules = house.json(&["rules", "list"]);
    !rules["broken"].as_array().unwrap().is_empty()
}

#[test]
fn directories_made_moved_in_and_filled_at_once_lose_nothing() {
    let house = started();
    let aside = house.path("aside");
    for number in 0..300 {
        let folder = aside.join(format!("{}/{}", number % 17, number % 5));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("{number}.mp4")), "x").unwrap();
    }
    fs::rename(&aside, house.path("inbox/tree")).unwrap();
    for number in 0..60 {
        let folder = house.path(&format!("inbox/{number}/b/c"));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("x.mp4"), "x").unwrap();
    }
    fs::write(house.path("linked"), "x").unwrap();
    for number in 0..10 {
        fs::hard_link(house.path("linked"), house.path(&format!("inbox/link{number}.mp4"))).unwrap();
    }
    until_accepted(&house, 370);
}

#[test]
fn a_file_is_taken_when_its_writer_has_closed_it_and_not_before() {
    let house = started();
    let mut slow = fs::File::create(house.path("inbox/slow.mp4")).unwrap();
    fs::write(house.path("inbox/half.mp4.part"), "x").unwrap();
    let end = Instant::now() + Duration::from_secs(3);
    let mut quick = 0;
    while Instant::now() < end {
        slow.write_all(&[7; 1000]).unwrap();
        quick += 1;
        drop_and_wait(&house, &format!("quick{quick}.mp4"), quick);
    }
    assert_eq!(verdict(&house, OsStr::new("slow.mp4")), "busy");
    drop(slow);
    until_accepted(&house, quick + 1);
    fs::rename(house.path("inbox/half.mp4.part"), house.path("inbox/half.mp4")).unwrap();
    until_accepted(&house, quick + 2);
    let jobs = house.jobs();
    let slow = jobs.iter().find(|job| job["key"] == "slow.mp4").unwrap();
    assert_eq!(slow["size"], quick * 1000);
}

#[test]
fn every_name_that_the_system_allows_is_worked_and_shown() {
    let house = started();
    let longest = ["x".repeat(251).as_bytes(), b".mp4"].concat();
    let names: Vec<&[u8]> = vec![
        b"two words.mp4",
        "Gl\u{fc}ck \u{df}.mp4".as_bytes(),
        "\u{4e2d}\u{6587}.mp4".as_bytes(),
        b"new\nline.mp4",
        b"not \xff\xfe text.mp4",
        b"folder \xff/sub\n/clip.mp4",
        b"a+b%20&c;$(d)'\"`.mp4",
        b"escape \x1b[31m.mp4",
        &longest,
    ];
    for name in &names {
        let path = house.path("inbox").join(OsStr::from_bytes(name));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "x").unwrap();
    }
    let jobs = house.wait_for_jobs(names.len());
    let mut shown = BTreeSet::new();
    for job in &jobs {
        assert_eq!(job["state"], "succeeded", "{job:#}");
        shown.insert(match job["key_bytes"].as_str() {
            None => job["key"].as_str().unwrap().as_bytes().to_vec(),
            Some(text) => decode(text),
        });
    }
    assert_eq!(shown, names.iter().map(|name| name.to_vec()).collect());
    for name in &names {
        assert_eq!(verdict(&house, OsStr::from_bytes(name)), "succeeded", "{name:?}");
    }
    assert_eq!(house.published().len(), names.len());
}

/// Base64, as the system's own tool reads it.
fn decode(text: &str) -> Vec<u8> {
    let octal = tool(
        "sh",
        &["-c", "printf %s \"$1\" | base64 -d | od -An -v -tu1", "sh", text],
    );
    octal.split_whitespace().map(|byte| byte.parse().unwrap()).collect()
}

#[test]
fn what_is_not_a_plain_file_starts_nothing_and_holds_nothing_up() {
    let house = started();
    let inbox = house.path("inbox");
    tool("mkfifo", &[inbox.join("pipe.mp4").to_str().unwrap()]);
    assert!(fs::metadata(inbox.join("pipe.mp4")).unwrap().file_type().is_fifo());
    let _socket = std::os::unix::net::UnixListener::bind(inbox.join("socket.mp4")).unwrap();
    fs::write(house.path("elsewhere.mp4"), "x").unwrap();
    symlink(house.path("elsewhere.mp4"), inbox.join("link.mp4")).unwrap();
    symlink("/nowhere", inbox.join("dangling.mp4")).unwrap();
    symlink(".", inbox.join("loop")).unwrap();
    fs::create_dir(inbox.join("folder.mp4")).unwrap();
    drop_and_wait(&house, "plain.mp4", 1);
    for name in ["pipe.mp4", "socket.mp4", "link.mp4", "dangling.mp4", "folder.mp4"] {
        assert_eq!(verdict(&house, OsStr::new(name)), "not_a_file", "{name}");
    }
}

#[test]
fn times_before_1970_and_far_ahead_are_times_like_others() {
    let house = started();
    let epoch = std::time::SystemTime::UNIX_EPOCH;
    let hundred_years = Duration::from_hours(24 * 365 * 100);
    for (name, time) in [
        ("old.mp4", epoch - hundred_years),
        ("new.mp4", epoch + 2 * hundred_years),
    ] {
        let hidden = house.path("inbox/.part");
        fs::write(&hidden, "x").unwrap();
        fs::File::open(&hidden).unwrap().set_modified(time).unwrap();
        fs::rename(&hidden, house.path("inbox").join(name)).unwrap();
    }
    let jobs = house.wait_for_jobs(2);
    assert!(jobs.iter().all(|job| job["state"] == "succeeded"), "{jobs:#?}");
}

#[test]
fn a_root_without_its_marker_is_offline_until_it_is_accepted() {
    let house = started();
    drop_and_wait(&house, "first.mp4", 1);
    house.wait_for_jobs(1);
    let (inbox, disk) = (house.path("inbox"), house.path("disk"));
    fs::rename(&inbox, &disk).unwrap();
    fs::create_dir(&inbox).unwrap();
    fs::write(inbox.join("hole.mp4"), "x").unwrap();
    let message = house.wait_until("the bucket is offline", || {
        let part = house.json(&["status"])["parts"]["watch:inbox"].clone();
        (part["ok"] == false).then(|| part["message"].as_str().unwrap_or_default().to_owned())
    });
    if !message.contains("bucket accept inbox") {
        house.wait_until("it says what to do", || {
            let message = house.json(&["status"])["parts"]["watch:inbox"]["message"].to_string();
            message.contains("bucket accept inbox").then_some(())
        });
    }
    assert_eq!(verdict(&house, OsStr::new("hole.mp4")), "offline");
    assert_eq!(fs::read_dir(&inbox).unwrap().count(), 1, "nothing is written there");
    fs::rename(&inbox, house.path("hole")).unwrap();
    fs::rename(&disk, &inbox).unwrap();
    drop_and_wait(&house, "second.mp4", 2);
    fs::rename(&inbox, &disk).unwrap();
    fs::rename(house.path("hole"), &inbox).unwrap();
    assert!(house.reelmill(&["bucket", "accept", "inbox"]).status.success());
    until_accepted(&house, 3);
}

#[test]
fn a_rule_broken_slowly_saved_deleted_and_restored_goes_on() {
    let mut house = started();
    drop_and_wait(&house, "1.mp4", 1);
    house.write_rule("copy", "enabled = tru\n");
    house.wait_until("it is shown as broken", || is_broken(&house).then_some(()));
    drop_and_wait(&house, "2.mp4", 2);
    house.stop();
    fs::write(house.path("inbox/3.mp4"), "while down").unwrap();
    house.start();
    until_accepted(&house, 3);
    assert!(is_broken(&house), "a restart mends nothing");
    let path = house.path("rules/copy.toml");
    let mut file = fs::File::create(&path).unwrap();
    for piece in COPY.as_bytes().chunks(30) {
        file.write_all(piece).unwrap();
        file.flush().unwrap();
        drop(house.json(&["rules", "list"]));
    }
    drop(file);
    house.wait_until("it is whole again", || (!is_broken(&house)).then_some(()));
    drop_and_wait(&house, "4.mp4", 4);
    fs::remove_file(&path).unwrap();
    house.wait_until("it is gone", || {
        let rules = house.json(&["rules", "list"]);
        rules["rules"].as_array().unwrap().is_empty().then_some(())
    });
    fs::write(&path, COPY).unwrap();
    drop_and_wait(&house, "5.mp4", 5);
    assert!(!house.log().contains(" disabled"), "{}", house.log());
}

#[test]
fn a_wider_rule_leaves_the_library_alone_and_what_came_while_disabled_is_old() {
    let mut house = House::new(&[("copy", COPY)]);
    fs::write(house.path("inbox/library.mov"), "x").unwrap();
    house.start();
    drop_and_wait(&house, "1.mp4", 1);
    house.write_rule("copy", &COPY.replace(r#"["mp4"]"#, r#"["mp4", "mov"]"#));
    let armed = |times: usize| house.log().matches("written down").count() == times;
    house.wait_until("the wider rule is armed", || armed(2).then_some(()));
    drop_and_wait(&house, "2.mov", 2);
    assert_eq!(verdict(&house, OsStr::new("library.mov")), "baseline");
    assert!(house.reelmill(&["rules", "disable", "copy"]).status.success());
    fs::write(house.path("inbox/meanwhile.mp4"), "x").unwrap();
    assert!(house.reelmill(&["rules", "enable", "copy"]).status.success());
    house.wait_until("it is armed anew", || armed(3).then_some(()));
    drop_and_wait(&house, "3.mp4", 3);
    assert_eq!(verdict(&house, OsStr::new("meanwhile.mp4")), "baseline");
}

#[test]
fn killed_while_it_writes_down_what_is_there_it_queues_none_of_it() {
    let mut house = House::new(&[("copy", COPY)]);
    for number in 0..6_000 {
        fs::write(house.path(&format!("inbox/old{number}.mp4")), "").unwrap();
    }
    for _ in 0..2 {
        house.start_with(&[]);
        let answers = || house.try_json(&["status"]).map(|_| ());
        house.wait_until("it answers", answers);
        house.kill();
    }
    house.start();
    drop_and_wait(&house, "new.mp4", 1);
    assert_eq!(house.jobs()[0]["key"], "new.mp4");
}

#[test]
fn outputs_start_a_rule_only_where_it_says_so_and_a_users_own_file_always_does() {
    let first = COPY
        .replace("formats", "directory = \"in\"\nformats")
        .replace("\"published\"", "\"inbox\"\ndirectory = \"mid\"");
    let second = COPY.replace("formats", "directory = \"mid\"\noutputs = true\nformats");
    let own = COPY
        .replace("formats", "directory = \"own\"\nformats")
        .replace("bucket = \"published\"", "bucket = \"inbox\"");
    let mut house = House::new(&[("first", &first), ("second", &second), ("own", &own)]);
    for folder in ["in", "mid", "own"] {
        fs::create_dir(house.path("inbox").join(folder)).unwrap();
    }
    house.start();
    drop_and_wait(&house, "in/a.mp4", 2);
    fs::write(house.path("inbox/own/b.mp4"), "b").unwrap();
    house.wait_for_jobs(3);
    assert_eq!(house.published().len(), 1, "of the second rule");
    // A restart lists everything: what the program wrote itself is still known.
    house.stop();
    house.start();
    drop_and_wait(&house, "in/c.mp4", 5);
    house.wait_for_jobs(5);
    fs::write(house.path("inbox/own/b_keep.mp4"), "the user's").unwrap();
    let jobs = house.wait_for_jobs(6);
    assert_eq!(
        (&jobs[0]["key"], &jobs[0]["rule"]),
        (&"own/b_keep.mp4".into(), &"own".into())
    );
    assert!(Path::new(&house.path("inbox/own/b_keep_keep.mp4")).exists());
}
