//! Many tasks over one decode: none waits for another for ever, one that fails harms none, and what each makes is as good as
//! what it makes alone.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod harness;

use std::fmt::Write as _;
use std::path::Path;

use harness::trial::{Trial, medium};
use harness::{House, assert_plays, tool};

fn frames(file: &Path) -> u64 {
    let file = file.to_str().unwrap();
    let asked = "-v error -select_streams v:0 -count_frames -show_entries stream=nb_read_frames -of csv=p=0";
    let mut arguments: Vec<&str> = asked.split(' ').collect();
    arguments.push(file);
    let told = tool("ffprobe", &arguments);
    // Of a transport stream it says so for every program too.
    let first = told.lines().next().unwrap();
    first.trim_end_matches(',').parse().unwrap()
}

/// Encoders that look far ahead, beside some that do not look at all, beside sound alone and a few images.
const MANY: &[(&str, &str)] = &[
    (
        "slow",
        "kind = \"transcode\"\nheight = 90\nvideo = { codec = \"h264\", preset = \"veryslow\" }",
    ),
    (
        "fast",
        "kind = \"transcode\"\nheight = 90\nvideo = { codec = \"h264\", preset = \"ultrafast\" }",
    ),
    ("vp9", "kind = \"transcode\"\ncontainer = \"webm\"\nheight = 90"),
    (
        "vp8",
        "kind = \"transcode\"\ncontainer = \"webm\"\nheight = 90\nvideo = { codec = \"vp8\" }",
    ),
    (
        "few",
        "kind = \"transcode\"\nheight = 90\nvideo = { codec = \"h264\", fps = 2 }",
    ),
    (
        "more",
        "kind = \"transcode\"\nheight = 90\nvideo = { codec = \"h264\", fps = 60 }",
    ),
    ("mute", "kind = \"transcode\"\nheight = 90\naudio = \"none\""),
    ("ts", "kind = \"transcode\"\ncontainer = \"ts\"\nheight = 90"),
    (
        "mkv",
        "kind = \"transcode\"\ncontainer = \"mkv\"\nheight = 90\naudio = { codec = \"flac\" }",
    ),
    (
        "copied",
        "kind = \"transcode\"\ncontainer = \"mkv\"\nvideo = \"copy\"\naudio = \"copy\"",
    ),
    ("half", "kind = \"transcode\"\nheight = 90\nend = \"60%\""),
    ("mp3", "kind = \"transcode\"\ncontainer = \"mp3\""),
    ("ogg", "kind = \"transcode\"\ncontainer = \"ogg\""),
    ("first", "kind = \"snapshot\"\nat = [\"0s\"]\nwidth = 160"),
    (
        "stills",
        "kind = \"snapshot\"\nat = [\"10%\", \"50%\", \"99%\"]\nwidth = 160",
    ),
];

fn spelled(tasks: &[(&str, &str)]) -> String {
    tasks.iter().fold(String::new(), |mut text, (id, settings)| {
        write!(text, "[task.{id}]\n{settings}\n").unwrap();
        text
    })
}

#[test]
fn many_branches_over_one_decode_never_wait_for_each_other_for_ever() {
    for source in ["plain.mp4", "late-sound.mkv", "longer.mp4", "variable.mp4"] {
        let tried = Trial::of(&medium(source), &spelled(MANY));
        assert!(tried.good, "{source}: {}", tried.said);
        let made = tried.files();
        assert_eq!(made.len(), MANY.len() + 2, "{made:?}");
        for file in &made {
            assert_plays(file);
        }
    }
}

#[test]
fn a_task_makes_beside_others_what_it_makes_alone() {
    let source = medium("plain.mp4");
    let together = Trial::of(&source, &spelled(MANY));
    assert!(together.good, "{}", together.said);
    for (id, settings) in MANY
        .iter()
        .filter(|(id, _)| ["fast", "few", "more", "half", "vp9"].contains(id))
    {
        let alone = Trial::of(&source, &spelled(&[(id, settings)]));
        let beside = together.out().join(alone.file().file_name().unwrap());
        assert_eq!(frames(&alone.file()), frames(&beside), "{id}");
    }
}

