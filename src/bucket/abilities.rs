//! Which conditions a server really heeds, found by trying: some take a condition and write all the same, and some refuse
//! what fits.

use std::collections::BTreeMap;
use std::path::Path;

use super::BucketError;
use super::remote::{Abilities, Condition, NewObject, Remote, Stretch};
use crate::object::ObjectKey;

/// Where the objects lie that are tried on, and nobody looks for media.
const PREFIX: &str = ".reelmill/probe-";

/// An entity tag that no object here has.
const NO_TAG: &str = "00000000000000000000000000000000";

/// Tries on an object of its own which conditions the server of a bucket heeds, and removes it again. `scratch` is a
/// directory for a small file.
///
/// # Errors
/// Where the bucket cannot be written to or does not answer; then nothing is known.
pub async fn probe(remote: &dyn Remote, scratch: &Path) -> Result<Abilities, BucketError> {
    let id = format!("{:032x}", rand::random::<u128>());
    let path = scratch.join(format!("probe-{id}"));
    tokio::fs::write(&path, b"123").await.map_err(|error| {
        BucketError::transient(
            format!("{} cannot be written: {error}", path.display()),
            std::io::Error::from(error.kind()),
        )
    })?;
    let mut tried = Vec::new();
    let trial = Trial {
        remote,
        path: &path,
        id: &id,
    };
    let abilities = trial.all(&mut tried).await;
    for key in tried {
        trial.clean(&key).await;
    }
    let _ = tokio::fs::remove_file(&path).await;
    abilities
}

struct Trial<'a> {
    remote: &'a dyn Remote,
    path: &'a Path,
    id: &'a str,
}

impl Trial<'_> {
    async fn all(&self, tried: &mut Vec<ObjectKey>) -> Result<Abilities, BucketError> {
        let mut key = |what: &str| -> Result<ObjectKey, BucketError> {
            let key =
                ObjectKey::new(format!("{PREFIX}{}-{what}", self.id)).map_err(|error| BucketError::Permanent {
                    message: error.to_string(),
                    source: None,
                })?;
            tried.push(key.clone());
            Ok(key)
        };
        let (put, whole) = (key("put")?, key("parts")?);
        let put = self.heeds(&put, Write::Put).await?;
        let complete = self.heeds(&whole, Write::Parts).await?;
        Ok(Abilities {
            put_absent: put.absent,
            put_is: put.is,
            complete_absent: complete.absent,
            complete_is: complete.is,
        })
    }

    /// What of one way to write is heeded.
    async fn heeds(&self, key: &ObjectKey, way: Write) -> Result<Heeded, BucketError> {
        // Where nothing is, and where something is.
        let fits = self.taken(key, way, 0, &Condition::Absent).await?;
        if !fits {
            self.write(key, way, 0, &Condition::Always).await?;
        }
        let absent = fits && !self.taken(key, way, 1, &Condition::Absent).await?;
        let refused = !self.taken(key, way, 1, &Condition::Is(NO_TAG.to_owned())).await?;
        let is = match self.remote.head(key).await?.identity.etag {
            Some(etag) if refused => self.taken(key, way, 2, &Condition::Is(etag)).await?,
            _ => false,
        };
        Ok(Heeded { absent, is })
    }

    /// Whether a write on this condition is taken.
    async fn taken(&self, key: &ObjectKey, way: Write, byte: u64, on: &Condition) -> Result<bool, BucketError> {
        match self.write(key, way, byte, on).await {
            Ok(()) => Ok(true),
            // Refused, or not known at all. What is wrong with more than the condition shows when there is none.
            Err(BucketError::Changed(_) | BucketError::Permanent { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn write(&self, key: &ObjectKey, way: Write, byte: u64, on: &Condition) -> Result<(), BucketError> {
        let content = Stretch {
            path: self.path.to_owned(),
            offset: byte,
            length: 1,
        };
        let object = NewObject {
            key: key.clone(),
            content_type: "application/octet-stream".to_owned(),
            metadata: BTreeMap::new(),
            tags: BTreeMap::new(),
            storage_class: None,
            acl: None,
            cache_control: None,
        };
        if way == Write::Put {
            return self.remote.put(&object, &content, on).await;
        }
        let upload = self.remote.begin_upload(&object).await?;
        let completed = match self.remote.upload_part(key, &upload, 1, &content).await {
            Ok(part) => self.remote.complete_upload(key, &upload, &[part], on).await,
            Err(error) => Err(error),
        };
        if completed.is_err() {
            let _ = self.remote.abort_upload(key, &upload).await;
        }
        completed
    }

    /// Removes what was tried on. What stays lies where nobody looks.
    async fn clean(&self, key: &ObjectKey) {
        if let Ok(head) = self.remote.head(key).await
            && let Err(error) = self.remote.delete(key, &head.identity).await
        {
            tracing::debug!(%key, %error, "what was tried on stays");
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Write {
    Put,
    Parts,
}

#[derive(Debug, Clone, Copy)]
struct Heeded {
    absent: bool,
    is: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bucket::memory_remote::{Call, Fault, MemoryRemote};
    use crate::bucket::moto::Moto;
    use crate::bucket::s3::tests::served;

    #[tokio::test]
    async fn what_a_server_heeds_is_found_whatever_it_is() {
        let scratch = tempfile::tempdir().unwrap();
        for number in 0..16_u8 {
            let remote = MemoryRemote::new("far");
            let heeded = Abilities {
                put_absent: number & 1 > 0,
                put_is: number & 2 > 0,
                complete_absent: number & 4 > 0,
                complete_is: number & 8 > 0,
            };
            remote.heeds(heeded);
            assert_eq!(probe(&remote, scratch.path()).await.unwrap(), heeded);
            assert!(remote.keys().is_empty(), "it is cleaned up");
            assert_eq!(remote.open(), 0);
        }
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_server_that_refuses_whatever_fits_has_the_condition_not() {
        let scratch = tempfile::tempdir().unwrap();
        let remote = MemoryRemote::new("far");
        // Absent where nothing is; then the plain write; Absent; Is with a wrong tag; Is with the right one.
        remote.fail(Call::Put, [Fault::Denied]);
        let found = probe(&remote, scratch.path()).await.unwrap();
        assert!(!found.put_absent && found.put_is && found.complete_absent);
    }

    #[tokio::test]
    async fn of_a_bucket_that_cannot_be_written_to_nothing_is_known() {
        let scratch = tempfile::tempdir().unwrap();
        let remote = MemoryRemote::new("far");
        remote.fail(Call::Put, [Fault::Denied; 9]);
        assert!(matches!(
            probe(&remote, scratch.path()).await,
            Err(BucketError::Permanent { .. })
        ));
        remote.set_offline(true);
        assert!(matches!(
            probe(&remote, scratch.path()).await,
            Err(BucketError::Transient { .. })
        ));
    }

    #[tokio::test]
    async fn a_real_server_is_tried_on() {
        let scratch = tempfile::tempdir().unwrap();
        let bucket = Moto::shared().bucket("abilities");
        let found = probe(&served(&bucket).await, scratch.path()).await.unwrap();
        assert!(found.put_absent && found.put_is && found.complete_absent);
        // It ignores the condition.
        assert!(!found.complete_is);
    }
}
