//! The element: any picture in, frames of one size with square pixels out.

use std::sync::{LazyLock, Mutex, PoisonError};

use gst::glib;
use gst_base::subclass::BaseTransformMode;
use gst_base::subclass::prelude::*;
use gst_video::subclass::prelude::*;
use gst_video::{VideoColorMatrix, VideoFormat, VideoInfo};

use super::frame;
use super::machine::Machine;
use super::sws::MARGIN;
use crate::media::own;
use crate::plan::{Draw, Picture};

mod imp {
    #[allow(clippy::wildcard_imports)]
    use super::*;
    use gst_base::prelude::*;

    #[derive(Default)]
    pub struct Scale {
        pub(super) picture: Mutex<Option<Picture>>,
        machine: Mutex<Option<Machine>>,
    }

    impl Scale {
        fn picture(&self) -> Option<Picture> {
            *self.picture.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    #[glib::object_subclass]
    impl ObjectSubclass for Scale {
        const NAME: &'static str = "ReelmillScale";
        type Type = super::Scale;
        type ParentType = gst_video::VideoFilter;
    }

    impl ObjectImpl for Scale {}

    impl GstObjectImpl for Scale {}

    impl ElementImpl for Scale {
        fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
            static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
                own::about(
                    "Reelmill scaler",
                    "Filter/Converter/Video/Scaler",
                    "Brings pictures into frames",
                )
            });
            Some(&METADATA)
        }

