//! What is laid over films, by the real binary with its jail closed, judged by what ffmpeg decodes: pixels and frames.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod harness;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use harness::{House, assert_plays, tool};

const SVG: &str = r##"<svg xmlns="http://www.w3.org/2000/svg" width="100" height="50">
<rect width="100" height="50" fill="#0000ff"/><text x="5" y="40" font-size="30" fill="white">Tx</text></svg>"##;

/// A folder with a source, pictures, and a rule of one task.
struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    /// With a grey film of 640x360, 25 frames a second, two seconds, and a red picture of 64x32.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let desk = Self { folder };
        desk.film("grey.mp4", "color=c=0x808080:s=640x360:r=25:d=2", "");
        let red = desk.path("red.png");
        let line = "-nostdin -v error -y -f lavfi -i color=c=red:s=64x32 -frames:v 1 -pix_fmt rgba";
        let mut words: Vec<_> = line.split(' ').collect();
        words.push(red.to_str().unwrap());
        tool("ffmpeg", &words);
        fs::write(desk.path("mark.svg"), SVG).unwrap();
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn film(&self, name: &str, picture: &str, more: &str) {
        let made = self.path(name);
        let line = format!(
            "-nostdin -v error -y -f lavfi -i {picture} {more} -c:v libx264 -preset ultrafast -qp 4 -pix_fmt yuv420p"
        );
        let mut words: Vec<_> = line.split_whitespace().collect();
        words.push(made.to_str().unwrap());
        tool("ffmpeg", &words);
    }

    #[allow(clippy::disallowed_methods, reason = "a test runs programs")]
    fn tried(&self, source: &str, task: &str) -> Output {
        let text = format!(
            "enabled = true\n[trigger]\nbucket = \"inbox\"\nformats = \"*\"\n[output]\noverwrite = true\n\
             [task.t]\nkind = \"transcode\"\nvideo = {{ crf = 4, preset = \"ultrafast\" }}\n{task}\n"
        );
        fs::write(self.path("rule.toml"), text).unwrap();
        Command::new(env!("CARGO_BIN_EXE_reelmill"))
            .args(["try", "--json"])
            .args([self.path("rule.toml"), self.path(source)])
            .arg("--out")
            .arg(self.path("out"))
            .output()
            .unwrap()
    }

    /// What the task makes of the source.
    fn made(&self, source: &str, task: &str) -> PathBuf {
        let tried = self.tried(source, task);
        assert!(tried.status.success(), "{}", said(&tried));
        let stem = source.split('.').next().unwrap();
        let made = self.path(&format!("out/{stem}_t.mp4"));
        assert_plays(&made);
        made
    }

    /// Why the task could not be done.
    fn refused(&self, source: &str, task: &str) -> String {
        let tried = self.tried(source, task);
        assert!(!tried.status.success(), "{}", said(&tried));
        said(&tried)
    }
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr]
        .map(|text| String::from_utf8_lossy(text).into_owned())
        .concat()
}

/// The luma and the chroma of a frame.
struct Frame {
    width: usize,
    height: usize,
    bytes: Vec<u8>,
}

impl Frame {
    fn of(file: &Path, number: usize) -> Self {
        Self::all(file).swap_remove(number)
    }

    #[allow(clippy::disallowed_methods, reason = "a test runs programs")]
    fn all(file: &Path) -> Vec<Self> {
        let ask = "-v error -select_streams v -show_entries stream=width,height -of csv=p=0";
        let mut words: Vec<_> = ask.split(' ').collect();
        words.push(file.to_str().unwrap());
        let size = tool("ffprobe", &words);
        let (width, height) = size.lines().next().unwrap().split_once(',').unwrap();
        let decoded = Command::new("ffmpeg")
            .args(["-nostdin", "-v", "error", "-noautorotate", "-i"])
            .arg(file)
            .args("-fps_mode passthrough -f rawvideo -pix_fmt yuv420p -".split(' '))
            .output()
            .unwrap();
        let (width, height): (usize, usize) = (width.parse().unwrap(), height.parse().unwrap());
        let frames = decoded.stdout.chunks_exact(width * height * 3 / 2);
        let frame = |bytes: &[u8]| Self {
            width,
            height,
            bytes: bytes.to_vec(),
        };
        frames.map(frame).collect()
    }

    fn luma(&self, x: usize, y: usize) -> u8 {
        self.bytes[y * self.width + x]
    }

