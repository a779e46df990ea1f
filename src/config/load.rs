//! Finds and reads `reelmill.toml`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use super::buckets::{GUESSED, bucket, is_secret, warn_of_nested};
use super::{Ageing, Config, History, Jail, Place, Plugins, Workers};
use crate::diagnostic::reader::{Page, Table, Value};
use crate::diagnostic::{Diagnostic, SourceFile, any_error};
use crate::object::BucketName;
use crate::rule::check::or_default;

/// The config file was not found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no config file; looked at {}", .looked.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", "))]
pub struct NoConfig {
    /// Where it could have been, in order.
    pub looked: Vec<PathBuf>,
}

/// Which config file to use: the one named, else `$REELMILL_CONFIG`, `./reelmill.toml`, `/etc/reelmill/reelmill.toml`.
/// What a person named is used even where it is not there, so that reading it says so.
///
/// # Errors
/// Where none is named and none is there.
pub fn find(explicit: Option<&Path>) -> Result<PathBuf, NoConfig> {
    if let Some(path) = explicit {
        return Ok(path.to_owned());
    }
    if let Some(path) = variable("REELMILL_CONFIG") {
        return Ok(path);
    }
    let looked: Vec<PathBuf> = vec!["reelmill.toml".into(), "/etc/reelmill/reelmill.toml".into()];
    match looked.iter().find(|path| path.is_file()) {
        Some(path) => Ok(path.clone()),
        None => Err(NoConfig { looked }),
    }
}

/// Reads and checks a config file.
///
/// # Errors
/// Everything that is wrong with it, at once.
pub fn load(path: &Path) -> Result<Config, Vec<Diagnostic>> {
    let (config, diagnostics) = read(path);
    config.ok_or(diagnostics)
}

/// The same, with warnings. There is a config exactly where no diagnostic is an error.
#[must_use]
pub fn read(path: &Path) -> (Option<Config>, Vec<Diagnostic>) {
    match std::fs::read_to_string(path) {
        Ok(text) => {
            let file = SourceFile {
                path: path.to_owned(),
                text: text.into(),
            };
            let (mut config, mut diagnostics) = check(&file);
            if let Some(config) = &mut config {
                read_secrets(config, &file, &mut diagnostics);
            }
            (config.filter(|_| !any_error(&diagnostics)), diagnostics)
        }
        Err(error) => {
            let file = SourceFile {
                path: path.to_owned(),
                text: "".into(),
            };
            let found = Diagnostic::error(&file, None, format!("the config file cannot be read: {error}"));
            (None, vec![found])
        }
    }
}

/// Reads the secrets that lie in files of their own.
fn read_secrets(config: &mut Config, source: &SourceFile, diagnostics: &mut Vec<Diagnostic>) {
    for (name, bucket) in &mut config.buckets {
        let Place::S3(s3) = &mut bucket.place else { continue };
        let Some(webhook) = &mut s3.webhook else { continue };
        let path = &webhook.secret_file;
        let wrong = match std::fs::read_to_string(path) {
            Ok(text) if is_secret(text.trim()) => {
                text.trim().clone_into(&mut webhook.secret);
                continue;
            }
            Ok(_) => format!("{}; {}", GUESSED.0, GUESSED.1),
            Err(error) => format!("it cannot be read: {error}"),
        };
        let message = format!("bucket.{name}.webhook.secret_file {}: {wrong}", path.display());
        diagnostics.push(Diagnostic::error(source, None, message));
    }
}

/// Checks the text of a config file.
#[must_use]
pub fn check(file: &SourceFile) -> (Option<Config>, Vec<Diagnostic>) {
    let (config, diagnostics) = Page::read(file, "the config", |page, table| config(page, table, file));
    (config.filter(|_| !any_error(&diagnostics)), diagnostics)
}

