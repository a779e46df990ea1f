//! Stretches of time in which something was found.

use std::time::Duration;

/// More of one sort are only counted.
const MOST: usize = 1000;

/// A stretch in which something was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Found {
    /// Where it begins.
    pub start: Duration,
    /// Where it ends.
    pub end: Duration,
    /// The more the clearer, 0.0 ..= 1.0: the mean.
    pub score: f64,
}

/// Stretches of one sort, each at least so long.
#[derive(Debug)]
pub struct Spans {
    least: Duration,
    /// Where the open one began, the sum of its scores, and how many.
    open: Option<(Duration, f64, u32)>,
    /// In their order.
    pub found: Vec<Found>,
    /// How many were found besides.
    pub left_out: u64,
}

impl Spans {
    /// Shorter ones than this are not told.
    pub fn new(least: Duration) -> Self {
        Self {
            least,
            open: None,
            found: Vec::new(),
            left_out: 0,
        }
    }

    /// From now on it is so, with this score, or it is not.
    pub fn see(&mut self, at: Duration, score: Option<f64>) {
        match (score, &mut self.open) {
            (Some(score), Some((_, sum, count))) => {
                *sum += score;
                *count += 1;
            }
            (Some(score), open) => *open = Some((at, score, 1)),
            (None, _) => self.finish(at),
        }
    }

    /// What is open ends now.
    pub fn finish(&mut self, end: Duration) {
        let Some((start, sum, count)) = self.open.take() else {
            return;
        };
        if end.saturating_sub(start) < self.least {
            return;
        }
        if self.found.len() >= MOST {
            self.left_out += 1;
            return;
        }
        let score = sum / f64::from(count.max(1));
        self.found.push(Found { start, end, score });
    }

    /// Forgets stretches of which all but a little lies in one of others.
    pub fn leave_out_what_lies_in(&mut self, others: &Self) {
        self.found.retain(|one| {
            let within = others.found.iter().map(|other| {
                let (start, end) = (one.start.max(other.start), one.end.min(other.end));
                end.saturating_sub(start)
            });
            within.sum::<Duration>().mul_f64(1.1) < one.end.saturating_sub(one.start)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_have_their_least_length_and_are_bounded() {
        let mut spans = Spans::new(Duration::from_secs(2));
        for second in 0..10_000 {
            let at = Duration::from_secs(second);
            spans.see(at, (second % 5 < 3).then_some(0.5));
        }
        spans.finish(Duration::from_secs(10_000));
        assert_eq!(spans.found.len(), MOST);
        assert_eq!(spans.left_out, 1000);
        assert_eq!(spans.found[1].start, Duration::from_secs(5));
        assert_eq!(spans.found[1].end, Duration::from_secs(8));
        assert!((spans.found[1].score - 0.5).abs() < 1e-9);
    }
}
