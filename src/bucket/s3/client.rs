//! The client: credentials, region, certificates, and what its requests are like.

use std::path::Path;
use std::time::Duration;

use aws_config::environment::region::EnvironmentVariableRegionProvider;
use aws_config::meta::region::ProvideRegion;
use aws_config::profile::{ProfileFileCredentialsProvider, ProfileFileRegionProvider};
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, Region};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{RequestChecksumCalculation, ResponseChecksumValidation};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_http_client::{Builder, Connector};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_types::SdkConfig;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::bucket::BucketError;
use crate::config::S3Config;
use crate::object::BucketName;

/// How long it may take until a server takes a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// Where nothing says another region.
const REGION: &str = "us-east-1";

/// A client for this bucket. It asks each thing once: whoever calls it decides about asking again.
/// `credentials`: these and no others.
pub(super) async fn client(
    name: &BucketName,
    config: &S3Config,
    credentials: Option<SharedCredentialsProvider>,
) -> Result<Client, BucketError> {
    let shared = sdk(name, config, credentials).await?;
    let mut builder = aws_sdk_s3::config::Builder::from(&shared).force_path_style(config.path_style);
    if let Some(endpoint) = &config.endpoint {
        builder = builder.endpoint_url(endpoint);
        if is_plain(endpoint) {
            builder = builder.http_client(http_client(config, None, true));
        }
    }
    if !config.is_aws() {
        // Many servers refuse bodies with a checksum at their end.
        builder = builder
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
    }
    Ok(Client::from_conf(builder.build()))
}

/// Credentials, region and connections for whatever is asked about this bucket. `credentials`: these and no others.
///
/// # Errors
/// Where the file of certificates cannot be used.
pub async fn sdk(
    name: &BucketName,
    config: &S3Config,
    credentials: Option<SharedCredentialsProvider>,
) -> Result<SdkConfig, BucketError> {
    let certificates = match &config.ca {
        Some(path) => Some(read_certificates(name, path)?),
        None => None,
    };
    let http = http_client(config, certificates, false);
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http.clone())
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::builder().connect_timeout(CONNECT).build());
    if let Ok(app) = AppName::new("reelmill") {
        loader = loader.app_name(app);
    }
    if let Some(profile) = &config.profile {
        loader = loader.profile_name(profile);
    }
    if let Some(region) = given_region(config).await {
        loader = loader.region(region);
    }
    let shared = loader.load().await;
    let region = shared.region().cloned().unwrap_or(Region::from_static(REGION));
    let mut builder = shared.into_builder().region(region.clone());
    if let Some(credentials) = credentials {
        builder.set_credentials_provider(Some(credentials));
    } else if let Some(profile) = &config.profile {
        // The usual chain would look at the environment first.
        let chain = ProviderConfig::without_region()
            .with_http_client(http)
            .with_region(Some(region));
        let credentials = ProfileFileCredentialsProvider::builder()
            .configure(&chain)
            .profile_name(profile);
        builder.set_credentials_provider(Some(SharedCredentialsProvider::new(credentials.build())));
    }
    Ok(builder.build())
}

/// The connections for a server that is spoken to without TLS, and so without the system's certificates.
#[must_use]
pub fn plain_http(config: &S3Config) -> SharedHttpClient {
    http_client(config, None, true)
}

/// Whether a server is spoken to without TLS.
#[must_use]
pub fn is_plain(url: &str) -> bool {
    url.starts_with("http://")
}

/// The region that is not looked for in the usual chain.
async fn given_region(config: &S3Config) -> Option<Region> {
    if let Some(region) = &config.region {
        return Some(Region::new(region.clone()));
    }
    if config.is_aws() {
        return None;
    }
    // The machine that this runs on knows nothing of somebody else's regions, and asking it takes time.
    let mut profile = ProfileFileRegionProvider::builder();
    if let Some(name) = &config.profile {
        profile = profile.profile_name(name);
    }
    let found = match EnvironmentVariableRegionProvider::new().region().await {
        Some(region) => Some(region),
        None => profile.build().region().await,
    };
    Some(found.unwrap_or(Region::from_static(REGION)))
}

/// `is_plain`: without TLS, and so without the system's certificates.
fn http_client(config: &S3Config, certificates: Option<Vec<u8>>, is_plain: bool) -> SharedHttpClient {
    let proxy = if is_here(config) {
        ProxyConfig::disabled()
    } else {
        ProxyConfig::from_env()
    };
    Builder::new().build_with_connector_fn(move |settings, components| {
        let mut connector = Connector::builder().proxy_config(proxy.clone());
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
        if is_plain {
            return connector.build_http();
        }
        let trusted = match &certificates {
            Some(pem) => TrustStore::default().with_pem_certificate(pem.clone()),
            None => TrustStore::default(),
        };
        let connector = connector.tls_provider(Provider::Rustls(CryptoMode::Ring));
        match TlsContext::builder().with_trust_store(trusted).build() {
            Ok(context) => connector.tls_context(context).build(),
            Err(_) => connector.build(),
        }
    })
}

/// Whether the server is on this machine, where no proxy reaches it.
fn is_here(config: &S3Config) -> bool {
    config.endpoint.as_deref().is_some_and(is_loopback)
}

/// Whether a URL leads to this machine.
#[must_use]
pub fn is_loopback(url: &str) -> bool {
    let uri = url.parse::<hyper::Uri>().ok();
    let host = uri.as_ref().and_then(hyper::Uri::host).unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// The certificates of a file, looked at: the client takes them only when it first connects, and then it is too late
/// to say what is wrong.
fn read_certificates(name: &BucketName, path: &Path) -> Result<Vec<u8>, BucketError> {
    let wrong = |what: &str, error: std::io::Error| {
        BucketError::permanent(
            format!("bucket {name}: `ca` ({}) {what}: {error}", path.display()),
            error,
        )
    };
    let pem = std::fs::read(path).map_err(|error| wrong("cannot be read", error))?;
    let mut found = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let taken = certificate
            .map_err(|error| error.to_string())
            .and_then(|certificate| found.add(certificate).map_err(|error| error.to_string()));
        taken.map_err(|error| wrong("holds something that is no certificate", std::io::Error::other(error)))?;
    }
    if found.is_empty() {
        let error = std::io::Error::other("it should hold \"-----BEGIN CERTIFICATE-----\"");
        return Err(wrong("holds no certificate", error));
    }
    Ok(pem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_known_by_its_addresses() {
        for here in ["http://127.0.0.1:9000", "https://localhost", "http://[::1]:9000"] {
            assert!(is_loopback(here), "{here}");
        }
        for far in [
            "http://10.0.0.1:9000",
            "https://localhost.example.org",
            "https://s3.example.org",
        ] {
            assert!(!is_loopback(far), "{far}");
        }
    }
}
