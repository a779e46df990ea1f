//! Makes one image file out of one decoded frame.

use std::time::Duration;

use gst::prelude::*;

use super::failure::{element, internal, writing};
use super::scale::draw;
use crate::job::{ErrorKind, Failure};
use crate::plan::Picture;
use crate::rule::ImageFormat;

/// How long one image may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A small pipeline that makes one thing out of each frame, kept for all frames of a task.
struct Bench {
    pipeline: gst::Pipeline,
    source: gst_app::AppSrc,
    sink: gst_app::AppSink,
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

impl Bench {
    /// Frames go through this picture's frame as RGB, and then through what follows.
    fn new(picture: Picture, then: Option<&gst::Element>) -> Result<Self, Failure> {
        let pipeline = gst::Pipeline::new();
        let source = gst_app::AppSrc::builder().format(gst::Format::Time).build();
        let (width, height) = picture.size;
        let scale = draw(picture)?;
        let filter = element("capsfilter")?;
        filter.set_property(
            "caps",
            gst::Caps::builder("video/x-raw")
                .field("format", "RGB")
                .field("colorimetry", "sRGB")
                .field("width", i32::try_from(width).map_err(internal)?)
                .field("height", i32::try_from(height).map_err(internal)?)
                .field("pixel-aspect-ratio", gst::Fraction::new(1, 1))
                .build(),
        );
        let sink = gst_app::AppSink::builder().sync(false).async_(false).build();
        let mut all: Vec<&gst::Element> = vec![source.upcast_ref()];
        all.extend(&scale);
        all.push(&filter);
        all.extend(&then);
        all.push(sink.upcast_ref());
        pipeline.add_many(&all).map_err(internal)?;
        gst::Element::link_many(&all).map_err(internal)?;
        pipeline.set_state(gst::State::Playing).map_err(internal)?;
        Ok(Self { pipeline, source, sink })
    }

    /// What comes of this frame.
    fn make(&self, frame: &gst::Sample) -> Result<gst::Sample, Failure> {
        let (Some(caps), Some(buffer)) = (frame.caps(), frame.buffer_owned()) else {
            return Err(internal("a frame without a picture"));
        };
        // Only the picture counts here; an image has no rate.
        let mut caps = caps.to_owned();
        caps.make_mut().set("framerate", gst::Fraction::new(0, 1));
        if self.source.caps().as_ref() != Some(&caps) {
            self.source.set_caps(Some(&caps));
        }
        self.source.push_buffer(buffer).map_err(|_| self.reason())?;
        let deadline = std::time::Instant::now() + PATIENCE;
        let step = gst::ClockTime::from_mseconds(200);
        loop {
            if let Some(made) = self.sink.try_pull_sample(step) {
                return Ok(made);
            }
            let failed = self
                .pipeline
                .bus()
                .is_some_and(|bus| bus.peek().is_some_and(|m| m.type_() == gst::MessageType::Error));
            if failed || self.sink.is_eos() || std::time::Instant::now() > deadline {
                return Err(self.reason());
            }
            self.drop_other_messages();
        }
    }

    fn drop_other_messages(&self) {
        if let Some(bus) = self.pipeline.bus() {
            while bus
                .peek()
                .is_some_and(|message| message.type_() != gst::MessageType::Error)
            {
                bus.pop();
            }
        }
    }

    fn reason(&self) -> Failure {
        self.pipeline
            .bus()
            .and_then(|bus| bus.pop_filtered(&[gst::MessageType::Error]))
            .and_then(|message| match message.view() {
                gst::MessageView::Error(error) => Some(super::failure::from_message(error)),
                _ => None,
            })
            .unwrap_or_else(|| Failure::new(ErrorKind::Pipeline, "the image encoder gave no image"))
    }
}

/// Makes image files.
pub struct StillEncoder {
    bench: Bench,
}

impl StillEncoder {
    /// An encoder for images of this form and size.
    ///
    /// # Errors
    /// Where elements are missing.
    pub fn new(format: ImageFormat, quality: u8, picture: Picture) -> Result<Self, Failure> {
        // From RGB for all: between two forms of YUV the range of values would not be converted.
        let encoder = match format {
            ImageFormat::Jpg => element("jpegenc")?,
            ImageFormat::Png => element("pngenc")?,
            ImageFormat::Webp => element("webpenc")?,
        };
        match format {
            ImageFormat::Jpg => encoder.set_property("quality", i32::from(quality)),
            ImageFormat::Webp => encoder.set_property("quality", f32::from(quality)),
            ImageFormat::Png => {}
        }
        let bench = Bench::new(picture, Some(&encoder))?;
        Ok(Self { bench })
    }

