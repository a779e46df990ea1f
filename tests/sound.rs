//! What is done to sound, by the real binary on real media, judged by ffmpeg: how loud it is, how it is mixed, how it is
//! drawn, and that what is taken out is what was in.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

#[allow(clippy::disallowed_methods, reason = "a test runs programs")]
fn command(program: &str) -> Command {
    Command::new(program)
}

fn ffmpeg(arguments: &[&str]) -> Output {
    let ran = command("ffmpeg")
        .args(["-nostdin", "-y"])
        .args(arguments)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "ffmpeg {arguments:?}: {said}");
    ran
}

/// A folder with one source in it.
struct Place(tempfile::TempDir);

impl Place {
    /// The source is made by ffmpeg with these arguments.
    fn with(source: &str, arguments: &[&str]) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        let file = place.path(source);
        ffmpeg(&[&["-v", "error"][..], arguments, &[file.to_str().unwrap()]].concat());
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Tries a rule with these tasks; answers what the program said of it.
    fn make(&self, source: &str, tasks: &str) -> Value {
        let rule = self.path("rule.toml");
        let text = format!("enabled = true\n[trigger]\nbucket = \"inbox\"\nformats = \"*\"\n{tasks}\n");
        std::fs::write(&rule, text).unwrap();
        let tried = command(env!("CARGO_BIN_EXE_reelmill"))
            .args(["try", "--json"])
            .args([&rule, &self.path(source)])
            .arg("--out")
            .arg(self.path("out"))
            .output()
            .unwrap();
        let [out, err] = [&tried.stdout, &tried.stderr].map(|text| String::from_utf8_lossy(text));
        assert!(tried.status.success(), "{out}{err}");
        serde_json::from_slice(&tried.stdout).unwrap()
    }

    fn out(&self, name: &str) -> PathBuf {
        self.path("out").join(name)
    }
}

/// Integrated loudness and true peak, as ffmpeg measures them.
fn loudness(file: &Path) -> (f64, f64) {
    let ran = ffmpeg(&[
        "-i",
        file.to_str().unwrap(),
        "-af",
        "ebur128=peak=true",
        "-f",
        "null",
        "-",
    ]);
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    let summary = said.split("Summary:").nth(1).unwrap();
    let after = |word: &str| {
        let words: Vec<&str> = summary.split_whitespace().collect();
        let at = words.iter().position(|one| *one == word).unwrap();
        words[at + 1].parse().unwrap_or(f64::NEG_INFINITY)
    };
    (after("I:"), after("Peak:"))
}

fn complaints(file: &Path) -> String {
    let ran = ffmpeg(&[
        "-v",
        "warning",
        "-xerror",
        "-i",
        file.to_str().unwrap(),
        "-f",
        "null",
        "-",
    ]);
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    let said = said.lines().filter(|line| !line.starts_with("Guessed Channel Layout"));
    said.collect::<Vec<_>>().join("\n")
}

/// What ffprobe says of the first stream.
fn probed(file: &Path, entries: &str) -> String {
    let ran = command("ffprobe")
        .args(["-v", "error", "-show_entries"])
        .arg(format!("stream={entries}"))
        .args(["-of", "csv=p=0"])
        .arg(file)
        .output()
        .unwrap();
    String::from_utf8_lossy(&ran.stdout).trim().to_owned()
}

fn hold_loudness(place: &Place, wanted: &[(&str, f64, f64)]) {
    for (file, target, ceiling) in wanted {
        let file = place.out(file);
        let (is, peak) = loudness(&file);
        assert!(
            (is - target).abs() <= 0.5,
            "{}: {is} LUFS, not {target}",
            file.display()
        );
        assert!(peak <= *ceiling, "{}: a peak at {peak} dBTP", file.display());
        assert_eq!(complaints(&file), "", "{}", file.display());
    }
}

const CLICKS: &str = "aevalsrc='0.05*sin(2*PI*300*t)*(0.3+0.7*abs(sin(2*PI*0.7*t)))\
    +0.6*lt(mod(t\\,1.3)\\,0.004)*sin(2*PI*900*t)':s=44100:d=12";

