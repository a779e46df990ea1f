//! The way through an FLV file: packet after packet, from any place.

use std::io;
use std::sync::Arc;

use super::tags::{Content, Sort, Tag};
use super::{LARGEST_SETUP, RESET, Survey, body};
use crate::media::source::Input;

/// Packets of sound around a key frame may stand before it, but not more tags than these.
const AROUND: usize = 400;
/// Decoders of sound want what comes so long before.
const RUN_UP: i64 = 150;
/// Where there is no film, places are noted so far apart.
const STEP: i64 = 500;
/// Pictures come at most so long before they are shown.
const AHEAD: i64 = 2_000;
/// What a file says of the times of its key frames may be off by so much.
const OFF: i64 = 1_000;

/// What comes next.
pub enum Next {
    /// Decoders are set up anew.
    Setup(Sort, gst::Buffer),
    /// A packet.
    Packet(Packet),
}

/// A packet.
pub struct Packet {
    /// Film or sound.
    pub sort: Sort,
    /// What it is.
    pub bytes: Vec<u8>,
    /// When it comes ...
    pub time: i64,
    /// ... and is shown.
    pub shown: i64,
    /// It is decoded without any before it.
    pub is_key: bool,
    /// It does not follow the one before.
    pub is_first: bool,
}

/// The time of one stream, which goes on where that of the file is set back.
#[derive(Debug, Default, Clone, Copy)]
struct Clock {
    last: Option<i64>,
    shift: i64,
}

impl Clock {
    fn time(&mut self, told: i64) -> i64 {
        let time = told + self.shift;
        let last = self.last.unwrap_or(time);
        let time = if time <= last - RESET {
            self.shift += last - time;
            last
        } else {
            time
        };
        self.last = Some(time);
        time
    }
}

/// A place from which can be read.
#[derive(Debug, Clone, Copy)]
struct Point {
    at: u64,
    shown: i64,
    clocks: (Clock, Clock),
}

/// See [the module](self).
pub struct Way {
    input: Arc<Input>,
    survey: Arc<Survey>,
    at: u64,
    clocks: (Clock, Clock),
    /// Film and sound begin anew.
    fresh: (bool, bool),
    /// Pictures before this place are left out ...
    film_from: u64,
    /// ... and sound before this time.
    sound_from: i64,
    /// Places that were passed, up to `searched`.
    points: Vec<Point>,
    searched: u64,
    searched_clocks: (Clock, Clock),
    /// Bytes that are no tag were passed over.
    pub is_damaged: bool,
}

impl Way {
    /// From the beginning.
    pub fn new(input: Arc<Input>, survey: Arc<Survey>) -> Self {
        Self {
            at: survey.first,
            clocks: Default::default(),
            fresh: (true, true),
            film_from: 0,
            sound_from: i64::MIN,
            points: Vec::new(),
            searched: survey.first,
            searched_clocks: Default::default(),
            is_damaged: false,
            input,
            survey,
        }
    }

    /// The place behind what came.
    pub fn place(&self) -> u64 {
        self.at
    }

