//! Writes a transport stream (ISO/IEC 13818-1) with one elementary stream: tables and a key frame begin every group, so that
//! each segment, and each key frame, can be read by itself.

use super::codecs::Wrapper;
use super::{CLOCK, Gop, Key};

/// The identifier of the elementary stream.
pub const STREAM: u16 = 0x100;
/// The identifier of the table that names it.
const PROGRAM: u16 = 0x1000;
/// Ticks that the stream's zero lies after that of its clock: what must be decoded before it has room there.
pub const ZERO: u64 = 10 * CLOCK as u64;
/// Ticks that a packet comes before it is decoded.
const AHEAD: u64 = CLOCK as u64 / 5;
/// What times are counted in: they begin again after this.
pub const TIMES: u64 = 1 << 33;
/// Frames of sound in one unit: each has a head of its own, and a frame by itself leaves half of its last packet empty. More of
/// them would leave the clock without a word for longer than a tenth of a second.
const TOGETHER: usize = 4;

/// Writes the segments of one track; packets are counted through all of them.
#[derive(Debug)]
pub struct Writer {
    wrapper: Wrapper,
    /// Ticks a second of the track.
    timescale: u32,
    counters: [u8; 3],
}

impl Writer {
    /// For packets of this sort.
    #[must_use]
    pub fn new(wrapper: Wrapper, timescale: u32) -> Self {
        Self {
            wrapper,
            timescale,
            counters: [0; 3],
        }
    }

    fn is_film(&self) -> bool {
        matches!(self.wrapper, Wrapper::H264 { .. })
    }

    /// How many units so many packets of the encoder become, all of one group.
    pub fn units(film: bool, packets: u64) -> u64 {
        if film {
            packets
        } else {
            packets.div_ceil(TOGETHER as u64)
        }
    }

    /// A segment of these groups, and where its key frames lie; none where a packet is damaged.
    pub fn segment(&mut self, gops: &[Gop]) -> Option<(Vec<u8>, Vec<Key>)> {
        let (mut out, mut keys) = (Vec::new(), Vec::new());
        for gop in gops {
            let offset = out.len();
            self.tables(&mut out);
            let together = if self.is_film() { 1 } else { TOGETHER };
            for (index, samples) in gop.samples.chunks(together).enumerate() {
                let (Some(first), mut data) = (samples.first(), Vec::new()) else {
                    continue;
                };
                for sample in samples {
                    data.extend(self.wrapper.wrap(&sample.data, sample.key)?);
                }
                let shown = self.time(i128::from(first.at));
                // As far ahead in every segment: there are players that put the first time of decoding where a segment begins.
                let ahead = i128::from(first.order) - i128::from(gop.delay);
                let decoded = if self.is_film() {
                    self.time(ahead).min(shown)
                } else {
                    shown
                };
                self.unit(&mut out, &data, shown, decoded, first.key && index == 0);
                if index == 0 && self.is_film() {
                    keys.push(Key {
                        at: gop.start,
                        offset: offset as u64,
                        bytes: (out.len() - offset) as u64,
                    });
                }
            }
        }
        Some((out, keys))
    }

    /// Ticks of the stream's clock.
    fn time(&self, ticks: i128) -> u64 {
        let scaled = (ticks * i128::from(CLOCK)).div_euclid(i128::from(self.timescale.max(1)));
        u64::try_from(scaled + i128::from(ZERO)).unwrap_or(0)
    }

    fn tables(&mut self, out: &mut Vec<u8>) {
        let [high, low] = PROGRAM.to_be_bytes();
        let association = section(0, &[0, 1, 0xe0 | high, low]);
        let [high, low] = STREAM.to_be_bytes();
        let sort = if self.is_film() { 0x1b } else { 0x0f };
        let program = section(2, &[0xe0 | high, low, 0xf0, 0, sort, 0xe0 | high, low, 0xf0, 0]);
        for (counter, id, table) in [(0, 0, association), (1, PROGRAM, program)] {
            self.head(out, counter, id, true, 0x10);
            // Nothing stands between the head and the table.
            out.push(0);
            out.extend(&table);
            out.resize(out.len() + 183 - table.len(), 0xff);
        }
    }

    fn head(&mut self, out: &mut Vec<u8>, counter: usize, id: u16, first: bool, has: u8) {
        let [high, low] = id.to_be_bytes();
        out.extend([0x47, u8::from(first) << 6 | high, low, has | self.counters[counter]]);
        self.counters[counter] = (self.counters[counter] + 1) & 0xf;
    }

    /// One unit of the elementary stream, in as many packets as it takes.
    fn unit(&mut self, out: &mut Vec<u8>, data: &[u8], shown: u64, decoded: u64, random: bool) {
        let mut pes = vec![0, 0, 1, if self.is_film() { 0xe0 } else { 0xc0 }];
        let both = shown != decoded;
        let times = if both { 10 } else { 5 };
        // The length of pictures may be left open.
        let length = u16::try_from(data.len() + 3 + times).unwrap_or(0);
        let length = if self.is_film() { 0 } else { length };
        pes.extend(length.to_be_bytes());
        pes.extend([0x84, if both { 0xc0 } else { 0x80 }, u8::try_from(times).unwrap_or(5)]);
        stamp(&mut pes, if both { 3 } else { 2 }, shown);
        if both {
            stamp(&mut pes, 1, decoded);
        }
        pes.extend(data);
        let mut rest = &pes[..];
        let mut first = true;
        while !rest.is_empty() {
            let mut field = Vec::new();
            if first {
                field.push(0x10 | u8::from(random) << 6);
                let clock = decoded.saturating_sub(AHEAD) % TIMES;
                field.extend(u32::try_from(clock >> 1).unwrap_or(0).to_be_bytes());
                field.extend([u8::from(clock & 1 == 1) << 7 | 0x7e, 0]);
            }
            let room = 184 - if field.is_empty() { 0 } else { field.len() + 1 };
            let taken = rest.len().min(room);
            let missing = room - taken;
            let has_field = !field.is_empty() || missing > 0;
            self.head(out, 2, STREAM, first, if has_field { 0x30 } else { 0x10 });
            if has_field {
                let filling = if field.is_empty() {
                    // The field's own length takes a byte, and its flags one where there is room for them.
                    if missing > 1 {
                        field.push(0);
                    }
                    missing.saturating_sub(2)
                } else {
                    missing
                };
                field.resize(field.len() + filling, 0xff);
                out.push(u8::try_from(field.len()).unwrap_or(183));
                out.extend(&field);
            }
            out.extend(&rest[..taken]);
            rest = &rest[taken..];
            first = false;
        }
    }
}

