//! Packets that are taken over as they are: wrapped as the muxer wants them, each with a time.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use gst::prelude::*;

use super::branch::{guard, queue};
use super::demux::Stream;
use super::describe::codec_name;
use super::encoder;
use super::failure::element;
use super::meter::Span;
use super::muxer;
use crate::job::{ErrorKind, Failure};
use crate::plan::TranscodePlan;
use crate::rule::{Container, Track};

/// Takes packets over as they are.
///
/// # Errors
/// Where the container cannot hold them.
pub fn copy(
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
            encoder::h265_parser(container)?,
        ]),
        ("video/x-vp9", _) => chain.push(element("vp9parse")?),
        ("video/mpeg", Some(4)) => {
            // The parser hides what is wrong with their times.
            if let Some(exit) = chain[0].static_pad("src") {
                only_timed(&exit, stream.by_order, 0);
            }
            chain.push(element("mpeg4videoparse")?);
        }
        ("video/mpeg", _) => chain.push(element("mpegvideoparse")?),
        ("audio/mpeg", Some(1)) => chain.push(element("mpegaudioparse")?),
        ("audio/mpeg", _) => chain.push(element("aacparse")?),
        ("audio/x-ac3" | "audio/x-eac3", _) => chain.push(element("ac3parse")?),
        ("audio/x-dts", _) => chain.push(element("dcaparse")?),
        ("audio/x-flac", _) => chain.push(element("flacparse")?),
        // Its headers have no time, and only it says that they are headers.
        ("audio/x-vorbis", _) => chain.push(element("vorbisparse")?),
        // Samples keep their values; only the order of their bytes may be another.
        ("audio/x-raw", _) => chain.push(element("audioconvert")?),
        // A muxer that refuses what comes would take the whole run with it.
        _ if !muxer::takes(container, writer, &stream.caps, video) => return Err(refused()),
        _ => {}
    }
    if let Some(exit) = chain.last().and_then(|last| last.static_pad("src")) {
        only_timed(&exit, stream.by_order, if video { 0 } else { HEADERS });
    }
    Ok(chain)
}

/// A film that begins this much late is seen to.
const LATE: Duration = Duration::from_millis(100);

/// Refuses a copied film that begins late where nothing can say so.
///
/// # Errors
/// What is wrong, and what would be right.
pub fn begins(plan: &TranscodePlan, film: Span) -> Result<(), Failure> {
    let copies = matches!(plan.settings.video, Track::Copy) && plan.settings.container == Container::Mxf;
    let Some(start) = film.start.filter(|start| copies && *start > LATE) else {
        return Ok(());
    };
    Err(Failure::new(
        ErrorKind::Unsupported,
        format!(
            "the film begins {:.1} s after the sound, which cannot be said in MXF: encode it, so that its first picture is shown \
             until then, or choose another container",
            start.as_secs_f64()
        ),
    ))
}

/// So many packets of sound may come before the first that has a time: they are headers, which do not always say so.
const HEADERS: usize = 8;

/// Refuses packets of which nobody knows when they are shown: muxers would leave them out without a word. At the beginning
/// there may be so many. Where times follow from their order (see [`Stream::by_order`]), none may be shown before it comes.
fn only_timed(pad: &gst::Pad, by_order: bool, headers: usize) {
    let told = AtomicBool::new(false);
    let left = AtomicUsize::new(headers);
    pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        let timed = |packet: &gst::Buffer| {
            // What AVI shows before it comes would be late for whoever is told when it comes.
            if packet.pts().is_some() && (!by_order || packet.dts() <= packet.pts()) {
                left.store(0, Ordering::Relaxed);
                return true;
            }
            let one_less = |left: usize| left.checked_sub(1);
            packet.flags().contains(gst::BufferFlags::HEADER)
                || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok()
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
