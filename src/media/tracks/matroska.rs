//! The description of tracks in a Matroska file (RFC 9559): which are taken by default, and what subtitles of `WebM` are.
//! The muxer of GStreamer 1.22 calls every track a default one, and knows no subtitles of `WebM`. What it is told of the film it may
//! write as a program would (see [`labels`]).
//!
//! Nothing moves: a track's description stays as long as it is, and what gets free is declared void.

use std::fs::OpenOptions;
use std::io::{self, Read, Seek, SeekFrom, Write};

use super::{Flags, foreign, labels};

/// How much of the beginning of a file is looked at.
const BEGINNING: u64 = 4 << 20;

/// How much of what is said about a film is looked at; pictures are not among it.
const LARGEST_LABELS: u64 = 4 << 20;

pub(super) const SEGMENT: u32 = 0x1853_8067;
const TRACKS: u32 = 0x1654_ae6b;
const ENTRY: u32 = 0xae;
const TYPE: u32 = 0x83;
const DEFAULT: u32 = 0x88;
const LANGUAGE: u32 = 0x0022_b59c;
const NAME: u32 = 0x536e;
const CODEC: u32 = 0x86;
const PRIVATE: u32 = 0x63a2;
const VOID: u8 = 0xec;

const SOUND: &[u8] = &[2];
const SUBTITLE: &[u8] = &[0x11];

/// What the muxer calls tracks that have no title.
const NO_TITLES: [&[u8]; 3] = [b"Video", b"Audio", b"Subtitle"];

/// Writes into a finished file which tracks are taken by default.
///
/// # Errors
/// Where the file cannot be read or written, or has another form.
pub fn mend(file: &str, flags: &Flags) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).write(true).open(file)?;
    let mut bytes = Vec::new();
    (&mut file).take(BEGINNING).read_to_end(&mut bytes)?;
    // Codecs may say a lot, pictures among it.
    let rest = tracks(&bytes).map_or(0, |tracks| tracks.to.saturating_sub(bytes.len()));
    (&mut file).take(rest as u64).read_to_end(&mut bytes)?;
    for (at, mended) in mended(&bytes, flags).ok_or(io::ErrorKind::InvalidData)? {
        file.seek(SeekFrom::Start(at as u64))?;
        file.write_all(&mended)?;
    }
    let Some(at) = labels::place(&bytes) else {
        return Ok(());
    };
    let mut told = Vec::new();
    file.seek(SeekFrom::Start(at))?;
    (&mut file).take(LARGEST_LABELS).read_to_end(&mut told)?;
    for (place, mended) in labels::mended(&told) {
        file.seek(SeekFrom::Start(at + place as u64))?;
        file.write_all(&mended)?;
    }
    Ok(())
}

/// New descriptions of tracks, each with its place; none where this is no such file.
fn mended(bytes: &[u8], flags: &Flags) -> Option<Vec<(usize, Vec<u8>)>> {
    let tracks = tracks(bytes)?;
    let (mut sounds, mut subtitles) = (flags.sounds.iter(), flags.subtitles.iter());
    let mut done = Vec::new();
    for (entry, content) in children(bytes, tracks.from, tracks.to).filter(|(one, _)| one.id == ENTRY) {
        let mut fields: Vec<(u32, Vec<u8>)> = children(content, 0, content.len())
            .map(|(field, value)| (field.id, value.to_vec()))
            .collect();
        let sort = fields
            .iter()
            .find(|(id, _)| *id == TYPE)
            .map(|(_, value)| value.clone())?;
        let default = match sort.as_slice() {
            SOUND => sounds.next(),
            SUBTITLE => subtitles.next(),
            _ => None,
        };
        for (id, value) in &mut fields {
            if matches!(*id, LANGUAGE | NAME | CODEC) {
                let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
                value.truncate(end);
            }
        }
        fields.retain(|(id, value)| {
            let says_default = *id == DEFAULT && default.is_some();
            let has_no_title = *id == NAME && NO_TITLES.contains(&value.as_slice());
            !says_default && !has_no_title
        });
        if default == Some(&false) {
            fields.push((DEFAULT, vec![0]));
        }
        let private = fields.iter().position(|(id, _)| *id == PRIVATE);
        let named = private.and_then(|at| {
            let (codec, description) = foreign::named(&fields[at].1)?;
            Some((at, codec.to_vec(), description.to_vec()))
        });
        if let Some((at, name, description)) = named {
            let codec = fields.iter_mut().find(|(id, _)| *id == CODEC)?;
            codec.1 = name;
            if description.is_empty() {
                fields.remove(at);
            } else {
                fields[at].1 = description;
            }
        }
        done.push((entry.from, written(&fields, content.len())?));
    }
    Some(done)
}