    /// Writes this frame as `file`, which appears whole or not at all.
    ///
    /// # Errors
    /// Where encoding or writing fails.
    pub fn write(&self, frame: &gst::Sample, file: &str) -> Result<(), Failure> {
        let image = self.bench.make(frame)?;
        let map = image
            .buffer()
            .and_then(|buffer| buffer.map_readable().ok())
            .ok_or_else(|| internal("an image without bytes"))?;
        let part = format!("{file}.part");
        std::fs::write(&part, map.as_slice())
            .and_then(|()| std::fs::rename(&part, file))
            .map_err(|error| {
                let _ = std::fs::remove_file(&part);
                writing(file, &error)
            })
    }
}

/// Brings frames to a size, as RGB.
pub struct Painter {
    bench: Bench,
}

impl Painter {
    /// A painter of pictures of this size.
    ///
    /// # Errors
    /// Where elements are missing.
    pub fn new(picture: Picture) -> Result<Self, Failure> {
        let bench = Bench::new(picture, None)?;
        Ok(Self { bench })
    }

    /// Paints a frame onto a canvas with its upper left corner here. What stands out is cut off.
    ///
    /// # Errors
    /// Where the frame cannot be scaled.
    pub fn paint(&self, frame: &gst::Sample, onto: &mut Canvas, at: (u32, u32)) -> Result<(), Failure> {
        let made = self.bench.make(frame)?;
        let info = made.caps().and_then(|caps| gst_video::VideoInfo::from_caps(caps).ok());
        let (Some(info), Some(buffer)) = (info, made.buffer()) else {
            return Err(internal("a frame without a picture"));
        };
        let picture = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, &info).map_err(internal)?;
        let stride = usize::try_from(info.stride()[0]).map_err(internal)?;
        let data = picture.plane_data(0).map_err(internal)?;
        onto.put(data, stride, (info.width(), info.height()), at);
        Ok(())
    }
}

/// A picture in RGB, its rows without gaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canvas {
    width: u32,
    height: u32,
    /// Three bytes a pixel.
    pub data: Vec<u8>,
}

impl Canvas {
    /// A black one of this size in pixels.
    pub fn new(width: u32, height: u32) -> Self {
        Self {
            width,
            height,
            data: vec![0; width as usize * height as usize * 3],
        }
    }

    /// In pixels.
    pub fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    /// Makes it black.
    pub fn clear(&mut self) {
        self.data.fill(0);
    }

    /// The upper rows of it.
    pub fn top(&self, height: u32) -> Self {
        let height = height.min(self.height);
        let bytes = self.width as usize * height as usize * 3;
        Self {
            width: self.width,
            height,
            data: self.data[..bytes].to_vec(),
        }
    }

    fn put(&mut self, data: &[u8], stride: usize, size: (u32, u32), at: (u32, u32)) {
        let width = size.0.min(self.width.saturating_sub(at.0)) as usize * 3;
        let own = self.width as usize * 3;
        let rows = size.1.min(self.height.saturating_sub(at.1)) as usize;
        for row in 0..rows {
            let to = (at.1 as usize + row) * own + at.0 as usize * 3;
            let from = row * stride;
            if let (Some(to), Some(from)) = (self.data.get_mut(to..to + width), data.get(from..from + width)) {
                to.copy_from_slice(from);
            }
        }
    }

    /// A frame with this picture.
    ///
    /// # Errors
    /// Where there is no room for it.
    pub fn into_sample(self) -> Result<gst::Sample, Failure> {
        let info = gst_video::VideoInfo::builder(gst_video::VideoFormat::Rgb, self.width, self.height)
            .build()
            .map_err(internal)?;
        let stride = usize::try_from(info.stride()[0]).map_err(internal)?;
        let own = self.width as usize * 3;
        let data = if stride == own {
            self.data
        } else {
            let mut padded = vec![0; stride * self.height as usize];
            for (to, from) in padded.chunks_mut(stride).zip(self.data.chunks(own)) {
                to[..own].copy_from_slice(from);
            }
            padded
        };
        let caps = info.to_caps().map_err(internal)?;
        let buffer = gst::Buffer::from_mut_slice(data);
        Ok(gst::Sample::builder().buffer(&buffer).caps(&caps).build())
    }
}
