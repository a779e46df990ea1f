//! Decodes a clip, in the form of the film that it is joined to.

use std::fs::File;
use std::sync::Arc;

use gst::prelude::*;

use super::Clip;
use super::line::Line;
use crate::job::{ErrorKind, Failure};
use crate::media::assembly::{only_forward, video_index};
use crate::media::branch::only;
use crate::media::decoder::{decode, straighten};
use crate::media::demux::{Demuxer, link};
use crate::media::failure::{element, from_message, internal};
use crate::media::scale::draw;
use crate::media::sound::{self, Source};
use crate::media::source::{FileReader, Input};
use crate::plan::joined;
use crate::rule::{AudioSpec, Fit};

/// How long nothing may come before somebody asks whether it still should.
const MOMENT: gst::ClockTime = gst::ClockTime::from_mseconds(100);

/// Packets of a clip that wait to be decoded may take so many bytes.
const MOST_PACKETS: u32 = 8 << 20;

/// More frames a second are no rate of frames but a unit of time.
const MOST_FRAMES: i32 = 240;

/// The frames that are wanted.
#[derive(Debug, Clone)]
pub struct Frames {
    /// Their form.
    pub info: gst_video::VideoInfo,
    /// How many a second; none where that varies, and the clip keeps its own.
    pub rate: Option<gst::Fraction>,
}

impl Frames {
    /// What these caps say.
    pub fn of(caps: &gst::CapsRef) -> Option<Self> {
        let info = gst_video::VideoInfo::from_caps(caps).ok()?;
        let is_even =
            |rate: &gst::Fraction| rate.numer() > 0 && rate.denom() > 0 && rate.numer() / rate.denom() <= MOST_FRAMES;
        let rate = Some(info.fps()).filter(is_even);
        Some(Self { info, rate })
    }

    /// Everything but the rate.
    fn caps(&self) -> gst::Caps {
        let info = &self.info;
        let mut caps = gst::Caps::builder("video/x-raw")
            .field("format", info.format().to_str())
            .field("width", info.width().cast_signed())
            .field("height", info.height().cast_signed())
            .field("pixel-aspect-ratio", gst::Fraction::new(1, 1))
            .field("colorimetry", info.colorimetry().to_string());
        if !info.chroma_site().is_empty() {
            caps = caps.field("chroma-site", info.chroma_site().to_str().as_str());
        }
        caps.build()
    }
}

/// Keeps few packets of a medium of which no stream waits for another, so that none can be starved.
pub fn hold_few(medium: &Demuxer) {
    let queues = medium.streams.first().and_then(|stream| stream.pad.parent_element());
    if let Some(queues) = queues {
        queues.set_property("max-size-bytes", MOST_PACKETS);
    }
}

/// Opens a file in scratch.
///
/// # Errors
/// Where it cannot be read.
pub fn open(file: &str) -> Result<Arc<Input>, Failure> {
    let reader = File::open(file).and_then(FileReader::new);
    let reader = reader.map_err(|error| Failure::new(ErrorKind::Io, format!("it cannot be read: {error}")))?;
    Ok(Input::new(reader))
}

/// A stream of a clip that is being decoded.
pub struct Reader {
    medium: Demuxer,
    sink: gst_app::AppSink,
    bus: gst::Bus,
}

impl Reader {
    /// Its pictures.
    ///
    /// # Errors
    /// Where it cannot be opened or decoded.
    pub fn pictures(clip: &Clip, frames: &Frames, fit: Fit) -> Result<Self, Failure> {
        let medium = Demuxer::open(&open(&clip.file)?, &mut || ())?;
        let film = clip.media.video().ok_or_else(|| internal("a clip without pictures"))?;
        let index = video_index(&clip.media, &medium)?;
        let from = medium.streams[index].pad.clone();
        let pad = decode(&medium, &medium.streams[index], &from, false)?;
        only_forward(&pad);
        let pad = straighten(&medium, pad, film)?;
        let mut chain = Vec::new();
        if let Some(rate) = frames.rate {
            let even = element("videorate")?;
            // However long its last picture is shown: the element would stop after a second.
            even.set_property("max-closing-segment-duplication-duration", u64::MAX);
            if let Some(entry) = even.static_pad("sink") {
                end_at(&entry, clip.pictures, rate);
            }
            let caps = gst::Caps::builder("video/x-raw").field("framerate", rate);
            chain.extend([even, only(&caps.build())?]);
        }
        let frame = (frames.info.width(), frames.info.height());
        chain.extend(draw(joined(fit, frame, film))?);
        chain.push(only(&frames.caps())?);
        Self::start(medium, index, pad, chain)
    }

