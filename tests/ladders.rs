//! Packages with films in H.265, of a part of the medium, and with something laid over them: made by the real binary of real
//! media, and judged by ffmpeg and by the bytes of what was written.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod harness;

use std::fs;
use std::path::{Path, PathBuf};

use harness::tool;
use harness::trial::{Trial, medium, probed};
use serde_json::Value;

/// A source made for one test.
fn made(folder: &Path, name: &str, line: &str) -> PathBuf {
    let file = folder.join(name);
    let mut words: Vec<_> = ["-nostdin", "-v", "error", "-y"].to_vec();
    words.extend(line.split_whitespace());
    words.push(file.to_str().unwrap());
    tool("ffmpeg", &words);
    file
}

struct Package {
    trial: Trial,
}

impl Package {
    fn of(source: &Path, task: &str) -> Self {
        Self::beside(source, task, &[])
    }

    fn beside(source: &Path, task: &str, files: &[&Path]) -> Self {
        let trial = Trial::beside(source, &format!("[task.t]\nkind = \"adaptive\"\n{task}"), files);
        assert!(trial.good, "{}: {}", source.display(), trial.said);
        Self { trial }
    }

    fn path(&self, name: &str) -> PathBuf {
        let files = self.trial.files();
        let found = files.iter().find(|file| file.ends_with(name));
        found.unwrap_or_else(|| panic!("{name} in {files:?}")).clone()
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn lengths(&self, form: &str) -> Vec<f64> {
        let text = self.text(&format!("{form}.m3u8"));
        let lengths = text.lines().filter_map(|line| line.strip_prefix("#EXTINF:"));
        lengths
            .map(|length| length.trim_end_matches(',').parse().unwrap())
            .collect()
    }

    /// Times of the pictures of a form and of those that can be jumped to, through its playlist.
    fn pictures(&self, form: &str) -> (Vec<f64>, Vec<f64>) {
        let playlist = self.path(&format!("{form}.m3u8"));
        let entries = "-v error -select_streams v -show_entries packet=pts_time,flags -of csv=p=0";
        let mut words: Vec<_> = entries.split(' ').collect();
        words.push(playlist.to_str().unwrap());
        let (mut all, mut keys) = (Vec::new(), Vec::new());
        for line in tool("ffprobe", &words).lines().filter(|line| !line.is_empty()) {
            let (time, flags) = line.split_once(',').unwrap();
            let time: f64 = time.parse().unwrap();
            if flags.starts_with('K') {
                keys.push(time);
            }
            all.push(time);
        }
        all.sort_by(f64::total_cmp);
        (all, keys)
    }

    /// Decodes all of a front without a complaint, and answers its films as ffprobe sees them.
    fn films(&self, front: &str) -> Vec<Value> {
        let file = self.path(front);
        let complaints = harness::trial::complaints(&file);
        assert_eq!(complaints, "", "{front}");
        let all = probed(&file);
        let films = all["streams"].as_array().unwrap().iter();
        films.filter(|one| one["codec_type"] == "video").cloned().collect()
    }

    /// These forms are cut at the same pictures and show the same, and both fronts can be played to the end.
    fn hold(&self, forms: &[&str], pictures: usize) {
        for front in ["master.m3u8", "manifest.mpd"] {
            assert_eq!(self.films(front).len(), forms.len(), "{front}");
        }
        let first = self.pictures(forms[0]);
        for form in forms {
            assert_eq!(self.pictures(form), first, "{form}");
            assert_eq!(self.lengths(form), self.lengths(forms[0]), "{form}");
            assert_eq!(first.0.len(), pictures, "{form}");
        }
        let segments = self.lengths(forms[0]).len();
        assert!(first.1.len() >= segments);
        let mut from = 0.0;
        for length in self.lengths(forms[0]) {
            assert!(first.1.iter().any(|key| (key - from).abs() < 0.002), "a key at {from}");
            from += length;
        }
    }
}

/// The content of the first box of this name, wherever it is.
fn boxed(bytes: &[u8], name: &str) -> Option<Vec<u8>> {
    let at = bytes.windows(4).position(|four| four == name.as_bytes())?;
    let size = u32::from_be_bytes(bytes[at - 4..at].try_into().unwrap()) as usize;
    Some(bytes[at + 4..at - 4 + size].to_vec())
}

/// The sorts of the units of the pictures in a segment of H.265.
fn units(segment: &[u8]) -> Vec<u8> {
    let data = boxed(segment, "mdat").unwrap();
    let (mut at, mut found) = (0, Vec::new());
    while at < data.len() {
        let length = u32::from_be_bytes(data[at..at + 4].try_into().unwrap()) as usize;
        found.push(data[at + 4] >> 1 & 63);
        at += 4 + length;
    }
    found
}

#[test]
fn both_codecs_are_cut_at_the_same_pictures_whatever_their_presets_and_rates() {
    let folder = tempfile::tempdir().unwrap();
    let picture = "-f lavfi -i testsrc2=s=320x180:r=24:d=5.25 -f lavfi -i sine=d=5.25 -pix_fmt yuv420p -g 300";
    let film = made(folder.path(), "film.mp4", picture);
    let slow = |name: &str, height: u32, codec: &str, preset: &str| {
        format!("{{ name = \"{name}\", height = {height}, video = {{ codec = \"{codec}\", preset = \"{preset}\" }} }}")
    };
    let renditions = [
        slow("a", 180, "h265", "slow"),
        slow("b", 144, "h264", "slower"),
        slow("c", 120, "h265", "ultrafast"),
    ];
    let task = format!("segment = \"1s\"\nrenditions = [{}]", renditions.join(", "));
    let package = Package::of(&film, &task);
    package.hold(&["a", "b", "c"], 126);
    assert_eq!(package.lengths("a"), [1.0, 1.0, 1.0, 1.0, 1.0, 0.25]);
    let variable = medium("variable.mkv");
    let package = Package::of(
        &variable,
        "segment = \"1s\"\ncodec = [\"h264\", \"h265\"]\nrenditions = [\"240p\"]",
    );
    package.hold(&["240p", "240p-h265"], 102);
    // Groups of so many pictures, without a word about time.
    let group = |codec| format!("{{ name = \"{codec}\", height = 120, video = {{ codec = \"{codec}\", gop = 30 }} }}");
    let task = format!("segment = \"1s\"\nrenditions = [{}, {}]", group("h265"), group("h264"));
    let package = Package::of(&film, &task);
    package.hold(&["h264", "h265"], 126);
    assert_eq!(package.pictures("h265").1, [0.0, 1.25, 2.5, 3.75, 5.0]);
}

#[test]
fn h265_is_described_where_players_look_for_it_and_only_there() {
    let film = medium("film-rate.mp4");
    let task = "segment = \"2s\"\nrenditions = [\n\
                { name = \"eight\", height = 240, video = { codec = \"h265\" } },\n\
                { name = \"ten\", height = 180, video = { codec = \"h265\", depth = 10 } },\n\
                { name = \"old\", height = 180 }]";
    let package = Package::of(&film, task);
    package.hold(&["eight", "ten", "old"], 96);
    let master = package.text("master.m3u8");
    let named: Vec<&str> = master
        .lines()
        .filter_map(|line| {
            line.strip_prefix("#EXT-X-STREAM-INF:")?
                .split("CODECS=\"")
                .nth(1)?
                .split(',')
                .next()
        })
        .collect();
    let films = package.films("master.m3u8");
    for (name, film) in named.iter().zip(&films) {
        let level = &film["level"];
        let wanted = match (film["codec_name"].as_str().unwrap(), film["profile"].as_str().unwrap()) {
            ("hevc", "Main") => format!("hvc1.1.6.L{level}.90"),
            ("hevc", "Main 10") => format!("hvc1.2.4.L{level}.90"),
            (_, "High") => format!("avc1.6400{:02x}", level.as_u64().unwrap()),
            other => panic!("{other:?}"),
        };
        assert_eq!(**name, wanted);
        let tag = if wanted.starts_with("hvc1") { "hvc1" } else { "avc1" };
        assert_eq!(film["codec_tag_string"], tag);
    }
    assert_eq!(films.len(), 3);
    assert_eq!(films[1]["pix_fmt"], "yuv420p10le");
    for form in ["eight", "ten"] {
        let init = fs::read(package.path(&format!("{form}-init.mp4"))).unwrap();
        let config = boxed(&init, "hvcC").unwrap();
        let (mut at, mut lists) = (23, Vec::new());
        for _ in 0..config[22] {
            lists.push(config[at]);
            let count = u16::from_be_bytes([config[at + 1], config[at + 2]]);
            at += 3;
            for _ in 0..count {
                at += 2 + usize::from(u16::from_be_bytes([config[at], config[at + 1]]));
            }
        }
        // All of each sort, and none elsewhere.
        assert_eq!(lists, [0xa0, 0xa1, 0xa2], "{form}");
        for number in 1..=2 {
            let segment = fs::read(package.path(&format!("{form}-{number:05}.m4s"))).unwrap();
            let units = units(&segment);
            assert!(units.iter().all(|sort| !(32..=35).contains(sort)), "{units:?}");
            let first = units.iter().find(|sort| **sort < 32);
            assert!(matches!(first, Some(19 | 20)), "a picture that begins anew: {units:?}");
        }
    }
    // A player of DASH does not change codecs within a set.
    let manifest = package.text("manifest.mpd");
    let sets: Vec<_> = manifest
        .split("<AdaptationSet")
        .filter(|set| set.contains("video/mp4"))
        .collect();
    assert_eq!(sets.len(), 2);
    assert!(sets[0].contains("id=\"eight\"") && sets[0].contains("id=\"ten\"") && !sets[0].contains("avc1"));
}

#[test]
fn a_high_dynamic_range_is_kept_in_h265_and_mapped_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let light = "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1):max-cll=1000,400";
    let line = format!(
        "-f lavfi -i testsrc2=s=320x180:r=25:d=2 -c:v libx265 -x265-params log-level=none:{light} -vf \
         format=yuv420p10le,setparams=color_primaries=bt2020:color_trc=smpte2084:colorspace=bt2020nc"
    );
    let film = made(folder.path(), "hdr.mp4", &line);
    let task = "segment = \"1s\"\nhdr = \"keep\"\ncodec = [\"h265\", \"h264\"]\nrotate = 90\nrenditions = [\"240p\"]";
    let package = Package::of(&film, task);
    package.hold(&["240p", "240p-h264"], 50);
    let films = package.films("master.m3u8");
    let colours =
        |film: &Value| [&film["pix_fmt"], &film["color_transfer"], &film["color_primaries"]].map(Clone::clone);
    assert_eq!(colours(&films[0]), ["yuv420p10le", "smpte2084", "bt2020"]);
    assert_eq!(colours(&films[1]), ["yuv420p", "bt709", "bt709"]);
    assert_eq!((&films[0]["width"], &films[0]["height"]), (&180.into(), &320.into()));
    let master = package.text("master.m3u8");
    let line = |codec: &str| master.lines().find(|line| line.contains(codec)).unwrap();
    assert!(line("hvc1").contains("VIDEO-RANGE=PQ") && line("avc1").contains("VIDEO-RANGE=SDR"));
    // Players that know nothing of it must not take that set; the other is for them.
    let manifest = package.text("manifest.mpd");
    let essential = "EssentialProperty schemeIdUri=\"urn:mpeg:mpegB:cicp:TransferCharacteristics\" value=\"16\"";
    assert!(manifest.contains(essential), "{manifest}");
    assert_eq!(manifest.matches("EssentialProperty").count(), 3);
    let init = fs::read(package.path("240p-init.mp4")).unwrap();
    assert_eq!(boxed(&init, "clli").unwrap(), [3, 0xe8, 1, 0x90]);
    let screen = boxed(&init, "mdcv").unwrap();
    assert_eq!(
        (screen.len(), &screen[..4]),
        (24, &[0x33, 0xc2, 0x86, 0xc4][..]),
        "green first"
    );
    assert_eq!(boxed(&init, "colr").unwrap(), *b"nclx\0\x09\0\x10\0\x09\0");
    // What has no such range stays as deep as it is.
    let usual = made(
        folder.path(),
        "usual.mp4",
        "-f lavfi -i testsrc2=s=320x180:r=25:d=2 -pix_fmt yuv420p",
    );
    let flat = Package::of(&usual, "hdr = \"keep\"\ncodec = \"h265\"\nrenditions = [\"240p\"]");
    assert_eq!(flat.films("master.m3u8")[0]["pix_fmt"], "yuv420p");
    // What screens of a usual range show is not said.
    let plain = Package::of(&film, "codec = \"h265\"\nrenditions = [\"240p\"]");
    assert!(!plain.text("master.m3u8").contains("VIDEO-RANGE"));
    assert_eq!(plain.films("master.m3u8")[0]["color_transfer"], "bt709");
}

