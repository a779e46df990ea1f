//! Reads a finished MXF file back (SMPTE ST 377): what it says of its tracks, and how much of each lies in it.
//!
//! The demuxer of GStreamer 1.22 aborts the process over files that its own muxer wrote; so workers do not have it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::time::Duration;

/// How the key of everything begins.
const UNIVERSAL: [u8; 4] = [0x06, 0x0e, 0x2b, 0x34];
/// How the key of a piece of film or sound goes on.
const ESSENCE: [u8; 8] = [0x01, 0x02, 0x01, 0x01, 0x0d, 0x01, 0x03, 0x01];
/// How the key of a set of properties goes on, but for the version.
const SET: [u8; 3] = [0x02, 0x53, 0x01];

/// No set of properties is larger than this.
const LARGEST_SET: u64 = 1 << 20;

/// What was found in a file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Found {
    /// Width and height of pictures.
    pub size: (u32, u32),
    /// Pictures.
    pub pictures: u64,
    /// How long they last.
    pub film: Duration,
    /// Each sound.
    pub sounds: Vec<Sound>,
}

/// A sound that was found in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sound {
    /// How many it has.
    pub channels: u32,
    /// Samples a second.
    pub rate: u32,
    /// Pieces of it.
    pub pieces: u64,
    /// How long they last.
    pub length: Duration,
    bits: u32,
}

#[derive(Default)]
struct Reading {
    found: Found,
    frames: (u32, u32),
    /// Who describes each sound: the same is said at the beginning and at the end of a file.
    known: Vec<Vec<u8>>,
    /// Pieces and bytes of each sound, by the number of its element.
    pieces: BTreeMap<u8, (u64, u64)>,
}

/// Goes through all of a file; `tick` is told how many pieces there were so far.
///
/// # Errors
/// Where it cannot be read, or breaks off.
pub fn read(file: File, tick: &mut dyn FnMut(u64)) -> io::Result<Found> {
    let size = file.metadata()?.len();
    let mut file = BufReader::new(file);
    let mut reading = Reading::default();
    let mut at = 0_u64;
    while at < size {
        let mut key = [0_u8; 16];
        file.read_exact(&mut key)?;
        let (length, head) = length(&mut file)?;
        let end = at
            .checked_add(16 + head)
            .and_then(|content| content.checked_add(length))
            .filter(|end| key[..4] == UNIVERSAL && *end <= size)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the file breaks off"))?;
        if key[4..12] == ESSENCE {
            reading.piece(key[12], key[15], length);
        } else if key[4..7] == SET && length <= LARGEST_SET {
            let mut content = vec![0; usize::try_from(length).unwrap_or_default()];
            file.read_exact(&mut content)?;
            reading.set(&content);
        }
        file.seek(SeekFrom::Start(end))?;
        at = end;
        tick(reading.found.pictures + reading.pieces.values().map(|(pieces, _)| pieces).sum::<u64>());
    }
    Ok(reading.finish())
}

/// A length, and how many bytes say it.
fn length(file: &mut impl Read) -> io::Result<(u64, u64)> {
    let mut first = [0_u8; 1];
    file.read_exact(&mut first)?;
    if first[0] < 0x80 {
        return Ok((u64::from(first[0]), 1));
    }
    let count = usize::from(first[0] & 0x7f);
    let mut bytes = [0_u8; 8];
    let said = bytes
        .get_mut(..count)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a length that nobody needs"))?;
    file.read_exact(said)?;
    Ok((
        said.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
        1 + count as u64,
    ))
}

impl Reading {
    fn piece(&mut self, item: u8, element: u8, length: u64) {
        match item {
            0x05 | 0x15 => self.found.pictures += 1,
            0x06 | 0x16 => {
                let (pieces, bytes) = self.pieces.entry(element).or_default();
                *pieces += 1;
                *bytes += length;
            }
            _ => {}
        }
    }

