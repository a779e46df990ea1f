//! Joins the sound of clips to that of a film: each part as long as its pictures, to the sample.

use std::sync::Arc;

use gst::prelude::*;

use super::joiner::{Halt, Join, Out};
use super::line::Reached;
use super::pictures::named;
use super::reader::{Reader, running, time_of};
use super::{Clip, Reel, format};
use crate::job::{ErrorKind, Failure};
use crate::media::failure::internal;
use crate::media::sound::mix;
use crate::rule::AudioSpec;

type Segment = gst::FormattedSegment<gst::ClockTime>;

/// Parts of a second in which sound is passed on while it waits for pictures.
const PIECES: u64 = 10;

/// Sound of a clip that is off by less than this part of a second is where it should be: times are rounded.
const JITTER: u64 = 25;

/// The form of all sound.
#[derive(Debug, Clone)]
pub struct Form {
    /// Of samples.
    pub format: &'static str,
    /// All of it.
    pub caps: gst::Caps,
    channels: u32,
    /// Samples a second.
    rate: u64,
    /// Bytes of a sample of all channels.
    bytes: usize,
}

impl Form {
    /// What is encoded like this.
    ///
    /// # Errors
    /// Where there is no such sound.
    pub fn new(spec: &AudioSpec, channels: u32, rate: u32) -> Result<Self, Failure> {
        let format = format(spec);
        let mut caps = gst::Caps::builder("audio/x-raw")
            .field("format", format)
            .field("layout", "interleaved")
            .field("rate", i32::try_from(rate).map_err(internal)?)
            .field("channels", i32::try_from(channels).map_err(internal)?);
        if let Some(mask) = mix::mask(channels) {
            caps = caps.field("channel-mask", gst::Bitmask::new(mask));
        }
        let caps = caps.build();
        let info = gst_audio::AudioInfo::from_caps(&caps).map_err(internal)?;
        Ok(Self {
            format,
            caps,
            channels,
            rate: rate.into(),
            bytes: usize::try_from(info.bpf()).map_err(internal)?,
        })
    }

    /// Which sample is heard at this time.
    fn sample(&self, nanos: u64) -> u64 {
        rounded(nanos, self.rate, 1_000_000_000)
    }

    /// When this sample is heard.
    fn time(&self, sample: u64) -> u64 {
        rounded(sample, 1_000_000_000, self.rate)
    }

    fn piece(&self) -> u64 {
        (self.rate / PIECES).max(1)
    }
}

fn rounded(value: u64, by: u64, of: u64) -> u64 {
    let exact = u128::from(value) * u128::from(by) + u128::from(of / 2);
    u64::try_from(exact / u128::from(of.max(1))).unwrap_or(u64::MAX)
}

/// The sound of a result, in samples of it.
pub struct Sounds {
    reel: Arc<Reel>,
    form: Form,
    spec: AudioSpec,
    segment: Option<Segment>,
    /// Where the film begins, in nanoseconds.
    film: u64,
    /// Sound of it has come.
    heard: bool,
    /// Where all sound so far ends.
    at: u64,
}

impl Sounds {
    /// These clips, in this form.
    pub fn new(reel: Arc<Reel>, form: Form, spec: AudioSpec) -> Self {
        Self {
            reel,
            form,
            spec,
            segment: None,
            film: 0,
            heard: false,
            at: 0,
        }
    }

    fn begin(&mut self, event: gst::Event, out: &Out<'_>) -> Result<(), Halt> {
        out.pad.push_event(event);
        out.pad.push_event(gst::event::Caps::new(&self.form.caps));
        out.pad.push_event(gst::event::Segment::new(&Segment::new()));
        let reel = self.reel.clone();
        for (part, clip) in reel.head.iter().enumerate() {
            self.film = self.join(part, clip, out).map_err(|halt| named(clip, halt))?;
        }
        Ok(())
    }

    /// The film has no sound up to here.
    fn pause(&mut self, until: gst::ClockTime, out: &Out<'_>) -> Result<(), Halt> {
        let until = self.segment.as_ref().and_then(|segment| running(segment, Some(until)));
        let Some(until) = until.map(|until| self.form.sample(self.film + until)) else {
            return Ok(());
        };
        self.silence(self.reel.film(), until, out).map(drop)
    }

