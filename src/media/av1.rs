//! The sequence header of AV1: what muxers must say about it, and the colours that the encoder leaves out of it.
//!
//! GStreamer 1.22 writes no true description (`av1C`) into any container, and its encoder does not say which colours it
//! was given. Both are in the first of the units (OBU) that a stream is made of, so it is read and completed here.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::sync::{Arc, Mutex, PoisonError};

use gst::prelude::*;

use super::boxes;
use super::colour::{self, Numbers};
use crate::rule::Container;

/// The kind of the unit that says what a stream is.
pub const SEQUENCE_HEADER: u8 = 1;

/// The oldest GStreamer that describes AV1 by itself.
const DESCRIBES: (u32, u32) = (1, 24);

/// What `mp4mux` writes in front of what it is given, five bytes of a former draft, and what is added behind so that a
/// box of its own fits into the place that is left over.
const DRAFT: usize = 5;
const ROOM: usize = 3;

/// The largest distance of key frames that libaom takes, and the one at which it makes one of the next frame.
const NEVER: i32 = 60_000;
const AT_ONCE: i32 = 0;

/// The least that it can hurry.
const CALM: i32 = 5;

/// What became of the last request for a key frame.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// It was obeyed.
    Done,
    /// The next frame is to be one.
    Now,
    /// The last was one: the next must not.
    Before,
}

/// Has the encoder make key frames when it is asked to, and no others. Who asks must be on its entry already, so that a request comes
/// after the frame before and ahead of its own.
///
/// The element of GStreamer 1.22 does not heed such requests. But it takes another distance of key frames at any time, and libaom, which
/// looks at no frame ahead here, holds the next frame to it: where the least and the most are both none, that is one. It does so right
/// where it is told to hurry; else decoders refuse what follows such a frame. So it hurries, as little as it can.
pub fn obey(encoder: &gst::Element) {
    encoder.set_property_from_str("usage-profile", "realtime");
    let speed = encoder.property::<i32>("cpu-used");
    encoder.set_property("cpu-used", speed.max(CALM));
    every(encoder, NEVER);
    let Some(entry) = encoder.static_pad("sink") else {
        return;
    };
    let asked = Mutex::new(Asked::Done);
    let kinds = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
    let weak = encoder.downgrade();
    entry.add_probe(kinds, move |_, info| {
        let Some(encoder) = weak.upgrade() else {
            return gst::PadProbeReturn::Ok;
        };
        let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
        match &info.data {
            Some(gst::PadProbeData::Event(event)) if gst_video::ForceKeyUnitEvent::is(event) => {
                *asked = Asked::Now;
                every(&encoder, AT_ONCE);
            }
            Some(gst::PadProbeData::Buffer(_)) => match *asked {
                Asked::Done => {}
                Asked::Now => *asked = Asked::Before,
                Asked::Before => {
                    *asked = Asked::Done;
                    every(&encoder, NEVER);
                }
            },
            _ => {}
        }
        gst::PadProbeReturn::Ok
    });
}

fn every(encoder: &gst::Element, distance: i32) {
    let mode = if distance == AT_ONCE { "auto" } else { "disabled" };
    encoder.set_property_from_str("keyframe-mode", mode);
    encoder.set_property("keyframe-max-dist", distance);
}

