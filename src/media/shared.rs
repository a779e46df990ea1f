//! Sounds that several tasks want alike are encoded once.

use std::sync::Arc;

use super::assembly::Gains;
use super::branch::Opened;
use super::clip::Sort;
use super::meter::Meter;
use super::sound::{self, Source};
use super::transcode::watch;
use crate::job::Failure;
use crate::plan::{MediaInfo, SoundPlan, Span, StreamKind, TranscodePlan, Work};
use crate::rule::{AudioSpec, TaskId};

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
    /// What this sound of a plan is to become, where others may want it alike; a part of a medium, or what is joined of several,
    /// belongs to its task alone.
    fn of(plan: &TranscodePlan, sound: &SoundPlan, gain: Option<f64>) -> Option<Self> {
        let usual = plan.span.is_whole() && plan.clips.is_empty() && !plan.settings.copies();
        let (channels, rate) = sound.form.filter(|_| usual)?;
        Some(Self {
            stream: sound.stream,
            spec: plan.settings.audio.encoded()?.clone(),
            channels,
            rate,
            gain,
        })
    }
}

impl SharedSound {
    /// What these tasks want alike.
    ///
    /// # Errors
    /// Where elements are missing or refuse a setting.
    pub fn all<'a>(
        media: &MediaInfo,
        works: impl Iterator<Item = (&'a TaskId, &'a Work)>,
        gains: &Gains,
    ) -> Result<Vec<Self>, Failure> {
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
        shared.map(|(wish, _)| Self::new(media, wish)).collect()
    }

    fn new(media: &MediaInfo, wish: Wish) -> Result<Self, Failure> {
        let stream = wish.stream as usize;
        let source = Source {
            stream: media.streams.get(stream).and_then(|about| match &about.kind {
                StreamKind::Audio(audio) => Some(audio),
                _ => None,
            }),
            gain: wish.gain,
        };
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
