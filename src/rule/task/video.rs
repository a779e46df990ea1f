//! Settings of a film that is encoded: codec, rates, what players it must suit, and what is done to its pictures first.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// `video = { ... }` of a transcode.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VideoSpec {
    /// Which encoder.
    pub codec: VideoCodec,
    /// How many bits to spend.
    pub rate: VideoRate,
    /// How evenly a bitrate is spent.
    pub mode: RateMode,
    /// The most bits a second, over two seconds; none: as `mode` has it.
    pub max_bitrate: Option<u64>,
    /// All frames are looked at before the first is encoded, so that a bitrate goes where it is needed.
    pub two_pass: bool,
    /// How much work for each bit, in x264's words: `ultrafast` ... `placebo`.
    pub preset: String,
    /// Distance of key frames; none: 2 s.
    pub gop: Option<Gop>,
    /// Frames a second, 1 ..= 240; none keeps the source's timing. Only ever lowered by dropping frames
    /// or raised by repeating them.
    pub fps: Option<f64>,
    /// The most frames in a row that look ahead; none: as the preset has it.
    pub bframes: Option<u32>,
    /// One of [`VideoCodec::profiles`]; none: what the depth asks for.
    pub profile: Option<String>,
    /// One of [`VideoCodec::levels`]; none: what the film needs.
    pub level: Option<String>,
    /// Bits a sample: 8 or 10.
    pub depth: u32,
    /// Nobody asked for this depth: it is that of a high dynamic range, and a film without one keeps its own.
    #[serde(default)]
    pub deepened: bool,
    /// One of [`VideoCodec::tunes`].
    pub tune: Option<String>,
}

impl VideoSpec {
    /// What this codec is told where a rule says nothing.
    #[must_use]
    pub fn usual(codec: VideoCodec) -> Self {
        Self {
            codec,
            rate: codec.usual_rate(),
            mode: codec.modes().first().copied().unwrap_or(RateMode::Vbr),
            max_bitrate: None,
            two_pass: false,
            preset: "veryfast".to_owned(),
            gop: None,
            fps: None,
            bframes: None,
            profile: None,
            level: None,
            depth: codec.depths().first().copied().unwrap_or(8),
            deepened: false,
            tune: None,
        }
    }

    /// The same, deep enough for a high dynamic range where a film has one.
    pub fn deepen(&mut self) {
        if self.codec.holds_hdr() {
            (self.depth, self.deepened) = (10, true);
        }
    }
}

/// Video encoders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VideoCodec {
    /// H.264 by x264.
    H264,
    /// H.265 by x265.
    H265,
    /// VP8 by libvpx.
    Vp8,
    /// VP9 by libvpx.
    Vp9,
    /// AV1 by libaom.
    Av1,
    /// MPEG-2 by libavcodec.
    Mpeg2,
    /// Apple `ProRes`: every frame by itself, for editing.
    Prores,
    /// Avid DNxHR: every frame by itself, for editing.
    Dnxhd,
}

