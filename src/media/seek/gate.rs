//! Lets only those packets of a film into its decoder that are needed for what is wanted next.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gst::prelude::*;

/// Chooses among packets, by whether they are key frames and their time in the medium.
pub type Choice = Box<dyn FnMut(bool, Duration) -> bool + Send>;

/// What a gate lets through.
pub enum Pass {
    /// Everything.
    All,
    /// What is needed for frames up to this point, and then the end of the stream, so that the decoder gives them out. Media
    /// whose packets do not say both when they are decoded and when they are shown pass whole.
    Until(Duration),
    /// What is chosen.
    Chosen(Choice),
}

/// Stands where packets of a film come out.
pub struct Gate {
    exit: gst::Pad,
    probe: Option<gst::PadProbeId>,
    state: Arc<Mutex<State>>,
}

struct State {
    pass: Pass,
    /// What passes once the jump is made that it is for.
    next: Option<Pass>,
    /// Nothing passes until the next jump, and nothing is read.
    closed: Option<gst::PadProbeId>,
}

impl Gate {
    /// Stands at this pad, open.
    pub fn at(exit: &gst::Pad) -> Self {
        let state = Arc::new(Mutex::new(State {
            pass: Pass::All,
            next: None,
            closed: None,
        }));
        let known = state.clone();
        let kinds = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_FLUSH;
        // No jump is taken for done before the end of the one before was said: it would be that of the new one.
        let turning = Mutex::new(());
        let probe = exit.add_probe(kinds, move |pad, info| {
            let is_start = |event: &gst::Event| event.type_() == gst::EventType::FlushStart;
            if info.event().is_some_and(is_start) {
                return gst::PadProbeReturn::Ok;
            }
            let _one_by_one = turning.lock().unwrap_or_else(PoisonError::into_inner);
            let mut state = known.lock().unwrap_or_else(PoisonError::into_inner);
            match &info.data {
                Some(gst::PadProbeData::Event(_)) => {
                    state.turn(pad);
                    gst::PadProbeReturn::Ok
                }
                Some(gst::PadProbeData::Buffer(packet)) => {
                    let was_open = state.closed.is_none();
                    let answer = state.look_at(pad, packet);
                    let closes = was_open && state.closed.is_some();
                    // The decoder waits for somebody to take its last frames.
                    drop(state);
                    if let Some(decoder) = pad.peer().filter(|_| closes) {
                        decoder.send_event(gst::event::Eos::new());
                    }
                    answer
                }
                _ => gst::PadProbeReturn::Ok,
            }
        });
        Self {
            exit: exit.clone(),
            probe,
            state,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What passes after the next jump; none: there is none.
    pub fn set(&self, pass: Option<Pass>) {
        self.state().next = pass;
    }

    /// Whether all that is needed up to a point has passed.
    pub fn is_closed(&self) -> bool {
        self.state().closed.is_some()
    }
}

impl State {
    fn look_at(&mut self, pad: &gst::Pad, packet: &gst::BufferRef) -> gst::PadProbeReturn {
        match &mut self.pass {
            Pass::All => gst::PadProbeReturn::Ok,
            Pass::Chosen(choice) => {
                let is_key = !packet.flags().contains(gst::BufferFlags::DELTA_UNIT);
                match position(pad, packet.pts()) {
                    Some(at) if choice(is_key, at.into()) => gst::PadProbeReturn::Ok,
                    _ => gst::PadProbeReturn::Drop,
                }
            }
            Pass::Until(point) => {
                // Nothing is shown before it is decoded. Who does not say when packets are shown (AVI) says nothing of that.
                if packet.pts().is_none() {
                    self.pass = Pass::All;
                    return gst::PadProbeReturn::Ok;
                }
                let decoded = position(pad, packet.dts()).map(Duration::from);
                if self.closed.is_none() && decoded.is_none_or(|at| at <= *point) {
                    return gst::PadProbeReturn::Ok;
                }
                if self.closed.is_none() {
                    let kinds = gst::PadProbeType::BLOCK | gst::PadProbeType::BUFFER;
                    self.closed = pad.add_probe(kinds, |_, _| gst::PadProbeReturn::Ok);
                }
                gst::PadProbeReturn::Drop
            }
        }
    }

    /// A jump is made.
    fn turn(&mut self, pad: &gst::Pad) {
        if let Some(pass) = self.next.take() {
            self.pass = pass;
        }
        if let Some(block) = self.closed.take() {
            pad.remove_probe(block);
        }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        // A packet that waits here would hold the end up.
        let closed = self.state().closed.take();
        for probe in self.probe.take().into_iter().chain(closed) {
            self.exit.remove_probe(probe);
        }
    }
}

/// Where in the medium this time of a pad lies.
pub fn position(pad: &gst::Pad, time: Option<gst::ClockTime>) -> Option<gst::ClockTime> {
    let event = pad.sticky_event::<gst::event::Segment>(0)?;
    let segment = event.segment().downcast_ref::<gst::ClockTime>()?;
    segment.to_stream_time(time?)
}
