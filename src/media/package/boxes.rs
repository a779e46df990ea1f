//! Writes fragments of MP4 as CMAF has them (ISO/IEC 23000-19): one track a file, an init segment, and segments of
//! fragments that each begin with a key frame.
//!
//! What decodes runs ahead of what is shown, and an edit list in the init segment says by how much: so a film begins at zero, and
//! no picture is shown before it is decoded. Numbers below zero in place of that list would do by the standard, but
//! libavformat shows all pictures late over them.

use super::pictures::Pictures;
use super::{Gop, Timed};

/// A sample that needs no other.
const SYNC: u32 = 0x0200_0000;
/// A sample that needs others.
const DEPENDS: u32 = 0x0101_0000;

/// What a track holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A film.
    Film(Pictures),
    /// AAC.
    Aac {
        /// The audio specific config.
        config: Vec<u8>,
        /// How many.
        channels: u16,
        /// Samples a second.
        rate: u32,
    },
}

pub(super) fn bytes(out: &mut Vec<u8>, values: &[u8]) {
    out.extend_from_slice(values);
}

pub(super) fn u16s(out: &mut Vec<u8>, values: &[u16]) {
    for value in values {
        out.extend(value.to_be_bytes());
    }
}

pub(super) fn u32s(out: &mut Vec<u8>, values: &[u32]) {
    for value in values {
        out.extend(value.to_be_bytes());
    }
}

pub(super) fn put(out: &mut Vec<u8>, name: [u8; 4], fill: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    u32s(out, &[0]);
    bytes(out, &name);
    fill(out);
    let size = short(out.len() - at);
    out[at..at + 4].copy_from_slice(&size.to_be_bytes());
}

/// A box with a version and flags.
fn full(out: &mut Vec<u8>, name: [u8; 4], version: u8, flags: u32, fill: impl FnOnce(&mut Vec<u8>)) {
    put(out, name, |out| {
        u32s(out, &[u32::from(version) << 24 | flags]);
        fill(out);
    });
}

fn short(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

const MATRIX: [u32; 9] = [0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000];

/// What comes before every segment of a track: how it is decoded, and how far ahead, in ticks.
#[must_use]
pub fn init(content: &Content, timescale: u32, delay: u64) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, *b"ftyp", |out| {
        bytes(out, b"iso6\0\0\0\0iso6cmfchlsfdashmp41");
        if let Content::Film(film) = content {
            bytes(out, film.brand());
        }
    });
    put(&mut out, *b"moov", |out| {
        full(out, *b"mvhd", 0, 0, |out| {
            u32s(out, &[0, 0, 1000, 0, 0x1_0000, 0x0100_0000, 0, 0]);
            u32s(out, &MATRIX);
            u32s(out, &[0, 0, 0, 0, 0, 0, 2]);
        });
        put(out, *b"trak", |out| track(out, content, timescale, delay));
        put(out, *b"mvex", |out| {
            full(out, *b"trex", 0, 0, |out| u32s(out, &[1, 1, 0, 0, 0]));
        });
    });
    out
}

fn track(out: &mut Vec<u8>, content: &Content, timescale: u32, delay: u64) {
    let (volume, width, height) = match content {
        Content::Film(film) => (0, u32::from(film.width) << 16, u32::from(film.height) << 16),
        Content::Aac { .. } => (0x0100_0000, 0, 0),
    };
    // Enabled, in the film, in its preview.
    full(out, *b"tkhd", 0, 7, |out| {
        u32s(out, &[0, 0, 1, 0, 0, 0, 0, 0, volume]);
        u32s(out, &MATRIX);
        u32s(out, &[width, height]);
    });
    if delay > 0 {
        put(out, *b"edts", |out| {
            // All that is there, from the first picture.
            let from = u32::try_from(delay).unwrap_or(0);
            full(out, *b"elst", 0, 0, |out| u32s(out, &[1, 0, from, 0x1_0000]));
        });
    }
    put(out, *b"mdia", |out| {
        // In no language: manifests say which.
        full(out, *b"mdhd", 0, 0, |out| u32s(out, &[0, 0, timescale, 0, 0x55c4_0000]));
        let (sort, name): (_, &[u8]) = match content {
            Content::Film(_) => (b"vide", b"video\0"),
            Content::Aac { .. } => (b"soun", b"sound\0"),
        };
        full(out, *b"hdlr", 0, 0, |out| {
            u32s(out, &[0]);
            bytes(out, sort);
            u32s(out, &[0, 0, 0]);
            bytes(out, name);
        });
        put(out, *b"minf", |out| {
            match content {
                Content::Film(_) => full(out, *b"vmhd", 0, 1, |out| u32s(out, &[0, 0])),
                Content::Aac { .. } => full(out, *b"smhd", 0, 0, |out| u32s(out, &[0])),
            }
            put(out, *b"dinf", |out| {
                full(out, *b"dref", 0, 0, |out| {
                    u32s(out, &[1]);
                    full(out, *b"url ", 0, 1, |_| ());
                });
            });
            put(out, *b"stbl", |out| {
                full(out, *b"stsd", 0, 0, |out| {
                    u32s(out, &[1]);
                    entry(out, content);
                });
                full(out, *b"stts", 0, 0, |out| u32s(out, &[0]));
                full(out, *b"stsc", 0, 0, |out| u32s(out, &[0]));
                full(out, *b"stsz", 0, 0, |out| u32s(out, &[0, 0]));
                full(out, *b"stco", 0, 0, |out| u32s(out, &[0]));
            });
        });
    });
}

