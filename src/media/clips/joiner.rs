//! The element between a film and an encoder that adds what comes before and after.

use std::sync::{Arc, Mutex, PoisonError};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;

use super::line::Line;
use crate::job::Failure;

/// Why nothing more is passed on.
pub enum Halt {
    /// Nobody takes it.
    Flow(gst::FlowError),
    /// Something is wrong.
    Failure(Failure),
}

impl From<gst::FlowError> for Halt {
    fn from(flow: gst::FlowError) -> Self {
        Self::Flow(flow)
    }
}

impl From<Failure> for Halt {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

/// What passes on what.
pub struct Out<'a> {
    /// Where everything goes.
    pub pad: &'a gst::Pad,
    /// How far the pictures are.
    pub line: &'a Line,
}

/// What is done to a stream of a film, in the thread that brings it.
pub trait Join: Send {
    /// Takes an event of the film.
    fn hear(&mut self, event: gst::Event, out: &Out<'_>) -> Result<(), Halt>;

    /// Takes a buffer of the film.
    fn take(&mut self, buffer: gst::Buffer, out: &Out<'_>) -> Result<(), Halt>;
}

glib::wrapper! {
    /// The element.
    pub struct Joiner(ObjectSubclass<imp::Joiner>) @extends gst::Element, gst::Object;
}

impl Joiner {
    /// An element that does this.
    pub fn new(work: Box<dyn Join>, line: Arc<Line>) -> Self {
        let element: Self = glib::Object::new();
        *element.imp().lock() = Some(imp::State { work, halted: None });
        *element.imp().line.lock().unwrap_or_else(PoisonError::into_inner) = Some(line);
        element
    }

    /// Where everything comes out.
    pub fn exit(&self) -> gst::Pad {
        self.imp().exit.clone()
    }
}

mod imp {
    use std::sync::{LazyLock, MutexGuard};

    use crate::media::own;

    #[allow(clippy::wildcard_imports)]
    use super::*;

    pub struct State {
        pub(super) work: Box<dyn Join>,
        /// What everybody is told from now on.
        pub(super) halted: Option<gst::FlowError>,
    }

    pub struct Joiner {
        entry: gst::Pad,
        pub(super) exit: gst::Pad,
        /// Held by the thread that brings the film, for as long as it passes something on.
        state: Mutex<Option<State>>,
        pub(super) line: Mutex<Option<Arc<Line>>>,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for Joiner {
        const NAME: &'static str = "ReelmillJoiner";
        type Type = super::Joiner;
        type ParentType = gst::Element;

        fn with_class(class: &Self::Class) -> Self {
            let template = |name| {
                class
                    .pad_template(name)
                    .unwrap_or_else(|| unreachable!("declared below"))
            };
            let entry = gst::Pad::builder_from_template(&template("sink"))
                .chain_function(|_, parent, buffer| {
                    Self::catch_panic_pad_function(
                        parent,
                        || Err(gst::FlowError::Error),
                        |this| this.pass(|work, out| work.take(buffer, out)),
                    )
                })
                .event_function(|pad, parent, event| {
                    Self::catch_panic_pad_function(parent, || false, |this| this.hear(pad, event))
                })
                .flags(gst::PadFlags::PROXY_CAPS | gst::PadFlags::PROXY_ALLOCATION)
                .build();
            let exit = gst::Pad::builder_from_template(&template("src"))
                .flags(gst::PadFlags::PROXY_CAPS)
                .build();
            Self {
                entry,
                exit,
                state: Mutex::default(),
                line: Mutex::default(),
            }
        }
    }

    impl ObjectImpl for Joiner {
        fn constructed(&self) {
            self.parent_constructed();
            let element = self.obj();
            let _ = element.add_pad(&self.entry);
            let _ = element.add_pad(&self.exit);
        }
    }

    impl GstObjectImpl for Joiner {}

    impl ElementImpl for Joiner {
        fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
            static METADATA: LazyLock<gst::subclass::ElementMetadata> =
                LazyLock::new(|| own::about("Reelmill joiner", "Filter", "Adds clips to a film"));
            Some(&METADATA)
        }

        fn pad_templates() -> &'static [gst::PadTemplate] {
            static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
                let any = gst::Caps::new_any();
                own::pads(&any, &any)
            });
            TEMPLATES.as_ref()
        }

