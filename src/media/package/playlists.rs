//! Playlists of HLS (RFC 8216).

use std::fmt::Write as _;

use super::bandwidth::{self, Piece};
use super::track::{FIRST, Written};

/// A file of a media playlist, and how long it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<'a> {
    /// As the playlist names it.
    pub file: &'a str,
    /// When it begins and ends, in ticks.
    pub span: (u64, u64),
    /// Which part of the file, where not all of it: offset and length in bytes.
    pub part: Option<(u64, u64)>,
}

/// What a media playlist says besides its files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Head<'a> {
    /// Ticks a second.
    pub timescale: u32,
    /// What comes before the segments.
    pub init: Option<&'a str>,
    /// Where the key is asked for.
    pub key: Option<&'a str>,
    /// Its parts are key frames alone.
    pub key_frames: bool,
    /// How long files are at most, as [`target`] has it: of all films and sounds together, which must say the same.
    pub target: u64,
}

/// The longest file to the nearest second, and at least one: no length that is rounded so may be above it.
#[must_use]
pub fn target<'a>(entries: impl Iterator<Item = &'a Entry<'a>>, timescale: u32) -> u64 {
    let timescale = u64::from(timescale.max(1));
    let lengths = entries.map(|entry| (2 * (entry.span.1 - entry.span.0) + timescale) / (2 * timescale));
    lengths.max().unwrap_or(1).max(1)
}

/// A media playlist. The lengths add up to the whole, whatever is rounded.
#[must_use]
pub fn media(head: &Head<'_>, entries: &[Entry<'_>]) -> String {
    // Parts of files in fragments need version 6, init segments of other playlists than those of key frames too.
    let mut out = String::from("#EXTM3U\n#EXT-X-VERSION:6\n");
    let target = head.target;
    let _ = write!(
        out,
        "#EXT-X-TARGETDURATION:{target}\n#EXT-X-MEDIA-SEQUENCE:{FIRST}\n#EXT-X-PLAYLIST-TYPE:VOD\n"
    );
    if head.key_frames {
        out.push_str("#EXT-X-I-FRAMES-ONLY\n");
    }
    // A key holds for what comes after it: the init segment is not encrypted.
    if let Some(init) = head.init {
        let _ = writeln!(out, "#EXT-X-MAP:URI=\"{init}\"");
    }
    if let Some(key) = head.key {
        let _ = writeln!(out, "#EXT-X-KEY:METHOD=AES-128,URI=\"{key}\"");
    }
    let origin = entries.first().map_or(0, |entry| entry.span.0);
    let micros = |at: u64| micros(at - origin, head.timescale);
    for entry in entries {
        let length = micros(entry.span.1) - micros(entry.span.0);
        let _ = writeln!(out, "#EXTINF:{}.{:06},", length / 1_000_000, length % 1_000_000);
        if let Some((offset, bytes)) = entry.part {
            let _ = writeln!(out, "#EXT-X-BYTERANGE:{bytes}@{offset}");
        }
        out.push_str(entry.file);
        out.push('\n');
    }
    out.push_str("#EXT-X-ENDLIST\n");
    out
}

fn micros(ticks: u64, timescale: u32) -> u128 {
    let timescale = u128::from(timescale.max(1));
    (u128::from(ticks) * 1_000_000 + timescale / 2) / timescale
}

/// The segments of a track as entries.
#[must_use]
pub fn entries(track: &Written) -> Vec<Entry<'_>> {
    let segments = track.segments.iter().map(|segment| Entry {
        file: &segment.file,
        span: (segment.start, segment.end),
        part: None,
    });
    segments.collect()
}

/// The key frames of a track as entries: each is shown until the next.
#[must_use]
pub fn key_frames(track: &Written) -> Vec<Entry<'_>> {
    let keys = || {
        track
            .segments
            .iter()
            .flat_map(|segment| segment.keys.iter().map(move |key| (segment, key)))
    };
    let ends = keys().skip(1).map(|(_, key)| key.at);
    let ends = ends.chain(track.segments.last().map(|last| last.end));
    let entries = keys().zip(ends).map(|((segment, key), end)| Entry {
        file: &segment.file,
        span: (key.at, end),
        part: Some((key.offset, key.bytes)),
    });
    entries.collect()
}