/// A profile: its word, and its bits a sample.
pub type Profile = (&'static str, u32);

impl VideoCodec {
    /// Every encoder, as rules write it.
    pub const ALL: [(&'static str, Self); 8] = [
        ("h264", Self::H264),
        ("h265", Self::H265),
        ("vp8", Self::Vp8),
        ("vp9", Self::Vp9),
        ("av1", Self::Av1),
        ("mpeg2", Self::Mpeg2),
        ("prores", Self::Prores),
        ("dnxhd", Self::Dnxhd),
    ];

    /// The word that rules use.
    #[must_use]
    pub fn word(self) -> &'static str {
        Self::ALL
            .iter()
            .find_map(|(word, one)| (*one == self).then_some(*word))
            .unwrap_or_default()
    }

    /// The largest constant rate factor, and the one that is taken where nobody says; none where the profile alone
    /// decides about quality.
    #[must_use]
    pub fn crf(self) -> Option<(f64, f64)> {
        match self {
            Self::H264 => Some((51.0, 23.0)),
            Self::H265 => Some((51.0, 28.0)),
            Self::Vp8 => Some((63.0, 10.0)),
            Self::Vp9 => Some((63.0, 31.0)),
            Self::Av1 => Some((63.0, 32.0)),
            Self::Mpeg2 => Some((31.0, 5.0)),
            Self::Prores | Self::Dnxhd => None,
        }
    }

    /// The rate that is taken where nobody says.
    #[must_use]
    pub fn usual_rate(self) -> VideoRate {
        self.crf()
            .map_or(VideoRate::Profile, |(_, usual)| VideoRate::Crf(usual))
    }

    /// How it can spend a bitrate, the default first.
    #[must_use]
    pub fn modes(self) -> &'static [RateMode] {
        match self {
            Self::H264 | Self::H265 | Self::Vp8 | Self::Vp9 | Self::Av1 => &[RateMode::Vbr, RateMode::Cbr],
            Self::Mpeg2 => &[RateMode::Cbr],
            Self::Prores | Self::Dnxhd => &[],
        }
    }

    /// The largest bitrate.
    #[must_use]
    pub fn largest_bitrate(self) -> u64 {
        match self {
            Self::H265 => 100_000_000,
            Self::Mpeg2 => 40_000_000,
            _ => 400_000_000,
        }
    }

    /// Keeps a bound besides its average.
    #[must_use]
    pub fn has_bound(self) -> bool {
        matches!(self, Self::H264 | Self::H265)
    }

    /// Can look at all frames first.
    #[must_use]
    pub fn has_two_passes(self) -> bool {
        matches!(self, Self::H264 | Self::H265 | Self::Vp8 | Self::Vp9)
    }

    /// Every frame stands by itself, and the encoder knows one way to work.
    #[must_use]
    pub fn is_for_editing(self) -> bool {
        matches!(self, Self::Prores | Self::Dnxhd)
    }

    /// The words of `preset` change what it does.
    #[must_use]
    pub fn has_presets(self) -> bool {
        !self.is_for_editing() && self != Self::Mpeg2
    }

    /// The most frames in a row that can look ahead; none where nobody can say.
    #[must_use]
    pub fn most_bframes(self) -> Option<u32> {
        match self {
            Self::H264 | Self::H265 => Some(16),
            _ => None,
        }
    }

    /// Bits a sample that it can have, the default first.
    #[must_use]
    pub fn depths(self) -> &'static [u32] {
        match self {
            Self::H264 | Self::H265 | Self::Vp9 | Self::Dnxhd => &[8, 10],
            Self::Vp8 | Self::Av1 | Self::Mpeg2 => &[8],
            Self::Prores => &[10],
        }
    }

    /// Profiles that can be asked for; the first with a depth is that of the depth.
    #[must_use]
    pub fn profiles(self) -> &'static [Profile] {
        match self {
            Self::H264 => &[("high", 8), ("main", 8), ("baseline", 8), ("high10", 10)],
            Self::H265 => &[("main", 8), ("main10", 10)],
            Self::Prores => &[("standard", 10), ("proxy", 10), ("lt", 10), ("hq", 10), ("4444", 10)],
            Self::Dnxhd => &[("hq", 8), ("sq", 8), ("lb", 8), ("hqx", 10)],
            _ => &[],
        }
    }

    /// Levels that can be asked for, with the most pixels of a frame and of a second.
    #[must_use]
    pub fn levels(self) -> &'static [(&'static str, u64, u64)] {
        // The standard counts H.264 in blocks of 16 by 16 pixels.
        match self {
            Self::H264 => &[
                ("1.0", 99 << 8, 1485 << 8),
                ("1.1", 396 << 8, 3000 << 8),
                ("1.2", 396 << 8, 6000 << 8),
                ("1.3", 396 << 8, 11_880 << 8),
                ("2.0", 396 << 8, 11_880 << 8),
                ("2.1", 792 << 8, 19_800 << 8),
                ("2.2", 1620 << 8, 20_250 << 8),
                ("3.0", 1620 << 8, 40_500 << 8),
                ("3.1", 3600 << 8, 108_000 << 8),
                ("3.2", 5120 << 8, 216_000 << 8),
                ("4.0", 8192 << 8, 245_760 << 8),
                ("4.1", 8192 << 8, 245_760 << 8),
                ("4.2", 8704 << 8, 522_240 << 8),
                ("5.0", 22_080 << 8, 589_824 << 8),
                ("5.1", 36_864 << 8, 983_040 << 8),
                ("5.2", 36_864 << 8, 2_073_600 << 8),
            ],
            Self::H265 => &[
                ("1.0", 36_864, 552_960),
                ("2.0", 122_880, 3_686_400),
                ("2.1", 245_760, 7_372_800),
                ("3.0", 552_960, 16_588_800),
                ("3.1", 983_040, 33_177_600),
                ("4.0", 2_228_224, 66_846_720),
                ("4.1", 2_228_224, 133_693_440),
                ("5.0", 8_912_896, 267_386_880),
                ("5.1", 8_912_896, 534_773_760),
                ("5.2", 8_912_896, 1_069_547_520),
                ("6.0", 35_651_584, 1_069_547_520),
                ("6.1", 35_651_584, 2_139_095_040),
                ("6.2", 35_651_584, 4_278_190_080),
            ],
            _ => &[],
        }
    }

    /// What it can be tuned for.
    #[must_use]
    pub fn tunes(self) -> &'static [&'static str] {
        match self {
            Self::H264 => &["film", "animation", "grain", "stillimage", "fastdecode", "zerolatency"],
            Self::H265 => &["animation", "grain", "fastdecode", "zerolatency"],
            _ => &[],
        }
    }

    /// The only rates of frames that it can have; nothing: any.
    #[must_use]
    pub fn frame_rates(self) -> &'static [f64] {
        match self {
            Self::Mpeg2 => &[23.976, 24.0, 25.0, 29.97, 30.0, 50.0, 59.94],
            _ => &[],
        }
    }

    /// The only sizes that it can have; nothing: any.
    #[must_use]
    pub fn sizes(self) -> &'static [(u32, u32)] {
        match self {
            Self::Dnxhd => &[(1920, 1080), (1280, 720)],
            _ => &[],
        }
    }

    /// Can hold the range and the colours of HDR, and say so.
    #[must_use]
    pub fn holds_hdr(self) -> bool {
        matches!(self, Self::H265 | Self::Vp9)
    }
}

