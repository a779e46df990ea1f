//! The element that mixes sound into the channels of the result and keeps it below its ceiling.
//!
//! Buffers come out as they came in, of the same times, a moment later: what is ahead must be known first.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use gst::glib;
use gst::subclass::prelude::*;

use super::limit::Limiter;
use super::mix::{self, Mix};

glib::wrapper! {
    /// Mixes, turns up and limits.
    pub struct Leveller(ObjectSubclass<imp::Leveller>) @extends gst::Element, gst::Object;
}

impl Leveller {
    /// To so many channels, with this gain and this ceiling in dB.
    pub fn new(channels: u32, gain: f32, ceiling: f32) -> Self {
        let element: Self = glib::Object::new();
        let mut state = element.imp().lock();
        state.channels = channels;
        state.gain = gain;
        state.ceiling = ceiling;
        drop(state);
        element
    }
}

mod imp {
    use std::sync::{LazyLock, MutexGuard};

    use gst::prelude::*;

    use crate::media::own;

    use super::{
        ElementImpl, ElementImplExt, GstObjectImpl, Limiter, Mix, Mutex, ObjectImpl, ObjectImplExt, ObjectSubclass,
        ObjectSubclassExt, PoisonError, VecDeque, glib, mix,
    };

    #[derive(Default)]
    pub struct State {
        pub(super) channels: u32,
        pub(super) gain: f32,
        pub(super) ceiling: f32,
        work: Option<(Mix, Limiter)>,
        /// Buffers that came in and did not go out, without their samples, and how many frames each had.
        waiting: VecDeque<(gst::Buffer, usize)>,
        mixed: Vec<f32>,
        ready: Vec<f32>,
    }

    pub struct Leveller {
        entry: gst::Pad,
        exit: gst::Pad,
        state: Mutex<State>,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for Leveller {
        const NAME: &'static str = "ReelmillLeveller";
        type Type = super::Leveller;
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

    impl ObjectImpl for Leveller {
        fn constructed(&self) {
            self.parent_constructed();
            let element = self.obj();
            let _ = element.add_pad(&self.entry);
            let _ = element.add_pad(&self.exit);
        }
    }

    impl GstObjectImpl for Leveller {}

    impl ElementImpl for Leveller {
        fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
            static METADATA: LazyLock<gst::subclass::ElementMetadata> =
                LazyLock::new(|| own::about("Reelmill leveller", "Filter/Audio", "Mixes and limits"));
            Some(&METADATA)
        }

        fn pad_templates() -> &'static [gst::PadTemplate] {
            static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
                let caps = super::super::samples().build();
                own::pads(&caps, &caps)
            });
            TEMPLATES.as_ref()
        }
    }

    impl Leveller {
        pub(super) fn lock(&self) -> MutexGuard<'_, State> {
            self.state.lock().unwrap_or_else(PoisonError::into_inner)
        }

        fn take(&self, buffer: &gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
            let ready = self.lock().take(buffer).ok_or(gst::FlowError::NotNegotiated)?;
            self.pass(ready)
        }

        fn pass(&self, ready: Vec<gst::Buffer>) -> Result<gst::FlowSuccess, gst::FlowError> {
            for buffer in ready {
                self.exit.push(buffer)?;
            }
            Ok(gst::FlowSuccess::Ok)
        }

        fn hear(&self, pad: &gst::Pad, event: gst::Event) -> bool {
            use gst::EventView;
            // What comes after the sound so far must not overtake it.
            if event.is_serialized() && !matches!(event.view(), EventView::Tag(_) | EventView::FlushStop(_)) {
                let rest = self.lock().drain();
                let _ = self.pass(rest);
            }
            match event.view() {
                EventView::Caps(caps) => match self.lock().set_up(caps.caps()) {
                    Some(caps) => self.exit.push_event(gst::event::Caps::new(&caps)),
                    None => false,
                },
                EventView::FlushStop(_) => {
                    let mut state = self.lock();
                    state.waiting.clear();
                    state.drain();
                    drop(state);
                    gst::Pad::event_default(pad, Some(&*self.obj()), event)
                }
                _ => gst::Pad::event_default(pad, Some(&*self.obj()), event),
            }
        }
    }

    impl State {
        /// Answers the caps of what will come out.
        fn set_up(&mut self, caps: &gst::CapsRef) -> Option<gst::Caps> {
            let sound = gst_audio::AudioInfo::from_caps(caps).ok()?;
            let limiter = Limiter::new(self.channels, sound.rate(), self.gain, self.ceiling).ok()?;
            let mix = Mix::new(&mix::heard(&sound), self.channels as usize);
            self.work = Some((mix, limiter));
            let mut caps = super::super::samples()
                .field("rate", i32::try_from(sound.rate()).ok()?)
                .field("channels", i32::try_from(self.channels).ok()?);
            if let Some(mask) = mix::mask(self.channels) {
                caps = caps.field("channel-mask", gst::Bitmask::new(mask));
            }
            Some(caps.build())
        }

        fn take(&mut self, buffer: &gst::Buffer) -> Option<Vec<gst::Buffer>> {
            let (mix, limiter) = self.work.as_mut()?;
            self.mixed.clear();
            let (mixed, ready) = (&mut self.mixed, &mut self.ready);
            let mut frames = 0;
            super::super::with_samples(buffer, |samples| {
                frames = mix.apply(samples, mixed);
                limiter.push(mixed, ready);
            })?;
            let mut times = gst::Buffer::new();
            let kept = gst::BufferCopyFlags::FLAGS | gst::BufferCopyFlags::TIMESTAMPS;
            let _ = buffer.copy_into(times.make_mut(), kept, ..);
            self.waiting.push_back((times, frames));
            Some(self.release())
        }

        /// All that waits.
        fn drain(&mut self) -> Vec<gst::Buffer> {
            if let Some((_, limiter)) = &mut self.work {
                limiter.finish(&mut self.ready);
            }
            let ready = self.release();
            self.ready.clear();
            ready
        }

        /// Buffers all of whose samples are finished.
        fn release(&mut self) -> Vec<gst::Buffer> {
            let mut released = Vec::new();
            let mut used = 0;
            while let Some((_, frames)) = self.waiting.front() {
                let end = used + frames * self.channels as usize;
                let (Some(samples), true) = (self.ready.get(used..end), end <= self.ready.len()) else {
                    break;
                };
                let bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
                used = end;
                if let Some((mut buffer, _)) = self.waiting.pop_front() {
                    buffer.make_mut().append_memory(gst::Memory::from_slice(bytes));
                    released.push(buffer);
                }
            }
            self.ready.drain(..used);
            released
        }
    }
}
