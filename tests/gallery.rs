//! The gallery: every rule that ships in `rules/`, enabled, carried out by the real daemon on real media. What comes
//! out is judged by ffmpeg. A rule without a case here is a failure.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod harness;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use harness::{House, assert_plays, tool};
use serde_json::Value;

/// What is dropped for one rule, and what is there once it is done.
struct Case {
    rule: &'static str,
    /// Medium, key in the inbox; before the daemon starts.
    there: &'static [(&'static str, &'static str)],
    /// The same, while it runs.
    dropped: &'static [(&'static str, &'static str)],
    /// How many jobs start.
    jobs: usize,
    /// Keys whose jobs fail.
    refused: &'static [&'static str],
    /// Key below the published bucket and what it is, sorted by key.
    published: &'static [(&'static str, &'static str)],
    /// Keys that the inbox has at the end, sorted.
    inbox: &'static [&'static str],
}

const CASES: &[Case] = &[
    Case {
        rule: "archive",
        jobs: 2,
        there: &[("sound.mp3", "incoming/old.mp3")],
        dropped: &[
            ("plain.mov", "incoming/2026/trip.mov"),
            ("text.mp4", "incoming/text.mp4"),
        ],
        refused: &["incoming/text.mp4"],
        published: &[
            ("archive/2026/trip/trip_about.json", "Quicktime"),
            ("archive/2026/trip/trip_original.mov", "same as plain.mov"),
            ("archive/text.mp4.failed.txt", "text"),
        ],
        inbox: &["incoming/2026/trip.mov", "incoming/old.mp3", "incoming/text.mp4"],
    },
    Case {
        rule: "camera",
        jobs: 3,
        there: &[("card.mov", "camera/monday/A001/C0001.MOV")],
        dropped: &[
            ("card.mov", "camera/tuesday/A002/C0001.MOV"),
            ("plain.ts", "camera/clip.mts"),
            ("text.mp4", "camera/tuesday/A002/C0001.XML"),
        ],
        refused: &[],
        published: &[
            (
                "camera/clip_film.mp4",
                "h264 640x360 150 frames, aac 48000 Hz x2, 5.0 s",
            ),
            ("camera/clip_poster.jpg", "mjpeg 640x360 1 frames"),
            (
                "camera/monday/A001/C0001_film.mp4",
                "h264 1920x1080 75 frames, aac 48000 Hz x1, 3.0 s",
            ),
            ("camera/monday/A001/C0001_poster.jpg", "mjpeg 640x360 1 frames"),
            (
                "camera/tuesday/A002/C0001_film.mp4",
                "h264 1920x1080 75 frames, aac 48000 Hz x1, 3.0 s",
            ),
            ("camera/tuesday/A002/C0001_poster.jpg", "mjpeg 640x360 1 frames"),
        ],
        inbox: &[
            "camera-done/clip.mts",
            "camera-done/monday/A001/C0001.MOV",
            "camera-done/tuesday/A002/C0001.MOV",
            "camera/tuesday/A002/C0001.XML",
        ],
    },
    Case {
        rule: "hls",
        jobs: 1,
        there: &[],
        dropped: &[("two-sounds.mkv", "stream/trip/film.mkv")],
        refused: &[],
        published: &[
            (
                "stream/trip/film/film/manifest.mpd",
                "h264 640x360, h264 426x240, aac 48000 Hz x2, aac 48000 Hz x2, 5.0 s",
            ),
            (
                "stream/trip/film/film/master.m3u8",
                "aac 48000 Hz x2, aac 48000 Hz x2, h264 640x360 150 frames, h264 426x240 150 frames, 5.0 s",
            ),
            ("stream/trip/film/poster.jpg", "mjpeg 640x360 1 frames"),
        ],
        inbox: &["stream/trip/film.mkv"],
    },
    Case {
        rule: "podcast",
        jobs: 2,
        there: &[],
        dropped: &[
            ("sound.mp3", "speech/season 1/one.mp3"),
            ("two-sounds.mkv", "speech/talk.mkv"),
        ],
        refused: &[],
        published: &[
            ("podcast/season 1/one.m4a", "aac 44100 Hz x1, 5.0 s, A tone by Nobody"),
            ("podcast/season 1/one.mp3", "mp3 44100 Hz x1, 5.0 s, A tone by Nobody"),
            ("podcast/talk.m4a", "aac 44100 Hz x1, 5.0 s"),
            ("podcast/talk.mp3", "mp3 44100 Hz x1, 5.0 s"),
        ],
        inbox: &["speech/season 1/one.mp3", "speech/talk.mkv"],
    },
    Case {
        rule: "proxies",
        jobs: 2,
        there: &[],
        dropped: &[
            ("card.mov", "footage/day 1/clip.mov"),
            ("truncated.mp4", "footage/half.mp4"),
        ],
        refused: &["footage/half.mp4"],
        published: &[
            ("proxies/day 1/clip/about.json", "Quicktime"),
            (
                "proxies/day 1/clip/large.mp4",
                "h264 1280x720 75 frames, aac 48000 Hz x2, 3.0 s",
            ),
            ("proxies/day 1/clip/poster.jpg", "mjpeg 1280x720 1 frames"),
            (
                "proxies/day 1/clip/small.mp4",
                "h264 640x360 75 frames, aac 48000 Hz x2, 3.0 s",
            ),
            (
                "proxies/day 1/clip/web.webm",
                "vp9 640x360 75 frames, opus 48000 Hz x2, 3.0 s",
            ),
            ("proxies/half.mp4.failed.txt", "text"),
            ("proxies/half/about.json", "Quicktime"),
        ],
        inbox: &["footage/day 1/clip.mov", "footage/half.mp4"],
    },
    Case {
        rule: "sound",
        jobs: 3,
        there: &[],
        dropped: &[
            ("card.mov", "recordings/band/film.mov"),
            ("silent-film.mp4", "recordings/silent.mp4"),
            ("sound.wav", "recordings/take.wav"),
        ],
        refused: &["recordings/silent.mp4"],
        published: &[
            ("sound/band/film.flac", "flac 48000 Hz x1, 3.0 s"),
            ("sound/silent.mp4.failed.txt", "text"),
            ("sound/take.flac", "flac 48000 Hz x1, 5.0 s"),
        ],
        inbox: &[
            "recordings/band/film.mov",
            "recordings/silent.mp4",
            "recordings/take.wav",
        ],
    },
    Case {
        rule: "teaser",
        jobs: 2,
        there: &[],
        dropped: &[("long.mp4", "teaser/film.mp4"), ("plain.mp4", "teaser/short.mp4")],
        refused: &[],
        published: &[
            (
                "teaser/film_square.mp4",
                "h264 720x720 300 frames, aac 48000 Hz x2, 30.0 s",
            ),
            (
                "teaser/short_square.mp4",
                "h264 360x360 150 frames, aac 48000 Hz x2, 5.0 s",
            ),
        ],
        inbox: &["teaser/film.mp4", "teaser/short.mp4"],
    },
    Case {
        rule: "web",
        jobs: 2,
        there: &[("plain.mp4", "incoming/old.mp4")],
        dropped: &[("card.mov", "incoming/a/film.mov"), ("vp9.webm", "incoming/small.webm")],
        refused: &[],
        published: &[
            ("web/a/film_poster.jpg", "mjpeg 640x360 1 frames"),
            ("web/a/film_web.mp4", "h264 1280x720 75 frames, aac 48000 Hz x2, 3.0 s"),
            ("web/small_poster.jpg", "mjpeg 640x360 1 frames"),
            ("web/small_web.mp4", "h264 640x360 150 frames, aac 48000 Hz x2, 5.0 s"),
        ],
        inbox: &["incoming/a/film.mov", "incoming/old.mp4", "incoming/small.webm"],
    },
];

