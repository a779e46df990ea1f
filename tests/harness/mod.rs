//! A house for one daemon: its folders, its config, the real binary, and ways to look at what it does.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(dead_code, reason = "each test program uses its own part of this")]

pub mod aws;
pub mod ceph;
pub mod far;
pub mod listen;
pub mod moto;
pub mod post;
pub mod proxy;
pub mod trial;

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long anything may take before a test gives up on it. Generous: machines are shared.
pub const PATIENCE: Duration = Duration::from_mins(2);

const CONFIG: &str = r#"
state = "state"

[bucket.inbox]
path = "inbox"

[bucket.published]
path = "published"

[workers]
slots = 2
drain = "1s"

[publish]
grace = "1s"
"#;

/// What whoever sends requests about objects must know, in every house.
pub const SECRET: &str = "0123456789abcdef0123";

/// One daemon's world, in a directory that goes away with it.
pub struct House {
    pub root: tempfile::TempDir,
    /// Started as the daemon and for commands.
    pub program: PathBuf,
    daemon: Option<Child>,
    /// What every command finds in its environment besides.
    environment: Vec<(&'static str, String)>,
}

impl House {
    /// The same with a config of its own.
    pub fn with_config(config: &str, rules: &[(&str, &str)]) -> Self {
        let house = Self::new(rules);
        fs::write(house.path("reelmill.toml"), config).unwrap();
        house
    }

    /// Every command from now on finds this in its environment.
    pub fn set(&mut self, name: &'static str, value: &str) {
        self.environment.push((name, value.to_owned()));
    }

    /// A house with these rule files (name without `.toml`, text), its daemon not yet started.
    pub fn new(rules: &[(&str, &str)]) -> Self {
        let root = tempfile::Builder::new().prefix("reelmill-test-").tempdir().unwrap();
        for folder in ["rules", "inbox", "published", "state"] {
            fs::create_dir(root.path().join(folder)).unwrap();
        }
        let house = Self {
            root,
            program: PathBuf::from(env!("CARGO_BIN_EXE_reelmill")),
            daemon: None,
            environment: Vec::new(),
        };
        fs::write(house.path("reelmill.toml"), CONFIG).unwrap();
        fs::write(house.path("uploads.secret"), SECRET).unwrap();
        for (name, text) in rules {
            house.write_rule(name, text);
        }
        house
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.root.path().join(below)
    }

    /// Saves a rule file as editors do: beside, then renamed.
    pub fn write_rule(&self, name: &str, text: &str) {
        let hidden = self.path("rules").join(format!(".{name}.swp"));
        fs::write(&hidden, text).unwrap();
        fs::rename(hidden, self.path("rules").join(format!("{name}.toml"))).unwrap();
    }

    pub fn start(&mut self) {
        self.start_with(&[]);
        self.wait_until("the daemon answers and has armed its rules", || {
            let status = self.try_json(&["status"])?;
            let rules = self.try_json(&["rules", "list"])?;
            let arming = rules["rules"].as_array()?.iter().any(|rule| !rule["arming"].is_null());
            (!arming && status.is_object()).then_some(())
        });
    }

    /// Starts without waiting, with more environment.
    pub fn start_with(&mut self, environment: &[(&str, &str)]) {
        self.spawn(self.command(&["run"]), environment);
    }

    /// Starts the daemon under another program that takes a command at its end; does not wait.
    #[allow(clippy::disallowed_methods, reason = "a test starts the program under test")]
    pub fn start_under(&mut self, wrapper: &[&str]) {
        let mut command = std::process::Command::new(wrapper[0]);
        let inner = self.command(&["run"]);
        command
            .args(&wrapper[1..])
            .arg(inner.get_program())
            .args(inner.get_args());
        command.env_remove("REELMILL_CONFIG").stdin(Stdio::null());
        self.spawn(command, &[]);
    }

    fn spawn(&mut self, mut command: std::process::Command, environment: &[(&str, &str)]) {
        assert!(self.daemon.is_none(), "the daemon runs already");
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.path("daemon.log"))
            .unwrap();
        command
            .envs(environment.iter().copied())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        self.daemon = Some(command.spawn().unwrap());
    }

