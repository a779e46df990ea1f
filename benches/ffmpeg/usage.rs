//! What a program and everything that it started took.

use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// Of one run, or of several one after the other.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// Seconds on all cores, of the program and of the kernel for it.
    pub cpu: f64,
    /// Seconds until it was over.
    pub wall: f64,
    /// MiB of the largest process at its largest.
    pub peak: f64,
}

impl Usage {
    pub fn sum(all: impl Iterator<Item = Self>) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            cpu: sum.cpu + one.cpu,
            wall: sum.wall + one.wall,
            peak: sum.peak.max(one.peak),
        })
    }
}

/// Runs a program in this folder to its end.
#[allow(
    clippy::disallowed_methods,
    clippy::zombie_processes,
    reason = "a benchmark runs programs, and waits below"
)]
pub fn run(program: &str, arguments: &[String], folder: &Path) -> Usage {
    let begun = Instant::now();
    let child = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{program} is needed: {error}"));
    let id = i32::try_from(child.id()).unwrap();
    let mut status = 0;
    // SAFETY: all zero is a valid value of plain numbers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: a child of ours that nobody else waits for; both places are written to before they are read.
    let waited = unsafe { libc::wait4(id, &raw mut status, 0, &raw mut usage) };
    let wall = begun.elapsed().as_secs_f64();
    assert!(
        waited == id && status == 0,
        "{program} {arguments:?} ended with {status}"
    );
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    Usage {
        cpu: seconds(usage.ru_utime) + seconds(usage.ru_stime),
        wall,
        peak: usage.ru_maxrss as f64 / 1024.0,
    }
}

/// Seconds that a process, what it started, and what has ended of that took so far: see `proc_pid_stat(5)`.
pub fn so_far(process: u32) -> f64 {
    let mut children: HashMap<u32, Vec<(u32, f64)>> = HashMap::new();
    let mut own = 0.0;
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let number = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
        // One may end while the list is read.
        let Some((number, text)) = number.zip(std::fs::read_to_string(entry.path().join("stat")).ok()) else {
            continue;
        };
        // The name stands in brackets, and may have some of its own.
        let fields: Vec<&str> = text.rsplit_once(") ").unwrap().1.split(' ').collect();
        let ticks: f64 = fields[11..15].iter().map(|ticks| ticks.parse::<f64>().unwrap()).sum();
        children
            .entry(fields[1].parse().unwrap())
            .or_default()
            .push((number, ticks));
        if number == process {
            own = ticks;
        }
    }
    let mut known = vec![process];
    while let Some(process) = known.pop() {
        for (child, ticks) in children.remove(&process).unwrap_or_default() {
            own += ticks;
            known.push(child);
        }
    }
    // SAFETY: asks for a number.
    own / unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as f64
}
