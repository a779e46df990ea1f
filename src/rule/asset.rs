//! Files that a rule names besides its medium: pictures and fonts. Pure: what lies there, others look up.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fmt::Write as _;
use std::path::PathBuf;

use sha2::{Digest, Sha256};
use toml::de::{DeTable, DeValue};

use super::preset::Presets;
use crate::object::{BucketName, ObjectKey};

/// Keys under which tasks name files.
const KEYS: [&str; 4] = ["image", "font", "head", "tail"];

/// No picture and no font is larger, in bytes.
const LARGEST: u64 = 256 << 20;

/// No clip is larger, in bytes.
const LARGEST_CLIP: u64 = 4 << 30;

/// How the names of assets begin in scratch. No result has such a name.
const SCRATCH: &str = ".asset-";

/// A file that a rule names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Asset {
    /// Beside the rule file: a path below its folder.
    Beside(String),
    /// An object of a bucket.
    Object {
        /// The bucket.
        bucket: BucketName,
        /// The object.
        key: ObjectKey,
    },
    /// A font of the system, where a rule names none.
    SystemFont,
}

impl Asset {
    /// What it is called in the scratch directory of every run that uses it.
    #[must_use]
    pub fn scratch_name(&self) -> String {
        let place = match self {
            Self::Beside(path) => format!("beside {path}"),
            Self::Object { bucket, key } => format!("{bucket} {}", hexadecimal(key.as_bytes())),
            Self::SystemFont => return format!("{SCRATCH}font"),
        };
        let digest = Sha256::digest(place.as_bytes());
        format!("{SCRATCH}{}", hexadecimal(&digest[..8]))
    }

    /// Whether it is a drawing that may have text in it.
    #[must_use]
    pub fn is_drawing(&self) -> bool {
        self.extension().eq_ignore_ascii_case(b"svg")
    }

    /// How its name ends, without the dot; empty where it has no ending.
    #[must_use]
    pub fn extension(&self) -> &[u8] {
        let path = match self {
            Self::Beside(path) => path.as_bytes(),
            Self::Object { key, .. } => key.as_bytes(),
            Self::SystemFont => return b"",
        };
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let dot = name.iter().rposition(|byte| *byte == b'.');
        dot.map_or(b"", |dot| &name[dot + 1..])
    }
}

impl fmt::Display for Asset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Beside(path) => write!(f, "{path} beside the rule file"),
            Self::Object { bucket, key } => write!(f, "{key} of bucket {bucket}"),
            Self::SystemFont => f.write_str("a font of the system"),
        }
    }
}

/// An asset of a task, and whether it can do without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssetUse {
    /// Which.
    pub asset: Asset,
    /// Without it there is no result.
    pub needed: bool,
    /// It may have so many bytes.
    pub largest: u64,
}

impl AssetUse {
    /// One that must be there.
    #[must_use]
    pub fn needed(asset: Asset) -> Self {
        Self::of(asset, true)
    }

    /// One that serves where it is there, or must be.
    #[must_use]
    pub fn of(asset: Asset, needed: bool) -> Self {
        Self {
            asset,
            needed,
            largest: LARGEST,
        }
    }

    /// A film or a sound that must be there.
    #[must_use]
    pub fn clip(asset: Asset) -> Self {
        Self {
            largest: LARGEST_CLIP,
            ..Self::needed(asset)
        }
    }
}

/// What lies beside rule files, as far as rules name it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Beside {
    /// The folder of the rules.
    pub folder: PathBuf,
    /// By path below that: a hash of the content, or why there is none.
    pub files: BTreeMap<String, Result<String, String>>,
}

/// The files beside the rule that a text, or a preset which it uses, may name: each text under a key that names files.
#[must_use]
pub fn named(text: &str, presets: &Presets) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let used = presets.used_by(text);
    let texts = used.iter().map(|preset| preset.file.text.as_ref());
    for text in texts.chain([text]) {
        let (document, _) = DeTable::parse_recoverable(text);
        look(document.get_ref(), &mut found);
    }
    found
}

