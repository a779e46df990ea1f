//! Says who tells of new objects in a bucket over a network, and what is missing for it. What was seen comes in.

use std::net::SocketAddr;

use super::commands::{Setup, aws, ceph, minio, put_notifications};
use super::tried::Tried;
use crate::bucket::s3::inspect::{Notifications, Route};
use crate::cli::exit::Code;
use crate::config::{S3Config, WatchSource};
use crate::object::{BucketName, Directory};
use crate::watch::sqs::attributes::Attributes;

/// What kind of server it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Amazon's.
    Aws,
    /// MinIO, and what is like it.
    MinIo,
    /// Ceph's gateway.
    Ceph,
    /// It does not say.
    Other,
}

impl Kind {
    /// By what it says of itself.
    pub fn of(config: &S3Config, software: Option<&str>) -> Self {
        let says = software.unwrap_or_default().to_ascii_lowercase();
        match says.as_str() {
            _ if config.is_aws() => Self::Aws,
            says if says.contains("minio") || says.contains("rustfs") => Self::MinIo,
            says if says.contains("ceph") || says.contains("rgw") => Self::Ceph,
            _ => Self::Other,
        }
    }
}

/// What was seen.
#[derive(Debug, Clone)]
pub struct Seen<'a> {
    /// Its name in the config.
    pub bucket: &'a BucketName,
    /// How it is reached.
    pub config: &'a S3Config,
    /// Where requests about objects are taken.
    pub http: Option<SocketAddr>,
    /// This machine's name.
    pub host: String,
    /// The region that requests are signed for.
    pub region: String,
    /// The server.
    pub kind: Kind,
    /// Where rules look for sources.
    pub directories: &'a [Directory],
    /// Whom the bucket tells; or why that is not known.
    pub notifications: &'a Result<Notifications, Tried>,
    /// The queue, where the config names one; or why nothing is known of it.
    pub queue: Option<&'a Result<Attributes, String>>,
    /// How the stream stands, where one is listened to.
    pub stream: Option<&'a Result<String, String>>,
}

/// Says who tells.
pub fn judge(seen: &Seen<'_>) -> Vec<Tried> {
    let mut tried = Vec::new();
    let told = |source| seen.config.watch.contains(&source);
    if told(WatchSource::Listen)
        && let Some(stream) = seen.stream
    {
        tried.push(match stream {
            Ok(words) => Tried::good("listen", words.clone()),
            Err(words) => Tried::failed(Code::Unavailable, "listen", words.clone()),
        });
    }
    if told(WatchSource::Sqs) {
        tried.push(queue(seen));
        tried.push(towards_queue(seen));
    }
    if told(WatchSource::Webhook) {
        tried.push(towards_here(seen));
    }
    if tried.is_empty() {
        tried.push(Tried::good(
            "notifications",
            "nobody tells of new objects: it is listed",
        ));
    }
    tried
}

fn queue(seen: &Seen<'_>) -> Tried {
    let what = "queue";
    match seen.queue {
        Some(Ok(queue)) => match &queue.receiving {
            Some(Err(words)) => Tried::failed(Code::Permission, what, words.clone()),
            receiving => {
                let waiting = match queue.waiting {
                    0 => "empty".to_owned(),
                    some => format!("about {some} waiting"),
                };
                let untried = match receiving {
                    Some(_) => "",
                    None => "; receiving was not tried, since that would take a message",
                };
                if queue.has_dead_letters {
                    Tried::good(what, format!("{waiting}{untried}"))
                } else {
                    let says = format!("{waiting}{untried}; it has no queue of dead letters (RedrivePolicy)");
                    Tried::warning(what, says)
                }
            }
        },
        Some(Err(words)) => {
            let code = if words.contains("not permitted") {
                Code::Permission
            } else {
                Code::Unavailable
            };
            Tried::failed(code, what, words.clone())
        }
        None => Tried::failed(Code::Config, what, "the config names no queue"),
    }
}

