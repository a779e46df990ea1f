//! Leads what a medium holds to the branches that want it: packets as they are, sound and film decoded once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gst::prelude::*;

use super::assembly::{Mill, only_forward};
use super::branch::{Feed, connect};
use super::decoder::{decode, straighten};
use super::demux::{Stream, link};
use super::failure::{element, internal};
use super::meter::Meter;
use super::shared::SharedSound;
use super::steps::{self, Size, Steps};
use crate::job::Failure;
use crate::plan::{MediaInfo, VideoStream};

/// How the names of bins begin in which something is made for several branches.
pub const COMMON: &str = "common-";

/// What the branches want, by what they want.
struct Wanted(BTreeMap<Feed, Vec<gst::Pad>>);

impl Wanted {
    fn of(mill: &Mill) -> Result<Self, Failure> {
        let mut pads: BTreeMap<Feed, Vec<gst::Pad>> = BTreeMap::new();
        for branch in mill.branches.values() {
            for pad in branch.bin().sink_pads() {
                pads.entry(Feed::of(&pad)?).or_default().push(pad);
            }
        }
        Ok(Self(pads))
    }

    fn take(&mut self, feed: Feed) -> Vec<gst::Pad> {
        self.0.remove(&feed).unwrap_or_default()
    }
}

/// What is made of the frames of a film.
struct Frames {
    usual: Vec<gst::Pad>,
    stored: Vec<gst::Pad>,
    /// By size, largest first, with the size that each is made of.
    smaller: Vec<(Size, Option<Size>, Vec<gst::Pad>)>,
}

impl Frames {
    fn take(wanted: &mut Wanted, steps: &Steps) -> Self {
        Self {
            smaller: steps
                .down()
                .map(|(size, above)| (size, above, wanted.take(Feed::Step(size))))
                .collect(),
            usual: wanted.take(Feed::Frames),
            stored: wanted.take(Feed::Stored),
        }
    }

    fn count(&self) -> usize {
        let smaller: usize = self.smaller.iter().map(|(_, _, pads)| pads.len()).sum();
        self.usual.len() + self.stored.len() + smaller
    }
}

impl Mill {
    /// Leads every stream to the branches that want it; answers which streams that are.
    ///
    /// # Errors
    /// Where there is no decoder, or elements do not fit together.
    pub fn wire(
        &mut self,
        media: &MediaInfo,
        (film, sound): (Option<usize>, Option<usize>),
        steps: &Steps,
        shared: &[SharedSound],
    ) -> Result<BTreeSet<usize>, Failure> {
        let mut wanted = Wanted::of(self)?;
        let frames = Frames::take(&mut wanted, steps);
        let mut fed = BTreeSet::new();
        for index in 0..self.medium.streams.len() {
            let (packets, mut sounds) = (wanted.take(Feed::Packets(index)), wanted.take(Feed::Sound(index)));
            for (number, sound) in shared.iter().enumerate().filter(|(_, sound)| sound.stream == index) {
                let takers = wanted.take(Feed::Shared(number));
                if !takers.is_empty() {
                    sounds.push(self.encode_once(number, sound, &takers)?);
                }
            }
            let shown = media.video().filter(|_| film == Some(index) && frames.count() > 0);
            let decodes = shown.is_some() || !sounds.is_empty();
            if packets.is_empty() && !decodes {
                continue;
            }
            fed.insert(index);
            let from = self.tap(index, &packets, decodes)?;
            let stream = &self.medium.streams[index];
            let meter = match (from, shown) {
                (Some(from), Some(shown)) => self.decode_film(stream, &from, shown, &frames)?,
                (Some(from), None) => {
                    let pad = decode(&self.medium, stream, &from, false)?;
                    let meter = Meter::on(&pad);
                    self.hand_out(&pad, &sounds)?;
                    meter
                }
                (None, _) => Meter::on(&stream.pad),
            };
            if film == Some(index) {
                self.video = Some(meter);
            } else if sound == Some(index) {
                self.audio = Some(meter);
            }
        }
        if let Some(feed) = wanted.0.keys().next() {
            return Err(internal(format!("nothing feeds {feed:?}")));
        }
        Ok(fed)
    }