    /// Its sound, in channels and at the rate of the result.
    ///
    /// # Errors
    /// Where it cannot be opened or decoded.
    pub fn sound(clip: &Clip, spec: &AudioSpec, (channels, rate): (u32, u32), format: &str) -> Result<Self, Failure> {
        let medium = Demuxer::open(&open(&clip.file)?, &mut || ())?;
        let is_sound = |index: &usize| medium.streams[*index].media_type().starts_with("audio/");
        let index = (0..medium.streams.len()).find(is_sound);
        let index = index.ok_or_else(|| internal("a clip without sound"))?;
        let from = medium.streams[index].pad.clone();
        let pad = decode(&medium, &medium.streams[index], &from, false)?;
        let source = Source {
            stream: clip.media.audio(),
            gain: clip.gain,
        };
        // Nobody else hangs on this decoder, so nothing need be kept from it, and nothing may fill the memory.
        let chain = sound::shape(spec, channels, rate, source, Some(format))?.split_off(2);
        Self::start(medium, index, pad, chain)
    }

    fn start(
        mut medium: Demuxer,
        index: usize,
        mut pad: gst::Pad,
        mut chain: Vec<gst::Element>,
    ) -> Result<Self, Failure> {
        let sink = gst_app::AppSink::builder().sync(false).max_buffers(4).build();
        sink.set_property("enable-last-sample", false);
        chain.push(sink.clone().upcast());
        for next in &chain {
            medium.pipeline.add(next).map_err(internal)?;
            link(&pad, next)?;
            if let Some(exit) = next.static_pad("src") {
                pad = exit;
            }
        }
        for next in chain.iter().rev() {
            next.sync_state_with_parent().map_err(internal)?;
        }
        for (other, stream) in medium.streams.iter().enumerate() {
            if other != index {
                medium.ignore(&stream.pad)?;
            }
        }
        hold_few(&medium);
        let bus = medium
            .pipeline
            .bus()
            .ok_or_else(|| internal("a pipeline without a bus"))?;
        medium.release();
        medium.pipeline.set_state(gst::State::Playing).map_err(internal)?;
        Ok(Self { medium, sink, bus })
    }

    /// The next buffer; none at the end, or where nobody wants more.
    ///
    /// # Errors
    /// What went wrong with the clip.
    pub fn next(&self, line: &Line) -> Result<Option<gst::Sample>, Failure> {
        while !line.is_stopped() {
            if let Some(sample) = self.sink.try_pull_sample(MOMENT) {
                return Ok(Some(sample));
            }
            let error = self.bus.pop_filtered(&[gst::MessageType::Error]);
            if let Some(gst::MessageView::Error(error)) = error.as_ref().map(|message| message.view()) {
                return Err(from_message(error));
            }
            if self.sink.is_eos() {
                break;
            }
        }
        Ok(None)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // Before its sink goes, for which others still hold the door.
        let _ = self.medium.pipeline.set_state(gst::State::Null);
    }
}

/// Running time of a sample, in nanoseconds; zero for what lies before its segment.
pub fn running(segment: &gst::FormattedSegment<gst::ClockTime>, pts: Option<gst::ClockTime>) -> Option<u64> {
    match segment.to_running_time_full(pts?)? {
        gst::Signed::Positive(time) => Some(time.nseconds()),
        gst::Signed::Negative(_) => Some(0),
    }
}

/// The running time of a sample that was pulled.
pub fn time_of(sample: &gst::Sample) -> Option<u64> {
    let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?;
    running(segment, sample.buffer()?.pts())
}

/// Has what keeps a rate of frames fill up to where the pictures end, to the nearest frame, and not to where the sound does.
fn end_at(entry: &gst::Pad, end: std::time::Duration, rate: gst::Fraction) {
    let frame =
        gst::ClockTime::SECOND.mul_div_round(rate.denom().unsigned_abs().into(), rate.numer().unsigned_abs().into());
    let half = frame.unwrap_or_default() / 2;
    let end = gst::ClockTime::from_nseconds(u64::try_from(end.as_nanos()).unwrap_or(u64::MAX));
    entry.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
        if let Some(gst::PadProbeData::Event(event)) = &mut info.data
            && let gst::EventView::Segment(told) = event.view()
            && let Some(segment) = told.segment().downcast_ref::<gst::ClockTime>()
            && let Some(stop) =
                segment.position_from_running_time(end.saturating_sub(half).max(gst::ClockTime::from_nseconds(1)))
        {
            let mut ended = segment.clone();
            ended.set_stop(stop);
            *event = gst::event::Segment::builder(&ended).seqnum(event.seqnum()).build();
        }
        gst::PadProbeReturn::Ok
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clips_keep_their_own_frames_where_the_film_has_no_even_rate() {
        gst::init().unwrap();
        let rate = |numer, denom| {
            let caps = gst_video::VideoCapsBuilder::new()
                .format(gst_video::VideoFormat::I420)
                .width(64)
                .height(64)
                .framerate(gst::Fraction::new(numer, denom));
            let frames = Frames::of(&caps.build()).unwrap();
            frames.rate.map(|rate| (rate.numer(), rate.denom()))
        };
        assert_eq!(rate(30_000, 1001), Some((30_000, 1001)));
        assert_eq!(rate(0, 1), None);
        assert_eq!(rate(90_000, 1), None);
    }
}
