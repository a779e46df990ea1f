//! `reelmill check`: whether what people wrote is right; with `--online`, whether what it names is there.

mod online;

use std::path::Path;
use std::process::ExitCode;

use serde_json::json;

use super::exit::{Code, Trouble};
use super::{files, output, report};
use crate::config::{check_all, read_rules};
use crate::diagnostic::quantity::counted;
use crate::diagnostic::{Diagnostic, Severity, SourceFile};
use crate::publish::Access;
use crate::rule::Rule;

/// Checks the config and the rules, and asks the buckets where that is wanted.
pub fn check(said: Option<&Path>, online: bool, json: bool) -> Result<ExitCode, Trouble> {
    let path = files::there(files::find_config(said)?)?;
    let (config, mut diagnostics) = crate::config::read(&path);
    let mut rules: Vec<Rule> = Vec::new();
    if let Some(config) = &config {
        let files = read_rules(&config.rules).map_err(|error| {
            let folder = config.rules.display();
            let what = format!(
                "the rules folder {folder} cannot be read; make it, or name another with `rules` in the config"
            );
            match error.kind() {
                std::io::ErrorKind::PermissionDenied => Trouble::io(&what, &error, Code::Permission),
                _ => Trouble::new(Code::Config, format!("{what}: {error}")),
            }
        })?;
        let checked = check_all(config, &files, &files::presets(&config.presets)?);
        diagnostics.extend(checked.rules.iter().filter_map(unknown_owner));
        diagnostics.extend(checked.diagnostics);
        rules = checked.rules.into_iter().map(|(rule, _)| rule).collect();
    }
    let enabled = rules.iter().filter(|rule| rule.enabled).count();
    let errors = count(&diagnostics, Severity::Error);
    let warnings = count(&diagnostics, Severity::Warning);
    if !json {
        report::to_stderr(&diagnostics);
        let config = output::tame(&path.display().to_string());
        output::print(&format!(
            "{config}: {}",
            verdict(errors, warnings, rules.len(), enabled)
        ));
        if errors == 0 && !rules.is_empty() && enabled == 0 {
            output::print("No rule is enabled, so nothing will start: `reelmill rules enable NAME`.");
        }
    }
    let asked = match &config {
        Some(config) if online => Some(online::ask(config, &rules)?),
        _ => None,
    };
    let missed = asked.as_ref().and_then(|reports| online::code(reports));
    if json {
        let mut answer = json!({
            "ok": errors == 0 && missed.is_none(),
            "config": path.to_string_lossy(),
            "rules": rules.len(),
            "enabled": enabled,
            "errors": errors,
            "warnings": warnings,
            "diagnostics": report::to_json(&diagnostics),
        });
        if let Some(reports) = &asked {
            answer["online"] = json!(reports);
        }
        output::print_json(&answer);
    } else if let Some(reports) = &asked {
        online::show(reports);
    }
    Ok(match (errors, missed) {
        (0, None) => ExitCode::SUCCESS,
        (0, Some(code)) => code.into(),
        _ if config.is_none() => Code::Config.into(),
        _ => Code::Data.into(),
    })
}

/// What is found, in a line.
fn verdict(errors: usize, warnings: usize, rules: usize, enabled: usize) -> String {
    let verdict = match errors {
        0 => "good".to_owned(),
        some => counted(some as u64, "error"),
    };
    let rules_found = match (rules, enabled) {
        (0, _) => "no good rule".to_owned(),
        (1, 0) => "1 good rule, not enabled".to_owned(),
        (1, _) => "1 good rule, enabled".to_owned(),
        (all, some) => format!("{}, {some} of them enabled", counted(all as u64, "good rule")),
    };
    let warned = match warnings {
        0 => String::new(),
        some => format!(", {}", counted(some as u64, "warning")),
    };
    format!("{verdict}{warned}; {rules_found}")
}

/// A warning where this machine does not know who should own a rule's results. It is no error: the daemon may run on
/// another machine.
fn unknown_owner((rule, file): &(Rule, SourceFile)) -> Option<Diagnostic> {
    let error = Access::resolve(&rule.output.access).err()?;
    let warning = Diagnostic::error(file, None, error.to_string()).as_warning();
    Some(warning.with_help("jobs of this rule will fail where the daemon does not find them either"))
}

fn count(diagnostics: &[Diagnostic], severity: Severity) -> usize {
    diagnostics.iter().filter(|one| one.severity == severity).count()
}
