//! A house whose buckets are over a network, and a look into them from outside.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(dead_code, reason = "each test program uses its own part of this")]

use std::collections::BTreeMap;
use std::path::Path;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region, RequestChecksumCalculation};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};

use super::House;

/// Who asks.
pub const KEYS: (&str, &str) = ("test", "test-secret");

/// A client of a server that speaks S3, one call after the other.
pub struct Far {
    client: Client,
    runtime: tokio::runtime::Runtime,
}

impl Far {
    pub fn at(endpoint: &str) -> Self {
        Self::with_keys(endpoint, KEYS)
    }

    pub fn with_keys(endpoint: &str, (access, secret): (&str, &str)) -> Self {
        let http = aws_smithy_http_client::Builder::new().build_http();
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(http)
            .endpoint_url(endpoint)
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new(access, secret, None, None, "test"))
            .force_path_style(true)
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .build();
        Self {
            client: Client::from_conf(config),
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap(),
        }
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    pub fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    pub fn make(&self, bucket: &str) {
        self.wait(self.client.create_bucket().bucket(bucket).send()).unwrap();
    }

    pub fn put(&self, bucket: &str, key: &str, bytes: Vec<u8>) {
        let body = ByteStream::from(bytes);
        self.wait(self.client.put_object().bucket(bucket).key(key).body(body).send())
            .unwrap();
    }

    /// Puts an object in the parts of an upload.
    pub fn put_in_parts(&self, bucket: &str, key: &str, bytes: &[u8]) {
        self.wait(async {
            let begun = self.client.create_multipart_upload().bucket(bucket).key(key).send();
            let begun = begun.await.unwrap();
            let id = begun.upload_id().unwrap();
            let mut parts = CompletedMultipartUpload::builder();
            for (number, part) in (1..).zip(bytes.chunks(5 << 20)) {
                let body = ByteStream::from(part.to_vec());
                let sent = self.client.upload_part().bucket(bucket).key(key).upload_id(id);
                let sent = sent.part_number(number).body(body).send().await.unwrap();
                let part = CompletedPart::builder().part_number(number).set_e_tag(sent.e_tag);
                parts = parts.parts(part.build());
            }
            let whole = self.client.complete_multipart_upload().bucket(bucket).key(key);
            let whole = whole.upload_id(id).multipart_upload(parts.build()).send();
            whole.await.unwrap();
        });
    }

    pub fn put_file(&self, bucket: &str, key: &str, file: &Path) {
        self.put(bucket, key, std::fs::read(file).unwrap());
    }

    pub fn get(&self, bucket: &str, key: &str) -> Vec<u8> {
        self.wait(async {
            let got = self.client.get_object().bucket(bucket).key(key).send().await.unwrap();
            got.body.collect().await.unwrap().to_vec()
        })
    }

    pub fn delete(&self, bucket: &str, key: &str) {
        self.wait(self.client.delete_object().bucket(bucket).key(key).send())
            .unwrap();
    }

    /// All keys, sorted; nothing hidden.
    pub fn keys(&self, bucket: &str) -> Vec<String> {
        let listed = self.wait(self.client.list_objects_v2().bucket(bucket).send()).unwrap();
        let keys = listed.contents().iter().filter_map(|object| object.key());
        let shown = |key: &&str| !key.split('/').any(|part| part.starts_with('.'));
        keys.filter(shown).map(str::to_owned).collect()
    }

    /// What was given along with an object.
    pub fn metadata(&self, bucket: &str, key: &str) -> BTreeMap<String, String> {
        let head = self
            .wait(self.client.head_object().bucket(bucket).key(key).send())
            .unwrap();
        head.metadata().cloned().unwrap_or_default().into_iter().collect()
    }

    /// Keys of uploads in parts that are open.
    pub fn uploads(&self, bucket: &str) -> Vec<String> {
        let open = self
            .wait(self.client.list_multipart_uploads().bucket(bucket).send())
            .unwrap();
        open.uploads()
            .iter()
            .filter_map(|upload| upload.key().map(str::to_owned))
            .collect()
    }
}

/// Names that are hard to pass on, the last one as long as a key can be.
pub fn hard_names(directory: &str) -> Vec<String> {
    let mut names: Vec<String> = ["a b+c&d%2F.mp4", "100%.mp4", "ü.mp4", "日本.mp4"]
        .iter()
        .map(|name| format!("{directory}/{name}"))
        .collect();
    let mut long = directory.to_owned();
    while long.len() < 1024 - 300 {
        long.extend(["/", &"d".repeat(200)]);
    }
    let rest = 1024 - "//.mp4".len() - long.len();
    long.extend(["/", &"e".repeat(rest / 2), "/", &"n".repeat(rest - rest / 2), ".mp4"]);
    names.push(long);
    assert_eq!(names[4].len(), 1024);
    names
}

/// Bytes that look like nothing, other ones for each number.
pub fn noise(number: u64, length: usize) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        u8::try_from(state >> 56).unwrap()
    })
    .take(length)
    .collect()
}

/// A config with an S3 bucket to watch and one to publish into, at this endpoint; `more` is said of the first.
pub fn config(endpoint: &str, watched: &str, published: &str, more: &str) -> String {
    format!(
        r#"
state = "state"

[bucket.uploads]
s3 = "{watched}"
endpoint = "{endpoint}"
{more}

[bucket.results]
s3 = "{published}"
endpoint = "{endpoint}"

[bucket.inbox]
path = "inbox"

[bucket.published]
path = "published"

[workers]
slots = 2
drain = "1s"

[publish]
grace = "1s"
"#
    )
}

/// A house with that config.
pub fn house(config: &str, rules: &[(&str, &str)]) -> House {
    let mut house = House::with_config(config, rules);
    house.set("AWS_ACCESS_KEY_ID", KEYS.0);
    house.set("AWS_SECRET_ACCESS_KEY", KEYS.1);
    house.set("AWS_REGION", "us-east-1");
    house.set("AWS_EC2_METADATA_DISABLED", "true");
    house
}
