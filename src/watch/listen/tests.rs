use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use tokio::task::JoinSet;

use super::double::{Double, Manner, Ping};
use super::*;
use crate::object::Directory;
use crate::watch::ears::Ears;

const BUCKET: &str = "uploads";

fn config(endpoint: &str) -> S3Config {
    S3Config {
        s3: BUCKET.to_owned(),
        endpoint: Some(endpoint.to_owned()),
        region: None,
        profile: None,
        path_style: true,
        ca: None,
        watch: vec![crate::config::WatchSource::Listen],
        sqs: None,
        webhook: None,
    }
}

fn sdk(secret: &str) -> SdkConfig {
    let credentials = Credentials::new("access", secret, None, None, "test");
    SdkConfig::builder()
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build()
}

fn of(book: u64, directories: &[&str]) -> Wanted {
    Wanted::new(book, directories.iter().map(|text| Directory::new(text).unwrap()))
}

/// A source that listens to a double, in a hurry.
struct Listening {
    double: Double,
    ears: Ears,
    wanted: watch::Sender<Wanted>,
    stop: CancellationToken,
    loops: JoinSet<()>,
}

impl Listening {
    fn new(directories: &[&str], secret: &str, prepare: impl FnOnce(&Double)) -> Self {
        let double = Double::new("access", "secret");
        prepare(&double);
        let (wanted, follow) = watch::channel(of(1, directories));
        let (ears, stop) = (Ears::default(), CancellationToken::new());
        let mut source = ListenSource::new(&config(&double.endpoint()), &sdk(secret));
        source.patience = Patience {
            silence: Duration::from_millis(400),
            backoff: (Duration::from_millis(10), Duration::from_millis(50)),
            good: Duration::from_millis(200),
            seldom: Duration::from_hours(1),
        };
        let mut loops = JoinSet::new();
        loops.spawn(source.run(Arc::new(ears.clone()), follow, stop.clone()));
        Self {
            double,
            ears,
            wanted,
            stop,
            loops,
        }
    }

    /// One that has its stream.
    async fn connected(directories: &[&str]) -> Self {
        let listening = Self::new(directories, "secret", |_| ());
        listening.streams(1).await;
        listening
    }

    /// Waits until streams began so many times, and this one stands.
    async fn streams(&self, times: usize) {
        let began = |heard: &mut crate::watch::ears::Heard| heard.connected.iter().filter(|on| **on).count() >= times;
        self.ears.until(&format!("{times} streams"), began).await;
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.double.readers() == 0 {
            assert!(Instant::now() < deadline, "no reader");
            sleep(Duration::from_millis(5)).await;
        }
    }

    async fn hears(&self, key: &str) {
        self.ears
            .until(key, |heard| heard.hints.iter().any(|hint| hint == key))
            .await;
    }

    async fn says(&self, words: &str) {
        self.ears
            .until(words, |heard| {
                heard.health.last().is_some_and(|(_, said)| said.contains(words))
            })
            .await;
    }

    fn missed(&self) -> Vec<String> {
        self.ears
            .with(|heard| heard.missed.iter().map(|d| d.as_str().to_owned()).collect())
    }

    async fn end(mut self) -> Ears {
        self.stop.cancel();
        let ended = tokio::time::timeout(Duration::from_secs(20), self.loops.join_next()).await;
        ended.unwrap().unwrap().unwrap();
        let last = self.ears.with(|heard| heard.connected.last().copied());
        assert_ne!(last, Some(true), "a source that ended has no connection");
        self.ears
    }
}

