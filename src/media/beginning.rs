//! One beginning for all streams of a medium, at zero.
//!
//! The demuxer of Matroska takes the first packet it meets for the beginning, and another one once a stream shows up
//! that begins earlier. What came before is then off by the difference, and parsers count anew in the middle of a group
//! of pictures. That of MPEG streams counts from their first clock reference, which comes most of a second before the
//! first picture.

use std::sync::{Mutex, PoisonError};

use gst::prelude::*;

/// A first packet this late is a stream that begins late, not a medium that does.
const LATE: gst::ClockTime = gst::ClockTime::SECOND;

/// Makes what passes this pad count from zero where it would count from shortly after.
pub fn level(pad: &gst::Pad) {
    pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, |pad, info| {
        if let Some(gst::PadProbeData::Event(event)) = &mut info.data
            && let gst::EventView::Segment(told) = event.view()
            && let Some(segment) = told.segment().downcast_ref::<gst::ClockTime>()
            && segment.time() == Some(gst::ClockTime::ZERO)
            && segment.base() == Some(gst::ClockTime::ZERO)
            && segment.start().is_some_and(|start| start <= LATE)
        {
            let mut levelled = segment.clone();
            levelled.set_start(gst::ClockTime::ZERO);
            let same = pad.sticky_event::<gst::event::Segment>(0).is_some_and(|before| {
                let before = before.segment().downcast_ref::<gst::ClockTime>();
                before.is_some_and(|before| before.start() == levelled.start() && before.time() == levelled.time())
            });
            if same {
                return gst::PadProbeReturn::Handled;
            }
            *event = gst::event::Segment::builder(&levelled).seqnum(event.seqnum()).build();
        }
        gst::PadProbeReturn::Ok
    });
}

/// Makes the place that the first segment on this pad begins with the zero of the medium.
pub fn rebase(pad: &gst::Pad) {
    let zero = Mutex::new(None);
    pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
        if let Some(gst::PadProbeData::Event(event)) = &mut info.data
            && let gst::EventView::Segment(told) = event.view()
            && let Some(segment) = told.segment().downcast_ref::<gst::ClockTime>()
            && let Some(time) = segment.time()
        {
            let mut zero = zero.lock().unwrap_or_else(PoisonError::into_inner);
            let zero = *zero.get_or_insert(time);
            let mut rebased = segment.clone();
            rebased.set_time(time.saturating_sub(zero));
            *event = gst::event::Segment::builder(&rebased).seqnum(event.seqnum()).build();
        }
        gst::PadProbeReturn::Ok
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The starts that come through for those that are told.
    fn levelled(starts: &[u64]) -> Vec<u64> {
        gst::init().unwrap();
        let queue = gst::ElementFactory::make("identity").build().unwrap();
        let entry = queue.static_pad("sink").unwrap();
        level(&entry);
        queue.set_state(gst::State::Playing).unwrap();
        let mut seen = Vec::new();
        entry.send_event(gst::event::StreamStart::new("stream"));
        for start in starts {
            let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
            segment.set_start(gst::ClockTime::from_mseconds(*start));
            segment.set_time(gst::ClockTime::ZERO);
            entry.send_event(gst::event::Segment::new(&segment));
            let event = entry.sticky_event::<gst::event::Segment>(0).unwrap();
            let segment = event.segment().downcast_ref::<gst::ClockTime>().unwrap();
            seen.push(segment.start().unwrap().mseconds());
        }
        queue.set_state(gst::State::Null).unwrap();
        seen
    }

    #[test]
    fn a_stream_that_begins_a_little_late_counts_from_zero() {
        assert_eq!(levelled(&[21, 0]), [0, 0]);
        assert_eq!(levelled(&[0]), [0]);
    }

    #[test]
    fn a_medium_that_counts_from_before_its_first_packet_begins_at_zero() {
        gst::init().unwrap();
        let element = gst::ElementFactory::make("identity").build().unwrap();
        let entry = element.static_pad("sink").unwrap();
        rebase(&entry);
        element.set_state(gst::State::Playing).unwrap();
        entry.send_event(gst::event::StreamStart::new("stream"));
        let mut seen = Vec::new();
        for (start, time) in [(780, 780), (9_780, 5_780)] {
            let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
            segment.set_start(gst::ClockTime::from_mseconds(start));
            segment.set_time(gst::ClockTime::from_mseconds(time));
            entry.send_event(gst::event::Segment::new(&segment));
            let event = entry.sticky_event::<gst::event::Segment>(0).unwrap();
            let segment = event.segment().downcast_ref::<gst::ClockTime>().unwrap();
            seen.push((segment.start().unwrap().mseconds(), segment.time().unwrap().mseconds()));
        }
        element.set_state(gst::State::Null).unwrap();
        assert_eq!(seen, [(780, 0), (9_780, 5_000)]);
    }

    #[test]
    fn a_medium_that_begins_late_keeps_its_beginning() {
        assert_eq!(levelled(&[3_600_000]), [3_600_000]);
    }
}
