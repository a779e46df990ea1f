//! What sources over a network share: how long they wait, and what they say of their connection.

use std::time::Duration;

use super::Sink;

/// A wait that doubles, from one length to another, never quite the same for two that wait.
#[derive(Debug, Clone)]
pub(super) struct Backoff {
    bounds: (Duration, Duration),
    next: Duration,
}

impl Backoff {
    /// Begins with the shorter of the two.
    pub(super) fn new(bounds: (Duration, Duration)) -> Self {
        Self { bounds, next: bounds.0 }
    }

    /// All went well: the next wait is the shortest again.
    pub(super) fn reset(&mut self) {
        self.next = self.bounds.0;
    }

    /// The next wait.
    pub(super) fn wait(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(self.bounds.1);
        jittered(wait)
    }
}

/// A connection that stands until this is dropped, however that comes about.
pub(super) struct Connected<'s>(&'s dyn Sink);

impl<'s> Connected<'s> {
    /// It stands since now.
    pub(super) fn new(sink: &'s dyn Sink) -> Self {
        sink.connected(true);
        Self(sink)
    }
}

impl Drop for Connected<'_> {
    fn drop(&mut self) {
        self.0.connected(false);
    }
}

/// Between three quarters of this and all of it.
pub(super) fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(rand::random_range(0.75..=1.0))
}

/// An error with its causes, for people.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_words = inner.to_string();
        if !words.contains(&inner_words) {
            words = format!("{words}: {inner_words}");
        }
        cause = inner.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_limit_and_begin_anew() {
        let mut backoff = Backoff::new((Duration::from_millis(250), Duration::from_secs(30)));
        let waits: Vec<_> = (0..12).map(|_| backoff.wait().as_millis()).collect();
        assert!((187..=250).contains(&waits[0]), "{waits:?}");
        assert!((375..=500).contains(&waits[1]), "{waits:?}");
        assert!((22_500..=30_000).contains(&waits[11]), "{waits:?}");
        backoff.reset();
        assert!(backoff.wait() <= Duration::from_millis(250));
    }
}
