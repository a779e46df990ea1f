//! The jail, tried as an attacker would who has taken a decoder over.
//!
//! This program plays three parts. As `worker` it is a worker that goes into the real jail and then does what its
//! "medium" says ([`attack`]). With another command of Reelmill it is Reelmill, so that a daemon runs whose workers are
//! this program. Otherwise it is the tests.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod attack;
mod cases;
mod daemon;
mod direct;
mod greed;
#[path = "../harness/mod.rs"]
mod harness;
mod launch;
mod lies;
mod probes;

use std::process::ExitCode;
use std::time::Instant;

type Test = (&'static str, fn());

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let words: Vec<&str> = arguments.iter().skip(1).map(String::as_str).collect();
    match words.as_slice() {
        ["worker"] => attack::worker(),
        ["worker" | "--config", ..] => reelmill::cli::main(std::env::args_os()),
        words => tests(words),
    }
}

/// What the usual test programs understand, as far as it matters here.
fn tests(words: &[&str]) -> ExitCode {
    let all: Vec<Test> = [probes::TESTS, daemon::TESTS, launch::TESTS].concat();
    let filters: Vec<&str> = words.iter().filter(|word| !word.starts_with('-')).copied().collect();
    let chosen = all
        .into_iter()
        .filter(|(name, _)| filters.is_empty() || filters.iter().any(|filter| name.contains(filter)));
    if words.contains(&"--list") {
        for (name, _) in chosen {
            println!("{name}: test");
        }
        return ExitCode::SUCCESS;
    }
    let mut failed = Vec::new();
    let mut passed = 0;
    for (name, test) in chosen {
        let began = Instant::now();
        let good = std::panic::catch_unwind(test).is_ok();
        let word = if good { "ok" } else { "FAILED" };
        println!("test {name} ... {word} ({:.1} s)", began.elapsed().as_secs_f64());
        if good {
            passed += 1;
        } else {
            failed.push(name);
        }
    }
    let verdict = if failed.is_empty() { "ok" } else { "FAILED" };
    println!("\ntest result: {verdict}. {passed} passed; {} failed", failed.len());
    if failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
