//! One worker at a time, started as the daemon does it, with a world around it that must stay as it is.

use std::fs;
use std::io::ErrorKind as Io;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use reelmill::config::Jail;
use reelmill::job::{ErrorKind, Failure};
use reelmill::rule::Grants;
use reelmill::worker::registry;
use reelmill::worker::spawn::{Limits, Worker, WorkerSettings};

use crate::attack::{Attack, MARK};
use crate::cases::{Case, End, Fails, Told};

/// What lies around a worker.
pub struct World {
    root: tempfile::TempDir,
    pub daemon: i64,
    pub secret: String,
    pub granted: String,
    pub device: &'static str,
    tcp: TcpListener,
    udp: UdpSocket,
    api: UnixListener,
    named: UnixDatagram,
}

impl World {
    pub fn new() -> Self {
        let root = tempfile::Builder::new().prefix("reelmill-jail-").tempdir().unwrap();
        let at = |below: &str| root.path().join(below);
        for folder in ["scratch", "other", "state", ".ssh", "empty"] {
            fs::create_dir(at(folder)).unwrap();
        }
        for file in [
            "secret",
            "granted",
            "other/film.mp4",
            "state/reelmill.db",
            ".ssh/id_ed25519",
        ] {
            fs::write(at(file), "secret").unwrap();
        }
        let world = Self {
            daemon: i64::from(std::process::id()),
            secret: at("secret").to_str().unwrap().to_owned(),
            granted: at("granted").to_str().unwrap().to_owned(),
            device: ["/dev/sda", "/dev/vda", "/dev/nvme0n1"]
                .into_iter()
                .find(|device| Path::new(device).exists())
                .unwrap_or("/dev/full"),
            tcp: TcpListener::bind("127.0.0.1:0").unwrap(),
            udp: UdpSocket::bind("127.0.0.1:0").unwrap(),
            api: UnixListener::bind(at("api")).unwrap(),
            named: UnixDatagram::bind(at("named")).unwrap(),
            root,
        };
        world.tcp.set_nonblocking(true).unwrap();
        world.udp.set_nonblocking(true).unwrap();
        world.api.set_nonblocking(true).unwrap();
        world.named.set_nonblocking(true).unwrap();
        world
    }

    pub fn outside(&self, below: &str) -> String {
        self.root.path().join(below).to_str().unwrap().to_owned()
    }

    pub fn scratch(&self) -> PathBuf {
        self.root.path().join("scratch")
    }

    pub fn pid(&self) -> Vec<u8> {
        i32::try_from(self.daemon).unwrap().to_ne_bytes().to_vec()
    }

    pub fn tcp(&self) -> Vec<u8> {
        internet(self.tcp.local_addr().unwrap().port())
    }

    pub fn udp(&self) -> Vec<u8> {
        internet(self.udp.local_addr().unwrap().port())
    }

    pub fn api(&self) -> Vec<u8> {
        named(&self.root.path().join("api"))
    }

    pub fn named(&self) -> Vec<u8> {
        named(&self.root.path().join("named"))
    }