fn stamp(out: &mut Vec<u8>, mark: u8, time: u64) {
    let time = time % TIMES;
    let part = |shift: u32, bits: u32| u16::try_from(time >> shift & ((1 << bits) - 1)).unwrap_or(0) << 1 | 1;
    let [_, top] = part(30, 3).to_be_bytes();
    out.push(mark << 4 | top);
    out.extend(part(15, 15).to_be_bytes());
    out.extend(part(0, 15).to_be_bytes());
}

/// A table of the only program.
fn section(table: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len() + 9).unwrap_or(u8::MAX);
    let mut out = vec![table, 0xb0, length, 0, 1, 0xc1, 0, 0];
    out.extend(content);
    out.extend(checksum(&out).to_be_bytes());
    out
}

fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte) << 24, |sum, _| {
            if sum >> 31 == 1 {
                sum << 1 ^ 0x04c1_1db7
            } else {
                sum << 1
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::package::parse::transport;
    use crate::media::package::testing::gop;

    fn writer() -> Writer {
        let wrapper = Wrapper::H264 {
            parameters: vec![0, 0, 0, 1, 0x67],
            wide: 4,
        };
        Writer::new(wrapper, 25)
    }

    #[test]
    fn a_stream_goes_on_from_segment_to_segment() {
        let mut writer = writer();
        let (first, keys) = writer.segment(&[gop(0, &[(0, true), (2, false), (1, false)])]).unwrap();
        assert_eq!(keys[0].offset, 0);
        assert_eq!(keys[0].bytes, 3 * 188, "two tables and a frame");
        let read = transport(&first, STREAM, None).unwrap();
        assert_eq!((read.units, read.start), (3, Some(ZERO)));
        let (second, _) = writer.segment(&[gop(3, &[(0, true)])]).unwrap();
        let next = transport(&second, STREAM, Some(&read)).unwrap();
        assert_eq!((next.units, next.start), (1, Some(ZERO + 3 * 3600)));
        assert!(transport(&second, STREAM, Some(&next)).is_err(), "counters go on");
    }

    #[test]
    fn every_segment_decodes_as_far_ahead_as_it_shows() {
        let mut writer = writer();
        let mut ahead = |group| {
            let (bytes, _) = writer.segment(&[group]).unwrap();
            transport(&bytes, STREAM, None).unwrap().ahead
        };
        assert_eq!(ahead(gop(0, &[(0, true), (2, false), (1, false)])), 2 * 3600);
        assert_eq!(
            ahead(gop(3, &[(0, true)])),
            2 * 3600,
            "whatever the pictures of it need"
        );
    }

    #[test]
    fn frames_of_sound_share_their_packets() {
        let wrapper = Wrapper::Aac {
            profile: 1,
            rate: 3,
            channels: 2,
        };
        let mut group = gop(0, &[(0, true); 10]);
        for (sample, at) in group.samples.iter_mut().zip(0..) {
            sample.data = vec![0; 341];
            sample.at = at * 1024;
        }
        let (bytes, _) = Writer::new(wrapper, 48_000).segment(&[group]).unwrap();
        let read = transport(&bytes, STREAM, None).unwrap();
        assert_eq!((read.units, read.start), (Writer::units(false, 10), Some(ZERO)));
        assert_eq!(read.units, 3);
        assert!(bytes.len() < 10 * 341 * 6 / 5 + 2 * 188, "{}", bytes.len());
    }

    #[test]
    fn units_of_any_length_fill_their_packets() {
        for length in 0..800_u32 {
            let mut one = gop(0, &[(0, true)]);
            one.samples[0].data = [&length.to_be_bytes()[..], &vec![0x65; length as usize]].concat();
            let (bytes, _) = writer().segment(&[one]).unwrap();
            let read = transport(&bytes, STREAM, None).unwrap();
            assert_eq!(read.units, 1, "{length}");
        }
    }

    #[test]
    fn the_checksum_is_that_of_the_standard() {
        assert_eq!(checksum(b"123456789"), 0x0376_e6e7);
    }

    #[test]
    fn a_segment_in_which_the_clock_begins_again_starts_where_it_does() {
        // Shown in another order than decoded, some before the clock begins again and some after it.
        let first = (TIMES - ZERO) / 3600;
        let (bytes, _) = writer()
            .segment(&[gop(first, &[(0, true), (3, false), (1, false), (2, false)])])
            .unwrap();
        let read = transport(&bytes, STREAM, None).unwrap();
        assert_eq!(read.start, Some((first * 3600 + ZERO) % TIMES));
    }
}
