//! Finishes publish lists that were begun and cut off: by a crash, or by a server that did not answer.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use super::super::mill::Mill;
use super::super::runner::rule_of;
use super::super::with_causes;
use super::far::Far;
use super::{Gate, abandon, blocking, carry_out, finish_with, scratch_path, success, upload};
use crate::job::state::Event;
use crate::job::{Job, LeaseNumber};
use crate::publish::Scratch;
use crate::rule::stored::StoredSpec;
use crate::store::{PublishList, StoreError};

/// Finishes the lists of directories that a former life of the daemon began. Answers the scratch files that must stay
/// because their list is not finished yet. Lists of buckets over a network are finished by whoever takes the job up again:
/// that may take long.
pub async fn roll_forward(mill: &Arc<Mill>) -> Result<Vec<PathBuf>, StoreError> {
    let mut kept = Vec::new();
    for mut list in mill.store.pending_publishes().await? {
        if is_far(mill, &list) || !forward(mill, &mut list).await? {
            kept.extend(list.items.iter().map(|item| scratch_path(&item.scratch)));
        }
    }
    Ok(kept)
}

/// Sees to the lists of buckets over a network whose job has ended: notes are finished, and what was cancelled in the
/// middle is given up.
pub async fn finish_notes(mill: &Arc<Mill>) -> Result<(), StoreError> {
    for mut list in mill.store.pending_publishes().await? {
        if !is_far(mill, &list) || !mill.store.job(&list.job).await?.state.is_final() {
            continue;
        }
        match list.task {
            None => {
                forward(mill, &mut list).await?;
            }
            Some(_) => abandon(mill, list).await?,
        }
    }
    Ok(())
}

/// Scratch files on publish lists that were begun and not finished.
pub async fn listed_scratch(mill: &Mill) -> Result<Vec<PathBuf>, StoreError> {
    let lists = mill.store.pending_publishes().await?;
    let items = lists.iter().flat_map(|list| &list.items);
    Ok(items.map(|item| scratch_path(&item.scratch)).collect())
}

/// How the lists of a job that was taken up again went.
#[derive(Debug)]
pub enum Resumed {
    /// None is left.
    Done(Box<Job>),
    /// A server still does not answer.
    Waits(String),
}

/// Finishes the lists of a job that was taken up again, before anything of it is worked on.
pub async fn resume(mill: &Arc<Mill>, job: Job, lease: LeaseNumber) -> Result<Resumed, StoreError> {
    let mut job = job;
    let mut lists = mill.store.pending_publishes().await?;
    lists.retain(|list| list.job == job.id);
    let scratch: BTreeSet<PathBuf> = lists
        .iter()
        .flat_map(|list| &list.items)
        .filter_map(|item| Some(scratch_path(&item.scratch).parent()?.to_owned()))
        .collect();
    for mut list in lists {
        if let Err(error) = answers(mill, &list).await {
            return Ok(Resumed::Waits(error));
        }
        let gate = Gate { mill, job: &job, lease };
        let stored = stored(mill, &job).await;
        forget_lost(mill, &list).await;
        match carry_out(mill, &job, &mut list, &stored, Some(gate)).await {
            Ok(()) => {
                let mut events: Vec<Event> = list
                    .task
                    .iter()
                    .map(|task| Event::RunStarted {
                        tasks: vec![task.clone()],
                    })
                    .collect();
                events.extend(success(&list));
                let (id, task) = (list.job.clone(), list.task.clone());
                job = finish_with(mill, &list, Some(lease), &events).await?;
                tracing::info!(job = %id, ?task, "publishing finished that had been cut off");
            }
            Err(error) if error.waits() => return Ok(Resumed::Waits(error.to_string())),
            Err(error) => {
                tracing::warn!(job = %list.job, task = ?list.task, %error, "publish list given up; the task runs again");
                abandon(mill, list).await?;
            }
        }
    }
    // What else the run left there is worth nothing.
    blocking(move || scratch.into_iter().for_each(|path| Scratch { path }.remove())).await;
    Ok(Resumed::Done(Box::new(job)))
}

/// Whether the bucket of a list answers: asked first, since all else would ask for long.
async fn answers(mill: &Mill, list: &PublishList) -> Result<(), String> {
    let bucket = list.items.first().and_then(|item| mill.buckets.get(&item.bucket));
    match bucket {
        Some(bucket) => bucket.check().await.map_err(|error| with_causes(&error)),
        None => Ok(()),
    }
}

async fn forget_lost(mill: &Arc<Mill>, list: &PublishList) {
    for item in list.items.iter().filter(|item| item.identity.size > upload::PART) {
        if let Ok(Some(far)) = Far::of(mill, &item.bucket).await {
            upload::forget_lost(mill, &far, item).await;
        }
    }
}

/// Finishes one list, or gives it up where that is hopeless; false where it waits.
async fn forward(mill: &Arc<Mill>, list: &mut PublishList) -> Result<bool, StoreError> {
    let job = mill.store.job(&list.job).await?;
    let stored = stored(mill, &job).await;
    match carry_out(mill, &job, list, &stored, None).await {
        Ok(()) => {
            finish_with(mill, list, None, &success(list)).await?;
            tracing::info!(job = %list.job, task = ?list.task, "publishing finished that a crash had cut off");
            Ok(true)
        }
        Err(error) if error.is_hopeless() => {
            tracing::warn!(job = %list.job, task = ?list.task, %error, "publish list given up; the task runs again");
            abandon(mill, list.clone()).await?;
            Ok(true)
        }
        Err(error) => {
            tracing::warn!(job = %list.job, task = ?list.task, %error, "publish list waits");
            Ok(false)
        }
    }
}

fn is_far(mill: &Mill, list: &PublishList) -> bool {
    list.items.first().is_some_and(|item| Far::is(mill, &item.bucket))
}

async fn stored(mill: &Arc<Mill>, job: &Job) -> StoredSpec {
    match rule_of(mill, job).await {
        Ok(rule) => rule.output.stored,
        Err(_) => StoredSpec::default(),
    }
}
