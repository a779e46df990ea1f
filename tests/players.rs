//! What players stumble over, though ffmpeg reads it: lengths that playlists promise, times of decoding, and packages of media
//! that are long.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod harness;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use harness::trial::{Trial, medium};

#[allow(clippy::disallowed_methods, reason = "a test runs programs")]
fn command(program: &str) -> Command {
    Command::new(program)
}

/// A package of this source in one small size and segments of two seconds.
fn package(source: &Path, more: &str) -> Trial {
    let task = format!("[task.t]\nkind = \"adaptive\"\nsegment = \"2s\"\nrenditions = [\"240p\"]\n{more}");
    let tried = Trial::of(source, &task);
    assert!(tried.good, "{}", tried.said);
    tried
}

/// Files whose names end so.
fn ending(tried: &Trial, end: &str) -> Vec<PathBuf> {
    let is = |file: &PathBuf| file.to_string_lossy().ends_with(end);
    tried.files().into_iter().filter(is).collect()
}

#[test]
fn playlists_of_films_and_sounds_have_one_target_and_keep_it() {
    for form in ["", "segments = \"ts\""] {
        let tried = package(&medium("plain.mp4"), form);
        let mut targets = BTreeSet::new();
        for file in ["240p.m3u8", "audio-1.m3u8"].iter().flat_map(|end| ending(&tried, end)) {
            let text = fs::read_to_string(&file).unwrap();
            let after = |start: &str| -> Vec<f64> {
                let found = text.lines().filter_map(|line| line.strip_prefix(start));
                found.map(|rest| rest.trim_end_matches(',').parse().unwrap()).collect()
            };
            let target = after("#EXT-X-TARGETDURATION:")[0];
            for length in after("#EXTINF:") {
                assert!(length.round() <= target, "{length} in {}", file.display());
            }
            targets.insert(target.to_string());
        }
        assert_eq!(targets, BTreeSet::from(["2".to_owned()]), "{form}");
    }
}

#[test]
fn segments_of_a_transport_stream_decode_as_far_ahead_whatever_the_rate_and_waste_little() {
    let tried = package(&medium("variable.mkv"), "segments = \"ts\"");
    let times = |file: &Path| -> Vec<(i64, i64)> {
        let ran = command("ffprobe")
            .args(["-v", "error", "-show_entries", "packet=pts,dts", "-of", "csv=p=0"])
            .arg(file)
            .output()
            .unwrap();
        let text = String::from_utf8(ran.stdout).unwrap();
        let numbers = |line: &str| {
            let mut numbers = line.split(',').map_while(|number| number.parse().ok());
            Some((numbers.next()?, numbers.next()?))
        };
        text.lines().filter_map(numbers).collect()
    };
    let films: Vec<_> = tried.files();
    let films = films.iter().filter(|file| {
        let name = file.file_name().unwrap().to_string_lossy();
        name.starts_with("240p-") && name.ends_with(".ts")
    });
    let ahead: Vec<i64> = films
        .map(|file| {
            let times = times(file);
            assert!(times.is_sorted_by_key(|(_, decoded)| *decoded), "{}", file.display());
            times.iter().map(|(shown, _)| *shown).min().unwrap() - times[0].1
        })
        .collect();
    assert!(ahead.len() > 1 && ahead.iter().all(|one| *one == ahead[0]), "{ahead:?}");

    let sound: u64 = tried
        .files()
        .iter()
        .filter(|file| file.to_string_lossy().contains("/audio-1-"))
        .map(|file| fs::metadata(file).unwrap().len())
        .sum();
    let fragments = package(&medium("variable.mkv"), "");
    let bare: u64 = fragments
        .files()
        .iter()
        .filter(|file| file.to_string_lossy().contains("/audio-1-0"))
        .map(|file| fs::metadata(file).unwrap().len())
        .sum();
    assert!(
        sound < bare * 6 / 5,
        "{sound} bytes of sound in packets, {bare} in fragments"
    );
}

#[test]
fn sound_that_begins_late_is_what_it_is_and_not_what_a_parser_guesses() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("late.mkv");
    let made = command("ffmpeg")
        .args(["-nostdin", "-loglevel", "error"])
        .args(["-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25:duration=8"])
        .args([
            "-itsoffset",
            "5",
            "-f",
            "lavfi",
            "-i",
            "sine=sample_rate=48000:duration=3",
        ])
        .args(["-pix_fmt", "yuv420p", "-c:a", "ac3", "-ac", "2"])
        .arg(&source)
        .status()
        .unwrap();
    assert!(made.success());
    let tried = package(&source, "");
    let master = fs::read_to_string(&ending(&tried, "master.m3u8")[0]).unwrap();
    assert!(master.contains("CHANNELS=\"2\""), "{master}");
    let manifest = fs::read_to_string(&ending(&tried, "manifest.mpd")[0]).unwrap();
    assert!(manifest.contains("audioSamplingRate=\"48000\""), "{manifest}");
}

/// The most memory that the program and those that it started have had at any time, in MiB.
fn most_memory(child: &mut Child) -> u64 {
    let mut most = 0;
    while child.try_wait().unwrap().is_none() {
        let own = child.id();
        let below = fs::read_to_string(format!("/proc/{own}/task/{own}/children")).unwrap_or_default();
        for process in below.split_whitespace().chain([own.to_string().as_str()]) {
            let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
            most = most.max(kib.unwrap_or(0_u64) / 1024);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    most
}

#[test]
fn sound_that_is_decoded_faster_than_it_is_encoded_does_not_fill_the_memory() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("wide.mkv");
    let (film, sound) = (
        "testsrc2=size=64x64:rate=1:duration=240",
        "anoisesrc=d=240:r=48000:a=0.1,pan=5.1|c0=c0|c1=c0|c2=c0|c3=c0|c4=c0|c5=c0",
    );
    let made = command("ffmpeg")
        .args(["-nostdin", "-loglevel", "error"])
        .args(["-f", "lavfi", "-i", film, "-f", "lavfi", "-i", sound])
        .args(["-pix_fmt", "yuv420p", "-c:a", "ac3"])
        .arg(&source)
        .status()
        .unwrap();
    assert!(made.success());
    for task in [
        "kind = \"adaptive\"\nrenditions = [{ name = \"tiny\", height = 64 }]",
        "kind = \"transcode\"\ncontainer = \"mp4\"",
    ] {
        let rule = folder.path().join("rule.toml");
        let text = format!("enabled = true\n[trigger]\nbucket = \"inbox\"\nformats = \"*\"\n[task.t]\n{task}\n");
        fs::write(&rule, text).unwrap();
        let mut child = command(env!("CARGO_BIN_EXE_reelmill"))
            .arg("try")
            .args([&rule, &source])
            .arg("--out")
            .arg(folder.path().join("out"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let most = most_memory(&mut child);
        assert!(child.wait().unwrap().success(), "{task}");
        // Four minutes of six channels are 264 MiB by themselves.
        assert!((20..260).contains(&most), "{most} MiB: {task}");
    }
}
