//! `reelmill explain`

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::client::{Client, escape};
use super::exit::Trouble;
use super::files;
use super::output::{self, Paint, tame};
use super::status::read;
use crate::app::explain::ExplainView;

/// Says for every rule why it would or would not start.
pub fn explain(said: Option<&Path>, bucket: &str, key: &OsStr, json: bool) -> Result<ExitCode, Trouble> {
    let config = files::config(said)?;
    let key = URL_SAFE_NO_PAD.encode(key.as_bytes());
    let path = format!("/v1/explain?bucket={}&key_bytes={key}", escape(bucket));
    let view: ExplainView = read(Client::new(&config)?.get(&path)?)?;
    if json {
        output::print_json(&view);
    } else {
        show(&view);
    }
    Ok(ExitCode::SUCCESS)
}

fn show(view: &ExplainView) {
    let paint = Paint::new();
    let size = view
        .object
        .size
        .map_or_else(String::new, |bytes| format!(" ({})", output::size(bytes)));
    output::print(&format!(
        "{}/{}: {}{size}",
        view.bucket,
        tame(&view.key),
        tame(&view.object.message)
    ));
    if let Some(made) = &view.made_by {
        output::print(&format!(
            "Job {} of the rule \"{}\" made it from {}.",
            made.job,
            tame(&made.rule),
            tame(&made.source)
        ));
    }
    if view.rules.is_empty() {
        output::print("There is no rule, so nothing will start. The README explains a first one.");
    }
    for verdict in &view.rules {
        let word = paint.state(&verdict.verdict, &verdict.verdict);
        output::print(&format!("\n{}  {word}", paint.bold(&tame(&verdict.rule))));
        output::print(&format!("  {}", tame(&verdict.message)));
        if let Some(line) = &verdict.ledger {
            let old = if line.baseline { ", as old" } else { "" };
            let gone = line
                .gone_at
                .map_or_else(String::new, |then| format!(", missing since {then}"));
            output::print(&format!(
                "  accepted last: {} (generation {}{old}{gone})",
                line.identity, line.generation
            ));
        }
        for job in &verdict.jobs {
            let state = job.state.as_str();
            output::print(&format!("  job {}  {}", job.id, paint.state(state, state)));
        }
    }
    for file in &view.broken {
        output::print(&format!(
            "\n{} {}: `reelmill rules` says where",
            paint.state("broken", "broken"),
            tame(file)
        ));
    }
}