fn towards_queue(seen: &Seen<'_>) -> Tried {
    let what = "notifications";
    let found = match seen.notifications {
        Ok(found) => found,
        Err(tried) => return tried.clone(),
    };
    let config = seen.config.sqs.as_ref();
    let known = seen.queue.and_then(|queue| queue.as_ref().ok());
    let arn = known
        .map(|queue| queue.arn.clone())
        .filter(|arn| !arn.is_empty())
        .or_else(|| config.and_then(|sqs| arn_of(&sqs.queue)))
        .unwrap_or_else(|| "QUEUE-ARN".to_owned());
    let direct: Vec<&Route> = found.queues.iter().filter(|route| route.arn == arn).collect();
    let topics: Vec<&Route> = found.topics.iter().collect();
    let setup = setup(seen);
    let missing = |says: String| {
        let mut commands = vec![aws(&setup, &arn)];
        let mut says = says;
        if found.is_empty() {
            commands.push(put_notifications(&setup, &arn));
            says.push_str("; either of these adds it");
        } else {
            says.push_str(
                "; this adds it and keeps what is there (a bare put-bucket-notification-configuration would replace it)",
            );
        }
        Tried::failed(Code::Config, what, says).with_commands(commands)
    };
    match covered(&direct, seen.directories) {
        Covered::All => return Tried::good(what, format!("new objects are told to {arn}")),
        Covered::Some(lack) => return missing(format!("{arn} is told of some new objects only: {lack}")),
        Covered::None => {}
    }
    if let Covered::All = covered(&topics, seen.directories) {
        let topic = topics.first().map_or("a topic", |route| route.arn.as_str());
        let says = format!("new objects are told to {topic}; that it goes on to {arn} cannot be seen from here");
        return Tried::good(what, says);
    }
    if found.event_bridge {
        let says = format!("all goes to EventBridge; that a rule there goes on to {arn} cannot be seen from here");
        return Tried::good(what, says);
    }
    missing(format!("nothing is told to {arn}"))
}

fn towards_here(seen: &Seen<'_>) -> Tried {
    let what = "notifications";
    let Some(http) = seen.http else {
        let says = "requests are taken nowhere: the config needs [http] with `listen`";
        return Tried::failed(Code::Config, what, says);
    };
    if seen.kind == Kind::Aws {
        let says = "AWS sends no such requests: use watch = [\"sqs\"], with deploy/notifications/aws.sh";
        return Tried::failed(Code::Config, what, says);
    }
    let setup = setup(seen);
    let url = setup.url(http);
    let commands = match seen.kind {
        Kind::MinIo => minio(&setup, &url),
        Kind::Ceph => ceph(&setup, &url),
        Kind::Other | Kind::Aws => {
            let mut both = vec!["# MinIO and its kin:".to_owned()];
            both.extend(minio(&setup, &url));
            both.push("# Ceph:".to_owned());
            both.extend(ceph(&setup, &url));
            both
        }
    };
    let far = http.ip().is_loopback() && !setup.is_here();
    let unreachable = if far {
        format!("; and the server cannot reach {http}: let `http.listen` name an address of this machine's network")
    } else {
        String::new()
    };
    let found = match seen.notifications {
        Ok(found) => found,
        Err(tried) => {
            let says = format!("{}; requests go to {url}", tried.says.clone().unwrap_or_default());
            return Tried::warning(what, says).with_commands(commands);
        }
    };
    let routes: Vec<&Route> = found.queues.iter().chain(&found.topics).collect();
    match covered(&routes, seen.directories) {
        Covered::All => {
            let arn = routes.first().map_or("", |route| route.arn.as_str());
            let says = format!("new objects are told to {arn}; it must send them to {url}{unreachable}");
            if far {
                Tried::warning(what, says)
            } else {
                Tried::good(what, says)
            }
        }
        Covered::Some(lack) => {
            let says = format!("some new objects only are told: {lack}{unreachable}");
            Tried::failed(Code::Config, what, says).with_commands(commands)
        }
        Covered::None => {
            let says = format!("the bucket tells nobody of new objects; these let it tell {url}{unreachable}");
            Tried::failed(Code::Config, what, says).with_commands(commands)
        }
    }
}

fn setup<'a>(seen: &'a Seen<'_>) -> Setup<'a> {
    // Filters of one bucket may not overlap, so several directories are told of without one.
    let prefix = match seen.directories {
        [one] => one.as_str(),
        _ => "",
    };
    Setup {
        bucket: seen.bucket,
        config: seen.config,
        region: &seen.region,
        host: &seen.host,
        prefix,
    }
}

