//! Noticing objects by MinIO's stream of notifications.
//!
//! An ordinary signed request is answered without end: a line of JSON for each event, and signs of life between them.
//! It needs no set-up at the server. Nothing is acknowledged, and a reader that is too slow loses events without being
//! told, so what comes are hints; whenever a stream begins, what it may have missed is asked for as a listing.

mod lines;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use aws_types::SdkConfig;
use http_body_util::BodyExt;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use self::lines::{Line, Lines};
use self::stream::{NoStream, PING, Server};
use super::event::{Transport, parse};
use super::session::{Backoff, Connected, chain, jittered};
use super::{Sink, Wanted};
use crate::config::S3Config;

/// What the sink is told that this is.
const SOURCE: &str = "listen";
/// The longest prefix that a server takes, in bytes.
const LONGEST_PREFIX: usize = 1024;

/// The source of a bucket whose server sends a stream.
#[derive(Debug)]
pub struct ListenSource {
    server: Server,
    patience: Patience,
}

/// How long things may take.
#[derive(Debug, Clone)]
struct Patience {
    /// Until the server begins to answer, and between its signs of life.
    silence: Duration,
    /// The shortest and longest wait before it is asked again.
    backoff: (Duration, Duration),
    /// A stream that lasted so long was a good one.
    good: Duration,
    /// How often a server is asked again that has no such stream.
    seldom: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            silence: Duration::from_secs(3 * PING),
            backoff: (Duration::from_millis(250), Duration::from_secs(30)),
            good: Duration::from_secs(10),
            seldom: Duration::from_mins(10),
        }
    }
}

impl ListenSource {
    /// Of this bucket, with the region and credentials that `sdk` has for it.
    pub fn new(config: &S3Config, sdk: &SdkConfig) -> Self {
        let region = config
            .region
            .clone()
            .or_else(|| sdk.region().map(ToString::to_string))
            .unwrap_or_else(|| "us-east-1".to_owned());
        let endpoint = config
            .endpoint
            .clone()
            .or_else(|| sdk.endpoint_url().map(str::to_owned))
            .unwrap_or_else(|| format!("https://s3.{region}.amazonaws.com"));
        Self {
            server: Server {
                endpoint: endpoint.trim_end_matches('/').to_owned(),
                bucket: config.s3.clone(),
                path_style: config.path_style,
                region,
                ca: config.ca.clone(),
                credentials: sdk.credentials_provider(),
            },
            patience: Patience::default(),
        }
    }

    /// Watches until it is stopped.
    pub async fn run(self, sink: Arc<dyn Sink>, mut wanted: watch::Receiver<Wanted>, stop: CancellationToken) {
        loop {
            let now = wanted.borrow_and_update().clone();
            sink.watching(now.book);
            let prefix = prefix(&now);
            let follow = wanted.clone();
            let listening = async {
                if let Some(prefix) = &prefix {
                    self.listen(&*sink, &follow, prefix).await;
                } else {
                    sink.health(true, "no rule watches it".to_owned());
                    std::future::pending::<()>().await;
                }
            };
            tokio::pin!(listening);
            // A stream goes on while it has all that is wanted.
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = &mut listening => break,
                    changed = wanted.changed() => {
                        if changed.is_err() {
                            return;
                        }
                        let now = wanted.borrow().clone();
                        if !covers(prefix.as_deref(), &now) {
                            break;
                        }
                        wanted.mark_unchanged();
                        sink.watching(now.book);
                    }
                }
            }
        }
    }

    /// Asks for streams of what is under `prefix`, one after the other, for ever.
    async fn listen(&self, sink: &dyn Sink, wanted: &watch::Receiver<Wanted>, prefix: &str) {
        let mut backoff = Backoff::new(self.patience.backoff);
        loop {
            let began = Instant::now();
            let wait = match self.session(sink, wanted, prefix).await {
                NoStream::Lost(why) => {
                    sink.health(false, why);
                    if began.elapsed() > self.patience.good {
                        backoff.reset();
                    }
                    backoff.wait()
                }
                NoStream::Cannot(why) => {
                    sink.health(false, why);
                    jittered(self.patience.seldom)
                }
            };
            sleep(wait).await;
        }
    }

    /// One stream from its beginning to its end, and why it ended.
    async fn session(&self, sink: &dyn Sink, wanted: &watch::Receiver<Wanted>, prefix: &str) -> NoStream {
        let silent = || {
            let seconds = self.patience.silence.as_secs();
            NoStream::Lost(format!("{} said nothing for {seconds} s", self.server.endpoint))
        };
        let open = async {
            let connector = self.server.connector().await?;
            self.server.open(&connector, prefix).await
        };
        let (mut body, certain) = match timeout(self.patience.silence, open).await {
            Ok(Ok(opened)) => opened,
            Ok(Err(why)) => return why,
            Err(_) => return silent(),
        };
        let mut reader = Reader {
            sink,
            wanted,
            bucket: &self.server.bucket,
            told: false,
        };
        let begins = |reader: &Reader<'_>| {
            sink.health(true, format!("listening at {}", self.server.endpoint));
            reader.all_missed();
            Connected::new(sink)
        };
        let mut connected = certain.then(|| begins(&reader));
        let mut lines = Lines::default();
        loop {
            let frame = match timeout(self.patience.silence, body.frame()).await {
                Ok(Some(Ok(frame))) => frame,
                Ok(Some(Err(error))) => {
                    return NoStream::Lost(format!("the stream broke off: {}", chain(error.as_ref())));
                }
                Ok(None) => return NoStream::Lost(format!("{} ended the stream", self.server.endpoint)),
                Err(_) => return silent(),
            };
            let Some(data) = frame.data_ref() else {
                continue;
            };
            if connected.is_none() {
                // Some answer with a listing and do not say that it is one.
                if data.trim_ascii_start().first() == Some(&b'<') {
                    return self.server.cannot();
                }
                connected = Some(begins(&reader));
            }
            let mut bytes = &data[..];
            while let Some(line) = lines.next(&mut bytes) {
                reader.take(line).await;
            }
        }
    }
}

