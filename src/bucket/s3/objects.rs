//! Single objects: what is there, their bytes, writing and deleting them.

use std::collections::BTreeMap;

use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::{ObjectCannedAcl, StorageClass};
use bytes::{Bytes, BytesMut};

use super::error::{DELETE, HEAD, PUT, READ, Refusal, refused};
use super::text::{etag_in, etag_out, metadata_in, metadata_out, tagging};
use super::{S3Remote, agree, body, real_version, whole_seconds};
use crate::bucket::BucketError;
use crate::bucket::remote::{Condition, Head, NewObject, Stretch};
use crate::object::{Identity, ObjectKey};

impl S3Remote {
    pub(super) async fn head_object(&self, key: &ObjectKey) -> Result<Head, BucketError> {
        let answer = self.head_output(key, None).await?;
        let identity = self.identity(
            key,
            answer.content_length(),
            answer.last_modified(),
            answer.e_tag(),
            answer.version_id(),
        )?;
        let given = answer.metadata().into_iter().flatten();
        let metadata = given.map(|(name, value)| (name.to_ascii_lowercase(), metadata_in(value)));
        Ok(Head {
            identity,
            metadata: metadata.collect(),
        })
    }

    /// All that the server says of an object, or of a version of it.
    pub(super) async fn head_output(
        &self,
        key: &ObjectKey,
        version: Option<&str>,
    ) -> Result<HeadObjectOutput, BucketError> {
        let text = self.text(key)?;
        let version = version.map(str::to_owned);
        let ask = || {
            let head = self.client.head_object().bucket(&self.bucket).key(text);
            head.set_version_id(version.clone()).send()
        };
        let error = match ask().await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        // The answer has no body, so it does not say whether the object or the whole bucket is missing, or what is wrong
        // with the credentials. The same question as a read says it.
        let is_silent = Refusal::of(&error).is_some_and(|refusal| refusal.status < 500);
        if !is_silent {
            return Err(self.failed(HEAD, Some(key), &error));
        }
        let read = self.client.get_object().bucket(&self.bucket).key(text);
        if let Err(why) = read.set_version_id(version.clone()).range("bytes=0-0").send().await {
            match Refusal::of(&why) {
                // An empty object has no first byte.
                Some(refusal) if refusal.status == 416 => {}
                Some(refusal) => return Err(refused(&self.name, HEAD, Some(key), &refusal)),
                None => return Err(self.failed(HEAD, Some(key), &why)),
            }
        }
        // It has come just now.
        ask().await.map_err(|error| self.failed(HEAD, Some(key), &error))
    }

    fn identity(
        &self,
        key: &ObjectKey,
        size: Option<i64>,
        modified: Option<&DateTime>,
        etag: Option<&str>,
        version: Option<&str>,
    ) -> Result<Identity, BucketError> {
        let size = size.and_then(|size| u64::try_from(size).ok());
        let (Some(size), Some(modified)) = (size, modified) else {
            return Err(self.strange(HEAD, Some(key), "the answer has no size or no time"));
        };
        Ok(Identity {
            size,
            modified_ns: whole_seconds(modified),
            etag: etag_in(etag),
            version: real_version(version),
        })
    }

    pub(super) async fn get_range(
        &self,
        key: &ObjectKey,
        identity: &Identity,
        offset: u64,
        length: u64,
    ) -> Result<Bytes, BucketError> {
        let text = self.text(key)?;
        let end = offset.saturating_add(length);
        if end > identity.size {
            return Err(BucketError::Permanent {
                message: format!("bucket {}: {key} has no bytes {offset}..{end}", self.name),
                source: None,
            });
        }
        if length == 0 {
            return Ok(Bytes::new());
        }
        let answer = self
            .client
            .get_object()
            .bucket(&self.bucket)
            .key(text)
            .range(format!("bytes={offset}-{}", end - 1))
            .set_if_match(identity.etag.as_deref().map(etag_out))
            .set_version_id(identity.version.clone())
            .send()
            .await
            .map_err(|error| self.failed(READ, Some(key), &error))?;
        // Some servers read past conditions.
        let read = self.identity(
            key,
            i64::try_from(identity.size).ok(),
            answer.last_modified(),
            answer.e_tag(),
            answer.version_id(),
        )?;
        if !agree(identity, &read) {
            return Err(BucketError::Changed(key.clone()));
        }
        let sent = answer.content_length().and_then(|sent| u64::try_from(sent).ok());
        if sent.is_some_and(|sent| sent != length) {
            return Err(self.strange(READ, Some(key), "the answer has another length than what was asked for"));
        }
        let capacity = usize::try_from(length).unwrap_or(usize::MAX);
        let mut bytes = BytesMut::with_capacity(capacity);
        let mut content = answer.body;
        while let Some(more) = content.next().await {
            let more =
                more.map_err(|error| self.strange(READ, Some(key), &format!("the answer broke off ({error})")))?;
            if bytes.len() + more.len() > capacity {
                return Err(self.strange(READ, Some(key), "the answer has more bytes than what was asked for"));
            }
            bytes.extend_from_slice(&more);
        }
        if bytes.len() < capacity {
            return Err(self.strange(READ, Some(key), "the answer broke off"));
        }
        Ok(bytes.freeze())
    }

