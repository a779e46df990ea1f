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

fn set_versions(bucket: &str) {
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
    set_versions(&bucket);
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

/// A bucket of a server that gives these answers, one for each request, and then none.
async fn answering(answers: &[String]) -> S3Remote {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let answers = answers.to_vec();
    std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut some = [0; 4096];
            while !request.windows(4).any(|four| four == b"\r\n\r\n") {
                let read = stream.read(&mut some).unwrap();
                request.extend_from_slice(&some[..read]);
            }
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    connected(&config(&endpoint, "double")).await
}

const MODIFIED: &str = "Last-Modified: Wed, 15 Nov 2023 00:00:00 GMT\r\nConnection: close\r\n";

fn found(length: usize, etag: &str, body: &str) -> String {
    format!("HTTP/1.1 206 Partial Content\r\nContent-Length: {length}\r\nETag: \"{etag}\"\r\n{MODIFIED}\r\n{body}")
}

fn refusal(status: &str, code: &str, header: &str) -> String {
    let body = format!("<Error><Code>{code}</Code><Message>Words</Message></Error>");
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{header}\r\n{body}")
}

fn listing(inside: &str) -> String {
    let body = format!("<ListBucketResult>{inside}</ListBucketResult>");
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
}

fn identity() -> Identity {
    Identity {
        size: 5,
        modified_ns: 1_700_006_400_000_000_000,
        etag: Some("right".to_owned()),
        version: None,
    }
}

/// What a read of five bytes comes to, where the server answers so.
async fn read_from(answer: String) -> Result<Bytes, BucketError> {
    let remote = answering(&[answer]).await;
    remote.read(&key(b"a.mp4"), &identity(), 0, 5).await
}

#[tokio::test]
async fn only_the_whole_range_of_the_right_version_is_taken() {
    assert_eq!(&read_from(found(5, "right", "hello")).await.unwrap()[..], b"hello");
    let other = read_from(found(5, "wrong", "hello")).await;
    assert!(matches!(other, Err(BucketError::Changed(_))), "it ignores If-Match");
    for broken in [
        found(5, "right", "hel"),
        found(3, "right", "hel"),
        found(7, "right", "hello!!"),
    ] {
        let short = read_from(broken).await;
        assert!(matches!(short, Err(BucketError::Transient { .. })), "{short:?}");
    }
}

#[tokio::test]
async fn refusals_are_told_as_the_server_means_them() {
    for (status, code, passes, word) in [
        ("503 Slow Down", "SlowDown", true, "fewer requests"),
        ("500 Oh", "InternalError", true, "InternalError"),
        ("400 Bad Request", "ExpiredToken", true, "have expired"),
        ("403 Forbidden", "RequestTimeTooSkewed", true, "clock"),
        ("403 Forbidden", "AccessDenied", false, "s3:GetObject"),
        ("403 Forbidden", "InvalidAccessKeyId", false, "access key"),
        ("403 Forbidden", "SignatureDoesNotMatch", false, "secret key"),
        ("301 Moved", "PermanentRedirect", false, "region = \"eu-west-1\""),
    ] {
        let answer = refusal(status, code, "x-amz-bucket-region: eu-west-1\r\n");
        let error = read_from(answer).await.unwrap_err();
        assert_eq!(matches!(error, BucketError::Transient { .. }), passes, "{error:?}");
        let said = error.to_string();
        assert!(said.contains(word) && said.contains(code), "{said}");
        assert!(
            !said.contains(SECRET_KEY) && said.contains("bucket uploads: reading a.mp4"),
            "{said}"
        );
    }
    let error = read_from("no HTTP at all\r\n\r\n".to_owned()).await.unwrap_err();
    assert!(matches!(error, BucketError::Transient { .. }), "{error:?}");
}

#[tokio::test]
async fn a_silent_refusal_of_a_head_is_asked_about() {
    let silent = |status: &str| format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let why = refusal("400 Bad Request", "ExpiredToken", "");
    let remote = answering(&[silent("400 Bad Request"), why]).await;
    let error = remote.head(&key(b"a.mp4")).await.unwrap_err();
    assert!(error.to_string().contains("ExpiredToken"), "{error}");
    // Something else listens there, and has nothing under any name.
    let remote = answering(&[silent("404 Not Found"), silent("404 Not Found")]).await;
    let error = remote.head(&key(b"a.mp4")).await.unwrap_err();
    assert!(matches!(error, BucketError::Transient { .. }), "{error:?}");
    // It came between the two questions.
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: \"right\"\r\n{MODIFIED}\r\n");
    let remote = answering(&[silent("404 Not Found"), found(1, "right", "h"), head]).await;
    assert_eq!(remote.head(&key(b"a.mp4")).await.unwrap().identity, identity());
}

