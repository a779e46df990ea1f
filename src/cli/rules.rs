//! `reelmill rules`
//!
//! Turning a rule on or off edits its file, the only truth for rules, and tells a daemon that runs.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::json;

use super::arguments::RulesCommand;
use super::client::Client;
use super::exit::{Code, Trouble};
use super::files;
use super::output::{self, Paint, ago, tame};
use super::status::{broken, read};
use super::table::Table;
use crate::app::status::{RuleView, RulesView};
use crate::config::Config;
use crate::diagnostic::did_you_mean;
use crate::rule::edit::set_enabled;

/// How long a daemon is given to take up an edited file before this says that it has not.
const PATIENCE: Duration = Duration::from_secs(5);

/// Lists or shows rules, turns one on or off.
pub fn rules(said: Option<&Path>, command: Option<&RulesCommand>, json: bool) -> Result<ExitCode, Trouble> {
    let config = files::config(said)?;
    match command {
        None | Some(RulesCommand::List) => {
            let view: RulesView = read(Client::new(&config)?.get("/v1/rules")?)?;
            if json {
                output::print_json(&view);
            } else {
                list(&view, &config);
            }
        }
        Some(RulesCommand::Show { name }) => {
            let view: RulesView = read(Client::new(&config)?.get("/v1/rules")?)?;
            let rule = view.rules.iter().find(|rule| &rule.name == name);
            let rule = rule.ok_or_else(|| no_such_rule(name, view.rules.iter().map(|rule| rule.name.as_str())))?;
            if json {
                output::print_json(rule);
            } else {
                show(rule);
            }
        }
        Some(RulesCommand::Enable { name }) => turn(&config, name, true, json)?,
        Some(RulesCommand::Disable { name }) => turn(&config, name, false, json)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn no_such_rule<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Trouble {
    let known: Vec<_> = known.collect();
    let trouble = Trouble::new(Code::NoInput, format!("there is no rule \"{name}\""));
    match (did_you_mean(name, known.iter().copied()), known.len()) {
        (Some(meant), _) => trouble.help(format!("did you mean \"{}\"?", tame(meant))),
        (None, 0) => trouble.help("there is none at all: a rule is a TOML file in the rules folder"),
        (None, 1..=12) => {
            let known: Vec<_> = known.iter().map(|name| format!("\"{}\"", tame(name))).collect();
            trouble.help(format!("there is {}", known.join(", ")))
        }
        (None, _) => trouble.help("`reelmill rules` lists them"),
    }
}

fn list(view: &RulesView, config: &Config) {
    if view.rules.is_empty() && view.broken.is_empty() {
        output::print(&format!(
            "No rules. Each is a TOML file in {}; the README explains a first one.",
            config.rules.display()
        ));
        return;
    }
    let now = Timestamp::now();
    let mut table = Table::new(
        &[
            "RULE",
            "IS",
            "WATCHES",
            "PUBLISHES TO",
            "QUEUED",
            "RUNNING",
            "DONE",
            "FAILED",
            "LAST JOB",
        ],
        0,
    )
    .coloured(1)
    .yielding(2, 10)
    .yielding(3, 10)
    .expendable(&[3, 6, 8, 4, 5, 2, 7]);
    for rule in &view.rules {
        let figure = |state: &str| rule.jobs.get(state).copied().unwrap_or_default().to_string();
        let is = match (rule.broken, rule.enabled, &rule.arming) {
            (true, _, _) => "broken",
            _ if rule.waits.as_ref().is_some_and(|wait| wait.kind == "paused") => "paused",
            (_, true, Some(_)) => "arming",
            (_, true, None) => "enabled",
            _ => "disabled",
        };
        table.row(&[
            rule.name.clone(),
            is.to_owned(),
            format!("{}/{}", rule.bucket, rule.directory),
            format!(
                "{}/{}",
                rule.output_bucket,
                rule.output_directory.as_deref().unwrap_or(&rule.directory)
            ),
            figure("queued"),
            figure("running"),
            figure("succeeded"),
            figure("failed"),
            rule.last_job.map_or_else(|| "never".to_owned(), |then| ago(then, now)),
        ]);
    }
    table.print();
    broken(&view.broken, &Paint::new());
}

fn show(rule: &RuleView) {
    let now = Timestamp::now();
    let is = if rule.enabled { "enabled" } else { "disabled" };
    output::print(&format!(
        "rule     {}  {is} since {}",
        tame(&rule.name),
        ago(rule.since, now)
    ));
    let state = if rule.broken {
        " (broken now: this is the last good version)"
    } else {
        ""
    };
    output::print(&format!(
        "file     {}{state}, version {}",
        tame(&rule.file),
        rule.version
    ));
    if let Some(arming) = &rule.arming {
        output::print(&format!(
            "arming   {arming}: what was there before is being written down"
        ));
    }
    if let Some(wait) = &rule.waits {
        output::print(&format!("waits    {}", tame(&wait.message)));
    }
    output::print("");
    // The text is the operator's own; only what could steer the terminal is taken out of it.
    for line in rule.text.lines() {
        output::print(&tame(&line.replace('\t', "    ")));
    }
}

fn turn(config: &Config, name: &str, enabled: bool, json: bool) -> Result<(), Trouble> {
    let (path, text) = find(config, name)?;
    let shown = path.display();
    let edited = set_enabled(&text, enabled)
        .map_err(|error| Trouble::new(Code::Data, format!("{shown} cannot be edited: {error}")))?;
    let changed = edited != text;
    if changed {
        replace(&path, &edited)
            .map_err(|error| Trouble::io(&format!("cannot write {shown}"), &error, Code::CannotCreate))?;
    }
    let word = if enabled { "enabled" } else { "disabled" };
    let client = Client::new(config)?;
    let daemon = match client.post("/v1/reload", &json!({})) {
        Ok(_) => taken_up(&client, name, enabled)?,
        Err(trouble) if trouble.code == Code::Unavailable => Taken::NotRunning,
        Err(trouble) => return Err(trouble),
    };
    if json {
        output::print_json(&json!({
            "rule": name,
            "file": path.to_string_lossy(),
            "enabled": enabled,
            "changed": changed,
            "daemon": match daemon { Taken::Yes => "taken_up", Taken::NotYet => "not_yet", Taken::NotRunning => "not_running" },
        }));
        return Ok(());
    }
    let name = tame(name);
    output::print(&match daemon {
        Taken::Yes => format!("\"{name}\" is {word} ({shown})."),
        Taken::NotRunning => {
            format!("\"{name}\" is {word} in {shown}; the daemon is not running and will see it when it starts.")
        }
        Taken::NotYet => format!(
            "\"{name}\" is {word} in {shown}, but the daemon has not taken it up; `reelmill rules` and `reelmill check` say why."
        ),
    });
    if enabled && !changed {
        output::print("It was so already.");
    }
    Ok(())
}

enum Taken {
    Yes,
    NotYet,
    NotRunning,
}

/// Waits until the daemon says of the rule what its file says.
fn taken_up(client: &Client, name: &str, enabled: bool) -> Result<Taken, Trouble> {
    let end = Instant::now() + PATIENCE;
    loop {
        let view: RulesView = read(client.get("/v1/rules")?)?;
        let rule = view.rules.iter().find(|rule| rule.name == name);
        if rule.is_some_and(|rule| rule.enabled == enabled) {
            return Ok(Taken::Yes);
        }
        if Instant::now() > end {
            return Ok(Taken::NotYet);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The file of the rule with this name, with its text. A file that is no TOML is known by its own name only.
fn find(config: &Config, name: &str) -> Result<(PathBuf, String), Trouble> {
    let folder = config.rules.display();
    let entries = std::fs::read_dir(&config.rules)
        .map_err(|error| Trouble::io(&format!("cannot read {folder}"), &error, Code::NoInput))?;
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "toml"));
    paths.sort();
    let mut known = Vec::new();
    for path in paths {
        let Ok(text) = std::fs::read_to_string(&path) else {
            continue;
        };
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let table: Option<toml::Table> = text.parse().ok();
        let own = table
            .as_ref()
            .and_then(|table| table.get("name"))
            .and_then(|value| value.as_str())
            .unwrap_or(&stem)
            .to_owned();
        if own == name {
            return Ok((path, text));
        }
        known.push(own);
    }
    Err(no_such_rule(name, known.iter().map(String::as_str)))
}

/// Writes a file whole or not at all; mode and, where permitted, owner stay. A link is followed.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    let path = std::fs::canonicalize(path)?;
    let before = std::fs::metadata(&path)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // Hidden, and without the ending of a rule file: the daemon does not look at it.
    let fresh = path.with_file_name(format!(".{name}.{}.new", std::process::id()));
    let written = (|| {
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).open(&fresh)?;
        file.write_all(text.as_bytes())?;
        file.set_permissions(std::fs::Permissions::from_mode(before.mode() & 0o7777))?;
        std::os::unix::fs::fchown(&file, Some(before.uid()), Some(before.gid())).ok();
        file.sync_all()?;
        std::fs::rename(&fresh, &path)
    })();
    if written.is_err() {
        std::fs::remove_file(&fresh).ok();
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_file_is_replaced_whole_and_keeps_its_mode() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.toml");
        std::fs::write(&path, "old").expect("a file");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("a mode");
        replace(&path, "new").expect("replaced");
        assert_eq!(std::fs::read_to_string(&path).expect("a text"), "new");
        let mode = std::fs::metadata(&path).expect("a file").permissions().mode();
        assert_eq!(mode & 0o7777, 0o640);
        let left = std::fs::read_dir(folder.path()).expect("a folder").count();
        assert_eq!(left, 1, "nothing else is left behind");
    }
}
