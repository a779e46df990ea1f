//! The element that reads FLV: a source with a pad for the film and one for the sound.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;

use super::Survey;
use super::tags::Sort;
use super::way::{Next, Packet, Way};
use crate::media::source::Input;

/// Streams that have passed the end of a segment by so much are not waited for.
const PAST: i64 = 2_000;

/// One stream on its way out.
struct Exit {
    sort: Sort,
    pad: gst::Pad,
    caps: gst::Caps,
    /// The place of its last packet.
    last: Option<u64>,
    over: bool,
}

/// What the thread that reads works with.
struct Work {
    way: Way,
    exits: Vec<Exit>,
    segment: gst::FormattedSegment<gst::ClockTime>,
    seqnum: gst::Seqnum,
    group: gst::GroupId,
    /// Nothing was said of the segment yet.
    fresh: bool,
    told_damage: bool,
}

fn clock(millis: i64) -> gst::ClockTime {
    let time = Duration::from_millis(u64::try_from(millis).unwrap_or(0));
    gst::ClockTime::try_from(time).unwrap_or(gst::ClockTime::MAX)
}

fn millis(time: gst::ClockTime) -> i64 {
    i64::try_from(time.mseconds()).unwrap_or(i64::MAX)
}

mod imp {
    use super::{
        Arc, Exit, Input, Mutex, Next, PAST, Packet, PoisonError, Sort, Survey, Way, Work, clock, glib, millis,
    };
    use gst::prelude::*;
    use gst::subclass::prelude::*;
    use std::sync::LazyLock;

    use crate::media::own;

    #[derive(Default)]
    pub struct FlvReader {
        pub(super) survey: Mutex<Option<Arc<Survey>>>,
        pub(super) work: Mutex<Option<Work>>,
        task: Mutex<Option<gst::Task>>,
        lock: gst::TaskLock,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for FlvReader {
        const NAME: &'static str = "ReelmillFlvReader";
        type Type = super::FlvReader;
        type ParentType = gst::Element;
    }

    impl ObjectImpl for FlvReader {
        fn constructed(&self) {
            self.parent_constructed();
            self.obj().set_element_flags(gst::ElementFlags::SOURCE);
        }
    }

    impl GstObjectImpl for FlvReader {}

    impl ElementImpl for FlvReader {
        fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
            static METADATA: LazyLock<gst::subclass::ElementMetadata> =
                LazyLock::new(|| own::about("Reelmill FLV", "Source/Demuxer", "Reads the streams of an FLV file"));
            Some(&METADATA)
        }

