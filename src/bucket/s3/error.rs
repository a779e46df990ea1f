//! What went wrong, for people: the bucket, what was asked of it, what the server said, and what would help.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use crate::bucket::BucketError;
use crate::object::{BucketName, ObjectKey};

/// The most characters of a server's words that are passed on.
const LONGEST: usize = 300;

/// What was asked: the words for it, and the permission that it needs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) what: &'static str,
    pub(super) permission: &'static str,
}

const fn asked(what: &'static str, permission: &'static str) -> Asked {
    Asked { what, permission }
}

pub(super) const HEAD: Asked = asked("asking about", "s3:GetObject and s3:ListBucket");
pub(super) const READ: Asked = asked("reading", "s3:GetObject");
pub(super) const LIST: Asked = asked("listing", "s3:ListBucket");
pub(super) const PUT: Asked = asked("writing", "s3:PutObject");
pub(super) const COMPLETE: Asked = asked("completing the upload of", "s3:PutObject");
pub(super) const ABORT: Asked = asked("aborting the upload of", "s3:AbortMultipartUpload");
pub(super) const UPLOADS: Asked = asked("listing open uploads", "s3:ListBucketMultipartUploads");
pub(super) const DELETE: Asked = asked("deleting", "s3:DeleteObject");
pub(super) const NOTIFICATIONS: Asked = asked("asking for notifications", "s3:GetBucketNotification");
pub(super) const COPY: Asked = asked("copying", "s3:GetObject, s3:GetObjectTagging and s3:PutObject");

/// What a server answered when it did not do what it was asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    /// The server's word for it; answers without a body have none.
    pub(super) code: Option<String>,
    message: Option<String>,
    /// The region that the bucket is in, where the server says so.
    region: Option<String>,
    is_delete_marker: bool,
}

impl Refusal {
    /// What the server said, where it said anything.
    pub(super) fn of<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Option<Self> {
        let SdkError::ServiceError(service) = error else {
            return None;
        };
        let status = service.raw().status();
        if status.is_success() && service.err().code().is_none() {
            // It is no refusal, but an answer that cannot be read.
            return None;
        }
        let header = |name| service.raw().headers().get(name).map(str::to_owned);
        Some(Self {
            status: status.as_u16(),
            code: service.err().code().map(str::to_owned),
            message: service.err().message().map(str::to_owned),
            region: header("x-amz-bucket-region"),
            is_delete_marker: header("x-amz-delete-marker").as_deref() == Some("true"),
        })
    }

    /// Whether it says that a condition does not hold.
    pub(super) fn is_condition(&self) -> bool {
        self.status == 412 || self.code.as_deref() == Some("PreconditionFailed")
    }

    /// Whether it may mean that the server knows no such condition.
    pub(super) fn is_unknown_condition(&self) -> bool {
        matches!(self.status, 400 | 412 | 501)
    }
}

/// What asking again is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Permanent,
    Transient,
}

/// Says what a failure means for the bucket `name`.
pub(super) fn explain<E>(
    name: &BucketName,
    asked: Asked,
    key: Option<&ObjectKey>,
    error: &SdkError<E, HttpResponse>,
) -> BucketError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    if let Some(refusal) = Refusal::of(error) {
        return refused(name, asked, key, &refusal);
    }
    let doing = doing(name, asked, key);
    if is_without_credentials(error) {
        return BucketError::offline(format!(
            "{doing}: no credentials were found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a `profile`, or \
             give the machine a role ({})",
            causes(error)
        ));
    }
    match error {
        SdkError::ConstructionFailure(_) => BucketError::Permanent {
            message: format!("{doing}: the request cannot be made ({})", causes(error)),
            source: None,
        },
        SdkError::TimeoutError(_) => BucketError::offline(format!("{doing}: no answer in time ({})", causes(error))),
        SdkError::DispatchFailure(_) => BucketError::offline(format!(
            "{doing}: the server cannot be reached ({}); look at `endpoint`, the network and the server",
            causes(error)
        )),
        _ => BucketError::offline(format!("{doing}: the answer cannot be understood ({})", causes(error))),
    }
}

