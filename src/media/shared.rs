//! Sounds that several tasks want alike are encoded once.

use std::sync::Arc;

use super::assembly::Gains;
use super::branch::Opened;
use super::clip::Sort;
use super::meter::Meter;
use super::sound::{self, Source};
use super::transcode::watch;
use crate::job::Failure;
use crate::plan::{MediaInfo, SoundPlan, Span, TranscodePlan, Work};
use crate::rule::{AudioCodec, AudioSpec, Container, TaskId};

/// A sound that is encoded once for several results.
pub struct SharedSound {
    /// Of which stream.
    pub stream: usize,
    /// From decoded sound to packets.
    pub chain: Vec<gst::Element>,
    /// What goes in.
    pub meter: Arc<Meter>,
    wish: Wish,
}

/// Everything that decides what comes out.
#[derive(Debug, Clone, PartialEq)]
struct Wish {
    stream: u32,
    spec: AudioSpec,
    channels: u32,
    rate: u32,
    gain: Option<f64>,
}

impl Wish {
    /// What this sound of a plan is to become, where others may want it alike. A part of a medium, what is joined of several and what
    /// MXF wants filled belongs to its task alone; PCM is nothing that takes time.
    fn of(plan: &TranscodePlan, sound: &SoundPlan, gain: Option<f64>) -> Option<Self> {
        let settings = &plan.settings;
        let usual = plan.span.is_whole() && plan.clips.is_empty() && !settings.copies();
        let spec = settings.audio.encoded().filter(|spec| spec.codec != AudioCodec::Pcm)?;
        let (channels, rate) = sound.form.filter(|_| usual && settings.container != Container::Mxf)?;
        // What the rule says of channels and rate is in the form already.
        let spec = AudioSpec {
            channels: None,
            rate: None,
            ..spec.clone()
        };
        Some(Self {
            stream: sound.stream,
            spec,
            channels,
            rate,
            gain,
        })
    }
}

impl SharedSound {
    /// What these tasks want alike. What cannot be made is left out: each task then says itself what it lacks.
    pub fn all<'a>(media: &MediaInfo, works: impl Iterator<Item = (&'a TaskId, &'a Work)>, gains: &Gains) -> Vec<Self> {
        let mut wishes: Vec<(Wish, usize)> = Vec::new();
        for (task, work) in works {
            let Work::Transcode(plan) = work else { continue };
            for sound in &plan.tracks.sounds {
                let gain = gains.get(task).and_then(|gains| gains.get(&(sound.stream as usize)));
                let Some(wish) = Wish::of(plan, sound, gain.copied()) else {
                    continue;
                };
                match wishes.iter_mut().find(|(known, _)| *known == wish) {
                    Some((_, count)) => *count += 1,
                    None => wishes.push((wish, 1)),
                }
            }
        }
        let shared = wishes.into_iter().filter(|(_, count)| *count > 1);
        shared.filter_map(|(wish, _)| Self::new(media, wish).ok()).collect()
    }

    fn new(media: &MediaInfo, wish: Wish) -> Result<Self, Failure> {
        let stream = wish.stream as usize;
        let source = Source::of(media, stream, wish.gain);
        let mut chain = sound::shape(&wish.spec, wish.channels, wish.rate, source, None)?;
        chain.extend(sound::encoder(&wish.spec)?);
        Ok(Self {
            stream,
            meter: watch(&chain, Span::default(), Sort::Sound)?,
            chain,
            wish,
        })
    }
}

/// The shared sound that is this one of a plan, by its number.
pub fn find<'a>(opened: Opened<'a>, plan: &TranscodePlan, sound: &SoundPlan) -> Option<(usize, &'a SharedSound)> {
    let wish = Wish::of(plan, sound, opened.gain(sound.stream as usize))?;
    opened.shared.iter().enumerate().find(|(_, shared)| shared.wish == wish)
}
