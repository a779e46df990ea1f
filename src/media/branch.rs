//! The branch of one transcode: from decoded frames, sound or packets to a file, in a bin that can fail alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gst::prelude::*;

use super::clip::{Sort, clip};
use super::demux::Stream;
use super::describe::codec_name;
use super::encoder;
use super::failure::{element, internal};
use super::meter::Meter;
use super::muxer;
use super::readback::Fed;
use crate::job::{ErrorKind, Failure};
use crate::plan::{Span, TranscodePlan, VideoStream};
use crate::rule::{Container, Track};

/// The streams of the medium that a branch may take.
#[derive(Clone, Copy)]
pub struct Sources<'a> {
    /// The film.
    pub video: Option<(&'a Stream, &'a VideoStream)>,
    /// The sound.
    pub audio: Option<&'a Stream>,
}

/// What writes one file.
pub struct Branch {
    /// With the ghost pads `video` and `audio`, as far as the plan has them.
    pub bin: gst::Bin,
    /// What came in of the film ...
    video: Option<Arc<Meter>>,
    /// ... and of the sound.
    audio: Option<Arc<Meter>>,
    /// The pictures that have their final number: encoded ones before their encoder, copied ones before the muxer.
    pictures: Option<Arc<Meter>>,
}

impl Branch {
    /// The time that was fed into the file.
    pub fn fed(&self) -> Fed {
        let span = |meter: &Option<Arc<Meter>>| meter.as_ref().map(|meter| meter.span()).unwrap_or_default();
        Fed {
            video: span(&self.video),
            audio: span(&self.audio),
            pictures: self.pictures.as_ref().map_or(0, |meter| meter.buffers()),
        }
    }
}

/// The branch of this plan. Its pads take packets where the plan says
/// that the stream is copied, else decoded frames and sound.
///
/// # Errors
/// Where elements are missing or refuse a setting, or the container cannot hold what is to be copied.
pub fn transcode(name: &str, plan: &TranscodePlan, sources: Sources<'_>, threads: u32) -> Result<Branch, Failure> {
    let (mut film, mut sounds, mut pictures) = (None, None, None);
    let bin = gst::Bin::builder().name(name).build();
    let container = plan.settings.container;
    let writer = muxer::writer(container, &plan.file)?;
    bin.add_many(&writer).map_err(internal)?;
    gst::Element::link_many(&writer).map_err(internal)?;
    let head = writer.first().ok_or_else(|| internal("nothing writes the file"))?;

    // What is encoded beside a copy begins with it.
    let copies = plan.settings.copies();
    if let Some((stream, shown)) = sources.video {
        let chain = match (&plan.settings.video, plan.picture) {
            (Track::Encode(spec), Some(picture)) => Some(encoder::video(plan, spec, picture, threads)?),
            (Track::Copy, _) => Some(copy(container, head, stream, true)?),
            _ => None,
        };
        if let Some(chain) = chain {
            let sort = if copies { Sort::Packets } else { Sort::Frames };
            film = Some(watch(&chain, plan.span, sort)?);
            let last = connect(&bin, "video", &chain)?;
            pictures = match plan.settings.video {
                Track::Copy => Some(Meter::on(&last)),
                _ => encoder::entry(&chain).map(|pad| Meter::on(&pad)),
            };
            last.set_offset(film_offset(plan));
            let pad = muxer::entry(container, head, true)?;
            if pad.has_property("trak-timescale") {
                let timescale = muxer::timescale(plan.settings.video.encoded(), shown);
                pad.set_property("trak-timescale", timescale);
            }
            last.link(&pad).map_err(internal)?;
        }
    }
    if let Some(stream) = sources.audio {
        let chain = match (&plan.settings.audio, plan.channels, plan.rate) {
            (Track::Encode(spec), Some(channels), Some(rate)) => Some(encoder::audio(spec, channels, rate)?),
            (Track::Copy, ..) => Some(copy(container, head, stream, false)?),
            _ => None,
        };
        if let Some(chain) = chain {
            let sort = if copies { Sort::Packets } else { Sort::Sound };
            sounds = Some(watch(&chain, plan.span, sort)?);
            let last = connect(&bin, "audio", &chain)?;
            let pad = muxer::entry(container, head, false)?;
            lift_cover(&last);
            last.link(&pad).map_err(internal)?;
        }
    }
    if bin.iterate_sink_pads().next().ok().flatten().is_none() {
        return Err(Failure::new(
            ErrorKind::NoSuchStream,
            "the medium has neither video nor sound that the task wants",
        ));
    }
    Ok(Branch {
        bin,
        video: film,
        audio: sounds,
        pictures,
    })
}

/// By how much the film comes later so that the silence before the sound does not make that late; there are forms whose
/// index says where the sound begins.
fn film_offset(plan: &TranscodePlan) -> i64 {
    let Some((spec, rate)) = plan.settings.audio.encoded().zip(plan.rate) else {
        return 0;
    };
    if plan.settings.container.has_index_in_front() || rate == 0 {
        return 0;
    }
    i64::from(encoder::silence(spec.codec)) * 1_000_000_000 / i64::from(rate)
}

/// Cuts what comes into a chain at its guard, and measures what is left.
fn watch(chain: &[gst::Element], span: Span, sort: Sort) -> Result<Arc<Meter>, Failure> {
    let pad = |name| chain.first().and_then(|guard| guard.static_pad(name));
    let (Some(entry), Some(exit)) = (pad("sink"), pad("src")) else {
        return Err(internal("a chain without a guard"));
    };
    clip(&entry, &exit, span, sort);
    Ok(Meter::on(&exit))
}