#[test]
fn a_target_is_reached_also_where_peaks_must_be_limited_for_it() {
    let place = Place::with("clicks.wav", &["-f", "lavfi", "-i", CLICKS, "-ac", "2"]);
    let tasks = r#"
        [task.a]
        kind = "transcode"
        container = "m4a"
        audio = { codec = "aac", bitrate = "192k", loudness = "-16 LUFS" }
        [task.b]
        kind = "transcode"
        container = "wav"
        audio = { codec = "pcm", loudness = "-23 LUFS", channels = 1, rate = 32000 }
        [task.c]
        kind = "transcode"
        container = "flac"
        start = "3s"
        end = "11s"
        audio = { codec = "flac", loudness = -15, true_peak = "-2 dBTP", depth = 24 }
        [task.d]
        kind = "transcode"
        container = "mp3"
        audio = { codec = "mp3" }
    "#;
    place.make("clicks.wav", tasks);
    // AAC adds a little of its own to peaks.
    hold_loudness(
        &place,
        &[
            ("clicks_a.m4a", -16.0, -0.3),
            ("clicks_b.wav", -23.0, -0.9),
            ("clicks_c.flac", -15.0, -1.9),
        ],
    );
    assert_eq!(
        probed(&place.out("clicks_c.flac"), "bits_per_raw_sample,duration"),
        "8.000000,24"
    );
    // Who does not ask for it is left as it was.
    let (before, after) = (
        loudness(&place.path("clicks.wav")).0,
        loudness(&place.out("clicks_d.mp3")).0,
    );
    assert!((before - after).abs() < 1.0, "{before} {after}");
}

#[test]
fn silence_stays_silent_and_a_film_keeps_its_pictures() {
    let film = "testsrc=s=320x180:r=25:d=4";
    let place = Place::with(
        "film.mkv",
        &[
            "-f",
            "lavfi",
            "-i",
            film,
            "-f",
            "lavfi",
            "-i",
            "anullsrc=d=4",
            "-c:v",
            "libx264",
            "-c:a",
            "flac",
            "-shortest",
        ],
    );
    let said = place.make(
        "film.mkv",
        "[task.a]\nkind = \"transcode\"\ncontainer = \"mp4\"\naudio = { loudness = \"-16 LUFS\" }",
    );
    assert_eq!(said["state"], "succeeded");
    let (is, _) = loudness(&place.out("film_a.mp4"));
    assert!(is <= -70.0, "{is}");
    assert_eq!(
        probed(&place.out("film_a.mp4"), "codec_name,nb_frames").lines().next(),
        Some("h264,100")
    );
}

/// Channels at 400, 500, ... Hz, each as loud as this.
fn tones(layout: &str, levels: &[f64]) -> String {
    let channels: Vec<String> = (4..)
        .zip(levels)
        .map(|(hundreds, level)| format!("{level}*sin(2*PI*{hundreds}00*t)"))
        .collect();
    format!("aevalsrc={}:c={layout}:s=48000:d=4", channels.join("|"))
}

/// How loud a tone is in a channel of a file, as an amplitude.
fn heard(file: &Path, channel: usize, frequency: u32) -> f64 {
    let filter = format!("pan=mono|c0=c{channel},bandpass=f={frequency}:width_type=h:w=8,atrim=1:3,astats");
    let ran = ffmpeg(&["-i", file.to_str().unwrap(), "-af", &filter, "-f", "null", "-"]);
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    let line = said.lines().find(|line| line.contains("RMS level dB")).unwrap();
    let level: f64 = line.rsplit(' ').next().unwrap().parse().unwrap_or(-200.0);
    10_f64.powf(level / 20.0) * std::f64::consts::SQRT_2
}

#[test]
fn surround_is_mixed_as_the_standard_has_it_and_never_clips() {
    let levels = [0.1, 0.1, 0.2, 0.3, 0.15, 0.15];
    let place = Place::with("film.flac", &["-f", "lavfi", "-i", &tones("5.1", &levels)]);
    let tasks = r#"
        [task.stereo]
        kind = "transcode"
        container = "wav"
        audio = { codec = "pcm", channels = 2 }
        [task.same]
        kind = "transcode"
        container = "flac"
        audio = { codec = "flac" }
        [task.mp3]
        kind = "transcode"
        container = "mp3"
    "#;
    let said = place.make("film.flac", tasks);
    let stereo = place.out("film_stereo.wav");
    let half = std::f64::consts::FRAC_1_SQRT_2;
    let rows = [
        [0.1, 0.0, 0.2 * half, 0.0, 0.15 * half, 0.0],
        [0.0, 0.1, 0.2 * half, 0.0, 0.0, 0.15 * half],
    ];
    for (channel, row) in rows.iter().enumerate() {
        for (frequency, expected) in (4..).map(|hundreds| hundreds * 100).zip(row) {
            let is = heard(&stereo, channel, frequency);
            assert!(
                (is - expected).abs() < 0.012,
                "{channel} {frequency}: {is}, not {expected}"
            );
        }
    }
    let samples = |file: &Path| ffmpeg(&["-v", "error", "-i", file.to_str().unwrap(), "-f", "md5", "-"]).stdout;
    assert_eq!(
        samples(&place.path("film.flac")),
        samples(&place.out("film_same.flac")),
        "what need not be mixed keeps every bit"
    );
    let told = said.to_string();
    assert!(told.contains("mixed_down") && told.contains("mp3 at most 2"), "{told}");

    let loud = Place::with("loud.flac", &["-f", "lavfi", "-i", &tones("5.1", &[0.9; 6])]);
    loud.make("loud.flac", tasks);
    let (_, peak) = loudness(&loud.out("loud_stereo.wav"));
    assert!(peak <= 0.1, "{peak}");
}

