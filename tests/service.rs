//! Reelmill as a service, from outside: what it tells the service manager, its log, its exit codes, its manual.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod harness;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixDatagram;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use harness::{House, PATIENCE, film, tool};

const COPY: &str = r#"
enabled = true
[trigger]
bucket = "inbox"
[output]
bucket = "published"
[task.keep]
kind = "copy"
"#;

/// What systemd would be: it hears what the daemon says.
struct Manager {
    socket: UnixDatagram,
    heard: Vec<String>,
}

impl Manager {
    fn of(house: &House) -> Self {
        let socket = UnixDatagram::bind(house.path("notify")).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        Self {
            socket,
            heard: Vec::new(),
        }
    }

    fn start(house: &mut House) -> Self {
        let manager = Self::of(house);
        let socket = house.path("notify");
        house.start_with(&[
            ("NOTIFY_SOCKET", socket.to_str().unwrap()),
            ("WATCHDOG_USEC", "60000000"),
        ]);
        manager
    }

    fn listen(&mut self) {
        let mut piece = [0; 4096];
        while let Ok(length) = self.socket.recv(&mut piece) {
            let said = String::from_utf8(piece[..length].to_vec()).unwrap();
            self.heard.extend(said.lines().map(str::to_owned));
        }
    }

    /// Waits until a line begins so for the time after the first `from` lines; answers the line's place.
    fn wait_for(&mut self, house: &House, from: usize, begins: &str) -> usize {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.listen();
            let found = self.heard.iter().skip(from).position(|line| line.starts_with(begins));
            if let Some(found) = found {
                return from + found;
            }
            assert!(
                Instant::now() < deadline,
                "waited in vain for {begins}; heard {:?}\n{}",
                self.heard,
                house.log()
            );
        }
    }

    fn count(&self, line: &str) -> usize {
        self.heard.iter().filter(|heard| *heard == line).count()
    }
}

fn signal(house: &House, signal: rustix::process::Signal) {
    let id = rustix::process::Pid::from_raw(i32::try_from(house.daemon_id()).unwrap()).unwrap();
    rustix::process::kill_process(id, signal).unwrap();
}

#[test]
fn the_service_manager_hears_of_readiness_life_reloading_and_the_end() {
    let mut house = House::new(&[("copy", COPY)]);
    let mut manager = Manager::start(&mut house);
    manager.wait_for(&house, 0, "READY=1");
    manager.wait_for(&house, 0, "WATCHDOG=1");
    manager.wait_for(&house, 0, "STATUS=0 jobs running, 0 queued");
    assert!(
        house.json(&["status"])["ok"].as_bool().unwrap(),
        "ready means that it answers"
    );

    // Beats go on while nothing happens.
    let so_far = manager.heard.len();
    manager.wait_for(&house, so_far, "WATCHDOG=1");

    house.write_rule("broken", "enabled = maybe\n");
    let so_far = manager.heard.len();
    signal(&house, rustix::process::Signal::HUP);
    let reloading = manager.wait_for(&house, so_far, "RELOADING=1");
    let time = manager.wait_for(&house, reloading, "MONOTONIC_USEC=");
    assert_eq!(time, reloading + 1, "in the same message");
    manager.wait_for(&house, reloading, "READY=1");
    let rules = house.json(&["rules", "list"]);
    assert_eq!(rules["broken"][0]["file"], "broken.toml", "ready again means: read");
    manager.wait_for(&house, reloading, "STATUS=0 jobs running, 0 queued; not well: rules");

    let so_far = manager.heard.len();
    assert_eq!(house.stop(), Some(0));
    manager.listen();
    let stopping = manager.wait_for(&house, so_far, "STOPPING=1");
    manager.wait_for(&house, stopping, "EXTEND_TIMEOUT_USEC=60000000");
    manager.wait_for(&house, stopping, "STATUS=Stopping; 0 jobs still running");
    assert_eq!(manager.count("READY=1"), 2, "{:?}", manager.heard);
    assert_eq!(manager.count("STOPPING=1"), 1);
}

