//! Listings, page by page.

use super::error::LIST;
use super::text::{etag_in, listed_key};
use super::{S3Remote, whole_seconds};
use crate::bucket::BucketError;
use crate::bucket::remote::{From, Page};
use crate::object::{Identity, Object, ObjectKey};

impl S3Remote {
    pub(super) async fn list_page(&self, prefix: &str, from: &From, most: u16) -> Result<Page, BucketError> {
        let mut request = self
            .client
            .list_objects_v2()
            .bucket(&self.bucket)
            .encoding_type(aws_sdk_s3::types::EncodingType::Url)
            .max_keys(i32::from(most));
        if !prefix.is_empty() {
            request = request.prefix(prefix);
        }
        request = match from {
            From::Start => request,
            From::After(key) => request.start_after(self.text(key)?),
            From::Next(token) => request.continuation_token(token),
        };
        let answer = request.send().await.map_err(|error| self.failed(LIST, None, &error))?;
        let is_encoded = answer.encoding_type().is_some();
        let mut objects: Vec<Object> = Vec::with_capacity(answer.contents().len());
        for listed in answer.contents() {
            let spelled = listed.key().unwrap_or_default();
            let key = if is_encoded {
                listed_key(spelled)
            } else {
                spelled.as_bytes().to_vec()
            };
            // `a//b`, and what consoles write where a person makes a folder.
            let Ok(key) = ObjectKey::new(key) else {
                continue;
            };
            let size = listed.size().and_then(|size| u64::try_from(size).ok());
            let (Some(size), Some(modified)) = (size, listed.last_modified()) else {
                return Err(self.strange(LIST, Some(&key), "the answer has no size or no time"));
            };
            objects.push(Object {
                bucket: self.name.clone(),
                key,
                identity: Identity {
                    size,
                    modified_ns: whole_seconds(modified),
                    etag: etag_in(listed.e_tag()),
                    version: None,
                },
            });
        }
        self.check_order(from, &objects)?;
        let next = match (answer.is_truncated(), answer.next_continuation_token()) {
            (Some(true), None) => return Err(self.strange(LIST, None, "the answer breaks off and says no next page")),
            (Some(true), Some(token)) => Some(token.to_owned()),
            _ => None,
        };
        Ok(Page { objects, next })
    }

    /// What follows a listing compares it with other lists in the same order, and would take whole stretches for gone.
    fn check_order(&self, from: &From, objects: &[Object]) -> Result<(), BucketError> {
        let first = match from {
            From::After(key) => Some(key),
            From::Start | From::Next(_) => None,
        };
        let keys: Vec<_> = first
            .into_iter()
            .chain(objects.iter().map(|object| &object.key))
            .collect();
        if keys.is_sorted_by(|one, next| one < next) {
            return Ok(());
        }
        Err(BucketError::Permanent {
            message: format!(
                "bucket {}: the server does not list keys in the order of their bytes; directory buckets do not, and \
                 cannot be used",
                self.name
            ),
            source: None,
        })
    }
}