        fn change_state(&self, change: gst::StateChange) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
            if change == gst::StateChange::PausedToReady
                && let Some(line) = self.line()
            {
                // Whoever waits would hold the state change up.
                line.stop();
            }
            self.parent_change_state(change)
        }
    }

    impl Joiner {
        pub(super) fn lock(&self) -> MutexGuard<'_, Option<State>> {
            self.state.lock().unwrap_or_else(PoisonError::into_inner)
        }

        fn line(&self) -> Option<Arc<Line>> {
            self.line.lock().unwrap_or_else(PoisonError::into_inner).clone()
        }

        fn pass(
            &self,
            what: impl FnOnce(&mut dyn Join, &Out<'_>) -> Result<(), Halt>,
        ) -> Result<gst::FlowSuccess, gst::FlowError> {
            let line = self.line().ok_or(gst::FlowError::Error)?;
            let mut state = self.lock();
            let state = state.as_mut().ok_or(gst::FlowError::Error)?;
            if let Some(flow) = state.halted {
                return Err(flow);
            }
            let out = Out {
                pad: &self.exit,
                line: &line,
            };
            let Err(halt) = what(state.work.as_mut(), &out) else {
                return Ok(gst::FlowSuccess::Ok);
            };
            let flow = match halt {
                Halt::Flow(flow) => flow,
                Halt::Failure(failure) => {
                    // What this kind says is passed on as it is.
                    gst::element_imp_error!(self, gst::StreamError::NotImplemented, ("{}", failure.message));
                    gst::FlowError::Error
                }
            };
            state.halted = Some(flow);
            // Why was told before. A muxer that waited for more would hold up whoever else is fed by the same decoder.
            line.stop();
            self.exit.push_event(gst::event::Eos::new());
            Err(flow)
        }

        fn hear(&self, pad: &gst::Pad, event: gst::Event) -> bool {
            if event.is_serialized() && event.type_() != gst::EventType::FlushStop {
                return self.pass(|work, out| work.hear(event, out)).is_ok();
            }
            gst::Pad::event_default(pad, Some(&*self.obj()), event)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::ErrorKind;

    /// Fails at the first buffer.
    struct Broken;

    impl Join for Broken {
        fn hear(&mut self, event: gst::Event, out: &Out<'_>) -> Result<(), Halt> {
            out.pad.push_event(event);
            Ok(())
        }

        fn take(&mut self, _: gst::Buffer, _: &Out<'_>) -> Result<(), Halt> {
            Err(Failure::new(ErrorKind::Plan, "the clip a.mp4 cannot be joined").into())
        }
    }

    #[test]
    fn what_fails_says_why_lets_nobody_wait_and_ends_the_stream() {
        gst::init().unwrap();
        let pipeline = gst::Pipeline::new();
        let line = Arc::new(Line::new(true));
        let source = gst::ElementFactory::make("fakesrc")
            .property("num-buffers", 3)
            .build()
            .unwrap();
        source.set_property_from_str("format", "time");
        let sink = gst::ElementFactory::make("fakesink").build().unwrap();
        let joiner = Joiner::new(Box::new(Broken), line.clone());
        let exit = joiner.exit();
        let all = [&source, joiner.upcast_ref(), &sink];
        pipeline.add_many(all).unwrap();
        gst::Element::link_many(all).unwrap();
        let (told, ended) = std::sync::mpsc::channel();
        exit.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
            if info.event().is_some_and(|event| event.type_() == gst::EventType::Eos) {
                let _ = told.send(());
            }
            gst::PadProbeReturn::Ok
        });
        pipeline.set_state(gst::State::Playing).unwrap();
        let bus = pipeline.bus().unwrap();
        let message = bus
            .timed_pop_filtered(gst::ClockTime::from_seconds(10), &[gst::MessageType::Error])
            .unwrap();
        let gst::MessageView::Error(error) = message.view() else {
            panic!("no error");
        };
        let failure = crate::media::failure::from_message(error);
        assert_eq!(failure.message, "the clip a.mp4 cannot be joined");
        ended.recv_timeout(std::time::Duration::from_secs(10)).unwrap();
        assert!(line.is_stopped());
        pipeline.set_state(gst::State::Null).unwrap();
    }
}
