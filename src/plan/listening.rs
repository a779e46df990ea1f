//! Waveforms and inspections, resolved against the medium.

use serde::{Deserialize, Serialize};

use super::run::{PlannedTask, Wanted, film, known, of_one, output};
use super::{Expect, Work};
use crate::job::{ErrorKind, Failure};
use crate::rule::{Inspect, TaskId, Waveform};

/// A waveform, resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WaveformPlan {
    /// Name of the PNG in scratch.
    pub picture: String,
    /// Name of the JSON in scratch.
    pub peaks: String,
    /// As the rule says.
    pub settings: Waveform,
}

/// An inspection, resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InspectPlan {
    /// Name of the JSON in scratch.
    pub file: String,
    /// As the rule says.
    pub settings: Inspect,
}

/// What this task will do.
pub(super) fn waveform(wanted: &Wanted<'_>, task: &TaskId, settings: &Waveform) -> Result<PlannedTask, Failure> {
    let media = known(wanted)?;
    if media.audio().is_none() {
        return Err(Failure::new(ErrorKind::NoSuchStream, "the medium has no sound"));
    }
    let size = Expect::Image(settings.width, settings.height);
    let picture = output(wanted, task, None, b"png", size)?;
    let peaks = output(wanted, task, None, b"json", Expect::Json)?;
    Ok(PlannedTask {
        work: Work::Waveform(WaveformPlan {
            picture: picture.file.clone(),
            peaks: peaks.file.clone(),
            settings: settings.clone(),
        }),
        outputs: vec![picture, peaks],
        package: None,
        findings: Vec::new(),
    })
}

/// What this task will do.
pub(super) fn inspect(wanted: &Wanted<'_>, task: &TaskId, settings: &Inspect) -> Result<PlannedTask, Failure> {
    film(known(wanted)?)?;
    let output = output(wanted, task, None, b"json", Expect::Json)?;
    let settings = settings.clone();
    Ok(of_one(output, |file| Work::Inspect(InspectPlan { file, settings })))
}
