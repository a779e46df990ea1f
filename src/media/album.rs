//! What tasks make of pictures that are picked out of a film: stills, sheets, animations.
//!
//! The pictures come out of frames that pass anyway, or by jumps where nothing else is decoded.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gst::prelude::*;

use super::animation::AnimationAlbum;
use super::branch::{Branch, Ending, guard, hang, queue, taker};
use super::failure::internal;
use super::picker::Picker;
use super::run::Pulse;
use super::snapshot::StillsAlbum;
use super::sprite::SpriteAlbum;
use crate::job::Failure;
use crate::plan::Work;
use crate::rule::TaskId;

/// What becomes of picked pictures.
pub trait Album: Send {
    /// Takes the frame of a point. A point may get another one in its place soon after.
    ///
    /// # Errors
    /// What ends the task.
    fn take(&mut self, point: usize, frame: &gst::Sample) -> Result<(), Failure>;

    /// Completes what was written, reads it back, and tells of it.
    ///
    /// # Errors
    /// What ends the task.
    fn finish(self: Box<Self>, closing: &mut Closing<'_, '_>) -> Result<(), Failure>;

    /// Removes what was written, for the task has failed.
    fn abandon(self: Box<Self>);
}

/// What there is when all pictures were taken.
pub struct Closing<'a, 'p> {
    /// Whose pictures they are.
    pub task: &'a TaskId,
    /// Who is told.
    pub pulse: &'a mut Pulse<'p>,
    /// When the last frame of the film is gone; none where nobody looked so far.
    pub end: Option<Duration>,
    /// Points that have no picture.
    pub beyond: Vec<Duration>,
}

/// A task's pictures, while they are picked.
pub struct Shoot {
    picker: Picker,
    album: Box<dyn Album>,
    failed: Option<Failure>,
    end: Option<Duration>,
    /// How freely frames may be chosen.
    pub windows: Option<Windows>,
}

/// How freely frames may be chosen where that saves time.
#[derive(Debug, Clone, Copy)]
pub struct Windows {
    /// Each point stands for this much of the medium, one after the other, and any frame in there will do.
    pub step: Duration,
    /// So many points, counted from the first, are wanted before those that come after them.
    pub together: usize,
}

impl Windows {
    /// For which point a frame that appears then will do.
    pub fn of(&self, at: Duration) -> usize {
        let step = self.step.as_nanos().max(1);
        usize::try_from(at.as_nanos() / step).unwrap_or(usize::MAX)
    }
}

impl Shoot {
    /// What this work picks; none where it is something else.
    ///
    /// # Errors
    /// Where elements are missing.
    pub fn of(work: &Work) -> Result<Option<Self>, Failure> {
        let mut windows = None;
        let (points, skips_black, album): (Vec<Duration>, bool, Box<dyn Album>) = match work {
            Work::Snapshot(plan) => {
                let points = plan.stills.iter().map(|still| still.at).collect();
                (points, plan.skip_black, Box::new(StillsAlbum::new(plan)?))
            }
            Work::Sprite(plan) => {
                windows = Some(Windows {
                    step: plan.step,
                    together: plan.cells(),
                });
                (plan.at.clone(), false, Box::new(SpriteAlbum::new(plan)?))
            }
            Work::Animation(plan) => {
                let points = (0..plan.frames).map(|number| plan.span.start + plan.time(number));
                (points.collect(), false, Box::new(AnimationAlbum::new(plan)?))
            }
            _ => return Ok(None),
        };
        Ok(Some(Self {
            picker: Picker::new(points, skips_black),
            album,
            failed: None,
            end: None,
            windows,
        }))
    }

    /// Whether this work is of the sort.
    pub fn is_of(work: &Work) -> bool {
        matches!(work, Work::Snapshot(_) | Work::Sprite(_) | Work::Animation(_))
    }

    /// See [`Picker::wanted`]; a task that has failed wants nothing.
    pub fn wanted(&self) -> Option<Duration> {
        self.picker.wanted().filter(|_| self.failed.is_none())
    }

    /// The points that wait.
    pub fn picker(&self) -> &Picker {
        &self.picker
    }

    /// See [`Picker::is_alone`].
    pub fn is_alone(&self, at: Duration, until: Duration) -> bool {
        self.failed.is_some() || self.picker.is_alone(at, until)
    }

    /// Forgets the frame before a jump.
    pub fn jump(&mut self) {
        self.picker.jump();
    }

    /// There is no further frame up to this point.
    pub fn reach(&mut self, at: Duration) {
        if self.failed.is_none() {
            let album = &mut self.album;
            let reached = self.picker.reach(at, &mut |point, frame| album.take(point, frame));
            self.failed = reached.err();
        }
    }

