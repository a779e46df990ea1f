//! Lets only those packets of a film into its decoder that are needed for what is wanted next.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gst::prelude::*;

/// Chooses among packets, by whether they are key frames and their time in the medium.
pub type Choice = Box<dyn FnMut(bool, Duration) -> bool + Send>;

/// What a gate lets through.
pub enum Pass {
    /// Everything.
    All,
    /// What is needed for frames up to this point, and then the end of the stream, so that the decoder gives them out. Media
    /// whose packets do not say when they are decoded pass whole.
    Until(Duration),
    /// What is chosen.
    Chosen(Choice),
}

/// Where packets of a film come out.
pub struct Gate {
    exit: gst::Pad,
    probe: Option<gst::PadProbeId>,
    state: Arc<Mutex<State>>,
}

struct State {
    pass: Pass,
    closed: bool,
}

impl Gate {
    /// Stands at this pad, open.
    pub fn at(exit: &gst::Pad) -> Self {
        let state = Arc::new(Mutex::new(State {
            pass: Pass::All,
            closed: false,
        }));
        let known = state.clone();
        let probe = exit.add_probe(gst::PadProbeType::BLOCK | gst::PadProbeType::BUFFER, move |pad, info| {
            let mut state = known.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(packet) = info.buffer() else {
                return gst::PadProbeReturn::Pass;
            };
            let State { pass, closed } = &mut *state;
            match pass {
                Pass::All => gst::PadProbeReturn::Pass,
                Pass::Chosen(choice) => {
                    let is_key = !packet.flags().contains(gst::BufferFlags::DELTA_UNIT);
                    match position(pad, packet.pts()) {
                        Some(at) if choice(is_key, at.into()) => gst::PadProbeReturn::Pass,
                        _ => gst::PadProbeReturn::Drop,
                    }
                }
                Pass::Until(point) => {
                    // What is decoded later is shown later, too.
                    let decoded = position(pad, packet.dts()).map(Duration::from);
                    if !*closed && decoded.is_none_or(|at| at <= *point) {
                        return gst::PadProbeReturn::Pass;
                    }
                    let ends = !std::mem::replace(closed, true);
                    drop(state);
                    if let Some(decoder) = pad.peer().filter(|_| ends) {
                        decoder.send_event(gst::event::Eos::new());
                    }
                    // Waits for the next jump: nothing more is read.
                    gst::PadProbeReturn::Ok
                }
            }
        });
        Self {
            exit: exit.clone(),
            probe,
            state,
        }
    }

    /// What passes from now on.
    pub fn set(&self, pass: Pass) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = State { pass, closed: false };
    }

    /// Whether all that is needed up to a point has passed.
    pub fn is_closed(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).closed
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        // A packet that waits here would hold the end up.
        if let Some(probe) = self.probe.take() {
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