        fn pad_templates() -> &'static [gst::PadTemplate] {
            static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
                let raw = |formats: Vec<VideoFormat>| gst_video::VideoCapsBuilder::new().format_list(formats).build();
                own::pads(&raw(frame::entering().collect()), &raw(frame::leaving().collect()))
            });
            TEMPLATES.as_ref()
        }
    }

    impl BaseTransformImpl for Scale {
        const MODE: BaseTransformMode = BaseTransformMode::NeverInPlace;
        const PASSTHROUGH_ON_SAME_CAPS: bool = true;
        const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

        fn transform_caps(
            &self,
            direction: gst::PadDirection,
            caps: &gst::Caps,
            filter: Option<&gst::Caps>,
        ) -> Option<gst::Caps> {
            let outwards = direction == gst::PadDirection::Sink;
            let formats: Vec<VideoFormat> = if outwards {
                frame::leaving().collect()
            } else {
                frame::entering().collect()
            };
            let pixels = gst_video::VideoCapsBuilder::new().format_list(formats).build();
            let pixels = pixels.structure(0)?;
            let mut others = gst::Caps::new_empty();
            for (fields, features) in caps.iter_with_features() {
                let mut fields = fields.to_owned();
                for name in ["colorimetry", "chroma-site", "pixel-aspect-ratio"] {
                    fields.remove_field(name);
                }
                for name in ["format", "width", "height"] {
                    fields.set_value(name, pixels.value(name).ok()?.clone());
                }
                if let Some(picture) = self.picture().filter(|_| outwards) {
                    fields.set("width", i32::try_from(picture.size.0).ok()?);
                    fields.set("height", i32::try_from(picture.size.1).ok()?);
                    fields.set("pixel-aspect-ratio", gst::Fraction::new(1, 1));
                }
                let other = gst::Caps::builder_full()
                    .structure_with_features(fields, features.to_owned())
                    .build();
                others.merge(other);
            }
            Some(match filter {
                Some(filter) => filter.intersect_with_mode(&others, gst::CapsIntersectMode::First),
                None => others,
            })
        }

        fn fixate_caps(&self, direction: gst::PadDirection, caps: &gst::Caps, othercaps: gst::Caps) -> gst::Caps {
            let mut others = othercaps;
            if direction == gst::PadDirection::Sink && others.can_intersect(caps) {
                // Nothing to do for what is as it is wanted.
                others = others.intersect_with_mode(caps, gst::CapsIntersectMode::First);
            }
            others.truncate();
            others.fixate();
            if direction == gst::PadDirection::Sink {
                colour(caps, &mut others);
            }
            others
        }

        fn decide_allocation(&self, query: &mut gst::query::Allocation) -> Result<(), gst::LoggableError> {
            use gst_video::VideoBufferPoolConfig as _;
            let refused = |what: &str| gst::loggable_error!(gst::CAT_RUST, "{what}");
            let (caps, _) = query.get_owned();
            let caps = caps.ok_or_else(|| refused("frames without a form"))?;
            let info = VideoInfo::from_caps(&caps)?;
            let with_meta = query.find_allocation_meta::<gst_video::VideoMeta>().is_some();
            let (least, most) = query
                .allocation_pools()
                .next()
                .map_or((0, 0), |(_, _, least, most)| (least, most));
            let pool = gst_video::VideoBufferPool::new();
            let room = gst::AllocationParams::new(gst::MemoryFlags::empty(), MARGIN - 1, 0, MARGIN);
            let mut config = pool.config();
            let size = u32::try_from(info.size()).map_err(|_| refused("frames of more than 4 GiB"))?;
            config.set_params(Some(&caps), size, least, most);
            config.set_allocator(None::<&gst::Allocator>, Some(&room));
            if with_meta {
                // Rows begin where the fastest instructions want them, and have room at their end.
                config.add_option(gst_video::BUFFER_POOL_OPTION_VIDEO_META);
                config.add_option(gst_video::BUFFER_POOL_OPTION_VIDEO_ALIGNMENT);
                let step = u32::try_from(MARGIN - 1).unwrap_or_default();
                config.set_video_alignment(&gst_video::VideoAlignment::new(0, 0, 0, 0, &[step; 4]));
            }
            pool.set_config(config)?;
            let pool: gst::BufferPool = pool.upcast();
            if query.allocation_pools().next().is_none() {
                query.add_allocation_pool(Some(&pool), size, least, most);
            } else {
                query.set_nth_allocation_pool(0, Some(&pool), size, least, most);
            }
            if query.allocation_params().next().is_none() {
                query.add_allocation_param(None::<&gst::Allocator>, room);
            } else {
                query.set_nth_allocation_param(0, None::<&gst::Allocator>, room);
            }
            Ok(())
        }
    }

    impl VideoFilterImpl for Scale {
        fn set_info(
            &self,
            _incaps: &gst::Caps,
            from: &VideoInfo,
            _outcaps: &gst::Caps,
            to: &VideoInfo,
        ) -> Result<(), gst::LoggableError> {
            let draw = self.picture().map_or(Draw::Whole, |picture| picture.draw);
            let machine = Machine::new(draw, from, to)
                .ok_or_else(|| gst::loggable_error!(gst::CAT_RUST, "libswscale refuses {from:?} to {to:?}"))?;
            *self.machine.lock().unwrap_or_else(PoisonError::into_inner) = Some(machine);
            Ok(())
        }

        fn transform_frame(
            &self,
            from: &gst_video::VideoFrameRef<&gst::BufferRef>,
            to: &mut gst_video::VideoFrameRef<&mut gst::BufferRef>,
        ) -> Result<gst::FlowSuccess, gst::FlowError> {
            let mut machine = self.machine.lock().unwrap_or_else(PoisonError::into_inner);
            let machine = machine.as_mut().ok_or(gst::FlowError::NotNegotiated)?;
            if machine.turn(from, to) {
                Ok(gst::FlowSuccess::Ok)
            } else {
                gst::element_imp_error!(self, gst::StreamError::Format, ["a picture could not be scaled"]);
                Err(gst::FlowError::Error)
            }
        }
    }

    /// Says of frames what their colours mean, where nobody wishes it otherwise: as in the pictures that they are made
    /// of. What is assumed of pictures that say nothing depends on their height, and a frame has another.
    fn colour(from: &gst::Caps, frames: &mut gst::Caps) {
        let (Ok(from), Ok(to)) = (VideoInfo::from_caps(from), VideoInfo::from_caps(frames)) else {
            return;
        };
        let asked = |name: &str| frames.structure(0).is_some_and(|fields| fields.has_field(name));
        let (colours_asked, site_asked) = (asked("colorimetry"), asked("chroma-site"));
        let is_yuv = |info: &VideoInfo| info.is_yuv() || info.is_gray();
        let kept = from.colorimetry();
        let named = !matches!(kept.matrix(), VideoColorMatrix::Unknown | VideoColorMatrix::Rgb);
        let colours = if is_yuv(&to) && is_yuv(&from) && !from.is_gray() && named {
            kept
        } else {
            to.colorimetry()
        };
        let sampled = |info: &VideoInfo| {
            let form = info.format_info();
            (form.n_components() > 2 && is_yuv(info)).then(|| (form.w_sub()[1], form.h_sub()[1]))
        };
        let site = match (sampled(&from), sampled(&to)) {
            (Some(before), Some(after)) if before == after => from.chroma_site(),
            (_, Some((1, _))) => gst_video::VideoChromaSite::MPEG2,
            _ => gst_video::VideoChromaSite::empty(),
        };
        let frames = frames.make_mut();
        if !colours_asked {
            frames.set("colorimetry", colours.to_string());
        }
        if !site_asked && !site.is_empty() && is_yuv(&to) {
            frames.set("chroma-site", site.to_str().as_str());
        }
    }
}

glib::wrapper! {
    /// The element.
    pub struct Scale(ObjectSubclass<imp::Scale>)
        @extends gst_video::VideoFilter, gst_base::BaseTransform, gst::Element, gst::Object;
}

impl Scale {
    /// An element that makes frames of this picture.
    pub fn into(picture: Picture) -> Self {
        let element: Self = glib::Object::new();
        *element.imp().picture.lock().unwrap_or_else(PoisonError::into_inner) = Some(picture);
        element
    }
}
