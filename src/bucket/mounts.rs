//! What file system lies where, and what it can do: tell of changes, and say who writes.
//!
//! What is not known to do a thing is treated as not doing it: polling and settling always work.

use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// File systems on which every change is made through this kernel, by the type in `mountinfo`, and the number that
/// `statfs` gives. On these, changes are told of and leases are true.
const OWN: [(&str, i64); 21] = [
    ("ext2", 0xef53),
    ("ext3", 0xef53),
    ("ext4", 0xef53),
    ("xfs", 0x5846_5342),
    ("btrfs", 0x9123_683e),
    ("tmpfs", 0x0102_1994),
    ("ramfs", 0x8584_58f6),
    ("f2fs", 0xf2f5_2010),
    ("zfs", 0x2fc1_2fc1),
    ("bcachefs", 0xca45_1a4e),
    ("jfs", 0x3153_464a),
    ("reiserfs", 0x5265_4973),
    ("nilfs2", 0x3434),
    ("vfat", 0x4d44),
    ("exfat", 0x2011_bab0),
    ("ntfs3", 0x7366_746e),
    ("hfsplus", 0x482b),
    ("udf", 0x1501_3346),
    ("iso9660", 0x9660),
    ("squashfs", 0x7371_7368),
    ("erofs", 0xe0f5_e1e2),
];

/// Whether changes on a file system of this type are all told of by inotify. Network and FUSE file systems tell only of
/// what this machine does, an overlay not of what happens in its lower layers.
#[must_use]
pub fn sends_events(file_system: &str) -> bool {
    OWN.iter().any(|(name, _)| *name == file_system)
}

/// Whether a refused or granted lease on this open file says who writes to it.
#[must_use]
pub fn leases_are_true(file: impl AsFd) -> bool {
    rustix::fs::fstatfs(file).is_ok_and(|about| {
        #[allow(clippy::useless_conversion)]
        let found = i64::from(about.f_type);
        OWN.iter().any(|(_, number)| *number == found)
    })
}

/// One mounted file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Where.
    pub path: PathBuf,
    /// Its type: `ext4`, `nfs4`, `fuse.sshfs` ...
    pub file_system: String,
    /// Major and minor number of the device, and the mount's own number: a remount changes it.
    pub device: String,
}

/// The mount that holds `root`, then all that lie beneath it; `root` must have no symbolic links in it. Of several mounts at
/// one place, the last, which covers the others.
pub fn mounts_of(root: &Path) -> std::io::Result<Vec<Mount>> {
    let text = std::fs::read("/proc/self/mountinfo")?;
    Ok(select(parse(&text), root))
}

fn select(all: Vec<Mount>, root: &Path) -> Vec<Mount> {
    let mut holding: Option<Mount> = None;
    let mut beneath: Vec<Mount> = Vec::new();
    for mount in all {
        if root.starts_with(&mount.path) {
            let longest = holding
                .as_ref()
                .is_none_or(|held| held.path.as_os_str().len() <= mount.path.as_os_str().len());
            if longest {
                holding = Some(mount);
            }
        } else if mount.path.starts_with(root) {
            beneath.retain(|other| !other.path.starts_with(&mount.path));
            beneath.push(mount);
        }
    }
    holding.into_iter().chain(beneath).collect()
}

fn parse(text: &[u8]) -> Vec<Mount> {
    text.split(|b| *b == b'\n')
        .filter_map(|line| {
            let mut fields = line.split(|b| *b == b' ');
            let number = fields.next()?;
            let device = fields.nth(1)?;
            let path = unescape(fields.nth(1)?);
            let file_system = fields.skip_while(|f| *f != b"-").nth(1)?;
            Some(Mount {
                path: PathBuf::from(std::ffi::OsString::from_vec(path)),
                file_system: String::from_utf8_lossy(file_system).into_owned(),
                device: format!(
                    "{}/{}",
                    String::from_utf8_lossy(device),
                    String::from_utf8_lossy(number)
                ),
            })
        })
        .collect()
}

/// Space, tab, newline and backslash are written as `\040` and so on.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let octal = after
            .get(..3)
            .filter(|_| *first == b'\\')
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        if let Some(byte) = octal {
            out.push(byte);
            rest = &after[3..];
        } else {
            out.push(*first);
            rest = after;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTINFO: &[u8] = b"22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:30 / /srv/media rw,relatime shared:2 master:1 - xfs /dev/sdb rw
31 30 0:44 / /srv/media/inbox/nas\\040one rw - nfs4 host:/x rw
32 30 0:45 / /srv/media/inbox/old rw - ext4 /dev/sdc rw
33 32 0:46 / /srv/media/inbox/old rw - fuse.sshfs host: rw
34 22 0:47 / /srv/media2 rw - cifs //host/x rw
";

    #[test]
    fn the_holding_mount_comes_first_and_covered_mounts_do_not_count() {
        let found = select(parse(MOUNTINFO), Path::new("/srv/media/inbox"));
        insta::assert_debug_snapshot!(
            found.iter().map(|m| format!("{} {} {}", m.path.display(), m.file_system, sends_events(&m.file_system))).collect::<Vec<_>>(),
            @r#"
        [
            "/srv/media xfs true",
            "/srv/media/inbox/nas one nfs4 false",
            "/srv/media/inbox/old fuse.sshfs false",
        ]
        "#);
    }

    #[test]
    fn the_running_machine_has_mounts() {
        // Its first may be any: in a changed root, `/` itself need not be one.
        let found = mounts_of(Path::new("/")).unwrap();
        assert!(found.iter().any(|mount| mount.file_system == "proc"), "{found:?}");
    }

    #[test]
    fn proc_is_not_trusted_with_leases() {
        let file = std::fs::File::open("/proc/self/mountinfo").unwrap();
        assert!(!leases_are_true(&file));
    }
}
