//! The loops of the daemon. Each is a file with a `tick` that does one round and a `run` that repeats it
//! until the daemon stops; all live in one `JoinSet` and end through one token.

pub mod arming;
pub mod backfill;
pub mod dispatch;
pub mod hints;
pub mod history;
pub mod intake;
pub mod mill;
pub mod orphans;
pub mod pace;
pub mod publishing;
pub mod pulse;
pub mod rescue;
pub mod room;
pub mod rules;
pub mod runner;
pub mod sources;
pub mod supervision;
pub mod sweep;
#[cfg(test)]
mod tests_support;
pub mod tidy;
pub mod trial;
pub mod watching;

/// An error with all its causes, in one line.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}
