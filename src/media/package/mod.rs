//! A film in several forms, cut into segments that HLS and DASH share.
//!
//! Elements decode, scale and encode ([`branch`]); all that is written is made here, of packets: fragments of MP4 or packets
//! of a transport stream, playlists and the manifest. A writer of our own, since segments must begin where pictures
//! are shown, the last must be as long as what it holds, and key frames must be found again for playlists of their own.
//!
//! Promises: segments of all forms begin at the same pictures. Every file is written once, when it is complete; no more than
//! one segment of each track is kept in memory. Lengths in playlists are those of what was written.

mod aom;
mod bandwidth;
mod boxes;
mod branch;
mod chains;
mod codecs;
mod crypt;
mod cut;
mod fed;
mod film;
mod intake;
mod labels;
mod manifests;
mod mpd;
mod parse;
mod pictures;
mod playlists;
mod proof;
mod silence;
mod track;
mod transport;
mod vp9;
pub mod words;

pub use branch::package;

/// Ticks a second of every clock of a transport stream.
pub const CLOCK: u32 = 90_000;

/// A packet of an encoder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// As its parser wraps it.
    pub data: Vec<u8>,
    /// When it is shown or heard, in ticks of its track.
    pub at: u64,
    /// How long the encoder says that it lasts, in ticks.
    pub length: u64,
    /// Needs no other.
    pub key: bool,
}

/// A packet that has its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timed {
    /// As its parser wraps it.
    pub data: Vec<u8>,
    /// When it is shown or heard.
    pub at: u64,
    /// When it is decoded, by a clock that runs [`Gop::delay`] ahead.
    pub order: u64,
    /// To the next in that order.
    pub length: u32,
    /// Needs no other.
    pub key: bool,
}

/// Packets that need no others than each other, in the order of decoding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gop {
    /// When the first is shown, in ticks.
    pub start: u64,
    /// When the last is over.
    pub end: u64,
    /// How far ahead of showing it decodes, in ticks; the same in all groups of a track.
    pub delay: u64,
    /// Each.
    pub samples: Vec<Timed>,
}

/// A segment that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The name of its file, without what all files of the task begin with.
    pub file: String,
    /// In ticks of its track.
    pub start: u64,
    /// In ticks of its track.
    pub end: u64,
    /// Length of its file.
    pub bytes: u64,
    /// Packets of the encoder.
    pub samples: u64,
    /// What these become in a transport stream.
    pub units: u64,
    /// Key frames in it, where they can be read by themselves.
    pub keys: Vec<Key>,
}

/// A key frame within a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// When it is shown, in ticks.
    pub at: u64,
    /// Where what is needed for it begins in the segment.
    pub offset: u64,
    /// How much that is.
    pub bytes: u64,
}

#[cfg(test)]
pub mod testing {
    //! Packets for tests.

    use super::pictures::Pictures;
    use super::{Gop, Packet, Segment, Timed};
    use crate::plan::Coded;
    use crate::rule::VideoCodec;

    /// A film in H.264, so described.
    pub fn pictures(config: Vec<u8>) -> Pictures {
        Pictures {
            codec: VideoCodec::H264,
            config,
            width: 640,
            height: 360,
            colours: None,
            coded: Coded::default(),
            light: Vec::new(),
        }
    }

    /// A packet of one tick that shows nothing.
    pub fn packet(at: u64, key: bool) -> Packet {
        Packet {
            data: vec![0, 0, 0, 2, if key { 0x65 } else { 0x41 }, 9],
            at,
            length: 1,
            key,
        }
    }

    /// Packets that are shown at these ticks after `start`.
    pub fn gop(start: u64, shown: &[(u64, bool)]) -> Gop {
        let samples = shown.iter().zip(start..).map(|((at, key), order)| Timed {
            data: packet(*at, *key).data,
            at: start + at,
            order,
            length: 1,
            key: *key,
        });
        Gop {
            start,
            end: start + shown.len() as u64,
            delay: 2,
            samples: samples.collect(),
        }
    }

    /// Segments of these lengths in ticks and sizes in bytes.
    pub fn segments(name: &str, lengths: &[(u64, u64)]) -> Vec<Segment> {
        let mut start = 0;
        let made = lengths.iter().zip(1..).map(|((length, bytes), number)| {
            let from = start;
            start += length;
            Segment {
                file: format!("{name}-{number:05}.m4s"),
                start: from,
                end: start,
                bytes: *bytes,
                samples: 50,
                units: 0,
                keys: Vec::new(),
            }
        });
        made.collect()
    }
}