/// Where tracks are described; that may go on behind what was read.
fn tracks(bytes: &[u8]) -> Option<Element> {
    let (segment, _) = children(bytes, 0, usize::MAX).find(|(one, _)| one.id == SEGMENT)?;
    let mut all = children(bytes, segment.from, segment.to);
    all.find_map(|(one, _)| (one.id == TRACKS).then_some(one))
}

/// An element: where its content lies.
pub(super) struct Element {
    pub id: u32,
    pub from: usize,
    pub to: usize,
}

/// The elements within a part of a file, with their contents, as far as they are there.
pub(super) fn children(bytes: &[u8], from: usize, to: usize) -> impl Iterator<Item = (Element, &[u8])> {
    let mut at = from;
    std::iter::from_fn(move || {
        let rest = bytes.get(at..to.min(bytes.len()))?;
        let width = rest.first()?.leading_zeros() as usize + 1;
        let id = rest.get(..width).filter(|_| width <= 4)?;
        let id = id.iter().fold(0, |id, byte| id << 8 | u32::from(*byte));
        let (length, head) = length(&rest[width..])?;
        let from = at + width + head;
        // A length that nobody knew goes to the end.
        let to = length.and_then(|length| from.checked_add(length)).unwrap_or(to).min(to);
        at = to;
        Some((Element { id, from, to }, bytes.get(from..to.min(bytes.len()))?))
    })
}

/// A length, none where it is unknown, and how many bytes say it.
fn length(bytes: &[u8]) -> Option<(Option<usize>, usize)> {
    let first = *bytes.first()?;
    let width = first.leading_zeros() as usize + 1;
    let said = bytes.get(..width).filter(|_| width <= 8)?;
    let value = said.iter().fold(0, |value: u64, byte| value << 8 | u64::from(*byte));
    let mask = (1_u64 << (7 * width)) - 1;
    let value = value & mask;
    Some((usize::try_from(value).ok().filter(|_| value != mask), width))
}

/// Fields one after the other, in exactly so many bytes; none where they do not fit.
pub(super) fn written(fields: &[(u32, Vec<u8>)], room: usize) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(room);
    for (id, value) in fields {
        let id = id.to_be_bytes();
        out.extend(&id[id.iter().position(|byte| *byte != 0)?..]);
        out.extend(sized(value.len())?);
        out.extend(value);
    }
    match room.checked_sub(out.len())? {
        0 => {}
        1 => {
            // No void is so small: a length may be written longer than it needs to be.
            let (_, last) = fields.last()?;
            let width = sized(last.len())?.len();
            let at = out.len() - last.len() - width;
            out.splice(at..at + width, sized_in(last.len(), width + 1)?);
        }
        left @ ..129 => {
            out.extend([VOID, 0x80 | u8::try_from(left - 2).ok()?]);
            out.resize(room, 0);
        }
        left => {
            // Its length is written as long as the room says, for what fits a room of its own size may lack a byte.
            let width = (2..=8).find(|width| ((left - 1 - width) as u64) < (1 << (7 * width)) - 1)?;
            out.push(VOID);
            out.extend(sized_in(left - 1 - width, width)?);
            out.resize(room, 0);
        }
    }
    Some(out)
}

/// A length in as few bytes as say it.
fn sized(length: usize) -> Option<Vec<u8>> {
    (1..=8).find_map(|width| sized_in(length, width))
}

