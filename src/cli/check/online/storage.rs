//! Tries at a bucket over a network what rules need of it, on objects of its own where it writes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::tried::{Tried, words};
use crate::bucket::BucketError;
use crate::bucket::abilities;
use crate::bucket::remote::{Abilities, Condition, From, NewObject, Remote, Stretch, UploadId};
use crate::cli::exit::Code;
use crate::object::{BucketName, Directory, Identity, ObjectKey};
use crate::rule::Rule;
use crate::rule::source::AfterSuccess;
use crate::rule::stored::StoredSpec;

/// Where the objects lie that are tried on.
const PREFIX: &str = ".reelmill/check-";
/// Where those lie on which conditions are tried.
const PROBES: &str = ".reelmill/probe-";
/// What is written.
const CONTENT: &[u8] = b"reelmill check --online\n";
/// How long all tries at one bucket may take, and the removal of what they left.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(15));

/// What rules need of a bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a permission of its own")]
pub struct Needs {
    /// Sources are read, or outputs looked at.
    pub get: bool,
    /// Outputs are written.
    pub put: bool,
    /// Sources or replaced outputs are deleted.
    pub delete: bool,
    /// Sources are moved.
    pub copy: bool,
    /// What is given along with outputs, where it is anything.
    pub stored: Vec<StoredSpec>,
    /// Where sources lie.
    pub directories: Vec<Directory>,
}

impl Needs {
    /// What these rules need of this bucket.
    pub fn of(bucket: &BucketName, rules: &[Rule]) -> Self {
        let mut needs = Self::default();
        for rule in rules {
            if rule.trigger.bucket == *bucket {
                needs.get = true;
                if !needs.directories.contains(&rule.trigger.directory) {
                    needs.directories.push(rule.trigger.directory.clone());
                }
                needs.delete |= rule.after_success.is_some();
                needs.copy |= matches!(rule.after_success, Some(AfterSuccess::Move { .. }));
            }
            if rule.output.bucket == *bucket {
                needs.get = true;
                needs.put = true;
                needs.delete = true;
                let stored = &rule.output.stored;
                if *stored != StoredSpec::default() && !needs.stored.contains(stored) {
                    needs.stored.push(stored.clone());
                }
            }
        }
        needs
    }
}

/// Tries all that is needed, and removes what was written, however that ends. `scratch` is a directory for small files.
pub async fn all(
    bucket: &BucketName,
    remote: &dyn Remote,
    needs: &Needs,
    scratch: &Path,
    stop: &CancellationToken,
) -> Vec<Tried> {
    let trial = Trial {
        bucket,
        remote,
        needs,
        scratch,
        file: scratch.join(format!("check-{bucket}")),
        id: format!("{:016x}", rand::random::<u64>()),
        tried: Mutex::default(),
        left: Mutex::default(),
        open: Mutex::default(),
    };
    let ended = tokio::select! {
        ended = timeout(PATIENCE.0, trial.all()) => ended.is_ok(),
        () = stop.cancelled() => false,
    };
    let cleaned = timeout(PATIENCE.1, trial.clean(ended)).await.is_ok();
    let mut tried = std::mem::take(&mut *locked(&trial.tried));
    if !ended {
        let seconds = PATIENCE.0.as_secs();
        let says = if stop.is_cancelled() {
            "not all was tried: it was interrupted".to_owned()
        } else {
            format!("not all was tried within {seconds} s: the server is slow, or does not answer")
        };
        tried.push(Tried::failed(Code::Temporary, "in time", says));
    }
    let left = locked(&trial.left);
    if !cleaned || !left.is_empty() {
        let keys: Vec<String> = left.iter().map(ToString::to_string).collect();
        let says = format!("what was written could not be removed: {}", keys.join(", "));
        tried.push(Tried::warning("clean", says));
    }
    drop(left);
    tried
}

fn locked<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Trial<'a> {
    bucket: &'a BucketName,
    remote: &'a dyn Remote,
    needs: &'a Needs,
    scratch: &'a Path,
    file: PathBuf,
    id: String,
    tried: Mutex<Vec<Tried>>,
    /// What may be there now and must not stay.
    left: Mutex<Vec<ObjectKey>>,
    /// Uploads that were begun.
    open: Mutex<Vec<(ObjectKey, UploadId)>>,
}