#[test]
fn a_part_of_a_medium_is_a_package_of_its_own_with_its_words_and_its_sound() {
    let folder = tempfile::tempdir().unwrap();
    let words = "1\n00:00:01,000 --> 00:00:03,500\nOne\n\n2\n00:00:04,000 --> 00:00:05,000\nTwo\n\n\
                 3\n00:00:08,000 --> 00:00:09,500\nThree\n";
    let srt = folder.path().join("words.srt");
    fs::write(&srt, words).unwrap();
    let line = format!(
        "-f lavfi -i testsrc2=s=320x180:r=25:d=10 -f lavfi -i sine=d=10 -i {} -map 0 -map 1 -map 2 -pix_fmt yuv420p \
         -bf 0 -g 25 -c:a pcm_s16le -c:s srt",
        srt.display()
    );
    let source = made(folder.path(), "film.mkv", &line);
    let task = "segment = \"2s\"\nsubtitles = true\nstart = \"3s\"\nend = \"-1s\"\npackages = [\"hls\"]\nrenditions = [\"240p\"]";
    let package = Package::of(&source, task);
    let (pictures, _) = package.pictures("240p");
    assert_eq!(pictures.len(), 150);
    for track in ["240p", "audio-1", "subtitles-1"] {
        let length: f64 = package.lengths(track).iter().sum();
        assert!((length - 6.0).abs() < 0.03, "{track}: {length}");
    }
    let seen = package.text("subtitles-1-00001.vtt");
    assert!(
        seen.contains("00:00:00.000 --> 00:00:00.500\nOne") && seen.contains("00:00:01.000 --> 00:00:02.000\nTwo"),
        "{seen}"
    );
    let last = package.text("subtitles-1-00003.vtt");
    assert!(last.contains("00:00:05.000 --> 00:00:06.000\nThree"), "{last}");
    assert!(!package.trial.said.contains("truncated"), "{}", package.trial.said);
    // The same where the medium cannot be jumped into.
    let whole = "-f lavfi -i testsrc2=s=320x180:r=25:d=4 -f lavfi -i sine=d=4 -pix_fmt yuv420p -bf 0";
    let stream = made(folder.path(), "film.ts", whole);
    let task =
        "segment = \"1s\"\nstart = \"500ms\"\nend = \"3500ms\"\ndeinterlace = \"always\"\nrenditions = [\"180p\"]";
    let package = Package::of(&stream, &task.replace("\"180p\"", "{ name = \"180p\", height = 180 }"));
    for track in ["180p", "audio-1"] {
        let length: f64 = package.lengths(track).iter().sum();
        assert!((length - 3.0).abs() < 0.05, "{track}: {length}");
    }
    package.hold(&["180p"], 75);
}

