//! `reelmill status`

use std::path::Path;
use std::process::ExitCode;

use jiff::Timestamp;

use super::client::Client;
use super::exit::{Code, Trouble};
use super::output::{self, Paint, ago, span, tame};
use super::table::Table;
use super::{files, jobs};
use crate::app::status::{BrokenView, StatusView};

/// Says how the daemon stands.
pub fn status(said: Option<&Path>, json: bool) -> Result<ExitCode, Trouble> {
    let config = files::config(said)?;
    let status: StatusView = read(Client::new(&config)?.get("/v1/status")?)?;
    if json {
        output::print_json(&status);
    } else {
        show(&status);
    }
    Ok(ExitCode::SUCCESS)
}

/// An answer as the type that it should be.
pub fn read<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> Result<T, Trouble> {
    serde_json::from_value(value).map_err(|error| {
        Trouble::new(
            Code::Internal,
            format!("the daemon is of another version than this command: {error}"),
        )
    })
}

fn show(status: &StatusView) {
    let (paint, now) = (Paint::new(), Timestamp::now());
    let figure = |state: &str| status.queue.get(state).copied().unwrap_or_default();
    output::print(&format!(
        "reelmill {} runs since {} (process {}), config {}",
        status.version,
        span(status.uptime),
        status.pid,
        tame(&status.config)
    ));
    output::print(&format!(
        "jobs     {} queued, {} running (of {} at once), {} succeeded, {} failed, {} cancelled",
        figure("queued"),
        figure("running"),
        status.slots,
        figure("succeeded"),
        figure("failed"),
        figure("cancelled")
    ));
    for pause in &status.paused {
        output::print(&format!("paused   {}", super::queue::words(pause)));
    }
    output::print(&format!(
        "rules    {} enabled, {} disabled, {} broken, in {}",
        status.rules.enabled,
        status.rules.disabled,
        status.rules.broken.len(),
        tame(&status.rules_folder)
    ));
    for bucket in &status.buckets {
        output::print(&format!("bucket   {}  {}", bucket.name, tame(&bucket.path)));
    }
    if !status.parts.is_empty() {
        output::print("");
        let mut table = Table::new(&["PART", "IS", "SINCE", "SAYS"], 3).coloured(1);
        for (name, part) in &status.parts {
            let is = if part.ok { "ok" } else { "failed" };
            table.row(&[name.clone(), is.to_owned(), ago(part.since, now), part.message.clone()]);
        }
        table.print();
    }
    broken(&status.rules.broken, &paint);
    if !status.running.is_empty() {
        output::print("");
        jobs::table(&status.running, now);
    }
    if status.rules.enabled == 0 {
        output::print(
            "\nNo rule is enabled, so nothing will start: `reelmill rules` lists them, `reelmill rules enable NAME` turns one on.",
        );
    }
}

/// Files that are broken, and where.
pub fn broken(files: &[BrokenView], paint: &Paint) {
    for file in files {
        let keeps = file.rule.as_ref().map_or_else(String::new, |rule| {
            format!(" (the last good version of \"{}\" stays in force)", tame(rule))
        });
        output::print(&format!(
            "\n{} {}{keeps}",
            paint.state("broken", "broken"),
            tame(&file.file)
        ));
        for one in &file.diagnostics {
            let at = match (one.line, one.column) {
                (Some(line), Some(column)) => format!("{line}:{column}: "),
                _ => String::new(),
            };
            output::print(&format!("  {at}{}", tame(&one.message)));
            if let Some(help) = &one.help {
                output::print(&format!("    {}", tame(help)));
            }
        }
    }
}
