//! What a film in a package is: what its codec is called (RFC 6381), the description that fragments of MP4 have of it, and its
//! packets as they have them.

use std::fmt::Write as _;

use super::boxes::{bytes, put, u16s, u32s};
use super::{aom, vp9};
use crate::media::colour::{self, Numbers};
use crate::media::describe;
use crate::plan::Coded;
use crate::rule::VideoCodec;

/// A film.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pictures {
    /// One of [`crate::rule::PACKAGED`].
    pub codec: VideoCodec,
    /// What its decoder is told: `avcC`, `hvcC`, `vpcC` or `av1C`.
    pub config: Vec<u8>,
    /// In pixels.
    pub width: u16,
    /// In pixels.
    pub height: u16,
    /// What its samples mean.
    pub colours: Option<Numbers>,
    /// What players must understand, in words.
    pub coded: Coded,
    /// Boxes of the screen that a film of a high dynamic range was made on, and of its brightest lights.
    pub light: Vec<u8>,
}

/// Where in `hvcC` the length of lengths stands, and how many lists of parameters follow.
const LENGTHS: usize = 21;

/// A unit of H.265 that stands in the description, or tells where a picture begins.
const APART: std::ops::RangeInclusive<u8> = 32..=35;

impl Pictures {
    /// What packets of these caps are, whose decoder is told this; none where caps say too little.
    #[must_use]
    pub fn of(caps: &gst::CapsRef, mut config: Vec<u8>) -> Option<Self> {
        let fields = caps.structure(0)?;
        let side = |name| u16::try_from(fields.get::<i32>(name).ok()?).ok();
        let codec = match fields.name().as_str() {
            "video/x-h264" => VideoCodec::H264,
            "video/x-h265" => VideoCodec::H265,
            "video/x-vp9" => VideoCodec::Vp9,
            "video/x-av1" => VideoCodec::Av1,
            _ => return None,
        };
        let colours = colour::numbers(caps);
        match codec {
            VideoCodec::H265 => complete(&mut config)?,
            VideoCodec::Vp9 => config = vp9::record(fields, colours)?,
            VideoCodec::Av1 => config = aom::description(&config)?,
            _ if config.is_empty() => return None,
            _ => {}
        }
        let numbers = |name| -> Option<Vec<u32>> {
            let text = fields.get::<&str>(name).ok()?;
            text.split(':').map(|number| number.parse().ok()).collect()
        };
        let light = if codec == VideoCodec::Vp9 { vp9::light } else { light };
        let light = light(
            numbers("mastering-display-info").as_deref(),
            numbers("content-light-level").as_deref(),
        );
        Some(Self {
            codec,
            config,
            width: side("width")?,
            height: side("height")?,
            colours,
            coded: describe::coded(fields),
            light,
        })
    }

    /// What its decoder is told, where it is of this codec.
    #[must_use]
    pub fn of_codec(&self, codec: VideoCodec) -> Option<&[u8]> {
        (self.codec == codec).then_some(self.config.as_slice())
    }

    fn byte(&self, at: usize) -> u8 {
        self.config.get(at).copied().unwrap_or(0)
    }

    /// The codec as manifests name it.
    #[must_use]
    pub fn name(&self) -> String {
        match self.codec {
            VideoCodec::H265 => self.name_of_h265(),
            VideoCodec::Vp9 => vp9::name(&self.config),
            VideoCodec::Av1 => aom::name(&self.config, self.colours),
            _ => format!("avc1.{:02x}{:02x}{:02x}", self.byte(1), self.byte(2), self.byte(3)),
        }
    }

    /// As annex E of ISO/IEC 14496-15 has it.
    fn name_of_h265(&self) -> String {
        let first = self.byte(1);
        let space = ["", "A", "B", "C"][usize::from(first >> 6)];
        let tier = if first & 0x20 == 0 { 'L' } else { 'H' };
        let fits = [2, 3, 4, 5].map(|at| self.byte(at));
        // The first of these flags is the lowest bit.
        let fits = u32::from_be_bytes(fits).reverse_bits();
        let mut name = format!("hvc1.{space}{}.{fits:X}.{tier}{}", first & 0x1f, self.byte(12));
        let bounds = [6, 7, 8, 9, 10, 11].map(|at| self.byte(at));
        let told = bounds.iter().rposition(|bound| *bound != 0).map_or(0, |last| last + 1);
        for bound in &bounds[..told] {
            let _ = write!(name, ".{bound:X}");
        }
        name
    }

