//! What an object is called and what tells two of its versions apart.
//!
//! Keys are bytes: a local name need not be UTF-8. A key never starts with `/` and has no empty,
//! `.` or `..` segment, so joining one to a directory cannot leave that directory.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest key in bytes: Linux's `PATH_MAX` less the room that a bucket's own path needs.
pub const MAX_KEY_LEN: usize = 3500;

/// The name under which `reelmill.toml` declares a bucket.
///
/// 1 to 63 ASCII letters, digits, `-`, `_` and `.`, starting with a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BucketName(String);

impl BucketName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for BucketName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let bytes = text.as_bytes();
        let ok = (1..=63).contains(&bytes.len())
            && bytes[0].is_ascii_alphanumeric()
            && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b));
        if ok {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidName(
                "a bucket name is 1 to 63 letters, digits, '-', '_' or '.', and starts with a letter or digit",
            ))
        }
    }
}

impl TryFrom<String> for BucketName {
    type Error = InvalidName;
    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<BucketName> for String {
    fn from(name: BucketName) -> Self {
        name.0
    }
}

impl fmt::Display for BucketName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is not a name of the wanted sort.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidName(pub &'static str);

/// The name of an object within its bucket: bytes, segments parted by `/`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey(Vec<u8>);

impl ObjectKey {
    /// Takes the bytes of a key.
    ///
    /// # Errors
    /// Where the key is empty, too long, absolute, holds a NUL, or has a segment that is empty,
    /// `.` or `..`.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, InvalidName> {
        let bytes = bytes.into();
        if bytes.is_empty() || bytes.len() > MAX_KEY_LEN {
            return Err(InvalidName("a key is 1 to 3500 bytes long"));
        }
        if bytes.contains(&0) {
            return Err(InvalidName("a key holds no NUL byte"));
        }
        if bytes
            .split(|b| *b == b'/')
            .any(|s| s.is_empty() || s == b"." || s == b"..")
        {
            return Err(InvalidName(
                "a key has no empty, '.' or '..' segment and does not start or end with '/'",
            ));
        }
        Ok(Self(bytes))
    }

    /// The key as it is stored.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The last segment.
    #[must_use]
    pub fn file_name(&self) -> &[u8] {
        match self.0.iter().rposition(|b| *b == b'/') {
            Some(at) => &self.0[at + 1..],
            None => &self.0,
        }
    }

    /// Everything before the last segment, with its closing `/`; empty at the top of the bucket.
    #[must_use]
    pub fn directory(&self) -> &[u8] {
        match self.0.iter().rposition(|b| *b == b'/') {
            Some(at) => &self.0[..=at],
            None => b"",
        }
    }

    /// The file name without its last extension: `clip.tar` of `a/clip.tar.gz`.
    #[must_use]
    pub fn stem(&self) -> &[u8] {
        let name = self.file_name();
        match name.iter().rposition(|b| *b == b'.') {
            Some(at) if at > 0 => &name[..at],
            _ => name,
        }
    }

    /// The last extension without its dot, as it is spelled; empty where there is none.
    #[must_use]
    pub fn extension(&self) -> &[u8] {
        let name = self.file_name();
        match name.iter().rposition(|b| *b == b'.') {
            Some(at) if at > 0 => &name[at + 1..],
            _ => b"",
        }
    }
}

/// Shows the key with control characters and bytes that are not UTF-8 escaped, so that a hostile
/// name cannot steer a terminal or forge a log line.
impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                if c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
                    write!(f, "{}", c.escape_default())?;
                } else {
                    write!(f, "{c}")?;
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectKey({self})")
    }
}

impl FromStr for ObjectKey {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        Self::new(text.as_bytes())
    }
}

