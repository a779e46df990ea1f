//! Publishes what a task made, in the one order that survives a crash at any instant: seal the files, look at the
//! source again, write the publish list, give the names, make them durable, commit.

pub mod abandoned;
pub mod active;
mod carry;
mod far;
mod resume;
mod trouble;
mod upload;

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use carry::{Gate, abandon, carry_out, prepare};
use far::Far;
use jiff::{SignedDuration, Timestamp};
pub use resume::{Resumed, finish_notes, listed_scratch, resume, roll_forward};
pub use trouble::Trouble;
use trouble::Undone;

use super::mill::Mill;
use crate::bucket::BucketError;
use crate::job::state::Event;
use crate::job::{ErrorKind, Failure, Finding, Job, LeaseNumber};
use crate::object::{BucketName, Identity, ObjectKey};
use crate::publish::{Access, Destination, PublishError, Scratch, Sealed, seal, step};
use crate::rule::stored::StoredSpec;
use crate::rule::{Rule, TaskId};
use crate::store::{PublishItem, PublishList, PublishRefused, StoreError};

/// How often placing is tried before the list is given up, with a pause that doubles from a quarter of a second.
const PLACE_ATTEMPTS: u32 = 6;
/// The same for a server that does not answer: each attempt has asked several times.
const FAR_ATTEMPTS: u32 = 2;
/// How often, and how long apart, a source that does not answer is looked at before finished work is given up for it.
const SOURCE_ATTEMPTS: u32 = 12;
const SOURCE_PAUSE: Duration = Duration::from_secs(10);

/// A verified file that waits for its name.
#[derive(Debug, Clone)]
pub struct Made {
    /// Name in scratch.
    pub file: String,
    /// Size in bytes, as the worker reported it.
    pub size: u64,
    /// Final key.
    pub key: ObjectKey,
}

/// Where results of a rule go.
#[derive(Debug, Clone)]
pub struct Target {
    /// The output bucket.
    pub bucket: BucketName,
    /// May replace files that are not ours.
    pub overwrite: bool,
    /// Who owns results and who may read them.
    pub access: Access,
    /// How results are stored in a bucket over a network.
    pub stored: StoredSpec,
}

impl Target {
    /// Where results of this rule go.
    ///
    /// # Errors
    /// Where this machine does not know who should own them.
    pub fn of(rule: &Rule) -> Result<Self, PublishError> {
        Ok(Self {
            bucket: rule.output.bucket.clone(),
            overwrite: rule.output.overwrite,
            access: Access::resolve(&rule.output.access)?,
            stored: rule.output.stored.clone(),
        })
    }
}

/// Publishes the files of one task and ends it `succeeded`.
#[allow(
    clippy::too_many_arguments,
    reason = "each is another thing, and there is one caller"
)]
pub async fn publish_task(
    mill: &Arc<Mill>,
    job: &Job,
    lease: LeaseNumber,
    task: &TaskId,
    target: &Target,
    scratch: &Scratch,
    made: Vec<Made>,
    findings: Vec<Finding>,
) -> Result<Job, Trouble> {
    let items = seal_all(mill, target, scratch, made).await?;
    step::pass("sealed");
    look_patiently_at_source(mill, job, target).await?;
    let list = PublishList {
        job: job.id.clone(),
        task: Some(task.clone()),
        items,
        findings,
    };
    commit(mill, job, list, target, Some(lease)).await
}

/// Publishes a file that the daemon wrote itself (the note about a failure), for a job that has ended.
pub async fn publish_note(
    mill: &Arc<Mill>,
    job: &Job,
    target: &Target,
    scratch: &Scratch,
    made: Made,
) -> Result<Job, Trouble> {
    let items = seal_all(mill, target, scratch, vec![made]).await?;
    let list = PublishList {
        job: job.id.clone(),
        task: None,
        items,
        findings: Vec::new(),
    };
    commit(mill, job, list, target, None).await
}

fn success(list: &PublishList) -> Vec<Event> {
    list.task
        .iter()
        .map(|task| Event::TaskSucceeded {
            task: task.clone(),
            findings: list.findings.clone(),
        })
        .collect()
}

