//! Messages about objects that nobody understood.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{App, AppError};
use crate::store::Quarantined;

/// A message that nobody understood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantinedView {
    /// When it came.
    pub came: Timestamp,
    /// About which bucket.
    pub bucket: String,
    /// By which way: `sqs`, `webhook`, `listen`.
    pub source: String,
    /// What is wrong with it.
    pub reason: String,
    /// The message, readable.
    pub body: String,
    /// Its true bytes in base64, where it is not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_bytes: Option<String>,
}

impl From<Quarantined> for QuarantinedView {
    fn from(message: Quarantined) -> Self {
        let body = String::from_utf8_lossy(&message.body).into_owned();
        Self {
            came: message.came,
            bucket: message.bucket.to_string(),
            source: message.source,
            reason: message.reason,
            body_bytes: (body.as_bytes() != message.body).then(|| STANDARD.encode(&message.body)),
            body,
        }
    }
}

impl App {
    /// The last messages that nobody understood, newest first.
    ///
    /// # Errors
    /// Where the store does not answer.
    pub async fn quarantine(&self) -> Result<Vec<QuarantinedView>, AppError> {
        const MOST: u32 = 100;
        let messages = self.mill.store.quarantined(MOST).await?;
        Ok(messages.into_iter().map(QuarantinedView::from).collect())
    }
}
