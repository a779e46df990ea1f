//! Chooses the decoder of a stream, and makes decoded frames upright and progressive.

use std::sync::{Mutex, OnceLock, PoisonError};

use gst::prelude::*;

use super::demux::{Demuxer, Stream, link};
use super::describe::codec_name;
use super::failure::{element, internal, plain};
use super::tone::Tone;
use crate::job::{ErrorKind, Failure};
use crate::plan::{HdrForm, VideoStream};
use crate::rule::Deinterlace;

/// Preferred over others of a higher rank: the same pictures in less time.
const PREFERRED: [&str; 2] = ["avdec_vp9", "avdec_vp8"];

/// Of these, most frames are still looked at by the decoder when they leave it.
const PREDICTED: [&str; 8] = [
    "video/mpeg",
    "video/x-divx",
    "video/x-flash-video",
    "video/x-h263",
    "video/x-h264",
    "video/x-h265",
    "video/x-msmpeg",
    "video/x-vp8",
];

/// A decoder for this stream; none where its packets are raw already.
///
/// # Errors
/// Where there is none for this codec.
pub fn decoder_for(stream: &Stream) -> Result<Option<gst::Element>, Failure> {
    if stream.media_type().ends_with("/x-raw") {
        return Ok(None);
    }
    let mut factories: Vec<_> =
        gst::ElementFactory::factories_with_type(gst::ElementFactoryType::DECODER, gst::Rank::MARGINAL)
            .into_iter()
            .filter(|factory| factory.can_sink_any_caps(&stream.caps))
            .collect();
    factories.sort_by_key(|factory| {
        let preferred = PREFERRED.contains(&factory.name().as_str());
        std::cmp::Reverse((preferred, factory.rank()))
    });
    factories
        .iter()
        .find_map(|factory| factory.create().build().ok())
        .map(Some)
        .ok_or_else(|| {
            Failure::new(
                ErrorKind::Unsupported,
                format!("there is no decoder for {}", codec_name(&stream.caps)),
            )
        })
}

/// Decodes packets of a stream that come out of `from`; answers the pad where frames come out, linked to nothing yet.
///
/// # Errors
/// Where there is no decoder, or the pipeline cannot be built.
pub fn decode(medium: &Demuxer, stream: &Stream, from: &gst::Pad, single_threaded: bool) -> Result<gst::Pad, Failure> {
    let Some(decoder) = decoder_for(stream)? else {
        return Ok(from.clone());
    };
    if single_threaded && decoder.has_property("max-threads") {
        decoder.set_property_from_str("max-threads", "1");
    }
    // What the decoder still looks at it locks, so that a frame in a buffer of the pipeline would be copied to one that no pool
    // keeps. From frames of its own it is copied as well, but into a pool: 7 % less time for H.264.
    if PREDICTED.contains(&stream.media_type()) && decoder.has_property("direct-rendering") {
        decoder.set_property("direct-rendering", false);
    }
    medium.pipeline.add(&decoder).map_err(internal)?;
    decoder.sync_state_with_parent().map_err(internal)?;
    link(from, &decoder)?;
    decoder
        .static_pad("src")
        .ok_or_else(|| internal("a decoder without a source pad"))
}

/// What is done to decoded frames before anybody sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Straightening {
    /// Frames of two fields.
    pub deinterlace: Deinterlace,
    /// Clockwise degrees.
    pub turn: u32,
    /// A high dynamic range is kept.
    pub keeps_range: bool,
}

impl Straightening {
    /// What makes frames of this film progressive, upright, and such that every screen shows them.
    pub fn usual(video: &VideoStream) -> Self {
        Self {
            deinterlace: Deinterlace::Auto,
            turn: video.rotation,
            keeps_range: false,
        }
    }
}

