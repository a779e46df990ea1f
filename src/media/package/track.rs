//! From packets of one track to the files of its segments, each written when it is complete.

use super::boxes::{self, Content};
use super::codecs::Wrapper;
use super::cut::{Cutter, Rule};
use super::transport::Writer;
use super::{Gop, Key, Packet, Segment, crypt, playlists};
use crate::job::{ErrorKind, Failure};
use crate::media::failure::{internal, writing};
use crate::plan::PackageKey;
use crate::rule::SegmentForm;

/// The number of the first segment, in its name and in playlists.
pub const FIRST: u64 = 1;

/// What a track is to become.
#[derive(Debug, Clone)]
pub struct Order {
    /// How the names of its files begin in scratch.
    pub prefix: String,
    /// What tells its files from those of other tracks.
    pub name: String,
    /// What segments are.
    pub form: SegmentForm,
    /// Where they end.
    pub rule: Rule,
    /// Ticks a second.
    pub timescale: u32,
    /// What they are encrypted with.
    pub key: Option<PackageKey>,
}

/// A track that is complete.
#[derive(Debug, Clone)]
pub struct Written {
    /// As it was ordered.
    pub order: Order,
    /// What it holds.
    pub content: Content,
    /// Its segments, at least one.
    pub segments: Vec<Segment>,
    /// What comes before them; its name is [`Order::init`].
    pub init: Option<Vec<u8>>,
}

impl Order {
    /// The name of the file of a segment, without what all files of the task begin with.
    fn segment(&self, number: u64) -> String {
        let ending = match self.form {
            SegmentForm::Cmaf => "m4s",
            SegmentForm::Ts => "ts",
        };
        format!("{}-{number:05}.{ending}", self.name)
    }

    /// The name of the init segment, likewise.
    #[must_use]
    pub fn init(&self) -> String {
        format!("{}-init.mp4", self.name)
    }
}

/// What makes files of groups.
#[derive(Debug)]
enum Form {
    Cmaf { fragments: u32 },
    Ts(Box<Writer>),
}

/// A track that is being written.
#[derive(Debug)]
pub struct Track {
    order: Order,
    content: Content,
    form: Form,
    cutter: Cutter,
    segments: Vec<Segment>,
    /// Frames a second of the liveliest segment, shown or not.
    liveliest: f64,
}

impl Track {
    /// A track of this content; the first file is written with the first segment.
    ///
    /// # Errors
    /// Where an encoder does not say enough of what it makes.
    pub fn new(order: Order, content: Content) -> Result<Self, Failure> {
        let form = match order.form {
            SegmentForm::Cmaf => Form::Cmaf { fragments: 0 },
            SegmentForm::Ts => {
                let wrapper = Wrapper::of(&content);
                let wrapper = wrapper.ok_or_else(|| internal("an encoder does not say what it makes"))?;
                Form::Ts(Box::new(Writer::new(wrapper, order.timescale)))
            }
        };
        Ok(Self {
            cutter: Cutter::new(order.rule),
            order,
            content,
            form,
            segments: Vec::new(),
            liveliest: 0.0,
        })
    }

    /// Takes the next packet, in the order of decoding.
    ///
    /// # Errors
    /// Where packets do not fit together, or a segment cannot be written.
    pub fn push(&mut self, mut packet: Packet) -> Result<(), Failure> {
        if let Content::Film(film) = &self.content {
            packet.data = film
                .bare(packet.data)
                .ok_or_else(|| self.strange("a packet is damaged"))?;
        }
        let complete = self.cutter.push(packet).map_err(|what| self.strange(&what))?;
        complete.map_or(Ok(()), |gops| self.write(&gops))
    }

