//! `[bucket.NAME]`.

use std::path::Path;

use super::load::{place, span};
use super::{BucketConfig, LocalConfig, Place, S3Config, SqsConfig, WatchSource, WebhookConfig};
use crate::diagnostic::reader::{Page, Table, Value};
use crate::object::BucketName;
use crate::rule::check::or_default;

/// Keys that only a bucket over a network has ...
const FAR: [&str; 9] = [
    "s3",
    "endpoint",
    "region",
    "profile",
    "path_style",
    "ca",
    "watch",
    "sqs",
    "webhook",
];
/// ... that only a directory has ...
const NEAR: [&str; 3] = ["path", "poll", "settle"];
/// ... and that none has yet.
const LATER: [&str; 5] = ["nats", "amqp", "redis", "mqtt", "kafka"];

/// How often a bucket is listed about which somebody tells, and about which nobody does, in seconds.
const SWEEP: (u64, u64) = (3600, 60);

/// Reads one bucket; `folder` is that of the config file.
pub(super) fn bucket(name: &str, value: &Value<'_>, folder: &Path) -> Option<(BucketName, BucketConfig)> {
    let checked = name
        .parse()
        .map_err(|error: crate::object::InvalidName| {
            value.key_error(
                format!("\"{}\" is no name of a bucket", name.escape_debug()),
                error.to_string(),
            );
        })
        .ok();
    let mut table = value.table()?;
    let is_far = FAR.iter().any(|key| table.has(key));
    let (strange, kind) = if is_far {
        (&NEAR[..], "a bucket over a network")
    } else {
        (&FAR[..], "a directory")
    };
    let is_there: Vec<&str> = FAR.into_iter().chain(NEAR).filter(|key| table.has(key)).collect();
    let mut fits = true;
    for key in strange.iter().filter(|key| is_there.contains(*key)) {
        if let Some(value) = table.get(key) {
            fits = false;
            value.key_error(
                format!("`{}` says nothing about {kind}", value.path),
                "a bucket is a directory (`path`) or a bucket over a network (`s3`, `endpoint`), not both",
            );
        }
    }
    let place = if is_far {
        far(name, &mut table, folder).map(|s3| Place::S3(Box::new(s3)))
    } else {
        near(&mut table, folder).map(Place::Local)
    };
    let told = match &place {
        Some(Place::S3(s3)) => s3.watch.iter().any(|source| *source != WatchSource::List),
        _ => true,
    };
    let sweep = span(
        &mut table,
        "sweep",
        if told { SWEEP.0 } else { SWEEP.1 },
        1..=30 * 86_400,
    );
    table.finish(&LATER);
    Some((
        checked?,
        BucketConfig {
            place: place.filter(|_| fits)?,
            sweep: sweep?,
        },
    ))
}

fn near(table: &mut Table<'_>, folder: &Path) -> Option<LocalConfig> {
    let path = table
        .require(
            "path",
            "the directory: path = \"/srv/media/inbox\"; or, over a network, s3 = \"uploads\"",
        )
        .and_then(|value| place(&value, folder));
    let poll = span(table, "poll", 10, 1..=86_400);
    let settle = span(table, "settle", 2, 0..=86_400);
    Some(LocalConfig {
        path: path?,
        poll: poll?,
        settle: settle?,
    })
}

fn far(name: &str, table: &mut Table<'_>, folder: &Path) -> Option<S3Config> {
    let s3 = or_default(table.get("s3"), name.to_owned(), bucket_name);
    let endpoint = or_default(table.get("endpoint"), None, |value| url(value).map(Some));
    let region = or_default(table.get("region"), None, |value| word(value).map(Some));
    let profile = or_default(table.get("profile"), None, |value| word(value).map(Some));
    let path_style = or_default(table.get("path_style"), None, |value| value.boolean().map(Some));
    let ca = or_default(table.get("ca"), None, |value| place(value, folder).map(Some));
    let (has_sqs, has_webhook) = (table.has("sqs"), table.has("webhook"));
    let sqs = or_default(table.get("sqs"), None, |value| value.table().and_then(sqs).map(Some));
    let webhook = or_default(table.get("webhook"), None, |value| {
        value.table().and_then(|table| webhook(table, folder)).map(Some)
    });
    let watch = or_default(table.get("watch"), Vec::new(), |value| {
        sources(value, has_sqs, has_webhook)
    });
    let config = S3Config {
        s3: s3?,
        endpoint: endpoint?,
        region: region?,
        profile: profile?,
        path_style: false,
        ca: ca?,
        watch: watch?,
        sqs: sqs?,
        webhook: webhook?,
    };
    Some(S3Config {
        path_style: path_style?.unwrap_or(!config.is_aws()),
        ..config
    })
}

