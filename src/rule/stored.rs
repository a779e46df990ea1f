//! How results are stored in a bucket over a network, as rules say it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// `tags`, `storage_class`, `acl` and `cache_control` under `[output]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StoredSpec {
    /// At most ten.
    pub tags: BTreeMap<String, String>,
    /// As the server calls it; none: its usual one.
    pub storage_class: Option<String>,
    /// A canned access list; none: the bucket's own rules.
    pub acl: Option<String>,
    /// The header `Cache-Control` that readers get.
    pub cache_control: Option<String>,
}
