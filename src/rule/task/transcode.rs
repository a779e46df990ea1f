//! Settings of a `transcode`: container, codecs, rates, size.

use serde::{Deserialize, Serialize};

use super::Point;
use super::clips::Clips;
use super::overlay::Cover;
use super::tracks::Tracks;
use super::video::{Treatment, VideoCodec, VideoSpec};

/// Settings of a `transcode` task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Transcode {
    /// The form of the file.
    pub container: Container,
    /// Wanted picture size, where the video is encoded.
    pub size: SizeSpec,
    /// The first film.
    pub video: Track<VideoSpec>,
    /// The sounds that are taken.
    pub audio: Track<AudioSpec>,
    /// Of the medium.
    pub part: Part,
    /// What is done to its pictures before anything else.
    pub treatment: Treatment,
    /// What is laid over the film. Plans have it in their own form.
    #[serde(skip)]
    pub cover: Cover,
    /// What is joined to the film. Plans have it in their own form.
    #[serde(skip)]
    pub clips: Clips,
    /// Which sounds and subtitles are taken.
    pub tracks: Tracks,
}

impl Transcode {
    /// Takes over packets of the source as they are.
    #[must_use]
    pub fn copies(&self) -> bool {
        matches!(self.video, Track::Copy) || matches!(self.audio, Track::Copy)
    }
}

/// What becomes of one sort of stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Track<T> {
    /// Left out.
    None,
    /// Taken over as it is, without decoding.
    Copy,
    /// Decoded and encoded anew.
    Encode(T),
}

impl<T> Track<T> {
    /// Whether there is one in the result.
    pub fn is_some(&self) -> bool {
        !matches!(self, Self::None)
    }

    /// How to encode it, where it is.
    pub fn encoded(&self) -> Option<&T> {
        match self {
            Self::Encode(spec) => Some(spec),
            _ => None,
        }
    }
}

/// The part of a medium that is wanted: all of it, where both are none.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Part {
    /// Where it begins.
    pub start: Option<Point>,
    /// Where it ends.
    pub end: Option<Point>,
}

/// Forms of a transcoded file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Container {
    /// ISO base media file with the index in front.
    Mp4,
    /// QuickTime with the index in front.
    Mov,
    /// Matroska.
    Mkv,
    /// WebM.
    Webm,
    /// MPEG transport stream.
    Ts,
    /// Flash video.
    Flv,
    /// Material exchange format, one film and one sound interleaved.
    Mxf,
    /// MP4 with sound alone.
    M4a,
    /// MPEG audio with a header that tells its length.
    Mp3,
    /// Ogg with sound alone.
    Ogg,
    /// FLAC.
    Flac,
    /// RIFF WAVE.
    Wav,
}

impl Container {
    /// Every form, as rules write it.
    pub const ALL: [(&'static str, Self); 12] = [
        ("mp4", Self::Mp4),
        ("mov", Self::Mov),
        ("mkv", Self::Mkv),
        ("webm", Self::Webm),
        ("ts", Self::Ts),
        ("flv", Self::Flv),
        ("mxf", Self::Mxf),
        ("m4a", Self::M4a),
        ("mp3", Self::Mp3),
        ("ogg", Self::Ogg),
        ("flac", Self::Flac),
        ("wav", Self::Wav),
    ];

    /// The usual file extension, without its dot: the word that rules use.
    #[must_use]
    pub fn extension(self) -> &'static str {
        Self::ALL
            .iter()
            .find_map(|(word, one)| (*one == self).then_some(*word))
            .unwrap_or_default()
    }

    /// What video it can hold, the default first; nothing where it holds sound alone.
    #[must_use]
    pub fn video_codecs(self) -> &'static [VideoCodec] {
        match self {
            Self::Mp4 => &[VideoCodec::H264, VideoCodec::H265, VideoCodec::Av1, VideoCodec::Vp9],
            Self::Mov => &[VideoCodec::H264, VideoCodec::H265, VideoCodec::Prores],
            Self::Mkv => &[
                VideoCodec::H264,
                VideoCodec::H265,
                VideoCodec::Av1,
                VideoCodec::Vp9,
                VideoCodec::Vp8,
                VideoCodec::Mpeg2,
            ],
            Self::Webm => &[VideoCodec::Vp9, VideoCodec::Vp8, VideoCodec::Av1],
            Self::Ts => &[VideoCodec::H264, VideoCodec::H265, VideoCodec::Mpeg2],
            Self::Flv => &[VideoCodec::H264],
            Self::Mxf => &[VideoCodec::Mpeg2, VideoCodec::Dnxhd],
            Self::M4a | Self::Mp3 | Self::Ogg | Self::Flac | Self::Wav => &[],
        }
    }

    /// What sound it can hold, the default first.
    #[must_use]
    pub fn audio_codecs(self) -> &'static [AudioCodec] {
        match self {
            Self::Mp4 => &[AudioCodec::Aac, AudioCodec::Opus, AudioCodec::Mp3],
            Self::Mov => &[AudioCodec::Aac, AudioCodec::Pcm],
            Self::Mkv => &[
                AudioCodec::Aac,
                AudioCodec::Opus,
                AudioCodec::Mp3,
                AudioCodec::Flac,
                AudioCodec::Pcm,
            ],
            Self::Webm | Self::Ogg => &[AudioCodec::Opus],
            Self::Ts | Self::Flv => &[AudioCodec::Aac, AudioCodec::Mp3],
            Self::M4a => &[AudioCodec::Aac],
            Self::Mp3 => &[AudioCodec::Mp3],
            Self::Flac => &[AudioCodec::Flac],
            Self::Wav | Self::Mxf => &[AudioCodec::Pcm],
        }
    }

    /// Samples a second that sound of this codec can have here, rising; nothing: any.
    #[must_use]
    pub fn rates(self, codec: AudioCodec) -> &'static [u32] {
        match (self, codec) {
            // Its headers have no words for others.
            (Self::Flv, AudioCodec::Mp3) => &[8_000, 11_025, 22_050, 44_100],
            _ => codec.rates(),
        }
    }

    /// Has its index in front of the media, where players of the web look for it.
    #[must_use]
    pub fn has_index_in_front(self) -> bool {
        matches!(self, Self::Mp4 | Self::Mov | Self::M4a)
    }

    /// Says of a film that was not turned itself which way it is to be shown.
    #[must_use]
    pub fn keeps_rotation(self) -> bool {
        matches!(self, Self::Mp4 | Self::Mov)
    }

    /// Holds sound alone.
    #[must_use]
    pub fn is_audio_only(self) -> bool {
        self.video_codecs().is_empty()
    }
}

