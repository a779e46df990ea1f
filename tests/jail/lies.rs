//! Attacks by what is said on the control socket.

use std::io::Write;
use std::time::Duration;

use reelmill::job::{ErrorKind, Failure, Finding, FindingKind};
use reelmill::plan::{AudioStream, Chapter, MediaInfo, OutputReport, StreamInfo, StreamKind, VideoStream, Work};
use reelmill::rule::TaskId;
use reelmill::worker::frame;
use reelmill::worker::protocol::{FromWorker, Progress, ToWorker, VERSION};
use serde::{Deserialize, Serialize};

use crate::attack::{control, say};

/// What is said.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Lie {
    /// These bytes.
    Raw(Vec<u8>),
    /// The greeting once more.
    GreetTwice,
    /// Messages without end.
    Chatter,
    /// Findings without end, each another.
    Findings,
    /// Refused calls without end.
    Refusals,
    /// A finding of a megabyte, with what terminals obey.
    Terminal,
    /// A medium with impossible numbers, and then the truth about the first request.
    Medium,
    /// A result under this name, that was never written.
    Name(String),
    /// The result that was asked for, never written.
    Nothing,
    /// The result, with another size.
    Size,
    /// The result, as a link to this file.
    Symlink(String),
    /// The result, as another name of this file.
    Hardlink(String),
    /// The result, as a pipe without a writer.
    Pipe,
    /// The result, as a directory.
    Directory,
    /// The result, twice.
    Twice,
    /// The result, and it becomes longer while it is published.
    Growing,
    /// The result, with bits of its mode that give privileges, for all the world to write.
    Mode,
    /// That all is done, and nothing is.
    Done,
    /// A result of a task that nobody gave.
    Task,
    /// A failure, in a megabyte with what terminals obey.
    Failure,
}

/// What terminals obey.
pub const ESCAPES: &str = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31mred\u{202e}\r\nforged=line";

/// Tells it; answers what was heard.
pub fn tell(lie: Lie) -> String {
    match lie {
        Lie::Raw(bytes) => {
            let _ = (&*control()).write_all(&bytes);
            wait()
        }
        Lie::GreetTwice => {
            let hello = FromWorker::Hello {
                protocol: VERSION,
                version: env!("CARGO_PKG_VERSION").to_owned(),
                gstreamer: String::new(),
                landlock: Some(7),
            };
            say(&hello);
            wait()
        }
        Lie::Chatter => {
            for step in 1.. {
                let progress = Progress {
                    position_ns: step,
                    ..Progress::default()
                };
                if !say(&FromWorker::Progress(progress)) {
                    break;
                }
            }
            String::new()
        }
        Lie::Findings => {
            let (task, _) = asked();
            for step in 0.. {
                let message = format!("{step} {}", "x".repeat(400));
                if !say(&finding(Some(task.clone()), message)) {
                    break;
                }
            }
            String::new()
        }
        Lie::Refusals => {
            for _ in 0..100_000 {
                let calls = vec![("execve\u{1b}[2J".to_owned(), 1); 100];
                if !say(&FromWorker::Refused { calls }) {
                    break;
                }
            }
            String::new()
        }
        Lie::Terminal => {
            let (task, file) = asked();
            std::fs::write(&file, vec![0; size()]).expect("a file in scratch");
            say(&finding(
                Some(task.clone()),
                format!("{ESCAPES}{}", "x".repeat(1 << 20)),
            ));
            output(task, file, size());
            say(&FromWorker::Done);
            wait()
        }
        Lie::Medium => {
            let mut control = control();
            while let Ok(Some(request)) = frame::read::<ToWorker>(&mut *control) {
                let answer = match request {
                    ToWorker::Probe => FromWorker::Media {
                        media: Box::new(monster()),
                    },
                    _ => FromWorker::Failed {
                        failure: Failure::new(ErrorKind::Corrupt, "tried: enough"),
                    },
                };
                say(&answer);
            }
            String::new()
        }
        Lie::Failure => {
            let failure = Failure::new(ErrorKind::Corrupt, format!("{ESCAPES}{}", "x".repeat(1 << 20)));
            say(&FromWorker::Failed { failure });
            wait()
        }
        lie => about_outputs(lie),
    }
}

