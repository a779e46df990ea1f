//! Keeps the muxer of FLV from going on without a stream whose packets are still to come.
//!
//! Told that a stream has nothing for now, it writes the other one, and what comes of the first after all gets the time of that.
//! Whoever stores a sound that ends early often puts its last packets far behind their place, and says meanwhile that there are none.

use std::sync::{Mutex, PoisonError};

use gst::prelude::*;

/// Packets stand at most so far behind their place; those of ffmpeg ten seconds.
const BEHIND: gst::ClockTime = gst::ClockTime::from_seconds(15);

/// Lets words that nothing comes pass this pad only once nothing came for long. A rest that an encoder gives away at its end alone
/// is too late then, and is left out: it would be heard far behind its place.
pub fn keep(pad: &gst::Pad) {
    // How far it came, and was said to have come.
    let last = Mutex::new((None::<gst::ClockTime>, None::<gst::ClockTime>));
    pad.add_probe(
        gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM,
        move |_, info| {
            let mut known = last.lock().unwrap_or_else(PoisonError::into_inner);
            let (last, said) = &mut *known;
            match &info.data {
                Some(gst::PadProbeData::Buffer(packet)) => {
                    let time = packet.dts_or_pts();
                    if time.is_some() && time < *said {
                        return gst::PadProbeReturn::Handled;
                    }
                    *last = time.map(|time| time + packet.duration().unwrap_or_default()).max(*last);
                }
                Some(gst::PadProbeData::Event(event)) => {
                    if let gst::EventView::Gap(gap) = event.view() {
                        let (from, _) = gap.get();
                        let known = *last.get_or_insert(from);
                        if from < known + BEHIND {
                            return gst::PadProbeReturn::Handled;
                        }
                        *said = Some(from).max(*said);
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
        let passed = std::sync::Arc::new(Mutex::new(Vec::new()));
        let passes = passed.clone();
        exit.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            let at = info.buffer().and_then(|packet| packet.pts());
            passes.lock().unwrap().extend(at.map(gst::ClockTime::seconds));
            gst::PadProbeReturn::Ok
        });
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
        let packet = |at: u64| {
            let mut packet = gst::Buffer::new();
            packet.get_mut().unwrap().set_pts(seconds(at));
            entry.chain(packet).unwrap();
        };
        // Too late, and in time.
        for at in [10, 20] {
            packet(at);
        }
        for at in [21, 34, 36] {
            gap(at);
        }
        for element in [&sink, &queue] {
            element.set_state(gst::State::Null).unwrap();
        }
        assert_eq!(*heard.lock().unwrap(), [15, 36]);
        assert_eq!(*passed.lock().unwrap(), [20]);
    }
}
