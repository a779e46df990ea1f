//! Judges the machine: kernel, clock, user, fonts, limits of inotify. What was seen comes in, findings go out.

use super::finding::{Finding, bad, ok, warn};
use crate::cli::exit::Code;
use crate::config::Jail;
use crate::diagnostic::quantity::counted;
use crate::worker::jail;

/// The oldest kernel with every system call that the daemon cannot do without.
const OLDEST_KERNEL: (u32, u32) = (5, 11);

/// No clock that is right shows an earlier year.
const YEAR: i16 = 2026;

/// Open files that the daemon may well need.
const OPEN_FILES: u64 = 1024;

/// Events that may wait before the system drops them.
const QUEUED_EVENTS: u64 = 16_384;

/// inotify instances: one a bucket, and those of other programs of the same user.
const INSTANCES: u64 = 32;

/// What the kernel is and gives.
#[derive(Debug, Clone, Default)]
pub struct Kernel {
    /// As `uname -r` says.
    pub release: String,
    /// Landlock's version; none where there is none.
    pub landlock: Option<u32>,
    /// Filters of system calls.
    pub seccomp: bool,
}

/// Says whether the kernel will do.
pub fn kernel(seen: &Kernel, jail: Jail) -> Finding {
    let what = "kernel";
    let gives = match (seen.landlock, seen.seccomp) {
        (Some(version), true) => format!("Landlock {version} and seccomp"),
        (Some(version), false) => format!("Landlock {version}, no seccomp"),
        (None, true) => "seccomp, no Landlock".to_owned(),
        (None, false) => "neither Landlock nor seccomp".to_owned(),
    };
    let says = format!("Linux {} with {gives}", seen.release);
    if version(&seen.release).is_some_and(|found| found < OLDEST_KERNEL) {
        let (major, minor) = OLDEST_KERNEL;
        return bad(
            Code::Unavailable,
            what,
            says,
            format!("workers need Linux {major}.{minor} or later"),
        );
    }
    if let Err(lacking) = jail::possible(Jail::On, seen.landlock, seen.seccomp) {
        return match jail {
            Jail::Off => warn(what, says, format!("{lacking}; media from strangers belong elsewhere")),
            Jail::On | Jail::Strict => bad(Code::Unavailable, what, says, lacking),
        };
    }
    if jail == Jail::Off {
        return warn(
            what,
            says,
            "the jail is off: take `jail = \"off\"` out of [workers], this kernel can close it",
        );
    }
    ok(what, says)
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// What the clock shows.
#[derive(Debug, Clone, Copy, Default)]
pub struct Clock {
    /// The year.
    pub year: i16,
    /// Whether something keeps it right; none where the system does not say.
    pub synchronised: Option<bool>,
}

/// Says whether the clock is right, as far as that can be seen.
pub fn clock(seen: Clock) -> Finding {
    let what = "clock";
    if !(YEAR..2200).contains(&seen.year) {
        let says = format!("the year is {}", seen.year);
        return bad(Code::Config, what, says, "set it: timedatectl set-ntp true");
    }
    match seen.synchronised {
        Some(true) => ok(what, "synchronised"),
        Some(false) => warn(
            what,
            "nothing keeps it right",
            "timedatectl set-ntp true (in a container or virtual machine: on its host)",
        ),
        None => ok(what, "the system does not say whether it is synchronised"),
    }
}

/// Who asks, and what the system allows.
#[derive(Debug, Clone, Default)]
pub struct User {
    /// The name, or the number where there is none.
    pub name: String,
    /// The number.
    pub uid: u32,
    /// What is taken off the mode of new files.
    pub umask: Option<u32>,
    /// How many files may be open.
    pub open_files: Option<u64>,
}

/// Says who asks, and whether that user's limits will do.
pub fn user(seen: &User) -> Finding {
    let what = "user";
    let files = seen
        .open_files
        .map_or_else(|| "any number of".to_owned(), |most| most.to_string());
    let umask = seen
        .umask
        .map_or_else(String::new, |umask| format!(", umask {umask:04o}"));
    let says = format!("{} ({}){umask}, {files} open files", seen.name, seen.uid);
    if seen.open_files.is_some_and(|most| most < OPEN_FILES) {
        let help = format!("allow {OPEN_FILES} open files or more: `ulimit -n`, or LimitNOFILE= of the service");
        return warn(what, says, help);
    }
    if seen.umask.is_some_and(|umask| umask & 0o044 == 0o044) {
        let help = "results are for this user alone: set UMask= of the service, or `mode` in the rules' [output]";
        return warn(what, says, help);
    }
    ok(what, says)
}

/// Says whether there are fonts.
pub fn fonts(count: u64) -> Finding {
    let what = "fonts";
    match count {
        0 => warn(
            what,
            "none: text in pictures could not be drawn",
            "apt-get install fonts-dejavu-core",
        ),
        some => ok(what, counted(some, "file")),
    }
}

/// The limits of inotify, each none where it cannot be read.
#[derive(Debug, Clone, Copy, Default)]
pub struct Inotify {
    /// Directories that one user may watch.
    pub watches: Option<u64>,
    /// Watchers that one user may have.
    pub instances: Option<u64>,
    /// Events that wait.
    pub queued: Option<u64>,
}

/// Directories below the buckets that are watched.
#[derive(Debug, Clone, Copy, Default)]
pub struct Directories {
    /// How many were counted.
    pub count: u64,
    /// Counting stopped early: there are more.
    pub more: bool,
    /// Buckets on file systems that send events.
    pub buckets: u64,
}

/// Says whether the limits go with what is to be watched.
pub fn inotify(seen: Inotify, needs: Directories) -> Vec<Finding> {
    let (Some(watches), Some(instances), Some(queued)) = (seen.watches, seen.instances, seen.queued) else {
        let says = "its limits cannot be read";
        return vec![warn(
            "inotify",
            says,
            "without it changes are found by listing only (`sweep`)",
        )];
    };
    let counted_so_far = if needs.more { "more than " } else { "" };
    let directories = match needs.count {
        1 if !needs.more => "1 directory".to_owned(),
        many => format!("{counted_so_far}{many} directories"),
    };
    let says = format!("{directories} to watch, {watches} allowed");
    let mut findings = Vec::new();
    // Other programs of this user watch things, too, and directories come.
    let wanted = (needs.count.saturating_mul(4)).max(524_288).next_power_of_two();
    let raise = |name: &str, value: u64| {
        format!(
            "sysctl -w fs.inotify.{name}={value} (and the same into /etc/sysctl.d/60-reelmill.conf, so that it stays)"
        )
    };
    findings.push(if needs.count > watches {
        bad(Code::Temporary, "inotify", says, raise("max_user_watches", wanted))
    } else if needs.more || needs.count > watches / 2 {
        warn("inotify", says, raise("max_user_watches", wanted))
    } else {
        ok("inotify", format!("{says}; {instances} watchers, {queued} events"))
    });
    if instances < needs.buckets {
        let says = format!("{instances} watchers allowed, {} needed", needs.buckets);
        let wanted = INSTANCES.max(needs.buckets.saturating_mul(4)).max(128);
        findings.push(bad(
            Code::Temporary,
            "inotify",
            says,
            raise("max_user_instances", wanted),
        ));
    } else if instances < needs.buckets + INSTANCES {
        let says = format!("{instances} watchers allowed for all programs of a user");
        findings.push(warn("inotify", says, raise("max_user_instances", 128)));
    }
    if queued < QUEUED_EVENTS {
        let says = format!("{queued} events may wait; more at once are found by listing, later");
        findings.push(warn("inotify", says, raise("max_queued_events", QUEUED_EVENTS)));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    fn levels(findings: &[Finding]) -> Vec<Level> {
        findings.iter().map(|finding| finding.level).collect()
    }

    #[test]
    fn a_kernel_is_judged_by_its_version_and_what_it_gives() {
        for (release, landlock, seccomp, jail, level) in [
            ("6.1.0-18-amd64", Some(2), true, Jail::On, Level::Ok),
            ("6.1.0-18-amd64", Some(2), true, Jail::Off, Level::Warn),
            ("5.15.0", Some(1), true, Jail::On, Level::Bad),
            ("5.15.0", Some(1), true, Jail::Off, Level::Warn),
            ("5.10.0-28-amd64", Some(2), true, Jail::On, Level::Bad),
            ("4.19", None, false, Jail::Off, Level::Bad),
            ("6.1.0", None, true, Jail::Strict, Level::Bad),
            ("6.1.0", Some(2), false, Jail::On, Level::Bad),
            ("strange", Some(2), true, Jail::Strict, Level::Ok),
        ] {
            let seen = Kernel {
                release: release.to_owned(),
                landlock,
                seccomp,
            };
            assert_eq!(kernel(&seen, jail).level, level, "{seen:?}");
        }
    }

    #[test]
    fn a_clock_from_another_age_is_bad_and_one_that_nobody_keeps_right_is_doubted() {
        for (year, synchronised, level) in [
            (2026, Some(true), Level::Ok),
            (2031, None, Level::Ok),
            (2026, Some(false), Level::Warn),
            (1970, Some(true), Level::Bad),
            (2400, Some(true), Level::Bad),
        ] {
            assert_eq!(
                clock(Clock { year, synchronised }).level,
                level,
                "{year} {synchronised:?}"
            );
        }
    }

    #[test]
    fn a_user_needs_open_files_and_results_that_others_may_read() {
        for (umask, open_files, level) in [
            (Some(0o022), Some(1024), Level::Ok),
            (Some(0o027), None, Level::Ok),
            (None, None, Level::Ok),
            (Some(0o077), Some(65_536), Level::Warn),
            (Some(0o022), Some(256), Level::Warn),
        ] {
            let seen = User {
                name: "mill".into(),
                uid: 990,
                umask,
                open_files,
            };
            assert_eq!(user(&seen).level, level, "{seen:?}");
        }
    }

    #[test]
    fn directories_are_held_against_the_watches_that_are_allowed() {
        let seen = Inotify {
            watches: Some(8192),
            instances: Some(128),
            queued: Some(16_384),
        };
        let needs = |count, more| Directories {
            count,
            more,
            buckets: 2,
        };
        assert_eq!(levels(&inotify(seen, needs(4096, false))), [Level::Ok]);
        assert_eq!(levels(&inotify(seen, needs(4097, false))), [Level::Warn]);
        assert_eq!(levels(&inotify(seen, needs(100, true))), [Level::Warn]);
        let found = inotify(seen, needs(200_000, true));
        assert_eq!(levels(&found), [Level::Bad]);
        assert_eq!(found[0].says, "more than 200000 directories to watch, 8192 allowed");
        let help = found[0].help.as_deref().unwrap_or_default();
        assert!(help.contains("fs.inotify.max_user_watches=1048576"), "{help}");
    }

    #[test]
    fn few_watchers_and_a_short_queue_are_told_of() {
        let seen = Inotify {
            watches: Some(524_288),
            instances: Some(1),
            queued: Some(100),
        };
        let needs = Directories {
            count: 5,
            more: false,
            buckets: 2,
        };
        assert_eq!(levels(&inotify(seen, needs)), [Level::Ok, Level::Bad, Level::Warn]);
        assert_eq!(levels(&inotify(Inotify::default(), needs)), [Level::Warn]);
    }

    #[test]
    fn without_fonts_there_is_a_warning() {
        assert_eq!(fonts(0).level, Level::Warn);
        assert_eq!(fonts(3).says, "3 files");
    }
}
