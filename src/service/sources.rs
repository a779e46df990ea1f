//! Deletes or moves sources after success, where rules say so in words: a recorded step of its own, taken only when all
//! work on that very file has succeeded.
//!
//! The step was written down with the end of the job. Here it is first written down under which hidden name the source
//! is put aside and where it goes; then it is put aside, looked at once more, and deleted or moved; then the step is
//! done. Killed at any point, the next life of the daemon goes on where this one was.

mod far;

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::hints::Hint;
use super::mill::Mill;
use super::publishing::{blocking, root};
use super::with_causes;
use crate::bucket::{Bucket, Resolved};
use crate::job::source::{SourceStep, StepState, Verdict, judge};
use crate::object::{InvalidName, ObjectKey};
use crate::publish::{Aside, PublishError, Source, step};
use crate::rule::RuleName;
use crate::rule::matching;
use crate::rule::source::AfterSuccess;
use crate::store::{JobFilter, StoreError};

/// How often to look for new steps.
const LOOK: Duration = Duration::from_secs(1);
/// How often to look at those again that had to wait.
const AGAIN: Duration = Duration::from_secs(10);
/// Steps looked at in one round.
const BATCH: u32 = 100;
/// Names tried for a source whose place is taken.
const MOST_NAMES: u32 = 1000;

