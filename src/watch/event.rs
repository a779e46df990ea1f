//! What servers write about objects, read into notices.
//!
//! Every server has its own idea of an event. What they have in common is here: nothing in a message is required, a value
//! of an unexpected kind counts as absent, and what is unknown is passed over. A message of which no shape is known is
//! [`NotUnderstood`], for people to look at. What a message says decides nothing: the bucket is asked what is there.

mod fields;

use std::borrow::Cow;

use jiff::Timestamp;
use serde::de::{Deserializer, SeqAccess, Visitor};

use self::fields::{Body, Detail, Record, Records};
use super::Notice;
use crate::object::ObjectKey;

/// How deep a message may lie within others: an event in a topic's message in a queue, and one more.
const DEEPEST: u8 = 3;

/// The way that a message came. Where keys are escaped depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// MinIO's stream of notifications: keys as they are.
    Listen,
    /// A queue, a topic, a broker or a request: keys as the sender's habit is.
    Message,
}

/// What a message says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parsed {
    /// Objects that came to be, in the order of the message.
    pub notices: Vec<Notice>,
    /// How many other things it tells of: removals, tags, keys that no object here can have.
    pub ignored: u32,
}

/// The message is none that is known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotUnderstood(pub String);

/// Reads a message. One without content, a ping and a test tell of nothing.
///
/// # Errors
/// Where it is not JSON, or tells in no known way of objects.
pub fn parse(body: &[u8], transport: Transport) -> Result<Parsed, NotUnderstood> {
    let mut parsed = Parsed::default();
    read(body, transport, DEEPEST, &mut parsed)?;
    Ok(parsed)
}

fn read(body: &[u8], transport: Transport, deeper: u8, parsed: &mut Parsed) -> Result<(), NotUnderstood> {
    let body = body.trim_ascii();
    let not_json = |error: serde_json::Error| NotUnderstood(format!("it is not JSON: {error}"));
    match body.first() {
        None => Ok(()),
        Some(b'{') => {
            let message: Body<'_> = serde_json::from_slice(body).map_err(not_json)?;
            take(message, transport, deeper, parsed)
        }
        Some(b'[') => {
            let mut reader = serde_json::Deserializer::from_slice(body);
            let result = reader
                .deserialize_seq(Several {
                    transport,
                    deeper,
                    parsed,
                })
                .map_err(not_json)?;
            reader.end().map_err(not_json)?;
            result
        }
        Some(_) => Err(match serde_json::from_slice::<serde::de::IgnoredAny>(body) {
            Ok(_) => unknown(),
            Err(error) => not_json(error),
        }),
    }
}

fn unknown() -> NotUnderstood {
    NotUnderstood("it is JSON, but tells of objects in no way that is known".to_owned())
}

/// A list of messages, as Redis and some forwarders hand them on. None is held longer than it takes to read it.
struct Several<'p> {
    transport: Transport,
    deeper: u8,
    parsed: &'p mut Parsed,
}

impl<'de> Visitor<'de> for Several<'_> {
    type Value = Result<(), NotUnderstood>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list of messages")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut result = Ok(());
        while let Some(message) = list.next_element::<Body<'de>>()? {
            // The rest counts all the same.
            result = result.and(take(message, self.transport, self.deeper, self.parsed));
        }
        Ok(result)
    }
}