#[test]
fn a_draining_daemon_asks_for_time_and_lets_its_jobs_finish() {
    let slow = r#"
enabled = true
[trigger]
bucket = "inbox"
[output]
bucket = "published"
[task.web]
kind = "transcode"
container = "mp4"
video = { preset = "veryslow" }
"#;
    let mut house = House::new(&[("slow", slow)]);
    let config = fs::read_to_string(house.path("reelmill.toml")).unwrap();
    fs::write(
        house.path("reelmill.toml"),
        config.replace("drain = \"1s\"", "drain = \"5m\""),
    )
    .unwrap();
    let mut manager = Manager::start(&mut house);
    manager.wait_for(&house, 0, "READY=1");
    let arming = |house: &House| {
        house.try_json(&["rules", "list"])?["rules"][0]["arming"]
            .is_null()
            .then_some(())
    };
    house.wait_until("the rule is armed", || arming(&house));
    house.drop_file(&film(), "a.mp4");
    house.wait_until("the job runs", || {
        (house.jobs().first()?["state"] == "running").then_some(())
    });
    signal(&house, rustix::process::Signal::TERM);
    let stopping = manager.wait_for(&house, 0, "STOPPING=1");
    manager.wait_for(&house, stopping, "EXTEND_TIMEOUT_USEC=");
    assert_eq!(house.wait_for_death(), None, "no signal ended it");
    manager.listen();
    assert!(
        house.published().contains(&"a_web.mp4".to_owned()),
        "the job was let finish\n{}",
        house.log()
    );
    house.start();
    let jobs = house.wait_for_jobs(1);
    assert_eq!(
        (jobs.len(), &jobs[0]["state"]),
        (1, &"succeeded".into()),
        "{:#}",
        jobs[0]
    );
}

#[test]
fn who_asks_a_second_time_does_not_wait_for_jobs() {
    let slow = COPY.replace(
        "kind = \"copy\"",
        "kind = \"transcode\"\ncontainer = \"mp4\"\nvideo = { preset = \"veryslow\" }",
    );
    let mut house = House::new(&[("slow", &slow)]);
    let config = fs::read_to_string(house.path("reelmill.toml")).unwrap();
    let config = config.replace("drain = \"1s\"", "drain = \"5m\"");
    fs::write(house.path("reelmill.toml"), config).unwrap();
    let long = house.path("long.mp4");
    let film = "testsrc2=size=640x360:rate=25:duration=180";
    let options = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"];
    let begin = ["-nostdin", "-v", "error", "-f", "lavfi", "-i", film];
    tool(
        "ffmpeg",
        &[&begin[..], &options[..], &[long.to_str().unwrap()][..]].concat(),
    );
    house.start();
    house.drop_file(&long, "a.mp4");
    house.wait_until("the job runs", || {
        (house.jobs().first()?["state"] == "running").then_some(())
    });
    signal(&house, rustix::process::Signal::TERM);
    let waits = || house.log().contains("letting running jobs finish").then_some(());
    house.wait_until("it waits for the job", waits);
    assert_eq!(house.stop(), Some(0));
    assert!(house.log().contains("job given back"), "{}", house.log());
}

/// A key that would colour the terminal, forge a line and turn the text around.
const HOSTILE: &str = "evil\u{1b}[31m\u{9b}2J\nERROR all is lost\u{202e}gpj.mp4";

#[test]
fn a_hostile_key_cannot_steer_whoever_reads_the_log() {
    let mut house = House::new(&[("copy", COPY)]);
    house.start();
    house.drop_file(&film(), HOSTILE);
    house.wait_for_jobs(1);
    house.stop();
    let log = house.log();
    assert!(
        log.contains(r"evil\u{1b}[31m\u{9b}2J\nERROR all is lost\u{202e}gpj.mp4"),
        "{log}"
    );
    assert!(log.lines().all(|line| !line.starts_with("ERROR")), "{log}");
    let steers = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    assert!(!log.contains(steers), "{log:?}");
}

