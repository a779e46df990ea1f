//! Which keys, words and ranges the readers know: noted while they read, so that what is written down about them can be
//! held against it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// What a reader was seen to know of a key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// The words that its value may be.
    pub words: BTreeSet<String>,
    /// The ranges that its value may be in: `1 to 20`.
    pub ranges: BTreeSet<String>,
}

thread_local! {
    static NOTED: RefCell<Option<BTreeMap<String, Known>>> = const { RefCell::new(None) };
}

/// Runs `read`, and answers with it what the tables of this thread were asked for meanwhile, there or not: every key that
/// can be written in them by its path, with what it may be as far as it was there.
pub fn noted<T>(read: impl FnOnce() -> T) -> (T, BTreeMap<String, Known>) {
    let outer = NOTED.replace(Some(BTreeMap::new()));
    let answer = read();
    (answer, NOTED.replace(outer).unwrap_or_default())
}

/// Notes something about a key, where somebody listens.
pub(super) fn note(path: impl FnOnce() -> String, what: impl FnOnce(&mut Known)) {
    NOTED.with_borrow_mut(|noted| {
        if let Some(noted) = noted {
            what(noted.entry(path()).or_default());
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::SourceFile;
    use crate::diagnostic::reader::Page;

    #[test]
    fn what_readers_know_is_noted_only_while_somebody_listens() {
        let file = SourceFile {
            path: "a.toml".into(),
            text: "[a]\nb = 3\nc = \"x\"\n".into(),
        };
        let read = || {
            Page::read(&file, "a file", |_, mut table| {
                let mut inner = table.get("a")?.table()?;
                inner.get("d");
                inner.get("b")?.integer(1..=5)?;
                inner.get("c")?.one_of(&[("x", 1), ("y", 2)], &["z"])
            })
        };
        read();
        let (answer, known) = noted(read);
        assert_eq!(answer.0, Some(1));
        assert_eq!(known.keys().collect::<Vec<_>>(), ["a", "a.b", "a.c", "a.d"]);
        assert_eq!(known["a.b"].ranges, ["1 to 5".to_owned()].into());
        assert_eq!(known["a.c"].words, ["x".to_owned(), "y".to_owned()].into());
        assert_eq!(noted(|| ()).1, BTreeMap::new());
    }
}
