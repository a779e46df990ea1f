//! Adaptive packages, made by the real binary of real media, and read by ffmpeg through their playlists and manifests: every
//! picture and sound is there, at its time, and segments of all sizes begin at the same pictures.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod harness;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use harness::trial::medium as media;
use serde_json::Value;

#[allow(clippy::disallowed_methods, reason = "a test runs programs")]
fn command(program: &str) -> Command {
    Command::new(program)
}

/// What a program says on its standard output; it must say nothing else, and end well.
fn said(program: &str, arguments: &[&str], file: &Path) -> String {
    let ran = command(program).args(arguments).arg(file).output().unwrap();
    let complaint = String::from_utf8_lossy(&ran.stderr).into_owned();
    // Names of what is opened are no complaint.
    let complaint: Vec<_> = complaint.lines().filter(|line| !line.contains("Opening '")).collect();
    assert!(
        ran.status.success() && complaint.is_empty(),
        "{program} of {}: {}",
        file.display(),
        complaint.join("\n")
    );
    String::from_utf8(ran.stdout).unwrap()
}

/// A source made for one test.
fn made(folder: &Path, name: &str, arguments: &[&str]) -> PathBuf {
    let file = folder.join(name);
    let ran = command("ffmpeg")
        .args(["-nostdin", "-loglevel", "error", "-y"])
        .args(arguments)
        .arg(&file)
        .status();
    assert!(ran.unwrap().success(), "{name}");
    file
}

/// One package, and where its members are.
struct Package {
    _folder: tempfile::TempDir,
    out: PathBuf,
    front: PathBuf,
    members: PathBuf,
    told: String,
}

