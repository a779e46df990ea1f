//! The film of a package: frames as its renditions get them, and the chain that encodes each.

use gst::prelude::*;

use super::chains;
use crate::job::Failure;
use crate::media::branch::{guard, hang, of_step, only, queue};
use crate::media::clip::Sort;
use crate::media::decoder::straight;
use crate::media::encoder::{self, Pass};
use crate::media::failure::{element, internal};
use crate::media::steps::Size;
use crate::media::transcode::{Treated, treated, watch};
use crate::plan::{AdaptivePlan, ClipsPlan, CoverPlan, PlannedRendition, Span, TracksPlan, TranscodePlan, VideoStream};
use crate::rule::overlay::Cover;
use crate::rule::{Clips, Container, Hdr, Part, SizeSpec, Track, Tracks, Transcode, Treatment, VideoCodec};

/// How the numbers of pads begin that several renditions share: there are never so many.
const SHARED: u32 = 100;

/// Where the chain of a rendition begins.
pub enum From<'a> {
    /// At a pad of the branch with this name.
    Pad(String),
    /// At what hands out frames that all renditions share.
    Tee(&'a gst::Element),
}

/// Frames for all renditions that want them alike.
pub struct Frames {
    feed: &'static str,
    span: Span,
    /// What is done to them is done once.
    tee: Option<gst::Element>,
}

impl Frames {
    /// Frames of this film, of which these renditions keep a high dynamic range, or not.
    ///
    /// # Errors
    /// Where elements are missing.
    pub fn new(bin: &gst::Bin, plan: &AdaptivePlan, shown: &VideoStream, keep: bool) -> Result<Self, Failure> {
        let mut treatment = plan.treatment;
        if !keep {
            treatment.hdr = Hdr::Sdr;
        }
        let Treated { feed, source, how } = treated(shown, treatment);
        let work = straight(&source, how)?;
        if work.is_empty() {
            return Ok(Self {
                feed,
                span: plan.span,
                tee: None,
            });
        }
        let tee = element("tee")?;
        tee.set_property("allow-not-linked", true);
        let chain = [vec![guard()?, queue(4)?], work, vec![tee.clone()]].concat();
        watch(&chain, plan.span, Sort::Frames)?;
        hang(bin, &format!("{feed}-{SHARED}{}", u8::from(keep)), &chain)?;
        Ok(Self {
            feed,
            span: Span::default(),
            tee: Some(tee),
        })
    }

    /// Where the chain of the rendition with this number begins, by this step where there is one, and what is still to be cut of
    /// what comes there.
    pub fn of(&self, index: usize, step: Option<Size>) -> (From<'_>, Span) {
        let from = match (&self.tee, step) {
            (Some(tee), _) => From::Tee(tee),
            (None, Some(step)) => From::Pad(format!("{}-{index}", of_step(step))),
            (None, None) => From::Pad(format!("{}-{index}", self.feed)),
        };
        (from, self.span)
    }
}

impl From<'_> {
    /// Hangs a chain there that ends in a sink.
    ///
    /// # Errors
    /// Where elements do not fit together.
    pub fn lead(&self, bin: &gst::Bin, chain: &[gst::Element]) -> Result<(), Failure> {
        let tee = match self {
            Self::Pad(name) => return hang(bin, name, chain).map(drop),
            Self::Tee(tee) => tee,
        };
        bin.add_many(chain).map_err(internal)?;
        gst::Element::link_many(chain).map_err(internal)?;
        let first = chain.first().ok_or_else(|| internal("an empty chain"))?;
        tee.link(first).map_err(internal)
    }
}

/// From frames to packets of a rendition.
///
/// # Errors
/// Where elements are missing or refuse a setting.
pub fn chain(rendition: &PlannedRendition, threads: u32) -> Result<Vec<gst::Element>, Failure> {
    let plan = TranscodePlan {
        file: String::new(),
        settings: Transcode {
            container: Container::Mp4,
            size: SizeSpec::default(),
            video: Track::Encode(rendition.video.clone()),
            audio: Track::None,
            part: Part::default(),
            treatment: Treatment::default(),
            cover: Cover::default(),
            clips: Clips::default(),
            tracks: Tracks::default(),
        },
        picture: Some(rendition.picture),
        gop_frames: rendition.gop_frames,
        tracks: TracksPlan::default(),
        cover: CoverPlan::default(),
        clips: ClipsPlan::default(),
        span: Span::default(),
    };
    let mut chain = encoder::video(&plan, &rendition.video, rendition.picture, threads, Pass::Only)?;
    chains::hold_to_groups(&chain, rendition);
    // A packet is all that is needed to show one picture more.
    let (name, form, whole) = match rendition.video.codec {
        VideoCodec::H265 => ("video/x-h265", Some("hvc1"), "au"),
        VideoCodec::Vp9 => ("video/x-vp9", None, "super-frame"),
        VideoCodec::Av1 => ("video/x-av1", Some("obu-stream"), "tu"),
        _ => ("video/x-h264", Some("avc"), "au"),
    };
    let caps = gst::Caps::builder(name)
        .field_if_some("stream-format", form)
        .field("alignment", whole);
    chain.push(only(&caps.build())?);
    Ok(chain)
}
