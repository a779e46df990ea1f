//! Which system calls a worker may make.
//!
//! Three sorts. What media need passes, some of it with certain arguments only. What libraries try and can do without
//! is answered with the error that they expect. Everything else is trapped: what only an attacker would try ends the
//! process, and what is merely unknown, perhaps because a library is newer than this list, is answered with `ENOSYS` and
//! counted (`violation`).

use std::collections::BTreeMap;

use libc::{EACCES, ENOSYS, ENOTSOCK, ENOTTY, EOPNOTSUPP, EPERM};
use seccompiler::{
    SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
    apply_filter,
};

use super::Terms;
use crate::config::Jail;

/// A system call with its name.
pub(super) struct Call {
    pub number: i64,
    pub name: &'static str,
}

macro_rules! calls {
    ($($name:ident)*) => { &[$(Call { number: libc::$name, name: stringify!($name) }),*] };
}

/// Memory, threads, time, and what is open already.
const ALLOWED: &[Call] = calls![
    SYS_read SYS_write SYS_readv SYS_writev SYS_pread64 SYS_pwrite64 SYS_preadv SYS_pwritev SYS_preadv2 SYS_pwritev2
    SYS_lseek SYS_fstat SYS_newfstatat SYS_ftruncate SYS_fsync SYS_fdatasync SYS_fadvise64
    SYS_sync_file_range SYS_close SYS_dup SYS_dup3 SYS_unlinkat SYS_renameat SYS_renameat2 SYS_mkdirat SYS_getdents64
    SYS_faccessat SYS_faccessat2 SYS_readlinkat SYS_statfs SYS_fstatfs SYS_getcwd SYS_flock SYS_copy_file_range
    SYS_munmap SYS_mremap SYS_brk SYS_madvise SYS_membarrier SYS_mincore
    SYS_futex SYS_futex_waitv SYS_rseq SYS_set_robust_list SYS_get_robust_list SYS_set_tid_address
    SYS_rt_sigaction SYS_rt_sigprocmask SYS_rt_sigreturn SYS_rt_sigpending SYS_rt_sigtimedwait SYS_sigaltstack
    SYS_restart_syscall
    SYS_clock_gettime SYS_clock_getres SYS_clock_nanosleep SYS_nanosleep SYS_gettimeofday SYS_times SYS_getrusage
    SYS_sched_yield SYS_sched_getaffinity SYS_sched_getparam SYS_sched_getscheduler SYS_sched_get_priority_max
    SYS_sched_get_priority_min SYS_getpriority
    SYS_ppoll SYS_pselect6 SYS_epoll_create1 SYS_epoll_ctl SYS_epoll_pwait SYS_epoll_pwait2 SYS_eventfd2 SYS_pipe2
    SYS_sendmsg SYS_recvmsg SYS_sendto SYS_recvfrom SYS_shutdown SYS_getsockopt
    SYS_getrandom SYS_getpid SYS_gettid SYS_getppid SYS_getuid SYS_geteuid SYS_getgid SYS_getegid SYS_getcpu SYS_uname
    SYS_sysinfo SYS_exit SYS_exit_group
];

/// Older forms of the same, where the processor's list has them.
#[cfg(target_arch = "x86_64")]
const ALLOWED_OLD: &[Call] = calls![
    SYS_stat SYS_lstat SYS_access SYS_readlink SYS_unlink SYS_rename SYS_mkdir SYS_dup2 SYS_pipe SYS_poll SYS_select
    SYS_epoll_create SYS_epoll_wait SYS_eventfd SYS_getdents SYS_time SYS_getrlimit SYS_arch_prctl
];
#[cfg(not(target_arch = "x86_64"))]
const ALLOWED_OLD: &[Call] = &[];

/// What only an attacker would try.
pub(super) const HOSTILE: &[Call] = calls![
    SYS_execve SYS_execveat SYS_ptrace SYS_process_vm_readv SYS_process_vm_writev SYS_process_madvise SYS_kcmp
    SYS_pidfd_open SYS_pidfd_getfd SYS_pidfd_send_signal SYS_rt_sigqueueinfo SYS_rt_tgsigqueueinfo SYS_tkill
    SYS_mount SYS_umount2 SYS_pivot_root SYS_chroot SYS_move_mount SYS_open_tree SYS_fsopen SYS_fsmount SYS_mount_setattr
    SYS_unshare SYS_setns SYS_bpf SYS_perf_event_open SYS_io_uring_setup SYS_io_uring_enter SYS_io_uring_register
    SYS_userfaultfd SYS_kexec_load SYS_keyctl SYS_add_key SYS_request_key
    SYS_init_module SYS_finit_module SYS_delete_module SYS_reboot SYS_swapon SYS_acct SYS_quotactl
    SYS_settimeofday SYS_clock_settime SYS_adjtimex SYS_clock_adjtime SYS_sethostname SYS_setdomainname
    SYS_setuid SYS_setgid SYS_setreuid SYS_setregid SYS_setresuid SYS_setresgid SYS_setgroups SYS_setfsuid SYS_setfsgid
    SYS_capset SYS_personality SYS_mknodat SYS_open_by_handle_at SYS_name_to_handle_at SYS_fanotify_init
    SYS_memfd_secret SYS_landlock_create_ruleset SYS_landlock_add_rule SYS_landlock_restrict_self SYS_seccomp
    SYS_kill SYS_tgkill SYS_clone
];