fn config(page: &Page, mut table: Table<'_>, file: &SourceFile) -> Option<Config> {
    let path = std::path::absolute(&file.path).unwrap_or_else(|_| file.path.clone());
    let folder = path.parent().unwrap_or(Path::new("/")).to_owned();
    let place = |value: &Value<'_>| place(value, &folder);
    let rules = table
        .get("rules")
        .map_or_else(|| Some(folder.join("rules")), |value| place(&value));
    let presets = or_default(table.get("presets"), folder.join("presets"), |value| {
        let presets = place(value)?;
        if rules.as_ref() == Some(&presets) {
            value.error(
                "`presets` is the folder of rules, too",
                "rules and presets need a folder each",
            );
            return None;
        }
        Some(presets)
    });
    let state = table
        .get("state")
        .map_or_else(|| Some(default_state()), |value| place(&value));
    let buckets = table
        .require("bucket", "declare at least one: [bucket.NAME] with `path = \"...\"`")
        .and_then(|value| {
            let mut table = value.table()?;
            let all: Vec<_> = table
                .entries()
                .into_iter()
                .map(|(name, value)| bucket(name, &value, &folder).map(|bucket| (bucket, value)))
                .collect();
            all.into_iter().collect::<Option<Vec<_>>>()
        });
    if let Some(buckets) = &buckets {
        warn_of_nested(page, buckets);
    }
    let workers = match table.get("workers") {
        Some(value) => value.table().and_then(workers),
        None => Some(Workers::default()),
    };
    let plugins = or_default(table.get("plugins"), Plugins::default(), |value| {
        value.table().and_then(plugins)
    });
    let ageing = match table.get("queue") {
        Some(value) => value.table().and_then(ageing),
        None => Some(Ageing::Each(Duration::from_hours(1))),
    };
    let grace = match table.get("publish") {
        Some(value) => value.table().and_then(|mut table| {
            let grace = span(&mut table, "grace", 60, 0..=30 * 86_400);
            table.finish(&[]);
            grace
        }),
        None => Some(Duration::from_mins(1)),
    };
    let history = match table.get("history") {
        Some(value) => value.table().and_then(history),
        None => Some(History::default()),
    };
    let http = or_default(table.get("http"), None, |value| value.table().and_then(http).map(Some));
    if let (Some(buckets), Some(None)) = (&buckets, &http) {
        require_http(buckets);
    }
    table.finish(&[
        "api", "notify", "tokens", "console", "metrics", "node", "database", "log",
    ]);
    Some(Config {
        file: path,
        rules: rules?,
        presets: presets?,
        state: state?,
        buckets: buckets?.into_iter().map(|(named, _)| named).collect::<BTreeMap<_, _>>(),
        workers: workers?,
        plugins: plugins?,
        ageing: ageing?,
        grace: grace?,
        history: history?,
        http: http?,
    })
}

/// `[http]`: where this daemon can be reached by whoever sends events.
fn http(mut table: Table<'_>) -> Option<SocketAddr> {
    let listen = table
        .require("listen", "an address and a port: listen = \"127.0.0.1:8480\"")
        .and_then(|value| {
            let text = value.text()?;
            let address = text.parse().ok();
            if address.is_none() {
                value.error(
                    format!("\"{}\" is no address with a port", text.escape_debug()),
                    "numbers: \"127.0.0.1:8480\", or \"0.0.0.0:8480\" for all of this machine's addresses",
                );
            }
            address
        });
    table.finish(&["tls"]);
    listen
}

