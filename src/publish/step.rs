//! The named steps of publishing and of taking a source away, and a way for tests to stop the program at one of them.

/// The steps, in order. The program may be killed before, between and after any of them.
pub const STEPS: [&str; 11] = [
    "sealed",
    "listed",
    "placed",
    "synced",
    "committed",
    "upload_recorded",
    "parts_sent",
    "uploaded",
    "source_recorded",
    "source_aside",
    "source_gone",
];

/// Passes a step. In builds with debug assertions the environment variable `REELMILL_CRASH_AT` (a step's name, and
/// `:N` for its N-th passing) makes the program abort here, as a power cut would.
pub fn pass(step: &'static str) {
    debug_assert!(STEPS.contains(&step), "unknown step {step}");
    #[cfg(debug_assertions)]
    crash_if_asked(step);
}

#[cfg(debug_assertions)]
fn crash_if_asked(step: &str) {
    use std::sync::atomic::{AtomicU32, Ordering};
    static PASSED: AtomicU32 = AtomicU32::new(0);
    let Ok(wanted) = std::env::var("REELMILL_CRASH_AT") else {
        return;
    };
    let (name, nth) = match wanted.split_once(':') {
        Some((name, nth)) => (name, nth.parse().unwrap_or(1)),
        None => (wanted.as_str(), 1),
    };
    if name == step && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == nth {
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).ok();
    }
}
