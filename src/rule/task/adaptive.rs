//! Settings of an `adaptive` task: one film in several renditions, cut into segments.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::overlay::Cover;
use super::{AudioSpec, Fit, Part, Sides, SizeSpec, Tracks, Treatment, VideoCodec, VideoRate, VideoSpec};

/// Settings of an `adaptive` task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(clippy::struct_excessive_bools, reason = "each is a key of its own")]
pub struct Adaptive {
    /// An HLS master playlist is written.
    pub hls: bool,
    /// An MPD is written.
    pub dash: bool,
    /// What segments are.
    pub segments: SegmentForm,
    /// Length of a segment: 1 s ..= 30 s.
    pub segment: Duration,
    /// Explicit, or from the source.
    pub renditions: Renditions,
    /// The sound of all of them; none: without sound.
    pub audio: Option<AudioSpec>,
    /// Which sounds of the source there are, and which of its subtitles, as WebVTT.
    pub tracks: Tracks,
    /// A playlist of key frames alone, for fast winding.
    pub iframes: bool,
    /// How segments are encrypted.
    pub encryption: Option<Encryption>,
    /// Of the medium.
    pub part: Part,
    /// What is done to its pictures before anything else.
    pub treatment: Treatment,
    /// What is laid over every rendition. Plans have it in their own form.
    #[serde(skip)]
    pub cover: Cover,
}

/// Forms of segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SegmentForm {
    /// Fragments of MP4, which HLS and DASH share.
    Cmaf,
    /// MPEG transport stream, for HLS alone.
    Ts,
}

/// Which renditions there are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Renditions {
    /// A ladder from the source, never above it.
    Auto(Forms),
    /// These, each once: 1 ..= 12.
    Named(Vec<Rendition>),
}

impl Renditions {
    /// What their films are encoded as.
    #[must_use]
    pub fn codecs(&self) -> Vec<VideoCodec> {
        match self {
            Self::Auto(forms) => forms.codecs.clone(),
            Self::Named(all) => all.iter().map(|one| one.video.codec).collect(),
        }
    }
}

/// How renditions are encoded that are named by words alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forms {
    /// Each word stands for a rendition in each of these; at least one.
    pub codecs: Vec<VideoCodec>,
    /// A high dynamic range is kept.
    pub hdr: bool,
}

impl Forms {
    /// These renditions, in every codec. Those of the first have plain names.
    pub fn of(&self, rungs: impl Fn(VideoCodec) -> Vec<Rendition>) -> Vec<Rendition> {
        let all = self.codecs.iter().enumerate().flat_map(|(at, codec)| {
            let mut renditions = rungs(*codec);
            for rendition in &mut renditions {
                if at > 0 {
                    rendition.name = format!("{}-{}", rendition.name, codec.word());
                }
                if self.hdr {
                    rendition.video.deepen();
                }
            }
            renditions
        });
        all.collect()
    }
}

/// One wanted form of the film.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rendition {
    /// For the names of files: letters, digits, `-`, `_`.
    pub name: String,
    /// Wanted picture size.
    pub size: SizeSpec,
    /// How it is encoded.
    pub video: VideoSpec,
}

/// A form of the film that rules name by a word.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rung {
    /// As rules write it.
    pub word: &'static str,
    /// The shorter side of its picture, in pixels.
    pub short_side: u32,
    crf: f64,
    cap: u64,
}

impl Rung {
    /// Every rung, the largest first.
    pub const ALL: [Self; 7] = [
        Self::new("2160p", 2160, 21.0, 16_000_000),
        Self::new("1440p", 1440, 21.0, 9_000_000),
        Self::new("1080p", 1080, 22.0, 6_000_000),
        Self::new("720p", 720, 23.0, 3_000_000),
        Self::new("480p", 480, 23.0, 1_500_000),
        Self::new("360p", 360, 24.0, 800_000),
        Self::new("240p", 240, 25.0, 400_000),
    ];

    /// The most that a ladder has: five, and one of the film's own size.
    pub const LONGEST: usize = 6;

    const fn new(word: &'static str, short_side: u32, crf: f64, cap: u64) -> Self {
        Self {
            word,
            short_side,
            crf,
            cap,
        }
    }

    /// What it stands for, in this codec.
    #[must_use]
    pub fn rendition(self, codec: VideoCodec) -> Rendition {
        self.at(self.word.to_owned(), self.short_side, codec)
    }

