//! Picks, out of frames in the order of their times, those that are shown at given points.
//!
//! The frame for a point is the one that is shown then: the last one whose time is not after it.

use std::time::Duration;

use super::black::is_black;
use crate::job::Failure;

/// How far one looks for a frame that is not black.
const SEARCH: Duration = Duration::from_secs(10);

/// A picture and the stream time from which it is shown.
#[derive(Clone)]
pub struct Frame {
    /// The picture.
    pub sample: gst::Sample,
    /// When it appears.
    pub at: Duration,
    /// When it would be gone, were it the last.
    pub until: Duration,
}

impl Frame {
    /// Reads the times of a sample.
    pub fn new(sample: gst::Sample, former: Option<&Self>) -> Option<Self> {
        let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?;
        let buffer = sample.buffer()?;
        let at = Duration::from(segment.to_stream_time(buffer.pts()?)?);
        let step = former.map_or(Duration::ZERO, |former| at.saturating_sub(former.at));
        let until = at + buffer.duration().map_or(step, Duration::from);
        Some(Self { sample, at, until })
    }
}

/// What gets the pictures: which point, and its frame.
pub type Give<'a> = &'a mut dyn FnMut(usize, &gst::Sample) -> Result<(), Failure>;

/// Points that wait for their frames.
pub struct Picker {
    at: Vec<Duration>,
    skips_black: bool,
    /// Points before this one have their frames.
    next: usize,
    /// Points at and after `next` that have theirs nevertheless.
    early: Vec<bool>,
    last: Option<Frame>,
    /// Points whose frame is black, and since when.
    dark: Vec<(usize, Duration)>,
}

impl Picker {
    /// Waits for the frames of these points, which rise.
    pub fn new(at: Vec<Duration>, skips_black: bool) -> Self {
        Self {
            early: vec![false; at.len()],
            at,
            skips_black,
            next: 0,
            last: None,
            dark: Vec::new(),
        }
    }

    /// How many points there are, with and without their frames.
    pub fn count(&self) -> usize {
        self.at.len()
    }

    /// The first point that waits.
    pub fn next(&self) -> usize {
        self.next
    }

    /// Until when frames are wanted one after the other; none: no more at all.
    pub fn wanted(&self) -> Option<Duration> {
        match (&self.last, self.dark.is_empty()) {
            (Some(last), false) => Some(last.at),
            _ => self.at.get(self.next).copied(),
        }
    }

    /// Whether no frame is wanted after the one for this point until another is over: no other point lies there, and the frame
    /// need not give way to a later one.
    pub fn is_alone(&self, at: Duration, until: Duration) -> bool {
        let mut later = self.at[self.next..].iter().filter(|point| **point > at);
        !self.skips_black && later.next().is_none_or(|point| *point > until)
    }

    /// Forgets the frame before a jump.
    pub fn jump(&mut self) {
        self.last = None;
    }

    /// A point got its frame out of turn.
    pub fn settle(&mut self, point: usize) {
        if let Some(early) = self.early.get_mut(point) {
            *early = true;
        }
        self.pass_early();
    }

    /// Whether a point still waits.
    pub fn waits(&self, point: usize) -> bool {
        point >= self.next && self.early.get(point) == Some(&false)
    }

    fn pass_early(&mut self) {
        while self.early.get(self.next) == Some(&true) {
            self.next += 1;
        }
    }

    /// Takes the next frame; gives the frame of every point that it proves to be over.
    ///
    /// # Errors
    /// Those of `give`.
    pub fn take(&mut self, sample: gst::Sample, give: Give<'_>) -> Result<(), Failure> {
        let Some(frame) = Frame::new(sample, self.last.as_ref()) else {
            return Ok(());
        };
        while let Some(point) = self.at.get(self.next)
            && *point < frame.at
        {
            // Before the first frame there is only the first.
            let shown = self.last.as_ref().unwrap_or(&frame).clone();
            self.give(&shown, give)?;
        }
        if !self.dark.is_empty() {
            self.dark.retain(|(_, since)| frame.at <= *since + SEARCH);
            if !self.dark.is_empty() && !is_black(&frame.sample) {
                for (point, _) in self.dark.drain(..) {
                    give(point, &frame.sample)?;
                }
            }
        }
        self.last = Some(frame);
        Ok(())
    }

    /// There is no further frame up to this time; gives the frame of every point up to it.
    ///
    /// # Errors
    /// Those of `give`.
    pub fn reach(&mut self, time: Duration, give: Give<'_>) -> Result<(), Failure> {
        let Some(last) = self.last.clone() else {
            return Ok(());
        };
        while let Some(point) = self.at.get(self.next)
            && *point <= time
        {
            self.give(&last, give)?;
        }
        Ok(())
    }

