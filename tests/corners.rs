//! Streams of one medium that do not begin or end together, or of which one is empty: what becomes of them, by the real binary,
//! judged by ffmpeg.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod harness;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use harness::tool;
use harness::trial::{Trial, complaints, probed};
use serde_json::Value;

/// Where media lie that are made once for all tests here.
fn folder() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("corners-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        folder
    })
}

/// Makes a medium in there by these words for ffmpeg; `@name` is a file of the same folder.
fn made(name: &str, words: &str) -> PathBuf {
    let path = |name: &str| folder().join(name).to_str().unwrap().to_owned();
    let words: Vec<String> = words
        .split_whitespace()
        .map(|word| word.strip_prefix('@').map_or_else(|| word.to_owned(), path))
        .chain([path(name)])
        .collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    tool("ffmpeg", &[&["-nostdin", "-v", "error", "-y"], &words[..]].concat());
    folder().join(name)
}

/// So many seconds of film, 25 pictures each.
fn film(seconds: u32) -> String {
    format!("-f lavfi -i testsrc2=size=320x180:rate=25:duration={seconds}")
}

fn sound(seconds: u32) -> String {
    format!("-f lavfi -i sine=frequency=440:sample_rate=48000:duration={seconds}")
}

const CODED: &str = "-c:v libx264 -preset ultrafast -g 25 -pix_fmt yuv420p -c:a aac";

fn tried(source: &Path, settings: &str) -> Trial {
    Trial::of(source, &format!("[task.t]\n{}\n", settings.replace("; ", "\n")))
}

/// The streams of a file: `h264 200` with the number of pictures, and `aac`.
fn streams(file: &Path) -> Vec<String> {
    let all = probed(file);
    let told = all["streams"].as_array().unwrap().iter().map(|stream| {
        let codec = stream["codec_name"].as_str().unwrap();
        match (
            stream["codec_type"].as_str().unwrap(),
            stream["nb_read_frames"].as_str(),
        ) {
            ("video", Some(frames)) => format!("{codec} {frames}"),
            _ => codec.to_owned(),
        }
    });
    told.collect()
}

fn findings(trial: &Trial) -> Vec<String> {
    let all: Value = serde_json::from_str(&trial.said).unwrap();
    let mut found = Vec::new();
    collect(&all, &mut found);
    found
}

fn collect(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                if let ("findings", Some(list)) = (key.as_str(), value.as_array()) {
                    into.extend(list.iter().filter_map(|one| Some(one["message"].as_str()?.to_owned())));
                } else {
                    collect(value, into);
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|value| collect(value, into)),
        _ => {}
    }
}

#[test]
fn a_sound_that_is_not_in_the_wanted_part_is_left_out_of_every_container() {
    let (film, sound) = (film(6), sound(2));
    let over = made("over.ts", &format!("{film} {sound} {CODED}"));
    let late = made("late.mkv", &format!("{film} -itsoffset 4 {sound} {CODED}"));
    for (container, codec, copies) in [
        ("mp4", "h264", true),
        ("mov", "h264", true),
        ("ts", "h264", true),
        ("mkv", "h264", true),
        ("flv", "h264", true),
        ("webm", "vp9", false),
        ("mxf", "mpeg2video", false),
    ] {
        let encoded = "height = 90; video = { preset = 'ultrafast' }";
        let encoded = if codec == "h264" { encoded } else { "height = 90" };
        let mut trials = vec![(&over, "start = '4s'", encoded, 50), (&late, "end = '3s'", encoded, 75)];
        if copies {
            trials.push((&late, "end = '3s'", "video = 'copy'; audio = 'copy'", 75));
        }
        for (source, part, how, frames) in trials {
            let audio = if container == "flv" && how == encoded {
                "audio = { codec = 'aac' }"
            } else {
                ""
            };
            let trial = tried(
                source,
                &format!("kind = 'transcode'; container = '{container}'; {part}; {how}; {audio}"),
            );
            let file = trial.file();
            assert_eq!(
                streams(&file),
                [format!("{codec} {frames}")],
                "{container} {part} {how}"
            );
            // That reader stumbles over the room that its muxer leaves for an index.
            if container != "flv" {
                assert_eq!(complaints(&file), "", "{container} {part} {how}");
            }
            assert_eq!(
                findings(&trial),
                ["nothing of the sound of stream 1 is in the wanted part"]
            );
        }
    }
    for container in ["m4a", "mp3"] {
        let trial = tried(
            &late,
            &format!("kind = 'transcode'; container = '{container}'; end = '3s'"),
        );
        assert!(!trial.good);
        assert!(
            trial.said.contains("no sound of the medium is in the wanted part"),
            "{}",
            trial.said
        );
    }
}

