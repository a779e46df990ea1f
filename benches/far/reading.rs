//! A film of 1 GB with its index at the end, behind a server that gives 100 MB a second.

use std::fs;
use std::path::{Path, PathBuf};

use super::harness::{self, House, tool};
use super::server::Server;
use super::world::{Times, follow, median, post, with_hooks};

/// Bytes a second.
const PACE: u64 = 100_000_000;
const ROUNDS: usize = 3;

const TASKS: [(&str, &str); 3] = [
    ("poster", "kind = \"snapshot\"\nat = [\"10%\"]\n"),
    (
        "remux",
        "kind = \"transcode\"\ncontainer = \"mp4\"\nvideo = \"copy\"\naudio = \"copy\"\n",
    ),
    ("copy", "kind = \"copy\"\n"),
];

fn world(server: &Server, input: &str, task: &str) -> (House, String) {
    let (config, hooks) = with_hooks(&server.endpoint(), "watch = [\"webhook\"]");
    let rule = format!(
        "enabled = true\ninput = \"{input}\"\n[trigger]\nbucket = \"uploads\"\n[output]\nbucket = \"published\"\n[task.made]\n{task}"
    );
    let mut house = harness::far::house(&config, &[("one", &rule)]);
    house.start();
    (house, hooks)
}

pub fn measure() {
    let film = film();
    let size = fs::metadata(&film).unwrap().len();
    let server = Server::start();
    server.set_pace(PACE);
    println!(
        "a film of {size} bytes, its index at the end, at {} MB a second:",
        PACE / 1_000_000
    );
    for (name, task) in TASKS {
        let mut all: [Vec<(Times, f64, u64)>; 2] = [Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            for (runs, input) in all.iter_mut().zip(["stream", "download"]) {
                let (house, hooks) = world(&server, input, task);
                server.take_counts();
                let times = follow(&house, || {
                    server.put("uploads", "film.mp4", &film);
                    post(&hooks, "film.mp4");
                });
                let (bytes, requests) = server.take_counts();
                runs.push((times, bytes as f64 / size as f64, requests));
            }
        }
        let mut first = Vec::new();
        for (runs, input) in all.iter().zip(["stream", "download"]) {
            let of = |what: fn(&(Times, f64, u64)) -> f64| median(runs.iter().map(what).collect());
            let output = of(|(times, ..)| times.output - times.started);
            println!(
                "  {name}, {input}: first bytes of output {output:.3} s after the job began, all after {:.2} s; \
                 fetched over size {:.4}, {} requests",
                of(|(times, ..)| times.ended - times.started),
                of(|(_, fetched, _)| *fetched),
                of(|(.., requests)| *requests as f64),
            );
            first.push(output);
        }
        println!(
            "  {name}: the first output comes {:.1} times sooner",
            first[1] / first[0]
        );
    }
    fs::remove_file(film).unwrap();
}

/// Noise at 200 Mbit/s, so that what is decoded is little beside what is read.
fn film() -> PathBuf {
    let film = Path::new(env!("CARGO_TARGET_TMPDIR")).join("film-1gb-v1.mp4");
    if film.exists() {
        return film;
    }
    let (part, half) = (film.with_extension("part.mp4"), film.with_extension("half.mp4"));
    let shared = ["-nostdin", "-v", "error", "-y"];
    let with = |more: &[&str]| {
        let words: Vec<&str> = shared.iter().chain(more).copied().collect();
        tool("ffmpeg", &words);
    };
    #[rustfmt::skip]
    with(&[
        "-f", "lavfi", "-i", "testsrc2=size=1920x1080:rate=25,noise=alls=40:allf=t,format=yuv420p",
        "-f", "lavfi", "-i", "sine=frequency=300", "-t", "4",
        "-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-b:v", "200M", "-minrate", "200M", "-maxrate", "200M",
        "-bufsize", "200M", "-c:a", "aac", part.to_str().unwrap(),
    ]);
    let bytes = fs::metadata(&part).unwrap().len();
    let times = (1_000_000_000 / bytes).to_string();
    #[rustfmt::skip]
    with(&["-stream_loop", &times, "-i", part.to_str().unwrap(), "-c", "copy", half.to_str().unwrap()]);
    fs::remove_file(part).unwrap();
    fs::rename(half, &film).unwrap();
    film
}
