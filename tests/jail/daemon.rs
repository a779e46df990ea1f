//! The attacks on a running daemon: a dropped file each, and a good film after every one.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::Test;
use crate::attack::{Arg, Attack};
use crate::direct::medium;
use crate::greed::Greed;
use crate::harness::{House, film};
use crate::lies::Lie;

pub const TESTS: &[Test] = &[
    ("the_daemon_records_each_attack_and_goes_on", a_day_of_attacks),
    ("results_that_are_no_files_are_refused_even_without_a_jail", links),
];

const CONFIG: &str = r#"
state = "state"
[bucket.inbox]
path = "inbox"
[bucket.published]
path = "published"
[workers]
slots = 4
drain = "1s"
"#;

/// Copies what is thrown in, and reads nothing of it.
const COPY: &str = r#"
enabled = true
[trigger]
bucket = "inbox"
directory = "hostile/"
[output]
bucket = "published"
[retry]
attempts = 1
stall = "8s"
timeout = "24s"
[task.keep]
kind = "copy"
"#;

/// Asks what it is, and plans with that.
const LOOK: &str = r#"
enabled = true
[trigger]
bucket = "inbox"
directory = "asked/"
[output]
bucket = "published"
[retry]
attempts = 1
[task.small]
kind = "transcode"
container = "mp4"
height = 96
[task.stills]
kind = "snapshot"
at = ["10%", "90%"]
[task.look]
kind = "probe"
"#;

const GOOD: &str = r#"
enabled = true
[trigger]
bucket = "inbox"
directory = "good/"
[output]
bucket = "published"
[task.still]
kind = "snapshot"
at = ["1s"]
"#;

fn house(jail: &str) -> House {
    let mut house = House::new(&[("copy", COPY), ("good", GOOD), ("look", LOOK)]);
    house.program = std::env::current_exe().unwrap();
    fs::write(
        house.path("reelmill.toml"),
        format!("{CONFIG}memory = \"400 MiB\"\njail = \"{jail}\"\n"),
    )
    .unwrap();
    house.start();
    house
}

fn throw(house: &House, attack: &Attack, key: &str) {
    let file = house.path("attack");
    fs::write(&file, medium(attack)).unwrap();
    house.drop_file(&file, key);
}

fn lie(lie: Lie) -> Attack {
    Attack::Lie(lie)
}

fn call(number: i64) -> Attack {
    Attack::Calls(vec![(number, vec![Arg::from(0); 4])])
}

/// The job of this key.
fn job<'a>(jobs: &'a [Value], key: &str) -> &'a Value {
    jobs.iter()
        .find(|job| job["key"] == key)
        .unwrap_or_else(|| panic!("no job of {key}"))
}

/// Whether the job ended as was due: with this kind of error, or well where there is none.
fn judge(jobs: &[Value], key: &str, kind: &str, words: &str) -> Option<String> {
    let job = job(jobs, key);
    let error = &job["tasks"][0]["error"];
    let message = error["message"].as_str().unwrap_or_default();
    let good = if kind.is_empty() {
        job["state"] == "succeeded"
    } else {
        job["state"] == "failed" && error["kind"] == kind && message.contains(words)
    };
    let clean = !job.to_string().contains(r"\u001b");
    (!good || !clean).then(|| format!("{key}: {kind} ({words}) was due, and it is {job:#}"))
}

fn attacks() -> Vec<(&'static str, Attack, &'static str, &'static str)> {
    let take = Attack::Greed;
    let raw = |bytes: &[u8]| lie(Lie::Raw(bytes.to_vec()));
    let named = |name: &str| lie(Lie::Name(name.to_owned()));
    vec![
        (
            "execve",
            call(libc::SYS_execve),
            "jail_violation",
            "the jail forbids execve",
        ),
        (
            "ptrace",
            call(libc::SYS_ptrace),
            "jail_violation",
            "the jail forbids ptrace",
        ),
        ("blocked", Attack::BlockTheSignal, "jail_violation", "jail forbids"),
        ("unknown", call(499), "internal", "tried: ENOSYS"),
        ("files", take(Greed::Files), "jail_violation", " files"),
        ("threads", take(Greed::Threads(6000)), "jail_violation", "threads"),
        ("memory", take(Greed::Memory), "out_of_memory", "workers.memory"),
        ("spin", take(Greed::Spin), "stalled", "nothing moved"),
        ("crawl", take(Greed::Crawl), "timed_out", "longer than"),
        ("words", take(Greed::Words(64)), "internal", "wrote it all"),
        ("crash", take(Greed::Crash), "crashed", "SIGSEGV"),
        ("leave", take(Greed::Leave), "crashed", "code 0"),
        ("frame", raw(&[0xff; 4]), "protocol", "strangely"),
        ("json", raw(b"\0\0\0\x02{]"), "protocol", "strangely"),
        ("greet", lie(Lie::GreetTwice), "protocol", "greeted twice"),
        ("chatter", lie(Lie::Chatter), "protocol", "too much"),
        ("findings", lie(Lie::Findings), "protocol", "too much"),
        ("refusals", lie(Lie::Refusals), "protocol", "too much"),
        ("terminal", lie(Lie::Terminal), "", ""),
        ("failure", lie(Lie::Failure), "corrupt", "owned"),
        ("climb", named("../../x"), "protocol", "not asked for"),
        ("absolute", named("/etc/passwd"), "protocol", "not asked for"),
        ("dots", named(".."), "protocol", "not asked for"),
        ("nothing", lie(Lie::Nothing), "io", "No such file"),
        ("size", lie(Lie::Size), "bad_output", ""),
        // The first time it was whole, and published at once.
        ("twice", lie(Lie::Twice), "", ""),
        ("done", lie(Lie::Done), "bad_output", "without a result"),
        ("task", lie(Lie::Task), "protocol", "not asked for"),
        ("mode", lie(Lie::Mode), "", ""),
    ]
}

