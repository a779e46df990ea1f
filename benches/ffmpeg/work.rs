//! Each work as a rule, and as commands of ffmpeg with the same settings.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use crate::usage::{self, Usage};

/// Names and sizes of renditions.
type Renditions = &'static [(&'static str, (u32, u32))];

const LADDER: Renditions = &[("720p", (1280, 720)), ("480p", (854, 480)), ("360p", (640, 360))];
const SINGLE: Renditions = &[("720p", (1280, 720))];

pub struct Work {
    pub name: &'static str,
    films: Renditions,
    seconds: u32,
}

/// ffmpeg's way in words, and the commands that it takes.
pub type Way = (&'static str, Vec<Vec<String>>);

impl Work {
    pub fn named(name: &str, seconds: u32) -> Self {
        let (name, films): (_, Renditions) = match name {
            "ladder" => ("ladder", LADDER),
            "single" => ("single", SINGLE),
            "remux" => ("remux", &[]),
            "sprite" => ("sprite", &[]),
            _ => ("poster", &[]),
        };
        Self { name, films, seconds }
    }

    /// What is compared with the source.
    pub fn films(&self) -> impl Iterator<Item = (&'static str, (u32, u32))> {
        self.films.iter().copied()
    }

    /// Points of stills: every so many seconds.
    fn points(&self, every: u32) -> Vec<u32> {
        (0..self.seconds).step_by(every as usize).collect()
    }

    /// The rule for it.
    pub fn rule(&self) -> String {
        let mut rule = "enabled = true\n[trigger]\nbucket = \"inbox\"\n".to_owned();
        for (name, (_, high)) in self.films {
            let _ = write!(
                rule,
                "[task.{name}]\nkind = \"transcode\"\ncontainer = \"mp4\"\nheight = {high}\n\
                 video = {{ codec = \"h264\", crf = 23, preset = \"veryfast\", gop = \"2s\" }}\n\
                 audio = {{ codec = \"aac\", bitrate = \"128k\" }}\n"
            );
        }
        let mut stills = |name: &str, points: Vec<u32>, wide: u32| {
            let at: Vec<String> = points.iter().map(|at| format!("\"{at}s\"")).collect();
            let _ = write!(
                rule,
                "[task.{name}]\nkind = \"snapshot\"\nat = [{}]\nwidth = {wide}\n",
                at.join(", ")
            );
        };
        match self.name {
            "ladder" => {
                stills("stills", self.points(5), 1280);
                stills("thumbnails", self.points(2), 160);
            }
            "poster" => stills("poster", vec![self.seconds / 2], 1280),
            "sprite" => rule.push_str("[task.sprite]\nkind = \"sprite\"\nevery = \"2s\"\n"),
            "remux" => rule.push_str(
                "[task.remux]\nkind = \"transcode\"\ncontainer = \"mkv\"\nvideo = \"copy\"\naudio = \"copy\"\n",
            ),
            _ => {}
        }
        rule
    }

    /// Does it with the program itself, from its start to its end.
    pub fn ours(&self, source: &Path, folder: &Path) -> Usage {
        let _ = std::fs::remove_dir_all(folder);
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(folder.join("rule.toml"), self.rule()).unwrap();
        let arguments = ["try", "--out", "out", "rule.toml", source.to_str().unwrap()];
        let program = std::env::var("REELMILL").unwrap_or_else(|_| env!("CARGO_BIN_EXE_reelmill").to_owned());
        usage::run(&program, &arguments.map(ToOwned::to_owned), folder)
    }

    /// The ways that ffmpeg has for it, the best one first.
    pub fn theirs(&self, source: &Path) -> Vec<Way> {
        let source = source.to_str().unwrap();
        let words = |text: &str| -> Vec<String> {
            let text = format!("-nostdin -v error -y {text}");
            text.split_whitespace()
                .map(|word| word.replace("SOURCE", source))
                .collect()
        };
        let encode = "-c:v libx264 -preset veryfast -crf 23 -g 60 -c:a aac -b:a 128k -movflags +faststart";
        match self.name {
            "remux" => vec![("one command", vec![words("-i SOURCE -map 0 -c copy remux.mkv")])],
            "poster" => {
                let at = self.seconds / 2;
                let command = format!("-ss {at} -i SOURCE -frames:v 1 -vf scale=1280:-2 -q:v 3 poster.jpg");
                vec![("one command", vec![words(&command)])]
            }
            "sprite" => {
                let command = "-i SOURCE -vf fps=1/2:round=up,scale=160:-2,tile=10x10 -q:v 4 sprite_%d.jpg";
                vec![("one command", vec![words(command)])]
            }
            "single" => {
                let command = format!("-i SOURCE -vf scale=-2:720 {encode} 720p.mp4");
                vec![("one command, its own threads", vec![words(&command)])]
            }
            _ => {
                let graph = "[0:v]split=5[a][b][c][d][e];[a]scale=-2:720[x];[b]scale=-2:480[y];[c]scale=-2:360[z];\
                             [d]fps=1/5:round=up,scale=1280:-2[s];[e]fps=1/2:round=up,scale=160:-2[t]";
                let mut command = format!("-i SOURCE -filter_complex {graph}");
                for (pad, name) in [("x", "720p"), ("y", "480p"), ("z", "360p")] {
                    let _ = write!(command, " -map [{pad}] -map 0:a {encode} {name}.mp4");
                }
                command.push_str(" -map [s] -q:v 3 stills_%d.jpg -map [t] -q:v 3 thumbnails_%d.jpg");
                let mut single: Vec<Vec<String>> = self
                    .films
                    .iter()
                    .map(|(name, (_, high))| words(&format!("-i SOURCE -vf scale=-2:{high} {encode} {name}.mp4")))
                    .collect();
                single.push(words(
                    "-i SOURCE -vf fps=1/5:round=up,scale=1280:-2 -q:v 3 stills_%d.jpg",
                ));
                single.push(words(
                    "-i SOURCE -vf fps=1/2:round=up,scale=160:-2 -q:v 3 thumbnails_%d.jpg",
                ));
                vec![
                    ("one command, its own threads", vec![words(&command)]),
                    ("one process an output", single),
                ]
            }
        }
    }
}

/// Where the program puts a result.
pub fn result(folder: &Path, source: &Path, name: &str) -> PathBuf {
    let stem = source.file_stem().unwrap().to_string_lossy();
    folder.join("out").join(format!("{stem}_{name}.mp4"))
}
