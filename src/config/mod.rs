//! `reelmill.toml`: buckets, folders, workers; and the folder of rule files.

mod beside;
mod buckets;
mod load;
mod rules;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::object::BucketName;
pub use beside::read_beside;
pub use load::{NoConfig, check, find, load, read};
pub use rules::{Checked, RuleFiles, check_all, read_presets, read_rules};

/// The checked config file. Paths are absolute.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where it was read from.
    pub file: PathBuf,
    /// Folder of rule files; default: `rules` beside the config file.
    pub rules: PathBuf,
    /// Folder of presets, which need not be there; default: `presets` beside the config file.
    pub presets: PathBuf,
    /// Database, control socket, lock.
    pub state: PathBuf,
    /// `[bucket.NAME]`.
    pub buckets: BTreeMap<BucketName, BucketConfig>,
    /// `[workers]`.
    pub workers: Workers,
    /// `[plugins]`
    pub plugins: Plugins,
    /// `[queue] ageing`.
    pub ageing: Ageing,
    /// `[publish] grace`: how long an output that a later generation does not have stays; default 1 min.
    pub grace: Duration,
    /// `[history]`
    pub history: History,
    /// `[http] listen`: where events about objects are taken; none: nowhere.
    pub http: Option<std::net::SocketAddr>,
}

impl Config {
    /// The folder in which scratch of a bucket lies: its own root, or one in the state directory for a bucket over a
    /// network; one that is not there for a bucket that the config does not know.
    #[must_use]
    pub fn scratch_root(&self, bucket: &BucketName) -> PathBuf {
        match self.buckets.get(bucket).map(|known| &known.place) {
            Some(Place::Local(local)) => local.path.clone(),
            Some(Place::S3(_)) => self.state.join("remote").join(bucket.as_str()),
            None => PathBuf::from("/nonexistent"),
        }
    }
}

/// `[bucket.NAME]`: a place for objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketConfig {
    /// Where it is.
    pub place: Place,
    /// How often everything is listed, whatever else watches; default 1 h, and 1 min for a bucket over a network about
    /// which nobody sends events.
    pub sweep: Duration,
}

/// Where a bucket is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A local directory.
    Local(LocalConfig),
    /// A bucket over a network.
    S3(Box<S3Config>),
}

/// A bucket that is a local directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalConfig {
    /// The directory.
    pub path: PathBuf,
    /// How often it is walked where the file system sends no events; default 10 s.
    pub poll: Duration,
    /// How long a file must stay as it is where writers cannot be seen; default 2 s.
    pub settle: Duration,
}

/// A bucket that is reached by the S3 protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Config {
    /// The name that the server knows it by; default: the table's name.
    pub s3: String,
    /// The server, as a URL; none: AWS.
    pub endpoint: Option<String>,
    /// Its region; none: as the environment or the profile says, else `us-east-1`.
    pub region: Option<String>,
    /// The profile that credentials come from; none: the usual chain.
    pub profile: Option<String>,
    /// Whether the bucket's name stands in the path of a URL; default: for endpoints that are not AWS.
    pub path_style: bool,
    /// A file of certificates to trust, in PEM, besides those of the system.
    pub ca: Option<PathBuf>,
    /// Who tells of new objects; listing is always done besides.
    pub watch: Vec<WatchSource>,
    /// `sqs = { ... }`
    pub sqs: Option<SqsConfig>,
    /// `webhook = { ... }`
    pub webhook: Option<WebhookConfig>,
}

impl S3Config {
    /// Whether it is AWS itself.
    #[must_use]
    pub fn is_aws(&self) -> bool {
        self.endpoint.as_deref().is_none_or(|endpoint| {
            let host = endpoint.split("://").nth(1).unwrap_or(endpoint);
            let host = host.split(['/', ':']).next().unwrap_or(host);
            [".amazonaws.com", ".amazonaws.com.cn"]
                .iter()
                .any(|suffix| host.ends_with(suffix))
        })
    }
}

/// Who tells of new objects in a bucket over a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum WatchSource {
    /// MinIO's stream of notifications.
    Listen,
    /// A queue of Amazon SQS.
    Sqs,
    /// Requests to this daemon.
    Webhook,
    /// Nobody: the bucket is listed.
    List,
}

impl WatchSource {
    /// Every one, as it is written.
    pub const ALL: [(&'static str, Self); 4] = [
        ("listen", Self::Listen),
        ("sqs", Self::Sqs),
        ("webhook", Self::Webhook),
        ("list", Self::List),
    ];

    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, source)| *source == self)
            .map_or("", |(word, _)| word)
    }
}

