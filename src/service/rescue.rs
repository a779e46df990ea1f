//! Keeps the leases of running jobs alive, and takes back jobs whose lease ran out.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

use super::mill::Mill;
use super::with_causes;
use crate::store::StoreError;

/// How long a lease is believed without a sign of life.
pub const LEASE: SignedDuration = SignedDuration::from_secs(60);

/// How often it is prolonged.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Repeats [`tick`] until `stop`.
pub async fn run(mill: Arc<Mill>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(HEARTBEAT) => {}
        }
        let now = Timestamp::now();
        let (ok, message) = match tick(&mill, now).await {
            Ok(()) => (true, "writes".to_owned()),
            Err(error) => (false, with_causes(&error)),
        };
        if mill.health.set("database", ok, message.as_str(), now) && !ok {
            tracing::error!(message, "the database does not take writes");
        }
    }
}

/// One round: prolongs what runs here, stops what is no longer ours, takes back what nobody holds.
pub async fn tick(mill: &Mill, now: Timestamp) -> Result<(), StoreError> {
    let held = mill.running.leases();
    let kept = mill.store.renew(&held, now + LEASE).await?;
    for (job, _) in &held {
        if !kept.contains(job) && mill.running.stop(job, "its lease was lost") {
            tracing::warn!(%job, "lease lost");
        }
    }
    let taken = mill.store.take_back(None, now).await?;
    if taken > 0 {
        tracing::warn!(jobs = taken, "jobs taken back whose lease had run out");
        mill.queue_changed.notify_one();
    }
    Ok(())
}