impl Package {
    /// Tries a rule with this one task on a source.
    fn of(source: &Path, task: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let rule = folder.path().join("rule.toml");
        let text = format!(
            "enabled = true\n[trigger]\nbucket = \"inbox\"\nformats = \"*\"\n[task.t]\nkind = \"adaptive\"\n{task}\n"
        );
        fs::write(&rule, text).unwrap();
        let out = folder.path().join("out");
        let tried = command(env!("CARGO_BIN_EXE_reelmill"))
            .args(["try", "--json"])
            .args([&rule, source])
            .arg("--out")
            .arg(&out)
            .output()
            .unwrap();
        let [told, error] = [&tried.stdout, &tried.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
        assert!(tried.status.success(), "{}: {told}{error}", source.display());
        let folders = |within: &Path| -> Vec<PathBuf> {
            let all = fs::read_dir(within).unwrap().map(|entry| entry.unwrap().path());
            all.filter(|path| path.is_dir() && !path.ends_with("keys")).collect()
        };
        let front = folders(&out).remove(0);
        let members = folders(&front).remove(0);
        Self {
            _folder: folder,
            out,
            front,
            members,
            told,
        }
    }

    fn text(&self, name: &str) -> String {
        let place = if name.starts_with("master") || name.starts_with("manifest") {
            &self.front
        } else {
            &self.members
        };
        fs::read_to_string(place.join(name)).unwrap()
    }

    /// Lengths and names of the files of a playlist.
    fn entries(&self, playlist: &str) -> Vec<(f64, String)> {
        let text = self.text(&format!("{playlist}.m3u8"));
        let lines: Vec<_> = text.lines().collect();
        let starts = lines
            .iter()
            .enumerate()
            .filter(|(_, line)| line.starts_with("#EXTINF:"));
        let entry = |at: usize| {
            let length = lines[at]
                .trim_start_matches("#EXTINF:")
                .trim_end_matches(',')
                .parse()
                .unwrap();
            let file = lines[at + 1..].iter().find(|line| !line.starts_with('#')).unwrap();
            (length, (*file).to_owned())
        };
        starts.map(|(at, _)| entry(at)).collect()
    }

    fn length(&self, playlist: &str) -> f64 {
        self.entries(playlist).iter().map(|(length, _)| length).sum()
    }

    /// A segment with what must come before it.
    fn whole(&self, playlist: &str, segment: &str) -> PathBuf {
        let init = fs::read(self.members.join(format!("{playlist}-init.mp4"))).unwrap_or_default();
        let whole = self.out.join(format!("whole-{segment}"));
        let bytes = fs::read(self.members.join(segment)).unwrap();
        fs::write(&whole, [init, bytes].concat()).unwrap();
        whole
    }

    /// Times of the pictures of a segment in the order of showing, and whether the first is a key frame.
    fn pictures(&self, playlist: &str, segment: &str) -> (Vec<f64>, bool) {
        let whole = self.whole(playlist, segment);
        let text = said(
            "ffprobe",
            &[
                "-v",
                "error",
                "-select_streams",
                "v",
                "-show_entries",
                "packet=pts_time,flags",
                "-of",
                "csv=p=0",
            ],
            &whole,
        );
        let rows: Vec<(f64, bool)> = text
            .lines()
            .filter(|line| !line.is_empty())
            .map(|line| {
                let (time, flags) = line.split_once(',').unwrap();
                (time.parse().unwrap(), flags.starts_with('K'))
            })
            .collect();
        let first = rows[0].1;
        let mut times: Vec<_> = rows.into_iter().map(|(time, _)| time).collect();
        times.sort_by(f64::total_cmp);
        (times, first)
    }

    /// Streams as ffprobe sees them through a front: sort, start, frames decoded.
    fn streams(&self, front: &str) -> Vec<(String, f64, u64)> {
        let text = said(
            "ffprobe",
            // Else it takes no key whose name ends as keys do.
            &[
                "-v",
                "error",
                "-allowed_extensions",
                "ALL",
                "-count_frames",
                "-show_streams",
                "-of",
                "json",
            ],
            &self.front.join(front),
        );
        let all: Value = serde_json::from_str(&text).unwrap();
        let streams = all["streams"].as_array().unwrap().iter();
        streams
            .map(|stream| {
                let text = |key: &str| stream[key].as_str().unwrap().to_owned();
                let start = text("start_time").parse().unwrap();
                let frames = stream["nb_read_frames"]
                    .as_str()
                    .map_or(0, |count| count.parse().unwrap());
                (text("codec_type"), start, frames)
            })
            .collect()
    }

    /// How many frames one stream has through a front. By itself: ffmpeg stops reading a manifest of DASH when any stream is over.
    fn decoded(&self, front: &str, stream: &str) -> u64 {
        let ran = command("ffmpeg")
            .args(["-nostdin", "-v", "warning", "-i"])
            .arg(self.front.join(front))
            .args(["-map", stream, "-fps_mode", "passthrough", "-f", "framecrc", "-"])
            .output()
            .unwrap();
        let lines = String::from_utf8(ran.stdout).unwrap();
        lines.lines().filter(|line| !line.starts_with('#')).count() as u64
    }

    fn has(&self, name: &str) -> bool {
        self.front.join(name).exists()
    }
}

/// Pictures of a source, as ffmpeg decodes them.
fn pictures_of(source: &Path) -> u64 {
    let arguments = ["-v", "error", "-count_frames", "-select_streams", "v:0"];
    let entries = ["-show_entries", "stream=nb_read_frames", "-of", "csv=p=0"];
    let text = said("ffprobe", &[&arguments[..], &entries[..]].concat(), source);
    // A transport stream is shown twice: with its program, and by itself.
    let counts = text.lines().filter_map(|line| line.trim_end_matches(',').parse().ok());
    counts.max().unwrap_or(0)
}

/// Holds a package against its source: every picture through every manifest, starts within a frame, no complaints, the
/// same cuts in all sizes, lengths that add up to `length` within `frame`.
fn hold(source: &Path, package: &Package, sizes: &[&str], length: f64, frame: f64) {
    let name = source.file_name().unwrap().to_string_lossy();
    let pictures = pictures_of(source);
    // Starts are rounded, and may be those of the other stream.
    let frame_or_more = frame.max(0.04);
    for front in ["master.m3u8", "manifest.mpd"] {
        if !package.has(front) {
            continue;
        }
        let streams = package.streams(front);
        let films: Vec<_> = streams.iter().filter(|stream| stream.0 == "video").collect();
        assert_eq!(films.len(), sizes.len(), "{name} {front}");
        for (sort, start, _) in &streams {
            assert!(start.abs() <= frame_or_more, "{name} {front}: {sort} begins at {start}");
        }
        for film in 0..films.len() {
            let frames = package.decoded(front, &format!("0:v:{film}"));
            assert_eq!(frames, pictures, "{name} {front}: pictures of film {film}");
        }
        let decode = ["-nostdin", "-v", "warning", "-xerror", "-i"];
        let mut run = command("ffmpeg");
        let ran = run
            .args(decode)
            .arg(package.front.join(front))
            .args(["-map", "0", "-fps_mode", "passthrough", "-f", "null", "-"])
            .output()
            .unwrap();
        let complaint = String::from_utf8_lossy(&ran.stderr);
        assert!(
            ran.status.success() && complaint.is_empty(),
            "{name} {front}: {complaint}"
        );
    }
    let Some(first) = sizes.first() else { return };
    for size in sizes {
        let lengths: Vec<_> = package.entries(size).into_iter().map(|(length, _)| length).collect();
        let firsts: Vec<_> = package.entries(first).into_iter().map(|(length, _)| length).collect();
        assert_eq!(lengths, firsts, "{name} {size}");
        let sum: f64 = lengths.iter().sum();
        assert!((sum - length).abs() <= frame, "{name} {size}: {sum} of {length}");
        let mut from = 0.0;
        for ((length, segment), (_, other)) in package.entries(size).iter().zip(package.entries(first)) {
            let (times, key) = package.pictures(size, segment);
            assert!(key, "{name} {segment} begins with a key frame");
            assert_eq!(times, package.pictures(first, &other).0, "{name} {segment}");
            let start = times[0] - package.pictures(first, &package.entries(first)[0].1).0[0];
            assert!((start - from).abs() < 0.002, "{name} {segment}: {start}, not {from}");
            from += length;
        }
    }
}

const TWO: &str = "segment = \"2s\"\nrenditions = [\"360p\", \"240p\"]";

#[test]
fn even_rates_are_cut_alike_and_lose_no_picture() {
    let folder = tempfile::tempdir().unwrap();
    for (rate, length) in [("25", 4.52), ("30000/1001", 4.504_5)] {
        let picture = format!("testsrc2=size=640x360:rate={rate}:duration=4.5");
        let arguments = ["-f", "lavfi", "-i", &picture, "-f", "lavfi", "-i", "sine=duration=4.5"];
        let source = made(
            folder.path(),
            "even.mp4",
            &[&arguments[..], &["-pix_fmt", "yuv420p"]].concat(),
        );
        let package = Package::of(&source, TWO);
        hold(&source, &package, &["360p", "240p"], length, 0.001);
        let all: Vec<_> = package.entries("360p").into_iter().map(|(length, _)| length).collect();
        assert!(
            all[..all.len() - 1].iter().all(|length| (2.0..2.01).contains(length)),
            "{all:?}"
        );
    }
    let film = media("film-rate.mp4");
    let package = Package::of(&film, "segment = \"2s\"\nrenditions = [\"240p\"]");
    hold(&film, &package, &["240p"], 4.004, 0.042);
    assert!(package.text("master.m3u8").contains("FRAME-RATE=23.976"));
}

#[test]
fn a_rate_that_varies_is_cut_alike_too() {
    for source in ["variable.mkv", "variable.mp4"] {
        let source = media(source);
        let package = Package::of(&source, TWO);
        hold(&source, &package, &["360p", "240p"], 5.0, 0.12);
        let all = package.entries("360p");
        assert!(
            all[..all.len() - 1].iter().all(|(length, _)| *length >= 1.999),
            "{all:?}"
        );
    }
}

#[test]
fn sound_that_is_late_or_longer_is_where_it_should_be() {
    let late = media("late-sound.mp4");
    let package = Package::of(&late, TWO);
    hold(&late, &package, &["360p", "240p"], 5.0, 0.034);
    assert!(
        (package.length("audio-1") - 5.7).abs() < 0.05,
        "{}",
        package.length("audio-1")
    );
    // Silence is where there was nothing.
    let loudness = |part: &str| {
        let filter = format!("atrim={part},volumedetect");
        let ran = command("ffmpeg")
            .args(["-nostdin", "-v", "info", "-i"])
            .arg(package.front.join("master.m3u8"))
            .args(["-map", "0:a:0", "-af", &filter, "-f", "null", "-"])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&ran.stderr).into_owned();
        let mean = text
            .split_once("mean_volume: ")
            .unwrap_or_else(|| panic!("{text}"))
            .1
            .split_once(' ')
            .unwrap()
            .0;
        mean.parse::<f64>().unwrap()
    };
    assert!(loudness("0:0.65") < -60.0 && loudness("0.75:2") > -40.0);