/// In JSON a key is a string where it is UTF-8, else `{"bytes": [..]}`; surfaces that people read
/// use their own form (`key` and `key_bytes`).
impl Serialize for ObjectKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        WireKey::from(self.clone()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ObjectKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = match WireKey::deserialize(deserializer)? {
            WireKey::Text(text) => text.into_bytes(),
            WireKey::Bytes { bytes } => bytes,
        };
        Self::new(bytes).map_err(serde::de::Error::custom)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum WireKey {
    Text(String),
    Bytes { bytes: Vec<u8> },
}

impl From<ObjectKey> for WireKey {
    fn from(key: ObjectKey) -> Self {
        match String::from_utf8(key.0) {
            Ok(text) => Self::Text(text),
            Err(error) => Self::Bytes {
                bytes: error.into_bytes(),
            },
        }
    }
}

/// Whether a name starts with a dot. What lies in hidden directories is never noticed.
#[must_use]
pub fn is_hidden(name: &[u8]) -> bool {
    name.first() == Some(&b'.')
}

/// A directory within a bucket, as a key prefix: empty (the whole bucket) or ending in `/`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Directory(String);

impl Directory {
    /// Takes a directory as a person writes it; a missing closing `/` is added.
    ///
    /// # Errors
    /// As for [`ObjectKey::new`].
    pub fn new(text: &str) -> Result<Self, InvalidName> {
        let trimmed = text.strip_suffix('/').unwrap_or(text);
        if trimmed.is_empty() && text.len() <= 1 {
            return if text.is_empty() {
                Ok(Self::default())
            } else {
                Err(InvalidName(
                    "a directory is relative to its bucket: \"\" is the whole bucket",
                ))
            };
        }
        ObjectKey::new(trimmed.as_bytes())
            .map_err(|_| InvalidName("a directory is relative to its bucket and has no empty, '.' or '..' segment"))?;
        Ok(Self(format!("{trimmed}/")))
    }

    /// The prefix that keys in this directory have.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the key lies in this directory or below it.
    #[must_use]
    pub fn contains(&self, key: &ObjectKey) -> bool {
        key.as_bytes().starts_with(self.0.as_bytes())
    }
}

/// What tells two versions of one key apart, always as a stat (local) or HEAD (S3) gives it.
///
/// Inode and ctime are no part of it: remounts and restores change them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// Size in bytes.
    pub size: u64,
    /// Time of the last change, in nanoseconds since 1970 (whole seconds where the storage gives no more).
    pub modified_ns: i64,
    /// Entity tag without quotes; none for local files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// A real version id; none for local files and unversioned buckets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

impl Identity {
    /// The identity of a local file.
    #[must_use]
    pub fn local(size: u64, modified_ns: i64) -> Self {
        Self {
            size,
            modified_ns,
            etag: None,
            version: None,
        }
    }
}

impl Identity {
    /// Whether the two may be of one version: what both of them tell is the same. Listings tell no version, and those of
    /// some servers no entity tag.
    #[must_use]
    pub fn agrees_with(&self, other: &Self) -> bool {
        let same = |one: &Option<String>, other: &Option<String>| one.is_none() || other.is_none() || one == other;
        self.size == other.size
            && self.modified_ns == other.modified_ns
            && same(&self.etag, &other.etag)
            && same(&self.version, &other.version)
    }
}

/// The one text form, for storing and comparing: `size:modified_ns[:etag[:version]]`.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.size, self.modified_ns)?;
        if self.etag.is_some() || self.version.is_some() {
            let etag = self.etag.as_deref().unwrap_or("").replace(':', "%3A");
            write!(f, ":{etag}")?;
        }
        if let Some(version) = &self.version {
            write!(f, ":{version}")?;
        }
        Ok(())
    }
}

impl FromStr for Identity {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        const WRONG: InvalidName = InvalidName("an identity reads size:modified_ns[:etag[:version]]");
        let mut parts = text.splitn(4, ':');
        let size = parts.next().and_then(|t| t.parse().ok()).ok_or(WRONG)?;
        let modified_ns = parts.next().and_then(|t| t.parse().ok()).ok_or(WRONG)?;
        let etag = parts.next().filter(|t| !t.is_empty()).map(|t| t.replace("%3A", ":"));
        let version = parts.next().map(str::to_owned);
        Ok(Self {
            size,
            modified_ns,
            etag,
            version,
        })
    }
}

/// An object as its bucket described it just now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// The bucket that holds it.
    pub bucket: BucketName,
    /// Its key there.
    pub key: ObjectKey,
    /// Which version of it.
    pub identity: Identity,
}
