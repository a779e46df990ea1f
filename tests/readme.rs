//! What the README says: every command in it is carried out, every piece of TOML is checked, and its tables are held
//! against the program. A command that this file does not know is a failure, and so is one that the README lost.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod harness;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use harness::{House, PATIENCE, assert_plays, film, tool};
use reelmill::rule::Container;
use serde_json::Value;

/// How a command of the README is tried.
enum How {
    /// As these commands of the program, each with a word that it must say. Words in braces are looked up in [`Facts`].
    Run(&'static [(&'static [&'static str], &'static str)]),
    /// It runs all the while: it is what answers the others.
    IsTheDaemon,
    /// A daemon of its own, whose log lines are looked at.
    LogsJson,
    /// It does not end: its first lines are looked at.
    Watches,
    /// As it stands there, in the directory of the config.
    AsWritten(&'static str),
    /// Not here, for this reason.
    Elsewhere(&'static str),
}
use How::{AsWritten, Elsewhere, IsTheDaemon, LogsJson, Run, Watches};

const SYSTEMD: &str = "acts on the system's services; deploy/test-unit.sh tries the unit in a Debian of its own";
const PACKAGE: &str = "installs on the system; deploy/test-deb.sh tries the package in a Debian of its own";

const COMMANDS: &[(&str, How)] = &[
    (
        "./deploy/try-it.sh",
        Elsewhere("builds the release and installs packages"),
    ),
    ("./tests/run.sh", Elsewhere("runs this very test")),
    (
        "reelmill check",
        Run(&[(&["check"], "9 good rules, 2 of them enabled")]),
    ),
    (
        "reelmill try rules/web.toml film.mov --out /tmp/look",
        Run(&[(
            &[
                "try",
                "{root}/rules/web.toml",
                "{root}/film.mov",
                "--out",
                "{root}/look",
            ],
            "film_web.mp4",
        )]),
    ),
    ("reelmill run", IsTheDaemon),
    (
        "reelmill rules enable NAME",
        Run(&[(&["rules", "enable", "sound"], "enabled")]),
    ),
    ("reelmill rules", Run(&[(&["rules"], "archive")])),
    ("reelmill quarantine", Run(&[(&["quarantine"], "was understood")])),
    ("reelmill check --online", Run(&[(&["check", "--online"], "inbox")])),
    ("reelmill codecs", Run(&[(&["codecs"], "isomp4")])),
    ("reelmill doctor", Run(&[(&["doctor"], "reads ")])),
    ("reelmill doctor --unit", Run(&[(&["doctor", "--unit"], "[Service]")])),
    (
        "sudo -u reelmill reelmill doctor",
        Elsewhere("needs the user of the package; without sudo it is `reelmill doctor`"),
    ),
    ("reelmill presets", Run(&[(&["presets"], "archive-mkv")])),
    (
        "reelmill presets show h264-720p",
        Run(&[(&["presets", "show", "h264-720p"], "short_side = 720")]),
    ),
    (
        "reelmill explain inbox incoming/clip.mov",
        Run(&[
            (&["explain", "inbox", "incoming/clip.mov"], "web"),
            (&["explain", "{root}/inbox/incoming/clip.mov"], "web"),
        ]),
    ),
    ("reelmill status", Run(&[(&["status"], "inbox")])),
    ("reelmill jobs", Run(&[(&["jobs"], "incoming/clip.mov")])),
    (
        "jobs list",
        Run(&[
            (&["jobs", "list", "--state", "failed"], "incoming/bad.mov"),
            (&["jobs", "list", "--rule", "later"], "later/one.mov"),
            (&["jobs", "list", "--bucket", "inbox"], "incoming/clip.mov"),
            (&["jobs", "list", "--key", "incoming/clip.mov"], "succeeded"),
            (&["jobs", "list", "--since", "2d"], "incoming/clip.mov"),
        ]),
    ),
    (
        "reelmill jobs show ID",
        Run(&[
            (&["jobs", "show", "{done}"], "clip_web.mp4"),
            (&["jobs", "show", "{few letters}"], "clip_web.mp4"),
        ]),
    ),
    (
        "reelmill jobs provenance ID",
        Run(&[(&["jobs", "provenance", "{done}"], "x264enc")]),
    ),
    ("reelmill jobs watch", Watches),
    ("jobs watch ID...", Run(&[(&["jobs", "watch", "{done}"], "done")])),
    ("jobs retry ID", Run(&[(&["jobs", "retry", "{failed}"], "is queued")])),
    (
        "jobs cancel ID",
        Run(&[(&["jobs", "cancel", "{other}"], "is cancelled")]),
    ),
    (
        "curl --unix-socket state/reelmill.sock 'http://reelmill/v1/jobs?state=failed'",
        AsWritten("incoming/bad.mov"),
    ),
    (
        "reelmill pause [RULE] --reason \"disk is full\"",
        Run(&[
            (&["pause", "web", "--reason", "disk is full"], "disk is full"),
            (&["pause", "--reason", "disk is full"], "disk is full"),
        ]),
    ),
    (
        "reelmill resume [RULE]",
        Run(&[(&["resume", "web"], "web"), (&["resume"], "mill")]),
    ),
    (
        "reelmill jobs priority ID 5",
        Run(&[(&["jobs", "priority", "{waiting}", "5"], "priority 5")]),
    ),
    (
        "reelmill submit BUCKET KEY --rule NAME",
        Run(&[
            (
                &["submit", "inbox", "incoming/clip.mov", "--rule", "archive"],
                "disabled",
            ),
            (
                &[
                    "submit",
                    "inbox",
                    "incoming/clip.mov",
                    "--rule",
                    "web",
                    "--dedupe-id",
                    "7",
                ],
                "queued",
            ),
        ]),
    ),
    (
        "reelmill backfill RULE --since 7d --dry-run",
        Run(&[
            (
                &["backfill", "archive", "--since", "7d", "--dry-run"],
                "would queue 2 jobs",
            ),
            (&["backfill", "later", "--since", "7d"], "queued"),
        ]),
    ),
    (
        "reelmill backup FILE",
        Run(&[(&["backup", "{root}/copy.db"], "copy.db")]),
    ),
    (
        "./deploy/package-deb.sh --out /tmp/reelmill",
        Elsewhere("builds the release; deploy/test-deb.sh does it"),
    ),
    ("sudo apt-get install /tmp/reelmill/reelmill_*.deb", Elsewhere(PACKAGE)),
    (
        "sudo cp /usr/share/doc/reelmill/examples/web.toml /etc/reelmill/rules/",
        Elsewhere(PACKAGE),
    ),
    ("sudo adduser \"$USER\" reelmill", Elsewhere(PACKAGE)),
    ("cp my-film.mov /srv/reelmill/inbox/incoming/", Elsewhere(PACKAGE)),
    ("systemctl edit reelmill", Elsewhere(SYSTEMD)),
    ("systemctl status reelmill", Elsewhere(SYSTEMD)),
    ("systemctl reload reelmill", Elsewhere(SYSTEMD)),
    ("systemctl stop reelmill", Elsewhere(SYSTEMD)),
    ("journalctl -u reelmill", Elsewhere(SYSTEMD)),
    ("journalctl -u reelmill -p warning", Elsewhere(SYSTEMD)),
    ("run --log-format json", LogsJson),
    (
        "reelmill completions bash|zsh|fish",
        Run(&[
            (&["completions", "bash"], "_reelmill()"),
            (&["completions", "zsh"], "#compdef reelmill"),
            (&["completions", "fish"], "complete -c reelmill"),
        ]),
    ),
    ("reelmill man --out DIR", Run(&[(&["man", "--out", "{root}/man"], "")])),
    (
        "man reelmill",
        Elsewhere("needs the package; what `reelmill man` writes is read by another test"),
    ),
    (
        "reelmill bucket accept NAME",
        Run(&[(&["bucket", "accept", "published"], "published")]),
    ),
    (
        "cargo build --release",
        Elsewhere("takes minutes; deploy/try-it.sh does it"),
    ),
];

/// Commands that change nothing, which are asked again with `--json`.
const READ: &[&[&str]] = &[
    &["check"],
    &["status"],
    &["rules"],
    &["presets"],
    &["explain"],
    &["jobs", "list"],
    &["jobs", "show"],
    &["backfill", "archive"],
];

/// Not among the gallery: its jobs wait.
const LATER: &str = r#"
enabled = true
[trigger]
bucket = "inbox"
directory = "later/"
[output]
bucket = "published"
[task.keep]
kind = "copy"
"#;

fn root() -> PathBuf {
    env!("CARGO_MANIFEST_DIR").into()
}

fn readme() -> String {
    fs::read_to_string(root().join("README.md")).unwrap()
}

/// The README in pieces: fenced blocks with their language, and what stands between them.
fn pieces(text: &str) -> (Vec<(String, String)>, String) {
    let (mut blocks, mut prose) = (Vec::new(), String::new());
    for (number, piece) in text.split("\n```").enumerate() {
        let (first, rest) = piece.split_once('\n').unwrap_or((piece, ""));
        if number % 2 == 1 {
            blocks.push((first.trim().to_owned(), rest.to_owned()));
        } else {
            prose.push_str(if number == 0 { piece } else { rest });
            prose.push('\n');
        }
    }
    (blocks, prose)
}

/// What stands between backquotes.
fn spans(prose: &str) -> Vec<String> {
    let words = |span: &str| span.split_whitespace().collect::<Vec<_>>().join(" ");
    prose.split('`').skip(1).step_by(2).map(words).collect()
}

/// Every command of the README, without its comment.
fn commands() -> BTreeSet<String> {
    let (blocks, prose) = pieces(&readme());
    let shell = blocks.iter().filter(|(language, _)| language != "toml");
    let lines = shell.flat_map(|(_, text)| text.lines()).map(|line| {
        let line = line.split(" #").next().unwrap();
        line.trim().to_owned()
    });
    let programs = [
        "reelmill",
        "jobs",
        "run",
        "curl",
        "sudo",
        "systemctl",
        "journalctl",
        "man",
        "cargo",
        "cp",
    ];
    let is_command = |span: &String| span.split_once(' ').is_some_and(|(first, _)| programs.contains(&first));
    let spans = spans(&prose).into_iter();
    let plain = spans.filter(|span| is_command(span) || span == "jobs list");
    lines.filter(|line| !line.is_empty()).chain(plain).collect()
}

/// What stands for the words in braces.
struct Facts {
    root: String,
    done: String,
    failed: String,
    waiting: String,
    other: String,
}

impl Facts {
    fn put_into(&self, word: &str) -> String {
        word.replace("{root}", &self.root)
            .replace("{done}", &self.done)
            .replace("{few letters}", &self.done[self.done.len() - 6..])
            .replace("{failed}", &self.failed)
            .replace("{waiting}", &self.waiting)
            .replace("{other}", &self.other)
    }
}

/// A house with the gallery as it ships, and a job of every fate.
fn furnished() -> (House, Facts) {
    let gallery = fs::read_dir(root().join("rules")).unwrap().map(|entry| {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        (name, fs::read_to_string(path).unwrap())
    });
    let mut rules: Vec<_> = gallery.collect();
    rules.push(("later".to_owned(), LATER.to_owned()));
    let rules: Vec<_> = rules
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    let mut house = House::new(&rules);
    fs::copy(film(), house.path("film.mov")).unwrap();
    house.start();
    said(&house, &["pause", "later"]);
    fs::write(house.path("text"), "no film\n".repeat(50)).unwrap();
    for (source, key) in [
        (film(), "incoming/clip.mov"),
        (house.path("text"), "incoming/bad.mov"),
        (film(), "later/one.mov"),
        (film(), "later/two.mov"),
    ] {
        house.drop_file(&source, key);
    }
    let id = |key: &str, state: &str| {
        house.wait_until(&format!("{key} is {state}"), || {
            let jobs = house.jobs_in(state);
            let job = jobs.iter().find(|job| job["key"] == key)?;
            job["id"].as_str().map(str::to_owned)
        })
    };
    let facts = Facts {
        root: house.root.path().to_str().unwrap().to_owned(),
        done: id("incoming/clip.mov", "succeeded"),
        failed: id("incoming/bad.mov", "failed"),
        waiting: id("later/one.mov", "queued"),
        other: id("later/two.mov", "queued"),
    };
    (house, facts)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn good(what: &str, output: &Output) -> String {
    let error = text(&output.stderr);
    assert!(output.status.success(), "{what}: {:?}\n{error}", output.status);
    text(&output.stdout) + &error
}

fn said(house: &House, arguments: &[&str]) -> String {
    good(&arguments.join(" "), &house.reelmill(arguments))
}

/// The first line of what a command says that has this word in it. The prompt is given again and again, since nobody
/// knows when the command begins to listen.
fn first_line(mut command: Command, word: &'static str, prompt: impl Fn()) -> Option<String> {
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (sender, receiver) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        let found = lines.map_while(Result::ok).find(|line| line.contains(word));
        sender.send(found).ok();
    });
    let deadline = Instant::now() + PATIENCE;
    let found = loop {
        prompt();
        match receiver.recv_timeout(Duration::from_secs(1)) {
            Ok(found) => break found,
            Err(mpsc::RecvTimeoutError::Timeout) if Instant::now() < deadline => {}
            Err(_) => break None,
        }
    };
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap();
    found
}