fn a_day_of_attacks() {
    let mut house = house("on");
    let attacks = attacks();
    for (name, attack, ..) in &attacks {
        throw(&house, attack, &format!("hostile/{name}.mp4"));
        house.drop_file(&film(), &format!("good/{name}.mp4"));
    }
    throw(&house, &lie(Lie::Medium), "asked/monster.mp4");
    house.drop_file(&film(), "good/last.mp4");
    let jobs = house.wait_for_jobs(attacks.len() * 2 + 2);
    let mut wrong: Vec<String> = Vec::new();
    for (name, _, kind, words) in &attacks {
        wrong.extend(judge(&jobs, &format!("hostile/{name}.mp4"), kind, words));
        wrong.extend(judge(&jobs, &format!("good/{name}.mp4"), "", ""));
    }
    wrong.extend(judge(&jobs, "good/last.mp4", "", ""));
    let monster = job(&jobs, "asked/monster.mp4");
    println!("the monster: {}", monster["tasks"]);
    if monster["state"] != "failed" {
        wrong.push(format!("a medium with impossible numbers: {monster:#}"));
    }
    let log = house.log();
    for line in ["the jail forbids execve", "the jail forbids ptrace", "call 499"] {
        if !log.contains(line) {
            wrong.push(format!("the log does not say {line:?}"));
        }
    }
    if log.contains("panicked") {
        wrong.push(format!("something panicked: {log}"));
    }
    if log.contains('\u{1b}') && log.contains("\u{1b}]0;") || log.contains("\nforged=line") {
        wrong.push("the log has what terminals obey".to_owned());
    }
    println!("the log has {} KB", log.len() >> 10);
    if log.len() > 2 << 20 {
        wrong.push(format!("the log grew to {} bytes", log.len()));
    }
    // What people see has none of it, either.
    for command in [vec!["jobs", "list"], vec!["status"]] {
        let said = house.reelmill(&command);
        if said.stdout.contains(&0x1b) || said.stdout.windows(2).any(|two| two == [0xc2, 0x9b]) {
            wrong.push(format!("{command:?} prints what terminals obey"));
        }
    }
    for id in jobs.iter().filter(|job| job["rule"] != "good") {
        let said = house.reelmill(&["jobs", "show", id["id"].as_str().unwrap()]);
        if said.stdout.contains(&0x1b) || String::from_utf8_lossy(&said.stdout).contains(['\u{9b}', '\u{202e}']) {
            let text = String::from_utf8_lossy(&said.stdout).escape_debug().to_string();
            wrong.push(format!("jobs show prints what terminals obey: {text}"));
        }
    }
    // What a worker may set is no more than what it would have anyway.
    let kept = house.path("published/hostile/mode_keep.mp4");
    let mode = fs::metadata(&kept).map(|about| std::os::unix::fs::MetadataExt::mode(&about) & 0o7777);
    if mode.as_ref().ok() != Some(&0o644) && mode.as_ref().ok() != Some(&0o755) {
        wrong.push(format!("the result's mode is {mode:?} in {:?}", house.published()));
    }
    wrong.extend(stray(&house));
    assert_eq!(house.stop(), Some(0));
    assert!(wrong.is_empty(), "{} went wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// What lies about that should not.
fn stray(house: &House) -> Vec<String> {
    let scratch = house.path("published/.reelmill/scratch");
    house.wait_until("scratch is empty", || {
        let left = fs::read_dir(&scratch).map_or(0, Iterator::count);
        (left == 0).then_some(())
    });
    let climbed: Vec<PathBuf> = [house.path("x"), house.path("published/x"), PathBuf::from("/x")].into();
    let known = ["failed.txt", "keep", "still", "small", "look"];
    let published = house.published();
    let odd = published
        .iter()
        .filter(|name| !known.iter().any(|word| name.contains(word)));
    odd.map(|name| format!("{name} was published"))
        .chain(
            climbed
                .iter()
                .filter(|path| path.exists())
                .map(|path| format!("{} was made", path.display())),
        )
        .collect()
}

/// Inside the jail none of these can be made; a kernel with a fault might let them through.
fn links() {
    let mut house = house("off");
    let secret = house.path("secret");
    fs::write(&secret, "secret").unwrap();
    let target = secret.to_str().unwrap().to_owned();
    let attacks = [
        ("symlink", Lie::Symlink(target.clone())),
        ("hardlink", Lie::Hardlink(target)),
        ("pipe", Lie::Pipe),
        ("directory", Lie::Directory),
        ("growing", Lie::Growing),
    ];
    for (name, attack) in attacks.clone() {
        throw(&house, &lie(attack), &format!("hostile/{name}.mp4"));
    }
    house.drop_file(&film(), "good/last.mp4");
    let jobs = house.wait_for_jobs(attacks.len() + 1);
    let mut wrong: Vec<String> = Vec::new();
    for name in ["symlink", "hardlink", "pipe", "directory"] {
        wrong.extend(judge(&jobs, &format!("hostile/{name}.mp4"), "bad_output", "plain file"));
    }
    println!("growing: {}", job(&jobs, "hostile/growing.mp4")["tasks"]);
    wrong.extend(judge(&jobs, "good/last.mp4", "", ""));
    for name in house.published() {
        let content = fs::read(house.path("published").join(&name)).unwrap();
        if content == b"secret" {
            wrong.push(format!("{name} is the secret"));
        }
    }
    wrong.extend(stray(&house));
    assert_eq!(house.stop(), Some(0));
    assert!(wrong.is_empty(), "{} went wrong:\n{}", wrong.len(), wrong.join("\n"));
}
