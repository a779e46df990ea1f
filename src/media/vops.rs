//! When pictures of MPEG-4 part 2 (ISO/IEC 14496-2) in AVI are shown: DivX, Xvid. The container only says when each comes, and a
//! picture that others look ahead to comes before them.
//!
//! Pictures that come together share their places in time: those that look ahead take the first, and what they look ahead to takes
//! the one after. That is so as well where one place holds two pictures and the next holds an empty one, as Xvid writes them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
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
/// No writer lets more pictures look ahead to one.
const MOST: usize = 20;
/// So many bytes are held back at most, unless one packet is larger.
const LARGEST: usize = 32 << 20;

/// What a picture needs, or is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    /// None that comes later.
    Leading,
    /// The leading ones around it.
    Between,
    /// Nothing new.
    Empty,
    /// No picture.
    Other,
}

/// A leading picture, and what comes up to the next.
#[derive(Default)]
struct Group(Vec<(gst::Buffer, Sort)>);

/// Gives what comes to this sink pad, packets of one stream in the order of decoding, the time when it is shown.
pub fn time(pad: &gst::Pad) {
    let group = Mutex::new(Group::default());
    // What is let go passes here once more.
    let passing = AtomicBool::new(false);
    let kinds = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM | gst::PadProbeType::EVENT_FLUSH;
    pad.add_probe(kinds, move |pad, info| {
        let ready = {
            let mut group = group.lock().unwrap_or_else(PoisonError::into_inner);
            match &info.data {
                Some(gst::PadProbeData::Buffer(_)) if passing.load(Ordering::SeqCst) => {
                    return gst::PadProbeReturn::Ok;
                }
                Some(gst::PadProbeData::Buffer(packet)) => group.add(packet.clone()),
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
        passing.store(true, Ordering::SeqCst);
        for packet in ready.timed() {
            flow = flow.and_then(|_| pad.chain(packet));
        }
        passing.store(false, Ordering::SeqCst);
        if info.event().is_some() {
            return gst::PadProbeReturn::Ok;
        }
        info.flow_res = flow;
        gst::PadProbeReturn::Handled
    });
}

impl Group {
    /// Takes what comes next, and gives what is complete with that.
    fn add(&mut self, packet: gst::Buffer) -> Self {
        let mut sort = sort(&packet);
        // A film that stands still has pictures that are as short, and are looked ahead to.
        if sort == Sort::Empty && !self.has_shared() {
            sort = Sort::Leading;
        }
        if sort == Sort::Other && self.0.is_empty() {
            return Self(vec![(packet, sort)]);
        }
        let bytes: usize = self.0.iter().map(|(packet, _)| packet.size()).sum();
        let is_full = self.0.len() >= MOST || bytes + packet.size() > LARGEST;
        let complete = (sort == Sort::Leading || is_full).then(|| std::mem::take(self));
        self.0.push((packet, sort));
        complete.unwrap_or_default()
    }

    /// Whether there are more pictures than places, so that an empty one is due.
    fn has_shared(&self) -> bool {
        let of = |wanted| self.0.iter().filter(move |(_, sort)| *sort == wanted).count();
        let between = of(Sort::Between);
        between > 0 && of(Sort::Leading) + between > self.places().len()
    }

    /// How long a picture is shown.
    fn length(&self) -> gst::ClockTime {
        let mut lengths = self.0.iter().filter_map(|(packet, _)| packet.duration());
        lengths.next().unwrap_or_default()
    }

    /// Where pictures come, each place once.
    fn places(&self) -> Vec<gst::ClockTime> {
        let pictures = self.0.iter().filter(|(_, sort)| *sort != Sort::Other);
        let mut places: Vec<_> = pictures.filter_map(|(packet, _)| packet.dts_or_pts()).collect();
        places.sort_unstable();
        // Times are rounded, not always in the same way.
        let near = self.length() / 2;
        places.dedup_by(|next, place| next.saturating_sub(*place) <= near);
        places
    }

    /// All of it, with the times when it is shown.
    fn timed(self) -> Vec<gst::Buffer> {
        let (places, length) = (self.places(), self.length());
        let last = places.last().copied();
        let place = |number: usize| {
            let beyond = (number + 1).saturating_sub(places.len()) as u64;
            places
                .get(number)
                .copied()
                .or_else(|| Some(last?.saturating_add(length.saturating_mul(beyond))))
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
                Sort::Other => return packet,
            };
            packet.make_mut().set_pts(at);
            packet
        });
        timed.collect()
    }
}

