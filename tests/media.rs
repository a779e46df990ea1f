//! Real media through the real worker: the built program as the child, the library as the daemon.
#![allow(missing_docs)]

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use reelmill::job::{ErrorKind, Failure, Finding, FindingKind};
use reelmill::plan::{
    CoverPlan, Draw, MediaInfo, OutputReport, Picture, RunPlan, SnapshotPlan, SoundPlan, Span, Still, TaskPlan,
    TrackReport, TracksPlan, TranscodePlan, Work,
};
use reelmill::rule::overlay::Cover;
use reelmill::rule::{
    AudioCodec, AudioSpec, Container, Gop, Grants, ImageFormat, Part, SizeSpec, TaskId, Track, Tracks, Transcode,
    Treatment, VideoCodec, VideoSpec,
};
use reelmill::worker::protocol::FromWorker;
use reelmill::worker::registry;
use reelmill::worker::spawn::{Limits, Worker, WorkerSettings};

const LIMITS: Limits = Limits {
    stall: Duration::from_secs(20),
    timeout: Some(Duration::from_mins(2)),
    room: u64::MAX,
};

fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .expect("target")
        .to_owned()
}

#[allow(clippy::disallowed_methods)]
fn command(program: &str) -> Command {
    Command::new(program)
}

fn media() -> &'static Path {
    static MEDIA: OnceLock<PathBuf> = OnceLock::new();
    MEDIA.get_or_init(|| {
        let folder = target().join("test-media-v1");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/media/make.sh");
        let made = command(script.to_str().expect("path"))
            .arg(&folder)
            .status()
            .expect("make.sh");
        assert!(made.success(), "test media could not be made");
        folder
    })
}

async fn settings() -> WorkerSettings {
    static ONCE: tokio::sync::OnceCell<()> = tokio::sync::OnceCell::const_new();
    let registry = Path::new(env!("CARGO_TARGET_TMPDIR")).join("registry.bin");
    let settings = WorkerSettings::new(env!("CARGO_BIN_EXE_reelmill").into(), registry);
    ONCE.get_or_init(|| async { registry::prepare(&settings).await.expect("registry") })
        .await;
    settings
}

fn id(name: &str) -> TaskId {
    name.parse().expect("task id")
}

async fn worker(path: &Path, scratch: &Path) -> Worker {
    let input = OwnedFd::from(File::open(path).expect("input"));
    Worker::spawn(&settings().await, input, scratch, LIMITS, &Grants::default())
        .await
        .expect("worker")
}

#[derive(Debug, Default)]
struct Heard {
    outputs: Vec<(String, u64, OutputReport)>,
    findings: Vec<Finding>,
    failed: Vec<(String, Failure)>,
    progress: usize,
    end: Option<Failure>,
}

async fn carry_out(worker: &mut Worker, plan: RunPlan) -> Heard {
    let mut heard = Heard::default();
    if let Err(failure) = worker.start(plan).await {
        heard.end = Some(failure);
        return heard;
    }
    loop {
        match worker.next().await {
            Ok(FromWorker::Output { file, size, report, .. }) => heard.outputs.push((file, size, report)),
            Ok(FromWorker::Finding { finding, .. }) => heard.findings.push(finding),
            Ok(FromWorker::TaskFailed { task, failure }) => {
                heard.failed.push((task.to_string(), failure));
            }
            Ok(FromWorker::Progress(_)) => heard.progress += 1,
            Ok(FromWorker::Provenance { .. }) => {}
            Ok(FromWorker::Done) => return heard,
            Ok(FromWorker::Failed { failure }) | Err(failure) => {
                heard.end = Some(failure);
                return heard;
            }
            Ok(other) => panic!("{other:?}"),
        }
    }
}

fn even(n: u32) -> u32 {
    n.div_ceil(2) * 2
}

fn track<T>(spec: Option<T>) -> Track<T> {
    spec.map_or(Track::None, Track::Encode)
}

fn whole(size: (u32, u32)) -> Picture {
    Picture {
        size,
        draw: Draw::Whole,
    }
}

