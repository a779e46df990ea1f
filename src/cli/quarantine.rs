//! `reelmill quarantine`: messages about objects that nobody understood.

use std::path::Path;
use std::process::ExitCode;

use super::client::Client;
use super::exit::Trouble;
use super::files;
use super::output::{self, print_wrapped, tame};
use super::status::read;
use crate::app::quarantine::QuarantinedView;

/// As much of a message as fits on a screen.
const SHOWN: usize = 600;

/// Shows the last ones.
pub fn quarantine(said: Option<&Path>, json: bool) -> Result<ExitCode, Trouble> {
    let config = files::config(said)?;
    let messages: Vec<QuarantinedView> = read(Client::new(&config)?.get("/v1/quarantine")?)?;
    if json {
        output::print_json(&messages);
    } else if messages.is_empty() {
        output::print("Every message about objects was understood.");
    } else {
        show(&messages);
    }
    Ok(ExitCode::SUCCESS)
}

fn show(messages: &[QuarantinedView]) {
    for message in messages {
        output::print(&format!(
            "{:.0}  {} by {}: {}",
            message.came,
            tame(&message.bucket),
            tame(&message.source),
            tame(&message.reason)
        ));
        let start: String = message.body.chars().take(SHOWN).collect();
        print_wrapped("  ", &tame(&start));
    }
}