/// Has packets that leave `encoder` say their colours, and what leaves `parser` its description.
pub fn complete(encoder: &gst::Pad, parser: &gst::Pad, container: Container) {
    let header = Arc::new(Mutex::new(None::<Vec<u8>>));
    let seen = header.clone();
    encoder.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        let numbers = pad.current_caps().and_then(|caps| colour::numbers(&caps));
        if let Some(gst::PadProbeData::Buffer(packet)) = &mut info.data
            && let Some((changed, found)) = coloured(packet, numbers)
        {
            seen.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(found);
            if let Some(bytes) = changed {
                let mut whole = gst::Buffer::from_mut_slice(bytes);
                if let Some(fields) = whole.get_mut() {
                    let _ = packet.copy_into(fields, gst::BUFFER_COPY_METADATA, ..);
                }
                *packet = whole;
            }
        }
        gst::PadProbeReturn::Ok
    });
    let (major, minor, ..) = gst::version();
    if (major, minor) >= DESCRIBES {
        return;
    }
    let room = if container.has_index_in_front() { ROOM } else { 0 };
    parser.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
        if let Some(gst::PadProbeData::Event(event)) = &mut info.data
            && let gst::EventView::Caps(caps) = event.view()
        {
            let header = header.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(mut description) = header.as_deref().and_then(description) {
                description.resize(description.len() + room, 0);
                let mut described = caps.caps_owned();
                described
                    .make_mut()
                    .set("codec_data", gst::Buffer::from_mut_slice(description));
                *event = gst::event::Caps::builder(&described).seqnum(event.seqnum()).build();
            }
        }
        gst::PadProbeReturn::Ok
    });
}

/// Puts the description into the place that the standard has for it, where a muxer wrote that of a former draft.
///
/// # Errors
/// Where the file cannot be read or written.
pub fn correct(file: &mut File) -> io::Result<()> {
    let Some((place, mut content)) = boxes::description(file, *b"av01", *b"av1C")? else {
        return Ok(());
    };
    if !correct_box(&mut content) {
        return Ok(());
    }
    file.seek(SeekFrom::Start(place))?;
    file.write_all(&content)
}

/// As [`correct`], of the whole box with its head.
fn correct_box(content: &mut [u8]) -> bool {
    let long = content.len();
    if long < 8 + DRAFT + 4 + ROOM || content[8] != 0 || content[8 + DRAFT] != 0x81 {
        return false;
    }
    content.copy_within(8 + DRAFT..long - ROOM, 8);
    let kept = long - DRAFT - ROOM;
    let Ok(length) = u32::try_from(kept) else {
        return false;
    };
    content[..4].copy_from_slice(&length.to_be_bytes());
    content[kept..].copy_from_slice(&[0, 0, 0, 8, b'f', b'r', b'e', b'e']);
    true
}

/// The packet with these colours in its sequence header, where it has one that says none, and that header with its own
/// head.
fn coloured(packet: &gst::BufferRef, numbers: Option<Numbers>) -> Option<(Option<Vec<u8>>, Vec<u8>)> {
    let map = packet.map_readable().ok()?;
    let bytes = map.as_slice();
    let mut at = 0;
    while let Some((kind, content, end)) = unit(bytes, at) {
        if kind != SEQUENCE_HEADER {
            at = end;
            continue;
        }
        let own = bytes.get(at..end)?.to_vec();
        let changed = numbers.and_then(|numbers| recolour(&bytes[content..end], numbers));
        let Some(changed) = changed else {
            return Some((None, own));
        };
        // One byte holds the length of any sequence header.
        let length = u8::try_from(changed.len()).ok().filter(|length| *length < 0x80)?;
        let header = [&[SEQUENCE_HEADER << 3 | 2, length], &changed[..]].concat();
        let whole = [&bytes[..at], &header, &bytes[end..]].concat();
        return Some((Some(whole), header));
    }
    None
}

/// Kind of the unit here, where its content begins, and where it ends.
pub fn unit(bytes: &[u8], at: usize) -> Option<(u8, usize, usize)> {
    let head = *bytes.get(at)?;
    let mut content = at + if head & 4 == 0 { 1 } else { 2 };
    if head & 2 == 0 {
        return Some((head >> 3 & 15, content, bytes.len()));
    }
    let mut length = 0_usize;
    for step in 0..5 {
        let byte = *bytes.get(content)?;
        content += 1;
        length |= usize::from(byte & 0x7f) << (7 * step);
        if byte & 0x80 == 0 {
            break;
        }
    }
    let end = content.checked_add(length).filter(|end| *end <= bytes.len())?;
    Some((head >> 3 & 15, content, end))
}

