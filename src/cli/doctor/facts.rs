//! Looks at the machine. What it means, others say.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::fs::{Access, AtFlags, CWD, accessat, statvfs};

use super::machine::{Clock, Directories, Inotify, Kernel, User};
use super::places::{Place, Trouble};
use crate::bucket::mounts::{mounts_of, sends_events};
use crate::worker::jail::landlock_version;

/// How long a disk may take to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// How many directories are counted, and for how long, before it is just "more".
const MOST_DIRECTORIES: u64 = 200_000;
const COUNTING: Duration = Duration::from_secs(3);

/// The kernel.
pub fn kernel() -> Kernel {
    Kernel {
        release: rustix::system::uname().release().to_string_lossy().into_owned(),
        landlock: landlock_version(),
        // SAFETY: asks for a number, touches no memory of ours.
        seccomp: unsafe { libc::prctl(libc::PR_GET_SECCOMP, 0, 0, 0, 0) } >= 0,
    }
}

/// The clock; its year is told.
pub fn clock(year: i16) -> Clock {
    // SAFETY: a structure of plain numbers, for which zero is a value.
    let mut about: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: without modes it only writes into a structure that lives here.
    let state = unsafe { libc::adjtimex(&raw mut about) };
    Clock {
        year,
        synchronised: (state >= 0).then_some(state != libc::TIME_ERROR && about.status & libc::STA_UNSYNC == 0),
    }
}

/// Who asks.
pub fn user() -> User {
    let uid = rustix::process::geteuid().as_raw();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let umask = status
        .lines()
        .find_map(|line| u32::from_str_radix(line.strip_prefix("Umask:")?.trim(), 8).ok());
    User {
        name: user_name(uid),
        uid,
        umask,
        open_files: rustix::process::getrlimit(rustix::process::Resource::Nofile).current,
    }
}

/// The name of a user, or the number.
fn user_name(uid: u32) -> String {
    let mut room = vec![0; 16 << 10];
    // SAFETY: a structure of numbers and pointers, for which zero is a value.
    let mut entry: libc::passwd = unsafe { std::mem::zeroed() };
    let mut found: *mut libc::passwd = std::ptr::null_mut();
    // SAFETY: everything that is written to lives here, with its length told.
    let answer = unsafe { libc::getpwuid_r(uid, &raw mut entry, room.as_mut_ptr(), room.len(), &raw mut found) };
    if answer != 0 || found.is_null() {
        return uid.to_string();
    }
    // SAFETY: on success the name points to text within `room`, which is still alive.
    unsafe { CStr::from_ptr(entry.pw_name) }.to_string_lossy().into_owned()
}

/// The limits of inotify.
pub fn inotify() -> Inotify {
    let limit = |name: &str| {
        let text = std::fs::read_to_string(format!("/proc/sys/fs/inotify/{name}")).ok()?;
        text.trim().parse().ok()
    };
    Inotify {
        watches: limit("max_user_watches"),
        instances: limit("max_user_instances"),
        queued: limit("max_queued_events"),
    }
}

/// Font files where programs look for them.
pub fn fonts() -> u64 {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let mut folders: Vec<PathBuf> = ["/usr/share/fonts", "/usr/local/share/fonts"].map(PathBuf::from).into();
    folders.extend(
        home.iter()
            .flat_map(|home| [home.join(".fonts"), home.join(".local/share/fonts")]),
    );
    let is_font = |path: &Path| {
        path.extension().is_some_and(|ending| {
            ["ttf", "otf", "ttc", "pfb"]
                .iter()
                .any(|known| ending.eq_ignore_ascii_case(known))
        })
    };
    let mut count = 0;
    walk(folders, Instant::now() + COUNTING, |path, is_folder| {
        count += u64::from(!is_folder && is_font(path));
        true
    });
    count
}

/// Directories below these roots, the roots themselves among them.
pub fn directories(roots: &[PathBuf]) -> Directories {
    let mut count = roots.len() as u64;
    let all = walk(roots.to_vec(), Instant::now() + COUNTING, |_, is_folder| {
        count += u64::from(is_folder);
        count < MOST_DIRECTORIES
    });
    Directories {
        count,
        more: !all,
        buckets: roots.len() as u64,
    }
}

