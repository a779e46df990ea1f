//! Forgets jobs that ended long ago, or are more than the config keeps: a few at a time, with a pause, so that the queue
//! does not wait. The ledger and the owners of outputs are kept for ever.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

use super::mill::Mill;
use super::with_causes;
use crate::store::StoreError;

/// How often to look.
const LOOK: Duration = Duration::from_mins(10);
/// How soon after the start.
const FIRST: Duration = Duration::from_secs(5);
/// Jobs forgotten in one transaction.
const BATCH: u32 = 50;
/// Between two of them.
const PAUSE: Duration = Duration::from_millis(50);

/// Repeats [`tick`] until there is nothing to forget, and looks again later, until `stop`.
pub async fn run(mill: Arc<Mill>, stop: CancellationToken) {
    let mut wait = FIRST;
    let mut forgotten = 0;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
        wait = match tick(&mill, Timestamp::now()).await {
            Ok(0) => {
                if forgotten > 0 {
                    tracing::info!(jobs = forgotten, "old jobs forgotten");
                }
                forgotten = 0;
                LOOK
            }
            Ok(count) => {
                forgotten += count;
                PAUSE
            }
            Err(error) => {
                tracing::error!(error = %with_causes(&error), "cannot forget old jobs");
                LOOK
            }
        };
    }
}

/// Forgets some of what is too old or too much; answers how many jobs.
pub async fn tick(mill: &Mill, now: Timestamp) -> Result<u64, StoreError> {
    let history = &mill.config.history;
    let ended_by = history.keep.and_then(|keep| {
        let keep = SignedDuration::try_from(keep).ok()?;
        now.checked_sub(keep).ok()
    });
    if ended_by.is_none() && history.keep_jobs.is_none() {
        return Ok(0);
    }
    mill.store.forget_jobs(ended_by, history.keep_jobs, BATCH, now).await
}
