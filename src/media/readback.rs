//! Reads a finished file back, every packet of it, and says what is in it.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gst::prelude::*;

use super::boxes;
use super::demux::{Demuxer, Stream};
use super::describe;
use super::failure::{element, internal, writing};
use super::meter::{Meter, Span};
use super::mxf;
use super::source::{FileReader, Input};
use crate::job::{ErrorKind, Failure};
use crate::plan::{Coded, OutputReport, StreamKind, TrackReport};
use crate::rule::ImageFormat;

/// Time covered by the source's streams that were decoded.
#[derive(Debug, Default, Clone)]
pub struct Fed {
    /// Of the video stream.
    pub video: Span,
    /// Of each stream of sound.
    pub sounds: Vec<Span>,
    /// Pictures that were handed to what writes the file.
    pub pictures: u64,
}

fn open(file: &str) -> Result<(Arc<Input>, u64), Failure> {
    let reader = File::open(file)
        .and_then(FileReader::new)
        .map_err(|error| writing(file, &error))?;
    let input = Input::new(reader);
    let size = input.size();
    Ok((input, size))
}

/// Size of a file, nothing more.
///
/// # Errors
/// Where it is not there.
pub fn size(file: &str) -> Result<u64, Failure> {
    std::fs::metadata(file)
        .map(|about| about.len())
        .map_err(|error| writing(file, &error))
}

/// Reads a medium back; `tick` is called now and then with the buffers seen.
///
/// # Errors
/// Where it cannot be read to its end: `BadOutput`.
pub fn media(file: &str, fed: &Fed, tick: &mut dyn FnMut(u64)) -> Result<(u64, OutputReport), Failure> {
    if Path::new(file).extension().is_some_and(|ending| ending == "mxf") {
        return exchange(file, fed, tick);
    }
    let (input, size) = open(file)?;
    let mut medium = Demuxer::open(&input, &mut || tick(0)).map_err(|failure| bad(file, &failure))?;
    let mut meters = Vec::new();
    for stream in &medium.streams {
        meters.push(Meter::on(&stream.pad));
        medium.ignore(&stream.pad)?;
    }
    play(&mut medium, file, &mut || {
        tick(meters.iter().map(|meter| meter.buffers()).sum());
    })?;
    let mut sounds = fed.sounds.iter();
    let (mut tracks, mut subtitles) = (Vec::new(), Vec::new());
    for (stream, meter) in medium.streams.iter().zip(&meters) {
        match describe::kind(stream) {
            StreamKind::Video(_) => tracks.push(track(stream, meter, (true, fed.video), fed.pictures)),
            StreamKind::Subtitle => subtitles.push(meter.buffers()),
            _ => {
                let source = sounds.next().copied().unwrap_or_default();
                tracks.push(track(stream, meter, (false, source), 0));
            }
        }
    }
    let has_boxes = medium
        .container
        .structure(0)
        .is_some_and(|caps| caps.name() == "video/quicktime" || caps.name() == "audio/x-m4a");
    let index_in_front = has_boxes
        .then(|| File::open(file).and_then(|mut file| boxes::index_in_front(&mut file)))
        .transpose()
        .map_err(|error| bad(file, &Failure::new(ErrorKind::BadOutput, error.to_string())))?;
    let report = OutputReport::Media {
        tracks,
        subtitles,
        index_in_front,
    };
    Ok((size, report))
}

/// Decodes images of one form back.
pub struct Images {
    pipeline: gst::Pipeline,
    source: gst_app::AppSrc,
    sink: gst_app::AppSink,
}

impl Drop for Images {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

impl Images {
    /// How long one image may take.
    const PATIENCE: gst::ClockTime = gst::ClockTime::from_seconds(30);

    /// A reader of this form.
    ///
    /// # Errors
    /// Where its decoder is missing.
    pub fn new(format: ImageFormat) -> Result<Self, Failure> {
        let (decoder, caps) = match format {
            ImageFormat::Jpg => ("jpegdec", "image/jpeg"),
            ImageFormat::Png => ("pngdec", "image/png"),
            ImageFormat::Webp => ("webpdec", "image/webp"),
        };
        let caps = gst::Caps::builder(caps).field("framerate", gst::Fraction::new(0, 1));
        let pipeline = gst::Pipeline::new();
        let source = gst_app::AppSrc::builder()
            .format(gst::Format::Time)
            .caps(&caps.build())
            .build();
        let decoder = element(decoder)?;
        let sink = gst_app::AppSink::builder().sync(false).async_(false).build();
        let all = [source.upcast_ref(), &decoder, sink.upcast_ref()];
        pipeline.add_many(all).map_err(internal)?;
        gst::Element::link_many(all).map_err(internal)?;
        pipeline.set_state(gst::State::Playing).map_err(internal)?;
        Ok(Self { pipeline, source, sink })
    }

