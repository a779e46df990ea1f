//! When pictures of MPEG-4 part 2 (ISO/IEC 14496-2) in AVI are shown: DivX, Xvid. The container only says when each comes, and a
//! picture that others look ahead to comes before them.
//!
//! Pictures that come together share their places in time: those that look ahead take the first, and what they look ahead to takes
//! the one after. That is so as well where one place holds two pictures and the next holds an empty one, as Xvid writes them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gst::prelude::*;

/// The container.
pub const CONTAINER: &str = "video/x-msvideo";
/// So long before a place lies the key frame that it needs, where that is looked for by when pictures come: between the two there
/// are only those that look ahead.
pub const AHEAD: Duration = Duration::from_millis(500);

/// How a picture begins.
const START: [u8; 4] = [0, 0, 1, 0xb6];
/// A picture that shows the one before once more is not longer.
const EMPTY: usize = 19;

/// What a picture needs, or is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    /// None that comes later.
    Leading,
    /// The leading ones around it.
    Between,
    /// Nothing new.
    Empty,
}

/// A leading picture, and what comes up to the next.
#[derive(Default)]
struct Group(Vec<(gst::Buffer, Sort)>);

/// Gives what comes to this sink pad, packets of one stream in the order of decoding, the time when it is shown.
pub fn time(pad: &gst::Pad) {
    let group = Arc::new(Mutex::new(Group::default()));
    let kinds = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM | gst::PadProbeType::EVENT_FLUSH;
    pad.add_probe(kinds, move |pad, info| {
        let ready = {
            let mut group = group.lock().unwrap_or_else(PoisonError::into_inner);
            match &info.data {
                // What is let go passes here once more.
                Some(gst::PadProbeData::Buffer(packet)) if packet.flags().contains(MARK) => {
                    return gst::PadProbeReturn::Ok;
                }
                Some(gst::PadProbeData::Buffer(packet)) => {
                    let Some(sort) = sort(packet) else {
                        return gst::PadProbeReturn::Ok;
                    };
                    let complete = (sort == Sort::Leading).then(|| std::mem::take(&mut *group));
                    group.0.push((packet.clone(), sort));
                    complete.unwrap_or_default()
                }
                Some(gst::PadProbeData::Event(event)) => match event.type_() {
                    gst::EventType::FlushStop => {
                        group.0.clear();
                        return gst::PadProbeReturn::Ok;
                    }
                    gst::EventType::Eos | gst::EventType::Segment | gst::EventType::Caps => std::mem::take(&mut *group),
                    _ => return gst::PadProbeReturn::Ok,
                },
                _ => return gst::PadProbeReturn::Ok,
            }
        };
        let mut flow = Ok(gst::FlowSuccess::Ok);
        for packet in ready.timed() {
            flow = flow.and_then(|_| pad.chain(packet));
        }
        if info.event().is_some() {
            return gst::PadProbeReturn::Ok;
        }
        info.flow_res = flow;
        gst::PadProbeReturn::Handled
    });
}

/// Whether a medium of this form may have such pictures.
pub fn are_in(container: &gst::Caps) -> bool {
    container.structure(0).is_some_and(|fields| fields.name() == CONTAINER)
}

/// What has its time already.
const MARK: gst::BufferFlags = gst::BufferFlags::MARKER;

impl Group {
    fn timed(self) -> Vec<gst::Buffer> {
        let mut places: Vec<gst::ClockTime> = self.0.iter().filter_map(|(packet, _)| packet.dts_or_pts()).collect();
        places.sort_unstable();
        places.dedup();
        let length = self
            .0
            .iter()
            .find_map(|(packet, _)| packet.duration())
            .unwrap_or_default();
        let last = places.last().copied();
        let place = |number: usize| {
            let beyond = (number + 1).saturating_sub(places.len()) as u64;
            places.get(number).copied().or_else(|| Some(last? + length * beyond))
        };
        let between = self.0.iter().filter(|(_, sort)| *sort == Sort::Between).count();
        let mut shown = 0;
        let timed = self.0.into_iter().map(|(mut packet, sort)| {
            let at = match sort {
                Sort::Leading => place(between),
                Sort::Between => {
                    shown += 1;
                    place(shown - 1)
                }
                Sort::Empty => packet.dts_or_pts(),
            };
            let own = packet.make_mut();
            own.set_pts(at);
            own.set_flags(MARK);
            packet
        });
        timed.collect()
    }
}