    let folder = tempfile::tempdir().unwrap();
    let picture = "testsrc2=size=320x240:rate=25:duration=2";
    let arguments = [
        "-f",
        "lavfi",
        "-i",
        picture,
        "-f",
        "lavfi",
        "-i",
        "sine=duration=5",
        "-pix_fmt",
        "yuv420p",
    ];
    let longer = made(folder.path(), "longer.mp4", &arguments);
    let package = Package::of(&longer, "segment = \"2s\"\nrenditions = [\"240p\"]");
    hold(&longer, &package, &["240p"], 2.0, 0.041);
    assert!((package.length("audio-1") - 5.0).abs() < 0.05);
    assert!(
        package
            .text("manifest.mpd")
            .contains("mediaPresentationDuration=\"PT5.0")
    );
}

#[test]
fn media_without_sound_or_film_stand_on_their_sides_or_are_tiny_make_packages_too() {
    let silent = media("silent-film.mp4");
    let package = Package::of(&silent, TWO);
    hold(&silent, &package, &["360p", "240p"], 5.0, 0.034);
    assert!(!package.text("master.m3u8").contains("AUDIO"));

    let sound = media("sound.mp3");
    let package = Package::of(&sound, "");
    hold(&sound, &package, &[], 0.0, 0.03);
    assert!(package.text("master.m3u8").contains("CODECS=\"mp4a.40.2\""));
    assert!((package.length("audio-1") - 5.0).abs() < 0.06);

    let turned = media("turned.mp4");
    let package = Package::of(&turned, TWO);
    hold(&turned, &package, &["360p", "240p"], 5.0, 0.034);
    let master = package.text("master.m3u8");
    assert!(
        master.contains("RESOLUTION=360x640") && master.contains("RESOLUTION=240x426"),
        "{master}"
    );

    let folder = tempfile::tempdir().unwrap();
    let picture = "testsrc2=size=64x48:rate=10:duration=1";
    let tiny = made(
        folder.path(),
        "tiny.mp4",
        &["-f", "lavfi", "-i", picture, "-pix_fmt", "yuv420p"],
    );
    let package = Package::of(&tiny, "renditions = \"auto\"");
    hold(&tiny, &package, &["48p"], 1.0, 0.1);
    assert!(package.text("master.m3u8").contains("RESOLUTION=64x48"));
}

