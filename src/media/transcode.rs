//! The branch of one transcode: from decoded frames, sound or packets to a file.

use std::fs::OpenOptions;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use gst::prelude::*;

use super::av1;
use super::boxes;
use super::branch::{Branch, Ending, Opened, connect, guard, queue};
use super::clip::{Sort, clip};
use super::clips::{Beside, Joining};
use super::decoder::{Straightening, straight};
use super::demux::Stream;
use super::describe::codec_name;
use super::encoder::{self, Pass};
use super::failure::{element, internal, writing};
use super::flac;
use super::meter::Meter;
use super::muxer;
use super::overlay;
use super::readback::{self, Fed};
use super::sound::{self, Source};
use super::twice::notes;
use crate::job::{ErrorKind, Failure};
use crate::plan::{MediaInfo, Span, TranscodePlan, VideoStream};
use crate::rule::{AudioCodec, Container, Deinterlace, Hdr, Track, VideoCodec};

/// What the encoder puts before sound in Opus. Other forms have a place of their own for it.
const OPUS_SILENCE: u32 = 312;

/// What writes one file.
pub struct TranscodeBranch {
    plan: TranscodePlan,
    bin: gst::Bin,
    /// What came in of the film ...
    video: Option<Arc<Meter>>,
    /// ... and of the sound.
    audio: Option<Arc<Meter>>,
    /// The pictures that have their final number: encoded ones before their encoder, copied ones before the muxer.
    pictures: Option<Arc<Meter>>,
    /// What comes before and after the film.
    joining: Option<Joining>,
}

impl TranscodeBranch {
    /// The time that was fed into the file.
    fn fed(&self) -> Fed {
        let span = |meter: &Option<Arc<Meter>>| meter.as_ref().map(|meter| meter.span()).unwrap_or_default();
        Fed {
            video: span(&self.video),
            audio: span(&self.audio),
            pictures: self.pictures.as_ref().map_or(0, |meter| meter.buffers()),
        }
    }
}

impl Branch for TranscodeBranch {
    fn bin(&self) -> &gst::Bin {
        &self.bin
    }

    fn reads_to_end(&self) -> bool {
        self.plan.span.is_whole()
    }

    fn beside(&self) -> Beside {
        self.joining.as_ref().map(Joining::beside).unwrap_or_default()
    }

    fn stopped(&mut self) {
        let _ = std::fs::remove_file(muxer::spool(&self.plan.file));
    }

    fn finish(self: Box<Self>, ending: &mut Ending<'_, '_>) -> Result<(), Failure> {
        let (fed, file) = (self.fed(), &self.plan.file);
        let pulse = &mut *ending.pulse;
        let joined = self.joining.as_ref().map_or(Ok(()), Joining::complete);
        let done = joined
            .and_then(|()| complete_index(&self.plan, ending.media))
            .and_then(|()| readback::media(file, &fed, &mut |buffers| pulse.beat(None, buffers)));
        pulse.next_part();
        match done {
            Ok((size, report)) => pulse.listener().output(ending.task, file, size, report),
            Err(failure) => {
                self.abandon();
                return Err(failure);
            }
        }
        Ok(())
    }

    fn abandon(self: Box<Self>) {
        let _ = std::fs::remove_file(&self.plan.file);
    }
}

