//! `reelmill jobs`

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::arguments::{JobsCommand, JobsList};
use super::client::{Client, escape};
use super::exit::Trouble;
use super::files;
use super::output::{self, Paint, ago, size, span, tame};
use super::status::read;
use super::table::Table;
use crate::app::view::{JobView, OutputView, TaskView};
use crate::job::JobState;

/// Lists, shows, repeats or cancels jobs.
pub fn jobs(said: Option<&Path>, command: Option<&JobsCommand>, json: bool) -> Result<ExitCode, Trouble> {
    let config = files::config(said)?;
    let client = Client::new(&config)?;
    let every = JobsList {
        limit: 50,
        ..JobsList::default()
    };
    match command {
        None => answer(client.get(&query(&every))?, json, list)?,
        Some(JobsCommand::List(wanted)) => answer(client.get(&query(wanted))?, json, list)?,
        Some(JobsCommand::Show { id }) => {
            answer(client.get(&format!("/v1/jobs/{}", escape(id)))?, json, show)?;
        }
        Some(JobsCommand::Retry { id, same_version }) => {
            let wish = json!({ "same_version": same_version });
            let job = client.post(&format!("/v1/jobs/{}/retry", escape(id)), &wish)?;
            answer(job, json, |job: &JobView| {
                output::print(&format!("job {} is queued", job.id));
            })?;
        }
        Some(JobsCommand::Priority { id, priority }) => {
            let wish = json!({ "priority": priority });
            let job = client.post(&format!("/v1/jobs/{}/priority", escape(id)), &wish)?;
            answer(job, json, |job: &JobView| {
                output::print(&format!("job {} has priority {} now", job.id, job.priority));
            })?;
        }
        Some(JobsCommand::Cancel { id, reason }) => {
            let wish = json!({ "reason": reason });
            let job = client.post(&format!("/v1/jobs/{}/cancel", escape(id)), &wish)?;
            answer(job, json, |job: &JobView| {
                let says = if job.state.is_final() {
                    "is cancelled"
                } else {
                    "is being stopped"
                };
                output::print(&format!("job {} {says}", job.id));
            })?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Shows an answer: to programs as it is, to people as they like it.
fn answer<T: Serialize + DeserializeOwned>(value: Value, json: bool, show: impl FnOnce(&T)) -> Result<(), Trouble> {
    let view: T = read(value)?;
    if json {
        output::print_json(&view);
    } else {
        show(&view);
    }
    Ok(())
}

fn query(wanted: &JobsList) -> String {
    let mut path = format!("/v1/jobs?limit={}", wanted.limit);
    if !wanted.state.is_empty() {
        write!(path, "&state={}", escape(&wanted.state.join(","))).ok();
    }
    for (name, value) in [("rule", &wanted.rule), ("before", &wanted.before)] {
        if let Some(value) = value {
            write!(path, "&{name}={}", escape(value)).ok();
        }
    }
    path
}

#[allow(clippy::ptr_arg, reason = "the answer is a list")]
fn list(jobs: &Vec<JobView>) {
    if jobs.is_empty() {
        output::print(
            "No jobs. A file dropped into a watched directory starts one where an enabled rule wants it:\n\
             `reelmill rules` lists the rules, `reelmill explain BUCKET KEY` says why an object did not start.",
        );
        return;
    }
    table(jobs, Timestamp::now());
}

/// Jobs as a table.
pub fn table(jobs: &[JobView], now: Timestamp) {
    let mut table = Table::new(&["JOB", "STATE", "RULE", "OBJECT", "DONE", "CREATED", "WHY"], 3).coloured(1);
    for job in jobs {
        table.row(&[
            job.id.clone(),
            job.state.as_str().to_owned(),
            super::table::cut(&job.rule, 24),
            format!("{}/{}", job.bucket, job.key),
            done(job),
            ago(job.created, now),
            super::table::cut(&why(job), 48),
        ]);
    }
    table.print();
}

/// How far a job is, in a word.
fn done(job: &JobView) -> String {
    match (job.state, job.progress, &job.work) {
        (JobState::Running, Some(part), work) => {
            let eta = work.as_ref().and_then(|work| work.eta);
            let left = eta.map_or_else(String::new, |eta| format!(", {} left", seconds(eta)));
            format!("{:.0} %{left}", part * 100.0)
        }
        (JobState::Running, None, Some(work)) => work.phase.clone(),
        (state, _, _) if state.is_final() => match (job.started, job.ended) {
            (Some(started), Some(ended)) => format!("in {}", seconds(ended.duration_since(started).as_secs_f64())),
            _ => String::new(),
        },
        _ => String::new(),
    }
}

fn seconds(value: f64) -> String {
    if value < 10.0 {
        format!("{:.1} s", value.max(0.0))
    } else {
        span(std::time::Duration::try_from_secs_f64(value).map_or(0, |time| time.as_secs()))
    }
}

fn why(job: &JobView) -> String {
    let error = job.tasks.iter().find_map(|task| task.error.as_ref());
    if let Some(wait) = &job.waits {
        return wait.message.clone();
    }
    match (&job.reason, error) {
        (_, Some(error)) if job.state == JobState::Failed => error.message.clone(),
        (Some(reason), _) => reason.clone(),
        _ => String::new(),
    }
}

fn show(job: &JobView) {
    for line in lines(job, Timestamp::now(), &Paint::new()) {
        output::print(&line);
    }
}

/// One job in full.
pub fn lines(job: &JobView, now: Timestamp, paint: &Paint) -> Vec<String> {
    let state = job.state.as_str();
    let mut lines = vec![format!(
        "job       {}  {}",
        paint.bold(&job.id),
        paint.state(state, state)
    )];
    let mut line = |name: &str, text: String| lines.push(format!("{name:<9} {text}"));
    if let Some(reason) = &job.reason {
        line("because", tame(reason));
    }
    line(
        "object",
        format!("{}/{}  ({})", job.bucket, tame(&job.key), size(job.size)),
    );
    line("identity", format!("{}, generation {}", job.identity, job.generation));
    line("rule", format!("{}, version {}", tame(&job.rule), job.rule_version));
    line("priority", job.priority.to_string());
    line("created", format!("{}  ({})", job.created, ago(job.created, now)));
    if let Some(started) = job.started {
        line(
            "started",
            format!("{started}  ({}), attempt {}", ago(started, now), job.attempt),
        );
    }
    if let Some(ended) = job.ended {
        line("ended", format!("{ended}  ({})", ago(ended, now)));
    }
    if let Some(wait) = &job.waits {
        line("waits", tame(&wait.message));
    }
    if let Some(context) = &job.context {
        line("context", tame(context));
    }
    if let Some(due) = job.not_before {
        line("waits", format!("until {due}  ({})", ago(due, now)));
    }
    if let Some(old) = &job.retry_of {
        line("repeats", format!("job {old}"));
    }
    if let Some(work) = &job.work {
        let speed = work
            .speed
            .map_or_else(String::new, |speed| format!(", {speed:.1} times as fast as it plays"));
        let part = job.progress.map_or_else(String::new, |_| format!(", {}", done(job)));
        line("now", format!("{}{part}{speed}", work.phase));
    }
    for task in &job.tasks {
        lines.push(String::new());
        task_lines(task, paint, &mut lines);
    }
    if let Some(note) = &job.note {
        lines.push(format!("\nnote      {}", place(note)));
    }
    lines
}

fn task_lines(task: &TaskView, paint: &Paint, lines: &mut Vec<String>) {
    let state = task.state.as_str();
    let tries = if task.attempts > 1 {
        format!(", {} attempts", task.attempts)
    } else {
        String::new()
    };
    lines.push(format!(
        "task      {} ({})  {}{tries}",
        paint.bold(&task.id),
        task.kind,
        paint.state(state, state)
    ));
    if let Some(error) = &task.error {
        lines.push(format!("  error   {}: {}", error.kind.as_str(), tame(&error.message)));
    }
    for finding in &task.findings {
        lines.push(format!("  found   {}", tame(&finding.message)));
    }
    for output in &task.outputs {
        lines.push(format!("  output  {}  {}", place(output), size(output.size)));
    }
}

/// Where an output lies: its file where it is one.
pub fn place(output: &OutputView) -> String {
    match &output.path {
        Some(path) => tame(path),
        None => format!("{}/{}", output.bucket, tame(&output.key)),
    }
}