#[test]
fn what_playlists_say_of_bits_is_true_to_the_files() {
    let package = Package::of(&media("longer.mp4"), TWO);
    let rates = |playlist: &str| {
        let size = |file: &str| fs::metadata(package.members.join(file)).unwrap().len() as f64 * 8.0;
        let entries = package.entries(playlist);
        let whole: f64 = entries.iter().map(|(_, file)| size(file)).sum();
        let peak = entries
            .iter()
            .map(|(length, file)| size(file) / length)
            .fold(0.0, f64::max);
        (peak, whole / package.length(playlist))
    };
    let master = package.text("master.m3u8");
    let number = |line: &str, key: &str| -> f64 {
        let after = line.split_once(&format!("{key}=")).unwrap().1;
        after.split(',').next().unwrap().parse().unwrap()
    };
    let lines: Vec<_> = master
        .lines()
        .filter(|line| line.starts_with("#EXT-X-STREAM-INF"))
        .collect();
    let sound = rates("audio-1");
    for (line, size) in lines.iter().zip(["360p", "240p"]) {
        let film = rates(size);
        let (peak, average) = (number(line, ":BANDWIDTH"), number(line, "AVERAGE-BANDWIDTH"));
        assert!((peak - film.0 - sound.0).abs() < peak * 0.02, "{size} {peak}");
        assert!((average - film.1 - sound.1).abs() < average * 0.01, "{size} {average}");
    }
    // Every key frame can be fetched by itself.
    let playlist = package.text("360p-iframes.m3u8");
    let ranges = playlist
        .lines()
        .filter_map(|line| line.strip_prefix("#EXT-X-BYTERANGE:"));
    let files = package.entries("360p-iframes");
    assert_eq!(files.len(), 10);
    for (range, (_, file)) in ranges.zip(files) {
        let (bytes, offset) = range.split_once('@').unwrap();
        let (bytes, offset): (usize, usize) = (bytes.parse().unwrap(), offset.parse().unwrap());
        let segment = fs::read(package.members.join(&file)).unwrap();
        let init = fs::read(package.members.join("360p-init.mp4")).unwrap();
        let alone = package.out.join("alone.mp4");
        fs::write(&alone, [&init[..], &segment[offset..offset + bytes]].concat()).unwrap();
        let ran = command("ffprobe")
            .args([
                "-v",
                "quiet",
                "-read_intervals",
                "%+#1",
                "-show_entries",
                "frame=pict_type,width",
                "-of",
                "csv=p=0",
            ])
            .arg(&alone)
            .output()
            .unwrap();
        assert!(
            String::from_utf8_lossy(&ran.stdout).starts_with("640,I"),
            "{file} {range}"
        );
    }
}

