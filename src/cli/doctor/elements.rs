//! Judges GStreamer: what can be read and written with the elements that there are, and which package brings the rest.

use std::collections::{BTreeMap, BTreeSet};

use super::finding::{Finding, bad, ok, warn};
use crate::cli::exit::Code;
use crate::rule::{Container, Rule, TaskKind};
use crate::worker::inventory::Inventory;

/// The oldest GStreamer that the mill works with.
const OLDEST: (u32, u32) = (1, 22);

const BASE: &str = "gstreamer1.0-plugins-base";
const GOOD: &str = "gstreamer1.0-plugins-good";
const BAD: &str = "gstreamer1.0-plugins-bad";
const UGLY: &str = "gstreamer1.0-plugins-ugly";
const LIBAV: &str = "gstreamer1.0-libav";

/// What all of it comes with on Debian.
const ALL: &str = "gstreamer1.0-{libav,plugins-{base,good,bad,ugly}}";

/// Something that rules or media want: a sort, a word for people, and elements with the Debian packages that bring them.
type Ability = (Sort, &'static str, &'static [(&'static str, &'static str)]);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sort {
    /// Without these no run works.
    Always,
    /// Forms of files, as rules write them.
    Container,
    /// Encoders, as rules write them.
    Codec,
    /// Stills.
    Image,
    /// What media come in.
    Reads,
}

const ABILITIES: &[Ability] = &[
    (
        Sort::Always,
        "pictures and sound",
        &[
            ("videoconvert", BASE),
            ("videoscale", BASE),
            ("videorate", BASE),
            ("audioconvert", BASE),
            ("audioresample", BASE),
            ("audiorate", BASE),
            ("appsrc", BASE),
            ("parsebin", BASE),
            ("aspectratiocrop", GOOD),
            ("deinterlace", GOOD),
            ("videoflip", GOOD),
        ],
    ),
    (Sort::Container, "mp4", &[("mp4mux", GOOD), ("h264timestamper", BAD)]),
    (Sort::Container, "mov", &[("qtmux", GOOD), ("h264timestamper", BAD)]),
    (Sort::Container, "mkv", &[("matroskamux", GOOD)]),
    (Sort::Container, "webm", &[("webmmux", GOOD)]),
    (Sort::Container, "ts", &[("mpegtsmux", BAD)]),
    (Sort::Container, "flv", &[("flvmux", GOOD)]),
    (Sort::Container, "mxf", &[("mxfmux", BAD)]),
    (Sort::Container, "m4a", &[("mp4mux", GOOD)]),
    (Sort::Container, "mp3", &[("id3v2mux", GOOD), ("mpegaudioparse", GOOD)]),
    (Sort::Container, "ogg", &[("oggmux", BASE)]),
    (Sort::Container, "flac", &[("flacenc", GOOD)]),
    (Sort::Container, "wav", &[("wavenc", GOOD)]),
    (Sort::Codec, "h264", &[("x264enc", UGLY), ("h264parse", BAD)]),
    (Sort::Codec, "vp8", &[("vp8enc", GOOD)]),
    (Sort::Codec, "vp9", &[("vp9enc", GOOD), ("vp9parse", BAD)]),
    (Sort::Codec, "h265", &[("x265enc", BAD), ("h265parse", BAD)]),
    (Sort::Codec, "av1", &[("av1enc", BAD), ("av1parse", BAD)]),
    // Encoded by the library that the decoder is of.
    (
        Sort::Codec,
        "mpeg2",
        &[("avdec_mpeg2video", LIBAV), ("mpegvideoparse", BAD)],
    ),
    (Sort::Codec, "prores", &[("avenc_prores_ks", LIBAV)]),
    (Sort::Codec, "dnxhd", &[("avenc_dnxhd", LIBAV)]),
    (Sort::Codec, "aac", &[("avenc_aac", LIBAV), ("aacparse", GOOD)]),
    (Sort::Codec, "opus", &[("opusenc", BASE)]),
    (Sort::Codec, "mp3", &[("lamemp3enc", GOOD), ("mpegaudioparse", GOOD)]),
    (Sort::Codec, "flac", &[("flacenc", GOOD)]),
    (Sort::Image, "jpg", &[("jpegenc", GOOD), ("jpegdec", GOOD)]),
    (Sort::Image, "png", &[("pngenc", GOOD), ("pngdec", GOOD)]),
    (Sort::Image, "webp", &[("webpenc", BAD), ("webpdec", BAD)]),
    (Sort::Reads, "mp4", &[("qtdemux", GOOD)]),
    (Sort::Reads, "mkv", &[("matroskademux", GOOD)]),
    (Sort::Reads, "ts", &[("tsdemux", BAD)]),
    (Sort::Reads, "mpg", &[("mpegpsdemux", BAD)]),
    (Sort::Reads, "avi", &[("avidemux", GOOD)]),
    (Sort::Reads, "flv", &[("aacparse", GOOD), ("h264parse", BAD)]),
    (Sort::Reads, "ogg", &[("oggdemux", BASE)]),
    (Sort::Reads, "wav", &[("wavparse", GOOD)]),
    (Sort::Reads, "h264", &[("avdec_h264", LIBAV), ("h264parse", BAD)]),
    (Sort::Reads, "h265", &[("avdec_h265", LIBAV), ("h265parse", BAD)]),
    (Sort::Reads, "vp8", &[("vp8dec", GOOD)]),
    (Sort::Reads, "vp9", &[("vp9dec", GOOD), ("vp9parse", BAD)]),
    (Sort::Reads, "av1", &[("av1dec", BAD), ("av1parse", BAD)]),
    (Sort::Reads, "mpeg2", &[("avdec_mpeg2video", LIBAV)]),
    (Sort::Reads, "prores", &[("avdec_prores", LIBAV)]),
    (Sort::Reads, "aac", &[("avdec_aac", LIBAV)]),
    (Sort::Reads, "mp3", &[("mpg123audiodec", GOOD)]),
    (Sort::Reads, "opus", &[("opusdec", BASE)]),
    (Sort::Reads, "vorbis", &[("vorbisdec", BASE)]),
    (Sort::Reads, "flac", &[("flacdec", GOOD)]),
    (Sort::Reads, "ac3", &[("avdec_ac3", LIBAV)]),
    (Sort::Reads, "jpg", &[("jpegdec", GOOD)]),
    (Sort::Reads, "png", &[("pngdec", GOOD)]),
];

