//! Judges directories: buckets and the state directory. What was seen comes in, findings go out.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::finding::{Finding, bad, ok, warn};
use crate::bucket::mounts::sends_events;
use crate::cli::exit::Code;
use crate::cli::output::{size, span};
use crate::object::BucketName;
use crate::rule::Rule;

/// The database, its log and a copy for an upgrade want at least this.
const STATE_ROOM: u64 = 256 << 20;

/// What rules do with a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Role {
    /// A rule watches it.
    pub watched: bool,
    /// A rule publishes to it.
    pub output: bool,
    /// A rule moves or deletes its sources.
    pub takes: bool,
}

impl Role {
    /// Whether the daemon must be able to write there.
    pub fn writes(self) -> bool {
        self.output || self.takes
    }

    /// For people.
    pub fn words(self) -> String {
        let mut words = Vec::new();
        if self.watched {
            words.push("rules watch it");
        }
        if self.takes {
            words.push("they move or delete its sources");
        }
        if self.output {
            words.push("results go there");
        }
        match words.as_slice() {
            [] => "no rule uses it".to_owned(),
            some => some.join(", "),
        }
    }
}

/// What rules do with each bucket.
pub fn roles<'a>(rules: impl Iterator<Item = &'a Rule>) -> BTreeMap<BucketName, Role> {
    let mut roles: BTreeMap<BucketName, Role> = BTreeMap::new();
    for rule in rules {
        let source = roles.entry(rule.trigger.bucket.clone()).or_default();
        source.watched = true;
        source.takes |= rule.after_success.is_some();
        roles.entry(rule.output.bucket.clone()).or_default().output = true;
    }
    roles
}

/// A directory as it was found.
#[derive(Debug, Clone, Default)]
pub struct Place {
    /// Where.
    pub path: PathBuf,
    /// Why it could not be looked at.
    pub trouble: Option<Trouble>,
    /// Type of the file system.
    pub file_system: Option<String>,
    /// Whether this user may list it.
    pub readable: bool,
    /// Whether this user may make files in it.
    pub writable: bool,
    /// Bytes that this user may still write.
    pub free: Option<u64>,
    /// The user that it belongs to.
    pub owner: String,
}

/// Why a directory could not be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// It is not there.
    Missing,
    /// Something else is there.
    NotADirectory,
    /// This user may not go there.
    Closed,
    /// The disk or the server behind it does not answer.
    Silent,
    /// Anything else.
    Other(String),
}

/// Whether a directory is the bucket that it was.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Known {
    /// It is.
    Yes,
    /// The daemon has not met it yet.
    New,
    /// It is not, and why.
    Another(String),
    /// This user may not know.
    #[default]
    Untold,
}

/// What was seen of a bucket.
#[derive(Debug, Clone, Default)]
pub struct SeenBucket {
    /// The directory.
    pub place: Place,
    /// Whether it is the one that it was.
    pub known: Known,
    /// How often it is walked where there are no events.
    pub poll: Duration,
    /// What rules do with it.
    pub role: Role,
}

/// Says how it stands with a bucket.
pub fn bucket(name: &BucketName, seen: &SeenBucket, user: &str, min_free: u64) -> Finding {
    let what = format!("bucket {name}");
    let place = &seen.place;
    let path = place.path.display();
    if let Some(finding) = out_of_reach(&what, place, user) {
        return finding;
    }
    if let Known::Another(reason) = &seen.known {
        let help = format!("mount its disk; if this is the right directory: reelmill bucket accept {name}");
        return bad(Code::NoInput, what, reason.clone(), help);
    }
    if !place.readable {
        let says = format!("{path} cannot be read by {user}");
        return bad(Code::Permission, what, says, other_user(place));
    }
    let file_system = place.file_system.as_deref().unwrap_or("unknown file system");
    if seen.role.writes() && !place.writable {
        let why = if seen.role.output {
            "rules publish to it"
        } else {
            "rules move or delete its sources"
        };
        let says = format!("{path} cannot be written by {user}, and {why}");
        return bad(Code::Permission, what, says, other_user(place));
    }
    let watched = if sends_events(file_system) {
        "sends events".to_owned()
    } else {
        format!("no events, looked at every {}", span(seen.poll.as_secs()))
    };
    let free = place
        .free
        .map_or_else(String::new, |free| format!(", {} free", size(free)));
    let mode = if place.writable { "" } else { ", read-only" };
    let fresh = if seen.known == Known::New { ", new" } else { "" };
    let says = format!("{path}: {file_system}, {watched}{mode}{fresh}{free}");
    match place.free {
        Some(free) if seen.role.output && free < min_free => bad(
            Code::Temporary,
            what,
            says,
            format!(
                "no run starts with less than {} free (workers.min_free)",
                size(min_free)
            ),
        ),
        Some(free) if seen.role.output && free / 2 < min_free => warn(
            what,
            says,
            format!(
                "no run starts with less than {} free (workers.min_free)",
                size(min_free)
            ),
        ),
        _ => ok(what, says),
    }
}

