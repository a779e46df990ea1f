//! One rule on one file, here and now: the same runner as the daemon's, over a database that is thrown away.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::mill::Mill;
use super::room::Room;
use super::runner::{Workshop, drive};
use crate::bucket::{Bucket, single::SingleFile};
use crate::config::{Ageing, BucketConfig, Config, LocalConfig, Place, Plugins, Workers};
use crate::job::{Generation, Job, JobId, order};
use crate::object::{BucketName, Object, ObjectKey};
use crate::rule::Rule;
use crate::store::sqlite::SqliteStore;
use crate::store::{Acceptance, Holds, NewJob, OutputRecord, Store};
use crate::worker::{registry, spawn::WorkerSettings};

/// What to try.
pub struct Trial {
    /// The rule.
    pub rule: Rule,
    /// Its text.
    pub text: String,
    /// The file.
    pub file: PathBuf,
    /// Where results go, in the directories that the rule names.
    pub out: PathBuf,
    /// How workers are shut in, as the config says, where there is one.
    pub workers: Workers,
    /// What they load.
    pub plugins: Plugins,
    /// Where the rule file lies, and so what it names beside it.
    pub folder: PathBuf,
    /// Buckets of the config, for objects that the rule names.
    pub lenders: Vec<Arc<dyn Bucket>>,
    /// What a former trial left in `out` may be replaced, whatever the rule says.
    pub replace: bool,
}

/// How it went.
#[derive(Debug)]
pub struct Tried {
    /// The job as it ended.
    pub job: Job,
    /// What it published below `out`.
    pub outputs: Vec<OutputRecord>,
}

/// A trial that has been set up.
pub struct Bench {
    mill: Arc<Mill>,
    shop: Arc<Workshop>,
    job: JobId,
    folder: Folder,
    out: PathBuf,
}

/// A directory that goes away with its value.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

impl Bench {
    /// Prepares a trial: a database of its own, the file as the only object.
    ///
    /// # Errors
    /// Where the file, the folder or GStreamer cannot be used.
    pub async fn set_up(mut trial: Trial) -> anyhow::Result<Self> {
        trial.text = owned_by_whoever_tries(&trial.text)?;
        if trial.replace {
            trial.text = replacing(&trial.text)?;
        }
        let now = Timestamp::now();
        let id = JobId::new(now, rand::random());
        let folder = Folder(std::env::temp_dir().join(format!("reelmill-try-{id}")));
        std::fs::create_dir(&folder.0).with_context(|| format!("cannot make {}", folder.0.display()))?;
        std::fs::create_dir_all(&trial.out).with_context(|| format!("cannot make {}", trial.out.display()))?;
        let file =
            std::fs::canonicalize(&trial.file).with_context(|| format!("cannot find {}", trial.file.display()))?;
        let out = std::fs::canonicalize(&trial.out)?;
        let name = file.file_name().context("a file is needed, not a directory")?;
        let mut key = trial.rule.trigger.directory.as_str().as_bytes().to_vec();
        key.extend_from_slice(name.as_bytes());
        let key = ObjectKey::new(key)?;

        let store = Arc::new(SqliteStore::open(&folder.0.join("try.db"), order::Ageing::Strict).await?);
        let (from, to) = (&trial.rule.trigger.bucket, &trial.rule.output.bucket);
        let mut buckets: BTreeMap<BucketName, Arc<dyn Bucket>> = BTreeMap::new();
        for lender in std::mem::take(&mut trial.lenders) {
            buckets.insert(lender.name().clone(), lender);
        }
        for bucket in trial.rule.buckets_of_assets() {
            let none = SingleFile::new(bucket.clone(), None);
            buckets.entry(bucket).or_insert_with(|| Arc::new(none));
        }
        let single = |name: &BucketName, file| SingleFile::new(name.clone(), file).over(buckets.get(name).cloned());
        let (target, source) = (single(to, None), single(from, Some((key.clone(), file))));
        buckets.insert(to.clone(), Arc::new(target));
        let source = Arc::new(source);
        buckets.insert(from.clone(), source.clone());
        let identity = source.open(&key).await?.identity;
        let object = Object {
            bucket: from.clone(),
            key,
            identity,
        };
        let config = config(&folder.0, to, &out, &trial.folder);
        accept(store.as_ref(), &trial, &id, object, now).await?;

        let shop = Workshop {
            worker: WorkerSettings::configured(
                std::env::current_exe().context("cannot find the program itself")?,
                cache()?.join("gstreamer-registry.bin"),
                &trial.workers,
                &trial.plugins,
            ),
            threads: crate::service::runner::cores(),
        };
        registry::prepare(&shop.worker)
            .await
            .map_err(|failure| anyhow::anyhow!("GStreamer cannot be used: {}", failure.message))?;
        Ok(Self {
            mill: Arc::new(Mill {
                room: Room::boundless(),
                ..Mill::new(config, store, buckets, now)
            }),
            shop: Arc::new(shop),
            job: id,
            folder,
            out,
        })
    }