fn transcode(info: &MediaInfo, file: &str, height: Option<u32>, fps: Option<f64>) -> Work {
    let picture = info.video().map(|video| {
        let (w, h) = video.display_size();
        match height {
            Some(height) if height < h => (even(w * height / h), even(height)),
            _ => (even(w), even(h)),
        }
    });
    let sound = info.audio().zip(info.audio_stream()).map(|(audio, stream)| SoundPlan {
        stream: stream.index,
        form: Some((audio.channels.clamp(1, 6), 48_000)),
        language: None,
    });
    Work::Transcode(Box::new(TranscodePlan {
        file: file.to_owned(),
        settings: Transcode {
            container: Container::Mp4,
            size: SizeSpec::default(),
            part: Part::default(),
            treatment: Treatment::default(),
            cover: Cover::default(),
            clips: reelmill::rule::Clips::default(),
            tracks: Tracks::default(),
            video: track(info.video().map(|_| VideoSpec {
                preset: "ultrafast".to_owned(),
                gop: Some(Gop::Time(Duration::from_secs(1))),
                fps,
                ..VideoSpec::usual(VideoCodec::H264)
            })),
            audio: track(info.audio().map(|_| AudioSpec {
                codec: AudioCodec::Aac,
                bitrate: 96_000,
                channels: None,
                rate: None,
                depth: 16,
                loudness: None,
            })),
        },
        picture: picture.map(whole),
        span: Span::default(),
        cover: CoverPlan::default(),
        clips: reelmill::plan::ClipsPlan::default(),
        gop_frames: None,
        tracks: TracksPlan {
            sounds: sound.into_iter().collect(),
            ..TracksPlan::default()
        },
    }))
}

fn stills(info: &MediaInfo, prefix: &str, at: &[f64], format: ImageFormat) -> Work {
    let video = info.video().expect("video");
    let (w, h) = video.display_size();
    Work::Snapshot(SnapshotPlan {
        stills: at
            .iter()
            .enumerate()
            .map(|(n, at)| Still {
                file: format!("{prefix}{n}.{}", format.extension()),
                at: Duration::from_secs_f64(*at),
            })
            .collect(),
        format,
        quality: 85,
        picture: whole((even(w), even(h))),
        skip_black: false,
        points: true,
    })
}

fn plan(media: Option<MediaInfo>, works: Vec<(&str, Work)>) -> RunPlan {
    RunPlan {
        media,
        tasks: works
            .into_iter()
            .map(|(name, work)| TaskPlan { task: id(name), work })
            .collect(),
        threads: 1,
    }
}

/// What ffmpeg says while it decodes the file to its end: nothing, where it is right.
fn complaints(file: &Path) -> String {
    let ran = command("ffmpeg")
        .args(["-nostdin", "-v", "error", "-xerror", "-i"])
        .arg(file)
        .args(["-f", "null", "-"])
        .output()
        .expect("ffmpeg");
    format!(
        "{}{}",
        String::from_utf8_lossy(&ran.stderr),
        if ran.status.success() { "" } else { "failed" }
    )
}

fn tracks(report: &OutputReport) -> &[TrackReport] {
    match report {
        OutputReport::Media {
            tracks, index_in_front, ..
        } => {
            assert_eq!(*index_in_front, Some(true), "the index is not in front");
            tracks
        }
        other => panic!("{other:?}"),
    }
}

const GOOD: [&str; 33] = [
    "plain.mp4",
    "index-at-end.mp4",
    "plain.mov",
    "plain.mkv",
    "plain.ts",
    "plain.flv",
    "vp9.webm",
    "vp8.webm",
    "av1.mp4",
    "old.avi",
    "program.mpg",
    "variable.mkv",
    "variable.mp4",
    "turned.mp4",
    "ten-bit.mkv",
    "full-colour.mp4",
    "odd.mkv",
    "interlaced.ts",
    "surround.mp4",
    "sound.mp3",
    "sound.flac",
    "sound.m4a",
    "sound.ogg",
    "sound.opus",
    "sound.wav",
    "silent-film.mp4",
    "late-sound.mkv",
    "late-sound.mp4",
    "two-sounds.mkv",
    "film-rate.mp4",
    "wide-pixels.mp4",
    "cover.mp3",
    "chapters.mkv",
];