#[test]
fn the_sounds_that_are_in_the_wanted_part_keep_their_order_and_one_of_them_is_played() {
    let (film, sound, whole) = (film(6), sound(2), sound(6));
    let languages = "-metadata:s:a:0 language=deu -metadata:s:a:1 language=eng -metadata:s:a:2 language=fra";
    let three = made(
        "three.mkv",
        &format!("{film} -itsoffset 4 {sound} {whole} {whole} -map 0 -map 1 -map 2 -map 3 {CODED} {languages}"),
    );
    for container in ["mp4", "mkv"] {
        let trial = tried(
            &three,
            &format!(
                "kind = 'transcode'; container = '{container}'; end = '3s'; video = 'copy'; audio = 'copy'; audio_tracks = 'all'"
            ),
        );
        let file = trial.file();
        assert_eq!(complaints(&file), "", "{container}");
        let all = probed(&file);
        let told = all["streams"].as_array().unwrap().iter().skip(1);
        let told: Vec<_> = told
            .map(|stream| {
                let language = stream["tags"]["language"].as_str().unwrap().to_owned();
                (language, stream["disposition"]["default"] == 1)
            })
            .collect();
        let french = if container == "mp4" { "fra" } else { "fre" };
        assert_eq!(
            told,
            [("eng".to_owned(), true), (french.to_owned(), false)],
            "{container}"
        );
    }
}

#[test]
fn a_sound_that_cannot_be_decoded_does_not_keep_a_film_from_its_result() {
    let good = made("good.mkv", &format!("{} {} {CODED}", film(4), sound(4)));
    let damaged = made("damaged.mkv", "-i @good.mkv -map 0 -c copy -bsf:a noise=amount=1");
    let empty = made("empty.mkv", "-i @good.mkv -map 0 -c copy -bsf:a noise=amount=0:drop=1");
    assert!(good.exists());
    for container in ["mp4", "mkv", "ts"] {
        for source in [&damaged, &empty] {
            let trial = tried(
                source,
                &format!("kind = 'transcode'; container = '{container}'; height = 90"),
            );
            let file = trial.file();
            assert_eq!(streams(&file), ["h264 100"], "{container}");
            assert_eq!(complaints(&file), "", "{container}");
            let told = findings(&trial);
            assert!(
                told.contains(&"stream 1 is not in the result: there is no sound in it".to_owned()),
                "{told:?}"
            );
        }
    }
    for kind in ["kind = 'transcode'; container = 'm4a'", "kind = 'waveform'"] {
        let trial = tried(&damaged, kind);
        assert!(!trial.good);
        assert!(
            trial.said.contains("no sound of the medium could be decoded"),
            "{}",
            trial.said
        );
    }
}

