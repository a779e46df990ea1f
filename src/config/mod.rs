//! `reelmill.toml`: buckets, folders, workers; and the folder of rule files.

mod load;
mod rules;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::object::BucketName;
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
}

/// `[bucket.NAME]`: a local directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketConfig {
    /// The directory.
    pub path: PathBuf,
    /// How often it is walked where the file system sends no events; default 10 s.
    pub poll: Duration,
    /// How long a file must stay as it is where writers cannot be seen; default 2 s.
    pub settle: Duration,
    /// How often everything is listed, whatever else watches; default 1 h.
    pub sweep: Duration,
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