/// `sqs` of a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqsConfig {
    /// The queue's URL.
    pub queue: String,
    /// Where SQS is spoken; none: AWS, or where the queue's URL points for a bucket with an endpoint of its own.
    pub endpoint: Option<String>,
    /// Its region; none: the bucket's.
    pub region: Option<String>,
}

/// `webhook` of a bucket.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookConfig {
    /// What whoever sends must know; read with the config, and never shown.
    pub secret: String,
    /// The file that it is read from: it does not stand in the config, which errors show.
    pub secret_file: PathBuf,
}

impl std::fmt::Debug for WebhookConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebhookConfig")
            .field("secret_file", &self.secret_file)
            .finish_non_exhaustive()
    }
}

impl BucketConfig {
    /// Where it is, for people.
    #[must_use]
    pub fn location(&self) -> String {
        match &self.place {
            Place::Local(local) => local.path.to_string_lossy().into_owned(),
            Place::S3(s3) => match &s3.endpoint {
                Some(endpoint) => format!("{endpoint}/{}", s3.s3),
                None => format!("s3://{}", s3.s3),
            },
        }
    }

    /// The directory, where it is one.
    #[must_use]
    pub fn local(&self) -> Option<&LocalConfig> {
        match &self.place {
            Place::Local(local) => Some(local),
            Place::S3(_) => None,
        }
    }

    /// How it is reached, where it is a bucket over a network.
    #[must_use]
    pub fn s3(&self) -> Option<&S3Config> {
        match &self.place {
            Place::S3(s3) => Some(s3),
            Place::Local(_) => None,
        }
    }
}

/// `[workers]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Workers {
    /// Runs at once; default: half the cores, at least one.
    pub slots: u32,
    /// How long a stopping daemon lets runs finish; default 30 s.
    pub drain: Duration,
    /// Bytes that stay free on the disks that results go to; default 512 MiB.
    pub min_free: u64,
    /// Bytes of memory that a worker may take; default: what the machine has, shared among the slots.
    pub memory: u64,
    /// How workers are shut in.
    pub jail: Jail,
}

impl Workers {
    /// What holds where nothing is said, with so many runs at once.
    #[must_use]
    pub fn usual(slots: u32) -> Self {
        Self {
            slots,
            drain: Duration::from_secs(30),
            min_free: 512 << 20,
            memory: share_of_memory(slots),
            jail: Jail::default(),
        }
    }
}

impl Default for Workers {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self::usual(u32::try_from(cores / 2).unwrap_or(1).max(1))
    }
}

/// Three quarters of the machine's memory for all workers together, and never less than any film needs.
fn share_of_memory(slots: u32) -> u64 {
    let machine = rustix::system::sysinfo();
    #[allow(clippy::useless_conversion, reason = "the width differs from processor to processor")]
    let total = u64::from(machine.totalram).saturating_mul(u64::from(machine.mem_unit));
    (total / 4 * 3 / u64::from(slots.max(1))).max(1 << 30)
}

/// `[workers] jail`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Jail {
    /// Landlock and a filter of system calls.
    #[default]
    On,
    /// The same, and no code is made while a worker runs: pixel loops are slower.
    Strict,
    /// Not at all.
    Off,
}

impl Jail {
    /// Every one, as it is written.
    pub const ALL: [(&'static str, Self); 3] = [("on", Self::On), ("strict", Self::Strict), ("off", Self::Off)];

    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, jail)| *jail == self)
            .map_or("", |(word, _)| word)
    }
}

/// `[plugins]`: changes of the list of GStreamer's plugins that workers load.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Plugins {
    /// Besides.
    pub add: Vec<String>,
    /// Not these.
    pub remove: Vec<String>,
}

/// `[history]`: how long jobs that ended are remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct History {
    /// So long after their end; none: for ever. Default 90 d.
    pub keep: Option<Duration>,
    /// So many; none: all. Default 100,000.
    pub keep_jobs: Option<u64>,
}

impl Default for History {
    fn default() -> Self {
        Self {
            keep: Some(Duration::from_hours(90 * 24)),
            keep_jobs: Some(100_000),
        }
    }
}

/// How much a level of priority is worth in waiting time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ageing {
    /// A job counts as created this much earlier for each level; default 1 h.
    Each(Duration),
    /// Priority first, then oldest.
    Strict,
}
