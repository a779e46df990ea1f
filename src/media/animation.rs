//! Short silent loops: GIF and animated WebP.

mod check;
mod gif;
mod palette;
mod webp;

use std::time::Duration;

use self::gif::GifWriter;
use self::webp::WebpWriter;
use super::album::{Album, Closing};
use super::failure::plain;
use super::still::{Canvas, Painter};
use crate::job::{ErrorKind, Failure, Finding, FindingKind};
use crate::plan::AnimationPlan;
use crate::rule::AnimationFormat;

/// What writes the pictures of an animation, one after the other.
trait Writer: Send {
    /// Adds a picture, which is shown from the first of these times to the second.
    ///
    /// # Errors
    /// Where it cannot be written.
    fn add(&mut self, picture: &Canvas, from: Duration, to: Duration) -> Result<(), Failure>;

    /// Completes the file.
    ///
    /// # Errors
    /// Where it cannot be written.
    fn finish(self: Box<Self>) -> Result<(), Failure>;
}

/// The pictures of one animation.
pub struct AnimationAlbum {
    plan: AnimationPlan,
    painter: Painter,
    canvas: Canvas,
    writer: Box<dyn Writer>,
    drawn: u32,
}

impl AnimationAlbum {
    /// Prepares for this plan.
    ///
    /// # Errors
    /// Where elements are missing, or the file cannot be made.
    pub fn new(plan: &AnimationPlan) -> Result<Self, Failure> {
        let (size, quality) = (plan.picture.size, plan.settings.quality);
        let writer: Box<dyn Writer> = match plan.settings.format {
            AnimationFormat::Gif => Box::new(GifWriter::new(&plan.file, size, quality)?),
            AnimationFormat::Webp => Box::new(WebpWriter::new(&plan.file, size, quality)?),
        };
        Ok(Self {
            painter: Painter::new(plan.picture)?,
            canvas: Canvas::new(size.0, size.1),
            writer,
            drawn: 0,
            plan: plan.clone(),
        })
    }
}

impl Album for AnimationAlbum {
    fn take(&mut self, _: usize, frame: &gst::Sample) -> Result<(), Failure> {
        self.painter.paint(frame, &mut self.canvas, (0, 0))?;
        let (from, to) = (self.plan.time(self.drawn), self.plan.time(self.drawn + 1));
        self.writer.add(&self.canvas, from, to)?;
        self.drawn += 1;
        Ok(())
    }

    fn finish(self: Box<Self>, closing: &mut Closing<'_, '_>) -> Result<(), Failure> {
        let Self {
            plan, writer, drawn, ..
        } = *self;
        let made = if drawn == 0 {
            Err(Failure::new(
                ErrorKind::Corrupt,
                "no frame of the wanted part could be decoded",
            ))
        } else {
            writer.finish().and_then(|()| check::read(&plan, drawn))
        };
        let (size, report) = made.inspect_err(|_| {
            let _ = std::fs::remove_file(&plan.file);
        })?;
        if drawn < plan.frames {
            let message = format!(
                "the animation is {:.1} s long, not {:.1} s: the film ends before",
                plan.time(drawn).as_secs_f64(),
                plan.time(plan.frames).as_secs_f64()
            );
            let finding = Finding {
                kind: FindingKind::PointBeyondEnd,
                message: plain(&message),
            };
            closing.pulse.listener().finding(Some(closing.task), finding);
        }
        closing.pulse.listener().output(closing.task, &plan.file, size, report);
        Ok(())
    }

    fn abandon(self: Box<Self>) {
        let _ = std::fs::remove_file(&self.plan.file);
    }
}
