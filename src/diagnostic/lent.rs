//! What a page knows of the world while it is read: buckets and files that values may name, and which files were named.

use std::collections::BTreeMap;

use super::reader::{Page, Value};
use crate::object::BucketName;
use crate::rule::asset::{Asset, Beside, is_below};

const FORM: &str = "\"logo.png\" beside the rule file, or { bucket = \"brand\", key = \"logo.png\" }";

/// What was lent to a page.
#[derive(Debug, Default)]
pub(super) struct Lent {
    buckets: Option<Vec<BucketName>>,
    beside: Option<Beside>,
    /// Files that were named, with hashes of what they hold.
    named: BTreeMap<String, String>,
}

impl Page {
    /// From now on values are held against these buckets and, where somebody looked, what lies beside the file.
    pub fn lend(&self, buckets: &[BucketName], beside: Option<&Beside>) {
        let mut lent = self.lent.borrow_mut();
        lent.buckets = Some(buckets.to_vec());
        lent.beside = beside.cloned();
    }

    /// The files beside that were named so far and are there, with hashes of what they hold.
    pub fn named(&self) -> BTreeMap<String, String> {
        self.lent.borrow().named.clone()
    }
}

impl Value<'_> {
    /// A file beside the rule, or an object of a bucket.
    pub fn asset(&self) -> Option<Asset> {
        if !self.is_table() {
            return self.file_beside();
        }
        let mut table = self.table()?;
        let bucket = table
            .require("bucket", FORM)
            .and_then(|value| self.known_bucket(&value));
        let key = table.require("key", FORM).and_then(|value| value.name());
        table.finish(&[]);
        Some(Asset::Object {
            bucket: bucket?,
            key: key?,
        })
    }

    fn file_beside(&self) -> Option<Asset> {
        let path = self.text()?;
        if !is_below(path) {
            let shown = path.escape_debug();
            self.error(
                format!(
                    "`{}` cannot be \"{shown}\": it leads out of the folder of the rules",
                    self.path
                ),
                FORM,
            );
            return None;
        }
        let mut lent = self.page.lent.borrow_mut();
        let found = lent.beside.as_ref().and_then(|beside| {
            let folder = beside.folder.display().to_string();
            Some((beside.files.get(path)?.clone(), folder))
        });
        match found {
            Some((Ok(hash), _)) => {
                lent.named.insert(path.to_owned(), hash);
            }
            Some((Err(why), folder)) => {
                self.error(
                    format!("`{}`: the file \"{}\" {why}", self.path, path.escape_debug()),
                    format!("put it into {folder}, or name an object: {{ bucket = \"...\", key = \"...\" }}"),
                );
                return None;
            }
            None => {}
        }
        Some(Asset::Beside(path.to_owned()))
    }

    fn known_bucket(&self, value: &Self) -> Option<BucketName> {
        let name: BucketName = value.name()?;
        let lent = self.page.lent.borrow();
        let Some(buckets) = lent.buckets.as_ref().filter(|buckets| !buckets.contains(&name)) else {
            return Some(name);
        };
        let known: Vec<_> = buckets.iter().map(BucketName::as_str).collect();
        let help = match super::did_you_mean(name.as_str(), known.iter().copied()) {
            Some(meant) => format!("did you mean \"{meant}\"?"),
            None => format!("buckets are {}", known.join(", ")),
        };
        value.error(format!("there is no bucket \"{name}\""), help);
        None
    }
}
