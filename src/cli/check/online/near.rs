//! Says of a directory what `--online` says of a bucket over a network; the doctor looks at it.

use super::tried::Tried;
use crate::bucket::mounts::sends_events;
use crate::cli::doctor::{Known, Role, look, user_name};
use crate::cli::exit::Code;
use crate::cli::output::span;
use crate::config::Config;
use crate::object::BucketName;

/// What is to be said of the directory of this bucket.
pub fn tried(config: &Config, name: &BucketName, role: Role) -> Vec<Tried> {
    let user = user_name();
    let Some((seen, finding)) = look(config, name, role, &user) else {
        return Vec::new();
    };
    let mut tried = Vec::new();
    if let Some(code) = finding.code {
        let says = match &finding.help {
            Some(help) => format!("{}; {help}", finding.says),
            None => finding.says.clone(),
        };
        // Too little room is no matter of what is permitted.
        if code == Code::Temporary && seen.place.trouble.is_none() {
            tried.push(Tried::warning("room", says));
        } else {
            tried.push(Tried::failed(code, "directory", says));
            return tried;
        }
    }
    tried.push(match &seen.known {
        Known::Yes => Tried::good("marker", "it is the directory that it was"),
        Known::New => Tried::good("marker", "the daemon has not met it yet"),
        Known::Another(reason) => Tried::failed(Code::NoInput, "marker", reason.clone()),
        Known::Untold => Tried::warning("marker", format!("{user} may not know")),
    });
    tried.push(Tried::ok("readable"));
    tried.push(match (seen.place.writable, role.writes()) {
        (_, false) => Tried::not_needed("writable"),
        (true, true) => Tried::ok("writable"),
        (false, true) => Tried::failed(Code::Permission, "writable", format!("{user} may not write there")),
    });
    let file_system = seen.place.file_system.as_deref().unwrap_or("unknown file system");
    tried.push(if !role.watched {
        Tried::not_needed("events")
    } else if sends_events(file_system) {
        Tried::good("events", format!("{file_system} sends them"))
    } else {
        let every = span(seen.poll.as_secs());
        Tried::good(
            "events",
            format!("{file_system} sends none: it is looked at every {every}"),
        )
    });
    tried
}