/// When each stream begins and how long it lasts, as ffmpeg reads the times of its packets, in halves of a second from the first
/// packet of all: `h264 6+10`.
fn spans(file: &Path) -> Vec<String> {
    let told = tool(
        "ffprobe",
        &[
            "-v",
            "error",
            "-show_entries",
            "packet=stream_index,pts_time:stream=index,codec_name",
            "-of",
            "json",
            file.to_str().unwrap(),
        ],
    );
    let all: Value = serde_json::from_str(&told).unwrap();
    let times = |index: &Value| -> Vec<f64> {
        let packets = all["packets"].as_array().unwrap().iter();
        let own = packets.filter(|packet| packet["stream_index"] == *index);
        own.filter_map(|packet| packet["pts_time"].as_str()?.parse().ok())
            .collect()
    };
    let streams = all["streams"].as_array().unwrap();
    let least = |times: &[f64]| times.iter().copied().fold(f64::INFINITY, f64::min);
    let most = |times: &[f64]| times.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let zero = streams
        .iter()
        .map(|stream| least(&times(&stream["index"])))
        .fold(f64::INFINITY, f64::min);
    let told = streams.iter().map(|stream| {
        let times = times(&stream["index"]);
        let (from, to) = (least(&times), most(&times));
        let halves = |time: f64| (time * 2.0).round();
        let codec = stream["codec_name"].as_str().unwrap();
        format!("{codec} {}+{}", halves(from - zero), halves(to - from + 0.03))
    });
    told.collect()
}

#[test]
fn a_film_that_begins_late_and_a_sound_that_does_stay_where_they_are() {
    let late_film = made(
        "late-film.mkv",
        &format!("{} -itsoffset 3 {} -map 1 -map 0 {CODED}", sound(8), film(5)),
    );
    let late_sound = made(
        "late-sound.mkv",
        &format!("{} -itsoffset 3 {} {CODED}", film(8), sound(5)),
    );
    for (how, sort) in [("height = 90", "encoded"), ("video = 'copy'; audio = 'copy'", "copied")] {
        for container in ["ts", "mp4", "mkv"] {
            let spans_of = |source: &Path| {
                let trial = tried(source, &format!("kind = 'transcode'; container = '{container}'; {how}"));
                let file = trial.file();
                assert_eq!(complaints(&file), "", "{container} {sort}");
                assert_eq!(streams(&file).len(), 2);
                spans(&file)
            };
            assert_eq!(spans_of(&late_film), ["h264 6+10", "aac 0+16"], "{container} {sort}");
            assert_eq!(spans_of(&late_sound), ["h264 0+16", "aac 6+10"], "{container} {sort}");
        }
    }
    // Here nothing has a time of its own: what is late is filled.
    for source in [&late_film, &late_sound] {
        let trial = tried(source, "kind = 'transcode'; container = 'mxf'; height = 90");
        assert_eq!(spans(&trial.file()), ["mpeg2video 0+16", "pcm_s16le 0+16"]);
    }
}

#[test]
fn what_is_late_is_copied_into_mxf_with_silence_or_refused_in_words() {
    let coded = "-c:v mpeg2video -q:v 3 -bf 0 -c:a pcm_s16le";
    let late_sound = made(
        "late-pcm.mkv",
        &format!("{} -itsoffset 3 {} {coded}", film(8), sound(5)),
    );
    let trial = tried(
        &late_sound,
        "kind = 'transcode'; container = 'mxf'; video = 'copy'; audio = 'copy'",
    );
    let file = trial.file();
    assert_eq!(spans(&file), ["mpeg2video 0+16", "pcm_s16le 0+16"]);
    let heard = |from: &str| {
        let words = [
            "-nostdin",
            "-v",
            "error",
            "-ss",
            from,
            "-t",
            "1",
            "-i",
            file.to_str().unwrap(),
        ];
        let words = [&words[..], &["-map", "0:a", "-f", "crc", "-"]].concat();
        tool("ffmpeg", &words)
    };
    let silence = "-nostdin -v error -f lavfi -i anullsrc=r=48000:cl=mono -t 1 -c:a pcm_s16le -f crc -";
    let silence = tool("ffmpeg", &silence.split(' ').collect::<Vec<_>>());
    assert_eq!(heard("1"), silence);
    assert_ne!(heard("4"), silence);
    let late_film = made(
        "late-mpeg.mkv",
        &format!("{} -itsoffset 3 {} -map 1 -map 0 {coded}", sound(8), film(5)),
    );
    let trial = tried(&late_film, "kind = 'transcode'; container = 'mxf'; video = 'copy'");
    assert!(!trial.good);
    assert!(
        trial
            .said
            .contains("the film begins 3.0 s after the sound, which cannot be said in MXF: encode it"),
        "{}",
        trial.said
    );
}