#[test]
fn every_command_is_known_here_and_every_one_known_here_is_in_the_readme() {
    let written = commands();
    let known: BTreeSet<_> = COMMANDS.iter().map(|(command, _)| (*command).to_owned()).collect();
    assert_eq!(known.len(), COMMANDS.len(), "one stands here twice");
    let unknown: Vec<_> = written.difference(&known).collect();
    assert!(
        unknown.is_empty(),
        "the README has commands that no test tries: {unknown:#?}"
    );
    let lost: Vec<_> = known.difference(&written).collect();
    assert!(lost.is_empty(), "the README has these no more: {lost:#?}");
}

#[test]
fn every_command_does_what_it_says() {
    let (mut house, facts) = furnished();
    for (command, how) in COMMANDS {
        match how {
            Run(all) => {
                for (arguments, word) in *all {
                    let arguments: Vec<_> = arguments.iter().map(|word| facts.put_into(word)).collect();
                    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
                    let answer = said(&house, &arguments);
                    assert!(answer.contains(word), "{command}: \"{word}\" is not in\n{answer}");
                    if READ.iter().any(|read| arguments.starts_with(read)) {
                        house.json(&arguments);
                    }
                }
            }
            IsTheDaemon => assert!(said(&house, &["status"]).contains("inbox")),
            LogsJson => logs_json(),
            Watches => {
                let arguments: Vec<_> = command.split(' ').skip(1).collect();
                let line = first_line(house.command(&arguments), "film.mov", || {
                    house.drop_file(&film(), "incoming/film.mov");
                });
                assert!(line.is_some(), "{command}: nothing was said of the new job");
            }
            AsWritten(word) => {
                let output = shell(command, house.root.path());
                let answer = good(command, &output);
                assert!(answer.contains(word), "{command}: {answer}");
                let jobs: Value = serde_json::from_str(&answer).unwrap();
                assert!(
                    jobs.as_array().unwrap().iter().all(|job| job["state"] == "failed"),
                    "{answer}"
                );
            }
            Elsewhere(reason) => assert!(!reason.is_empty()),
        }
    }
    assert!(house.path("man/reelmill.1").exists());
    assert!(house.path("copy.db").exists());
    assert!(house.path("look/web/film_web.mp4").exists());
    assert_eq!(house.stop(), Some(0));
}

