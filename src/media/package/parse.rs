//! Reads segments back: what fragments of MP4 and packets of a transport stream say of themselves.

use std::collections::BTreeMap;

use super::transport::TIMES;

/// A fragment as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment {
    /// When its first sample is decoded, in ticks.
    pub start: u64,
    /// In the order of decoding.
    pub samples: Vec<Sample>,
}

/// A sample as its fragment tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// In ticks.
    pub length: u32,
    /// In bytes.
    pub size: u32,
    /// Needs no other.
    pub key: bool,
    /// How much later than decoded it is shown, in ticks.
    pub shown_after: u32,
}

type Boxes<'a> = Vec<([u8; 4], &'a [u8])>;

/// Boxes side by side that fill these bytes.
fn boxes(mut bytes: &[u8]) -> Result<Boxes<'_>, String> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let size = number(bytes, 0)? as usize;
        let name = bytes.get(4..8).and_then(|name| name.try_into().ok()).ok_or_else(cut)?;
        let content = bytes.get(8..size).ok_or_else(cut)?;
        found.push((name, content));
        bytes = &bytes[size..];
    }
    Ok(found)
}

fn cut() -> String {
    "a box ends too early".to_owned()
}

fn number(bytes: &[u8], at: usize) -> Result<u32, String> {
    let four = bytes.get(at..at + 4).and_then(|four| four.try_into().ok());
    four.map(u32::from_be_bytes).ok_or_else(cut)
}

fn find<'a>(boxes: &Boxes<'a>, name: [u8; 4]) -> Result<&'a [u8], String> {
    let found = boxes.iter().find(|(one, _)| *one == name);
    let missing = || format!("there is no box {}", String::from_utf8_lossy(&name));
    found.map(|(_, content)| *content).ok_or_else(missing)
}

/// The names of the outermost boxes.
///
/// # Errors
/// Where boxes do not fill the bytes.
pub fn names(bytes: &[u8]) -> Result<Vec<[u8; 4]>, String> {
    Ok(boxes(bytes)?.into_iter().map(|(name, _)| name).collect())
}

/// The fragments of a segment.
///
/// # Errors
/// What is wrong, where boxes and data do not fit together.
pub fn segment(bytes: &[u8]) -> Result<Vec<Fragment>, String> {
    let all = boxes(bytes)?;
    let mut fragments = Vec::new();
    let mut waiting: Option<Fragment> = None;
    for (name, content) in all {
        match &name {
            b"moof" => {
                let (fragment, offset) = fragment(content)?;
                if offset as usize != content.len() + 16 {
                    return Err("a fragment points beside its data".to_owned());
                }
                if waiting.replace(fragment).is_some() {
                    return Err("a fragment has no data".to_owned());
                }
            }
            b"mdat" => {
                let fragment = waiting.take().ok_or("there is data without a fragment")?;
                let told: usize = fragment.samples.iter().map(|sample| sample.size as usize).sum();
                if told != content.len() {
                    return Err(format!("a fragment has {} bytes of {told}", content.len()));
                }
                fragments.push(fragment);
            }
            _ => {}
        }
    }
    match waiting {
        Some(_) => Err("a fragment has no data".to_owned()),
        None => Ok(fragments),
    }
}

fn fragment(content: &[u8]) -> Result<(Fragment, u32), String> {
    let traf = boxes(find(&boxes(content)?, *b"traf")?)?;
    let time = find(&traf, *b"tfdt")?;
    let start = u64::from(number(time, 4)?) << 32 | u64::from(number(time, 8)?);
    let run = find(&traf, *b"trun")?;
    let has = number(run, 0)?;
    let count = number(run, 4)?;
    let step = 4 * (has >> 8 & 0xf).count_ones() as usize;
    let mut samples = Vec::new();
    for index in 0..count as usize {
        let at = 12 + index * step;
        let mut fields = (0..).map(|field| number(run, at + field * 4));
        let mut next = |flag: u32| match has & flag {
            0 => Ok(0),
            _ => fields.next().unwrap_or_else(|| Err(cut())),
        };
        let (length, size, flags, shown) = (next(0x100)?, next(0x200)?, next(0x400)?, next(0x800)?);
        samples.push(Sample {
            length,
            size,
            key: flags & 0x1_0000 == 0,
            shown_after: shown,
        });
    }
    Ok((Fragment { start, samples }, number(run, 8)?))
}

