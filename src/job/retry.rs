//! Whether and when work that failed is tried again. The only place that decides it.

use std::time::Duration;

use super::ErrorKind;
use crate::rule::RetryPolicy;

/// The longest wait after the first failure; each further one doubles it.
const FIRST: Duration = Duration::from_secs(5);
/// No wait is longer.
const LONGEST: Duration = Duration::from_mins(5);
/// How often a place that is full or away is tried again.
const AWAY: Duration = Duration::from_secs(30);

/// What to do about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// It is for good.
    Fail,
    /// Try again.
    Again {
        /// After so long.
        wait: Duration,
        /// The run's tasks run alone from now on.
        split: bool,
        /// The attempt counts; where it does not, it is given back.
        counted: bool,
    },
}

/// What a kind of failure means for the next attempt.
enum Meaning {
    /// The same would happen again.
    Hopeless,
    /// Not the medium's fault; the attempt does not count, however long it lasts.
    Away,
    /// May pass by itself.
    Passing,
    /// One of the tasks may be to blame.
    Suspect,
}

fn meaning(kind: ErrorKind) -> Meaning {
    match kind {
        ErrorKind::Unsupported
        | ErrorKind::Corrupt
        | ErrorKind::Truncated
        | ErrorKind::NoSuchStream
        | ErrorKind::Plan
        | ErrorKind::NameTaken => Meaning::Hopeless,
        ErrorKind::NoSpace | ErrorKind::Offline => Meaning::Away,
        ErrorKind::Io | ErrorKind::Permission => Meaning::Passing,
        ErrorKind::Crashed
        | ErrorKind::TimedOut
        | ErrorKind::Stalled
        | ErrorKind::OutOfMemory
        | ErrorKind::JailViolation
        | ErrorKind::Protocol
        | ErrorKind::BadOutput
        | ErrorKind::Pipeline
        | ErrorKind::Internal => Meaning::Suspect,
    }
}

/// Decides about a task after a failure. `attempts_so_far` includes the one that failed; `random` is from
/// 0 to 1 and spreads the waits of jobs that failed together.
#[must_use]
pub fn after_failure(
    kind: ErrorKind,
    attempts_so_far: u32,
    policy: &RetryPolicy,
    run_was_fused: bool,
    random: f64,
) -> Retry {
    let jitter = 0.75 + 0.25 * random.clamp(0.0, 1.0);
    let counted = |split| {
        if attempts_so_far >= policy.attempts {
            return Retry::Fail;
        }
        let doublings = attempts_so_far.saturating_sub(1).min(16);
        let ceiling = FIRST.saturating_mul(1 << doublings).min(LONGEST);
        Retry::Again {
            wait: ceiling.mul_f64(jitter),
            split,
            counted: true,
        }
    };
    match meaning(kind) {
        Meaning::Hopeless => Retry::Fail,
        Meaning::Away => Retry::Again {
            wait: AWAY.mul_f64(jitter),
            split: false,
            counted: false,
        },
        Meaning::Passing => counted(false),
        Meaning::Suspect => counted(run_was_fused),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn policy(attempts: u32) -> RetryPolicy {
        RetryPolicy {
            attempts,
            ..RetryPolicy::default()
        }
    }

    #[test]
    fn each_kind_has_its_answer() {
        let table: Vec<String> = ErrorKind::ALL
            .into_iter()
            .map(|kind| {
                let answer = match after_failure(kind, 1, &policy(3), true, 1.0) {
                    Retry::Fail => "for good".to_owned(),
                    Retry::Again { wait, split, counted } => format!(
                        "again after {wait:?}{}{}",
                        if split { ", split" } else { "" },
                        if counted { "" } else { ", not counted" }
                    ),
                };
                format!("{}: {answer}", kind.as_str())
            })
            .collect();
        insta::assert_snapshot!(table.join("\n"), @r"
        crashed: again after 5s, split
        timed_out: again after 5s, split
        stalled: again after 5s, split
        out_of_memory: again after 5s, split
        jail_violation: again after 5s, split
        protocol: again after 5s, split
        unsupported: for good
        corrupt: for good
        truncated: for good
        no_such_stream: for good
        bad_output: again after 5s, split
        pipeline: again after 5s, split
        no_space: again after 30s, not counted
        name_taken: for good
        offline: again after 30s, not counted
        permission: again after 5s
        io: again after 5s
        plan: for good
        internal: again after 5s, split
        ");
    }

    #[test]
    fn waits_grow_and_stop_growing() {
        let waits: Vec<u64> = (1..=9)
            .map(
                |attempts| match after_failure(ErrorKind::Io, attempts, &policy(20), false, 1.0) {
                    Retry::Again { wait, .. } => wait.as_secs(),
                    Retry::Fail => 0,
                },
            )
            .collect();
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 300, 300, 300]);
    }

    fn kinds() -> impl Strategy<Value = ErrorKind> {
        prop::sample::select(ErrorKind::ALL.to_vec())
    }

    proptest! {
        #[test]
        fn counted_failures_end(kind in kinds(), attempts in 1..=20u32, over in 0..5u32, fused: bool, random in 0.0..1.0f64) {
            match after_failure(kind, attempts + over, &policy(attempts), fused, random) {
                Retry::Fail => {}
                Retry::Again { counted, .. } => prop_assert!(!counted),
            }
        }

        #[test]
        fn waits_are_bounded_and_only_fused_runs_split(
            kind in kinds(), so_far in 0..u32::MAX, attempts in 1..=20u32, fused: bool, random in -1.0..2.0f64,
        ) {
            if let Retry::Again { wait, split, counted } = after_failure(kind, so_far, &policy(attempts), fused, random) {
                prop_assert!(wait >= FIRST.mul_f64(0.7) && wait <= LONGEST);
                prop_assert!(fused || !split);
                prop_assert!(!split || counted);
            }
        }
    }
}
