//! The element: frames in, MPEG-2 out.

use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use gst::glib;
use gst_video::prelude::*;
use gst_video::subclass::prelude::*;
use gst_video::{VideoCodecFrameFlags, VideoFormat, VideoFrameRef, VideoInfo};

use super::avcodec::{Encoder, STEP};
use crate::media::colour;
use crate::media::own;

/// What separates two options, and what a name from its value.
const BETWEEN: [char; 2] = [':', '='];

mod imp {
    #[allow(clippy::wildcard_imports)]
    use super::*;

    #[derive(Default, glib::Properties)]
    #[properties(wrapper_type = super::Mpeg2)]
    pub struct Mpeg2 {
        /// In libavcodec's words.
        #[property(get, set, blurb = "Options of libavcodec, as name=value:name=value")]
        options: Mutex<String>,
        /// The most frames from one key frame to the next.
        #[property(
            get,
            set,
            construct,
            default = 12,
            minimum = 1,
            blurb = "Frames from one key frame to the next, at most"
        )]
        gop: Mutex<u32>,
        /// Of every frame, as a step of the quantiser; zero where the bitrate decides.
        #[property(
            get,
            set,
            maximum = 31.0,
            blurb = "Step of the quantiser, or 0 where the bitrate decides"
        )]
        quality: Mutex<f64>,
        machine: Mutex<Option<Machine>>,
    }

    struct Machine {
        encoder: Encoder,
        info: VideoInfo,
    }

    fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
        shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[glib::object_subclass]
    impl ObjectSubclass for Mpeg2 {
        const NAME: &'static str = "ReelmillMpeg2";
        type Type = super::Mpeg2;
        type ParentType = gst_video::VideoEncoder;
    }

    #[glib::derived_properties]
    impl ObjectImpl for Mpeg2 {}

    impl GstObjectImpl for Mpeg2 {}

    impl ElementImpl for Mpeg2 {
        fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
            static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
                own::about(
                    "Reelmill MPEG-2 encoder",
                    "Codec/Encoder/Video",
                    "Encodes MPEG-2 by libavcodec",
                )
            });
            Some(&METADATA)
        }

        fn pad_templates() -> &'static [gst::PadTemplate] {
            static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
                let raw = gst_video::VideoCapsBuilder::new().format(VideoFormat::I420);
                own::pads(&raw.build(), &exit().build())
            });
            TEMPLATES.as_ref()
        }
    }

    /// What comes out.
    fn exit() -> gst::caps::Builder<gst::caps::NoFeature> {
        gst::Caps::builder("video/mpeg")
            .field("mpegversion", 2_i32)
            .field("systemstream", false)
    }

    impl VideoEncoderImpl for Mpeg2 {
        fn stop(&self) -> Result<(), gst::ErrorMessage> {
            *locked(&self.machine) = None;
            Ok(())
        }

        fn set_format(
            &self,
            state: &gst_video::VideoCodecState<'static, gst_video::video_codec_state::Readable>,
        ) -> Result<(), gst::LoggableError> {
            let refused = |what: &str| gst::loggable_error!(gst::CAT_RUST, "{what}");
            self.finish()
                .map_err(|_| refused("frames before these are not taken"))?;
            let told = state.caps().and_then(colour::numbers);
            let info = state.info();
            let mut encoder = Encoder::new((info.width(), info.height()), &self.settings(info, told))
                .map_err(|said| refused(&said))?;
            #[allow(clippy::cast_possible_truncation)]
            encoder.keep((*locked(&self.quality) * f64::from(STEP)).round() as i32);
            *locked(&self.machine) = Some(Machine {
                encoder,
                info: info.clone(),
            });
            let element = self.obj();
            let output = element
                .set_output_state(exit().build(), Some(state))
                .map_err(|_| refused("what leaves has no form"))?;
            element
                .negotiate(output)
                .map_err(|_| refused("nobody takes what leaves"))
        }

        fn handle_frame(&self, frame: gst_video::VideoCodecFrame) -> Result<gst::FlowSuccess, gst::FlowError> {
            {
                let mut machine = locked(&self.machine);
                let machine = machine.as_mut().ok_or(gst::FlowError::NotNegotiated)?;
                let pixels = frame.input_buffer().ok_or(gst::FlowError::Error)?;
                let pixels = VideoFrameRef::from_buffer_ref_readable(pixels, &machine.info)
                    .map_err(|_| self.broken("a frame without its pixels"))?;
                let plane = |at: u32| pixels.plane_data(at).unwrap_or_default();
                let strides: Option<Vec<usize>> = pixels
                    .plane_stride()
                    .iter()
                    .map(|stride| usize::try_from(*stride).ok())
                    .collect();
                let &[first, second, third] = strides.as_deref().unwrap_or_default() else {
                    return Err(self.broken("a frame whose rows run backwards"));
                };
                let key = frame.flags().contains(VideoCodecFrameFlags::FORCE_KEYFRAME);
                let number = i64::from(frame.system_frame_number());
                let planes = [plane(0), plane(1), plane(2)];
                if !machine.encoder.send(planes, [first, second, third], number, key) {
                    return Err(self.broken("libavcodec does not take a frame"));
                }
            }
            // The frame is kept by the class above until it is finished.
            drop(frame);
            self.pass_on()
        }

        fn finish(&self) -> Result<gst::FlowSuccess, gst::FlowError> {
            if let Some(machine) = locked(&self.machine).as_mut() {
                machine.encoder.finish();
            }
            let passed = self.pass_on();
            // It takes nothing after its end.
            *locked(&self.machine) = None;
            passed
        }

        fn propose_allocation(&self, query: &mut gst::query::Allocation) -> Result<(), gst::LoggableError> {
            query.add_allocation_meta::<gst_video::VideoMeta>(None);
            self.parent_propose_allocation(query)
        }
    }

    impl Mpeg2 {
        /// What the encoder is told: what was set, and what is known of the frames.
        fn settings(&self, info: &VideoInfo, told: Option<colour::Numbers>) -> Vec<(String, String)> {
            let (fps, pixel) = (info.fps(), info.par());
            let mut all = vec![
                ("time_base".to_owned(), format!("{}/{}", fps.denom(), fps.numer())),
                ("aspect".to_owned(), format!("{}/{}", pixel.numer(), pixel.denom())),
                ("g".to_owned(), locked(&self.gop).to_string()),
            ];
            if let Some(told) = told {
                all.extend([
                    ("seq_disp_ext".to_owned(), "always".to_owned()),
                    ("color_primaries".to_owned(), told.primaries.to_string()),
                    ("color_trc".to_owned(), told.transfer.to_string()),
                    ("colorspace".to_owned(), told.matrix.to_string()),
                ]);
            }
            if *locked(&self.quality) > 0.0 {
                all.extend(
                    [("flags", "+qscale"), ("qmin", "1")].map(|(name, value)| (name.to_owned(), value.to_owned())),
                );
            }
            let options = locked(&self.options);
            let pairs = options.split(BETWEEN[0]).filter_map(|pair| pair.split_once(BETWEEN[1]));
            all.extend(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
            all
        }

        /// Sends on what has been encoded.
        fn pass_on(&self) -> Result<gst::FlowSuccess, gst::FlowError> {
            let element = self.obj();
            loop {
                let (number, key, packet) = {
                    let mut machine = locked(&self.machine);
                    let Some(machine) = machine.as_mut() else {
                        return Ok(gst::FlowSuccess::Ok);
                    };
                    let received = machine.encoder.receive().map_err(|said| self.broken(&said))?;
                    let Some(packet) = received else {
                        return Ok(gst::FlowSuccess::Ok);
                    };
                    (packet.frame, packet.key, gst::Buffer::from_slice(packet.bytes.to_vec()))
                };
                let frame = i32::try_from(number).ok().and_then(|number| element.frame(number));
                let mut frame = frame.ok_or_else(|| self.broken("a packet of no frame"))?;
                if key {
                    frame.set_flags(VideoCodecFrameFlags::SYNC_POINT);
                }
                // Frames leave in the order in which they are shown.
                frame.set_dts(frame.pts());
                frame.set_output_buffer(packet);
                element.finish_frame(frame)?;
            }
        }

        fn broken(&self, what: &str) -> gst::FlowError {
            gst::element_imp_error!(self, gst::StreamError::Encode, ["MPEG-2 could not be encoded: {what}"]);
            gst::FlowError::Error
        }
    }
}

glib::wrapper! {
    /// The element.
    pub struct Mpeg2(ObjectSubclass<imp::Mpeg2>)
        @extends gst_video::VideoEncoder, gst::Element, gst::Object;
}

impl Mpeg2 {
    /// An element with these options of libavcodec.
    pub fn with(options: &[(&str, String)]) -> Self {
        let pairs: Vec<String> = options
            .iter()
            .map(|(name, value)| format!("{name}{}{value}", BETWEEN[1]))
            .collect();
        let element: Self = glib::Object::new();
        element.set_options(pairs.join(&BETWEEN[0].to_string()));
        element
    }
}