#[tokio::test]
async fn what_comes_to_be_is_hinted_at_and_nothing_else() {
    let listening = Listening::connected(&["in", "also/here"]).await;
    assert_eq!(listening.missed(), ["also/here/", "in/"]);
    assert_eq!(listening.ears.with(|heard| heard.book), 1);
    listening.double.put(BUCKET, "elsewhere/a.mp4");
    listening.double.put("another", "in/b.mp4");
    listening.double.tell(BUCKET, "in/c.mp4", "s3:ObjectRemoved:Delete");
    listening.double.tell(BUCKET, "in/d.mp4", "s3:ObjectCreated:PutTagging");
    listening.double.put(BUCKET, "also/here/e.mp4");
    listening.double.put(BUCKET, "in/f.mp4");
    listening.hears("in/f.mp4").await;
    let asked = listening.double.asked();
    assert_eq!(asked[0].wrong, "", "the signature is right");
    assert_eq!(asked[0].path, "/uploads");
    let parameter = |name: &str| asked[0].query[name].as_str();
    assert_eq!(parameter("events"), "s3:ObjectCreated:*");
    assert_eq!(
        (parameter("ping"), parameter("prefix"), parameter("suffix")),
        ("10", "", "")
    );
    let ears = listening.end().await;
    assert_eq!(ears.with(|heard| heard.hints.clone()), ["also/here/e.mp4", "in/f.mp4"]);
    assert!(ears.with(|heard| heard.quarantined.is_empty() && heard.kept.is_empty()));
}

#[tokio::test]
async fn every_key_comes_through_in_whatever_pieces() {
    let long = format!("in/{}", "x".repeat(1021));
    let keys = [
        "in/a b+c&d%2F.mp4",
        "in/100%.mp4",
        "in/ü",
        "in/日本",
        "in/a\nb",
        "in/<&>\"",
        long.as_str(),
    ];
    for crumbs in [1, 7, usize::MAX] {
        let listening = Listening::new(&["in"], "secret", |double| double.crumbs(crumbs));
        listening.streams(1).await;
        for key in keys {
            listening.double.put(BUCKET, key);
        }
        listening.hears(&long).await;
        assert_eq!(listening.end().await.with(|heard| heard.hints.clone()), keys);
    }
}

#[tokio::test]
async fn signs_of_life_keep_a_stream_and_silence_ends_it() {
    for ping in [Ping::Line, Ping::Space] {
        let listening = Listening::new(&["in"], "secret", |double| double.ping(ping, Duration::from_millis(50)));
        listening.streams(1).await;
        sleep(Duration::from_millis(900)).await;
        assert_eq!(listening.double.asked().len(), 1, "{ping:?}");
        listening.double.put(BUCKET, "in/a.mp4");
        listening.hears("in/a.mp4").await;
        listening.double.ping(Ping::Never, Duration::from_millis(50));
        // What stands goes on as it began; only a new one is silent.
        listening.double.cut();
        listening.says("said nothing for").await;
        listening.double.ping(ping, Duration::from_millis(50));
        listening.streams(2).await;
        assert!(listening.missed().len() >= 2, "a listing closes the gap");
        listening.end().await;
    }
}

#[tokio::test]
async fn a_stream_that_falls_silent_is_begun_anew() {
    let never = |double: &Double| double.ping(Ping::Never, Duration::from_millis(50));
    let listening = Listening::new(&["in"], "secret", never);
    let deadline = Instant::now() + Duration::from_secs(20);
    while listening.double.readers() == 0 {
        assert!(Instant::now() < deadline, "no reader");
        sleep(Duration::from_millis(5)).await;
    }
    // The answer begins with this and then stays away.
    listening.double.put(BUCKET, "in/a.mp4");
    listening.hears("in/a.mp4").await;
    listening.says("said nothing for").await;
    assert_eq!(listening.ears.with(|heard| heard.connected.clone()), [true, false]);
    listening.end().await;
}

