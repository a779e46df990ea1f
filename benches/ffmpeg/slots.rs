//! Eight jobs at once: how long the daemon takes for all of them with one, two and four slots.

use std::path::Path;
use std::time::Instant;

use crate::harness::House;

const RULE: &str = r#"
enabled = true
[trigger]
bucket = "inbox"
[output]
bucket = "published"
[task.web]
kind = "transcode"
container = "mp4"
height = 720
video = { codec = "h264", crf = 23, preset = "veryfast", gop = "2s" }
audio = { codec = "aac", bitrate = "128k" }
"#;

const JOBS: usize = 8;

pub fn measure(source: &Path, seconds: u32) {
    println!("\n{JOBS} jobs of {seconds} s each, 720p");
    for slots in [1, 2, 4] {
        let config = format!(
            "state = \"state\"\n[bucket.inbox]\npath = \"inbox\"\n[bucket.published]\npath = \"published\"\n\
             [workers]\nslots = {slots}\n"
        );
        let mut house = House::with_config(&config, &[("web", RULE)]);
        house.start();
        for number in 0..JOBS {
            let hidden = house.path("inbox").join(format!(".{number}.part"));
            std::fs::copy(source, &hidden).unwrap();
            std::fs::rename(hidden, house.path("inbox").join(format!("{number}.mp4"))).unwrap();
        }
        let begun = Instant::now();
        let finished = || {
            std::fs::read_dir(house.path("published")).map_or(0, |files| {
                files
                    .flatten()
                    .filter(|file| file.file_name().to_string_lossy().ends_with("_web.mp4"))
                    .count()
            })
        };
        while finished() < JOBS {
            assert!(begun.elapsed().as_secs() < 3600, "the daemon takes an hour");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        let took = begun.elapsed().as_secs_f64();
        println!(
            "{slots} slots: {took:.1} s, {:.2} s of film a second",
            (JOBS as f64 * f64::from(seconds)) / took
        );
    }
}