/// Red, green and blue of a pixel in the picture with this number.
fn pixel(playlist: &Path, number: usize, (x, y): (u32, u32)) -> [u8; 3] {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("pixel.raw");
    let filter = format!("select=eq(n\\,{number}),format=rgb24,crop=1:1:{x}:{y}");
    let words = [
        "-nostdin",
        "-v",
        "error",
        "-i",
        playlist.to_str().unwrap(),
        "-vf",
        &filter,
    ];
    let more = ["-frames:v", "1", "-f", "rawvideo", out.to_str().unwrap()];
    tool("ffmpeg", &[&words[..], &more[..]].concat());
    fs::read(&out).unwrap().try_into().unwrap()
}

#[test]
fn what_is_laid_over_a_film_is_at_the_same_place_of_every_size() {
    let folder = tempfile::tempdir().unwrap();
    let grey = made(
        folder.path(),
        "grey.mp4",
        "-f lavfi -i color=c=0x808080:s=640x360:r=25:d=3 -qp 4 -pix_fmt yuv420p",
    );
    let red = made(folder.path(), "red.png", "-f lavfi -i color=c=red:s=100x60 -frames:v 1");
    let task = "segment = \"1s\"\nstart = \"1s\"\n\
                renditions = [{ name = \"large\", height = 360, video = { crf = 4 } },\n\
                { name = \"small\", height = 180, video = { codec = \"h265\", crf = 4 } }]\n\
                overlay = [{ image = \"red.png\", corner = \"top-left\", offset = [40, 20], during = [\"1s\"] }]\n\
                mosaic = [{ x = \"50%\", y = \"50%\", width = 200, height = \"25%\", effect = \"fill\", color = \"#00ff00\" }]";
    let package = Package::beside(&grey, task, &[&red]);
    for (form, scale) in [("large", 2), ("small", 1)] {
        let playlist = package.path(&format!("{form}.m3u8"));
        let is = |number, x: u32, y: u32| {
            let colour = pixel(&playlist, number, (x * scale, y * scale));
            match colour {
                [200..=255, 0..60, 0..60] => 'r',
                [0..60, 200..=255, 0..60] => 'g',
                [100..160, 100..160, 100..160] => '.',
                other => panic!("{other:?} at {x} {y} of {form}"),
            }
        };
        // Its edges, and the picture before it comes.
        let around = [
            (16, 25),
            (24, 25),
            (66, 25),
            (74, 25),
            (40, 6),
            (40, 14),
            (40, 36),
            (40, 44),
        ];
        let seen: String = around.iter().map(|(x, y)| is(25, *x, *y)).collect();
        assert_eq!(seen, ".rr..rr.", "{form}");
        assert_eq!((is(24, 40, 25), is(25, 40, 25)), ('.', 'r'), "{form}");
        let filled = [
            (156, 100),
            (164, 100),
            (256, 100),
            (264, 100),
            (200, 86),
            (200, 94),
            (200, 131),
            (200, 139),
        ];
        let seen: String = filled.iter().map(|(x, y)| is(3, *x, *y)).collect();
        assert_eq!(seen, ".gg..gg.", "{form}");
    }
}

