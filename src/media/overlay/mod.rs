//! Lays pictures, words and rectangles over the frames of a film, on their way into an encoder.
//!
//! Everything is drawn once, before the first frame. A frame is touched only while something is shown on it, and only
//! where; one that others still hold is copied first.

mod blend;
mod grade;
mod hide;
mod layer;

use std::sync::{Mutex, PoisonError};

use gst::prelude::*;

use self::blend::Blended;
use self::hide::Hidden;
use self::layer::Layer;
use super::failure::internal;
use super::meter::running_time;
use crate::job::Failure;
use crate::plan::{CoverPlan, EffectPlan, Window};

/// What is done to frames.
enum Step {
    /// Something is laid over.
    Lay(Layer),
    /// What is there is made unrecognizable.
    Hide(Hidden),
}

/// The same for frames of one form.
enum Ready {
    Lay(Blended),
    Hide(Hidden),
}

struct Cover {
    steps: Vec<(Window, Step)>,
    form: Option<(gst_video::VideoInfo, Vec<Ready>)>,
}

/// Lays all of this over every frame of this size that comes to a pad.
///
/// # Errors
/// Where a picture cannot be read, or nothing can be written with a font.
pub fn lay(pad: &gst::Pad, plan: &CoverPlan, frame: (u32, u32)) -> Result<(), Failure> {
    if plan.is_empty() {
        return Ok(());
    }
    let mut steps = Vec::new();
    for mosaic in &plan.mosaics {
        let step = match mosaic.effect {
            EffectPlan::Squares(size) => Step::Hide(Hidden::squares(mosaic.area, size)),
            EffectPlan::Blur(size) => Step::Hide(Hidden::blur(mosaic.area, size)),
            EffectPlan::Fill(color) => Step::Lay(Layer::filled(mosaic.area, color)),
        };
        steps.push((mosaic.window, step));
    }
    for overlay in &plan.overlays {
        steps.push((overlay.window, Step::Lay(Layer::draw(overlay, frame)?)));
    }
    let cover = Mutex::new(Cover { steps, form: None });
    let seen = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
    pad.add_probe(seen, move |pad, info| {
        let mut cover = cover.lock().unwrap_or_else(PoisonError::into_inner);
        let done = match &mut info.data {
            Some(gst::PadProbeData::Event(event)) => match event.view() {
                gst::EventView::Caps(caps) => cover.prepare(caps.caps()),
                _ => Ok(()),
            },
            Some(gst::PadProbeData::Buffer(buffer)) => cover.touch(pad, buffer),
            _ => Ok(()),
        };
        let Err(failure) = done else {
            return gst::PadProbeReturn::Ok;
        };
        if let Some(parent) = pad.parent_element() {
            gst::element_error!(parent, gst::StreamError::Format, ("{}", failure.message));
        }
        gst::PadProbeReturn::Drop
    })
    .map(drop)
    .ok_or_else(|| internal("a pad that cannot be watched"))
}

impl Cover {
    /// Gets ready for frames of this form.
    fn prepare(&mut self, caps: &gst::CapsRef) -> Result<(), Failure> {
        let info = gst_video::VideoInfo::from_caps(caps).map_err(internal)?;
        let steps = self.steps.iter().map(|(_, step)| match step {
            Step::Lay(layer) => Blended::new(layer, &info).map(Ready::Lay),
            Step::Hide(hidden) => Ok(Ready::Hide(hidden.clone())),
        });
        let ready: Result<_, Failure> = steps.collect();
        self.form = Some((info, ready?));
        Ok(())
    }

    fn touch(&self, pad: &gst::Pad, buffer: &mut gst::Buffer) -> Result<(), Failure> {
        let Some((info, ready)) = &self.form else {
            return Err(internal("frames without a form"));
        };
        let Some(at) = buffer.pts().and_then(|pts| running_time(pad, pts)) else {
            return Ok(());
        };
        let shown: Vec<&Ready> = (self.steps.iter().zip(ready))
            .filter(|((window, _), _)| window.shows(at))
            .map(|(_, ready)| ready)
            .collect();
        if shown.is_empty() {
            return Ok(());
        }
        let mut frame =
            gst_video::VideoFrameRef::from_buffer_ref_writable(buffer.make_mut(), info).map_err(internal)?;
        for step in shown {
            match step {
                Ready::Lay(blended) => blended.lay(&mut frame)?,
                Ready::Hide(hidden) => hidden.hide(&mut frame)?,
            }
        }
        Ok(())
    }
}

/// One component of a frame's pixels: where its samples lie, and what they are.
#[derive(Debug, Clone, Copy)]
struct Component {
    /// Its plane ...
    plane: u32,
    /// ... bytes from one line of it to the next ...
    line: usize,
    /// ... where the first sample lies in a line ...
    first: usize,
    /// ... and bytes from one sample to the next.
    step: usize,
    /// Two bytes a sample, the lower one first.
    wide: bool,
    /// The largest sample.
    most: u32,
    /// Unused bits below those of a sample.
    shift: u32,
    /// Pixels that share a sample, as a power of two, across ...
    across: u32,
    /// ... and down.
    down: u32,
}

/// The components of frames of this form: luma and two of chroma.
fn components(info: &gst_video::VideoInfo, strides: &[i32]) -> Result<[Component; 3], Failure> {
    let format = info.format_info();
    let depth = format.depth()[0];
    // Where samples of two bytes lie that share a plane, the library itself does not say right.
    let apart = depth <= 8 || format.pixel_stride()[1] == 2;
    let plain = apart && format.is_yuv() && format.n_components() >= 3 && !format.is_tiled() && !format.is_complex();
    let wide = depth > 8;
    if !plain || depth > 12 || (wide && !format.is_le()) {
        return Err(internal(format!(
            "nothing can be laid over frames of the form {}",
            info.name()
        )));
    }
    let size = |bytes: i32| usize::try_from(bytes).map_err(internal);
    let one = |index: usize| {
        let plane = format.plane()[index];
        Ok(Component {
            plane,
            line: size(strides[plane as usize])?,
            first: format.poffset()[index] as usize,
            step: size(format.pixel_stride()[index])?,
            wide,
            most: (1 << depth) - 1,
            shift: format.shift()[index],
            across: format.w_sub()[index],
            down: format.h_sub()[index],
        })
    };
    Ok([one(0)?, one(1)?, one(2)?])
}

impl Component {
    fn at(&self, x: u32, y: u32) -> usize {
        y as usize * self.line + self.first + x as usize * self.step
    }

    fn read(&self, data: &[u8], at: usize) -> u32 {
        if self.wide {
            u32::from(u16::from_le_bytes([data[at], data[at + 1]])) >> self.shift
        } else {
            u32::from(data[at])
        }
    }

    #[allow(clippy::cast_possible_truncation, reason = "a sample has at most 12 bits")]
    fn write(&self, data: &mut [u8], at: usize, value: u32) {
        if self.wide {
            let bytes = ((value << self.shift) as u16).to_le_bytes();
            data[at..at + 2].copy_from_slice(&bytes);
        } else {
            data[at] = value as u8;
        }
    }
}