/// What a track takes from the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// Bits a second at most.
    pub peak: u64,
    /// Bits a second of all of it.
    pub average: u64,
}

/// Of a whole track.
#[must_use]
pub fn load(track: &Written) -> Load {
    let pieces = track
        .segments
        .iter()
        .map(|segment| (segment.start, segment.end, segment.bytes));
    of(pieces, track.order.timescale)
}

/// Of its key frames.
#[must_use]
pub fn load_of_key_frames(track: &Written) -> Load {
    let entries = key_frames(track);
    let pieces = entries.iter().map(|entry| {
        let bytes = entry.part.map_or(0, |(_, bytes)| bytes);
        (entry.span.0, entry.span.1, bytes)
    });
    of(pieces, track.order.timescale)
}

/// Of pieces with a beginning, an end, and bytes.
#[must_use]
pub fn of(pieces: impl Iterator<Item = (u64, u64, u64)>, timescale: u32) -> Load {
    let seconds = |ticks: u64| ticks as f64 / f64::from(timescale.max(1));
    let pieces: Vec<Piece> = pieces
        .map(|(start, end, bytes)| (seconds(end - start), bytes))
        .collect();
    let target = pieces.iter().map(|(length, _)| length.round()).fold(1.0, f64::max);
    Load {
        peak: bandwidth::peak(&pieces, target),
        average: bandwidth::average(&pieces),
    }
}

/// A form of the film for the master playlist.
#[derive(Debug, Clone, PartialEq)]
pub struct Variant {
    /// Its media playlist.
    pub uri: String,
    /// With the heaviest sound.
    pub load: Load,
    /// Of film and sound.
    pub codecs: Vec<String>,
    /// In pixels; none where there is no film.
    pub size: Option<(u32, u32)>,
    /// Frames a second.
    pub fps: f64,
    /// Its high dynamic range, in the word of HLS.
    pub range: Option<&'static str>,
    /// Playlist of its key frames, and what that takes.
    pub key_frames: Option<(String, Load)>,
}

/// A track beside the film.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beside {
    /// Its media playlist.
    pub uri: String,
    /// For people; unlike those of all others.
    pub name: String,
    /// As BCP 47 has it.
    pub language: Option<String>,
    /// How many channels; none for subtitles.
    pub channels: Option<u32>,
}

/// The playlist that players open.
#[must_use]
pub fn master(variants: &[Variant], sounds: &[Beside], subtitles: &[Beside]) -> String {
    let mut out = String::from("#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-INDEPENDENT-SEGMENTS\n");
    for (index, sound) in sounds.iter().enumerate() {
        out.push_str("#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\"");
        beside(&mut out, sound, index == 0);
    }
    for text in subtitles {
        out.push_str("#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"subtitles\"");
        beside(&mut out, text, false);
    }
    for variant in variants {
        let Load { peak, average } = variant.load;
        let codecs = variant.codecs.join(",");
        let _ = write!(
            out,
            "#EXT-X-STREAM-INF:BANDWIDTH={peak},AVERAGE-BANDWIDTH={average},CODECS=\"{codecs}\""
        );
        if let Some((width, height)) = variant.size {
            let _ = write!(out, ",RESOLUTION={width}x{height},FRAME-RATE={:.3}", variant.fps);
        }
        out.push_str(&range(variant, variants));
        if !sounds.is_empty() {
            out.push_str(",AUDIO=\"audio\"");
        }
        if !subtitles.is_empty() {
            out.push_str(",SUBTITLES=\"subtitles\"");
        }
        let _ = writeln!(out, "\n{}", variant.uri);
    }
    for variant in variants {
        let Some(((uri, load), (width, height))) = variant.key_frames.as_ref().zip(variant.size) else {
            continue;
        };
        let _ = writeln!(
            out,
            "#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH={},AVERAGE-BANDWIDTH={},CODECS=\"{}\",RESOLUTION={width}x{height}{},URI=\"{uri}\"",
            load.peak,
            load.average,
            variant.codecs.first().map_or("", String::as_str),
            range(variant, variants),
        );
    }
    out
}

/// Where one of several variants has a high dynamic range, all say theirs; else players take the usual one.
fn range(variant: &Variant, of: &[Variant]) -> String {
    if variant.size.is_none() || of.iter().all(|one| one.range.is_none()) {
        return String::new();
    }
    format!(",VIDEO-RANGE={}", variant.range.unwrap_or("SDR"))
}

