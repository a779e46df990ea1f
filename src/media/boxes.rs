//! The boxes of an MP4 file (ISO/IEC 14496-12): where its index lies, and which way its film is turned.

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
    let place = index(file, |_| ())?;
    let length = usize::try_from((place.end - place.start).min(LARGEST_INDEX)).unwrap_or(usize::MAX);
    let mut index = vec![0; length];
    file.seek(SeekFrom::Start(place.start))?;
    file.read_exact(&mut index)?;
    let film = inner(&index, 0..index.len())
        .into_iter()
        .filter(|(name, _)| name == b"trak")
        .find(|(_, track)| is_film(&index, track.clone()));
    let header = film.and_then(|(_, track)| find(&index, track, *b"tkhd"));
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
    file.seek(SeekFrom::Start(place.start + matrix as u64))?;
    file.write_all(&written)
}

/// The boxes directly within this part of an index: their names and contents.
fn inner(index: &[u8], within: Range<usize>) -> Vec<([u8; 4], Range<usize>)> {
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

fn find(index: &[u8], within: Range<usize>, name: [u8; 4]) -> Option<Range<usize>> {
    let boxes = inner(index, within);
    boxes
        .into_iter()
        .find_map(|(found, content)| (found == name).then_some(content))
}

fn is_film(index: &[u8], track: Range<usize>) -> bool {
    find(index, track, *b"mdia")
        .and_then(|media| find(index, media, *b"hdlr"))
        .and_then(|handler| index.get(handler.start + 8..handler.start + 12))
        .is_some_and(|sort| sort == b"vide")
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
    fn a_file_without_an_index_or_with_a_bad_length_is_an_error() {
        assert!(index_in_front(&mut file(&[(b"ftyp", 8), (b"mdat", 9)])).is_err());
        assert!(index_in_front(&mut Cursor::new(vec![0, 0, 0, 3, b'f', b't', b'y', b'p', 0])).is_err());
    }
}