/// What is needed of a sequence header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Header {
    profile: u32,
    level: u32,
    tier: u32,
    high_depth: u32,
    twelve: u32,
    mono: u32,
    narrow: (u32, u32),
    place: u32,
    /// Where the flag stands that says whether colours follow, and whether it is set.
    colours: (usize, bool),
    /// Where the flag of the full range stands.
    range: usize,
}

struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: usize) -> Option<u32> {
        (0..count).try_fold(0_u32, |value, _| {
            let byte = *self.bytes.get(self.at / 8)?;
            let bit = byte >> (7 - self.at % 8) & 1;
            self.at += 1;
            Some(value << 1 | u32::from(bit))
        })
    }

    fn flag(&mut self) -> Option<bool> {
        self.take(1).map(|bit| bit == 1)
    }

    /// A number after as many zeros as it has bits.
    fn counted(&mut self) -> Option<()> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        self.take(zeros).map(drop)
    }
}

impl Header {
    /// Reads the content of a sequence header, as section 5.5 of the specification lays it out.
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut bits = Bits { bytes, at: 0 };
        let mut header = Self {
            profile: bits.take(3)?,
            ..Self::default()
        };
        bits.take(1)?;
        let reduced = bits.flag()?;
        if reduced {
            header.level = bits.take(5)?;
        } else {
            header.points(&mut bits)?;
        }
        let (wide, high) = (bits.take(4)? as usize, bits.take(4)? as usize);
        bits.take(wide + 1)?;
        bits.take(high + 1)?;
        if !reduced && bits.flag()? {
            bits.take(7)?;
        }
        bits.take(3)?;
        if !reduced {
            bits.take(4)?;
            let order = bits.flag()?;
            if order {
                bits.take(2)?;
            }
            let screen = if bits.flag()? { 2 } else { bits.take(1)? };
            if screen > 0 && !bits.flag()? {
                bits.take(1)?;
            }
            if order {
                bits.take(3)?;
            }
        }
        bits.take(3)?;
        header.colours(&mut bits)?;
        Some(header)
    }

    /// Timing and operating points; the first of these has the level.
    fn points(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        let mut delays = None;
        if bits.flag()? {
            bits.take(64)?;
            if bits.flag()? {
                bits.counted()?;
            }
            if bits.flag()? {
                delays = Some(bits.take(5)? as usize + 1);
                bits.take(42)?;
            }
        }
        let display = bits.flag()?;
        for point in 0..=bits.take(5)? {
            bits.take(12)?;
            let level = bits.take(5)?;
            let tier = if level > 7 { bits.take(1)? } else { 0 };
            if point == 0 {
                (self.level, self.tier) = (level, tier);
            }
            if let Some(delays) = delays
                && bits.flag()?
            {
                bits.take(delays)?;
                bits.take(delays)?;
                bits.take(1)?;
            }
            if display && bits.flag()? {
                bits.take(4)?;
            }
        }
        Some(())
    }

    fn colours(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        self.high_depth = bits.take(1)?;
        if self.profile == 2 && self.high_depth == 1 {
            self.twelve = bits.take(1)?;
        }
        if self.profile != 1 {
            self.mono = bits.take(1)?;
        }
        let place = bits.at;
        let told = bits.flag()?;
        self.colours = (place, told);
        let numbers = if told { bits.take(24)? } else { 0x02_02_02 };
        self.range = bits.at;
        if self.mono == 1 {
            bits.take(1)?;
            self.narrow = (1, 1);
            return Some(());
        }
        // Red, green and blue as they are have no range to tell.
        if numbers == 0x01_0d_00 {
            return Some(());
        }
        bits.take(1)?;
        self.narrow = match self.profile {
            0 => (1, 1),
            1 => (0, 0),
            _ if self.twelve == 1 => {
                let wide = bits.take(1)?;
                (wide, if wide == 1 { bits.take(1)? } else { 0 })
            }
            _ => (1, 0),
        };
        if self.narrow == (1, 1) {
            self.place = bits.take(2)?;
        }
        Some(())
    }
}

