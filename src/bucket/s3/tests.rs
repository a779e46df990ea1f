//! Against a real server: what only S3 has.

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;

use super::*;
use crate::bucket::conformance::key;
use crate::bucket::moto::{ACCESS_KEY, Moto, SECRET_KEY};
use crate::bucket::remote_tests::{Files, PART, object};

/// How a bucket of the server for tests is reached.
pub fn config(endpoint: &str, s3_bucket: &str) -> S3Config {
    S3Config {
        s3: s3_bucket.to_owned(),
        endpoint: Some(endpoint.to_owned()),
        region: Some("us-east-1".to_owned()),
        profile: None,
        path_style: true,
        ca: None,
        watch: Vec::new(),
        sqs: None,
        webhook: None,
    }
}

async fn connected(config: &S3Config) -> S3Remote {
    let credentials = Credentials::new(ACCESS_KEY, SECRET_KEY, None, None, "tests");
    let credentials = SharedCredentialsProvider::new(credentials);
    let name = "uploads".parse().unwrap();
    S3Remote::connect_as(&name, config, Some(credentials)).await.unwrap()
}

/// A bucket of the server for tests.
pub async fn served(s3_bucket: &str) -> S3Remote {
    connected(&config(&Moto::shared().endpoint(), s3_bucket)).await
}

#[tokio::test]
async fn keys_that_s3_cannot_have_are_refused_in_words() {
    let remote = served("any-bucket").await;
    let wrong = remote.head(&key(b"\xff.mp4")).await.unwrap_err();
    assert!(matches!(wrong, BucketError::Permanent { .. }));
    assert!(wrong.to_string().contains("keys of S3 are UTF-8"), "{wrong}");
    let wrong = remote.head(&key(&[b'a'; 1025])).await.unwrap_err();
    assert!(wrong.to_string().contains("1,024 bytes"), "{wrong}");
}

