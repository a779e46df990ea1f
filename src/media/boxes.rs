//! The boxes of an MP4 file (ISO/IEC 14496-12): where its index lies, which way its film is turned, and where its sound
//! begins.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;

/// Whether `moov` comes before the first `mdat`.
///
/// # Errors
/// Where the file cannot be read, or has no `moov` at all.
pub fn index_in_front(file: &mut (impl Read + Seek)) -> io::Result<bool> {
    let mut media_seen = false;
    index(file, |before| media_seen |= before == b"mdat")?;
    Ok(!media_seen)
}

/// Where the content of `moov` lies in the file; every box before it is shown to `pass`.
fn index(file: &mut (impl Read + Seek), mut pass: impl FnMut(&[u8; 4])) -> io::Result<Range<u64>> {
    let end = file.seek(SeekFrom::End(0))?;
    let mut at = 0_u64;
    while at + 8 <= end {
        file.seek(SeekFrom::Start(at))?;
        let mut head = [0_u8; 16];
        file.read_exact(&mut head[..8])?;
        let name = [head[4], head[5], head[6], head[7]];
        let (length, skip) = match u32::from_be_bytes([head[0], head[1], head[2], head[3]]) {
            0 => (end - at, 8),
            1 => {
                file.read_exact(&mut head[8..])?;
                let long = head[8..].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
                (long, 16)
            }
            short => (u64::from(short), 8),
        };
        if length < skip {
            break;
        }
        if &name == b"moov" {
            return Ok(at + skip..at.saturating_add(length).min(end));
        }
        pass(&name);
        at = at.saturating_add(length);
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "the file has no index"))
}

/// The largest index that is looked into, in bytes.
const LARGEST_INDEX: u64 = 1 << 30;

/// Numbers of a matrix: with 16 bits after the point, but for its last column, which has 30.
const ZERO: [u8; 4] = [0; 4];
const ONE: [u8; 4] = [0, 1, 0, 0];
const MINUS_ONE: [u8; 4] = [0xff, 0xff, 0, 0];
const UNIT: [u8; 4] = [0x40, 0, 0, 0];

/// Writes into the film's track header that it is to be turned clockwise by these degrees: 90, 180 or 270.
///
/// # Errors
/// Where the file cannot be read or written, or has no film.
pub fn turn(file: &mut (impl Read + Write + Seek), degrees: u32) -> io::Result<()> {
    let (place, index) = whole_index(file)?;
    let film = track(&index, *b"vide");
    let header = film.and_then(|track| find(&index, track, *b"tkhd"));
    let missing = || io::Error::new(io::ErrorKind::InvalidData, "the file has no film");
    let header = header.ok_or_else(missing)?;
    // Version 1 has times of 64 bits.
    let matrix = header.start + if index.get(header.start) == Some(&1) { 52 } else { 40 };
    let sides = index
        .get(matrix + 36..matrix + 44)
        .filter(|_| matrix + 44 <= header.end)
        .ok_or_else(missing)?;
    let (width, height) = (&sides[..4], &sides[4..]);
    // Row by row: what turns the picture, and in the last what brings it back to where it is seen.
    let rows: [[&[u8]; 3]; 3] = match degrees {
        90 => [[&ZERO, &ONE, &ZERO], [&MINUS_ONE, &ZERO, &ZERO], [height, &ZERO, &UNIT]],
        180 => [
            [&MINUS_ONE, &ZERO, &ZERO],
            [&ZERO, &MINUS_ONE, &ZERO],
            [width, height, &UNIT],
        ],
        _ => [[&ZERO, &MINUS_ONE, &ZERO], [&ONE, &ZERO, &ZERO], [&ZERO, width, &UNIT]],
    };
    let written = rows.concat().concat();
    file.seek(SeekFrom::Start(place + matrix as u64))?;
    file.write_all(&written)
}

/// Writes into the track of each sound that what is heard begins after so many samples: encoders put silence in front, and
/// muxers do not say so. A file without sound stays as it is. Puts the numbers of Opus into the order of their bytes that is right, where it is not.
///
/// # Errors
/// Where the file cannot be read or written.
pub fn prime(file: &mut (impl Read + Write + Seek), silent: u32) -> io::Result<()> {
    let (place, mut index) = whole_index(file)?;
    let sounds = tracks(&index, |sort| sort == b"soun");
    if sounds.is_empty() {
        return Ok(());
    }
    for sound in sounds {
        prime_track(&mut index, sound, silent);
    }
    if let Some(film) = find(&index, 0..index.len(), *b"mvhd") {
        let longest = longest_track(&index);
        let (at, width) = duration(&index, film.start, 16);
        change(&mut index, at, width, |length| {
            longest.map_or(length, |longest| longest.min(length))
        });
    }
    file.seek(SeekFrom::Start(place))?;
    file.write_all(&index)
}

