use super::*;

fn key(text: &str) -> ObjectKey {
    text.parse().unwrap()
}

fn at(second: i64) -> Option<Timestamp> {
    Timestamp::from_second(second).ok()
}

fn keys(taken: &[TakenHint]) -> Vec<String> {
    taken.iter().map(|hint| hint.key.to_string()).collect()
}

#[tokio::test]
async fn a_key_named_twice_waits_once_with_its_latest_event() {
    let hints = BucketHints::default();
    hints.put(key("a"), at(5), "inotify");
    hints.put(key("a"), None, "list");
    hints.put(key("a"), at(3), "inotify");
    let taken = hints.take(10, Instant::now());
    assert_eq!(keys(&taken), ["a"]);
    assert_eq!(taken[0].event, at(5));
    hints.done([&key("a")]);
    assert!(hints.is_empty());
}

#[tokio::test]
async fn a_key_named_while_it_is_worked_on_is_looked_at_again() {
    let hints = BucketHints::default();
    hints.put(key("a"), None, "list");
    hints.take(10, Instant::now());
    hints.put(key("a"), at(1), "inotify");
    assert!(hints.take(10, Instant::now()).is_empty());
    hints.done([&key("a")]);
    assert_eq!(hints.take(10, Instant::now())[0].event, at(1));
}

#[tokio::test]
async fn a_key_put_back_comes_at_its_time_or_when_it_is_named() {
    let hints = BucketHints::default();
    for name in ["a", "b"] {
        hints.put(key(name), None, "list");
    }
    let later = Instant::now() + Duration::from_millis(60);
    for taken in hints.take(10, Instant::now()) {
        hints.put_back(&taken.key, taken.patience, later);
    }
    assert!(hints.take(10, Instant::now()).is_empty());
    hints.put(key("b"), at(1), "inotify");
    assert_eq!(keys(&hints.take(10, Instant::now())), ["b"]);
    hints.done([&key("b")]);
    hints.ready().await;
    assert!(Instant::now() >= later);
    assert_eq!(keys(&hints.take(10, Instant::now())), ["a"]);
}

#[tokio::test]
async fn what_does_not_fit_is_left_to_a_listing() {
    let hints = BucketHints::default();
    for n in 0..=MOST_WAITING {
        hints.put(key(&n.to_string()), None, "inotify");
    }
    assert_eq!(hints.len(), MOST_WAITING);
    assert_eq!(hints.take_listings(), [Directory::default()]);
    assert!(hints.take_listings().is_empty());
}

#[tokio::test]
async fn all_looked_at_waits_for_what_was_there_and_not_for_what_came_later() {
    let hints = BucketHints::default();
    hints.put(key("a"), None, "list");
    let waited = hints.all_looked_at();
    tokio::pin!(waited);
    let soon = Duration::from_millis(40);
    assert!(tokio::time::timeout(soon, &mut waited).await.is_err());
    hints.put(key("b"), None, "list");
    let taken = hints.take(1, Instant::now());
    hints.put_back(&taken[0].key, Patience::default(), Instant::now() + soon * 100);
    tokio::time::timeout(soon * 100, waited).await.unwrap();
}
