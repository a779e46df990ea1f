//! Joins the pictures of clips to those of a film.

use std::sync::Arc;

use gst::prelude::*;

use super::joiner::{Halt, Join, Out};
use super::reader::{Frames, Reader, running, time_of};
use super::{Clip, Reel};
use crate::job::{ErrorKind, Failure};
use crate::media::failure::internal;
use crate::rule::Fit;

type Segment = gst::FormattedSegment<gst::ClockTime>;

/// The pictures of a result, in nanoseconds of it.
pub struct Pictures {
    reel: Arc<Reel>,
    fit: Fit,
    /// What the film says of itself.
    frames: Option<Frames>,
    segment: Option<Segment>,
    /// Where the film begins.
    film: u64,
    /// When its last picture came, and how long one is shown as far as that is known.
    last: Option<u64>,
    step: u64,
    /// Where all pictures so far end.
    at: u64,
}

impl Pictures {
    /// These clips, fitted into the film's frame like this.
    pub fn new(reel: Arc<Reel>, fit: Fit) -> Self {
        Self {
            reel,
            fit,
            frames: None,
            segment: None,
            film: 0,
            last: None,
            step: 0,
            at: 0,
        }
    }

    /// The film says what its frames are: now what comes before it can be brought to that.
    fn begin(&mut self, event: gst::Event, frames: Frames, out: &Out<'_>) -> Result<(), Halt> {
        self.step = frames.rate.map_or(0, |rate| time(1, rate));
        self.frames = Some(frames);
        out.pad.push_event(event);
        out.pad.push_event(gst::event::Segment::new(&Segment::new()));
        let reel = self.reel.clone();
        for clip in &reel.head {
            self.join(clip, out).map_err(|halt| named(clip, halt))?;
        }
        self.film = self.at;
        Ok(())
    }

    fn join(&mut self, clip: &Clip, out: &Out<'_>) -> Result<(), Halt> {
        let frames = self
            .frames
            .clone()
            .ok_or_else(|| internal("a film of which nobody knows the frames"))?;
        let reader = Reader::pictures(clip, &frames, self.fit)?;
        let from = self.at;
        let mut count = 0;
        while let Some(sample) = reader.next(out.line)? {
            let here = match frames.rate {
                Some(rate) => time(count, rate),
                None => time_of(&sample).unwrap_or_default(),
            };
            let buffer = sample
                .buffer_owned()
                .ok_or_else(|| internal("a sample without a picture"))?;
            let shown = frames.rate.map(|rate| time(count + 1, rate).saturating_sub(here));
            let shown = shown.or_else(|| buffer.duration().map(gst::ClockTime::nseconds));
            let before = self.at;
            self.pass(buffer, from + here, shown, out)?;
            out.line.show(self.at.saturating_sub(before), 1);
            count += 1;
        }
        if out.line.is_stopped() {
            return Err(gst::FlowError::Flushing.into());
        }
        if count == 0 {
            return Err(Failure::new(ErrorKind::Plan, "no picture of it could be decoded").into());
        }
        if frames.rate.is_none() {
            // Where each picture has its own time, only the clip knows how long the last one is shown.
            let end = from + u64::try_from(clip.pictures.as_nanos()).unwrap_or_default();
            self.at = self.at.max(end);
        }
        out.line.end(self.at);
        Ok(())
    }

    fn pass(&mut self, mut buffer: gst::Buffer, at: u64, shown: Option<u64>, out: &Out<'_>) -> Result<(), Halt> {
        self.at = self.at.max(at + shown.unwrap_or(0));
        out.line.advance(self.at);
        let own = buffer.make_mut();
        own.set_pts(gst::ClockTime::from_nseconds(at));
        own.set_dts(None);
        own.set_duration(shown.map(gst::ClockTime::from_nseconds));
        own.unset_flags(gst::BufferFlags::DISCONT | gst::BufferFlags::RESYNC);
        out.pad.push(buffer)?;
        Ok(())
    }

    /// The film is over: now comes what comes after it.
    fn finish(&mut self, out: &Out<'_>) -> Result<(), Halt> {
        let Some(last) = self.last else {
            return Err(Failure::new(ErrorKind::Corrupt, "no picture of the film could be decoded").into());
        };
        self.at = self.at.max(self.film + last + self.step);
        out.line.end(self.at);
        let reel = self.reel.clone();
        for clip in &reel.tail {
            self.join(clip, out).map_err(|halt| named(clip, halt))?;
        }
        Ok(())
    }
}

/// Says of which clip a failure is.
pub fn named(clip: &Clip, halt: Halt) -> Halt {
    match halt {
        Halt::Failure(failure) => Halt::Failure(clip.failed(&failure)),
        flow @ Halt::Flow(_) => flow,
    }
}

/// When so many frames at this rate are over.
fn time(frames: u64, rate: gst::Fraction) -> u64 {
    let part = |number: i32| u64::from(number.unsigned_abs());
    let all = gst::ClockTime::from_seconds(part(rate.denom()));
    let time = all.mul_div_round(frames, part(rate.numer()).max(1));
    time.unwrap_or_default().nseconds()
}

impl Join for Pictures {
    fn hear(&mut self, event: gst::Event, out: &Out<'_>) -> Result<(), Halt> {
        match event.view() {
            gst::EventView::Caps(caps) if self.frames.is_none() => {
                let frames = Frames::of(caps.caps()).ok_or_else(|| internal("frames of no known form"))?;
                return self.begin(event, frames, out);
            }
            gst::EventView::Segment(segment) => {
                self.segment = segment.segment().downcast_ref::<gst::ClockTime>().cloned();
                return Ok(());
            }
            // The chapters of the result lie elsewhere.
            gst::EventView::Gap(_) | gst::EventView::Toc(_) => return Ok(()),
            gst::EventView::Eos(_) => self.finish(out)?,
            _ => {}
        }
        out.pad.push_event(event);
        Ok(())
    }

    fn take(&mut self, buffer: gst::Buffer, out: &Out<'_>) -> Result<(), Halt> {
        let Some(at) = self.segment.as_ref().and_then(|segment| running(segment, buffer.pts())) else {
            return Ok(());
        };
        if let Some(step) = self.last.and_then(|last| at.checked_sub(last)) {
            self.step = step;
        }
        self.last = Some(at);
        let shown = buffer.duration().map(gst::ClockTime::nseconds);
        if let Some(shown) = shown.filter(|shown| *shown > 0) {
            self.step = shown;
        }
        self.pass(buffer, self.film + at, shown, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_lie_where_their_rate_has_them() {
        let ntsc = gst::Fraction::new(30_000, 1001);
        assert_eq!(
            [0, 1, 2, 30].map(|count| time(count, ntsc)),
            [0, 33_366_667, 66_733_333, 1_001_000_000]
        );
        assert_eq!(time(25, gst::Fraction::new(25, 1)), 1_000_000_000);
    }
}