/// Shows all that lies below, without following links; answers whether it came to the end.
fn walk(mut folders: Vec<PathBuf>, deadline: Instant, mut see: impl FnMut(&Path, bool) -> bool) -> bool {
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if Instant::now() > deadline {
                return false;
            }
            let is_folder = entry.file_type().is_ok_and(|sort| sort.is_dir());
            let path = entry.path();
            if !see(&path, is_folder) {
                return false;
            }
            if is_folder {
                folders.push(path);
            }
        }
    }
    true
}

/// Does something that a disk may keep waiting for ever; none where it does not answer in time.
pub fn patiently<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (tell, hear) = mpsc::channel();
    // One that hangs ends with the program.
    std::thread::spawn(move || tell.send(work()).ok());
    hear.recv_timeout(ANSWER).ok()
}

/// A directory.
pub fn place(path: &Path) -> Place {
    let path = path.to_owned();
    let silent = Place {
        path: path.clone(),
        trouble: Some(Trouble::Silent),
        ..Place::default()
    };
    patiently(move || look(&path)).unwrap_or(silent)
}

/// The state directory: the daemon makes it, so the folder in which it would lie speaks for one that is not there.
pub fn state(path: &Path) -> Place {
    let mut place = place(path);
    let mut above = path;
    while place.trouble == Some(Trouble::Missing)
        && let Some(parent) = above.parent()
    {
        above = parent;
        place = self::place(above);
    }
    path.clone_into(&mut place.path);
    place
}

fn look(path: &Path) -> Place {
    let mut place = Place {
        path: path.to_owned(),
        ..Place::default()
    };
    let about = match std::fs::metadata(path) {
        Ok(about) if about.is_dir() => about,
        Ok(_) => {
            place.trouble = Some(Trouble::NotADirectory);
            return place;
        }
        Err(error) => {
            place.trouble = Some(match error.kind() {
                io::ErrorKind::NotFound => Trouble::Missing,
                io::ErrorKind::NotADirectory => Trouble::NotADirectory,
                io::ErrorKind::PermissionDenied => Trouble::Closed,
                _ => Trouble::Other(error.to_string()),
            });
            return place;
        }
    };
    let may = |access: Access| accessat(CWD, path, access | Access::EXEC_OK, AtFlags::EACCESS).is_ok();
    place.readable = may(Access::READ_OK);
    place.writable = may(Access::WRITE_OK);
    place.owner = user_name(about.uid());
    place.free = statvfs(path)
        .ok()
        .map(|about| about.f_bavail.saturating_mul(about.f_frsize));
    place.file_system = std::fs::canonicalize(path)
        .and_then(|path| mounts_of(&path))
        .ok()
        .and_then(|mounts| mounts.into_iter().next())
        .map(|mount| mount.file_system);
    place
}

/// The systemd unit of the daemon as it is installed here, its own text first, then its drop-ins; empty where there is none.
pub fn unit() -> Vec<String> {
    const FOLDERS: [&str; 5] = [
        "/etc/systemd/system",
        "/run/systemd/system",
        "/usr/local/lib/systemd/system",
        "/usr/lib/systemd/system",
        "/lib/systemd/system",
    ];
    let read = |path: PathBuf| std::fs::read_to_string(path).ok();
    let own = FOLDERS
        .iter()
        .find_map(|folder| read(Path::new(folder).join("reelmill.service")));
    let Some(own) = own else { return Vec::new() };
    // By name; of several with the same one the first folder has the say.
    let mut drop_ins: BTreeMap<std::ffi::OsString, PathBuf> = BTreeMap::new();
    for folder in FOLDERS {
        let entries = std::fs::read_dir(Path::new(folder).join("reelmill.service.d"));
        for entry in entries.into_iter().flatten().flatten() {
            if entry.path().extension().is_some_and(|ending| ending == "conf") {
                drop_ins.entry(entry.file_name()).or_insert_with(|| entry.path());
            }
        }
    }
    std::iter::once(own)
        .chain(drop_ins.into_values().filter_map(read))
        .collect()
}

/// Whether a directory is to be watched: it can be read, and its file system sends events.
pub fn is_watched(place: &Place) -> bool {
    place.readable && place.file_system.as_deref().is_some_and(sends_events)
}