/// Repeats [`tick`] until `stop`: what is new soon, what had to wait now and then.
pub async fn run(mill: Arc<Mill>, stop: CancellationToken) {
    let (mut newest, mut walked) = (0, Some(0));
    let mut next_walk = Instant::now();
    loop {
        // Its steps bear being broken off anywhere.
        let Some(done) = stop.run_until_cancelled(tick(&mill, newest, Timestamp::now())).await else {
            return;
        };
        newest = tell(done).map_or(newest, |last| last.max(newest));
        if Instant::now() >= next_walk {
            let walk = tick(&mill, walked.unwrap_or(0), Timestamp::now());
            let Some(done) = stop.run_until_cancelled(walk).await else {
                return;
            };
            walked = tell(done);
            if walked.is_none() {
                next_walk = Instant::now() + AGAIN;
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

fn tell(done: Result<Option<i64>, StoreError>) -> Option<i64> {
    done.unwrap_or_else(|error| {
        tracing::error!(error = %with_causes(&error), "cannot see to sources after success");
        None
    })
}

/// One round over due steps that come after this one; answers the last that it looked at, none where there is none.
pub async fn tick(mill: &Arc<Mill>, after: i64, now: Timestamp) -> Result<Option<i64>, StoreError> {
    let due = mill.store.source_steps_due(after, BATCH).await?;
    for step in &due {
        take(mill, step, now).await?;
    }
    Ok(due.last().map(|step| step.seq))
}

/// How a step that is due goes on.
enum Next {
    /// Ended so.
    End(StepState, Option<String>),
    /// Looked at again later; what waits has nothing aside.
    Wait(String),
    /// Looked at again later, as it is.
    Later(String),
}

impl From<PublishError> for Next {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::LeftAside(_) => Self::End(StepState::GivenUp, Some(error.to_string())),
            // It names its cause itself.
            error => Self::Later(error.to_string()),
        }
    }
}

async fn take(mill: &Arc<Mill>, step: &SourceStep, now: Timestamp) -> Result<(), StoreError> {
    let Some(bucket) = mill.buckets.get(&step.object.bucket) else {
        return Ok(());
    };
    if let Err(error) = bucket.check().await {
        tracing::debug!(job = %step.job, %error, "a source waits for its bucket");
        return Ok(());
    }
    let next = match &step.aside {
        Some(aside) => carry_out(mill, bucket, step, aside.clone(), step.target.clone()).await?,
        None => begin(mill, bucket, step).await?,
    };
    let object = &step.object;
    let (state, reason) = match next {
        Next::End(state, reason) => (state, reason),
        Next::Wait(reason) => {
            if step.reason.as_deref() == Some(&reason) && step.aside.is_none() {
                return Ok(());
            }
            tracing::debug!(job = %step.job, bucket = %object.bucket, key = %object.key, %reason, "source kept for now");
            (StepState::Due, Some(reason))
        }
        Next::Later(reason) => {
            if step.reason.as_deref() == Some(&reason) {
                return Ok(());
            }
            tracing::warn!(job = %step.job, bucket = %object.bucket, key = %object.key, %reason, "the source cannot be taken away yet");
            return mill.store.note_source_step(step, &reason).await;
        }
    };
    mill.store
        .settle_source_step(step, state, reason.as_deref(), now)
        .await?;
    match state {
        StepState::Done => {
            let settled = mill.store.source_step(&step.job).await?;
            let target = settled.and_then(|step| step.target).map(|key| key.to_string());
            let what = if target.is_some() {
                "source moved"
            } else {
                "source deleted"
            };
            tracing::info!(job = %step.job, rule = %step.rule, bucket = %object.bucket, key = %object.key, target, "{what}");
        }
        StepState::GivenUp | StepState::Held => {
            tracing::warn!(job = %step.job, rule = %step.rule, bucket = %object.bucket, key = %object.key, reason, "source kept");
        }
        StepState::Due => {}
    }
    Ok(())
}

/// Looks whether the step may be taken, and writes down how.
async fn begin(mill: &Arc<Mill>, bucket: &Arc<dyn Bucket>, step: &SourceStep) -> Result<Next, StoreError> {
    let object = &step.object;
    let give_up = |reason: &str| Ok(Next::End(StepState::GivenUp, Some(reason.to_owned())));
    let book = mill.book.get();
    // Nothing is taken away on a word that was taken back.
    if book
        .get(&step.rule)
        .is_some_and(|live| live.rule.after_success.as_ref() != Some(&step.wish))
    {
        return give_up("the rule was changed, and does not say so of its sources any more");
    }
    match bucket.resolve(&object.key).await {
        Ok(Resolved::Complete(identity) | Resolved::Ours(identity) | Resolved::Settling { identity, .. })
            if identity == object.identity => {}
        Ok(Resolved::Complete(_) | Resolved::Ours(_) | Resolved::Settling { .. }) => {
            return give_up("the source was replaced meanwhile, and the newer file stays");
        }
        Ok(Resolved::Busy) => return Ok(Next::Wait("somebody writes to the source".to_owned())),
        Ok(Resolved::Gone | Resolved::NotAFile) => return give_up("the source was not there any more"),
        Err(error) => return Ok(Next::Later(with_causes(&error))),
    }
    let filter = JobFilter {
        bucket: Some(object.bucket.clone()),
        key: Some(object.key.clone()),
        limit: 1000,
        ..JobFilter::default()
    };
    let jobs = mill.store.jobs(&filter).await?;
    let undecided = undecided(mill, step).await?;
    let rivals = mill.store.source_steps_on(&object.bucket, &object.key).await?;
    match judge(step, &jobs, &undecided, &rivals) {
        Verdict::Go => {}
        Verdict::Wait(reason) => return Ok(Next::Wait(reason)),
        Verdict::Held(reason) => return Ok(Next::End(StepState::Held, Some(reason))),
        Verdict::GiveUp(reason) => return Ok(Next::End(StepState::GivenUp, Some(reason))),
    }
    let Ok(aside) = aside(step) else {
        return give_up("its directory's name is too long to put it aside");
    };
    let free = match bucket.remote() {
        Some(remote) if step.wish != AfterSuccess::Delete => far::free_target(&remote, step).await,
        Some(_) => Ok(None),
        None => free_target(mill, step, &aside).await,
    };
    let target = match free {
        Ok(target) => target,
        Err(next) => return Ok(next),
    };
    if !mill.store.begin_source_step(step, &aside, target.as_ref()).await? {
        return Ok(Next::Wait("a job works on it again".to_owned()));
    }
    step::pass("source_recorded");
    carry_out(mill, bucket, step, aside, target).await
}

/// Rules that want the object and have not taken it up; intake is told of it.
async fn undecided(mill: &Mill, step: &SourceStep) -> Result<Vec<RuleName>, StoreError> {
    let object = &step.object;
    let keys = std::slice::from_ref(&object.key);
    let book = mill.book.get();
    let own = mill.store.own_outputs(&object.bucket, keys).await?;
    let own = own.iter().any(|output| output.identity == object.identity);
    let wanting: Vec<RuleName> = book
        .enabled_for(&object.bucket)
        .filter(|live| !own || live.rule.trigger.outputs)
        .filter(|live| matching::judge(&live.rule, &object.key, Some(object.identity.size)).is_empty())
        .map(|live| live.rule.name.clone())
        .collect();
    let ledger = mill.store.ledger(&wanting, &object.bucket, keys).await?;
    let decided = |name: &RuleName| {
        ledger
            .iter()
            .any(|line| line.rule == *name && line.identity == object.identity)
    };
    let undecided: Vec<RuleName> = wanting.into_iter().filter(|name| !decided(name)).collect();
    if !undecided.is_empty() {
        mill.hints.put(Hint {
            bucket: object.bucket.clone(),
            key: object.key.clone(),
            event: None,
            source: "sources",
        });
    }
    Ok(undecided)
}

/// The hidden name beside the source, of this job alone.
fn aside(step: &SourceStep) -> Result<ObjectKey, InvalidName> {
    let name = format!(".reelmill-{}.source", step.job);
    ObjectKey::new([step.object.key.directory(), name.as_bytes()].concat())
}

fn source(mill: &Mill, step: &SourceStep, aside: &ObjectKey) -> Source {
    let root = root(mill, &step.object.bucket);
    Source::new(root, step.object.key.clone(), aside.clone())
}

/// The first name that is free for a source that is moved.
async fn free_target(mill: &Mill, step: &SourceStep, aside: &ObjectKey) -> Result<Option<ObjectKey>, Next> {
    if step.wish == AfterSuccess::Delete {
        return Ok(None);
    }
    let source = source(mill, step, aside);
    let (wish, key) = (step.wish.clone(), step.object.key.clone());
    let found = blocking(move || {
        for number in 1..=MOST_NAMES {
            let Ok(Some(target)) = wish.target(&key, number) else {
                return Ok(None);
            };
            if source.is_free(&target)? {
                return Ok(Some(target));
            }
        }
        Ok::<_, PublishError>(None)
    });
    match found.await {
        Ok(Some(target)) => Ok(Some(target)),
        Ok(None) => Err(Next::End(
            StepState::GivenUp,
            Some("there is no free name for it where it should be moved to".to_owned()),
        )),
        Err(error) => Err(error.into()),
    }
}

/// Does what was written down, or goes on with it.
async fn carry_out(
    mill: &Arc<Mill>,
    bucket: &Arc<dyn Bucket>,
    step: &SourceStep,
    aside: ObjectKey,
    target: Option<ObjectKey>,
) -> Result<Next, StoreError> {
    if let Some(remote) = bucket.remote() {
        return Ok(far::carry_out(&remote, step, target.as_ref()).await);
    }
    let place = source(mill, step, &aside);
    let identity = step.object.identity.clone();
    let (at, wanted, moved) = (place.clone(), identity.clone(), target.clone());
    let put = blocking(move || {
        // A move that was made before a crash needs nothing more.
        if let Some(target) = &moved
            && at.was_moved(target, &wanted)?
        {
            return Ok(None);
        }
        at.set_aside(&wanted).map(Some)
    });
    match put.await {
        Ok(None) => return Ok(Next::End(StepState::Done, None)),
        Ok(Some(Aside::Ours)) => {}
        Ok(Some(Aside::Replaced)) => {
            let reason = "the source was replaced meanwhile, and the newer file stays";
            return Ok(Next::End(StepState::GivenUp, Some(reason.to_owned())));
        }
        // It was written down that it goes, and it is gone.
        Ok(Some(Aside::Absent)) if target.is_none() => return Ok(Next::End(StepState::Done, None)),
        Ok(Some(Aside::Absent)) => {
            let reason = "the source was not there any more";
            return Ok(Next::End(StepState::GivenUp, Some(reason.to_owned())));
        }
        Err(error) => return Ok(error.into()),
    }
    // Whoever opened it for writing before it was put aside may still write.
    if matches!(bucket.resolve(&aside).await, Ok(Resolved::Busy)) {
        return Ok(match blocking(move || place.put_back()).await {
            Ok(()) => Next::Wait("somebody writes to the source".to_owned()),
            Err(error) => error.into(),
        });
    }
    let Some(target) = target else {
        return Ok(match blocking(move || place.delete()).await {
            Ok(()) => Next::End(StepState::Done, None),
            Err(error) => error.into(),
        });
    };
    let at = place.clone();
    match blocking(move || at.move_to(&target)).await {
        Ok(()) => Ok(Next::End(StepState::Done, None)),
        // Somebody was faster: it goes back, and another name is looked for.
        Err(PublishError::NameTaken(_)) => Ok(match blocking(move || place.put_back()).await {
            Ok(()) => Next::Wait("its place was taken just now".to_owned()),
            Err(error) => error.into(),
        }),
        Err(error) => {
            let why = error.to_string();
            let never = matches!(&error, PublishError::Io { source, .. } if matches!(
                source.kind(),
                ErrorKind::CrossesDevices | ErrorKind::InvalidFilename | ErrorKind::NotADirectory
            ));
            Ok(match blocking(move || place.put_back()).await {
                Ok(()) if never => Next::End(StepState::GivenUp, Some(why)),
                Ok(()) => Next::Wait(why),
                Err(error) => error.into(),
            })
        }
    }
}

#[cfg(test)]
mod tests;
