//! What is wanted: rule files become checked [`Rule`]s, and objects are matched against them.
//!
//! A [`Rule`] comes only from [`check`], so whoever holds one need not doubt it. Nothing here does
//! I/O: texts come in, rules and diagnostics go out.

pub mod access;
pub mod asset;
pub mod book;
pub mod check;
pub mod edit;
mod grants;
pub mod hours;
pub mod index;
pub mod matching;
pub mod names;
pub mod preset;
pub mod renewal;
pub mod source;
pub mod stored;
mod task;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::job::Priority;
use crate::object::{BucketName, Directory, InvalidName};
pub use grants::Grants;
pub use task::overlay;
pub use task::{
    Adaptive, Animation, AnimationFormat, AudioCodec, AudioSpec, Choice, Clips, Container, Deinterlace, Encryption,
    Extract, Fit, Forms, Gop, Hdr, ImageFormat, Inspect, Loudness, Moments, PACKAGED, Part, Pick, Pipeline, Point,
    RateMode, Rendition, Renditions, Rung, SegmentForm, Sides, SizeSpec, Snapshot, Sprite, TaskKind, TextForm, Track,
    Tracks, Transcode, Treatment, VideoCodec, VideoRate, VideoSpec, Waveform,
};

/// The name of a rule: 1 to 128 characters, none of them a control character or `/`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RuleName(String);

impl RuleName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RuleName {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let count = text.chars().count();
        if (1..=128).contains(&count) && text.trim() == text && !text.chars().any(|c| c.is_control() || c == '/') {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidName(
                "a rule's name is 1 to 128 characters without '/', control characters, or space at either end",
            ))
        }
    }
}

impl TryFrom<String> for RuleName {
    type Error = InvalidName;
    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<RuleName> for String {
    fn from(name: RuleName) -> Self {
        name.0
    }
}

impl fmt::Display for RuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The id of a task within its rule: the name of its table. 1 to 64 letters, digits, `-` and `_`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TaskId(String);

impl TaskId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TaskId {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let bytes = text.as_bytes();
        if (1..=64).contains(&bytes.len()) && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(b)) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidName("a task's id is 1 to 64 letters, digits, '-' or '_'"))
        }
    }
}

impl TryFrom<String> for TaskId {
    type Error = InvalidName;
    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<TaskId> for String {
    fn from(id: TaskId) -> Self {
        id.0
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The version of a rule: a hash of its text and of what it names, as 16 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RuleVersion(pub String);

impl fmt::Display for RuleVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One checked rule.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Unique among the rules of one daemon.
    pub name: RuleName,
    /// Changes with every change of meaning; turning `enabled` on or off does not change it.
    pub version: RuleVersion,
    /// What the file says; whether the rule *is* enabled, the store remembers.
    pub enabled: bool,
    /// -10 ..= 10.
    pub priority: Priority,
    /// Which objects start a job.
    pub trigger: Trigger,
    /// Where results go.
    pub output: OutputSpec,
    /// In the order of the file; `after` names only tasks of this rule and forms no cycle.
    pub tasks: Vec<Task>,
    /// Attempts and clocks of a run.
    pub retry: RetryPolicy,
    /// What to leave in the output directory when a medium fails for good.
    pub on_failure: OnFailure,
    /// A truncated or corrupt source is a failure, not a finding.
    pub strict: bool,
    /// How its tasks read the source.
    pub input: Input,
    /// When its jobs start, and how many at once.
    pub queue: QueueSpec,
    /// What becomes of the source; none: it is left alone.
    pub after_success: Option<source::AfterSuccess>,
}

/// `input`: how tasks read a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Input {
    /// As it is needed; nothing of a source far away is stored whole.
    #[default]
    Stream,
    /// A source far away is fetched whole before the first task begins.
    Download,
}

/// `max_running` and `enabled_hours`: they hold back jobs, and never keep them from being made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct QueueSpec {
    /// At most so many of its jobs run at once, 1 ..= 1000; none: no limit but the slots.
    pub max_running: Option<u32>,
    /// Jobs start only within these; none: at any time.
    pub hours: Option<hours::Hours>,
}

