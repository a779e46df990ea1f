//! Clips before and after a film, by the real binary with its jail closed. Each frame of each part says its number in black and
//! white; a flash and a beep fall on the same instant of each.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod harness;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use harness::tool;
use harness::trial::{Trial, complaints, probed};

/// Bits of a frame's number, from left to right.
const BITS: usize = 7;

/// Width and height of results.
const FRAME: (usize, usize) = (640, 360);

/// Samples a second.
const RATE: usize = 48_000;

/// A medium of its own: `NAME.mp4` in a folder that is made once.
fn medium(name: &str) -> PathBuf {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let make = |name: &str, color: &str, size: &str, rate: &str, length: &str| {
            made(&folder.path().join(name), color, size, rate, length);
        };
        make("film.mp4", "blue", "640x360", "25", "2");
        make("intro.mp4", "red", "480x360", "24", "1.5");
        make("outro.mp4", "green", "320x180", "30000/1001", "1.001");
        for (from, to, without) in [
            ("film.mp4", "mute.mp4", "-an"),
            ("intro.mp4", "mute-intro.mp4", "-an"),
            ("intro.mp4", "song.m4a", "-vn"),
        ] {
            let place = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
            let line = [
                "-nostdin",
                "-v",
                "error",
                "-i",
                &place(from),
                without,
                "-c",
                "copy",
                &place(to),
            ];
            tool("ffmpeg", &line);
        }
        folder
    });
    folder.path().join(name)
}

fn made(to: &Path, color: &str, size: &str, rate: &str, length: &str) {
    let bits = (0..BITS).map(|bit| {
        format!(
            "drawbox=x=iw*{bit}/16:y=0:w=iw/16:h=ih/8:color=white:t=fill:enable='gte(mod(n/{},2),1)'",
            1 << bit
        )
    });
    let flash = "drawbox=x=0:y=ih*3/4:w=iw:h=ih/4:color=white:t=fill:enable='between(t,0.49,0.57)'".to_owned();
    let drawn: Vec<String> = bits.chain([flash]).collect();
    let pictures = format!("color=c={color}:s={size}:r={rate}:d={length},{}", drawn.join(","));
    let sound = format!("aevalsrc='0.5*sin(2*PI*1000*t)*between(t,0.5,0.58)':s=48000:c=stereo:d={length}");
    let coded = "-c:v libx264 -preset ultrafast -qp 10 -pix_fmt yuv420p -c:a aac";
    let mut line = vec![
        "-nostdin", "-v", "error", "-f", "lavfi", "-i", &pictures, "-f", "lavfi", "-i", &sound,
    ];
    line.extend(coded.split(' '));
    line.push(to.to_str().unwrap());
    tool("ffmpeg", &line);
}

/// A frame of a result.
#[derive(Debug, PartialEq, Clone, Copy)]
struct Frame {
    /// `r`, `g` or `b`, as the part that it is of.
    part: char,
    number: usize,
    flash: bool,
}

/// Every frame of a result.
#[allow(clippy::disallowed_methods, reason = "a test runs programs")]
fn frames(file: &Path) -> Vec<Frame> {
    let decoded = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-i"])
        .arg(file)
        .args("-fps_mode passthrough -f rawvideo -pix_fmt rgb24 -".split(' '))
        .output()
        .unwrap();
    let (width, height) = FRAME;
    let all = decoded.stdout.chunks_exact(width * height * 3);
    all.map(|pixels| {
        let at = |x: usize, y: usize| &pixels[(y * width + x) * 3..][..3];
        let middle = at(width / 2, height / 2);
        let part = if middle[0] > 150 {
            'r'
        } else if middle[2] > 150 {
            'b'
        } else {
            'g'
        };
        // Only the clip before the film has another ratio: it stands between black bars.
        let (left, wide) = if part == 'r' { (80, 480) } else { (0, 640) };
        if part == 'r' {
            assert!(at(40, 180).iter().all(|color| *color < 30), "no bar");
        }
        let white = |x: usize, y: usize| at(x, y).iter().all(|color| *color > 200);
        let bit = |bit: usize| usize::from(white(left + wide * (2 * bit + 1) / 32, height / 16)) << bit;
        Frame {
            part,
            number: (0..BITS).map(bit).sum(),
            flash: white(width / 2, height * 15 / 16),
        }
    })
    .collect()
}

