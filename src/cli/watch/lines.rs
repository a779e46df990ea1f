//! The lines that `jobs watch` shows. Pure: from what the daemon said, the width of the terminal, and a tick.

use super::super::output::{Paint, length, size};
use super::super::terminal::{columns, cut, cut_end, pad, tame};
use crate::app::view::{JobView, WorkView};
use crate::diagnostic::quantity::counted;
use crate::job::JobState;

/// What turns where it cannot be told how far a job is.
const SPINNER: [char; 10] = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];

/// The widest that a rule's name is shown.
const RULE: usize = 16;

/// A job that has ended, or was put back, on one line: what became of it, its rule and key, how long it took, why.
pub fn ended(job: &JobView, width: Option<usize>, paint: &Paint) -> String {
    let took = job
        .started
        .zip(job.ended)
        .map(|(started, ended)| length(ended.duration_since(started).as_secs_f64()));
    let took = |word: &str| took.as_ref().map_or_else(String::new, |took| format!("{word} {took}"));
    let why = why(job);
    let (word, tail) = match job.state {
        JobState::Succeeded => ("done", took("in")),
        JobState::Failed => ("failed", joined(&took("after"), &why)),
        JobState::Cancelled => ("cancelled", why),
        JobState::Queued => ("waits", joined("for another attempt", &why)),
        JobState::Running => ("running", String::new()),
    };
    let (rule, key, tail) = (cut(&tame(&job.rule), RULE), tame(&job.key), tame(&tail));
    let used = 10 + 2 + columns(&rule) + 2 + 2;
    let key = match width {
        None => key,
        Some(width) => cut(
            &key,
            (width.saturating_sub(used) / 2).max(width.saturating_sub(used + columns(&tail))),
        ),
    };
    let tail = match width {
        None => tail,
        Some(width) => cut_end(&tail, width.saturating_sub(used + columns(&key))),
    };
    let line = format!(
        "{}  {rule}  {key}  {tail}",
        paint.state(job.state.as_str(), &pad(word, 10))
    );
    line.trim_end().to_owned()
}

fn joined(words: &str, why: &str) -> String {
    match (words.is_empty(), why.is_empty()) {
        (_, true) => words.to_owned(),
        (true, _) => why.to_owned(),
        _ => format!("{words}: {why}"),
    }
}

/// Why a job failed or stands where it does, where that was said.
pub fn why(job: &JobView) -> String {
    let error = job.tasks.iter().find_map(|task| task.error.as_ref());
    match (&job.reason, error) {
        (_, Some(error)) if job.state == JobState::Failed => error.message.clone(),
        (Some(reason), _) => reason.clone(),
        _ => String::new(),
    }
}

/// A job at work, or waiting.
pub struct Row {
    rule: String,
    key: String,
    /// How much of the present run is done, where that can be told.
    part: Option<f64>,
    says: String,
}

impl Row {
    /// Of a job.
    pub fn new(job: &JobView) -> Self {
        Self {
            rule: tame(&job.rule),
            key: tame(&job.key),
            part: job.work.as_ref().and_then(WorkView::part),
            says: says(job),
        }
    }

    /// Of work on a file of this size, outside any daemon.
    pub fn of_trial(file: &str, size: u64, work: &WorkView) -> Self {
        Self {
            rule: String::new(),
            key: tame(file),
            part: work.part(),
            says: of_work(work, size),
        }
    }
}

/// Jobs at work, or waiting, as lines that align.
pub fn at_work(rows: &[Row], width: usize, tick: usize, paint: &Paint) -> Vec<String> {
    let widest = |of: &dyn Fn(&Row) -> usize| rows.iter().map(of).max().unwrap_or(0);
    let bar = match width {
        100.. => 24,
        75..100 => 10,
        50..75 => 6,
        _ => 1,
    };
    let rule = widest(&|row| columns(&row.rule)).min(if width < 64 { 0 } else { RULE.min(width / 6) });
    let gaps = if rule > 0 { 6 } else { 4 };
    let key = widest(&|row| columns(&row.key)).min(width / 4);
    let tail = widest(&|row| columns(&row.says)).min(width.saturating_sub(rule + bar + gaps + key));
    let key = width
        .saturating_sub(rule + bar + gaps + tail)
        .min(widest(&|row| columns(&row.key)));
    rows.iter()
        .map(|row| {
            let mut line = String::new();
            if rule > 0 {
                line.push_str(&pad(&cut(&row.rule, rule), rule));
                line.push_str("  ");
            }
            line.push_str(&pad(&cut(&row.key, key), key));
            line.push_str("  ");
            line.push_str(&paint.state("running", &gauge(row.part, bar, tick)));
            line.push_str("  ");
            line.push_str(&cut_end(&row.says, tail));
            line.trim_end().to_owned()
        })
        .collect()
}

/// A bar, or something that turns.
fn gauge(part: Option<f64>, width: usize, tick: usize) -> String {
    let Some(part) = part.filter(|_| width > 1) else {
        return pad(&SPINNER[tick % SPINNER.len()].to_string(), width);
    };
    // Between 0 and the width: nothing is lost that would be seen.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let halves = (part.clamp(0.0, 1.0) * (width * 2) as f64).round() as usize;
    let (full, half) = (halves / 2, halves % 2);
    let rest = width - full - half;
    format!("{}{}{}", "━".repeat(full), "╸".repeat(half), "·".repeat(rest))
}