/// The brightness of every picture of a film, and when it is shown, in hundredths of a second.
fn pictures(file: &Path) -> Vec<(f64, i64)> {
    #[allow(clippy::disallowed_methods, reason = "a test runs programs")]
    let ran = std::process::Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-i"])
        .arg(file)
        .args([
            "-map",
            "0:v",
            "-fps_mode",
            "passthrough",
            "-vf",
            "scale=16:16,format=gray",
            "-f",
            "rawvideo",
            "-",
        ])
        .output()
        .unwrap();
    let told = tool(
        "ffprobe",
        &[
            "-v",
            "error",
            "-select_streams",
            "v",
            "-show_entries",
            "frame=pts_time",
            "-of",
            "csv=p=0",
            file.to_str().unwrap(),
        ],
    );
    let times = told.lines().filter(|line| !line.is_empty()).map(|line| {
        let time: f64 = line.trim_end_matches(',').parse().unwrap_or(0.0);
        #[allow(clippy::cast_possible_truncation)]
        let hundredths = (time * 100.0).round() as i64;
        hundredths
    });
    let mean = |frame: &[u8]| frame.iter().map(|pixel| f64::from(*pixel)).sum::<f64>() / 256.0;
    ran.stdout.chunks_exact(256).map(mean).zip(times).collect()
}

#[test]
fn a_film_in_avi_whose_pictures_look_ahead_loses_none_and_shows_each_when_it_is_due() {
    let numbers = "-f lavfi -i color=c=black:size=320x180:rate=25:duration=4,geq=lum='16+N*2':cb=128:cr=128";
    let coded = "-q:v 1 -c:a libmp3lame";
    let bright = |frame: i64| frame as f64 * 2.0 * 255.0 / 219.0;
    for between in [0, 1, 2] {
        let source = made(
            &format!("ahead-{between}.avi"),
            &format!("{numbers} {} -c:v mpeg4 -bf {between} {coded}", sound(4)),
        );
        // Without pictures that look ahead, that writer leaves the second place empty.
        let late = |frame: i64| if between == 0 && frame > 0 { frame + 1 } else { frame };
        let copied = "video = 'copy'; audio = { codec = 'aac' }";
        for (how, first, count) in [
            ("video = { crf = 1, preset = 'ultrafast' }", 0, 100),
            ("video = { crf = 1, preset = 'ultrafast' }; start = '2s'", 50, 50),
            (copied, 0, 100),
        ] {
            let trial = tried(&source, &format!("kind = 'transcode'; container = 'mp4'; {how}"));
            if how == copied && between > 0 {
                // What is shown before it comes cannot be told to players.
                assert!(
                    !trial.good && trial.said.contains("cannot be copied: encode them"),
                    "{}",
                    trial.said
                );
                continue;
            }
            let file = trial.file();
            assert_eq!(complaints(&file), "", "{between} {how}");
            let found = pictures(&file);
            let first = if between == 0 && first > 0 { first - 1 } else { first };
            assert!(found.len().abs_diff(count) <= 1, "{between} {how}: {}", found.len());
            assert!(first > 0 || found.len() == count);
            for (frame, (brightness, time)) in (first..).zip(found) {
                let due = 4 * (late(frame) - late(first));
                assert!(
                    (brightness - bright(frame)).abs() < 4.0,
                    "{between} {how}: {frame} is {brightness}"
                );
                assert!((time - due).abs() <= 4, "{between} {how}: {frame} comes at {time}");
            }
        }
        let stills = tried(&source, "kind = 'snapshot'; at = ['1s', '2s', '3.2s']; format = 'png'");
        let shown: Vec<_> = stills.files().iter().map(|file| pictures(file)[0].0).collect();
        for (brightness, place) in shown.into_iter().zip([25, 50, 80]) {
            let frame = if between == 0 { place - 1 } else { place };
            assert!(
                (brightness - bright(frame)).abs() < 2.0,
                "{between}: {brightness} at {place}"
            );
        }
    }
}