#[tokio::test]
async fn a_cut_stream_is_begun_anew_for_ever_and_listed_each_time() {
    let listening = Listening::connected(&["in"]).await;
    for round in 1..6 {
        listening.double.lose(1);
        listening.double.put(BUCKET, &format!("in/lost {round}"));
        listening.double.cut();
        listening.streams(round + 1).await;
        let key = format!("in/{round}");
        // The reader that is known may be the one that was cut.
        let deadline = Instant::now() + Duration::from_secs(20);
        while !listening.ears.with(|heard| heard.hints.contains(&key)) {
            assert!(Instant::now() < deadline, "{key}");
            listening.double.put(BUCKET, &key);
            sleep(Duration::from_millis(20)).await;
        }
        assert!(listening.missed().len() > round);
    }
    let ears = listening.end().await;
    let turns = ears.with(|heard| heard.connected.clone());
    assert!(turns.chunks(2).all(|pair| pair == [true, false]), "{turns:?}");
}

#[tokio::test]
async fn a_server_that_cannot_is_told_of_in_words_and_left_alone() {
    for manner in [
        Manner::Listing,
        Manner::NamelessListing,
        Manner::Error(501, "NotImplemented"),
        Manner::Error(405, "MethodNotAllowed"),
    ] {
        let listening = Listening::new(&["in"], "secret", |double| double.manner(manner));
        listening
            .says("use watch = [\"sqs\"], [\"webhook\"] or [\"list\"]")
            .await;
        let asked = listening.double.asked().len();
        sleep(Duration::from_millis(300)).await;
        assert_eq!(listening.double.asked().len(), asked, "{manner:?}");
        // What is wanted may change all the same.
        listening.wanted.send_replace(of(2, &["in/below"]));
        listening.ears.until("the book", |heard| heard.book == 2).await;
        assert!(!listening.ears.with(|heard| heard.health.last().unwrap().0));
        listening.end().await;
    }
}

#[tokio::test]
async fn a_refusal_is_told_of_in_words_and_the_stream_comes_once_it_is_permitted() {
    for (manner, words) in [
        (
            Manner::Error(403, "AccessDenied"),
            "s3:ListenBucketNotification on uploads",
        ),
        (Manner::Error(404, "NoSuchBucket"), "has no bucket uploads"),
        (
            Manner::Error(403, "InvalidAccessKeyId"),
            "credentials for uploads are wrong or have expired",
        ),
        (Manner::Error(403, "RequestTimeTooSkewed"), "clock"),
        (
            Manner::Error(503, "SlowDown"),
            "answered 503 when asked for events: SlowDown: No.",
        ),
        (Manner::Closed, "cannot be reached"),
    ] {
        let listening = Listening::new(&["in"], "secret", |double| double.manner(manner));
        listening.says(words).await;
        listening.double.manner(Manner::Nameless);
        listening.says("listening at").await;
        listening.double.put(BUCKET, "in/a.mp4");
        listening.hears("in/a.mp4").await;
        listening.end().await;
    }
}

#[tokio::test]
async fn a_wrong_secret_is_refused() {
    let listening = Listening::new(&["in"], "a wrong one", |_| ());
    listening
        .says("credentials for uploads are wrong or have expired")
        .await;
    assert!(listening.double.asked()[0].wrong.contains("signature does not fit"));
    listening.end().await;
}

#[tokio::test]
async fn a_strange_line_is_kept_for_people_and_the_next_is_read() {
    let listening = Listening::connected(&["in"]).await;
    let before = listening.missed().len();
    listening.double.raw(b"{\"Records\":[{\n");
    listening.double.raw(&vec![b'x'; lines::LONGEST + 5]);
    listening.double.raw(b"\n");
    listening.double.put(BUCKET, "in/a.mp4");
    listening.hears("in/a.mp4").await;
    let strange = listening.ears.with(|heard| heard.quarantined.clone());
    assert_eq!(strange.len(), 2);
    assert!(strange[0].1.contains("not JSON"), "{}", strange[0].1);
    assert_eq!(strange[1].0.len(), lines::LONGEST);
    assert_eq!(listening.missed().len(), before + 1, "once a stream");
    listening.end().await;
}

