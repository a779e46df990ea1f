//! What an inspection finds in films whose faults are known, by the real binary.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::process::Command;

use serde_json::Value;

#[allow(clippy::disallowed_methods, reason = "a test runs programs")]
fn command(program: &str) -> Command {
    Command::new(program)
}

/// Makes a film by ffmpeg with these arguments and inspects it with these keys; answers the JSON, and what the job says.
fn inspected(name: &str, arguments: &[&str], keys: &str) -> (Value, String) {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join(name);
    let made = command("ffmpeg")
        .args(["-nostdin", "-v", "error", "-y"])
        .args(arguments)
        .arg(&source)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let rule = folder.path().join("rule.toml");
    let text = format!(
        "enabled = true\n[trigger]\nbucket = \"inbox\"\nformats = \"*\"\n[task.t]\nkind = \"inspect\"\n{keys}\n"
    );
    std::fs::write(&rule, text).unwrap();
    let tried = command(env!("CARGO_BIN_EXE_reelmill"))
        .arg("try")
        .args([&rule, &source])
        .arg("--out")
        .arg(folder.path().join("out"))
        .output()
        .unwrap();
    let [out, err] = [&tried.stdout, &tried.stderr].map(|text| String::from_utf8_lossy(text));
    let said = format!("{out}{err}");
    assert!(tried.status.success(), "{said}");
    let stem = name.split('.').next().unwrap();
    let written = std::fs::read(folder.path().join(format!("out/{stem}_t.json"))).unwrap();
    (serde_json::from_slice(&written).unwrap(), said)
}

/// `black 0.00-3.00`, in the order of the report.
fn found(report: &Value) -> Vec<String> {
    let all = report["findings"].as_array().unwrap().iter();
    all.map(|one| {
        let score = one["score"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&score), "{one}");
        let (start, end) = (one["start"].as_f64().unwrap(), one["end"].as_f64().unwrap());
        format!("{} {start:.2}-{end:.2}", one["kind"].as_str().unwrap())
    })
    .collect()
}

/// Black for 3 s, moving for 6, still for 7, moving for 5.
const FILM: &str = "[0]trim=0:3[a];[1]trim=0:6,setpts=PTS-STARTPTS[b];\
    [1b]trim=2:9,setpts=PTS-STARTPTS[c];[2]trim=0:5,setpts=PTS-STARTPTS[d];[a][b][c][d]concat=n=4[v]";

#[test]
fn known_faults_are_found_where_they_are() {
    let film = FILM.replace("[1b]", "[3]");
    let sound = "aevalsrc='if(between(t,4,12),0.2*sin(880*t),0)':s=48000:d=21";
    let still = "mandelbrot=s=320x180:r=25,loop=loop=-1:size=1:start=30";
    let arguments = [
        "-f",
        "lavfi",
        "-i",
        "color=black:s=320x180:r=25:d=3",
        "-f",
        "lavfi",
        "-i",
        "mandelbrot=s=320x180:r=25",
        "-f",
        "lavfi",
        "-i",
        "mandelbrot=s=320x180:r=25:start_scale=0.5",
        "-f",
        "lavfi",
        "-i",
        still,
        "-f",
        "lavfi",
        "-i",
        sound,
        "-filter_complex",
        &film,
        "-map",
        "[v]",
        "-map",
        "4:a",
        "-c:v",
        "libx264",
        "-preset",
        "veryfast",
        "-c:a",
        "flac",
    ];
    let (report, said) = inspected("film.mkv", &arguments, "");
    assert_eq!(
        found(&report),
        [
            "black 0.00-3.00",
            "frozen 9.00-16.00",
            "silent 0.00-4.00",
            "silent 12.00-21.00"
        ]
    );
    assert!((report["duration"].as_f64().unwrap() - 21.0).abs() < 0.05);
    let loud = report["loudness"]["integrated"].as_f64().unwrap();
    assert!((-25.0..-12.0).contains(&loud), "{report}");
    for words in [
        "the picture is black from 0.00 s to 3.00 s",
        "the picture does not move from 9.00 s to 16.00 s",
    ] {
        assert!(said.contains(words), "{said}");
    }
    let keys = "black = \"4s\"\nfrozen = \"none\"\nsilent = \"5s\"\nloud = \"-40 LUFS\"\nquiet = \"none\"";
    let (report, _) = inspected("film.mkv", &arguments, keys);
    assert_eq!(found(&report), ["silent 12.00-21.00", "too_loud 0.00-21.00"]);
}

#[test]
fn borders_blur_and_what_is_missing_are_found() {
    let arguments = [
        "-f",
        "lavfi",
        "-i",
        "testsrc2=s=320x132:r=25:d=5",
        "-vf",
        "pad=320:180:0:24",
        "-c:v",
        "libx264",
        "-preset",
        "veryfast",
    ];
    let (report, said) = inspected("wide.mp4", &arguments, "");
    assert_eq!(found(&report), ["black_borders 0.00-5.00", "no_audio 0.00-5.00"]);
    let crop = &report["findings"][0]["crop"];
    assert_eq!(
        crop,
        &serde_json::json!({ "x": 0, "y": 24, "width": 320, "height": 132 })
    );
    assert!(said.contains("inside are 320x132 pixels at 0,24"), "{said}");

    let arguments = [
        "-f",
        "lavfi",
        "-i",
        "testsrc2=s=640x360:r=25:d=12",
        "-vf",
        "gblur=sigma=12:enable='between(t,4,8.9)'",
        "-c:v",
        "libx264",
        "-preset",
        "veryfast",
    ];
    let (report, _) = inspected("soft.mp4", &arguments, "no_audio = false");
    assert_eq!(found(&report), ["blurred 4.00-9.00"], "{report}");

    let (report, _) = inspected("quiet.flac", &["-f", "lavfi", "-i", "sine=1000:d=5,volume=0.05"], "");
    assert_eq!(found(&report), ["too_quiet 0.00-5.00", "no_video 0.00-5.00"]);
}

#[test]
fn what_is_turned_has_ten_bits_or_begins_late_is_seen_and_heard_as_it_is_shown() {
    let arguments = [
        "-f",
        "lavfi",
        "-i",
        "testsrc2=s=160x264:r=25:d=4",
        "-itsoffset",
        "3",
        "-f",
        "lavfi",
        "-i",
        "sine=1000:d=3,volume=4",
        "-vf",
        "pad=192:264:16:0",
        "-pix_fmt",
        "yuv420p10le",
        "-c:v",
        "libx264",
        "-preset",
        "veryfast",
        "-c:a",
        "flac",
    ];
    let (report, _) = inspected("late.mkv", &arguments, "silent = \"1s\"");
    let all = found(&report);
    assert_eq!(all, ["silent 0.00-3.00", "black_borders 0.00-6.00"], "{report}");
    let crop = &report["findings"][1]["crop"];
    assert_eq!(
        crop,
        &serde_json::json!({ "x": 16, "y": 0, "width": 160, "height": 264 })
    );
}
