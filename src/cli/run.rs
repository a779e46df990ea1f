//! `reelmill run`

use std::path::Path;
use std::process::ExitCode;

use super::arguments::LogFormat;
use super::exit::{Code, Trouble};
use super::{files, log};
use crate::daemon::{self, InUse, NoJail};
use crate::service::rules::LoadError;

/// Runs the daemon until it is told to stop.
pub fn run(said: Option<&Path>, format: LogFormat) -> Result<ExitCode, Trouble> {
    let config = files::config(said)?;
    log::start(format);
    daemon::run(config)
        .map(|()| ExitCode::SUCCESS)
        .map_err(|error| Trouble::new(code(&error), format!("{error:#}")))
}

/// What sort of trouble kept the daemon from starting or working.
fn code(error: &anyhow::Error) -> Code {
    let is_refused = || {
        let io = error.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>());
        io.is_some_and(|error| {
            matches!(
                error.kind(),
                std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem
            )
        })
    };
    if error.is::<InUse>() {
        Code::Temporary
    } else if error.is::<NoJail>() {
        Code::Unavailable
    } else if is_refused() {
        Code::Permission
    } else if matches!(error.downcast_ref(), Some(LoadError::Folder(..))) {
        Code::Config
    } else {
        Code::Internal
    }
}
