//! `reelmill doctor`: whether this machine is fit, with or without a daemon.
//!
//! [`facts`] looks; [`machine`], [`elements`], [`places`] and [`network`] say what it means, and are pure. [`far`] asks servers. GStreamer is asked for in a
//! child. [`unit`] writes what the systemd unit needs besides.

mod elements;
mod facts;
mod far;
mod finding;
mod machine;
mod network;
mod places;
mod unit;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;

use super::client::Client;
use super::codecs;
use super::exit::{Code, Trouble};
use super::files;
use super::output::{self, Paint, tame};
use super::status::read;
use super::terminal::{columns, pad, wrap};
use crate::app::status::StatusView;
use crate::bucket::local::LocalBucket;
use crate::config::{Checked, Config, Jail, check_all, read_rules};
use crate::diagnostic::quantity::counted;
use crate::diagnostic::{Severity, any_error};
use crate::object::BucketName;
use crate::rule::Rule;
use finding::{Finding, Level, bad, ok, warn};
use places::SeenBucket;
pub use places::{Known, Role};

/// How long the daemon may take to say how it stands.
const PATIENCE: Duration = Duration::from_secs(5);

/// The most columns of what was looked at; a longer name of a bucket stands out.
const WHAT: usize = 18;

/// Looks at the machine and says what is wrong with it.
pub fn doctor(said: Option<&Path>, json: bool) -> ExitCode {
    let mut findings = Vec::new();
    let config = config(said, &mut findings);
    let rules = config
        .as_ref()
        .map(|config| rules(config, &mut findings))
        .unwrap_or_default();
    if let Some(config) = &config {
        findings.push(daemon(config));
    }
    let user = facts::user();
    let plugins = config.as_ref().map(|config| config.plugins.clone()).unwrap_or_default();
    findings.push(machine::user(&user));
    let jail = config.as_ref().map_or(Jail::default(), |config| config.workers.jail);
    findings.push(machine::kernel(&facts::kernel(), jail));
    let year = Timestamp::now().to_zoned(TimeZone::UTC).year();
    findings.push(machine::clock(facts::clock(year)));
    findings.extend(elements::gstreamer(
        &codecs::ask(&plugins),
        &elements::wanted(rules.iter()),
    ));
    findings.push(machine::fonts(facts::fonts()));
    if let Some(config) = &config {
        findings.push(places::state(&facts::state(&config.state), &user.name));
        findings.extend(buckets(config, &rules, &user.name));
        findings.extend(far::look(config));
        findings.extend(network::unit(network::needed(config), &facts::unit()));
    }
    if json {
        output::print_json(&json!({
            "ok": finding::exit(&findings).is_none(),
            "version": env!("CARGO_PKG_VERSION"),
            "config": config.as_ref().map(|config| config.file.to_string_lossy()),
            "findings": findings,
        }));
    } else {
        show(&findings);
    }
    finding::exit(&findings).map_or(ExitCode::SUCCESS, ExitCode::from)
}

/// Prints the systemd drop-in for the buckets of the config.
pub fn print_unit(said: Option<&Path>, json: bool) -> Result<ExitCode, Trouble> {
    let config = files::config(said)?;
    let checked = checked(&config)?;
    let roles = places::roles(checked.rules.iter().map(|(rule, _)| rule));
    let role = |name: &BucketName| roles.get(name).copied().unwrap_or_default();
    let s3 = || config.buckets.values().filter_map(|bucket| bucket.s3());
    let needs = unit::Needs {
        config: config.file.clone(),
        rules: config.rules.clone(),
        state: config.state.clone(),
        buckets: config
            .buckets
            .iter()
            .filter_map(|(name, bucket)| Some((name.clone(), bucket.local()?.path.clone(), role(name))))
            .collect(),
        network: network::needed(&config),
        credentials: s3().any(|s3| s3.profile.is_none()),
        certificates: s3().filter_map(|s3| s3.ca.clone()).collect(),
        access: checked
            .rules
            .iter()
            .map(|(rule, _)| rule.output.access.clone())
            .collect(),
        broken: any_error(&checked.diagnostics),
    };
    let text = unit::drop_in(&needs);
    if json {
        output::print_json(&json!({ "unit": "reelmill.service", "drop_in": text }));
    } else {
        output::print(text.trim_end());
    }
    Ok(ExitCode::SUCCESS)
}

