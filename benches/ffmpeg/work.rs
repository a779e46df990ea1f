//! Each work as a rule, and as commands of ffmpeg with the same settings.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use crate::usage::{self, Usage};

/// Names and sizes of renditions.
type Renditions = &'static [(&'static str, (u32, u32))];

const LADDER: Renditions = &[("720p", (1280, 720)), ("480p", (854, 480)), ("360p", (640, 360))];
const SINGLE: Renditions = &[("720p", (1280, 720))];
const LOOP: Renditions = &[("loop", (480, 270))];

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
            "hls" => ("hls", LADDER),
            "single" => ("single", SINGLE),
            "h265" => ("h265", SINGLE),
            "vp9" => ("vp9", SINGLE),
            "animation" => ("animation", LOOP),
            "inspect" => ("inspect", &[]),
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

    /// The end of a film's name.
    fn extension(&self) -> &'static str {
        match self.name {
            "hls" => "m3u8",
            "vp9" => "webm",
            "animation" => "gif",
            _ => "mp4",
        }
    }

    /// Pictures a second, where they are not as many as the source has.
    pub fn pictures(&self) -> Option<u32> {
        (self.name == "animation").then_some(10)
    }

    /// Where a film of ffmpeg's is.
    pub fn other(&self, folder: &Path, name: &str) -> PathBuf {
        folder.join(format!("{name}.{}", self.extension()))
    }

    /// Where the program puts a film.
    pub fn result(&self, folder: &Path, source: &Path, name: &str) -> PathBuf {
        let stem = source.file_stem().unwrap().to_string_lossy();
        let out = folder.join("out");
        if self.name != "hls" {
            return out.join(format!("{stem}_{name}.{}", self.extension()));
        }
        // Beside the first playlist lies a folder with the rest.
        let package = out.join(format!("{stem}_hls"));
        let mut entries = std::fs::read_dir(&package).unwrap().flatten().map(|entry| entry.path());
        entries.find(|path| path.is_dir()).unwrap().join(format!("{name}.m3u8"))
    }

    /// Bytes of a film, all segments of it.
    pub fn bytes(&self, film: &Path) -> f64 {
        let length = |file: &Path| std::fs::metadata(file).unwrap().len();
        let stem = film.file_stem().unwrap().to_string_lossy().into_owned();
        let sum = if self.name == "hls" {
            let files = std::fs::read_dir(film.parent().unwrap()).unwrap().flatten();
            let own = files.filter(|file| file.file_name().to_string_lossy().starts_with(&stem));
            own.map(|file| length(&file.path())).sum()
        } else {
            length(film)
        };
        sum as f64
    }

    /// Points of stills: every so many seconds.
    fn points(&self, every: u32) -> Vec<u32> {
        (0..self.seconds).step_by(every as usize).collect()
    }

    /// The rule for it.
    pub fn rule(&self) -> String {
        let mut rule = "enabled = true\n[trigger]\nbucket = \"inbox\"\n".to_owned();
        let encode = "video = { codec = \"h264\", crf = 23, preset = \"veryfast\", gop = \"2s\" }";
        let films = if matches!(self.name, "ladder" | "single") {
            self.films
        } else {
            &[]
        };
        for (name, (_, high)) in films {
            let _ = write!(
                rule,
                "[task.{name}]\nkind = \"transcode\"\ncontainer = \"mp4\"\nheight = {high}\n{encode}\n\
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
            "hls" => {
                let sizes = self.films.iter();
                let sizes =
                    sizes.map(|(name, (_, high))| format!("{{ name = \"{name}\", height = {high}, {encode} }}"));
                let sizes: Vec<String> = sizes.collect();
                let _ = write!(
                    rule,
                    "[task.hls]\nkind = \"adaptive\"\npackages = [\"hls\"]\nsegment = \"4s\"\niframes = false\n\
                     audio = {{ bitrate = \"128k\" }}\nrenditions = [{}]\n",
                    sizes.join(", ")
                );
            }
            "h265" => rule.push_str(
                "[task.720p]\nkind = \"transcode\"\nheight = 720\naudio = \"none\"\n\
                 video = { codec = \"h265\", crf = 28, preset = \"veryfast\", gop = 60 }\n",
            ),
            "vp9" => rule.push_str(
                "[task.720p]\nkind = \"transcode\"\ncontainer = \"webm\"\nheight = 720\naudio = \"none\"\n\
                 video = { codec = \"vp9\", crf = 31, preset = \"faster\", gop = 60 }\n",
            ),
            "animation" => rule.push_str("[task.loop]\nkind = \"animation\"\n"),
            "inspect" => rule.push_str("[task.inspect]\nkind = \"inspect\"\nblur = \"none\"\n"),
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
                .map(|word| word.replace("SOURCE", source).replace('~', " "))
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
            "hls" => {
                let graph = "[0:v]split=3[a][b][c];[a]scale=-2:720[x];[b]scale=-2:480[y];[c]scale=-2:360[z]";
                let command = format!(
                    "-i SOURCE -filter_complex {graph} -map [x] -map [y] -map [z] -map 0:a -c:v libx264 -preset veryfast \
                     -crf 23 -g 60 -keyint_min 60 -sc_threshold 0 -c:a aac -b:a 128k -f hls -hls_time 4 \
                     -hls_playlist_type vod -hls_segment_type fmp4 -hls_flags independent_segments -master_pl_name \
                     master.m3u8 -hls_segment_filename %v_%d.m4s -hls_fmp4_init_filename %v_init.mp4 -var_stream_map \
                     v:0,agroup:a,name:720p~v:1,agroup:a,name:480p~v:2,agroup:a,name:360p~a:0,agroup:a,name:sound %v.m3u8"
                );
                vec![("one command, its own threads", vec![words(&command)])]
            }
            "h265" => {
                let command = "-i SOURCE -an -vf scale=-2:720 -c:v libx265 -preset veryfast -crf 28 \
                               -x265-params log-level=none:open-gop=0:keyint=60 -movflags +faststart 720p.mp4";
                vec![("one command, its own threads", vec![words(command)])]
            }
            "vp9" => {
                let command = "-i SOURCE -an -vf scale=-2:720 -c:v libvpx-vp9 -deadline good -cpu-used 5 -crf 31 -b:v 0 \
                               -row-mt 1 -tile-columns 1 -threads 2 -g 60 -lag-in-frames 16 720p.webm";
                vec![("one command, two threads", vec![words(command)])]
            }
            "animation" => {
                let command = "-t 5 -i SOURCE -vf fps=10:round=up,scale=480:-2:flags=lanczos,split[a][b];\
                               [a]palettegen[p];[b][p]paletteuse loop.gif";
                vec![("one command", vec![words(command)])]
            }
            "inspect" => {
                let command = "-i SOURCE -vf blackdetect,freezedetect,cropdetect -af silencedetect,ebur128=peak=true \
                               -f null -";
                vec![("one command", vec![words(command)])]
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
