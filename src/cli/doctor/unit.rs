//! What the systemd unit needs besides for the buckets of a config: text comes out, nothing is asked of the machine.
//!
//! The unit that comes with Reelmill shuts the daemon in: nothing but `/srv/reelmill` and the state directory may be
//! written, homes and the common `/tmp` cannot be seen, and nothing may be given away.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::network::Network;
use super::places::Role;
use crate::object::BucketName;
use crate::rule::access::{AccessSpec, Principal};

/// Where the unit looks for the config.
const CONFIG: &str = "/etc/reelmill/reelmill.toml";

/// The state directory that the unit makes.
const STATE: &str = "/var/lib/reelmill";

/// Directories that the unit hides.
const HOMES: [&str; 3] = ["/home", "/root", "/run/user"];
const TEMPORARY: [&str; 2] = ["/tmp", "/var/tmp"];

/// What the unit has to go with.
#[derive(Debug, Clone, Default)]
pub struct Needs {
    /// The config file.
    pub config: PathBuf,
    /// The folder of rule files.
    pub rules: PathBuf,
    /// The state directory.
    pub state: PathBuf,
    /// Buckets with their directories and what rules do with them.
    pub buckets: Vec<(BucketName, PathBuf, Role)>,
    /// Which network the daemon needs.
    pub network: Network,
    /// Whether buckets over a network name no profile for their credentials.
    pub credentials: bool,
    /// Files of certificates.
    pub certificates: Vec<PathBuf>,
    /// What rules say of who owns results.
    pub access: Vec<AccessSpec>,
    /// Whether there are broken rule files, of which nothing is known.
    pub broken: bool,
}

/// The drop-in.
pub fn drop_in(needs: &Needs) -> String {
    let mut unit = Lines::default();
    let mut service = Lines::default();
    if needs.broken {
        unit.note("Some rule files are broken (`reelmill check`): what they need is not in here.");
    }
    for (name, path, _) in &needs.buckets {
        unit.path(&format!("bucket {name}"), "RequiresMountsFor", "", path);
    }
    unit.path("the state directory", "RequiresMountsFor", "", &needs.state);
    if needs.network == Network::Any {
        unit.note("Buckets are reached over the network.");
        unit.line("Wants=network-online.target");
        unit.line("After=network-online.target");
    }

    if needs.config != Path::new(CONFIG) {
        let mut value = std::ffi::OsString::from("REELMILL_CONFIG=");
        value.push(&needs.config);
        service.path("the config file", "Environment", "", Path::new(&value));
    }
    let mut hidden = Hidden::default();
    for path in [&needs.config, &needs.rules] {
        if is_hidden(path) {
            hidden.see(&mut service, "config and rules", path, false);
        }
    }
    if needs.state != Path::new(STATE) {
        let what = "the state directory: make it first, for the user of the service";
        open(&mut service, &mut hidden, what, &needs.state, true);
    }
    for (name, path, role) in &needs.buckets {
        let what = match role {
            Role { output: true, .. } => format!("bucket {name}: results go there"),
            Role { takes: true, .. } => format!("bucket {name}: rules move or delete its sources"),
            Role { watched: true, .. } => format!("bucket {name}: only read"),
            _ => format!("bucket {name}: no rule uses it"),
        };
        open(&mut service, &mut hidden, &what, path, role.writes());
    }
    for path in needs.certificates.iter().filter(|path| is_hidden(path)) {
        hidden.see(&mut service, "certificates", path, false);
    }
    if hidden.homes {
        service.note("Homes stay hidden, but for the directories above.");
        service.line("ProtectHome=tmpfs");
    }
    network(&mut service, needs);
    ownership(&mut service, &needs.access);
    format!("[Unit]\n{}\n[Service]\n{}", unit.0, service.0)
}

/// What it takes to reach others. Workers have no network in any case.
fn network(service: &mut Lines, needs: &Needs) {
    if needs.network == Network::None {
        return;
    }
    service.note("Buckets or events over a network. The daemon's alone: its jail lets no worker make a socket.");
    service.line("PrivateNetwork=no");
    service.line("RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6");
    if needs.network == Network::Here {
        service.note("All of it is on this machine.");
        service.line("IPAddressAllow=localhost");
    } else {
        service.line("IPAddressDeny=");
    }
    if needs.credentials {
        service.note(
            "AWS_ACCESS_KEY_ID=... and AWS_SECRET_ACCESS_KEY=..., for root alone to read; with a role or a `profile`",
        );
        service.note("it need not be there.");
        service.line("EnvironmentFile=-/etc/reelmill/credentials.env");
    }
}

fn open(service: &mut Lines, hidden: &mut Hidden, what: &str, path: &Path, writes: bool) {
    if is_hidden(path) {
        hidden.see(service, what, path, writes);
    } else {
        let key = if writes { "ReadWritePaths" } else { "ReadOnlyPaths" };
        // `-`: a disk that is not mounted is an offline bucket, not a service that does not start.
        service.path(what, key, "-", path);
    }
}

