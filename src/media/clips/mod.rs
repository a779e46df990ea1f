//! Clips before and after a film.
//!
//! A run looks through all of them before anything else: `look`. Then each encoder of a task is fed by a `joiner`, which
//! opens the clips before the film one after the other, passes on what comes of the film, later by as much as the clips took, and
//! opens those after it. So an encoder sees one stream, and the film is decoded once for whoever else wants it. While a clip is
//! shown the film waits.
//!
//! Pictures lead: what a part of the result lasts is what its pictures last. Sound never gets ahead of them, is cut where they end,
//! and silence fills what it lacks. Each of several sounds does so. Without pictures the longest sound says how long a part is. So that it may wait for pictures without an end, what encodes them must be able to run a few seconds
//! ahead of the muxer: see [`Joining::pictures`].

mod joiner;
mod line;
mod look;
mod pictures;
mod reader;
mod sounds;

use std::sync::Arc;
use std::time::Duration;

use gst::prelude::*;

use self::joiner::Joiner;
use self::line::Line;
use self::pictures::Pictures;
use self::sounds::{Form, Sounds};
use super::branch::queue;
use super::encoder;
use super::failure::{element, internal};
use super::sound::{self, Source};
use crate::job::{ErrorKind, Failure};
use crate::plan::{MediaInfo, TranscodePlan};
use crate::rule::{AudioCodec, AudioSpec};
pub use look::{Reels, look};

/// Encoded pictures may wait for the sound that belongs to them for so long ...
const AHEAD: u64 = 3_000_000_000;

/// ... so much longer where subtitles are written, of which a pause is told late ...
const PAUSE: u64 = 8_000_000_000;

/// ... and take so much memory.
const MOST_AHEAD: u32 = 256 << 20;

/// A clip that was looked through.
#[derive(Debug, Clone)]
pub struct Clip {
    /// Name in scratch.
    file: String,
    /// What people call it.
    shown: String,
    /// What the probe said.
    media: MediaInfo,
    /// When its last picture is over; zero where it has none.
    pictures: Duration,
    /// When its sound is over; zero where it has none.
    sound: Duration,
    /// What brings its sound to the loudness that the task wants, in dB.
    gain: Option<f64>,
}

impl Clip {
    /// A failure of this clip, not of the medium.
    fn failed(&self, failure: &Failure) -> Failure {
        blame(&self.shown, failure)
    }
}

/// Says that it is a clip that something is wrong with.
fn blame(shown: &str, failure: &Failure) -> Failure {
    let kind = match failure.kind {
        ErrorKind::Io | ErrorKind::NoSpace | ErrorKind::Internal => failure.kind,
        _ => ErrorKind::Plan,
    };
    let said = failure.message.replace("the medium is", "it is");
    Failure::new(kind, format!("the clip {shown} cannot be joined: {said}"))
}

/// The clips of a task.
#[derive(Debug, Default)]
pub struct Reel {
    /// Before the film.
    head: Vec<Clip>,
    /// After it.
    tail: Vec<Clip>,
}

impl Reel {
    fn all(&self) -> impl Iterator<Item = &Clip> {
        self.head.iter().chain(&self.tail)
    }

    /// Which part of the result the film is.
    fn film(&self) -> usize {
        self.head.len()
    }

    fn has_sound(&self) -> bool {
        self.all().any(|clip| !clip.sound.is_zero())
    }
}

/// How far a branch is beside the film.
#[derive(Debug, Clone, Copy, Default)]
pub struct Beside {
    /// So much of the clips was shown ...
    pub at: Duration,
    /// ... of so much.
    pub of: Duration,
    /// Buffers of them.
    pub buffers: u64,
}

/// Joins the clips of one branch to its streams.
#[derive(Clone)]
pub struct Joining {
    reel: Arc<Reel>,
    line: Arc<Line>,
}

impl Joining {
    /// For a branch with pictures, or one without.
    pub fn new(reel: &Arc<Reel>, pictures: bool) -> Self {
        Self {
            reel: reel.clone(),
            line: Arc::new(Line::new(pictures)),
        }
    }

