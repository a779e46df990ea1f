//! What people may do to the queue: pause and resume it, give a job another place, fill it with what exists.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::holding::PauseView;
use super::view::{JobView, key_texts};
use super::{App, AppError};
use crate::diagnostic::quantity;
use crate::job::{JobState, Priority};
use crate::object::Object;
use crate::rule::RuleName;
use crate::rule::book::LiveRule;
use crate::service::backfill::{self, BackfillError, Wish};

/// The longest text that people may give as a reason or context, in characters.
pub const LONGEST_TEXT: usize = 1000;

/// The keys that a backfill names where not all are asked for.
const FIRST_KEYS: usize = 20;

/// What became of resuming.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResumeView {
    /// The rule; none: the whole mill.
    pub rule: Option<String>,
    /// It was paused.
    pub changed: bool,
    /// What is paused still.
    pub paused: Vec<PauseView>,
}

/// What became of a backfill, or would.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackfillView {
    /// Of this rule.
    pub rule: String,
    /// Nothing was changed.
    pub dry_run: bool,
    /// Only objects changed at or after this time.
    pub since: Option<Timestamp>,
    /// The priority of the jobs.
    pub priority: i64,
    /// Objects listed.
    pub listed: u64,
    /// Objects that the trigger takes and that are new enough.
    pub matching: u64,
    /// Jobs made, or that would be.
    pub queued: u64,
    /// Bytes of their objects.
    pub size: u64,
    /// Left out: done before, or with a job that waits or runs.
    pub known: u64,
    /// Left out: Reelmill wrote them.
    pub own: u64,
    /// Left out: somebody writes to them, or they are gone.
    pub busy: u64,
    /// The first of the objects that were or would be queued; all of them where that was asked for.
    pub objects: Vec<BackfillObject>,
}

/// An object that was or would be queued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackfillObject {
    /// Its key, readable.
    pub key: String,
    /// The true key in base64, only where it is not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_bytes: Option<String>,
    /// In bytes.
    pub size: u64,
}

/// A wish to queue what exists.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackfillWish {
    /// For this rule.
    pub rule: String,
    /// A time or an age, as people write it.
    #[serde(default)]
    pub since: Option<String>,
    /// Instead of the rule's own.
    #[serde(default)]
    pub priority: Option<i64>,
    /// Only say what would be queued.
    #[serde(default)]
    pub dry_run: bool,
    /// Name every object, not only the first.
    #[serde(default)]
    pub all: bool,
}

impl App {
    /// Lets no job of a rule, or of any, start until it is resumed; running ones finish.
    ///
    /// # Errors
    /// Where there is no such rule, or the store does not answer.
    pub async fn pause(&self, rule: Option<&str>, reason: Option<&str>) -> Result<PauseView, AppError> {
        let name = match rule {
            None => None,
            Some(text) => Some(self.live(text)?.rule.name.clone()),
        };
        let reason = short(reason, "a reason")?;
        let pause = self.mill.store.pause(name.as_ref(), reason, Timestamp::now()).await?;
        tracing::info!(rule = name.as_ref().map(RuleName::as_str), reason, "paused");
        Ok(PauseView::from(&pause))
    }

    /// Lets the jobs of a rule, or of all that are not paused by themselves, start again.
    ///
    /// # Errors
    /// Where there is no such rule, or the store does not answer.
    pub async fn resume(&self, rule: Option<&str>) -> Result<ResumeView, AppError> {
        let name = rule.map(str::parse::<RuleName>).transpose();
        let name = name.map_err(|error| AppError::BadRequest(error.to_string()))?;
        let changed = self.mill.store.resume(name.as_ref()).await?;
        // A rule whose file is gone may be paused still.
        if !changed && let Some(name) = &name {
            self.live(name.as_str())?;
        }
        if changed {
            tracing::info!(rule = name.as_ref().map(RuleName::as_str), "resumed");
            self.mill.queue_changed.notify_one();
        }
        let paused = self.mill.store.pauses().await?;
        Ok(ResumeView {
            rule: name.map(String::from),
            changed,
            paused: paused.iter().map(PauseView::from).collect(),
        })
    }

    /// Gives a queued job another priority.
    ///
    /// # Errors
    /// Where there is no such job, or it does not wait any more.
    pub async fn prioritize(&self, id: &str, priority: i64) -> Result<JobView, AppError> {
        let priority = Priority::new(priority).map_err(|error| AppError::BadRequest(error.to_string()))?;
        let found = self.find(id).await?;
        let job = self.mill.store.prioritize(&found.id, priority).await?;
        match job.state {
            JobState::Queued => self.job(job.id.as_str()).await,
            JobState::Running => Err(AppError::Conflict(format!(
                "job {} runs already, so its place in the queue means nothing now; it keeps priority {}, also where it is tried again",
                job.id,
                job.priority.get()
            ))),
            state => Err(AppError::Conflict(format!(
                "job {} has ended already: {}",
                job.id,
                state.as_str()
            ))),
        }
    }