    fn give(&mut self, shown: &Frame, give: Give<'_>) -> Result<(), Failure> {
        give(self.next, &shown.sample)?;
        if self.skips_black && is_black(&shown.sample) {
            self.dark.push((self.next, shown.at));
        }
        self.next += 1;
        self.pass_early();
        Ok(())
    }

    /// The medium is over; answers until when its last frame is shown. Points after that have none.
    ///
    /// # Errors
    /// Those of `give`.
    pub fn finish(&mut self, declared: Option<Duration>, give: Give<'_>) -> Result<Duration, Failure> {
        let Some(last) = &self.last else {
            return Ok(Duration::ZERO);
        };
        let end = end_of_display(last.until, declared);
        self.reach(end, give)?;
        self.dark.clear();
        Ok(end)
    }

    /// Points that have no frame.
    pub fn beyond(&self) -> impl Iterator<Item = Duration> + '_ {
        let rest = self.next..self.at.len();
        rest.filter(|point| self.waits(*point)).map(|point| self.at[point])
    }
}

/// Sound may go on a little after the last frame, which is then still on the screen; after a frame that came far too
/// early nothing is.
fn end_of_display(until: Duration, declared: Option<Duration>) -> Duration {
    match declared {
        Some(declared) if declared > until && declared.saturating_sub(until) <= slack(declared) => declared,
        _ => until,
    }
}

/// What a stream may lack of the declared length without being called truncated.
fn slack(declared: Duration) -> Duration {
    Duration::from_millis(500).max(declared / 50)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_frame_stays_until_a_declared_end_that_is_near_but_not_until_one_that_is_far() {
        let seconds = Duration::from_secs_f64;
        assert_eq!(end_of_display(seconds(9.7), Some(seconds(10.0))), seconds(10.0));
        assert_eq!(end_of_display(seconds(36.0), Some(seconds(60.0))), seconds(36.0));
        assert_eq!(end_of_display(seconds(5.0), None), seconds(5.0));
        assert_eq!(end_of_display(seconds(5.0), Some(seconds(4.0))), seconds(5.0));
    }

    /// A frame of 16x16 grey pixels of this brightness.
    fn frame(at: u64, luma: u8) -> gst::Sample {
        let info = gst_video::VideoInfo::builder(gst_video::VideoFormat::I420, 16, 16)
            .build()
            .unwrap();
        let mut buffer = gst::Buffer::from_slice([vec![luma; 256], vec![128; 128]].concat());
        let about = buffer.get_mut().unwrap();
        about.set_pts(gst::ClockTime::from_mseconds(at));
        about.set_duration(gst::ClockTime::from_mseconds(100));
        gst::Sample::builder()
            .buffer(&buffer)
            .caps(&info.to_caps().unwrap())
            .segment(&gst::FormattedSegment::<gst::ClockTime>::new())
            .build()
    }

    /// The brightness that each point got, in the order in which they got it.
    fn picked(points: &[u64], skips_black: bool, frames: &[(u64, u8)]) -> Vec<(usize, u8)> {
        gst::init().unwrap();
        let mut got = Vec::new();
        let mut give = |point: usize, sample: &gst::Sample| {
            got.push((point, sample.buffer().unwrap().map_readable().unwrap()[0]));
            Ok(())
        };
        let points = points.iter().map(|at| Duration::from_millis(*at)).collect();
        let mut picker = Picker::new(points, skips_black);
        for (at, luma) in frames {
            picker.take(frame(*at, *luma), &mut give).unwrap();
        }
        picker.finish(None, &mut give).unwrap();
        got
    }

    #[test]
    fn a_point_gets_the_frame_that_is_shown_then() {
        let frames = [(0, 40), (100, 50), (200, 60), (900, 70)];
        assert_eq!(
            picked(&[0, 99, 100, 899, 950, 1100], false, &frames),
            [(0, 40), (1, 40), (2, 50), (3, 60), (4, 70)]
        );
        assert_eq!(picked(&[0], false, &[(500, 40), (600, 50)]), [(0, 40)]);
    }

    #[test]
    fn a_black_frame_gives_way_to_the_next_that_is_not_and_stays_where_there_is_none() {
        let frames = [(0, 16), (100, 17), (200, 60), (300, 70)];
        assert_eq!(picked(&[0, 250], true, &frames), [(0, 16), (0, 60), (1, 60)]);
        assert_eq!(picked(&[0, 150], true, &frames[..2]), [(0, 16), (1, 17)]);
        // Too far away.
        assert_eq!(picked(&[0], true, &[(0, 16), (5_000, 16), (10_100, 60)]), [(0, 16)]);
        assert_eq!(picked(&[0, 250], false, &frames), [(0, 16), (1, 60)]);
    }
}