async fn good(name: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let scratch = tempfile::tempdir().expect("scratch");
    let mut worker = worker(&media().join(name), scratch.path()).await;
    let info = match worker.probe().await {
        Ok(info) => info,
        Err(failure) => return vec![format!("{name}: probe: {failure:?}")],
    };
    let mut works = vec![
        (
            "probe",
            Work::Probe {
                file: "probe.json".to_owned(),
            },
        ),
        ("web", transcode(&info, "web.mp4", None, None)),
    ];
    if info.video().is_some() {
        works.push(("low", transcode(&info, "low.mp4", Some(120), Some(10.0))));
        works.push(("stills", stills(&info, "still", &[0.0, 1.5], ImageFormat::Jpg)));
    }
    let expected = if info.video().is_some() { 5 } else { 2 };
    let heard = carry_out(&mut worker, plan(Some(info.clone()), works)).await;
    worker.stop().await;
    if heard.end.is_some() || !heard.failed.is_empty() || !heard.findings.is_empty() || heard.outputs.len() != expected
    {
        wrong.push(format!("{name}: {heard:#?}"));
    }
    for (file, size, report) in &heard.outputs {
        let path = scratch.path().join(file);
        if path.metadata().map_or(0, |about| about.len()) != *size {
            wrong.push(format!("{name}: {file} has another size than told"));
        }
        if Path::new(file).extension().is_none_or(|extension| extension != "mp4") {
            continue;
        }
        let said = complaints(&path);
        if !said.is_empty() {
            wrong.push(format!("{name}: ffmpeg of {file}: {said}"));
        }
        let tracks = tracks(report);
        let wanted = usize::from(info.video().is_some()) + usize::from(info.audio().is_some());
        if tracks.len() != wanted {
            wrong.push(format!("{name}: {file} has {} tracks, not {wanted}", tracks.len()));
        }
        for track in tracks {
            let off = |a: Duration, b: Duration| {
                a.abs_diff(b) > Duration::from_millis(if file == "low.mp4" { 210 } else { 110 })
            };
            if off(track.start, track.source_start) || off(track.end, track.source_end) || track.packets < 2 {
                wrong.push(format!("{name}: {file} times: {track:?}"));
            }
        }
    }
    let left: Vec<_> = std::fs::read_dir(scratch.path())
        .expect("scratch")
        .filter_map(|entry| entry.ok().map(|entry| entry.file_name().to_string_lossy().into_owned()))
        .filter(|file| file.contains("spool") || file.contains("part"))
        .collect();
    if !left.is_empty() {
        wrong.push(format!("{name}: left behind: {left:?}"));
    }
    wrong
}