#[test]
fn the_log_may_be_json_a_line_for_each_event() {
    let mut house = House::new(&[("copy", COPY)]);
    let log = fs::File::create(house.path("json.log")).unwrap();
    let mut daemon = house
        .command(&["run", "--log-format", "json"])
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    house.wait_until("the daemon answers", || house.try_json(&["status"]).map(drop));
    house.wait_until("the rule is armed", || {
        house.json(&["rules", "list"])["rules"][0]["arming"]
            .is_null()
            .then_some(())
    });
    house.drop_file(&film(), HOSTILE);
    house.wait_for_jobs(1);
    let id = rustix::process::Pid::from_child(&daemon);
    rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
    assert!(daemon.wait().unwrap().success());
    let text = fs::read_to_string(house.path("json.log")).unwrap();
    let events: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(
        events
            .iter()
            .all(|event| event["time"].is_string() && event["level"].is_string())
    );
    let started = events.iter().find(|event| event["message"] == "job started").unwrap();
    // Keys have a spelling of their own for people; whole they are in the database and the API.
    assert_eq!(
        started["fields"]["key"],
        r"evil\u{1b}[31m\u{9b}2J\nERROR all is lost\u{202e}gpj.mp4"
    );
    assert_eq!(started["fields"]["attempt"], 1);
    house.kill();
}

#[test]
fn the_journal_gets_priorities_and_no_times_and_nobody_else_does() {
    let house = House::new(&[("broken", "enabled = maybe\n")]);
    let path = house.path("journal");
    let run = |stream: &str| -> String {
        let log = fs::File::create(&path).unwrap();
        let about = log.metadata().unwrap();
        let stream = if stream == "ours" {
            format!("{}:{}", about.dev(), about.ino())
        } else {
            stream.to_owned()
        };
        let mut daemon = house
            .command(&["run"])
            .env("JOURNAL_STREAM", stream)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        house.wait_until("the daemon answers", || house.try_json(&["status"]).map(drop));
        let id = rustix::process::Pid::from_child(&daemon);
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        assert!(daemon.wait().unwrap().success());
        fs::read_to_string(&path).unwrap()
    };
    let ours = run("ours");
    assert!(ours.lines().all(|line| line.starts_with('<')), "{ours}");
    assert!(ours.contains("<6>reelmill starts version="), "{ours}");
    assert!(
        ours.lines()
            .any(|line| line.starts_with("<4>") && line.contains("file=broken.toml")),
        "{ours}"
    );
    // Inherited, for a stream that has become another.
    let others = run("1:1");
    assert!(others.lines().all(|line| line.starts_with("20")), "{others}");
}

// Exit codes ------------------------------------------------------------------------------------

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