async fn seal_all(
    mill: &Arc<Mill>,
    target: &Target,
    scratch: &Scratch,
    made: Vec<Made>,
) -> Result<Vec<PublishItem>, Trouble> {
    let keys: Vec<ObjectKey> = made.iter().map(|one| one.key.clone()).collect();
    let own = mill.store.own_outputs(&target.bucket, &keys).await?;
    let own: HashMap<ObjectKey, Identity> = own.into_iter().map(|output| (output.key, output.identity)).collect();
    let directory = scratch.path.clone();
    let access = target.access;
    let sealed = blocking(move || {
        made.into_iter()
            .map(|one| Ok((seal(&directory, &one.file, one.size, &access)?, one.key)))
            .collect::<Result<Vec<(Sealed, ObjectKey)>, PublishError>>()
    })
    .await?;
    Ok(sealed
        .into_iter()
        .map(|(sealed, key)| PublishItem {
            scratch: sealed.path.into_os_string().into_vec(),
            bucket: target.bucket.clone(),
            replaces: own.get(&key).cloned(),
            key,
            identity: sealed.identity,
            checksum: sealed.checksum,
            overwrite: target.overwrite,
        })
        .collect())
}

/// Looks at the source as [`look_at_source`] does, with patience: what was made is not thrown away because a server does not
/// answer just now. An output over a network waits on its list, where the source is looked at again.
async fn look_patiently_at_source(mill: &Arc<Mill>, job: &Job, target: &Target) -> Result<(), Trouble> {
    let is_far = Far::is(mill, &target.bucket);
    for _ in 1..SOURCE_ATTEMPTS {
        match look_at_source(mill, job).await {
            Err(trouble) if trouble.is_offline() && is_far => return Ok(()),
            Err(trouble) if trouble.is_offline() && Far::is(mill, &job.object.bucket) => {
                tracing::warn!(job = %job.id, error = %trouble, "finished work waits for a look at its source");
            }
            looked => return looked,
        }
        tokio::select! {
            () = tokio::time::sleep(SOURCE_PAUSE) => {}
            () = mill.halt.cancelled() => break,
        }
    }
    look_at_source(mill, job).await
}

/// The source must still be what the run read.
async fn look_at_source(mill: &Arc<Mill>, job: &Job) -> Result<(), Trouble> {
    let object = &job.object;
    let bucket = mill.buckets.get(&object.bucket).ok_or_else(|| {
        Trouble::Failed(Failure::new(
            ErrorKind::Offline,
            format!("bucket {} is no longer in the config", object.bucket),
        ))
    })?;
    match bucket.open(&object.key).await {
        Ok(opened) if opened.identity == object.identity => Ok(()),
        Ok(_) => Err(Trouble::SourceChanged(
            "the source was changed while it was worked on".to_owned(),
        )),
        Err(BucketError::NotFound(_)) => Err(Trouble::SourceChanged(
            "the source vanished while it was worked on".to_owned(),
        )),
        Err(error) => Err(Trouble::Failed(Failure::new(ErrorKind::Offline, error.to_string()))),
    }
}

