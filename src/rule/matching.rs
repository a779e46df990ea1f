//! Whether an object is wanted by a rule, and if not, why not.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;

use super::{Formats, Globs, Rule};
use crate::diagnostic::quantity::show_size;
use crate::object::ObjectKey;

/// Extensions known to be media, in lower case: films and sound, no still images.
pub const MEDIA_EXTENSIONS: [&str; 66] = [
    // Films
    "3g2", "3gp", "3gpp", "amv", "asf", "avi", "bik", "divx", "dv", "f4v", "flv", "gxf", "h264", "h265", "hevc", "ivf",
    "m1v", "m2t", "m2ts", "m2v", "m4v", "mj2", "mjpeg", "mjpg", "mk3d", "mkv", "mov", "mp4", "mpe", "mpeg", "mpg",
    "mpv", "mts", "mxf", "nut", "ogm", "ogv", "qt", "rm", "rmvb", "ts", "vob", "webm", "wmv", "y4m", //
    // Sound
    "aac", "ac3", "aif", "aifc", "aiff", "amr", "ape", "au", "caf", "dts", "eac3", "flac", "m4a", "m4b", "mka", "mp3",
    "oga", "ogg", "opus", "wav", "wma",
];

/// One reason why an object does not start a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WhyNot {
    /// It lies elsewhere.
    Directory(String),
    /// Its name ends in another extension.
    Extension {
        /// In lower case; empty: none.
        is: String,
        /// What the rule takes, in words.
        wanted: String,
    },
    /// No `include` glob fits.
    NotIncluded(Vec<String>),
    /// This `exclude` glob fits.
    Excluded(String),
    /// Smaller than `min_size`.
    TooSmall {
        /// Its size.
        is: u64,
        /// The smallest.
        least: u64,
    },
    /// Larger than `max_size`.
    TooLarge {
        /// Its size.
        is: u64,
        /// The largest.
        most: u64,
    },
    /// A name that stands for something unfinished or private.
    Ignored(&'static str),
}

impl fmt::Display for WhyNot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(directory) => write!(f, "it does not lie below \"{directory}\""),
            Self::Extension { is, wanted } if is.is_empty() => {
                write!(f, "its name has no extension, and the rule takes {wanted}")
            }
            Self::Extension { is, wanted } => {
                write!(
                    f,
                    "its extension is \"{}\", and the rule takes {wanted}",
                    is.escape_debug()
                )
            }
            Self::NotIncluded(patterns) => {
                write!(f, "no include pattern fits its name ({})", patterns.join(", "))
            }
            Self::Excluded(pattern) => write!(f, "the exclude pattern {pattern} fits its name"),
            Self::TooSmall { is, least } => {
                write!(f, "it has {is} bytes, and the rule takes {} or more", show_size(*least))
            }
            Self::TooLarge { is, most } => {
                write!(f, "it has {is} bytes, and the rule takes {} or less", show_size(*most))
            }
            Self::Ignored(reason) => write!(f, "names like this are ignored: {reason}"),
        }
    }
}

/// Why the rule does not want this object; empty: it does. A size that is not known is not judged. Whether the
/// rule watches the object's bucket, and whether it is enabled, is not asked here.
#[must_use]
pub fn judge(rule: &Rule, key: &ObjectKey, size: Option<u64>) -> Vec<WhyNot> {
    let trigger = &rule.trigger;
    let mut reasons = Vec::new();
    if !trigger.directory.contains(key) {
        reasons.push(WhyNot::Directory(trigger.directory.as_str().to_owned()));
    }
    if let Some(reason) = is_ignored(key)
        && !named_explicitly(&trigger.include, key, reason)
    {
        reasons.push(WhyNot::Ignored(reason));
    }
    let extension = extension(key);
    if !takes_extension(&trigger.formats, &extension) {
        let wanted = match &trigger.formats {
            Formats::List(list) => list.join(", "),
            _ => "the usual extensions of films and sound".to_owned(),
        };
        let is = extension;
        reasons.push(WhyNot::Extension { is, wanted });
    }
    if !trigger.include.patterns.is_empty() && fitting(&trigger.include, key).is_none() {
        reasons.push(WhyNot::NotIncluded(trigger.include.patterns.clone()));
    }
    if let Some(pattern) = fitting(&trigger.exclude, key) {
        reasons.push(WhyNot::Excluded(pattern.to_owned()));
    }
    if let Some(is) = size {
        if let Some(least) = trigger.min_size.filter(|least| is < *least) {
            reasons.push(WhyNot::TooSmall { is, least });
        }
        if let Some(most) = trigger.max_size.filter(|most| is > *most) {
            reasons.push(WhyNot::TooLarge { is, most });
        }
    }
    reasons
}

/// A key that many rules are asked about: what each would find out anew is known.
#[derive(Debug)]
pub struct Candidate<'k> {
    key: &'k ObjectKey,
    path: globset::Candidate<'k>,
    ignored: Option<&'static str>,
    extension: String,
}

