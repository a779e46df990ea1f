//! The commands that let a server tell of new objects, as one would type them. Secrets are never in them.

use std::net::{IpAddr, SocketAddr};

use serde_json::json;

use crate::bucket::s3::is_loopback;
use crate::config::S3Config;
use crate::object::BucketName;

/// What commands are about.
#[derive(Debug, Clone, Copy)]
pub struct Setup<'a> {
    /// Its name in the config.
    pub bucket: &'a BucketName,
    /// How it is reached.
    pub config: &'a S3Config,
    /// Its region.
    pub region: &'a str,
    /// This machine's name.
    pub host: &'a str,
    /// The keys that are to be told of begin so.
    pub prefix: &'a str,
}

impl Setup<'_> {
    /// Whether the server is on this machine.
    pub fn is_here(&self) -> bool {
        self.config.endpoint.as_deref().is_some_and(is_loopback)
    }

    /// Where requests about the bucket go.
    pub fn url(&self, http: SocketAddr) -> String {
        let host = match http.ip() {
            ip if ip.is_unspecified() && self.is_here() => "127.0.0.1".to_owned(),
            ip if ip.is_unspecified() => self.host.to_owned(),
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        format!("http://{host}:{}/hooks/{}", http.port(), self.bucket)
    }

    /// The prefix, where there is one.
    fn filter(&self) -> Option<&str> {
        Some(self.prefix).filter(|prefix| !prefix.is_empty())
    }

    /// `aws`, to the right server.
    fn cli(&self, endpoint: Option<&str>, region: &str) -> String {
        let mut words = vec!["aws".to_owned()];
        words.extend(option("--profile", self.config.profile.as_deref()));
        words.extend(option("--endpoint-url", endpoint));
        words.extend(option("--region", Some(region)));
        words.join(" ")
    }
}

/// The script that makes the queue, lets the bucket write to it, and keeps what is told to others.
pub fn aws(setup: &Setup<'_>, queue: &str) -> String {
    let config = setup.config;
    let name = queue.rsplit(':').next().unwrap_or(queue);
    let mut words = vec!["deploy/notifications/aws.sh".to_owned()];
    for (name, value) in [
        ("--bucket", Some(config.s3.as_str())),
        ("--queue", Some(name)),
        ("--region", Some(setup.region)),
        ("--profile", config.profile.as_deref()),
        ("--endpoint-url", config.endpoint.as_deref()),
        ("--prefix", setup.filter()),
    ] {
        words.extend(option(name, value));
    }
    words.join(" ")
}

/// The bare call: it replaces every notification that is there.
pub fn put_notifications(setup: &Setup<'_>, queue: &str) -> String {
    let route = route("QueueArn", queue, setup);
    let whole = json!({ "QueueConfigurations": [route] });
    put(setup, &whole)
}

fn put(setup: &Setup<'_>, configuration: &serde_json::Value) -> String {
    format!(
        "{} s3api put-bucket-notification-configuration --bucket {} --notification-configuration {}",
        setup.cli(setup.config.endpoint.as_deref(), setup.region),
        quoted(&setup.config.s3),
        quoted(&configuration.to_string())
    )
}

fn route(kind: &str, arn: &str, setup: &Setup<'_>) -> serde_json::Value {
    let mut route = json!({
        "Id": format!("reelmill-{}", setup.bucket),
        kind: arn,
        "Events": ["s3:ObjectCreated:*"],
    });
    if let Some(prefix) = setup.filter() {
        route["Filter"] = json!({ "Key": { "FilterRules": [{ "Name": "prefix", "Value": prefix }] } });
    }
    route
}

/// For MinIO: a target, a restart that makes it known, and the bucket's events.
pub fn minio(setup: &Setup<'_>, url: &str) -> Vec<String> {
    let target = target(setup.bucket);
    let bucket = quoted(&format!("ALIAS/{}", setup.config.s3));
    let mut event = vec![format!(
        "mc event add {bucket} arn:minio:sqs::{target}:webhook --event put --ignore-existing"
    )];
    event.extend(option("--prefix", setup.filter()));
    vec![
        format!(
            "mc admin config set ALIAS notify_webhook:{target} endpoint={} auth_token=\"$(cat SECRET-FILE)\"",
            quoted(url)
        ),
        "mc admin service restart ALIAS".to_owned(),
        event.join(" "),
    ]
}

/// A name that MinIO takes for a target.
fn target(bucket: &BucketName) -> String {
    let plain = bucket.as_str().chars();
    let plain: String = plain.map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    format!("reelmill_{plain}")
}

/// For Ceph: a topic that sends requests, and the bucket's events. It can send no header, so the secret stands in the URL.
pub fn ceph(setup: &Setup<'_>, url: &str) -> Vec<String> {
    let topic = format!("reelmill-{}", setup.bucket.as_str().replace('.', "-"));
    let endpoint = setup.config.endpoint.as_deref();
    let create = format!(
        "{} sns create-topic --name {topic} --attributes push-endpoint={url}/\"$(cat SECRET-FILE)\"",
        setup.cli(endpoint, "default")
    );
    let arn = format!("arn:aws:sns:default::{topic}");
    let whole = json!({ "TopicConfigurations": [route("TopicArn", &arn, setup)] });
    vec![create, put(setup, &whole)]
}

/// An option, where it has a value.
fn option(name: &str, value: Option<&str>) -> Option<String> {
    value.map(|value| format!("{name} {}", quoted(value)))
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@,+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_as_a_shell_takes_them() {
        for (word, shown) in [
            ("uploads", "uploads"),
            ("in/a b/", "'in/a b/'"),
            ("it's", r"'it'\''s'"),
            ("$(rm x)", "'$(rm x)'"),
            ("", "''"),
        ] {
            assert_eq!(quoted(word), shown);
        }
    }
}