fn about_outputs(lie: Lie) -> String {
    let (task, file) = asked();
    let there = |bytes: &[u8]| std::fs::write(&file, bytes).expect("a file in scratch");
    match lie {
        Lie::Name(name) => output(task, name, size()),
        Lie::Nothing => output(task, file, size()),
        Lie::Size => {
            there(b"four");
            output(task, file, size());
        }
        Lie::Symlink(target) => {
            std::os::unix::fs::symlink(target, &file).expect("a link");
            output(task, file, size());
        }
        Lie::Hardlink(target) => {
            std::fs::hard_link(target, &file).expect("a link");
            output(task, file, size());
        }
        Lie::Pipe => {
            rustix::fs::mknodat(
                rustix::fs::CWD,
                &file,
                rustix::fs::FileType::Fifo,
                rustix::fs::Mode::RWXU,
                0,
            )
            .expect("a pipe");
            output(task, file, size());
        }
        Lie::Directory => {
            std::fs::create_dir(&file).expect("a directory");
            output(task, file, size());
        }
        Lie::Twice => {
            there(&vec![0; size()]);
            output(task.clone(), file.clone(), size());
            output(task, file, size());
        }
        Lie::Growing => {
            there(&vec![0; size()]);
            let mut growing = std::fs::File::options().append(true).open(&file).expect("the result");
            output(task, file, size());
            for _ in 0..1000 {
                let _ = growing.write_all(&[1; 4096]);
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        Lie::Mode => {
            let path = std::ffi::CString::new(file.as_str()).expect("a name");
            let _ = crate::attack::call(libc::SYS_umask, &[0]);
            // For all the world to write, and to be run as its owner.
            let mut told = Vec::new();
            for mode in [0o6777, 0o777] {
                let opened = crate::attack::call(libc::SYS_openat, &[-100, path.as_ptr() as i64, 0o101, mode]);
                told.push(opened.is_ok());
            }
            there(&vec![0; size()]);
            output(task, file, size());
            say(&FromWorker::Done);
        }
        Lie::Done => {}
        Lie::Task => output("nobody".parse().expect("a name"), file, size()),
        other => unreachable!("{other:?}"),
    }
    say(&FromWorker::Done);
    wait()
}

/// The first file that the daemon asks for, and its task. What comes before is answered.
fn asked() -> (TaskId, String) {
    let mut control = control();
    loop {
        match frame::read::<ToWorker>(&mut *control)
            .expect("a request")
            .expect("one more")
        {
            ToWorker::Run { plan } => {
                let task = &plan.tasks[0];
                let (Work::Copy { file } | Work::Probe { file }) = &task.work else {
                    panic!("another task: {task:?}");
                };
                return (task.task.clone(), file.clone());
            }
            _ => say(&FromWorker::Media {
                media: Box::new(monster()),
            }),
        };
    }
}

/// The source's size: a copy has no other.
fn size() -> usize {
    let end = crate::attack::call(libc::SYS_lseek, &[4, 0, 2]);
    usize::try_from(end.unwrap_or(0)).unwrap_or(0)
}

fn output(task: TaskId, file: String, size: usize) {
    let size = u64::try_from(size).unwrap_or(0);
    let report = OutputReport::Bytes;
    say(&FromWorker::Output {
        task,
        file,
        size,
        report,
    });
}

fn finding(task: Option<TaskId>, message: String) -> FromWorker {
    let finding = Finding {
        kind: FindingKind::StreamLeftOut,
        message,
    };
    FromWorker::Finding { task, finding }
}

fn wait() -> String {
    std::thread::sleep(Duration::from_secs(2));
    "still here".to_owned()
}

/// Numbers at the ends of their ranges, where arithmetic breaks.
fn monster() -> MediaInfo {
    let video = |width, height, fps, pixel_aspect| {
        StreamKind::Video(VideoStream {
            width,
            height,
            fps,
            pixel_aspect,
            depth: u32::MAX,
            interlaced: true,
            rotation: u32::MAX,
            is_image: false,
            colour: reelmill::plan::Colour::default(),
        })
    };
    let kinds = vec![
        video(u32::MAX, 0, (0, 0), (0, 0)),
        StreamKind::Audio(AudioStream { channels: 0, rate: 0 }),
        video(0, u32::MAX, (u32::MAX, 0), (u32::MAX, 1)),
        video(u32::MAX, u32::MAX, (1, u32::MAX), (u32::MAX, u32::MAX)),
        StreamKind::Audio(AudioStream {
            channels: u32::MAX,
            rate: u32::MAX,
        }),
    ];
    let streams = kinds.into_iter().map(|kind| StreamInfo {
        index: u32::MAX,
        codec: ESCAPES.to_owned(),
        format: ESCAPES.to_owned(),
        duration: Some(Duration::MAX),
        bitrate: Some(u64::MAX),
        language: Some("../../../etc/passwd".to_owned()),
        kind,
    });
    MediaInfo {
        container: ESCAPES.to_owned(),
        size: u64::MAX,
        duration: Some(Duration::MAX),
        bitrate: Some(u64::MAX),
        seekable: true,
        streams: streams.collect(),
        tags: vec![(ESCAPES.to_owned(), "../../../etc/passwd".to_owned())],
        chapters: vec![Chapter {
            start: Duration::MAX,
            end: Some(Duration::ZERO),
            title: ESCAPES.to_owned(),
        }],
    }
}
