//! `reelmill explain`

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;

use super::client::{Client, escape};
use super::exit::{Code, Trouble};
use super::files;
use super::jobs::{place, took};
use super::output::{self, Paint, ago, print_wrapped, tame};
use super::status::read;
use crate::app::explain::{ExplainView, Verdict};
use crate::app::view::JobView;
use crate::config::Config;
use crate::job::JobState;

/// Says for every rule why it would or would not start, and what became of it where it did.
pub fn explain(said: Option<&Path>, bucket: &OsStr, key: Option<&OsStr>, json: bool) -> Result<ExitCode, Trouble> {
    let config = files::config(said)?;
    let (bucket, key) = match key {
        Some(key) => (bucket.to_string_lossy().into_owned(), key.to_owned()),
        None => of_path(&config, Path::new(bucket))?,
    };
    if !config.buckets.keys().any(|name| name.as_str() == bucket) {
        return Err(files::no_such_bucket(&config, &bucket));
    }
    let key = URL_SAFE_NO_PAD.encode(key.as_bytes());
    let path = format!("/v1/explain?bucket={}&key_bytes={key}", escape(&bucket));
    let view: ExplainView = read(Client::new(&config)?.get(&path)?)?;
    if json {
        output::print_json(&view);
    } else {
        show(&view);
    }
    Ok(ExitCode::SUCCESS)
}

/// The bucket and key of a file; of nested buckets the inner one. `BUCKET/KEY` is understood, too.
fn of_path(config: &Config, path: &Path) -> Result<(String, OsString), Trouble> {
    let whole =
        absolute(path).map_err(|error| Trouble::io("cannot tell the present directory", &error, Code::Internal))?;
    // The file need not be there any more, but its directory says where it was.
    let real = whole.parent().and_then(|parent| std::fs::canonicalize(parent).ok());
    let real = real.zip(whole.file_name()).map(|(parent, name)| parent.join(name));
    let below = |root: &Path| {
        let real_root = std::fs::canonicalize(root).unwrap_or_else(|_| root.to_path_buf());
        let through = real.as_ref().and_then(|real| real.strip_prefix(&real_root).ok());
        let key = through.or_else(|| whole.strip_prefix(root).ok())?;
        (!key.as_os_str().is_empty()).then(|| key.as_os_str().to_owned())
    };
    let found = config
        .buckets
        .iter()
        .filter_map(|(name, bucket)| Some((name, below(&bucket.local()?.path)?)))
        .min_by_key(|(_, key)| key.len());
    if let Some((name, key)) = found {
        return Ok((name.to_string(), key));
    }
    let words = path.as_os_str().as_bytes();
    if let Some(slash) = words.iter().position(|byte| *byte == b'/') {
        let bucket = String::from_utf8_lossy(&words[..slash]).into_owned();
        let known = config.buckets.keys().any(|name| name.as_str() == bucket);
        if known && slash + 1 < words.len() {
            return Ok((bucket, OsString::from_vec(words[slash + 1..].to_vec())));
        }
    }
    let places: Vec<String> = config
        .buckets
        .iter()
        .map(|(name, bucket)| format!("  {name}: {}", tame(&bucket.location())))
        .collect();
    let shown = path.to_string_lossy();
    Err(
        Trouble::new(Code::NoInput, format!("{shown} lies in the directory of no bucket")).help(format!(
            "name a bucket and a key, or a file below one of these:\n{}",
            places.join("\n")
        )),
    )
}

/// An absolute path without `.` and `..`, whether it exists or not.
fn absolute(path: &Path) -> std::io::Result<PathBuf> {
    let mut whole = PathBuf::new();
    for part in std::path::absolute(path)?.components() {
        match part {
            Component::ParentDir => {
                whole.pop();
            }
            Component::CurDir => {}
            part => whole.push(part),
        }
    }
    Ok(whole)
}

fn show(view: &ExplainView) {
    let (paint, now) = (Paint::new(), Timestamp::now());
    let size = view
        .object
        .size
        .map_or_else(String::new, |bytes| format!(" ({})", output::size(bytes)));
    let object = format!("{}/{}", tame(&view.bucket), tame(&view.key));
    print_wrapped("", &format!("{}: {}{size}", object, tame(&view.object.message)));
    if let Some(reason) = &view.ignored {
        print_wrapped("", &format!("Names like this start nothing: {}.", tame(reason)));
    }
    if let Some(made) = &view.made_by {
        let words = format!(
            "Job {} of the rule \"{}\" made it from {}.",
            tame(&made.job),
            tame(&made.rule),
            tame(&made.source)
        );
        print_wrapped("", &words);
    }
    if view.rules.is_empty() {
        output::print("There is no rule, so nothing will start. The README explains a first one.");
    }
    let (elsewhere, here): (Vec<_>, Vec<_>) = view.rules.iter().partition(|one| one.verdict == "other_bucket");
    for verdict in here {
        show_verdict(verdict, &paint, now);
    }
    if !elsewhere.is_empty() {
        output::print("");
        let names: Vec<_> = elsewhere.iter().map(|one| tame(&one.rule)).collect();
        print_wrapped("", &format!("Rules of other buckets: {}.", names.join(", ")));
    }
    for file in &view.broken {
        output::print(&format!(
            "\n{} {}: `reelmill rules` says where",
            paint.state("broken", "broken"),
            tame(file)
        ));
    }
}

fn show_verdict(verdict: &Verdict, paint: &Paint, now: Timestamp) {
    let word = paint.state(&verdict.verdict, &verdict.verdict.replace('_', " "));
    output::print(&format!("\n{}  {word}", paint.bold(&tame(&verdict.rule))));
    print_wrapped("  ", &tame(&verdict.message));
    if let Some(line) = &verdict.ledger {
        let old = if line.baseline { ", as old" } else { "" };
        let gone = line.gone_at.map_or_else(String::new, |then| {
            format!(", missing since {then} ({})", ago(then, now))
        });
        let words = format!("{} (generation {}{old}{gone})", tame(&line.identity), line.generation);
        print_wrapped("  accepted last: ", &words);
    }
    for job in &verdict.jobs {
        show_job(job, paint, now);
    }
}

fn show_job(job: &JobView, paint: &Paint, now: Timestamp) {
    let state = job.state.as_str();
    let when = match (job.ended, job.started) {
        (Some(ended), _) => format!(
            "{}{}",
            ago(ended, now),
            took(job).map_or_else(String::new, |took| format!(", after {took}"))
        ),
        (None, Some(started)) if job.state == JobState::Running => format!("began {}", ago(started, now)),
        _ => format!("made {}", ago(job.created, now)),
    };
    output::print(&format!(
        "  job {}  {}  {when}",
        tame(&job.id),
        paint.state(state, state)
    ));
    if let Some(reason) = job.reason.as_ref().filter(|_| job.state != JobState::Queued) {
        print_wrapped("    because ", &tame(reason));
    }
    for task in &job.tasks {
        if let Some(error) = &task.error {
            let words = format!("{}: {}: {}", tame(&task.id), error.kind.as_str(), tame(&error.message));
            print_wrapped("    error   ", &words);
        }
        for output in &task.outputs {
            output::print(&format!("    output  {}  {}", place(output), output::size(output.size)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_made_absolute_without_asking_the_disk() {
        let told = |path: &str| absolute(Path::new(path)).expect("a path");
        assert_eq!(told("/a/./b/../c.mp4"), Path::new("/a/c.mp4"));
        assert_eq!(told("/../x"), Path::new("/x"));
        assert!(told("-x.mp4").is_absolute());
    }
}