#[tokio::test]
async fn listings_that_cannot_be_compared_are_refused() {
    let contents = |key: &str| {
        format!(
            "<Contents><Key>{key}</Key><LastModified>2023-11-15T00:00:00.750Z</LastModified><Size>5</Size></Contents>"
        )
    };
    let fine = [contents("a+%25+b"), contents("b%2Fc")].concat();
    let plain = answering(&[listing(&fine)]).await;
    let page = plain.page("", &From::Start, 10).await.unwrap();
    assert_eq!(page.objects[0].key, key(b"a+%25+b"), "it does not say that it encodes");
    assert_eq!(
        page.objects[0].identity.modified_ns,
        identity().modified_ns,
        "whole seconds"
    );
    let encoded = answering(&[listing(&["<EncodingType>url</EncodingType>", &fine].concat())]).await;
    let page = encoded.page("", &From::Start, 10).await.unwrap();
    assert_eq!(page.objects[0].key, key(b"a % b"));
    let unsorted = answering(&[listing(&[contents("b"), contents("a")].concat())]).await;
    let error = unsorted.page("", &From::Start, 10).await.unwrap_err();
    assert!(error.to_string().contains("order"), "{error}");
    let again = answering(&[listing(&contents("a"))]).await;
    assert!(again.page("", &From::After(key(b"a")), 10).await.is_err());
    let endless = answering(&[listing("<IsTruncated>true</IsTruncated>")]).await;
    assert!(endless.page("", &From::Start, 10).await.is_err());
    let cut = answering(&[listing("<Contents><Key>a")]).await;
    let error = cut.page("", &From::Start, 10).await.unwrap_err();
    assert!(matches!(error, BucketError::Transient { .. }), "{error:?}");
}

#[tokio::test]
async fn an_upload_that_a_server_completes_with_an_error_is_not_complete() {
    let remote = answering(&[refusal("200 OK", "InternalError", "")]).await;
    let upload = UploadId("1".to_owned());
    let told = remote
        .complete_upload(&key(b"a.mp4"), &upload, &[], &Condition::Always)
        .await;
    assert!(matches!(told, Err(BucketError::Transient { .. })), "{told:?}");
    let remote = answering(&[refusal("404 Not Found", "NoSuchKey", "")]).await;
    let on = Condition::Is("right".to_owned());
    let told = remote.complete_upload(&key(b"a.mp4"), &upload, &[], &on).await;
    assert!(matches!(told, Err(BucketError::Changed(_))), "{told:?}");
}

#[tokio::test]
async fn a_server_that_knows_no_condition_on_deleting_deletes_what_is_still_the_same() {
    let head = |etag: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: \"{etag}\"\r\n{MODIFIED}\r\n");
    let done = "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n".to_owned();
    let unknown = refusal("501 Not Implemented", "NotImplemented", "");
    let remote = answering(&[head("right"), unknown.clone(), head("right"), done]).await;
    remote.delete(&key(b"a.mp4"), &identity()).await.unwrap();
    let remote = answering(&[head("right"), unknown, head("newer")]).await;
    let told = remote.delete(&key(b"a.mp4"), &identity()).await;
    assert!(matches!(told, Err(BucketError::Changed(_))), "{told:?}");
}
