//! Files that a rule names are brought into the scratch directory of the run that uses them: a worker can open nothing
//! else. They are copies, so whatever a worker does to them, it does to itself.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::publishing::blocking;
use super::attempt::{Attempt, Break, Outcome};
use super::desk::Desk;
use crate::bucket::{BucketError, Content, Ranges};
use crate::job::{ErrorKind, Failure};
use crate::plan::PlannedRun;
use crate::publish::Scratch;
use crate::rule::TaskId;
use crate::rule::asset::{Asset, AssetUse};

/// Bytes that are fetched by one request.
const PIECE: u64 = 8 << 20;

/// Where systems keep a font for words over films, in the order in which they are looked for.
const FONTS: [&str; 5] = [
    "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
    "/usr/share/fonts/dejavu-sans-fonts/DejaVuSans.ttf",
    "/usr/share/fonts/TTF/DejaVuSans.ttf",
    "/usr/share/fonts/truetype/liberation/LiberationSans-Regular.ttf",
    "/usr/share/fonts/truetype/noto/NotoSans-Regular.ttf",
];

impl Attempt<'_> {
    /// Brings what a run needs. Tasks that lack something fail, and are not in the run that comes back.
    pub(super) async fn bring_assets(
        &self,
        mut run: PlannedRun,
        scratch: &Scratch,
        desk: &mut Desk,
    ) -> Result<PlannedRun, Break> {
        let mut brought = Vec::new();
        for (task, wanted) in std::mem::take(&mut run.assets) {
            let AssetUse { asset, needed, largest } = wanted;
            if brought.contains(&asset) || desk.failures.contains_key(&task) {
                continue;
            }
            let to = scratch.path.join(asset.scratch_name());
            let bringing = self.bring(&asset, largest, to.clone());
            let came = tokio::select! {
                () = self.stop.cancelled() => return Err(Break::Leave(Outcome::Stopped)),
                came = bringing => came,
            };
            match came {
                Ok(()) => brought.push(asset),
                Err(failure) => {
                    // What came of it is no use to the next task either.
                    blocking(move || std::fs::remove_file(to)).await.ok();
                    if needed {
                        desk.failures.insert(task, failure);
                    }
                }
            }
        }
        let failed = |task: &TaskId| desk.failures.contains_key(task);
        run.plan.tasks.retain(|planned| !failed(&planned.task));
        run.outputs.retain(|output| !failed(&output.task));
        run.packages.retain(|package| !failed(&package.task));
        Ok(run)
    }

    async fn bring(&self, asset: &Asset, largest: u64, to: PathBuf) -> Result<(), Failure> {
        match asset {
            Asset::Beside(path) => {
                let from = self.mill.config.rules.join(path);
                let shown = from.display().to_string();
                blocking(move || open(&from).and_then(|file| copy(file, largest, &to)))
                    .await
                    .map_err(|error| missing(&error, &format!("the file {shown}, which the rule names,")))
            }
            Asset::SystemFont => {
                let copied = blocking(move || {
                    let found = FONTS.into_iter().find_map(|font| open(Path::new(font)).ok());
                    found.map(|font| copy(font, largest, &to))
                });
                match copied.await {
                    Some(copied) => copied.map_err(|error| missing(&error, "a font of the system")),
                    None => Err(Failure::new(
                        ErrorKind::Plan,
                        "there is no font to write text with: install the package fonts-dejavu-core, or name a file with `font`",
                    )),
                }
            }
            Asset::Object { bucket, key } => {
                let what = format!("{key} of bucket {bucket}, which the rule names,");
                let known = self.mill.buckets.get(bucket).ok_or_else(|| {
                    let absent = format!("{what} cannot be read: the bucket is not in the config");
                    Failure::new(ErrorKind::Plan, absent)
                })?;
                let opened = known.open(key).await.map_err(|error| unreadable(&error, &what))?;
                if opened.identity.size > largest {
                    return Err(missing(&too_large(largest), &what));
                }
                match opened.content {
                    Content::File(file) => blocking(move || copy(File::from(file), largest, &to))
                        .await
                        .map_err(|error| missing(&error, &what)),
                    Content::Ranges(ranges) => fetch(ranges, to, &what).await,
                }
            }
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    // What is no file may block whoever opens it.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no plain file"));
    }
    File::open(path)
}

fn create(path: &Path) -> io::Result<File> {
    File::options().write(true).create_new(true).mode(0o400).open(path)
}

fn too_large(largest: u64) -> io::Error {
    let most = format!("it is larger than {} MiB", largest >> 20);
    io::Error::new(io::ErrorKind::FileTooLarge, most)
}

fn copy(from: File, largest: u64, to: &Path) -> io::Result<()> {
    let mut to = create(to)?;
    let copied = io::copy(&mut from.take(largest + 1), &mut to)?;
    match copied {
        0 => Err(io::Error::new(io::ErrorKind::InvalidData, "it is empty")),
        copied if copied <= largest => Ok(()),
        _ => Err(too_large(largest)),
    }
}

async fn fetch(ranges: Arc<dyn Ranges>, to: PathBuf, what: &str) -> Result<(), Failure> {
    let failed = |error: io::Error| missing(&error, what);
    let mut file = blocking(move || create(&to)).await.map_err(failed)?;
    let (mut at, size) = (0, ranges.size());
    while at < size {
        let length = PIECE.min(size - at);
        let read = ranges.read(at, length).await;
        let bytes = read.map_err(|error| unreadable(&error, what))?;
        let written = blocking(move || file.write_all(&bytes).map(|()| file)).await;
        file = written.map_err(failed)?;
        at += length;
    }
    Ok(())
}

fn unreadable(error: &BucketError, what: &str) -> Failure {
    match error {
        BucketError::NotFound(_) => Failure::new(
            ErrorKind::Plan,
            format!("{what} is not there: put it there, or name another"),
        ),
        BucketError::Changed(_) => Failure::new(ErrorKind::Io, format!("{what} was changed while it was read")),
        BucketError::Transient { .. } => Failure::new(ErrorKind::Offline, format!("{what} cannot be read: {error}")),
        BucketError::Permanent { .. } => Failure::new(ErrorKind::Permission, format!("{what} cannot be read: {error}")),
    }
}

fn missing(error: &io::Error, what: &str) -> Failure {
    let (kind, why) = match error.kind() {
        io::ErrorKind::NotFound => (
            ErrorKind::Plan,
            "is not there: put it there, or name another".to_owned(),
        ),
        io::ErrorKind::PermissionDenied => (
            ErrorKind::Permission,
            "may not be read: permit it to the daemon".to_owned(),
        ),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            (ErrorKind::NoSpace, "does not fit into scratch".to_owned())
        }
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData | io::ErrorKind::FileTooLarge => {
            (ErrorKind::Plan, format!("cannot be used: {error}"))
        }
        _ => (ErrorKind::Io, format!("cannot be brought to the worker: {error}")),
    };
    Failure::new(kind, format!("{what} {why}"))
}
