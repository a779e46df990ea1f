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

/// A small pipeline that is kept for all images of a task.
pub struct StillEncoder {
    pipeline: gst::Pipeline,
    source: gst_app::AppSrc,
    sink: gst_app::AppSink,
}

impl Drop for StillEncoder {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

impl StillEncoder {
    /// An encoder for images of this form and size.
    ///
    /// # Errors
    /// Where elements are missing.
    pub fn new(format: ImageFormat, quality: u8, picture: Picture) -> Result<Self, Failure> {
        let pipeline = gst::Pipeline::new();
        let source = gst_app::AppSrc::builder().format(gst::Format::Time).build();
        let (width, height) = picture.size;
        let scale = draw(picture)?;
        // From RGB for both: between two forms of YUV the range of values would not be converted.
        let encoder = match format {
            ImageFormat::Jpg => element("jpegenc")?,
            ImageFormat::Png => element("pngenc")?,
            ImageFormat::Webp => element("webpenc")?,
        };
        if format == ImageFormat::Jpg {
            encoder.set_property("quality", i32::from(quality));
        }
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
        all.extend([&filter, &encoder, sink.upcast_ref()]);
        pipeline.add_many(&all).map_err(internal)?;
        gst::Element::link_many(&all).map_err(internal)?;
        pipeline.set_state(gst::State::Playing).map_err(internal)?;
        Ok(Self { pipeline, source, sink })
    }

    /// Writes this frame as `file`, which appears whole or not at all.
    ///
    /// # Errors
    /// Where encoding or writing fails.
    pub fn write(&self, frame: &gst::Sample, file: &str) -> Result<(), Failure> {
        let bytes = self.encode(frame)?;
        let part = format!("{file}.part");
        std::fs::write(&part, &bytes)
            .and_then(|()| std::fs::rename(&part, file))
            .map_err(|error| {
                let _ = std::fs::remove_file(&part);
                writing(file, &error)
            })
    }

    fn encode(&self, frame: &gst::Sample) -> Result<Vec<u8>, Failure> {
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
        let limit = gst::ClockTime::from_nseconds(u64::try_from(PATIENCE.as_nanos()).unwrap_or(u64::MAX));
        let deadline = std::time::Instant::now() + PATIENCE;
        let step = gst::ClockTime::from_mseconds(200).min(limit);
        let image = loop {
            if let Some(image) = self.sink.try_pull_sample(step) {
                break image;
            }
            let failed = self
                .pipeline
                .bus()
                .is_some_and(|bus| bus.peek().is_some_and(|m| m.type_() == gst::MessageType::Error));
            if failed || self.sink.is_eos() || std::time::Instant::now() > deadline {
                return Err(self.reason());
            }
            self.drop_other_messages();
        };
        let map = image
            .buffer()
            .and_then(|buffer| buffer.map_readable().ok())
            .ok_or_else(|| internal("an image without bytes"))?;
        Ok(map.as_slice().to_vec())
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
