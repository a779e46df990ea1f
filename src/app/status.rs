//! How things stand: the daemon as a whole, and the rules.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::buckets::{self, BucketView};
use super::holding::{PauseView, Standing, WaitView};
use super::view::JobView;
use super::{App, AppError, MOST_JOBS};
use crate::diagnostic::{Diagnostic, Severity};
use crate::job::JobState;
use crate::rule::book::{ArmingMode, LiveRule, RuleBook};
use crate::rule::{Formats, RuleName};
use crate::store::{JobCount, JobFilter};

/// The daemon as a whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatusView {
    /// Every part works and no rule file is broken.
    pub ok: bool,
    /// Of the program.
    pub version: String,
    /// Process id of the daemon.
    pub pid: u32,
    /// When it started.
    pub started: Timestamp,
    /// Seconds since then.
    pub uptime: u64,
    /// The config file.
    pub config: String,
    /// The folder of rule files.
    pub rules_folder: String,
    /// The state directory.
    pub state: String,
    /// Runs at once.
    pub slots: u32,
    /// Hints that wait to be looked at.
    pub hints: u64,
    /// Declared buckets.
    pub buckets: Vec<BucketView>,
    /// Watching, database and other parts, by name.
    pub parts: BTreeMap<String, PartView>,
    /// The rules.
    pub rules: RulesSummary,
    /// What people paused, the whole mill first.
    #[serde(default)]
    pub paused: Vec<PauseView>,
    /// Jobs by state.
    pub queue: BTreeMap<String, u64>,
    /// Jobs that run.
    pub running: Vec<JobView>,
}

/// How one part stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartView {
    /// Works as it should.
    pub ok: bool,
    /// In words.
    pub message: String,
    /// Since when it is so.
    pub since: Timestamp,
}

/// How many rules there are of which sort.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RulesSummary {
    /// In force.
    pub enabled: u64,
    /// Known and not in force.
    pub disabled: u64,
    /// Files that cannot be used as they are.
    pub broken: Vec<BrokenView>,
}

/// Every rule, and the files that are broken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RulesView {
    /// By name.
    pub rules: Vec<RuleView>,
    /// By file.
    pub broken: Vec<BrokenView>,
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RuleView {
    /// Its name.
    pub name: String,
    /// Its file in the rules folder.
    pub file: String,
    /// In force.
    pub enabled: bool,
    /// Its file is broken now; this is the last good version.
    pub broken: bool,
    /// Since when it is as `enabled` says.
    pub since: Timestamp,
    /// What was there before is still being written down: `enabled` or `widened`.
    pub arming: Option<String>,
    /// The version in force.
    pub version: String,
    /// -10 ..= 10.
    pub priority: i64,
    /// The bucket that it watches.
    pub bucket: String,
    /// The directory there.
    pub directory: String,
    /// The extensions that it takes: a list, `["*"]` for any, empty for every known medium.
    pub formats: Vec<String>,
    /// Where results go.
    pub output_bucket: String,
    /// The directory there; none: the object's own.
    pub output_directory: Option<String>,
    /// A person paused its queue.
    #[serde(default)]
    pub paused: Option<PauseView>,
    /// At most so many of its jobs run at once.
    #[serde(default)]
    pub max_running: Option<u32>,
    /// Jobs start only within these hours; empty: at any time.
    #[serde(default)]
    pub enabled_hours: Vec<String>,
    /// What its jobs wait for, where they are held.
    #[serde(default)]
    pub waits: Option<WaitView>,
    /// Its tasks.
    pub tasks: Vec<RuleTaskView>,
    /// Its jobs by state.
    pub jobs: BTreeMap<String, u64>,
    /// When its newest job was made.
    pub last_job: Option<Timestamp>,
    /// The text of this version.
    pub text: String,
}

/// A task of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleTaskView {
    /// Its id.
    pub id: String,
    /// The word in `kind = "..."`.
    pub kind: String,
    /// Tasks that must have ended before.
    pub after: Vec<String>,
}

/// A rule file that cannot be used as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokenView {
    /// In the rules folder.
    pub file: String,
    /// The rule whose last good version stays in force.
    pub rule: Option<String>,
    /// What is wrong.
    pub diagnostics: Vec<DiagnosticView>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiagnosticView {
    /// Where it lies in another file than the broken one: that of a preset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// `error` or `warning`.
    pub severity: String,
    /// From 1.
    pub line: Option<usize>,
    /// From 1, in characters.
    pub column: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub help: Option<String>,
}