    /// The film is over: now comes what comes after it.
    fn finish(&mut self, out: &Out<'_>) -> Result<(), Halt> {
        let reel = self.reel.clone();
        let film = reel.film();
        let silent = !self.heard && !reel.head.is_empty();
        if !reel.tail.is_empty() || silent || !out.line.has_pictures() {
            self.fill(film, out)?;
        }
        for (part, clip) in reel.tail.iter().enumerate() {
            self.join(film + 1 + part, clip, out)
                .map_err(|halt| named(clip, halt))?;
        }
        Ok(())
    }

    /// A clip; answers where it ends, in nanoseconds.
    fn join(&mut self, part: usize, clip: &Clip, out: &Out<'_>) -> Result<u64, Halt> {
        let from = self.at;
        if !clip.sound.is_zero() {
            let form = (self.form.channels, u32::try_from(self.form.rate).map_err(internal)?);
            let reader = Reader::sound(clip, &self.spec, form, self.form.format)?;
            while let Some(sample) = reader.next(out.line)? {
                let due = from + self.form.sample(time_of(&sample).unwrap_or_default());
                let buffer = sample
                    .buffer_owned()
                    .ok_or_else(|| internal("a sample without sound"))?;
                // At its beginning, and where something is missing.
                let late = due.saturating_sub(self.at);
                if (self.at == from || late > self.form.rate / JITTER) && !self.silence(part, self.at + late, out)? {
                    break;
                }
                let before = self.at;
                let goes_on = self.pieces(part, &buffer, None, out)?;
                if !out.line.has_pictures() {
                    out.line.show(self.form.time(self.at) - self.form.time(before), 0);
                }
                out.line.show(0, 1);
                if !goes_on {
                    break;
                }
            }
            if out.line.is_stopped() {
                return Err(gst::FlowError::Flushing.into());
            }
            if self.at == from && !out.line.has_pictures() {
                return Err(Failure::new(ErrorKind::Plan, "no sound of it could be decoded").into());
            }
        } else if !out.line.has_pictures() {
            // Its pictures are not in the result, and it lasts as long all the same.
            let length = u64::try_from(clip.pictures.as_nanos()).map_err(internal)?;
            self.silence(part, from + self.form.sample(length), out)?;
            out.line.show(length, 1);
        }
        self.fill(part, out)
    }

    /// Silence up to the end of a part; answers that, in nanoseconds.
    fn fill(&mut self, part: usize, out: &Out<'_>) -> Result<u64, Halt> {
        if !out.line.has_pictures() {
            out.line.agree(part, self.form.time(self.at));
            // What comes next begins in all sounds at the same time; the muxer must not wait for one of them until then.
            while part < self.reel.all().count() {
                let to = self.at + self.form.piece();
                match out.line.follow(part, self.form.time(to)) {
                    Reached::Here => {
                        self.silence(part, to, out)?;
                    }
                    Reached::End(end) => {
                        self.silence(part, self.form.sample(end), out)?;
                        return Ok(end);
                    }
                    Reached::Stopped => return Err(gst::FlowError::Flushing.into()),
                }
            }
            return Ok(self.form.time(self.at));
        }
        while self.silence(part, self.at + self.form.piece(), out)? {}
        let end = out.line.wait_for_end(part).ok_or(gst::FlowError::Flushing)?;
        Ok(end)
    }