    /// Luma, blue and red of a pixel.
    fn at(&self, x: usize, y: usize) -> [u8; 3] {
        let (whole, quarter) = (self.width * self.height, self.width * self.height / 4);
        let chroma = whole + y / 2 * (self.width / 2) + x / 2;
        [self.luma(x, y), self.bytes[chroma], self.bytes[chroma + quarter]]
    }

    #[track_caller]
    fn assert_at(&self, x: usize, y: usize, wanted: [u8; 3]) {
        let found = self.at(x, y);
        let near = found
            .iter()
            .zip(wanted)
            .all(|(found, wanted)| found.abs_diff(wanted) <= 3);
        assert!(near, "{x},{y} is {found:?}, not {wanted:?}");
    }
}

/// The grey of the film; red as it is in SD, and half of it over the grey.
const GREY: [u8; 3] = [126, 128, 128];
const RED: [u8; 3] = [81, 90, 240];
const HALF: [u8; 3] = [103, 109, 184];

#[test]
fn a_picture_lies_where_the_rule_says_and_lets_as_much_through() {
    let desk = Desk::new();
    let task = "[[task.t.overlay]]\nimage = \"red.png\"\ncorner = \"bottom-right\"\noffset = [16, \"5%\"]\nopacity = 0.5\n\
                [[task.t.overlay]]\nimage = \"red.png\"\ncorner = \"top-left\"\noffset = [0, 0]\nwidth = \"20%\"\n";
    let frame = Frame::of(&desk.made("grey.mp4", task), 30);
    // 64x32, 16 from the right and 18 from below.
    for (x, y) in [(562, 312), (621, 339), (592, 326)] {
        frame.assert_at(x, y, HALF);
    }
    for (x, y) in [(557, 326), (627, 326), (592, 307), (592, 345), (320, 180)] {
        frame.assert_at(x, y, GREY);
    }
    // 128x64 in the corner.
    for (x, y) in [(1, 1), (125, 61)] {
        frame.assert_at(x, y, RED);
    }
    for (x, y) in [(131, 30), (60, 67)] {
        frame.assert_at(x, y, GREY);
    }
}

#[test]
fn windows_are_exact_to_the_frame_also_in_a_part_of_the_film() {
    let desk = Desk::new();
    let task = "start = \"200ms\"\n\
                [[task.t.overlay]]\nimage = \"red.png\"\ncorner = \"top-left\"\noffset = [0, 0]\nduring = [\"400ms\", \"1s\"]\n\
                [[task.t.overlay]]\nimage = \"red.png\"\ncorner = \"left\"\noffset = [0, 0]\nevery = \"600ms\"\nfor = \"120ms\"\n\
                [[task.t.overlay]]\nimage = \"red.png\"\ncorner = \"bottom-left\"\noffset = [0, 0]\nduring = [\"-200ms\"]\n";
    let made = desk.made("grey.mp4", task);
    let shown = |y: usize| {
        let frames = 0..45;
        frames
            .filter(|number| Frame::of(&made, *number).at(20, y)[2] > 200)
            .collect::<Vec<_>>()
    };
    assert_eq!(shown(16), (10..25).collect::<Vec<_>>());
    assert_eq!(shown(180), [0, 1, 2, 15, 16, 17, 30, 31, 32]);
    assert_eq!(shown(344), [40, 41, 42, 43, 44]);
}

#[test]
fn turned_and_padded_films_are_laid_over_as_they_are_seen() {
    let desk = Desk::new();
    desk.film("plain.mp4", "color=c=0x808080:s=320x180:r=25:d=1", "");
    let (plain, turned) = (desk.path("plain.mp4"), desk.path("turned.mp4"));
    let line = "-nostdin -v error -i FROM -c copy -metadata:s:v rotate=90 TO";
    let words = line.split(' ').map(|word| match word {
        "FROM" => plain.to_str().unwrap(),
        "TO" => turned.to_str().unwrap(),
        word => word,
    });
    let words: Vec<_> = words.collect();
    tool("ffmpeg", &words);
    let task = "[[task.t.overlay]]\nimage = \"red.png\"\ncorner = \"bottom-right\"\noffset = [0, 0]\nwidth = \"50%\"\n";
    let frame = Frame::of(&desk.made("turned.mp4", task), 3);
    assert_eq!((frame.width, frame.height), (180, 320));
    frame.assert_at(92, 316, RED);
    frame.assert_at(86, 316, GREY);
    // On the bars, too: the frame is what counts.
    let task = format!("width = 640\nheight = 360\nfit = \"pad\"\nupscale = true\n{task}");
    let frame = Frame::of(&desk.made("turned.mp4", &task), 3);
    assert_eq!((frame.width, frame.height), (640, 360));
    frame.assert_at(630, 340, RED);
    frame.assert_at(10, 340, [16, 128, 128]);
    frame.assert_at(320, 20, GREY);
}

