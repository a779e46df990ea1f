//! A queue of Amazon SQS, or of a server that speaks like it: one call, one request.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::{BehaviorVersion, Region};
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::{
    BatchResultErrorEntry, ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, QueueAttributeName,
};
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::SdkConfig;

use crate::bucket::s3::{is_plain, plain_http};
use crate::config::{S3Config, SqsConfig};
use crate::watch::session::chain;

/// The most messages that one request is about.
pub(super) const BATCH: usize = 10;
/// How long an answer may take besides the wait that is asked for.
const ANSWER: Duration = Duration::from_secs(20);

/// A message that was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    /// By which it is deleted.
    pub(super) receipt: String,
    /// What it says.
    pub(super) body: String,
}

/// What went wrong, in words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct QueueError(pub(super) String);

/// One entry of a batch that failed: its place, and why.
pub(super) type Failed = (usize, String);

/// What the program asks of a queue.
#[async_trait]
pub(super) trait Queue: Send + Sync {
    /// Up to [`BATCH`] messages, which nobody else gets for `hidden`; waits up to `wait` for the first.
    async fn receive(&self, wait: Duration, hidden: Duration) -> Result<Vec<Message>, QueueError>;
    /// Deletes up to [`BATCH`] messages; those that were not.
    async fn delete(&self, messages: &[Message]) -> Result<Vec<Failed>, QueueError>;
    /// Hides up to [`BATCH`] messages for so long from now; those that were not.
    async fn hide(&self, messages: &[Message], hidden: Duration) -> Result<Vec<Failed>, QueueError>;
}

/// A queue that is reached by the SDK.
#[derive(Debug)]
pub(super) struct SqsQueue {
    client: Client,
    url: String,
}

impl SqsQueue {
    /// The queue of a bucket, with the credentials and the HTTP client that `sdk` has for it.
    pub(super) fn new(bucket: &S3Config, config: &SqsConfig, sdk: &SdkConfig) -> Self {
        let endpoint = config
            .endpoint
            .clone()
            .or_else(|| (!bucket.is_aws()).then(|| origin(&config.queue)).flatten());
        let region = config
            .region
            .clone()
            .or_else(|| region_of(&config.queue))
            .or_else(|| bucket.region.clone())
            .or_else(|| sdk.region().map(ToString::to_string))
            .unwrap_or_else(|| "us-east-1".to_owned());
        // A wait for messages is longer than other requests may take.
        let patience = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(10))
            .read_timeout(super::WAIT + ANSWER)
            .operation_attempt_timeout(super::WAIT + ANSWER)
            .build();
        let mut settings = aws_sdk_sqs::config::Builder::from(sdk)
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(region))
            .timeout_config(patience);
        // That of the bucket is none of a queue's.
        settings.set_endpoint_url(endpoint.clone());
        if endpoint.as_deref().is_some_and(is_plain) {
            settings.set_http_client(Some(plain_http(bucket)));
        }
        Self {
            client: Client::from_conf(settings.build()),
            url: config.queue.clone(),
        }
    }

    /// What the queue says of itself.
    pub(super) async fn attributes(&self) -> Result<HashMap<QueueAttributeName, String>, QueueError> {
        let request = self.client.get_queue_attributes().queue_url(&self.url);
        let answer = request
            .attribute_names(QueueAttributeName::All)
            .send()
            .await
            .map_err(|error| self.error(&error, "sqs:GetQueueAttributes"))?;
        Ok(answer.attributes.unwrap_or_default())
    }

    /// Whether messages may be received: one that comes just now is there for others at once.
    pub(super) async fn may_receive(&self) -> Result<(), QueueError> {
        let request = self.client.receive_message().queue_url(&self.url);
        let asked = request
            .max_number_of_messages(1)
            .wait_time_seconds(0)
            .visibility_timeout(0);
        let answer = asked.send().await;
        answer
            .map(|_| ())
            .map_err(|error| self.error(&error, "sqs:ReceiveMessage"))
    }

    fn error<E>(&self, error: &SdkError<E>, permission: &str) -> QueueError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let url = &self.url;
        let code = error.code().unwrap_or_default();
        // Old servers put the name of a space before it.
        QueueError(match code.rsplit(['.', '#']).next().unwrap_or_default() {
            "QueueDoesNotExist" | "NonExistentQueue" => format!("there is no queue {url}"),
            "AccessDenied" | "AccessDeniedException" => {
                format!("not permitted: these credentials need {permission} on the queue {url}")
            }
            "KmsAccessDenied" => format!("not permitted: these credentials need kms:Decrypt for the queue {url}"),
            "InvalidClientTokenId"
            | "UnrecognizedClientException"
            | "SignatureDoesNotMatch"
            | "InvalidSignatureException"
            | "ExpiredToken"
            | "ExpiredTokenException"
            | "InvalidAccessKeyId" => {
                format!("the credentials for the queue {url} are wrong or have expired ({code})")
            }
            "" => format!("the queue {url} cannot be reached: {}", chain(error)),
            _ => {
                let message = error.message().unwrap_or("no more is said");
                format!("the queue {url} answered {code}: {message}")
            }
        })
    }
}

