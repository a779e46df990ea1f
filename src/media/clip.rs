//! Lets only a part of a medium into a branch, which then begins at zero.
//!
//! Positions are stream times, which a jump does not change. Frames and sound are cut exactly; packets only between
//! packets.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gst::prelude::*;

use crate::plan::Span;

/// A frame that comes this little before the start belongs to it: times are rounded on their way.
const ROUNDING: Duration = Duration::from_millis(1);

/// What passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// Decoded frames.
    Frames,
    /// Decoded sound.
    Sound,
    /// Packets of a codec, from the key frame that was jumped to, and what goes with them.
    Packets,
}

#[derive(Default)]
struct Clip {
    segment: Option<gst::FormattedSegment<gst::ClockTime>>,
    sound: Option<gst_audio::AudioInfo>,
    over: bool,
}

enum Verdict {
    Pass,
    Drop,
    Over,
}

/// Cuts what goes from `entry` to `exit`, the two pads of an element, to `span`; the end of the part ends the stream.
pub fn clip(entry: &gst::Pad, exit: &gst::Pad, span: Span, sort: Sort) {
    if span.is_whole() {
        return;
    }
    let state = Arc::new(Mutex::new(Clip::default()));
    let ended = state.clone();
    // A pad that has seen its end refuses what comes after, and the decoder would take that for a failure.
    entry.add_probe(
        gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM,
        move |_, info| {
            if !ended.lock().unwrap_or_else(PoisonError::into_inner).over {
                gst::PadProbeReturn::Ok
            } else if info.event().is_some() {
                gst::PadProbeReturn::Handled
            } else {
                gst::PadProbeReturn::Drop
            }
        },
    );
    exit.add_probe(
        gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM,
        move |pad, info| {
            let mut clip = state.lock().unwrap_or_else(PoisonError::into_inner);
            let verdict = match &mut info.data {
                Some(gst::PadProbeData::Event(event)) => {
                    if let Some(changed) = clip.see_event(event, span, sort) {
                        *event = changed;
                    }
                    return gst::PadProbeReturn::Ok;
                }
                Some(gst::PadProbeData::Buffer(buffer)) => clip.see(buffer, span, sort),
                _ => Verdict::Pass,
            };
            match verdict {
                Verdict::Pass => gst::PadProbeReturn::Ok,
                Verdict::Drop => gst::PadProbeReturn::Drop,
                Verdict::Over => {
                    let first = !std::mem::replace(&mut clip.over, true);
                    drop(clip);
                    if first {
                        pad.push_event(gst::event::Eos::new());
                    }
                    gst::PadProbeReturn::Drop
                }
            }
        },
    );
}

impl Clip {
    /// Keeps what is needed of an event; answers the segment that the branch sees in place of the medium's.
    fn see_event(&mut self, event: &gst::Event, span: Span, sort: Sort) -> Option<gst::Event> {
        match event.view() {
            gst::EventView::Caps(caps) if sort == Sort::Sound => {
                self.sound = gst_audio::AudioInfo::from_caps(caps.caps()).ok();
                None
            }
            gst::EventView::Segment(segment) => {
                let of_medium = segment.segment().downcast_ref::<gst::ClockTime>()?.clone();
                let seen = shifted(&of_medium, span.start);
                self.segment = Some(of_medium);
                if sort == Sort::Packets {
                    return None;
                }
                let mut seen = seen?;
                // What keeps a rate of frames fills up to the end that it is told.
                if let (Sort::Frames, Some(end)) = (sort, span.end) {
                    let length = gst::ClockTime::try_from(end.saturating_sub(span.start)).ok();
                    let stop = seen.start().zip(length).map(|(start, length)| start + length);
                    seen.set_stop(stop.min(seen.stop()).or(stop));
                }
                Some(gst::event::Segment::builder(&seen).seqnum(event.seqnum()).build())
            }
            _ => None,
        }
    }