fn look(table: &DeTable<'_>, found: &mut BTreeSet<String>) {
    for (key, value) in table {
        match value.get_ref() {
            DeValue::String(path) if KEYS.contains(&key.get_ref().as_ref()) && is_below(path) => {
                found.insert(path.to_string());
            }
            DeValue::Table(inner) => look(inner, found),
            DeValue::Array(values) => {
                let named = KEYS.contains(&key.get_ref().as_ref());
                for value in values.iter().map(toml::Spanned::get_ref) {
                    match value {
                        DeValue::String(path) if named && is_below(path) => {
                            found.insert(path.to_string());
                        }
                        DeValue::Table(inner) => look(inner, found),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
}

/// Whether a path leads to something below the folder that it begins in.
#[must_use]
pub fn is_below(path: &str) -> bool {
    let mut parts = path.split('/');
    path.len() <= 1024 && !path.contains('\0') && parts.all(|part| !matches!(part, "" | "." | ".."))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_wherever_a_task_or_its_preset_names_them() {
        let text = "[preset.p]\nkind = \"transcode\"\noverlay = [{ image = \"intro.png\" }]\n\
                    [task.t]\npreset = \"p\"\n[[task.t.overlay]]\nimage = \"brand/logo.png\"\n\
                    [[task.t.overlay]]\ntext = \"no.png\"\nfont = { bucket = \"b\", key = \"f.ttf\" }\n\
                    [task.u]\noverlay = [{ image = \"../up.png\" }, { image = \"two.svg\" }]\n\
                    head = \"clips/one.mp4\"\ntail = [\"two.mov\", { bucket = \"b\", key = \"three.mov\" }]\n";
        let found: Vec<_> = named(text, Presets::built_in()).into_iter().collect();
        let all = ["brand/logo.png", "clips/one.mp4", "intro.png", "two.mov", "two.svg"];
        assert_eq!(found, all);
    }

    #[test]
    fn names_in_scratch_are_plain_and_do_not_meet() {
        let object = |key: &str| Asset::Object {
            bucket: "b".parse().unwrap(),
            key: ObjectKey::new(key.as_bytes().to_vec()).unwrap(),
        };
        let names: BTreeSet<String> = [
            Asset::Beside("logo.png".into()),
            Asset::Beside("a/logo.png".into()),
            object("logo.png"),
            object("logo.svg"),
            Asset::SystemFont,
        ]
        .iter()
        .map(Asset::scratch_name)
        .collect();
        assert_eq!(names.len(), 5);
        assert!(
            names
                .iter()
                .all(|name| name.starts_with(".asset-") && !name.contains('/'))
        );
        assert!(object("x/LOGO.SVG").is_drawing() && !object("logo.png").is_drawing());
        assert!(object("x.svg/logo").extension().is_empty());
    }

    #[test]
    fn what_lies_beside_a_rule_is_part_of_its_version() {
        let file = crate::diagnostic::SourceFile {
            path: "r.toml".into(),
            text: "[trigger]\nbucket = \"b\"\n[task.t]\nkind = \"transcode\"\noverlay = [{ image = \"logo.png\" }]"
                .into(),
        };
        let checked = |found: Option<Result<&str, &str>>| {
            let found = found.map(|found| found.map(str::to_owned).map_err(str::to_owned));
            let beside = Beside {
                folder: "/rules".into(),
                files: found.into_iter().map(|found| ("logo.png".to_owned(), found)).collect(),
            };
            let presets = Presets::built_in().clone().with_beside(beside);
            super::super::check::check_with(&file, "r", &["b".parse().unwrap()], &presets)
        };
        let version = |hash| checked(Some(Ok(hash))).0.unwrap().version;
        assert_eq!(version("1"), version("1"));
        assert_ne!(version("1"), version("2"));
        let (rule, found) = checked(Some(Err("is not beside the rule file")));
        assert!(rule.is_none());
        assert_eq!(found[0].position(), Some((5, 22)));
        assert_eq!(
            found[0].message,
            "`task.t.overlay.image`: the file \"logo.png\" is not beside the rule file"
        );
        // Where nobody looked, nothing can be said: a job's text is read so.
        assert!(checked(None).0.is_some());
    }
}
