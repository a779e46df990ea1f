//! Commands and helpers that work on the config file and the rule files themselves.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::json;

use super::exit::{Code, Trouble};
use super::{output, report};
use crate::bucket::local::LocalBucket;
use crate::config::{Config, read_beside, read_presets};
use crate::diagnostic::{SourceFile, did_you_mean};
use crate::object::BucketName;
use crate::rule::preset::{Presets, self_contained};
use crate::rule::{self, Rule};

/// Where the config is: what was said, the environment, here, the system.
///
/// # Errors
/// Where there is none.
pub fn find_config(said: Option<&Path>) -> Result<PathBuf, Trouble> {
    crate::config::find(said).map_err(|error| {
        Trouble::new(Code::Config, error.to_string()).help("name one with --config FILE or REELMILL_CONFIG")
    })
}

/// The path of a config file, where there is one.
pub fn there(path: PathBuf) -> Result<PathBuf, Trouble> {
    match std::fs::metadata(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let words = format!("there is no config file {}", path.display());
            Err(Trouble::new(Code::Config, words).help("name the right one with --config FILE or REELMILL_CONFIG"))
        }
        _ => Ok(path),
    }
}

/// The checked config; warnings are shown.
///
/// # Errors
/// Where there is none or it is wrong.
pub fn config(said: Option<&Path>) -> Result<Config, Trouble> {
    let path = there(find_config(said)?)?;
    let (config, diagnostics) = crate::config::read(&path);
    match config {
        Some(config) => {
            if !diagnostics.is_empty() {
                report::to_stderr(&diagnostics);
            }
            Ok(config)
        }
        None => Err(Trouble::in_files(
            Code::Config,
            format!("{} is wrong", path.display()),
            diagnostics,
        )),
    }
}

/// `reelmill bucket accept NAME`
pub fn accept_bucket(said: Option<&Path>, name: &str, json: bool) -> Result<ExitCode, Trouble> {
    let config = config(said)?;
    let found = name
        .parse::<BucketName>()
        .ok()
        .and_then(|name| config.buckets.get_key_value(&name));
    let Some((name, bucket)) = found else {
        return Err(no_such_bucket(&config, name));
    };
    let Some(bucket) = bucket.local() else {
        let what = format!("the bucket {name} is no directory: there is nothing to accept");
        return Err(Trouble::new(Code::Usage, what));
    };
    LocalBucket::new(name.clone(), &bucket.path, &config.state.join("buckets"))
        .accept()
        .map_err(|error| Trouble::new(Code::CannotCreate, crate::service::with_causes(&error)))?;
    if json {
        output::print_json(&json!({ "bucket": name, "path": bucket.path.to_string_lossy(), "accepted": true }));
    } else {
        let path = bucket.path.display();
        output::print(&format!("{path} is the bucket {name} from now on."));
    }
    Ok(ExitCode::SUCCESS)
}

/// The presets of the folder and the built-in ones.
pub fn presets(folder: &Path) -> Result<Presets, Trouble> {
    read_presets(folder).map_err(|error| {
        let what = format!("cannot read the presets folder {}", folder.display());
        Trouble::io(&what, &error, Code::NoInput)
    })
}

/// The config, where there is a good one.
pub fn good_config(said: Option<&Path>) -> Option<Config> {
    let path = crate::config::find(said).ok()?;
    crate::config::load(&path).ok()
}

/// The presets that a rule file would have: those of the config where there is one, else of the folder that would be
/// beside its own.
pub fn presets_for(config: Option<&Config>, rule: &Path) -> Result<Presets, Trouble> {
    let folder = config.map(|config| config.presets.clone()).or_else(|| {
        let beside = std::path::absolute(rule).ok()?.parent()?.parent()?.join("presets");
        Some(beside)
    });
    match folder {
        Some(folder) => presets(&folder),
        None => Ok(Presets::built_in().clone()),
    }
}

/// The config has no such bucket: which it has, and which was probably meant.
pub fn no_such_bucket(config: &Config, name: &str) -> Trouble {
    let names = || config.buckets.keys().map(BucketName::as_str);
    let trouble = Trouble::new(
        Code::NoInput,
        format!("{} declares no bucket \"{name}\"", config.file.display()),
    );
    match did_you_mean(name, names()) {
        Some(meant) => trouble.help(format!("did you mean \"{meant}\"?")),
        None => trouble.help(format!("it declares {}", names().collect::<Vec<_>>().join(", "))),
    }
}

/// Reads and checks one rule file for a trial: the rule and its text. The buckets that it names need not be
/// declared anywhere, since a trial puts the file and a folder in their place.
pub fn read_rule(path: &Path, presets: &Presets) -> Result<(Rule, String), Trouble> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Trouble::io(&format!("cannot read {}", path.display()), &error, Code::NoInput))?;
    let file = SourceFile {
        path: path.to_path_buf(),
        text: text.clone().into(),
    };
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let beside = read_beside(&folder_of(path), std::slice::from_ref(&file), presets);
    let presets = &presets.clone().with_beside(beside);
    match rule::check::check_with(&file, &stem, &buckets_named(&text), presets) {
        (Some(rule), diagnostics) => {
            if !diagnostics.is_empty() {
                report::to_stderr(&diagnostics);
            }
            Ok((rule, self_contained(&text, presets)))
        }
        (None, diagnostics) => Err(Trouble::in_files(
            Code::Data,
            format!("{} is wrong", path.display()),
            diagnostics,
        )),
    }
}

/// The folder that a file lies in.
pub fn folder_of(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    path.parent().map(Path::to_path_buf).unwrap_or_default()
}

/// The buckets that a rule's text names, as far as it can be read.
fn buckets_named(text: &str) -> Vec<BucketName> {
    let table: toml::Table = text.parse().unwrap_or_default();
    let mut found = Vec::new();
    collect_buckets(&toml::Value::Table(table), &mut found);
    found
}

fn collect_buckets(value: &toml::Value, found: &mut Vec<BucketName>) {
    match value {
        toml::Value::Table(table) => {
            let named = table.get("bucket").and_then(toml::Value::as_str);
            found.extend(named.and_then(|name| name.parse().ok()));
            table.values().for_each(|inner| collect_buckets(inner, found));
        }
        toml::Value::Array(values) => values.iter().for_each(|inner| collect_buckets(inner, found)),
        _ => {}
    }
}