    fn see(&self, buffer: &mut gst::Buffer, span: Span, sort: Sort) -> Verdict {
        if self.over {
            return Verdict::Drop;
        }
        let Some(segment) = &self.segment else {
            return Verdict::Pass;
        };
        let time = match sort {
            // Later packets may still be shown before this one.
            Sort::Packets => buffer.dts_or_pts(),
            _ => buffer.pts(),
        };
        let Some(at) = time.and_then(|time| position(segment, time)) else {
            return Verdict::Pass;
        };
        let is_over = span.end.is_some_and(|end| at >= end);
        match sort {
            _ if is_over => Verdict::Over,
            Sort::Frames if at + ROUNDING < span.start => Verdict::Drop,
            Sort::Frames | Sort::Packets => Verdict::Pass,
            Sort::Sound => self.cut(buffer, segment, span),
        }
    }

    /// Cuts samples off at both ends.
    fn cut(&self, buffer: &mut gst::Buffer, segment: &gst::FormattedSegment<gst::ClockTime>, span: Span) -> Verdict {
        let (Some(sound), Some(mut wanted)) = (&self.sound, shifted(segment, span.start)) else {
            return Verdict::Pass;
        };
        if let Some(end) = span.end {
            let length = gst::ClockTime::try_from(end.saturating_sub(span.start)).ok();
            wanted.set_stop(wanted.start().zip(length).map(|(start, length)| start + length));
        }
        let cut = gst_audio::audio_buffer_clip(buffer.clone(), wanted.upcast_ref(), sound.rate(), sound.bpf());
        match cut {
            Some(cut) => {
                *buffer = cut;
                Verdict::Pass
            }
            None => Verdict::Drop,
        }
    }
}

/// The place in the medium of a time on this pad.
pub fn position(segment: &gst::FormattedSegment<gst::ClockTime>, time: gst::ClockTime) -> Option<Duration> {
    match segment.to_stream_time_full(time)? {
        gst::Signed::Positive(at) => Some(at.into()),
        gst::Signed::Negative(_) => Some(Duration::ZERO),
    }
}

/// A segment whose running time is zero at this place of the medium.
fn shifted(
    segment: &gst::FormattedSegment<gst::ClockTime>,
    start: Duration,
) -> Option<gst::FormattedSegment<gst::ClockTime>> {
    let start = gst::ClockTime::try_from(start).ok()?;
    let time = segment.time().unwrap_or_default();
    let mut seen = segment.clone();
    match start.checked_sub(time) {
        Some(later) => {
            seen.set_start(segment.start().map(|from| from + later));
            seen.set_base(gst::ClockTime::ZERO);
            seen.set_time(start);
        }
        None => seen.set_base(time.checked_sub(start)),
    }
    seen.set_offset(gst::ClockTime::ZERO);
    Some(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(start: u64, time: u64) -> gst::FormattedSegment<gst::ClockTime> {
        let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
        segment.set_start(gst::ClockTime::from_seconds(start));
        segment.set_time(gst::ClockTime::from_seconds(time));
        segment
    }

    #[test]
    fn a_part_begins_at_zero_wherever_the_medium_begins() {
        gst::init().unwrap();
        // Presentation times begin at 100 s, where the medium is at 0 s; the part starts at 7 s.
        let whole = segment(100, 0);
        let part = shifted(&whole, Duration::from_secs(7)).unwrap();
        let at = gst::ClockTime::from_seconds(109);
        assert_eq!(position(&whole, at), Some(Duration::from_secs(9)));
        assert_eq!(part.to_running_time(at), Some(gst::ClockTime::from_seconds(2)));
        // After a jump to 7 s.
        let jumped = segment(107, 7);
        let part = shifted(&jumped, Duration::from_secs(7)).unwrap();
        assert_eq!(position(&jumped, at), Some(Duration::from_secs(9)));
        assert_eq!(part.to_running_time(at), Some(gst::ClockTime::from_seconds(2)));
        // The medium itself begins later than the part.
        let late = segment(110, 10);
        let part = shifted(&late, Duration::from_secs(7)).unwrap();
        let at = gst::ClockTime::from_seconds(110);
        assert_eq!(part.to_running_time(at), Some(gst::ClockTime::from_seconds(3)));
    }
}