/// What a server may call a bucket: old ones have capital letters and underscores.
fn bucket_name(value: &Value<'_>) -> Option<String> {
    let text = value.text()?;
    let fits = (3..=255).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte));
    if !fits {
        value.error(
            format!("\"{}\" is no name of an S3 bucket", text.escape_debug()),
            "3 to 63 lower-case letters, digits, '-' and '.'; directories within it are said in rules",
        );
    }
    fits.then(|| text.to_owned())
}

fn url(value: &Value<'_>) -> Option<String> {
    let text = value.text()?;
    let fits = text.parse::<hyper::Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri
                .authority()
                .is_some_and(|authority| !authority.as_str().contains('@'))
            && uri.query().is_none()
    });
    if !fits {
        value.error(
            format!("`{}` is no URL of a server", value.path),
            "as in \"http://127.0.0.1:9000\" or \"https://s3.example.org\"; credentials do not belong into it",
        );
    }
    fits.then(|| text.trim_end_matches('/').to_owned())
}

fn word(value: &Value<'_>) -> Option<String> {
    let text = value.text()?;
    let fits = !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic());
    if !fits {
        value.error(format!("`{}` is no name", value.path), "one word");
    }
    fits.then(|| text.to_owned())
}

fn sources(value: &Value<'_>, has_sqs: bool, has_webhook: bool) -> Option<Vec<WatchSource>> {
    let mut sources = Vec::new();
    let mut fine = true;
    for one in value.list()? {
        let Some(source) = one.one_of(&WatchSource::ALL, &LATER) else {
            fine = false;
            continue;
        };
        let lacking = match source {
            WatchSource::Sqs if !has_sqs => Some("sqs = { queue = \"https://sqs...\" }"),
            WatchSource::Webhook if !has_webhook => {
                Some("webhook = { secret_file = \"/etc/reelmill/uploads.secret\" }")
            }
            _ => None,
        };
        if let Some(lacking) = lacking {
            fine = false;
            one.error(
                format!("\"{}\" needs more than its name", source.as_str()),
                format!("beside `watch`: {lacking}"),
            );
        }
        if !sources.contains(&source) {
            sources.push(source);
        }
    }
    fine.then_some(sources)
}

fn sqs(mut table: Table<'_>) -> Option<SqsConfig> {
    let queue = table
        .require(
            "queue",
            "the queue's URL: queue = \"https://sqs.eu-central-1.amazonaws.com/.../uploads\"",
        )
        .and_then(|value| url(&value));
    let endpoint = or_default(table.get("endpoint"), None, |value| url(value).map(Some));
    let region = or_default(table.get("region"), None, |value| word(value).map(Some));
    table.finish(&[]);
    Some(SqsConfig {
        queue: queue?,
        endpoint: endpoint?,
        region: region?,
    })
}

/// A secret that is shorter than this can be guessed.
const LEAST_SECRET: usize = 16;

fn webhook(mut table: Table<'_>, folder: &Path) -> Option<WebhookConfig> {
    let file = table
        .require(
            "secret_file",
            "a file with what whoever sends must know: secret_file = \"/etc/reelmill/uploads.secret\"",
        )
        .and_then(|value| place(&value, folder));
    table.finish(&[]);
    Some(WebhookConfig {
        secret: String::new(),
        secret_file: file?,
    })
}

/// What is wrong with a secret, and what would be right.
pub(super) const GUESSED: (&str, &str) = (
    "the secret can be guessed, or cannot stand in a URL",
    "16 letters, digits, '-', '_', '.' or '~' at least: `openssl rand -hex 24` makes one",
);

/// Whether this is long enough, and can stand in a URL.
pub(super) fn is_secret(text: &str) -> bool {
    text.len() >= LEAST_SECRET
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte))
}

/// Says which directories lie within others.
pub(super) fn warn_of_nested(page: &Page, buckets: &[((BucketName, BucketConfig), Value<'_>)]) {
    for (at, ((name, bucket), value)) in buckets.iter().enumerate() {
        let Some(path) = bucket.local().map(|local| &local.path) else {
            continue;
        };
        for ((other_name, other), _) in &buckets[..at] {
            let Some(other) = other.local().map(|local| &local.path) else {
                continue;
            };
            let message = if path == other {
                format!("buckets \"{other_name}\" and \"{name}\" are the same directory")
            } else if path.starts_with(other) {
                format!("bucket \"{name}\" lies within bucket \"{other_name}\"")
            } else if other.starts_with(path) {
                format!("bucket \"{other_name}\" lies within bucket \"{name}\"")
            } else {
                continue;
            };
            page.warning(
                value.key_span.clone(),
                message,
                "an object in both can start rules of both; use one bucket and rules with a `directory`",
            );
        }
    }
}