/// From the list to the final names, and the end in the database.
async fn commit(
    mill: &Arc<Mill>,
    job: &Job,
    mut list: PublishList,
    target: &Target,
    lease: Option<LeaseNumber>,
) -> Result<Job, Trouble> {
    // A list of a bucket over a network may wait for it, on record.
    let may_wait = lease.is_some() && Far::is(mill, &target.bucket);
    let ready = async {
        if let Some(item) = list.items.first() {
            check_target(mill, &item.bucket).await?;
        }
        prepare(mill, job, &list, target.access).await.map_err(Trouble::from)
    };
    match ready.await {
        Err(trouble) if may_wait && trouble.is_offline() => {}
        other => other?,
    }
    match mill.store.begin_publish(&list, lease, Timestamp::now()).await {
        Ok(()) => step::pass("listed"),
        Err(PublishRefused::Superseded) => return Err(Trouble::Superseded),
        Err(PublishRefused::Store(error)) => return Err(error.into()),
        Err(taken @ PublishRefused::NameTaken { .. }) => {
            return Err(Trouble::Failed(Failure::new(
                ErrorKind::NameTaken,
                format!("the name {taken}"),
            )));
        }
    }
    let gate = lease.map(|lease| Gate { mill, job, lease });
    let mut pause = Duration::from_millis(250);
    for attempt in 1.. {
        match carry_out(mill, job, &mut list, &target.stored, gate).await {
            Ok(()) => break,
            Err(error) => {
                let waits = error.waits() && may_wait;
                if waits && (attempt >= FAR_ATTEMPTS || mill.stopping.is_cancelled()) {
                    // The list stays: whoever takes the job up next goes on with it.
                    return Err(Trouble::Waits(Failure::new(ErrorKind::Offline, error.to_string())));
                }
                if error.is_hopeless() || attempt >= PLACE_ATTEMPTS {
                    abandon(mill, list.clone()).await?;
                    return Err(error.into());
                }
                tracing::warn!(job = %list.job, %error, attempt, "publishing is tried again");
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = mill.stopping.cancelled(), if waits => {}
                }
                pause *= 2;
            }
        }
    }
    let job = finish(mill, &list, lease).await?;
    step::pass("committed");
    Ok(job)
}

async fn check_target(mill: &Arc<Mill>, name: &BucketName) -> Result<(), Trouble> {
    let offline = |message| Trouble::Failed(Failure::new(ErrorKind::Offline, message));
    let bucket = mill
        .buckets
        .get(name)
        .ok_or_else(|| offline(format!("bucket {name} is no longer in the config")))?;
    bucket.check().await.map_err(|error| offline(error.to_string()))
}

async fn finish(mill: &Arc<Mill>, list: &PublishList, lease: Option<LeaseNumber>) -> Result<Job, StoreError> {
    finish_with(mill, list, lease, &success(list)).await
}

/// The end in the database, with these events.
async fn finish_with(
    mill: &Arc<Mill>,
    list: &PublishList,
    lease: Option<LeaseNumber>,
    events: &[Event],
) -> Result<Job, StoreError> {
    let grace = SignedDuration::try_from(mill.config.grace).unwrap_or(SignedDuration::MAX);
    let mut pause = Duration::from_millis(250);
    // The names are given: whatever ails the database now, the commit is tried until it is done or refused. Should
    // the daemon die meanwhile, the list is rolled forward at its next start.
    loop {
        match mill
            .store
            .finish_publish(list, lease, events, grace, Timestamp::now())
            .await
        {
            Err(StoreError::Transient(error)) => {
                tracing::error!(job = %list.job, %error, "the database did not take the end of a publishing; again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(10));
            }
            other => return other,
        }
    }
}

/// Removes what was published, where it is still what was published; answers whether it was.
pub async fn remove(
    mill: &Mill,
    bucket: &BucketName,
    key: &ObjectKey,
    identity: &Identity,
) -> Result<bool, PublishError> {
    let Some(remote) = mill.buckets.get(bucket).and_then(|bucket| bucket.remote()) else {
        let place = destination(mill, bucket);
        let (key, identity) = (key.clone(), identity.clone());
        return blocking(move || place.remove(&key, &identity)).await;
    };
    match remote.head(key).await {
        Ok(head) if head.identity == *identity => {}
        Ok(_) | Err(BucketError::NotFound(_)) => return Ok(false),
        Err(error) => return Err(upload::refused(&error)),
    }
    match remote.delete(key, identity).await {
        Ok(()) => Ok(true),
        Err(BucketError::Changed(_)) => Ok(false),
        Err(error) => Err(upload::refused(&error)),
    }
}

/// The directory of an output bucket.
pub fn destination(mill: &Mill, bucket: &BucketName) -> Destination {
    Destination::new(root(mill, bucket))
}

/// The root directory of a bucket; a path that does not exist where the config has no such bucket.
pub fn root(mill: &Mill, bucket: &BucketName) -> PathBuf {
    mill.config.scratch_root(bucket)
}

fn scratch_path(bytes: &[u8]) -> PathBuf {
    Path::new(OsStr::from_bytes(bytes)).to_path_buf()
}

/// Runs what blocks on a thread of its own. A panic there goes on here.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
