//! The whole program against ffmpeg at the same settings: `cargo bench --bench ffmpeg`, or
//! `cargo bench --bench ffmpeg -- ladder poster seconds=12 pairs=3 media=camera`. The two take turns, and the median of the
//! ratios of all pairs counts: less than 1 is less than ffmpeg needs. Where pictures are encoded, both are compared with
//! the source, since a saving that can be seen is none.

#![allow(clippy::unwrap_used, reason = "a benchmark may panic")]
#![allow(missing_docs, reason = "a program of its own")]

mod burst;
#[path = "../../tests/harness/mod.rs"]
mod harness;
mod likeness;
mod slots;
mod sources;
mod usage;
mod work;

use std::path::Path;

use usage::Usage;
use work::Work;

/// What is measured where nobody says.
const ALL: [&str; 12] = [
    "ladder",
    "hls",
    "single",
    "h265",
    "vp9",
    "remux",
    "poster",
    "sprite",
    "animation",
    "inspect",
    "burst",
    "slots",
];

/// What a daemon gets many of.
const SMALL: [&str; 4] = ["remux", "poster", "sprite", "single"];

struct Wanted {
    seconds: u32,
    pairs: usize,
    media: Vec<String>,
    works: Vec<String>,
}

impl Wanted {
    fn read() -> Self {
        let mut wanted = Self {
            seconds: 60,
            pairs: 5,
            media: Vec::new(),
            works: Vec::new(),
        };
        for word in std::env::args().skip(1).filter(|word| !word.starts_with("--")) {
            match word.split_once('=') {
                Some(("seconds", number)) => wanted.seconds = number.parse().unwrap(),
                Some(("pairs", number)) => wanted.pairs = number.parse().unwrap(),
                Some(("media", name)) => wanted.media.push(name.to_owned()),
                _ if ALL.contains(&word.as_str()) => wanted.works.push(word),
                _ => panic!("{word}: known are {ALL:?}, seconds=60, pairs=5, media=camera and media=synthetic"),
            }
        }
        if wanted.works.is_empty() {
            wanted.works = ALL.map(ToOwned::to_owned).into();
        }
        wanted
    }
}

fn main() {
    let wanted = Wanted::read();
    for source in sources::all(wanted.seconds) {
        if !wanted.media.is_empty() && !wanted.media.contains(&source.name) {
            continue;
        }
        for name in &wanted.works {
            match name.as_str() {
                "slots" => slots::measure(&source.file, wanted.seconds),
                "burst" => {
                    for name in SMALL {
                        burst(&Work::named(name, wanted.seconds), &source, wanted.pairs);
                    }
                }
                name => compare(&Work::named(name, wanted.seconds), &source, wanted.pairs),
            }
        }
    }
}

/// Ours against each way of ffmpeg's.
fn compare(work: &Work, source: &sources::Source, pairs: usize) {
    let desk = tempfile::tempdir().unwrap();
    let ours = || work.ours(&source.file, &desk.path().join("ours"));
    // Once beforehand, so that everything has been read from the disk.
    let first = ours();
    println!(
        "\n{} of {}: {:.2} s of cpu, {:.2} s, {:.0} MiB",
        work.name, source.name, first.cpu, first.wall, first.peak
    );
    println!("{:<34} {:>6} {:>6} {:>6}", "ours against", "cpu", "wall", "peak");
    for (number, (words, commands)) in work.theirs(&source.file).into_iter().enumerate() {
        let folder = desk.path().join(format!("theirs-{number}"));
        std::fs::create_dir(&folder).unwrap();
        let theirs = || Usage::sum(commands.iter().map(|command| usage::run("ffmpeg", command, &folder)));
        theirs();
        let taken: Vec<(Usage, Usage)> = (0..pairs).map(|_| (ours(), theirs())).collect();
        let ratio = |of: fn(&Usage) -> f64| median(taken.iter().map(|(ours, theirs)| of(ours) / of(theirs)));
        println!(
            "{words:<34} {:>6.2} {:>6.2} {:>6.2}",
            ratio(|usage| usage.cpu),
            ratio(|usage| usage.wall),
            ratio(|usage| usage.peak)
        );
        if number == 0 {
            liken(work, &source.file, desk.path(), &folder);
        }
    }
}

/// Many jobs of a daemon against as many processes.
fn burst(work: &Work, source: &sources::Source, pairs: usize) {
    let desk = tempfile::tempdir().unwrap();
    let pair = || {
        let ours = burst::ours(work, &source.file);
        (ours, burst::theirs(work, &source.file, desk.path()))
    };
    let taken: Vec<(Usage, Usage)> = (0..pairs).map(|_| pair()).collect();
    let ratio = |of: fn(&Usage) -> f64| median(taken.iter().map(|(ours, theirs)| of(ours) / of(theirs)));
    println!(
        "{:<34} {:>6.2} {:>6.2}",
        format!("a daemon's burst: {}", work.name),
        ratio(|usage| usage.cpu),
        ratio(|usage| usage.wall)
    );
}

/// How near both are to the source.
fn liken(work: &Work, source: &Path, desk: &Path, theirs: &Path) {
    for (name, size) in work.films() {
        let (mine, other) = (work.result(&desk.join("ours"), source, name), work.other(theirs, name));
        let ours = likeness::ssim(source, &mine, size, work.pictures());
        let yours = likeness::ssim(source, &other, size, work.pictures());
        println!(
            "  {name}: ssim {ours:.4}, ffmpeg's {yours:.4} ({:+.4}), size {:.2} of ffmpeg's",
            ours - yours,
            work.bytes(&mine) / work.bytes(&other)
        );
    }
}

fn median(numbers: impl Iterator<Item = f64>) -> f64 {
    let mut numbers: Vec<f64> = numbers.collect();
    numbers.sort_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    match numbers.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => numbers[middle],
        _ => f64::midpoint(numbers[middle - 1], numbers[middle]),
    }
}
