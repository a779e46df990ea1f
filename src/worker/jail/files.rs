//! What a worker may open, by Landlock.

use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus, Scope,
};

use crate::rule::Grants;

/// Debian 12's kernel has it (Linux 5.19). What it lacks beside newer ones (truncation, network, signals, abstract
/// sockets, devices) the filter of system calls shuts.
pub const OLDEST_LANDLOCK: u32 = 2;

const NEWEST: ABI = ABI::V7;

/// Without these no host is found by its name, and no certificate is believed.
const NAMES_OF_HOSTS: [&str; 6] = [
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/gai.conf",
    "/etc/ssl/certs",
    "/run/systemd/resolve",
];

/// Which version of Landlock this kernel has; none where it is missing or not enabled.
#[must_use]
pub fn landlock_version() -> Option<u32> {
    const VERSION: libc::c_uint = 1;
    // SAFETY: with this flag the kernel reads no memory and only answers a number.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<libc::c_void>(),
            0_usize,
            VERSION,
        )
    };
    u32::try_from(answer).ok().filter(|version| *version > 0)
}

/// Leaves only the current directory, which is the scratch directory, and what was granted. Answers the version that
/// holds.
pub(super) fn shut(grants: &Grants, at_most: Option<u32>) -> Result<u32, String> {
    let kernel = landlock_version().unwrap_or(0);
    let version = at_most.unwrap_or(kernel).min(kernel);
    if version < OLDEST_LANDLOCK {
        return Err(format!(
            "this kernel has no Landlock of version {OLDEST_LANDLOCK} or later (Linux 5.19), or it is not enabled"
        ));
    }
    let newest = at_most.map_or(NEWEST, |_| ABI::from(i32::try_from(version).unwrap_or(0)));
    build(grants, newest).map_err(|error| format!("Landlock: {error}"))?;
    Ok(version)
}

fn build(grants: &Grants, newest: ABI) -> Result<(), Box<dyn std::error::Error>> {
    let oldest = ABI::from(i32::try_from(OLDEST_LANDLOCK)?);
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(oldest))?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(newest))?;
    if newest >= ABI::V4 && !grants.network {
        rules = rules.handle_access(AccessNet::from_all(newest))?;
    }
    if newest >= ABI::V6 {
        rules = rules.scope(Scope::from_all(newest))?;
    }
    let scratch = AccessFs::ReadFile
        | AccessFs::WriteFile
        | AccessFs::ReadDir
        | AccessFs::MakeReg
        | AccessFs::RemoveFile
        | AccessFs::Truncate;
    let mut made = rules.create()?;
    let mut open = |path: &Path, access: BitFlags<AccessFs>| -> Result<(), Box<dyn std::error::Error>> {
        let directory = path.is_dir();
        let found = PathFd::new(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let known = if directory {
            AccessFs::from_all(newest)
        } else {
            AccessFs::from_file(newest)
        };
        (&mut made).add_rule(PathBeneath::new(found, access & known))?;
        Ok(())
    };
    open(Path::new("."), scratch)?;
    if grants.network {
        for path in NAMES_OF_HOSTS.iter().map(Path::new).filter(|path| path.exists()) {
            open(path, AccessFs::ReadFile | AccessFs::ReadDir)?;
        }
    }
    for path in &grants.reads {
        open(path, AccessFs::ReadFile | AccessFs::ReadDir)?;
    }
    for path in &grants.devices {
        let control = if newest >= ABI::V5 {
            AccessFs::IoctlDev.into()
        } else {
            BitFlags::empty()
        };
        open(path, AccessFs::ReadFile | AccessFs::WriteFile | control)?;
    }
    let status = made.restrict_self()?;
    if status.ruleset == RulesetStatus::NotEnforced || !status.no_new_privs {
        return Err("the kernel did not take the rules".into());
    }
    Ok(())
}
