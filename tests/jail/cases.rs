//! What is tried by system calls, and what must become of each try.

use libc::{
    AF_INET, AF_NETLINK, AF_PACKET, AF_UNIX, AT_FDCWD, O_CREAT, O_PATH, O_RDONLY, O_RDWR, O_TMPFILE, O_TRUNC, O_WRONLY,
    SOCK_DGRAM, SOCK_STREAM,
};
use reelmill::job::ErrorKind;

use crate::attack::{Arg, Attack};
use crate::direct::World;

/// What becomes of an attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The calls were answered like this, and the worker lived.
    Told(&'static str),
    /// The run failed like this, with this in its message.
    Fails(ErrorKind, &'static str),
}

pub use End::{Fails, Told};

/// An attack and its ends.
pub struct Case {
    pub name: &'static str,
    pub attack: fn(&World) -> Attack,
    pub end: End,
    /// What the same comes to with no jail, where that can be tried without harm: that the attack is a real one.
    pub open: Option<&'static str>,
}

/// Death by this system call.
pub const fn dies(call: &'static str) -> End {
    Fails(ErrorKind::JailViolation, call)
}

const fn case(name: &'static str, attack: fn(&World) -> Attack, end: End) -> Case {
    Case {
        name,
        attack,
        end,
        open: None,
    }
}

impl Case {
    const fn open(mut self, told: &'static str) -> Self {
        self.open = Some(told);
        self
    }
}

macro_rules! calls {
    ($([$number:expr $(, $argument:expr)*]),+ $(,)?) => {
        Attack::Calls(vec![$(($number, vec![$(Arg::from($argument)),*])),+])
    };
}

macro_rules! tries {
    ($name:literal, |$w:pat_param| $([$($part:expr),+]),+ => $end:expr) => {
        case($name, |$w| calls![$([$($part),+]),+], $end)
    };
}

fn mode3() -> i32 {
    O_WRONLY | O_RDWR
}

/// Files, directories, and what is known of them.
pub fn files() -> Vec<Case> {
    use libc::{
        SYS_chdir, SYS_chroot, SYS_copy_file_range, SYS_fallocate, SYS_fchdir, SYS_fchmod, SYS_fchmodat, SYS_fchownat,
        SYS_ftruncate, SYS_getdents64, SYS_inotify_init1, SYS_linkat, SYS_mkdirat, SYS_mknodat, SYS_newfstatat,
        SYS_open_by_handle_at, SYS_openat, SYS_openat2, SYS_readlinkat, SYS_renameat2, SYS_setxattr, SYS_symlinkat,
        SYS_truncate, SYS_unlinkat, SYS_utimensat, SYS_write,
    };
    const HERE: i32 = AT_FDCWD;
    let no = Told("EACCES");
    vec![
        tries!("read /etc/passwd", |_| [SYS_openat, HERE, "/etc/passwd", O_RDONLY] => no).open("ok"),
        tries!("read /etc/shadow", |_| [SYS_openat, HERE, "/etc/shadow", O_RDONLY] => no),
        tries!("read the database", |w| [SYS_openat, HERE, &w.outside("state/reelmill.db"), O_RDONLY] => no).open("ok"),
        tries!("read a private key", |w| [SYS_openat, HERE, &w.outside(".ssh/id_ed25519"), O_RDONLY] => no).open("ok"),
        tries!("read another run's scratch", |_| [SYS_openat, HERE, "../other/film.mp4", O_RDONLY] => no).open("ok"),
        tries!("list another run's scratch", |_| [SYS_openat, HERE, "../other", O_RDONLY] => no).open("ok"),
        tries!("the daemon's environment", |w| [SYS_openat, HERE, &format!("/proc/{}/environ", w.daemon), O_RDONLY] => no)
            .open("ok"),
        tries!("the daemon's memory", |w| [SYS_openat, HERE, &format!("/proc/{}/mem", w.daemon), O_RDWR] => no),
        tries!("the daemon's open files", |w| [SYS_openat, HERE, &format!("/proc/{}/fd/0", w.daemon), O_RDONLY] => no),
        tries!("its own environment", |_| [SYS_openat, HERE, "/proc/self/environ", O_RDONLY] => no).open("ok"),
        tries!("its own memory", |_| [SYS_openat, HERE, "/proc/self/mem", O_RDWR] => no).open("ok"),
        tries!("a disk", |w| [SYS_openat, HERE, w.device, O_RDONLY] => no),
        tries!("shared memory", |_| [SYS_openat, HERE, "/dev/shm/reelmill", O_CREAT | O_RDWR, 0o600] => no),
        tries!("create in /tmp", |_| [SYS_openat, HERE, "/tmp/reelmill-escaped", O_CREAT | O_WRONLY, 0o600] => no),
        tries!("create beside scratch", |_| [SYS_openat, HERE, "../new", O_CREAT | O_WRONLY, 0o600] => no).open("ok"),
        tries!("write a file outside", |w| [SYS_openat, HERE, &w.secret, O_WRONLY] => no).open("ok"),
        tries!("truncate by a path", |w| [SYS_truncate, &w.secret, 0] => Told("ENOSYS")).open("ok"),
        tries!("truncate by opening for reading", |w| [SYS_openat, HERE, &w.secret, O_RDONLY | O_TRUNC] => no).open("ok"),
        tries!("truncate by opening for neither", |w| [SYS_openat, HERE, &w.secret, mode3() | O_TRUNC] => no).open("ok"),
        tries!("open for neither", |w| [SYS_openat, HERE, &w.secret, mode3()] => no).open("ok"),
        tries!("truncate what may be read", |w| [SYS_openat, HERE, &w.granted, O_RDONLY | O_TRUNC] => no).open("ok"),
        tries!("truncate what may be read, for neither", |w| [SYS_openat, HERE, &w.granted, mode3() | O_TRUNC] => no)
            .open("ok"),
        tries!("write what may be read", |w| [SYS_openat, HERE, &w.granted, O_RDWR] => no).open("ok"),
        tries!("read what was granted", |w| [SYS_openat, HERE, &w.granted, O_RDONLY] => Told("ok")).open("ok"),
        tries!("a nameless file outside", |w| [SYS_openat, HERE, &w.outside(""), O_TMPFILE | O_RDWR, 0o600] =>
            
            Told("EOPNOTSUPP")).open("ok"),
        tries!("a nameless file in scratch", |_| [SYS_openat, HERE, ".", O_TMPFILE | O_RDWR, 0o600] => Told("EOPNOTSUPP"))
            .open("ok"),
        tries!("a file that gives its owner's rights", |_| [SYS_openat, HERE, "root", O_CREAT | O_RDWR, 0o4755] =>
            Told("EPERM")).open("ok"),
        tries!("openat2", |w| [SYS_openat2, HERE, &w.secret, vec![0; 24], 24] => Told("ENOSYS")).open("ok"),
        tries!("walk out by a path", |w| [SYS_openat, HERE, &w.outside(""), O_PATH],
            [SYS_openat, Arg::Last, "secret", O_RDONLY] => Told("ok EACCES")).open("ok ok"),
        tries!("list by a path", |w| [SYS_openat, HERE, &w.outside(""), O_PATH],
            [SYS_getdents64, Arg::Last, vec![0; 4096], 4096] => Told("ok EBADF")),
        tries!("go elsewhere", |_| [SYS_chdir, "/"], [SYS_openat, HERE, "..", O_PATH], [SYS_fchdir, Arg::Last] =>
            Told("ENOSYS ok ENOSYS")).open("ok ok ok"),
        // What there is, how large and how old can be learnt: neither Landlock nor an argument of a call tells these apart.
        tries!("look at a file outside", |w| [SYS_newfstatat, HERE, &w.secret, vec![0; 256], 0] => Told("ok")).open("ok"),
        tries!("where the daemon is", |w| [SYS_readlinkat, HERE, &format!("/proc/{}/cwd", w.daemon), vec![0; 256], 256] =>
            no).open("ok"),
        tries!("take a file in", |w| [SYS_renameat2, HERE, &w.secret, HERE, "taken", 0] => no).open("ok"),
        tries!("put a file out", |_| [SYS_openat, HERE, "mine", O_CREAT | O_WRONLY, 0o600],
            [SYS_renameat2, HERE, "mine", HERE, "../new", 0] => Told("ok EACCES")).open("ok ok"),
        tries!("exchange a file", |w| [SYS_openat, HERE, "mine", O_CREAT | O_WRONLY, 0o600],
            [SYS_renameat2, HERE, "mine", HERE, &w.secret, 2] => Told("ok EACCES")).open("ok ok"),
        tries!("rename outside", |w| [SYS_renameat2, HERE, &w.secret, HERE, &w.outside("b"), 0] => no).open("ok"),
        tries!("another name for a file", |w| [SYS_linkat, HERE, &w.secret, HERE, "link", 0] => Told("ENOSYS")).open("ok"),
        tries!("a link in scratch", |w| [SYS_symlinkat, &w.secret, HERE, "link"] => Told("ENOSYS")).open("ok"),
        tries!("a pipe in scratch", |_| [SYS_mknodat, HERE, "pipe", libc::S_IFIFO | 0o600, 0] => dies("mknodat")).open("ok"),
        tries!("a socket in scratch", |_| [SYS_mknodat, HERE, "sock", libc::S_IFSOCK | 0o600, 0] => dies("mknodat")),
        tries!("a directory in scratch", |_| [SYS_mkdirat, HERE, "deep", 0o700] => no).open("ok"),
        tries!("a directory outside", |w| [SYS_mkdirat, HERE, &w.outside("deep"), 0o700] => no).open("ok"),
        tries!("remove a file outside", |w| [SYS_unlinkat, HERE, &w.secret, 0] => no).open("ok"),
        tries!("remove a directory outside", |w| [SYS_unlinkat, HERE, &w.outside("empty"), libc::AT_REMOVEDIR] => no)
            .open("ok"),
        tries!("change a mode", |w| [SYS_fchmodat, HERE, &w.secret, 0o777] => Told("ENOSYS")).open("ok"),
        tries!("change the source's mode", |_| [SYS_fchmod, 4, 0o777] => Told("ENOSYS")).open("ok"),
        tries!("change an owner", |w| [SYS_fchownat, HERE, &w.secret, 65_534, 65_534, 0] => Told("ENOSYS")),
        tries!("change times", |w| [SYS_utimensat, HERE, &w.secret, 0, 0] => Told("ENOSYS")).open("ok"),
        tries!("attributes", |w| [SYS_setxattr, &w.secret, "user.x", "y", 1, 0] => Told("ENOSYS")),
        tries!("write into the source", |_| [SYS_write, 4, "x", 1], [SYS_ftruncate, 4, 0] => Told("EBADF EINVAL")),
        tries!("copy into the source", |_| [SYS_openat, HERE, "mine", O_CREAT | O_RDWR, 0o600],
            [SYS_copy_file_range, Arg::Last, 0, 4, 0, 1, 0] => Told("ok EBADF")),
        tries!("room that no length shows", |_| [SYS_openat, HERE, "mine", O_CREAT | O_RDWR, 0o600],
            [SYS_fallocate, Arg::Last, 1, 0, 1 << 20] => Told("ok EOPNOTSUPP")).open("ok ok"),
        tries!("files by their handles", |_| [SYS_open_by_handle_at, HERE, vec![0; 128], 0] => dies("open_by_handle_at")),
        tries!("chroot", |_| [SYS_chroot, "."] => dies("chroot")),
        tries!("watch files", |_| [SYS_inotify_init1, 0] => Told("ENOSYS")).open("ok"),
    ]
}

/// The older forms of calls for files.
#[cfg(target_arch = "x86_64")]
pub fn old_files() -> Vec<Case> {
    let no = Told("EACCES");
    let none = Told("ENOSYS");
    vec![
        tries!("open", |w| [libc::SYS_open, &w.secret, O_RDWR] => no).open("ok"),
        tries!("open, truncating", |w| [libc::SYS_open, &w.secret, O_RDONLY | O_TRUNC] => none).open("ok"),
        tries!("open for neither, truncating", |w| [libc::SYS_open, &w.secret, mode3() | O_TRUNC] => none).open("ok"),
        tries!("open, creating with privileges", |_| [libc::SYS_open, "root", O_CREAT | O_RDWR, 0o4755] => none),
        tries!("creat", |w| [libc::SYS_creat, &w.secret, 0o600] => none).open("ok"),
        tries!("rename", |w| [libc::SYS_rename, &w.secret, "mine"] => no).open("ok"),
        tries!("unlink", |w| [libc::SYS_unlink, &w.secret] => no).open("ok"),
        tries!("rmdir", |w| [libc::SYS_rmdir, &w.outside("empty")] => none).open("ok"),
        tries!("link", |w| [libc::SYS_link, &w.secret, "mine"] => none).open("ok"),
        tries!("symlink", |w| [libc::SYS_symlink, &w.secret, "mine"] => none).open("ok"),
        tries!("mkdir", |_| [libc::SYS_mkdir, "deep", 0o700] => no).open("ok"),
        tries!("mknod", |_| [libc::SYS_mknod, "pipe", libc::S_IFIFO | 0o600, 0] => dies("mknod")).open("ok"),
        tries!("chmod", |w| [libc::SYS_chmod, &w.secret, 0o777] => none).open("ok"),
        tries!("chown", |w| [libc::SYS_chown, &w.secret, 65_534, 65_534] => none),
        tries!("utimes", |w| [libc::SYS_utimes, &w.secret, 0] => none).open("ok"),
    ]
}

#[cfg(not(target_arch = "x86_64"))]
pub fn old_files() -> Vec<Case> {
    Vec::new()
}

/// Sockets and whom they reach.
pub fn network() -> Vec<Case> {
    use libc::{SYS_bind, SYS_connect, SYS_getsockopt, SYS_sendto, SYS_setsockopt, SYS_socket, SYS_socketpair};
    let no = Told("EPERM");
    vec![
        tries!("TCP", |_| [SYS_socket, AF_INET, SOCK_STREAM, 0] => no),
        tries!("TCP to a listener", |w| [SYS_socket, AF_INET, SOCK_STREAM, 0], [SYS_connect, Arg::Last, w.tcp(), 16] =>
            Told("EPERM ENOSYS")).open("ok ok"),
        tries!("UDP", |w| [SYS_socket, AF_INET, SOCK_DGRAM, 0], [SYS_sendto, Arg::Last, "x", 1, 0, w.udp(), 16] =>
            Told("EPERM ENOTSOCK")).open("ok ok"),
        tries!("the daemon's API", |w| [SYS_socket, AF_UNIX, SOCK_STREAM, 0], [SYS_connect, Arg::Last, w.api(), 110] =>
            Told("EPERM ENOSYS")).open("ok ok"),
        tries!("netlink", |_| [SYS_socket, AF_NETLINK, libc::SOCK_RAW, 0] => no).open("ok"),
        tries!("raw packets", |_| [SYS_socket, AF_PACKET, libc::SOCK_RAW, 0] => no),
        tries!("virtual machines' sockets", |_| [SYS_socket, libc::AF_VSOCK, SOCK_STREAM, 0] => no),
        tries!("a pair of datagram sockets", |w| [SYS_socketpair, AF_UNIX, SOCK_DGRAM, 0, vec![0; 8]],
            [SYS_sendto, 5, "x", 1, 0, w.named(), 110] => Told("ENOSYS EBADF")),
        tries!("a pair of packet sockets", |_| [SYS_socketpair, AF_UNIX, libc::SOCK_SEQPACKET, 0, vec![0; 8]] =>
            Told("ENOSYS")).open("ok"),
        tries!("the control socket to somebody else", |w| [SYS_sendto, 3, "x", 1, 0, w.named(), 110] => Told("EISCONN"))
            .open("EISCONN"),
        tries!("the control socket elsewhere", |w| [SYS_connect, 3, w.api(), 110], [SYS_bind, 3, w.named(), 110] =>
            Told("ENOSYS ENOSYS")),
        tries!("options of sockets", |_| [SYS_setsockopt, 3, libc::SOL_SOCKET, libc::SO_PASSCRED, vec![1, 0, 0, 0], 4] =>
            Told("ENOSYS")).open("ok"),
        // SO_PEERPIDFD: a handle on the daemon, from the socket to it. Nothing can be done with it.
        tries!("a handle on the daemon", |_| [SYS_getsockopt, 3, libc::SOL_SOCKET, 77, vec![0; 4], vec![4, 0, 0, 0]],
            [libc::SYS_pidfd_send_signal, 5, 0, 0, 0] => dies("pidfd_send_signal")),
        tries!("the daemon's descriptors", |_| [libc::SYS_pidfd_getfd, 5, 0, 0] => dies("pidfd_getfd")),
        case("a descriptor to the daemon", |_| Attack::PassDescriptor, Fails(ErrorKind::Protocol, "strangely")),
    ]
}

/// Other processes, above all the daemon.
pub fn processes() -> Vec<Case> {
    vec![
        tries!("execve", |_| [libc::SYS_execve, "/bin/true", 0, 0] => dies("execve")),
        tries!("execveat", |_| [libc::SYS_execveat, AT_FDCWD, "/bin/true", 0, 0, 0] => dies("execveat")),
        tries!("clone", |_| [libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0] => dies("clone")),
        tries!("clone into a user namespace", |_| [libc::SYS_clone, 0x1001_0000 | libc::CLONE_VM, 0, 0, 0, 0] =>
            dies("clone")),
        tries!("clone3", |_| [libc::SYS_clone3, vec![0; 88], 88] => Told("ENOSYS")),
        tries!("unshare", |_| [libc::SYS_unshare, libc::CLONE_NEWUSER] => dies("unshare")),
        tries!("setns", |_| [libc::SYS_setns, 3, 0] => dies("setns")),
        tries!("be traced", |_| [libc::SYS_ptrace, 0, 0, 0, 0] => dies("ptrace")),
        tries!("trace the daemon", |w| [libc::SYS_ptrace, 16, w.daemon, 0, 0] => dies("ptrace")),
        tries!("the daemon's memory", |w| [libc::SYS_process_vm_readv, w.daemon, 0, 0, 0, 0, 0] => dies("process_vm_readv")),
        tries!("write the daemon's memory", |w| [libc::SYS_process_vm_writev, w.daemon, 0, 0, 0, 0, 0] =>
            dies("process_vm_writev")),
        tries!("a signal to the daemon", |w| [libc::SYS_kill, w.daemon, 0] => dies("kill")).open("ok"),
        tries!("a signal to all", |_| [libc::SYS_kill, -1, 0] => dies("kill")),
        tries!("a signal to the group", |_| [libc::SYS_kill, 0, 0] => dies("kill")).open("ok"),
        tries!("a signal to a thread of the daemon", |w| [libc::SYS_tgkill, w.daemon, w.daemon, 0] => dies("tgkill"))
            .open("ok"),
        tries!("tkill", |w| [libc::SYS_tkill, w.daemon, 0] => dies("tkill")).open("ok"),
        tries!("a queued signal", |w| [libc::SYS_rt_sigqueueinfo, w.daemon, 0, vec![0; 128]] => dies("rt_sigqueueinfo")),
        tries!("signals by a descriptor", |w| [libc::SYS_fcntl, 3, libc::F_SETOWN, w.daemon] => Told("ENOSYS"))
            .open("ok"),
        tries!("signals by an ioctl", |_| [libc::SYS_ioctl, 3, 0x8901, vec![0; 8]] => Told("ENOTTY")).open("ok"),
        tries!("a lease on the source", |_| [libc::SYS_fcntl, 4, libc::F_SETLEASE, 0] => Told("ENOSYS")).open("ok"),
        tries!("pidfd_open", |w| [libc::SYS_pidfd_open, w.daemon, 0] => dies("pidfd_open")).open("ok"),
        tries!("another's limits", |w| [libc::SYS_prlimit64, w.daemon, 7, vec![0xff; 16], 0] => Told("EPERM")),
        tries!("its own limits", |_| [libc::SYS_prlimit64, 0, 7, vec![0xff; 16], 0] => Told("EPERM")),
        tries!("the length of its files", |_| [libc::SYS_prlimit64, 0, 1, vec![0xff; 16], 0] => Told("EPERM")),
        tries!("setrlimit", |_| [libc::SYS_setrlimit, 7, vec![1; 16]] => Told("ENOSYS")),
        tries!("its priority", |_| [libc::SYS_setpriority, 0, 0, -20] => Told("ENOSYS")),
        tries!("its processors", |_| [libc::SYS_sched_setaffinity, 0, 8, vec![0xff; 8]] => Told("EPERM")),
        tries!("a session of its own", |_| [libc::SYS_setsid], [libc::SYS_setpgid, 0, 0] => Told("ENOSYS ENOSYS")),
        tries!("outlive the daemon", |_| [libc::SYS_prctl, libc::PR_SET_PDEATHSIG, 0] => Told("ENOSYS")).open("ok"),
    ]
}

/// Everything else of the kernel.
pub fn kernel() -> Vec<Case> {
    let none = Told("ENOSYS");
    let mut all = vec![
        tries!("a user of its choice", |_| [libc::SYS_setuid, 0] => dies("setuid")),
        tries!("setresuid", |_| [libc::SYS_setresuid, 0, 0, 0] => dies("setresuid")),
        tries!("capset", |_| [libc::SYS_capset, 0, 0] => dies("capset")),
        tries!("personality", |_| [libc::SYS_personality, 0x0040_0000] => dies("personality")),
        tries!("io_uring", |_| [libc::SYS_io_uring_setup, 8, vec![0; 120]] => dies("io_uring_setup")),
        tries!("bpf", |_| [libc::SYS_bpf, 0, vec![0; 128], 128] => dies("bpf")),
        tries!("perf", |_| [libc::SYS_perf_event_open, vec![0; 128], 0, -1, -1, 0] => dies("perf_event_open")),
        tries!("userfaultfd", |_| [libc::SYS_userfaultfd, 0] => dies("userfaultfd")),
        tries!("keyctl", |_| [libc::SYS_keyctl, 0, 0, 0, 0] => dies("keyctl")),
        tries!("add_key", |_| [libc::SYS_add_key, "user", "x", "y", 1, 0] => dies("add_key")),
        tries!("mount", |_| [libc::SYS_mount, "none", ".", "tmpfs", 0, 0] => dies("mount")),
        tries!("move_mount", |_| [libc::SYS_move_mount, 0, 0, 0, 0, 0] => dies("move_mount")),
        tries!("fsopen", |_| [libc::SYS_fsopen, "tmpfs", 0] => dies("fsopen")),
        tries!("pivot_root", |_| [libc::SYS_pivot_root, ".", "."] => dies("pivot_root")),
        tries!("init_module", |_| [libc::SYS_init_module, 0, 0, 0] => dies("init_module")),
        tries!("reboot", |_| [libc::SYS_reboot, 0, 0, 0, 0] => dies("reboot")),
        tries!("swapoff", |_| [libc::SYS_swapoff, 0] => dies("jail forbids")),
        tries!("another filter", |_| [libc::SYS_seccomp, 1, 0, 0] => dies("seccomp")),
        tries!("another filter, the old way", |_| [libc::SYS_prctl, libc::PR_SET_SECCOMP, 2, 0] => none),
        tries!("another Landlock", |_| [libc::SYS_landlock_create_ruleset, vec![1; 8], 8, 0] => dies("landlock_create_ruleset")),
        tries!("memory as a file", |_| [libc::SYS_memfd_create, "x", 0] => Told("EPERM")).open("ok"),
        tries!("secret memory", |_| [libc::SYS_memfd_secret, 0] => dies("memfd_secret")),
        tries!("type on a terminal", |_| [libc::SYS_ioctl, 0, 0x5412, "x"] => Told("ENOTTY")),
        tries!("shared memory", |_| [libc::SYS_shmget, 0, 4096, 0o1600] => none),
        tries!("message queues", |_| [libc::SYS_mq_open, "x", 0o102, 0o600, 0], [libc::SYS_msgget, 0, 0o1600] =>
            Told("ENOSYS ENOSYS")),
        tries!("semaphores", |_| [libc::SYS_semget, 0, 1, 0o1600] => none),
        tries!("lock its memory", |_| [libc::SYS_mlockall, 3] => none),
        tries!("timers", |_| [libc::SYS_timer_create, 0, 0, vec![0; 8]] => none),
        tries!("the signal of the trap", |_| [libc::SYS_rt_sigaction, libc::SIGSYS, vec![0; 32], 0, 8],
            [libc::SYS_execve, 0, 0, 0] => dies("execve")),
        tries!("a call of next year", |_| [499], [libc::SYS_getpid] => Told("ENOSYS ok")).open("ENOSYS ok"),
        tries!("a call far beyond", |_| [0x3fff_ffff] => none),
        case("a blocked signal", |_| Attack::BlockTheSignal, dies("jail forbids")),
        case("a 32-bit call", |_| Attack::OldProcessor, dies("jail forbids")),
    ];
    #[cfg(target_arch = "x86_64")]
    all.extend([
        tries!("fork", |_| [libc::SYS_fork] => dies("fork")),
        tries!("vfork", |_| [libc::SYS_vfork] => dies("vfork")),
        tries!("x32", |_| [0x4000_0000 + libc::SYS_execve, "/bin/true", 0, 0] => none),
        tries!("x32 execve", |_| [0x4000_0000 + 520, "/bin/true", 0, 0] => none),
        tries!("iopl", |_| [libc::SYS_iopl, 3] => dies("iopl")),
        tries!("modify_ldt", |_| [libc::SYS_modify_ldt, 0, 0, 0] => dies("modify_ldt")),
    ]);
    all
}

/// Memory that is written and run.
pub fn code(strict: bool) -> Vec<Case> {
    let (whole, part) = if strict {
        (Told("EACCES"), Told("ok EACCES"))
    } else {
        (Told("ok"), Told("ok ok"))
    };
    vec![
        tries!("map to write and run", |_| [libc::SYS_mmap, 0, 4096, 7, 0x22, -1, 0] => whole).open("ok"),
        tries!("make runnable", |_| [libc::SYS_mmap, 0, 4096, 3, 0x22, -1, 0], [libc::SYS_mprotect, Arg::Last, 4096, 5] =>
            part).open("ok ok"),
    ]
}

/// With `allow = ["network"]`.
pub fn granted_network() -> Vec<Case> {
    use libc::{SYS_connect, SYS_openat, SYS_sendto, SYS_socket};
    vec![
        tries!("TCP to a listener", |w| [SYS_socket, AF_INET, SOCK_STREAM, 0], [SYS_connect, Arg::Last, w.tcp(), 16] =>
            Told("ok ok")),
        tries!("UDP", |w| [SYS_socket, AF_INET, SOCK_DGRAM, 0], [SYS_sendto, Arg::Last, "x", 1, 0, w.udp(), 16] =>
            Told("ok ok")),
        tries!("files stay shut", |w| [SYS_openat, AT_FDCWD, &w.secret, O_RDONLY] => Told("EACCES")),
        tries!("the daemon's API", |w| [SYS_socket, AF_UNIX, SOCK_STREAM, 0], [SYS_connect, 5, w.api(), 110] =>
            Told("EPERM EBADF")),
        tries!("a named datagram socket", |_| [SYS_socket, AF_UNIX, SOCK_DGRAM, 0] => Told("EPERM")),
        tries!("netlink", |_| [SYS_socket, AF_NETLINK, libc::SOCK_RAW, 0] => Told("EPERM")),
        tries!("raw packets", |_| [SYS_socket, AF_PACKET, libc::SOCK_RAW, 0] => Told("EPERM")),
        tries!("exec", |_| [libc::SYS_execve, "/bin/true", 0, 0] => dies("execve")),
    ]
}

/// With a device in `allow`.
pub fn granted_device() -> Vec<Case> {
    use libc::SYS_ioctl;
    vec![
        tries!("the device", |_| [libc::SYS_openat, AT_FDCWD, "/dev/zero", O_RDWR] => Told("ok")),
        tries!("another device", |w| [libc::SYS_openat, AT_FDCWD, w.device, O_RDONLY] => Told("EACCES")),
        tries!("signals by an ioctl", |w| [SYS_ioctl, 3, 0x8901, w.pid()] => Told("ENOTTY")),
        tries!("signals by another", |w| [SYS_ioctl, 3, 0x8902, w.pid()] => Told("ENOTTY")),
        tries!("type on a terminal", |_| [SYS_ioctl, 0, 0x5412, "x"] => Told("ENOTTY")),
    ]
}