#[tokio::test]
async fn every_good_medium_becomes_files_that_play_without_a_complaint() {
    let only = std::env::var("ONLY").ok();
    let mut wrong = Vec::new();
    for name in GOOD
        .iter()
        .filter(|name| only.as_ref().is_none_or(|only| name.contains(only.as_str())))
    {
        wrong.extend(good(name).await);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn bad_media_end_with_clean_words() {
    for (name, kind) in [
        ("empty.mp4", ErrorKind::Corrupt),
        ("text.mp4", ErrorKind::Unsupported),
        ("random.mp4", ErrorKind::Corrupt),
        ("no-index.mp4", ErrorKind::Corrupt),
        ("corrupt-index.mp4", ErrorKind::Corrupt),
    ] {
        let scratch = tempfile::tempdir().expect("scratch");
        let mut worker = worker(&media().join(name), scratch.path()).await;
        let failure = worker.probe().await.expect_err(name);
        println!("{name}: {}", failure.message);
        assert_eq!(failure.kind, kind, "{name}: {}", failure.message);
        worker.stop().await;
    }
}

#[tokio::test]
async fn truncated_and_damaged_media_are_findings() {
    for (name, kind) in [
        ("truncated.mp4", FindingKind::Truncated),
        ("truncated.mkv", FindingKind::Truncated),
        ("corrupted.mp4", FindingKind::Corrupt),
        ("corrupted.ts", FindingKind::Corrupt),
    ] {
        let scratch = tempfile::tempdir().expect("scratch");
        let mut worker = worker(&media().join(name), scratch.path()).await;
        let info = worker.probe().await.expect(name);
        let web = transcode(&info, "web.mp4", None, None);
        let heard = carry_out(&mut worker, plan(Some(info), vec![("web", web)])).await;
        println!("{name}: {heard:?}");
        assert!(
            heard.findings.iter().any(|finding| finding.kind == kind),
            "{name}: {heard:?}"
        );
        worker.stop().await;
    }
}

#[tokio::test]
async fn an_edit_list_costs_neither_film_nor_sound_their_end() {
    let scratch = tempfile::tempdir().expect("scratch");
    let mut worker = worker(&media().join("edit-list.mp4"), scratch.path()).await;
    let info = worker.probe().await.expect("probe");
    let declared = info.duration.expect("duration");
    let web = transcode(&info, "web.mp4", None, None);
    let heard = carry_out(&mut worker, plan(Some(info), vec![("web", web)])).await;
    for track in tracks(&heard.outputs[0].2) {
        assert!(
            track.end.abs_diff(declared) < Duration::from_millis(50),
            "{track:?}, declared {declared:?}"
        );
    }
    assert_eq!(heard.findings, []);
    worker.stop().await;
}

#[tokio::test]
async fn a_track_that_ends_early_is_no_fault_where_the_container_says_so() {
    let folder = tempfile::tempdir().expect("folder");
    let source = folder.path().join("short-sound.mp4");
    let made = command("ffmpeg")
        .args(["-nostdin", "-v", "error", "-i"])
        .arg(media().join("plain.mp4"))
        .args(["-t", "2", "-i"])
        .arg(media().join("plain.mp4"))
        .args(["-map", "0:v", "-map", "1:a", "-c", "copy"])
        .arg(&source)
        .status()
        .expect("ffmpeg");
    assert!(made.success());
    let mut worker = worker(&source, folder.path()).await;
    let info = worker.probe().await.expect("probe");
    let web = transcode(&info, "web.mp4", None, None);
    let heard = carry_out(&mut worker, plan(Some(info), vec![("web", web)])).await;
    assert_eq!((heard.outputs.len(), heard.findings), (1, vec![]));
    worker.stop().await;
}

#[tokio::test]
async fn packets_that_are_missing_from_a_stream_are_damage() {
    let folder = tempfile::tempdir().expect("folder");
    let source = folder.path().join("holes.ts");
    let whole = std::fs::read(media().join("plain.ts")).expect("source");
    let packets = whole.chunks(188).enumerate();
    let holes: Vec<u8> = packets
        .filter(|(number, _)| *number < 900 || number % 301 != 0)
        .flat_map(|(_, packet)| packet.to_vec())
        .collect();
    std::fs::write(&source, holes).expect("holes");
    let mut worker = worker(&source, folder.path()).await;
    let info = worker.probe().await.expect("probe");
    let web = transcode(&info, "web.mp4", None, None);
    let heard = carry_out(&mut worker, plan(Some(info), vec![("web", web)])).await;
    let corrupt = |finding: &Finding| finding.kind == FindingKind::Corrupt;
    assert!(heard.findings.iter().any(corrupt), "{heard:?}");
    worker.stop().await;
}

#[tokio::test]
async fn a_worker_that_is_killed_is_a_crash_and_one_that_hangs_is_stalled() {
    let scratch = tempfile::tempdir().expect("scratch");
    let mut killed = worker(&media().join("plain.mp4"), scratch.path()).await;
    let pid = rustix::process::Pid::from_raw(killed.pid()).expect("pid");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("kill");
    assert_eq!(killed.probe().await.expect_err("dead").kind, ErrorKind::Crashed);

    let input = OwnedFd::from(File::open(media().join("plain.mp4")).expect("input"));
    let limits = Limits {
        stall: Duration::from_millis(400),
        timeout: None,
        room: u64::MAX,
    };
    let mut hung = Worker::spawn(&settings().await, input, scratch.path(), limits, &Grants::default())
        .await
        .expect("worker");
    let pid = rustix::process::Pid::from_raw(hung.pid()).expect("pid");
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).expect("stop");
    assert_eq!(hung.probe().await.expect_err("hung").kind, ErrorKind::Stalled);
    hung.stop().await;
}

/// The process that made this worker.
fn parent(worker: &Worker) -> rustix::process::Pid {
    let status = std::fs::read_to_string(format!("/proc/{}/status", worker.pid())).expect("status");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("PPid:"))
        .expect("a parent");
    rustix::process::Pid::from_raw(line.trim().parse().expect("a number")).expect("a process")
}

