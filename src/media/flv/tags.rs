//! The pieces of an FLV file: tags, one after the other, each with its length before and behind it.

use std::io;

use crate::media::source::Input;

/// Bytes before what a tag carries ...
pub const HEAD: u64 = 11;
const HEAD_BYTES: usize = 11;
/// ... and behind it: how long it was.
pub const TAIL: u64 = 4;

/// As much of what a tag carries says what it is.
const START: usize = 5;

/// Behind damage the next tag is looked for so far away.
const SEARCH: u64 = 8 << 20;
/// Bytes that are looked through at once, at first and at most.
const NEAREST: usize = 512;
const FARTHEST: usize = 64 << 10;

/// What a tag is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// A picture.
    Film,
    /// A packet of sound.
    Sound,
    /// What is said about the medium.
    Script,
}

/// A tag, without what it carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag {
    /// What it is about.
    pub sort: Sort,
    /// Where it begins.
    pub at: u64,
    /// How many bytes it carries.
    pub size: u64,
    /// In thousandths of a second.
    pub time: i64,
    /// The first of these bytes.
    start: [u8; START],
    /// It is for those who have a key.
    is_locked: bool,
}

/// What a tag of film or sound carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// What decodes it, as the file counts codecs.
    pub codec: u8,
    /// Its sorts of packets are told apart.
    pub content: Content,
    /// Bytes before the packet itself.
    pub skip: u64,
}

/// See [`Piece`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// What decoders must know before the first packet.
    Setup,
    /// A packet.
    Packet {
        /// It is decoded without any before it.
        is_key: bool,
        /// How much later than its time it is shown.
        later: i64,
    },
    /// Nothing that matters.
    Nothing,
}

/// H.264 in films.
pub const AVC: u8 = 7;
/// H.265, as many write it.
pub const HEVC: u8 = 12;
/// AAC in sounds.
pub const AAC: u8 = 10;

impl Tag {
    /// The tag at this place; none at the end of the file, or where none can be.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn read(input: &Input, at: u64) -> io::Result<Option<Self>> {
        let mut bytes = [0; HEAD_BYTES + START];
        let count = input.fill(at, &mut bytes)?;
        Ok(Self::parse(&bytes[..count], at).filter(|tag| tag.body() + tag.size <= input.size()))
    }

    fn parse(bytes: &[u8], at: u64) -> Option<Self> {
        let head = bytes.get(..HEAD_BYTES)?;
        let number = |bytes: &[u8]| bytes.iter().fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte));
        let sort = match head[0] & 0x1f {
            8 => Sort::Sound,
            9 => Sort::Film,
            18 => Sort::Script,
            _ => return None,
        };
        if head[0] & 0xc0 != 0 {
            return None;
        }
        let size = number(&head[1..4]);
        let mut start = [0; START];
        for (into, from) in start.iter_mut().zip(&bytes[HEAD_BYTES..]) {
            *into = *from;
        }
        Some(Self {
            sort,
            at,
            size: u64::from(size),
            time: i64::from(u32::from(head[7]) << 24 | number(&head[4..7])),
            start,
            is_locked: head[0] & 0x20 != 0,
        })
    }

    /// The tag at this place or, where that is damaged, the next one behind it, and whether bytes were passed over.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn next(input: &Input, at: u64) -> io::Result<Option<(Self, bool)>> {
        if let Some(tag) = Self::read(input, at)? {
            return Ok(Some((tag, false)));
        }
        let end = input.size().min(at.saturating_add(SEARCH));
        let mut from = at + 1;
        let mut window = vec![0; NEAREST];
        while from + HEAD <= end {
            let count = input.fill(from, &mut window)?;
            let starts = (from..).zip(window[..count].windows(HEAD_BYTES));
            for (place, head) in starts {
                // Nobody uses the last three bytes.
                let may = head[8..] == [0; 3] && Self::parse(head, place).is_some();
                if may
                    && let Some(tag) = Self::read(input, place)?
                    && tag.is_closed(input)?
                {
                    return Ok(Some((tag, true)));
                }
            }
            if count <= HEAD_BYTES {
                break;
            }
            from += (count - HEAD_BYTES + 1) as u64;
            window.resize((window.len() * 2).min(FARTHEST), 0);
        }
        Ok(None)
    }

    /// Whether its length stands behind it as well.
    fn is_closed(&self, input: &Input) -> io::Result<bool> {
        Ok(length_before(input, self.end())? == Some(HEAD + self.size))
    }

    /// The tag that ends at this place, where the file says how long it is.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn before(input: &Input, end: u64) -> io::Result<Option<Self>> {
        let Some(length) = length_before(input, end)? else {
            return Ok(None);
        };
        let Some(at) = end.checked_sub(TAIL + length) else {
            return Ok(None);
        };
        Ok(Self::read(input, at)?.filter(|tag| tag.end() == end))
    }

    /// Where what it carries begins.
    pub fn body(&self) -> u64 {
        self.at + HEAD
    }

    /// Where the next one begins.
    pub fn end(&self) -> u64 {
        self.body() + self.size + TAIL
    }

    /// What it carries, if that is film or sound.
    pub fn piece(&self) -> Option<Piece> {
        let [first, second, ..] = self.start;
        if self.size == 0 || self.is_locked {
            return None;
        }
        let content = |second: u8, later: i64, is_key: bool| match second {
            0 => Content::Setup,
            1 => Content::Packet { is_key, later },
            _ => Content::Nothing,
        };
        let piece = match self.sort {
            Sort::Script => return None,
            Sort::Sound => {
                let codec = first >> 4;
                Piece {
                    codec,
                    content: content(if codec == AAC { second } else { 1 }, 0, true),
                    skip: if codec == AAC { 2 } else { 1 },
                }
            }
            Sort::Film => {
                let (codec, is_key) = (first & 0x0f, first >> 4 == 1);
                // In place of a picture a word to the player.
                let second = if first >> 4 == 5 { u8::MAX } else { second };
                match codec {
                    AVC | HEVC => {
                        let [.., a, b, c] = self.start;
                        let later = i64::from(i32::from_be_bytes([a, b, c, 0]) >> 8);
                        Piece {
                            codec,
                            content: content(second, later, is_key),
                            skip: 5,
                        }
                    }
                    _ => Piece {
                        codec,
                        content: content(if first >> 4 == 5 { second } else { 1 }, 0, is_key),
                        // Those of On2 say first how much of a picture is not shown.
                        skip: if matches!(codec, 4 | 5) { 2 } else { 1 },
                    },
                }
            }
        };
        let is_empty = self.size <= piece.skip;
        Some(if is_empty {
            Piece {
                content: Content::Nothing,
                ..piece
            }
        } else {
            piece
        })
    }

    /// The first byte of a sound: what else it says of itself.
    pub fn manner(&self) -> u8 {
        self.start[0]
    }
}

fn length_before(input: &Input, end: u64) -> io::Result<Option<u64>> {
    let mut bytes = [0; 4];
    let Some(at) = end.checked_sub(TAIL).filter(|_| end <= input.size()) else {
        return Ok(None);
    };
    let count = input.fill(at, &mut bytes)?;
    Ok((count == bytes.len()).then(|| u64::from(u32::from_be_bytes(bytes))))
}
