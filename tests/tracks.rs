//! Sounds, subtitles and chapters of a transcode, by the real binary on real media, judged by ffmpeg: which there are, what they
//! are called, when they are heard and seen, and that no stream holds up another.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod harness;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use harness::tool;
use harness::trial::{Trial, complaints, medium, probed};
use serde_json::Value;

const LINES: &str = "1\n00:00:01,000 --> 00:00:02,500\n<i>Hello</i> & \"you\"\n\n\
                     2\n00:00:05,000 --> 00:00:07,000\nTwo\nlines\n\n\
                     3\n00:00:10,500 --> 00:00:11,500\nThe end\n\n";
const CHAPTERS: &str = ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=6000\ntitle=One\n\
                        [CHAPTER]\nTIMEBASE=1/1000\nSTART=6000\nEND=12000\ntitle=Two\n";

/// Media of twelve seconds that are made once for all tests here.
fn folder() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("tracks-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("a.srt"), LINES).unwrap();
        std::fs::write(folder.join("chapters"), CHAPTERS).unwrap();
        let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
        let run = |text: &str| {
            let words: Vec<String> = text
                .split_whitespace()
                .map(|word| word.strip_prefix('@').map_or_else(|| word.to_owned(), path))
                .collect();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            tool("ffmpeg", &[&["-nostdin", "-v", "error", "-y"], &words[..]].concat());
        };
        let film = "-f lavfi -i testsrc2=size=320x180:rate=25:duration=12";
        let sound = |pitch: u32, from: u32, long: u32| {
            format!("-itsoffset {from} -f lavfi -i sine=frequency={pitch}:sample_rate=48000:duration={long}")
        };
        let coded = "-c:v libx264 -preset ultrafast -g 25 -pix_fmt yuv420p -c:a pcm_s16le";
        let named = "-metadata:s:a:0 language=deu -metadata:s:a:0 title=Deutsch -metadata:s:a:1 language=eng -metadata:s:a:2 language=fra";
        let (one, two, three) = (sound(440, 0, 12), sound(880, 0, 12), sound(1320, 0, 12));
        run(&format!(
            "{film} {one} {two} {three} -i @a.srt -i @a.srt -i @chapters -map 0 -map 1 -map 2 -map 3 -map 4 -map 5 \
             -map_chapters 6 {coded} -c:s:0 srt -c:s:1 ass {named} -metadata:s:s:0 language=eng -metadata:s:s:1 language=ger \
             -disposition:a:0 0 -disposition:a:1 default -disposition:a:2 0 -disposition:s 0 @three.mkv"
        ));
        run(&format!("-i @three.mkv -map 0 -map_chapters -1 -c:v copy -c:a aac -c:s mov_text {named} @three.mp4"));
        let (late, short) = (sound(880, 5, 7), sound(1320, 0, 2));
        run(&format!(
            "{film} {one} {late} {short} -map 0 -map 1 -map 2 -map 3 {coded} {named} @ragged.mkv"
        ));
        folder
    })
}

fn source(name: &str) -> PathBuf {
    folder().join(name)
}

fn tried(source: &Path, settings: &str) -> Trial {
    Trial::of(
        source,
        &format!("[task.t]\nkind = \"transcode\"\n{}\n", settings.replace("; ", "\n")),
    )
}

/// Sorts and languages of the streams of a file, with a star where nobody has to choose: `aac deu*`.
fn streams(file: &Path) -> Vec<String> {
    let all = probed(file);
    let told = all["streams"].as_array().unwrap().iter().map(|stream| {
        let codec = stream["codec_name"].as_str().unwrap();
        let language = stream["tags"]["language"].as_str().unwrap_or("-");
        let default = if stream["disposition"]["default"] == 1 { "*" } else { "" };
        format!("{codec} {language}{default}")
    });
    told.collect()
}

