//! Pictures of every form in frames of another size, by the real binary: their colours, ranges and places.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::many_single_char_names, reason = "as in the formulas of the standards")]

use std::path::{Path, PathBuf};
use std::process::Command;

#[allow(clippy::disallowed_methods, reason = "a test runs programs")]
fn command(program: &str) -> Command {
    Command::new(program)
}

/// What ffmpeg answers on its standard output.
fn ffmpeg(arguments: &[&str]) -> Vec<u8> {
    let ran = command("ffmpeg")
        .args(["-nostdin", "-v", "error", "-y"])
        .args(arguments)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success() && said.is_empty(), "{arguments:?}: {said}");
    ran.stdout
}

/// Eight patches of 80x88 as YUV of 8 bits.
const PATCHES: [[u8; 3]; 8] = [
    [40, 128, 128],
    [210, 128, 128],
    [81, 90, 210],
    [145, 54, 60],
    [60, 200, 110],
    [180, 60, 140],
    [120, 160, 180],
    [100, 110, 90],
];

/// Raw pictures of 320x176 in planar YUV with its colour halved as told.
fn patches(coarser: (usize, usize)) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (component, (across, down)) in [(1, 1), coarser, coarser].into_iter().enumerate() {
        for y in 0..176 / down {
            for x in 0..320 / across {
                bytes.push(PATCHES[y * down / 88 * 4 + x * across / 80][component]);
            }
        }
    }
    bytes
}

struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Tries a rule with these tasks; answers the folder of the results.
    fn tried(&self, source: &Path, tasks: &str) -> PathBuf {
        let rule = self.path("rule.toml");
        let text = format!("enabled = true\n[trigger]\nbucket = \"inbox\"\nformats = \"*\"\n{tasks}");
        std::fs::write(&rule, text).unwrap();
        let out = self.path("out");
        let _ = std::fs::remove_dir_all(&out);
        let tried = command(env!("CARGO_BIN_EXE_reelmill"))
            .args(["try", "--json"])
            .args([&rule, source])
            .arg("--out")
            .arg(&out)
            .output()
            .unwrap();
        let said = format!(
            "{}{}",
            String::from_utf8_lossy(&tried.stdout),
            String::from_utf8_lossy(&tried.stderr)
        );
        assert!(tried.status.success(), "{said}");
        out
    }
}

fn probed(file: &Path, what: &str) -> String {
    let ran = command("ffprobe")
        .args(["-v", "error", "-select_streams", "v:0", "-show_entries"])
        .arg(format!("stream={what}"))
        .args(["-of", "csv=p=0"])
        .arg(file)
        .output()
        .unwrap();
    String::from_utf8_lossy(&ran.stdout).trim().to_owned()
}

#[test]
fn colours_keep_their_values_whatever_form_they_come_in() {
    let desk = Desk::new();
    // (form of the raw pictures, form of the film, range, matrix, how the colour is halved)
    for (raw, form, range, matrix, coarser) in [
        ("yuv420p", "yuv420p", "tv", "bt709", (2, 2)),
        ("yuv420p", "yuv420p", "tv", "smpte170m", (2, 2)),
        ("yuv420p", "yuv420p", "pc", "bt709", (2, 2)),
        ("yuv422p", "yuv422p", "tv", "bt709", (2, 1)),
        ("yuv444p", "yuv444p", "tv", "smpte170m", (1, 1)),
        ("yuv420p", "yuv420p10le", "tv", "bt709", (2, 2)),
        ("yuv422p", "yuv422p10le", "tv", "bt709", (2, 1)),
        ("yuv444p", "yuv444p10le", "tv", "bt709", (1, 1)),
    ] {
        let picture = desk.path("patches.yuv");
        std::fs::write(&picture, patches(coarser)).unwrap();
        let film = desk.path("film.mkv");
        let [picture, to] = [&picture, &film].map(|path| path.to_str().unwrap());
        let tags = ["-color_range", range, "-colorspace", matrix];
        let mut arguments = vec![
            "-f",
            "rawvideo",
            "-s",
            "320x176",
            "-pix_fmt",
            raw,
            "-r",
            "25",
            "-stream_loop",
            "4",
        ];
        arguments.extend(["-i", picture, "-pix_fmt", form, "-c:v", "ffv1"]);
        arguments.extend(tags);
        arguments.extend(["-color_primaries", "bt709", "-color_trc", "bt709", to]);
        ffmpeg(&arguments);
        let out = desk.tried(
            &film,
            "[task.t]\nkind = \"transcode\"\ncontainer = \"mp4\"\nheight = 88\naudio = \"none\"\n\
             video = { codec = \"h264\", crf = 1, preset = \"veryfast\" }\n",
        );
        let made = out.join("film_t.mp4");
        let told = probed(&made, "width,height,color_range,color_space");
        assert_eq!(told, format!("160,88,{range},{matrix}"), "{form}");
        let bytes = ffmpeg(&["-i", made.to_str().unwrap(), "-frames:v", "1", "-f", "rawvideo", "-"]);
        assert_eq!(bytes.len(), 160 * 88 * 3 / 2, "{form}");
        for (number, patch) in PATCHES.iter().enumerate() {
            let (x, y) = (number % 4 * 40 + 20, number / 4 * 44 + 22);
            let found = [
                bytes[y * 160 + x],
                bytes[160 * 88 + y / 2 * 80 + x / 2],
                bytes[160 * 88 * 5 / 4 + y / 2 * 80 + x / 2],
            ];
            for (value, wanted) in found.iter().zip(patch) {
                assert!(
                    value.abs_diff(*wanted) <= 2,
                    "{form} {range} {matrix} {number}: {found:?}, not {patch:?}"
                );
            }
        }
    }
}