/// On their own processors.
#[cfg(target_arch = "x86_64")]
pub(super) const HOSTILE_OLD: &[Call] = calls![
    SYS_fork SYS_vfork SYS_iopl SYS_ioperm SYS_modify_ldt SYS_kexec_file_load SYS_mknod SYS_uselib SYS_ustat
];
#[cfg(not(target_arch = "x86_64"))]
pub(super) const HOSTILE_OLD: &[Call] = &[];

/// Ends the process at once.
pub(super) const DEADLY: i64 = libc::SYS_swapoff;

/// Called by name in reports, where a library tries them.
pub(super) const KNOWN: &[Call] = calls![
    SYS_truncate SYS_linkat SYS_symlinkat SYS_fchmod SYS_fchmodat SYS_fchown SYS_fchownat SYS_utimensat SYS_setxattr
    SYS_fsetxattr SYS_getxattr SYS_splice SYS_tee SYS_vmsplice SYS_sendfile SYS_inotify_init1 SYS_timerfd_create
    SYS_timer_create SYS_setitimer SYS_mlock SYS_munlock SYS_mlockall SYS_mbind SYS_get_mempolicy SYS_set_mempolicy
    SYS_shmget SYS_shmat SYS_semget SYS_msgget SYS_mq_open SYS_setpriority SYS_ioprio_set SYS_setsid SYS_setpgid
    SYS_getpgid SYS_getsid SYS_wait4 SYS_waitid SYS_chdir SYS_fchdir SYS_openat2 SYS_close_range SYS_pkey_alloc
    SYS_pkey_mprotect SYS_capget SYS_syslog SYS_accept4 SYS_bind SYS_connect SYS_listen SYS_setsockopt SYS_getsockname
    SYS_setrlimit
];

/// Taken back: answered with an error that libraries expect there and live with.
const ANSWERED: &[(i32, &[Call])] = &[
    // What has an older form that can be looked into.
    (ENOSYS, calls![SYS_clone3 SYS_statx]),
    (ENOTTY, calls![SYS_ioctl]),
    (
        EPERM,
        calls![SYS_memfd_create SYS_sched_setattr SYS_sched_getattr SYS_sched_setparam SYS_sched_setscheduler SYS_sched_setaffinity],
    ),
    // What all may write to is not a worker's to say; the maker of pixel loops asks beside its temporary files.
    (EPERM, calls![SYS_umask]),
    (ENOTSOCK, calls![SYS_getpeername]),
    // Takes room that no length shows, and more in an instant than could be written.
    (EOPNOTSUPP, calls![SYS_fallocate]),
];

/// What a device is steered with never: descriptors that send signals to others, and typing on a terminal.
const FORBIDDEN_STEERING: [u64; 5] = [
    0x8901, // FIOSETOWN
    0x8902, // SIOCSPGRP
    0x5452, // FIOASYNC
    0x5412, // TIOCSTI
    0x541c, // TIOCLINUX
];

/// With `network`; files and name service are Landlock's matter.
const NETWORK: &[Call] = calls![
    SYS_socket SYS_connect SYS_bind SYS_listen SYS_accept4 SYS_getsockname SYS_getpeername SYS_setsockopt SYS_sendmmsg
    SYS_recvmmsg
];

/// `PR_SET_VMA`: names a piece of memory.
const SET_VMA: u64 = 0x5356_4d41;

/// `O_TMPFILE` without the flag for directories that is part of it.
const NAMELESS: i32 = libc::O_TMPFILE & !libc::O_DIRECTORY;

type Rules = BTreeMap<i64, Vec<SeccompRule>>;
type Outcome<T> = Result<T, String>;