/// Says how it stands with the state directory.
pub fn state(place: &Place, user: &str) -> Finding {
    let what = "state";
    let path = place.path.display();
    if let Some(finding) = out_of_reach(what, place, user) {
        return finding;
    }
    if !place.readable || !place.writable {
        let says = format!("{path} cannot be written by {user}");
        return bad(Code::Permission, what, says, other_user(place));
    }
    let file_system = place.file_system.as_deref().unwrap_or("unknown file system");
    let free = place
        .free
        .map_or_else(String::new, |free| format!(", {} free", size(free)));
    let says = format!("{path}: {file_system}{free}");
    if is_remote(file_system) {
        let help = "a database breaks on a network file system: let `state` lie on a disk of this machine";
        return bad(Code::Config, what, says, help);
    }
    if place.free.is_some_and(|free| free < STATE_ROOM) {
        let help = format!("the database wants {} or more", size(STATE_ROOM));
        return bad(Code::Temporary, what, says, help);
    }
    match file_system {
        "tmpfs" | "ramfs" => warn(
            what,
            says,
            "all of it is lost at the next start of this machine: use a disk",
        ),
        "overlay" | "aufs" => warn(
            what,
            says,
            "in a container it is lost with the container: mount a volume there",
        ),
        other if other.starts_with("fuse") => warn(what, says, "a disk of this machine is safer for a database"),
        _ => ok(what, says),
    }
}

fn is_remote(file_system: &str) -> bool {
    const REMOTE: [&str; 13] = [
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "9p",
        "virtiofs",
        "ceph",
        "afs",
        "glusterfs",
        "lustre",
        "fuse.sshfs",
        "fuse.glusterfs",
    ];
    REMOTE.contains(&file_system) || file_system.starts_with("fuse.s3") || file_system.starts_with("fuse.rclone")
}

fn other_user(place: &Place) -> String {
    format!(
        "it belongs to {}. If the daemon runs as another user, ask as that one: sudo -u USER reelmill doctor",
        place.owner
    )
}