/// Says what a refusal means.
pub(super) fn refused(name: &BucketName, asked: Asked, key: Option<&ObjectKey>, refusal: &Refusal) -> BucketError {
    let code = refusal.code.as_deref().unwrap_or_default();
    if let Some(key) = key {
        // That nothing is there counts only in words: any web server answers 404.
        let is_gone = matches!(code, "NoSuchKey" | "NoSuchVersion" | "NoSuchUpload") || refusal.is_delete_marker;
        if is_gone {
            return BucketError::NotFound(key.clone());
        }
        if refusal.is_condition() || refusal.status == 416 {
            return BucketError::Changed(key.clone());
        }
    }
    let (kind, advice) = judged(asked, code, refusal);
    let mut message = doing(name, asked, key);
    message.push_str(": ");
    message.push_str(&said(refusal));
    if !advice.is_empty() {
        message.push_str("; ");
        message.push_str(&advice);
    }
    match kind {
        Kind::Permanent => BucketError::Permanent { message, source: None },
        Kind::Transient => BucketError::offline(message),
    }
}

fn judged(asked: Asked, code: &str, refusal: &Refusal) -> (Kind, String) {
    use Kind::{Permanent, Transient};
    let plain = |kind, advice: &str| (kind, advice.to_owned());
    match code {
        "InvalidAccessKeyId" => plain(
            Permanent,
            "the server does not know this access key: look at the credentials",
        ),
        "SignatureDoesNotMatch" => plain(
            Permanent,
            "the secret key does not belong to the access key, or something between here and the server changes requests",
        ),
        "AccessDenied" | "AllAccessDisabled" | "AccountProblem" | "Forbidden" => {
            (Permanent, format!("the credentials need {}", asked.permission))
        }
        "NoSuchBucket" => plain(
            Transient,
            "there is no such bucket: make it, or look at `s3` and `endpoint`",
        ),
        "PermanentRedirect"
        | "TemporaryRedirect"
        | "AuthorizationHeaderMalformed"
        | "IllegalLocationConstraintException" => (Permanent, other_region(refusal)),
        "RequestTimeTooSkewed" => plain(
            Transient,
            "the clock of this machine and the server's differ too much: set it, as with NTP",
        ),
        "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" => {
            plain(Transient, "the credentials have expired: renew them")
        }
        "SlowDown" | "Throttling" | "ThrottlingException" | "TooManyRequests" | "RequestLimitExceeded" => {
            plain(Transient, "the server asks for fewer requests")
        }
        "InvalidObjectState" => plain(Permanent, "the object lies in an archive: restore it first"),
        "MetadataTooLarge" => plain(Permanent, "names of rules and keys are too long together"),
        // Broken on the way, or somebody else was at it.
        "RequestTimeout"
        | "IncompleteBody"
        | "BadDigest"
        | "XAmzContentSHA256Mismatch"
        | "InternalError"
        | "ServiceUnavailable"
        | "OperationAborted"
        | "ConditionalRequestConflict" => plain(Transient, ""),
        _ => match refusal.status {
            301 | 307 | 308 => (Permanent, other_region(refusal)),
            403 => (Permanent, format!("the credentials need {}", asked.permission)),
            501 => plain(Permanent, "the server does not know this request"),
            // A bucket that is not there, or a server that speaks another protocol.
            404 => plain(Transient, "look at `s3` and `endpoint`"),
            507 => plain(Transient, "the server has no room left"),
            // The first are successes with an error in the body.
            200..=299 | 408 | 409 | 429 | 500.. => plain(Transient, ""),
            _ => plain(Permanent, ""),
        },
    }
}

fn other_region(refusal: &Refusal) -> String {
    match &refusal.region {
        Some(region) => format!("the bucket is in another region: region = \"{region}\""),
        None => "the bucket is in another region, or at another address: look at `region` and `endpoint`".to_owned(),
    }
}

/// `bucket uploads: reading a.mp4`
fn doing(name: &BucketName, asked: Asked, key: Option<&ObjectKey>) -> String {
    match key {
        Some(key) => format!("bucket {name}: {} {key}", asked.what),
        None => format!("bucket {name}: {}", asked.what),
    }
}

