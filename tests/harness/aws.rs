//! What AWS has besides buckets, at moto: queues, topics, and rules of events, and how buckets tell of objects there.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(dead_code, reason = "each test program uses its own part of this")]

use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use super::moto::Moto;

/// A queue of its own.
pub struct Queue<'m> {
    moto: &'m Moto,
    /// As a config names it.
    pub url: String,
    name: String,
}

/// Asks one of the services that take JSON.
fn ask(moto: &Moto, service: &str, target: &str, what: &Value) -> Value {
    let scope = format!(
        "AWS4-HMAC-SHA256 Credential=moto/20260101/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=0"
    );
    let headers = [
        ("Authorization", scope.as_str()),
        ("X-Amz-Target", target),
        ("Content-Type", "application/x-amz-json-1.0"),
    ];
    let (status, said) = moto.request("POST", "/", &headers, what.to_string().as_bytes());
    let said = String::from_utf8_lossy(&said).into_owned();
    assert_eq!(status, 200, "{target}: {said}");
    serde_json::from_str(&said).unwrap_or(Value::Null)
}

impl<'m> Queue<'m> {
    pub fn new(moto: &'m Moto) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("queue-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        ask(moto, "sqs", "AmazonSQS.CreateQueue", &json!({"QueueName": name}));
        Self {
            moto,
            url: format!("{}/123456789012/{name}", moto.endpoint()),
            name,
        }
    }

    fn arn(&self) -> String {
        format!("arn:aws:sqs:us-east-1:123456789012:{}", self.name)
    }

    pub fn send(&self, body: &str) {
        let what = json!({"QueueUrl": self.url, "MessageBody": body});
        ask(self.moto, "sqs", "AmazonSQS.SendMessage", &what);
    }

    /// How many messages are in it, those included that somebody has received and not deleted.
    pub fn len(&self) -> u64 {
        let names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"];
        let what = json!({"QueueUrl": self.url, "AttributeNames": names});
        let said = ask(self.moto, "sqs", "AmazonSQS.GetQueueAttributes", &what);
        let number = |name: &str| -> u64 { said["Attributes"][name].as_str().unwrap().parse().unwrap() };
        names.into_iter().map(number).sum()
    }

    /// The bucket tells this queue of its objects.
    pub fn hears_of(&self, bucket: &str) {
        let arn = self.arn();
        let queue = format!("<Id>q</Id><Queue>{arn}</Queue><Event>s3:ObjectCreated:*</Event>");
        notify(
            self.moto,
            bucket,
            &format!("<QueueConfiguration>{queue}</QueueConfiguration>"),
        );
    }

    /// The bucket tells a topic of its objects, and that this queue: its words within others, or as they are.
    pub fn hears_by_topic_of(&self, bucket: &str, raw: bool) {
        let said = self.ask_topics(&format!("Action=CreateTopic&Name=about-{}", self.name));
        let topic = said.split("<TopicArn>").nth(1).unwrap().split('<').next().unwrap();
        let attribute = "Attributes.entry.1.key=RawMessageDelivery&Attributes.entry.1.value";
        self.ask_topics(&format!(
            "Action=Subscribe&TopicArn={topic}&Protocol=sqs&Endpoint={}&{attribute}={raw}",
            self.arn()
        ));
        let topic = format!("<Id>t</Id><Topic>{topic}</Topic><Event>s3:ObjectCreated:*</Event>");
        notify(
            self.moto,
            bucket,
            &format!("<TopicConfiguration>{topic}</TopicConfiguration>"),
        );
    }

    fn ask_topics(&self, what: &str) -> String {
        let scope =
            "AWS4-HMAC-SHA256 Credential=moto/20260101/us-east-1/sns/aws4_request, SignedHeaders=host, Signature=0";
        let headers = [
            ("Authorization", scope),
            ("Content-Type", "application/x-www-form-urlencoded"),
        ];
        let what = format!("{what}&Version=2010-03-31");
        let (status, said) = self.moto.request("POST", "/", &headers, what.as_bytes());
        let said = String::from_utf8_lossy(&said).into_owned();
        assert_eq!(status, 200, "{what}: {said}");
        said
    }

    /// The bucket tells `EventBridge` of its objects, and a rule there sends that to this queue.
    pub fn hears_by_rule_of(&self, bucket: &str) {
        let pattern = json!({"source": ["aws.s3"], "detail": {"bucket": {"name": [bucket]}}});
        let rule = format!("about-{}", self.name);
        let what = json!({"Name": rule, "EventPattern": pattern.to_string()});
        ask(self.moto, "events", "AWSEvents.PutRule", &what);
        let what = json!({"Rule": rule, "Targets": [{"Id": "q", "Arn": self.arn()}]});
        ask(self.moto, "events", "AWSEvents.PutTargets", &what);
        notify(self.moto, bucket, "<EventBridgeConfiguration/>");
    }
}

fn notify(moto: &Moto, bucket: &str, how: &str) {
    let whole = format!(
        "<NotificationConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{how}</NotificationConfiguration>"
    );
    let (status, said) = moto.request("PUT", &format!("/{bucket}?notification"), &[], whole.as_bytes());
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&said));
}
