//! `reelmill run`

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;

use tracing_subscriber::EnvFilter;

use super::exit::{Code, Trouble};
use super::files;
use crate::daemon;

/// Runs the daemon until it is told to stop.
pub fn run(said: Option<&Path>, json: bool) -> Result<ExitCode, Trouble> {
    let config = files::config(said)?;
    start_log(json);
    daemon::run(config)
        .map(|()| ExitCode::SUCCESS)
        .map_err(|error| Trouble::new(Code::Internal, format!("{error:#}")))
}

/// The log goes to standard error: for people, or as JSON lines; the journal has its own clock. `REELMILL_LOG` says
/// what is logged.
fn start_log(json: bool) {
    let filter = EnvFilter::try_from_env("REELMILL_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colour)
        .with_target(false);
    // A second start in one process keeps the first log.
    if json {
        log.json().try_init().ok();
    } else if std::env::var_os("JOURNAL_STREAM").is_some() {
        log.without_time().try_init().ok();
    } else {
        log.try_init().ok();
    }
}
