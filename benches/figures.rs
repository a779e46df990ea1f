//! The figures that the README and the change log quote: `cargo bench`. Each is measured on the real daemon; where
//! two things are compared, they take turns, and the ratio of each pair counts.

#![allow(clippy::unwrap_used, reason = "a benchmark may panic")]
#![allow(missing_docs, reason = "a program of its own")]

#[path = "../tests/harness/mod.rs"]
mod harness;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use harness::{House, tool};

const COPY: &str = r#"
enabled = true
[trigger]
bucket = "inbox"
[output]
bucket = "published"
[task.keep]
kind = "copy"
"#;

const STILL: &str = r#"
enabled = true
[trigger]
bucket = "inbox"
[output]
bucket = "published"
[task.still]
kind = "snapshot"
at = ["0s"]
"#;

const WEB: &str = r#"
enabled = true
[trigger]
bucket = "inbox"
[output]
bucket = "published"
[task.web]
kind = "transcode"
container = "mp4"
height = 720
video = { codec = "h264", crf = 23, preset = "veryfast" }
"#;

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let all: [(&str, fn()); 6] = [
        ("history", history),
        ("idle", idle),
        ("sixty", sixty_at_once),
        ("many", ten_thousand),
        ("latency", latency),
        ("cost", cost),
    ];
    for (name, measure) in all {
        if wanted.is_empty() || wanted.iter().any(|one| one == name) {
            measure();
        }
    }
}

