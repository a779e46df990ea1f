//! Opens a medium: its streams apart and parsed, each stopped before its first packet.
//!
//! [`Demuxer::open`] returns once every stream is known. The caller links each stream's pad to what should take it
//! and calls [`Demuxer::release`]; nothing is lost in between.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use gst::prelude::*;

use super::failure::{element, internal};
use super::pace::Pace;
use super::place::{self, Place};
use super::refusal::{describe_error, not_media};
use super::source::{Input, MediaSource};
use super::{beginning, decoder, describe, flv, guess, vops};
use super::{matroska, mp4};
use crate::job::{ErrorKind, Failure};

/// How long streams may take to show themselves once the first is known.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long a stream without packets may take to say what it is called.
const MANNERS: Duration = Duration::from_millis(100);

/// How long nothing at all may be read while no packet has come.
const SILENCE: Duration = Duration::from_secs(5);

/// One stream of an opened medium.
pub struct Stream {
    /// Where its packets come out.
    pub pad: gst::Pad,
    /// What they are.
    pub caps: gst::Caps,
    /// What is said about this stream alone.
    pub tags: gst::TagList,
    /// The container does not say when its pictures are shown; that follows from the order in which they come.
    pub by_order: bool,
    place: Place,
    block: Option<gst::PadProbeId>,
    arrived: Arc<AtomicBool>,
}

impl Stream {
    /// Has packets all the time, unlike subtitles.
    fn is_dense(&self) -> bool {
        let name = self.media_type();
        name.starts_with("video/") || name.starts_with("audio/")
    }

    /// The media type, as `video/x-h264`.
    pub fn media_type(&self) -> &str {
        self.caps.structure(0).map_or("", |s| s.name().as_str())
    }
}

/// An opened medium.
pub struct Demuxer {
    /// Everything; in PAUSED after opening.
    pub pipeline: gst::Pipeline,
    /// In the order of the container.
    pub streams: Vec<Stream>,
    /// What the container is, as found from its first bytes.
    pub container: gst::Caps,
    /// What is said about the whole medium.
    pub tags: gst::TagList,
    /// The table of contents, where there is one.
    pub toc: Option<gst::Toc>,
    index: Option<mp4::Index>,
    flash: Option<Arc<flv::Survey>>,
    /// Nothing in it says how long it is.
    undeclared: bool,
}