/// How loud a sound is, in LUFS, as ffmpeg measures it.
fn loudness(playlist: &Path) -> f64 {
    let out = playlist.with_extension("loudness");
    let filter = format!(
        "ebur128=metadata=1,ametadata=print:key=lavfi.r128.I:file={}",
        out.display()
    );
    let words = [
        "-nostdin",
        "-v",
        "error",
        "-i",
        playlist.to_str().unwrap(),
        "-af",
        &filter,
    ];
    tool("ffmpeg", &[&words[..], &["-f", "null", "-"]].concat());
    let told = fs::read_to_string(&out).unwrap();
    let last = told
        .lines()
        .filter_map(|line| line.strip_prefix("lavfi.r128.I="))
        .next_back();
    last.unwrap().parse().unwrap()
}

#[test]
fn each_sound_is_brought_to_its_loudness_and_words_with_styles_are_carried() {
    let folder = tempfile::tempdir().unwrap();
    let ass = folder.path().join("styled.ass");
    fs::write(
        &ass,
        "[Script Info]\nScriptType: v4.00+\n[V4+ Styles]\nFormat: Name, Fontname\nStyle: Default,Arial\n[Events]\n\
         Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n\
         Dialogue: 0,0:00:01.00,0:00:02.50,Default,,0,0,0,,{\\i1}Styled{\\i0}\\Ntwo & three\n",
    )
    .unwrap();
    let line = format!(
        "-f lavfi -i sine=440:d=10,volume=-30dB -f lavfi -i sine=880:d=10,volume=-6dB,aformat=channel_layouts=stereo \
         -i {} -map 0 -map 1 -map 2 -c:a pcm_s16le -metadata:s:a:0 language=deu -metadata:s:a:1 language=eng",
        ass.display()
    );
    let source = made(folder.path(), "sounds.mkv", &line);
    let task = "packages = [\"hls\"]\nstart = \"1s\"\nsubtitles = true\naudio_tracks = [\"en\", 1]\n\
                audio = { loudness = \"-20 LUFS\", language = [\"fr\"] }";
    let package = Package::of(&source, task);
    for track in ["audio-1", "audio-2"] {
        let measured = loudness(&package.path(&format!("{track}.m3u8")));
        assert!((measured + 20.0).abs() < 0.5, "{track}: {measured}");
    }
    let master = package.text("master.m3u8");
    let line = |file: &str| master.lines().find(|line| line.contains(file)).unwrap();
    assert!(line("audio-1").contains("LANGUAGE=\"fr\"") && line("audio-1").contains("CHANNELS=\"2\""));
    assert!(line("audio-2").contains("LANGUAGE=\"de\"") && line("audio-2").contains("CHANNELS=\"1\""));
    let words = package.text("subtitles-1-00001.vtt");
    assert!(
        words.contains("00:00:00.000 --> 00:00:01.500\nStyled\ntwo &amp; three"),
        "{words}"
    );
}