/// What a job at work says of itself.
pub fn says(job: &JobView) -> String {
    match &job.work {
        Some(work) => of_work(work, job.size),
        None => joined(
            job.state.as_str(),
            &job.reason.as_deref().map_or_else(String::new, tame),
        ),
    }
}

/// The remaining time, in no finer steps than it is true.
fn left(seconds: f64) -> String {
    match seconds {
        ..10.0 => format!("{:.0} s", seconds.ceil().max(1.0)),
        _ => length(seconds.ceil()),
    }
}

fn of_work(work: &WorkView, object: u64) -> String {
    let mut words = Vec::new();
    match (work.phase.as_str(), work.part()) {
        ("working", Some(part)) => {
            words.push(format!("{:>3.0} %", (part * 100.0).min(99.0)));
            words.push(
                work.eta
                    .map_or_else(|| "…".to_owned(), |eta| format!("{} left", left(eta))),
            );
            words.extend(work.speed.map(|speed| format!("{speed:.1}x")));
        }
        ("working", None) if work.position > 0.0 => {
            words.push(format!("at {}", length(work.position)));
            words.extend(work.speed.map(|speed| format!("{speed:.1}x")));
            words.push("length unknown".to_owned());
        }
        ("working", None) => words.push(match work.bytes_read {
            0 => format!("working, {}", length(work.elapsed)),
            bytes => format!("{} of {} read", size(bytes.min(object)), size(object)),
        }),
        ("finishing", _) => words.push("100 %  finishing".to_owned()),
        (phase, _) => words.push(format!("{phase}, {}", length(work.elapsed))),
    }
    if work.later > 0 {
        words.push(format!("then {}", counted(u64::from(work.later), "task")));
    }
    words.join("  ")
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use serde_json::{Value, json};

    use super::*;

    fn job(rule: &str, key: &str, state: &str, work: &Value) -> JobView {
        serde_json::from_value(json!({
            "id": "000000000000000", "rule": rule, "rule_version": "1", "bucket": "inbox", "key": key,
            "identity": "1-1", "size": 4_500_000_000_u64, "generation": 1, "state": state, "reason": null, "priority": 0,
            "attempt": 1, "created": "2026-01-01T00:00:00Z", "started": "2026-01-01T00:00:00Z",
            "ended": "2026-01-01T00:01:12Z", "progress": null, "work": work, "tasks": [],
        }))
        .expect("a job")
    }

    fn work(phase: &str, position: f64, duration: Option<f64>, more: &Value) -> Value {
        let mut work = json!({
            "phase": phase, "elapsed": 12.4, "position": position, "duration": duration, "speed": null, "eta": null,
        });
        for (name, value) in more.as_object().expect("fields") {
            work[name] = value.clone();
        }
        work
    }

    fn several() -> Vec<JobView> {
        let fast = json!({ "speed": 3.24, "eta": 71.2 });
        vec![
            job("web", "clip.mp4", "running", &work("working", 45.0, Some(100.0), &fast)),
            job(
                "camera upload to archive",
                "2026/spring/the long way home, take 12.mov",
                "running",
                &work("working", 1.0, Some(100.0), &json!({ "later": 2 })),
            ),
            job(
                "web",
                "日本の映画.mkv",
                "running",
                &work("probing", 0.0, None, &json!({})),
            ),
            job(
                "web",
                "live.ts",
                "running",
                &work("working", 75.0, None, &json!({ "speed": 0.8 })),
            ),
            job(
                "keep",
                "x\u{1b}[2J\u{202e}.mp4",
                "running",
                &work("working", 0.0, None, &json!({ "bytes_read": 1_200_000_000 })),
            ),
            job(
                "web",
                "b.mp4",
                "running",
                &work("finishing", 100.0, Some(100.0), &json!({})),
            ),
        ]
    }

    #[test]
    fn jobs_at_work_fit_every_terminal() {
        let jobs: Vec<Row> = several().iter().map(Row::new).collect();
        let mut shown = String::new();
        for width in [120, 80, 60, 40] {
            writeln!(shown, "{width}").ok();
            for line in at_work(&jobs, width, 3, &Paint::plain()) {
                assert!(columns(&line) <= width, "{line}");
                writeln!(shown, "{line}").ok();
            }
        }
        insta::assert_snapshot!(shown);
    }

    #[test]
    fn ended_jobs_are_one_line_each() {
        let mut failed = job("web", "holiday/clip.mp4", "failed", &Value::Null);
        failed.reason =
            Some("the medium is cut off: \u{1b}[31mred\u{1b}[0m words of a stranger that go on and on".to_owned());
        let mut again = job("web", "holiday/clip.mp4", "queued", &Value::Null);
        again.reason = Some("the bucket published is offline".to_owned());
        let jobs = [
            job("web", "clip.mp4", "succeeded", &Value::Null),
            job("web", &"very ".repeat(20), "succeeded", &Value::Null),
            failed,
            again,
        ];
        let mut shown = String::new();
        for width in [80, 60] {
            for job in &jobs {
                let line = ended(job, Some(width), &Paint::plain());
                assert!(columns(&line) <= width, "{line}");
                writeln!(shown, "{line}").ok();
            }
        }
        shown.push_str(&ended(&jobs[2], None, &Paint::plain()));
        insta::assert_snapshot!(shown);
    }
}
