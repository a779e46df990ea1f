//! Copies within a bucket, made by the server.

use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};

use super::S3Remote;
use super::error::{COPY, Refusal};
use super::text::{copy_source, etag_out, tagging};
use crate::bucket::BucketError;
use crate::bucket::remote::UploadId;
use crate::object::{Identity, ObjectKey};

impl S3Remote {
    pub(super) async fn copy_object(
        &self,
        key: &ObjectKey,
        identity: &Identity,
        to: &ObjectKey,
    ) -> Result<(), BucketError> {
        self.must_be_free(to).await?;
        // Some servers copy past conditions; what a version names cannot be another.
        if identity.version.is_none() && !self.is_still(key, identity).await? {
            return Err(BucketError::NotFound(key.clone()));
        }
        if identity.size > self.copies.whole {
            return self.copy_in_parts(key, identity, to).await;
        }
        let copy = self
            .client
            .copy_object()
            .bucket(&self.bucket)
            .key(self.text(to)?)
            .copy_source(self.source(key, identity)?)
            .set_copy_source_if_match(identity.etag.as_deref().map(etag_out));
        let Err(error) = copy.clone().if_none_match("*").send().await else {
            return Ok(());
        };
        let refusal = Refusal::of(&error).unwrap_or_default();
        if matches!(refusal.status, 400 | 501) {
            // It may know no conditions on the target. That it was free just now must do.
            let copied = copy.send().await;
            return match copied {
                Ok(_) => Ok(()),
                Err(error) => Err(self.failed(COPY, Some(key), &error)),
            };
        }
        Err(self.failed(COPY, Some(key), &error))
    }

    async fn must_be_free(&self, to: &ObjectKey) -> Result<(), BucketError> {
        match self.head_output(to, None).await {
            Ok(_) => Err(BucketError::Changed(to.clone())),
            Err(BucketError::NotFound(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn source(&self, key: &ObjectKey, identity: &Identity) -> Result<String, BucketError> {
        Ok(copy_source(&self.bucket, self.text(key)?, identity.version.as_deref()))
    }

    /// What is too large for one request. What was given along is not copied by the server then.
    async fn copy_in_parts(&self, key: &ObjectKey, identity: &Identity, to: &ObjectKey) -> Result<(), BucketError> {
        let given = self.head_output(key, identity.version.as_deref()).await?;
        let upload = self.begin_copy(key, identity, to, &given).await?;
        let copied = self.copy_parts(key, identity, to, &upload).await;
        if copied.is_err() {
            // What cannot be aborted now is found by whoever looks for open uploads.
            let _ = self.drop_upload(to, &upload).await;
        }
        copied
    }

    async fn begin_copy(
        &self,
        key: &ObjectKey,
        identity: &Identity,
        to: &ObjectKey,
        given: &HeadObjectOutput,
    ) -> Result<UploadId, BucketError> {
        let mut tags = None;
        if given.tag_count().is_some_and(|count| count > 0) {
            let answer = self
                .client
                .get_object_tagging()
                .bucket(&self.bucket)
                .key(self.text(key)?)
                .set_version_id(identity.version.clone())
                .send()
                .await
                .map_err(|error| self.failed(COPY, Some(key), &error))?;
            tags = Some(tagging(answer.tag_set().iter().map(|tag| (tag.key(), tag.value()))));
        }
        let answer = self
            .client
            .create_multipart_upload()
            .bucket(&self.bucket)
            .key(self.text(to)?)
            .set_content_type(given.content_type().map(str::to_owned))
            .set_content_encoding(given.content_encoding().map(str::to_owned))
            .set_content_language(given.content_language().map(str::to_owned))
            .set_content_disposition(given.content_disposition().map(str::to_owned))
            .set_cache_control(given.cache_control().map(str::to_owned))
            .set_metadata(given.metadata().cloned())
            .set_storage_class(given.storage_class().cloned())
            .set_tagging(tags)
            .set_checksum_algorithm(self.checksums())
            .send()
            .await
            .map_err(|error| self.failed(COPY, Some(to), &error))?;
        let id = answer.upload_id().filter(|id| !id.is_empty());
        let id = id.ok_or_else(|| self.strange(COPY, Some(to), "the answer names no upload"))?;
        Ok(UploadId(id.to_owned()))
    }

    async fn copy_parts(
        &self,
        key: &ObjectKey,
        identity: &Identity,
        to: &ObjectKey,
        upload: &UploadId,
    ) -> Result<(), BucketError> {
        let mut parts = Vec::new();
        let mut offset = 0;
        while offset < identity.size {
            let end = identity.size.min(offset + self.copies.part);
            let number = i32::try_from(parts.len() + 1).unwrap_or(i32::MAX);
            let answer = self
                .client
                .upload_part_copy()
                .bucket(&self.bucket)
                .key(self.text(to)?)
                .upload_id(&upload.0)
                .part_number(number)
                .copy_source(self.source(key, identity)?)
                .copy_source_range(format!("bytes={offset}-{}", end - 1))
                .set_copy_source_if_match(identity.etag.as_deref().map(etag_out))
                .send()
                .await
                .map_err(|error| self.failed(COPY, Some(key), &error))?;
            let made = answer.copy_part_result();
            let etag = made.and_then(|made| made.e_tag());
            let etag = etag.ok_or_else(|| self.strange(COPY, Some(key), "the answer has no entity tag for a part"))?;
            parts.push(
                CompletedPart::builder()
                    .part_number(number)
                    .e_tag(etag)
                    .set_checksum_crc32(made.and_then(|made| made.checksum_crc32()).map(str::to_owned))
                    .build(),
            );
            offset = end;
        }
        self.must_be_free(to).await?;
        let complete = self
            .client
            .complete_multipart_upload()
            .bucket(&self.bucket)
            .key(self.text(to)?)
            .upload_id(&upload.0)
            .multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(parts)).build());
        let completed = complete.if_none_match("*").send().await;
        match completed {
            Ok(_) => Ok(()),
            Err(error) => Err(self.failed(COPY, Some(to), &error)),
        }
    }
}
