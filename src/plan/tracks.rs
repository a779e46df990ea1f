//! The sounds and subtitles of a transcode, resolved against the medium.

use serde::{Deserialize, Serialize};

use super::extract::same_language;
use super::transcode::{channels, rate};
use super::{AudioStream, Chapter, Form, MediaInfo, Span, StreamInfo, StreamKind};
use crate::job::{ErrorKind, Failure, Finding, FindingKind};
use crate::rule::{Choice, Container, Pick, Transcode};

/// A result has so many sounds at most, and so many subtitles.
const MOST: usize = 32;

/// The index of an MP4 file has room for so many chapters.
const MOST_NERO_CHAPTERS: usize = 255;

/// The tracks of a result besides its film, in their order.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TracksPlan {
    /// Sounds.
    pub sounds: Vec<SoundPlan>,
    /// Subtitles.
    pub subtitles: Vec<SubtitlePlan>,
    /// Chapters, in the time of the result.
    pub chapters: Vec<Chapter>,
}

/// One sound of a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SoundPlan {
    /// Which stream of the medium.
    pub stream: u32,
    /// Channels, and samples a second, where it is encoded.
    pub form: Option<(u32, u32)>,
    /// Its language, where that is not what the source says.
    pub language: Option<String>,
}

/// One stream of subtitles of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubtitlePlan {
    /// Which stream of the medium.
    pub stream: u32,
    /// What its lines become.
    pub lines: Lines,
}

/// What lines of subtitles become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lines {
    /// Text with marks for bold, italic and underlined, as `SubRip` has them.
    Marked,
    /// Text alone, one line at a time.
    Plain,
    /// `WebVTT`.
    Vtt,
    /// What they are, styles and all.
    Kept,
}

/// What was chosen, and what there is to say about it.
pub(super) struct Chosen {
    pub plan: TracksPlan,
    pub findings: Vec<Finding>,
}

impl TracksPlan {
    /// What the check of the sounds must find.
    pub(super) fn forms(&self) -> Vec<Form> {
        let form = |sound: &SoundPlan| {
            sound
                .form
                .map_or(Form::Copied, |(channels, rate)| Form::Made(channels, rate))
        };
        self.sounds.iter().map(form).collect()
    }
}

/// The tracks of this medium that a transcode takes.
///
/// # Errors
/// `no_such_stream` where the medium has sound, and none of what is wanted.
pub(super) fn chosen(media: &MediaInfo, settings: &Transcode, span: Span) -> Result<Chosen, Failure> {
    let mut findings = Vec::new();
    let mut sounds = sounds(media, settings, &mut findings)?;
    let over = |sound: &SoundPlan| {
        let stream = media.streams.get(sound.stream as usize);
        let end = stream.and_then(|stream| stream.duration);
        end.is_some_and(|end| !span.start.is_zero() && end <= span.start)
    };
    for sound in sounds.extract_if(.., |sound| over(sound)) {
        findings.push(nothing_heard(media, &sound));
    }
    let subtitles = subtitles(media, settings, &mut findings);
    let holds = settings.container.holds_chapters();
    let mut chapters = if holds { chapters(media, span) } else { Vec::new() };
    if settings.container.has_index_in_front() && chapters.len() > MOST_NERO_CHAPTERS {
        let left = chapters.split_off(MOST_NERO_CHAPTERS).len();
        findings.push(Finding {
            kind: FindingKind::StreamLeftOut,
            message: format!(
                "the last {left} chapters of the source are not in the result: {} holds {MOST_NERO_CHAPTERS}",
                settings.container.extension()
            ),
        });
    }
    if !media.chapters.is_empty() && settings.video.is_some() && !holds {
        findings.push(Finding {
            kind: FindingKind::StreamLeftOut,
            message: format!(
                "the chapters of the source are not in the result: of the containers, mp4, mov, mkv and webm keep them, not {}",
                settings.container.extension()
            ),
        });
    }
    Ok(Chosen {
        plan: TracksPlan {
            sounds,
            subtitles,
            chapters,
        },
        findings,
    })
}

