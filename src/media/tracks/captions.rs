//! The element that brings subtitles into the form of the result, and into the part of the medium that is wanted.
//!
//! Subtitles are sparse, and a muxer waits for every stream: that nothing is said up to some time is passed on just like what
//! is said.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gst::glib;
use gst::subclass::prelude::*;

use crate::plan::{Lines, Span};

glib::wrapper! {
    /// Subtitles in, subtitles of another form out.
    pub struct Captions(ObjectSubclass<imp::Captions>) @extends gst::Element, gst::Object;
}

/// Pictures of Blu-rays.
pub const PGS: &str = "subpicture/x-pgs";
/// Pictures of DVDs.
const DVD: &str = "subpicture/x-dvd";

/// What a stream of subtitles tells of itself.
#[derive(Debug, Default)]
pub struct Told {
    lines: AtomicU64,
}

impl Told {
    /// Lines that were written.
    pub fn lines(&self) -> u64 {
        self.lines.load(Ordering::SeqCst)
    }
}

impl Captions {
    /// Of this part of the medium, in this form, so much later. Beside streams that are copied the part begins where those do.
    pub fn new(lines: Lines, span: Span, copies: bool, later: Duration) -> Self {
        let element: Self = glib::Object::new();
        let mut state = element.imp().lock();
        state.lines = Some(lines);
        state.span = span;
        state.copies = copies;
        state.later = later;
        drop(state);
        element
    }

    /// What it tells of itself, to be asked when all is done.
    pub fn told(&self) -> Arc<Told> {
        self.imp().lock().told.clone()
    }
}

mod imp {
    use std::sync::{LazyLock, MutexGuard};

    use gst::prelude::*;

    use crate::media::own;

    use super::super::sweep::{Line, Sweep};
    use super::super::text::{self, Source};
    use super::super::{blank, foreign};
    use super::{
        Arc, DVD, Duration, ElementImpl, ElementImplExt, GstObjectImpl, Lines, Mutex, ObjectImpl, ObjectImplExt,
        ObjectSubclass, ObjectSubclassExt, Ordering, PGS, PoisonError, Span, Told, glib,
    };

    /// How long a line is shown of which nobody says.
    const USUAL: gst::ClockTime = gst::ClockTime::from_seconds(3);
    /// A line that is there for longer is so until the next.
    const EVER: gst::ClockTime = gst::ClockTime::from_seconds(86_400);
    /// How long nothing is shown at least, where that is said.
    const BLANK: Duration = Duration::from_millis(1);
    /// The muxer leaves out styles that take more bytes than this.
    const MOST_STYLES: usize = 2048;
    /// A line is not longer, in bytes.
    const LONGEST: usize = 64 << 10;

    #[derive(Default)]
    pub struct State {
        pub(super) lines: Option<Lines>,
        pub(super) span: Span,
        pub(super) copies: bool,
        pub(super) later: Duration,
        pub(super) told: Arc<Told>,
        source: Option<Source>,
        segment: gst::FormattedSegment<gst::ClockTime>,
        sweep: Sweep,
        begun: bool,
        /// What takes the picture of a Blu-ray off the screen; empty while there is none.
        clear: Option<Vec<u8>>,
        /// The part is over.
        over: bool,
    }

    pub struct Captions {
        entry: gst::Pad,
        exit: gst::Pad,
        state: Mutex<State>,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for Captions {
        const NAME: &'static str = "ReelmillCaptions";
        type Type = super::Captions;
        type ParentType = gst::Element;

        fn with_class(class: &Self::Class) -> Self {
            let template = |name| {
                class
                    .pad_template(name)
                    .unwrap_or_else(|| unreachable!("declared below"))
            };
            let entry = gst::Pad::builder_from_template(&template("sink"))
                .chain_function(|_, parent, buffer| {
                    Self::catch_panic_pad_function(parent, || Err(gst::FlowError::Error), |this| this.take(&buffer))
                })
                .event_function(|pad, parent, event| {
                    Self::catch_panic_pad_function(parent, || false, |this| this.hear(pad, event))
                })
                .build();
            let exit = gst::Pad::builder_from_template(&template("src")).build();
            Self {
                entry,
                exit,
                state: Mutex::default(),
            }
        }
    }

    impl ObjectImpl for Captions {
        fn constructed(&self) {
            self.parent_constructed();
            let element = self.obj();
            let _ = element.add_pad(&self.entry);
            let _ = element.add_pad(&self.exit);
        }
    }

    impl GstObjectImpl for Captions {}