    /// Puts the clips' pictures into a chain, just before its encoder; answers where all pictures come out.
    ///
    /// # Errors
    /// Where the chain has no encoder, or elements are missing.
    pub fn pictures(&self, chain: &mut Vec<gst::Element>, plan: &TranscodePlan) -> Result<gst::Pad, Failure> {
        let fit = plan.settings.size.fit;
        let place = encoder::place(chain).ok_or_else(|| internal("a chain without an encoder"))?;
        let joiner = Joiner::new(Box::new(Pictures::new(self.reel.clone(), fit)), self.line.clone());
        let exit = joiner.exit();
        chain.insert(place, joiner.upcast());
        let ahead = queue(0)?;
        let subtitled = !plan.tracks.subtitles.is_empty();
        ahead.set_property("max-size-time", AHEAD + if subtitled { PAUSE } else { 0 });
        ahead.set_property("max-size-bytes", MOST_AHEAD);
        chain.push(ahead);
        Ok(exit)
    }

    /// From decoded sound of the film to packets, with the clips' sound; and where all of it comes out before it is encoded.
    ///
    /// # Errors
    /// Where elements are missing or refuse a setting.
    pub fn sound(
        &self,
        spec: &AudioSpec,
        (channels, rate): (u32, u32),
        source: Source<'_>,
    ) -> Result<(Vec<gst::Element>, gst::Pad), Failure> {
        let form = Form::new(spec, channels, rate)?;
        let chain = sound::shape(spec, channels, rate, source, Some(form.format))?;
        self.joined(chain, spec, form)
    }

    /// Whether any clip has sound.
    pub fn has_sound(&self) -> bool {
        self.reel.has_sound()
    }

    /// The same where the film has no sound; none where the clips have none either.
    ///
    /// # Errors
    /// Where elements are missing or refuse a setting.
    pub fn silent(
        &self,
        spec: &AudioSpec,
        (channels, rate): (u32, u32),
    ) -> Result<Option<(Vec<gst::Element>, gst::Pad)>, Failure> {
        if !self.has_sound() {
            return Ok(None);
        }
        let form = Form::new(spec, channels, rate)?;
        self.joined(vec![nothing(&form)], spec, form).map(Some)
    }

    fn joined(
        &self,
        mut chain: Vec<gst::Element>,
        spec: &AudioSpec,
        form: Form,
    ) -> Result<(Vec<gst::Element>, gst::Pad), Failure> {
        let sounds = Sounds::new(self.reel.clone(), form, spec.clone());
        self.line.add_sound();
        let joiner = Joiner::new(Box::new(sounds), self.line.clone());
        let exit = joiner.exit();
        chain.extend([joiner.upcast(), element("audioconvert")?]);
        chain.extend(sound::packets(spec)?);
        Ok((chain, exit))
    }

    /// By how much the film begins later than the result, but for rounding to frames.
    pub fn later(&self) -> Duration {
        self.reel.head.iter().map(|clip| self.length(clip)).sum()
    }

    fn length(&self, clip: &Clip) -> Duration {
        if self.line.has_pictures() || clip.sound.is_zero() {
            clip.pictures
        } else {
            clip.sound
        }
    }

    /// Whether everything was joined, once the branch has ended.
    ///
    /// # Errors
    /// Where something was left out.
    pub fn complete(&self) -> Result<(), Failure> {
        let parts = self.reel.all().count() + 1;
        let found = self.line.parts();
        (found == parts)
            .then_some(())
            .ok_or_else(|| internal(format!("{found} of {parts} parts were joined")))
    }

    /// How far it is.
    pub fn beside(&self) -> Beside {
        let (at, buffers) = self.line.shown();
        Beside {
            at,
            of: self.reel.all().map(|clip| self.length(clip)).sum(),
            buffers,
        }
    }
}

/// The sound of a film that has none: it ends before it begins.
fn nothing(form: &Form) -> gst::Element {
    let source = gst_app::AppSrc::builder()
        .format(gst::Format::Time)
        .caps(&form.caps)
        .build();
    let _ = source.end_of_stream();
    source.upcast()
}

/// In which form samples are joined: one that the encoder takes where nothing need be lost on the way.
fn format(spec: &AudioSpec) -> &'static str {
    match (spec.codec, spec.depth) {
        (AudioCodec::Pcm, 24) => "S24LE",
        (AudioCodec::Flac, 24) => "S24_32LE",
        (AudioCodec::Pcm | AudioCodec::Flac | AudioCodec::Opus, _) => "S16LE",
        (AudioCodec::Aac | AudioCodec::Mp3, _) => "F32LE",
    }
}
