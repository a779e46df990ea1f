//! What a child takes of the machine, seen from outside.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// No run makes more files than this beside those of its plan, in whatever way it makes those.
pub(super) const MORE_FILES: usize = 1_000;

/// An honest run has a few for each core and task.
pub(super) const MOST_THREADS: u64 = 4_000;

/// What lies in a scratch directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Written {
    pub files: usize,
    /// Of the files that were counted.
    pub bytes: u64,
}

/// Files of a scratch directory, one level deep: workers can write no deeper. Counts no further than `most` and one more.
pub(super) fn written(scratch: &Path, most: usize) -> Written {
    let mut written = Written::default();
    for entry in std::fs::read_dir(scratch)
        .into_iter()
        .flatten()
        .flatten()
        .take(most.saturating_add(1))
    {
        written.files += 1;
        written.bytes += entry.metadata().map_or(0, |about| about.len());
    }
    written
}

/// Bytes on the disk of this directory that the process holds in files without a name.
pub(super) fn nameless(pid: i32, scratch: &Path) -> u64 {
    let Ok(device) = std::fs::metadata(scratch).map(|about| about.dev()) else {
        return 0;
    };
    let open = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten()
        .flatten();
    let held = open.filter_map(|entry| std::fs::metadata(entry.path()).ok());
    let nameless = held.filter(|about| about.is_file() && about.nlink() == 0 && about.dev() == device);
    let each: BTreeMap<u64, u64> = nameless.map(|about| (about.ino(), about.blocks() * 512)).collect();
    each.values().sum()
}

/// Threads of this process; 0 once it is gone.
pub(super) fn threads(pid: i32) -> u64 {
    let Ok(text) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return 0;
    };
    // The name, which may hold anything, ends with the last bracket.
    let fields = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    fields
        .split_whitespace()
        .nth(17)
        .and_then(|count| count.parse().ok())
        .unwrap_or(0)
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
    fn threads_and_files_without_names_are_those_of_the_process() {
        let own = i32::try_from(std::process::id()).unwrap();
        let before = threads(own);
        let (send, wait) = std::sync::mpsc::channel::<()>();
        let one = std::thread::spawn(move || wait.recv().is_err());
        assert!(threads(own) >= 2, "{before}");
        drop(send);
        one.join().unwrap();
        assert_eq!(threads(i32::MAX), 0);

        let folder = tempfile::tempdir().unwrap();
        let before = nameless(own, folder.path());
        let file = tempfile::tempfile_in(folder.path()).unwrap();
        std::io::Write::write_all(&mut &file, &vec![1; 8 << 20]).unwrap();
        assert!(nameless(own, folder.path()) >= before + (8 << 20));
    }

    #[test]
    fn files_are_counted_no_further_than_is_needed() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a"), [0; 10]).unwrap();
        std::fs::write(folder.path().join("b"), [0; 5]).unwrap();
        assert_eq!(written(folder.path(), 2), Written { files: 2, bytes: 15 });
        assert_eq!(written(folder.path(), 0).files, 1);
        assert_eq!(written(Path::new("/nowhere"), 2), Written::default());
    }
}