#[allow(clippy::disallowed_methods, reason = "tests use tools")]
fn shell(line: &str, folder: &Path) -> Output {
    let mut command = Command::new("sh");
    // What it says of its progress is for terminals.
    command.args(["-c", &line.replacen("curl ", "curl --silent --show-error --fail ", 1)]);
    command.current_dir(folder).output().unwrap()
}

fn logs_json() {
    let house = House::new(&[("later", LATER)]);
    let log = fs::File::create(house.path("log")).unwrap();
    let mut daemon = house
        .command(&["run", "--log-format", "json"])
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    house.wait_until("the daemon answers", || house.try_json(&["status"]));
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    let log = fs::read_to_string(house.path("log")).unwrap();
    assert!(log.lines().count() > 0);
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(line.is_object(), "{line}");
    }
}

/// A block of TOML as a whole file, and where it goes: pieces of rules and configs are completed.
fn completed(block: &str) -> (&'static str, String) {
    let table: toml::Table = block.parse().unwrap_or_else(|error| panic!("{error}\n{block}"));
    let has = |key: &str| table.contains_key(key);
    if ["state", "bucket", "workers", "history", "http"].into_iter().any(has) {
        let bucket = if has("bucket") {
            ""
        } else {
            "\n[bucket.inbox]\npath = \"inbox\"\n"
        };
        return ("reelmill.toml", format!("{block}{bucket}"));
    }
    if has("kind") {
        return ("presets/block.toml", block.to_owned());
    }
    let mut rule = block.to_owned();
    for (key, part) in [
        ("trigger", "[trigger]\nbucket = \"inbox\"\ndirectory = \"incoming/\""),
        ("task", "[task.more]\nkind = \"probe\""),
    ] {
        if !has(key) {
            rule = format!("{rule}\n{part}\n");
        }
    }
    ("rules/block.toml", rule)
}

