use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::queue::Failed;
use super::*;
use crate::object::Directory;
use crate::watch::ears::{Ears, Heard};

/// A queue in memory that behaves as badly as a real one may.
#[derive(Default)]
struct Inner {
    /// Number, body, when it can be received (again).
    messages: BTreeMap<u32, (String, Option<Instant>)>,
    next: u32,
    /// Every message is received twice.
    doubles: bool,
    /// So many entries of deletes fail from now on.
    stuck: u32,
    /// So many calls fail from now on, with these words.
    broken: u32,
    received: u32,
    hidden: u32,
}

#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Inner>>);

impl Memory {
    fn with<T>(&self, look: impl FnOnce(&mut Inner) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn send(&self, body: &str) {
        self.with(|inner| {
            inner.next += 1;
            inner.messages.insert(inner.next, (body.to_owned(), None));
        });
    }

    fn works(&self) -> Result<(), QueueError> {
        self.with(|inner| {
            if inner.broken == 0 {
                return Ok(());
            }
            inner.broken -= 1;
            Err(QueueError("the queue is away".to_owned()))
        })
    }

    fn numbers(messages: &[Message]) -> Vec<u32> {
        messages
            .iter()
            .map(|message| message.receipt.parse().unwrap())
            .collect()
    }
}

#[async_trait]
impl Queue for Memory {
    async fn receive(&self, wait: Duration, hidden: Duration) -> Result<Vec<Message>, QueueError> {
        self.works()?;
        let deadline = Instant::now() + wait.min(Duration::from_millis(200));
        loop {
            let found = self.with(|inner| {
                inner.received += 1;
                let (now, doubles) = (Instant::now(), inner.doubles);
                let mut found = Vec::new();
                // The newest first: there is no order.
                for (number, (body, until)) in inner.messages.iter_mut().rev() {
                    if found.len() + usize::from(doubles) < BATCH && until.is_none_or(|until| until <= now) {
                        *until = Some(now + hidden);
                        let message = Message {
                            receipt: number.to_string(),
                            body: body.clone(),
                        };
                        if doubles {
                            found.push(message.clone());
                        }
                        found.push(message);
                    }
                }
                found
            });
            if !found.is_empty() || Instant::now() >= deadline {
                return Ok(found);
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    async fn delete(&self, messages: &[Message]) -> Result<Vec<Failed>, QueueError> {
        self.works()?;
        assert!(messages.len() <= BATCH);
        let numbers = Self::numbers(messages);
        Ok(self.with(|inner| {
            let mut failed = Vec::new();
            for (place, number) in numbers.into_iter().enumerate() {
                if inner.stuck > 0 {
                    inner.stuck -= 1;
                    failed.push((place, "Busy".to_owned()));
                } else {
                    inner.messages.remove(&number);
                }
            }
            failed
        }))
    }

    async fn hide(&self, messages: &[Message], hidden: Duration) -> Result<Vec<Failed>, QueueError> {
        self.works()?;
        let numbers = Self::numbers(messages);
        self.with(|inner| {
            inner.hidden += 1;
            for number in numbers {
                if let Some((_, until)) = inner.messages.get_mut(&number) {
                    *until = Some(Instant::now() + hidden);
                }
            }
        });
        Ok(Vec::new())
    }
}

fn body(key: &str) -> String {
    serde_json::json!({"Records": [{"eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": "b"}, "object": {"key": key}}}]})
    .to_string()
}

/// A source that receives from a queue in memory, in a hurry.
struct Receiving {
    queue: Memory,
    ears: Ears,
    wanted: watch::Sender<Wanted>,
    stop: CancellationToken,
    loops: JoinSet<()>,
}

impl Receiving {
    fn new(prepare: impl FnOnce(&Memory, &Ears)) -> Self {
        let (queue, ears, stop) = (Memory::default(), Ears::default(), CancellationToken::new());
        prepare(&queue, &ears);
        let source = SqsSource {
            queue: Arc::new(queue.clone()),
            url: "q".to_owned(),
            patience: Patience {
                hidden: Duration::from_millis(300),
                backoff: (Duration::from_millis(5), Duration::from_millis(20)),
            },
        };
        let (wanted, follow) = watch::channel(Wanted::new(1, [Directory::new("in").unwrap()]));
        let mut loops = JoinSet::new();
        loops.spawn(source.run(Arc::new(ears.clone()), follow, stop.clone()));
        Self {
            queue,
            ears,
            wanted,
            stop,
            loops,
        }
    }

