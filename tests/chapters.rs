//! Chapters and the titles of tracks, by the real binary on real media, judged by ffmpeg: in every container that holds them, of a
//! part of a film, behind a clip, with odd titles, and out of every container that has them.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod harness;

use std::fmt::Write;
use std::path::{Path, PathBuf};

use harness::tool;
use harness::trial::{Trial, complaints, probed};
use serde_json::Value;

/// A film of six seconds with two named sounds and these chapters: where each starts, in milliseconds, and what it is called.
fn film(folder: &Path, name: &str, chapters: &[(u32, String)]) -> PathBuf {
    let notes = folder.join("notes");
    let mut text = ";FFMETADATA1\n".to_owned();
    for (at, (start, title)) in chapters.iter().enumerate() {
        let end = chapters.get(at + 1).map_or(6000, |next| next.0);
        write!(
            text,
            "[CHAPTER]\nTIMEBASE=1/1000\nSTART={start}\nEND={end}\ntitle={title}\n"
        )
        .unwrap();
    }
    std::fs::write(&notes, text).unwrap();
    let made = folder.join(name);
    let words = format!(
        "-nostdin|-v|error|-y|-f|lavfi|-i|testsrc2=size=160x90:rate=25:duration=6|-f|lavfi|-i|sine=440:duration=6|\
         -f|lavfi|-i|sine=880:duration=6|-i|{}|-map|0|-map|1|-map|2|-map_chapters|3|-c:v|libx264|-preset|ultrafast|-g|25|\
         -pix_fmt|yuv420p|-c:a|aac|-metadata|title=The \"film\" \\ ü|-metadata:s:a:0|language=deu|\
         -metadata:s:a:0|title=Kommentar|-metadata:s:a:1|language=eng|-metadata:s:a:1|title=Große Größe™|{}",
        notes.display(),
        made.display()
    );
    tool("ffmpeg", &words.split('|').collect::<Vec<_>>());
    made
}

fn tried(source: &Path, settings: &str) -> Trial {
    let clip = source.with_file_name("intro.mp4");
    if !clip.exists() {
        let made = clip.to_str().unwrap();
        let words = "-nostdin -v error -f lavfi -i color=blue:size=160x90:rate=25:duration=1.6 -f lavfi -i sine=300:duration=1.6";
        tool(
            "ffmpeg",
            &[&words.split(' ').collect::<Vec<_>>()[..], &["-c:v", "libx264", made]].concat(),
        );
    }
    let settings = settings.replace("; ", "\n");
    Trial::beside(
        source,
        &format!("[task.t]\nkind = \"transcode\"\n{settings}\n"),
        &[&clip],
    )
}

/// Where chapters start and end, in tenths of a second, and their titles.
fn chapters(file: &Path) -> Vec<String> {
    let told = tool(
        "ffprobe",
        &["-v", "error", "-show_chapters", "-of", "json", file.to_str().unwrap()],
    );
    let told: Value = serde_json::from_str(&told).unwrap();
    let seconds = |value: &Value| value.as_str().unwrap().parse::<f64>().unwrap();
    let all = told["chapters"].as_array().unwrap().iter();
    let all = all.map(|one| {
        let title = one["tags"]["title"].as_str().unwrap_or_default();
        format!(
            "{:.1}-{:.1} {title}",
            seconds(&one["start_time"]),
            seconds(&one["end_time"])
        )
    });
    all.collect()
}

fn three() -> Vec<(u32, String)> {
    [(0, "One"), (2000, "Zwei – äöü 日本 🎬"), (4500, "Three; = #")]
        .map(|(start, title)| (start, title.to_owned()))
        .to_vec()
}

#[test]
fn chapters_come_out_of_every_container_and_into_every_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut chaptered = three();
    chaptered[2].1 = "Three".to_owned();
    let whole = ["0.0-2.0 One", "2.0-4.5 Zwei – äöü 日本 🎬", "4.5-6.0 Three"];
    for from in ["mkv", "mp4", "mov"] {
        let source = film(folder.path(), &format!("film.{from}"), &chaptered);
        for into in ["mp4", "mov", "mkv", "webm", "m4a"] {
            // What only costs time is left out.
            if (from, into) == ("mov", "webm") {
                continue;
            }
            let shown = if into == "m4a" { "video = 'none'" } else { "height = 48" };
            let made = tried(&source, &format!("container = '{into}'; {shown}"));
            let file = made.file();
            assert_eq!(chapters(&file), whole, "{from} {into}");
            assert_eq!(complaints(&file), "", "{from} {into}");
        }
    }
}

#[test]
fn chapters_move_with_the_part_and_with_what_is_before_the_film() {
    let folder = tempfile::tempdir().unwrap();
    let source = film(folder.path(), "film.mkv", &three());
    for container in ["mp4", "mov"] {
        let part = tried(
            &source,
            &format!("container = '{container}'; height = 48; start = '3s'; end = '5s'"),
        );
        assert_eq!(
            chapters(&part.file()),
            ["0.0-1.5 Zwei – äöü 日本 🎬", "1.5-2.0 Three; = #"]
        );
        // The clip lasts for 1.6 seconds, and stands on both sides.
        let joined = tried(
            &source,
            &format!("container = '{container}'; height = 48; head = 'intro.mp4'; tail = 'intro.mp4'"),
        );
        let told = chapters(&joined.file());
        assert_eq!(
            told,
            ["1.6-3.6 One", "3.6-6.1 Zwei – äöü 日本 🎬", "6.1-9.2 Three; = #"]
        );
        assert_eq!(complaints(&joined.file()), "");
    }
}

