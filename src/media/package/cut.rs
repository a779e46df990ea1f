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
    Keys(u64),
    /// At the first packet after each multiple of this time, at so many ticks a second.
    Grid(Duration, u32),
}

/// Gathers packets until a segment of them is complete.
#[derive(Debug)]
pub struct Cutter {
    rule: Rule,
    /// Packets that still need others, or may.
    open: Vec<Packet>,
    /// What the segment has.
    gops: Vec<Gop>,
    /// When the segment began.
    start: Option<u64>,
    /// How many have been cut.
    count: u32,
}

impl Cutter {
    /// Cuts by this rule.
    #[must_use]
    pub fn new(rule: Rule) -> Self {
        Self {
            rule,
            open: Vec::new(),
            gops: Vec::new(),
            start: None,
            count: 0,
        }
    }

    /// Takes the next packet, in the order of decoding; answers the segment that it proves to be complete.
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
            return Ok(None);
        }
        self.start = Some(at);
        self.count += 1;
        // A gap in the sound may be longer than a segment.
        while of_sound && self.is_over(at, at) {
            self.count += 1;
        }
        Ok(Some(std::mem::take(&mut self.gops)))
    }

    /// The last segment. What is shown or heard at `end` or after it is not part of it, where that is known.
    ///
    /// # Errors
    /// As for [`Self::push`].
    pub fn finish(mut self, end: Option<u64>) -> Result<Option<Vec<Gop>>, String> {
        self.open.retain(|packet| end.is_none_or(|end| packet.at < end));
        let own = self.open.iter().map(|packet| packet.at + packet.length).max();
        if let Some(own) = own {
            self.close(end.map_or(own, |end| end.min(own)))?;
        }
        Ok(Some(self.gops).filter(|gops| !gops.is_empty()))
    }

    fn is_over(&self, start: u64, at: u64) -> bool {
        match self.rule {
            Rule::Keys(wanted) => at.saturating_sub(start) >= wanted,
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
        let next = order[1..].iter().copied().chain([end]);
        let lengths: Vec<u64> = order.iter().zip(next).map(|(at, next)| next - at).collect();
        let timed = open.into_iter().zip(order).zip(lengths);
        let samples = timed.map(|((packet, order), length)| Timed {
            data: packet.data,
            at: packet.at,
            order,
            decoded: packet.decoded,
            length: u32::try_from(length).unwrap_or(u32::MAX),
            key: packet.key,
        });
        self.gops.push(Gop {
            start,
            end,
            samples: samples.collect(),
        });
        Ok(())
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
        segments.extend(cutter.finish(end)?);
        let spans = |gops: &Vec<Gop>| gops.iter().map(|gop| (gop.start, gop.end)).collect();
        Ok(segments.iter().map(spans).collect())
    }

    #[test]
    fn segments_are_whole_groups_of_pictures_and_at_least_as_long_as_wanted() {
        let packets = [0, 2, 1, 3, 5, 4, 6, 8, 7, 9].map(|at| (at, at % 3 == 0));
        assert_eq!(
            cut(Rule::Keys(6), &packets, None).unwrap(),
            [vec![(0, 3), (3, 6), ], vec![(6, 9), (9, 10)]]
        );
        assert_eq!(cut(Rule::Keys(4), &packets, None).unwrap()[0], [(0, 3), (3, 6)]);
        assert_eq!(cut(Rule::Keys(1), &packets, None).unwrap().len(), 4);
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
        assert_eq!(cut(grid, &gap, None).unwrap(), [vec![(0, 20)], vec![(20, 21)], vec![(21, 22)]]);
    }

    #[test]
    fn what_needs_others_across_a_key_frame_is_refused() {
        assert!(cut(Rule::Keys(1), &[(0, true), (4, false), (3, true)], None).is_err());
        assert!(cut(Rule::Keys(1), &[(0, true), (3, true), (2, false)], None).is_err());
        assert!(cut(Rule::Keys(1), &[(0, false)], None).is_err());
        assert!(cut(Rule::Keys(1), &[(0, true), (1, false), (1, false)], None).is_err());
    }
}
