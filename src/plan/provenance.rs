//! How outputs came to be: the pipeline that ran, and what it was made of.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a worker says of the pipeline of a task.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Provenance {
    /// The elements with every setting that is not the default, in the notation of `gst-launch-1.0`: one line for each
    /// chain, and branches by the names of the elements where they part and meet.
    pub pipeline: Vec<String>,
    /// The plugins of these elements, with their versions.
    pub plugins: BTreeMap<String, String>,
    /// The libraries of codecs that are loaded, with the versions that their files are named by.
    pub libraries: Vec<String>,
}

/// What is kept of it with the job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeptProvenance {
    /// Which task.
    pub task: String,
    /// The version of this program.
    pub program: String,
    /// What the task was to do, resolved against the medium: sizes, rates, parts.
    pub settings: serde_json::Value,
    /// What ran.
    #[serde(flatten)]
    pub ran: Provenance,
}

/// The field whose `key` is a secret, which is left out of what is kept: how a package is encrypted.
const LOCK: &str = "lock";

/// The settings of a task without what nobody may read later.
#[must_use]
pub fn without_secrets(mut settings: serde_json::Value) -> serde_json::Value {
    match &mut settings {
        serde_json::Value::Object(fields) => {
            for (name, value) in fields {
                if let (LOCK, Some(lock)) = (name.as_str(), value.as_object_mut()) {
                    lock.remove("key");
                }
                *value = without_secrets(value.take());
            }
        }
        serde_json::Value::Array(values) => {
            for value in values {
                *value = without_secrets(value.take());
            }
        }
        _ => {}
    }
    settings
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::without_secrets;

    #[test]
    fn secrets_are_left_out_wherever_they_are() {
        let settings = json!({ "a": 1, "key": "of an object", "b": [{ "lock": { "key": [1, 2], "uri": "u" } }] });
        assert_eq!(
            without_secrets(settings),
            json!({ "a": 1, "key": "of an object", "b": [{ "lock": { "uri": "u" } }] })
        );
    }
}