#[test]
fn what_is_hidden_is_hidden_in_every_size_or_the_task_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let film = made(
        folder.path(),
        "tall.mp4",
        "-f lavfi -i color=c=white:s=540x960:r=25:d=1 -qp 4 -pix_fmt yuv420p",
    );
    let task = "packages = [\"hls\"]\nrenditions = [\"480p\", \"240p\"]\n\
                mosaic = [{ x = 478, y = 850, width = 2, height = 4, effect = \"fill\" }]";
    let package = Package::of(&film, task);
    let films = package.films("master.m3u8");
    let size = |film: &Value, side: &str| u32::try_from(film[side].as_u64().unwrap()).unwrap();
    for (form, film) in ["480p", "240p"].iter().zip(&films) {
        let last = (size(film, "width") - 1, size(film, "height") - 1);
        let colour = pixel(&package.path(&format!("{form}.m3u8")), 3, last);
        assert!(colour.iter().all(|part| *part < 60), "{colour:?} at {last:?} of {form}");
    }
    let square = "{ name = \"square\", width = 240, height = 240, fit = \"cover\" }";
    let task = task.replace("\"240p\"", square);
    let trial = Trial::beside(&film, &format!("[task.t]\nkind = \"adaptive\"\n{task}"), &[]);
    let told = ["has no one place", "square", "(240x240)"];
    let tells = told.iter().all(|part| trial.said.contains(part));
    assert!(!trial.good && tells, "{}", trial.said);
}
