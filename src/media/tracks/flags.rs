//! Which of several tracks a player takes by itself.

use gst::prelude::*;

use super::is_unheard;
use crate::media::branch::Opened;
use crate::media::meter::Span;
use crate::plan::TranscodePlan;
use crate::rule::Choice;

/// Of each sound and of each subtitle of a result, whether it is taken where nobody chooses.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Flags {
    /// One of them, where there are any.
    pub sounds: Vec<bool>,
    /// Those of which the source says so.
    pub subtitles: Vec<bool>,
}

impl Flags {
    /// Those of this plan. Who lists sounds means the first; else what the source says holds.
    pub fn of(plan: &TranscodePlan, opened: Opened<'_>) -> Self {
        let said = |stream: u32| {
            let stream = opened.medium.streams.get(stream as usize);
            let start = stream.and_then(|stream| stream.pad.sticky_event::<gst::event::StreamStart>(0));
            start.is_some_and(|start| start.stream_flags().contains(gst::StreamFlags::SELECT))
        };
        let listed = matches!(plan.settings.tracks.sounds, Choice::These(_));
        let sounds: Vec<bool> = plan
            .tracks
            .sounds
            .iter()
            .map(|sound| !listed && said(sound.stream))
            .collect();
        Self {
            sounds: one_of(&sounds),
            subtitles: plan.tracks.subtitles.iter().map(|one| said(one.stream)).collect(),
        }
    }

    /// Those of a file without the sounds of which nothing came.
    pub fn of_heard(&self, sounds: &[Span]) -> Self {
        let heard = self.sounds.iter().zip(sounds).filter(|(_, span)| !is_unheard(span));
        let heard: Vec<bool> = heard.map(|(said, _)| *said).collect();
        Self {
            sounds: one_of(&heard),
            subtitles: self.subtitles.clone(),
        }
    }

    /// There is something to choose from.
    pub fn matter(&self) -> bool {
        self.sounds.len() > 1 || !self.subtitles.is_empty()
    }
}

/// The first of which it is said; else the first.
fn one_of(said: &[bool]) -> Vec<bool> {
    let first = said.iter().position(|said| *said).unwrap_or(0);
    (0..said.len()).map(|at| at == first).collect()
}
