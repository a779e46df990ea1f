//! What a child takes of the machine, seen from outside.

use std::path::Path;

/// No run makes more files than this; a snapshot task has a hundred.
pub(super) const MOST_FILES: usize = 2_000;

/// What lies in a scratch directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Written {
    pub files: usize,
    /// Of the files that were counted.
    pub bytes: u64,
}

/// Files of a scratch directory, one level deep: workers can write no deeper. Counts no further than the most that is
/// allowed and one more.
pub(super) fn written(scratch: &Path) -> Written {
    let mut written = Written::default();
    for entry in std::fs::read_dir(scratch)
        .into_iter()
        .flatten()
        .flatten()
        .take(MOST_FILES + 1)
    {
        written.files += 1;
        written.bytes += entry.metadata().map_or(0, |about| about.len());
    }
    written
}

/// Bytes of memory that this process holds; 0 once it is gone.
pub(super) fn memory(pid: i32) -> u64 {
    let Ok(text) = std::fs::read_to_string(format!("/proc/{pid}/statm")) else {
        return 0;
    };
    let pages = text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    let page = u64::try_from(rustix::param::page_size()).unwrap_or(4096);
    pages.unwrap_or(0).saturating_mul(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_that_of_the_process() {
        let held = vec![1_u8; 64 << 20];
        let own = memory(i32::try_from(std::process::id()).unwrap());
        assert!(own > 64 << 20, "{own}");
        drop(held);
        assert_eq!(memory(i32::MAX), 0);
    }

    #[test]
    fn files_are_counted_no_further_than_is_needed() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a"), [0; 10]).unwrap();
        std::fs::write(folder.path().join("b"), [0; 5]).unwrap();
        assert_eq!(written(folder.path()), Written { files: 2, bytes: 15 });
        assert_eq!(written(Path::new("/nowhere")), Written::default());
    }
}