#[async_trait]
impl Queue for SqsQueue {
    async fn receive(&self, wait: Duration, hidden: Duration) -> Result<Vec<Message>, QueueError> {
        let answer = self
            .client
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(i32::try_from(BATCH).unwrap_or(1))
            .wait_time_seconds(seconds(wait))
            .visibility_timeout(seconds(hidden))
            .send()
            .await
            .map_err(|error| self.error(&error, "sqs:ReceiveMessage"))?;
        let messages = answer.messages.unwrap_or_default().into_iter();
        Ok(messages
            .map(|message| Message {
                receipt: message.receipt_handle.unwrap_or_default(),
                body: message.body.unwrap_or_default(),
            })
            .collect())
    }

    async fn delete(&self, messages: &[Message]) -> Result<Vec<Failed>, QueueError> {
        let entry = |(place, message): (usize, &Message)| {
            DeleteMessageBatchRequestEntry::builder()
                .id(place.to_string())
                .receipt_handle(&message.receipt)
                .build()
        };
        let entries: Result<Vec<_>, _> = messages.iter().enumerate().map(entry).collect();
        let answer = self
            .client
            .delete_message_batch()
            .queue_url(&self.url)
            .set_entries(Some(entries.map_err(|error| QueueError(chain(&error)))?))
            .send()
            .await
            .map_err(|error| self.error(&error, "sqs:DeleteMessage"))?;
        let done = answer
            .successful
            .iter()
            .map(aws_sdk_sqs::types::DeleteMessageBatchResultEntry::id);
        Ok(failed(messages.len(), done, &answer.failed))
    }

    async fn hide(&self, messages: &[Message], hidden: Duration) -> Result<Vec<Failed>, QueueError> {
        let entry = |(place, message): (usize, &Message)| {
            ChangeMessageVisibilityBatchRequestEntry::builder()
                .id(place.to_string())
                .receipt_handle(&message.receipt)
                .visibility_timeout(seconds(hidden))
                .build()
        };
        let entries: Result<Vec<_>, _> = messages.iter().enumerate().map(entry).collect();
        let answer = self
            .client
            .change_message_visibility_batch()
            .queue_url(&self.url)
            .set_entries(Some(entries.map_err(|error| QueueError(chain(&error)))?))
            .send()
            .await
            .map_err(|error| self.error(&error, "sqs:ChangeMessageVisibility"))?;
        let done = answer
            .successful
            .iter()
            .map(aws_sdk_sqs::types::ChangeMessageVisibilityBatchResultEntry::id);
        Ok(failed(messages.len(), done, &answer.failed))
    }
}

/// Every entry that the answer to a batch does not call done, and why.
fn failed<'a>(count: usize, done: impl Iterator<Item = &'a str>, errors: &[BatchResultErrorEntry]) -> Vec<Failed> {
    let done: Vec<&str> = done.collect();
    let why: HashMap<&str, String> = errors
        .iter()
        .map(|error| {
            (
                error.id(),
                format!("{} {}", error.code(), error.message().unwrap_or_default()),
            )
        })
        .collect();
    let undone = (0..count).map(|place| (place, place.to_string()));
    undone
        .filter(|(_, id)| !done.contains(&id.as_str()))
        .map(|(place, id)| {
            let words = why.get(id.as_str()).cloned();
            (
                place,
                words.unwrap_or_else(|| "the answer says nothing of it".to_owned()),
            )
        })
        .collect()
}

fn seconds(time: Duration) -> i32 {
    i32::try_from(time.as_secs()).unwrap_or(i32::MAX)
}

/// Scheme, host and port of a URL.
fn origin(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?']).next()?;
    Some(format!("{scheme}://{authority}"))
}

/// The region that stands in the URL of a queue at AWS.
fn region_of(url: &str) -> Option<String> {
    let origin = origin(url)?;
    let host = origin.split_once("://")?.1;
    let (name, domain) = host.split_once(".amazonaws.com")?;
    let region = name.strip_prefix("sqs.")?;
    matches!(domain, "" | ".cn").then(|| region.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_queue_is_can_be_read_from_its_url() {
        assert_eq!(
            origin("http://127.0.0.1:5000/1/q").as_deref(),
            Some("http://127.0.0.1:5000")
        );
        assert_eq!(
            region_of("https://sqs.eu-west-1.amazonaws.com/1/q").as_deref(),
            Some("eu-west-1")
        );
        assert_eq!(
            region_of("https://sqs.cn-north-1.amazonaws.com.cn/1/q").as_deref(),
            Some("cn-north-1")
        );
        assert_eq!(region_of("http://127.0.0.1:5000/1/q"), None);
        assert_eq!(region_of("https://queue.amazonaws.com/1/q"), None);
    }

    #[test]
    fn an_entry_of_which_the_answer_says_nothing_has_failed() {
        let error = BatchResultErrorEntry::builder()
            .id("2")
            .code("Busy")
            .message("later")
            .sender_fault(false)
            .build()
            .unwrap();
        let failed = failed(4, ["0", "3"].into_iter(), &[error]);
        assert_eq!(failed[0], (1, "the answer says nothing of it".to_owned()));
        assert_eq!(failed[1], (2, "Busy later".to_owned()));
        assert_eq!(failed.len(), 2);
    }
}