/// How many bits a video encoder spends.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VideoRate {
    /// Constant rate factor; less is better. See [`VideoCodec::crf`].
    Crf(f64),
    /// Average bits a second.
    Bitrate(u64),
    /// As the profile has it.
    Profile,
}

/// How evenly a bitrate is spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RateMode {
    /// More where there is more to see; the average is kept over the film, and a bound over two seconds.
    Vbr,
    /// The same over every second or so, for lines that carry no more.
    Cbr,
}

impl RateMode {
    /// Both, as rules write them.
    pub const ALL: [(&'static str, Self); 2] = [("vbr", Self::Vbr), ("cbr", Self::Cbr)];
}

/// Distance between key frames.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gop {
    /// In frames.
    Frames(u32),
    /// In time.
    Time(Duration),
}

/// What is done to pictures before they are scaled and encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Treatment {
    /// Frames of two fields.
    pub deinterlace: Deinterlace,
    /// Clockwise degrees, on top of what the medium itself asks for: 0, 90, 180, 270.
    pub rotate: u32,
    /// A high dynamic range.
    pub hdr: Hdr,
}

/// What becomes of frames that were taken as two fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deinterlace {
    /// Made progressive where the stream says that they are interlaced.
    #[default]
    Auto,
    /// Made progressive whatever the stream says.
    Always,
    /// Taken as progressive whatever the stream says.
    Off,
}

impl Deinterlace {
    /// Every choice, as rules write it.
    pub const ALL: [(&'static str, Self); 3] = [("auto", Self::Auto), ("always", Self::Always), ("off", Self::Off)];
}

/// What becomes of a high dynamic range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hdr {
    /// Mapped to what every screen shows.
    #[default]
    Sdr,
    /// Kept, with 10 bits a sample. A film without one keeps its depth.
    Keep,
}

impl Hdr {
    /// Every choice, as rules write it.
    pub const ALL: [(&'static str, Self); 2] = [("sdr", Self::Sdr), ("keep", Self::Keep)];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_codec_has_a_word_a_depth_and_profiles_of_its_depths() {
        for (word, codec) in VideoCodec::ALL {
            assert_eq!(codec.word(), word);
            assert!(!codec.depths().is_empty(), "{word}");
            for (profile, depth) in codec.profiles() {
                assert!(codec.depths().contains(depth), "{word} {profile}");
            }
            assert_eq!(codec.crf().is_none(), codec.modes().is_empty(), "{word}");
        }
    }

    #[test]
    fn levels_rise() {
        for (word, codec) in VideoCodec::ALL {
            let rises = |pair: &[(_, u64, u64)]| pair[0].1 <= pair[1].1 && pair[0].2 <= pair[1].2;
            assert!(codec.levels().windows(2).all(rises), "{word}");
        }
    }
}