    /// Writes the last segment; what would be shown or heard after `end` is not part of it. None where there is no segment at
    /// all.
    ///
    /// # Errors
    /// As for [`Self::push`].
    pub fn finish(mut self, end: Option<u64>) -> Result<Option<Written>, Failure> {
        let cutter = std::mem::replace(&mut self.cutter, Cutter::new(self.order.rule));
        let (delay, last) = cutter.finish(end).map_err(|what| self.strange(&what))?;
        if let Some(gops) = last {
            self.write(&gops)?;
        }
        if self.segments.is_empty() {
            return Ok(None);
        }
        if let Content::Film(film) = &mut self.content {
            let pieces = self.segments.iter();
            let pieces = pieces.map(|one| (one.start, one.end, one.bytes));
            film.settle(self.liveliest, playlists::of(pieces, self.order.timescale).average);
        }
        let is_cmaf = matches!(self.form, Form::Cmaf { .. });
        let init = is_cmaf.then(|| boxes::init(&self.content, self.order.timescale, delay));
        if let Some(init) = &init {
            let file = format!("{}{}", self.order.prefix, self.order.init());
            std::fs::write(&file, init).map_err(|error| writing(&file, &error))?;
        }
        Ok(Some(Written {
            order: self.order,
            content: self.content,
            segments: self.segments,
            init,
        }))
    }

    /// Removes the files that were written.
    pub fn abandon(self) {
        for segment in &self.segments {
            let _ = std::fs::remove_file(format!("{}{}", self.order.prefix, segment.file));
        }
    }

    fn strange(&self, what: &str) -> Failure {
        Failure::new(ErrorKind::BadOutput, format!("{}: {what}", self.order.name))
    }

    fn write(&mut self, gops: &[Gop]) -> Result<(), Failure> {
        let (Some(first), Some(last)) = (gops.first(), gops.last()) else {
            return Ok(());
        };
        let film = matches!(self.content, Content::Film(_));
        if let Content::Film(film) = &self.content {
            let samples = gops.iter().flat_map(|gop| &gop.samples);
            let frames: u64 = samples.map(|sample| film.frames(&sample.data)).sum();
            let seconds = (last.end - first.start) as f64 / f64::from(self.order.timescale.max(1));
            self.liveliest = self.liveliest.max(frames as f64 / seconds.max(1.0));
        }
        let (plain, keys) = match &mut self.form {
            Form::Cmaf { fragments } => of_fragments(gops, fragments, film),
            Form::Ts(writer) => {
                let made = writer.segment(gops);
                made.ok_or_else(|| internal("an encoder made what cannot be wrapped"))?
            }
        };
        let number = FIRST + self.segments.len() as u64;
        let data = match &self.order.key {
            Some(key) => crypt::encrypt(&key.0, number, plain),
            None => plain,
        };
        let name = self.order.segment(number);
        let file = format!("{}{name}", self.order.prefix);
        std::fs::write(&file, &data).map_err(|error| writing(&file, &error))?;
        self.segments.push(Segment {
            file: name,
            start: first.start,
            end: last.end,
            bytes: data.len() as u64,
            samples: gops.iter().map(|gop| gop.samples.len() as u64).sum(),
            units: gops
                .iter()
                .map(|gop| Writer::units(film, gop.samples.len() as u64))
                .sum(),
            keys: if film { keys } else { Vec::new() },
        });
        Ok(())
    }
}

fn of_fragments(gops: &[Gop], fragments: &mut u32, film: bool) -> (Vec<u8>, Vec<Key>) {
    let (mut out, mut keys) = (boxes::segment_type(), Vec::new());
    for gop in gops {
        *fragments += 1;
        let fragment = boxes::fragment(gop, *fragments, film);
        let data: usize = gop.samples.iter().map(|sample| sample.data.len()).sum();
        let first = gop.samples.first().map_or(0, |sample| sample.data.len());
        keys.push(Key {
            at: gop.start,
            offset: out.len() as u64,
            // The key frame comes first of the data.
            bytes: (fragment.len() - data + first) as u64,
        });
        out.extend(fragment);
    }
    (out, keys)
}
