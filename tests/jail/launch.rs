//! Launch lines and media that reach for what is not theirs, tried by the real program, as users would.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::Test;
use crate::harness::{House, film, tool};
use crate::lies::ESCAPES;

pub const TESTS: &[Test] = &[
    ("launch_lines_reach_nothing_else", lines),
    ("a_file_that_is_allowed_and_no_other_is_read", allowed),
    ("media_that_refer_to_others_bring_none_of_them", media),
];

const SECRET: &[u8] = b"the very secret words of this test";

/// A house with a secret, and no daemon.
fn house() -> House {
    let house = House::new(&[]);
    fs::write(house.path("secret"), SECRET.repeat(100)).unwrap();
    house
}

fn rule(task: &str) -> String {
    format!("enabled = true\n[trigger]\nbucket = 'inbox'\n[output]\nbucket = 'published'\n[task.out]\n{task}\n")
}

/// Tries a rule on a file; the job, and what was published.
fn try_it(house: &House, task: &str, file: &Path) -> (Value, Vec<PathBuf>) {
    let written = house.path("one.toml");
    fs::write(&written, rule(task)).unwrap();
    let out = house.path("out");
    let _ = fs::remove_dir_all(&out);
    let said = house.reelmill(&[
        "--json",
        "try",
        written.to_str().unwrap(),
        file.to_str().unwrap(),
        "--out",
        out.to_str().unwrap(),
    ]);
    let job = serde_json::from_slice(&said.stdout).unwrap_or(Value::Null);
    assert!(job.is_object(), "{}", String::from_utf8_lossy(&said.stderr));
    let mut found = Vec::new();
    let mut folders = vec![out];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else {
                found.push(entry.path());
            }
        }
    }
    (job, found)
}

fn has_secret(files: &[PathBuf]) -> bool {
    let words = b"secret words";
    files.iter().any(|file| {
        let content = fs::read(file).unwrap();
        content.windows(words.len()).any(|part| part == words)
    })
}