    /// Decodes the film, and hands its frames out.
    fn decode_film(
        &self,
        stream: &Stream,
        from: &gst::Pad,
        shown: &VideoStream,
        frames: &Frames,
    ) -> Result<Arc<Meter>, Failure> {
        let mut pad = decode(&self.medium, stream, from, frames.count() > 1)?;
        only_forward(&pad);
        let meter = Meter::on(&pad);
        let straight = frames.count() > frames.stored.len();
        if !frames.stored.is_empty() {
            let tee = self.hand_out(&pad, &frames.stored)?;
            if straight {
                let further = tee.request_pad_simple("src_%u");
                pad = further.ok_or_else(|| internal("a tee without pads"))?;
            }
        }
        if straight {
            pad = straighten(&self.medium, pad, shown)?;
            let own = self.hand_out(&pad, &frames.usual)?;
            self.step_down(&own, &frames.smaller)?;
        }
        Ok(meter)
    }

    /// Hands out frames of every step, those of the film being these.
    fn step_down(&self, own: &gst::Element, smaller: &[(Size, Option<Size>, Vec<gst::Pad>)]) -> Result<(), Failure> {
        let mut made: BTreeMap<Size, gst::Element> = BTreeMap::new();
        for (size, above, pads) in smaller {
            let (wide, high) = size;
            let chain = steps::chain(*size)?;
            let from = above.and_then(|above| made.get(&above)).unwrap_or(own);
            let (entry, exit) = self.add(&format!("{COMMON}{wide}x{high}"), &chain)?;
            give(from, &entry)?;
            made.insert(*size, self.hand_out(&exit, pads)?);
        }
        Ok(())
    }

    /// Encodes a sound for all of these; answers where it is to be fed.
    fn encode_once(&self, number: usize, sound: &SharedSound, takers: &[gst::Pad]) -> Result<gst::Pad, Failure> {
        let (entry, exit) = self.add(&format!("{COMMON}{number}"), &sound.chain)?;
        self.hand_out(&exit, takers)?;
        Ok(entry)
    }

    /// Adds a chain of elements to the pipeline, in a bin by this name; answers its ends.
    fn add(&self, name: &str, chain: &[gst::Element]) -> Result<(gst::Pad, gst::Pad), Failure> {
        let bin = gst::Bin::builder().name(name).build();
        let last = connect(&bin, "sink", chain)?;
        let exit = gst::GhostPad::builder_with_target(&last)
            .map_err(internal)?
            .name("src")
            .build();
        bin.add_pad(&exit).map_err(internal)?;
        self.medium.pipeline.add(&bin).map_err(internal)?;
        bin.sync_state_with_parent().map_err(internal)?;
        let entry = bin.static_pad("sink");
        entry
            .map(|entry| (entry, exit.upcast()))
            .ok_or_else(|| internal("a chain without ends"))
    }

    /// Leads the packets of a stream to these pads; answers where a decoder gets them, where one is wanted.
    fn tap(&self, index: usize, packets: &[gst::Pad], decodes: bool) -> Result<Option<gst::Pad>, Failure> {
        let stream: &Stream = &self.medium.streams[index];
        if packets.is_empty() && decodes {
            return Ok(Some(stream.pad.clone()));
        }
        let tee = self.hand_out(&stream.pad, packets)?;
        let decoder = decodes.then(|| tee.request_pad_simple("src_%u"));
        decoder
            .map(|pad| pad.ok_or_else(|| internal("a tee without pads")))
            .transpose()
    }

    /// Gives all of these what comes out of a pad, and more of them later.
    fn hand_out(&self, pad: &gst::Pad, to: &[gst::Pad]) -> Result<gst::Element, Failure> {
        let tee = element("tee")?;
        tee.set_property("allow-not-linked", true);
        self.medium.pipeline.add(&tee).map_err(internal)?;
        tee.sync_state_with_parent().map_err(internal)?;
        link(pad, &tee)?;
        for pad in to {
            give(&tee, pad)?;
        }
        Ok(tee)
    }
}

fn give(tee: &gst::Element, pad: &gst::Pad) -> Result<(), Failure> {
    let out = tee
        .request_pad_simple("src_%u")
        .ok_or_else(|| internal("a tee without pads"))?;
    out.link(pad).map(drop).map_err(internal)
}