#[test]
fn nothing_can_be_made_out_in_a_rectangle_and_all_around_it() {
    let desk = Desk::new();
    desk.film("test.mp4", "color=c=gray:s=640x360:r=25:d=1,noise=alls=60", "");
    let task = "[[task.t.mosaic]]\nx = 100\ny = 100\nwidth = 64\nheight = 64\nstrength = 16\n\
                [[task.t.mosaic]]\nx = 300\ny = 100\nwidth = 64\nheight = 64\neffect = \"blur\"\n\
                [[task.t.mosaic]]\nx = \"75%\"\ny = 100\nwidth = 64\nheight = 64\neffect = \"fill\"\ncolor = \"red\"\n\
                during = [\"0s\", \"400ms\"]\n";
    let made = desk.made("test.mp4", task);
    let (source, frame) = (Frame::of(&desk.path("test.mp4"), 5), Frame::of(&made, 5));
    // The sum of steps from pixel to pixel.
    let detail = |frame: &Frame, left: usize| -> u64 {
        let steps = (102..162).flat_map(|y| (left + 2..left + 61).map(move |x| (x, y)));
        steps
            .map(|(x, y)| u64::from(frame.luma(x, y).abs_diff(frame.luma(x + 1, y))))
            .sum()
    };
    for left in [100, 300] {
        let (before, after) = (detail(&source, left), detail(&frame, left));
        assert!(after * 3 < before, "{left}: {before} and {after}");
    }
    for (x, y) in [(97, 130), (167, 130), (130, 97), (130, 167), (297, 130), (600, 300)] {
        let (was, is) = (source.luma(x, y), frame.luma(x, y));
        assert!(was.abs_diff(is) <= 8, "{x},{y}: {was} and {is}");
    }
    frame.assert_at(512, 130, RED);
    let (was, is) = (source.luma(512, 130), Frame::of(&made, 15).luma(512, 130));
    assert!(was.abs_diff(is) <= 8, "{was} and {is}");
}

#[test]
fn ten_overlays_words_and_drawings_go_together() {
    let desk = Desk::new();
    let mut task = String::new();
    for (number, corner) in [
        "top-left",
        "top",
        "top-right",
        "left",
        "center",
        "right",
        "bottom-left",
        "bottom",
    ]
    .iter()
    .enumerate()
    {
        let words = format!("text = \"{number} {{stem}}\"\ncorner = \"{corner}\"\noutline = \"black\"\n");
        task.extend(["[[task.t.overlay]]\n", &words]);
    }
    task += "[[task.t.overlay]]\nimage = \"mark.svg\"\ncorner = \"bottom-right\"\noffset = [0, 0]\nheight = \"50%\"\n";
    task += "[[task.t.overlay]]\ntext = \"<&>\\nzwei\"\nsize = 40\ncolor = \"#00ff00\"\nopacity = 0.5\n";
    let frame = Frame::of(&desk.made("grey.mp4", &task), 10);
    // The drawing is 360x180, blue, with words in it.
    frame.assert_at(290, 190, [41, 240, 110]);
    let bright = |from: (usize, usize), to: (usize, usize)| {
        let all = (from.1..to.1).flat_map(|y| (from.0..to.0).map(move |x| (x, y)));
        all.filter(|(x, y)| frame.luma(*x, *y) > 180).count()
    };
    assert!(bright((300, 200), (630, 350)) > 500, "words of the drawing");
    assert!(bright((5, 2), (120, 40)) > 50, "words at the top on the left");
    assert!(bright((5, 330), (120, 356)) > 50, "words at the bottom");
    assert!(bright((130, 2), (230, 60)) == 0, "nothing beside them");
    let eleven = task.clone() + "[[task.t.overlay]]\ntext = \"one too many\"\n";
    assert!(desk.refused("grey.mp4", &eleven).contains("has 11 entries"));
}

#[test]
fn words_with_little_ink_or_none_are_no_fault() {
    let desk = Desk::new();
    let text = |text: &str, size: u32| format!("[[task.t.overlay]]\ntext = \"{text}\"\nsize = {size}\n");
    let made = desk.made(
        "grey.mp4",
        &[text(".", 4), text("_", 4), text("\\u200b", 40), text("|", 8)].concat(),
    );
    Frame::of(&made, 10).assert_at(320, 180, GREY);
}

