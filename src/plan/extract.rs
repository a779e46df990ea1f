//! Streams that become files as they are: which, and what they are put into.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::run::{PlannedTask, Wanted, known, output};
use super::{Coded, Expect, Form, Span, StreamInfo, StreamKind, Work};
use crate::job::{ErrorKind, Failure, Finding, FindingKind};
use crate::rule::{Container, Extract, TaskId, TextForm};

/// Streams to write as they are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExtractPlan {
    /// One file each.
    pub streams: Vec<ExtractedStream>,
}

/// A stream that becomes a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExtractedStream {
    /// Name in scratch.
    pub file: String,
    /// From 0, in the order of the container.
    pub index: u32,
    /// What its packets are put into.
    pub taken: TakenAs,
}

/// What the packets of a stream are put into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TakenAs {
    /// The usual file of this codec.
    Sound(Container),
    /// Matroska, where the codec has no file of its own.
    Matroska,
    /// Its packets one after the other, which is what a file of this codec is.
    Packets,
    /// Text with times.
    Text(TextForm),
    /// Advanced SubStation.
    Styled,
}

impl TakenAs {
    /// For a stream of this format, and with which extension; none where no file could hold it.
    fn of(stream: &StreamInfo, text: TextForm) -> Option<(Self, &'static str)> {
        let sound = |container: Container| Some((Self::Sound(container), container.extension()));
        match (&stream.kind, stream.format.as_str()) {
            (StreamKind::Audio(_), "aac" | "alac") => sound(Container::M4a),
            (StreamKind::Audio(_), "mp3") => sound(Container::Mp3),
            (StreamKind::Audio(_), "opus" | "vorbis") => sound(Container::Ogg),
            (StreamKind::Audio(_), "flac") => sound(Container::Flac),
            (StreamKind::Audio(_), "pcm") => sound(Container::Wav),
            (StreamKind::Audio(_), "ac3") => Some((Self::Packets, "ac3")),
            (StreamKind::Audio(_), "eac3") => Some((Self::Packets, "eac3")),
            (StreamKind::Audio(_), "dts") => Some((Self::Packets, "dts")),
            (StreamKind::Audio(_), "mp2") => Some((Self::Packets, "mp2")),
            (StreamKind::Audio(_), _) => Some((Self::Matroska, "mka")),
            (StreamKind::Subtitle, "text" | "vtt") => Some(match text {
                TextForm::Srt => (Self::Text(text), "srt"),
                TextForm::Vtt => (Self::Text(text), "vtt"),
            }),
            (StreamKind::Subtitle, "ass") => Some((Self::Styled, "ass")),
            (StreamKind::Subtitle, "ssa") => Some((Self::Styled, "ssa")),
            (StreamKind::Other, "klv") => Some((Self::Packets, "klv")),
            (StreamKind::Other, _) => Some((Self::Packets, "bin")),
            _ => None,
        }
    }

    /// What the check of its file must find.
    /// Only the first sound is held against the end of the medium: others may be as long as they like.
    fn expect(self, is_first: bool) -> Expect {
        match self {
            Self::Sound(container) => Expect::Media {
                container,
                video: Form::Absent,
                coded: Coded::default(),
                sounds: vec![Form::Copied],
                span: Span {
                    end: (!is_first).then_some(Duration::MAX),
                    ..Span::default()
                },
                joined: false,
            },
            _ => Expect::Something,
        }
    }
}

/// What this task will do.
pub(super) fn extract(wanted: &Wanted<'_>, task: &TaskId, settings: &Extract) -> Result<PlannedTask, Failure> {
    let media = known(wanted)?;
    let mut findings = Vec::new();
    let mut taken = Vec::new();
    for (index, stream) in media.streams.iter().enumerate() {
        if !is_wanted(stream, settings) {
            continue;
        }
        match TakenAs::of(stream, settings.text) {
            Some(how) => taken.push((u32::try_from(index).unwrap_or(u32::MAX), how)),
            None => findings.push(Finding {
                kind: FindingKind::StreamLeftOut,
                message: format!(
                    "stream {index} ({}) cannot be taken out: no file of its own could hold it",
                    stream.codec
                ),
            }),
        }
    }
    if taken.is_empty() {
        let lacks = match findings.into_iter().next() {
            Some(finding) => finding.message,
            None => format!("the medium has {}", nothing(settings)),
        };
        return Err(Failure::new(ErrorKind::NoSuchStream, lacks));
    }
    let count = u32::try_from(taken.len()).unwrap_or(u32::MAX);
    let (mut streams, mut outputs) = (Vec::new(), Vec::new());
    for (number, (index, (taken, extension))) in (1..).zip(taken) {
        let output = output(
            wanted,
            task,
            Some((number, count)),
            extension.as_bytes(),
            taken.expect(media.audio_stream().is_some_and(|first| first.index == index)),
        )?;
        let file = output.file.clone();
        streams.push(ExtractedStream { file, index, taken });
        outputs.push(output);
    }
    Ok(PlannedTask {
        work: Work::Extract(ExtractPlan { streams }),
        outputs,
        package: None,
        findings,
    })
}

