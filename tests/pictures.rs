//! Stills, sprites and animations, by the real binary on a film whose frames carry their number.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod harness;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use harness::tool;

/// A film of ten seconds at 25 frames a second, 480x270, with a key frame every four seconds. White stripes are the bits of
/// each frame's number.
fn film() -> PathBuf {
    static MAKING: Mutex<()> = Mutex::new(());
    let _one = MAKING.lock().unwrap();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let film = folder.join("numbers-v1.mp4");
    if !film.exists() {
        let mut stripes = String::new();
        for bit in 0..12 {
            let x = bit * 40;
            write!(
                stripes,
                ",drawbox=x={x}:y=0:w=40:h=270:color=white:t=fill:enable='mod(floor(n/pow(2\\,{bit}))\\,2)'"
            )
            .unwrap();
        }
        let source = format!("color=c=0x303030:s=480x270:r=25:d=10{stripes}");
        let half = folder.join(format!("numbers-v1.{}.mp4", std::process::id()));
        let (half_name, words) = (
            half.to_str().unwrap(),
            "-c:v libx264 -preset veryfast -pix_fmt yuv420p -sc_threshold 0 -g 100",
        );
        let mut arguments = vec!["-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", &source];
        arguments.extend(words.split(' '));
        arguments.push(half_name);
        tool("ffmpeg", &arguments);
        std::fs::rename(&half, &film).unwrap();
    }
    film
}

/// What these tasks make of the film.
fn made(tasks: &str) -> tempfile::TempDir {
    made_of(&film(), tasks)
}

/// What these tasks make of this film.
fn made_of(film: &Path, tasks: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let (rule, out) = (folder.path().join("rule.toml"), folder.path().join("out"));
    std::fs::write(&rule, format!("enabled = true\n[trigger]\nbucket = \"inbox\"\n{tasks}")).unwrap();
    let [rule, film, out] = [&rule, film, &out].map(|path| path.to_str().unwrap().to_owned());
    tool(env!("CARGO_BIN_EXE_reelmill"), &["try", &rule, &film, "--out", &out]);
    folder
}

/// The number that a picture shows, cut out of it as ffmpeg's `crop` says.
#[allow(clippy::disallowed_methods, reason = "a test uses tools")]
fn number(file: &Path, crop: &str) -> u32 {
    let filter = format!("{crop},scale=480:270,crop=480:100:0:80,scale=12:1:flags=area,format=gray");
    let output = std::process::Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-i"])
        .arg(file)
        .args(["-frames:v", "1", "-vf", &filter, "-f", "rawvideo", "-"])
        .output()
        .unwrap();
    assert_eq!(output.stdout.len(), 12, "{}", String::from_utf8_lossy(&output.stderr));
    let bits = output.stdout.iter().enumerate();
    bits.filter(|(_, light)| **light > 128).map(|(bit, _)| 1 << bit).sum()
}

fn numbers(folder: &tempfile::TempDir, names: &[&str]) -> Vec<u32> {
    let file = |name: &&str| number(&folder.path().join("out").join(name), "null");
    names.iter().map(file).collect()
}

const STILLS: &str =
    "[task.e]\nkind = \"snapshot\"\nevery = \"3s\"\n[task.c]\nkind = \"snapshot\"\ncount = 4\nformat = \"webp\"\n";
const NAMES: [&str; 8] = [
    "numbers-v1_e_1.jpg",
    "numbers-v1_e_2.jpg",
    "numbers-v1_e_3.jpg",
    "numbers-v1_e_4.jpg",
    "numbers-v1_c_1.webp",
    "numbers-v1_c_2.webp",
    "numbers-v1_c_3.webp",
    "numbers-v1_c_4.webp",
];

#[test]
fn stills_show_the_frame_of_their_time_alone_and_beside_a_transcode() {
    let wanted = [0, 75, 150, 225, 31, 93, 156, 218];
    assert_eq!(numbers(&made(STILLS), &NAMES), wanted);
    let beside = format!("{STILLS}[task.w]\nkind = \"transcode\"\nheight = 90\n");
    assert_eq!(numbers(&made(&beside), &NAMES), wanted);
}

/// The film of numbers with a sound, in another container or coded in another way.
fn with_sound(folder: &Path, name: &str, coded: &str) -> PathBuf {
    let made = folder.join(name);
    let [film, to] = [&film(), &made].map(|path| path.to_str().unwrap().to_owned());
    let sound = ["-f", "lavfi", "-i", "sine=r=48000:d=10"];
    let mut arguments = vec!["-nostdin", "-v", "error", "-y", "-i", &film];
    arguments.extend(sound);
    arguments.extend(["-map", "0:v", "-map", "1:a", "-b:a", "64k"]);
    arguments.extend(coded.split(' '));
    arguments.push(&to);
    tool("ffmpeg", &arguments);
    made
}

