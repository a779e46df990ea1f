//! `reelmill try`

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::exit::{Code, Trouble};
use super::output::{self, Paint};
use super::progress::Bar;
use super::{files, jobs};
use crate::app::view::{JobView, WorkView};
use crate::bucket::Bucket;
use crate::config::{Config, Jail};
use crate::daemon::{far_buckets, local_buckets};
use crate::job::JobState;
use crate::rule::{Rule, TaskId};
use crate::service::trial::{Bench, Trial, Tried};

fn tell_of_an_open_jail(jail: Jail) {
    if jail == Jail::Off {
        output::say("the jail is off: whoever made this file may do here whatever you may do");
    }
}

/// Runs one rule on one file, here and now.
pub fn try_rule(
    said: Option<&Path>,
    rule: &Path,
    file: &Path,
    out: Option<&Path>,
    json: bool,
) -> Result<ExitCode, Trouble> {
    if let Some(config) = said.filter(|config| !config.exists()) {
        let words = format!("there is no {}", config.display());
        return Err(Trouble::new(Code::NoInput, words));
    }
    std::fs::metadata(file)
        .map_err(|error| Trouble::io(&format!("cannot read {}", file.display()), &error, Code::NoInput))?;
    let config = files::good_config(said);
    let folder = files::folder_of(rule);
    let (rule, text) = files::read_rule(rule, &files::presets_for(config.as_ref(), rule)?)?;
    let trial = Trial {
        folder,
        lenders: Vec::new(),
        workers: config.as_ref().map(|config| config.workers).unwrap_or_default(),
        plugins: config.as_ref().map(|config| config.plugins.clone()).unwrap_or_default(),
        rule,
        text,
        file: file.to_path_buf(),
        replace: out.is_none(),
        out: out.map_or_else(|| PathBuf::from("reelmill-try"), Path::to_path_buf),
    };
    crate::daemon::jail(trial.workers.jail).map_err(|error| Trouble::new(Code::Unavailable, error.to_string()))?;
    let shown = trial.out.clone();
    tell_of_an_open_jail(trial.workers.jail);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Trouble::io("cannot start the runtime", &error, Code::Internal))?;
    let job = runtime
        .block_on(work(trial, config.as_ref()))
        .map_err(|error| Trouble::new(Code::Internal, format!("{error:#}")))?;
    let good = job.state == JobState::Succeeded;
    if json {
        output::print_json(&job);
    } else {
        for line in jobs::lines(&job, Timestamp::now(), &Paint::new()) {
            output::print(&line);
        }
        if good {
            output::print(&format!("\nResults are in {}.", shown.display()));
        }
    }
    Ok(if good { ExitCode::SUCCESS } else { Code::Failed.into() })
}

async fn work(mut trial: Trial, config: Option<&Config>) -> anyhow::Result<JobView> {
    if let Some(config) = config {
        trial.lenders = lenders(&trial.rule, config).await?;
    }
    let out = trial.out.clone();
    let file = trial
        .file
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let size = std::fs::metadata(&trial.file).map_or(0, |about| about.len());
    let tasks = trial.rule.tasks.len();
    let bench = Bench::set_up(trial).await?;
    let mut bar = Bar::new(file, size);
    // Tasks that no run has taken up yet come later; how long they take is not known.
    let mut taken_up: BTreeSet<TaskId> = BTreeSet::new();
    let stop = CancellationToken::new();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let run = bench.run(stop.clone(), |mill, id| {
        if let Some(running) = mill.running.get(id) {
            taken_up.extend(running.tasks.iter().cloned());
            let mut work = WorkView::new(&running, &[], Timestamp::now());
            if !taken_up.is_empty() {
                work.later = u32::try_from(tasks - taken_up.len().min(tasks)).unwrap_or(u32::MAX);
            }
            bar.set(&work);
        }
    });
    tokio::pin!(run);
    let tried = loop {
        tokio::select! {
            tried = &mut run => break tried?,
            _ = interrupt.recv() => stop.cancel(),
            _ = terminate.recv() => stop.cancel(),
        }
    };
    Ok(view(&tried, &out))
}

/// The buckets of the config of which the rule names objects.
async fn lenders(rule: &Rule, config: &Config) -> anyhow::Result<Vec<Arc<dyn Bucket>>> {
    let named = rule.buckets_of_assets();
    if named.is_empty() {
        return Ok(Vec::new());
    }
    let local = local_buckets(config).map(|bucket| Arc::new(bucket) as Arc<dyn Bucket>);
    let all = local.chain(far_buckets(config).await?);
    Ok(all.filter(|bucket| named.contains(bucket.name())).collect())
}

/// The job as the API would show it, with the files below `out`.
fn view(tried: &Tried, out: &Path) -> JobView {
    let mut view = JobView::bare(&tried.job, &tried.outputs);
    let outputs = view.tasks.iter_mut().flat_map(|task| task.outputs.iter_mut());
    for output in outputs.chain(view.note.iter_mut()) {
        output.path = Some(out.join(&output.key).to_string_lossy().into_owned());
    }
    view
}
