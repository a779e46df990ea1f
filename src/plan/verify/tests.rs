use super::*;
use crate::plan::testing::{audio, film, media, video};
use crate::rule::Container;

fn output(expect: Expect) -> PlannedOutput {
    PlannedOutput {
        task: "web".parse().unwrap(),
        file: "web.mp4".to_owned(),
        key: "clip_web.mp4".parse().unwrap(),
        expect,
    }
}

fn track(is_video: bool) -> TrackReport {
    TrackReport {
        video: is_video,
        width: if is_video { 640 } else { 0 },
        height: if is_video { 360 } else { 0 },
        channels: if is_video { 0 } else { 2 },
        rate: if is_video { 0 } else { 48_000 },
        packets: 250,
        start: Duration::ZERO,
        end: Duration::from_secs(10),
        source_start: Duration::ZERO,
        source_end: Duration::from_secs(10),
        pictures: if is_video { 250 } else { 0 },
        coded: Coded::default(),
    }
}

fn answer(output: &PlannedOutput, size: u64, report: &OutputReport, media: Option<&MediaInfo>) -> String {
    match verify(output, size, report, media) {
        Ok(findings) if findings.is_empty() => "good".to_owned(),
        Ok(findings) => findings
            .iter()
            .map(|finding| format!("{:?}: {}", finding.kind, finding.message))
            .collect::<Vec<_>>()
            .join("; "),
        Err(failure) => format!("{}: {}", failure.kind.as_str(), failure.message),
    }
}

fn both(change: impl FnOnce(&mut TrackReport, &mut TrackReport)) -> String {
    let (mut picture, mut sound) = (track(true), track(false));
    change(&mut picture, &mut sound);
    let medium = media(vec![video(film(1920, 1080)), audio(2, 48_000)]);
    let expect = Expect::Media {
        container: Container::Mp4,
        video: Form::Made(640, 360),
        coded: Coded::default(),
        sounds: vec![Form::Made(2, 48_000)],
        span: Span::default(),
        joined: false,
    };
    let report = OutputReport::Media {
        tracks: vec![picture, sound],
        subtitles: Vec::new(),
        index_in_front: Some(true),
    };
    answer(&output(expect), 9, &report, Some(&medium))
}

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

