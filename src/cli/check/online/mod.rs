//! `reelmill check --online`: what is reachable and permitted at each bucket, and who tells of new objects there.
//!
//! Buckets are asked side by side. [`storage`] tries; [`told`] and [`near`] judge what was seen; [`commands`] says what would
//! help. Whatever is written is removed again, also where the program is interrupted.

mod commands;
mod near;
mod storage;
mod stream;
mod told;
mod tried;

use std::collections::BTreeSet;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use self::storage::Needs;
use self::told::{Kind, Seen};
use self::tried::{Report, State, Tried};
use crate::bucket::s3::{S3Remote, inspect, sdk};
use crate::cli::doctor::roles_of;
use crate::cli::exit::{Code, Trouble};
use crate::cli::live::Live;
use crate::cli::output::{self, Paint, tame};
use crate::cli::terminal::{pad, wrap};
use crate::config::{Config, S3Config, WatchSource};
use crate::object::BucketName;
use crate::rule::Rule;
use crate::watch::sqs::attributes;

/// How long a server may take to answer the first question, and those about notifications together.
const PATIENCE: Duration = Duration::from_secs(15);

/// Asks every bucket of the config.
pub fn ask(config: &Config, rules: &[Rule]) -> Result<Vec<Report>, Trouble> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Trouble::io("cannot start the runtime", &error, Code::Internal))?;
    let scratch = Scratch::new()?;
    let reports = runtime.block_on(all(config, rules, &scratch.0));
    // What is left are threads that wait for a disk that does not answer.
    runtime.shutdown_timeout(Duration::from_secs(1));
    reports
}

/// A directory for small files, which goes away with this.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self, Trouble> {
        let path = std::env::temp_dir().join(format!("reelmill-check-{:016x}", rand::random::<u64>()));
        let made = std::fs::DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|error| {
            let what = format!("cannot make the directory {}", path.display());
            Trouble::io(&what, &error, Code::CannotCreate)
        })?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

async fn all(config: &Config, rules: &[Rule], scratch: &Path) -> Result<Vec<Report>, Trouble> {
    let mut interrupt = signal(SignalKind::interrupt())
        .map_err(|error| Trouble::io("cannot hear of interrupts", &error, Code::Internal))?;
    let stop = CancellationToken::new();
    let mut foot = Live::on_stderr();
    let mut waiting: BTreeSet<BucketName> = config.buckets.keys().cloned().collect();
    let mut asked: JoinSet<Report> = JoinSet::new();
    let roles = roles_of(rules);
    for (name, bucket) in &config.buckets {
        let role = roles.get(name).copied().unwrap_or_default();
        let report = Report {
            bucket: name.clone(),
            location: bucket.location(),
            role: role.words(),
            tried: Vec::new(),
        };
        if let Some(s3) = bucket.s3() {
            let far = Far {
                name: name.clone(),
                config: Box::new(s3.clone()),
                needs: Needs::of(name, rules),
                watched: role.watched,
                http: config.http,
                scratch: scratch.to_owned(),
                stop: stop.clone(),
            };
            asked.spawn(async move {
                let tried = far.ask().await;
                Report { tried, ..report }
            });
        } else {
            let (config, name) = (config.clone(), name.clone());
            asked.spawn_blocking(move || Report {
                tried: near::tried(&config, &name, role),
                ..report
            });
        }
    }
    let mut reports = Vec::new();
    while !asked.is_empty() {
        if let Some(foot) = &mut foot {
            let names: Vec<&str> = waiting.iter().map(BucketName::as_str).collect();
            let size = foot.size();
            let line = crate::cli::terminal::cut_end(&format!("asking {}", names.join(", ")), size.0.saturating_sub(1));
            foot.draw(&[], &[line], size).ok();
        }
        tokio::select! {
            _ = interrupt.recv() => stop.cancel(),
            Some(ended) = asked.join_next() => {
                let report = ended.map_err(|error| Trouble::new(Code::Internal, format!("a bucket could not be asked: {error}")))?;
                waiting.remove(&report.bucket);
                reports.push(report);
            }
        }
    }
    if let Some(foot) = &mut foot {
        let size = foot.size();
        foot.clear(size).ok();
    }
    reports.sort_by(|a, b| a.bucket.as_str().cmp(b.bucket.as_str()));
    Ok(reports)
}

/// A bucket over a network that is to be asked.
struct Far {
    name: BucketName,
    config: Box<S3Config>,
    needs: Needs,
    watched: bool,
    http: Option<std::net::SocketAddr>,
    scratch: PathBuf,
    stop: CancellationToken,
}