/// How many frames there are of each part, one after the other; those of the film are all there, in order.
fn parts(frames: &[Frame]) -> Vec<(char, usize)> {
    let mut parts: Vec<(char, usize)> = Vec::new();
    for frame in frames {
        match parts.last_mut() {
            Some((part, count)) if *part == frame.part => *count += 1,
            _ => parts.push((frame.part, 1)),
        }
    }
    parts
}

/// Samples of a file, both channels as one; silence where it has none.
#[allow(clippy::disallowed_methods, reason = "a test runs programs")]
fn samples(file: &Path, sound: usize) -> Vec<i16> {
    let decoded = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-i"])
        .arg(file)
        .args(["-map", &format!("0:a:{sound}")])
        .args("-af aresample=async=1:first_pts=0 -ac 1 -ar 48000 -f s16le -".split(' '))
        .output()
        .unwrap();
    let pairs = decoded.stdout.chunks_exact(2);
    pairs.map(|bytes| i16::from_le_bytes([bytes[0], bytes[1]])).collect()
}

/// When beeps begin, in seconds.
fn beeps(file: &Path) -> Vec<f64> {
    beeps_of(file, 0)
}

/// The same of one of several sounds.
fn beeps_of(file: &Path, sound: usize) -> Vec<f64> {
    let (mut found, mut last) = (Vec::new(), None);
    for (at, sample) in samples(file, sound).iter().enumerate() {
        if sample.unsigned_abs() > 3000 {
            if last.is_none_or(|last| at > last + RATE / 4) {
                found.push(at as f64 / RATE as f64);
            }
            last = Some(at);
        }
    }
    found
}

/// When flashes begin, in seconds, at 25 frames a second.
fn flashes(frames: &[Frame]) -> Vec<f64> {
    let begins = |at: &usize| frames[*at].flash && (*at == 0 || !frames[*at - 1].flash);
    let all = (0..frames.len()).filter(begins);
    all.map(|at| at as f64 / 25.0).collect()
}

/// The files that a run made, by the ending of their names.
fn of(trial: &Trial, ending: &str) -> PathBuf {
    assert!(trial.good, "{}", trial.said);
    let is = |file: &PathBuf| file.to_str().unwrap().ends_with(ending);
    trial.files().into_iter().find(is).unwrap()
}

const QUICK: &str = "video = { preset = \"ultrafast\", crf = 10 }\n";

#[test]
fn clips_stand_before_and_after_a_film_to_the_frame_and_in_step_with_their_sound() {
    let tasks = format!(
        "[task.whole]\nkind = \"transcode\"\nhead = \"intro.mp4\"\ntail = [\"outro.mp4\", \"mute-intro.mp4\"]\n{QUICK}\
         [task.alone]\nkind = \"transcode\"\ncontainer = \"mkv\"\n{QUICK}\
         [task.twice]\nkind = \"transcode\"\nhead = \"outro.mp4\"\nvideo = {{ bitrate = \"3M\", passes = 2 }}\n\
         [task.still]\nkind = \"snapshot\"\nat = [\"1s\"]\n"
    );
    let clips = ["intro.mp4", "outro.mp4", "mute-intro.mp4"].map(medium);
    let clips: Vec<&Path> = clips.iter().map(PathBuf::as_path).collect();
    let trial = Trial::beside(&medium("film.mp4"), &tasks, &clips);

    let whole = of(&trial, "_whole.mp4");
    assert_eq!(complaints(&whole), "");
    let seen = frames(&whole);
    assert_eq!(parts(&seen), [('r', 37), ('b', 50), ('g', 25), ('r', 37)]);
    let film: Vec<_> = seen[37..87].iter().map(|frame| frame.number).collect();
    assert_eq!(film, (0..50).collect::<Vec<_>>(), "every frame of the film, once");
    assert_eq!((seen[0].number, seen[36].number), (0, 35), "of 36 that became 37");
    assert!(seen[112..].windows(2).all(|two| two[0].number <= two[1].number));
    let (flashes, beeps) = (flashes(&seen), beeps(&whole));
    assert_eq!((flashes.len(), beeps.len()), (4, 3), "{flashes:?} {beeps:?}");
    for (flash, beep) in flashes.iter().zip(&beeps) {
        assert!((flash - beep).abs() < 0.04, "{flashes:?} {beeps:?}");
    }
    // Of the film not even the sample differs.
    assert!((beeps[1] - (37.0 / 25.0 + 0.5)).abs() < 0.001, "{beeps:?}");
    let said = probed(&whole);
    let length = |index: usize| {
        said["streams"][index]["duration"]
            .as_str()
            .unwrap()
            .parse::<f64>()
            .unwrap()
    };
    assert!(
        (length(0) - 149.0 / 25.0).abs() < 0.001 && (length(0) - length(1)).abs() < 0.001,
        "{said}"
    );

    let alone = frames(&of(&trial, "_alone.mkv"));
    assert_eq!(parts(&alone), [('b', 50)]);
    let twice = of(&trial, "_twice.mp4");
    assert_eq!(complaints(&twice), "");
    assert_eq!(parts(&frames(&twice)), [('g', 25), ('b', 50)]);
    assert!(of(&trial, "_still.jpg").exists() || trial.files().len() == 4);
}