/// The config, where there is a good one.
fn config(said: Option<&Path>, findings: &mut Vec<Finding>) -> Option<Config> {
    let name_one = "name one with --config FILE or REELMILL_CONFIG; the README has a first one";
    let path = match crate::config::find(said) {
        Ok(path) => path,
        Err(error) => {
            findings.push(bad(Code::Config, "config", error.to_string(), name_one));
            return None;
        }
    };
    if !path.exists() {
        let says = format!("there is no config file {}", path.display());
        findings.push(bad(Code::Config, "config", says, name_one));
        return None;
    }
    let (config, diagnostics) = crate::config::read(&path);
    let whole = std::path::absolute(&path).unwrap_or_else(|_| path.clone());
    let shown = whole.display();
    let wrong = |severity: Severity| diagnostics.iter().find(|one| one.severity == severity);
    let look = "`reelmill check` shows where";
    findings.push(match (wrong(Severity::Error), wrong(Severity::Warning)) {
        (Some(error), _) => bad(Code::Config, "config", format!("{shown}: {}", error.message), look),
        (None, Some(warning)) => warn("config", format!("{shown}: {}", warning.message), look),
        (None, None) => ok("config", shown.to_string()),
    });
    config
}

fn checked(config: &Config) -> Result<Checked, Trouble> {
    let texts = read_rules(&config.rules).map_err(|error| {
        let what = format!("cannot read the rules folder {}", config.rules.display());
        Trouble::io(&what, &error, Code::NoInput)
    })?;
    Ok(check_all(config, &texts, &files::presets(&config.presets)?))
}

/// The good rules.
fn rules(config: &Config, findings: &mut Vec<Finding>) -> Vec<Rule> {
    let checked = match checked(config) {
        Ok(checked) => checked,
        Err(trouble) => {
            let help = trouble
                .help
                .unwrap_or_else(|| "create it: rules are TOML files".to_owned());
            findings.push(bad(trouble.code, "rules", trouble.message, help));
            return Vec::new();
        }
    };
    let enabled = checked.rules.iter().filter(|(rule, _)| rule.enabled).count() as u64;
    let all = counted(checked.rules.len() as u64, "good rule");
    let says = format!("{all}, {enabled} enabled, in {}", config.rules.display());
    let errors = checked
        .diagnostics
        .iter()
        .filter(|one| one.severity == Severity::Error)
        .count();
    findings.push(match errors {
        0 => ok("rules", says),
        some => {
            let says = format!("{says}; {} in rule files", counted(some as u64, "error"));
            warn("rules", says, "`reelmill check` shows where")
        }
    });
    checked.rules.into_iter().map(|(rule, _)| rule).collect()
}

/// Whether a daemon runs, and how it stands.
fn daemon(config: &Config) -> Finding {
    let what = "daemon";
    let asked = Client::new(config).and_then(|client| {
        let asked = client.block_on(async { tokio::time::timeout(PATIENCE, client.fetch("/v1/status")).await });
        let late =
            || Trouble::new(Code::Temporary, "the daemon does not answer").help("`reelmill status`, and its log");
        read::<StatusView>(asked.map_err(|_| late())??)
    });
    match asked {
        Ok(status) if status.ok => ok(
            what,
            format!("runs, version {}, process {}", tame(&status.version), status.pid),
        ),
        Ok(status) => {
            let says = format!("runs as process {}, and parts of it do not work", status.pid);
            warn(what, says, "`reelmill status` says which")
        }
        Err(trouble) if trouble.code == Code::Unavailable => ok(what, "does not run"),
        Err(trouble) => {
            let help = trouble.help.unwrap_or_else(|| "`reelmill status` says more".to_owned());
            warn(what, trouble.message, help.replace('\n', "; "))
        }
    }
}