/// What a segment of a transport stream holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stream {
    /// Packets of the elementary stream, each an access unit or some frames of sound.
    pub units: u64,
    /// When the first is shown, in ticks of 90 kHz.
    pub start: Option<u64>,
    /// How much earlier the first is decoded.
    pub ahead: u64,
    /// The counter of the last packet, by identifier.
    counters: BTreeMap<u16, u8>,
}

/// A time as a packet of a stream has it.
fn time(bytes: &[u8]) -> Option<u64> {
    let [first, a, b, c, d] = *bytes.first_chunk::<5>()?;
    let part = |two: [u8; 2]| u64::from(u16::from_be_bytes(two) >> 1);
    Some(u64::from(first >> 1 & 7) << 30 | part([a, b]) << 15 | part([c, d]))
}

/// Reads a segment of a transport stream whose elementary stream has this identifier. `before` is what the segment before
/// it ended with: counters go on.
///
/// # Errors
/// What is wrong.
pub fn transport(bytes: &[u8], identifier: u16, before: Option<&Stream>) -> Result<Stream, String> {
    let mut stream = Stream {
        counters: before.map(|before| before.counters.clone()).unwrap_or_default(),
        ..Stream::default()
    };
    let (packets, rest) = bytes.as_chunks::<188>();
    if !rest.is_empty() || packets.is_empty() {
        return Err("packets are cut".to_owned());
    }
    for packet in packets {
        if packet[0] != 0x47 {
            return Err("a packet does not begin where it should".to_owned());
        }
        let id = u16::from_be_bytes([packet[1] & 0x1f, packet[2]]);
        let counter = packet[3] & 0xf;
        if let Some(last) = stream.counters.insert(id, counter)
            && (last + 1) & 0xf != counter
        {
            return Err("a packet is missing".to_owned());
        }
        if id != identifier || packet[1] & 0x40 == 0 {
            continue;
        }
        stream.units += 1;
        let is_first = stream.units == 1;
        let skip = if packet[3] & 0x20 == 0 {
            0
        } else {
            usize::from(packet[4]) + 1
        };
        let head = packet.get(4 + skip..).unwrap_or_default();
        let time = |at: usize| time(head.get(at..at + 5)?);
        let shown = time(9).filter(|_| head.starts_with(&[0, 0, 1]));
        let shown = shown.ok_or("a packet of the stream has no time")?;
        if is_first && head.get(7).is_some_and(|has| has & 0x40 != 0) {
            let decoded = time(14).ok_or("a packet of the stream has no time")?;
            stream.ahead = shown.wrapping_sub(decoded) & (TIMES - 1);
        }
        stream.start = Some(stream.start.map_or(shown, |start| earlier(start, shown)));
    }
    Ok(stream)
}

/// The earlier of two times that lie near each other on a clock which begins again after a day or so.
fn earlier(one: u64, other: u64) -> u64 {
    let since = other.wrapping_sub(one) % TIMES;
    if since < TIMES / 2 { one } else { other }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::package::boxes;
    use crate::media::package::testing::gop;

    #[test]
    fn damage_anywhere_in_a_segment_is_an_error_or_another_segment_but_never_a_panic() {
        let whole = boxes::fragment(&gop(0, &[(0, true), (2, false), (1, false)]), 1, true);
        assert!(segment(&whole).is_ok());
        for at in 0..whole.len() {
            assert!(at == 0 || segment(&whole[..at]).is_err(), "{at}");
            for value in [0, 1, 7, 0x80, 0xff] {
                let mut damaged = whole.clone();
                damaged[at] = value;
                let _ = segment(&damaged);
                let _ = transport(&damaged, 0x100, None);
            }
        }
    }

    #[test]
    fn the_clock_of_a_stream_begins_again() {
        assert_eq!(earlier(5, 9), 5);
        assert_eq!(earlier(9, 5), 5);
        assert_eq!(earlier(TIMES - 3, 2), TIMES - 3);
        assert_eq!(earlier(2, TIMES - 3), TIMES - 3);
    }
}