/// How much of what rules want routes tell of.
#[derive(Debug, PartialEq, Eq)]
enum Covered {
    All,
    /// Less, and what is missing.
    Some(String),
    None,
}

/// Every way in which an object comes to be.
const WAYS: [&str; 4] = ["Put", "Post", "Copy", "CompleteMultipartUpload"];

fn covered(routes: &[&Route], directories: &[Directory]) -> Covered {
    let mut tells = false;
    let mut lacks = Vec::new();
    let whole = [Directory::default()];
    let directories = if directories.is_empty() { &whole } else { directories };
    for directory in directories {
        let here: Vec<&&Route> = routes
            .iter()
            .filter(|route| directory.as_str().starts_with(&route.prefix))
            .filter(|route| route.events.iter().any(|event| way(event).is_some()))
            .collect();
        tells |= !here.is_empty() || routes.iter().any(|route| route.prefix.starts_with(directory.as_str()));
        if here.is_empty() {
            lacks.push(format!("none below \"{}\"", directory.as_str()));
            continue;
        }
        if here.iter().all(|route| !route.suffix.is_empty()) {
            let suffixes: Vec<&str> = here.iter().map(|route| route.suffix.as_str()).collect();
            lacks.push(format!("only names that end in {}", suffixes.join(", ")));
            continue;
        }
        let told = |wanted: &str| {
            let events = here
                .iter()
                .flat_map(|route| &route.events)
                .filter_map(|event| way(event));
            events.into_iter().any(|way| way == "*" || way == wanted)
        };
        let missing: Vec<&str> = WAYS.into_iter().filter(|way| !told(way)).collect();
        if !missing.is_empty() {
            lacks.push(format!("no ObjectCreated:{}", missing.join(", ")));
        }
    }
    match (tells, lacks.is_empty()) {
        (true, true) => Covered::All,
        (true, false) => Covered::Some(lacks.join("; ")),
        (false, _) => Covered::None,
    }
}

/// The way of `s3:ObjectCreated:WAY`; none for other events.
fn way(event: &str) -> Option<&str> {
    let event = event.strip_prefix("s3:").unwrap_or(event);
    event
        .strip_prefix("ObjectCreated:")
        .or_else(|| (event == "*").then_some("*"))
}

