//! The list of GStreamer's plugins, written once by a child of its own and read by every worker.
//!
//! Scanning plugins takes a second and leaves threads behind, so no worker does it. A file beside the registry
//! remembers the plugin directories with their times; when one changed, the list is written again.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::launch;
use super::spawn::WorkerSettings;
use crate::job::{ErrorKind, Failure};

/// How long the scan may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// Directories with the times of their last change.
type Directories = BTreeMap<PathBuf, (i64, i64)>;

/// Has the registry written, where it is missing or plugins changed.
///
/// # Errors
/// Where it cannot be written, or GStreamer is not installed.
pub async fn prepare(settings: &WorkerSettings) -> Result<(), Failure> {
    if is_fresh(&settings.registry) {
        return Ok(());
    }
    if let Some(folder) = settings.registry.parent() {
        std::fs::create_dir_all(folder).map_err(|error| unwritable(folder, &error))?;
    }
    let building = beside(&settings.registry, "building");
    let listed = launch::build_registry(settings, &building, PATIENCE).await?;
    let directories: Directories = listed
        .lines()
        .filter_map(|line| Some((PathBuf::from(line), changed(Path::new(line))?)))
        .collect();
    let known = serde_json::to_vec(&directories).unwrap_or_default();
    std::fs::rename(&building, &settings.registry)
        .and_then(|()| std::fs::write(beside(&settings.registry, "directories"), known))
        .map_err(|error| unwritable(&settings.registry, &error))
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(ErrorKind::Io, format!("{} cannot be written: {error}", path.display()))
}

fn beside(registry: &Path, word: &str) -> PathBuf {
    let mut name = registry.as_os_str().to_owned();
    name.push(".");
    name.push(word);
    PathBuf::from(name)
}

fn changed(path: &Path) -> Option<(i64, i64)> {
    let about = std::fs::metadata(path).ok()?;
    Some((about.mtime(), about.mtime_nsec()))
}

fn is_fresh(registry: &Path) -> bool {
    let known = std::fs::read(beside(registry, "directories"))
        .ok()
        .and_then(|text| serde_json::from_slice::<Directories>(&text).ok());
    registry.is_file()
        && known.is_some_and(|known| !known.is_empty() && known.iter().all(|(path, time)| changed(path) == Some(*time)))
}

/// The child's part: GStreamer writes the registry while it starts; the plugin directories go to standard output.
pub(super) fn build() -> Result<(), String> {
    gst::init().map_err(|error| format!("GStreamer does not start: {error}"))?;
    let mut directories: Vec<PathBuf> = gst::Registry::get()
        .plugins()
        .iter()
        .filter_map(|plugin| Some(plugin.filename()?.parent()?.to_owned()))
        .collect();
    directories.sort();
    directories.dedup();
    for directory in directories {
        use std::io::Write;
        writeln!(std::io::stdout(), "{}", directory.display()).map_err(|error| error.to_string())?;
    }
    Ok(())
}
