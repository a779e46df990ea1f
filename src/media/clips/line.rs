//! Where the pictures of a result are, for the sound that goes with them, and for whoever asks how far it is.
//!
//! Times are nanoseconds of the result.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What sound may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// Go on up to the time that it asked for.
    Here,
    /// The part that it belongs to is over, here.
    End(u64),
    /// There is no more to be done.
    Stopped,
}

/// Where pictures are.
#[derive(Debug)]
pub struct Line {
    pictures: bool,
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The end of the last picture; where there are none, of the sound that is furthest.
    at: u64,
    /// The ends of parts that are over.
    ends: Vec<u64>,
    /// How many sounds there are ...
    sounds: u32,
    /// ... and for each part how many have come to its end, and where the longest did.
    ended: Vec<(u32, u64)>,
    stopped: bool,
    /// What was shown of clips.
    shown: u64,
    buffers: u64,
}

impl Line {
    /// With pictures to wait for, or without.
    pub fn new(pictures: bool) -> Self {
        Self {
            pictures,
            state: Mutex::default(),
            moved: Condvar::new(),
        }
    }

    /// Whether there are pictures.
    pub fn has_pictures(&self) -> bool {
        self.pictures
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next picture ends here, or the next sound where there are no pictures; to be said before it is passed on, for it may be held up until its sound has come.
    pub fn advance(&self, to: u64) {
        let mut state = self.lock();
        state.at = state.at.max(to);
        drop(state);
        self.moved.notify_all();
    }

    /// The part that was shown is over, here.
    pub fn end(&self, at: u64) {
        let mut state = self.lock();
        state.at = state.at.max(at);
        state.ends.push(at);
        drop(state);
        self.moved.notify_all();
    }

    /// Another sound is to be heard.
    pub fn add_sound(&self) {
        self.lock().sounds += 1;
    }

    /// A sound has come to the end of a part, here. Where there are no pictures to say it, the part is over once all have, where the
    /// longest did.
    pub fn agree(&self, part: usize, at: u64) {
        let mut state = self.lock();
        if state.ended.len() <= part {
            state.ended.resize(part + 1, (0, 0));
        }
        let ended = &mut state.ended[part];
        *ended = (ended.0 + 1, at.max(ended.1));
        let (count, end) = *ended;
        if count >= state.sounds {
            state.ends.push(end);
            self.moved.notify_all();
        }
    }

    /// Nobody may wait any more.
    pub fn stop(&self) {
        self.lock().stopped = true;
        self.moved.notify_all();
    }

    /// Whether nobody may wait any more.
    pub fn is_stopped(&self) -> bool {
        self.lock().stopped
    }

    /// Waits until pictures of this part have come so far, or the part is over.
    pub fn wait(&self, part: usize, until: u64) -> Reached {
        self.wait_if(self.pictures, part, until)
    }

    /// Waits until pictures of this part, or another sound of it, have come so far, or the part is over.
    pub fn follow(&self, part: usize, until: u64) -> Reached {
        self.wait_if(true, part, until)
    }

    fn wait_if(&self, waits: bool, part: usize, until: u64) -> Reached {
        let mut state = self.lock();
        loop {
            if state.stopped {
                return Reached::Stopped;
            }
            match state.ends.get(part) {
                Some(end) if until > *end => return Reached::End(*end),
                None if waits && until > state.at => {
                    state = self.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                _ => return Reached::Here,
            }
        }
    }

    /// Waits until a part is over; its end.
    pub fn wait_for_end(&self, part: usize) -> Option<u64> {
        match self.wait(part, u64::MAX) {
            Reached::End(end) => Some(end),
            Reached::Here | Reached::Stopped => None,
        }
    }

    /// How many parts are over.
    pub fn parts(&self) -> usize {
        self.lock().ends.len()
    }

    /// So much more of a clip was shown, by so many buffers.
    pub fn show(&self, time: u64, buffers: u64) {
        let mut state = self.lock();
        state.shown += time;
        state.buffers += buffers;
    }

    /// What was shown of clips, and by how many buffers.
    pub fn shown(&self) -> (Duration, u64) {
        let state = self.lock();
        // Each of several sounds says it, where there are no pictures to do so.
        let told = if self.pictures { 1 } else { state.sounds.max(1) };
        (Duration::from_nanos(state.shown / u64::from(told)), state.buffers)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn sound_keeps_behind_pictures_and_ends_with_them() {
        let line = Arc::new(Line::new(true));
        line.advance(10);
        assert_eq!(line.wait(0, 10), Reached::Here);
        let waiting = line.clone();
        let sound = std::thread::spawn(move || (waiting.wait(0, 15), waiting.wait(0, 30)));
        line.advance(20);
        line.end(20);
        assert_eq!(sound.join().unwrap(), (Reached::Here, Reached::End(20)));
        // The next part has no end yet.
        line.advance(40);
        assert_eq!(line.wait(1, 35), Reached::Here);
        line.stop();
        assert_eq!(line.wait(1, 50), Reached::Stopped);
    }

    #[test]
    fn sounds_without_pictures_follow_the_longest_to_the_end_of_a_part() {
        let line = Arc::new(Line::new(false));
        line.add_sound();
        line.add_sound();
        // Whoever has come to its end waits for nobody but to go on with the other, long before the part is over.
        line.agree(0, 10);
        line.advance(15);
        assert_eq!((line.follow(0, 15), line.wait(0, 30)), (Reached::Here, Reached::Here));
        let other = line.clone();
        let short = std::thread::spawn(move || (other.follow(0, 20), other.follow(0, 30)));
        line.advance(20);
        line.agree(0, 20);
        assert_eq!(short.join().unwrap(), (Reached::Here, Reached::End(20)));
        line.agree(1, 30);
        assert_eq!(line.parts(), 1);
        line.agree(1, 40);
        assert_eq!((line.parts(), line.wait(1, 50)), (2, Reached::End(40)));
        line.stop();
        assert_eq!(line.follow(2, 60), Reached::Stopped);
    }

    #[test]
    fn sound_without_pictures_waits_for_nothing() {
        assert_eq!(Line::new(false).wait(0, u64::MAX), Reached::Here);
    }
}