/// That a sound is over before the wanted part begins.
fn nothing_heard(media: &MediaInfo, sound: &SoundPlan) -> Finding {
    let is_sound = |stream: &&StreamInfo| matches!(stream.kind, StreamKind::Audio(_));
    let until = media.streams.iter().take(sound.stream as usize + 1);
    Finding {
        kind: FindingKind::StreamLeftOut,
        message: format!(
            "audio track {} of the source is not in the result: it is over before the wanted part begins",
            until.filter(is_sound).count()
        ),
    }
}

/// The chapters that are in this part, cut to it.
fn chapters(media: &MediaInfo, span: Span) -> Vec<Chapter> {
    let starts = media.chapters.iter().skip(1).map(|next| Some(next.start));
    let nexts = starts.chain([media.duration]);
    let chapters = media.chapters.iter().zip(nexts).filter_map(|(chapter, next)| {
        let end = chapter.end.or(next);
        let ends = [end, span.end].into_iter().flatten().min();
        let start = chapter.start.max(span.start);
        ends.is_none_or(|end| end > start).then(|| Chapter {
            start: start.saturating_sub(span.start),
            end: ends.map(|end| end.saturating_sub(span.start)),
            title: chapter.title.clone(),
        })
    });
    chapters.collect()
}

/// The sounds that are wanted.
pub(super) fn sounds(
    media: &MediaInfo,
    settings: &Transcode,
    findings: &mut Vec<Finding>,
) -> Result<Vec<SoundPlan>, Failure> {
    if !settings.audio.is_some() {
        return Ok(Vec::new());
    }
    let all: Vec<(u32, &StreamInfo, &AudioStream)> = numbered(media)
        .filter_map(|(index, stream)| match &stream.kind {
            StreamKind::Audio(audio) => Some((index, stream, audio)),
            _ => None,
        })
        .collect();
    let streams: Vec<&StreamInfo> = all.iter().map(|(_, stream, _)| *stream).collect();
    let (mut taken, missing) = pick(&settings.tracks.sounds, &streams);
    if taken.is_empty() && !all.is_empty() {
        let has: Vec<_> = streams.iter().map(|stream| spoken(stream)).collect();
        return Err(Failure::new(
            ErrorKind::NoSuchStream,
            format!(
                "the medium has no sound {}: it has {}",
                missing.join(", "),
                counted(&has)
            ),
        ));
    }
    if !all.is_empty() {
        findings.extend(missing.into_iter().map(|what| absent("sound", &what)));
    }
    let wanted = wanted(&settings.tracks.sounds, &all, taken.len());
    taken.truncate(if settings.container.holds_sounds() { MOST } else { 1 });
    findings.extend(left_out(wanted - taken.len(), "further audio track"));
    let mut languages = settings.tracks.languages.iter();
    let sounds = taken.into_iter().map(|at| {
        let (index, _, audio) = all[at];
        let form = settings.audio.encoded().map(|spec| {
            (
                channels(spec, audio.channels),
                rate(spec, settings.container, audio.rate),
            )
        });
        SoundPlan {
            stream: index,
            form,
            language: languages.next().cloned(),
        }
    });
    Ok(sounds.collect())
}

/// The subtitles that are wanted and can be carried.
pub(super) fn subtitles(media: &MediaInfo, settings: &Transcode, findings: &mut Vec<Finding>) -> Vec<SubtitlePlan> {
    let all: Vec<(u32, &StreamInfo)> = numbered(media)
        .filter(|(_, stream)| matches!(stream.kind, StreamKind::Subtitle))
        .collect();
    let streams: Vec<&StreamInfo> = all.iter().map(|(_, stream)| *stream).collect();
    let (mut taken, missing) = pick(&settings.tracks.subtitles, &streams);
    if !all.is_empty() {
        findings.extend(missing.into_iter().map(|what| absent("subtitles", &what)));
    }
    let wanted = wanted(&settings.tracks.subtitles, &all, taken.len());
    taken.truncate(MOST);
    // Without a film nobody misses what is shown over it.
    if settings.video.is_some() {
        findings.extend(left_out(wanted - taken.len(), "subtitle track"));
    }
    let mut plans = Vec::new();
    for at in taken {
        let (index, stream) = all[at];
        match Lines::of(&stream.format, &media.container, settings.container) {
            Some(lines) => plans.push(SubtitlePlan { stream: index, lines }),
            None => findings.push(Finding {
                kind: FindingKind::StreamLeftOut,
                message: format!(
                    "subtitle track {} ({}) of the source is not in the result: it is nothing that {} could hold",
                    at + 1,
                    stream.codec,
                    settings.container.extension()
                ),
            }),
        }
    }
    plans
}

