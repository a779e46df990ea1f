//! Attacks that take: memory, disk, time, threads.

use std::io::Write;
use std::time::Duration;

use reelmill::worker::protocol::{FromWorker, Progress};
use serde::{Deserialize, Serialize};

use crate::attack::{call, say};

/// What is taken.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub enum Greed {
    /// Memory, without end.
    Memory,
    /// One file, longer than may be.
    LongFile,
    /// Files of a megabyte, without end.
    Disk,
    /// Room on the disk that no length shows.
    HiddenDisk,
    /// Files that have no name any more.
    NamelessDisk,
    /// Empty files.
    Files,
    /// The processor, without a word.
    Spin,
    /// Nothing, for ever.
    Sleep,
    /// Time: it moves a little, for ever.
    Crawl,
    /// So many threads.
    Threads(u32),
    /// Standard error: so many megabytes.
    Words(u32),
    /// The control socket, closed; and it lives on.
    Silence,
    /// A crash by a bad address.
    Crash,
    /// The end, with a result half written.
    Leave,
}

/// Takes it; answers what it came to.
pub fn take(greed: Greed) -> String {
    match greed {
        Greed::Memory => memory(),
        Greed::LongFile => {
            let mut file = std::fs::File::create("long").expect("a file in scratch");
            let block = vec![1; 1 << 20];
            for megabyte in 0..1024 {
                if let Err(error) = file.write_all(&block) {
                    return format!("{:?} after {megabyte} MB", error.kind());
                }
            }
            "a file of a gigabyte".to_owned()
        }
        Greed::Disk => disk(),
        Greed::HiddenDisk => {
            let file = call(libc::SYS_openat, &[-100, c"hidden".as_ptr() as i64, 0o102, 0o600]);
            let file = file.expect("a file in scratch");
            // FALLOC_FL_KEEP_SIZE
            let taken = call(libc::SYS_fallocate, &[file, 1, 0, 1 << 30]);
            format!("{taken:?}")
        }
        Greed::NamelessDisk => nameless(),
        Greed::Files => {
            for number in 0..1_000_000_u64 {
                if std::fs::write(format!("f{number}"), b"").is_err() {
                    return format!("{number} files");
                }
                // On a slow disk this would be a stall otherwise.
                if number % 100 == 0 {
                    let buffers = number;
                    say(&FromWorker::Progress(Progress {
                        buffers,
                        ..Progress::default()
                    }));
                }
            }
            "a million files".to_owned()
        }
        Greed::Spin => {
            let mut number = 1_u64;
            loop {
                number = std::hint::black_box(number.wrapping_mul(3));
            }
        }
        Greed::Sleep => loop {
            std::thread::sleep(Duration::from_hours(1));
        },
        Greed::Crawl => {
            for step in 1.. {
                let progress = Progress {
                    position_ns: step,
                    duration_ns: Some(u64::MAX),
                    ..Progress::default()
                };
                if !say(&FromWorker::Progress(progress)) {
                    break;
                }
                std::thread::sleep(Duration::from_millis(50));
            }
            String::new()
        }
        Greed::Threads(wanted) => threads(wanted),
        Greed::Words(megabytes) => {
            let block = vec![b'x'; 1 << 20];
            let error = std::io::stderr();
            for _ in 0..megabytes {
                if error.lock().write_all(&block).is_err() {
                    break;
                }
            }
            let _ = writeln!(std::io::stderr(), "\u{1b}]0;evil\u{7}");
            "wrote it all".to_owned()
        }
        Greed::Silence => {
            let _ = call(libc::SYS_close, &[3]);
            loop {
                std::thread::sleep(Duration::from_hours(1));
            }
        }
        Greed::Crash => {
            let _ = std::fs::write("half", b"half a result");
            // SAFETY: it is meant to crash.
            unsafe { std::ptr::null_mut::<u8>().write_volatile(1) };
            String::new()
        }
        Greed::Leave => {
            let _ = std::fs::write("half", b"half a result");
            let _ = call(libc::SYS_exit_group, &[0]);
            String::new()
        }
    }
}

fn memory() -> String {
    let mut held: Vec<Vec<u8>> = Vec::new();
    loop {
        held.push(vec![1; 4 << 20]);
        // So that even a slow watcher is there in time, and the machine of the tests lives.
        std::thread::sleep(Duration::from_millis(2));
        if held.len() > 1024 {
            return "four gigabytes".to_owned();
        }
    }
}

fn disk() -> String {
    let block = vec![1; 1 << 20];
    for number in 0..2048 {
        if let Err(error) = std::fs::write(format!("d{number}"), &block) {
            return format!("{:?} after {number} MB", error.kind());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    "two gigabytes".to_owned()
}

fn nameless() -> String {
    let block = vec![1; 1 << 20];
    let mut held = Vec::new();
    for number in 0..40 {
        let name = format!("n{number}");
        let mut file = std::fs::File::create(&name).expect("a file in scratch");
        let _ = std::fs::remove_file(&name);
        for _ in 0..8 {
            let _ = file.write_all(&block);
        }
        held.push(file);
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(Duration::from_secs(1));
    "320 MB that have no name".to_owned()
}

fn threads(wanted: u32) -> String {
    let mut made = 0;
    for _ in 0..wanted {
        let thread = std::thread::Builder::new().stack_size(16 << 10);
        if thread.spawn(|| std::thread::sleep(Duration::from_hours(1))).is_err() {
            break;
        }
        made += 1;
    }
    std::thread::sleep(Duration::from_secs(1));
    format!("{made} threads")
}
