//! Pictures where nothing else is decoded: jumps to the key frame before each point and decodes from there, or decodes
//! on where that is nearer.

mod gate;
mod player;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use self::player::{Next, Player};
use super::album::{Shoot, Windows};
use super::decoder;
use super::picker::Frame;
use super::report::{report_damage, report_truncation};
use super::run::Pulse;
use super::source::Input;
use crate::job::{ErrorKind, Failure};
use crate::plan::{Ends, MediaInfo, Work};
use crate::rule::TaskId;

/// A point that is nearer than this is reached by decoding on.
const NEAR: Duration = Duration::from_secs(2);

/// A packet of sound is hardly longer.
const SOUND: Duration = Duration::from_millis(50);

/// Makes the pictures of these tasks.
///
/// # Errors
/// What ends the run: the medium cannot be read or decoded.
pub fn run(
    input: &Arc<Input>,
    media: &MediaInfo,
    tasks: &[(&TaskId, &Work)],
    pulse: &mut Pulse<'_>,
) -> Result<(), Failure> {
    let mut shoots: Vec<(&TaskId, Shoot)> = Vec::new();
    for (task, work) in tasks {
        match Shoot::of(work) {
            Ok(shoot) => shoots.extend(shoot.map(|shoot| (*task, shoot))),
            Err(failure) => pulse.listener().task_failed(task, failure),
        }
    }
    let mut player = Player::open(input, media, pulse)?;
    let mut search = Search {
        player: &mut player,
        media,
        here: None,
        last: None,
        reach: NEAR,
        can_jump: media.seekable,
        ahead: None,
        rewind: false,
        jumped_for: None,
        until: None,
        ended: false,
    };
    search.can_jump &= search.player.can_jump();
    search.ahead = search.player.lands_early().then_some(SOUND);
    let taken = search
        .take_near(&mut shoots, pulse)
        .and_then(|()| search.take(&mut shoots, pulse));
    let end = search.ended.then_some(search.last).flatten();
    if let Err(failure) = taken {
        for (_, shoot) in shoots {
            shoot.abandon();
        }
        return Err(failure);
    }
    // Before the pictures: a task may be published as soon as all of it is there.
    report_truncation(
        media,
        Ends {
            video: end,
            audio: None,
        },
        pulse,
    );
    if player.heard_too_much() {
        decoder::take_complaints();
    }
    report_damage(0, pulse);
    let ran = player.provenance();
    drop(player);
    for (task, shoot) in shoots {
        pulse.listener().provenance(task, ran.clone());
        match shoot.finish(task, pulse) {
            Ok(()) => {}
            Err(failure) if tasks.len() == 1 && matches!(failure.kind, ErrorKind::Corrupt) => return Err(failure),
            Err(failure) => pulse.listener().task_failed(task, failure),
        }
        pulse.next_part();
    }
    Ok(())
}

/// The way through a medium.
struct Search<'a> {
    player: &'a mut Player,
    media: &'a MediaInfo,
    /// When the last frame came.
    here: Option<Duration>,
    /// When it is gone.
    last: Option<Duration>,
    /// What is nearer than this is decoded on to: key frames have been found to be that far apart.
    reach: Duration,
    can_jump: bool,
    /// Jumps aim so far behind their points: see [`Player::lands_early`].
    ahead: Option<Duration>,
    /// Frames do not come from the beginning of the medium, nor from a place that is known.
    rewind: bool,
    jumped_for: Option<Duration>,
    /// Frames come up to here and no further, since the last jump.
    until: Option<Duration>,
    ended: bool,
}

fn wanted(shoots: &[(&TaskId, Shoot)]) -> Option<Duration> {
    shoots.iter().filter_map(|(_, shoot)| shoot.wanted()).min()
}

