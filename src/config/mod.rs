//! `reelmill.toml`: buckets, folders, workers; and the folder of rule files.

mod load;
mod rules;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::object::BucketName;
pub use load::{NoConfig, check, find, load, read};
pub use rules::{Checked, RuleFiles, check_all, read_rules};

/// The checked config file. Paths are absolute.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where it was read from.
    pub file: PathBuf,
    /// Folder of rule files; default: `rules` beside the config file.
    pub rules: PathBuf,
    /// Database, control socket, lock.
    pub state: PathBuf,
    /// `[bucket.NAME]`.
    pub buckets: BTreeMap<BucketName, BucketConfig>,
    /// `[workers]`.
    pub workers: Workers,
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
