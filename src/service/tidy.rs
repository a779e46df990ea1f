//! What is left to do after jobs have ended: notes about failures, and outputs that a later generation does not have.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::mill::Mill;
use super::orphans;
use super::publishing::{Made, Target, Trouble, abandoned, blocking, finish_notes, publish_note, remove, root};
use super::with_causes;
use crate::job::{Generation, Job, LeaseNumber};
use crate::publish::Scratch;
use crate::rule::{OnFailure, Rule, names};
use crate::store::StoreError;

/// How often to look where nothing was announced.
const LOOK: Duration = Duration::from_secs(2);

/// How often scratch that nobody works in is looked for.
const SWEEP: Duration = Duration::from_mins(10);

/// How often uploads that nobody works on are looked for, the first time at start.
const UPLOADS: Duration = Duration::from_hours(1);

/// Repeats [`tick`] until `stop`.
pub async fn run(mill: Arc<Mill>, stop: CancellationToken) {
    let mut swept = tokio::time::Instant::now();
    let mut aborted = None;
    loop {
        if aborted.is_none_or(|at: tokio::time::Instant| at.elapsed() >= UPLOADS) {
            aborted = Some(tokio::time::Instant::now());
            // A server that does not answer must not keep the rest waiting for ever.
            let round = tokio::time::timeout(UPLOADS, async {
                finish_notes(&mill).await?;
                abandoned::tick(&mill, Timestamp::now()).await
            });
            if let Some(Ok(Err(error))) = stop.run_until_cancelled(round).await {
                tracing::error!(error = %with_causes(&error), "cannot look for abandoned uploads");
            }
        }
        // Its steps bear being broken off anywhere.
        match stop.run_until_cancelled(tick(&mill, Timestamp::now())).await {
            None => return,
            Some(Ok(())) => {}
            Some(Err(error)) => tracing::error!(error = %with_causes(&error), "cannot tidy up"),
        }
        if swept.elapsed() >= SWEEP {
            swept = tokio::time::Instant::now();
            if let Err(error) = orphans::tick(&mill, Timestamp::now()).await {
                tracing::error!(error = %with_causes(&error), "cannot look for orphaned scratch");
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// One round.
pub async fn tick(mill: &Arc<Mill>, now: Timestamp) -> Result<(), StoreError> {
    for job in mill.store.notes_due().await? {
        write_note(mill, &job).await?;
    }
    for output in mill.store.outputs_to_remove(now).await? {
        let bucket = mill.buckets.get(&output.bucket);
        match bucket {
            Some(bucket) if bucket.check().await.is_err() => continue,
            None => continue,
            Some(_) => {}
        }
        match remove(mill, &output.bucket, &output.key, &output.identity).await {
            Ok(removed) => {
                mill.store.output_removed(&output.bucket, &output.key).await?;
                if removed {
                    tracing::info!(bucket = %output.bucket, key = %output.key, job = %output.job, "old output removed");
                }
            }
            Err(error) => {
                tracing::warn!(bucket = %output.bucket, key = %output.key, %error, "old output cannot be removed yet");
            }
        }
    }
    Ok(())
}

/// Leaves a note about a failed job beside its results, where its rule wants that and nothing newer has come.
async fn write_note(mill: &Arc<Mill>, job: &Job) -> Result<(), StoreError> {
    let rule = mill.book.get().get(&job.rule).map(|live| live.rule.clone());
    let newest = newest_generation(mill, job).await?;
    let wanted = rule.filter(|rule| wants_note(mill, rule) && newest <= job.generation);
    let Some(rule) = wanted else {
        return mill.store.note_settled(&job.id).await;
    };
    match publish(mill, job, &rule).await {
        Ok(()) => mill.store.note_settled(&job.id).await,
        Err(Trouble::Store(error)) => Err(error),
        Err(trouble) => {
            tracing::warn!(job = %job.id, %trouble, "the note about a failure cannot be written");
            mill.store.note_settled(&job.id).await
        }
    }
}

/// People look into directories; whoever reads a bucket over a network is a program, to which a note is one object too many.
fn wants_note(mill: &Mill, rule: &Rule) -> bool {
    let output = mill.config.buckets.get(&rule.output.bucket);
    match rule.on_failure {
        OnFailure::Note => true,
        OnFailure::Usual => output.is_some_and(|bucket| bucket.local().is_some()),
        OnFailure::None => false,
    }
}

async fn newest_generation(mill: &Mill, job: &Job) -> Result<Generation, StoreError> {
    let object = &job.object;
    let entries = mill
        .store
        .ledger(
            std::slice::from_ref(&job.rule),
            &object.bucket,
            std::slice::from_ref(&object.key),
        )
        .await?;
    Ok(entries.first().map_or(job.generation, |entry| entry.generation))
}

async fn publish(mill: &Arc<Mill>, job: &Job, rule: &Rule) -> Result<(), Trouble> {
    const FILE: &str = "note.txt";
    let Ok(key) = names::note_key(rule, &job.object.key) else {
        return Ok(());
    };
    let text = note(job);
    let size = text.len() as u64;
    let base = root(mill, &rule.output.bucket);
    let id = job.id.clone();
    let scratch = blocking(move || -> Result<Scratch, crate::publish::PublishError> {
        let scratch = Scratch::create(&base, &id, LeaseNumber(0), 0)?;
        let path = scratch.path.join(FILE);
        std::fs::write(&path, text).map_err(|source| crate::publish::PublishError::Io {
            doing: "write",
            path: path.display().to_string(),
            source,
        })?;
        Ok(scratch)
    })
    .await?;
    let target = Target {
        overwrite: false,
        ..Target::of(rule)?
    };
    let file = FILE.to_owned();
    let done = publish_note(mill, job, &target, &scratch, Made { file, size, key }).await;
    scratch.remove();
    done.map(|_| ())
}

/// What the note says.
fn note(job: &Job) -> String {
    use std::fmt::Write;
    let mut text = format!(
        "Reelmill could not do all its work on this file.\n\nfile:  {}/{}\nrule:  {}\njob:   {}\nwhen:  {}\n\n",
        job.object.bucket,
        job.object.key,
        job.rule,
        job.id,
        job.ended
            .map(|at| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
            .unwrap_or_default(),
    );
    for task in &job.tasks {
        // Writing into a String cannot fail.
        let _ = match &task.error {
            Some(failure) => writeln!(
                text,
                "{} {}: {} ({})",
                task.id,
                task.state.as_str(),
                failure.message,
                failure.kind.as_str()
            ),
            None => writeln!(text, "{} {}", task.id, task.state.as_str()),
        };
    }
    text.push_str("\nThis note goes away when the file has been worked on successfully: put it there again, or run\n");
    let _ = writeln!(text, "  reelmill jobs retry {}", job.id);
    text
}
