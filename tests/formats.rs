//! Every form that a task can make, by the real binary on real media, judged by ffmpeg: what it shows and hears, how
//! long it is, and that it decodes to its end without a word of complaint.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod harness;

use std::path::{Path, PathBuf};
use std::process::Command;

use harness::trial::{Trial, complaints, medium as media, probed};

#[allow(clippy::disallowed_methods, reason = "a test runs programs")]
fn command(program: &str) -> Command {
    Command::new(program)
}

/// Tries a rule with this one task.
fn tried(source: &Path, task: &str) -> Trial {
    Trial::of(source, &format!("[task.t]\n{task}"))
}

/// `h264 640x360 150 frames, aac 48000 Hz x2, 5.0 s`, as ffprobe sees it; frames are counted by decoding.
fn described(file: &Path) -> String {
    let all = probed(file);
    let mut words = Vec::new();
    for stream in all["streams"].as_array().unwrap() {
        let codec = stream["codec_name"].as_str().unwrap();
        if stream["codec_type"] == "video" {
            let frames = stream["nb_read_frames"].as_str().unwrap();
            let rotation = stream["side_data_list"][0]["rotation"].as_i64();
            let rotation = rotation.map_or_else(String::new, |by| format!(" turned {by}"));
            words.push(format!(
                "{codec} {}x{}{rotation} {frames} frames",
                stream["width"], stream["height"]
            ));
        } else {
            let rate = stream["sample_rate"].as_str().unwrap();
            words.push(format!("{codec} {rate} Hz x{}", stream["channels"]));
        }
    }
    let length: f64 = all["format"]["duration"]
        .as_str()
        .map_or(-1.0, |text| text.parse().unwrap());
    words.push(format!("{length:.1} s"));
    words.join(", ")
}

