//! FLV whose streams do not begin or end together, or are not those that its head speaks of: read and written by the real binary,
//! judged by ffmpeg.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod harness;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use harness::tool;
use harness::trial::{Trial, complaints};
use serde_json::Value;

const CODED: &str = "-c:v libx264 -preset ultrafast -g 25 -pix_fmt yuv420p -c:a aac";
const SMALL: &str = "height = 90; video = { preset = 'ultrafast' }; audio = { codec = 'aac' }";
const COPIED: &str = "video = 'copy'; audio = 'copy'";

/// Where media lie that are made once for all tests here.
fn folder() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("flv-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        folder
    })
}

fn made(name: &str, words: &str) -> PathBuf {
    let file = folder().join(name);
    let words: Vec<&str> = words.split_whitespace().chain([file.to_str().unwrap()]).collect();
    tool("ffmpeg", &[&["-nostdin", "-v", "error", "-y"], &words[..]].concat());
    file
}

fn film(seconds: u32) -> String {
    format!("-f lavfi -i testsrc2=size=160x90:rate=25:duration={seconds}")
}

fn sound(seconds: u32) -> String {
    format!("-f lavfi -i sine=frequency=440:sample_rate=44100:duration={seconds}")
}

/// A copy of a file whose head says that there is this: 4 sound, 1 film.
fn flagged(source: &Path, flags: u8) -> PathBuf {
    let name = source.file_stem().unwrap().to_str().unwrap();
    let file = folder().join(format!("{name}-{flags}.flv"));
    let mut bytes = std::fs::read(source).unwrap();
    bytes[4] = flags;
    std::fs::write(&file, bytes).unwrap();
    file
}

fn tried(source: &Path, container: &str, how: &str) -> Trial {
    let settings = format!("kind = 'transcode'; container = '{container}'; {how}");
    Trial::of(source, &format!("[task.t]\n{}\n", settings.replace("; ", "\n")))
}

/// When the first packet of each stream is shown and when the last, in thousandths of a second after the first of all; the film
/// first.
fn spans(file: &Path) -> Vec<(i64, i64)> {
    let words = "-v error -show_entries packet=stream_index,pts_time:stream=index,codec_type -of json";
    let words: Vec<&str> = words.split(' ').chain([file.to_str().unwrap()]).collect();
    let all: Value = serde_json::from_str(&tool("ffprobe", &words)).unwrap();
    let streams = all["streams"].as_array().unwrap().iter();
    let mut found: Vec<(bool, i64, i64)> = streams
        .map(|stream| {
            let packets = all["packets"].as_array().unwrap().iter();
            let own = packets.filter(|packet| packet["stream_index"] == stream["index"]);
            let times = own.filter_map(|packet| packet["pts_time"].as_str()?.parse().ok());
            #[allow(clippy::cast_possible_truncation)]
            let times: Vec<i64> = times.map(|time: f64| (time * 1000.0).round() as i64).collect();
            let is_film = stream["codec_type"] == "video";
            (!is_film, *times.iter().min().unwrap(), *times.iter().max().unwrap())
        })
        .collect();
    found.sort_unstable();
    let zero = found.iter().map(|(_, from, _)| *from).min().unwrap();
    found
        .into_iter()
        .map(|(_, from, to)| (from - zero, to - zero))
        .collect()
}

/// Whether each stream of a result lies as it does in the source, to less than a frame of film; coded sound has a little in front.
fn assert_alike(source: &Path, result: &Path, what: &str) {
    let (before, after) = (spans(source), spans(result));
    assert_eq!(before.len(), after.len(), "{what}: {before:?} {after:?}");
    // From here on both count from the end of the film or, without one, of the sound.
    let shift = after[0].1 - before[0].1;
    for (one, other) in before.iter().zip(&after) {
        assert!((other.0 - shift - one.0).abs() < 40, "{what}: {before:?} {after:?}");
        assert!((other.1 - shift - one.1).abs() < 40, "{what}: {before:?} {after:?}");
    }
}

#[test]
fn streams_that_begin_late_or_end_early_are_read() {
    let mut sources = vec![
        made(
            "late-film.flv",
            &format!("{} -itsoffset 2 {} -map 1 -map 0 {CODED}", sound(6), film(4)),
        ),
        made("third.flv", &format!("{} {} {CODED}", film(24), sound(8))),
        made("film.flv", &format!("{} {CODED}", film(3))),
        made("sound.flv", &format!("{} {CODED}", sound(3))),
    ];
    for late in ["0.3", "0.7", "2", "10"] {
        sources.push(made(
            &format!("late-{late}.flv"),
            &format!("{} -itsoffset {late} {} {CODED}", film(13), sound(3)),
        ));
    }
    for source in &sources {
        let what = source.display().to_string();
        let trial = tried(source, "mp4", SMALL);
        let file = trial.file();
        assert_eq!(complaints(&file), "", "{what}");
        assert_alike(source, &file, &what);
        let copied = if what.contains("sound.flv") {
            "audio = 'copy'"
        } else {
            COPIED
        };
        let trial = tried(source, "flv", copied);
        assert_alike(source, &trial.file(), &format!("{what} copied"));
    }
}