    /// What comes next; none at the end.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn next(&mut self) -> io::Result<Option<Next>> {
        while let Some((tag, jumped)) = Tag::next(&self.input, self.at)? {
            self.is_damaged |= jumped;
            self.at = tag.end();
            let Some(piece) = tag.piece() else {
                continue;
            };
            let (clock, fresh) = match tag.sort {
                Sort::Film => (&mut self.clocks.0, &mut self.fresh.0),
                _ => (&mut self.clocks.1, &mut self.fresh.1),
            };
            let time = clock.time(tag.time);
            let (is_key, later) = match piece.content {
                Content::Nothing => continue,
                Content::Setup => {
                    if let Some(setup) = body(&self.input, &tag, piece.skip, LARGEST_SETUP) {
                        return Ok(Some(Next::Setup(tag.sort, gst::Buffer::from_slice(setup))));
                    }
                    continue;
                }
                Content::Packet { is_key, later } => (is_key, later),
            };
            let is_wanted = match tag.sort {
                Sort::Film => tag.at >= self.film_from,
                _ => time >= self.sound_from,
            };
            if !is_wanted {
                continue;
            }
            let Some(bytes) = body(&self.input, &tag, piece.skip, u64::MAX) else {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a packet breaks off"));
            };
            return Ok(Some(Next::Packet(Packet {
                sort: tag.sort,
                bytes,
                time,
                shown: time + later,
                is_key,
                is_first: std::mem::take(fresh),
            })));
        }
        Ok(None)
    }

    /// Goes to the last key frame that is shown by this time or, where that is wanted, the first after it; answers when it is shown.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn go(&mut self, to: i64, after: bool) -> io::Result<Option<i64>> {
        let point = match self.told(to, after)? {
            Some(point) => Some(point),
            None => self.searched_for(to, after)?,
        };
        self.fresh = (true, true);
        let Some(point) = point else {
            self.at = self.survey.first;
            self.clocks = Default::default();
            self.film_from = 0;
            self.sound_from = to - RUN_UP;
            return Ok(None);
        };
        self.at = point.at;
        self.clocks = point.clocks;
        self.film_from = point.at;
        self.sound_from = point.shown - RUN_UP;
        for _ in 0..AROUND {
            match Tag::before(&self.input, self.at)? {
                Some(tag) if tag.at >= self.survey.first && tag.time + self.clocks.1.shift >= self.sound_from => {
                    self.at = tag.at;
                }
                _ => break,
            }
        }
        Ok(Some(point.shown))
    }

    /// The sound that is left out before this time, where nothing is shown before it.
    pub fn leave_out_before(&mut self, time: i64) {
        self.sound_from = self.sound_from.max(time - RUN_UP);
    }

    /// What the file says of its key frames, where that is true.
    fn told(&self, to: i64, after: bool) -> io::Result<Option<Point>> {
        let lists = &self.survey.script.lists;
        let (Some(times), Some(places)) = (lists.get("times"), lists.get("filepositions")) else {
            return Ok(None);
        };
        if after || self.survey.film.is_none() {
            return Ok(None);
        }
        #[allow(clippy::cast_possible_truncation, reason = "a time in a file")]
        let millis = |time: &f64| (time * 1000.0).round() as i64;
        let end = times.partition_point(|time| millis(time) <= to);
        for (time, place) in times.iter().zip(places).take(end).rev().take(4) {
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a place in a file"
            )]
            let at = *place as u64;
            let Some(tag) = Tag::read(&self.input, at)? else {
                return Ok(None);
            };
            let later = match tag.piece().map(|piece| piece.content) {
                Some(Content::Packet { is_key: true, later }) if tag.sort == Sort::Film => later,
                _ => return Ok(None),
            };
            if (tag.time - millis(time)).abs() > OFF {
                return Ok(None);
            }
            if tag.time + later <= to {
                return Ok(Some(Point {
                    at,
                    shown: tag.time + later,
                    clocks: Default::default(),
                }));
            }
        }
        Ok(None)
    }

    /// Looks for the place in the file itself.
    fn searched_for(&mut self, to: i64, after: bool) -> io::Result<Option<Point>> {
        let enough = |points: &[Point]| after && points.last().is_some_and(|point| point.shown >= to);
        let sort = if self.survey.film.is_some() {
            Sort::Film
        } else {
            Sort::Sound
        };
        while !enough(&self.points)
            && let Some((tag, _)) = Tag::next(&self.input, self.searched)?
        {
            let clock = match tag.sort {
                Sort::Film => &mut self.searched_clocks.0,
                Sort::Sound => &mut self.searched_clocks.1,
                Sort::Script => {
                    self.searched = tag.end();
                    continue;
                }
            };
            let before = *clock;
            let time = clock.time(tag.time);
            if tag.sort == sort && !after && time > to + AHEAD {
                *clock = before;
                break;
            }
            self.searched = tag.end();
            if tag.sort == sort
                && let Some(piece) = tag.piece()
                && let Content::Packet { is_key: true, later } = piece.content
            {
                let is_far = |point: &Point| sort == Sort::Film || time >= point.shown + STEP;
                if self.points.last().is_none_or(is_far) {
                    let mut clocks = self.searched_clocks;
                    let own = if sort == Sort::Film {
                        &mut clocks.0
                    } else {
                        &mut clocks.1
                    };
                    own.last = before.last;
                    own.shift = before.shift;
                    self.points.push(Point {
                        at: tag.at,
                        shown: time + later,
                        clocks,
                    });
                }
            }
        }
        let mut points = self.points.iter();
        Ok(if after {
            points.find(|point| point.shown >= to).copied()
        } else {
            points.rfind(|point| point.shown <= to).copied()
        })
    }
}