    /// The properties of a set: each a tag, a length and a value.
    fn set(&mut self, mut content: &[u8]) {
        let mut sound = Sound::default();
        let mut identity = Vec::new();
        let mut rate = None;
        while let Some((head, rest)) = content.split_at_checked(4) {
            let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
            let Some((value, rest)) = rest.split_at_checked(length) else {
                return;
            };
            content = rest;
            let number = |at: usize| {
                let bytes = value.get(at..at + 4)?;
                Some(bytes.iter().fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte)))
            };
            let first = number(0).unwrap_or(0);
            match [head[0], head[1]] {
                [0x3c, 0x0a] => identity = value.to_vec(),
                [0x30, 0x01] => rate = number(0).zip(number(4)),
                [0x32, 0x03] => self.found.size.0 = first,
                [0x32, 0x02] => self.found.size.1 = first,
                [0x3d, 0x03] => sound.rate = first / number(4).unwrap_or(1).max(1),
                [0x3d, 0x07] => sound.channels = first,
                [0x3d, 0x01] => sound.bits = first,
                _ => {}
            }
        }
        if sound.channels > 0 {
            if !self.known.contains(&identity) {
                self.known.push(identity);
                self.found.sounds.push(sound);
            }
        } else if let Some(rate) = rate.filter(|(num, den)| sound.rate == 0 && *num > 0 && *den > 0) {
            self.frames = rate;
        }
    }

    fn finish(mut self) -> Found {
        let (num, den) = self.frames;
        let mut found = std::mem::take(&mut self.found);
        if num > 0 {
            found.film = ratio(found.pictures * u64::from(den), u64::from(num));
        }
        for (sound, (pieces, bytes)) in found.sounds.iter_mut().zip(self.pieces.values()) {
            let a_second = u64::from(sound.channels) * u64::from(sound.rate) * u64::from(sound.bits / 8);
            sound.pieces = *pieces;
            if a_second > 0 {
                sound.length = ratio(*bytes, a_second);
            }
        }
        found
    }
}

fn ratio(part: u64, whole: u64) -> Duration {
    Duration::from_secs_f64(part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(key: &[u8], content: &[u8]) -> Vec<u8> {
        let mut all = [&UNIVERSAL, key].concat();
        all.resize(16, 0);
        all.extend([0x83, 0, 0, u8::try_from(content.len()).unwrap()]);
        all.extend(content);
        all
    }

    fn property(tag: [u8; 2], value: &[u32]) -> Vec<u8> {
        let bytes: Vec<u8> = value.iter().flat_map(|number| number.to_be_bytes()).collect();
        [&tag[..], &u16::try_from(bytes.len()).unwrap().to_be_bytes(), &bytes].concat()
    }

    #[test]
    fn tracks_are_told_and_their_pieces_counted() {
        let film = [
            property([0x30, 0x01], &[25, 1]),
            property([0x32, 0x02], &[720]),
            property([0x32, 0x03], &[1280]),
        ];
        let sound = [
            property([0x3c, 0x0a], &[7, 7, 7, 7]),
            property([0x30, 0x01], &[48_000, 1]),
            property([0x3d, 0x03], &[48_000, 1]),
            property([0x3d, 0x07], &[1]),
            property([0x3d, 0x01], &[16]),
        ];
        let piece = |item| [&ESSENCE[..], &[item, 1, 5, 1]].concat();
        let whole = [
            value(&SET, &film.concat()),
            value(&SET, &sound.concat()),
            value(&piece(0x15), &[0; 100]),
            value(&piece(0x16), &[0; 96]),
            value(&piece(0x15), &[0; 50]),
            value(&SET, &sound.concat()),
        ]
        .concat();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.mxf");
        std::fs::write(&path, &whole).unwrap();
        let found = read(File::open(&path).unwrap(), &mut |_| {}).unwrap();
        assert_eq!(
            (found.size, found.pictures, found.film),
            ((1280, 720), 2, Duration::from_millis(80))
        );
        let sounds: Vec<_> = found
            .sounds
            .iter()
            .map(|sound| (sound.channels, sound.rate, sound.pieces, sound.length))
            .collect();
        assert_eq!(sounds, [(1, 48_000, 1, Duration::from_millis(1))]);
        std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        assert!(read(File::open(&path).unwrap(), &mut |_| {}).is_err());
    }
}