#[test]
fn every_sort_of_trouble_has_its_exit_code() {
    let house = House::new(&[("copy", COPY)]);
    fs::write(house.path("wrong.toml"), "enabled = maybe\n").unwrap();
    fs::write(house.path("copy.toml"), COPY).unwrap();
    fs::write(house.path("note.txt"), "no film\n").unwrap();
    let at = |name: &str| house.path(name).to_str().unwrap().to_owned();
    let (wrong, good, note, nowhere) = (at("wrong.toml"), at("copy.toml"), at("note.txt"), at("nowhere"));
    let poster = at("poster.toml");
    fs::write(
        &poster,
        COPY.replace("kind = \"copy\"", "kind = \"snapshot\"\nat = [\"0s\"]"),
    )
    .unwrap();
    let cases: [(&[&str], i32); 27] = [
        (&["--version"], 0),
        (&["--help"], 0),
        (&["jobs", "--help"], 0),
        (&["check"], 0),
        (&["completions", "bash"], 0),
        (&["man"], 0),
        (&[], 64),
        (&["fly"], 64),
        (&["jobs", "list", "--state", "lost"], 64),
        (&["jobs", "list", "--limit", "0"], 64),
        (&["run", "--log-format", "xml"], 64),
        (&["completions", "tcl"], 64),
        (&["try", &good], 64),
        (&["try", &wrong, &note], 65),
        (&["try", &nowhere, &note], 66),
        (&["try", &good, &nowhere], 66),
        (&["try", &poster, &note], 1),
        (&["bucket", "accept", "attic"], 66),
        (&["rules", "enable", "nothing"], 66),
        (&["man", "--out", "/proc/here"], 73),
        (&["status"], 69),
        (&["jobs"], 69),
        (&["jobs", "show", "abc"], 69),
        (&["jobs", "retry", "abc"], 69),
        (&["jobs", "cancel", "abc"], 69),
        (&["rules"], 69),
        (&["explain", "inbox", "a.mp4"], 69),
    ];
    for (arguments, expected) in cases {
        let output = house.reelmill(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(code(&output), expected, "{arguments:?}\n{said}");
        // A trial that failed says so in its report.
        assert_eq!(said.is_empty(), expected <= 1, "{arguments:?} says why\n{said}");
    }
}

#[test]
fn a_running_daemon_says_what_is_not_there_and_what_cannot_be() {
    let mut house = House::new(&[("copy", COPY)]);
    house.start();
    house.drop_file(&film(), "a.mp4");
    let job = house.wait_for_jobs(1)[0]["id"].as_str().unwrap().to_owned();
    let cases: [(&[&str], i32); 11] = [
        (&["status"], 0),
        (&["rules"], 0),
        (&["jobs"], 0),
        (&["jobs", "show", &job], 0),
        (&["explain", "inbox", "a.mp4"], 0),
        (&["jobs", "show", "zzzzzzzzz"], 66),
        (&["jobs", "retry", "zzzzzzzzz"], 66),
        (&["rules", "show", "nothing"], 66),
        (&["explain", "attic", "a.mp4"], 66),
        (&["jobs", "show", "a"], 64),
        (&["jobs", "cancel", &job], 1),
    ];
    for (arguments, expected) in cases {
        let output = house.reelmill(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(code(&output), expected, "{arguments:?}\n{said}");
    }
    let second = house.reelmill(&["run"]);
    assert_eq!(code(&second), 75, "{}", String::from_utf8_lossy(&second.stderr));
}

#[test]
fn a_wrong_or_missing_config_is_78_and_says_what_to_do() {
    let house = House::new(&[]);
    let failed = |said: &str| {
        for command in [&["run"][..], &["check"], &["status"], &["jobs"]] {
            let output = house.reelmill(command);
            let heard = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(code(&output), 78, "{command:?}\n{heard}");
            assert!(heard.contains(said), "{command:?}\n{heard}");
        }
    };
    let config = fs::read_to_string(house.path("reelmill.toml")).unwrap();
    fs::write(house.path("reelmill.toml"), format!("colour = 1\n{config}")).unwrap();
    failed("colour");
    fs::remove_file(house.path("reelmill.toml")).unwrap();
    failed("there is no config file");

    #[allow(clippy::disallowed_methods, reason = "a test starts the program under test")]
    let mut nowhere = std::process::Command::new(env!("CARGO_BIN_EXE_reelmill"));
    nowhere
        .arg("status")
        .env_remove("REELMILL_CONFIG")
        .current_dir(house.root.path());
    if !std::path::Path::new("/etc/reelmill/reelmill.toml").exists() {
        let output = nowhere.output().unwrap();
        assert_eq!(code(&output), 78);
        assert!(String::from_utf8_lossy(&output.stderr).contains("--config FILE"));
    }
}

#[test]
fn without_its_rules_folder_the_daemon_refuses_to_start_as_wrongly_configured() {
    let house = House::new(&[]);
    fs::remove_dir(house.path("rules")).unwrap();
    for command in ["run", "check"] {
        let output = house.reelmill(&[command]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(code(&output), 78, "{command}: {said}");
        let folder = house.path("rules");
        assert!(
            said.contains(folder.to_str().unwrap()) && said.contains("make it"),
            "{command}: {said}"
        );
    }
}

#[test]
fn what_may_not_be_touched_is_77() {
    let house = House::new(&[("copy", COPY)]);
    if !rustix::process::geteuid().is_root() {
        fs::set_permissions(house.path("state"), fs::Permissions::from_mode(0o500)).unwrap();
        assert_eq!(code(&house.reelmill(&["run"])), 77);
        return;
    }
    // Root may do everything: become nobody in a house that belongs to root.
    let program = house.path("reelmill");
    fs::copy(env!("CARGO_BIN_EXE_reelmill"), &program).unwrap();
    fs::set_permissions(house.root.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(house.path("state"), fs::Permissions::from_mode(0o750)).unwrap();
    for command in ["run", "status"] {
        #[allow(clippy::disallowed_methods, reason = "a test starts the program under test")]
        let output = std::process::Command::new("setpriv")
            .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
            .arg(&program)
            .arg("--config")
            .arg(house.path("reelmill.toml"))
            .arg(command)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(code(&output), 77, "{command}: {said}");
    }
}

// Manual, completions, files of the service -------------------------------------------------------

#[test]
fn every_command_has_a_manual_page_that_renders_without_a_warning() {
    let house = House::new(&[]);
    let folder = house.path("man");
    let made = house.reelmill(&["man", "--out", folder.to_str().unwrap()]);
    assert!(made.status.success());
    let mut names: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    for wanted in [
        "reelmill.1",
        "reelmill-run.1",
        "reelmill-jobs.1",
        "reelmill-jobs-list.1",
        "reelmill-man.1",
    ] {
        assert!(names.iter().any(|name| name == wanted), "{wanted} of {names:?}");
    }
    assert!(
        !names
            .iter()
            .any(|name| name.contains("worker") || name.contains("help")),
        "{names:?}"
    );
    for name in &names {
        #[allow(clippy::disallowed_methods, reason = "tests use tools")]
        let output = std::process::Command::new("groff")
            .args(["-t", "-man", "-ww", "-Tutf8", "-rLL=100n", "-P-bou"])
            .arg(folder.join(name))
            .env("LC_ALL", "C.UTF-8")
            .output()
            .expect("groff is needed for this test");
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && complaints.is_empty(), "{name}: {complaints}");
        let page = String::from_utf8_lossy(&output.stdout);
        assert!(page.contains("SYNOPSIS"), "{name}: {page}");
    }
    let own = fs::read_to_string(folder.join("reelmill.1")).unwrap();
    for code in ["64", "65", "66", "69", "70", "73", "75", "77", "78"] {
        assert!(own.contains(&format!("\\fB{code}\\fR")), "{code} is explained");
    }
}

#[test]
fn completions_are_read_by_their_shells() {
    let house = House::new(&[]);
    for (shell, knows) in [
        ("bash", "--log-format"),
        ("zsh", "#compdef reelmill"),
        ("fish", "complete -c reelmill"),
    ] {
        let output = house.reelmill(&["completions", shell]);
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains(knows), "{shell}");
        let path = house.path(shell);
        fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
        if shell == "bash" {
            tool("bash", &["-n", path.to_str().unwrap()]);
        }
    }
}

#[test]
fn the_config_that_is_installed_is_good_and_names_what_the_service_may_write() {
    let house = House::new(&[]);
    let deploy = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy");
    let text = fs::read_to_string(deploy.join("reelmill.toml")).unwrap();
    fs::write(house.path("reelmill.toml"), &text).unwrap();
    let checked = house.json(&["check"]);
    assert_eq!(
        (&checked["errors"], &checked["warnings"]),
        (&0.into(), &0.into()),
        "{checked:#}"
    );
    // What is commented out is right, too.
    let all: String = text
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest)
                if rest
                    .split_once(" = ")
                    .is_some_and(|(key, _)| key.chars().all(char::is_alphabetic)) =>
            {
                rest
            }
            _ => line,
        })
        .fold(String::new(), |all, line| all + line + "\n");
    assert!(all.contains("\npoll = ") && all.contains("\nslots = "), "{all}");
    fs::write(house.path("reelmill.toml"), &all).unwrap();
    assert_eq!(house.json(&["check"])["errors"], 0);
    let unit = fs::read_to_string(deploy.join("reelmill.service")).unwrap();
    let tmpfiles = fs::read_to_string(deploy.join("reelmill.tmpfiles")).unwrap();
    for line in text.lines().filter(|line| line.starts_with("path = ")) {
        let path = line.split('"').nth(1).unwrap();
        assert!(path.starts_with("/srv/reelmill/") && unit.contains("ReadWritePaths=-/srv/reelmill\n"));
        assert!(tmpfiles.contains(&format!("d {path} ")), "{path} is made");
    }
}