/// What picture a packet holds, by itself.
fn sort(packet: &gst::BufferRef) -> Sort {
    let Ok(map) = packet.map_readable() else {
        return Sort::Other;
    };
    let bytes = map.as_slice();
    let start = bytes.windows(START.len()).position(|window| window == START);
    match start.and_then(|at| bytes.get(at + START.len())).map(|byte| byte >> 6) {
        None => Sort::Other,
        Some(1) if bytes.len() <= EMPTY => Sort::Empty,
        Some(2) => Sort::Between,
        Some(_) => Sort::Leading,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEVER: u64 = 99;

    /// A packet by its letter: `p` and `N` are short, `H` holds no picture.
    fn packet(letter: char, dts: Option<gst::ClockTime>) -> gst::Buffer {
        let sort = match letter {
            'I' => 0,
            'B' => 2 << 6,
            'S' => 3 << 6,
            _ => 1 << 6,
        };
        let start = if letter == 'H' { 0xb2 } else { START[3] };
        let mut bytes = vec![0, 0, 1, start, sort, u8::try_from(letter).unwrap()];
        bytes.resize(if "pN".contains(letter) { 7 } else { 30 }, 7);
        let mut buffer = gst::Buffer::from_mut_slice(bytes);
        let own = buffer.get_mut().unwrap();
        own.set_dts(dts);
        own.set_duration(gst::ClockTime::SECOND);
        buffer
    }

    /// Packets by their letter and place: when each is shown.
    fn shown(packets: &[(char, Option<u64>)]) -> Vec<(char, u64)> {
        gst::init().unwrap();
        let element = gst::ElementFactory::make("identity").build().unwrap();
        let sink = gst::ElementFactory::make("appsink")
            .property("sync", false)
            .property("wait-on-eos", false)
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
        for (number, (letter, place)) in (0..).zip(packets) {
            // Never quite the same time.
            let place = place.map(|place| gst::ClockTime::from_seconds(place) + gst::ClockTime::from_nseconds(number));
            entry.chain(packet(*letter, place)).unwrap();
        }
        entry.send_event(gst::event::Eos::new());
        let sink = sink.downcast::<gst_app::AppSink>().unwrap();
        let seen = std::iter::from_fn(|| sink.pull_sample().ok()).map(|sample| {
            let buffer = sample.buffer().unwrap();
            let letter = char::from(buffer.map_readable().unwrap()[5]);
            assert!(!buffer.flags().contains(gst::BufferFlags::MARKER));
            (letter, buffer.pts().map_or(NEVER, gst::ClockTime::seconds))
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
        // A short one that comes after it is a picture like others.
        let still = packed[..4].iter().copied().chain([('p', Some(3)), ('B', Some(4))]);
        let expected = [('I', 0), ('P', 2), ('B', 1), ('N', 2), ('p', 4), ('B', 3)];
        assert_eq!(shown(&still.collect::<Vec<_>>()), expected);
        assert_eq!(
            shown(&each("IpBBpB")),
            [('I', 0), ('p', 3), ('B', 1), ('B', 2), ('p', 5), ('B', 4)]
        );
        // What is no picture stays where it is.
        let others = [('H', None), ('I', Some(0)), ('P', Some(1)), ('H', None), ('B', Some(2))];
        let expected = [('H', NEVER), ('I', 0), ('P', 2), ('H', NEVER), ('B', 1)];
        assert_eq!(shown(&others), expected);
        // What is left out of the medium leaves its place empty.
        let holes = [('P', Some(0)), ('P', Some(5)), ('B', Some(6)), ('P', Some(9))];
        assert_eq!(shown(&holes), [('P', 0), ('P', 6), ('B', 5), ('P', 9)]);
    }
    #[test]
    fn little_is_held_back_and_no_time_is_beyond_what_can_be_said() {
        gst::init().unwrap();
        let mut group = Group::default();
        let mut given = 0;
        for letter in "I".chars().chain(std::iter::repeat_n('B', 100)) {
            given += group.add(packet(letter, Some(gst::ClockTime::MAX))).timed().len();
            assert!(group.0.len() <= MOST);
        }
        assert_eq!(given + group.timed().len(), 101);
    }
}