/// Resident memory of the daemon in MiB.
fn memory(house: &House) -> f64 {
    let status = fs::read_to_string(format!("/proc/{}/status", house.daemon_id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    let kib: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib / 1024.0
}

fn idle() {
    let mut house = House::new(&[("copy", COPY)]);
    house.start();
    std::thread::sleep(Duration::from_secs(5));
    println!("idle memory of the daemon: {:.1} MiB", memory(&house));
}

/// Files that are hidden first and get their names in one go, as fast as the file system renames.
fn drop_at_once(house: &House, count: usize, size: usize) -> Instant {
    let inbox = house.path("inbox");
    let bytes = vec![7; size];
    for number in 0..count {
        fs::write(inbox.join(format!(".{number}")), &bytes).unwrap();
    }
    let begin = Instant::now();
    for number in 0..count {
        fs::rename(
            inbox.join(format!(".{number}")),
            inbox.join(format!("clip{number}.mp4")),
        )
        .unwrap();
    }
    begin
}

fn queued(house: &House) -> u64 {
    let status = house.json(&["status"]);
    let counts = &status["queue"];
    ["queued", "running", "succeeded", "failed", "cancelled"]
        .iter()
        .filter_map(|state| counts[state].as_u64())
        .sum()
}

fn until_queued(house: &House, count: u64, begin: Instant) -> Duration {
    loop {
        if queued(house) >= count {
            return begin.elapsed();
        }
        assert!(begin.elapsed() < Duration::from_mins(5), "{} of {count}", queued(house));
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn sixty_at_once() {
    let mut taken = Vec::new();
    for _ in 0..5 {
        let mut house = House::new(&[("copy", COPY)]);
        house.start();
        let begin = drop_at_once(&house, 60, 64 << 10);
        taken.push(until_queued(&house, 60, begin));
    }
    taken.sort();
    println!(
        "60 files dropped at once, all queued after: median {:?}, longest {:?}",
        taken[2], taken[4]
    );
}

fn ten_thousand() {
    let mut house = House::new(&[("copy", COPY)]);
    house.start();
    let before = memory(&house);
    let begin = drop_at_once(&house, 10_000, 16);
    let taken = until_queued(&house, 10_000, begin);
    println!(
        "10,000 files dropped at once, all queued after {taken:?}; memory {before:.1} -> {:.1} MiB",
        memory(&house)
    );
}

/// 100,000 jobs that ended, each with three tasks and three outputs, as copies of a real one.
fn history() {
    const MORE: &str = "[task.info]\nkind = \"probe\"\n[task.still]\nkind = \"snapshot\"\nat = [\"0s\"]\n";
    let mut house = House::new(&[("copy", &format!("{COPY}\n{MORE}"))]);
    house.start();
    house.drop_file(&harness::film(), "clip.mp4");
    let real = house.wait_for_jobs(1)[0]["id"].as_str().unwrap().to_owned();
    house.stop();
    let database = house.path("state/reelmill.db");
    multiply(&database, 100_000);
    house.start();
    house.wait_until("the first listing is over", || {
        let status = house.json(&["status"]);
        status["parts"]["list:inbox"]["message"].as_str().map(|_| ())
    });
    let bytes = fs::metadata(&database).unwrap().len();
    println!("100,000 jobs: the database has {:.0} MiB", bytes as f64 / 1_048_576.0);
    let failed = house.json(&["jobs", "list", "--state", "failed", "--limit", "1000"]);
    let far = failed[999]["id"].as_str().unwrap().to_owned();
    for (what, words) in [
        ("--version", vec!["--version"]),
        ("jobs list", vec!["jobs", "list"]),
        ("jobs list --json", vec!["jobs", "list", "--json"]),
        ("jobs list --state failed", vec!["jobs", "list", "--state", "failed"]),
        ("jobs list --rule copy", vec!["jobs", "list", "--rule", "copy"]),
        ("jobs list --since 1h", vec!["jobs", "list", "--since", "1h"]),
        (
            "jobs list --before (25,000 jobs on)",
            vec!["jobs", "list", "--before", &far],
        ),
        ("jobs show (beginning of an id)", vec!["jobs", "show", &real[..9]]),
        ("jobs show (end of an id)", vec!["jobs", "show", &real[9..]]),
        ("status", vec!["status"]),
        ("explain", vec!["explain", "inbox", "clip.mp4"]),
    ] {
        let mut taken: Vec<Duration> = (0..40)
            .map(|_| {
                let begin = Instant::now();
                let output = house.reelmill(&words);
                assert!(output.status.success(), "{output:?}");
                begin.elapsed()
            })
            .collect();
        taken.sort();
        println!("  {what}: median {:.1?}, longest {:.1?}", taken[20], taken[39]);
    }
}

/// Copies the only job of a database, with all that belongs to it, so many times; each a second older than the last.
fn multiply(database: &Path, count: i64) {
    const STEPS: [&str; 4] = [
        "INSERT INTO jobs (id, rule, rule_version, bucket, key, identity, generation, state, priority, rank, attempt, \
         created, started, ended, superseded, media) \
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) \
         SELECT printf('0%06x%08x', 1000000 - i / 3, (i * 2654435761) % 4294967296), rule, rule_version, bucket, \
         CAST('camera/2026/clip' || i || '.mp4' AS BLOB), identity, 1, iif(i % 25 = 0, 'failed', 'succeeded'), priority, \
         rank, attempt, created - 1000 * i, started - 1000 * i, ended - 1000 * i, 0, media FROM n, jobs",
        "INSERT INTO tasks SELECT jobs.seq, place, tasks.id, kind, after, condition, tasks.state, attempts, alone, \
         error_kind, error_message, findings, tasks.started, tasks.ended FROM jobs, tasks WHERE tasks.job = 1 AND seq > 1 \
         AND ?1 > 0",
        "INSERT INTO outputs SELECT outputs.bucket, CAST(jobs.key || '_' || task AS BLOB), outputs.identity, checksum, \
         outputs.rule, source_bucket, jobs.key, jobs.id, task, 1, outputs.state, remove_after, before FROM jobs, outputs \
         WHERE jobs.seq > 1 AND ?1 > 0",
        "INSERT INTO ledger SELECT rule, bucket, key, identity, generation, 0, NULL, iif(state = 'succeeded', identity, NULL) \
         FROM jobs WHERE seq > 1 AND ?1 > 0",
    ];
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        use sqlx::Connection as _;
        let place = format!("sqlite://{}", database.display());
        let mut db = sqlx::SqliteConnection::connect(&place).await.unwrap();
        for step in STEPS {
            sqlx::query(step).bind(count).execute(&mut db).await.unwrap();
        }
        db.close().await.unwrap();
    });
}

/// From the name in the inbox to the worker's first frame, and to the published still.
fn latency() {
    let mut house = House::new(&[("still", STILL)]);
    house.start();
    let film = harness::film();
    let mut taken = Vec::new();
    for number in 0..40 {
        let begin = Instant::now();
        house.drop_file(&film, &format!("clip{number}.mp4"));
        let still = house.path(&format!("published/clip{number}_still.jpg"));
        while !still.exists() {
            assert!(begin.elapsed() < Duration::from_mins(1), "{}", house.log());
            std::thread::sleep(Duration::from_millis(2));
        }
        taken.push(begin.elapsed());
    }
    taken.sort();
    println!(
        "file closed -> first decoded frame published as a still: median {:?}, p99 {:?}",
        taken[20], taken[39]
    );
}

/// 60 s of 1080p: the whole daemon against the bare pipeline, in turns.
fn cost() {
    let film = big_film();
    let mut ratios = Vec::new();
    for round in 0..5 {
        let mut house = House::new(&[("web", WEB)]);
        house.start();
        // The copy is made before, and asking the daemon would cost what is to be measured.
        let (hidden, inbox) = (house.path("inbox/.film"), house.path("inbox/film.mp4"));
        fs::copy(&film, &hidden).unwrap();
        let published = house.path("published/film_web.mp4");
        let begin = Instant::now();
        fs::rename(hidden, inbox).unwrap();
        while !published.exists() {
            assert!(begin.elapsed() < Duration::from_mins(10), "{}", house.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        let ours = begin.elapsed();
        house.stop();
        let out = house.path("bare.mp4");
        let begin = Instant::now();
        bare(&film, &out);
        let theirs = begin.elapsed();
        let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
        println!("  round {round}: daemon {ours:.1?}, bare pipeline {theirs:.1?}, ratio {ratio:.3}");
        ratios.push(ratio);
    }
    ratios.sort_by(f64::total_cmp);
    println!(
        "60 s of 1080p to 720p, whole daemon over bare pipeline: median {:.3}",
        ratios[2]
    );
}

fn bare(film: &Path, out: &Path) {
    let launch = format!(
        "filesrc location={} ! decodebin name=d \
         d. ! queue max-size-buffers=4 max-size-bytes=0 max-size-time=0 ! videoconvertscale ! video/x-raw,format=I420,width=1280,height=720,pixel-aspect-ratio=1/1 \
         ! x264enc pass=qual quantizer=23 speed-preset=veryfast key-int-max=60 threads=1 ! h264parse ! mp4mux name=m faststart=true ! filesink location={} async=false sync=false \
         d. ! queue max-size-buffers=0 max-size-bytes=0 max-size-time=0 ! audioconvert ! audioresample ! avenc_aac bitrate=128000 ! aacparse ! m.",
        film.display(),
        out.display()
    );
    let words: Vec<&str> = std::iter::once("-q").chain(launch.split_whitespace()).collect();
    tool("gst-launch-1.0", &words);
}

/// Camera footage where it is installed (Debian's opencv-doc), else a moving test picture, as 60 s of 1080p with grain.
fn big_film() -> PathBuf {
    let film = Path::new(env!("CARGO_TARGET_TMPDIR")).join("film-1080p-v1.mp4");
    if film.exists() {
        return film;
    }
    let camera = "/usr/share/doc/opencv-doc/examples/data/vtest.avi";
    let source: Vec<&str> = if Path::new(camera).exists() {
        vec!["-stream_loop", "-1", "-i", camera]
    } else {
        vec!["-f", "lavfi", "-i", "testsrc2=size=768x576:rate=10"]
    };
    let half = film.with_extension("half.mp4");
    let mut arguments = vec!["-nostdin", "-v", "error", "-y"];
    arguments.extend(source);
    arguments.extend([
        "-f",
        "lavfi",
        "-i",
        "sine=frequency=300",
        "-t",
        "60",
        "-vf",
        "fps=30,scale=1920:1080,noise=alls=8:allf=t,format=yuv420p",
        "-c:v",
        "libx264",
        "-preset",
        "veryfast",
        "-crf",
        "20",
        "-c:a",
        "aac",
        "-ac",
        "2",
        half.to_str().unwrap(),
    ]);
    tool("ffmpeg", &arguments);
    fs::rename(half, &film).unwrap();
    film
}