    pub(super) async fn put_object(
        &self,
        object: &NewObject,
        content: &Stretch,
        condition: &Condition,
    ) -> Result<(), BucketError> {
        let (absent, is) = conditions(condition);
        let sent = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(self.text(&object.key)?)
            .body(body(content).await?)
            .content_type(&object.content_type)
            .set_metadata(Some(metadata(&object.metadata)))
            .set_tagging(tags(object))
            .set_storage_class(object.storage_class.as_deref().map(StorageClass::from))
            .set_acl(object.acl.as_deref().map(ObjectCannedAcl::from))
            .set_cache_control(object.cache_control.clone())
            .set_if_none_match(absent)
            .set_if_match(is)
            .send()
            .await;
        match sent {
            Ok(_) => Ok(()),
            Err(error) => Err(match self.failed(PUT, Some(&object.key), &error) {
                // Nothing is there, and so not what should be.
                BucketError::NotFound(key) if matches!(condition, Condition::Is(_)) => BucketError::Changed(key),
                other => other,
            }),
        }
    }

    pub(super) async fn delete_object(&self, key: &ObjectKey, identity: &Identity) -> Result<(), BucketError> {
        if !self.is_still(key, identity).await? {
            return Ok(());
        }
        let delete = self.client.delete_object().bucket(&self.bucket).key(self.text(key)?);
        let Some(etag) = identity.etag.as_deref() else {
            return match delete.send().await {
                Ok(_) => Ok(()),
                Err(error) => gone_is_fine(self.failed(DELETE, Some(key), &error)),
            };
        };
        let Err(error) = delete.clone().if_match(etag_out(etag)).send().await else {
            return Ok(());
        };
        let knows_none = Refusal::of(&error).is_some_and(|refusal| refusal.is_unknown_condition());
        if !knows_none {
            return gone_is_fine(self.failed(DELETE, Some(key), &error));
        }
        if !self.is_still(key, identity).await? {
            return Ok(());
        }
        match delete.send().await {
            Ok(_) => Ok(()),
            Err(error) => gone_is_fine(self.failed(DELETE, Some(key), &error)),
        }
    }

    /// Whether this version is there: false where nothing is, and an error where another one is.
    pub(super) async fn is_still(&self, key: &ObjectKey, identity: &Identity) -> Result<bool, BucketError> {
        match self.head_object(key).await {
            Ok(head) if agree(&head.identity, identity) => Ok(true),
            Ok(_) => Err(BucketError::Changed(key.clone())),
            Err(BucketError::NotFound(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn gone_is_fine(error: BucketError) -> Result<(), BucketError> {
    match error {
        BucketError::NotFound(_) => Ok(()),
        other => Err(other),
    }
}

/// What `If-None-Match` and `If-Match` say.
pub(super) fn conditions(condition: &Condition) -> (Option<String>, Option<String>) {
    match condition {
        Condition::Always => (None, None),
        Condition::Absent => (Some("*".to_owned()), None),
        Condition::Is(etag) => (None, Some(etag_out(etag))),
    }
}

pub(super) fn metadata(given: &BTreeMap<String, String>) -> std::collections::HashMap<String, String> {
    given
        .iter()
        .map(|(name, value)| (name.clone(), metadata_out(value)))
        .collect()
}

pub(super) fn tags(object: &NewObject) -> Option<String> {
    let tags = object.tags.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    (!object.tags.is_empty()).then(|| tagging(tags))
}
