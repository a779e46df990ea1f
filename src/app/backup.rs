//! A copy of the database while the daemon works.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{App, AppError};
use crate::service::with_causes;
use crate::store::BackupError;

/// A backup that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupView {
    /// The file.
    pub file: String,
    /// Its size.
    pub bytes: u64,
}

impl App {
    /// Copies the database into a new file.
    ///
    /// # Errors
    /// Where the file is there, or the daemon cannot write it.
    pub async fn backup(&self, file: &str) -> Result<BackupView, AppError> {
        let path = Path::new(file);
        if !path.is_absolute() || path.file_name().is_none() {
            return Err(AppError::BadRequest(
                "a backup needs the absolute path of a file".to_owned(),
            ));
        }
        let bytes = self.mill.store.backup(path).await.map_err(|error| refusal(&error))?;
        tracing::info!(file, bytes, "backup written");
        Ok(BackupView {
            file: file.to_owned(),
            bytes,
        })
    }
}

fn refusal(error: &BackupError) -> AppError {
    let words = with_causes(error);
    match error {
        BackupError::Exists(_) => AppError::Conflict(words),
        BackupError::Write { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            AppError::NotFound(format!("{words}: its directory is not there"))
        }
        BackupError::Write { source, .. }
            if matches!(
                source.kind(),
                std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem
            ) =>
        {
            AppError::Forbidden(format!(
                "{words}: the daemon writes it, as user {}; name a directory that this user may write to",
                rustix::process::geteuid().as_raw()
            ))
        }
        BackupError::Write { .. } => AppError::Unavailable(words),
        BackupError::Read { .. } => AppError::Internal(words),
    }
}