fn is_hidden(path: &Path) -> bool {
    HOMES.iter().chain(&TEMPORARY).any(|place| path.starts_with(place))
}

/// Directories out of hidden places, each shown once.
#[derive(Default)]
struct Hidden {
    homes: bool,
    shown: BTreeSet<PathBuf>,
}

impl Hidden {
    fn see(&mut self, service: &mut Lines, what: &str, path: &Path, writes: bool) {
        self.homes |= HOMES.iter().any(|place| path.starts_with(place));
        if self.shown.insert(path.to_owned()) {
            let key = if writes { "BindPaths" } else { "BindReadOnlyPaths" };
            service.bound(what, key, path);
        }
    }
}

/// What it takes to give results away: a group by being in it, an owner by leave of the kernel.
fn ownership(service: &mut Lines, access: &[AccessSpec]) {
    let word = |principal: &Principal| match principal {
        Principal::Name(name) => name.clone(),
        Principal::Id(id) => id.to_string(),
    };
    let groups: BTreeSet<String> = access.iter().filter_map(|spec| spec.group.as_ref()).map(word).collect();
    if !groups.is_empty() {
        service.note("Groups that rules give results to.");
        for group in groups {
            service.line(&format!("SupplementaryGroups={group}"));
        }
    }
    let owners: BTreeSet<String> = access.iter().filter_map(|spec| spec.owner.as_ref()).map(word).collect();
    if !owners.is_empty() {
        let owners = owners.into_iter().collect::<Vec<_>>().join(", ");
        service.note(&format!("Rules give results to {owners}."));
        service.note("The last of the three: directories given away are written into again.");
        for key in ["CapabilityBoundingSet", "AmbientCapabilities"] {
            service.line(&format!("{key}=CAP_CHOWN CAP_FOWNER CAP_DAC_OVERRIDE"));
        }
    }
}

/// Lines of a section.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn line(&mut self, line: &str) {
        let _ = writeln!(self.0, "{line}");
    }

    fn note(&mut self, text: &str) {
        self.line(&format!("# {text}"));
    }

    /// An assignment of one path. One that systemd cannot be told is a note.
    fn path(&mut self, what: &str, key: &str, prefix: &str, path: &Path) {
        match quoted(prefix, path) {
            Some(value) => {
                if key != "RequiresMountsFor" {
                    self.note(what);
                }
                self.line(&format!("{key}={value}"));
            }
            None => self.impossible(what, path),
        }
    }

    /// The same for those assignments in which a colon parts two paths.
    fn bound(&mut self, what: &str, key: &str, path: &Path) {
        // Quotes and backslashes are read twice there, the second time otherwise.
        let plain = path.to_str().filter(|text| !text.contains(['"', '\'', '\\']));
        match plain.and_then(|_| quoted("-", path)) {
            Some(value) => {
                self.note(what);
                self.line(&format!("{key}={}", value.replace(':', "\\:")));
            }
            None => self.impossible(what, path),
        }
    }

    fn impossible(&mut self, what: &str, path: &Path) {
        let path = path.to_string_lossy();
        self.note(&format!(
            "{what}: systemd cannot be told the path \"{}\"; mount it elsewhere",
            path.escape_debug()
        ));
    }
}

