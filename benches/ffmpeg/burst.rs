//! Many files at once: a daemon against one ffmpeg for each, two of them at a time.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::harness::House;
use crate::usage::{self, Usage};
use crate::work::Work;

const CONFIG: &str = "state = \"state\"\n[bucket.inbox]\npath = \"inbox\"\n[workers]\nslots = 2\n";

/// How many files.
fn files(work: &Work) -> usize {
    if work.films().count() == 0 { 30 } else { 4 }
}

/// Drops the files on a daemon; from the first until all results are there.
pub fn ours(work: &Work, source: &Path) -> Usage {
    let mut house = House::with_config(CONFIG, &[("burst", &work.rule())]);
    house.start();
    // A daemon that starts for the first time looks through all plugins: it does so once, and a burst comes later.
    house.drop_file(source, "first.mp4");
    while !house.inbox().iter().any(|name| name.starts_with("first_")) {
        std::thread::sleep(Duration::from_millis(20));
    }
    let place = |name: String| house.path("inbox").join(name);
    for number in 0..files(work) {
        std::fs::copy(source, place(format!(".{number}.part"))).unwrap();
    }
    std::thread::sleep(Duration::from_secs(1));
    let before = usage::so_far(house.daemon_id());
    let begun = Instant::now();
    for number in 0..files(work) {
        std::fs::rename(place(format!(".{number}.part")), place(format!("{number}.mp4"))).unwrap();
    }
    // What the program says of itself costs time, too.
    let is_done = |inbox: &[String], number| inbox.iter().any(|name| name.starts_with(&format!("{number}_")));
    let all_done = || {
        let inbox = house.inbox();
        (0..files(work)).all(|number| is_done(&inbox, number))
    };
    while !all_done() {
        assert!(begun.elapsed().as_secs() < 3600, "the daemon takes an hour");
        std::thread::sleep(Duration::from_millis(20));
    }
    let wall = begun.elapsed().as_secs_f64();
    std::thread::sleep(Duration::from_millis(500));
    let cpu = usage::so_far(house.daemon_id()) - before;
    house.stop();
    Usage {
        cpu,
        wall,
        peak: f64::NAN,
    }
}

/// A process for each file.
pub fn theirs(work: &Work, source: &Path, folder: &Path) -> Usage {
    let before = spent();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for hand in 0..2 {
            let folder = folder.join(hand.to_string());
            std::fs::create_dir_all(&folder).unwrap();
            scope.spawn(move || {
                let best = work.theirs(source).swap_remove(0);
                for _ in 0..files(work) / 2 {
                    for command in &best.1 {
                        usage::run("ffmpeg", command, &folder);
                    }
                }
            });
        }
    });
    Usage {
        cpu: spent() - before,
        wall: begun.elapsed().as_secs_f64(),
        peak: f64::NAN,
    }
}

/// Seconds of all processes that this one has waited for.
fn spent() -> f64 {
    // SAFETY: all zero is a valid value of plain numbers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: writes one structure that lives here.
    unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage) };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}