fn gallery() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("rules")
}

/// Every rule of the gallery: name and text, enabled.
fn rules() -> Vec<(String, String)> {
    let mut found: Vec<_> = fs::read_dir(gallery())
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            assert_eq!(path.extension().unwrap(), "toml", "{}", path.display());
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, enabled(&fs::read_to_string(path).unwrap()))
        })
        .collect();
    found.sort();
    found
}

/// As `reelmill rules enable` would write it.
fn enabled(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let is_switch = line.split_once('=').is_some_and(|(key, _)| key.trim() == "enabled");
        if is_switch { "enabled = true" } else { line }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Test media, and two more that only the gallery needs.
fn medium(name: &str) -> PathBuf {
    static MEDIA: OnceLock<PathBuf> = OnceLock::new();
    let folder = MEDIA.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let folder = target.parent().unwrap().join("test-media-v1");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/media/make.sh");
        tool(script.to_str().unwrap(), &[folder.to_str().unwrap()]);
        let make = |name: &str, picture: &str, sound: &str, more: &str| {
            let (made, half) = (folder.join(name), folder.join(format!("making-{name}")));
            if !made.exists() {
                let line = format!("-nostdin -v error -y -f lavfi -i {picture} -f lavfi -i {sound} -shortest {more}");
                let mut words: Vec<_> = line.split(' ').collect();
                words.push(half.to_str().unwrap());
                tool("ffmpeg", &words);
                fs::rename(half, made).unwrap();
            }
        };
        let h264 = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p";
        make(
            "card.mov",
            "testsrc2=size=1920x1080:rate=25:duration=3",
            "sine=sample_rate=48000:duration=3",
            &format!("{h264} -c:a pcm_s16le"),
        );
        make(
            "long.mp4",
            "testsrc2=size=1280x720:rate=10:duration=34",
            "sine=sample_rate=48000:duration=34",
            &format!("{h264} -c:a aac"),
        );
        folder
    });
    folder.join(name)
}