    #[allow(clippy::disallowed_methods, reason = "a test starts the program under test")]
    pub fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = std::process::Command::new(&self.program);
        command
            .arg("--config")
            .arg(self.path("reelmill.toml"))
            .args(arguments)
            .envs(self.environment.iter().map(|(name, value)| (*name, value.as_str())))
            .env_remove("REELMILL_CONFIG")
            .stdin(Stdio::null());
        command
    }

    /// Runs a command of the program to its end.
    pub fn reelmill(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What a command answers with `--json`; none where it fails.
    pub fn try_json(&self, arguments: &[&str]) -> Option<Value> {
        let mut all = arguments.to_vec();
        all.push("--json");
        let output = self.reelmill(&all);
        output
            .status
            .success()
            .then(|| serde_json::from_slice(&output.stdout).ok())
            .flatten()
    }

    pub fn json(&self, arguments: &[&str]) -> Value {
        self.try_json(arguments)
            .unwrap_or_else(|| panic!("{arguments:?} failed\n{}", self.log()))
    }

    /// All jobs, newest first.
    pub fn jobs(&self) -> Vec<Value> {
        let jobs = self.json(&["jobs", "list", "--limit", "1000"]);
        jobs.as_array().unwrap().clone()
    }

    pub fn jobs_in(&self, state: &str) -> Vec<Value> {
        self.jobs().into_iter().filter(|job| job["state"] == state).collect()
    }

    /// Waits until a condition holds.
    pub fn wait_until<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = look() {
                return found;
            }
            assert!(Instant::now() < deadline, "waited in vain until {what}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until there are so many jobs and each has ended; answers them, newest first.
    pub fn wait_for_jobs(&self, count: usize) -> Vec<Value> {
        self.wait_until(&format!("{count} jobs have ended"), || {
            let jobs = self.jobs();
            let ended = |job: &Value| matches!(job["state"].as_str(), Some("succeeded" | "failed" | "cancelled"));
            (jobs.len() >= count && jobs.iter().all(ended)).then_some(jobs)
        })
    }

    /// Copies a file to a key of the inbox as a careful program does: beside, then renamed.
    pub fn drop_file(&self, source: &Path, key: &str) {
        let target = self.path("inbox").join(key);
        let folder = target.parent().unwrap();
        fs::create_dir_all(folder).unwrap();
        let hidden = folder.join(format!(".{}.part", target.file_name().unwrap().to_string_lossy()));
        fs::copy(source, &hidden).unwrap();
        fs::File::open(&hidden)
            .unwrap()
            .set_modified(std::time::SystemTime::UNIX_EPOCH + now())
            .unwrap();
        fs::rename(hidden, target).unwrap();
    }

    /// Ends the daemon as a power cut would.
    pub fn kill(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.kill().unwrap();
            daemon.wait().unwrap();
        }
    }

    /// Waits until the daemon ended by itself; answers the signal that ended it.
    pub fn wait_for_death(&mut self) -> Option<i32> {
        let mut daemon = self.daemon.take().unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = daemon.try_wait().unwrap() {
                return status.signal();
            }
            if Instant::now() > deadline {
                daemon.kill().unwrap();
                daemon.wait().unwrap();
                panic!("the daemon did not die\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends the daemon as systemd would; answers its exit code.
    pub fn stop(&mut self) -> Option<i32> {
        let mut daemon = self.daemon.take()?;
        let id = rustix::process::Pid::from_child(&daemon);
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        daemon.wait().unwrap().code()
    }

    /// Published files below the output bucket, sorted; nothing hidden.
    pub fn published(&self) -> Vec<String> {
        let mut found = Vec::new();
        walk(&self.path("published"), "", &mut found);
        found.sort();
        found
    }

    /// Files below the inbox, sorted; nothing hidden.
    pub fn inbox(&self) -> Vec<String> {
        let mut found = Vec::new();
        walk(&self.path("inbox"), "", &mut found);
        found.sort();
        found
    }

    /// The daemon's process.
    pub fn daemon_id(&self) -> u32 {
        self.daemon.as_ref().unwrap().id()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.path("daemon.log")).unwrap_or_default()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.kill();
    }
}

fn walk(folder: &Path, prefix: &str, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        let key = format!("{prefix}{name}");
        if entry.file_type().unwrap().is_dir() {
            walk(&entry.path(), &format!("{key}/"), found);
        } else {
            found.push(key);
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "tests stand at the edge")]
fn now() -> Duration {
    std::time::SystemTime::now()
        .duration_since(std::time::SystemTime::UNIX_EPOCH)
        .unwrap()
}

/// Runs a tool to its end; its standard output. Panics with what it said where it fails.
#[allow(clippy::disallowed_methods, reason = "tests use tools")]
pub fn tool(program: &str, arguments: &[&str]) -> String {
    let output = std::process::Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{program} is needed for this test: {error}"));
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Fails where ffmpeg, decoding the whole file, has anything to complain of.
pub fn assert_plays(file: &Path) {
    #[allow(clippy::disallowed_methods, reason = "tests use tools")]
    let output = std::process::Command::new("ffmpeg")
        .args(["-nostdin", "-v", "warning", "-xerror", "-i"])
        .arg(file)
        .args(["-f", "null", "-"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.trim().is_empty(),
        "{}: {said}",
        file.display()
    );
}

/// A short film with sound, made once for all tests: 2 s of 320x240 at 25 frames a second.
pub fn film() -> PathBuf {
    static MAKING: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one = MAKING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let film = folder.join("film-v1.mp4");
    if !film.exists() {
        let half = folder.join(format!("film-v1.{}.mp4", std::process::id()));
        tool(
            "ffmpeg",
            &[
                "-nostdin",
                "-v",
                "error",
                "-y",
                "-f",
                "lavfi",
                "-i",
                "testsrc2=size=320x240:rate=25:duration=2",
                "-f",
                "lavfi",
                "-i",
                "sine=frequency=440:duration=2",
                "-c:v",
                "libx264",
                "-pix_fmt",
                "yuv420p",
                "-c:a",
                "aac",
                half.to_str().unwrap(),
            ],
        );
        fs::rename(half, &film).unwrap();
    }
    film
}