/// Words of what rules write: their containers, codecs and images.
#[derive(Debug, Clone, Default)]
pub struct Wanted(BTreeSet<(Sort, &'static str)>);

/// What these rules write.
pub fn wanted<'a>(rules: impl Iterator<Item = &'a Rule>) -> Wanted {
    let mut wanted = Wanted::default();
    for task in rules.flat_map(|rule| &rule.tasks) {
        match &task.kind {
            TaskKind::Transcode(one) => {
                wanted.0.insert((Sort::Container, Container::extension(one.container)));
                if let Some(video) = one.video.encoded() {
                    wanted.0.insert((Sort::Codec, video.codec.word()));
                }
                if let Some(audio) = one.audio.encoded() {
                    wanted.0.insert((Sort::Codec, audio.codec.word()));
                }
            }
            TaskKind::Waveform(_) => {
                // Its picture is read back.
                wanted.0.insert((Sort::Reads, "png"));
            }
            TaskKind::Adaptive(one) => {
                // It writes its segments itself.
                for codec in one.renditions.codecs() {
                    wanted.0.insert((Sort::Codec, codec.word()));
                }
                if let Some(audio) = &one.audio {
                    wanted.0.insert((Sort::Codec, audio.codec.word()));
                }
            }
            TaskKind::Snapshot(one) => {
                wanted.0.insert((Sort::Image, one.format.extension()));
            }
            TaskKind::Sprite(one) => {
                wanted.0.insert((Sort::Image, one.format.extension()));
            }
            _ => {}
        }
    }
    wanted
}

/// Says what can be read and written, and what is missing for what these rules want.
pub fn gstreamer(seen: &Result<Inventory, String>, wanted: &Wanted) -> Vec<Finding> {
    let seen = match seen {
        Ok(seen) => seen,
        Err(reason) => {
            return vec![bad(
                Code::Unavailable,
                "gstreamer",
                format!("cannot be used: {reason}"),
                format!("apt-get install {ALL}"),
            )];
        }
    };
    let (major, minor, micro) = seen.version;
    let version = format!("{major}.{minor}.{micro}");
    let mut findings = Vec::new();
    if (major, minor) < OLDEST {
        let help = format!("version {}.{} or later is needed", OLDEST.0, OLDEST.1);
        findings.push(bad(Code::Unavailable, "gstreamer", version, help));
    } else if let Some(refusal) = &seen.refusal {
        let says = format!("{version}, and no worker can start: {refusal}");
        let help = format!("apt-get install {}", packages(seen));
        findings.push(bad(Code::Unavailable, "gstreamer", says, help));
        return findings;
    } else {
        let says = format!("{version}, {} elements for workers", seen.elements.len());
        findings.push(ok("gstreamer", says));
    }
    let there = |sort: Sort| {
        let able = ABILITIES
            .iter()
            .filter(|one| one.0 == sort && missing(one, seen).is_empty());
        able.map(|one| one.1).collect::<Vec<_>>().join(" ")
    };
    findings.push(ok("reads", there(Sort::Reads)));
    findings.push(ok(
        "writes",
        format!(
            "{}; as {}; {}",
            there(Sort::Container),
            there(Sort::Codec),
            there(Sort::Image)
        ),
    ));
    findings.extend(lacking(seen, wanted));
    findings
}

fn missing(ability: &Ability, seen: &Inventory) -> Vec<(&'static str, &'static str)> {
    let elements = ability.2.iter().copied();
    elements.filter(|(element, _)| !seen.has(element)).collect()
}

/// The packages that bring what is missing, or all of them.
fn packages(seen: &Inventory) -> String {
    let lacking = ABILITIES.iter().flat_map(|ability| missing(ability, seen));
    let packages: BTreeSet<&str> = lacking.map(|(_, package)| package).collect();
    match packages.len() {
        1 | 2 => packages.into_iter().collect::<Vec<_>>().join(" "),
        _ => ALL.to_owned(),
    }
}

/// What cannot be done, one finding for each package that would help.
fn lacking(seen: &Inventory, wanted: &Wanted) -> Vec<Finding> {
    #[derive(Default)]
    struct Lack {
        elements: BTreeSet<&'static str>,
        words: Vec<String>,
        needed: bool,
    }
    let mut packages: BTreeMap<&str, Lack> = BTreeMap::new();
    for ability in ABILITIES {
        let (sort, word, _) = *ability;
        for (element, package) in missing(ability, seen) {
            let lack = packages.entry(package).or_default();
            lack.elements.insert(element);
            let (words, needed) = match sort {
                Sort::Always => (word.to_owned(), true),
                Sort::Reads => (format!("reading {word}"), wanted.0.contains(&(sort, word))),
                _ => (format!("writing {word}"), wanted.0.contains(&(sort, word))),
            };
            if !lack.words.contains(&words) {
                lack.words.push(words);
            }
            lack.needed |= needed;
        }
    }
    packages
        .into_iter()
        .map(|(package, lack)| {
            let elements: Vec<_> = lack.elements.into_iter().collect();
            let says = format!("no {}: no {}", few(&elements), few(&lack.words));
            let help = format!("apt-get install {package}");
            if lack.needed {
                let says = format!("{says}, which rules here need");
                bad(Code::Unavailable, "missing", says, help)
            } else {
                warn("missing", says, help)
            }
        })
        .collect()
}

/// A list that is cut where it gets long.
fn few(words: &[impl AsRef<str>]) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<&str> = words.iter().take(SHOWN).map(AsRef::as_ref).collect();
    match words.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;
    use crate::rule::{AudioCodec, ImageFormat, VideoCodec};

    fn inventory(without: &[&str]) -> Inventory {
        let all = ABILITIES.iter().flat_map(|one| one.2).map(|(element, _)| *element);
        let kept: BTreeSet<String> = all
            .filter(|element| !without.contains(element))
            .map(str::to_owned)
            .collect();
        Inventory {
            version: (1, 22, 0),
            elements: kept.into_iter().collect(),
            plugins: Vec::new(),
            refusal: None,
        }
    }

    fn judged(without: &[&str], wanted: &[(Sort, &'static str)]) -> Vec<Finding> {
        let wanted = Wanted(wanted.iter().copied().collect());
        gstreamer(&Ok(inventory(without)), &wanted)
    }

    #[test]
    fn whatever_a_rule_may_write_is_looked_for() {
        let known = |sort, word| ABILITIES.iter().any(|one| one.0 == sort && one.1 == word);
        for (word, _) in Container::ALL {
            assert!(known(Sort::Container, word), "{word}");
        }
        for (word, _) in VideoCodec::ALL {
            assert!(known(Sort::Codec, word), "{word}");
        }
        for (word, codec) in AudioCodec::ALL {
            // Samples as they are need no element.
            assert!(known(Sort::Codec, word) || codec == AudioCodec::Pcm, "{word}");
        }
        for format in [ImageFormat::Jpg, ImageFormat::Png, ImageFormat::Webp] {
            assert!(known(Sort::Image, format.extension()), "{format:?}");
        }
    }

    #[test]
    fn with_every_element_there_is_nothing_to_do() {
        let found = judged(&[], &[]);
        assert!(found.iter().all(|one| one.level == Level::Ok), "{found:?}");
    }

    #[test]
    fn a_missing_element_is_bad_only_where_a_rule_needs_it() {
        let lack = |found: &[Finding]| {
            let lack = found.iter().find(|one| one.what == "missing").expect("a lack");
            (lack.level, lack.says.clone(), lack.help.clone())
        };
        let install = Some("apt-get install gstreamer1.0-plugins-ugly".to_owned());
        let found = judged(&["x264enc"], &[(Sort::Codec, "vp9")]);
        assert_eq!(
            lack(&found),
            (Level::Warn, "no x264enc: no writing h264".to_owned(), install.clone())
        );
        let writes = found.iter().find(|one| one.what == "writes").expect("a line");
        assert!(!writes.says.contains("h264"), "{writes:?}");
        let found = judged(&["x264enc"], &[(Sort::Codec, "h264")]);
        assert_eq!(
            lack(&found),
            (
                Level::Bad,
                "no x264enc: no writing h264, which rules here need".to_owned(),
                install
            )
        );
        assert_eq!(lack(&judged(&["videoconvert"], &[])).0, Level::Bad);
    }

    #[test]
    fn one_package_is_named_once_for_all_that_it_brings() {
        let found = judged(&["avdec_h264", "avdec_aac", "avenc_aac"], &[]);
        let lacks: Vec<_> = found.iter().filter(|one| one.what == "missing").collect();
        assert_eq!(lacks.len(), 1, "{lacks:?}");
        assert_eq!(
            lacks[0].says,
            "no avdec_aac, avdec_h264, avenc_aac: no writing aac, reading h264, reading aac"
        );
    }

    #[test]
    fn an_old_gstreamer_and_one_that_does_not_start_are_bad() {
        let old = Inventory {
            version: (1, 20, 3),
            ..inventory(&[])
        };
        assert_eq!(gstreamer(&Ok(old), &Wanted::default())[0].level, Level::Bad);
        let refused = Inventory {
            refusal: Some("GStreamer's plugin libav is not installed".into()),
            ..inventory(&["avdec_h264", "avenc_aac"])
        };
        let found = gstreamer(&Ok(refused.clone()), &Wanted::default());
        assert_eq!(found[0].help.as_deref(), Some("apt-get install gstreamer1.0-libav"));
        for seen in [Ok(refused), Err("no such library".to_owned())] {
            let found = gstreamer(&seen, &Wanted::default());
            assert_eq!(found.len(), 1);
            assert_eq!(found[0].level, Level::Bad);
        }
    }
}
