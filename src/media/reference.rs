//! The stream that carries the clock of an MPEG transport stream. What comes before its first packet has no time for players that
//! keep to the clock, so that it must not be one that begins long after the others.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gst::prelude::*;

use super::meter::running_time;

/// A film that begins this much later than its sound still carries the clock, as it usually does.
const LATE: Duration = Duration::from_millis(100);

/// Has the stream that begins first carry the clock, unless it is only a little before the one that the muxer would take: the first
/// of its pads. To be called once all pads are there, before anything comes; the muxer chooses when every pad has a packet.
pub fn choose(muxer: &gst::Element) {
    if !muxer.has_property("prog-map") {
        return;
    }
    let starts = Arc::new(Mutex::new(Vec::new()));
    for (number, pad) in muxer.sink_pads().into_iter().enumerate() {
        let (starts, muxer) = (starts.clone(), muxer.downgrade());
        pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
            let time = info.buffer().and_then(|packet| packet.dts_or_pts());
            let Some(start) = time.and_then(|time| running_time(pad, time)) else {
                return gst::PadProbeReturn::Ok;
            };
            let mut starts = starts.lock().unwrap_or_else(PoisonError::into_inner);
            starts.push((number, start, pad.name().to_string()));
            if let Some((muxer, name)) = muxer.upgrade().zip(first(&starts)) {
                let map = gst::Structure::builder("program_map").field("PCR_1", name);
                muxer.set_property("prog-map", map.build());
            }
            gst::PadProbeReturn::Remove
        });
    }
}

/// Of streams by their number, when they begin and what they are called, the name of the one that carries the clock.
fn first(starts: &[(usize, Duration, String)]) -> Option<&str> {
    let earliest = starts.iter().map(|(_, start, _)| *start).min()?;
    let early = starts.iter().filter(|(_, start, _)| *start <= earliest + LATE);
    early.min_by_key(|(number, ..)| *number).map(|(.., name)| name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_carried_by_the_film_unless_it_begins_late() {
        let chosen = |starts: &[u64]| {
            let starts: Vec<_> = starts
                .iter()
                .enumerate()
                .map(|(number, start)| (number, Duration::from_millis(*start), format!("sink_{number}")))
                .rev()
                .collect();
            first(&starts).map(str::to_owned)
        };
        assert_eq!(chosen(&[]), None);
        assert_eq!(chosen(&[40, 0]).as_deref(), Some("sink_0"));
        assert_eq!(chosen(&[0, 3000]).as_deref(), Some("sink_0"));
        assert_eq!(chosen(&[3000, 0, 20]).as_deref(), Some("sink_1"));
    }
}
