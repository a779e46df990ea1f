//! Why a job that is queued does not start: the same holds that a claim respects, in words.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use std::sync::Arc;

use super::view::JobView;
use super::{App, AppError};
use crate::job::JobState;
use crate::job::hold::Pause;
use crate::rule::RuleName;
use crate::rule::book::RuleBook;
use crate::rule::hours::Opening;
use crate::service::mill::Mill;
use crate::store::JobCount;

/// What a queued job waits for, where it is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitView {
    /// `paused`, `hours`, `resting`, `max_running`.
    pub kind: String,
    /// In words.
    pub message: String,
    /// Until then, where that is known.
    pub until: Option<Timestamp>,
}

/// Something that a person paused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PauseView {
    /// The rule; none: the whole mill.
    pub rule: Option<String>,
    /// Since then.
    pub since: Timestamp,
    /// Why.
    pub reason: Option<String>,
}

impl From<&Pause> for PauseView {
    fn from(pause: &Pause) -> Self {
        Self {
            rule: pause.rule.as_ref().map(ToString::to_string),
            since: pause.since,
            reason: pause.reason.clone(),
        }
    }
}

/// How the queue stands, as far as it holds jobs back.
pub(super) struct Standing {
    /// By people.
    pub pauses: Vec<Pause>,
    counts: Vec<JobCount>,
    mill: Arc<Mill>,
}

impl Standing {
    /// Reads it.
    pub async fn read(app: &App) -> Result<Self, AppError> {
        let pauses = app.mill.store.pauses().await?;
        let limited = app
            .mill
            .book
            .get()
            .rules
            .iter()
            .any(|live| live.rule.queue.max_running.is_some());
        let counts = if limited {
            app.mill.store.counts().await?
        } else {
            Vec::new()
        };
        Ok(Self {
            pauses,
            counts,
            mill: app.mill.clone(),
        })
    }

    /// The pause of this rule; none: of the whole mill.
    pub fn pause(&self, rule: Option<&RuleName>) -> Option<&Pause> {
        self.pauses.iter().find(|pause| pause.rule.as_ref() == rule)
    }

    /// What keeps the jobs of a rule from starting, the strongest first.
    pub fn hold(&self, rule: &RuleName, book: &RuleBook, now: Timestamp, zone: &TimeZone) -> Option<WaitView> {
        let held = |kind: &str, message: String, until: Option<Timestamp>| {
            Some(WaitView {
                kind: kind.to_owned(),
                message,
                until,
            })
        };
        if let Some(pause) = self.pause(None).or_else(|| self.pause(Some(rule))) {
            return held("paused", pause.words(), None);
        }
        let queue = &book.get(rule)?.rule.queue;
        if let Some(hours) = &queue.hours
            && let Opening::Closed { until } = hours.open(now, zone)
        {
            let local = until.to_zoned(zone.clone()).strftime("%a %F %H:%M");
            let words = format!("its jobs start {hours}, so not before {local}");
            return held("hours", words, Some(until));
        }
        if let Some((until, reason)) = self.mill.resting.of(rule, now) {
            return held("resting", reason, Some(until));
        }
        let most = queue.max_running?;
        let running = self
            .counts
            .iter()
            .find(|count| &count.rule == rule && count.state == JobState::Running)
            .map_or(0, |count| count.count);
        if running < u64::from(most) {
            return None;
        }
        let words = format!("{running} of its jobs run, and max_running is {most}");
        held("max_running", words, None)
    }
}

impl App {
    /// Says of queued jobs what they wait for, where they are held.
    pub(super) async fn tell_waits(&self, jobs: &mut [JobView]) -> Result<(), AppError> {
        if jobs.iter().all(|job| job.state != JobState::Queued) {
            return Ok(());
        }
        let standing = Standing::read(self).await?;
        let (book, now, zone) = (self.mill.book.get(), Timestamp::now(), TimeZone::system());
        for job in jobs.iter_mut().filter(|job| job.state == JobState::Queued) {
            job.waits = job
                .rule
                .parse()
                .ok()
                .and_then(|rule| standing.hold(&rule, &book, now, &zone));
        }
        Ok(())
    }
}