/// Installs the filters; the one that forbids installing others comes last.
pub(super) fn shut(terms: &Terms) -> Outcome<()> {
    let devices = !terms.grants.devices.is_empty();
    let network = terms.grants.network;
    let mut answered: BTreeMap<i32, Rules> = BTreeMap::new();
    for (error, calls) in ANSWERED {
        for call in *calls {
            let used = (network && call.number == libc::SYS_getpeername) || (devices && call.number == libc::SYS_ioctl);
            if !used {
                answered.entry(*error).or_default().insert(call.number, Vec::new());
            }
        }
    }
    if network {
        // Other families reach what no Landlock shuts: sockets of this machine that have names in its file system.
        let elsewhere = [differs(0, word(libc::AF_INET)?)?, differs(0, word(libc::AF_INET6)?)?];
        let rules = answered.entry(EPERM).or_default();
        rules.insert(libc::SYS_socket, vec![when(&elsewhere)?]);
    } else {
        answered.entry(EPERM).or_default().insert(libc::SYS_socket, Vec::new());
    }
    if devices {
        let rules = answered.entry(ENOTTY).or_default();
        rules.insert(libc::SYS_ioctl, any_of(1, &FORBIDDEN_STEERING)?);
    }
    let made = word(libc::O_CREAT)?;
    let privileged = |bit: libc::mode_t| when(&[masked(2, made, made)?, masked(3, u64::from(bit), u64::from(bit))?]);
    let executable = masked(2, word(libc::PROT_EXEC)?, word(libc::PROT_EXEC)?)?;
    let shared = masked(3, word(libc::MAP_SHARED)?, word(libc::MAP_SHARED)?)?;
    let refused: &[(i32, i64, SeccompRule)] = &[
        // Pixel loops that are compiled into a file of the scratch directory would be a crash on a full disk; the maker
        // of them takes plain memory then.
        (EACCES, libc::SYS_mmap, when(&[executable.clone(), shared])?),
        // Whoever handled the signal of the trap could go on as if nothing were.
        (EPERM, libc::SYS_rt_sigaction, when(&[is(0, word(libc::SIGSYS)?)?])?),
        // Truncates what may only be read; older versions of Landlock let that pass.
        (
            EACCES,
            libc::SYS_openat,
            when(&[masked(2, word(libc::O_TRUNC | libc::O_ACCMODE)?, word(libc::O_TRUNC)?)?])?,
        ),
        // Opened neither to read nor to write: Landlock asks for nothing then, and the kernel truncates.
        (
            EACCES,
            libc::SYS_openat,
            when(&[masked(2, word(libc::O_ACCMODE)?, word(libc::O_ACCMODE)?)?])?,
        ),
        // Files without names take room that nobody sees.
        (
            EOPNOTSUPP,
            libc::SYS_openat,
            when(&[masked(2, word(NAMELESS)?, word(NAMELESS)?)?])?,
        ),
        // A result must not run as its owner.
        (EPERM, libc::SYS_openat, privileged(libc::S_ISUID)?),
        (EPERM, libc::SYS_openat, privileged(libc::S_ISGID)?),
        (EPERM, libc::SYS_openat, privileged(libc::S_ISVTX)?),
        (EPERM, libc::SYS_prlimit64, when(&[not(2, 0)?])?),
    ];
    for (error, number, rule) in refused {
        let rules = answered.entry(*error).or_default();
        rules.entry(*number).or_default().push(rule.clone());
    }
    if terms.jail == Jail::Strict {
        for number in [libc::SYS_mmap, libc::SYS_mprotect] {
            let rules = answered.entry(EACCES).or_default();
            rules
                .entry(number)
                .or_default()
                .push(when(std::slice::from_ref(&executable))?);
        }
    }
    let passing = passing(terms, &answered)?;
    let deadly = Rules::from([(DEADLY, Vec::new())]);
    install(deadly, SeccompAction::Allow, SeccompAction::KillProcess)?;
    for (error, rules) in answered {
        let error = u32::try_from(error).map_err(|error| error.to_string())?;
        install(rules, SeccompAction::Allow, SeccompAction::Errno(error))?;
    }
    install(passing, SeccompAction::Trap, SeccompAction::Allow)
}

