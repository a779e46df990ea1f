//! From samples of an encoder to packets of a track.

use std::time::Duration;

use super::Packet;
use super::boxes::Content;
use super::pictures::Pictures;
use super::track::{Order, Track, Written};
use crate::job::Failure;
use crate::media::failure::internal;

/// Samples in a packet of AAC.
const AAC_FRAME: u64 = 1024;

/// What packets are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// Pictures. The first is shown from the beginning, however late it comes.
    Film,
    /// AAC. Its encoder puts so many samples of silence in front, which are left away.
    Sound {
        /// Samples.
        silent: u32,
    },
}

/// Takes what an encoder makes.
#[derive(Debug)]
pub struct Intake {
    order: Order,
    sort: Sort,
    track: Option<Track>,
    /// Samples so far.
    count: u64,
    /// When the first packet of sound begins, in ticks.
    start: u64,
    /// Why the track will not be.
    failure: Option<Failure>,
}

impl Intake {
    /// For a track.
    #[must_use]
    pub fn new(order: Order, sort: Sort) -> Self {
        Self {
            order,
            sort,
            track: None,
            count: 0,
            start: 0,
            failure: None,
        }
    }

    /// Whether it takes pictures.
    #[must_use]
    pub fn is_film(&self) -> bool {
        self.sort == Sort::Film
    }

    /// All that was taken so far; nothing is left here.
    #[must_use]
    pub fn take_all(&mut self) -> Self {
        let empty = Self::new(self.order.clone(), self.sort);
        std::mem::replace(self, empty)
    }

    /// Takes a sample. After a failure it takes them and drops them: other branches go on.
    pub fn take(&mut self, sample: &gst::Sample) {
        if self.failure.is_none()
            && let Err(failure) = self.add(sample)
        {
            self.failure = Some(failure);
        }
    }

    fn add(&mut self, sample: &gst::Sample) -> Result<(), Failure> {
        if self.track.is_none() {
            let content = self
                .content(sample)
                .ok_or_else(|| internal("an encoder says nothing of its packets"))?;
            self.track = Some(Track::new(self.order.clone(), content)?);
        }
        let packet = self
            .packet(sample)
            .ok_or_else(|| internal("an encoder made a packet without a time"))?;
        self.count += 1;
        match (&mut self.track, packet) {
            (Some(track), Some(packet)) => track.push(packet),
            _ => Ok(()),
        }
    }

    fn content(&self, sample: &gst::Sample) -> Option<Content> {
        let fields = sample.caps()?.structure(0)?;
        // VP9 has none.
        let config = match fields.get::<gst::Buffer>("codec_data") {
            Ok(config) => config.map_readable().ok()?.as_slice().to_vec(),
            Err(_) => Vec::new(),
        };
        let number = |name| fields.get::<i32>(name).ok();
        let short = |name| u16::try_from(number(name)?).ok();
        Some(match self.sort {
            Sort::Film => Content::Film(Pictures::of(sample.caps()?, config)?),
            Sort::Sound { .. } => Content::Aac {
                config,
                channels: short("channels")?,
                rate: u32::try_from(number("rate")?).ok()?,
            },
        })
    }

    /// The outer none is a packet without a time, the inner one a packet of silence.
    #[expect(clippy::option_option, reason = "a fault is not silence")]
    fn packet(&mut self, sample: &gst::Sample) -> Option<Option<Packet>> {
        let buffer = sample.buffer()?;
        let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?;
        let running = |time: Option<gst::ClockTime>| Some(nanoseconds(segment.to_running_time_full(time?)?));
        let shown = running(buffer.pts())?.max(0);
        let timescale = self.order.timescale;
        let data = || Some(buffer.map_readable().ok()?.as_slice().to_vec());
        let length = buffer.duration().map_or(0, |length| i128::from(length.nseconds()));
        match self.sort {
            Sort::Film => {
                let shown = if self.count == 0 { 0 } else { shown };
                Some(Some(Packet {
                    data: data()?,
                    at: u64::try_from(ticks(shown, timescale)).ok()?,
                    length: u64::try_from(ticks(length, timescale)).ok()?.max(1),
                    key: !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT),
                }))
            }
            Sort::Sound { silent } => {
                if self.count == 0 {
                    self.start = u64::try_from(ticks(shown, timescale)).ok()?;
                }
                // Whole packets of silence are left away: what is heard is then where it should be, in every player.
                let silent = u64::from(silent) / AAC_FRAME;
                let Some(index) = self.count.checked_sub(silent) else {
                    return Some(None);
                };
                let at = self.start + index * AAC_FRAME;
                Some(Some(Packet {
                    data: data()?,
                    at,
                    length: AAC_FRAME,
                    key: true,
                }))
            }
        }
    }

    /// The track, complete; what is after `end`, in running time, is not part of it.
    ///
    /// # Errors
    /// Why there is none.
    pub fn finish(self, end: Option<Duration>) -> Result<Option<Written>, Failure> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        let timescale = self.order.timescale;
        let nanos = end.map(|end| i128::try_from(end.as_nanos()).unwrap_or(i128::MAX));
        let end = nanos.and_then(|nanos| u64::try_from(ticks(nanos, timescale)).ok());
        self.track.map_or(Ok(None), |track| track.finish(end))
    }

    /// Removes what was written.
    pub fn abandon(self) {
        if let Some(track) = self.track {
            track.abandon();
        }
    }
}

fn nanoseconds(time: gst::Signed<gst::ClockTime>) -> i128 {
    match time {
        gst::Signed::Positive(time) => i128::from(time.nseconds()),
        gst::Signed::Negative(time) => -i128::from(time.nseconds()),
    }
}

/// The nearest tick.
fn ticks(nanos: i128, timescale: u32) -> i128 {
    (nanos * i128::from(timescale) + 500_000_000).div_euclid(1_000_000_000)
}
