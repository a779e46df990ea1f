//! `reelmill jobs`

use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::arguments::{JobsCommand, JobsList};
use super::client::{Client, escape};
use super::exit::Trouble;
use super::files;
use super::output::{self, Paint, ago, length, size, tame};
use super::since::since;
use super::status::read;
use super::table::Table;
use super::terminal::wrap;
use super::watch::{says, watch, why};
use crate::app::view::{JobView, OutputView, TaskView};
use crate::diagnostic::quantity::counted;
use crate::job::JobState;
use crate::plan::{KeptProvenance, MediaInfo};

/// Lists, shows, repeats or cancels jobs.
pub fn jobs(said: Option<&Path>, command: Option<&JobsCommand>, json: bool) -> Result<ExitCode, Trouble> {
    let config = files::config(said)?;
    let client = Client::new(&config)?;
    let every = JobsList {
        limit: 50,
        ..JobsList::default()
    };
    match command {
        None => answer(client.get(&query(&every)?)?, json, |jobs| list(jobs, &every))?,
        Some(JobsCommand::List(wanted)) => answer(client.get(&query(wanted)?)?, json, |jobs| list(jobs, wanted))?,
        Some(JobsCommand::Watch { ids }) => return watch(&client, ids, json),
        Some(JobsCommand::Show { id }) => {
            answer(client.get(&format!("/v1/jobs/{}", escape(id)))?, json, show)?;
        }
        Some(JobsCommand::Provenance { id }) => {
            let path = format!("/v1/jobs/{}/provenance", escape(id));
            answer(client.get(&path)?, json, |kept: &Vec<KeptProvenance>| provenance(kept))?;
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
                output::print(&format!("job {} has priority {} now", tame(&job.id), job.priority));
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

/// What ran, task by task.
fn provenance(kept: &[KeptProvenance]) {
    if kept.is_empty() {
        output::print("nothing is known of what ran: no task of this job has decoded anything");
    }
    for (number, one) in kept.iter().enumerate() {
        if number > 0 {
            output::print("");
        }
        output::print(&format!("task {}, by reelmill {}", tame(&one.task), tame(&one.program)));
        for line in &one.ran.pipeline {
            output::print(&format!("  {}", tame(line)));
        }
        let plugins: Vec<String> = one
            .ran
            .plugins
            .iter()
            .map(|(name, version)| format!("{name} {version}"))
            .collect();
        output::print_wrapped("plugins    ", &tame(&plugins.join(", ")));
        output::print_wrapped("libraries  ", &tame(&one.ran.libraries.join(", ")));
        output::print_wrapped("settings   ", &tame(&one.settings.to_string()));
    }
}

fn query(wanted: &JobsList) -> Result<String, Trouble> {
    let mut path = format!("/v1/jobs?limit={}", wanted.limit);
    if !wanted.state.is_empty() {
        write!(path, "&state={}", escape(&wanted.state.join(","))).ok();
    }
    for (name, value) in [
        ("rule", &wanted.rule),
        ("bucket", &wanted.bucket),
        ("before", &wanted.before),
    ] {
        if let Some(value) = value {
            write!(path, "&{name}={}", escape(value)).ok();
        }
    }
    if let Some(key) = &wanted.key {
        write!(path, "&key_bytes={}", URL_SAFE_NO_PAD.encode(key.as_bytes())).ok();
    }
    if let Some(text) = &wanted.since {
        let since = since(text, Timestamp::now())?;
        write!(path, "&since={}", escape(&since.to_string())).ok();
    }
    Ok(path)
}

#[allow(clippy::ptr_arg, reason = "the answer is a list")]
fn list(jobs: &Vec<JobView>, wanted: &JobsList) {
    let narrowed = !wanted.state.is_empty()
        || [&wanted.rule, &wanted.bucket, &wanted.before, &wanted.since]
            .into_iter()
            .any(Option::is_some)
        || wanted.key.is_some();
    if jobs.is_empty() && narrowed {
        output::print("No such jobs.");
        return;
    }
    if jobs.is_empty() {
        let words = "No jobs. A file dropped into a watched directory starts one where an enabled rule wants it: \
             `reelmill rules` lists the rules, `reelmill explain BUCKET KEY` says why an object did not start.";
        output::print_wrapped("", words);
        return;
    }
    table(jobs, Some(Timestamp::now()));
    let full = jobs.len() as u64 == u64::from(wanted.limit) && output::width().is_some();
    if let Some(last) = jobs.last().filter(|_| full) {
        output::say(&format!("(older ones: --before {})", last.id));
    }
}

/// Jobs as a table; with their age where it is told what time it is.
pub fn table(jobs: &[JobView], now: Option<Timestamp>) {
    let mut table = Table::new(&["JOB", "STATE", "RULE", "OBJECT", "CREATED", "DETAIL"], 3)
        .coloured(1)
        .yielding(2, 8)
        .yielding(5, 18)
        .prose(5)
        .expendable(&[4, 2, 5]);
    for job in jobs {
        table.row(&[
            job.id.clone(),
            job.state.as_str().to_owned(),
            job.rule.clone(),
            format!("{}/{}", job.bucket, job.key),
            now.map_or_else(String::new, |now| ago(job.created, now)),
            detail(job),
        ]);
    }
    table.print();
}

/// How far a job is, how long it took, or why it failed or waits.
fn detail(job: &JobView) -> String {
    match job.state {
        JobState::Running => says(job).trim_start().to_owned(),
        JobState::Queued => match (&job.waits, job.not_before) {
            (Some(wait), _) => wait.message.clone(),
            (None, Some(due)) => format!("{}: {}", ago(due, Timestamp::now()), why(job)),
            (None, None) => why(job),
        },
        JobState::Succeeded => took(job).map_or_else(String::new, |took| format!("in {took}")),
        JobState::Failed | JobState::Cancelled => why(job),
    }
}

/// How long a job was at work, from its first start.
pub fn took(job: &JobView) -> Option<String> {
    let (started, ended) = job.started.zip(job.ended)?;
    Some(length(ended.duration_since(started).as_secs_f64()))
}

fn show(job: &JobView) {
    for line in lines(job, Timestamp::now(), &Paint::new()) {
        output::print(&line);
    }
}

/// One job in full.
pub fn lines(job: &JobView, now: Timestamp, paint: &Paint) -> Vec<String> {
    let width = output::width();
    let state = job.state.as_str();
    let mut lines = vec![format!(
        "job       {}  {}",
        paint.bold(&tame(&job.id)),
        paint.state(state, state)
    )];
    let mut line = |name: &str, text: String| lines.extend(wrap(&format!("{name:<9} "), &text, width));
    let both = |time: Timestamp| format!("{time}  ({})", ago(time, now));
    if let Some(reason) = &job.reason {
        line("because", tame(reason));
    }
    line(
        "object",
        format!("{}/{}  ({})", tame(&job.bucket), tame(&job.key), size(job.size)),
    );
    line(
        "identity",
        format!("{}, generation {}", tame(&job.identity), job.generation),
    );
    line(
        "rule",
        format!("{}, version {}", tame(&job.rule), tame(&job.rule_version)),
    );
    line("priority", job.priority.to_string());
    line("created", both(job.created));
    if let Some(started) = job.started {
        let runs = counted(u64::from(job.attempt), "run");
        line("started", format!("{}, {runs}", both(started)));
    }
    if let Some(ended) = job.ended {
        let took = took(job).map_or_else(String::new, |took| format!(", after {took}"));
        line("ended", format!("{}{took}", both(ended)));
    }
    if let Some(wait) = &job.waits {
        line("waits", tame(&wait.message));
    }
    if let Some(context) = &job.context {
        line("context", tame(context));
    }
    if let Some(due) = job.not_before {
        line("waits", format!("until {}", both(due)));
    }
    if let Some(source) = &job.source {
        line("source", tame(&source.words()));
    }
    if let Some(old) = &job.retry_of {
        line("repeats", format!("job {}", tame(old)));
    }
    if job.work.is_some() {
        line("now", says(job).trim_start().to_owned());
    }
    if let Some(medium) = job.media.as_ref().and_then(medium) {
        line("medium", medium);
    }
    for task in &job.tasks {
        lines.push(String::new());
        task_lines(task, paint, width, &mut lines);
    }
    if let Some(note) = &job.note {
        lines.push(String::new());
        lines.push(format!("note      {}", place(note)));
    }
    lines
}

/// What the probe found, in a line.
fn medium(media: &Value) -> Option<String> {
    let media: MediaInfo = serde_json::from_value(media.clone()).ok()?;
    let mut words = vec![tame(&media.container)];
    words.extend(media.duration.map(|duration| length(duration.as_secs_f64())));
    words.extend(media.video().map(|video| format!("{}x{}", video.width, video.height)));
    words.push(counted(media.streams.len() as u64, "stream"));
    let title = media.tags.iter().find(|(name, _)| name == "title");
    words.extend(title.map(|(_, title)| format!("\"{}\"", tame(title))));
    Some(words.join(", "))
}

fn task_lines(task: &TaskView, paint: &Paint, width: Option<usize>, lines: &mut Vec<String>) {
    let state = task.state.as_str();
    let tries = if task.attempts > 1 {
        format!(", {}", counted(u64::from(task.attempts), "attempt"))
    } else {
        String::new()
    };
    lines.push(format!(
        "task      {} ({})  {}{tries}",
        paint.bold(&tame(&task.id)),
        tame(&task.kind),
        paint.state(state, state)
    ));
    if let Some(error) = &task.error {
        let words = format!("{}: {}", error.kind.as_str(), tame(&error.message));
        lines.extend(wrap("  error   ", &words, width));
    }
    for finding in &task.findings {
        lines.extend(wrap("  found   ", &tame(&finding.message), width));
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