    /// Decodes an image back; answers the size of the file, and that of the picture.
    ///
    /// # Errors
    /// Where it is no such image: `BadOutput`.
    pub fn read(&mut self, file: &str) -> Result<(u64, OutputReport), Failure> {
        let bytes = std::fs::read(file).map_err(|error| writing(file, &error))?;
        let size = bytes.len() as u64;
        let mut buffer = gst::Buffer::from_mut_slice(bytes);
        if let Some(about) = buffer.get_mut() {
            // Some decoders show nothing that has no time.
            about.set_pts(gst::ClockTime::ZERO);
        }
        let picture = self
            .source
            .push_buffer(buffer)
            .ok()
            .and_then(|_| self.decoded())
            .and_then(|sample| sample.caps()?.structure(0).map(|fields| describe::video(fields, 0)))
            .ok_or_else(|| bad(file, &Failure::new(ErrorKind::BadOutput, "it shows no picture")))?;
        Ok((
            size,
            OutputReport::Image {
                width: picture.width,
                height: picture.height,
            },
        ))
    }

    /// The next picture; none where there is an error instead.
    fn decoded(&self) -> Option<gst::Sample> {
        let step = gst::ClockTime::from_mseconds(100);
        let mut waited = gst::ClockTime::ZERO;
        while waited < Self::PATIENCE {
            if let Some(sample) = self.sink.try_pull_sample(step) {
                return Some(sample);
            }
            let failed = |bus: gst::Bus| bus.pop_filtered(&[gst::MessageType::Error]).is_some();
            if self.sink.is_eos() || self.pipeline.bus().is_none_or(failed) {
                return None;
            }
            waited += step;
        }
        None
    }
}

/// As [`media`], for MXF.
fn exchange(file: &str, fed: &Fed, tick: &mut dyn FnMut(u64)) -> Result<(u64, OutputReport), Failure> {
    let opened = File::open(file).map_err(|error| writing(file, &error))?;
    let found =
        mxf::read(opened, tick).map_err(|error| bad(file, &Failure::new(ErrorKind::BadOutput, error.to_string())))?;
    let time = |at: Option<Duration>| at.unwrap_or_default();
    let film = (found.size.0 > 0).then(|| TrackReport {
        video: true,
        width: found.size.0,
        height: found.size.1,
        channels: 0,
        rate: 0,
        packets: found.pictures,
        start: Duration::ZERO,
        end: found.film,
        // What begins late is filled from the beginning on.
        source_start: Duration::ZERO,
        source_end: time(fed.video.end),
        pictures: fed.pictures,
        coded: Coded::default(),
    });
    let sources = fed.sounds.iter().copied().chain(std::iter::repeat(Span::default()));
    let sounds = found.sounds.iter().zip(sources).map(|(sound, source)| TrackReport {
        video: false,
        width: 0,
        height: 0,
        channels: sound.channels,
        rate: sound.rate,
        packets: sound.pieces,
        start: Duration::ZERO,
        end: sound.length,
        source_start: Duration::ZERO,
        source_end: time(source.end),
        pictures: 0,
        coded: Coded::default(),
    });
    let report = OutputReport::Media {
        tracks: film.into_iter().chain(sounds).collect(),
        subtitles: Vec::new(),
        index_in_front: None,
    };
    Ok((size(file)?, report))
}

fn play(medium: &mut Demuxer, file: &str, tick: &mut dyn FnMut()) -> Result<(), Failure> {
    medium.release();
    medium.pipeline.set_state(gst::State::Playing).map_err(internal)?;
    let bus = medium
        .pipeline
        .bus()
        .ok_or_else(|| internal("a pipeline without a bus"))?;
    loop {
        let message = bus.timed_pop_filtered(
            gst::ClockTime::from_mseconds(250),
            &[gst::MessageType::Error, gst::MessageType::Eos],
        );
        match message.as_ref().map(|message| message.view()) {
            Some(gst::MessageView::Eos(_)) => return Ok(()),
            Some(gst::MessageView::Error(error)) => {
                return Err(bad(file, &super::failure::from_message(error)));
            }
            _ => tick(),
        }
    }
}

fn track(stream: &Stream, meter: &Meter, (video, source): (bool, Span), pictures: u64) -> TrackReport {
    let span = meter.span();
    let fields = stream.pad.current_caps();
    let fields = fields.as_ref().and_then(|caps| caps.structure(0));
    let picture = fields.filter(|_| video).map(|fields| describe::video(fields, 0));
    let sound = fields.filter(|_| !video).map(describe::audio);
    let time = |at: Option<Duration>| at.unwrap_or_default();
    TrackReport {
        video,
        width: picture.as_ref().map_or(0, |picture| picture.width),
        height: picture.as_ref().map_or(0, |picture| picture.height),
        channels: sound.as_ref().map_or(0, |sound| sound.channels),
        rate: sound.as_ref().map_or(0, |sound| sound.rate),
        packets: meter.buffers(),
        start: time(span.start),
        end: time(span.end),
        source_start: time(source.start),
        source_end: time(source.end),
        pictures,
        coded: fields.filter(|_| video).map(describe::coded).unwrap_or_default(),
    }
}

fn bad(file: &str, failure: &Failure) -> Failure {
    Failure::new(
        ErrorKind::BadOutput,
        format!("{file} cannot be read back: {}", failure.message),
    )
}
