//! Noticing objects by requests that their server sends here.
//!
//! `POST /hooks/BUCKET` with the secret in `Authorization` (`Bearer SECRET`, or any user with it as password), or
//! `POST /hooks/BUCKET/SECRET` for servers that can send no headers. An answer of success means that what was told is
//! written down; whoever gets another tells again. Where a secret is wrong, no body is read. Nothing here writes a
//! secret, or a path that may hold one, to the log.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_LENGTH, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use sha2::{Digest, Sha256};

use super::event::{Transport, parse};
use super::{NotKept, Sink};
use crate::object::BucketName;

/// The longest body, in bytes.
const LONGEST: usize = 1 << 20;
/// How long a sender may take to send it.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often refused requests are told of.
const TELL: Duration = Duration::from_mins(1);

/// What the sink is told that this is.
const SOURCE: &str = "webhook";

/// Where the requests about each bucket go.
#[derive(Clone, Default)]
pub struct Hooks(Arc<BTreeMap<String, Hook>>);

/// What requests about one bucket need.
struct Hook {
    secret: Secret,
    sink: Arc<dyn Sink>,
    told: Mutex<Option<Instant>>,
}

/// A secret by its hash: comparing takes the same time whatever was sent, and nothing shows it.
#[derive(Clone, Copy)]
struct Secret([u8; 32]);

impl Secret {
    fn of(text: &[u8]) -> Self {
        Self(Sha256::digest(text).into())
    }

    fn is(&self, sent: Self) -> bool {
        let differences = self.0.iter().zip(sent.0).fold(0, |all, (a, b)| all | (a ^ b));
        std::hint::black_box(differences) == 0
    }
}

impl Hooks {
    /// Of these buckets: the name in the config, the secret, and whom to tell.
    pub fn new<'a>(buckets: impl IntoIterator<Item = (&'a BucketName, &'a str, Arc<dyn Sink>)>) -> Self {
        let hook = |(name, secret, sink): (&BucketName, &str, Arc<dyn Sink>)| {
            let hook = Hook {
                secret: Secret::of(secret.as_bytes()),
                sink,
                told: Mutex::default(),
            };
            (name.as_str().to_owned(), hook)
        };
        Self(Arc::new(buckets.into_iter().map(hook).collect()))
    }

    /// Whether no bucket is told of by requests.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Every path that events are taken at.
pub fn router(hooks: Hooks) -> Router {
    Router::new()
        .route("/hooks/{bucket}", any(by_header))
        .route("/hooks/{bucket}/{secret}", any(by_path))
        .with_state(hooks)
}

async fn by_header(State(hooks): State<Hooks>, Path(bucket): Path<String>, request: Request) -> Response {
    let sent = sent(request.headers());
    answer(&hooks, &bucket, sent, request).await
}

async fn by_path(
    State(hooks): State<Hooks>,
    Path((bucket, secret)): Path<(String, String)>,
    request: Request,
) -> Response {
    answer(&hooks, &bucket, Some(Secret::of(secret.as_bytes())), request).await
}

/// The secret in the headers of a request; none where none was sent.
fn sent(headers: &HeaderMap) -> Option<Secret> {
    let value = headers.get(AUTHORIZATION)?.as_bytes().trim_ascii();
    let (scheme, rest) = match value.iter().position(|byte| *byte == b' ') {
        Some(space) => (&value[..space], value[space + 1..].trim_ascii()),
        None => (&b""[..], value),
    };
    if scheme.eq_ignore_ascii_case(b"basic") {
        let both = STANDARD.decode(rest).unwrap_or_default();
        let colon = both.iter().position(|byte| *byte == b':');
        return Some(Secret::of(colon.map_or(&b""[..], |at| &both[at + 1..])));
    }
    Some(Secret::of(rest))
}