/// Takes packets over as they are.
fn copy(
    container: Container,
    writer: &gst::Element,
    stream: &Stream,
    video: bool,
) -> Result<Vec<gst::Element>, Failure> {
    let refused = || {
        Failure::new(
            ErrorKind::Unsupported,
            format!(
                "{} cannot be copied into {}: encode it, or choose another container",
                codec_name(&stream.caps),
                container.extension()
            ),
        )
    };
    if !muxer::holds(container, writer, &stream.caps, video) {
        return Err(refused());
    }
    let waiting = queue(0)?;
    // Packets come as fast as the medium is read; what a slow disk does not take at once must not fill the memory.
    waiting.set_property("max-size-bytes", 128_u32 << 20);
    let mut chain = vec![guard()?, waiting];
    let number = |field| {
        stream
            .caps
            .structure(0)
            .and_then(|fields| fields.get::<i32>(field).ok())
    };
    // Muxers want packets wrapped in their own way, and the order of their decoding; parsers change that.
    match (stream.media_type(), number("mpegversion")) {
        // The timestamper passes on how packets are wrapped, not how the muxer wants them: that is for a second parser.
        ("video/x-h264", _) => chain.extend([
            element("h264parse")?,
            element("h264timestamper")?,
            encoder::h264_parser(container)?,
        ]),
        ("video/x-h265", _) => chain.extend([
            element("h265parse")?,
            element("h265timestamper")?,
            element("h265parse")?,
        ]),
        ("video/x-vp9", _) => chain.push(element("vp9parse")?),
        ("video/mpeg", Some(4)) => chain.push(element("mpeg4videoparse")?),
        ("video/mpeg", _) => chain.push(element("mpegvideoparse")?),
        ("audio/mpeg", Some(1)) => chain.push(element("mpegaudioparse")?),
        ("audio/mpeg", _) => chain.push(element("aacparse")?),
        ("audio/x-ac3" | "audio/x-eac3", _) => chain.push(element("ac3parse")?),
        ("audio/x-dts", _) => chain.push(element("dcaparse")?),
        ("audio/x-flac", _) => chain.push(element("flacparse")?),
        // Samples keep their values; only the order of their bytes may be another.
        ("audio/x-raw", _) => chain.push(element("audioconvert")?),
        // A muxer that refuses what comes would take the whole run with it.
        _ if !muxer::takes(container, writer, &stream.caps, video) => return Err(refused()),
        _ => {}
    }
    if let Some(exit) = chain.last().and_then(|last| last.static_pad("src")) {
        only_timed(&exit);
    }
    Ok(chain)
}

/// Refuses packets of which nobody knows when they are shown: muxers would leave them out without a word.
fn only_timed(pad: &gst::Pad) {
    let told = AtomicBool::new(false);
    pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        let timed = |packet: &gst::Buffer| {
            packet.pts().is_some() || packet.flags().contains(gst::BufferFlags::HEADER)
        };
        if info.buffer().is_none_or(timed) {
            return gst::PadProbeReturn::Ok;
        }
        if let Some(parent) = pad.parent_element()
            && !told.swap(true, Ordering::SeqCst)
        {
            gst::element_error!(
                parent,
                gst::StreamError::NotImplemented,
                ("the medium does not say when each of its packets is shown, as AVI files do not, so they cannot be copied: encode them")
            );
        }
        gst::PadProbeReturn::Drop
    });
}

/// A cover that came with the only stream is one of the whole result: players look for it there, and some stumble
/// over a track that has one.
fn lift_cover(pad: &gst::Pad) {
    pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, |_, info| {
        if let Some(gst::PadProbeData::Event(event)) = &mut info.data
            && let gst::EventView::Tag(tag) = event.view()
            && (tag.tag().get::<gst::tags::Image>().is_some() || tag.tag().get::<gst::tags::PreviewImage>().is_some())
        {
            let mut tags = tag.tag().to_owned();
            tags.make_mut().set_scope(gst::TagScope::Global);
            *event = gst::event::Tag::new(tags);
        }
        gst::PadProbeReturn::Ok
    });
}

/// Links a chain within the bin; answers its last pad.
fn connect(bin: &gst::Bin, name: &str, chain: &[gst::Element]) -> Result<gst::Pad, Failure> {
    bin.add_many(chain).map_err(internal)?;
    gst::Element::link_many(chain).map_err(internal)?;
    let (Some(first), Some(last)) = (chain.first(), chain.last()) else {
        return Err(internal("an empty chain"));
    };
    let entry = first
        .static_pad("sink")
        .ok_or_else(|| internal("a chain without an entry"))?;
    let ghost = gst::GhostPad::builder_with_target(&entry)
        .map_err(internal)?
        .name(name)
        .build();
    bin.add_pad(&ghost).map_err(internal)?;
    last.static_pad("src")
        .ok_or_else(|| internal("a chain without an exit"))
}

/// Keeps what goes wrong in a branch from the decoder that feeds others too.
pub fn guard() -> Result<gst::Element, Failure> {
    let guard = element("errorignore")?;
    guard.set_property("ignore-error", true);
    guard.set_property("ignore-notlinked", true);
    guard.set_property("ignore-notnegotiated", true);
    guard.set_property_from_str("convert-to", "ok");
    Ok(guard)
}

/// A queue of this many buffers; 0: without a limit.
pub fn queue(buffers: u32) -> Result<gst::Element, Failure> {
    let queue = element("queue")?;
    queue.set_property("max-size-buffers", buffers);
    queue.set_property("max-size-bytes", 0_u32);
    queue.set_property("max-size-time", 0_u64);
    Ok(queue)
}
