//! From decoded sound to packets: mixed into the channels that are wanted, at the rate and loudness that are wanted.

mod leveller;
mod limit;
pub mod loudness;
pub mod measure;
pub mod mix;

use gst::prelude::*;

use self::leveller::Leveller;
use super::branch::{guard, only, queue_of_sound};
use super::clip::{Sort, clip};
use super::failure::{element, internal};
use crate::job::Failure;
use crate::plan::{AudioStream, MediaInfo, Span, StreamKind, Work};
use crate::rule::{AudioCodec, AudioSpec};

/// What is encoded of the sound.
pub struct Wanted<'a> {
    /// Of which stream.
    pub stream: usize,
    /// How.
    pub spec: &'a AudioSpec,
    /// Channels of the result.
    pub channels: u32,
    /// Samples a second of the result.
    pub rate: u32,
    /// Of this part of the medium.
    pub span: Span,
    /// The part is cut like this.
    sort: Sort,
}

impl<'a> Wanted<'a> {
    /// Every sound that a task encodes.
    pub fn all(work: &'a Work) -> Vec<Self> {
        let (spec, span, sort, sounds): (_, _, _, Vec<_>) = match work {
            Work::Transcode(plan) => {
                let copies = plan.settings.copies();
                let sort = if copies { Sort::Packets } else { Sort::Sound };
                let sounds = plan.tracks.sounds.iter();
                let sounds = sounds.filter_map(|sound| Some((sound.stream, sound.form?)));
                (plan.settings.audio.encoded(), plan.span, sort, sounds.collect())
            }
            Work::Adaptive(plan) => {
                let sounds = plan.sounds.iter();
                let sounds = sounds.map(|sound| (sound.stream, (sound.channels, sound.rate)));
                (plan.audio.as_ref(), plan.span, Sort::Sound, sounds.collect())
            }
            _ => return Vec::new(),
        };
        let Some(spec) = spec else {
            return Vec::new();
        };
        let sounds = sounds.into_iter().map(|(stream, (channels, rate))| Self {
            stream: stream as usize,
            spec,
            channels,
            rate,
            span,
            sort,
        });
        sounds.collect()
    }

    /// Cuts what passes an element to the wanted part.
    fn cut(&self, guard: &gst::Element) -> Result<(), Failure> {
        let (Some(entry), Some(exit)) = (guard.static_pad("sink"), guard.static_pad("src")) else {
            return Err(internal("a chain without a guard"));
        };
        clip(&entry, &exit, self.span, self.sort);
        Ok(())
    }
}

/// What is known of a sound besides what the rule says.
#[derive(Debug, Clone, Copy, Default)]
pub struct Source<'a> {
    /// As the probe has it.
    pub stream: Option<&'a AudioStream>,
    /// What brings it to its loudness, in dB.
    pub gain: Option<f64>,
}

impl<'a> Source<'a> {
    /// What the probe says of this stream, and what brings it to its loudness.
    pub fn of(media: &'a MediaInfo, stream: usize, gain: Option<f64>) -> Self {
        let stream = media.streams.get(stream).and_then(|about| match &about.kind {
            StreamKind::Audio(audio) => Some(audio),
            _ => None,
        });
        Self { stream, gain }
    }
}

/// From decoded sound to packets. What takes them must not wait for pictures: see [`queue_of_sound`].
///
/// # Errors
/// Where elements are missing or refuse a setting.
pub fn encode(spec: &AudioSpec, channels: u32, rate: u32, source: Source<'_>) -> Result<Vec<gst::Element>, Failure> {
    let mut chain = shape(spec, channels, rate, source, None)?;
    chain.extend(packets(spec)?);
    Ok(chain)
}

/// From decoded sound to samples as they are wanted, in this format or one that fits the codec. A guard and a queue come first.
///
/// # Errors
/// Where elements are missing or refuse a setting.
pub fn shape(
    spec: &AudioSpec,
    channels: u32,
    rate: u32,
    source: Source<'_>,
    format: Option<&str>,
) -> Result<Vec<gst::Element>, Failure> {
    let mut wanted = gst::Caps::builder("audio/x-raw")
        .field("rate", i32::try_from(rate).map_err(internal)?)
        .field("channels", i32::try_from(channels).map_err(internal)?);
    if let Some(mask) = mix::mask(channels) {
        wanted = wanted.field("channel-mask", gst::Bitmask::new(mask));
    }
    match (spec.codec, spec.depth) {
        (AudioCodec::Pcm, 24) => wanted = wanted.field("format", "S24LE"),
        (AudioCodec::Flac, 24) => wanted = wanted.field("format", "S24_32LE"),
        (AudioCodec::Pcm, _) | (AudioCodec::Flac, 16) => wanted = wanted.field("format", "S16LE"),
        _ => {}
    }
    if let Some(format) = format {
        wanted = wanted.field("format", format).field("layout", "interleaved");
    }
    let many = source
        .stream
        .is_some_and(|stream| stream.channels != channels && stream.channels.max(channels) > 2);
    let mut chain = match (source.gain, spec.loudness) {
        (gain, Some(loudness)) => {
            // What is too short to be measured, or silent, keeps its level; its peaks are held all the same.
            #[allow(clippy::cast_possible_truncation)]
            let leveller = Leveller::new(channels, gain.unwrap_or(0.0) as f32, loudness.true_peak as f32);
            let mut chain = raw(Some(rate))?;
            chain.extend([leveller.upcast(), element("audioconvert")?]);
            chain
        }
        // Speakers that are summed may clip, and those of which the source knows nothing stay silent.
        _ if many => {
            let mut chain = raw(Some(rate))?;
            chain.extend([Leveller::new(channels, 0.0, 0.0).upcast(), element("audioconvert")?]);
            chain
        }
        // Whatever need not be touched keeps its bits.
        _ => vec![
            guard()?,
            queue_of_sound()?,
            element("audioconvert")?,
            element("audioresample")?,
        ],
    };
    chain.push(only(&wanted.build())?);
    Ok(chain)
}