    /// Silence up to this sample, or the end of the part; answers whether that is still to come.
    fn silence(&mut self, part: usize, to: u64, out: &Out<'_>) -> Result<bool, Halt> {
        while self.at < to {
            let wanted = self.form.piece().min(to - self.at);
            let (count, goes_on) = self.allowed(part, (self.at, wanted), out)?;
            if count > 0 {
                let bytes = usize::try_from(count).map_err(internal)? * self.form.bytes;
                let silence = gst::Buffer::from_mut_slice(vec![0_u8; bytes]);
                self.pass(silence, self.form.time(self.at), count, out)?;
            }
            if !goes_on {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Sound of a part, piece by piece, at its own time and but for so many samples where that is given; answers whether the part
    /// goes on.
    fn pieces(
        &mut self,
        part: usize,
        buffer: &gst::Buffer,
        own: Option<(u64, u64)>,
        out: &Out<'_>,
    ) -> Result<bool, Halt> {
        let all = (buffer.size() / self.form.bytes) as u64;
        let (time, mut done) = own.map_or((None, 0), |(time, skipped)| (Some(time), skipped));
        while done < all {
            let wanted = self.form.piece().min(all - done);
            let at = time.map_or(self.at, |time| self.form.sample(time + self.form.time(done)));
            let (count, goes_on) = self.allowed(part, (at, wanted), out)?;
            if count > 0 {
                let bytes = |samples: u64| usize::try_from(samples).map(|samples| samples * self.form.bytes);
                let (first, last) = (bytes(done).map_err(internal)?, bytes(done + count).map_err(internal)?);
                let piece = buffer.copy_region(gst::BufferCopyFlags::MEMORY, first..last);
                let piece = piece.map_err(internal)?;
                let time = time.map_or(self.form.time(self.at), |time| time + self.form.time(done));
                self.pass(piece, time, count, out)?;
            }
            if !goes_on {
                return Ok(false);
            }
            done += count;
        }
        Ok(true)
    }

    /// Waits until so many samples may come from one on; answers how many of them the part still has room for, and whether it goes
    /// on.
    fn allowed(&self, part: usize, (at, wanted): (u64, u64), out: &Out<'_>) -> Result<(u64, bool), Halt> {
        match out.line.wait(part, self.form.time(at + wanted)) {
            Reached::Here => Ok((wanted, true)),
            Reached::End(end) => Ok((self.form.sample(end).saturating_sub(at).min(wanted), false)),
            Reached::Stopped => Err(gst::FlowError::Flushing.into()),
        }
    }

    fn pass(&mut self, mut buffer: gst::Buffer, time: u64, samples: u64, out: &Out<'_>) -> Result<(), Halt> {
        let own = buffer.make_mut();
        own.set_pts(gst::ClockTime::from_nseconds(time));
        own.set_dts(None);
        own.set_duration(gst::ClockTime::from_nseconds(self.form.time(samples)));
        own.unset_flags(gst::BufferFlags::DISCONT | gst::BufferFlags::RESYNC);
        self.at = self.form.sample(time) + samples;
        if !out.line.has_pictures() {
            out.line.advance(self.form.time(self.at));
        }
        out.pad.push(buffer)?;
        Ok(())
    }
}

impl Join for Sounds {
    fn hear(&mut self, event: gst::Event, out: &Out<'_>) -> Result<(), Halt> {
        match event.view() {
            gst::EventView::StreamStart(_) => return self.begin(event, out),
            gst::EventView::Segment(segment) => {
                self.segment = segment.segment().downcast_ref::<gst::ClockTime>().cloned();
                return Ok(());
            }
            gst::EventView::Gap(gap) => {
                let (start, length) = gap.get();
                let end = length.and_then(|length| start.checked_add(length)).unwrap_or(start);
                return self.pause(end, out);
            }
            gst::EventView::Caps(_) | gst::EventView::Toc(_) => return Ok(()),
            gst::EventView::Eos(_) => self.finish(out)?,
            _ => {}
        }
        out.pad.push_event(event);
        Ok(())
    }

    fn take(&mut self, buffer: gst::Buffer, out: &Out<'_>) -> Result<(), Halt> {
        let Some(at) = self.segment.as_ref().and_then(|segment| running(segment, buffer.pts())) else {
            return Ok(());
        };
        let (film, due) = (self.reel.film(), self.form.sample(self.film + at));
        let late = due.saturating_sub(self.at);
        let first = !std::mem::replace(&mut self.heard, true);
        // Whoever waits for sound must not wait for more than was decoded; what is missing is silence.
        if (first || late > self.form.rate / JITTER) && !self.silence(film, due, out)? {
            return Ok(());
        }
        // Of what was filled already, nothing comes twice.
        let early = self.at.saturating_sub(due);
        let skipped = if early > self.form.rate / JITTER { early } else { 0 };
        if self.reel.tail.is_empty() && skipped == 0 {
            let samples = (buffer.size() / self.form.bytes) as u64;
            return self.pass(buffer, self.film + at, samples, out);
        }
        self.pieces(film, &buffer, Some((self.film + at, skipped)), out)
            .map(drop)
    }
}