/// The content of a sequence header with these colours; none where it says some already.
fn recolour(bytes: &[u8], numbers: Numbers) -> Option<Vec<u8>> {
    let header = Header::read(bytes)?;
    let (flag, told) = header.colours;
    if told {
        return None;
    }
    let last = bytes.iter().rposition(|byte| *byte != 0)?;
    // A single one ends the content, and zeros fill the byte.
    let end = last * 8 + 7 - bytes[last].trailing_zeros() as usize;
    let mut old = Bits { bytes, at: 0 };
    let mut new = Vec::new();
    for place in 0..end {
        let bit = old.take(1)? == 1;
        if place == flag {
            new.push(true);
            for number in [numbers.primaries, numbers.transfer, numbers.matrix] {
                new.extend((0..8).rev().map(|bit| number >> bit & 1 == 1));
            }
        } else if place == header.range {
            new.push(numbers.full_range);
        } else {
            new.push(bit);
        }
    }
    new.push(true);
    let packed = new.chunks(8).map(|byte| {
        let bits = byte.iter().enumerate();
        bits.fold(0_u8, |packed, (place, bit)| packed | u8::from(*bit) << (7 - place))
    });
    Some(packed.collect())
}

/// What a container says of a stream with this sequence header, head and all.
fn description(header: &[u8]) -> Option<Vec<u8>> {
    let (_, content, end) = unit(header, 0)?;
    let read = Header::read(header.get(content..end)?)?;
    let numbers = [
        0x81,
        read.profile << 5 | read.level,
        read.tier << 7
            | read.high_depth << 6
            | read.twelve << 5
            | read.mono << 4
            | read.narrow.0 << 3
            | read.narrow.1 << 2
            | read.place,
        0,
    ];
    let mut description: Vec<u8> = numbers.iter().filter_map(|number| u8::try_from(*number).ok()).collect();
    description.extend_from_slice(header);
    Some(description)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What libaom writes for 320x180 in 8 bits.
    const SMALL: [u8; 14] = [
        0x0a, 0x0c, 0x00, 0x00, 0x00, 0x04, 0x3c, 0xfe, 0xcf, 0x81, 0xb5, 0xf2, 0x00, 0x80,
    ];

    #[test]
    fn a_header_is_read_described_and_given_its_colours_once() {
        let read = Header::read(&SMALL[2..]).expect("read");
        assert_eq!((read.profile, read.level, read.narrow), (0, 0, (1, 1)));
        assert!(!read.colours.1);
        assert_eq!(
            description(&SMALL).expect("described")[..4],
            [0x81, 0, 0x0c | u8::try_from(read.place).unwrap(), 0]
        );
        let numbers = Numbers {
            primaries: 1,
            transfer: 1,
            matrix: 1,
            full_range: false,
        };
        let changed = recolour(&SMALL[2..], numbers).expect("changed");
        assert_eq!(changed.len(), SMALL.len() - 2 + 3);
        let again = Header::read(&changed).expect("read");
        assert!(again.colours.1);
        assert_eq!(
            Header {
                colours: (0, false),
                range: 0,
                ..again
            },
            Header {
                colours: (0, false),
                range: 0,
                ..read
            }
        );
        assert_eq!(recolour(&changed, numbers), None);
        for short in 0..8 {
            assert_eq!(Header::read(&SMALL[2..2 + short]), None);
        }
    }

    #[test]
    fn a_box_of_the_draft_becomes_one_of_the_standard() {
        let mut content = [
            &[0, 0, 0, 30][..],
            b"av1C",
            &[0; 5],
            &[0x81, 1, 2, 3],
            &SMALL[..10],
            &[0; 3],
        ]
        .concat();
        assert!(correct_box(&mut content));
        assert_eq!(content[..12], [0, 0, 0, 22, b'a', b'v', b'1', b'C', 0x81, 1, 2, 3]);
        assert_eq!(content[22..], [0, 0, 0, 8, b'f', b'r', b'e', b'e']);
        assert!(!correct_box(&mut content));
    }
}