/// From samples as they are wanted to packets, as the encoder gives them: [`parser`] belongs behind it.
///
/// # Errors
/// Where elements are missing or refuse a setting.
pub fn encoder(spec: &AudioSpec) -> Result<Option<gst::Element>, Failure> {
    let bits = i32::try_from(spec.bitrate).map_err(internal)?;
    let encoder = match spec.codec {
        AudioCodec::Aac => {
            let encoder = element("avenc_aac")?;
            encoder.set_property("bitrate", bits);
            encoder
        }
        AudioCodec::Opus => {
            let encoder = element("opusenc")?;
            encoder.set_property("bitrate", bits);
            encoder
        }
        AudioCodec::Mp3 => {
            let encoder = element("lamemp3enc")?;
            encoder.set_property_from_str("target", "bitrate");
            encoder.set_property("cbr", true);
            encoder.set_property("bitrate", bits / 1000);
            encoder
        }
        AudioCodec::Flac => element("flacenc")?,
        AudioCodec::Pcm => return Ok(None),
    };
    Ok(Some(encoder))
}

/// Wraps packets of this codec as the muxer wants them.
///
/// # Errors
/// Where the element is missing.
pub fn parser(codec: AudioCodec) -> Result<Option<gst::Element>, Failure> {
    match codec {
        AudioCodec::Aac => element("aacparse").map(Some),
        AudioCodec::Mp3 => element("mpegaudioparse").map(Some),
        AudioCodec::Opus | AudioCodec::Flac | AudioCodec::Pcm => Ok(None),
    }
}

/// From samples as they are wanted to packets as the muxer wants them.
///
/// # Errors
/// Where elements are missing or refuse a setting.
pub fn packets(spec: &AudioSpec) -> Result<Vec<gst::Element>, Failure> {
    let chain = [encoder(spec)?, parser(spec.codec)?];
    Ok(chain.into_iter().flatten().collect())
}

/// How many samples of silence this codec's encoder and decoder put before the sound, where nothing says so.
pub fn silence(codec: AudioCodec) -> u32 {
    match codec {
        AudioCodec::Aac => 1024,
        // 576 of LAME, and 529 of every decoder.
        AudioCodec::Mp3 => 1105,
        AudioCodec::Opus | AudioCodec::Flac | AudioCodec::Pcm => 0,
    }
}

/// From decoded sound to samples as numbers, of all channels in turn; at this rate, or at the source's.
///
/// # Errors
/// Where elements are missing.
pub fn raw(rate: Option<u32>) -> Result<Vec<gst::Element>, Failure> {
    let mut wanted = samples();
    let mut chain = vec![guard()?, queue_of_sound()?, element("audioconvert")?];
    if let Some(rate) = rate {
        wanted = wanted.field("rate", i32::try_from(rate).map_err(internal)?);
        chain.push(element("audioresample")?);
    }
    chain.push(only(&wanted.build())?);
    Ok(chain)
}

/// Samples as numbers, of all channels in turn.
fn samples() -> gst::caps::Builder<gst::caps::NoFeature> {
    gst::Caps::builder("audio/x-raw")
        .field("format", "F32LE")
        .field("layout", "interleaved")
}

/// Looks at the samples of a buffer; none where they cannot be read.
pub fn with_samples<T>(buffer: &gst::BufferRef, look: impl FnOnce(&[f32]) -> T) -> Option<T> {
    let map = buffer.map_readable().ok()?;
    let numbers: Vec<f32> = map
        .as_slice()
        .chunks_exact(4)
        .map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
        // What is no number at all would stay in every sum.
        .map(|sample| if sample.is_finite() { sample } else { 0.0 })
        .collect();
    Some(look(&numbers))
}