#[test]
fn odd_numbers_of_channels_become_surround_without_loss() {
    let place = Place::with(
        "quad.flac",
        &["-f", "lavfi", "-i", &tones("quad", &[0.1, 0.2, 0.3, 0.4])],
    );
    place.make("quad.flac", "[task.a]\nkind = \"transcode\"\ncontainer = \"flac\"");
    let file = place.out("quad_a.flac");
    assert_eq!(probed(&file, "channels"), "6");
    for (channel, frequency, expected) in [
        (0, 400, 0.1),
        (1, 500, 0.2),
        (4, 600, 0.3),
        (5, 700, 0.4),
        (2, 600, 0.0),
    ] {
        let is = heard(&file, channel, frequency);
        assert!((is - expected).abs() < 0.012, "{channel}: {is}, not {expected}");
    }
}

#[test]
fn a_waveform_follows_the_sound() {
    let left = "0.8*sin(880*PI*t)*lt(t\\,4)+0.2*sin(880*PI*t)*gte(t\\,4)";
    let right = "t/8*sin(880*PI*t)";
    let source = format!("aevalsrc='{left}|{right}':c=stereo:s=44100:d=8");
    let place = Place::with("wave.flac", &["-f", "lavfi", "-i", &source]);
    let tasks = r##"
        [task.w]
        kind = "waveform"
        channels = "split"
        width = 400
        height = 200
        color = "#ff8800"
        background = "#00000080"
        points = 500
        [task.plain]
        kind = "waveform"
    "##;
    place.make("wave.flac", tasks);
    let json: Value = serde_json::from_slice(&std::fs::read(place.out("wave_w.json")).unwrap()).unwrap();
    assert_eq!(
        (&json["version"], &json["channels"], &json["bits"]),
        (&2.into(), &2.into(), &8.into())
    );
    let (length, step) = (
        json["length"].as_u64().unwrap(),
        json["samples_per_pixel"].as_u64().unwrap(),
    );
    assert!(length <= 500 && length > 250, "{length}");
    assert!((length * step).abs_diff(44_100 * 8) <= step);
    let data = json["data"].as_array().unwrap();
    assert_eq!(data.len() as u64, length * 4);
    for (at, pair) in data.chunks(4).enumerate().skip(2) {
        let time = (at as f64 + 0.5) * step as f64 / 44_100.0;
        if (time - 4.0).abs() < 0.1 {
            continue;
        }
        let high = |n: usize| pair[n].as_f64().unwrap() / 128.0;
        let expected = if time < 4.0 { 0.8 } else { 0.2 };
        assert!(
            (high(1) - expected).abs() < 0.02 && (high(0) + expected).abs() < 0.02,
            "{time}: {pair:?}"
        );
        assert!((high(3) - time / 8.0).abs() < 0.03, "{time}: {pair:?}");
    }
    // Red, green, blue, opacity of every pixel.
    let file = place.out("wave_w.png");
    assert_eq!(probed(&file, "codec_name,width,height,pix_fmt"), "png,400,200,rgba");
    let raw = ffmpeg(&[
        "-v",
        "error",
        "-i",
        file.to_str().unwrap(),
        "-f",
        "rawvideo",
        "-pix_fmt",
        "rgba",
        "-",
    ])
    .stdout;
    let pixel = |x: usize, y: usize| &raw[(y * 400 + x) * 4..][..4];
    let lit = |x: usize, rows: std::ops::Range<usize>| rows.filter(|y| pixel(x, *y) == [0xff, 0x88, 0, 0xff]).count();
    for (x, upper) in [(50, 80), (150, 80), (250, 20), (350, 20)] {
        assert!(lit(x, 0..100).abs_diff(upper) <= 2, "{x}: {}", lit(x, 0..100));
        assert!(lit(x, 100..200).abs_diff(x / 4) <= 3, "{x}: {}", lit(x, 100..200));
    }
    assert_eq!(pixel(399, 0), [0, 0, 0, 0x80]);
    assert_eq!(probed(&place.out("wave_plain.png"), "width,height"), "1800,280");
}

