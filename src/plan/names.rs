//! What the files of a run are called: in scratch, and in the output bucket.

use super::Wanted;
use crate::job::{ErrorKind, Failure};
use crate::object::ObjectKey;
use crate::rule::{TaskId, names};

/// One file of a task.
#[derive(Debug, Clone, Copy)]
pub struct FileOf<'a> {
    /// The task.
    pub task: &'a TaskId,
    /// Which one, from 1, of how many, where the task makes a list of files.
    pub number: Option<(u32, u32)>,
    /// Without its dot; may be empty.
    pub extension: &'a [u8],
}

impl FileOf<'_> {
    /// The name in scratch. A task's id has no dot, so no two tasks meet.
    pub fn scratch(&self) -> String {
        let number = match self.number {
            Some((number, 2..)) => format!(".{number}"),
            _ => String::new(),
        };
        format!("{}{number}.{}", self.task, plain(self.extension))
    }

    /// The final key.
    pub fn key(&self, wanted: &Wanted<'_>, size: Option<(u32, u32)>) -> Result<ObjectKey, Failure> {
        let named = names::Wanted {
            task: self.task,
            object: &wanted.object.key,
            ext: self.extension,
            number: self.number,
            rendition: None,
            size,
            date: wanted.date,
            job: wanted.job,
        };
        names::output_key(wanted.rule, &named)
            .map_err(|error| Failure::new(ErrorKind::Plan, format!("no name for a result: {error}")))
    }
}

/// What may stand in a URL as it is; the rest is written as `%` and its number.
pub fn in_url(part: &[u8]) -> String {
    use std::fmt::Write;

    let mut text = String::with_capacity(part.len());
    for byte in part {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            text.push(char::from(*byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// The extension where it is plain enough for any file system and any reader.
fn plain(extension: &[u8]) -> &str {
    std::str::from_utf8(extension)
        .ok()
        .filter(|text| (1..=16).contains(&text.len()))
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_alphanumeric()))
        .unwrap_or("bin")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scratch_names_are_plain_and_do_not_meet() {
        let name = |task: &str, number, extension: &[u8]| {
            let task = task.parse().unwrap();
            let file = FileOf {
                task: &task,
                number,
                extension,
            };
            file.scratch()
        };
        assert_eq!(name("a", Some((1, 1)), b"jpg"), "a.jpg");
        assert_eq!(name("a", Some((1, 2)), b"jpg"), "a.1.jpg");
        assert_eq!(name("a-1", None, b"jpg"), "a-1.jpg");
        assert_eq!(name("a", None, b"MOV"), "a.MOV");
        for odd in [&b""[..], b"x/y", b"\xff", b"a b", b"12345678901234567"] {
            assert_eq!(name("a", None, odd), "a.bin");
        }
    }
}