#[test]
fn the_head_of_a_file_is_not_believed() {
    let late = made("head.flv", &format!("{} -itsoffset 8 {} {CODED}", film(10), sound(2)));
    let only = made("only.flv", &format!("{} {CODED}", film(3)));
    for source in [
        flagged(&late, 0),
        flagged(&late, 1),
        flagged(&late, 4),
        flagged(&only, 5),
        flagged(&only, 4),
    ] {
        let trial = tried(&source, "mp4", SMALL);
        assert_alike(&source, &trial.file(), &source.display().to_string());
    }
}

#[test]
fn a_source_with_a_late_or_short_sound_becomes_an_flv() {
    for (name, words) in [
        ("late.mkv", format!("{} -itsoffset 2 {} {CODED}", film(6), sound(3))),
        ("far.mp4", format!("{} -itsoffset 9 {} {CODED}", film(12), sound(3))),
        ("short.mkv", format!("{} {} {CODED}", film(24), sound(5))),
        (
            "film.mkv",
            format!("{} -itsoffset 2 {} -map 1 -map 0 {CODED}", sound(5), film(3)),
        ),
    ] {
        let source = made(name, &words);
        for how in [SMALL, COPIED] {
            let trial = tried(&source, "flv", how);
            assert_alike(&source, &trial.file(), &format!("{name} {how}"));
        }
    }
}

#[test]
fn a_part_of_an_flv_begins_where_it_should() {
    // The brightness of each picture says which it is.
    let numbers = "-f lavfi -i color=c=black:size=64x36:rate=25:duration=8,geq=lum='16+N':cb=128:cr=128";
    let source = made(
        "numbers.flv",
        &format!(
            "{numbers} {} -c:v libx264 -preset veryfast -bf 2 -g 50 -crf 4 -c:a aac",
            sound(8)
        ),
    );
    // Once with what ffmpeg says of its key frames, once without.
    let indexed = folder().join("indexed.flv");
    let words = [
        "-nostdin",
        "-v",
        "error",
        "-y",
        "-i",
        source.to_str().unwrap(),
        "-c",
        "copy",
    ];
    let words = [
        &words[..],
        &["-flvflags", "add_keyframe_index", indexed.to_str().unwrap()],
    ]
    .concat();
    tool("ffmpeg", &words);
    for source in [&source, &indexed] {
        for (how, start) in [(SMALL, 3.0), (COPIED, 4.0)] {
            let trial = tried(
                source,
                "mp4",
                &format!("{how}; start = '{start}s'").replace("height = 90; ", ""),
            );
            let file = trial.file();
            assert_eq!(complaints(&file), "", "{how}");
            let found = spans(&file);
            let length = 8000.0 - start * 1000.0;
            for (from, to) in &found {
                assert!(
                    (*from as f64) < 60.0 && (*to as f64 - length).abs() < 80.0,
                    "{how}: {found:?}"
                );
            }
            let first = picture(&file);
            let due = start * 25.0 * 255.0 / 219.0;
            assert!((first - due).abs() < 2.5, "{how}: {first}, not {due}");
        }
        let still = Trial::of(source, "[task.t]\nkind = 'snapshot'\nat = ['5.2s']\nformat = 'png'\n");
        let shown = picture(&still.file());
        assert!((shown - 130.0 * 255.0 / 219.0).abs() < 2.5, "{shown}");
    }
}

/// The brightness of the first picture of a file.
fn picture(file: &Path) -> f64 {
    #[allow(clippy::disallowed_methods, reason = "a test runs programs")]
    let ran = std::process::Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-i"])
        .arg(file)
        .args([
            "-map",
            "0:v",
            "-frames:v",
            "1",
            "-vf",
            "scale=16:16,format=gray",
            "-f",
            "rawvideo",
            "-",
        ])
        .output()
        .unwrap();
    ran.stdout.iter().map(|pixel| f64::from(*pixel)).sum::<f64>() / 256.0
}

#[test]
fn damage_and_a_cut_are_told_and_what_is_left_is_used() {
    let whole = made("whole.flv", &format!("{} {} {CODED}", film(10), sound(10)));
    let bytes = std::fs::read(&whole).unwrap();
    let cut = folder().join("cut.flv");
    std::fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    let trial = tried(&cut, "mp4", SMALL);
    assert!(trial.good, "{}", trial.said);
    assert!(trial.said.contains("ends after"), "{}", trial.said);
    let mut bytes = bytes;
    let middle = bytes.len() / 2;
    bytes[middle..middle + 3000].fill(0x55);
    let hurt = folder().join("hurt.flv");
    std::fs::write(&hurt, bytes).unwrap();
    let trial = tried(&hurt, "mp4", SMALL);
    let file = trial.file();
    let found = spans(&file);
    assert!(found.len() == 2 && found.iter().all(|(_, to)| *to > 9_500), "{found:?}");
}
