//! Looks at the files beside rules that rules name.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};

use sha2::{Digest, Sha256};

use crate::diagnostic::SourceFile;
use crate::rule::asset::{Beside, named};
use crate::rule::preset::Presets;

/// What a file that was read before looked like, and the hash of what it held.
type Known = HashMap<PathBuf, (Look, String)>;

/// A file that looks the same holds the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Look {
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

/// Files can be large, and rules are read often.
static KNOWN: LazyLock<Mutex<Known>> = LazyLock::new(Mutex::default);

/// What lies in this folder of all that these rules name. A file that cannot be used is among the answer.
#[must_use]
pub fn read_beside(folder: &Path, rules: &[SourceFile], presets: &Presets) -> Beside {
    let mut beside = Beside {
        folder: folder.to_owned(),
        ..Beside::default()
    };
    for path in rules.iter().flat_map(|rule| named(&rule.text, presets)) {
        let place = folder.join(&path);
        beside.files.entry(path).or_insert_with(|| hash(&place));
    }
    beside
}

/// A hash of what a file holds, or what is wrong with it, as the rest of a sentence.
fn hash(path: &Path) -> Result<String, String> {
    let wrong = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => "is not beside the rule file".to_owned(),
        _ => format!("cannot be read: {error}"),
    };
    // What is no file may block whoever opens it.
    let about = std::fs::metadata(path).map_err(wrong)?;
    if !about.is_file() {
        return Err("is no plain file".to_owned());
    }
    if about.len() == 0 {
        return Err("is empty".to_owned());
    }
    let look = Look {
        inode: about.ino(),
        size: about.len(),
        changed: (about.ctime(), about.ctime_nsec()),
    };
    let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((before, hash)) = known().get(path)
        && *before == look
    {
        // That it may be read, too, it must still be asked.
        File::open(path).map_err(wrong)?;
        return Ok(hash.clone());
    }
    let hash = read(path).map_err(wrong)?;
    known().insert(path.to_owned(), (look, hash.clone()));
    Ok(hash)
}

fn read(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut block = vec![0; 1 << 20];
    loop {
        let count = file.read(&mut block)?;
        if count == 0 {
            break;
        }
        hash.update(&block[..count]);
    }
    Ok(hash.finalize()[..16].iter().fold(String::new(), |mut text, byte| {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_is_looked_up_and_changes_are_seen() {
        let folder = tempfile::tempdir().unwrap();
        let rule = SourceFile {
            path: "r.toml".into(),
            text: "[task.t]\noverlay = [{ image = \"a/in.png\" }, { image = \"out.png\" }, { image = \"empty.png\" }]"
                .into(),
        };
        std::fs::create_dir(folder.path().join("a")).unwrap();
        std::fs::write(folder.path().join("a/in.png"), "one").unwrap();
        std::fs::write(folder.path().join("empty.png"), "").unwrap();
        let look = || read_beside(folder.path(), std::slice::from_ref(&rule), Presets::built_in()).files;
        let first = look();
        assert_eq!(first["out.png"], Err("is not beside the rule file".to_owned()));
        assert_eq!(first["empty.png"], Err("is empty".to_owned()));
        assert_eq!(first, look());
        std::fs::write(folder.path().join("a/in.png"), "two").unwrap();
        let (before, after) = (first["a/in.png"].clone().unwrap(), look()["a/in.png"].clone().unwrap());
        assert_ne!(before, after);
    }
}