/// A path as one word of a unit file; none where systemd takes no such path: it must be UTF-8 without controls.
fn quoted(prefix: &str, path: &Path) -> Option<String> {
    let text = path.to_str()?;
    if text.chars().any(char::is_control) {
        return None;
    }
    // A percent sign would begin a specifier.
    let text = format!("{prefix}{text}").replace('%', "%%");
    let plain = |c: char| c.is_alphanumeric() || "/._-+=:@,%".contains(c);
    if text.chars().all(plain) {
        return Some(text);
    }
    Some(format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")))
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use super::*;

    fn needs(buckets: &[(&str, &str, Role)]) -> Needs {
        Needs {
            config: CONFIG.into(),
            rules: "/etc/reelmill/rules".into(),
            state: STATE.into(),
            buckets: buckets
                .iter()
                .map(|(name, path, role)| (name.parse().unwrap(), path.into(), *role))
                .collect(),
            ..Needs::default()
        }
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
    const TAKEN: Role = Role {
        watched: true,
        output: false,
        takes: true,
    };

    #[test]
    fn buckets_are_writable_only_where_rules_write() {
        let text = drop_in(&needs(&[
            ("inbox", "/srv/in box", SOURCE),
            ("old", "/srv/old", TAKEN),
            ("out", "/mnt/nas/100%", OUTPUT),
            ("spare", "/mnt/spare", Role::default()),
        ]));
        insta::assert_snapshot!(text, @r#"
        [Unit]
        RequiresMountsFor="/srv/in box"
        RequiresMountsFor=/srv/old
        RequiresMountsFor=/mnt/nas/100%%
        RequiresMountsFor=/mnt/spare
        RequiresMountsFor=/var/lib/reelmill

        [Service]
        # bucket inbox: only read
        ReadOnlyPaths="-/srv/in box"
        # bucket old: rules move or delete its sources
        ReadWritePaths=-/srv/old
        # bucket out: results go there
        ReadWritePaths=-/mnt/nas/100%%
        # bucket spare: no rule uses it
        ReadOnlyPaths=-/mnt/spare
        "#);
    }

    #[test]
    fn what_the_unit_hides_is_shown_again() {
        let mut needs = needs(&[("out", "/home/ann/My Films", OUTPUT), ("in", "/tmp/a:b", SOURCE)]);
        needs.config = "/home/ann/mill/reelmill.toml".into();
        needs.rules = "/home/ann/mill/rules".into();
        needs.state = "/srv/state".into();
        insta::assert_snapshot!(drop_in(&needs), @r#"
        [Unit]
        RequiresMountsFor="/home/ann/My Films"
        RequiresMountsFor=/tmp/a:b
        RequiresMountsFor=/srv/state

        [Service]
        # the config file
        Environment=REELMILL_CONFIG=/home/ann/mill/reelmill.toml
        # config and rules
        BindReadOnlyPaths=-/home/ann/mill/reelmill.toml
        # config and rules
        BindReadOnlyPaths=-/home/ann/mill/rules
        # the state directory: make it first, for the user of the service
        ReadWritePaths=-/srv/state
        # bucket out: results go there
        BindPaths="-/home/ann/My Films"
        # bucket in: only read
        BindReadOnlyPaths=-/tmp/a\:b
        # Homes stay hidden, but for the directories above.
        ProtectHome=tmpfs
        "#);
    }

    #[test]
    fn a_network_is_opened_only_where_something_is_reached_over_it() {
        let mut needs = needs(&[("inbox", "/srv/in", SOURCE)]);
        assert!(!drop_in(&needs).contains("Network"));
        needs.network = Network::Here;
        let text = drop_in(&needs);
        assert!(text.contains("\nIPAddressAllow=localhost\n"), "{text}");
        assert!(!text.contains("network-online"), "{text}");
        needs.network = Network::Any;
        needs.credentials = true;
        needs.certificates = vec!["/home/ann/ca.pem".into(), "/etc/ssl/own.pem".into()];
        insta::assert_snapshot!(drop_in(&needs));
    }

    #[test]
    fn leave_to_give_files_away_is_asked_for_only_where_a_rule_names_an_owner() {
        let mut needs = needs(&[]);
        let group = |name: &str| AccessSpec {
            group: Some(Principal::Name(name.into())),
            ..AccessSpec::default()
        };
        needs.access = vec![AccessSpec::default(), group("press"), group("press")];
        let text = drop_in(&needs);
        assert!(text.contains("SupplementaryGroups=press\n"), "{text}");
        assert!(!text.contains("CAP_"), "{text}");
        needs.access.push(AccessSpec {
            owner: Some(Principal::Id(1000)),
            ..AccessSpec::default()
        });
        let text = drop_in(&needs);
        for key in ["CapabilityBoundingSet", "AmbientCapabilities"] {
            assert!(
                text.contains(&format!("\n{key}=CAP_CHOWN CAP_FOWNER CAP_DAC_OVERRIDE\n")),
                "{text}"
            );
        }
    }

    #[test]
    fn paths_are_quoted_as_systemd_reads_them() {
        for (path, word) in [
            ("/srv/media", Some("/srv/media")),
            ("/srv/日本", Some("/srv/日本")),
            ("/srv/my films", Some(r#""/srv/my films""#)),
            ("/srv/50%", Some("/srv/50%%")),
            (r#"/srv/a"b"#, Some(r#""/srv/a\"b""#)),
            (r"/srv/a\x20b", Some(r#""/srv/a\\x20b""#)),
            ("/srv/it's", Some(r#""/srv/it's""#)),
            ("/srv/$HOME;#", Some(r#""/srv/$HOME;#""#)),
            ("/srv/a\nb", None),
        ] {
            assert_eq!(quoted("", Path::new(path)).as_deref(), word, "{path}");
        }
        let odd = PathBuf::from(std::ffi::OsString::from_vec(b"/srv/\xff".to_vec()));
        assert_eq!(quoted("", &odd), None);
        let mut needs = needs(&[]);
        needs
            .buckets
            .push(("odd".parse().unwrap(), "/srv/a\nExecStart=/bin/x".into(), OUTPUT));
        let text = drop_in(&needs);
        assert!(!text.contains("\nExecStart"), "{text}");
        assert!(text.contains("# bucket odd"), "{text}");
    }
}