    /// The same for a picture whose shorter side has another length; bits follow the number of pixels.
    fn at(self, name: String, short_side: u32, codec: VideoCodec) -> Rendition {
        let pixels = |side: u32| u64::from(side) * u64::from(side);
        let most = self.cap * pixels(short_side) / pixels(self.short_side);
        // As far from what is usual as that of H.264 is.
        let usual = |codec: VideoCodec| codec.crf().map_or(23.0, |(_, usual)| usual);
        let crf = self.crf + usual(codec) - usual(VideoCodec::H264);
        // What came after H.264 shows as much with fewer bits.
        let most = if codec == VideoCodec::H264 { most } else { most * 3 / 5 };
        Rendition {
            name,
            size: SizeSpec {
                sides: Sides::LongShort,
                across: None,
                down: Some(short_side),
                fit: Fit::Contain,
                upscale: false,
            },
            video: VideoSpec {
                rate: VideoRate::Crf(crf),
                max_bitrate: Some(most.max(100_000)),
                ..VideoSpec::usual(codec)
            },
        }
    }

    /// The ladder of a film whose picture has a shorter side of this length: the rungs that are not above it, under one of its own
    /// size where that is far from all of them. Never empty.
    #[must_use]
    pub fn ladder(short_side: u32, codec: VideoCodec) -> Vec<Rendition> {
        let below = Self::ALL.iter().position(|rung| rung.short_side <= short_side);
        let mut ladder: Vec<_> = Self::ALL[below.unwrap_or(Self::ALL.len())..].to_vec();
        ladder.truncate(Self::LONGEST - 1);
        let mut ladder: Vec<_> = ladder.into_iter().map(|rung| rung.rendition(codec)).collect();
        let own = short_side / 2 * 2;
        let next = below.map_or(0, |at| Self::ALL[at].short_side);
        // A fifth more is seen.
        if u64::from(own) * 5 >= u64::from(next) * 6 {
            let above = below.unwrap_or(Self::ALL.len()).saturating_sub(1);
            ladder.insert(0, Self::ALL[above].at(format!("{own}p"), own.max(2), codec));
        }
        ladder
    }
}

/// Codecs of films that packages hold, the default first. Their encoders make key frames when they are asked to.
pub const PACKAGED: [VideoCodec; 4] = [VideoCodec::H264, VideoCodec::H265, VideoCodec::Vp9, VideoCodec::Av1];

/// AES-128 over whole segments, as RFC 8216 has it, with a key for each job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encryption {
    /// Where players ask for the key; `{job}` and `{rule}` stand for theirs.
    pub key_uri: String,
    /// Where the key is put: a folder of the output bucket, outside of the package.
    pub key_directory: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ladder_is_never_above_its_source_and_never_empty() {
        let names = |side| {
            let names: Vec<_> = Rung::ladder(side, VideoCodec::H264)
                .into_iter()
                .map(|one| one.name)
                .collect();
            names.join(" ")
        };
        let table = [4320, 2160, 1080, 1078, 800, 576, 480, 240, 100, 2]
            .map(|side| format!("{side}: {}", names(side)))
            .join("\n");
        insta::assert_snapshot!(table, @r"
        4320: 4320p 2160p 1440p 1080p 720p 480p
        2160: 2160p 1440p 1080p 720p 480p
        1080: 1080p 720p 480p 360p 240p
        1078: 1078p 720p 480p 360p 240p
        800: 720p 480p 360p 240p
        576: 576p 480p 360p 240p
        480: 480p 360p 240p
        240: 240p
        100: 100p
        2: 2p
        ");
    }

    #[test]
    fn words_stand_for_a_rendition_in_each_codec() {
        let forms = Forms {
            codecs: PACKAGED.to_vec(),
            hdr: true,
        };
        let rungs = |codec| vec![Rung::ALL[2].rendition(codec), Rung::ALL[5].rendition(codec)];
        let all = forms.of(rungs).into_iter().map(|one| {
            let VideoSpec {
                rate,
                max_bitrate,
                depth,
                ..
            } = one.video;
            format!("{} {rate:?} {max_bitrate:?} {depth}", one.name)
        });
        insta::assert_snapshot!(all.collect::<Vec<_>>().join("\n"), @r"
        1080p Crf(22.0) Some(6000000) 8
        360p Crf(24.0) Some(800000) 8
        1080p-h265 Crf(27.0) Some(3600000) 10
        360p-h265 Crf(29.0) Some(480000) 10
        1080p-vp9 Crf(30.0) Some(3600000) 10
        360p-vp9 Crf(32.0) Some(480000) 10
        1080p-av1 Crf(31.0) Some(3600000) 8
        360p-av1 Crf(33.0) Some(480000) 8
        ");
    }
}