impl Drop for Demuxer {
    fn drop(&mut self) {
        // Streams that are still blocked would hold the state change up.
        self.release();
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

type Found = Arc<Mutex<Vec<Stream>>>;

/// How it is known what the container is.
enum Kind {
    Known(gst::Caps),
    Found(gst::Element),
}

impl Kind {
    fn caps(&self) -> Option<gst::Caps> {
        match self {
            Self::Known(caps) => Some(caps.clone()),
            Self::Found(typefind) => typefind.property("caps"),
        }
    }
}

impl Demuxer {
    /// Opens a medium; `tick` is called now and then while that takes.
    ///
    /// # Errors
    /// Where it is no medium, or damaged before its first packet.
    pub fn open(input: &Arc<Input>, tick: &mut dyn FnMut()) -> Result<Self, Failure> {
        if input.size() == 0 {
            return Err(Failure::new(ErrorKind::Corrupt, "the file is empty"));
        }
        let pipeline = gst::Pipeline::new();
        let index = mp4::Index::read(input);
        let flash = flv::Survey::of(input, tick);
        let multiqueue = element("multiqueue")?;
        // The first limit gives way where another stream is starved; the second does not.
        multiqueue.set_property("max-size-buffers", 16_u32);
        multiqueue.set_property("max-size-bytes", 128_u32 << 20);
        multiqueue.set_property("max-size-time", 0_u64);
        pipeline.add(&multiqueue).map_err(internal)?;
        let found = Found::default();
        let complete = Arc::new(AtomicBool::new(false));
        let pace = Pace::default();
        let kind = if let Some(survey) = &flash {
            let mut known = found.lock().unwrap_or_else(PoisonError::into_inner);
            for (pad, caps) in flv::streams(&pipeline, input, survey)? {
                known.extend(take(&multiqueue, &pad, caps, "", &pace));
            }
            Kind::Known(flv::caps())
        } else {
            let corrections = index.as_ref().map_or_else(Vec::new, |index| index.corrections.clone());
            let source = MediaSource::over(input.clone(), corrections);
            let parsebin = element("parsebin")?;
            let typefind = parsebin
                .downcast_ref::<gst::Bin>()
                .and_then(|bin| bin.by_name("typefind"))
                .ok_or_else(|| internal("a parser that finds no types"))?;
            if let Some(parsers) = parsebin.downcast_ref::<gst::Bin>() {
                parsers.connect_element_added(|_, element| guess::forbid(element));
            }
            pipeline.add_many([source.upcast_ref(), &parsebin]).map_err(internal)?;
            source.link(&parsebin).map_err(internal)?;
            let (taking, pacing, over) = (found.clone(), pace.clone(), complete.clone());
            let home = pipeline.downgrade();
            let container = typefind.downgrade();
            parsebin.connect_pad_added(move |_, pad| {
                if over.load(Ordering::SeqCst) {
                    discard(&home, pad);
                } else if let Some(stream) = take(&multiqueue, pad, told(pad), &media_type(&container), &pacing) {
                    taking.lock().unwrap_or_else(PoisonError::into_inner).push(stream);
                }
            });
            Kind::Found(typefind)
        };
        let mut opened = Self {
            pipeline,
            streams: Vec::new(),
            container: gst::Caps::new_empty(),
            tags: flash.as_ref().map_or_else(gst::TagList::new, |survey| survey.tags()),
            toc: None,
            undeclared: index.is_none() && (matroska::declares_no_length(input) || mp4::declares_no_length(input)),
            index,
            flash,
        };
        opened.wait(input, &kind, &found, &complete, tick)?;
        pace.set_ends(|entry| {
            let exit = entry.name().replace("sink", "src");
            let stream = opened.streams.iter().find(|stream| stream.pad.name() == exit);
            stream.and_then(|stream| opened.declared_end(stream))
        });
        Ok(opened)
    }

    fn wait(
        &mut self,
        input: &Input,
        kind: &Kind,
        found: &Found,
        complete: &AtomicBool,
        tick: &mut dyn FnMut(),
    ) -> Result<(), Failure> {
        let _ = self.pipeline.set_state(gst::State::Paused);
        let bus = self
            .pipeline
            .bus()
            .ok_or_else(|| internal("a pipeline without a bus"))?;
        let mut since = None;
        let mut last = None;
        // Some demuxers end on damage without a word.
        let mut quiet = (0, Instant::now());
        loop {
            tick();
            if input.is_reading() || quiet.0 != input.bytes_read() {
                quiet = (input.bytes_read(), Instant::now());
            }
            if let Some(message) = bus.timed_pop(gst::ClockTime::from_mseconds(2)) {
                match message.view() {
                    gst::MessageView::Error(error) if decoder::forgives(error) => {}
                    gst::MessageView::Error(error) => {
                        let failure = describe_error(error, kind.caps().as_ref(), input);
                        // Streams that came before the error must not hold the end up.
                        self.streams = std::mem::take(&mut *found.lock().unwrap_or_else(PoisonError::into_inner));
                        return Err(failure);
                    }
                    gst::MessageView::Tag(tag) => note(&mut self.tags, &tag.tags()),
                    gst::MessageView::Warning(warning) => decoder::hear(warning),
                    gst::MessageView::Toc(toc) => self.toc = Some(toc.toc().0),
                    gst::MessageView::Eos(_) => last = Some(Instant::now()),
                    _ => {}
                }
                continue;
            }
            let seen = found.lock().unwrap_or_else(PoisonError::into_inner);
            // Streams are shown together, before the first packet of any of them comes out.
            if !seen.iter().any(|stream| stream.arrived.load(Ordering::SeqCst)) {
                // A medium can end before any stream was found.
                if last.is_some_and(|at: Instant| at.elapsed() > PATIENCE) {
                    break;
                }
                if quiet.1.elapsed() > SILENCE {
                    drop(seen);
                    self.streams = std::mem::take(&mut *found.lock().unwrap_or_else(PoisonError::into_inner));
                    return Err(not_media(kind.caps().as_ref(), input));
                }
                continue;
            }
            let since = *since.get_or_insert_with(Instant::now);
            let ready = |stream: &Stream| {
                if stream.is_dense() || stream.arrived.load(Ordering::SeqCst) {
                    return stream.arrived.load(Ordering::SeqCst);
                }
                // Its packets may come much later; what it is and in which language comes with the others.
                let told = stream.pad.sticky_event::<gst::event::Tag>(0).is_some() || since.elapsed() > MANNERS;
                told && stream.pad.has_current_caps()
            };
            if seen.iter().all(ready) || since.elapsed() > PATIENCE {
                complete.store(true, Ordering::SeqCst);
                break;
            }
        }
        self.streams = std::mem::take(&mut *found.lock().unwrap_or_else(PoisonError::into_inner));
        // Pads come in the order of their threads; the demuxer numbered them in the order of the container.
        self.streams.sort_by(|a, b| a.place.cmp(&b.place));
        for stream in &mut self.streams {
            if let Some(caps) = stream.pad.current_caps() {
                stream.caps = caps;
            }
            let (mut own, mut all) = (gst::TagList::new(), gst::TagList::new());
            stream.pad.sticky_events_foreach(|event| {
                if let gst::EventView::Tag(tag) = event.view() {
                    let into = if tag.tag().scope() == gst::TagScope::Global {
                        &mut all
                    } else {
                        &mut own
                    };
                    *into = into.merge(tag.tag(), gst::TagMergeMode::Replace);
                }
                if let gst::EventView::Toc(toc) = event.view() {
                    self.toc.get_or_insert_with(|| toc.toc().0.to_owned());
                }
                std::ops::ControlFlow::Continue(gst::EventForeachAction::Keep)
            });
            stream.tags = own;
            self.tags = self.tags.merge(&all, gst::TagMergeMode::Keep);
        }
        self.container = kind.caps().unwrap_or_else(gst::Caps::new_empty);
        if self.streams.is_empty() {
            return Err(not_media(Some(&self.container), input));
        }
        Ok(())
    }

    /// Adds an element that takes this stream and throws it away.
    ///
    /// # Errors
    /// Where elements cannot be made.
    pub fn ignore(&self, pad: &gst::Pad) -> Result<(), Failure> {
        let sink = drain()?;
        self.pipeline.add(&sink).map_err(internal)?;
        link(pad, &sink)?;
        sink.sync_state_with_parent().map_err(internal)
    }

    /// Lets the packets go.
    pub fn release(&mut self) {
        for stream in &mut self.streams {
            if let Some(block) = stream.block.take() {
                stream.pad.remove_probe(block);
            }
        }
    }

    /// The declared length of the medium, the longest that any stream says.
    pub fn duration(&self) -> Option<Duration> {
        // The demuxer may have been told more; see there.
        if let Some(index) = &self.index {
            return Some(index.duration);
        }
        if let Some(survey) = &self.flash {
            return survey.duration();
        }
        if self.undeclared {
            return None;
        }
        self.streams
            .iter()
            .filter_map(|stream| stream.pad.query_duration::<gst::ClockTime>())
            .max()
            .map(Duration::from)
            .filter(|length| !length.is_zero())
    }

    /// The film is Dolby Vision that no other decoder shows in its colours.
    pub fn is_dolby(&self) -> bool {
        self.index.as_ref().is_some_and(|index| index.is_dolby)
    }

    /// When a stream is declared to end, where the container says so of each stream.
    pub fn declared_end(&self, stream: &Stream) -> Option<Duration> {
        if let Some(index) = &self.index {
            // Tracks and streams belong together by their order, unless the demuxer left one out.
            let alike = self.streams.iter().filter(|other| other.place.0 == stream.place.0);
            let before = alike.clone().filter(|other| other.place < stream.place);
            let ends = index.ends(match stream.place.0 {
                place::VIDEO => *b"vide",
                place::AUDIO => *b"soun",
                _ => return None,
            });
            return ends
                .get(before.count())
                .copied()
                .filter(|_| alike.count() == ends.len());
        }
        if let Some(survey) = &self.flash {
            return survey.end(stream.place.0 == place::VIDEO);
        }
        if let Some(end) = describe::declared_end(&stream.tags) {
            // Tags outlive a cut.
            return Some(self.duration().map_or(end, |all| end.min(all)));
        }
        let each = self.container.structure(0)?.name() == "video/x-msvideo";
        each.then(|| stream.pad.query_duration::<gst::ClockTime>())?
            .map(Duration::from)
    }

    /// Streams without an index are entered by guessing from the bit rate, and GStreamer counts their time from
    /// there: the frames would carry times that are up to a second off.
    pub fn has_index(&self) -> bool {
        let name = self.container.structure(0).map(|caps| caps.name().as_str());
        !matches!(name, Some("video/mpegts" | "video/mpeg"))
    }

    /// Each stream has an index of its own, as in MP4.
    pub fn is_indexed_by_track(&self) -> bool {
        self.index.is_some()
    }

    /// How much later than it is shown a picture may come.
    pub fn slack(&self) -> Duration {
        let by_order = self.streams.iter().any(|stream| stream.by_order);
        if by_order { vops::AHEAD } else { Duration::ZERO }
    }

    /// Goes to this place, to read up to another one or to the end, and forgets what is on its way; answers whether the medium
    /// can. Streams that are still stopped stay so.
    pub fn jump(&self, to: Duration, until: Option<Duration>, flags: gst::SeekFlags) -> bool {
        let time = |at: Duration| gst::ClockTime::try_from(at).ok();
        let around = self.slack();
        // Pictures are looked for by when they come. Who lands at a key frame sees what it got, and copies would begin too early.
        let to = if flags.intersects(gst::SeekFlags::ACCURATE | gst::SeekFlags::TRICKMODE) {
            to.saturating_sub(around)
        } else {
            to
        };
        let until = until.map(|until| until.saturating_add(around));
        let (Some(start), Some(stream)) = (time(to), self.streams.first()) else {
            return false;
        };
        let seek = gst::event::Seek::new(
            1.0,
            flags | gst::SeekFlags::FLUSH,
            gst::SeekType::Set,
            start,
            gst::SeekType::Set,
            until.and_then(time),
        );
        stream.pad.send_event(seek)
    }

    /// Whether it can be read from any point.
    pub fn seekable(&self) -> bool {
        let mut query = gst::query::Seeking::new(gst::Format::Time);
        self.streams
            .first()
            .is_some_and(|stream| stream.pad.query(&mut query) && query.result().0)
    }
}

/// A sink that takes everything and waits for nothing.
pub fn drain() -> Result<gst::Element, Failure> {
    let sink = element("fakesink")?;
    sink.set_property("sync", false);
    sink.set_property("async", false);
    sink.set_property("enable-last-sample", false);
    Ok(sink)
}

/// Links a pad to an element's `sink` pad.
pub fn link(pad: &gst::Pad, to: &gst::Element) -> Result<(), Failure> {
    let sink = to
        .static_pad("sink")
        .ok_or_else(|| internal("an element without a sink pad"))?;
    pad.link(&sink)
        .map(drop)
        .map_err(|error| internal(format!("{} cannot be linked to {}: {error}", pad.name(), to.name())))
}

fn media_type(typefind: &gst::glib::WeakRef<gst::Element>) -> String {
    let found = typefind
        .upgrade()
        .and_then(|typefind| typefind.property::<Option<gst::Caps>>("caps"));
    let kind = found.as_ref().and_then(|caps| caps.structure(0));
    kind.map_or_else(String::new, |kind| kind.name().to_string())
}

/// What comes out of a pad, as it says itself.
fn told(pad: &gst::Pad) -> gst::Caps {
    pad.current_caps().unwrap_or_else(|| pad.query_caps(None))
}

fn take(multiqueue: &gst::Element, pad: &gst::Pad, caps: gst::Caps, container: &str, pace: &Pace) -> Option<Stream> {
    let entry = multiqueue.request_pad_simple("sink_%u")?;
    let by_order = container == vops::CONTAINER && is_mpeg4(&caps);
    match container {
        "video/x-matroska" | "audio/x-matroska" | "video/webm" | "audio/webm" => beginning::level(&entry),
        "video/mpegts" | "video/mpeg" => beginning::rebase(&entry),
        _ if by_order => vops::time(&entry),
        _ => {}
    }
    let exit = multiqueue.static_pad(&entry.name().replace("sink", "src"))?;
    let arrived = Arc::new(AtomicBool::new(false));
    let told = arrived.clone();
    let block = exit.add_probe(
        gst::PadProbeType::BLOCK | gst::PadProbeType::DATA_DOWNSTREAM,
        move |_, info| {
            if let Some(gst::PadProbeData::Event(event)) = &info.data
                && !matches!(event.type_(), gst::EventType::Eos | gst::EventType::Gap)
            {
                return gst::PadProbeReturn::Pass;
            }
            told.store(true, Ordering::SeqCst);
            gst::PadProbeReturn::Ok
        },
    );
    let name = caps.structure(0).map_or("", |fields| fields.name().as_str());
    pace.watch(&entry, !name.starts_with("video/") && !name.starts_with("audio/"));
    pad.link(&entry).ok()?;
    Some(Stream {
        pad: exit,
        caps,
        place: place::of(pad),
        by_order,
        tags: gst::TagList::new(),
        block,
        arrived,
    })
}

fn is_mpeg4(caps: &gst::Caps) -> bool {
    caps.structure(0).is_some_and(|fields| match fields.name().as_str() {
        "video/mpeg" => fields.get::<i32>("mpegversion") == Ok(4),
        name => name == "video/x-divx" && fields.get::<i32>("divxversion").is_ok_and(|version| version > 3),
    })
}

fn discard(home: &gst::glib::WeakRef<gst::Pipeline>, pad: &gst::Pad) {
    let (Some(pipeline), Ok(sink)) = (home.upgrade(), drain()) else {
        return;
    };
    if pipeline.add(&sink).is_ok() {
        let _ = sink.sync_state_with_parent();
        let _ = link(pad, &sink);
    }
}

fn note(into: &mut gst::TagList, tags: &gst::TagList) {
    if tags.scope() == gst::TagScope::Global {
        *into = into.merge(tags, gst::TagMergeMode::Keep);
    }
}