#[test]
fn sound_is_as_long_as_pictures_whoever_has_some() {
    let tasks = format!(
        "[task.some]\nkind = \"transcode\"\nhead = [\"mute-intro.mp4\", \"intro.mp4\"]\ntail = \"outro.mp4\"\n{QUICK}\
         [task.none]\nkind = \"transcode\"\nhead = \"mute-intro.mp4\"\n{QUICK}"
    );
    let clips = ["intro.mp4", "outro.mp4", "mute-intro.mp4"].map(medium);
    let clips: Vec<&Path> = clips.iter().map(PathBuf::as_path).collect();
    let trial = Trial::beside(&medium("mute.mp4"), &tasks, &clips);
    let some = of(&trial, "_some.mp4");
    assert_eq!(complaints(&some), "");
    assert_eq!(parts(&frames(&some)), [('r', 74), ('b', 50), ('g', 25)]);
    let beeps = beeps(&some);
    let due = [37.0 / 25.0 + 0.5, 124.0 / 25.0 + 0.5];
    assert!(
        beeps.len() == 2 && beeps.iter().zip(due).all(|(beep, due)| (beep - due).abs() < 0.001),
        "{beeps:?}"
    );
    let none = probed(&of(&trial, "_none.mp4"));
    assert_eq!(none["streams"].as_array().unwrap().len(), 1, "nobody has any sound");
}

#[test]
fn sound_of_a_film_that_begins_late_or_pauses_holds_nobody_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let picture = "color=c=blue:s=640x360:r=25:d=14";
    let beeps_at = "aevalsrc='0.5*sin(2*PI*1000*t)*between(mod(t,1),0.5,0.58)':s=48000:c=stereo:d=14";
    let make = |name: &str, chosen: &str| {
        let mut line = vec![
            "-nostdin", "-v", "error", "-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", beeps_at,
        ];
        line.extend(["-af", chosen, "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac"]);
        let file = path(name);
        line.push(file.to_str().unwrap());
        tool("ffmpeg", &line);
        file
    };
    // Packets that are not there at all, not packets of silence.
    let late = "aselect='gte(t,6)'";
    let pause = "aselect='lt(t,4)+gte(t,9)'";
    for (name, chosen, due) in [
        ("late.mp4", late, (6..14).collect::<Vec<_>>()),
        ("late.mkv", late, (6..14).collect()),
        ("pause.mkv", pause, (0..4).chain(9..14).collect()),
    ] {
        let film = make(name, chosen);
        for (clips, from) in [
            ("tail = \"outro.mp4\"", 0.0),
            ("head = \"intro.mp4\"\ntail = \"outro.mp4\"", 1.48),
        ] {
            let tasks = format!("[task.t]\nkind = \"transcode\"\n{clips}\n{QUICK}");
            let trial = Trial::beside(&film, &tasks, &[&medium("intro.mp4"), &medium("outro.mp4")]);
            let made = trial.file();
            assert_eq!(complaints(&made), "", "{name} {clips}");
            let head = if from > 0.0 { vec![0.5] } else { Vec::new() };
            let film = due.iter().map(|second| from + f64::from(*second) + 0.5);
            let due: Vec<f64> = head.into_iter().chain(film).chain([from + 14.5]).collect();
            let beeps = beeps(&made);
            assert!(
                beeps.len() == due.len() && beeps.iter().zip(&due).all(|(beep, due)| (beep - due).abs() < 0.04),
                "{name} {clips}: {beeps:?} {due:?}"
            );
        }
    }
}

