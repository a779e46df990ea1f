//! VP9 in fragments of MP4, as "VP Codec ISO Media File Format Binding" has it: a packet is a superframe, which shows one picture
//! and may hold others that are not shown. Its stream does not say how much a player must be able to do, so that is counted.

use std::fmt::Write as _;

use super::boxes::{bytes, put, u16s, u32s};
use crate::media::colour::Numbers;

/// A box of this version says colours in the numbers of ISO/IEC 23091-2.
const VERSION: [u8; 4] = [1, 0, 0, 0];
/// Where the level stands.
const LEVEL: usize = 5;

/// Levels: ten times their number, samples of a second, samples of a frame, its longer side, and thousands of bits a second.
const LEVELS: [(u8, f64, u32, u32, u64); 14] = [
    (10, 829_440.0, 36_864, 512, 200),
    (11, 2_764_800.0, 73_728, 768, 800),
    (20, 4_608_000.0, 122_880, 960, 1800),
    (21, 9_216_000.0, 245_760, 1344, 3600),
    (30, 20_736_000.0, 552_960, 2048, 7200),
    (31, 36_864_000.0, 983_040, 2752, 12_000),
    (40, 83_558_400.0, 2_228_224, 4160, 18_000),
    (41, 160_432_128.0, 2_228_224, 4160, 30_000),
    (50, 311_951_360.0, 8_912_896, 8384, 60_000),
    (51, 588_251_136.0, 8_912_896, 8384, 120_000),
    (52, 1_176_502_272.0, 8_912_896, 8384, 180_000),
    (60, 1_176_502_272.0, 35_651_584, 16_832, 180_000),
    (61, 2_353_004_544.0, 35_651_584, 16_832, 240_000),
    (62, 4_706_009_088.0, 35_651_584, 16_832, 480_000),
];

/// The content of `vpcC` for packets of these caps, without a level yet.
pub fn record(fields: &gst::StructureRef, colours: Option<Numbers>) -> Option<Vec<u8>> {
    let profile: u8 = fields.get::<&str>("profile").ok()?.parse().ok()?;
    let depth = fields.get::<u32>("bit-depth-luma").ok();
    let depth = depth.unwrap_or(if profile < 2 { 8 } else { 10 });
    // Of 4:2:0 the stream does not say where colours lie; players take them to lie with the first sample.
    let narrow = match fields.get::<&str>("chroma-format") {
        Ok("4:2:2") => 2,
        Ok("4:4:4") => 3,
        _ => 1,
    };
    let (told, full) = colours.map_or(([2; 3], false), |told| {
        ([told.primaries, told.transfer, told.matrix], told.full_range)
    });
    let mut out = VERSION.to_vec();
    let depth = u8::try_from(depth).ok()?;
    out.extend([profile, 0, depth << 4 | narrow << 1 | u8::from(full)]);
    out.extend(told);
    // It has no data of its own.
    out.extend([0, 0]);
    Some(out)
}

/// Says which level is enough for frames of this size, so many of them and so many bits a second.
pub fn settle(record: &mut [u8], (width, height): (u32, u32), frames: f64, bits: u64) {
    let samples = width * height;
    let fits = |level: &&(u8, f64, u32, u32, u64)| {
        let (_, second, frame, side, most) = **level;
        f64::from(samples) * frames <= second && samples <= frame && width.max(height) <= side && bits <= most * 1000
    };
    let level = LEVELS.iter().find(fits).map_or(62, |level| level.0);
    if let Some(place) = record.get_mut(LEVEL) {
        *place = level;
    }
}

/// The codec as manifests name it, with this record: `vp09.PP.LL.DD`, and colours only where players would take others for granted.
pub fn name(record: &[u8]) -> String {
    let byte = |at: usize| record.get(at).copied().unwrap_or(0);
    let (form, colours) = (byte(6), [7, 8, 9].map(byte));
    let mut name = format!("vp09.{:02}.{:02}.{:02}", byte(4), byte(LEVEL), form >> 4);
    let (narrow, full) = (form >> 1 & 7, form & 1);
    // BT.709, and where nothing is told there is nothing else to take.
    let usual = colours == [1; 3] || colours == [2; 3];
    if narrow != 1 || full != 0 || !usual {
        let [primaries, transfer, matrix] = colours;
        let _ = write!(name, ".{narrow:02}.{primaries:02}.{transfer:02}.{matrix:02}.{full:02}");
    }
    name
}

/// How many frames a packet has, shown or not: more than one where it ends with an index of them.
pub fn frames(packet: &[u8]) -> u64 {
    let Some(last) = packet.last().filter(|last| **last & 0xe0 == 0xc0) else {
        return 1;
    };
    let count = usize::from(last & 7) + 1;
    let index = 2 + count * (usize::from(last >> 3 & 3) + 1);
    let first = packet.len().checked_sub(index).map(|at| packet[at]);
    if first == Some(*last) { count as u64 } else { 1 }
}

