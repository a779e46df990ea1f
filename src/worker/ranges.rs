//! An input far away: what worker and daemon say over the socket that stands in for a file.
//!
//! The worker asks for `offset u64, length u32`, the daemon answers `status u8, length u32` and exactly that many bytes;
//! all numbers big endian, one question at a time. Where the status is not [`Status::Bytes`] there are none, and the
//! object cannot be read any more.

use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The most bytes of one answer.
pub const MOST: u32 = 4 << 20;

/// Length of a question.
pub const QUESTION: usize = 12;

/// Length of what stands before an answer's bytes.
pub const HEAD: usize = 5;

/// Bytes that small reads are rounded up to, since demuxers like to ask for one packet after another.
const PIECE: u64 = 64 << 10;

/// Such pieces that are kept: sound and pictures may lie apart.
const PIECES: usize = 4;

/// A stretch of the object that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    /// Where it begins.
    pub offset: u64,
    /// 1 to [`MOST`].
    pub length: u32,
}

impl Question {
    /// As it goes over the socket.
    #[must_use]
    pub fn encode(self) -> [u8; QUESTION] {
        let mut bytes = [0; QUESTION];
        bytes[..8].copy_from_slice(&self.offset.to_be_bytes());
        bytes[8..].copy_from_slice(&self.length.to_be_bytes());
        bytes
    }

    /// As it came; none where it asks for what an object of this size cannot answer.
    #[must_use]
    pub fn decode(bytes: [u8; QUESTION], size: u64) -> Option<Self> {
        let (offset, length) = bytes.split_first_chunk::<8>()?;
        let question = Self {
            offset: u64::from_be_bytes(*offset),
            length: u32::from_be_bytes(*length.first_chunk()?),
        };
        let end = question.offset.checked_add(u64::from(question.length))?;
        (question.length > 0 && question.length <= MOST && end <= size).then_some(question)
    }
}

/// How an answer begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// The bytes follow.
    Bytes,
    /// It is not the object that was opened any more.
    Changed,
    /// It cannot be read.
    Unreadable,
}

impl Status {
    /// What stands before an answer's bytes.
    #[must_use]
    pub fn head(self, length: u32) -> [u8; HEAD] {
        let status = match self {
            Self::Bytes => 0,
            Self::Changed => 1,
            Self::Unreadable => 2,
        };
        let mut head = [status; HEAD];
        head[1..].copy_from_slice(&length.to_be_bytes());
        head
    }

    fn error(head: [u8; HEAD], asked: u32) -> Option<io::Error> {
        let words = match head[0] {
            0 if head[1..] == asked.to_be_bytes() => return None,
            1 => "the object was replaced while it was read",
            2 => "the object cannot be read from its bucket",
            _ => {
                return Some(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "the daemon answers strangely",
                ));
            }
        };
        Some(io::Error::other(words))
    }
}

/// What a worker is given to read.
#[derive(Debug)]
pub enum Source {
    /// A file.
    File(OwnedFd),
    /// An object that the daemon reads for it.
    Remote(Remote),
}

impl From<OwnedFd> for Source {
    fn from(file: OwnedFd) -> Self {
        Self::File(file)
    }
}

/// The worker's end of an object far away.
#[derive(Debug)]
pub struct Remote {
    /// The socket.
    pub socket: OwnedFd,
    /// The object's length in bytes.
    pub size: u64,
    /// Whether the worker waits for the daemon.
    pub owed: Arc<Owed>,
}

/// Whether the daemon owes the worker an answer that it has to fetch itself. Who waits for that has not stalled; how
/// long a fetch may take is the bucket's matter.
#[derive(Debug, Default)]
pub struct Owed(AtomicBool);

impl Owed {
    /// Says it.
    pub fn set(&self, owed: bool) {
        self.0.store(owed, Ordering::Relaxed);
    }

    /// Asks it.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Reads an object far away through the daemon: the worker's side.
#[derive(Debug)]
pub struct RangedReader {
    size: u64,
    line: Mutex<Line>,
}

#[derive(Debug)]
struct Line {
    socket: UnixStream,
    /// Pieces by their offset, the one used last at the end.
    pieces: Vec<(u64, Vec<u8>)>,
}

impl RangedReader {
    /// An object of this size behind this socket.
    #[must_use]
    pub fn new(socket: UnixStream, size: u64) -> Self {
        let pieces = Vec::new();
        Self {
            size,
            line: Mutex::new(Line { socket, pieces }),
        }
    }

