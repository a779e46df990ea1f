//! Still images at points of a medium.

use super::album::{Album, Closing};
use super::failure::plain;
use super::readback::Images;
use super::still::StillEncoder;
use crate::job::{ErrorKind, Failure, Finding, FindingKind};
use crate::plan::SnapshotPlan;

/// The stills of one task.
pub struct StillsAlbum {
    plan: SnapshotPlan,
    encoder: StillEncoder,
    /// Which have their file.
    written: Vec<bool>,
}

impl StillsAlbum {
    /// Prepares for this plan.
    ///
    /// # Errors
    /// Where the encoder is missing.
    pub fn new(plan: &SnapshotPlan) -> Result<Self, Failure> {
        Ok(Self {
            encoder: StillEncoder::new(plan.format, plan.quality, plan.picture)?,
            written: vec![false; plan.stills.len()],
            plan: plan.clone(),
        })
    }

    fn files(&self) -> impl Iterator<Item = &str> {
        let all = self.plan.stills.iter().zip(&self.written);
        all.filter(|(_, written)| **written)
            .map(|(still, _)| still.file.as_str())
    }
}

impl Album for StillsAlbum {
    fn take(&mut self, point: usize, frame: &gst::Sample) -> Result<(), Failure> {
        if let (Some(still), Some(written)) = (self.plan.stills.get(point), self.written.get_mut(point)) {
            self.encoder.write(frame, &still.file)?;
            *written = true;
        }
        Ok(())
    }

    fn finish(self: Box<Self>, closing: &mut Closing<'_, '_>) -> Result<(), Failure> {
        let named = closing.beyond.iter().filter(|_| self.plan.points);
        for at in named {
            let message = format!(
                "the point {:.3} s lies beyond the end at {:.3} s",
                at.as_secs_f64(),
                closing.end.unwrap_or_default().as_secs_f64()
            );
            let finding = Finding {
                kind: FindingKind::PointBeyondEnd,
                message: plain(&message),
            };
            closing.pulse.listener().finding(Some(closing.task), finding);
        }
        if self.files().next().is_none() && !self.plan.stills.is_empty() {
            let film = closing.end.filter(|end| !end.is_zero());
            let message = match film.zip(closing.beyond.iter().min()) {
                Some((end, first)) => format!(
                    "the film ends after {:.3} s, before the first wanted point at {:.3} s",
                    end.as_secs_f64(),
                    first.as_secs_f64()
                ),
                None => "no frame of the medium could be decoded for any still".to_owned(),
            };
            return Err(Failure::new(ErrorKind::Corrupt, message));
        }
        let mut images = Images::new(self.plan.format)?;
        for file in self.files() {
            let (size, report) = images.read(file)?;
            closing.pulse.beat(None, 0);
            closing.pulse.listener().output(closing.task, file, size, report);
        }
        Ok(())
    }

    fn abandon(self: Box<Self>) {
        for file in self.files() {
            let _ = std::fs::remove_file(file);
        }
    }
}