/// A directory that could not even be looked at.
fn out_of_reach(what: &str, place: &Place, user: &str) -> Option<Finding> {
    let path = place.path.display();
    Some(match place.trouble.as_ref()? {
        Trouble::Missing => bad(
            Code::NoInput,
            what,
            format!("there is no directory {path}"),
            "create it or mount its disk",
        ),
        Trouble::NotADirectory => bad(
            Code::Config,
            what,
            format!("{path} is no directory"),
            "name a directory in the config",
        ),
        Trouble::Closed => bad(
            Code::Permission,
            what,
            format!("{path} is closed to {user}"),
            "if the daemon runs as another user, ask as that one: sudo -u USER reelmill doctor",
        ),
        Trouble::Silent => bad(
            Code::Temporary,
            what,
            format!("{path} does not answer"),
            "look after its disk or the server that it is mounted from",
        ),
        Trouble::Other(reason) => bad(
            Code::NoInput,
            what,
            format!("{path}: {reason}"),
            "look after its disk or the server that it is mounted from",
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    const MIN_FREE: u64 = 512 << 20;

    fn place() -> Place {
        Place {
            path: "/srv/media".into(),
            trouble: None,
            file_system: Some("ext4".into()),
            readable: true,
            writable: true,
            free: Some(100 << 30),
            owner: "root".into(),
        }
    }

    fn seen(place: Place, role: Role) -> SeenBucket {
        SeenBucket {
            place,
            known: Known::Yes,
            poll: Duration::from_secs(10),
            role,
        }
    }

    fn judged(seen: &SeenBucket) -> Finding {
        bucket(&"inbox".parse().unwrap(), seen, "mill", MIN_FREE)
    }

    const OUTPUT: Role = Role {
        watched: false,
        output: true,
        takes: false,
    };
    const SOURCE: Role = Role {
        watched: true,
        output: false,
        takes: false,
    };

    #[test]
    fn a_bucket_that_cannot_be_reached_is_bad() {
        for (trouble, code) in [
            (Trouble::Missing, Code::NoInput),
            (Trouble::NotADirectory, Code::Config),
            (Trouble::Closed, Code::Permission),
            (Trouble::Silent, Code::Temporary),
            (Trouble::Other("odd".into()), Code::NoInput),
        ] {
            let place = Place {
                trouble: Some(trouble),
                ..place()
            };
            let found = judged(&seen(place, SOURCE));
            assert_eq!((found.level, found.code), (Level::Bad, Some(code)), "{found:?}");
        }
    }

    #[test]
    fn only_buckets_that_rules_write_to_need_to_be_writable() {
        let closed = Place {
            writable: false,
            ..place()
        };
        assert_eq!(judged(&seen(closed.clone(), SOURCE)).level, Level::Ok);
        assert_eq!(judged(&seen(closed.clone(), OUTPUT)).level, Level::Bad);
        let takes = Role { takes: true, ..SOURCE };
        assert_eq!(judged(&seen(closed, takes)).level, Level::Bad);
    }

    #[test]
    fn a_bucket_that_is_another_one_than_before_is_bad() {
        let mut bucket = seen(place(), SOURCE);
        bucket.known = Known::Another("it does not carry its marker".into());
        let found = judged(&bucket);
        assert_eq!(found.level, Level::Bad);
        assert!(found.help.unwrap().contains("bucket accept inbox"));
    }

    #[test]
    fn room_counts_where_results_go() {
        for (free, role, level) in [
            (MIN_FREE - 1, OUTPUT, Level::Bad),
            (MIN_FREE + 1, OUTPUT, Level::Warn),
            (MIN_FREE * 2, OUTPUT, Level::Ok),
            (0, SOURCE, Level::Ok),
        ] {
            let place = Place {
                free: Some(free),
                ..place()
            };
            assert_eq!(judged(&seen(place, role)).level, level, "{free} {role:?}");
        }
    }

    #[test]
    fn a_bucket_without_events_says_how_often_it_is_looked_at() {
        let place = Place {
            file_system: Some("nfs4".into()),
            ..place()
        };
        let found = judged(&seen(place, SOURCE));
        assert_eq!(
            found.says,
            "/srv/media: nfs4, no events, looked at every 10 s, 100.0 GiB free"
        );
    }

    #[test]
    fn a_database_wants_a_disk_of_its_own_machine() {
        for (file_system, level) in [
            ("ext4", Level::Ok),
            ("xfs", Level::Ok),
            ("nfs4", Level::Bad),
            ("cifs", Level::Bad),
            ("fuse.sshfs", Level::Bad),
            ("fuse.mergerfs", Level::Warn),
            ("overlay", Level::Warn),
            ("tmpfs", Level::Warn),
        ] {
            let place = Place {
                file_system: Some(file_system.into()),
                ..place()
            };
            assert_eq!(state(&place, "mill").level, level, "{file_system}");
        }
        let full = Place {
            free: Some(1 << 20),
            ..place()
        };
        assert_eq!(state(&full, "mill").level, Level::Bad);
        let closed = Place {
            writable: false,
            ..place()
        };
        assert_eq!(state(&closed, "mill").code, Some(Code::Permission));
    }
}