    /// What has changed that no attack may change; empty: nothing.
    fn harm(&self, quiet: bool) -> Vec<String> {
        let mut harm = Vec::new();
        for file in [
            "secret",
            "granted",
            "other/film.mp4",
            "state/reelmill.db",
            ".ssh/id_ed25519",
        ] {
            let path = self.root.path().join(file);
            let content = fs::read(&path).unwrap_or_default();
            let about = fs::metadata(&path).ok();
            if content != b"secret" {
                harm.push(format!("{file} is {content:?}"));
            }
            if about.is_none_or(|about| about.mode() & 0o7777 != 0o644 || about.nlink() != 1) {
                harm.push(format!("{file} has another mode, or another name"));
            }
        }
        let mut names: Vec<_> = fs::read_dir(self.root.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        if names
            != [
                ".ssh", "api", "empty", "granted", "named", "other", "scratch", "secret", "state",
            ]
        {
            harm.push(format!("there are other files: {names:?}"));
        }
        let silent = |what: &str, error: Option<std::io::Error>| {
            let silent = error.is_some_and(|error| error.kind() == Io::WouldBlock);
            (!silent).then(|| format!("somebody spoke to the {what}"))
        };
        let mut bytes = [0; 16];
        if quiet {
            harm.extend(silent("TCP listener", self.tcp.accept().err()));
            harm.extend(silent("UDP socket", self.udp.recv(&mut bytes).err()));
        }
        harm.extend(silent("API", self.api.accept().err()));
        harm.extend(silent("named socket", self.named.recv(&mut bytes).err()));
        for place in ["/tmp/reelmill-escaped", "/dev/shm/reelmill"] {
            if fs::remove_file(place).is_ok() {
                harm.push(format!("{place} was made"));
            }
        }
        // What the worker sent over must be nowhere.
        for entry in fs::read_dir("/proc/self/fd").unwrap().flatten() {
            if fs::read_link(entry.path()).is_ok_and(|to| to.ends_with("passed-over")) {
                harm.push("the daemon took a descriptor".to_owned());
            }
        }
        harm
    }
}

fn internet(port: u16) -> Vec<u8> {
    let mut address = 2_u16.to_ne_bytes().to_vec();
    address.extend(port.to_be_bytes());
    address.extend([127, 0, 0, 1]);
    address.resize(16, 0);
    address
}

fn named(path: &Path) -> Vec<u8> {
    let mut address = 1_u16.to_ne_bytes().to_vec();
    address.extend(path.as_os_str().as_bytes());
    assert!(address.len() < 110);
    address.resize(110, 0);
    address
}

/// The settings of a daemon whose workers are this program.
pub async fn settings() -> WorkerSettings {
    let registry = Path::new(env!("CARGO_TARGET_TMPDIR")).join("jail-registry.bin");
    let settings = WorkerSettings::new(std::env::current_exe().unwrap(), registry);
    registry::prepare(&settings).await.unwrap();
    settings
}

/// What bounds the attacks, where nothing else is said.
pub fn limits() -> Limits {
    Limits {
        stall: Duration::from_secs(20),
        timeout: Some(Duration::from_secs(30)),
        room: 64 << 20,
    }
}

/// The attack as a medium.
pub fn medium(attack: &Attack) -> Vec<u8> {
    let mut bytes = MARK.to_vec();
    bytes.extend(serde_json::to_vec(attack).unwrap());
    bytes.push(b'\n');
    bytes
}

/// Lets a worker carry out the attack; how the run ended.
pub async fn attack(
    world: &World,
    attack: &Attack,
    settings: &WorkerSettings,
    limits: Limits,
    grants: &Grants,
) -> Failure {
    let source = world.root.path().join("scratch/.medium");
    fs::write(&source, medium(attack)).unwrap();
    let input = OwnedFd::from(fs::File::open(&source).unwrap());
    fs::remove_file(&source).unwrap();
    let mut worker = match Worker::spawn(settings, input, &world.scratch(), limits, grants).await {
        Ok(worker) => worker,
        Err(failure) => return failure,
    };
    let failure = match worker.probe().await {
        Ok(media) => panic!("an attack was described: {media:?}"),
        Err(failure) => failure,
    };
    worker.stop().await;
    failure
}

impl End {
    pub fn is(self, failure: &Failure) -> bool {
        let told = failure.message.strip_prefix("tried: ");
        match self {
            Told(words) => failure.kind == ErrorKind::Internal && told == Some(words),
            Fails(kind, words) => failure.kind == kind && told.is_none() && failure.message.contains(words),
        }
    }
}

/// Carries out cases, a few at a time. Answers what went otherwise than it must.
pub async fn carry_out(
    what: &str,
    cases: Vec<Case>,
    settings: &WorkerSettings,
    grants: impl Fn(&World) -> Grants,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut running = tokio::task::JoinSet::new();
    let mut waiting = cases.into_iter();
    loop {
        while running.len() < 6 {
            let Some(case) = waiting.next() else { break };
            let (world, settings) = (World::new(), settings.clone());
            let grants = grants(&world);
            running.spawn(async move {
                let trial = (case.attack)(&world);
                let failure = attack(&world, &trial, &settings, limits(), &grants).await;
                let open = settings.jail == Jail::Off;
                let wanted = if open { Told(case.open.unwrap_or("")) } else { case.end };
                let mut wrong = Vec::new();
                if !wanted.is(&failure) {
                    wrong.push(format!("{}: {wanted:?} was due, and it was {failure:?}", case.name));
                }
                if !open {
                    let harm = world.harm(!grants.network);
                    wrong.extend(harm.into_iter().map(|harm| format!("{}: {harm}", case.name)));
                }
                wrong
            });
        }
        match running.join_next().await {
            Some(done) => wrong.extend(done.unwrap().into_iter().map(|line| format!("{what}: {line}"))),
            None => return wrong,
        }
    }
}
