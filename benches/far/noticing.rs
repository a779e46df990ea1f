//! From an object in its bucket to its first decoded frame, by each way of noticing.

use std::time::Duration;

use super::harness::listen::Double;
use super::harness::moto::Moto;
use super::harness::proxy::Proxy;
use super::harness::{self, House};
use super::server::Server;
use super::world::{Times, event, follow, median, post, with_hooks};

const ROUNDS: usize = 15;

fn rule(bucket: &str) -> String {
    format!(
        "enabled = true\n[trigger]\nbucket = \"{bucket}\"\n[output]\nbucket = \"published\"\n[task.still]\n\
         kind = \"snapshot\"\nat = [\"0s\"]\n"
    )
}

pub fn measure() {
    let film = harness::film();
    let server = Server::start();
    let (access, secret) = harness::far::KEYS;
    let double = Double::new(access, secret);
    let proxy = Proxy::before(&server.address());
    proxy.route("events=", &double.address().to_string());
    let moto = Moto::start();
    let queue = queue(&moto);
    println!("put -> first decoded frame (a still in scratch), medians of {ROUNDS}, in ms:");

    let (config, _) = with_hooks(&server.endpoint(), "");
    let house = house(&config, "inbox");
    row("a directory", &house, |key| house.drop_file(&film, key));

    let (config, hooks) = with_hooks(&server.endpoint(), "watch = [\"webhook\"]");
    let house = self::house(&config, "uploads");
    row("webhook", &house, |key| {
        server.put("uploads", key, &film);
        post(&hooks, key);
    });

    let (config, _) = with_hooks(&proxy.url(), "watch = [\"listen\"]");
    let house = self::house(&config, "uploads");
    house.wait_until("the stream is there", || (double.readers() > 0).then_some(()));
    row("listen", &house, |key| {
        server.put("uploads", key, &film);
        double.put("uploads", key);
    });

    let more = format!("watch = [\"sqs\"]\nsqs = {{ queue = \"{queue}\" }}");
    let (config, _) = with_hooks(&server.endpoint(), &more);
    let house = self::house(&config, "uploads");
    let mut sending = Vec::new();
    row("sqs", &house, |key| {
        server.put("uploads", key, &film);
        let began = std::time::Instant::now();
        send(&moto, &queue, &event(key));
        sending.push(began.elapsed().as_secs_f64());
    });
    println!(
        "  sqs: of that, moto took {:.1} for the sender's request",
        1000.0 * median(sending)
    );
}

fn house(config: &str, bucket: &str) -> House {
    let mut house = harness::far::house(config, &[("still", &rule(bucket))]);
    house.start();
    // The first listing is over.
    std::thread::sleep(Duration::from_secs(6));
    house
}

/// Puts objects one after the other, and says when what happened.
fn row(name: &str, house: &House, mut put: impl FnMut(&str)) {
    let mut all = Vec::new();
    for number in 0..=ROUNDS {
        let times = follow(house, || put(&format!("clip{number}.mp4")));
        // The first one finds nothing in any cache.
        if number > 0 {
            all.push(times);
        }
    }
    let of = |what: fn(&Times) -> f64| 1000.0 * median(all.iter().map(what).collect());
    println!(
        "  {name}: job queued {:.1}, work begun {:.1}, first frame {:.1} (longest {:.1}), job ended {:.1}",
        of(|times| times.queued),
        of(|times| times.started),
        of(|times| times.output),
        1000.0 * all.iter().map(|times| times.output).fold(0.0, f64::max),
        of(|times| times.ended),
    );
}

fn queue(moto: &Moto) -> String {
    let (status, said) = ask(moto, "Action=CreateQueue&QueueName=uploads");
    assert_eq!(status, 200, "{said}");
    let begin = said.find("<QueueUrl>").unwrap() + "<QueueUrl>".len();
    let end = said.find("</QueueUrl>").unwrap();
    // It says the name that it was asked by.
    said[begin..end].to_owned()
}

fn send(moto: &Moto, queue: &str, body: &str) {
    let mut escaped = String::new();
    for byte in body.bytes() {
        escaped.extend([format!("%{byte:02X}")]);
    }
    let (status, said) = ask(
        moto,
        &format!("Action=SendMessage&QueueUrl={queue}&MessageBody={escaped}"),
    );
    assert_eq!(status, 200, "{said}");
}

fn ask(moto: &Moto, form: &str) -> (u16, String) {
    let headers = [
        ("Content-Type", "application/x-www-form-urlencoded"),
        (
            "Authorization",
            "AWS4-HMAC-SHA256 Credential=moto/20260101/us-east-1/sqs/aws4_request, SignedHeaders=host, Signature=0",
        ),
    ];
    let (status, body) = moto.request("POST", "/", &headers, form.as_bytes());
    (status, String::from_utf8_lossy(&body).into_owned())
}
