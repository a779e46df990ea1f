//! What the files of a run are called: in scratch, and in the output bucket.

use super::Wanted;
use crate::job::{ErrorKind, Failure};
use crate::object::ObjectKey;
use crate::rule::TaskId;

/// One file of a task.
#[derive(Debug, Clone, Copy)]
pub struct FileOf<'a> {
    /// The task.
    pub task: &'a TaskId,
    /// Which of several, from 1; none where the task has one only.
    pub number: Option<usize>,
    /// Without its dot; may be empty.
    pub extension: &'a str,
}

impl FileOf<'_> {
    /// The name in scratch. A task's id has no dot, so no two tasks meet.
    pub fn scratch(&self) -> String {
        let number = self.number.map_or_else(String::new, |n| format!(".{n}"));
        let dot = if self.extension.is_empty() { "" } else { "." };
        format!("{}{number}{dot}{}", self.task, self.extension)
    }

    /// The final key.
    pub fn key(&self, wanted: &Wanted<'_>) -> Result<ObjectKey, Failure> {
        let source = &wanted.object.key;
        let mut key = Vec::new();
        match &wanted.rule.output.directory {
            None => key.extend_from_slice(source.directory()),
            Some(directory) => {
                let top = wanted.rule.trigger.directory.as_str().as_bytes();
                let below = source
                    .directory()
                    .strip_prefix(top)
                    .unwrap_or(source.directory());
                key.extend_from_slice(directory.as_str().as_bytes());
                key.extend_from_slice(below);
            }
        }
        key.extend_from_slice(source.stem());
        key.extend_from_slice(format!("_{}", self.task).as_bytes());
        if let Some(number) = self.number {
            key.extend_from_slice(format!("_{number}").as_bytes());
        }
        if !self.extension.is_empty() {
            key.extend_from_slice(format!(".{}", self.extension).as_bytes());
        }
        ObjectKey::new(key).map_err(|error| {
            Failure::new(ErrorKind::Plan, format!("no name for a result: {error}"))
        })
    }
}

/// The source's extension where it is plain enough for any file system and any reader.
pub fn plain_extension(source: &ObjectKey) -> &str {
    std::str::from_utf8(source.extension())
        .ok()
        .filter(|text| text.len() <= 16 && text.bytes().all(|byte| byte.is_ascii_alphanumeric()))
        .unwrap_or("bin")
}