impl Far {
    async fn ask(&self) -> Vec<Tried> {
        let what = "reachable";
        let remote = match S3Remote::connect(&self.name, &self.config).await {
            Ok(remote) => Arc::new(remote),
            Err(error) => return vec![Tried::refused(what, &self.name, &error)],
        };
        let asked = tokio::select! {
            asked = timeout(PATIENCE, remote.ask_server()) => asked,
            () = self.stop.cancelled() => return vec![Tried::failed(Code::Temporary, what, "not tried: it was interrupted")],
        };
        let Ok((server, answer)) = asked else {
            let says = format!(
                "no answer within {} s: look at `endpoint`, the network and the server",
                PATIENCE.as_secs()
            );
            return vec![Tried::failed(Code::Unavailable, what, says)];
        };
        if let Err(error) = answer {
            return vec![Tried::refused(what, &self.name, &error)];
        }
        let mut tried = vec![match &server.software {
            Some(software) => Tried::good(what, format!("{software}, region {}", remote.region())),
            None => Tried::good(what, format!("region {}", remote.region())),
        }];
        tried.extend(storage::all(&self.name, &*remote, &self.needs, &self.scratch, &self.stop).await);
        if self.watched && !self.stop.is_cancelled() {
            let kind = Kind::of(&self.config, server.software.as_deref());
            match timeout(PATIENCE, self.told(&remote, kind)).await {
                Ok(told) => tried.extend(told),
                Err(_) => tried.push(Tried::failed(
                    Code::Unavailable,
                    "notifications",
                    format!("no answer within {} s", PATIENCE.as_secs()),
                )),
            }
        }
        tried
    }

    /// Who tells of new objects.
    async fn told(&self, remote: &S3Remote, kind: Kind) -> Vec<Tried> {
        let told = |source| self.config.watch.contains(&source);
        let asks = told(WatchSource::Sqs) || told(WatchSource::Webhook);
        let notifications = if asks {
            let found = remote.notifications().await;
            found.map_err(|error| Tried::refused("notifications", &self.name, &error))
        } else {
            Ok(inspect::Notifications::default())
        };
        let sdk = match sdk(&self.name, &self.config, None).await {
            Ok(sdk) => sdk,
            Err(error) => return vec![Tried::refused("notifications", &self.name, &error)],
        };
        let queue = match &self.config.sqs {
            Some(sqs) if told(WatchSource::Sqs) => Some(attributes::ask(&self.config, sqs, &sdk).await),
            _ => None,
        };
        let stream = if told(WatchSource::Listen) {
            Some(stream::listen(&self.config, &sdk, &self.needs.directories).await)
        } else {
            None
        };
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        told::judge(&Seen {
            bucket: &self.name,
            config: &self.config,
            http: self.http,
            host,
            region: remote.region(),
            kind,
            directories: &self.needs.directories,
            notifications: &notifications,
            queue: queue.as_ref(),
            stream: stream.as_ref(),
        })
    }
}

/// The exit code that the first thing asks for that is needed and does not work.
pub fn code(reports: &[Report]) -> Option<Code> {
    reports.iter().flat_map(|report| &report.tried).find_map(|one| one.code)
}

/// Says it to people.
pub fn show(reports: &[Report]) {
    let paint = Paint::new();
    let width = output::width();
    for report in reports {
        output::print("");
        let head = format!("{}: {}, {}", report.bucket, report.location, report.role);
        output::print(&paint.bold(&tame(&head)));
        let not_needed: Vec<&str> = of(report, State::NotNeeded).map(|one| one.what).collect();
        let what = report.tried.iter().map(|one| one.what.len()).max().unwrap_or_default();
        for one in report.tried.iter().filter(|one| one.state != State::NotNeeded) {
            let word = one.state.word();
            let lead = format!("  {}  {}  ", pad(word, "warning".len()), pad(one.what, what));
            let says = tame(one.says.as_deref().unwrap_or_default());
            for (at, line) in wrap(&lead, &says, width).iter().enumerate() {
                let line = line.trim_end();
                match line.strip_prefix("  ").and_then(|line| line.strip_prefix(word)) {
                    Some(rest) if at == 0 => output::print(&format!("  {}{rest}", paint.state(word, word))),
                    _ => output::print(line),
                }
            }
            // Whole, so that they can be copied.
            for command in &one.commands {
                output::print(&format!("      {}", tame(command)));
            }
        }
        if !not_needed.is_empty() {
            output::print_wrapped("  not needed by any rule: ", &not_needed.join(", "));
        }
        let lacks_permission = of(report, State::Failed).any(|one| {
            let says = one.says.as_deref().unwrap_or_default();
            says.contains("credentials need")
        });
        if lacks_permission {
            output::print_wrapped("  ", "deploy/iam/ has policies with the least that is needed.");
        }
    }
    let failed = reports.iter().flat_map(|report| of(report, State::Failed)).count();
    output::print("");
    output::print(&match failed {
        0 => "All that rules need of these buckets works.".to_owned(),
        1 => "One thing that rules need does not work.".to_owned(),
        some => format!("{some} things that rules need do not work."),
    });
}

fn of(report: &Report, state: State) -> impl Iterator<Item = &Tried> {
    report.tried.iter().filter(move |one| one.state == state)
}
