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

    /// `aws`, to the right server.
    fn cli(&self, endpoint: Option<&str>, region: &str) -> String {
        let mut words = "aws".to_owned();
        if let Some(profile) = &self.config.profile {
            words.push_str(&format!(" --profile {}", quoted(profile)));
        }
        if let Some(endpoint) = endpoint {
            words.push_str(&format!(" --endpoint-url {}", quoted(endpoint)));
        }
        words.push_str(&format!(" --region {}", quoted(region)));
        words
    }
}

/// The script that makes the queue, lets the bucket write to it, and keeps what is told to others.
pub fn aws(setup: &Setup<'_>, queue: &str) -> String {
    let config = setup.config;
    let name = queue.rsplit(':').next().unwrap_or(queue);
    let mut words = format!(
        "deploy/notifications/aws.sh --bucket {} --queue {} --region {}",
        quoted(&config.s3),
        quoted(name),
        quoted(setup.region)
    );
    if let Some(profile) = &config.profile {
        words.push_str(&format!(" --profile {}", quoted(profile)));
    }
    if let Some(endpoint) = &config.endpoint {
        words.push_str(&format!(" --endpoint-url {}", quoted(endpoint)));
    }
    if !setup.prefix.is_empty() {
        words.push_str(&format!(" --prefix {}", quoted(setup.prefix)));
    }
    words
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
    if !setup.prefix.is_empty() {
        route["Filter"] = json!({ "Key": { "FilterRules": [{ "Name": "prefix", "Value": setup.prefix }] } });
    }
    route
}

/// For MinIO: a target, a restart that makes it known, and the bucket's events.
pub fn minio(setup: &Setup<'_>, url: &str) -> Vec<String> {
    let target = target(setup.bucket);
    let bucket = quoted(&format!("ALIAS/{}", setup.config.s3));
    let mut event = format!("mc event add {bucket} arn:minio:sqs::{target}:webhook --event put --ignore-existing");
    if !setup.prefix.is_empty() {
        event.push_str(&format!(" --prefix {}", quoted(setup.prefix)));
    }
    vec![
        format!(
            "mc admin config set ALIAS notify_webhook:{target} endpoint={} auth_token=\"$(cat SECRET-FILE)\"",
            quoted(url)
        ),
        "mc admin service restart ALIAS".to_owned(),
        event,
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
