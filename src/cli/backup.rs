//! `reelmill backup FILE`

use std::path::Path;
use std::process::ExitCode;

use serde_json::json;

use super::client::Client;
use super::exit::{Code, Trouble};
use super::status::read;
use super::{files, output};
use crate::app::backup::BackupView;
use crate::config::Config;
use crate::service::with_causes;
use crate::store::BackupError;
use crate::store::sqlite;

/// Copies the database: through the daemon where one runs, else by itself.
pub fn backup(said: Option<&Path>, file: &Path, json: bool) -> Result<ExitCode, Trouble> {
    let config = files::config(said)?;
    let path = std::path::absolute(file)
        .map_err(|error| Trouble::io(&format!("cannot use {}", file.display()), &error, Code::CannotCreate))?;
    let Some(text) = path.to_str().filter(|_| path.file_name().is_some()) else {
        let words = format!("{} is no name that a backup can have", file.display());
        return Err(Trouble::new(Code::Usage, words));
    };
    let made = match Client::new(&config)?.post("/v1/backup", &json!({ "file": text })) {
        Ok(answer) => read(answer)?,
        Err(trouble) if trouble.code == Code::Unavailable => alone(&config, &path, &trouble)?,
        Err(trouble) if trouble.code == Code::Failed => {
            return Err(Trouble {
                code: Code::CannotCreate,
                ..trouble
            });
        }
        Err(trouble) => return Err(trouble),
    };
    if json {
        output::print_json(&made);
    } else {
        output::print(&format!(
            "{} holds the whole database ({})",
            output::tame(&made.file),
            output::size(made.bytes)
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// Without a daemon: under its lock, so that none starts meanwhile.
fn alone(config: &Config, to: &Path, no_daemon: &Trouble) -> Result<BackupView, Trouble> {
    let database = config.state.join("reelmill.db");
    if !database.exists() {
        let words = format!("{}, and there is no database {}", no_daemon.message, database.display());
        return Err(Trouble::new(Code::NoInput, words));
    }
    let _lock = crate::daemon::lock(&config.state).map_err(|error| {
        let words = format!("the daemon does not answer, and the database cannot be had without it: {error:#}");
        let denied = error
            .root_cause()
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied);
        Trouble::new(if denied { Code::Permission } else { Code::Temporary }, words)
    })?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Trouble::io("cannot start the runtime", &error, Code::Internal))?;
    let copied = runtime.block_on(sqlite::copy(&database, to));
    let bytes = copied.map_err(|error| {
        let code = match &error {
            BackupError::Write { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => {
                Code::Permission
            }
            BackupError::Exists(_) | BackupError::Write { .. } => Code::CannotCreate,
            BackupError::Read { .. } => Code::Data,
        };
        Trouble::new(code, with_causes(&error))
    })?;
    Ok(BackupView {
        file: to.to_string_lossy().into_owned(),
        bytes,
    })
}
