//! What can be said on the command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// A self-hosted media workflow daemon: drop a file, get published results.
#[derive(Debug, Parser)]
#[command(name = "reelmill", version, propagate_version = true, max_term_width = 100)]
pub struct Arguments {
    /// The config file; else $REELMILL_CONFIG, ./reelmill.toml, /etc/reelmill/reelmill.toml
    #[arg(long, short, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Answer in JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon until it is told to stop
    Run {
        /// How log lines look
        #[arg(long, value_enum, value_name = "FORMAT", default_value = "text")]
        log_format: LogFormat,
    },
    /// Check the config file and every rule file
    Check {
        /// Also ask every bucket what is reachable and permitted there, and who tells of new objects; small objects below
        /// `.reelmill/` are written and removed where rules write
        #[arg(long)]
        online: bool,
    },
    /// Say whether this machine is fit: GStreamer, buckets, limits, disks, clock
    Doctor {
        /// Print what `systemctl edit reelmill` needs for the buckets of the config
        #[arg(long)]
        unit: bool,
    },
    /// Say how the daemon stands: buckets, rules, queue, jobs that run
    Status,
    /// Run one rule on one file, here and now, without a daemon
    Try {
        /// The rule file
        #[arg(value_name = "RULE")]
        rule: PathBuf,
        /// The file to work on
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Where results go
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Say for every rule why it would or would not start on an object, and what became of it
    Explain {
        /// The bucket's name; or, alone, the path of a file in a bucket's directory
        #[arg(value_name = "BUCKET|FILE")]
        bucket: OsString,
        /// The object's key: its path below the bucket's directory (after `--` where it looks like an option)
        #[arg(allow_hyphen_values = true)]
        key: Option<OsString>,
    },
    /// List rules, show one, turn one on or off
    Rules {
        /// Default: list.
        #[command(subcommand)]
        command: Option<RulesCommand>,
    },
    /// List presets, or show one as TOML to copy into a rule
    Presets {
        /// Default: list.
        #[command(subcommand)]
        command: Option<PresetsCommand>,
    },
    /// Show messages about objects that nobody understood
    Quarantine,
    /// List what of GStreamer workers load: nothing else exists for media
    Codecs,
    /// List jobs, show one, repeat or cancel one
    Jobs {
        /// Default: list.
        #[command(subcommand)]
        command: Option<JobsCommand>,
    },
    /// Let no more jobs start, of one rule or of all; running ones finish
    Pause {
        /// The rule's name; without it the whole mill
        rule: Option<String>,
        /// Why, for whoever looks later
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Let jobs start again that `pause` held back
    Resume {
        /// The rule's name; without it the whole mill
        rule: Option<String>,
    },
    /// Start one job on demand, whatever happened to the object before
    Submit(Submit),
    /// Queue what lies in a rule's bucket already and what it has not done
    Backfill(Backfill),
    /// Copy the database into a new file, while the daemon runs or not
    Backup {
        /// The file to write; nothing may be there
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Look after buckets
    Bucket {
        /// What to do.
        #[command(subcommand)]
        command: BucketCommand,
    },
    /// Write what a shell needs to complete this command line
    Completions {
        /// Which shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Write the manual: this program's page, or every page into a directory
    Man {
        /// Where the pages go, one file each
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// The worker process; started by the daemon only
    #[command(hide = true)]
    Worker {
        /// Write down which GStreamer elements there are, and end.
        #[arg(long)]
        build_registry: bool,
        /// Say which GStreamer elements there are, and end.
        #[arg(long, conflicts_with = "build_registry")]
        list_elements: bool,
    },
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

/// What to do about rules.
#[derive(Debug, Subcommand)]
pub enum RulesCommand {
    /// List every rule
    List,
    /// Show one rule and its file
    Show {
        /// The rule's name
        name: String,
    },
    /// Turn a rule on: writes `enabled = true` into its file
    Enable {
        /// The rule's name
        name: String,
    },
    /// Turn a rule off: writes `enabled = false` into its file
    Disable {
        /// The rule's name
        name: String,
    },
}

/// What to do about presets.
#[derive(Debug, Subcommand)]
pub enum PresetsCommand {
    /// List every preset: built in, in the presets folder, in rules
    List,
    /// Show one as a table of a rule
    Show {
        /// The preset's name
        name: String,
    },
}

/// What to do about jobs.
#[derive(Debug, Subcommand)]
pub enum JobsCommand {
    /// List jobs, newest first
    List(JobsList),
    /// Show one job with its tasks and outputs
    Show {
        /// Its id, or at least 3 letters of its beginning or end
        id: String,
    },
    /// Show which pipelines made the outputs of a job, with which settings and versions
    Provenance {
        /// Its id, or at least 3 letters of its beginning or end
        id: String,
    },
    /// Show jobs at work, with bars on a terminal, until they have ended
    Watch {
        /// Only these, and until they have ended: ids, or at least 3 letters of their beginnings or ends
        #[arg(value_name = "ID")]
        ids: Vec<String>,
    },
    /// Make a new job for the object of one that ended
    Retry {
        /// Its id, or at least 3 letters of its beginning or end
        id: String,
        /// Under the version of the rule that the old job had
        #[arg(long)]
        same_version: bool,
    },
    /// Give a job that waits another place in the queue
    Priority {
        /// Its id, or at least 3 letters of its beginning or end
        id: String,
        /// From -10 to 10, higher first
        #[arg(value_name = "N", allow_negative_numbers = true)]
        priority: i64,
    },
    /// End a job that has not ended
    Cancel {
        /// Its id, or at least 3 letters of its beginning or end
        id: String,
        /// Why, for whoever looks later
        #[arg(long)]
        reason: Option<String>,
    },
}

/// Which jobs to list.
#[derive(Debug, Default, Args)]
pub struct JobsList {
    /// Only in this state; may be given more than once
    #[arg(long, value_delimiter = ',', value_parser = ["queued", "running", "succeeded", "failed", "cancelled"])]
    pub state: Vec<String>,
    /// Only of this rule
    #[arg(long)]
    pub rule: Option<String>,
    /// Only of objects in this bucket
    #[arg(long)]
    pub bucket: Option<String>,
    /// Only of this key: the object's path below the bucket's directory
    #[arg(long, allow_hyphen_values = true)]
    pub key: Option<OsString>,
    /// Only those made since then: "2d", "90m", "2026-05-17" or a whole time
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub limit: u32,
    /// Only jobs older than this one
    #[arg(long, value_name = "ID")]
    pub before: Option<String>,
}

/// A job on demand.
#[derive(Debug, Args)]
pub struct Submit {
    /// The bucket's name
    pub bucket: String,
    /// The object's key: its path below the bucket's directory
    pub key: OsString,
    /// Under this rule, also where it is disabled or its trigger does not match
    #[arg(long, value_name = "NAME")]
    pub rule: String,
    /// From -10 to 10, higher first; default: the rule's
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub priority: Option<i64>,
    /// Kept with the job and shown with it, up to 1000 characters
    #[arg(long, value_name = "TEXT")]
    pub context: Option<String>,
    /// Refuse where this id was given within the last 7 days
    #[arg(long, value_name = "ID")]
    pub dedupe_id: Option<String>,
}

/// What exists.
#[derive(Debug, Args)]
pub struct Backfill {
    /// The rule's name
    pub rule: String,
    /// Only objects changed since then: a time ("2026-11-01") or an age ("7d")
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// From -10 to 10, higher first; default: the rule's
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub priority: Option<i64>,
    /// Only say what would be queued; with --json, all of it
    #[arg(long)]
    pub dry_run: bool,
}

/// What to do about buckets.
#[derive(Debug, Subcommand)]
pub enum BucketCommand {
    /// Take the directory that is there now for the right one (after a disk was replaced)
    Accept {
        /// The bucket's name
        name: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    fn parse(line: &[&str]) -> Arguments {
        Arguments::try_parse_from(std::iter::once("reelmill").chain(line.iter().copied())).expect("a command line")
    }

    #[test]
    fn the_command_line_is_put_together_rightly() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_config_may_stand_before_and_after_the_command() {
        for line in [
            ["--config", "a.toml", "jobs", "list"],
            ["jobs", "--config", "a.toml", "list"],
            ["jobs", "list", "--config", "a.toml"],
        ] {
            let arguments = parse(&line);
            assert_eq!(arguments.config, Some(PathBuf::from("a.toml")), "{line:?}");
        }
    }

    #[test]
    fn json_may_stand_everywhere() {
        assert!(parse(&["--json", "status"]).json);
        assert!(parse(&["status", "--json"]).json);
        assert!(parse(&["jobs", "show", "abc", "--json"]).json);
        assert!(!parse(&["status"]).json);
    }

    #[test]
    fn a_key_need_not_be_utf_8() {
        use std::os::unix::ffi::OsStringExt as _;
        let key = OsString::from_vec(b"a\xffb.mp4".to_vec());
        let line = ["reelmill".into(), "explain".into(), "inbox".into(), key.clone()];
        let arguments = Arguments::try_parse_from::<_, OsString>(line).expect("a command line");
        assert!(matches!(arguments.command, Command::Explain { key: Some(found), .. } if found == key));
    }

    #[test]
    fn a_key_may_begin_with_a_hyphen() {
        for line in [
            &["explain", "inbox", "-x.mp4", "--json"][..],
            &["--json", "explain", "inbox", "--", "-x.mp4"],
        ] {
            let arguments = parse(line);
            assert!(arguments.json);
            assert!(matches!(arguments.command, Command::Explain { key: Some(key), .. } if key == "-x.mp4"));
        }
        let list = parse(&["jobs", "list", "--key", "-x.mp4"]);
        assert!(
            matches!(list.command, Command::Jobs { command: Some(JobsCommand::List(list)) }
            if list.key.as_deref() == Some("-x.mp4".as_ref()))
        );
    }

    #[test]
    fn several_states_and_a_limit_are_taken() {
        let arguments = parse(&["jobs", "list", "--state", "failed,queued", "--limit", "3"]);
        let Command::Jobs {
            command: Some(JobsCommand::List(list)),
        } = arguments.command
        else {
            panic!("another command");
        };
        assert_eq!(list.state, ["failed", "queued"]);
        assert_eq!(list.limit, 3);
        let wrong = ["reelmill", "jobs", "list", "--state", "done"];
        assert!(Arguments::try_parse_from(wrong).is_err());
    }
}
