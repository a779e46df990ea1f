//! Carries out a publish list: every file of it gets its final name, in a directory or in a bucket over a network. May be
//! repeated: what has its name already keeps it.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::super::mill::Mill;
use super::far::Far;
use super::{Trouble, Undone, blocking, destination, look_at_source, scratch_path, upload};
use crate::job::{Job, LeaseNumber};
use crate::object::ObjectKey;
use crate::publish::{Access, Destination, PublishError, step};
use crate::rule::stored::StoredSpec;
use crate::store::{PublishItem, PublishList, StoreError};

/// Files of a list that are uploaded at once.
const FILES_AT_ONCE: usize = 8;

/// Asks once more, before the last name of a list is given, whether it still may be.
#[derive(Clone, Copy)]
pub struct Gate<'a> {
    pub mill: &'a Arc<Mill>,
    pub job: &'a Job,
    pub lease: LeaseNumber,
}

impl Gate<'_> {
    /// See above.
    pub async fn check(&self) -> Result<(), Trouble> {
        look_at_source(self.mill, self.job).await?;
        let now = self.mill.store.job(&self.job.id).await?;
        if now.superseded {
            return Err(Trouble::Superseded);
        }
        if now.lease.is_none_or(|lease| lease.number != self.lease) {
            return Err(Trouble::LeaseLost(self.job.id.clone()));
        }
        Ok(())
    }
}

/// Gives every item its name, the last one last, and makes the names durable.
pub async fn carry_out(
    mill: &Arc<Mill>,
    job: &Job,
    list: &mut PublishList,
    stored: &StoredSpec,
    gate: Option<Gate<'_>>,
) -> Result<(), Undone> {
    if let Some(far) = far_of(mill, list).await? {
        return upload_all(mill, &far, job, list, stored, gate).await;
    }
    on_disk(mill, list, |destination, item| {
        destination.place(
            &scratch_path(&item.scratch),
            &item.key,
            &item.identity,
            item.replaces.as_ref(),
            item.overwrite,
        )?;
        step::pass("placed");
        Ok(())
    })
    .await?;
    let Some(first) = list.items.first() else {
        return Ok(());
    };
    let destination = destination(mill, &first.bucket);
    let keys: Vec<ObjectKey> = list.items.iter().map(|item| item.key.clone()).collect();
    blocking(move || destination.sync(keys.iter())).await?;
    step::pass("synced");
    Ok(())
}

/// Uploads every item, several at once, and what players open first when all others are there.
async fn upload_all(
    mill: &Arc<Mill>,
    far: &Far,
    job: &Job,
    list: &mut PublishList,
    stored: &StoredSpec,
    gate: Option<Gate<'_>>,
) -> Result<(), Undone> {
    let Some((last, others)) = list.items.split_last_mut() else {
        return Ok(());
    };
    // What players open first lies beside the last file, and everything else of a package elsewhere.
    let beside = others
        .iter()
        .rev()
        .take_while(|item| item.key.directory() == last.key.directory())
        .count();
    let fronts = if beside < others.len() { beside } else { 0 };
    let (others, fronts) = others.split_at_mut(others.len() - fronts);
    let shared = Arc::new(job.clone());
    for some in others.chunks_mut(FILES_AT_ONCE) {
        if mill.halt.is_cancelled() {
            return Err(Undone::stopped());
        }
        let mut under_way = JoinSet::new();
        for (at, item) in some.iter().enumerate() {
            let (mill, far, job, item) = (mill.clone(), far.clone(), shared.clone(), item.clone());
            let object = far.object(&job, stored, &item);
            under_way.spawn(async move { (at, upload::place(&mill, &far, &job, &item, object, None).await) });
        }
        while let Some(done) = under_way.join_next().await {
            match done {
                Ok((at, Ok(identity))) => some[at].identity = identity,
                Ok((_, Err(error))) => return Err(error),
                Err(error) => return Err(PublishError::NotAsReported(format!("an upload broke off: {error}")).into()),
            }
            step::pass("placed");
        }
    }
    for item in fronts {
        let object = far.object(job, stored, item);
        item.identity = upload::place(mill, far, job, item, object, gate.as_ref()).await?;
        step::pass("placed");
    }
    let object = far.object(job, stored, last);
    last.identity = upload::place(mill, far, job, last, object, gate.as_ref()).await?;
    step::pass("placed");
    Ok(())
}

/// Whether the names of a list may be used, as far as that can be seen before it is written down.
pub async fn prepare(mill: &Arc<Mill>, job: &Job, list: &PublishList, access: Access) -> Result<(), PublishError> {
    if let Some(far) = far_of(mill, list).await? {
        for item in &list.items {
            upload::prepare(&far, job, item).await?;
        }
        return Ok(());
    }
    on_disk(mill, list, move |place, item| {
        let place = place.clone().with_access(access);
        place.prepare(&item.key, item.replaces.as_ref(), item.overwrite)
    })
    .await
}

/// The bucket of a list, where it is one over a network: all files of a list go to one.
async fn far_of(mill: &Mill, list: &PublishList) -> Result<Option<Far>, PublishError> {
    match list.items.first() {
        Some(item) => Far::of(mill, &item.bucket).await,
        None => Ok(None),
    }
}

/// Gives a list up. What has its name already stays on record as ours; the other names are forgotten.
pub async fn abandon(mill: &Arc<Mill>, mut list: PublishList) -> Result<(), StoreError> {
    let items = std::mem::take(&mut list.items);
    let mut kept = Vec::new();
    list.items = match items.first().map(|item| item.bucket.clone()) {
        None => items,
        Some(bucket) => match Far::of(mill, &bucket).await {
            Ok(None) => {
                let place = destination(mill, &bucket);
                let nameless = move |item: &PublishItem| !place.has(&item.key, &item.identity).unwrap_or(false);
                blocking(move || items.into_iter().filter(nameless).collect()).await
            }
            Ok(Some(far)) => {
                let mut nameless = Vec::new();
                for mut item in items {
                    match upload::has(&far, &list.job, &item).await {
                        Ok(None) => nameless.push(item),
                        Ok(Some(identity)) => {
                            item.identity = identity;
                            kept.push(item);
                        }
                        // Where that cannot be asked it counts as ours: it may be.
                        Err(_) => {}
                    }
                }
                nameless
            }
            Err(_) => Vec::new(),
        },
    };
    mill.store.abandon_publish(&list, &kept).await
}

/// Does the same to each item, on a thread that may block.
async fn on_disk(
    mill: &Arc<Mill>,
    list: &PublishList,
    act: impl Fn(&Destination, &PublishItem) -> Result<(), PublishError> + Send + 'static,
) -> Result<(), PublishError> {
    let items: Vec<(Destination, PublishItem)> = list
        .items
        .iter()
        .map(|item| (destination(mill, &item.bucket), item.clone()))
        .collect();
    blocking(move || items.iter().try_for_each(|(place, item)| act(place, item))).await
}