/// What becomes of the lines of one stream.
struct Reader<'s> {
    sink: &'s dyn Sink,
    wanted: &'s watch::Receiver<Wanted>,
    bucket: &'s str,
    /// A line was not understood, and a listing asked for because of it.
    told: bool,
}

impl Reader<'_> {
    fn all_missed(&self) {
        let wanted = self.wanted.borrow().directories.clone();
        for directory in wanted {
            self.sink.missed(directory);
        }
    }

    async fn take(&mut self, line: Line<'_>) {
        let (line, reason) = match line {
            Line::Whole(line) => match parse(line, Transport::Listen) {
                Ok(parsed) => {
                    let wanted = self.wanted.borrow();
                    for notice in parsed.notices {
                        let ours = notice.bucket.is_none_or(|bucket| bucket == self.bucket);
                        if ours && wanted.contains(&notice.key) {
                            self.sink.hint(notice.key, notice.event, SOURCE);
                        }
                    }
                    return;
                }
                Err(error) => (line, error.0),
            },
            Line::TooLong(line) => (line, format!("a line is longer than {} bytes", lines::LONGEST)),
        };
        if let Err(error) = self.sink.quarantine(line, &reason, SOURCE).await {
            tracing::warn!(bucket = self.bucket, %error, %reason, "a line of the stream was not understood");
        }
        // Once a stream: one that is strange all along must not have the bucket listed all the time.
        if !std::mem::replace(&mut self.told, true) {
            self.all_missed();
        }
    }
}

/// What all wanted directories lie below; none where nothing is wanted.
fn prefix(wanted: &Wanted) -> Option<String> {
    let mut directories = wanted.directories.iter().map(crate::object::Directory::as_str);
    let first = directories.next()?;
    let shared = directories.fold(first, |shared, other| {
        let same = shared.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
        &shared[..shared.as_bytes()[..same]
            .iter()
            .rposition(|byte| *byte == b'/')
            .map_or(0, |at| at + 1)]
    });
    // Servers refuse these in a filter.
    let fits = shared.len() <= LONGEST_PREFIX && !shared.contains('\\');
    Some(if fits { shared.to_owned() } else { String::new() })
}

/// Whether a stream of this prefix has all that is wanted, and is wanted.
fn covers(prefix: Option<&str>, wanted: &Wanted) -> bool {
    match prefix {
        None => wanted.directories.is_empty(),
        Some(prefix) => {
            !wanted.directories.is_empty() && wanted.directories.iter().all(|d| d.as_str().starts_with(prefix))
        }
    }
}

#[cfg(test)]
#[path = "../../tests/harness/listen.rs"]
mod double;
#[cfg(test)]
mod tests;
