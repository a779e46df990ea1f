use std::time::Duration;

use super::*;
use crate::job::testing::task;
use crate::object::Identity;
use crate::plan::StreamKind;
use crate::plan::testing::{audio, film, media, stream, video};
use crate::plan::transcode::{channels, gop_frames, rate};
use crate::rule::{
    AudioCodec, AudioSpec, Container, Existing, Formats, Globs, Gop, ImageFormat, Moments, OnFailure, OutputSpec, Part,
    Point, RetryPolicy, RuleVersion, SizeSpec, Snapshot, Task, Track, Transcode, Treatment, Trigger, VideoCodec,
    VideoSpec, When,
};

fn no_globs() -> Globs {
    Globs {
        patterns: Vec::new(),
        set: globset::GlobSet::empty(),
    }
}

fn rule(tasks: Vec<(&str, TaskKind)>) -> Rule {
    Rule {
        name: "web".parse().unwrap(),
        version: RuleVersion("0123456789abcdef".to_owned()),
        enabled: true,
        priority: crate::job::Priority::default(),
        trigger: Trigger {
            bucket: "inbox".parse().unwrap(),
            directory: crate::object::Directory::new("incoming").unwrap(),
            formats: Formats::Known,
            include: no_globs(),
            exclude: no_globs(),
            min_size: None,
            max_size: None,
            existing: Existing::Ignore,
            outputs: false,
        },
        output: OutputSpec {
            bucket: "published".parse().unwrap(),
            directory: Some(crate::object::Directory::new("vod").unwrap()),
            overwrite: false,
            path: None,
            access: crate::rule::access::AccessSpec::default(),
            stored: crate::rule::stored::StoredSpec::default(),
        },
        tasks: tasks
            .into_iter()
            .map(|(id, kind)| Task {
                id: id.parse().unwrap(),
                after: Vec::new(),
                when: When::Succeeded,
                kind,
            })
            .collect(),
        retry: RetryPolicy::default(),
        on_failure: OnFailure::None,
        strict: false,
        input: crate::rule::Input::default(),
        queue: crate::rule::QueueSpec::default(),
        after_success: None,
    }
}

fn transcode_settings() -> Transcode {
    Transcode {
        container: Container::Mp4,
        size: SizeSpec {
            down: Some(720),
            ..SizeSpec::default()
        },
        part: Part::default(),
        video: Track::Encode(VideoSpec::usual(VideoCodec::H264)),
        treatment: Treatment::default(),
        cover: crate::rule::overlay::Cover::default(),
        clips: crate::rule::Clips::default(),
        tracks: crate::rule::Tracks::default(),
        audio: Track::Encode(AudioSpec {
            codec: AudioCodec::Aac,
            bitrate: 128_000,
            channels: None,
            rate: None,
            depth: 16,
            loudness: None,
        }),
    }
}

fn snapshot_settings(at: Vec<Point>) -> Snapshot {
    Snapshot {
        moments: Moments::At(at),
        format: ImageFormat::Jpg,
        size: SizeSpec::default(),
        quality: 85,
        skip_black: false,
    }
}

fn four_tasks() -> Rule {
    rule(vec![
        ("web", TaskKind::Transcode(Box::new(transcode_settings()))),
        (
            "stills",
            TaskKind::Snapshot(snapshot_settings(vec![
                Point::Percent(50.0),
                Point::Start(Duration::from_secs(1)),
            ])),
        ),
        ("info", TaskKind::Probe),
        ("source", TaskKind::Copy),
    ])
}

fn planned_with(rule: &Rule, media: Result<&MediaInfo, &Failure>, alone: &[&str]) -> Planned {
    let object = Object {
        bucket: "inbox".parse().unwrap(),
        key: "incoming/a/clip.MOV".parse().unwrap(),
        identity: Identity::local(1234, 1),
    };
    let records: Vec<TaskRecord> = rule
        .tasks
        .iter()
        .map(|of| {
            let mut record = task(of.id.as_str(), &[]);
            record.alone = alone.contains(&of.id.as_str());
            record
        })
        .collect();
    let tasks: Vec<&TaskRecord> = records.iter().collect();
    plan(&Wanted {
        rule,
        object: &object,
        media,
        tasks: &tasks,
        job: &JobId::parse("1nmkmg000000016").unwrap(),
        date: jiff::civil::date(2027, 1, 15),
        threads: 2,
        key: PackageKey::default(),
    })
}

