//! The command line.
//!
//! Commands that need the daemon ask it over its socket ([`client`]); the others work on files. Answers for people
//! and, with `--json`, for programs go to standard output; everything else to standard error. The exit code says
//! what sort of trouble there was (`exit`).

pub mod arguments;
mod backup;
mod check;
pub mod client;
mod codecs;
mod doctor;
mod exit;
mod explain;
mod files;
mod jobs;
mod live;
mod log;
mod manual;
mod output;
mod presets;
mod progress;
mod quarantine;
mod queue;
pub mod report;
mod rules;
mod run;
mod since;
mod status;
mod table;
mod terminal;
mod trying;
mod watch;

use std::ffi::OsString;
use std::process::ExitCode;

use arguments::{Arguments, BucketCommand, Command, LogFormat};
use clap::Parser as _;
use exit::{Code, Trouble};

use crate::worker::child::{self, Errand};

/// Carries out a command line, the program's name first. Synchronous up to here: the worker must find itself
/// without a runtime and without a second thread.
pub fn main(line: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(line) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are answers, not troubles; nobody may be left to read either.
            error.print().ok();
            return if error.use_stderr() {
                Code::Usage.into()
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    if let Command::Worker {
        build_registry,
        list_elements,
    } = arguments.command
    {
        return child::main(match (build_registry, list_elements) {
            (true, _) => Errand::BuildRegistry,
            (_, true) => Errand::ListElements,
            _ => Errand::Work,
        });
    }
    match carry_out(&arguments) {
        Ok(code) => match output::unwritten() {
            // Whoever reads half an answer must not take it for the whole.
            Some(error) if code == ExitCode::SUCCESS => {
                output::say(&format!("reelmill: the answer cannot be written: {error}"));
                Code::Io.into()
            }
            _ => code,
        },
        Err(trouble) => trouble.tell(arguments.json),
    }
}

fn carry_out(arguments: &Arguments) -> Result<ExitCode, Trouble> {
    let config = arguments.config.as_deref();
    let json = arguments.json;
    match &arguments.command {
        Command::Run { .. } if json => run::run(config, LogFormat::Json),
        Command::Run { log_format } => run::run(config, *log_format),
        Command::Check { online } => check::check(config, *online, json),
        Command::Doctor { unit: true } => doctor::print_unit(config, json),
        Command::Doctor { unit: false } => Ok(doctor::doctor(config, json)),
        Command::Status => status::status(config, json),
        Command::Quarantine => quarantine::quarantine(config, json),
        Command::Try { rule, file, out } => trying::try_rule(config, rule, file, out.as_deref(), json),
        Command::Explain { bucket, key } => explain::explain(config, bucket, key.as_deref(), json),
        Command::Rules { command } => rules::rules(config, command.as_ref(), json),
        Command::Presets { command } => presets::presets(config, command.as_ref(), json),
        Command::Codecs => codecs::codecs(config, json),
        Command::Jobs { command } => jobs::jobs(config, command.as_ref(), json),
        Command::Pause { rule, reason } => queue::pause(config, rule.as_deref(), reason.as_deref(), json),
        Command::Resume { rule } => queue::resume(config, rule.as_deref(), json),
        Command::Submit(wish) => queue::submit(config, wish, json),
        Command::Backfill(wish) => queue::backfill(config, wish, json),
        Command::Backup { file } => backup::backup(config, file, json),
        Command::Bucket {
            command: BucketCommand::Accept { name },
        } => files::accept_bucket(config, name, json),
        Command::Completions { shell } => Ok(manual::completions(*shell)),
        Command::Man { out } => manual::man(out.as_deref()),
        Command::Worker { .. } => Ok(ExitCode::SUCCESS),
    }
}
