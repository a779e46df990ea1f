//! Takes a source away from a bucket over a network: there is no name to put it aside under, so each request names the
//! version that was worked on, and what cannot be undone comes last.

use std::sync::Arc;

use super::{MOST_NAMES, Next};
use crate::bucket::BucketError;
use crate::bucket::remote::{Head, Remote};
use crate::job::source::{SourceStep, StepState};
use crate::object::ObjectKey;
use crate::publish::step;
use crate::service::with_causes;

/// The first name that is free for a source that is moved.
pub async fn free_target(remote: &Arc<dyn Remote>, step: &SourceStep) -> Result<Option<ObjectKey>, Next> {
    for number in 1..=MOST_NAMES {
        let Ok(Some(target)) = step.wish.target(&step.object.key, number) else {
            return Ok(None);
        };
        if look(remote, &target).await?.is_none() {
            return Ok(Some(target));
        }
    }
    Err(Next::End(
        StepState::GivenUp,
        Some("there is no free name for it where it should be moved to".to_owned()),
    ))
}

/// Does what was written down, or goes on with it.
pub async fn carry_out(remote: &Arc<dyn Remote>, step: &SourceStep, target: Option<&ObjectKey>) -> Next {
    match try_to(remote, step, target).await {
        Ok(next) | Err(next) => next,
    }
}

async fn try_to(remote: &Arc<dyn Remote>, step: &SourceStep, target: Option<&ObjectKey>) -> Result<Next, Next> {
    let (key, worked_on) = (&step.object.key, &step.object.identity);
    let there = look(remote, key).await?;
    let copy = match target {
        Some(target) => look(remote, target).await?,
        None => None,
    };
    let copied = match (&copy, &there) {
        (Some(copy), Some(original)) => is_copy(copy, original),
        // It was copied before it was deleted.
        (Some(copy), None) => copy.identity.size == worked_on.size,
        (None, _) => false,
    };
    match &there {
        // It was written down that it goes, and it is gone.
        None if target.is_none() || copied => return Ok(Next::End(StepState::Done, None)),
        None => {
            let reason = "the source was not there any more";
            return Ok(Next::End(StepState::GivenUp, Some(reason.to_owned())));
        }
        Some(head) if head.identity != *worked_on => return Ok(replaced()),
        Some(_) => {}
    }
    if let Some(target) = target
        && !copied
    {
        match remote.copy(key, worked_on, target).await {
            Ok(()) => step::pass("source_aside"),
            Err(BucketError::Changed(_)) => return Ok(Next::Wait("its place was taken just now".to_owned())),
            Err(error) => return Err(Next::Later(with_causes(&error))),
        }
    }
    match remote.delete(key, worked_on).await {
        Ok(()) => {
            step::pass("source_gone");
            Ok(Next::End(StepState::Done, None))
        }
        Err(BucketError::Changed(_)) => Ok(replaced()),
        Err(error) => Err(Next::Later(with_causes(&error))),
    }
}

fn replaced() -> Next {
    let reason = "the source was replaced meanwhile, and the newer object stays";
    Next::End(StepState::GivenUp, Some(reason.to_owned()))
}

/// A copy has a time of its own, and all that was given along with the original. The entity tag of one that was uploaded or
/// copied in parts says nothing.
fn is_copy(copy: &Head, original: &Head) -> bool {
    let in_parts = |head: &Head| head.identity.etag.as_deref().is_none_or(|etag| etag.contains('-'));
    copy.identity.size == original.identity.size
        && copy.metadata == original.metadata
        && (copy.identity.etag == original.identity.etag || in_parts(copy) || in_parts(original))
}

async fn look(remote: &Arc<dyn Remote>, key: &ObjectKey) -> Result<Option<Head>, Next> {
    match remote.head(key).await {
        Ok(head) => Ok(Some(head)),
        Err(BucketError::NotFound(_)) => Ok(None),
        Err(error) => Err(Next::Later(with_causes(&error))),
    }
}
