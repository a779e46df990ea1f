//! Keeps the muxer of FLV from going on without a stream whose packets are still to come.
//!
//! Told that a stream has nothing for now, it writes the other one, and what comes of the first after all gets the time of that.
//! Whoever stores a sound that ends early often puts its last packets far behind their place, and says meanwhile that there are none.

use std::sync::{Mutex, PoisonError};

use gst::prelude::*;

/// Packets stand at most so far behind their place; those of ffmpeg ten seconds.
const BEHIND: gst::ClockTime = gst::ClockTime::from_seconds(15);

/// Lets words that nothing comes pass this pad only once nothing came for long.
pub fn keep(pad: &gst::Pad) {
    let last = Mutex::new(None::<gst::ClockTime>);
    pad.add_probe(
        gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM,
        move |_, info| {
            let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
            match &info.data {
                Some(gst::PadProbeData::Buffer(packet)) => {
                    let time = packet.dts_or_pts();
                    *last = time.map(|time| time + packet.duration().unwrap_or_default()).max(*last);
                }
                Some(gst::PadProbeData::Event(event)) => {
                    if let gst::EventView::Gap(gap) = event.view() {
                        let (from, _) = gap.get();
                        let known = *last.get_or_insert(from);
                        if from < known + BEHIND {
                            return gst::PadProbeReturn::Drop;
                        }
                    }
                }
                _ => {}
            }
            gst::PadProbeReturn::Ok
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn that_nothing_comes_is_heard_when_nothing_came_for_long() {
        gst::init().unwrap();
        let queue = gst::ElementFactory::make("identity").build().unwrap();
        let sink = gst::ElementFactory::make("fakesink").build().unwrap();
        let (entry, exit) = (queue.static_pad("sink").unwrap(), sink.static_pad("sink").unwrap());
        queue.static_pad("src").unwrap().link(&exit).unwrap();
        keep(&entry);
        let heard = std::sync::Arc::new(Mutex::new(Vec::new()));
        let hears = heard.clone();
        exit.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
            if let Some(gst::EventView::Gap(gap)) = info.event().map(|event| event.view()) {
                hears.lock().unwrap().push(gap.get().0.seconds());
            }
            gst::PadProbeReturn::Ok
        });
        sink.set_property("async", false);
        sink.set_property("sync", false);
        sink.set_state(gst::State::Playing).unwrap();
        queue.set_state(gst::State::Playing).unwrap();
        entry.send_event(gst::event::StreamStart::new("stream"));
        entry.send_event(gst::event::Segment::new(&gst::FormattedSegment::<gst::ClockTime>::new()));
        let seconds = gst::ClockTime::from_seconds;
        let gap = |at: u64| entry.send_event(gst::event::Gap::builder(seconds(at)).build());
        for at in [0, 14, 15] {
            gap(at);
        }
        let mut packet = gst::Buffer::new();
        packet.get_mut().unwrap().set_pts(seconds(10));
        entry.chain(packet).unwrap();
        for at in [11, 24, 26] {
            gap(at);
        }
        for element in [&sink, &queue] {
            element.set_state(gst::State::Null).unwrap();
        }
        assert_eq!(*heard.lock().unwrap(), [15, 26]);
    }
}