#[tokio::test]
async fn keys_that_are_no_objects_are_left_out_of_listings() {
    let bucket = Moto::shared().bucket("odd");
    for odd in [&b"folder/"[..], b"a//b", b"a/./b", b"../x", b"good.mp4"] {
        Moto::shared().put(&bucket, odd, b"x");
    }
    let page = served(&bucket).await.page("", &From::Start, 10).await.unwrap();
    let keys: Vec<_> = page.objects.into_iter().map(|object| object.key).collect();
    assert_eq!(keys, [key(b"good.mp4")]);
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_offline_and_nothing_in_it_is_gone() {
    let remote = served("no-such-bucket").await;
    for error in [
        remote.reachable().await.unwrap_err(),
        remote.head(&key(b"a.mp4")).await.unwrap_err(),
        remote.page("", &From::Start, 10).await.unwrap_err(),
    ] {
        assert!(matches!(error, BucketError::Transient { .. }), "{error:?}");
        assert!(error.to_string().contains("NoSuchBucket"), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_is_away_is_offline() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let remote = connected(&config(&endpoint, "any-bucket")).await;
    let error = remote.reachable().await.unwrap_err();
    assert!(matches!(error, BucketError::Transient { .. }), "{error:?}");
    let said = error.to_string();
    assert!(said.contains("bucket uploads") && said.contains("refused"), "{said}");
}

#[tokio::test]
async fn without_credentials_it_is_said_how_to_give_some() {
    let name = "uploads".parse().unwrap();
    let config = S3Config {
        profile: Some("a-profile-that-nobody-has".to_owned()),
        ..config("http://127.0.0.1:1", "any-bucket")
    };
    let remote = S3Remote::connect(&name, &config).await.unwrap();
    let error = remote.reachable().await.unwrap_err();
    assert!(matches!(error, BucketError::Transient { .. }), "{error:?}");
    assert!(error.to_string().contains("AWS_ACCESS_KEY_ID"), "{error}");
}

#[tokio::test]
async fn a_file_of_certificates_is_looked_at_before_it_is_used() {
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("ca.pem");
    let name = "uploads".parse().unwrap();
    let config = S3Config {
        ca: Some(path.clone()),
        ..config("https://127.0.0.1:1", "any-bucket")
    };
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (text, word) in [
        (None, "cannot be read"),
        (Some("no PEM"), "no certificate"),
        (Some(broken), "no certificate"),
    ] {
        if let Some(text) = text {
            std::fs::write(&path, text).unwrap();
        }
        let error = S3Remote::connect(&name, &config).await.unwrap_err();
        assert!(matches!(error, BucketError::Permanent { .. }));
        assert!(error.to_string().contains(word), "{error}");
    }
}

async fn set_versions(bucket: &str) {
    let body = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    let (status, _) = Moto::shared().request("PUT", &format!("/{bucket}?versioning"), &[], body);
    assert_eq!(status, 200);
}

#[tokio::test]
async fn in_a_bucket_with_versions_the_version_that_was_opened_is_read_and_history_stays() {
    let bucket = Moto::shared().bucket("versions");
    let name = key(b"a.mp4");
    let remote = served(&bucket).await;
    Moto::shared().put(&bucket, name.as_bytes(), b"before");
    assert_eq!(remote.head(&name).await.unwrap().identity.version, None);
    set_versions(&bucket).await;
    Moto::shared().put(&bucket, name.as_bytes(), b"first");
    let first = remote.head(&name).await.unwrap().identity;
    assert!(first.version.is_some());
    Moto::shared().put(&bucket, name.as_bytes(), b"other");
    let second = remote.head(&name).await.unwrap().identity;
    assert_ne!(first.version, second.version);
    assert_eq!(&remote.read(&name, &first, 0, 5).await.unwrap()[..], b"first");
    assert!(matches!(
        remote.delete(&name, &first).await,
        Err(BucketError::Changed(_))
    ));
    remote.delete(&name, &second).await.unwrap();
    assert!(matches!(remote.head(&name).await, Err(BucketError::NotFound(_))));
    assert_eq!(&remote.read(&name, &second, 0, 5).await.unwrap()[..], b"other");
    let (to, from) = (key(b"copy.mp4"), &first);
    remote.copy(&name, from, &to).await.unwrap();
    assert_eq!(Moto::shared().get(&bucket, to.as_bytes()).unwrap(), b"first");
}

#[tokio::test]
async fn what_is_too_large_for_one_copy_is_copied_in_parts_with_what_was_given_along() {
    let bucket = Moto::shared().bucket("large");
    let files = Files::new();
    let mut remote = served(&bucket).await;
    remote.copies = CopyLimits {
        whole: 1,
        part: PART as u64,
    };
    let (name, to) = (key("gro\u{df} + 1.bin".as_bytes()), key(b"copy.bin"));
    let bytes: Vec<u8> = (0..2 * PART + 3).map(|at| u8::try_from(at % 253).unwrap()).collect();
    let new = NewObject {
        metadata: [("reelmill-job".to_owned(), "\u{fc}".to_owned())].into(),
        tags: [("a b".to_owned(), "c/d=+e".to_owned())].into(),
        cache_control: Some("no-store".to_owned()),
        ..object(&name)
    };
    remote
        .put(&new, &files.stretch(&bytes), &Condition::Always)
        .await
        .unwrap();
    let identity = remote.head(&name).await.unwrap().identity;
    remote.copy(&name, &identity, &to).await.unwrap();
    assert!(Moto::shared().get(&bucket, to.as_bytes()).unwrap() == bytes);
    let copied = remote.head_output(&to, None).await.unwrap();
    assert_eq!(copied.cache_control(), Some("no-store"));
    assert_eq!(copied.content_type(), Some("video/mp4"));
    assert_eq!(remote.head(&to).await.unwrap().metadata, new.metadata);
    let (_, tags) = Moto::shared().request("GET", &format!("/{bucket}/copy.bin?tagging"), &[], b"");
    let tags = String::from_utf8(tags).unwrap();
    assert!(
        tags.contains("<Key>a b</Key>") && tags.contains("<Value>c/d=+e</Value>"),
        "{tags}"
    );
    assert!(matches!(
        remote.copy(&name, &identity, &to).await,
        Err(BucketError::Changed(_))
    ));
    assert_eq!(remote.open_uploads("").await.unwrap(), []);
}

#[tokio::test]
async fn parts_with_checksums_are_taken_too() {
    let bucket = Moto::shared().bucket("checksums");
    let files = Files::new();
    let mut remote = served(&bucket).await;
    remote.has_checksums = true;
    let name = key(b"a.bin");
    let upload = remote.begin_upload(&object(&name)).await.unwrap();
    let part = remote
        .upload_part(&name, &upload, 1, &files.stretch(b"hello"))
        .await
        .unwrap();
    assert!(part.crc32.is_some());
    remote
        .complete_upload(&name, &upload, &[part], &Condition::Always)
        .await
        .unwrap();
    assert_eq!(Moto::shared().get(&bucket, b"a.bin").unwrap(), b"hello");
}