#[test]
fn a_medium_is_compared_track_by_track() {
    let table = [
        both(|_, _| {}),
        both(|picture, _| picture.width = 642),
        both(|_, sound| sound.channels = 1),
        both(|_, sound| sound.rate = 44_100),
        both(|_, sound| sound.packets = 0),
        both(|_, sound| sound.end = millis(10_250)),
        both(|_, sound| sound.end = millis(10_251)),
        both(|picture, _| picture.end = millis(9_700)),
        both(|picture, _| picture.start = millis(300)),
        both(|_, sound| sound.video = true),
        both(|picture, sound| {
            // A medium that declares one length for all means every stream.
            sound.source_end = millis(6_000);
            sound.end = millis(6_000);
            picture.source_end = millis(10_000);
        }),
        both(|picture, sound| {
            for track in [picture, sound] {
                track.source_end = millis(6_000);
                track.end = millis(6_000);
            }
        }),
    ];
    insta::assert_snapshot!(table.join("\n"), @r"
    good
    bad_output: web.mp4 shows 642x360, not 640x360
    bad_output: web.mp4 has 1 channels at 48000 Hz, not 2 at 48000 Hz
    bad_output: web.mp4 has 2 channels at 44100 Hz, not 2 at 48000 Hz
    bad_output: web.mp4 has an empty sound track
    good
    bad_output: web.mp4 has 10.251 s of sound, and the source 10 s
    bad_output: web.mp4 has 9.7 s of video, and the source 10 s
    bad_output: web.mp4 has 9.7 s of video, and the source 10 s
    bad_output: web.mp4 has 2 video tracks, not 1
    Truncated: the source's sound ends after 6 s of 10 s
    Truncated: the source's video ends after 6 s of 10 s; Truncated: the source's sound ends after 6 s of 10 s
    ");
}

#[test]
fn each_track_is_held_to_the_length_that_its_stream_declares() {
    let mut picture = video(film(1920, 1080));
    picture.duration = Some(Duration::from_secs(100));
    let mut sound = audio(2, 48_000);
    sound.duration = Some(Duration::from_mins(1));
    let medium = media(vec![picture, sound]);
    let expect = Expect::Media {
        container: Container::Mp4,
        video: Form::Made(640, 360),
        coded: Coded::default(),
        sounds: vec![Form::Made(2, 48_000)],
        span: Span::default(),
        joined: false,
    };
    let lengths = |picture_end: u64, sound_end: u64| {
        let (mut picture, mut sound) = (track(true), track(false));
        for (track, end) in [(&mut picture, picture_end), (&mut sound, sound_end)] {
            track.source_end = millis(end);
            track.end = millis(end);
        }
        let report = OutputReport::Media {
            tracks: vec![picture, sound],
            subtitles: Vec::new(),
            index_in_front: Some(true),
        };
        answer(&output(expect.clone()), 9, &report, Some(&medium))
    };
    assert_eq!(lengths(98_000, 59_000), "good");
    assert_eq!(
        lengths(97_999, 60_000),
        "Truncated: the source's video ends after 97.999 s of 100 s"
    );
    assert_eq!(
        lengths(100_000, 6_730),
        "Truncated: the source's sound ends after 6.73 s of 60 s"
    );
}

#[test]
fn a_film_with_few_frames_may_lack_its_last() {
    let few = |packets: u64, end: u64| {
        both(|picture, _| {
            (picture.packets, picture.pictures) = (packets, packets);
            picture.end = millis(end);
        })
    };
    assert_eq!(few(9, 9_000), "good");
    assert!(few(225, 9_000).starts_with("bad_output"));
    assert!(few(1, 5_000).starts_with("bad_output"));
}

#[test]
fn no_picture_that_was_encoded_may_be_missing() {
    let written = |packets: u64| both(|picture, _| picture.packets = packets);
    // Pictures that are not shown are packets too.
    assert_eq!(written(260), "good");
    assert_eq!(written(249), "bad_output: web.mp4 has 249 pictures of 250");
}

#[test]
fn long_tracks_may_differ_by_a_hundredth() {
    let long = |end: u64| {
        both(|picture, sound| {
            for track in [picture, sound] {
                track.source_end = millis(1_000_000);
                track.end = millis(end);
            }
        })
    };
    assert_eq!(long(1_009_000), "good");
    assert!(long(1_011_000).starts_with("bad_output"));
}

#[test]
fn other_files_are_compared_with_what_was_planned() {
    let image = |width, height| OutputReport::Image { width, height };
    let no_tracks = |index_in_front| OutputReport::Media {
        tracks: vec![track(true)],
        subtitles: Vec::new(),
        index_in_front,
    };
    let picture_only = Expect::Media {
        container: Container::Mp4,
        video: Form::Made(640, 360),
        coded: Coded::default(),
        sounds: Vec::new(),
        span: Span::default(),
        joined: false,
    };
    let table = [
        (Expect::SourceBytes(5), 5, OutputReport::Bytes),
        (Expect::SourceBytes(0), 0, OutputReport::Bytes),
        (Expect::SourceBytes(5), 4, OutputReport::Bytes),
        (Expect::Json, 5, OutputReport::Bytes),
        (Expect::Json, 0, OutputReport::Bytes),
        (Expect::Image(640, 360), 5, image(640, 360)),
        (Expect::Image(640, 360), 5, image(640, 358)),
        (Expect::Image(640, 360), 0, image(640, 360)),
        (Expect::Image(640, 360), 5, OutputReport::Bytes),
        (picture_only.clone(), 5, no_tracks(Some(true))),
        (picture_only.clone(), 5, no_tracks(Some(false))),
        (picture_only, 5, image(640, 360)),
        (Expect::Json, 5, no_tracks(Some(true))),
    ]
    .map(|(expect, size, report)| answer(&output(expect), size, &report, None));
    insta::assert_snapshot!(table.join("\n"), @r"
    good
    good
    bad_output: web.mp4 has 4 bytes, and the source 5
    good
    bad_output: web.mp4 is empty
    good
    bad_output: web.mp4 is 640x358, not 640x360
    bad_output: web.mp4 is empty
    bad_output: web.mp4 is no medium, which was not planned
    good
    bad_output: web.mp4 has its index at the end
    bad_output: web.mp4 is an image, which was not planned
    bad_output: web.mp4 is a medium, which was not planned
    ");
}

#[test]
fn a_sound_that_only_clips_may_have_may_be_missing_but_is_as_planned() {
    let expect = || Expect::Media {
        container: Container::Mp4,
        video: Form::Made(640, 360),
        coded: Coded::default(),
        sounds: vec![Form::Possible(2, 48_000)],
        span: Span::default(),
        joined: true,
    };
    let said = |tracks: Vec<TrackReport>| {
        let report = OutputReport::Media {
            tracks,
            subtitles: Vec::new(),
            index_in_front: Some(true),
        };
        // What is joined is longer than the source, and says nothing about its end.
        let mut medium = media(vec![video(film(1920, 1080))]);
        medium.duration = Some(Duration::from_mins(1));
        answer(&output(expect()), 9, &report, Some(&medium))
    };
    assert_eq!(said(vec![track(true)]), "good");
    assert_eq!(said(vec![track(true), track(false)]), "good");
    let mut mono = track(false);
    mono.channels = 1;
    assert!(said(vec![track(true), mono]).contains("has 1 channels"));
    assert!(said(vec![track(false)]).contains("has 0 video tracks"));
}

#[test]
fn a_sound_may_be_missing_of_which_nothing_came_where_there_is_anything_else() {
    let said = |tracks: Vec<TrackReport>| {
        let expect = Expect::Media {
            container: Container::Mkv,
            video: Form::Made(640, 360),
            coded: Coded::default(),
            sounds: vec![Form::Made(1, 44_100), Form::Made(2, 48_000)],
            span: Span::default(),
            joined: false,
        };
        let report = OutputReport::Media {
            tracks,
            subtitles: Vec::new(),
            index_in_front: None,
        };
        answer(&output(expect), 9, &report, None)
    };
    let nothing = TrackReport::default;
    assert_eq!(said(vec![track(true), nothing(), track(false)]), "good");
    assert_eq!(said(vec![track(true), nothing(), nothing()]), "good");
    let lost = TrackReport {
        source_end: Duration::from_secs(5),
        ..nothing()
    };
    assert!(said(vec![track(true), lost, track(false)]).starts_with("bad_output"));
    let film = TrackReport {
        packets: 0,
        ..track(true)
    };
    assert!(said(vec![film, nothing(), track(false)]).starts_with("bad_output"));
}

#[test]
fn a_sound_of_a_package_goes_on_to_the_end_of_its_film_and_is_missed_where_the_source_broke_off() {
    let answered = |change: &dyn Fn(&mut TrackReport), declared: Option<u64>| {
        let mut sound = track(false);
        change(&mut sound);
        let mut medium = media(vec![video(film(640, 360)), audio(2, 48_000)]);
        medium.streams[1].duration = declared.map(Duration::from_secs);
        let expect = Expect::Package {
            pictures: vec![(640, 360)],
            coded: vec![Coded::default()],
            sounds: vec![(2, 48_000)],
            span: Span::default(),
        };
        let report = OutputReport::Package {
            tracks: vec![track(true), sound],
        };
        answer(&output(expect), 9, &report, Some(&medium))
    };
    let half = |sound: &mut TrackReport| sound.source_end = Duration::from_secs(5);
    let short = |sound: &mut TrackReport| {
        half(sound);
        sound.end = Duration::from_secs(5);
    };
    assert_eq!(answered(&half, Some(5)), "good");
    assert!(answered(&half, Some(10)).starts_with("Truncated"));
    assert!(answered(&short, Some(5)).starts_with("bad_output"));
}
