//! Opening the file: the library's version, the connections, migrations, and what errors mean.

use std::path::Path;
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use super::SqliteStore;
use crate::job::order::Ageing;
use crate::store::StoreError;

/// Older ones can damage a WAL database when a reset of the log meets a checkpoint.
const OLDEST_SQLITE: [u32; 3] = [3, 51, 3];

/// Readers beside the one writer.
const READERS: u32 = 3;

impl SqliteStore {
    /// Opens the database, makes it where there is none, and brings it to the newest form.
    ///
    /// # Errors
    /// [`StoreError::Permanent`], naming the file, where it cannot be used: no permission, no database, damaged,
    /// written by a newer program, or a SQLite library that is too old.
    pub async fn open(path: &Path, ageing: Ageing) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(10))
            .disable_statement_logging();
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .test_before_acquire(false)
            .min_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .acquire_timeout(Duration::from_mins(1))
            .connect_with(
                options
                    .clone()
                    .create_if_missing(true)
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(SqliteSynchronous::Full),
            )
            .await
            .map_err(|error| unusable(path, error.into()))?;
        let version: String = sqlx::query_scalar("SELECT sqlite_version()").fetch_one(&writer).await?;
        require_sqlite(&version)?;
        sqlx::migrate!("src/store/migrations")
            .run(&writer)
            .await
            .map_err(|error| match error {
                sqlx::migrate::MigrateError::VersionMissing(_) | sqlx::migrate::MigrateError::VersionTooNew(..) => {
                    StoreError::Permanent(format!("{} was written by a newer Reelmill", path.display()))
                }
                error => unusable(path, sqlx::Error::from(error).into()),
            })?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .test_before_acquire(false)
            .max_lifetime(None)
            .acquire_timeout(Duration::from_mins(1))
            .connect_with(options.read_only(true))
            .await
            .map_err(|error| unusable(path, error.into()))?;
        let store = Self {
            writer,
            readers,
            ageing,
            path: path.to_owned(),
        };
        store.rank_anew().await?;
        Ok(store)
    }

    /// Ranks depend on what a level of priority is worth; where the config changed that, those of queued jobs
    /// are computed again.
    async fn rank_anew(&self) -> Result<(), StoreError> {
        let level = self.ageing.weight();
        let mut tx = self.write().await?;
        let changed = sqlx::query("UPDATE counters SET value = ?1 WHERE name = 'level' AND value <> ?1")
            .bind(level)
            .execute(&mut *tx)
            .await?
            .rows_affected();
        if changed > 0 {
            sqlx::query("UPDATE jobs SET rank = created - priority * ? WHERE state IN ('queued', 'running')")
                .bind(level)
                .execute(&mut *tx)
                .await?;
        }
        Ok(tx.commit().await?)
    }
}

fn require_sqlite(version: &str) -> Result<(), StoreError> {
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
    let found: [u32; 3] = std::array::from_fn(|_| parts.next().unwrap_or(0));
    if found >= OLDEST_SQLITE {
        return Ok(());
    }
    let [major, minor, patch] = OLDEST_SQLITE;
    Err(StoreError::Permanent(format!(
        "this program was built with SQLite {version}, which can damage databases; it needs {major}.{minor}.{patch} or newer"
    )))
}

fn unusable(path: &Path, error: StoreError) -> StoreError {
    match error {
        StoreError::Permanent(message) => {
            StoreError::Permanent(format!("the database {} cannot be used: {message}", path.display()))
        }
        other => other,
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        /// SQLite's primary result codes: busy, locked, I/O error, full.
        const PASSING: [u32; 4] = [5, 6, 10, 13];
        let passes = match &error {
            sqlx::Error::Database(database) => database
                .code()
                .and_then(|code| code.parse::<u32>().ok())
                .is_some_and(|code| PASSING.contains(&(code & 0xff))),
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed | sqlx::Error::Io(_) => {
                true
            }
            _ => false,
        };
        if passes {
            Self::Transient(Box::new(error))
        } else {
            Self::Permanent(error.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_that_can_damage_databases_is_refused() {
        for good in ["3.51.3", "3.51.10", "3.52.0", "4.0.0"] {
            assert!(require_sqlite(good).is_ok(), "{good}");
        }
        for bad in ["3.51.2", "3.45.1", "3.9.99", "", "odd"] {
            assert!(require_sqlite(bad).is_err(), "{bad}");
        }
    }
}