/// `h264 640x360 150 frames, aac 48000 Hz x2, 5.0 s, TITLE by ARTIST`, as ffprobe sees it; frames are counted by decoding.
/// Lengths are given to the next half second, since codecs of sound fill up their last block; frames tell more.
fn described(file: &Path) -> String {
    let arguments = "-v error -count_frames -show_streams -show_format -of json";
    let mut arguments: Vec<_> = arguments.split(' ').collect();
    arguments.push(file.to_str().unwrap());
    let all: Value = serde_json::from_str(&tool("ffprobe", &arguments)).unwrap();
    let mut words = Vec::new();
    for stream in all["streams"].as_array().unwrap() {
        let codec = stream["codec_name"].as_str().unwrap();
        if stream["codec_type"] == "video" {
            let frames = stream["nb_read_frames"].as_str().unwrap();
            let frames = match file.extension().unwrap().to_str() {
                // ffmpeg stops reading where the first of several streams is over.
                Some("mpd") => String::new(),
                _ => format!(" {frames} frames"),
            };
            words.push(format!("{codec} {}x{}{frames}", stream["width"], stream["height"]));
        } else {
            let rate = stream["sample_rate"].as_str().unwrap();
            words.push(format!("{codec} {rate} Hz x{}", stream["channels"]));
        }
    }
    if file.extension().unwrap() != "jpg" {
        let length: f64 = all["format"]["duration"].as_str().unwrap().parse().unwrap();
        words.push(format!("{:.1} s", (length * 2.0).round() / 2.0));
    }
    let tags = &all["format"]["tags"];
    if let (Some(title), Some(artist)) = (tags["title"].as_str(), tags["artist"].as_str()) {
        words.push(format!("{title} by {artist}"));
    }
    words.join(", ")
}

/// The container as ffprobe names it begins so, for each extension.
fn container_of(extension: &str) -> &'static str {
    match extension {
        "mp4" | "m4a" | "mov" => "mov,mp4",
        "webm" => "matroska,webm",
        "mp3" => "mp3",
        "flac" => "flac",
        "jpg" => "image2",
        "m3u8" => "hls",
        "mpd" => "dash",
        other => panic!("no container is known for .{other}"),
    }
}

fn assert_is(file: &Path, wanted: &str, about: &str) {
    if wanted == "text" {
        let text = fs::read_to_string(file).unwrap();
        assert!(text.contains("Reelmill") && text.len() > 80, "{about}: {text}");
    } else if let Some(other) = wanted.strip_prefix("same as ") {
        let same = fs::read(file).unwrap() == fs::read(medium(other)).unwrap();
        assert!(same, "{about} is not {other}");
    } else if file.extension().unwrap() == "json" {
        let json: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
        assert_eq!(json["container"], wanted, "{about}: {json:#}");
        assert!(!json["streams"].as_array().unwrap().is_empty(), "{about}: {json:#}");
    } else {
        assert_eq!(described(file), wanted, "{about}");
        let ask = [
            "-v",
            "error",
            "-show_entries",
            "format=format_name",
            "-of",
            "default=nw=1:nk=1",
        ];
        let container = tool("ffprobe", &[&ask[..], &[file.to_str().unwrap()]].concat());
        let extension = file.extension().unwrap().to_str().unwrap();
        assert!(container.starts_with(container_of(extension)), "{about}: {container}");
        assert_plays(file);
    }
    if file.extension().unwrap() == "mp4" {
        let bytes = fs::read(file).unwrap();
        let place = |name: &[u8]| bytes.windows(4).position(|four| four == name).unwrap();
        assert!(place(b"moov") < place(b"mdat"), "{about}: the index is not in front");
    }
}