/// Adds what makes frames progressive, upright and of a usual range, where they are not.
///
/// # Errors
/// Where elements are missing.
pub fn straighten(medium: &Demuxer, mut pad: gst::Pad, video: &VideoStream) -> Result<gst::Pad, Failure> {
    for make in straight(video, Straightening::usual(video))? {
        medium.pipeline.add(&make).map_err(internal)?;
        make.sync_state_with_parent().map_err(internal)?;
        link(&pad, &make)?;
        pad = make
            .static_pad("src")
            .ok_or_else(|| internal("a filter without a source pad"))?;
    }
    Ok(pad)
}

/// The elements that do this to frames of the film, to be linked in this order; none where nothing is to be done.
///
/// # Errors
/// Where elements are missing.
pub fn straight(video: &VideoStream, how: Straightening) -> Result<Vec<gst::Element>, Failure> {
    let mut chain = Vec::new();
    let deinterlaces = match how.deinterlace {
        Deinterlace::Auto => video.interlaced,
        Deinterlace::Always => true,
        Deinterlace::Off => false,
    };
    let form = video.colour.hdr.filter(|_| !how.keeps_range);
    let form = form.filter(|form| *form != HdrForm::DolbyVision);
    if how.deinterlace == Deinterlace::Off && video.interlaced {
        let whole = element("identity")?;
        if let Some(pad) = whole.static_pad("src") {
            call_progressive(&pad);
        }
        chain.push(whole);
    }
    if deinterlaces || how.turn != 0 || form.is_some() {
        chain.push(element("videoconvert")?);
    }
    if deinterlaces {
        let deinterlace = element("deinterlace")?;
        // One frame for each two fields: the frame rate stays.
        deinterlace.set_property_from_str("fields", "top");
        if how.deinterlace == Deinterlace::Always {
            deinterlace.set_property_from_str("mode", "interlaced");
        }
        chain.push(deinterlace);
    }
    if let Some(form) = form {
        let fine = element("capsfilter")?;
        let caps = gst::Caps::builder("video/x-raw").field("format", "I420_10LE");
        fine.set_property("caps", caps.build());
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        chain.extend([fine, Tone::new(form, video.colour.peak, threads.min(4)).upcast()]);
    }
    if how.turn != 0 {
        let flip = element("videoflip")?;
        flip.set_property_from_str(
            "video-direction",
            match how.turn {
                90 => "90r",
                180 => "180",
                _ => "90l",
            },
        );
        if let Some(pad) = flip.static_pad("src") {
            call_upright(&pad);
        }
        chain.push(flip);
        if let Some(pad) = chain.first().and_then(|first| first.static_pad("sink")) {
            name_colours(&pad);
        }
    }
    Ok(chain)
}

/// Turned once; a muxer must not say so again.
fn call_upright(pad: &gst::Pad) {
    pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, |_, info| {
        if let Some(gst::PadProbeData::Event(event)) = &mut info.data
            && let gst::EventView::Tag(tag) = event.view()
            && tag.tag().get::<gst::tags::ImageOrientation>().is_some()
        {
            let mut tags = tag.tag().to_owned();
            tags.make_mut().remove::<gst::tags::ImageOrientation>();
            *event = gst::event::Tag::new(tags);
        }
        gst::PadProbeReturn::Ok
    });
}

/// Takes frames as whole ones, whatever was said of them.
fn call_progressive(pad: &gst::Pad) {
    pad.add_probe(
        gst::PadProbeType::EVENT_DOWNSTREAM | gst::PadProbeType::BUFFER,
        |_, info| {
            match &mut info.data {
                Some(gst::PadProbeData::Event(event)) => {
                    if let gst::EventView::Caps(caps) = event.view() {
                        let mut whole = caps.caps_owned();
                        let fields = whole.make_mut();
                        fields.set("interlace-mode", "progressive");
                        if let Some(fields) = fields.structure_mut(0) {
                            fields.remove_field("field-order");
                        }
                        *event = gst::event::Caps::new(&whole);
                    }
                }
                Some(gst::PadProbeData::Buffer(frame)) => {
                    let fields = gst_video::VideoBufferFlags::INTERLACED | gst_video::VideoBufferFlags::TFF;
                    frame
                        .make_mut()
                        .unset_flags(gst::BufferFlags::from_bits_truncate(fields.bits()));
                }
                _ => {}
            }
            gst::PadProbeReturn::Ok
        },
    );
}

