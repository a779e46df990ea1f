//! Takes jobs from the queue while there is room, and lets `runner` drive each.

use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::mill::Mill;
use super::rescue::LEASE;
use super::runner::{Workshop, drive};
use super::with_causes;
use crate::rule::RuleName;
use crate::rule::book::RuleBook;
use crate::rule::hours::Opening;
use crate::store::Holds;

/// The queue is looked at this often even if nobody says that it changed.
const LOOK: Duration = Duration::from_secs(5);

/// Claims and drives jobs until `stop`; then lets those that run finish for at most the configured `drain`, stops the
/// rest, and returns when all have been let go.
pub async fn run(mill: Arc<Mill>, shop: Arc<Workshop>, holder: String, stop: CancellationToken) {
    let halt = mill.halt.clone();
    let mut runs = JoinSet::new();
    let mut book = mill.book.watch();
    while !stop.is_cancelled() {
        let pause = match fill(&mill, &shop, &holder, &halt, &mut runs).await {
            Ok(pause) => pause,
            Err(error) => {
                tracing::error!(error = %with_causes(&error), "cannot take jobs from the queue");
                LOOK
            }
        };
        // Only here and while jobs drain: what hangs in a round is silent, and the service manager sees that.
        mill.pulse.beat();
        tokio::select! {
            () = stop.cancelled() => break,
            () = mill.queue_changed.notified() => {}
            Ok(()) = book.changed() => {}
            Some(ended) = runs.join_next() => report(ended),
            () = tokio::time::sleep(pause) => {}
        }
    }
    if !runs.is_empty() {
        tracing::info!(
            jobs = runs.len(),
            seconds = mill.config.workers.drain.as_secs(),
            "letting running jobs finish"
        );
    }
    let drained = async {
        while !runs.is_empty() {
            if let Ok(Some(ended)) = tokio::time::timeout(LOOK, runs.join_next()).await {
                report(ended);
            }
            mill.pulse.beat();
        }
    };
    if tokio::time::timeout(mill.config.workers.drain, drained).await.is_err() {
        halt.cancel();
        while let Some(ended) = runs.join_next().await {
            report(ended);
        }
    }
}

/// Claims jobs until there is no place for more or the queue has none. Answers how long to wait for the next that is due.
async fn fill(
    mill: &Arc<Mill>,
    shop: &Arc<Workshop>,
    holder: &str,
    halt: &CancellationToken,
    runs: &mut JoinSet<()>,
) -> Result<Duration, crate::store::StoreError> {
    while mill.running.has_place(mill.config.workers.slots) {
        let now = Timestamp::now();
        let (holds, opens) = holds(&mill.book.get(), &mill.resting.all(now), now, &TimeZone::system());
        let Some(job) = mill.store.claim(holder, &holds, now, now + LEASE).await? else {
            let due = mill.store.next_due(now).await?;
            let due = due.into_iter().chain(opens).min();
            let wait = due.map(|due| due.duration_since(now).max(SignedDuration::from_millis(10)));
            return Ok(wait.and_then(|wait| wait.try_into().ok()).unwrap_or(LOOK).min(LOOK));
        };
        tracing::info!(
            job = %job.id, rule = %job.rule, bucket = %job.object.bucket, key = %job.object.key,
            attempt = job.attempt + 1, "job started"
        );
        let Some(lease) = job.lease.as_ref().map(|lease| lease.number) else {
            continue;
        };
        let token = halt.child_token();
        mill.running.insert(job.id.clone(), lease, token.clone(), now);
        // A newer version may have been accepted between the claim and the line above.
        if job.superseded {
            mill.running
                .stop(&job.id, "superseded by a newer version of the source");
        }
        runs.spawn(drive(mill.clone(), shop.clone(), job, token));
    }
    Ok(LOOK)
}

/// What rules say of the start of their jobs at this moment, and when the next that is closed opens.
fn holds(
    book: &RuleBook,
    resting: &[(RuleName, Timestamp)],
    now: Timestamp,
    zone: &TimeZone,
) -> (Holds, Option<Timestamp>) {
    let mut holds = Holds::default();
    let mut opens: Option<Timestamp> = None;
    for (rule, until) in resting {
        holds.closed.insert(rule.clone());
        opens = Some(opens.map_or(*until, |opens| opens.min(*until)));
    }
    for live in &book.rules {
        let queue = &live.rule.queue;
        if let Some(most) = queue.max_running {
            holds.most.insert(live.rule.name.clone(), most);
        }
        if let Some(Opening::Closed { until }) = queue.hours.as_ref().map(|hours| hours.open(now, zone)) {
            holds.closed.insert(live.rule.name.clone());
            opens = Some(opens.map_or(until, |opens| opens.min(until)));
        }
    }
    (holds, opens)
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "work on a job broke off; its lease will run out");
    }
}