#[tokio::test]
async fn workers_are_copies_of_a_process_that_makes_no_more_once_one_of_them_crashed() {
    use rustix::process::{Signal, kill_process};
    let settings = settings().await;
    let scratches = [(); 4].map(|()| tempfile::tempdir().expect("scratch"));
    let start = async |number: usize| {
        let input = OwnedFd::from(File::open(media().join("plain.mp4")).expect("open"));
        Worker::spawn(&settings, input, scratches[number].path(), LIMITS, &Grants::default())
            .await
            .expect("a worker")
    };
    let (mut first, mut second) = (start(0).await, start(1).await);
    assert_eq!(parent(&first), parent(&second));
    let crashing = rustix::process::Pid::from_raw(first.pid()).expect("a process");
    kill_process(crashing, Signal::ABORT).expect("kill");
    let crash = first.probe().await.expect_err("crashed");
    assert_eq!(crash.kind, ErrorKind::Crashed);
    assert!(crash.message.contains("SIGABRT"), "{}", crash.message);

    let mut third = start(2).await;
    assert_ne!(parent(&third), parent(&second));
    second.probe().await.expect("untouched");

    // Whoever loses the process that it was made by is gone as well; the daemon makes another.
    let maker = parent(&second);
    let other = parent(&third);
    for (worker, maker) in [(&mut second, maker), (&mut third, other)] {
        kill_process(maker, Signal::KILL).expect("kill");
        let gone = async {
            loop {
                // The kernel may need a moment.
                if let Err(failure) = worker.probe().await {
                    return failure;
                }
            }
        };
        let failure = tokio::time::timeout(Duration::from_secs(10), gone)
            .await
            .expect("its end");
        assert_eq!(failure.kind, ErrorKind::Crashed);
    }
    start(3).await.probe().await.expect("a new one");
}

#[tokio::test]
async fn a_worker_has_no_environment_no_other_descriptors_and_no_core_files() {
    let scratch = tempfile::tempdir().expect("scratch");
    let worker = worker(&media().join("plain.mp4"), scratch.path()).await;
    let about = PathBuf::from(format!("/proc/{}", worker.pid()));
    let environment = std::fs::read(about.join("environ")).expect("environ");
    let mut names: Vec<_> = environment
        .split(|byte| *byte == 0)
        .filter_map(|entry| Some(String::from_utf8_lossy(entry).split_once('=')?.0.to_owned()))
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "GST_REGISTRY_1_0",
            "GST_REGISTRY_FORK",
            "GST_REGISTRY_UPDATE",
            "LANG",
            "REELMILL_PLUGINS",
            "TMPDIR",
            "XDG_RUNTIME_DIR"
        ]
    );
    let mut descriptors: Vec<i32> = std::fs::read_dir(about.join("fd"))
        .expect("fd")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    descriptors.sort_unstable();
    assert_eq!(descriptors, [0, 1, 2, 3, 4]);
    let status = std::fs::read_to_string(about.join("status")).expect("status");
    assert!(status.contains("Threads:\t1\n"), "{status}");
    assert!(status.contains("NoNewPrivs:\t1\n"), "{status}");
    let limits = std::fs::read_to_string(about.join("limits")).expect("limits");
    assert!(
        limits
            .lines()
            .any(|line| line.starts_with("Max core file size") && line.contains(" 0 ")),
        "{limits}"
    );
    worker.stop().await;
}

#[tokio::test]
async fn stills_alone_are_the_same_as_stills_beside_a_transcode() {
    for name in [
        "plain.mp4",
        "plain.ts",
        "variable.mkv",
        "turned.mp4",
        "vp9.webm",
        "late-sound.mkv",
    ] {
        let scratch = tempfile::tempdir().expect("scratch");
        let mut worker = worker(&media().join(name), scratch.path()).await;
        let info = worker.probe().await.expect(name);
        // From the second to the third is far enough for a jump.
        let points = [0.0, 0.51, 3.2];
        let alone = stills(&info, "alone", &points, ImageFormat::Png);
        let heard = carry_out(&mut worker, plan(Some(info.clone()), vec![("alone", alone)])).await;
        assert_eq!(heard.outputs.len(), points.len(), "{name}: {heard:?}");
        let works = vec![
            ("web", transcode(&info, "web.mp4", None, None)),
            ("beside", stills(&info, "beside", &points, ImageFormat::Png)),
        ];
        let heard = carry_out(&mut worker, plan(Some(info), works)).await;
        assert_eq!(heard.outputs.len(), points.len() + 1, "{name}: {heard:?}");
        for n in 0..points.len() {
            let read = |prefix: &str| std::fs::read(scratch.path().join(format!("{prefix}{n}.png"))).expect("still");
            assert!(read("alone") == read("beside"), "{name}: still {n} differs");
        }
        worker.stop().await;
    }
}