#[test]
fn an_encoder_that_looks_far_ahead_gives_every_key_frame_that_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    for (rate, segment) in [("24", "1s"), ("1", "4s")] {
        let picture = format!("testsrc2=size=320x180:rate={rate}:duration=12");
        let name = format!("rate-{rate}.mp4");
        let film = made(
            folder.path(),
            &name,
            &["-f", "lavfi", "-i", &picture, "-pix_fmt", "yuv420p"],
        );
        let package = Package::of(
            &film,
            &format!(
                "segment = \"{segment}\"\nrenditions = [{{ name = \"slow\", height = 90, video = {{ preset = \"slow\" }} }}, \
                 {{ name = \"fast\", height = 120 }}]"
            ),
        );
        let wanted: f64 = segment.trim_end_matches('s').parse().unwrap();
        for name in ["slow", "fast"] {
            let lengths: Vec<f64> = package.entries(name).iter().map(|(length, _)| *length).collect();
            assert!(
                lengths.iter().all(|length| (length - wanted).abs() < 0.05),
                "{name} at {rate}: {lengths:?}"
            );
        }
    }
}

#[test]
fn a_rung_takes_no_more_bits_than_it_may_however_busy_the_film_is() {
    let folder = tempfile::tempdir().unwrap();
    let picture = "testsrc2=size=320x240:rate=25:duration=8,noise=alls=60:allf=t";
    let busy = made(
        folder.path(),
        "busy.mp4",
        &["-f", "lavfi", "-i", picture, "-pix_fmt", "yuv420p"],
    );
    let package = Package::of(&busy, "segment = \"4s\"\nrenditions = [\"240p\"]");
    for (length, file) in package.entries("240p") {
        let bits = fs::metadata(package.members.join(&file)).unwrap().len() as f64 * 8.0 / length;
        // What was saved before may be spent: two seconds of it in four.
        assert!(bits < 400_000.0 * 1.6, "{file}: {bits}");
    }
}

#[test]
fn encrypted_segments_are_opened_by_the_key_of_the_job_and_nothing_else_is() {
    let source = media("plain.mp4");
    let lock = "packages = [\"hls\"]\nencryption = { key_uri = \"../../keys/{job}.key\", key_directory = \"keys/\" }";
    let (plain, locked) = (
        Package::of(&source, TWO),
        Package::of(&source, &format!("{TWO}\n{lock}")),
    );
    assert!(!locked.has("manifest.mpd") && !locked.members.join("360p-iframes.m3u8").exists());
    let job = locked.members.file_name().unwrap().to_string_lossy().into_owned();
    let key = fs::read(locked.out.join(format!("keys/{job}.key"))).unwrap();
    assert_eq!(key.len(), 16);
    let digits: Vec<String> = key.iter().map(|byte| format!("{byte:02x}")).collect();
    let key = digits.concat();
    assert!(!locked.told.contains(&key));
    for name in ["360p", "240p", "audio-1"] {
        for ((_, segment), number) in locked.entries(name).into_iter().zip(1..) {
            let opened = command("openssl")
                .args([
                    "enc",
                    "-d",
                    "-aes-128-cbc",
                    "-K",
                    &key,
                    "-iv",
                    &format!("{number:032x}"),
                    "-in",
                ])
                .arg(locked.members.join(&segment))
                .output()
                .unwrap();
            assert!(opened.status.success(), "{segment}");
            let wanted = fs::read(plain.members.join(&segment)).unwrap();
            assert!(opened.stdout == wanted, "{segment} is the same once it is opened");
        }
    }
    let streams = locked.streams("master.m3u8");
    assert!(
        streams
            .iter()
            .any(|(sort, _, frames)| sort == "video" && *frames == 150),
        "{streams:?}"
    );
}

#[test]
fn transport_streams_go_on_from_segment_to_segment() {
    let source = media("plain.mp4");
    let package = Package::of(&source, &format!("segments = \"ts\"\n{TWO}"));
    assert!(!package.has("manifest.mpd"));
    for size in ["360p", "240p"] {
        assert!((package.length(size) - 5.0).abs() < 0.034);
        let files = package.entries(size);
        let all: Vec<u8> = files
            .iter()
            .flat_map(|(_, file)| fs::read(package.members.join(file)).unwrap())
            .collect();
        let joined = package.out.join("joined.ts");
        fs::write(&joined, all).unwrap();
        // A missing packet would be complained of.
        said(
            "ffprobe",
            &[
                "-v",
                "warning",
                "-count_frames",
                "-show_entries",
                "stream=nb_read_frames",
            ],
            &joined,
        );
        assert_eq!(pictures_of(&joined), 150);
        for (_, file) in &files {
            assert!(package.pictures(size, file).1, "{file}");
        }
    }
    let streams = package.streams("master.m3u8");
    let starts: Vec<_> = streams.iter().map(|(_, start, _)| *start).collect();
    assert!(
        starts.iter().all(|start| (start - starts[0]).abs() < 0.034),
        "{streams:?}"
    );
    assert!(
        streams
            .iter()
            .all(|(sort, _, frames)| sort != "video" || *frames == 150),
        "{streams:?}"
    );
}