/// Whoever is to be sent requests must be there to take them.
fn require_http(buckets: &[((BucketName, super::BucketConfig), Value<'_>)]) {
    for ((name, bucket), value) in buckets {
        let Place::S3(s3) = &bucket.place else { continue };
        if s3.watch.contains(&super::WatchSource::Webhook) {
            value.key_error(
                format!("bucket \"{name}\" waits for requests, and nothing listens for them"),
                "say where: [http] with `listen = \"127.0.0.1:8480\"`",
            );
        }
    }
}

/// A path, as it is seen from the folder of the config file.
pub(super) fn place(value: &Value<'_>, folder: &Path) -> Option<PathBuf> {
    let text = value.text()?;
    if text.is_empty() {
        value.error(format!("`{}` is empty", value.path), "a path");
        return None;
    }
    Some(tidy(&folder.join(text)))
}

/// A length of time in seconds, within a range of seconds.
pub(super) fn span(table: &mut Table<'_>, key: &str, default: u64, range: RangeInclusive<u64>) -> Option<Duration> {
    let range = Duration::from_secs(*range.start())..=Duration::from_secs(*range.end());
    match table.get(key) {
        Some(value) => value.duration(range),
        None => Some(Duration::from_secs(default)),
    }
}

fn workers(mut table: Table<'_>) -> Option<Workers> {
    let slots = or_default(table.get("slots"), Workers::default().slots, |value| {
        value.count(1..=1024)
    });
    let usual = slots.map_or_else(Workers::default, Workers::usual);
    let drain = span(&mut table, "drain", 30, 0..=86_400);
    let min_free = or_default(table.get("min_free"), usual.min_free, Value::size);
    let memory = or_default(table.get("memory"), usual.memory, memory);
    let jail = or_default(table.get("jail"), usual.jail, jail);
    table.finish(&["nice"]);
    Some(Workers {
        slots: slots?,
        drain: drain?,
        min_free: min_free?,
        memory: memory?,
        jail: jail?,
    })
}

fn jail(value: &Value<'_>) -> Option<Jail> {
    let jail = value.one_of(&Jail::ALL, &[])?;
    if jail == Jail::Off {
        value.warning(
            format!(
                "`{}` is off: whoever made a medium may do whatever the daemon may",
                value.path
            ),
            "\"on\", where the kernel can: `reelmill doctor` says so",
        );
    }
    Some(jail)
}

/// Less than this no film can be decoded in.
const LEAST_MEMORY: u64 = 128 << 20;

fn memory(value: &Value<'_>) -> Option<u64> {
    let size = value.size()?;
    if size < LEAST_MEMORY {
        value.error(
            format!("`{}` is too small for a worker", value.path),
            "128MiB or more; a film of 1080 lines takes about 300 MiB",
        );
        return None;
    }
    Some(size)
}

fn plugins(mut table: Table<'_>) -> Option<Plugins> {
    let mut names = |key| {
        or_default(table.get(key), Vec::new(), |value| {
            let names = value.list()?.into_iter().map(|name| plugin(&name));
            names.collect::<Vec<_>>().into_iter().collect::<Option<Vec<_>>>()
        })
    };
    let (add, remove) = (names("add"), names("remove"));
    table.finish(&[]);
    Some(Plugins {
        add: add?,
        remove: remove?,
    })
}

fn plugin(value: &Value<'_>) -> Option<String> {
    let name = value.text()?;
    let plain = (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if !plain {
        let message = format!("\"{}\" is no name of a plugin", name.escape_debug());
        value.error(message, "as `gst-inspect-1.0` shows it: add = [\"openh264\"]");
    }
    plain.then(|| name.to_owned())
}

fn ageing(mut table: Table<'_>) -> Option<Ageing> {
    let hour = Duration::from_hours(1);
    let ageing = match table.get("ageing") {
        None => Some(Ageing::Each(hour)),
        Some(value) if value.is_word("strict") => Some(Ageing::Strict),
        Some(value) => value
            .duration(Duration::from_secs(1)..=hour * 24 * 365)
            .map(Ageing::Each),
    };
    table.finish(&[]);
    ageing
}

fn history(mut table: Table<'_>) -> Option<History> {
    let usual = History::default();
    let keep = match table.get("keep") {
        None => Some(usual.keep),
        Some(value) if value.is_word("forever") => Some(None),
        Some(value) => {
            let day = Duration::from_hours(24);
            value.duration(Duration::from_hours(1)..=day * 36_500).map(Some)
        }
    };
    let keep_jobs = match table.get("keep_jobs") {
        None => Some(usual.keep_jobs),
        Some(value) if value.is_word("all") => Some(None),
        Some(value) => value.count(1..=100_000_000).map(|count| Some(u64::from(count))),
    };
    table.finish(&[]);
    Some(History {
        keep: keep?,
        keep_jobs: keep_jobs?,
    })
}

/// `$STATE_DIRECTORY` (systemd), `/var/lib/reelmill` for root, else below the user's state home.
fn default_state() -> PathBuf {
    if let Some(folder) = variable("STATE_DIRECTORY") {
        // systemd lists several with colons; the first is ours.
        let text = folder.to_string_lossy().into_owned();
        return text.split(':').next().unwrap_or(&text).into();
    }
    if rustix::process::geteuid().is_root() {
        return "/var/lib/reelmill".into();
    }
    let home = variable("XDG_STATE_HOME")
        .filter(|path| path.is_absolute())
        .or_else(|| Some(variable("HOME")?.join(".local/state")));
    home.map_or_else(|| "/var/lib/reelmill".into(), |home| home.join("reelmill"))
}

fn variable(name: &str) -> Option<PathBuf> {
    let value = std::env::var_os(name)?;
    (!value.is_empty()).then(|| value.into())
}

/// Without `.` segments.
fn tidy(path: &Path) -> PathBuf {
    path.components().filter(|part| *part != Component::CurDir).collect()
}
