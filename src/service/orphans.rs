//! Removes scratch that nobody works in any more, also while the daemon runs: what a run leaves that broke off in an odd
//! way would otherwise fill the disk until the next start.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::mill::Mill;
use super::publishing::{blocking, listed_scratch, root};
use crate::publish::Scratch;
use crate::store::StoreError;

/// Scratch in which something moved since is left alone, whoever it belongs to: `reelmill try` may work there, too.
const IDLE: SignedDuration = SignedDuration::from_hours(1);

/// One round over all buckets; answers how many directories went. Scratch of jobs that run here and of publish lists
/// that were begun stays. Not to be called while a note about a failure is being written.
pub async fn tick(mill: &Arc<Mill>, now: Timestamp) -> Result<u32, StoreError> {
    let mut removed = 0;
    for (name, bucket) in &mill.buckets {
        if bucket.remote().is_none() && bucket.check().await.is_err() {
            continue;
        }
        let base = root(mill, name);
        // What is found before the two lists are read and on neither of them belongs to nobody.
        let found = blocking(move || Scratch::all(&base)).await;
        let idle: Vec<Scratch> = found
            .into_iter()
            .filter(|(_, moved)| now.duration_since(*moved) > IDLE)
            .map(|(scratch, _)| scratch)
            .collect();
        if idle.is_empty() {
            continue;
        }
        let live: HashSet<String> = mill
            .running
            .leases()
            .into_iter()
            .map(|(job, _)| job.to_string())
            .collect();
        let listed = listed_scratch(mill).await?;
        let gone: Vec<Scratch> = idle
            .into_iter()
            .filter(|scratch| is_orphan(scratch, &live, &listed))
            .collect();
        for scratch in gone {
            tracing::info!(bucket = %name, path = %scratch.path.display(), "orphaned scratch removed");
            blocking(move || scratch.remove()).await;
            removed += 1;
        }
    }
    Ok(removed)
}

fn is_orphan(scratch: &Scratch, live: &HashSet<String>, listed: &[PathBuf]) -> bool {
    let name = scratch.path.file_name().unwrap_or_default().to_string_lossy();
    let job = name.split('-').next().unwrap_or_default();
    !live.contains(job) && !listed.iter().any(|file| file.starts_with(&scratch.path))
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::bucket::local::LocalBucket;
    use crate::job::{JobId, LeaseNumber};
    use crate::service::tests_support::{bucket, mill_in};

    #[tokio::test]
    async fn idle_scratch_of_nobody_goes_and_all_other_stays() {
        let folder = tempfile::tempdir().unwrap();
        let inbox = folder.path().join("inbox");
        std::fs::create_dir(&inbox).unwrap();
        let place = LocalBucket::new(bucket(), &inbox, &folder.path().join("buckets"));
        let mill = mill_in(folder.path(), Arc::new(place)).await;
        let now = Timestamp::now();
        let id = |random| JobId::new(now, random);
        let live = Scratch::create(&inbox, &id(1), LeaseNumber(1), 0).unwrap();
        mill.running
            .insert(id(1), LeaseNumber(1), CancellationToken::new(), now);
        let orphan = Scratch::create(&inbox, &id(2), LeaseNumber(2), 0).unwrap();
        std::fs::write(orphan.path.join("half"), "x").unwrap();

        assert_eq!(tick(&mill, now).await.unwrap(), 0, "something moved there just now");
        let later = now + SignedDuration::from_hours(2);
        assert_eq!(tick(&mill, later).await.unwrap(), 1);
        assert!(!orphan.path.exists());
        assert!(live.path.exists());
        mill.running.remove(&id(1), LeaseNumber(1));
        assert_eq!(tick(&mill, later).await.unwrap(), 1);
        assert!(!live.path.exists());
    }

    #[test]
    fn files_on_a_publish_list_keep_their_scratch() {
        let scratch = Scratch {
            path: "/b/.reelmill/scratch/j-1-0".into(),
        };
        let none = HashSet::new();
        assert!(is_orphan(&scratch, &none, &[]));
        assert!(!is_orphan(
            &scratch,
            &none,
            &["/b/.reelmill/scratch/j-1-0/web.mp4".into()]
        ));
        assert!(is_orphan(
            &scratch,
            &none,
            &["/b/.reelmill/scratch/j-1-01/web.mp4".into()]
        ));
    }
}