/// The branch of this plan. Its pads take packets where the plan says
/// that the stream is copied, else decoded frames and sound.
///
/// # Errors
/// Where elements are missing or refuse a setting, or the container cannot hold what is to be copied.
pub fn transcode(name: &str, plan: &TranscodePlan, opened: Opened<'_>) -> Result<TranscodeBranch, Failure> {
    let (mut film, mut sounds, mut pictures) = (None, None, None);
    let bin = gst::Bin::builder().name(name).build();
    let container = plan.settings.container;
    let writer = muxer::writer(container, &plan.file)?;
    bin.add_many(&writer).map_err(internal)?;
    gst::Element::link_many(&writer).map_err(internal)?;
    let head = writer.first().ok_or_else(|| internal("nothing writes the file"))?;

    // What is encoded beside a copy begins with it.
    let copies = plan.settings.copies();
    let shows = plan.picture.is_some() && opened.film.is_some();
    let joining = opened.reel.map(|reel| Joining::new(reel, shows));
    let streams = &opened.medium.streams;
    if let Some((index, shown)) = opened.film.zip(opened.media.video()) {
        let notes = notes(&plan.file);
        let pass = if plan.is_two_pass() {
            Pass::Second(&notes)
        } else {
            Pass::Only
        };
        let chain = if matches!(plan.settings.video, Track::Copy) {
            let chain = copy(container, head, &streams[index], true)?;
            Some((format!("packets-{index}"), chain, Sort::Packets))
        } else {
            film_chain(plan, opened, pass)?
        };
        if let Some((name, mut chain, sort)) = chain {
            film = Some(watch(&chain, plan.span, sort)?);
            let entry = encoder::entry(&chain);
            let joined = joining.as_ref().map(|joining| joining.pictures(&mut chain, plan));
            let joined = joined.transpose()?;
            if let Some(exit) = &joined {
                film = Some(Meter::on(exit));
            }
            let last = connect(&bin, &name, &chain)?;
            pictures = match plan.settings.video {
                Track::Copy => Some(Meter::inside(&last)),
                _ => joined.as_ref().or(entry.as_ref()).map(Meter::on),
            };
            if let Some((picture, entry)) = plan.picture.zip(entry) {
                overlay::lay(&entry, &plan.cover, picture.size)?;
            }
            last.set_offset(film_offset(plan));
            let codec = plan.settings.video.encoded().map(|spec| spec.codec);
            let pad = muxer::film_entry(container, head, codec)?;
            if pad.has_property("trak-timescale") {
                let timescale = muxer::timescale(plan.settings.video.encoded(), shown);
                pad.set_property("trak-timescale", timescale);
            }
            last.link(&pad).map_err(internal)?;
        }
    }
    if let Some(index) = opened.sound {
        let chain = match (&plan.settings.audio, plan.channels, plan.rate) {
            (Track::Encode(spec), Some(channels), Some(rate)) => {
                let source = Source {
                    stream: opened.media.audio(),
                    gain: opened.gain,
                };
                let chain = match &joining {
                    Some(joining) => joining.sound(spec, (channels, rate), source)?,
                    None => (sound::encode(spec, channels, rate, source)?, None),
                };
                Some((format!("sound-{index}"), chain))
            }
            (Track::Copy, ..) => {
                let chain = copy(container, head, &streams[index], false)?;
                Some((format!("packets-{index}"), (chain, None)))
            }
            _ => None,
        };
        if let Some((name, (chain, joined))) = chain {
            let sort = if copies { Sort::Packets } else { Sort::Sound };
            sounds = Some(watch(&chain, plan.span, sort)?);
            if let Some(exit) = &joined {
                sounds = Some(Meter::on(exit));
            }
            let last = connect(&bin, &name, &chain)?;
            let pad = muxer::entry(container, head, false)?;
            lift_cover(&last);
            last.link(&pad).map_err(internal)?;
        }
    } else if let Some((chain, exit)) = silent_film(plan, joining.as_ref())? {
        sounds = Some(Meter::on(&exit));
        bin.add_many(&chain).map_err(internal)?;
        gst::Element::link_many(&chain).map_err(internal)?;
        let last = chain.last().and_then(|last| last.static_pad("src"));
        let pad = muxer::entry(container, head, false)?;
        last.ok_or_else(|| internal("a chain without an exit"))?
            .link(&pad)
            .map_err(internal)?;
    }
    if let Some(joining) = &joining {
        joining.chapters(head, opened.media, plan.span);
    }
    if bin.iterate_sink_pads().next().ok().flatten().is_none() {
        return Err(Failure::new(
            ErrorKind::NoSuchStream,
            "the medium has neither video nor sound that the task wants",
        ));
    }
    Ok(TranscodeBranch {
        plan: plan.clone(),
        bin,
        video: film,
        audio: sounds,
        pictures,
        joining,
    })
}

/// The sound of clips around a film that has none.
fn silent_film(
    plan: &TranscodePlan,
    joining: Option<&Joining>,
) -> Result<Option<(Vec<gst::Element>, gst::Pad)>, Failure> {
    match (joining, &plan.settings.audio, plan.clips.alone) {
        (Some(joining), Track::Encode(spec), Some(form)) => joining.silent(spec, form),
        _ => Ok(None),
    }
}