#[test]
fn a_still_far_inside_an_avi_is_of_its_point() {
    let numbers = "-f lavfi -i color=c=black:size=64x36:rate=25:duration=14,geq=lum='16+mod(N,100)*2':cb=128:cr=128";
    let source = made("far.avi", &format!("{numbers} -c:v mpeg4 -bf 2 -g 12 -q:v 1"));
    // Each alone, so that it is reached by a jump; the last ones come late in their group.
    for (point, frame) in [("5.32s", 133), ("10s", 250), ("12.48s", 312), ("12.52s", 313)] {
        let still = tried(&source, &format!("kind = 'snapshot'; at = ['{point}']; format = 'png'"));
        let (brightness, _) = pictures(&still.file())[0];
        let due = f64::from(frame % 100) * 2.0 * 255.0 / 219.0;
        assert!((brightness - due).abs() < 2.0, "{point}: {brightness}, not {due}");
    }
}

#[test]
fn a_film_in_avi_that_stands_still_at_times_shows_each_picture_when_it_is_due() {
    // Pictures in which nothing changes take few bytes.
    let steps = "-f lavfi -i color=c=black:size=96x64:rate=25:duration=4,geq=lum='16+trunc(N/20)*40':cb=128:cr=128";
    let source = made("still.avi", &format!("{steps} -c:v mpeg4 -bf 2 -g 250 -q:v 2"));
    let trial = tried(
        &source,
        "kind = 'transcode'; container = 'mp4'; video = { crf = 1, preset = 'ultrafast' }",
    );
    let file = trial.file();
    assert_eq!(complaints(&file), "");
    let found = pictures(&file);
    assert_eq!(found.len(), 100);
    for (frame, (brightness, time)) in (0..).zip(found) {
        let due = f64::from(frame / 20 * 40) * 255.0 / 219.0;
        assert!((brightness - due).abs() < 6.0, "{frame} is {brightness}");
        assert_eq!(time, i64::from(frame) * 4, "{frame} comes at {time}");
    }
}

#[test]
fn a_copy_from_an_avi_begins_at_the_key_frame_before_its_start() {
    for coded in ["mjpeg", "mpeg4 -g 1"] {
        let source = made("keys.avi", &format!("{} -c:v {coded} -q:v 4", film(4)));
        let trial = tried(
            &source,
            "kind = 'transcode'; container = 'mkv'; video = 'copy'; start = '2s'",
        );
        let file = trial.file();
        assert_eq!(complaints(&file), "");
        let found = pictures(&file).len();
        assert!((50..=51).contains(&found), "{coded}: {found}");
    }
}

/// The length of every media playlist of a package, by name, in seconds.
fn playlists(trial: &Trial) -> Vec<(String, f64)> {
    let files = trial.files().into_iter();
    let lists = files.filter(|file| file.extension().is_some_and(|ending| ending == "m3u8"));
    let lists = lists.filter_map(|file| {
        let text = std::fs::read_to_string(&file).unwrap();
        let lengths = text.lines().filter_map(|line| line.strip_prefix("#EXTINF:"));
        let length: f64 = lengths
            .map(|one| one.trim_end_matches(',').parse::<f64>().unwrap())
            .sum();
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        (length > 0.0 && !name.contains("iframes")).then_some((name, length))
    });
    lists.collect()
}