    impl ElementImpl for Captions {
        fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
            static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
                own::about(
                    "Reelmill captions",
                    "Filter/Subtitle",
                    "Brings subtitles into another form",
                )
            });
            Some(&METADATA)
        }

        fn pad_templates() -> &'static [gst::PadTemplate] {
            static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
                let any = gst::Caps::new_any();
                own::pads(&any, &any)
            });
            TEMPLATES.as_ref()
        }
    }

    impl Captions {
        pub(super) fn lock(&self) -> MutexGuard<'_, State> {
            self.state.lock().unwrap_or_else(PoisonError::into_inner)
        }

        fn take(&self, buffer: &gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
            let mut state = self.lock();
            if state.is_over(buffer.pts()) {
                self.end(state);
            } else {
                let ready = state.take(buffer);
                drop(state);
                self.pass(ready)?;
            }
            Ok(gst::FlowSuccess::Ok)
        }

        fn pass(&self, ready: Vec<gst::Buffer>) -> Result<gst::FlowSuccess, gst::FlowError> {
            for buffer in ready {
                self.exit.push(buffer)?;
            }
            Ok(gst::FlowSuccess::Ok)
        }

        /// The part is over: what is still seen is passed on, and then nothing more, however often that is said.
        fn end(&self, mut state: MutexGuard<'_, State>) -> bool {
            if std::mem::replace(&mut state.over, true) {
                return true;
            }
            let ready = state.rest();
            drop(state);
            let _ = self.pass(ready);
            self.exit.push_event(gst::event::Eos::new())
        }

        /// Nothing is said from one time of the result to another.
        fn pause(&self, mut state: MutexGuard<'_, State>, from: Duration, to: Duration) -> bool {
            // The muxer of MP4 takes one pause after the other before it takes anything else; so they are samples, too.
            if state.lines == Some(Lines::Plain) {
                let ready = state.sweep.fill(to);
                let ready = state.buffers(ready);
                drop(state);
                return self.pass(ready).is_ok();
            }
            drop(state);
            let length = to.saturating_sub(from);
            let gap = gst::event::Gap::builder(clock(from)).duration(clock(length)).build();
            self.exit.push_event(gap)
        }

        fn hear(&self, pad: &gst::Pad, event: gst::Event) -> bool {
            use gst::EventView;
            let mut state = self.lock();
            match event.view() {
                // A pad that has seen its end takes nothing more.
                _ if state.over && event.is_downstream() => true,
                EventView::Caps(caps) => {
                    let caps = state.set_up(caps.caps());
                    drop(state);
                    self.exit.push_event(gst::event::Caps::new(&caps))
                }
                EventView::Segment(segment) => {
                    if let Some(segment) = segment.segment().downcast_ref::<gst::ClockTime>() {
                        state.segment = segment.clone();
                    }
                    let later = state.later;
                    drop(state);
                    // Times are those of the result from here on.
                    let own = gst::FormattedSegment::<gst::ClockTime>::new();
                    let own = gst::event::Segment::builder(&own).seqnum(event.seqnum()).build();
                    self.exit.push_event(own) && (later.is_zero() || self.pause(self.lock(), Duration::ZERO, later))
                }
                EventView::Gap(gap) => {
                    let (start, length) = gap.get();
                    if state.is_over(Some(start)) {
                        return self.end(state);
                    }
                    let end = length.and_then(|length| start.checked_add(length)).unwrap_or(start);
                    let Some((from, to)) = state.place(start, end) else {
                        return true;
                    };
                    self.pause(state, from, to)
                }
                // Colours of pictures: they are in the description, and the muxer would take these for others.
                EventView::CustomDownstreamSticky(_) => true,
                EventView::Eos(_) => {
                    let ready = state.rest();
                    drop(state);
                    let _ = self.pass(ready);
                    self.exit.push_event(event)
                }
                _ => {
                    drop(state);
                    gst::Pad::event_default(pad, Some(&*self.obj()), event)
                }
            }
        }
    }

    impl State {
        /// Answers the caps of what will come out.
        fn set_up(&mut self, caps: &gst::CapsRef) -> gst::Caps {
            let fields = caps.structure(0);
            let format = fields.and_then(|fields| fields.get::<&str>("format").ok());
            self.source = fields.map(|fields| match fields.name().as_str() {
                "application/x-ass" | "application/x-ssa" => Source::Styled,
                "text/x-raw" if format != Some("pango-markup") => Source::Plain,
                _ => Source::Markup,
            });
            self.clear = fields.filter(|fields| fields.name() == PGS).map(|_| Vec::new());
            match self.lines {
                Some(Lines::Kept) => fields.and_then(kept).unwrap_or_else(|| caps.to_owned()),
                Some(Lines::Vtt) => foreign::caps(foreign::WEBVTT, &[]),
                _ => gst::Caps::builder("text/x-raw").field("format", "utf8").build(),
            }
        }

        /// Whether this time lies behind the part; once it is, it stays so.
        fn is_over(&self, time: Option<gst::ClockTime>) -> bool {
            let at = time.and_then(|time| self.segment.to_stream_time(time));
            let past = at.zip(self.span.end).is_some_and(|(at, end)| Duration::from(at) >= end);
            self.over || past
        }

        /// From when to when something is in the result; none where it is over before that begins.
        fn place(&self, start: gst::ClockTime, end: gst::ClockTime) -> Option<(Duration, Duration)> {
            let at = |time: gst::ClockTime| {
                let (time, origin) = if self.copies {
                    (self.segment.to_running_time_full(time)?, Duration::ZERO)
                } else {
                    (self.segment.to_stream_time_full(time)?, self.span.start)
                };
                match time {
                    gst::Signed::Positive(time) => Some(Duration::from(time).checked_sub(origin)),
                    gst::Signed::Negative(_) => Some(None),
                }
            };
            let whole = self.span.end.filter(|_| !self.copies);
            let last = whole.map_or(Duration::MAX, |end| end.saturating_sub(self.span.start));
            let (start, end) = (at(start)?.unwrap_or_default(), at(end)??);
            Some((start + self.later, end.min(last) + self.later))
        }

        fn take(&mut self, buffer: &gst::Buffer) -> Vec<gst::Buffer> {
            let Some((source, lines, pts)) = self
                .source
                .zip(self.lines)
                .zip(buffer.pts())
                .map(|((source, lines), pts)| (source, lines, pts))
            else {
                return Vec::new();
            };
            let own = buffer.duration().filter(|length| !length.is_zero());
            let Some((start, end)) = self
                .place(pts, pts.saturating_add(own.unwrap_or(USUAL)))
                .filter(|(start, end)| end > start)
            else {
                return Vec::new();
            };
            if lines == Lines::Kept {
                self.told.lines.fetch_add(1, Ordering::SeqCst);
                let mut line = timed(buffer.copy(), start, end);
                // Pictures may be shown until others take their place, and be said to be there for ever, or for no time.
                let is_picture = !matches!(source, Source::Styled);
                let told = if is_picture { own } else { buffer.duration() };
                if told.is_none_or(|length| length > EVER) {
                    line.make_mut().set_duration(None);
                }
                if let (Some(clear), Ok(bytes)) = (&mut self.clear, buffer.map_readable()) {
                    *clear = blank::after(&bytes).unwrap_or_default();
                }
                return vec![line];
            }
            let Ok(map) = buffer.map_readable() else {
                return Vec::new();
            };
            let bytes = map.as_slice();
            let said = String::from_utf8_lossy(&bytes[..bytes.len().min(LONGEST)]);
            let Some(text) = text::line(&said, source, lines) else {
                return Vec::new();
            };
            let line = Line { start, end, text };
            let ready = if lines == Lines::Plain {
                self.sweep.push(line)
            } else {
                vec![line]
            };
            self.buffers(ready)
        }

        /// What is still to be passed on at the end; of a part that ends before the medium, nothing is seen after it.
        fn rest(&mut self) -> Vec<gst::Buffer> {
            let ready = self.sweep.until(Duration::MAX);
            let mut ready = self.buffers(ready);
            let end = self.span.end.filter(|_| !self.copies);
            if let Some((clear, end)) = self.clear.take().filter(|clear| !clear.is_empty()).zip(end) {
                let at = end.saturating_sub(self.span.start) + self.later;
                let mut clear = timed(gst::Buffer::from_mut_slice(clear), at, at);
                clear.make_mut().set_duration(None);
                ready.push(clear);
            }
            ready
        }

        /// Nothing, at the very beginning: where that is missing, players end the track as much too early as it begins late.
        fn begin(&mut self, first: Duration) -> Option<gst::Buffer> {
            let begins = self.lines == Some(Lines::Plain) && !std::mem::replace(&mut self.begun, true);
            (begins && !first.is_zero()).then(|| timed(gst::Buffer::new(), Duration::ZERO, first.min(BLANK)))
        }

        fn buffers(&mut self, lines: Vec<Line>) -> Vec<gst::Buffer> {
            let first = lines.first().map(|line| line.start);
            let begin = first.and_then(|first| self.begin(first));
            let buffers = lines.into_iter().map(|line| {
                let says = u64::from(!line.text.is_empty());
                self.told.lines.fetch_add(says, Ordering::SeqCst);
                let text = if self.lines == Some(Lines::Vtt) {
                    // No identifier, no settings, the text.
                    format!("\n\n{}", line.text)
                } else {
                    line.text
                };
                timed(gst::Buffer::from_slice(text.into_bytes()), line.start, line.end)
            });
            begin.into_iter().chain(buffers).collect()
        }
    }

    /// What the muxer is told of subtitles that it does not know, or whose styles it would leave out.
    fn kept(fields: &gst::StructureRef) -> Option<gst::Caps> {
        let told = fields.get::<gst::Buffer>("codec_data").ok();
        let is_long = told.as_ref().is_some_and(|told| told.size() > MOST_STYLES);
        let codec = match fields.name().as_str() {
            "application/x-ass" if is_long => "S_TEXT/ASS",
            "application/x-ssa" if is_long => "S_TEXT/SSA",
            PGS => "S_HDMV/PGS",
            DVD => "S_VOBSUB",
            _ => return None,
        };
        let told = told.as_ref().and_then(|told| told.map_readable().ok());
        Some(foreign::caps(codec, told.as_deref().unwrap_or_default()))
    }

    fn timed(mut buffer: gst::Buffer, start: Duration, end: Duration) -> gst::Buffer {
        let about = buffer.make_mut();
        about.set_pts(clock(start));
        about.set_dts(gst::ClockTime::NONE);
        about.set_duration(clock(end.saturating_sub(start)));
        buffer
    }

    fn clock(time: Duration) -> gst::ClockTime {
        gst::ClockTime::try_from(time).unwrap_or(gst::ClockTime::MAX)
    }
}