impl<'k> Candidate<'k> {
    /// Of a key.
    #[must_use]
    pub fn of(key: &'k ObjectKey) -> Self {
        Self {
            key,
            path: globset::Candidate::new(OsStr::from_bytes(key.as_bytes())),
            ignored: is_ignored(key),
            extension: extension(key),
        }
    }

    /// Whether the rule wants it: whether [`judge`] would find no reason against it.
    #[must_use]
    pub fn is_wanted_by(&self, rule: &Rule, size: Option<u64>) -> bool {
        let (trigger, key) = (&rule.trigger, self.key);
        trigger.directory.contains(key)
            && takes_extension(&trigger.formats, &self.extension)
            && size.is_none_or(|size| trigger.min_size.is_none_or(|least| size >= least))
            && size.is_none_or(|size| trigger.max_size.is_none_or(|most| size <= most))
            && (trigger.include.patterns.is_empty() || trigger.include.set.is_match_candidate(&self.path))
            && !trigger.exclude.set.is_match_candidate(&self.path)
            && self
                .ignored
                .is_none_or(|reason| named_explicitly(&trigger.include, key, reason))
    }
}

/// In lower case.
fn extension(key: &ObjectKey) -> String {
    String::from_utf8_lossy(key.extension()).to_lowercase()
}

/// Whether these formats take an extension in lower case.
#[must_use]
pub fn takes_extension(formats: &Formats, extension: &str) -> bool {
    match formats {
        Formats::Any => true,
        Formats::Known => MEDIA_EXTENSIONS.contains(&extension),
        Formats::List(list) => list.iter().any(|one| one == extension),
    }
}

/// The first pattern that fits the key.
fn fitting<'g>(globs: &'g Globs, key: &ObjectKey) -> Option<&'g str> {
    let first = globs.set.matches(OsStr::from_bytes(key.as_bytes())).into_iter().min()?;
    globs.patterns.get(first).map(String::as_str)
}

/// Why everyone ignores names like this one, unless an include pattern names such files explicitly.
#[must_use]
pub fn is_ignored(key: &ObjectKey) -> Option<&'static str> {
    why_ignored(key.as_bytes())
}

/// Whether a key lies in the program's own folder, or is a name that it gives for a while beside sources and results.
#[must_use]
pub fn is_own(key: &ObjectKey) -> bool {
    let segments = || key.as_bytes().split(|b| *b == b'/');
    segments().next() == Some(b".reelmill") || key.file_name().starts_with(b".reelmill-")
}

/// The program's own folder at a bucket's root, which nothing can name.
const OWN: &str = "it belongs to Reelmill";

fn why_ignored(path: &[u8]) -> Option<&'static str> {
    if path.split(|b| *b == b'/').next() == Some(b".reelmill") {
        return Some(OWN);
    }
    let name = path.rsplit(|b| *b == b'/').next().unwrap_or(path);
    if is_rsync_temporary(name) {
        return Some("rsync is writing it");
    }
    if path.split(|b| *b == b'/').any(|segment| segment.starts_with(b".")) {
        return Some("a part of its path begins with a dot");
    }
    let endings: [(&[u8], &str); 5] = [
        (b".part", "it is a partial download (.part)"),
        (b".partial", "it is a partial download (.partial)"),
        (b".crdownload", "it is a partial download (.crdownload)"),
        (b".tmp", "it is a temporary file (.tmp)"),
        (b"~", "it is an editor's backup (~)"),
    ];
    // Every segment counts, so that a whole directory can be filled under such a name.
    path.split(|b| *b == b'/').find_map(|segment| {
        let ends = |ending: &[u8]| {
            let start = segment.len().checked_sub(ending.len());
            start.is_some_and(|start| segment[start..].eq_ignore_ascii_case(ending))
        };
        let (_, reason) = endings.into_iter().find(|(ending, _)| ends(ending))?;
        Some(reason)
    })
}

/// `.name.XXXXXX`, where rsync writes a file before it gets its name.
fn is_rsync_temporary(name: &[u8]) -> bool {
    let Some(at) = name.len().checked_sub(7) else {
        return false;
    };
    at > 1 && name[0] == b'.' && name[at] == b'.' && name[at + 1..].iter().all(u8::is_ascii_alphanumeric)
}

/// Whether an include pattern fits the key and is itself a name that is ignored for the same reason: `**/*.part`
/// names partial downloads, `**` does not.
fn named_explicitly(include: &Globs, key: &ObjectKey, reason: &'static str) -> bool {
    reason != OWN
        && include
            .set
            .matches(OsStr::from_bytes(key.as_bytes()))
            .into_iter()
            .filter_map(|at| include.patterns.get(at))
            .any(|pattern| why_ignored(pattern.as_bytes()) == Some(reason))
}

#[cfg(test)]
#[path = "matching_tests.rs"]
mod tests;
