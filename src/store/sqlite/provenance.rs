//! How the outputs of tasks came to be.

use sqlx::SqliteConnection;

use crate::job::JobId;
use crate::rule::TaskId;
use crate::store::StoreError;

/// Keeps it in place of what was kept before.
pub async fn keep(db: &mut SqliteConnection, job: &JobId, task: &TaskId, text: &str) -> Result<(), StoreError> {
    sqlx::query("INSERT OR REPLACE INTO provenance (job, task, text) SELECT seq, ?, ? FROM jobs WHERE id = ?")
        .bind(task.as_str())
        .bind(text)
        .bind(job.as_str())
        .execute(db)
        .await?;
    Ok(())
}

/// What is kept of a job, by task.
pub async fn of(db: &mut SqliteConnection, job: &JobId) -> Result<Vec<String>, StoreError> {
    let found = sqlx::query_scalar(
        "SELECT text FROM provenance JOIN jobs ON jobs.seq = provenance.job WHERE jobs.id = ? ORDER BY task",
    )
    .bind(job.as_str())
    .fetch_all(db)
    .await?;
    Ok(found)
}
