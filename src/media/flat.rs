//! Makes the times of a stream count from the beginning of the medium. Elements that fill holes look no further than the
//! beginning of their segment, and a stream that begins late may have a segment that does.

use std::sync::{Mutex, PoisonError};

use gst::prelude::*;

use super::failure::element;
use crate::job::Failure;

/// Sound that is off by less than this is where it should be: times are rounded on their way.
const JITTER: gst::ClockTime = gst::ClockTime::from_mseconds(10);

/// What fills holes of sound with silence.
///
/// # Errors
/// Where the element is missing.
pub fn filler() -> Result<gst::Element, Failure> {
    let filler = element("audiorate")?;
    filler.set_property("tolerance", JITTER.nseconds());
    Ok(filler)
}

/// From now on what passes this sink pad carries its running time, in a segment that begins at zero.
pub fn flatten(pad: &gst::Pad) {
    let told = Mutex::new(None::<gst::FormattedSegment<gst::ClockTime>>);
    pad.add_probe(
        gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM,
        move |_, info| {
            let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
            match &mut info.data {
                Some(gst::PadProbeData::Event(event)) => match event.view() {
                    gst::EventView::Segment(segment) => {
                        let Some(segment) = segment.segment().downcast_ref::<gst::ClockTime>() else {
                            return gst::PadProbeReturn::Ok;
                        };
                        let first = told.replace(segment.clone()).is_none();
                        if !first {
                            // To what follows there is only one.
                            return gst::PadProbeReturn::Handled;
                        }
                        let flat = gst::FormattedSegment::<gst::ClockTime>::new();
                        *event = gst::event::Segment::builder(&flat).seqnum(event.seqnum()).build();
                        gst::PadProbeReturn::Ok
                    }
                    gst::EventView::Gap(_) => gst::PadProbeReturn::Handled,
                    _ => gst::PadProbeReturn::Ok,
                },
                Some(gst::PadProbeData::Buffer(buffer)) => {
                    let segment = told.as_ref();
                    let Some(at) = segment
                        .zip(buffer.pts())
                        .and_then(|(segment, pts)| segment.to_running_time(pts))
                    else {
                        return gst::PadProbeReturn::Drop;
                    };
                    let buffer = buffer.make_mut();
                    buffer.set_pts(at);
                    buffer.set_dts(gst::ClockTime::NONE);
                    gst::PadProbeReturn::Ok
                }
                _ => gst::PadProbeReturn::Ok,
            }
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_that_begins_late_counts_from_the_beginning_of_the_medium() {
        gst::init().unwrap();
        let element = gst::ElementFactory::make("identity").build().unwrap();
        let (entry, exit) = (element.static_pad("sink").unwrap(), element.static_pad("src").unwrap());
        flatten(&entry);
        let sink = gst::ElementFactory::make("appsink").build().unwrap();
        let bin = gst::Pipeline::new();
        bin.add_many([&element, &sink]).unwrap();
        exit.link(&sink.static_pad("sink").unwrap()).unwrap();
        sink.set_property("async", false);
        sink.set_property("sync", false);
        bin.set_state(gst::State::Playing).unwrap();
        entry.send_event(gst::event::StreamStart::new("stream"));
        let seconds = gst::ClockTime::from_seconds;
        let sink = sink.downcast::<gst_app::AppSink>().unwrap();
        let mut seen = Vec::new();
        for (start, base, pts) in [(10, 2, 11), (20, 5, 20)] {
            let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
            segment.set_start(seconds(start));
            segment.set_base(seconds(base));
            entry.send_event(gst::event::Segment::new(&segment));
            let mut buffer = gst::Buffer::new();
            buffer.get_mut().unwrap().set_pts(seconds(pts));
            entry.chain(buffer).unwrap();
            let sample = sink.pull_sample().unwrap();
            let start = sample
                .segment()
                .unwrap()
                .downcast_ref::<gst::ClockTime>()
                .unwrap()
                .start();
            seen.push((
                start.unwrap().seconds(),
                sample.buffer().unwrap().pts().unwrap().seconds(),
            ));
        }
        bin.set_state(gst::State::Null).unwrap();
        assert_eq!(seen, [(0, 3), (0, 5)]);
    }
}