    /// Length in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Reads at an offset: at most [`MOST`] bytes, none only at the end.
    ///
    /// # Errors
    /// Where the daemon cannot read the object, or is gone.
    pub fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let left = self.size.saturating_sub(offset);
        let length = left.min(u64::from(MOST)).min(into.len() as u64);
        let count = usize::try_from(length).unwrap_or(usize::MAX);
        let into = &mut into[..count];
        if into.is_empty() {
            return Ok(0);
        }
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        if length >= PIECE {
            line.ask(offset, into)?;
            return Ok(count);
        }
        // Pieces lie where a multiple of their length begins, so that none reaches over a block of the daemon's.
        let start = offset - offset % PIECE;
        let piece = line.piece(start, self.size)?;
        let from = usize::try_from(offset - start).unwrap_or(usize::MAX);
        let found = &piece[from..];
        let count = count.min(found.len());
        into[..count].copy_from_slice(&found[..count]);
        Ok(count)
    }
}

impl Line {
    fn ask(&mut self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let length = u32::try_from(into.len()).unwrap_or(u32::MAX);
        self.socket.write_all(&Question { offset, length }.encode())?;
        let mut head = [0; HEAD];
        self.socket.read_exact(&mut head)?;
        match Status::error(head, length) {
            None => self.socket.read_exact(into),
            Some(error) => Err(error),
        }
    }

    fn piece(&mut self, start: u64, size: u64) -> io::Result<&[u8]> {
        if let Some(at) = self.pieces.iter().position(|(known, _)| *known == start) {
            self.pieces[at..].rotate_left(1);
        } else {
            let length = usize::try_from(PIECE.min(size - start)).unwrap_or(usize::MAX);
            let mut bytes = if self.pieces.len() < PIECES {
                Vec::new()
            } else {
                self.pieces.remove(0).1
            };
            bytes.resize(length, 0);
            self.ask(start, &mut bytes)?;
            self.pieces.push((start, bytes));
        }
        Ok(self.pieces.last().map_or(&[], |(_, bytes)| bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_beyond_the_object_or_beyond_measure_are_not_taken() {
        let size = 100 << 20;
        let taken = |offset, length| Question::decode(Question { offset, length }.encode(), size);
        for (offset, length) in [(0, 1), (0, MOST), (size - 1, 1), (7, 3)] {
            assert_eq!(taken(offset, length), Some(Question { offset, length }));
        }
        for (offset, length) in [
            (0, 0),
            (0, MOST + 1),
            (size, 1),
            (size - 1, 2),
            (u64::MAX, 1),
            (u64::MAX, MOST),
        ] {
            assert_eq!(taken(offset, length), None, "{offset} {length}");
        }
    }

    fn answer(there: &mut UnixStream, content: &[u8]) -> Option<Question> {
        let mut bytes = [0; QUESTION];
        there.read_exact(&mut bytes).ok()?;
        let question = Question::decode(bytes, content.len() as u64).expect("an honest question");
        let from = usize::try_from(question.offset).unwrap();
        let found = &content[from..from + question.length as usize];
        there.write_all(&Status::Bytes.head(question.length)).unwrap();
        there.write_all(found).unwrap();
        Some(question)
    }

    #[test]
    fn every_read_gives_the_right_bytes_and_small_ones_share_an_answer() {
        let content: Vec<u8> = (0..6_000_000_u32).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let (here, mut there) = UnixStream::pair().unwrap();
        let reader = RangedReader::new(here, content.len() as u64);
        let served = std::thread::spawn({
            let content = content.clone();
            move || std::iter::from_fn(|| answer(&mut there, &content)).count()
        });
        let check = |offset: usize, length: usize| {
            let mut into = vec![0; length];
            let count = reader.read_at(offset as u64, &mut into).unwrap();
            assert_eq!(into[..count], content[offset..offset + count], "{offset} {length}");
            count
        };
        for at in 0..1000 {
            assert_eq!(check(at * 50, 50), 50);
        }
        assert_eq!(check(0, 5_000_000), MOST as usize);
        assert_eq!(check(65_530, 10), 6, "up to the end of a piece");
        assert_eq!(check(5_999_999, 100), 1);
        assert_eq!(check(6_000_000, 100), 0);
        // Sound and pictures that lie apart.
        for at in 0..100 {
            check(1_000_000 + at, 1);
            check(2_000_000 + at, 1);
            check(3_000_000 + at, 1);
        }
        drop(reader);
        assert_eq!(served.join().unwrap(), 1 + 1 + 1 + 3);
    }

    #[test]
    fn an_object_that_cannot_be_read_is_an_error_in_words() {
        for (status, words) in [(Status::Changed, "replaced"), (Status::Unreadable, "cannot be read")] {
            let (here, mut there) = UnixStream::pair().unwrap();
            let reader = RangedReader::new(here, 100);
            there.write_all(&status.head(0)).unwrap();
            let error = reader.read_at(0, &mut [0; 10]).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
            drop(there);
            assert!(reader.read_at(0, &mut [0; 10]).is_err(), "nobody is there");
        }
    }
}
