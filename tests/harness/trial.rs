//! One source, tried with tasks by the real binary; and the zoo of sources.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::Value;

/// However slow the machine is; a pipeline whose branches wait for each other never ends.
const PATIENCE: Duration = Duration::from_mins(5);

/// A medium of the zoo, which is made once for all tests.
pub fn medium(name: &str) -> PathBuf {
    static MEDIA: OnceLock<PathBuf> = OnceLock::new();
    let folder = MEDIA.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
        let folder = target.join("test-media-v1");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/media/make.sh");
        #[allow(clippy::disallowed_methods, reason = "a test runs programs")]
        let made = Command::new(script).arg(&folder).status().unwrap();
        assert!(made.success(), "test media could not be made");
        folder
    });
    folder.join(name)
}

/// What tasks made of a source.
pub struct Trial {
    folder: tempfile::TempDir,
    /// Whether all of them succeeded.
    pub good: bool,
    /// The program's answer as JSON, and what it said beside.
    pub said: String,
}

impl Trial {
    /// Tries a rule with these tables: `[task.a] ...`.
    pub fn of(source: &Path, tasks: &str) -> Self {
        Self::beside(source, tasks, &[])
    }

    /// The same, with files beside the rule.
    pub fn beside(source: &Path, tasks: &str, files: &[&Path]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let rule = folder.path().join("rule.toml");
        let text = format!("enabled = true\n[trigger]\nbucket = \"inbox\"\nformats = \"*\"\n{tasks}\n");
        std::fs::write(&rule, text).unwrap();
        for file in files {
            std::fs::copy(file, folder.path().join(file.file_name().unwrap())).unwrap();
        }
        let said = folder.path().join("said");
        let write = || std::fs::File::options().create(true).append(true).open(&said).unwrap();
        #[allow(clippy::disallowed_methods, reason = "a test runs programs")]
        let mut child = Command::new(env!("CARGO_BIN_EXE_reelmill"))
            .args(["try", "--json"])
            .args([&rule, source])
            .arg("--out")
            .arg(folder.path().join("out"))
            .stdin(Stdio::null())
            .stdout(write())
            .stderr(write())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if begun.elapsed() > PATIENCE {
                child.kill().unwrap();
                child.wait().unwrap();
                panic!("the run hangs: {}", std::fs::read_to_string(&said).unwrap());
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let said = std::fs::read_to_string(&said).unwrap();
        Self {
            folder,
            good: status.success(),
            said,
        }
    }

    /// Every file that was made, by name; of packages too.
    pub fn files(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.out()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    found.push(path);
                }
            }
        }
        found.sort();
        found
    }

    /// Where they are.
    pub fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    /// The one file that was made.
    pub fn file(&self) -> PathBuf {
        assert!(self.good, "{}", self.said);
        let files = self.files();
        assert_eq!(files.len(), 1, "{files:?}");
        files[0].clone()
    }
}

/// What ffprobe says of a file, frames counted by decoding.
#[allow(clippy::disallowed_methods, reason = "a test runs programs")]
pub fn probed(file: &Path) -> Value {
    let probed = Command::new("ffprobe")
        .args([
            "-v",
            "error",
            "-count_frames",
            "-show_streams",
            "-show_format",
            "-of",
            "json",
        ])
        .arg(file)
        .output()
        .unwrap();
    serde_json::from_slice(&probed.stdout).unwrap()
}

/// What ffmpeg says while it decodes the file to its end: nothing, where it is right.
#[allow(clippy::disallowed_methods, reason = "a test runs programs")]
pub fn complaints(file: &Path) -> String {
    let ran = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "warning", "-xerror", "-i"])
        .arg(file)
        .args(["-fps_mode", "passthrough", "-f", "null", "-"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    let said: Vec<_> = said
        .lines()
        // About every WAV of one or two channels, its own too.
        .filter(|line| !line.starts_with("Guessed Channel Layout"))
        .collect();
    format!(
        "{}{}",
        said.join("\n"),
        if ran.status.success() { "" } else { " failed" }
    )
}