#[test]
fn every_piece_of_toml_is_right() {
    let (blocks, _) = pieces(&readme());
    let blocks: Vec<_> = blocks.iter().filter(|(language, _)| language == "toml").collect();
    assert!(blocks.len() >= 8, "the blocks were not found");
    for (_, block) in blocks {
        let (path, text) = completed(block);
        let house = House::new(&[]);
        fs::create_dir(house.path("presets")).unwrap();
        // Not every machine has these.
        let text = text
            .replace("\"www-data\"", "\"root\"")
            .replace("\"media\"", "\"root\"");
        fs::write(house.path(path), &text).unwrap();
        fs::write(
            house.path("uploads.secret"),
            "a secret that nobody guesses".replace(' ', "-"),
        )
        .unwrap();
        let check = house.reelmill(&["check"]);
        let said = format!("{}{}", self::text(&check.stdout), self::text(&check.stderr));
        assert!(
            check.status.success() && check.stderr.is_empty(),
            "{path}\n{text}\n{said}"
        );
        let rules = usize::from(path.starts_with("rules"));
        let counted = if rules == 1 { "1 good rule" } else { "no good rule" };
        assert!(said.contains(counted), "{path}: {said}");
    }
}

#[test]
fn the_tasks_that_it_shows_make_what_they_say() {
    let (blocks, _) = pieces(&readme());
    let mut blocks = blocks.iter().filter(|(_, text)| text.contains("[task.clip]"));
    let (_, rule) = completed(&blocks.next().unwrap().1);
    let house = House::new(&[("shown", &rule)]);
    let source = house.path("source.mp4");
    let make = "-nostdin -v error -f lavfi -i testsrc2=size=320x180:rate=10:duration=20 -f lavfi -i sine=duration=20 \
                -c:v libx264 -pix_fmt yuv420p -c:a aac";
    let mut words: Vec<_> = make.split_whitespace().collect();
    words.push(source.to_str().unwrap());
    tool("ffmpeg", &words);
    said(
        &house,
        &[
            "try",
            house.path("rules/shown.toml").to_str().unwrap(),
            source.to_str().unwrap(),
            "--out",
            house.path("out").to_str().unwrap(),
        ],
    );
    // The clip is from the 5th second to the 10th of 20, the others are of all of it.
    for (name, codecs, length) in [
        ("source_clip.webm", "vp9 opus", 5.0),
        ("source_remux.mkv", "h264", 20.0),
        ("source_ours.ogg", "vorbis", 20.0),
        ("source_stream/master.m3u8", "aac h264 aac h264", 20.0),
    ] {
        let file = house.path("out/incoming").join(name);
        let ask = |what: &str| {
            let words = ["-v", "error", "-show_entries", what, "-of", "default=nw=1:nk=1"];
            let answer = tool("ffprobe", &[&words[..], &[file.to_str().unwrap()]].concat());
            answer.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(ask("stream=codec_name"), codecs, "{name}");
        let found: f64 = ask("format=duration").parse().unwrap();
        assert!((found - length).abs() < 0.15, "{name}: {found} s");
        assert_plays(&file);
    }
}

#[test]
fn the_first_rule_is_the_one_that_ships() {
    let (blocks, _) = pieces(&readme());
    let tables = blocks.iter().filter(|(language, _)| language == "toml");
    let tables: Vec<toml::Table> = tables.map(|(_, text)| text.parse().unwrap()).collect();
    let shipped = fs::read_to_string(root().join("rules/web.toml")).unwrap();
    let shipped: toml::Table = shipped.parse().unwrap();
    assert!(tables.contains(&shipped), "rules/web.toml has changed");
}

#[test]
fn the_gallery_is_the_folder() {
    let readme = readme();
    let mut rows = 0;
    for entry in fs::read_dir(root().join("rules")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let start = format!("| [{name}](rules/{name}.toml) |");
        let row = readme.lines().find(|line| line.starts_with(&start));
        let row = row.unwrap_or_else(|| panic!("the gallery has no row for {name}"));
        let rule: toml::Table = fs::read_to_string(&path).unwrap().parse().unwrap();
        for table in ["trigger", "output"] {
            let directory = rule[table]["directory"].as_str().unwrap();
            assert!(
                row.contains(&format!("`{directory}")),
                "{name}: {directory} is not in {row}"
            );
        }
        rows += 1;
    }
    assert_eq!(readme.matches("](rules/").count(), rows, "a row without its rule");
}

#[test]
fn the_table_of_containers_is_the_programs() {
    let readme = readme();
    for (word, container) in Container::ALL {
        let video: Vec<_> = container.video_codecs().iter().map(|codec| codec.word()).collect();
        let audio: Vec<_> = container.audio_codecs().iter().map(|codec| codec.word()).collect();
        let wanted = if !container.is_audio_only() {
            format!("\n| `{word}` | {} | {} |\n", video.join(", "), audio.join(", "))
        } else if audio == [word] {
            format!("`{word}`")
        } else {
            format!("`{word}` ({})", audio.join(", "))
        };
        assert!(readme.contains(&wanted), "missing: {wanted}");
    }
}

#[test]
fn what_it_points_at_is_there() {
    let readme = readme();
    let links = readme
        .split("](")
        .skip(1)
        .map(|rest| rest.split(')').next().unwrap().to_owned());
    let (_, prose) = pieces(&readme);
    let paths = spans(&prose).into_iter();
    let paths = paths.filter(|span| span.starts_with("deploy/") || span.starts_with("tests/"));
    let mut seen = 0;
    for target in links.chain(paths).filter(|target| !target.starts_with("http")) {
        assert!(root().join(&target).exists(), "there is no {target}");
        seen += 1;
    }
    assert!(seen > 10, "the links were not found");
}
