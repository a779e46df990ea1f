//! `reelmill status`

use std::path::Path;
use std::process::ExitCode;

use jiff::Timestamp;

use super::client::Client;
use super::exit::{Code, Trouble};
use super::output::{self, Paint, length, print_wrapped, tame};
use super::table::Table;
use super::{files, jobs};
use crate::app::status::{BrokenView, PartView, StatusView};
use crate::diagnostic::quantity::counted;

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
    let line = |name: &str, text: &str| print_wrapped(&format!("{name:<8} "), text);
    let figure = |state: &str| status.queue.get(state).copied().unwrap_or_default();
    output::print(&format!(
        "reelmill {} has run for {} (process {})",
        tame(&status.version),
        length(status.uptime as f64),
        status.pid
    ));
    line("config", &tame(&status.config));
    line(
        "jobs",
        &format!(
            "{} queued, {} running ({}), {} succeeded, {} failed, {} cancelled",
            figure("queued"),
            figure("running"),
            counted(status.slots.into(), "slot"),
            figure("succeeded"),
            figure("failed"),
            figure("cancelled")
        ),
    );
    for pause in &status.paused {
        line("paused", &super::queue::words(pause));
    }
    line(
        "rules",
        &format!(
            "{} enabled, {} disabled, {} broken, in {}",
            status.rules.enabled,
            status.rules.disabled,
            status.rules.broken.len(),
            tame(&status.rules_folder)
        ),
    );
    if let Some(jail) = status.parts.get("jail").filter(|part| part.ok) {
        line("jail", &jail.message);
    }
    if status.hints > 0 {
        line(
            "noticed",
            &format!("{}, not looked at yet", counted(status.hints, "change")),
        );
    }
    buckets(status);
    if !status.running.is_empty() {
        output::print("");
        jobs::table(&status.running, None);
    }
    troubles(status, &paint, now);
    broken(&status.rules.broken, &paint);
    if status.rules.enabled == 0 {
        output::print("");
        print_wrapped(
            "",
            "No rule is enabled, so nothing will start: `reelmill rules` lists them, `reelmill rules enable NAME` turns one on.",
        );
    }
}

/// Parts of the daemon that belong to a bucket.
const OF_BUCKETS: [&str; 3] = ["watch", "list", "intake"];

/// What is wrong with a bucket, or how it is watched.
fn of_bucket<'a>(status: &'a StatusView, bucket: &str) -> Option<(&'static str, &'a str)> {
    let parts = || {
        OF_BUCKETS.iter().flat_map(|part| {
            let name = format!("{part}:{bucket}");
            let sources = format!("{name}:");
            let own = move |known: &&String| **known == name || known.starts_with(&sources);
            status
                .parts
                .iter()
                .filter(move |(known, _)| own(known))
                .map(|(_, part)| part)
        })
    };
    match parts().find(|part| !part.ok) {
        Some(part) if part.message.contains("offline") => Some(("offline", "see below")),
        Some(_) => Some(("failed", "see below")),
        None => parts().next().map(|part| ("ok", part.message.as_str())),
    }
}

fn buckets(status: &StatusView) {
    output::print("");
    let mut table = Table::new(&["BUCKET", "IS", "WHERE", ""], 2)
        .coloured(1)
        .yielding(0, 10)
        .yielding(3, 14)
        .prose(3)
        .expendable(&[3]);
    for bucket in &status.buckets {
        let (is, says) = of_bucket(status, &bucket.name).unwrap_or(("ok", ""));
        table.row(&[
            bucket.name.clone(),
            is.to_owned(),
            bucket.location.clone(),
            says.to_owned(),
        ]);
    }
    table.print();
    sources(status);
    for bucket in &status.buckets {
        if let (Some(since), Some(seen)) = (bucket.listing.since, bucket.listing.seen) {
            let seen = counted(seen, "object");
            output::print(&format!(
                "{} is being listed since {since:.0}: {seen} so far",
                bucket.name
            ));
        }
        if bucket.quarantined > 0 {
            let messages = counted(bucket.quarantined, "message");
            output::print(&format!(
                "{}: {messages} that nobody understood; `reelmill quarantine` shows them",
                bucket.name
            ));
        }
    }
}

/// Who tells of new objects in buckets over a network.
fn sources(status: &StatusView) {
    if status.buckets.iter().all(|bucket| bucket.sources.is_empty()) {
        return;
    }
    output::print("");
    let mut table = Table::new(&["BUCKET", "SOURCE", "CONNECTED", "LAST EVENT", "EVENTS", "LAG"], 2).yielding(0, 10);
    let time = |at: Option<Timestamp>| at.map_or_else(|| "-".to_owned(), |at| format!("{at:.0}"));
    for bucket in &status.buckets {
        for source in &bucket.sources {
            let lag = source.lag_ms.map_or_else(|| "-".to_owned(), |lag| format!("{lag} ms"));
            table.row(&[
                bucket.name.clone(),
                source.source.clone(),
                time(source.connected),
                time(source.last_event),
                source.events.to_string(),
                lag,
            ]);
        }
    }
    table.print();
}

/// Parts that do not work as they should, in full. Broken rule files speak for themselves.
fn troubles(status: &StatusView, paint: &Paint, now: Timestamp) {
    let broken = !status.rules.broken.is_empty();
    let failing = || status.parts.iter().filter(|(_, part)| !part.ok);
    for (name, part) in failing() {
        // Several parts may suffer from the same thing: whoever says it shortest speaks for all.
        let said = |(other, one): (&String, &PartView)| {
            let shorter = one.message.len() < part.message.len();
            other != name && part.message.contains(&one.message) && (shorter || other < name)
        };
        if (name == "rules" && broken) || failing().any(said) {
            continue;
        }
        output::print("");
        let time = length(now.duration_since(part.since).as_secs_f64());
        output::print(&format!(
            "{} {}, for {time}",
            paint.state("failed", "trouble"),
            tame(&name.replacen(':', " ", 1))
        ));
        print_wrapped("  ", &tame(&part.message));
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
            let file = one
                .file
                .as_ref()
                .map_or_else(String::new, |file| format!("{}:", tame(file)));
            let at = match (one.line, one.column) {
                (Some(line), Some(column)) => format!("  {file}{line}:{column}: "),
                _ => "  ".to_owned(),
            };
            print_wrapped(&at, &tame(&one.message));
            if let Some(help) = &one.help {
                print_wrapped("    ", &tame(help));
            }
        }
    }
}