/// Buckets, and the limits for watching them.
fn buckets(config: &Config, rules: &[Rule], user: &str) -> Vec<Finding> {
    let roles = roles_of(rules);
    let mut findings = Vec::new();
    let mut watched: Vec<PathBuf> = Vec::new();
    for name in config.buckets.keys() {
        let role = roles.get(name).copied().unwrap_or_default();
        let Some((seen, finding)) = look(config, name, role, user) else {
            continue;
        };
        if facts::is_watched(&seen.place) {
            watched.push(seen.place.path.clone());
        }
        findings.push(finding);
    }
    match facts::patiently(move || facts::directories(&watched)) {
        Some(needs) => findings.extend(machine::inotify(facts::inotify(), needs)),
        None => findings.push(warn(
            "inotify",
            "the directories below the buckets could not be counted",
            "look after the disks: one does not answer",
        )),
    }
    findings
}

/// Looks at the directory of a bucket, and says how it stands; none where it is none.
pub fn look(config: &Config, name: &BucketName, role: Role, user: &str) -> Option<(SeenBucket, Finding)> {
    let bucket = config.buckets.get(name)?.local()?;
    let place = facts::place(&bucket.path);
    let known = if place.trouble.is_none() && place.readable {
        recognise(config, name, &bucket.path)
    } else {
        Known::Untold
    };
    let seen = SeenBucket {
        place,
        known,
        poll: bucket.poll,
        role,
    };
    let finding = places::bucket(name, &seen, user, config.workers.min_free);
    Some((seen, finding))
}

/// What rules do with each bucket.
pub fn roles_of(rules: &[Rule]) -> BTreeMap<BucketName, Role> {
    places::roles(rules.iter())
}

/// The name of whoever asks.
pub fn user_name() -> String {
    facts::user().name
}

/// Whether a bucket is the one that it was.
fn recognise(config: &Config, name: &BucketName, path: &Path) -> Known {
    let bucket = LocalBucket::new(name.clone(), path, &config.state.join("buckets"));
    match facts::patiently(move || bucket.recognise()) {
        Some(Ok(true)) => Known::Yes,
        Some(Ok(false)) => Known::New,
        Some(Err(error)) if !may_not_look(&error) => Known::Another(crate::service::with_causes(&error)),
        _ => Known::Untold,
    }
}

fn may_not_look(error: &dyn std::error::Error) -> bool {
    let mut cause = error.source();
    while let Some(inner) = cause {
        let refused = inner
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied);
        if refused {
            return true;
        }
        cause = inner.source();
    }
    false
}

fn show(findings: &[Finding]) {
    let paint = Paint::new();
    let width = output::width();
    let widths = findings.iter().map(|finding| columns(&tame(&finding.what)));
    let what = widths.max().unwrap_or_default().min(WHAT);
    let (mut warnings, mut faults) = (0_u64, 0_u64);
    for finding in findings {
        warnings += u64::from(finding.level == Level::Warn);
        faults += u64::from(finding.level == Level::Bad);
        let word = finding.level.word();
        let lead = format!("{word:<4}  {}  ", pad(&tame(&finding.what), what));
        for (at, line) in wrap(&lead, &tame(&finding.says), width).iter().enumerate() {
            match line.strip_prefix(word) {
                Some(rest) if at == 0 => output::print(&format!("{}{rest}", paint.state(colour(finding.level), word))),
                _ => output::print(line),
            }
        }
        if let Some(help) = &finding.help {
            let indent = " ".repeat(6);
            for line in wrap(&format!("{indent}-> "), &tame(help), width) {
                output::print(&line);
            }
        }
    }
    output::print(&match (faults, warnings) {
        (0, 0) => "This machine is fit.".to_owned(),
        (0, some) => format!("This machine is fit; {} to look at.", counted(some, "warning")),
        (some, 0) => format!("{} to put right.", counted(some, "fault")),
        (some, others) => format!(
            "{} to put right, {}.",
            counted(some, "fault"),
            counted(others, "warning")
        ),
    });
}

/// The state whose colour goes with a level.
fn colour(level: Level) -> &'static str {
    match level {
        Level::Ok => "ok",
        Level::Warn => "warning",
        Level::Bad => "failed",
    }
}
