//! `reelmill pause`, `resume`, `submit` and `backfill`

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::arguments::{Backfill, Submit};
use super::client::Client;
use super::exit::Trouble;
use super::files;
use super::output::{self, size, tame};
use super::status::read;
use crate::app::holding::PauseView;
use crate::app::queue::{BackfillView, ResumeView};
use crate::app::submit::SubmitView;

/// Lets no more jobs start.
pub fn pause(said: Option<&Path>, rule: Option<&str>, reason: Option<&str>, json: bool) -> Result<ExitCode, Trouble> {
    let config = files::config(said)?;
    let wish = json!({ "rule": rule, "reason": reason });
    let view: PauseView = read(Client::new(&config)?.post("/v1/pause", &wish)?)?;
    if json {
        output::print_json(&view);
    } else {
        let again = view.rule.as_ref().map_or_else(
            || "reelmill resume".to_owned(),
            |rule| format!("reelmill resume \"{}\"", tame(rule)),
        );
        output::print(&format!(
            "{}. Running jobs finish, new ones wait; `{again}` lets them start.",
            words(&view)
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// Lets jobs start again.
pub fn resume(said: Option<&Path>, rule: Option<&str>, json: bool) -> Result<ExitCode, Trouble> {
    let config = files::config(said)?;
    let view: ResumeView = read(Client::new(&config)?.post("/v1/resume", &json!({ "rule": rule }))?)?;
    if json {
        output::print_json(&view);
        return Ok(ExitCode::SUCCESS);
    }
    let what = view
        .rule
        .as_ref()
        .map_or_else(|| "the mill".to_owned(), |rule| format!("\"{}\"", tame(rule)));
    output::print(&if view.changed {
        format!("{what} is not paused any more.")
    } else {
        format!("{what} was not paused.")
    });
    for pause in &view.paused {
        output::print(&format!("Still so: {}.", words(pause)));
    }
    Ok(ExitCode::SUCCESS)
}

/// What is paused, since when and why.
pub fn words(pause: &PauseView) -> String {
    let what = pause
        .rule
        .as_ref()
        .map_or_else(|| "the mill".to_owned(), |rule| format!("\"{}\"", tame(rule)));
    let why = pause
        .reason
        .as_ref()
        .map_or_else(String::new, |reason| format!(" ({})", tame(reason)));
    format!("{what} is paused since {:.0}{why}", pause.since)
}

/// Starts one job on demand.
pub fn submit(said: Option<&Path>, wish: &Submit, json: bool) -> Result<ExitCode, Trouble> {
    let config = files::config(said)?;
    let body = json!({
        "bucket": wish.bucket,
        "key_bytes": encoded(&wish.key),
        "rule": wish.rule,
        "priority": wish.priority,
        "context": wish.context,
        "dedupe_id": wish.dedupe_id,
    });
    let view: SubmitView = read(Client::new(&config)?.post("/v1/submit", &body)?)?;
    if json {
        output::print_json(&view);
        return Ok(ExitCode::SUCCESS);
    }
    output::print(&format!("job {} is queued", view.job.id));
    let waits = view
        .job
        .waits
        .as_ref()
        .map(|wait| format!("it waits: {}", wait.message));
    for note in view.notes.iter().chain(&waits) {
        output::print(&tame(note));
    }
    Ok(ExitCode::SUCCESS)
}

fn encoded(key: &OsStr) -> String {
    URL_SAFE_NO_PAD.encode(key.as_bytes())
}

/// Queues what exists.
pub fn backfill(said: Option<&Path>, wish: &Backfill, json: bool) -> Result<ExitCode, Trouble> {
    let config = files::config(said)?;
    let body = json!({
        "rule": wish.rule,
        "since": wish.since,
        "priority": wish.priority,
        "dry_run": wish.dry_run,
        "all": json && wish.dry_run,
    });
    let view: BackfillView = read(Client::new(&config)?.post("/v1/backfill", &body)?)?;
    if json {
        output::print_json(&view);
        return Ok(ExitCode::SUCCESS);
    }
    let (does, jobs) = (if view.dry_run { "would queue" } else { "queued" }, view.queued);
    let plural = if jobs == 1 { "job" } else { "jobs" };
    output::print(&format!(
        "{does} {jobs} {plural} for \"{}\" with priority {}, {} to work on",
        tame(&view.rule),
        view.priority,
        size(view.size)
    ));
    for object in &view.objects {
        output::print(&format!("  {}  {}", tame(&object.key), size(object.size)));
    }
    let more = view.queued.saturating_sub(view.objects.len() as u64);
    if more > 0 {
        output::print(&format!("  and {more} more"));
    }
    output::print(&format!(
        "{} listed, {} of them match; left out: {} done or queued before, {} written by Reelmill, {} busy or gone",
        view.listed, view.matching, view.known, view.own, view.busy
    ));
    Ok(ExitCode::SUCCESS)
}
