//! Where segments end.
//!
//! A film is cut at key frames once a segment is as long as wanted; sound, all of whose packets can stand alone, at the times
//! where the film is cut if its frames come evenly.

use std::time::Duration;

use super::{Gop, Packet, Timed};

/// When a segment is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// At the first key frame that is at least so many ticks after its beginning.
    Keys {
        /// Ticks.
        wanted: u64,
        /// How far decoding runs ahead at least, in ticks: two pictures, as encoders need that use some out of order; of others none.
        ahead: u64,
    },
    /// At the first packet after each multiple of this time, at so many ticks a second.
    Grid(Duration, u32),
}

/// A rest of sound that is shorter, in milliseconds, is no segment of its own: encoders go on for a packet or two beyond a film.
const REST: u64 = 100;

/// Gathers packets until a segment of them is complete.
#[derive(Debug)]
pub struct Cutter {
    rule: Rule,
    /// Packets that still need others, or may.
    open: Vec<Packet>,
    /// What the segment has.
    gops: Vec<Gop>,
    /// The segment of sound before, until there is enough for another.
    held: Vec<Gop>,
    /// When the segment began.
    start: Option<u64>,
    /// How many have been cut.
    count: u32,
    /// How far decoding runs ahead, once the first group said how much it needs.
    delay: Option<u64>,
}

impl Cutter {
    /// Cuts by this rule.
    #[must_use]
    pub fn new(rule: Rule) -> Self {
        Self {
            rule,
            open: Vec::new(),
            gops: Vec::new(),
            held: Vec::new(),
            start: None,
            count: 0,
            delay: None,
        }
    }

    /// Takes the next packet, in the order of decoding; answers a segment that it proves to be complete.
    ///
    /// # Errors
    /// Where packets need others across a key frame, or do not come in order.
    pub fn push(&mut self, packet: Packet) -> Result<Option<Vec<Gop>>, String> {
        let at = packet.at;
        if self.start.is_none() && !packet.key {
            return Err("the first picture needs others".to_owned());
        }
        let start = *self.start.get_or_insert(at);
        let over = !self.open.is_empty() && packet.key && self.is_over(start, at);
        let of_sound = matches!(self.rule, Rule::Grid(..));
        if packet.key && !self.open.is_empty() && (over || !of_sound) {
            self.close(at)?;
        }
        self.open.push(packet);
        if !over {
            return Ok(self.release(at - start.min(at)));
        }
        self.start = Some(at);
        self.count += 1;
        // A gap in the sound may be longer than a segment.
        while of_sound && self.is_over(at, at) {
            self.count += 1;
        }
        let complete = std::mem::take(&mut self.gops);
        if !of_sound {
            return Ok(Some(complete));
        }
        let before = std::mem::replace(&mut self.held, complete);
        Ok(Some(before).filter(|gops| !gops.is_empty()).or_else(|| self.release(0)))
    }

    /// The segment of sound before, once this one is so long that it needs no other.
    fn release(&mut self, length: u64) -> Option<Vec<Gop>> {
        let enough = match self.rule {
            Rule::Keys { .. } => true,
            Rule::Grid(_, rate) => length >= u64::from(rate) * REST / 1000,
        };
        (enough && !self.held.is_empty()).then(|| std::mem::take(&mut self.held))
    }

    /// How far decoding runs ahead of showing, in ticks, and the last segment. What is shown or heard at `end` or after it is not part of it, where that is known.
    ///
    /// # Errors
    /// As for [`Self::push`].
    pub fn finish(mut self, end: Option<u64>) -> Result<(u64, Option<Vec<Gop>>), String> {
        self.open.retain(|packet| end.is_none_or(|end| packet.at < end));
        let own = self.open.iter().map(|packet| packet.at + packet.length).max();
        if let Some(own) = own {
            self.close(end.map_or(own, |end| end.min(own)))?;
        }
        self.held.append(&mut self.gops);
        Ok((self.delay.unwrap_or(0), Some(self.held).filter(|gops| !gops.is_empty())))
    }

    fn is_over(&self, start: u64, at: u64) -> bool {
        match self.rule {
            Rule::Keys { wanted, .. } => at.saturating_sub(start) >= wanted,
            Rule::Grid(step, rate) => {
                let due = step.as_nanos() * u128::from(self.count + 1) * u128::from(rate) / 1_000_000_000;
                u128::from(at) >= due
            }
        }
    }

    /// Closes the group of packets, which the next follows at `end`.
    fn close(&mut self, end: u64) -> Result<(), String> {
        let open = std::mem::take(&mut self.open);
        let mut order: Vec<u64> = open.iter().map(|packet| packet.at).collect();
        order.sort_unstable();
        let (start, last) = (order[0], order[order.len() - 1]);
        if order.windows(2).any(|two| two[0] == two[1]) {
            return Err("two pictures are shown at once".to_owned());
        }
        if last >= end || start != open[0].at {
            return Err("a picture is shown on the other side of a key frame".to_owned());
        }
        let delay = match (self.delay, self.rule) {
            (Some(delay), _) => delay,
            (None, Rule::Grid(..)) => 0,
            (None, Rule::Keys { ahead, .. }) => {
                let needs = open
                    .iter()
                    .zip(&order)
                    .map(|(packet, order)| order.saturating_sub(packet.at));
                needs.max().unwrap_or(0).max(ahead)
            }
        };
        self.delay = Some(delay);
        hurry(&mut order, &open, delay);
        if order[0] != start {
            return Err("pictures wait for others longer than there is time".to_owned());
        }
        let next = order[1..].iter().copied().chain([end]);
        let lengths: Vec<u64> = order.iter().zip(next).map(|(at, next)| next - at).collect();
        let timed = open.into_iter().zip(order).zip(lengths);
        let samples = timed.map(|((packet, order), length)| Timed {
            data: packet.data,
            at: packet.at,
            order,
            length: u32::try_from(length).unwrap_or(u32::MAX),
            key: packet.key,
        });
        self.gops.push(Gop {
            start,
            end,
            delay,
            samples: samples.collect(),
        });
        Ok(())
    }
}