fn beside(out: &mut String, track: &Beside, default: bool) {
    let _ = write!(out, ",NAME=\"{}\"", quoted(&track.name));
    if let Some(language) = &track.language {
        let _ = write!(out, ",LANGUAGE=\"{}\"", quoted(language));
    }
    let _ = write!(out, ",DEFAULT={},AUTOSELECT=YES", if default { "YES" } else { "NO" });
    if let Some(channels) = track.channels {
        let _ = write!(out, ",CHANNELS=\"{channels}\"");
    } else {
        out.push_str(",FORCED=NO");
    }
    let _ = writeln!(out, ",URI=\"{}\"", track.uri);
}

/// What may stand between quotes.
fn quoted(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() && *c != '"').collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(file: &str, span: (u64, u64)) -> Entry<'_> {
        Entry { file, span, part: None }
    }

    #[test]
    fn lengths_are_exact_and_add_up() {
        let thirds = [entry("a.m4s", (1, 2)), entry("b.m4s", (2, 3)), entry("c.m4s", (3, 4))];
        let head = Head {
            timescale: 3,
            init: Some("init.mp4"),
            key: Some("https://keys.example/1"),
            key_frames: false,
            target: 1,
        };
        insta::assert_snapshot!(media(&head, &thirds), @r#"
        #EXTM3U
        #EXT-X-VERSION:6
        #EXT-X-TARGETDURATION:1
        #EXT-X-MEDIA-SEQUENCE:1
        #EXT-X-PLAYLIST-TYPE:VOD
        #EXT-X-MAP:URI="init.mp4"
        #EXT-X-KEY:METHOD=AES-128,URI="https://keys.example/1"
        #EXTINF:0.333333,
        a.m4s
        #EXTINF:0.333334,
        b.m4s
        #EXTINF:0.333333,
        c.m4s
        #EXT-X-ENDLIST
        "#);
    }

    #[test]
    fn no_file_is_longer_than_the_target_once_it_is_rounded() {
        let table = [((0, 400), 4), ((0, 449), 4), ((0, 450), 5), ((0, 1), 1)];
        for (span, wanted) in table {
            assert_eq!(target([entry("a", span)].iter(), 100), wanted, "{span:?}");
        }
    }

    #[test]
    fn a_master_names_everything_once() {
        let load = Load { peak: 3, average: 2 };
        let film = Variant {
            uri: "job/720p.m3u8".to_owned(),
            load,
            codecs: vec!["avc1.64001f".to_owned(), "mp4a.40.2".to_owned()],
            size: Some((1280, 720)),
            fps: 30000.0 / 1001.0,
            range: None,
            key_frames: Some(("job/720p-iframes.m3u8".to_owned(), load)),
        };
        let beside = |uri: &str, name: &str, channels| Beside {
            uri: uri.to_owned(),
            name: name.to_owned(),
            language: Some("de".to_owned()),
            channels,
        };
        let sounds = [beside("job/audio-1.m3u8", "Say \"hi\"\n", Some(2))];
        let texts = [beside("job/subtitles-1.m3u8", "Deutsch", None)];
        insta::assert_snapshot!(master(&[film], &sounds, &texts), @r#"
        #EXTM3U
        #EXT-X-VERSION:6
        #EXT-X-INDEPENDENT-SEGMENTS
        #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio",NAME="Say hi",LANGUAGE="de",DEFAULT=YES,AUTOSELECT=YES,CHANNELS="2",URI="job/audio-1.m3u8"
        #EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="subtitles",NAME="Deutsch",LANGUAGE="de",DEFAULT=NO,AUTOSELECT=YES,FORCED=NO,URI="job/subtitles-1.m3u8"
        #EXT-X-STREAM-INF:BANDWIDTH=3,AVERAGE-BANDWIDTH=2,CODECS="avc1.64001f,mp4a.40.2",RESOLUTION=1280x720,FRAME-RATE=29.970,AUDIO="audio",SUBTITLES="subtitles"
        job/720p.m3u8
        #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=3,AVERAGE-BANDWIDTH=2,CODECS="avc1.64001f",RESOLUTION=1280x720,URI="job/720p-iframes.m3u8"
        "#);
    }
}
