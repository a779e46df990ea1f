//! What is worked on: 1080p with sound, made once and kept.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A few people on a lawn, where OpenCV's documentation is installed.
const FOOTAGE: &str = "/usr/share/doc/opencv-doc/examples/data/vtest.avi";

pub struct Source {
    pub name: String,
    pub file: PathBuf,
}

/// All that can be made here.
pub fn all(seconds: u32) -> Vec<Source> {
    let footage = ["-stream_loop", "99", "-i", FOOTAGE];
    let moving = "testsrc2=size=1920x1080:rate=30,rotate=a=t/9:c=gray";
    let mut sources = Vec::new();
    if Path::new(FOOTAGE).exists() {
        let grain = "setpts=N/30/TB,scale=1920:1080:flags=lanczos,setsar=1,noise=alls=8:allf=t+u,format=yuv420p";
        sources.push(made("camera", seconds, &footage, grain));
    } else {
        println!("{FOOTAGE} is not installed (opencv-doc): only the synthetic film is measured");
    }
    let grain = "noise=alls=6:allf=t+u,format=yuv420p";
    sources.push(made("synthetic", seconds, &["-f", "lavfi", "-i", moving], grain));
    sources
}

#[allow(clippy::disallowed_methods, reason = "a benchmark runs programs")]
fn made(name: &str, seconds: u32, input: &[&str], graph: &str) -> Source {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .unwrap()
        .join("bench-media");
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join(format!("{name}-{seconds}s.mp4"));
    if !file.exists() {
        let part = folder.join(format!(".{name}-{seconds}.mp4"));
        let ran = Command::new("ffmpeg")
            .args(["-nostdin", "-v", "error", "-y"])
            .args(input)
            .args(["-f", "lavfi", "-i", "sine=frequency=330:sample_rate=48000,tremolo=f=3"])
            .args(["-t", &seconds.to_string(), "-vf", graph, "-r", "30"])
            .args(["-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-g", "60"])
            // Programs guess differently what nobody tells them.
            .args([
                "-colorspace",
                "bt709",
                "-color_primaries",
                "bt709",
                "-color_trc",
                "bt709",
            ])
            .args(["-c:a", "aac", "-b:a", "160k", "-ac", "2", "-movflags", "+faststart"])
            .arg(&part)
            .status()
            .unwrap();
        assert!(ran.success(), "{name} could not be made");
        std::fs::rename(part, &file).unwrap();
    }
    Source {
        name: name.to_owned(),
        file,
    }
}
