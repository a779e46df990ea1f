//! Uploads in parts.

use aws_sdk_s3::types::{
    ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart, EncodingType, ObjectCannedAcl, StorageClass,
};

use super::error::{ABORT, COMPLETE, PUT, Refusal, UPLOADS};
use super::objects::{conditions, metadata, tags};
use super::text::listed_key;
use super::{S3Remote, body};
use crate::bucket::BucketError;
use crate::bucket::remote::{Condition, NewObject, OpenUpload, PartTag, Stretch, UploadId};
use crate::object::ObjectKey;

impl S3Remote {
    pub(super) fn checksums(&self) -> Option<ChecksumAlgorithm> {
        self.has_checksums.then_some(ChecksumAlgorithm::Crc32)
    }

    pub(super) async fn create_upload(&self, object: &NewObject) -> Result<UploadId, BucketError> {
        let answer = self
            .client
            .create_multipart_upload()
            .bucket(&self.bucket)
            .key(self.text(&object.key)?)
            .content_type(&object.content_type)
            .set_metadata(Some(metadata(&object.metadata)))
            .set_tagging(tags(object))
            .set_storage_class(object.storage_class.as_deref().map(StorageClass::from))
            .set_acl(object.acl.as_deref().map(ObjectCannedAcl::from))
            .set_cache_control(object.cache_control.clone())
            .set_checksum_algorithm(self.checksums())
            .send()
            .await
            .map_err(|error| self.failed(PUT, Some(&object.key), &error))?;
        let id = answer.upload_id().filter(|id| !id.is_empty());
        let id = id.ok_or_else(|| self.strange(PUT, Some(&object.key), "the answer names no upload"))?;
        Ok(UploadId(id.to_owned()))
    }

    pub(super) async fn send_part(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        number: u16,
        content: &Stretch,
    ) -> Result<PartTag, BucketError> {
        let answer = self
            .client
            .upload_part()
            .bucket(&self.bucket)
            .key(self.text(key)?)
            .upload_id(&upload.0)
            .part_number(i32::from(number))
            .set_checksum_algorithm(self.checksums())
            .body(body(content).await?)
            .send()
            .await
            .map_err(|error| self.failed(PUT, Some(key), &error))?;
        let etag = answer.e_tag().filter(|etag| !etag.is_empty());
        Ok(PartTag {
            number,
            etag: etag
                .ok_or_else(|| self.strange(PUT, Some(key), "the answer has no entity tag for a part"))?
                .to_owned(),
            crc32: answer.checksum_crc32().map(str::to_owned),
        })
    }

    pub(super) async fn finish_upload(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        parts: &[PartTag],
        condition: &Condition,
    ) -> Result<(), BucketError> {
        let parts = parts.iter().map(|part| {
            CompletedPart::builder()
                .part_number(i32::from(part.number))
                .e_tag(&part.etag)
                .set_checksum_crc32(part.crc32.clone())
                .build()
        });
        let (absent, is) = conditions(condition);
        let completed = self
            .client
            .complete_multipart_upload()
            .bucket(&self.bucket)
            .key(self.text(key)?)
            .upload_id(&upload.0)
            .multipart_upload(
                CompletedMultipartUpload::builder()
                    .set_parts(Some(parts.collect()))
                    .build(),
            )
            .set_if_none_match(absent)
            .set_if_match(is)
            .send()
            .await;
        let Err(error) = completed else {
            return Ok(());
        };
        // Nothing has the name, and so not what should have it.
        if Refusal::of(&error).is_some_and(|refusal| refusal.code.as_deref() == Some("NoSuchKey")) {
            return Err(BucketError::Changed(key.clone()));
        }
        Err(self.failed(COMPLETE, Some(key), &error))
    }

    pub(super) async fn drop_upload(&self, key: &ObjectKey, upload: &UploadId) -> Result<(), BucketError> {
        let aborted = self
            .client
            .abort_multipart_upload()
            .bucket(&self.bucket)
            .key(self.text(key)?)
            .upload_id(&upload.0)
            .send()
            .await;
        match aborted.map_err(|error| self.failed(ABORT, Some(key), &error)) {
            Ok(_) | Err(BucketError::NotFound(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn list_uploads(&self, prefix: &str) -> Result<Vec<OpenUpload>, BucketError> {
        let mut found: Vec<OpenUpload> = Vec::new();
        let (mut after_key, mut after_id) = (None, None);
        loop {
            let mut request = self
                .client
                .list_multipart_uploads()
                .bucket(&self.bucket)
                .encoding_type(EncodingType::Url)
                .set_key_marker(after_key.clone())
                .set_upload_id_marker(after_id.clone());
            if !prefix.is_empty() {
                request = request.prefix(prefix);
            }
            let answer = request
                .send()
                .await
                .map_err(|error| self.failed(UPLOADS, None, &error))?;
            let is_encoded = answer.encoding_type().is_some();
            let plain = |spelled: &str| {
                if is_encoded {
                    listed_key(spelled)
                } else {
                    spelled.as_bytes().to_vec()
                }
            };
            for upload in answer.uploads() {
                let key = ObjectKey::new(plain(upload.key().unwrap_or_default()));
                let (Ok(key), Some(id)) = (key, upload.upload_id()) else {
                    continue;
                };
                // Some servers list all uploads whatever prefix is asked for.
                if key.as_bytes().starts_with(prefix.as_bytes()) {
                    found.push(OpenUpload {
                        key,
                        id: UploadId(id.to_owned()),
                        begun: upload
                            .initiated()
                            .and_then(|time| jiff::Timestamp::from_second(time.secs()).ok()),
                    });
                }
            }
            if answer.is_truncated() != Some(true) {
                return Ok(found);
            }
            let next = answer.next_key_marker().map(|key| String::from_utf8(plain(key)));
            let (Some(Ok(key)), id) = (next, answer.next_upload_id_marker().map(str::to_owned)) else {
                return Err(self.strange(UPLOADS, None, "the answer breaks off and says no next page"));
            };
            if (after_key.as_ref(), &after_id) == (Some(&key), &id) {
                return Err(self.strange(UPLOADS, None, "the answer says the same page again"));
            }
            (after_key, after_id) = (Some(key), id);
        }
    }
}