#[tokio::test]
async fn a_stream_stays_while_it_has_what_is_wanted() {
    let listening = Listening::connected(&["in/a", "in/b"]).await;
    assert_eq!(listening.double.asked()[0].query["prefix"], "in/");
    listening.wanted.send_replace(of(2, &["in/c"]));
    listening.ears.until("book 2", |heard| heard.book == 2).await;
    listening.double.put(BUCKET, "in/a/1");
    listening.double.put(BUCKET, "in/c/2");
    listening.hears("in/c/2").await;
    assert_eq!(listening.double.asked().len(), 1);
    listening.wanted.send_replace(of(3, &["out"]));
    listening.ears.until("book 3", |heard| heard.book == 3).await;
    listening.streams(2).await;
    assert_eq!(listening.double.asked()[1].query["prefix"], "out/");
    listening.wanted.send_replace(of(4, &[]));
    listening.says("no rule watches it").await;
    assert_eq!(
        listening.ears.with(|heard| heard.connected.clone()),
        [true, false, true, false]
    );
    assert_eq!(listening.end().await.with(|heard| heard.hints.clone()), ["in/c/2"]);
}

#[test]
fn a_prefix_has_whole_directories_and_what_servers_take() {
    let common = |directories: &[&str]| prefix(&of(1, directories));
    assert_eq!(common(&[]), None);
    assert_eq!(common(&[""]).as_deref(), Some(""));
    assert_eq!(common(&["in"]).as_deref(), Some("in/"));
    assert_eq!(common(&["in/ab", "in/ac"]).as_deref(), Some("in/"));
    assert_eq!(common(&["ü/a", "û/a"]).as_deref(), Some(""));
    assert_eq!(common(&["in\\a"]).as_deref(), Some(""));
    assert_eq!(common(&[&"x/".repeat(600)]).as_deref(), Some(""));
}

#[test]
fn a_bucket_stands_in_the_path_or_before_the_host() {
    let mut config = config("https://minio.example:9000/");
    let url = |config: &S3Config| ListenSource::new(config, &sdk("s")).server;
    assert_eq!(url(&config).endpoint, "https://minio.example:9000");
    assert_eq!(url(&config).region, "us-east-1");
    let query = "?events=s3%3AObjectCreated%3A%2A&ping=10&prefix=in%2F%C3%BC&suffix=";
    let in_path = format!("https://minio.example:9000/uploads{query}");
    assert_eq!(url(&config).url("in/ü"), in_path);
    config.path_style = false;
    let before_host = format!("https://uploads.minio.example:9000/{query}");
    assert_eq!(url(&config).url("in/ü"), before_host);
    config.region = Some("eu-1".to_owned());
    assert_eq!(url(&config).region, "eu-1");
}

#[tokio::test]
async fn certificates_that_are_none_are_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config("https://127.0.0.1:1");
    for (name, text) in [
        ("missing", None),
        (
            "broken",
            Some("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"),
        ),
    ] {
        let path = folder.path().join(name);
        if let Some(text) = text {
            std::fs::write(&path, text).unwrap();
        }
        config.ca = Some(path);
        let source = ListenSource::new(&config, &sdk("s"));
        match source.server.connector().await {
            Err(NoStream::Lost(words)) => assert!(words.contains(name), "{words}"),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_reader_that_is_too_slow_is_dropped_and_sees_it() {
    let double = Double::new("access", "secret");
    let source = ListenSource::new(&config(&double.endpoint()), &sdk("secret"));
    let connector = source.server.connector().await.unwrap();
    let (mut body, certain) = source.server.open(&connector, "").await.unwrap();
    assert!(certain);
    let deadline = Instant::now() + Duration::from_secs(30);
    let much = vec![b' '; 1 << 20];
    while double.readers() > 0 {
        assert!(Instant::now() < deadline, "never dropped");
        double.raw(&much);
        double.put(BUCKET, "in/a.mp4");
        sleep(Duration::from_millis(50)).await;
    }
    let ended = async { while let Some(Ok(_)) = body.frame().await {} };
    timeout(Duration::from_secs(20), ended).await.unwrap();
}