fn is_wanted(stream: &StreamInfo, settings: &Extract) -> bool {
    let sort = match stream.kind {
        StreamKind::Audio(_) => settings.audio,
        StreamKind::Subtitle => settings.subtitles,
        StreamKind::Other => settings.data,
        StreamKind::Video(_) => false,
    };
    let spoken = stream.language.as_deref().unwrap_or("und").to_lowercase();
    sort && (settings.languages.is_empty() || settings.languages.iter().any(|one| same_language(one, &spoken)))
}

/// Whether two codes mean one language, as far as their letters tell: `en`, `eng` and `en-us` do.
pub(super) fn same_language(wanted: &str, spoken: &str) -> bool {
    let known = |code: &str| {
        let main = code.split('-').next().unwrap_or_default().to_owned();
        TWO_LETTERS
            .iter()
            .find(|(_, long)| long.contains(&main.as_str()))
            .map_or(main, |(short, _)| (*short).to_owned())
    };
    wanted == spoken || known(wanted) == known(spoken)
}

/// Codes of ISO 639-1 and what ISO 639-2 has in their place, for the languages that media mostly have.
const TWO_LETTERS: [(&str, &[&str]); 30] = [
    ("ar", &["ara"]),
    ("bg", &["bul"]),
    ("cs", &["ces", "cze"]),
    ("da", &["dan"]),
    ("de", &["deu", "ger"]),
    ("el", &["ell", "gre"]),
    ("en", &["eng"]),
    ("es", &["spa"]),
    ("et", &["est"]),
    ("fi", &["fin"]),
    ("fr", &["fra", "fre"]),
    ("he", &["heb"]),
    ("hi", &["hin"]),
    ("hr", &["hrv"]),
    ("hu", &["hun"]),
    ("id", &["ind"]),
    ("it", &["ita"]),
    ("ja", &["jpn"]),
    ("ko", &["kor"]),
    ("nl", &["nld", "dut"]),
    ("no", &["nor", "nob", "nno"]),
    ("pl", &["pol"]),
    ("pt", &["por"]),
    ("ro", &["ron", "rum"]),
    ("ru", &["rus"]),
    ("sv", &["swe"]),
    ("tr", &["tur"]),
    ("uk", &["ukr"]),
    ("vi", &["vie"]),
    ("zh", &["zho", "chi"]),
];

/// `no sound and no subtitles in eng`.
fn nothing(settings: &Extract) -> String {
    let sorts = [
        (settings.audio, "no sound"),
        (settings.subtitles, "no subtitles"),
        (settings.data, "no data"),
    ];
    let words: Vec<_> = sorts.into_iter().filter(|(is, _)| *is).map(|(_, word)| word).collect();
    let mut text = words.join(" and ");
    if !settings.languages.is_empty() {
        text.extend([" in ", &settings.languages.join(", ")]);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing::{audio, film, stream, video};

    fn of(format: &str, mut stream: StreamInfo) -> Option<(TakenAs, &'static str)> {
        format.clone_into(&mut stream.format);
        TakenAs::of(&stream, TextForm::Vtt)
    }

    #[test]
    fn every_sort_of_stream_has_a_file_that_holds_it_or_none() {
        let sound = |format| of(format, audio(2, 48_000)).map(|(_, extension)| extension);
        for (format, extension) in [
            ("aac", "m4a"),
            ("mp3", "mp3"),
            ("opus", "ogg"),
            ("vorbis", "ogg"),
            ("pcm", "wav"),
            ("eac3", "eac3"),
            ("wma", "mka"),
        ] {
            assert_eq!(sound(format), Some(extension), "{format}");
        }
        let subtitle = |format| of(format, stream(StreamKind::Subtitle)).map(|(_, extension)| extension);
        assert_eq!(subtitle("text"), Some("vtt"));
        assert_eq!(subtitle("ass"), Some("ass"));
        assert_eq!(subtitle("pgs"), None);
        assert_eq!(of("h264", video(film(16, 16))), None);
    }

    #[test]
    fn languages_are_the_same_in_two_and_three_letters() {
        for (wanted, spoken) in [
            ("de", "ger"),
            ("deu", "ger"),
            ("en", "en-us"),
            ("pt-br", "por"),
            ("xx", "xx"),
        ] {
            assert!(same_language(wanted, spoken), "{wanted} {spoken}");
        }
        assert!(!same_language("de", "den"));
        assert!(!same_language("en", "und"));
    }
}
