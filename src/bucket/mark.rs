//! What this program gives along with what it writes to buckets over a network, as metadata.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use crate::object::ObjectKey;

/// The metadata that names the job that wrote an object.
pub const JOB: &str = "reelmill-job";
/// The metadata that names the object that the job wrote: see [`ours`].
pub const OUTPUT: &str = "reelmill-output";
/// The SHA-256 of an object's bytes, in hexadecimal.
pub const CHECKSUM: &str = "reelmill-sha256";
/// The rule of the job that wrote it.
pub const RULE: &str = "reelmill-rule";
/// The bucket and key of its source.
pub const SOURCE: &str = "reelmill-source";
/// The identity of its source.
pub const SOURCE_IDENTITY: &str = "reelmill-source-identity";

/// The longest text that stands in metadata as it is, in bytes of its longest spelling. Servers take 2 KiB for all of it.
const LONGEST: usize = 480;

/// What the metadata [`OUTPUT`] of an output says where this program wrote it under this very name. People copy objects
/// with their metadata, so that a job is named says nothing alone. `s3_bucket` is the server's name for the bucket.
#[must_use]
pub fn ours(s3_bucket: &str, key: &ObjectKey) -> String {
    let bytes = key.as_bytes();
    match std::str::from_utf8(bytes) {
        Ok(text) => short(&format!("{s3_bucket}/{text}")),
        Err(_) => format!("{s3_bucket}/{}", digest(bytes)),
    }
}

/// A text for metadata, of which there is little room: itself, or its SHA-256 where it is long.
#[must_use]
pub fn short(text: &str) -> String {
    let spelled: usize = text
        .bytes()
        .map(|byte| if byte.is_ascii_graphic() && byte != b'%' { 1 } else { 3 })
        .sum();
    if spelled <= LONGEST {
        return text.to_owned();
    }
    digest(text.as_bytes())
}

fn digest(bytes: &[u8]) -> String {
    let mut text = String::from("sha256:");
    for byte in Sha256::digest(bytes) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}