/// A second pass that sees another frame than the first does not end well.
#[test]
fn two_passes_beside_other_tasks_see_the_same_frames_twice() {
    for codec in ["h264", "h265"] {
        let twice = format!(
            "kind = \"transcode\"\nstart = \"1.3s\"\nwidth = 160\ncontainer = \"mkv\"\n\
             video = {{ codec = \"{codec}\", preset = \"ultrafast\", bitrate = \"100k\", passes = 2 }}\n\
             audio = {{ loudness = \"-16 LUFS\" }}\n[[task.twice.overlay]]\ntext = \"{{stem}}\"\n"
        );
        let tasks = [
            ("twice", twice.as_str()),
            ("stills", "kind = \"snapshot\"\nat = [\"1s\", \"2s\"]\nwidth = 160"),
            ("wave", "kind = \"waveform\"\nwidth = 320\nheight = 64"),
            ("sheet", "kind = \"sprite\"\nevery = \"500ms\"\nwidth = 64"),
            ("look", "kind = \"inspect\""),
            (
                "web",
                "kind = \"adaptive\"\nrenditions = [{ name = \"small\", height = 90 }]\nsegment = \"2s\"",
            ),
        ];
        for source in ["edit-list.mp4", "variable.mp4"] {
            let tried = Trial::of(&medium(source), &spelled(&tasks));
            assert!(tried.good, "{codec} of {source}: {}", tried.said);
            let files = tried.files();
            let film = files.iter().find(|file| file.to_string_lossy().ends_with("_twice.mkv"));
            assert_plays(film.unwrap());
        }
    }
}

/// Three sizes of which each is made of the next larger one, the sound of all of them encoded once, and a package beside.
const LADDER: &[(&str, &str)] = &[
    (
        "high",
        "kind = \"transcode\"\nheight = 240\nvideo = { codec = \"h264\", crf = 10 }",
    ),
    (
        "low",
        "kind = \"transcode\"\nheight = 160\ncontainer = \"ts\"\nvideo = { codec = \"h264\", crf = 10 }",
    ),
    (
        "least",
        "kind = \"transcode\"\nheight = 90\ncontainer = \"mkv\"\nvideo = { codec = \"h264\", crf = 10, fps = 10 }\n\
         audio = { codec = \"aac\" }",
    ),
    (
        "web",
        "kind = \"adaptive\"\nrenditions = [{ name = \"high\", height = 240 }, { name = \"least\", height = 90 }]",
    ),
    ("poster", "kind = \"snapshot\"\nat = [\"1s\"]"),
];

/// How like each other two films are, 0.0 ..= 1.0.
fn likeness(one: &Path, other: &Path) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let said = folder.path().join("said");
    let graph = format!("ssim=stats_file={}", said.display());
    let (one, other) = (one.to_str().unwrap(), other.to_str().unwrap());
    let arguments = [
        "-v", "error", "-i", one, "-i", other, "-lavfi", &graph, "-f", "null", "-",
    ];
    tool("ffmpeg", &arguments);
    let told = std::fs::read_to_string(said).unwrap();
    let all: Vec<f64> = told
        .lines()
        .map(|line| {
            line.split("All:")
                .nth(1)
                .unwrap()
                .split(' ')
                .next()
                .unwrap()
                .parse()
                .unwrap()
        })
        .collect();
    assert!(!all.is_empty());
    all.into_iter().fold(1.0, f64::min)
}