impl Lines {
    /// What lines of this format, out of such a container, become in another; none where that cannot hold them.
    fn of(format: &str, from: &str, container: Container) -> Option<Self> {
        match (format, container) {
            ("ass" | "ssa", Container::Mkv) => Some(Self::Kept),
            // Elsewhere they come in pieces, or without their colours.
            ("pgs" | "dvd", Container::Mkv) if from == "Matroska" => Some(Self::Kept),
            ("text" | "vtt", Container::Mkv) => Some(Self::Marked),
            ("text" | "vtt" | "ass" | "ssa", Container::Webm) => Some(Self::Vtt),
            ("text" | "vtt" | "ass" | "ssa", Container::Mp4 | Container::Mov) => Some(Self::Plain),
            _ => None,
        }
    }
}

/// Places in the list of streams that are chosen, and in words what was chosen in vain.
fn pick(choice: &Choice, streams: &[&StreamInfo]) -> (Vec<usize>, Vec<String>) {
    let picks = match choice {
        Choice::First(count) => return ((0..streams.len()).take(*count as usize).collect(), Vec::new()),
        Choice::All => return ((0..streams.len()).collect(), Vec::new()),
        Choice::These(picks) => picks,
    };
    let (mut taken, mut missing) = (Vec::new(), Vec::new());
    for pick in picks {
        let fits = |at: &usize| match pick {
            Pick::Number(number) => at + 1 == *number as usize,
            Pick::Language(code) => same_language(code, &spoken(streams[*at])),
        };
        let found: Vec<usize> = (0..streams.len()).filter(fits).collect();
        if found.is_empty() {
            missing.push(match pick {
                Pick::Number(number) => format!("number {number}"),
                Pick::Language(code) => format!("in {code}"),
            });
        }
        for at in found {
            if !taken.contains(&at) {
                taken.push(at);
            }
        }
    }
    (taken, missing)
}

/// How many streams somebody misses where they are not there: who lists some does not miss the others.
fn wanted<T>(choice: &Choice, all: &[T], taken: usize) -> usize {
    match choice {
        Choice::These(_) => taken,
        _ => all.len(),
    }
}

fn numbered(media: &MediaInfo) -> impl Iterator<Item = (u32, &StreamInfo)> {
    (0..).zip(&media.streams)
}

fn spoken(stream: &StreamInfo) -> String {
    stream.language.as_deref().unwrap_or("und").to_lowercase()
}

/// `2: deu, und`.
fn counted(languages: &[String]) -> String {
    format!("{} ({})", languages.len(), languages.join(", "))
}

fn absent(sort: &str, what: &str) -> Finding {
    Finding {
        kind: FindingKind::StreamMissing,
        message: format!("the source has no {sort} {what}, so it is not in the result"),
    }
}