/// Says in words which colours frames have that do not say so. What is assumed of them depends on their height, and a
/// turned frame has another.
fn name_colours(pad: &gst::Pad) {
    pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, |_, info| {
        if let Some(gst::PadProbeData::Event(event)) = &mut info.data
            && let gst::EventView::Caps(caps) = event.view()
            && caps.structure().is_some_and(|fields| !fields.has_field("colorimetry"))
            && let Ok(assumed) = gst_video::VideoInfo::from_caps(caps.caps())
        {
            let mut named = caps.caps_owned();
            named.make_mut().set("colorimetry", assumed.colorimetry().to_string());
            *event = gst::event::Caps::new(&named);
        }
        gst::PadProbeReturn::Ok
    });
}

/// What decoders complained of since the last [`take_complaints`]: how often, and the first in their words.
#[derive(Debug, Default, Clone)]
pub struct Complaints {
    /// How many.
    pub count: u64,
    /// The first.
    pub first: String,
}

fn complaints() -> &'static Mutex<Complaints> {
    static COMPLAINTS: OnceLock<Mutex<Complaints>> = OnceLock::new();
    COMPLAINTS.get_or_init(Mutex::default)
}

/// Starts to listen to decoders: they report damage only to the debug log.
pub fn listen() {
    static LISTENING: OnceLock<()> = OnceLock::new();
    LISTENING.get_or_init(|| {
        // Made active as a whole, the log would hear every element out, at each buffer.
        gst::log::set_threshold_for_name("libav", gst::DebugLevel::Error);
        gst::log::set_threshold_for_name("videodecoder", gst::DebugLevel::Warning);
        gst::log::set_threshold_for_name("audiodecoder", gst::DebugLevel::Warning);

        gst::log::remove_default_log_function();
        gst::log::add_log_function(|category, level, _, _, _, _, message| {
            let Some(text) = message.get() else { return };
            let about_damage = match category.name() {
                "libav" => level == gst::DebugLevel::Error,
                "videodecoder" | "audiodecoder" => text.starts_with("error: "),
                _ => false,
            };
            if about_damage {
                let mut known = complaints().lock().unwrap_or_else(PoisonError::into_inner);
                known.count += 1;
                if known.first.is_empty() {
                    known.first = plain(text.trim_start_matches("error: "));
                }
            }
        });
    });
}

/// Takes note of damage that no decoder tells of.
pub fn complain(text: &str) {
    let mut known = complaints().lock().unwrap_or_else(PoisonError::into_inner);
    known.count += 1;
    if known.first.is_empty() {
        known.first = plain(text);
    }
}

/// Hears a warning on the bus: demuxers report there what they lack.
pub fn hear(warning: &gst::message::Warning) {
    let error = warning.error();
    if error.matches(gst::StreamError::Demux) || error.matches(gst::StreamError::Decode) {
        complain(error.message());
    }
}

/// Whether an error on the bus says only that nothing of one sound could be read: whatever else is in the medium may be whole, and
/// whoever wants that sound finds nothing. Takes note of it.
pub fn forgives(error: &gst::message::Error) -> bool {
    let source = error.src().and_then(|source| source.downcast_ref::<gst::Element>());
    let reads_sound = source.and_then(gst::Element::factory).is_some_and(|factory| {
        let sorts = gst::ElementFactoryType::PARSER | gst::ElementFactoryType::DECODER;
        let klass = factory.metadata("klass").unwrap_or_default();
        factory.has_type(sorts | gst::ElementFactoryType::MEDIA_AUDIO) && klass.contains("Audio")
    });
    let said = error.error();
    let is_nothing = said.message().starts_with("No valid frames");
    let forgives = reads_sound && is_nothing;
    if forgives {
        complain(said.message());
    }
    forgives
}

/// What was heard since the last time.
pub fn take_complaints() -> Complaints {
    std::mem::take(&mut *complaints().lock().unwrap_or_else(PoisonError::into_inner))
}