/// A length in so many bytes; none where they are too few. That all bits are set says that nobody knows it.
fn sized_in(length: usize, width: usize) -> Option<Vec<u8>> {
    let length = u64::try_from(length).ok()?;
    let most = (1_u64 << (7 * width)) - 1;
    let marked = (length < most).then_some(1 << (7 * width) | length)?;
    Some(marked.to_be_bytes()[8 - width..].to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(id: &[u8], content: &[u8]) -> Vec<u8> {
        let length = u16::try_from(content.len()).unwrap() | 0x4000;
        [id, &length.to_be_bytes(), content].concat()
    }

    fn track(sort: u8, name: &[u8], codec: &[u8], private: &[u8]) -> Vec<u8> {
        let fields = [
            element(&[0x83], &[sort]),
            element(&[0x22, 0xb5, 0x9c], b"und\0"),
            element(&[0x53, 0x6e], name),
            element(&[0x86], codec),
            element(&[0x63, 0xa2], private),
        ];
        element(&[0xae], &fields.concat())
    }

    /// The fields of every track, after it was mended.
    fn told(tracks: &[Vec<u8>], flags: &Flags) -> Vec<String> {
        let tracks = element(&[0x16, 0x54, 0xae, 0x6b], &tracks.concat());
        // Of a length that nobody knows.
        let mut bytes = [&[0x18, 0x53, 0x80, 0x67, 0xff][..], &tracks, &[9; 9]].concat();
        for (at, mended) in mended(&bytes, flags).unwrap() {
            bytes[at..at + mended.len()].copy_from_slice(&mended);
        }
        assert!(bytes.ends_with(&[9; 9]));
        let (tracks, _) = children(&bytes, 5, bytes.len()).next().unwrap();
        let entries = children(&bytes, tracks.from, tracks.to);
        let fields = entries.map(|(_, content)| {
            let fields = children(content, 0, content.len()).filter(|(field, _)| field.id != u32::from(VOID));
            let told = fields.map(|(field, value)| format!("{:x}={}", field.id, value.escape_ascii()));
            told.collect::<Vec<_>>().join(" ")
        });
        fields.collect()
    }

    #[test]
    fn tracks_say_whether_they_are_taken_by_default_and_nothing_moves() {
        let tracks = [
            track(1, b"Video\0", b"V_VP9\0", b""),
            track(2, b"Audio\0", b"A_OPUS\0", b"xy"),
            track(2, b"A title\0", b"A_OPUS\0", b"xy"),
            track(
                0x11,
                b"Subtitle\0",
                b"S_KATE\0",
                b"\0\x80kate\0\0\0D_WEBVTT/SUBTITLES\0",
            ),
            track(
                0x11,
                b"Words\0",
                b"S_KATE\0",
                b"\0\x80kate\0\0\0S_TEXT/ASS\0[Script Info]",
            ),
        ];
        let flags = Flags {
            sounds: vec![true, false],
            subtitles: vec![false, true],
        };
        insta::assert_snapshot!(told(&tracks, &flags).join("\n"), @r"
        83=\x01 22b59c=und 86=V_VP9 63a2=
        83=\x02 22b59c=und 86=A_OPUS 63a2=xy
        83=\x02 22b59c=und 536e=A title 86=A_OPUS 63a2=xy 88=\x00
        83=\x11 22b59c=und 86=D_WEBVTT/SUBTITLES 88=\x00
        83=\x11 22b59c=und 536e=Words 86=S_TEXT/ASS 63a2=[Script Info]
        ");
        assert_eq!(mended(b"no such file", &flags), None);
    }

    #[test]
    fn what_a_codec_says_may_be_long() {
        for long in [126, 127, 128, 16_382, 16_383, 16_384, 70_000, 3 << 20] {
            let fields = [(CODEC, b"A".to_vec()), (PRIVATE, vec![7; long])];
            let least = 3 + 2 + sized(long).unwrap().len() + long;
            for room in (least..least + 9).chain([least + 127, least + 20_000]) {
                let out = written(&fields, room).unwrap();
                assert_eq!(out.len(), room);
                let found: Vec<_> = children(&out, 0, room)
                    .map(|(one, value)| (one.id, value.len()))
                    .collect();
                assert_eq!(found[..2], [(CODEC, 1), (PRIVATE, long)], "{room}");
                assert!(found.len() <= 3, "{found:?}");
            }
            assert_eq!(written(&fields, least - 1), None);
        }
    }

    #[test]
    fn what_is_left_is_filled_however_little_it_is() {
        let fields = [(CODEC, b"A".to_vec()), (DEFAULT, vec![0])];
        for room in 6..400 {
            let out = written(&fields, room).unwrap();
            assert_eq!(out.len(), room);
            let found: Vec<_> = children(&out, 0, room).map(|(field, _)| field.id).collect();
            assert!(
                found.starts_with(&[CODEC, DEFAULT]) && found.len() <= 3,
                "{room}: {found:?}"
            );
        }
        assert_eq!(written(&fields, 5), None);
    }
}
