//! What becomes of a source after success: nothing, unless the rule says so in words.

use serde::{Deserialize, Serialize};

use crate::object::{Directory, InvalidName, ObjectKey};

/// `after_success` of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AfterSuccess {
    /// The source is deleted.
    Delete,
    /// The source is moved within its bucket.
    Move {
        /// Into this directory ...
        to: Directory,
        /// ... with its path below this one, the trigger's, kept.
        below: Directory,
    },
}

impl AfterSuccess {
    /// Where a source of this key is moved to; none where it is deleted. Of several names for the case that the first
    /// ones are taken, `number` says which: 1 is the plain one, 2 is `NAME_2.EXT`.
    ///
    /// # Errors
    /// Where the name would be too long.
    pub fn target(&self, key: &ObjectKey, number: u32) -> Result<Option<ObjectKey>, InvalidName> {
        let Self::Move { to, below } = self else {
            return Ok(None);
        };
        let directory = key.directory();
        let kept = directory.strip_prefix(below.as_str().as_bytes()).unwrap_or(directory);
        let mut name = [to.as_str().as_bytes(), kept].concat();
        if number <= 1 {
            name.extend_from_slice(key.file_name());
        } else {
            name.extend_from_slice(key.stem());
            name.extend_from_slice(format!("_{number}").as_bytes());
            if !key.extension().is_empty() {
                name.push(b'.');
                name.extend_from_slice(key.extension());
            }
        }
        ObjectKey::new(name).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moved_source_keeps_its_path_below_the_trigger() {
        let wish = AfterSuccess::Move {
            to: Directory::new("done").unwrap(),
            below: Directory::new("in").unwrap(),
        };
        for (key, number, target) in [
            ("in/clip.mov", 1, "done/clip.mov"),
            ("in/a/b/clip.mov", 1, "done/a/b/clip.mov"),
            ("in/a/clip.mov", 3, "done/a/clip_3.mov"),
            ("in/clip", 2, "done/clip_2"),
        ] {
            let found = wish.target(&key.parse().unwrap(), number).unwrap().unwrap();
            assert_eq!(found.to_string(), target);
        }
        assert_eq!(AfterSuccess::Delete.target(&"in/a".parse().unwrap(), 1), Ok(None));
    }
}