fn told(planned: &Planned) -> String {
    let mut lines = Vec::new();
    for run in &planned.runs {
        lines.push(format!("run, media known: {}", run.plan.media.is_some()));
        for task in &run.plan.tasks {
            lines.push(format!("  {}: {:?}", task.task, task.work));
        }
        for output in &run.outputs {
            lines.push(format!("  {} -> {} {:?}", output.file, output.key, output.expect));
        }
    }
    for (task, failure) in &planned.failures {
        lines.push(format!("{task} {}: {}", failure.kind.as_str(), failure.message));
    }
    for (task, finding) in &planned.findings {
        lines.push(format!("{task} {:?}: {}", finding.kind, finding.message));
    }
    lines.join("\n")
}

#[test]
fn tasks_share_one_run() {
    let medium = media(vec![video(film(1920, 1080)), audio(2, 44_100)]);
    let planned = planned_with(&four_tasks(), Ok(&medium), &[]);
    insta::assert_snapshot!(told(&planned), @r#"
    run, media known: true
      web: Transcode(TranscodePlan { file: "web.mp4", settings: Transcode { container: Mp4, size: SizeSpec { sides: WidthHeight, across: None, down: Some(720), fit: Contain, upscale: false }, video: Encode(VideoSpec { codec: H264, rate: Crf(23.0), mode: Vbr, max_bitrate: None, two_pass: false, preset: "veryfast", gop: None, fps: None, bframes: None, profile: None, level: None, depth: 8, deepened: false, tune: None }), audio: Encode(AudioSpec { codec: Aac, bitrate: 128000, channels: None, rate: None, depth: 16, loudness: None }), part: Part { start: None, end: None }, treatment: Treatment { deinterlace: Auto, rotate: 0, hdr: Sdr }, cover: Cover { mosaics: [], overlays: [] }, clips: Clips { head: [], tail: [] }, tracks: Tracks { sounds: First(1), subtitles: First(0), languages: [] } }, picture: Some(Picture { size: (1280, 720), draw: Whole }), gop_frames: Some(50), tracks: TracksPlan { sounds: [SoundPlan { stream: 1, form: Some((2, 44100)), language: None }], subtitles: [], chapters: [] }, span: Span { start: 0ns, end: None }, cover: CoverPlan { mosaics: [], overlays: [] }, clips: ClipsPlan { head: [], tail: [], alone: None } })
      stills: Snapshot(SnapshotPlan { stills: [Still { file: "stills.2.jpg", at: 1s }, Still { file: "stills.1.jpg", at: 5s }], format: Jpg, quality: 85, picture: Picture { size: (1920, 1080), draw: Whole }, skip_black: false, points: true })
      info: Probe { file: "info.json" }
      source: Copy { file: "source.MOV" }
      web.mp4 -> vod/a/clip_web.mp4 Media { container: Mp4, video: Made(1280, 720), coded: Coded { profile: None, level: None, depth: Some(8) }, sounds: [Made(2, 44100)], span: Span { start: 0ns, end: None }, joined: false }
      stills.2.jpg -> vod/a/clip_stills_2.jpg Image(1920, 1080)
      stills.1.jpg -> vod/a/clip_stills_1.jpg Image(1920, 1080)
      info.json -> vod/a/clip_info.json Json
      source.MOV -> vod/a/clip_source.MOV SourceBytes(1234)
    "#);
}

#[test]
fn tasks_that_were_split_off_run_alone() {
    let medium = media(vec![video(film(1920, 1080)), audio(2, 44_100)]);
    let planned = planned_with(&four_tasks(), Ok(&medium), &["web", "info"]);
    let runs: Vec<Vec<&str>> = planned
        .runs
        .iter()
        .map(|run| {
            let tasks = run.plan.tasks.iter();
            tasks.map(|task| task.task.as_str()).collect()
        })
        .collect();
    assert_eq!(runs, [vec!["stills", "source"], vec!["web"], vec!["info"]]);
    for run in &planned.runs {
        for output in &run.outputs {
            let tasks = run.plan.tasks.iter();
            assert!(tasks.map(|task| &task.task).any(|id| id == &output.task));
        }
    }
}

#[test]
fn a_medium_that_cannot_be_probed_can_still_be_copied() {
    let failure = Failure::new(ErrorKind::Corrupt, "this is text, not a medium");
    let planned = planned_with(&four_tasks(), Err(&failure), &[]);
    insta::assert_snapshot!(told(&planned), @r#"
    run, media known: false
      source: Copy { file: "source.MOV" }
      source.MOV -> vod/a/clip_source.MOV SourceBytes(1234)
    web corrupt: this is text, not a medium
    stills corrupt: this is text, not a medium
    info corrupt: this is text, not a medium
    "#);
}

#[test]
fn tasks_make_do_with_the_streams_that_are_there() {
    let cover = {
        let mut cover = film(500, 500);
        cover.is_image = true;
        video(cover)
    };
    let table: Vec<String> = [
        ("sound only", media(vec![cover, audio(6, 48_000)])),
        ("video only", media(vec![video(film(640, 360))])),
        ("neither", media(vec![stream(StreamKind::Subtitle)])),
        (
            "many",
            media(vec![
                video(film(640, 360)),
                audio(1, 22_050),
                audio(2, 48_000),
                audio(6, 48_000),
                stream(StreamKind::Subtitle),
            ]),
        ),
    ]
    .into_iter()
    .map(|(name, medium)| {
        let planned = planned_with(&four_tasks(), Ok(&medium), &[]);
        let works: Vec<String> = planned
            .runs
            .iter()
            .flat_map(|run| &run.plan.tasks)
            .map(|task| match &task.work {
                Work::Transcode(plan) => format!(
                    "{}: video {} {:?}, sound {} {:?}",
                    task.task,
                    plan.settings.video.is_some(),
                    plan.picture,
                    plan.settings.audio.is_some(),
                    plan.tracks.sounds
                ),
                _ => task.task.to_string(),
            })
            .collect();
        let rest = told(&Planned {
            runs: Vec::new(),
            ..planned
        });
        format!("{name}\n{}\n{rest}\n", works.join("\n"))
    })
    .collect();
    insta::assert_snapshot!(table.join("\n"), @r"
    sound only
    web: video false None, sound true [SoundPlan { stream: 1, form: Some((6, 48000)), language: None }]
    info
    source
    stills no_such_stream: the medium has no video

    video only
    web: video true Some(Picture { size: (640, 360), draw: Whole }), sound false []
    stills
    info
    source


    neither
    info
    source
    web no_such_stream: the medium has neither video nor sound
    stills no_such_stream: the medium has no video

    many
    web: video true Some(Picture { size: (640, 360), draw: Whole }), sound true [SoundPlan { stream: 1, form: Some((1, 22050)), language: None }]
    stills
    info
    source
    web StreamLeftOut: 2 further audio tracks of the source are not in the result
    web StreamLeftOut: 1 subtitle track of the source is not in the result
    ");
}

#[test]
fn sound_keeps_what_aac_can_have() {
    let mut spec = transcode_settings().audio.encoded().unwrap().clone();
    let counts = [0, 1, 2, 3, 4, 5, 6, 8].map(|source| channels(&spec, source));
    assert_eq!(counts, [2, 1, 2, 6, 6, 6, 6, 6]);
    let rates = [8_000, 11_025, 44_100, 96_000, 192_000, 7_350, 0].map(|from| rate(&spec, Container::Mp4, from));
    assert_eq!(rates, [8_000, 11_025, 44_100, 96_000, 48_000, 48_000, 48_000]);
    spec.channels = Some(1);
    spec.rate = Some(32_000);
    assert_eq!((channels(&spec, 6), rate(&spec, Container::Mp4, 44_100)), (1, 32_000));
}

#[test]
fn key_frames_keep_their_distance_where_the_rate_is_known() {
    let mut spec = transcode_settings().video.encoded().unwrap().clone();
    let mut source = film(640, 360);
    assert_eq!(gop_frames(&spec, &source), Some(50));
    source.fps = (30_000, 1_001);
    assert_eq!(gop_frames(&spec, &source), Some(60));
    source.fps = (0, 1);
    assert_eq!(gop_frames(&spec, &source), None);
    spec.fps = Some(12.5);
    assert_eq!(gop_frames(&spec, &source), Some(25));
    spec.gop = Some(Gop::Time(Duration::from_millis(1)));
    assert_eq!(gop_frames(&spec, &source), Some(1));
    spec.gop = Some(Gop::Frames(48));
    assert_eq!(gop_frames(&spec, &source), Some(48));
}

#[test]
fn a_single_still_has_no_number() {
    let medium = media(vec![video(film(640, 360))]);
    let one = snapshot_settings(vec![Point::Start(Duration::from_secs(2))]);
    let mut rule = rule(vec![("poster", TaskKind::Snapshot(one))]);
    let planned = planned_with(&rule, Ok(&medium), &[]);
    let output = &planned.runs[0].outputs[0];
    assert_eq!(output.file, "poster.jpg");
    assert_eq!(output.key.to_string(), "vod/a/clip_poster.jpg");
    rule.output.directory = None;
    let planned = planned_with(&rule, Ok(&medium), &[]);
    let key = planned.runs[0].outputs[0].key.to_string();
    assert_eq!(key, "incoming/a/clip_poster.jpg");
}

#[test]
fn a_task_that_the_rule_does_not_have_fails_alone() {
    let medium = media(vec![video(film(640, 360))]);
    let full = four_tasks();
    let object = Object {
        bucket: "inbox".parse().unwrap(),
        key: "incoming/x".parse().unwrap(),
        identity: Identity::local(1, 1),
    };
    let (gone, copy) = (task("gone", &[]), task("source", &[]));
    let planned = plan(&Wanted {
        rule: &full,
        object: &object,
        media: Ok(&medium),
        tasks: &[&gone, &copy],
        job: &JobId::parse("1nmkmg000000016").unwrap(),
        date: jiff::civil::date(2027, 1, 15),
        threads: 2,
        key: PackageKey::default(),
    });
    assert_eq!(planned.failures.len(), 1);
    assert_eq!(planned.failures[0].1.kind, ErrorKind::Plan);
    assert_eq!(planned.runs[0].outputs[0].key.to_string(), "vod/x_source");
}

#[test]
fn threads_are_shared_by_the_films_that_are_encoded_at_once() {
    let film = || TaskKind::Transcode(Box::new(transcode_settings()));
    let medium = media(vec![video(crate::plan::testing::film(1920, 1080)), audio(2, 48_000)]);
    let given = |tasks: Vec<(&str, TaskKind)>| {
        let planned = planned_with(&rule(tasks), Ok(&medium), &[]);
        let plan = &planned.runs[0].plan;
        [0, 1, 2, 4, 8].map(|threads| share(plan, threads))
    };
    assert_eq!(given(vec![("a", film()), ("info", TaskKind::Probe)]), [1, 1, 2, 4, 8]);
    assert_eq!(
        given(vec![("a", film()), ("b", film()), ("c", film())]),
        [1, 1, 1, 2, 3]
    );
    assert_eq!(given(vec![("info", TaskKind::Probe)]), [1, 1, 2, 4, 8]);
}

#[test]
fn a_film_without_sound_gets_that_of_its_clips() {
    let planned = |clips: &[&str], streams| {
        let mut settings = transcode_settings();
        let clip = |name: &&str| crate::rule::asset::Asset::Beside((*name).to_owned());
        settings.clips.head = clips.iter().map(clip).collect();
        let rule = rule(vec![("web", TaskKind::Transcode(Box::new(settings)))]);
        let planned = planned_with(&rule, Ok(&media(streams)), &[]);
        assert_eq!(planned.failures, []);
        let run = planned.runs.into_iter().next().unwrap();
        let Work::Transcode(plan) = run.plan.tasks[0].work.clone() else {
            panic!("no transcode");
        };
        let Expect::Media { sounds, joined, .. } = run.outputs[0].expect.clone() else {
            panic!("no medium");
        };
        (
            plan.clips.alone,
            plan.clips.head.len(),
            sounds,
            joined,
            run.assets.len(),
        )
    };
    let silent = || vec![video(film(1920, 1080))];
    let both = || vec![video(film(1920, 1080)), audio(1, 44_100)];
    assert_eq!(planned(&[], silent()), (None, 0, vec![], false, 0));
    let possible = vec![Form::Possible(2, 48_000)];
    assert_eq!(planned(&["a.mp4"], silent()), (Some((2, 48_000)), 1, possible, true, 1));
    let made = vec![Form::Made(1, 44_100)];
    assert_eq!(planned(&["a.mp4", "b.mp4"], both()), (None, 2, made.clone(), true, 2));
    assert_eq!(planned(&["a.mp4"], vec![audio(1, 44_100)]), (None, 1, made, true, 1));
}