/// Wanted picture size in pixels: of width and height, or of the longer and the shorter side. None keeps the ratio.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SizeSpec {
    /// How the sides are named.
    pub sides: Sides,
    /// Width, or the longer side: 16 ..= 16384.
    pub across: Option<u32>,
    /// Height, or the shorter side: 16 ..= 16384.
    pub down: Option<u32>,
    /// What happens where the ratio of the source is another.
    pub fit: Fit,
    /// A smaller source is scaled up.
    pub upscale: bool,
}

/// How the sides of a picture are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sides {
    /// `width` and `height`.
    #[default]
    WidthHeight,
    /// `long_side` and `short_side`, whichever way the picture stands.
    LongShort,
}

/// How a picture is fitted into a frame of another ratio.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// As large as fits into it; the frame shrinks to the picture.
    #[default]
    Contain,
    /// As large as fits into it; black bars fill the frame.
    Pad,
    /// As large as fits into it; a blurred, darker copy of the picture fills the frame.
    BlurFill,
    /// Fills the frame; what stands out is cut off evenly.
    Cover,
    /// Fills the frame; the ratio is lost.
    Stretch,
}

/// `audio = { ... }` of a transcode.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AudioSpec {
    /// Which encoder.
    pub codec: AudioCodec,
    /// Bits a second; 0 where the codec is lossless.
    pub bitrate: u64,
    /// 1, 2 or 6; none keeps the source's, as far as the codec can.
    pub channels: Option<u32>,
    /// Samples a second; none keeps the source's where the codec can, else 48,000.
    pub rate: Option<u32>,
    /// Bits a sample where the codec is lossless: 16 or 24; 0 keeps the source's.
    pub depth: u32,
    /// How loud it is made; none leaves it as it is.
    pub loudness: Option<Loudness>,
}

/// How loud sound is made, as EBU R 128 measures it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Loudness {
    /// Of the whole, in LUFS: -70.0 ..= -5.0.
    pub target: f64,
    /// No peak goes beyond this, in dB true peak: -9.0 ..= 0.0.
    pub true_peak: f64,
}

/// Audio encoders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AudioCodec {
    /// AAC-LC.
    Aac,
    /// Opus.
    Opus,
    /// MPEG-1 and -2 layer 3 by LAME, at a constant bitrate.
    Mp3,
    /// FLAC.
    Flac,
    /// Samples as they are.
    Pcm,
}

impl AudioCodec {
    /// Every encoder, as rules write it.
    pub const ALL: [(&'static str, Self); 5] = [
        ("aac", Self::Aac),
        ("opus", Self::Opus),
        ("mp3", Self::Mp3),
        ("flac", Self::Flac),
        ("pcm", Self::Pcm),
    ];

    /// The word that rules use.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Aac => "aac",
            Self::Opus => "opus",
            Self::Mp3 => "mp3",
            Self::Flac => "flac",
            Self::Pcm => "pcm",
        }
    }

    /// Samples a second that it can have, rising; nothing: any.
    #[must_use]
    pub fn rates(self) -> &'static [u32] {
        match self {
            Self::Aac => &[
                8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 64_000, 88_200, 96_000,
            ],
            // What it encodes internally nobody sees: it always plays at this rate.
            Self::Opus => &[48_000],
            Self::Mp3 => &[8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000],
            Self::Flac | Self::Pcm => &[],
        }
    }

    /// The most channels that it can have.
    #[must_use]
    pub fn most_channels(self) -> u32 {
        // GStreamer has a wrong order for FLAC and Opus of more, and WAVE files of more do not say theirs.
        if matches!(self, Self::Mp3) { 2 } else { 6 }
    }

    /// Bits a sample where nobody says; 0 keeps the source's.
    #[must_use]
    pub fn usual_depth(self) -> u32 {
        if matches!(self, Self::Flac) { 0 } else { 16 }
    }

    /// Keeps every bit.
    #[must_use]
    pub fn is_lossless(self) -> bool {
        self.usual_bitrate().is_none()
    }

    /// Bits a second that are taken where nobody says; none where it is lossless.
    #[must_use]
    pub fn usual_bitrate(self) -> Option<u64> {
        match self {
            Self::Aac | Self::Mp3 => Some(128_000),
            Self::Opus => Some(96_000),
            Self::Flac | Self::Pcm => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_leads_back_to_itself() {
        for (word, container) in Container::ALL {
            assert_eq!(container.extension(), word);
            assert!(!container.audio_codecs().is_empty(), "{word}");
        }
        for (word, codec) in AudioCodec::ALL {
            assert_eq!(codec.word(), word);
        }
    }
}