    async fn emptied(&self) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.queue.with(|inner| !inner.messages.is_empty()) {
            assert!(Instant::now() < deadline, "messages are left");
            sleep(Duration::from_millis(5)).await;
        }
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
async fn messages_are_kept_and_then_deleted() {
    let receiving = Receiving::new(|_, _| ());
    for number in 0..25 {
        receiving.queue.send(&body(&format!("in/{number}")));
    }
    receiving
        .queue
        .send(r#"{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"b"}"#);
    receiving.emptied().await;
    assert_eq!(receiving.ears.with(|heard| heard.book), 1);
    receiving.wanted.send_replace(Wanted::new(2, []));
    receiving.ears.until("book 2", |heard| heard.book == 2).await;
    let ears = receiving.end().await;
    let expected: BTreeSet<_> = (0..25).map(|number| format!("in/{number}")).collect();
    assert_eq!(ears.with(|heard| heard.keys()), expected);
    assert_eq!(ears.with(|heard| heard.connected.clone()), [true, false]);
    assert!(ears.with(|heard| heard.missed.is_empty() && heard.quarantined.is_empty()));
}

#[tokio::test]
async fn many_that_wait_are_kept_together() {
    let fill = |queue: &Memory, _: &Ears| (0..95).for_each(|number| queue.send(&body(&format!("in/{number}"))));
    let receiving = Receiving::new(fill);
    receiving.emptied().await;
    let kept = receiving
        .end()
        .await
        .with(|heard| heard.kept.iter().map(Vec::len).collect::<Vec<_>>());
    assert_eq!(kept, [95]);
}

#[tokio::test]
async fn doubled_messages_and_failed_deletes_lose_nothing() {
    let receiving = Receiving::new(|queue, _| {
        queue.with(|inner| {
            inner.doubles = true;
            inner.stuck = 45;
        });
    });
    for number in 0..30 {
        receiving.queue.send(&body(&format!("in/{number}")));
    }
    receiving.emptied().await;
    assert_eq!(receiving.end().await.with(|heard| heard.keys().len()), 30);
}

#[tokio::test]
async fn what_cannot_be_kept_stays_in_the_queue_and_is_received_once() {
    let receiving = Receiving::new(|queue, ears| {
        queue.send(&body("in/a"));
        queue.send("hello");
        ears.with(|heard| heard.failures = 60);
    });
    receiving
        .ears
        .until("it is ill", |heard| heard.health.last().is_some_and(|(ok, _)| !ok))
        .await;
    assert_eq!(receiving.queue.with(|inner| inner.messages.len()), 2);
    receiving.emptied().await;
    assert!(
        receiving.queue.with(|inner| inner.hidden) > 0,
        "it took longer than they are hidden"
    );
    let ears = receiving.end().await;
    let well = |heard: &mut Heard| heard.health.last().is_some_and(|(ok, _)| *ok);
    assert!(ears.with(well));
    assert_eq!(ears.with(|heard| heard.kept.clone()), [["in/a"]]);
    assert_eq!(ears.with(|heard| heard.quarantined.len()), 1);
}

#[tokio::test]
async fn messages_are_hidden_for_as_long_as_keeping_takes() {
    let receiving = Receiving::new(|queue, ears| {
        (0..12).for_each(|number| queue.send(&body(&format!("in/{number}"))));
        ears.with(|heard| heard.slow = Duration::from_millis(900));
    });
    receiving.emptied().await;
    assert!(receiving.queue.with(|inner| inner.hidden) >= 4);
    assert_eq!(
        receiving.end().await.with(|heard| heard.kept.len()),
        1,
        "nothing came again"
    );
}

#[tokio::test]
async fn after_an_outage_everything_is_listed() {
    let receiving = Receiving::new(|queue, _| queue.with(|inner| inner.broken = 5));
    receiving
        .ears
        .until("it is well", |heard| heard.health.last().is_some_and(|(ok, _)| *ok))
        .await;
    let first = receiving.ears.with(|heard| heard.health[0].clone());
    assert_eq!(first, (false, "the queue is away".to_owned()));
    assert_eq!(receiving.ears.with(|heard| heard.missed.len()), 1);
    receiving.queue.with(|inner| inner.broken = 2);
    receiving
        .ears
        .until("it is listed again", |heard| heard.missed.len() == 2)
        .await;
    assert_eq!(
        receiving.ears.with(|heard| heard.connected.clone()),
        [true, false, true]
    );
    receiving.queue.send(&body("in/a"));
    receiving.emptied().await;
    receiving.end().await;
}