/// The same for one track of an index.
fn prime_track(index: &mut [u8], sound: Range<usize>, silent: u32) {
    let header = |within: Option<Range<usize>>, name| within.and_then(|within| find(index, within, name));
    let all = Some(0..index.len());
    let (film, media) = (header(all, *b"mvhd"), header(Some(sound.clone()), *b"mdia"));
    let per_second = |header: Option<Range<usize>>| {
        let header = header?;
        number(
            index,
            header.start + if index.get(header.start) == Some(&1) { 20 } else { 12 },
        )
    };
    let entries = header(table(index, media.clone()), *b"stsd");
    let opus = entries.and_then(|entries| {
        let entry = find(index, entries.start + 8..entries.end, *b"Opus")?;
        find(index, entry.start + 28..entry.end, *b"dOps")
    });
    let scales = per_second(film.clone()).zip(per_second(header(media, *b"mdhd")));
    let list = header(header(Some(sound.clone()), *b"edts"), *b"elst");
    let track_header = header(Some(sound), *b"tkhd");
    if let Some(opus) = opus {
        order_opus(index, opus.start);
    }
    if let (Some((whole, own)), Some(list)) = (scales.filter(|(_, own)| *own > 0), list) {
        let shorter = u64::from(silent) * u64::from(whole) / u64::from(own);
        let long = index.get(list.start) == Some(&1);
        let (step, width) = if long { (20, 8) } else { (12, 4) };
        // The last entry is the sound; one before it says that it begins late.
        let last = number(index, list.start + 4).and_then(|count| (count as usize).checked_sub(1));
        let place = last.map(|last| list.start + 8 + last * step);
        if let Some(entry) = place.filter(|at| at + step <= list.end) {
            let late = entry - step.min(entry);
            let number = |at| index.get(at..at + width).map_or(0, value);
            let gap = if last > Some(0) { number(late) } else { 0 };
            // No length at all would mean all of it.
            let possible = gap > shorter || number(entry) > shorter;
            if gap > shorter {
                change(index, late, width, |gap| gap - shorter);
            } else if possible {
                change(index, entry, width, |length| length - shorter);
                change(index, entry + width, width, |from| from + u64::from(silent));
            }
            if let Some(header) = track_header.filter(|_| possible) {
                shorten(index, header.start, 20, shorter);
            }
        }
    }
}

/// A box within the film's entry of this codec: where it begins in the file, and all of it. A file without one is none.
///
/// # Errors
/// Where the file cannot be read.
pub fn description(file: &mut (impl Read + Seek), codec: [u8; 4], name: [u8; 4]) -> io::Result<Option<(u64, Vec<u8>)>> {
    let (place, index) = whole_index(file)?;
    let media = track(&index, *b"vide").and_then(|film| find(&index, film, *b"mdia"));
    let found = table(&index, media)
        .and_then(|table| find(&index, table, *b"stsd"))
        .and_then(|entries| find(&index, entries.start + 8..entries.end, codec))
        .and_then(|entry| find(&index, entry.start + 78..entry.end, name))
        .and_then(|content| Some((content.start - 8, index.get(content.start - 8..content.end)?.to_vec())));
    Ok(found.map(|(at, whole)| (place + at as u64, whole)))
}

/// Where `moov`'s content begins in the file, and all of it.
pub fn whole_index(file: &mut (impl Read + Seek)) -> io::Result<(u64, Vec<u8>)> {
    let place = index(file, |_| ())?;
    let length = place.end - place.start;
    if length > LARGEST_INDEX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the index is too large"));
    }
    let mut index = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
    file.seek(SeekFrom::Start(place.start))?;
    file.read_exact(&mut index)?;
    Ok((place.start, index))
}

/// The sample table of a track's media.
pub fn table(index: &[u8], media: Option<Range<usize>>) -> Option<Range<usize>> {
    find(index, find(index, media?, *b"minf")?, *b"stbl")
}

/// Some writers store the numbers of Opus with their last byte first. No rate is as large as they then are.
fn order_opus(index: &mut [u8], at: usize) {
    let rate = number(index, at + 4).unwrap_or(0);
    if rate > 0xff_ffff {
        for field in [at + 2..at + 4, at + 4..at + 8, at + 8..at + 10] {
            if let Some(bytes) = index.get_mut(field) {
                bytes.reverse();
            }
        }
    }
}