    /// Its high dynamic range, as HLS calls it; none where it has a usual one.
    #[must_use]
    pub fn range(&self) -> Option<&'static str> {
        match self.colours?.transfer {
            16 => Some("PQ"),
            18 => Some("HLG"),
            _ => None,
        }
    }

    /// Its entry in the description of a track.
    pub fn entry(&self, out: &mut Vec<u8>) {
        let (name, of_decoder) = match self.codec {
            VideoCodec::H265 => (*b"hvc1", *b"hvcC"),
            VideoCodec::Vp9 => (*b"vp09", *b"vpcC"),
            VideoCodec::Av1 => (*b"av01", *b"av1C"),
            _ => (*b"avc1", *b"avcC"),
        };
        put(out, name, |out| {
            u16s(out, &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, self.width, self.height]);
            u32s(out, &[0x48_0000, 0x48_0000, 0]);
            u16s(out, &[1]);
            bytes(out, &[0; 32]);
            u16s(out, &[24, 0xffff]);
            put(out, of_decoder, |out| bytes(out, &self.config));
            if let Some(told) = self.colours {
                put(out, *b"colr", |out| {
                    bytes(out, b"nclx");
                    u16s(out, &[told.primaries, told.transfer, told.matrix].map(u16::from));
                    bytes(out, &[u8::from(told.full_range) << 7]);
                });
            }
            bytes(out, &self.light);
            put(out, *b"pasp", |out| u32s(out, &[1, 1]));
        });
    }

    /// A packet without what stands in the description; none where it is damaged.
    #[must_use]
    pub fn bare(&self, packet: Vec<u8>) -> Option<Vec<u8>> {
        match self.codec {
            VideoCodec::H265 => units(&packet, usize::from(self.byte(LENGTHS) & 3) + 1),
            VideoCodec::Av1 => aom::bare(&packet),
            _ => Some(packet),
        }
    }

    /// What files of it are marked with besides what all have.
    #[must_use]
    pub fn brand(&self) -> &'static [u8] {
        match self.codec {
            VideoCodec::Av1 => b"av01",
            _ => b"",
        }
    }

    /// How many frames a packet has, shown or not.
    #[must_use]
    pub fn frames(&self, packet: &[u8]) -> u64 {
        match self.codec {
            VideoCodec::Vp9 => vp9::frames(packet),
            _ => 1,
        }
    }

    /// Says how much a player must be able to do, where the stream does not: it has so many frames a second at most, and so many bits.
    pub fn settle(&mut self, frames: f64, bits: u64) {
        if self.codec == VideoCodec::Vp9 {
            let size = (u32::from(self.width), u32::from(self.height));
            vp9::settle(&mut self.config, size, frames, bits);
        }
    }
}

/// Says in `hvcC` that all parameters stand there: of each list that none follow among the pictures.
fn complete(config: &mut [u8]) -> Option<()> {
    let lists = *config.get(LENGTHS + 1)?;
    let mut at = LENGTHS + 2;
    for _ in 0..lists {
        *config.get_mut(at)? |= 0x80;
        let count = u16::from_be_bytes([*config.get(at + 1)?, *config.get(at + 2)?]);
        at += 3;
        for _ in 0..count {
            at += 2 + usize::from(u16::from_be_bytes([*config.get(at)?, *config.get(at + 1)?]));
        }
    }
    Some(())
}

fn units(packet: &[u8], wide: usize) -> Option<Vec<u8>> {
    let mut bare = Vec::with_capacity(packet.len());
    let mut rest = packet;
    while !rest.is_empty() {
        let length = rest
            .get(..wide)?
            .iter()
            .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        let unit = rest.get(wide..wide + length)?;
        if !APART.contains(&(unit.first()? >> 1 & 0x3f)) {
            bare.extend(&rest[..wide + length]);
        }
        rest = &rest[wide + length..];
    }
    Some(bare)
}

/// Boxes `mdcv` and `clli` of these numbers, as caps have them.
fn light(screen: Option<&[u32]>, film: Option<&[u32]>) -> Vec<u8> {
    let mut out = Vec::new();
    let small = |number: u32| u16::try_from(number).unwrap_or(u16::MAX);
    if let Some([rx, ry, gx, gy, bx, by, wx, wy, most, least]) = screen {
        put(&mut out, *b"mdcv", |out| {
            u16s(out, &[gx, gy, bx, by, rx, ry, wx, wy].map(|number| small(*number)));
            u32s(out, &[*most, *least]);
        });
    }
    if let Some([most, average]) = film {
        put(&mut out, *b"clli", |out| u16s(out, &[small(*most), small(*average)]));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::package::testing;

    fn film(codec: VideoCodec, config: Vec<u8>) -> Pictures {
        Pictures {
            codec,
            ..testing::pictures(config)
        }
    }

    #[test]
    fn h265_is_named_as_the_standard_has_it() {
        // The two examples of the standard's annex: main in level 3.1, and main 10 in level 4.1 of the high tier.
        let main = [1, 0x01, 0x60, 0, 0, 0, 0x90, 0, 0, 0, 0, 0, 93];
        assert_eq!(film(VideoCodec::H265, main.to_vec()).name(), "hvc1.1.6.L93.90");
        let high = [1, 0x22, 0x20, 0, 0, 0, 0xb0, 0x23, 0, 0, 0, 0, 123];
        assert_eq!(film(VideoCodec::H265, high.to_vec()).name(), "hvc1.2.4.H123.B0.23");
        let other = [1, 0x41, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 30];
        assert_eq!(film(VideoCodec::H265, other.to_vec()).name(), "hvc1.A1.0.L30");
    }

    #[test]
    fn parameters_stand_in_the_description_alone() {
        let mut config = vec![0; LENGTHS];
        config.extend([3, 2, 0x20, 0, 1, 0, 1, 9, 0x22, 0, 2, 0, 1, 7, 0, 1, 8]);
        complete(&mut config).unwrap();
        assert_eq!((config[LENGTHS + 2], config[LENGTHS + 8]), (0xa0, 0xa2));
        let film = film(VideoCodec::H265, config);
        // A delimiter, a set of parameters, and a picture.
        let packet = vec![0, 0, 0, 2, 0x46, 1, 0, 0, 0, 2, 0x42, 1, 0, 0, 0, 3, 0x26, 1, 5];
        assert_eq!(film.bare(packet).unwrap(), [0, 0, 0, 3, 0x26, 1, 5]);
        assert_eq!(film.bare(vec![0, 0, 0, 9, 1]), None);
    }
}