/// Boxes of the screen that a film of a high dynamic range was made on, and of its brightest lights, of numbers as caps have them.
pub fn light(screen: Option<&[u32]>, film: Option<&[u32]>) -> Vec<u8> {
    let mut out = Vec::new();
    let small = |number: u64| u16::try_from(number).unwrap_or(u16::MAX);
    let large = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    if let Some([places @ .., most, least]) = screen
        && places.len() == 8
    {
        put(&mut out, *b"SmDm", |out| {
            u32s(out, &[0]);
            // Caps have them in steps of 1/50000, this box of 1/65536.
            for place in places {
                u16s(out, &[small((u64::from(*place) * 65_536 + 25_000) / 50_000)]);
            }
            // And lights in ten thousandths, the box in steps of 1/256 and 1/16384.
            u32s(out, &[large(u64::from(*most) * 256 / 10_000)]);
            u32s(out, &[large((u64::from(*least) * 16_384 + 5000) / 10_000)]);
        });
    }
    if let Some([most, average]) = film {
        put(&mut out, *b"CoLL", |out| {
            bytes(out, &[0; 4]);
            u16s(out, &[small(u64::from(*most)), small(u64::from(*average))]);
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(profile: &str, depth: u32, colours: Option<Numbers>) -> Vec<u8> {
        gst::init().unwrap();
        let caps = gst::Structure::builder("video/x-vp9")
            .field("profile", profile)
            .field("bit-depth-luma", depth)
            .field("chroma-format", "4:2:0");
        record(&caps.build(), colours).unwrap()
    }

    fn colours(primaries: u8, transfer: u8, matrix: u8) -> Numbers {
        Numbers {
            primaries,
            transfer,
            matrix,
            full_range: false,
        }
    }

    #[test]
    fn vp9_is_named_as_its_binding_has_it() {
        let mut usual = told("0", 8, Some(colours(1, 1, 1)));
        settle(&mut usual, (1920, 1080), 60.0, 5_000_000);
        assert_eq!(usual, [1, 0, 0, 0, 0, 41, 0x82, 1, 1, 1, 0, 0]);
        assert_eq!(name(&usual), "vp09.00.41.08");
        let mut deep = told("2", 10, Some(colours(9, 16, 9)));
        settle(&mut deep, (176, 144), 25.0, 100_000);
        assert_eq!(name(&deep), "vp09.02.10.10.01.09.16.09.00");
        assert_eq!(name(&told("0", 8, None)), "vp09.00.00.08");
    }

    #[test]
    fn a_level_is_enough_for_every_bound_of_it() {
        let level = |size, frames, bits| {
            let mut record = told("0", 8, None);
            settle(&mut record, size, frames, bits);
            record[LEVEL]
        };
        assert_eq!(level((256, 144), 15.0, 1000), 10);
        assert_eq!(level((256, 144), 30.0, 1000), 11, "frames");
        assert_eq!(level((256, 144), 15.0, 300_000), 11, "bits");
        assert_eq!(level((1024, 16), 15.0, 1000), 21, "its longer side");
        assert_eq!(level((1280, 720), 30.0, 3_000_000), 31);
        assert_eq!(level((3840, 2160), 60.0, 3_000_000), 51);
        assert_eq!(level((16_384, 16_384), 240.0, 3_000_000), 62, "there is nothing above");
    }

    #[test]
    fn frames_that_are_not_shown_are_counted() {
        assert_eq!(frames(&[0x82, 1, 2]), 1);
        assert_eq!(frames(&[]), 1);
        // Two frames of two bytes and one.
        assert_eq!(frames(&[1, 2, 3, 0xc1, 2, 1, 0xc1]), 2);
        // No index: it does not begin as it ends.
        assert_eq!(frames(&[1, 2, 3, 0, 2, 1, 0xc1]), 1);
        assert_eq!(frames(&[0xc7]), 1);
    }

    #[test]
    fn lights_are_in_the_steps_of_their_boxes() {
        let screen = [35_400, 14_600, 8500, 39_850, 6550, 2300, 15_635, 16_450, 10_000_000, 50];
        let out = light(Some(&screen), Some(&[1000, 400]));
        assert_eq!(out.len(), 8 + 4 + 16 + 8 + 8 + 4 + 4);
        assert_eq!(out[12..14], 46_399_u16.to_be_bytes());
        assert_eq!(out[28..32], 256_000_u32.to_be_bytes());
        assert_eq!(out[32..36], 82_u32.to_be_bytes());
        assert!(light(None, None).is_empty());
    }
}