fn entry(out: &mut Vec<u8>, content: &Content) {
    match content {
        Content::Film(film) => film.entry(out),
        Content::Aac { config, channels, rate } => put(out, *b"mp4a", |out| {
            u16s(out, &[0, 0, 0, 1, 0, 0, 0, 0, *channels, 16, 0, 0]);
            let rate = u16::try_from(*rate).unwrap_or(0);
            u16s(out, &[rate, 0]);
            full(out, *b"esds", 0, 0, |out| descriptors(out, config));
        }),
    }
}

/// The descriptors of an elementary stream (ISO/IEC 14496-1) with this config.
fn descriptors(out: &mut Vec<u8>, config: &[u8]) {
    let nested = |tag: u8, content: Vec<u8>| {
        // A config is a few bytes; longer ones do not exist for what is encoded here.
        let length = u8::try_from(content.len()).unwrap_or(0x7f).min(0x7f);
        [vec![tag, length], content].concat()
    };
    let decoder = [
        vec![0x40, 0x15, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        nested(5, config.to_vec()),
    ]
    .concat();
    let stream = [vec![0, 0, 0], nested(4, decoder), nested(6, vec![2])].concat();
    bytes(out, &nested(3, stream));
}

/// What every segment begins with.
#[must_use]
pub fn segment_type() -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, *b"styp", |out| {
        bytes(out, b"msdh\0\0\0\0msdhcmfs");
    });
    out
}

/// One group of pictures, or of sounds, as a fragment with this number, counted from 1.
#[must_use]
pub fn fragment(gop: &Gop, number: u32, video: bool) -> Vec<u8> {
    // Data offset, durations and sizes; for video also flags, and when pictures are shown where that is later: AV1 forbids to say
    // that it is not.
    let late = video && gop.samples.iter().any(|sample| shown_after(gop, sample) > 0);
    let has = match (video, late) {
        (true, true) => 0x0f01,
        (true, false) => 0x0701,
        (false, _) => 0x0301,
    };
    let mut out = Vec::new();
    put(&mut out, *b"moof", |out| {
        full(out, *b"mfhd", 0, 0, |out| u32s(out, &[number]));
        put(out, *b"traf", |out| {
            if video {
                full(out, *b"tfhd", 0, 0x2_0000, |out| u32s(out, &[1]));
            } else {
                full(out, *b"tfhd", 0, 0x2_0020, |out| u32s(out, &[1, SYNC]));
            }
            full(out, *b"tfdt", 1, 0, |out| bytes(out, &gop.start.to_be_bytes()));
            full(out, *b"trun", 0, has, |out| {
                u32s(out, &[short(gop.samples.len()), 0]);
                for sample in &gop.samples {
                    u32s(out, &[sample.length, short(sample.data.len())]);
                    if video {
                        let flags = if sample.key { SYNC } else { DEPENDS };
                        u32s(out, &[flags]);
                    }
                    if late {
                        u32s(out, &[shown_after(gop, sample)]);
                    }
                }
            });
        });
    });
    // The data offset stands before the entries of `trun`, which ends the box.
    let step = if late {
        16
    } else if video {
        12
    } else {
        8
    };
    let place = out.len() - gop.samples.len() * step - 4;
    let offset = short(out.len() + 8);
    out[place..place + 4].copy_from_slice(&offset.to_be_bytes());
    put(&mut out, *b"mdat", |out| {
        for sample in &gop.samples {
            bytes(out, &sample.data);
        }
    });
    out
}

fn shown_after(gop: &Gop, sample: &Timed) -> u32 {
    let after = (sample.at + gop.delay).saturating_sub(sample.order);
    u32::try_from(after).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::package::parse;
    use crate::media::package::testing::{self, gop};

    #[test]
    fn a_fragment_says_what_was_put_into_it() {
        // Shown at 0, 3, 1, 2: the last two wait for the second.
        let gop = gop(10, &[(0, true), (3, false), (1, false), (2, false)]);
        let out = fragment(&gop, 7, true);
        let read = parse::segment(&out).unwrap();
        assert_eq!(read.len(), 1);
        assert_eq!(read[0].start, 10);
        let shown: Vec<_> = read[0].samples.iter().map(|sample| sample.shown_after).collect();
        assert_eq!(shown, [2, 4, 1, 1]);
        assert!(read[0].samples.iter().all(|sample| sample.length == 1));
        assert_eq!(read[0].samples.iter().filter(|sample| sample.key).count(), 1);
    }

    #[test]
    fn an_init_segment_tiles_into_its_boxes() {
        let video = Content::Film(testing::pictures(vec![1, 0x64, 0, 0x1f, 0xff]));
        let audio = Content::Aac {
            config: vec![0x11, 0x90],
            channels: 2,
            rate: 48_000,
        };
        for content in [video, audio] {
            let out = init(&content, 90_000, 6000);
            assert_eq!(parse::names(&out).unwrap(), [*b"ftyp", *b"moov"]);
        }
    }
}
