//! Wiring: what is opened in which order at start, and closed in which order at the end.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use jiff::Timestamp;
use rustix::fs::{FlockOperation, flock};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::api;
use crate::app::App;
use crate::bucket::Bucket;
use crate::bucket::far::FarBucket;
use crate::bucket::guarded::Guarded;
use crate::bucket::local::LocalBucket;
use crate::bucket::s3::S3Remote;
use crate::config::{Ageing, Config, Jail};
use crate::job::order;
use crate::publish::Scratch;
use crate::service::mill::Mill;
use crate::service::runner::{Workshop, cores};
use crate::service::{
    arming, dispatch, history, intake, publishing, rescue, rules, sources, supervision, sweep, tidy, watching,
};
use crate::store::sqlite::SqliteStore;
use crate::worker::cgroup::Groups;
use crate::worker::{jail, registry, spawn::WorkerSettings};

/// How long a lock that somebody has may take to come free.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

/// Another daemon works on the same state directory.
#[derive(Debug, thiserror::Error)]
#[error("another daemon (process {holder}) already works in {}", .state.display())]
pub struct InUse {
    holder: String,
    state: PathBuf,
}

/// The kernel cannot shut workers in.
#[derive(Debug, thiserror::Error)]
#[error("workers cannot be jailed here: {0}")]
pub struct NoJail(pub String);

/// Runs the daemon until it is told to stop.
///
/// # Errors
/// Where it cannot start: state directory in use or unusable, database damaged, GStreamer missing; or where one
/// of its services broke off.
pub fn run(config: Config) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(16)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let verdict = runtime.block_on(serve(config));
    // All is done; what is left are threads that wait for a disk that does not answer.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    verdict
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let started = Timestamp::now();
    let jail = jail(config.workers.jail)?;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o750)
        .create(&config.state)
        .with_context(|| format!("cannot make the state directory {}", config.state.display()))?;
    let lock = lock(&config.state)?;
    let mut shop = workshop(&config)?;
    shop.worker.groups = Groups::delegated();
    let shop = Arc::new(shop);
    let mill = Arc::new(mill(config, started).await?);
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        config = %mill.config.file.display(),
        state = %mill.config.state.display(),
        buckets = mill.buckets.len(),
        slots = mill.config.workers.slots,
        "reelmill starts"
    );
    let open = mill.config.workers.jail == Jail::Off;
    if open {
        tracing::warn!("the jail is off: whoever made a medium may do here whatever this user may");
    }
    mill.health.set("jail", !open, jail, started);
    let mut hangup = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;

    rules::load(&mill, started).await?;
    let holder = holder();
    take_up_the_thread(&mill, &holder).await?;

    let tokens = Tokens::default();
    let mut services = JoinSet::new();
    let hooks = listen(mill.config.http).await?;
    start(&mill, &tokens, hooks, &mut services)?;
    // What this takes, a second or two after an update of GStreamer, the sources need not wait for.
    registry::prepare(&shop.worker)
        .await
        .map_err(|failure| anyhow::anyhow!("GStreamer cannot be used: {}", failure.message))?;
    let driven = dispatch::run(mill.clone(), shop, holder, tokens.dispatch.clone());
    spawn(&mut services, "dispatch", driven);
    let supervised = supervision::run(mill.clone(), tokens.sources.clone(), tokens.rest.clone());
    spawn(&mut services, "supervision", supervised);
    let verdict = loop {
        tokio::select! {
            _ = terminate.recv() => break Ok(()),
            _ = interrupt.recv() => break Ok(()),
            _ = hangup.recv() => {
                tracing::info!("asked to read the rules again");
                mill.pulse.ask_reload();
                mill.rules_changed.notify_one();
            }
            Some(ended) = services.join_next() => {
                break Err(match ended {
                    Ok(name) => anyhow::anyhow!("the service {name} ended by itself"),
                    Err(error) => anyhow::anyhow!("a service broke off: {error}"),
                });
            }
        }
    };
    tracing::info!("reelmill stops");
    // Sources first, so that nothing new comes; then the runs; then what they need.
    mill.stopping.cancel();
    tokens.sources.cancel();
    tokens.dispatch.cancel();
    while !mill.running.is_empty() {
        tokio::select! {
            // Who asks a second time does not want to wait for jobs.
            _ = terminate.recv() => mill.halt.cancel(),
            _ = interrupt.recv() => mill.halt.cancel(),
            ended = services.join_next() => {
                if ended.is_none() {
                    break;
                }
            }
            () = tokio::time::sleep(std::time::Duration::from_millis(100)) => {}
        }
    }
    tokens.rest.cancel();
    while services.join_next().await.is_some() {}
    mill.store.close().await;
    tracing::info!("reelmill has stopped");
    drop(lock);
    verdict
}

/// What ends which services.
#[derive(Default)]
struct Tokens {
    sources: CancellationToken,
    dispatch: CancellationToken,
    rest: CancellationToken,
}

/// How workers will be shut in here.
///
/// # Errors
/// [`NoJail`], where the kernel cannot.
pub fn jail(wanted: Jail) -> anyhow::Result<String> {
    let possible = jail::possible(wanted, jail::landlock_version(), jail::has_seccomp());
    possible.map_err(|lacking| anyhow::Error::new(NoJail(lacking)))
}

/// How workers are started on this machine.
///
/// # Errors
/// Where the program cannot find itself.
pub fn workshop(config: &Config) -> anyhow::Result<Workshop> {
    Ok(Workshop {
        worker: WorkerSettings::configured(
            std::env::current_exe().context("cannot find the program itself")?,
            config.state.join("gstreamer-registry.bin"),
            &config.workers,
            &config.plugins,
        ),
        threads: cores().div_ceil(config.workers.slots.max(1)),
    })
}

