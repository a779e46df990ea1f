//! The figures about buckets over a network: `cargo bench --bench far`, or `cargo bench --bench far -- listing hints`. The
//! servers are doubles in this process, or moto; what is measured runs in another one. Where two things are compared, they
//! take turns.

#![allow(clippy::unwrap_used, reason = "a benchmark may panic")]
#![allow(missing_docs, reason = "a program of its own")]

#[path = "../../tests/harness/mod.rs"]
mod harness;
mod hints;
mod listing;
mod noticing;
mod reading;
mod server;
mod world;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

fn main() {
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with("--"))
        .collect();
    if let [word, part, what, root] = words.as_slice()
        && word == "alone"
    {
        let root = Path::new(root);
        let took = match part.as_str() {
            "listing" => listing::alone(what, root),
            _ => hints::alone(what, root),
        };
        println!("{} {}", took.as_secs_f64(), peak_memory(std::process::id()));
        return;
    }
    let all: [(&str, fn()); 4] = [
        ("listing", listing::measure),
        ("hints", hints::measure),
        ("reading", reading::measure),
        ("noticing", noticing::measure),
    ];
    for (name, measure) in all {
        if words.is_empty() || words.iter().any(|one| one == name) {
            measure();
        }
    }
}

/// Runs one part of this program in a process of its own: the seconds that it took, and its peak memory in MiB.
fn child(words: &[&str]) -> (f64, f64) {
    #[allow(clippy::disallowed_methods, reason = "a benchmark starts itself")]
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output = command
        .arg("alone")
        .args(words)
        .env("AWS_ACCESS_KEY_ID", harness::far::KEYS.0)
        .env("AWS_SECRET_ACCESS_KEY", harness::far::KEYS.1)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "{words:?} failed");
    let text = String::from_utf8(output.stdout).unwrap();
    let (seconds, memory) = text.trim().split_once(' ').unwrap();
    (seconds.parse().unwrap(), memory.parse().unwrap())
}

/// The most memory that a process ever had, in MiB.
fn peak_memory(process: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    let kib: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib / 1024.0
}
