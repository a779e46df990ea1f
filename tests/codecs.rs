//! Every codec in every container that a rule may put it into, by the real binary on real media, judged by ffmpeg: form,
//! colours, number of frames, length, and that sound and pictures begin together. And what is done to pictures first.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod harness;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use harness::trial::{Trial, complaints, medium as media, probed};
use serde_json::Value;

#[allow(clippy::disallowed_methods, reason = "a test runs programs")]
fn command(program: &str) -> Command {
    Command::new(program)
}

/// Tries a rule with this one transcode, once.
fn tried(source: &Path, task: &str) -> Trial {
    let task = task.replace("; ", "\n");
    let text = format!("[retry]\nattempts = 1\n[task.t]\nkind = \"transcode\"\n{task}");
    Trial::of(source, &text)
}

fn stream<'a>(probed: &'a Value, kind: &str) -> &'a Value {
    let mut streams = probed["streams"].as_array().unwrap().iter();
    streams
        .find(|stream| stream["codec_type"] == kind)
        .unwrap_or(&Value::Null)
}

/// `hevc/hvc1 Main yuv420p bt709 50 frames, aac, 2.0 s`.
fn described(probed: &Value) -> String {
    let (film, sound) = (stream(probed, "video"), stream(probed, "audio"));
    let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let tag = word(&film["codec_tag_string"]);
    let tag = if tag.starts_with('[') {
        String::new()
    } else {
        format!("/{tag}")
    };
    let colours = ["color_primaries", "color_transfer", "color_space"].map(|field| word(&film[field]));
    let colours = if colours.iter().all(|one| *one == colours[0]) {
        colours[0].clone()
    } else {
        colours.join("/")
    };
    let length: f64 = word(&probed["format"]["duration"]).parse().unwrap_or(-1.0);
    format!(
        "{}{tag} {} {} {colours} {} frames, {}, {length:.1} s",
        word(&film["codec_name"]),
        word(&film["profile"]),
        word(&film["pix_fmt"]),
        word(&film["nb_read_frames"]),
        word(&sound["codec_name"]),
    )
}

/// By how much pictures and sound begin apart, in seconds.
fn apart(probed: &Value) -> f64 {
    let start = |kind| {
        stream(probed, kind)["start_time"]
            .as_str()
            .unwrap_or("0")
            .parse::<f64>()
    };
    (start("video").unwrap() - start("audio").unwrap()).abs()
}