/// The sums of all packets of a stream, or of its samples where packets may be cut elsewhere.
fn sums(file: &Path, stream: &str, samples: bool) -> Vec<String> {
    let form = if samples {
        &["-f", "md5"][..]
    } else {
        &["-c", "copy", "-f", "framehash", "-hash", "md5"]
    };
    // Its edit list says where the sound ends, within the last packet.
    let whole = if file.extension().is_some_and(|ending| ending == "m4a") {
        &["-ignore_editlist", "1"][..]
    } else {
        &[]
    };
    let source = ["-i", file.to_str().unwrap(), "-map", stream];
    let ran = ffmpeg(&[&["-v", "error"][..], whole, &source, form, &["-"]].concat());
    let lines = String::from_utf8_lossy(&ran.stdout).into_owned();
    let lines = lines.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.rsplit(',').next().unwrap().trim().to_owned())
        .collect()
}

#[test]
fn sound_that_is_taken_out_is_what_was_in() {
    let codecs = [
        "aac",
        "libmp3lame",
        "libopus",
        "libvorbis",
        "flac",
        "pcm_s16le",
        "ac3",
        "eac3",
    ];
    let named: Vec<[String; 2]> = (0..)
        .zip(codecs)
        .map(|(at, codec)| [format!("-c:a:{at}"), codec.to_owned()])
        .collect();
    let mut arguments = vec!["-f", "lavfi", "-i", "sine=500:d=5"];
    for pair in &named {
        arguments.extend(["-map", "0"]);
        arguments.extend(pair.iter().map(String::as_str));
    }
    let place = Place::with("many.mkv", &arguments);
    place.make("many.mkv", "[task.e]\nkind = \"extract\"");
    let endings = ["m4a", "mp3", "ogg", "ogg", "flac", "wav", "ac3", "eac3"];
    for (at, ending) in endings.iter().enumerate() {
        let file = place.out(&format!("many_e_{}.{ending}", at + 1));
        assert!(!complaints(&file).contains("rror"), "{ending}: {}", complaints(&file));
        if *ending == "mp3" {
            // ffmpeg cuts the last packet as the head of the file says.
            let source = place.path("many.mkv");
            let map = format!("0:a:{at}");
            let raw = [
                "-v",
                "error",
                "-i",
                source.to_str().unwrap(),
                "-map",
                &map,
                "-c",
                "copy",
                "-f",
                "data",
                "-",
            ];
            assert!(std::fs::read(&file).unwrap().ends_with(&ffmpeg(&raw).stdout));
            continue;
        }
        let samples = *ending == "wav";
        let source = sums(&place.path("many.mkv"), &format!("0:a:{at}"), samples);
        let taken = sums(&file, "0:a:0", samples);
        assert_eq!(taken.len(), source.len(), "{ending}");
        // Of Ogg, ffmpeg adds to the first packet what it will skip of it.
        let first = usize::from(*ending == "ogg");
        assert_eq!(taken[first..], source[first..], "{ending}");
        assert!(!source.is_empty());
    }
}

#[test]
fn subtitles_that_are_taken_out_say_what_they_said() {
    let text = "1\n00:00:01,000 --> 00:00:02,500\n<i>Hello</i> & you\nsecond line\n\n\
        2\n00:00:03,000 --> 00:00:04,000\nGr\u{fc}\u{df}e\n";
    let words = tempfile::NamedTempFile::with_suffix(".srt").unwrap();
    std::fs::write(&words, text).unwrap();
    let words = words.path().to_str().unwrap();
    let film = "testsrc=s=320x180:r=25:d=5";
    let place = Place::with(
        "said.mkv",
        &[
            "-f",
            "lavfi",
            "-i",
            film,
            "-i",
            words,
            "-map",
            "0",
            "-map",
            "1",
            "-map",
            "1",
            "-c:v",
            "libx264",
            "-c:s:0",
            "srt",
            "-c:s:1",
            "ass",
            "-metadata:s:s:1",
            "language=ger",
        ],
    );
    place.make("said.mkv", "[task.e]\nkind = \"extract\"");
    assert_eq!(
        std::fs::read_to_string(place.out("said_e_1.srt")).unwrap().trim(),
        text.trim()
    );
    let styled = std::fs::read_to_string(place.out("said_e_2.ass")).unwrap();
    let line = "Dialogue: 0,0:00:01.00,0:00:02.50,Default,,0,0,0,,{\\i1}Hello{\\i0} & you\\Nsecond line";
    assert!(styled.contains("[V4+ Styles]") && styled.contains(line), "{styled}");
    let task = "[task.v]\nkind = \"extract\"\nstreams = [\"subtitles\"]\ntext = \"vtt\"";
    place.make("said.mkv", task);
    let words = std::fs::read_to_string(place.out("said_v_1.vtt")).unwrap();
    let expected = "WEBVTT\n\n00:00:01.000 --> 00:00:02.500\n<i>Hello</i> &amp; you\nsecond line\n\n";
    assert!(words.starts_with(expected), "{words}");
    place.make("said.mkv", "[task.l]\nkind = \"extract\"\nlanguages = [\"de\"]");
    assert!(place.out("said_l.ass").exists(), "one of many is not numbered");
}