/// Makes each and holds what came of it against what should; tells all that differ.
fn hold(table: &[(&str, &str, &str)]) {
    let mut wrong = Vec::new();
    for (source, task, expected) in table {
        let made = tried(
            &media(source),
            &format!("kind = \"transcode\"\n{}", task.replace("; ", "\n")),
        );
        if !made.good {
            wrong.push(format!("{source}: {task}: {}", made.said));
            continue;
        }
        let file = made.file();
        let (found, said) = (described(&file), complaints(&file));
        if &found != expected || !said.is_empty() {
            wrong.push(format!(
                "{source}: {task}\n  wanted {expected}\n  found  {found}\n  {said}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_container_plays_with_what_it_holds_by_default() {
    hold(&[
        ("plain.mp4", "", "h264 640x360 150 frames, aac 48000 Hz x2, 5.0 s"),
        (
            "plain.mp4",
            "container = 'mov'",
            "h264 640x360 150 frames, aac 48000 Hz x2, 5.0 s",
        ),
        (
            "plain.mp4",
            "container = 'mkv'",
            "h264 640x360 150 frames, aac 48000 Hz x2, 5.0 s",
        ),
        (
            "plain.mp4",
            "container = 'webm'",
            "vp9 640x360 150 frames, opus 48000 Hz x2, 5.0 s",
        ),
        (
            "plain.mp4",
            "container = 'ts'",
            "h264 640x360 150 frames, aac 48000 Hz x2, 5.0 s",
        ),
        ("plain.mp4", "container = 'm4a'", "aac 48000 Hz x2, 5.0 s"),
        ("plain.mp4", "container = 'mp3'", "mp3 48000 Hz x2, 5.0 s"),
        ("plain.mp4", "container = 'ogg'", "opus 48000 Hz x2, 5.0 s"),
        ("plain.mp4", "container = 'flac'", "flac 48000 Hz x2, 5.0 s"),
        ("plain.mp4", "container = 'wav'", "pcm_s16le 48000 Hz x2, 5.0 s"),
    ]);
}

#[test]
fn codecs_go_where_they_fit() {
    hold(&[
        (
            "plain.mp4",
            "container = 'webm'; video = { codec = 'vp8', preset = 'ultrafast' }; height = 180",
            "vp8 320x180 150 frames, opus 48000 Hz x2, 5.0 s",
        ),
        (
            "plain.mp4",
            "container = 'mkv'; video = { codec = 'vp8', bitrate = '400k' }; audio = { codec = 'flac' }; height = 180",
            "vp8 320x180 150 frames, flac 48000 Hz x2, 5.0 s",
        ),
        (
            "plain.mp4",
            "container = 'mkv'; video = { codec = 'vp9', crf = 45, preset = 'fast', gop = 30 }; audio = { codec = 'pcm' }; height = 90",
            "vp9 160x90 150 frames, pcm_s16le 48000 Hz x2, 5.0 s",
        ),
        (
            "plain.mp4",
            "video = { codec = 'vp9' }; audio = { codec = 'opus', bitrate = '64k' }; height = 90",
            "vp9 160x90 150 frames, opus 48000 Hz x2, 5.0 s",
        ),
        (
            "plain.mp4",
            "container = 'mov'; audio = { codec = 'pcm' }; video = { fps = 10 }; height = 90",
            "h264 160x90 50 frames, pcm_s16le 48000 Hz x2, 5.0 s",
        ),
        (
            "plain.mp4",
            "container = 'ts'; audio = { codec = 'mp3' }; height = 90",
            "h264 160x90 150 frames, mp3 48000 Hz x2, 5.0 s",
        ),
        (
            "variable.mkv",
            "container = 'webm'; height = 90",
            "vp9 160x90 102 frames, opus 48000 Hz x1, 5.0 s",
        ),
        (
            "variable.mkv",
            "container = 'ts'; height = 90",
            "h264 160x90 102 frames, aac 48000 Hz x1, 5.1 s",
        ),
        // Small pictures with many bits are more than libvpx hands over at the end.
        (
            "plain.mp4",
            "container = 'webm'; video = { codec = 'vp9', crf = 4, preset = 'fast' }; height = 34; audio = 'none'",
            "vp9 60x34 150 frames, 5.0 s",
        ),
    ]);
}

#[test]
fn sound_has_the_channels_rate_and_bitrate_that_were_asked_for() {
    hold(&[
        ("surround.mp4", "container = 'm4a'", "aac 48000 Hz x6, 5.0 s"),
        ("surround.mp4", "container = 'ogg'", "opus 48000 Hz x6, 5.0 s"),
        ("surround.mp4", "container = 'flac'", "flac 48000 Hz x6, 5.0 s"),
        ("surround.mp4", "container = 'wav'", "pcm_s16le 48000 Hz x6, 5.0 s"),
        ("surround.mp4", "container = 'mp3'", "mp3 48000 Hz x2, 5.0 s"),
        (
            "sound.wav",
            "container = 'mp3'; audio = { channels = 1, rate = 22050, bitrate = '32k' }",
            "mp3 22050 Hz x1, 5.1 s",
        ),
        (
            "sound.flac",
            "container = 'wav'; audio = { channels = 2, rate = 96000 }",
            "pcm_s16le 96000 Hz x2, 5.0 s",
        ),
        (
            "sound.mp3",
            "container = 'm4a'; audio = { channels = 2, rate = 44100, bitrate = '96k' }",
            "aac 44100 Hz x2, 5.0 s",
        ),
        (
            "cover.mp3",
            "container = 'flac'",
            "flac 48000 Hz x1, png 320x320 1 frames, 5.0 s",
        ),
    ]);
    let sizes = ["64k", "256k"].map(|bitrate| {
        let task = format!("kind = 'transcode'\ncontainer = 'mp3'\naudio = {{ bitrate = '{bitrate}' }}");
        tried(&media("sound.wav"), &task).file().metadata().unwrap().len() * 8 / 5
    });
    assert!(
        sizes[0].abs_diff(64_000) < 4_000 && sizes[1].abs_diff(256_000) < 12_000,
        "{sizes:?}"
    );
}

#[test]
fn an_mp3_says_truly_how_long_it_is_and_keeps_its_title() {
    let made = tried(
        &media("longer.mp4"),
        "kind = 'transcode'\ncontainer = 'mp3'\naudio = { bitrate = '96k' }",
    );
    let file = made.file();
    let decoded = command("ffmpeg")
        .args(["-nostdin", "-v", "error", "-i"])
        .arg(&file)
        .args(["-f", "s16le", "-ac", "1", "-ar", "8000", "-"])
        .output()
        .unwrap();
    let heard = decoded.stdout.len() as f64 / 16_000.0;
    assert!((heard - 20.0).abs() < 0.1, "{heard}");
    // The header says so; nobody had to guess from the bitrate.
    let header = std::fs::read(&file).unwrap();
    let tagged = |mark: &[u8]| header[..4096].windows(mark.len()).any(|at| at == mark);
    assert!(tagged(b"Xing") || tagged(b"Info"), "no header tells the length");
    let titled = tried(&media("sound.mp3"), "kind = 'transcode'\ncontainer = 'mp3'");
    let title = command("ffprobe")
        .args([
            "-v",
            "error",
            "-show_entries",
            "format_tags=title,artist",
            "-of",
            "csv=p=0",
        ])
        .arg(titled.file())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&title.stdout).trim(), "A tone,Nobody");
}

#[test]
fn streams_are_copied_as_they_are() {
    let both = "video = 'copy'; audio = 'copy'; container = ";
    let copied = |to: &str| format!("{both}'{to}'");
    hold(&[
        (
            "plain.mp4",
            &copied("mkv"),
            "h264 640x360 150 frames, aac 48000 Hz x2, 5.0 s",
        ),
        (
            "plain.mp4",
            &copied("ts"),
            "h264 640x360 150 frames, aac 48000 Hz x2, 5.0 s",
        ),
        (
            "plain.mp4",
            &copied("mov"),
            "h264 640x360 150 frames, aac 48000 Hz x2, 5.0 s",
        ),
        (
            "plain.ts",
            &copied("mp4"),
            "h264 640x360 150 frames, aac 48000 Hz x2, 5.0 s",
        ),
        (
            "plain.mkv",
            &copied("mp4"),
            "h264 640x360 150 frames, aac 48000 Hz x2, 5.0 s",
        ),
        (
            "plain.flv",
            &copied("mp4"),
            "h264 640x360 150 frames, aac 48000 Hz x2, 5.0 s",
        ),
        (
            "vp9.webm",
            &copied("webm"),
            "vp9 640x360 150 frames, opus 48000 Hz x1, 5.0 s",
        ),
        (
            "ten-bit.mkv",
            &copied("mp4"),
            "hevc 640x360 150 frames, aac 48000 Hz x1, 5.0 s",
        ),
        (
            "turned.mp4",
            &copied("mp4"),
            "h264 640x360 turned 90 150 frames, aac 48000 Hz x2, 5.0 s",
        ),
        (
            "program.mpg",
            &copied("mkv"),
            "mpeg2video 640x360 150 frames, mp2 48000 Hz x1, 5.0 s",
        ),
        (
            "sound.mp3",
            "audio = 'copy'; container = 'mp3'",
            "mp3 48000 Hz x1, 5.1 s",
        ),
        (
            "plain.mp4",
            "audio = 'copy'; container = 'm4a'",
            "aac 48000 Hz x2, 5.0 s",
        ),
        (
            "sound.opus",
            "audio = 'copy'; container = 'ogg'",
            "opus 48000 Hz x1, 5.0 s",
        ),
        (
            "sound.flac",
            "audio = 'copy'; container = 'flac'",
            "flac 48000 Hz x1, 5.0 s",
        ),
        (
            "sound.wav",
            "audio = 'copy'; container = 'wav'",
            "pcm_s16le 48000 Hz x1, 5.0 s",
        ),
        (
            "plain.mp4",
            "video = 'copy'; audio = { codec = 'mp3' }; container = 'mkv'",
            "h264 640x360 150 frames, mp3 48000 Hz x2, 5.0 s",
        ),
        (
            "plain.mp4",
            "audio = { codec = 'copy' }; height = 90",
            "h264 160x90 150 frames, aac 48000 Hz x2, 5.0 s",
        ),
    ]);
    // Not one picture is another.
    let copy = tried(
        &media("plain.mp4"),
        &format!("kind = 'transcode'\n{}", copied("mov").replace("; ", "\n")),
    );
    assert_eq!(pictures(&copy.file()), pictures(&media("plain.mp4")));
    // What says nothing of when it is shown is shown as it comes, where nothing looks ahead.
    let copy = tried(
        &media("old.avi"),
        "kind = 'transcode'\nvideo = 'copy'\ncontainer = 'mkv'",
    );
    assert_eq!(pictures(&copy.file()), pictures(&media("old.avi")));
}

/// A sum of all pictures of a film.
fn pictures(file: &Path) -> String {
    let hashed = command("ffmpeg")
        .args(["-nostdin", "-v", "error", "-i"])
        .arg(file)
        .args(["-map", "0:v", "-fps_mode", "passthrough", "-f", "md5", "-"])
        .output()
        .unwrap();
    let told = String::from_utf8(hashed.stdout).unwrap();
    assert!(told.starts_with("MD5="), "{told}");
    told
}

#[test]
fn what_a_container_cannot_hold_is_not_copied_into_it() {
    let made = tried(&media("vp8.webm"), "kind = 'transcode'\nvideo = 'copy'\naudio = 'none'");
    assert!(!made.good);
    assert!(made.said.contains("VP8 cannot be copied into mp4"), "{}", made.said);
    let made = tried(&media("av1.mp4"), "kind = 'transcode'\nvideo = 'copy'\naudio = 'none'");
    assert!(made.said.contains("AV1 cannot be copied into mp4"), "{}", made.said);
    let made = tried(&media("plain.ts"), "kind = 'transcode'\nvideo = 'copy'\nstart = '2s'");
    assert!(made.said.contains("has no index"), "{}", made.said);
}

#[test]
fn parts_begin_and_end_where_they_should() {
    hold(&[
        (
            "longer.mp4",
            "start = '5s'; end = '-10s'; height = 90",
            "h264 160x90 150 frames, aac 48000 Hz x1, 5.0 s",
        ),
        (
            "longer.mp4",
            "start = '75%'; height = 90",
            "h264 160x90 150 frames, aac 48000 Hz x1, 5.0 s",
        ),
        (
            "longer.mp4",
            "end = '1s'; height = 90",
            "h264 160x90 30 frames, aac 48000 Hz x1, 1.0 s",
        ),
        (
            "longer.mkv",
            "start = '18.5s'; end = '60s'; height = 90",
            // The picture that is on at 18.5 s, and all that follow.
            "h264 160x90 46 frames, aac 48000 Hz x1, 1.5 s",
        ),
        // The rate is filled up to the end of the part, and no further.
        (
            "longer.mp4",
            "end = '10s'; video = { fps = 25 }; height = 90",
            "h264 160x90 250 frames, aac 48000 Hz x1, 10.0 s",
        ),
        (
            "longer.mp4",
            "start = '3s'; end = '7.5s'; video = { fps = 60 }; height = 90",
            "h264 160x90 270 frames, aac 48000 Hz x1, 4.5 s",
        ),
        (
            "plain.ts",
            "start = '1s'; end = '3s'; height = 90",
            "h264 160x90 60 frames, aac 48000 Hz x2, 2.0 s",
        ),
        (
            "longer.mp4",
            "container = 'wav'; start = '1.2s'; end = '1.6s'",
            "pcm_s16le 48000 Hz x1, 0.4 s",
        ),
        (
            "longer.mp4",
            "container = 'mp3'; start = '-2s'",
            "mp3 48000 Hz x1, 2.0 s",
        ),
        (
            "late-sound.mp4",
            "start = '2s'; end = '4s'; height = 90",
            "h264 160x90 60 frames, aac 48000 Hz x2, 2.0 s",
        ),
    ]);
    let made = tried(&media("plain.mp4"), "kind = 'transcode'\nstart = '10s'");
    assert!(
        made.said.contains("starts at 10 s, and the medium is 5"),
        "{}",
        made.said
    );
    // Copied pictures begin at the key frame before: one every two seconds.
    let task = "kind = 'transcode'\nvideo = 'copy'\naudio = 'copy'\nstart = '5s'\nend = '9s'";
    let copy = tried(&media("longer.mp4"), task);
    assert_eq!(complaints(&copy.file()), "");
    let found = described(&copy.file());
    assert!(found.ends_with("5.1 s") || found.ends_with("5.0 s"), "{found}");
    // Sound that is encoded beside them begins with them.
    let task = "kind = 'transcode'\nvideo = 'copy'\nstart = '5s'\nend = '9s'";
    let beside = described(&tried(&media("longer.mp4"), task).file());
    assert!(beside.ends_with("5.1 s") || beside.ends_with("5.0 s"), "{beside}");
}

/// Brightness of a pixel in a frame at this time of a file, 0 to 255, and of every one of the row.
fn row(file: &Path, at: &str, y: u32, width: u32) -> Vec<u8> {
    let shown = command("ffmpeg")
        .args(["-nostdin", "-v", "error", "-ss", at, "-i"])
        .arg(file)
        .args(["-frames:v", "1", "-vf"])
        .arg(format!("format=gray,crop={width}:1:0:{y}"))
        .args(["-f", "rawvideo", "-"])
        .output()
        .unwrap();
    shown.stdout
}

#[test]
fn a_part_shows_the_frames_of_that_part() {
    for (name, like, start) in [("longer.mp4", "longer.mp4", 7.3), ("longer.mkv", "longer.mp4", 7.3)] {
        let end = start + 1.7;
        let task =
            format!("kind = 'transcode'\nstart = '{start}s'\nend = '{end}s'\nvideo = {{ crf = 5 }}\naudio = 'none'");
        let made = tried(&media(name), &task);
        // The test picture counts its frames in its upper left corner.
        let seen = |file: &Path, at: f64| row(file, &format!("{at:.3}"), 40, 120);
        let found = seen(&made.file(), 0.5);
        assert_eq!(found.len(), 120);
        let source = media(like);
        let apart = |at: f64| -> u64 {
            let shown = seen(&source, at);
            found.iter().zip(&shown).map(|(a, b)| u64::from(a.abs_diff(*b))).sum()
        };
        for other in [-0.1, 0.1] {
            let (wanted, other) = (apart(start + 0.5), apart(start + 0.5 + other));
            assert!(wanted * 2 < other, "{name}: {wanted} {other}");
        }
    }
}

#[test]
fn pictures_fit_their_frames() {
    let square = |fit: &str| format!("width = 320; height = 320; fit = '{fit}'; audio = 'none'");
    let table: Vec<(&str, String, &str)> = vec![
        ("plain.mp4", square("contain"), "h264 320x180 150 frames, 5.0 s"),
        ("plain.mp4", square("pad"), "h264 320x320 150 frames, 5.0 s"),
        ("plain.mp4", square("cover"), "h264 320x320 150 frames, 5.0 s"),
        ("plain.mp4", square("stretch"), "h264 320x320 150 frames, 5.0 s"),
        ("turned.mp4", square("contain"), "h264 180x320 150 frames, 5.0 s"),
        ("wide-pixels.mp4", square("cover"), "h264 320x320 75 frames, 3.0 s"),
        (
            "turned.mp4",
            "long_side = 320; audio = 'none'".to_owned(),
            "h264 180x320 150 frames, 5.0 s",
        ),
        (
            "turned.mp4",
            "short_side = 90; audio = 'none'".to_owned(),
            "h264 90x160 150 frames, 5.0 s",
        ),
        (
            "plain.mp4",
            "height = 720; audio = 'none'".to_owned(),
            "h264 640x360 150 frames, 5.0 s",
        ),
        (
            "plain.mp4",
            "height = 480; upscale = true; audio = 'none'".to_owned(),
            "h264 854x480 150 frames, 5.0 s",
        ),
    ];
    let table: Vec<_> = table
        .iter()
        .map(|(source, task, wanted)| (*source, task.as_str(), *wanted))
        .collect();
    hold(&table);
    // Bars are black, a cut picture has none, and a stretched one shows all from edge to edge.
    let seen = |fit: &str| {
        let task = format!("kind = 'transcode'\n{}", square(fit).replace("; ", "\n"));
        let made = tried(&media("plain.mp4"), &task);
        let file = made.file();
        let brightest = |y| row(&file, "1", y, 320).into_iter().max().unwrap();
        (brightest(20), brightest(160))
    };
    let (bar, middle) = seen("pad");
    assert!(bar < 24 && middle > 100, "{bar} {middle}");
    assert!(seen("cover").0 > 100 && seen("stretch").0 > 100);
}

#[test]
fn a_pipeline_in_the_rules_own_words_does_what_it_says() {
    let task = |launch: &str| format!("kind = 'pipeline'\nextension = 'wav'\nlaunch = '{launch}'");
    let wav = task("{input} ! decodebin ! audioconvert ! audioresample ! audio/x-raw,rate=8000 ! wavenc ! {output}");
    assert_eq!(
        described(&tried(&media("sound.mp3"), &wav).file()),
        "pcm_s16le 8000 Hz x1, 5.0 s"
    );
    for (launch, reason) in [
        ("{input} ! nosuchthing ! {output}", "no element"),
        ("{input} ! ! {output}", "syntax error"),
        ("{input} ! fakesink videotestsrc ! {output}", "no element"),
        ("{input} ! identity drop-probability=1 ! {output}", "is empty"),
        ("{input} ! oggdemux ! {output}", "damaged"),
    ] {
        let made = tried(&media("sound.mp3"), &task(launch));
        assert!(!made.good, "{launch}");
        assert!(made.said.contains(reason), "{launch}: {}", made.said);
    }
    let unfit =
        "kind = 'pipeline'\nextension = 'wav'\nlaunch = '{input} ! qtdemux name=d d.audio_0 ! wavenc ! {output}'";
    let said = tried(&media("plain.mp4"), unfit).said;
    assert!(
        said.contains("gives what the next element cannot take") || said.contains("gives what no element"),
        "{said}"
    );
    assert!(!said.contains("damaged"), "{said}");
}

/// A film of eight seconds that flashes and beeps at each full second from the first on, with this sound, in this form.
fn flashing(folder: &Path, name: &str, sound: &str) -> PathBuf {
    let file = folder.join(name);
    let film = "color=black:s=320x180:r=25:d=8,drawbox=c=white:t=fill:enable='lt(mod(t,1),0.079)*gte(t,0.9)'";
    let beeps = "aevalsrc='0.6*sin(2*PI*1000*t)*lt(mod(t,1),0.08)*gte(t,0.9)':s=48000:d=8";
    let made = command("ffmpeg")
        .args([
            "-nostdin", "-v", "error", "-f", "lavfi", "-i", film, "-f", "lavfi", "-i", beeps,
        ])
        .args([
            "-c:v", "libx264", "-g", "50", "-pix_fmt", "yuv420p", "-c:a", sound, "-ac", "2",
        ])
        .arg(&file)
        .status()
        .unwrap();
    assert!(made.success());
    file
}

/// When the first flash and the first beep come, in seconds.
fn flash_and_beep(file: &Path) -> (f64, f64) {
    let ran = command("ffmpeg")
        .args(["-nostdin", "-hide_banner", "-i"])
        .arg(file)
        .args([
            "-vf",
            "blackdetect=d=0.1:pix_th=0.5",
            "-af",
            "silencedetect=d=0.1:n=-20dB",
        ])
        .args(["-fps_mode", "passthrough", "-f", "null", "-"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    let first = |word: &str| -> f64 {
        let at = said.find(word).unwrap_or_else(|| panic!("no {word} in {said}")) + word.len();
        said[at..].split_whitespace().next().unwrap().parse().unwrap()
    };
    (first("black_end:"), first("silence_end:"))
}

#[test]
fn sound_stays_with_its_picture() {
    let folder = tempfile::tempdir().unwrap();
    let mp4 = flashing(folder.path(), "a.mp4", "aac");
    let mkv = flashing(folder.path(), "b.mkv", "libopus");
    let ts = flashing(folder.path(), "c.ts", "aac");
    let late = folder.path().join("late.mp4");
    let made = command("ffmpeg")
        .args(["-nostdin", "-v", "error", "-i"])
        .arg(&mp4)
        .args(["-af", "atrim=start=0.7", "-c:v", "copy", "-c:a", "aac"])
        .arg(&late)
        .status();
    assert!(made.unwrap().success());
    let mut wrong = Vec::new();
    for (source, task, flash) in [
        (&mp4, "", 1.0),
        (&mp4, "audio = { codec = 'mp3' }", 1.0),
        (&mp4, "audio = { codec = 'opus' }", 1.0),
        (&mkv, "audio = 'copy'", 1.0),
        (&mp4, "container = 'mkv'", 1.0),
        (&mp4, "container = 'mkv'\naudio = { codec = 'aac', rate = 8000 }", 1.1),
        (&mp4, "container = 'ts'", 1.0),
        (&mp4, "container = 'ts'\nvideo = 'copy'\naudio = { codec = 'mp3' }", 1.0),
        (&mp4, "container = 'mov'\nvideo = 'copy'", 1.0),
        (
            &mp4,
            "container = 'webm'\nvideo = { codec = 'vp8' }\nstart = '3300ms'",
            0.7,
        ),
        (&mkv, "start = '3300ms'", 0.7),
        (&ts, "container = 'mkv'\nvideo = 'copy'\naudio = 'copy'", 1.0),
        (&ts, "start = '3300ms'", 0.7),
        (&ts, "container = 'ts'\nstart = '3300ms'", 0.7),
        (&late, "", 1.0),
        (&late, "container = 'mkv'", 1.0),
    ] {
        let made = tried(source, &format!("kind = 'transcode'\n{task}"));
        let (seen, heard) = flash_and_beep(&made.file());
        if (seen - heard).abs() > 0.012 || (seen - flash).abs() > 0.05 {
            wrong.push(format!(
                "{}: {task}: flash at {seen}, beep at {heard}",
                source.display()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn stills_of_mpeg_streams_are_where_they_are_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let ts = flashing(folder.path(), "c.ts", "aac");
    let made = tried(&ts, "kind = 'snapshot'\nat = ['3040ms']\nformat = 'png'");
    let shown = command("ffmpeg")
        .args(["-nostdin", "-v", "error", "-i"])
        .arg(made.file())
        .args(["-vf", "scale=1:1,format=gray", "-f", "rawvideo", "-"])
        .output()
        .unwrap();
    assert!(
        shown.stdout[0] > 200,
        "the flash of the third second: {:?}",
        shown.stdout
    );
}

#[test]
fn a_stream_that_a_container_refuses_fails_its_task_alone() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("old.mkv");
    let made = command("ffmpeg")
        .args([
            "-nostdin",
            "-v",
            "error",
            "-f",
            "lavfi",
            "-i",
            "testsrc2=s=160x120:d=1",
            "-c:v",
            "ffv1",
        ])
        .arg(&source)
        .status();
    assert!(made.unwrap().success());
    let copied = "container = 'mkv'\nvideo = 'copy'\n[task.encoded]\nkind = 'transcode'";
    let made = tried(&source, &format!("kind = 'transcode'\n{copied}"));
    let said = &made.said;
    assert!(said.contains("cannot be copied into mkv: encode it"), "{said}");
    assert!(made.out().join("old_encoded.mp4").exists(), "{said}");
}

#[test]
fn slow_sound_fits_into_flac() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("slow.wav");
    let made = command("ffmpeg")
        .args(["-nostdin", "-v", "error", "-f", "lavfi", "-i", "sine=d=2:r=8000"])
        .arg(&source)
        .status();
    assert!(made.unwrap().success());
    let made = tried(&source, "kind = 'transcode'\ncontainer = 'flac'");
    assert_eq!(described(&made.file()), "flac 8000 Hz x1, 2.0 s");
}