/// What picture a packet holds; none where it holds none.
fn sort(packet: &gst::BufferRef) -> Option<Sort> {
    let map = packet.map_readable().ok()?;
    let bytes = map.as_slice();
    let at = bytes.windows(START.len()).position(|window| window == START)?;
    Some(match bytes.get(at + START.len())? >> 6 {
        1 if bytes.len() <= EMPTY => Sort::Empty,
        2 => Sort::Between,
        _ => Sort::Leading,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packets by their letter and place: when each is shown.
    fn shown(packets: &[(char, Option<u64>)]) -> Vec<(char, u64)> {
        gst::init().unwrap();
        let element = gst::ElementFactory::make("identity").build().unwrap();
        let sink = gst::ElementFactory::make("appsink")
            .property("sync", false)
            .build()
            .unwrap();
        let pipeline = gst::Pipeline::new();
        pipeline.add_many([&element, &sink]).unwrap();
        element.link(&sink).unwrap();
        let entry = element.static_pad("sink").unwrap();
        time(&entry);
        pipeline.set_state(gst::State::Playing).unwrap();
        entry.send_event(gst::event::StreamStart::new("stream"));
        entry.send_event(gst::event::Segment::new(&gst::FormattedSegment::<gst::ClockTime>::new()));
        for (letter, place) in packets {
            let sort = match letter {
                'I' => 0,
                'B' => 2 << 6,
                'S' => 3 << 6,
                _ => 1 << 6,
            };
            let mut bytes = vec![0, 0, 1, 0xb6, sort, u8::try_from(*letter).unwrap()];
            bytes.resize(if *letter == 'N' { 7 } else { 30 }, 7);
            let mut buffer = gst::Buffer::from_mut_slice(bytes);
            let own = buffer.get_mut().unwrap();
            own.set_dts(place.map(gst::ClockTime::from_seconds));
            own.set_duration(gst::ClockTime::SECOND);
            entry.chain(buffer).unwrap();
        }
        entry.send_event(gst::event::Eos::new());
        let sink = sink.downcast::<gst_app::AppSink>().unwrap();
        let seen = std::iter::from_fn(|| sink.pull_sample().ok()).map(|sample| {
            let buffer = sample.buffer().unwrap();
            let letter = char::from(buffer.map_readable().unwrap()[5]);
            (letter, buffer.pts().unwrap().seconds())
        });
        let seen = seen.collect();
        pipeline.set_state(gst::State::Null).unwrap();
        seen
    }

    #[test]
    fn pictures_that_look_ahead_are_shown_before_what_they_look_ahead_to() {
        let each = |letters: &str| letters.chars().zip((0..).map(Some)).collect::<Vec<_>>();
        assert_eq!(shown(&each("IPP")), [('I', 0), ('P', 1), ('P', 2)]);
        assert_eq!(
            shown(&each("IPBBPBBS")),
            [
                ('I', 0),
                ('P', 3),
                ('B', 1),
                ('B', 2),
                ('P', 6),
                ('B', 4),
                ('B', 5),
                ('S', 7)
            ]
        );
        // Two in one place, and an empty one in the next.
        let packed = [
            ('I', Some(0)),
            ('P', Some(1)),
            ('B', None),
            ('N', Some(2)),
            ('P', Some(3)),
            ('B', Some(3)),
        ];
        let expected = [('I', 0), ('P', 2), ('B', 1), ('N', 2), ('P', 4), ('B', 3)];
        assert_eq!(shown(&packed), expected);
        // What is left out of the medium leaves its place empty.
        let holes = [('P', Some(0)), ('P', Some(5)), ('B', Some(6)), ('P', Some(9))];
        assert_eq!(shown(&holes), [('P', 0), ('P', 6), ('B', 5), ('P', 9)]);
    }
}
