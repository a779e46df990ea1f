//! What a track of a package was fed, and what is told of it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::intake::Intake;
use super::track::Written;
use crate::media::meter::Meter;
use crate::plan::{Coded, TrackReport};

/// What of a track is needed until its end.
pub struct Fed {
    /// What takes its packets.
    pub intake: Arc<Mutex<Intake>>,
    /// What came in of its stream ...
    pub source: Arc<Meter>,
    /// ... and what its encoder got.
    pub entered: Option<Arc<Meter>>,
}

impl Fed {
    /// Everything that was taken.
    pub fn taken(&self) -> Intake {
        let mut intake = self.intake.lock().unwrap_or_else(PoisonError::into_inner);
        intake.take_all()
    }

    /// The track as it is told of. A package begins at zero, whenever its streams do.
    pub fn report(&self, written: &Written) -> TrackReport {
        let source = self.source.span();
        let end = written.segments.last().map_or(0, |last| last.end);
        let ticks = f64::from(written.order.timescale.max(1));
        TrackReport {
            video: false,
            width: 0,
            height: 0,
            channels: 0,
            rate: 0,
            packets: written.segments.iter().map(|segment| segment.samples).sum(),
            start: Duration::ZERO,
            end: Duration::from_secs_f64(end as f64 / ticks),
            source_start: Duration::ZERO,
            source_end: source.end.unwrap_or_default(),
            pictures: 0,
            coded: Coded::default(),
        }
    }
}