/// The server's own words.
fn said(refusal: &Refusal) -> String {
    let Refusal {
        status, code, message, ..
    } = refusal;
    let message = message.as_deref().map(str::trim).filter(|message| !message.is_empty());
    let message = message.map(|message| message.chars().take(LONGEST).collect::<String>());
    match (code, message) {
        (Some(code), Some(message)) => format!("{code} ({status}): {}", message.trim_end_matches('.')),
        (Some(code), None) => format!("{code} ({status})"),
        (None, Some(message)) => format!("{status}: {}", message.trim_end_matches('.')),
        (None, None) => format!("the server answers {status}"),
    }
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}

fn is_without_credentials<E: Error + 'static>(error: &SdkError<E, HttpResponse>) -> bool {
    chain(error).any(|cause| {
        cause
            .downcast_ref::<CredentialsError>()
            .is_some_and(|error| matches!(error, CredentialsError::CredentialsNotLoaded(_)))
    })
}

/// Causes, from the one that says most of what was to be done to the one that says most of why not.
fn causes<E: Error + 'static>(error: &SdkError<E, HttpResponse>) -> String {
    let mut said: Vec<String> = Vec::new();
    for cause in chain(error).skip(1) {
        let text: String = cause.to_string().chars().take(LONGEST).collect();
        if !text.is_empty() && !said.iter().any(|before| before.contains(&text)) {
            said.push(text);
        }
    }
    // The first ones only say that there is another one.
    let skip = said.len().saturating_sub(3);
    said.drain(..skip);
    said.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> ObjectKey {
        "a/b.mp4".parse().unwrap()
    }

    fn told(status: u16, code: &str) -> BucketError {
        let refusal = Refusal {
            status,
            code: (!code.is_empty()).then(|| code.to_owned()),
            message: Some("Words of the server.".to_owned()),
            ..Refusal::default()
        };
        refused(&"uploads".parse().unwrap(), READ, Some(&key()), &refusal)
    }

    #[test]
    fn what_is_not_there_and_what_is_another_are_told_from_the_rest() {
        for (status, code) in [(404, "NoSuchKey"), (404, "NoSuchVersion"), (404, "NoSuchUpload")] {
            assert!(matches!(told(status, code), BucketError::NotFound(_)), "{code}");
        }
        for (status, code) in [(412, ""), (412, "PreconditionFailed"), (416, "InvalidRange")] {
            assert!(matches!(told(status, code), BucketError::Changed(_)), "{code}");
        }
    }

    #[test]
    fn a_bucket_or_a_server_that_is_not_there_is_no_object_that_is_not_there() {
        for code in ["NoSuchBucket", ""] {
            assert!(matches!(told(404, code), BucketError::Transient { .. }), "{code}");
        }
    }

    #[test]
    fn asking_again_is_for_what_may_pass() {
        for (status, code) in [
            (503, "SlowDown"),
            (500, "InternalError"),
            (200, "InternalError"),
            (400, "ExpiredToken"),
            (403, "RequestTimeTooSkewed"),
            (400, "RequestTimeout"),
            (409, "ConditionalRequestConflict"),
            (502, ""),
            (507, "XMinioStorageFull"),
            (429, ""),
        ] {
            assert!(
                matches!(told(status, code), BucketError::Transient { .. }),
                "{status} {code}"
            );
        }
        for (status, code) in [
            (403, "InvalidAccessKeyId"),
            (403, "SignatureDoesNotMatch"),
            (403, "AccessDenied"),
            (301, "PermanentRedirect"),
            (400, "AuthorizationHeaderMalformed"),
            (501, "NotImplemented"),
            (400, "InvalidArgument"),
            (403, ""),
        ] {
            assert!(
                matches!(told(status, code), BucketError::Permanent { .. }),
                "{status} {code}"
            );
        }
    }

    #[test]
    fn messages_say_what_where_why_and_what_would_help() {
        assert_eq!(
            told(403, "AccessDenied").to_string(),
            "bucket uploads: reading a/b.mp4: AccessDenied (403): Words of the server; the credentials need s3:GetObject"
        );
        let refusal = Refusal {
            status: 301,
            code: Some("PermanentRedirect".to_owned()),
            region: Some("eu-central-1".to_owned()),
            ..Refusal::default()
        };
        assert_eq!(
            refused(&"uploads".parse().unwrap(), LIST, None, &refusal).to_string(),
            "bucket uploads: listing: PermanentRedirect (301); the bucket is in another region: region = \"eu-central-1\""
        );
        assert!(told(403, "RequestTimeTooSkewed").to_string().contains("clock"));
    }
}