    /// Takes the next frame. A failed task takes its frames and drops them: the others go on.
    pub fn take(&mut self, sample: gst::Sample) {
        if self.failed.is_some() {
            return;
        }
        let album = &mut self.album;
        let taken = self.picker.take(sample, &mut |point, frame| album.take(point, frame));
        self.failed = taken.err();
    }

    /// Takes a frame for a point out of turn.
    pub fn take_early(&mut self, point: usize, sample: &gst::Sample) {
        if self.failed.is_none() {
            self.failed = self.album.take(point, sample).err();
            self.picker.settle(point);
        }
    }

    /// The film is over.
    pub fn reach_end(&mut self, declared: Option<Duration>) {
        if self.failed.is_some() {
            return;
        }
        let album = &mut self.album;
        match self
            .picker
            .finish(declared, &mut |point, frame| album.take(point, frame))
        {
            Ok(end) => self.end = Some(end),
            Err(failure) => self.failed = Some(failure),
        }
    }

    /// Completes what was made, and tells of it.
    ///
    /// # Errors
    /// What ends the task.
    pub fn finish(self, task: &TaskId, pulse: &mut Pulse<'_>) -> Result<(), Failure> {
        if let Some(failure) = self.failed {
            self.album.abandon();
            return Err(failure);
        }
        self.album.finish(&mut Closing {
            task,
            pulse,
            end: self.end,
            beyond: self.picker.beyond().collect(),
        })
    }

    /// Removes what was made.
    pub fn abandon(self) {
        self.album.abandon();
    }
}

/// Pictures that are picked out of frames that pass anyway.
pub struct AlbumBranch {
    bin: gst::Bin,
    shoot: Arc<Mutex<Shoot>>,
    reads_to_end: bool,
}

impl AlbumBranch {
    /// A branch for this work.
    ///
    /// # Errors
    /// Where elements are missing.
    pub fn new(name: &str, work: &Work) -> Result<Self, Failure> {
        let shoot = Shoot::of(work)?.ok_or_else(|| internal("a task that picks no pictures"))?;
        let reads_to_end = work.span().is_whole();
        let shoot = Arc::new(Mutex::new(shoot));
        let over = Arc::new(AtomicBool::new(false));
        let (taking, done) = (shoot.clone(), over.clone());
        let sink = taker(move |sample| {
            let mut shoot = taking.lock().unwrap_or_else(PoisonError::into_inner);
            shoot.take(sample);
            done.store(shoot.wanted().is_none(), Ordering::Relaxed);
            Ok(())
        });
        let guard = guard()?;
        if !reads_to_end && let Some(exit) = guard.static_pad("src") {
            end_when(&exit, over);
        }
        let bin = gst::Bin::builder().name(name).build();
        hang(&bin, "frames", &[guard, queue(2)?, sink.upcast()])?;
        Ok(Self {
            bin,
            shoot,
            reads_to_end,
        })
    }

    fn into_shoot(self) -> Result<Shoot, Failure> {
        let Self { bin, shoot, .. } = self;
        // The sink holds the other half.
        let _ = bin.set_state(gst::State::Null);
        for element in bin.children() {
            if let Some(sink) = element.downcast_ref::<gst_app::AppSink>() {
                sink.set_callbacks(gst_app::AppSinkCallbacks::builder().build());
            }
        }
        let shoot = Arc::into_inner(shoot).ok_or_else(|| internal("pictures are still being taken"))?;
        Ok(shoot.into_inner().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Ends the stream for what follows as soon as nothing more is wanted.
fn end_when(exit: &gst::Pad, over: Arc<AtomicBool>) {
    let ended = AtomicBool::new(false);
    exit.add_probe(gst::PadProbeType::BUFFER, move |pad, _| {
        if !over.load(Ordering::Relaxed) {
            return gst::PadProbeReturn::Ok;
        }
        if !ended.swap(true, Ordering::Relaxed) {
            pad.push_event(gst::event::Eos::new());
        }
        gst::PadProbeReturn::Drop
    });
}

impl Branch for AlbumBranch {
    fn bin(&self) -> &gst::Bin {
        &self.bin
    }

    fn reads_to_end(&self) -> bool {
        self.reads_to_end
    }

    fn finish(self: Box<Self>, ending: &mut Ending<'_, '_>) -> Result<(), Failure> {
        let declared = ending.media.duration;
        let mut shoot = self.into_shoot()?;
        if shoot.wanted().is_some() || shoot.windows.is_some() {
            shoot.reach_end(declared);
        }
        shoot.finish(ending.task, ending.pulse)
    }

    fn abandon(self: Box<Self>) {
        if let Ok(shoot) = self.into_shoot() {
            shoot.abandon();
        }
    }
}
