//! The attacks on single workers.

use std::time::Duration;

use reelmill::config::Jail;
use reelmill::job::ErrorKind;
use reelmill::rule::Grants;
use reelmill::worker::spawn::{Limits, WorkerSettings};

use crate::Test;
use crate::attack::Attack;
use crate::cases::{self, Case, End, Fails, Told};
use crate::direct::{World, attack, carry_out, limits, settings};
use crate::greed::Greed;
use crate::lies::Lie;

pub const TESTS: &[Test] = &[
    ("hostile_system_calls_reach_nothing", system_calls),
    ("landlock_2_and_the_filter_shut_the_same", oldest_landlock),
    ("without_a_jail_the_attacks_are_real", no_jail),
    ("strict_lets_no_code_be_made", strict),
    ("what_is_granted_is_all_that_opens", granted),
    ("who_takes_too_much_is_ended", greed),
    ("who_speaks_strangely_is_ended", strange),
];

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(work)
}

fn assert_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} went wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// May read one file.
fn one_file(world: &World) -> Grants {
    Grants {
        reads: vec![world.granted.clone().into()],
        ..Grants::default()
    }
}

fn all_calls() -> Vec<Case> {
    [
        cases::files(),
        cases::old_files(),
        cases::network(),
        cases::processes(),
        cases::kernel(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn system_calls() {
    block_on(async {
        let cases: Vec<Case> = all_calls().into_iter().chain(cases::code(false)).collect();
        println!("{} probes by system calls", cases.len());
        assert_none(&carry_out("on", cases, &settings().await, one_file).await);
    });
}

fn oldest_landlock() {
    block_on(async {
        let settings = WorkerSettings {
            landlock: Some(2),
            ..settings().await
        };
        let cases = [cases::files(), cases::old_files(), cases::network(), cases::processes()];
        let cases = cases.into_iter().flatten().collect();
        assert_none(&carry_out("Landlock 2", cases, &settings, one_file).await);
    });
}

fn no_jail() {
    block_on(async {
        let settings = WorkerSettings {
            jail: Jail::Off,
            ..settings().await
        };
        let cases: Vec<Case> = all_calls()
            .into_iter()
            .chain(cases::code(false))
            .filter(|case| case.open.is_some())
            .collect();
        println!("{} of the probes do harm without a jail", cases.len());
        assert_none(&carry_out("off", cases, &settings, one_file).await);
    });
}

fn strict() {
    block_on(async {
        let settings = WorkerSettings {
            jail: Jail::Strict,
            ..settings().await
        };
        assert_none(&carry_out("strict", cases::code(true), &settings, one_file).await);
    });
}

fn granted() {
    block_on(async {
        let network = |_: &World| Grants {
            network: true,
            ..Grants::default()
        };
        let device = |_: &World| Grants {
            devices: vec!["/dev/zero".into()],
            ..Grants::default()
        };
        for landlock in [None, Some(2)] {
            let settings = WorkerSettings {
                landlock,
                ..settings().await
            };
            assert_none(&carry_out("network", cases::granted_network(), &settings, network).await);
            assert_none(&carry_out("device", cases::granted_device(), &settings, device).await);
        }
    });
}

/// One attack alone, with limits and settings of its own.
fn one(attacks: Vec<(&str, Attack, Limits, WorkerSettings, End)>) {
    block_on(async {
        let mut wrong: Vec<String> = Vec::new();
        let mut running = tokio::task::JoinSet::new();
        for (name, trial, limits, settings, end) in attacks {
            let name = name.to_owned();
            running.spawn(async move {
                let world = World::new();
                let began = std::time::Instant::now();
                let failure = attack(&world, &trial, &settings, limits, &Grants::default()).await;
                println!("{name}: {failure:?} after {:.1} s", began.elapsed().as_secs_f64());
                (!end.is(&failure)).then(|| format!("{name}: {end:?} was due, and it was {failure:?}"))
            });
            if running.len() >= 6 {
                wrong.extend(running.join_next().await.unwrap().unwrap());
            }
        }
        wrong.extend(running.join_all().await.into_iter().flatten());
        assert_none(&wrong);
    });
}

fn greed() {
    let usual = block_on(settings());
    let small = WorkerSettings {
        memory: 400 << 20,
        ..usual.clone()
    };
    let take = |greed| Attack::Greed(greed);
    let short = Limits {
        stall: Duration::from_secs(4),
        ..limits()
    };
    let brief = Limits {
        timeout: Some(Duration::from_secs(4)),
        ..limits()
    };
    let fails = |kind, words| Fails(kind, words);
    one(vec![
        (
            "spin",
            take(Greed::Spin),
            short,
            usual.clone(),
            fails(ErrorKind::Stalled, "nothing moved"),
        ),
        (
            "sleep",
            take(Greed::Sleep),
            short,
            usual.clone(),
            fails(ErrorKind::Stalled, "nothing moved"),
        ),
        (
            "crawl",
            take(Greed::Crawl),
            brief,
            usual.clone(),
            fails(ErrorKind::TimedOut, "longer than 4 s"),
        ),
        (
            "words",
            take(Greed::Words(256)),
            limits(),
            usual.clone(),
            Told("wrote it all"),
        ),
        (
            "silence",
            take(Greed::Silence),
            limits(),
            usual.clone(),
            fails(ErrorKind::Protocol, "closed its socket"),
        ),
        (
            "memory",
            take(Greed::Memory),
            limits(),
            small,
            fails(ErrorKind::OutOfMemory, "workers.memory"),
        ),
        (
            "a long file",
            take(Greed::LongFile),
            limits(),
            usual.clone(),
            Told("FileTooLarge after 64 MB"),
        ),
        (
            "the disk",
            take(Greed::Disk),
            limits(),
            usual.clone(),
            fails(ErrorKind::NoSpace, "there was room for"),
        ),
        (
            "nameless files",
            take(Greed::NamelessDisk),
            limits(),
            usual.clone(),
            fails(ErrorKind::NoSpace, "there was room for"),
        ),
        (
            "a million files",
            take(Greed::Files),
            limits(),
            usual.clone(),
            fails(ErrorKind::JailViolation, " files"),
        ),
        (
            "threads",
            take(Greed::Threads(10_000)),
            limits(),
            usual.clone(),
            fails(ErrorKind::JailViolation, "threads"),
        ),
        (
            "crash",
            take(Greed::Crash),
            limits(),
            usual.clone(),
            fails(ErrorKind::Crashed, "SIGSEGV"),
        ),
        (
            "leave",
            take(Greed::Leave),
            limits(),
            usual,
            fails(ErrorKind::Crashed, "code 0"),
        ),
    ]);
}

fn strange() {
    let usual = block_on(settings());
    let raw = |bytes: &[u8]| Attack::Lie(Lie::Raw(bytes.to_vec()));
    let framed = |text: &str| {
        let mut bytes = u32::try_from(text.len()).unwrap().to_be_bytes().to_vec();
        bytes.extend(text.as_bytes());
        Attack::Lie(Lie::Raw(bytes))
    };
    let strange = |words| Fails(ErrorKind::Protocol, words);
    let deep = "[".repeat(100_000);
    one(vec![
        (
            "four gigabytes",
            raw(&[0xff; 4]),
            limits(),
            usual.clone(),
            strange("strangely"),
        ),
        (
            "garbage",
            raw(b"\0\0\0\x04\xff\xfe\x1b["),
            limits(),
            usual.clone(),
            strange("strangely"),
        ),
        (
            "bad JSON",
            framed("{\"message\":"),
            limits(),
            usual.clone(),
            strange("strangely"),
        ),
        (
            "deep JSON",
            framed(&deep),
            limits(),
            usual.clone(),
            strange("strangely"),
        ),
        (
            "an unknown message",
            framed("{\"message\":\"own\"}"),
            limits(),
            usual.clone(),
            strange("strangely"),
        ),
        (
            "an order",
            framed("{\"message\":\"probe\"}"),
            limits(),
            usual.clone(),
            strange("strangely"),
        ),
        (
            "an answer to another question",
            framed("{\"message\":\"done\"}"),
            limits(),
            usual.clone(),
            strange("something else"),
        ),
        (
            "greeting twice",
            Attack::Lie(Lie::GreetTwice),
            limits(),
            usual.clone(),
            strange("greeted twice"),
        ),
        (
            "chatter",
            Attack::Lie(Lie::Chatter),
            limits(),
            usual.clone(),
            strange("too much"),
        ),
        (
            "refusals",
            Attack::Lie(Lie::Refusals),
            limits(),
            usual,
            strange("too much"),
        ),
    ]);
}