#[test]
fn the_last_picture_of_a_clip_is_shown_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let slow = folder.path().join("slow.mp4");
    let line = "-nostdin -v error -f lavfi -i color=c=red:s=480x360:r=1/4:d=8 -c:v libx264 -pix_fmt yuv420p";
    let line: Vec<&str> = line.split(' ').chain([slow.to_str().unwrap()]).collect();
    tool("ffmpeg", &line);
    let tasks = format!("[task.t]\nkind = \"transcode\"\ncontainer = \"mkv\"\nhead = \"slow.mp4\"\n{QUICK}");
    let trial = Trial::beside(&medium("mute.mp4"), &tasks, &[&slow]);
    let made = trial.file();
    assert_eq!(complaints(&made), "");
    assert_eq!(parts(&frames(&made)), [('r', 200), ('b', 50)]);
    // Nobody waits for a sound that nobody has.
    let said = probed(&made);
    let start: f64 = said["format"]["start_time"].as_str().unwrap().parse().unwrap();
    assert!(start.abs() < 0.0005, "{start}");
}

#[test]
fn results_of_sound_alone_are_joined_too() {
    let tasks = "[task.t]\nkind = \"transcode\"\ncontainer = \"wav\"\nhead = [\"song.m4a\", \"mute-intro.mp4\"]\ntail = \"outro.mp4\"\n\
                 audio = { rate = 44100, channels = 1 }\n";
    let clips = ["song.m4a", "mute-intro.mp4", "outro.mp4"].map(medium);
    let clips: Vec<&Path> = clips.iter().map(PathBuf::as_path).collect();
    let trial = Trial::beside(&medium("film.mp4"), tasks, &clips);
    let made = trial.file();
    assert_eq!(complaints(&made), "");
    let beeps = beeps(&made);
    let due = [0.5, 3.5, 5.5];
    // A sound may be longer than its pictures by a packet.
    let near = |(beep, due): (&f64, f64)| (beep - due).abs() < 0.05;
    assert!(beeps.len() == 3 && beeps.iter().zip(due).all(near), "{beeps:?}");
}

/// The film with three sounds, that beep at half a second, at a second, and at a fifth of a second, where the last ends soon after;
/// and with subtitles.
fn several(folder: &Path) -> PathBuf {
    let (lines, made) = (folder.join("lines.srt"), folder.join("several.mkv"));
    let said = "1\n00:00:00,200 --> 00:00:00,900\n<i>One</i>\n\n2\n00:00:01,200 --> 00:00:01,800\nTwo\n\n";
    std::fs::write(&lines, said).unwrap();
    let beep = |at: f64, rate: u32, long: f64| {
        format!("-f lavfi -i aevalsrc='0.5*sin(2*PI*1000*t)*between(t,{at},{at}+0.08)':s={rate}:d={long}")
    };
    let line = format!(
        "-nostdin -v error -i {} {} {} -i {} -i {} -map 0:v -map 0:a -map 1 -map 2 -map 3 -map 4 -c:v copy -c:a flac -c:s:0 srt \
         -c:s:1 ass -metadata:s:a:1 language=deu -metadata:s:s:0 language=deu {}",
        medium("film.mp4").display(),
        beep(1.0, 44_100, 2.0),
        beep(0.2, 48_000, 0.5),
        lines.display(),
        lines.display(),
        made.display()
    );
    tool(
        "ffmpeg",
        &line.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>(),
    );
    made
}