#[test]
fn chapters_begin_where_a_copy_does() {
    let folder = tempfile::tempdir().unwrap();
    let source = film(folder.path(), "film.mkv", &three());
    for container in ["mp4", "mov", "mkv"] {
        // The key frame before that is at three seconds.
        let copied = tried(
            &source,
            &format!("container = '{container}'; video = 'copy'; audio = 'copy'; start = '3.5s'"),
        );
        let file = copied.file();
        let expected = ["0.0-1.5 Zwei – äöü 日本 🎬", "1.5-3.0 Three; = #"];
        assert_eq!(chapters(&file), expected, "{container}");
        assert_eq!(complaints(&file), "", "{container}");
    }
}

/// Has the first track of an MP4 file shown in two pieces, the second from four seconds on. Nothing of what is seen changes.
fn in_two_pieces(file: &Path) {
    let mut bytes = std::fs::read(file).unwrap();
    let mut at = bytes.windows(4).rposition(|four| four == b"moov").unwrap();
    for name in [b"moov", b"trak", b"edts", b"elst"] {
        at += bytes[at..].windows(4).position(|four| four == name).unwrap();
        let length = u32::from_be_bytes(bytes[at - 4..at].try_into().unwrap()) + 12;
        bytes[at - 4..at].copy_from_slice(&length.to_be_bytes());
    }
    // Its length in thousandths, and where it begins on the clock of the film.
    let list = [2_u32, 4000, 0, 1 << 16, 2000, 4 * 12_800, 1 << 16];
    let list: Vec<u8> = list.iter().flat_map(|number| number.to_be_bytes()).collect();
    assert_eq!(bytes[at + 8..at + 20], [0, 0, 0, 1, 0, 0, 0x17, 0x70, 0, 0, 0, 0]);
    bytes.splice(at + 8..at + 24, list);
    std::fs::write(file, bytes).unwrap();
}

#[test]
fn chapters_begin_where_a_copy_of_several_pieces_does() {
    let folder = tempfile::tempdir().unwrap();
    let source = film(folder.path(), "film.mp4", &three());
    in_two_pieces(&source);
    for container in ["mp4", "mkv"] {
        // The key frame before that is at three seconds.
        let copied = tried(
            &source,
            &format!("container = '{container}'; video = 'copy'; audio = 'copy'; start = '3.5s'"),
        );
        let told = chapters(&copied.file());
        let starts: Vec<_> = told.iter().map(|one| one.split_once('-').unwrap().0).collect();
        assert_eq!(starts, ["0.0", "1.5"], "{container} {told:?}");
    }
}

#[test]
fn titles_may_be_long_and_chapters_many() {
    let folder = tempfile::tempdir().unwrap();
    let many: Vec<_> = (0..300_u32).map(|at| (at * 20, format!("{at}"))).collect();
    let source = film(folder.path(), "many.mkv", &many);
    let made = tried(&source, "height = 48");
    let told = chapters(&made.file());
    assert_eq!((told.len(), told[254].as_str()), (255, "5.1-6.0 254"));
    assert!(
        made.said
            .contains("the last 45 chapters of the source are not in the result: mp4 holds 255"),
        "{}",
        made.said
    );
    // A title has 255 bytes at most, and no half characters: 2 bytes each after the first one.
    let long = vec![(0, format!("x{}", "ä".repeat(300))), (3000, String::new())];
    let source = film(folder.path(), "long.mkv", &long);
    let told = chapters(&tried(&source, "height = 48").file());
    assert_eq!(told, [format!("0.0-3.0 x{}", "ä".repeat(127)), "3.0-6.0 ".to_owned()]);
}

#[test]
fn films_and_tracks_keep_their_titles_and_languages() {
    let folder = tempfile::tempdir().unwrap();
    let source = film(folder.path(), "film.mkv", &[]);
    for (container, key) in [
        ("mp4", "handler_name"),
        ("mov", "handler_name"),
        ("mkv", "title"),
        ("webm", "title"),
    ] {
        let made = tried(
            &source,
            &format!("container = '{container}'; height = 48; audio_tracks = 'all'"),
        );
        let all = probed(&made.file());
        // Names of tags are written in both cases.
        let tag = |of: &Value, key: &str| {
            let tags = of["tags"].as_object().unwrap();
            let found = tags.iter().find(|(name, _)| name.eq_ignore_ascii_case(key));
            found.map_or("none".to_owned(), |(_, value)| value.as_str().unwrap().to_owned())
        };
        let streams = all["streams"].as_array().unwrap();
        let told: Vec<_> = streams[1..]
            .iter()
            .map(|stream| format!("{} {}", tag(stream, "language"), tag(stream, key)))
            .collect();
        let german = if key == "title" { "ger" } else { "deu" };
        let expected = [format!("{german} Kommentar"), "eng Große Größe™".to_owned()];
        assert_eq!(told, expected, "{container}");
        assert_eq!(tag(&all["format"], "title"), "The \"film\" \\ ü", "{container}");
        let film = tag(&streams[0], "title");
        assert_eq!(film, "none", "{container}");
        assert_eq!(complaints(&made.file()), "");
        if key == "handler_name" {
            let bytes = std::fs::read(made.file()).unwrap();
            let named = |title: &str| {
                let field = format!("name{title}");
                bytes.windows(field.len()).any(|some| some == field.as_bytes())
            };
            assert!(named("Kommentar") && named("Große Größe™"), "{container}");
        }
    }
}

#[test]
fn what_holds_no_chapters_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let source = film(folder.path(), "film.mkv", &three());
    let made = tried(&source, "container = 'ts'; height = 48");
    assert!(
        made.said
            .contains("of the containers, mp4, mov, mkv and webm keep them, not ts"),
        "{}",
        made.said
    );
    assert!(chapters(&made.file()).is_empty());
}