/// How long a stream of sound is heard, from its first packet to its last.
fn heard(file: &Path, number: usize) -> (f64, f64) {
    let stream = format!("a:{number}");
    let told = tool(
        "ffprobe",
        &[
            "-v",
            "error",
            "-select_streams",
            &stream,
            "-show_entries",
            "packet=pts_time",
            "-of",
            "csv=p=0",
            file.to_str().unwrap(),
        ],
    );
    let times: Vec<f64> = told
        .lines()
        .filter_map(|line| line.trim_end_matches(',').parse().ok())
        .collect();
    (times[0], times[times.len() - 1])
}

/// The loudest pitch of a stream of sound over a second in the middle: of several, by the energy that is left of each.
fn pitch(file: &Path, number: usize) -> u32 {
    let energy = |pitch: u32| {
        let chain = format!("[0:a:{number}]atrim=1:2,bandpass=f={pitch}:width_type=h:w=50,volumedetect[o]");
        #[allow(clippy::disallowed_methods, reason = "a test runs programs")]
        let ran = Command::new("ffmpeg")
            .args(["-nostdin", "-v", "info", "-i"])
            .arg(file)
            .args(["-filter_complex", &chain, "-map", "[o]", "-f", "null", "-"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        let mean = said.split("mean_volume: ").nth(1).unwrap();
        mean.split(' ').next().unwrap().parse::<f64>().unwrap()
    };
    [440, 880, 1320]
        .into_iter()
        .max_by(|a, b| energy(*a).total_cmp(&energy(*b)))
        .unwrap()
}

/// Subtitles as ffmpeg reads them: from when to when, in tenths of a second, and what they say.
fn lines(file: &Path, number: usize) -> Vec<String> {
    let map = format!("0:s:{number}");
    let text = tool(
        "ffmpeg",
        &[
            "-nostdin",
            "-v",
            "warning",
            "-i",
            file.to_str().unwrap(),
            "-map",
            &map,
            "-f",
            "srt",
            "-",
        ],
    );
    let seconds = |clock: &str| {
        let parts: Vec<f64> = clock
            .replace(',', ".")
            .split(':')
            .map(|part| part.parse().unwrap())
            .collect();
        parts[0] * 3600.0 + parts[1] * 60.0 + parts[2]
    };
    let told = text
        .split("\n\n")
        .filter(|block| !block.trim().is_empty())
        .map(|block| {
            let mut rest = block.trim().lines().skip(1);
            let (from, to) = rest.next().unwrap().split_once(" --> ").unwrap();
            let said: Vec<&str> = rest.collect();
            let said = said.join("/");
            let bare = said.strip_prefix("<font").and_then(|said| said.split_once('>'));
            let plain = bare.map_or(said.as_str(), |(_, said)| said.trim_end_matches("</font>"));
            format!("{:.1}-{:.1} {plain}", seconds(from), seconds(to))
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
fn sounds_keep_their_order_their_languages_and_which_of_them_is_played() {
    for (container, expected) in [
        ("mkv", ["h264 -*", "aac ger", "aac eng*", "aac fre"]),
        ("mp4", ["h264 und*", "aac deu", "aac eng*", "aac fra"]),
        ("mov", ["h264 und*", "aac deu", "aac eng*", "aac fra"]),
        ("webm", ["vp9 -*", "opus ger", "opus eng*", "opus fre"]),
        ("ts", ["h264 -", "aac ger", "aac eng", "aac fre"]),
    ] {
        let made = tried(
            &source("three.mkv"),
            &format!(
                "container = '{container}'; audio_tracks = 'all'; height = 90; video = {{ preset = 'ultrafast' }}"
            ),
        );
        let file = made.file();
        assert_eq!(streams(&file), expected, "{container}");
        assert_eq!(complaints(&file), "", "{container}");
        for (number, expected) in [440, 880, 1320].into_iter().enumerate() {
            assert_eq!(pitch(&file, number), expected, "{container}");
            let (from, to) = heard(&file, number);
            assert!((to - from - 12.0).abs() < 0.1, "{container}: {from} to {to}");
        }
    }
}

#[test]
fn a_list_says_which_sounds_and_in_which_order() {
    let made = tried(
        &source("three.mkv"),
        "container = 'mkv'; audio_tracks = ['fr', 1, 'ja']; video = 'none'; audio = { codec = 'copy', language = 'it' }",
    );
    assert_eq!(streams(&made.file()), ["pcm_s16le ita*", "pcm_s16le ger"]);
    assert_eq!(pitch(&made.file(), 0), 1320);
    assert_eq!(
        findings(&made),
        ["the source has no sound in ja, so it is not in the result"]
    );
    // One of them, where there is room for one.
    let one = tried(
        &source("three.mkv"),
        "container = 'flv'; audio_tracks = [2]; height = 90; audio = { codec = 'mp3' }",
    );
    assert_eq!(streams(&one.file()), ["h264 -", "mp3 -"]);
    assert_eq!(pitch(&one.file(), 0), 880);
    assert_eq!(complaints(&one.file()), "");
    let none = tried(&source("three.mkv"), "audio_tracks = ['ja']");
    assert!(
        !none.good
            && none
                .said
                .contains("the medium has no sound in ja: it has 3 (de, en, fr)"),
        "{}",
        none.said
    );
    let mxf = tried(
        &source("three.mkv"),
        "container = 'mxf'; audio_tracks = 2; video = { codec = 'mpeg2' }; height = 90",
    );
    assert_eq!(streams(&mxf.file()).len(), 3, "{}", mxf.said);
    assert_eq!((pitch(&mxf.file(), 0), pitch(&mxf.file(), 1)), (440, 880));
}

#[test]
fn a_sound_that_begins_late_or_ends_early_stays_so() {
    for container in ["mkv", "mp4"] {
        for audio in ["{}", "'copy'"] {
            let container = if audio == "'copy'" { "mkv" } else { container };
            let made = tried(
                &source("ragged.mkv"),
                &format!("container = '{container}'; audio_tracks = 'all'; height = 90; audio = {audio}"),
            );
            let file = made.file();
            assert_eq!(complaints(&file), "");
            for (number, (from, to)) in [(0.0, 12.0), (5.0, 12.0), (0.0, 2.0)].into_iter().enumerate() {
                let (first, last) = heard(&file, number);
                assert!(
                    (first - from).abs() < 0.05 && (last - to).abs() < 0.1,
                    "{container} {number}: {first} to {last}"
                );
            }
        }
    }
}

#[test]
fn subtitles_are_carried_in_the_form_of_the_container() {
    let marked = [
        "1.0-2.5 <i>Hello</i> & \"you\"",
        "5.0-7.0 Two/lines",
        "10.5-11.5 The end",
    ];
    let plain = ["1.0-2.5 Hello & \"you\"", "5.0-7.0 Two/lines", "10.5-11.5 The end"];
    for (container, forms, first, second) in [
        ("mkv", ["subrip eng", "ass ger"], marked, marked),
        ("mp4", ["mov_text eng", "mov_text deu"], plain, plain),
        ("mov", ["mov_text eng", "mov_text deu"], plain, plain),
        ("webm", ["webvtt eng", "webvtt ger"], marked, plain),
    ] {
        let made = tried(
            &source("three.mkv"),
            &format!("container = '{container}'; subtitles = 'all'; height = 90; video = {{ preset = 'ultrafast' }}"),
        );
        let file = made.file();
        assert_eq!(streams(&file)[2..], forms, "{container}");
        assert_eq!(
            (lines(&file, 0), lines(&file, 1)),
            (first.map(String::from).to_vec(), second.map(String::from).to_vec())
        );
        assert_eq!(complaints(&file), "", "{container}");
    }
    let back = tried(
        &source("three.mp4"),
        "container = 'mkv'; subtitles = ['de', 'zh']; video = 'copy'; audio = 'copy'",
    );
    assert_eq!(streams(&back.file())[2..], ["subrip ger"]);
    assert_eq!(lines(&back.file(), 0), plain);
    assert_eq!(
        findings(&back),
        [
            "2 further audio tracks of the source are not in the result",
            "the source has no subtitles in zh, so it is not in the result"
        ]
    );
}

#[test]
fn a_part_takes_its_subtitles_and_chapters_with_it() {
    let made = tried(
        &source("three.mkv"),
        "container = 'mkv'; subtitles = [1]; start = '6s'; end = '11s'; height = 90; audio = { codec = 'pcm' }",
    );
    assert_eq!(lines(&made.file(), 0), ["0.0-1.0 Two/lines", "4.5-5.0 The end"]);
    let told = tool(
        "ffprobe",
        &[
            "-v",
            "error",
            "-show_chapters",
            "-of",
            "json",
            made.file().to_str().unwrap(),
        ],
    );
    let chapters: Value = serde_json::from_str(&told).unwrap();
    let chapters: Vec<_> = chapters["chapters"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| format!("{} {} {}", one["start_time"], one["end_time"], one["tags"]["title"]))
        .collect();
    assert_eq!(chapters, ["\"0.000000\" \"5.000000\" \"Two\""]);
    // What it cannot hold is told.
    let other = tried(
        &source("three.mkv"),
        "subtitles = true; start = '8s'; end = '10s'; height = 90",
    );
    let told = findings(&other).join("; ");
    assert!(told.contains("2 subtitle tracks have nothing in them"), "{told}");
}

#[test]
fn a_line_that_is_seen_when_the_part_ends_is_there_up_to_that() {
    let folder = folder();
    let line = |number: u32, from: &str, to: &str| format!("{number}\n00:00:{from} --> 00:00:{to}\nline {number}\n\n");
    let lines_of = [
        line(1, "01,000", "02,000"),
        line(2, "09,200", "09,900"),
        line(3, "10,050", "11,500"),
    ];
    std::fs::write(folder.join("end.srt"), lines_of.concat()).unwrap();
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let made = path("end.mkv");
    let (film, text) = (path("three.mkv"), path("end.srt"));
    let words = format!("-nostdin -v error -y -i {film} -i {text} -map 0:v -map 0:a:0 -map 1 -c copy {made}");
    tool("ffmpeg", &words.split(' ').collect::<Vec<_>>());
    for (container, end, last) in [
        ("mp4", "10s", "9.2-9.9"),
        ("mov", "9.5s", "9.2-9.5"),
        ("mkv", "10s", "9.2-9.9"),
    ] {
        let made = tried(
            &source("end.mkv"),
            &format!("container = '{container}'; subtitles = 'all'; end = '{end}'; height = 90"),
        );
        let expected = ["1.0-2.0 line 1".to_owned(), format!("{last} line 2")];
        assert_eq!(lines(&made.file(), 0), expected, "{container}");
    }
}

#[test]
fn a_sound_with_nothing_in_the_part_costs_no_task() {
    for container in ["mkv", "webm"] {
        for (part, missing, left) in [("start = '6s'", 3, [440, 880]), ("end = '4s'", 2, [440, 1320])] {
            let made = tried(
                &source("ragged.mkv"),
                &format!("container = '{container}'; audio_tracks = 'all'; height = 90; {part}"),
            );
            let file = made.file();
            let found: Vec<_> = streams(&file).into_iter().skip(1).collect();
            assert!(found.len() >= 2, "{container} {part}: {found:?}");
            let told = findings(&made);
            let whole = format!("nothing of the sound of stream {missing} is in the wanted part");
            let planned = format!("audio track {missing} of the source is not in the result");
            assert!(
                told.len() == 1 && (told[0] == whole || told[0].starts_with(&planned)),
                "{container} {part}: {told:?}"
            );
            assert_eq!(complaints(&file), "", "{container} {part}");
            if found.len() == 2 {
                assert_eq!(pitch(&file, 0), left[0], "{container} {part}");
            }
        }
    }
}

#[test]
fn styles_are_kept_however_many_there_are() {
    let folder = folder();
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let run = |words: &str| {
        tool("ffmpeg", &words.split(' ').collect::<Vec<_>>());
    };
    run(&format!(
        "-nostdin -v error -y -i {} {}",
        path("a.srt"),
        path("plain.ass")
    ));
    let plain = std::fs::read_to_string(folder.join("plain.ass")).unwrap();
    let style = plain.lines().find(|line| line.starts_with("Style:")).unwrap();
    let more: Vec<_> = (0..60)
        .map(|number| style.replace("Default", &format!("Style{number}")))
        .collect();
    std::fs::write(
        folder.join("large.ass"),
        plain.replace(style, &format!("{style}\n{}", more.join("\n"))),
    )
    .unwrap();
    run(&format!(
        "-nostdin -v error -y -i {} -i {} -i {} -map 0:v -map 0:a:0 -map 1 -map 2 -c copy {}",
        path("three.mkv"),
        path("plain.ass"),
        path("large.ass"),
        path("large.mkv")
    ));
    let made = tried(
        &source("large.mkv"),
        "container = 'mkv'; subtitles = 'all'; video = 'copy'; audio = 'copy'",
    );
    let file = made.file();
    assert_eq!(streams(&file)[2..], ["ass -*", "ass -"]);
    for number in 0..2 {
        let map = format!("0:s:{number}");
        let written = |file: &str| {
            tool(
                "ffmpeg",
                &["-nostdin", "-v", "warning", "-i", file, "-map", &map, "-f", "ass", "-"],
            )
        };
        let kept = written(file.to_str().unwrap());
        assert_eq!(kept, written(&path("large.mkv")));
        assert_eq!(kept.matches("Style: ").count(), [1, 61][number]);
    }
    assert!(findings(&made).is_empty());
    assert_eq!(complaints(&file), "");
}

/// Two pictures as Blu-rays have them: a bar in white from one second to three, and one in grey from five to six and a half.
fn pictures() -> Vec<u8> {
    let mut out = Vec::new();
    let mut part = |at: u32, sort: u8, content: &[u8]| {
        out.extend(b"PG");
        out.extend([(at * 90).to_be_bytes(), [0; 4]].concat());
        out.push(sort);
        out.extend(u16::try_from(content.len()).unwrap().to_be_bytes());
        out.extend(content);
    };
    let both = |a: u16, b: u16| [a.to_be_bytes(), b.to_be_bytes()].concat();
    let screen =
        |number: u8, begins: u8, shown: u8| [&both(320, 180)[..], &[0x10, 0, number, begins, 0, 0, shown]].concat();
    let window = [&[1, 0][..], &both(60, 140), &both(200, 20)].concat();
    let colours = [0, 0, 1, 235, 128, 128, 255, 2, 126, 128, 128, 255];
    for (number, from, to) in [(0, 1000, 3000), (1, 5000, 6500)] {
        // So many pixels of a colour in a row, and the end of the row.
        let row = [0, 0xc0, 200, number + 1, 0, 0].repeat(20);
        let picture = [&[0, 0, 0, 0xc0, 0, 0, 124][..], &both(200, 20), &row].concat();
        let place = [&[0, 0, 0, 0][..], &both(60, 140)].concat();
        part(from, 0x16, &[screen(2 * number, 0x80, 1), place].concat());
        part(from, 0x17, &window);
        part(from, 0x14, &colours);
        part(from, 0x15, &picture);
        part(from, 0x80, &[]);
        part(to, 0x16, &screen(2 * number + 1, 0, 0));
        part(to, 0x17, &window);
        part(to, 0x80, &[]);
    }
    out
}

#[test]
fn subtitles_that_are_pictures_stay_what_they_are() {
    let folder = folder();
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    std::fs::write(folder.join("a.sup"), pictures()).unwrap();
    let line = format!(
        "-nostdin -v error -y -i {} -itsoffset 1 -i {} -map 0:v -map 0:a:0 -map 1 -map 1 -c copy -c:s:1 dvdsub \
         -metadata:s:s:0 language=ger -t 12 {}",
        path("three.mkv"),
        path("a.sup"),
        path("pictures.mkv")
    );
    tool("ffmpeg", &line.split_whitespace().collect::<Vec<_>>());
    // How bright the bar is, by the pictures of one track.
    let bright = |file: &Path, number: usize, at: &str| {
        let film = format!(
            "[0:v]drawbox=c=black:t=fill,scale=320:180[f];[f][0:s:{number}]overlay,crop=100:10:100:145,format=gray"
        );
        let line = [
            "-nostdin",
            "-v",
            "error",
            "-i",
            file.to_str().unwrap(),
            "-filter_complex",
            &film,
            "-ss",
            at,
        ];
        let line = [&line[..], &["-frames:v", "1", "-f", "rawvideo", "-"]].concat();
        #[allow(clippy::disallowed_methods, reason = "a test runs programs")]
        let ran = Command::new("ffmpeg").args(line).output().unwrap();
        assert!(!ran.stdout.is_empty(), "{}", String::from_utf8_lossy(&ran.stderr));
        ran.stdout.iter().map(|value| u32::from(*value)).sum::<u32>() / u32::try_from(ran.stdout.len()).unwrap()
    };
    let source = source("pictures.mkv");
    for settings in ["height = 180", "video = 'copy'; audio = 'copy'"] {
        let made = tried(&source, &format!("container = 'mkv'; subtitles = 'all'; {settings}"));
        let file = made.file();
        assert_eq!(
            streams(&file)[2..],
            ["hdmv_pgs_subtitle ger*", "dvd_subtitle -"],
            "{settings}"
        );
        assert!(findings(&made).is_empty(), "{}", made.said);
        assert_eq!(complaints(&file), "", "{settings}");
        let length: f64 = probed(&file)["format"]["duration"].as_str().unwrap().parse().unwrap();
        assert!((length - 12.0).abs() < 0.1, "{length}");
        for number in 0..2 {
            for at in ["2", "4"] {
                let (was, is) = (bright(&source, number, at), bright(&file, number, at));
                assert!(was.abs_diff(is) < 4, "{settings} {number} at {at}: {was} {is}");
            }
        }
    }
    assert!(bright(&source, 0, "2") > 200 && bright(&source, 0, "4") < 20);
    // What is still seen at the end of the part is not seen over what comes after it.
    let tail = folder.join("tail.mp4");
    let line =
        "-nostdin -v error -y -f lavfi -i color=blue:size=320x180:rate=25:duration=2 -f lavfi -i sine=300:duration=2";
    let place = tail.to_str().unwrap();
    tool(
        "ffmpeg",
        &[&line.split(' ').collect::<Vec<_>>()[..], &["-c:v", "libx264", place]].concat(),
    );
    let task =
        "[task.t]\nkind = 'transcode'\ncontainer = 'mkv'\nsubtitles = [1]\nheight = 180\nend = '3s'\ntail = 'tail.mp4'";
    let made = Trial::beside(&source, task, &[&tail]);
    let joined = made.file();
    let told = (bright(&joined, 0, "2.5"), bright(&joined, 0, "4"));
    assert!(told.0 > 200 && told.1 < 20, "{told:?}");
    assert_eq!(complaints(&joined), "");
    let other = tried(&source, "subtitles = 'all'; height = 90");
    assert_eq!(
        findings(&other)[0],
        "subtitle track 1 (PGS subtitles) of the source is not in the result: it is nothing that mp4 could hold"
    );
}

#[test]
fn every_sound_comes_to_its_own_loudness() {
    let folder = folder();
    let quiet = folder.join("levels.mkv");
    tool(
        "ffmpeg",
        &[
            "-nostdin",
            "-v",
            "error",
            "-y",
            "-f",
            "lavfi",
            "-i",
            "anoisesrc=d=8:c=pink:a=0.5",
            "-f",
            "lavfi",
            "-i",
            "anoisesrc=d=8:c=pink:a=0.02:seed=3",
            "-f",
            "lavfi",
            "-i",
            "anullsrc=d=8",
            "-map",
            "0",
            "-map",
            "1",
            "-map",
            "2",
            "-t",
            "8",
            "-c:a",
            "pcm_s16le",
            quiet.to_str().unwrap(),
        ],
    );
    let made = tried(
        &quiet,
        "container = 'mkv'; audio_tracks = 'all'; video = 'none'; audio = { codec = 'flac', loudness = '-20 LUFS' }",
    );
    let file = made.file();
    for number in 0..2 {
        #[allow(clippy::disallowed_methods, reason = "a test runs programs")]
        let ran = Command::new("ffmpeg")
            .args(["-nostdin", "-i"])
            .arg(&file)
            .args(["-map", &format!("0:a:{number}"), "-af", "ebur128", "-f", "null", "-"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        let level = said.split("I:").last().unwrap().split_whitespace().next().unwrap();
        let level: f64 = level.parse().unwrap();
        assert!((level + 20.0).abs() < 0.5, "{number}: {level}");
    }
    assert_eq!(
        findings(&made),
        ["the sound of stream 2 keeps its level: it is silent, or too short to be measured"]
    );
}

#[test]
fn many_tracks_of_several_tasks_do_not_wait_for_each_other() {
    let task = |name: &str, settings: &str| format!("[task.{name}]\nkind = \"transcode\"\n{settings}\n");
    let tasks = [
        task(
            "a",
            "container = \"mp4\"\naudio_tracks = \"all\"\nsubtitles = \"all\"\nheight = 90",
        ),
        task(
            "b",
            "container = \"mkv\"\naudio_tracks = [2, 1]\nsubtitles = \"all\"\nheight = 120\naudio = { loudness = -20 }",
        ),
        "[task.c]\nkind = \"snapshot\"\nevery = \"2s\"\nheight = 90\n".to_owned(),
        task(
            "d",
            "container = \"mkv\"\naudio_tracks = \"all\"\nvideo = \"copy\"\naudio = \"copy\"\nsubtitles = \"all\"",
        ),
    ];
    let made = Trial::of(&source("three.mkv"), &tasks.concat());
    assert!(made.good, "{}", made.said);
    let count = |name: &str| streams(&made.out().join(name)).len();
    assert_eq!(
        (count("three_a.mp4"), count("three_b.mkv"), count("three_d.mkv")),
        (6, 5, 6)
    );
}

#[test]
fn a_film_far_larger_than_what_is_kept_of_it_does_not_wait_for_its_next_line() {
    let folder = folder();
    std::fs::write(
        folder.join("sparse.srt"),
        "1\n00:00:01,000 --> 00:00:02,000\nfirst\n\n2\n00:00:39,000 --> 00:00:40,000\nlast\n\n",
    )
    .unwrap();
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    // More than 128 MiB between two lines.
    tool(
        "ffmpeg",
        &[
            "-nostdin",
            "-v",
            "error",
            "-y",
            "-f",
            "lavfi",
            "-i",
            "nullsrc=size=640x360:rate=15:duration=40,format=yuv420p,noise=alls=90:allf=t",
            "-i",
            &path("sparse.srt"),
            "-c:v",
            "mjpeg",
            "-q:v",
            "2",
            "-c:s",
            "mov_text",
            &path("sparse.mp4"),
        ],
    );
    let size = std::fs::metadata(folder.join("sparse.mp4")).unwrap().len();
    let made = tried(
        &source("sparse.mp4"),
        "subtitles = 'all'; height = 36; video = { preset = 'ultrafast' }",
    );
    assert_eq!(lines(&made.file(), 0), ["1.0-2.0 first", "39.0-40.0 last"], "{size}");
}

#[test]
fn a_medium_without_subtitles_or_further_sounds_is_taken_as_it_is() {
    let made = tried(
        &medium("plain.mp4"),
        "subtitles = 'all'; audio_tracks = 'all'; height = 90",
    );
    assert_eq!(streams(&made.file()).len(), 2);
    assert_eq!(findings(&made), Vec::<String>::new());
}
