//! The loops of the daemon. Each is a file with a `tick` that does one round and a `run` that repeats it
//! until the daemon stops; all live in one `JoinSet` and end through one token.

pub mod arming;
pub mod backfill;
pub mod dispatch;
pub mod feed;
pub mod hints;
pub mod history;
pub mod intake;
pub mod mill;
pub mod orphans;
pub mod pace;
pub mod publishing;
pub mod pulse;
pub mod rescue;
pub mod resting;
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

/// An error with all its causes, in one line. Some errors name their cause themselves; it is not said twice.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let words = next.to_string();
        if !text.ends_with(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = next.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::with_causes;

    #[derive(Debug, thiserror::Error)]
    #[error("{words}")]
    struct Said {
        words: &'static str,
        source: Option<Box<Said>>,
    }

    #[test]
    fn every_cause_is_said_once() {
        let chain = |words: [&'static str; 3]| {
            let mut last = None;
            for words in words.into_iter().rev() {
                last = Some(Box::new(Said { words, source: last }));
            }
            with_causes(&*last.unwrap())
        };
        assert_eq!(chain(["no answer", "busy", "lock"]), "no answer: busy: lock");
        assert_eq!(
            chain(["no answer", "from the database: full", "full"]),
            "no answer: from the database: full"
        );
    }
}
