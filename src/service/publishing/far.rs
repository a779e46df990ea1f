//! An output bucket over a network: what writes to it must know, and what is given along with each object.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::mill::Mill;
use super::upload::refused;
use crate::bucket::remote::{Abilities, NewObject, Remote};
use crate::bucket::{BucketError, abilities, mark};
use crate::job::Job;
use crate::object::BucketName;
use crate::publish::PublishError;
use crate::rule::stored::StoredSpec;
use crate::store::PublishItem;

/// An output bucket over a network.
#[derive(Debug, Clone)]
pub struct Far {
    /// The name that its server knows it by.
    pub s3: String,
    /// What can be done to it.
    pub remote: Arc<dyn Remote>,
    /// Which conditions its server heeds.
    pub abilities: Abilities,
}

impl Far {
    /// Whether the bucket of this name is one over a network.
    pub fn is(mill: &Mill, bucket: &BucketName) -> bool {
        mill.config
            .buckets
            .get(bucket)
            .is_some_and(|known| known.s3().is_some())
    }

    /// The output bucket of this name, where it is one over a network.
    ///
    /// # Errors
    /// Where it does not answer when it is asked for the first time what it heeds.
    pub async fn of(mill: &Mill, bucket: &BucketName) -> Result<Option<Self>, PublishError> {
        let (Some(config), Some(place)) = (mill.config.buckets.get(bucket), mill.buckets.get(bucket)) else {
            return Ok(None);
        };
        let (Some(s3), Some(remote)) = (config.s3(), place.remote()) else {
            return Ok(None);
        };
        let abilities = known_abilities(mill, bucket, remote.as_ref()).await?;
        Ok(Some(Self {
            s3: s3.s3.clone(),
            remote,
            abilities,
        }))
    }

    /// A file of a list, as it will be stored.
    #[must_use]
    pub fn object(&self, job: &Job, stored: &StoredSpec, item: &PublishItem) -> NewObject {
        let (rule, source) = source_marks(job);
        let metadata = [
            (mark::JOB, job.id.to_string()),
            (mark::OUTPUT, mark::ours(&self.s3, &item.key)),
            (mark::CHECKSUM, item.checksum.clone()),
            (mark::RULE, rule),
            (mark::SOURCE, source),
            (mark::SOURCE_IDENTITY, mark::short(&job.object.identity.to_string())),
        ];
        NewObject {
            key: item.key.clone(),
            content_type: content_type(item.key.extension()).to_owned(),
            metadata: BTreeMap::from(metadata.map(|(name, value)| (name.to_owned(), value))),
            tags: stored.tags.clone(),
            storage_class: stored.storage_class.clone(),
            acl: stored.acl.clone(),
            cache_control: stored.cache_control.clone(),
        }
    }
}

/// What an output says of the rule and the source that it was made by and from.
pub fn source_marks(job: &Job) -> (String, String) {
    let source = &job.object;
    (
        mark::short(job.rule.as_str()),
        mark::short(&format!("{}/{}", source.bucket, source.key)),
    )
}

/// What the server heeds, asked once in the life of the daemon.
async fn known_abilities(mill: &Mill, bucket: &BucketName, remote: &dyn Remote) -> Result<Abilities, PublishError> {
    let known = mill.uploads.abilities(bucket);
    let mut known = known.lock().await;
    if let Some(abilities) = *known {
        return Ok(abilities);
    }
    let scratch = mill.config.scratch_root(bucket);
    let probed = match tokio::fs::create_dir_all(&scratch).await {
        Ok(()) => abilities::probe(remote, &scratch).await,
        Err(error) => Err(BucketError::transient(
            format!("cannot make the folder {}", scratch.display()),
            error,
        )),
    };
    match probed {
        Ok(abilities) => {
            tracing::debug!(%bucket, ?abilities, "conditions that the server heeds");
            *known = Some(abilities);
            Ok(abilities)
        }
        Err(error @ BucketError::Transient { .. }) => Err(refused(&error)),
        Err(error) => {
            // It may be forbidden to write but to the output's own directory: nothing is taken for granted then.
            tracing::info!(%bucket, %error, "it cannot be tried which conditions the server heeds; names are looked at before");
            *known = Some(Abilities::default());
            Ok(Abilities::default())
        }
    }
}

/// The media type of a name's extension: what players and browsers expect.
fn content_type(extension: &[u8]) -> &'static str {
    match extension.to_ascii_lowercase().as_slice() {
        b"mp4" | b"m4v" | b"m4s" => "video/mp4",
        b"mov" => "video/quicktime",
        b"mkv" => "video/x-matroska",
        b"webm" => "video/webm",
        b"ts" => "video/mp2t",
        b"flv" => "video/x-flv",
        b"avi" => "video/x-msvideo",
        b"mxf" => "application/mxf",
        b"mp3" => "audio/mpeg",
        b"m4a" => "audio/mp4",
        b"aac" => "audio/aac",
        b"ogg" | b"oga" | b"opus" => "audio/ogg",
        b"flac" => "audio/flac",
        b"wav" => "audio/wav",
        b"jpg" | b"jpeg" => "image/jpeg",
        b"png" => "image/png",
        b"webp" => "image/webp",
        b"gif" => "image/gif",
        b"svg" => "image/svg+xml",
        b"m3u8" => "application/vnd.apple.mpegurl",
        b"mpd" => "application/dash+xml",
        b"vtt" => "text/vtt; charset=utf-8",
        b"srt" => "application/x-subrip",
        b"json" => "application/json",
        b"txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
