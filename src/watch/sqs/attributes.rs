//! What a queue says of itself, for whoever set it up.

use aws_sdk_sqs::types::QueueAttributeName;
use aws_types::SdkConfig;

use super::queue::SqsQueue;
use crate::config::{S3Config, SqsConfig};

/// A queue as it was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Its name for those who send to it.
    pub arn: String,
    /// Messages that nobody has received, about.
    pub waiting: u64,
    /// Where messages go that come again and again.
    pub has_dead_letters: bool,
    /// Why no message could be received; none where that was not tried, since there are messages.
    pub receiving: Option<Result<(), String>>,
}

/// Asks a queue about itself. Messages stay where they are.
///
/// # Errors
/// Where it does not answer or the credentials may not ask, in words.
pub async fn ask(bucket: &S3Config, config: &SqsConfig, sdk: &SdkConfig) -> Result<Attributes, String> {
    let queue = SqsQueue::new(bucket, config, sdk);
    let found = queue.attributes().await.map_err(|error| error.0)?;
    let text = |name: QueueAttributeName| found.get(&name).cloned().unwrap_or_default();
    let waiting = text(QueueAttributeName::ApproximateNumberOfMessages)
        .parse()
        .unwrap_or(0);
    let receiving = match waiting {
        0 => Some(queue.may_receive().await.map_err(|error| error.0)),
        _ => None,
    };
    Ok(Attributes {
        arn: text(QueueAttributeName::QueueArn),
        waiting,
        has_dead_letters: !text(QueueAttributeName::RedrivePolicy).is_empty(),
        receiving,
    })
}