async fn answer(hooks: &Hooks, bucket: &str, sent: Option<Secret>, request: Request) -> Response {
    let hook = hooks.0.get(bucket);
    // Compared in any case, so that the time tells nothing of which buckets there are.
    let nobody = Secret([0; 32]);
    let fits = sent.map(|sent| hook.map_or(&nobody, |hook| &hook.secret).is(sent));
    let Some(hook) = hook else {
        return (StatusCode::NOT_FOUND, "no such bucket takes events here\n").into_response();
    };
    let method = request.method().clone();
    match fits {
        Some(true) if method == Method::GET || method == Method::HEAD => (StatusCode::OK, "ready\n").into_response(),
        Some(true) if method == Method::POST || method == Method::PUT => hook.take(bucket, request).await,
        Some(true) => StatusCode::METHOD_NOT_ALLOWED.into_response(),
        Some(false) => {
            hook.refused(bucket, "the secret is wrong");
            (StatusCode::FORBIDDEN, "the secret is wrong\n").into_response()
        }
        // Servers ask so whether anybody is here.
        None if method == Method::HEAD => StatusCode::OK.into_response(),
        None if method == Method::POST && is_empty(request.into_body()).await => StatusCode::OK.into_response(),
        None => {
            hook.refused(bucket, "no secret was sent");
            let how = [(WWW_AUTHENTICATE, "Bearer")];
            (StatusCode::UNAUTHORIZED, how, "a secret is needed\n").into_response()
        }
    }
}

async fn is_empty(body: Body) -> bool {
    read(body, 0).await.is_ok()
}

/// A whole body, if it is not longer than this.
async fn read(body: Body, longest: usize) -> Result<Bytes, StatusCode> {
    match tokio::time::timeout(PATIENCE, Limited::new(body, longest).collect()).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(StatusCode::PAYLOAD_TOO_LARGE),
        Ok(Err(_)) => Err(StatusCode::BAD_REQUEST),
        Err(_) => Err(StatusCode::REQUEST_TIMEOUT),
    }
}

/// Whether a request says itself that its body is too long.
fn says_too_long(headers: &HeaderMap) -> bool {
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    length.is_some_and(|length| length.parse().map_or(true, |length: usize| length > LONGEST))
}

impl Hook {
    /// Takes a message of somebody who knows the secret.
    async fn take(&self, bucket: &str, request: Request) -> Response {
        let body = if says_too_long(request.headers()) {
            Err(StatusCode::PAYLOAD_TOO_LARGE)
        } else {
            read(request.into_body(), LONGEST).await
        };
        let body = match body {
            Ok(body) => body,
            Err(StatusCode::PAYLOAD_TOO_LARGE) => {
                tracing::warn!(bucket, "a message about events was longer than {LONGEST} bytes");
                return (StatusCode::PAYLOAD_TOO_LARGE, "a message has 1 MiB at most\n").into_response();
            }
            Err(status) => return status.into_response(),
        };
        match self.keep(&body).await {
            Ok(()) => StatusCode::OK.into_response(),
            Err(error) => {
                tracing::warn!(bucket, %error, "a message about events was sent back");
                (StatusCode::SERVICE_UNAVAILABLE, "not written down: send it again\n").into_response()
            }
        }
    }

    async fn keep(&self, body: &[u8]) -> Result<(), NotKept> {
        match parse(body, Transport::Message) {
            Ok(parsed) if parsed.notices.is_empty() => Ok(()),
            Ok(parsed) => self.sink.keep(parsed.notices, SOURCE).await,
            // Answered as if it were understood: else it is sent for ever, and what is behind it never.
            Err(error) => self.sink.quarantine(body, &error.0, SOURCE).await,
        }
    }

    /// Says in the log, now and then, that somebody is sent away.
    fn refused(&self, bucket: &str, why: &str) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|told| told.elapsed() >= TELL) {
            *told = Some(Instant::now());
            tracing::warn!(bucket, "events were sent and refused: {why}");
        }
    }
}

#[cfg(test)]
mod tests;