#[test]
fn several_sounds_and_subtitles_can_be_chosen_from() {
    let folder = tempfile::tempdir().unwrap();
    let words = folder.path().join("words.srt");
    fs::write(
        &words,
        "1\n00:00:00,500 --> 00:00:01,500\nHello <i>there</i>\n\n2\n00:00:01,800 --> 00:00:03,000\nYou & I\n",
    )
    .unwrap();
    let two = media("two-sounds.mkv");
    let inputs = ["-i", two.to_str().unwrap(), "-i", words.to_str().unwrap()];
    let maps = [
        "-map",
        "0",
        "-map",
        "1",
        "-c",
        "copy",
        "-c:s",
        "srt",
        "-metadata:s:s:0",
        "language=ger",
    ];
    let source = made(folder.path(), "all.mkv", &[&inputs[..], &maps[..]].concat());
    let package = Package::of(&source, &format!("{TWO}\naudio_tracks = 2\nsubtitles = true"));
    let streams = package.streams("master.m3u8");
    assert_eq!(
        streams.iter().filter(|stream| stream.0 == "audio").count(),
        2,
        "{streams:?}"
    );
    let master = package.text("master.m3u8");
    for wanted in [
        "NAME=\"Deutsch\",LANGUAGE=\"de\",DEFAULT=YES",
        "NAME=\"English\",LANGUAGE=\"en\",DEFAULT=NO",
        "TYPE=SUBTITLES,GROUP-ID=\"subtitles\",NAME=\"Deutsch\",LANGUAGE=\"de\"",
    ] {
        assert!(master.contains(wanted), "{wanted} is not in {master}");
    }
    let first = package.text("subtitles-1-00001.vtt");
    assert!(
        first.contains("00:00:00.500 --> 00:00:01.500\nHello <i>there</i>"),
        "{first}"
    );
    // Seen in two segments.
    for file in ["subtitles-1-00001.vtt", "subtitles-1-00002.vtt", "subtitles-1.vtt"] {
        assert!(
            package
                .text(file)
                .contains("00:00:01.800 --> 00:00:03.000\nYou &amp; I"),
            "{file}"
        );
    }
    assert!(!package.text("subtitles-1-00003.vtt").contains("-->"));
    assert!(
        package
            .text("manifest.mpd")
            .contains("contentType=\"text\" mimeType=\"text/vtt\"")
    );
}

/// Pictures of what lies in each part of a playlist of key frames, with what must come before it.
fn pictures_of_parts(package: &Package, size: &str) -> Vec<u64> {
    let text = package.text(&format!("{size}-iframes.m3u8"));
    let init = fs::read(package.members.join(format!("{size}-init.mp4"))).unwrap();
    let ranges = text.lines().filter_map(|line| line.strip_prefix("#EXT-X-BYTERANGE:"));
    let files = package.entries(&format!("{size}-iframes"));
    let parts = ranges.zip(&files).zip(1..).map(|((range, (_, file)), number)| {
        let (bytes, offset) = range.split_once('@').unwrap();
        let (bytes, offset): (usize, usize) = (bytes.parse().unwrap(), offset.parse().unwrap());
        let whole = fs::read(package.members.join(file)).unwrap();
        let part = package.out.join(format!("part-{size}-{number}.mp4"));
        fs::write(&part, [&init[..], &whole[offset..offset + bytes]].concat()).unwrap();
        let ran = command("ffmpeg")
            .args(["-nostdin", "-v", "quiet", "-i"])
            .arg(&part)
            .args(["-f", "framecrc", "-"])
            .output()
            .unwrap();
        let lines = String::from_utf8(ran.stdout).unwrap();
        lines.lines().filter(|line| !line.starts_with('#')).count() as u64
    });
    parts.collect()
}

/// Kinds of the units that a packet of AV1 has, whose lengths are all told.
fn units(packet: &[u8]) -> Vec<u8> {
    let (mut kinds, mut at) = (Vec::new(), 0);
    while at < packet.len() {
        kinds.push(packet[at] >> 3 & 15);
        assert!(packet[at] & 6 == 2, "a length, and no layers");
        let (mut length, mut step) = (0, 0);
        loop {
            at += 1;
            length |= usize::from(packet[at] & 0x7f) << step;
            step += 7;
            if packet[at] & 0x80 == 0 {
                break;
            }
        }
        at += 1 + length;
    }
    assert_eq!(at, packet.len());
    kinds
}

