//! Silence from the end of a sound to the end of its film: players expect all tracks of a package to be equally long.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gst::prelude::*;

/// Silence is encoded in pieces of this length.
const PIECE: u64 = 1_000_000_000;

/// What is too short to be heard, or to be missed.
const ROUNDING: u64 = 1_000_000;

/// The end of a film, and who waits for it.
#[derive(Debug, Clone, Default)]
pub struct Until(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    over: bool,
    end: Option<Duration>,
    waiting: Vec<(gst::Pad, u64, gst::Caps)>,
}

impl Until {
    /// The film is over, and ends at this running time; none where there was no picture.
    pub fn reach(&self, end: Option<Duration>) {
        let waiting = {
            let mut state = self.lock();
            (state.over, state.end) = (true, end);
            std::mem::take(&mut state.waiting)
        };
        for (pad, from, caps) in waiting {
            finish(&pad, from, end, &caps);
        }
    }

    /// Has what comes to this sink pad, samples of this form in one flat segment, go on in silence up to the end of the film.
    pub fn fill(&self, pad: &gst::Pad, wanted: &gst::Caps) {
        let until = self.clone();
        let wanted = wanted.clone();
        let at = Mutex::new(Some(0));
        pad.add_probe(
            gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM,
            move |pad, info| {
                let mut at = at.lock().unwrap_or_else(PoisonError::into_inner);
                let Some(from) = *at else {
                    return gst::PadProbeReturn::Ok;
                };
                match &info.data {
                    Some(gst::PadProbeData::Buffer(samples)) => {
                        let end = samples.pts().map(|pts| pts + samples.duration().unwrap_or_default());
                        *at = Some(end.map_or(from, gst::ClockTime::nseconds).max(from));
                        gst::PadProbeReturn::Ok
                    }
                    Some(gst::PadProbeData::Event(event)) if event.type_() == gst::EventType::Eos => {
                        // What comes now is of our own making.
                        *at = None;
                        drop(at);
                        let mut state = until.lock();
                        if !state.over {
                            state.waiting.push((pad.clone(), from, wanted.clone()));
                            return gst::PadProbeReturn::Handled;
                        }
                        let end = state.end;
                        drop(state);
                        finish(pad, from, end, &wanted);
                        gst::PadProbeReturn::Handled
                    }
                    _ => gst::PadProbeReturn::Ok,
                }
            },
        );
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Silence from here to there, and the end.
fn finish(pad: &gst::Pad, from: u64, end: Option<Duration>, wanted: &gst::Caps) {
    let to = end.map_or(0, |end| u64::try_from(end.as_nanos()).unwrap_or(0));
    if to > from + ROUNDING {
        silence(pad, from, to, wanted);
    }
    pad.send_event(gst::event::Eos::new());
}

fn silence(pad: &gst::Pad, from: u64, to: u64, wanted: &gst::Caps) -> Option<()> {
    let caps = if let Some(caps) = pad.current_caps() {
        caps
    } else {
        // Nothing of the sound ever came.
        let mut caps = pad.query_caps(Some(wanted));
        caps.fixate();
        pad.send_event(gst::event::Caps::new(&caps));
        if pad.sticky_event::<gst::event::Segment>(0).is_none() {
            let flat = gst::FormattedSegment::<gst::ClockTime>::new();
            pad.send_event(gst::event::Segment::new(&flat));
        }
        caps
    };
    let form = gst_audio::AudioInfo::from_caps(&caps).ok()?;
    let rate = u128::from(form.rate());
    let sample = |nanos: u64| u128::from(nanos) * rate / 1_000_000_000;
    let time = |sample: u128| gst::ClockTime::from_nseconds(u64::try_from(sample * 1_000_000_000 / rate).unwrap_or(0));
    let (mut at, last) = (sample(from), sample(to));
    while at < last {
        let count = (last - at).min(sample(PIECE)).max(1);
        let bytes = usize::try_from(count).ok()? * usize::try_from(form.bpf()).ok()?;
        let mut samples = gst::Buffer::from_mut_slice(vec![0_u8; bytes]);
        let own = samples.get_mut()?;
        // The sound before may end between two samples.
        let begin = time(at).max(gst::ClockTime::from_nseconds(from));
        own.set_pts(begin);
        own.set_duration(time(at + count).saturating_sub(begin));
        pad.chain(samples).ok()?;
        at += count;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long what arrives is, where this much sound comes and the film ends there.
    fn arrives(milliseconds: u64, film: Option<u64>, film_first: bool) -> u64 {
        gst::init().unwrap();
        let element = gst::ElementFactory::make("identity").build().unwrap();
        let sink = gst::ElementFactory::make("appsink")
            .property("sync", false)
            // All is looked at when the end has come.
            .property("wait-on-eos", false)
            .build()
            .unwrap();
        let pipeline = gst::Pipeline::new();
        pipeline.add_many([&element, &sink]).unwrap();
        element.link(&sink).unwrap();
        let caps = gst_audio::AudioCapsBuilder::new_interleaved()
            .format(gst_audio::AudioFormat::S16le)
            .rate(8000)
            .channels(1)
            .build();
        let (until, entry) = (Until::default(), element.static_pad("sink").unwrap());
        until.fill(&entry, &caps);
        pipeline.set_state(gst::State::Playing).unwrap();
        entry.send_event(gst::event::StreamStart::new("stream"));
        if milliseconds > 0 {
            entry.send_event(gst::event::Caps::new(&caps));
            entry.send_event(gst::event::Segment::new(&gst::FormattedSegment::<gst::ClockTime>::new()));
            let mut buffer = gst::Buffer::from_mut_slice(vec![9_u8; usize::try_from(milliseconds * 16).unwrap()]);
            let own = buffer.get_mut().unwrap();
            own.set_pts(gst::ClockTime::ZERO);
            own.set_duration(gst::ClockTime::from_mseconds(milliseconds));
            entry.chain(buffer).unwrap();
        }
        let film = film.map(Duration::from_millis);
        if film_first {
            until.reach(film);
        }
        entry.send_event(gst::event::Eos::new());
        if !film_first {
            until.reach(film);
        }
        let sink = sink.downcast::<gst_app::AppSink>().unwrap();
        let samples = std::iter::from_fn(|| sink.pull_sample().ok());
        let bytes: usize = samples.map(|sample| sample.buffer().unwrap().size()).sum();
        pipeline.set_state(gst::State::Null).unwrap();
        bytes as u64 / 16
    }

    #[test]
    fn a_sound_goes_on_in_silence_to_the_end_of_its_film() {
        for film_first in [false, true] {
            assert_eq!(arrives(500, Some(3200), film_first), 3200);
            assert_eq!(arrives(0, Some(1500), film_first), 1500);
            assert_eq!(arrives(500, Some(300), film_first), 500);
            assert_eq!(arrives(500, None, film_first), 500);
        }
    }
}