/// Where the duration stands in a header of a film or track, and how wide it is; `short` is its place in version 0.
fn duration(index: &[u8], header: usize, short: usize) -> (usize, usize) {
    if index.get(header) == Some(&1) {
        (header + short + 8, 8)
    } else {
        (header + short, 4)
    }
}

fn shorten(index: &mut [u8], header: usize, short: usize, by: u64) {
    let (at, width) = duration(index, header, short);
    change(index, at, width, |length| length.saturating_sub(by));
}

fn longest_track(index: &[u8]) -> Option<u64> {
    let tracks = inner(index, 0..index.len())
        .into_iter()
        .filter(|(name, _)| name == b"trak");
    let lengths = tracks.filter_map(|(_, track)| {
        let header = find(index, track, *b"tkhd")?;
        let (at, width) = duration(index, header.start, 20);
        index.get(at..at + width).map(value)
    });
    lengths.max()
}

fn value(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

fn number(index: &[u8], at: usize) -> Option<u32> {
    let bytes = index.get(at..at + 4)?;
    u32::try_from(value(bytes)).ok()
}

/// Changes a number of so many bytes.
pub fn change(index: &mut [u8], at: usize, width: usize, to: impl FnOnce(u64) -> u64) {
    if let Some(bytes) = index.get_mut(at..at + width) {
        let changed = to(value(bytes)).to_be_bytes();
        bytes.copy_from_slice(&changed[8 - width..]);
    }
}

/// The boxes directly within this part of an index: their names and contents.
pub fn inner(index: &[u8], within: Range<usize>) -> Vec<([u8; 4], Range<usize>)> {
    let mut found = Vec::new();
    let mut at = within.start;
    while at + 8 <= within.end {
        let head = &index[at..at + 8];
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let end = at.saturating_add(length);
        if length < 8 || end > within.end {
            break;
        }
        found.push(([head[4], head[5], head[6], head[7]], at + 8..end));
        at = end;
    }
    found
}

/// The first box of this name directly within this part of an index.
pub fn find(index: &[u8], within: Range<usize>, name: [u8; 4]) -> Option<Range<usize>> {
    let boxes = inner(index, within);
    boxes
        .into_iter()
        .find_map(|(found, content)| (found == name).then_some(content))
}

/// The first track of film (`vide`) or sound (`soun`).
fn track(index: &[u8], wanted: [u8; 4]) -> Option<Range<usize>> {
    tracks(index, |sort| *sort == wanted).into_iter().next()
}

/// The tracks of the sorts that are wanted: film (`vide`), sound (`soun`) and others.
pub fn tracks(index: &[u8], is_wanted: impl Fn(&[u8; 4]) -> bool) -> Vec<Range<usize>> {
    let sort = |track: &Range<usize>| {
        let media = find(index, track.clone(), *b"mdia")?;
        let handler = find(index, media, *b"hdlr")?;
        index.get(handler.start + 8..handler.start + 12)?.try_into().ok()
    };
    let all = inner(index, 0..index.len()).into_iter();
    let tracks = all.filter(|(name, _)| name == b"trak").map(|(_, track)| track);
    tracks
        .filter(|track| sort(track).is_some_and(|sort| is_wanted(&sort)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn file(boxes: &[(&[u8; 4], usize)]) -> Cursor<Vec<u8>> {
        let mut bytes = Vec::new();
        for (name, payload) in boxes {
            bytes.extend(u32::try_from(payload + 8).expect("small").to_be_bytes());
            bytes.extend(*name);
            bytes.extend(vec![0; *payload]);
        }
        Cursor::new(bytes)
    }

    #[test]
    fn the_index_is_found_in_front_and_at_the_end() {
        assert!(index_in_front(&mut file(&[(b"ftyp", 8), (b"moov", 20), (b"mdat", 9)])).expect("read"));
        assert!(!index_in_front(&mut file(&[(b"ftyp", 8), (b"mdat", 9), (b"moov", 20)])).expect("read"));
    }

    #[test]
    fn a_turn_is_written_into_the_film_and_nowhere_else() {
        let wrapped = |name: &[u8; 4], content: &[u8]| {
            let mut bytes = u32::try_from(content.len() + 8).expect("small").to_be_bytes().to_vec();
            bytes.extend(name);
            bytes.extend(content);
            bytes
        };
        let track = |sort: &[u8; 4]| {
            let mut header = vec![7; 84];
            header[0] = 0;
            header[76..].copy_from_slice(&[2, 128, 0, 0, 1, 104, 0, 0]);
            let handler = [&[0; 8][..], sort, &[0; 12]].concat();
            let media = wrapped(b"mdia", &wrapped(b"hdlr", &handler));
            wrapped(b"trak", &[wrapped(b"tkhd", &header), media].concat())
        };
        let index = wrapped(b"moov", &[track(b"soun"), track(b"vide")].concat());
        let mut before = wrapped(b"ftyp", b"isom");
        before.extend(index);
        let mut file = Cursor::new(before.clone());
        turn(&mut file, 90).expect("turned");
        let after = file.into_inner();
        let changed: Vec<_> = (0..after.len()).filter(|at| before[*at] != after[*at]).collect();
        let matrix = after.len() - track(b"vide").len() + 8 + 8 + 40;
        assert!(
            changed.iter().all(|at| (matrix..matrix + 36).contains(at)),
            "{changed:?}"
        );
        let expected = [ZERO, ONE, ZERO, MINUS_ONE, ZERO, ZERO, [1, 104, 0, 0], ZERO, UNIT].concat();
        assert_eq!(&after[matrix..matrix + 36], expected);
        assert!(turn(&mut Cursor::new(wrapped(b"moov", &track(b"soun"))), 90).is_err());
    }

    #[test]
    fn sound_begins_after_its_silence_or_waits_so_much_less() {
        let boxed = |name: &[u8; 4], content: Vec<u8>| {
            let length = u32::try_from(content.len() + 8).expect("small");
            [&length.to_be_bytes()[..], name, &content].concat()
        };
        let header = |at: usize, length: usize, numbers: &[u32]| {
            let mut bytes = vec![0; length];
            let numbers: Vec<u8> = numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
            bytes[at..at + numbers.len()].copy_from_slice(&numbers);
            bytes
        };
        let primed = |edits: &[[u32; 3]], length: u32| {
            let count = u32::try_from(edits.len()).expect("few");
            let list = [&[0, count][..], &edits.concat()].concat();
            let list = boxed(b"elst", header(0, list.len() * 4, &list));
            let handler = boxed(b"hdlr", [&[0; 8][..], b"soun", &[0; 12]].concat());
            let media = boxed(
                b"mdia",
                [boxed(b"mdhd", header(12, 24, &[48_000, 0])), handler].concat(),
            );
            let track = [boxed(b"tkhd", header(20, 84, &[length])), boxed(b"edts", list), media].concat();
            let film = boxed(b"mvhd", header(12, 100, &[1000, length]));
            let index = boxed(b"moov", [film, boxed(b"trak", track)].concat());
            let mut file = Cursor::new([boxed(b"ftyp", vec![0; 8]), index].concat());
            prime(&mut file, 4800).expect("primed");
            let bytes = file.into_inner();
            let named = |name| bytes.windows(4).position(|four| four == name).expect("there") + 4;
            let numbers = |at: usize, count: usize| -> Vec<u32> {
                (0..count).filter_map(|nth| number(&bytes, at + 4 * nth)).collect()
            };
            (
                numbers(named(b"elst") + 8, edits.len() * 3),
                numbers(named(b"tkhd") + 20, 1),
                numbers(named(b"mvhd") + 16, 1),
            )
        };
        let one = 0x1_0000;
        assert_eq!(
            primed(&[[5000, 0, one]], 5000),
            (vec![4900, 4800, one], vec![4900], vec![4900])
        );
        assert_eq!(primed(&[[90, 0, one]], 90), (vec![90, 0, one], vec![90], vec![90]));
        let late = primed(&[[300, u32::MAX, one], [5000, 0, one]], 5300);
        assert_eq!(late, (vec![200, u32::MAX, one, 5000, 0, one], vec![5200], vec![5200]));
    }

    #[test]
    fn numbers_of_opus_are_put_in_order_once() {
        let mut opus = vec![0, 2, 0x38, 0x01, 0x80, 0xbb, 0, 0, 0, 0, 0];
        for _ in 0..2 {
            order_opus(&mut opus, 0);
            assert_eq!(opus, [0, 2, 0x01, 0x38, 0, 0, 0xbb, 0x80, 0, 0, 0]);
        }
    }

    #[test]
    fn a_file_without_an_index_or_with_a_bad_length_is_an_error() {
        assert!(index_in_front(&mut file(&[(b"ftyp", 8), (b"mdat", 9)])).is_err());
        assert!(index_in_front(&mut Cursor::new(vec![0, 0, 0, 3, b'f', b't', b'y', b'p', 0])).is_err());
    }
}