    /// Queues what lies in a rule's bucket and what it has not dealt with, or says what that would be.
    ///
    /// # Errors
    /// Where there is no such rule, or its bucket or the store does not answer. What was queued by then stays so.
    pub async fn backfill(&self, wish: &BackfillWish) -> Result<BackfillView, AppError> {
        let live = self.live(&wish.rule)?;
        let bad = |error: String| AppError::BadRequest(error);
        let since = wish
            .since
            .as_deref()
            .map(|text| since(text, Timestamp::now(), &TimeZone::system()));
        let priority = wish.priority.map(Priority::new).transpose();
        let wanted = Wish {
            since: since.transpose().map_err(bad)?,
            priority: priority.map_err(|error| AppError::BadRequest(error.to_string()))?,
            dry_run: wish.dry_run,
        };
        let most = if wish.all { usize::MAX } else { FIRST_KEYS };
        let mut objects = Vec::new();
        let name_it = |object: &Object| {
            if objects.len() < most {
                let (key, key_bytes) = key_texts(&object.key);
                objects.push(BackfillObject {
                    key,
                    key_bytes,
                    size: object.identity.size,
                });
            }
        };
        let counts = backfill::backfill(&self.mill, &live, &wanted, name_it)
            .await
            .map_err(|error| match error {
                BackfillError::Bucket(error) => super::requests::bucket_error(&error),
                BackfillError::Store(error) => AppError::from(error),
                BackfillError::Stopping => AppError::Unavailable(error.to_string()),
            })?;
        if !wish.dry_run {
            tracing::info!(rule = %live.rule.name, queued = counts.queued, listed = counts.listed, "backfilled");
        }
        Ok(BackfillView {
            rule: live.rule.name.to_string(),
            dry_run: wish.dry_run,
            since: wanted.since,
            priority: wanted.priority.unwrap_or(live.rule.priority).get(),
            listed: counts.listed,
            matching: counts.matching,
            queued: counts.queued,
            size: counts.size,
            known: counts.known,
            own: counts.own,
            busy: counts.busy,
            objects,
        })
    }

    /// The rule of this name.
    pub(super) fn live(&self, name: &str) -> Result<LiveRule, AppError> {
        let book = self.mill.book.get();
        let found = name.parse::<RuleName>().ok().and_then(|name| book.get(&name).cloned());
        found.ok_or_else(|| {
            let known: Vec<_> = book.rules.iter().map(|live| live.rule.name.as_str()).collect();
            let there = match known.as_slice() {
                [] => "there is none at all".to_owned(),
                known => format!("there are {}", known.join(", ")),
            };
            AppError::NotFound(format!("there is no rule \"{}\"; {there}", name.escape_debug()))
        })
    }
}

/// A text of a person without blanks around it, where it is not too long; none where it says nothing.
pub(super) fn short<'t>(text: Option<&'t str>, what: &str) -> Result<Option<&'t str>, AppError> {
    let text = text.map(str::trim).filter(|text| !text.is_empty());
    match text {
        Some(text) if text.chars().count() > LONGEST_TEXT => Err(AppError::BadRequest(format!(
            "{what} has at most {LONGEST_TEXT} characters; this one has {}",
            text.chars().count()
        ))),
        text => Ok(text),
    }
}

/// A point in the past: an age such as `7d`, a day, a local time, or a time with its zone.
fn since(text: &str, now: Timestamp, zone: &TimeZone) -> Result<Timestamp, String> {
    let text = text.trim();
    let local = |time: DateTime| time.to_zoned(zone.clone()).map(|zoned| zoned.timestamp()).ok();
    let age = || {
        let age = SignedDuration::try_from(quantity::duration(text).filter(|_| !text.contains(':'))?).ok()?;
        now.checked_sub(age).ok()
    };
    age()
        .or_else(|| text.parse::<Timestamp>().ok())
        .or_else(|| local(text.parse::<DateTime>().ok()?))
        .or_else(|| local(text.parse::<Date>().ok()?.to_datetime(jiff::civil::Time::midnight())))
        .ok_or_else(|| {
            format!(
                "\"{}\" is neither a time nor an age; they read \"2026-11-01\", \"2026-11-01T08:00\" or \"7d\"",
                text.escape_debug()
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_an_age_a_day_or_a_moment() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let zone = TimeZone::posix("CET-1").unwrap();
        for (text, wanted) in [
            ("7d", "2026-11-14T12:00:00Z"),
            ("1h30m", "2026-11-21T10:30:00Z"),
            ("2026-11-01", "2026-10-31T23:00:00Z"),
            ("2026-11-01T08:00", "2026-11-01T07:00:00Z"),
            ("2026-11-01T08:00:00Z", "2026-11-01T08:00:00Z"),
        ] {
            assert_eq!(since(text, now, &zone), Ok(wanted.parse().unwrap()), "{text}");
        }
        for wrong in ["", "yesterday", "7", "2026-13-01", "10:30", "-7d"] {
            assert!(since(wrong, now, &zone).is_err(), "{wrong}");
        }
    }
}