impl App {
    /// How the daemon stands.
    ///
    /// # Errors
    /// Where the store does not answer.
    pub async fn status(&self) -> Result<StatusView, AppError> {
        let mill = &self.mill;
        let now = Timestamp::now();
        let book = mill.book.get();
        let counts = mill.store.counts().await?;
        let running = JobFilter {
            states: vec![JobState::Running],
            limit: MOST_JOBS,
            ..JobFilter::default()
        };
        let parts: BTreeMap<_, _> = mill
            .health
            .all()
            .into_iter()
            .map(|(name, part)| {
                let part = PartView {
                    ok: part.ok,
                    message: part.message,
                    since: part.since,
                };
                (name, part)
            })
            .collect();
        let enabled = book.rules.iter().filter(|live| live.enabled).count() as u64;
        let quarantined = mill.store.quarantine_counts().await?;
        Ok(StatusView {
            ok: book.broken.is_empty() && parts.values().all(|part| part.ok),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started: mill.started,
            uptime: u64::try_from(now.duration_since(mill.started).as_secs()).unwrap_or(0),
            config: mill.config.file.to_string_lossy().into_owned(),
            rules_folder: mill.config.rules.to_string_lossy().into_owned(),
            state: mill.config.state.to_string_lossy().into_owned(),
            slots: mill.config.workers.slots,
            hints: mill.hints.len() as u64,
            buckets: mill
                .config
                .buckets
                .iter()
                .map(|(name, bucket)| buckets::view(mill, name, bucket, &quarantined))
                .collect(),
            parts,
            rules: RulesSummary {
                enabled,
                disabled: book.rules.len() as u64 - enabled,
                broken: broken(&book),
            },
            paused: self.mill.store.pauses().await?.iter().map(PauseView::from).collect(),
            queue: by_state(&counts, None),
            running: self.jobs(&running).await?,
        })
    }

    /// Every rule, and the files that are broken.
    ///
    /// # Errors
    /// Where the store does not answer.
    pub async fn rules(&self) -> Result<RulesView, AppError> {
        let book = self.mill.book.get();
        let counts = self.mill.store.counts().await?;
        let standing = Standing::read(self).await?;
        Ok(RulesView {
            rules: book
                .rules
                .iter()
                .map(|live| rule(live, &book, &counts, &standing))
                .collect(),
            broken: broken(&book),
        })
    }
}

fn rule(live: &LiveRule, book: &RuleBook, counts: &[JobCount], standing: &Standing) -> RuleView {
    let rule = &live.rule;
    let of_rule = || counts.iter().filter(|count| count.rule == rule.name);
    RuleView {
        name: rule.name.to_string(),
        file: live.file.clone(),
        enabled: live.enabled,
        broken: book
            .broken
            .iter()
            .any(|broken| broken.rule.as_ref() == Some(&rule.name)),
        since: live.since,
        arming: live.arming.as_ref().map(|mode| match mode {
            ArmingMode::Enabled => "enabled".to_owned(),
            ArmingMode::Widened(_) => "widened".to_owned(),
        }),
        version: rule.version.to_string(),
        priority: rule.priority.get(),
        bucket: rule.trigger.bucket.to_string(),
        directory: rule.trigger.directory.as_str().to_owned(),
        formats: match &rule.trigger.formats {
            Formats::Any => vec!["*".to_owned()],
            Formats::Known => Vec::new(),
            Formats::List(list) => list.clone(),
        },
        output_bucket: rule.output.bucket.to_string(),
        output_directory: rule
            .output
            .directory
            .as_ref()
            .map(|directory| directory.as_str().to_owned()),
        paused: standing.pause(Some(&rule.name)).map(PauseView::from),
        max_running: rule.queue.max_running,
        enabled_hours: rule
            .queue
            .hours
            .as_ref()
            .map(crate::rule::hours::Hours::texts)
            .unwrap_or_default(),
        waits: standing.hold(&rule.name, book, Timestamp::now(), &TimeZone::system()),
        tasks: rule
            .tasks
            .iter()
            .map(|task| RuleTaskView {
                id: task.id.to_string(),
                kind: task.kind.name().to_owned(),
                after: task.after.iter().map(ToString::to_string).collect(),
            })
            .collect(),
        jobs: by_state(counts, Some(&rule.name)),
        last_job: of_rule().filter_map(|count| count.latest).max(),
        text: live.text.to_string(),
    }
}

fn broken(book: &RuleBook) -> Vec<BrokenView> {
    book.broken
        .iter()
        .map(|broken| BrokenView {
            file: broken.file.clone(),
            rule: broken.rule.as_ref().map(ToString::to_string),
            diagnostics: broken
                .diagnostics
                .iter()
                .map(|one| diagnostic(one, &broken.file))
                .collect(),
        })
        .collect()
}

fn diagnostic(one: &Diagnostic, broken: &str) -> DiagnosticView {
    let (line, column) = one.position().unzip();
    let elsewhere = one
        .file
        .as_ref()
        .filter(|file| file.path.file_name() != Some(broken.as_ref()));
    DiagnosticView {
        file: elsewhere.map(|file| file.path.to_string_lossy().into_owned()),
        severity: match one.severity {
            Severity::Warning => "warning".to_owned(),
            Severity::Error => "error".to_owned(),
        },
        line,
        column,
        message: one.message.clone(),
        help: one.help.clone(),
    }
}

/// Every state has its figure, so that a reader need not know which may be missing.
pub(super) fn by_state(counts: &[JobCount], rule: Option<&RuleName>) -> BTreeMap<String, u64> {
    let mut sums: BTreeMap<String, u64> = JobState::ALL
        .into_iter()
        .map(|state| (state.as_str().to_owned(), 0))
        .collect();
    for count in counts {
        if rule.is_none_or(|rule| rule == &count.rule) {
            *sums.entry(count.state.as_str().to_owned()).or_default() += count.count;
        }
    }
    sums
}
