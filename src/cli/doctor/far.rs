//! Judges buckets over a network: whether they answer, how they are reached, as whom, and by which clock.

use std::time::Duration;

use jiff::Timestamp;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::finding::{Finding, bad, ok, warn};
use crate::bucket::s3::inspect::{Server, credentials};
use crate::bucket::s3::{S3Remote, is_plain, sdk};
use crate::bucket::{BucketError, s3};
use crate::cli::exit::Code;
use crate::cli::output::span;
use crate::config::{Config, S3Config};
use crate::object::BucketName;

/// How long a server, or whoever has the credentials, may take to answer.
const ANSWER: Duration = Duration::from_secs(10);

/// A difference of clocks in seconds that is worth a word; at 15 min servers refuse requests.
const OFF: u64 = 60;

/// What was seen of a bucket.
#[derive(Debug, Default)]
pub struct Seen {
    /// Where it is, for people.
    pub location: String,
    /// The server's URL; none: AWS.
    pub endpoint: Option<String>,
    /// The region that requests are signed for.
    pub region: String,
    /// Where credentials come from; or why there are none.
    pub credentials: Option<Result<String, String>>,
    /// Whether it answered, and else in words why not; none: not in time.
    pub answer: Option<Result<(), String>>,
    /// What its server says of itself.
    pub server: Server,
    /// When that was, by the clock of this machine.
    pub now: Option<Timestamp>,
}

