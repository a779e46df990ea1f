//! Lines of subtitles one after the other, for forms in which no two are shown at once.

use std::time::Duration;

/// A line that is seen for so long may be answered in parts.
const LONG: Duration = Duration::from_secs(10);
/// A pause that is worth a word.
const PAUSE: Duration = Duration::from_millis(500);

/// What is shown from one time to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When it appears.
    pub start: Duration,
    /// When it is gone.
    pub end: Duration,
    /// What it says.
    pub text: String,
}

/// Goes over lines as they come, in the order of their beginnings.
#[derive(Debug, Default)]
pub struct Sweep {
    /// Those that are seen from `from` on.
    open: Vec<Line>,
    /// Up to here everything was answered.
    from: Duration,
}

impl Sweep {
    /// Takes a line; answers what is known for good of the time before it.
    pub fn push(&mut self, mut line: Line) -> Vec<Line> {
        let done = self.go(line.start, true);
        line.start = line.start.max(self.from);
        if line.end > line.start {
            self.open.push(line);
        }
        done
    }

    /// Nothing will come before this time; answers what is known for good. What is still seen then stays whole.
    pub fn until(&mut self, time: Duration) -> Vec<Line> {
        self.go(time, false)
    }

    /// Nothing will come before this time; answers what is seen up to it, and nothing where nothing is: what waits for the
    /// next line must not wait for long.
    pub fn fill(&mut self, time: Duration) -> Vec<Line> {
        let begun = self.open.iter().map(|line| line.start).min();
        let long = begun.is_some_and(|start| time.saturating_sub(start.max(self.from)) >= LONG);
        let before = self.from;
        let mut done = self.go(time, long);
        let from = done.last().map_or(before, |line| line.end);
        if self.open.is_empty() && time >= from + PAUSE {
            done.push(Line {
                start: from,
                end: time,
                text: String::new(),
            });
        } else if self.open.is_empty() {
            // Told with what comes next.
            self.from = from;
        }
        done
    }

    fn go(&mut self, to: Duration, cuts: bool) -> Vec<Line> {
        let mut done = Vec::new();
        while let Some(next) = self.open.iter().map(|line| line.end).min() {
            if next > to && !cuts {
                return done;
            }
            let stop = next.min(to);
            if stop > self.from {
                let texts: Vec<&str> = self.open.iter().map(|line| line.text.as_str()).collect();
                done.push(Line {
                    start: self.open.iter().map(|line| line.start).fold(self.from, Duration::max),
                    end: stop,
                    text: texts.join("\n"),
                });
                self.from = stop;
            }
            self.open.retain(|line| line.end > stop);
            if stop == to {
                break;
            }
        }
        self.from = self.from.max(to);
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn swept(lines: &[(u64, u64, &str)], until: u64) -> String {
        let mut sweep = Sweep::default();
        let mut done = Vec::new();
        for (start, end, text) in lines {
            done.extend(sweep.push(Line {
                start: Duration::from_secs(*start),
                end: Duration::from_secs(*end),
                text: (*text).to_owned(),
            }));
        }
        done.extend(sweep.until(Duration::from_secs(until)));
        let told = |line: &Line| format!("{}-{} {:?}", line.start.as_secs(), line.end.as_secs(), line.text);
        done.iter().map(told).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn pauses_are_filled_and_a_line_is_cut_only_where_it_is_long() {
        let mut sweep = Sweep::default();
        let mut told = Vec::new();
        let mut note = |done: Vec<Line>| {
            let one = |line: &Line| format!("{:?}-{:?} {:?}", line.start, line.end, line.text);
            told.push(done.iter().map(one).collect::<Vec<_>>().join(", "));
        };
        let at = Duration::from_millis;
        let line = |start, end| Line {
            start: at(start),
            end: at(end),
            text: "a".to_owned(),
        };
        note(sweep.fill(at(200)));
        note(sweep.fill(at(900)));
        note(sweep.push(line(1000, 3000)));
        note(sweep.fill(at(2000)));
        note(sweep.fill(at(4000)));
        note(sweep.push(line(4500, 60_000)));
        note(sweep.fill(at(9000)));
        note(sweep.fill(at(20_000)));
        // Too late for what was said.
        note(sweep.push(line(19_000, 61_000)));
        note(sweep.until(Duration::MAX));
        insta::assert_snapshot!(told.join("\n"), @r#"

        0ns-900ms ""


        1s-3s "a", 3s-4s ""


        4.5s-20s "a"

        20s-60s "a\na", 60s-61s "a"
        "#);
    }

    #[test]
    fn lines_that_are_seen_at_once_become_one_and_others_stay_as_they_are() {
        let table = [
            swept(&[(1, 3, "a"), (5, 6, "b")], 9),
            swept(&[(1, 3, "a"), (3, 6, "b")], 9),
            swept(&[(1, 5, "a"), (3, 7, "b")], 9),
            swept(&[(1, 3, "a"), (1, 3, "b")], 9),
            swept(&[(1, 9, "a"), (2, 3, "b"), (5, 6, "c")], 9),
            // Not over yet.
            swept(&[(1, 5, "a")], 4),
            // Too late, and of no length.
            swept(&[(4, 6, "a"), (2, 5, "b"), (7, 7, "c")], 9),
        ];
        insta::assert_snapshot!(table.join("\n"), @r#"
        1-3 "a", 5-6 "b"
        1-3 "a", 3-6 "b"
        1-3 "a", 3-5 "a\nb", 5-7 "b"
        1-3 "a\nb"
        1-2 "a", 2-3 "a\nb", 3-5 "a", 5-6 "a\nc", 6-9 "a"

        4-5 "a\nb", 5-6 "a"
        "#);
    }
}