#[test]
fn every_sound_of_a_film_and_its_subtitles_stand_between_its_clips() {
    let folder = tempfile::tempdir().unwrap();
    let source = several(folder.path());
    let clips = ["intro.mp4", "outro.mp4", "mute-intro.mp4"].map(medium);
    let clips: Vec<&Path> = clips.iter().map(PathBuf::as_path).collect();
    for container in ["mp4", "mkv", "mov", "webm"] {
        let quick = if container == "webm" { "height = 360\n" } else { QUICK };
        let task = format!(
            "[task.t]\nkind = \"transcode\"\ncontainer = \"{container}\"\naudio_tracks = \"all\"\nsubtitles = \"all\"\n\
             head = [\"intro.mp4\", \"mute-intro.mp4\"]\ntail = \"outro.mp4\"\n{quick}"
        );
        let trial = Trial::beside(&source, &task, &clips);
        let made = trial.file();
        assert_eq!(complaints(&made), "", "{container}");
        assert_eq!(parts(&frames(&made)), [('r', 74), ('b', 50), ('g', 25)], "{container}");
        // 37 frames of each clip before the film, and 50 of the film.
        let (film, tail) = (74.0 / 25.0, 124.0 / 25.0);
        for (sound, own) in [0.5, 1.0, 0.2].into_iter().enumerate() {
            let beeps = beeps_of(&made, sound);
            let due = [0.5, film + own, tail + 0.5];
            let near = |(beep, due): (&f64, f64)| (beep - due).abs() < 0.03;
            assert!(
                beeps.len() == 3 && beeps.iter().zip(due).all(near),
                "{container} {sound}: {beeps:?}, not {due:?}"
            );
        }
        for number in 0..2 {
            let map = format!("0:s:{number}");
            let place = made.to_str().unwrap();
            let text = tool(
                "ffmpeg",
                &["-nostdin", "-v", "warning", "-i", place, "-map", &map, "-f", "srt", "-"],
            );
            let times: Vec<f64> = text
                .lines()
                .filter_map(|line| line.split_once(" --> "))
                .flat_map(|(from, to)| [from, to])
                .map(|clock| clock.rsplit(':').next().unwrap().replace(',', ".").parse().unwrap())
                .collect();
            let due = [0.2, 0.9, 1.2, 1.8].map(|at| at + film);
            // Each clip is as long as so many frames of the film as come nearest.
            let near = |(time, due): (&f64, f64)| (time - due).abs() < 0.065;
            assert!(
                times.len() == 4 && times.iter().zip(due).all(near) && text.contains("Two"),
                "{container} {number}: {text}"
            );
        }
    }
}

#[test]
fn several_sounds_without_a_film_are_joined_in_step() {
    let folder = tempfile::tempdir().unwrap();
    let source = several(folder.path());
    let clips = ["song.m4a", "outro.mp4"].map(medium);
    let clips: Vec<&Path> = clips.iter().map(PathBuf::as_path).collect();
    let task = "[task.t]\nkind = \"transcode\"\ncontainer = \"mkv\"\nvideo = \"none\"\naudio_tracks = \"all\"\n\
                head = \"song.m4a\"\ntail = \"outro.mp4\"\n";
    let trial = Trial::beside(&source, task, &clips);
    let made = trial.file();
    assert_eq!(complaints(&made), "");
    let all: Vec<_> = (0..3).map(|sound| beeps_of(&made, sound)).collect();
    for (beeps, own) in all.iter().zip([0.5, 1.0, 0.2]) {
        // A sound may be longer than its pictures by a packet; the tail comes where the longest sound ends.
        let due = [0.5, 1.5 + own, 4.0];
        let near = |(beep, due): (&f64, f64)| (beep - due).abs() < 0.06;
        assert!(beeps.len() == 3 && beeps.iter().zip(due).all(near), "{all:?}");
        assert!((beeps[2] - all[0][2]).abs() < 0.001, "{all:?}");
    }
}

#[test]
fn only_the_film_is_cut_and_laid_over_and_its_chapters_move() {
    let folder = tempfile::tempdir().unwrap();
    let (source, notes) = (folder.path().join("film.mkv"), folder.path().join("notes"));
    let chapter =
        |from: u32, to: u32, name: &str| format!("[CHAPTER]\nTIMEBASE=1/1000\nSTART={from}\nEND={to}\ntitle={name}\n");
    std::fs::write(
        &notes,
        format!(
            ";FFMETADATA1\n{}{}",
            chapter(0, 1000, "one"),
            chapter(1000, 2000, "two")
        ),
    )
    .unwrap();
    let place = |path: &Path| path.to_str().unwrap().to_owned();
    let (film, notes) = (place(&medium("film.mp4")), place(&notes));
    let line = [
        "-nostdin",
        "-v",
        "error",
        "-i",
        &film,
        "-i",
        &notes,
        "-map",
        "0:v",
        "-map_metadata",
        "1",
        "-map_chapters",
        "1",
    ];
    tool("ffmpeg", &[&line[..], &["-c", "copy", &place(&source)]].concat());
    let tasks = format!(
        "[task.t]\nkind = \"transcode\"\ncontainer = \"mkv\"\nhead = \"intro.mp4\"\nstart = \"400ms\"\nend = \"1s200ms\"\n{QUICK}\
         mosaic = [{{ x = 0, y = \"75%\", width = \"100%\", height = \"25%\", effect = \"fill\", color = \"white\" }}]\n"
    );
    let trial = Trial::beside(&source, &tasks, &[&medium("intro.mp4")]);
    let made = trial.file();
    assert_eq!(complaints(&made), "");
    let seen = frames(&made);
    assert_eq!(parts(&seen), [('r', 37), ('b', 20)]);
    assert_eq!((seen[37].number, seen[56].number), (10, 29));
    assert!(seen[37..].iter().all(|frame| frame.flash) && !seen[0].flash && !seen[36].flash);
    let chapters = tool(
        "ffprobe",
        &["-v", "error", "-show_chapters", "-of", "csv=p=0", &place(&made)],
    );
    let starts: Vec<f64> = chapters
        .lines()
        .map(|line| line.split(',').nth(3).unwrap().parse().unwrap())
        .collect();
    assert!(
        starts.len() == 2 && (starts[0] - 1.5).abs() < 0.03 && (starts[1] - 2.1).abs() < 0.03,
        "{chapters}"
    );
}