/// Asks all buckets over a network of the config, side by side.
pub fn look(config: &Config) -> Vec<Finding> {
    let far: Vec<_> = config
        .buckets
        .iter()
        .filter_map(|(name, bucket)| Some((name.clone(), bucket.s3()?.clone(), bucket.location())))
        .collect();
    if far.is_empty() {
        return Vec::new();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else {
        return vec![bad(
            Code::Internal,
            "buckets",
            "those over a network cannot be asked",
            "look at the limits of this user",
        )];
    };
    let mut findings: Vec<(BucketName, Finding)> = runtime.block_on(async {
        let mut asked = JoinSet::new();
        for (name, s3, location) in far {
            asked.spawn(async move {
                let seen = Seen {
                    location,
                    endpoint: s3.endpoint.clone(),
                    ..ask(&name, &s3).await
                };
                let finding = bucket(&name, &seen);
                (name, finding)
            });
        }
        let mut findings = Vec::new();
        while let Some(ended) = asked.join_next().await {
            findings.extend(ended.ok());
        }
        findings
    });
    runtime.shutdown_background();
    findings.sort_by(|(a, _), (b, _)| a.as_str().cmp(b.as_str()));
    findings.into_iter().map(|(_, finding)| finding).collect()
}

async fn ask(name: &BucketName, config: &S3Config) -> Seen {
    let refused = |error: &BucketError| Seen {
        answer: Some(Err(crate::service::with_causes(error))),
        ..Seen::default()
    };
    let sdk = match sdk(name, config, None).await {
        Ok(sdk) => sdk,
        Err(error) => return refused(&error),
    };
    let remote = match S3Remote::connect(name, config).await {
        Ok(remote) => remote,
        Err(error) => return refused(&error),
    };
    let credentials = timeout(ANSWER, credentials(&sdk)).await;
    let asked = timeout(ANSWER, remote.ask_server()).await.ok();
    let now = Timestamp::now();
    let (server, answer) = asked.map_or((Server::default(), None), |(server, answer)| {
        (server, Some(answer.map_err(|error| error.to_string())))
    });
    Seen {
        region: remote.region(),
        credentials: Some(credentials.unwrap_or_else(|_| Err("whoever has them does not answer".to_owned()))),
        answer,
        server,
        now: Some(now),
        ..Seen::default()
    }
}

/// Says how it stands with a bucket over a network.
pub fn bucket(name: &BucketName, seen: &Seen) -> Finding {
    let what = format!("bucket {name}");
    let place = &seen.location;
    let more = "`reelmill check --online` says more";
    let lead = format!("bucket {name}: ");
    match &seen.answer {
        None => {
            let says = format!("{place} does not answer within {} s", ANSWER.as_secs());
            return bad(
                Code::Unavailable,
                what,
                says,
                "look at `endpoint`, the network and the server",
            );
        }
        Some(Err(words)) => {
            let words = words.strip_prefix(&lead).unwrap_or(words);
            let (says, help) = match &seen.credentials {
                Some(Err(why)) => (format!("{place}: no credentials: {why}"), credentials_help(seen)),
                _ => (format!("{place}: {words}"), more.to_owned()),
            };
            return bad(Code::Unavailable, what, says, help);
        }
        Some(Ok(())) => {}
    }
    let as_whom = match &seen.credentials {
        Some(Ok(source)) => format!(", credentials {source}"),
        _ => String::new(),
    };
    let says = format!("{place} answers, region {}{as_whom}", seen.region);
    let off = match (seen.server.time, seen.now) {
        (Some(theirs), Some(ours)) => ours.duration_since(theirs).as_secs(),
        _ => 0,
    };
    if off.unsigned_abs() > OFF {
        let way = if off > 0 { "ahead of" } else { "behind" };
        let says = format!(
            "{says}; this machine's clock is {} {way} the server's",
            span(off.unsigned_abs())
        );
        return warn(
            what,
            says,
            "set the clocks, as with NTP: at 15 min requests are refused",
        );
    }
    let is_open = |url: &str| is_plain(url) && !s3::is_loopback(url);
    if seen.endpoint.as_deref().is_some_and(is_open) {
        let says = format!("{says}; what is sent can be read and changed on the way");
        return warn(what, says, "use https:// with `ca`, or a network that nobody else uses");
    }
    ok(what, says)
}

fn credentials_help(seen: &Seen) -> String {
    let named = "name a `profile` in the config, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";
    if seen.endpoint.is_none() {
        format!("{named}, or give the machine a role")
    } else {
        named.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    fn seen(endpoint: &str) -> Seen {
        Seen {
            location: format!("{endpoint}/up"),
            endpoint: Some(endpoint.to_owned()),
            region: "us-east-1".to_owned(),
            credentials: Some(Ok("from the environment".to_owned())),
            answer: Some(Ok(())),
            server: Server {
                software: None,
                time: "2026-11-21T12:00:00Z".parse().ok(),
            },
            now: "2026-11-21T12:00:02Z".parse().ok(),
        }
    }

    fn judged(seen: &Seen) -> Finding {
        bucket(&"uploads".parse().unwrap(), seen)
    }

    #[test]
    fn an_open_line_is_a_warning_beyond_this_machine() {
        for (endpoint, level) in [
            ("http://127.0.0.1:9000", Level::Ok),
            ("http://localhost:9000", Level::Ok),
            ("https://store.example", Level::Ok),
            ("http://store.example", Level::Warn),
            ("http://10.0.0.7:9000", Level::Warn),
        ] {
            assert_eq!(judged(&seen(endpoint)).level, level, "{endpoint}");
        }
    }

    #[test]
    fn clocks_that_differ_are_a_warning() {
        let later = Seen {
            now: "2026-11-21T12:05:00Z".parse().ok(),
            ..seen("https://store.example")
        };
        let found = judged(&later);
        assert_eq!(found.level, Level::Warn);
        assert!(found.says.contains("5 min ahead of"), "{found:?}");
    }

    #[test]
    fn a_server_that_is_away_and_credentials_that_are_missing_are_bad() {
        let away = Seen {
            answer: None,
            ..seen("https://store.example")
        };
        assert_eq!(judged(&away).code, Some(Code::Unavailable));
        let nobody = Seen {
            answer: Some(Err("bucket uploads: listing: no".to_owned())),
            credentials: Some(Err("nothing was found".to_owned())),
            ..seen("https://store.example")
        };
        let found = judged(&nobody);
        assert!(found.says.contains("no credentials: nothing was found"), "{found:?}");
        let refused = Seen {
            answer: Some(Err("bucket uploads: listing: AccessDenied (403)".to_owned())),
            ..seen("https://store.example")
        };
        assert_eq!(
            judged(&refused).says,
            "https://store.example/up: listing: AccessDenied (403)"
        );
    }
}
