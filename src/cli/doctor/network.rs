//! Which network the daemon needs, and whether its systemd unit lets it have that. Texts come in, findings go out.

use super::finding::{Finding, warn};
use crate::bucket::s3::is_loopback;
use crate::config::Config;

/// Which network the daemon needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Network {
    /// None.
    #[default]
    None,
    /// This machine's own.
    Here,
    /// Others.
    Any,
}

/// What this config needs. Where credentials come from is not in it: those of a machine's role or of a single sign-on come
/// over a network, too.
pub fn needed(config: &Config) -> Network {
    let of = |url: Option<&str>| match url {
        Some(url) if is_loopback(url) => Network::Here,
        _ => Network::Any,
    };
    let mut needed = match config.http {
        None => Network::None,
        Some(at) if at.ip().is_loopback() => Network::Here,
        Some(_) => Network::Any,
    };
    for s3 in config.buckets.values().filter_map(|bucket| bucket.s3()) {
        needed = needed.max(of(s3.endpoint.as_deref()));
        if let Some(sqs) = &s3.sqs {
            needed = needed.max(of(Some(sqs.endpoint.as_deref().unwrap_or(&sqs.queue))));
        }
    }
    needed
}

/// Says whether the unit that is installed here, its own text first and then its drop-ins, lets the daemon have it.
pub fn unit(needed: Network, texts: &[String]) -> Option<Finding> {
    if needed == Network::None || texts.is_empty() {
        return None;
    }
    let forbids = forbidden(needed, texts);
    if forbids.is_empty() {
        return None;
    }
    let says = format!(
        "the service reelmill may not use the network that buckets or [http] need: {}",
        forbids.join(", ")
    );
    let help = "put what `reelmill doctor --unit` prints into `systemctl edit reelmill`, and restart it";
    Some(warn("unit", says, help))
}

/// What in a unit keeps it from this network.
fn forbidden(needed: Network, texts: &[String]) -> Vec<String> {
    let is_private = values(texts, "PrivateNetwork").last().is_some_and(|value| {
        ["yes", "true", "on", "1"]
            .iter()
            .any(|yes| value.eq_ignore_ascii_case(yes))
    });
    let families = words(texts, "RestrictAddressFamilies");
    let denied = words(texts, "IPAddressDeny");
    let allowed = words(texts, "IPAddressAllow");
    let mut forbids = Vec::new();
    if is_private {
        forbids.push("PrivateNetwork=yes".to_owned());
    }
    let is_list = families.first().is_some_and(|first| !first.starts_with('~'));
    let has = |family: &str| families.iter().any(|one| one == family);
    if is_list && !(has("AF_INET") || has("AF_INET6")) {
        forbids.push(format!("RestrictAddressFamilies={}", families.join(" ")));
    }
    let enough: &[&str] = match needed {
        Network::Any => &["any"],
        _ => &["any", "localhost", "127.0.0.0/8"],
    };
    // An address of one's own choice may well be the one that is needed.
    let is_let = allowed
        .iter()
        .any(|one| enough.contains(&one.as_str()) || (one != "localhost" && one != "127.0.0.0/8"));
    if denied.iter().any(|one| one == "any") && !is_let {
        forbids.push("IPAddressDeny=any".to_owned());
    }
    forbids
}

/// The values of an assignment in `[Service]`, one after the other.
fn values<'a>(texts: &'a [String], key: &'a str) -> impl Iterator<Item = &'a str> {
    texts.iter().flat_map(move |text| {
        let mut is_service = false;
        text.lines().filter_map(move |line| {
            let line = line.trim();
            if line.starts_with('[') {
                is_service = line == "[Service]";
            }
            let (name, value) = line.split_once('=')?;
            (is_service && name.trim_end() == key).then(|| value.trim())
        })
    })
}

/// The words of a list: each assignment adds some, an empty one takes all away.
fn words(texts: &[String], key: &str) -> Vec<String> {
    let mut words = Vec::new();
    for value in values(texts, key) {
        if value.is_empty() {
            words.clear();
        }
        words.extend(value.split_whitespace().map(str::to_owned));
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: &str = include_str!("../../../deploy/reelmill.service");

    #[test]
    fn the_unit_that_comes_with_it_forbids_every_network() {
        let texts = [UNIT.to_owned()];
        assert_eq!(unit(Network::None, &texts), None);
        assert_eq!(unit(Network::Any, &[]), None, "there is no unit");
        for needed in [Network::Here, Network::Any] {
            let found = unit(needed, &texts).unwrap();
            assert!(
                found
                    .says
                    .ends_with("PrivateNetwork=yes, RestrictAddressFamilies=AF_UNIX, IPAddressDeny=any"),
                "{found:?}"
            );
        }
    }

    #[test]
    fn what_the_doctor_prints_is_enough() {
        for needed in [Network::Here, Network::Any] {
            let needs = super::super::unit::Needs {
                network: needed,
                ..Default::default()
            };
            let texts = [UNIT.to_owned(), super::super::unit::drop_in(&needs)];
            assert_eq!(unit(needed, &texts), None, "{texts:?}");
        }
        let needs = super::super::unit::Needs {
            network: Network::Here,
            ..Default::default()
        };
        let texts = [UNIT.to_owned(), super::super::unit::drop_in(&needs)];
        let found = unit(Network::Any, &texts).unwrap();
        assert!(found.says.ends_with(": IPAddressDeny=any"), "{found:?}");
    }
}