        fn change_state(&self, transition: gst::StateChange) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
            let done = self.parent_change_state(transition)?;
            match transition {
                gst::StateChange::ReadyToPaused => {
                    let weak = self.obj().downgrade();
                    let task = gst::Task::builder(move |task| {
                        let Some(element) = weak.upgrade() else {
                            let _ = task.pause();
                            return;
                        };
                        if !element.imp().step() {
                            element.imp().rest();
                        }
                    })
                    .lock(&self.lock)
                    .build();
                    *self.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(task.clone());
                    task.start().map_err(|_| gst::StateChangeError)?;
                }
                gst::StateChange::PausedToReady => {
                    // The pads are closed by now, so that it does not hang anywhere.
                    let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
                    let stopped = task.take();
                    if let Some(task) = &stopped {
                        let _ = task.stop();
                    }
                    drop(task);
                    if let Some(task) = stopped {
                        let _ = task.join();
                    }
                }
                _ => {}
            }
            Ok(done)
        }
    }

    impl FlvReader {
        fn survey(&self) -> Option<Arc<Survey>> {
            self.survey.lock().unwrap_or_else(PoisonError::into_inner).clone()
        }

        /// Reads no more for now. Who was stopped meanwhile would never end if it were only resting.
        fn rest(&self) {
            let task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(task) = task.as_ref() {
                let _ = task.pause();
            }
        }

        /// Reads one packet and passes it on; answers whether more can come.
        fn step(&self) -> bool {
            let mut work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(work) = work.as_mut() else {
                return false;
            };
            if std::mem::take(&mut work.fresh) {
                work.open();
                work.close_passed();
            }
            let next = match work.way.next() {
                Ok(next) => next,
                Err(error) => {
                    gst::element_imp_error!(self, gst::ResourceError::Read, ["the input cannot be read: {error}"]);
                    work.finish();
                    return false;
                }
            };
            if work.way.is_damaged && !std::mem::replace(&mut work.told_damage, true) {
                gst::element_imp_warning!(
                    self,
                    gst::StreamError::Demux,
                    ["bytes between packets are damaged and were passed over"]
                );
            }
            match next {
                None => {
                    work.finish();
                    false
                }
                Some(Next::Setup(sort, setup)) => {
                    work.set_up(sort, setup);
                    true
                }
                Some(Next::Packet(packet)) => match work.pass(packet) {
                    Ok(()) => work.exits.iter().any(|exit| !exit.over),
                    Err(gst::FlowError::Flushing) => false,
                    Err(flow) => {
                        gst::element_imp_error!(self, gst::StreamError::Failed, ["a stream cannot go on: {flow}"]);
                        work.finish();
                        false
                    }
                },
            }
        }

        pub(super) fn query(&self, query: &mut gst::QueryRef) -> Option<bool> {
            let length = self.survey()?.duration();
            let length = length.and_then(|length| gst::ClockTime::try_from(length).ok());
            match query.view_mut() {
                gst::QueryViewMut::Duration(duration) if duration.format() == gst::Format::Time => {
                    duration.set(length?);
                    Some(true)
                }
                gst::QueryViewMut::Seeking(seeking) if seeking.format() == gst::Format::Time => {
                    seeking.set(true, gst::ClockTime::ZERO, length);
                    Some(true)
                }
                _ => None,
            }
        }

        pub(super) fn seek(&self, event: &gst::Event) -> bool {
            let gst::EventView::Seek(seek) = event.view() else {
                return false;
            };
            let (rate, flags, _, start, _, stop) = seek.get();
            let (gst::GenericFormattedValue::Time(start), gst::GenericFormattedValue::Time(stop)) = (start, stop)
            else {
                return false;
            };
            let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let (Some(task), Some(survey), true) =
                (task, self.survey(), flags.contains(gst::SeekFlags::FLUSH) && rate > 0.0)
            else {
                return false;
            };
            let pads = self.obj().src_pads();
            for pad in &pads {
                pad.push_event(gst::event::FlushStart::builder().seqnum(event.seqnum()).build());
            }
            let _ = task.pause();
            let reading = self.lock.lock();
            let landed = self
                .work
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .as_mut()
                .map(|work| work.go(&survey, (start.unwrap_or_default(), stop), flags, event.seqnum()));
            for pad in &pads {
                pad.push_event(gst::event::FlushStop::builder(true).seqnum(event.seqnum()).build());
            }
            let goes_on = matches!(landed, Some(Ok(()))) && task.start().is_ok();
            drop(reading);
            if let Some(Err(error)) = &landed {
                gst::element_imp_error!(self, gst::ResourceError::Read, ["the input cannot be read: {error}"]);
            }
            goes_on
        }
    }

    impl Work {
        pub(super) fn new(input: Arc<Input>, survey: &Arc<Survey>, exits: Vec<Exit>) -> Self {
            let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
            segment.set_start(clock(survey.zero));
            segment.set_position(clock(survey.zero));
            segment.set_time(gst::ClockTime::ZERO);
            Self {
                way: Way::new(input, survey.clone()),
                exits,
                segment,
                seqnum: gst::Seqnum::next(),
                group: gst::GroupId::next(),
                fresh: true,
                told_damage: false,
            }
        }

        /// Says on every pad what will come. One stream may have nothing to say for long, and those behind it want to know what it is.
        fn open(&mut self) {
            for exit in &mut self.exits {
                let name = exit.pad.name();
                let stream = gst::event::StreamStart::builder(&name).group_id(self.group);
                exit.over = false;
                exit.pad.push_event(stream.seqnum(self.seqnum).build());
                exit.pad.push_event(gst::event::Caps::new(&exit.caps));
                let segment = gst::event::Segment::builder(&self.segment).seqnum(self.seqnum);
                exit.pad.push_event(segment.build());
            }
        }

        /// Says of streams whose last packet was passed that they are over, since somebody may wait for them.
        fn close_passed(&mut self) {
            let from = self.way.place();
            for exit in &mut self.exits {
                if exit.last.is_some_and(|last| last < from) {
                    exit.close(self.seqnum);
                }
            }
        }

        fn set_up(&mut self, sort: Sort, setup: gst::Buffer) {
            let Some(exit) = self.exits.iter_mut().find(|exit| exit.sort == sort) else {
                return;
            };
            let mut caps = exit.caps.clone();
            let known = caps
                .structure(0)
                .and_then(|fields| fields.get::<gst::Buffer>("codec_data").ok());
            let same = known.is_some_and(|known| match (known.map_readable(), setup.map_readable()) {
                (Ok(known), Ok(setup)) => known.as_slice() == setup.as_slice(),
                _ => false,
            });
            if !same {
                caps.make_mut().set("codec_data", setup);
                exit.pad.push_event(gst::event::Caps::new(&caps));
                exit.caps = caps;
            }
        }

        fn pass(&mut self, packet: Packet) -> Result<(), gst::FlowError> {
            let stop = self.segment.stop().map(millis);
            let time = packet.time;
            if stop.is_some_and(|stop| time > stop.saturating_add(PAST)) {
                self.finish();
                return Ok(());
            }
            let Some(exit) = self.exits.iter_mut().find(|exit| exit.sort == packet.sort) else {
                return Ok(());
            };
            if exit.over {
                return Ok(());
            }
            if stop.is_some_and(|stop| time > stop) {
                exit.close(self.seqnum);
                return Ok(());
            }
            match exit.pad.push(packet.into_buffer()) {
                Ok(_) => {}
                Err(gst::FlowError::Eos | gst::FlowError::NotLinked) => exit.over = true,
                Err(flow) => return Err(flow),
            }
            self.close_passed();
            Ok(())
        }

        fn finish(&mut self) {
            for exit in &mut self.exits {
                exit.close(self.seqnum);
            }
        }

        fn go(
            &mut self,
            survey: &Survey,
            (start, stop): (gst::ClockTime, Option<gst::ClockTime>),
            flags: gst::SeekFlags,
            seqnum: gst::Seqnum,
        ) -> std::io::Result<()> {
            let to = millis(start).saturating_add(survey.zero);
            let exact = flags.contains(gst::SeekFlags::ACCURATE) || !flags.contains(gst::SeekFlags::KEY_UNIT);
            let after =
                flags.contains(gst::SeekFlags::SNAP_AFTER) && !flags.contains(gst::SeekFlags::SNAP_BEFORE) && !exact;
            let landed = self.way.go(to, after)?;
            // To the nanosecond where nothing moved it.
            let asked = start + clock(survey.zero);
            let begin = match landed {
                Some(shown) if !exact => clock(shown),
                _ => asked,
            };
            self.way.leave_out_before(millis(begin));
            // Decoders that were set up anew on the way here are set up as at the beginning.
            for exit in &mut self.exits {
                let lane = if exit.sort == Sort::Film {
                    &survey.film
                } else {
                    &survey.sound
                };
                exit.caps = lane
                    .as_ref()
                    .map_or_else(gst::Caps::new_empty, |lane| lane.caps.clone());
            }
            let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
            segment.set_flags(gst::SegmentFlags::from_bits_truncate(flags.bits()));
            segment.set_start(begin);
            segment.set_position(begin);
            segment.set_time(begin.saturating_sub(clock(survey.zero)));
            segment.set_stop(stop.map(|stop| stop + clock(survey.zero)));
            (self.segment, self.seqnum, self.fresh) = (segment, seqnum, true);
            Ok(())
        }
    }

    impl Exit {
        fn close(&mut self, seqnum: gst::Seqnum) {
            if !std::mem::replace(&mut self.over, true) {
                self.pad.push_event(gst::event::Eos::builder().seqnum(seqnum).build());
            }
        }
    }

    impl Packet {
        fn into_buffer(self) -> gst::Buffer {
            let mut buffer = gst::Buffer::from_mut_slice(self.bytes);
            if let Some(about) = buffer.get_mut() {
                about.set_pts(clock(self.shown));
                about.set_dts(clock(self.time));
                if !self.is_key {
                    about.set_flags(gst::BufferFlags::DELTA_UNIT);
                }
                if self.is_first {
                    about.set_flags(gst::BufferFlags::DISCONT);
                }
            }
            buffer
        }
    }
}