/// Makes each of two seconds in HD colours and holds what came of it against what should; tells all that differ.
fn hold(table: &[(&str, &str)]) {
    let mut wrong = Vec::new();
    for (task, expected) in table {
        let made = tried(&hd(), task);
        if !made.good {
            wrong.push(format!("{task}: {}", made.said));
            continue;
        }
        let file = made.file();
        let found = probed(&file);
        let (words, said, apart) = (described(&found), complaints(&file), apart(&found));
        if words != *expected || !said.is_empty() || apart > 0.04 {
            wrong.push(format!(
                "{task}\n  wanted {expected}\n  found  {words}, begins {apart} s apart\n  {said}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Made by ffmpeg with these arguments, once for all tests.
fn source(name: &str, arguments: &[&str]) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let part = tempfile::Builder::new()
        .suffix(name)
        .tempfile_in(env!("CARGO_TARGET_TMPDIR"))
        .unwrap();
    let made = command("ffmpeg")
        .args(["-nostdin", "-v", "error", "-y"])
        .args(arguments)
        .arg(part.path())
        .status()
        .unwrap();
    assert!(made.success());
    part.persist(&path).unwrap();
    path
}

/// Two seconds at 25 frames, with sound, that say that they have the colours of HD.
fn hd() -> PathBuf {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    let make = || {
        let arguments = "-f lavfi -i testsrc2=s=320x180:r=25:d=2 -f lavfi -i sine=d=2:r=48000 -vf format=yuv420p \
            -c:v libx264 -preset ultrafast -colorspace bt709 -color_primaries bt709 -color_trc bt709 -color_range tv -c:a aac";
        source("hd.mp4", &arguments.split_whitespace().collect::<Vec<_>>())
    };
    MADE.get_or_init(make).clone()
}

/// A second in this high range, as its makers tag it.
fn high(transfer: &str) -> PathBuf {
    let filter = format!(
        "format=gbrpf32le,zscale=tin=iec61966-2-1:pin=bt709:min=gbr:rin=full:t={transfer}:p=bt2020:m=bt2020nc:r=tv:npl=203,\
         format=yuv420p10le"
    );
    let params = format!(
        "log-level=none:hdr10=1:colorprim=bt2020:transfer={transfer}:colormatrix=bt2020nc:max-cll=600,100:\
         master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"
    );
    let mut arguments: Vec<_> = "-f lavfi -i smptebars=s=320x180:r=25:d=0.6 -c:v libx265 -preset ultrafast -tag:v hvc1"
        .split_whitespace()
        .collect();
    arguments.extend(["-vf", &filter, "-x265-params", &params]);
    source(&format!("{transfer}.mp4"), &arguments)
}

/// The mean colour of a part of the first frame (`W:H:X:Y`), as red, green and blue.
fn colour(file: &Path, part: &str) -> [u8; 3] {
    let filter = format!("crop={part},scale=1:1:flags=area,format=rgb24");
    let ran = command("ffmpeg")
        .args(["-nostdin", "-v", "error", "-i"])
        .arg(file)
        .args(["-frames:v", "1", "-vf", &filter, "-f", "rawvideo", "-"])
        .output()
        .unwrap();
    ran.stdout[..3].try_into().unwrap()
}

#[test]
fn h265_goes_into_every_container_that_takes_it() {
    let video = "video = { codec = 'h265', preset = 'ultrafast' }";
    let film = "Main yuv420p bt709 50 frames";
    hold(&[
        (video, &format!("hevc/hvc1 {film}, aac, 2.0 s")),
        (
            &format!("container = 'mov'; {video}"),
            &format!("hevc/hvc1 {film}, aac, 2.0 s"),
        ),
        (
            &format!("container = 'mkv'; {video}"),
            &format!("hevc {film}, aac, 2.0 s"),
        ),
        (
            &format!("container = 'ts'; {video}"),
            &format!("hevc {film}, aac, 2.0 s"),
        ),
        (
            "video = { codec = 'h265', preset = 'veryfast', profile = 'main10', bframes = 2, bitrate = '300k' }",
            "hevc/hvc1 Main 10 yuv420p10le bt709 50 frames, aac, 2.0 s",
        ),
    ]);
}

#[test]
fn av1_goes_into_every_container_that_takes_it() {
    let film = "Main yuv420p bt709 50 frames";
    hold(&[
        (
            "video = { codec = 'av1', preset = 'ultrafast' }",
            &format!("av1/av01 {film}, aac, 2.0 s"),
        ),
        (
            "container = 'mkv'; video = { codec = 'av1', preset = 'superfast', gop = 10 }",
            &format!("av1 {film}, aac, 2.0 s"),
        ),
        (
            "container = 'webm'; video = { codec = 'av1', preset = 'ultrafast', bitrate = '200k', mode = 'cbr' }",
            &format!("av1 {film}, opus, 2.0 s"),
        ),
    ]);
}

#[test]
fn an_av1_file_describes_itself_as_the_standard_says() {
    let made = tried(&hd(), "height = 90; video = { codec = 'av1', preset = 'ultrafast' }");
    let bytes = std::fs::read(made.file()).unwrap();
    let at = bytes.windows(4).position(|four| four == b"av1C").unwrap();
    let length = u32::from_be_bytes(bytes[at - 4..at].try_into().unwrap()) as usize;
    // Version 1; main profile; 8 bits, colours of half the size; and the sequence header.
    assert_eq!(bytes[at + 4], 0x81);
    assert_eq!(bytes[at + 5] >> 5, 0);
    assert_eq!(bytes[at + 6] & 0b0111_1100, 0b0000_1100);
    assert_eq!(bytes[at + 8], 0x0a);
    assert_eq!(usize::from(bytes[at + 9]) + 4 + 2 + 8, length);
}

#[test]
fn what_is_made_for_studios_and_old_players_plays() {
    hold(&[
        (
            "container = 'ts'; video = { codec = 'mpeg2' }",
            "mpeg2video Main yuv420p bt709 50 frames, aac, 2.0 s",
        ),
        (
            "container = 'mkv'; video = { codec = 'mpeg2', bitrate = '2M' }",
            "mpeg2video Main yuv420p bt709 50 frames, aac, 2.0 s",
        ),
        (
            "container = 'mxf'",
            "mpeg2video Main yuv420p bt709 50 frames, pcm_s16le, 2.0 s",
        ),
        (
            "container = 'mxf'; width = 1280; height = 720; fit = 'pad'; upscale = true; video = { codec = 'dnxhd' }",
            "dnxhd DNXHR HQ yuv422p -/-/bt709 50 frames, pcm_s16le, 2.0 s",
        ),
        (
            "container = 'mxf'; width = 1280; height = 720; fit = 'pad'; upscale = true; \
             video = { codec = 'dnxhd', depth = 10 }",
            "dnxhd DNXHR HQX yuv422p10le -/-/bt709 50 frames, pcm_s16le, 2.0 s",
        ),
        (
            "container = 'mov'; video = { codec = 'prores' }; audio = { codec = 'pcm' }",
            "prores/apcn Standard yuv422p10le bt709 50 frames, pcm_s16le, 2.0 s",
        ),
        (
            "container = 'mov'; video = { codec = 'prores', profile = '4444' }",
            "prores/ap4h 4444 yuv444p12le bt709 50 frames, aac, 2.0 s",
        ),
        ("container = 'flv'", "h264 High yuv420p bt709 50 frames, aac, 2.0 s"),
    ]);
}

#[test]
fn profile_depth_and_level_are_as_asked() {
    hold(&[
        (
            "video = { profile = 'baseline', level = '3.0', preset = 'ultrafast' }",
            "h264/avc1 Constrained Baseline yuv420p bt709 50 frames, aac, 2.0 s",
        ),
        (
            "video = { profile = 'main', bframes = 2, tune = 'animation' }",
            "h264/avc1 Main yuv420p bt709 50 frames, aac, 2.0 s",
        ),
        (
            "video = { depth = 10 }",
            "h264/avc1 High 10 yuv420p10le bt709 50 frames, aac, 2.0 s",
        ),
        (
            "container = 'webm'; video = { depth = 10, preset = 'ultrafast' }",
            "vp9 Profile 2 yuv420p10le bt709 50 frames, opus, 2.0 s",
        ),
        (
            "video = { codec = 'vp9', preset = 'ultrafast' }",
            "vp9/vp09 Profile 0 yuv420p bt709 50 frames, aac, 2.0 s",
        ),
    ]);
    let level = |task: &str| stream(&probed(&tried(&hd(), task).file()), "video")["level"].clone();
    assert_eq!(level("video = { level = '4.1' }"), 41);
    assert_eq!(
        level("video = { codec = 'h265', preset = 'ultrafast', level = '4.1' }"),
        123
    );
    let small = tried(&hd(), "width = 1920; upscale = true; video = { level = '3.0' }");
    assert!(small.said.contains("level 4.0 is enough"), "{}", small.said);
    let odd = tried(&hd(), "container = 'mxf'; video = { codec = 'dnxhd' }");
    assert!(odd.said.contains("1920x1080 or 1280x720"), "{}", odd.said);
}

#[test]
fn two_passes_meet_the_bitrate_and_leave_nothing_behind() {
    let wanted = 250_000.0;
    for (codec, container) in [("h264", "mp4"), ("h265", "mp4"), ("vp8", "webm"), ("vp9", "webm")] {
        let task = format!(
            "container = '{container}'; height = 180; audio = 'none'; \
             video = {{ codec = '{codec}', preset = 'ultrafast', bitrate = '250k', passes = 2 }}"
        );
        let made = tried(&media("plain.mp4"), &task);
        let file = made.file();
        let found = probed(&file);
        assert_eq!(stream(&found, "video")["nb_read_frames"], "150", "{codec}");
        assert_eq!(complaints(&file), "", "{codec}");
        let rate: f64 = found["format"]["bit_rate"].as_str().unwrap().parse().unwrap();
        assert!((0.7..1.3).contains(&(rate / wanted)), "{codec}: {rate}");
    }
}

/// Three seconds that no encoder can foretell.
fn grain() -> PathBuf {
    let film = "-f lavfi -i testsrc2=s=320x180:r=25:d=3 -vf noise=alls=12:allf=t,format=yuv420p -c:v libx264 \
        -preset ultrafast -crf 10";
    source("grain.mp4", &film.split_whitespace().collect::<Vec<_>>())
}

/// What ffprobe says of the film's packets: the bytes of each, and whether it is a key frame.
fn packets(file: &Path) -> Vec<(usize, bool)> {
    let seen = command("ffprobe")
        .args([
            "-v",
            "error",
            "-select_streams",
            "v",
            "-show_entries",
            "packet=size,flags",
            "-of",
            "csv=p=0",
        ])
        .arg(file)
        .output()
        .unwrap();
    let text = String::from_utf8(seen.stdout).unwrap();
    let packet = |line: &str| {
        let (size, flags) = line.split_once(',')?;
        Some((size.parse().ok()?, flags.starts_with('K')))
    };
    text.lines().filter_map(packet).collect()
}

#[test]
fn mpeg2_has_the_bitrate_the_quality_and_the_key_frames_that_were_asked_for() {
    let grain = grain();
    let made = |film: &Path, video: &str| {
        let task = format!("container = 'ts'; audio = 'none'; video = {{ codec = 'mpeg2', {video} }}");
        let made = tried(film, &task);
        let file = made.file();
        assert_eq!(complaints(&file), "", "{video}");
        let packets = packets(&file);
        let keys: Vec<usize> = (0..packets.len()).filter(|at| packets[*at].1).collect();
        let bytes: usize = packets.iter().map(|packet| packet.0).sum();
        (bytes * 8, keys, stream(&probed(&file), "video").clone())
    };
    // A bitrate is reached, whether there is much to see or next to nothing: that is filled up.
    for bitrate in [1_200_000, 3_000_000] {
        for (film, seconds) in [(grain.clone(), 3), (media("plain.mp4"), 5)] {
            let (bits, ..) = made(&film, &format!("bitrate = '{}k'", bitrate / 1000));
            assert!(
                (bitrate * seconds * 9 / 10..bitrate * seconds * 115 / 100).contains(&bits),
                "{}: {bits} of {bitrate}",
                film.display()
            );
        }
    }
    // Twice the step of the quantiser, and not even two thirds of the bits.
    let sizes = [2.0, 4.0, 8.0, 16.0, 31.0].map(|crf| made(&grain, &format!("crf = {crf}")).0);
    assert!(sizes.windows(2).all(|two| two[1] * 3 < two[0] * 2), "{sizes:?}");
    for (gop, wanted) in [
        ("10", "0 10 20 30 40 50 60 70"),
        ("'1s'", "0 25 50"),
        ("'600ms'", "0 15 30 45 60"),
    ] {
        let (_, keys, _) = made(&grain, &format!("gop = {gop}"));
        let keys: Vec<String> = keys.iter().map(usize::to_string).collect();
        assert_eq!(keys.join(" "), wanted, "{gop}");
    }
    for (fps, wanted) in [
        (23.976, "24000/1001 72"),
        (29.97, "30000/1001 90"),
        (50.0, "50/1 150"),
        (59.94, "60000/1001 180"),
    ] {
        let (_, _, film) = made(&grain, &format!("fps = {fps}"));
        let text = |field: &str| film[field].as_str().unwrap().to_owned();
        assert_eq!(format!("{} {}", text("r_frame_rate"), text("nb_read_frames")), wanted);
        assert_eq!(
            (text("sample_aspect_ratio").as_str(), text("field_order").as_str()),
            ("1:1", "progressive")
        );
    }
}

#[test]
fn films_of_grain_are_about_as_large_as_their_bitrate_or_quality_says() {
    let film = grain();
    // Thousands of bits a second.
    for (video, least, most) in [
        ("codec = 'av1', preset = 'faster', bitrate = '300k'", 150.0, 700.0),
        ("codec = 'vp9', preset = 'faster', crf = 40", 120.0, 500.0),
        ("codec = 'vp9', preset = 'ultrafast', crf = 40", 200.0, 800.0),
    ] {
        let made = tried(&film, &format!("container = 'webm'; video = {{ {video} }}"));
        let found = probed(&made.file());
        let rate: f64 = found["format"]["bit_rate"].as_str().unwrap().parse().unwrap();
        assert!((least..most).contains(&(rate / 1000.0)), "{video}: {rate}");
    }
}

#[test]
fn frames_are_turned_and_made_whole_as_the_task_says() {
    let size = |source: &str, task: &str| {
        let made = tried(&media(source), task);
        let found = probed(&made.file());
        let film = stream(&found, "video");
        (film["width"].as_i64().unwrap(), film["height"].as_i64().unwrap())
    };
    let fast = "end = '1s'; video = { preset = 'ultrafast' }";
    let (width, height) = size("plain.mp4", fast);
    assert_eq!(size("plain.mp4", &format!("rotate = 90; {fast}")), (height, width));
    assert_eq!(size("plain.mp4", &format!("rotate = 180; {fast}")), (width, height));
    let (width, height) = size("turned.mp4", fast);
    assert_eq!(size("turned.mp4", &format!("rotate = 270; {fast}")), (height, width));

    // How many frames look as if they were made of two fields.
    let combed = |task: &str| {
        let made = tried(&media("interlaced.ts"), task);
        let file = made.file();
        let seen = command("ffmpeg")
            .args(["-nostdin", "-v", "info", "-i"])
            .arg(file)
            .args(["-vf", "idet", "-f", "null", "-"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&seen.stderr).into_owned();
        let line = said
            .lines()
            .find(|line| line.contains("Multi frame detection"))
            .unwrap();
        let count = |name: &str| {
            let after = line.split(name).nth(1).unwrap();
            after.split_whitespace().next().unwrap().parse::<u32>().unwrap()
        };
        count("TFF:") + count("BFF:") > count("Progressive:")
    };
    let fine = "video = { preset = 'ultrafast', crf = 10 }";
    assert!(combed(&format!("deinterlace = 'off'; {fine}")));
    assert!(!combed(fine));
    assert!(!combed(&format!("deinterlace = 'always'; {fine}")));
}

#[test]
fn a_high_range_is_mapped_to_what_screens_show_or_kept() {
    // The bars of SMPTE: grey of three quarters, then yellow.
    for transfer in ["smpte2084", "arib-std-b67"] {
        let film = high(transfer);
        let mapped = tried(&film, "video = { preset = 'ultrafast', crf = 5 }");
        let made = mapped.file();
        let found = described(&probed(&made));
        assert_eq!(
            found, "h264/avc1 Constrained Baseline yuv420p bt709 15 frames, -, 0.6 s",
            "{transfer}"
        );
        let [red, green, blue] = colour(&made, "20:40:10:10");
        assert!((160..205).contains(&red), "{transfer}: {red} {green} {blue}");
        assert!(
            red.abs_diff(green) < 6 && red.abs_diff(blue) < 6,
            "{transfer}: {red} {green} {blue}"
        );
        let [red, green, blue] = colour(&made, "20:40:55:10");
        assert!(
            red > 150 && green > 150 && blue < 60,
            "{transfer}: {red} {green} {blue}"
        );

        let kept = tried(&film, "hdr = 'keep'; video = { codec = 'h265', preset = 'ultrafast' }");
        let found = described(&probed(&kept.file()));
        let wanted = format!("hevc/hvc1 Main 10 yuv420p10le bt2020/{transfer}/bt2020nc 15 frames, -, 0.6 s");
        assert_eq!(found, wanted);
        let kept = tried(
            &film,
            "hdr = 'keep'; container = 'webm'; video = { preset = 'ultrafast' }",
        );
        let found = described(&probed(&kept.file()));
        let wanted = format!("vp9 Profile 2 yuv420p10le bt2020/{transfer}/bt2020nc 15 frames, -, 0.6 s");
        assert_eq!(found, wanted);
    }
}

#[test]
fn a_film_without_a_high_range_keeps_its_depth_unless_the_rule_says_one() {
    let pixels = |source: &Path, settings: &str| {
        let made = tried(source, &format!("end = '400ms'; height = 90; hdr = 'keep'; {settings}"));
        let file = made.file();
        assert_eq!(complaints(&file), "", "{settings}");
        let film = &probed(&file)["streams"][0];
        format!(
            "{} {}",
            film["profile"].as_str().unwrap(),
            film["pix_fmt"].as_str().unwrap()
        )
    };
    let (plain, deep) = (media("plain.mp4"), media("ten-bit.mkv"));
    let h265 = |more: &str| format!("video = {{ codec = 'h265', preset = 'ultrafast'{more} }}");
    assert_eq!(pixels(&plain, &h265("")), "Main yuv420p");
    assert_eq!(pixels(&plain, &h265(", depth = 10")), "Main 10 yuv420p10le");
    assert_eq!(pixels(&plain, &h265(", profile = 'main10'")), "Main 10 yuv420p10le");
    assert_eq!(pixels(&plain, "container = 'webm'"), "Profile 0 yuv420p");
    assert_eq!(pixels(&deep, &h265("")), "Main 10 yuv420p10le");
}

#[test]
fn what_a_codec_cannot_is_told_at_once_with_what_it_can() {
    let folder = tempfile::tempdir().unwrap();
    let rule = folder.path().join("rule.toml");
    let text = "[trigger]\nbucket = \"inbox\"\n\
        [task.a]\nkind = \"transcode\"\nrotate = 45\n\
        video = { codec = \"h264\", profile = \"main\", depth = 10, mode = \"cbr\", passes = 2 }\n\
        [task.b]\nkind = \"transcode\"\ncontainer = \"mov\"\nvideo = { codec = \"prores\", crf = 20, preset = \"fast\", tune = \"film\" }\n\
        [task.e]\nkind = \"transcode\"\nhdr = \"keep\"\n\
        [task.c]\nkind = \"transcode\"\ncontainer = \"flv\"\nvideo = { codec = \"h265\" }\n\
        [task.d]\nkind = \"transcode\"\nvideo = { codec = \"av1\", depth = 10, bitrate = \"1M\", passes = 2, max_bitrate = \"2M\" }\n";
    std::fs::write(&rule, text).unwrap();
    let tried = command(env!("CARGO_BIN_EXE_reelmill"))
        .args(["try"])
        .args([&rule, &hd()])
        .arg("--out")
        .arg(folder.path().join("out"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&tried.stderr).into_owned() + &String::from_utf8_lossy(&tried.stdout);
    for expected in [
        "0, 90, 180 or 270",
        "\"h264\" is not used for a high dynamic range here",
        "the profile \"main\" has 8 bits a sample",
        "`task.a.video.mode` has no effect without a bitrate",
        "`task.b.video.crf` has no effect on \"prores\"",
        "`task.b.video.preset` has no effect on \"prores\"",
        "`task.b.video.tune` has no effect on \"prores\"",
        "\"h265\" cannot be put into \"flv\"",
        "\"av1\" has no 10 bits a sample here",
        "\"av1\" has one pass here",
        "\"av1\" keeps no bound beside its average",
    ] {
        assert!(said.contains(expected), "{expected} is not in\n{said}");
    }
}