#[test]
fn pictures_that_are_far_apart_are_those_of_their_points_however_the_film_is_coded() {
    let media = tempfile::tempdir().unwrap();
    let b_frames = "-c:v libx264 -preset veryfast -g 1000 -bf 3 -x264-params b-adapt=0";
    let coded = [
        ("copied.mp4", "-c:v copy"),
        ("copied.mkv", "-c:v copy"),
        ("one-group.mp4", b_frames),
        ("one-group.mkv", b_frames),
        ("one-group.ts", b_frames),
        ("h264.avi", "-c:v libx264 -preset veryfast -bf 3 -g 50 -c:a mp3"),
        ("all-keys.mov", "-c:v mjpeg -q:v 3"),
    ];
    // Late in each frame: in some containers the film begins after the silence of its sound's encoder.
    let points = [
        ("0s", 0),
        ("1.23s", 30),
        ("4.03s", 100),
        ("4.07s", 101),
        ("7.99s", 199),
        ("9.51s", 237),
    ];
    let sheet = "[task.t]\nkind = \"sprite\"\nevery = \"2s\"\n";
    for (name, how) in coded {
        let source = with_sound(media.path(), name, how);
        // The sheet reads the film to its end before.
        for (chosen, beside) in [(&[0, 1, 2, 3, 4, 5][..], ""), (&[1, 4], sheet), (&[2], ""), (&[5], "")] {
            let at: Vec<_> = chosen.iter().map(|point| format!("\"{}\"", points[*point].0)).collect();
            let at = at.join(", ");
            let tasks = format!("[task.s]\nkind = \"snapshot\"\nat = [{at}]\nformat = \"png\"\n{beside}");
            let folder = made_of(&source, &tasks);
            let stem = source.file_stem().unwrap().to_str().unwrap();
            for (number, point) in (1..).zip(chosen) {
                let file = match chosen.len() {
                    1 => format!("{stem}_s.png"),
                    _ => format!("{stem}_s_{number}.png"),
                };
                let (time, frame) = points[*point];
                assert_eq!(numbers(&folder, &[&file]), [frame], "{name} at {time} of {at}{beside}");
            }
        }
    }
}

#[test]
fn a_map_leads_to_pictures_of_its_times() {
    let sprite = "[task.s]\nkind = \"sprite\"\nrows = 2\ncolumns = 2\nevery = \"2s\"\nwidth = 240\n";
    for beside in ["", "[task.w]\nkind = \"transcode\"\nheight = 90\n"] {
        let folder = made(&format!("{sprite}{beside}"));
        let out = folder.path().join("out");
        let map = std::fs::read_to_string(out.join("numbers-v1_s.vtt")).unwrap();
        let cues: Vec<_> = map.split("\n\n").skip(1).collect();
        assert_eq!(cues.len(), 5, "{map}");
        for (at, cue) in (0..).zip(&cues) {
            let (times, place) = cue.split_once('\n').unwrap();
            assert_eq!(
                times,
                format!("00:00:{:02}.000 --> 00:00:{:02}.000", 2 * at, 2 * at + 2)
            );
            let (sheet, place) = place.trim().split_once("#xywh=").unwrap();
            let sides: Vec<_> = place.split(',').collect();
            let crop = format!("crop={}:{}:{}:{}", sides[2], sides[3], sides[0], sides[1]);
            let shown = number(&out.join(sheet), &crop);
            let own = if beside.is_empty() {
                50 * at..50 * at + 50
            } else {
                50 * at..50 * at + 1
            };
            assert!(own.contains(&shown), "{shown} at {times}");
        }
        let last = out.join("numbers-v1_s_2.jpg");
        let size = tool(
            "ffprobe",
            &[
                "-v",
                "error",
                "-show_entries",
                "stream=width,height",
                "-of",
                "csv=p=0",
                last.to_str().unwrap(),
            ],
        );
        assert_eq!(size.trim(), "480,136", "only the rows that it needs");
    }
}

#[test]
fn an_animation_has_the_frames_and_the_length_that_were_asked_for() {
    let folder = made(
        "[task.g]\nkind = \"animation\"\nstart = \"5.2s\"\nlength = \"1s\"\nfps = 12\n\
         [task.v]\nkind = \"animation\"\nstart = \"5.2s\"\nlength = \"1s\"\nfps = 30\nformat = \"webp\"\nwidth = 240\n",
    );
    let gif = folder.path().join("out/numbers-v1_g.gif");
    let seen = tool(
        "ffprobe",
        &[
            "-v",
            "error",
            "-count_frames",
            "-show_entries",
            "stream=width,height,nb_read_frames:format=duration",
            "-of",
            "csv=p=0",
            gif.to_str().unwrap(),
        ],
    );
    assert_eq!(seen.split_whitespace().collect::<Vec<_>>(), ["480,270,12", "1.000000"]);
    for at in 0..12 {
        let shown = number(&gif, &format!("select='eq(n\\,{at})'"));
        assert_eq!(shown, 130 + at * 25 / 12, "picture {at}");
    }
    let webp = std::fs::read(folder.path().join("out/numbers-v1_v.webp")).unwrap();
    let decoder = webp_animation::Decoder::new(&webp).unwrap();
    let times: Vec<_> = decoder.into_iter().map(|frame| frame.timestamp()).collect();
    assert_eq!(times.last(), Some(&1000), "{times:?}");
    assert!((20..=30).contains(&times.len()), "{times:?}");
}
