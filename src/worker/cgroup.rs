//! A control group for each worker, where systemd has delegated that to the daemon (`Delegate=yes`, cgroups v2).
//!
//! The kernel then holds a worker to its memory at every instant and ends all of it at once, where looking from outside
//! (`measure`) comes round some times a second. Where nothing is delegated, looking has to do.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Threads and processes of a worker; encoders start one for each core and some more.
const MOST_TASKS: u32 = 1024;

/// Of a service's processor time when others want it: 100 is the daemon's share.
const WEIGHT: u32 = 50;

/// Where groups of workers are made.
#[derive(Debug, Clone)]
pub struct Groups {
    base: PathBuf,
    next: Arc<AtomicU64>,
}

/// The group of one worker. It goes away with its value, and everything in it.
#[derive(Debug)]
pub(super) struct Group {
    path: PathBuf,
}

impl Groups {
    /// Makes the group of this service one in which workers get groups of their own. None where this process is no
    /// service of systemd's, or nothing is delegated to it.
    #[must_use]
    pub fn delegated() -> Option<Self> {
        std::env::var_os("INVOCATION_ID")?;
        let told = fs::read_to_string("/proc/self/cgroup").ok()?;
        Self::divide(Path::new("/sys/fs/cgroup"), &told).ok()
    }

    /// `told` is what `/proc/self/cgroup` says.
    fn divide(mounted: &Path, told: &str) -> io::Result<Self> {
        let own = service(told).ok_or(io::ErrorKind::NotFound)?;
        let base = mounted.join(own);
        let controllers = fs::read_to_string(base.join("cgroup.controllers"))?;
        let has = |name: &str| controllers.split_whitespace().any(|controller| controller == name);
        if !has("memory") {
            return Err(io::ErrorKind::Unsupported.into());
        }
        // No group may hold processes of its own and groups with limits.
        let daemon = base.join("daemon");
        make(&daemon)?;
        fs::write(daemon.join("cgroup.procs"), "0")?;
        for name in ["memory", "pids", "cpu"].into_iter().filter(|name| has(name)) {
            fs::write(base.join("cgroup.subtree_control"), format!("+{name}"))?;
        }
        for left in fs::read_dir(&base)?.flatten() {
            if left.file_name().to_string_lossy().starts_with("worker-") {
                drop(Group { path: left.path() });
            }
        }
        Ok(Self {
            base,
            next: Arc::default(),
        })
    }

    /// A group that may take so much memory.
    pub(super) fn group(&self, memory: u64) -> io::Result<Group> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self.base.join(format!("worker-{number}"));
        make(&path)?;
        let group = Group { path };
        group.set("memory.max", memory)?;
        // These are not everywhere.
        for (file, value) in [("memory.swap.max", 0), ("memory.oom.group", 1)] {
            let _ = group.set(file, value);
        }
        for (file, value) in [("pids.max", MOST_TASKS), ("cpu.weight", WEIGHT)] {
            let _ = group.set(file, u64::from(value));
        }
        Ok(group)
    }
}

impl Group {
    fn set(&self, file: &str, value: u64) -> io::Result<()> {
        fs::write(self.path.join(file), value.to_string())
    }

    /// Takes a process in.
    pub(super) fn add(&self, pid: i32) -> io::Result<()> {
        fs::write(self.path.join("cgroup.procs"), pid.to_string())
    }

    /// Whether the kernel ended something in it for its memory.
    pub(super) fn ran_out(&self) -> bool {
        let events = fs::read_to_string(self.path.join("memory.events")).unwrap_or_default();
        events
            .lines()
            .filter_map(|line| line.strip_prefix("oom_kill "))
            .any(|count| count.trim() != "0")
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::write(self.path.join("cgroup.kill"), "1");
        // While the kernel still takes the last process apart, the directory is busy; the next start removes it then.
        let _ = fs::remove_dir(&self.path);
    }
}

fn make(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// The group of a service in the one hierarchy of cgroups v2, without its leading slash.
fn service(told: &str) -> Option<&str> {
    let path = told.lines().find_map(|line| line.strip_prefix("0::/"))?;
    // A daemon that was moved before is in a group of its own below.
    let path = path.strip_suffix("/daemon").unwrap_or(path);
    path.ends_with(".service").then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_service_divides_its_group() {
        assert_eq!(
            service("0::/system.slice/reelmill.service\n"),
            Some("system.slice/reelmill.service")
        );
        assert_eq!(
            service("0::/system.slice/reelmill.service/daemon\n"),
            Some("system.slice/reelmill.service")
        );
        assert_eq!(service("0::/user.slice/user-0.slice/session-1.scope\n"), None);
        assert_eq!(service("4:memory:/reelmill.service\n0::/\n"), None);
    }

    /// A directory that looks like the group of a service. The kernel would make the files.
    fn mounted(controllers: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().join("reelmill.service");
        fs::create_dir_all(base.join("worker-7")).unwrap();
        fs::write(base.join("cgroup.controllers"), controllers).unwrap();
        folder
    }

    #[test]
    fn workers_get_groups_with_limits() {
        let folder = mounted("cpu memory pids\n");
        let groups = Groups::divide(folder.path(), "0::/reelmill.service\n").unwrap();
        let base = folder.path().join("reelmill.service");
        assert_eq!(fs::read_to_string(base.join("daemon/cgroup.procs")).unwrap(), "0");
        let group = groups.group(1 << 30).unwrap();
        group.add(42).unwrap();
        let said = |file: &str| fs::read_to_string(base.join("worker-0").join(file)).unwrap();
        assert_eq!(said("memory.max"), "1073741824");
        assert_eq!(said("memory.oom.group"), "1");
        assert_eq!(said("cgroup.procs"), "42");
        assert!(!group.ran_out());
        fs::write(base.join("worker-0/memory.events"), "low 0\nmax 5\noom 1\noom_kill 1\n").unwrap();
        assert!(group.ran_out());
    }

    #[test]
    fn without_a_share_of_memory_nothing_is_divided() {
        let folder = mounted("pids\n");
        assert!(Groups::divide(folder.path(), "0::/reelmill.service\n").is_err());
        assert!(!folder.path().join("reelmill.service/daemon").exists());
    }
}