#[test]
fn pictures_of_more_pixels_than_memory_should_hold_are_refused() {
    let desk = Desk::new();
    let huge = desk.path("huge.png");
    let line = "-nostdin -v error -f lavfi -i color=c=red:s=6000x4200 -frames:v 1 -pix_fmt gray";
    let line: Vec<&str> = line.split(' ').chain([huge.to_str().unwrap()]).collect();
    tool("ffmpeg", &line);
    let said = desk.refused(
        "grey.mp4",
        "[[task.t.overlay]]\nimage = \"huge.png\"\nwidth = \"10%\"\n",
    );
    assert!(
        said.contains("it has 6000x4200 pixels, which is more than 25 million"),
        "{said}"
    );
    let said = desk.refused("grey.mp4", "[[task.t.overlay]]\nimage = \"red.png\"\nwidth = 16000\n");
    assert!(
        said.contains("it would be shown with 16000x8000 pixels, which is more"),
        "{said}"
    );
}

#[test]
fn what_is_missing_or_wrong_is_told_with_its_place_before_any_work() {
    let desk = Desk::new();
    let overlay = |what: &str| format!("[[task.t.overlay]]\n{what}\n");
    let missing = desk.refused("grey.mp4", &overlay("image = \"lgo.png\""));
    assert!(
        missing.contains("lgo.png") && missing.contains("is not beside the rule file"),
        "{missing}"
    );
    assert!(
        missing.contains("\"line\": 11") && missing.contains("\"column\": 9"),
        "{missing}"
    );
    let object = desk.refused(
        "grey.mp4",
        &overlay("image = { bucket = \"brand\", key = \"logo.png\" }"),
    );
    assert!(
        object.contains("logo.png of bucket brand") && object.contains("\"plan\""),
        "{object}"
    );
    fs::write(desk.path("text.png"), "no picture").unwrap();
    let text = desk.refused("grey.mp4", &overlay("image = \"text.png\""));
    assert!(
        text.contains("text.png beside the rule file cannot be laid over the film"),
        "{text}"
    );
    assert!(text.contains("it is neither PNG, JPEG nor SVG"), "{text}");
    let font = desk.refused("grey.mp4", &overlay("text = \"a\"\nfont = \"red.png\""));
    assert!(font.contains("it is no TrueType or OpenType font"), "{font}");
    let out = desk.refused("grey.mp4", &overlay("image = \"../red.png\""));
    assert!(out.contains("leads out of the folder"), "{out}");
    fs::remove_dir_all(desk.path("out")).ok();
    // Others of the rule are not held up by it.
    let other = overlay("image = \"text.png\"") + "[task.u]\nkind = \"transcode\"\n";
    let tried = said(&desk.tried("grey.mp4", &other));
    assert!(desk.path("out/grey_u.mp4").exists(), "{tried}");
}

#[test]
fn a_daemon_takes_pictures_from_beside_its_rules_and_from_buckets() {
    let desk = Desk::new();
    let rule = "enabled = true\n[trigger]\nbucket = \"inbox\"\ndirectory = \"in/\"\n[output]\nbucket = \"published\"\n\
                [task.t]\nkind = \"transcode\"\nvideo = { crf = 4, preset = \"ultrafast\" }\n\
                [[task.t.overlay]]\nimage = \"brand/red.png\"\ncorner = \"top-left\"\noffset = [0, 0]\n\
                [[task.t.overlay]]\nimage = { bucket = \"published\", key = \"brand/mark.svg\" }\n\
                corner = \"bottom-right\"\noffset = [0, 0]\n";
    let mut house = House::new(&[("branded", rule)]);
    fs::create_dir(house.path("rules/brand")).unwrap();
    fs::create_dir(house.path("published/brand")).unwrap();
    fs::copy(desk.path("red.png"), house.path("rules/brand/red.png")).unwrap();
    fs::write(house.path("published/brand/mark.svg"), SVG).unwrap();
    house.start();
    house.drop_file(&desk.path("grey.mp4"), "in/grey.mp4");
    let jobs = house.wait_for_jobs(1);
    assert_eq!(jobs[0]["state"], "succeeded", "{jobs:#?}");
    let frame = Frame::of(&house.path("published/in/grey_t.mp4"), 20);
    frame.assert_at(30, 16, RED);
    frame.assert_at(542, 312, [41, 240, 110]);
    // Another picture is another version of the rule.
    let version = || {
        house.json(&["rules"])["rules"][0]["version"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let before = version();
    fs::write(house.path("rules/brand/new.svg"), SVG).unwrap();
    fs::rename(house.path("rules/brand/new.svg"), house.path("rules/brand/red.png")).unwrap();
    house.wait_until("another version", || (version() != before).then_some(()));
}