/// Where a box of this name begins, head and all, with its length.
fn place(file: &[u8], name: [u8; 4]) -> (usize, usize) {
    let at = file.windows(4).position(|four| *four == name).unwrap() - 4;
    let length = u32::from_be_bytes(file[at..at + 4].try_into().unwrap());
    (at, length as usize)
}

fn number(file: &[u8], at: usize) -> usize {
    u32::from_be_bytes(file[at..at + 4].try_into().unwrap()) as usize
}

/// Packets of the first fragment of a segment, by its `trun` without times of showing.
fn packets(segment: &[u8]) -> Vec<&[u8]> {
    let (run, _) = place(segment, *b"trun");
    assert_eq!(
        number(segment, run + 8),
        0x0701,
        "no picture is shown later than it is decoded"
    );
    let (data, _) = place(segment, *b"mdat");
    let mut from = data + 8;
    let each = (0..number(segment, run + 12)).map(|index| {
        let length = number(segment, run + 20 + index * 12 + 4);
        from += length;
        &segment[from - length..from]
    });
    each.collect()
}

#[test]
fn vp9_and_av1_stand_beside_h264_and_are_cut_where_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let picture = "testsrc2=size=640x360:rate=30000/1001:duration=4.5";
    let arguments = ["-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", "sine=duration=4.5"];
    let colours = ["bt709"; 3];
    let told = [
        "-colorspace",
        colours[0],
        "-color_primaries",
        colours[1],
        "-color_trc",
        colours[2],
    ];
    let source = made(
        folder.path(),
        "even.mp4",
        &[&arguments[..], &["-pix_fmt", "yuv420p"], &told].concat(),
    );
    let task = "segment = \"2s\"\nrenditions = [\"240p\"]\ncodec = [\"h264\", \"vp9\", \"av1\"]";
    let package = Package::of(&source, task);
    let sizes = ["240p", "240p-vp9", "240p-av1"];
    hold(&source, &package, &sizes, 4.504_5, 0.001);
    let (master, manifest) = (package.text("master.m3u8"), package.text("manifest.mpd"));
    // Level 2.0 of both is enough for so small a picture: VP9 counts ten times its levels, AV1 from 2.0.
    for name in ["vp09.00.20.08", "av01.0.00M.08"] {
        assert!(master.contains(&format!("CODECS=\"{name},mp4a.40.2\"")), "{master}");
        assert!(master.contains(&format!("CODECS=\"{name}\"")), "key frames: {master}");
        assert!(manifest.contains(&format!("codecs=\"{name}\"")), "{manifest}");
    }
    assert_eq!(manifest.matches("contentType=\"video\"").count(), 3);
    for size in sizes {
        assert_eq!(pictures_of_parts(&package, size), [1, 1, 1], "{size}");
    }
    let read = |name: &str| fs::read(package.members.join(name)).unwrap();
    let init = read("240p-av1-init.mp4");
    assert!(init[..40].windows(4).any(|brand| brand == b"av01"));
    let (at, length) = place(&init, *b"av1C");
    let header = &init[at + 12..at + length];
    assert_eq!(units(header), [1], "the description has the sequence header alone");
    for (_, file) in package.entries("240p-av1") {
        let segment = read(&file);
        let packets = packets(&segment);
        assert!(packets[0].starts_with(header), "{file}");
        for (index, packet) in packets.into_iter().enumerate() {
            let kinds = units(packet);
            let frames = kinds.iter().filter(|kind| [3, 6].contains(kind)).count();
            let others = kinds.iter().any(|kind| ![1, 3, 4, 5, 6].contains(kind));
            assert!(frames == 1 && !others, "{file} {index}: {kinds:?}");
        }
    }
    let init = read("240p-vp9-init.mp4");
    let (at, length) = place(&init, *b"vpcC");
    assert_eq!(init[at + 8..at + length], [1, 0, 0, 0, 0, 20, 0x82, 1, 1, 1, 0, 0]);
}

#[test]
fn vp9_and_av1_are_cut_by_time_where_pictures_come_unevenly_and_frames_that_nobody_sees_split_nothing() {
    let vp9 = "{ name = \"a\", height = 180, video = { codec = \"vp9\", preset = \"medium\" } }";
    let av1 = "{ name = \"b\", height = 180, video = { codec = \"av1\", preset = \"medium\" } }";
    let task = format!("segment = \"2s\"\nrenditions = [{vp9}, {av1}]");
    for (source, length, frame) in [("variable.mkv", 5.0, 0.12), ("film-rate.mp4", 4.004, 0.042)] {
        let source = media(source);
        let package = Package::of(&source, &task);
        hold(&source, &package, &["a", "b"], length, frame);
        let firsts: Vec<_> = package.entries("a").into_iter().map(|(length, _)| length).collect();
        assert!(
            firsts[..firsts.len() - 1]
                .iter()
                .all(|length| (1.999..2.2).contains(length)),
            "{firsts:?}"
        );
    }
}

