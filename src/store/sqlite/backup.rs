//! A copy of the database at one moment, taken while others read and write.
//!
//! The copy appears under its name whole or not at all, is durable then, and may be read by nobody but its owner. A
//! file that is there already is never touched.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};

use crate::store::BackupError;

/// What SQLite says of a full disk.
const FULL: &str = "13";

/// Copies the database `from` into the new file `to`. Answers its size.
///
/// # Errors
/// Where the file is there, cannot be written, or the database cannot be read.
pub async fn copy(from: &Path, to: &Path) -> Result<u64, BackupError> {
    let half = beside(to);
    let made = to.to_owned();
    let path = half.clone();
    blocking(move || prepare(&made, &path)).await?;
    let copied = vacuum(from, &half, to).await;
    let (path, to) = (half.clone(), to.to_owned());
    let finished = match copied {
        Ok(()) => blocking(move || finish(&path, &to)).await,
        Err(error) => Err(error),
    };
    if finished.is_err() {
        std::fs::remove_file(&half).ok();
    }
    finished
}

/// A name of our own beside the wanted one.
fn beside(to: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(to.file_name().unwrap_or_default());
    name.push(format!(".{:08x}.part", rand::random::<u32>()));
    to.with_file_name(name)
}

fn prepare(to: &Path, half: &Path) -> Result<(), BackupError> {
    match to.symlink_metadata() {
        Ok(_) => return Err(BackupError::Exists(to.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => {
            return Err(BackupError::Write {
                path: to.to_owned(),
                source,
            });
        }
    }
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(half);
    made.map(|_| ()).map_err(|source| BackupError::Write {
        path: to.to_owned(),
        source,
    })
}

async fn vacuum(from: &Path, half: &Path, to: &Path) -> Result<(), BackupError> {
    let failed = |error: sqlx::Error| BackupError::Read {
        path: from.to_owned(),
        source: Box::new(error),
    };
    let mut connection = SqliteConnectOptions::new()
        .filename(from)
        .busy_timeout(std::time::Duration::from_mins(1))
        .disable_statement_logging()
        .connect()
        .await
        .map_err(failed)?;
    let name = half.to_str().ok_or_else(|| BackupError::Write {
        path: half.to_owned(),
        source: io::Error::new(io::ErrorKind::InvalidFilename, "SQLite takes names that are UTF-8 only"),
    })?;
    let copied = sqlx::query("VACUUM INTO ?").bind(name).execute(&mut connection).await;
    connection.close().await.ok();
    copied.map(|_| ()).map_err(|error| {
        let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
        if code.as_deref() == Some(FULL) {
            return BackupError::Write {
                path: to.to_owned(),
                source: io::ErrorKind::StorageFull.into(),
            };
        }
        failed(error)
    })
}

fn finish(half: &Path, to: &Path) -> Result<u64, BackupError> {
    let failed = |source: io::Error| BackupError::Write {
        path: to.to_owned(),
        source,
    };
    let file = File::open(half).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    match renameat_with(CWD, half, CWD, to, RenameFlags::NOREPLACE) {
        Err(rustix::io::Errno::EXIST) => return Err(BackupError::Exists(to.to_owned())),
        // Not every file system can refuse to replace; a second name can be refused on nearly all of them.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            std::fs::hard_link(half, to).map_err(failed)?;
            std::fs::remove_file(half).map_err(failed)?;
        }
        other => other.map_err(|errno| failed(errno.into()))?,
    }
    let folder = match to.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(failed)?;
    Ok(size)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BackupError> + Send + 'static,
) -> Result<T, BackupError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