impl Trial<'_> {
    fn say(&self, tried: Tried) {
        locked(&self.tried).push(tried);
    }

    fn judge(&self, what: &'static str, answer: Result<(), BucketError>) -> bool {
        let is_fine = answer.is_ok();
        self.say(match answer {
            Ok(()) => Tried::ok(what),
            Err(error) => Tried::refused(what, self.bucket, &error),
        });
        is_fine
    }

    async fn all(&self) {
        let listed = self.list().await;
        let mut probe = None;
        if self.needs.put || self.needs.copy {
            if let Err(error) = tokio::fs::write(&self.file, CONTENT).await {
                let says = format!("{} cannot be written: {error}", self.file.display());
                self.say(Tried::failed(Code::CannotCreate, "put", says));
                return;
            }
            probe = self.put().await;
        } else {
            self.say(Tried::not_needed("put"));
        }
        match (&probe, self.needs.get) {
            (Some(key), _) => {
                let read = self.read_back(key).await;
                self.judge("get", read);
            }
            (None, true) => self.read_what_is_there(listed).await,
            (None, false) => self.say(Tried::not_needed("get")),
        }
        if self.needs.put {
            self.parts().await;
            self.conditions(probe.is_some()).await;
        } else {
            for what in ["multipart", "abort", "conditional"] {
                self.say(Tried::not_needed(what));
            }
        }
        self.copy(probe.as_ref()).await;
        self.delete(probe.as_ref()).await;
    }

    /// Lists where sources lie; answers some objects.
    async fn list(&self) -> Vec<(ObjectKey, Identity)> {
        let mut found = Vec::new();
        let whole = [Directory::default()];
        let directories = match self.needs.directories.as_slice() {
            [] => &whole[..],
            some => some,
        };
        for directory in directories {
            match self.remote.page(directory.as_str(), &From::Start, 10).await {
                Ok(page) => found.extend(page.objects.into_iter().map(|object| (object.key, object.identity))),
                Err(error) => {
                    self.say(Tried::refused("list", self.bucket, &error));
                    return found;
                }
            }
        }
        self.say(Tried::ok("list"));
        found
    }

    async fn put(&self) -> Option<ObjectKey> {
        let plain = StoredSpec::default();
        let key = self.key("");
        let written = self.write(key.as_ref()?, &plain).await;
        let is_there = self.judge("put", written);
        for stored in &self.needs.stored {
            let Some(key) = self.key("-stored") else { break };
            let written = self.write(&key, stored).await;
            if !self.judge("put with tags, class or ACL", written) {
                break;
            }
        }
        key.filter(|_| is_there)
    }

    /// A name of our own, which is looked after from now on.
    fn key(&self, end: &str) -> Option<ObjectKey> {
        let key = ObjectKey::new(format!("{PREFIX}{}{end}", self.id)).ok()?;
        locked(&self.left).push(key.clone());
        Some(key)
    }

    fn content(&self) -> Stretch {
        Stretch {
            path: self.file.clone(),
            offset: 0,
            length: CONTENT.len() as u64,
        }
    }

    async fn write(&self, key: &ObjectKey, stored: &StoredSpec) -> Result<(), BucketError> {
        let object = object(key, stored);
        let written = self.remote.put(&object, &self.content(), &Condition::Always).await;
        if matches!(written, Err(BucketError::Permanent { .. })) {
            self.forget(key);
        }
        written
    }

    /// Nothing has this name, for certain.
    fn forget(&self, key: &ObjectKey) {
        locked(&self.left).retain(|left| left != key);
    }

    async fn begin(&self, object: &NewObject) -> Result<UploadId, BucketError> {
        let upload = self.remote.begin_upload(object).await?;
        locked(&self.open).push((object.key.clone(), upload.clone()));
        Ok(upload)
    }

    fn ended(&self, upload: &UploadId) {
        locked(&self.open).retain(|(_, open)| open != upload);
    }

    /// Whether what was written can be looked at, and a stretch of it be read.
    async fn read_back(&self, key: &ObjectKey) -> Result<(), BucketError> {
        let head = self.remote.head(key).await?;
        let (offset, length) = (3, 10);
        let read = self.remote.read(key, &head.identity, offset, length).await?;
        let wanted = &CONTENT[3..13];
        if head.identity.size != CONTENT.len() as u64 || read != Bytes::from_static(wanted) {
            return Err(BucketError::Permanent {
                message: format!("bucket {}: {key} is not what was written", self.bucket),
                source: None,
            });
        }
        Ok(())
    }

    /// Whether sources can be looked at and read: any of them will do.
    async fn read_what_is_there(&self, listed: Vec<(ObjectKey, Identity)>) {
        let biggest = listed.into_iter().max_by_key(|(_, identity)| identity.size);
        let (key, is_there) = match (biggest, ObjectKey::new(format!("{PREFIX}{}", self.id))) {
            (Some((key, _)), _) => (key, true),
            (None, Ok(key)) => (key, false),
            (None, Err(_)) => return,
        };
        let asked = async {
            let head = self.remote.head(&key).await?;
            let length = head.identity.size.min(1);
            self.remote.read(&key, &head.identity, 0, length).await
        };
        match asked.await {
            Err(BucketError::NotFound(_)) if !is_there => {
                self.say(Tried::good("get", "nothing is there to read; looking is permitted"));
            }
            // It may have gone or been replaced just now, which says as much.
            Ok(_) | Err(BucketError::NotFound(_) | BucketError::Changed(_)) => self.say(Tried::ok("get")),
            Err(error) => self.say(Tried::refused("get", self.bucket, &error)),
        }
    }

    async fn parts(&self) {
        let Some(key) = self.key("-parts") else { return };
        let object = object(&key, &StoredSpec::default());
        let completed = async {
            let upload = self.begin(&object).await?;
            let parts = [self.remote.upload_part(&key, &upload, 1, &self.content()).await?];
            let completed = self.remote.complete_upload(&key, &upload, &parts, &Condition::Always);
            completed.await?;
            self.ended(&upload);
            Ok(())
        };
        let completed = completed.await;
        if matches!(completed, Err(BucketError::Permanent { .. })) {
            self.forget(&key);
        }
        if !self.judge("multipart", completed) {
            self.say(Tried::warning("abort", "not tried: no upload could be made"));
            return;
        }
        let aborted = async {
            let upload = self.begin(&object).await?;
            self.remote.upload_part(&key, &upload, 1, &self.content()).await?;
            self.remote.abort_upload(&key, &upload).await?;
            self.ended(&upload);
            self.remote.open_uploads(&key.to_string()).await
        };
        match aborted.await {
            Ok(open) if open.is_empty() => self.say(Tried::ok("abort")),
            Ok(_) => self.say(Tried::warning(
                "abort",
                "the server still lists an upload that was aborted",
            )),
            Err(error) => self.say(Tried::refused("abort", self.bucket, &error)),
        }
    }

    async fn conditions(&self, can_write: bool) {
        let what = "conditional";
        if !can_write {
            self.say(Tried::warning(what, "not tried: nothing can be written"));
            return;
        }
        self.say(match abilities::probe(self.remote, self.scratch).await {
            Ok(abilities) => heeded(what, abilities),
            Err(error) => Tried::warning(what, format!("not known: {}", words(self.bucket, &error))),
        });
    }

    async fn copy(&self, probe: Option<&ObjectKey>) {
        if !self.needs.copy {
            return;
        }
        let (Some(probe), Some(to)) = (probe, self.key("-copy")) else {
            self.say(Tried::warning("copy", "not tried: nothing can be written"));
            return;
        };
        let copied = async {
            let head = self.remote.head(probe).await?;
            self.remote.copy(probe, &head.identity, &to).await
        };
        self.judge("copy", copied.await);
    }

    async fn delete(&self, probe: Option<&ObjectKey>) {
        if !self.needs.delete {
            self.say(Tried::not_needed("delete"));
            return;
        }
        let Some(key) = probe else {
            let says =
                "not tried: that takes an object of our own, and none is written here (s3:DeleteObject is needed)";
            self.say(Tried::warning("delete", says));
            return;
        };
        let deleted = self.remove(key).await;
        self.judge("delete", deleted);
    }

    async fn remove(&self, key: &ObjectKey) -> Result<(), BucketError> {
        match self.remote.head(key).await {
            Ok(head) => self.remote.delete(key, &head.identity).await?,
            Err(BucketError::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
        self.forget(key);
        Ok(())
    }

    /// Removes what is left: objects, open uploads, and where the tries were cut short what others tried on for us.
    async fn clean(&self, ended: bool) {
        let open: Vec<(ObjectKey, UploadId)> = locked(&self.open).clone();
        for (key, upload) in open {
            self.remote.abort_upload(&key, &upload).await.ok();
        }
        if self.needs.put && !ended {
            if let Ok(open) = self.remote.open_uploads(&format!("{PREFIX}{}", self.id)).await {
                for upload in open {
                    self.remote.abort_upload(&upload.key, &upload.id).await.ok();
                }
            }
            if let Ok(page) = self.remote.page(PROBES, &From::Start, 100).await {
                for object in page.objects {
                    self.remote.delete(&object.key, &object.identity).await.ok();
                }
            }
        }
        let left: Vec<ObjectKey> = locked(&self.left).clone();
        for key in left {
            self.remove(&key).await.ok();
        }
        tokio::fs::remove_file(&self.file).await.ok();
    }
}

fn object(key: &ObjectKey, stored: &StoredSpec) -> NewObject {
    NewObject {
        key: key.clone(),
        content_type: "text/plain".to_owned(),
        metadata: BTreeMap::new(),
        tags: stored.tags.clone(),
        storage_class: stored.storage_class.clone(),
        acl: stored.acl.clone(),
        cache_control: stored.cache_control.clone(),
    }
}

/// Says what it means which conditions are heeded.
fn heeded(what: &'static str, abilities: Abilities) -> Tried {
    let known = [
        ("If-None-Match on put", abilities.put_absent),
        ("If-Match on put", abilities.put_is),
        ("If-None-Match on multipart", abilities.complete_absent),
        ("If-Match on multipart", abilities.complete_is),
    ];
    let words = |heeded: bool| {
        let of: Vec<&str> = known
            .iter()
            .filter(|(_, is)| *is == heeded)
            .map(|(name, _)| *name)
            .collect();
        of.join(", ")
    };
    let (good, lacking) = (words(true), words(false));
    match (good.as_str(), lacking.as_str()) {
        (_, "") => Tried::good(what, "all are heeded"),
        ("", _) => Tried::warning(
            what,
            "none is heeded: what is under a name is looked at before and after each write instead",
        ),
        _ => Tried::good(
            what,
            format!("heeded: {good}; not: {lacking} (names are looked at before and after)"),
        ),
    }
}
