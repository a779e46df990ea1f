//! A real Ceph with its gateway, for the long tests. `tests/run.sh --all` installs it; who asks is [`KEYS`].

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(dead_code, reason = "each test program uses its own part of this")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use super::far::{Far, KEYS};
use super::tool;

/// Whether the long tests are wanted; without them there is no Ceph.
pub fn is_wanted() -> bool {
    std::env::var("REELMILL_TESTS").is_ok_and(|which| which == "all")
}

/// The server. It ends with the process, whose pipe it reads.
pub struct Ceph {
    endpoint: String,
    _keeper: Child,
}

impl Ceph {
    /// One for all tests of a process.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Ceph> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    fn start() -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers/ceph.sh");
        let folder = std::env::temp_dir().join(format!("reelmill-ceph-{}", std::process::id()));
        #[allow(clippy::disallowed_methods, reason = "a server for tests")]
        let mut keeper = Command::new("sh")
            .arg(script)
            .arg(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(keeper.stdout.take().unwrap())
            .read_line(&mut said)
            .unwrap();
        let endpoint = said.strip_prefix("ready ").map(str::trim);
        let endpoint =
            endpoint.unwrap_or_else(|| panic!("Ceph does not start: tests/run.sh --all installs it ({said})"));
        Self {
            endpoint: endpoint.to_owned(),
            _keeper: keeper,
        }
    }

    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    pub fn far(&self) -> Far {
        Far::at(&self.endpoint)
    }

    /// From now on what comes into the bucket is told to this URL.
    pub fn tells(&self, bucket: &str, url: &str) {
        let escaped = super::post::form(url);
        let topic = format!("about-{bucket}");
        let attribute = "Attributes.entry.1.key=push-endpoint&Attributes.entry.1.value";
        let what = format!("Action=CreateTopic&Name={topic}&{attribute}={escaped}&Version=2010-03-31");
        let user = format!("{}:{}", KEYS.0, KEYS.1);
        let sign = ["--aws-sigv4", "aws:amz:default:sns", "--user", &user];
        let said = tool("curl", &[&["-fsS"], &sign[..], &["-d", &what, &self.endpoint]].concat());
        let arn = said.split("<TopicArn>").nth(1).unwrap().split('<').next().unwrap();
        let far = self.far();
        let topic = aws_sdk_s3::types::TopicConfiguration::builder()
            .id("told")
            .topic_arn(arn)
            .events("s3:ObjectCreated:*".into())
            .build()
            .unwrap();
        let all = aws_sdk_s3::types::NotificationConfiguration::builder().topic_configurations(topic);
        let put = far.client().put_bucket_notification_configuration().bucket(bucket);
        far.wait(put.notification_configuration(all.build()).send()).unwrap();
    }
}
