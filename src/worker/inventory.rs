//! Which GStreamer a worker would find, and which elements: a child of its own is asked, so that whoever asks stays free
//! of GStreamer.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gst::prelude::*;
use serde::{Deserialize, Serialize};

use super::launch;
use super::spawn::WorkerSettings;
use crate::config::Plugins;
use crate::job::{ErrorKind, Failure};
use crate::media::allowed;

/// Where the child finds the changes of the list of plugins.
pub(super) const PLUGINS: &str = "REELMILL_PLUGINS";

/// How long the child may look at plugins.
const PATIENCE: Duration = Duration::from_mins(1);

/// What a worker has to work with.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Inventory {
    /// Of GStreamer: major, minor, micro.
    pub version: (u32, u32, u32),
    /// Every element that a worker may use, in order.
    pub elements: Vec<String>,
    /// Every plugin of the list.
    pub plugins: Vec<PluginLine>,
    /// Why no worker can start, where that is so.
    pub refusal: Option<String>,
}

/// A plugin of the list of those that workers load.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginLine {
    /// As `gst-inspect-1.0` has it.
    pub name: String,
    /// Why it is on the list.
    pub sort: PluginSort,
    /// It is there and can be loaded.
    pub installed: bool,
    /// What workers may use of it.
    pub elements: Vec<String>,
}

/// Why a plugin is on the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PluginSort {
    /// Nothing works without it.
    Needed,
    /// It serves some media or some results.
    Useful,
    /// The config added it.
    Added,
}

impl Inventory {
    /// Whether workers have this element.
    #[must_use]
    pub fn has(&self, element: &str) -> bool {
        self.elements
            .binary_search_by(|known| known.as_str().cmp(element))
            .is_ok()
    }
}

/// Asks a child of this program. It lists plugins anew, in a folder of its own that goes away with the answer, and
/// leaves the registry of the daemon alone.
///
/// # Errors
/// Where the child cannot be started, ends badly, or GStreamer is not there.
pub async fn ask(program: PathBuf, plugins: &Plugins) -> Result<Inventory, Failure> {
    let folder = std::env::temp_dir().join(format!("reelmill-plugins-{:016x}", rand::random::<u64>()));
    private_folder(&folder)
        .map_err(|error| Failure::new(ErrorKind::Io, format!("{} cannot be made: {error}", folder.display())))?;
    let registry = folder.join("registry.bin");
    let settings = WorkerSettings {
        plugins: plugins.clone(),
        ..WorkerSettings::new(program, registry.clone())
    };
    let said = launch::list_elements(&settings, &registry, PATIENCE).await;
    let _ = std::fs::remove_dir_all(&folder);
    serde_json::from_slice(&said?).map_err(|error| {
        Failure::new(
            ErrorKind::Internal,
            format!("the child's answer cannot be read: {error}"),
        )
    })
}

fn private_folder(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().mode(0o700).create(folder)
}

/// What the daemon told this process of the list of plugins.
pub(super) fn changes() -> Plugins {
    std::env::var(PLUGINS)
        .ok()
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default()
}

/// The child's part: prints the inventory as JSON.
pub(super) fn list() -> Result<(), String> {
    let plugins = changes();
    gst::init().map_err(|error| format!("GStreamer does not start: {error}"))?;
    let refusal = allowed::load(&plugins).err().map(|failure| failure.message);
    let (major, minor, micro, _) = gst::version();
    let mut elements: Vec<String> = gst::Registry::get()
        .features(gst::ElementFactory::static_type())
        .iter()
        .map(|feature| feature.name().to_string())
        .collect();
    elements.sort();
    let (needed, useful) = allowed::list(&plugins);
    let sorts = needed
        .iter()
        .map(|name| (*name, PluginSort::Needed))
        .chain(useful.iter().map(|name| {
            let added = plugins.add.iter().any(|added| added == name);
            (*name, if added { PluginSort::Added } else { PluginSort::Useful })
        }));
    let inventory = Inventory {
        version: (major, minor, micro),
        elements,
        plugins: sorts.map(|(name, sort)| line(name, sort)).collect(),
        refusal,
    };
    let text = serde_json::to_string(&inventory).map_err(|error| error.to_string())?;
    writeln!(std::io::stdout(), "{text}").map_err(|error| error.to_string())
}

fn line(name: &str, sort: PluginSort) -> PluginLine {
    let registry = gst::Registry::get();
    let found = registry.find_plugin(name).filter(gst::Plugin::is_loaded);
    let features = registry.features_by_plugin(name).into_iter();
    let elements = features.filter(gst::glib::object::ObjectExt::is::<gst::ElementFactory>);
    let mut elements: Vec<String> = elements.map(|feature| feature.name().to_string()).collect();
    elements.sort();
    PluginLine {
        name: name.to_owned(),
        sort,
        installed: found.is_some(),
        elements,
    }
}
