//! Tells the service manager (systemd) how the daemon stands: ready, reloading, stopping, alive, and in one line what it
//! does. Without `NOTIFY_SOCKET` there is nobody to tell, and nothing is done.
//!
//! It says that the daemon lives only when the loop that makes progress has come round: it passes beats on and makes
//! none, so a dispatch that hangs is silent, and the service manager restarts the daemon.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::mill::{Mill, Part};
use super::pulse::Reloads;
use crate::job::JobState;
use crate::object::BucketName;

/// How often the line about the state is made anew.
const LOOK: Duration = Duration::from_secs(5);
/// Beats that follow each other faster are passed on as one.
const BEAT: Duration = Duration::from_secs(1);
/// A stopping daemon asks for so much more time with each beat, and for so much to end workers and close the database.
const MORE_TIME: Duration = Duration::from_mins(1);

/// Supervises until `stop`; from `stopping` on it says that the daemon stops.
pub async fn run(mill: Arc<Mill>, stopping: CancellationToken, stop: CancellationToken) {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        stop.cancelled().await;
        return;
    }
    let mut teller = Teller::default();
    let is_watched = sd_notify::watchdog_enabled().is_some();
    let mut beats = mill.pulse.watch_beats();
    let mut listed = mill.pulse.watch_listed();
    let mut reloads = mill.pulse.watch_reloads();
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last_beat: Option<Instant> = None;
    loop {
        // The sender of each lives in the mill: these never end.
        tokio::select! {
            biased;
            () = stopping.cancelled(), if !teller.stopping => {
                teller.stop();
                teller.status(&status(&mill, true).await);
            }
            () = stop.cancelled() => return,
            _ = listed.changed(), if !teller.ready => {}
            _ = reloads.changed(), if !teller.stopping => {}
            _ = beats.changed() => {
                if last_beat.is_none_or(|last| last.elapsed() >= BEAT) {
                    last_beat = Some(Instant::now());
                    teller.beat(is_watched);
                }
            }
            _ = look.tick() => teller.status(&status(&mill, teller.stopping).await),
        }
        if !teller.stopping {
            if !teller.ready && all_listed(&wanted(&mill), &listed.borrow()) {
                teller.get_ready();
            }
            teller.reload(*reloads.borrow());
        }
    }
}

/// Buckets that an enabled rule watches.
fn wanted(mill: &Mill) -> BTreeSet<BucketName> {
    let book = mill.book.get();
    let is_wanted = |name: &&BucketName| book.enabled_for(name).next().is_some();
    mill.buckets.keys().filter(is_wanted).cloned().collect()
}

fn all_listed(wanted: &BTreeSet<BucketName>, listed: &BTreeSet<BucketName>) -> bool {
    wanted.is_subset(listed)
}

async fn status(mill: &Mill, stopping: bool) -> String {
    let running = mill.running.len();
    // A database that takes its time must not hold up beats.
    let counts = tokio::time::timeout(BEAT, mill.store.counts()).await;
    let queued = counts.ok().and_then(Result::ok).map(|counts| {
        let queued = counts.iter().filter(|count| count.state == JobState::Queued);
        queued.map(|count| count.count).sum()
    });
    line(running, queued, &mill.health.all(), stopping)
}

/// What the daemon does, in one line.
fn line(running: usize, queued: Option<u64>, parts: &BTreeMap<String, Part>, stopping: bool) -> String {
    let jobs = if running == 1 { "job" } else { "jobs" };
    if stopping {
        return format!("Stopping; {running} {jobs} still running");
    }
    let queued = queued.map_or_else(|| "?".to_owned(), |queued| queued.to_string());
    let mut text = format!("{running} {jobs} running, {queued} queued");
    let unwell: Vec<_> = parts
        .iter()
        .filter(|(_, part)| !part.ok)
        .map(|(name, _)| name.as_str())
        .collect();
    if !unwell.is_empty() {
        text.push_str("; not well: ");
        text.push_str(&unwell.join(", "));
    }
    text
}

/// What the service manager was told.
#[derive(Debug, Default)]
struct Teller {
    ready: bool,
    stopping: bool,
    /// The wish that was last told as "reloading", and the one that "ready" followed.
    reloading: u64,
    reloaded: u64,
    status: String,
    /// Whether it was said in the log that nobody listens.
    deaf: bool,
}

impl Teller {
    fn get_ready(&mut self) {
        self.ready = true;
        self.tell(&[NotifyState::Ready]);
        tracing::info!("ready");
    }

    fn reload(&mut self, reloads: Reloads) {
        if !self.ready {
            // Whoever is not ready cannot be reloading; what was asked till then is part of getting ready.
            self.reloading = reloads.asked;
            self.reloaded = reloads.asked;
            return;
        }
        if reloads.asked > self.reloading {
            self.reloading = reloads.asked;
            // From systemd 253 on, `Type=notify-reload` compares this time with the time of its signal.
            match NotifyState::monotonic_usec_now() {
                Ok(now) => self.tell(&[NotifyState::Reloading, now]),
                Err(_) => self.tell(&[NotifyState::Reloading]),
            }
        }
        if self.reloaded < self.reloading && reloads.done >= self.reloading {
            self.reloaded = self.reloading;
            self.tell(&[NotifyState::Ready]);
        }
    }

    fn stop(&mut self) {
        self.stopping = true;
        self.tell(&[NotifyState::Stopping, more_time()]);
    }

    fn beat(&mut self, is_watched: bool) {
        let mut words = Vec::new();
        if is_watched {
            words.push(NotifyState::Watchdog);
        }
        if self.stopping {
            words.push(more_time());
        }
        if !words.is_empty() {
            self.tell(&words);
        }
    }

    fn status(&mut self, status: &str) {
        if status != self.status {
            status.clone_into(&mut self.status);
            self.tell(&[NotifyState::Status(status)]);
        }
    }

    fn tell(&mut self, words: &[NotifyState<'_>]) {
        if let Err(error) = sd_notify::notify(words)
            && !std::mem::replace(&mut self.deaf, true)
        {
            tracing::warn!(%error, "the service manager cannot be told how the daemon stands");
        }
    }
}

fn more_time() -> NotifyState<'static> {
    NotifyState::ExtendTimeoutUsec(u32::try_from(MORE_TIME.as_micros()).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    #[test]
    fn the_line_says_what_runs_what_waits_and_what_is_unwell() {
        let part = |ok| Part {
            ok,
            message: String::new(),
            since: Timestamp::UNIX_EPOCH,
        };
        let well = BTreeMap::from([("rules".to_owned(), part(true))]);
        assert_eq!(line(1, Some(4), &well, false), "1 job running, 4 queued");
        assert_eq!(line(0, None, &well, false), "0 jobs running, ? queued");
        let unwell = BTreeMap::from([
            ("rules".to_owned(), part(true)),
            ("watch:inbox".to_owned(), part(false)),
        ]);
        assert_eq!(
            line(2, Some(0), &unwell, false),
            "2 jobs running, 0 queued; not well: watch:inbox"
        );
        assert_eq!(line(2, Some(9), &unwell, true), "Stopping; 2 jobs still running");
    }

    #[test]
    fn it_is_ready_once_every_bucket_that_a_rule_watches_is_being_listed() {
        let set = |names: &[&str]| names.iter().map(|name| name.parse().expect("a name")).collect();
        assert!(all_listed(&set(&[]), &set(&[])));
        assert!(all_listed(&set(&["a"]), &set(&["a", "b"])));
        assert!(!all_listed(&set(&["a", "b"]), &set(&["a"])));
    }
}