async fn mill(config: Config, started: Timestamp) -> anyhow::Result<Mill> {
    let ageing = match config.ageing {
        Ageing::Each(each) => order::Ageing::Each(each),
        Ageing::Strict => order::Ageing::Strict,
    };
    let store = SqliteStore::open(&config.state.join("reelmill.db"), ageing).await?;
    let local = local_buckets(&config).map(|bucket| Arc::new(bucket) as Arc<dyn Bucket>);
    let buckets = local
        .chain(far_buckets(&config).await?)
        .map(|bucket| (bucket.name().clone(), bucket))
        .collect();
    Ok(Mill::new(config, Arc::new(store), buckets, started))
}

/// The local directories of the config, remembered in the state directory.
pub fn local_buckets(config: &Config) -> impl Iterator<Item = LocalBucket> {
    let memory = config.state.join("buckets");
    config
        .buckets
        .iter()
        .filter_map(|(name, bucket)| Some((name, bucket.local()?)))
        .map(move |(name, local)| LocalBucket::new(name.clone(), &local.path, &memory))
}

/// The buckets over a network of the config. None of them is asked anything yet.
///
/// # Errors
/// Where what the config says of one cannot be used.
pub async fn far_buckets(config: &Config) -> anyhow::Result<Vec<Arc<dyn Bucket>>> {
    let mut buckets: Vec<Arc<dyn Bucket>> = Vec::new();
    for (name, bucket) in &config.buckets {
        let Some(s3) = bucket.s3() else { continue };
        let remote = S3Remote::connect(name, s3).await?;
        let remote = Arc::new(Guarded::new(name.clone(), remote));
        buckets.push(Arc::new(FarBucket::new(name.clone(), &s3.s3, remote)));
    }
    Ok(buckets)
}

/// Finishes or gives back what a former life of the daemon left in the middle.
async fn take_up_the_thread(mill: &Arc<Mill>, holder: &str) -> anyhow::Result<()> {
    let kept = publishing::roll_forward(mill).await?;
    let taken = mill.store.take_back(Some(holder), Timestamp::now()).await?;
    if taken > 0 {
        tracing::info!(
            jobs = taken,
            "jobs taken up again that were running when the daemon ended"
        );
    }
    for (name, bucket) in &mill.buckets {
        // Scratch of a bucket over a network lies here, whether it answers or not.
        if bucket.remote().is_none() && bucket.check().await.is_err() {
            continue;
        }
        let root = publishing::root(mill, name);
        let removed = Scratch::sweep(&root, &kept);
        if removed > 0 {
            tracing::info!(bucket = %name, directories = removed, "orphaned scratch removed");
        }
    }
    Ok(())
}

/// Takes the address for requests about objects, where the config names one.
async fn listen(at: Option<SocketAddr>) -> anyhow::Result<Option<TcpListener>> {
    let Some(at) = at else { return Ok(None) };
    let listener = TcpListener::bind(at).await;
    listener
        .with_context(|| format!("cannot listen on {at} for requests about objects; `http.listen` says where"))
        .map(Some)
}

fn start(
    mill: &Arc<Mill>,
    tokens: &Tokens,
    hooks: Option<TcpListener>,
    services: &mut JoinSet<&'static str>,
) -> anyhow::Result<()> {
    let listener = api::listen(&mill.config.state)?;
    let app = App { mill: mill.clone() };
    let rest = || tokens.rest.clone();
    let sources = || tokens.sources.clone();
    spawn(services, "api", api::serve(app, listener, rest()));
    spawn(services, "rules", rules::run(mill.clone(), sources()));
    for name in mill.buckets.keys() {
        spawn(services, "watch", watching::run(mill.clone(), name.clone(), sources()));
        spawn(services, "intake", intake::run(mill.clone(), name.clone(), sources()));
        spawn(services, "sweep", sweep::run(mill.clone(), name.clone(), sources()));
    }
    if let Some(hooks) = hooks {
        spawn(services, "hooks", watching::hooks::run(mill.clone(), hooks, rest()));
    }
    spawn(services, "kept hints", watching::kept::run(mill.clone(), sources()));
    spawn(services, "arming", arming::run(mill.clone(), sources()));
    spawn(services, "rescue", rescue::run(mill.clone(), rest()));
    spawn(services, "tidy", tidy::run(mill.clone(), rest()));
    spawn(services, "sources", sources::run(mill.clone(), rest()));
    spawn(services, "history", history::run(mill.clone(), rest()));
    Ok(())
}

fn spawn(services: &mut JoinSet<&'static str>, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
    services.spawn(async move {
        work.await;
        name
    });
}

/// One daemon for each state directory. The lock goes with the process, however it ends.
///
/// # Errors
/// Where another process has it, or the directory cannot be used.
pub fn lock(state: &Path) -> anyhow::Result<File> {
    let path = state.join("lock");
    let mut file = OpenOptions::new()
        .create(true)
        .read(true)
        .write(true)
        .truncate(false)
        .open(&path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    // A daemon that was killed while it started a worker leaves the lock with that for the blink of an eye.
    let begun = Instant::now();
    while flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        if begun.elapsed() < LOCK_PATIENCE {
            std::thread::sleep(LOCK_PATIENCE / 40);
            continue;
        }
        let mut holder = String::new();
        file.read_to_string(&mut holder).ok();
        return Err(anyhow::Error::new(InUse {
            holder: holder.trim().to_owned(),
            state: state.to_owned(),
        }));
    }
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())?;
    Ok(file)
}

/// The name under which this daemon holds leases.
fn holder() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
