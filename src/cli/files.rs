//! Commands and helpers that work on the config file and the rule files themselves.
//!
//! Everything that reads them goes through [`config`] and [`read_rules`].

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::json;

use super::exit::{Code, Trouble};
use super::{output, report};
use crate::bucket::local::LocalBucket;
use crate::config::Config;
use crate::diagnostic::{Diagnostic, Severity};
use crate::object::BucketName;
use crate::rule::Rule;

/// Where the config is looked for: what was said, the environment, here, the system.
///
/// # Errors
/// Where there is none.
pub fn find_config(said: Option<&Path>) -> Result<PathBuf, Trouble> {
    if let Some(path) = said {
        return Ok(path.to_path_buf());
    }
    if let Some(path) = std::env::var_os("REELMILL_CONFIG").filter(|path| !path.is_empty()) {
        return Ok(PathBuf::from(path));
    }
    let usual = ["reelmill.toml", "/etc/reelmill/reelmill.toml"];
    usual
        .into_iter()
        .map(PathBuf::from)
        .find(|path| path.exists())
        .ok_or_else(|| {
            Trouble::new(
                Code::Config,
                "there is no config file: neither ./reelmill.toml nor /etc/reelmill/reelmill.toml exists; \
                 name one with --config FILE or REELMILL_CONFIG",
            )
        })
}

/// The checked config; warnings are shown.
///
/// # Errors
/// Where there is none or it is wrong.
pub fn config(said: Option<&Path>) -> Result<Config, Trouble> {
    let path = find_config(said)?;
    let (config, diagnostics) = read_config(&path)?;
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

/// `reelmill check`
pub fn check(said: Option<&Path>, json: bool) -> Result<ExitCode, Trouble> {
    let path = find_config(said)?;
    let (config, mut diagnostics) = read_config(&path)?;
    let (mut rules, mut enabled) = (0, 0);
    if let Some(config) = &config {
        let (checked, wrong) = read_rules(config)?;
        rules = checked.len();
        enabled = checked.iter().filter(|rule| rule.enabled).count();
        diagnostics.extend(wrong);
    }
    let errors = count(&diagnostics, Severity::Error);
    let warnings = count(&diagnostics, Severity::Warning);
    if json {
        output::print_json(&json!({
            "ok": errors == 0,
            "config": path.to_string_lossy(),
            "rules": rules,
            "enabled": enabled,
            "errors": errors,
            "warnings": warnings,
            "diagnostics": report::to_json(&diagnostics),
        }));
    } else {
        report::to_stderr(&diagnostics);
        let verdict = match errors {
            0 => "good".to_owned(),
            1 => "1 error".to_owned(),
            many => format!("{many} errors"),
        };
        let config = path.display();
        output::print(&format!("{config}: {verdict}; {rules} good rules, {enabled} of them enabled"));
        if errors == 0 && rules > 0 && enabled == 0 {
            output::print("No rule is enabled, so nothing will start: `reelmill rules enable NAME`.");
        }
    }
    Ok(if errors == 0 {
        ExitCode::SUCCESS
    } else if config.is_none() {
        Code::Config.into()
    } else {
        Code::Data.into()
    })
}

fn count(diagnostics: &[Diagnostic], severity: Severity) -> usize {
    diagnostics.iter().filter(|one| one.severity == severity).count()
}

/// `reelmill bucket accept NAME`
pub fn accept_bucket(said: Option<&Path>, name: &str, json: bool) -> Result<ExitCode, Trouble> {
    let config = config(said)?;
    let found = name
        .parse::<BucketName>()
        .ok()
        .and_then(|name| config.buckets.get_key_value(&name));
    let Some((name, bucket)) = found else {
        let names: Vec<_> = config.buckets.keys().map(BucketName::as_str).collect();
        return Err(Trouble::new(
            Code::NoInput,
            format!("the config has no bucket \"{name}\"; it has {}", names.join(", ")),
        ));
    };
    LocalBucket::new(name.clone(), &bucket.path, &config.state.join("buckets"))
        .accept()
        .map_err(|error| Trouble::new(Code::CannotCreate, crate::app::status::with_causes(&error)))?;
    if json {
        output::print_json(&json!({ "bucket": name, "path": bucket.path.to_string_lossy(), "accepted": true }));
    } else {
        let path = bucket.path.display();
        output::print(&format!("{path} is the bucket {name} from now on."));
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads and checks a config file; none where it has errors.
fn read_config(path: &Path) -> Result<(Option<Config>, Vec<Diagnostic>), Trouble> {
    Err(Trouble::new(
        Code::Internal,
        format!("this build does not read {} yet", path.display()),
    ))
}

/// Reads and checks every rule file; the good rules, and what is wrong with the others.
fn read_rules(config: &Config) -> Result<(Vec<Rule>, Vec<Diagnostic>), Trouble> {
    Err(Trouble::new(
        Code::Internal,
        format!("this build does not read {} yet", config.rules.display()),
    ))
}

/// Reads and checks one rule file for a trial: the rule and its text. Buckets that it names need not exist.
pub fn read_rule(path: &Path) -> Result<(Rule, String), Trouble> {
    Err(Trouble::new(
        Code::Internal,
        format!("this build does not read {} yet", path.display()),
    ))
}

/// The text of a rule file with `enabled` set; everything else stays as it is.
pub fn set_enabled(_text: &str, _enabled: bool) -> Result<String, String> {
    Err("this build does not edit rule files yet".to_owned())
}