#[tokio::test]
async fn a_point_beyond_the_end_is_a_finding_and_the_other_stills_are_made() {
    let scratch = tempfile::tempdir().expect("scratch");
    let mut worker = worker(&media().join("plain.mp4"), scratch.path()).await;
    let info = worker.probe().await.expect("probe");
    let work = stills(&info, "s", &[1.0, 5.0, 100.0], ImageFormat::Jpg);
    let heard = carry_out(&mut worker, plan(Some(info), vec![("stills", work)])).await;
    assert_eq!(heard.outputs.len(), 2, "{heard:?}");
    assert_eq!(heard.findings.len(), 1, "{heard:?}");
    assert_eq!(heard.findings[0].kind, FindingKind::PointBeyondEnd);
    worker.stop().await;
}

#[tokio::test]
async fn a_branch_that_fails_leaves_the_others_alone() {
    let scratch = tempfile::tempdir().expect("scratch");
    let mut worker = worker(&media().join("plain.mp4"), scratch.path()).await;
    let info = worker.probe().await.expect("probe");
    let works = vec![
        ("web", transcode(&info, "web.mp4", None, None)),
        ("lost", transcode(&info, "no-such-folder/lost.mp4", None, None)),
    ];
    let heard = carry_out(&mut worker, plan(Some(info), works)).await;
    assert_eq!(heard.outputs.len(), 1, "{heard:?}");
    assert_eq!(heard.failed.len(), 1, "{heard:?}");
    assert_eq!(heard.failed[0].0, "lost");
    worker.stop().await;
}

#[tokio::test]
async fn copies_are_byte_for_byte_the_source_also_where_it_is_no_medium() {
    let scratch = tempfile::tempdir().expect("scratch");
    let source = media().join("random.mp4");
    let mut worker = worker(&source, scratch.path()).await;
    let heard = carry_out(
        &mut worker,
        plan(None, vec![("copy", Work::Copy { file: "c".to_owned() })]),
    )
    .await;
    assert_eq!(heard.outputs.len(), 1, "{heard:?}");
    assert!(std::fs::read(scratch.path().join("c")).expect("copy") == std::fs::read(source).expect("source"));
    worker.stop().await;
}

#[tokio::test]
async fn the_probe_tells_what_the_medium_is() {
    let mut told = Vec::new();
    for name in [
        "plain.mp4",
        "turned.mp4",
        "ten-bit.mkv",
        "interlaced.ts",
        "surround.mp4",
        "two-sounds.mkv",
        "wide-pixels.mp4",
        "film-rate.mp4",
        "chapters.mkv",
        "sound.mp3",
        "sound.opus",
    ] {
        let scratch = tempfile::tempdir().expect("scratch");
        let mut worker = worker(&media().join(name), scratch.path()).await;
        let info = worker.probe().await.expect(name);
        let video = info.video().map(|v| {
            format!(
                "{:?} fps {:?} depth {} interlaced {} turned {}",
                v.display_size(),
                v.fps,
                v.depth,
                v.interlaced,
                v.rotation
            )
        });
        let languages: Vec<_> = info.streams.iter().filter_map(|s| s.language.clone()).collect();
        let seconds = (info.duration.expect("duration").as_secs_f64() * 10.0).round() / 10.0;
        told.push(format!(
            "{name}: {} {seconds} s; {}; {:?} {languages:?} chapters {} title {:?}",
            info.container,
            video.unwrap_or_default(),
            info.audio(),
            info.chapters.len(),
            info.tags
                .iter()
                .find(|(name, _)| name == "title")
                .map(|(_, title)| title),
        ));
        worker.stop().await;
    }
    insta::assert_snapshot!(told.join("\n"));
}

/// The mean colour of a picture's corner, as ffmpeg sees it.
fn corner(file: &Path, at: &str) -> Vec<u8> {
    let ran = command("ffmpeg")
        .args(["-nostdin", "-v", "error", "-i"])
        .arg(file)
        .args([
            "-ss",
            at,
            "-frames:v",
            "1",
            "-vf",
            "crop=32:32:iw-40:ih-40,scale=1:1",
            "-f",
            "rawvideo",
            "-pix_fmt",
            "rgb24",
            "-",
        ])
        .output()
        .expect("ffmpeg");
    ran.stdout
}

