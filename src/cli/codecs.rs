//! `reelmill codecs`: which of GStreamer's plugins workers load, and what is in them.
//!
//! What is on no line here does not exist for a worker, whatever is installed.

use std::path::Path;
use std::process::ExitCode;

use super::exit::{Code, Trouble};
use super::files;
use super::output;
use super::table::Table;
use crate::config::{Config, Plugins};
use crate::worker::inventory::{self, Inventory, PluginSort};

/// Lists the plugins.
pub fn codecs(said: Option<&Path>, json: bool) -> Result<ExitCode, Trouble> {
    let config: Option<Config> = match (said, crate::config::find(said)) {
        (None, Err(_)) => None,
        _ => Some(files::config(said)?),
    };
    let changes = config.map(|config| config.plugins).unwrap_or_default();
    let found = ask(&changes).map_err(|message| Trouble::new(Code::Unavailable, message))?;
    if json {
        output::print_json(&found);
    } else {
        show(&found, &changes);
    }
    match found.refusal {
        Some(refusal) => Err(Trouble::new(Code::Unavailable, refusal)),
        None => Ok(ExitCode::SUCCESS),
    }
}

/// What a child says of GStreamer.
pub fn ask(changes: &Plugins) -> Result<Inventory, String> {
    let program = std::env::current_exe().map_err(|error| format!("the program cannot find itself: {error}"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the runtime: {error}"))?;
    runtime
        .block_on(inventory::ask(program, changes))
        .map_err(|failure| failure.message)
}

fn show(found: &Inventory, changes: &Plugins) {
    let mut table = Table::new(&["PLUGIN", "IS", "ELEMENTS"], 2).yielding(2, 20).prose(2);
    for plugin in &found.plugins {
        let is = match (plugin.installed, plugin.sort) {
            (false, _) => "missing",
            (true, PluginSort::Needed) => "needed",
            (true, PluginSort::Useful) => "loaded",
            (true, PluginSort::Added) => "added",
        };
        table.row(&[plugin.name.clone(), is.to_owned(), plugin.elements.join(" ")]);
    }
    for name in &changes.remove {
        table.row(&[name.clone(), "removed".to_owned(), String::new()]);
    }
    table.print();
}