fn lines() {
    let house = house();
    let secret = house.path("secret").display().to_string();
    let escaped = house.path("escaped").display().to_string();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    port.set_nonblocking(true).unwrap();
    let address = port.local_addr().unwrap();
    let tail = "{input} ! fakesink";
    let all = [
        (format!("filesrc location=/etc/shadow ! {{output}} {tail}"), ""),
        (format!("filesrc location={secret} ! {{output}} {tail}"), ""),
        (
            format!("multifilesrc location={secret} ! {{output}} {tail}"),
            "no element",
        ),
        (
            format!("souphttpsrc location=http://{address}/ ! {{output}} {tail}"),
            "no element",
        ),
        (
            format!(
                "tcpclientsrc host=127.0.0.1 port={} ! {{output}} {tail}",
                address.port()
            ),
            "no element",
        ),
        (
            format!("{{input}} ! tee name=t ! queue ! {{output}} t. ! queue ! filesink location={escaped}"),
            "",
        ),
        (
            format!("{{input}} ! tee name=t ! queue ! {{output}} t. ! queue ! multifilesink location={escaped}"),
            "no element",
        ),
        (
            format!("{{input}} ! tee name=t ! queue ! {{output}} t. ! queue ! shmsink socket-path={escaped}"),
            "no element",
        ),
        (
            "{input} ! tee name=t ! queue ! {output} t. ! queue ! fdsink fd=3".to_owned(),
            "speaks strangely",
        ),
        (format!("playbin uri=file://{secret} {{input}} ! {{output}}"), ""),
        (format!("uridecodebin uri=file://{secret} ! {{output}} {tail}"), ""),
        (
            format!("giosrc location=file://{secret} ! {{output}} {tail}"),
            "no element",
        ),
        (format!("videotestsrc num-buffers=1 ! {{output}} {tail}"), "no element"),
    ];
    let mut wrong = Vec::new();
    for (line, words) in &all {
        let (job, files) = try_it(
            &house,
            &format!("kind = 'pipeline'\nextension = 'bin'\nlaunch = '{line}'"),
            &film(),
        );
        let message = job["tasks"][0]["error"]["message"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        println!("{line}: {} {message}", job["state"]);
        if has_secret(&files) {
            wrong.push(format!("{line}: the secret was published"));
        }
        if job["state"] == "succeeded" || !message.contains(words) {
            wrong.push(format!("{line}: {} {message}", job["state"]));
        }
        if Path::new(&escaped).exists() || port.accept().is_ok() {
            wrong.push(format!("{line}: it got out"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn allowed() {
    let house = house();
    let secret = house.path("secret").display().to_string();
    let other = house.path("other").display().to_string();
    fs::write(&other, SECRET).unwrap();
    let task = |place: &str| {
        format!(
            "kind = 'pipeline'\nextension = 'bin'\nallow = ['{secret}']\n\
             launch = 'filesrc location={place} ! {{output}} {{input}} ! fakesink'"
        )
    };
    let (job, files) = try_it(&house, &task(&secret), &film());
    assert_eq!(job["state"], "succeeded", "{job:#}");
    assert!(has_secret(&files));
    let (job, files) = try_it(&house, &task(&other), &film());
    assert_ne!(job["state"], "succeeded", "{job:#}");
    assert!(!has_secret(&files));
}

/// Media that name other files; what they may end as does not count, only that nothing of the others comes out.
fn media() {
    let house = house();
    let secret = house.path("secret").display().to_string();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    port.set_nonblocking(true).unwrap();
    let address = port.local_addr().unwrap();
    let made = |name: &str, content: &[u8]| {
        let path = house.path(name);
        fs::write(&path, content).unwrap();
        path
    };
    let text = |name: &str, content: String| made(name, content.as_bytes());
    let mut all = vec![
        text(
            "file.m3u8",
            format!("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{secret}\n#EXT-X-ENDLIST\n"),
        ),
        text(
            "http.m3u8",
            format!("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://{address}/a.ts\n#EXT-X-ENDLIST\n"),
        ),
        text("concat.mp4", format!("ffconcat version 1.0\nfile '{secret}'\n")),
        text(
            "picture.png",
            format!(
                "<?xml version=\"1.0\"?><!DOCTYPE svg [<!ENTITY x SYSTEM \"file://{secret}\">]>\
             <svg xmlns=\"http://www.w3.org/2000/svg\"><image href=\"http://{address}/\"/><text>&x;</text></svg>"
            ),
        ),
        text(
            "words.ass",
            format!(
                "[Script Info]\n[V4+ Styles]\n[Fonts]\nfontname: ../../{secret}\n[Events]\n\
             Dialogue: 0,0:00:00.00,0:00:02.00,Default,,0,0,0,,{{\\fn{secret}}}x\n"
            ),
        ),
        made("reference.mov", &reference(&secret)),
    ];
    let attached = house.path("attached.mkv");
    let film = film();
    tool(
        "ffmpeg",
        &[
            "-nostdin",
            "-v",
            "error",
            "-i",
            film.to_str().unwrap(),
            "-map",
            "0",
            "-c",
            "copy",
            "-attach",
            &secret,
            "-metadata:s:t",
            "mimetype=application/x-executable",
            "-metadata:s:t",
            "filename=../../../../tmp/reelmill-font",
            attached.to_str().unwrap(),
        ],
    );
    all.push(attached);
    let named = house.path("named.mkv");
    tool(
        "ffmpeg",
        &[
            "-nostdin",
            "-v",
            "error",
            "-i",
            film.to_str().unwrap(),
            "-map",
            "0",
            "-c",
            "copy",
            "-metadata",
            &format!("title={ESCAPES}"),
            "-metadata",
            "artist=../../../etc/passwd",
            named.to_str().unwrap(),
        ],
    );
    all.push(named);
    let mut wrong = Vec::new();
    for file in &all {
        for task in ["kind = 'transcode'\ncontainer = 'mkv'\nheight = 96", "kind = 'probe'"] {
            let (job, files) = try_it(&house, task, file);
            println!(
                "{}: {} {}",
                file.display(),
                job["state"],
                job["tasks"][0]["error"]["message"]
            );
            // What lies in the medium itself may come out with it; it was no secret to whoever made it.
            let own = fs::read(file).unwrap();
            let carried = own.windows(12).any(|part| part == b"secret words");
            if has_secret(&files) && !carried {
                wrong.push(format!("{}: the secret was published", file.display()));
            }
            if port.accept().is_ok() {
                wrong.push(format!("{}: it spoke to the network", file.display()));
            }
            if Path::new("/tmp/reelmill-font").exists() {
                wrong.push(format!("{}: an attachment was unpacked", file.display()));
            }
            for path in &files {
                if fs::metadata(path).unwrap().mode() & 0o7000 != 0 {
                    wrong.push(format!("{} has privileges", path.display()));
                }
                let is_json = path.extension().is_some_and(|end| end == "json");
                if is_json && fs::read(path).unwrap().contains(&0x1b) {
                    wrong.push(format!("{} has what terminals obey", path.display()));
                }
            }
        }
    }
    let said = house.reelmill(&[
        "try",
        "--out",
        house.path("out").to_str().unwrap(),
        house.path("one.toml").to_str().unwrap(),
        all.last().unwrap().to_str().unwrap(),
    ]);
    for stream in [&said.stdout, &said.stderr] {
        if stream.contains(&0x1b) || String::from_utf8_lossy(stream).contains("\nforged=") {
            wrong.push("`try` prints what terminals obey".to_owned());
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A film whose samples lie in another file, as its references say.
fn reference(secret: &str) -> Vec<u8> {
    let film = fs::read(film()).unwrap();
    let referring = referring(&film, secret);
    assert!(referring.len() > film.len(), "the film has no references");
    referring
}

/// These boxes, with every reference to the file itself replaced. The samples lie before the index, so that they stay
/// where they were.
fn referring(boxes: &[u8], secret: &str) -> Vec<u8> {
    let mut made = Vec::new();
    let mut rest = boxes;
    while rest.len() >= 8 {
        let length = u32::from_be_bytes(*rest.first_chunk().unwrap()) as usize;
        let (whole, after) = rest.split_at(length.clamp(8, rest.len()));
        let kind: [u8; 4] = whole[4..8].try_into().unwrap();
        let inside = match &kind {
            b"moov" | b"trak" | b"mdia" | b"minf" | b"dinf" => referring(&whole[8..], secret),
            b"dref" => {
                let mut entry = b"url \0\0\0\0".to_vec();
                entry.extend(format!("file://{secret}\0").as_bytes());
                let mut list = vec![0, 0, 0, 0, 0, 0, 0, 1];
                list.extend(u32::try_from(entry.len() + 4).unwrap().to_be_bytes());
                list.extend(entry);
                list
            }
            _ => whole[8..].to_vec(),
        };
        made.extend(u32::try_from(inside.len() + 8).unwrap().to_be_bytes());
        made.extend(kind);
        made.extend(inside);
        rest = after;
    }
    made
}