    /// Does the work; `look` is called now and then with what is shared, for a progress bar. One attempt, no retry.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn run(self, stop: CancellationToken, mut look: impl FnMut(&Mill, &JobId)) -> anyhow::Result<Tried> {
        let now = Timestamp::now();
        let hour = jiff::SignedDuration::from_hours(24 * 365);
        let job = self.mill.store.claim("try", &Holds::default(), now, now + hour).await?;
        let job = job.context("the job was not queued")?;
        let lease = job.lease.as_ref().context("the job has no lease")?.number;
        self.mill.running.insert(job.id.clone(), lease, stop.clone(), now);
        let work = drive(self.mill.clone(), self.shop.clone(), job, stop);
        tokio::pin!(work);
        loop {
            tokio::select! {
                () = &mut work => break,
                () = tokio::time::sleep(Duration::from_millis(100)) => look(&self.mill, &self.job),
            }
        }
        let job = self.mill.store.job(&self.job).await?;
        let outputs = self.mill.store.outputs(&self.job).await?;
        self.mill.store.close().await;
        for hidden in [".reelmill/scratch", ".reelmill"] {
            // Only what is empty goes: the folder may be a bucket.
            std::fs::remove_dir(self.out.join(hidden)).ok();
        }
        drop(self.folder);
        Ok(Tried { job, outputs })
    }
}

fn config(state: &Path, bucket: &BucketName, out: &Path, rules: &Path) -> Config {
    let target = BucketConfig {
        place: Place::Local(LocalConfig {
            path: out.to_path_buf(),
            poll: Duration::from_secs(10),
            settle: Duration::from_secs(2),
        }),
        sweep: Duration::from_hours(1),
    };
    Config {
        file: PathBuf::new(),
        rules: rules.to_path_buf(),
        presets: PathBuf::new(),
        state: state.to_path_buf(),
        buckets: BTreeMap::from([(bucket.clone(), target)]),
        workers: Workers {
            slots: 1,
            drain: Duration::ZERO,
            min_free: 0,
            ..Workers::default()
        },
        plugins: crate::config::Plugins::default(),
        ageing: Ageing::Strict,
        grace: Duration::ZERO,
        history: crate::config::History::default(),
        http: None,
    }
}

async fn accept(store: &dyn Store, trial: &Trial, id: &JobId, object: Object, now: Timestamp) -> anyhow::Result<()> {
    let wish = Acceptance {
        rule: trial.rule.name.clone(),
        object,
        seen: Generation(0),
        job: Some(NewJob::of(&trial.rule, &trial.text, id.clone(), None)),
        listed: None,
    };
    store.accept(vec![wish], now).await?;
    Ok(())
}

/// Results of a trial are for whoever tries.
fn owned_by_whoever_tries(text: &str) -> anyhow::Result<String> {
    let mut document: toml_edit::DocumentMut = text.parse()?;
    if let Some(output) = document.get_mut("output").and_then(toml_edit::Item::as_table_like_mut) {
        for key in ["owner", "group", "mode"] {
            output.remove(key);
        }
    }
    Ok(document.to_string())
}

/// The rule's text, with leave to write over what is there.
fn replacing(text: &str) -> anyhow::Result<String> {
    let mut document: toml_edit::DocumentMut = text.parse()?;
    document["output"]["overwrite"] = toml_edit::value(true);
    Ok(document.to_string())
}

/// A place that outlives the trial, for GStreamer's registry.
fn cache() -> anyhow::Result<PathBuf> {
    let base = match (std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME")) {
        (Some(cache), _) if !cache.is_empty() => PathBuf::from(cache),
        (_, Some(home)) if !home.is_empty() => PathBuf::from(home).join(".cache"),
        _ => std::env::temp_dir(),
    };
    let folder = base.join("reelmill");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}
