//! How workers are started, and what bounds their runs.

use std::path::PathBuf;
use std::time::Duration;

use super::cgroup::Groups;
use super::template::Templates;
use crate::config::{Jail, Plugins, Workers};

/// How workers are started.
#[derive(Debug, Clone)]
pub struct WorkerSettings {
    /// The program, called as `PROGRAM worker`.
    pub program: PathBuf,
    /// GStreamer's list of plugins; see [`super::registry::prepare`].
    pub registry: PathBuf,
    /// Changes of the list of those that are loaded.
    pub plugins: Plugins,
    /// How workers are shut in.
    pub jail: Jail,
    /// Bytes of memory that each may take.
    pub memory: u64,
    /// Where each gets a control group of its own.
    pub groups: Option<Groups>,
    /// Act as a kernel of this Landlock version would; none: as this one. For tests.
    pub landlock: Option<u32>,
    /// What makes them.
    pub templates: Templates,
}

impl WorkerSettings {
    /// What holds where no config says otherwise.
    #[must_use]
    pub fn new(program: PathBuf, registry: PathBuf) -> Self {
        Self::configured(program, registry, &Workers::default(), &Plugins::default())
    }

    /// As a config says.
    #[must_use]
    pub fn configured(program: PathBuf, registry: PathBuf, workers: &Workers, plugins: &Plugins) -> Self {
        Self {
            program,
            registry,
            plugins: plugins.clone(),
            jail: workers.jail,
            memory: workers.memory,
            groups: None,
            landlock: None,
            templates: Templates::default(),
        }
    }
}

/// What bounds a run.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The run ends when nothing moved for this long.
    pub stall: Duration,
    /// The run ends after this time, where there is one.
    pub timeout: Option<Duration>,
    /// Bytes that its files may take together.
    pub room: u64,
}