/// The name of a queue for those who send to it, from its URL at AWS.
fn arn_of(url: &str) -> Option<String> {
    let (_, rest) = url.split_once("://sqs.")?;
    let (host, path) = rest.split_once('/')?;
    let region = host.split('.').next()?;
    let (account, name) = path.trim_end_matches('/').split_once('/')?;
    let part = match host.split_once(".amazonaws.com")?.1 {
        "" => "aws",
        ".cn" => "aws-cn",
        _ => return None,
    };
    Some(format!("arn:{part}:sqs:{region}:{account}:{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(events: &[&str], prefix: &str, suffix: &str) -> Route {
        Route {
            arn: "arn:aws:sqs:eu-west-1:1:uploads".to_owned(),
            events: events.iter().map(|event| (*event).to_owned()).collect(),
            prefix: prefix.to_owned(),
            suffix: suffix.to_owned(),
        }
    }

    fn config(watch: &[WatchSource]) -> S3Config {
        S3Config {
            s3: "up".to_owned(),
            endpoint: None,
            region: Some("eu-west-1".to_owned()),
            profile: None,
            path_style: false,
            ca: None,
            watch: watch.to_vec(),
            sqs: Some(crate::config::SqsConfig {
                queue: "https://sqs.eu-west-1.amazonaws.com/1/uploads".to_owned(),
                endpoint: None,
                region: None,
            }),
            webhook: None,
        }
    }

    fn judged(
        config: &S3Config,
        kind: Kind,
        http: Option<&str>,
        found: Notifications,
        queue: Option<&Result<Attributes, String>>,
    ) -> Vec<Tried> {
        judge(&Seen {
            bucket: &"uploads".parse().unwrap(),
            config,
            http: http.map(|http| http.parse().unwrap()),
            host: "mill".to_owned(),
            region: "eu-west-1".to_owned(),
            kind,
            directories: &[Directory::new("in").unwrap()],
            notifications: &Ok(found),
            queue,
            stream: None,
        })
    }

    #[test]
    fn what_routes_tell_of_is_compared_with_what_rules_want() {
        let directories = [Directory::new("in/films").unwrap()];
        let all = "s3:ObjectCreated:*";
        for (routes, expected) in [
            (vec![], Covered::None),
            (vec![route(&[all], "", "")], Covered::All),
            (vec![route(&[all], "in/", "")], Covered::All),
            (vec![route(&[all], "in/fil", "")], Covered::All),
            (vec![route(&["s3:ObjectRemoved:*"], "", "")], Covered::None),
            (vec![route(&[all], "out/", "")], Covered::None),
            (
                vec![route(&[all], "in/films/new/", "")],
                Covered::Some("none below \"in/films/\"".to_owned()),
            ),
            (
                vec![route(&[all], "", ".mp4"), route(&[all], "", ".mov")],
                Covered::Some("only names that end in .mp4, .mov".to_owned()),
            ),
            (
                vec![route(&["s3:ObjectCreated:Put", "s3:ObjectCreated:Post"], "", "")],
                Covered::Some("no ObjectCreated:Copy, CompleteMultipartUpload".to_owned()),
            ),
        ] {
            let routes: Vec<&Route> = routes.iter().collect();
            assert_eq!(covered(&routes, &directories), expected, "{routes:?}");
        }
    }

    #[test]
    fn the_name_of_a_queue_stands_in_its_url() {
        let arn = arn_of("https://sqs.eu-west-1.amazonaws.com/123456789012/up");
        assert_eq!(arn.as_deref(), Some("arn:aws:sqs:eu-west-1:123456789012:up"));
        assert_eq!(arn_of("http://127.0.0.1:5000/123456789012/up"), None);
    }

    #[test]
    fn a_missing_notification_comes_with_the_command_that_adds_it() {
        let queue = Ok(Attributes {
            arn: "arn:aws:sqs:eu-west-1:1:uploads".to_owned(),
            has_dead_letters: true,
            receiving: Some(Ok(())),
            ..Attributes::default()
        });
        let config = config(&[WatchSource::Sqs]);
        let tried = judged(&config, Kind::Aws, None, Notifications::default(), Some(&queue));
        insta::assert_snapshot!(serde_json::to_string_pretty(&tried).unwrap());
        let others = Notifications {
            functions: 1,
            ..Notifications::default()
        };
        let tried = judged(&config, Kind::Aws, None, others, Some(&queue));
        assert_eq!(tried[1].commands.len(), 1, "nothing that would be replaced: {tried:?}");
        let there = Notifications {
            queues: vec![route(&["s3:ObjectCreated:*"], "in/", "")],
            ..Notifications::default()
        };
        let tried = judged(&config, Kind::Aws, None, there, Some(&queue));
        assert!(tried.iter().all(|one| one.code.is_none()), "{tried:?}");
    }

    #[test]
    fn servers_that_send_requests_are_told_where_to() {
        let config = S3Config {
            endpoint: Some("http://store.example:9000".to_owned()),
            path_style: true,
            ..config(&[WatchSource::Webhook])
        };
        let http = Some("0.0.0.0:8480");
        for kind in [Kind::MinIo, Kind::Ceph] {
            let tried = judged(&config, kind, http, Notifications::default(), None);
            insta::assert_snapshot!(format!("{kind:?}"), serde_json::to_string_pretty(&tried).unwrap());
        }
        let tried = judged(
            &config,
            Kind::MinIo,
            Some("127.0.0.1:8480"),
            Notifications::default(),
            None,
        );
        assert!(tried[0].says.as_ref().unwrap().contains("cannot reach"), "{tried:?}");
        let tried = judged(&config, Kind::Aws, http, Notifications::default(), None);
        assert!(tried[0].says.as_ref().unwrap().contains("sqs"), "{tried:?}");
    }

    #[test]
    fn a_queue_that_may_not_be_asked_is_no_permission() {
        let config = config(&[WatchSource::Sqs]);
        let refused = Err("not permitted: these credentials need sqs:GetQueueAttributes on the queue x".to_owned());
        let tried = judged(&config, Kind::Aws, None, Notifications::default(), Some(&refused));
        assert_eq!(tried[0].code, Some(Code::Permission));
    }
}
