//! `allow`: what a task may use besides its medium.

use std::path::{Component, Path, PathBuf};

use crate::diagnostic::reader::Value;
use crate::rule::Grants;

const HELP: &str = "allow = [\"network\", \"/srv/logos/logo.png\", \"/dev/dri/renderD128\"]";

/// Reads the list.
pub(super) fn allow(value: &Value<'_>) -> Option<Grants> {
    let mut grants = Grants::default();
    let mut sound = true;
    for one in value.list()? {
        let Some(text) = one.text() else {
            sound = false;
            continue;
        };
        if text == "network" {
            grants.network = true;
            one.warning(
                format!(
                    "`{}` lets whoever made the medium speak to the network, should he take the worker over",
                    one.path
                ),
                "take it out if the launch line needs no network; let rules with it see media that you trust",
            );
            continue;
        }
        match place(text) {
            Ok(path) if path.starts_with("/dev") => grants.devices.push(path),
            Ok(path) => grants.reads.push(path),
            Err(why) => {
                sound = false;
                one.error(
                    format!("`{}` cannot be \"{}\": {why}", one.path, text.escape_debug()),
                    HELP,
                );
            }
        }
    }
    sound.then_some(grants)
}

fn place(text: &str) -> Result<PathBuf, &'static str> {
    let path = Path::new(text);
    if !path.is_absolute() {
        return Err("it is neither \"network\" nor an absolute path");
    }
    if path.components().any(|part| part == Component::ParentDir) {
        return Err("it has `..` in it");
    }
    let path: PathBuf = path.components().collect();
    let wide = ["/proc", "/sys", "/run", "/etc", "/root"];
    if path.components().count() < 3 || wide.iter().any(|place| path == Path::new(place)) {
        return Err("that is too much: name the very files, or a folder of them");
    }
    if ["/proc", "/sys"].iter().any(|place| path.starts_with(place)) {
        return Err("it leads into the kernel");
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_files_or_folders_of_their_own() {
        for good in ["/srv/logos", "/usr/share/fonts/", "/dev/dri/renderD128"] {
            assert!(place(good).is_ok(), "{good}");
        }
        for wrong in [
            "",
            "logo.png",
            "/",
            "/etc",
            "/home",
            "/dev",
            "/srv/../etc/shadow",
            "/proc/1/environ",
        ] {
            assert!(place(wrong).is_err(), "{wrong}");
        }
    }
}
