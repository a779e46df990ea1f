//! Brings hints that were kept back into the box: at start, and when there is room again for those that did not fit.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::super::hints::{MOST_WAITING, Told};
use super::super::mill::Mill;
use super::super::with_causes;
use crate::store::StoreError;

/// Hints read at once.
const PAGE: u32 = 1000;
/// How long to wait for room, or for the database.
const AGAIN: Duration = Duration::from_secs(1);
/// How a hint is called whose source is not known any more.
const KEPT: &str = "kept";

/// Repeats [`tick`] until `stop`, once at start and then whenever hints did not fit.
pub async fn run(mill: Arc<Mill>, stop: CancellationToken) {
    let mut after = 0;
    loop {
        match stop.run_until_cancelled(tick(&mill, after)).await {
            None => return,
            Some(Ok(Some(last))) => {
                after = last;
                continue;
            }
            Some(Ok(None)) => {
                after = 0;
                if stop
                    .run_until_cancelled(mill.kept_hints_wait.notified())
                    .await
                    .is_none()
                {
                    return;
                }
            }
            Some(Err(error)) => {
                tracing::error!(error = %with_causes(&error), "kept hints cannot be read; tried again");
            }
        }
        if stop.run_until_cancelled(tokio::time::sleep(AGAIN)).await.is_none() {
            return;
        }
    }
}

/// Brings a page of hints back, once there is room for it; answers the number of the last, none at the end.
pub async fn tick(mill: &Mill, after: i64) -> Result<Option<i64>, StoreError> {
    while mill.hints.len() > MOST_WAITING / 2 {
        tokio::time::sleep(AGAIN).await;
    }
    let page = mill.store.kept_hints(after, PAGE).await?;
    let last = page.last().map(|(number, _)| *number);
    let (known, strange): (Vec<_>, Vec<_>) = page
        .into_iter()
        .partition(|(_, hint)| mill.buckets.contains_key(&hint.bucket));
    if !strange.is_empty() {
        // Their buckets have left the config: nobody looks at them any more.
        let numbers: Vec<i64> = strange.iter().map(|(number, _)| *number).collect();
        mill.store.forget_hints(&numbers).await?;
    }
    for (number, hint) in known {
        let told = Told {
            event: hint.event,
            listed: None,
            kept: Some(number),
        };
        mill.hints.of(&hint.bucket).put_told(hint.key, told, KEPT);
    }
    Ok(last)
}
