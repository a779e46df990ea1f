//! Still images at points of a medium: from frames that pass anyway, or by seeking where nothing else is decoded.
//!
//! The image for a point is the frame that is shown then: the last one whose time is not after it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gst::prelude::*;

use super::branch::{Branch, Ending, guard, hang, queue, taker};
use super::failure::plain;
use super::report::report_stills;
use super::still::StillEncoder;
use crate::job::{Failure, Finding, FindingKind};
use crate::plan::SnapshotPlan;

/// A picture and the stream time from which it is shown.
#[derive(Clone)]
pub struct Frame {
    sample: gst::Sample,
    /// When it appears.
    pub at: Duration,
    /// When it would be gone, were it the last.
    pub until: Duration,
}

impl Frame {
    /// Reads the times of a sample.
    pub fn new(sample: gst::Sample, former: Option<&Self>) -> Option<Self> {
        let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?;
        let buffer = sample.buffer()?;
        let at = Duration::from(segment.to_stream_time(buffer.pts()?)?);
        let step = former.map_or(Duration::ZERO, |former| at.saturating_sub(former.at));
        let until = at + buffer.duration().map_or(step, Duration::from);
        Some(Self { sample, at, until })
    }
}

/// The stills of one task, taken in the order of their times.
pub struct Stills {
    plan: SnapshotPlan,
    encoder: StillEncoder,
    next: usize,
    last: Option<Frame>,
    /// Files that are complete.
    pub written: Vec<String>,
}

impl Stills {
    /// Prepares for this plan.
    ///
    /// # Errors
    /// Where the encoder is missing.
    pub fn new(plan: SnapshotPlan) -> Result<Self, Failure> {
        let encoder = StillEncoder::new(plan.format, plan.quality, plan.picture)?;
        Ok(Self {
            plan,
            encoder,
            next: 0,
            last: None,
            written: Vec::new(),
        })
    }

    /// The point that waits for its frame.
    pub fn wanted(&self) -> Option<Duration> {
        self.plan.stills.get(self.next).map(|still| still.at)
    }

    /// The frame that is known to be shown last.
    pub fn last(&self) -> Option<&Frame> {
        self.last.as_ref()
    }

    /// Forgets the frame before a jump.
    pub fn jump(&mut self) {
        self.last = None;
    }

    /// Takes the next frame; writes every still that it proves to be over.
    ///
    /// # Errors
    /// Where an image cannot be made or written.
    pub fn take(&mut self, sample: gst::Sample) -> Result<(), Failure> {
        let Some(frame) = Frame::new(sample, self.last.as_ref()) else {
            return Ok(());
        };
        while let Some(still) = self.plan.stills.get(self.next)
            && still.at < frame.at
        {
            // Before the first frame there is only the first.
            let shown = self.last.as_ref().unwrap_or(&frame);
            self.encoder.write(&shown.sample, &still.file)?;
            self.written.push(still.file.clone());
            self.next += 1;
        }
        self.last = Some(frame);
        Ok(())
    }

    /// The medium is over: the last frame is shown until `end`, and points after that have none.
    ///
    /// # Errors
    /// Where an image cannot be made or written.
    pub fn finish(&mut self, declared: Option<Duration>) -> Result<Vec<Finding>, Failure> {
        let Some(last) = self.last.clone() else {
            return Ok(self.beyond(Duration::ZERO));
        };
        let end = end_of_display(last.until, declared);
        while let Some(still) = self.plan.stills.get(self.next)
            && still.at <= end
        {
            self.encoder.write(&last.sample, &still.file)?;
            self.written.push(still.file.clone());
            self.next += 1;
        }
        Ok(self.beyond(end))
    }

    fn beyond(&mut self, end: Duration) -> Vec<Finding> {
        let rest = self.plan.stills.get(self.next..).unwrap_or_default();
        let findings = rest
            .iter()
            .map(|still| Finding {
                kind: FindingKind::PointBeyondEnd,
                message: plain(&format!(
                    "the point {:.3} s lies beyond the end at {:.3} s",
                    still.at.as_secs_f64(),
                    end.as_secs_f64()
                )),
            })
            .collect();
        self.next = self.plan.stills.len();
        findings
    }
}

/// Stills that are taken from frames that pass anyway.
pub struct StillsBranch {
    bin: gst::Bin,
    plan: SnapshotPlan,
    /// Or why they are not.
    stills: Arc<Mutex<Result<Stills, Failure>>>,
}

impl StillsBranch {
    /// A branch for this plan.
    ///
    /// # Errors
    /// Where elements are missing.
    pub fn new(name: &str, plan: &SnapshotPlan) -> Result<Self, Failure> {
        let stills = Arc::new(Mutex::new(Ok(Stills::new(plan.clone())?)));
        let taking = stills.clone();
        let sink = taker(move |sample| {
            let mut stills = taking.lock().unwrap_or_else(PoisonError::into_inner);
            // A failed task takes its frames and drops them: the others go on.
            if let Ok(working) = stills.as_mut()
                && let Err(failure) = working.take(sample)
            {
                *stills = Err(failure);
            }
            Ok(())
        });
        let bin = gst::Bin::builder().name(name).build();
        hang(&bin, "frames", &[guard()?, queue(2)?, sink.upcast()])?;
        let plan = plan.clone();
        Ok(Self { bin, plan, stills })
    }
}

impl Branch for StillsBranch {
    fn bin(&self) -> &gst::Bin {
        &self.bin
    }

    fn finish(self: Box<Self>, ending: &mut Ending<'_, '_>) -> Result<(), Failure> {
        let mut stills = self.stills.lock().unwrap_or_else(PoisonError::into_inner);
        let stills = stills.as_mut().map_err(|failure| failure.clone())?;
        let findings = stills.finish(ending.media.duration)?;
        report_stills(ending.task, &self.plan, &stills.written, findings, ending.pulse)
    }
}

/// Sound may go on a little after the last frame, which is then still on the screen; after a frame that came far too
/// early nothing is.
fn end_of_display(until: Duration, declared: Option<Duration>) -> Duration {
    match declared {
        Some(declared) if declared > until && declared.saturating_sub(until) <= slack(declared) => declared,
        _ => until,
    }
}

/// What a stream may lack of the declared length without being called truncated.
pub fn slack(declared: Duration) -> Duration {
    Duration::from_millis(500).max(declared / 50)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_frame_stays_until_a_declared_end_that_is_near_but_not_until_one_that_is_far() {
        let seconds = Duration::from_secs_f64;
        assert_eq!(end_of_display(seconds(9.7), Some(seconds(10.0))), seconds(10.0));
        assert_eq!(end_of_display(seconds(36.0), Some(seconds(60.0))), seconds(36.0));
        assert_eq!(end_of_display(seconds(5.0), None), seconds(5.0));
        assert_eq!(end_of_display(seconds(5.0), Some(seconds(4.0))), seconds(5.0));
    }
}