fn take(message: Body<'_>, transport: Transport, deeper: u8, parsed: &mut Parsed) -> Result<(), NotUnderstood> {
    if let (Some(kind), Some(detail)) = (message.detail_type.as_deref(), message.detail) {
        bridged(kind, &detail, message.time.as_deref(), parsed);
        return Ok(());
    }
    if message.records != Records::Absent || message.event.records != Records::Absent {
        for records in [message.records, message.event.records] {
            if let Records::Are { told, empty } = records {
                parsed.ignored = parsed.ignored.saturating_add(empty);
                for record in told {
                    recorded(&record, message.event_name.as_deref(), transport, parsed);
                }
            }
        }
        return Ok(());
    }
    if message.event.name.as_deref() == Some("s3:TestEvent") {
        return Ok(());
    }
    if let (Some(name), Some(key)) = (message.event_name.as_deref(), message.key.as_deref()) {
        // Without records the name of the bucket stands before the key.
        let (bucket, key) = key.split_once('/').unwrap_or(("", key));
        add(name, bucket, Cow::Borrowed(key.as_bytes()), None, parsed);
        return Ok(());
    }
    match (message.kind.as_deref(), message.message.as_deref()) {
        (Some("SubscriptionConfirmation"), _) => Err(NotUnderstood(
            "a topic asks whether it may send here: open the SubscribeURL in the message to say yes".to_owned(),
        )),
        (_, Some(inner)) if deeper > 0 => read(inner.as_bytes(), transport, deeper - 1, parsed),
        _ => Err(unknown()),
    }
}

/// One record in the manner of S3's notifications.
fn recorded(record: &Record<'_>, outer_name: Option<&str>, transport: Transport, parsed: &mut Parsed) {
    let name = record.name.as_deref().or(outer_name).unwrap_or_default();
    let key = record.s3.object.key.as_deref().unwrap_or_default();
    let escaped = match record.source.as_deref() {
        // Never, by any way.
        Some("ceph:s3") => false,
        // Always, by any way.
        Some("aws:s3" | "rustfs:s3") => true,
        _ => transport == Transport::Message,
    };
    let key = if escaped {
        unescape(key)
    } else {
        Cow::Borrowed(key.as_bytes())
    };
    let bucket = record.s3.bucket.name.as_deref().unwrap_or_default();
    add(name, bucket, key, record.time.as_deref(), parsed);
}

/// One event in the manner of EventBridge.
fn bridged(kind: &str, detail: &Detail<'_>, time: Option<&str>, parsed: &mut Parsed) {
    let key = detail.object.key.as_deref().unwrap_or_default().as_bytes();
    let bucket = detail.bucket.name.as_deref().unwrap_or_default();
    let name = if kind == "Object Created" {
        "ObjectCreated:"
    } else {
        kind
    };
    add(name, bucket, Cow::Borrowed(key), time, parsed);
}

fn add(name: &str, bucket: &str, key: Cow<'_, [u8]>, time: Option<&str>, parsed: &mut Parsed) {
    match ObjectKey::new(key) {
        Ok(key) if creates(name) => parsed.notices.push(Notice {
            bucket: (!bucket.is_empty()).then(|| bucket.to_owned()),
            key,
            event: time.and_then(|time| time.parse::<Timestamp>().ok()),
        }),
        _ => parsed.ignored = parsed.ignored.saturating_add(1),
    }
}

/// Whether an event of this name may mean a new object. A record without a name may: the bucket will say.
fn creates(name: &str) -> bool {
    let name = name.strip_prefix("s3:").unwrap_or(name);
    if name.is_empty() {
        return true;
    }
    let (what, how) = name.split_once(':').unwrap_or((name, ""));
    match what {
        // MinIO tells of these, too, where all that is created was asked for.
        "ObjectCreated" => !["Tagging", "Retention", "LegalHold", "Acl"]
            .iter()
            .any(|ending| how.ends_with(ending)),
        // Ceph, of what came from another zone.
        "ObjectSynced" => how == "Create",
        _ => false,
    }
}

/// Undoes the escaping of forms: `+` is a space, `%2F` a slash. A `%` that escapes nothing stands for itself.
fn unescape(text: &str) -> Cow<'_, [u8]> {
    let bytes = text.as_bytes();
    if !bytes.iter().any(|byte| matches!(byte, b'+' | b'%')) {
        return Cow::Borrowed(bytes);
    }
    let digit = |at: usize| char::from(*bytes.get(at)?).to_digit(16);
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        at += 1;
        plain.push(match byte {
            b'+' => b' ',
            b'%' => match (digit(at), digit(at + 1)) {
                (Some(high), Some(low)) => {
                    at += 2;
                    u8::try_from(high * 16 + low).unwrap_or(b'%')
                }
                _ => b'%',
            },
            other => *other,
        });
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests;
