//! What people want to know of a bucket who set it up: what its server is, which credentials were found, and whom it tells of
//! new objects.

use std::sync::{Arc, Mutex, PoisonError};

use aws_credential_types::credential_feature::AwsCredentialFeature;
use aws_credential_types::provider::ProvideCredentials;
use aws_sdk_s3::types::{Event, FilterRuleName, NotificationConfigurationFilter, S3KeyFilter};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::BeforeDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use aws_types::SdkConfig;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;

use super::S3Remote;
use super::error::{LIST, NOTIFICATIONS};
use crate::bucket::BucketError;

/// What a server says of itself beside its answers, whatever they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Server {
    /// Its own name for itself.
    pub software: Option<String>,
    /// Its clock.
    pub time: Option<Timestamp>,
}

/// Whom a bucket tells of new objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notifications {
    /// Queues, and what servers other than AWS call so.
    pub queues: Vec<Route>,
    /// Topics.
    pub topics: Vec<Route>,
    /// Functions that are called.
    pub functions: usize,
    /// Whether all goes to EventBridge.
    pub event_bridge: bool,
}

impl Notifications {
    /// Whether nobody is told of anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queues.is_empty() && self.topics.is_empty() && self.functions == 0 && !self.event_bridge
    }
}

/// One way that notifications take.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Route {
    /// Where to.
    pub arn: String,
    /// About what, as in `s3:ObjectCreated:*`.
    pub events: Vec<String>,
    /// Only of keys that begin so.
    pub prefix: String,
    /// Only of keys that end so.
    pub suffix: String,
}

impl S3Remote {
    /// Whether the bucket is there and answers; and, whatever it answers, what the server says of itself.
    pub async fn ask_server(&self) -> (Server, Result<(), BucketError>) {
        let ear = Ear::default();
        let request = self.client.list_objects_v2().bucket(&self.bucket).max_keys(1);
        let answer = request.customize().interceptor(ear.clone()).send().await;
        let server = ear.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match answer {
            Ok(_) => (server, Ok(())),
            Err(error) => (server, Err(self.failed(LIST, None, &error))),
        }
    }

    /// The region that requests are signed for.
    #[must_use]
    pub fn region(&self) -> String {
        let region = self.client.config().region();
        region.map(ToString::to_string).unwrap_or_default()
    }

    /// Whom the bucket tells of new objects.
    ///
    /// # Errors
    /// Where the server does not say.
    pub async fn notifications(&self) -> Result<Notifications, BucketError> {
        let request = self.client.get_bucket_notification_configuration();
        let answer = match request.bucket(&self.bucket).send().await {
            Ok(answer) => answer,
            Err(error) if error.raw_response().is_some_and(says_none) => return Ok(Notifications::default()),
            Err(error) => return Err(self.failed(NOTIFICATIONS, None, &error)),
        };
        let queues = answer.queue_configurations().iter();
        let topics = answer.topic_configurations().iter();
        Ok(Notifications {
            queues: queues
                .map(|one| route(one.queue_arn(), one.events(), one.filter()))
                .collect(),
            topics: topics
                .map(|one| route(one.topic_arn(), one.events(), one.filter()))
                .collect(),
            functions: answer.lambda_function_configurations().len(),
            event_bridge: answer.event_bridge_configuration().is_some(),
        })
    }
}

/// Whether it is one of the answers that some servers have for "nobody is told": another element, with nothing in it.
fn says_none(answer: &HttpResponse) -> bool {
    let text = answer.body().bytes().map(String::from_utf8_lossy);
    let holds = |text: &str| text.contains("Configuration") || text.contains("Event");
    answer.status().is_success() && text.is_some_and(|text| !holds(&text))
}

fn route(arn: &str, events: &[Event], filter: Option<&NotificationConfigurationFilter>) -> Route {
    let rules = filter
        .and_then(NotificationConfigurationFilter::key)
        .map(S3KeyFilter::filter_rules)
        .unwrap_or_default();
    // Servers spell the names of rules as they like.
    let rule = |wanted: &str| {
        let found = rules.iter().find(|rule| {
            let name = rule.name().map(FilterRuleName::as_str);
            name.is_some_and(|name| name.eq_ignore_ascii_case(wanted))
        });
        found.and_then(|rule| rule.value()).unwrap_or_default().to_owned()
    };
    Route {
        arn: arn.to_owned(),
        events: events.iter().map(|event| event.as_str().to_owned()).collect(),
        prefix: rule("prefix"),
        suffix: rule("suffix"),
    }
}

/// Says where the credentials for a bucket come from, without showing them.
///
/// # Errors
/// Where none were found, and why.
pub async fn credentials(sdk: &SdkConfig) -> Result<String, String> {
    let Some(provider) = sdk.credentials_provider() else {
        return Err("nothing says where credentials are".to_owned());
    };
    match provider.provide_credentials().await {
        Ok(found) => {
            let features = found.get_property::<Vec<AwsCredentialFeature>>();
            let words: Vec<&str> = features.into_iter().flatten().filter_map(source).collect();
            // The last step is the one that gave them.
            Ok(words.last().copied().unwrap_or("found").to_owned())
        }
        Err(error) => {
            let mut words = error.to_string();
            let mut cause = std::error::Error::source(&error);
            while let Some(inner) = cause {
                words = inner.to_string();
                cause = inner.source();
            }
            Err(words)
        }
    }
}

fn source(feature: &AwsCredentialFeature) -> Option<&'static str> {
    use AwsCredentialFeature as Of;
    Some(match feature {
        Of::CredentialsEnvVars => "from the environment",
        Of::CredentialsEnvVarsStsWebIdToken
        | Of::CredentialsStsAssumeRoleWebId
        | Of::CredentialsProfileStsWebIdToken => "from a web identity",
        Of::CredentialsStsAssumeRole | Of::CredentialsStsAssumeRoleSaml => "from a role that was assumed",
        Of::CredentialsProfile | Of::CredentialsProfileSourceProfile | Of::CredentialsProfileNamedProvider => {
            "from a profile"
        }
        Of::CredentialsProfileSso | Of::CredentialsSso => "from a single sign-on",
        Of::CredentialsProfileProcess | Of::CredentialsProcess => "from a process that a profile names",
        Of::CredentialsHttp => "from the container's service",
        Of::CredentialsImds => "from the machine's role",
        _ => return None,
    })
}

/// Hears what a server says of itself.
#[derive(Debug, Clone, Default)]
struct Ear(Arc<Mutex<Server>>);

impl Intercept for Ear {
    fn name(&self) -> &'static str {
        "Ear"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let headers = context.response().headers();
        let time = headers.get("date").and_then(http_date);
        let software = headers.get("server").map(|words| words.chars().take(60).collect());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Server { software, time };
        Ok(())
    }
}

fn http_date(text: &str) -> Option<Timestamp> {
    DateTimeParser::new().parse_timestamp(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_of_an_answer_is_read() {
        let time = http_date("Sat, 21 Nov 2026 13:40:32 GMT");
        assert_eq!(time, "2026-11-21T13:40:32Z".parse().ok());
        assert_eq!(http_date("yesterday"), None);
    }
}
