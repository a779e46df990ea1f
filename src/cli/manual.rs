//! `reelmill man` and `reelmill completions`: made from the command line's own description, so that they cannot differ
//! from it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Command, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::arguments::Arguments;
use super::exit::{Code, Trouble};
use super::output;

/// What the exit codes mean.
const EXIT: [(&str, &str); 12] = [
    ("0", "It worked."),
    (
        "1",
        "The command ran, and what it was about failed: a trial, a job that cannot be repeated.",
    ),
    ("64", "The command line is wrong."),
    ("65", "A rule is wrong."),
    ("66", "Something named is not there: a file, a job, a rule, a bucket."),
    ("69", "The daemon is not running."),
    ("70", "A fault of the program."),
    ("73", "Something cannot be written."),
    ("74", "The answer cannot be written: the disk that it goes to is full."),
    (
        "75",
        "Not now: another daemon works on this state directory, or the database does not answer. Try again later.",
    ),
    ("77", "Not permitted."),
    ("78", "The config is wrong or missing, or the rules folder is."),
];

const FILES: [(&str, &str); 6] = [
    (
        "/etc/reelmill/reelmill.toml",
        "The config, unless --config, $REELMILL_CONFIG or ./reelmill.toml says otherwise.",
    ),
    (
        "/etc/reelmill/rules/*.toml",
        "The rules: rules/ beside the config, unless it says otherwise.",
    ),
    (
        "/var/lib/reelmill",
        "The state directory of root and of the service: the queue's database, what is known of each object.",
    ),
    (
        "$XDG_STATE_HOME/reelmill, ~/.local/state/reelmill",
        "The state directory of other users.",
    ),
    (
        "reelmill.sock",
        "In the state directory: the control socket, which speaks HTTP.",
    ),
    (
        "NAME/.reelmill",
        "In each bucket's directory: the marker by which it is known again, and scratch.",
    ),
];

const ENVIRONMENT: [(&str, &str); 6] = [
    ("REELMILL_CONFIG", "The config file, where --config does not name one."),
    (
        "REELMILL_LOG",
        "What the daemon logs: error, warn, info (the default), debug, trace, also for one part: reelmill::service=debug,info.",
    ),
    ("NO_COLOR", "Not empty: no colours."),
    (
        "STATE_DIRECTORY",
        "The state directory, where the config names none; systemd sets it.",
    ),
    (
        "NOTIFY_SOCKET, WATCHDOG_USEC",
        "Set by systemd: the daemon tells how it stands, and that it lives.",
    ),
    (
        "JOURNAL_STREAM",
        "Set by systemd: log lines carry a priority and no time.",
    ),
];

const SIGNALS: [(&str, &str); 2] = [
    (
        "SIGTERM, SIGINT",
        "The daemon takes nothing new, lets jobs run on for as long as workers.drain says, gives the rest back to the queue and ends.",
    ),
    (
        "SIGHUP",
        "The daemon reads the rules again, as it does by itself whenever one is saved.",
    ),
];

/// `reelmill completions SHELL`
pub fn completions(shell: Shell) -> ExitCode {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "reelmill", &mut text);
    output::print(String::from_utf8_lossy(&text).trim_end());
    ExitCode::SUCCESS
}

/// `reelmill man [--out DIR]`
pub fn man(out: Option<&Path>) -> Result<ExitCode, Trouble> {
    let unreadable = |error: io::Error| Trouble::io("cannot make the manual", &error, Code::Internal);
    let pages = pages().map_err(unreadable)?;
    let Some(out) = out else {
        if let Some((_, text)) = pages.first() {
            output::print(String::from_utf8_lossy(text).trim_end());
        }
        return Ok(ExitCode::SUCCESS);
    };
    let unwritable = |path: PathBuf| {
        move |error: io::Error| Trouble::io(&format!("cannot write {}", path.display()), &error, Code::CannotCreate)
    };
    std::fs::create_dir_all(out).map_err(unwritable(out.to_owned()))?;
    for (name, text) in pages {
        let path = out.join(name);
        std::fs::write(&path, text).map_err(unwritable(path))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Every page with the name of its file, the program's own first.
fn pages() -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut root = Arguments::command().disable_help_subcommand(true);
    root.build();
    let mut pages = Vec::new();
    add(&root, "reelmill", &mut pages)?;
    Ok(pages)
}

fn add(command: &Command, name: &str, pages: &mut Vec<(String, Vec<u8>)>) -> io::Result<()> {
    let commands: Vec<_> = command
        .get_subcommands()
        .filter(|below| !below.is_hide_set() && below.get_name() != "help")
        .collect();
    let mut text = Vec::new();
    let man = Man::new(
        command
            .clone()
            .display_name(name.to_owned())
            .version(env!("CARGO_PKG_VERSION")),
    )
    .title(name.to_uppercase())
    .source(concat!("reelmill ", env!("CARGO_PKG_VERSION")))
    .manual("Reelmill");
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if !commands.is_empty() {
        list("COMMANDS", &described(name, &commands), &mut text)?;
    }
    if name == "reelmill" {
        let said = |all: &[(&str, &str)]| -> Vec<_> {
            all.iter()
                .map(|(what, text)| ((*what).to_owned(), (*text).to_owned()))
                .collect()
        };
        list("SIGNALS", &said(&SIGNALS), &mut text)?;
        list("EXIT STATUS", &said(&EXIT), &mut text)?;
        list("FILES", &said(&FILES), &mut text)?;
        list("ENVIRONMENT", &said(&ENVIRONMENT), &mut text)?;
    } else {
        let mut roff = Roff::new();
        roff.control("SH", ["SEE ALSO"]);
        roff.text([bold("reelmill"), roman("(1), for exit codes, files and environment")]);
        roff.to_writer(&mut text)?;
    }
    pages.push((format!("{name}.1"), text));
    for below in commands {
        add(below, &format!("{name}-{}", below.get_name()), pages)?;
    }
    Ok(())
}

/// The pages of the commands below, each with what it does.
fn described(name: &str, commands: &[&Command]) -> Vec<(String, String)> {
    commands
        .iter()
        .map(|below| {
            let about = below.get_about().map(ToString::to_string).unwrap_or_default();
            (format!("{name}-{}(1)", below.get_name()), about)
        })
        .collect()
}

/// A section of things, each with what it is.
fn list(heading: &str, all: &[(String, String)], into: &mut impl Write) -> io::Result<()> {
    let mut roff = Roff::new();
    roff.control("SH", [heading]);
    for (what, text) in all {
        roff.control("TP", []);
        roff.text([bold(what.as_str())]);
        roff.text([roman(text.as_str())]);
    }
    roff.to_writer(into)
}