impl Rule {
    /// The task with this id.
    #[must_use]
    pub fn task(&self, id: &TaskId) -> Option<&Task> {
        self.tasks.iter().find(|task| &task.id == id)
    }

    /// The buckets of which its tasks name objects.
    #[must_use]
    pub fn buckets_of_assets(&self) -> Vec<BucketName> {
        let assets = self.tasks.iter().flat_map(|task| task.kind.assets());
        let bucket = |one: asset::AssetUse| match one.asset {
            asset::Asset::Object { bucket, .. } => Some(bucket),
            asset::Asset::Beside(_) | asset::Asset::SystemFont => None,
        };
        assets.filter_map(bucket).collect()
    }

    /// Whether one of its tasks opens the source by its path.
    #[must_use]
    pub fn wants_file(&self) -> bool {
        let opens = |task: &Task| matches!(&task.kind, TaskKind::Pipeline(pipeline) if pipeline.wants_file());
        self.tasks.iter().any(opens)
    }
}

/// The condition under which an object starts a job.
#[derive(Debug, Clone)]
pub struct Trigger {
    /// The bucket that is watched.
    pub bucket: BucketName,
    /// Whole path segments; the default is the whole bucket.
    pub directory: Directory,
    /// By extension, without regard to case.
    pub formats: Formats,
    /// Any of these must match the key, where there are any.
    pub include: Globs,
    /// None of these may match the key.
    pub exclude: Globs,
    /// Smallest size in bytes.
    pub min_size: Option<u64>,
    /// Largest size in bytes.
    pub max_size: Option<u64>,
    /// What happens to objects that were there when the rule was enabled.
    pub existing: Existing,
    /// Objects that Reelmill wrote may start this rule.
    pub outputs: bool,
}

/// A set of globs over whole keys, kept with the texts that they came from.
#[derive(Debug, Clone)]
pub struct Globs {
    /// As written.
    pub patterns: Vec<String>,
    /// Compiled.
    pub set: globset::GlobSet,
}

/// Which extensions a trigger takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Formats {
    /// `"*"`: whatever the name.
    Any,
    /// The default: every extension known to be a medium.
    Known,
    /// These, in lower case, without dots.
    List(Vec<String>),
}

/// `trigger.existing`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Existing {
    /// They count as already seen.
    #[default]
    Ignore,
    /// They start jobs like new ones.
    Process,
}

/// `[output]`.
#[derive(Debug, Clone)]
pub struct OutputSpec {
    /// Where results go.
    pub bucket: BucketName,
    /// None: the object's own directory.
    pub directory: Option<Directory>,
    /// May replace files that are not this rule's own for this source.
    pub overwrite: bool,
    /// None: the default names.
    pub path: Option<names::Template>,
    /// Who owns results and who may read them.
    pub access: access::AccessSpec,
    /// How they are stored in a bucket over a network.
    pub stored: stored::StoredSpec,
}

/// One node of a rule's graph.
#[derive(Debug, Clone)]
pub struct Task {
    /// Unique within the rule.
    pub id: TaskId,
    /// Tasks that must have ended before.
    pub after: Vec<TaskId>,
    /// How they must have ended.
    pub when: When,
    /// What to do.
    pub kind: TaskKind,
}

/// How the tasks in `after` must have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// All of them succeeded.
    #[default]
    Succeeded,
    /// At least one failed, and all have ended.
    Failed,
    /// All have ended, however.
    Any,
}

/// `[retry]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// 1 ..= 20.
    pub attempts: u32,
    /// Longest time for one run; none: no limit.
    pub timeout: Option<Duration>,
    /// A run in which nothing moved for this long is killed.
    pub stall: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 3,
            timeout: None,
            stall: Duration::from_mins(1),
        }
    }
}

/// `on_failure`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// A note in a directory, nothing in a bucket over a network.
    Usual,
    /// `NAME.failed.txt` in the output directory says why, and goes away with the next success.
    Note,
    /// Nothing.
    None,
}