#[test]
fn stills_show_the_colours_of_their_film() {
    let desk = Desk::new();
    for (matrix, range) in [("bt709", "tv"), ("smpte170m", "tv"), ("bt709", "pc")] {
        let picture = desk.path("patches.yuv");
        std::fs::write(&picture, patches((1, 1))).unwrap();
        let film = desk.path("film.mkv");
        let [picture, to] = [&picture, &film].map(|path| path.to_str().unwrap());
        let mut arguments = vec![
            "-f",
            "rawvideo",
            "-s",
            "320x176",
            "-pix_fmt",
            "yuv444p",
            "-r",
            "25",
            "-stream_loop",
            "4",
        ];
        arguments.extend([
            "-i",
            picture,
            "-c:v",
            "ffv1",
            "-color_range",
            range,
            "-colorspace",
            matrix,
            to,
        ]);
        ffmpeg(&arguments);
        let out = desk.tried(
            &film,
            "[task.t]\nkind = \"snapshot\"\nat = [\"0s\"]\nformat = \"png\"\nwidth = 160\n\
             [task.j]\nkind = \"snapshot\"\nat = [\"0s\"]\nformat = \"jpg\"\nquality = 100\nwidth = 160\n",
        );
        // Every colour outside of what RGB can show is cut, and only there may the two disagree.
        for (still, near) in [("film_t.png", 3), ("film_j.jpg", 8)] {
            let still = out.join(still);
            let bytes = ffmpeg(&[
                "-i",
                still.to_str().unwrap(),
                "-pix_fmt",
                "rgb24",
                "-f",
                "rawvideo",
                "-",
            ]);
            for (number, patch) in PATCHES.iter().enumerate() {
                let at = (number / 4 * 44 + 22) * 160 + number % 4 * 40 + 20;
                let found = &bytes[at * 3..][..3];
                for (value, wanted) in found.iter().zip(rgb(*patch, matrix, range)) {
                    assert!(
                        value.abs_diff(wanted) <= near,
                        "{still:?} {matrix} {range} {number}: {found:?}"
                    );
                }
            }
        }
    }
}

/// By the formulas of the standards.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded")]
fn rgb([y, u, v]: [u8; 3], matrix: &str, range: &str) -> [u8; 3] {
    let (red, blue) = if matrix == "bt709" {
        (0.2126, 0.0722)
    } else {
        (0.299, 0.114)
    };
    let (y, u, v) = (f64::from(y), f64::from(u) - 128.0, f64::from(v) - 128.0);
    let (y, u, v) = if range == "tv" {
        ((y - 16.0) / 219.0, u / 224.0, v / 224.0)
    } else {
        (y / 255.0, u / 255.0, v / 255.0)
    };
    let (r, b) = (y + 2.0 * (1.0 - red) * v, y + 2.0 * (1.0 - blue) * u);
    let g = (y - red * r - blue * b) / (1.0 - red - blue);
    [r, g, b].map(|part| (part * 255.0).round().clamp(0.0, 255.0) as u8)
}

