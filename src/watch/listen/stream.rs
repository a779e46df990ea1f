//! The request for a stream of notifications, and what is made of the answer to it.

use std::path::PathBuf;
use std::time::Duration;

use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, UriPathNormalizationMode,
    sign,
};
use aws_sigv4::sign::v4;
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorSettings};
use aws_smithy_runtime_api::client::identity::Identity;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use http_body_util::{BodyExt, Limited};
use jiff::Timestamp;

use crate::bucket::s3::in_query;
use crate::watch::session::chain;

/// How often the server is to say that it is there, in seconds.
pub(super) const PING: u64 = 10;
/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);
/// How much of an answer that is no stream is read, in bytes, and for how long.
const REFUSAL: (usize, Duration) = (16 << 10, Duration::from_secs(5));

/// Why there is no stream.
#[derive(Debug)]
pub(super) enum NoStream {
    /// Not now.
    Lost(String),
    /// This server has no such thing.
    Cannot(String),
}

/// Where the stream comes from, and as whom it is asked for.
#[derive(Debug, Clone)]
pub(super) struct Server {
    /// Its URL, without a slash at the end.
    pub(super) endpoint: String,
    /// The bucket as the server calls it.
    pub(super) bucket: String,
    pub(super) path_style: bool,
    pub(super) region: String,
    pub(super) ca: Option<PathBuf>,
    pub(super) credentials: Option<SharedCredentialsProvider>,
}

impl Server {
    /// What speaks to the server.
    pub(super) async fn connector(&self) -> Result<Connector, NoStream> {
        let ca = self.ca.clone();
        let build = move || {
            let pem = ca.as_ref().map(std::fs::read).transpose()?;
            let mut trusted = TrustStore::default();
            if let Some(pem) = pem {
                trusted = trusted.with_pem_certificate(pem);
            }
            let tls = TlsContext::builder()
                .with_trust_store(trusted)
                .build()
                .map_err(std::io::Error::other)?;
            let settings = HttpConnectorSettings::builder().connect_timeout(CONNECT).build();
            let connector = Connector::builder()
                .connector_settings(settings)
                .tls_provider(Provider::Rustls(CryptoMode::Ring))
                .tls_context(tls);
            std::io::Result::Ok(connector.build())
        };
        let ca = || self.ca.as_ref().map(|ca| ca.display().to_string()).unwrap_or_default();
        match tokio::task::spawn_blocking(build).await {
            Ok(Ok(connector)) => Ok(connector),
            Ok(Err(error)) => Err(NoStream::Lost(format!(
                "the certificates {} cannot be read: {error}",
                ca()
            ))),
            // What reads certificates gives up at once where they are none.
            Err(_) => Err(NoStream::Lost(format!(
                "{} holds something that is no certificate",
                ca()
            ))),
        }
    }

    /// Asks for a stream of what comes to be under this prefix. Returns once the server has begun to answer, which may
    /// be with its first sign of life.
    pub(super) async fn open(&self, connector: &Connector, prefix: &str) -> Result<(SdkBody, bool), NoStream> {
        let request = self.request(prefix).await?;
        let answer = connector
            .call(request)
            .await
            .map_err(|error| NoStream::Lost(format!("{} cannot be reached: {}", self.endpoint, chain(&error))))?;
        let status = answer.status().as_u16();
        if status != 200 {
            return Err(self.refused(status, answer).await);
        }
        let kind = answer.headers().get("content-type").unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if ["xml", "html"].iter().any(|other| kind.ends_with(other)) {
            return Err(self.cannot());
        }
        let certain = kind == "text/event-stream";
        Ok((answer.into_body(), certain))
    }

    /// The server answers, but with something else than events.
    pub(super) fn cannot(&self) -> NoStream {
        NoStream::Cannot(format!(
            "{} sends no stream of events (it took the request for another): only MinIO and its kin do; use watch = \
             [\"sqs\"], [\"webhook\"] or [\"list\"]",
            self.endpoint
        ))
    }

    async fn refused(&self, status: u16, answer: HttpResponse) -> NoStream {
        let body = Limited::new(answer.into_body(), REFUSAL.0).collect();
        let body = match tokio::time::timeout(REFUSAL.1, body).await {
            Ok(Ok(body)) => body.to_bytes(),
            _ => bytes::Bytes::new(),
        };
        let text = String::from_utf8_lossy(&body);
        let within = |tag: &str| {
            let inner = text.split_once(&format!("<{tag}>"))?.1;
            inner
                .split_once(&format!("</{tag}>"))
                .map(|(inner, _)| inner.to_owned())
        };
        let code = within("Code").unwrap_or_default();
        let bucket = &self.bucket;
        let words = match (status, code.as_str()) {
            (_, "NoSuchBucket") => format!("{} has no bucket {bucket}", self.endpoint),
            (_, "NotImplemented" | "MethodNotAllowed") | (405 | 501, _) => return self.cannot(),
            (403, "AccessDenied" | "AllAccessDisabled" | "") => format!(
                "listening is not permitted: these credentials need s3:ListenBucketNotification on {bucket} (with a \
                 policy: arn:aws:s3:::{bucket})"
            ),
            (_, "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "ExpiredToken" | "InvalidToken") => {
                format!("the credentials for {bucket} are wrong or have expired ({code})")
            }
            (_, "RequestTimeTooSkewed") => "this machine's clock and the server's differ too much".to_owned(),
            (_, "") => format!("{} answered {status} when asked for events", self.endpoint),
            _ => {
                let message = within("Message").unwrap_or_default();
                format!(
                    "{} answered {status} when asked for events: {code}: {message}",
                    self.endpoint
                )
            }
        };
        NoStream::Lost(words)
    }

    /// The request, signed.
    async fn request(&self, prefix: &str) -> Result<HttpRequest, NoStream> {
        let broken = |error: &dyn std::error::Error| {
            NoStream::Lost(format!(
                "no request can be made for {}: {}",
                self.endpoint,
                chain(error)
            ))
        };
        let url = self.url(prefix);
        let mut request = HttpRequest::get(&url).map_err(|error| broken(&error))?;
        let Some(provider) = &self.credentials else {
            return Ok(request);
        };
        let credentials = provider.provide_credentials().await.map_err(|error| {
            NoStream::Lost(format!(
                "there are no credentials for {}: {}",
                self.bucket,
                chain(&error)
            ))
        })?;
        let identity = Identity::from(credentials);
        let mut settings = SigningSettings::default();
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("s3")
            .time(Timestamp::now().into())
            .settings(settings)
            .build()
            .map_err(|error| broken(&error))?
            .into();
        let signable = SignableRequest::new("GET", url.as_str(), std::iter::empty(), SignableBody::empty())
            .map_err(|error| broken(&error))?;
        let (instructions, _) = sign(signable, &parameters)
            .map_err(|error| broken(&error))?
            .into_parts();
        let headers: Vec<(String, String)> = instructions
            .headers()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        for (name, value) in headers {
            request
                .headers_mut()
                .try_insert(name, value)
                .map_err(|error| broken(&error))?;
        }
        Ok(request)
    }

    pub(super) fn url(&self, prefix: &str) -> String {
        let place = match self.endpoint.split_once("://") {
            Some((scheme, rest)) if !self.path_style => format!("{scheme}://{}.{rest}/", self.bucket),
            _ => format!("{}/{}", self.endpoint, self.bucket),
        };
        let prefix = in_query(prefix);
        format!("{place}?events=s3%3AObjectCreated%3A%2A&ping={PING}&prefix={prefix}&suffix=")
    }
}