#[test]
fn a_distance_in_frames_is_kept_by_vp9_and_av1_whatever_is_cut_in_the_film() {
    let folder = tempfile::tempdir().unwrap();
    let cuts = "testsrc2=size=320x180:rate=25:duration=3.2[a];mandelbrot=size=320x180:rate=25[b];\
                [a][b]blend=all_expr='if(lt(mod(T,1.4),0.7),A,B)':shortest=1";
    let source = made(
        folder.path(),
        "cuts.mp4",
        &["-filter_complex", cuts, "-pix_fmt", "yuv420p"],
    );
    let size = |name: &str, codec: &str| {
        format!("{{ name = \"{name}\", height = 180, video = {{ codec = \"{codec}\", gop = 20, preset = \"fast\" }} }}")
    };
    let sizes = [size("a", "h264"), size("b", "vp9"), size("c", "av1")].join(", ");
    let package = Package::of(&source, &format!("segment = \"1s\"\nrenditions = [{sizes}]"));
    hold(&source, &package, &["a", "b", "c"], 3.2, 0.001);
    for name in ["a-iframes", "b-iframes", "c-iframes"] {
        let lengths: Vec<_> = package.entries(name).into_iter().map(|(length, _)| length).collect();
        assert_eq!(lengths, [0.8; 4], "{name}");
    }
}

#[test]
fn rungs_of_vp9_and_av1_have_a_bound_too_and_can_be_encrypted() {
    let folder = tempfile::tempdir().unwrap();
    let picture = "testsrc2=size=320x240:rate=25:duration=8,noise=alls=30:allf=t";
    let busy = made(
        folder.path(),
        "busy.mp4",
        &["-f", "lavfi", "-i", picture, "-pix_fmt", "yuv420p"],
    );
    let lock = "packages = [\"hls\"]\nencryption = { key_uri = \"../../keys/{job}.key\", key_directory = \"keys/\" }";
    let task = format!("renditions = [\"240p\"]\ncodec = [\"vp9\", \"av1\"]\n{lock}");
    let package = Package::of(&busy, &task);
    for size in ["240p", "240p-av1"] {
        for (length, file) in package.entries(size) {
            let bits = fs::metadata(package.members.join(&file)).unwrap().len() as f64 * 8.0 / length;
            assert!(bits < 240_000.0 * 1.6, "{file}: {bits}");
        }
    }
    let frames: Vec<_> = package.streams("master.m3u8").iter().map(|stream| stream.2).collect();
    assert_eq!(frames, [200, 200]);
}

#[test]
fn a_high_range_stays_in_vp9_and_is_said_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let picture = "testsrc2=size=320x180:rate=25:duration=2.2";
    let screen = "hdr10=1:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc:log-level=none:\
                  master-display=G(8500,39850)B(6550,2300)R(35400,14600)WP(15635,16450)L(10000000,50):max-cll=1000,400";
    let source = made(
        folder.path(),
        "high.mp4",
        &[
            "-f",
            "lavfi",
            "-i",
            picture,
            "-pix_fmt",
            "yuv420p10le",
            "-c:v",
            "libx265",
            "-x265-params",
            screen,
        ],
    );
    let package = Package::of(
        &source,
        "hdr = \"keep\"\nsegment = \"2s\"\nrenditions = [\"240p\"]\ncodec = [\"vp9\", \"av1\"]",
    );
    let master = package.text("master.m3u8");
    assert!(master.contains("CODECS=\"vp09.02.11.10.01.09.16.09.00\""), "{master}");
    assert!(
        master.contains("VIDEO-RANGE=PQ") && master.contains("VIDEO-RANGE=SDR"),
        "{master}"
    );
    assert!(master.contains("CODECS=\"av01.0.00M.08\""), "{master}");
    let whole = package.whole("240p", "240p-00001.m4s");
    let shown = [
        "-v",
        "error",
        "-show_entries",
        "stream=pix_fmt,color_transfer:stream_side_data",
        "-of",
        "json",
    ];
    let told = said("ffprobe", &shown, &whole);
    for word in [
        "yuv420p10le",
        "smpte2084",
        "\"max_content\": 1000",
        "Mastering display metadata",
    ] {
        assert!(told.contains(word), "{word}: {told}");
    }
}