#[test]
fn frames_of_another_ratio_are_filled_as_told() {
    let desk = Desk::new();
    let film = desk.path("film.mkv");
    // A wide picture: red, with a white square in its middle; its pixels are twice as wide as high in the second.
    let square = "color=c=0xC02020:s=320x160:r=25:d=0.4,drawbox=x=140:y=60:w=40:h=40:c=white:t=fill,format=yuv444p";
    ffmpeg(&["-f", "lavfi", "-i", square, "-c:v", "ffv1", film.to_str().unwrap()]);
    let narrow = desk.path("narrow.mkv");
    let squeezed = format!("{square},scale=160:160,setsar=2");
    ffmpeg(&["-f", "lavfi", "-i", &squeezed, "-c:v", "ffv1", narrow.to_str().unwrap()]);
    let mut seen = Vec::new();
    for film in [film, narrow] {
        let stem = film.file_stem().unwrap().to_str().unwrap().to_owned();
        let task = |fit: &str| {
            format!(
                "[task.{fit}]\nkind = \"snapshot\"\nat = [\"0s\"]\nformat = \"png\"\nwidth = 200\nheight = 200\n\
                 upscale = true\nfit = \"{fit}\"\n"
            )
        };
        let tasks = ["pad", "cover", "blur-fill", "stretch", "contain"].map(task).concat();
        let out = desk.tried(&film, &tasks);
        let look = |fit: &str| {
            let still = out.join(format!("{stem}_{fit}.png"));
            let wide: usize = probed(&still, "width").parse().unwrap();
            let bytes = ffmpeg(&[
                "-i",
                still.to_str().unwrap(),
                "-pix_fmt",
                "rgb24",
                "-f",
                "rawvideo",
                "-",
            ]);
            let high = bytes.len() / 3 / wide;
            // Above, in the middle, below: what is there, in one word.
            let words = [(wide / 2, 4), (wide / 2, high / 2), (wide / 2, high - 5), (4, high / 2)].map(|(x, y)| {
                let pixel = &bytes[(y * wide + x) * 3..][..3];
                match (pixel[0], pixel[1], pixel[2]) {
                    (0..=2, 0..=2, 0..=2) => "black",
                    (250.., 250.., 250..) => "white",
                    (187..=197, 27..=37, 27..=37) => "red",
                    (60..=160, 10..=60, 10..=60) => "dim",
                    _ => "other",
                }
            });
            format!("{fit}: {wide}x{high} {}", words.join(" "))
        };
        seen.push(["pad", "cover", "blur-fill", "stretch", "contain"].map(look).join("\n"));
    }
    insta::assert_snapshot!(seen[0], @r"
    pad: 200x200 black white black red
    cover: 200x200 red white red red
    blur-fill: 200x200 dim white dim red
    stretch: 200x200 red white red red
    contain: 200x100 red white red red
    ");
    assert_eq!(seen[0], seen[1]);
}

#[test]
fn a_film_is_blurred_beside_itself_too() {
    let desk = Desk::new();
    let film = desk.path("film.mkv");
    let moving = "testsrc2=s=320x180:r=25:d=1,format=yuv420p";
    ffmpeg(&["-f", "lavfi", "-i", moving, "-c:v", "ffv1", film.to_str().unwrap()]);
    let out = desk.tried(
        &film,
        "[task.t]\nkind = \"transcode\"\ncontainer = \"mp4\"\nwidth = 180\nheight = 320\nupscale = true\n\
         fit = \"blur-fill\"\naudio = \"none\"\nvideo = { codec = \"h264\", crf = 18, preset = \"veryfast\" }\n",
    );
    let made = out.join("film_t.mp4");
    assert_eq!(probed(&made, "width,height"), "180,320");
    let bytes = ffmpeg(&["-i", made.to_str().unwrap(), "-pix_fmt", "gray", "-f", "rawvideo", "-"]);
    assert_eq!(bytes.len(), 180 * 320 * 25);
    // Neighbours differ little where it is blurred, and much in the picture itself.
    let rough = |rows: std::ops::Range<usize>| {
        let all: Vec<u32> = rows
            .flat_map(|y| bytes[y * 180..][..180].windows(2))
            .map(|pair| u32::from(pair[0].abs_diff(pair[1])))
            .collect();
        f64::from(all.iter().sum::<u32>()) / all.len() as f64
    };
    let (above, picture, below) = (rough(10..90), rough(125..195), rough(230..310));
    assert!(picture > 6.0 * above.max(below), "{above} {picture} {below}");
}
