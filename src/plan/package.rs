//! Which file of a package goes where.

use super::{AdaptivePlan, KEY, PlannedPackage};
use crate::object::ObjectKey;

/// The most files that a package may have: a day of video in segments of two seconds, five times.
pub const MOST_FILES: usize = 250_000;

/// The longest name of a file, in bytes.
const LONGEST_NAME: usize = 128;

impl AdaptivePlan {
    /// Whether a worker with this plan may name this file in scratch.
    #[must_use]
    pub fn may_write(&self, file: &str) -> bool {
        file.strip_prefix(&self.prefix).is_some_and(is_plain)
    }
}

impl PlannedPackage {
    /// The final key of a file in scratch; none where it is not of this package.
    #[must_use]
    pub fn key(&self, file: &str) -> Option<ObjectKey> {
        let name = file.strip_prefix(&self.prefix).filter(|name| is_plain(name))?;
        if let Some((_, key)) = self.apart.iter().find(|(apart, _)| apart == name) {
            return Some(key.clone());
        }
        let mut key = self.directory.clone();
        if !self.is_front(file) {
            key.extend([self.folder.as_bytes(), b"/"].concat());
        }
        key.extend(name.as_bytes());
        ObjectKey::new(key).ok()
    }

    /// A key in each directory that the package fills.
    pub fn places(&self) -> impl Iterator<Item = ObjectKey> + '_ {
        let front = self.fronts.first().map(|name| format!("{}{name}", self.prefix));
        let front = front.and_then(|file| self.key(&file));
        self.apart.iter().map(|(_, key)| key.clone()).chain(front)
    }

    /// Whether players open this file first: it gets its name when all others have theirs.
    #[must_use]
    pub fn is_front(&self, file: &str) -> bool {
        let name = file.strip_prefix(&self.prefix);
        name.is_some_and(|name| self.fronts.iter().any(|front| front == name))
    }
}

/// Endings of what a package is made of; nothing that a web server would take for a page or a program.
const ENDINGS: [&str; 6] = [".m3u8", ".mpd", ".m4s", ".mp4", ".ts", ".vtt"];

/// A name of a member: nothing but what every file system, URL and playlist takes as it is; never hidden.
fn is_plain(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let known = name == KEY || ENDINGS.iter().any(|ending| name.ends_with(ending));
    known && (1..=LONGEST_NAME).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_a_package_has_one_place() {
        let package = PlannedPackage {
            task: "web".parse().unwrap(),
            prefix: "web.".to_owned(),
            fronts: vec!["master.m3u8".to_owned()],
            apart: vec![("key".to_owned(), ObjectKey::new("keys/1.key").unwrap())],
            directory: b"vod/clip_web/".to_vec(),
            folder: "job".to_owned(),
        };
        let key = |file: &str| package.key(file).map(|key| key.to_string());
        assert_eq!(key("web.master.m3u8").as_deref(), Some("vod/clip_web/master.m3u8"));
        assert_eq!(key("web.720p-1.m4s").as_deref(), Some("vod/clip_web/job/720p-1.m4s"));
        assert_eq!(key("web.key").as_deref(), Some("keys/1.key"));
        for foreign in [
            "web",
            "web.",
            "other.a.ts",
            "web.a/b.ts",
            "web..ts",
            "web.a b.ts",
            "web.\u{e4}.ts",
            "web.index.html",
        ] {
            assert_eq!(key(foreign), None, "{foreign}");
        }
        assert!(package.is_front("web.master.m3u8") && !package.is_front("web.720p-1.m4s"));
    }
}
