//! The renditions of a package: words and tables, and how they are encoded.

use std::collections::HashSet;

use super::kinds::size;
use super::or_default;
use super::video::packaged;
use crate::diagnostic::reader::{Table, Value};
use crate::rule::{Forms, PACKAGED, Rendition, Renditions, Rung, Track, VideoCodec, VideoSpec};

/// What other files of a package are called, or begin or end with.
const TAKEN: [&str; 3] = ["master", "manifest", "key"];
const BEGINNINGS: [&str; 2] = ["audio-", "subtitles-"];
const ENDINGS: [&str; 2] = ["-iframes", "-init"];

/// The most renditions of a package.
const MOST: usize = 12;

/// What of a package bears on how its film is encoded.
#[derive(Clone, Copy)]
pub(super) struct Packaging {
    /// Its segments are transport streams.
    pub streams: bool,
    /// A high dynamic range is kept, where the codec can.
    pub hdr: bool,
}

impl Packaging {
    /// Whether it can hold this codec, which `value` names.
    fn holds(self, codec: VideoCodec, value: &Value<'_>) -> bool {
        if !PACKAGED.contains(&codec) {
            let words = PACKAGED.map(|codec| format!("\"{}\"", codec.word()));
            value.error(
                format!("a package holds no \"{}\"", codec.word()),
                format!("it holds {}", words.join(", ")),
            );
            return false;
        }
        if self.streams && codec != VideoCodec::H264 {
            value.error(
                format!("transport streams for HLS hold no \"{}\"", codec.word()),
                "take `segments = \"ts\"` out: players take it in fragments of MP4 alone",
            );
            return false;
        }
        true
    }
}

/// `renditions` and `codec`.
pub(super) fn renditions(table: &mut Table<'_>, packaging: Packaging) -> Option<Renditions> {
    let (value, codec) = (table.get("renditions"), table.get("codec"));
    let all = value.as_ref().filter(|value| value.is_list()).and_then(Value::list);
    let counted = all.as_ref().is_none_or(|all| (1..=MOST).contains(&all.len()));
    if let (Some(value), false) = (&value, counted) {
        let message = format!("`{}` needs 1 to {MOST} renditions", value.path);
        value.error(message, "renditions = [\"1080p\", \"720p\"], or \"auto\"");
    }
    let is_word = |all: &Vec<Value<'_>>| all.is_empty() || all.iter().any(|one| !one.is_table());
    let has_words = all.as_ref().is_none_or(is_word);
    if let (Some(codec), false) = (&codec, has_words) {
        codec.key_error(
            format!("`{}` has no effect: every rendition says how it is encoded", codec.path),
            "take it out, or write it into each: video = { codec = \"h265\" }",
        );
    }
    let forms = forms(codec.as_ref(), packaging);
    let Some((all, value)) = all.zip(value.as_ref()) else {
        let auto = |value: &Value<'_>| {
            if value.is_text() {
                value.one_of(&[("auto", ())], &[])
            } else {
                value.list().map(drop)
            }
        };
        or_default(value, (), auto)?;
        let forms = forms?;
        let (count, most) = (forms.codecs.len(), forms.codecs.len() * Rung::LONGEST);
        if let (Some(codec), true) = (&codec, most > MOST) {
            codec.error(
                format!("a ladder in {count} codecs may have {most} renditions"),
                format!(
                    "at most {MOST}: take {} codecs, or name the renditions",
                    MOST / Rung::LONGEST
                ),
            );
            return None;
        }
        return Some(Renditions::Auto(forms));
    };
    let read: Vec<_> = all
        .iter()
        .map(|one| (one, rendition(one, forms.as_ref(), packaging)))
        .collect();
    named(value, &read).filter(|_| counted)
}

/// How words are encoded: in one codec, or in several.
fn forms(value: Option<&Value<'_>>, packaging: Packaging) -> Option<Forms> {
    let forms = |codecs| Forms {
        codecs,
        hdr: packaging.hdr,
    };
    let Some(value) = value else {
        return Some(forms(vec![PACKAGED[0]]));
    };
    let list = if value.is_list() {
        value.list()?
    } else {
        vec![value.clone()]
    };
    let words = PACKAGED.map(|codec| (codec.word(), codec));
    let read: Vec<_> = list
        .iter()
        .map(|one| one.one_of(&words, &[]).filter(|codec| packaging.holds(*codec, one)))
        .collect();
    let codecs: Vec<VideoCodec> = read.into_iter().collect::<Option<_>>()?;
    let different: HashSet<_> = codecs.iter().map(|codec| codec.word()).collect();
    if codecs.is_empty() || different.len() < codecs.len() {
        value.error(
            format!("`{}` names no codec, or one twice", value.path),
            "codec = \"h265\", or codec = [\"h264\", \"h265\"]",
        );
        return None;
    }
    Some(forms(codecs))
}

