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
const OFF: u64 = 1_000;
/// No more places are kept: beyond, half of them go.
const MOST_POINTS: usize = 1 << 16;
/// No film is longer: a year.
const LONGEST: i64 = 365 * 24 * 3600 * 1000;

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
    /// How far they are apart at least.
    apart: i64,
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
            apart: if survey.film.is_some() { 0 } else { STEP },
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
            if tag.sort == Sort::Film && tag.at < self.film_from {
                continue;
            }
            // Times of what is no packet mean nothing: many are zero.
            let (clock, fresh) = match tag.sort {
                Sort::Film => (&mut self.clocks.0, &mut self.fresh.0),
                _ => (&mut self.clocks.1, &mut self.fresh.1),
            };
            let time = clock.time(tag.time);
            if time > LONGEST {
                let strange = "times are set back so often that the medium would be longer than a year";
                return Err(io::Error::new(io::ErrorKind::InvalidData, strange));
            }
            if tag.sort != Sort::Film && time < self.sound_from {
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
        // Sound that is heard with the picture may lie before it, among pictures that are shown earlier.
        let mut before = point.at;
        for _ in 0..AROUND {
            let Some(tag) = Tag::before(&self.input, before)?.filter(|tag| tag.at >= self.survey.first) else {
                break;
            };
            before = tag.at;
            if tag.sort == Sort::Sound {
                if tag.time + self.clocks.1.shift < self.sound_from {
                    break;
                }
                self.at = tag.at;
            }
        }
        // What is read once more has not been set back.
        self.clocks.1.last = None;
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
            if tag.time.abs_diff(millis(time)) > OFF {
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
            let Some(Content::Packet { is_key, later }) = tag.piece().map(|piece| piece.content) else {
                self.searched = tag.end();
                continue;
            };
            let clock = match tag.sort {
                Sort::Film => &mut self.searched_clocks.0,
                _ => &mut self.searched_clocks.1,
            };
            let before = *clock;
            let time = clock.time(tag.time);
            if tag.sort == sort && !after && time > to + AHEAD {
                *clock = before;
                break;
            }
            self.searched = tag.end();
            if tag.sort != sort || !is_key {
                continue;
            }
            let (shown, apart) = (time + later, self.apart);
            if self.points.last().is_none_or(|point| shown >= point.shown + apart) {
                let mut clocks = self.searched_clocks;
                let own = if sort == Sort::Film {
                    &mut clocks.0
                } else {
                    &mut clocks.1
                };
                *own = before;
                self.points.push(Point {
                    at: tag.at,
                    shown,
                    clocks,
                });
            }
            if self.points.len() > MOST_POINTS {
                let mut is_kept = false;
                self.points.retain(|_| {
                    is_kept = !is_kept;
                    is_kept
                });
                self.apart = (self.apart * 2).max(STEP);
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