/// Decodes what is needed early enough: no picture is shown before, by a clock that runs so far ahead. Where pictures come evenly
/// their order is enough.
fn hurry(order: &mut [u64], open: &[Packet], delay: u64) {
    let (mut shown, mut next) = (u64::MAX, u64::MAX);
    for (decoded, packet) in order.iter_mut().zip(open).rev() {
        shown = shown.min(packet.at);
        *decoded = (*decoded).min(shown + delay).min(next.saturating_sub(1));
        next = *decoded;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::package::testing::packet;

    /// Starts and ends of groups, segment by segment.
    fn cut(rule: Rule, packets: &[(u64, bool)], end: Option<u64>) -> Result<Vec<Vec<(u64, u64)>>, String> {
        let mut cutter = Cutter::new(rule);
        let mut segments = Vec::new();
        for (at, key) in packets {
            segments.extend(cutter.push(packet(*at, *key))?);
        }
        segments.extend(cutter.finish(end)?.1);
        let spans = |gops: &Vec<Gop>| gops.iter().map(|gop| (gop.start, gop.end)).collect();
        Ok(segments.iter().map(spans).collect())
    }

    const fn keys(wanted: u64) -> Rule {
        Rule::Keys { wanted, ahead: 2 }
    }

    #[test]
    fn pictures_are_decoded_before_they_are_shown_however_unevenly_they_come() {
        let decoded = |packets: &[(u64, bool)]| {
            let mut cutter = Cutter::new(keys(1));
            for (at, key) in packets {
                cutter.push(packet(*at, *key)).unwrap();
            }
            let (delay, gops) = cutter.finish(None).unwrap();
            let gops = gops.unwrap();
            let samples: Vec<_> = gops[0].samples.iter().map(|one| (one.order, one.length)).collect();
            (delay, samples)
        };
        let even = decoded(&[(0, true), (4, false), (2, false), (1, false), (3, false)]);
        assert_eq!(even, (2, vec![(0, 1), (1, 1), (2, 1), (3, 1), (4, 1)]));
        // The first group needed 2; this one has holes.
        let mut order = vec![100, 110, 150, 190];
        let open = [100, 190, 110, 150].map(|at| packet(at, at == 100));
        hurry(&mut order, &open, 20);
        assert_eq!(order, [100, 110, 130, 170]);
    }

    #[test]
    fn segments_are_whole_groups_of_pictures_and_at_least_as_long_as_wanted() {
        let packets = [0, 2, 1, 3, 5, 4, 6, 8, 7, 9].map(|at| (at, at % 3 == 0));
        assert_eq!(
            cut(keys(6), &packets, None).unwrap(),
            [vec![(0, 3), (3, 6),], vec![(6, 9), (9, 10)]]
        );
        assert_eq!(cut(keys(4), &packets, None).unwrap()[0], [(0, 3), (3, 6)]);
        assert_eq!(cut(keys(1), &packets, None).unwrap().len(), 4);
    }

    #[test]
    fn sound_is_cut_on_a_grid_that_does_not_drift_and_ends_where_it_ends() {
        let packets: Vec<_> = (0..10).map(|at| (at, true)).collect();
        let grid = Rule::Grid(Duration::from_millis(3500), 1);
        assert_eq!(
            cut(grid, &packets, Some(9)).unwrap(),
            [vec![(0, 3)], vec![(3, 7)], vec![(7, 9)]]
        );
        let gap = [(0, true), (20, true), (21, true)];
        assert_eq!(
            cut(grid, &gap, None).unwrap(),
            [vec![(0, 20)], vec![(20, 21)], vec![(21, 22)]]
        );
    }

    #[test]
    fn a_packet_or_two_of_sound_are_no_segment_of_their_own() {
        let grid = Rule::Grid(Duration::from_secs(1), 100);
        let sound = |length: u64| (0..length).step_by(2).map(|at| (at, true)).collect::<Vec<_>>();
        let of = |length| cut(grid, &sound(length), None).unwrap();
        assert_eq!(of(200), [vec![(0, 100)], vec![(100, 199)]]);
        assert_eq!(of(204), [vec![(0, 100)], vec![(100, 200), (200, 203)]]);
        assert_eq!(of(212), [vec![(0, 100)], vec![(100, 200)], vec![(200, 211)]]);
        // What comes alone between holes is kept, and where it is.
        let holes = [(0, true), (100, true), (300, true), (302, true)];
        let holes = cut(grid, &holes, None).unwrap();
        assert_eq!(holes, [vec![(0, 100)], vec![(100, 300), (300, 303)]]);
    }

    #[test]
    fn what_needs_others_across_a_key_frame_is_refused() {
        assert!(cut(keys(1), &[(0, true), (4, false), (3, true)], None).is_err());
        assert!(cut(keys(1), &[(0, true), (3, true), (2, false)], None).is_err());
        assert!(cut(keys(1), &[(0, false)], None).is_err());
        assert!(cut(keys(1), &[(0, true), (1, false), (1, false)], None).is_err());
    }
}