#[tokio::test]
async fn stills_and_turned_films_keep_their_colours_and_stand_upright() {
    for name in ["plain.mp4", "turned.mp4", "ten-bit.mkv", "full-colour.mp4"] {
        let scratch = tempfile::tempdir().expect("scratch");
        let source = media().join(name);
        let mut worker = worker(&source, scratch.path()).await;
        let info = worker.probe().await.expect(name);
        let works = vec![
            ("web", transcode(&info, "web.mp4", None, None)),
            ("jpg", stills(&info, "s", &[1.5], ImageFormat::Jpg)),
            ("png", stills(&info, "s", &[1.5], ImageFormat::Png)),
        ];
        let heard = carry_out(&mut worker, plan(Some(info), works)).await;
        assert_eq!(heard.outputs.len(), 3, "{heard:?}");
        let wanted = corner(&source, "1.5");
        assert_eq!(wanted.len(), 3, "{name}");
        for (file, at) in [("web.mp4", "1.5"), ("s0.jpg", "0"), ("s0.png", "0")] {
            let got = corner(&scratch.path().join(file), at);
            let near = got.len() == 3 && wanted.iter().zip(&got).all(|(a, b)| a.abs_diff(*b) <= 10);
            assert!(near, "{name}: {file} is {got:?}, not {wanted:?}");
        }
        worker.stop().await;
    }
}

/// Numbers that look random and are the same every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        // Knuth's multiplier; the high bits are good enough here.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % sides
    }

    /// Flips bytes here and there, or near the beginning where indexes lie, or cuts the end off, or does all of it.
    fn damage(&mut self, bytes: &mut Vec<u8>) {
        let kind = self.roll(4);
        if kind != 2 {
            let within = match kind {
                0 => bytes.len(),
                _ => bytes.len().min(6_000),
            };
            for _ in 0..=self.roll(60) {
                let at = self.roll(within);
                bytes[at] = u8::try_from(self.roll(256)).expect("byte");
            }
        }
        if kind >= 2 {
            let kept = self.roll(bytes.len());
            bytes.truncate(kept);
        }
    }
}

#[tokio::test]
async fn whatever_is_damaged_ends_with_a_result_or_a_clean_error() {
    const CLEAN: [ErrorKind; 6] = [
        ErrorKind::Corrupt,
        ErrorKind::Unsupported,
        ErrorKind::NoSuchStream,
        ErrorKind::BadOutput,
        ErrorKind::Pipeline,
        ErrorKind::Plan,
    ];
    let all = std::env::var("REELMILL_TESTS").is_ok_and(|tests| tests == "all");
    let folder = tempfile::tempdir().expect("folder");
    let mut wrong = Vec::new();
    for seed in 0..if all { 200 } else { 40 } {
        let name = ["plain.mp4", "plain.mkv", "plain.ts", "vp9.webm"][seed % 4];
        let mut bytes = std::fs::read(media().join(name)).expect("source");
        Dice(seed as u64).damage(&mut bytes);
        let path = folder.path().join(name);
        std::fs::write(&path, &bytes).expect("damaged");
        let scratch = tempfile::tempdir().expect("scratch");
        let began = std::time::Instant::now();
        let mut worker = worker(&path, scratch.path()).await;
        let mut failures = Vec::new();
        match worker.probe().await {
            Err(failure) => failures.push(failure),
            // Plans are not made for pictures of no size.
            Ok(info) if info.video().is_some_and(|video| video.width == 0 || video.height == 0) => {}
            Ok(info) => {
                let mut works = vec![("web", transcode(&info, "web.mp4", Some(120), None))];
                if info.video().is_some() {
                    works.push(("jpg", stills(&info, "s", &[0.0, 2.5], ImageFormat::Jpg)));
                }
                let heard = carry_out(&mut worker, plan(Some(info), works)).await;
                failures.extend(heard.failed.into_iter().map(|(_, failure)| failure));
                failures.extend(heard.end);
            }
        }
        worker.stop().await;
        let unclean = failures.iter().filter(|failure| !CLEAN.contains(&failure.kind));
        wrong.extend(unclean.map(|failure| format!("seed {seed}, {name}: {failure:?}")));
        if began.elapsed() > Duration::from_secs(30) {
            wrong.push(format!("seed {seed}, {name}: took {:?}", began.elapsed()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