fn carry_out(case: &Case, text: &str) {
    let rule = case.rule;
    let mut house = House::new(&[(rule, text)]);
    let check = house.reelmill(&["check"]);
    let said = String::from_utf8_lossy(&check.stderr).into_owned();
    assert!(check.status.success() && said.is_empty(), "{rule}: {said}");
    for (name, key) in case.there {
        house.drop_file(&medium(name), key);
    }
    house.start();
    for (name, key) in case.dropped {
        house.drop_file(&medium(name), key);
    }
    let is_note = |name: &&String| name.ends_with(".failed.txt");
    house.wait_until(&format!("{rule} has done its jobs and left {:?}", case.inbox), || {
        let jobs = house.jobs();
        let ended = |job: &Value| !matches!(job["state"].as_str(), Some("queued" | "running"));
        let enough = jobs.len() == case.jobs && jobs.iter().all(ended);
        let noted = house.published().iter().filter(is_note).count() == case.refused.len();
        (enough && noted && house.inbox() == case.inbox).then_some(())
    });
    let names: Vec<_> = case.published.iter().map(|(name, _)| *name).collect();
    // Members of packages lie in a folder that is called as their job.
    let ids: BTreeSet<_> = house
        .jobs()
        .iter()
        .map(|job| job["id"].as_str().unwrap().to_owned())
        .collect();
    let mut published = house.published();
    published.retain(|name| !name.split('/').any(|part| ids.contains(part)));
    assert_eq!(published, names, "{rule}\n{}", house.log());
    let failed: BTreeSet<_> = house
        .jobs_in("failed")
        .iter()
        .map(|job| job["key"].as_str().unwrap().to_owned())
        .collect();
    let refused: BTreeSet<_> = case.refused.iter().map(|key| (*key).to_owned()).collect();
    assert_eq!(failed, refused, "{rule}: {:#?}", house.jobs());
    for (name, wanted) in case.published {
        assert_is(&house.path("published").join(name), wanted, &format!("{rule}: {name}"));
    }
    assert_eq!(house.stop(), Some(0));
}

#[test]
fn every_rule_has_a_case_and_every_case_a_rule() {
    let rules: Vec<_> = rules().into_iter().map(|(name, _)| name).collect();
    let cases: Vec<_> = CASES.iter().map(|case| case.rule).collect();
    assert_eq!(rules, cases, "left: rules/, right: the cases here");
}

#[test]
fn every_rule_makes_what_it_says_of_what_is_dropped() {
    let rules = rules();
    medium("card.mov");
    std::thread::scope(|scope| {
        for (name, text) in &rules {
            let Some(case) = CASES.iter().find(|case| case.rule == name) else {
                continue;
            };
            scope.spawn(|| carry_out(case, text));
        }
    });
}

#[test]
fn all_of_them_can_be_enabled_together() {
    let rules = rules();
    let texts: Vec<_> = rules
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    let mut house = House::new(&texts);
    let check = house.reelmill(&["check"]);
    let said = String::from_utf8_lossy(&check.stdout).into_owned();
    assert!(check.status.success() && check.stderr.is_empty(), "{said}");
    assert!(
        said.contains(&format!("{0} good rules, {0} of them enabled", rules.len())),
        "{said}"
    );
    house.start();
    house.drop_file(&medium("plain.mp4"), "incoming/film.mp4");
    let jobs = house.wait_for_jobs(2);
    assert!(jobs.iter().all(|job| job["state"] == "succeeded"), "{jobs:#?}");
    assert_eq!(
        house.published(),
        [
            "archive/film/film_about.json",
            "archive/film/film_original.mp4",
            "web/film_poster.jpg",
            "web/film_web.mp4",
        ]
    );
    assert_eq!(house.inbox(), ["incoming/film.mp4"]);
}

#[test]
fn each_says_at_its_head_what_is_dropped_where_and_what_comes_out() {
    for entry in fs::read_dir(gallery()).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let head: Vec<_> = text
            .lines()
            .take_while(|line| line.starts_with('#'))
            .map(|line| line.trim_start_matches(['#', ' ']))
            .collect();
        let head = head.join(" ");
        for table in ["trigger", "output"] {
            let part = text.split(&format!("[{table}]")).nth(1).unwrap();
            let directory = part.split("directory = \"").nth(1).unwrap().split('"').next().unwrap();
            assert!(
                head.contains(&format!("`{directory}`")),
                "{}: the head does not name {directory}",
                path.display()
            );
        }
        assert_eq!(
            text.contains("\nenabled = true\n"),
            path.ends_with("web.toml"),
            "{}",
            path.display()
        );
    }
}

#[test]
fn the_debian_package_ships_all_of_them() {
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let assets = manifest["package"]["metadata"]["deb"]["assets"].as_array().unwrap();
    let all: toml::Value = vec!["rules/*.toml", "usr/share/doc/reelmill/examples/", "644"].into();
    assert!(assets.contains(&all), "{assets:?}");
}
