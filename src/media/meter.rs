//! Counts what passes a pad: buffers, the span of time that they cover, and damage.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gst::prelude::*;

/// What passed one pad.
#[derive(Debug, Default)]
pub struct Meter {
    buffers: AtomicU64,
    damaged: AtomicU64,
    span: Mutex<Span>,
    only_inside: bool,
}

/// Time covered, in running time.
#[derive(Debug, Default, Clone, Copy)]
pub struct Span {
    /// The earliest presentation time.
    pub start: Option<Duration>,
    /// The end of what is presented last.
    pub end: Option<Duration>,
    last: Option<Duration>,
    step: Duration,
}

impl Meter {
    /// Measures what passes this pad from now on.
    pub fn on(pad: &gst::Pad) -> Arc<Self> {
        Self::default().watch(pad)
    }

    /// The same, without what begins before the segment of the pad does: muxers leave it out, however far it reaches.
    pub fn inside(pad: &gst::Pad) -> Arc<Self> {
        let meter = Self {
            only_inside: true,
            ..Self::default()
        };
        meter.watch(pad)
    }

    fn watch(self, pad: &gst::Pad) -> Arc<Self> {
        let meter = Arc::new(self);
        let seen = meter.clone();
        pad.add_probe(
            gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST,
            move |pad, info| {
                match &info.data {
                    Some(gst::PadProbeData::Buffer(buffer)) => seen.see(pad, buffer),
                    Some(gst::PadProbeData::BufferList(list)) => {
                        list.iter().for_each(|buffer| seen.see(pad, buffer));
                    }
                    _ => {}
                }
                gst::PadProbeReturn::Ok
            },
        );
        meter
    }

    fn see(&self, pad: &gst::Pad, buffer: &gst::BufferRef) {
        if self.only_inside && is_before(pad, buffer) {
            return;
        }
        self.buffers.fetch_add(1, Ordering::Relaxed);
        if buffer.flags().contains(gst::BufferFlags::CORRUPTED) {
            self.damaged.fetch_add(1, Ordering::Relaxed);
        }
        let Some(pts) = buffer.pts() else { return };
        let Some(at) = running_time(pad, pts) else {
            return;
        };
        let duration = buffer.duration().map(Duration::from);
        let mut span = self.span.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = span.last
            && let Some(step) = at.checked_sub(last)
        {
            span.step = step;
        }
        span.last = Some(at);
        let end = at + duration.unwrap_or(span.step);
        span.start = Some(span.start.map_or(at, |start| start.min(at)));
        span.end = Some(span.end.map_or(end, |known| known.max(end)));
    }

    /// Buffers so far.
    pub fn buffers(&self) -> u64 {
        self.buffers.load(Ordering::Relaxed)
    }

    /// Buffers that were marked as damaged.
    pub fn damaged(&self) -> u64 {
        self.damaged.load(Ordering::Relaxed)
    }

    /// Time covered so far.
    pub fn span(&self) -> Span {
        *self.span.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_before(pad: &gst::Pad, buffer: &gst::BufferRef) -> bool {
    let (Some(segment), Some(pts)) = (segment(pad), buffer.pts()) else {
        return false;
    };
    segment.start().is_some_and(|start| pts < start)
}

fn segment(pad: &gst::Pad) -> Option<gst::FormattedSegment<gst::ClockTime>> {
    let event = pad.sticky_event::<gst::event::Segment>(0)?;
    event.segment().downcast_ref::<gst::ClockTime>().cloned()
}

/// Running time of a presentation time on this pad; zero for what lies before its segment.
pub fn running_time(pad: &gst::Pad, pts: gst::ClockTime) -> Option<Duration> {
    match segment(pad)?.to_running_time_full(pts)? {
        gst::Signed::Positive(time) => Some(time.into()),
        gst::Signed::Negative(_) => Some(Duration::ZERO),
    }
}