#[test]
fn what_is_made_in_steps_is_as_good_as_what_is_made_alone() {
    let source = medium("plain.mp4");
    let together = Trial::of(&source, &spelled(LADDER));
    assert!(together.good, "{}", together.said);
    assert_plays(&together.out().join("plain_web/master.m3u8"));
    let sound = |file: &Path| {
        tool(
            "ffmpeg",
            &[
                "-v",
                "error",
                "-i",
                file.to_str().unwrap(),
                "-map",
                "0:a",
                "-f",
                "md5",
                "-",
            ],
        )
    };
    for (id, settings) in &LADDER[..3] {
        let alone = Trial::of(&source, &spelled(&[(id, settings)]));
        let beside = together.out().join(alone.file().file_name().unwrap());
        assert_plays(&beside);
        assert_eq!(frames(&alone.file()), frames(&beside), "{id}");
        assert_eq!(sound(&alone.file()), sound(&beside), "{id}");
        // Another frame than that of the same time would be far less like it: the source counts its frames.
        let alike = likeness(&alone.file(), &beside);
        assert!(alike > 0.97, "{id}: {alike}");
    }
}

#[test]
fn what_several_tasks_want_alike_is_made_once_and_kept_with_each() {
    let tasks = spelled(LADDER);
    let rule = format!("enabled = true\n[trigger]\nbucket = \"inbox\"\n[output]\nbucket = \"published\"\n{tasks}");
    let mut house = House::new(&[("ladder", &rule)]);
    house.start();
    house.drop_file(&medium("plain.mp4"), "film.mp4");
    let jobs = house.wait_for_jobs(1);
    assert_eq!(jobs[0]["state"], "succeeded", "{:#}\n{}", jobs[0], house.log());
    let ran = house.json(&["jobs", "provenance", jobs[0]["id"].as_str().unwrap()]);
    let count = |task: &str, element: &str| {
        let one = ran.as_array().unwrap().iter().find(|one| one["task"] == task).unwrap();
        one["pipeline"].to_string().matches(element).count()
    };
    // A scaler for every step on the way down, and one of its own, which passes on what has its size already.
    let of_each = ["high", "low", "least"].map(|task| (count(task, "ReelmillScale"), count(task, "avenc_aac")));
    assert_eq!(of_each, [(2, 1), (3, 1), (4, 1)], "{ran:#}");
    assert_eq!(
        (count("poster", "ReelmillScale"), count("poster", "avenc_aac")),
        (0, 0),
        "{ran:#}"
    );
    assert_eq!(house.stop(), Some(0));
}

#[test]
fn pictures_beside_what_decodes_no_film_are_jumped_to() {
    const PICTURES: &str = "[task.poster]\nkind = \"snapshot\"\nat = [\"50%\"]\nwidth = 160\n\
        [task.sheet]\nkind = \"sprite\"\nevery = \"2s\"\n";
    const OTHERS: &str = "[task.copied]\nkind = \"transcode\"\ncontainer = \"mkv\"\nvideo = \"copy\"\naudio = \"copy\"\n\
        [task.sound]\nkind = \"transcode\"\ncontainer = \"mp3\"\n";
    const FILM: &str = "[task.film]\nkind = \"transcode\"\nheight = 90\n";
    let poster = |tasks: &[&str]| {
        let tasks = tasks.concat();
        let rule = format!("enabled = true\n[trigger]\nbucket = \"inbox\"\n[output]\nbucket = \"published\"\n{tasks}");
        let mut house = House::new(&[("some", &rule)]);
        house.start();
        house.drop_file(&medium("plain.mp4"), "film.mp4");
        let jobs = house.wait_for_jobs(1);
        assert_eq!(jobs[0]["state"], "succeeded", "{:#}\n{}", jobs[0], house.log());
        let ran = house.json(&["jobs", "provenance", jobs[0]["id"].as_str().unwrap()]);
        assert_eq!(house.stop(), Some(0));
        let mut all = ran.as_array().unwrap().iter();
        let pipeline = all.find(|one| one["task"] == "poster").unwrap()["pipeline"].clone();
        (pipeline, house.published().len())
    };
    let (alone, files) = poster(&[PICTURES]);
    assert_eq!(poster(&[PICTURES, OTHERS]), (alone.clone(), files + 2));
    let (shared, _) = poster(&[PICTURES, FILM]);
    assert_ne!(shared, alone, "one decode for both");
}