impl Search<'_> {
    /// Hands a frame to all.
    fn give(&mut self, sample: &gst::Sample, shoots: &mut [(&TaskId, Shoot)]) {
        if let Some(frame) = Frame::new(sample.clone(), None) {
            self.here = Some(frame.at);
            self.last = Some(frame.until.max(frame.at));
        }
        for (_, shoot) in shoots {
            shoot.take(sample.clone());
        }
    }

    /// Takes every picture that is still wanted.
    fn take(&mut self, shoots: &mut [(&TaskId, Shoot)], pulse: &mut Pulse<'_>) -> Result<(), Failure> {
        self.take_until(shoots, None, pulse)
    }

    /// As `take`; where a point is named, only those before it.
    fn take_until(
        &mut self,
        shoots: &mut [(&TaskId, Shoot)],
        point: Option<usize>,
        pulse: &mut Pulse<'_>,
    ) -> Result<(), Failure> {
        while let Some(at) = wanted(shoots) {
            if point.is_some_and(|point| shoots.iter().all(|(_, shoot)| shoot.picker().next() >= point)) {
                return Ok(());
            }
            let here = self.here.unwrap_or_default();
            let lost = self.here.is_none() && self.rewind;
            // Whoever has jumped for this point is as near to it as a jump leads.
            let far = at > here + self.reach && self.jumped_for != Some(at);
            // Nothing comes behind the point that was jumped for.
            let far = far || self.until.is_some_and(|until| at > until);
            if self.can_jump && (lost || far) {
                self.rewind = false;
                self.can_jump = self.approach(at, shoots, pulse)?;
                continue;
            }
            self.player.aim(at);
            let next = self.player.next(self.here, pulse)?;
            let at_next = match &next {
                Next::Frame(sample) => Frame::new(sample.clone(), None).map(|frame| frame.at),
                Next::Enough | Next::End => Some(Duration::MAX),
            };
            if at_next > Some(at) && self.player.may_have_missed(self.here, at) {
                // The frame that is shown at the point may be one of those that were left out.
                self.player.leave_nothing_out();
                if self.can_jump && self.approach(at, shoots, pulse)? {
                    continue;
                }
            }
            match next {
                Next::Frame(sample) => self.give(&sample, shoots),
                Next::Enough => {
                    let until = self.until.take().unwrap_or(at);
                    for (_, shoot) in shoots.iter_mut() {
                        shoot.reach(until);
                    }
                    if !self.can_jump {
                        self.end(shoots);
                        return Ok(());
                    }
                    self.forget(shoots);
                    self.rewind = true;
                }
                Next::End if self.here.is_none() && self.can_jump => {
                    // Nothing lay behind the key frame: from the beginning, once.
                    self.can_jump = false;
                    self.until = None;
                    if !self.player.jump(Duration::ZERO, None) {
                        self.end(shoots);
                        return Ok(());
                    }
                }
                Next::End => {
                    self.end(shoots);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn end(&mut self, shoots: &mut [(&TaskId, Shoot)]) {
        self.ended = true;
        for (_, shoot) in shoots {
            shoot.reach_end(self.media.duration);
        }
    }

    /// Jumps to a frame that is not after the point. Answers whether jumping works in this medium.
    fn approach(
        &mut self,
        at: Duration,
        shoots: &mut [(&TaskId, Shoot)],
        pulse: &mut Pulse<'_>,
    ) -> Result<bool, Failure> {
        let before = self.here.unwrap_or_default();
        self.jumped_for = Some(at);
        let alone = shoots.iter().all(|(_, shoot)| shoot.is_alone(at, at + self.reach));
        let back = [0, 5, 30].map(|back| at.saturating_sub(Duration::from_secs(back)));
        for target in self.ahead.map(|ahead| at + ahead).into_iter().chain(back) {
            self.player.aim(at);
            // Before the first frame there is only the first.
            self.until = (alone && !target.is_zero()).then_some(at);
            if !self.player.jump(target, self.until) {
                self.until = None;
                return Ok(false);
            }
            self.forget(shoots);
            if let Next::Frame(sample) = self.player.next(None, pulse)? {
                let sample = self.player.skip_broken(sample, at, pulse)?;
                let landed = Frame::new(sample.clone(), None).map(|frame| frame.at);
                if landed.is_some_and(|landed| landed <= at) || target.is_zero() {
                    self.learn(before, landed.unwrap_or_default(), at);
                    self.give(&sample, shoots);
                    return Ok(true);
                }
            }
            // Where key frames are dense, the next one was met.
            self.ahead = None;
        }
        // Jumping lands wherever it likes: decode from the beginning.
        self.until = None;
        self.player.jump(Duration::ZERO, None);
        self.forget(shoots);
        Ok(false)
    }

    fn forget(&mut self, shoots: &mut [(&TaskId, Shoot)]) {
        self.here = None;
        for (_, shoot) in shoots {
            shoot.jump();
        }
    }

    /// A jump that leads back is a way for nothing: where key frames are far apart, the next ones are fewer.
    fn learn(&mut self, before: Duration, landed: Duration, at: Duration) {
        self.reach = if landed <= before {
            at.saturating_sub(landed).max(self.reach * 2)
        } else {
            NEAR.max(self.reach * 3 / 4)
        };
    }

    /// Takes the pictures of tasks that do with any frame out of a stretch: key frames, where there are any in there, which
    /// are all that is decoded then; for the others, the frame of the point.
    fn take_near(&mut self, shoots: &mut [(&TaskId, Shoot)], pulse: &mut Pulse<'_>) -> Result<(), Failure> {
        for at in 0..shoots.len() {
            let Some(windows) = shoots[at].1.windows.filter(|_| self.can_jump) else {
                continue;
            };
            let own = &mut shoots[at..=at];
            while own[0].1.wanted().is_some() && self.can_jump && !self.ended {
                let from = own[0].1.picker().next();
                let to = (from / windows.together.max(1) + 1) * windows.together;
                let to = to.min(own[0].1.picker().count());
                self.take_keys(&mut own[0].1, windows, from..to, pulse)?;
                self.forget(own);
                self.rewind = true;
                self.take_until(own, Some(to), pulse)?;
            }
            self.ended = false;
            self.forget(own);
            self.rewind = true;
        }
        Ok(())
    }

    /// Takes key frames for these points.
    fn take_keys(
        &mut self,
        shoot: &mut Shoot,
        windows: Windows,
        points: Range<usize>,
        pulse: &mut Pulse<'_>,
    ) -> Result<(), Failure> {
        self.until = None;
        let time = |point: usize| windows.step * u32::try_from(point).unwrap_or(u32::MAX);
        let (from, to) = (time(points.start), time(points.end));
        // The last point stands for all that is left; what is far behind its beginning will not do.
        let mut chosen = None;
        let range = points.clone();
        let choice = move |is_key: bool, at: Duration| {
            let point = windows.of(at);
            let is_new = is_key && range.contains(&point) && chosen.is_none_or(|last| point > last);
            if is_new {
                chosen = Some(point);
            }
            is_new
        };
        if !self.player.jump_among(from, to, Box::new(choice)) {
            return Ok(());
        }
        while let Next::Frame(sample) = self.player.next(self.here, pulse)? {
            let whole = sample
                .buffer()
                .is_some_and(|buffer| !buffer.flags().contains(gst::BufferFlags::CORRUPTED));
            let Some(frame) = Frame::new(sample, None).filter(|_| whole) else {
                continue;
            };
            let point = windows.of(frame.at);
            if points.contains(&point) && shoot.picker().waits(point) {
                shoot.take_early(point, &frame.sample);
            }
        }
        Ok(())
    }
}