/// What encodes the film: what its pad is fed, its elements, and what passes them; none where no film is encoded.
///
/// # Errors
/// Where elements are missing or refuse a setting.
pub fn film_chain(
    plan: &TranscodePlan,
    opened: Opened<'_>,
    pass: Pass<'_>,
) -> Result<Option<(String, Vec<gst::Element>, Sort)>, Failure> {
    let (Track::Encode(spec), Some(picture), Some(shown)) = (&plan.settings.video, plan.picture, opened.media.video())
    else {
        return Ok(None);
    };
    if opened.film.is_none() {
        return Ok(None);
    }
    let mut chain = encoder::video(plan, spec, picture, opened.threads, pass)?;
    let treatment = plan.settings.treatment;
    let fields = match treatment.deinterlace {
        Deinterlace::Auto => false,
        Deinterlace::Always => !shown.interlaced,
        Deinterlace::Off => shown.interlaced,
    };
    let keeps_range = treatment.hdr == Hdr::Keep && shown.colour.hdr.is_some();
    let own = fields || keeps_range;
    let (feed, how) = if own {
        let turn = (shown.rotation % 360 + treatment.rotate) % 360;
        let how = Straightening {
            deinterlace: treatment.deinterlace,
            turn,
            keeps_range,
        };
        ("stored", how)
    } else {
        // What is fed is straight already, but for what the task wants besides.
        let how = Straightening {
            deinterlace: Deinterlace::Auto,
            turn: treatment.rotate,
            keeps_range: true,
        };
        ("frames", how)
    };
    let source = VideoStream {
        interlaced: own && shown.interlaced,
        ..shown.clone()
    };
    // After the queue, so that it is not the decoder's thread that does it.
    chain.splice(2..2, straight(&source, how)?);
    // What is encoded beside a copy begins with it.
    let sort = if plan.settings.copies() {
        Sort::Packets
    } else {
        Sort::Frames
    };
    Ok(Some((feed.to_owned(), chain, sort)))
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
    i64::from(sound::silence(spec.codec)) * 1_000_000_000 / i64::from(rate)
}

/// Cuts what comes into a chain at its guard, and measures what is left.
///
/// # Errors
/// Where the chain has no guard.
pub fn watch(chain: &[gst::Element], span: Span, sort: Sort) -> Result<Arc<Meter>, Failure> {
    let pad = |name| chain.first().and_then(|guard| guard.static_pad(name));
    let (Some(entry), Some(exit)) = (pad("sink"), pad("src")) else {
        return Err(internal("a chain without a guard"));
    };
    clip(&entry, &exit, span, sort);
    Ok(Meter::on(&exit))
}

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
        ("video/mpeg", Some(4)) => chain.push(element("mpeg4videoparse")?),
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
        only_timed(&exit, if video { 0 } else { HEADERS });
    }
    Ok(chain)
}

/// So many packets of sound may come before the first that has a time: they are headers, which do not always say so.
const HEADERS: usize = 8;

/// Refuses packets of which nobody knows when they are shown: muxers would leave them out without a word. At the beginning
/// there may be so many.
fn only_timed(pad: &gst::Pad, headers: usize) {
    let told = AtomicBool::new(false);
    let left = AtomicUsize::new(headers);
    pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        let timed = |packet: &gst::Buffer| {
            if packet.pts().is_some() {
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

/// Muxers do not write which way a film that was copied is turned, nor where sound begins.
fn complete_index(plan: &TranscodePlan, media: &MediaInfo) -> Result<(), Failure> {
    let settings = &plan.settings;
    if settings.container == Container::Flac {
        return flac::mend(&plan.file).map_err(|error| writing(&plan.file, &error));
    }
    if !settings.container.has_index_in_front() {
        return Ok(());
    }
    let turned = media.video().map_or(0, |video| video.rotation);
    let turns = turned != 0 && matches!(settings.video, Track::Copy) && settings.container.keeps_rotation();
    let silent = settings.audio.encoded().map_or(0, |spec| match spec.codec {
        AudioCodec::Opus => OPUS_SILENCE,
        codec => sound::silence(codec),
    });
    let complete = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().read(true).write(true).open(&plan.file)?;
        if turns {
            boxes::turn(&mut file, turned)?;
        }
        if settings.audio.is_some() {
            boxes::prime(&mut file, silent)?;
        }
        if settings
            .video
            .encoded()
            .is_some_and(|spec| spec.codec == VideoCodec::Av1)
        {
            av1::correct(&mut file)?;
        }
        Ok(())
    };
    match complete() {
        // A track that a damaged source did not fill is missed when the file is read back, in better words.
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => Ok(()),
        done => done.map_err(|error| writing(&plan.file, &error)),
    }
}
