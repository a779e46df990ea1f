//! The first of two passes: looks at all frames and leaves what it found in scratch, for the second to encode by.

use super::branch::{Branch, Ending, Opened, hang};
use super::clips::{Beside, Joining};
use super::demux::drain;
use super::encoder::{self, Pass};
use super::failure::internal;
use super::overlay;
use super::transcode::{film_chain, watch};
use crate::job::{ErrorKind, Failure};
use crate::plan::TranscodePlan;

/// What the encoders add to the name of the file, for further files.
const FURTHER: [&str; 7] = ["", ".mbtree", ".cutree", ".temp", ".mbtree.temp", ".cutree.temp", ".1"];

/// The file of what the first pass over frames for `file` finds.
pub fn notes(file: &str) -> String {
    format!("{file}.pass")
}

/// Removes what the first pass for `file` has left.
pub fn forget(file: &str) {
    for further in FURTHER {
        let _ = std::fs::remove_file(notes(file) + further);
    }
}

/// What looks at frames.
struct AnalysisBranch {
    plan: TranscodePlan,
    bin: gst::Bin,
    joining: Option<Joining>,
}

impl Branch for AnalysisBranch {
    fn bin(&self) -> &gst::Bin {
        &self.bin
    }

    fn reads_to_end(&self) -> bool {
        self.plan.span.is_whole()
    }

    fn beside(&self) -> Beside {
        self.joining.as_ref().map(Joining::beside).unwrap_or_default()
    }

    fn finish(self: Box<Self>, ending: &mut Ending<'_, '_>) -> Result<(), Failure> {
        ending.pulse.next_part();
        let found = std::fs::metadata(notes(&self.plan.file)).is_ok_and(|about| about.len() > 0);
        found.then_some(()).ok_or_else(|| {
            Failure::new(
                ErrorKind::Pipeline,
                "the first pass over the film found nothing that the second could use",
            )
        })
    }
}

/// The branch of the first pass of this plan.
///
/// # Errors
/// Where elements are missing or refuse a setting, or the medium has no film.
pub fn analysis(name: &str, plan: &TranscodePlan, opened: Opened<'_>) -> Result<impl Branch + use<>, Failure> {
    let bin = gst::Bin::builder().name(name).build();
    let notes = notes(&plan.file);
    let made = film_chain(plan, opened, Pass::First(&notes))?;
    let (feed, mut chain, sort) = made.ok_or_else(|| internal("a first pass without a film"))?;
    watch(&chain, plan.span, sort)?;
    let entry = encoder::entry(&chain);
    let joining = opened.reel.map(|reel| Joining::new(reel, true));
    if let Some(joining) = &joining {
        joining.pictures(&mut chain, plan)?;
    }
    chain.push(drain()?);
    hang(&bin, &feed, &chain)?;
    // What is looked at is what will be encoded.
    if let Some((picture, entry)) = plan.picture.zip(entry) {
        overlay::lay(&entry, &plan.cover, picture.size)?;
    }
    Ok(AnalysisBranch {
        plan: plan.clone(),
        bin,
        joining,
    })
}