/// Streams of the source that are left out though nobody asked for that.
pub(super) fn left_out(count: usize, what: &str) -> Option<Finding> {
    let message = match count {
        0 => return None,
        1 => format!("1 {what} of the source is not in the result"),
        _ => format!("{count} {what}s of the source are not in the result"),
    };
    Some(Finding {
        kind: FindingKind::StreamLeftOut,
        message,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing::{audio, media, stream};
    use crate::rule::{Track, Tracks};
    use std::time::Duration;

    fn of(language: Option<&str>) -> StreamInfo {
        let mut one = audio(2, 48_000);
        one.language = language.map(str::to_owned);
        one
    }

    #[test]
    fn streams_are_taken_in_the_order_of_the_list_and_each_once() {
        let streams = [of(Some("deu")), of(Some("en")), of(None), of(Some("ger"))];
        let streams: Vec<_> = streams.iter().collect();
        let number = |number| Pick::Number(number);
        let language = |code: &str| Pick::Language(code.to_owned());
        let told = |choice: Choice| {
            let (taken, missing) = pick(&choice, &streams);
            format!("{taken:?} {missing:?}")
        };
        let table = [
            told(Choice::First(0)),
            told(Choice::First(2)),
            told(Choice::First(9)),
            told(Choice::All),
            told(Choice::These(vec![number(3), number(1)])),
            told(Choice::These(vec![language("eng"), language("de")])),
            told(Choice::These(vec![number(4), language("de"), language("und")])),
            told(Choice::These(vec![language("fr"), number(5), number(2)])),
        ];
        insta::assert_snapshot!(table.join("\n"), @r#"
        [] []
        [0, 1] []
        [0, 1, 2, 3] []
        [0, 1, 2, 3] []
        [2, 0] []
        [1, 0, 3] []
        [3, 0, 2] []
        [1] ["in fr", "number 5"]
        "#);
    }

    fn transcoding(sounds: Choice, languages: &[&str]) -> Transcode {
        Transcode {
            container: Container::Mp4,
            size: crate::rule::SizeSpec::default(),
            part: crate::rule::Part::default(),
            video: Track::Copy,
            treatment: crate::rule::Treatment::default(),
            cover: crate::rule::overlay::Cover::default(),
            clips: crate::rule::Clips::default(),
            tracks: Tracks {
                sounds,
                languages: languages.iter().map(|code| (*code).to_owned()).collect(),
                ..Tracks::default()
            },
            audio: Track::Copy,
        }
    }

    #[test]
    fn a_sound_that_is_over_before_the_part_begins_is_left_out() {
        let (mut short, mut long) = (of(Some("deu")), of(Some("eng")));
        short.duration = Some(Duration::from_secs(2));
        long.duration = Some(Duration::from_secs(9));
        let medium = media(vec![stream(StreamKind::Other), short, long, of(None)]);
        let settings = transcoding(Choice::All, &["de", "en"]);
        let told = |start: u64| {
            let span = Span {
                start: Duration::from_secs(start),
                end: None,
            };
            let chosen = chosen(&medium, &settings, span).unwrap();
            let sounds = chosen.plan.sounds.iter();
            let sounds: Vec<_> = sounds
                .map(|sound| (sound.stream, sound.language.clone().unwrap_or_default()))
                .collect();
            let said: Vec<_> = chosen.findings.into_iter().map(|finding| finding.message).collect();
            format!("{sounds:?} {said:?}")
        };
        insta::assert_snapshot!([told(0), told(1), told(2)].join("\n"), @r#"
        [(1, "de"), (2, "en"), (3, "")] []
        [(1, "de"), (2, "en"), (3, "")] []
        [(2, "en"), (3, "")] ["audio track 1 of the source is not in the result: it is over before the wanted part begins"]
        "#);
    }

    #[test]
    fn subtitles_become_what_the_container_holds() {
        let table: Vec<_> = ["text", "vtt", "ass", "dvd", "pgs"]
            .into_iter()
            .map(|format| {
                let each = [
                    Container::Mkv,
                    Container::Mp4,
                    Container::Mov,
                    Container::Webm,
                    Container::Ts,
                ];
                let of = |from| {
                    format!(
                        "{format}: {:?}",
                        each.map(|container| Lines::of(format, from, container))
                    )
                };
                let told = [of("Matroska"), of("MPEG-TS")];
                // Only of pictures it matters where they come from.
                told[..if told[0] == told[1] { 1 } else { 2 }].join("\n")
            })
            .collect();
        insta::assert_snapshot!(table.join("\n"), @r"
        text: [Some(Marked), Some(Plain), Some(Plain), Some(Vtt), None]
        vtt: [Some(Marked), Some(Plain), Some(Plain), Some(Vtt), None]
        ass: [Some(Kept), Some(Plain), Some(Plain), Some(Vtt), None]
        dvd: [Some(Kept), None, None, None, None]
        dvd: [None, None, None, None, None]
        pgs: [Some(Kept), None, None, None, None]
        pgs: [None, None, None, None, None]
        ");
        let _ = media(vec![stream(StreamKind::Subtitle)]);
    }
}