#[test]
fn a_sound_that_ends_before_its_film_goes_on_in_silence_in_a_package() {
    let short = made("short.mkv", &format!("{} {} {CODED}", film(8), sound(3)));
    let late = made(
        "late-package.mkv",
        &format!("{} -itsoffset 5 {} {CODED}", film(8), sound(3)),
    );
    // A last bit of sound that is no segment of its own.
    let longer = made(
        "longer.mkv",
        &format!("{} -f lavfi -i sine=duration=8.02:sample_rate=48000 {CODED}", film(8)),
    );
    let nothing = "nothing is heard of the sound of stream 1: it is silent here";
    for segments in ["cmaf", "ts"] {
        for (source, part, length, told) in [
            (&short, "", 8.0, None),
            (&short, "start = '4s'", 4.0, Some(nothing)),
            (&late, "end = '3s'", 3.0, Some(nothing)),
            (&longer, "", 8.0, None),
        ] {
            let what = format!("{segments} {} {part}", source.display());
            let trial = tried(
                source,
                &format!("kind = 'adaptive'; packages = ['hls']; segments = '{segments}'; segment = '2s'; {part}"),
            );
            assert!(trial.good, "{what}: {}", trial.said);
            let lists = playlists(&trial);
            assert_eq!(lists.len(), 2, "{what}: {lists:?}");
            for (name, found) in &lists {
                assert!((found - length).abs() < 0.06, "{what}: {name} is {found} long");
            }
            assert!((lists[0].1 - lists[1].1).abs() < 0.05, "{what}: {lists:?}");
            let master = trial
                .files()
                .into_iter()
                .find(|file| file.ends_with("master.m3u8"))
                .unwrap();
            assert_eq!(complaints(&master), "", "{what}");
            assert!(
                told.is_none_or(|told| findings(&trial).contains(&told.to_owned())),
                "{what}"
            );
        }
    }
}

#[test]
fn a_copy_that_starts_at_a_key_frame_has_all_of_its_pictures() {
    let sound = sound(12);
    // Its sound is cut a little before that key frame.
    let source = made(
        "keys.mp4",
        &format!(
            "{sound} {} -map 1 -map 0 -c:v libx264 -preset veryfast -g 50 -bf 2 -pix_fmt yuv420p -c:a aac",
            film(12)
        ),
    );
    for container in ["mp4", "mkv"] {
        for start in [2_u32, 4] {
            let trial = tried(
                &source,
                &format!("kind = 'transcode'; container = '{container}'; video = 'copy'; start = '{start}s'"),
            );
            let file = trial.file();
            assert_eq!(
                streams(&file)[0],
                format!("h264 {}", (12 - start) * 25),
                "{container} {start}"
            );
            assert_eq!(complaints(&file), "", "{container} {start}");
        }
    }
}

#[test]
fn a_film_in_mp4_that_is_far_shorter_than_its_sound_is_a_film() {
    let source = made("short-film.mp4", &format!("{} {} {CODED}", film(2), sound(20)));
    for how in ["height = 90", "video = 'copy'; audio = 'copy'"] {
        let trial = tried(&source, &format!("kind = 'transcode'; container = 'mp4'; {how}"));
        let file = trial.file();
        assert_eq!(complaints(&file), "", "{how}");
        assert_eq!(streams(&file), ["h264 50", "aac"], "{how}");
        assert_eq!(spans(&file), ["h264 0+4", "aac 0+40"], "{how}");
    }
    let still = tried(&source, "kind = 'snapshot'; at = ['1s']; format = 'png'");
    assert!(still.good, "{}", still.said);
}

#[test]
fn stills_of_a_film_that_breaks_off_are_made_as_far_as_it_goes() {
    let whole = made("whole.mkv", &format!("{} {} {CODED}", film(20), sound(20)));
    let bytes = std::fs::read(whole).unwrap();
    let cut = |part: usize| {
        let file = folder().join(format!("cut-{part}.mkv"));
        std::fs::write(&file, &bytes[..bytes.len() * part / 100]).unwrap();
        file
    };
    let some = tried(&cut(45), "kind = 'snapshot'; count = 5");
    assert!(some.good, "{}", some.said);
    assert!((1..5).contains(&some.files().len()), "{:?}", some.files());
    assert!(
        findings(&some)
            .iter()
            .any(|told| told.starts_with("the source's video ends after"))
    );
    let none = tried(&cut(10), "kind = 'snapshot'; count = 3");
    assert!(!none.good);
    assert!(none.said.contains("before the first wanted point at"), "{}", none.said);
}