glib::wrapper! {
    /// The element.
    pub struct FlvReader(ObjectSubclass<imp::FlvReader>)
        @extends gst::Element, gst::Object;
}

impl FlvReader {
    /// An element that reads this file, which was surveyed; its pads are there from the beginning.
    pub fn over(input: &Arc<Input>, survey: &Arc<Survey>) -> Self {
        let element: Self = glib::Object::new();
        let lanes = [
            (Sort::Film, "video_0", &survey.film),
            (Sort::Sound, "audio_0", &survey.sound),
        ];
        let mut exits = Vec::new();
        for (sort, name, lane) in lanes {
            let Some(lane) = lane else { continue };
            let pad = gst::Pad::builder(gst::PadDirection::Src)
                .name(name)
                .event_function(|pad, parent, event| match event.type_() {
                    gst::EventType::Seek => parent
                        .and_then(|parent| parent.downcast_ref::<Self>())
                        .is_some_and(|element| element.imp().seek(&event)),
                    _ => gst::Pad::event_default(pad, parent, event),
                })
                .query_function(|pad, parent, query| {
                    let element = parent.and_then(|parent| parent.downcast_ref::<Self>());
                    element
                        .and_then(|element| element.imp().query(query))
                        .unwrap_or_else(|| gst::Pad::query_default(pad, parent, query))
                })
                .build();
            if element.add_pad(&pad).is_err() {
                continue;
            }
            exits.push(Exit {
                sort,
                pad,
                caps: lane.caps.clone(),
                last: lane.last.map(|(at, _)| at),
                over: false,
            });
        }
        let imp = element.imp();
        *imp.survey.lock().unwrap_or_else(PoisonError::into_inner) = Some(survey.clone());
        *imp.work.lock().unwrap_or_else(PoisonError::into_inner) = Some(Work::new(input.clone(), survey, exits));
        element
    }
}