#[test]
fn each_part_comes_to_the_loudness_that_is_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let noise = |name: &str, loud: &str, length: &str| {
        let file = folder.path().join(name);
        let (picture, sound) = (
            format!("color=s=64x64:r=25:d={length}"),
            format!("anoisesrc=c=pink:seed=1:r=48000:a={loud}:d={length}"),
        );
        let line = [
            "-nostdin", "-v", "error", "-f", "lavfi", "-i", &picture, "-f", "lavfi", "-i", &sound,
        ];
        tool(
            "ffmpeg",
            &[&line[..], &["-c:v", "libx264", "-c:a", "aac", file.to_str().unwrap()]].concat(),
        );
        file
    };
    let (film, quiet) = (noise("film.mp4", "0.5", "6"), noise("quiet.mp4", "0.03", "4"));
    let tasks = "[task.t]\nkind = \"transcode\"\nhead = \"quiet.mp4\"\naudio = { loudness = \"-18 LUFS\" }\n";
    let trial = Trial::beside(&film, tasks, &[&quiet]);
    let made = trial.file();
    for part in ["0", "4"] {
        #[allow(clippy::disallowed_methods, reason = "a test runs programs")]
        let heard = Command::new("ffmpeg")
            .args(["-nostdin", "-ss", part, "-t", "4", "-i"])
            .arg(&made)
            .args("-af ebur128 -f null -".split(' '))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&heard.stderr).into_owned();
        let last = said.rsplit("I:").next().unwrap().split_whitespace().next().unwrap();
        let loud: f64 = last.parse().unwrap();
        assert!((loud + 18.0).abs() < 0.6, "{part}: {loud}");
    }
}

#[test]
fn a_clip_that_is_no_good_is_named_and_costs_its_task_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("noise.mp4"), [7_u8; 5000]).unwrap();
    let whole = std::fs::read(medium("intro.mp4")).unwrap();
    std::fs::write(path("cut.mp4"), &whole[..whole.len() / 2]).unwrap();
    let still = path("still.mp4");
    let line = "-nostdin -v error -f lavfi -i color=s=64x64 -frames:v 1 -c:v png -f image2";
    let line: Vec<&str> = line.split(' ').chain([still.to_str().unwrap()]).collect();
    tool("ffmpeg", &line);
    let task = |name: &str, clip: &str, more: &str| {
        format!("[task.{name}]\nkind = \"transcode\"\ntail = \"{clip}\"\n{more}\n")
    };
    let tasks = [
        task("noise", "noise.mp4", ""),
        task("cut", "cut.mp4", ""),
        task("still", "still.mp4", ""),
        task("song", "song.m4a", ""),
        "[task.good]\nkind = \"transcode\"\n".to_owned(),
    ];
    let files = [
        path("noise.mp4"),
        path("cut.mp4"),
        path("still.mp4"),
        medium("song.m4a"),
    ];
    let files: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
    let trial = Trial::beside(&medium("film.mp4"), &tasks.concat(), &files);
    assert!(!trial.good);
    assert_eq!(trial.files().len(), 1, "{}", trial.said);
    for (clip, why) in [
        ("noise.mp4", "this is not a media file that Reelmill knows"),
        ("cut.mp4", "damaged"),
        ("still.mp4", "it is a picture, which does not say how long it is shown"),
        ("song.m4a", "it has no pictures, and the result shows some"),
    ] {
        let said = format!("the clip {clip} beside the rule file cannot be joined: ");
        let reason = trial
            .said
            .split(&said)
            .nth(1)
            .unwrap_or_else(|| panic!("{clip}: {}", trial.said));
        assert!(
            reason.split('"').next().unwrap().contains(why),
            "{clip}: {}",
            trial.said
        );
    }
}