/// What is not trapped. Of several filters the hardest answer counts, so what another one answers passes here.
fn passing(terms: &Terms, answered: &BTreeMap<i32, Rules>) -> Outcome<Rules> {
    let mut rules = Rules::new();
    let mut allowed = vec![ALLOWED, ALLOWED_OLD];
    if terms.grants.network {
        allowed.push(NETWORK);
    }
    for call in allowed.into_iter().flatten() {
        rules.insert(call.number, Vec::new());
    }
    for number in answered.values().flat_map(BTreeMap::keys) {
        rules.insert(*number, Vec::new());
    }
    for number in [
        libc::SYS_openat,
        libc::SYS_mmap,
        libc::SYS_mprotect,
        libc::SYS_prlimit64,
        libc::SYS_ioctl,
    ] {
        rules.insert(number, Vec::new());
    }
    #[cfg(target_arch = "x86_64")]
    {
        let plain = word(libc::O_TRUNC | libc::O_CREAT | NAMELESS | libc::O_ACCMODE)?;
        let ways = [libc::O_RDONLY, libc::O_WRONLY, libc::O_RDWR];
        let ways = ways.into_iter().map(|way| when(&[masked(1, plain, word(way)?)?]));
        rules.insert(libc::SYS_open, ways.collect::<Outcome<Vec<_>>>()?);
    }

    let own = u64::from(std::process::id());
    rules.insert(libc::SYS_tgkill, vec![when(&[is(0, own)?])?]);
    rules.insert(libc::SYS_kill, vec![when(&[is(0, own)?])?]);
    // A thread, in the namespaces that it has.
    let thread = word(libc::CLONE_THREAD | libc::CLONE_VM)?;
    let spaces = word(
        libc::CLONE_NEWNS
            | libc::CLONE_NEWCGROUP
            | libc::CLONE_NEWUTS
            | libc::CLONE_NEWIPC
            | libc::CLONE_NEWUSER
            | libc::CLONE_NEWPID
            | libc::CLONE_NEWNET,
    )?;
    rules.insert(libc::SYS_clone, vec![when(&[masked(0, thread | spaces, thread)?])?]);
    // Datagrams could be sent to sockets that others have named.
    let kind = 0xf;
    let pair = [is(0, word(libc::AF_UNIX)?)?, masked(1, kind, word(libc::SOCK_STREAM)?)?];
    rules.insert(libc::SYS_socketpair, vec![when(&pair)?]);
    let names = [word(libc::PR_SET_NAME)?, word(libc::PR_GET_NAME)?, SET_VMA];
    rules.insert(libc::SYS_prctl, any_of(0, &names)?);
    // Not those by which a descriptor sends signals.
    let harmless = [
        libc::F_DUPFD,
        libc::F_GETFD,
        libc::F_SETFD,
        libc::F_GETFL,
        libc::F_SETFL,
        libc::F_GETLK,
        libc::F_SETLK,
        libc::F_SETLKW,
        libc::F_DUPFD_CLOEXEC,
        libc::F_GETPIPE_SZ,
        libc::F_SETPIPE_SZ,
        libc::F_GET_SEALS,
    ];
    let harmless = harmless.into_iter().map(word).collect::<Outcome<Vec<_>>>()?;
    rules.insert(libc::SYS_fcntl, any_of(1, &harmless)?);
    Ok(rules)
}

fn install(rules: Rules, otherwise: SeccompAction, matching: SeccompAction) -> Outcome<()> {
    let processor = TargetArch::try_from(std::env::consts::ARCH).map_err(|error| format!("system calls: {error}"))?;
    let filter = SeccompFilter::new(rules, otherwise, matching, processor);
    let program: seccompiler::BpfProgram = filter
        .and_then(TryInto::try_into)
        .map_err(|error| format!("the filter of system calls: {error}"))?;
    apply_filter(&program).map_err(|error| format!("the filter of system calls was not taken: {error}"))
}

fn word(flags: i32) -> Outcome<u64> {
    u64::try_from(flags).map_err(|error| error.to_string())
}

fn when(conditions: &[SeccompCondition]) -> Outcome<SeccompRule> {
    SeccompRule::new(conditions.to_vec()).map_err(|error| error.to_string())
}

fn any_of(argument: u8, values: &[u64]) -> Outcome<Vec<SeccompRule>> {
    values.iter().map(|value| when(&[is(argument, *value)?])).collect()
}

fn is(argument: u8, value: u64) -> Outcome<SeccompCondition> {
    condition(argument, SeccompCmpOp::Eq, value)
}

fn not(argument: u8, value: u64) -> Outcome<SeccompCondition> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Qword, SeccompCmpOp::Ne, value).map_err(|error| error.to_string())
}

fn differs(argument: u8, value: u64) -> Outcome<SeccompCondition> {
    condition(argument, SeccompCmpOp::Ne, value)
}

fn masked(argument: u8, mask: u64, value: u64) -> Outcome<SeccompCondition> {
    condition(argument, SeccompCmpOp::MaskedEq(mask), value)
}

/// The kernel looks at the lower half of such arguments.
fn condition(argument: u8, operator: SeccompCmpOp, value: u64) -> Outcome<SeccompCondition> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value).map_err(|error| error.to_string())
}