/// All renditions, where they can be in one package.
fn named(value: &Value<'_>, read: &[(&Value<'_>, Option<Vec<Rendition>>)]) -> Option<Renditions> {
    let mut names = HashSet::new();
    let mut sound = true;
    let mut first: Option<&VideoSpec> = None;
    let word = read
        .iter()
        .find_map(|(value, _)| value.is_text().then(|| value.text())?);
    for (value, renditions) in read {
        let Some(renditions) = renditions else {
            sound = false;
            continue;
        };
        for rendition in renditions {
            if !names.insert(rendition.name.to_ascii_lowercase()) {
                value.error(
                    format!("there are two renditions \"{}\"", rendition.name),
                    "each needs a name of its own",
                );
                sound = false;
            }
            let first = *first.get_or_insert(&rendition.video);
            if first.gop != rendition.video.gop || first.fps != rendition.video.fps {
                let help = word.map_or_else(String::new, |word| {
                    format!(": \"{word}\" says neither, so write that as a table, too")
                });
                value.error(
                    "renditions are cut at the same pictures",
                    format!("give all of them the same `gop` and `fps`{help}"),
                );
                sound = false;
            }
        }
    }
    let all: Vec<_> = read
        .iter()
        .filter_map(|(_, renditions)| renditions.clone())
        .flatten()
        .collect();
    // Where the list itself is too long, that is said.
    if all.len() > MOST && read.len() <= MOST {
        let message = format!(
            "`{}` are {} renditions, with each word in every codec",
            value.path,
            all.len()
        );
        value.error(message, format!("at most {MOST}"));
        return None;
    }
    sound.then_some(Renditions::Named(all))
}

/// A word, in every codec, or a table.
fn rendition(value: &Value<'_>, forms: Option<&Forms>, packaging: Packaging) -> Option<Vec<Rendition>> {
    if value.is_text() {
        let words = Rung::ALL.map(|rung| (rung.word, rung));
        let rung = value.one_of(&words, &[])?;
        return Some(forms?.of(|codec| vec![rung.rendition(codec)]));
    }
    let mut table = value.table()?;
    let named = table.get("name");
    if named.is_none() {
        value.error(
            "a rendition has no name",
            "what its files are called by: name = \"720p\"",
        );
    }
    let name = named.and_then(|value| name(&value));
    let size = size(&mut table);
    let video_value = table.get("video");
    let video = packaged(video_value.as_ref(), packaging.hdr);
    let video = video.and_then(|track| film(track, value, video_value.as_ref(), packaging));
    table.finish(&[]);
    Some(vec![Rendition {
        name: name?,
        size: size?,
        video: video?,
    }])
}

fn name(value: &Value<'_>) -> Option<String> {
    let text = value.text()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let good = (1..=32).contains(&text.len()) && text.bytes().all(plain) && !text.starts_with(['-', '_']);
    if !good {
        let message = format!("\"{}\" is no name of a rendition", text.escape_debug());
        value.error(message, "1 to 32 letters, digits, '-' or '_', not at the beginning");
        return None;
    }
    let lower = text.to_ascii_lowercase();
    let taken = TAKEN.contains(&lower.as_str())
        || BEGINNINGS.iter().any(|word| lower.starts_with(word))
        || ENDINGS.iter().any(|word| lower.ends_with(word));
    if taken {
        let message = format!("\"{text}\" is a name of other files of the package");
        value.error(message, "call it by its size: \"720p\"");
        return None;
    }
    Some(text.to_owned())
}

fn film(
    track: Track<VideoSpec>,
    value: &Value<'_>,
    video: Option<&Value<'_>>,
    packaging: Packaging,
) -> Option<VideoSpec> {
    match track {
        Track::Encode(spec) => {
            let table = video.filter(|video| video.is_table()).and_then(Value::table);
            let codec = table.and_then(|mut table| table.get("codec"));
            packaging
                .holds(spec.codec, codec.as_ref().unwrap_or(value))
                .then_some(spec)
        }
        Track::Copy | Track::None => {
            value.error(
                "every rendition is encoded",
                "write video = { crf = 23 }, or take `video` out",
            );
            None
        }
    }
}
