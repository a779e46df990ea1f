//! Keeps streams that have little to say from holding up the others.
//!
//! Whoever writes several streams into one file waits for each of them. Subtitles say nothing for minutes, and a sound may end
//! long before the film; what is read of the others meanwhile would have to be kept. So it is told that nothing came.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gst::prelude::*;

/// Subtitles may stand so far behind the packets around them.
const LATE: Duration = Duration::from_secs(5);
/// They are told of so often.
const STEP: Duration = Duration::from_secs(1);
/// A stream that stands so far behind, and at its declared end, has ended.
const ENDED: Duration = Duration::from_secs(10);
/// What is declared may be off by so much.
const ROUNDING: Duration = Duration::from_millis(500);

/// How far each stream of a medium has come.
#[derive(Debug, Default, Clone)]
pub struct Pace(Arc<Mutex<Vec<Lane>>>);

#[derive(Debug)]
struct Lane {
    entry: gst::glib::WeakRef<gst::Pad>,
    sparse: bool,
    /// In the time of the medium.
    at: Duration,
    /// When it is declared to end.
    end: Option<Duration>,
    over: bool,
}

/// What is said to a stream in place of packets.
#[derive(Debug, PartialEq, Eq)]
enum Word {
    /// Nothing from here to there.
    Nothing(Duration, Duration),
    /// Nothing any more.
    Over,
}

impl Pace {
    /// Watches a stream where it comes from its demuxer: all streams of a medium come on one thread.
    pub fn watch(&self, entry: &gst::Pad, sparse: bool) {
        let number = {
            let mut lanes = self.lock();
            lanes.push(Lane {
                entry: entry.downgrade(),
                sparse,
                at: Duration::ZERO,
                end: None,
                over: false,
            });
            lanes.len() - 1
        };
        let pace = self.clone();
        let kinds = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM | gst::PadProbeType::EVENT_FLUSH;
        entry.add_probe(kinds, move |pad, info| {
            let (time, length) = match &info.data {
                Some(gst::PadProbeData::Buffer(buffer)) => (buffer.dts_or_pts(), buffer.duration()),
                Some(gst::PadProbeData::Event(event)) => match event.view() {
                    // Film and sound come as far as their packets do.
                    gst::EventView::Gap(_) if !sparse => return gst::PadProbeReturn::Ok,
                    gst::EventView::Gap(gap) => (Some(gap.get().0), gap.get().1),
                    // After a jump everything begins anew.
                    gst::EventView::FlushStop(_) => {
                        let lane = &mut pace.lock()[number];
                        (lane.at, lane.over) = (Duration::ZERO, false);
                        return gst::PadProbeReturn::Ok;
                    }
                    gst::EventView::Eos(_) => {
                        let known = std::mem::replace(&mut pace.lock()[number].over, true);
                        return if known {
                            gst::PadProbeReturn::Handled
                        } else {
                            gst::PadProbeReturn::Ok
                        };
                    }
                    _ => return gst::PadProbeReturn::Ok,
                },
                _ => return gst::PadProbeReturn::Ok,
            };
            pace.pass(pad, number, time, length.unwrap_or_default())
        });
    }

    /// When streams are declared to end, in the order in which they were found.
    pub fn set_ends(&self, ends: impl Fn(&gst::Pad) -> Option<Duration>) {
        let entries: Vec<_> = self.lock().iter().map(|lane| lane.entry.upgrade()).collect();
        for (number, entry) in entries.into_iter().enumerate() {
            let end = entry.and_then(|entry| ends(&entry));
            self.lock()[number].end = end;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Lane>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pass(
        &self,
        pad: &gst::Pad,
        number: usize,
        time: Option<gst::ClockTime>,
        length: gst::ClockTime,
    ) -> gst::PadProbeReturn {
        let Some(segment) = segment(pad) else {
            return gst::PadProbeReturn::Ok;
        };
        let at = time.and_then(|time| segment.to_stream_time(time)).map(Duration::from);
        let Some(at) = at else {
            return gst::PadProbeReturn::Ok;
        };
        let mut lanes = self.lock();
        // However long a line or a pause of subtitles is: whoever waits for the next has to hear of them meanwhile.
        let lasts = if lanes[number].sparse {
            Duration::ZERO
        } else {
            length.into()
        };
        lanes[number].at = lanes[number].at.max(at + lasts);
        let words: Vec<_> = lanes
            .iter_mut()
            .enumerate()
            .filter(|(other, _)| *other != number)
            .filter_map(|(_, lane)| Some((lane.hears_of(at)?, lane.entry.upgrade()?)))
            .collect();
        drop(lanes);
        for (word, entry) in words {
            say(&entry, &word);
        }
        gst::PadProbeReturn::Ok
    }
}

impl Lane {
    /// What it is told when another stream has come to this time.
    fn hears_of(&mut self, time: Duration) -> Option<Word> {
        if self.over {
            return None;
        }
        if self.sparse {
            let (from, to) = (self.at, time.saturating_sub(LATE));
            let due = to >= from + STEP;
            if due {
                self.at = to;
            }
            return due.then_some(Word::Nothing(from, to));
        }
        // What is declared may be wrong: one that goes on is not over.
        let end = self.end?;
        (self.at + ROUNDING >= end && time >= self.at.max(end) + ENDED).then_some(Word::Over)
    }
}

fn say(entry: &gst::Pad, word: &Word) {
    match word {
        Word::Over => {
            entry.send_event(gst::event::Eos::new());
        }
        Word::Nothing(from, to) => {
            let clock = |time: Duration| gst::ClockTime::try_from(time).ok();
            let place = |time| segment(entry)?.position_from_stream_time(clock(time)?);
            if let (Some(start), Some(length)) = (place(*from), clock(to.saturating_sub(*from))) {
                entry.send_event(gst::event::Gap::builder(start).duration(length).build());
            }
        }
    }
}

fn segment(pad: &gst::Pad) -> Option<gst::FormattedSegment<gst::ClockTime>> {
    let event = pad.sticky_event::<gst::event::Segment>(0)?;
    event.segment().downcast_ref::<gst::ClockTime>().cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(sparse: bool, at: u64, end: Option<u64>) -> Lane {
        Lane {
            entry: gst::glib::WeakRef::new(),
            sparse,
            at: Duration::from_secs(at),
            end: end.map(Duration::from_secs),
            over: false,
        }
    }

    #[test]
    fn a_stream_that_stands_far_behind_is_told_that_nothing_comes_or_comes_any_more() {
        let hears = |mut lane: Lane, time: u64| lane.hears_of(Duration::from_secs(time));
        let nothing = |from, to| Some(Word::Nothing(Duration::from_secs(from), Duration::from_secs(to)));
        assert_eq!(hears(lane(true, 2, None), 7), None);
        assert_eq!(hears(lane(true, 2, None), 8), nothing(2, 3));
        assert_eq!(hears(lane(true, 2, None), 60), nothing(2, 55));
        // Sound that lacks may come yet, unless it is at its end.
        assert_eq!(hears(lane(false, 2, None), 60), None);
        assert_eq!(hears(lane(false, 2, Some(30)), 60), None);
        assert_eq!(hears(lane(false, 30, Some(30)), 39), None);
        assert_eq!(hears(lane(false, 30, Some(30)), 40), Some(Word::Over));
        assert_eq!(hears(lane(false, 39, Some(30)), 40), None);
    }
}
