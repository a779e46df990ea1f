//! A bucket that is reached by the S3 protocol: AWS, MinIO, Ceph and what is compatible with them.
//!
//! Each call is one question to the server, answered or failed. Where a server is less careful than it should be (no entity
//! tags, conditions that it ignores), the answer is looked at once more here.

mod client;

mod copying;
mod error;
pub mod inspect;
mod listing;
mod objects;
#[cfg(test)]
pub(crate) mod tests;
mod text;
mod uploads;

pub use client::{is_loopback, is_plain, plain_http, sdk};
use std::fmt;
pub use text::in_query;

use async_trait::async_trait;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_s3::Client;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::{ByteStream, DateTime, Length};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use bytes::Bytes;

use super::BucketError;
use super::remote::{Condition, From, Head, NewObject, OpenUpload, Page, PartTag, Remote, Stretch, UploadId};
use crate::config::S3Config;
use crate::object::{BucketName, Identity, ObjectKey};
use error::{Asked, LIST, explain};

/// The longest key in bytes that the protocol knows.
const LONGEST_KEY: usize = 1024;

/// What one request may copy.
#[derive(Debug, Clone, Copy)]
struct CopyLimits {
    /// The largest object that one request copies, in bytes.
    whole: u64,
    /// The size of the parts that larger ones are copied in, in bytes.
    part: u64,
}

/// An object of 5 TiB has 5,120 parts of this size.
const COPY_LIMITS: CopyLimits = CopyLimits {
    whole: 5 << 30,
    part: 1 << 30,
};

/// A bucket of a server that speaks S3.
#[derive(Clone)]
pub struct S3Remote {
    name: BucketName,
    /// As the server knows it.
    bucket: String,
    client: Client,
    /// Whether each upload carries a checksum that the server checks.
    has_checksums: bool,
    copies: CopyLimits,
}

impl fmt::Debug for S3Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Remote")
            .field("name", &self.name)
            .field("bucket", &self.bucket)
            .finish_non_exhaustive()
    }
}

impl S3Remote {
    /// Gets ready to ask the bucket `name` of the config. Nothing is asked yet, so a server that is away is no error.
    ///
    /// # Errors
    /// Where the file of certificates cannot be used.
    pub async fn connect(name: &BucketName, config: &S3Config) -> Result<Self, BucketError> {
        Self::connect_as(name, config, None).await
    }

    /// As [`S3Remote::connect`], with these credentials where some are given.
    pub(crate) async fn connect_as(
        name: &BucketName,
        config: &S3Config,
        credentials: Option<SharedCredentialsProvider>,
    ) -> Result<Self, BucketError> {
        Ok(Self {
            name: name.clone(),
            bucket: config.s3.clone(),
            client: client::client(name, config, credentials).await?,
            has_checksums: config.is_aws(),
            copies: COPY_LIMITS,
        })
    }

    /// The key as the protocol has it: text.
    fn text<'a>(&self, key: &'a ObjectKey) -> Result<&'a str, BucketError> {
        let wrong = |what: &str| BucketError::Permanent {
            message: format!("bucket {}: {key}: {what}", self.name),
            source: None,
        };
        let text =
            std::str::from_utf8(key.as_bytes()).map_err(|_| wrong("keys of S3 are UTF-8, and this one is not"))?;
        if text.len() > LONGEST_KEY {
            return Err(wrong("keys of S3 have at most 1,024 bytes"));
        }
        Ok(text)
    }

    fn failed<E>(&self, asked: Asked, key: Option<&ObjectKey>, error: &SdkError<E, HttpResponse>) -> BucketError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        explain(&self.name, asked, key, error)
    }

    /// An answer that no server should give.
    fn strange(&self, asked: Asked, key: Option<&ObjectKey>, what: &str) -> BucketError {
        let key = key.map(|key| format!(" {key}")).unwrap_or_default();
        BucketError::offline(format!("bucket {}: {}{key}: {what}", self.name, asked.what))
    }
}

/// The bytes of a stretch, read as they are sent.
async fn body(content: &Stretch) -> Result<ByteStream, BucketError> {
    if content.length == 0 {
        return Ok(ByteStream::from_static(b""));
    }
    ByteStream::read_from()
        .path(&content.path)
        .offset(content.offset)
        .length(Length::Exact(content.length))
        .buffer_size(256 << 10)
        .build()
        .await
        .map_err(|error| BucketError::Permanent {
            message: format!("{} cannot be read: {error}", content.path.display()),
            source: None,
        })
}

/// A time in whole seconds, in nanoseconds since 1970: servers say more in listings than in heads.
fn whole_seconds(time: &DateTime) -> i64 {
    time.secs().saturating_mul(1_000_000_000)
}

/// A version that a bucket with versions really gave.
fn real_version(version: Option<&str>) -> Option<String> {
    version
        .filter(|version| !version.is_empty() && *version != "null")
        .map(str::to_owned)
}

/// Whether two answers can be about the same version of an object, as far as both say something.
fn agree(one: &Identity, other: &Identity) -> bool {
    let versions = one.version.is_none() || other.version.is_none() || one.version == other.version;
    let etags = one.etag.is_none() || other.etag.is_none() || one.etag == other.etag;
    one.size == other.size && one.modified_ns == other.modified_ns && etags && versions
}

#[async_trait]
impl Remote for S3Remote {
    async fn reachable(&self) -> Result<(), BucketError> {
        // Unlike a question about the bucket itself, its answer has a body, which says what is wrong.
        let request = self.client.list_objects_v2().bucket(&self.bucket).max_keys(1);
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.failed(LIST, None, &error)),
        }
    }

    async fn head(&self, key: &ObjectKey) -> Result<Head, BucketError> {
        self.head_object(key).await
    }

    async fn read(&self, key: &ObjectKey, identity: &Identity, offset: u64, length: u64) -> Result<Bytes, BucketError> {
        self.get_range(key, identity, offset, length).await
    }

    async fn page(&self, prefix: &str, from: &From, most: u16) -> Result<Page, BucketError> {
        self.list_page(prefix, from, most).await
    }

    async fn put(&self, object: &NewObject, content: &Stretch, condition: &Condition) -> Result<(), BucketError> {
        self.put_object(object, content, condition).await
    }

    async fn begin_upload(&self, object: &NewObject) -> Result<UploadId, BucketError> {
        self.create_upload(object).await
    }

    async fn upload_part(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        number: u16,
        content: &Stretch,
    ) -> Result<PartTag, BucketError> {
        self.send_part(key, upload, number, content).await
    }

    async fn complete_upload(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        parts: &[PartTag],
        condition: &Condition,
    ) -> Result<(), BucketError> {
        self.finish_upload(key, upload, parts, condition).await
    }

    async fn abort_upload(&self, key: &ObjectKey, upload: &UploadId) -> Result<(), BucketError> {
        self.drop_upload(key, upload).await
    }

    async fn open_uploads(&self, prefix: &str) -> Result<Vec<OpenUpload>, BucketError> {
        self.list_uploads(prefix).await
    }

    async fn delete(&self, key: &ObjectKey, identity: &Identity) -> Result<(), BucketError> {
        self.delete_object(key, identity).await
    }

    async fn copy(&self, key: &ObjectKey, identity: &Identity, to: &ObjectKey) -> Result<(), BucketError> {
        self.copy_object(key, identity, to).await
    }
}
