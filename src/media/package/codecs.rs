//! What codecs are called (RFC 6381), and how their packets are wrapped for a transport stream.

use super::boxes::Content;
use crate::rule::VideoCodec;

/// The codec as manifests name it.
#[must_use]
pub fn name(content: &Content) -> String {
    match content {
        Content::Film(film) => film.name(),
        Content::Aac { config, .. } => {
            let object = config.first().map_or(2, |first| first >> 3);
            format!("mp4a.40.{object}")
        }
    }
}

/// Wraps packets for a transport stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wrapper {
    /// H.264 with start codes; before key frames what is needed to decode them.
    H264 {
        /// With start codes.
        parameters: Vec<u8>,
        /// Bytes of the lengths that stand in place of start codes.
        wide: usize,
    },
    /// AAC with a header (ADTS) made of these numbers.
    Aac {
        /// Of the object type, from 0.
        profile: u8,
        /// Index of the rate.
        rate: u8,
        /// Configuration of channels.
        channels: u8,
    },
}

const START: [u8; 4] = [0, 0, 0, 1];

impl Wrapper {
    /// For packets of this content; none where its config says too little.
    #[must_use]
    pub fn of(content: &Content) -> Option<Self> {
        match content {
            Content::Film(film) => {
                let config = film.of_codec(VideoCodec::H264)?;
                let wide = usize::from(config.get(4)? & 3) + 1;
                let mut parameters = Vec::new();
                let mut at = 6;
                for _ in 0..config.get(5)? & 0x1f {
                    at = unit(config, at, &mut parameters)?;
                }
                let count = *config.get(at)?;
                at += 1;
                for _ in 0..count {
                    at = unit(config, at, &mut parameters)?;
                }
                Some(Self::H264 { parameters, wide })
            }
            Content::Aac { config, .. } => {
                let (first, second) = (*config.first()?, *config.get(1)?);
                Some(Self::Aac {
                    profile: (first >> 3).checked_sub(1).filter(|profile| *profile < 4)?,
                    rate: (first & 7) << 1 | second >> 7,
                    channels: second >> 3 & 0xf,
                })
            }
        }
    }

    /// The packet as a transport stream has it; none where it is damaged.
    #[must_use]
    pub fn wrap(&self, packet: &[u8], key: bool) -> Option<Vec<u8>> {
        match self {
            Self::H264 { parameters, wide } => {
                // Where one picture ends and the next begins.
                let mut out = [&START[..], &[9, 0xf0]].concat();
                if key {
                    out.extend(parameters);
                }
                let mut rest = packet;
                while !rest.is_empty() {
                    let length = rest
                        .get(..*wide)?
                        .iter()
                        .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
                    let unit = rest.get(*wide..wide + length)?;
                    if unit.first().is_some_and(|first| first & 0x1f != 9) {
                        out.extend(START);
                        out.extend(unit);
                    }
                    rest = &rest[wide + length..];
                }
                Some(out)
            }
            Self::Aac {
                profile,
                rate,
                channels,
            } => {
                let length = u16::try_from(packet.len() + 7)
                    .ok()
                    .filter(|length| *length < 1 << 13)?;
                let [high, low] = length.to_be_bytes();
                let head = [
                    0xff,
                    0xf1,
                    profile << 6 | rate << 2 | channels >> 2,
                    channels << 6 | high >> 3,
                    high << 5 | low >> 3,
                    low << 5 | 0x1f,
                    0xfc,
                ];
                Some([&head[..], packet].concat())
            }
        }
    }
}

/// Appends a parameter set of `avcC`; answers where the next stands.
fn unit(config: &[u8], at: usize, to: &mut Vec<u8>) -> Option<usize> {
    let length = usize::from(u16::from_be_bytes([*config.get(at)?, *config.get(at + 1)?]));
    to.extend(START);
    to.extend(config.get(at + 2..at + 2 + length)?);
    Some(at + 2 + length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::package::testing;

    fn h264() -> Content {
        let config = vec![1, 0x64, 0x00, 0x1f, 0xff, 0xe1, 0, 2, 0x67, 0x64, 1, 0, 1, 0x68];
        Content::Film(testing::pictures(config))
    }

    fn aac() -> Content {
        Content::Aac {
            config: vec![0x11, 0x90],
            channels: 2,
            rate: 48_000,
        }
    }

    #[test]
    fn codecs_are_named_as_players_expect() {
        assert_eq!(name(&h264()), "avc1.64001f");
        assert_eq!(name(&aac()), "mp4a.40.2");
    }

    #[test]
    fn lengths_become_start_codes_and_key_frames_bring_their_parameters() {
        let wrapper = Wrapper::of(&h264()).unwrap();
        let packet = [0, 0, 0, 2, 9, 0xf0, 0, 0, 0, 1, 0x65];
        let digits = |bytes: Option<Vec<u8>>| format!("{:02x?}", bytes.unwrap());
        assert_eq!(
            digits(wrapper.wrap(&packet, true)),
            "[00, 00, 00, 01, 09, f0, 00, 00, 00, 01, 67, 64, 00, 00, 00, 01, 68, 00, 00, 00, 01, 65]"
        );
        assert_eq!(wrapper.wrap(&packet[..10], false), None);
    }

    #[test]
    fn sound_gets_a_header_with_its_length() {
        let wrapped = Wrapper::of(&aac()).unwrap().wrap(&[0; 393], true).unwrap();
        assert_eq!(wrapped.len(), 400);
        assert_eq!(&wrapped[..7], [0xff, 0xf1, 0x4c, 0x80, 0x32, 0x1f, 0xfc]);
        assert_eq!(Wrapper::of(&aac()).unwrap().wrap(&[0; 9000], true), None);
    }
}
